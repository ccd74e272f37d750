package pades

import (
	"fmt"

	"github.com/countersign/countersign/internal/pdf"
)

// changes compares, revision by revision, what happened after the earliest
// signature, and judges it for each signature by what that one allows (V8, V9).
func (v *verifier) changes() error {
	first := len(v.revs)
	for _, s := range v.sigs {
		if s.rev >= 0 {
			first = min(first, s.rev)
		}
	}
	tail, err := v.trailing()
	if err != nil {
		return err
	}
	var steps [][]change // steps[i] is what revision first+1+i changed
	if first < len(v.revs)-1 {
		if steps, err = v.steps(first); err != nil {
			return err
		}
	}
	n := v.doc.Linearized()
	front := len(v.revs) > 1 && n > 0 && (n == v.size || n == v.size-v.doc.Header())
	size, hides, err := v.hidden()
	if err != nil {
		return err
	}
	stray := int64(-1)
	if first < len(v.revs)-1 {
		if stray, err = v.doc.Strays(v.revs[first].EndEOL, v.revs[first+1:]); err != nil {
			return err
		}
	}
	for _, s := range v.sigs {
		if front {
			// Made to fit: a file loses its linearization with its first update.
			v.allow(s, change{Change: Change{Revision: max(0, len(v.revs)-1-s.rev), Class: ChangesOther, Note: "the linearization hides all revisions but the first"}})
		}
		if s.rev < 0 {
			if v.doc.Repaired() {
				continue
			}
			// Nothing is known of what came after something that was never
			// a whole document.
			s.report.Changes = ChangesOther
			continue
		}
		if hides && sizeOf(v.revs[s.rev].Trailer()) > size {
			v.allow(s, change{Change: Change{Revision: len(v.revs) - 1 - s.rev, Key: "Size", Class: ChangesOther, Note: "objects beyond /Size"}})
		}
		for i := s.rev - first; i < len(steps); i++ {
			for _, c := range steps[i] {
				c.Revision = first + 1 + i - s.rev
				v.allow(s, c)
			}
		}
		if stray >= v.revs[s.rev].EndEOL {
			v.allow(s, change{Change: Change{Revision: 1, Class: ChangesOther, Note: "an object that no section mentions"}})
		}
		switch tail {
		case trailingText:
			s.because(Indeterminate, ReasonTrailingData)
		case trailingObjects:
			v.allow(s, change{Change: Change{Revision: len(v.revs) - s.rev, Class: ChangesOther, Note: "objects after the last revision"}})
		}
	}
	return nil
}

// hidden returns the newest /Size and whether there are objects beyond it. They
// do not exist to readers who care (ISO 32000-2 7.5.5), so that lowering it hides.
func (v *verifier) hidden() (size int64, hides bool, err error) {
	if v.doc.Repaired() {
		return 0, false, nil
	}
	size = sizeOf(v.doc.Trailer())
	for i := range v.revs {
		if sizeOf(v.revs[i].Trailer()) <= size {
			continue
		}
		for ref, err := range v.doc.Numbers() {
			if err != nil || int64(ref.Num) >= size {
				return size, err == nil, err
			}
		}
		break
	}
	return size, false, nil
}

func sizeOf(trailer *pdf.Dict) int64 {
	n, _ := trailer.Get("Size").(pdf.Int)
	return int64(n)
}

// steps compares each revision after first with the one before it, in every
// view there is of the document.
func (v *verifier) steps(first int) ([][]change, error) {
	steps := make([][]change, len(v.revs)-1-first)
	hybrid := false
	for _, r := range v.revs[first:] {
		hybrid = hybrid || r.Kind == pdf.Hybrid
	}
	for _, r := range v.revs[:first] {
		hybrid = hybrid || r.Kind == pdf.Hybrid
	}
	views := []bool{false}
	if hybrid {
		views = append(views, true) // as readers of PDF 1.4 see it
	}
	for _, legacy := range views {
		at := func(i int) (*view, error) {
			f, err := v.formAt(i)
			if err != nil {
				return nil, err
			}
			if !legacy {
				return viewOf(f)
			}
			d, err := f.doc.LegacyView()
			if err != nil {
				return nil, err
			}
			return newView(d)
		}
		var g *graph
		old, err := at(first)
		if err == nil {
			g, err = newGraph(old.doc)
		}
		if malformed(err) {
			// Nothing can be compared with what was signed.
			for i := range steps {
				steps[i] = append(steps[i], unreadable)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if rival, err := old.doc.Rival(); err != nil {
			return nil, err
		} else if rival && !legacy {
			// It waits for a revision that makes a reader repair the document.
			steps[len(steps)-1] = append(steps[len(steps)-1], change{Change: Change{Class: ChangesOther, Note: "an object that no section mentions stands beside one of its number"}})
		}
		for i := first + 1; i < len(v.revs); i++ {
			if err := v.ctx.Err(); err != nil {
				return nil, err
			}
			next, err := at(i)
			if err != nil {
				// A revision that is no document changed something, whatever it was.
				steps[i-first-1] = append(steps[i-first-1], unreadable)
				continue
			}
			list, err := step(g, old, next, v.revs[i], i)
			if malformed(err) {
				list, err = []change{unreadable}, nil
			}
			if err != nil {
				return nil, err
			}
			for _, c := range list {
				if !legacy || !known(steps[i-first-1], c) {
					steps[i-first-1] = append(steps[i-first-1], c)
				}
			}
			old = next
		}
	}
	return steps, nil
}

// unreadable is a revision in which nobody can say what changed.
var unreadable = change{Change: Change{Class: ChangesOther, Note: "revision cannot be read"}}

func known(list []change, c change) bool {
	for _, x := range list {
		if x.Change == c.Change {
			return true
		}
	}
	return false
}

// maxDetails bounds a report; what follows is counted by class alone.
const maxDetails = 200

// allow judges one change by what the signature allows (V9).
func (v *verifier) allow(s *signature, c change) {
	s.report.Changes = worse(s.report.Changes, c.Class)
	verdict, reason := Passed, Code("")
	switch c.Class {
	case ChangesNone, ChangesLTV:
	case ChangesSignature, ChangesForm:
		switch {
		case s.mdp == 1 || c.field != "" && s.locks.covers(c.field):
			verdict, reason = Failed, ReasonMDPViolation
		case c.risky:
			verdict, reason = Indeterminate, ReasonChangedAfterSigning
		}
	case ChangesAnnotation:
		switch {
		case s.mdp == 1 || s.mdp == 2 || c.field != "" && s.locks.covers(c.field):
			verdict, reason = Failed, ReasonMDPViolation
		case s.mdp == 0 || c.risky:
			verdict, reason = Indeterminate, ReasonChangedAfterSigning
		}
	default:
		verdict, reason = Failed, ReasonChangedAfterSigning
	}
	if reason != "" {
		s.because(verdict, reason)
	}
	c.Allowed = reason == ""
	if c.shown && c.Allowed {
		s.report.Warnings = append(s.report.Warnings, fmt.Sprintf("revision +%d adds a visible field, which may cover content", c.Revision))
	}
	if len(s.report.ChangeDetails) < maxDetails {
		s.report.ChangeDetails = append(s.report.ChangeDetails, c.Change)
	}
}
