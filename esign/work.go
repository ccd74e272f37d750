package esign

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/countersign/countersign/storage"
)

var (
	envelopes = storage.Kind[Envelope]{Name: "esign.envelope", Schema: 1, Due: func(e Envelope) time.Time {
		if e.State == StateFinalizing {
			return time.Time{} // its job knows when
		}
		return e.Due()
	}}
	// answers holds the answers of commands under the ids that callers gave them.
	answers = "esign.op"
)

// A work is what one commit does to one envelope: commands to the machine,
// what follows for units, evidence and outbox, and at the end the record.
type work struct {
	s   *Service
	tx  *storage.Tx
	a   Actor
	env Envelope // Version is that of the record as read
	was Envelope
	n   int // names the operations of this commit apart
	// lenient work goes on when a notice cannot be queued, and say so in the
	// evidence: nobody's signature waits for another's telephone.
	lenient bool
	// finalized: nothing is missing but the end; it comes in this commit.
	finalized bool
}

// mutate runs fn as the unit of work of one actor, with the tenant's keys in
// memory, and tells Run that there may be work.
func mutate[T any](ctx context.Context, s *Service, a Actor, fn func(tx *storage.Tx) (T, error)) (T, error) {
	var zero T
	if err := a.check(); err != nil {
		return zero, err
	}
	if err := s.vault.Unlock(ctx, a.Tenant); err != nil {
		return zero, err
	}
	out, err := storage.UpdateValue(ctx, s.store, fn)
	if err != nil {
		return zero, err
	}
	s.announce()
	return out, nil
}

// once runs fn under the caller's id: repeated, it gives the same answer; with
// another request it is [ErrIntentMismatch].
func once[T any](tx *storage.Tx, a Actor, method, id string, request any, fn func() (T, error)) (T, error) {
	var zero T
	if err := a.check(); err != nil {
		return zero, err
	}
	if err := checkID("id", id); err != nil {
		return zero, err
	}
	intent := storage.Intent(struct {
		Method, Account, Org string
		Request              any
	}{method, a.Account, a.Org, request})
	v, err := storage.Once(tx, storage.Key{Tenant: a.Tenant, Kind: answers, ID: id}, intent, fn)
	if errors.Is(err, storage.ErrIntentMismatch) {
		return zero, errors.Join(ErrIntentMismatch, err)
	}
	return v, err
}

// open reads an envelope that the actor may know of.
func (s *Service) open(tx *storage.Tx, a Actor, id string) (*work, error) {
	if err := checkID("envelope", id); err != nil {
		return nil, err
	}
	env, version, err := s.load(tx, a.Tenant, id)
	if err != nil {
		return nil, err
	}
	if version == 0 || env.State == "" || !env.knows(a) {
		return nil, ErrNotFound
	}
	return &work{s: s, tx: tx, a: a, env: env, was: env}, nil
}

// system opens an envelope for the service itself.
func (s *Service) system(tx *storage.Tx, tenant, id string) (*work, error) {
	env, version, err := s.load(tx, tenant, id)
	if err != nil {
		return nil, err
	}
	if version == 0 || env.State == "" {
		return nil, ErrNotFound
	}
	return &work{s: s, tx: tx, a: Actor{Tenant: tenant}, env: env, was: env, lenient: true}, nil
}

func (s *Service) load(tx *storage.Tx, tenant, id string) (Envelope, uint64, error) {
	recs, err := tx.Get(envelopes.Key(tenant, id))
	if err != nil || recs[0].Version == 0 {
		return Envelope{}, 0, err
	}
	env, err := envelopes.Decode(recs[0])
	env.Version = recs[0].Version
	return env, recs[0].Version, err
}

// knows reports whether the envelope is any business of the actor: a row whose
// turn has not come may learn that much.
func (e *Envelope) knows(a Actor) bool {
	return e.shows(a) || !e.SentAt.IsZero() && slices.ContainsFunc(e.Recipients, func(r Recipient) bool { return r.Party.Account == a.Account })
}

// shows reports whether the actor may read the envelope: a row that has not
// been told of it does not see it.
func (e *Envelope) shows(a Actor) bool {
	of := func(g *Gate) bool { return g != nil && slices.Contains(g.Approvers, a.Account) }
	return e.ownedBy(a) || of(e.Review) || slices.ContainsFunc(e.Recipients, func(r Recipient) bool {
		return r.Party.Account == a.Account && r.told() || of(r.Gate)
	})
}

// told: the row was invited, or sent its copy.
func (r *Recipient) told() bool { return !r.NotifiedAt.IsZero() }

// ownedBy: the owner, acting for whom it sent.
func (e *Envelope) ownedBy(a Actor) bool {
	return a.Account != "" && e.Owner.Account == a.Account && e.Owner.Org == a.Org
}

// asOwner refuses whoever sees the envelope but does not own it.
func (x *work) asOwner() error { return unless(x.env.ownedBy(x.a), ErrForbidden) }

// asRecipient finds the actor's row: the one named, or its only one.
func (x *work) asRecipient(id string) (*Recipient, error) {
	if x.a.Proof.Session == "" {
		return nil, ErrForbidden
	}
	var found *Recipient
	for i := range x.env.Recipients {
		r := &x.env.Recipients[i]
		if r.Party.Account != x.a.Account || r.State == RecipientReplaced || id != "" && r.ID != id {
			continue
		}
		if found != nil {
			return nil, badField("recipient", "is needed: the actor has several rows")
		}
		found = r
	}
	if found == nil {
		return nil, ErrForbidden
	}
	return found, nil
}

// apply gives one command to the machine and carries out what follows from it.
func (x *work) apply(ctx context.Context, cmd Command, n note) error {
	if !cmd.Op.Offered() {
		return ErrNotOffered
	}
	before := x.env
	cmd.Channels = x.s.channels()
	next, events, effects, err := Apply(x.env, cmd, x.tx.Now(x.s.now))
	if err != nil {
		return x.s.stepUp(err, x.env.row(cmd.Recipient))
	}
	next.Version = x.env.Version
	x.env = next
	// Evidence first: an effect may add events of its own, which follow.
	for _, e := range events {
		if err := x.record(ctx, e, &before, n); err != nil {
			return err
		}
	}
	for _, e := range effects {
		if err := x.carryOut(ctx, e); err != nil {
			return err
		}
	}
	if x.finalized {
		x.finalized = false
		return x.apply(ctx, Command{Op: OpFinalized, By: WhoSystem}, note{})
	}
	return nil
}

// close stores the envelope and its index records.
func (x *work) close() (versioned, error) {
	if !sameEnvelope(x.env, x.was) {
		if err := x.reindex(); err != nil {
			return versioned{}, err
		}
		if err := x.keepBlobs(); err != nil {
			return versioned{}, err
		}
		if err := envelopes.Put(x.tx, x.env.Tenant, x.env.ID, x.env); err != nil {
			return versioned{}, err
		}
		x.env.Version++
	}
	return versioned{x.env, x.env.Version}, nil
}

// op names the next operation of this commit: the same however often it runs.
func (x *work) op() string {
	x.n++
	return storage.JoinID(x.env.ID, strconv.FormatUint(x.env.Version+1, 10), strconv.Itoa(x.n))
}

// command is the shape of most mutations: under its id, one command by an
// actor whose part is found first, in one commit.
func (s *Service) command(ctx context.Context, tx *storage.Tx, a Actor, method, id, envelope string, request any,
	do func(x *work) error) (Envelope, error) {
	got, err := once(tx, a, method, id, request, func() (versioned, error) {
		x, err := s.open(tx, a, envelope)
		if err != nil {
			return versioned{}, err
		}
		if err := do(x); err != nil {
			return versioned{}, err
		}
		return x.close()
	})
	return got.envelope().seenBy(a), err
}

// versioned is an envelope as an answer is kept.
type versioned struct {
	Envelope Envelope `json:"envelope"`
	Version  uint64   `json:"version"`
}

func (v versioned) envelope() Envelope {
	v.Envelope.Version = v.Version
	return v.Envelope
}

func formatUint(n uint64) string { return strconv.FormatUint(n, 10) }
