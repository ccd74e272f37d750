package pdf

import (
	"errors"
	"slices"
)

// doubt is an object number that a repair found twice.
type doubt struct {
	num         uint32
	first, then int64 // physical offsets, of the object stream if it is in one
	packed      bool  // one of the two is
}

// maxDoubts bounds how many are looked into.
const maxDoubts = 1 << 12

// note remembers that num is defined anew at off.
func (d *Doc) note(num uint32, off int64, packed bool) {
	e, again := d.found[num]
	if !again || len(d.doubts) > maxDoubts {
		return
	}
	at := e.Offset
	if e.Kind == Compressed {
		at, packed = d.found[e.Stream].Offset, true
	}
	d.doubts = append(d.doubts, doubt{num, min(at, off), max(at, off), packed})
}

func unsound(num uint32, what string) error {
	return &Error{Code: CodeRepaired, Op: "repair", Obj: Ref{Num: num}, Offset: -1, Err: errors.New(what)}
}

// Sound reports whether every reader that repairs the document must find the
// same objects, so that a new cross-reference section for them changes nothing
// but that no reader has to repair any more (R7): each object can be read,
// stands in no other, and is there once, or with the same text, or again in a
// later revision; the trailers name one catalog, and one encryption; and no
// signature is among the objects, as nobody could tell what it covered.
//
// It returns the streams whose /Length does not lead to their end, which must
// be written anew. The error is REPAIRED with the reason, or one of reading.
func (d *Doc) Sound() (rewrite []Ref, err error) {
	switch {
	case !d.repaired:
		return nil, nil
	case d.conflict != "":
		return nil, unsound(0, d.conflict)
	case d.searched:
		return nil, unsound(0, "no trailer names the catalog")
	case len(d.doubts) > maxDoubts:
		return nil, unsound(0, "too many objects are there twice")
	}
	for _, x := range d.doubts {
		if ok, err := d.settled(x); err != nil || !ok {
			return nil, first2(err, unsound(x.num, "the object is there twice"))
		}
	}
	return d.apart()
}

func first2(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// settled reports whether a doubt is none: the texts are the same, or an end of
// file stands between them, so that the second is of a later revision.
func (d *Doc) settled(x doubt) (bool, error) {
	if !x.packed {
		a, err1 := d.indirectAt(x.first, false)
		b, err2 := d.indirectAt(x.then, false)
		if err1 == nil && err2 == nil && a.ref == b.ref {
			if same, err := Equal(d, a.obj, d, b.obj); err == nil && same {
				return true, nil
			}
		}
	}
	if err := d.spend(x.then-x.first, x.first); err != nil {
		return false, err
	}
	at, err := d.src.find([]byte("%%EOF"), x.first, x.then)
	return at >= 0, err
}

// apart reads every object found and checks that none stands within another.
func (d *Doc) apart() (rewrite []Ref, err error) {
	var starts []int64
	var list []Entry
	for _, num := range sortedKeys(d.found) {
		if e := d.found[num]; e.Kind == InUse {
			starts, list = append(starts, e.Offset), append(list, e)
		} else if _, err := d.Object(e.Ref); err != nil {
			return nil, d.unreadable(num, err)
		}
	}
	for _, x := range d.doubts {
		if !x.packed {
			starts = append(starts, x.first, x.then)
		}
	}
	slices.Sort(starts)
	for _, e := range list {
		x, err := d.indirectAt(e.Offset, d.crypt != nil && e.Ref != d.crypt.ref)
		if err != nil || x.ref != e.Ref {
			return nil, d.unreadable(e.Ref.Num, err)
		}
		dict, _ := x.obj.(*Dict)
		if s, ok := x.obj.(*Stream); ok {
			dict = s.Dict
			span, err := s.DataSpan()
			if err != nil {
				return nil, d.unreadable(e.Ref.Num, err)
			}
			x.end = span.End()
			if n, err := d.LookupInt(dict, "Length", -1); err != nil || n != span.Len {
				rewrite = append(rewrite, e.Ref)
			}
		}
		if dict.Has("ByteRange") {
			return nil, unsound(e.Ref.Num, "a signature in a damaged file")
		}
		i, _ := slices.BinarySearch(starts, e.Offset+1)
		if i < len(starts) && starts[i] < x.end {
			return nil, unsound(e.Ref.Num, "another object stands within the object")
		}
	}
	return rewrite, nil
}

func (d *Doc) unreadable(num uint32, err error) error {
	if c := CodeOf(err); c == CodeIO || c == CodeLimit {
		return err
	}
	return unsound(num, "the object cannot be read")
}
