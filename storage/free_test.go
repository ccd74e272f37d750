package storage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// TestCodec_frees_what_no_run_has proves that a Mem gives a value away once it was
// replaced, and not while any other run may still read it.
func TestCodec_frees_what_no_run_has(t *testing.T) {
	key := storage.Key{Tenant: "t", Kind: "test.free", ID: "1"}
	for name, wrap := range map[string]func(*storage.Mem) storage.Store{
		"direct": func(m *storage.Mem) storage.Store { return m },
		"group":  func(m *storage.Mem) storage.Store { return storage.Group(m, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			mem := new(storage.Mem)
			s := wrap(mem)
			c := newTally()
			var freed []*int
			c.Free = func(v any) { freed = append(freed, v.(*int)) }
			put := func(s storage.Store, n *int) {
				require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
					_, _, err := tx.Value(key, &c.Codec)
					if err != nil {
						return err
					}
					return tx.PutValue(key, &c.Codec, n, time.Time{})
				}))
			}
			is := func(want int, v any, err error) {
				require.NoError(t, err)
				assert.Equal(t, want, *v.(*int))
			}
			n := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
			put(s, &n[1])
			assert.Empty(t, freed, "nothing was replaced")
			put(s, &n[2])
			require.Len(t, freed, 1)
			assert.Same(t, &n[1], freed[0])

			// A reader has 2 while it is replaced: it stays the reader's.
			require.NoError(t, storage.View(t.Context(), s, func(tx *storage.Tx) error {
				v, version, err := tx.Value(key, &c.Codec)
				is(int(version), v, err)
				if version == 2 {
					put(mem, &n[3])
				}
				assert.NotContains(t, freed, v.(*int))
				return nil
			}))
			assert.Len(t, freed, 1)

			// A refusal and a panic replace nothing, and the panic's run keeps what it had.
			refused := errors.New("refused")
			assert.Equal(t, refused, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
				v, _, err := tx.Value(key, &c.Codec)
				is(3, v, err)
				require.NoError(t, tx.PutValue(key, &c.Codec, &n[9], time.Time{}))
				return refused
			}))
			assert.Len(t, freed, 1)
			assert.Panics(t, func() {
				_ = storage.Update(context.Background(), s, func(tx *storage.Tx) error {
					_, _, _ = tx.Value(key, &c.Codec)
					panic("run")
				})
			})
			put(s, &n[4])
			assert.Len(t, freed, 1)

			// What lost a race was never kept; what won it is freed by who replaces it.
			ran := 0
			require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
				v, _, err := tx.Value(key, &c.Codec)
				if ran++; ran == 1 {
					is(4, v, err)
					put(mem, &n[5])
					is(4, v, nil)
					return tx.PutValue(key, &c.Codec, &n[6], time.Time{})
				}
				is(5, v, err)
				return tx.PutValue(key, &c.Codec, &n[7], time.Time{})
			}))
			assert.Equal(t, 2, ran)
			require.Len(t, freed, 2)
			assert.Same(t, &n[5], freed[1])

			// A value that a run decoded is that run's too.
			require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error { return tx.Put(key, []byte("8"), time.Time{}) }))
			require.Len(t, freed, 3)
			assert.Same(t, &n[7], freed[2])
			put(s, &n[9])
			assert.Len(t, freed, 3, "decoded by the run that replaced it")
		})
	}
}
