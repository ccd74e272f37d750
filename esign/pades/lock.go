package pades

import (
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/pdf"
)

// lockSet is every lock that counts; a field is locked if one of them covers it.
type lockSet []Lock

func (s lockSet) covers(name string) bool {
	return slices.ContainsFunc(s, func(l Lock) bool { return l.covers(name) })
}

// covers reports whether l freezes the field name or one above it.
func (l Lock) covers(name string) bool {
	named := slices.ContainsFunc(l.Fields, func(f string) bool {
		return name == f || strings.HasPrefix(name, f+".")
	})
	switch l.Action {
	case LockAll:
		return true
	case LockInclude:
		return named
	case LockExclude:
		return !named
	}
	// An action we do not know locks everything: nothing it may have meant is
	// then allowed by mistake.
	return true
}

func (l *Lock) check() error {
	switch {
	case l.P < 0 || l.P > 3:
		return errLockP
	case l.Action == LockAll:
		return nil
	case l.Action != LockInclude && l.Action != LockExclude:
		return errLockAction
	}
	return nil
}

// readLock reads a signature field's own /Lock, nil if there is none.
func readLock(d *pdf.Doc, field *pdf.Dict) (*Lock, error) {
	dict, _, err := d.LookupDict(field, "Lock")
	if err != nil || dict == nil {
		return nil, err
	}
	return lockOf(d, dict)
}

// lockOf reads the keys that /Lock and FieldMDP parameters share.
func lockOf(d *pdf.Doc, dict *pdf.Dict) (*Lock, error) {
	action, err := d.LookupName(dict, "Action")
	if err != nil {
		return nil, err
	}
	l := &Lock{Action: string(action)}
	names, _, err := d.LookupArray(dict, "Fields")
	if err != nil {
		return nil, err
	}
	for _, o := range names.All() {
		if o, err = d.Resolve(o); err != nil {
			return nil, err
		}
		if s, ok := o.(pdf.String); ok {
			l.Fields = append(l.Fields, pdf.DecodeText(s.B))
		}
	}
	p, err := d.LookupInt(dict, "P", 0)
	if err == nil && p >= 1 && p <= 3 {
		l.P = int(p)
	}
	return l, err
}

// dict writes a lock as a field's /Lock.
func (l *Lock) dict() *pdf.Dict {
	d := l.transform("SigFieldLock")
	if l.P != 0 {
		d.Set("P", pdf.Int(l.P))
	}
	return d
}

// transform writes a lock as FieldMDP parameters.
func (l *Lock) transform(kind pdf.Name) *pdf.Dict {
	d := pdf.MakeDict(pdf.KV{Key: "Type", Value: kind}, pdf.KV{Key: "Action", Value: pdf.Name(l.Action)})
	if l.Action != LockAll {
		names := pdf.MakeArray()
		for _, f := range l.Fields {
			names.Append(pdf.Text(f))
		}
		d.Set("Fields", names)
	}
	if kind == "TransformParams" {
		d.Set("V", pdf.Name("1.2"))
	}
	return d
}

// transforms reads what a signature dictionary's /Reference restricts.
func transforms(d *pdf.Doc, sig *pdf.Dict) (mdp int, locks lockSet, err error) {
	refs, _, err := d.LookupArray(sig, "Reference")
	if err != nil {
		return 0, nil, err
	}
	for _, o := range refs.All() {
		if o, err = d.Resolve(o); err != nil {
			return 0, nil, err
		}
		ref, ok := o.(*pdf.Dict)
		if !ok {
			continue
		}
		method, err := d.LookupName(ref, "TransformMethod")
		if err != nil {
			return 0, nil, err
		}
		params, _, err := d.LookupDict(ref, "TransformParams")
		if err != nil {
			return 0, nil, err
		}
		switch method {
		case "DocMDP":
			p, err := d.LookupInt(params, "P", 2)
			if err != nil {
				return 0, nil, err
			}
			if p < 1 || p > 3 {
				p = 1 // what no rule describes allows nothing
			}
			if mdp == 0 || int(p) < mdp {
				mdp = int(p)
			}
		case "FieldMDP":
			l, err := lockOf(d, params)
			if err != nil {
				return 0, nil, err
			}
			l.P = 0
			locks = append(locks, *l)
		}
	}
	return mdp, locks, nil
}
