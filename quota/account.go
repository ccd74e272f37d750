package quota

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/countersign/countersign/storage"
)

// known opens an account that must exist.
func (l *Ledger) known(tx *storage.Tx, tenant string, id AccountID) (*opened, error) {
	o, err := l.open(tx, tenant, id, false)
	if errors.Is(err, errNoAccount) {
		err = fmt.Errorf("%w: account", ErrNotFound)
	}
	return o, err
}

// A SuspendRequest suspends or resumes an account.
type SuspendRequest struct {
	Tenant  string    `json:"tenant"`
	ID      string    `json:"id"` // of this call
	Account AccountID `json:"account"`
	Reason  string    `json:"reason"` // a code of the host's; required
	Actor   string    `json:"actor,omitzero"`
}

// Suspend stops new holds and charges of an account at once, also of one that
// has no units yet (H26). What is held settles as ever, so that the recipients
// of running envelopes may finish (D22), and time runs on. It fails with
// [ErrRequest] or [ErrIntentMismatch].
func (l *Ledger) Suspend(ctx context.Context, req SuspendRequest) error {
	_, err := update(ctx, l, req, nothing(l.SuspendTx))
	return err
}

// SuspendTx is [Ledger.Suspend] within a commit.
func (l *Ledger) SuspendTx(ctx context.Context, tx *storage.Tx, req SuspendRequest) error {
	return l.suspend(tx, "suspend", EntrySuspend, req.Reason, req)
}

// Resume lifts a suspension. It fails as [Ledger.Suspend] does.
func (l *Ledger) Resume(ctx context.Context, req SuspendRequest) error {
	_, err := update(ctx, l, req, nothing(l.ResumeTx))
	return err
}

// ResumeTx is [Ledger.Resume] within a commit.
func (l *Ledger) ResumeTx(ctx context.Context, tx *storage.Tx, req SuspendRequest) error {
	return l.suspend(tx, "resume", EntryResume, "", req)
}

func (l *Ledger) suspend(tx *storage.Tx, op string, kind EntryKind, state string, req SuspendRequest) error {
	if err := checkIDs(req.Tenant, req.ID); err != nil {
		return err
	}
	if err := checkAccount("account", req.Account); err != nil {
		return err
	}
	if err := checkNote(req.Actor, req.Reason); err != nil {
		return err
	}
	if req.Reason == "" {
		return badRequest("reason", "required")
	}
	_, err := once(tx, req.Tenant, req.ID, op, req, func() (struct{}, error) {
		o, err := l.open(tx, req.Tenant, req.Account, true)
		if err != nil {
			return struct{}{}, err
		}
		o.Suspended = state
		if err := o.post(nil, &Entry{Kind: kind, Actor: req.Actor, Reason: req.Reason}); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, l.save(tx, o)
	})
	return err
}

func nothing[Q any](do func(context.Context, *storage.Tx, Q) error) func(context.Context, *storage.Tx, Q) (struct{}, error) {
	return func(ctx context.Context, tx *storage.Tx, req Q) (struct{}, error) {
		return struct{}{}, do(ctx, tx, req)
	}
}

// A MergeRequest brings the lots of two accounts of one person together.
type MergeRequest struct {
	Tenant string    `json:"tenant"`
	ID     string    `json:"id"`   // of this call
	From   AccountID `json:"from"` // becomes another name of To
	To     AccountID `json:"to"`
	// OpenHolds merges although From has open holds: what is held stays with
	// From until it is settled, and what comes back then moves on to To. Timed
	// holds must settle or run out first in any case.
	OpenHolds bool   `json:"open_holds,omitzero"`
	Actor     string `json:"actor,omitzero"`
	Reason    string `json:"reason,omitzero"`
}

// A Merger is the answer to [Ledger.Merge].
type Merger struct {
	Lots  []LotID `json:"lots,omitempty"` // the lots that moved
	Units Units   `json:"units"`          // the available units in them
	Held  Units   `json:"held,omitempty"` // units that stay behind until they are settled
}

// Merge moves all lots of From to To, with their windows, order and counters;
// From is another name of To from then on. It is for accounts that the host has
// bound to each other (D09): nothing else moves a lot (H23, H44). It fails with
// [ErrOpenHolds] while units of From are held, unless asked for, with
// [ErrLotFrozen] during a refund, [ErrSuspended] if From is, and with
// [ErrNotFound], [ErrTooManyLots], [ErrOverflow], [ErrRequest] or
// [ErrIntentMismatch].
func (l *Ledger) Merge(ctx context.Context, req MergeRequest) (Merger, error) {
	return update(ctx, l, req, l.MergeTx)
}

// MergeTx is [Ledger.Merge] within a commit.
func (l *Ledger) MergeTx(ctx context.Context, tx *storage.Tx, req MergeRequest) (Merger, error) {
	if err := checkIDs(req.Tenant, req.ID); err != nil {
		return Merger{}, err
	}
	if err := checkAccount("from", req.From); err != nil {
		return Merger{}, err
	}
	if err := checkAccount("to", req.To); err != nil {
		return Merger{}, err
	}
	if err := checkNote(req.Actor, req.Reason); err != nil {
		return Merger{}, err
	}
	return once(tx, req.Tenant, req.ID, "merge", req, func() (Merger, error) { return l.merge(tx, req) })
}

func (l *Ledger) merge(tx *storage.Tx, req MergeRequest) (Merger, error) {
	from, err := l.known(tx, req.Tenant, req.From)
	if err != nil {
		return Merger{}, err
	}
	to, err := l.open(tx, req.Tenant, req.To, true)
	if err != nil {
		return Merger{}, err
	}
	switch {
	case from.Account == to.Account:
		return Merger{}, badRequest("to", "the same account")
	case from.Suspended != "":
		return Merger{}, ErrSuspended
	}
	// Both journals take the later instant, so that neither runs backwards.
	at := from.at
	if to.at.After(at) {
		at = to.at
	}
	for _, o := range []*opened{from, to} {
		o.at = at
		if err := o.advance(); err != nil {
			return Merger{}, err
		}
	}
	if err := l.settleRecords(tx, from); err != nil {
		return Merger{}, err
	}
	m := Merger{}
	for i := range from.Lots {
		switch lot := &from.Lots[i]; {
		case lot.Frozen:
			return Merger{}, ErrLotFrozen
		case len(lot.Lapse) > 0:
			return Merger{}, ErrOpenHolds
		default:
			m.Held += lot.Held
		}
	}
	if m.Held > 0 && !req.OpenHolds {
		return Merger{}, ErrOpenHolds
	}
	for _, lot := range slices.Clone(from.Lots) {
		n, err := carry(from, to, lot.ID, req.Actor, req.Reason)
		if err != nil {
			return Merger{}, err
		}
		m.Lots = append(m.Lots, lot.ID)
		m.Units += n
	}
	if err := from.post(nil, &Entry{Kind: EntryAlias, Actor: req.Actor, Reason: string(to.Account)}); err != nil {
		return Merger{}, err
	}
	from.MergedInto = to.Account
	if err := l.save(tx, from); err != nil {
		return Merger{}, err
	}
	return m, l.save(tx, to)
}

// carry moves one lot of an account, but for what is held, to another account.
func carry(from, to *opened, id LotID, actor, reason string) (Units, error) {
	if len(to.Lots) >= maxLots {
		return 0, ErrTooManyLots
	}
	here := from.lot(id)
	n := here.Available()
	if err := to.room(here.Unit, n+here.Held); err != nil {
		return 0, err // what is held may follow
	}
	there := *here
	there.Granted -= here.Held + n
	there.Held, there.Lapse = 0, nil
	if err := from.post(here, &Entry{Kind: EntryMerge, Units: n, Debit: BookAvailable, Credit: BookTransit, Actor: actor, Reason: reason}); err != nil {
		return 0, err
	}
	here.Granted, here.Used, here.Expired, here.Clawed = here.Held, 0, 0, 0
	from.begin(here)
	if here.Held == 0 {
		from.Lots = slices.DeleteFunc(from.Lots, func(l Lot) bool { return l.ID == id })
	}
	p := to.insert(there)
	if err := to.post(p, &Entry{Kind: EntryMerge, Units: n, Debit: BookTransit, Credit: BookAvailable, Actor: actor, Reason: reason}); err != nil {
		return 0, err
	}
	to.begin(p)
	// The lot's record still names From, which now leads to To.
	return n, nil
}

// forward moves units that were released on a merged account to where it went,
// in the commit of the release.
func (l *Ledger) forward(tx *storage.Tx, tenant string, id AccountID) error {
	from, err := l.openExact(tx, tenant, id, false)
	if err != nil {
		return err
	}
	to, err := l.open(tx, tenant, from.MergedInto, false)
	if err != nil {
		return err
	}
	to.at = latest(to.at, from.at)
	from.at = to.at
	if err := to.advance(); err != nil {
		return err
	}
	if err := from.advance(); err != nil {
		return err
	}
	moved := false
	for i := range from.Lots {
		here := &from.Lots[i]
		n := here.Available()
		if n == 0 {
			continue
		}
		moved = true
		if err := from.post(here, &Entry{Kind: EntryMerge, Units: n, Debit: BookAvailable, Credit: BookTransit}); err != nil {
			return err
		}
		from.begin(here)
		there := to.lot(here.ID)
		if there == nil {
			rec, ok, err := lots.Get(tx, tenant, string(here.ID))
			if err == nil && (!ok || rec.End == nil) {
				err = fmt.Errorf("%w: quota: record of a moved lot is missing", storage.ErrCorrupt)
			}
			if err != nil {
				return err
			}
			there = to.insert(*rec.End)
		}
		if err := to.post(there, &Entry{Kind: EntryMerge, Units: n, Debit: BookTransit, Credit: BookAvailable}); err != nil {
			return err
		}
		to.begin(there)
		// What came back may be owed to a refund, or late, over there too.
		if _, err := to.returned(there, n, to.at, "", ""); err != nil {
			return err
		}
	}
	if !moved {
		return nil
	}
	if err := l.save(tx, from); err != nil {
		return err
	}
	return l.save(tx, to)
}
