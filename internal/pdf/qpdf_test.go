package pdf_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
	"github.com/countersign/countersign/internal/pdftest"
)

// qpdfCheck returns qpdf's exit code: 0 fine, 2 errors, 3 warnings.
func qpdfCheck(t *testing.T, file string, data []byte, args ...string) (int, string) {
	if !assert.NoError(t, os.WriteFile(file, data, 0o600)) {
		return -1, ""
	}
	out, err := exec.Command("qpdf", append(args, "--check", file)...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), string(out)
	}
	assert.NoError(t, err)
	return 0, string(out)
}

// update changes the catalog and adds an object and a stream.
func update(d *pdf.Doc) ([]byte, error) {
	u, err := pdf.NewUpdate(d)
	if err != nil {
		return nil, err
	}
	c, ref, err := d.Catalog()
	if err != nil {
		return nil, err
	}
	added := u.Add(pdf.MakeDict(pdf.KV{"Note", pdf.Text("added (天津)")}))
	data := u.Add(pdf.Deflate(pdf.MakeDict(), bytes.Repeat([]byte("stream "), 100)))
	c.Set("CSTest", pdf.MakeArray(added, data))
	u.Set(ref, c)
	inc, err := u.Build()
	if err != nil {
		return nil, err
	}
	return inc.Bytes, nil
}

func TestCorpusUpdateQPDF(t *testing.T) {
	files := corpus(t, "plain")
	pdftest.Need(t, "qpdf")
	dir := t.TempDir()
	var (
		mu     sync.Mutex
		counts = map[string]int{}
		wg     sync.WaitGroup
		gate   = make(chan struct{}, 2)
	)
	for _, c := range files {
		wg.Add(1)
		go func() {
			defer wg.Done()
			gate <- struct{}{}
			defer func() { <-gate }()
			data, err := os.ReadFile(c.path)
			assert.NoError(t, err)
			result := "updated"
			defer func() {
				mu.Lock()
				counts[c.expected+" "+result]++
				mu.Unlock()
			}()
			d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), nil)
			if err != nil {
				result = "refused " + string(pdf.CodeOf(err))
				assert.NotEqual(t, "MUST_SIGN", c.expected, c.path)
				return
			}
			inc, err := update(d)
			if !assert.NoError(t, err, c.path) {
				return
			}
			name := filepath.Join(dir, filepath.Base(c.path))
			before, _ := qpdfCheck(t, name, data)
			all := append(data[:len(data):len(data)], inc...)
			after, out := qpdfCheck(t, name, all)
			if !assert.LessOrEqual(t, rank(after), rank(before), "%s: %s", c.path, out) {
				result = "broken"
			}
			again, err := pdf.Open(bytes.NewReader(all), int64(len(all)), nil)
			if !assert.NoError(t, err, c.path) {
				return
			}
			cat, _, err := again.Catalog()
			assert.NoError(t, err)
			a, _, err := again.LookupArray(cat, "CSTest")
			assert.NoError(t, err)
			note, err := again.Resolve(a.At(0))
			assert.NoError(t, err)
			text, _, err := again.LookupText(note.(*pdf.Dict), "Note")
			assert.NoError(t, err)
			assert.Equal(t, "added (天津)", text)
			assert.NoError(t, os.Remove(name))
		}()
	}
	wg.Wait()
	t.Log(counts)
}

// rank orders qpdf's exit codes.
func rank(code int) int { return map[int]int{0: 0, 3: 1, 2: 2}[code] }

var _ = require.NoError
