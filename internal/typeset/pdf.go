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

// Bytes returns the file, PDF 1.7 with a classic cross-reference table.
func (d *Doc) Bytes() []byte {
	var b bytes.Buffer
	var offsets []int
	object := func(format string, args ...any) {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n", len(offsets))
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\nendobj\n")
	}
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	var used []Font
	for _, f := range []Font{Song, Helvetica, Bold, Sung, Heisei} {
		if slices.ContainsFunc(d.pages, func(p *Page) bool { return p.fonts[f] }) {
			used = append(used, f)
		}
	}
	// Objects: 1 catalogue, 2 page tree, 3 information, then fonts, then pages
	// with their contents.
	next, refs := 4, map[Font]int{}
	for _, f := range used {
		refs[f] = next
		if next++; cid[f].name != "" {
			next += 2
		}
	}
	lang := ""
	if d.Lang != "" {
		lang = " /Lang " + literal(d.Lang)
	}
	object("<< /Type /Catalog /Pages 2 0 R%s >>", lang)
	var kids []string
	for i := range d.pages {
		kids = append(kids, fmt.Sprintf("%d 0 R", next+2*i))
	}
	object("<< /Type /Pages /Kids [%s] /Count %d >>", strings.Join(kids, " "), len(kids))
	info := ""
	for _, e := range [][2]string{{"Title", d.Title}, {"Author", d.Author}} {
		if e[1] != "" {
			info += " /" + e[0] + " <FEFF" + utf16Hex(e[1]) + ">"
		}
	}
	object("<< /Producer (countersign)%s >>", info)
	for _, f := range used {
		if c := cid[f]; c.name != "" {
			n := refs[f]
			object("<< /Type /Font /Subtype /Type0 /BaseFont /%s-%s /Encoding /%s /DescendantFonts [%d 0 R] >>", c.name, c.cmap, c.cmap, n+1)
			object("<< /Type /Font /Subtype /CIDFontType0 /BaseFont /%s /CIDSystemInfo << /Registry (Adobe) /Ordering (%s) /Supplement %d >> /FontDescriptor %d 0 R /DW 1000 >>", c.name, c.ordering, c.supplement, n+2)
			object("<< /Type /FontDescriptor /FontName /%s /Flags 6 /FontBBox [-25 -254 1000 880] /ItalicAngle 0 /Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >>", c.name)
			continue
		}
		switch f {
		case Bold:
			object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>")
		default:
			object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
		}
	}
	for _, p := range d.pages {
		fonts := ""
		for _, f := range used {
			if p.fonts[f] {
				fonts += fmt.Sprintf(" /%s %d 0 R", f, refs[f])
			}
		}
		object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %s %s] /Resources << /Font <<%s >> >> /Contents %d 0 R >>", Num(p.W), Num(p.H), fonts, len(offsets)+2)
		object("<< /Length %d >>\nstream\n%s\nendstream", p.b.Len(), p.b.Bytes())
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R /Info 3 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, start)
	return b.Bytes()
}
