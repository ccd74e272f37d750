package pdf

import (
	"io"
)

// Options say how to open a document. nil means the zero value.
type Options struct {
	Password string // user or owner password, UTF-8; the empty one is tried too
	Repair   bool   // if the cross-reference data is unusable, find the objects by reading the whole file (R7)
	Legacy   bool   // ignore /XRefStm, as a reader of PDF 1.4 sees a hybrid file
	Limits   Limits
}

// Limits bound what a document may cost (R9). Zero fields take the default.
type Limits struct {
	Nesting  int   // arrays and dictionaries in one object: 100
	Sections int   // cross-reference sections in a /Prev chain: 4096
	Tree     int   // depth of the page tree, of the field tree: 64
	Object   int64 // source text of one object without stream data: 64 MiB
	Inflated int64 // decoded bytes of one stream: 64 MiB
	Ratio    int64 // decoded to encoded bytes, beyond 1 MiB decoded: 1000
	Cache    int64 // bytes of decoded object streams and objects kept: 16 MiB
}

// A Doc is an open document. It reads lazily and is not safe for concurrent
// use; opening is cheap, and any number may share one io.ReaderAt.
type Doc struct {
	src      source
	opt      Options
	header   int64 // physical offset of %PDF-
	base     int64 // what is added to the offsets in the file
	version  string
	xref     xrefChain
	trailer  *Dict
	crypt    *crypt
	repaired bool
	headless bool             // no %PDF-
	found    map[uint32]Entry // of a repaired document
	cache    cache
	work     int64 // see spend
	depth    int   // of objects being loaded
	hint     *crypt
}

// Open reads the header, the cross-reference chain and the encryption
// dictionary of a document of size bytes. It needs a valid /Root that leads to
// a dictionary.
//
// To open an earlier revision give its end as size, or use [Doc.At].
//
// Errors: NOT_PDF, MALFORMED, LIMIT, PASSWORD_REQUIRED, ENCRYPTION_UNSUPPORTED, IO.
func Open(r io.ReaderAt, size int64, o *Options) (*Doc, error) {
	return open(r, size, o)
}

// Size returns the size the document was opened with.
func (d *Doc) Size() int64 { return d.src.size }

// Header returns the physical offset of %PDF-, or 0 if there is no header.
func (d *Doc) Header() int64 { return d.header }

// Base returns what must be added to an offset in the file to get a physical
// one: 0, or Header if there is junk before it and offsets count from there (R3).
func (d *Doc) Base() int64 { return d.base }

// Version returns the version: the catalog's if it is later than the header's.
func (d *Doc) Version() string {
	if c, _, err := d.Catalog(); err == nil {
		if v, ok := c.Get("Version").(Name); ok && string(v) > d.version {
			return string(v)
		}
	}
	return d.version
}

// Repaired reports whether the objects were found by reading the whole file
// instead of the cross-reference data (R7).
func (d *Doc) Repaired() bool { return d.repaired }

// Encrypted reports whether the document is encrypted.
func (d *Doc) Encrypted() bool { return d.crypt != nil }

// Trailer returns the newest trailer: of a table its trailer dictionary, else
// the dictionary of the cross-reference stream.
func (d *Doc) Trailer() *Dict { return d.trailer.Clone() }

// Catalog returns the document catalog and its reference.
func (d *Doc) Catalog() (*Dict, Ref, error) {
	ref, _ := d.trailer.Ref("Root")
	c, err := d.dictAt(ref)
	return c, ref, err
}

// At opens the first size bytes of the document as a document of their own,
// with the same options and password.
func (d *Doc) At(size int64) (*Doc, error) { return d.at(size, d.opt) }

// LegacyView opens the document as a reader sees it that knows no
// cross-reference streams in hybrid files.
func (d *Doc) LegacyView() (*Doc, error) {
	o := d.opt
	o.Legacy = true
	return d.at(d.src.size, o)
}
