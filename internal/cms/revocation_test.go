package cms_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ocsp"

	"github.com/countersign/countersign/internal/cms"
)

func crlOf(t testing.TB, by *node, change func(l *x509.RevocationList)) []byte {
	t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: when, NextUpdate: when.AddDate(0, 0, 7)}
	if change != nil {
		change(l)
	}
	b, err := cms.CreateRevocationList(l, by.cert, by.key)
	require.NoError(t, err)
	return b
}

func revoke(n *big.Int, reason int) func(l *x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{
			{SerialNumber: big.NewInt(99), RevocationTime: when},
			{SerialNumber: n, RevocationTime: when.Add(-time.Hour), ReasonCode: reason},
			{SerialNumber: big.NewInt(98), RevocationTime: when},
		}
	}
}

func TestCRL(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, "root", true, nil)
	ca := issue(t, root, "ca", true, nil)
	leaf := issue(t, ca, "leaf", false, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://a/1"} })
	b := crlOf(t, ca, nil)
	r, err := cms.CheckCRL(b, leaf.cert, ca.cert)
	require.NoError(t, err)
	assert.Equal(t, cms.StatusGood, r.Status)
	assert.Equal(t, cms.ECDSA, r.Algorithm)
	assert.Equal(t, "SHA-256", r.Digest)
	assert.Equal(t, ca.cert, r.Signer)
	for at, want := range map[time.Duration]bool{-time.Hour: false, -time.Minute: true, 0: true, 168 * time.Hour: true, 169 * time.Hour: false} {
		assert.Equal(t, want, r.Covers(when.Add(at)), "V11 nextUpdate: %s", at)
	}
	r, err = cms.CheckCRL(crlOf(t, ca, revoke(leaf.cert.SerialNumber, 1)), leaf.cert, ca.cert)
	require.NoError(t, err)
	assert.Equal(t, cms.StatusRevoked, r.Status)
	assert.Equal(t, 1, r.Reason)
	assert.Equal(t, when.Add(-time.Hour), r.RevokedAt)

	_, err = cms.CheckCRL(crlOf(t, root, nil), leaf.cert, ca.cert)
	require.ErrorIs(t, err, cms.ErrScope, "V11: another issuer's")
	_, err = cms.CheckCRL(b, ca.cert, root.cert)
	require.ErrorIs(t, err, cms.ErrScope)
	twin := issue(t, nil, "ca", true, nil)
	_, err = cms.CheckCRL(crlOf(t, twin, nil), leaf.cert, ca.cert)
	require.ErrorIs(t, err, cms.ErrSignature, "V11: the issuer's name, another key")
	_, err = cms.CheckCRL(b[:len(b)-1], leaf.cert, ca.cert)
	require.ErrorIs(t, err, cms.ErrMalformed)

	idp := func(body ...byte) func(l *x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: append([]byte{0x30, byte(len(body))}, body...)}}
		}
	}
	point := func(u string) []byte {
		n := byte(len(u))
		return append([]byte{0xa0, n + 4, 0xa0, n + 2, 0x86, n}, u...)
	}
	for name, c := range map[string]struct {
		change func(l *x509.RevocationList)
		want   error
	}{
		"V11 its distribution point":      {idp(point("http://a/1")...), nil},
		"V11 another distribution point":  {idp(point("http://a/2")...), cms.ErrScope},
		"V11 end entities only":           {idp(0x81, 1, 0xff), nil},
		"V11 CAs only":                    {idp(0x82, 1, 0xff), cms.ErrScope},
		"V11 some reasons only":           {idp(0x83, 2, 6, 0x40), cms.ErrScope},
		"V11 indirect":                    {idp(0x84, 1, 0xff), cms.ErrUnsupported},
		"V11 attribute certificates only": {idp(0x85, 1, 0xff), cms.ErrScope},
		"V11 delta": {func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
		}, cms.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cms.CheckCRL(crlOf(t, ca, c.change), leaf.cert, ca.cert)
			require.ErrorIs(t, err, c.want)
		})
	}
}

// A flipped byte never turns "revoked" into "good".
func TestCRLEveryByteFlipped(t *testing.T) {
	t.Parallel()
	ca := issue(t, nil, "ca", true, nil)
	leaf := issue(t, ca, "leaf", false, nil)
	b := crlOf(t, ca, revoke(leaf.cert.SerialNumber, 1))
	for i := range b {
		for _, x := range []byte{1, 0x80} {
			bad := bytes.Clone(b)
			bad[i] ^= x
			if r, err := cms.CheckCRL(bad, leaf.cert, ca.cert); err == nil {
				require.Equal(t, cms.StatusRevoked, r.Status, "byte %d", i)
			}
		}
	}
}

// x/crypto/ocsp writes what we read, and reads what we write.
func TestOCSPAgainstStd(t *testing.T) {
	t.Parallel()
	ca := issue(t, nil, "ca", true, nil)
	leaf := issue(t, ca, "leaf", false, nil)
	delegate := issue(t, ca, "ocsp", false, func(c *x509.Certificate) {
		c.NotAfter = when.AddDate(70, 0, 0) // the library signs at the real now
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}}
	})
	for name, by := range map[string]*node{"issuer": ca, "delegate": delegate} {
		for _, status := range []int{ocsp.Good, ocsp.Revoked, ocsp.Unknown} {
			for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
				tpl := ocsp.Response{Status: status, SerialNumber: leaf.cert.SerialNumber, ThisUpdate: when, NextUpdate: when.AddDate(0, 0, 1),
					RevokedAt: when.Add(-time.Hour), RevocationReason: ocsp.KeyCompromise, IssuerHash: hash}
				if by == delegate {
					tpl.Certificate = delegate.cert
				}
				b, err := ocsp.CreateResponse(ca.cert, by.cert, tpl, by.key)
				require.NoError(t, err)
				r, err := cms.CheckOCSP(b, leaf.cert, ca.cert, nil)
				require.NoError(t, err, name)
				assert.Equal(t, map[int]cms.RevocationStatus{0: cms.StatusGood, 1: cms.StatusRevoked, 2: cms.StatusUnknown}[status], r.Status)
				assert.Equal(t, by == delegate, r.NoCheck)
				assert.Equal(t, when, r.ThisUpdate)
				if status == ocsp.Revoked {
					assert.Equal(t, when.Add(-time.Hour), r.RevokedAt)
					assert.Equal(t, 1, r.Reason)
				}
			}
		}
	}
	q, err := cms.OCSPRequest(leaf.cert, ca.cert, []byte("nonce"))
	require.NoError(t, err)
	std, err := ocsp.ParseRequest(q)
	require.NoError(t, err)
	assert.Equal(t, leaf.cert.SerialNumber, std.SerialNumber)
	ours, err := cms.ParseOCSPRequest(q)
	require.NoError(t, err)
	assert.True(t, ours.About(ca.cert))
	assert.False(t, ours.About(leaf.cert))
	for _, status := range []cms.RevocationStatus{cms.StatusGood, cms.StatusRevoked, cms.StatusUnknown} {
		b, err := cms.CreateOCSP(ours, cms.Revocation{Status: status, ThisUpdate: when, NextUpdate: when.AddDate(0, 0, 1), Produced: when,
			RevokedAt: when, Reason: 3}, delegate.cert, true, delegate.key)
		require.NoError(t, err)
		s, err := ocsp.ParseResponseForCert(b, leaf.cert, ca.cert)
		require.NoError(t, err)
		assert.Equal(t, map[cms.RevocationStatus]int{cms.StatusGood: 0, cms.StatusRevoked: 1, cms.StatusUnknown: 2}[status], s.Status)
	}
}

func TestOCSPRefusals(t *testing.T) {
	t.Parallel()
	ca := issue(t, nil, "ca", true, nil)
	leaf := issue(t, ca, "leaf", false, nil)
	other := issue(t, ca, "other", false, nil)
	signing := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }
	delegate := issue(t, ca, "ocsp", false, signing)
	stranger := issue(t, issue(t, nil, "ca", true, nil), "ocsp", false, signing)
	late := issue(t, ca, "ocsp", false, func(c *x509.Certificate) {
		signing(c)
		c.NotAfter = when.Add(-time.Hour)
	})
	request, err := cms.OCSPRequest(leaf.cert, ca.cert, nil)
	require.NoError(t, err)
	q, err := cms.ParseOCSPRequest(request)
	require.NoError(t, err)
	answer := func(by *node, embed bool) []byte {
		b, err := cms.CreateOCSP(q, cms.Revocation{Status: cms.StatusGood, ThisUpdate: when, Produced: when}, by.cert, embed, by.key)
		require.NoError(t, err)
		return b
	}
	r, err := cms.CheckOCSP(answer(delegate, true), leaf.cert, ca.cert, nil)
	require.NoError(t, err)
	assert.Equal(t, delegate.cert.Raw, r.Signer.Raw)
	assert.False(t, r.NoCheck)
	assert.True(t, r.Covers(when))
	assert.False(t, r.Covers(when.Add(time.Hour)), "V11: no nextUpdate covers no later instant")
	r, err = cms.CheckOCSP(answer(delegate, false), leaf.cert, ca.cert, list(other, delegate))
	require.NoError(t, err)
	assert.Equal(t, delegate.cert.Raw, r.Signer.Raw)

	for name, c := range map[string]struct {
		by *node
		on *x509.Certificate
		is error
	}{
		"V11 about another certificate":        {delegate, other.cert, cms.ErrScope},
		"V11 responder of another authority":   {stranger, leaf.cert, cms.ErrSignature},
		"V11 responder without the usage":      {other, leaf.cert, cms.ErrSignature},
		"V11 responder expired when it signed": {late, leaf.cert, cms.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cms.CheckOCSP(answer(c.by, true), c.on, ca.cert, nil)
			require.ErrorIs(t, err, c.is)
		})
	}
	_, err = cms.CheckOCSP(answer(delegate, false), leaf.cert, ca.cert, nil)
	require.ErrorIs(t, err, cms.ErrSignature, "the delegate's certificate is nowhere")
	_, err = cms.CheckOCSP(cms.OCSPFailure(3), leaf.cert, ca.cert, nil)
	var s *cms.OCSPStatusError
	require.ErrorAs(t, err, &s)
	assert.Equal(t, 3, s.Status)
	good := answer(delegate, true)
	for i := range good {
		for _, x := range []byte{1, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= x
			if r, err := cms.CheckOCSP(bad, leaf.cert, ca.cert, nil); err == nil {
				require.Equal(t, delegate.cert.Raw, r.Signer.Raw, "byte %d", i)
				require.Equal(t, when, r.ThisUpdate, "byte %d", i)
			}
		}
	}
}

func FuzzRevocation(f *testing.F) {
	p := pkiOf(f, "p256")
	ca := &node{cert: p.chain[1], key: p.cakey}
	f.Add(crlOf(f, ca, revoke(p.chain[0].SerialNumber, 1)))
	request, err := cms.OCSPRequest(p.chain[0], p.chain[1], []byte("nonce"))
	require.NoError(f, err)
	f.Add(request)
	q, err := cms.ParseOCSPRequest(request)
	require.NoError(f, err)
	b, err := cms.CreateOCSP(q, cms.Revocation{Status: cms.StatusRevoked, ThisUpdate: when, NextUpdate: when, Produced: when, RevokedAt: when}, ca.cert, true, ca.key)
	require.NoError(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		cms.CheckCRL(b, p.chain[0], p.chain[1])
		cms.CheckOCSP(b, p.chain[0], p.chain[1], p.chain)
		cms.ParseOCSPRequest(b)
	})
}

// FuzzKey: any bytes as a key, with and without password.
func FuzzKey(f *testing.F) {
	for _, k := range []string{"p256", "ed25519", "sm2"} {
		b, err := cms.MarshalKey(pkiOf(f, k).key)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if key, err := cms.ParseKey(b, nil); err == nil {
			_, err := key.Sign(rand.Reader, make([]byte, 32), crypto.SHA256)
			_ = err
		}
	})
}
