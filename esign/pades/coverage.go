package pades

import (
	"bytes"
	"regexp"
)

// coverage compares where a signature ends with where revisions end (V7).
func (v *verifier) coverage(s *signature) error {
	s.report.Coverage = Partial
	if !s.rangeOK {
		s.because(Failed, ReasonFormatFailure)
		return nil
	}
	end := s.end()
	for i, r := range v.revs {
		if r.End != 0 && end >= r.End && end <= r.EndEOL {
			s.rev = i
			break
		}
	}
	switch {
	case v.doc.Repaired():
		return v.repairedCoverage(s, end)
	case s.rev < 0:
		s.because(Failed, ReasonFormatFailure)
		return nil
	case end == v.size:
		s.report.Coverage = WholeDocument
	default:
		s.report.Coverage = EarlierRevision
	}
	return nil
}

// trailing is what follows the last revision.
type trailing string

const (
	trailingNothing trailing = ""
	trailingText    trailing = "text"
	trailingObjects trailing = "objects" // something that could be read as PDF
)

var objectWords = regexp.MustCompile(`(?:^|[^A-Za-z])(?:obj|xref|trailer)(?:[^A-Za-z]|$)|startxref`)

// repairedCoverage judges where there are no revisions to go by: what the
// signature covers is compared with all that could be salvaged.
func (v *verifier) repairedCoverage(s *signature, end int64) error {
	rest, err := v.rest(end)
	if err != nil {
		return err
	}
	switch {
	case end == v.size:
		s.report.Coverage = WholeDocument
		return nil
	case rest == trailingNothing:
		s.report.Coverage = EarlierRevision
		return nil
	}
	s.report.Coverage = EarlierRevision
	var list []change
	old, err := v.doc.At(end)
	if err == nil {
		if list, err = salvaged(old, v.doc); err != nil && !malformed(err) {
			return err
		}
	}
	if err != nil {
		list = []change{{Change: Change{Revision: 1, Class: ChangesOther, Note: "something follows that is no revision"}}}
	}
	for _, c := range list {
		v.allow(s, c)
	}
	if len(list) == 0 && rest == trailingText {
		s.because(Indeterminate, ReasonTrailingData)
	}
	return nil
}

// trailing classes the bytes after the last revision's end.
func (v *verifier) trailing() (trailing, error) {
	if len(v.revs) == 0 {
		return trailingNothing, nil
	}
	end := v.revs[len(v.revs)-1].End
	kind, err := v.rest(end)
	if kind == trailingNothing && v.size-end > maxPadding {
		kind = trailingText
	}
	return kind, err
}

// maxPadding is how much white space may follow a document: readers look for
// startxref in the last 1024 bytes, and without it repair the file, which may
// show another one.
const maxPadding = 1024 - 64

// rest classes the bytes from off on.
func (v *verifier) rest(off int64) (trailing, error) {
	kind := trailingNothing
	var carry []byte
	buf := make([]byte, pageSize)
	for off < v.size {
		b := buf[:min(int64(len(buf)), v.size-off)]
		if err := readFull(v.r, b, off); err != nil {
			return kind, refuse(ErrIO, "verify", err)
		}
		if kind == trailingNothing && len(bytes.Trim(b, "\x00\t\n\f\r ")) > 0 {
			kind = trailingText
		}
		if objectWords.Match(append(carry, b...)) {
			return trailingObjects, nil
		}
		carry = append(carry[:0:0], b[max(0, len(b)-16):]...)
		off += int64(len(b))
	}
	return kind, nil
}
