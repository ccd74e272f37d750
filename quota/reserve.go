package quota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// A LineRequest asks for one signer's place.
type LineRequest struct {
	Slot SlotID     `json:"slot"` // unique in the hold
	Kind ChargeKind `json:"kind"` // priced by [Config].Rates
	// Channel is how the signer is invited in this very commit; empty when the
	// invitation goes out later, with [Ledger.MarkChannel]. A channel such as
	// SMS makes the line sticky at once (D24).
	Channel Channel `json:"channel,omitzero"`
	// Free, if set, is why the line costs nothing, such as "member" (D01): it is
	// kept with 0 units.
	Free string `json:"free,omitzero"`
	// Quantity multiplies the rate, for messages of several parts; 0 is 1.
	Quantity int64 `json:"quantity,omitzero"`
}

// A ReserveRequest asks to hold units for signers.
type ReserveRequest struct {
	Tenant  string        `json:"tenant"`
	ID      HoldID        `json:"id"`
	Account AccountID     `json:"account"` // who pays
	Ref     string        `json:"ref,omitzero"`
	Lines   []LineRequest `json:"lines"` // 1 to 1000
	// TTL makes a timed hold, whose units come back by themselves; 0 holds until
	// settled. The end is rounded up, see [Hold].Expires.
	TTL   time.Duration `json:"ttl,omitzero"`
	Actor string        `json:"actor,omitzero"`
}

// Reserve holds units for all lines or for none. What a line costs, and from
// which lots, is decided now and never again. A hold whose lines are all free
// reads and touches no account.
//
// Repeated under its id it gives the answer it gave first, even after lines
// were settled; use [Ledger.Hold] for the state of the moment. It fails with
// [InsufficientError], [ErrSuspended], [ErrUnknownChannel], [ErrUnknownKind],
// [ErrRequest] or [ErrIntentMismatch], and then nothing has changed.
func (l *Ledger) Reserve(ctx context.Context, req ReserveRequest) (Hold, error) {
	return reserves.update(ctx, l, req)
}

var reserves = newTasks((*ReserveRequest).near, (*books).reserve)

// ReserveTx is [Ledger.Reserve] within a commit.
func (l *Ledger) ReserveTx(ctx context.Context, tx *storage.Tx, req ReserveRequest) (Hold, error) {
	return alone(l, tx, &req, (*books).reserve)
}

// A ChargeRequest asks to use units at once.
type ChargeRequest struct {
	Tenant  string        `json:"tenant"`
	ID      HoldID        `json:"id"` // signer-pays: the envelope's hold, a slash, the slot
	Account AccountID     `json:"account"`
	Ref     string        `json:"ref,omitzero"`
	Lines   []LineRequest `json:"lines"`
	Actor   string        `json:"actor,omitzero"`
}

// Charge is Reserve and Capture in one: with signer-pays (签字人付费) the signer
// is charged in the commit of the signature, and a shortfall fails that (H48,
// D06). Its lines are [Captured] at once. It fails as [Ledger.Reserve] does.
func (l *Ledger) Charge(ctx context.Context, req ChargeRequest) (Hold, error) {
	return update(ctx, l, req, l.ChargeTx)
}

// ChargeTx is [Ledger.Charge] within a commit.
func (l *Ledger) ChargeTx(ctx context.Context, tx *storage.Tx, req ChargeRequest) (Hold, error) {
	hold := ReserveRequest{Tenant: req.Tenant, ID: req.ID, Account: req.Account, Ref: req.Ref, Lines: req.Lines, Actor: req.Actor}
	return alone(l, tx, &hold, (*books).charge)
}

// ReserveMany reserves each request on its own, all in one commit: a refusal
// of one leaves the others. Answers and errors are in the order of the requests.
func (l *Ledger) ReserveMany(ctx context.Context, reqs []ReserveRequest) ([]Hold, []error, error) {
	return many(ctx, l, reqs, (*ReserveRequest).near, (*books).reserve)
}

func (b *books) reserve(req *ReserveRequest) (Hold, error) { return b.newHold("reserve", req) }

func (b *books) charge(req *ReserveRequest) (Hold, error) { return b.newHold("charge", req) }

func (b *books) newHold(op string, req *ReserveRequest) (Hold, error) {
	charge := op == "charge"
	if err := checkReserve(req); err != nil {
		return Hold{}, err
	}
	want := digest(b.intent(op, req))
	rec, err := holds.own(b.tx, req.Tenant, string(req.ID))
	if err != nil {
		return Hold{}, err
	}
	if rec != nil {
		if rec.Intent != want {
			return Hold{}, fmt.Errorf("%w: hold", ErrIntentMismatch)
		}
		return b.l.first(rec), nil
	}
	now := b.tx.Now(b.l.cfg.Now)
	lines := b.lines.take(len(req.Lines), b.left)
	version, err := b.l.price(lines, req.Lines, now, 1)
	if err != nil {
		return Hold{}, err
	}
	rec = &b.rec
	*rec = holdRecord{Intent: want, Charged: charge, Opened: rec.Opened[:0]}
	rec.Hold = Hold{ID: req.ID, Account: req.Account, Ref: req.Ref, Rates: version, Lines: lines, Rev: 1}
	for i := range req.Lines {
		rec.Opened = append(rec.Opened, req.Lines[i].Channel)
	}
	if req.TTL > 0 {
		rec.Expires = expiry(now, req.TTL)
	}
	if paid(lines) {
		o, err := b.open(req.Tenant, req.Account)
		if errors.Is(err, errNoAccount) {
			_, err = (&journal{head: &head{}, at: now}).plan(asks(lines))
			return Hold{}, err
		}
		if err != nil {
			return Hold{}, err
		}
		rec.Account, now = o.Account, o.at
		if req.TTL > 0 {
			rec.Expires = expiry(now, req.TTL) // from the account's instant, which may be later
		}
		if err := o.pays(lines, b); err != nil {
			return Hold{}, err
		}
		b.changed = true
		if err := o.take(&rec.Hold, lines, charge, req.Actor); err != nil {
			return Hold{}, err
		}
		o.booked = true
	}
	for i := range lines {
		lines[i].Held = now
		if charge {
			lines[i].State, lines[i].Settled = Captured, now
		}
	}
	b.changed = true
	if err := holds.create(b.tx, req.Tenant, string(req.ID), rec); err != nil {
		return Hold{}, err
	}
	hold := rec.Hold
	rec.Hold = Hold{} // which is the caller's now
	return hold, nil
}

// pays finds the lots that pay for lines, or says why none do.
func (o *opened) pays(lines []Line, b *books) error {
	if o.Suspended != "" {
		return ErrSuspended
	}
	ok := false
	if b.slices, ok = o.serve(lines, b.slices.room(len(lines), b.left)); ok {
		return nil
	}
	planned, err := o.plan(asks(lines))
	if err != nil {
		return err
	}
	for i := range lines {
		lines[i].From = planned[i]
	}
	return nil
}

// take takes what pays for lines of a hold, and captures it at once if asked to.
func (o *opened) take(h *Hold, lines []Line, charge bool, actor string) error {
	for i := range lines {
		line := &lines[i]
		for k := range line.From {
			if err := o.hold(&line.From[k], h.ID, line.Slot, h.Expires, actor); err != nil {
				return err
			}
			if !charge {
				continue
			}
			if err := o.spend(EntryCapture, line.From[k], h.ID, line.Slot, h.Expires, actor, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// first is the answer that the call which made a hold gave.
func (l *Ledger) first(rec *holdRecord) Hold {
	h := rec.Hold
	h.Rev = 1
	h.Lines = slices.DeleteFunc(slices.Clone(h.Lines), func(line Line) bool { return line.Since > 1 })
	for i := range h.Lines {
		line := &h.Lines[i]
		if i < len(rec.Opened) {
			line.Channel = rec.Opened[i]
			line.Sticky = line.Channel != "" && !l.cfg.Channels[line.Channel]
		}
		if !rec.Charged {
			line.State, line.Settled, line.Cause = Held, time.Time{}, ""
		}
	}
	return h
}

// price turns requests into lines, empty so far: weight by the tariff in force, stickiness by
// the channel.
func (l *Ledger) price(lines []Line, reqs []LineRequest, now time.Time, rev uint64) (version int, err error) {
	tariff := l.cfg.Rates.at(now)
	if tariff == nil {
		tariff = new(RateVersion) // which knows no kind
	}
	for i := range reqs {
		r, line := &reqs[i], &lines[i]
		line.Slot, line.Kind, line.Channel, line.State, line.Free, line.Since = r.Slot, r.Kind, r.Channel, Held, r.Free, rev
		if r.Channel != "" {
			back, known := l.cfg.Channels[r.Channel]
			if !known {
				return 0, fmt.Errorf("%w: %q", ErrUnknownChannel, r.Channel)
			}
			line.Sticky = !back
		}
		if r.Free == "" {
			rate, known := tariff.Kinds[r.Kind]
			if !known {
				return 0, fmt.Errorf("%w: %q", ErrUnknownKind, r.Kind)
			}
			n := Units(max(r.Quantity, 1))
			line.Unit, line.Units = rate.Unit, rate.Units*n
			if rate.Units != 0 && line.Units/rate.Units != n {
				return 0, overflow("units of a line")
			}
			if line.Units == 0 {
				line.Free = "rate"
			}
		}
	}
	return tariff.Version, nil
}

func asks(lines []Line) []ask {
	out := make([]ask, len(lines))
	for i, line := range lines {
		out[i] = ask{line.Kind, line.Unit, line.Units}
	}
	return out
}

func paid(lines []Line) bool {
	return slices.ContainsFunc(lines, func(line Line) bool { return line.Units > 0 })
}

func checkReserve(req *ReserveRequest) error {
	if err := checkIDs(req.Tenant, req.ID); err != nil {
		return err
	}
	if err := checkAccount("account", req.Account); err != nil {
		return err
	}
	if err := checkText("ref", req.Ref); err != nil {
		return err
	}
	if err := checkText("actor", req.Actor); err != nil {
		return err
	}
	if req.TTL < 0 {
		return badRequest("ttl", "negative")
	}
	if len(req.Lines) == 0 {
		return badRequest("lines", "required")
	}
	return checkLines(req.Lines, nil)
}

// checkLines checks lines that join those already in a hold.
func checkLines(lines []LineRequest, there []Line) error {
	if len(lines)+len(there) > maxLines {
		return badRequest("lines", "more than 1000")
	}
	var seen map[SlotID]bool
	if len(lines)+len(there) > 1 {
		seen = make(map[SlotID]bool, len(lines)+len(there))
		for _, line := range there {
			seen[line.Slot] = true
		}
	}
	for _, line := range lines {
		if err := checkID("slot", line.Slot); err != nil {
			return err
		}
		if seen[line.Slot] {
			return badRequest("slot", "twice in a hold")
		}
		if seen != nil {
			seen[line.Slot] = true
		}
		if err := checkText("free", line.Free); err != nil {
			return err
		}
		if line.Kind == "" {
			return badRequest("kind", "required")
		}
		if line.Quantity < 0 {
			return badRequest("quantity", "negative")
		}
	}
	return nil
}
