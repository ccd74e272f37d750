package pades_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/internal/cms"
)

var update = flag.Bool("update", false, "write vectors that are not there yet")

// vectorSigner has a key that signs the same thing alike.
func vectorSigner(t testing.TB) (ed25519.PrivateKey, []*x509.Certificate) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, ed25519.SeedSize))
	leaf, err := cms.CreateCertificate(&x509.Certificate{
		SerialNumber: big.NewInt(0x0504030201), Subject: pkix.Name{CommonName: "vector TEST ONLY"},
		NotBefore: signAt.AddDate(0, -1, 0), NotAfter: signAt.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
	}, nil, key.Public(), key)
	require.NoError(t, err)
	return key, []*x509.Certificate{leaf}
}

// W13: the same document, key and time give the same bytes, in every version.
// Vectors are only ever added: -update writes those that are missing and leaves
// the others alone; one that no longer matches is a change to explain, and its
// successor gets a name of its own.
func TestVectors(t *testing.T) {
	t.Parallel()
	key, chain := vectorSigner(t)
	signed := func(doc []byte, spec pades.Spec) []byte {
		spec.Chain, spec.Info.Time = chain, signAt
		var out bytes.Buffer
		_, err := pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), &out, spec, key, nil)
		require.NoError(t, err)
		return out.Bytes()
	}
	applied := func(doc []byte, e pades.Edit) []byte {
		res, err := pades.Apply(t.Context(), bytes.NewReader(doc), int64(len(doc)), nil, e, nil)
		require.NoError(t, err)
		return append(bytes.Clone(doc), res.Increment...)
	}
	box := [4]float64{72, 300, 272, 360}
	fresh := applied(plainDoc().classic(), pades.Edit{Fields: []pades.NewField{
		{Name: "buyer", Type: pades.FieldSignature, Rect: box, Lock: &pades.Lock{Action: pades.LockAll}},
		{Name: "note", Type: pades.FieldText, Rect: [4]float64{72, 200, 300, 220}},
		{Name: "yes", Type: pades.FieldCheckbox, Rect: [4]float64{72, 180, 84, 192}},
	}})
	// Nothing here is compressed, as compressors change.
	plain := packed(map[int]string{
		1: "<< /Type /Catalog /Pages 2 0 R >>",
		2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 10 0 R >> >> >>",
		4: stream("", shownText),
	}, "/Type /ObjStm /N 1 /First 5", "10 0 "+sansFont)
	first := signed(plain, pades.Spec{Info: pades.Info{Name: "张三", Reason: "同意", Location: "天津"}})
	damaged := bytes.Replace(plainDoc().classic(), []byte("startxref\n"), []byte("startxref\n9"), 1)
	seen := map[string]bool{}
	for name, doc := range map[string][]byte{
		"approval-table":    signed(formDoc().classic(), pades.Spec{}),
		"approval-stream":   first,
		"approval-hybrid":   signed(hybridDoc(formDoc()), pades.Spec{}),
		"approval-new":      signed(plainDoc().classic(), pades.Spec{Stamp: &pades.Stamp{Page: 1, Rect: box}}),
		"approval-second":   signed(first, pades.Spec{Info: pades.Info{Name: "乙方 (second)"}}),
		"approval-mended":   signed(damaged, pades.Spec{}),
		"certify-2":         signed(formDoc().classic(), pades.Spec{Certify: 2, Lock: &pades.Lock{Action: pades.LockInclude, Fields: []string{"memo"}}}),
		"fields-applied":    fresh,
		"fields-and-values": signed(fresh, pades.Spec{Field: "buyer", Edit: pades.Edit{Values: []pades.Value{{Field: "note", Value: "ok"}, {Field: "yes", Value: "Yes"}}}}),
		"profile-cms":       signed(formDoc().classic(), pades.Spec{Profile: pades.ProfileCMS}),
	} {
		path := filepath.Join("testdata", "vectors", name+".pdf")
		seen[path] = true
		if _, err := os.Stat(path); *update && os.IsNotExist(err) {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, doc, 0o644))
			line := fmt.Sprintf("%x  %s\n", sha256.Sum256(doc), filepath.Base(path))
			f, err := os.OpenFile(filepath.Join("testdata", "vectors", "SHA256SUMS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			require.NoError(t, err)
			_, err = f.WriteString(line)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err, "run with -update to add it")
		assert.True(t, bytes.Equal(want, doc), "%s is written in another way now", name)
		r, err := pades.Verify(t.Context(), bytes.NewReader(want), int64(len(want)), &pades.VerifyOptions{Roots: chain, At: signAt.Add(time.Hour)})
		require.NoError(t, err)
		if name == "fields-applied" {
			assert.Empty(t, r.Signatures)
			continue
		}
		assert.Equal(t, pades.Passed, r.Verdict, "%s: %+v", name, r.Signatures)
	}
	sums, err := os.ReadFile(filepath.Join("testdata", "vectors", "SHA256SUMS"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(sums)), "\n")
	assert.Len(t, lines, len(seen), "no vector goes away")
	for _, line := range lines {
		sum, name, _ := strings.Cut(line, "  ")
		b, err := os.ReadFile(filepath.Join("testdata", "vectors", name))
		require.NoError(t, err)
		assert.Equal(t, sum, fmt.Sprintf("%x", sha256.Sum256(b)), name)
	}
}
