package esign

import (
	"context"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// Get returns an envelope as it stands now, whether or not a passed deadline has
// been booked. What is unknown, another tenant's, none of the actor's business,
// or has not come to its stage is [ErrNotFound].
func (s *Service) Get(ctx context.Context, a Actor, envelope string) (Envelope, error) {
	if err := a.check(); err != nil {
		return Envelope{}, err
	}
	return storage.ViewValue(ctx, s.store, func(tx *storage.Tx) (Envelope, error) {
		x, err := s.open(tx, a, envelope)
		if err != nil {
			return Envelope{}, err
		}
		env := x.env.asOf(tx.Now(s.now))
		return env.seenBy(a), unless(env.shows(a), ErrNotFound)
	})
}

// readable refuses content of a tenant whose service ended more than 90 days ago
// (T47, T48).
func (s *Service) readable(ctx context.Context, tenant string) error {
	end, err := storage.ViewValue(ctx, s.store, func(tx *storage.Tx) (privacy.ServiceEnd, error) { return s.vault.ServiceTx(tx, tenant) })
	if err == nil && end.Restricted {
		err = privacy.ErrRestricted
	}
	return err
}

// A Moment is one event of an envelope's timeline.
type Moment struct {
	Seq       uint64
	Type      string
	At        time.Time
	Eff       time.Time // where it differs from At
	Actor     string    // account; "system"
	Role      string
	Recipient string
}

// Timeline yields the events of an envelope after a sequence number, oldest
// first: what the evidence holds, for people to read. It ends with an error
// where the chain was tampered with.
func (s *Service) Timeline(ctx context.Context, a Actor, envelope string, after uint64) iter.Seq2[Moment, error] {
	return func(yield func(Moment, error) bool) {
		if _, err := s.Get(ctx, a, envelope); err != nil {
			yield(Moment{}, err)
			return
		}
		for e, err := range s.evidence.Events(ctx, a.Tenant, envelope, after) {
			if err != nil {
				yield(Moment{}, err)
				return
			}
			m := Moment{Seq: e.Seq, Type: e.Type, At: e.At, Eff: e.Eff, Actor: e.Actor.ID, Role: e.Actor.Role}
			m.Recipient, _ = e.X["recipient"].(string)
			if !yield(m, nil) {
				return
			}
		}
	}
}

// Export writes the evidence bundle of an envelope, or one document as a PDF.
// It costs nothing (H49) and is recorded. Documents come out only once the
// envelope is Completed or Closed; before that, and after it was voided, the
// bundle names them by digest. A recipient gets its own documents and the
// personal data of its own rows.
//
// It fails with [ErrNotFound] for an envelope or a document that the actor does not
// see, with [*StateError] for a document that does not come out yet, with
// [privacy.ErrRestricted] where the tenant's service is over and more than digests
// are asked for (T48), and as w does.
func (s *Service) Export(ctx context.Context, a Actor, r Export, w io.Writer) error {
	env, err := s.Get(ctx, a, r.Envelope)
	if err != nil {
		return err
	}
	done := env.State == StateCompleted || env.State == StateClosed
	docs := env.visible(a)
	if err := s.readable(ctx, a.Tenant); err != nil && !(r.Document == "" && r.Digests) {
		return err // the evidence itself stays answerable
	}
	if r.Document != "" {
		d := env.document(r.Document)
		if d == nil || !docs[d.ID] {
			return ErrNotFound
		}
		if !done {
			return &StateError{State: env.State}
		}
		if err := s.downloaded(ctx, a, &env, r.Document); err != nil {
			return err
		}
		return s.copyDocument(ctx, d, w)
	}
	if err := s.downloaded(ctx, a, &env, ""); err != nil {
		return err
	}
	// The newest events reach the log before they are exported. If that fails the
	// bundle says less about them, and no worse.
	if err := s.anchor(ctx); err != nil {
		s.log.WarnContext(ctx, "esign: anchor before export", "error", err)
	}
	o := &evidence.ExportOptions{DigestsOnly: r.Digests || !done, Why: privacy.PurposeEvidence}
	closers, err := s.bundleDocuments(ctx, a, false, &env, o)
	defer closers()
	if err != nil {
		return err
	}
	o.Disclose = env.disclose(a)
	ctx = s.vault.As(ctx, privacy.Accessor{Tenant: a.Tenant, Account: a.Account, Role: "export"})
	_, err = s.evidence.Export(ctx, a.Tenant, env.ID, w, o)
	return err
}

// bundleDocuments puts the documents into a bundle, if the actor may have every
// one of them; else the bundle names them all by digest. The func closes them.
func (s *Service) bundleDocuments(ctx context.Context, a Actor, every bool, env *Envelope, o *evidence.ExportOptions) (func(), error) {
	var open []storage.Blob
	closers := func() {
		for _, b := range open {
			_ = b.Close()
		}
	}
	docs := env.visible(a)
	for i := range env.Documents {
		d := &env.Documents[i]
		if o.DigestsOnly || !every && !docs[d.ID] {
			o.DigestsOnly, o.Documents = true, nil
			break
		}
		body, err := storage.OpenSegments(ctx, s.blobs, d.Segments)
		if err != nil {
			return closers, err
		}
		open = append(open, body)
		o.Documents = append(o.Documents, evidence.Document{ID: d.ID, Rev: len(d.Segments), Body: body, Size: body.Size()})
	}
	return closers, nil
}

// disclose says what of the committed personal data a requester may read (P02):
// its own; the names of the parties; and what the owner itself supplied.
func (e *Envelope) disclose(a Actor) func(evidence.Disclosure) bool {
	supplied := []privacy.Field{privacy.FieldName, privacy.FieldPhone, privacy.FieldEmail}
	return func(d evidence.Disclosure) bool {
		switch {
		case d.Subject.ID == a.Account:
			return true
		case d.Type != "envelope.created" && d.Type != "envelope.edited":
			return false
		}
		if e.ownedBy(a) {
			return slices.Contains(supplied, d.Field)
		}
		// Whoever stood in the draft alone is no party.
		party := slices.ContainsFunc(e.Recipients, func(r Recipient) bool { return r.Party.Account == d.Subject.ID })
		return party && d.Field == privacy.FieldName
	}
}

// seenBy is the envelope as an actor may see it: a row does not learn of
// documents that are not for it, nor of fields in them, and of what other rows
// see only what it shares with them.
func (e Envelope) seenBy(a Actor) Envelope {
	of := func(g *Gate) bool { return g != nil && slices.Contains(g.Approvers, a.Account) }
	if e.State == "" || e.ownedBy(a) || of(e.Review) || slices.ContainsFunc(e.Recipients, func(r Recipient) bool { return of(r.Gate) }) {
		return e
	}
	docs := e.visible(a)
	hidden := func(id string) bool { return !docs[id] }
	if !slices.ContainsFunc(e.Documents, func(d Document) bool { return hidden(d.ID) }) {
		return e
	}
	e = e.clone()
	e.Documents = slices.DeleteFunc(e.Documents, func(d Document) bool { return hidden(d.ID) })
	e.Fields = slices.DeleteFunc(e.Fields, func(f Field) bool { return hidden(f.Document) })
	for i := range e.Recipients {
		r := &e.Recipients[i]
		r.Documents = slices.DeleteFunc(r.Documents, hidden)
	}
	return e
}

// visible are the documents that an actor may read.
func (e *Envelope) visible(a Actor) map[string]bool {
	out := map[string]bool{}
	for _, d := range e.Documents {
		out[d.ID] = e.ownedBy(a)
	}
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if r.Party.Account != a.Account || r.State == RecipientReplaced || !r.told() {
			continue
		}
		for _, id := range e.documentsOf(r) {
			out[id] = true
		}
	}
	return out
}

// downloaded puts on record that somebody takes a copy, before it is given.
func (s *Service) downloaded(ctx context.Context, a Actor, env *Envelope, document string) error {
	_, err := mutate(ctx, s, a, func(tx *storage.Tx) (struct{}, error) {
		x, err := s.open(tx, a, env.ID)
		if err != nil {
			return struct{}{}, err
		}
		if document == "" {
			return struct{}{}, x.tell(ctx, evidence.TypeExport, x.reader(), map[string]any{})
		}
		return struct{}{}, x.tell(ctx, "document.downloaded", x.reader(), map[string]any{"document": document})
	})
	return err
}

func (s *Service) copyDocument(ctx context.Context, d *Document, w io.Writer) error {
	b, err := storage.OpenSegments(ctx, s.blobs, d.Segments)
	if err != nil {
		return err
	}
	defer b.Close()
	_, err = io.Copy(w, io.NewSectionReader(b, 0, b.Size()))
	return err
}
