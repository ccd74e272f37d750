package typeset

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Doc is a PDF file in the making. The zero Doc has no pages yet.
type Doc struct {
	Title, Author, Lang string // in the document's information; empty: left out
	pages               []*Page
}

// A Page collects what is drawn on it. The origin is its lower left corner, a
// unit is 1/72 inch.
type Page struct {
	W, H  float64
	b     bytes.Buffer
	fonts map[Font]bool
	masks []Mask
	inks  []Color
}

// A Mask is ink on a page: W times H samples of how much of it, row by row from
// the top, 0 none and 255 all.
type Mask struct {
	W, H int
	Ink  []byte
}

// A Font is one of the fonts of this package.
type Font string

// The fonts.
const (
	Song      Font = "F1" // STSong-Light: Chinese and all else that is not Latin
	Helvetica Font = "F2"
	Bold      Font = "F3" // Helvetica-Bold
	Sung      Font = "F4" // MSung-Light: rare ideographs of Adobe-CNS1
	Heisei    Font = "F5" // HeiseiMin-W3: rare ideographs of Adobe-Japan1
)

// cid holds the standard CID fonts and the CMaps that take UTF-16.
var cid = map[Font]struct {
	name, cmap, ordering string
	supplement           int
}{
	Song:   {"STSong-Light", "UniGB-UTF16-H", "GB1", 4},
	Sung:   {"MSung-Light", "UniCNS-UTF16-H", "CNS1", 5},
	Heisei: {"HeiseiMin-W3", "UniJIS-UTF16-H", "Japan1", 5},
}

// Page adds a page.
func (d *Doc) Page(w, h float64) *Page {
	p := &Page{W: w, H: h, fonts: map[Font]bool{}}
	d.pages = append(d.pages, p)
	return p
}

// Num writes a coordinate: three decimals at most, no exponent.
func Num(v float64) string {
	s := strconv.FormatFloat(v, 'f', 3, 64)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		return "0"
	}
	return s
}

// Op writes an operator after its operands.
func (p *Page) Op(op string, operands ...float64) {
	for _, v := range operands {
		p.b.WriteString(Num(v))
		p.b.WriteByte(' ')
	}
	p.b.WriteString(op)
	p.b.WriteByte('\n')
}

// A Color is red, green and blue from 0 to 1.
type Color [3]float64

// Fill and Stroke set the colours.
func (p *Page) Fill(c Color) { p.Op("rg", c[0], c[1], c[2]) }

// Stroke sets the colour of lines.
func (p *Page) Stroke(c Color) { p.Op("RG", c[0], c[1], c[2]) }

// Line draws a line of a width.
func (p *Page) Line(x1, y1, x2, y2, width float64) {
	p.Op("w", width)
	p.Op("m", x1, y1)
	p.Op("l", x2, y2)
	p.Op("S")
}

// Rect draws a rectangle's outline.
func (p *Page) Rect(x, y, w, h, width float64) {
	p.Op("w", width)
	p.Op("re", x, y, w, h)
	p.Op("S")
}

func sample(v float64) byte { return byte(v*255 + 0.5) }

// Circle draws a circle's outline from four Bézier curves.
func (p *Page) Circle(x, y, r, width float64) {
	const k = 0.5522847498307936 // 4(√2-1)/3
	p.Op("w", width)
	p.Op("m", x+r, y)
	p.Op("c", x+r, y+k*r, x+k*r, y+r, x, y+r)
	p.Op("c", x-k*r, y+r, x-r, y+k*r, x-r, y)
	p.Op("c", x-r, y-k*r, x-k*r, y-r, x, y-r)
	p.Op("c", x+k*r, y-r, x+r, y-k*r, x+r, y)
	p.Op("s")
}

// Polygon fills a polygon.
func (p *Page) Polygon(points [][2]float64) {
	for i, q := range points {
		if i == 0 {
			p.Op("m", q[0], q[1])
			continue
		}
		p.Op("l", q[0], q[1])
	}
	p.Op("f")
}

// Ink puts a mask on the page, in a colour.
func (p *Page) Ink(x, y, w, h float64, m Mask, c Color) {
	p.masks = append(p.masks, m)
	p.Op("q")
	p.Op("cm", w, 0, 0, h, x, y)
	fmt.Fprintf(&p.b, "/M%d Do\n", len(p.masks))
	p.Op("Q")
	p.inks = append(p.inks, c)
}

// runLength encodes as RunLengthDecode reads it (ISO 32000-1 7.4.5): unlike a
// deflater's, its output is the same in every release.
func runLength(in []byte) []byte {
	var out []byte
	for len(in) > 0 {
		n := 1
		for n < len(in) && n < 128 && in[n] == in[0] {
			n++
		}
		if n > 1 {
			out = append(out, byte(257-n), in[0])
			in = in[n:]
			continue
		}
		for n < len(in) && n < 128 && (n+1 >= len(in) || in[n] != in[n+1]) {
			n++
		}
		out = append(out, byte(n-1))
		out = append(out, in[:n]...)
		in = in[n:]
	}
	return append(out, 128)
}

// Bytes returns the file, PDF 1.7 with a classic cross-reference table.
func (d *Doc) Bytes() []byte {
	var f file
	f.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	var used []Font
	for _, font := range []Font{Song, Helvetica, Bold, Sung, Heisei} {
		if slices.ContainsFunc(d.pages, func(p *Page) bool { return p.fonts[font] }) {
			used = append(used, font)
		}
	}
	// Objects: 1 catalogue, 2 page tree, 3 information, then fonts, then pages
	// with their contents.
	next, refs := 4, map[Font]int{}
	for _, font := range used {
		refs[font] = next
		if next++; cid[font].name != "" {
			next += 2
		}
	}
	lang := ""
	if d.Lang != "" {
		lang = " /Lang " + literal(d.Lang)
	}
	f.object("<< /Type /Catalog /Pages 2 0 R%s >>", lang)
	var kids []string
	for _, p := range d.pages {
		kids = append(kids, fmt.Sprintf("%d 0 R", next))
		next += 2 + 2*len(p.masks)
	}
	f.object("<< /Type /Pages /Kids [%s] /Count %d >>", strings.Join(kids, " "), len(kids))
	info := ""
	for _, e := range [][2]string{{"Title", d.Title}, {"Author", d.Author}} {
		if e[1] != "" {
			info += " /" + e[0] + " <FEFF" + utf16Hex(e[1]) + ">"
		}
	}
	f.object("<< /Producer (countersign)%s >>", info)
	for _, font := range used {
		f.font(font)
	}
	for _, p := range d.pages {
		fonts := ""
		for _, font := range used {
			if p.fonts[font] {
				fonts += fmt.Sprintf(" /%s %d 0 R", font, refs[font])
			}
		}
		f.page(p, fonts)
	}
	return f.end()
}

// A file is a PDF as it is written, object by object.
type file struct {
	bytes.Buffer
	offsets []int // of the objects so far
}

// object writes the next object.
func (f *file) object(format string, args ...any) {
	f.offsets = append(f.offsets, f.Len())
	fmt.Fprintf(f, "%d 0 obj\n", len(f.offsets))
	fmt.Fprintf(f, format, args...)
	f.WriteString("\nendobj\n")
}

// font writes one object for a Latin font, three for a CID font.
func (f *file) font(font Font) {
	if c := cid[font]; c.name != "" {
		n := len(f.offsets) + 1
		f.object("<< /Type /Font /Subtype /Type0 /BaseFont /%s-%s /Encoding /%s /DescendantFonts [%d 0 R] >>", c.name, c.cmap, c.cmap, n+1)
		f.object("<< /Type /Font /Subtype /CIDFontType0 /BaseFont /%s /CIDSystemInfo << /Registry (Adobe) /Ordering (%s) /Supplement %d >> /FontDescriptor %d 0 R /DW 1000 >>", c.name, c.ordering, c.supplement, n+2)
		f.object("<< /Type /FontDescriptor /FontName /%s /Flags 6 /FontBBox [-25 -254 1000 880] /ItalicAngle 0 /Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >>", c.name)
		return
	}
	name := "Helvetica"
	if font == Bold {
		name = "Helvetica-Bold"
	}
	f.object("<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>", name)
}

// page writes a page, its contents and two objects for each mask.
func (f *file) page(p *Page, fonts string) {
	n := len(f.offsets) + 1
	xobjects := ""
	for i := range p.masks {
		xobjects += fmt.Sprintf(" /M%d %d 0 R", i+1, n+2+2*i)
	}
	if xobjects != "" {
		xobjects = " /XObject <<" + xobjects + " >>"
	}
	f.object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %s %s] /Resources << /Font <<%s >>%s >> /Contents %d 0 R >>", Num(p.W), Num(p.H), fonts, xobjects, n+1)
	f.object("<< /Length %d >>\nstream\n%s\nendstream", p.b.Len(), p.b.Bytes())
	for i, m := range p.masks { // one sample of colour, seen through the mask
		c := p.inks[i]
		f.object("<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceRGB /BitsPerComponent 8 /SMask %d 0 R /Filter /ASCIIHexDecode /Length 7 >>\nstream\n%02X%02X%02X>\nendstream",
			n+3+2*i, sample(c[0]), sample(c[1]), sample(c[2]))
		data := runLength(m.Ink)
		f.object("<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 /Interpolate true /Filter /RunLengthDecode /Length %d >>\nstream\n%s\nendstream",
			m.W, m.H, len(data), data)
	}
}

// end writes the cross-reference table and the trailer.
func (f *file) end() []byte {
	start := f.Len()
	fmt.Fprintf(f, "xref\n0 %d\n0000000000 65535 f \n", len(f.offsets)+1)
	for _, o := range f.offsets {
		fmt.Fprintf(f, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(f, "trailer\n<< /Size %d /Root 1 0 R /Info 3 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(f.offsets)+1, start)
	return f.Bytes()
}
