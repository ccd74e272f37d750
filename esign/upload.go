package esign

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/storage"
)

const maxDocuments = 20

var errSignedBefore = errors.New("the document is signed already: fields for its new signers would change what was signed; upload it as it was before")

// Upload stores documents and returns what a [Draft] refers to them by. It
// works outside any commit and leaves no record: all files or none, and what no
// envelope ever refers to is swept. Each file is proved signable before it is accepted: a document
// that could not take a signature fails here, with its code of package pades,
// before any unit is held. It fails with [*FieldError], [ErrScreened], or
// [*pades.Error].
func (s *Service) Upload(ctx context.Context, a Actor, u Upload) (_ []Document, err error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	if len(u.Files) < 1 || len(u.Files) > maxDocuments {
		return nil, badField("files", "must be 1 to 20")
	}
	out := make([]Document, len(u.Files))
	defer func() {
		for i := range out {
			if err != nil && len(out[i].Segments) > 0 {
				_ = s.blobs.Delete(context.WithoutCancel(ctx), out[i].Segments[0].Blob)
			}
		}
	}()
	for i, f := range u.Files {
		if err := checkID(at("files", i, "id"), f.ID); err != nil {
			return nil, err
		}
		if f.Body == nil {
			return nil, badField(at("files", i, "body"), "is missing")
		}
		if out[i], err = s.accept(ctx, a, f, i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Service) accept(ctx context.Context, a Actor, f File, i int) (_ Document, err error) {
	limited := &io.LimitedReader{R: f.Body, N: s.policy.MaxDocument + 1}
	seg, digest, err := s.write(ctx, a.Tenant, limited)
	if err != nil {
		return Document{}, err
	}
	defer func() {
		if err != nil { // best effort: what stays is swept
			_ = s.blobs.Delete(context.WithoutCancel(ctx), seg.Blob)
		}
	}()
	if limited.N == 0 {
		return Document{}, badField(at("files", i, "body"), fmt.Sprintf("is larger than %d bytes", s.policy.MaxDocument))
	}
	d := Document{ID: f.ID, Segments: storage.Segments{seg}, SHA256: digest.SHA256.String(), SM3: digest.SM3.String()}
	body, err := storage.OpenSegments(ctx, s.blobs, d.Segments)
	if err != nil {
		return Document{}, err
	}
	defer body.Close()
	if s.policy.Screen != nil {
		if err := s.policy.Screen.Screen(ctx, a.Tenant, f.ID, body, body.Size()); err != nil {
			return Document{}, errors.Join(ErrScreened, err)
		}
	}
	pages, err := pades.Pages(ctx, body, body.Size(), nil)
	if err != nil {
		return Document{}, err
	}
	d.Pages = len(pages)
	// The base revision adds fields: a dry run of that says whether it can.
	probe := pades.Edit{Fields: []pades.NewField{{Name: "countersign-probe-" + hex.EncodeToString(fresh8()), Type: pades.FieldSignature}}}
	_, err = pades.Apply(ctx, body, body.Size(), nil, probe, nil)
	if errors.Is(err, pades.ErrMDPForbids) { // by a name of a field that nobody chose
		return Document{}, &pades.Error{Code: pades.ErrMDPForbids, Op: "upload", Err: errSignedBefore}
	}
	if err != nil {
		return Document{}, err
	}
	return d, nil
}

// write stores bytes as a new immutable blob of a tenant.
func (s *Service) write(ctx context.Context, tenant string, r io.Reader) (storage.Segment, evidence.Digest, error) {
	pr, pw := io.Pipe()
	type result struct {
		d   evidence.Digest
		err error
	}
	sums := make(chan result, 1)
	go func() { // ends when the pipe is closed below
		d, err := evidence.Digests(pr)
		sums <- result{d, err}
	}()
	seg, err := storage.CreateSegment(ctx, s.blobs, blobName(tenant, s.now(), fresh8()), io.TeeReader(r, pw))
	_ = pw.CloseWithError(nil)
	got := <-sums
	if err == nil {
		err = got.err
	}
	return seg, got.d, err
}

func fresh8() []byte {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return b
}
