package sqlstore

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/storage"
)

var packed = storage.Key{Tenant: "acme", Kind: "t.log", ID: "a"}

// entriesOf are n entries of a stream after a number, with so many bytes each.
func entriesOf(k storage.Key, after uint64, n, size int) (entries []storage.Entry) {
	for i := range n {
		seq := after + uint64(i) + 1
		data := []byte(fmt.Sprintf("%s %d%s", k.ID, seq, strings.Repeat("x", size)))
		entries = append(entries, storage.Entry{Stream: k, Seq: seq, At: time.UnixMicro(1e15 + int64(i*i)).UTC(), Data: data})
	}
	return entries
}

// written are the rows of entries as they lie in the table.
func written(entries []storage.Entry) (rows []pack) {
	for _, p := range packs(entries) {
		rows = append(rows, pack{stream: p.stream, seq: p.seq, n: p.n, at: p.at, parts: p.parts, data: p.bytes()})
	}
	return rows
}

// What is packed comes back, whatever streams a commit mixes and whichever page
// is asked for.
func TestPacks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, next := map[storage.Key][]storage.Entry{}, map[storage.Key]uint64{}
		for i := range 3 {
			next[storage.Key{Tenant: "acme", Kind: "t.log", ID: fmt.Sprint(i)}] = rapid.Uint64Range(0, 1<<40).Draw(t, "before")
		}
		start := map[storage.Key]uint64{}
		var entries []storage.Entry
		for range rapid.IntRange(0, 300).Draw(t, "entries") {
			k := storage.Key{Tenant: "acme", Kind: "t.log", ID: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "stream"))}
			if _, ok := start[k]; !ok {
				start[k] = next[k]
			}
			next[k]++
			e := storage.Entry{Stream: k, Seq: next[k], At: time.UnixMicro(rapid.Int64().Draw(t, "at")).UTC(),
				Data: rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "data")}
			if rapid.IntRange(0, 50).Draw(t, "large") == 0 {
				e.Data = make([]byte, 5000)
			}
			entries, want[k] = append(entries, e), append(want[k], e)
		}
		rows := written(entries)
		for k, all := range want {
			after := start[k] + rapid.Uint64Range(0, uint64(len(all))).Draw(t, "after")
			limit := rapid.IntRange(1, len(all)+1).Draw(t, "limit")
			var got []storage.Entry
			for i := range rows {
				p := &rows[i]
				if p.stream != k {
					continue
				}
				require.True(t, p.n == 1 || p.n <= maxPack && len(p.parts)+len(p.data) <= packBytes, "a pack of %d entries, %d bytes", p.n, len(p.data))
				require.Equal(t, p.n > 1, p.parts != "")
				if uint64(p.seq) > after && p.seq < window(after, limit)+maxPack-1 && p.seq-p.n+1 < window(after, limit) { // as statements have it
					var err error
					got, err = p.unpack(got, after, limit)
					require.NoError(t, err)
				}
			}
			page := all[after-start[k]:]
			require.Equal(t, page[:min(limit, len(page))], append([]storage.Entry{}, got...))
		}
	})
}

// Few packs hold what one commit appends to one stream, and an entry that came
// alone lies as it is.
func TestPacksAreFew(t *testing.T) {
	rows := packs(entriesOf(packed, 7, 200, 80))
	assert.LessOrEqual(t, len(rows), 15)
	assert.Equal(t, int64(207), rows[len(rows)-1].seq)
	rows = written(entriesOf(packed, 0, 1, 10))
	require.Len(t, rows, 1)
	assert.Equal(t, pack{stream: packed, seq: 1, n: 1, at: 1e15, data: []byte("a 1xxxxxxxxxx")}, rows[0])
	rows = written(entriesOf(packed, 0, 2, 3))
	require.Len(t, rows, 1)
	assert.Equal(t, pack{stream: packed, seq: 2, n: 2, at: 1e15, parts: "[[0,0,6],[1,6,6]]", data: []byte("a 1xxxa 2xxx")}, rows[0])
	assert.Empty(t, packs(nil))
}

// Entries share no memory that appending to one could spoil.
func TestUnpackedEntriesAreTheCallers(t *testing.T) {
	rows := written(entriesOf(packed, 0, 2, 3))
	got, err := rows[0].unpack(nil, 0, 10)
	require.NoError(t, err)
	_ = append(got[0].Data, "spoilt"...)
	assert.Equal(t, "a 2xxx", string(got[1].Data))
}

// A row that does not decode is corrupt, and the error names it, but not its data.
func TestCorruptPacks(t *testing.T) {
	good, one := written(entriesOf(packed, 4, 3, 2))[0], written(entriesOf(packed, 4, 1, 2))[0]
	for name, damage := range map[string]func(p *pack){
		"parts cut":         func(p *pack) { p.parts = p.parts[:len(p.parts)-1] },
		"parts gone":        func(p *pack) { p.parts = "" },
		"parts of one less": func(p *pack) { p.parts = "[[0,0,5],[1,5,10]]" },
		"no parts":          func(p *pack) { p.parts = "[]" },
		"null":              func(p *pack) { p.parts = "null" },
		"text":              func(p *pack) { p.parts = `[["0",0,5],[1,5,5],[4,10,5]]` },
		"fraction":          func(p *pack) { p.parts = "[[0,0,5.5],[1,5,5],[4,10,5]]" },
		"gap":               func(p *pack) { p.parts = "[[0,0,5],[1,6,4],[4,10,5]]" },
		"overlap":           func(p *pack) { p.parts = "[[0,0,5],[1,4,6],[4,10,5]]" },
		"negative":          func(p *pack) { p.parts = "[[0,0,5],[1,5,-5],[4,0,15]]" },
		"huge":              func(p *pack) { p.parts = fmt.Sprintf("[[0,0,5],[1,5,%d],[4,10,5]]", math.MaxInt64) },
		"data cut":          func(p *pack) { p.data = p.data[:14] },
		"data longer":       func(p *pack) { p.data = append(p.data, 'x') },
		"fewer":             func(p *pack) { p.n = 2 },
		"more":              func(p *pack) { p.n = 4 },
		"none":              func(p *pack) { p.n = 0 },
		"huge count":        func(p *pack) { p.n = math.MaxInt64 },
		"negative count":    func(p *pack) { p.n = math.MinInt64 },
		"below 1":           func(p *pack) { p.seq = 2 },
	} {
		p := good
		damage(&p)
		_, err := p.unpack(nil, 0, 10)
		require.ErrorIs(t, err, storage.ErrCorrupt, name)
		assert.Equal(t, fmt.Sprintf("sqlstore: storage: corrupt data: entries of t.log up to %d", p.seq), err.Error())
		require.ErrorIs(t, (&Store{}).fail(t.Context(), "entries", err), storage.ErrCorrupt)
	}
	one.n = 2
	_, err := one.unpack(nil, 0, 10)
	require.ErrorIs(t, err, storage.ErrCorrupt)
	one.n, one.seq = 1, 0
	_, err = one.unpack(nil, 0, 10)
	require.ErrorIs(t, err, storage.ErrCorrupt)
}

// The window of a page holds its entries, and never overflows.
func TestWindow(t *testing.T) {
	assert.Equal(t, int64(8), window(2, 5)) // 3 to 7 are below it
	for _, after := range []uint64{maxInt, maxInt - 1, maxInt - maxPack, maxInt - maxPack - 1000} {
		w := window(after, storage.MaxKeys)
		assert.Positive(t, w+maxPack-1, "after %d", after)
		assert.LessOrEqual(t, uint64(w), uint64(maxInt-maxPack+1))
	}
}
