package esign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/storage"
)

// The base revision of a document is made before the first signature and holds
// every field of every recipient, so that no later signer changes what an
// earlier one signed: signing only fills.

// formName is the name of a form field that the base revision creates: another
// one for every row and field, whatever their ids are, and without the full
// stop, which would make a hierarchy (ISO 32000-1 §12.7.3.2).
func formName(ids ...string) string {
	name := "cs"
	for _, id := range ids {
		name += "-" + plain.Replace(id)
	}
	return name
}

var plain = strings.NewReplacer("~", "~7e", ".", "~2e", "-", "~2d")

// signatureField is the name of the field in which a row signs a document: its
// first signature field there, or an invisible one of its own.
func (e *Envelope) signatureField(document string, r *Recipient) (string, *Field) {
	for i := range e.Fields {
		f := &e.Fields[i]
		if f.Recipient == r.ID && f.Document == document && (f.Type == FieldSignature || f.Type == FieldSeal) {
			return or(f.Form, formName(r.ID, f.ID)), f
		}
	}
	return formName(r.ID), nil
}

// baseFields are the form fields that a document needs.
func (e *Envelope) baseFields(document string) ([]pades.NewField, error) {
	var out []pades.NewField
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if !r.Role.Signer() || r.State == RecipientReplaced || !slices.Contains(e.documentsOf(r), document) {
			continue
		}
		name, at := e.signatureField(document, r)
		f := pades.NewField{Name: name, Type: pades.FieldSignature}
		if at != nil {
			f.Page, f.Rect = at.Page, at.Rect
		}
		if at == nil || at.Form == "" {
			out = append(out, f)
		}
		for k := range e.Fields {
			f := &e.Fields[k]
			if f.Recipient != r.ID || f.Document != document || f == at || f.Form != "" {
				continue
			}
			n := pades.NewField{Name: formName(r.ID, f.ID), Page: f.Page, Rect: f.Rect}
			switch f.Type {
			case FieldSignature, FieldSeal: // a signature has one widget: further places only look like it
				n.Type = pades.FieldButton
			case FieldSignDate, FieldText, FieldDate, FieldNumber, FieldOpinion, FieldIDNumber, FieldPhone, FieldEmail:
				n.Type = pades.FieldText
			case FieldMultiline:
				n.Type, n.Multiline = pades.FieldText, true
			case FieldCheckbox:
				n.Type = pades.FieldCheckbox
			default:
				return nil, fmt.Errorf("%w: a field of type %s", ErrNotOffered, f.Type)
			}
			out = append(out, n)
		}
	}
	return out, nil
}

// render makes the base revision of an envelope's documents outside any commit
// and books it. If it is there already, or the envelope ended, it does nothing.
func (s *Service) render(ctx context.Context, tenant, id string) error {
	if err := s.vault.Unlock(ctx, tenant); err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := s.tryRender(ctx, tenant, id)
		if try == signTries || !errors.Is(err, ErrStaleRevision) {
			return err
		}
	}
}

func (s *Service) tryRender(ctx context.Context, tenant, id string) error {
	env, err := s.peek(ctx, tenant, id)
	if now := env.asOf(s.now().UTC()); err != nil || !now.needsBase() { // it may be over, and not booked
		return err
	}
	docs := make([]Document, len(env.Documents))
	for i, d := range env.Documents {
		if docs[i], err = s.base(ctx, &env, d); err != nil {
			return err
		}
	}
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		x, err := s.system(tx, tenant, id)
		if err != nil {
			return err
		}
		if now := x.env.asOf(tx.Now(s.now)); !now.needsBase() {
			return nil
		}
		if x.env.Version != env.Version { // rows may have changed meanwhile
			return ErrStaleRevision
		}
		if err := x.apply(ctx, Command{Op: OpRender, By: WhoSystem, Documents: docs}, note{}); err != nil {
			return err
		}
		_, err = x.close()
		return err
	})
}

// needsBase: the machine would take a base revision.
func (e *Envelope) needsBase() bool {
	return e.State == StateInProgress && slices.ContainsFunc(e.Documents, func(d Document) bool {
		return d.Base == "" || d.Outdated && !e.anySigned()
	})
}

// base makes the base revision of one document from the bytes that were
// uploaded.
func (s *Service) base(ctx context.Context, env *Envelope, d Document) (Document, error) {
	fields, err := env.baseFields(d.ID)
	if err != nil {
		return d, err
	}
	d.Segments = d.Segments[:1:1]
	body, err := storage.OpenSegments(ctx, s.blobs, d.Segments)
	if err != nil {
		return d, err
	}
	defer body.Close()
	if d.Base == "" { // Segments are exactly what was uploaded: its digest still holds
		sum, err := evidence.Digests(io.NewSectionReader(body, 0, body.Size()))
		if err != nil {
			return d, err
		}
		if sum.SHA256.String() != d.SHA256 {
			return d, fmt.Errorf("esign: document %s: %w", d.ID, storage.ErrCorrupt)
		}
	}
	if len(fields) > 0 {
		res, err := pades.Apply(ctx, body, body.Size(), nil, pades.Edit{Fields: fields}, nil)
		if err != nil {
			return d, err
		}
		if d, err = s.extend(ctx, env.Tenant, d, body, res.Increment); err != nil {
			return d, err
		}
	}
	d.Base, d.Outdated = d.SHA256, false
	return d, nil
}

// extend stores an increment as a blob of its own and returns the document with
// it: the record's compare-and-swap decides whether it counts.
func (s *Service) extend(ctx context.Context, tenant string, d Document, body storage.Blob, increment []byte) (Document, error) {
	seg, _, err := s.write(ctx, tenant, bytes.NewReader(increment))
	if err != nil {
		return d, err
	}
	sum, err := evidence.Digests(io.MultiReader(io.NewSectionReader(body, 0, body.Size()), bytes.NewReader(increment)))
	if err != nil {
		return d, err
	}
	d.Segments = append(slices.Clone(d.Segments), seg)
	d.SHA256, d.SM3 = sum.SHA256.String(), sum.SM3.String()
	return d, nil
}

// peek reads an envelope for the service itself.
func (s *Service) peek(ctx context.Context, tenant, id string) (Envelope, error) {
	return storage.ViewValue(ctx, s.store, func(tx *storage.Tx) (Envelope, error) {
		env, version, err := s.load(tx, tenant, id)
		if err == nil && (version == 0 || env.State == "") {
			err = ErrNotFound
		}
		return env, err
	})
}

// finalize adds what Policy.Level asks and what signatures could not get when
// they were made, then completes; a failure is booked, and tried again later.
func (s *Service) finalize(ctx context.Context, tenant, id string) error {
	if err := s.vault.Unlock(ctx, tenant); err != nil {
		return err
	}
	env, err := s.peek(ctx, tenant, id)
	if err != nil || env.State != StateFinalizing {
		return err
	}
	docs, cause := s.raise(ctx, &env)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		x, err := s.system(tx, tenant, id)
		if err != nil || x.env.State != StateFinalizing || x.env.Attempt != env.Attempt {
			return err
		}
		cmd := Command{Op: OpFinalized, By: WhoSystem, Documents: docs}
		if cause != nil {
			cmd = Command{Op: OpFinalizeFailed, By: WhoSystem}
		}
		if err := x.apply(ctx, cmd, note{}); err != nil {
			return err
		}
		_, err = x.close()
		return err
	})
	if cause != nil && err == nil {
		s.alarm(ctx, tenant, id, "finalize.failed", "attempt", env.Attempt+1, "code", string(pades.CodeOf(cause)))
	}
	return err
}

// raise lifts the documents to Policy.Level.
func (s *Service) raise(ctx context.Context, env *Envelope) ([]Document, error) {
	var out []Document
	for _, d := range env.Documents {
		if !d.below(s.policy.Level) {
			continue
		}
		grown, err := s.augment(ctx, env.Tenant, d)
		if err != nil {
			return nil, err
		}
		out = append(out, grown)
	}
	return out, nil
}

func (s *Service) augment(ctx context.Context, tenant string, d Document) (Document, error) {
	body, err := storage.OpenSegments(ctx, s.blobs, d.Segments)
	if err != nil {
		return d, err
	}
	defer body.Close()
	res, err := pades.Augment(ctx, body, body.Size(), nil, s.policy.Level, &pades.AugmentOptions{Timestamper: s.tsa})
	if err != nil {
		return d, err
	}
	if len(res.Increment) == 0 {
		return d, errors.New("esign: augment: nothing was added")
	}
	if d, err = s.extend(ctx, tenant, d, body, res.Increment); err != nil {
		return d, err
	}
	d.Level = string(s.policy.Level)
	return d, nil
}
