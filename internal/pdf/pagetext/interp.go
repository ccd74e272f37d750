package pagetext

import (
	"errors"
	"math"

	"github.com/countersign/countersign/internal/pdf"
)

type matrix [6]float64

var identity = matrix{1, 0, 0, 1, 0, 0}

// mul returns the transformation that applies m first, then n.
func (m matrix) mul(n matrix) matrix {
	return matrix{
		m[0]*n[0] + m[1]*n[2], m[0]*n[1] + m[1]*n[3],
		m[2]*n[0] + m[3]*n[2], m[2]*n[1] + m[3]*n[3],
		m[4]*n[0] + m[5]*n[2] + n[4], m[4]*n[1] + m[5]*n[3] + n[5],
	}
}

func (m matrix) point(x, y float64) (float64, float64) {
	return m[0]*x + m[2]*y + m[4], m[1]*x + m[3]*y + m[5]
}

func (m matrix) vector(x, y float64) (float64, float64) { return m[0]*x + m[2]*y, m[1]*x + m[3]*y }

// char is a glyph on the page, in default user space.
type char struct {
	text   []rune // folded
	x, y   float64
	dx, dy float64 // advance
	size   float64 // height of the em
	box    [4]float64
}

// state is the graphics state as far as text needs it.
type state struct {
	ctm                        matrix
	font                       *font
	size, tc, tw, tz, tl, rise float64
}

// interp runs content streams.
type interp struct {
	r     *Reader
	st    state
	stack []state
	tm    matrix
	line  matrix
	chars []char
	ops   int
	depth int
}

// Bounds of one page, if nothing else is said. Reaching one is a LIMIT error.
const (
	maxOps    = 5_000_000
	maxOpsAll = 100_000_000 // in a document
	maxChars  = 500_000
	maxForms  = 12 // forms within forms
	maxStates = 512
)

func tooMuch(what string) error {
	return &pdf.Error{Code: pdf.CodeLimit, Op: "text", Offset: -1, Err: errors.New(what)}
}

func (in *interp) run(content []byte, res *pdf.Dict) error {
	base := len(in.stack)
	for op, args := range pdf.Operators(content) {
		if in.ops++; in.ops > maxOps {
			return tooMuch("too many operators on a page")
		}
		if err := in.op(op, args, res, base); err != nil {
			return err
		}
	}
	return nil
}

// nums returns the last n operands as numbers.
func nums(args []pdf.Object, n int) (f [6]float64, ok bool) {
	if len(args) < n {
		return f, false
	}
	for i, o := range args[len(args)-n:] {
		v, ok := pdf.Number(o)
		if !ok {
			return f, false
		}
		f[i] = v
	}
	return f, true
}

func (in *interp) op(op string, args []pdf.Object, res *pdf.Dict, base int) error {
	set := func(to *float64) {
		if f, ok := nums(args, 1); ok {
			*to = f[0]
		}
	}
	switch op {
	case "q":
		if len(in.stack) < maxStates {
			in.stack = append(in.stack, in.st)
		}
	case "Q":
		if len(in.stack) > base {
			in.st = in.stack[len(in.stack)-1]
			in.stack = in.stack[:len(in.stack)-1]
		}
	case "cm":
		if f, ok := nums(args, 6); ok {
			in.st.ctm = matrix(f).mul(in.st.ctm)
		}
	case "BT":
		in.tm, in.line = identity, identity
	case "Tf":
		return in.setFont(args, res)
	case "Tc":
		set(&in.st.tc)
	case "Tw":
		set(&in.st.tw)
	case "Tz":
		if f, ok := nums(args, 1); ok {
			in.st.tz = f[0] / 100
		}
	case "TL":
		set(&in.st.tl)
	case "Ts":
		set(&in.st.rise)
	case "Td", "TD":
		if f, ok := nums(args, 2); ok {
			if op == "TD" {
				in.st.tl = -f[1]
			}
			in.move(f[0], f[1])
		}
	case "Tm":
		if f, ok := nums(args, 6); ok {
			in.tm, in.line = f, f
		}
	case "T*":
		in.move(0, -in.st.tl)
	case "Tj":
		return in.show(last(args))
	case "'":
		in.move(0, -in.st.tl)
		return in.show(last(args))
	case "\"":
		if len(args) >= 3 {
			if f, ok := nums(args[:len(args)-1], 2); ok {
				in.st.tw, in.st.tc = f[0], f[1]
			}
		}
		in.move(0, -in.st.tl)
		return in.show(last(args))
	case "TJ":
		a, _ := last(args).(*pdf.Array)
		for _, o := range a.All() {
			if v, ok := pdf.Number(o); ok {
				in.adjust(v)
			} else if err := in.show(o); err != nil {
				return err
			}
		}
	case "gs":
		return in.extState(args, res)
	case "Do":
		return in.form(args, res)
	}
	return nil
}

func (in *interp) move(x, y float64) {
	in.line = matrix{1, 0, 0, 1, x, y}.mul(in.line)
	in.tm = in.line
}

// adjust moves by a number of a TJ array, in thousandths.
func (in *interp) adjust(v float64) {
	x, y := -v/1000*in.st.size*in.st.tz, 0.0
	if in.st.font != nil && in.st.font.composite && in.st.font.codes.vertical {
		x, y = 0, -v/1000*in.st.size
	}
	in.tm = matrix{1, 0, 0, 1, x, y}.mul(in.tm)
}

func (in *interp) setFont(args []pdf.Object, res *pdf.Dict) error {
	if len(args) < 2 {
		return nil
	}
	name, ok := args[len(args)-2].(pdf.Name)
	size, ok2 := pdf.Number(args[len(args)-1])
	if !ok || !ok2 {
		return nil
	}
	fonts, _, err := in.r.doc.LookupDict(res, "Font")
	if err != nil {
		return soft(err)
	}
	f, err := in.r.font(fonts.Get(name))
	if err != nil {
		return soft(err)
	}
	in.st.font, in.st.size = f, size
	return nil
}

func (in *interp) extState(args []pdf.Object, res *pdf.Dict) error {
	name, ok := last(args).(pdf.Name)
	if !ok {
		return nil
	}
	d := in.r.doc
	all, _, err := d.LookupDict(res, "ExtGState")
	if err != nil {
		return soft(err)
	}
	gs, _, err := d.LookupDict(all, name)
	if err != nil {
		return soft(err)
	}
	a, _, err := d.LookupArray(gs, "Font")
	if err != nil || a.Len() != 2 {
		return soft(err)
	}
	f, err := in.r.font(a.At(0))
	if err != nil {
		return soft(err)
	}
	if size, ok := pdf.Number(a.At(1)); ok {
		in.st.font, in.st.size = f, size
	}
	return nil
}

// form runs a form XObject.
func (in *interp) form(args []pdf.Object, res *pdf.Dict) error {
	name, ok := last(args).(pdf.Name)
	if !ok {
		return nil
	}
	d := in.r.doc
	all, _, err := d.LookupDict(res, "XObject")
	if err != nil {
		return soft(err)
	}
	o, err := d.Lookup(all, name)
	if err != nil {
		return soft(err)
	}
	s, ok := o.(*pdf.Stream)
	if !ok {
		return nil
	}
	if t, err := d.LookupName(s.Dict, "Subtype"); err != nil || t != "Form" {
		return soft(err)
	}
	if in.ops += 100; in.ops > maxOps { // loading and decoding are work too
		return tooMuch("too many forms on a page")
	}
	if in.depth++; in.depth > maxForms {
		in.depth--
		return nil
	}
	defer func() { in.depth-- }()
	content, err := s.Decode()
	if err != nil && soft(err) != nil {
		return err
	}
	in.ops += len(content) / 64
	own, _, err := d.LookupDict(s.Dict, "Resources")
	if err != nil {
		return soft(err)
	}
	if own == nil {
		own = res
	}
	m, err := d.LookupNumbers(s.Dict, "Matrix")
	if err != nil {
		return soft(err)
	}
	saved, tm, line, depth := in.st, in.tm, in.line, len(in.stack)
	if len(m) == 6 {
		in.st.ctm = matrix(m).mul(in.st.ctm)
	}
	err = in.run(content, own)
	in.st, in.tm, in.line, in.stack = saved, tm, line, in.stack[:min(depth, len(in.stack))]
	return err
}

// show places the glyphs of a string.
func (in *interp) show(o pdf.Object) error {
	s, ok := o.(pdf.String)
	f := in.st.font
	if !ok || f == nil {
		return nil
	}
	st := &in.st
	vertical := f.composite && f.codes.vertical
	for b := s.B; len(b) > 0; {
		g, n := f.next(b)
		b = b[n:]
		if in.ops++; in.ops > maxOps || len(in.chars) > maxChars {
			return tooMuch("too many characters on a page")
		}
		extra := st.tc
		if g.space {
			extra += st.tw
		}
		m := in.tm.mul(st.ctm)
		if text := trim(foldText(g.text)); len(text) > 0 {
			in.place(m, g.width, text, vertical)
		}
		x, y := (g.width*st.size+extra)*st.tz, 0.0
		if vertical {
			x, y = 0, -st.size+extra
		}
		in.tm = matrix{1, 0, 0, 1, x, y}.mul(in.tm)
	}
	return nil
}

// trim removes spaces around text; what is nothing else has no look.
func trim(r []rune) []rune {
	for len(r) > 0 && r[0] == ' ' {
		r = r[1:]
	}
	for len(r) > 0 && r[len(r)-1] == ' ' {
		r = r[:len(r)-1]
	}
	return r
}

func (in *interp) place(m matrix, width float64, text []rune, vertical bool) {
	st, f := &in.st, in.st.font
	w, low, high := width*st.size*st.tz, f.descent*st.size+st.rise, f.ascent*st.size+st.rise
	left := 0.0
	c := char{text: text}
	c.x, c.y = m.point(0, st.rise)
	c.dx, c.dy = m.vector(w, 0)
	if vertical { // the origin is above the middle of the glyph
		left, low, high = -w/2, -st.size+st.rise, st.rise
		c.dx, c.dy = m.vector(0, -st.size)
	}
	ux, uy := m.vector(0, st.size)
	c.size = math.Hypot(ux, uy)
	c.box = [4]float64{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for _, p := range [4][2]float64{{left, low}, {left + w, low}, {left, high}, {left + w, high}} {
		x, y := m.point(p[0], p[1])
		c.box = [4]float64{min(c.box[0], x), min(c.box[1], y), max(c.box[2], x), max(c.box[3], y)}
	}
	for _, v := range append(c.box[:], c.x, c.y, c.dx, c.dy, c.size) {
		if math.IsNaN(v) || math.Abs(v) > 1e9 {
			return
		}
	}
	in.chars = append(in.chars, c)
}
