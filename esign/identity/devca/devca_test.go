package devca_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdftest"
	"github.com/countersign/countersign/internal/tsp"
)

var when = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return when }

var algorithms = []string{"ecdsa", "rsa", "sm2"}

func newCA(t *testing.T, algorithm, url string) *devca.CA {
	t.Helper()
	ca, err := devca.NewInsecure(&devca.Options{Algorithm: algorithm, URL: url, Now: clock})
	require.NoError(t, err)
	return ca
}

func TestChain(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run("T11 B6 "+alg, func(t *testing.T) {
			t.Parallel()
			ca := newCA(t, alg, "")
			key, chain, err := ca.NewSigner(t.Context(), "张三")
			require.NoError(t, err)
			require.Len(t, chain, 3)
			require.NoError(t, cms.CheckKey(key, chain[0]))
			assert.Equal(t, "张三 TEST ONLY", chain[0].Subject.CommonName)
			for _, c := range chain {
				assert.True(t, strings.HasSuffix(c.Subject.CommonName, " TEST ONLY"))
				assert.Empty(t, c.OCSPServer)
			}
			path, err := cms.BuildChain(chain[0], cms.ChainOptions{Roots: ca.Roots(), Intermediates: chain, At: when})
			require.NoError(t, err)
			assert.Len(t, path, 3)

			again, err := ca.Leaf(t.Context(), devca.LeafRequest{Name: "张三", Key: key.Public()})
			require.NoError(t, err)
			assert.Equal(t, chain[0].Raw, again[0].Raw, "a repeated request gives the same certificate")
			other, err := ca.Leaf(t.Context(), devca.LeafRequest{Name: "李四", Key: key.Public()})
			require.NoError(t, err)
			assert.NotEqual(t, chain[0].Raw, other[0].Raw)
		})
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "", "")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	require.NoError(t, err)
	chain, err := ca.Leaf(t.Context(), devca.LeafRequest{Name: "Wang", Organization: "Acme", CSR: csr})
	require.NoError(t, err)
	require.NoError(t, cms.CheckKey(key, chain[0]))
	assert.Equal(t, []string{"Acme TEST ONLY"}, chain[0].Subject.Organization)

	bad := bytes.Clone(csr)
	bad[len(bad)-1] ^= 1
	for _, r := range []devca.LeafRequest{
		{}, {Name: "x"}, {Name: "x", Key: key.Public(), CSR: csr}, {Name: strings.Repeat("x", 55), Key: key.Public()},
		{Name: "x", CSR: bad}, {Name: "x", Key: "no key"}, {Name: "\xff", Key: key.Public()},
	} {
		_, err := ca.Leaf(t.Context(), r)
		require.ErrorIs(t, err, devca.ErrOptions)
	}
	_, err = devca.NewInsecure(&devca.Options{Algorithm: "dsa"})
	require.ErrorIs(t, err, devca.ErrOptions)
}

func TestRestore(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			ca := newCA(t, alg, "")
			key, chain, err := ca.NewSigner(t.Context(), "Zhang")
			require.NoError(t, err)
			_, revoked, err := ca.NewSigner(t.Context(), "Li")
			require.NoError(t, err)
			require.NoError(t, ca.RevokeLeaf(revoked[0], 1))
			state, err := ca.MarshalPEM()
			require.NoError(t, err)

			back, err := devca.RestoreInsecure(state, &devca.Options{Now: clock})
			require.NoError(t, err)
			assert.Equal(t, ca.RootsPEM(), back.RootsPEM())
			again, err := back.Leaf(t.Context(), devca.LeafRequest{Name: "Zhang", Key: key.Public()})
			require.NoError(t, err)
			assert.Equal(t, chain[0].Raw, again[0].Raw)
			twice, err := back.MarshalPEM()
			require.NoError(t, err)
			assert.Equal(t, string(state), string(twice))
			crl, err := back.CRL()
			require.NoError(t, err)
			r, err := cms.CheckCRL(crl, revoked[0], revoked[1])
			require.NoError(t, err)
			assert.Equal(t, cms.StatusRevoked, r.Status)

			_, err = devca.RestoreInsecure(state[:len(state)/2], nil)
			require.ErrorIs(t, err, devca.ErrState)
			_, err = devca.RestoreInsecure(nil, nil)
			require.ErrorIs(t, err, devca.ErrState)
		})
	}
}

func TestTimestamp(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run("C8 "+alg, func(t *testing.T) {
			t.Parallel()
			ca := newCA(t, alg, "")
			sum, err := cms.Sum("SM3", []byte("x"))
			require.NoError(t, err)
			token, err := ca.Timestamp(t.Context(), "SM3", sum)
			require.NoError(t, err)
			tok, err := tsp.Verify(token, tsp.VerifyOptions{Digest: "SM3", Sum: sum, Roots: ca.Roots()})
			require.NoError(t, err)
			assert.Equal(t, when, tok.Time)
			_, err = ca.Timestamp(t.Context(), "MD5", sum)
			require.ErrorIs(t, err, cms.ErrUnsupported)
		})
	}
}

func get(t *testing.T, c *http.Client, url string) []byte {
	t.Helper()
	r, err := c.Get(url)
	require.NoError(t, err)
	defer r.Body.Close()
	require.Equal(t, http.StatusOK, r.StatusCode)
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return b
}

// served returns an authority with its handler running.
func served(t *testing.T, alg string) (*devca.CA, *http.Client) {
	t.Helper()
	var ca *devca.CA
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ca.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	ca = newCA(t, alg, srv.URL)
	return ca, srv.Client()
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run("V11 "+alg, func(t *testing.T) {
			t.Parallel()
			ca, client := served(t, alg)
			_, good, err := ca.NewSigner(t.Context(), "good")
			require.NoError(t, err)
			_, bad, err := ca.NewSigner(t.Context(), "bad")
			require.NoError(t, err)
			require.NoError(t, ca.RevokeLeaf(bad[0], 3))
			require.ErrorIs(t, ca.RevokeLeaf(ca.Roots()[0], 0), devca.ErrUnknown)

			check := func(cert, issuer *x509.Certificate, want cms.RevocationStatus) {
				require.Len(t, cert.OCSPServer, 1)
				require.Len(t, cert.CRLDistributionPoints, 1)
				q, err := cms.OCSPRequest(cert, issuer, []byte("nonce of some length"))
				require.NoError(t, err)
				post, err := client.Post(cert.OCSPServer[0], "application/ocsp-request", bytes.NewReader(q))
				require.NoError(t, err)
				defer post.Body.Close()
				body, err := io.ReadAll(post.Body)
				require.NoError(t, err)
				for _, b := range [][]byte{body, get(t, client, cert.OCSPServer[0]+"/"+url.PathEscape(base64.StdEncoding.EncodeToString(q)))} {
					r, err := cms.CheckOCSP(b, cert, issuer, nil)
					require.NoError(t, err)
					assert.Equal(t, want, r.Status)
					assert.Equal(t, []byte("nonce of some length"), r.Nonce)
					assert.True(t, r.Covers(when))
					assert.False(t, r.Covers(when.AddDate(0, 1, 0)))
					assert.False(t, r.Covers(when.AddDate(0, -1, 0)))
				}
				r, err := cms.CheckCRL(get(t, client, cert.CRLDistributionPoints[0]), cert, issuer)
				require.NoError(t, err)
				assert.Equal(t, want, r.Status)
				assert.True(t, r.Covers(when))
				if want == cms.StatusRevoked {
					assert.Equal(t, 3, r.Reason)
					assert.Equal(t, when, r.RevokedAt)
				}
			}
			check(good[0], good[1], cms.StatusGood)
			check(bad[0], bad[1], cms.StatusRevoked)
			check(good[1], good[2], cms.StatusGood)

			for _, p := range []string{"/root.crt", "/issuing.crt"} {
				c, err := cms.ParseCertificates(get(t, client, strings.TrimSuffix(good[0].OCSPServer[0], "/ocsp")+p))
				require.NoError(t, err)
				assert.True(t, c[0].IsCA)
			}
		})
	}
}

// openssl runs the tool, which must succeed, and returns what it printed.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, code := pdftest.Tool(t, "openssl", args...)
	require.Zero(t, code, out)
	return out
}

// openssl agrees with the chain, the CRL and the OCSP answers.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			ca, client := served(t, alg)
			_, good, err := ca.NewSigner(t.Context(), "good")
			require.NoError(t, err)
			_, bad, err := ca.NewSigner(t.Context(), "bad")
			require.NoError(t, err)
			require.NoError(t, ca.RevokeLeaf(bad[0], 1))
			dir := t.TempDir()
			file := func(name string, b []byte) string {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
				return filepath.Join(dir, name)
			}
			cert := func(name string, c *x509.Certificate) string {
				return file(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
			}
			root, issuing, at := file("root", ca.RootsPEM()), cert("issuing", good[1]), fmt.Sprint(when.Unix())
			leaf := cert("good", good[0])
			if alg == "sm2" {
				// openssl 3.0 gives the identity to the first certificate only: link by link.
				id := []string{"verify", "-partial_chain", "-attime", at, "-vfyopt", "distid:1234567812345678", "-CAfile"}
				assert.Contains(t, openssl(t, append(id, issuing, leaf)...), "OK")
				assert.Contains(t, openssl(t, append(id, root, issuing)...), "OK")
			} else {
				assert.Contains(t, openssl(t, "verify", "-attime", at, "-CAfile", root, "-untrusted", issuing, leaf), "OK")
			}
			crl := get(t, client, bad[0].CRLDistributionPoints[0])
			out := openssl(t, "crl", "-inform", "DER", "-noout", "-text", "-in", file("crl", crl))
			assert.Contains(t, out, "Key Compromise")
			if alg == "sm2" {
				return // openssl ocsp takes no distid
			}
			for name, want := range map[string]string{"good": ": good", "bad": ": revoked"} {
				c := map[string]*x509.Certificate{"good": good[0], "bad": bad[0]}[name]
				args := []string{"ocsp", "-issuer", issuing, "-cert", cert(name, c), "-CAfile", root, "-attime", at}
				req := filepath.Join(dir, name+".req")
				openssl(t, append(args, "-reqout", req)...)
				q, err := os.ReadFile(req)
				require.NoError(t, err)
				out := openssl(t, append(args, "-no_nonce", "-validity_period", "400000000", "-reqin", req, "-respin", file(name+".resp", ca.OCSP(q)))...)
				assert.Contains(t, out, "Response verify OK")
				assert.Contains(t, out, want)
			}
		})
	}
}

func TestServesNothingElse(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "", "")
	for _, r := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/", http.StatusNotFound}, {"GET", "/root.key", http.StatusNotFound},
		{"POST", "/root.crl", http.StatusMethodNotAllowed}, {"GET", "/ocsp/%", http.StatusBadRequest},
		{"GET", "/tsa", http.StatusBadRequest}, {"GET", "/ocsp/!!", http.StatusBadRequest},
	} {
		w := httptest.NewRecorder()
		q := httptest.NewRequestWithContext(t.Context(), r.method, "/", nil)
		q.URL.Path, q.URL.RawPath = r.path, r.path
		ca.ServeHTTP(w, q)
		assert.Equal(t, r.want, w.Code, r.path)
	}
	_, err := cms.ParseOCSP(ca.OCSP([]byte("junk")))
	var s *cms.OCSPStatusError
	require.ErrorAs(t, err, &s)
	assert.Equal(t, 1, s.Status)
}

func Example() {
	ca, err := devca.NewInsecure(nil)
	if err != nil {
		panic(err)
	}
	_, chain, err := ca.NewSigner(context.Background(), "Zhang San")
	if err != nil {
		panic(err)
	}
	for _, c := range chain {
		fmt.Println(c.Subject.CommonName)
	}
	// Output:
	// Zhang San TEST ONLY
	// countersign development issuing TEST ONLY
	// countersign development root TEST ONLY
}
