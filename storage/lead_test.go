package storage_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// queued starts updates on a group over a Mem, whose one shard is held up until
// release is called, and waits until all of them wait.
func queued(t *testing.T, g *storage.Grouped, updates ...func()) (release func(), all *sync.WaitGroup) {
	t.Helper()
	hold, held := make(chan struct{}), make(chan struct{})
	all = new(sync.WaitGroup)
	all.Go(func() {
		assert.NoError(t, storage.Update(context.Background(), g, func(*storage.Tx) error {
			close(held)
			<-hold
			return nil
		}))
	})
	<-held
	for i, u := range updates {
		all.Go(u)
		require.Eventually(t, func() bool { return storage.Waiting(g) == i+1 }, 5*time.Second, time.Millisecond)
	}
	return func() { close(hold) }, all
}

// TestGroup_over_memory_serves_all_that_wait: what one function does to the
// goroutine that runs it is its caller's concern alone.
func TestGroup_over_memory_serves_all_that_wait(t *testing.T) {
	t.Parallel()
	m := new(storage.Mem)
	g := storage.Group(m, &storage.GroupOptions{Shards: 1})
	key := func(i int) storage.Key { return storage.Key{Tenant: "t", Kind: "test", ID: strconv.Itoa(i)} }
	errOwn := errors.New("own")
	var panicked any
	var returned bool
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := make(chan error, 1)
	put := func(i int, fn func() error) error {
		return storage.Update(t.Context(), g, func(tx *storage.Tx) error {
			if err := tx.Put(key(i), []byte("x"), time.Time{}); err != nil {
				return err
			}
			return fn()
		})
	}
	nothing := func() error { return nil }
	release, all := queued(t, g,
		func() { assert.NoError(t, put(0, nothing)) },
		func() { assert.Equal(t, errOwn, put(1, func() error { return errOwn })) },
		func() {
			defer func() { panicked = recover() }()
			_ = put(2, func() error { panic("mine") })
		},
		func() {
			_ = put(3, func() error { runtime.Goexit(); return nil })
			returned = true
		},
		func() { assert.NoError(t, put(4, nothing)) },
		func() {
			cancelled <- storage.Update(ctx, g, func(tx *storage.Tx) error { return tx.Put(key(5), nil, time.Time{}) })
		},
	)
	cancel()
	require.ErrorIs(t, <-cancelled, context.Canceled)
	release()
	all.Wait()
	assert.Equal(t, "mine", panicked)
	assert.False(t, returned, "the goroutine that asked for it ends")
	require.NoError(t, put(6, nothing))
	for i, want := range []uint64{1, 0, 0, 0, 1, 0, 1} {
		recs, err := m.Get(t.Context(), []storage.Key{key(i)})
		require.NoError(t, err)
		assert.Equal(t, want, recs[0].Version, "update %d", i)
	}
	require.NoError(t, g.Close())
}

// TestGroup_over_memory_finds_nested_updates also where the server runs them.
func TestGroup_over_memory_finds_nested_updates(t *testing.T) {
	t.Parallel()
	g := storage.Group(new(storage.Mem), &storage.GroupOptions{Shards: 1})
	nested := func() {
		assert.Panics(t, func() {
			_ = storage.Update(t.Context(), g, func(*storage.Tx) error {
				return storage.Update(t.Context(), g, func(*storage.Tx) error { return nil })
			})
		})
	}
	nested()
	release, all := queued(t, g, nested)
	release()
	all.Wait()
	require.NoError(t, storage.Update(t.Context(), g, func(*storage.Tx) error { return nil }))
	require.NoError(t, g.Close())
}

// TestGroup_over_memory_counts_right adds from many callers.
func TestGroup_over_memory_counts_right(t *testing.T) {
	t.Parallel()
	m := new(storage.Mem)
	g := storage.Group(m, &storage.GroupOptions{Shards: 2})
	const callers, each = 32, 100
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for range each {
				key := storage.Key{Tenant: "t", Kind: "test", ID: fmt.Sprint(c % 3)}
				err := storage.UpdateWith(context.Background(), g, &storage.UpdateOptions{Near: []storage.Key{key}}, func(tx *storage.Tx) error {
					recs, err := tx.Get(key)
					if err != nil {
						return err
					}
					n, _ := strconv.Atoi(string(recs[0].Data))
					return tx.Put(key, strconv.AppendInt(nil, int64(n+1), 10), time.Time{})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	sum := 0
	for i := range 3 {
		recs, err := m.Get(t.Context(), []storage.Key{{Tenant: "t", Kind: "test", ID: strconv.Itoa(i)}})
		require.NoError(t, err)
		n, err := strconv.Atoi(string(recs[0].Data))
		require.NoError(t, err)
		sum += n
	}
	assert.Equal(t, callers*each, sum)
}
