package membership

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A RefundCause says on what ground money goes back.
type RefundCause string

// Refund causes.
const (
	CauseUnused   RefundCause = "unused"          // within seven days, never used: less the platform's fee (H58)
	CauseProvider RefundCause = "provider_breach" // the provider's breach: the rest, no fee (H59, S30)
	CauseLaw      RefundCause = "law"             // the law asks for it: an amount given (H59)
	CauseOperator RefundCause = "operator"        // at discretion: an amount given (H59)
)

// A RefundRequest asks for money back for one order.
type RefundRequest struct {
	Tenant string      `json:"tenant"`
	ID     string      `json:"id"` // of the refund
	Order  string      `json:"order"`
	Cause  RefundCause `json:"cause"`
	// Amount is given for [CauseLaw] and [CauseOperator], at most what was paid;
	// the others compute it.
	Amount Money `json:"amount,omitzero"`
	// Invoices says that the invoices of the order came back, which
	// [CauseProvider] asks for (S30).
	Invoices bool   `json:"invoices,omitzero"`
	Actor    string `json:"actor,omitzero"` // required but for CauseUnused
	Note     string `json:"note,omitzero"`  // required but for CauseUnused
}

// A RefundQuote is what would be, or is being, paid back.
type RefundQuote struct {
	Order  string          `json:"order"`
	Payer  quota.AccountID `json:"payer"` // who gets it: money goes back to whoever paid (D10)
	Amount Money           `json:"amount"`
	Fee    Money           `json:"fee"` // kept by the payment platform
	At     time.Time       `json:"at"`
}

// QuoteRefund returns what BeginRefund would pay back now, and changes nothing.
// It fails as [Service.BeginRefund] does.
func (s *Service) QuoteRefund(ctx context.Context, req RefundRequest) (RefundQuote, error) {
	return view(ctx, s, req, func(ctx context.Context, tx *storage.Tx, req RefundRequest) (RefundQuote, error) {
		if err := s.checkRefund(req); err != nil {
			return RefundQuote{}, err
		}
		_, q, err := s.quoteRefund(ctx, tx, req)
		return q, err
	})
}

// BeginRefund begins to pay an order back: its lots are frozen and its term
// grants nothing until the host has paid and calls [Service.ConfirmRefund], or
// [Service.CancelRefund]. There is one refund per order, never above what was
// paid (M7). It fails with [quota.NotRefundableError] when the window is over,
// something was used, or the item is sold without return and the cause is the
// customer's or the operator's (D17); with [ErrState] if the order is not paid, was
// clawed for abuse and no law asks for it, or its rest went into another,
// [quota.ErrLotFrozen], [ErrNotFound], [ErrRequest] or [ErrIntentMismatch].
func (s *Service) BeginRefund(ctx context.Context, req RefundRequest) (RefundQuote, error) {
	return update(ctx, s, req, s.BeginRefundTx)
}

// BeginRefundTx is [Service.BeginRefund] within a commit.
func (s *Service) BeginRefundTx(ctx context.Context, tx *storage.Tx, req RefundRequest) (RefundQuote, error) {
	if err := s.checkRefund(req); err != nil {
		return RefundQuote{}, err
	}
	return once(tx, req.Tenant, req.ID, "refund", req, func() (RefundQuote, error) {
		rec, q, err := s.quoteRefund(ctx, tx, req)
		if err != nil {
			return RefundQuote{}, err
		}
		if len(rec.Lots) > 0 {
			_, err := s.cfg.Ledger.BeginRefundTx(ctx, tx, quota.RefundRequest{
				Tenant: req.Tenant, ID: "mem/" + req.ID, Account: rec.Beneficiary, Lots: rec.Lots,
				Unused: req.Cause == CauseUnused, Actor: req.Actor, Reason: string(req.Cause),
			})
			if err != nil {
				return RefundQuote{}, err
			}
		}
		if err := s.freeze(tx, req.Tenant, rec, true); err != nil {
			return RefundQuote{}, err
		}
		rec.State, rec.Refund, rec.Returned, rec.Actor, rec.Reason = Refunding, req.ID, q.Amount, req.Actor, string(req.Cause)
		return q, orders.Put(tx, req.Tenant, rec.ID, rec)
	})
}

// An EndRefundRequest confirms or cancels a refund.
type EndRefundRequest struct {
	Tenant string `json:"tenant"`
	ID     string `json:"id"` // of this call
	Order  string `json:"order"`
	Actor  string `json:"actor,omitzero"`
	Note   string `json:"note,omitzero"` // such as the platform's id of the repayment
}

// ConfirmRefund says that the host has paid back: lots are clawed, what is still
// held of them when it is released, and the order's term leaves its timeline,
// whose later terms move left and keep their lengths (M5). It fails with
// [ErrState] if no refund is under way, [ErrNotFound], [ErrRequest] or
// [ErrIntentMismatch].
func (s *Service) ConfirmRefund(ctx context.Context, req EndRefundRequest) (Order, error) {
	return update(ctx, s, req, s.ConfirmRefundTx)
}

// ConfirmRefundTx is [Service.ConfirmRefund] within a commit.
func (s *Service) ConfirmRefundTx(ctx context.Context, tx *storage.Tx, req EndRefundRequest) (Order, error) {
	return s.endRefund(ctx, tx, "confirm", req, s.ledgerCall(true), func(rec *orderRecord) error {
		rec.State = Refunded
		if rec.Segment == "" {
			return nil
		}
		m, err := load(tx, req.Tenant, rec.Beneficiary)
		if err != nil {
			return err
		}
		if err := m.lane(rec.Segment).undo(rec.ID, tx.Now(s.cfg.Now)); err != nil {
			return err
		}
		return save(tx, req.Tenant, m)
	})
}

// CancelRefund says that nothing is paid back: everything is as it was before. It
// fails as [Service.ConfirmRefund] does.
func (s *Service) CancelRefund(ctx context.Context, req EndRefundRequest) (Order, error) {
	return update(ctx, s, req, s.CancelRefundTx)
}

// CancelRefundTx is [Service.CancelRefund] within a commit.
func (s *Service) CancelRefundTx(ctx context.Context, tx *storage.Tx, req EndRefundRequest) (Order, error) {
	return s.endRefund(ctx, tx, "cancel", req, s.ledgerCall(false), func(rec *orderRecord) error {
		if err := s.freeze(tx, req.Tenant, *rec, false); err != nil {
			return err
		}
		rec.State, rec.Refund, rec.Returned = Paid, "", Money{}
		return nil
	})
}

type ledgerEnd = func(context.Context, *storage.Tx, quota.EndRefundRequest) (quota.Refund, error)

func (s *Service) ledgerCall(confirm bool) ledgerEnd {
	switch {
	case s.cfg.Ledger == nil:
		return nil
	case confirm:
		return s.cfg.Ledger.ConfirmRefundTx
	}
	return s.cfg.Ledger.CancelRefundTx
}

func (s *Service) endRefund(ctx context.Context, tx *storage.Tx, op string, req EndRefundRequest, units ledgerEnd, end func(*orderRecord) error) (Order, error) {
	if err := checkCall(req.Tenant, req.ID, req.Actor, req.Note); err != nil {
		return Order{}, err
	}
	if s.cfg.Catalogue == nil {
		return Order{}, ErrNoCatalogue
	}
	return once(tx, req.Tenant, req.ID, op, req, func() (Order, error) {
		rec, err := loadOrder(tx, req.Tenant, req.Order)
		if err != nil {
			return Order{}, err
		}
		if rec.State != Refunding {
			return Order{}, fmt.Errorf("%w: order is %s", ErrState, rec.State)
		}
		frozen, err := s.frozen(ctx, tx, req.Tenant, rec)
		if err != nil {
			return Order{}, err
		}
		if frozen {
			_, err := units(ctx, tx, quota.EndRefundRequest{
				Tenant: req.Tenant, ID: "mem/" + req.ID, Account: rec.Beneficiary, Refund: "mem/" + rec.Refund, Actor: req.Actor, Reason: rec.Reason,
			})
			if err != nil {
				return Order{}, err
			}
		}
		if err := end(&rec); err != nil {
			return Order{}, err
		}
		return rec.Order, orders.Put(tx, req.Tenant, rec.ID, rec)
	})
}

// frozen reports whether the refund of an order froze any lot: those that had
// ended were left out.
func (s *Service) frozen(ctx context.Context, tx *storage.Tx, tenant string, rec orderRecord) (bool, error) {
	lots, err := s.cfg.Ledger.LotsTx(ctx, tx, quota.BalanceRequest{Tenant: tenant, Account: rec.Beneficiary})
	for _, l := range lots {
		if l.Refund == "mem/"+rec.Refund && l.Frozen {
			return true, nil
		}
	}
	return false, err
}

// freeze marks the segment of an order as granting nothing, or takes that back.
func (s *Service) freeze(tx *storage.Tx, tenant string, rec orderRecord, on bool) error {
	if rec.Segment == "" {
		return nil
	}
	m, err := load(tx, tenant, rec.Beneficiary)
	if err != nil {
		return err
	}
	lane := m.lane(rec.Segment)
	for i := range lane.Segments {
		if lane.Segments[i].Order == rec.ID {
			lane.Segments[i].Frozen = on
		}
	}
	return save(tx, tenant, m)
}

func (s *Service) checkRefund(req RefundRequest) error {
	if s.cfg.Catalogue == nil {
		return ErrNoCatalogue
	}
	if err := checkCall(req.Tenant, req.ID, req.Actor, req.Note); err != nil {
		return err
	}
	switch req.Cause {
	case CauseUnused, CauseProvider:
		if req.Amount != (Money{}) {
			return badRequest("amount", "is computed for this cause")
		}
	case CauseLaw, CauseOperator:
		if req.Amount.Amount <= 0 {
			return badRequest("amount", "required")
		}
	default:
		return badRequest("cause", "unknown")
	}
	switch {
	case req.Cause == CauseUnused:
		return nil
	case req.Actor == "" || req.Note == "":
		return badRequest("note", "who and why are required (H59)")
	case req.Cause == CauseProvider && !req.Invoices:
		return badRequest("invoices", "must be back first (S30)")
	}
	return nil
}

// quoteRefund decides whether and how much of an order goes back.
func (s *Service) quoteRefund(ctx context.Context, tx *storage.Tx, req RefundRequest) (orderRecord, RefundQuote, error) {
	rec, err := loadOrder(tx, req.Tenant, req.Order)
	if err != nil {
		return orderRecord{}, RefundQuote{}, err
	}
	switch rec.State {
	case Paid:
	case Refunded, Refunding:
		return orderRecord{}, RefundQuote{}, &quota.NotRefundableError{Reason: quota.RefundRepeated}
	default:
		return orderRecord{}, RefundQuote{}, fmt.Errorf("%w: order is %s", ErrState, rec.State)
	}
	q := RefundQuote{Order: rec.ID, Payer: rec.Payer, At: tx.Now(s.cfg.Now), Fee: Money{Currency: rec.Price.Currency}}
	switch {
	case rec.worth().Amount == 0:
		return orderRecord{}, RefundQuote{}, fmt.Errorf("%w: nothing was paid", ErrState)
	case rec.Into != "":
		return orderRecord{}, RefundQuote{}, fmt.Errorf("%w: its rest went into another order", ErrState)
	case !rec.Clawed.IsZero() && req.Cause != CauseLaw:
		return orderRecord{}, RefundQuote{}, fmt.Errorf("%w: taken back for abuse", ErrState)
	}
	if (req.Cause == CauseUnused || req.Cause == CauseOperator) && rec.Summary.Refund == Never {
		return orderRecord{}, RefundQuote{}, &quota.NotRefundableError{Reason: quota.RefundNever}
	}
	switch req.Cause {
	case CauseUnused:
		if err := s.unused(ctx, tx, req.Tenant, rec, q.At); err != nil {
			return orderRecord{}, RefundQuote{}, err
		}
		q.Fee = rec.Fee
		q.Amount = Money{Amount: rec.Price.Amount - rec.Fee.Amount, Currency: rec.Price.Currency}
	case CauseProvider:
		if q.Amount, err = s.rest(ctx, tx, req.Tenant, rec, q.At); err != nil {
			return orderRecord{}, RefundQuote{}, err
		}
	default:
		if req.Amount.Currency != rec.Price.Currency || req.Amount.Amount > rec.worth().Amount {
			return orderRecord{}, RefundQuote{}, badRequest("amount", "more than was paid, or another currency")
		}
		q.Amount = req.Amount
	}
	return rec, q, nil
}

// unused refuses what is too late or was used (H58, D11): any hold of a lot and
// any free send under the term is use.
func (s *Service) unused(ctx context.Context, tx *storage.Tx, tenant string, rec orderRecord, now time.Time) error {
	if !now.Before(s.cfg.RefundUntil(rec.PaidAt)) {
		return &quota.NotRefundableError{Reason: quota.RefundWindow}
	}
	if len(rec.Replaces) > 0 {
		return &quota.NotRefundableError{Reason: quota.RefundUsed} // it ended other terms, which is use
	}
	seg, ok, err := s.segment(tx, tenant, rec)
	if err == nil && ok && !seg.FirstUse.IsZero() {
		err = &quota.NotRefundableError{Reason: quota.RefundUsed}
	}
	if err != nil || len(rec.Lots) == 0 {
		return err
	}
	lots, err := s.cfg.Ledger.LotsTx(ctx, tx, quota.BalanceRequest{Tenant: tenant, Account: rec.Beneficiary})
	if err != nil {
		return err
	}
	for _, id := range rec.Lots {
		fresh := false
		for _, l := range lots {
			fresh = fresh || l.ID == id && l.FirstUse.IsZero()
		}
		if !fresh {
			return &quota.NotRefundableError{Reason: quota.RefundUsed}
		}
	}
	return nil
}

// segment finds the term that an order gave.
func (s *Service) segment(tx *storage.Tx, tenant string, rec orderRecord) (Segment, bool, error) {
	if rec.Segment == "" {
		return Segment{}, false, nil
	}
	m, err := load(tx, tenant, rec.Beneficiary)
	if err != nil {
		return Segment{}, false, err
	}
	for _, seg := range m.Lane(rec.Segment).Segments {
		if seg.Order == rec.ID {
			return seg, true, nil
		}
	}
	return Segment{}, false, nil
}

// rest is what an order is still worth, rounded up: a plan by the time left, a
// package by its units that can still be spent.
func (s *Service) rest(ctx context.Context, tx *storage.Tx, tenant string, rec orderRecord, now time.Time) (Money, error) {
	sold, err := rec.Sold()
	if err != nil {
		return Money{}, err
	}
	if sold.Item.Kind == Plan {
		seg, ok, err := s.segment(tx, tenant, rec)
		if err != nil || !ok {
			return rec.Price, err // a gift that nobody accepted is whole
		}
		left, all := seg.left(now)
		return rec.worth().MulDiv(left.Microseconds(), all.Microseconds(), Up)
	}
	lots, err := s.cfg.Ledger.LotsTx(ctx, tx, quota.BalanceRequest{Tenant: tenant, Account: rec.Beneficiary})
	if err != nil {
		return Money{}, err
	}
	var left, granted quota.Units
	for _, l := range sold.Item.Lots {
		granted += l.Units
	}
	for _, l := range lots {
		if l.Order == rec.ID {
			left += l.Spendable(now)
		}
	}
	return rec.Price.MulDiv(int64(left), int64(granted), Up)
}
