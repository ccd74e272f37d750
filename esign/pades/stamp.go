package pades

import (
	"fmt"

	"github.com/countersign/countersign/internal/pdf"
)

// stamp draws s on its page as an annotation or as content.
func (e *editor) stamp(s Stamp) error {
	if err := checkRect(s.Rect); err != nil {
		return refuse(ErrUsage, e.op, err)
	}
	if !visible(s.Rect) || s.Art == nil {
		return refusef(ErrUsage, e.op, "a stamp needs a rectangle and art")
	}
	page, err := e.page(max(s.Page, 1))
	if err != nil {
		return err
	}
	switch s.As {
	case "", AsAnnotation:
		look, err := e.artLook(s.Art, s.Rect, page.Rotate)
		if err != nil {
			return err
		}
		return e.annotate(page, e.u.Add(pdf.MakeDict(
			pdf.KV{Key: "Type", Value: pdf.Name("Annot")},
			pdf.KV{Key: "Subtype", Value: pdf.Name("Stamp")},
			pdf.KV{Key: "F", Value: pdf.Int(flagPrint | flagLocked)},
			pdf.KV{Key: "P", Value: page.Ref},
			pdf.KV{Key: "Rect", Value: pdf.MakeNumbers(s.Rect[:]...)},
			pdf.KV{Key: "AP", Value: pdf.MakeDict(pdf.KV{Key: "N", Value: look})},
		)))
	case AsContent:
		return e.paint(page, s)
	}
	return refusef(ErrUsage, e.op, "a stamp in an edit cannot be %q", s.As)
}

// paint draws s after the page's own content, which is wrapped so that
// whatever graphics state it leaves does not matter.
func (e *editor) paint(page pdf.Page, s Stamp) error {
	look := newLook(s.Rect, page.Rotate)
	a, err := e.importArt(s.Art)
	if err != nil {
		return err
	}
	look.draw(a)
	rotate := look.rotate
	look.rotate = 0
	form := e.u.Add(look.stream())

	d, err := e.dict(page.Ref)
	if err != nil {
		return err
	}
	name, err := e.addXObject(page, d, form)
	if err != nil {
		return err
	}
	var at string
	switch r := s.Rect; rotate {
	case 90:
		at = "0 1 -1 0 " + num(r[2]) + " " + num(r[1])
	case 180:
		at = "-1 0 0 -1 " + num(r[2]) + " " + num(r[3])
	case 270:
		at = "0 -1 1 0 " + num(r[0]) + " " + num(r[3])
	default:
		at = "1 0 0 1 " + num(r[0]) + " " + num(r[1])
	}
	before := e.u.Add(pdf.NewStream(pdf.MakeDict(), []byte("q\n")))
	after := e.u.Add(pdf.NewStream(pdf.MakeDict(), []byte(fmt.Sprintf("\nQ q %s cm /%s Do Q\n", at, name))))
	contents := pdf.MakeArray(before)
	old, err := e.u.Resolve(d.Get("Contents"))
	if err != nil {
		return err
	}
	switch old := old.(type) {
	case *pdf.Array:
		for _, o := range old.All() {
			contents.Append(o)
		}
	case *pdf.Stream:
		contents.Append(d.Get("Contents"))
	}
	contents.Append(after)
	d.Set("Contents", contents)
	return nil
}

// addXObject adds form to the page's resources, in a copy of the page's own:
// what it had may be shared with other pages.
func (e *editor) addXObject(page pdf.Page, d *pdf.Dict, form pdf.Ref) (pdf.Name, error) {
	res, _ := d.Get("Resources").(*pdf.Dict) // ours, if painted before
	if res == nil {
		var err error
		if res, err = e.doc.Resources(page); err != nil {
			return "", err
		}
	}
	res = res.Clone()
	old, err := e.u.Resolve(res.Get("XObject"))
	if err != nil {
		return "", err
	}
	list, _ := old.(*pdf.Dict)
	list = list.Clone()
	name := pdf.Name("CSign1")
	for n := 2; list.Has(name); n++ {
		name = pdf.Name(fmt.Sprintf("CSign%d", n))
	}
	list.Set(name, form)
	res.Set("XObject", list)
	d.Set("Resources", res)
	return name, nil
}
