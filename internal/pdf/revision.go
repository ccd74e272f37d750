package pdf

import (
	"bytes"
	"iter"
	"maps"
	"slices"
)

// A SectionKind is a kind of cross-reference section.
type SectionKind string

// The kinds of cross-reference section. A hybrid section is a table whose
// trailer names a stream by /XRefStm.
const (
	Table   SectionKind = "table"
	XStream SectionKind = "stream"
	Hybrid  SectionKind = "hybrid"
)

// A Revision is what one write of the file added: one cross-reference section,
// or the two of a linearised file.
type Revision struct {
	Kind   SectionKind
	Start  int64 // physical offset of its newest cross-reference section
	End    int64 // just past the %%EOF that ends it, 0 if there is none
	EndEOL int64 // End and the end-of-line marker after it, if any

	sections []*section
	doc      *Doc
}

// Trailer returns the trailer dictionary of the revision.
func (r Revision) Trailer() *Dict { return r.sections[0].trailer.Clone() }

// An EntryKind says what a cross-reference entry is.
type EntryKind string

// The kinds of entry.
const (
	Free       EntryKind = "free"
	InUse      EntryKind = "in_use"
	Compressed EntryKind = "compressed"
)

// An Entry is what a cross-reference section says of one object.
type Entry struct {
	Ref    Ref
	Kind   EntryKind
	Offset int64  // InUse: physical offset
	Stream uint32 // Compressed: number of the object stream
	Index  int    // Compressed: index in it
}

// Revisions returns the revisions of the document, newest first. The bytes
// [0, EndEOL) of one are the document as it was then; see [Doc.At].
func (d *Doc) Revisions() ([]Revision, error) {
	if d.repaired {
		return nil, &Error{Code: CodeRepaired, Op: "revisions", Offset: -1}
	}
	var out []Revision
	sections := d.xref.sections
	limit := d.src.size
	for i := 0; i < len(sections); {
		r := Revision{Start: sections[i].off, doc: d, Kind: sections[i].kind}
		j := i + 1
		// The first section of a linearised file stands before the one it
		// continues; both were written together.
		for j < len(sections) && sections[j].off > sections[j-1].off {
			j++
		}
		r.sections = sections[i:j]
		end := int64(0)
		for _, s := range r.sections {
			end = max(end, s.end)
			if s.hidden != nil {
				end = max(end, s.hidden.end)
			}
		}
		if end < limit {
			if err := d.spend(0, end); err != nil {
				return nil, err
			}
			at, err := d.src.find([]byte("%%EOF"), end, limit)
			if err != nil {
				return nil, err
			}
			if at >= 0 {
				if err := d.spend(at-end, end); err != nil {
					return nil, err
				}
				r.End = at + 5
				if r.EndEOL, err = d.afterEOL(r.End); err != nil {
					return nil, err
				}
			} else if err := d.spend(limit-end, end); err != nil {
				return nil, err
			}
		}
		out = append(out, r)
		i = j
	}
	return out, nil
}

// Continues reports whether the cross-reference data of d is that of older with
// the sections of r put before it, and none else. If not, those sections do not
// tell all that differs between the two.
func (d *Doc) Continues(older *Doc, r Revision) bool {
	n := len(r.sections)
	if len(d.xref.sections) != n+len(older.xref.sections) || d.repaired || older.repaired || d.base != older.base {
		return false
	}
	for i, s := range r.sections {
		if d.xref.sections[i].off != s.off {
			return false
		}
	}
	same := func(a, b *section) bool {
		return a.kind == b.kind && a.off == b.off && a.end == b.end && a.prev == b.prev && a.width == b.width && bytes.Equal(a.data, b.data)
	}
	for i, b := range older.xref.sections {
		a := d.xref.sections[n+i]
		if !same(a, b) || (a.hidden == nil) != (b.hidden == nil) || a.hidden != nil && !same(a.hidden, b.hidden) {
			return false
		}
	}
	return true
}

// Doubtful says why readers may find other objects by the sections of r, a
// revision of d or of a document that d is a part of, than d does; "" if there is
// no reason. d ends with r.
func (d *Doc) Doubtful(r Revision) string {
	if d.oddStart {
		return "startxref is followed by something else than digits"
	}
	for _, s := range r.sections {
		switch p := s.trailer.Get("Prev"); p.(type) {
		case nil, Int:
		default:
			return "/Prev is no integer"
		}
		if s.overlap || s.hidden != nil && s.hidden.overlap {
			return "a section has two entries for an object"
		}
		if s.kind == XStream && s.trailer.Has("XRefStm") {
			return "a cross-reference stream names another one by /XRefStm"
		}
	}
	return ""
}

// Strays returns where the last object from off on stands that no section of the
// revisions leads to, or -1: readers that repair the document find it. An object
// that a section leads to in one of them counts as found there.
func (d *Doc) Strays(off int64, revs []Revision) (int64, error) {
	heads := map[int64]uint32{} // by where they stand
	err := d.heads(off, func(ref Ref, at int64) error {
		if len(heads) >= maxFound {
			return limit("revisions", at, "too many objects")
		}
		heads[at] = ref.Num
		return nil
	})
	if err != nil {
		return -1, err
	}
	if err := listed(heads, revs); err != nil {
		return -1, err
	}
	last := int64(-1)
	for at := range heads {
		last = max(last, at)
	}
	return last, nil
}

// listed deletes the heads of objects that a section of the revisions leads to.
func listed(heads map[int64]uint32, revs []Revision) error {
	for _, r := range revs {
		if len(heads) == 0 {
			break
		}
		r.each(func(s *section) bool {
			delete(heads, s.off) // a cross-reference stream need not list itself
			return true
		})
		for e, err := range r.Entries() {
			if err != nil {
				return err
			}
			for k := int64(0); k < 3 && e.Kind == InUse; k++ { // some point to the line's end before it
				if heads[e.Offset+k] == e.Ref.Num {
					delete(heads, e.Offset+k)
				}
			}
		}
	}
	return nil
}

// Rival reports whether an object stands in the document that no section ever led
// to, with the number of another one in use: a reader that repairs the document
// may show it instead. Files within the document, attached as they are, do not count.
func (d *Doc) Rival() (bool, error) {
	revs, err := d.Revisions()
	if err != nil {
		return false, err
	}
	heads := map[int64]uint32{}
	err = d.heads(d.header, func(ref Ref, at int64) error {
		e, ok, err := d.Entry(ref.Num)
		if err != nil || !ok || e.Kind == Free || e.Kind == InUse && at-2 <= e.Offset && e.Offset <= at {
			return err
		}
		if len(heads) >= maxFound {
			return limit("revisions", at, "too many objects")
		}
		heads[at] = ref.Num
		return nil
	})
	if err == nil {
		err = listed(heads, revs)
	}
	if err == nil && len(heads) > 0 {
		err = d.outsideStreams(heads)
	}
	if err != nil {
		return false, err
	}
	for at, num := range heads {
		x, err := d.indirectAt(at, false)
		if err != nil || IsNull(x.obj) {
			continue // nothing that others could show
		}
		e, _, err := d.Entry(num)
		if err != nil {
			return false, err
		}
		now, err := d.Object(e.Ref)
		if err == nil {
			if same, err := Equal(d, now, d, x.obj); err == nil && same {
				continue
			}
		}
		return true, nil
	}
	return false, nil
}

// outsideStreams deletes the heads that stand in the data of a stream.
func (d *Doc) outsideStreams(heads map[int64]uint32) error {
	sorted := slices.Sorted(maps.Keys(heads))
	for ref, err := range d.Numbers() {
		if err != nil {
			return err
		}
		o, err := d.Object(ref)
		s, ok := o.(*Stream)
		if err != nil || !ok {
			continue
		}
		span, err := s.DataSpan()
		if err != nil {
			continue
		}
		i, _ := slices.BinarySearch(sorted, span.Off)
		for ; i < len(sorted) && sorted[i] < span.End(); i++ {
			delete(heads, sorted[i])
		}
	}
	return nil
}

// Packed returns the numbers of the objects in an object stream.
func (d *Doc) Packed(num uint32) ([]uint32, error) {
	s, err := d.objStream(num)
	if err != nil {
		return nil, err
	}
	list := make([]uint32, len(s.heads))
	for i, h := range s.heads {
		list[i] = h.num
	}
	return list, nil
}

// afterEOL returns the offset behind the end-of-line marker at off, if any.
func (d *Doc) afterEOL(off int64) (int64, error) {
	b, err := d.src.at(&d.src.xref, off, 2)
	if err != nil {
		return 0, err
	}
	switch {
	case len(b) == 2 && b[0] == '\r' && b[1] == '\n':
		return off + 2, nil
	case len(b) > 0 && (b[0] == '\r' || b[0] == '\n'):
		return off + 1, nil
	}
	return off, nil
}

func (r Revision) each(f func(*section) bool) {
	for _, s := range r.sections {
		if !f(s) || s.hidden != nil && !f(s.hidden) {
			return
		}
	}
}

// Entries yields what the revision's sections say of each object number,
// freed ones included. A number may occur twice in a hybrid section: in the
// table first, then in the stream.
func (r Revision) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		r.each(func(s *section) bool {
			for k := range s.subs {
				sub := &s.subs[k]
				for i := int64(0); i < sub.n; i++ {
					e, err := r.doc.entryAt(s, sub, i)
					if !yield(e, err) || err != nil {
						return false
					}
				}
			}
			return true
		})
	}
}
