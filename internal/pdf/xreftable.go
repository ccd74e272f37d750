package pdf

import "bytes"

// entryLen is the length of an entry without its two bytes of end of line:
// "nnnnnnnnnn ggggg n" (ISO 32000-2 7.5.4).
const entryLen = 18

// readTable reads the frame of the table at off: headers of its subsections and
// the trailer. Entries are skipped by arithmetic where their lines are alike.
func (d *Doc) readTable(off int64) (*section, error) {
	s := &section{kind: Table, off: off}
	pos := off + 4
	for {
		b, start, err := d.line(pos)
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(b, []byte("trailer")) {
			pos = start + 7
			break
		}
		i := regularEnd(b, 0)
		first, ok1 := parseInt(b[:i])
		j := skipSpace(b, i)
		k := regularEnd(b, j)
		n, ok2 := parseInt(b[j:k])
		if i == 0 || j == k || !ok1 || !ok2 || numberKind(b[:i]) != kInt || numberKind(b[j:k]) != kInt || first < 0 || n < 0 {
			return nil, malformed("xref", start, "no subsection header and no trailer")
		}
		if first > maxObject {
			return nil, malformed("xref", start, "object number too large")
		}
		sub := subsection{first: first, n: min(n, maxObject-first)}
		if pos, err = d.readSubsection(&sub, start+int64(k)); err != nil {
			return nil, err
		}
		// Some writers count from 1 and yet begin with the head of the free list.
		if sub.first == 1 && sub.n > 0 && len(s.subs) == 0 {
			if e, err := d.tableEntry(&sub, 0); err == nil && e.Kind == Free && e.Ref.Gen == 65535 {
				sub.first = 0
				for i := range sub.list {
					sub.list[i].Ref.Num--
				}
			}
		}
		s.subs = append(s.subs, sub)
		if len(s.subs) > 1<<20 {
			return nil, limit("xref", start, "too many subsections")
		}
	}
	v, _, end, err := d.valueAt(pos)
	if err != nil {
		return nil, err
	}
	t, ok := v.(*Dict)
	if !ok {
		return nil, malformed("xref", pos, "trailer is no dictionary")
	}
	s.trailer, s.end = t, end
	return s, nil
}

// line returns some bytes at or after pos from the first that is no white space.
func (d *Doc) line(pos int64) ([]byte, int64, error) {
	for {
		b, err := d.src.at(&d.src.xref, pos, 64)
		if err != nil {
			return nil, 0, err
		}
		if len(b) == 0 {
			return nil, 0, malformed("xref", pos, "cross-reference table ends early")
		}
		i := 0
		for i < len(b) && isSpace(b[i]) {
			i++
		}
		if i == len(b) {
			pos += int64(i)
			continue
		}
		if i > 0 {
			pos += int64(i)
			if b, err = d.src.at(&d.src.xref, pos, 64); err != nil {
				return nil, 0, err
			}
		}
		return b, pos, nil
	}
}

// readSubsection finds out how the n entries after pos lie and returns the
// offset behind them.
func (d *Doc) readSubsection(sub *subsection, pos int64) (int64, error) {
	if sub.n == 0 {
		return pos, nil
	}
	b, start, err := d.line(pos)
	if err != nil {
		return 0, err
	}
	sub.off = start
	if isEntry(b) {
		for sub.step = entryLen + 1; sub.step <= entryLen+3; sub.step++ {
			if d.regular(sub) {
				return sub.off + sub.n*sub.step - sub.step + entryLen, nil
			}
		}
	}
	return d.listEntries(sub)
}

// regular reports whether the second, the last and the place after the last
// entry look right for lines of sub.step bytes.
func (d *Doc) regular(sub *subsection) bool {
	last := sub.off + (sub.n-1)*sub.step
	if sub.n > (d.src.size-sub.off)/sub.step+1 || last+entryLen > d.src.size {
		return false
	}
	if sub.n > 1 {
		b, err := d.src.at(&d.src.xref, sub.off+sub.step, entryLen+1)
		if err != nil || !isEntry(b) {
			return false
		}
	}
	b, err := d.src.at(&d.src.xref, last, 64)
	if err != nil || !isEntry(b) {
		return false
	}
	b, _, err = d.line(last + entryLen)
	if err != nil || len(b) == 0 || len(b) > entryLen && isEntry(b) {
		return false
	}
	return b[0] == 't' || isDigit(b[0])
}

func isEntry(b []byte) bool {
	if len(b) < entryLen || b[10] != ' ' || b[16] != ' ' || b[17] != 'n' && b[17] != 'f' {
		return false
	}
	for i := range 16 {
		if i != 10 && !isDigit(b[i]) {
			return false
		}
	}
	return len(b) == entryLen || isSpace(b[entryLen]) || b[entryLen] == 't'
}

// listEntries reads a subsection whose lines are not alike, entry by entry. It
// ends early where something else begins.
func (d *Doc) listEntries(sub *subsection) (int64, error) {
	sub.list = nil
	pos := sub.off
	for i := range sub.n {
		b, start, err := d.line(pos)
		if err != nil {
			return 0, err
		}
		e, n := parseEntry(b)
		if n == 0 {
			if b[0] == 't' {
				break
			}
			return 0, malformed("xref", start, "not a cross-reference entry")
		}
		e.Ref.Num = uint32(sub.first + i)
		d.locate(&e)
		sub.list = append(sub.list, e)
		pos = start + int64(n)
	}
	sub.n = int64(len(sub.list))
	return pos, nil
}

// parseEntry reads an entry of any spacing and returns its length, 0 if it is none.
func parseEntry(b []byte) (Entry, int) {
	i := regularEnd(b, 0)
	j := skipSpace(b, i)
	k := regularEnd(b, j)
	l := skipSpace(b, k)
	if i == 0 || j == k || l == k || l >= len(b) || numberKind(b[:i]) != kInt || numberKind(b[j:k]) != kInt {
		return Entry{}, 0
	}
	off, ok := parseInt(b[:i])
	gen, ok2 := parseInt(b[j:k])
	if !ok || !ok2 || off < 0 || gen < 0 {
		return Entry{}, 0
	}
	e := Entry{Offset: off, Ref: Ref{Gen: uint16(min(gen, 65535))}}
	switch b[l] {
	case 'n':
		e.Kind = InUse
	case 'f':
		e.Kind = Free
	default:
		return Entry{}, 0
	}
	if regularEnd(b, l) != l+1 && !bytes.HasPrefix(b[l+1:], []byte("trailer")) {
		return Entry{}, 0
	}
	return e, l + 1
}

// locate makes the offset of an entry physical. Offset 0 is written by some for
// objects that do not exist.
func (d *Doc) locate(e *Entry) {
	if e.Kind == InUse && e.Offset == 0 {
		e.Kind = Free
	}
	if e.Kind != InUse {
		e.Offset = 0
		return
	}
	e.Offset += d.base
}

// tableEntry returns entry i of a subsection of a table.
func (d *Doc) tableEntry(sub *subsection, i int64) (Entry, error) {
	if sub.list == nil {
		b, err := d.src.at(&d.src.xref, sub.off+i*sub.step, entryLen+1)
		if err != nil {
			return Entry{}, err
		}
		if isEntry(b) {
			off, _ := parseInt(b[:10])
			gen, _ := parseInt(b[11:16])
			e := Entry{Ref: Ref{uint32(sub.first + i), uint16(min(gen, 65535))}, Kind: InUse, Offset: off}
			if b[17] == 'f' {
				e.Kind = Free
			}
			d.locate(&e)
			return e, nil
		}
		if _, err := d.listEntries(sub); err != nil { // the lines are not alike after all
			return Entry{}, err
		}
	}
	if i >= int64(len(sub.list)) {
		return Entry{Ref: Ref{Num: uint32(sub.first + i)}, Kind: Free}, nil
	}
	return sub.list[i], nil
}
