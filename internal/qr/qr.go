package qr

import "fmt"

// MaxBytes is the most that a code holds: version 20 at level M.
const MaxBytes = 666

// A Code is a symbol of Size times Size modules, without its quiet zone of four
// modules on each side.
type Code struct {
	Size  int
	black []bool
	fixed []bool // modules of function patterns, which no mask changes
}

// Black reports whether the module in a column and row, counted from the upper
// left, is dark. Outside of the symbol all is light.
func (c *Code) Black(x, y int) bool {
	return x >= 0 && y >= 0 && x < c.Size && y < c.Size && c.black[y*c.Size+x]
}

// Level M of versions 1 to 20: check codewords of a block, and blocks (table 9).
var (
	checkWords = [...]int{0, 10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26}
	blockCount = [...]int{0, 1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16}
)

const maxVersion = len(checkWords) - 1

// words is the number of codewords of a version, data and check together.
func words(version int) int {
	n := (16*version+128)*version + 64
	if version >= 2 {
		a := version/7 + 2
		n -= (25*a-10)*a - 55
		if version >= 7 {
			n -= 36
		}
	}
	return n / 8
}

func dataWords(version int) int { return words(version) - checkWords[version]*blockCount[version] }

// Encode makes the smallest code that holds b. It fails for more than
// [MaxBytes].
func Encode(b []byte) (*Code, error) {
	version := 1
	for ; ; version++ {
		if version > maxVersion {
			return nil, fmt.Errorf("qr: %d bytes are too many", len(b))
		}
		if len(b)*8+4+countBits(version) <= dataWords(version)*8 {
			break
		}
	}
	c := &Code{Size: 17 + 4*version}
	c.black, c.fixed = make([]bool, c.Size*c.Size), make([]bool, c.Size*c.Size)
	c.patterns(version)
	c.place(interleave(pack(b, version), version))
	best, least := 0, -1
	for mask := range 8 {
		c.format(mask)
		c.mask(mask)
		if p := c.penalty(); least < 0 || p < least {
			best, least = mask, p
		}
		c.mask(mask) // masking twice is not masking
	}
	c.format(best)
	c.mask(best)
	return c, nil
}

func countBits(version int) int {
	if version < 10 {
		return 8
	}
	return 16
}

// pack writes mode, length, bytes, terminator and padding (§7.4).
func pack(b []byte, version int) []byte {
	w := bits{}
	w.add(4, 4)
	w.add(len(b), countBits(version))
	for _, x := range b {
		w.add(int(x), 8)
	}
	n := dataWords(version)
	w.add(0, min(4, n*8-w.n))
	w.add(0, (8-w.n%8)%8)
	for pad := 0xec; len(w.b) < n; pad ^= 0xec ^ 0x11 {
		w.add(pad, 8)
	}
	return w.b
}

type bits struct {
	b []byte
	n int
}

func (w *bits) add(v, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
}

// interleave cuts data into blocks, adds their check words and takes one word
// from each in turn (§7.6).
func interleave(data []byte, version int) []byte {
	blocks, check := blockCount[version], checkWords[version]
	short := len(data) / blocks // the last blocks have one word more
	long := len(data) % blocks
	gen := generator(check)
	var parts, checks [][]byte
	for i := range blocks {
		n := short
		if i >= blocks-long {
			n++
		}
		parts = append(parts, data[:n])
		checks = append(checks, remainder(data[:n], gen))
		data = data[n:]
	}
	var out []byte
	for i := range short + 1 {
		for _, p := range parts {
			if i < len(p) {
				out = append(out, p[i])
			}
		}
	}
	for i := range check {
		for _, p := range checks {
			out = append(out, p[i])
		}
	}
	return out
}

// times multiplies in GF(256) over x^8+x^4+x^3+x^2+1.
func times(a, b byte) byte {
	var z byte
	for i := 7; i >= 0; i-- {
		carry := z >> 7
		z = z<<1 ^ carry*0x1d
		if b>>i&1 == 1 {
			z ^= a
		}
	}
	return z
}

// generator is the Reed-Solomon polynomial of a degree, without its leading 1.
func generator(degree int) []byte {
	g := make([]byte, degree)
	g[degree-1] = 1
	root := byte(1)
	for range degree {
		for i := range g {
			g[i] = times(g[i], root)
			if i+1 < degree {
				g[i] ^= g[i+1]
			}
		}
		root = times(root, 2)
	}
	return g
}

func remainder(data, gen []byte) []byte {
	r := make([]byte, len(gen))
	for _, b := range data {
		factor := b ^ r[0]
		copy(r, r[1:])
		r[len(r)-1] = 0
		for i, g := range gen {
			r[i] ^= times(g, factor)
		}
	}
	return r
}

func (c *Code) set(x, y int, black bool) {
	c.black[y*c.Size+x] = black
	c.fixed[y*c.Size+x] = true
}

// patterns draws finders, timing, alignment and version, and reserves the
// format's place.
func (c *Code) patterns(version int) {
	n := c.Size
	for i := range n {
		c.set(6, i, i%2 == 0)
		c.set(i, 6, i%2 == 0)
	}
	for _, at := range [][2]int{{3, 3}, {n - 4, 3}, {3, n - 4}} {
		for dy := -4; dy <= 4; dy++ {
			for dx := -4; dx <= 4; dx++ {
				if x, y := at[0]+dx, at[1]+dy; x >= 0 && y >= 0 && x < n && y < n {
					d := max(dx, -dx, dy, -dy)
					c.set(x, y, d != 2 && d != 4)
				}
			}
		}
	}
	centres := alignment(version)
	last := len(centres) - 1
	for i, y := range centres {
		for j, x := range centres {
			if i == 0 && j == 0 || i == 0 && j == last || i == last && j == 0 {
				continue // a finder is there
			}
			for dy := -2; dy <= 2; dy++ {
				for dx := -2; dx <= 2; dx++ {
					c.set(x+dx, y+dy, max(dx, -dx, dy, -dy) != 1)
				}
			}
		}
	}
	c.format(0)
	if version < 7 {
		return
	}
	rem := version
	for range 12 {
		rem = rem<<1 ^ rem>>11*0x1f25
	}
	for i := range 18 {
		black := (version<<12|rem)>>i&1 == 1
		c.set(n-11+i%3, i/3, black)
		c.set(i/3, n-11+i%3, black)
	}
}

// alignment lists the centres of alignment patterns in a row (annex E).
func alignment(version int) []int {
	if version == 1 {
		return nil
	}
	n := version/7 + 2
	step := (version*4 + n*2 + 1) / (2*n - 2) * 2
	out := make([]int, n)
	out[0] = 6
	for i, at := n-1, 10+4*version; i > 0; i, at = i-1, at-step {
		out[i] = at
	}
	return out
}

// format draws level M (00) and the mask, protected, twice (§7.9).
func (c *Code) format(mask int) {
	rem := mask
	for range 10 {
		rem = rem<<1 ^ rem>>9*0x537
	}
	v := (mask<<10 | rem) ^ 0x5412
	bit := func(i int) bool { return v>>i&1 == 1 }
	n := c.Size
	for i := range 6 {
		c.set(8, i, bit(i))
		c.set(5-i, 8, bit(9+i))
	}
	c.set(8, 7, bit(6))
	c.set(8, 8, bit(7))
	c.set(7, 8, bit(8))
	for i := range 8 {
		c.set(n-1-i, 8, bit(i))
	}
	for i := 8; i < 15; i++ {
		c.set(8, n-15+i, bit(i))
	}
	c.set(8, n-8, true)
}

// place lays the words out in columns of two from the right, up and down.
func (c *Code) place(data []byte) {
	i := 0
	up := true
	for right := c.Size - 1; right >= 1; right -= 2 {
		if right == 6 {
			right = 5
		}
		for step := range c.Size {
			y := step
			if up {
				y = c.Size - 1 - step
			}
			for x := right; x > right-2; x-- {
				if !c.fixed[y*c.Size+x] && i < len(data)*8 {
					c.black[y*c.Size+x] = data[i/8]>>(7-i%8)&1 == 1
					i++
				}
			}
		}
		up = !up
	}
}

func (c *Code) mask(mask int) {
	for y := range c.Size {
		for x := range c.Size {
			if !c.fixed[y*c.Size+x] && flips(mask, x, y) {
				c.black[y*c.Size+x] = !c.black[y*c.Size+x]
			}
		}
	}
}

func flips(mask, x, y int) bool {
	switch mask {
	case 0:
		return (x+y)%2 == 0
	case 1:
		return y%2 == 0
	case 2:
		return x%3 == 0
	case 3:
		return (x+y)%3 == 0
	case 4:
		return (x/3+y/2)%2 == 0
	case 5:
		return x*y%2+x*y%3 == 0
	case 6:
		return (x*y%2+x*y%3)%2 == 0
	}
	return ((x+y)%2+x*y%3)%2 == 0
}

// penalty is what a reader would stumble over (§7.8.3): long runs, blocks,
// shapes like a finder, and too much of one colour.
func (c *Code) penalty() int {
	sum, dark := 0, 0
	for a := range c.Size {
		for _, across := range []bool{true, false} {
			at := func(b int) bool {
				if across {
					return c.Black(b, a)
				}
				return c.Black(a, b)
			}
			for b := 0; b < c.Size; {
				n := 1
				for b+n < c.Size && at(b+n) == at(b) {
					n++
				}
				if n >= 5 {
					sum += n - 2
				}
				b += n
			}
			for b := 0; b+7 <= c.Size; b++ {
				if at(b) && !at(b+1) && at(b+2) && at(b+3) && at(b+4) && !at(b+5) && at(b+6) {
					light := func(from int) bool { return !at4(at, from, c.Size) }
					if light(b-4) || light(b+7) {
						sum += 40
					}
				}
			}
		}
		for b := range c.Size {
			if c.Black(a, b) {
				dark++
			}
			if k := c.Black(a, b); a+1 < c.Size && b+1 < c.Size && k == c.Black(a+1, b) && k == c.Black(a, b+1) && k == c.Black(a+1, b+1) {
				sum += 3
			}
		}
	}
	percent := dark * 100 / (c.Size * c.Size)
	return sum + max(percent-50, 50-percent)/5*10
}

// at4 reports whether any of four modules from one on is dark.
func at4(at func(int) bool, from, size int) bool {
	for i := from; i < from+4; i++ {
		if i >= 0 && i < size && at(i) {
			return true
		}
	}
	return false
}
