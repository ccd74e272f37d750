package cms

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/emmansun/gmsm/sm3"
)

// SM3All appends the SM3 of each message to dst, in their order. Where the machine
// can, it hashes eight at once, which takes a fraction of the time: SM3 by itself
// waits for its own result all the time.
func SM3All(dst [][32]byte, list [][]byte) [][32]byte {
	from := len(dst)
	dst = append(dst, make([][32]byte, len(list))...)
	out := dst[from:]
	if !sm3Wide || len(list) < sm3Worth {
		for i, b := range list {
			out[i] = sm3.Sum(b)
		}
		return dst
	}
	// Messages of as many blocks go together.
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return cmp.Compare(sm3Blocks(list[x]), sm3Blocks(list[y])) })
	for len(order) > 0 {
		n := sm3Blocks(list[order[0]])
		k := 1
		for k < min(len(order), 8) && sm3Blocks(list[order[k]]) == n {
			k++
		}
		if k >= sm3Worth {
			sm3Lanes(out, list, order[:k], n)
		} else {
			for _, i := range order[:k] {
				out[i] = sm3.Sum(list[i])
			}
		}
		order = order[k:]
	}
	return dst
}

// sm3Worth is from how many messages on eight lanes are faster, however many of them
// are spare.
const sm3Worth = 3

// sm3Blocks counts the blocks of a message with what is put behind it.
func sm3Blocks(b []byte) int { return (len(b)+8)/64 + 1 }

// sm3Lanes hashes up to eight messages of n blocks each; spare lanes hash what is
// left in them.
func sm3Lanes(out [][32]byte, list [][]byte, lanes []int, n int) {
	var w [68][8]uint32
	state := [8][8]uint32{}
	for i, x := range [...]uint32{0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e} {
		for lane := range state[i] {
			state[i][lane] = x
		}
	}
	for k := range n {
		for lane, i := range lanes {
			b := list[i]
			var tail [64]byte
			at := min(64*k, len(b))
			block := b[at:]
			if len(block) < 64 { // what is left, a bit, and at the end the length in bits
				copy(tail[:], block)
				if 64*k <= len(b) {
					tail[len(block)] = 0x80
				}
				if k == n-1 {
					binary.BigEndian.PutUint64(tail[56:], uint64(len(b))*8)
				}
				block = tail[:]
			}
			in := (*[64]byte)(block)
			for j := range 16 {
				w[j][lane] = binary.BigEndian.Uint32(in[4*j:])
			}
		}
		sm3Block8(&state, &w, &sm3Constants)
	}
	for lane, i := range lanes {
		for j := range state {
			binary.BigEndian.PutUint32(out[i][4*j:], state[j][lane])
		}
	}
}
