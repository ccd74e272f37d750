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

// TestMemBlocks adds and drops byte strings, and keeps what it read.
func TestMemBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m memBlocks
		type kept struct {
			at         memBytes
			data, read []byte
		}
		var live, gone []kept
		sizes := rapid.SampledFrom([]int{0, 1, 100, memBlockBytes / 8, memBlockBytes/8 + 1, 2 * memBlockBytes})
		for i := range rapid.IntRange(1, 300).Draw(t, "steps") {
			if len(live) > 0 && rapid.Bool().Draw(t, "drop") {
				n := rapid.IntRange(0, len(live)-1).Draw(t, "n")
				m.drop(live[n].at)
				gone = append(gone, live[n])
				live = append(live[:n], live[n+1:]...)
				continue
			}
			data := bytes.Repeat([]byte{byte(i)}, sizes.Draw(t, "size"))
			at := addBytes(&m, data)
			live = append(live, kept{at, data, m.get(at)})
		}
		for _, k := range live {
			require.NotNil(t, m.get(k.at))
			require.True(t, bytes.Equal(k.data, m.get(k.at)))
		}
		for _, k := range append(live, gone...) {
			require.True(t, bytes.Equal(k.data, k.read))
		}
		for _, k := range live {
			m.drop(k.at)
		}
		for at := range m.blocks {
			require.True(t, m.blocks[at].data == nil || uint32(at) == m.fill, "block %d is kept for nothing", at)
		}
	})
}
