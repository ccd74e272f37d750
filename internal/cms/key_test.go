package cms_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// weakRSA is a certificate with a key too short to sign with. The key is never
// used, so any odd number of that size will do.
func weakRSA(t *testing.T) *x509.Certificate {
	t.Helper()
	n := new(big.Int).SetBit(big.NewInt(1), 1023, 1)
	p := pkiOf(t, "p256")
	c, err := cms.CreateCertificate(template("weak", false), p.chain[1], &rsa.PublicKey{N: n, E: 65537}, p.cakey)
	require.NoError(t, err)
	return c
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k, func(t *testing.T) {
			t.Parallel()
			p := pkiOf(t, k)
			pkcs8, err := cms.MarshalKey(p.key)
			require.NoError(t, err)
			text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
			for _, b := range [][]byte{pkcs8, text, append(pemCert(p.chain[0].Raw), text...)} {
				key, err := cms.ParseKey(b, nil)
				require.NoError(t, err)
				require.NoError(t, cms.CheckKey(key, p.chain[0]))
			}
			_, err = cms.ParseKey(pkcs8[:len(pkcs8)/2], nil)
			require.ErrorIs(t, err, cms.ErrMalformed)

			dir := write(t, "k.pem", text)
			for _, cipher := range []string{"-aes256", "-aes-128-cbc"} {
				out := openssl(t, "pkcs8", "-topk8", "-in", dir, "-v2", cipher[1:], "-passout", "pass:secret")
				if cipher == "-aes256" {
					out = openssl(t, "pkcs8", "-topk8", "-in", dir, "-passout", "pass:secret")
				}
				key, err := cms.ParseKey([]byte(out), []byte("secret"))
				require.NoError(t, err)
				require.NoError(t, cms.CheckKey(key, p.chain[0]))
				_, err = cms.ParseKey([]byte(out), []byte("wrong"))
				require.ErrorIs(t, err, cms.ErrPassword)
				_, err = cms.ParseKey([]byte(out), nil)
				require.ErrorIs(t, err, cms.ErrPassword)
			}
			switch k {
			case "ed25519":
				return
			case "sm2": // openssl 3.0 does not write SEC 1 for it
				sec1, err := smx509.MarshalSM2PrivateKey(p.key.(*sm2.PrivateKey))
				require.NoError(t, err)
				key, err := cms.ParseKey(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), nil)
				require.NoError(t, err)
				require.NoError(t, cms.CheckKey(key, p.chain[0]))
				return
			}
			// PKCS #1 and SEC 1, as openssl writes them.
			out := openssl(t, "pkey", "-in", dir, "-traditional")
			assert.NotContains(t, out, "BEGIN PRIVATE KEY")
			key, err := cms.ParseKey([]byte(out), nil)
			require.NoError(t, err)
			require.NoError(t, cms.CheckKey(key, p.chain[0]))
		})
	}
	for _, b := range []string{"", "junk", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "\x30\x00", "\x30\x03\x02\x01\x00"} {
		_, err := cms.ParseKey([]byte(b), nil)
		require.ErrorIs(t, err, cms.ErrMalformed)
	}
	_, err := cms.ParseKey(make([]byte, der.MaxSize+1), nil)
	require.ErrorIs(t, err, der.ErrLimit)
}

func TestParseCertificates(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		p := pkiOf(t, k)
		var text, binary []byte
		for _, c := range p.chain {
			text = append(append(text, "a comment\n"...), pemCert(c.Raw)...)
			binary = append(binary, c.Raw...)
		}
		for _, b := range [][]byte{text, binary} {
			got, err := cms.ParseCertificates(b)
			require.NoError(t, err)
			require.Len(t, got, 3)
			for i, c := range got {
				assert.Equal(t, p.chain[i].Raw, c.Raw)
			}
		}
		alg, err := cms.KeyAlgorithm(p.chain[0])
		require.NoError(t, err)
		if k != "rsapss" {
			assert.Equal(t, p.alg, alg)
		}
	}
	_, ok := pkiOf(t, "sm2").chain[0].PublicKey.(*ecdsa.PublicKey)
	assert.True(t, ok, "no type of gmsm comes out")
	for _, b := range []string{"", "junk", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"} {
		_, err := cms.ParseCertificates([]byte(b))
		require.ErrorIs(t, err, cms.ErrMalformed)
	}
}

// C5: a certificate that both parsers reject still names its signer.
func TestParsesWhatLibrariesReject(t *testing.T) {
	t.Parallel()
	p := pkiOf(t, "p256")
	// The version becomes 4, which crypto/x509 does not know.
	raw := bytes.Replace(p.chain[0].Raw, []byte{0xa0, 3, 2, 1, 2}, []byte{0xa0, 3, 2, 1, 3}, 1)
	_, err := x509.ParseCertificate(raw)
	require.Error(t, err)
	c, err := cms.ParseCertificate(raw)
	require.NoError(t, err)
	assert.Equal(t, raw, c.Raw)
	assert.Equal(t, p.chain[0].SerialNumber, c.SerialNumber)
	assert.Equal(t, p.chain[0].RawIssuer, c.RawIssuer)
	assert.Equal(t, p.chain[0].RawSubject, c.RawSubject)
	assert.Equal(t, p.chain[0].RawTBSCertificate[9:40], c.RawTBSCertificate[9:40])
	assert.True(t, p.chain[0].NotAfter.Equal(c.NotAfter))
	require.NoError(t, cms.CheckKey(p.key, c))
	_, err = cms.BuildChain(c, cms.ChainOptions{Roots: []*x509.Certificate{c}, At: when})
	var ce *cms.ChainError
	require.ErrorAs(t, err, &ce)
	assert.Equal(t, cms.ChainConstraint, ce.Reason)
}

// C2: an RSA modulus without the zero octet that makes it positive, as certificates
// of identity cards have, is the same modulus.
func TestModulusWithoutSign(t *testing.T) {
	t.Parallel()
	p := pkiOf(t, "rsa")
	raw := bytes.Clone(p.chain[0].Raw)
	key := bytes.Index(raw, p.chain[0].RawSubjectPublicKeyInfo)
	// The lengths of certificate, its signed part, key, bit string, sequence, modulus.
	for _, at := range []int{2, 6, key + 2, key + 21, key + 26, key + 30} {
		binary.BigEndian.PutUint16(raw[at:], binary.BigEndian.Uint16(raw[at:])-1)
	}
	require.Zero(t, raw[key+32])
	c, err := cms.ParseCertificate(slices.Delete(raw, key+32, key+33))
	require.NoError(t, err)
	assert.True(t, p.chain[0].PublicKey.(*rsa.PublicKey).Equal(c.PublicKey))
}

func TestParseRequest(t *testing.T) {
	t.Parallel()
	for _, k := range []string{"p256", "rsa", "ed25519"} {
		p := pkiOf(t, k)
		b, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, p.key)
		require.NoError(t, err)
		r, err := cms.ParseRequest(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: b}))
		require.NoError(t, err)
		assert.Equal(t, p.key.Public(), r.PublicKey)
		b[len(b)-1] ^= 1
		_, err = cms.ParseRequest(b)
		require.ErrorIs(t, err, cms.ErrSignature)
	}
	_, err := cms.ParseRequest([]byte("x"))
	require.ErrorIs(t, err, cms.ErrMalformed)
}

func FuzzCertificates(f *testing.F) {
	f.Add(pkiOf(f, "p256").chain[0].Raw)
	f.Add(pkiOf(f, "sm2").chain[0].Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := cms.ParseCertificates(b)
		if err != nil {
			require.ErrorIs(t, err, cms.ErrMalformed)
			return
		}
		for _, c := range list {
			require.NotEmpty(t, c.Raw)
			cms.KeyAlgorithm(c)
			cms.BuildChain(c, cms.ChainOptions{Roots: list, Intermediates: list, At: when})
		}
	})
}

// Our own reader agrees with crypto/x509 on what both read.
func TestOwnReaderAgrees(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, "root", true, nil)
	for i, change := range []func(c *x509.Certificate){
		nil,
		func(c *x509.Certificate) {
			c.IsCA, c.MaxPathLenZero, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDecipherOnly
			c.CRLDistributionPoints = []string{"http://a/1", "http://a/2"}
			c.OCSPServer, c.IssuingCertificateURL = []string{"http://o"}, []string{"http://i"}
		},
		func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageEmailProtection}
			c.Subject.CommonName, c.Subject.Country = "张三", []string{"CN"}
		},
	} {
		n := issue(t, root, "n", false, change)
		// An odd character in a printable string: the issuer becomes "ro@t" in
		// both, and the version stays as it is.
		raw := bytes.Replace(n.cert.Raw, []byte("\x13\x04root"), []byte("\x13\x04ro@t"), 1)
		require.NotEqual(t, n.cert.Raw, raw)
		_, err := x509.ParseCertificate(raw)
		require.Error(t, err)
		c, err := cms.ParseCertificate(raw)
		require.NoError(t, err, i)
		assert.Equal(t, n.cert.Signature, c.Signature)
		assert.Equal(t, n.cert.KeyUsage, c.KeyUsage)
		assert.Equal(t, n.cert.ExtKeyUsage, c.ExtKeyUsage)
		assert.Equal(t, []any{n.cert.IsCA, n.cert.BasicConstraintsValid, n.cert.MaxPathLen, n.cert.MaxPathLenZero},
			[]any{c.IsCA, c.BasicConstraintsValid, c.MaxPathLen, c.MaxPathLenZero})
		assert.Equal(t, n.cert.SubjectKeyId, c.SubjectKeyId)
		assert.Equal(t, n.cert.AuthorityKeyId, c.AuthorityKeyId)
		assert.Equal(t, n.cert.CRLDistributionPoints, c.CRLDistributionPoints)
		assert.Equal(t, n.cert.OCSPServer, c.OCSPServer)
		assert.Equal(t, n.cert.IssuingCertificateURL, c.IssuingCertificateURL)
		assert.Equal(t, n.cert.Extensions, c.Extensions)
		assert.Equal(t, n.cert.Subject.CommonName, c.Subject.CommonName)
		assert.Equal(t, n.cert.PublicKey, c.PublicKey)
		assert.Equal(t, n.cert.PublicKeyAlgorithm, c.PublicKeyAlgorithm)
		assert.Equal(t, "ro@t", c.Issuer.CommonName)
	}
}
