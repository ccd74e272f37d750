package devca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/esign/identity/identitytest"
	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// verified returns a function that makes requests for a person whose name a
// register confirmed.
func verified(t *testing.T) func(key string, signer *ecdsa.PrivateKey) identity.CertRequest {
	t.Helper()
	reg, gate := new(identitytest.Registry), new(identitytest.Gate)
	gate.Now = clock
	vault, err := privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: new(storage.Mem), Now: clock})
	require.NoError(t, err)
	svc, err := identity.New(identity.Config{Verifiers: []identity.Verifier{reg}, Gate: gate, Vault: vault, Now: clock})
	require.NoError(t, err)
	subject := privacy.Subject{Tenant: "acme", ID: "zhang"}
	reg.Know("张三", "11010519491231002X")
	gate.Grant(10)
	gate.Allow(subject)
	name, err := privacy.NewName("张三")
	require.NoError(t, err)
	number, err := privacy.NewIDNumber("11010519491231002X")
	require.NoError(t, err)
	flow, err := svc.Start(t.Context(), identity.Claim{Key: "k", Subject: subject, Kind: identity.Person, Method: identity.IDMatch, Name: name, Number: number})
	require.NoError(t, err)
	return func(key string, signer *ecdsa.PrivateKey) identity.CertRequest {
		csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "张三"}}, signer)
		require.NoError(t, err)
		r, err := identity.NewCertRequest(vault, when, identity.CertSpec{Key: key, Subject: subject, Name: name, CSR: csr, Proof: flow})
		require.NoError(t, err)
		return r
	}
}

func TestCertificateAuthority(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "", "")
	request := verified(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)

	_, err = ca.Issue(t.Context(), identity.CertRequest{})
	require.ErrorIs(t, err, identity.ErrNotVerified, "T11: no certificate without a match")
	c, err := ca.Issue(t.Context(), request("c-1", key))
	require.NoError(t, err)
	assert.Equal(t, "张三 TEST ONLY", c.Leaf.Subject.CommonName, "T11: the verified name")
	require.NoError(t, cms.CheckKey(key, c.Leaf))
	require.Len(t, c.Chain, 2)
	_, err = cms.BuildChain(c.Leaf, cms.ChainOptions{Roots: ca.Roots(), Intermediates: c.Chain, At: when})
	require.NoError(t, err)

	again, err := ca.Issue(t.Context(), request("c-1", key))
	require.NoError(t, err)
	assert.Equal(t, c.Leaf.Raw, again.Leaf.Raw, "B6: idempotent by the request's key")
	fresh, err := ca.Issue(t.Context(), request("c-2", key))
	require.NoError(t, err)
	assert.NotEqual(t, c.Serial, fresh.Serial)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, err = ca.Issue(t.Context(), request("c-1", other))
	require.ErrorIs(t, err, devca.ErrOptions, "another intent under the same id")

	s, err := ca.Status(t.Context(), c.Serial)
	require.NoError(t, err)
	assert.Equal(t, identity.CertStatus{Good: true, CheckedAt: when}, s)
	require.NoError(t, ca.Revoke(t.Context(), c.Serial, identity.NameChanged))
	require.NoError(t, ca.Revoke(t.Context(), c.Serial, identity.Compromised))
	want := identity.CertStatus{Revoked: when, Reason: identity.NameChanged, CheckedAt: when}
	s, err = ca.Status(t.Context(), c.Serial)
	require.NoError(t, err)
	assert.Equal(t, want, s, "T69: the first revocation stands")

	state, err := ca.MarshalPEM()
	require.NoError(t, err)
	back, err := devca.RestoreInsecure(state, &devca.Options{Now: clock})
	require.NoError(t, err)
	s, err = back.Status(t.Context(), c.Serial)
	require.NoError(t, err)
	assert.Equal(t, want, s)
	again, err = back.Issue(t.Context(), request("c-1", key))
	require.NoError(t, err)
	assert.Equal(t, c.Leaf.Raw, again.Leaf.Raw)

	_, err = ca.Status(t.Context(), "1234")
	require.ErrorIs(t, err, devca.ErrUnknown)
	_, err = ca.Status(t.Context(), "not a number")
	require.ErrorIs(t, err, devca.ErrUnknown)
	require.ErrorIs(t, ca.Revoke(t.Context(), "1234", identity.Compromised), devca.ErrUnknown)
	require.ErrorIs(t, ca.Revoke(t.Context(), c.Serial, "whim"), devca.ErrOptions)
}
