package pdf_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdftest"

	"github.com/countersign/countersign/internal/pdf"
)

// exercise does everything a caller may do with a document and checks that
// every error is typed.
func exercise(t *testing.T, b []byte) {
	start := time.Now()
	typed := func(err error) {
		if err != nil {
			require.NotEmpty(t, pdf.CodeOf(err), "%v", err)
		}
	}
	for _, repair := range []bool{false, true} {
		d, err := pdf.Open(bytes.NewReader(b), int64(len(b)), &pdf.Options{Repair: repair, Limits: pdf.Limits{Inflated: 1 << 20}})
		typed(err)
		if err != nil {
			continue
		}
		_, _, err = walkAll(d)
		typed(err)
		n := 0
		for ref, err := range d.Numbers() {
			typed(err)
			if n++; n > 200 || err != nil {
				break
			}
			o, err := d.Object(ref)
			typed(err)
			if err != nil {
				continue
			}
			if _, ok := o.(*pdf.Stream); !ok {
				_, err = pdf.Source(o)
				require.NoError(t, err)
			}
			eq, err := pdf.Equal(d, o, d, o)
			typed(err)
			require.True(t, eq || err != nil)
		}
		revs, err := d.Revisions()
		typed(err)
		for i, r := range revs {
			for _, err := range r.Entries() {
				typed(err)
			}
			if i < 20 {
				_, err = d.At(r.EndEOL)
				typed(err)
			}
		}
		var u *pdf.Update
		if d.Repaired() {
			u, err = pdf.NewRewriteOfRepaired(d)
		} else {
			u, err = pdf.NewUpdate(d)
		}
		typed(err)
		if err != nil {
			continue
		}
		c, ref, err := d.Catalog()
		require.NoError(t, err)
		c.Set("Fuzz", u.Add(pdf.Text("fuzz")))
		u.Set(ref, c)
		_, _, _, err = u.ImportPage(d, 0)
		typed(err)
		inc, err := u.Build()
		typed(err)
		if err != nil {
			continue
		}
		all := append(b[:len(b):len(b)], inc.Bytes...)
		again, err := pdf.Open(bytes.NewReader(all), int64(len(all)), nil)
		require.NoError(t, err, "what was updated opens")
		c, _, err = again.Catalog()
		require.NoError(t, err)
		v, err := again.Lookup(c, "Fuzz")
		require.NoError(t, err)
		require.Equal(t, []byte("fuzz"), v.(pdf.String).B)
	}
	require.Less(t, time.Since(start), pdftest.Bound(5*time.Second))
}

func seeds() [][]byte {
	packed := map[int]string{1: catalog, 2: pages, 3: page}
	form := "<</Type /Catalog /Pages 2 0 R /AcroForm <</Fields [5 0 R]>>>>"
	return [][]byte{
		simple().Bytes(),
		simple().obj(5, "null").table("/Root 1 0 R").Bytes(),
		newFile("junk %PDF-1.5\n").objstm(5, packed).xrefStream(6, "/Root 1 0 R /ID [(a) (b)]").Bytes(),
		newFile("%PDF-1.4\n").obj(1, form).obj(2, pages).obj(3, page).obj(5, "<</T (a) /FT /Sig /V 6 0 R>>").
			obj(6, "<</ByteRange [0 1 2 3] /Contents <00>>>").table("/Root 1 0 R").Bytes(),
		newFile("%PDF-1.4\n").obj(1, catalog).obj(2, pages).obj(3, page).stream(4, "/Filter [/AHx /Fl] /DecodeParms [null <</Predictor 15 /Columns 3>>]",
			fmt.Appendf(nil, "%x>", deflated([]byte("\x02abc\x01def")))).Bytes(),
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

// FuzzXRef puts the input where the cross-reference section is.
func FuzzXRef(f *testing.F) {
	f.Add([]byte("xref\n0 4\n0000000000 65535 f \n0000000009 00000 n \n0000000055 00000 n \n0000000128 00000 n \ntrailer\n<</Root 1 0 R /Size 4>>"))
	f.Add([]byte("xref\n1 1\n0000000009 00000 n\n2 2\n55 0 n 0000000128 00000 n trailer<</Root 1 0 R /Prev 9 /XRefStm 9>>"))
	f.Add([]byte("9 0 obj<</Type /XRef /W [1 2 0] /Index [1 3] /Size 4 /Root 1 0 R /Length 9>>stream\n\x01\x00\x09\x01\x00\x37\x01\x00\x80\nendstream"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g := newFile("%PDF-1.4\n").obj(1, catalog).obj(2, pages).obj(3, page)
		at := g.Len()
		g.Write(b)
		fmt.Fprintf(g, "\nstartxref\n%d\n%%%%EOF", at)
		exercise(t, g.Bytes())
	})
}

// FuzzObject puts the input into an object that is read, changed and written.
func FuzzObject(f *testing.F) {
	for _, s := range []string{"<</A [1 2.5 (x\\)) <4a> /N#20 true null 1 0 R]>>", "[[<<>>]]", "(()", "<</A", "1 0 R", "<</Length 3>>stream\nabc\nendstream"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g := simple().obj(5, string(b)).table("/Root 1 0 R")
		d, err := pdf.Open(bytes.NewReader(g.Bytes()), int64(g.Len()), nil)
		if err != nil { // the input holds an xref of its own
			return
		}
		o, err := d.Object(pdf.Ref{Num: 5})
		if err != nil {
			require.NotEmpty(t, pdf.CodeOf(err))
			return
		}
		switch v := o.(type) {
		case *pdf.Dict:
			v.Set("Added", pdf.Int(1))
		case *pdf.Array:
			v.Append(pdf.Int(1))
		case *pdf.Stream:
			_, err := v.Decode()
			require.True(t, err == nil || pdf.CodeOf(err) != "")
			return
		}
		text, err := pdf.Source(o)
		require.NoError(t, err)
		h := simple().obj(5, string(text)).table("/Root 1 0 R")
		e, err := pdf.Open(bytes.NewReader(h.Bytes()), int64(h.Len()), nil)
		if err != nil {
			return
		}
		again, err := e.Object(pdf.Ref{Num: 5})
		require.NoError(t, err, "%q", text)
		eq, err := pdf.Equal(d, o, e, again)
		require.True(t, err == nil || pdf.CodeOf(err) != "")
		require.True(t, eq || err != nil, "%q became %q", b, text)
	})
}

func FuzzFilter(f *testing.F) {
	f.Add("/Filter /FlateDecode", deflated([]byte("abc")))
	f.Add("/Filter /LZWDecode", earlyLZW([]byte("abcabcabc")))
	f.Add("/Filter [/A85 /RL]", a85of([]byte{2, 1, 2, 3, 128}))
	f.Add("/Filter /Fl /DecodeParms <</Predictor 12 /Columns 2>>", deflated([]byte("\x02ab\x02cd")))
	f.Fuzz(func(t *testing.T, dict string, data []byte) {
		s := pdf.NewStream(nil, data)
		g := simple().obj(5, "<<"+dict+">>").table("/Root 1 0 R")
		d, err := pdf.Open(bytes.NewReader(g.Bytes()), int64(g.Len()), nil)
		if err != nil {
			return
		}
		o, err := d.Object(pdf.Ref{Num: 5})
		if err != nil {
			return
		}
		var ok bool
		if s.Dict, ok = o.(*pdf.Dict); !ok {
			return
		}
		b, err := s.Decode()
		require.True(t, err == nil || pdf.CodeOf(err) != "")
		require.LessOrEqual(t, len(b), 64<<20)
	})
}
