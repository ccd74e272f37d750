package pdf

import (
	"iter"
	"math"
)

// A Page is a leaf of the page tree with what it inherits.
type Page struct {
	Index    int // from 0
	Ref      Ref // zero if the page is a direct object in /Kids
	Dict     *Dict
	MediaBox [4]float64 // normalised: left, bottom, right, top; Letter if absent
	CropBox  [4]float64 // MediaBox if absent, cut to it
	Rotate   int        // 0, 90, 180, 270, clockwise
	UserUnit float64    // 1 if absent

	resources *Dict // the node that has them
}

// PageCount counts the pages by walking the tree.
func (d *Doc) PageCount() (int, error) {
	n := 0
	for _, err := range d.Pages() {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// Resources returns the page's resources, own or inherited, nil if there are none.
func (d *Doc) Resources(p Page) (*Dict, error) {
	r, _, err := d.LookupDict(p.resources, "Resources")
	return r, err
}

// An Annot is an element of a page's /Annots.
type Annot struct {
	Ref  Ref // zero if it stands directly in the array
	Dict *Dict
}

// inherited is what page tree nodes hand down.
type inherited struct {
	resources           *Dict // the node that has them
	media, crop, rotate Object
}

func (in *inherited) take(d *Dict) {
	if d.Has("Resources") {
		in.resources = d
	}
	for _, e := range []struct {
		key Name
		to  *Object
	}{{"MediaBox", &in.media}, {"CropBox", &in.crop}, {"Rotate", &in.rotate}} {
		if v := d.Get(e.key); v != nil {
			*e.to = v
		}
	}
}

// pageWalk walks the page tree, handing out every page or looking for one.
type pageWalk struct {
	d     *Doc
	seen  map[Ref]bool // inner nodes
	index int
	yield func(Page, error) bool // nil when looking for one

	want, most int // the page looked for, and how far to go on
	found      Page
	ok         bool
}

func (w *pageWalk) walk() error {
	c, err := w.d.catalog()
	if err == nil {
		w.seen = make(map[Ref]bool)
		_, err = w.node(c.Get("Pages"), inherited{}, 0)
	}
	return err
}

// leaf takes a page and reports whether to go on.
func (w *pageWalk) leaf(p Page) bool {
	if w.yield != nil {
		return w.yield(p, nil)
	}
	if p.Index == w.want {
		w.found, w.ok = p, true
	}
	return !w.ok || p.Index < w.most
}

// Pages yields the pages in order. A node met twice, a tree deeper than
// Limits.Tree and other faults end it with an error.
func (d *Doc) Pages() iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		w := pageWalk{d: d, yield: yield}
		if err := w.walk(); err != nil {
			yield(Page{}, err)
		}
	}
}

// node visits a node and reports whether to go on.
func (w *pageWalk) node(o Object, in inherited, depth int) (more bool, err error) {
	ref, _ := o.(Ref)
	if depth > w.d.opt.Limits.Tree {
		return false, inObject(limit("pages", -1, "page tree too deep"), ref)
	}
	v, err := w.d.resolve(o)
	if err != nil {
		return false, inObject(err, ref)
	}
	dict, ok := v.(*Dict)
	if !ok {
		if IsNull(v) && depth > 0 { // a page that is not there is shown by nobody
			return true, nil
		}
		return false, inObject(malformed("pages", -1, "node of the page tree is no dictionary"), ref)
	}
	in.take(dict)
	kids, _, err := w.d.LookupArray(dict, "Kids")
	if err != nil {
		return false, inObject(err, ref)
	}
	if t, _ := dict.Get("Type").(Name); kids == nil || t == "Page" {
		if w.index == len(w.d.leaves) && ref.Num != 0 && w.index < maxLeaves {
			w.d.leaves = append(w.d.leaves, leaf{ref, in})
		}
		p, err := w.d.newPage(w.index, ref, fresh(dict).(*Dict), in)
		if err != nil {
			return false, inObject(err, ref)
		}
		w.index++
		return w.leaf(p), nil
	}
	if ref.Num != 0 {
		if w.seen[ref] {
			return false, inObject(malformed("pages", -1, "node met twice in the page tree"), ref)
		}
		w.seen[ref] = true
	}
	for _, k := range kids.All() {
		if more, err := w.node(k, in, depth+1); !more || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (d *Doc) newPage(index int, ref Ref, dict *Dict, in inherited) (Page, error) {
	p := Page{Index: index, Ref: ref, Dict: dict, UserUnit: 1, resources: in.resources}
	p.MediaBox = [4]float64{0, 0, 612, 792}
	if b, ok, err := d.box(in.media); err != nil {
		return p, err
	} else if ok {
		p.MediaBox = b
	}
	p.CropBox = p.MediaBox
	if b, ok, err := d.box(in.crop); err != nil {
		return p, err
	} else if ok {
		m := p.MediaBox
		c := [4]float64{max(b[0], m[0]), max(b[1], m[1]), min(b[2], m[2]), min(b[3], m[3])}
		if c[0] < c[2] && c[1] < c[3] {
			p.CropBox = c
		}
	}
	o, err := d.Resolve(in.rotate)
	if err != nil {
		return p, err
	}
	if f, ok := Number(o); ok && math.Abs(f) < 1e6 {
		p.Rotate = ((int(f)/90*90)%360 + 360) % 360
	}
	if o, err = d.Lookup(dict, "UserUnit"); err != nil {
		return p, err
	}
	if f, ok := Number(o); ok && f > 0 {
		p.UserUnit = f
	}
	return p, nil
}

// box returns a rectangle with its corners in order; ok is false if o is none
// or an empty one.
func (d *Doc) box(o Object) (b [4]float64, ok bool, err error) {
	if o == nil {
		return b, false, nil
	}
	if o, err = d.Resolve(o); err != nil {
		return b, false, err
	}
	a, _ := o.(*Array)
	f, err := d.numbers(a)
	if err != nil || len(f) < 4 {
		return b, false, err
	}
	b = [4]float64{min(f[0], f[2]), min(f[1], f[3]), max(f[0], f[2]), max(f[1], f[3])}
	return b, b[0] < b[2] && b[1] < b[3], nil
}

// Page returns page index, from 0. It is MALFORMED if there is none; PageCount
// of /Count is not trusted.
func (d *Doc) Page(index int) (Page, error) {
	if index < 0 {
		return Page{}, malformed("pages", -1, "no such page")
	}
	if index < len(d.leaves) {
		l := d.leaves[index]
		dict, err := d.dictAt(l.ref)
		if err != nil {
			return Page{}, err
		}
		return d.newPage(index, l.ref, fresh(dict).(*Dict), l.in)
	}
	// Going on to twice as many as are known makes asking for one after the
	// other cheap.
	w := pageWalk{d: d, want: index, most: 2 * len(d.leaves)}
	err := w.walk()
	switch {
	case w.ok: // what follows it does not matter
		return w.found, nil
	case err == nil:
		err = malformed("pages", -1, "no such page")
	}
	return Page{}, err
}

// PageOf returns the page that is the object ref, if it was met before.
func (d *Doc) PageOf(ref Ref) (p Page, ok bool, err error) {
	for i := range d.leaves {
		if d.leaves[i].ref == ref {
			p, err = d.Page(i)
			return p, err == nil, err
		}
	}
	return p, false, nil
}

// leaf is a page met before.
type leaf struct {
	ref Ref
	in  inherited
}

// maxLeaves bounds the pages remembered.
const maxLeaves = 1 << 16

// Annots returns the annotations of a page. Elements that are no dictionaries
// are left out.
func (d *Doc) Annots(p Page) ([]Annot, error) {
	a, _, err := d.LookupArray(p.Dict, "Annots")
	if err != nil {
		return nil, err
	}
	var out []Annot
	for _, o := range a.All() {
		ref, _ := o.(Ref)
		if o, err = d.Resolve(o); err != nil {
			return nil, err
		}
		if dict, ok := o.(*Dict); ok {
			out = append(out, Annot{ref, dict})
		}
	}
	return out, nil
}
