package seal

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/internal/typeset"
)

// Errors of this package. esign.ErrorCode gives the stable code of each.
var (
	// ErrText refuses a text that is empty, too long or cannot be set.
	ErrText = coded.New("seal_text", "seal: text")
	// ErrGlyph refuses a seal with a character that no standard font has: a seal
	// shows its name or nothing. Lines of text show 〓 in its place.
	ErrGlyph = coded.Under(ErrText, "seal_glyph", "seal: text: no standard font has a character")
	// ErrSize refuses a size that is not positive or above 1000 points.
	ErrSize = coded.New("seal_size", "seal: size")
)

// MM is a millimetre in points, the unit of all sizes here.
const MM = 72 / 25.4

// A Color is red, green and blue from 0 to 1.
type Color [3]float64

// The colours of seals and signatures.
var (
	Red   = Color{0.863, 0.078, 0.078}
	Black = Color{0, 0, 0}
	Blue  = Color{0.1, 0.2, 0.6}
)

// A CompanySeal is the round seal of an organisation (公章): a ring, a star, the
// name along the arc, and what the seal is for below the star.
type CompanySeal struct {
	Name     string  // 2 to 60 characters; required
	Purpose  string  // as 合同专用章; at most 12 characters; empty: an official seal
	Serial   string  // the number along the lower arc; at most 20 letters and digits
	Diameter float64 // zero: 42 mm; 40 mm with a Purpose
	Color    *Color  // nil: Red
}

// Company draws a round seal. The page is as large as the seal. It fails with
// [ErrText], [ErrGlyph] or [ErrSize].
func Company(s CompanySeal) ([]byte, error) {
	out, err := s.slices(1)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// CrossPage cuts a round seal into as many upright slices as there are pages
// (骑缝章), from left to right: slice i goes to the right edge of page i, and the
// pages fanned out show the whole. Slices are 2 mm wide at least, else
// [ErrSize]: give longer documents several seals.
func CrossPage(s CompanySeal, pages int) ([][]byte, error) {
	if pages < 2 || pages > 500 {
		return nil, fmt.Errorf("%w: 2 to 500 pages", ErrSize)
	}
	return s.slices(pages)
}

func (s CompanySeal) slices(n int) ([][]byte, error) {
	if err := check(s.Name, 2, 60); err != nil {
		return nil, err
	}
	if !typeset.Settable(s.Name + s.Purpose) {
		return nil, ErrGlyph
	}
	if err := check(s.Purpose, 0, 12); err != nil {
		return nil, err
	}
	if len(s.Serial) > 20 || strings.Trim(s.Serial, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return nil, fmt.Errorf("%w: serial of at most 20 letters and digits", ErrText)
	}
	d := s.Diameter
	switch {
	case d == 0 && s.Purpose == "":
		d = 42 * MM
	case d == 0:
		d = 40 * MM
	}
	if n > 1 && d/float64(n) < 2*MM {
		return nil, fmt.Errorf("%w: slices below 2 mm", ErrSize)
	}
	var out [][]byte
	for i := range n {
		doc, p, err := begin(d/float64(n), d, s.Color, Red)
		if err != nil {
			return nil, err
		}
		if n > 1 {
			p.Op("cm", 1, 0, 0, 1, -float64(i)*d/float64(n), 0)
		}
		s.draw(p, d)
		out = append(out, doc.Bytes())
	}
	return out, nil
}

func (s CompanySeal) draw(p *typeset.Page, d float64) {
	ring := 0.0285 * d
	p.Circle(d/2, d/2, d/2-ring/2-0.2, ring)
	p.Polygon(star(d/2, d/2, d/6))
	upper(p, d, ring, s.Name, s.Serial != "")
	if s.Purpose != "" {
		line(p, s.Purpose, d/2, 0.215*d, 0.098*d, 0.62*d)
	}
	if s.Serial != "" {
		lower(p, d, ring, s.Serial)
	}
}

// star is a five-pointed star with one point up.
func star(x, y, r float64) [][2]float64 {
	inner := r * math.Sin(math.Pi/10) / math.Sin(7*math.Pi/10)
	var out [][2]float64
	for i := range 10 {
		at, a := r, math.Pi/2+float64(i)*math.Pi/5
		if i%2 == 1 {
			at = inner
		}
		out = append(out, [2]float64{x + at*math.Cos(a), y + at*math.Sin(a)})
	}
	return out
}

// upper sets the name along the upper arc, heads outwards, glyph by glyph. The
// more characters, the farther the arc reaches down and the narrower each one
// becomes; none is ever left out.
func upper(p *typeset.Page, d, ring float64, name string, serial bool) {
	runes := []rune(name)
	em := 0.0
	for _, r := range runes {
		em += typeset.Width(r, false)
	}
	size := 0.135 * d
	reach := 260.0 // degrees
	if serial {
		reach = 230
	}
	sweep := math.Min(reach, 24*em+10) * math.Pi / 180
	var base, squeeze, step float64
	for {
		base = d/2 - ring - 0.02*d - 0.86*size // the base line lies inside, the heads at the ring
		mid := base + 0.35*size                // where neighbours must not touch
		step = sweep * mid / em                // the arc for one em
		squeeze = math.Min(1, 0.94*step/size)
		if squeeze >= 0.42 || size < 0.05*d {
			break
		}
		size *= 0.95
	}
	// The characters at both ends stand half an em within the sweep.
	at := math.Pi/2 + sweep/2
	for _, r := range runes {
		w := typeset.Width(r, false)
		a := at - sweep*w/em/2
		at -= sweep * w / em
		glyph(p, d/2, base, a-math.Pi/2, size, squeeze, w, string(r))
	}
}

// lower sets the number along the lower arc, read from left to right.
func lower(p *typeset.Page, d, ring float64, serial string) {
	size := 0.062 * d
	base := d/2 - ring - 0.022*d // the feet stand on the ring
	em := 0.0
	for _, r := range serial {
		em += typeset.Width(r, false)
	}
	sweep := math.Min(100*math.Pi/180, 1.25*em*size/base)
	squeeze := math.Min(1, sweep*base/(em*size)*0.95)
	at := -math.Pi/2 - sweep/2
	for _, r := range serial {
		w := typeset.Width(r, false)
		a := at + sweep*w/em/2
		at += sweep * w / em
		glyph(p, d/2, -base, a+math.Pi/2, size, squeeze, w, string(r))
	}
}

// glyph sets one character whose foot is at the distance base from the middle c,
// turned by a.
func glyph(p *typeset.Page, c, base, a, size, squeeze, width float64, s string) {
	sin, cos := math.Sincos(a)
	back := -width * size * squeeze / 2
	p.TextMatrix([6]float64{cos * squeeze, sin * squeeze, -sin, cos, c - sin*base + cos*back, c + cos*base + sin*back}, size, s, false)
}

// line sets one line around x, squeezed where it is wider than most.
func line(p *typeset.Page, s string, x, y, size, most float64) {
	w := typeset.Measure(s, size, false)
	squeeze := math.Min(1, most/w)
	p.TextMatrix([6]float64{squeeze, 0, 0, 1, x - w*squeeze/2, y}, size, s, false)
}

// A NameSeal is a person's square seal (个人名章).
type NameSeal struct {
	Name   string  // 1 to 16 characters; required
	Suffix *string // nil: 印 or 之印 where they fill a square of 4 or 9; else none
	Side   float64 // zero: 18 mm
	Color  *Color  // nil: Red
}

// Name draws a square seal: the characters in columns, read from the top down
// and from right to left. It fails as [Company] does.
func Name(s NameSeal) ([]byte, error) {
	if err := check(s.Name, 1, 16); err != nil {
		return nil, err
	}
	suffix := ""
	switch n := utf8.RuneCountInString(s.Name); {
	case s.Suffix != nil:
		suffix = *s.Suffix
	case latinOnly(s.Name):
	case n == 3 || n == 8:
		suffix = "印"
	case n == 2 || n == 7:
		suffix = "之印"
	}
	if err := check(suffix, 0, 4); err != nil {
		return nil, err
	}
	if !typeset.Settable(s.Name + suffix) {
		return nil, ErrGlyph
	}
	d := s.Side
	if d == 0 {
		d = 18 * MM
	}
	doc, p, err := begin(d, d, s.Color, Red)
	if err != nil {
		return nil, err
	}
	ring := 0.045 * d
	p.Rect(ring/2+0.2, ring/2+0.2, d-ring-0.4, d-ring-0.4, ring)
	runes := []rune(s.Name + suffix)
	if latinOnly(s.Name) { // columns of letters are not read
		line(p, s.Name, d/2, d/2-0.1*d, 0.3*d, d-4*ring)
		return doc.Bytes(), nil
	}
	cols := int(math.Ceil(math.Sqrt(float64(len(runes)))))
	rows := (len(runes) + cols - 1) / cols
	in := d - 2*ring - 0.08*d
	cellW, cellH := in/float64(cols), in/float64(rows)
	size := 0.92 * math.Max(cellW, cellH)
	for i, r := range runes {
		col, row := i/rows, i%rows
		x := d/2 + in/2 - (float64(col)+0.5)*cellW
		y := d/2 + in/2 - (float64(row)+0.5)*cellH
		sx, sy := 0.92*cellW/size, 0.92*cellH/size
		w := typeset.Width(r, false) * size * sx
		p.TextMatrix([6]float64{sx, 0, 0, sy, x - w/2, y - 0.38*size*sy}, size, string(r), false)
	}
	return doc.Bytes(), nil
}

func latinOnly(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// A TextBox is a few lines of text, as name and time of a signer.
type TextBox struct {
	Lines  []string // 1 to 8, each at most 128 characters; empty ones leave room
	W, H   float64  // of the box; required
	Size   float64  // zero: as large as fits, at most 14; a given size shrinks too
	Border bool
	Color  *Color // nil: Black
}

// Text draws lines of text, as large as the box allows: they shrink before one
// would be cut. It fails with [ErrText] or [ErrSize].
func Text(t TextBox) ([]byte, error) {
	if len(t.Lines) == 0 || len(t.Lines) > 8 {
		return nil, fmt.Errorf("%w: 1 to 8 lines", ErrText)
	}
	if math.IsNaN(t.Size) {
		return nil, ErrSize
	}
	widest := 0.0
	for _, l := range t.Lines {
		if err := check(l, 0, 128); err != nil {
			return nil, err
		}
		widest = math.Max(widest, typeset.Measure(l, 1, false))
	}
	doc, p, err := begin(t.W, t.H, t.Color, Black)
	if err != nil {
		return nil, err
	}
	pad := math.Min(0.05*math.Min(t.W, t.H), 4)
	size := t.Size
	if size <= 0 {
		size = 14
	}
	const leading = 1.25
	size = math.Min(size, (t.H-2*pad)/(leading*float64(len(t.Lines))))
	if widest > 0 {
		size = math.Min(size, (t.W-2*pad)/widest)
	}
	if t.Border {
		p.Rect(0.5, 0.5, t.W-1, t.H-1, 0.75)
	}
	block := leading * size * float64(len(t.Lines))
	y := t.H/2 + block/2
	for _, l := range t.Lines {
		y -= leading * size
		if l != "" {
			p.Text(pad, y+0.3*size, size, l)
		}
	}
	return doc.Bytes(), nil
}

func begin(w, h float64, given *Color, normal Color) (*typeset.Doc, *typeset.Page, error) {
	if !(w > 0 && w <= 1000 && h > 0 && h <= 1000) { // NaN included
		return nil, nil, ErrSize
	}
	c := normal
	if given != nil {
		c = *given
	}
	for _, v := range c {
		if !(v >= 0 && v <= 1) {
			return nil, nil, fmt.Errorf("%w: colour", ErrSize)
		}
	}
	doc := &typeset.Doc{}
	p := doc.Page(w, h)
	p.Fill(typeset.Color(c))
	p.Stroke(typeset.Color(c))
	return doc, p, nil
}

func check(s string, least, most int) error {
	if n := utf8.RuneCountInString(s); n < least || n > most {
		return fmt.Errorf("%w: %d to %d characters", ErrText, least, most)
	}
	if !typeset.Printable(s) {
		return fmt.Errorf("%w: a character that cannot be set", ErrText)
	}
	return nil
}
