package quota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// A Return is units that went back to the lot they came from.
type Return struct {
	Lot   LotID     `json:"lot"`
	Units Units     `json:"units"`
	Until time.Time `json:"until"`          // the lot's end, which the return does not change (D04)
	Gone  bool      `json:"gone,omitempty"` // they expired, or were clawed, at once
}

// A SettledLine is what became of one line.
type SettledLine struct {
	Slot     SlotID    `json:"slot"`
	State    LineState `json:"state"`
	Units    Units     `json:"units"`
	Returned []Return  `json:"returned,omitempty"` // lot and end of what came back (H17)
}

// A Settlement is the answer to [Ledger.Capture] and [Ledger.Release].
type Settlement struct {
	Hold  HoldID        `json:"hold"`
	At    time.Time     `json:"at"`
	Lines []SettledLine `json:"lines"`
}

// A CaptureRequest says that signers signed.
type CaptureRequest struct {
	Tenant string   `json:"tenant"`
	ID     string   `json:"id"` // of this call
	Hold   HoldID   `json:"hold"`
	Slots  []SlotID `json:"slots"` // at least one
	Actor  string   `json:"actor,omitzero"`
}

// Capture turns held units of lines into used ones, for good: a lot that ended
// meanwhile does not matter, since the units were taken when it ran (D04). It
// fails with [SettledError] if a line is settled, with [ErrHoldExpired],
// [ErrNotFound], [ErrRequest] or [ErrIntentMismatch], and then nothing has changed.
func (l *Ledger) Capture(ctx context.Context, req CaptureRequest) (Settlement, error) {
	return captures.update(ctx, l, req)
}

var (
	captures = newTasks((*CaptureRequest).near, (*books).capture)
	releases = newTasks((*ReleaseRequest).near, (*books).release)
)

// CaptureTx is [Ledger.Capture] within a commit.
func (l *Ledger) CaptureTx(ctx context.Context, tx *storage.Tx, req CaptureRequest) (Settlement, error) {
	return alone(l, tx, &req, (*books).capture)
}

// CaptureMany captures each request on its own, all in one commit; see
// [Ledger.ReserveMany].
func (l *Ledger) CaptureMany(ctx context.Context, reqs []CaptureRequest) ([]Settlement, []error, error) {
	return many(ctx, l, reqs, (*CaptureRequest).near, (*books).capture)
}

func (b *books) capture(req *CaptureRequest) (Settlement, error) {
	if err := checkSettle(req.Tenant, req.ID, req.Hold, req.Slots, req.Actor); err != nil {
		return Settlement{}, err
	}
	if len(req.Slots) == 0 {
		return Settlement{}, badRequest("slots", "required")
	}
	return b.settle(settling{req.Tenant, req.ID, b.intent("capture", req), req.Hold, req.Slots, "", req.Actor})
}

// A ReleaseRequest ends lines without a signature.
type ReleaseRequest struct {
	Tenant string   `json:"tenant"`
	ID     string   `json:"id"` // of this call
	Hold   HoldID   `json:"hold"`
	Slots  []SlotID `json:"slots,omitzero"` // empty: every line that is still held
	Cause  Cause    `json:"cause"`
	Actor  string   `json:"actor,omitzero"`
}

// Release ends lines without a signature. [Config].Settle decides for each line
// whether its units go back to their lots or stay used: by default those of
// signers invited by WeChat come back on revoke and close (H17), those of
// anyone ever invited or reminded by SMS never do (H18). Signed lines stay as
// they are; naming one is a [SettledError]. It fails as [Ledger.Capture] does.
func (l *Ledger) Release(ctx context.Context, req ReleaseRequest) (Settlement, error) {
	return releases.update(ctx, l, req)
}

// ReleaseTx is [Ledger.Release] within a commit.
func (l *Ledger) ReleaseTx(ctx context.Context, tx *storage.Tx, req ReleaseRequest) (Settlement, error) {
	return alone(l, tx, &req, (*books).release)
}

// ReleaseMany releases each request on its own, all in one commit; see
// [Ledger.ReserveMany].
func (l *Ledger) ReleaseMany(ctx context.Context, reqs []ReleaseRequest) ([]Settlement, []error, error) {
	return many(ctx, l, reqs, (*ReleaseRequest).near, (*books).release)
}

func (b *books) release(req *ReleaseRequest) (Settlement, error) {
	if err := checkSettle(req.Tenant, req.ID, req.Hold, req.Slots, req.Actor); err != nil {
		return Settlement{}, err
	}
	if !req.Cause.known() {
		return Settlement{}, badRequest("cause", "unknown")
	}
	return b.settle(settling{req.Tenant, req.ID, b.intent("release", req), req.Hold, req.Slots, req.Cause, req.Actor})
}

// settling is a Capture (no cause) or a Release.
type settling struct {
	tenant string
	id     string
	intent [32]byte
	hold   HoldID
	slots  []SlotID
	cause  Cause
	actor  string
}

func (b *books) settle(s settling) (Settlement, error) {
	return storage.OnceWith(b.tx, ops.Key(s.tenant, s.id), s.intent, &settlements, func() (Settlement, error) { return b.settleHold(&s) })
}

func (b *books) settleHold(s *settling) (Settlement, error) {
	rec, err := b.l.loadHold(b.tx, s.tenant, s.hold)
	if err != nil {
		return Settlement{}, err
	}
	var few [8]*Line
	lines, err := pick(&rec.Hold, s.slots, few[:0])
	if err != nil {
		return Settlement{}, err
	}
	st, err := b.settleLines(&rec.Hold, lines, s)
	if err != nil || len(lines) == 0 {
		return st, err
	}
	rec.Rev++
	if err := holds.keep(b.tx, s.tenant, string(s.hold), rec); err != nil {
		return Settlement{}, err
	}
	freeHold(rec) // st shares nothing with it
	return st, nil
}

// settleLines settles lines of a hold on the accounts that paid for them.
func (b *books) settleLines(h *Hold, lines []*Line, s *settling) (_ Settlement, err error) {
	now := b.tx.Now(b.l.cfg.Now)
	var few [4]*opened
	order := few[:0] // the accounts that paid: one, but for holds of signers who pay
	for _, line := range lines {
		if line.Units == 0 {
			continue
		}
		payer := line.payer(h)
		if paying(order, payer) != nil {
			continue
		}
		o, err := b.exact(s.tenant, payer)
		if errors.Is(err, errNoAccount) {
			err = fmt.Errorf("%w: quota: account of a held line is missing", storage.ErrCorrupt)
		}
		if err != nil {
			return Settlement{}, err
		}
		if o.at.After(now) {
			now = o.at
		}
		order = append(order, o)
	}
	if !h.Expires.IsZero() && !now.Before(h.Expires) {
		return Settlement{}, ErrHoldExpired
	}
	b.changed = true
	st := Settlement{Hold: h.ID, At: now, Lines: b.settled.take(len(lines), b.left)}
	for i, line := range lines {
		if st.Lines[i], err = b.l.settleLine(paying(order, line.payer(h)), h, line, s); err != nil {
			return Settlement{}, err
		}
		line.Settled, line.Cause = now, s.cause
	}
	for _, o := range order {
		o.booked = true
	}
	if !slices.ContainsFunc(order, func(o *opened) bool { return o.MergedInto != "" }) {
		return st, nil
	}
	if err := b.close(); err != nil {
		return Settlement{}, err
	}
	for _, o := range order {
		if o.MergedInto == "" {
			continue
		}
		if err := b.l.forward(b.tx, s.tenant, o.Account); err != nil {
			return Settlement{}, err
		}
	}
	return st, nil
}

func paying(accounts []*opened, id AccountID) *opened {
	for _, o := range accounts {
		if o.Account == id {
			return o
		}
	}
	return nil
}

func (l *Ledger) settleLine(o *opened, h *Hold, line *Line, s *settling) (SettledLine, error) {
	done := SettledLine{Slot: line.Slot, Units: line.Units}
	switch {
	case s.cause == "":
		line.State = Captured
	case l.verdict(*line, s.cause) == Release:
		line.State = Released
	default:
		line.State = Forfeited
	}
	done.State = line.State
	// Returns take the slices in reverse: what was taken last goes back first.
	for _, slice := range slices.Backward(line.From) {
		var err error
		switch line.State {
		case Released:
			var r Return
			r, err = o.release(slice, h.ID, line.Slot, *line, h.Expires, s.actor, string(s.cause))
			done.Returned = append(done.Returned, r)
		case Forfeited:
			err = o.spend(EntryForfeit, slice, h.ID, line.Slot, h.Expires, s.actor, string(s.cause))
		default:
			err = o.spend(EntryCapture, slice, h.ID, line.Slot, h.Expires, s.actor, "")
		}
		if err != nil {
			return SettledLine{}, err
		}
	}
	return done, nil
}

// verdict asks the host's policy, which may keep what it is shown.
func (l *Ledger) verdict(line Line, cause Cause) Verdict {
	line.From = slices.Clone(line.From)
	return l.cfg.Settle(line, cause)
}

func (line *Line) payer(h *Hold) AccountID {
	if line.Account != "" {
		return line.Account
	}
	return h.Account
}

// pick appends the named lines of a hold, which must all be held; without names
// all that are.
func pick(h *Hold, slots []SlotID, out []*Line) ([]*Line, error) {
	if len(slots) == 0 {
		for i := range h.Lines {
			if h.Lines[i].State == Held {
				out = append(out, &h.Lines[i])
			}
		}
		return out, nil
	}
	for n, slot := range slots {
		if slices.Contains(slots[:n], slot) {
			return nil, badRequest("slots", "named twice")
		}
		i := slices.IndexFunc(h.Lines, func(line Line) bool { return line.Slot == slot })
		if i < 0 {
			return nil, fmt.Errorf("%w: slot", ErrNotFound)
		}
		if line := &h.Lines[i]; line.State != Held {
			return nil, &SettledError{Slot: slot, State: line.State, At: line.Settled}
		}
		out = append(out, &h.Lines[i])
	}
	return out, nil
}

func (l *Ledger) loadHold(tx *storage.Tx, tenant string, id HoldID) (*holdRecord, error) {
	rec, err := holds.own(tx, tenant, string(id))
	if err == nil && rec == nil {
		err = fmt.Errorf("%w: hold", ErrNotFound)
	}
	return rec, err
}

// A MarkChannelRequest notes how a signer was invited or reminded.
type MarkChannelRequest struct {
	Tenant   string  `json:"tenant"`
	ID       string  `json:"id"` // of this call
	Hold     HoldID  `json:"hold"`
	Slot     SlotID  `json:"slot"`
	Channel  Channel `json:"channel"`
	Reminder bool    `json:"reminder,omitzero"` // not the invitation; see [Config].RemindersReturn
}

// MarkChannel notes that an invitation or reminder was queued, in the commit
// that queues it. Once a channel such as SMS was used the line is sticky: no
// later channel cures it (D02, D24). It returns the line as it stands, and
// fails with [ErrUnknownChannel], [SettledError], [ErrHoldExpired],
// [ErrNotFound], [ErrRequest] or [ErrIntentMismatch].
func (l *Ledger) MarkChannel(ctx context.Context, req MarkChannelRequest) (Line, error) {
	return update(ctx, l, req, l.MarkChannelTx)
}

// MarkChannelTx is [Ledger.MarkChannel] within a commit.
func (l *Ledger) MarkChannelTx(ctx context.Context, tx *storage.Tx, req MarkChannelRequest) (Line, error) {
	if err := checkSettle(req.Tenant, req.ID, req.Hold, []SlotID{req.Slot}, ""); err != nil {
		return Line{}, err
	}
	back, known := l.cfg.Channels[req.Channel]
	if !known {
		return Line{}, fmt.Errorf("%w: %q", ErrUnknownChannel, req.Channel)
	}
	return once(tx, req.Tenant, req.ID, "mark", req, func() (Line, error) {
		rec, err := l.loadHold(tx, req.Tenant, req.Hold)
		if err != nil {
			return Line{}, err
		}
		lines, err := pick(&rec.Hold, []SlotID{req.Slot}, nil)
		if err != nil {
			return Line{}, err
		}
		if !rec.Expires.IsZero() && !tx.Now(l.cfg.Now).Before(rec.Expires) {
			return Line{}, ErrHoldExpired
		}
		line := lines[0]
		line.Channel = req.Channel
		if !back && (!req.Reminder || !l.cfg.RemindersReturn) {
			line.Sticky = true
		}
		rec.Rev++
		return *line, holds.keep(tx, req.Tenant, string(req.Hold), rec)
	})
}

// An AmendRequest changes the signers of a hold.
type AmendRequest struct {
	Tenant string        `json:"tenant"`
	ID     string        `json:"id"` // of this call
	Hold   HoldID        `json:"hold"`
	Add    []LineRequest `json:"add,omitzero"`    // charged now, at the rate in force now (D08)
	Remove []SlotID      `json:"remove,omitzero"` // unsigned ones, settled under [Removed]
	Actor  string        `json:"actor,omitzero"`
}

// An Amendment is the answer to [Ledger.Amend].
type Amendment struct {
	Rev     uint64     `json:"rev"`
	Added   []Line     `json:"added,omitempty"`
	Removed Settlement `json:"removed"`
}

// Amend adds and removes signers, all of it or nothing. A slot that was removed
// cannot come back under its name. It fails as [Ledger.Reserve] and
// [Ledger.Release] do.
func (l *Ledger) Amend(ctx context.Context, req AmendRequest) (Amendment, error) {
	return update(ctx, l, req, l.AmendTx)
}

// AmendTx is [Ledger.Amend] within a commit.
func (l *Ledger) AmendTx(ctx context.Context, tx *storage.Tx, req AmendRequest) (Amendment, error) {
	if err := checkSettle(req.Tenant, req.ID, req.Hold, req.Remove, req.Actor); err != nil {
		return Amendment{}, err
	}
	if len(req.Add) == 0 && len(req.Remove) == 0 {
		return Amendment{}, badRequest("add", "nothing to add or remove")
	}
	return once(tx, req.Tenant, req.ID, "amend", req, func() (Amendment, error) { return l.amend(tx, req) })
}

func (l *Ledger) amend(tx *storage.Tx, req AmendRequest) (Amendment, error) {
	rec, err := l.loadHold(tx, req.Tenant, req.Hold)
	if err != nil {
		return Amendment{}, err
	}
	if err := checkLines(req.Add, rec.Lines); err != nil {
		return Amendment{}, err
	}
	now := tx.Now(l.cfg.Now)
	if !rec.Expires.IsZero() && !now.Before(rec.Expires) {
		return Amendment{}, ErrHoldExpired
	}
	rec.Rev++
	a := Amendment{Rev: rec.Rev, Removed: Settlement{Hold: rec.ID, At: now}}
	if len(req.Remove) > 0 {
		lines, err := pick(&rec.Hold, req.Remove, nil)
		if err != nil {
			return Amendment{}, err
		}
		var b books
		b.reset(l, tx)
		a.Removed, err = b.settleLines(&rec.Hold, lines, &settling{tenant: req.Tenant, cause: Removed, actor: req.Actor})
		if err == nil {
			err = b.close()
		}
		if err != nil {
			return Amendment{}, err
		}
	}
	if len(req.Add) > 0 {
		a.Added = make([]Line, len(req.Add))
	}
	if _, err = l.price(a.Added, req.Add, now, rec.Rev); err != nil {
		return Amendment{}, err
	}
	if paid(a.Added) {
		o, err := l.open(tx, req.Tenant, rec.Account, true)
		if err != nil {
			return Amendment{}, err
		}
		if !rec.Expires.IsZero() && !o.at.Before(rec.Expires) {
			return Amendment{}, ErrHoldExpired
		}
		if err := o.pays(a.Added, new(books)); err != nil {
			return Amendment{}, err
		}
		if err := o.take(&rec.Hold, a.Added, false, req.Actor); err != nil {
			return Amendment{}, err
		}
		if err := l.save(tx, o); err != nil {
			return Amendment{}, err
		}
		now = o.at
		for i := range a.Added {
			if o.Account != rec.Account {
				a.Added[i].Account = o.Account
			}
		}
	}
	for i := range a.Added {
		a.Added[i].Held = now
	}
	rec.Lines, rec.terms = append(rec.Lines, a.Added...), ""
	return a, holds.keep(tx, req.Tenant, string(req.Hold), rec)
}

func checkSettle(tenant, id string, hold HoldID, slots []SlotID, actor string) error {
	if err := checkIDs(tenant, id); err != nil {
		return err
	}
	if err := checkID("hold", hold); err != nil {
		return err
	}
	for _, slot := range slots {
		if err := checkID("slot", slot); err != nil {
			return err
		}
	}
	return checkText("actor", actor)
}
