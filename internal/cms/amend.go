package cms

import (
	"fmt"

	"github.com/countersign/countersign/internal/cms/der"
)

// AddUnsigned returns message, which must hold one SignerInfo, with attrs
// added to its unsigned attributes, such as a signature timestamp. What is
// signed, and every certificate, keeps its bytes; the headers around become
// DER. Trailing bytes are dropped.
func AddUnsigned(message []byte, attrs ...Attribute) ([]byte, error) {
	sd, err := Parse(message)
	if err != nil {
		return nil, err
	}
	if len(sd.Signers) != 1 {
		return nil, fmt.Errorf("%w: %d signers", ErrMalformed, len(sd.Signers))
	}
	v, err := der.Parse(sd.Raw)
	if err != nil {
		return nil, fmt.Errorf("%w: signed data: %w", ErrMalformed, err)
	}
	// Parse has checked the structure: the signers are the last set.
	var b der.Builder
	b.Grow(len(sd.Raw) + 256)
	c := v.Enter()
	info := b.Begin(der.Sequence)
	b.Raw(c.Next().Raw)
	outer := b.Begin(der.Context(0) | der.Constructed)
	in := c.Inner(der.Context(0) | der.Constructed).Inner(der.Sequence)
	data := b.Begin(der.Sequence)
	for in.More() {
		e := in.Next()
		if in.More() {
			b.Raw(e.Raw)
			continue
		}
		set := b.Begin(der.Set)
		amendSigner(&b, in.Sub(e).Inner(der.Sequence), attrs)
		b.End(set)
	}
	b.End(data)
	b.End(outer)
	b.End(info)
	if err := c.Err(); err != nil {
		return nil, fmt.Errorf("%w: signed data: %w", ErrMalformed, err)
	}
	return b.Bytes(), nil
}

// amendSigner copies a SignerInfo and writes its unsigned attributes anew.
func amendSigner(b *der.Builder, c *der.Cursor, attrs []Attribute) {
	var have []Attribute
	si := b.Begin(der.Sequence)
	for i := 0; c.More(); i++ {
		e := c.Next()
		if i > 3 && e.Is(der.Context(1)|der.Constructed) {
			have = readAttributes(c.Sub(e))
			continue
		}
		b.Raw(e.Raw)
	}
	writeUnsigned(b, append(have, attrs...))
	b.End(si)
}
