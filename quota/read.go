package quota

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// A BalanceRequest names an account.
type BalanceRequest struct {
	Tenant  string
	Account AccountID
}

// A UnitBalance is what an account has of one unit.
type UnitBalance struct {
	Unit      Unit      `json:"unit"`
	Spendable Units     `json:"spendable"`
	Held      Units     `json:"held"`
	Frozen    Units     `json:"frozen,omitempty"`    // available, but in lots that a refund froze
	Upcoming  Units     `json:"upcoming,omitempty"`  // in lots that have not begun
	NextEnd   time.Time `json:"next_end,omitzero"`   // when the next spendable units expire
	NextUnits Units     `json:"next_units,omitzero"` // how many expire then
}

// A Balance is what an account has at an instant.
type Balance struct {
	Account   AccountID     `json:"account"` // where a merged account went
	At        time.Time     `json:"at"`
	Units     []UnitBalance `json:"units"` // by unit
	Suspended string        `json:"suspended,omitempty"`
}

// Of returns what the balance has of a unit, zero if nothing.
func (b Balance) Of(unit Unit) UnitBalance {
	for _, u := range b.Units {
		if u.Unit == unit {
			return u
		}
	}
	return UnitBalance{Unit: unit}
}

// Balance returns what an account has now: units of ended lots are gone whether
// or not a sweep has run (H15). An account that never had a lot has nothing,
// which is no error.
func (l *Ledger) Balance(ctx context.Context, req BalanceRequest) (Balance, error) {
	return view(ctx, l, req, l.BalanceTx)
}

// BalanceTx is [Ledger.Balance] within a commit.
func (l *Ledger) BalanceTx(ctx context.Context, tx *storage.Tx, req BalanceRequest) (Balance, error) {
	o, err := l.read(tx, req.Tenant, req.Account)
	if err != nil {
		return Balance{}, err
	}
	return balance(&o.journal), nil
}

// read opens an account for a read: an absent one is empty.
func (l *Ledger) read(tx *storage.Tx, tenant string, id AccountID) (*opened, error) {
	if err := checkTenant(tenant); err != nil {
		return nil, err
	}
	if err := checkAccount("account", id); err != nil {
		return nil, err
	}
	o, err := l.open(tx, tenant, id, false)
	if errors.Is(err, errNoAccount) {
		return &opened{journal: journal{head: &head{Account: id}, at: tx.Now(l.cfg.Now)}, tenant: tenant, fresh: true}, nil
	}
	return o, err
}

func balance(j *journal) Balance {
	b := Balance{Account: j.Account, At: j.at, Units: []UnitBalance{}, Suspended: j.Suspended}
	for i := range j.Lots {
		lot := &j.Lots[i]
		k, ok := slices.BinarySearchFunc(b.Units, lot.Unit, func(u UnitBalance, unit Unit) int { return cmp.Compare(u.Unit, unit) })
		if !ok {
			b.Units = slices.Insert(b.Units, k, UnitBalance{Unit: lot.Unit})
		}
		u := &b.Units[k]
		u.Held += lot.Held
		switch n := lot.Spendable(j.at); {
		case lot.Frozen:
			u.Frozen += lot.Available()
		case j.at.Before(lot.From):
			u.Upcoming += lot.Available()
		case n > 0:
			u.Spendable += n
			if u.NextEnd.IsZero() || lot.Until.Before(u.NextEnd) {
				u.NextEnd, u.NextUnits = lot.Until, 0
			}
			if lot.Until.Equal(u.NextEnd) {
				u.NextUnits += n
			}
		}
	}
	return b
}

// Lots returns the live lots of an account in the order in which they are
// spent, as they stand now (H14). Finished ones are in the journal.
func (l *Ledger) Lots(ctx context.Context, req BalanceRequest) ([]Lot, error) {
	return view(ctx, l, req, l.LotsTx)
}

// LotsTx is [Ledger.Lots] within a commit.
func (l *Ledger) LotsTx(ctx context.Context, tx *storage.Tx, req BalanceRequest) ([]Lot, error) {
	o, err := l.read(tx, req.Tenant, req.Account)
	if err != nil {
		return nil, err
	}
	return o.Lots, nil
}

// A LotRequest names a lot.
type LotRequest struct {
	Tenant string
	ID     LotID
}

// Lot returns a lot, live or finished, and the account that has it. It fails
// with [ErrNotFound].
func (l *Ledger) Lot(ctx context.Context, req LotRequest) (Lot, AccountID, error) {
	if err := checkIDs(req.Tenant, req.ID); err != nil {
		return Lot{}, "", err
	}
	var lot Lot
	var account AccountID
	err := storage.View(ctx, l.cfg.Store, func(tx *storage.Tx) error {
		rec, ok, err := lots.Get(tx, req.Tenant, string(req.ID))
		if err == nil && !ok {
			err = fmt.Errorf("%w: lot", ErrNotFound)
		}
		if err != nil {
			return err
		}
		o, err := l.read(tx, req.Tenant, rec.Account)
		if err != nil {
			return err
		}
		account = o.Account
		if live := o.lot(req.ID); live != nil {
			lot = *live
			return nil
		}
		lot, err = l.ended(tx, o, req.ID)
		return err
	})
	if err != nil {
		return Lot{}, "", err
	}
	return lot, account, nil
}

// A HoldRequest names a hold.
type HoldRequest struct {
	Tenant string
	ID     HoldID
}

// Hold returns a hold as it stands now; the lines of a timed one that has run
// out are [Lapsed]. It fails with [ErrNotFound].
func (l *Ledger) Hold(ctx context.Context, req HoldRequest) (Hold, error) {
	return view(ctx, l, req, l.HoldTx)
}

// HoldTx is [Ledger.Hold] within a commit.
func (l *Ledger) HoldTx(ctx context.Context, tx *storage.Tx, req HoldRequest) (Hold, error) {
	if err := checkIDs(req.Tenant, req.ID); err != nil {
		return Hold{}, err
	}
	rec, err := l.loadHold(tx, req.Tenant, req.ID)
	if err != nil {
		return Hold{}, err
	}
	return rec.asOf(tx.Now(l.cfg.Now)), nil
}

// asOf shows lines that lapsed as what they are.
func (r holdRecord) asOf(at time.Time) Hold {
	h := r.Hold
	if h.Expires.IsZero() || at.Before(h.Expires) {
		return h
	}
	for i := range h.Lines {
		if line := &h.Lines[i]; line.State == Held {
			line.State, line.Settled = Lapsed, h.Expires
		}
	}
	return h
}

// A HoldsRequest selects holds.
type HoldsRequest struct {
	Tenant string
	// Prefix selects by id: "env-17/" gives the holds of an envelope. Empty: all
	// of the tenant, page by page.
	Prefix  string
	Account AccountID // only of this account, if set
	Open    bool      // only those with a held line
}

// Holds yields holds in byte order of their ids, as they stand now. It reads
// page by page and ends after an error.
func (l *Ledger) Holds(ctx context.Context, req HoldsRequest) iter.Seq2[Hold, error] {
	return func(yield func(Hold, error) bool) {
		if err := checkTenant(req.Tenant); err != nil {
			yield(Hold{}, err)
			return
		}
		now := l.now()
		for item, err := range holds.Scan(ctx, l.cfg.Store, req.Tenant, req.Prefix) {
			if err != nil {
				yield(Hold{}, err)
				return
			}
			h := item.Value.asOf(now)
			if req.Account != "" && h.Account != req.Account {
				continue
			}
			if req.Open && !slices.ContainsFunc(h.Lines, func(line Line) bool { return line.State == Held }) {
				continue
			}
			if !yield(h, nil) {
				return
			}
		}
	}
}

func (l *Ledger) now() time.Time {
	if l.cfg.Now == nil {
		return instant(time.Now())
	}
	return instant(l.cfg.Now())
}

// A Quote is what a [ReserveRequest] would cost.
type Quote struct {
	Rates int    `json:"rates"`
	Lines []Line `json:"lines"` // with the lots that would pay
	// Short is what is missing; empty if the request would be granted.
	Short []Shortfall `json:"short,omitempty"`
}

// Quote answers what [Ledger.Reserve] would do now, and changes nothing. A
// shortfall is part of the answer; other refusals are those of Reserve. What is
// quoted is not kept: the membership or the units may be gone when it is sent.
func (l *Ledger) Quote(ctx context.Context, req ReserveRequest) (Quote, error) {
	return view(ctx, l, req, l.QuoteTx)
}

// QuoteTx is [Ledger.Quote] within a commit.
func (l *Ledger) QuoteTx(ctx context.Context, tx *storage.Tx, req ReserveRequest) (Quote, error) {
	if err := checkReserve(&req); err != nil {
		return Quote{}, err
	}
	now := tx.Now(l.cfg.Now)
	lines := make([]Line, len(req.Lines))
	version, err := l.price(lines, req.Lines, now, 1)
	if err != nil {
		return Quote{}, err
	}
	q := Quote{Rates: version, Lines: lines}
	if paid(lines) {
		o, err := l.read(tx, req.Tenant, req.Account)
		if err != nil {
			return Quote{}, err
		}
		if o.Suspended != "" {
			return Quote{}, ErrSuspended
		}
		now = o.at
		planned, err := o.plan(asks(lines))
		var short *InsufficientError
		switch {
		case errors.As(err, &short):
			q.Short = short.Shortfalls
		case err != nil:
			return Quote{}, err
		}
		for i := range planned {
			q.Lines[i].From = planned[i]
		}
	}
	for i := range q.Lines {
		q.Lines[i].Held = now
	}
	return q, nil
}
