package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
