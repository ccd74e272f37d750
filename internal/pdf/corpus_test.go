package pdf_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdftest"

	"github.com/countersign/countersign/internal/pdf"
)

// corpusFile is one line of the corpus' MANIFEST.tsv.
type corpusFile struct{ path, category, expected string }

// corpus returns the files of a category, or skips the test.
func corpus(t *testing.T, category string) []corpusFile {
	t.Helper()
	root := os.Getenv("COUNTERSIGN_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	manifest, err := os.ReadFile(filepath.Join(root, "MANIFEST.tsv"))
	if err != nil {
		t.Skipf("corpus not found: set COUNTERSIGN_CORPUS (%v)", err)
	}
	var out []corpusFile
	for _, line := range strings.Split(string(manifest), "\n")[1:] {
		f := strings.Split(line, "\t")
		if len(f) > 3 && f[2] == category {
			out = append(out, corpusFile{filepath.Join(root, f[0]), f[2], f[3]})
		}
	}
	require.NotEmpty(t, out)
	return out
}

// walkAll loads every object and page and decodes every stream that can be.
func walkAll(d *pdf.Doc) (objects, pages int, err error) {
	var first error
	note := func(e error) {
		if e != nil && first == nil {
			first = e
		}
	}
	for ref, err := range d.Numbers() {
		if err != nil {
			return objects, pages, err
		}
		o, err := d.Object(ref)
		note(err)
		if s, ok := o.(*pdf.Stream); ok {
			if _, err := s.Decode(); err != nil && !errors.Is(err, pdf.ErrFilter) {
				note(fmt.Errorf("%v: %w", ref, err))
			}
		}
		objects++
	}
	for p, err := range d.Pages() {
		if err != nil {
			note(err)
			break
		}
		_, err = d.Annots(p)
		note(err)
		pages++
	}
	_, err = d.Fields()
	note(err)
	_, err = d.Revisions()
	if !d.Repaired() {
		note(err)
	}
	return objects, pages, first
}

func TestCorpusPlain(t *testing.T) {
	counts := map[string]int{}
	for _, c := range corpus(t, "plain") {
		data, err := os.ReadFile(c.path)
		require.NoError(t, err)
		d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), nil)
		if c.expected == "MUST_SIGN" {
			if !assert.NoError(t, err, c.path) {
				continue
			}
			_, pages, err := walkAll(d)
			assert.NoError(t, err, c.path)
			assert.Positive(t, pages, c.path)
		} else if err != nil {
			var e *pdf.Error
			assert.ErrorAs(t, err, &e, c.path)
			t.Logf("%s %s: %v", c.expected, filepath.Base(c.path), err)
			counts[c.expected+" refused"]++
			continue
		} else {
			_, _, err := walkAll(d)
			if err != nil {
				t.Logf("%s %s: walk: %v", c.expected, filepath.Base(c.path), err)
				counts[c.expected+" opened, walk failed"]++
				continue
			}
		}
		counts[c.expected+" ok"]++
	}
	t.Log(counts)
}

func TestCorpusOthers(t *testing.T) {
	for _, category := range []string{"signed", "attack", "malformed", "encrypted"} {
		t.Run(category, func(t *testing.T) {
			counts := map[string]int{}
			for _, c := range corpus(t, category) {
				data, err := os.ReadFile(c.path)
				require.NoError(t, err)
				for _, repair := range []bool{false, true} {
					start := time.Now()
					d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), &pdf.Options{Repair: repair})
					what := "opened"
					if err == nil && d.Repaired() {
						what = "repaired"
					}
					var werr error
					if err == nil {
						_, _, werr = walkAll(d)
					}
					for _, e := range []error{err, werr} {
						if e != nil {
							var typed *pdf.Error
							assert.ErrorAs(t, e, &typed, c.path)
							what += " " + string(pdf.CodeOf(e))
						}
					}
					assert.Less(t, time.Since(start), pdftest.Bound(5*time.Second), c.path)
					counts[fmt.Sprintf("repair=%v %s", repair, what)]++
					if err != nil || werr != nil || repair && d.Repaired() {
						t.Logf("%s %s repair=%v: %s open=%v walk=%v", c.expected, filepath.Base(c.path), repair, what, err, werr)
					}
				}
			}
			t.Log(counts)
		})
	}
}
