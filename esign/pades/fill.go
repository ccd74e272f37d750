package pades

import (
	"fmt"
	"slices"

	"github.com/countersign/countersign/internal/pdf"
)

// fill gives a field its value and every widget its look (W11).
func (e *editor) fill(v Value) error {
	x := e.form.field(v.Field)
	if x == nil {
		return refusef(ErrFieldNotFound, e.op, "no field %q", v.Field)
	}
	if x.Ref == (pdf.Ref{}) {
		return refusef(ErrNotSupported, e.op, "field %q stands directly in the field tree", v.Field)
	}
	for _, w := range x.Widgets {
		if w.Ref == (pdf.Ref{}) {
			return refusef(ErrNotSupported, e.op, "field %q has a widget that stands directly in it", v.Field)
		}
	}
	switch fieldType(*x) {
	case FieldSignature:
		return refusef(ErrUsage, e.op, "field %q is a signature field: sign it", v.Field)
	case FieldText, FieldChoice:
		return e.fillText(x, v)
	case FieldButton:
		if v.Value != "" || v.Art == nil {
			return refusef(ErrUsage, e.op, "field %q is a button: it takes Art and no value", v.Field)
		}
		return e.eachWidget(x, func(w *pdf.Dict, rotate int) (pdf.Ref, error) {
			return e.artLook(v.Art, rectOf(e.doc, w), rotate)
		})
	case FieldCheckbox, FieldRadio:
		return e.choose(x, v)
	}
	return refusef(ErrNotSupported, e.op, "field %q is of no known type", v.Field)
}

func (e *editor) fillText(x *pdf.Field, v Value) error {
	most, err := e.doc.LookupInt(x.Dict, "MaxLen", 0)
	if err != nil {
		return err
	}
	if n := len([]rune(v.Value)); most > 0 && int64(n) > most {
		return refusef(ErrUsage, e.op, "field %q takes %d characters, not %d", v.Field, most, n)
	}
	d, err := e.dict(x.Ref)
	if err != nil {
		return err
	}
	d.Set("V", pdf.Text(v.Value))
	if fieldType(*x) == FieldChoice {
		d.Delete("I") // the selected index would contradict
	}
	return e.eachWidget(x, func(w *pdf.Dict, rotate int) (pdf.Ref, error) {
		if v.Art != nil {
			return e.artLook(v.Art, rectOf(e.doc, w), rotate)
		}
		return e.textLook(x, w, v.Value)
	})
}

// eachWidget sets the normal appearance of every visible widget.
func (e *editor) eachWidget(x *pdf.Field, make func(w *pdf.Dict, rotate int) (pdf.Ref, error)) error {
	for _, annot := range x.Widgets {
		w, err := e.dict(annot.Ref)
		if err != nil {
			return err
		}
		if !visible(rectOf(e.doc, w)) {
			continue
		}
		rotate, err := e.rotation(w, annot.Ref)
		if err != nil {
			return err
		}
		ref, err := make(w, rotate)
		if err != nil {
			return err
		}
		w.Set("AP", pdf.MakeDict(pdf.KV{Key: "N", Value: ref}))
		w.Delete("AS")
	}
	return nil
}

// rotation returns how far the page that shows a widget is turned.
func (e *editor) rotation(w *pdf.Dict, ref pdf.Ref) (int, error) {
	if p, ok := w.Ref("P"); ok {
		if known, ok, err := e.doc.PageOf(p); ok || err != nil {
			return known.Rotate, err
		}
	}
	n, err := e.widgetPage(ref)
	if err != nil || n == 0 {
		return 0, err
	}
	p, err := e.page(n)
	return p.Rotate, err
}

// choose sets the state of a check box or of a group of radio buttons.
func (e *editor) choose(x *pdf.Field, v Value) error {
	if v.Art != nil {
		return refusef(ErrUsage, e.op, "field %q takes no Art", v.Field)
	}
	state := pdf.Name(v.Value)
	if state == "" {
		state = "Off"
	}
	states := make([][]pdf.Name, len(x.Widgets))
	known := state == "Off"
	for i, annot := range x.Widgets {
		w, err := e.dict(annot.Ref)
		if err != nil {
			return err
		}
		if states[i], err = e.states(w); err != nil {
			return err
		}
		known = known || slices.Contains(states[i], state)
	}
	if !known {
		return refuse(ErrUsage, e.op, fmt.Errorf("field %q has no state %q", v.Field, v.Value))
	}
	d, err := e.dict(x.Ref)
	if err != nil {
		return err
	}
	d.Set("V", state)
	for i, annot := range x.Widgets {
		w, err := e.dict(annot.Ref)
		if err != nil {
			return err
		}
		if slices.Contains(states[i], state) {
			w.Set("AS", state)
		} else {
			w.Set("AS", pdf.Name("Off"))
		}
	}
	return nil
}

// states lists the names of a button widget's normal appearances.
func (e *editor) states(w *pdf.Dict) ([]pdf.Name, error) {
	ap, _, err := e.doc.LookupDict(w, "AP")
	if err != nil {
		return nil, err
	}
	o, err := e.u.Resolve(ap.Get("N"))
	if err != nil {
		return nil, err
	}
	n, ok := o.(*pdf.Dict)
	if !ok {
		return nil, nil
	}
	var list []pdf.Name
	for k := range n.All() {
		list = append(list, k)
	}
	return list, nil
}
