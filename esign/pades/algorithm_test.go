package pades_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"strings"
	"sync"
	"testing"

	"github.com/emmansun/gmsm/pkcs7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	mozilla "go.mozilla.org/pkcs7"

	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/esign/pades"
)

// keyed is a signer with a key the development authority does not make itself.
func keyed(t testing.TB, key crypto.Signer) signer {
	t.Helper()
	s := newSigner(t, "ecdsa")
	chain, err := s.ca.Leaf(t.Context(), devca.LeafRequest{Name: "Li Si", Key: key.Public()})
	require.NoError(t, err)
	return signer{s.ca, key, chain}
}

func curve(t testing.TB, c elliptic.Curve) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	require.NoError(t, err)
	return keyed(t, key)
}

func edwards(t testing.TB) signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return keyed(t, key)
}

// C2, C3, §9: every algorithm verifies here and wherever the matrix says so.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var boxed [][]byte
	t.Run("all", func(t *testing.T) {
		for _, c := range []struct {
			name                                  string
			s                                     signer
			edit                                  func(*pades.Spec)
			want                                  string
			pdfsig, mutool, openssl, box, mozilla bool
		}{
			{name: "RSA PAdES", s: newSigner(t, "rsa"), want: "rsa-SHA-256", pdfsig: true, mutool: true, openssl: true, box: true, mozilla: true},
			{name: "RSA cms", s: newSigner(t, "rsa"), edit: func(s *pades.Spec) { s.Profile = pades.ProfileCMS }, want: "rsa-SHA-256", pdfsig: true, mutool: true, openssl: true, box: true, mozilla: true},
			{name: "RSA-PSS", s: newSigner(t, "rsa"), edit: func(s *pades.Spec) { s.Algorithm = pades.RSAPSS }, want: "rsapss-SHA-256", pdfsig: true, openssl: true, box: true},
			{name: "P-256", s: newSigner(t, "ecdsa"), want: "ecdsa-SHA-256", pdfsig: true, mutool: true, openssl: true, box: true, mozilla: true},
			{name: "P-256 P=2", s: newSigner(t, "ecdsa"), edit: func(s *pades.Spec) { s.Certify = 2 }, want: "ecdsa-SHA-256", pdfsig: true, mutool: true, openssl: true, box: true, mozilla: true},
			{name: "P-384", s: curve(t, elliptic.P384()), want: "ecdsa-SHA-384", pdfsig: true, mutool: true, openssl: true, box: true, mozilla: true},
			{name: "P-521", s: curve(t, elliptic.P521()), want: "ecdsa-SHA-512", pdfsig: true, mutool: true, openssl: true, box: true, mozilla: true},
			{name: "Ed25519", s: edwards(t), want: "ed25519-SHA-512", box: true},
			{name: "SM2", s: newSigner(t, "sm2"), want: "sm2-SM3", box: true},
			{name: "SM2 GM/T 0010", s: newSigner(t, "sm2"), edit: func(s *pades.Spec) { s.GMT = true }, want: "sm2-SM3"},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				spec := c.s.spec()
				if c.edit != nil {
					c.edit(&spec)
				}
				out := sign(t, formDoc().classic(), c.s, spec)
				r := verify(t, out, c.s)
				require.Len(t, r.Signatures, 1)
				assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
				assert.Equal(t, c.want, r.Signatures[0].Algorithm)
				path := save(t, "signed.pdf", out)
				part := extract(t, out)[0]
				root := c.s.ca.Roots()[0]
				if c.mozilla {
					p, err := mozilla.Parse(part.CMS)
					require.NoError(t, err)
					p.Content = part.Content
					assert.NoError(t, p.Verify())
				}
				t.Run("qpdf", func(t *testing.T) { qpdfClean(t, path, "") })
				if c.pdfsig {
					t.Run("pdfsig", func(t *testing.T) { pdfsigValid(t, path, 1, root) })
				}
				if c.mutool {
					t.Run("mutool", func(t *testing.T) { mutoolUnchanged(t, path) })
				}
				if c.openssl {
					t.Run("openssl", func(t *testing.T) { opensslCMS(t, part, root, true) })
				}
				if c.box {
					mu.Lock()
					defer mu.Unlock()
					boxed = append(boxed, out)
				}
			})
		}
	})
	t.Run("pdfbox", func(t *testing.T) {
		var files []string
		for _, b := range boxed {
			files = append(files, save(t, "signed.pdf", b))
		}
		out := pdfbox(t, files...) // one process for all: it is slow to start
		assert.Equal(t, len(files), strings.Count(out, "verify=true whole=true"), out)
	})
}

// signedParts returns the signature value and the signed attributes as they
// were signed, read with the standard library.
func signedParts(t testing.TB, msg []byte) (attrs, sig []byte) {
	t.Helper()
	var info struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	_, err := asn1.Unmarshal(msg, &info)
	require.NoError(t, err)
	var sd struct {
		Version int
		Digests asn1.RawValue `asn1:"set"`
		Content asn1.RawValue
		Certs   asn1.RawValue `asn1:"optional,tag:0"`
		Signers []struct {
			Version   int
			SID       asn1.RawValue
			Digest    asn1.RawValue
			Attrs     asn1.RawValue `asn1:"tag:0"`
			Algorithm asn1.RawValue
			Signature []byte
			Unsigned  asn1.RawValue `asn1:"optional,tag:1"`
		} `asn1:"set"`
	}
	_, err = asn1.Unmarshal(info.Content.FullBytes[headerLen(info.Content.FullBytes):], &sd)
	if err != nil {
		_, err = asn1.Unmarshal(info.Content.Bytes, &sd)
	}
	require.NoError(t, err)
	attrs = bytes.Clone(sd.Signers[0].Attrs.FullBytes)
	attrs[0] = 0x31
	return attrs, sd.Signers[0].Signature
}

func headerLen(b []byte) int {
	if b[1] < 0x80 {
		return 2
	}
	return 2 + int(b[1]&0x7f)
}

func publicPEM(t testing.TB, c *x509.Certificate) string {
	t.Helper()
	return save(t, "pub.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: c.RawSubjectPublicKeyInfo}))
}

// C3: openssl checks the SM2 value, gmsm's reader the whole message.
func TestSM2Elsewhere(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "sm2")
	for name, gmt := range map[string]bool{"international": false, "GM/T 0010": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := s.spec()
			spec.GMT = gmt
			part := extract(t, sign(t, plainDoc().streams(), s, spec))[0]
			p, err := pkcs7.Parse(part.CMS)
			require.NoError(t, err)
			p.Content = part.Content
			if gmt { // gmsm reads the other identifier, but does not verify it
				assert.NoError(t, p.Verify())
			}
			attrs, sig := signedParts(t, part.CMS)
			out, code := tool(t, "openssl", "dgst", "-sm3", "-verify", publicPEM(t, s.chain[0]), "-sigopt", "distid:1234567812345678",
				"-signature", save(t, "sig", sig), save(t, "attrs.der", attrs))
			assert.Zero(t, code, out)
			assert.Contains(t, out, "Verified OK")
		})
	}
}

func TestEd25519Elsewhere(t *testing.T) {
	t.Parallel()
	s := edwards(t)
	part := extract(t, sign(t, plainDoc().classic(), s, s.spec()))[0]
	attrs, sig := signedParts(t, part.CMS)
	out, code := tool(t, "openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", publicPEM(t, s.chain[0]),
		"-sigfile", save(t, "sig", sig), "-in", save(t, "attrs.der", attrs))
	assert.Zero(t, code, out)
	assert.True(t, strings.Contains(out, "Signature Verified Successfully"), out)
}
