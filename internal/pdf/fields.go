package pdf

import "iter"

// A Field is a terminal field of the AcroForm, with what it inherits.
type Field struct {
	Name    string // fully qualified: partial names joined by full stops
	Partial string // its own /T
	Ref     Ref    // zero if it stands directly in an array
	Dict    *Dict
	Type    Name   // /FT: "Sig", "Tx", "Btn", "Ch", "" if absent
	Flags   int64  // /Ff
	Value   Object // /V as it stands, a Ref not followed; nil if absent
	DA      []byte // /DA, inherited from the AcroForm too
	Q       int64
	Parents []Ref // from the root of the tree down, the field itself not included
	Widgets []Annot
	Merged  bool // the only widget is the field's own dictionary
}

// Form returns the AcroForm dictionary and its reference, zero if it stands
// directly in the catalog; nil if there is none.
func (d *Doc) Form() (*Dict, Ref, error) {
	c, _, err := d.Catalog()
	if err != nil {
		return nil, Ref{}, err
	}
	return d.LookupDict(c, "AcroForm")
}

// Fields yields the terminal fields in tree order. A node met twice is
// skipped; a tree deeper than Limits.Tree ends it with a LIMIT error.
func (d *Doc) Fields() iter.Seq2[Field, error] { return d.fields() }
