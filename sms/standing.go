package sms

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

// A Standing says whether a tenant may send (S02, S21, S28).
type Standing string

// The standings of a tenant. Terminated and Banned never end; what was paid is
// frozen then, never refunded (D17), which is for package quota to do.
const (
	StandingActive     Standing = "active"
	StandingCorrection Standing = "correction" // may send until the deadline, then it counts as suspended
	StandingSuspended  Standing = "suspended"
	StandingTerminated Standing = "terminated"
	StandingBanned     Standing = "banned"
)

// An Act changes a standing.
type Act string

// The acts.
const (
	ActCorrect   Act = "correct" // order a correction, with a deadline
	ActCure      Act = "cure"    // the correction was made
	ActSuspend   Act = "suspend"
	ActResume    Act = "resume"
	ActTerminate Act = "terminate"
	ActBan       Act = "ban"
)

var standings = map[Standing]map[Act]Standing{
	StandingActive: {ActCorrect: StandingCorrection, ActSuspend: StandingSuspended, ActTerminate: StandingTerminated, ActBan: StandingBanned},
	StandingCorrection: {ActCorrect: StandingCorrection, ActCure: StandingActive, ActSuspend: StandingSuspended,
		ActTerminate: StandingTerminated, ActBan: StandingBanned},
	StandingSuspended:  {ActResume: StandingActive, ActTerminate: StandingTerminated, ActBan: StandingBanned},
	StandingTerminated: {ActBan: StandingBanned},
}

// A StandingError says how a tenant stands. It unwraps to [ErrStanding].
type StandingError struct{ Standing Standing }

// Error implements error.
func (e *StandingError) Error() string { return "sms: tenant may not send: " + string(e.Standing) }

// Unwrap returns [ErrStanding].
func (e *StandingError) Unwrap() error { return ErrStanding }

// An Order is an operator's act against or for a tenant.
type Order struct {
	Tenant   string    `json:"tenant"`
	ID       string    `json:"id"` // the caller's, at most 64 bytes
	Act      Act       `json:"act"`
	Deadline time.Time `json:"deadline,omitzero"` // with ActCorrect
	Reason   string    `json:"reason"`            // a code, required
	By       string    `json:"by"`                // who ordered it, required
}

type standingRow struct {
	State    Standing  `json:"state"`
	Deadline time.Time `json:"deadline,omitzero"`
	Reason   string    `json:"reason"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
}

var standingRows = storage.Kind[standingRow]{Name: "sms.standing", Schema: 1}

const standingID = "tenant"

// at is the standing at an instant: a deadline that passed has passed, whether
// anybody looked or not.
func (r standingRow) at(now time.Time) Standing {
	switch {
	case r.State == "":
		return StandingActive
	case r.State == StandingCorrection && !now.Before(r.Deadline):
		return StandingSuspended
	}
	return r.State
}

// Order changes a tenant's standing. Texts already queued are dropped at
// submission while it may not send. It fails with [ErrState] if the standing
// does not allow the act.
func (s *Service) Order(ctx context.Context, o Order) (Standing, error) {
	return storage.UpdateValue(ctx, s.store, func(tx *storage.Tx) (Standing, error) { return s.OrderTx(ctx, tx, o) })
}

// OrderTx is [Service.Order] within a commit.
func (s *Service) OrderTx(_ context.Context, tx *storage.Tx, o Order) (Standing, error) {
	if err := checkIDs(o.Tenant, o.ID); err != nil {
		return "", err
	}
	now := tx.Now(s.now)
	switch {
	case len(o.ID) > 64 || o.Reason == "" || len(o.Reason) > 64 || o.By == "" || len(o.By) > 64:
		return "", badRequest("id, reason and by of 1 to 64 bytes")
	case o.Act == ActCorrect && o.Deadline.IsZero(), o.Act != ActCorrect && !o.Deadline.IsZero():
		return "", badRequest("a correction, and nothing else, has a deadline")
	case o.Deadline.UTC().Year() < 0, o.Deadline.UTC().Year() > 9999: // no record holds it
		return "", badRequest("a deadline is in the years 0 to 9999")
	}
	o.Deadline = o.Deadline.UTC().Truncate(time.Microsecond)
	return storage.Once(tx, storage.Key{Tenant: o.Tenant, Kind: "sms.order", ID: o.ID}, o, func() (Standing, error) {
		r, _, err := standingRows.Get(tx, o.Tenant, standingID)
		if err != nil {
			return "", err
		}
		from := r.at(now)
		to, ok := standings[from][o.Act]
		if !ok {
			return "", fmt.Errorf("%w: %s while %s", ErrState, o.Act, from)
		}
		r = standingRow{State: to, Deadline: o.Deadline, Reason: o.Reason, By: o.By, At: now}
		if err := s.audit(tx, o.Tenant, OperatorLog, AuditEntry{Who: o.By, What: "order." + string(o.Act), On: o.ID, Why: o.Reason}); err != nil {
			return "", err
		}
		return to, standingRows.Put(tx, o.Tenant, standingID, r)
	})
}

// Standing returns how a tenant stands now, and until when in a correction.
func (s *Service) Standing(ctx context.Context, tenant string) (st Standing, until time.Time, err error) {
	err = storage.View(ctx, s.store, func(tx *storage.Tx) error {
		r, _, err := standingRows.Peek(tx, tenant, standingID)
		if st = r.at(tx.Now(s.now)); st == StandingCorrection {
			until = r.Deadline
		}
		return err
	})
	return st, until, err
}

// maySend refuses a tenant that may not send.
func (s *Service) maySend(tx *storage.Tx, tenant string) error {
	r, _, err := standingRows.Peek(tx, tenant, standingID)
	if err != nil {
		return err
	}
	switch st := r.at(tx.Now(s.now)); st {
	case StandingActive, StandingCorrection:
		return nil
	default:
		return &StandingError{st}
	}
}

// A Tally is one line of the reconciliation report (S24): what one gateway was
// handed on one day (Asia/Shanghai).
type Tally struct {
	Gateway   string
	Day       string // as 2026-03-01
	Submitted int    // attempts
	Accepted  int
	Refused   int // definitive answers of any kind
	Unknown   int
	Delivered int
	Failed    int // undeliverable
	Counted   int // billed messages by our count
	Provider  int // and by the provider's, where it told
	Charged   int // units captured
}

// Reconcile reports the submissions of a tenant from one instant until before
// another, by day and gateway in that order. It reads every text of the tenant;
// days whose texts were let go (Policy.Keep) count whole, by their start. It fails
// with [ErrRequest] without a tenant.
func (s *Service) Reconcile(ctx context.Context, tenant string, from, to time.Time) ([]Tally, error) {
	if tenant == "" || tenant == storage.Deployment {
		return nil, badRequest("no tenant")
	}
	type key struct{ day, gateway string }
	lines := map[key]Tally{}
	for item, err := range messages.Scan(ctx, s.store, tenant, "") {
		if err != nil {
			return nil, fmt.Errorf("sms: reconcile: %w", err)
		}
		for i, a := range item.Value.Attempts {
			if a.At.Before(from) || !a.At.Before(to) {
				continue
			}
			k := key{today(a.At), a.Gateway}
			t := lines[k]
			t.Day, t.Gateway = k.day, k.gateway
			t.add(item.Value, a, i == len(item.Value.Attempts)-1)
			lines[k] = t
		}
	}
	// Of days whose texts went, the tallies are there, whole.
	for item, err := range tallies.Scan(ctx, s.store, tenant, "") {
		if err != nil {
			return nil, fmt.Errorf("sms: reconcile: %w", err)
		}
		day, err := time.ParseInLocation(time.DateOnly, item.Value.Day, shanghai)
		if err != nil || day.Before(from) || !day.Before(to) {
			continue
		}
		k := key{item.Value.Day, item.Value.Gateway}
		lines[k] = lines[k].plus(item.Value)
	}
	return slices.SortedFunc(maps.Values(lines), func(a, b Tally) int {
		return cmp.Or(strings.Compare(a.Day, b.Day), strings.Compare(a.Gateway, b.Gateway))
	}), nil
}

// plus adds two tallies of one gateway and day.
func (t Tally) plus(o Tally) Tally {
	t.Gateway, t.Day = o.Gateway, o.Day
	t.Submitted, t.Accepted, t.Refused, t.Unknown = t.Submitted+o.Submitted, t.Accepted+o.Accepted, t.Refused+o.Refused, t.Unknown+o.Unknown
	t.Delivered, t.Failed, t.Counted = t.Delivered+o.Delivered, t.Failed+o.Failed, t.Counted+o.Counted
	t.Provider, t.Charged = t.Provider+o.Provider, t.Charged+o.Charged
	return t
}

func (t *Tally) add(r row, a Attempt, last bool) {
	t.Submitted++
	if !last {
		t.Refused++
		return
	}
	switch r.State {
	case StateAccepted:
		t.Accepted++
		t.Counted += r.Counted
		t.Provider += a.Segments
		t.Charged += r.Units
	case StateSubmitting, StateUnknown, StateUnresolved:
		t.Unknown++
	default:
		t.Refused++
	}
	switch r.Delivery {
	case DeliveryDelivered:
		t.Delivered++
	case DeliveryUndeliverable:
		t.Failed++
	}
}
