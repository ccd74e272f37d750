package pdf

import (
	"bytes"
	"iter"
)

// A Dict is a dictionary that keeps the order of its keys and the source text
// of what was read. The zero value is an empty dictionary. Of a key that
// occurs twice the last value counts, as in other readers.
type Dict struct {
	org     origin
	src     []byte // source from << to >>, nil when built
	at      int64  // physical offset of src[0], -1 if not in the file
	entries []entry
	scanned bool
	shared  bool // entries belong to another Dict too
	changed bool // src no longer tells the content
}

type entry struct {
	key            Name // set when val is
	ks, ke, vs, ve int32
	val            Object // nil: the value is src[vs:ve]
}

// A KV is one entry of [MakeDict].
type KV struct {
	Key   Name
	Value Object
}

// MakeDict returns a dictionary of the given entries in their order. Entries
// with a nil value are left out.
func MakeDict(kv ...KV) *Dict {
	d := &Dict{at: -1, scanned: true, changed: true, entries: make([]entry, 0, len(kv)+4)}
	for _, e := range kv {
		if e.Value != nil {
			d.entries = append(d.entries, entry{key: e.Key, val: e.Value})
		}
	}
	return d
}

// scan splits the source into entries. The source is known to be balanced.
func (d *Dict) scan() {
	if d.scanned {
		return
	}
	d.scanned = true
	if len(d.src) < 4 {
		return
	}
	b := d.src[:len(d.src)-2]
	n := bytes.Count(b, slash)
	d.entries = make([]entry, 0, min(n, 16))
	for i := 2; ; {
		k, s, e, err := next(b, i, true)
		if err != nil || k == kEOF {
			return
		}
		i = e
		if k != kName {
			if k == kArrayOpen || k == kDictOpen { // junk where a key belongs
				if end, err := skipComposite(b, e, k, true, maxDepth); err == nil {
					i = end
				}
			}
			continue
		}
		vs, ve, err := skipValue(b, e, true, maxDepth)
		if err != nil {
			if err == errNoValue {
				d.entries = append(d.entries, entry{ks: int32(s), ke: int32(e), vs: int32(e), ve: int32(e)})
			}
			return
		}
		d.entries = append(d.entries, entry{ks: int32(s), ke: int32(e), vs: int32(vs), ve: int32(ve)})
		i = ve
	}
}

var slash = []byte{'/'}

// composite is what strings, names, arrays and dictionaries begin with.
var composite = []byte("<([/")

// maxDepth is the nesting the scanner itself can bear; the limit of a document
// is enforced when an object is loaded.
const maxDepth = 1 << 10

func (d *Dict) is(e *entry, key Name) bool {
	if e.ke == 0 {
		return e.key == key
	}
	return nameIs(d.src[e.ks+1:e.ke], key)
}

func (d *Dict) name(e *entry) Name {
	if e.ke == 0 {
		return e.key
	}
	t := d.src[e.ks+1 : e.ke]
	if o, ok := common[string(t)]; ok {
		return o.(Name)
	}
	return decodeName(t)
}

func (d *Dict) find(key Name) *entry {
	if d == nil {
		return nil
	}
	d.scan()
	for i := len(d.entries) - 1; i >= 0; i-- {
		if d.is(&d.entries[i], key) {
			return &d.entries[i]
		}
	}
	return nil
}

func (d *Dict) value(e *entry) Object {
	if e.val != nil {
		return e.val
	}
	return parseValue(d.src, int(e.vs), int(e.ve), d.org, d.at, d.plainAt(e))
}

// plainAt reports whether the strings in e's value are exempt from encryption:
// /Contents of a signature dictionary (ISO 32000-2 7.6.2).
func (d *Dict) plainAt(e *entry) bool {
	return d.org.crypt && d.is(e, "Contents") && d.find("ByteRange") != nil
}

// Get returns the value of key as it stands, a Ref not followed; nil if the key
// is absent or null. d may be nil.
func (d *Dict) Get(key Name) Object {
	e := d.find(key)
	if e == nil {
		return nil
	}
	v := d.value(e)
	if _, null := v.(Null); null {
		return nil
	}
	return v
}

// Has reports whether key is present and not null.
func (d *Dict) Has(key Name) bool {
	e := d.find(key)
	switch {
	case e == nil:
		return false
	case e.val == nil && e.vs < e.ve && bytes.IndexByte(composite, d.src[e.vs]) >= 0: // no need to make an Object of it
		return true
	}
	return !IsNull(d.value(e))
}

// Ref returns the value of key if it is an indirect reference.
func (d *Dict) Ref(key Name) (Ref, bool) {
	e := d.find(key)
	if e == nil {
		return Ref{}, false
	}
	if e.val != nil {
		r, ok := e.val.(Ref)
		return r, ok
	}
	t := d.src[e.vs:e.ve] // read without making an Object of it
	if len(t) == 0 || t[len(t)-1] != 'R' || t[0] == '/' {
		return Ref{}, false
	}
	return parseRef(t)
}

// Len returns the number of entries, repeated keys counted each time.
func (d *Dict) Len() int {
	if d == nil {
		return 0
	}
	d.scan()
	return len(d.entries)
}

// All yields the entries in order as they stand. A key that occurs twice is
// yielded once, with the value that counts.
func (d *Dict) All() iter.Seq2[Name, Object] {
	return func(yield func(Name, Object) bool) {
		if d == nil {
			return
		}
		d.scan()
		last := d.last()
		for i := range d.entries {
			e := &d.entries[i]
			key := d.name(e)
			if last != nil && last[key] != i {
				continue
			}
			if !yield(key, d.value(e)) {
				return
			}
		}
	}
}

// Clone returns a copy that can be changed without changing d. Nested values
// are taken out as copies anyway, see [Object].
func (d *Dict) Clone() *Dict {
	if d == nil {
		return MakeDict()
	}
	d.scan()
	c := *d
	c.shared, d.shared = true, true
	return &c
}

func (d *Dict) own() {
	d.scan()
	if d.shared || !d.changed {
		d.entries = append(make([]entry, 0, len(d.entries)+4), d.entries...)
		d.shared = false
	}
	d.changed = true
}

// Set gives key the value v, in its old place or at the end. A nil or Null v
// deletes the key.
func (d *Dict) Set(key Name, v Object) {
	if IsNull(v) {
		d.Delete(key)
		return
	}
	d.own()
	for i := len(d.entries) - 1; i >= 0; i-- {
		e := &d.entries[i]
		if !d.is(e, key) {
			continue
		}
		d.entries[i] = entry{key: key, val: v}
		for j := i - 1; j >= 0; j-- { // repeated keys
			if d.is(&d.entries[j], key) {
				d.entries = append(d.entries[:j], d.entries[j+1:]...)
			}
		}
		return
	}
	d.entries = append(d.entries, entry{key: key, val: v})
}

// Delete removes key.
func (d *Dict) Delete(key Name) {
	if d.find(key) == nil {
		return
	}
	d.own()
	keep := d.entries[:0]
	for i := range d.entries {
		if !d.is(&d.entries[i], key) {
			keep = append(keep, d.entries[i])
		}
	}
	d.entries = keep
}

// Span returns where the dictionary stands in the file, from << to >>. ok is
// false if it was built or changed, or comes from an object stream.
func (d *Dict) Span() (s Span, ok bool) {
	if d == nil || d.src == nil || d.at < 0 || d.changed {
		return Span{}, false
	}
	return Span{d.at, int64(len(d.src))}, true
}

// ValueSpan returns where the value of key stands in the file, exactly: for
// /Contents of a signature from < to >. ok is false where Span's is, and if the
// key is absent. Of a repeated key it is the span of the value that counts.
func (d *Dict) ValueSpan(key Name) (s Span, ok bool) {
	e := d.find(key)
	if e == nil || d.at < 0 || e.val != nil || e.ve == e.vs {
		return Span{}, false
	}
	return Span{d.at + int64(e.vs), int64(e.ve - e.vs)}, true
}

// Source returns the source text of key's value as it was read, nil if it was
// set since or is absent. It must not be changed.
func (d *Dict) Source(key Name) []byte {
	e := d.find(key)
	if e == nil || e.val != nil {
		return nil
	}
	return d.src[e.vs:e.ve:e.ve]
}

// Repeated reports whether some key occurs more than once.
func (d *Dict) Repeated() bool {
	if d == nil {
		return false
	}
	return d.last() != nil
}

// last returns the index of the entry that counts for each key, or nil if no
// key is repeated.
func (d *Dict) last() map[Name]int {
	d.scan()
	if len(d.entries) <= 24 {
		repeated := false
		for i := range d.entries {
			for j := range i {
				repeated = repeated || d.same(&d.entries[i], &d.entries[j])
			}
		}
		if !repeated {
			return nil
		}
	}
	m := make(map[Name]int, len(d.entries))
	for i := range d.entries {
		m[d.name(&d.entries[i])] = i
	}
	if len(m) == len(d.entries) {
		return nil
	}
	return m
}

func (d *Dict) same(a, b *entry) bool {
	if a.ke != 0 && b.ke != 0 {
		s, t := d.src[a.ks:a.ke], d.src[b.ks:b.ke]
		return bytes.Equal(s, t) || (hasHash(s) || hasHash(t)) && d.name(a) == d.name(b)
	}
	return d.name(a) == d.name(b)
}

// parseValue makes the object of src[s:e], which is one value.
func parseValue(src []byte, s, e int, org origin, at int64, plain bool) Object {
	t := src[s:e:e]
	if len(t) == 0 {
		return Null{}
	}
	pos := int64(-1)
	if at >= 0 {
		pos = at + int64(s)
	}
	switch t[0] {
	case '<':
		if len(t) > 1 && t[1] == '<' {
			return &Dict{org: org, src: t, at: pos}
		}
		return decryptedString(String{B: decodeHex(t), Hex: true}, org, plain)
	case '(':
		return decryptedString(String{B: decodeLiteral(t)}, org, plain)
	case '[':
		return &Array{org: org, src: t, at: pos}
	case '/':
		if o, ok := common[string(t[1:])]; ok {
			return o
		}
		return decodeName(t[1:])
	}
	if t[len(t)-1] == 'R' {
		if r, ok := parseRef(t); ok {
			return r
		}
	}
	return parseScalar(t)
}

func parseScalar(t []byte) Object {
	switch numberKind(t) {
	case kInt:
		if n, ok := parseInt(t); ok {
			return Int(n)
		}
		return Real(parseReal(t))
	case kReal:
		return Real(parseReal(t))
	}
	switch string(t) {
	case "true":
		return Bool(true)
	case "false":
		return Bool(false)
	}
	return Null{} // null, and words no reader knows
}

// parseRef reads "n g R". A number or generation out of range refers to nothing.
func parseRef(t []byte) (Ref, bool) {
	i := regularEnd(t, 0)
	if numberKind(t[:i]) != kInt || i == len(t) {
		return Ref{}, false
	}
	n, ok := parseInt(t[:i])
	j := skipSpace(t, i)
	k := regularEnd(t, j)
	g, ok2 := parseInt(t[j:k])
	if !ok || !ok2 || n < 0 || n > maxObject || g < 0 || g > 65535 {
		return Ref{}, true
	}
	return Ref{uint32(n), uint16(g)}, true
}

// maxObject bounds object numbers; ISO 32000-2 Annex C knows no bound, readers
// commonly stop at 8388607.
const maxObject = 1<<31 - 2

func decryptedString(s String, org origin, plain bool) Object {
	s.Plain = plain
	if !org.crypt || plain {
		return s
	}
	b, err := org.doc.crypt.decryptString(org.ref, s.B)
	if err == nil {
		s.B = b
	}
	return s
}

// common holds boxed names, so that reading them allocates nothing.
var common = func() map[string]Object {
	m := make(map[string]Object)
	for _, n := range []Name{
		"Type", "Subtype", "Root", "Info", "ID", "Size", "Prev", "XRefStm", "Encrypt", "Catalog", "Pages", "Page", "Kids",
		"Count", "Parent", "MediaBox", "CropBox", "Rotate", "Resources", "Contents", "Annots", "AcroForm", "Fields",
		"SigFlags", "DR", "DA", "NeedAppearances", "XFA", "CO", "FT", "T", "TU", "TM", "Ff", "V", "DV", "F", "P", "Rect",
		"AP", "AS", "MK", "N", "D", "R", "Widget", "Annot", "Sig", "Tx", "Btn", "Ch", "Filter", "SubFilter", "ByteRange",
		"Reason", "Name", "M", "Location", "ContactInfo", "Reference", "Cert", "Lock", "SV", "Action", "Perms", "DocMDP",
		"FieldMDP", "TransformMethod", "TransformParams", "SigRef", "Data", "DSS", "VRI", "Certs", "CRLs", "OCSPs",
		"Extensions", "Version", "BaseVersion", "ExtensionLevel", "Metadata", "Outlines", "Names", "Dests", "Lang",
		"StructTreeRoot", "StructParents", "StructParent", "MarkInfo", "Length", "DecodeParms", "FlateDecode", "Predictor",
		"Columns", "Colors", "BitsPerComponent", "XRef", "ObjStm", "W", "Index", "First", "Extends", "Font", "XObject",
		"ExtGState", "ColorSpace", "ProcSet", "Form", "Image", "BBox", "Matrix", "Group", "Width", "Height", "Tabs", "S",
		"OpenAction", "PageLayout", "PageMode", "ViewerPreferences", "Border", "H", "Link", "Dest", "A", "BS", "Q", "Opt",
		"Producer", "Creator", "CreationDate", "ModDate", "Title", "Author", "Subject", "Keywords", "PDF", "Text",
		"Adobe.PPKLite", "ETSI.CAdES.detached", "adbe.pkcs7.detached", "ETSI.RFC3161", "DocTimeStamp", "UserUnit",
	} {
		m[string(n)] = n
	}
	return m
}()
