package pdf

import "fmt"

// An Object is one value of the PDF syntax (ISO 32000-2 7.3): [Null], [Bool],
// [Int], [Real], [Name], [String], *[Array], *[Dict], *[Stream], [Ref], and on
// the way out also [Raw] and *[Hole].
//
// Values that were read keep the bytes they came from. What is written back
// unchanged is written byte for byte, whatever its spelling (R6).
//
// Every Array, Dict and Stream handed out belongs to the caller: changing it
// changes neither the document nor what a later call returns. To change a
// nested value, take it out, change it and Set it again.
type Object interface{ object() }

type (
	// Null is the null object. As the value of a dictionary key it means the
	// key is absent.
	Null struct{}
	// Bool is true or false.
	Bool bool
	// Int is an integer.
	Int int64
	// Real is a number with a fraction, or an integer beyond int64.
	Real float64
	// Name is a name without its slash, with #xx decoded.
	Name string
	// Raw is source text written as it stands. It must be one valid object.
	Raw []byte
)

// A Ref is an indirect reference. The zero Ref refers to nothing.
type Ref struct {
	Num uint32
	Gen uint16
}

// String returns the reference as it stands in a file, such as "12 0 R".
func (r Ref) String() string { return fmt.Sprintf("%d %d R", r.Num, r.Gen) }

// A String is a string object: the decrypted bytes and the form they had.
// Text strings are read with [DecodeText] and made with [Text].
type String struct {
	B   []byte
	Hex bool // <...> rather than (...)

	// Plain exempts the string from encryption on writing, as /Contents of a
	// signature must be.
	Plain bool
}

// A Hole is a placeholder in an [Update]: Build writes Bytes verbatim, without
// encryption, and stores where. It may stand anywhere a value may.
type Hole struct {
	Bytes  []byte // one valid object, such as "<000000>" or "[0 0 0 0      ]"
	Offset int64  // set by Build: physical offset in the finished file of the first byte of Bytes
}

func (Null) object()    {}
func (Bool) object()    {}
func (Int) object()     {}
func (Real) object()    {}
func (Name) object()    {}
func (Raw) object()     {}
func (Ref) object()     {}
func (String) object()  {}
func (*Hole) object()   {}
func (*Array) object()  {}
func (*Dict) object()   {}
func (*Stream) object() {}

// origin is what a value read from a file remembers of the indirect object it
// stood in. It is zero in values that were built, and in trailers.
type origin struct {
	doc   *Doc
	ref   Ref
	crypt bool // strings are encrypted under ref's key
}

// Span is a run of bytes in the file.
type Span struct{ Off, Len int64 }

// End returns the offset just past the span.
func (s Span) End() int64 { return s.Off + s.Len }

// Number returns the value of an Int or a Real.
func Number(o Object) (float64, bool) {
	switch v := o.(type) {
	case Int:
		return float64(v), true
	case Real:
		return float64(v), true
	}
	return 0, false
}

// IsNull reports whether o is nil or Null.
func IsNull(o Object) bool {
	if o == nil {
		return true
	}
	_, ok := o.(Null)
	return ok
}
