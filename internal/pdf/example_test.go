package pdf_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/countersign/countersign/internal/pdf"
)

// An update is bytes to append; a hole in it is filled later, at the offset that
// Build recorded.
func ExampleUpdate() {
	file := simple().Bytes()
	doc, err := pdf.Open(bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		log.Fatal(err)
	}
	u, err := pdf.NewUpdate(doc)
	if err != nil {
		log.Fatal(err)
	}
	hole := &pdf.Hole{Bytes: []byte("<00000000>")}
	sig := u.Add(pdf.MakeDict(pdf.KV{Key: "Type", Value: pdf.Name("Sig")}, pdf.KV{Key: "Contents", Value: hole}))
	page, err := doc.Page(0)
	if err != nil {
		log.Fatal(err)
	}
	page.Dict.Set("Signed", sig) // every other key stays as it is spelled
	u.Set(page.Ref, page.Dict)
	inc, err := u.Build()
	if err != nil {
		log.Fatal(err)
	}
	file = append(file, inc.Bytes...)
	copy(file[hole.Offset:], "<c0ffee00>")

	doc, err = pdf.Open(bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		log.Fatal(err)
	}
	o, err := doc.Object(sig)
	if err != nil {
		log.Fatal(err)
	}
	text, err := pdf.Source(o)
	if err != nil {
		log.Fatal(err)
	}
	revisions, err := doc.Revisions()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sig, string(text), len(revisions))
	// Output: 5 0 R <</Type /Sig /Contents <c0ffee00>>> 2
}
