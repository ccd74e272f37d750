package boltstore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

// appendAll appends entries to streams, in one batch.
func appendAll(t *testing.T, s storage.Store, entries ...storage.Entry) {
	t.Helper()
	var b storage.Batch
	seen := make(map[storage.Key]bool)
	for _, e := range entries {
		if !seen[e.Stream] {
			seen[e.Stream] = true
			recs, err := s.Get(t.Context(), []storage.Key{e.Stream})
			require.NoError(t, err)
			b.Writes = append(b.Writes, storage.Write{Key: e.Stream, Expect: recs[0].Version})
		}
	}
	b.Entries = entries
	outs, err := s.Commit(t.Context(), []storage.Batch{b})
	require.NoError(t, err)
	require.True(t, outs[0].OK)
}

// What is appended together reads like what is appended one by one, from
// everywhere and to everywhere.
func TestEntriesAppendedTogether(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	want := make(map[storage.Key][]storage.Entry)
	streams := []storage.Key{key("a"), key("a!"), key("b")}
	for range 40 {
		var entries []storage.Entry
		for range 1 + r.IntN(60) {
			k := streams[r.IntN(1+r.IntN(len(streams)))]
			for range 1 + r.IntN(8) {
				size := r.IntN(120)
				if r.IntN(50) == 0 {
					size = 5000
				}
				e := storage.Entry{
					Stream: k, Seq: uint64(len(want[k]) + 1), Data: bytes.Repeat([]byte{byte(r.IntN(256))}, size),
					At: time.UnixMicro(r.Int64N(4e15) - 2e15).UTC(), // before and after, 1970 too
				}
				entries, want[k] = append(entries, e), append(want[k], e)
			}
		}
		appendAll(t, s, entries...)
	}
	for _, k := range streams {
		for after := range len(want[k]) + 1 {
			limit := 1 + r.IntN(40)
			got, err := s.Entries(t.Context(), k, uint64(after), limit)
			require.NoError(t, err)
			exp := want[k][after:min(after+limit, len(want[k]))]
			require.Len(t, got, len(exp))
			for i := range got {
				require.Equal(t, exp[i].Seq, got[i].Seq)
				require.Equal(t, exp[i].At, got[i].At)
				require.True(t, bytes.Equal(exp[i].Data, got[i].Data))
				_ = append(got[i].Data, 0xff) // must not reach the next one
			}
		}
	}
}

// values returns what the bucket of entries holds.
func values(t *testing.T, path string) (all map[string][]byte) {
	t.Helper()
	all = make(map[string][]byte)
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	require.NoError(t, err)
	require.NoError(t, db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("entry")).ForEach(func(k, v []byte) error {
			all[string(k)] = bytes.Clone(v)
			return nil
		})
	}))
	require.NoError(t, db.Close())
	return all
}

func tenEntries() (entries []storage.Entry) {
	for i := range 10 {
		entries = append(entries, storage.Entry{Stream: key("a"), Seq: uint64(i + 1), At: time.Unix(9, 0), Data: []byte(fmt.Sprint(i))})
	}
	return entries
}

// Entries lie together as far as they fill half a page, so that two such values
// make a page.
func TestEntriesLieTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	appendAll(t, s, tenEntries()...)
	require.NoError(t, s.Close())
	require.Len(t, values(t, path), 1)

	s = open(t, path)
	var entries []storage.Entry
	for i := range 1000 {
		entries = append(entries, storage.Entry{Stream: key("b"), Seq: uint64(i + 1), At: time.Unix(9, 0), Data: make([]byte, 100)})
	}
	entries = append(entries, storage.Entry{Stream: key("b"), Seq: 1001, Data: make([]byte, 2*os.Getpagesize())})
	appendAll(t, s, entries...)
	require.NoError(t, s.Close())
	all := values(t, path)
	assert.Less(t, len(all), 100)
	long := 0
	for k, v := range all {
		if len(k)+len(v) > os.Getpagesize()/2-24 {
			long++
		}
	}
	assert.Equal(t, 1, long, "but for one that is longer by itself")
}

// A damaged value that holds several entries gives ErrCorrupt, wherever it is cut off
// or changed in its numbers.
func TestDamagedEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	appendAll(t, s, tenEntries()...)
	require.NoError(t, s.Close())
	var name, value []byte
	for k, v := range values(t, path) {
		name, value = []byte(k), v
	}
	// damaged reads what is under another name and value.
	damaged := func(name, value []byte) ([]storage.Entry, error) {
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *bolt.Tx) error {
			require.NoError(t, tx.DeleteBucket([]byte("entry")))
			b, err := tx.CreateBucket([]byte("entry"))
			require.NoError(t, err)
			return b.Put(name, value)
		}))
		require.NoError(t, db.Close())
		s, err := boltstore.Open(path, &boltstore.Options{Volatile: true})
		require.NoError(t, err)
		defer s.Close()
		return s.Entries(t.Context(), key("a"), 0, 0)
	}
	got, err := damaged(name, value)
	require.NoError(t, err)
	require.Len(t, got, 10)
	for cut := range len(value) {
		_, err := damaged(name, value[:cut])
		require.ErrorIs(t, err, storage.ErrCorrupt, "cut at %d", cut)
	}
	n := len(name)
	for what, bad := range map[string][2][]byte{
		"more than there are":   {append(bytes.Clone(name[:n-1]), 11), value},
		"fewer than there are":  {append(bytes.Clone(name[:n-1]), 9), value},
		"none":                  {append(bytes.Clone(name[:n-1]), 0), value},
		"before the first":      {append(bytes.Clone(name[:n-3]), 3, 0, 10), value},
		"a name too short":      {name[:n-1], value},
		"a length beyond":       {name, bytes.Replace(value, []byte{1, '9'}, []byte{2, '9'}, 1)},
		"a length without end":  {name, bytes.Replace(value, []byte{1, '9'}, []byte{0xff, 0xff}, 1)},
		"an instant cut off":    {name, append(bytes.Clone(value), 0x80)},
		"a single one, cut off": {name[:n-2], value[:7]},
	} {
		_, err := damaged(bad[0], bad[1])
		require.ErrorIs(t, err, storage.ErrCorrupt, what)
	}
}
