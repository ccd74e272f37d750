package storage_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/storage"
)

func TestJoinIDIsInjective(t *testing.T) {
	parts := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("a%/25F契")), 0, 4, -1), 1, 4)
	rapid.Check(t, func(t *rapid.T) {
		p := parts.Draw(t, "parts")
		id := storage.JoinID(p...)
		back, err := storage.SplitID(id)
		if err != nil || !slices.Equal(p, back) {
			t.Fatalf("%q gave %q, which gave %q, %v", p, id, back, err)
		}
		q := parts.Draw(t, "more")
		if longer := storage.JoinID(append(slices.Clone(p), q...)...); !strings.HasPrefix(longer, storage.JoinPrefix(p...)) {
			t.Fatalf("%q does not begin with the prefix of %q", longer, p)
		}
		if other := storage.JoinID(q...); strings.HasPrefix(other, storage.JoinPrefix(p...)) && (len(q) <= len(p) || !slices.Equal(p, q[:len(p)])) {
			t.Fatalf("%q has the prefix of %q", other, p)
		}
	})
	for _, bad := range []string{"%", "a%2", "%2f", "%41", "a/%"} {
		_, err := storage.SplitID(bad)
		require.ErrorIs(t, err, storage.ErrKey, bad)
	}
	assert.Empty(t, storage.JoinPrefix())
}

func TestTimesInIDsSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.Int64Range(0, 253402300799999999)
		a, b := micros.Draw(t, "a"), micros.Draw(t, "b")
		x, y := time.UnixMicro(a), time.UnixMicro(b)
		if cmp.Compare(a, b) != cmp.Compare(storage.OldestFirst(x), storage.OldestFirst(y)) {
			t.Fatal("OldestFirst does not sort as time does")
		}
		if cmp.Compare(b, a) != cmp.Compare(storage.NewestFirst(x), storage.NewestFirst(y)) {
			t.Fatal("NewestFirst does not sort against time")
		}
	})
	assert.Len(t, storage.NewestFirst(time.Time{}), 16)
	assert.Len(t, storage.OldestFirst(time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)), 16)
}

func TestScanAndReplay(t *testing.T) {
	s := new(storage.Mem)
	const n = 600 // more than two pages
	for _, owner := range []string{"a", "ab", "a/b"} {
		for i := range n {
			put(t, s, key(storage.JoinID(owner, storage.OldestFirst(time.UnixMicro(int64(i))))), owner)
		}
	}
	count := 0
	for r, err := range storage.Scan(t.Context(), s, "acme", "t.rec", storage.JoinPrefix("a")) {
		require.NoError(t, err)
		assert.Equal(t, "a", string(r.Data))
		count++
	}
	assert.Equal(t, n, count)
	count = 0
	for range storage.Scan(t.Context(), s, "acme", "t.rec", "") {
		if count++; count == n+1 {
			break
		}
	}
	assert.Equal(t, n+1, count)

	require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		for range n {
			if _, err := tx.Append(key("stream"), nil); err != nil {
				return err
			}
		}
		return tx.Put(key("stream"), nil, time.Time{})
	}))
	next := uint64(10)
	for e, err := range storage.Replay(t.Context(), s, key("stream"), 10) {
		require.NoError(t, err)
		next++
		assert.Equal(t, next, e.Seq)
	}
	assert.Equal(t, uint64(n), next)
	for _, err := range storage.Scan(t.Context(), s, "", "t.rec", "") {
		require.ErrorIs(t, err, storage.ErrKey)
	}
	for _, err := range storage.Replay(t.Context(), s, storage.Key{}, 0) {
		require.ErrorIs(t, err, storage.ErrKey)
	}
}
