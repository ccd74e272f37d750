package cms

import (
	"crypto/sha3"
	"fmt"
	"hash"
	"math/big"
	"slices"
)

// Ed448 (RFC 8032) is read only: ISO/TS 32002 names it for PDF 2.0. Verifying
// handles public values only, so plain big integers do.

const ed448Size = 57 // of a point and of a scalar

var (
	ed448P = func() *big.Int { // 2⁴⁴⁸ − 2²²⁴ − 1
		p := new(big.Int).Lsh(big.NewInt(1), 448)
		p.Sub(p, new(big.Int).Lsh(big.NewInt(1), 224))
		return p.Sub(p, big.NewInt(1))
	}()
	ed448D = new(big.Int).Sub(ed448P, big.NewInt(39081))
	ed448L = hexInt("3fffffffffffffffffffffffffffffffffffffffffffffffffffffff7cca23e9c44edb49aed63690216cc2728dc58f552378c292ab5844f3")
	ed448B = edPoint{
		hexInt("4f1970c66bed0ded221d15a622bf36da9e146570470f1767ea6de324a3d3a46412ae1af72ab66511433b80e18b00938e2626a82bc70cc05e"),
		hexInt("693f46716eb6bc248876203756c9c7624bea73736ca3984087789c1e05a0c2d73ad3ff1ce67c39c4fdbd132c4ed7c8ad9808795bf230fa14"),
		big.NewInt(1),
	}
)

// ed448Key is an encoded public key that decodes.
type ed448Key struct {
	encoded []byte
	point   edPoint
}

// edPoint is on x² + y² = 1 + d·x²·y², in projective coordinates.
type edPoint struct{ x, y, z *big.Int }

func ed448Mul(a, b *big.Int) *big.Int {
	m := new(big.Int).Mul(a, b)
	return m.Mod(m, ed448P)
}

// littleEndian reads a number with its least octet first.
func littleEndian(b []byte) *big.Int {
	r := slices.Clone(b)
	slices.Reverse(r)
	return new(big.Int).SetBytes(r)
}

func readEd448(b []byte) (*ed448Key, error) {
	p, ok := decodeEd448(b)
	if !ok {
		return nil, fmt.Errorf("%w: Ed448 key", ErrMalformed)
	}
	return &ed448Key{slices.Clone(b), p}, nil
}

// decodeEd448 is RFC 8032 §5.2.3.
func decodeEd448(b []byte) (edPoint, bool) {
	if len(b) != ed448Size || b[56]&0x7f != 0 {
		return edPoint{}, false
	}
	y := littleEndian(b[:56])
	if y.Cmp(ed448P) >= 0 {
		return edPoint{}, false
	}
	one := big.NewInt(1)
	yy := ed448Mul(y, y)
	u := new(big.Int).Sub(yy, one)
	v := ed448Mul(ed448D, yy)
	v.Sub(v, one).Mod(v, ed448P)
	u.Mod(u, ed448P)
	x := ed448Mul(u, new(big.Int).ModInverse(v, ed448P)) // v is never 0: d is no square
	if x.ModSqrt(x, ed448P) == nil {
		return edPoint{}, false
	}
	sign := uint(b[56] >> 7)
	if x.Sign() == 0 && sign == 1 {
		return edPoint{}, false
	}
	if x.Bit(0) != sign {
		x.Sub(ed448P, x)
	}
	return edPoint{x, y, one}, true
}

// add is RFC 8032 §5.2.4, complete for every pair of points.
func (p edPoint) add(q edPoint) edPoint {
	a := ed448Mul(p.z, q.z)
	b := ed448Mul(a, a)
	c, d := ed448Mul(p.x, q.x), ed448Mul(p.y, q.y)
	e := ed448Mul(ed448D, ed448Mul(c, d))
	f, g := new(big.Int).Sub(b, e), new(big.Int).Add(b, e)
	h := ed448Mul(new(big.Int).Add(p.x, p.y), new(big.Int).Add(q.x, q.y))
	h.Sub(h, c).Sub(h, d)
	return edPoint{
		ed448Mul(a, ed448Mul(f, h)),
		ed448Mul(a, ed448Mul(g, new(big.Int).Sub(d, c))),
		ed448Mul(f, g),
	}
}

// double is RFC 8032 §5.2.4.
func (p edPoint) double() edPoint {
	sum := new(big.Int).Add(p.x, p.y)
	b, c, d := ed448Mul(sum, sum), ed448Mul(p.x, p.x), ed448Mul(p.y, p.y)
	e, h := new(big.Int).Add(c, d), ed448Mul(p.z, p.z)
	j := new(big.Int).Sub(e, h)
	j.Sub(j, h)
	return edPoint{ed448Mul(b.Sub(b, e), j), ed448Mul(e, c.Sub(c, d)), ed448Mul(e, j)}
}

// edSum is m·p + n·q, both at once.
func edSum(m *big.Int, p edPoint, n *big.Int, q edPoint) edPoint {
	both := p.add(q)
	out := edPoint{new(big.Int), big.NewInt(1), big.NewInt(1)}
	for i := max(m.BitLen(), n.BitLen()) - 1; i >= 0; i-- {
		out = out.double()
		switch {
		case m.Bit(i) == 1 && n.Bit(i) == 1:
			out = out.add(both)
		case m.Bit(i) == 1:
			out = out.add(p)
		case n.Bit(i) == 1:
			out = out.add(q)
		}
	}
	return out
}

// verify is RFC 8032 §5.2.7 without context, in the form without cofactor.
func (k *ed448Key) verify(message, sig []byte) bool {
	if len(sig) != 2*ed448Size {
		return false
	}
	r, ok := decodeEd448(sig[:ed448Size])
	s := littleEndian(sig[ed448Size:])
	if !ok || s.Cmp(ed448L) >= 0 {
		return false
	}
	h := sha3.NewSHAKE256()
	h.Write([]byte("SigEd448\x00\x00")) // dom4(0, "")
	h.Write(sig[:ed448Size])
	h.Write(k.encoded)
	h.Write(message)
	var digest [2 * ed448Size]byte
	h.Read(digest[:])
	n := littleEndian(digest[:])
	n.Mod(n, ed448L)
	// s·B − n·A must be R.
	minus := edPoint{new(big.Int).Sub(ed448P, k.point.x), k.point.y, k.point.z}
	got := edSum(s, ed448B, n, minus)
	return ed448Mul(r.x, got.z).Cmp(got.x) == 0 && ed448Mul(r.y, got.z).Cmp(got.y) == 0
}

// shake256 is SHAKE256 with 512 bits of output, the digest beside Ed448
// (RFC 8419 §2.2).
type shake256 struct{ *sha3.SHAKE }

var _ hash.Hash = shake256{}

func newShake256() hash.Hash { return shake256{sha3.NewSHAKE256()} }

func (shake256) Size() int { return 64 }

// Sum reads from a copy, as reading ends writing.
func (h shake256) Sum(b []byte) []byte {
	state, err := h.MarshalBinary()
	c := sha3.NewSHAKE256()
	if err == nil {
		err = c.UnmarshalBinary(state)
	}
	if err != nil {
		panic("cms: SHAKE256 state: " + err.Error()) // its own state always fits
	}
	var out [64]byte
	c.Read(out[:])
	return append(b, out[:]...)
}
