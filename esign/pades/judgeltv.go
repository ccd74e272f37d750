package pades

import (
	"bytes"
	"encoding/xml"
	"io"
	"slices"

	"github.com/countersign/countersign/internal/pdf"
)

// judgeDSS allows validation data to be added, renewed and lost, as lost data can
// only leave a question open; not the DSS or an entry of /VRI to be removed.
func (d *differ) judgeDSS(num uint32, a, b *pdf.Dict) error {
	x, _, err := d.old.doc.LookupDict(a, "DSS")
	if err != nil {
		return err
	}
	y, _, err := d.new.doc.LookupDict(b, "DSS")
	if err != nil {
		return err
	}
	if y == nil || a.Has("DSS") && x == nil {
		d.report(num, "DSS", ChangesOther, "DSS removed or replaced")
		return nil
	}
	before := len(d.out)
	for _, k := range d.changedKeys(x, y) {
		switch k {
		case "Certs", "CRLs", "OCSPs":
			if err := d.judgeAdded(num, "DSS/"+string(k), x, y, k); err != nil {
				return err
			}
		case "VRI":
			if err := d.judgeVRI(num, x, y); err != nil {
				return err
			}
		case "Type":
			if y.Has(k) && y.Get(k) != pdf.Name("DSS") {
				d.report(num, "DSS/Type", ChangesOther, "")
			}
		default:
			d.report(num, "DSS/"+string(k), ChangesOther, "")
		}
	}
	if len(d.out) == before {
		d.report(num, "DSS", ChangesLTV, "validation data added")
	}
	return nil
}

// judgeAdded allows streams to be added to the array under key.
func (d *differ) judgeAdded(num uint32, path string, a, b *pdf.Dict, key pdf.Name) error {
	was, err := members(d.old, a, key)
	if err != nil {
		return err
	}
	is, err := members(d.new, b, key)
	if err != nil {
		return err
	}
	// Writers rebuild these lists with fresh data of the same kind.
	kept := map[pdf.Ref]bool{}
	for _, p := range is {
		if ref, ok := p.(pdf.Ref); ok {
			kept[ref] = true
		}
	}
	for _, o := range was {
		ref, _ := o.(pdf.Ref)
		if !(kept[ref] && d.same(ref, ref)) && !slices.ContainsFunc(is, func(p pdf.Object) bool { return d.same(o, p) }) {
			d.report(num, path, ChangesLTV, "validation data replaced")
			break
		}
	}
	if !b.Has(key) {
		return nil
	}
	return d.judgeStreams(num, path, b, key)
}

func (d *differ) judgeVRI(num uint32, a, b *pdf.Dict) error {
	x, _, err := d.old.doc.LookupDict(a, "VRI")
	if err != nil {
		return err
	}
	y, _, err := d.new.doc.LookupDict(b, "VRI")
	if err != nil {
		return err
	}
	if y == nil {
		d.report(num, "DSS/VRI", ChangesOther, "removed")
		return nil
	}
	// An entry is a hint to what the DSS holds for one signature; writers
	// rebuild it. What counts is the DSS itself, and that no entry disappears.
	for _, k := range d.changedKeys(x, y) {
		if k == "Type" {
			continue
		}
		entry, _, err := d.new.doc.LookupDict(y, k)
		if err != nil {
			return err
		}
		if entry == nil {
			d.report(num, "DSS/VRI/"+string(k), ChangesOther, "removed")
			continue
		}
		for e := range entry.All() {
			switch e {
			case "Cert", "CRL", "OCSP":
				if err := d.judgeStreams(num, "DSS/VRI/"+string(k)+"/"+string(e), entry, e); err != nil {
					return err
				}
			case "TU", "TS", "Type":
			default:
				d.report(num, "DSS/VRI/"+string(k)+"/"+string(e), ChangesOther, "")
			}
		}
	}
	return nil
}

// judgeStreams asks that the value of key be an array of streams.
func (d *differ) judgeStreams(num uint32, path string, b *pdf.Dict, key pdf.Name) error {
	list, _, err := d.new.doc.LookupArray(b, key)
	if err != nil {
		return err
	}
	if list == nil {
		d.report(num, path, ChangesOther, "not an array")
		return nil
	}
	for _, o := range list.All() {
		r, err := d.new.doc.Resolve(o)
		if err != nil {
			return err
		}
		if _, ok := r.(*pdf.Stream); !ok {
			d.report(num, path, ChangesOther, "an entry is no stream")
		}
	}
	return nil
}

// judgeExtensions allows developer extensions to be added and raised.
func (d *differ) judgeExtensions(num uint32, a, b *pdf.Dict) error {
	x, _, err := d.old.doc.LookupDict(a, "Extensions")
	if err != nil {
		return err
	}
	y, _, err := d.new.doc.LookupDict(b, "Extensions")
	if err != nil {
		return err
	}
	fault := ""
	for _, k := range d.changedKeys(x, y) {
		if k == "Type" {
			continue
		}
		was, err := d.extension(d.old.doc, x, k)
		if err != nil {
			return err
		}
		is, err := d.extension(d.new.doc, y, k)
		if err != nil {
			return err
		}
		for base, level := range was {
			found := false
			for b2, l2 := range is {
				found = found || b2 == base && l2 >= level || b2 > base
			}
			if !found {
				fault = string(k)
			}
		}
		if len(is) == 0 {
			fault = string(k)
		}
	}
	if fault != "" {
		d.report(num, "Extensions/"+fault, ChangesOther, "extension lowered or removed")
		return nil
	}
	d.report(num, "Extensions", ChangesLTV, "extension added")
	return nil
}

// extension reads a developer's entry: base version to highest level.
func (d *differ) extension(doc *pdf.Doc, ext *pdf.Dict, k pdf.Name) (map[pdf.Name]int64, error) {
	o, err := doc.Lookup(ext, k)
	if err != nil {
		return nil, err
	}
	var dicts []pdf.Object
	switch v := o.(type) {
	case *pdf.Dict:
		dicts = append(dicts, v)
	case *pdf.Array:
		for _, e := range v.All() {
			dicts = append(dicts, e)
		}
	}
	out := map[pdf.Name]int64{}
	for _, e := range dicts {
		if e, err = doc.Resolve(e); err != nil {
			return nil, err
		}
		dict, ok := e.(*pdf.Dict)
		if !ok {
			continue
		}
		base, err := doc.LookupName(dict, "BaseVersion")
		if err != nil {
			return nil, err
		}
		level, err := doc.LookupInt(dict, "ExtensionLevel", 0)
		if err != nil {
			return nil, err
		}
		out[base] = max(out[base], level)
	}
	return out, nil
}

// wellFormedXMP reports whether a metadata stream is XML with an RDF element
// and without a document type: nothing that refers outside or expands.
func (d *differ) wellFormedXMP(o pdf.Object) bool {
	r, err := d.new.doc.Resolve(o)
	if err != nil {
		return false
	}
	s, ok := r.(*pdf.Stream)
	if !ok || s.Dict.Get("Type") != pdf.Name("Metadata") || s.Dict.Get("Subtype") != pdf.Name("XML") {
		return false
	}
	b, err := s.Decode()
	if err != nil {
		return false
	}
	dec := xml.NewDecoder(bytes.NewReader(b))
	dec.Strict = true
	rdf := false
	for {
		t, err := dec.Token()
		if err == io.EOF {
			return rdf
		}
		if err != nil {
			return false
		}
		switch t := t.(type) {
		case xml.Directive:
			return false
		case xml.StartElement:
			if t.Name.Local == "RDF" && t.Name.Space == "http://www.w3.org/1999/02/22-rdf-syntax-ns#" {
				rdf = true
			}
		}
	}
}
