package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/esign/seal"
)

// page writes a one-page PDF and returns its path.
func page(t *testing.T) string {
	t.Helper()
	b, err := seal.Text(seal.TextBox{Lines: []string{"contract"}, W: 595, H: 842})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "a.pdf")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

// Every algorithm by its flag, with a throw-away key, and the JSON it prints.
func TestThrowaway(t *testing.T) {
	t.Parallel()
	in := page(t)
	for _, alg := range []string{"", "ecdsa", "rsa", "rsapss", "ed25519", "sm2"} {
		t.Run("alg "+alg, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "b.pdf")
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), []string{
				"-in", in, "-out", out, "-alg", alg, "-name", "张三", "-reason", "同意", "-certify", "2",
				"-page", "1", "-rect", "100,100,300,160", "-text", "张三\n2026", "-json",
			}, &stdout, &stderr)
			require.Zero(t, code, stderr.String())
			var j struct {
				Field, Profile, Algorithm, Certificate string
				ByteRange                              []int64 `json:"byte_range"`
				Size                                   int64
			}
			require.NoError(t, json.Unmarshal(stdout.Bytes(), &j))
			assert.Equal(t, "Signature1", j.Field)
			assert.Equal(t, "b-b", j.Profile)
			want := alg
			if alg == "" {
				want = "ecdsa"
			}
			assert.Equal(t, want, j.Algorithm)
			b, err := os.ReadFile(out)
			require.NoError(t, err)
			assert.Equal(t, int64(len(b)), j.Size)
			assert.Equal(t, j.Size, j.ByteRange[2]+j.ByteRange[3])
			block, _ := pem.Decode([]byte(j.Certificate))
			require.NotNil(t, block)
			leaf, err := pades.ParseCertificates(block.Bytes)
			require.NoError(t, err)
			r, err := pades.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), &pades.VerifyOptions{Roots: []*x509.Certificate{leaf[0]}})
			require.NoError(t, err)
			assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
		})
	}
}

// A refusal exits 2 with one line that begins with its code, and no file.
func TestRefusals(t *testing.T) {
	t.Parallel()
	in := page(t)
	text := filepath.Join(t.TempDir(), "a.txt")
	require.NoError(t, os.WriteFile(text, []byte("hello"), 0o600))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing":        {nil, "USAGE"},
		"unknown flag":   {[]string{"-x"}, "USAGE"},
		"no algorithm":   {[]string{"-in", in, "-alg", "dsa"}, "USAGE"},
		"b-t, no TSA":    {[]string{"-in", in, "-profile", "b-t"}, "USAGE"},
		"rectangle":      {[]string{"-in", in, "-rect", "1,2,3"}, "USAGE"},
		"text, no place": {[]string{"-in", in, "-text", "x"}, "USAGE"},
		"key alone":      {[]string{"-in", in, "-key", "k.pem"}, "USAGE"},
		"no such file":   {[]string{"-in", in + "x"}, "IO"},
		"not a PDF":      {[]string{"-in", text}, "NOT_PDF"},
		"no such field":  {[]string{"-in", in, "-field", "F"}, "FIELD_NOT_FOUND"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "b.pdf")
			args := c.args
			if args != nil && args[0] != "-x" {
				args = append(args, "-out", out)
			}
			var stdout, stderr bytes.Buffer
			assert.Equal(t, 2, run(t.Context(), args, &stdout, &stderr))
			assert.True(t, strings.HasPrefix(stderr.String(), "sign: "+c.want+": "), stderr.String())
			assert.Equal(t, 1, strings.Count(stderr.String(), "\n"))
			assert.Empty(t, stdout.String())
			left, err := os.ReadDir(filepath.Dir(out))
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// A key and chain from files, and a timestamp authority, up to B-LTA.
func TestLevels(t *testing.T) {
	t.Parallel()
	var ca atomic.Pointer[devca.CA]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ca.Load().ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	made, err := devca.NewInsecure(&devca.Options{URL: srv.URL})
	require.NoError(t, err)
	ca.Store(made)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	chain, err := made.Leaf(t.Context(), devca.LeafRequest{Name: "Li Si", Key: key.Public()})
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	keyFile, certFile := filepath.Join(dir, "key.pem"), filepath.Join(dir, "chain.pem")
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	var certs []byte
	for _, c := range chain {
		certs = append(certs, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	require.NoError(t, os.WriteFile(certFile, certs, 0o600))
	in := page(t)
	for _, profile := range []string{"cms", "b-b", "b-t", "b-lt", "b-lta"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "b.pdf")
			var stdout, stderr bytes.Buffer
			args := []string{"-in", in, "-out", out, "-key", keyFile, "-cert", certFile, "-profile", profile, "-json", "-tsa", srv.URL + "/tsa"}
			require.Zero(t, run(t.Context(), args, &stdout, &stderr), stderr.String())
			b, err := os.ReadFile(out)
			require.NoError(t, err)
			o := &pades.VerifyOptions{Roots: made.Roots()}
			if profile != "b-lt" && profile != "b-lta" {
				o.Revocation = &pades.Fetcher{InsecureAllowPrivate: true}
			}
			r, err := pades.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), o)
			require.NoError(t, err)
			assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
			assert.Equal(t, profile, string(r.Signatures[0].Profile))
		})
	}
}
