package pdf

import "iter"

// A Kind of cross-reference section.
type SectionKind string

// The kinds of cross-reference section. A hybrid section is a table whose
// trailer names a stream by /XRefStm.
const (
	Table   SectionKind = "table"
	XStream SectionKind = "stream"
	Hybrid  SectionKind = "hybrid"
)

// A Revision is what one write of the file added: one cross-reference section,
// or the two of a linearised file.
type Revision struct {
	Kind   SectionKind
	Start  int64 // physical offset of its newest cross-reference section
	End    int64 // just past the %%EOF that ends it, 0 if there is none
	EndEOL int64 // End and the end-of-line marker after it, if any

	sections []*section
	doc      *Doc
}

// Revisions returns the revisions of the document, newest first. The bytes
// [0, EndEOL) of one are the document as it was then; see [Doc.At].
func (d *Doc) Revisions() ([]Revision, error) { return d.revisions() }

// Trailer returns the trailer dictionary of the revision.
func (r Revision) Trailer() *Dict { return r.sections[0].trailer.Clone() }

// XRefSpans returns where the cross-reference sections of the revision stand in
// the file, trailers included.
func (r Revision) XRefSpans() []Span { return r.spans() }

// Entries yields what the revision's sections say of each object number,
// freed ones included. A number may occur twice in a hybrid section: in the
// table first, then in the stream.
func (r Revision) Entries() iter.Seq2[Entry, error] { return r.entries() }

// An EntryKind says what a cross-reference entry is.
type EntryKind string

// The kinds of entry.
const (
	Free       EntryKind = "free"
	InUse      EntryKind = "in_use"
	Compressed EntryKind = "compressed"
)

// An Entry is what a cross-reference section says of one object.
type Entry struct {
	Ref    Ref
	Kind   EntryKind
	Offset int64  // InUse: physical offset
	Stream uint32 // Compressed: number of the object stream
	Index  int    // Compressed: index in it
}

// Entry returns what the document's cross-reference data says of an object
// number; ok is false if it says nothing.
func (d *Doc) Entry(num uint32) (e Entry, ok bool, err error) { return d.entry(num) }

// NextNum returns the first object number that no section defines and that is
// not below any /Size: where an [Update] begins to count.
func (d *Doc) NextNum() uint32 { return d.nextNum() }

// Numbers yields every object number that is in use, ascending.
func (d *Doc) Numbers() iter.Seq2[Ref, error] { return d.numbers() }
