package pagetext

import (
	"strings"

	"github.com/countersign/countersign/internal/pdf"
	"github.com/countersign/countersign/internal/typeset"
)

// font is what is needed of a font to place its characters and to read them.
type font struct {
	composite bool
	codes     *cmap     // of a composite font
	toUnicode *cmap     // nil if absent
	names     *encoding // of a simple font
	glyphs    map[uint32]rune

	widths   map[uint32]float64 // by code, or CID; in text space units
	missing  float64
	standard func(rune) float64 // no widths given: those of the standard font it is, or comes closest to

	ascent, descent float64
}

// glyph is one character code of a string.
type glyph struct {
	text  string
	width float64 // in text space, for font size 1
	space bool    // single-byte code 32, to which word spacing applies
}

const maxWidths = 1 << 17

// font loads a font dictionary, from the cache if ref is known.
func (r *Reader) font(o pdf.Object) (*font, error) {
	ref, _ := o.(pdf.Ref)
	if f, ok := r.fonts[ref]; ok && ref.Num != 0 {
		return f, nil
	}
	v, err := r.doc.Resolve(o)
	if err != nil {
		return nil, err
	}
	dict, ok := v.(*pdf.Dict)
	if !ok {
		return nil, nil
	}
	f, err := r.loadFont(dict)
	if err != nil {
		return nil, soft(err)
	}
	if len(r.fonts) > 500 {
		clear(r.fonts)
	}
	r.fonts[ref] = f
	return f, nil
}

// soft drops errors that concern one font or form only: the rest of the page is
// still worth reading.
func soft(err error) error {
	switch pdf.CodeOf(err) {
	case pdf.CodeMalformed, pdf.CodeFilter:
		return nil
	}
	return err
}

func (r *Reader) loadFont(dict *pdf.Dict) (*font, error) {
	f := &font{ascent: 0.8, descent: -0.2, widths: map[uint32]float64{}}
	d := r.doc
	sub, err := d.LookupName(dict, "Subtype")
	if err != nil {
		return nil, err
	}
	f.composite = sub == "Type0"
	u, err := d.Lookup(dict, "ToUnicode")
	if err != nil {
		return nil, err
	}
	switch v := u.(type) {
	case *pdf.Stream:
		b, err := v.Decode()
		if err != nil && soft(err) != nil {
			return nil, err
		}
		f.toUnicode = parseCMap(b, predefined)
	case pdf.Name: // Identity-H is written by some
		if m := predefined(v); m != nil && m.identity {
			f.toUnicode = &cmap{unicode: func(c uint32) string { return string(rune(c)) }}
		}
	}
	if f.composite {
		return f, r.loadComposite(f, dict)
	}
	return f, r.loadSimple(f, dict, sub)
}

func (r *Reader) loadSimple(f *font, dict *pdf.Dict, sub pdf.Name) error {
	d := r.doc
	base, err := d.LookupName(dict, "BaseFont")
	if err != nil {
		return err
	}
	if err := r.simpleEncoding(f, dict, sub, base); err != nil {
		return err
	}
	scale := 0.001
	if sub == "Type3" {
		m, err := d.LookupNumbers(dict, "FontMatrix")
		if err != nil {
			return err
		}
		if len(m) == 6 {
			scale = m[0]
		}
	}
	desc, _, err := d.LookupDict(dict, "FontDescriptor")
	if err != nil {
		return err
	}
	if err := r.descriptor(f, desc, scale); err != nil {
		return err
	}
	first, err := d.LookupInt(dict, "FirstChar", 0)
	if err != nil {
		return err
	}
	w, err := d.LookupNumbers(dict, "Widths")
	if err != nil {
		return err
	}
	for i, v := range w[:min(len(w), 256)] {
		if c := first + int64(i); c >= 0 && c < 256 {
			f.widths[uint32(c)] = v * scale
		}
	}
	if len(w) == 0 {
		f.standard = standardWidth(string(base))
	}
	return nil
}

func (r *Reader) descriptor(f *font, desc *pdf.Dict, scale float64) error {
	if desc == nil {
		return nil
	}
	for _, e := range []struct {
		key pdf.Name
		to  *float64
	}{{"Ascent", &f.ascent}, {"Descent", &f.descent}, {"MissingWidth", &f.missing}} {
		o, err := r.doc.Lookup(desc, e.key)
		if err != nil {
			return err
		}
		v, ok := pdf.Number(o)
		v *= scale
		switch {
		case !ok:
		case e.key == "Ascent" && (v < 0.3 || v > 1.5):
		case e.key == "Descent" && v > 0 && v <= 1: // written positive by some
			*e.to = -v
		case e.key == "Descent" && (v < -1 || v >= 0):
		default:
			*e.to = v
		}
	}
	return nil
}

func (r *Reader) simpleEncoding(f *font, dict *pdf.Dict, sub, base pdf.Name) error {
	d := r.doc
	o, err := d.Lookup(dict, "Encoding")
	if err != nil {
		return err
	}
	implicit := pdf.Name("WinAnsiEncoding")
	if sub != "TrueType" {
		implicit = "StandardEncoding"
	}
	switch v := o.(type) {
	case pdf.Name:
		f.names = encodingOf(v)
	case *pdf.Dict:
		name, err := d.LookupName(v, "BaseEncoding")
		if err != nil {
			return err
		}
		if name == "" {
			name = implicit
		}
		f.names = encodingOf(name)
		diff, _, err := d.LookupArray(v, "Differences")
		if err != nil {
			return err
		}
		at := int64(0)
		for i, e := range diff.All() {
			if i > 4096 {
				break
			}
			if e, err = d.Resolve(e); err != nil {
				return err
			}
			switch n := e.(type) {
			case pdf.Int:
				at = int64(n)
			case pdf.Name:
				if at >= 0 && at < 256 {
					f.names[at] = glyphText(string(n))
				}
				at++
			}
		}
	default:
		f.names = encodingOf(implicit)
		if strings.Contains(string(base), "Symbol") || strings.Contains(string(base), "Dingbats") {
			f.names = &encoding{}
		}
	}
	return nil
}

func (r *Reader) loadComposite(f *font, dict *pdf.Dict) error {
	d := r.doc
	o, err := d.Lookup(dict, "Encoding")
	if err != nil {
		return err
	}
	switch v := o.(type) {
	case pdf.Name:
		f.codes = predefined(v)
	case *pdf.Stream:
		b, err := v.Decode()
		if err != nil && soft(err) != nil {
			return err
		}
		f.codes = parseCMap(b, predefined)
		if parent, ok := v.Dict.Get("UseCMap").(pdf.Name); ok && len(f.codes.cids) == 0 {
			if p := predefined(parent); p != nil {
				f.codes = p
			}
		}
		mode, err := d.LookupInt(v.Dict, "WMode", 0)
		if err != nil {
			return err
		}
		f.codes.vertical = f.codes.vertical || mode == 1
	}
	if f.codes == nil { // not known: two bytes, and only /ToUnicode tells
		f.codes = &cmap{identity: true, spaces: []codespace{{2, 0, 0xffff}}}
	}
	list, _, err := d.LookupArray(dict, "DescendantFonts")
	if err != nil {
		return err
	}
	o, err = d.Resolve(list.At(0))
	if err != nil {
		return err
	}
	cid, _ := o.(*pdf.Dict)
	f.ascent, f.descent = 0.88, -0.12
	desc, _, err := d.LookupDict(cid, "FontDescriptor")
	if err != nil {
		return err
	}
	if err := r.descriptor(f, desc, 0.001); err != nil {
		return err
	}
	dw, err := d.LookupInt(cid, "DW", 1000)
	if err != nil {
		return err
	}
	f.missing = float64(dw) / 1000
	if err := r.cidWidths(f, cid); err != nil {
		return err
	}
	if f.toUnicode == nil && f.codes.unicode == nil {
		if f.glyphs, err = r.embedded(cid, desc); err != nil {
			return soft(err)
		}
	}
	return nil
}

// cidWidths reads /W: "c [w1 w2 ...]" and "first last w".
func (r *Reader) cidWidths(f *font, cid *pdf.Dict) error {
	w, _, err := r.doc.LookupArray(cid, "W")
	if err != nil {
		return err
	}
	var nums []float64
	for _, o := range w.All() {
		if o, err = r.doc.Resolve(o); err != nil {
			return err
		}
		if len(f.widths) > maxWidths {
			return nil
		}
		switch v := o.(type) {
		case *pdf.Array:
			if len(nums) > 0 {
				c := uint32(nums[len(nums)-1])
				for _, e := range v.All() {
					if e, err = r.doc.Resolve(e); err != nil {
						return err
					}
					n, _ := pdf.Number(e)
					f.widths[c] = n / 1000
					if c++; len(f.widths) > maxWidths {
						return nil
					}
				}
			}
			nums = nums[:0]
		default:
			n, ok := pdf.Number(o)
			if !ok {
				return nil
			}
			if nums = append(nums, n); len(nums) == 3 {
				for c := max(0, nums[0]); c <= nums[1] && c < 65536 && len(f.widths) <= maxWidths; c++ {
					f.widths[uint32(c)] = nums[2] / 1000
				}
				nums = nums[:0]
			}
		}
	}
	return nil
}

// next reads the first glyph of b, which is not empty, and its length.
func (f *font) next(b []byte) (g glyph, n int) {
	if !f.composite {
		c := uint32(b[0])
		g.text = f.toUnicode.text(c)
		if g.text == "" {
			g.text = f.names[c]
		}
		g.width, g.space = f.simpleWidth(c, g.text), c == ' '
		return g, 1
	}
	c, n := f.codes.next(b)
	n = max(n, 1)
	cid := f.codes.cid(c)
	if g.text = f.toUnicode.text(c); g.text == "" {
		g.text = f.codes.text(c)
	}
	if g.text == "" && f.glyphs != nil {
		if r, ok := f.glyphs[cid]; ok {
			g.text = string(r)
		}
	}
	g.space = n == 1 && c == ' '
	var ok bool
	if g.width, ok = f.widths[cid]; !ok {
		g.width = f.missing
	}
	return g, n
}

func (f *font) simpleWidth(c uint32, text string) float64 {
	if w, ok := f.widths[c]; ok {
		return w
	}
	if f.standard == nil {
		return f.missing
	}
	for _, r := range text {
		if r >= ' ' && r <= '~' {
			return f.standard(r)
		}
	}
	return f.standard('o')
}

// timesWidths are the widths of Times-Roman and Times-Bold from the space to the
// tilde, in thousandths.
var timesWidths = [2][95]uint16{{
	250, 333, 408, 500, 500, 833, 778, 180, 333, 333, 500, 564, 250, 333, 250, 278, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 278, 278,
	564, 564, 564, 444, 921, 722, 667, 667, 722, 611, 556, 722, 722, 333, 389, 722, 611, 889, 722, 722, 556, 722, 667, 556, 611, 722, 722, 944,
	722, 722, 611, 333, 278, 333, 469, 500, 333, 444, 500, 444, 500, 444, 333, 500, 500, 278, 278, 500, 278, 778, 500, 500, 500, 500, 333, 389,
	278, 500, 500, 722, 500, 500, 444, 480, 200, 480, 541,
}, {
	250, 333, 555, 500, 500, 1000, 833, 278, 333, 333, 500, 570, 250, 333, 250, 278, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 333, 333,
	570, 570, 570, 500, 930, 722, 667, 722, 722, 667, 611, 778, 778, 389, 500, 778, 667, 944, 722, 778, 611, 778, 722, 556, 667, 722, 722, 1000,
	722, 722, 667, 333, 278, 333, 581, 500, 333, 500, 556, 444, 556, 444, 333, 500, 556, 278, 333, 556, 278, 833, 556, 500, 556, 556, 444, 389,
	333, 556, 500, 722, 500, 500, 444, 394, 220, 394, 520,
}}

// standardWidth returns the widths of the standard font that a font is or that
// viewers put in its place.
func standardWidth(base string) func(rune) float64 {
	bold := strings.Contains(base, "Bold")
	switch {
	case strings.Contains(base, "Courier") || strings.Contains(base, "Mono"):
		return func(rune) float64 { return 0.6 }
	case strings.Contains(base, "Times") || strings.Contains(base, "Serif") || strings.Contains(base, "Song"):
		table := &timesWidths[0]
		if bold {
			table = &timesWidths[1]
		}
		return func(r rune) float64 { return float64(table[r-' ']) / 1000 }
	}
	return func(r rune) float64 { return typeset.Width(r, bold) }
}
