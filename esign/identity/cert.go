package identity

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/privacy"
)

// A Reason says why a certificate was revoked.
type Reason string

// The reasons of revocation.
const (
	NameChanged  Reason = "name_changed"
	Deregistered Reason = "deregistered"
	Compromised  Reason = "compromised"
)

// A Certificate is what a [CertificateAuthority] issued.
type Certificate struct {
	Serial string
	Leaf   *x509.Certificate
	Chain  []*x509.Certificate // issuers, without the leaf
}

// A CertStatus is what an authority says of a certificate.
type CertStatus struct {
	Good      bool
	Revoked   time.Time
	Reason    Reason
	CheckedAt time.Time
}

// A CertificateAuthority issues certificates for verified people (T11).
//
// An implementation MUST treat Issue as idempotent by the request's key, issue
// for the request's name and nothing else, and refuse the zero CertRequest:
// only [NewCertRequest] makes another.
type CertificateAuthority interface {
	Issue(ctx context.Context, r CertRequest) (Certificate, error)
	Revoke(ctx context.Context, serial string, why Reason) error
	Status(ctx context.Context, serial string) (CertStatus, error)
}

// ErrNotVerified refuses a certificate for somebody whose name no authoritative
// source confirmed (T11).
var ErrNotVerified = coded.New("not_verified", "identity: not verified")

// A CertSpec asks for a certificate.
type CertSpec struct {
	Key     string // the caller's id, at most 64 bytes
	Subject privacy.Subject
	Name    privacy.Name // as verified; becomes the subject's common name
	CSR     []byte       // PKCS #10, DER or PEM; its common name is Name
	Proof   Flow         // the check of Subject, ended in Match at I2 or above
	// Representative is the same for who acts for an organisation. Required there.
	Representative *Flow
}

// A CertRequest is a request that [NewCertRequest] found in order. The zero
// value is none.
type CertRequest struct {
	key     string
	subject privacy.Subject
	name    privacy.Name
	csr     *x509.CertificateRequest
}

// Key is the caller's id.
func (r CertRequest) Key() string { return r.key }

// Subject is whom the certificate is for.
func (r CertRequest) Subject() privacy.Subject { return r.subject }

// Name is the verified name.
func (r CertRequest) Name() privacy.Name { return r.name }

// CSR is the parsed request, nil in the zero value.
func (r CertRequest) CSR() *x509.CertificateRequest { return r.csr }

// NewCertRequest checks that a certificate may be asked for (T11): the subject
// was matched at I2 or above, in this tenant, under this very name, and the
// match still holds at now; for an organisation its representative too; the
// request is signed by the key it names and asks for that name. Else it fails
// with [ErrNotVerified] or, for a request out of form, [ErrForm]. The tenant's
// keys must be unlocked.
func NewCertRequest(v *privacy.Vault, now time.Time, s CertSpec) (CertRequest, error) {
	if s.Key == "" || len(s.Key) > privacy.MaxID {
		return CertRequest{}, badForm("request", "key")
	}
	if s.Proof.Subject != s.Subject || !s.Proof.verified(now) {
		return CertRequest{}, ErrNotVerified
	}
	named, err := index(v, s.Subject.Tenant, s.Name)
	if err != nil {
		return CertRequest{}, err
	}
	if s.Proof.Named == "" || named != s.Proof.Named {
		return CertRequest{}, fmt.Errorf("%w: another name", ErrNotVerified)
	}
	if s.Proof.Kind == Organisation {
		r := s.Representative
		if r == nil || r.Kind != Person || r.Subject.Tenant != s.Subject.Tenant || !r.verified(now) {
			return CertRequest{}, fmt.Errorf("%w: representative", ErrNotVerified)
		}
	}
	csr, err := cms.ParseRequest(s.CSR) // checks its signature; knows SM2
	if err != nil {
		return CertRequest{}, badForm("request", "csr")
	}
	asked, err := privacy.NewName(csr.Subject.CommonName)
	if err != nil || !privacy.Equal(asked, s.Name) {
		return CertRequest{}, badForm("request", "name")
	}
	return CertRequest{key: s.Key, subject: s.Subject, name: s.Name, csr: csr}, nil
}

// verified reports whether the flow ended in a match that still counts.
func (f Flow) verified(now time.Time) bool {
	if f.Result == nil {
		return false
	}
	l, _ := f.Result.Counted()
	return l.AtLeast(I2) && f.Result.fresh(0, now)
}
