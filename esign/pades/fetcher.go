package pades

import (
	"context"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/cms"
)

// Fetcher obtains revocation data from where certificates say it is: OCSP by
// POST, CRLs by GET. As those addresses come from documents, it refuses
// loopback, private and link-local ones.
type Fetcher struct {
	Client   *http.Client  // nil = a client that connects to public addresses only
	Timeout  time.Duration // of one request; 0 = 10 s
	MaxBytes int64         // of an answer; 0 = 16 MiB

	// InsecureAllowPrivate permits addresses that are not public, as tests and
	// closed networks need. It has no effect on a Client of the caller's.
	InsecureAllowPrivate bool
}

var _ RevocationSource = (*Fetcher)(nil)

// OCSP asks the responder that cert names.
func (f *Fetcher) OCSP(ctx context.Context, cert, issuer *x509.Certificate) ([]byte, error) {
	for _, u := range cert.OCSPServer {
		if webURL(u) != nil {
			continue
		}
		req, err := cms.OCSPRequest(cert, issuer, nil)
		if err != nil {
			return nil, err
		}
		return f.get(ctx, u, req, "application/ocsp-request", "application/ocsp-response")
	}
	return nil, nil
}

// CRL downloads the list that cert names.
func (f *Fetcher) CRL(ctx context.Context, cert, issuer *x509.Certificate) ([]byte, error) {
	for _, u := range cert.CRLDistributionPoints {
		if webURL(u) == nil {
			return f.get(ctx, u, nil, "", "")
		}
	}
	return nil, nil
}

func (f *Fetcher) get(ctx context.Context, url string, body []byte, send, accept string) ([]byte, error) {
	client, timeout, most := f.Client, f.Timeout, f.MaxBytes
	if client == nil {
		client = publicClient(f.InsecureAllowPrivate)
	}
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	if most <= 0 {
		most = 16 << 20
	}
	return exchange(ctx, client, timeout, url, body, send, accept, most)
}
