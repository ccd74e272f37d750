package storage

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestMemIndex compares the table, nearly full, with a map.
func TestMemIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x memIndex
		have := make(map[string]*memRecord)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			id := strconv.Itoa(rapid.IntRange(0, 60).Draw(t, "id"))
			r := x.get(id, hashID(id))
			require.Same(t, have[id], r)
			if r != nil && rapid.Bool().Draw(t, "remove") {
				x.remove(r)
				delete(have, id)
				continue
			}
			if r == nil {
				have[id] = &memRecord{id: id}
				at := x.add(have[id], hashID(id))
				require.Same(t, have[id], x.at[at])
			}
		}
		require.Equal(t, len(have), x.n)
		for i := range 61 {
			id := strconv.Itoa(i)
			require.Same(t, have[id], x.get(id, hashID(id)))
		}
	})
}
