package pdf

// A Field is a terminal field of the AcroForm, with what it inherits.
type Field struct {
	Name    string // fully qualified: partial names joined by full stops
	Partial string // its own /T
	Ref     Ref    // zero if it stands directly in an array
	Dict    *Dict
	Type    Name   // /FT: "Sig", "Tx", "Btn", "Ch", "" if absent
	Flags   int64  // /Ff
	Value   Object // /V as it stands, a Ref not followed; nil if absent
	DA      []byte // /DA, inherited from the AcroForm too
	Q       int64
	Parents []Ref // from the root of the tree down, the field itself not included
	Widgets []Annot
	Merged  bool // the only widget is the field's own dictionary
}

// Form returns the AcroForm dictionary and its reference, zero if it stands
// directly in the catalog; nil if there is none.
func (d *Doc) Form() (*Dict, Ref, error) { return d.CatalogDict("AcroForm") }

// fieldWalk walks the field tree.
type fieldWalk struct {
	d       *Doc
	seen    map[Ref]bool
	parents []Ref
	fields  []Field
}

// handed is what field nodes hand down.
type handed struct {
	name     string
	ft       Name
	flags, q int64
	value    Object
	da       []byte
}

// Fields returns the terminal fields in tree order. A node met twice is
// skipped; a tree deeper than Limits.Tree is a LIMIT error.
func (d *Doc) Fields() ([]Field, error) {
	form, _, err := d.Form()
	if err != nil || form == nil {
		return nil, err
	}
	in := handed{}
	if s, ok := form.Get("DA").(String); ok {
		in.da = s.B
	}
	if in.q, err = d.LookupInt(form, "Q", 0); err != nil {
		return nil, err
	}
	list, _, err := d.LookupArray(form, "Fields")
	if err != nil {
		return nil, err
	}
	w := fieldWalk{d: d, seen: make(map[Ref]bool)}
	for _, o := range list.All() {
		if err := w.node(o, in, 0); err != nil {
			return nil, err
		}
	}
	return w.fields, nil
}

// take notes what a node hands down and its name.
func (w *fieldWalk) take(dict *Dict, in handed) (handed, string, error) {
	d := w.d
	partial, named, err := d.LookupText(dict, "T")
	if err != nil {
		return in, "", err
	}
	switch {
	case !named:
	case in.name == "":
		in.name = partial
	default:
		in.name += "." + partial
	}
	if len(in.name) > 1<<16 {
		return in, "", limit("fields", -1, "field name too long")
	}
	ft, err := d.LookupName(dict, "FT")
	if err != nil {
		return in, "", err
	}
	if ft != "" {
		in.ft = ft
	}
	if in.flags, err = d.LookupInt(dict, "Ff", in.flags); err != nil {
		return in, "", err
	}
	if in.q, err = d.LookupInt(dict, "Q", in.q); err != nil {
		return in, "", err
	}
	if v := dict.Get("V"); v != nil {
		in.value = v
	}
	if dict.Has("DA") {
		o, err := d.Lookup(dict, "DA")
		if err != nil {
			return in, "", err
		}
		if s, ok := o.(String); ok {
			in.da = s.B
		}
	}
	return in, partial, nil
}

func (w *fieldWalk) node(o Object, in handed, depth int) error {
	ref, _ := o.(Ref)
	if depth > w.d.opt.Limits.Tree {
		return inObject(limit("fields", -1, "field tree too deep"), ref)
	}
	if ref.Num != 0 {
		if w.seen[ref] {
			return nil
		}
		w.seen[ref] = true
	}
	v, err := w.d.Resolve(o)
	if err != nil {
		return inObject(err, ref)
	}
	dict, ok := v.(*Dict)
	if !ok {
		return nil
	}
	in, partial, err := w.take(dict, in)
	if err != nil {
		return inObject(err, ref)
	}
	f := Field{
		Name: in.name, Partial: partial, Ref: ref, Dict: dict, Type: in.ft, Flags: in.flags, Value: in.value, DA: in.da, Q: in.q,
		Parents: append([]Ref(nil), w.parents...),
	}
	below, err := w.kids(&f)
	if err != nil {
		return inObject(err, ref)
	}
	if len(below) == 0 && len(f.Widgets) == 0 {
		if t, _ := dict.Get("Subtype").(Name); t == "Widget" || dict.Has("Rect") {
			f.Widgets, f.Merged = []Annot{{ref, dict}}, true
		}
	}
	if len(below) == 0 || len(f.Widgets) > 0 {
		w.fields = append(w.fields, f)
	}
	if len(below) == 0 {
		return nil
	}
	w.parents = append(w.parents, ref)
	defer func() { w.parents = w.parents[:len(w.parents)-1] }()
	for _, k := range below {
		if err := w.node(k, in, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// kids tells the fields below f from its widgets, which are noted in it.
func (w *fieldWalk) kids(f *Field) (below []Object, err error) {
	kids, _, err := w.d.LookupArray(f.Dict, "Kids")
	if err != nil {
		return nil, err
	}
	for _, k := range kids.All() {
		kref, _ := k.(Ref)
		kv, err := w.d.Resolve(k)
		if err != nil {
			return nil, err
		}
		kd, ok := kv.(*Dict)
		switch {
		case !ok:
		case kd.Has("T") || kd.Has("Kids"):
			below = append(below, k)
		case kref.Num == 0 || !w.seen[kref]:
			if kref.Num != 0 {
				w.seen[kref] = true
			}
			f.Widgets = append(f.Widgets, Annot{kref, kd})
		}
	}
	return below, nil
}
