package quota

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

// A GrantRequest adds a lot to an account.
type GrantRequest struct {
	Tenant   string       `json:"tenant"`
	ID       LotID        `json:"id"` // the order line; no tilde
	Account  AccountID    `json:"account"`
	Unit     Unit         `json:"unit"`
	Units    Units        `json:"units"`             // above 0
	Scope    []ChargeKind `json:"scope,omitzero"`    // the kinds it pays for; empty: all of its unit (D15)
	Priority int16        `json:"priority,omitzero"` // lower is spent first
	Source   Source       `json:"source,omitzero"`   // empty: [Bought]
	// From is when the lot begins; zero: with this commit, as a package does that
	// is credited when it is paid (T08).
	From time.Time `json:"from,omitzero"`
	// Until or Term gives its end: an instant, or a length from From (H13).
	Until  time.Time `json:"until,omitzero"`
	Term   Term      `json:"term,omitzero"`
	Order  string    `json:"order,omitzero"` // the purchase it belongs to
	Actor  string    `json:"actor,omitzero"`
	Reason string    `json:"reason,omitzero"`
}

// Grant adds a lot and returns it as granted. Nobody can move it to another
// account (H23, H44); only [Ledger.Merge] of bound accounts does. It fails with
// [ErrRequest], [ErrTooManyLots], [ErrOverflow] or [ErrIntentMismatch].
func (l *Ledger) Grant(ctx context.Context, req GrantRequest) (Lot, error) {
	return update(ctx, l, req, l.GrantTx)
}

// GrantTx is [Ledger.Grant] within a commit.
func (l *Ledger) GrantTx(ctx context.Context, tx *storage.Tx, req GrantRequest) (Lot, error) {
	return l.grant(tx, "grant", req)
}

// GrantMany grants each lot on its own, all in one commit; see
// [Ledger.ReserveMany].
func (l *Ledger) GrantMany(ctx context.Context, reqs []GrantRequest) ([]Lot, []error, error) {
	return many(ctx, l, reqs, (*GrantRequest).near, func(b *books, req *GrantRequest) (Lot, error) {
		b.changed = true // what is refused may have begun
		return l.GrantTx(ctx, b.tx, *req)
	})
}

// Adjust adds units that nobody bought, to correct an account: a grant of
// source [Adjusted] with a reason, which is required. The journal itself is
// never edited. It fails as [Ledger.Grant] does.
func (l *Ledger) Adjust(ctx context.Context, req GrantRequest) (Lot, error) {
	return update(ctx, l, req, l.AdjustTx)
}

// AdjustTx is [Ledger.Adjust] within a commit.
func (l *Ledger) AdjustTx(ctx context.Context, tx *storage.Tx, req GrantRequest) (Lot, error) {
	if req.Reason == "" {
		return Lot{}, badRequest("reason", "required")
	}
	if req.Source != "" && req.Source != Adjusted {
		return Lot{}, badRequest("source", "must be adjusted")
	}
	req.Source = Adjusted
	return l.grant(tx, "adjust", req)
}

func (l *Ledger) grant(tx *storage.Tx, op string, req GrantRequest) (Lot, error) {
	if err := checkGrant(req); err != nil {
		return Lot{}, err
	}
	req.From, req.Until = instant(req.From), instant(req.Until)
	sum := intent(op, req)
	want := hex.EncodeToString(sum[:])
	rec, ok, err := lots.Get(tx, req.Tenant, string(req.ID))
	if err != nil {
		return Lot{}, err
	}
	if ok {
		if rec.Intent != want {
			return Lot{}, fmt.Errorf("%w: lot", ErrIntentMismatch)
		}
		return rec.Lot, nil
	}
	o, err := l.open(tx, req.Tenant, req.Account, true)
	if err != nil {
		return Lot{}, err
	}
	lot := Lot{
		ID: req.ID, Unit: req.Unit, Scope: sortScope(req.Scope), Priority: req.Priority, Source: req.Source,
		From: req.From, Until: req.Until, Order: req.Order, Credited: o.at,
	}
	if lot.Source == "" {
		lot.Source = Bought
	}
	if lot.From.IsZero() {
		lot.From = o.at
	}
	if lot.Until.IsZero() {
		if lot.Until, _, err = req.Term.After(lot.From, 0); err != nil {
			return Lot{}, err
		}
	}
	if !lot.Until.After(lot.From) || !lot.Until.After(o.at) {
		return Lot{}, badRequest("until", "not after the lot begins")
	}
	if err := o.room(lot.Unit, req.Units); err != nil {
		return Lot{}, err
	}
	if err := o.journal.grant(lot, req.Units, o.at, req.Actor, req.Reason); err != nil {
		return Lot{}, err
	}
	made := o.born[len(o.born)-1]
	o.born = o.born[:len(o.born)-1]
	if err := lots.Create(tx, req.Tenant, string(req.ID), lotRecord{Account: o.Account, Intent: want, Lot: made}); err != nil {
		return Lot{}, err
	}
	return made, l.save(tx, o)
}

// room refuses units that an account's other units of the kind leave no room for:
// sums over live lots must fit.
func (j *journal) room(unit Unit, n Units) error {
	for i := range j.Lots {
		if l := &j.Lots[i]; l.Unit == unit {
			if n += l.Available() + l.Held; n < 0 {
				return overflow("units of an account")
			}
		}
	}
	return nil
}

func checkGrant(req GrantRequest) error {
	if err := checkIDs(req.Tenant, req.ID); err != nil {
		return err
	}
	if err := checkAccount("account", req.Account); err != nil {
		return err
	}
	if err := checkText("order", req.Order); err != nil {
		return err
	}
	if err := checkNote(req.Actor, req.Reason); err != nil {
		return err
	}
	switch {
	case strings.Contains(string(req.ID), "~"):
		return badRequest("id", "a tilde marks lots that the ledger makes itself")
	case req.Unit == "" || len(req.Unit) > maxPart:
		return badRequest("unit", "required, at most 64 bytes")
	case req.Units <= 0:
		return badRequest("units", "must be above 0")
	case req.Until.IsZero() == req.Term.IsZero():
		return badRequest("until", "either an instant or a term")
	}
	for _, t := range []time.Time{req.From, req.Until} {
		if y := t.UTC().Year(); y < 0 || y > 9999 { // no record holds it
			return badRequest("from or until", "not in the years 0 to 9999")
		}
	}
	switch req.Source {
	case "", Bought, Given, Adjusted:
	default:
		return badRequest("source", "unknown")
	}
	for _, k := range req.Scope {
		if k == "" || len(k) > maxPart {
			return badRequest("scope", "a kind is empty or longer than 64 bytes")
		}
	}
	return nil
}

// A ClawRequest takes units back that were obtained by abuse (H24, T33).
type ClawRequest struct {
	Tenant  string    `json:"tenant"`
	ID      string    `json:"id"` // of this call
	Account AccountID `json:"account"`
	Lot     LotID     `json:"lot,omitzero"`   // empty: every live lot
	Units   Units     `json:"units,omitzero"` // 0: all that is available
	Actor   string    `json:"actor"`          // required
	Reason  string    `json:"reason"`         // required
}

// A Clawback is the answer to [Ledger.Claw].
type Clawback struct {
	Units Units `json:"units"` // taken
	Short Units `json:"short"` // asked for, but not available
}

// Claw takes units that are available, at most as many as asked for: held and
// used ones stay, and the shortfall is returned. Of several lots those spent
// last go first; lots frozen by a refund are left alone, and naming one is
// [ErrLotFrozen]. It fails further with [ErrNotFound], [ErrRequest] or
// [ErrIntentMismatch].
func (l *Ledger) Claw(ctx context.Context, req ClawRequest) (Clawback, error) {
	return update(ctx, l, req, l.ClawTx)
}

// ClawTx is [Ledger.Claw] within a commit.
func (l *Ledger) ClawTx(ctx context.Context, tx *storage.Tx, req ClawRequest) (Clawback, error) {
	if err := checkIDs(req.Tenant, req.ID); err != nil {
		return Clawback{}, err
	}
	if err := checkAccount("account", req.Account); err != nil {
		return Clawback{}, err
	}
	if err := checkNote(req.Actor, req.Reason); err != nil {
		return Clawback{}, err
	}
	switch {
	case req.Reason == "":
		return Clawback{}, badRequest("reason", "required")
	case req.Actor == "":
		return Clawback{}, badRequest("actor", "required")
	case req.Units < 0:
		return Clawback{}, badRequest("units", "negative")
	}
	return once(tx, req.Tenant, req.ID, "claw", req, func() (Clawback, error) {
		o, err := l.known(tx, req.Tenant, req.Account)
		if err != nil {
			return Clawback{}, err
		}
		if req.Lot != "" {
			lot := o.lot(req.Lot)
			switch {
			case lot == nil:
				return Clawback{}, fmt.Errorf("%w: live lot", ErrNotFound)
			case lot.Frozen:
				return Clawback{}, ErrLotFrozen
			}
		}
		c := Clawback{Short: req.Units}
		for i := len(o.Lots) - 1; i >= 0; i-- {
			lot := &o.Lots[i]
			n := lot.Available()
			if req.Lot != "" && lot.ID != req.Lot || lot.Frozen {
				continue
			}
			if req.Units > 0 {
				n = min(n, c.Short)
				c.Short -= n
			}
			if n == 0 {
				continue
			}
			c.Units += n
			err := o.post(lot, &Entry{Kind: EntryClaw, Units: n, Debit: BookAvailable, Credit: BookClawed, Actor: req.Actor, Reason: req.Reason})
			if err != nil {
				return Clawback{}, err
			}
		}
		return c, l.save(tx, o)
	})
}
