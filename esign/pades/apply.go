package pades

import (
	"context"
	"errors"
	"io"

	"github.com/countersign/countersign/internal/cms"
)

// Apply adds and fills fields in a new revision without signing. Beside
// signatures it fills only what they leave open, and refuses the rest.
func Apply(ctx context.Context, r io.ReaderAt, size int64, w io.Writer, ed Edit, o *ApplyOptions) (*Result, error) {
	const op = "apply"
	if o == nil {
		o = &ApplyOptions{}
	}
	if len(ed.Fields)+len(ed.Values)+len(ed.Stamps) == 0 {
		return nil, refuse(ErrUsage, op, errors.New("nothing to apply"))
	}
	d, err := open(ctx, op, r, size, o.Open)
	if err != nil {
		return nil, err
	}
	var e editor
	if err := mended(d, func() error {
		e = editor{}
		if err := e.begin(op, d, o.Open != nil && o.Open.InsecureSignRepaired); err != nil {
			return err
		}
		allowed, err := e.form.restrictions()
		if err != nil {
			return err
		}
		if refusal := allowed.edit(op, ed); refusal != nil {
			return refusal
		}
		return e.edit(ed)
	}); err != nil {
		return nil, wrap(op, err)
	}
	inc, err := e.u.Build()
	if err != nil {
		return nil, wrap(op, err)
	}
	return emit(ctx, op, r, size, w, inc.Bytes, o.Resume, o.Keep)
}

// emit writes a revision that is not signed and keeps the digests asked for.
func emit(ctx context.Context, op string, r io.ReaderAt, size int64, w io.Writer, inc []byte, resume *State, keep []string) (*Result, error) {
	if len(keep) == 0 {
		keep = []string{"SHA-256"}
	}
	for _, name := range keep {
		if _, err := cms.NewHash(name); err != nil {
			return nil, refuse(ErrUsage, op, err)
		}
	}
	digests, err := hashPrefix(ctx, op, r, size, keep, resume, w)
	if err != nil {
		return nil, err
	}
	if w != nil {
		if _, err := w.Write(inc); err != nil {
			return nil, refuse(ErrIO, op, err)
		}
	}
	out := &Result{Increment: inc, Size: size + int64(len(inc))}
	tail, err := tailAfter(r, size, inc)
	if err != nil {
		return nil, refuse(ErrIO, op, err)
	}
	for _, h := range digests {
		h.Write(inc)
	}
	if out.State, err = saveState(out.Size, tail, digests); err != nil {
		return nil, wrap(op, err)
	}
	return out, nil
}

// CanSign looks for everything that would make Prepare refuse s, and for what
// it would do but the caller should know. Its error is for a document that
// cannot be read at all.
func CanSign(ctx context.Context, r io.ReaderAt, size int64, s Spec) (*Preflight, error) {
	const op = "can sign"
	if _, err := open(ctx, op, r, size, s.Open); err != nil {
		return nil, err
	}
	out := &Preflight{}
	p, err := newPlan(ctx, op, r, size, s, tokenRoom)
	if err == nil {
		out.Warnings = p.editor.warn
		_, err = p.layout()
	}
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Code == ErrIO {
			return nil, e
		}
		out.Refusals = append(out.Refusals, e)
	} else if err != nil {
		return nil, wrap(op, err)
	}
	return out, nil
}
