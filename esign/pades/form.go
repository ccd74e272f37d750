package pades

import (
	"context"
	"io"
	"math"
	"slices"

	"github.com/countersign/countersign/internal/pdf"
)

// Flags of /Ff (ISO 32000-2 tables 227 to 233).
const (
	flagMultiline  = 1 << 12
	flagRadio      = 1 << 15
	flagPushbutton = 1 << 16
)

// Flags of an annotation's /F.
const (
	flagPrint  = 1 << 2
	flagLocked = 1 << 7
)

// Pages lists the pages of a document.
func Pages(ctx context.Context, r io.ReaderAt, size int64, o *OpenOptions) ([]Page, error) {
	const op = "pages"
	d, err := open(ctx, op, r, size, o)
	if err != nil {
		return nil, err
	}
	var list []Page
	err = mended(d, func() error {
		list = nil
		for p, err := range d.Pages() {
			if err != nil {
				return err
			}
			list = append(list, Page{Media: p.MediaBox, Crop: p.CropBox, Rotate: p.Rotate})
		}
		return nil
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	return list, nil
}

// Fields lists the form fields of a document in the order of its field tree.
func Fields(ctx context.Context, r io.ReaderAt, size int64, o *OpenOptions) ([]Field, error) {
	const op = "fields"
	d, err := open(ctx, op, r, size, o)
	if err != nil {
		return nil, err
	}
	f, err := readForm(d)
	if err != nil {
		return nil, wrap(op, err)
	}
	locks := f.locks()
	var pages map[pdf.Ref]int
	list := make([]Field, 0, len(f.fields))
	for _, x := range f.fields {
		out := Field{Name: x.Name, Type: fieldType(x), Signed: x.Type == "Sig" && !pdf.IsNull(x.Value)}
		if len(x.Widgets) > 0 {
			if pages == nil {
				if pages, err = f.widgetPages(); err != nil {
					return nil, wrap(op, err)
				}
			}
			w := x.Widgets[0]
			out.Rect = rectOf(d, w.Dict)
			out.Page = pages[w.Ref]
		}
		if out.Value, err = fieldValue(d, x); err != nil {
			return nil, wrap(op, err)
		}
		if x.Type == "Sig" {
			if out.Lock, err = readLock(d, x.Dict); err != nil {
				return nil, wrap(op, err)
			}
			s, err := readSeed(d, x.Dict)
			if err != nil {
				return nil, wrap(op, err)
			}
			out.Seed = s.public()
		}
		out.Locked = locks.covers(x.Name)
		list = append(list, out)
	}
	return list, nil
}

// form is the interactive form of a document and the signatures in it.
type form struct {
	doc    *pdf.Doc
	fields []pdf.Field
	signed []signedField

	byName map[string]int   // the first field of a name; nil until asked for
	values map[string][]int // the signed fields of a name; nil until asked for
}

// signedField is a signature field with a value.
type signedField struct {
	pdf.Field
	sig    *pdf.Dict
	sigRef pdf.Ref // zero if the dictionary stands directly in the field
	mdp    int     // DocMDP P, 0 if none
	locks  lockSet // FieldMDP and the field's own /Lock
	fault  error   // why sig cannot be read, not even by repair
}

// sigCache keeps signature dictionaries read in one revision for the others:
// at the same place stands the same text.
type sigCache map[sigPlace]signedField

type sigPlace struct {
	num uint32
	off int64
}

func readForm(d *pdf.Doc) (*form, error) { return readFormWith(d, nil) }

func readFormWith(d *pdf.Doc, cache sigCache) (*form, error) {
	fields, err := d.Fields()
	if err != nil {
		return nil, err
	}
	f := &form{doc: d, fields: fields}
	for _, x := range fields {
		if x.Type != "Sig" || pdf.IsNull(x.Value) {
			continue
		}
		s, ok, err := readSigned(d, x, cache)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue // a reference to nothing is an empty field
		}
		own, err := readLock(d, x.Dict)
		if err != nil {
			return nil, err
		}
		if own != nil {
			s.locks = append(slices.Clip(s.locks), *own)
		}
		f.signed = append(f.signed, s)
	}
	return f, nil
}

// readSigned reads the value of a signature field; ok is false if there is none.
func readSigned(d *pdf.Doc, x pdf.Field, cache sigCache) (s signedField, ok bool, err error) {
	s.Field = x
	s.sigRef, _ = x.Value.(pdf.Ref)
	var place sigPlace
	if cache != nil && s.sigRef.Num != 0 {
		if e, ok, err := d.Entry(s.sigRef.Num); err == nil && ok && e.Kind == pdf.InUse && e.Ref == s.sigRef {
			place = sigPlace{e.Ref.Num, e.Offset}
			if known, ok := cache[place]; ok {
				known.Field, known.sigRef = x, s.sigRef
				return known, true, nil
			}
		}
	}
	v, err := d.Resolve(x.Value)
	if d.Repaired() && malformed(err) {
		s.fault = err
		return s, true, nil
	}
	if err != nil || pdf.IsNull(v) {
		return s, false, err
	}
	if s.sig, _ = v.(*pdf.Dict); s.sig != nil {
		if s.mdp, s.locks, err = transforms(d, s.sig); err != nil {
			return s, false, err
		}
		if place.num != 0 {
			cache[place] = s
		}
	}
	return s, true, nil
}

// locks joins what all signatures lock.
func (f *form) locks() lockSet {
	var all lockSet
	for _, s := range f.signed {
		all = append(all, s.locks...)
	}
	return all
}

// field finds a field by its full name.
func (f *form) field(name string) *pdf.Field {
	if f.byName == nil {
		f.byName = make(map[string]int, len(f.fields))
		for i := range f.fields {
			if _, known := f.byName[f.fields[i].Name]; !known {
				f.byName[f.fields[i].Name] = i
			}
		}
	}
	if i, ok := f.byName[name]; ok {
		return &f.fields[i]
	}
	return nil
}

// signedAs returns the indices of the signed fields of a name.
func (f *form) signedAs(name string) []int {
	if f.values == nil && len(f.signed) > 0 {
		f.values = make(map[string][]int, len(f.signed))
		for i := range f.signed {
			f.values[f.signed[i].Name] = append(f.values[f.signed[i].Name], i)
		}
	}
	return f.values[name]
}

func (f *form) isSigned(name string) bool { return len(f.signedAs(name)) > 0 }

// widgetPages maps annotations to the page, from 1, that lists them.
func (f *form) widgetPages() (map[pdf.Ref]int, error) {
	m := make(map[pdf.Ref]int)
	for p, err := range f.doc.Pages() {
		if err != nil {
			return nil, err
		}
		annots, _, err := f.doc.LookupArray(p.Dict, "Annots")
		if err != nil {
			return nil, err
		}
		for _, o := range annots.All() {
			if r, ok := o.(pdf.Ref); ok && m[r] == 0 {
				m[r] = p.Index + 1
			}
		}
	}
	return m, nil
}

func fieldType(x pdf.Field) string {
	switch x.Type {
	case "Sig":
		return FieldSignature
	case "Tx":
		return FieldText
	case "Ch":
		return FieldChoice
	case "Btn":
		switch {
		case x.Flags&flagPushbutton != 0:
			return FieldButton
		case x.Flags&flagRadio != 0:
			return FieldRadio
		}
		return FieldCheckbox
	}
	return ""
}

// fieldValue returns the text or state of a field; "" for signatures and buttons.
func fieldValue(d *pdf.Doc, x pdf.Field) (string, error) {
	if x.Type == "Sig" {
		return "", nil
	}
	v, err := d.Resolve(x.Value)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case pdf.String:
		return pdf.DecodeText(v.B), nil
	case pdf.Name:
		return string(v), nil
	case *pdf.Stream: // long text may be kept as one
		b, err := v.Decode()
		return pdf.DecodeText(b), err
	}
	return "", nil
}

// rectOf returns an annotation's rectangle in order, zero if it has none.
func rectOf(d *pdf.Doc, annot *pdf.Dict) [4]float64 {
	n, err := d.LookupNumbers(annot, "Rect")
	if err != nil || len(n) != 4 {
		return [4]float64{}
	}
	return normal([4]float64(n))
}

func normal(r [4]float64) [4]float64 {
	return [4]float64{math.Min(r[0], r[2]), math.Min(r[1], r[3]), math.Max(r[0], r[2]), math.Max(r[1], r[3])}
}

func visible(r [4]float64) bool { return r[0] < r[2] && r[1] < r[3] }

// asDict returns o if it is a dictionary.
func asDict(o pdf.Object) (*pdf.Dict, bool) {
	d, ok := o.(*pdf.Dict)
	return d, ok
}
