package pdf

import (
	"iter"
)

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
func (d *Doc) Form() (*Dict, Ref, error) {
	c, err := d.catalog()
	if err != nil {
		return nil, Ref{}, err
	}
	return d.LookupDict(c, "AcroForm")
}

// fieldWalk walks the field tree.
type fieldWalk struct {
	d       *Doc
	seen    map[Ref]bool
	parents []Ref
	yield   func(Field, error) bool
}

// handed is what field nodes hand down.
type handed struct {
	name     string
	ft       Name
	flags, q int64
	value    Object
	da       []byte
}

// Fields yields the terminal fields in tree order. A node met twice is
// skipped; a tree deeper than Limits.Tree ends it with a LIMIT error.
func (d *Doc) Fields() iter.Seq2[Field, error] {
	return func(yield func(Field, error) bool) {
		form, _, err := d.Form()
		if err != nil {
			yield(Field{}, err)
			return
		}
		if form == nil {
			return
		}
		w := fieldWalk{d: d, seen: make(map[Ref]bool), yield: yield}
		in := handed{}
		if s, ok := form.Get("DA").(String); ok {
			in.da = s.B
		}
		if in.q, err = d.LookupInt(form, "Q", 0); err != nil {
			yield(Field{}, err)
			return
		}
		list, _, err := d.LookupArray(form, "Fields")
		if err != nil {
			yield(Field{}, err)
			return
		}
		for _, o := range list.All() {
			if !w.node(o, in, 0) {
				return
			}
		}
	}
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

func (w *fieldWalk) node(o Object, in handed, depth int) bool {
	ref, _ := o.(Ref)
	fail := func(err error) bool {
		w.yield(Field{}, inObject(err, ref))
		return false
	}
	if depth > w.d.opt.Limits.Tree {
		return fail(limit("fields", -1, "field tree too deep"))
	}
	if ref.Num != 0 {
		if w.seen[ref] {
			return true
		}
		w.seen[ref] = true
	}
	v, err := w.d.Resolve(o)
	if err != nil {
		return fail(err)
	}
	dict, ok := v.(*Dict)
	if !ok {
		return true
	}
	in, partial, err := w.take(dict, in)
	if err != nil {
		return fail(err)
	}
	f := Field{
		Name: in.name, Partial: partial, Ref: ref, Dict: dict, Type: in.ft, Flags: in.flags, Value: in.value, DA: in.da, Q: in.q,
		Parents: append([]Ref(nil), w.parents...),
	}
	kids, _, err := w.d.LookupArray(dict, "Kids")
	if err != nil {
		return fail(err)
	}
	var below []Object
	for _, k := range kids.All() {
		kref, _ := k.(Ref)
		kv, err := w.d.Resolve(k)
		if err != nil {
			return fail(err)
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
	if len(below) == 0 && len(f.Widgets) == 0 {
		if t, _ := dict.Get("Subtype").(Name); t == "Widget" || dict.Has("Rect") {
			f.Widgets, f.Merged = []Annot{{ref, dict}}, true
		}
	}
	if len(below) == 0 || len(f.Widgets) > 0 {
		if !w.yield(f, nil) {
			return false
		}
	}
	if len(below) == 0 {
		return true
	}
	w.parents = append(w.parents, ref)
	defer func() { w.parents = w.parents[:len(w.parents)-1] }()
	for _, k := range below {
		if !w.node(k, in, depth+1) {
			return false
		}
	}
	return true
}
