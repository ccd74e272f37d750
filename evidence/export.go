package evidence

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"github.com/countersign/countersign/privacy"
)

// A Document is the bytes of one revision, for a bundle.
type Document struct {
	ID   string
	Rev  int
	Body io.ReaderAt
	Size int64
}

// A Disclosure asks whether the requester may read one committed value.
type Disclosure struct {
	Seq     uint64
	Type    string // of the event
	Field   privacy.Field
	Subject privacy.Subject
}

// ExportOptions say what goes into a bundle. nil is digests only and nothing
// disclosed.
type ExportOptions struct {
	// Documents are the final revisions. Every document that an event names
	// must be here, unless DigestsOnly.
	Documents []Document
	// DigestsOnly leaves documents out; the claim says so.
	DigestsOnly bool
	// Disclose decides what the requester may read; nil discloses nothing.
	// Whatever is disclosed is read from the vault on the record, so the
	// context must name an accessor.
	Disclose func(Disclosure) bool
	// Why is the purpose of reading; empty is privacy.PurposeEvidence.
	Why privacy.Purpose
}

// BundleInfo describes a bundle that was written.
type BundleInfo struct {
	Size      int64
	SHA256    []byte // of the whole file
	Claim     Claim
	Disclosed int // values opened
}

func (l *Log) Export(ctx context.Context, tenant, env string, w io.Writer, o *ExportOptions) (BundleInfo, error) {
	return BundleInfo{}, errors.ErrUnsupported
}

// Verify is the one entry point.
func Verify(b io.ReaderAt, size int64, o *VerifyOptions) (*Report, error) {
	return nil, errors.ErrUnsupported
}

func hashOf(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}
