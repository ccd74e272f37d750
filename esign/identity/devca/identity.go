package devca

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"

	"github.com/countersign/countersign/esign/identity"
)

var _ identity.CertificateAuthority = (*CA)(nil)

// Issue certifies the key of a verified request for its name, with the mark
// appended. A repeated request gives the same certificate, another one under
// the same key is [ErrOptions], and the zero request identity.ErrNotVerified.
func (c *CA) Issue(_ context.Context, r identity.CertRequest) (identity.Certificate, error) {
	csr := r.CSR()
	if csr == nil {
		return identity.Certificate{}, fmt.Errorf("devca: %w", identity.ErrNotVerified)
	}
	// NewCertRequest has compared this name with the verified one.
	id := sha256.Sum256([]byte(r.Subject().Tenant + "\x00" + r.Key()))
	chain, err := c.leaf(LeafRequest{Name: csr.Subject.CommonName, Key: csr.PublicKey}, hex.EncodeToString(id[:]))
	if err != nil {
		return identity.Certificate{}, err
	}
	return identity.Certificate{Serial: chain[0].SerialNumber.Text(16), Leaf: chain[0], Chain: chain[1:]}, nil
}

// reasons maps to RFC 5280 §5.3.1.
var reasons = map[identity.Reason]int{
	identity.Compromised:  1, // keyCompromise
	identity.NameChanged:  3, // affiliationChanged
	identity.Deregistered: 5, // cessationOfOperation
}

// Revoke revokes a leaf by its serial number (hexadecimal, as Issue gave it).
// A second revocation changes nothing; a serial number not issued here is
// [ErrUnknown].
func (c *CA) Revoke(_ context.Context, serial string, why identity.Reason) error {
	reason, ok := reasons[why]
	if !ok {
		return fmt.Errorf("%w: reason %q", ErrOptions, why)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.byText(serial)
	if l == nil {
		return ErrUnknown
	}
	if l.revokedAt.IsZero() {
		l.revokedAt, l.reason = c.now(), reason
	}
	return nil
}

// Status tells whether a leaf stands. A serial number not issued here is
// [ErrUnknown].
func (c *CA) Status(_ context.Context, serial string) (identity.CertStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.byText(serial)
	if l == nil {
		return identity.CertStatus{}, ErrUnknown
	}
	s := identity.CertStatus{Good: l.revokedAt.IsZero(), Revoked: l.revokedAt, CheckedAt: c.now()}
	for why, reason := range reasons {
		if !s.Good && reason == l.reason {
			s.Reason = why
		}
	}
	return s, nil
}

// byText returns a leaf. The caller holds mu.
func (c *CA) byText(serial string) *leaf {
	n, ok := new(big.Int).SetString(serial, 16)
	if !ok {
		return nil
	}
	return c.bySerial(n)
}
