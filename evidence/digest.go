package evidence

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/storage"
)

// A Digest names bytes by size and two hashes, from which nothing of them can
// be recovered (T16). SHA-256 is always there; SM3 may be missing in events of
// hosts that do not compute it.
type Digest struct {
	Size   int64       `json:"size"`
	SHA256 storage.Hex `json:"sha256"`
	SM3    storage.Hex `json:"sm3,omitempty"`
}

// IsZero reports whether d names nothing.
func (d Digest) IsZero() bool { return d.Size == 0 && len(d.SHA256) == 0 && len(d.SM3) == 0 }

// Equal reports whether d and o name the same bytes: they agree wherever both
// say something, and both have a SHA-256.
func (d Digest) Equal(o Digest) bool {
	return d.Size == o.Size && len(d.SHA256) == sha256.Size && bytes.Equal(d.SHA256, o.SHA256) &&
		(len(d.SM3) == 0 || len(o.SM3) == 0 || bytes.Equal(d.SM3, o.SM3))
}

func (d Digest) ok() bool {
	return d.IsZero() || d.Size >= 0 && len(d.SHA256) == sha256.Size && hashOrNone(d.SM3)
}

// Digests reads r to its end and returns size, SHA-256 and SM3.
func Digests(r io.Reader) (Digest, error) {
	h := newDigester()
	if _, err := io.Copy(h, r); err != nil {
		return Digest{}, fmt.Errorf("evidence: digest: %w", err)
	}
	return h.sum(), nil
}

// DigestsOf is [Digests] of bytes in memory.
func DigestsOf(b []byte) Digest {
	h := newDigester()
	_, _ = h.Write(b)
	return h.sum()
}

type digester struct {
	n        int64
	sha, sm3 hash.Hash
}

func newDigester() *digester { return &digester{sha: sha256.New(), sm3: cms.SM3()} }

func (d *digester) Write(b []byte) (int, error) {
	d.n += int64(len(b))
	d.sha.Write(b) // hashes never fail
	d.sm3.Write(b)
	return len(b), nil
}

func (d *digester) sum() Digest {
	return Digest{Size: d.n, SHA256: d.sha.Sum(nil), SM3: d.sm3.Sum(nil)}
}
