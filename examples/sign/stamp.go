package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/esign/seal"
)

// stamp lays out -page, -rect and -text. Without -rect the text goes into the
// rectangle of the field named by -field.
func stamp(ctx context.Context, r io.ReaderAt, size int64, o options) (*pades.Stamp, error) {
	if o.rect == ([4]float64{}) && o.text == "" {
		return nil, nil
	}
	s := &pades.Stamp{Page: o.page, Rect: o.rect}
	if o.text == "" {
		return s, nil
	}
	box := o.rect
	if box == ([4]float64{}) {
		fields, err := pades.Fields(ctx, r, size, &pades.OpenOptions{Password: o.password})
		if err != nil {
			return nil, err
		}
		for _, f := range fields {
			if f.Type == pades.FieldSignature && !f.Signed && (o.field == "" || f.Name == o.field) {
				box = f.Rect
				break
			}
		}
	}
	if box[0] >= box[2] || box[1] >= box[3] {
		return nil, usage(errors.New("-text needs -rect or a visible signature field"))
	}
	art, err := seal.Text(seal.TextBox{Lines: strings.Split(o.text, "\n"), W: box[2] - box[0], H: box[3] - box[1]})
	if err != nil {
		return nil, usage(err)
	}
	s.Art = art
	return s, nil
}
