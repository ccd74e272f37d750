package pagetext_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
	"github.com/countersign/countersign/internal/pdf/pagetext"
)

// base returns a document of one empty page.
func base() []byte {
	var b bytes.Buffer
	var offs []int
	b.WriteString("%PDF-1.7\n")
	for i, body := range []string{
		"<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [3 0 R] /Count 1>>", "<</Type /Page /Parent 2 0 R /MediaBox [0 0 600 800]>>",
	} {
		offs = append(offs, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, body)
	}
	at := b.Len()
	b.WriteString("xref\n0 4\n0000000000 65535 f \n")
	for _, o := range offs {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<</Root 1 0 R /Size 4>>\nstartxref\n%d\n%%%%EOF\n", at)
	return b.Bytes()
}

// fonts are the font resources of the test pages.
const fonts = `<</L <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>
/W <</Type /Font /Subtype /TrueType /BaseFont /X /Encoding /WinAnsiEncoding /FirstChar 65 /Widths [1000 500]>>
/D <</Type /Font /Subtype /Type1 /BaseFont /Y /Encoding <</Differences [1 /uni5929 /fi /A.alt]>>>>
/S <</Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UTF16-H
  /DescendantFonts [<</Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /DW 1000 /W [1 [207]]>>]>>
/V <</Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UTF16-V /DescendantFonts [<</Type /Font>>]>>
/G <</Type /Font /Subtype /Type0 /BaseFont /SimSun /Encoding /GBK-EUC-H /DescendantFonts [<</Type /Font /W [814 [500]]>>]>>
/I <</Type /Font /Subtype /Type0 /BaseFont /E /Encoding /Identity-H /ToUnicode %d 0 R /DescendantFonts [<</Type /Font>>]>>
/T <</Type /Font /Subtype /Type3 /FontMatrix [0.01 0 0 0.01 0 0] /FirstChar 65 /Widths [100] /Encoding <</Differences [65 /A]>>>>>>`

const toUnicode = `/CIDInit /ProcSet findresource begin begincmap
1 begincodespacerange <0000> <ffff> endcodespacerange
2 beginbfrange <0001> <0002> <7532> <0010> <0011> [<4E59> <65B90020>] endbfrange
1 beginbfchar <0003> <2F45> endbfchar
endcmap`

// doc returns a document whose page has the given content and rotation, and a
// form XObject /F with content form.
func doc(t testing.TB, content, form string, rotate int) *pdf.Doc {
	t.Helper()
	b := base()
	d, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil)
	require.NoError(t, err)
	u, err := pdf.NewUpdate(d)
	require.NoError(t, err)
	cmap := u.Add(pdf.Deflate(pdf.MakeDict(), []byte(toUnicode)))
	res := u.Alloc()
	xo := u.Add(pdf.NewStream(pdf.MakeDict(pdf.KV{Key: "Subtype", Value: pdf.Name("Form")}, pdf.KV{Key: "Matrix", Value: pdf.MakeNumbers(1, 0, 0, 1, 100, 0)}, pdf.KV{Key: "Resources", Value: res}), []byte(form)))
	u.Set(res, pdf.Raw(fmt.Sprintf("<</Font %s /XObject <</F %d 0 R>> /ExtGState <</E <</Font [%s 20]>>>>>>", fmt.Sprintf(fonts, cmap.Num), xo.Num, "<</Type /Font /Subtype /Type1 /BaseFont /Courier>>")))
	p, err := d.Page(0)
	require.NoError(t, err)
	p.Dict.Set("Resources", res)
	p.Dict.Set("Rotate", pdf.Int(rotate))
	p.Dict.Set("Contents", u.Add(pdf.NewStream(pdf.MakeDict(), []byte(content))))
	u.Set(p.Ref, p.Dict)
	inc, err := u.Build()
	require.NoError(t, err)
	all := append(b, inc.Bytes...)
	d, err = pdf.Open(bytes.NewReader(all), int64(len(all)), nil)
	require.NoError(t, err)
	return d
}

func utf16Hex(s string) string {
	var b strings.Builder
	for _, c := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04x", c)
	}
	return "<" + b.String() + ">"
}

func lines(t *testing.T, d *pdf.Doc) (out []string) {
	t.Helper()
	p, err := d.Page(0)
	require.NoError(t, err)
	ls, err := pagetext.NewReader(d).Page(p)
	require.NoError(t, err)
	for _, l := range ls {
		out = append(out, l.Text)
	}
	return out
}

func find(t *testing.T, d *pdf.Doc, text string) []pagetext.Match {
	t.Helper()
	m, err := pagetext.NewReader(d).Find(t.Context(), text)
	require.NoError(t, err)
	return m
}

func TestFontsToUnicode(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"standard font":       {"/L 10 Tf (Hello \\(x\\)) Tj", "Hello (x)"},
		"differences":         {"/D 10 Tf <010203> Tj", "天fiA"},
		"UniGB-UTF16":         {"/S 10 Tf " + utf16Hex("甲方（签字）𠮷") + " Tj", "甲方(签字)𠮷"},
		"GBK-EUC":             {"/G 10 Tf <BCD7B7BD3A> Tj", "甲方:"},
		"Identity, ToUnicode": {"/I 10 Tf <000100020003001000110009> Tj", "甲申方乙方"},
		"Type 3":              {"/T 10 Tf (AA) Tj", "AA"},
		"from ExtGState":      {"/E gs (x) Tj", "x"},
		"vertical":            {"/V 10 Tf " + utf16Hex("合同") + " Tj", "合同"},
		"no font":             {"(lost) Tj /L 10 Tf (kept) Tj", "kept"},
	} {
		d := doc(t, "BT 100 700 Td "+c.content+" ET", "", 0)
		assert.Equal(t, []string{c.want}, lines(t, d), name)
	}
}

func TestRects(t *testing.T) {
	// A is 1000 wide, B 500; ascent 0.8, descent -0.2.
	d := doc(t, "BT /W 10 Tf 2 0 0 2 100 700 Tm (AB) Tj ET", "", 0)
	m := find(t, d, "AB")
	require.Len(t, m, 1)
	assert.InDeltaSlice(t, []float64{100, 696, 130, 716}, m[0].Rects[0][:], 1e-9)
	m = find(t, d, "B")
	assert.InDeltaSlice(t, []float64{120, 696, 130, 716}, m[0].Rects[0][:], 1e-9)

	// Character and word spacing, scaling, TJ, rise, a form with a matrix.
	d = doc(t, "q 1 0 0 1 10 20 cm /F Do Q", "BT /W 10 Tf 1 Tc 50 Tz 3 Ts [(A) -1000 (B)] TJ ET", 0)
	m = find(t, d, "B")
	require.Len(t, m, 1)
	assert.InDeltaSlice(t, []float64{110 + 5 + 0.5 + 5, 20 + 3 - 2, 110 + 10.5 + 2.5, 20 + 3 + 8}, m[0].Rects[0][:], 1e-9)

	// CIDs: Latin proportional, ideographs full width.
	d = doc(t, "BT /S 10 Tf 100 700 Td "+utf16Hex(" 签")+" Tj ET", "", 0)
	m = find(t, d, "签")
	require.Len(t, m, 1)
	assert.InDelta(t, 102.07, m[0].Rects[0][0], 1e-9)
	assert.InDelta(t, 112.07, m[0].Rects[0][2], 1e-9)
}

func TestReadingOrder(t *testing.T) {
	line := func(x, y float64, s string) string {
		return fmt.Sprintf("BT /S 10 Tf %g %g Td %s Tj ET\n", x, y, utf16Hex(s))
	}
	content := line(300, 600, "右下") + line(100, 700, "左上") + line(300, 700, "右上") + line(100, 600, "左下") + "BT /L 5 Tf 125 601 Td (up) Tj ET"
	assert.Equal(t, []string{"左上 右上", "左下 up 右下"}, lines(t, doc(t, content, "", 0)))

	t.Run("same text in order", func(t *testing.T) {
		var b strings.Builder
		for _, p := range [][2]float64{{300, 100}, {100, 500}, {100, 100}, {200, 500.5}} {
			b.WriteString(line(p[0], p[1], "盖章"))
		}
		var got [][2]float64
		for _, m := range find(t, doc(t, b.String(), "", 0), "盖章") {
			got = append(got, [2]float64{m.Rects[0][0], m.Rects[0][1]})
		}
		require.Len(t, got, 4)
		assert.InDelta(t, 200, got[0][0], 0) // half a point higher, on the same line all the same
		assert.InDelta(t, 300, got[3][0], 0)
	})
	t.Run("broken over lines, next to another column", func(t *testing.T) {
		d := doc(t, line(100, 700, "请在此处签")+line(300, 700, "别处")+line(100, 686, "字盖章")+line(300, 686, "文字"), "", 0)
		m := find(t, d, "签字盖章")
		require.Len(t, m, 1)
		require.Len(t, m[0].Rects, 2)
		assert.InDelta(t, 140, m[0].Rects[0][0], 0)
		assert.InDelta(t, 130, m[0].Rects[1][2], 0)
	})
	t.Run("letter-spaced, bold by printing twice", func(t *testing.T) {
		d := doc(t, line(100, 700, "合")+line(100.3, 700, "合")+line(140, 700, "同")+line(140.3, 700, "同"), "", 0)
		assert.Len(t, find(t, d, "合同"), 1)
		assert.Len(t, find(t, d, "合 同"), 1)
	})
	t.Run("words", func(t *testing.T) {
		d := doc(t, "BT /L 10 Tf 100 700 Td [(sign) -300 (here) 20 (after)] TJ 0 -12 Td (next line) Tj ET", "", 0)
		assert.Len(t, find(t, d, "sign  here"), 1)
		assert.Empty(t, find(t, d, "signhere"))
		assert.Len(t, find(t, d, "hereafter"), 1)
		assert.Empty(t, find(t, d, "Sign"))
		assert.Len(t, find(t, d, "hereafter next"), 1)
	})
	t.Run("full width, radicals", func(t *testing.T) {
		d := doc(t, line(100, 700, "⽅（ＡＢ）：")+"BT /I 10 Tf 100 600 Td <000100020003> Tj ET", "", 0)
		assert.Len(t, find(t, d, "方(AB):"), 1)
		assert.Len(t, find(t, d, "申方"), 1)
	})
}

func TestDirections(t *testing.T) {
	// A page shown turned clockwise by 90 degrees: text that runs up the page
	// reads upright, and comes first.
	up := "BT /L 10 Tf 0 1 -1 0 %d 100 Tm (%s) Tj ET\n"
	d := doc(t, fmt.Sprintf(up, 214, "second")+"BT /L 10 Tf 50 50 Td (aside) Tj ET\n"+fmt.Sprintf(up, 200, "first"), "", 90)
	assert.Equal(t, []string{"first", "second", "aside"}, lines(t, d))
	m := find(t, d, "first")
	require.Len(t, m, 1)
	r := m[0].Rects[0]
	assert.InDelta(t, 192, r[0], 1e-9)
	assert.InDelta(t, 202, r[2], 1e-9)
	assert.InDelta(t, 100, r[1], 1e-9)

	t.Run("vertical columns from right to left", func(t *testing.T) {
		d := doc(t, "BT /V 10 Tf 100 700 Td "+utf16Hex("字")+" Tj 20 0 Td "+utf16Hex("请签")+" Tj ET", "", 0)
		assert.Equal(t, []string{"请签", "字"}, lines(t, d))
		m := find(t, d, "签字")
		require.Len(t, m, 1)
		require.Len(t, m[0].Rects, 2)
		assert.InDeltaSlice(t, []float64{115, 680, 125, 690}, m[0].Rects[0][:], 1e-9)
	})
}

func TestLimits(t *testing.T) {
	d := doc(t, strings.Repeat("/F Do ", 1000), strings.Repeat("/F Do ", 1000), 0)
	_, err := pagetext.NewReader(d).Find(t.Context(), "x")
	require.ErrorIs(t, err, pdf.ErrLimit, "forms within forms")

	d = doc(t, "BT /L 10 Tf ("+strings.Repeat("x", 600_000)+") Tj ET", "", 0)
	_, err = pagetext.NewReader(d).Find(t.Context(), "y")
	require.ErrorIs(t, err, pdf.ErrLimit)

	d = doc(t, "BT /L 1 Tf ("+strings.Repeat("x", 20_000)+") Tj ET", "", 0)
	_, err = pagetext.NewReader(d).Find(t.Context(), "x")
	require.ErrorIs(t, err, pdf.ErrLimit)
	_, err = pagetext.NewReader(d).Find(t.Context(), " \n")
	require.ErrorIs(t, err, pagetext.ErrEmpty)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = pagetext.NewReader(d).Find(ctx, "x")
	require.ErrorIs(t, err, context.Canceled)
}

func FuzzPage(f *testing.F) {
	f.Add("BT /L 10 Tf 100 700 Td (Hello) Tj T* [(a) 1 (b)] TJ ET /F Do", "q /S 9 Tf <4e00> Tj Q")
	f.Add("BT /V 10 Tf 1 2 3 4 5 6 Tm <4e0004> ' ET BI /W 1 ID x EI /E gs", "/F Do /G 1 Tf <BCD7> Tj")
	f.Fuzz(func(t *testing.T, content, form string) {
		d := doc(t, content, form, 90)
		_, err := pagetext.NewReader(d).Find(t.Context(), "字")
		require.True(t, err == nil || pdf.CodeOf(err) != "", "%v", err)
	})
}
