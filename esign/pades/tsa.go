package pades

import (
	"context"
	"crypto/x509"
	"net/http"
	"time"
)

// TSA is a client for RFC 3161 timestamp authorities over HTTP. Authentication
// is the business of Client's RoundTripper.
type TSA struct {
	URLs     []string      // Required. Tried in order
	Client   *http.Client  // nil = http.DefaultClient's transport without its redirects
	Timeout  time.Duration // of one attempt; 0 = 10 s
	Retries  int           // further rounds over URLs; 0 = 1, negative = none
	MaxBytes int64         // of a reply; 0 = 64 KiB
	Policy   string        // asked of the authority, as a dotted OID; "" = its choice
	Roots    []*x509.Certificate
}

var _ Timestamper = (*TSA)(nil)

// Timestamp asks the authorities in order for a token and returns the first
// that passes C8. It fails with [ErrTSAFailed] if none answered and with
// [ErrTSAInvalid] if what answered was no valid token.
func (c *TSA) Timestamp(ctx context.Context, digest string, sum []byte) ([]byte, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "timestamp", Err: errNotBuilt}
}

// Fetcher obtains revocation data from where certificates say it is: OCSP by
// POST, CRLs by GET. As those addresses come from documents, it refuses
// loopback, private and link-local ones.
type Fetcher struct {
	Client   *http.Client  // nil = a client of its own
	Timeout  time.Duration // of one request; 0 = 10 s
	MaxBytes int64         // of an answer; 0 = 16 MiB

	// InsecureAllowPrivate permits addresses that are not public, as tests and
	// closed networks need.
	InsecureAllowPrivate bool
}

var _ RevocationSource = (*Fetcher)(nil)

// OCSP asks the responder that cert names.
func (f *Fetcher) OCSP(ctx context.Context, cert, issuer *x509.Certificate) ([]byte, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "ocsp", Err: errNotBuilt}
}

// CRL downloads the list that cert names.
func (f *Fetcher) CRL(ctx context.Context, cert, issuer *x509.Certificate) ([]byte, error) {
	return nil, &Error{Code: ErrNotSupported, Op: "crl", Err: errNotBuilt}
}
