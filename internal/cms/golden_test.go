package cms_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"flag"
	"math/big"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/cms"
)

var update = flag.Bool("update", false, "rewrite golden files")

// Ed25519 is deterministic, so one message pins every byte that is written.
func TestGolden(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	leaf, err := cms.CreateCertificate(&x509.Certificate{
		SerialNumber: big.NewInt(0x0102030405), Subject: pkix.Name{CommonName: "golden TEST ONLY"},
		NotBefore: when, NotAfter: when.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
	}, nil, key.Public(), key)
	require.NoError(t, err)
	p := &pki{alg: cms.Ed25519, key: key, chain: []*x509.Certificate{leaf}}
	extra := cms.Attribute{Type: cms.OIDSignatureTimestamp, Values: [][]byte{{5, 0}}}
	got := signed(t, p, content, &cms.Options{SigningTime: when}, extra)
	assert.Equal(t, got, signed(t, p, content, &cms.Options{SigningTime: when}, extra), "equal input, equal bytes")
	if *update {
		require.NoError(t, os.WriteFile("testdata/ed25519.der", got, 0o644))
	}
	want, err := os.ReadFile("testdata/ed25519.der")
	require.NoError(t, err)
	assert.Equal(t, hex.Dump(want), hex.Dump(got))
	v, err := verify(want, content)
	require.NoError(t, err)
	assert.Equal(t, cms.Ed25519, v.Algorithm)
}

// The identifiers of pades.md C2 and C3, as RFC 3279, 4055, 5754, 5758, 8419
// and GM/T 0006 list them.
func TestIdentifiers(t *testing.T) {
	t.Parallel()
	for k, want := range map[string][2]string{
		"rsa":     {"2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.11"},
		"rsapss":  {"2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.10"},
		"p256":    {"2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"},
		"p384":    {"2.16.840.1.101.3.4.2.2", "1.2.840.10045.4.3.3"},
		"p521":    {"2.16.840.1.101.3.4.2.3", "1.2.840.10045.4.3.4"},
		"ed25519": {"2.16.840.1.101.3.4.2.3", "1.3.101.112"},
		"sm2":     {"1.2.156.10197.1.401", "1.2.156.10197.1.501"},
	} {
		msg := signed(t, pkiOf(t, k), content, nil)
		s := signerOf(t, msg)
		assert.Equal(t, want, [2]string{s.DigestOID.String(), s.SignatureOID.String()}, k)
		if k == "rsapss" {
			// RFC 4055 §3.1: SHA-256, MGF1 with SHA-256, salt of 32, trailer by default.
			pss, err := hex.DecodeString("3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120")
			require.NoError(t, err)
			assert.True(t, bytes.Contains(msg, pss))
		}
	}
}
