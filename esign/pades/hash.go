package pades

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"

	"github.com/countersign/countersign/internal/cms"
)

const (
	tailSize = 4096
	pageSize = 128 << 10 // of reads while hashing
)

// prefix is a document's bytes so far, as digest states that can fork.
type prefix struct {
	size   int64
	hashes map[string]hash.Hash
}

// hashPrefix reads the document once, into every digest asked for and, if w is
// not nil, into w. A resumed state spares the reading where it can.
func hashPrefix(ctx context.Context, op string, r io.ReaderAt, size int64, names []string, resume *State, w io.Writer) (*prefix, error) {
	p := &prefix{size: size, hashes: map[string]hash.Hash{}}
	var missing []string
	if resume != nil {
		if err := resume.check(op, r, size); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		if p.hashes[name] != nil || slices.Contains(missing, name) {
			continue
		}
		if resume != nil {
			if h, err := cms.RestoreHash(name, resume.Digests[name]); err == nil {
				p.hashes[name] = h
				continue
			}
		}
		missing = append(missing, name)
	}
	var sinks []io.Writer
	for _, name := range missing {
		h, err := cms.NewHash(name)
		if err != nil {
			return nil, refuse(ErrUsage, op, err)
		}
		p.hashes[name] = h
		sinks = append(sinks, h)
	}
	if w != nil {
		sinks = append(sinks, w)
	}
	if len(sinks) == 0 {
		return p, nil
	}
	buf := make([]byte, min(pageSize, size))
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return nil, refuse(ErrIO, op, err)
		}
		b := buf[:min(int64(len(buf)), size-off)]
		if err := readFull(r, b, off); err != nil {
			return nil, refuse(ErrIO, op, err)
		}
		for _, s := range sinks {
			if _, err := s.Write(b); err != nil {
				return nil, refuse(ErrIO, op, err)
			}
		}
		off += int64(len(b))
	}
	return p, nil
}

// readFull reads len(b) bytes at off; io.EOF with all of them is no error.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// fork returns an independent copy of the digest called name.
func (p *prefix) fork(name string) (hash.Hash, error) {
	return forkHash(name, p.hashes[name])
}

func forkHash(name string, h hash.Hash) (hash.Hash, error) {
	if h == nil {
		return nil, errors.New("no digest " + name)
	}
	if c, ok := h.(hash.Cloner); ok {
		return c.Clone()
	}
	b, err := cms.SaveHash(h)
	if err != nil {
		return nil, err
	}
	return cms.RestoreHash(name, b)
}

// tailOf digests the last bytes before size.
func tailOf(r io.ReaderAt, size int64) ([]byte, error) {
	b := make([]byte, min(tailSize, size))
	if err := readFull(r, b, size-int64(len(b))); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}

// joined reads a document followed by an increment as one.
type joined struct {
	r    io.ReaderAt
	size int64
	inc  []byte
}

func (j joined) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	n := 0
	if off < j.size {
		want := min(int64(len(p)), j.size-off)
		if err := readFull(j.r, p[:want], off); err != nil {
			return 0, err
		}
		n = int(want)
	}
	if rest := off + int64(n) - j.size; n < len(p) && rest <= int64(len(j.inc)) {
		n += copy(p[n:], j.inc[rest:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
