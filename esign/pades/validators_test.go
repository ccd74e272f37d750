package pades_test

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"crypto/x509"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Independent validators (pades.md §9). A missing one skips the test with the
// command that installs it; under COUNTERSIGN_VALIDATORS=required it fails.
var packages = map[string]string{
	"qpdf":      "qpdf",
	"pdfsig":    "poppler-utils",
	"pdftotext": "poppler-utils",
	"mutool":    "mupdf-tools",
	"certutil":  "libnss3-tools",
	"openssl":   "openssl",
	"java":      "default-jdk-headless libpdfbox2-java libbcpkix-java",
}

// need skips or fails unless every tool is there.
func need(t testing.TB, tools ...string) {
	t.Helper()
	for _, name := range tools {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name)
		}
	}
}

func missing(t testing.TB, name string) {
	t.Helper()
	const text = "%s not found: apt-get install -y --no-install-recommends %s"
	if os.Getenv("COUNTERSIGN_VALIDATORS") == "required" {
		t.Fatalf(text, name, packages[name])
	}
	t.Skipf(text, name, packages[name])
}

// tool runs a command and returns its output and exit code.
func tool(t testing.TB, name string, args ...string) (string, int) {
	t.Helper()
	need(t, name)
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err == nil {
		return out.String(), 0
	}
	exit, ok := err.(*exec.ExitError)
	require.True(t, ok, "%s: %v", name, err)
	return out.String(), exit.ExitCode()
}

// corpus returns the folder of real files, or skips.
func corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("COUNTERSIGN_CORPUS")
	if dir == "" {
		// From this package to the module root, and from there beside it.
		dir = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(filepath.Join(dir, "MANIFEST.tsv")); err != nil {
		t.Skipf("no corpus of PDFs at %s: set COUNTERSIGN_CORPUS", dir)
	}
	return dir
}

// manifestEntry is a line of MANIFEST.tsv.
type manifestEntry struct {
	Path, Category, Expected, Password, Notes string
}

func manifest(t testing.TB, category string) []manifestEntry {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpus(t), "MANIFEST.tsv"))
	require.NoError(t, err)
	var list []manifestEntry
	for _, line := range strings.Split(string(b), "\n")[1:] {
		f := strings.Split(line, "\t")
		if len(f) < 9 || f[2] != category {
			continue
		}
		e := manifestEntry{Path: f[0], Category: f[2], Expected: f[3], Notes: f[8]}
		if pw, ok := strings.CutPrefix(f[3], "PASSWORD:"); ok && pw != "<empty user password>" {
			e.Password = pw
		} else if f[5] != "-" && !strings.HasPrefix(f[5], "<") {
			e.Password = f[5]
		}
		list = append(list, e)
	}
	require.NotEmpty(t, list)
	return list
}

// signedPart is a signature cut out of a file without our parser.
type signedPart struct {
	ByteRange [4]int64
	CMS       []byte // cut at its DER end
	Content   []byte // the bytes of the range
}

var byteRangePattern = regexp.MustCompile(`/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]`)

// extract finds every signature by its ByteRange in the raw bytes.
func extract(t testing.TB, file []byte) []signedPart {
	t.Helper()
	var parts []signedPart
	for _, m := range byteRangePattern.FindAllSubmatch(file, -1) {
		var p signedPart
		for i := range p.ByteRange {
			n, err := strconv.ParseInt(string(m[i+1]), 10, 64)
			require.NoError(t, err)
			p.ByteRange[i] = n
		}
		r := p.ByteRange
		gap := file[r[0]+r[1] : r[2]]
		require.Equal(t, byte('<'), gap[0])
		require.Equal(t, byte('>'), gap[len(gap)-1])
		raw := make([]byte, (len(gap)-2)/2)
		_, err := hex.Decode(raw, gap[1:len(gap)-1])
		require.NoError(t, err)
		p.CMS = raw[:derLength(t, raw)]
		p.Content = append(append([]byte{}, file[r[0]:r[0]+r[1]]...), file[r[2]:r[2]+r[3]]...)
		parts = append(parts, p)
	}
	return parts
}

// derLength returns the length of the DER value at the start of b.
func derLength(t testing.TB, b []byte) int {
	t.Helper()
	require.Greater(t, len(b), 2)
	n := int(b[1])
	if n < 0x80 {
		return 2 + n
	}
	size := n & 0x7f
	require.LessOrEqual(t, size, 4)
	n = 0
	for _, c := range b[2 : 2+size] {
		n = n<<8 | int(c)
	}
	return 2 + size + n
}

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
