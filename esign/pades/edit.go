package pades

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/pdf"
)

var (
	errLockP      = errors.New("a lock's P is 0 to 3")
	errLockAction = errors.New("a lock's action is All, Include or Exclude")
)

// editor collects the objects a new revision changes. A dictionary is fetched
// once, changed in place, and written when the revision is laid out.
type editor struct {
	op   string
	doc  *pdf.Doc
	form *form
	u    *pdf.Update

	dicts   map[pdf.Ref]*pdf.Dict
	arrays  map[pdf.Ref]*pdf.Array
	order   []pdf.Ref // of dicts and arrays, as they were fetched
	acro    *pdf.Dict
	acroRef pdf.Ref // zero: in the catalog
	pages   map[int]pdf.Page
	fonts   *pdf.Dict // of text appearances
	arts    map[[32]byte]art
	byPage  map[pdf.Ref]int
	warn    []*Error
}

func newEditor(op string, d *pdf.Doc, repaired bool) (*editor, error) {
	f, err := readForm(d)
	if err != nil {
		return nil, err
	}
	e := &editor{
		op: op, doc: d, form: f,
		dicts: map[pdf.Ref]*pdf.Dict{}, arrays: map[pdf.Ref]*pdf.Array{}, pages: map[int]pdf.Page{},
	}
	if !d.Repaired() {
		e.u, err = pdf.NewUpdate(d)
		return e, err
	}
	return e, e.rewrite(repaired)
}

// rewrite begins a revision of a document that was read by repair: it has a
// cross-reference section of its own for every object, so that nobody needs to
// repair the document again. Unless asked for, that is done only where every
// reader's repair must have found the same (R7).
func (e *editor) rewrite(asked bool) error {
	streams, err := e.doc.Sound()
	switch {
	case err == nil && len(e.form.signed) > 0:
		err = errors.New("the file can be read only by repair, and is signed")
	case err != nil && CodeOf(wrap(e.op, err)) != ErrRepaired:
		return err
	}
	if err != nil && !asked {
		return refuse(ErrRepaired, e.op, err)
	}
	if e.u, err = pdf.NewRewriteOfRepaired(e.doc); err != nil {
		return err
	}
	for _, ref := range streams { // with the /Length they turned out to have
		o, err := e.doc.Object(ref)
		if err != nil {
			return err
		}
		e.u.Set(ref, o)
	}
	e.warn = append(e.warn, refuse(ErrRepaired, e.op, errors.New("the file is damaged; the new revision mends it")))
	return nil
}

// dict returns the dictionary ref stands for, to be changed in place.
func (e *editor) dict(ref pdf.Ref) (*pdf.Dict, error) {
	if d := e.dicts[ref]; d != nil {
		return d, nil
	}
	o, err := e.u.Object(ref)
	if err != nil {
		return nil, err
	}
	d, ok := o.(*pdf.Dict)
	if !ok {
		return nil, refusef(ErrMalformed, e.op, "object %d is no dictionary", ref.Num)
	}
	d = d.Clone()
	e.dicts[ref] = d
	e.order = append(e.order, ref)
	return d, nil
}

// array changes the array that is the value of key in d, where it lives: in d
// or as an object of its own.
func (e *editor) array(d *pdf.Dict, key pdf.Name, change func(*pdf.Array)) error {
	ref, indirect := d.Ref(key)
	if !indirect {
		a, _ := d.Get(key).(*pdf.Array)
		a = a.Clone()
		change(a)
		d.Set(key, a)
		return nil
	}
	a := e.arrays[ref]
	if a == nil {
		o, err := e.u.Resolve(ref)
		if err != nil {
			return err
		}
		old, ok := o.(*pdf.Array)
		if !ok {
			// A reference to nothing: the array takes its place in d.
			a = pdf.MakeArray()
			change(a)
			d.Set(key, a)
			return nil
		}
		a = old.Clone()
		e.arrays[ref] = a
		e.order = append(e.order, ref)
	}
	change(a)
	return nil
}

// flush hands everything that was changed to the update.
func (e *editor) flush() error {
	if e.acro != nil && e.acroRef == (pdf.Ref{}) {
		_, ref, err := e.doc.Catalog()
		if err != nil {
			return err
		}
		c, err := e.dict(ref)
		if err != nil {
			return err
		}
		c.Set("AcroForm", e.acro)
	}
	for _, ref := range e.order {
		if d := e.dicts[ref]; d != nil {
			e.u.Set(ref, d)
		} else {
			e.u.Set(ref, e.arrays[ref])
		}
	}
	return nil
}

// acroForm returns the form's dictionary, to be changed in place.
func (e *editor) acroForm() (*pdf.Dict, error) {
	if e.acro != nil {
		return e.acro, nil
	}
	d, ref, err := e.doc.Form()
	if err != nil {
		return nil, err
	}
	switch {
	case d == nil:
		e.acro = pdf.MakeDict(pdf.KV{Key: "Fields", Value: pdf.MakeArray()})
	case ref == (pdf.Ref{}):
		e.acro = d.Clone()
	default:
		if e.acro, err = e.dict(ref); err != nil {
			return nil, err
		}
		e.acroRef = ref
	}
	return e.acro, nil
}

// page returns page n, counted from 1.
func (e *editor) page(n int) (pdf.Page, error) {
	if p, ok := e.pages[n]; ok {
		return p, nil
	}
	p, err := e.doc.Page(n - 1)
	if err != nil {
		if count, damaged := e.doc.PageCount(); damaged == nil && n > count {
			return p, refusef(ErrUsage, e.op, "no page %d of %d", n, count)
		}
		return p, err
	}
	if p.Ref == (pdf.Ref{}) {
		return p, refusef(ErrNotSupported, e.op, "page %d stands directly in the page tree", n)
	}
	e.pages[n] = p
	return p, nil
}

// annotate appends annotations to a page.
func (e *editor) annotate(p pdf.Page, annots ...pdf.Object) error {
	d, err := e.dict(p.Ref)
	if err != nil {
		return err
	}
	return e.array(d, "Annots", func(a *pdf.Array) { a.Append(annots...) })
}

// edit applies ed. What it may do beside earlier signatures was checked before.
func (e *editor) edit(ed Edit) error {
	for i := range ed.Fields {
		if _, err := e.newField(ed.Fields[i], nil); err != nil {
			return err
		}
	}
	for _, v := range ed.Values {
		if err := e.fill(v); err != nil {
			return err
		}
	}
	for _, s := range ed.Stamps {
		if err := e.stamp(s); err != nil {
			return err
		}
	}
	return nil
}

// newField creates a field whose widget is its own dictionary and returns its
// reference. extra is set in it.
func (e *editor) newField(n NewField, extra *pdf.Dict) (pdf.Ref, error) {
	if err := checkName(n.Name); err != nil {
		return pdf.Ref{}, refuse(ErrUsage, e.op, err)
	}
	if e.form.taken(n.Name) {
		return pdf.Ref{}, refusef(ErrUsage, e.op, "field %q exists", n.Name)
	}
	if err := checkRect(n.Rect); err != nil {
		return pdf.Ref{}, refuse(ErrUsage, e.op, err)
	}
	d := pdf.MakeDict()
	flags := 0
	switch n.Type {
	case FieldSignature:
		d.Set("FT", pdf.Name("Sig"))
	case FieldText:
		d.Set("FT", pdf.Name("Tx"))
		if n.Multiline {
			flags |= flagMultiline
		}
		if err := e.textDefaults(d, n.Size); err != nil {
			return pdf.Ref{}, err
		}
	case FieldButton:
		d.Set("FT", pdf.Name("Btn"))
		flags |= flagPushbutton
	case FieldCheckbox:
		d.Set("FT", pdf.Name("Btn"))
	default:
		return pdf.Ref{}, refusef(ErrUsage, e.op, "cannot create a field of type %q", n.Type)
	}
	d.Set("T", pdf.Text(n.Name))
	if flags != 0 {
		d.Set("Ff", pdf.Int(flags))
	}
	if n.Type != FieldSignature && (n.Lock != nil || n.Seed != nil) {
		return pdf.Ref{}, refusef(ErrUsage, e.op, "field %q: locks and seeds are for signature fields", n.Name)
	}
	if n.Lock != nil {
		if err := n.Lock.check(); err != nil {
			return pdf.Ref{}, refuse(ErrUsage, e.op, err)
		}
		d.Set("Lock", e.u.Add(n.Lock.dict()))
	}
	if n.Seed != nil {
		d.Set("SV", e.u.Add(n.Seed.dict()))
	}
	page, err := e.page(max(n.Page, 1))
	if err != nil {
		return pdf.Ref{}, err
	}
	d.Set("Type", pdf.Name("Annot"))
	d.Set("Subtype", pdf.Name("Widget"))
	d.Set("F", pdf.Int(flagPrint|flagLocked))
	if n.Type != FieldSignature {
		d.Set("F", pdf.Int(flagPrint))
	}
	d.Set("P", page.Ref)
	d.Set("Rect", pdf.MakeNumbers(n.Rect[:]...))
	for k, v := range extra.All() {
		d.Set(k, v)
	}
	ref := e.u.Alloc()
	switch {
	case n.Type == FieldCheckbox:
		if err := e.checkboxLook(d, n.Rect); err != nil {
			return pdf.Ref{}, err
		}
	case n.Type == FieldText, n.Type == FieldButton:
		// A look of nothing, so that no viewer draws one of its own.
		if visible(n.Rect) {
			d.Set("AP", pdf.MakeDict(pdf.KV{Key: "N", Value: e.emptyLook(n.Rect)}))
		}
	}
	e.dicts[ref] = d
	e.order = append(e.order, ref)
	if err := e.annotate(page, ref); err != nil {
		return pdf.Ref{}, err
	}
	acro, err := e.acroForm()
	if err != nil {
		return pdf.Ref{}, err
	}
	if err := e.array(acro, "Fields", func(a *pdf.Array) { a.Append(ref) }); err != nil {
		return pdf.Ref{}, err
	}
	f := pdf.Field{Name: n.Name, Partial: n.Name, Ref: ref, Dict: d, Flags: int64(flags), Merged: true}
	f.Type, _ = d.Get("FT").(pdf.Name)
	f.Widgets = []pdf.Annot{{Ref: ref, Dict: d}}
	if f.DA == nil && n.Type == FieldText {
		s, _ := d.Get("DA").(pdf.String)
		f.DA = s.B
	}
	e.form.fields = append(e.form.fields, f)
	return ref, nil
}

// taken reports whether name is in use, as a field or as what fields are under.
func (f *form) taken(name string) bool {
	return slices.ContainsFunc(f.fields, func(x pdf.Field) bool {
		return x.Name == name || strings.HasPrefix(x.Name, name+".")
	})
}

func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("a field needs a name")
	case strings.Contains(s, "."):
		return fmt.Errorf("field name %q contains a full stop", s)
	case len(s) > 512:
		return errors.New("field name longer than 512 bytes")
	}
	return nil
}

func checkRect(r [4]float64) error {
	for _, v := range r {
		if math.IsNaN(v) || math.Abs(v) > 1e6 {
			return errors.New("rectangle is out of bounds")
		}
	}
	if r != ([4]float64{}) && !visible(r) {
		return errors.New("rectangle is not x1 < x2, y1 < y2")
	}
	return nil
}

// freeName returns the first "SignatureN" that is not in use.
func (f *form) freeName() string {
	for n := 1; ; n++ {
		if name := "Signature" + strconv.Itoa(n); !f.taken(name) {
			return name
		}
	}
}

// widgetPage returns the page, from 1, that shows a widget; 0 if none does.
func (e *editor) widgetPage(ref pdf.Ref) (int, error) {
	if e.byPage == nil {
		m, err := e.form.widgetPages()
		if err != nil {
			return 0, err
		}
		e.byPage = m
	}
	return e.byPage[ref], nil
}
