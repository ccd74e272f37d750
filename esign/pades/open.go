package pades

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdf"
)

// open reads the head of a document. A document that needs repair is opened
// too; whether that will do is the caller's question.
func open(ctx context.Context, op string, r io.ReaderAt, size int64, o *OpenOptions) (*pdf.Doc, error) {
	if err := ctx.Err(); err != nil {
		return nil, refuse(ErrIO, op, err)
	}
	if r == nil || size < 0 {
		return nil, refuse(ErrUsage, op, errors.New("no document"))
	}
	opt := pdf.Options{Repair: true}
	if o != nil {
		opt.Password = o.Password
		opt.Limits = pdf.Limits{
			Nesting:  o.Limits.Nesting,
			Sections: o.Limits.Revisions,
			Tree:     o.Limits.TreeDepth,
			Inflated: o.Limits.Stream,
		}
	}
	d, err := pdf.Open(contextReader{ctx, r}, size, &opt)
	if err != nil {
		return nil, wrap(op, err)
	}
	return d, nil
}

// mended runs f, and where that fails as the document's cross-reference data leads
// to what is not there, once more on a repaired document: other readers look for
// the objects then, and show something (R7).
func mended(d *pdf.Doc, f func() error) error {
	err := f()
	if malformed(err) && !d.Repaired() && d.Repair() == nil {
		err = f()
	}
	return err
}

// malformed reports whether an error is the document's fault, as opposed to that
// of a limit or of the reader.
func malformed(err error) bool { return CodeOf(wrap("", err)) == ErrMalformed }

// contextReader makes every read of a document an occasion to stop.
type contextReader struct {
	ctx context.Context
	r   io.ReaderAt
}

func (c contextReader) ReadAt(p []byte, off int64) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.ReadAt(p, off)
}

func refuse(code Code, op string, err error) *Error {
	return &Error{Code: code, Op: op, Err: err}
}

func refusef(code Code, op, format string, a ...any) *Error {
	return refuse(code, op, fmt.Errorf(format, a...))
}

// wrap turns an error of the layers below into an [Error], once.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	code := ErrMalformed
	switch c := pdf.CodeOf(err); {
	case c == pdf.CodeNotPDF, c == pdf.CodeLimit, c == pdf.CodePassword, c == pdf.CodeEncryption, c == pdf.CodeRepaired, c == pdf.CodeIO:
		code = Code(c)
	case c == pdf.CodeFilter:
		code = ErrNotSupported
	case c == pdf.CodeMalformed:
	case errors.Is(err, cms.ErrUnsupported):
		code = ErrKeyUnsupported
	case errors.Is(err, cms.ErrKeyMismatch):
		code = ErrKeyMismatch
	case errors.Is(err, cms.ErrPassword):
		code = ErrPasswordRequired
	case errors.Is(err, cms.ErrMalformed):
	case errors.Is(err, cms.ErrSignature):
		code = ReasonSigCryptoFailure
	default:
		code = ErrIO
	}
	return refuse(code, op, err)
}
