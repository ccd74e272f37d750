package pdf

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"io"
	"sync"
)

// Deflate returns a stream of data compressed by /FlateDecode, which is set in
// dict.
func Deflate(dict *Dict, data []byte) *Stream {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	dict = dict.Clone()
	if err != nil { // a bytes.Buffer does not fail
		return NewStream(dict, data)
	}
	dict.Set("Filter", Name("FlateDecode"))
	dict.Delete("DecodeParms")
	return NewStream(dict, b.Bytes())
}

// decode decodes all of r, which holds about n bytes, into at most most bytes.
func (f filter) decode(r io.Reader, n, most int64) (b []byte, err error) {
	switch f.name {
	case "FlateDecode":
		b, err = inflate(r, n, most)
	case "LZWDecode":
		early := int64(1)
		if f.doc != nil {
			if early, err = f.doc.LookupInt(f.parms, "EarlyChange", 1); err != nil {
				return nil, err
			}
		} else if v, ok := f.parms.Get("EarlyChange").(Int); ok {
			early = int64(v)
		}
		b, err = unlzw(newByteReader(r), early != 0, most)
	case "ASCIIHexDecode":
		return unASCIIHex(newByteReader(r), most)
	case "ASCII85Decode":
		return unASCII85(newByteReader(r), most)
	case "RunLengthDecode":
		return unRunLength(newByteReader(r), most)
	case "DCTDecode", "JPXDecode", "CCITTFaxDecode", "JBIG2Decode":
		return nil, &Error{Code: CodeFilter, Op: "filter", Offset: -1, Err: errors.New("image filter")}
	default:
		return nil, &Error{Code: CodeFilter, Op: "filter", Offset: -1}
	}
	if len(b) > 0 && f.parms != nil {
		p, perr := f.predictor()
		if perr != nil {
			return nil, perr
		}
		b, perr = p.undo(b)
		if err == nil {
			err = perr
		}
	}
	return b, err
}

func tooLarge(op string) error {
	return limit(op, -1, "stream decodes to too many bytes")
}

// inflater is a decoder with its buffer, kept for the next stream.
type inflater struct {
	in byteReader
	z  io.ReadCloser
}

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// noData is a reader at its end.
type noData struct{}

func (noData) Read([]byte) (int, error) { return 0, io.EOF }

// inflate decodes zlib data. Neither the header nor the checksum is insisted
// on: as with other readers, what can be decoded counts.
func inflate(r io.Reader, n, most int64) ([]byte, error) {
	f := inflaters.Get().(*inflater)
	br := &f.in
	br.reset(r)
	for range 4 { // end-of-line marks too many before the data
		c, err := br.peek()
		if err != nil || !isSpace(c) || c == 0 {
			break
		}
		br.pos++
	}
	head, err := br.peek2()
	if err == nil && head[0]&15 == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		br.pos += 2
	}
	if f.z == nil {
		f.z = flate.NewReader(br)
	} else if err := f.z.(flate.Resetter).Reset(br, nil); err != nil {
		return nil, malformed("flate", -1, "cannot begin")
	}
	defer func() {
		br.reset(noData{}) // lets go of the data
		inflaters.Put(f)
	}()
	out := make([]byte, 0, min(most, max(512, min(n, 1<<20)*4)))
	for {
		if len(out) == cap(out) {
			if int64(len(out)) > most {
				return nil, tooLarge("flate")
			}
			grown := make([]byte, len(out), min(2*int64(cap(out)), most+1))
			copy(grown, out)
			out = grown
		}
		k, err := f.z.Read(out[len(out):cap(out)])
		out = out[:len(out)+k]
		if int64(len(out)) > most {
			return nil, tooLarge("flate")
		}
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			var own *Error
			if errors.As(err, &own) {
				return nil, own
			}
			return out, malformed("flate", -1, "compressed data is damaged")
		}
	}
}

// byteReader reads bytes in blocks; it is what compress/flate reads from.
type byteReader struct {
	r   io.Reader
	buf []byte
	pos int
	err error
}

func newByteReader(r io.Reader) *byteReader {
	b := new(byteReader)
	b.reset(r)
	return b
}

// reset begins with another reader.
func (b *byteReader) reset(r io.Reader) {
	if cap(b.buf) < 4<<10 {
		b.buf = make([]byte, 0, 4<<10)
	}
	*b = byteReader{r: r, buf: b.buf[:0]}
}

func (b *byteReader) fill() error {
	for b.pos == len(b.buf) && b.err == nil {
		n, err := b.r.Read(b.buf[:cap(b.buf)])
		b.buf, b.pos, b.err = b.buf[:n], 0, err
	}
	if b.pos < len(b.buf) {
		return nil
	}
	return b.err
}

func (b *byteReader) ReadByte() (byte, error) {
	if b.pos == len(b.buf) {
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	b.pos++
	return b.buf[b.pos-1], nil
}

func (b *byteReader) Read(p []byte) (int, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	n := copy(p, b.buf[b.pos:])
	b.pos += n
	return n, nil
}

func (b *byteReader) peek() (byte, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	return b.buf[b.pos], nil
}

// peek2 returns the next two bytes.
func (b *byteReader) peek2() (h [2]byte, err error) {
	if err := b.fill(); err != nil {
		return h, err
	}
	if len(b.buf)-b.pos < 2 {
		first := b.buf[b.pos]
		b.pos++
		if err := b.fill(); err != nil {
			b.buf, b.pos = append(b.buf[:0], first), 0
			return h, err
		}
		rest := b.buf[b.pos:]
		b.buf = append(make([]byte, 0, len(rest)+1), first)
		b.buf = append(b.buf, rest...)
		b.pos = 0
	}
	return [2]byte(b.buf[b.pos:]), nil
}

// sourceError passes on what the reader below failed with, if it is no end.
func sourceError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	return ioError("filter", -1, err)
}

func unASCIIHex(r *byteReader, most int64) ([]byte, error) {
	var out []byte
	var hi byte
	half := false
	for {
		c, err := r.ReadByte()
		if err != nil || c == '>' {
			if half {
				out = append(out, hi<<4)
			}
			return out, sourceError(eofOr(err))
		}
		v, ok := unhex(c)
		switch {
		case !ok && isSpace(c):
			continue
		case !ok:
			return out, malformed("ascii hex", -1, "not a hexadecimal digit")
		case half:
			out = append(out, hi<<4|v)
		default:
			hi = v
		}
		half = !half
		if int64(len(out)) > most {
			return nil, tooLarge("ascii hex")
		}
	}
}

func eofOr(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

func unASCII85(r *byteReader, most int64) ([]byte, error) {
	var out []byte
	var group [5]byte
	n := 0
	flush := func(k int) {
		var v uint32
		for _, c := range group {
			v = v*85 + uint32(c)
		}
		b := [4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
		out = append(out, b[:k]...)
	}
	for {
		c, err := r.ReadByte()
		if err != nil || c == '~' {
			if n > 1 {
				for i := n; i < 5; i++ {
					group[i] = 84
				}
				flush(n - 1)
			}
			return out, sourceError(eofOr(err))
		}
		switch {
		case isSpace(c):
			continue
		case c == 'z' && n == 0:
			out = append(out, 0, 0, 0, 0)
		case c >= '!' && c <= 'u':
			group[n] = c - '!'
			if n++; n == 5 {
				flush(4)
				n = 0
			}
		default:
			return out, malformed("ascii 85", -1, "not a base-85 digit")
		}
		if int64(len(out)) > most {
			return nil, tooLarge("ascii 85")
		}
	}
}

func unRunLength(r *byteReader, most int64) ([]byte, error) {
	var out []byte
	for {
		c, err := r.ReadByte()
		if err != nil || c == 128 {
			return out, sourceError(eofOr(err))
		}
		if c < 128 {
			for range int(c) + 1 {
				v, err := r.ReadByte()
				if err != nil {
					if e := sourceError(err); e != nil {
						return out, e
					}
					return out, malformed("run length", -1, "data ends early")
				}
				out = append(out, v)
			}
		} else {
			v, err := r.ReadByte()
			if err != nil {
				if e := sourceError(err); e != nil {
					return out, e
				}
				return out, malformed("run length", -1, "data ends early")
			}
			for range 257 - int(c) {
				out = append(out, v)
			}
		}
		if int64(len(out)) > most {
			return nil, tooLarge("run length")
		}
	}
}
