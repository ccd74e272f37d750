package membership

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A ClawRequest takes back what one order gave, without money.
type ClawRequest struct {
	Tenant string `json:"tenant"`
	ID     string `json:"id"` // of this call
	Order  string `json:"order"`
	Reason string `json:"reason"` // a code, such as "abuse"; required
	Actor  string `json:"actor"`  // required
}

// Claw takes back the term and the units of an order that were obtained by abuse
// (H24): the term leaves its timeline, as a refund's does, and of the units those
// that are free; what is held or used stays. Money is a matter of refunds. It
// fails with [ErrState] if the order is not paid, was clawed before, or went into
// another, [ErrNotFound], [ErrRequest] or [ErrIntentMismatch].
func (s *Service) Claw(ctx context.Context, req ClawRequest) (Order, error) {
	return update(ctx, s, req, s.ClawTx)
}

// ClawTx is [Service.Claw] within a commit.
func (s *Service) ClawTx(ctx context.Context, tx *storage.Tx, req ClawRequest) (Order, error) {
	if s.cfg.Catalogue == nil {
		return Order{}, ErrNoCatalogue
	}
	if err := checkCall(req.Tenant, req.ID, req.Actor, req.Reason); err != nil {
		return Order{}, err
	}
	if req.Reason == "" || req.Actor == "" {
		return Order{}, badRequest("reason", "who and why are required")
	}
	return once(tx, req.Tenant, req.ID, "claw", req, func() (Order, error) { return s.claw(ctx, tx, req) })
}

func (s *Service) claw(ctx context.Context, tx *storage.Tx, req ClawRequest) (Order, error) {
	rec, err := loadOrder(tx, req.Tenant, req.Order)
	if err != nil {
		return Order{}, err
	}
	switch {
	case rec.State != Paid:
		return Order{}, fmt.Errorf("%w: order is %s", ErrState, rec.State)
	case !rec.Clawed.IsZero():
		return Order{}, fmt.Errorf("%w: clawed before", ErrState)
	case rec.Into != "":
		return Order{}, fmt.Errorf("%w: its rest went into another order", ErrState)
	}
	now := tx.Now(s.cfg.Now)
	live, err := s.cfg.Ledger.LotsTx(ctx, tx, quota.BalanceRequest{Tenant: req.Tenant, Account: rec.Beneficiary})
	if err != nil {
		return Order{}, err
	}
	for i, lot := range live {
		if lot.Order != rec.ID || lot.Frozen {
			continue
		}
		_, err := s.cfg.Ledger.ClawTx(ctx, tx, quota.ClawRequest{
			Tenant: req.Tenant, ID: fmt.Sprintf("mem/%s/%d", req.ID, i+1), Account: rec.Beneficiary, Lot: lot.ID, Actor: req.Actor, Reason: req.Reason,
		})
		if err != nil {
			return Order{}, err
		}
	}
	if rec.Segment != "" {
		m, err := load(tx, req.Tenant, rec.Beneficiary)
		if err != nil {
			return Order{}, err
		}
		if err := m.lane(rec.Segment).undo(rec.ID, now); err != nil {
			return Order{}, err
		}
		if err := save(tx, req.Tenant, m); err != nil {
			return Order{}, err
		}
	}
	rec.Clawed, rec.Reason, rec.Actor = now, req.Reason, req.Actor
	return rec.Order, orders.Put(tx, req.Tenant, rec.ID, rec)
}
