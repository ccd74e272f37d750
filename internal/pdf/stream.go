package pdf

import (
	"io"
)

// A Stream is a dictionary and data. Data of a stream that was read stays in
// the file until asked for.
type Stream struct {
	Dict *Dict
	Data []byte // of a stream that was built: the data as /Filter has it, before encryption

	org    *origin
	start  int64 // physical offset of the data, -1 if built
	length int64 // of the data in the file, -1 until known
}

// NewStream returns a stream to be written; data is stored as given, so dict
// must name its filters. /Length is set by Build.
func NewStream(dict *Dict, data []byte) *Stream {
	return &Stream{Dict: dict, Data: data, start: -1}
}

// Deflate returns a stream of data compressed by /FlateDecode, which is set in
// dict.
func Deflate(dict *Dict, data []byte) *Stream { return deflate(dict, data) }

// Open returns a reader of the data, decrypted, its filters not decoded.
func (s *Stream) Open() (io.Reader, error) { return s.reader() }

// Raw returns the data decrypted, its filters not decoded. LIMIT beyond
// Limits.Inflated bytes.
func (s *Stream) Raw() ([]byte, error) { return s.raw() }

// Decode returns the data with all filters decoded. FILTER_UNSUPPORTED if one
// of them is for images. Data that ends early or breaks off is returned with a
// MALFORMED error, as far as it goes.
func (s *Stream) Decode() ([]byte, error) { return s.decode() }

// DataSpan returns where the data of a stream that was read stands in the file.
func (s *Stream) DataSpan() (Span, error) { return s.span() }
