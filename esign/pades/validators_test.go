package pades_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crypto/x509"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdftest"
)

// Independent validators (pades.md §9), real files, and signatures cut out
// without our parser.
var (
	need, missing, tool = pdftest.Need, pdftest.Missing, pdftest.Tool
	corpus, manifest    = pdftest.Corpus, pdftest.Manifest
	extract             = pdftest.Signatures
)

type (
	manifestEntry = pdftest.File
	signedPart    = pdftest.Signature
)

// save writes b under the test's own folder and returns the path.
func save(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

func savePEM(t testing.TB, certs ...*x509.Certificate) string {
	t.Helper()
	var b bytes.Buffer
	for _, c := range certs {
		require.NoError(t, pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return save(t, "ca.pem", b.Bytes())
}

// qpdfClean asserts that qpdf finds nothing to say about the file's structure.
func qpdfClean(t testing.TB, path, password string) {
	t.Helper()
	out, code := tool(t, "qpdf", "--password="+password, "--check", path)
	assert.Zero(t, code, "qpdf --check %s:\n%s", path, out)
}

// pdfsigValid asserts n valid signatures, the last over the whole document.
func pdfsigValid(t testing.TB, path string, n int, root *x509.Certificate) {
	t.Helper()
	need(t, "certutil", "pdfsig")
	db := filepath.Join(t.TempDir(), "nss")
	require.NoError(t, os.Mkdir(db, 0o700))
	out, code := tool(t, "certutil", "-N", "-d", "sql:"+db, "--empty-password")
	require.Zero(t, code, out)
	out, code = tool(t, "certutil", "-A", "-d", "sql:"+db, "-n", "ca", "-t", "CT,C,C", "-a", "-i", savePEM(t, root))
	require.Zero(t, code, out)
	out, _ = tool(t, "pdfsig", "-nssdir", "sql:"+db, path)
	assert.Equal(t, n, strings.Count(out, "Signature is Valid."), out)
	assert.Contains(t, out[max(0, strings.LastIndex(out, "Signature #")):], "Total document signed", out)
	// With the same certificate twice, pdfsig has trouble with every other one.
	assert.Contains(t, out, "Certificate is Trusted.", out)
}

// mutoolUnchanged asserts what mutool says of a file's last signature.
func mutoolUnchanged(t testing.TB, path string) {
	t.Helper()
	out, _ := tool(t, "mutool", "sign", "-v", path)
	assert.Contains(t, out, "The document is unchanged since signing.", out)
}

// opensslCMS asserts that openssl accepts each part as a CAdES signature.
func opensslCMS(t testing.TB, part signedPart, root *x509.Certificate, cades bool) {
	t.Helper()
	args := []string{
		"cms", "-verify", "-binary", "-inform", "DER", "-in", save(t, "s.der", part.CMS),
		"-content", save(t, "s.bin", part.Content), "-CAfile", savePEM(t, root), "-purpose", "any", "-out", os.DevNull,
	}
	want := "CMS Verification successful"
	if cades {
		args = append(args, "-cades")
		want = "CAdES Verification successful"
	}
	out, code := tool(t, "openssl", args...)
	assert.Zero(t, code, out)
	assert.Contains(t, out, want)
}

// opensslTimestamp asserts that openssl accepts a document timestamp.
func opensslTimestamp(t testing.TB, part signedPart, root *x509.Certificate) {
	t.Helper()
	out, _ := tool(t, "openssl", "ts", "-verify", "-data", save(t, "s.bin", part.Content),
		"-in", save(t, "s.der", part.CMS), "-token_in", "-CAfile", savePEM(t, root))
	assert.Contains(t, out, "Verification: OK", out)
}

// pdfbox returns what PDFBox with Bouncy Castle says of each signature of the
// files: lines "name: verify=true whole=true". A file may be "path|password".
func pdfbox(t testing.TB, files ...string) string {
	t.Helper()
	need(t, "java")
	var jars []string
	for _, name := range []string{"pdfbox2", "fontbox2", "bcpkix", "bcprov", "bcutil", "commons-logging"} {
		jar := filepath.Join("/usr/share/java", name+".jar")
		if _, err := os.Stat(jar); err != nil {
			missing(t, "java")
		}
		jars = append(jars, jar)
	}
	args := []string{"-cp", strings.Join(jars, string(os.PathListSeparator)), filepath.Join("testdata", "SigCheck.java")}
	out, code := tool(t, "java", append(args, files...)...)
	require.Zero(t, code, out)
	return out
}
