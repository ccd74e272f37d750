package storage

import (
	"slices"
	"sort"
)

// ordered is a sorted set: blocks of at most maxBlock elements, so that an
// insertion moves one block and not the whole set.
type ordered[T any] struct {
	compare func(a, b T) int
	blocks  [][]T // none empty
}

const maxBlock = 512

// block returns the index of the block that x is in or belongs to.
func (o *ordered[T]) block(x T) int {
	i := sort.Search(len(o.blocks), func(i int) bool { return o.compare(o.blocks[i][0], x) > 0 })
	return max(i-1, 0)
}

// insert adds x unless it is there.
func (o *ordered[T]) insert(x T) {
	if len(o.blocks) == 0 {
		o.blocks = [][]T{{x}}
		return
	}
	i := o.block(x)
	b := o.blocks[i]
	j, found := slices.BinarySearchFunc(b, x, o.compare)
	if found {
		return
	}
	if len(b) == maxBlock {
		cut := maxBlock / 2
		if j == maxBlock && i == len(o.blocks)-1 {
			cut = maxBlock // rising ids fill their blocks
		}
		rest := append(make([]T, 0, maxBlock), b[cut:]...)
		clear(b[cut:])
		o.blocks[i] = b[:cut]
		if len(rest) == 0 {
			o.blocks = append(o.blocks, append(rest, x))
			return
		}
		o.blocks = slices.Insert(o.blocks, i+1, rest)
		if j > cut {
			i, j = i+1, j-cut
		}
	}
	o.blocks[i] = slices.Insert(o.blocks[i], j, x)
}

// remove takes x out if it is there.
func (o *ordered[T]) remove(x T) {
	if len(o.blocks) == 0 {
		return
	}
	i := o.block(x)
	j, found := slices.BinarySearchFunc(o.blocks[i], x, o.compare)
	if !found {
		return
	}
	o.blocks[i] = slices.Delete(o.blocks[i], j, j+1)
	if len(o.blocks[i]) == 0 {
		o.blocks = slices.Delete(o.blocks, i, i+1)
	}
}

// after calls yield with the elements above x, in order, until it returns false.
func (o *ordered[T]) after(x T, yield func(T) bool) {
	if len(o.blocks) == 0 {
		return
	}
	i := o.block(x)
	j, found := slices.BinarySearchFunc(o.blocks[i], x, o.compare)
	if found {
		j++
	}
	for ; i < len(o.blocks); i, j = i+1, 0 {
		for _, e := range o.blocks[i][j:] {
			if !yield(e) {
				return
			}
		}
	}
}
