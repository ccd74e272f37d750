package esign

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// An issuer is the [KeySource] of a service that has none but a certificate
// authority: a key on P-256 made for one signature and forgotten after it, and a
// certificate in the name that a register confirmed (T11).
type issuer struct {
	s  *Service
	ca identity.CertificateAuthority
}

var _ KeySource = issuer{}

// Key implements [KeySource]. It fails with [identity.ErrNotVerified] before the
// authority is asked, if no match at I2 or above holds for this very name.
func (i issuer) Key(ctx context.Context, r KeyRequest) (crypto.Signer, []*x509.Certificate, error) {
	proof, err := i.proof(ctx, r.Subject)
	if err != nil {
		return nil, nil, err
	}
	as := i.s.vault.As(ctx, privacy.Accessor{Tenant: r.Tenant, Account: r.Subject.ID, Role: string(WhoRecipient)})
	v, err := i.s.vault.Reveal(as, r.Name, privacy.PurposeSigning)
	if err != nil {
		return nil, nil, err
	}
	name, ok := v.(privacy.Name)
	if !ok {
		return nil, nil, fmt.Errorf("%w: no name", identity.ErrNotVerified)
	}
	clear, err := name.Reveal(as, privacy.PurposeSigning)
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: clear}}, key)
	if err != nil {
		return nil, nil, err
	}
	id := sha256.Sum256(csr)
	req, err := identity.NewCertRequest(i.s.vault, i.s.now(), identity.CertSpec{Key: hex.EncodeToString(id[:]), Subject: r.Subject,
		Name: name, CSR: csr, Proof: proof})
	if err != nil {
		return nil, nil, err
	}
	cert, err := i.ca.Issue(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	return key, append([]*x509.Certificate{cert.Leaf}, cert.Chain...), nil
}

// proof is the last check in which a register confirmed the person's name.
func (i issuer) proof(ctx context.Context, who privacy.Subject) (identity.Flow, error) {
	return storage.ViewValue(ctx, i.s.store, func(tx *storage.Tx) (identity.Flow, error) {
		k, _, err := identities.Get(tx, who.Tenant, knownAs(identity.Person, who.ID))
		if err == nil && k.Proof == "" {
			err = identity.ErrNotVerified
		}
		if err != nil {
			return identity.Flow{}, err
		}
		c, _, err := checks.Get(tx, who.Tenant, k.Proof)
		return c.Flow, err
	})
}
