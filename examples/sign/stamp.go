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
	w, h, err := box(ctx, r, size, o)
	if err != nil {
		return nil, err
	}
	art, err := seal.Text(seal.TextBox{Lines: strings.Split(o.text, "\n"), W: w, H: h})
	if err != nil {
		return nil, usage(err)
	}
	s.Art = art
	return s, nil
}

// box returns the width and height of the stamp as a reader of the page sees
// it: of -rect, or of the field it goes into.
func box(ctx context.Context, r io.ReaderAt, size int64, o options) (w, h float64, err error) {
	rect, page := o.rect, max(o.page, 1)
	open := &pades.OpenOptions{Password: o.password}
	if rect == ([4]float64{}) {
		fields, err := pades.Fields(ctx, r, size, open)
		if err != nil {
			return 0, 0, err
		}
		for _, f := range fields {
			if f.Type == pades.FieldSignature && !f.Signed && (o.field == "" || f.Name == o.field) {
				rect, page = f.Rect, max(f.Page, 1)
				break
			}
		}
	}
	w, h = rect[2]-rect[0], rect[3]-rect[1]
	if w <= 0 || h <= 0 {
		return 0, 0, usage(errors.New("-text needs -rect or a visible signature field"))
	}
	pages, err := pades.Pages(ctx, r, size, open)
	if err != nil {
		return 0, 0, err
	}
	if page <= len(pages) && pages[page-1].Rotate%180 != 0 {
		w, h = h, w
	}
	return w, h, nil
}
