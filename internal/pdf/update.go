package pdf

// An Update is an incremental update in the making: new and rewritten objects
// that go behind the document's bytes, which stay as they are (W1).
//
//	u, err := pdf.NewUpdate(doc)
//	ref := u.Alloc()
//	hole := &pdf.Hole{Bytes: []byte("<0000>")}
//	u.Set(ref, pdf.MakeDict(pdf.KV{"Type", pdf.Name("Sig")}, pdf.KV{"Contents", hole}))
//	inc, err := u.Build() // hole.Offset is set
//
// An Update reads from the Doc while it is used and is not safe for concurrent
// use.
type Update struct {
	doc     *Doc
	next    uint32
	objs    []updated // ascending
	imports map[importKey]Ref
}

// NewUpdate begins an update. It fails with REPAIRED if the document was
// repaired, see [NewRewriteOfRepaired], and with LIMIT if no object number is left.
func NewUpdate(d *Doc) (*Update, error) { return newUpdate(d, false) }

// NewRewriteOfRepaired is NewUpdate for a repaired document: Build then writes a full
// cross-reference section for all objects found, without /Prev (R7).
func NewRewriteOfRepaired(d *Doc) (*Update, error) { return newUpdate(d, true) }

// Alloc returns the reference of a new object, to be Set before Build.
func (u *Update) Alloc() Ref {
	r := Ref{Num: u.next}
	u.next++
	return r
}

// Add is Alloc and Set.
func (u *Update) Add(o Object) Ref {
	r := u.Alloc()
	u.Set(r, o)
	return r
}

// An Increment is what Build made: the bytes to append to the document.
type Increment struct {
	Bytes   []byte
	Start   int64   // size of the document before it
	Size    int64   // Start + len(Bytes)
	XRef    int64   // physical offset of the new cross-reference section
	Objects []Entry // what the section says of each object, ascending
}
