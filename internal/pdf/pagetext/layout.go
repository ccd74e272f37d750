package pagetext

import (
	"cmp"
	"math"
	"slices"
)

// glyphAt is a char in coordinates turned such that it reads from left to
// right: u along the line, v up.
type glyphAt struct {
	*char
	u, v, w float64
	seq     int
}

// segment is a part of a line without a wide gap.
type segment struct {
	glyphs []glyphAt
	v, h   float64
	u0, u1 float64
}

// line is what stands at one height, from left to right.
type line struct{ segments []*segment }

// direction is the text of one direction of writing.
type direction struct {
	angle  int // degrees, 0 for what reads upright on the page as shown
	lines  []line
	blocks [][]*segment // paragraphs and cells, line by line
}

// arrange puts the characters of a page, shown with a rotation, in reading
// order. Upright text comes first.
func arrange(chars []char, rotate int) []direction {
	groups := map[int][]glyphAt{}
	for i := range chars {
		c := &chars[i]
		deg := 0
		if c.dx != 0 || c.dy != 0 {
			deg = int(math.Round(math.Atan2(c.dy, c.dx)*180/math.Pi)) - rotate
		}
		deg = (deg%360 + 360) % 360
		groups[deg] = append(groups[deg], glyphAt{char: c, seq: i})
	}
	angles := make([]int, 0, len(groups))
	for a := range groups {
		angles = append(angles, a)
	}
	slices.Sort(angles)
	var out []direction
	for _, a := range angles {
		g := groups[a]
		sin, cos := math.Sincos(float64(a+rotate) * math.Pi / 180)
		for i := range g {
			c := &g[i]
			c.u, c.v = c.x*cos+c.y*sin, c.y*cos-c.x*sin
			c.w = c.dx*cos + c.dy*sin
		}
		out = append(out, direction{angle: a, lines: lines(g)})
	}
	for i := range out {
		out[i].blocks = blocks(out[i].lines)
	}
	return out
}

// lines gathers glyphs of one height.
func lines(g []glyphAt) []line {
	slices.SortFunc(g, func(a, b glyphAt) int {
		return cmp.Or(cmp.Compare(b.v, a.v), cmp.Compare(a.u, b.u), cmp.Compare(a.seq, b.seq))
	})
	var out []line
	for i := 0; i < len(g); {
		j := i + 1
		for j < len(g) && g[i].v-g[j].v <= 0.35*min(g[i].size, g[j].size) {
			j++
		}
		row := g[i:j]
		slices.SortFunc(row, func(a, b glyphAt) int { return cmp.Or(cmp.Compare(a.u, b.u), cmp.Compare(a.seq, b.seq)) })
		out = append(out, line{segments(distinct(row))})
		i = j
	}
	return out
}

// distinct drops glyphs printed again over themselves to look bold.
func distinct(row []glyphAt) []glyphAt {
	keep := row[:0]
	for _, c := range row {
		again := false
		for k := len(keep) - 1; k >= 0 && k >= len(keep)-4; k-- {
			p := keep[k]
			if math.Abs(p.u-c.u) < 0.3*max(min(p.w, c.w), 0.1*c.size) && math.Abs(p.v-c.v) < 0.2*c.size && slices.Equal(p.text, c.text) {
				again = true
			}
		}
		if !again {
			keep = append(keep, c)
		}
	}
	return keep
}

func segments(row []glyphAt) []*segment {
	var out []*segment
	for _, c := range row {
		var s *segment
		if len(out) > 0 {
			s = out[len(out)-1]
		}
		if s == nil || c.u-s.u1 > 1.5*max(c.size, s.h) {
			s = &segment{v: c.v, u0: c.u, u1: c.u}
			out = append(out, s)
		}
		s.glyphs = append(s.glyphs, c)
		s.h, s.u1 = max(s.h, c.size), max(s.u1, c.u+c.w)
	}
	return out
}

// blocks joins segments that stand below one another: a keyword may be broken
// at the end of a line.
func blocks(lines []line) [][]*segment {
	var done, open [][]*segment
	for _, l := range lines {
		var opened [][]*segment
		for _, s := range l.segments {
			best := -1
			for i, b := range open {
				t := b[len(b)-1]
				dv := t.v - s.v
				if dv <= 0 || dv > 2.2*max(s.h, t.h) || min(s.h, t.h) < 0.7*max(s.h, t.h) || min(s.u1, t.u1) < max(s.u0, t.u0) {
					continue
				}
				if best < 0 || dv < open[best][len(open[best])-1].v-s.v {
					best = i
				}
			}
			if best >= 0 {
				open[best] = append(open[best], s)
			} else if len(open)+len(opened) < 1000 {
				opened = append(opened, []*segment{s})
			} else {
				done = append(done, []*segment{s})
			}
		}
		open = append(open, opened...)
		if len(l.segments) == 0 {
			continue
		}
		v := l.segments[0].v
		open = slices.DeleteFunc(open, func(b []*segment) bool {
			t := b[len(b)-1]
			if t.v-v > 3*t.h {
				done = append(done, b)
				return true
			}
			return false
		})
	}
	return append(done, open...)
}
