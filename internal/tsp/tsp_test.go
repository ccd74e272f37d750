package tsp_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
	"github.com/countersign/countersign/internal/pdftest"
	"github.com/countersign/countersign/internal/tsp"
)

var when = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// authority is a root and a timestamping leaf.
type authority struct {
	tsp.Responder
	root    *x509.Certificate
	rootKey crypto.Signer
}

var oidEKU = asn1.ObjectIdentifier{2, 5, 29, 37}

// usage encodes an extended key usage extension.
func usage(t testing.TB, critical bool, ids ...asn1.ObjectIdentifier) pkix.Extension {
	t.Helper()
	b, err := asn1.Marshal(ids)
	require.NoError(t, err)
	return pkix.Extension{Id: oidEKU, Critical: critical, Value: b}
}

var timeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}

func newAuthority(t testing.TB, alg cms.Algorithm, ext ...pkix.Extension) *authority {
	t.Helper()
	if len(ext) == 0 {
		ext = []pkix.Extension{usage(t, true, timeStamping)}
	}
	rootKey, err := cms.GenerateKey(alg)
	require.NoError(t, err)
	key, err := cms.GenerateKey(alg)
	require.NoError(t, err)
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "TSA root TEST ONLY"},
		NotBefore: when.AddDate(-1, 0, 0), NotAfter: when.AddDate(70, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root, err := cms.CreateCertificate(tpl, nil, rootKey.Public(), rootKey)
	require.NoError(t, err)
	tpl = &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "TSA TEST ONLY"},
		NotBefore: when.AddDate(0, -1, 0), NotAfter: when.AddDate(60, 0, 0),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: ext,
	}
	leaf, err := cms.CreateCertificate(tpl, root, key.Public(), rootKey)
	require.NoError(t, err)
	return &authority{
		Responder: tsp.Responder{Key: key, Chain: []*x509.Certificate{leaf, root}, Now: func() time.Time { return when },
			Accuracy: 1*time.Second + 20*time.Millisecond + 300*time.Microsecond},
		root: root, rootKey: rootKey,
	}
}

func sum(t testing.TB, digest, s string) []byte {
	t.Helper()
	b, err := cms.Sum(digest, []byte(s))
	require.NoError(t, err)
	return b
}

func requireCode(t *testing.T, want tsp.Code, err error) {
	t.Helper()
	require.ErrorIs(t, err, tsp.ErrInvalid)
	var e *tsp.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, want, e.Code, "%v", err)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, alg := range []cms.Algorithm{cms.ECDSA, cms.RSA, cms.Ed25519, cms.SM2} {
		for _, digest := range []string{"SHA-256", "SM3", "SHA-512"} {
			t.Run("C8 A5 "+string(alg)+" "+digest, func(t *testing.T) {
				t.Parallel()
				a := newAuthority(t, alg)
				imprint := sum(t, digest, "x")
				q, err := tsp.NewRequest(digest, imprint)
				require.NoError(t, err)
				b, err := q.Marshal()
				require.NoError(t, err)
				back, err := tsp.ParseRequest(b)
				require.NoError(t, err)
				assert.Equal(t, q, back)
				token, err := tsp.ParseResponse(a.Respond(b))
				require.NoError(t, err)
				tok, err := tsp.Verify(token, tsp.VerifyOptions{
					Digest: digest, Sum: imprint, Nonce: q.Nonce, Policy: tsp.DefaultPolicy,
					Roots: []*x509.Certificate{a.root},
				})
				require.NoError(t, err)
				assert.Equal(t, when, tok.Time)
				assert.Equal(t, a.Accuracy, tok.Accuracy)
				assert.Equal(t, a.Chain[0].Raw, tok.Certificate.Raw)
				assert.Len(t, tok.Chain, 2)
				assert.Equal(t, alg, tok.Algorithm)
			})
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, cms.ECDSA)
	imprint := sum(t, "SHA-256", "x")
	good := tsp.VerifyOptions{Digest: "SHA-256", Sum: imprint}
	token, err := a.Token(&tsp.Request{Digest: "SHA-256", Sum: imprint, Nonce: big.NewInt(-5), Certificates: true})
	require.NoError(t, err)
	_, err = tsp.Verify(token, good)
	require.NoError(t, err)

	t.Run("C8 imprint", func(t *testing.T) {
		o := good
		o.Sum = sum(t, "SHA-256", "y")
		_, err := tsp.Verify(token, o)
		requireCode(t, tsp.CodeImprint, err)
		o.Sum, o.Digest = imprint, "SM3"
		_, err = tsp.Verify(token, o)
		requireCode(t, tsp.CodeImprint, err)
		_, err = tsp.Verify(token, tsp.VerifyOptions{})
		requireCode(t, tsp.CodeImprint, err)
	})
	t.Run("C8 nonce", func(t *testing.T) {
		o := good
		o.Nonce = big.NewInt(-5)
		_, err := tsp.Verify(token, o)
		require.NoError(t, err)
		o.Nonce = big.NewInt(6)
		_, err = tsp.Verify(token, o)
		requireCode(t, tsp.CodeNonce, err)
		none, err := a.Timestamp(t.Context(), "SHA-256", imprint)
		require.NoError(t, err)
		_, err = tsp.Verify(none, o)
		requireCode(t, tsp.CodeNonce, err)
	})
	t.Run("C8 policy", func(t *testing.T) {
		o := good
		o.Policy = "1.2.3"
		_, err := tsp.Verify(token, o)
		requireCode(t, tsp.CodePolicy, err)
		_, err = a.Token(&tsp.Request{Digest: "SHA-256", Sum: imprint, Policy: "1.2.3"})
		requireCode(t, tsp.CodePolicy, err)
	})
	t.Run("C8 certificate absent, then supplied", func(t *testing.T) {
		bare, err := a.Token(&tsp.Request{Digest: "SHA-256", Sum: imprint})
		require.NoError(t, err)
		_, err = tsp.Verify(bare, good)
		requireCode(t, tsp.CodeCertificate, err)
		o := good
		o.Certificates = a.Chain
		_, err = tsp.Verify(bare, o)
		require.NoError(t, err)
		// A certificate with the same name, number and key is not the one bound.
		twin := *a.Chain[0]
		twin.NotAfter = twin.NotAfter.AddDate(0, 0, 1)
		twin.ExtraExtensions = []pkix.Extension{usage(t, true, timeStamping)}
		other, err := cms.CreateCertificate(&twin, a.root, a.Key.Public(), a.rootKey)
		require.NoError(t, err)
		o.Certificates = []*x509.Certificate{other}
		_, err = tsp.Verify(bare, o)
		requireCode(t, tsp.CodeBinding, err)
	})
	t.Run("C8 genTime outside the certificate's life", func(t *testing.T) {
		late := a.Responder
		late.Now = func() time.Time { return when.AddDate(61, 0, 0) }
		b, err := late.Timestamp(t.Context(), "SHA-256", imprint)
		require.NoError(t, err)
		_, err = tsp.Verify(b, good)
		requireCode(t, tsp.CodeTime, err)
	})
	t.Run("C8 chain", func(t *testing.T) {
		o := good
		o.Roots = []*x509.Certificate{newAuthority(t, cms.ECDSA).root}
		_, err := tsp.Verify(token, o)
		requireCode(t, tsp.CodeChain, err)
	})
	for name, ext := range map[string]pkix.Extension{
		"not critical": usage(t, false, timeStamping),
		"two usages":   usage(t, true, timeStamping, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}),
		"another":      usage(t, true, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}),
		"none":         {Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}},
	} {
		t.Run("C8 usage "+name, func(t *testing.T) {
			b, err := newAuthority(t, cms.ECDSA, ext).Timestamp(t.Context(), "SHA-256", imprint)
			require.NoError(t, err)
			_, err = tsp.Verify(b, good)
			requireCode(t, tsp.CodeUsage, err)
		})
	}
	t.Run("C8 not a token", func(t *testing.T) {
		tpl, err := cms.New(a.Chain, nil)
		require.NoError(t, err)
		attrs, err := tpl.Attributes(imprint)
		require.NoError(t, err)
		b, err := tpl.Assemble(attrs, []byte{1})
		require.NoError(t, err)
		_, err = tsp.Verify(b, good)
		requireCode(t, tsp.CodeMalformed, err)
		_, err = tsp.Verify(append(bytes.Clone(token), 0), good)
		requireCode(t, tsp.CodeMalformed, err)
		_, err = tsp.Verify(nil, good)
		requireCode(t, tsp.CodeMalformed, err)
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, cms.ECDSA)
	var s *tsp.StatusError
	_, err := tsp.ParseResponse(a.Respond([]byte("<html>")))
	requireCode(t, tsp.CodeStatus, err)
	require.ErrorAs(t, err, &s)
	assert.Equal(t, 2, s.Status)
	assert.Equal(t, []int{tsp.FailBadDataFormat}, s.Failures)
	q := tsp.Request{Digest: "SHA-256", Sum: make([]byte, 32), Policy: "1.2.3"}
	b, err := q.Marshal()
	require.NoError(t, err)
	_, err = tsp.ParseResponse(a.Respond(b))
	require.ErrorAs(t, err, &s)
	assert.Equal(t, []int{tsp.FailPolicy}, s.Failures)
	_, err = tsp.ParseResponse([]byte("\x30\x05\x30\x03\x02\x01\x00"))
	requireCode(t, tsp.CodeMalformed, err)
}

// Every byte of a token is changed; what still verifies says the same.
func TestEveryByteFlipped(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, cms.ECDSA)
	a.Chain = a.Chain[:1]
	imprint := sum(t, "SHA-256", "x")
	token, err := a.Timestamp(t.Context(), "SHA-256", imprint)
	require.NoError(t, err)
	o := tsp.VerifyOptions{Digest: "SHA-256", Sum: imprint}
	want, err := tsp.Verify(token, o)
	require.NoError(t, err)
	for i := range token {
		for _, x := range []byte{0x01, 0x20, 0x80} {
			bad := bytes.Clone(token)
			bad[i] ^= x
			tok, err := tsp.Verify(bad, o)
			if err != nil {
				require.ErrorIs(t, err, tsp.ErrInvalid)
				continue
			}
			require.True(t, tok.Time.Equal(want.Time) && tok.Serial.Cmp(want.Serial) == 0 && tok.Accuracy == want.Accuracy &&
				bytes.Equal(tok.Certificate.Raw, want.Certificate.Raw), "byte %d", i)
		}
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, cms.ECDSA)
	srv := httptest.NewServer(&a.Responder)
	t.Cleanup(srv.Close)
	q, err := tsp.NewRequest("SHA-256", sum(t, "SHA-256", "x"))
	require.NoError(t, err)
	b, err := q.Marshal()
	require.NoError(t, err)
	r, err := srv.Client().Post(srv.URL, "application/timestamp-query", bytes.NewReader(b))
	require.NoError(t, err)
	defer r.Body.Close()
	require.Equal(t, http.StatusOK, r.StatusCode)
	assert.Equal(t, "application/timestamp-reply", r.Header.Get("Content-Type"))
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	token, err := tsp.ParseResponse(body)
	require.NoError(t, err)
	_, err = tsp.Verify(token, tsp.VerifyOptions{Digest: q.Digest, Sum: q.Sum, Nonce: q.Nonce})
	require.NoError(t, err)
	r2, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	defer r2.Body.Close()
	assert.Equal(t, http.StatusBadRequest, r2.StatusCode)
}

// openssl runs the tool, which must succeed, and returns what it printed.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, code := pdftest.Tool(t, "openssl", args...)
	require.Zero(t, code, out)
	return out
}

func file(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

func certs(list ...*x509.Certificate) (out []byte) {
	for _, c := range list {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func TestOpenSSLVerifies(t *testing.T) {
	t.Parallel()
	for _, alg := range []cms.Algorithm{cms.ECDSA, cms.RSA} {
		a := newAuthority(t, alg)
		for _, digest := range []string{"SHA-256", "SHA-512", "SM3"} {
			t.Run("C8 "+string(alg)+" "+digest, func(t *testing.T) {
				t.Parallel()
				token, err := a.Timestamp(context.Background(), digest, sum(t, digest, "data to stamp"))
				require.NoError(t, err)
				args := []string{"ts", "-verify", "-in", file(t, "t", token), "-token_in",
					"-CAfile", file(t, "ca", certs(a.root)), "-attime", "1772366400", "-data"}
				out := openssl(t, append(args, file(t, "d", []byte("data to stamp")))...)
				assert.Contains(t, out, "Verification: OK")
				out, code := pdftest.Tool(t, "openssl", append(args, file(t, "d", []byte("other data")))...)
				require.NotZero(t, code, out)
			})
		}
	}
}

// Tokens of openssl's own authority verify here, ESSCertID v1 and v2.
func TestReadsOpenSSL(t *testing.T) {
	t.Parallel()
	for _, ess := range []string{"sha1", "sha256", "sha384"} {
		t.Run("C8 ESSCertID "+ess, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t, cms.ECDSA)
			key, err := cms.MarshalKey(a.Key)
			require.NoError(t, err)
			q, err := tsp.NewRequest("SHA-256", sum(t, "SHA-256", "x"))
			require.NoError(t, err)
			b, err := q.Marshal()
			require.NoError(t, err)
			dir := t.TempDir()
			conf := "[tsa]\ndefault_tsa=t\n[t]\nserial=" + dir + "/serial\ncrypto_device=builtin\nsigner_digest=sha256\n" +
				"default_policy=1.2.3.4\ndigests=sha256\naccuracy=secs:1,millisecs:500\nordering=yes\ntsa_name=yes\n" +
				"ess_cert_id_chain=yes\ness_cert_id_alg=" + ess + "\n"
			openssl(t, "ts", "-reply", "-config", file(t, "c", []byte(conf)), "-queryfile", file(t, "q", b),
				"-signer", file(t, "s", certs(a.Chain[0])), "-chain", file(t, "ch", certs(a.root)),
				"-inkey", file(t, "k", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), "-out", dir+"/r")
			r, err := os.ReadFile(dir + "/r")
			require.NoError(t, err)
			token, err := tsp.ParseResponse(r)
			require.NoError(t, err)
			tok, err := tsp.Verify(token, tsp.VerifyOptions{Digest: "SHA-256", Sum: q.Sum, Nonce: q.Nonce, Policy: "1.2.3.4"})
			require.NoError(t, err)
			assert.Equal(t, 1500*time.Millisecond, tok.Accuracy)
			assert.True(t, tok.Ordering)
		})
	}
}

func FuzzVerify(f *testing.F) {
	a := newAuthority(f, cms.ECDSA)
	imprint := sum(f, "SHA-256", "x")
	token, err := a.Timestamp(context.Background(), "SHA-256", imprint)
	require.NoError(f, err)
	q, err := tsp.NewRequest("SHA-256", imprint)
	require.NoError(f, err)
	b, err := q.Marshal()
	require.NoError(f, err)
	f.Add(token)
	f.Add(b)
	f.Add(a.Respond(b))
	f.Add(a.Respond(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := tsp.ParseRequest(b); err != nil {
			require.ErrorIs(t, err, tsp.ErrInvalid)
		}
		if _, err := tsp.ParseResponse(b); err != nil {
			require.ErrorIs(t, err, tsp.ErrInvalid)
		}
		if _, err := tsp.Verify(b, tsp.VerifyOptions{Digest: "SHA-256", Sum: imprint}); err != nil {
			require.ErrorIs(t, err, tsp.ErrInvalid)
		}
	})
}

// R9: what is too long is refused before it is read.
func TestLimits(t *testing.T) {
	t.Parallel()
	huge := append([]byte{0x30, 0x83, 0x50, 0, 0}, make([]byte, 0x500000)...)
	for _, err := range []error{
		func() error { _, err := tsp.Read(huge); return err }(),
		func() error { _, err := tsp.ParseRequest(huge); return err }(),
		func() error { _, err := tsp.ParseResponse(huge); return err }(),
	} {
		requireCode(t, tsp.CodeMalformed, err)
		require.ErrorIs(t, err, der.ErrLimit)
	}
}
