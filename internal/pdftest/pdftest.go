// Package pdftest gives tests what judges our PDFs from outside: programs that
// are not ours, real files, and signatures cut out of a file without our parser.
//
// A missing program skips the test with the command that installs it; under
// COUNTERSIGN_VALIDATORS=required or COUNTERSIGN_INTEROP=1, as in the gate, it
// fails.
package pdftest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// packages are the Debian packages of the programs.
var packages = map[string]string{
	"qpdf":      "qpdf",
	"pdfsig":    "poppler-utils",
	"pdftotext": "poppler-utils",
	"pdftoppm":  "poppler-utils",
	"mutool":    "mupdf-tools",
	"certutil":  "libnss3-tools",
	"openssl":   "openssl",
	"zbarimg":   "zbar-tools",
	"java":      "default-jdk-headless libpdfbox2-java libbcpkix-java",
}

// Need skips or fails unless every program is there.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			Missing(t, name)
		}
	}
}

// Missing skips or fails for want of a program.
func Missing(t testing.TB, name string) {
	t.Helper()
	const text = "%s not found: apt-get install -y --no-install-recommends %s"
	if os.Getenv("COUNTERSIGN_VALIDATORS") == "required" || os.Getenv("COUNTERSIGN_INTEROP") == "1" {
		t.Fatalf(text, name, packages[name])
	}
	t.Skipf(text, name, packages[name])
}

// Tool runs a program and returns its output, standard error included, and its
// exit code.
func Tool(t testing.TB, name string, args ...string) (string, int) {
	t.Helper()
	Need(t, name)
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out.String(), 0
	case errors.As(err, &exit):
		return out.String(), exit.ExitCode()
	}
	t.Fatalf("%s: %v", name, err)
	return "", 0
}

// Corpus returns the folder of real files: COUNTERSIGN_CORPUS, or
// ../shared/corpus beside the module. Without it the test is skipped.
func Corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("COUNTERSIGN_CORPUS")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil || filepath.Dir(root) == root {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "corpus")
	}
	if _, err := os.Stat(filepath.Join(dir, "MANIFEST.tsv")); err != nil {
		t.Skipf("no corpus of PDFs at %s: set COUNTERSIGN_CORPUS", dir)
	}
	return dir
}

// A File is a line of the corpus's manifest.
type File struct {
	Path     string // within the corpus
	Expected string // what must come of it
	Password string
	Notes    string
}

// Manifest lists the files of a category.
func Manifest(t testing.TB, category string) []File {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Corpus(t), "MANIFEST.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var list []File
	for _, line := range strings.Split(string(b), "\n")[1:] {
		f := strings.Split(line, "\t")
		if len(f) < 9 || f[2] != category {
			continue
		}
		e := File{Path: f[0], Expected: f[3], Notes: f[8]}
		if pw, ok := strings.CutPrefix(f[3], "PASSWORD:"); ok && !strings.HasPrefix(pw, "<") {
			e.Password = pw
		} else if f[5] != "-" && !strings.HasPrefix(f[5], "<") {
			e.Password = f[5]
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		t.Fatalf("the corpus has no files of category %s", category)
	}
	return list
}

// A Signature is one signature cut out of a file.
type Signature struct {
	ByteRange [4]int64
	CMS       []byte // cut at its DER end
	Content   []byte // the bytes of the range
}

var byteRange = regexp.MustCompile(`/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]`)

// Signatures finds every signature by its ByteRange in the raw bytes.
func Signatures(t testing.TB, file []byte) []Signature {
	t.Helper()
	var list []Signature
	for _, m := range byteRange.FindAllSubmatch(file, -1) {
		var s Signature
		for i := range s.ByteRange {
			n, err := strconv.ParseInt(string(m[i+1]), 10, 64)
			if err != nil || n > int64(len(file)) {
				t.Fatalf("ByteRange %s", m[0])
			}
			s.ByteRange[i] = n
		}
		r := s.ByteRange
		if r[0] != 0 || r[1] > r[2] || r[2]+r[3] > int64(len(file)) {
			t.Fatalf("ByteRange %s", m[0])
		}
		gap := file[r[1]:r[2]]
		if len(gap) < 6 || gap[0] != '<' || gap[len(gap)-1] != '>' {
			t.Fatalf("the gap of %s is no hexadecimal string", m[0])
		}
		raw, err := hex.DecodeString(string(gap[1 : len(gap)-1]))
		if err != nil {
			t.Fatal(err)
		}
		s.CMS = raw[:derLength(t, raw)]
		s.Content = append(append([]byte{}, file[:r[1]]...), file[r[2]:r[2]+r[3]]...)
		list = append(list, s)
	}
	return list
}

// derLength returns the length of the DER value at the start of b.
func derLength(t testing.TB, b []byte) int {
	t.Helper()
	n := int(b[1])
	if n < 0x80 {
		return 2 + n
	}
	size := n & 0x7f
	if size > 4 || len(b) < 2+size {
		t.Fatal("no DER value in Contents")
	}
	n = 0
	for _, c := range b[2 : 2+size] {
		n = n<<8 | int(c)
	}
	if 2+size+n > len(b) {
		t.Fatal("the DER value does not fit Contents")
	}
	return 2 + size + n
}

// Bound is how long something may take that is bounded to d, with the race
// detector's own cost on top where it is on.
func Bound(d time.Duration) time.Duration { return d * slowdown }
