package pagetext_test

import (
	"bytes"
	"encoding/xml"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
	"github.com/countersign/countersign/internal/pdf/pagetext"
)

type bboxWord struct {
	XMin float64 `xml:"xMin,attr"`
	YMin float64 `xml:"yMin,attr"`
	XMax float64 `xml:"xMax,attr"`
	YMax float64 `xml:"yMax,attr"`
	Text string  `xml:",chardata"`
}

// Words that pdftotext sees on first pages are found where it sees them.
// Forms and annotations, which it reads too, account for most that are not.
func TestCorpusAgainstPdftotext(t *testing.T) {
	root := os.Getenv("COUNTERSIGN_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "corpus")
	}
	files, err := filepath.Glob(filepath.Join(root, "plain", "*.pdf"))
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("corpus not found: set COUNTERSIGN_CORPUS")
	}
	if _, err := exec.LookPath("pdftotext"); err != nil {
		t.Skip("pdftotext not found: apt-get install poppler-utils")
	}
	words, found, placed, pages := 0, 0, 0, 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), nil)
		if err != nil {
			continue
		}
		p, err := d.Page(0)
		if err != nil || p.Rotate != 0 || p.UserUnit != 1 {
			continue
		}
		out, err := exec.Command("pdftotext", "-q", "-l", "1", "-bbox", f, "-").Output()
		if err != nil {
			continue
		}
		pages++
		r := pagetext.NewReader(d)
		seen := 0
		for _, w := range bboxWords(out) {
			if len([]rune(w.Text)) < 4 || strings.ContainsAny(w.Text, "\ufffd\u00ad") || seen > 12 {
				continue
			}
			seen++
			words++
			ms, err := r.FindOn(p, w.Text)
			if !assert.NoError(t, err, f) {
				break
			}
			ok := false
			for _, m := range ms {
				b := m.Rects[0]
				ok = ok || math.Abs(b[0]-p.MediaBox[0]-w.XMin) < 2 && math.Abs(b[2]-p.MediaBox[0]-w.XMax) < 2 &&
					math.Abs((b[1]+b[3])/2-(p.MediaBox[3]-(w.YMin+w.YMax)/2)) < 4
			}
			if len(ms) > 0 {
				found++
			}
			if ok {
				placed++
			} else if testing.Verbose() {
				t.Logf("%s: %q at %.0f-%.0f %.0f: %v", filepath.Base(f), w.Text, w.XMin, w.XMax, p.MediaBox[3]-(w.YMin+w.YMax)/2, ms)
			}
		}
	}
	t.Logf("%d pages, %d words, %d found, %d of them in place", pages, words, found, placed)
	assert.Greater(t, float64(found), 0.93*float64(words))
	assert.Greater(t, float64(placed), 0.9*float64(words))
}

func bboxWords(out []byte) (words []bboxWord) {
	dec := xml.NewDecoder(bytes.NewReader(out))
	dec.Strict = false
	for {
		tok, err := dec.Token()
		if err != nil {
			return words
		}
		if s, ok := tok.(xml.StartElement); ok && s.Name.Local == "word" {
			var w bboxWord
			if dec.DecodeElement(&w, &s) == nil {
				words = append(words, w)
			}
		}
	}
}
