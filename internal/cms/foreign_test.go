package cms_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/cms"
)

// selfSigned has openssl make a key and a certificate and returns their paths.
func selfSigned(t *testing.T, args ...string) (key, cert string) {
	t.Helper()
	dir := t.TempDir()
	key, cert = filepath.Join(dir, "k"), filepath.Join(dir, "c")
	openssl(t, append([]string{"req", "-x509", "-nodes", "-keyout", key, "-out", cert, "-days", "3650",
		"-subj", "/CN=foreign TEST ONLY", "-newkey"}, args...)...)
	return key, cert
}

// Curves that are only read: whole signatures and certificates by openssl.
func TestBrainpool(t *testing.T) {
	t.Parallel()
	for curve, md := range map[string]string{"brainpoolP256r1": "sha256", "brainpoolP384r1": "sha384", "brainpoolP512r1": "sha512"} {
		t.Run(curve, func(t *testing.T) {
			t.Parallel()
			key, cert := selfSigned(t, "ec", "-pkeyopt", "ec_paramgen_curve:"+curve, "-"+md)
			dir := t.TempDir()
			openssl(t, "cms", "-sign", "-binary", "-outform", "DER", "-cades", "-md", md, "-in", write(t, "in", content),
				"-signer", cert, "-inkey", key, "-out", filepath.Join(dir, "s"))
			msg, err := os.ReadFile(filepath.Join(dir, "s"))
			require.NoError(t, err)
			v, err := verify(msg, content)
			require.NoError(t, err)
			assert.Equal(t, cms.ECDSA, v.Algorithm)
			assert.Nil(t, v.Certificate.PublicKey, "no type of ours comes out")
			path, err := cms.BuildChain(v.Certificate, cms.ChainOptions{Roots: signerChain(t, cert), At: time.Now()})
			require.NoError(t, err)
			assert.Len(t, path, 1)
			require.NoError(t, cms.CheckIssued(path[0], path[0]), "self-signed")
			_, err = cms.New(path, nil)
			require.ErrorIs(t, err, cms.ErrUnsupported, "read only")
			s := signerOf(t, msg)
			i := bytes.LastIndex(msg, s.Signature)
			for j := 0; j < len(s.Signature); j += 11 {
				bad := bytes.Clone(msg)
				bad[i+j] ^= 1
				_, err := verify(bad, content)
				require.Error(t, err, "byte %d", j)
			}
		})
	}
}

func signerChain(t *testing.T, path string) (out []*x509.Certificate) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	out, err = cms.ParseCertificates(b)
	require.NoError(t, err)
	return out
}

func TestEd448(t *testing.T) {
	t.Parallel()
	for range 2 {
		_, cert := selfSigned(t, "ed448")
		chain := signerChain(t, cert)
		alg, err := cms.KeyAlgorithm(chain[0])
		require.NoError(t, err)
		assert.Equal(t, cms.Ed448, alg)
		require.NoError(t, cms.CheckIssued(chain[0], chain[0]))
		_, err = cms.BuildChain(chain[0], cms.ChainOptions{Roots: chain, At: time.Now()})
		require.NoError(t, err)
		_, err = cms.New(chain, nil)
		require.ErrorIs(t, err, cms.ErrUnsupported, "read only")
		i := bytes.LastIndex(chain[0].Raw, chain[0].Signature)
		for j := 0; j < len(chain[0].Signature); j += 19 {
			raw := bytes.Clone(chain[0].Raw)
			raw[i+j] ^= 0x40
			bad, err := cms.ParseCertificate(raw)
			require.NoError(t, err)
			require.Error(t, cms.CheckIssued(bad, chain[0]), "byte %d", j)
		}
	}
	// FIPS 202: SHAKE256 of nothing.
	sum, err := cms.Sum("SHAKE256", nil)
	require.NoError(t, err)
	assert.Equal(t, "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f", hex.EncodeToString(sum[:32]))
}
