package storage_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

func TestSegments(t *testing.T) {
	ctx, blobs := t.Context(), new(storage.MemBlobs)
	var segs storage.Segments
	for id, data := range map[string]string{"1": "abc"} {
		seg, err := storage.CreateSegment(ctx, blobs, id, strings.NewReader(data))
		require.NoError(t, err)
		segs = append(segs, seg)
	}
	text, err := json.Marshal(segs)
	require.NoError(t, err)
	assert.Equal(t, `[{"blob":"1","size":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]`, string(text))
	var back storage.Segments
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, segs, back)
	require.Error(t, json.Unmarshal([]byte(`[{"sha256":"zz"}]`), &back))

	_, err = storage.OpenSegments(ctx, blobs, append(segs, storage.Segment{Blob: "gone"}))
	require.ErrorIs(t, err, storage.ErrNotFound)
	_, err = storage.OpenSegments(ctx, blobs, storage.Segments{{Blob: "1", Size: 4}})
	require.ErrorIs(t, err, storage.ErrCorrupt)
	empty, err := storage.OpenSegments(ctx, blobs, nil)
	require.NoError(t, err)
	assert.Zero(t, empty.Size())
	_, err = empty.ReadAt(make([]byte, 1), 0)
	assert.Equal(t, io.EOF, err)
}

// A document reads like the bytes of its blobs in a row.
func TestSegmentsReadAsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx, blobs := t.Context(), new(storage.MemBlobs)
		var segs storage.Segments
		var whole []byte
		for i, part := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 9), 0, 6).Draw(t, "parts") {
			seg, err := storage.CreateSegment(ctx, blobs, string(rune('a'+i)), bytes.NewReader(part))
			if err != nil {
				t.Fatal(err)
			}
			segs, whole = append(segs, seg), append(whole, part...)
		}
		doc, err := storage.OpenSegments(ctx, blobs, segs)
		if err != nil {
			t.Fatal(err)
		}
		defer doc.Close()
		if doc.Size() != int64(len(whole)) || segs.Size() != doc.Size() {
			t.Fatalf("size %d, want %d", doc.Size(), len(whole))
		}
		want := bytes.NewReader(whole)
		for range 20 {
			off, size := rapid.Int64Range(-1, 60).Draw(t, "off"), rapid.IntRange(0, 60).Draw(t, "size")
			a, b := make([]byte, size), make([]byte, size)
			n, err := want.ReadAt(a, off)
			m, merr := doc.ReadAt(b, off)
			if size == 0 && off >= 0 {
				err, merr = nil, nil // io.ReaderAt leaves this open
			}
			if n != m || (err == nil) != (merr == nil) || (err == io.EOF) != (merr == io.EOF) || !bytes.Equal(a[:n], b[:m]) {
				t.Fatalf("ReadAt(%d bytes, %d) gave %d, %v, want %d, %v", size, off, m, merr, n, err)
			}
		}
	})
}

func TestDirBlobsKeepsToItsDirectory(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	path := filepath.Join(dir, "deep", "blobs")
	blobs, err := storage.OpenDirBlobs(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(path, "README"), nil, 0o600))
	for _, id := range []string{"../../escaped", "plain-id", "契约", strings.Repeat("K", 255)} {
		_, err := blobs.Create(ctx, id, strings.NewReader("x"))
		require.NoError(t, err)
	}
	outside, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(dir, "deep")}, outside)
	info, err := os.Stat(filepath.Join(path, "b-plain-id"))
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&0o077, "others can read a document")
	ids, err := blobs.List(ctx, "", 0)
	require.NoError(t, err)
	assert.Len(t, ids, 4, "List shows a file that is no blob")
}

func TestDirBlobsAfterACrash(t *testing.T) {
	path := t.TempDir()
	old, young := filepath.Join(path, "t-old"), filepath.Join(path, "t-young")
	for _, name := range []string{old, young} {
		require.NoError(t, os.WriteFile(name, []byte("half"), 0o600))
	}
	require.NoError(t, os.Chtimes(old, time.Time{}, time.Now().Add(-48*time.Hour)))
	blobs, err := storage.OpenDirBlobs(path)
	require.NoError(t, err)
	assert.NoFileExists(t, old)
	assert.FileExists(t, young, "another process may be writing it")
	ids, err := blobs.List(t.Context(), "", 0)
	require.NoError(t, err)
	assert.Empty(t, ids)
	_, err = storage.OpenDirBlobs(young)
	require.Error(t, err)
}

func TestDirBlobsShared(t *testing.T) {
	path := t.TempDir()
	a, err := storage.OpenDirBlobs(path)
	require.NoError(t, err)
	b, err := storage.OpenDirBlobs(path)
	require.NoError(t, err)
	_, err = a.Create(t.Context(), "x", strings.NewReader("of a"))
	require.NoError(t, err)
	_, err = b.Create(t.Context(), "x", strings.NewReader("of b"))
	require.ErrorIs(t, err, storage.ErrExists)
	blob, err := b.Open(t.Context(), "x")
	require.NoError(t, err)
	defer blob.Close()
	got, err := io.ReadAll(io.NewSectionReader(blob, 0, blob.Size()))
	require.NoError(t, err)
	assert.Equal(t, "of a", string(got))
}

func TestFaultyBlobs(t *testing.T) {
	ctx, mem := t.Context(), new(storage.MemBlobs)
	before := storagetest.FailBlobsBefore(mem, 1)
	_, err := before.Create(ctx, "a", strings.NewReader("x"))
	require.ErrorIs(t, err, storagetest.ErrInjected)
	_, err = mem.Open(ctx, "a")
	require.ErrorIs(t, err, storage.ErrNotFound)
	_, err = before.Create(ctx, "a", strings.NewReader("x"))
	require.NoError(t, err)
	after := storagetest.FailBlobsAfter(mem, 2)
	require.NoError(t, after.Delete(ctx, "a"))
	_, err = after.Create(ctx, "b", strings.NewReader("x"))
	require.ErrorIs(t, err, storage.ErrUnknown)
	_, err = after.Open(ctx, "b")
	require.NoError(t, err)
	ids, err := after.List(ctx, "", 0)
	require.NoError(t, err)
	assert.Equal(t, []string{"b"}, ids)
	assert.True(t, after.Fired())
	assert.Equal(t, 2, after.Writes())
	count := storagetest.CountBlobs(mem)
	require.NoError(t, errors.Join(count.Delete(ctx, "b"), count.Delete(ctx, "b")))
	assert.Equal(t, 2, count.Writes())
	assert.False(t, count.Fired())
}
