package pdf

import "iter"

func (d *Doc) revisions() ([]Revision, error) {
	if d.repaired {
		return nil, &Error{Code: CodeRepaired, Op: "revisions", Offset: -1}
	}
	var out []Revision
	sections := d.xref.sections
	limit := d.src.size
	for i := 0; i < len(sections); {
		r := Revision{Start: sections[i].off, doc: d, Kind: sections[i].kind}
		j := i + 1
		// The first section of a linearised file stands before the one it
		// continues; both were written together.
		for j < len(sections) && sections[j].off > sections[j-1].off {
			j++
		}
		r.sections = sections[i:j]
		end := int64(0)
		for _, s := range r.sections {
			end = max(end, s.end)
			if s.hidden != nil {
				end = max(end, s.hidden.end)
			}
		}
		if end < limit {
			if err := d.spend(0, end); err != nil {
				return nil, err
			}
			at, err := d.src.find([]byte("%%EOF"), end, limit)
			if err != nil {
				return nil, err
			}
			if at >= 0 {
				if err := d.spend(at-end, end); err != nil {
					return nil, err
				}
				r.End = at + 5
				if r.EndEOL, err = d.afterEOL(r.End); err != nil {
					return nil, err
				}
			} else if err := d.spend(limit-end, end); err != nil {
				return nil, err
			}
		}
		out = append(out, r)
		i = j
	}
	return out, nil
}

// afterEOL returns the offset behind the end-of-line marker at off, if any.
func (d *Doc) afterEOL(off int64) (int64, error) {
	b, err := d.src.at(&d.src.xref, off, 2)
	if err != nil {
		return 0, err
	}
	switch {
	case len(b) == 2 && b[0] == '\r' && b[1] == '\n':
		return off + 2, nil
	case len(b) > 0 && (b[0] == '\r' || b[0] == '\n'):
		return off + 1, nil
	}
	return off, nil
}

func (r Revision) each(f func(*section) bool) {
	for _, s := range r.sections {
		if !f(s) || s.hidden != nil && !f(s.hidden) {
			return
		}
	}
}

func (r Revision) spans() []Span {
	var out []Span
	r.each(func(s *section) bool {
		out = append(out, Span{s.off, s.end - s.off})
		return true
	})
	return out
}

func (r Revision) entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		r.each(func(s *section) bool {
			for k := range s.subs {
				sub := &s.subs[k]
				for i := int64(0); i < sub.n; i++ {
					e, err := r.doc.entryAt(s, sub, i)
					if !yield(e, err) || err != nil {
						return false
					}
				}
			}
			return true
		})
	}
}
