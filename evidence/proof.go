package evidence

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	maxProof    = maxNote + 8192
)

// formatProof writes a C2SP tlog-proof without extra data.
func formatProof(leaf uint64, p tlog.RecordProof, checkpoint []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nindex %d\n", proofHeader, leaf)
	for _, h := range p {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteByte('\n')
	b.Write(checkpoint)
	return b.Bytes()
}

// parseProof reads what formatProof writes and nothing else. Extra data is
// authenticated by nobody, so it is refused.
func parseProof(b []byte) (leaf uint64, p tlog.RecordProof, checkpoint []byte, err error) {
	bad := fmt.Errorf("%w: proof", ErrNote)
	head, checkpoint, ok := bytes.Cut(b, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || len(b) > maxProof || len(lines) < 2 || lines[0] != proofHeader {
		return 0, nil, nil, bad
	}
	n, ok := strings.CutPrefix(lines[1], "index ")
	if leaf, err = strconv.ParseUint(n, 10, 62); !ok || err != nil {
		return 0, nil, nil, bad
	}
	hashes, err := parseHashes(lines[2:])
	if err != nil {
		return 0, nil, nil, bad
	}
	p = tlog.RecordProof(hashes)
	if !bytes.Equal(formatProof(leaf, p, checkpoint), b) {
		return 0, nil, nil, bad
	}
	return leaf, p, checkpoint, nil
}

func parseHashes(lines []string) ([]tlog.Hash, error) {
	if len(lines) > 64 {
		return nil, ErrNote
	}
	out := make([]tlog.Hash, 0, len(lines))
	for _, line := range lines {
		h, err := strictBase64(line)
		if err != nil || len(h) != tlog.HashSize {
			return nil, ErrNote
		}
		out = append(out, tlog.Hash(h))
	}
	return out, nil
}

// A consistency file has one hash a line.
func formatConsistency(p tlog.TreeProof) []byte {
	var b bytes.Buffer
	for _, h := range p {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	return b.Bytes()
}

func parseConsistency(b []byte) (tlog.TreeProof, error) {
	if len(b) == 0 {
		return nil, nil
	}
	body, ok := bytes.CutSuffix(b, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("%w: consistency", ErrNote)
	}
	hashes, err := parseHashes(strings.Split(string(body), "\n"))
	if err != nil {
		return nil, fmt.Errorf("%w: consistency", ErrNote)
	}
	return hashes, nil
}

// The paths of log material in a bundle.
func proofPath(seq uint64) string { return "proofs/" + strconv.FormatUint(seq, 10) + ".tlog-proof" }

func checkpointPath(size uint64) string {
	return "anchors/" + strconv.FormatUint(size, 10) + "-checkpoint.txt"
}

func anchorPath(size uint64, name, kind string) string {
	return "anchors/" + strconv.FormatUint(size, 10) + "-" + name + "." + kind
}

func consistencyPath(a, b uint64) string {
	return "consistency/" + strconv.FormatUint(a, 10) + "-" + strconv.FormatUint(b, 10) + ".txt"
}
