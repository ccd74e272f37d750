package storage_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

func TestGroupMemoryIsBounded(t *testing.T) {
	g := storage.Group(&readCounter{Store: new(storage.Mem)}, &storage.GroupOptions{CacheRecords: 10, CacheBytes: 4096})
	most := 0
	for i := range 100 {
		require.NoError(t, storage.Update(t.Context(), g, func(tx *storage.Tx) error {
			return tx.Put(key(fmt.Sprint(i)), make([]byte, i*10), time.Time{})
		}))
		records, bytes := storage.Cached(g)
		require.LessOrEqual(t, records, 10)
		require.LessOrEqual(t, bytes, int64(4096))
		most = max(most, records)
	}
	require.Equal(t, 10, most)
}

// readCounter counts the keys that are read.
type readCounter struct {
	storage.Store
	keys map[storage.Key]int
}

func (s *readCounter) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	for _, k := range keys {
		if s.keys != nil {
			s.keys[k]++
		}
	}
	return s.Store.Get(ctx, keys)
}

// What every update uses stays in memory, however many records come and go.
func TestGroupForgetsWhatIsNotUsed(t *testing.T) {
	mem := new(storage.Mem)
	s := &readCounter{mem, make(map[storage.Key]int)}
	g := storage.Group(s, &storage.GroupOptions{Shards: 1, CacheRecords: 20})
	put(t, mem, key("rules"), "")
	for i := range 200 {
		id := key(fmt.Sprint(i))
		require.NoError(t, storage.Update(t.Context(), g, func(tx *storage.Tx) error {
			if _, err := tx.Get(key("rules"), key("hot")); err != nil {
				return err
			}
			return errors.Join(tx.Create(id, nil, time.Time{}), tx.Put(key("hot"), []byte(id.ID), time.Time{}))
		}))
	}
	assert.Equal(t, map[storage.Key]int{key("rules"): 1, key("hot"): 1}, s.keys)
	require.NoError(t, g.Close())
}

// Of two keys of one hash the cache keeps the later, and takes neither for the other.
func TestCacheTellsKeysOfOneHashApart(t *testing.T) {
	found := storage.CacheCollision(key("a"), key("b"))
	assert.Equal(t, []bool{false, true}, found)
}
