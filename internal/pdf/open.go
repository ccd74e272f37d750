package pdf

import (
	"bytes"
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
	xref     xrefChain
	trailer  *Dict
	crypt    *crypt
	repaired bool
	headless bool             // no %PDF-
	found    map[uint32]Entry // of a repaired document
	doubts   []doubt          // what in it is there twice
	conflict string           // why its trailers and streams leave a choice
	searched bool             // no trailer named its catalog
	oddStart bool             // not mere digits after startxref
	cache    cache
	leaves   []leaf // the first pages, as far as they were met
	work     int64  // see spend
	pairs    int64  // of references compared in the file, see Equal
	depth    int    // of objects being loaded
	hint     *crypt
	first    [2][windowSize]byte // what the windows begin with
}

// Open reads the header, the cross-reference chain and the encryption
// dictionary of a document of size bytes. It needs a valid /Root that leads to
// a dictionary.
//
// To open an earlier revision give its end as size, or use [Doc.At].
//
// Errors: NOT_PDF, MALFORMED, LIMIT, PASSWORD_REQUIRED, ENCRYPTION_UNSUPPORTED, IO.
func Open(r io.ReaderAt, size int64, o *Options) (*Doc, error) {
	return openWith(source{r: r, size: size}, o, nil)
}

// Size returns the size the document was opened with.
func (d *Doc) Size() int64 { return d.src.size }

// Header returns the physical offset of %PDF-, or 0 if there is no header.
func (d *Doc) Header() int64 { return d.header }

// Base returns what must be added to an offset in the file to get a physical
// one: 0, or Header if there is junk before it and offsets count from there (R3).
func (d *Doc) Base() int64 { return d.base }

// Repaired reports whether the objects were found by reading the whole file
// instead of the cross-reference data (R7).
func (d *Doc) Repaired() bool { return d.repaired }

// Trailer returns the newest trailer: of a table its trailer dictionary, else
// the dictionary of the cross-reference stream.
func (d *Doc) Trailer() *Dict { return d.trailer.Clone() }

// Catalog returns the document catalog and its reference.
func (d *Doc) Catalog() (*Dict, Ref, error) {
	c, err := d.catalog()
	if err != nil {
		return nil, d.Root(), err
	}
	return fresh(c).(*Dict), d.Root(), nil
}

// CatalogDict is [Doc.LookupDict] in the catalog.
func (d *Doc) CatalogDict(key Name) (*Dict, Ref, error) {
	c, err := d.catalog()
	if err != nil {
		return nil, Ref{}, err
	}
	return d.LookupDict(c, key)
}

// Root returns the reference of the catalog.
func (d *Doc) Root() Ref {
	ref, _ := d.trailer.Ref("Root")
	return ref
}

// catalog is the cache's own, see [Doc.load].
func (d *Doc) catalog() (*Dict, error) { return d.dictAt(d.Root()) }

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

func (l Limits) defaults() Limits {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set64 := func(v *int64, def int64) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&l.Nesting, 100)
	set(&l.Sections, 4096)
	set(&l.Tree, 64)
	set64(&l.Object, 64<<20)
	set64(&l.Inflated, 64<<20)
	set64(&l.Ratio, 1000)
	set64(&l.Cache, 16<<20)
	l.Nesting = min(l.Nesting, maxDepth)
	return l
}

func openWith(src source, o *Options, hint *crypt) (*Doc, error) {
	d := &Doc{src: src, hint: hint}
	if d.src.file == nil {
		d.src.file = d
	}
	d.src.obj.b, d.src.xref.b = d.first[0][:0], d.first[1][:0]
	if o != nil {
		d.opt = *o
	}
	d.opt.Limits = d.opt.Limits.defaults()
	d.reset()
	found, err := d.readHeader()
	if err != nil {
		return nil, err
	}
	if d.headless = !found; d.headless {
		err = &Error{Code: CodeNotPDF, Op: "header", Offset: -1}
	} else if err = d.openXRef(); err == nil {
		return d, nil
	}
	if c := CodeOf(err); !d.opt.Repair || c != CodeMalformed && c != CodeNotPDF && c != CodeFilter {
		return nil, err
	}
	if rerr := d.repair(); rerr != nil {
		switch CodeOf(rerr) {
		case CodeMalformed, CodeNotPDF:
			return nil, err
		}
		return nil, rerr
	}
	return d, nil
}

func (d *Doc) at(size int64, o Options) (*Doc, error) {
	if size > d.src.size {
		return nil, malformed("open", size, "beyond the end of the document")
	}
	return openWith(source{r: d.src.r, size: size, file: d.src.file}, &o, d.crypt)
}

// reset forgets what was read.
func (d *Doc) reset() {
	c := d.opt.Limits.Cache
	d.cache = cache{objects: store[cached]{most: c / 4}, streams: store[*objstm]{most: c - c/4}}
	d.xref, d.trailer, d.crypt = xrefChain{}, nil, nil
}

// readHeader looks for %PDF- in the first 1024 bytes.
func (d *Doc) readHeader() (found bool, err error) {
	b, err := d.src.at(&d.src.obj, 0, 1024+16)
	if err != nil {
		return false, err
	}
	i := bytes.Index(b, []byte("%PDF-"))
	if i < 0 || i > 1024 {
		return false, nil
	}
	d.header = int64(i)
	return true, nil
}

// tail is how far from the end of the file startxref is looked for.
const tail = 64 << 10

// openXRef reads the chain that startxref points to. Where there is junk before
// the header offsets may count from the header: the chain that leads to a
// catalog decides (R3).
func (d *Doc) openXRef() error {
	at, err := d.startXRef()
	if err != nil {
		return err
	}
	b, err := d.src.at(&d.src.xref, at, 64)
	if err != nil {
		return err
	}
	_, s, e, err := next(b, len("startxref"), true)
	if err != nil {
		return malformed("xref", at, "no number after startxref")
	}
	off, ok := parseInt(b[s:e])
	for i := len("startxref"); i < e; i++ {
		d.oddStart = d.oddStart || i < s && !isSpace(b[i]) || i >= s && !isDigit(b[i])
	}
	if s == e || !ok || off < 0 {
		return malformed("xref", at, "no number after startxref")
	}
	// Other readers count from the header: where both ways lead somewhere, a
	// document must not be another one to us.
	if d.header > 0 {
		if err := d.openChain(off, d.header); CodeOf(err) != CodeMalformed {
			return err
		}
	}
	return d.openChain(off, 0)
}

// startXRef returns the offset of the last startxref near the end of the file.
func (d *Doc) startXRef() (int64, error) {
	word := []byte("startxref")
	lo := max(0, d.src.size-1024)
	b, err := d.src.at(&d.src.xref, lo, 1024)
	if err != nil {
		return 0, err
	}
	if i := bytes.LastIndex(b, word); i >= 0 {
		return lo + int64(i), nil
	}
	at, err := d.src.findLast(word, d.src.size-tail, lo+int64(len(word))-1)
	if err == nil && at < 0 {
		err = malformed("xref", -1, "no startxref")
	}
	return at, err
}

// openChain reads the chain from off with offsets counted from base.
func (d *Doc) openChain(off, base int64) error {
	d.reset()
	d.base = base
	at, err := d.physical(off)
	if err != nil {
		return err
	}
	if err := d.readChain(at); err != nil {
		return err
	}
	d.trailer = d.xref.sections[0].trailer
	if err := d.openCrypt(d.opt.Password); err != nil {
		return err
	}
	_, err = d.catalog()
	return err
}
