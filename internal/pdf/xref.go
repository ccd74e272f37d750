package pdf

import (
	"iter"
	"slices"
	"sort"
)

// section is one cross-reference section as it stands in the file. Entries are
// not materialised: a table's are read from the file when asked for, a stream's
// stand in its decoded data.
type section struct {
	kind    SectionKind
	off     int64 // physical
	at      int64 // where it was looked for: off, or white space before it
	end     int64 // physical, just past the trailer dictionary or the stream's data
	trailer *Dict
	subs    []subsection // sorted by first unless overlap
	overlap bool
	hidden  *section // /XRefStm
	prev    int64    // physical, -1 if none

	ref   Ref    // of a stream
	data  []byte // of a stream
	width [3]int
}

// subsection is a run of entries for consecutive numbers.
type subsection struct {
	first, n int64
	off      int64   // of the first entry: physical in a table, into data in a stream
	step     int64   // bytes per entry
	list     []Entry // a table whose lines are not all alike
}

type xrefChain struct {
	sections []*section // newest first, hidden ones within their tables
	bytes    int64      // decoded stream data held
}

// finish sorts the subsections so that they can be searched.
func (s *section) finish() error {
	if !sort.SliceIsSorted(s.subs, func(i, j int) bool { return s.subs[i].first < s.subs[j].first }) {
		sorted := append([]subsection(nil), s.subs...)
		sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].first < sorted[j].first })
		if !overlaps(sorted) {
			s.subs = sorted
			return nil
		}
	}
	if overlaps(s.subs) {
		s.overlap = true // searched one by one, the first one counts
		if len(s.subs) > 256 {
			return limit("xref", s.off, "too many overlapping subsections")
		}
	}
	return nil
}

func overlaps(subs []subsection) bool {
	for i := 1; i < len(subs); i++ {
		if subs[i].first < subs[i-1].first+subs[i-1].n {
			return true
		}
	}
	return false
}

// find returns the subsection that defines num and the index in it.
func (s *section) find(num int64) (*subsection, int64) {
	if s.overlap {
		for i := range s.subs {
			if j := num - s.subs[i].first; j >= 0 && j < s.subs[i].n {
				return &s.subs[i], j
			}
		}
		return nil, 0
	}
	i := sort.Search(len(s.subs), func(i int) bool { return s.subs[i].first > num }) - 1
	if i < 0 || num-s.subs[i].first >= s.subs[i].n {
		return nil, 0
	}
	return &s.subs[i], num - s.subs[i].first
}

// lookup returns what the section alone says of num, its hidden stream not
// considered.
func (d *Doc) lookup(s *section, num int64) (Entry, bool, error) {
	sub, i := s.find(num)
	if sub == nil {
		return Entry{}, false, nil
	}
	e, err := d.entryAt(s, sub, i)
	return e, err == nil, err
}

func (d *Doc) entryAt(s *section, sub *subsection, i int64) (Entry, error) {
	if s.kind == XStream {
		return s.streamEntry(sub, i, d.base), nil
	}
	return d.tableEntry(sub, i)
}

// Entry returns what the document's cross-reference data says of an object
// number; ok is false if it says nothing.
func (d *Doc) Entry(num uint32) (Entry, bool, error) {
	if d.repaired {
		e, ok := d.found[num]
		return e, ok, nil
	}
	for _, s := range d.xref.sections {
		e, ok, err := d.lookup(s, int64(num))
		if err != nil {
			return Entry{}, false, err
		}
		if ok && e.Kind != Free {
			return e, true, nil
		}
		if s.hidden != nil {
			h, found, err := d.lookup(s.hidden, int64(num))
			if err != nil || found {
				return h, found, err
			}
		}
		if ok {
			return e, true, nil
		}
	}
	return Entry{}, false, nil
}

// highest returns the highest number any section has an entry for.
func (d *Doc) highest() int64 {
	var h int64
	if d.repaired {
		for n := range d.found {
			h = max(h, int64(n))
		}
		return h
	}
	for _, s := range d.xref.sections {
		for _, t := range []*section{s, s.hidden} {
			if t == nil {
				continue
			}
			for _, sub := range t.subs {
				if sub.n > 0 {
					h = max(h, sub.first+sub.n-1)
				}
			}
			h = max(h, int64(t.ref.Num))
		}
	}
	return h
}

// NextNum returns the first object number that no section defines and that is
// not below any /Size: where an [Update] begins to count. A /Size beyond what
// readers take is no count of objects and has no say.
func (d *Doc) NextNum() uint32 {
	const maxSize = 1 << 23
	n := d.highest() + 1
	for _, s := range d.xref.sections {
		if v, ok := s.trailer.Get("Size").(Int); ok && int64(v) <= maxSize {
			n = max(n, int64(v))
		}
	}
	return uint32(max(1, min(n, maxObject+1)))
}

// Numbers yields every object number that is in use, ascending.
func (d *Doc) Numbers() iter.Seq2[Ref, error] {
	return func(yield func(Ref, error) bool) {
		if d.repaired {
			for _, n := range sortedKeys(d.found) {
				if !yield(d.found[n].Ref, nil) {
					return
				}
			}
			return
		}
		for num := range d.defined() {
			e, ok, err := d.Entry(uint32(num))
			if err != nil {
				yield(Ref{Num: uint32(num)}, err)
				return
			}
			if ok && e.Kind != Free && !yield(e.Ref, nil) {
				return
			}
		}
	}
}

// defined yields the numbers any section has an entry for, ascending, each once.
func (d *Doc) defined() iter.Seq[int64] {
	return func(yield func(int64) bool) {
		var runs [][2]int64
		for _, s := range d.xref.sections {
			for _, t := range []*section{s, s.hidden} {
				if t == nil {
					continue
				}
				for _, sub := range t.subs {
					if sub.n > 0 {
						runs = append(runs, [2]int64{sub.first, sub.first + sub.n})
					}
				}
			}
		}
		sort.Slice(runs, func(i, j int) bool { return runs[i][0] < runs[j][0] })
		at := int64(0)
		for _, r := range runs {
			for at = max(at, r[0]); at < r[1]; at++ {
				if !yield(at) {
					return
				}
			}
		}
	}
}

func sortedKeys[V any](m map[uint32]V) []uint32 {
	keys := make([]uint32, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// readChain follows the chain from the section at off.
func (d *Doc) readChain(off int64) error {
	lim := d.opt.Limits
	var seen map[int64]bool // made where there is more than one
	for off >= 0 {
		if seen[off] || len(d.xref.sections) > 0 && d.xref.sections[0].at == off {
			return malformed("xref", off, "/Prev runs in a circle")
		}
		if len(d.xref.sections) > 0 {
			if seen == nil {
				seen = make(map[int64]bool)
			}
			seen[off] = true
		}
		if len(d.xref.sections) >= lim.Sections {
			return limit("xref", off, "too many cross-reference sections")
		}
		if s := d.sectionOfFile(off); s != nil {
			d.xref.sections = append(d.xref.sections, s)
			off = s.prev
			continue
		}
		s, err := d.readSection(off)
		if err != nil {
			return err
		}
		s.at = off
		if h, ok := s.trailer.Get("XRefStm").(Int); ok && s.kind == Table {
			s.kind = Hybrid
			if !d.opt.Legacy {
				at, err := d.physical(int64(h))
				if err != nil {
					return err
				}
				if s.hidden, err = d.readSection(at); err != nil {
					return err
				}
				if s.hidden.kind != XStream {
					return malformed("xref", at, "/XRefStm is no cross-reference stream")
				}
			}
		}
		d.xref.sections = append(d.xref.sections, s)
		off = s.prev
	}
	return nil
}

// sectionOfFile returns the section at off if it was read for the whole file,
// lies in what d is of it, and depends on no object, which may be another one
// there. Reading each for each revision would take the square of their number.
func (d *Doc) sectionOfFile(off int64) *section {
	f := d.src.file
	if f == d || f.base != d.base || f.opt.Legacy != d.opt.Legacy {
		return nil
	}
	// Sections mostly stand in the order of the chain.
	list := f.xref.sections
	i := sort.Search(len(list), func(i int) bool { return list[i].at <= off })
	if i == len(list) || list[i].at != off {
		return nil
	}
	for _, s := range []*section{list[i], list[i].hidden} {
		if s != nil && (s.end > d.src.size || s.depends()) {
			return nil
		}
	}
	return list[i]
}

// depends reports whether an object says how the section is read.
func (s *section) depends() bool {
	for k, v := range s.trailer.All() {
		if k != "Root" && k != "Info" && k != "Encrypt" && k != "ID" && refers(v) {
			return true
		}
	}
	return false
}

// refers reports whether o is or holds a reference.
func refers(o Object) bool {
	switch v := o.(type) {
	case Ref:
		return true
	case *Array:
		for _, e := range v.All() {
			if refers(e) {
				return true
			}
		}
	case *Dict:
		for _, e := range v.All() {
			if refers(e) {
				return true
			}
		}
	}
	return false
}

// physical makes an offset in the file a physical one.
func (d *Doc) physical(off int64) (int64, error) {
	if off < 0 || off >= d.src.size-d.base {
		return 0, malformed("xref", -1, "offset outside the file")
	}
	return off + d.base, nil
}

// readSection reads the section at off, a table or a stream.
func (d *Doc) readSection(off int64) (*section, error) {
	b, err := d.src.at(&d.src.xref, off, 64)
	if err != nil {
		return nil, err
	}
	i := 0
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	if i >= len(b) {
		return nil, malformed("xref", off, "no cross-reference section")
	}
	var s *section
	if len(b)-i >= 4 && string(b[i:i+4]) == "xref" {
		s, err = d.readTable(off + int64(i))
	} else {
		s, err = d.readXRefStream(off + int64(i))
	}
	if err != nil {
		return nil, err
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	s.prev = -1
	switch p := s.trailer.Get("Prev").(type) {
	case Int:
		if p == 0 { // written by some for "none"
			break
		}
		if s.prev, err = d.physical(int64(p)); err != nil {
			return nil, err
		}
	case nil:
	default:
		o, err := d.Resolve(p)
		n, ok := Number(o)
		if err != nil || !ok {
			return nil, malformed("xref", off, "/Prev is no number")
		}
		if s.prev, err = d.physical(int64(n)); err != nil {
			return nil, err
		}
	}
	return s, nil
}
