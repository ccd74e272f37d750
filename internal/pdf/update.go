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
	objs    map[uint32]updated
	trailer *Dict
	imports map[importKey]Ref
}

// NewUpdate begins an update. It fails with REPAIRED if the document was
// repaired, see [NewRewriteOfRepaired], and with LIMIT if no object number is left.
func NewUpdate(d *Doc) (*Update, error) { return newUpdate(d, false) }

// NewRewriteOfRepaired is NewUpdate for a repaired document: Build then writes a full
// cross-reference section for all objects found, without /Prev (R7).
func NewRewriteOfRepaired(d *Doc) (*Update, error) { return newUpdate(d, true) }

// Doc returns the document being updated.
func (u *Update) Doc() *Doc { return u.doc }

// Alloc returns the reference of a new object, to be Set before Build.
func (u *Update) Alloc() Ref {
	r := Ref{Num: u.next}
	u.next++
	return r
}

// Set gives the object ref a new value. ref comes from Alloc or is an object of
// the document, whose generation number it must have.
func (u *Update) Set(ref Ref, o Object) { u.set(ref, o) }

// Add is Alloc and Set.
func (u *Update) Add(o Object) Ref {
	r := u.Alloc()
	u.Set(r, o)
	return r
}

// Object returns the value ref has with the update applied.
func (u *Update) Object(ref Ref) (Object, error) { return u.object(ref) }

// Resolve is [Doc.Resolve] with the update applied.
func (u *Update) Resolve(o Object) (Object, error) { return u.resolve(o) }

// Touched reports whether ref has been Set.
func (u *Update) Touched(ref Ref) bool {
	_, ok := u.objs[ref.Num]
	return ok
}

// SetTrailer changes a key of the new trailer. /Size, /Prev, /ID and the keys of
// cross-reference streams are Build's own.
func (u *Update) SetTrailer(key Name, o Object) { u.trailer.Set(key, o) }

// Import copies an object of another document, and everything it refers to,
// into the update under new numbers, and returns it with its references
// renumbered. Repeated imports share what was copied before. References to
// pages, /Parent among them, become null.
func (u *Update) Import(src *Doc, o Object) (Object, error) { return u.importObject(src, o) }

// ImportPage makes a form XObject of a page of another document: its content,
// its resources, /BBox its crop box, /Matrix such that the page as shown
// (rotated, lower left corner at the origin) has the given width and height.
func (u *Update) ImportPage(src *Doc, page int) (form Ref, width, height float64, err error) {
	return u.importPage(src, page)
}

// An Increment is what Build made: the bytes to append to the document.
type Increment struct {
	Bytes   []byte
	Start   int64         // size of the document before it
	Size    int64         // Start + len(Bytes)
	XRef    int64         // physical offset of the new cross-reference section
	Objects map[Ref]int64 // physical offset of each object written
}

// Build lays out the update: an end of line if the file lacks one, the objects
// in ascending order, a cross-reference section of the kind of the newest one,
// a trailer made from the parsed one. The same input gives the same bytes. It
// may be called again after changes.
func (u *Update) Build() (*Increment, error) { return u.build() }
