package cms

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/emmansun/gmsm/sm3"
	"github.com/stretchr/testify/require"
)

// Many at once give what each gives alone, whatever their lengths and number.
func TestSM3All(t *testing.T) {
	t.Parallel()
	t.Log("eight at once:", sm3Wide)
	rnd := rand.New(rand.NewPCG(1, 2))
	bytes := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	check := func(list [][]byte) {
		t.Helper()
		got := SM3All([][32]byte{{1}}, list)
		require.Len(t, got, len(list)+1)
		require.Equal(t, [32]byte{1}, got[0], "what is there stays")
		for i, b := range list {
			require.Equal(t, sm3.Sum(b), got[i+1], "message %d of %d bytes among %d", i, len(b), len(list))
		}
	}
	for n := range 300 { // every length, in every number of lanes
		for k := range 10 {
			var list [][]byte
			for range k {
				list = append(list, bytes(n))
			}
			check(list)
		}
	}
	for range 2000 {
		var list [][]byte
		for range rnd.IntN(40) {
			list = append(list, bytes(rnd.IntN(1+rnd.IntN(2000))))
		}
		check(list)
	}
}

func FuzzSM3All(f *testing.F) {
	f.Add([]byte("abc"), 0, 1)
	f.Fuzz(func(t *testing.T, b []byte, x, y int) {
		var list [][]byte
		for i := range 9 {
			n := uint(x*i+y) % uint(len(b)+1)
			list = append(list, b[n:])
		}
		for i, sum := range SM3All(nil, list) {
			require.Equal(t, sm3.Sum(list[i]), sum)
		}
	})
}

func BenchmarkSM3All(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8, 64} {
		var list [][]byte
		for range n {
			list = append(list, make([]byte, 966))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(966 * n))
			var out [][32]byte
			for b.Loop() {
				out = SM3All(out[:0], list)
			}
		})
	}
}
