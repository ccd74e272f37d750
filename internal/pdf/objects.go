package pdf

import (
	"errors"
)

// firstRead is how much of an object is looked at first.
const firstRead = 1 << 10

// syntax turns an error of the scanner into an *Error at off.
func syntax(op string, off int64, err error) error {
	switch {
	case err == errNesting:
		return limit(op, off, "nested too deeply or too large")
	case err == errShort, err == errNoValue, err == errUnclosed, err == errNoObject:
		return &Error{Code: CodeMalformed, Op: op, Offset: off, Err: err}
	}
	return err
}

// view reads at off as source.text does, within the document's limits.
func (d *Doc) view(off int64, f func(b []byte, whole bool) error) error {
	return d.src.text(&d.src.obj, off, firstRead, d.opt.Limits.Object, func(b []byte, whole bool) error {
		if len(b) > 64<<10 {
			if err := d.spend(int64(len(b)), off); err != nil {
				return err
			}
		}
		return f(b, whole)
	})
}

// spend counts work that a hostile file could ask for again and again.
func (d *Doc) spend(n, off int64) error {
	if d.work += n; d.work > 1<<30+16*d.src.size {
		return limit("object", off, "file asks for too much work")
	}
	return nil
}

// valueAt reads the direct object at or after off and returns its extent.
func (d *Doc) valueAt(off int64) (o Object, start, end int64, err error) {
	err = d.view(off, func(b []byte, whole bool) error {
		s, e, err := skipValue(b, 0, whole, d.opt.Limits.Nesting)
		if err != nil {
			return err
		}
		start, end = off+int64(s), off+int64(e)
		o = parseValue(append([]byte(nil), b[s:e]...), 0, e-s, origin{}, start, false)
		return nil
	})
	return o, start, end, syntax("object", off, err)
}

// placed is an indirect object as it stands at a place in the file.
type placed struct {
	ref    Ref
	obj    Object
	end    int64 // behind endobj, behind the value if that is missing, or where a stream's data begins
	closed bool  // endobj or stream follows the value
}

// indirectAt reads the indirect object whose number stands at or after off.
func (d *Doc) indirectAt(off int64, crypt bool) (x placed, err error) {
	err = d.view(off, func(b []byte, whole bool) error {
		r, i, err := objectHeader(b, whole)
		if err != nil {
			return err
		}
		x = placed{ref: r}
		s, e, err := skipValue(b, i, whole, d.opt.Limits.Nesting)
		if err != nil {
			return err
		}
		if string(b[s:e]) == "endobj" { // nothing between obj and endobj
			x.obj, x.end = Null{}, off+int64(e)
			return nil
		}
		k, ks, ke, err := next(b, e, whole)
		if err != nil {
			return err
		}
		x.end = off + int64(e)
		stream := false
		if k == kKeyword {
			switch word := b[ks:ke]; {
			case string(word) == "endobj":
				x.end, x.closed = off+int64(ke), true
			case string(word) == "stream":
				stream = true
				start := dataStart(b, ke)
				if start < 0 {
					if !whole {
						return errShort
					}
					start = int64(len(b))
				}
				x.end, x.closed = off+start, true
			}
		}
		org := origin{doc: d, ref: r, crypt: crypt}
		x.obj = parseValue(append([]byte(nil), b[s:e]...), 0, e-s, org, off+int64(s), false)
		if dict, ok := x.obj.(*Dict); ok && stream {
			x.obj = &Stream{Dict: dict, org: org, start: x.end, length: -1}
		}
		return nil
	})
	return x, syntax("object", off, err)
}

// objectHeader reads "n g obj" and returns the position behind it.
func objectHeader(b []byte, whole bool) (Ref, int, error) {
	k, s, e, err := next(b, 0, whole)
	if err != nil {
		return Ref{}, 0, err
	}
	k2, s2, e2, err := next(b, e, whole)
	if err != nil {
		return Ref{}, 0, err
	}
	k3, s3, e3, err := next(b, e2, whole)
	if err != nil {
		return Ref{}, 0, err
	}
	num, ok := parseInt(b[s:e])
	gen, ok2 := parseInt(b[s2:e2])
	if k != kInt || k2 != kInt || k3 != kKeyword || string(b[s3:e3]) != "obj" || !ok || !ok2 ||
		num < 0 || num > maxObject || gen < 0 || gen > 65535 {
		return Ref{}, 0, errNoObject
	}
	return Ref{uint32(num), uint16(gen)}, e3, nil
}

var errNoObject = errors.New("no object at this offset")

// dataStart returns where the data of a stream begins whose keyword ends at i:
// behind the end of line; -1 if more bytes are needed.
func dataStart(b []byte, i int) int64 {
	j := i
	for j < len(b) && (b[j] == ' ' || b[j] == '\t') { // not allowed, but seen
		j++
	}
	if j+1 >= len(b) {
		return -1
	}
	switch {
	case b[j] == '\r' && b[j+1] == '\n':
		return int64(j + 2)
	case b[j] == '\r' || b[j] == '\n':
		return int64(j + 1)
	}
	return int64(i)
}

// Object returns the indirect object ref refers to. What is not defined, free
// or of another generation is Null. Errors are about bytes that are there and
// cannot be read.
func (d *Doc) Object(ref Ref) (Object, error) {
	o, err := d.load(ref)
	return fresh(o), err
}

// load is Object without the copy: what it returns is the cache's own, to be
// read and not to be handed out.
func (d *Doc) load(ref Ref) (Object, error) {
	if ref.Num == 0 {
		return Null{}, nil
	}
	if o, ok := d.cache.objects.get(ref.Num); ok {
		if o.ref != ref {
			return Null{}, nil
		}
		return o.obj, nil
	}
	if d.depth++; d.depth > 32 {
		d.depth--
		return nil, inObject(limit("object", -1, "objects depend on each other too deeply"), ref)
	}
	defer func() { d.depth-- }()
	e, ok, err := d.Entry(ref.Num)
	if err != nil {
		return nil, inObject(err, ref)
	}
	if !ok || e.Kind == Free || e.Ref.Gen != ref.Gen {
		return Null{}, nil
	}
	c, err := d.loadEntry(e)
	if err != nil {
		return nil, inObject(err, ref)
	}
	size := int64(64)
	switch v := c.obj.(type) {
	case *Dict:
		v.scan()
		size += int64(len(v.src)) + 48*int64(len(v.entries))
	case *Array:
		size += int64(len(v.src))
	case *Stream:
		v.Dict.scan()
		size += int64(len(v.Dict.src)) + 48*int64(len(v.Dict.entries))
	case String:
		size += int64(len(v.B))
	}
	d.cache.objects.put(ref.Num, c, size)
	return c.obj, nil
}

func (d *Doc) loadEntry(e Entry) (cached, error) {
	if e.Kind == Compressed {
		o, err := d.loadCompressed(e)
		return cached{ref: e.Ref, obj: o}, err
	}
	crypt := d.crypt != nil && e.Ref != d.crypt.ref
	if o := d.borrow(e, crypt); o != nil {
		return cached{ref: e.Ref, obj: o}, nil
	}
	x, err := d.indirectAt(e.Offset, crypt)
	if errors.Is(err, errNoObject) || err == nil && x.ref != e.Ref {
		return cached{}, malformed("object", e.Offset, "another object, or none, where the cross-reference points")
	}
	c := cached{ref: e.Ref, obj: x.obj}
	if x.closed {
		c.from, c.end = e.Offset, x.end
	}
	return c, err
}

// borrow returns the object of e as the document read it that d was opened from,
// nil if it did not. What stands whole within both reads the same in both.
func (d *Doc) borrow(e Entry, crypt bool) Object {
	file := d.src.file
	if file == d {
		return nil
	}
	c, ok := file.cache.objects.get(e.Ref.Num)
	if !ok || c.ref != e.Ref || c.end == 0 || c.from != e.Offset || c.end >= d.src.size {
		return nil
	}
	o := fresh(c.obj)
	org := origin{doc: d, ref: e.Ref, crypt: crypt}
	switch v := o.(type) {
	case *Dict:
		v.org = org
	case *Array:
		v.org = org
	case *Stream:
		v.org, v.Dict.org, v.length = org, org, -1
	default: // a string would be decrypted already
		return nil
	}
	return o
}

// fresh returns a copy the caller may change.
func fresh(o Object) Object {
	switch v := o.(type) {
	case *Dict:
		c := *v
		return &c
	case *Array:
		c := *v
		return &c
	case *Stream:
		c := *v
		c.Dict = fresh(v.Dict).(*Dict)
		return &c
	}
	return o
}

// objstm is a decoded object stream.
type objstm struct {
	data  []byte
	heads []objHead
	first int64
	index map[uint32]int // built when a cross-reference entry has the wrong index
}

type objHead struct {
	num uint32
	off uint32
}

func (d *Doc) loadCompressed(e Entry) (Object, error) {
	s, err := d.objStream(e.Stream)
	if err != nil {
		return nil, err
	}
	i := e.Index
	if i < 0 || i >= len(s.heads) || s.heads[i].num != e.Ref.Num {
		if s.index == nil {
			s.index = make(map[uint32]int, len(s.heads))
			for k, h := range s.heads {
				s.index[h.num] = k
			}
		}
		var ok bool
		if i, ok = s.index[e.Ref.Num]; !ok {
			return nil, malformed("object stream", -1, "object not in the stream the cross-reference names")
		}
	}
	from := s.first + int64(s.heads[i].off)
	if from > int64(len(s.data)) {
		return nil, malformed("object stream", -1, "object outside its stream")
	}
	b := s.data[from:]
	if i+1 < len(s.heads) && s.heads[i+1].off > s.heads[i].off && int64(s.heads[i+1].off-s.heads[i].off) < int64(len(b)) {
		b = b[:s.heads[i+1].off-s.heads[i].off]
	}
	if len(b) > 64<<10 {
		if err := d.spend(int64(len(b)), -1); err != nil {
			return nil, err
		}
	}
	vs, ve, err := skipValue(b, 0, true, d.opt.Limits.Nesting)
	if err == errNoValue {
		return Null{}, nil
	}
	if err != nil {
		return nil, syntax("object stream", -1, err)
	}
	org := origin{doc: d, ref: e.Ref}
	return parseValue(append([]byte(nil), b[vs:ve]...), 0, ve-vs, org, -1, false), nil
}

// objStream returns the decoded object stream num.
func (d *Doc) objStream(num uint32) (*objstm, error) {
	if s, ok := d.cache.streams.get(num); ok {
		return s, nil
	}
	e, ok, err := d.Entry(num)
	if err != nil {
		return nil, err
	}
	if !ok || e.Kind != InUse {
		return nil, malformed("object stream", -1, "object stream is missing or itself compressed")
	}
	o, err := d.Object(e.Ref)
	if err != nil {
		return nil, err
	}
	st, ok := o.(*Stream)
	if !ok {
		return nil, malformed("object stream", e.Offset, "not a stream")
	}
	n, err := d.LookupInt(st.Dict, "N", 0)
	if err != nil {
		return nil, err
	}
	first, err := d.LookupInt(st.Dict, "First", 0)
	if err != nil {
		return nil, err
	}
	data, err := st.Decode()
	if err != nil && (CodeOf(err) != CodeMalformed || len(data) == 0) {
		return nil, err
	}
	if err := d.spend(int64(len(data)), e.Offset); err != nil {
		return nil, err
	}
	if first < 0 || first > int64(len(data)) || n < 0 {
		return nil, malformed("object stream", e.Offset, "/First or /N out of range")
	}
	s := &objstm{data: data, first: first, heads: make([]objHead, 0, min(n, first/4+1))}
	for i, h := 0, data[:first]; int64(len(s.heads)) < n; {
		_, a, b, _ := next(h, i, true)
		_, c, e, _ := next(h, b, true)
		num, ok := parseInt(h[a:b])
		off, ok2 := parseInt(h[c:e])
		if a == b || c == e || !ok || !ok2 || num < 0 || num > maxObject || off < 0 || off > int64(len(data)) {
			break
		}
		s.heads = append(s.heads, objHead{uint32(num), uint32(off)})
		i = e
	}
	d.cache.streams.put(num, s, int64(len(data)+8*len(s.heads)))
	return s, nil
}

type cached struct {
	ref       Ref
	obj       Object
	from, end int64 // where it stands in the file, 0 if not surely the same for every length of it
}

// cache keeps decoded object streams and parsed objects.
type cache struct {
	objects store[cached]
	streams store[*objstm]
}

// store keeps values up to a number of bytes in two generations: what was not
// used while the young one filled is dropped.
type store[V any] struct {
	young, old map[uint32]sized[V]
	bytes      int64 // of young
	most       int64
}

type sized[V any] struct {
	v V
	n int64
}

func (s *store[V]) get(k uint32) (V, bool) {
	if e, ok := s.young[k]; ok {
		return e.v, true
	}
	e, ok := s.old[k]
	if ok {
		s.put(k, e.v, e.n)
	}
	return e.v, ok
}

func (s *store[V]) put(k uint32, v V, n int64) {
	if s.young == nil || s.bytes+n > s.most/2 && len(s.young) > 0 {
		s.old, s.young, s.bytes = s.young, make(map[uint32]sized[V]), 0
	}
	s.young[k] = sized[V]{v, n}
	s.bytes += n
}
