package cms_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/emmansun/gmsm/pkcs7"
	"github.com/emmansun/gmsm/smx509"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	mozilla "go.mozilla.org/pkcs7"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdftest"
)

// openssl runs the tool, which must succeed, and returns what it printed.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, code := pdftest.Tool(t, "openssl", args...)
	require.Zero(t, code, out)
	return out
}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

func pemCert(raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

func pemPublic(t *testing.T, p *pki) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.chain[0].RawSubjectPublicKeyInfo})
}

var content = []byte("%PDF-1.7\nnot really a PDF, but bytes to sign\n")

// The CAdES verifier of openssl also checks signing-certificate-v2.
func TestOpenSSLVerifies(t *testing.T) {
	t.Parallel()
	for _, k := range []string{"rsa", "rsapss", "p256", "p384", "p521"} {
		t.Run("C1 C2 "+k, func(t *testing.T) {
			t.Parallel()
			p := pkiOf(t, k)
			msg := write(t, "s.der", signed(t, p, content, nil))
			ca := write(t, "ca.pem", pemCert(p.root().Raw))
			args := []string{"cms", "-verify", "-binary", "-cades", "-inform", "DER", "-in", msg,
				"-CAfile", ca, "-purpose", "any", "-attime", "1772366400", "-out", "/dev/null", "-content"}
			out := openssl(t, append(args, write(t, "s.bin", content))...)
			assert.Contains(t, out, "CAdES Verification successful")
			out, code := pdftest.Tool(t, "openssl", append(args, write(t, "s.bin", content[1:]))...)
			require.NotZero(t, code, out)
		})
	}
	t.Run("C2 ed25519", func(t *testing.T) {
		t.Parallel()
		p := pkiOf(t, "ed25519")
		s := signerOf(t, signed(t, p, content, nil))
		out := openssl(t, "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", write(t, "p.pem", pemPublic(t, p)),
			"-sigfile", write(t, "sig", s.Signature), "-in", write(t, "attrs", s.SignedAttributes))
		assert.Contains(t, out, "Signature Verified Successfully")
	})
	for _, gmt := range []bool{false, true} {
		t.Run("C3 sm2", func(t *testing.T) {
			t.Parallel()
			p := pkiOf(t, "sm2")
			s := signerOf(t, signed(t, p, content, &cms.Options{GMT: gmt}))
			out := openssl(t, "dgst", "-sm3", "-verify", write(t, "p.pem", pemPublic(t, p)),
				"-sigopt", "distid:1234567812345678", "-signature", write(t, "sig", s.Signature), write(t, "attrs", s.SignedAttributes))
			assert.Contains(t, out, "Verified OK")
		})
	}
}

func signerOf(t testing.TB, msg []byte) *cms.SignerInfo {
	t.Helper()
	sd, err := cms.Parse(msg)
	require.NoError(t, err)
	require.Len(t, sd.Signers, 1)
	return sd.Signers[0]
}

// C5: go.mozilla.org/pkcs7 is the independent reader. It knows no PSS and no
// Ed25519, and rejects every SM2 certificate.
func TestMozillaReads(t *testing.T) {
	t.Parallel()
	for _, k := range []string{"rsa", "p256", "p384", "p521"} {
		t.Run("C5 "+k, func(t *testing.T) {
			t.Parallel()
			p := pkiOf(t, k)
			p7, err := mozilla.Parse(signed(t, p, content, nil))
			require.NoError(t, err)
			assert.Len(t, p7.Certificates, 3)
			p7.Content = content
			require.NoError(t, p7.Verify())
			p7.Content = content[1:]
			require.Error(t, p7.Verify())
		})
	}
}

func TestGMSMReads(t *testing.T) {
	t.Parallel()
	for _, gmt := range []bool{false, true} {
		t.Run("C3 sm2", func(t *testing.T) {
			t.Parallel()
			p := pkiOf(t, "sm2")
			p7, err := pkcs7.Parse(signed(t, p, content, &cms.Options{GMT: gmt}))
			require.NoError(t, err)
			if !gmt {
				// gmsm reads the default form but knows SM2 with SM3 by the
				// identifier of GM/T 0010 alone.
				assert.Equal(t, "1.2.156.10197.1.501", p7.Signers[0].DigestEncryptionAlgorithm.Algorithm.String())
				p7.Signers[0].DigestEncryptionAlgorithm.Algorithm = pkcs7.OIDDigestEncryptionAlgorithmSM2
			}
			p7.Content = content
			require.NoError(t, p7.Verify())
			p7.Content = content[1:]
			require.Error(t, p7.Verify())
		})
	}
}

// What openssl, gmsm and the mozilla library write, we read.
func TestReadsOthers(t *testing.T) {
	t.Parallel()
	for _, k := range []string{"rsa", "p256", "p384"} {
		for _, mode := range [][]string{nil, {"-cades"}, {"-noattr"}, {"-stream", "-indef"}, {"-keyid"}, {"-md", "sha1"}, {"-md", "sha224"}, {"-md", "sha512"}, {"-md", "sha3-256"}} {
			t.Run(k, func(t *testing.T) {
				t.Parallel()
				if k != "rsa" && slices.Contains(mode, "sha3-256") {
					t.Skip("openssl 3.0 does not sign so")
				}
				p := pkiOf(t, k)
				msg := opensslSign(t, p, mode...)
				v, err := verify(msg, content)
				require.NoError(t, err, "%v", mode)
				assert.Equal(t, p.alg, v.Algorithm)
				_, err = verify(msg, content[1:])
				require.Error(t, err)
			})
		}
	}
	t.Run("PSS", func(t *testing.T) {
		t.Parallel()
		p := pkiOf(t, "rsapss")
		v, err := verify(opensslSign(t, p, "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:20"), content)
		require.NoError(t, err)
		assert.Equal(t, cms.RSAPSS, v.Algorithm)
	})
	t.Run("embedded content", func(t *testing.T) {
		t.Parallel()
		p := pkiOf(t, "p256")
		sd, err := cms.Parse(opensslSign(t, p, "-nodetach", "-stream", "-indef"))
		require.NoError(t, err)
		require.True(t, sd.HasContent)
		assert.Equal(t, content, sd.Content)
		sum, err := sd.ContentDigest(sd.Signers[0])
		require.NoError(t, err)
		_, err = sd.Verify(sd.Signers[0], cms.VerifyOptions{Digest: sum})
		require.NoError(t, err)
	})
	t.Run("mozilla", func(t *testing.T) {
		t.Parallel()
		p := pkiOf(t, "p256")
		w, err := mozilla.NewSignedData(content)
		require.NoError(t, err)
		w.SetDigestAlgorithm(mozilla.OIDDigestAlgorithmSHA256)
		require.NoError(t, w.AddSigner(p.chain[0], p.key, mozilla.SignerInfoConfig{}))
		w.Detach()
		msg, err := w.Finish()
		require.NoError(t, err)
		v, err := verify(msg, content)
		require.NoError(t, err)
		assert.Equal(t, cms.Unbound, v.Binding)
		at, ok := signerOf(t, msg).SigningTime()
		assert.True(t, ok)
		assert.WithinDuration(t, time.Now(), at, time.Minute)
	})
	t.Run("gmsm", func(t *testing.T) {
		t.Parallel()
		p := pkiOf(t, "sm2")
		leaf, err := smx509.ParseCertificate(p.chain[0].Raw)
		require.NoError(t, err)
		w, err := pkcs7.NewSMSignedData(content)
		require.NoError(t, err)
		require.NoError(t, w.AddSigner(leaf, p.key, pkcs7.SignerInfoConfig{}))
		w.Detach()
		msg, err := w.Finish()
		require.NoError(t, err)
		v, err := verify(msg, content)
		require.NoError(t, err)
		assert.Equal(t, cms.SM2, v.Algorithm)
	})
}

func opensslSign(t *testing.T, p *pki, args ...string) []byte {
	t.Helper()
	key, err := cms.MarshalKey(p.key)
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "out")
	openssl(t, append([]string{"cms", "-sign", "-binary", "-outform", "DER", "-out", out,
		"-in", write(t, "in", content), "-signer", write(t, "c.pem", pemCert(p.chain[0].Raw)),
		"-inkey", write(t, "k.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))}, args...)...)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	return b
}

// asn1parse refuses anything that is no ASN.1; DER is compared by re-encoding.
func TestWritesDER(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		p := pkiOf(t, k)
		msg := signed(t, p, content, nil)
		openssl(t, "asn1parse", "-inform", "DER", "-in", write(t, "s.der", msg))
		sd, err := cms.Parse(msg)
		require.NoError(t, err)
		assert.Empty(t, sd.Trailing)
		assert.False(t, sd.HasContent)
		for i := 1; i < len(sd.Certificates); i++ {
			assert.Negative(t, bytes.Compare(sd.Certificates[i-1], sd.Certificates[i]), "SET OF order")
		}
		again, err := cms.Parse(append(bytes.Clone(msg), 0, 0, 0))
		require.NoError(t, err)
		assert.Equal(t, []byte{0, 0, 0}, again.Trailing)
	}
}
