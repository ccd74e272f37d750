package storage_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// tally counts how often its values, of type *int, are encoded and decoded.
type tally struct {
	storage.Codec
	encoded, decoded atomic.Int64
}

var errNegative = errors.New("negative")

func newTally() *tally {
	t := new(tally)
	t.Encode = func(v any) ([]byte, error) {
		t.encoded.Add(1)
		switch n := *v.(*int); {
		case n < 0:
			return nil, errNegative
		case n > 1<<20:
			return make([]byte, n), nil
		default:
			return []byte(strconv.Itoa(n)), nil
		}
	}
	t.Decode = func(r storage.Record) (any, error) {
		t.decoded.Add(1)
		n, err := strconv.Atoi(string(r.Data))
		if err != nil {
			return nil, storage.ErrCorrupt
		}
		return &n, nil
	}
	return t
}

// add is an update that adds to the value under a key.
func (t *tally) add(tx *storage.Tx, key storage.Key, n int) error {
	v, version, err := tx.Value(key, &t.Codec)
	if err != nil {
		return err
	}
	if version == 0 {
		return tx.CreateValue(key, &t.Codec, &n, time.Time{})
	}
	sum := *v.(*int) + n
	return tx.PutValue(key, &t.Codec, &sum, time.Time{})
}

// stores are the ways that an update runs: past a group, leading one, in the
// rounds of one whose store may wait.
func stores() map[string]func() (storage.Store, storage.Store) {
	return map[string]func() (storage.Store, storage.Store){
		"direct": func() (storage.Store, storage.Store) { m := new(storage.Mem); return m, m },
		"lead":   func() (storage.Store, storage.Store) { m := new(storage.Mem); return storage.Group(m, nil), m },
		"rounds": func() (storage.Store, storage.Store) {
			m := new(storage.Mem)
			return storage.Group(struct{ storage.Store }{m}, &storage.GroupOptions{Shards: 1}), m
		},
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	key := storage.Key{Tenant: "t", Kind: "test", ID: "1"}
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, below := open()
			c := newTally()
			ctx := t.Context()
			for range 3 {
				require.NoError(t, storage.Update(ctx, s, func(tx *storage.Tx) error { return c.add(tx, key, 2) }))
			}
			recs, err := below.Get(ctx, []storage.Key{key})
			require.NoError(t, err)
			assert.Equal(t, "6", string(recs[0].Data))
			assert.EqualValues(t, 3, recs[0].Version)
			assert.EqualValues(t, 3, c.encoded.Load())
			if name != "direct" {
				assert.Zero(t, c.decoded.Load(), "what was written stays decoded")
			}

			// What another wrote below is seen, by Value and by Get, which also
			// sees what the run itself wrote.
			require.NoError(t, storage.Update(ctx, below, func(tx *storage.Tx) error { return tx.Put(key, []byte("40"), time.Time{}) }))
			require.NoError(t, storage.Update(ctx, s, func(tx *storage.Tx) error {
				if err := c.add(tx, key, 2); err != nil {
					return err
				}
				recs, err := tx.Get(key)
				if err != nil {
					return err
				}
				return tx.Put(storage.Key{Tenant: "t", Kind: "test", ID: "copy"}, recs[0].Data, time.Time{})
			}))
			recs, err = below.Get(ctx, []storage.Key{key, {Tenant: "t", Kind: "test", ID: "copy"}})
			require.NoError(t, err)
			assert.Equal(t, "42", string(recs[0].Data))
			assert.Equal(t, "42", string(recs[1].Data))

			// Sub takes a value back, and another codec reads the bytes.
			other := newTally()
			require.NoError(t, storage.Update(ctx, s, func(tx *storage.Tx) error {
				if err := c.add(tx, key, 1); err != nil {
					return err
				}
				err := tx.Sub(func() error { return errors.Join(c.add(tx, key, 100), errNegative) })
				if !errors.Is(err, errNegative) {
					return fmt.Errorf("sub: %w", err)
				}
				return other.add(tx, key, 1)
			}))
			recs, err = below.Get(ctx, []storage.Key{key})
			require.NoError(t, err)
			assert.Equal(t, "44", string(recs[0].Data))
			assert.ErrorIs(t, storage.Update(ctx, s, func(tx *storage.Tx) error {
				return tx.CreateValue(key, &c.Codec, new(int), time.Time{})
			}), storage.ErrExists)
		})
	}
}

func TestValue_that_cannot_be_stored(t *testing.T) {
	t.Parallel()
	key := storage.Key{Tenant: "t", Kind: "test", ID: "1"}
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, below := open()
			c := newTally()
			put := func(key storage.Key, n int) error {
				return storage.Update(t.Context(), s, func(tx *storage.Tx) error {
					return tx.PutValue(key, &c.Codec, &n, time.Time{})
				})
			}
			require.ErrorIs(t, put(key, -1), errNegative)
			require.ErrorIs(t, put(key, storage.MaxData+1), storage.ErrTooLarge)
			require.NoError(t, put(key, 1))
			require.ErrorIs(t, put(key, -1), errNegative)

			// Neighbours in a group do not suffer.
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					n := i
					if i%8 == 7 {
						n = -1
					}
					err := put(storage.Key{Tenant: "t", Kind: "test", ID: strconv.Itoa(i % 16)}, n)
					assert.Equal(t, n < 0, errors.Is(err, errNegative), "%d: %v", i, err)
					assert.Equal(t, n >= 0, err == nil, "%d: %v", i, err)
				})
			}
			wg.Wait()
			recs, err := below.Get(t.Context(), []storage.Key{key})
			require.NoError(t, err)
			assert.NotZero(t, recs[0].Version)
			_, err = strconv.Atoi(string(recs[0].Data))
			assert.NoError(t, err)
		})
	}
}

// Many callers add to one value: each counts once, and encoding is shared.
func TestValue_is_encoded_once_per_commit(t *testing.T) {
	t.Parallel()
	key := storage.Key{Tenant: "t", Kind: "test", ID: "1"}
	m := new(storage.Mem)
	gate, entered := make(chan struct{}), make(chan struct{}, 200)
	g := storage.Group(gated{m, gate, entered}, &storage.GroupOptions{Shards: 1})
	c := newTally()
	var wg sync.WaitGroup
	add := func() {
		assert.NoError(t, storage.Update(t.Context(), g, func(tx *storage.Tx) error { return c.add(tx, key, 1) }))
	}
	wg.Go(add)
	<-entered // the first commit is in flight
	for range 100 {
		wg.Go(add)
	}
	for storage.Waiting(g) < 100 {
		runtime.Gosched()
	}
	close(gate)
	wg.Wait()
	recs, err := m.Get(t.Context(), []storage.Key{key})
	require.NoError(t, err)
	assert.Equal(t, "101", string(recs[0].Data))
	assert.Less(t, c.encoded.Load(), int64(15))
	assert.Less(t, c.decoded.Load(), int64(15))
}

// gated commits once its gate is open.
type gated struct {
	storage.Store
	gate    chan struct{}
	entered chan struct{}
}

func (s gated) Commit(ctx context.Context, b []storage.Batch) ([]storage.Outcome, error) {
	s.entered <- struct{}{}
	<-s.gate
	return s.Store.Commit(ctx, b)
}
