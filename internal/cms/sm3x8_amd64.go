//go:build !purego

package cms

import "math/bits"

var sm3Wide = hasAVX2()

func hasAVX2() bool

// sm3Block8 adds a block to each of eight states (GB/T 32905). Words of a state and
// of a message lie beside those of the others; of w the first 16 are the block,
// and the rest is room. t is [sm3Constants].
//
//go:noescape
func sm3Block8(state *[8][8]uint32, w *[68][8]uint32, t *[64][8]uint32)

// sm3Constants are the constants of the rounds, rotated as they are used.
var sm3Constants = func() (t [64][8]uint32) {
	for j := range t {
		c := uint32(0x7a879d8a)
		if j < 16 {
			c = 0x79cc4519
		}
		for lane := range t[j] {
			t[j][lane] = bits.RotateLeft32(c, j%32)
		}
	}
	return t
}()
