package pdf_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
)

// TestViewReadsAlike holds that an earlier revision opened from a document whose
// objects are read already tells what it tells when opened by itself.
func TestViewReadsAlike(t *testing.T) {
	revisions := 0
	for _, category := range []string{"signed", "attack", "encrypted"} {
		for _, c := range corpus(t, category) {
			b, err := os.ReadFile(c.path)
			require.NoError(t, err)
			if len(b) > 1<<20 {
				continue
			}
			d, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil)
			if err != nil {
				continue
			}
			_, _, _ = walkAll(d)
			revs, err := d.Revisions()
			if err != nil {
				continue
			}
			for _, r := range revs {
				revisions += sameView(t, filepath.Base(c.path), d, b, r.EndEOL)
			}
		}
	}
	assert.Greater(t, revisions, 500)
}

// TestViewOfCutObject opens a revision at an end within an object that is read
// another way when more follows.
func TestViewOfCutObject(t *testing.T) {
	for _, tail := range []string{"<</A 1>>", "<</A 1>> \n\n\n\n streamless", "<</A 1>>\nendobjx", "<</A 1/Length 4>>\nstream   \r\nabcd\nendstream endobj", "<</A 1/Length 4>>\nstream   abcd"} {
		var f bytes.Buffer
		f.WriteString("%PDF-1.7\n")
		catalog := f.Len()
		f.WriteString("1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj\n")
		pages := f.Len()
		f.WriteString("2 0 obj <</Type/Pages/Kids[]/Count 0>> endobj\n")
		third := f.Len() // as long as what it will be followed by
		xref := third
		section := fmt.Sprintf("xref\n0 4\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \n%%010d 00000 n \ntrailer <</Root 1 0 R/Size 4>>\nstartxref\n%d\n%%%%%%%%EOF\n", catalog, pages, xref)
		third += len(fmt.Sprintf(section, 0))
		fmt.Fprintf(&f, section, third)
		f.WriteString("3 0 obj " + tail)
		rest := f.Len()
		f.WriteString("\nendobj\n")
		next := f.Len()
		fmt.Fprintf(&f, "xref\n0 0\ntrailer <</Root 1 0 R/Size 4/Prev %d>>\nstartxref\n%d\n%%%%EOF\n", xref, next)
		b := f.Bytes()
		d, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil)
		require.NoError(t, err)
		_, _, _ = walkAll(d)
		for end := third; end <= rest+8; end++ {
			sameView(t, fmt.Sprintf("%q cut at %d", tail, end-third), d, b, int64(end))
		}
	}
}

// sameView compares the view of d at end with the bytes opened anew, and returns
// 1 if there was one to compare.
func sameView(t *testing.T, name string, d *pdf.Doc, b []byte, end int64) int {
	t.Helper()
	view, err := d.At(end)
	alone, err2 := pdf.Open(bytes.NewReader(b), end, nil)
	require.Equal(t, pdf.CodeOf(err2), pdf.CodeOf(err), name)
	if err != nil {
		return 0
	}
	for ref, err := range alone.Numbers() {
		if err != nil {
			break
		}
		x, err := view.Object(ref)
		y, err2 := alone.Object(ref)
		require.Equal(t, pdf.CodeOf(err2), pdf.CodeOf(err), "%s %v", name, ref)
		if err != nil {
			continue
		}
		require.IsType(t, y, x, "%s %v", name, ref)
		if s, ok := x.(*pdf.Stream); ok {
			a, err := s.DataSpan()
			b, err2 := y.(*pdf.Stream).DataSpan()
			require.Equal(t, pdf.CodeOf(err2), pdf.CodeOf(err), "%s %v", name, ref)
			require.Equal(t, b, a, "%s %v", name, ref)
		}
		same, err := pdf.Equal(view, x, alone, y)
		if err == nil {
			require.True(t, same, "%s %v", name, ref)
		}
	}
	return 1
}
