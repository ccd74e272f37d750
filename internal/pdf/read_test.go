package pdf_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
)

func pageCount(t testing.TB, d *pdf.Doc) int {
	t.Helper()
	n, err := d.PageCount()
	require.NoError(t, err)
	return n
}

func TestR1XRefForms(t *testing.T) {
	packed := map[int]string{1: catalog, 2: pages, 3: page}
	files := map[string][]byte{
		"table":           simple().Bytes(),
		"table, CR LF":    newFile("%PDF-1.4\n").obj(1, catalog).obj(2, pages).obj(3, page).tableEOL("/Root 1 0 R", "\r\n").Bytes(),
		"table, LF only":  newFile("%PDF-1.4\n").obj(1, catalog).obj(2, pages).obj(3, page).tableEOL("/Root 1 0 R", "\n").Bytes(),
		"table, 21 bytes": newFile("%PDF-1.4\n").obj(1, catalog).obj(2, pages).obj(3, page).tableEOL("/Root 1 0 R", "  \n").Bytes(),
		"stream":          newFile("%PDF-1.5\n").objstm(5, packed).xrefStream(6, "/Root 1 0 R").Bytes(),
		"stream on table": simple().objstm(5, map[int]string{3: page}).xrefStream(6, "/Root 1 0 R").Bytes(),
		"table on stream": newFile("%PDF-1.5\n").objstm(5, packed).xrefStream(6, "/Root 1 0 R").obj(3, page).table("/Root 1 0 R").Bytes(),
	}
	for name, b := range files {
		t.Run(name, func(t *testing.T) {
			d := open(t, b, nil)
			assert.False(t, d.Repaired())
			assert.Equal(t, 1, pageCount(t, d))
			p, err := d.Page(0)
			require.NoError(t, err)
			assert.Equal(t, [4]float64{0, 0, 200, 100}, p.MediaBox, "inherited")
			assert.True(t, p.Dict.Has("Unknown Key"))
		})
	}
}

func TestR1UnevenTable(t *testing.T) {
	b := simple().Bytes()
	// One line longer, one shorter: the last entry lies where arithmetic expects
	// it, the ones between do not.
	i := bytes.Index(b, []byte(" 00000 n \n"))
	j := i + 20
	b = append(append(append(append([]byte{}, b[:i+8]...), "  \n"...), b[i+10:j+8]...), append([]byte("\n"), b[j+10:]...)...)
	d := open(t, b, nil)
	assert.Equal(t, 1, pageCount(t, d))
	_, err := d.Object(pdf.Ref{Num: 4})
	require.NoError(t, err)
}

func TestR1TableCountedFromOne(t *testing.T) {
	b := bytes.Replace(simple().Bytes(), []byte("xref\n0 5\n"), []byte("xref\n1 5\n"), 1)
	assert.Equal(t, 1, pageCount(t, open(t, b, nil)))
}

// hybrid returns a file whose object 4 only readers of object streams see.
func hybrid() *file {
	f := newFile("%PDF-1.5\n").obj(1, catalog).obj(2, pages).obj(3, page)
	f.objstm(5, map[int]string{4: "(hidden)"})
	rows, index := f.rows([]int{4})
	at := f.Len()
	f.stream(6, fmt.Sprintf("/Type /XRef /W [1 4 1] /Index [%s] /Size 7", index), rows)
	return f.table(fmt.Sprintf("/Root 1 0 R /XRefStm %d", at))
}

func TestR1Hybrid(t *testing.T) {
	f := hybrid()
	d := open(t, f.Bytes(), nil)
	assert.Equal(t, "(hidden)", source(t, object(t, d, 4)))
	revs, err := d.Revisions()
	require.NoError(t, err)
	assert.Equal(t, pdf.Hybrid, revs[0].Kind)
	legacy, err := d.LegacyView()
	require.NoError(t, err)
	assert.Equal(t, pdf.Null{}, object(t, legacy, 4))
}

func TestR1Loops(t *testing.T) {
	b := simple().Bytes()
	start := bytes.LastIndex(b, []byte("xref\n0"))
	b = bytes.Replace(b, []byte("/Custom (kept)"), []byte(fmt.Sprintf("/Prev %d      ", start)), 1)
	_, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil)
	require.ErrorIs(t, err, pdf.ErrMalformed)
	assert.True(t, open(t, b, &pdf.Options{Repair: true}).Repaired())
}

func TestR2ObjectStreams(t *testing.T) {
	many := map[int]string{}
	for i := range 500 {
		many[100+i] = fmt.Sprintf("<</N %d /S (%d)>>", i, i)
	}
	f := newFile("%PDF-1.5\n").objstm(5, map[int]string{1: catalog, 2: pages, 3: page}).objstm(6, many).xrefStream(7, "/Root 1 0 R")
	d := open(t, f.Bytes(), nil)
	for i := range 500 {
		n, err := d.LookupInt(object(t, d, uint32(100+i)).(*pdf.Dict), "N", -1)
		require.NoError(t, err)
		assert.EqualValues(t, i, n)
	}
}

func TestR3Junk(t *testing.T) {
	head := "some junk\n%!PS %PD\n"
	t.Run("offsets from byte 0", func(t *testing.T) {
		f := newFile(head+"%PDF-1.4\n").obj(1, catalog).obj(2, pages).obj(3, page).table("/Root 1 0 R")
		d := open(t, f.Bytes(), nil)
		assert.Equal(t, int64(len(head)), d.Header())
		assert.Zero(t, d.Base())
		assert.Equal(t, 1, pageCount(t, d))
	})
	t.Run("offsets from the header", func(t *testing.T) {
		f := newFile(head + "%PDF-1.4\n")
		f.base = int64(len(head))
		f.obj(1, catalog).obj(2, pages).obj(3, page).table("/Root 1 0 R")
		d := open(t, f.Bytes(), nil)
		assert.Equal(t, int64(len(head)), d.Base())
		u, err := pdf.NewUpdate(d)
		require.NoError(t, err)
		u.Set(pdf.Ref{Num: 3}, pdf.Name("changed"))
		all := append(f.Bytes(), build(t, u)...)
		again := open(t, all, nil)
		assert.Equal(t, int64(len(head)), again.Base())
		assert.Equal(t, pdf.Name("changed"), object(t, again, 3))
	})
	t.Run("behind the end", func(t *testing.T) {
		b := append(simple().Bytes(), strings.Repeat("junk\n", 4000)...)
		assert.Equal(t, 1, pageCount(t, open(t, b, nil)))
	})
}

func TestR4Spelling(t *testing.T) {
	f := newFile("%PDF-1.4\n")
	f.obj(1, "<< % a comment >>\n/Type/Catalog/Pages%x\n2%y\n0 R/A#42C[/a/b#20c(x(y)\\)\\101\\n\\\r\nz)<4 1 4>-.5 +3 4. --7 true null[]<<>>99999999999999999999]/T(\r\n)>>")
	f.obj(2, pages).obj(3, page).table("/Root 1 0 R")
	d := open(t, f.Bytes(), nil)
	c, _, err := d.Catalog()
	require.NoError(t, err)
	a := c.Get("ABC").(*pdf.Array)
	want := []pdf.Object{
		pdf.Name("a"), pdf.Name("b c"), pdf.String{B: []byte("x(y))A\nz")}, pdf.String{B: []byte("A@"), Hex: true},
		pdf.Real(-.5), pdf.Int(3), pdf.Real(4), pdf.Int(-7), pdf.Bool(true), pdf.Null{},
	}
	for i, w := range want {
		assert.Equal(t, w, a.At(i), i)
	}
	assert.Equal(t, 13, a.Len())
	assert.Equal(t, pdf.Real(1e20), a.At(12))
	assert.Equal(t, pdf.String{B: []byte("\n")}, c.Get("T"))
	assert.Equal(t, pdf.Ref{Num: 2}, c.Get("Pages"))
}

func TestR4Fields(t *testing.T) {
	f := newFile("%PDF-1.7\n").obj(1, "<</Type /Catalog /Pages 2 0 R /AcroForm 10 0 R>>").obj(2, pages).obj(3, page)
	f.obj(10, "<</Fields 11 0 R /DA (/Helv 0 Tf) /SigFlags 3>>")
	f.obj(11, "[12 0 R 13 0 R <</T (direct) /FT /Btn /Ff 65536>>]")
	f.obj(12, "<</T (group) /FT /Tx /V (inherited) /Kids [14 0 R 15 0 R]>>")
	f.obj(13, "<</T <feff59296d25> /FT /Sig /Type /Annot /Subtype /Widget /Rect [0 0 1 1]>>")
	f.obj(14, "<</Parent 12 0 R /T (a) /Type /Annot /Subtype /Widget>>")
	f.obj(15, "<</Parent 12 0 R /T (b) /V (own) /DA (own) /Kids [16 0 R 17 0 R]>>")
	f.obj(16, "<</Parent 15 0 R /Subtype /Widget>>").obj(17, "<</Parent 15 0 R /Subtype /Widget>>")
	f.table("/Root 1 0 R")
	d := open(t, f.Bytes(), nil)
	var got []string
	fields, err := d.Fields()
	require.NoError(t, err)
	for _, fd := range fields {
		v := ""
		if s, ok := fd.Value.(pdf.String); ok {
			v = string(s.B)
		}
		got = append(got, fmt.Sprintf("%s %s %d %q %q widgets=%d merged=%v parents=%v", fd.Name, fd.Type, fd.Flags, v, fd.DA, len(fd.Widgets), fd.Merged, fd.Parents))
	}
	assert.Equal(t, []string{
		`group.a Tx 0 "inherited" "/Helv 0 Tf" widgets=1 merged=true parents=[12 0 R]`,
		`group.b Tx 0 "own" "own" widgets=2 merged=false parents=[12 0 R]`,
		`天津 Sig 0 "" "/Helv 0 Tf" widgets=1 merged=true parents=[]`,
		`direct Btn 65536 "" "/Helv 0 Tf" widgets=0 merged=false parents=[]`,
	}, got)
}

func TestR4Pages(t *testing.T) {
	f := newFile("%PDF-1.7\n").obj(1, catalog)
	f.obj(2, "<</Type /Pages /Kids [3 0 R 5 0 R] /MediaBox [100 300 0 0] /Rotate 9 0 R /Resources <</A 1>>>>")
	f.obj(3, "<</Type /Pages /Kids [4 0 R] /CropBox [10 10 50 500]>>")
	f.obj(4, "<</Type /Page /Annots 6 0 R>>").obj(5, "<</Type /Page /Rotate -90 /MediaBox [0 0 9 0 R 9 0 R] /UserUnit 2 /Annots [<</Subtype /Link>>]>>")
	f.obj(6, "[7 0 R null]").obj(7, "<</Subtype /Widget>>").obj(9, "450")
	f.table("/Root 1 0 R")
	d := open(t, f.Bytes(), nil)
	p, err := d.Page(0)
	require.NoError(t, err)
	assert.Equal(t, [4]float64{0, 0, 100, 300}, p.MediaBox)
	assert.Equal(t, [4]float64{10, 10, 50, 300}, p.CropBox)
	assert.Equal(t, 90, p.Rotate)
	a, err := d.Annots(p)
	require.NoError(t, err)
	require.Len(t, a, 1)
	assert.Equal(t, pdf.Ref{Num: 7}, a[0].Ref)
	r, err := d.Resources(p)
	require.NoError(t, err)
	assert.Equal(t, pdf.Int(1), r.Get("A"))
	p, err = d.Page(1)
	require.NoError(t, err)
	assert.Equal(t, 270, p.Rotate)
	assert.Equal(t, [4]float64{0, 0, 450, 450}, p.MediaBox)
	assert.InDelta(t, 2, p.UserUnit, 0)
	a, err = d.Annots(p)
	require.NoError(t, err)
	require.Len(t, a, 1)
	assert.Zero(t, a[0].Ref)
	_, err = d.Page(2)
	assert.ErrorIs(t, err, pdf.ErrMalformed)
}

func TestManyPages(t *testing.T) {
	f := newFile("%PDF-1.7\n").obj(1, catalog)
	const n = 3000
	kids := make([]string, n)
	for i := range n {
		kids[i] = fmt.Sprintf("%d 0 R", 10+i)
		f.obj(10+i, fmt.Sprintf("<</Type /Page /N %d>>", i))
	}
	f.obj(2, "<</Type /Pages /Kids ["+strings.Join(kids, " ")+"]>>").table("/Root 1 0 R")
	r := &counting{ReaderAt: bytes.NewReader(f.Bytes())}
	d, err := pdf.Open(r, int64(f.Len()), nil)
	require.NoError(t, err)
	for i := range n {
		p, err := d.Page(i)
		require.NoError(t, err)
		require.Equal(t, pdf.Int(i), p.Dict.Get("N"))
		require.Equal(t, i, p.Index)
	}
	assert.Less(t, r.n, int64(40*f.Len()), "no walk from the start for each")
	_, err = d.Page(n)
	require.ErrorIs(t, err, pdf.ErrMalformed)
	_, err = d.Page(-1)
	require.ErrorIs(t, err, pdf.ErrMalformed)
}

func TestR7Repair(t *testing.T) {
	b := simple().Bytes()
	cut := b[:bytes.LastIndex(b, []byte("xref\n0"))]
	for name, b := range map[string][]byte{
		"no xref":        cut,
		"wrong offset":   bytes.Replace(b, []byte("startxref\n"), []byte("startxref\n9"), 1),
		"later wins":     append(append([]byte{}, cut...), "1 0 obj\n<</Type /Catalog /Pages 2 0 R /Later true>>\nendobj\n"...),
		"object streams": newFile("%PDF-1.5\n").objstm(5, map[int]string{1: catalog, 2: pages, 3: page}).Bytes(),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil)
			require.Error(t, err)
			d := open(t, b, &pdf.Options{Repair: true})
			assert.True(t, d.Repaired())
			assert.Equal(t, 1, pageCount(t, d))
			c, _, err := d.Catalog()
			require.NoError(t, err)
			assert.Equal(t, name == "later wins", c.Has("Later"))
			_, err = pdf.NewUpdate(d)
			require.ErrorIs(t, err, pdf.ErrRepaired)
			_, err = d.Revisions()
			require.ErrorIs(t, err, pdf.ErrRepaired)

			u, err := pdf.NewRewriteOfRepaired(d)
			require.NoError(t, err)
			u.Add(pdf.Name("new"))
			all := append(append([]byte{}, b...), build(t, u)...)
			again := open(t, all, nil)
			assert.False(t, again.Repaired())
			assert.Equal(t, 1, pageCount(t, again))
		})
	}
}

func TestR9Limits(t *testing.T) {
	deep := strings.Repeat("[", 101) + strings.Repeat("]", 101)
	bomb := deflated(make([]byte, 65<<20))
	f := simple()
	f.obj(7, deep).stream(8, "/Filter /FlateDecode", bomb).stream(9, "/Filter /FlateDecode", deflated(make([]byte, 1<<20)))
	f.stream(10, "/Filter /RunLengthDecode", bytes.Repeat([]byte{129, 0}, 1000)).obj(11, "12 0 R").obj(12, "11 0 R")
	f.table("/Root 1 0 R")
	d := open(t, f.Bytes(), nil)
	_, err := d.Object(pdf.Ref{Num: 7})
	require.ErrorIs(t, err, pdf.ErrLimit)
	_, err = object(t, d, 8).(*pdf.Stream).Decode()
	require.ErrorIs(t, err, pdf.ErrLimit)
	b, err := object(t, d, 9).(*pdf.Stream).Decode()
	require.NoError(t, err)
	assert.Len(t, b, 1<<20)
	b, err = object(t, d, 10).(*pdf.Stream).Decode()
	require.NoError(t, err)
	assert.Len(t, b, 128*1000)
	_, err = d.Resolve(pdf.Ref{Num: 11})
	require.ErrorIs(t, err, pdf.ErrLimit)

	var e *pdf.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, pdf.CodeLimit, pdf.CodeOf(err))

	chain := simple()
	for range 30 {
		chain.obj(5, "null").table("/Root 1 0 R")
	}
	_, err = pdf.Open(bytes.NewReader(chain.Bytes()), int64(chain.Len()), &pdf.Options{Limits: pdf.Limits{Sections: 30}})
	require.ErrorIs(t, err, pdf.ErrLimit)
	tree := newFile("%PDF-1.4\n").obj(1, catalog)
	for i := 2; i < 80; i++ {
		tree.obj(i, fmt.Sprintf("<</Kids [%d 0 R]>>", i+1))
	}
	tree.obj(80, page).table("/Root 1 0 R")
	_, err = open(t, tree.Bytes(), nil).PageCount()
	require.ErrorIs(t, err, pdf.ErrLimit)
	loop := newFile("%PDF-1.4\n").obj(1, catalog).obj(2, "<</Kids [3 0 R]>>").obj(3, "<</Kids [2 0 R]>>").table("/Root 1 0 R")
	_, err = open(t, loop.Bytes(), nil).PageCount()
	require.ErrorIs(t, err, pdf.ErrMalformed)
}

// failing fails at reads beyond its first n bytes.
type failing struct {
	b []byte
	n int64
}

var errDisk = errors.New("disk on fire")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.n {
		return 0, errDisk
	}
	return bytes.NewReader(f.b).ReadAt(p, off)
}

func TestIOErrors(t *testing.T) {
	b := simple().Bytes()
	_, err := pdf.Open(failing{b, 0}, int64(len(b)), nil)
	require.ErrorIs(t, err, pdf.ErrIO)
	require.ErrorIs(t, err, errDisk)
	_, err = pdf.Open(bytes.NewReader(b), int64(len(b))+1000, nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// counting counts the bytes read.
type counting struct {
	io.ReaderAt
	n int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	return c.ReaderAt.ReadAt(p, off)
}

func TestReadsLittle(t *testing.T) {
	f := simple()
	for i := range 20_000 {
		f.obj(100+i, fmt.Sprintf("<</N %d /Pad (%s)>>", i, strings.Repeat("x", 100)))
	}
	f.table("/Root 1 0 R")
	r := &counting{ReaderAt: bytes.NewReader(f.Bytes())}
	d, err := pdf.Open(r, int64(f.Len()), nil)
	require.NoError(t, err)
	_, err = d.Page(0)
	require.NoError(t, err)
	u, err := pdf.NewUpdate(d)
	require.NoError(t, err)
	u.Set(pdf.Ref{Num: 20_000}, pdf.Null{})
	build(t, u)
	assert.Less(t, r.n, int64(80<<10), "of %d bytes", f.Len())
}

// R7: a repair is sound where every reader must find the same.
func TestR7Sound(t *testing.T) {
	const (
		head    = "%PDF-1.7\n"
		one     = "1 0 obj\n<</Type /Catalog /Pages 2 0 R>>\nendobj\n"
		two     = "2 0 obj\n<</Type /Pages /Kids [3 0 R] /Count 1>>\nendobj\n"
		three   = "3 0 obj\n<</Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R>>\nendobj\n"
		four    = "4 0 obj\n<</Length 99>>\nstream\n0 g\nendstream\nendobj\n"
		tidy    = "4 0 obj\n<</Length 3>>\nstream\n0 g\nendstream\nendobj\n"
		other   = "4 0 obj\n<</Length 3>>\nstream\n1 g\nendstream\nendobj\n"
		within  = "5 0 obj\n<</Length 45>>\nstream\n4 0 obj\n<</Length 3>>\nstream\n1 g\nendstream\nendobj\n"
		trailer = "trailer\n<</Root 1 0 R /Size 9>>\nstartxref\n7777\n%%EOF\n"
	)
	for name, c := range map[string]struct {
		file, want string
		rewrite    int
	}{
		"one way":            {one + two + three + tidy + trailer, "", 0},
		"wrong length":       {one + two + three + four + trailer, "", 1},
		"same text again":    {one + two + three + tidy + tidy + trailer, "", 0},
		"later revision":     {one + two + three + tidy + trailer + other + trailer, "", 0},
		"twice":              {one + two + three + tidy + other + trailer, "twice", 0},
		"within a stream":    {one + two + three + within + "endstream\nendobj\n" + trailer, "within", 0},
		"other catalog":      {one + two + three + tidy + trailer + strings.Replace(trailer, "1 0", "2 0", 1), "/Root", 0},
		"no trailer":         {one + two + three + tidy, "trailer", 0},
		"unreadable":         {one + two + three + tidy + "6 0 obj\n<</A [\nendobj\n" + trailer, "cannot be read", 0},
		"signature":          {one + two + three + tidy + "6 0 obj\n<</ByteRange [0 1 2 3]>>\nendobj\n" + trailer, "signature", 0},
		"lost object stream": {one + two + three + tidy + "6 0 obj\n<</Type /ObjStm /N 1 /First 9 /Length 1>>\nstream\nx\nendstream\nendobj\n" + trailer, "object stream", 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, []byte(head+c.file), &pdf.Options{Repair: true})
			require.True(t, d.Repaired())
			rewrite, err := d.Sound()
			if c.want != "" {
				require.ErrorIs(t, err, pdf.ErrRepaired)
				assert.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			assert.Len(t, rewrite, c.rewrite)
		})
	}
}
