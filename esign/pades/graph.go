package pades

import (
	"github.com/countersign/countersign/internal/pdf"
)

// trailerNum stands for the trailer among object numbers: 0 is never in use.
const trailerNum = 0

// edge is a reference from object from, standing under the dictionary key
// label; in an array the key the array stands under, "" in an array that is an
// object of its own.
type edge struct {
	from  uint32
	label pdf.Name
}

// graph knows who refers to an object, in any state of the document from the
// first one judged on. References that were dropped later stay in it: that
// can only find a change graver than it is.
type graph struct {
	in    map[uint32][]edge
	packs map[uint32]map[uint32]bool // object streams, and what their objects depend on; nil until asked for
	open  map[uint32]bool            // objects that the end of the file cuts off, so that more bytes may change them
	extra int                        // objects compared though no section mentions them
}

// maxExtra bounds the comparisons that only odd files ask for.
const maxExtra = 1 << 20

func (g *graph) spend(n int) error {
	if g.extra += n; g.extra > maxExtra {
		return refusef(ErrLimit, "verify", "more than %d objects to compare beside those mentioned", maxExtra)
	}
	return nil
}

// newGraph reads every object of d once.
func newGraph(d *pdf.Doc) (*graph, error) {
	g := &graph{in: map[uint32][]edge{}, packs: map[uint32]map[uint32]bool{}, open: map[uint32]bool{}}
	for ref, err := range d.Numbers() {
		if err != nil {
			return nil, err
		}
		g.read(d, ref)
	}
	g.add(trailerNum, d.Trailer())
	return g, nil
}

// read notes the object ref of a state. One that nobody can read shows nothing
// in this state.
func (g *graph) read(d *pdf.Doc, ref pdf.Ref) {
	if e, ok, err := d.Entry(ref.Num); err == nil && ok && e.Kind == pdf.Compressed {
		if _, ok := g.packs[e.Stream]; !ok {
			g.packs[e.Stream] = nil
		}
	}
	o, err := d.Object(ref)
	if err != nil {
		g.open[ref.Num] = true
		return
	}
	g.add(ref.Num, o)
	if s, ok := o.(*pdf.Stream); ok && s.Unbounded() {
		g.open[ref.Num] = true
	}
}

// needs adds to nums what the objects in an object stream depend on beside its
// data, such as an indirect /Length.
func (g *graph) needs(d *pdf.Doc, o pdf.Object, nums map[uint32]bool) {
	eachRef(o, "", 0, func(label pdf.Name, to pdf.Ref) {
		if nums[to.Num] || label == "Extends" {
			return
		}
		nums[to.Num] = true
		if in, err := d.Object(to); err == nil {
			g.needs(d, in, nums)
		}
	})
}

// add notes what object num refers to.
func (g *graph) add(num uint32, o pdf.Object) {
	eachRef(o, "", 0, func(label pdf.Name, to pdf.Ref) {
		list := g.in[to.Num]
		e := edge{num, label}
		if n := len(list); n > 0 && list[n-1] == e {
			return
		}
		g.in[to.Num] = append(list, e)
	})
}

// drawn holds the keys below which lies what is drawn with: whatever the names
// below them, a reference there shows what it leads to.
var drawn = map[pdf.Name]bool{
	"Resources": true, "DR": true, "AP": true, "Font": true, "XObject": true, "ExtGState": true, "ColorSpace": true,
	"Pattern": true, "Shading": true, "Properties": true, "CharProcs": true, "Encoding": true, "SMask": true,
}

// eachRef calls f for every reference standing in o, with the key it stands
// under: the nearest one, but for keys of drawn, which hold for all below.
func eachRef(o pdf.Object, label pdf.Name, depth int, f func(label pdf.Name, to pdf.Ref)) {
	if depth > 128 {
		return // the reader's own limit is lower
	}
	switch v := o.(type) {
	case pdf.Ref:
		f(label, v)
	case *pdf.Dict:
		for k, e := range v.All() {
			if drawn[label] {
				k = label
			}
			eachRef(e, k, depth+1, f)
		}
	case *pdf.Array:
		for _, e := range v.All() {
			eachRef(e, label, depth+1, f)
		}
	case *pdf.Stream:
		eachRef(v.Dict, label, depth+1, f)
	}
}

// draws reports whether an object is reached as part of what is drawn with, so
// that its own keys may be names of somebody's choice.
func (g *graph) draws(num uint32) bool {
	for _, e := range g.in[num] {
		if drawn[e.label] {
			return true
		}
	}
	return false
}

// role is the place of an object in the document's structure. An object with a
// role is judged by its own keys; a change to any other object is a change to
// whatever refers to it.
type role string

const (
	roleCatalog role = "catalog"
	rolePages   role = "page tree"
	rolePage    role = "page"
	roleForm    role = "form"
	roleField   role = "field"  // or a node above fields, or a widget
	roleAnnot   role = "annot"  // not a widget
	roleSig     role = "sig"    // value of a signature field
	roleStruct  role = "struct" // element of the logical structure
)

// naming holds the keys by which others name an object with a role without
// showing its content: links, parents, members. A role's change goes no
// further through them.
var naming = map[pdf.Name]bool{
	"P": true, "Parent": true, "Kids": true, "Annots": true, "Fields": true, "Popup": true, "IRT": true, "Pg": true,
	"Obj": true, "Root": true, "Pages": true, "AcroForm": true, "Dest": true, "D": true, "K": true, "First": true,
	"Last": true, "Next": true, "Prev": true, "Names": true, "Nums": true, "ParentTree": true, "CO": true, "OpenAction": true,
	"SD": true, "SE": true, "StructTreeRoot": true, "IDTree": true, "V": true, "DocMDP": true, "Perms": true, "Dests": true,
	"Data": true, "R": true, "B": true, "T": true, "UR3": true, "UR": true, "O": true,
}

// view is one state of the document with the roles of its objects.
type view struct {
	doc     *pdf.Doc
	catalog *pdf.Dict
	roles   map[uint32]role
	form    *form
	fields  map[uint32]*pdf.Field // by number of the field, its widgets
	parents map[uint32]bool       // nodes of the field tree that are no fields
	treeErr error                 // the page tree could not be walked to its end

	below map[pdf.Ref][]*pdf.Field // see under; nil until asked for
	boxes map[pdf.Ref][][4]float64 // see pageBoxes; nil until asked for
}

// pageBoxes returns the media box of a page, or of the pages that list an
// annotation; nothing if the pages cannot be read.
func (v *view) pageBoxes(ref pdf.Ref) [][4]float64 {
	if v.boxes == nil {
		v.boxes = map[pdf.Ref][][4]float64{}
		for p, err := range v.doc.Pages() {
			var annots []pdf.Annot
			if err == nil {
				annots, err = v.doc.Annots(p)
			}
			if err != nil {
				clear(v.boxes)
				break
			}
			v.boxes[p.Ref] = append(v.boxes[p.Ref], p.MediaBox)
			for _, a := range annots {
				v.boxes[a.Ref] = append(v.boxes[a.Ref], p.MediaBox)
			}
		}
	}
	return v.boxes[ref]
}

// under returns the field ref and those below the node ref, in tree order.
func (v *view) under(ref pdf.Ref) []*pdf.Field {
	if v.below == nil {
		v.below = map[pdf.Ref][]*pdf.Field{}
		for i := range v.form.fields {
			x := &v.form.fields[i]
			v.below[x.Ref] = append(v.below[x.Ref], x)
			for _, p := range x.Parents {
				if p != x.Ref {
					v.below[p] = append(v.below[p], x)
				}
			}
		}
	}
	return v.below[ref]
}

func newView(d *pdf.Doc) (*view, error) {
	f, err := readForm(d)
	if err != nil {
		return nil, err
	}
	return viewOf(f)
}

func viewOf(f *form) (*view, error) {
	d := f.doc
	v := &view{form: f, doc: d, roles: map[uint32]role{}, fields: map[uint32]*pdf.Field{}, parents: map[uint32]bool{}}
	c, ref, err := d.Catalog()
	if err != nil {
		return nil, err
	}
	v.catalog = c
	v.roles[ref.Num] = roleCatalog
	if _, ref, err := d.Form(); err == nil && ref.Num != 0 {
		v.roles[ref.Num] = roleForm
	}
	v.treeErr = v.walkPages(c.Get("Pages"), 0)
	for i := range v.form.fields {
		x := &v.form.fields[i]
		for _, p := range x.Parents {
			v.parents[p.Num] = true
			v.roles[p.Num] = roleField
		}
		for _, w := range x.Widgets {
			if w.Ref.Num != 0 {
				v.roles[w.Ref.Num] = roleField
				v.fields[w.Ref.Num] = x
			}
		}
		if x.Ref.Num != 0 {
			v.roles[x.Ref.Num] = roleField
			v.fields[x.Ref.Num] = x
		}
	}
	for _, s := range v.form.signed {
		if s.sigRef.Num != 0 && s.sig != nil {
			v.roles[s.sigRef.Num] = roleSig
		}
	}
	return v, nil
}

func (v *view) walkPages(o pdf.Object, depth int) error {
	ref, _ := o.(pdf.Ref)
	if ref.Num != 0 {
		if _, seen := v.roles[ref.Num]; seen {
			return nil
		}
	}
	if depth > 64 {
		return refusef(ErrLimit, "verify", "page tree deeper than 64")
	}
	r, err := v.doc.Resolve(o)
	if err != nil {
		return err
	}
	d, ok := r.(*pdf.Dict)
	if !ok {
		return nil
	}
	kids, kidsRef, err := v.doc.LookupArray(d, "Kids")
	if err != nil {
		return err
	}
	if kids == nil {
		if ref.Num != 0 {
			v.roles[ref.Num] = rolePage
		}
		return v.walkAnnots(d)
	}
	if ref.Num != 0 {
		v.roles[ref.Num] = rolePages
	}
	if kidsRef.Num != 0 {
		v.roles[kidsRef.Num] = rolePages
	}
	for _, k := range kids.All() {
		if err := v.walkPages(k, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) walkAnnots(page *pdf.Dict) error {
	annots, _, err := v.doc.LookupArray(page, "Annots")
	if err != nil {
		return err
	}
	for _, o := range annots.All() {
		if ref, ok := o.(pdf.Ref); ok && v.roles[ref.Num] == "" {
			v.roles[ref.Num] = roleAnnot
		}
	}
	return nil
}

// walkStruct gives the elements of the logical structure their role.
func (v *view) walkStruct() error {
	root, ref, err := v.doc.LookupDict(v.catalog, "StructTreeRoot")
	if err != nil || root == nil {
		return err
	}
	queue := []pdf.Object{}
	if ref.Num != 0 {
		v.roles[ref.Num] = roleStruct
	}
	queue = append(queue, root.Get("K"))
	for len(queue) > 0 {
		o := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if r, ok := o.(pdf.Ref); ok {
			if v.roles[r.Num] != "" {
				continue
			}
			if o, err = v.doc.Resolve(r); err != nil {
				return err
			}
			switch o.(type) {
			case *pdf.Dict, *pdf.Array:
				v.roles[r.Num] = roleStruct
			}
		}
		switch e := o.(type) {
		case *pdf.Array:
			for _, k := range e.All() {
				queue = append(queue, k)
			}
		case *pdf.Dict:
			if k := e.Get("K"); k != nil {
				queue = append(queue, k)
			}
		}
	}
	return nil
}
