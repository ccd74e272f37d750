package cms

import (
	"fmt"
	"math/big"

	"github.com/countersign/countersign/internal/cms/der"
)

// Brainpool curves (RFC 5639) are in use by European cards and named by
// ISO/TS 32002, and the standard library has none. Verifying handles public
// values only, so plain big integers do.

// weierstrass is a curve y² = x³ + ax + b of prime order n.
type weierstrass struct {
	p, a, b, n *big.Int
	g          point
}

// point is in Jacobian coordinates; z of zero is the point at infinity.
type point struct{ x, y, z *big.Int }

// weierstrassKey is a public key on such a curve.
type weierstrassKey struct {
	curve *weierstrass
	q     point
}

func hexInt(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("cms: curve constant")
	}
	return n
}

func newCurve(p, a, b, n, gx, gy string) *weierstrass {
	return &weierstrass{hexInt(p), hexInt(a), hexInt(b), hexInt(n), point{hexInt(gx), hexInt(gy), big.NewInt(1)}}
}

// brainpool holds the curves by identifier (RFC 5639 §3.4, 3.6, 3.7).
var brainpool = map[der.OID]*weierstrass{
	der.MustOID("1.3.36.3.3.2.8.1.1.7"): newCurve(
		"a9fb57dba1eea9bc3e660a909d838d726e3bf623d52620282013481d1f6e5377",
		"7d5a0975fc2c3057eef67530417affe7fb8055c126dc5c6ce94a4b44f330b5d9",
		"26dc5c6ce94a4b44f330b5d9bbd77cbf958416295cf7e1ce6bccdc18ff8c07b6",
		"a9fb57dba1eea9bc3e660a909d838d718c397aa3b561a6f7901e0e82974856a7",
		"8bd2aeb9cb7e57cb2c4b482ffc81b7afb9de27e1e3bd23c23a4453bd9ace3262",
		"547ef835c3dac4fd97f8461a14611dc9c27745132ded8e545c1d54c72f046997"),
	der.MustOID("1.3.36.3.3.2.8.1.1.11"): newCurve(
		"8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b412b1da197fb71123acd3a729901d1a71874700133107ec53",
		"7bc382c63d8c150c3c72080ace05afa0c2bea28e4fb22787139165efba91f90f8aa5814a503ad4eb04a8c7dd22ce2826",
		"04a8c7dd22ce28268b39b55416f0447c2fb77de107dcd2a62e880ea53eeb62d57cb4390295dbc9943ab78696fa504c11",
		"8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b31f166e6cac0425a7cf3ab6af6b7fc3103b883202e9046565",
		"1d1c64f068cf45ffa2a63a81b7c13f6b8847a3e77ef14fe3db7fcafe0cbd10e8e826e03436d646aaef87b2e247d4af1e",
		"8abe1d7520f9c2a45cb1eb8e95cfd55262b70b29feec5864e19c054ff99129280e4646217791811142820341263c5315"),
	der.MustOID("1.3.36.3.3.2.8.1.1.13"): newCurve(
		"aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca703308717d4d9b009bc66842aecda12ae6a380e62881ff2f2d82c68528aa6056583a48f3",
		"7830a3318b603b89e2327145ac234cc594cbdd8d3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94ca",
		"3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94cadc083e67984050b75ebae5dd2809bd638016f723",
		"aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330870553e5c414ca92619418661197fac10471db1d381085ddaddb58796829ca90069",
		"81aee4bdd82ed9645a21322e9c4c6a9385ed9f70b5d916c1b43b62eef4d0098eff3b1f78e2d0d48d50d1687b93b97d5f7c6d5047406a5e688b352209bcb9f822",
		"7dde385d566332ecc0eabfa9cf7822fdf209f70024a57b1aa000c55b881f8111b2dcde494a5f485e5bca4bd88a2763aed1ca2b2fa8f0540678cd1e0f3ad80892"),
}

// readKey reads an uncompressed point and checks that it is on the curve.
func (c *weierstrass) readKey(b []byte) (*weierstrassKey, error) {
	size := (c.p.BitLen() + 7) / 8
	if len(b) != 1+2*size || b[0] != 4 {
		return nil, fmt.Errorf("%w: point", ErrMalformed)
	}
	x, y := new(big.Int).SetBytes(b[1:1+size]), new(big.Int).SetBytes(b[1+size:])
	if x.Cmp(c.p) >= 0 || y.Cmp(c.p) >= 0 {
		return nil, fmt.Errorf("%w: point", ErrMalformed)
	}
	right := c.mul(c.mul(x, x), x)
	right.Add(right, c.mul(c.a, x)).Add(right, c.b).Mod(right, c.p)
	if c.mul(y, y).Cmp(right) != 0 {
		return nil, fmt.Errorf("%w: point not on its curve", ErrMalformed)
	}
	return &weierstrassKey{c, point{x, y, big.NewInt(1)}}, nil // prime order: no subgroup to check
}

func (c *weierstrass) mul(a, b *big.Int) *big.Int {
	m := new(big.Int).Mul(a, b)
	return m.Mod(m, c.p)
}

func (c *weierstrass) sub(a, b *big.Int) *big.Int {
	m := new(big.Int).Sub(a, b)
	return m.Mod(m, c.p)
}

func (c *weierstrass) double(v point) point {
	if v.z.Sign() == 0 || v.y.Sign() == 0 {
		return point{new(big.Int), new(big.Int), new(big.Int)}
	}
	yy, zz := c.mul(v.y, v.y), c.mul(v.z, v.z)
	s := c.mul(c.mul(v.x, yy), big.NewInt(4))
	m := new(big.Int).Add(c.mul(big.NewInt(3), c.mul(v.x, v.x)), c.mul(c.a, c.mul(zz, zz)))
	x := c.sub(c.mul(m, m), new(big.Int).Lsh(s, 1))
	y := c.sub(c.mul(m, c.sub(s, x)), c.mul(big.NewInt(8), c.mul(yy, yy)))
	return point{x, y, c.mul(big.NewInt(2), c.mul(v.y, v.z))}
}

func (c *weierstrass) add(v, w point) point {
	if v.z.Sign() == 0 {
		return w
	}
	if w.z.Sign() == 0 {
		return v
	}
	vz, wz := c.mul(v.z, v.z), c.mul(w.z, w.z)
	u1, u2 := c.mul(v.x, wz), c.mul(w.x, vz)
	s1, s2 := c.mul(v.y, c.mul(wz, w.z)), c.mul(w.y, c.mul(vz, v.z))
	h, r := c.sub(u2, u1), c.sub(s2, s1)
	if h.Sign() == 0 {
		if r.Sign() == 0 {
			return c.double(v)
		}
		return point{new(big.Int), new(big.Int), new(big.Int)}
	}
	hh := c.mul(h, h)
	hhh, t := c.mul(hh, h), c.mul(u1, hh)
	x := c.sub(c.sub(c.mul(r, r), hhh), new(big.Int).Lsh(t, 1))
	y := c.sub(c.mul(r, c.sub(t, x)), c.mul(s1, hhh))
	return point{x, y, c.mul(h, c.mul(v.z, w.z))}
}

// verify checks an ECDSA signature in DER over a digest (SEC 1 §4.1.4).
func (k *weierstrassKey) verify(sum, sig []byte) bool {
	v, err := der.Parse(sig)
	if err != nil || !v.Is(der.Sequence) {
		return false
	}
	in := v.Enter()
	r, s := in.Int(), in.Int()
	c := k.curve
	if in.Done() != nil || r.Sign() <= 0 || s.Sign() <= 0 || r.Cmp(c.n) >= 0 || s.Cmp(c.n) >= 0 {
		return false
	}
	e := new(big.Int).SetBytes(sum)
	if over := len(sum)*8 - c.n.BitLen(); over > 0 {
		e.Rsh(e, uint(over))
	}
	w := new(big.Int).ModInverse(s, c.n)
	u1, u2 := e.Mul(e, w), new(big.Int).Mul(r, w)
	u1.Mod(u1, c.n)
	u2.Mod(u2, c.n)
	// u1·G + u2·Q, both at once.
	both, sumPoint := c.add(c.g, k.q), point{new(big.Int), new(big.Int), new(big.Int)}
	for i := c.n.BitLen() - 1; i >= 0; i-- {
		sumPoint = c.double(sumPoint)
		switch {
		case u1.Bit(i) == 1 && u2.Bit(i) == 1:
			sumPoint = c.add(sumPoint, both)
		case u1.Bit(i) == 1:
			sumPoint = c.add(sumPoint, c.g)
		case u2.Bit(i) == 1:
			sumPoint = c.add(sumPoint, k.q)
		}
	}
	if sumPoint.z.Sign() == 0 {
		return false
	}
	inv := new(big.Int).ModInverse(sumPoint.z, c.p)
	x := c.mul(sumPoint.x, c.mul(inv, inv))
	return x.Mod(x, c.n).Cmp(r) == 0
}
