package pades

import (
	"cmp"
	"maps"
	"slices"

	"github.com/countersign/countersign/internal/pdf"
)

// judge classifies every change by the object that shows it (V8).
func (d *differ) judge(reached map[uint32]map[pdf.Name]bool) error {
	for _, num := range slices.Sorted(maps.Keys(reached)) {
		a, okA, err := d.dictIn(d.old, num)
		if err != nil {
			return err
		}
		b, okB, err := d.dictIn(d.new, num)
		if err != nil {
			return err
		}
		r, rNew := d.old.roles[num], d.new.roles[num]
		switch {
		case r == "" && !okA:
			// New, with a role now: whoever takes it in is judged for that, unless
			// that was done before and the object left out.
			if d.listed[num] {
				d.report(num, "", ChangesOther, "an object that was referred to and missing is there now")
			}
			continue
		case r == "":
			// There before, but in no role: an object pressed into service. What
			// refers to it was judged as for any other.
			continue
		case r != rolePage && r != rolePages && r != roleCatalog && d.inPage(num):
			d.report(num, "", ChangesOther, string(r)+" that a page shows changed")
			continue
		case !okB:
			d.gone(num, r, a)
			continue
		case rNew != "" && rNew != r:
			d.report(num, "", ChangesOther, string(r)+" turned "+string(rNew))
			continue
		}
		if err := d.judgeObject(num, r, a, b); err != nil {
			return err
		}
	}
	return nil
}

// gone reports an object with a role that is nothing now, listed or not.
func (d *differ) gone(num uint32, r role, was *pdf.Dict) {
	switch r {
	case roleStruct:
	case roleAnnot:
		if was != nil && was.Get("Subtype") == pdf.Name("Widget") {
			d.report(num, "", ChangesOther, "widget removed")
			return
		}
		d.report(num, "", ChangesAnnotation, "annotation removed")
	case roleField:
		if x := d.old.fields[num]; x != nil && x.Ref.Num != num {
			d.widgetRemoved(num, "", x)
			return
		}
		d.report(num, "", ChangesOther, "field removed")
	default:
		d.report(num, "", ChangesOther, string(r)+" removed")
	}
}

// dictIn returns the dictionary num is in a state; ok is false if it is nothing.
func (d *differ) dictIn(v *view, num uint32) (*pdf.Dict, bool, error) {
	ref, ok := entryRef(v.doc, num)
	if !ok {
		return nil, false, nil
	}
	o, err := v.doc.Object(ref)
	if err != nil {
		if CodeOf(wrap("verify", err)) == ErrIO {
			return nil, false, err
		}
		return nil, true, nil
	}
	switch o := o.(type) {
	case *pdf.Dict:
		return o, true, nil
	case *pdf.Stream:
		return o.Dict, true, nil
	}
	return nil, !pdf.IsNull(o), nil
}

func (d *differ) judgeObject(num uint32, r role, a, b *pdf.Dict) error {
	switch r {
	case roleStruct:
		return nil
	case roleSig:
		d.report(num, "", ChangesOther, "signature dictionary changed")
		return nil
	case rolePages:
		d.judgeKeys(num, a, b, treeHarmless, "page tree changed")
		return nil
	case roleAnnot:
		d.judgeAnnot(num, a, b)
		return nil
	case roleField:
		return d.judgeField(num, a, b)
	case roleForm:
		return d.judgeForm(num, a, b)
	case rolePage:
		return d.judgePage(num, a, b)
	case roleCatalog:
		return d.judgeCatalog(num, a, b)
	}
	return nil
}

// judgeKeys reports every changed key that is not harmless.
func (d *differ) judgeKeys(num uint32, a, b *pdf.Dict, harmless map[pdf.Name]bool, note string) {
	if a == nil || b == nil {
		d.report(num, "", ChangesOther, note)
		return
	}
	for _, k := range d.changedKeys(a, b) {
		if !harmless[k] {
			d.report(num, string(k), ChangesOther, note)
		}
	}
}

func (d *differ) judgeCatalog(num uint32, a, b *pdf.Dict) error {
	if a == nil || b == nil {
		d.report(num, "", ChangesOther, "catalog is no dictionary")
		return nil
	}
	for _, k := range d.changedKeys(a, b) {
		switch k {
		case "AcroForm":
			x, refA, err := d.old.doc.LookupDict(a, k)
			if err != nil {
				return err
			}
			y, refB, err := d.new.doc.LookupDict(b, k)
			if err != nil {
				return err
			}
			if refA == refB && refA.Num != 0 {
				continue // judged as an object of its own
			}
			if y == nil {
				d.report(num, "AcroForm", ChangesOther, "form removed")
				continue
			}
			if err := d.judgeForm(num, x, y); err != nil {
				return err
			}
		case "DSS":
			if err := d.judgeDSS(num, a, b); err != nil {
				return err
			}
		case "Extensions":
			if err := d.judgeExtensions(num, a, b); err != nil {
				return err
			}
		case "Version":
			x, _ := a.Get(k).(pdf.Name)
			y, _ := b.Get(k).(pdf.Name)
			if y < x || !pdfVersion(string(y)) {
				d.report(num, "Version", ChangesOther, "version lowered")
			}
		case "Metadata":
			if !d.wellFormedXMP(b.Get(k)) {
				d.report(num, "Metadata", ChangesOther, "metadata is not plain XMP")
			}
		case "StructTreeRoot":
		case "Perms":
			if err := d.judgePerms(num, a, b); err != nil {
				return err
			}
		default:
			d.report(num, string(k), ChangesOther, "")
		}
	}
	return nil
}

func pdfVersion(s string) bool {
	return len(s) == 3 && s[1] == '.' && (s[0] == '1' && s[2] >= '0' && s[2] <= '7' || s == "2.0")
}

// judgePerms allows usage rights to go, and nothing else: a certification is
// the first signature or none.
func (d *differ) judgePerms(num uint32, a, b *pdf.Dict) error {
	x, _, err := d.old.doc.LookupDict(a, "Perms")
	if err != nil {
		return err
	}
	y, _, err := d.new.doc.LookupDict(b, "Perms")
	if err != nil {
		return err
	}
	for _, k := range d.changedKeys(x, y) {
		if (k == "UR3" || k == "UR") && !y.Has(k) {
			continue
		}
		d.report(num, "Perms/"+string(k), ChangesOther, "permissions changed")
	}
	return nil
}

// judgeForm compares two states of the AcroForm dictionary; a nil first one
// was not there.
func (d *differ) judgeForm(num uint32, a, b *pdf.Dict) error {
	if b == nil {
		d.report(num, "AcroForm", ChangesOther, "form removed")
		return nil
	}
	for _, k := range d.changedKeys(a, b) {
		switch k {
		case "Fields":
			if err := d.judgeMembers(num, "Fields", a, b); err != nil {
				return err
			}
		case "SigFlags":
		case "NeedAppearances":
			if err := d.judgeAppearances(num, b); err != nil {
				return err
			}
		case "DR":
			if err := d.judgeDR(num, a, b); err != nil {
				return err
			}
		case "DA":
			if a.Has(k) {
				d.report(num, "AcroForm/DA", ChangesOther, "default appearance changed")
			}
		case "XFA":
			class, err := d.judgeXFA(a, b)
			if err != nil {
				return err
			}
			d.report(num, "AcroForm/XFA", class, "XFA changed")
		default:
			d.report(num, "AcroForm/"+string(k), ChangesOther, "")
		}
	}
	return nil
}

// judgeAppearances reports that viewers are asked to draw every value anew:
// what they show then need not be what was signed.
func (d *differ) judgeAppearances(num uint32, form *pdf.Dict) error {
	o, err := d.new.doc.Lookup(form, "NeedAppearances")
	if on, _ := o.(pdf.Bool); err != nil || !bool(on) {
		return err
	}
	for _, x := range d.old.form.fields {
		if (x.Type == "Tx" || x.Type == "Ch") && !pdf.IsNull(x.Value) {
			d.report(num, "AcroForm/NeedAppearances", ChangesForm, "appearances are to be drawn anew").field = x.Name
		}
	}
	return nil
}

// judgeXFA classes a change of the XFA parts: form if only what was filled in
// changed, other if the layout or what stands in it may have.
func (d *differ) judgeXFA(a, b *pdf.Dict) (Changes, error) {
	was, err := members(d.old, a, "XFA")
	if err != nil {
		return "", err
	}
	is, err := members(d.new, b, "XFA")
	if err != nil {
		return "", err
	}
	if len(was) == 0 || len(was) != len(is) || len(was)%2 != 0 {
		return ChangesOther, nil
	}
	for i := 0; i < len(was); i += 2 {
		name, _ := was[i].(pdf.String)
		if !d.same(was[i], is[i]) || !d.same(was[i+1], is[i+1]) && string(name.B) != "datasets" && string(name.B) != "form" {
			return ChangesOther, nil
		}
	}
	return ChangesForm, nil
}

// judgeDR allows resources to be added.
func (d *differ) judgeDR(num uint32, a, b *pdf.Dict) error {
	x, _, err := d.old.doc.LookupDict(a, "DR")
	if err != nil {
		return err
	}
	y, _, err := d.new.doc.LookupDict(b, "DR")
	if err != nil {
		return err
	}
	for _, k := range d.changedKeys(x, y) {
		if !x.Has(k) || k == "XObject" || k == "ProcSet" {
			continue // no default appearance can name those
		}
		in, _, err := d.old.doc.LookupDict(x, k)
		if err != nil {
			return err
		}
		out, _, err := d.new.doc.LookupDict(y, k)
		if err != nil {
			return err
		}
		if in == nil || out == nil {
			d.report(num, "AcroForm/DR/"+string(k), ChangesOther, "default resources changed")
			continue
		}
		for _, name := range d.changedKeys(in, out) {
			if in.Has(name) {
				d.report(num, "AcroForm/DR/"+string(k)+"/"+string(name), ChangesOther, "default resource changed")
			}
		}
	}
	return nil
}

// members returns the elements of an array in a state.
func members(v *view, d *pdf.Dict, key pdf.Name) ([]pdf.Object, error) {
	a, _, err := v.doc.LookupArray(d, key)
	if err != nil {
		return nil, err
	}
	var list []pdf.Object
	for _, o := range a.All() {
		list = append(list, o)
	}
	return list, nil
}

// maxDelta bounds how many pairs of direct values are compared to find out which
// of two lists holds what the other does not.
const maxDelta = 1 << 14

// delta compares two lists whose order means nothing.
func (d *differ) delta(a, b []pdf.Object) (removed, added []pdf.Object) {
	was, is := map[pdf.Ref]bool{}, map[pdf.Ref]bool{}
	a, b = direct(a, was), direct(b, is)
	for len(a) > 0 && len(b) > 0 && d.same(a[0], b[0]) {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && d.same(a[len(a)-1], b[len(b)-1]) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	few := len(a)*len(b) <= maxDelta // else all of them count as others
	for _, o := range a {
		if !few || !slices.ContainsFunc(b, func(e pdf.Object) bool { return d.same(o, e) }) {
			removed = append(removed, o)
		}
	}
	for _, o := range b {
		if !few || !slices.ContainsFunc(a, func(e pdf.Object) bool { return d.same(e, o) }) {
			added = append(added, o)
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(was), byNumber) {
		if !is[ref] {
			removed = append(removed, ref)
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(is), byNumber) {
		if !was[ref] {
			added = append(added, ref)
		}
	}
	return removed, added
}

// direct puts the references of a list into refs and returns the rest.
func direct(list []pdf.Object, refs map[pdf.Ref]bool) (rest []pdf.Object) {
	for _, o := range list {
		if ref, ok := o.(pdf.Ref); ok {
			refs[ref] = true
		} else {
			rest = append(rest, o)
		}
	}
	return rest
}

func byNumber(a, b pdf.Ref) int {
	return cmp.Or(cmp.Compare(a.Num, b.Num), cmp.Compare(a.Gen, b.Gen))
}

// judgeMembers compares /Fields, or /Kids of a node of the field tree.
func (d *differ) judgeMembers(num uint32, key pdf.Name, a, b *pdf.Dict) error {
	x, err := members(d.old, a, key)
	if err != nil {
		return err
	}
	y, err := members(d.new, b, key)
	if err != nil {
		return err
	}
	removed, added := d.delta(x, y)
	for _, o := range removed {
		if r, err := d.old.doc.Resolve(o); err == nil && pdf.IsNull(r) {
			continue // led nowhere
		}
		d.report(num, string(key), ChangesOther, "field removed")
	}
	for _, o := range added {
		ref, _ := o.(pdf.Ref)
		class, name := d.newField(ref)
		note := "signature field added"
		if key == "Kids" {
			class = ChangesOther // the node above belongs to what was signed
		}
		switch class {
		case ChangesOther:
			note = "field added"
		case ChangesLTV:
			note = "document timestamp added"
		}
		c := d.report(ref.Num, string(key), class, note)
		c.field, c.shown = name, d.shown(ref)
		if ref.Num == 0 {
			c.Object = int(num)
		}
	}
	return nil
}

// newField classes a node added to the field tree: every field under it must
// be a signature field signed in this revision.
func (d *differ) newField(ref pdf.Ref) (Changes, string) {
	class, name := ChangesNone, ""
	for _, x := range d.new.under(ref) {
		name = x.Name
		class = worse(class, d.signedHere(x))
		if acts(x) {
			class = ChangesOther
		}
	}
	if class == ChangesNone {
		return ChangesOther, name
	}
	return class, name
}

// acts reports whether a field or a widget of it brings an action: no part of
// signing, and it may run by itself.
func acts(x *pdf.Field) bool {
	return x.Dict.Has("A") || x.Dict.Has("AA") || slices.ContainsFunc(x.Widgets, func(w pdf.Annot) bool {
		return w.Dict.Has("A") || w.Dict.Has("AA")
	})
}

// shown reports whether a new field, or one below a new node, has a place.
func (d *differ) shown(ref pdf.Ref) bool {
	for _, x := range d.new.under(ref) {
		for _, w := range x.Widgets {
			if visible(rectOf(d.new.doc, w.Dict)) {
				return true
			}
		}
	}
	return false
}

// hiddenEmpty reports whether x is an empty signature field that shows nothing:
// without a place, or off its page.
func (d *differ) hiddenEmpty(x *pdf.Field) bool {
	if d.new.form.isSigned(x.Name) {
		return false
	}
	for _, w := range x.Widgets {
		r := rectOf(d.new.doc, w.Dict)
		if !visible(r) {
			continue
		}
		on, ok := w.Dict.Ref("P")
		if !ok {
			return false
		}
		// The page that lists it shows it, whatever /P says.
		boxes := slices.Concat(d.new.pageBoxes(on), d.new.pageBoxes(w.Ref))
		if len(boxes) == 0 || slices.ContainsFunc(boxes, func(m [4]float64) bool {
			return r[2] > m[0] && r[0] < m[2] && r[3] > m[1] && r[1] < m[3]
		}) {
			return false
		}
	}
	return true
}

// signedHere classes a signature field that this revision filled: signature,
// ltv for an invisible document timestamp, other if it did not really.
func (d *differ) signedHere(x *pdf.Field) Changes {
	if x.Type != "Sig" {
		return ChangesOther
	}
	for _, i := range d.new.form.signedAs(x.Name) {
		s := d.new.form.signed[i]
		if s.Ref != x.Ref || s.sig == nil {
			continue
		}
		if s.sigRef.Num != 0 && !d.absent[s.sigRef.Num] {
			return ChangesOther // a dictionary that was there before
		}
		br, err := d.new.doc.LookupNumbers(s.sig, "ByteRange")
		if err != nil || len(br) != 4 {
			return ChangesOther
		}
		// It must cover the revision that brings it: up to its %%EOF, with or
		// without the end of line.
		if end := int64(br[2]) + int64(br[3]); end > d.revEnd || end < d.revEnd-2 {
			return ChangesOther
		}
		if sub, _ := d.new.doc.LookupName(s.sig, "SubFilter"); sub == subFilterStamp {
			for _, w := range x.Widgets {
				if visible(rectOf(d.new.doc, w.Dict)) {
					return ChangesSignature
				}
			}
			return ChangesLTV
		}
		return ChangesSignature
	}
	if d.hiddenEmpty(x) {
		return ChangesSignature // a place to sign, made ready
	}
	return ChangesOther
}

// order of classes, from none to the gravest.
var gravity = map[Changes]int{
	ChangesNone: 0, ChangesLTV: 1, ChangesSignature: 2, ChangesForm: 3, ChangesAnnotation: 4, ChangesOther: 5,
}

func worse(a, b Changes) Changes {
	if gravity[b] > gravity[a] {
		return b
	}
	return a
}
