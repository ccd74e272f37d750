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

// editor changes objects in a new revision.
type editor struct {
	op   string
	doc  *pdf.Doc
	form *form
	u    *pdf.Update

	acro   *pdf.Dict
	fonts  *pdf.Dict // of text appearances
	arts   map[[32]byte]art
	byPage map[pdf.Ref]int
	warn   []*Error
}

// begin prepares e, which is zero, for a new revision of d.
func (e *editor) begin(op string, d *pdf.Doc, repaired bool) (err error) {
	e.op, e.doc = op, d
	if e.form, err = readForm(d); err != nil {
		return err
	}
	if !d.Repaired() {
		e.u, err = pdf.NewUpdate(d)
		return err
	}
	return e.rewrite(repaired)
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
	o, err := e.u.Edit(ref)
	if err != nil {
		return nil, err
	}
	d, ok := o.(*pdf.Dict)
	if !ok {
		return nil, refusef(ErrMalformed, e.op, "object %d is no dictionary", ref.Num)
	}
	return d, nil
}

// array returns the array that is the value of key in d, to be changed where it
// lives: as an object of its own or in d, which gets one if there is none.
func (e *editor) array(d *pdf.Dict, key pdf.Name) (*pdf.Array, error) {
	value := d.Get(key)
	ref, indirect := value.(pdf.Ref)
	for i := 0; i < 32 && ref != (pdf.Ref{}); i++ {
		var err error
		if value, err = e.u.Edit(ref); err != nil {
			return nil, err
		}
		ref, _ = value.(pdf.Ref)
	}
	a, ok := value.(*pdf.Array)
	if ok && indirect {
		return a, nil
	}
	if !ok {
		a = pdf.MakeArray()
	}
	d.Set(key, a)
	return a, nil
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
	if d != nil && ref != (pdf.Ref{}) {
		e.acro, err = e.dict(ref)
		return e.acro, err
	}
	if d == nil {
		d = pdf.MakeDict(pdf.KV{Key: "Fields", Value: pdf.MakeArray()})
	}
	catalog, err := e.dict(e.doc.Root())
	if err != nil {
		return nil, err
	}
	catalog.Set("AcroForm", d)
	e.acro = d
	return d, nil
}

// flagSigned notes in the form that there are signatures.
func (e *editor) flagSigned() error {
	acro, err := e.acroForm()
	if err != nil {
		return err
	}
	flags, err := e.doc.LookupInt(acro, "SigFlags", 0)
	if err != nil {
		return err
	}
	if set := flags | signaturesExist | appendOnly; set != flags {
		acro.Set("SigFlags", pdf.Int(set))
	}
	return nil
}

// page returns page n, counted from 1.
func (e *editor) page(n int) (pdf.Page, error) {
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
	return p, nil
}

// annotate appends annotations to a page.
func (e *editor) annotate(p pdf.Page, annots ...pdf.Object) error {
	d, err := e.dict(p.Ref)
	if err != nil {
		return err
	}
	a, err := e.array(d, "Annots")
	if err != nil {
		return err
	}
	a.Append(annots...)
	return nil
}

// edit applies ed. What it may do beside earlier signatures was checked before.
func (e *editor) edit(ed Edit) error {
	for i := range ed.Fields {
		f, err := e.newField(ed.Fields[i])
		if err != nil {
			return err
		}
		f.Widgets = []pdf.Annot{{Ref: f.Ref, Dict: f.Dict}}
		e.form.fields = append(e.form.fields, f)
		e.form.byName = nil
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

// newField creates a field whose widget is its own dictionary, with extra in it.
func (e *editor) newField(n NewField, extra ...pdf.KV) (f pdf.Field, err error) {
	if err := checkName(n.Name); err != nil {
		return f, refuse(ErrUsage, e.op, err)
	}
	if e.form.taken(n.Name) {
		return f, refusef(ErrUsage, e.op, "field %q exists", n.Name)
	}
	if err := checkRect(n.Rect); err != nil {
		return f, refuse(ErrUsage, e.op, err)
	}
	kind, flags, widget := pdf.Object(pdf.Name("Btn")), 0, flagPrint
	switch n.Type {
	case FieldSignature:
		kind, widget = pdf.Name("Sig"), flagPrint|flagLocked
	case FieldText:
		kind = pdf.Name("Tx")
		if n.Multiline {
			flags = flagMultiline
		}
	case FieldButton:
		flags = flagPushbutton
	case FieldCheckbox:
	default:
		return f, refusef(ErrUsage, e.op, "cannot create a field of type %q", n.Type)
	}
	if n.Type != FieldSignature && (n.Lock != nil || n.Seed != nil) {
		return f, refusef(ErrUsage, e.op, "field %q: locks and seeds are for signature fields", n.Name)
	}
	if n.Lock != nil {
		if err := n.Lock.check(); err != nil {
			return f, refuse(ErrUsage, e.op, err)
		}
	}
	page, err := e.page(max(n.Page, 1))
	if err != nil {
		return f, err
	}
	d := pdf.MakeDict(append([]pdf.KV{
		{Key: "Type", Value: pdf.Name("Annot")},
		{Key: "Subtype", Value: pdf.Name("Widget")},
		{Key: "FT", Value: kind},
		{Key: "T", Value: pdf.Text(n.Name)},
		{Key: "F", Value: pdf.Int(widget)},
		{Key: "P", Value: page.Ref},
		{Key: "Rect", Value: pdf.MakeNumbers(n.Rect[:]...)},
	}, extra...)...)
	if flags != 0 {
		d.Set("Ff", pdf.Int(flags))
	}
	if n.Lock != nil {
		d.Set("Lock", e.u.Add(n.Lock.dict()))
	}
	if n.Seed != nil {
		d.Set("SV", e.u.Add(n.Seed.dict()))
	}
	if n.Type == FieldText {
		if err := e.textDefaults(d, n.Size); err != nil {
			return f, err
		}
	}
	ref := e.u.Alloc()
	switch {
	case n.Type == FieldCheckbox:
		if err := e.checkboxLook(d, n.Rect); err != nil {
			return f, err
		}
	case n.Type != FieldSignature && visible(n.Rect):
		// A look of nothing, so that no viewer draws one of its own.
		d.Set("AP", pdf.MakeDict(pdf.KV{Key: "N", Value: e.emptyLook(n.Rect)}))
	}
	e.u.Set(ref, d)
	self := pdf.Object(ref)
	if err := e.annotate(page, self); err != nil {
		return f, err
	}
	acro, err := e.acroForm()
	if err != nil {
		return f, err
	}
	list, err := e.array(acro, "Fields")
	if err != nil {
		return f, err
	}
	list.Append(self)
	f = pdf.Field{Name: n.Name, Partial: n.Name, Ref: ref, Dict: d, Type: kind.(pdf.Name), Flags: int64(flags), Merged: true}
	if s, ok := d.Get("DA").(pdf.String); ok {
		f.DA = s.B
	}
	return f, nil
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
