package quota

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// A RefundRequest begins to take lots back for money that the host will return.
type RefundRequest struct {
	Tenant  string    `json:"tenant"`
	ID      string    `json:"id"` // of the refund
	Account AccountID `json:"account"`
	Lots    []LotID   `json:"lots"` // 1 to 1000
	// Unused asks for the seven-day rule: inside the window, never held (H58,
	// D11). Without it the host's reason decides (H59), and ended lots are left out.
	Unused bool   `json:"unused,omitzero"`
	Actor  string `json:"actor,omitzero"`
	Reason string `json:"reason,omitzero"`
}

// A RefundLot is a lot as a refund found it.
type RefundLot struct {
	Lot     LotID     `json:"lot"`
	Granted Units     `json:"granted"`
	Free    Units     `json:"free"`  // spendable just before; what will be clawed at least
	Held    Units     `json:"held"`  // clawed when released
	Until   time.Time `json:"until"` // the lot's end
}

// A Refund is the answer to [Ledger.BeginRefund] and the calls that end it.
type Refund struct {
	ID   string      `json:"id"`
	Lots []RefundLot `json:"lots,omitempty"`
	// Clawed is what ConfirmRefund took, all lots together.
	Clawed Units `json:"clawed,omitempty"`
}

// BeginRefund freezes lots: sends made meanwhile take units from other lots.
// The host then pays and calls [Ledger.ConfirmRefund], or [Ledger.CancelRefund]
// if it does not. It fails with [NotRefundableError], with [ErrLotFrozen] if
// another refund is under way, [ErrNotFound], [ErrRequest] or
// [ErrIntentMismatch], and then nothing has changed.
func (l *Ledger) BeginRefund(ctx context.Context, req RefundRequest) (Refund, error) {
	return update(ctx, l, req, l.BeginRefundTx)
}

// BeginRefundTx is [Ledger.BeginRefund] within a commit.
func (l *Ledger) BeginRefundTx(ctx context.Context, tx *storage.Tx, req RefundRequest) (Refund, error) {
	if err := checkRefund(req.Tenant, req.ID, req.Account, req.Actor, req.Reason); err != nil {
		return Refund{}, err
	}
	if len(req.Lots) == 0 || len(req.Lots) > maxLots {
		return Refund{}, badRequest("lots", "1 to 1000")
	}
	for i, id := range req.Lots {
		if err := checkID("lot", id); err != nil {
			return Refund{}, err
		}
		if slices.Contains(req.Lots[:i], id) {
			return Refund{}, badRequest("lots", "named twice")
		}
	}
	return once(tx, req.Tenant, req.ID, "refund", req, func() (Refund, error) {
		o, err := l.known(tx, req.Tenant, req.Account)
		if err != nil {
			return Refund{}, err
		}
		r := Refund{ID: req.ID}
		for _, id := range req.Lots {
			lot, err := l.refundable(tx, o, id, req.Unused)
			if err != nil {
				return Refund{}, err
			}
			if lot == nil {
				continue
			}
			r.Lots = append(r.Lots, RefundLot{Lot: id, Granted: lot.Granted, Free: lot.Spendable(o.at), Held: lot.Held, Until: lot.Until})
			lot.Frozen, lot.Refund = true, req.ID
			if err := o.note(lot, EntryFreeze, req.Actor, req.Reason); err != nil {
				return Refund{}, err
			}
		}
		return r, l.save(tx, o)
	})
}

// refundable finds a lot that may be refunded; nil, without an error, is one
// that ended and that the host's reason passes over.
func (l *Ledger) refundable(tx *storage.Tx, o *opened, id LotID, unused bool) (*Lot, error) {
	lot := o.lot(id)
	if lot == nil {
		ended, err := l.ended(tx, o, id)
		switch {
		case err != nil:
			return nil, err
		case ended.Refund != "":
			return nil, &NotRefundableError{RefundRepeated}
		case unused && ended.FirstUse.IsZero():
			return nil, &NotRefundableError{RefundWindow} // expired unused: nothing is given back (H12)
		case unused:
			return nil, &NotRefundableError{RefundUsed}
		}
		return nil, nil
	}
	switch {
	case lot.Frozen:
		return nil, ErrLotFrozen
	case lot.Refund != "":
		return nil, &NotRefundableError{RefundRepeated}
	case !unused:
	case !o.at.Before(l.cfg.RefundUntil(lot.Credited)):
		return nil, &NotRefundableError{RefundWindow}
	case lot.Used > 0 || lot.Held > 0:
		return nil, &NotRefundableError{RefundUsed}
	case !lot.FirstUse.IsZero():
		strict, err := l.strict(tx, o, id)
		if err == nil && strict {
			err = &NotRefundableError{RefundUsed}
		}
		return lot, err
	}
	return lot, nil
}

// strict reports whether units of a lot that were held once count as use,
// although they came back. Those of a lot that a merge moved always do: some may
// still be held, or have been used since, on the books of the account it left.
func (l *Ledger) strict(tx *storage.Tx, o *opened, id LotID) (bool, error) {
	if !l.cfg.RefundNet {
		return true, nil
	}
	rec, ok, err := lots.Get(tx, o.tenant, string(id))
	return !ok || rec.Account != o.Account, err
}

// ended finds a lot of an account that has left its head.
func (l *Ledger) ended(tx *storage.Tx, o *opened, id LotID) (Lot, error) {
	for _, lot := range o.gone {
		if lot.ID == id {
			return lot, nil
		}
	}
	rec, ok, err := lots.Get(tx, o.tenant, string(id))
	if err == nil && (!ok || rec.End == nil) {
		err = fmt.Errorf("%w: lot", ErrNotFound)
	}
	if err != nil {
		return Lot{}, err
	}
	owner, err := l.open(tx, o.tenant, rec.Account, false)
	if err == nil && owner.Account != o.Account {
		err = fmt.Errorf("%w: lot", ErrNotFound)
	}
	return *rec.End, err
}

// An EndRefundRequest confirms or cancels a refund.
type EndRefundRequest struct {
	Tenant  string    `json:"tenant"`
	ID      string    `json:"id"` // of this call
	Account AccountID `json:"account"`
	Refund  string    `json:"refund"` // the id given to BeginRefund
	Actor   string    `json:"actor,omitzero"`
	Reason  string    `json:"reason,omitzero"`
}

// ConfirmRefund claws what the lots of a refund still have, after the host has
// paid; held units are clawed when they are released. It fails with
// [ErrNotFound] if no lot is frozen by that refund, with [ErrRequest] or
// [ErrIntentMismatch].
func (l *Ledger) ConfirmRefund(ctx context.Context, req EndRefundRequest) (Refund, error) {
	return update(ctx, l, req, l.ConfirmRefundTx)
}

// ConfirmRefundTx is [Ledger.ConfirmRefund] within a commit.
func (l *Ledger) ConfirmRefundTx(ctx context.Context, tx *storage.Tx, req EndRefundRequest) (Refund, error) {
	return l.endRefund(tx, "confirm", req, func(o *opened, lot *Lot, r *Refund) error {
		lot.Frozen, lot.Clawing = false, true
		if err := o.note(lot, EntryRefund, req.Actor, req.Reason); err != nil {
			return err
		}
		n := lot.Available()
		if n == 0 {
			return nil
		}
		r.Clawed += n
		return o.post(lot, &Entry{Kind: EntryClaw, Units: n, Debit: BookAvailable, Credit: BookClawed, Actor: req.Actor, Reason: req.Reason})
	})
}

// CancelRefund thaws the lots of a refund. It fails as [Ledger.ConfirmRefund] does.
func (l *Ledger) CancelRefund(ctx context.Context, req EndRefundRequest) (Refund, error) {
	return update(ctx, l, req, l.CancelRefundTx)
}

// CancelRefundTx is [Ledger.CancelRefund] within a commit.
func (l *Ledger) CancelRefundTx(ctx context.Context, tx *storage.Tx, req EndRefundRequest) (Refund, error) {
	return l.endRefund(tx, "cancel", req, func(o *opened, lot *Lot, _ *Refund) error {
		lot.Frozen, lot.Refund = false, ""
		return o.note(lot, EntryThaw, req.Actor, req.Reason)
	})
}

func (l *Ledger) endRefund(tx *storage.Tx, op string, req EndRefundRequest, end func(*opened, *Lot, *Refund) error) (Refund, error) {
	if err := checkRefund(req.Tenant, req.ID, req.Account, req.Actor, req.Reason); err != nil {
		return Refund{}, err
	}
	if err := checkID("refund", req.Refund); err != nil {
		return Refund{}, err
	}
	return once(tx, req.Tenant, req.ID, op, req, func() (Refund, error) {
		o, err := l.known(tx, req.Tenant, req.Account)
		if err != nil {
			return Refund{}, err
		}
		r := Refund{ID: req.Refund}
		found := false
		for i := range o.Lots {
			lot := &o.Lots[i]
			if !lot.Frozen || lot.Refund != req.Refund {
				continue
			}
			found = true
			r.Lots = append(r.Lots, RefundLot{Lot: lot.ID, Granted: lot.Granted, Free: lot.Available(), Held: lot.Held, Until: lot.Until})
			if err := end(o, lot, &r); err != nil {
				return Refund{}, err
			}
		}
		if !found {
			return Refund{}, fmt.Errorf("%w: refund", ErrNotFound)
		}
		return r, l.save(tx, o)
	})
}

// note posts an entry without units that carries the lot as it stands.
func (o *opened) note(lot *Lot, kind EntryKind, actor, reason string) error {
	if err := o.post(lot, &Entry{Kind: kind, Actor: actor, Reason: reason}); err != nil {
		return err
	}
	o.begin(lot)
	return nil
}

func checkRefund(tenant, id string, account AccountID, actor, reason string) error {
	if err := checkIDs(tenant, id); err != nil {
		return err
	}
	if err := checkAccount("account", account); err != nil {
		return err
	}
	return checkNote(actor, reason)
}
