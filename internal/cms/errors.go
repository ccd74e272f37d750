package cms

import "errors"

// Sentinels of this package. Malformed input that broke a limit also matches
// [der.ErrLimit].
var (
	// ErrMalformed reports bytes that are not the structure they should be.
	ErrMalformed = errors.New("cms: malformed")
	// ErrUnsupported reports an algorithm or key this package does not know,
	// or does not write with.
	ErrUnsupported = errors.New("cms: unsupported algorithm")
	// ErrKeyMismatch reports a signer whose public key is not the leaf's.
	ErrKeyMismatch = errors.New("cms: key does not match certificate")
	// ErrPassword reports an encrypted key with a wrong or missing password.
	ErrPassword = errors.New("cms: wrong or missing password")
	// ErrNoCertificate reports that the signer's certificate was not found.
	ErrNoCertificate = errors.New("cms: no certificate of the signer")
	// ErrScope reports revocation data that is not about the certificate.
	ErrScope = errors.New("cms: revocation data out of scope")
	// ErrSignature reports a signature value that does not verify.
	ErrSignature = errors.New("cms: signature does not verify")
)

// A Reason says why a signature was not accepted.
type Reason string

// Reasons of [VerifyError].
const (
	// ReasonFormat: a structure RFC 5652 does not allow, such as a signed
	// attribute twice or none at all where one must be.
	ReasonFormat Reason = "format"
	// ReasonContentType: the content-type attribute is not the content's type.
	ReasonContentType Reason = "content_type"
	// ReasonDigest: the message-digest attribute is not the content's digest.
	ReasonDigest Reason = "message_digest"
	// ReasonSigningCertificate: no certificate fits the signing-certificate attribute.
	ReasonSigningCertificate Reason = "signing_certificate"
	// ReasonSignature: the signature value does not verify.
	ReasonSignature Reason = "signature"
	// ReasonAlgorithm: an algorithm, curve or parameter that is not supported.
	ReasonAlgorithm Reason = "algorithm_unsupported"
	// ReasonNoCertificate: the signer's certificate is neither embedded nor supplied.
	ReasonNoCertificate Reason = "no_certificate"
)

// A VerifyError says why a SignerInfo was not accepted. It unwraps to its
// cause: [ErrSignature], [ErrUnsupported], [ErrNoCertificate] or [ErrMalformed].
type VerifyError struct {
	Reason Reason
	Err    error
}

// Error implements error.
func (e *VerifyError) Error() string {
	return "cms: signer info: " + string(e.Reason) + ": " + e.Err.Error()
}

// Unwrap returns what the error wraps.
func (e *VerifyError) Unwrap() error { return e.Err }
