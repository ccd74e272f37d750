package pdf

import (
	"bytes"
	"io"
)

// source reads runs of bytes through a window, so that neighbours cost one
// read. There are two windows: objects and cross-reference entries lie apart.
type source struct {
	r    io.ReaderAt
	size int64
	file *Doc // the same for all documents opened from one another
	obj  window
	xref window
}

type window struct {
	off int64
	b   []byte
}

const windowSize = 4 << 10

// at returns n bytes at off, fewer only at the end of the file. The slice is
// good until the next call with the same window.
func (s *source) at(w *window, off int64, n int) ([]byte, error) {
	if off < 0 || off > s.size {
		return nil, malformed("read", off, "offset outside the file")
	}
	if int64(n) > s.size-off {
		n = int(s.size - off)
	}
	if off >= w.off && off+int64(n) <= w.off+int64(len(w.b)) {
		i := off - w.off
		return w.b[i : i+int64(n) : i+int64(n)], nil
	}
	m := int(min(int64(max(n, windowSize)), s.size-off))
	if cap(w.b) < m || cap(w.b) > 1<<20 && m <= 64<<10 {
		w.b = make([]byte, m)
	}
	w.b = w.b[:m]
	w.off = off
	if err := s.read(w.b, off); err != nil {
		w.b = w.b[:0]
		return nil, err
	}
	return w.b[:n:n], nil
}

// read fills b from off.
func (s *source) read(b []byte, off int64) error {
	n, err := s.r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return ioError("read", off+int64(n), err)
}

// find returns the offset of the first occurrence of word in [off, end), or -1.
func (s *source) find(word []byte, off, end int64) (int64, error) {
	end = min(end, s.size)
	var buf [16 << 10]byte
	for off+int64(len(word)) <= end {
		b := buf[:min(int64(len(buf)), end-off)]
		if err := s.read(b, off); err != nil {
			return -1, err
		}
		if i := bytes.Index(b, word); i >= 0 {
			return off + int64(i), nil
		}
		off += int64(len(b) - len(word) + 1)
	}
	return -1, nil
}

// findLast returns the offset of the last occurrence of word in [lowest, end),
// or -1.
func (s *source) findLast(word []byte, lowest, end int64) (int64, error) {
	lowest = max(lowest, 0)
	end = min(end, s.size)
	var buf [16 << 10]byte
	for hi := end; hi-lowest >= int64(len(word)); {
		lo := max(lowest, hi-int64(len(buf)))
		b := buf[:hi-lo]
		if err := s.read(b, lo); err != nil {
			return -1, err
		}
		if i := bytes.LastIndex(b, word); i >= 0 {
			return lo + int64(i), nil
		}
		if lo == lowest {
			break
		}
		hi = lo + int64(len(word)) - 1
	}
	return -1, nil
}

// text is a place in the file where a value or a line of tokens is read.
// It grows its view until the reading function is content.
//
// f gets the bytes from off on and whether they reach the end of the file, and
// returns errShort for more.
func (s *source) text(w *window, off int64, n int, most int64, f func(b []byte, whole bool) error) error {
	for {
		b, err := s.at(w, off, n)
		if err != nil {
			return err
		}
		whole := off+int64(len(b)) == s.size
		if err = f(b, whole); err != errShort {
			return err
		}
		if whole {
			return errShort
		}
		if int64(len(b)) >= most {
			return errNesting
		}
		n = int(min(int64(len(b))*4, most))
	}
}
