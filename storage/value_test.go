package storage_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

func TestUpdateValue(t *testing.T) {
	t.Parallel()
	key := storage.Key{Tenant: "t", Kind: "test", ID: "1"}
	boom := errors.New("boom")

	t.Run("the answer is that of the run which was committed", func(t *testing.T) {
		t.Parallel()
		s := new(storage.Mem)
		runs := 0
		got, err := storage.UpdateValue(t.Context(), s, func(tx *storage.Tx) ([]byte, error) {
			recs, err := tx.Get(key)
			if err != nil {
				return nil, err
			}
			if runs++; runs == 1 { // another wins the race
				require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
					return tx.Create(key, []byte("first"), time.Time{})
				}))
			}
			return recs[0].Data, tx.Put(key, []byte("second"), time.Time{})
		})
		require.NoError(t, err)
		assert.Equal(t, 2, runs)
		assert.Equal(t, "first", string(got))

		got, err = storage.ViewValue(t.Context(), s, func(tx *storage.Tx) ([]byte, error) {
			recs, err := tx.Get(key)
			return recs[0].Data, err
		})
		require.NoError(t, err)
		assert.Equal(t, "second", string(got))
	})

	t.Run("an error comes with the zero value", func(t *testing.T) {
		t.Parallel()
		s := new(storage.Mem)
		n, err := storage.UpdateValue(t.Context(), s, func(tx *storage.Tx) (int, error) { return 7, boom })
		require.ErrorIs(t, err, boom)
		assert.Zero(t, n)
		n, err = storage.ViewValue(t.Context(), s, func(tx *storage.Tx) (int, error) { return 7, boom })
		require.ErrorIs(t, err, boom)
		assert.Zero(t, n)
		n, err = storage.UpdateValueWith(t.Context(), s, &storage.UpdateOptions{Attempts: 1}, func(tx *storage.Tx) (int, error) {
			if _, err := tx.Get(key); err != nil {
				return 0, err
			}
			require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
				return tx.Create(key, nil, time.Time{})
			}))
			return 7, tx.Put(key, nil, time.Time{})
		})
		require.ErrorIs(t, err, storage.ErrContended)
		assert.Zero(t, n, "the run ended well, but was not committed")
	})
}
