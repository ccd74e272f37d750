package storage_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// reads counts the keys that are read.
type reads struct {
	storage.Store
	n atomic.Int64
}

func (r *reads) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	r.n.Add(int64(len(keys)))
	return r.Store.Get(ctx, keys)
}

// Keys that a call means to create are not read, and are never taken for absent
// when they are there.
func TestGroupPresumesWhatIsToBeCreatedAbsent(t *testing.T) {
	hot := key("hot")
	open := func(t *testing.T) (*storage.Mem, *reads, *storage.Grouped) {
		mem := new(storage.Mem)
		put(t, mem, hot, "0")
		s := &reads{Store: mem}
		g := storage.Group(s, oneShard())
		require.NoError(t, increment(t.Context(), g, hot))
		s.n.Store(0)
		return mem, s, g
	}
	update := func(g *storage.Grouped, k storage.Key, fn func(*storage.Tx) error) error {
		return storage.UpdateWith(t.Context(), g, &storage.UpdateOptions{Near: []storage.Key{hot}, Create: []storage.Key{k}}, fn)
	}
	take := func(k storage.Key) func(*storage.Tx) (string, error) {
		return func(tx *storage.Tx) (string, error) {
			return storage.Once(tx, k, "take", func() (string, error) { return "taken", tx.Put(hot, []byte("1"), time.Time{}) })
		}
	}
	t.Run("absent", func(t *testing.T) {
		mem, s, g := open(t)
		require.NoError(t, update(g, key("new"), func(tx *storage.Tx) error { _, err := take(key("new"))(tx); return err }))
		assert.Zero(t, s.n.Load(), "one round trip")
		assert.Equal(t, uint64(1), get(t, mem, key("new")).Version)
	})
	t.Run("there", func(t *testing.T) {
		mem, _, g := open(t)
		_, err := storage.UpdateValue(t.Context(), mem, take(key("done")))
		require.NoError(t, err)
		before := get(t, mem, hot)
		for range 3 {
			var answer string
			require.NoError(t, update(g, key("done"), func(tx *storage.Tx) (err error) { answer, err = take(key("done"))(tx); return err }))
			assert.Equal(t, "taken", answer)
		}
		assert.Equal(t, before, get(t, mem, hot), "answered, not done again")
	})
	t.Run("there, and the function creates nothing", func(t *testing.T) {
		mem, _, g := open(t)
		put(t, mem, key("flag"), "x")
		require.NoError(t, update(g, key("flag"), func(tx *storage.Tx) error {
			recs, err := tx.Get(key("flag"))
			if err != nil {
				return err
			}
			return tx.Put(hot, []byte(fmt.Sprint("flag ", recs[0].Version)), time.Time{})
		}))
		assert.Equal(t, "flag 1", string(get(t, mem, hot).Data))
	})
	t.Run("there, and the function refuses", func(t *testing.T) {
		mem, _, g := open(t)
		put(t, mem, key("flag"), "x")
		missing := errors.New("flag is missing")
		require.NoError(t, update(g, key("flag"), func(tx *storage.Tx) error {
			recs, err := tx.Get(key("flag"))
			if err == nil && recs[0].Version == 0 {
				err = missing
			}
			return err
		}))
	})
	t.Run("there, and the function takes its creation back", func(t *testing.T) {
		mem, _, g := open(t)
		put(t, mem, key("flag"), "x")
		require.NoError(t, update(g, key("flag"), func(tx *storage.Tx) error {
			err := tx.Sub(func() error {
				if err := tx.Create(key("flag"), nil, time.Time{}); err != nil {
					return err
				}
				return errors.New("never mind")
			})
			return tx.Put(hot, []byte(fmt.Sprint(errors.Is(err, storage.ErrExists))), time.Time{})
		}))
		assert.Equal(t, "true", string(get(t, mem, hot).Data))
	})
}
