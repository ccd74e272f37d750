package pdf

import "bytes"

type importKey struct {
	doc *Doc
	ref Ref
}

// importer copies objects of src into an update. References are queued, so
// that depth does not follow the graph.
type importer struct {
	u     *Update
	src   *Doc
	queue []Ref
	bytes int64
	count int
}

// Import copies an object of another document, and everything it refers to,
// into the update under new numbers, and returns it with its references
// renumbered. Repeated imports share what was copied before. References to
// pages, /Parent among them, become null.
func (u *Update) Import(src *Doc, o Object) (Object, error) {
	im := importer{u: u, src: src}
	if u.imports == nil {
		u.imports = make(map[importKey]Ref)
	}
	v, err := im.copy(o, 0)
	if err != nil {
		return nil, err
	}
	return v, im.drain()
}

func (im *importer) drain() error {
	for len(im.queue) > 0 {
		ref := im.queue[len(im.queue)-1]
		im.queue = im.queue[:len(im.queue)-1]
		o, err := im.src.Object(ref)
		if err != nil {
			return err
		}
		to := im.u.imports[importKey{im.src, ref}]
		if s, ok := o.(*Stream); ok {
			if o, err = im.stream(s); err != nil {
				return err
			}
		} else if o, err = im.copy(o, 0); err != nil {
			return err
		}
		im.u.Set(to, o)
	}
	return nil
}

func (im *importer) spend(n int64) error {
	im.count++
	im.bytes += n
	if im.count > 1<<20 || im.bytes > im.src.opt.Limits.Inflated {
		return limit("import", -1, "too much to import")
	}
	return nil
}

func (im *importer) copy(o Object, depth int) (Object, error) {
	if depth > maxDepth {
		return nil, limit("import", -1, "nested too deeply")
	}
	if err := im.spend(8); err != nil {
		return nil, err
	}
	switch v := o.(type) {
	case Ref:
		return im.ref(v)
	case String:
		v.Plain = false
		return v, im.spend(int64(len(v.B)))
	case *Array:
		out := MakeArray()
		for _, e := range v.All() {
			c, err := im.copy(e, depth+1)
			if err != nil {
				return nil, err
			}
			out.Append(c)
		}
		return out, nil
	case *Dict:
		return im.dict(v, depth)
	case *Stream:
		s, err := im.stream(v)
		if err != nil {
			return nil, err
		}
		return im.u.Add(s), nil
	}
	return o, nil
}

func (im *importer) dict(v *Dict, depth int) (*Dict, error) {
	kv := make([]KV, 0, v.Len())
	for k, e := range v.All() {
		c, err := im.copy(e, depth+1)
		if err != nil {
			return nil, err
		}
		if !IsNull(c) {
			kv = append(kv, KV{k, c})
		}
	}
	return MakeDict(kv...), nil
}

func (im *importer) ref(r Ref) (Object, error) {
	key := importKey{im.src, r}
	if to, ok := im.u.imports[key]; ok {
		return to, nil
	}
	o, err := im.src.Object(r)
	if err != nil {
		return nil, err
	}
	switch v := o.(type) {
	case Null:
		return Null{}, nil
	case *Dict:
		t, err := im.src.LookupName(v, "Type")
		if err != nil {
			return nil, err
		}
		if t == "Page" || t == "Pages" || t == "Catalog" {
			return Null{}, nil
		}
	}
	to := im.u.Alloc()
	im.u.imports[key] = to
	im.queue = append(im.queue, r)
	return to, nil
}

func (im *importer) stream(s *Stream) (*Stream, error) {
	dict, err := im.dict(s.Dict, 0)
	if err != nil {
		return nil, err
	}
	dict.Delete("Length")
	chain, err := s.filters()
	if err != nil {
		return nil, err
	}
	data, err := s.Raw()
	if len(chain) > 0 && chain[0].name == "Crypt" { // names a filter of the other document
		if data, err = s.Decode(); err == nil {
			dict.Delete("Filter")
			dict.Delete("DecodeParms")
		}
	}
	if err != nil {
		return nil, err
	}
	return NewStream(dict, data), im.spend(int64(len(data)))
}

// ImportPage makes a form XObject of a page of another document: its content,
// its resources, /BBox its crop box, /Matrix such that the page as shown
// (rotated, lower left corner at the origin) has the given width and height.
func (u *Update) ImportPage(src *Doc, index int) (form Ref, width, height float64, err error) {
	p, err := src.Page(index)
	if err != nil {
		return Ref{}, 0, 0, err
	}
	content, err := src.Content(p)
	if err != nil {
		return Ref{}, 0, 0, err
	}
	l, b, r, t := p.CropBox[0], p.CropBox[1], p.CropBox[2], p.CropBox[3]
	width, height = r-l, t-b
	m := []float64{1, 0, 0, 1, -l, -b}
	switch p.Rotate {
	case 90:
		m = []float64{0, -1, 1, 0, -b, r}
		width, height = height, width
	case 180:
		m = []float64{-1, 0, 0, -1, r, t}
	case 270:
		m = []float64{0, 1, -1, 0, t, -l}
		width, height = height, width
	}
	dict := MakeDict(
		KV{"Type", Name("XObject")}, KV{"Subtype", Name("Form")},
		KV{"BBox", MakeNumbers(l, b, r, t)}, KV{"Matrix", MakeNumbers(m...)})
	resources := p.resources.Get("Resources")
	if resources == nil {
		resources = MakeDict()
	}
	for _, e := range []KV{{"Resources", resources}, {"Group", p.Dict.Get("Group")}} {
		if e.Value == nil {
			continue
		}
		v, err := u.Import(src, e.Value)
		if err != nil {
			return Ref{}, 0, 0, err
		}
		if !IsNull(v) {
			dict.Set(e.Key, v)
		}
	}
	return u.Add(Deflate(dict, content)), width, height, nil
}

// Content returns the content of a page: its streams decoded and joined. Data
// that breaks off counts as far as it goes.
func (d *Doc) Content(p Page) ([]byte, error) {
	o, err := d.Lookup(p.Dict, "Contents")
	if err != nil {
		return nil, err
	}
	var parts [][]byte
	total := int64(0)
	add := func(o Object) error {
		o, err := d.Resolve(o)
		if err != nil {
			return err
		}
		s, ok := o.(*Stream)
		if !ok {
			return nil
		}
		b, err := s.Decode()
		if err != nil && CodeOf(err) != CodeMalformed {
			return err
		}
		if total += int64(len(b)) + 1; total > d.opt.Limits.Inflated {
			return limit("content", -1, "page content too large")
		}
		parts = append(parts, b)
		return nil
	}
	if a, ok := o.(*Array); ok {
		for _, e := range a.All() {
			if err := add(e); err != nil {
				return nil, err
			}
		}
	} else if err := add(o); err != nil {
		return nil, err
	}
	return bytes.Join(parts, []byte("\n")), nil
}
