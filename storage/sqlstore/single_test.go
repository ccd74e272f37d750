package sqlstore

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

func testKey(kind string, i int) storage.Key {
	return storage.Key{Tenant: "acme", Kind: kind, ID: fmt.Sprintf("%03d", i)}
}

// The statement names once what the rows of a commit share.
func TestSingleArgs(t *testing.T) {
	var hot storage.Batch
	hot.Writes = append(hot.Writes, storage.Write{Key: testKey("acct", 1), Expect: 7, Data: []byte("head")})
	for i := range 50 {
		hot.Writes = append(hot.Writes, storage.Write{Key: testKey("hold", i), Data: []byte(fmt.Sprint("hold ", i))})
	}
	hot.Entries = entriesOf(testKey("acct", 1), 9, 20, 3)
	r, ok := newSingleRows([]storage.Batch{hot})
	require.True(t, ok)
	args := r.args()
	require.Len(t, args, 27)
	data := args[0].([]byte)
	at := func(cut int64) string { return string(data[cut/singleCut:][:cut%singleCut]) }
	for _, c := range []int{1, 5, 6, 8, 9, 16, 18} { // batches, counts, dues and operations
		assert.Empty(t, args[c], "$%d", c+1)
	}
	for _, c := range []int{2, 3, 10, 11, 19, 20} { // tenants and kinds
		assert.Len(t, args[c], 1, "$%d", c+1)
	}
	assert.Equal(t, []int64{7}, args[13])
	assert.Equal(t, []int64{10}, args[14])
	assert.Equal(t, []int64{20}, args[15])
	assert.Equal(t, "head", at(args[17].([]int64)[0]))
	require.Len(t, args[4], 50)
	for i, cut := range args[7].([]int64) {
		assert.Equal(t, fmt.Sprint("hold ", i), at(cut))
	}
	assert.Equal(t, []int64{29}, args[22])
	assert.Equal(t, []int64{20}, args[23])
	assert.Equal(t, written(hot.Entries)[0].data, []byte(at(args[26].([]int64)[0])))
	assert.Len(t, data, cap(data), "room for all of it, once")
}

// What the statement cannot judge is judged before, or goes through a transaction.
func TestSingleRows(t *testing.T) {
	a, b := testKey("k", 1), testKey("k", 2)
	create := func(k storage.Key) storage.Write { return storage.Write{Key: k} }
	check := storage.Write{Key: a, Expect: 1, Check: true}
	write := storage.Write{Key: a, Expect: 1}
	_, ok := newSingleRows([]storage.Batch{{Writes: []storage.Write{check, create(b)}}, {Writes: []storage.Write{write}}})
	assert.False(t, ok, "a batch checks what another writes")
	_, ok = newSingleRows([]storage.Batch{{Writes: []storage.Write{check, create(b)}}, {Writes: []storage.Write{check}}})
	assert.True(t, ok, "both check it")
	large := storage.Write{Key: a, Data: make([]byte, singleBytes+1)}
	_, ok = newSingleRows([]storage.Batch{{Writes: []storage.Write{large}}})
	assert.False(t, ok)

	for _, first := range []uint64{2, maxInt, maxInt + 1, math.MaxUint64} {
		r, ok := newSingleRows([]storage.Batch{
			{Writes: []storage.Write{create(a)}, Entries: []storage.Entry{{Stream: a, Seq: first}}},
			{Writes: []storage.Write{create(b)}, Entries: []storage.Entry{{Stream: b, Seq: 1}}},
		})
		require.True(t, ok)
		assert.Equal(t, []bool{true, false}, r.lost, "a new stream begins with %d", first)
		require.Len(t, r.packs, 1)
		assert.Equal(t, b, r.packs[0].stream)
		require.Len(t, r.creates, 1)
	}
	r, _ := newSingleRows([]storage.Batch{{Writes: []storage.Write{{Key: a, Expect: maxInt}}}})
	assert.Equal(t, []bool{true}, r.lost)
}
