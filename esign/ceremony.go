package esign

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// Open shows an envelope to one recipient and records that it did. It makes the
// base revision first, if that is still missing, so that what is shown is what
// will be signed. Whoever has signed, or finds the envelope ended, looks again:
// that moves nothing. It fails with [*TurnError] before the recipient's stage is
// open, whatever link it came by, and with [*LevelError] below the identity that
// the view asks for; the proof of a code challenged for viewing gives it I1 (H42).
func (s *Service) Open(ctx context.Context, a Actor, v View) (Ceremony, error) {
	if err := a.check(); err != nil {
		return Ceremony{}, err
	}
	if err := s.ensureBase(ctx, a, v.Envelope); err != nil {
		return Ceremony{}, err
	}
	return mutate(ctx, s, a, func(tx *storage.Tx) (Ceremony, error) { return s.OpenTx(ctx, tx, a, v) })
}

// OpenTx is [Service.Open] within a commit; it makes no base revision.
func (s *Service) OpenTx(ctx context.Context, tx *storage.Tx, a Actor, v View) (Ceremony, error) {
	got, err := once(tx, a, "open", v.ID, v, func() (versioned, error) {
		x, err := s.open(tx, a, v.Envelope)
		if err != nil {
			return versioned{}, err
		}
		row, err := x.asRecipient(v.Recipient)
		if err != nil {
			return versioned{}, err
		}
		now := x.tx.Now(s.now)
		if env := x.env.asOf(now); env.onlyToLook(env.row(row.ID)) {
			return versioned{env, x.env.Version}, nil
		}
		x.lenient = true
		more, auth, err := x.proveView(ctx, row, v.Proof)
		if err != nil {
			return versioned{}, err
		}
		f, err := x.facts(row, more)
		if err != nil {
			return versioned{}, err
		}
		f.Read = row.Facts.Read || row.read(v.Read, now)
		if err := x.apply(ctx, Command{Op: OpOpen, By: WhoRecipient, Recipient: row.ID, Facts: f}, note{auth: auth}); err != nil {
			return versioned{}, err
		}
		return x.close()
	})
	if err != nil {
		return Ceremony{}, err
	}
	x := &work{s: s, tx: tx, a: a, env: got.envelope()}
	row, err := x.asRecipient(v.Recipient)
	if err != nil {
		return Ceremony{}, err
	}
	return x.ceremony(row), nil
}

// onlyToLook: the row was told of the envelope, and opening is no step of its
// any more: it acted, its time or the envelope is over, or it is a copy.
func (e *Envelope) onlyToLook(r *Recipient) bool {
	return r.told() && (r.Role == RoleCC || !r.State.Live() || !e.State.open())
}

// ensureBase makes the base revision for an actor who may see the envelope.
func (s *Service) ensureBase(ctx context.Context, a Actor, id string) error {
	var env Envelope
	err := storage.View(ctx, s.store, func(tx *storage.Tx) error {
		x, err := s.open(tx, a, id)
		if err == nil {
			env = x.env
		}
		return err
	})
	if err != nil || !env.needsBase() {
		return err
	}
	return s.render(ctx, a.Tenant, id)
}

// read: forced reading is done, by our clock from the first opening, and to the
// end as the client reports.
func (r *Recipient) read(end bool, now time.Time) bool {
	q := r.Reading
	if q == (Reading{}) {
		return true
	}
	long := !r.Facts.Since.IsZero() && now.Sub(r.Facts.Since) >= time.Duration(q.Seconds)*time.Second
	return (q.Seconds == 0 || long) && (!q.End || end)
}

// facts are what a row has shown so far, with further results of this commit.
func (x *work) facts(r *Recipient, more []identity.Result) (Facts, error) {
	have, err := x.s.results(x.tx, x.env.Tenant, identity.Person, r.Party.Account)
	if err != nil {
		return Facts{}, err
	}
	have = append(have, more...)
	f, err := x.standing(r, have)
	if err != nil {
		return Facts{}, err
	}
	now := x.tx.Now(x.s.now)
	f.Viewable = identity.Evaluate(r.View, have, now).Verdict == identity.Satisfied
	f.Read, f.Uploaded, f.Certificate, f.Since = r.Facts.Read, len(r.Uploads) == 0, true, r.Facts.Since
	if f.Since.IsZero() {
		f.Since = now
	}
	return f, nil
}

// ceremony is what a row is to see and still lacks.
func (x *work) ceremony(r *Recipient) Ceremony {
	c := Ceremony{Envelope: x.env.seenBy(x.a), Recipient: r.ID}
	for _, id := range x.env.documentsOf(r) {
		c.Documents = append(c.Documents, *x.env.document(id))
	}
	for _, f := range x.env.Fields {
		if f.Recipient == r.ID {
			c.Fields = append(c.Fields, f)
		}
	}
	if r.State.Live() {
		c.Missing = r.missing(x.tx.Now(x.s.now))
		if r.Role.Signer() {
			c.Missing = append(c.Missing, "intent")
		}
		if !x.env.itsTurn(r) {
			c.Waiting = x.env.waiting()
		}
	}
	return c
}

// Challenge queues a one-time code to the recipient's phone. The code is bound
// to the base revisions of every document that it is to sign, and the text
// names title and digest: whoever types it meant these documents (T12). A code
// to view by is bound to the envelope alone.
//
// It fails with [*TurnError], [*LevelError] or [*NotReadyError] where the
// signature, or opening, would for more than the code, and as package sms does,
// with [sms.LimitError] for instance.
func (s *Service) Challenge(ctx context.Context, a Actor, c Challenge) (Asked, error) {
	if err := a.check(); err != nil {
		return Asked{}, err
	}
	for _, id := range c.Envelopes {
		if c.Purpose == CodeToView {
			continue
		}
		if err := s.ensureBase(ctx, a, id); err != nil {
			return Asked{}, err
		}
	}
	return mutate(ctx, s, a, func(tx *storage.Tx) (Asked, error) { return s.ChallengeTx(ctx, tx, a, c) })
}

// ChallengeTx is [Service.Challenge] within a commit; it makes no base revision.
func (s *Service) ChallengeTx(ctx context.Context, tx *storage.Tx, a Actor, c Challenge) (Asked, error) {
	request, err := s.veiledChallenge(a, c)
	if err != nil {
		return Asked{}, err
	}
	got, err := once(tx, a, "challenge", c.ID, request, func() (askedAnswer, error) {
		if len(c.Envelopes) != 1 {
			// One code for many envelopes comes with SignBatch.
			return askedAnswer{}, badField("envelopes", "must be one")
		}
		if err := askers.Put(tx, a.Tenant, c.ID, asker{Account: a.Account}); err != nil {
			return askedAnswer{}, err
		}
		return s.challenge(ctx, tx, a, c)
	})
	if err != nil {
		return Asked{}, err
	}
	// Even a masked number is personal, so it is never kept with the answer.
	out := Asked{ID: got.ID, Expires: got.Expires, Resend: got.Resend}
	if out.To, err = s.vault.MaskedTx(tx, got.To); errors.Is(err, privacy.ErrErased) || errors.Is(err, privacy.ErrRestricted) || errors.Is(err, privacy.ErrNotFound) {
		err = nil
	}
	return out, err
}

// askedAnswer is an Asked as it is kept.
type askedAnswer struct {
	ID      string      `json:"id"`
	To      privacy.Ref `json:"to"`
	Expires time.Time   `json:"expires"`
	Resend  time.Time   `json:"resend"`
}

// asker is whose code a challenge asks for.
type asker struct {
	Account string `json:"account"`
}

var askers = storage.Kind[asker]{Name: "esign.challenge", Schema: 1}

func (s *Service) challenge(ctx context.Context, tx *storage.Tx, a Actor, c Challenge) (askedAnswer, error) {
	x, err := s.open(tx, a, c.Envelopes[0])
	if err != nil {
		return askedAnswer{}, err
	}
	row, err := x.asRecipient(c.Recipient)
	if err != nil {
		return askedAnswer{}, err
	}
	q := sms.ChallengeRequest{Tenant: a.Tenant, ID: c.ID, To: row.Address, Account: x.env.Owner.Account,
		Metered: s.policy.MeterTexts, IP: a.Request.IP,
		Ref: about{Recipient: row.ID, Address: formatUint(row.AddressVersion), Envelopes: c.Envelopes}.String()}
	var b sms.Binding
	switch c.Purpose {
	case "", CodeToSign:
		if err = x.couldSign(row); err != nil {
			break
		}
		var values map[string][]FieldValue
		if values, err = x.env.values(row, c.Values); err == nil {
			b, err = x.binding(row, values)
			q.Title = sms.FitTitle(x.env.Title)
		}
	case CodeToView:
		b, q.Template, err = x.viewBinding(row), s.policy.ViewCode, x.couldView(row)
	default:
		err = badField("purpose", "is unknown")
	}
	if err != nil {
		return askedAnswer{}, err
	}
	q.Purpose, q.Envelope, q.Digest = b.Purpose, b.Envelope, b.Digest
	ref, err := s.sms.ChallengeTx(withActor(ctx, a), tx, q)
	if errors.Is(err, storage.ErrIntentMismatch) {
		return askedAnswer{}, errors.Join(ErrIntentMismatch, err)
	}
	return askedAnswer{ID: ref.ID, To: row.Address, Expires: ref.Expires, Resend: ref.Resend}, err
}

// couldSign refuses what Sign would refuse for more than what a code proves, so
// that none is sent in vain.
func (x *work) couldSign(r *Recipient) error {
	if !r.Role.Signer() {
		return ErrForbidden
	}
	if r.Address.Field != "phone" {
		return badField("contact.phone", "is needed for a code")
	}
	env := x.env.clone()
	row := env.row(r.ID)
	now := x.tx.Now(x.s.now)
	if row.State == RecipientViewed {
		f, err := x.facts(r, []identity.Result{holdsPhone(now)})
		if err != nil {
			return err
		}
		f.Read = row.Facts.Read
		ready, _, _, err := Apply(env, Command{Op: OpProgress, By: WhoSystem, Recipient: r.ID, Facts: f}, now)
		if err != nil {
			return err
		}
		env = ready
	}
	_, _, _, err := Apply(env, Command{Op: OpSign, By: WhoRecipient, Recipient: r.ID, Intent: true, Seal: true,
		Documents: grownForProbe(&env, r)}, now)
	return x.s.stepUp(err, r)
}

// grownForProbe are documents as a signature would leave them, for asking the
// machine without making one.
func grownForProbe(env *Envelope, r *Recipient) []Document {
	var out []Document
	for _, id := range env.documentsOf(r) {
		d := *env.document(id)
		d.Segments = append(slices.Clone(d.Segments), storage.Segment{})
		out = append(out, d)
	}
	return out
}

// binding is what an intent proof of a row must have been given for: this row
// and no other of the same person, the base revisions of its documents, in their
// order, what it fills in, and its number as it is now.
func (x *work) binding(r *Recipient, values map[string][]FieldValue) (sms.Binding, error) {
	var sums [][]byte
	for _, id := range x.env.documentsOf(r) {
		sum, _ := hex.DecodeString(x.env.document(id).Base)
		sums = append(sums, sum)
	}
	filled, err := x.s.sealValues(&x.env, values)
	if err != nil {
		return sms.Binding{}, err
	}
	if filled != nil {
		sums = append(sums, filled)
	}
	digest, _ := hex.DecodeString(string(identity.Bind(sums...)))
	row := sha256.Sum256([]byte(r.ID))
	return sms.Binding{To: r.Address, Purpose: string(CodeToSign) + "/" + hex.EncodeToString(row[:8]), Envelope: x.env.ID, Digest: digest}, nil
}

// CheckCode compares a typed code and returns the one-use proof that [Service.Sign],
// or for a code to view by [Service.Open], consumes. It commits by itself:
// attempts count whatever the caller does next. Every wrong, old, used or unknown
// code is [sms.ErrCode], and so is another account's, which uses up none of its
// attempts.
func (s *Service) CheckCode(ctx context.Context, a Actor, c Code) (Intent, error) {
	if err := a.check(); err != nil {
		return Intent{}, err
	}
	var own bool
	err := storage.View(ctx, s.store, func(tx *storage.Tx) error {
		by, ok, err := askers.Get(tx, a.Tenant, c.Challenge)
		own = ok && by.Account == a.Account
		return err
	})
	if err != nil {
		return Intent{}, err
	}
	if !own {
		return Intent{}, sms.ErrCode
	}
	p, err := s.sms.CheckCode(withActor(ctx, a), a.Tenant, c.Challenge, sms.Secret(c.Code))
	if err != nil {
		return Intent{}, err
	}
	return Intent{Method: string(identity.PhoneCode), Code: p}, nil
}
