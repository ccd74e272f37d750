package membership

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/countersign/countersign/storage"
)

// An UpgradeMode says when the plan bought begins beside one that runs.
type UpgradeMode string

// Upgrade modes.
const (
	// Parallel begins now: a personal membership runs on under a team one.
	Parallel UpgradeMode = "parallel"
	// AtEnd begins when the timeline of the other plan type ends.
	AtEnd UpgradeMode = "at_end"
)

// An UpgradeQuote is what [Service.Upgrade] will do, to be shown first.
type UpgradeQuote struct {
	Mode     UpgradeMode
	Purchase PurchaseRequest
	Summary  Summary
}

// A QuoteChangedError says that what an upgrade would sell is no longer what was
// quoted; Now is. It unwraps to [ErrQuoteChanged].
type QuoteChangedError struct{ Now UpgradeQuote }

// Error implements error.
func (e *QuoteChangedError) Error() string { return "membership: quote changed" }

// Unwrap returns [ErrQuoteChanged].
func (e *QuoteChangedError) Unwrap() error { return ErrQuoteChanged }

// QuoteUpgrade returns what buying a plan of the other type would cost and when
// it would run, and changes nothing. An empty mode is [Parallel]. It fails as
// [Service.Quote] does, and with [ErrState] if no membership of the other type
// runs.
func (s *Service) QuoteUpgrade(ctx context.Context, req PurchaseRequest, mode UpgradeMode) (UpgradeQuote, error) {
	return storage.ViewValue(ctx, s.cfg.Store, func(tx *storage.Tx) (UpgradeQuote, error) { return s.quoteUpgrade(tx, req, mode) })
}

func (s *Service) quoteUpgrade(tx *storage.Tx, req PurchaseRequest, mode UpgradeMode) (UpgradeQuote, error) {
	if err := s.checkPurchase(&req); err != nil {
		return UpgradeQuote{}, err
	}
	c, _, err := s.offer(tx, req)
	if err != nil {
		return UpgradeQuote{}, err
	}
	other, err := c.Item.otherType()
	if err != nil {
		return UpgradeQuote{}, err
	}
	switch mode {
	case "", Parallel:
		mode, req.After = Parallel, ""
	case AtEnd:
		req.After = other
	default:
		return UpgradeQuote{}, badRequest("mode", "unknown")
	}
	m, err := load(tx, req.Tenant, req.Beneficiary)
	if err != nil {
		return UpgradeQuote{}, err
	}
	lane := m.Lane(other)
	if !lane.End().After(tx.Now(s.cfg.Now)) {
		return UpgradeQuote{}, fmt.Errorf("%w: no %s membership runs", ErrState, other)
	}
	_, sum, err := s.offer(tx, req)
	if err != nil {
		return UpgradeQuote{}, err
	}
	req.Shown = sum.Price
	return UpgradeQuote{Mode: mode, Purchase: req, Summary: sum}, nil
}

// otherType is the plan type beside which an item would run.
func (i Item) otherType() (PlanType, error) {
	switch i.Type {
	case Personal:
		return Team, nil
	case Team:
		return Personal, nil
	}
	return "", badRequest("item", "not a plan")
}

// Upgrade makes the order that was quoted. It recomputes the quote; any
// difference but of the instant at which a parallel term begins is a
// [QuoteChangedError]. It fails further as [Service.Purchase] does.
func (s *Service) Upgrade(ctx context.Context, q UpgradeQuote) (Order, Summary, error) {
	type answer struct {
		order   Order
		summary Summary
	}
	a, err := update(ctx, s, q, func(ctx context.Context, tx *storage.Tx, q UpgradeQuote) (answer, error) {
		o, sum, err := s.UpgradeTx(ctx, tx, q)
		return answer{o, sum}, err
	})
	return a.order, a.summary, err
}

// UpgradeTx is [Service.Upgrade] within a commit.
func (s *Service) UpgradeTx(ctx context.Context, tx *storage.Tx, q UpgradeQuote) (Order, Summary, error) {
	_, ok, err := orders.Get(tx, q.Purchase.Tenant, q.Purchase.ID)
	if err != nil {
		return Order{}, Summary{}, err
	}
	if !ok {
		now, err := s.quoteUpgrade(tx, q.Purchase, q.Mode)
		if err != nil {
			return Order{}, Summary{}, err
		}
		same, err := q.equal(now)
		if err != nil {
			return Order{}, Summary{}, err
		}
		if !same {
			return Order{}, Summary{}, &QuoteChangedError{Now: now}
		}
	}
	return s.PurchaseTx(ctx, tx, q.Purchase)
}

// equal compares quotes as what they say.
func (q UpgradeQuote) equal(now UpgradeQuote) (bool, error) {
	if q.Mode == Parallel {
		q.Summary.From, q.Summary.Until = now.Summary.From, now.Summary.Until
	}
	a, err := json.Marshal(q)
	if err != nil {
		return false, fmt.Errorf("membership: encode quote: %w", err)
	}
	b, err := json.Marshal(now)
	if err != nil {
		return false, fmt.Errorf("membership: encode quote: %w", err)
	}
	return string(a) == string(b), nil
}
