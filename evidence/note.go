package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

const (
	maxNote     = 64 << 10
	maxNoteSigs = 32

	// maxTree is more leaves than any log will have. In trees of nearly 2^63 the
	// arithmetic of x/mod does not end.
	maxTree = 1 << 60
)

// A signedNote is a C2SP signed note that is in its one form. x/mod opens notes
// whose base64 has stray bits in its last character; here those are malformed.
type signedNote struct {
	text string // ends in a newline
	sigs []noteSig
}

type noteSig struct {
	name string
	hash uint32
	sig  []byte
}

func parseNote(b []byte) (signedNote, error) {
	bad := func(what string) (signedNote, error) { return signedNote{}, fmt.Errorf("%w: %s", ErrNote, what) }
	if len(b) > maxNote || !utf8.Valid(b) {
		return bad("size or encoding")
	}
	for _, c := range b {
		if c < 0x20 && c != '\n' {
			return bad("control character")
		}
	}
	i := bytes.LastIndex(b, []byte("\n\n"))
	if i < 0 || len(b) == i+2 || b[len(b)-1] != '\n' {
		return bad("no signature")
	}
	n := signedNote{text: string(b[:i+1])}
	for line := range strings.Lines(string(b[i+2:])) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "— ")
		name, b64, ok2 := strings.Cut(rest, " ")
		if !ok || !ok2 || name == "" {
			return bad("signature line")
		}
		raw, err := strictBase64(b64)
		if err != nil || len(raw) < 5 {
			return bad("signature encoding")
		}
		n.sigs = append(n.sigs, noteSig{name, binary.BigEndian.Uint32(raw), raw[4:]})
		if len(n.sigs) > maxNoteSigs {
			return bad("too many signatures")
		}
	}
	return n, nil
}

// strictBase64 decodes standard base64 that encodes back to itself.
func strictBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return nil, ErrNote
	}
	return b, nil
}

// signedBy reports whether v signed the note; false also if it did not try. A line
// that v's key made and that bears another key id was changed, as the id follows
// from name and key: v tried, and the line is not good.
func (n signedNote) signedBy(v note.Verifier) (tried, good bool) {
	for _, s := range n.sigs {
		switch {
		case s.name != v.Name():
		case s.hash == v.KeyHash():
			tried = true
			good = good || v.Verify([]byte(n.text), s.sig)
		default:
			tried = tried || v.Verify([]byte(n.text), s.sig)
		}
	}
	return tried, good
}

// byLog finds a trusted key among keys that signed the note at a tree size, if none of
// them signed it in vain: C2SP signed-note rejects such a note. known says that one of
// them could have.
func (n signedNote) byLog(keys []logKey, size uint64) (known, good bool) {
	vain := false
	for _, k := range keys {
		if k.end != 0 && size > k.end {
			continue
		}
		tried, ok := n.signedBy(k)
		known, good, vain = known || tried, good || ok, vain || tried && !ok
	}
	return known, good && !vain
}

// parseCheckpoint reads the body of a C2SP tlog-checkpoint without extension
// lines: origin, size, root.
func parseCheckpoint(b []byte) (Checkpoint, signedNote, error) {
	n, err := parseNote(b)
	if err != nil {
		return Checkpoint{}, n, err
	}
	lines := strings.Split(n.text, "\n")
	bad := fmt.Errorf("%w: checkpoint", ErrNote)
	if len(lines) != 4 || !validOrigin(lines[0]) {
		return Checkpoint{}, n, bad
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] || size > maxTree {
		return Checkpoint{}, n, bad
	}
	root, err := strictBase64(lines[2])
	if err != nil || len(root) != 32 {
		return Checkpoint{}, n, bad
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root, Note: bytes.Clone(b)}, n, nil
}

func checkpointText(origin string, size uint64, root []byte) string {
	return origin + "\n" + strconv.FormatUint(size, 10) + "\n" + base64.StdEncoding.EncodeToString(root) + "\n"
}

// body is the part of a note that anchors sign: with its last newline.
func (cp Checkpoint) body() []byte { return []byte(checkpointText(cp.Origin, cp.Size, cp.Root)) }
