package storage_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// held is a store in which somebody's transaction holds one record.
type held struct {
	storage.Mem
	key  storage.Key
	free chan struct{} // closed when the transaction ends

	mu     sync.Mutex
	peeked []storage.Key
}

var (
	_ storage.NoWaiter = (*held)(nil)
	_ storage.Peeker   = (*held)(nil)
)

func (h *held) holds(b storage.Batch) bool {
	select {
	case <-h.free:
		return false
	default:
	}
	for _, w := range b.Writes {
		if w.Key == h.key {
			return true
		}
	}
	return false
}

func (h *held) CommitNoWait(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, []bool, error) {
	outs, busy := make([]storage.Outcome, len(batches)), make([]bool, len(batches))
	for i, b := range batches {
		if busy[i] = h.holds(b); busy[i] {
			continue
		}
		one, err := h.Mem.Commit(ctx, []storage.Batch{b})
		if err != nil {
			return nil, nil, err
		}
		outs[i] = one[0]
	}
	return outs, busy, nil
}

func (h *held) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	for _, b := range batches {
		if h.holds(b) {
			select {
			case <-h.free:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	return h.Mem.Commit(ctx, batches)
}

func (h *held) Peek(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	h.mu.Lock()
	h.peeked = append(h.peeked, keys...)
	h.mu.Unlock()
	return h.Get(ctx, keys)
}

// A transaction that holds one record delays nobody in a group who does not
// need it; who does need it waits as long as the own context lets it.
func TestGroupDoesNotWaitForTransactionsOfOthers(t *testing.T) {
	h := &held{key: key("held"), free: make(chan struct{})}
	g := storage.Group(h, &storage.GroupOptions{Shards: 1})
	put := func(ctx context.Context, id string) error {
		return storage.Update(ctx, g, func(tx *storage.Tx) error { return tx.Put(key(id), []byte("x"), time.Time{}) })
	}
	waiting := make(chan error, 3)
	for range 3 {
		go func() { waiting <- put(t.Context(), "held") }()
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, put(short, "held"), context.DeadlineExceeded)
	for range 20 {
		require.NoError(t, put(t.Context(), "other"))
	}
	assert.Empty(t, waiting)
	close(h.free)
	for range 3 {
		require.NoError(t, <-waiting)
	}
	require.NoError(t, g.Close())
	assert.Equal(t, uint64(3), get(t, h, key("held")).Version)
	assert.Equal(t, uint64(20), get(t, h, key("other")).Version)
}

func TestPeekThroughPeeker(t *testing.T) {
	h := &held{free: make(chan struct{})}
	require.NoError(t, storage.Update(t.Context(), h, func(tx *storage.Tx) error {
		if _, err := tx.Get(key("got")); err != nil {
			return err
		}
		_, err := tx.Peek(key("peeked"))
		return err
	}))
	assert.Equal(t, []storage.Key{key("peeked")}, h.peeked)
}

type serial struct {
	storage.Mem
	one bool
}

func (s *serial) Serial() bool { return s.one }

func TestGroupOfSerialStore(t *testing.T) {
	many := storage.Shards(storage.Group(new(storage.Mem), nil))
	assert.Equal(t, runtime.GOMAXPROCS(0), many)
	assert.Equal(t, 1, storage.Shards(storage.Group(&serial{one: true}, nil)))
	assert.Equal(t, many, storage.Shards(storage.Group(&serial{}, nil)))
	assert.Equal(t, 3, storage.Shards(storage.Group(&serial{one: true}, &storage.GroupOptions{Shards: 3})), "who asks for it gets it")
}
