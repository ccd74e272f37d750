package storage

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Blobs keeps immutable blobs, such as the bytes of documents. Most programs
// hand one to a service; the methods are for those who implement it.
//
// An id is at most [MaxID] bytes of UTF-8 without NUL ([CheckBlob]); ids match
// and sort byte for byte. A blob is never changed: writers take a fresh id for
// every attempt, and the record that names a blob decides whether it counts.
//
// An implementation MUST
//   - be safe for concurrent use;
//   - show a blob under its id whole or not at all;
//   - report Create as done only once the blob would survive a crash and every
//     later Open and List, by any process, sees it;
//   - leave a blob alone if its id is created again.
//
// After an error from Create other than [ErrExists], [ErrKey] and those of the
// reader the blob may be there, whole, or not. No error carries contents.
//
// Package storagetest checks every sentence above.
type Blobs interface {
	// Create stores what r yields until io.EOF, and returns its size. It returns
	// [ErrExists] if there is a blob under id; after any other error of r
	// nothing is stored and the error is returned, wrapped or not.
	Create(ctx context.Context, id string, r io.Reader) (size int64, err error)

	// Open returns a blob for reading, or [ErrNotFound].
	Open(ctx context.Context, id string) (Blob, error)

	// Delete makes a blob unreachable; an absent one is no error. Whoever has
	// it open may read on, or get an error.
	Delete(ctx context.Context, id string) error

	// List returns ids above after in byte order. Fewer than limit ([PageSize])
	// come back only at the end.
	List(ctx context.Context, after string, limit int) ([]string, error)
}

// A Blob is an open blob. ReadAt is safe for concurrent use.
type Blob interface {
	io.ReaderAt
	Size() int64
	Close() error
}

// CheckBlob returns [ErrKey] or [ErrTooLarge] if id cannot name a blob.
func CheckBlob(id string) error { return checkPart("blob id", id, MaxID) }

// MemBlobs is a [Blobs] in memory. The zero value is empty and ready; it must
// not be copied.
type MemBlobs struct {
	mu    sync.RWMutex
	blobs map[string][]byte
	ids   *ordered[string]
}

var _ Blobs = (*MemBlobs)(nil)

// Create implements [Blobs].
func (m *MemBlobs) Create(ctx context.Context, id string, r io.Reader) (int64, error) {
	if err := CheckBlob(id); err != nil {
		return 0, err
	}
	data, err := io.ReadAll(ctxReader{ctx, r})
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.blobs[id]; ok {
		return 0, fmt.Errorf("%w: blob", ErrExists)
	}
	if m.blobs == nil {
		m.blobs = make(map[string][]byte)
		m.ids = &ordered[string]{compare: strings.Compare}
	}
	m.blobs[id] = data
	m.ids.insert(id)
	return int64(len(data)), nil
}

// Open implements [Blobs].
func (m *MemBlobs) Open(ctx context.Context, id string) (Blob, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := CheckBlob(id); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	data, ok := m.blobs[id]
	if !ok {
		return nil, fmt.Errorf("%w: blob", ErrNotFound)
	}
	return memBlob{bytes.NewReader(data)}, nil
}

// Delete implements [Blobs].
func (m *MemBlobs) Delete(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := CheckBlob(id); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.blobs[id]; ok {
		delete(m.blobs, id)
		m.ids.remove(id)
	}
	return nil
}

// List implements [Blobs].
func (m *MemBlobs) List(ctx context.Context, after string, limit int) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.ids == nil {
		return nil, nil
	}
	var out []string
	m.ids.after(after, func(id string) bool {
		if len(out) == PageSize(limit) {
			return false
		}
		out = append(out, id)
		return true
	})
	return out, nil
}

type memBlob struct{ r *bytes.Reader }

func (b memBlob) ReadAt(p []byte, off int64) (int, error) { return b.r.ReadAt(p, off) }
func (b memBlob) Size() int64                             { return b.r.Size() }
func (b memBlob) Close() error                            { return nil }

// ctxReader ends with the context between reads. It lives within one call.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
