package esign

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// A Summary is a line of a list of envelopes.
type Summary struct {
	ID        string         `json:"id"`
	Title     string         `json:"title"`
	Kind      Kind           `json:"kind"`
	State     State          `json:"state"`
	SentAt    time.Time      `json:"sent_at,omitzero"`
	Deadline  time.Time      `json:"deadline,omitzero"`
	Recipient string         `json:"recipient,omitempty"` // in an inbox: the row
	Row       RecipientState `json:"row,omitempty"`
}

// The index records: small, written with the envelope, read by List.
var (
	byOwner = storage.Kind[Summary]{Name: "esign.owned", Schema: 1}
	byRow   = storage.Kind[Summary]{Name: "esign.inbox", Schema: 1}
)

// entries are the index records that an envelope has.
func (e *Envelope) entries() (owned, inbox map[string]Summary) {
	owned, inbox = map[string]Summary{}, map[string]Summary{}
	if e.State == "" {
		return owned, inbox
	}
	sum := Summary{ID: e.ID, Title: e.Title, Kind: e.Kind, State: e.State, SentAt: e.SentAt, Deadline: e.Deadline}
	when := storage.NewestFirst(e.SentAt)
	owned[storage.JoinID(e.Owner.Account, e.Owner.Org, string(e.State), when, e.ID)] = sum
	if e.SentAt.IsZero() {
		return owned, inbox
	}
	for _, r := range e.Recipients {
		if r.Party.Account == "" || !r.told() || r.State == RecipientPending || r.State == RecipientReplaced {
			continue
		}
		sum.Recipient, sum.Row = r.ID, r.State
		inbox[storage.JoinID(r.Party.Account, string(r.State), when, e.ID, r.ID)] = sum
	}
	return owned, inbox
}

// reindex makes the index records those of the envelope as it is now.
func (x *work) reindex() error {
	wasOwned, wasInbox := x.was.entries()
	owned, inbox := x.env.entries()
	if err := replace(x, byOwner, wasOwned, owned); err != nil {
		return err
	}
	return replace(x, byRow, wasInbox, inbox)
}

func replace(x *work, kind storage.Kind[Summary], was, now map[string]Summary) error {
	for _, id := range slices.Sorted(maps.Keys(was)) {
		if _, stays := now[id]; stays {
			continue
		}
		if err := kind.Delete(x.tx, x.env.Tenant, id); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if old, there := was[id]; there && old == now[id] {
			continue
		}
		if err := kind.Put(x.tx, x.env.Tenant, id, now[id]); err != nil {
			return err
		}
	}
	return nil
}

// A Query selects envelopes: those the actor owns, or with Inbox those it takes
// part in.
type Query struct {
	State State          // of owned ones; zero: all
	Inbox bool           // rows of the actor's account instead
	Row   RecipientState // of an inbox; zero: all
}

// List yields envelopes of the actor, by state and the newest sent first. What
// changes meanwhile may be seen or not, and a passed deadline shows once it is
// booked; [Service.Get] needs no booking.
func (s *Service) List(ctx context.Context, a Actor, q Query) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		if err := a.check(); err != nil {
			yield(Summary{}, err)
			return
		}
		kind, prefix := byOwner, []string{a.Account, a.Org}
		part := string(q.State)
		if q.Inbox {
			kind, prefix, part = byRow, []string{a.Account}, string(q.Row)
		}
		if part != "" {
			prefix = append(prefix, part)
		}
		for item, err := range kind.Scan(ctx, s.store, a.Tenant, storage.JoinPrefix(prefix...)) {
			if !yield(item.Value, err) || err != nil {
				return
			}
		}
	}
}
