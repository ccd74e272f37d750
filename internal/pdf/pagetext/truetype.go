package pagetext

import (
	"encoding/binary"

	"github.com/countersign/countersign/internal/pdf"
)

// embedded returns which character a CID of an embedded TrueType font shows, by
// the font's own character map read backwards; nil if there is none.
func (r *Reader) embedded(cid, desc *pdf.Dict) (map[uint32]rune, error) {
	o, err := r.doc.Lookup(desc, "FontFile2")
	if err != nil {
		return nil, err
	}
	s, ok := o.(*pdf.Stream)
	if !ok {
		return nil, nil
	}
	b, err := s.Decode()
	if err != nil && len(b) == 0 {
		return nil, err
	}
	byGlyph := glyphRunesOf(b)
	if byGlyph == nil {
		return nil, nil
	}
	o, err = r.doc.Lookup(cid, "CIDToGIDMap")
	if err != nil {
		return nil, err
	}
	m, ok := o.(*pdf.Stream)
	if !ok {
		return byGlyph, nil // Identity
	}
	table, err := m.Decode()
	if err != nil && len(table) == 0 {
		return nil, err
	}
	out := make(map[uint32]rune)
	for c := 0; 2*c+1 < len(table) && c < 65536; c++ {
		if v, ok := byGlyph[uint32(binary.BigEndian.Uint16(table[2*c:]))]; ok {
			out[uint32(c)] = v
		}
	}
	return out, nil
}

// glyphRunesOf reads the cmap table of a TrueType font: format 12 if there is
// one, else format 4.
func glyphRunesOf(b []byte) map[uint32]rune {
	u16 := func(i int) int {
		if i < 0 || i+2 > len(b) {
			return 0
		}
		return int(binary.BigEndian.Uint16(b[i:]))
	}
	u32 := func(i int) int {
		if i < 0 || i+4 > len(b) {
			return 0
		}
		return int(binary.BigEndian.Uint32(b[i:]))
	}
	at := 0
	for i := range min(u16(4), 64) {
		if rec := 12 + 16*i; rec+16 <= len(b) && string(b[rec:rec+4]) == "cmap" {
			at = u32(rec + 8)
		}
	}
	if at == 0 {
		return nil
	}
	best, format := 0, 0
	for i := range min(u16(at+2), 64) {
		rec := at + 4 + 8*i
		platform, enc := u16(rec), u16(rec+2)
		sub := at + u32(rec+4)
		f := u16(sub)
		unicode := platform == 0 || platform == 3 && (enc == 1 || enc == 10)
		if unicode && (f == 4 || f == 12) && f > format {
			best, format = sub, f
		}
	}
	out := make(map[uint32]rune)
	left := 1 << 20 // characters looked at: ranges may overlap in a hostile font
	add := func(gid int, r rune) {
		if left--; gid == 0 || gid > 0xffff {
			return
		}
		if old, ok := out[uint32(gid)]; !ok || better(r, old) {
			out[uint32(gid)] = r
		}
	}
	switch format {
	case 12:
		for i := range min(u32(best+12), 1<<16) {
			g := best + 16 + 12*i
			lo, hi, gid := u32(g), u32(g+4), u32(g+8)
			if g+12 > len(b) || lo > hi || hi > 0x10ffff {
				break
			}
			for c := lo; c <= hi && left > 0; c++ {
				add(gid+c-lo, rune(c))
			}
		}
	case 4:
		n := u16(best+6) / 2
		end, start, delta, offset := best+14, best+16+2*n, best+16+4*n, best+16+6*n
		for i := range n {
			lo, hi := u16(start+2*i), u16(end+2*i)
			for c := lo; c <= hi && c < 0xffff && left > 0; c++ {
				gid := 0
				if o := u16(offset + 2*i); o == 0 {
					gid = (c + u16(delta+2*i)) & 0xffff
				} else if gid = u16(offset + 2*i + o + 2*(c-lo)); gid != 0 {
					gid = (gid + u16(delta+2*i)) & 0xffff
				}
				add(gid, rune(c))
			}
		}
	default:
		return nil
	}
	return out
}

// better reports whether r is a more usual character for a glyph than old: not a
// compatibility form.
func better(r, old rune) bool {
	odd := func(r rune) bool {
		return r >= 0x2e80 && r <= 0x2fdf || r >= 0xe000 && r <= 0xfaff || r == 0xa0 || r == 0xad
	}
	return odd(old) && !odd(r)
}
