package pdf

// readXRefStream reads the cross-reference stream whose object begins at off
// (ISO 32000-2 7.5.8).
func (d *Doc) readXRefStream(off int64) (*section, error) {
	x, err := d.indirectAt(off, false)
	if err != nil {
		return nil, err
	}
	st, ok := x.obj.(*Stream)
	if !ok {
		return nil, malformed("xref", off, "no cross-reference section")
	}
	if t, _ := st.Dict.Get("Type").(Name); t != "XRef" {
		return nil, malformed("xref", off, "not a cross-reference stream")
	}
	for _, k := range []Name{"Filter", "DecodeParms"} {
		// Direct throughout (ISO 32000-2 7.5.8.2): a reference would be followed
		// by the very data to be read, and lead elsewhere in a later revision.
		if indirect(st.Dict.Get(k)) {
			return nil, malformed("xref", off, "/"+string(k)+" of a cross-reference stream is indirect")
		}
	}
	data, err := st.Decode()
	if err != nil && (CodeOf(err) != CodeMalformed || len(data) == 0) {
		return nil, err
	}
	if d.xref.bytes += int64(len(data)); d.xref.bytes > d.opt.Limits.Inflated {
		return nil, limit("xref", off, "cross-reference streams too large")
	}
	span, err := st.DataSpan()
	if err != nil {
		return nil, err
	}
	s := &section{kind: XStream, off: off, end: span.End(), trailer: st.Dict, ref: x.ref, data: data}
	w, ok := ints(st.Dict.Get("W"))
	if !ok || len(w) < 3 {
		return nil, malformed("xref", off, "/W is no array of three integers")
	}
	step := int64(0)
	for i := range s.width {
		if w[i] < 0 || w[i] > 8 {
			return nil, malformed("xref", off, "/W out of range")
		}
		s.width[i] = int(w[i])
		step += w[i]
	}
	if step == 0 {
		return nil, malformed("xref", off, "/W is all zero")
	}
	index, ok := ints(st.Dict.Get("Index"))
	if !ok {
		size, _ := st.Dict.Get("Size").(Int)
		index = []int64{0, max(0, int64(size))}
	}
	at := int64(0)
	for i := 0; i+1 < len(index); i += 2 {
		first := index[i]
		if first < 0 || first > maxObject || index[i+1] < 0 {
			return nil, malformed("xref", off, "/Index out of range")
		}
		n := min(index[i+1], (int64(len(data))-at)/step, maxObject-first)
		if n > 0 {
			s.subs = append(s.subs, subsection{first: first, n: n, off: at, step: step})
		}
		at += n * step
	}
	return s, nil
}

// indirect reports whether o is a reference or holds one.
func indirect(o Object) bool {
	switch v := o.(type) {
	case Ref:
		return true
	case *Array:
		for _, e := range v.All() {
			if indirect(e) {
				return true
			}
		}
	case *Dict:
		for _, e := range v.All() {
			if indirect(e) {
				return true
			}
		}
	}
	return false
}

// ints returns the elements of an array of integers.
func ints(o Object) ([]int64, bool) {
	a, ok := o.(*Array)
	if !ok || a.src == nil {
		return nil, false
	}
	out := make([]int64, 0, 4)
	b := a.src[1 : len(a.src)-1]
	for i := 0; ; {
		k, s, e, err := next(b, i, true)
		if k == kEOF && err == nil {
			return out, true
		}
		n, fits := parseInt(b[s:e])
		if err != nil || k != kInt || !fits {
			return nil, false
		}
		out = append(out, n)
		i = e
	}
}

// streamEntry decodes entry i of a subsection of a cross-reference stream.
func (s *section) streamEntry(sub *subsection, i, base int64) Entry {
	b := s.data[sub.off+i*sub.step:]
	var f [3]uint64
	for k, w := range s.width {
		for range w {
			f[k] = f[k]<<8 | uint64(b[0])
			b = b[1:]
		}
	}
	if s.width[0] == 0 {
		f[0] = 1
	}
	e := Entry{Ref: Ref{Num: uint32(sub.first + i)}, Kind: Free}
	switch f[0] {
	case 0:
		e.Ref.Gen = uint16(min(f[2], 65535))
	case 1:
		e.Ref.Gen = uint16(min(f[2], 65535))
		if f[1] != 0 && f[1] < 1<<62 {
			e.Kind, e.Offset = InUse, int64(f[1])+base
		}
	case 2:
		if f[1] <= maxObject && f[2] <= maxObject {
			e.Kind, e.Stream, e.Index = Compressed, uint32(f[1]), int(f[2])
		}
	}
	return e
}
