package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

// filled returns the bytes of a store with records and streams on many pages.
func filled(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	for i := range 40 {
		require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
			for j := range 20 {
				k := key(fmt.Sprintf("%03d", 20*i+j))
				if err := tx.Create(k, bytes.Repeat([]byte{byte(j)}, 200), time.Unix(int64(i+1), 0)); err != nil {
					return err
				}
				if _, err := tx.Append(k, bytes.Repeat([]byte{byte(j)}, 100)); err != nil {
					return err
				}
			}
			return tx.Create(key(fmt.Sprint("long-", i)), make([]byte, 10_000), time.Time{})
		}))
	}
	require.NoError(t, s.Close())
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

// use works with what a damaged file has left.
func use(t *testing.T, s *boltstore.Store) error {
	_, get := s.Get(t.Context(), []storage.Key{key("000"), key("399"), key("799"), key("long-7")})
	_, due := s.Due(t.Context(), "t.rec", time.Unix(100, 0), 0)
	_, list := s.List(t.Context(), "acme", "t.rec", "", 0)
	_, entries := s.Entries(t.Context(), key("399"), 0, 0)
	return errors.Join(get, due, list, entries, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		return errors.Join(tx.Create(key("x"), nil, time.Unix(9, 0)), tx.Put(key("500"), nil, time.Unix(9, 0)))
	}))
}

// A file that was cut off is found out when it is opened, and not by the end of
// the process.
func TestOpenCutOffFile(t *testing.T) {
	data := filled(t)
	for cut := len(data) - 1; cut > 0; cut -= 37_000 {
		path := filepath.Join(t.TempDir(), "cut.db")
		require.NoError(t, os.WriteFile(path, data[:cut], 0o600))
		s, err := boltstore.Open(path, nil)
		if err == nil { // the missing pages were free
			require.NoError(t, use(t, s), "cut at %d", cut)
			require.NoError(t, s.Close())
			continue
		}
		require.ErrorIs(t, err, storage.ErrCorrupt, "cut at %d", cut)
	}
}

// A damaged page gives ErrCorrupt, or data that is not what it was: values have no
// checksums. It never ends the process.
func TestDamagedPages(t *testing.T) {
	data, r := filled(t), rand.New(rand.NewPCG(1, 2))
	found, step := 0, 7*4096
	if testing.Short() {
		step *= 5
	}
	for page := 2 * 4096; page < len(data); page += step {
		for _, damage := range []func([]byte){
			func(b []byte) { clear(b) },
			func(b []byte) { copy(b, bytes.Repeat([]byte{0xff}, 64)) },
			func(b []byte) { b[8+r.IntN(24)] ^= byte(1 + r.IntN(255)) }, // flags, counts, first offsets
		} {
			bad := bytes.Clone(data)
			damage(bad[page : page+4096])
			path := filepath.Join(t.TempDir(), "bad.db")
			require.NoError(t, os.WriteFile(path, bad, 0o600))
			s, err := boltstore.Open(path, nil)
			if err == nil {
				err = use(t, s)
				require.NoError(t, s.Close())
			}
			if err != nil {
				assert.ErrorIs(t, err, storage.ErrCorrupt)
				found++
			}
			require.NoError(t, os.Remove(path))
		}
	}
	assert.Positive(t, found)
}

// Whatever cuts the file off while it is open gives an error too.
func TestCutOffWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	require.NoError(t, os.WriteFile(path, filled(t), 0o600))
	s := open(t, path)
	require.NoError(t, os.Truncate(path, 3*4096))
	require.ErrorIs(t, use(t, s), storage.ErrCorrupt)
}
