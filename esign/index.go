package esign

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
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
// changes meanwhile may be seen or not; a passed deadline shows at once, booked
// or not. Of a tenant whose service is over for good nothing is listed (T48): it
// ends with [privacy.ErrRestricted].
func (s *Service) List(ctx context.Context, a Actor, q Query) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		if err := a.check(); err != nil {
			yield(Summary{}, err)
			return
		}
		if err := s.readable(ctx, a.Tenant); err != nil {
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
		late, err := s.overdue(ctx, a.Tenant)
		if err != nil {
			yield(Summary{}, err)
			return
		}
		// What fell due and is not booked stands where it belongs by now.
		from := storage.JoinPrefix(prefix...)
		moved := map[string]Summary{}
		for _, env := range late {
			owned, inbox := env.entries()
			if q.Inbox {
				owned = inbox
			}
			for id, sum := range owned {
				if strings.HasPrefix(id, from) {
					moved[id] = sum
				}
			}
		}
		next := slices.Sorted(maps.Keys(moved))
		for item, err := range kind.Scan(ctx, s.store, a.Tenant, from) {
			if err != nil {
				yield(Summary{}, err)
				return
			}
			if _, again := late[item.Value.ID]; again {
				continue
			}
			for len(next) > 0 && next[0] < item.ID {
				if !yield(moved[next[0]], nil) {
					return
				}
				next = next[1:]
			}
			if !yield(item.Value, nil) {
				return
			}
		}
		for _, id := range next {
			if !yield(moved[id], nil) {
				return
			}
		}
	}
}

// overdue are the envelopes of a tenant on which something fell due that nobody
// has booked, as they stand now: few where Run works.
func (s *Service) overdue(ctx context.Context, tenant string) (map[string]Envelope, error) {
	now := s.now().UTC()
	var keys []storage.Key
	for limit := 256; ; limit *= 4 {
		var err error
		if keys, err = s.store.Due(ctx, envelopes.Name, now, limit); err != nil {
			return nil, fmt.Errorf("esign: due: %w", err)
		}
		if len(keys) < limit {
			break
		}
	}
	out := map[string]Envelope{}
	for _, k := range keys {
		if k.Tenant != tenant {
			continue
		}
		env, err := s.peek(ctx, tenant, k.ID)
		if errors.Is(err, ErrNotFound) || errors.Is(err, storage.ErrCorrupt) {
			continue // Get says so
		}
		if err != nil {
			return nil, err
		}
		out[k.ID] = env.asOf(now)
	}
	return out, nil
}
