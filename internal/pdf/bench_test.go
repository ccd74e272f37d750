package pdf_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
)

// largeTable returns a document of n objects under a classic table.
func largeTable(n int) []byte {
	f := simple()
	for i := range n {
		f.obj(100+i, fmt.Sprintf("<</N %d /Pad (%s)>>", i, strings.Repeat("x", 40)))
	}
	return f.table("/Root 1 0 R").Bytes()
}

// largeStream returns the same in object streams of 200 under a
// cross-reference stream.
func largeStream(n int) []byte {
	f := newFile("%PDF-1.5\n").objstm(9, map[int]string{1: catalog, 2: pages, 3: page})
	for i := 0; i < n; i += 200 {
		part := map[int]string{}
		for j := i; j < min(i+200, n); j++ {
			part[10_000+j] = fmt.Sprintf("<</N %d /Pad (%s)>>", j, strings.Repeat("x", 40))
		}
		f.objstm(20+i/200, part)
	}
	return f.xrefStream(19, "/Root 1 0 R").Bytes()
}

// touch does what signing does: it opens, walks to the first page and to the
// form, and writes a few objects.
func touch(r io.ReaderAt, size int64) error {
	d, err := pdf.Open(r, size, nil)
	if err != nil {
		return err
	}
	c, ref, err := d.Catalog()
	if err != nil {
		return err
	}
	p, err := d.Page(0)
	if err != nil {
		return err
	}
	if _, err := d.Fields(); err != nil {
		return err
	}
	u, err := pdf.NewUpdate(d)
	if err != nil {
		return err
	}
	sig := u.Alloc()
	field := u.Alloc()
	u.Set(sig, pdf.MakeDict(pdf.KV{Key: "Type", Value: pdf.Name("Sig")}, pdf.KV{Key: "Contents", Value: &pdf.Hole{Bytes: []byte("<00>")}}))
	u.Set(field, pdf.MakeDict(pdf.KV{Key: "V", Value: sig}, pdf.KV{Key: "P", Value: p.Ref}))
	p.Dict.Set("Annots", pdf.MakeArray(field))
	u.Set(p.Ref, p.Dict)
	c.Set("AcroForm", pdf.MakeDict(pdf.KV{Key: "Fields", Value: pdf.MakeArray(field)}))
	u.Set(ref, c)
	_, err = u.Build()
	return err
}

func BenchmarkTouch(b *testing.B) {
	inputs := map[string][]byte{
		"50KB table":  simple().stream(5, "", make([]byte, 50<<10)).table("/Root 1 0 R").Bytes(),
		"stream":      newFile("%PDF-1.5\n").objstm(9, map[int]string{1: catalog, 2: pages, 3: page}).xrefStream(6, "/Root 1 0 R").Bytes(),
		"200k table":  largeTable(200_000),
		"200k stream": largeStream(200_000),
	}
	for name, in := range inputs {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, touch(bytes.NewReader(in), int64(len(in))))
			}
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	for name, in := range map[string][]byte{"200k table": largeTable(200_000), "200k stream": largeStream(200_000)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := pdf.Open(bytes.NewReader(in), int64(len(in)), nil)
				require.NoError(b, err)
				for ref, err := range d.Numbers() {
					require.NoError(b, err)
					_, err = d.Object(ref)
					require.NoError(b, err)
				}
			}
		})
	}
}
