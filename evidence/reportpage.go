package evidence

import (
	"fmt"
	"strings"

	"github.com/countersign/countersign/internal/qr"
	"github.com/countersign/countersign/internal/typeset"
)

// The page is A4; left, right, top and bottom bound what is set on it.
const (
	pageW, pageH   = 595.276, 841.89
	left, right    = 50.0, 545.0
	top, bottom    = 790.0, 60.0
	cellSize, lead = 7.0, 1.35
)

var (
	black        = typeset.Color{0, 0, 0}
	grey         = typeset.Color{0.35, 0.35, 0.35}
	rule         = typeset.Color{0.75, 0.75, 0.75}
	shade        = typeset.Color{0.93, 0.94, 0.96}
	verdictColor = map[Verdict]typeset.Color{Passed: {0.05, 0.45, 0.15}, Failed: {0.75, 0.05, 0.05}, Indeterminate: {0.7, 0.4, 0}}
)

func (p *paper) pageTop() float64 { return top }

func (p *paper) newPage() {
	p.page = p.doc.Page(pageW, pageH)
	p.pages = append(p.pages, p.page)
	p.y = top
}

// room starts a page unless so much is left on this one.
func (p *paper) room(h float64) {
	if p.y-h < bottom {
		p.newPage()
	}
}

func (p *paper) heading(s phrase) {
	p.room(70)
	p.y -= 26
	p.page.BoldText(left, p.y, 12, p.say(s))
	p.y -= 5
	p.page.Stroke(rule)
	p.page.Line(left, p.y, right, p.y, 0.6)
	p.y -= 5
}

// text sets a paragraph below what is there.
func (p *paper) text(x, width, size float64, s string) {
	for _, line := range lines(s, size, width) {
		p.room(size * lead)
		p.y -= size * lead
		p.page.Text(x, p.y, size, line)
	}
}

// lines breaks text at its newlines and where it is too wide. What no font
// could show is shown as a question mark.
func lines(s string, size, width float64) []string {
	var out []string
	for part := range strings.SplitSeq(s, "\n") {
		out = append(out, typeset.Wrap(clean(part), size, width)...)
	}
	return out
}

func clean(s string) string {
	if typeset.Printable(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if typeset.Printable(string(r)) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(s, "?"))
}

func clip(s string, size, width float64) string {
	if l := lines(s, size, width); len(l) > 0 {
		return l[0]
	}
	return ""
}

func (p *paper) tableOrNone(widths []float64, head []phrase, rows [][]string) {
	if len(rows) == 0 {
		p.text(left, right-left, 8, p.say(sayNone))
		return
	}
	p.table(widths, head, rows)
}

// table sets rows whose cells wrap, repeating the head on every page. Without a
// head the first column is one.
func (p *paper) table(widths []float64, head []phrase, rows [][]string) {
	titles := make([]string, len(head))
	for i, h := range head {
		titles[i] = p.say(h)
	}
	setHead := func() {
		if head != nil {
			p.row(widths, titles, true)
		}
	}
	setHead()
	for _, r := range rows {
		if h := rowHeight(widths, r); p.y-h < bottom && h < top-bottom-40 {
			p.newPage()
			setHead()
		}
		p.row(widths, r, false)
	}
}

func rowHeight(widths []float64, cells []string) float64 {
	n := 1
	for i, c := range cells {
		n = max(n, len(lines(c, cellSize, widths[i]-8)))
	}
	return float64(n)*cellSize*lead + 5
}

func (p *paper) row(widths []float64, cells []string, head bool) {
	set := make([][]string, len(cells))
	most := 1
	for i, c := range cells {
		set[i] = lines(c, cellSize, widths[i]-8)
		most = max(most, len(set[i]))
	}
	// A row taller than a page goes on over several.
	for from := 0; from < most; {
		p.room(cellSize*lead + 5)
		n := min(most-from, int((p.y-bottom-5)/(cellSize*lead)))
		h := float64(n)*cellSize*lead + 5
		if head {
			p.page.Fill(shade)
			p.page.Op("re", left, p.y-h, right-left, h)
			p.page.Op("f")
			p.page.Fill(black)
		}
		x := left
		for i, cell := range set {
			for j := from; j < min(from+n, len(cell)); j++ {
				y := p.y - float64(j-from+1)*cellSize*lead
				if head {
					p.page.BoldText(x+4, y, cellSize, cell[j])
				} else {
					p.page.Text(x+4, y, cellSize, cell[j])
				}
			}
			x += widths[i]
		}
		p.y -= h
		p.page.Stroke(rule)
		p.page.Line(left, p.y, right, p.y, 0.4)
		from += n
	}
}

// code draws a QR code within a square, its quiet zone included.
func (p *paper) code(c *qr.Code, x, y, side float64) {
	unit := side / float64(c.Size+8)
	p.page.Fill(black)
	for j := range c.Size {
		for i := 0; i < c.Size; {
			n := 0
			for c.Black(i+n, j) {
				n++
			}
			if n > 0 {
				p.page.Op("re", x+unit*float64(i+4), y+side-unit*float64(j+5), unit*float64(n), unit)
			}
			i += max(n, 1)
		}
	}
	p.page.Op("f")
}

// finish writes head and foot of every page, now that their number is known.
func (p *paper) finish() {
	sum := p.bundle
	for i, page := range p.pages {
		page.Fill(grey)
		page.Text(left, 808, 7, clip(p.say(sayTitle)+" — "+p.v.r.Env, 7, 380))
		page.Text(left, 38, 6, p.say(sayBundle)+" "+sum)
		n := fmt.Sprintf(p.say(sayPage), i+1, len(p.pages))
		page.Text(right-typeset.Measure(n, 7, false), 808, 7, n)
		page.Stroke(rule)
		page.Line(left, 802, right, 802, 0.4)
		page.Line(left, 48, right, 48, 0.4)
	}
}
