package pdf_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
)

func TestR6UnknownSurvivesByteForByte(t *testing.T) {
	d := open(t, simple().Bytes(), nil)
	p, err := d.Page(0)
	require.NoError(t, err)
	p.Dict.Set("Annots", pdf.MakeArray())
	p.Dict.Set("Contents", pdf.Ref{Num: 9})
	assert.Equal(t, "<</Type /Page /Parent 2 0 R /Unknown#20Key [1.50 (a\\)b) <4142>] /Contents 9 0 R /Annots []>>", source(t, p.Dict))
	again, err := d.Page(0)
	require.NoError(t, err)
	assert.False(t, again.Dict.Has("Annots"), "the document does not change")

	f := simple().obj(5, "<</A 1 /B 2 /A 3 /C <</D [ 1  2 ]>>>>").table("/Root 1 0 R")
	x := object(t, open(t, f.Bytes(), nil), 5).(*pdf.Dict)
	assert.True(t, x.Repeated())
	assert.Equal(t, pdf.Int(3), x.Get("A"), "the last of repeated keys counts")
	x.Set("A", pdf.Int(4))
	assert.False(t, x.Repeated())
	assert.Equal(t, "<</B 2 /A 4 /C <</D [ 1  2 ]>>>>", source(t, x))
	c := x.Clone()
	c.Delete("B")
	sub := c.Get("C").(*pdf.Dict)
	sub.Get("D").(*pdf.Array).Append(pdf.Null{})
	assert.Equal(t, "<</A 4 /C <</D [ 1  2 ]>>>>", source(t, c))
	assert.True(t, x.Has("B"))
}

func TestW1W2W3Increment(t *testing.T) {
	kinds := map[string]struct {
		f    *file
		want string
	}{
		"table":  {simple(), "trailer"},
		"stream": {newFile("%PDF-1.5\n").objstm(5, map[int]string{1: catalog, 2: pages, 3: page}).xrefStream(6, "/Root 1 0 R /ID [<01> <02>] /Custom (kept)"), "/XRef"},
		"no EOL": {func() *file { f := simple(); f.Truncate(f.Len() - 1); return f }(), "trailer"},
	}
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			b := k.f.Bytes()
			d := open(t, b, nil)
			u, err := pdf.NewUpdate(d)
			require.NoError(t, err)
			hole := &pdf.Hole{Bytes: []byte("<000000>")}
			ranges := &pdf.Hole{Bytes: []byte("[0 0 0 0          ]")}
			ref := u.Add(pdf.MakeDict(pdf.KV{Key: "Contents", Value: hole}, pdf.KV{Key: "ByteRange", Value: ranges}))
			assert.EqualValues(t, d.NextNum(), ref.Num)
			p, err := d.Page(0)
			require.NoError(t, err)
			p.Dict.Set("New", ref)
			u.Set(p.Ref, p.Dict)
			inc, err := u.Build()
			require.NoError(t, err)
			again, err := u.Build()
			require.NoError(t, err)
			assert.Equal(t, inc.Bytes, again.Bytes, "W13: the same bytes")
			all := append(append([]byte{}, b...), inc.Bytes...)
			assert.EqualValues(t, len(all), inc.Size)
			assert.Equal(t, string(hole.Bytes), string(all[hole.Offset:hole.Offset+8]))
			assert.Equal(t, string(ranges.Bytes), string(all[ranges.Offset:ranges.Offset+19]))
			assert.Equal(t, name == "no EOL", inc.Bytes[0] == '\n')
			assert.Contains(t, string(inc.Bytes), k.want)
			for _, e := range inc.Objects {
				assert.True(t, strings.HasPrefix(string(all[e.Offset:]), fmt.Sprintf("%d 0 obj\n", e.Ref.Num)))
			}

			d2 := open(t, all, nil)
			tr := d2.Trailer()
			assert.Equal(t, pdf.String{B: []byte("kept")}, tr.Get("Custom"))
			ids := tr.Get("ID").(*pdf.Array)
			assert.Equal(t, []byte{1}, ids.At(0).(pdf.String).B)
			assert.Len(t, ids.At(1).(pdf.String).B, 16)
			sig := object(t, d2, ref.Num).(*pdf.Dict)
			span, ok := sig.ValueSpan("Contents")
			require.True(t, ok)
			assert.Equal(t, pdf.Span{Off: hole.Offset, Len: 8}, span)
			revs, err := d2.Revisions()
			require.NoError(t, err)
			require.Len(t, revs, 2)
			assert.EqualValues(t, len(all), revs[0].EndEOL)
			assert.EqualValues(t, len(bytes.TrimRight(b, "\n")), revs[1].End)
			assert.Equal(t, revs[1].End+1, revs[1].EndEOL)
			var nums []uint32
			for e, err := range revs[0].Entries() {
				require.NoError(t, err)
				nums = append(nums, e.Ref.Num)
			}
			assert.Contains(t, nums, ref.Num)
			assert.Contains(t, nums, uint32(3))
			old, err := d2.At(revs[1].EndEOL)
			require.NoError(t, err)
			q, err := old.Page(0)
			require.NoError(t, err)
			assert.False(t, q.Dict.Has("New"))

			inc2, err := update(d2)
			require.NoError(t, err)
			assert.Equal(t, 1, pageCount(t, open(t, append(all, inc2...), nil)))
		})
	}
}

// offset serves a file of zeros with some bytes at the end.
type sparse struct {
	size int64
	tail []byte
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = 0
		if k := off + int64(i) - (s.size - int64(len(s.tail))); k >= 0 && k < int64(len(s.tail)) {
			p[i] = s.tail[k]
		}
		if off == 0 && i < 8 {
			p[i] = "%PDF-1.7"[i]
		}
	}
	if off+int64(len(p)) > s.size {
		return int(s.size - off), io.EOF
	}
	return len(p), nil
}

func TestW2HugeOffsets(t *testing.T) {
	for _, size := range []int64{5 << 30, 20_000_000_000} {
		f := newFile("\n")
		f.base = -(size - 2000)
		f.obj(1, catalog).obj(2, pages).obj(3, page)
		if size > 9_999_999_999 {
			f.offs[6] = 0
			at := int64(f.Len()) - f.base
			f.define(6)
			data, index := []byte{}, ""
			for n := 1; n <= 3; n++ {
				o := f.offs[n] - f.base
				data = append(data, 1, byte(o>>32), byte(o>>24), byte(o>>16), byte(o>>8), byte(o))
				index += fmt.Sprintf("%d 1 ", n)
			}
			f.stream(6, fmt.Sprintf("/Type /XRef /W [1 5 0] /Index [%s] /Size 7 /Root 1 0 R", index), data)
			fmt.Fprintf(f, "startxref\n%d\n%%%%EOF\n", at)
		} else {
			f.table("/Root 1 0 R")
		}
		tail := append(f.Bytes(), bytes.Repeat([]byte{'\n'}, 2000-f.Len())...)
		d, err := pdf.Open(sparse{size, tail}, size, nil)
		require.NoError(t, err)
		assert.Equal(t, 1, pageCount(t, d))
		u, err := pdf.NewUpdate(d)
		require.NoError(t, err)
		hole := &pdf.Hole{Bytes: []byte("<00>")}
		u.Set(pdf.Ref{Num: 3}, pdf.MakeDict(pdf.KV{Key: "Contents", Value: hole}))
		inc, err := u.Build()
		require.NoError(t, err)
		assert.Equal(t, size > 9_999_999_999, bytes.Contains(inc.Bytes, []byte("/XRef")))
		assert.Equal(t, "<00>", string(inc.Bytes[hole.Offset-size:hole.Offset-size+4]))
		all := sparse{size + int64(len(inc.Bytes)), append(tail, inc.Bytes...)}
		again, err := pdf.Open(all, all.size, nil)
		require.NoError(t, err)
		s, ok := object(t, again, 3).(*pdf.Dict).ValueSpan("Contents")
		require.True(t, ok)
		assert.Equal(t, pdf.Span{Off: hole.Offset, Len: 4}, s)
	}
}

// A table whose increment crosses ten digits changes to a stream.
func TestW2TableBeyondTenDigits(t *testing.T) {
	const size = 9_999_999_900
	f := newFile("\n")
	f.base = -(size - 2000)
	f.obj(1, catalog).obj(2, pages).obj(3, page).table("/Root 1 0 R")
	tail := append(f.Bytes(), bytes.Repeat([]byte{'\n'}, 2000-f.Len())...)
	d, err := pdf.Open(sparse{size, tail}, size, nil)
	require.NoError(t, err)
	inc, err := update(d)
	require.NoError(t, err)
	assert.Contains(t, string(inc), "/XRef")
	_, err = pdf.Open(sparse{size + int64(len(inc)), append(tail, inc...)}, size+int64(len(inc)), nil)
	require.NoError(t, err)
}

func TestW2Numbers(t *testing.T) {
	f := newFile("%PDF-1.4\n").obj(1, catalog).obj(2, pages).obj(3, page).obj(50, "null")
	f.size = 5 // /Size too low
	assert.EqualValues(t, 51, open(t, f.table("/Root 1 0 R").Bytes(), nil).NextNum())
	g := newFile("%PDF-1.4\n").obj(1, catalog).obj(2, pages).obj(3, page)
	g.size = 500
	assert.EqualValues(t, 500, open(t, g.table("/Root 1 0 R").Bytes(), nil).NextNum())
	h := newFile("%PDF-1.4\n").obj(1, catalog).obj(2, pages).obj(3, page)
	h.size = 1<<31 - 2 // no count of objects
	assert.EqualValues(t, 4, open(t, h.table("/Root 1 0 R").Bytes(), nil).NextNum())
	i := newFile("%PDF-1.4\n").obj(1, catalog).obj(2, pages).obj(3, page).obj(1<<31-4, "null")
	_, err := pdf.NewUpdate(open(t, i.table("/Root 1 0 R").Bytes(), nil))
	require.ErrorIs(t, err, pdf.ErrLimit)
}

func TestW5Spelling(t *testing.T) {
	for _, s := range []string{"", "plain", "a)b(c\\d", "line\rfeed\n", "天津小明", "\u2022 €", "þÿ", "ÿþx", "ï»¿", "😀", "tab\t"} {
		x := pdf.Text(s)
		f := simple().obj(5, source(t, x)).table("/Root 1 0 R")
		o := object(t, open(t, f.Bytes(), nil), 5)
		assert.Equal(t, s, pdf.DecodeText(o.(pdf.String).B), "%q", s)
	}
	for _, n := range []pdf.Name{"A", "a b", "x#20", "小", "(/)", ""} {
		f := simple().obj(5, "["+source(t, n)+"]").table("/Root 1 0 R")
		assert.Equal(t, n, object(t, open(t, f.Bytes(), nil), 5).(*pdf.Array).At(0))
	}
	assert.Equal(t, "[0 -1.5 0.000001 300000000000000000000]", source(t, pdf.MakeNumbers(0, -1.5, 1e-6, 3e20)))
	assert.Equal(t, "ab", pdf.DecodeText([]byte("\xfe\xff\x00a\x00\x1b\x00e\x00n\x00\x1b\x00b")))
	assert.Equal(t, "é", pdf.DecodeText([]byte("\xef\xbb\xbf\xc3\xa9")))
}

func TestEqual(t *testing.T) {
	f := newFile("%PDF-1.7\n").obj(1, catalog).obj(2, pages).obj(3, page)
	pairs := []struct {
		a, b string
		want bool
	}{
		{"1", "1.0", true},
		{"[1 2]", "[1 2.5]", false},
		{"<</A 1 /B (x)>>", "<</B <78> /A 1>>", true},
		{"<</A null>>", "<<>>", true},
		{"<</A 1>>", "<</A 1 /B 2>>", false},
		{"<</A 90 0 R>>", "<</A (ninety)>>", true},
		{"<</A 90 0 R>>", "<</A 91 0 R>>", true},
		{"<</A 90 0 R>>", "<</A 2 0 R>>", false},
		{"/A#42", "/AB", true},
		{"[92 0 R]", "[93 0 R]", true},
	}
	for i, p := range pairs {
		f.obj(10+2*i, p.a).obj(11+2*i, p.b)
	}
	f.obj(90, "(ninety)").obj(91, "<6e696e657479>").obj(92, "[93 0 R]").obj(93, "[92 0 R]")
	f.stream(94, "/X 1", []byte("same")).stream(95, "/X 1.0 /Filter /FlateDecode", deflated([]byte("same"))).stream(96, "/X 1", []byte("sane"))
	f.table("/Root 1 0 R")
	d := open(t, f.Bytes(), nil)
	for i, p := range pairs {
		for _, swap := range []bool{false, true} {
			a, b := object(t, d, uint32(10+2*i)), object(t, d, uint32(11+2*i))
			if swap {
				a, b = b, a
			}
			eq, err := pdf.Equal(d, a, d, b)
			require.NoError(t, err)
			assert.Equal(t, p.want, eq, "%s and %s", p.a, p.b)
		}
	}
	for num, want := range map[uint32]bool{94: true, 95: true, 96: false} {
		eq, err := pdf.Equal(d, object(t, d, 94), d, object(t, d, num))
		require.NoError(t, err)
		assert.Equal(t, want, eq, num)
	}
}

func TestImportPage(t *testing.T) {
	art := newFile("%PDF-1.7\n").obj(1, catalog)
	art.obj(2, "<</Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [10 20 110 60] /Resources <</Font <</F 5 0 R>> /XObject <</X 7 0 R>>>>>>")
	art.obj(3, "<</Type /Page /Parent 2 0 R /Rotate 90 /Contents [4 0 R 6 0 R]>>").stream(4, "", []byte("q 1 0 0 1 0 0 cm"))
	art.obj(5, "<</Type /Font /Self 5 0 R /Page 3 0 R>>").stream(6, "/Filter /FlateDecode", deflated([]byte("Q")))
	art.stream(7, "/Type /XObject /Filter /ASCIIHexDecode", []byte("4142>")).table("/Root 1 0 R")
	src := open(t, art.Bytes(), nil)
	d := open(t, simple().Bytes(), nil)
	u, err := pdf.NewUpdate(d)
	require.NoError(t, err)
	ref, w, h, err := u.ImportPage(src, 0)
	require.NoError(t, err)
	assert.InDelta(t, 40, w, 0)
	assert.InDelta(t, 100, h, 0)
	c, cref, err := d.Catalog()
	require.NoError(t, err)
	c.Set("X", ref)
	u.Set(cref, c)
	all := append(simple().Bytes(), build(t, u)...)
	again := open(t, all, nil)
	form := object(t, again, ref.Num).(*pdf.Stream)
	b, err := form.Decode()
	require.NoError(t, err)
	assert.Equal(t, "q 1 0 0 1 0 0 cm\nQ", string(b))
	assert.Equal(t, "[0 -1 1 0 -20 110]", source(t, form.Dict.Get("Matrix")))
	res, _, err := again.LookupDict(form.Dict, "Resources")
	require.NoError(t, err)
	fonts, _, err := again.LookupDict(res, "Font")
	require.NoError(t, err)
	font, fref, err := again.LookupDict(fonts, "F")
	require.NoError(t, err)
	assert.Equal(t, fref, font.Get("Self"))
	assert.False(t, font.Has("Page"))
	if _, err := exec.LookPath("qpdf"); err == nil {
		code, out := qpdfCheck(t, filepath.Join(t.TempDir(), "a.pdf"), all)
		assert.Zero(t, code, out)
	}
}

func TestErrors(t *testing.T) {
	_, err := pdf.Open(strings.NewReader("hello"), 5, nil)
	require.ErrorIs(t, err, pdf.ErrNotPDF)
	assert.Equal(t, "pdf: header: not a PDF file", err.Error())
	_, err = pdf.Open(strings.NewReader(""), 0, nil)
	require.ErrorIs(t, err, pdf.ErrNotPDF)
	_, err = pdf.Open(strings.NewReader("%PDF-1.7\n"), 9, &pdf.Options{Repair: true})
	require.ErrorIs(t, err, pdf.ErrMalformed)
	var e *pdf.Error
	require.ErrorAs(t, fmt.Errorf("wrapped: %w", err), &e)
	assert.NotEmpty(t, e.Op)
	assert.Empty(t, pdf.CodeOf(errors.New("other")))
}

func TestZeroValues(t *testing.T) {
	var d pdf.Dict
	var a pdf.Array
	assert.Equal(t, "<<>>", source(t, &d))
	assert.Equal(t, "[]", source(t, &a))
	for range a.All() {
		t.Fatal("empty")
	}
	for range d.All() {
		t.Fatal("empty")
	}
	a.Append(&d, pdf.Int(1))
	d.Set("A", &a)
	d.Delete("A")
	d.Set("B", pdf.Bool(false))
	assert.Equal(t, "[<</B false>> 1]", source(t, &a))
	_, ok := d.ValueSpan("B")
	assert.False(t, ok)
	s := &pdf.Stream{Data: []byte("x")}
	b, err := s.Decode()
	require.NoError(t, err)
	assert.Equal(t, "x", string(b))
	_, err = s.DataSpan()
	require.ErrorIs(t, err, pdf.ErrMalformed)
	_, err = pdf.Source(s)
	require.ErrorIs(t, err, pdf.ErrMalformed)

	var none *pdf.Dict
	assert.Nil(t, none.Get("A"))
	assert.Zero(t, none.Len())
	assert.Equal(t, "<<>>", source(t, none.Clone()))
	doc := open(t, simple().Bytes(), nil)
	u, err := pdf.NewUpdate(doc)
	require.NoError(t, err)
	u.Set(pdf.Ref{Num: 4}, s)
	all := append(simple().Bytes(), build(t, u)...)
	b, err = object(t, open(t, all, nil), 4).(*pdf.Stream).Raw()
	require.NoError(t, err)
	assert.Equal(t, "x", string(b))
}
