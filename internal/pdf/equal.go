package pdf

import (
	"bytes"
	"io"
)

// Equal compares two objects by value: 1 and 1.0 are equal, the order of keys
// and the spelling of names, strings and numbers do not matter, null is an
// absent key. A reference and a direct value are compared by what the reference
// leads to. Two references with the same number are equal as they stand, for
// what they lead to is compared on its own; with different numbers they are
// compared by what they lead to. Streams are compared by dictionary (without
// /Length) and decrypted data, and if that differs, by decoded data.
func Equal(da *Doc, a Object, db *Doc, b Object) (bool, error) {
	c := comparer{da: da, db: db}
	return c.equal(a, b, 0)
}

// maxCompare bounds the pairs of references followed in one comparison. In all of a
// file there may be a few times as many, and one for every 64 bytes.
const maxCompare = 1 << 16

type comparer struct {
	da, db *Doc
	seen   map[[2]Ref]bool
	n      int
}

func (c *comparer) equal(a, b Object, depth int) (bool, error) {
	if c.n++; c.n > 1<<22 || depth > 500 {
		return false, limit("compare", -1, "values too deep or too many")
	}
	ra, isRefA := a.(Ref)
	rb, isRefB := b.(Ref)
	if isRefA && isRefB {
		if ra == rb {
			return true, nil
		}
		pair := [2]Ref{ra, rb}
		if c.seen[pair] {
			return true, nil // being compared, or found equal before
		}
		if c.seen == nil {
			c.seen = make(map[[2]Ref]bool)
		}
		file := c.db.src.file
		if file.pairs++; len(c.seen) > maxCompare || file.pairs > 4*maxCompare+file.src.size/64 {
			return false, limit("compare", -1, "too many references")
		}
		c.seen[pair] = true
	}
	a, err := c.da.Resolve(a)
	if err != nil {
		return false, err
	}
	if b, err = c.db.Resolve(b); err != nil {
		return false, err
	}
	switch x := a.(type) {
	case Null:
		return IsNull(b), nil
	case Int, Real:
		return sameNumber(a, b), nil
	case Bool:
		y, ok := b.(Bool)
		return ok && x == y, nil
	case Name:
		y, ok := b.(Name)
		return ok && x == y, nil
	case String:
		y, ok := b.(String)
		return ok && bytes.Equal(x.B, y.B), nil
	case *Array:
		y, ok := b.(*Array)
		if !ok || x.Len() != y.Len() {
			return false, nil
		}
		for i, v := range x.All() {
			if eq, err := c.equal(v, y.At(i), depth+1); !eq || err != nil {
				return false, err
			}
		}
		return true, nil
	case *Dict:
		y, ok := b.(*Dict)
		if !ok {
			return false, nil
		}
		if x.sameSource(y) {
			return true, nil
		}
		return c.dicts(x, y, depth, "")
	case *Stream:
		y, ok := b.(*Stream)
		if !ok {
			return false, nil
		}
		return c.streams(x, y, depth)
	}
	return false, nil
}

func sameNumber(a, b Object) bool {
	x, ok1 := a.(Int)
	y, ok2 := b.(Int)
	if ok1 && ok2 {
		return x == y
	}
	f, ok1 := Number(a)
	g, ok2 := Number(b)
	return ok1 && ok2 && f == g
}

// sameSource reports whether two dictionaries are spelled alike, which makes
// them equal unless their strings are encrypted.
func (d *Dict) sameSource(o *Dict) bool {
	plain := func(d *Dict) bool { return d.src != nil && !d.changed && !d.org.crypt }
	return plain(d) && plain(o) && bytes.Equal(d.src, o.src)
}

// dicts compares two dictionaries, the key skip left out.
func (c *comparer) dicts(x, y *Dict, depth int, skip Name) (bool, error) {
	mx, my := x.values(), y.values()
	for k, v := range mx {
		if k == skip {
			continue
		}
		w, ok := my[k]
		if !ok {
			w = Null{}
		}
		if eq, err := c.equal(v, w, depth+1); !eq || err != nil {
			return false, err
		}
	}
	for k, w := range my {
		if _, ok := mx[k]; ok || k == skip {
			continue
		}
		o, err := c.db.Resolve(w)
		if err != nil || !IsNull(o) {
			return false, err
		}
	}
	return true, nil
}

// values returns the entries by key, the last of repeated ones.
func (d *Dict) values() map[Name]Object {
	m := make(map[Name]Object, d.Len())
	for k, v := range d.All() {
		m[k] = v
	}
	return m
}

func (c *comparer) streams(x, y *Stream, depth int) (bool, error) {
	same, err := c.dicts(x.Dict, y.Dict, depth, "Length")
	if err != nil {
		return false, err
	}
	if same && x.sameBytes(y) {
		return true, nil
	}
	if same {
		eq, err := sameData(x, y)
		if eq || err != nil {
			return eq, err
		}
	}
	// Another filter may hold the same content.
	strip := func(s *Stream) *Dict {
		d := s.Dict.Clone()
		for _, k := range []Name{"Length", "Filter", "DecodeParms", "DL"} {
			d.Delete(k)
		}
		return d
	}
	if eq, err := c.dicts(strip(x), strip(y), depth, ""); !eq || err != nil {
		return false, err
	}
	a, err := x.Decode()
	if err != nil {
		return false, ignoreContent(err)
	}
	b, err := y.Decode()
	if err != nil {
		return false, ignoreContent(err)
	}
	return bytes.Equal(a, b), nil
}

// sameBytes reports whether the data of both is one run of bytes in one file.
func (s *Stream) sameBytes(o *Stream) bool {
	if s.org.doc == nil || o.org.doc == nil || s.start != o.start || s.org.doc.src.file != o.org.doc.src.file || s.org.doc.crypt != nil || o.org.doc.crypt != nil {
		return false
	}
	a, err := s.DataSpan()
	if err != nil {
		return false
	}
	b, err := o.DataSpan()
	return err == nil && a == b
}

// ignoreContent drops errors that mean data cannot be decoded: what was not
// found equal is then different.
func ignoreContent(err error) error {
	switch CodeOf(err) {
	case CodeIO, CodeLimit:
		return err
	}
	return nil
}

// sameData compares decrypted data as it is stored, without holding it.
func sameData(x, y *Stream) (bool, error) {
	r, err := x.Open()
	if err != nil {
		return false, err
	}
	s, err := y.Open()
	if err != nil {
		return false, err
	}
	p, q := make([]byte, 8<<10), make([]byte, 8<<10)
	for {
		n, err := io.ReadFull(r, p)
		if err != nil && sourceError(err) != nil {
			return false, err
		}
		m, err := io.ReadFull(s, q)
		if err != nil && sourceError(err) != nil {
			return false, err
		}
		if !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		if n < len(p) {
			return true, nil
		}
	}
}
