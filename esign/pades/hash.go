package pades

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"
	"sync"

	"github.com/countersign/countersign/internal/cms"
)

const (
	tailSize = 4096
	pageSize = 128 << 10 // of reads while hashing
)

// pages holds the buffers documents are read through.
var pages = sync.Pool{New: func() any { return new([pageSize]byte) }}

// running is a digest in the making.
type running struct {
	name string
	hash.Hash
}

// fork returns an independent copy.
func (r running) fork() (running, error) {
	h, err := forkHash(r.name, r.Hash)
	return running{r.name, h}, err
}

func forkAll(digests []running) ([]running, error) {
	out := make([]running, len(digests))
	for i, r := range digests {
		var err error
		if out[i], err = r.fork(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// hashPrefix reads the document once, into every digest asked for and, if w is
// not nil, into w. A resumed state spares the reading where it can. The digests
// come in the order of names, each once.
func hashPrefix(ctx context.Context, op string, r io.ReaderAt, size int64, names []string, resume *State, w io.Writer) ([]running, error) {
	if resume != nil {
		if err := resume.check(op, r, size); err != nil {
			return nil, err
		}
	}
	digests := make([]running, 0, len(names))
	sinks := make([]io.Writer, 0, len(names)+1)
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		if resume != nil {
			if h, err := cms.RestoreHash(name, resume.Digests[name]); err == nil {
				digests = append(digests, running{name, h})
				continue
			}
		}
		h, err := cms.NewHash(name)
		if err != nil {
			return nil, refuse(ErrUsage, op, err)
		}
		digests = append(digests, running{name, h})
		sinks = append(sinks, h)
	}
	if w != nil {
		sinks = append(sinks, w)
	}
	if len(sinks) == 0 {
		return digests, nil
	}
	buf := pages.Get().(*[pageSize]byte)
	defer pages.Put(buf)
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
	return digests, nil
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

// tailAfter is tailOf for a document of size bytes with an increment behind it.
func tailAfter(r io.ReaderAt, size int64, inc []byte) ([]byte, error) {
	if len(inc) >= tailSize {
		sum := sha256.Sum256(inc[len(inc)-tailSize:])
		return sum[:], nil
	}
	return tailOf(joined{r, size, inc}, size+int64(len(inc)))
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
