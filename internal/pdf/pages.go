package pdf

import "iter"

// A Page is a leaf of the page tree with what it inherits.
type Page struct {
	Index    int // from 0
	Ref      Ref // zero if the page is a direct object in /Kids
	Dict     *Dict
	MediaBox [4]float64 // normalised: left, bottom, right, top; Letter if absent
	CropBox  [4]float64 // MediaBox if absent, cut to it
	Rotate   int        // 0, 90, 180, 270, clockwise
	UserUnit float64    // 1 if absent

	resources Object
}

// Pages yields the pages in order. A node met twice, a tree deeper than
// Limits.Tree and other faults end it with an error.
func (d *Doc) Pages() iter.Seq2[Page, error] { return d.pages() }

// Page returns page index, from 0. It is MALFORMED if there is none; PageCount
// of /Count is not trusted.
func (d *Doc) Page(index int) (Page, error) { return d.page(index) }

// PageCount counts the pages by walking the tree.
func (d *Doc) PageCount() (int, error) {
	n := 0
	for _, err := range d.Pages() {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// Resources returns the page's resources, own or inherited, nil if there are none.
func (d *Doc) Resources(p Page) (*Dict, error) {
	o, err := d.Resolve(p.resources)
	r, _ := o.(*Dict)
	return r, err
}

// An Annot is an element of a page's /Annots.
type Annot struct {
	Ref  Ref // zero if it stands directly in the array
	Dict *Dict
}

// Annots returns the annotations of a page. Elements that are no dictionaries
// are left out.
func (d *Doc) Annots(p Page) ([]Annot, error) { return d.annots(p) }
