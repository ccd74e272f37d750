package pades

import (
	"errors"
	"fmt"

	"github.com/countersign/countersign/internal/pdf"
)

// restrictions are what the signatures of a document allow a new revision (W10).
type restrictions struct {
	signed bool // there is a signature to keep intact
	mdp    int  // the strictest DocMDP P, 0 if none
	locks  lockSet
	certed bool // a certification signature exists
}

func (f *form) restrictions() (restrictions, error) {
	r := restrictions{signed: len(f.signed) > 0, locks: f.locks()}
	strictest := func(p int) {
		if p != 0 && (r.mdp == 0 || p < r.mdp) {
			r.mdp = p
		}
	}
	for _, s := range f.signed {
		if s.fault != nil {
			return r, s.fault
		}
		strictest(s.mdp)
		for _, l := range s.locks {
			strictest(l.P)
		}
	}
	perms, _, err := f.doc.CatalogDict("Perms")
	if err != nil {
		return r, err
	}
	sig, _, err := f.doc.LookupDict(perms, "DocMDP")
	if err != nil {
		return r, err
	}
	if sig != nil {
		p, _, err := transforms(f.doc, sig)
		if err != nil {
			return r, err
		}
		strictest(p)
		r.certed = true
	}
	return r, nil
}

var errLater = errors.New("it would change what an earlier signature covers")

// edit refuses what an edit may not do beside the signatures there are.
func (r restrictions) edit(op string, e Edit) *Error {
	if !r.signed {
		return nil
	}
	if r.mdp == 1 && (len(e.Fields)+len(e.Values)+len(e.Stamps) > 0) {
		return refuse(ErrMDPForbids, op, errors.New("the certification allows no changes"))
	}
	for _, v := range e.Values {
		if r.locks.covers(v.Field) {
			return refusef(ErrFieldLocked, op, "field %q is locked by a signature", v.Field)
		}
	}
	if len(e.Fields) > 0 {
		return refuse(ErrMDPForbids, op, fmt.Errorf("new field %q: %w", e.Fields[0].Name, errLater))
	}
	for _, s := range e.Stamps {
		if s.As == AsContent || r.mdp != 3 {
			return refuse(ErrMDPForbids, op, fmt.Errorf("stamp on page %d: %w", max(s.Page, 1), errLater))
		}
	}
	return nil
}

// sign refuses a signature in the field name that may not be added.
func (r restrictions) sign(op, name string, certify int) *Error {
	switch {
	case certify != 0 && (r.signed || r.certed):
		return refuse(ErrCertifyNotFirst, op, errors.New("the document has a signature already"))
	case r.mdp == 1:
		return refuse(ErrMDPForbids, op, errors.New("an earlier signature allows no further ones"))
	case r.locks.covers(name):
		return refusef(ErrFieldLocked, op, "field %q is locked by a signature", name)
	}
	return nil
}

// hasXFA reports whether the form has an XFA part, which we do not write, and
// whether it is a dynamic one, whose pages are made by scripts.
func hasXFA(d *pdf.Doc) (static, dynamic bool, err error) {
	acro, _, err := d.Form()
	if err != nil || !acro.Has("XFA") {
		return false, false, err
	}
	c, _, err := d.Catalog()
	if err != nil {
		return false, false, err
	}
	o, err := d.Lookup(c, "NeedsRendering")
	b, _ := o.(pdf.Bool)
	return true, bool(b), err
}
