package pdf

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"strconv"
)

type updated struct {
	ref Ref
	obj Object
}

// ownKeys are the trailer's keys that describe one section only.
var ownKeys = []Name{
	"Size", "Prev", "XRefStm", "Type", "W", "Index", "Length", "Filter", "DecodeParms", "F", "FFilter", "FDecodeParms", "DL",
}

func newUpdate(d *Doc, repaired bool) (*Update, error) {
	if d.repaired != repaired {
		if d.repaired {
			return nil, &Error{Code: CodeRepaired, Op: "update", Offset: -1}
		}
		return nil, &Error{Code: CodeMalformed, Op: "update", Offset: -1, Err: errors.New("document was not repaired")}
	}
	if d.headless { // what is appended cannot make it a PDF file
		return nil, &Error{Code: CodeNotPDF, Op: "update", Offset: -1}
	}
	u := &Update{doc: d, next: d.NextNum(), objs: make([]updated, 0, 8)}
	if u.next > maxObject-1<<20 {
		return nil, limit("update", -1, "no object numbers left")
	}
	return u, nil
}

// Set gives the object ref a new value. ref comes from Alloc or is an object of
// the document, whose generation number it must have.
func (u *Update) Set(ref Ref, o Object) {
	if o == nil {
		o = Null{}
	}
	i, again := u.find(ref.Num)
	if !again {
		u.objs = slices.Insert(u.objs, i, updated{})
	}
	u.objs[i] = updated{ref, o}
}

// find returns where object num is in objs, or belongs.
func (u *Update) find(num uint32) (int, bool) {
	return slices.BinarySearchFunc(u.objs, num, func(e updated, n uint32) int { return cmp.Compare(e.ref.Num, n) })
}

// Edit returns the value of ref to be changed in place: a dictionary or an array
// is part of the update from now on, anything else is left alone.
func (u *Update) Edit(ref Ref) (Object, error) {
	o, err := u.Object(ref)
	if err != nil {
		return nil, err
	}
	switch o.(type) {
	case *Dict, *Array:
		u.Set(ref, o)
	}
	return o, nil
}

// Object returns the value ref has with the update applied.
func (u *Update) Object(ref Ref) (Object, error) {
	if i, ok := u.find(ref.Num); ok {
		if u.objs[i].ref != ref {
			return Null{}, nil
		}
		return u.objs[i].obj, nil
	}
	return u.doc.Object(ref)
}

// Resolve is [Doc.Resolve] with the update applied.
func (u *Update) Resolve(o Object) (Object, error) {
	for range 32 {
		r, ok := o.(Ref)
		if !ok {
			if o == nil {
				return Null{}, nil
			}
			return o, nil
		}
		v, err := u.Object(r)
		if err != nil {
			return nil, err
		}
		o = v
	}
	return nil, limit("object", -1, "chain of references too long")
}

// Build lays out the update: an end of line if the file lacks one, the objects
// in ascending order, a cross-reference section of the kind of the newest one,
// a trailer made from the parsed one. The same input gives the same bytes. It
// may be called again after changes.
func (u *Update) Build() (inc Increment, err error) {
	d := u.doc
	inc.Start = d.src.size
	w := &writer{doc: d, crypt: d.crypt, start: inc.Start}
	w.buf.Grow(u.estimate())
	if inc.Start > 0 {
		last, err := d.src.at(&d.src.xref, inc.Start-1, 1)
		if err != nil {
			return inc, err
		}
		if last[0] != '\n' && last[0] != '\r' {
			w.buf.WriteByte('\n')
		}
	}
	entries := make([]Entry, 0, len(u.objs)+1)
	if d.repaired {
		entries = append(entries, Entry{Ref: Ref{0, 65535}, Kind: Free})
		for _, n := range sortedKeys(d.found) {
			if _, again := u.find(n); !again {
				entries = append(entries, d.found[n])
			}
		}
	}
	for _, o := range u.objs {
		off := w.start + int64(w.buf.Len())
		if err := w.indirect(o.ref, o.obj); err != nil {
			return inc, inObject(err, o.ref)
		}
		entries = append(entries, Entry{Ref: o.ref, Kind: InUse, Offset: off})
	}
	if d.repaired {
		slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Ref.Num, b.Ref.Num) })
	}
	inc.Objects = entries
	w.crypt = nil // nothing below is encrypted
	if err := u.section(w, &inc, entries); err != nil {
		return inc, err
	}
	w.text("startxref\n")
	w.number(inc.XRef-d.base, 0)
	w.text("\n%%EOF\n")
	inc.Bytes = w.buf.Bytes()
	inc.Size = inc.Start + int64(len(inc.Bytes))
	return inc, nil
}

// estimate returns about how many bytes the update will take.
func (u *Update) estimate() int {
	n := 1 << 10
	for _, o := range u.objs {
		n += 256
		switch v := o.obj.(type) {
		case *Stream:
			n += len(v.Data)
		case *Array:
			n += len(v.src) + 16*len(v.items)
		case *Dict:
			n += len(v.src)
			for i := range v.entries {
				if h, ok := v.entries[i].val.(*Hole); ok {
					n += len(h.Bytes)
				}
			}
		}
	}
	return n
}

func (w *writer) text(s string) { w.buf.WriteString(s) }

// number writes n in at least width digits.
func (w *writer) number(n int64, width int) {
	var digits [20]byte
	d := strconv.AppendInt(digits[:0], n, 10)
	for i := len(d); i < width; i++ {
		w.buf.WriteByte('0')
	}
	w.buf.Write(d)
}

// indirect writes one indirect object.
func (w *writer) indirect(ref Ref, o Object) error {
	w.ref = ref
	w.number(int64(ref.Num), 0)
	w.text(" ")
	w.number(int64(ref.Gen), 0)
	w.text(" obj\n")
	s, ok := o.(*Stream)
	if !ok {
		if err := w.value(o); err != nil {
			return err
		}
		w.buf.WriteString("\nendobj\n")
		return nil
	}
	data, err := w.streamData(s)
	if err != nil {
		return err
	}
	dict := s.Dict.Clone()
	if n, ok := dict.Get("Length").(Int); !ok || int64(n) != int64(len(data)) {
		dict.Set("Length", Int(len(data)))
	}
	if err := w.dict(dict); err != nil {
		return err
	}
	w.buf.WriteString("\nstream\n")
	w.buf.Write(data)
	w.buf.WriteString("\nendstream\nendobj\n")
	return nil
}

// streamData returns the data as it goes into the file.
func (w *writer) streamData(s *Stream) ([]byte, error) {
	if s.org.doc != nil && w.verbatim(s.org) {
		span, err := s.DataSpan()
		if err != nil {
			return nil, err
		}
		if span.Len > s.limits().Inflated {
			return nil, limit("write", span.Off, "stream too large to rewrite")
		}
		b := make([]byte, span.Len)
		return b, s.org.doc.src.read(b, span.Off)
	}
	b, err := s.Raw()
	if err != nil || w.crypt == nil {
		return b, err
	}
	m, err := w.crypt.streamMethod(w.doc, s.Dict)
	if err != nil {
		return nil, err
	}
	return w.crypt.encrypt(w.ref, m, b, w.start+int64(w.buf.Len()))
}

// section writes the cross-reference section and the trailer.
func (u *Update) section(w *writer, inc *Increment, entries []Entry) error {
	d := u.doc
	size := int64(u.next)
	asStream := !d.repaired && d.xref.sections[0].kind == XStream
	for _, e := range entries {
		if e.Kind == Compressed || e.Offset-d.base > 9_999_999_999 {
			asStream = true
		}
	}
	inc.XRef = w.start + int64(w.buf.Len())
	if inc.XRef-d.base > 9_999_999_999 {
		asStream = true
	}
	t := d.trailer.Clone()
	for _, k := range ownKeys {
		t.Delete(k)
	}
	if asStream {
		size++
	}
	t.Set("Size", Int(size))
	if !d.repaired {
		t.Set("Prev", Int(d.xref.sections[0].off-d.base))
	}
	if err := u.changeID(t, w); err != nil {
		return err
	}
	if asStream {
		self := Ref{Num: u.next}
		entries = append(entries, Entry{Ref: self, Kind: InUse, Offset: inc.XRef})
		return w.xrefStream(self, t, entries, d)
	}
	w.text("xref\n")
	if len(entries) == 0 {
		w.text("0 0\n")
	}
	for len(entries) > 0 {
		var run []Entry
		run, entries = cutRun(entries)
		w.number(int64(run[0].Ref.Num), 0)
		w.text(" ")
		w.number(int64(len(run)), 0)
		w.text("\n")
		for _, e := range run {
			off, kind := e.Offset-d.base, " n \n"
			if e.Kind == Free {
				off, kind = 0, " f \n"
			}
			w.number(off, 10)
			w.text(" ")
			w.number(int64(e.Ref.Gen), 5)
			w.text(kind)
		}
	}
	w.text("trailer\n")
	if err := w.dict(t); err != nil {
		return err
	}
	w.text("\n")
	return nil
}

// cutRun splits entries in ascending order behind the numbers without a gap they
// begin with.
func cutRun(entries []Entry) (run, rest []Entry) {
	n := 1
	for n < len(entries) && entries[n].Ref.Num == entries[n-1].Ref.Num+1 {
		n++
	}
	return entries[:n], entries[n:]
}

// changeID changes the second part of /ID: a hash of the first two and of what
// the update writes, so that the same update has the same identity.
func (u *Update) changeID(t *Dict, w *writer) error {
	ids, _, err := u.doc.LookupArray(t, "ID")
	if err != nil || ids.Len() != 2 {
		return err
	}
	h := sha256.New()
	parts := make([]String, 2)
	for i := range parts {
		o, err := u.doc.Resolve(ids.At(i))
		if err != nil {
			return err
		}
		parts[i], _ = o.(String)
		h.Write(parts[i].B)
	}
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(w.start)))
	h.Write(w.buf.Bytes())
	next := ids.Clone()
	if _, direct := next.At(0).(String); !direct {
		next = MakeArray(String{B: parts[0].B, Hex: true})
		next.Append(Null{})
	}
	next.Set(1, String{B: h.Sum(nil)[:16], Hex: true})
	t.Set("ID", next)
	return nil
}

// xrefStream writes the cross-reference stream self.
func (w *writer) xrefStream(self Ref, t *Dict, entries []Entry, d *Doc) error {
	var most uint64
	for _, e := range entries {
		if e.Kind == Compressed {
			most = max(most, uint64(e.Stream))
		} else {
			most = max(most, uint64(e.Offset-d.base))
		}
	}
	n := (bits.Len64(most) + 7) / 8
	data := make([]byte, 0, len(entries)*(n+5))
	put := func(v uint64, n int) {
		for i := n - 1; i >= 0; i-- {
			data = append(data, byte(v>>(8*i)))
		}
	}
	index := MakeArray()
	for len(entries) > 0 {
		var run []Entry
		run, entries = cutRun(entries)
		index.Append(Int(run[0].Ref.Num), Int(len(run)))
		for _, e := range run {
			switch e.Kind {
			case InUse:
				put(1, 1)
				put(uint64(e.Offset-d.base), n)
				put(uint64(e.Ref.Gen), 4)
			case Compressed:
				put(2, 1)
				put(uint64(e.Stream), n)
				put(uint64(e.Index), 4)
			default:
				put(0, 1)
				put(0, n)
				put(uint64(e.Ref.Gen), 4)
			}
		}
	}
	t.Set("Type", Name("XRef"))
	t.Set("W", MakeArray(Int(1), Int(n), Int(4)))
	t.Set("Index", index)
	return w.indirect(self, NewStream(t, data))
}
