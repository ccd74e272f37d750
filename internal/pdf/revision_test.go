package pdf_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
)

// A cross-reference stream whose decoding depends on an object is refused: a
// later revision could define that object, and with it all others (R1).
func TestXRefStreamIndirectFilter(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "/Filter 9 0 R", "/Filter [9 0 R]", "/DecodeParms 9 0 R", "/DecodeParms << /Predictor 9 0 R >>"} {
		b := []byte("%PDF-1.5\n1 0 obj\n<< /Type /Catalog >>\nendobj\n")
		start := len(b)
		rows := []byte{0, 0, 0, 1, 9, 0, 1, byte(start), 0}
		b = fmt.Appendf(b, "2 0 obj\n<< /Type /XRef /Size 3 /W [1 1 1] /Root 1 0 R %s /Length %d >>\nstream\n%s\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n",
			key, len(rows), rows, start)
		_, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil)
		if key == "" {
			require.NoError(t, err)
			continue
		}
		assert.Equal(t, pdf.CodeMalformed, pdf.CodeOf(err), key)
	}
}

// Continues tells an update of a document from another one with the same end.
func TestContinues(t *testing.T) {
	t.Parallel()
	b := []byte("%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n")
	table := func(prev string) int {
		at := len(b)
		b = fmt.Appendf(b, "xref\n0 2\n0000000000 65535 f \n0000000009 00000 n \ntrailer\n<< /Size 2 /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n", prev, at)
		return at
	}
	open := func() *pdf.Doc {
		d, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil)
		require.NoError(t, err)
		return d
	}
	first := table("")
	one := open()
	table(fmt.Sprintf("/Prev %d", first))
	two := open()
	table(fmt.Sprintf("/Prev %d", first)) // leaves the second out
	three := open()
	newest := func(d *pdf.Doc) pdf.Revision {
		list, err := d.Revisions()
		require.NoError(t, err)
		return list[0]
	}
	assert.True(t, two.Continues(one, newest(two)))
	assert.True(t, three.Continues(one, newest(three)))
	assert.False(t, three.Continues(one, newest(two)), "other sections")
	assert.False(t, three.Continues(two, newest(three)), "left out")
	assert.False(t, two.Continues(two, newest(two)), "nothing new")
	table(fmt.Sprintf("/Prev %d", startOf(t, two)))
	four := open()
	assert.True(t, four.Continues(two, newest(four)))
	assert.False(t, four.Continues(one, newest(four)), "one more between them")
}

// Unbounded is what a stream is whose /Length leads out of the file.
func TestUnbounded(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]bool{3: false, 2: false, 5000: true} {
		b := fmt.Appendf([]byte("%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"), "2 0 obj\n<< /Length %d >>\nstream\nabc\nendstream\nendobj\n", length)
		at := len(b)
		b = fmt.Appendf(b, "xref\n0 3\n0000000000 65535 f \n0000000009 00000 n \n0000000045 00000 n \ntrailer\n<< /Size 3 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", at)
		d, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil)
		require.NoError(t, err)
		o, err := d.Object(pdf.Ref{Num: 2})
		require.NoError(t, err)
		s, ok := o.(*pdf.Stream)
		require.True(t, ok)
		assert.Equal(t, want, s.Unbounded(), length)
	}
}

// startOf returns the offset of the newest section of a document.
func startOf(t *testing.T, d *pdf.Doc) int64 {
	t.Helper()
	list, err := d.Revisions()
	require.NoError(t, err)
	return list[0].Start
}

// R1: an earlier revision takes nothing from later ones, though a section of it
// says by an object of theirs where the one before stands.
func TestAtTakesNothingOfLater(t *testing.T) {
	t.Parallel()
	b := []byte("%PDF-1.4\n")
	at := map[string]int{}
	put := func(name, text string) {
		at[name] = len(b)
		b = append(b, text+"\n"...)
	}
	put("catalog", "1 0 obj\n<< /Type /Catalog >>\nendobj")
	put("good", "2 0 obj\n(good)\nendobj")
	put("evil", "2 0 obj\n(evil)\nendobj")
	table := func(name, two string) {
		put(name, fmt.Sprintf("xref\n0 3\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \ntrailer\n<< /Size 4 /Root 1 0 R >>", at["catalog"], at[two]))
	}
	table("first", "good")
	table("other", "evil")
	newer := func(name, table, prev string) {
		put(name+" prev", fmt.Sprintf("3 0 obj\n%d\nendobj", at[table]))
		put(name, fmt.Sprintf("xref\n3 1\n%010d 00000 n \ntrailer\n<< /Size 4 /Root 1 0 R /Prev %s >>\nstartxref\n%d\n%%%%EOF", at[name+" prev"], prev, len(b)))
	}
	newer("second", "first", "3 0 R")
	end := int64(len(b))
	newer("third", "other", fmt.Sprint(at["second"]))
	d, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil)
	require.NoError(t, err)
	o, err := d.Object(pdf.Ref{Num: 2})
	require.NoError(t, err)
	assert.Equal(t, "evil", string(o.(pdf.String).B))
	_, err = d.At(end)
	assert.Equal(t, pdf.CodeMalformed, pdf.CodeOf(err), "%v", err)
}
