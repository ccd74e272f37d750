package storage

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestMemIndex compares the table, nearly full, with a map.
func TestMemIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x memIndex
		have := make(map[string]memAt)
		var ids []string // by place
		get := func(id string) memAt {
			return x.get(hashID(id), func(at memAt) bool { return ids[at-1] == id })
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			id := strconv.Itoa(rapid.IntRange(0, 60).Draw(t, "id"))
			at := get(id)
			require.Equal(t, have[id], at)
			if at > 0 && rapid.Bool().Draw(t, "remove") {
				x.remove(at, hashID(id))
				delete(have, id)
				continue
			}
			if at == 0 {
				ids = append(ids, id)
				have[id] = memAt(len(ids))
				x.add(have[id], hashID(id))
			}
		}
		require.Equal(t, len(have), x.n)
		for i := range 61 {
			id := strconv.Itoa(i)
			require.Equal(t, have[id], get(id))
		}
	})
}

// TestMemBlocks_empty: strings without bytes fill no block, and are listed in none.
func TestMemBlocks_empty(t *testing.T) {
	var m memBlocks
	var at memBytes
	m.where = func(memAt) *memBytes { return &at }
	for range 1000 {
		m.drop(at)
		at = addBytes(&m, "", 1)
		require.NotNil(t, m.get(at))
		require.Empty(t, m.get(at))
	}
	require.Empty(t, m.blocks)
}

// TestMemBlocks gives records byte strings and takes them away: what a record has,
// and what was read, stays as it is, and memory is bounded by what lives.
func TestMemBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m memBlocks
		var at []memBytes
		var data [][]byte       // what each record has
		var read, were [][]byte // all that was read
		m.where = func(n memAt) *memBytes { return &at[n-1] }
		sizes := rapid.SampledFrom([]int{0, 1, 100, memBlockLong, memBlockLong + 1, 2 * memBlockBytes})
		for i := range rapid.IntRange(1, 400).Draw(t, "steps") {
			n := rapid.IntRange(0, len(data)).Draw(t, "record")
			b := bytes.Repeat([]byte{byte(i)}, sizes.Draw(t, "size"))
			if n == len(data) {
				at, data = append(at, memBytes{}), append(data, nil)
			}
			old := at[n]
			read, were = append(read, m.get(old)), append(were, bytes.Clone(m.get(old)))
			at[n], data[n] = memBytes{}, nil
			m.drop(old)
			if rapid.IntRange(0, 2).Draw(t, "remove") > 0 {
				data[n] = b
				at[n] = addBytes(&m, b, memAt(n+1))
			}
			for k := range data {
				require.True(t, bytes.Equal(data[k], m.get(at[k])))
			}
		}
		require.Equal(t, were, read)
		lives, kept := 0, 0
		for i := range data {
			lives += len(data[i])
		}
		for i := range m.blocks {
			if uint32(i) != m.open {
				kept += cap(m.blocks[i].data)
			}
		}
		require.LessOrEqual(t, kept, 4*lives)
	})
}
