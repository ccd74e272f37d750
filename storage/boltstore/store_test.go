package boltstore_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
	"github.com/countersign/countersign/storage/storagetest"
)

func open(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// The suite runs without syncs, which no rule of it can see, and once with.
func TestStore(t *testing.T) {
	storagetest.TestStore(t, func(t *testing.T) storage.Store {
		s, err := boltstore.Open(filepath.Join(t.TempDir(), "store.db"), &boltstore.Options{Volatile: true})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, s.Close()) })
		return s
	})
}

// A copy of the file, taken while the store is open, is what a killed process
// leaves behind.
func TestReopen(t *testing.T) {
	storagetest.TestReopen(t, func(t *testing.T) (storage.Store, func() storage.Store) {
		dir, n := t.TempDir(), 0
		path := filepath.Join(dir, "0.db")
		return open(t, path), func() storage.Store {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			n++
			path = filepath.Join(dir, fmt.Sprint(n, ".db"))
			require.NoError(t, os.WriteFile(path, data, 0o600))
			return open(t, path)
		}
	})
}

func put(t *testing.T, s storage.Store, id, data string) {
	t.Helper()
	outs, err := s.Commit(t.Context(), []storage.Batch{{Writes: []storage.Write{{Key: key(id), Data: []byte(data), Due: time.Unix(1, 0)}}}})
	require.NoError(t, err)
	require.True(t, outs[0].OK)
}

func key(id string) storage.Key { return storage.Key{Tenant: "acme", Kind: "t.rec", ID: id} }

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	open(t, path)
	_, err := boltstore.Open(path, &boltstore.Options{Timeout: 10 * time.Millisecond})
	require.ErrorIs(t, err, boltstore.ErrLocked)
}

func TestClosed(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	require.NoError(t, s.Close())
	ctx := t.Context()
	_, err := s.Get(ctx, []storage.Key{key("a")})
	require.ErrorIs(t, err, storage.ErrClosed)
	_, err = s.Commit(ctx, []storage.Batch{{Writes: []storage.Write{{Key: key("a")}}}})
	require.ErrorIs(t, err, storage.ErrClosed)
	_, err = s.Entries(ctx, key("a"), 0, 1)
	require.ErrorIs(t, err, storage.ErrClosed)
	_, err = s.Due(ctx, "t.rec", time.Unix(1, 0), 1)
	require.ErrorIs(t, err, storage.ErrClosed)
	_, err = s.List(ctx, "acme", "t.rec", "", 1)
	require.ErrorIs(t, err, storage.ErrClosed)
	require.ErrorIs(t, s.Compact(ctx, filepath.Join(t.TempDir(), "c.db")), storage.ErrClosed)
	require.NoError(t, s.Close())
}

func TestOpenForeignFile(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	require.NoError(t, os.WriteFile(text, bytes.Repeat([]byte("not a database\n"), 4096), 0o600))
	_, err := boltstore.Open(text, nil)
	require.ErrorIs(t, err, storage.ErrCorrupt)

	other := filepath.Join(dir, "other.db")
	db, err := bolt.Open(other, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err }))
	require.NoError(t, db.Close())
	_, err = boltstore.Open(other, nil)
	require.ErrorIs(t, err, storage.ErrCorrupt)

	newer := filepath.Join(dir, "newer.db")
	db, err = bolt.Open(newer, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("meta"))
		if err != nil {
			return err
		}
		return b.Put([]byte("format"), []byte("countersign-2"))
	}))
	require.NoError(t, db.Close())
	_, err = boltstore.Open(newer, nil)
	require.ErrorIs(t, err, storage.ErrCorrupt)
}

func TestFileMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	open(t, path)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&0o077, "others can read the file")
}

func TestWaitingWriterHeedsItsContext(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	ctx, cancel := context.WithCancel(t.Context())
	r, w := newGate()
	done := make(chan error, 1)
	go func() { done <- s.Backup(t.Context(), w) }()
	<-r.entered
	cancel()
	_, err := s.Commit(ctx, []storage.Batch{{Writes: []storage.Write{{Key: key("a")}}}})
	require.ErrorIs(t, err, context.Canceled)
	put(t, s, "a", "x") // a backup under way stops no writer
	close(r.open)
	require.NoError(t, <-done)
}

type gate struct{ entered, open chan struct{} }

type gateWriter struct {
	*gate
	once bool
}

func newGate() (*gate, *gateWriter) {
	g := &gate{make(chan struct{}), make(chan struct{})}
	return g, &gateWriter{gate: g}
}

func (g *gateWriter) Write(p []byte) (int, error) {
	if !g.once {
		g.once = true
		close(g.entered)
		<-g.open
	}
	return len(p), nil
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store.db"))
	put(t, s, "a", "kept")
	copyPath := filepath.Join(dir, "copy.db")
	f, err := os.Create(copyPath)
	require.NoError(t, err)
	require.NoError(t, s.Backup(t.Context(), f))
	require.NoError(t, f.Close())
	put(t, s, "b", "later")
	recs, err := open(t, copyPath).List(t.Context(), "acme", "t.rec", "", 0)
	require.NoError(t, err)
	require.Len(t, recs, 1)
	assert.Equal(t, "kept", string(recs[0].Data))
}

// What is deleted can be made to leave the disk.
func TestCompactDropsWhatWasDeleted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store.db"))
	put(t, s, "a", "kept")
	put(t, s, "secret", "planted-secret")
	_, err := s.Commit(t.Context(), []storage.Batch{{Writes: []storage.Write{{Key: key("secret"), Expect: 1, Delete: true}}}})
	require.NoError(t, err)
	path := filepath.Join(dir, "compact.db")
	require.NoError(t, s.Compact(t.Context(), path))
	require.ErrorIs(t, s.Compact(t.Context(), path), storage.ErrExists)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "planted-secret")
	c := open(t, path)
	recs, err := c.List(t.Context(), "acme", "t.rec", "", 0)
	require.NoError(t, err)
	require.Len(t, recs, 1)
	assert.Equal(t, "kept", string(recs[0].Data))
	put(t, c, "b", "goes on")
}
