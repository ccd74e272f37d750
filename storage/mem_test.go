package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// TestMem_memory_of_the_removed: an update that found a record notices that it was
// removed, even if another one, of the same version, lies in its memory now.
func TestMem_memory_of_the_removed(t *testing.T) {
	t.Parallel()
	ctx, m := t.Context(), new(storage.Mem)
	a, b := storage.Key{Tenant: "t", Kind: "test", ID: "a"}, storage.Key{Tenant: "t", Kind: "test", ID: "b"}
	commit := func(w storage.Write) {
		outs, err := m.Commit(ctx, []storage.Batch{{Writes: []storage.Write{w}}})
		require.NoError(t, err)
		require.True(t, outs[0].OK)
	}
	commit(storage.Write{Key: a, Data: []byte("a")})
	runs := 0
	require.NoError(t, storage.Update(ctx, m, func(tx *storage.Tx) error {
		runs++
		r, err := tx.Get(a)
		if err != nil {
			return err
		}
		if runs == 1 {
			commit(storage.Write{Key: a, Expect: 1, Delete: true})
			commit(storage.Write{Key: b, Data: []byte("b")})
		}
		assert.Equal(t, runs == 1, r[0].Version == 1)
		return tx.Put(a, append(r[0].Data, '+'), time.Time{})
	}))
	assert.Equal(t, 2, runs)
	recs, err := m.Get(ctx, []storage.Key{a, b})
	require.NoError(t, err)
	assert.Equal(t, "+", string(recs[0].Data))
	assert.Equal(t, "b", string(recs[1].Data))
}
