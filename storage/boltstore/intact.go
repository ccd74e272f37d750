package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/storage"
)

// intact reads every page of a file that holds something. bbolt does so too when
// it opens the file for writing, but in a goroutine of its own, where nobody can
// recover from what it makes of a damaged page or of one beyond the end.
func intact(path string, timeout time.Duration) (err error) {
	defer watched(&err)()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: timeout}) // and locks it
	if err != nil {
		return openError(path, err)
	}
	defer db.Close()
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("boltstore: open: %w", err)
	}
	defer f.Close()
	c := checker{f: f, size: int64(db.Info().PageSize), seen: make(map[uint64]bool)}
	if err := c.file(); err != nil {
		return fmt.Errorf("boltstore: open: %w: %w", storage.ErrCorrupt, err)
	}
	return nil
}

// checker walks a file of bbolt: pages with a header, then elements.
//
//	page    id 8, flags 2, count 2, overflow 4
//	meta    magic 4, version 4, page size 4, flags 4, root 8, sequence 8, freelist 8, pages 8, transaction 8, FNV-1a 8
//	branch  position 4, key size 4, page 8
//	leaf    flags 4, position 4, key size 4, value size 4; with flag 1 the value is a bucket: root 8, sequence 8, page if root is 0
//
// Positions count from the element. Numbers are in the byte order of the machine.
type checker struct {
	f     *os.File
	size  int64 // of a page
	pages uint64
	seen  map[uint64]bool
}

const (
	pageHead   = 16
	element    = 16
	metaSize   = 64
	branchPage = 1
	leafPage   = 2
	maxDepth   = 64
)

var native = binary.NativeEndian

func (c *checker) file() error {
	var root, newest uint64
	found := false
	for i := range int64(2) {
		b := make([]byte, metaSize)
		if _, err := c.f.ReadAt(b, i*c.size+pageHead); err != nil {
			continue
		}
		h := fnv.New64a()
		h.Write(b[:56])
		if tx := native.Uint64(b[48:]); h.Sum64() == native.Uint64(b[56:]) && (!found || tx > newest) {
			found, newest, root, c.pages = true, tx, native.Uint64(b[16:]), native.Uint64(b[40:])
		}
	}
	if !found {
		return errors.New("no head")
	}
	info, err := c.f.Stat()
	if err != nil {
		return err
	}
	if have := uint64(info.Size() / c.size); have < c.pages {
		return fmt.Errorf("%d pages are left of %d", have, c.pages)
	}
	_, err = c.page(root, nil, nil, 0)
	return err
}

// page checks a page and what lies beneath it. Its keys lie within [low, high);
// nil is no bound. The last key comes back.
func (c *checker) page(id uint64, low, high []byte, depth int) ([]byte, error) {
	if id < 2 || id >= c.pages || c.seen[id] || depth > maxDepth {
		return nil, fmt.Errorf("page %d is out of place", id)
	}
	c.seen[id] = true
	b := make([]byte, c.size)
	if _, err := c.f.ReadAt(b, int64(id)*c.size); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if n := uint64(native.Uint32(b[12:])); n > 0 {
		if id+n >= c.pages {
			return nil, fmt.Errorf("page %d goes beyond the end", id)
		}
		for i := id + 1; i <= id+n; i++ {
			if c.seen[i] {
				return nil, fmt.Errorf("page %d is used twice", i)
			}
			c.seen[i] = true
		}
		rest := make([]byte, int64(n)*c.size)
		if _, err := c.f.ReadAt(rest, int64(id+1)*c.size); err != nil && err != io.EOF {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
		b = append(b, rest...)
	}
	if native.Uint64(b) != id {
		return nil, fmt.Errorf("page %d is not where it belongs", id)
	}
	last, err := c.elements(b, low, high, depth)
	if err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return last, nil
}

func (c *checker) elements(b, low, high []byte, depth int) (last []byte, err error) {
	kind, count := native.Uint16(b[8:]), int(native.Uint16(b[10:]))
	if kind != branchPage && kind != leafPage || kind == branchPage && count == 0 || pageHead+count*element > len(b) {
		return nil, errors.New("no head")
	}
	last = low
	for i := range count {
		key, value, err := parts(b, i, kind == leafPage)
		if err != nil {
			return nil, err
		}
		if order := bytes.Compare(last, key); last != nil && (order > 0 || order == 0 && i > 0) || high != nil && bytes.Compare(key, high) >= 0 {
			return nil, errors.New("keys are out of order")
		}
		last = key
		e := b[pageHead+i*element:]
		switch {
		case kind == branchPage:
			end := high
			if i+1 < count {
				if end, _, err = parts(b, i+1, false); err != nil {
					return nil, err
				}
			}
			if last, err = c.page(native.Uint64(e[8:]), key, end, depth+1); err != nil {
				return nil, err
			}
		case native.Uint32(e)&1 != 0:
			if err := c.bucket(value, depth); err != nil {
				return nil, err
			}
		}
	}
	return last, nil
}

func (c *checker) bucket(value []byte, depth int) (err error) {
	switch {
	case len(value) < 16 || depth > maxDepth:
		return errors.New("no bucket")
	case native.Uint64(value) != 0:
		_, err = c.page(native.Uint64(value), nil, nil, depth+1)
	case len(value) < 16+pageHead || native.Uint16(value[16+8:]) != leafPage:
		return errors.New("no bucket")
	default:
		_, err = c.elements(value[16:], nil, nil, depth+1)
	}
	return err
}

// parts returns key and value of an element.
func parts(b []byte, i int, leaf bool) (key, value []byte, err error) {
	at := pageHead + i*element
	e := b[at:]
	pos, k, v := uint64(native.Uint32(e)), uint64(native.Uint32(e[4:])), uint64(0)
	if leaf {
		pos, k, v = uint64(native.Uint32(e[4:])), uint64(native.Uint32(e[8:])), uint64(native.Uint32(e[12:]))
	}
	from := uint64(at) + pos
	if from+k+v > uint64(len(b)) || k == 0 {
		return nil, nil, errors.New("an element goes beyond its page")
	}
	return b[from : from+k], b[from+k : from+k+v], nil
}
