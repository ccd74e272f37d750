package evidence

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/storage"
)

// Heads and watermarks read back as they were written, in the form of this release
// and as JSON of those before, and from nothing else.
func TestStoredForms(t *testing.T) {
	t.Parallel()
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		return time.UnixMicro(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "at")).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		h := chainHead{Seq: rapid.Uint64().Draw(t, "seq"), Sealed: rapid.Uint64().Draw(t, "sealed"), At: instant.Draw(t, "at"), Due: instant.Draw(t, "due"),
			Hash: rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash")}
		for range rapid.IntRange(0, 3).Draw(t, "known") {
			h.Known = append(h.Known, rapid.StringMatching("[0-9a-f]{32}").Draw(t, "alias"))
		}
		m := watermark{Seq: rapid.Uint64().Draw(t, "n"), Runs: rapid.SliceOf(rapid.Custom(func(t *rapid.T) run {
			return run{rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b"), rapid.Uint64().Draw(t, "c")}
		})).Draw(t, "runs")}
		stored(t, chains, h)
		stored(t, marks, m)
	})
}

func stored[T any](t *rapid.T, k packed[T], v T) {
	old, err := k.Kind.Encode(v)
	require.NoError(t, err)
	now := k.encode(&v)
	for _, b := range [][]byte{old, now} {
		got, err := k.Decode(storage.Record{Data: b})
		require.NoError(t, err)
		assert.Equal(t, v, got)
	}
	n := rapid.IntRange(0, len(now)-1).Draw(t, "cut")
	for _, bad := range [][]byte{now[:n], append(bytes.Clone(now), 0), append([]byte{wireMark, wireSchema + 1}, now[2:]...)} {
		_, err := k.Decode(storage.Record{Data: bad})
		require.ErrorIs(t, err, storage.ErrCorrupt)
		assert.Equal(t, len(bad) > 1 && bad[1] > wireSchema, errors.Is(err, storage.ErrNewer))
	}
}

// The edge of a tree gives the roots and tiles that x/mod's tlog gives, however
// the leaves come.
func TestEdge(t *testing.T) {
	t.Parallel()
	const most = 70_000
	steps := []int{1, 1, 3, 250, 1, 1, 256, 255, 1, 1000, 5000, 60_000, 7}
	var all []tlog.Hash // as tlog stores them
	at := tlog.HashReaderFunc(func(list []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(list))
		for i, x := range list {
			out[i] = all[x]
		}
		return out, nil
	})
	mem := new(storage.Mem)
	l := &Log{store: mem}
	size := int64(0)
	for _, n := range steps {
		require.LessOrEqual(t, size+int64(n), int64(most))
		was, err := tlog.TreeHash(size, at)
		require.NoError(t, err)
		e, err := l.readEdge(t.Context(), uint64(size), was[:])
		require.NoError(t, err)
		before := size
		for range n {
			leaf := fmt.Appendf(nil, "leaf %d", size)
			e.add(leaf)
			list, err := tlog.StoredHashes(size, leaf, at)
			require.NoError(t, err)
			all = append(all, list...)
			size++
		}
		root, err := tlog.TreeHash(size, at)
		require.NoError(t, err)
		require.Equal(t, root, e.root(), size)
		want := map[storage.Key][]byte{}
		for _, x := range tlog.NewTiles(tileHeight, before, size) {
			b, err := tlog.ReadTileData(x, at)
			require.NoError(t, err)
			if k := tileKey(x.L, x.N); len(b) > len(want[k]) {
				want[k] = b
			}
		}
		got := map[storage.Key][]byte{}
		for _, x := range e.changed() {
			require.Nil(t, got[x.key], "once")
			got[x.key] = x.data
		}
		require.Equal(t, want, got)
		require.NoError(t, storage.Update(t.Context(), mem, func(tx *storage.Tx) error {
			for k, b := range got {
				if err := tx.Put(k, b, time.Time{}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	root, err := tlog.TreeHash(size, at)
	require.NoError(t, err)
	// A tile that is not the tree's is not built upon.
	key := tileKey(0, size/tileWidth)
	require.NoError(t, storage.Update(t.Context(), mem, func(tx *storage.Tx) error {
		recs, err := tx.Get(key)
		if err != nil {
			return err
		}
		recs[0].Data[3] ^= 1
		return tx.Put(key, recs[0].Data, time.Time{})
	}))
	_, err = l.readEdge(t.Context(), uint64(size), root[:])
	require.ErrorIs(t, err, storage.ErrCorrupt)
	empty := sha256.Sum256(nil)
	_, err = l.readEdge(t.Context(), 0, empty[:])
	require.NoError(t, err)
	_, err = l.readEdge(t.Context(), 0, root[:])
	require.ErrorIs(t, err, storage.ErrCorrupt)
}

// FuzzStoredForms: a head or watermark is read whole or refused.
func FuzzStoredForms(f *testing.F) {
	h := chainHead{Seq: 8, Hash: make([]byte, 32), At: time.UnixMicro(1), Sealed: 7, Known: []string{"0123"}}
	m := watermark{Seq: 8, Runs: []run{{1, 0, 8}}}
	f.Add(chains.encode(&h))
	f.Add(marks.encode(&m))
	f.Add(HeadJSON(chains.encode(&h)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := chains.Decode(storage.Record{Data: b}); err == nil && b[0] != '{' {
			assert.Equal(t, b, chains.encode(&h))
		}
		if m, err := marks.Decode(storage.Record{Data: b}); err == nil && b[0] != '{' {
			assert.Equal(t, b, marks.encode(&m))
		}
	})
}
