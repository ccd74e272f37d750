package pagetext

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/pdf"
)

// A Reader reads the text of a document. It keeps the fonts it has met and is
// not safe for concurrent use.
type Reader struct {
	doc   *pdf.Doc
	fonts map[pdf.Ref]*font
	ops   int // of all pages read
}

// NewReader returns a Reader of d.
func NewReader(d *pdf.Doc) *Reader { return &Reader{doc: d, fonts: map[pdf.Ref]*font{}} }

// A Line is what stands at one height of a page.
type Line struct {
	Text string     // full-width Latin folded to ASCII, a space for every gap
	Rect [4]float64 // left, bottom, right, top in default user space
}

// A Match is a place where a text was found.
type Match struct {
	Page  int          // from 0
	Rects [][4]float64 // one a line: left, bottom, right, top in default user space, not rotated
}

// MaxMatches bounds what Find returns.
const MaxMatches = 10_000

// ErrEmpty is the error of Find for a text without anything to find.
var ErrEmpty = errors.New("pagetext: nothing to find")

// Page returns the lines of a page in reading order.
func (r *Reader) Page(p pdf.Page) ([]Line, error) {
	dirs, err := r.read(p)
	if err != nil {
		return nil, err
	}
	var out []Line
	for _, d := range dirs {
		for _, l := range d.lines {
			var s sequence
			s.line(l.segments)
			if len(s.runes) == 0 {
				continue
			}
			box := s.glyphs[0].box
			for _, g := range s.glyphs {
				if g != nil {
					box = union(box, g.box)
				}
			}
			out = append(out, Line{string(s.runes), box})
		}
	}
	return out, nil
}

// read interprets a page.
func (r *Reader) read(p pdf.Page) ([]direction, error) {
	content, err := r.doc.Content(p)
	if err != nil {
		return nil, err
	}
	res, err := r.doc.Resources(p)
	if err != nil {
		return nil, err
	}
	in := &interp{r: r, st: state{ctm: identity, tz: 1}, tm: identity, line: identity}
	err = in.run(content, res)
	if r.ops += in.ops; err == nil && r.ops > maxOpsAll {
		err = tooMuch("too many operators in the document")
	}
	if err != nil {
		return nil, err
	}
	return arrange(in.chars, p.Rotate), nil
}

// Find returns where text stands, page by page in reading order. White space in
// text matches any gap, and none between ideographs; a line break is a gap.
// Full-width and half-width Latin, ideographs and their radical forms count as
// equal; letters do not match across case. ctx is looked at before each page.
//
// A page whose content cannot be read ends it with an error. LIMIT beyond
// [MaxMatches].
func (r *Reader) Find(ctx context.Context, text string) ([]Match, error) {
	needle := collapse(foldText(text))
	if len(needle) == 0 {
		return nil, ErrEmpty
	}
	var out []Match
	for p, err := range r.doc.Pages() {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := r.findOn(p, needle)
		if err != nil {
			return nil, err
		}
		if out = append(out, found...); len(out) > MaxMatches {
			return nil, tooMuch("too many matches")
		}
	}
	return out, nil
}

// FindOn is [Reader.Find] on one page.
func (r *Reader) FindOn(p pdf.Page, text string) ([]Match, error) {
	needle := collapse(foldText(text))
	if len(needle) == 0 {
		return nil, ErrEmpty
	}
	return r.findOn(p, needle)
}

func (r *Reader) findOn(p pdf.Page, needle []rune) ([]Match, error) {
	dirs, err := r.read(p)
	if err != nil {
		return nil, err
	}
	var out []Match
	for _, d := range dirs {
		if out = append(out, d.find(p.Index, needle)...); len(out) > MaxMatches {
			return nil, tooMuch("too many matches")
		}
	}
	return out, nil
}

// collapse makes one space of several and trims.
func collapse(r []rune) []rune {
	return []rune(strings.Join(strings.Fields(string(r)), " "))
}

// sequence is text to search in: runes, and the glyph each belongs to, nil for a
// gap.
type sequence struct {
	runes  []rune
	glyphs []*glyphAt
	row    []int // line of each
}

func (s *sequence) gap(row int) {
	if len(s.runes) > 0 {
		s.runes, s.glyphs, s.row = append(s.runes, ' '), append(s.glyphs, nil), append(s.row, row)
	}
}

func (s *sequence) add(seg *segment, row int) {
	end := seg.u0
	for i := range seg.glyphs {
		g := &seg.glyphs[i]
		if i > 0 && g.u-end > 0.2*g.size {
			s.gap(row)
		}
		for _, r := range g.text {
			s.runes, s.glyphs, s.row = append(s.runes, r), append(s.glyphs, g), append(s.row, row)
		}
		end = max(end, g.u+g.w)
	}
}

func (s *sequence) line(segs []*segment) {
	for i, seg := range segs {
		if i > 0 {
			s.gap(0)
		}
		s.add(seg, 0)
	}
}

// hit is a match in a sequence with its place in reading order.
type hit struct {
	v, u  float64
	first *glyphAt
	rects [][4]float64
}

// find searches every line, and every block for what is broken over lines.
func (d direction) find(page int, needle []rune) []Match {
	var hits []hit
	for _, l := range d.lines {
		var s sequence
		s.line(l.segments)
		hits = append(hits, s.find(needle, false)...)
	}
	for _, b := range d.blocks {
		if len(b) < 2 {
			continue
		}
		var s sequence
		for row, seg := range b {
			if row > 0 {
				s.gap(row)
			}
			s.add(seg, row)
		}
		hits = append(hits, s.find(needle, true)...)
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Or(cmp.Compare(b.v, a.v), cmp.Compare(a.u, b.u)) })
	out := make([]Match, 0, len(hits))
	for _, h := range hits {
		out = append(out, Match{page, h.rects})
	}
	return out
}

// find returns the matches, with broken only those over more than one line.
func (s *sequence) find(needle []rune, broken bool) []hit {
	var hits []hit
	for i := 0; i < len(s.runes); i++ {
		end := s.match(i, needle)
		if end < 0 || broken && s.row[i] == s.row[end-1] {
			continue
		}
		h := hit{v: s.glyphs[i].v, u: s.glyphs[i].u, first: s.glyphs[i]}
		row := -1
		for k := i; k < end; k++ {
			g := s.glyphs[k]
			switch {
			case g == nil:
			case s.row[k] != row:
				row = s.row[k]
				h.rects = append(h.rects, g.box)
			default:
				h.rects[len(h.rects)-1] = union(h.rects[len(h.rects)-1], g.box)
			}
		}
		hits = append(hits, h)
		i = end - 1
	}
	return hits
}

// match returns the end of needle in the runes from i on, or -1.
func (s *sequence) match(i int, needle []rune) int {
	if s.runes[i] != needle[0] {
		return -1
	}
	k := 0
	for ; i < len(s.runes); i++ {
		have, want := s.runes[i], needle[k]
		if have == want {
			if k++; k == len(needle) {
				return i + 1
			}
			continue
		}
		wide := k > 0 && (ideograph(needle[k-1]) || ideograph(want) || k+1 < len(needle) && want == ' ' && ideograph(needle[k+1]))
		switch {
		case have == ' ' && wide:
		case want == ' ' && wide:
			k++ // the space is not in the document
			i--
		default:
			return -1
		}
	}
	return -1
}

// ideograph reports whether no space is written around r.
func ideograph(r rune) bool {
	return r >= 0x2e80 && r < 0xac00 || r >= 0xf900 && r < 0xfb00 || r >= 0xfe30 && r < 0xfe50 || r >= 0x20000 && r < 0x40000 ||
		strings.ContainsRune("()[]:;,.!?<>“”‘’、。", r)
}

func union(a, b [4]float64) [4]float64 {
	return [4]float64{min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])}
}
