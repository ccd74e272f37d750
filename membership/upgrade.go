package membership

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// An UpgradeMode says what becomes of the membership that runs when a plan of
// the other type is bought.
type UpgradeMode string

// Upgrade modes.
const (
	// Parallel begins now: a personal membership runs on under a team one.
	Parallel UpgradeMode = "parallel"
	// AtEnd begins when the timeline of the other plan type ends.
	AtEnd UpgradeMode = "at_end"
	// Convert begins now and ends the terms of the other type: what they are
	// still worth becomes time of the new plan, in whole seconds, rounded down.
	// A term that nothing was paid for is worth nothing.
	Convert UpgradeMode = "convert"
	// ProrateCharge begins now, ends with the terms of the other type and in
	// their place; the price is new minus old for the time left, rounded half up.
	// Units that the plan gives are cut alike, rounded up.
	ProrateCharge UpgradeMode = "prorate_charge"
)

// replaces reports whether a mode ends the terms of the other type.
func (m UpgradeMode) replaces() bool { return m == Convert || m == ProrateCharge }

// quoteLife is how long a quote that depends on the time left can be used.
const quoteLife = time.Hour

// UpgradeTerms is what an upgrade that ends running terms says about them. It
// is part of the contract; what the terms are worth is taken when it is paid.
type UpgradeTerms struct {
	Mode   UpgradeMode `json:"mode"`
	Ends   PlanType    `json:"ends"`   // the timeline whose terms end with the payment
	Orders []string    `json:"orders"` // the orders that gave them
	Credit Money       `json:"credit"` // what they are worth at the quote
	Lots   []LotSpec   `json:"lots,omitempty"`
}

// An UpgradeQuote is what [Service.Upgrade] will do, to be shown first.
type UpgradeQuote struct {
	Mode     UpgradeMode
	Purchase PurchaseRequest
	Summary  Summary
	At       time.Time // what the time left is counted from
}

// A QuoteChangedError says that what an upgrade would sell is no longer what was
// quoted; Now is. It unwraps to [ErrQuoteChanged].
type QuoteChangedError struct{ Now UpgradeQuote }

// Error implements error.
func (e *QuoteChangedError) Error() string { return "membership: quote changed" }

// Unwrap returns [ErrQuoteChanged].
func (e *QuoteChangedError) Unwrap() error { return ErrQuoteChanged }

// QuoteUpgrade returns what buying a plan of the other type would cost and when
// it would run, and changes nothing. An empty mode is [Parallel]. [Convert] and
// [ProrateCharge] are for the account's own membership, not for gifts, and their
// quotes hold for an hour. It fails as [Service.Quote] does, and with [ErrState]
// if no membership of the other type runs, a refund of it is under way, or its
// terms are not of the length that would be prorated.
func (s *Service) QuoteUpgrade(ctx context.Context, req PurchaseRequest, mode UpgradeMode) (UpgradeQuote, error) {
	return storage.ViewValue(ctx, s.cfg.Store, func(tx *storage.Tx) (UpgradeQuote, error) {
		return s.quoteUpgrade(tx, req, mode, tx.Now(s.cfg.Now))
	})
}

func (s *Service) quoteUpgrade(tx *storage.Tx, req PurchaseRequest, mode UpgradeMode, at time.Time) (UpgradeQuote, error) {
	req.After, req.Upgrade, req.Shown = "", "", Money{}
	if err := s.checkPurchase(&req); err != nil {
		return UpgradeQuote{}, err
	}
	c, _, err := s.offer(tx, req, at)
	if err != nil {
		return UpgradeQuote{}, err
	}
	other, err := c.Item.otherType()
	if err != nil {
		return UpgradeQuote{}, err
	}
	switch mode {
	case "", Parallel:
		mode = Parallel
	case AtEnd:
		req.After = other
	case Convert, ProrateCharge:
		req.Upgrade = mode
	default:
		return UpgradeQuote{}, badRequest("mode", "unknown")
	}
	if err := s.checkPurchase(&req); err != nil {
		return UpgradeQuote{}, err
	}
	m, err := load(tx, req.Tenant, req.Beneficiary)
	if err != nil {
		return UpgradeQuote{}, err
	}
	lane := m.Lane(other)
	if !lane.End().After(tx.Now(s.cfg.Now)) {
		return UpgradeQuote{}, fmt.Errorf("%w: no %s membership runs", ErrState, other)
	}
	_, sum, err := s.offer(tx, req, at)
	if err != nil {
		return UpgradeQuote{}, err
	}
	req.Shown = sum.Price
	return UpgradeQuote{Mode: mode, Purchase: req, Summary: sum, At: at}, nil
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
// difference is a [QuoteChangedError], but not the instant at which a parallel
// term begins, and for [Convert] and [ProrateCharge] not the time that has passed
// within an hour. The terms that these end, they end when the order is paid. It
// fails further as [Service.Purchase] does.
func (s *Service) Upgrade(ctx context.Context, q UpgradeQuote) (Order, Summary, error) {
	return ordering(ctx, s, q, s.UpgradeTx)
}

// UpgradeTx is [Service.Upgrade] within a commit.
func (s *Service) UpgradeTx(ctx context.Context, tx *storage.Tx, q UpgradeQuote) (Order, Summary, error) {
	_, ok, err := orders.Get(tx, q.Purchase.Tenant, q.Purchase.ID)
	if err != nil {
		return Order{}, Summary{}, err
	}
	at := tx.Now(s.cfg.Now)
	if q.Mode.replaces() && !q.At.After(at) && at.Sub(q.At) < quoteLife {
		at = q.At
	}
	if !ok {
		now, err := s.quoteUpgrade(tx, q.Purchase, q.Mode, at)
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
	return s.purchase(ctx, tx, q.Purchase, at)
}

// equal compares quotes as what they say.
func (q UpgradeQuote) equal(now UpgradeQuote) (bool, error) {
	if q.Mode == Parallel {
		q.Summary.From, q.Summary.Until = now.Summary.From, now.Summary.Until
	}
	q.At, now.At = time.Time{}, time.Time{}
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

// coming is a term of a timeline that has not ended, with its order.
type coming struct {
	seg Segment
	rec orderRecord
}

// left is the time that a segment has to come at an instant, of all it has.
func (s Segment) left(now time.Time) (left, all time.Duration) {
	from := s.From
	if now.After(from) {
		from = now
	}
	return max(0, s.Until.Sub(from)), s.Until.Sub(s.From) + s.Ran
}

// coming lists the terms of a timeline that have not ended at an instant.
func (s *Service) coming(tx *storage.Tx, tenant string, m *Member, t PlanType, at time.Time) ([]coming, error) {
	var out []coming
	for _, seg := range m.Lane(t).Segments {
		if !seg.Until.After(at) {
			continue
		}
		if seg.Frozen {
			return nil, fmt.Errorf("%w: a refund is under way", ErrState)
		}
		rec, err := loadOrder(tx, tenant, seg.Order)
		if err != nil {
			return nil, err
		}
		out = append(out, coming{seg, rec})
	}
	return out, nil
}

// worth is what terms are still worth: what was paid for each by its time left,
// rounded down.
func worth(terms []coming, currency string, at time.Time) (Money, error) {
	sum := Money{Currency: currency}
	for _, c := range terms {
		paid := c.rec.worth()
		if paid.Amount == 0 {
			continue
		}
		if paid.Currency != currency {
			return Money{}, fmt.Errorf("%w: paid in another currency", ErrState)
		}
		left, all := c.seg.left(at)
		part, err := paid.MulDiv(left.Microseconds(), all.Microseconds(), Down)
		if err != nil {
			return Money{}, err
		}
		if sum.Amount += part.Amount; sum.Amount < 0 {
			return Money{}, fmt.Errorf("%w: amount", ErrOverflow)
		}
	}
	return sum, nil
}

// worth is what an order's term was sold for: money, and what earlier terms were
// worth that went into it.
func (o Order) worth() Money {
	return Money{Amount: o.Price.Amount + o.Credit.Amount, Currency: o.Price.Currency}
}

// offerUpgrade turns the offer of a plan into that of an upgrade which ends the
// terms of the other type.
func (s *Service) offerUpgrade(tx *storage.Tx, req PurchaseRequest, m *Member, c *Contract, sum *Summary, at time.Time) error {
	other, err := c.Item.otherType()
	if err != nil {
		return err
	}
	terms, err := s.coming(tx, req.Tenant, m, other, at)
	if err != nil {
		return err
	}
	if len(terms) == 0 {
		return fmt.Errorf("%w: no %s membership runs", ErrState, other)
	}
	up := &UpgradeTerms{Mode: req.Upgrade, Ends: other}
	for _, t := range terms {
		up.Orders = append(up.Orders, t.rec.ID)
	}
	if up.Credit, err = worth(terms, sum.Price.Currency, at); err != nil {
		return err
	}
	if req.Upgrade == ProrateCharge {
		if lane := m.Lane(c.Item.Type); lane.End().After(at) {
			return fmt.Errorf("%w: a %s membership runs already", ErrState, c.Item.Type)
		}
		if err := prorate(terms, c, sum, at); err != nil {
			return err
		}
		up.Lots = sum.Lots
	}
	c.Upgrade, sum.Upgrade = up, up
	return nil
}

// prorate sets the price of the time that terms have left at another plan's
// price, the units that come with it, and the end.
func prorate(terms []coming, c *Contract, sum *Summary, at time.Time) error {
	price := Money{Currency: sum.Price.Currency}
	var lots []LotSpec
	for _, t := range terms {
		old, err := t.rec.Sold()
		if err != nil {
			return err
		}
		full, err := old.Price.gross()
		if err != nil {
			return err
		}
		switch {
		case old.Item.ID == "":
			return fmt.Errorf("%w: an extension cannot be prorated", ErrState)
		case t.seg.Term != c.Item.Term:
			return fmt.Errorf("%w: the terms differ in length", ErrState)
		case full.Currency != sum.Price.Currency:
			return fmt.Errorf("%w: paid in another currency", ErrState)
		case full.Amount > sum.Price.Amount:
			return fmt.Errorf("%w: the other plan is cheaper", ErrState)
		}
		left, all := t.seg.left(at)
		more := Money{Amount: sum.Price.Amount - full.Amount, Currency: full.Currency}
		if more, err = more.MulDiv(left.Microseconds(), all.Microseconds(), HalfUp); err != nil {
			return err
		}
		if price.Amount += more.Amount; price.Amount < 0 {
			return fmt.Errorf("%w: amount", ErrOverflow)
		}
		for i, l := range c.Item.Lots {
			n, err := Money{Amount: int64(l.Units)}.MulDiv(left.Microseconds(), all.Microseconds(), Up)
			if err != nil {
				return err
			}
			if len(lots) == i {
				l.Units = 0
				lots = append(lots, l)
			}
			if lots[i].Units += quota.Units(n.Amount); lots[i].Units < 0 {
				return fmt.Errorf("%w: units", ErrOverflow)
			}
		}
	}
	sum.Price, sum.Lots, sum.Term = price, lots, quota.Term{}
	sum.From, sum.Until = at, terms[len(terms)-1].seg.Until
	// Of a price that tax was added to, the share of tax is the same as if included.
	var err error
	sum.Tax, err = tax(price, c.Price.TaxBps, true)
	return err
}

// converted is how long an amount lasts at the price of a term, in whole
// seconds, rounded down.
func converted(credit, price Money, term time.Duration) (time.Duration, error) {
	if price.Amount == 0 {
		return 0, fmt.Errorf("%w: nothing converts into what costs nothing", ErrState)
	}
	sec, err := credit.MulDiv(int64(term/time.Second), price.Amount, Down)
	if err != nil {
		return 0, err
	}
	if sec.Amount > maxExtra {
		return 0, fmt.Errorf("%w: term", ErrOverflow)
	}
	return time.Duration(sec.Amount) * time.Second, nil
}

// maxExtra bounds converted time to what a duration holds, in seconds.
const maxExtra = int64(1<<63-1) / int64(time.Second)

// upgrade ends the terms that an upgrade replaces and begins the new one, when
// it is paid. What the old ones are worth is counted from now. Terms that are no
// longer those of the contract make the payment one that does not fit.
func (s *Service) upgrade(tx *storage.Tx, tenant string, rec *orderRecord, c Contract, now time.Time) error {
	m, err := load(tx, tenant, rec.Beneficiary)
	if err != nil {
		return err
	}
	up := c.Upgrade
	terms, err := s.coming(tx, tenant, &m, up.Ends, now)
	ids := make([]string, 0, len(terms))
	for _, t := range terms {
		ids = append(ids, t.rec.ID)
	}
	lane := m.lane(c.Item.Type)
	if err != nil || !slices.Equal(ids, up.Orders) || up.Mode == ProrateCharge && lane.End().After(now) {
		return &PaymentMismatchError{Why: "upgrade", State: rec.State}
	}
	if rec.Credit, err = worth(terms, rec.Price.Currency, now); err != nil {
		return err
	}
	seg := Segment{Order: rec.ID, Item: c.Item.Ref(), Term: c.Item.Term, Grants: c.Item.Grants, Seats: c.Item.Seats}
	if up.Mode == ProrateCharge {
		seg.Term, seg.Extra = quota.Term{}, terms[len(terms)-1].seg.Until.Sub(now)
	} else if seg.Extra, err = s.extra(rec.Credit, rec.Price, c.Item.Term, *lane, now); err != nil {
		return err
	}
	if err := lane.add(seg, now); err != nil {
		return err
	}
	rec.Segment, rec.Replaces = c.Item.Type, ids
	m.lane(up.Ends).cut(rec.ID, now)
	for _, t := range terms {
		t.rec.Into = rec.ID
		if err := orders.Put(tx, tenant, t.rec.ID, t.rec); err != nil {
			return err
		}
	}
	return save(tx, tenant, m)
}

// extra is the time that a credit adds to a term appended to a timeline.
func (s *Service) extra(credit, price Money, term quota.Term, lane Lane, now time.Time) (time.Duration, error) {
	lane.Segments = slices.Clone(lane.Segments)
	if err := lane.add(Segment{Term: term}, now); err != nil {
		return 0, err
	}
	last := lane.Segments[len(lane.Segments)-1]
	return converted(credit, price, last.Until.Sub(last.From))
}
