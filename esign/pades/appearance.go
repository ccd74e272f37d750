package pades

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/pdf"
)

// art is an imported one-page PDF.
type art struct {
	form pdf.Ref
	w, h float64
}

// importArt makes a form XObject of a one-page PDF. The same bytes are
// imported once.
func (e *editor) importArt(b []byte) (art, error) {
	key := sha256.Sum256(b)
	if a, ok := e.arts[key]; ok {
		return a, nil
	}
	src, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil)
	if err != nil {
		return art{}, refuse(ErrUsage, e.op, fmt.Errorf("art is no readable PDF: %w", err))
	}
	n, err := src.PageCount()
	if err != nil {
		return art{}, refuse(ErrUsage, e.op, fmt.Errorf("art: %w", err))
	}
	if n != 1 {
		return art{}, refusef(ErrUsage, e.op, "art has %d pages, not one", n)
	}
	var a art
	if a.form, a.w, a.h, err = e.u.ImportPage(src, 0); err != nil {
		return art{}, refuse(ErrUsage, e.op, fmt.Errorf("art: %w", err))
	}
	if a.w <= 0 || a.h <= 0 {
		return art{}, refusef(ErrUsage, e.op, "art has no area")
	}
	if e.arts == nil {
		e.arts = map[[32]byte]art{}
	}
	e.arts[key] = a
	return a, nil
}

// look is an appearance in the making: a box of the size it has on screen, and
// content drawn in it.
type look struct {
	w, h    float64
	rotate  int // of the page: the look is turned back, so that it stands upright
	content bytes.Buffer
	fonts   *pdf.Dict
	xobject *pdf.Dict
}

func newLook(rect [4]float64, rotate int) *look {
	l := &look{w: rect[2] - rect[0], h: rect[3] - rect[1], rotate: rotate}
	if rotate == 90 || rotate == 270 {
		l.w, l.h = l.h, l.w
	}
	return l
}

// draw fits a into the box, its proportions kept, in the middle.
func (l *look) draw(a art) {
	s := math.Min(l.w/a.w, l.h/a.h)
	fmt.Fprintf(&l.content, "q %s 0 0 %s %s %s cm /Art Do Q\n",
		num(s), num(s), num((l.w-s*a.w)/2), num((l.h-s*a.h)/2))
	l.xobject = pdf.MakeDict(pdf.KV{Key: "Art", Value: a.form})
}

// turned is the matrix that turns a look back on a rotated page.
func turned(rotate int) []float64 {
	switch rotate {
	case 90:
		return []float64{0, 1, -1, 0, 0, 0}
	case 180:
		return []float64{-1, 0, 0, -1, 0, 0}
	case 270:
		return []float64{0, -1, 1, 0, 0, 0}
	}
	return nil
}

// stream makes the form XObject.
func (l *look) stream() *pdf.Stream {
	res := pdf.MakeDict()
	if l.fonts != nil {
		res.Set("Font", l.fonts)
	}
	if l.xobject != nil {
		res.Set("XObject", l.xobject)
	}
	d := pdf.MakeDict(
		pdf.KV{Key: "Type", Value: pdf.Name("XObject")},
		pdf.KV{Key: "Subtype", Value: pdf.Name("Form")},
		pdf.KV{Key: "BBox", Value: pdf.MakeNumbers(0, 0, round(l.w), round(l.h))},
		pdf.KV{Key: "Resources", Value: res},
	)
	if m := turned(l.rotate); m != nil {
		d.Set("Matrix", pdf.MakeNumbers(m...))
	}
	return pdf.NewStream(d, l.content.Bytes())
}

func round(f float64) float64 { return math.Round(f*1e4) / 1e4 }

// artLook is the appearance of b in rect; nil b is an empty box.
func (e *editor) artLook(b []byte, rect [4]float64, rotate int) (pdf.Ref, error) {
	l := newLook(rect, rotate)
	if b != nil {
		a, err := e.importArt(b)
		if err != nil {
			return pdf.Ref{}, err
		}
		l.draw(a)
	}
	return e.u.Add(l.stream()), nil
}

func (e *editor) emptyLook(rect [4]float64) pdf.Ref {
	return e.u.Add(newLook(rect, 0).stream())
}

// checkboxLook gives a new check box its two states.
func (e *editor) checkboxLook(d *pdf.Dict, rect [4]float64) error {
	if !visible(rect) {
		return refusef(ErrUsage, e.op, "a check box needs a rectangle")
	}
	on := newLook(rect, 0)
	w, h := on.w, on.h
	frame := fmt.Sprintf("q 0 G 0.75 w %s %s %s %s re S Q\n", num(0.5), num(0.5), num(w-1), num(h-1))
	fmt.Fprintf(&on.content, "%sq 0 G %s w %s %s m %s %s l %s %s l S Q\n", frame, num(math.Max(1, h/10)),
		num(w*0.2), num(h*0.5), num(w*0.42), num(h*0.25), num(w*0.8), num(h*0.78))
	off := newLook(rect, 0)
	off.content.WriteString(frame)
	d.Set("AP", pdf.MakeDict(pdf.KV{Key: "N", Value: pdf.MakeDict(
		pdf.KV{Key: "Yes", Value: e.u.Add(on.stream())},
		pdf.KV{Key: "Off", Value: e.u.Add(off.stream())},
	)}))
	d.Set("V", pdf.Name("Off"))
	d.Set("AS", pdf.Name("Off"))
	return nil
}

// textFonts returns the two fonts of text appearances: those a form of ours
// carries already, or new ones.
func (e *editor) textFonts() (*pdf.Dict, error) {
	if e.fonts != nil {
		return e.fonts, nil
	}
	acro, _, err := e.doc.Form()
	if err != nil {
		return nil, err
	}
	dr, _, err := e.doc.LookupDict(acro, "DR")
	if err != nil {
		return nil, err
	}
	have, _, err := e.doc.LookupDict(dr, "Font")
	if err != nil {
		return nil, err
	}
	if isPDFA(e.doc) {
		e.warn = append(e.warn, refuse(ErrNotSupported, e.op, errors.New("text is set in fonts that are not embedded, which PDF/A does not allow")))
	}
	latin, ok1 := have.Ref(latinFont)
	han, ok2 := have.Ref(hanFont)
	if !ok1 || !ok2 {
		latin, han = e.u.Add(helveticaFont()), e.u.Add(e.songFont())
	}
	e.fonts = pdf.MakeDict(pdf.KV{Key: latinFont, Value: latin}, pdf.KV{Key: hanFont, Value: han})
	return e.fonts, nil
}

// isPDFA reports whether a document claims to be PDF/A.
func isPDFA(d *pdf.Doc) bool {
	c, _, err := d.Catalog()
	if err != nil {
		return false
	}
	o, err := d.Lookup(c, "Metadata")
	if err != nil {
		return false
	}
	s, ok := o.(*pdf.Stream)
	if !ok {
		return false
	}
	b, err := s.Decode()
	return err == nil && bytes.Contains(b, []byte("http://www.aiim.org/pdfa/ns/id/"))
}

func helveticaFont() *pdf.Dict {
	return pdf.MakeDict(
		pdf.KV{Key: "Type", Value: pdf.Name("Font")},
		pdf.KV{Key: "Subtype", Value: pdf.Name("Type1")},
		pdf.KV{Key: "BaseFont", Value: pdf.Name("Helvetica")},
		pdf.KV{Key: "Encoding", Value: pdf.Name("WinAnsiEncoding")},
	)
}

// songFont is the standard CID font of simplified Chinese, not embedded (W13).
func (e *editor) songFont() *pdf.Dict {
	descriptor := e.u.Add(pdf.MakeDict(
		pdf.KV{Key: "Type", Value: pdf.Name("FontDescriptor")},
		pdf.KV{Key: "FontName", Value: pdf.Name("STSong-Light")},
		pdf.KV{Key: "Flags", Value: pdf.Int(6)},
		pdf.KV{Key: "FontBBox", Value: pdf.MakeNumbers(-25, -254, 1000, 880)},
		pdf.KV{Key: "ItalicAngle", Value: pdf.Int(0)},
		pdf.KV{Key: "Ascent", Value: pdf.Int(880)},
		pdf.KV{Key: "Descent", Value: pdf.Int(-120)},
		pdf.KV{Key: "CapHeight", Value: pdf.Int(880)},
		pdf.KV{Key: "StemV", Value: pdf.Int(93)},
	))
	cid := e.u.Add(pdf.MakeDict(
		pdf.KV{Key: "Type", Value: pdf.Name("Font")},
		pdf.KV{Key: "Subtype", Value: pdf.Name("CIDFontType0")},
		pdf.KV{Key: "BaseFont", Value: pdf.Name("STSong-Light")},
		pdf.KV{Key: "CIDSystemInfo", Value: pdf.MakeDict(
			pdf.KV{Key: "Registry", Value: pdf.String{B: []byte("Adobe")}},
			pdf.KV{Key: "Ordering", Value: pdf.String{B: []byte("GB1")}},
			pdf.KV{Key: "Supplement", Value: pdf.Int(5)},
		)},
		pdf.KV{Key: "DW", Value: pdf.Int(1000)},
		pdf.KV{Key: "FontDescriptor", Value: descriptor},
	))
	return pdf.MakeDict(
		pdf.KV{Key: "Type", Value: pdf.Name("Font")},
		pdf.KV{Key: "Subtype", Value: pdf.Name("Type0")},
		pdf.KV{Key: "BaseFont", Value: pdf.Name("STSong-Light")},
		pdf.KV{Key: "Encoding", Value: pdf.Name("UniGB-UTF16-H")},
		pdf.KV{Key: "DescendantFonts", Value: pdf.MakeArray(cid)},
	)
}

// textDefaults gives a new text field its default appearance, and the form the
// fonts it names.
func (e *editor) textDefaults(d *pdf.Dict, size float64) error {
	if size < 0 || size > 1000 || math.IsNaN(size) {
		return refusef(ErrUsage, e.op, "font size %g", size)
	}
	fonts, err := e.textFonts()
	if err != nil {
		return err
	}
	acro, err := e.acroForm()
	if err != nil {
		return err
	}
	if err := e.offerFonts(acro, fonts); err != nil {
		return err
	}
	d.Set("DA", pdf.String{B: []byte("/" + latinFont + " " + num(size) + " Tf 0 g")})
	return nil
}

// offerFonts puts fonts into /DR, which may stand anywhere.
func (e *editor) offerFonts(acro, fonts *pdf.Dict) error {
	dr, commit, err := e.inside(acro, "DR")
	if err != nil {
		return err
	}
	list, commitFonts, err := e.inside(dr, "Font")
	if err != nil {
		return err
	}
	changed := false
	for k, v := range fonts.All() {
		if !list.Has(k) {
			list.Set(k, v)
			changed = true
		}
	}
	if changed {
		commitFonts()
		commit()
	}
	return nil
}

// inside returns the dictionary under key to be changed, and what puts it back
// if it stands directly in d.
func (e *editor) inside(d *pdf.Dict, key pdf.Name) (*pdf.Dict, func(), error) {
	if ref, ok := d.Ref(key); ok {
		o, err := e.u.Resolve(ref)
		if err != nil {
			return nil, nil, err
		}
		if _, ok := o.(*pdf.Dict); ok {
			in, err := e.dict(ref)
			return in, func() {}, err
		}
	}
	in, _ := d.Get(key).(*pdf.Dict)
	in = in.Clone()
	return in, func() { d.Set(key, in) }, nil
}

// fieldStyle is what /DA, /Q and /MK say of a field's look.
type fieldStyle struct {
	size  float64
	color string
}

// parseDA reads size and colour from a default appearance. Its font is not
// used: we set text in fonts whose widths and characters we know.
func parseDA(da []byte) fieldStyle {
	s := fieldStyle{}
	words := strings.Fields(string(da))
	for i, w := range words {
		n := 0
		switch w {
		case "Tf":
			if i >= 1 {
				s.size, _ = strconv.ParseFloat(words[i-1], 64)
			}
			continue
		case "g":
			n = 1
		case "rg":
			n = 3
		case "k":
			n = 4
		default:
			continue
		}
		if i < n {
			continue
		}
		for _, v := range words[i-n : i] {
			if _, err := strconv.ParseFloat(v, 64); err != nil {
				n = 0
			}
		}
		if n > 0 {
			s.color = strings.Join(words[i-n:i+1], " ")
		}
	}
	if s.size < 0 || s.size > 1000 || math.IsNaN(s.size) {
		s.size = 0
	}
	return s
}

// textLook draws a field's value into a widget.
func (e *editor) textLook(x *pdf.Field, widget *pdf.Dict, text string) (pdf.Ref, error) {
	rect := rectOf(e.doc, widget)
	if w, ok := widget.Get("Rect").(*pdf.Array); ok {
		if n, ok := w.Numbers(); ok && len(n) == 4 {
			rect = normal([4]float64(n))
		}
	}
	mk, _, err := e.doc.LookupDict(widget, "MK")
	if err != nil {
		return pdf.Ref{}, err
	}
	r, err := e.doc.LookupInt(mk, "R", 0)
	if err != nil {
		return pdf.Ref{}, err
	}
	l := newLook(rect, int(((r%360)+360)%360))
	if bg := colorOps(e.doc, mk, "BG", "g", "rg", "k"); bg != "" {
		fmt.Fprintf(&l.content, "q %s 0 0 %s %s re f Q\n", bg, num(l.w), num(l.h))
	}
	if bc := colorOps(e.doc, mk, "BC", "G", "RG", "K"); bc != "" {
		fmt.Fprintf(&l.content, "q %s 1 w 0.5 0.5 %s %s re S Q\n", bc, num(l.w-1), num(l.h-1))
	}
	style := parseDA(x.DA)
	box := textBox{
		W: l.w, H: l.h, Size: style.size, Color: style.color, Align: int(x.Q),
		Multiline: x.Type == "Tx" && x.Flags&flagMultiline != 0,
	}
	content, latin, han := box.set(text)
	l.content.WriteString("/Tx BMC\n")
	l.content.Write(content)
	l.content.WriteString("\nEMC\n")
	if latin || han {
		fonts, err := e.textFonts()
		if err != nil {
			return pdf.Ref{}, err
		}
		l.fonts = fonts.Clone()
		if !latin {
			l.fonts.Delete(latinFont)
		}
		if !han {
			l.fonts.Delete(hanFont)
		}
	}
	return e.u.Add(l.stream()), nil
}

// colorOps turns a colour array of /MK into an operator.
func colorOps(d *pdf.Doc, mk *pdf.Dict, key pdf.Name, gray, rgb, cmyk string) string {
	n, err := d.LookupNumbers(mk, key)
	if err != nil {
		return ""
	}
	op := map[int]string{1: gray, 3: rgb, 4: cmyk}[len(n)]
	if op == "" {
		return ""
	}
	s := ""
	for _, v := range n {
		s += num(v) + " "
	}
	return s + op
}
