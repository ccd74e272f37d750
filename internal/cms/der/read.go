package der

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Limits of the reader.
const (
	// MaxSize is the longest element that Read and Parse take, in bytes
	// (pades.md R9).
	MaxSize = 4 << 20
	// MaxList is the longest element that ParseLong takes, in bytes: revocation
	// lists of large authorities outgrow MaxSize.
	MaxList = 64 << 20
	// MaxDepth is the deepest nesting taken.
	MaxDepth = 64
)

// Errors of the reader; both may come wrapped with what was expected.
var (
	// ErrSyntax reports bytes that are no BER or not the expected structure.
	ErrSyntax = errors.New("der: malformed")
	// ErrLimit reports input beyond [MaxSize] or [MaxDepth].
	ErrLimit = errors.New("der: limit exceeded")
)

// Identifier octets of the universal types in use here.
const (
	Boolean         = 0x01
	Integer         = 0x02
	BitString       = 0x03
	OctetString     = 0x04
	Null            = 0x05
	ObjectID        = 0x06
	Enumerated      = 0x0a
	UTF8String      = 0x0c
	UTCTime         = 0x17
	GeneralizedTime = 0x18
	Sequence        = 0x30
	Set             = 0x31
)

// Context returns the identifier octet of context tag n (0 to 30), primitive;
// add [Constructed] for a constructed one.
func Context(n byte) byte { return 0x80 | n }

// Constructed is the bit of the identifier octet that marks nested values.
const Constructed = 0x20

// A Value is one BER element. The zero Value is no element.
type Value struct {
	// Tag is the identifier octet: class, constructed bit, number. Numbers
	// above 30 are kept as 31; nothing read here uses them.
	Tag byte
	// Raw is the whole encoding, Body its contents; for the indefinite form
	// Raw includes the end-of-contents octets and Body does not.
	Raw, Body []byte

	depth      int
	indefinite bool
}

// Parse reads the single element that b consists of.
func Parse(b []byte) (Value, error) { return parse(b, MaxSize) }

// ParseLong is Parse for elements of up to [MaxList] bytes.
func ParseLong(b []byte) (Value, error) { return parse(b, MaxList) }

func parse(b []byte, limit int) (Value, error) {
	v, err := read(b, 0)
	switch {
	case err != nil:
		return Value{}, err
	case len(v.Raw) > limit:
		return Value{}, fmt.Errorf("%w: element of %d bytes", ErrLimit, len(v.Raw))
	case len(v.Raw) != len(b):
		return Value{}, fmt.Errorf("%w: %d bytes after the end", ErrSyntax, len(b)-len(v.Raw))
	}
	return v, nil
}

// Read reads the first element of b and returns what follows it.
func Read(b []byte) (v Value, rest []byte, err error) {
	// Only the element counts: zeros that pad a PDF's Contents do not.
	v, err = read(b, 0)
	if err != nil {
		return Value{}, nil, err
	}
	if len(v.Raw) > MaxSize {
		return Value{}, nil, fmt.Errorf("%w: element of %d bytes", ErrLimit, len(v.Raw))
	}
	return v, b[len(v.Raw):], nil
}

var errTruncated = fmt.Errorf("%w: truncated", ErrSyntax)

// header reads identifier and length octets. size is -1 for the indefinite form.
func header(b []byte) (tag byte, head, size int, err error) {
	if len(b) < 2 {
		return 0, 0, 0, errTruncated
	}
	tag, head = b[0], 1
	if tag&0x1f == 0x1f {
		for {
			if head >= len(b) {
				return 0, 0, 0, errTruncated
			}
			if head > 4 {
				return 0, 0, 0, fmt.Errorf("%w: tag number too long", ErrSyntax)
			}
			head++
			if b[head-1]&0x80 == 0 {
				break
			}
		}
		if head >= len(b) {
			return 0, 0, 0, errTruncated
		}
	}
	l := b[head]
	head++
	switch {
	case l < 0x80:
		return tag, head, int(l), nil
	case l == 0x80:
		if tag&Constructed == 0 {
			return 0, 0, 0, fmt.Errorf("%w: primitive of indefinite length", ErrSyntax)
		}
		return tag, head, -1, nil
	case l == 0xff:
		return 0, 0, 0, fmt.Errorf("%w: reserved length", ErrSyntax)
	}
	n := int(l & 0x7f)
	if n > len(b)-head {
		return 0, 0, 0, errTruncated
	}
	for _, c := range b[head : head+n] {
		if size > MaxList>>8 {
			return 0, 0, 0, fmt.Errorf("%w: length", ErrLimit)
		}
		size = size<<8 | int(c)
	}
	return tag, head + n, size, nil
}

func read(b []byte, depth int) (Value, error) {
	if depth > MaxDepth {
		return Value{}, fmt.Errorf("%w: nesting", ErrLimit)
	}
	tag, head, size, err := header(b)
	if err != nil {
		return Value{}, err
	}
	v := Value{Tag: tag, depth: depth}
	if size >= 0 {
		if size > len(b)-head {
			return Value{}, errTruncated
		}
		v.Raw, v.Body = b[:head+size:head+size], b[head:head+size:head+size]
		return v, nil
	}
	end, err := endOfContents(b[head:], depth)
	if err != nil {
		return Value{}, err
	}
	v.indefinite = true
	v.Raw, v.Body = b[:head+end+2:head+end+2], b[head:head+end:head+end]
	return v, nil
}

// endOfContents finds the end of an indefinite body in one pass: open counts
// the indefinite elements around the current position.
func endOfContents(b []byte, depth int) (int, error) {
	pos, open := 0, 1
	for {
		if pos > MaxList {
			return 0, fmt.Errorf("%w: element without end", ErrLimit)
		}
		if len(b)-pos >= 2 && b[pos] == 0 && b[pos+1] == 0 {
			if open--; open == 0 {
				return pos, nil
			}
			pos += 2
			continue
		}
		_, head, size, err := header(b[pos:])
		if err != nil {
			return 0, err
		}
		if size < 0 {
			if open++; depth+open > MaxDepth {
				return 0, fmt.Errorf("%w: nesting", ErrLimit)
			}
			pos += head
			continue
		}
		if size > len(b)-pos-head {
			return 0, errTruncated
		}
		pos += head + size
	}
}

// Present reports whether v is an element at all.
func (v Value) Present() bool { return len(v.Raw) != 0 }

// Is reports whether v has this identifier octet.
func (v Value) Is(tag byte) bool { return len(v.Raw) != 0 && v.Tag == tag }

// Enter returns a cursor over the elements inside v.
func (v Value) Enter() *Cursor {
	c := &Cursor{rest: v.Body, depth: v.depth + 1}
	if v.Tag&Constructed == 0 {
		c.err = fmt.Errorf("%w: tag %#02x holds no elements", ErrSyntax, v.Tag)
	}
	return c
}

// Octets returns the contents of a string type; a constructed string (BER) is
// put together from its parts.
func (v Value) Octets() ([]byte, error) {
	if v.Tag&Constructed == 0 {
		return v.Body, nil
	}
	var out []byte
	c := v.Enter()
	for c.More() {
		part := c.Next()
		if c.err != nil {
			break
		}
		b, err := part.Octets()
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, c.err
}

// Bits returns the octets of a BIT STRING that has no unused bits.
func (v Value) Bits() ([]byte, error) {
	if v.Tag != BitString || len(v.Body) == 0 || v.Body[0] != 0 {
		return nil, fmt.Errorf("%w: bit string", ErrSyntax)
	}
	return v.Body[1:], nil
}

// Int returns an INTEGER (or ENUMERATED) of any size.
func (v Value) Int() (*big.Int, error) {
	if v.Tag&Constructed != 0 || len(v.Body) == 0 {
		return nil, fmt.Errorf("%w: integer", ErrSyntax)
	}
	n := new(big.Int).SetBytes(v.Body)
	if v.Body[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(v.Body))*8))
	}
	return n, nil
}

// Small returns an INTEGER of at most 31 bits that is not negative.
func (v Value) Small() (int, error) {
	if v.Tag&Constructed != 0 || len(v.Body) == 0 || len(v.Body) > 4 || v.Body[0]&0x80 != 0 {
		return 0, fmt.Errorf("%w: small integer", ErrSyntax)
	}
	n := 0
	for _, c := range v.Body {
		n = n<<8 | int(c)
	}
	return n, nil
}

// Bool returns a BOOLEAN; BER takes any non-zero octet as true.
func (v Value) Bool() (bool, error) {
	if v.Tag&Constructed != 0 || len(v.Body) != 1 {
		return false, fmt.Errorf("%w: boolean", ErrSyntax)
	}
	return v.Body[0] != 0, nil
}

// OID returns an OBJECT IDENTIFIER.
func (v Value) OID() (OID, error) {
	if v.Tag != ObjectID || len(v.Body) == 0 || len(v.Body) > 64 || v.Body[len(v.Body)-1]&0x80 != 0 {
		return "", fmt.Errorf("%w: object identifier", ErrSyntax)
	}
	return OID(v.Body), nil
}

// Time returns a UTCTime or GeneralizedTime in UTC. The zone must be stated.
// Years of UTCTime run from 1950 to 2049 (RFC 5280 §4.1.2.5.1).
func (v Value) Time() (time.Time, error) {
	s := string(v.Body)
	var layouts []string
	switch v.Tag {
	case UTCTime:
		layouts = []string{"060102150405Z0700", "0601021504Z0700"}
	case GeneralizedTime:
		// Go reads a fraction after the seconds whether the layout has it or not.
		s = strings.Replace(s, ",", ".", 1)
		layouts = []string{"20060102150405Z0700", "200601021504Z0700"}
	}
	for _, l := range layouts {
		t, err := time.Parse(l, s)
		if err != nil {
			continue
		}
		if v.Tag == UTCTime && t.Year() >= 2050 {
			t = t.AddDate(-100, 0, 0)
		}
		return t.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%w: time", ErrSyntax)
}

// DER returns v re-encoded with definite, minimal lengths and primitive
// strings; the order of a SET OF is kept. When v has that form already, it is
// v.Raw itself.
func (v Value) DER() ([]byte, error) {
	var b Builder
	if err := b.normal(v); err != nil {
		return nil, err
	}
	if string(b.Bytes()) == string(v.Raw) {
		return v.Raw, nil
	}
	return b.Bytes(), nil
}

// A Cursor walks the elements of a constructed value. After its first error
// every call returns zero values; Err tells. A cursor got from Inner or Sub
// passes its error up, so the outermost one is checked once.
type Cursor struct {
	rest  []byte
	depth int
	err   error
	up    *Cursor
}

// More reports whether an element follows and nothing failed so far.
func (c *Cursor) More() bool { return c.err == nil && len(c.rest) != 0 }

// Next returns the next element, whatever it is.
func (c *Cursor) Next() Value {
	if c.err != nil {
		return Value{}
	}
	v, err := read(c.rest, c.depth)
	if err != nil {
		c.Check(err)
		return Value{}
	}
	c.rest = c.rest[len(v.Raw):]
	return v
}

// Want returns the next element, which must have this identifier octet; a
// string type may also be constructed.
func (c *Cursor) Want(tag byte) Value {
	v := c.Next()
	if c.err == nil && v.Tag != tag && (tag != OctetString || v.Tag != tag|Constructed) {
		c.Check(fmt.Errorf("%w: tag %#02x where %#02x belongs", ErrSyntax, v.Tag, tag))
		return Value{}
	}
	return v
}

// Maybe returns the next element if it has this identifier octet, and
// otherwise the zero Value without moving on.
func (c *Cursor) Maybe(tag byte) Value {
	if !c.More() || c.rest[0] != tag {
		return Value{}
	}
	return c.Next()
}

// Inner returns a cursor into the next element, which must have this
// identifier octet. Errors of c pass to the new cursor, and back.
func (c *Cursor) Inner(tag byte) *Cursor { return c.Sub(c.Want(tag)) }

// Sub returns a cursor into v, an element that c returned.
func (c *Cursor) Sub(v Value) *Cursor {
	if c.err != nil {
		return &Cursor{err: c.err}
	}
	in := v.Enter()
	in.up = c
	c.Check(in.err)
	return in
}

// OID returns the next element, an OBJECT IDENTIFIER.
func (c *Cursor) OID() OID {
	v := c.Next()
	if c.err != nil {
		return ""
	}
	o, err := v.OID()
	c.Check(err)
	return o
}

// Int returns the next element, an INTEGER.
func (c *Cursor) Int() *big.Int {
	v := c.Want(Integer)
	if c.err != nil {
		return nil
	}
	n, err := v.Int()
	c.Check(err)
	return n
}

// Small returns the next element, a small INTEGER as [Value.Small] reads it.
func (c *Cursor) Small() int {
	v := c.Want(Integer)
	if c.err != nil {
		return 0
	}
	n, err := v.Small()
	c.Check(err)
	return n
}

// Octets returns the contents of the next element, an OCTET STRING.
func (c *Cursor) Octets() []byte {
	v := c.Want(OctetString)
	if c.err != nil {
		return nil
	}
	b, err := v.Octets()
	c.Check(err)
	return b
}

// Time returns the next element, a UTCTime or GeneralizedTime.
func (c *Cursor) Time() time.Time {
	v := c.Next()
	if c.err != nil {
		return time.Time{}
	}
	t, err := v.Time()
	c.Check(err)
	return t
}

// Err returns the first error.
func (c *Cursor) Err() error { return c.err }

// Done returns the first error, or one if elements are left.
func (c *Cursor) Done() error {
	if c.err == nil && len(c.rest) != 0 {
		c.Check(fmt.Errorf("%w: unexpected element %#02x", ErrSyntax, c.rest[0]))
	}
	return c.err
}

// Check makes err the error of c, and of the cursors around it, if it is not
// nil and they have none yet.
func (c *Cursor) Check(err error) {
	for ; c != nil && err != nil; c = c.up {
		if c.err == nil {
			c.err = err
		}
	}
}
