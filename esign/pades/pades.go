package pades

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io"
	"time"
)

var errNotBuilt = errors.New("not available in this version")

// Prepare makes the revision that s asks for, complete but for the signature
// value, for whoever holds the key to sign Prepared.ToSign. It reads the
// document and changes nothing.
func Prepare(ctx context.Context, r io.ReaderAt, size int64, s Spec) (*Prepared, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "prepare", Err: errNotBuilt}
}

// Finish puts sig into what Prepare made and returns the increment. It needs
// neither document nor key, and checks what came from outside: a raw value
// against the leaf's key, a CMS against digest and profile.
func Finish(ctx context.Context, p *Prepared, sig Signature, o *FinishOptions) (*Result, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "finish", Err: errNotBuilt}
}

// Sign prepares, signs with key and finishes in one pass, copying the document
// with its new revision to w. A nil w makes the increment only. Refusals come
// before w gets a byte; a later failure leaves a useless prefix there.
func Sign(ctx context.Context, r io.ReaderAt, size int64, w io.Writer, s Spec, key crypto.Signer, o *FinishOptions) (*Result, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "sign", Err: errNotBuilt}
}

// Augment raises the signatures of a document, ours or foreign, to a profile
// by adding timestamps, certificates and revocation data in a new revision.
func Augment(ctx context.Context, r io.ReaderAt, size int64, w io.Writer, to Profile, o *AugmentOptions) (*Result, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "augment", Err: errNotBuilt}
}

// Apply adds and fills fields in a new revision without signing.
func Apply(ctx context.Context, r io.ReaderAt, size int64, w io.Writer, e Edit, o *ApplyOptions) (*Result, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "apply", Err: errNotBuilt}
}

// CanSign looks for everything that would make Prepare refuse s, and for what
// it would do but the caller should know. Its error is for a document that
// cannot be read at all.
func CanSign(ctx context.Context, r io.ReaderAt, size int64, s Spec) (*Preflight, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "can sign", Err: errNotBuilt}
}

// Fields lists the form fields of a document in the order of its field tree.
func Fields(ctx context.Context, r io.ReaderAt, size int64, o *OpenOptions) ([]Field, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "fields", Err: errNotBuilt}
}

// Pages lists the pages of a document.
func Pages(ctx context.Context, r io.ReaderAt, size int64, o *OpenOptions) ([]Page, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "pages", Err: errNotBuilt}
}

// FindText finds text on the pages of a document, in reading order.
func FindText(ctx context.Context, r io.ReaderAt, size int64, text string, o *OpenOptions) ([]Match, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "find text", Err: errNotBuilt}
}

// VerifyOptions say whom to trust and when. Nil trusts nobody.
type VerifyOptions struct {
	Open        *OpenOptions
	Roots       []*x509.Certificate // trust anchors; a leaf may be one
	SystemRoots bool                // trust the system's store too
	At          time.Time           // when the question is asked; zero = now
	Revocation  RevocationSource    // nil = offline: what the document holds

	// AllowUnknownRevocation accepts a certificate that names a source of
	// revocation data when none is available, instead of TRY_LATER.
	AllowUnknownRevocation bool
}

// Verify judges every signature and document timestamp of a document. The
// error is for a document that cannot be read; whatever a signature turns out
// to be is in the report.
func Verify(ctx context.Context, r io.ReaderAt, size int64, o *VerifyOptions) (*Report, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "verify", Err: errNotBuilt}
}

// ParseCertificates reads certificates as PEM or DER, SM2 ones too, in order.
func ParseCertificates(b []byte) ([]*x509.Certificate, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "parse certificates", Err: errNotBuilt}
}

// ParseKey reads a private key in PEM: PKCS#8 (encrypted too, with password),
// PKCS#1 or SEC 1; RSA, ECDSA, Ed25519 or SM2.
func ParseKey(pem, password []byte) (crypto.Signer, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "parse key", Err: errNotBuilt}
}
