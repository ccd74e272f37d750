package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/internal/pdftest"
	"github.com/countersign/countersign/quota"
)

// play runs the quick start in a folder.
func play(t *testing.T, pdf, dir string) error {
	t.Helper()
	return run(t.Context(), io.Discard, pdf, dir, "2026-03-02T09:00:00Z")
}

func TestQuickstart(t *testing.T) {
	dir := t.TempDir()
	var began bytes.Buffer
	require.NoError(t, run(t.Context(), &began, "", dir, "2026-03-02T09:00:00Z"))
	first, err := os.ReadFile(filepath.Join(dir, "signed.pdf"))
	require.NoError(t, err)
	require.Len(t, pdftest.Signatures(t, first), 2)

	t.Run("again in the same folder nothing changes", func(t *testing.T) {
		var told bytes.Buffer
		require.NoError(t, run(t.Context(), &told, "", dir, "2026-03-02T10:00:00Z"))
		second, err := os.ReadFile(filepath.Join(dir, "signed.pdf"))
		require.NoError(t, err)
		assert.Equal(t, sha256.Sum256(first), sha256.Sum256(second))
		assert.Contains(t, told.String(), "answered as before")
		assert.Equal(t, 4, strings.Count(told.String(), "capture "), "two units, shown twice")
		events := func(told bytes.Buffer) int {
			m := regexp.MustCompile(`evidence\.esev: (\d+) events`).FindStringSubmatch(told.String())
			require.NotNil(t, m)
			n, _ := strconv.Atoi(m[1])
			return n
		}
		assert.Equal(t, events(began)+2, events(told), "as README says: contract and evidence were exported again")
	})
	t.Run("qpdf", func(t *testing.T) {
		out, code := pdftest.Tool(t, "qpdf", "--check", filepath.Join(dir, "signed.pdf"))
		assert.Zero(t, code, out)
	})
	t.Run("pdfsig", func(t *testing.T) {
		out, _ := pdftest.Tool(t, "pdfsig", "-nocert", filepath.Join(dir, "signed.pdf"))
		assert.Equal(t, 2, strings.Count(out, "Signature is Valid."), out)
		assert.Contains(t, out[strings.LastIndex(out, "Signature #"):], "Total document signed", out)
	})
	t.Run("openssl", func(t *testing.T) {
		for i, s := range pdftest.Signatures(t, first) {
			cms, content := filepath.Join(t.TempDir(), "s.der"), filepath.Join(t.TempDir(), "s.bin")
			require.NoError(t, os.WriteFile(cms, s.CMS, 0o600))
			require.NoError(t, os.WriteFile(content, s.Content, 0o600))
			out, code := pdftest.Tool(t, "openssl", "cms", "-verify", "-binary", "-cades", "-inform", "DER", "-in", cms, "-content", content,
				"-CAfile", filepath.Join(dir, "roots.pem"), "-purpose", "any", "-attime", "1772442000", "-out", os.DevNull)
			assert.Zero(t, code, "signature %d: %s", i+1, out)
			assert.Contains(t, out, "CAdES Verification successful")
		}
	})
}

// TestQuickstartRefuses: what cannot work is refused with a reason, and what the
// folder held before is as it was.
func TestQuickstartRefuses(t *testing.T) {
	note := filepath.Join(t.TempDir(), "note.txt")
	require.NoError(t, os.WriteFile(note, []byte("no contract"), 0o600))
	for _, at := range []string{"yesterday", "1970-01-01T00:00:00+08:00", "9999-01-01T00:00:00Z"} {
		require.ErrorIs(t, run(t.Context(), io.Discard, "", t.TempDir(), at), errUsage, at)
	}

	dir := t.TempDir()
	var told bytes.Buffer
	err := run(t.Context(), &told, note, dir, "2026-03-02T09:00:00Z")
	require.Equal(t, pades.ErrNotPDF, pades.CodeOf(err))
	require.ErrorContains(t, err, note)
	assert.NotContains(t, told.String(), "order-1", "nothing is bought for it")
	require.NoError(t, play(t, "", dir), "the folder is as good as new")
	require.NoError(t, run(t.Context(), io.Discard, "", t.TempDir(), "1970-01-01T00:00:00Z"))
	roots, err := os.ReadFile(filepath.Join(dir, "roots.pem"))
	require.NoError(t, err)

	require.ErrorIs(t, play(t, "contract.pdf", dir), esign.ErrIntentMismatch, "a contract of the user's has its fields elsewhere")
	err = play(t, filepath.Join(dir, "signed.pdf"), t.TempDir())
	require.ErrorIs(t, err, pades.ErrMDPForbids)
	require.ErrorContains(t, err, "signed already")
	require.NotContains(t, err.Error(), "probe")
	require.ErrorIs(t, run(t.Context(), io.Discard, "", dir, "2020-01-01T00:00:00Z"), quota.ErrClock)
	for _, name := range []string{"authority.pem", "log.key", "vault.key"} {
		key, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
		require.ErrorIs(t, play(t, "", dir), fs.ErrNotExist, name)
		require.NoFileExists(t, filepath.Join(dir, name))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), key, 0o600))
	}
	after, err := os.ReadFile(filepath.Join(dir, "roots.pem"))
	require.NoError(t, err)
	assert.Equal(t, roots, after)
}

// TestOneChangedByte: whatever byte of either file changes, the verifying
// program fails and says where.
func TestOneChangedByte(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, play(t, "", dir))
	verify := filepath.Join(t.TempDir(), "verify")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", verify, "../verify").CombinedOutput()
	require.NoError(t, err, "%s", out)
	judge := func(args ...string) (string, int) { return pdftest.Tool(t, verify, args...) }
	file := func(name string) string { return filepath.Join(dir, name) }
	pdfArgs := func(in string) []string {
		return []string{"-in", in, "-roots", file("roots.pem"), "-at", "2026-03-02T12:00:00Z"}
	}
	text, code := judge(pdfArgs(file("signed.pdf"))...)
	require.Zero(t, code, text)
	text, code = judge("-bundle", file("evidence.esev"), "-keys", file("keys.txt"), "-at", "2026-03-02T12:00:00Z")
	require.Zero(t, code, text)

	changed := func(t *testing.T, name string, at int) string {
		b, err := os.ReadFile(file(name))
		require.NoError(t, err)
		b[at] ^= 1
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, b, 0o600))
		return path
	}
	pdf, err := os.ReadFile(file("signed.pdf"))
	require.NoError(t, err)
	signatures := pdftest.Signatures(t, pdf)
	for _, at := range []int{20, len(sample) / 2, int(signatures[0].ByteRange[2]) + 200, len(pdf) - 300} {
		t.Run(fmt.Sprintf("signed.pdf byte %d", at), func(t *testing.T) {
			text, code := judge(pdfArgs(changed(t, "signed.pdf", at))...)
			assert.NotZero(t, code, text)
			assert.Regexp(t, `cs-(zhou|li)|UNREADABLE`, text)
		})
	}
	bundle, err := os.ReadFile(file("evidence.esev"))
	require.NoError(t, err)
	for _, event := range []string{"envelope.sent", "recipient.signed", "units.captured"} {
		t.Run("evidence.esev in "+event, func(t *testing.T) {
			at := bytes.Index(bundle, []byte(`"type":"`+event+`"`))
			require.Positive(t, at)
			line := bytes.LastIndexByte(bundle[:at], '\n')
			seq := regexp.MustCompile(`"seq":(\d+)`).FindSubmatch(bundle[at-200 : at])
			require.NotNil(t, seq, "%s", bundle[line:at])
			text, code := judge("-bundle", changed(t, "evidence.esev", at+9), "-keys", file("keys.txt"), "-at", "2026-03-02T12:00:00Z")
			assert.Equal(t, 1, code, text)
			assert.Contains(t, text, string(seq[1]), "the event is named")
		})
	}
}

// varied are 30 files of the corpus that must sign: producers, versions,
// cross-reference kinds, forms, outlines, sizes.
func varied(t *testing.T) []pdftest.File {
	var must []pdftest.File
	for _, f := range pdftest.Manifest(t, "plain") {
		if f.Expected == "MUST_SIGN" {
			must = append(must, f)
		}
	}
	var out []pdftest.File
	for i := range 30 {
		out = append(out, must[i*len(must)/30])
	}
	return out
}

// TestQuickstartWithRealFiles: each of 30 real files goes through the whole
// life and stays clean in qpdf, or is refused with a typed reason.
func TestQuickstartWithRealFiles(t *testing.T) {
	corpus := pdftest.Corpus(t)
	pdftest.Need(t, "qpdf")
	signed, refused := 0, map[pades.Code]int{}
	for _, f := range varied(t) {
		dir := t.TempDir()
		err := play(t, filepath.Join(corpus, f.Path), dir)
		if err != nil {
			code := pades.CodeOf(err)
			require.NotEmpty(t, code, "%s: %v", f.Path, err)
			t.Logf("%s: refused: %v", f.Path, err)
			refused[code]++
			continue
		}
		signed++
		t.Logf("%s: signed", f.Path)
		out, code := pdftest.Tool(t, "qpdf", "--check", filepath.Join(dir, "signed.pdf"))
		assert.Zero(t, code, "%s: %s", f.Path, out)
	}
	t.Logf("%d signed, refused: %v", signed, refused)
	assert.GreaterOrEqual(t, signed, 25)
}
