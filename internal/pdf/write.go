package pdf

import (
	"bytes"
	"math"
	"strconv"
)

// NumberObject returns f as an Int if it is whole, else as a Real.
func NumberObject(f float64) Object {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return Int(f)
	}
	return Real(f)
}

// Source returns the text of an object as it would be written to a file that is
// not encrypted.
func Source(o Object) ([]byte, error) {
	w := writer{}
	if err := w.value(o); err != nil {
		return nil, err
	}
	return w.buf.Bytes(), nil
}

// writer serialises objects of one indirect object.
type writer struct {
	buf   bytes.Buffer
	doc   *Doc
	crypt *crypt // nil: strings are written plain
	ref   Ref    // the indirect object being written
	start int64  // physical offset of buf's first byte
}

// verbatim reports whether source text that came from org may be copied.
func (w *writer) verbatim(org origin) bool {
	if !org.crypt {
		return w.crypt == nil
	}
	return w.crypt != nil && org.doc.crypt == w.crypt && org.ref == w.ref
}

func (w *writer) value(o Object) error {
	b := &w.buf
	switch v := o.(type) {
	case nil, Null:
		b.WriteString("null")
	case Bool:
		b.WriteString(strconv.FormatBool(bool(v)))
	case Int:
		b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(v), 10))
	case Real:
		b.Write(appendReal(b.AvailableBuffer(), float64(v)))
	case Name:
		b.Write(appendName(b.AvailableBuffer(), v))
	case Ref:
		w.refValue(v)
	case String:
		return w.stringValue(v)
	case Raw:
		b.Write(v)
	case *Hole:
		v.Offset = w.start + int64(b.Len())
		b.Write(v.Bytes)
	case *Array:
		return w.array(v)
	case *Dict:
		return w.dict(v)
	default:
		return malformed("write", -1, "a stream cannot be a direct object")
	}
	return nil
}

func (w *writer) refValue(r Ref) {
	b := w.buf.AvailableBuffer()
	b = strconv.AppendUint(b, uint64(r.Num), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(r.Gen), 10)
	w.buf.Write(append(b, " R"...))
}

func (w *writer) array(a *Array) error {
	if a == nil {
		w.buf.WriteString("null")
		return nil
	}
	if a.src != nil && !a.changed && w.verbatim(a.org) {
		w.buf.Write(a.src)
		return nil
	}
	a.scan()
	w.buf.WriteByte('[')
	for i := range a.items {
		if i > 0 {
			w.buf.WriteByte(' ')
		}
		e := &a.items[i]
		if err := w.member(e.val, a.src, e.s, e.e, a.org, func() Object { return a.value(e) }); err != nil {
			return err
		}
	}
	w.buf.WriteByte(']')
	return nil
}

func (w *writer) dict(d *Dict) error {
	if d == nil {
		w.buf.WriteString("null")
		return nil
	}
	if d.src != nil && !d.changed && w.verbatim(d.org) {
		w.buf.Write(d.src)
		return nil
	}
	d.scan()
	w.buf.WriteString("<<")
	for i := range d.entries {
		e := &d.entries[i]
		if i > 0 {
			w.buf.WriteByte(' ')
		}
		if e.ke == 0 {
			w.buf.Write(appendName(w.buf.AvailableBuffer(), e.key))
		} else {
			w.buf.Write(d.src[e.ks:e.ke])
		}
		w.buf.WriteByte(' ')
		if err := w.member(e.val, d.src, e.vs, e.ve, d.org, func() Object { return d.value(e) }); err != nil {
			return err
		}
	}
	w.buf.WriteString(">>")
	return nil
}

// member writes a value that is either set or source text.
func (w *writer) member(val Object, src []byte, s, e int32, org origin, parse func() Object) error {
	switch {
	case val != nil:
		return w.value(val)
	case s == e:
		w.buf.WriteString("null")
		return nil
	}
	switch t := src[s:e]; {
	case w.verbatim(org), t[0] != '(' && t[0] != '<' && t[0] != '[':
		w.buf.Write(t)
		return nil
	}
	return w.value(parse())
}

func (w *writer) stringValue(s String) error {
	b := s.B
	if w.crypt != nil && !s.Plain {
		var err error
		if b, err = w.crypt.encryptString(w.ref, b, w.start+int64(w.buf.Len())); err != nil {
			return err
		}
	}
	if s.Hex {
		w.buf.Write(appendHex(w.buf.AvailableBuffer(), b))
	} else {
		w.buf.Write(appendLiteral(w.buf.AvailableBuffer(), b))
	}
	return nil
}

const hexDigits = "0123456789abcdef"

func appendHex(b, s []byte) []byte {
	b = append(b, '<')
	for _, c := range s {
		b = append(b, hexDigits[c>>4], hexDigits[c&15])
	}
	return append(b, '>')
}

func appendLiteral(b, s []byte) []byte {
	b = append(b, '(')
	for _, c := range s {
		switch c {
		case '(', ')', '\\':
			b = append(b, '\\', c)
		case '\r': // would be read as a line feed
			b = append(b, '\\', 'r')
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return append(b, ')')
}

func appendName(b []byte, n Name) []byte {
	b = append(b, '/')
	for i := range len(n) {
		c := n[i]
		if c <= ' ' || c >= 0x7f || c == '#' || class[c] == classDelim {
			b = append(b, '#', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// appendReal writes without exponent, which PDF does not know.
func appendReal(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		f = 0
	case math.IsInf(f, 0):
		f = math.Copysign(math.MaxFloat32, f)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}
