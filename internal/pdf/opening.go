package pdf

import (
	"bytes"
	"io"
)

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

func open(r io.ReaderAt, size int64, o *Options) (*Doc, error) {
	return openWith(source{r: r, size: size, file: new(byte)}, o, nil)
}

func openWith(src source, o *Options, hint *crypt) (*Doc, error) {
	d := &Doc{src: src, hint: hint}
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
	v := b[i+5:]
	n := 0
	for n < len(v) && n < 4 && (isDigit(v[n]) || v[n] == '.') {
		n++
	}
	d.version = string(v[:n])
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
	if s == e || !ok || off < 0 {
		return malformed("xref", at, "no number after startxref")
	}
	err = d.openChain(off, 0)
	if err == nil || d.header == 0 || CodeOf(err) != CodeMalformed {
		return err
	}
	if d.openChain(off, d.header) == nil {
		return nil
	}
	return err
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
	_, _, err = d.Catalog()
	return err
}
