package pdf

import (
	"errors"
	"io"
	"iter"
)

// The functions below are being written; until then they refuse.

var errNotYet error = &Error{Code: CodeMalformed, Op: "not built", Offset: -1, Err: errors.New("not built yet")}

type (
	source    struct{ size int64 }
	xrefChain struct{}
	cache     struct{}
	crypt     struct{}
	section   struct{ trailer *Dict }
	updated   struct{}
	importKey struct{}
	comparer  struct{ da, db *Doc }
)

func (c *crypt) decryptString(Ref, []byte) ([]byte, error)            { return nil, errNotYet }
func (c *crypt) encryptString(Ref, []byte, int64) ([]byte, error)     { return nil, errNotYet }
func open(io.ReaderAt, int64, *Options) (*Doc, error)                 { return nil, errNotYet }
func (d *Doc) at(int64, Options) (*Doc, error)                        { return nil, errNotYet }
func (d *Doc) load(Ref, int) (Object, error)                          { return nil, errNotYet }
func (d *Doc) objectSpan(Ref) (Span, bool, error)                     { return Span{}, false, errNotYet }
func deflate(*Dict, []byte) *Stream                                   { return nil }
func (s *Stream) reader() (io.Reader, error)                          { return nil, errNotYet }
func (s *Stream) raw() ([]byte, error)                                { return nil, errNotYet }
func (s *Stream) decode() ([]byte, error)                             { return nil, errNotYet }
func (s *Stream) span() (Span, error)                                 { return Span{}, errNotYet }
func (d *Doc) revisions() ([]Revision, error)                         { return nil, errNotYet }
func (r Revision) spans() []Span                                      { return nil }
func (r Revision) entries() iter.Seq2[Entry, error]                   { return nil }
func (d *Doc) entry(uint32) (Entry, bool, error)                      { return Entry{}, false, errNotYet }
func (d *Doc) nextNum() uint32                                        { return 0 }
func (d *Doc) numbers() iter.Seq2[Ref, error]                         { return nil }
func newUpdate(*Doc, bool) (*Update, error)                           { return nil, errNotYet }
func (u *Update) set(Ref, Object)                                     {}
func (u *Update) object(Ref) (Object, error)                          { return nil, errNotYet }
func (u *Update) resolve(Object) (Object, error)                      { return nil, errNotYet }
func (u *Update) importObject(*Doc, Object) (Object, error)           { return nil, errNotYet }
func (u *Update) importPage(*Doc, int) (Ref, float64, float64, error) { return Ref{}, 0, 0, errNotYet }
func (u *Update) build() (*Increment, error)                          { return nil, errNotYet }
func (d *Doc) pages() iter.Seq2[Page, error]                          { return nil }
func (d *Doc) page(int) (Page, error)                                 { return Page{}, errNotYet }
func (d *Doc) annots(Page) ([]Annot, error)                           { return nil, errNotYet }
func (d *Doc) fields() iter.Seq2[Field, error]                        { return nil }
func (c *comparer) equal(a, b Object, depth int) (bool, error)        { return false, errNotYet }
func decodeText(b []byte) string                                      { return string(b) }
func encodeText(s string) []byte                                      { return []byte(s) }
