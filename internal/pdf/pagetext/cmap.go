package pagetext

import (
	"sort"
	"unicode/utf16"

	"github.com/countersign/countersign/internal/pdf"
)

// cmap maps the bytes of a string to codes, and codes to CIDs or to text (ISO
// 32000-2 9.7.5, 9.10.3).
type cmap struct {
	spaces   []codespace
	cids     []cidRange
	texts    []textRange
	unicode  func(code uint32) string // of a predefined CMap
	identity bool                     // the code is the CID
	vertical bool
}

type codespace struct {
	n      int
	lo, hi uint32
}

type cidRange struct{ lo, hi, cid uint32 }

type textRange struct {
	lo, hi uint32
	text   []rune // of lo; the last rune counts up
}

// next splits the first code off b. Bytes that fit no codespace range are one
// code of the shortest length.
func (m *cmap) next(b []byte) (code uint32, n int) {
	shortest := 4
	for _, s := range m.spaces {
		shortest = min(shortest, s.n)
		if len(b) < s.n {
			continue
		}
		fits := true
		code = 0
		for i := range s.n {
			shift := uint(8 * (s.n - 1 - i))
			c := uint32(b[i])
			fits = fits && c >= s.lo>>shift&0xff && c <= s.hi>>shift&0xff
			code = code<<8 | c
		}
		if fits {
			return code, s.n
		}
	}
	code = 0
	for _, c := range b[:min(shortest, len(b))] {
		code = code<<8 | uint32(c)
	}
	return code, min(shortest, len(b))
}

func (m *cmap) cid(code uint32) uint32 {
	if m.identity {
		return code
	}
	i := sort.Search(len(m.cids), func(i int) bool { return m.cids[i].lo > code })
	for k := i - 1; k >= 0 && k >= i-8; k-- {
		if r := m.cids[k]; code <= r.hi {
			return r.cid + code - r.lo
		}
	}
	return 0
}

func (m *cmap) text(code uint32) string {
	if m == nil {
		return ""
	}
	i := sort.Search(len(m.texts), func(i int) bool { return m.texts[i].lo > code })
	for k := i - 1; k >= 0 && k >= i-8; k-- {
		r := m.texts[k]
		if code > r.hi || len(r.text) == 0 {
			continue
		}
		if code == r.lo {
			return string(r.text)
		}
		t := append([]rune(nil), r.text...)
		t[len(t)-1] += rune(code - r.lo)
		return string(t)
	}
	if m.unicode != nil {
		return m.unicode(code)
	}
	return ""
}

// parseCMap reads a CMap. parent finds the one it is based on by name, and may
// be nil.
func parseCMap(b []byte, parent func(pdf.Name) *cmap) *cmap {
	m := &cmap{}
	for op, args := range pdf.Operators(b) {
		switch op {
		case "usecmap":
			if n, ok := last(args).(pdf.Name); ok && parent != nil {
				if p := parent(n); p != nil {
					*m = *p
					m.spaces = append([]codespace(nil), p.spaces...)
				}
			}
		case "def":
			if len(args) >= 2 && args[len(args)-2] == pdf.Name("WMode") {
				m.vertical = args[len(args)-1] == pdf.Int(1)
			}
		case "endcodespacerange":
			for i := 0; i+1 < len(args); i += 2 {
				lo, n := code(args[i])
				hi, k := code(args[i+1])
				if n > 0 && n == k && len(m.spaces) < 1000 {
					m.spaces = append(m.spaces, codespace{n, lo, hi})
				}
			}
		case "endcidrange":
			for i := 0; i+2 < len(args); i += 3 {
				lo, _ := code(args[i])
				hi, n := code(args[i+1])
				if cid, ok := args[i+2].(pdf.Int); ok && n > 0 && hi >= lo {
					m.cids = append(m.cids, cidRange{lo, hi, uint32(cid)})
				}
			}
		case "endcidchar":
			for i := 0; i+1 < len(args); i += 2 {
				c, n := code(args[i])
				if cid, ok := args[i+1].(pdf.Int); ok && n > 0 {
					m.cids = append(m.cids, cidRange{c, c, uint32(cid)})
				}
			}
		case "endbfchar":
			for i := 0; i+1 < len(args); i += 2 {
				c, n := code(args[i])
				if n > 0 {
					m.texts = append(m.texts, textRange{c, c, bfText(args[i+1])})
				}
			}
		case "endbfrange":
			m.bfRanges(args)
		}
	}
	sort.SliceStable(m.cids, func(i, j int) bool { return m.cids[i].lo < m.cids[j].lo })
	sort.SliceStable(m.texts, func(i, j int) bool { return m.texts[i].lo < m.texts[j].lo })
	if len(m.spaces) == 0 {
		m.spaces = []codespace{{2, 0, 0xffff}}
	}
	// Shorter codes are tried first; a well-formed CMap has no overlaps.
	sort.SliceStable(m.spaces, func(i, j int) bool { return m.spaces[i].n < m.spaces[j].n })
	return m
}

func (m *cmap) bfRanges(args []pdf.Object) {
	for i := 0; i+2 < len(args); i += 3 {
		lo, n := code(args[i])
		hi, k := code(args[i+1])
		if n == 0 || k == 0 || hi < lo {
			continue
		}
		if a, ok := args[i+2].(*pdf.Array); ok {
			for j, o := range a.All() {
				if c := lo + uint32(j); c <= hi && c >= lo {
					m.texts = append(m.texts, textRange{c, c, bfText(o)})
				}
			}
			continue
		}
		m.texts = append(m.texts, textRange{lo, hi, bfText(args[i+2])})
	}
}

func last(args []pdf.Object) pdf.Object {
	if len(args) == 0 {
		return nil
	}
	return args[len(args)-1]
}

// code reads a code of up to four bytes; n is 0 if o is none.
func code(o pdf.Object) (c uint32, n int) {
	s, ok := o.(pdf.String)
	if !ok || len(s.B) == 0 || len(s.B) > 4 {
		return 0, 0
	}
	for _, b := range s.B {
		c = c<<8 | uint32(b)
	}
	return c, len(s.B)
}

// bfText reads the target of a bfchar or bfrange: UTF-16BE, or a glyph name.
func bfText(o pdf.Object) []rune {
	switch v := o.(type) {
	case pdf.String:
		b := v.B
		if len(b) == 1 { // one byte where two belong
			b = []byte{0, b[0]}
		}
		u := make([]uint16, 0, len(b)/2)
		for i := 0; i+1 < len(b); i += 2 {
			if c := uint16(b[i])<<8 | uint16(b[i+1]); c != 0 {
				u = append(u, c)
			}
		}
		return utf16.Decode(u)
	case pdf.Name:
		return []rune(glyphText(string(v)))
	}
	return nil
}
