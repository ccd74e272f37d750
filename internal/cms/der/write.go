package der

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// A Builder writes DER into one growing buffer. The zero value is ready.
//
// Constructed elements are opened with Begin and closed with End, innermost
// first; End makes room for a long length by moving what it closes.
type Builder struct {
	buf []byte
}

// Grow makes room for n more bytes.
func (b *Builder) Grow(n int) { b.buf = slices.Grow(b.buf, n) }

// Bytes returns what was written; the Builder must not be used afterwards.
func (b *Builder) Bytes() []byte { return b.buf }

// Begin opens an element with this identifier octet and returns the mark that
// End takes.
func (b *Builder) Begin(tag byte) (mark int) {
	b.buf = append(b.buf, tag, 0)
	return len(b.buf)
}

// End closes the element opened at mark.
func (b *Builder) End(mark int) {
	n := len(b.buf) - mark
	if n < 0x80 {
		b.buf[mark-1] = byte(n)
		return
	}
	var l [4]byte
	size := putLength(&l, n)
	b.buf = append(b.buf, l[:size]...) // room; overwritten below
	copy(b.buf[mark+size:], b.buf[mark:mark+n])
	b.buf[mark-1] = 0x80 | byte(size)
	copy(b.buf[mark:], l[:size])
}

func putLength(l *[4]byte, n int) (size int) {
	for v := n; v > 0; v >>= 8 {
		size++
	}
	for i := range size {
		l[i] = byte(n >> (8 * (size - 1 - i)))
	}
	return size
}

// Prim writes a primitive element.
func (b *Builder) Prim(tag byte, body []byte) {
	b.buf = append(b.buf, tag)
	if len(body) < 0x80 {
		b.buf = append(b.buf, byte(len(body)))
	} else {
		var l [4]byte
		size := putLength(&l, len(body))
		b.buf = append(append(b.buf, 0x80|byte(size)), l[:size]...)
	}
	b.buf = append(b.buf, body...)
}

// Raw writes an element that is encoded already.
func (b *Builder) Raw(encoded []byte) { b.buf = append(b.buf, encoded...) }

// OID writes an OBJECT IDENTIFIER.
func (b *Builder) OID(o OID) {
	b.buf = append(b.buf, ObjectID, byte(len(o)))
	b.buf = append(b.buf, o...)
}

// Null writes a NULL.
func (b *Builder) Null() { b.buf = append(b.buf, Null, 0) }

// Bool writes a BOOLEAN.
func (b *Builder) Bool(v bool) {
	c := byte(0)
	if v {
		c = 0xff
	}
	b.buf = append(b.buf, Boolean, 1, c)
}

// Small writes an INTEGER that is not negative.
func (b *Builder) Small(n int) { b.Int(big.NewInt(int64(n))) }

// TaggedSmall writes an integer that is not negative under another identifier octet.
func (b *Builder) TaggedSmall(tag byte, n int) { b.TaggedInt(tag, big.NewInt(int64(n))) }

// Int writes an INTEGER.
func (b *Builder) Int(n *big.Int) { b.TaggedInt(Integer, n) }

// TaggedInt writes an integer under another identifier octet.
func (b *Builder) TaggedInt(tag byte, n *big.Int) {
	if n.Sign() < 0 {
		// Two's complement of the smallest size that keeps the sign bit.
		size := new(big.Int).Not(n).BitLen()/8 + 1
		v := new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(size)*8))
		b.Prim(tag, v.FillBytes(make([]byte, size)))
		return
	}
	b.Prim(tag, n.FillBytes(make([]byte, n.BitLen()/8+1)))
}

// Octets writes an OCTET STRING.
func (b *Builder) Octets(v []byte) { b.Prim(OctetString, v) }

// Bits writes a BIT STRING without unused bits.
func (b *Builder) Bits(v []byte) {
	b.Prim(BitString, append([]byte{0}, v...))
}

// Time writes t in UTC to the second: UTCTime through 2049, GeneralizedTime
// after (RFC 5652 §11.3).
func (b *Builder) Time(t time.Time) {
	t = t.UTC()
	if y := t.Year(); y >= 1950 && y < 2050 {
		b.Prim(UTCTime, t.AppendFormat(nil, "060102150405Z"))
		return
	}
	b.Prim(GeneralizedTime, t.AppendFormat(nil, "20060102150405Z"))
}

// GeneralizedTime writes t in UTC with the fraction it has, to the
// microsecond, without trailing zeros (RFC 3161 §2.4.2).
func (b *Builder) GeneralizedTime(t time.Time) {
	b.Prim(GeneralizedTime, t.UTC().Truncate(time.Microsecond).AppendFormat(nil, "20060102150405.999999Z"))
}

// SetOf writes encoded elements under a constructed tag in the order DER asks
// of a SET OF: ascending as byte strings.
func (b *Builder) SetOf(tag byte, elements ...[]byte) {
	sorted := slices.Clone(elements)
	slices.SortFunc(sorted, bytes.Compare)
	m := b.Begin(tag)
	for _, e := range sorted {
		b.Raw(e)
	}
	b.End(m)
}

// EndSetOf is End for a SET OF whose elements were written by this Builder: it
// puts them in the order of [Builder.SetOf].
func (b *Builder) EndSetOf(mark int) {
	var few [8][]byte
	elements := few[:0]
	for rest := b.buf[mark:]; len(rest) > 0; {
		v, err := read(rest, 0)
		if err != nil {
			break // not of this Builder's making
		}
		elements, rest = append(elements, v.Raw), rest[len(v.Raw):]
	}
	if !slices.IsSortedFunc(elements, bytes.Compare) {
		slices.SortFunc(elements, bytes.Compare)
		copy(b.buf[mark:], bytes.Join(elements, nil))
	}
	b.End(mark)
}

// normal writes v with definite lengths and primitive strings.
func (b *Builder) normal(v Value) error {
	if v.Tag&0x1f == 0x1f {
		return fmt.Errorf("%w: long tag number", ErrSyntax)
	}
	if v.Tag&Constructed == 0 {
		b.Prim(v.Tag, v.Body)
		return nil
	}
	if v.Tag == OctetString|Constructed {
		o, err := v.Octets()
		if err != nil {
			return err
		}
		b.Octets(o)
		return nil
	}
	m := b.Begin(v.Tag)
	c := v.Enter()
	for c.More() {
		e := c.Next()
		if c.err != nil {
			break
		}
		if err := b.normal(e); err != nil {
			return err
		}
	}
	b.End(m)
	return c.err
}
