package storage_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// turns is a store whose records can be held, as one table of them.
type turns struct {
	mem    *storage.Mem
	mu     *sync.Mutex
	locked atomic.Int64 // rounds that locked first
	given  atomic.Int64 // and were given up
	away   atomic.Bool  // somebody else holds everything
	keys   sync.Map     // that were locked
}

func (s *turns) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	return s.mem.Get(ctx, keys)
}

func (s *turns) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	return s.mem.Commit(ctx, batches)
}

func (s *turns) Entries(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	return s.mem.Entries(ctx, stream, after, limit)
}

func (s *turns) Due(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
	return s.mem.Due(ctx, kind, until, limit)
}

func (s *turns) List(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
	return s.mem.List(ctx, tenant, kind, after, limit)
}

func (s *turns) CommitLocked(ctx context.Context, keys []storage.Key, decide func(held []storage.Record, get storage.GetFunc) []storage.Batch) ([]storage.Outcome, []bool, error) {
	if s.away.Load() {
		s.given.Add(1)
		return nil, nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked.Add(1)
	for _, k := range keys {
		s.keys.Store(k, true)
	}
	held, err := s.mem.Get(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	batches := decide(held, s.mem.Get)
	outs, err := s.mem.Commit(ctx, batches)
	return outs, nil, err
}

func counterKey(name string) storage.Key {
	return storage.Key{Tenant: "acme", Kind: "t.count", ID: name}
}

// count adds one under an id of its own, and returns what was counted.
func count(ctx context.Context, s storage.Store, name, id string) (n int, err error) {
	err = storage.UpdateWith(ctx, s, &storage.UpdateOptions{Near: []storage.Key{counterKey(name)}}, func(tx *storage.Tx) error {
		n, err = storage.Once(tx, storage.Key{Tenant: "acme", Kind: "t.op", ID: id}, id, func() (int, error) {
			recs, err := tx.Get(counterKey(name))
			if err != nil {
				return 0, err
			}
			n, _ := strconv.Atoi(string(recs[0].Data))
			return n + 1, tx.Put(counterKey(name), []byte(strconv.Itoa(n+1)), time.Time{})
		})
		return err
	})
	return n, err
}

func counted(t *testing.T, s storage.Store, name string) string {
	t.Helper()
	recs, err := s.Get(t.Context(), []storage.Key{counterKey(name)})
	require.NoError(t, err)
	return string(recs[0].Data)
}

func groupOf(t *testing.T, s storage.Store) *storage.Grouped {
	t.Helper()
	g := storage.Group(s, nil)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	return g
}

// Groups that compete for a record take turns after the first lost race: each
// answer is given once, and the record next to it is not locked.
func TestLockFirst(t *testing.T) {
	s := &turns{mem: new(storage.Mem), mu: new(sync.Mutex)}
	_, err := count(t.Context(), s, "hot", "first")
	require.NoError(t, err)
	const groups, callers, calls = 4, 8, 40
	var answers sync.Map
	var wg sync.WaitGroup
	for g := range groups {
		store := groupOf(t, s)
		for c := range callers {
			wg.Go(func() {
				for i := range calls {
					n, err := count(t.Context(), store, "hot", fmt.Sprint(g, c, i))
					assert.NoError(t, err)
					_, twice := answers.LoadOrStore(n, true)
					assert.False(t, twice, "%d was answered twice", n)
					_, err = count(t.Context(), store, fmt.Sprint("own", g), fmt.Sprint("own", g, c, i))
					assert.NoError(t, err)
				}
			})
		}
	}
	wg.Wait()
	assert.Equal(t, strconv.Itoa(groups*callers*calls+1), counted(t, s, "hot"))
	for g := range groups {
		assert.Equal(t, strconv.Itoa(callers*calls), counted(t, s, fmt.Sprint("own", g)))
	}
	assert.NotZero(t, s.locked.Load(), "no round locked first")
	s.keys.Range(func(k, _ any) bool { return assert.Equal(t, counterKey("hot"), k) })
}

// Sixteen rounds after the others are gone, a group commits as before.
func TestLockFirstEnds(t *testing.T) {
	s := &turns{mem: new(storage.Mem), mu: new(sync.Mutex)}
	g := groupOf(t, s)
	other := func(id string) {
		_, err := count(t.Context(), s, "hot", id)
		require.NoError(t, err)
	}
	ours := func(id string) {
		_, err := count(t.Context(), g, "hot", id)
		require.NoError(t, err)
	}
	ours("1")
	other("2")
	ours("3") // loses to 2, and locks
	assert.EqualValues(t, 1, s.locked.Load())
	for i := range 16 + 10 {
		ours(fmt.Sprint("quiet", i))
	}
	assert.EqualValues(t, 16, s.locked.Load())
	other("4")
	ours("5")
	assert.EqualValues(t, 17, s.locked.Load())
	for i := range 10 { // who meets others goes on
		other(fmt.Sprint("other", i))
		ours(fmt.Sprint("ours", i))
	}
	assert.EqualValues(t, 27, s.locked.Load())
	assert.Equal(t, "51", counted(t, s, "hot"))
}

// A record that somebody keeps holds up its own updates only, each of which waits
// by itself, under its own context.
func TestLockFirstGivesUp(t *testing.T) {
	s := &turns{mem: new(storage.Mem), mu: new(sync.Mutex)}
	g := groupOf(t, s)
	for i := range 2 { // the group knows version 1, somebody else writes 2
		_, err := count(t.Context(), []storage.Store{g, s}[i], "hot", fmt.Sprint("first", i))
		require.NoError(t, err)
	}
	s.away.Store(true)
	n, err := count(t.Context(), g, "hot", "alone")
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	assert.EqualValues(t, 1, s.given.Load())
	n, err = count(t.Context(), g, "hot", "later")
	require.NoError(t, err)
	assert.Equal(t, 4, n)
}

// A function that ends its goroutine, or panics, while its round holds a record
// leaves the record to the others.
func TestLockFirstPanics(t *testing.T) {
	s := &turns{mem: new(storage.Mem), mu: new(sync.Mutex)}
	g := groupOf(t, s)
	for i := range 2 {
		_, err := count(t.Context(), []storage.Store{g, s}[i], "hot", fmt.Sprint("first", i))
		require.NoError(t, err)
	}
	_, err := count(t.Context(), g, "hot", "opens the lane")
	require.NoError(t, err)
	locked := s.locked.Load()
	assert.PanicsWithValue(t, "planted", func() {
		_ = storage.UpdateWith(t.Context(), g, &storage.UpdateOptions{Near: []storage.Key{counterKey("hot")}}, func(tx *storage.Tx) error { panic("planted") })
	})
	assert.Greater(t, s.locked.Load(), locked)
	n, err := count(t.Context(), g, "hot", "after")
	require.NoError(t, err)
	assert.Equal(t, 4, n)
}
