package pades

import (
	"slices"

	"github.com/countersign/countersign/internal/pdf"
)

// Keys of fields and widgets that viewers keep up without asking anybody.
var (
	valueKeys    = map[pdf.Name]bool{"V": true, "AS": true, "AP": true, "MK": true, "I": true, "RV": true, "DV": true}
	bookkeeping  = map[pdf.Name]bool{"M": true, "P": true, "StructParent": true, "NM": true, "Type": true}
	fillingKeys  = map[pdf.Name]bool{"V": true, "AS": true, "AP": true, "MK": true, "F": true, "BS": true, "Border": true, "DA": true}
	pageHarmless = map[pdf.Name]bool{"Tabs": true, "StructParents": true, "LastModified": true}
	treeHarmless = map[pdf.Name]bool{"ITXT": true} // the version of a writer, which it notes there
)

// judgeField compares two states of a field, a widget or a node above fields.
func (d *differ) judgeField(num uint32, a, b *pdf.Dict) error {
	if a == nil || b == nil {
		d.report(num, "", ChangesOther, "field is no dictionary")
		return nil
	}
	x := d.old.fields[num]
	name := ""
	if x != nil {
		name = x.Name
	}
	for _, k := range d.changedKeys(a, b) {
		class, note := d.judgeFieldKey(x, a, b, k)
		if k == "Kids" {
			if err := d.judgeKids(num, x, a, b); err != nil {
				return err
			}
			continue
		}
		if class != ChangesNone {
			c := d.report(num, string(k), class, note)
			c.field, c.risky = name, class == ChangesForm && d.redrawn(x, b, k)
		}
	}
	return nil
}

// redrawn reports whether a field that nobody filled looks otherwise, so that it
// shows another value than it has (a shadow attack by replacing), or a signature
// that is none. Push buttons have no value but their look.
func (d *differ) redrawn(x *pdf.Field, b *pdf.Dict, k pdf.Name) bool {
	switch {
	case x == nil || k != "AP" && k != "AS" && k != "RV" && (k != "MK" || x.Type != "Sig"):
		return false
	case x.Type == "Sig":
		return true
	case d.filled(x):
		return false
	case x.Type != "Btn":
		return k == "RV" || !pdf.IsNull(x.Value)
	case k == "AS":
		return b.Get(k) != d.state(x, b)
	}
	return x.Flags&flagPushbutton == 0
}

// state returns the state that the widget of a check box or radio button has by
// the value of the field.
func (d *differ) state(x *pdf.Field, widget *pdf.Dict) pdf.Object {
	const off = pdf.Name("Off")
	v, err1 := d.new.doc.Resolve(x.Value)
	look, _, err2 := d.new.doc.LookupDict(widget, "AP")
	states, _, err3 := d.new.doc.LookupDict(look, "N")
	if on, ok := v.(pdf.Name); ok && firstError(err1, err2, err3) == nil && states.Has(on) {
		return on
	}
	return off
}

func (d *differ) judgeFieldKey(x *pdf.Field, a, b *pdf.Dict, k pdf.Name) (Changes, string) {
	if bookkeeping[k] || k == "Subtype" && b.Get(k) == pdf.Name("Widget") {
		return ChangesNone, ""
	}
	if x == nil { // a node above fields, or a widget whose field is elsewhere
		return ChangesOther, "field changed"
	}
	if x.Type == "Sig" {
		if d.old.form.isSigned(x.Name) {
			if k == "V" {
				return ChangesOther, "signature replaced or removed"
			}
			return ChangesOther, "signed field changed"
		}
		now := d.new.form.field(x.Name)
		if now == nil || !d.new.form.isSigned(x.Name) {
			if k == "AP" || k == "AS" || k == "MK" {
				return ChangesForm, ""
			}
			return ChangesOther, "signature field changed"
		}
		if class := d.signedHere(now); class == ChangesOther {
			return ChangesOther, "field filled with no signature of this revision"
		}
		if fillingKeys[k] || d.madeReadOnly(a, b, k) || k == "Rect" && !visible(rectOf(d.new.doc, b)) {
			return ChangesSignature, "signature field filled"
		}
		return ChangesOther, "signature field changed"
	}
	if valueKeys[k] || k == "DA" && d.filled(x) {
		return ChangesForm, "value"
	}
	if d.madeReadOnly(a, b, k) {
		return ChangesForm, "made read-only"
	}
	return ChangesOther, "field changed"
}

// filled reports whether the value of a field is another one now, and no other
// spelling of the same text.
func (d *differ) filled(x *pdf.Field) bool {
	now := d.new.fields[x.Ref.Num] // names may be there twice
	if x.Ref.Num == 0 || now == nil {
		now = d.new.form.field(x.Name)
	}
	if now == nil || d.same(x.Value, now.Value) {
		return false
	}
	was, err1 := fieldValue(d.old.doc, *x)
	is, err2 := fieldValue(d.new.doc, *now)
	return err1 != nil || err2 != nil || was != is || was == ""
}

// madeReadOnly reports whether all that changed about /Ff is that the field
// may no longer be edited.
func (d *differ) madeReadOnly(a, b *pdf.Dict, k pdf.Name) bool {
	if k != "Ff" {
		return false
	}
	was, err1 := d.old.doc.LookupInt(a, "Ff", 0)
	is, err2 := d.new.doc.LookupInt(b, "Ff", 0)
	return err1 == nil && err2 == nil && is == was|1
}

// judgeKids compares the children of a field or of a node above fields.
func (d *differ) judgeKids(num uint32, x *pdf.Field, a, b *pdf.Dict) error {
	if x == nil {
		return d.judgeMembers(num, "Kids", a, b)
	}
	was, err := members(d.old, a, "Kids")
	if err != nil {
		return err
	}
	is, err := members(d.new, b, "Kids")
	if err != nil {
		return err
	}
	removed, added := d.delta(was, is)
	for _, o := range removed {
		if d.resolved(d.old, o).Has("V") {
			d.report(num, "Kids", ChangesOther, "field removed").field = x.Name // one without a name
		} else {
			d.widgetRemoved(num, "Kids", x)
		}
	}
	if len(added) > 0 {
		d.report(num, "Kids", ChangesOther, "widget added").field = x.Name
	}
	return nil
}

// widgetRemoved reports that a field is shown no more: as an annotation
// removed, unless it is a signature field.
func (d *differ) widgetRemoved(num uint32, key string, x *pdf.Field) {
	if x == nil || x.Type == "Sig" {
		d.report(num, key, ChangesOther, "widget removed")
		return
	}
	d.report(num, key, ChangesAnnotation, "widget removed").field = x.Name
}

// judgePage compares two states of a page.
func (d *differ) judgePage(num uint32, a, b *pdf.Dict) error {
	if a == nil || b == nil {
		d.report(num, "", ChangesOther, "page is no dictionary")
		return nil
	}
	for _, k := range d.changedKeys(a, b) {
		switch {
		case k == "Annots":
			if err := d.judgeAnnots(num, a, b); err != nil {
				return err
			}
		case pageHarmless[k]:
		default:
			d.report(num, string(k), ChangesOther, "page changed")
		}
	}
	return nil
}

// judgeAnnots compares what a page shows above its content.
func (d *differ) judgeAnnots(num uint32, a, b *pdf.Dict) error {
	was, err := members(d.old, a, "Annots")
	if err != nil {
		return err
	}
	is, err := members(d.new, b, "Annots")
	if err != nil {
		return err
	}
	removed, added := d.delta(was, is)
	for _, o := range removed {
		ref, _ := o.(pdf.Ref)
		annot := d.resolved(d.old, o)
		switch {
		case annot == nil: // led nowhere
		case d.old.roles[ref.Num] == roleField || annot.Get("Subtype") == pdf.Name("Widget"):
			d.widgetRemoved(num, "Annots", d.old.fields[ref.Num])
		default:
			d.report(num, "Annots", ChangesAnnotation, "annotation removed")
		}
	}
	for _, o := range added {
		ref, _ := o.(pdf.Ref)
		annot := d.resolved(d.new, o)
		switch {
		case annot == nil:
		case d.new.roles[ref.Num] == roleField:
			if !d.broughtBySignature(ref) {
				d.report(num, "Annots", ChangesOther, "widget of an older field added")
			}
		case annot.Get("Subtype") == pdf.Name("Widget"):
			d.report(num, "Annots", ChangesOther, "widget of no field added")
		case d.old.roles[ref.Num] != "" && d.old.roles[ref.Num] != roleAnnot:
			d.report(num, "Annots", ChangesOther, "object used as annotation")
		default:
			c := d.report(num, "Annots", ChangesAnnotation, "annotation added")
			c.risky = riskyAnnot(d.new.doc, annot)
		}
	}
	if d.reordered(was, is) {
		d.report(num, "Annots", ChangesAnnotation, "annotations in another order").risky = true
	}
	return nil
}

// reordered reports whether two of the annotations that stayed changed places:
// later ones are drawn over earlier ones, so that the order hides and shows.
func (d *differ) reordered(was, is []pdf.Object) bool {
	at := make(map[pdf.Ref]int, len(is))
	var direct []int // where the others are
	for i, o := range is {
		if ref, ok := o.(pdf.Ref); ok {
			at[ref] = i
		} else {
			direct = append(direct, i)
		}
	}
	last, compared := -1, 0
	for _, o := range was {
		ref, isRef := o.(pdf.Ref)
		i, stayed := at[ref]
		if !isRef {
			for k, j := range direct {
				if compared++; compared > maxDelta {
					return true
				}
				if stayed = d.same(o, is[j]); stayed {
					i, direct = j, slices.Delete(direct, k, k+1)
					break
				}
			}
		}
		if stayed && i < last {
			return true
		} else if stayed {
			last = i
		}
	}
	return false
}

func (d *differ) resolved(v *view, o pdf.Object) *pdf.Dict {
	r, err := v.doc.Resolve(o)
	if err != nil {
		return nil
	}
	dict, _ := r.(*pdf.Dict)
	return dict
}

// broughtBySignature reports whether a widget belongs to a field that this
// revision added; such a field was judged where it was added. A signature field
// that was there may get its widget's place when it is signed.
func (d *differ) broughtBySignature(ref pdf.Ref) bool {
	x := d.new.fields[ref.Num]
	if x == nil {
		return false
	}
	if x.Ref.Num != 0 && d.absent[x.Ref.Num] {
		return true
	}
	was := d.old.form.field(x.Name)
	return was != nil && was.Type == "Sig" && !d.old.form.isSigned(x.Name) && d.signedHere(x) != ChangesOther
}

// judgeAnnot compares two states of an annotation that is no widget.
func (d *differ) judgeAnnot(num uint32, a, b *pdf.Dict) {
	if a == nil || b == nil {
		d.report(num, "", ChangesOther, "annotation is no dictionary")
		return
	}
	if a.Get("Subtype") == pdf.Name("Widget") {
		d.report(num, "", ChangesOther, "widget of no field changed")
		return
	}
	for _, k := range d.changedKeys(a, b) {
		switch {
		case k == "P" || k == "StructParent":
		case k == "Subtype":
			d.report(num, string(k), ChangesOther, "annotation of another kind")
		default:
			c := d.report(num, string(k), ChangesAnnotation, "annotation changed")
			c.risky = riskyAnnot(d.new.doc, b)
		}
	}
}

// riskyAnnot reports whether an annotation can pass for the page's own content,
// or acts by itself.
func riskyAnnot(d *pdf.Doc, annot *pdf.Dict) bool {
	if annot.Has("AA") {
		return true
	}
	sub, _ := d.LookupName(annot, "Subtype")
	switch sub {
	case "Text", "Popup", "Link", "FileAttachment", "Sound":
		// They show an icon or nothing; a look of their own can show anything
		// that fits.
		r := rectOf(d, annot)
		return annot.Has("AP") && (r[2]-r[0] > maxIcon || r[3]-r[1] > maxIcon)
	case "Highlight", "Underline", "StrikeOut", "Squiggly", "Ink", "Line", "Square", "Circle", "Polygon", "PolyLine", "Caret":
		return annot.Has("AP") || annot.Has("IC") || thick(d, annot) // interior colour covers
	}
	return true
}

// maxLine is the width, in points, of the thickest line that is no surface.
const maxLine = 12

// thick reports whether the lines of an annotation are wide enough to cover
// what is below, or nobody can say.
func thick(d *pdf.Doc, annot *pdf.Dict) bool {
	style, _, err := d.LookupDict(annot, "BS")
	if err != nil {
		return true
	}
	if style.Has("W") {
		o, err := d.Lookup(style, "W")
		w, ok := pdf.Number(o)
		return err != nil || !ok || w > maxLine
	}
	border, err := d.LookupNumbers(annot, "Border")
	return err != nil || len(border) > 2 && border[2] > maxLine
}

// maxIcon is the side, in points, of the largest icon of a note.
const maxIcon = 72
