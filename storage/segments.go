package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sort"
)

// Hex is bytes that JSON and text show in lower-case hexadecimal.
type Hex []byte

// String returns the hexadecimal form.
func (h Hex) String() string { return hex.EncodeToString(h) }

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// A Segment is one blob of a document.
type Segment struct {
	Blob   string `json:"blob"`
	Size   int64  `json:"size"`
	SHA256 Hex    `json:"sha256"` // of the blob's bytes
}

// Segments are the blobs that make up a document, in order: the upload and then
// one increment per signature. The record that holds them decides what counts.
type Segments []Segment

// Size is the size of the document in bytes.
func (s Segments) Size() int64 {
	var n int64
	for i := range s {
		n += s[i].Size
	}
	return n
}

// CreateSegment stores a blob under a fresh id, and returns the segment that
// describes it. Errors are those of [Blobs].
func CreateSegment(ctx context.Context, b Blobs, id string, r io.Reader) (Segment, error) {
	sum := sha256.New()
	size, err := b.Create(ctx, id, io.TeeReader(r, sum))
	if err != nil {
		return Segment{}, err
	}
	return Segment{Blob: id, Size: size, SHA256: sum.Sum(nil)}, nil
}

// OpenSegments opens a document as one [Blob], which the caller must close. It
// returns [ErrNotFound] if a blob is missing and [ErrCorrupt] if one has not
// the size that its segment says. It does not read, hence not check, the bytes.
func OpenSegments(ctx context.Context, b Blobs, s Segments) (Blob, error) {
	d := &document{}
	for _, seg := range s {
		blob, err := b.Open(ctx, seg.Blob)
		if err == nil {
			d.blobs = append(d.blobs, blob)
			d.ends = append(d.ends, d.Size()+blob.Size())
			if blob.Size() != seg.Size {
				err = fmt.Errorf("%w: blob of %d bytes, want %d", ErrCorrupt, blob.Size(), seg.Size)
			}
		}
		if err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// document is blobs in a row; ends[i] is the offset after blob i.
type document struct {
	blobs []Blob
	ends  []int64
}

func (d *document) Size() int64 {
	if len(d.ends) == 0 {
		return 0
	}
	return d.ends[len(d.ends)-1]
}

func (d *document) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("storage: negative offset")
	}
	i := sort.Search(len(d.ends), func(i int) bool { return d.ends[i] > off })
	for ; n < len(p) && i < len(d.blobs); i++ {
		at := off + int64(n) - (d.ends[i] - d.blobs[i].Size())
		part := p[n:min(int64(len(p)), d.ends[i]-off)]
		m, err := d.blobs[i].ReadAt(part, at)
		n += m
		if m < len(part) {
			if err == nil || err == io.EOF {
				err = fmt.Errorf("%w: blob ends early", ErrCorrupt)
			}
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *document) Close() error {
	var first error
	for _, b := range d.blobs {
		if err := b.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
