package esign

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// checkLife is how long a check without an answer holds its unit.
const checkLife = 72 * time.Hour

// checkRecord is a real-name check as it is kept.
type checkRecord struct {
	Flow identity.Flow `json:"flow"`
	// Payer holds the unit; empty: the check costs none.
	Payer string    `json:"payer,omitempty"`
	By    string    `json:"by"`
	Next  time.Time `json:"next,omitzero"` // when Run looks at it again; zero: it ended
}

var checks = storage.Kind[checkRecord]{Name: "esign.check", Schema: 1, Due: func(c checkRecord) time.Time { return c.Next }}

func (c checkRecord) ended() bool {
	return c.Flow.Result != nil && c.Flow.Result.Outcome != identity.Pending
}

// lapsed: the check came to nothing in time. Its answer is Unavailable from then
// on, whether or not anybody looked.
func (c checkRecord) lapsed(now time.Time) bool {
	return !c.ended() && !now.Before(c.Flow.At.Add(checkLife))
}

// hold names the check's hold in the ledger; an envelope's ends in a number.
func (c checkRecord) hold() quota.HoldID { return quota.HoldID(storage.JoinID("idcheck", c.Flow.Key)) }

// checkSlot is the only line of that hold.
const checkSlot quota.SlotID = "check"

// A gate lets checks pass, counts and pays them in the service's store: the
// [identity.Gate] of every service whose Config names no other.
type gate struct{ s *Service }

var _ identity.Gate = gate{}

// Consent asks for the subject's consent to identification by this source, or by
// any: privacy.Vault.ConsentTx records it.
func (g gate) Consent(ctx context.Context, who privacy.Subject, source string, fields []string) error {
	class := privacy.ClassPersonal
	if slices.ContainsFunc(fields, func(f string) bool { return f == "id" || f == "card" }) {
		class = privacy.ClassSensitive
	}
	err := storage.View(ctx, g.s.store, func(tx *storage.Tx) error {
		_, err := g.s.vault.ConsentedTx(tx, who, privacy.PurposeIdentity, source, class)
		return err
	})
	if errors.Is(err, privacy.ErrNoConsent) {
		return errors.Join(identity.ErrConsent, err)
	}
	return err
}

// Open implements [identity.Gate]: attempt, unit and flow in one commit.
func (g gate) Open(ctx context.Context, f identity.Flow) (identity.Flow, error) {
	return storage.UpdateValue(ctx, g.s.store, func(tx *storage.Tx) (identity.Flow, error) {
		c, ok, err := checks.Get(tx, f.Subject.Tenant, f.Key)
		switch {
		case err != nil:
			return identity.Flow{}, err
		case ok && (c.Flow.Intent != f.Intent || c.Flow.Subject != f.Subject):
			return identity.Flow{}, ErrIntentMismatch
		case ok && c.lapsed(tx.Now(g.s.now)):
			return g.lapse(ctx, tx, c)
		case ok:
			return c.Flow, nil
		}
		c.Flow = tidy(f)
		return c.Flow, g.begin(ctx, tx, c)
	})
}

// begin counts an attempt, holds the unit and keeps the flow.
func (g gate) begin(ctx context.Context, tx *storage.Tx, c checkRecord) error {
	f, id := c.Flow, knownAs(c.Flow.Kind, c.Flow.Subject.ID)
	k, _, err := identities.Get(tx, f.Subject.Tenant, id)
	if err != nil {
		return err
	}
	n, err := k.Attempts[f.Method].Try(tx.Now(g.s.now))
	if err != nil {
		return err
	}
	k.count(f.Method, n)
	if err := identities.Put(tx, f.Subject.Tenant, id, k); err != nil {
		return err
	}
	a, err := g.payer(ctx, f)
	if err != nil {
		return err
	}
	c.By, c.Next = a.Account, f.At.Add(checkLife)
	if err := g.reserve(ctx, tx, a, &c); err != nil {
		return err
	}
	if err := g.tell(ctx, tx, a, c, "identity.started"); err != nil {
		return err
	}
	return checks.Put(tx, f.Subject.Tenant, f.Key, c)
}

// payer is the account whose unit a check takes: that of the person, and for an
// organisation the member that acts (H41). A unit is spent by its account alone
// (H44).
func (g gate) payer(ctx context.Context, f identity.Flow) (Actor, error) {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok && a.Tenant == f.Subject.Tenant {
		return a, nil
	}
	if f.Kind != identity.Person {
		return Actor{}, ErrForbidden // nobody says which member asks
	}
	return Actor{Tenant: f.Subject.Tenant, Account: f.Subject.ID}, nil
}

// reserve holds the unit of a check, at what it costs now (H40, H41, H51).
func (g gate) reserve(ctx context.Context, tx *storage.Tx, a Actor, c *checkRecord) error {
	var feature membership.Feature
	switch c.Flow.Unit {
	case "":
		return nil
	case string(quota.UnitPersonCheck):
		feature = membership.FeaturePersonCheck
	case string(quota.UnitOrgCheck):
		feature = membership.FeatureOrgCheck
	default:
		return fmt.Errorf("%w: a check that costs %s", ErrNotOffered, c.Flow.Unit)
	}
	d, err := g.s.membership.CheckTx(ctx, tx, membership.CheckRequest{Tenant: a.Tenant, Account: quota.AccountID(a.Account),
		Feature: feature, Client: a.Request.Client})
	if errors.Is(err, privacy.ErrNotAccepted) || errors.Is(err, membership.ErrTerms) {
		return errors.Join(ErrTermsNotAccepted, err)
	}
	if err != nil {
		return err
	}
	c.Payer = string(d.Account)
	_, err = g.s.quota.ReserveTx(ctx, tx, quota.ReserveRequest{Tenant: a.Tenant, ID: c.hold(), Account: d.Account,
		Ref: "check", Lines: []quota.LineRequest{d.Line(checkSlot, "")}, TTL: checkLife, Actor: a.Account})
	return err
}

// Close implements [identity.Gate]: result, unit and evidence in one commit.
func (g gate) Close(ctx context.Context, f identity.Flow) error {
	return storage.Update(ctx, g.s.store, func(tx *storage.Tx) error {
		c, ok, err := checks.Get(tx, f.Subject.Tenant, f.Key)
		switch {
		case err != nil:
			return err
		case !ok:
			return ErrNotFound
		case c.ended():
			return nil
		}
		c.Flow = tidy(f)
		return g.book(ctx, tx, c)
	})
}

// lapse ends a check that nobody answered in time.
func (g gate) lapse(ctx context.Context, tx *storage.Tx, c checkRecord) (identity.Flow, error) {
	f := &c.Flow
	f.Result = &identity.Result{Outcome: identity.Unavailable, Method: f.Method, Subject: f.Kind, Provider: f.Provider,
		At: f.At.Add(checkLife)}
	c.Flow = tidy(c.Flow)
	return c.Flow, g.book(ctx, tx, c)
}

// book stores what a check came to so far, and when that is all, what follows.
func (g gate) book(ctx context.Context, tx *storage.Tx, c checkRecord) error {
	f, now := c.Flow, tx.Now(g.s.now)
	if !c.ended() {
		// Ask again after as long as it has been pending.
		c.Next = now.Add(max(now.Sub(f.At), 5*time.Minute))
		if end := f.At.Add(checkLife); f.Result == nil || c.Next.After(end) {
			c.Next = end
		}
		return checks.Put(tx, f.Subject.Tenant, f.Key, c)
	}
	c.Next = time.Time{}
	id := knownAs(f.Kind, f.Subject.ID)
	k, _, err := identities.Get(tx, f.Subject.Tenant, id)
	if err != nil {
		return err
	}
	k.count(f.Method, k.Attempts[f.Method].Settle(f.Result.Outcome))
	if f.Result.Outcome == identity.Match {
		k.keep(*f.Result, now)
		if f.Result.Level.AtLeast(identity.I2) {
			k.Proof = f.Key
		}
	}
	if err := identities.Put(tx, f.Subject.Tenant, id, k); err != nil {
		return err
	}
	if err := g.settle(ctx, tx, c); err != nil {
		return err
	}
	typ := "identity.checked"
	if !f.Result.Outcome.Final() {
		typ = "identity.failed"
	}
	a, _ := ctx.Value(actorKey{}).(Actor)
	if err := g.tell(ctx, tx, a, c, typ); err != nil {
		return err
	}
	if err := g.queueHarvest(tx, c); err != nil {
		return err
	}
	return checks.Put(tx, f.Subject.Tenant, f.Key, c)
}

// subjectKinds are those whose checks have chains.
var subjectKinds = []identity.SubjectKind{identity.Person, identity.Organisation}

// settle uses the unit of a check that was answered and gives back the other's.
func (g gate) settle(ctx context.Context, tx *storage.Tx, c checkRecord) error {
	if c.Payer == "" {
		return nil
	}
	id, hold := storage.JoinID("idcheck", c.Flow.Key, "end"), c.hold()
	if c.Flow.Result.Outcome.Final() {
		_, err := g.s.quota.CaptureTx(ctx, tx, quota.CaptureRequest{Tenant: c.Flow.Subject.Tenant, ID: id, Hold: hold,
			Slots: []quota.SlotID{checkSlot}, Actor: c.By})
		return err
	}
	err := tx.Sub(func() error {
		_, err := g.s.quota.ReleaseTx(ctx, tx, quota.ReleaseRequest{Tenant: c.Flow.Subject.Tenant, ID: id, Hold: hold,
			Cause: quota.ProviderFault, Actor: c.By})
		return err
	})
	if errors.Is(err, quota.ErrHoldExpired) {
		return nil // its time was up, so it is back
	}
	return err
}

// checkChain names the evidence of a subject's checks; an envelope has no "/".
func checkChain(f identity.Flow) string {
	return storage.JoinID("identity", string(f.Kind), f.Subject.ID)
}

// whoAccount acts on its own account.
const whoAccount Who = "account"

// tell records a step of a check: what was asked where, and what it came to,
// never a value.
func (g gate) tell(ctx context.Context, tx *storage.Tx, a Actor, c checkRecord, typ string) error {
	f := c.Flow
	x := &work{s: g.s, tx: tx, a: a, env: Envelope{Tenant: f.Subject.Tenant}}
	d := evidence.Draft{Tenant: f.Subject.Tenant, Env: checkChain(f), Type: typ,
		X: map[string]any{"check": f.Key, "method": string(f.Method), "provider": f.Provider}}
	if c.Payer != "" {
		d.X["hold"] = string(c.hold())
	}
	if r := f.Result; r != nil {
		d.X["outcome"] = string(r.Outcome)
		for name, v := range map[string]string{"source": r.Evidence.Source, "request": r.Evidence.Request, "answer": r.Evidence.Answer} {
			if v != "" {
				d.X[name] = v
			}
		}
		if r.Outcome == identity.Match {
			d.Auth = []evidence.Auth{authOf(*r)}
		}
	}
	x.sign(&d, whoAccount)
	_, err := g.s.evidence.AppendTx(ctx, tx, d)
	return err
}

// authOf is what evidence keeps of an identity result.
func authOf(r identity.Result) evidence.Auth {
	l, _ := r.Counted()
	tx := sha256.Sum256([]byte(r.TxID))
	return evidence.Auth{Level: string(l), Method: string(r.Method), Provider: r.Provider, Transaction: tx[:]}
}

// pursue asks about a pending check again, or ends one whose time is up.
func (s *Service) pursue(ctx context.Context, k storage.Key) error {
	if err := s.vault.Unlock(ctx, k.Tenant); err != nil {
		return err
	}
	var c checkRecord
	err := storage.Update(ctx, s.store, func(tx *storage.Tx) (err error) {
		if c, _, err = checks.Get(tx, k.Tenant, k.ID); err != nil || !c.lapsed(tx.Now(s.now)) {
			return err
		}
		c.Flow, err = gate{s}.lapse(ctx, tx, c)
		return err
	})
	if errors.Is(err, storage.ErrCorrupt) {
		return s.setAside(ctx, k, err)
	}
	if err != nil || c.Flow.Key == "" || c.ended() {
		return err
	}
	_, err = s.identity.Complete(ctx, c.Flow, identity.Response{})
	if err == nil || ctx.Err() != nil {
		return err
	}
	// What cannot be asked stands aside, so that it keeps nothing else waiting.
	return errors.Join(err, storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		c, ok, err := checks.Get(tx, k.Tenant, k.ID)
		if err != nil || !ok || c.ended() {
			return err
		}
		c.Next = tx.Now(s.now).Add(retryBase)
		return checks.Put(tx, k.Tenant, k.ID, c)
	}))
}
