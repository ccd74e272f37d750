package countersign_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"database/sql"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
	"github.com/countersign/countersign/storage/storagetest"
)

// TestReadmeIsTheExample: the Go block of both READMEs is, to the letter, the
// function that package esign compiles and runs as its example, and it stays
// within 35 lines.
func TestReadmeIsTheExample(t *testing.T) {
	src, err := os.ReadFile("esign/example_test.go")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(src), "\nfunc signNDA(")
	require.True(t, ok)
	body, _, ok := strings.Cut(rest, "\n}\n")
	require.True(t, ok)
	want := "func signNDA(" + body + "\n}"
	assert.LessOrEqual(t, strings.Count(want, "\n")+1, 36, "the quick start grew")
	for _, name := range []string{"README.md", "README.zh-CN.md"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		blocks := regexp.MustCompile("(?s)```go\n(.*?)\n```").FindAllStringSubmatch(string(text), -1)
		require.Len(t, blocks, 1, name)
		assert.Equal(t, want, blocks[0][1], name)
	}
}

// fourLines are the lines of both READMEs for whoever signs a PDF, audits, sends
// within a transaction, or writes a store: here so that they compile.
func fourLines(ctx context.Context, t *testing.T, pdf io.ReaderAt, out io.Writer, chain []*x509.Certificate, key crypto.Signer,
	file io.ReaderAt, size int64, trusted *evidence.Trust,
	store *sqlstore.Store, sqlTx *sql.Tx, svc *esign.Service, hr esign.Actor, send esign.Send) {
	signed, err := pades.Sign(ctx, pdf, size, out, pades.Spec{Chain: chain}, key, nil) // one PDF and your key, nothing else
	require.NoError(t, err)
	report, err := evidence.Verify(file, size, &evidence.VerifyOptions{Keys: trusted}) // no store, no network
	require.NoError(t, err)
	err = storage.Update(ctx, store.Bind(sqlTx), func(tx *storage.Tx) error { _, err := svc.SendTx(ctx, tx, hr, send); return err })
	require.NoError(t, err)
	storagetest.TestStore(t, func(t *testing.T) storage.Store { return mystore.Open(t.TempDir()) })
	_, _ = signed, report
}

var mystore struct {
	Open func(dir string) storage.Store
}

// TestReadmeLinesCompile: they are those above, to the letter.
func TestReadmeLinesCompile(t *testing.T) {
	_ = fourLines
	src, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	for _, name := range []string{"README.md", "README.zh-CN.md"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		_, rest, ok := strings.Cut(string(text), "```\nsigned, err := ")
		require.True(t, ok, name)
		block, _, _ := strings.Cut(rest, "\n```")
		lines := strings.Split("signed, err := "+block, "\n")
		require.Len(t, lines, 4, name)
		for _, line := range lines {
			assert.Contains(t, string(src), "\n\t"+line+"\n", name)
		}
	}
}

// TestReadmesAgree: both READMEs have the same commands, packages and sections.
func TestReadmesAgree(t *testing.T) {
	parts := func(name string) (commands, packages []string, sections int) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile("(?m)^(go (?:run|test) .*)$").FindAllStringSubmatch(string(text), -1) {
			commands = append(commands, m[1])
		}
		for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(string(text), -1) {
			packages = append(packages, m[1])
			_, err := os.Stat(m[1])
			assert.NoError(t, err, "%s names a package that is not there", name)
		}
		return commands, packages, strings.Count(string(text), "\n## ")
	}
	c, p, s := parts("README.md")
	zc, zp, zs := parts("README.zh-CN.md")
	assert.Equal(t, []string{"go run ./examples/quickstart", "go test ./..."}, c)
	assert.Equal(t, c, zc)
	assert.Equal(t, p, zp)
	assert.Equal(t, s, zs)
}
