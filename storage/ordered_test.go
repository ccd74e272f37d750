package storage

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// In the package, for a set is not visible outside of it.
func TestOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &ordered[int]{compare: cmp.Compare[int]}
		in := make(map[int]bool)
		top := 0
		for range rapid.IntRange(0, 4000).Draw(t, "steps") {
			x := rapid.IntRange(0, 3000).Draw(t, "x")
			switch rapid.IntRange(0, 5).Draw(t, "do") {
			case 0:
				o.remove(x)
				delete(in, x)
			case 1, 2: // as rising ids are
				top++
				x = 3000 + top
				fallthrough
			default:
				o.insert(x)
				in[x] = true
			}
		}
		var want []int
		for x := range in {
			want = append(want, x)
		}
		slices.Sort(want)
		after := rapid.IntRange(-1, 3500).Draw(t, "after")
		i, found := slices.BinarySearch(want, after)
		if found {
			i++
		}
		var got []int
		o.after(after, func(x int) bool { got = append(got, x); return true })
		if !slices.Equal(want[i:], got) {
			t.Fatalf("after %d: %v, want %v", after, got, want[i:])
		}
		for _, b := range o.blocks {
			if len(b) == 0 || len(b) > maxBlock {
				t.Fatalf("a block of %d", len(b))
			}
		}
	})
}
