package evidence

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/countersign/countersign/internal/cms"
)

// maxTrust bounds a trust file.
const maxTrust = 1 << 20

// Trust is whom a verifier believes. It comes from [ParseTrust], by a way that
// has nothing to do with the bundle it judges.
type Trust struct {
	// TSA are roots, or certificates themselves, of timestamp authorities; CA
	// those of signers, for the caller who checks the documents' signatures.
	TSA, CA []*x509.Certificate

	logs      []logKey
	witnesses []witnessKey
}

// A logKey is a log's key and the last tree size that it may sign; 0: any.
type logKey struct {
	note.Verifier
	end uint64
}

// ParseTrust reads a trust file:
//
//	log <vkey> [<size>]    a log's key; with a size, up to that tree size only
//	witness <vkey>         a witness's key (cosignature/v1)
//	tsa                    followed by PEM certificates: timestamp authorities
//	ca                     followed by PEM certificates: signers' authorities
//	# a comment
//
// vkey is the form of C2SP signed-note, as [Log.VerifierKey] prints it. Fails
// with [ErrTrust], naming the line.
func ParseTrust(r io.Reader) (*Trust, error) {
	t := &Trust{}
	var into *[]*x509.Certificate
	var block strings.Builder
	n, start := 0, 0
	bad := func(line int, what string) error { return fmt.Errorf("%w: line %d: %s", ErrTrust, line, what) }
	lr := &io.LimitedReader{R: r, N: maxTrust + 1}
	sc := bufio.NewScanner(lr)
	sc.Buffer(make([]byte, 0, 4096), 1<<16)
	for sc.Scan() {
		n++
		line := strings.TrimSpace(sc.Text())
		if start > 0 {
			block.WriteString(line + "\n")
			if strings.HasPrefix(line, "-----END ") {
				p, rest := pem.Decode([]byte(block.String()))
				if p == nil || p.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
					return nil, bad(start, "not a PEM certificate")
				}
				c, err := cms.ParseCertificate(p.Bytes)
				if err != nil {
					return nil, bad(start, "certificate does not parse")
				}
				*into = append(*into, c)
				block.Reset()
				start = 0
			}
			continue
		}
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "-----BEGIN "):
			if into == nil {
				return nil, bad(n, "certificate without tsa or ca before it")
			}
			start = n
			block.WriteString(line + "\n")
		case f[0] == "tsa" && len(f) == 1:
			into = &t.TSA
		case f[0] == "ca" && len(f) == 1:
			into = &t.CA
		case f[0] == "log" && (len(f) == 2 || len(f) == 3):
			k := logKey{}
			var err error
			if k.Verifier, err = note.NewVerifier(f[1]); err != nil {
				return nil, bad(n, "key")
			}
			if len(f) == 3 {
				if k.end, err = strconv.ParseUint(f[2], 10, 63); err != nil || k.end == 0 {
					return nil, bad(n, "end size")
				}
			}
			t.logs = append(t.logs, k)
			into = nil
		case f[0] == "witness" && len(f) == 2:
			k, err := parseWitnessKey(f[1])
			if err != nil {
				return nil, bad(n, "key")
			}
			t.witnesses = append(t.witnesses, k)
			into = nil
		default:
			return nil, bad(n, "not log, witness, tsa, ca, PEM or comment")
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrust, err)
	}
	if lr.N <= 0 {
		return nil, fmt.Errorf("%w: longer than 1 MiB", ErrTrust)
	}
	if start > 0 {
		return nil, bad(start, "certificate does not end")
	}
	return t, nil
}

// log finds the trusted keys of a log, which may have several in its life.
func (t *Trust) log(origin string) []logKey {
	if t == nil {
		return nil
	}
	var out []logKey
	for _, k := range t.logs {
		if k.Name() == origin {
			out = append(out, k)
		}
	}
	return out
}
