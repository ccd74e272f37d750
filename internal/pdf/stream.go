package pdf

import (
	"bytes"
	"io"
)

// A Stream is a dictionary and data. Data of a stream that was read stays in
// the file until asked for.
type Stream struct {
	Dict *Dict
	Data []byte // of a stream that was built: the data as /Filter has it, before encryption

	org    origin // nil if built
	start  int64  // physical offset of the data
	length int64  // of the data in the file, -1 until known
}

// NewStream returns a stream to be written; data is stored as given, so dict
// must name its filters. /Length is set by Build.
func NewStream(dict *Dict, data []byte) *Stream {
	return &Stream{Dict: dict, Data: data}
}

var (
	wordEndstream = []byte("endstream")
	wordEndobj    = []byte("endobj")
)

// DataSpan returns where the data of a stream that was read stands in the file.
func (s *Stream) DataSpan() (Span, error) {
	if s.org.doc == nil {
		return Span{}, malformed("stream", -1, "stream was not read from a file")
	}
	if s.length >= 0 {
		return Span{s.start, s.length}, nil
	}
	d := s.org.doc
	n, err := d.LookupInt(s.Dict, "Length", -1)
	if err != nil && CodeOf(err) == CodeIO {
		return Span{}, err
	}
	if err == nil && n >= 0 && n <= d.src.size-s.start {
		b, err := d.src.at(&d.src.obj, s.start+n, 32)
		if err != nil {
			return Span{}, err
		}
		i := 0
		for i < len(b) && isSpace(b[i]) {
			i++
		}
		if bytes.HasPrefix(b[i:], wordEndstream) || bytes.HasPrefix(b[i:], wordEndobj) {
			s.length = n
			return Span{s.start, n}, nil
		}
	}
	end, err := d.src.find(wordEndstream, s.start, d.src.size)
	if err != nil {
		return Span{}, err
	}
	if end < 0 {
		if end, err = d.src.find(wordEndobj, s.start, d.src.size); err != nil {
			return Span{}, err
		}
	}
	if end < 0 {
		if err := d.spend(d.src.size-s.start, s.start); err != nil {
			return Span{}, err
		}
		return Span{}, inObject(malformed("stream", s.start, "no endstream"), s.org.ref)
	}
	if err := d.spend(end-s.start, s.start); err != nil {
		return Span{}, err
	}
	b, err := d.src.at(&d.src.obj, max(s.start, end-2), int(min(2, end-s.start)))
	if err != nil {
		return Span{}, err
	}
	switch {
	case bytes.HasSuffix(b, []byte("\r\n")):
		end -= 2
	case bytes.HasSuffix(b, []byte("\n")), bytes.HasSuffix(b, []byte("\r")):
		end--
	}
	s.length = end - s.start
	return Span{s.start, s.length}, nil
}

// Unbounded reports whether /Length says that the data of a stream goes on
// behind the end of the document: with more bytes there it would be another.
func (s *Stream) Unbounded() bool {
	if s.org.doc == nil {
		return false
	}
	n, err := s.org.doc.LookupInt(s.Dict, "Length", -1)
	return err == nil && n > s.org.doc.src.size-s.start-int64(len(wordEndstream))
}

// method returns how the data stands encrypted in the file.
func (s *Stream) method() (cryptMethod, error) {
	if s.org.doc == nil || !s.org.crypt || s.org.doc.crypt == nil {
		return methodNone, nil
	}
	return s.org.doc.crypt.streamMethod(s.org.doc, s.Dict)
}

// Open returns a reader of the data, decrypted, its filters not decoded.
func (s *Stream) Open() (io.Reader, error) {
	if s.org.doc == nil {
		return bytes.NewReader(s.Data), nil
	}
	span, err := s.DataSpan()
	if err != nil {
		return nil, err
	}
	d := s.org.doc
	r := io.Reader(&sectionReader{&d.src, span.Off, span.End()})
	m, err := s.method()
	if err != nil || m == methodNone {
		return r, err
	}
	return d.crypt.decryptReader(s.org.ref, m, r, span.Len)
}

// sectionReader is io.SectionReader with the errors of source.
type sectionReader struct {
	src      *source
	off, end int64
}

func (r *sectionReader) Read(p []byte) (int, error) {
	if r.off >= r.end {
		return 0, io.EOF
	}
	if int64(len(p)) > r.end-r.off {
		p = p[:r.end-r.off]
	}
	if err := r.src.read(p, r.off); err != nil {
		return 0, err
	}
	r.off += int64(len(p))
	return len(p), nil
}

// Raw returns the data decrypted, its filters not decoded. LIMIT beyond
// Limits.Inflated bytes.
func (s *Stream) Raw() ([]byte, error) {
	if s.org.doc == nil {
		return s.Data, nil
	}
	span, err := s.DataSpan()
	if err != nil {
		return nil, err
	}
	if span.Len > s.limits().Inflated {
		return nil, inObject(limit("stream", span.Off, "stream too large"), s.org.ref)
	}
	r, err := s.Open()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, span.Len+bytes.MinRead)
	buf := bytes.NewBuffer(b)
	if _, err := buf.ReadFrom(r); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func (s *Stream) limits() Limits {
	if s.org.doc == nil {
		return Limits{}.defaults()
	}
	return s.org.doc.opt.Limits
}

// Decode returns the data with all filters decoded. FILTER_UNSUPPORTED if one
// of them is for images. Data that ends early or breaks off is returned with a
// MALFORMED error, as far as it goes.
func (s *Stream) Decode() ([]byte, error) {
	chain, err := s.filters()
	if err != nil {
		return nil, err
	}
	if len(chain) > maxFilters {
		return nil, limit("filter", s.start, "too many filters")
	}
	if len(chain) == 0 {
		return s.Raw()
	}
	b, err := s.decodeChain(chain)
	if err != nil && s.org.doc != nil {
		err = inObject(err, s.org.ref)
	}
	return b, err
}

const maxFilters = 16

func (s *Stream) decodeChain(chain []filter) ([]byte, error) {
	var broken error // data that breaks off is decoded as far as it goes
	r, err := s.Open()
	if err != nil {
		return nil, err
	}
	var b []byte
	read := int64(-1) // encoded bytes
	var most int64    // of decoded ones, in any step: of the chain, or each would multiply
	for _, f := range chain {
		if f.name == "Crypt" {
			continue
		}
		if read < 0 {
			read = int64(len(s.Data))
			if s.org.doc != nil {
				read = s.length
			}
			most = bound(s.limits(), read)
		} else {
			r = bytes.NewReader(b)
		}
		b, err = f.decode(r, read, most)
		if err != nil {
			if CodeOf(err) != CodeMalformed || len(b) == 0 {
				return b, err
			}
			broken = err
		}
		read = int64(len(b))
	}
	if read < 0 {
		return s.Raw()
	}
	return b, broken
}

// bound returns how many bytes n encoded ones may become.
func bound(lim Limits, n int64) int64 {
	if n > lim.Inflated/lim.Ratio {
		return lim.Inflated
	}
	return min(lim.Inflated, max(1<<20, n*lim.Ratio))
}

// A filter of a stream with its parameters.
type filter struct {
	name  Name
	parms *Dict
	doc   *Doc
}

// filters returns the filters in the order of decoding.
func (s *Stream) filters() ([]filter, error) {
	get := s.resolver()
	fo, err := get(first(s.Dict, "Filter", "F"))
	if err != nil {
		return nil, err
	}
	po, err := get(first(s.Dict, "DecodeParms", "DP"))
	if err != nil {
		return nil, err
	}
	var doc *Doc
	if s.org.doc != nil {
		doc = s.org.doc
	}
	switch v := fo.(type) {
	case Name:
		if a, ok := po.(*Array); ok {
			if po, err = get(a.At(0)); err != nil {
				return nil, err
			}
		}
		p, _ := po.(*Dict)
		return []filter{{long(v), p, doc}}, nil
	case *Array:
		parms, _ := po.(*Array)
		var out []filter
		for i, o := range v.All() {
			if i > maxFilters {
				break
			}
			if o, err = get(o); err != nil {
				return nil, err
			}
			n, ok := o.(Name)
			if !ok {
				return nil, malformed("filter", -1, "/Filter holds no names")
			}
			each, err := get(parms.At(i))
			if err != nil {
				return nil, err
			}
			p, ok := each.(*Dict)
			if !ok && v.Len() == 1 {
				p, _ = po.(*Dict)
			}
			out = append(out, filter{long(n), p, doc})
		}
		return out, nil
	}
	return nil, nil
}

func (s *Stream) resolver() func(Object) (Object, error) {
	if s.org.doc != nil {
		return s.org.doc.Resolve
	}
	return func(o Object) (Object, error) { return o, nil }
}

// first returns the first of two keys that is present; the second is the
// abbreviation in inline images, and only a name or an array counts, as /F of a
// stream is a file.
func first(d *Dict, key, short Name) Object {
	if v := d.Get(key); v != nil {
		return v
	}
	switch v := d.Get(short).(type) {
	case Name, *Array:
		return v
	case *Dict:
		if short == "DP" {
			return v
		}
	}
	return nil
}

// long expands the abbreviated filter names of inline images.
func long(n Name) Name {
	switch n {
	case "AHx":
		return "ASCIIHexDecode"
	case "A85":
		return "ASCII85Decode"
	case "LZW":
		return "LZWDecode"
	case "Fl":
		return "FlateDecode"
	case "RL":
		return "RunLengthDecode"
	case "CCF":
		return "CCITTFaxDecode"
	case "DCT":
		return "DCTDecode"
	}
	return n
}
