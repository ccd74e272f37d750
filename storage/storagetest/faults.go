package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/countersign/countersign/storage"
)

// ErrInjected is the failure of [FailBefore] and [FailBlobsBefore], and the
// cause of every other injected failure.
var ErrInjected = errors.New("storagetest: injected failure")

// fault says what happens to the n-th write.
type fault int

const (
	faultNone fault = iota
	faultBefore
	faultAfter
	faultHalf
)

// trigger counts writes and says which one fails. It is shared by stores and
// blobs.
type trigger struct {
	fault fault
	n     int
	crash bool // everything fails from then on

	mu     sync.Mutex
	writes int
	dead   bool
}

// write counts one write and returns what is to happen to it.
func (t *trigger) write() fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead {
		return faultBefore
	}
	t.writes++
	if t.fault == faultNone || t.writes != t.n {
		return faultNone
	}
	t.dead = t.crash
	return t.fault
}

// read returns the error of a read.
func (t *trigger) read() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead {
		return fmt.Errorf("%w: crashed", ErrInjected)
	}
	return nil
}

// Writes returns how many writes there were, the failed one included.
func (t *trigger) Writes() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writes
}

// Fired reports whether the failure happened.
func (t *trigger) Fired() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fault != faultNone && t.writes >= t.n
}

// A Faulty is a store that counts calls of Commit, and of which one may fail.
// Embedded methods: Writes returns how many there were, the failed one
// included; Fired reports whether the failure happened.
type Faulty struct {
	trigger
	store storage.Store
}

var _ storage.Store = (*Faulty)(nil)

// Count returns a store that only counts.
func Count(s storage.Store) *Faulty { return &Faulty{store: s} }

// FailBefore returns a store whose n-th Commit, from 1, stores nothing and
// returns [ErrInjected].
func FailBefore(s storage.Store, n int) *Faulty {
	return &Faulty{store: s, trigger: trigger{fault: faultBefore, n: n}}
}

// FailAfter returns a store whose n-th Commit, from 1, does its work and then
// loses the answer: it returns [storage.ErrUnknown].
func FailAfter(s storage.Store, n int) *Faulty {
	return &Faulty{store: s, trigger: trigger{fault: faultAfter, n: n}}
}

// FailHalf is [FailAfter], but of the n-th Commit's batches only the first, the
// third and so on are stored.
func FailHalf(s storage.Store, n int) *Faulty {
	return &Faulty{store: s, trigger: trigger{fault: faultHalf, n: n}}
}

// CrashBefore is [FailBefore], and every later call fails too: the process is
// dead. The test goes on with the store underneath.
func CrashBefore(s storage.Store, n int) *Faulty {
	return &Faulty{store: s, trigger: trigger{fault: faultBefore, n: n, crash: true}}
}

// CrashAfter is [FailAfter], and every later call fails too: the process is
// dead. The test goes on with the store underneath.
func CrashAfter(s storage.Store, n int) *Faulty {
	return &Faulty{store: s, trigger: trigger{fault: faultAfter, n: n, crash: true}}
}

// Commit implements [storage.Store].
func (f *Faulty) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	switch f.write() {
	case faultBefore:
		return nil, fmt.Errorf("%w: not stored", ErrInjected)
	case faultHalf:
		var half []storage.Batch
		for i := 0; i < len(batches); i += 2 {
			half = append(half, batches[i])
		}
		batches = half
		fallthrough
	case faultAfter:
		if _, err := f.store.Commit(ctx, batches); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", storage.ErrUnknown, ErrInjected)
	}
	return f.store.Commit(ctx, batches)
}

// Get implements [storage.Store].
func (f *Faulty) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	if err := f.read(); err != nil {
		return nil, err
	}
	return f.store.Get(ctx, keys)
}

// Entries implements [storage.Store].
func (f *Faulty) Entries(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	if err := f.read(); err != nil {
		return nil, err
	}
	return f.store.Entries(ctx, stream, after, limit)
}

// Due implements [storage.Store].
func (f *Faulty) Due(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
	if err := f.read(); err != nil {
		return nil, err
	}
	return f.store.Due(ctx, kind, until, limit)
}

// List implements [storage.Store].
func (f *Faulty) List(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
	if err := f.read(); err != nil {
		return nil, err
	}
	return f.store.List(ctx, tenant, kind, after, limit)
}

// A FaultyBlobs is a blob store that counts calls of Create and Delete, and of
// which one may fail. Embedded methods are those of [Faulty].
type FaultyBlobs struct {
	trigger
	blobs storage.Blobs
}

var _ storage.Blobs = (*FaultyBlobs)(nil)

// CountBlobs returns a blob store that only counts.
func CountBlobs(b storage.Blobs) *FaultyBlobs { return &FaultyBlobs{blobs: b} }

// FailBlobsBefore returns a blob store whose n-th Create or Delete, from 1,
// does nothing and returns [ErrInjected].
func FailBlobsBefore(b storage.Blobs, n int) *FaultyBlobs {
	return &FaultyBlobs{blobs: b, trigger: trigger{fault: faultBefore, n: n}}
}

// FailBlobsAfter returns a blob store whose n-th Create or Delete, from 1, does
// its work and then returns [storage.ErrUnknown].
func FailBlobsAfter(b storage.Blobs, n int) *FaultyBlobs {
	return &FaultyBlobs{blobs: b, trigger: trigger{fault: faultAfter, n: n}}
}

// Create implements [storage.Blobs].
func (f *FaultyBlobs) Create(ctx context.Context, id string, r io.Reader) (int64, error) {
	switch f.write() {
	case faultBefore:
		return 0, fmt.Errorf("%w: blob not stored", ErrInjected)
	case faultAfter:
		if _, err := f.blobs.Create(ctx, id, r); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("%w: %w", storage.ErrUnknown, ErrInjected)
	}
	return f.blobs.Create(ctx, id, r)
}

// Delete implements [storage.Blobs].
func (f *FaultyBlobs) Delete(ctx context.Context, id string) error {
	switch f.write() {
	case faultBefore:
		return fmt.Errorf("%w: blob not deleted", ErrInjected)
	case faultAfter:
		if err := f.blobs.Delete(ctx, id); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", storage.ErrUnknown, ErrInjected)
	}
	return f.blobs.Delete(ctx, id)
}

// Open implements [storage.Blobs].
func (f *FaultyBlobs) Open(ctx context.Context, id string) (storage.Blob, error) {
	return f.blobs.Open(ctx, id)
}

// List implements [storage.Blobs].
func (f *FaultyBlobs) List(ctx context.Context, after string, limit int) ([]string, error) {
	return f.blobs.List(ctx, after, limit)
}
