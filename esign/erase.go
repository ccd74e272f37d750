package esign

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// An Erasure asks to forget a person, or an organisation (P17, T32).
type Erasure struct {
	Account string         // whom; zero: the actor
	Why     privacy.Reason // a code; zero: "request"
	// Anyway erases also who still takes part in running envelopes: those cannot be
	// signed by it any more, and nothing reaches it.
	Anyway bool
	// Officer says that the actor acts for whoever answers for privacy, and may
	// forget others. The host vouches for it: it must never come from a request.
	Officer bool
}

// An Erased is the receipt of an [Erasure]: nothing in it is personal.
type Erased struct {
	// Receipt says what became of the person's data. Where the law keeps evidence
	// (T49, D13), contact and biometrics are gone, and Until says when the rest goes:
	// Run sees to that.
	privacy.Receipt
	Envelopes []string `json:"envelopes"` // whose evidence mentions the person
	Running   []string `json:"running"`   // of them, what still runs (T31)
	Texts     int      `json:"texts"`     // messages and codes that forgot their number
	Checks    int      `json:"checks"`    // real-name checks that forgot whom they compared
}

// A RunningError refuses to forget who still takes part in envelopes, and names
// them (T31). It unwraps to [ErrState].
type RunningError struct{ Envelopes []string }

// Error implements error.
func (e *RunningError) Error() string {
	return "esign: still takes part in " + strings.Join(e.Envelopes, ", ")
}

// Unwrap gives the class of the error.
func (e *RunningError) Unwrap() error { return ErrState }

// Code gives the stable code.
func (e *RunningError) Code() string { return ErrorCode(ErrState) }

// ErasePerson forgets a person in everything this service keeps: contact data,
// biometrics and whatever events commit to in the vault, numbers in texts, codes,
// consents and limits, identity results and the checks behind them. Events,
// commitments and proofs stay and verify; copies of contracts that other parties
// hold stay theirs, as the receipt says.
//
// It commits step by step and has no Tx form. Repeating it is safe, finishes
// what was interrupted, and answers with the receipt as it stands.
//
// It fails with [ErrForbidden] for another account without Officer, with
// [*RunningError], with [privacy.ErrHeld] under a legal hold, and with
// [ErrNotFound] for who is unknown.
func (s *Service) ErasePerson(ctx context.Context, a Actor, r Erasure) (Erased, error) {
	if err := a.check(); err != nil {
		return Erased{}, err
	}
	r.Account, r.Why = or(r.Account, a.Account), or(r.Why, "request")
	if err := checkID("account", r.Account); err != nil {
		return Erased{}, err
	}
	if len(r.Why) > maxID {
		return Erased{}, badField("why", "is longer than 64 bytes")
	}
	if r.Account != a.Account && !r.Officer {
		return Erased{}, ErrForbidden
	}
	who := privacy.Subject{Tenant: a.Tenant, ID: r.Account}
	if err := s.vault.Unlock(ctx, a.Tenant); err != nil {
		return Erased{}, err
	}
	running, err := s.running(ctx, who)
	if err != nil {
		return Erased{}, err
	}
	if r.Why == privacy.ReasonMinor {
		// Found late: what was agreed with a minor ends, whoever else signed (P21).
		if err := s.invalidate(ctx, who, running); err != nil {
			return Erased{}, err
		}
	} else if len(running) > 0 && !r.Anyway {
		return Erased{}, &RunningError{Envelopes: running}
	}
	ctx = s.vault.As(ctx, privacy.Accessor{Tenant: a.Tenant, Account: a.Account, Role: "erasure"})
	by := evidence.Actor{ID: a.Account, Role: string(whoAccount), Account: or(a.Org, a.Account)}
	out, err := s.forget(ctx, who, by, r.Why)
	out.Running = running
	return out, err
}

// forget does what ErasePerson and the sweep have in common.
func (s *Service) forget(ctx context.Context, who privacy.Subject, by evidence.Actor, why privacy.Reason) (out Erased, err error) {
	out.Envelopes, out.Running = []string{}, []string{}
	for env, err := range s.vault.Envelopes(ctx, who) {
		if err != nil {
			return out, err
		}
		out.Envelopes = append(out.Envelopes, env)
	}
	// The vault decides first: a hold stops everything.
	out.Receipt, err = s.evidence.EraseSubject(ctx, who, by, why)
	unknown := errors.Is(err, privacy.ErrNotFound)
	if err != nil && !unknown {
		return out, err
	}
	if out.Texts, err = s.sms.Forget(ctx, who); err != nil {
		return out, err
	}
	if out.Checks, err = s.forgetChecks(ctx, who); err != nil {
		return out, err
	}
	if unknown && out.Texts == 0 && out.Checks == 0 {
		return out, ErrNotFound
	}
	return out, nil
}

// running lists the envelopes in which somebody takes part that have not ended:
// as a row, or as who sends.
func (s *Service) running(ctx context.Context, who privacy.Subject) ([]string, error) {
	var ids []string
	for env, err := range s.vault.Envelopes(ctx, who) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, env)
	}
	for _, kind := range []storage.Kind[Summary]{byRow, byOwner} {
		for item, err := range kind.Scan(ctx, s.store, who.Tenant, storage.JoinPrefix(who.ID)) {
			if err != nil {
				return nil, err
			}
			ids = append(ids, item.Value.ID)
		}
	}
	slices.Sort(ids)
	out := []string{}
	for _, id := range slices.Compact(ids) {
		if strings.Contains(id, "/") {
			continue // a chain of checks
		}
		env, err := s.peek(ctx, who.Tenant, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		env = env.asOf(s.now().UTC())
		live := func(r Recipient) bool { return r.Party.Account == who.ID && r.State.Live() }
		if !env.State.Terminal() && (env.Owner.Account == who.ID || slices.ContainsFunc(env.Recipients, live)) {
			out = append(out, id)
		}
	}
	return out, nil
}

// invalidate ends what a minor takes part in (E18); the events name no reason.
func (s *Service) invalidate(ctx context.Context, who privacy.Subject, envelopes []string) error {
	for _, id := range envelopes {
		err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
			x, err := s.system(tx, who.Tenant, id)
			if err != nil {
				return err
			}
			if env := x.env.asOf(tx.Now(s.now)); !env.State.open() {
				return nil // drafts and what ended in the meantime
			}
			if err := x.apply(ctx, Command{Op: OpInvalidate, By: WhoSystem}, note{}); err != nil {
				return err
			}
			_, err = x.close()
			return err
		})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	s.announce()
	return nil
}

// forgetChecks ends the checks of a person that nobody answered, and takes from
// all of them what a name could be found again by.
func (s *Service) forgetChecks(ctx context.Context, who privacy.Subject) (int, error) {
	n := 0
	for _, kind := range subjectKinds {
		chain := storage.JoinID("identity", string(kind), who.ID)
		var keys []string
		for e, err := range s.evidence.Events(ctx, who.Tenant, chain, 0) {
			if err != nil {
				return n, err
			}
			if key, ok := e.X["check"].(string); ok && e.Type == "identity.started" {
				keys = append(keys, key)
			}
		}
		for _, key := range keys {
			done := false
			err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
				done = false
				c, ok, err := checks.Get(tx, who.Tenant, key)
				if err != nil || !ok || c.Flow.Named == "" && c.Flow.Intent == "" {
					return err
				}
				if !c.ended() { // its unit is back
					g := gate{s}
					if c.Flow, err = g.lapse(ctx, tx, c); err != nil {
						return err
					}
					if c, _, err = checks.Get(tx, who.Tenant, key); err != nil {
						return err
					}
				}
				done = true
				c.Flow.Named, c.Flow.Intent, c.Flow.TxID, c.Flow.URL = "", "", "", ""
				if r := c.Flow.Result; r != nil {
					bare := *r
					bare.TxID, bare.Evidence.Challenge = "", ""
					c.Flow.Result = &bare
				}
				if h, ok, err := harvests.Get(tx, who.Tenant, key); err != nil {
					return err
				} else if ok && !h.Next.IsZero() {
					if err := harvests.Delete(tx, who.Tenant, key); err != nil {
						return err
					}
				}
				return checks.Put(tx, who.Tenant, key, c)
			})
			if err != nil {
				return n, err
			}
			if done {
				n++
			}
		}
		err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
			_, ok, err := identities.Get(tx, who.Tenant, knownAs(kind, who.ID))
			if err != nil || !ok {
				return err
			}
			return identities.Delete(tx, who.Tenant, knownAs(kind, who.ID))
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// eraseDue finishes erasures whose time has come, of every tenant.
func (s *Service) eraseDue(ctx context.Context, who privacy.Subject) error {
	if err := s.vault.Unlock(ctx, who.Tenant); err != nil {
		return err
	}
	_, err := s.forget(ctx, who, evidence.Actor{ID: "system", Role: string(WhoSystem)}, "due")
	if errors.Is(err, privacy.ErrHeld) {
		return nil // a hold that came in between; its end asks again
	}
	return err
}

// A Cancellation answers who closes an account (T31).
type Cancellation struct {
	// Receipt says until when [Service.ReopenAccount] takes it back.
	privacy.Receipt
	Running []string         `json:"running"` // envelopes that still run under the account
	Units   []quota.LotID    `json:"units"`   // lots with units that will be lost
	Holds   map[string]int64 `json:"holds"`   // units held, by unit
}

// CancelAccount closes the actor's account (T31, T32): personal data is
// restricted at once, and contact and biometrics go after seven days, which the
// receipt dates; what the law keeps stays restricted until its day. The answer
// lists what still runs under the account. Offer [privacy.Vault.ExportSubject]
// before. Repeated it answers the same. It fails with [ErrNotFound] for an account
// of which nothing is kept, and with [privacy.ErrErased] for one that is gone.
func (s *Service) CancelAccount(ctx context.Context, a Actor) (Cancellation, error) {
	if err := a.check(); err != nil {
		return Cancellation{}, err
	}
	who := privacy.Subject{Tenant: a.Tenant, ID: a.Account}
	if err := s.vault.Unlock(ctx, a.Tenant); err != nil {
		return Cancellation{}, err
	}
	out := Cancellation{Units: []quota.LotID{}, Holds: map[string]int64{}}
	var err error
	if out.Running, err = s.running(ctx, who); err != nil {
		return out, err
	}
	lots, err := s.quota.Lots(ctx, quota.BalanceRequest{Tenant: a.Tenant, Account: quota.AccountID(a.Account)})
	if err != nil {
		return out, err
	}
	for _, l := range lots {
		if l.Spendable(s.now()) > 0 {
			out.Units = append(out.Units, l.ID)
		}
		if l.Held > 0 {
			out.Holds[string(l.Unit)] += int64(l.Held)
		}
	}
	ctx = s.vault.As(ctx, privacy.Accessor{Tenant: a.Tenant, Account: a.Account, Role: string(whoAccount)})
	out.Receipt, err = storage.UpdateValue(ctx, s.store, func(tx *storage.Tx) (privacy.Receipt, error) { return s.vault.CancelTx(ctx, tx, who) })
	if errors.Is(err, privacy.ErrNotFound) {
		err = ErrNotFound
	}
	return out, err
}

// ReopenAccount takes a cancellation back. It fails with [privacy.ErrErased]
// after its days, and with [ErrNotFound] where nothing was cancelled.
func (s *Service) ReopenAccount(ctx context.Context, a Actor) error {
	if err := a.check(); err != nil {
		return err
	}
	ctx = s.vault.As(ctx, privacy.Accessor{Tenant: a.Tenant, Account: a.Account, Role: string(whoAccount)})
	err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		return s.vault.ReopenTx(ctx, tx, privacy.Subject{Tenant: a.Tenant, ID: a.Account})
	})
	if errors.Is(err, privacy.ErrNotFound) {
		return ErrNotFound
	}
	return err
}
