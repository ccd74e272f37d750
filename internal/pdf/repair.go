package pdf

import (
	"bytes"
	"iter"
	"sort"
)

// maxFound bounds the objects a repair may find.
const maxFound = 1 << 20

// Repair gives up the cross-reference data of an open document and finds the
// objects by reading the whole file, as Open does where that data is unusable
// (R7): for data that was found wrong only later. After an error the document
// is of no use.
//
// Errors: MALFORMED, LIMIT, PASSWORD_REQUIRED, ENCRYPTION_UNSUPPORTED, IO.
func (d *Doc) Repair() error {
	led := map[uint32]Entry{} // where readers that did not notice go
	for ref, err := range d.Numbers() {
		if err != nil {
			break
		}
		if e, ok, err := d.Entry(ref.Num); ok && err == nil {
			led[ref.Num] = e
		}
	}
	d.leaves = nil
	if err := d.repair(); err != nil {
		return err
	}
	for _, x := range d.doubts {
		if led[x.num] != d.found[x.num] {
			d.conflict = "the cross-reference data leads to another object than the last"
		}
	}
	for num, e := range d.found {
		was, ok := led[num]
		if was == e || d.conflict != "" {
			continue
		}
		if !ok {
			o, err := d.Object(e.Ref)
			if c := CodeOf(err); c == CodeIO || c == CodeLimit {
				return err
			}
			// A cross-reference stream need not list itself.
			if s, ok := o.(*Stream); !ok || s.Dict.Get("Type") != Name("XRef") {
				d.conflict = "the cross-reference data knows nothing of an object"
			}
			continue
		}
		x, err := d.indirectAt(was.Offset, false)
		if c := CodeOf(err); c == CodeIO || c == CodeLimit {
			return err
		}
		if was.Kind == Compressed || err == nil && x.ref.Num == num {
			d.conflict = "the cross-reference data leads to another object than the repair"
		}
	}
	return nil
}

// repair builds the cross-reference data from the objects found in the file.
// Of several with one number the last counts.
func (d *Doc) repair() error {
	d.reset()
	d.base, d.repaired = d.header, true // other readers count from the header
	d.doubts, d.conflict, d.searched = nil, "", false
	d.found = make(map[uint32]Entry)
	var trailers []int64
	if err := d.scanObjects(&trailers); err != nil {
		return err
	}
	streams, err := d.repairTrailer(trailers)
	if err != nil {
		return err
	}
	if err := d.openCrypt(d.opt.Password); err != nil {
		return err
	}
	for _, n := range streams {
		if err := d.foundIn(n); err != nil {
			return err
		}
	}
	if _, _, err := d.Catalog(); err == nil {
		return nil
	}
	return d.searchCatalog()
}

// scanObjects reads the whole file for "n g obj" and "trailer". What stands
// before the header is not of the document.
func (d *Doc) scanObjects(trailers *[]int64) error {
	return d.windows(0, func(b []byte, lo, seen int64) error {
		for i := range ends(b, "obj") {
			if lo+int64(i) <= seen {
				continue
			}
			if ref, at, ok := headerBefore(b, i-3); ok && lo+int64(at) < d.header {
				d.conflict = "an object stands before the header" // no offset leads there
			} else if ok {
				if len(d.found) >= maxFound {
					return limit("repair", lo+int64(at), "too many objects")
				}
				d.note(ref.Num, lo+int64(at), false)
				d.found[ref.Num] = Entry{Ref: ref, Kind: InUse, Offset: lo + int64(at)}
			}
		}
		for i := range ends(b, "trailer") {
			if lo+int64(i) > seen && lo+int64(i) > d.header && len(*trailers) < 1000 {
				*trailers = append(*trailers, lo+int64(i))
			}
		}
		return nil
	})
}

// heads calls f for everything that looks like the head of an object from off on.
// ref is zero if it is none to us, as others may think.
func (d *Doc) heads(off int64, f func(ref Ref, at int64) error) error {
	return d.windows(off, func(b []byte, lo, seen int64) error {
		for i := range ends(b, "obj") {
			k := i - 4
			for k >= 0 && isSpace(b[k]) {
				k--
			}
			if k < 0 || !isDigit(b[k]) || lo+int64(i) <= seen {
				continue
			}
			ref, at, ok := headerBefore(b, i-3)
			if !ok {
				ref, at = Ref{}, i-3
			}
			if err := f(ref, lo+int64(at)); err != nil {
				return err
			}
		}
		return nil
	})
}

// windows calls f for the file from off on, in parts b that begin at lo and overlap:
// what ends by seen was in the part before.
func (d *Doc) windows(off int64, f func(b []byte, lo, seen int64) error) error {
	const block, overlap = 64 << 10, 64
	buf := make([]byte, block+overlap)
	for start := off; off < d.src.size; off += block {
		lo := max(start, off-overlap)
		b := buf[:min(off+block, d.src.size)-lo]
		if err := d.src.read(b, lo); err != nil {
			return err
		}
		if err := f(b, lo, off); err != nil {
			return err
		}
	}
	return nil
}

// ends yields the places in b behind a word.
func ends(b []byte, word string) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; ; {
			j := bytes.Index(b[i:], []byte(word))
			if j < 0 {
				return
			}
			if i += j + len(word); !yield(i) {
				return
			}
		}
	}
}

// headerBefore reads "n g " backwards from i.
func headerBefore(b []byte, i int) (ref Ref, at int, ok bool) {
	back := func(digits bool) (int, int) {
		e := i
		for i > 0 && (digits && isDigit(b[i-1]) || !digits && isSpace(b[i-1])) {
			i--
		}
		return i, e
	}
	back(false)
	gs, ge := back(true)
	ss, se := back(false)
	ns, ne := back(true)
	if gs == ge || ss == se || ns == ne || ns > 0 && class[b[ns-1]] == classRegular {
		return ref, 0, false
	}
	num, ok1 := parseInt(b[ns:ne])
	gen, ok2 := parseInt(b[gs:ge])
	if !ok1 || !ok2 || num == 0 || num > maxObject || gen > 65535 {
		return ref, 0, false
	}
	return Ref{uint32(num), uint16(gen)}, ns, true
}

// repairTrailer puts a trailer together from the trailers found and the
// cross-reference streams, later ones first, and returns the object streams in
// file order.
func (d *Doc) repairTrailer(at []int64) (streams []uint32, err error) {
	t := MakeDict()
	merge := func(src *Dict) {
		for _, k := range []Name{"Root", "Encrypt", "Info", "ID"} {
			v := src.Get(k)
			if _, isRef := v.(Ref); v == nil || k == "Root" && !isRef {
				continue
			}
			if !t.Has(k) {
				t.Set(k, v)
			} else if same, err := Equal(d, v, d, t.Get(k)); k == "Root" && v != t.Get(k) || k == "Encrypt" && (err != nil || !same) {
				d.conflict = "two trailers differ in /" + string(k)
			}
		}
	}
	for i := len(at) - 1; i >= 0; i-- {
		v, _, _, err := d.valueAt(at[i])
		if CodeOf(err) == CodeIO {
			return nil, err
		}
		if dict, ok := v.(*Dict); ok && err == nil {
			merge(dict)
		}
	}
	type place struct {
		num uint32
		off int64
	}
	var order []place
	for n, e := range d.found {
		order = append(order, place{n, e.Offset})
	}
	sort.Slice(order, func(i, j int) bool { return order[i].off < order[j].off })
	for i := len(order) - 1; i >= 0; i-- {
		b, err := d.src.at(&d.src.obj, order[i].off, 512)
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(b, []byte("XRef")) && !bytes.Contains(b, []byte("ObjStm")) {
			continue
		}
		x, err := d.indirectAt(order[i].off, false)
		if CodeOf(err) == CodeIO || CodeOf(err) == CodeLimit {
			return nil, err
		}
		st, ok := x.obj.(*Stream)
		if !ok || err != nil {
			continue
		}
		switch typ, _ := st.Dict.Get("Type").(Name); typ {
		case "XRef":
			merge(st.Dict)
		case "ObjStm":
			streams = append(streams, order[i].num)
		}
	}
	for i, j := 0, len(streams)-1; i < j; i, j = i+1, j-1 {
		streams[i], streams[j] = streams[j], streams[i]
	}
	d.trailer = t
	return streams, nil
}

// foundIn adds the objects of an object stream. One that stands later in the
// file than the stream counts more.
func (d *Doc) foundIn(num uint32) error {
	s, err := d.objStream(num)
	if err != nil {
		switch CodeOf(err) {
		case CodeIO, CodeLimit:
			return err
		}
		d.conflict = "an object stream cannot be read"
		return nil // the others may do
	}
	at := d.found[num].Offset
	for i, h := range s.heads {
		if e, ok := d.found[h.num]; ok && e.Kind == InUse && e.Offset > at || h.num == num {
			d.note(h.num, at, true)
			continue
		}
		if len(d.found) >= maxFound {
			return limit("repair", at, "too many objects")
		}
		d.note(h.num, at, true)
		d.found[h.num] = Entry{Ref: Ref{Num: h.num}, Kind: Compressed, Stream: num, Index: i}
	}
	return nil
}

// searchCatalog looks for a catalog among the objects found.
func (d *Doc) searchCatalog() error {
	d.searched = true
	keys := sortedKeys(d.found)
	if len(keys) > 200_000 {
		return limit("repair", -1, "too many objects to search for a catalog")
	}
	for i := len(keys) - 1; i >= 0; i-- {
		e := d.found[keys[i]]
		o, err := d.Object(e.Ref)
		if CodeOf(err) == CodeIO || CodeOf(err) == CodeLimit {
			return err
		}
		c, ok := o.(*Dict)
		if err != nil || !ok {
			continue
		}
		if t, _ := c.Get("Type").(Name); t == "Catalog" && c.Has("Pages") {
			d.trailer.Set("Root", e.Ref)
			return nil
		}
	}
	return malformed("repair", -1, "no catalog found")
}
