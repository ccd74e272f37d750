package membership

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A PaidRequest reports a payment.
type PaidRequest struct {
	Tenant  string `json:"tenant"`
	Order   string `json:"order"`
	Payment string `json:"payment"` // the platform's id of the payment, which names the call
	Amount  Money  `json:"amount"`  // what was paid
}

// A PaymentMismatchError says why a payment does not settle an order: the host
// must pay it back. It unwraps to [ErrPaymentMismatch].
type PaymentMismatchError struct {
	Why   string     // "amount", "state", "payment_used", "terminated" or "upgrade": the terms to replace have changed
	State OrderState // of the order
}

// Error implements error.
func (e *PaymentMismatchError) Error() string {
	return "membership: payment does not fit the order: " + e.Why
}

// Unwrap returns [ErrPaymentMismatch].
func (e *PaymentMismatchError) Unwrap() error { return ErrPaymentMismatch }

// MarkPaid settles an order: in one commit it grants the lots, whose windows
// begin now (T08), appends the term to its timeline, and records the payment as
// acceptance of the agreements (H01). A membership that was a gift waits for
// [Service.AcceptGift]; its lots do not.
//
// A second report of the same payment changes nothing and gets the same answer.
// It fails with [PaymentMismatchError], [ErrNotFound] or [ErrRequest].
func (s *Service) MarkPaid(ctx context.Context, req PaidRequest) (Order, error) {
	return update(ctx, s, req, s.MarkPaidTx)
}

// MarkPaidTx is [Service.MarkPaid] within a commit.
func (s *Service) MarkPaidTx(ctx context.Context, tx *storage.Tx, req PaidRequest) (Order, error) {
	if s.cfg.Catalogue == nil {
		return Order{}, ErrNoCatalogue
	}
	if err := checkIDs(req.Tenant, req.Payment); err != nil {
		return Order{}, err
	}
	if err := checkOrder(req.Tenant, req.Order); err != nil {
		return Order{}, err
	}
	o, err := storage.Once(tx, payments.Key(req.Tenant, req.Payment), intent("paid", req), func() (Order, error) {
		return s.settle(ctx, tx, req)
	})
	if errors.Is(err, ErrIntentMismatch) {
		err = &PaymentMismatchError{Why: "payment_used"}
	}
	return o, err
}

func (s *Service) settle(ctx context.Context, tx *storage.Tx, req PaidRequest) (Order, error) {
	rec, err := loadOrder(tx, req.Tenant, req.Order)
	if err != nil {
		return Order{}, err
	}
	switch {
	case rec.State != Pending:
		return Order{}, &PaymentMismatchError{Why: "state", State: rec.State}
	case req.Amount != rec.Price:
		return Order{}, &PaymentMismatchError{Why: "amount", State: rec.State}
	}
	if m, err := load(tx, req.Tenant, rec.Beneficiary); err != nil {
		return Order{}, err
	} else if m.Status == Terminated {
		return Order{}, &PaymentMismatchError{Why: "terminated", State: rec.State}
	}
	now := tx.Now(s.cfg.Now)
	for _, ref := range rec.Terms {
		_, err := s.cfg.Terms.AcceptTx(ctx, tx, privacy.Acceptance{
			Tenant: req.Tenant, Account: string(rec.Payer), Document: ref.Document, Version: ref.Version, Digest: ref.Digest,
			Act: privacy.ActPay, Client: rec.Client,
		})
		if err != nil && !errors.Is(err, privacy.ErrAct) {
			return Order{}, err // ErrAct: it was ticked at the purchase, or that would have failed
		}
	}
	sold, err := rec.Sold()
	if err != nil {
		return Order{}, err
	}
	if rec.Fee, err = rec.FeeRule.of(rec.Price); err != nil {
		return Order{}, err
	}
	rec.State, rec.PaidAt, rec.Payment = Paid, now, req.Payment
	var until time.Time // of lots without a term of their own; zero: the item's
	switch {
	case sold.Upgrade != nil:
		if err := s.upgrade(tx, req.Tenant, &rec, sold, now); err != nil {
			return Order{}, err
		}
		if sold.Upgrade.Mode == ProrateCharge {
			sold.Item.Lots, until = sold.Upgrade.Lots, rec.Summary.Until
		}
	case sold.Item.Kind == Plan && !rec.Gift():
		if err := s.begin(tx, req.Tenant, &rec, sold.Item, now); err != nil {
			return Order{}, err
		}
	}
	if err := s.grant(ctx, tx, req.Tenant, &rec, sold.Item, until); err != nil {
		return Order{}, err
	}
	return rec.Order, orders.Put(tx, req.Tenant, rec.ID, rec)
}

// grant gives the units of an item, each lot named by its line of the order.
func (s *Service) grant(ctx context.Context, tx *storage.Tx, tenant string, rec *orderRecord, item Item, until time.Time) error {
	source := quota.Bought
	if rec.Gift() || rec.Price.Amount == 0 {
		source = quota.Given
	}
	for i, l := range item.Lots {
		term, end := l.Term, time.Time{}
		switch {
		case !term.IsZero():
		case !until.IsZero():
			end = until
		default:
			term = item.Term
		}
		id := quota.LotID(rec.ID + "/" + strconv.Itoa(i+1))
		_, err := s.cfg.Ledger.GrantTx(ctx, tx, quota.GrantRequest{
			Tenant: tenant, ID: id, Account: rec.Beneficiary, Unit: l.Unit, Units: l.Units, Scope: l.Scope,
			Priority: l.Priority, Source: source, Term: term, Until: end, Order: rec.ID,
		})
		if err != nil {
			return err
		}
		rec.Lots = append(rec.Lots, id)
	}
	return nil
}

// begin appends an order's term to the beneficiary's timeline.
func (s *Service) begin(tx *storage.Tx, tenant string, rec *orderRecord, item Item, now time.Time) error {
	m, err := load(tx, tenant, rec.Beneficiary)
	if err != nil {
		return err
	}
	seg := Segment{Order: rec.ID, Item: item.Ref(), Term: item.Term, Grants: item.Grants, Seats: item.Seats}
	start, err := s.start(tx, tenant, &m, item.Type, rec.After, now)
	if err != nil {
		return err
	}
	if err := m.lane(item.Type).add(seg, start); err != nil {
		return err
	}
	rec.Segment = item.Type
	return save(tx, tenant, m)
}

// start is the instant from which a term of a timeline may begin: now, the end of
// the timeline it is to follow, and with [Config].StackTerms that of the same type
// of the account it is linked to.
func (s *Service) start(tx *storage.Tx, tenant string, m *Member, t, after PlanType, now time.Time) (time.Time, error) {
	start := m.after(after, now)
	if !s.cfg.StackTerms {
		return start, nil
	}
	other, err := linked(tx, tenant, m)
	if err != nil || other == nil {
		return start, err
	}
	if lane := other.Lane(t); lane.End().After(start) {
		start = lane.End()
	}
	return start, nil
}

// A GiftRequest accepts a gift.
type GiftRequest struct {
	Tenant  string          `json:"tenant"`
	Order   string          `json:"order"`
	Account quota.AccountID `json:"account"` // must be the beneficiary
	Client  string          `json:"client,omitzero"`
	// Terms are the versions of the agreements that were shown; all those in force.
	Terms []TermsRef `json:"terms,omitzero"`
}

// AcceptGift starts a membership that someone else paid for: the term begins
// when the beneficiary accepts (H52), which is also acceptance of the agreements
// where they allow it (H01). Repeating it changes nothing. It fails with
// [ErrNotFound] for anyone but the beneficiary, [ErrState] if the order is not a
// paid gift of a membership, [DeniedError], [ErrTerms], [ErrRequest] or
// [ErrIntentMismatch].
func (s *Service) AcceptGift(ctx context.Context, req GiftRequest) (Member, error) {
	return update(ctx, s, req, s.AcceptGiftTx)
}

// AcceptGiftTx is [Service.AcceptGift] within a commit.
func (s *Service) AcceptGiftTx(ctx context.Context, tx *storage.Tx, req GiftRequest) (Member, error) {
	if err := checkIDs(req.Tenant, string(req.Account)); err != nil {
		return Member{}, err
	}
	rec, err := loadOrder(tx, req.Tenant, req.Order)
	if err != nil {
		return Member{}, err
	}
	if rec.Beneficiary != req.Account {
		return Member{}, fmt.Errorf("%w: order", ErrNotFound)
	}
	return once(tx, req.Tenant, "gift/"+req.Order, "gift", req, func() (Member, error) {
		return s.claim(ctx, tx, rec, req)
	})
}

func (s *Service) claim(ctx context.Context, tx *storage.Tx, rec orderRecord, req GiftRequest) (Member, error) {
	if rec.State != Paid || !rec.Gift() || !rec.unclaimed() {
		return Member{}, fmt.Errorf("%w: no gift to accept", ErrState)
	}
	m, err := load(tx, req.Tenant, req.Account)
	if err == nil {
		err = m.mayAct()
	}
	if err != nil {
		return Member{}, err
	}
	if err := s.takeGift(ctx, tx, req); err != nil {
		return Member{}, err
	}
	sold, err := rec.Sold()
	if err != nil {
		return Member{}, err
	}
	rec.Claimed = tx.Now(s.cfg.Now)
	if err := s.begin(tx, req.Tenant, &rec, sold.Item, rec.Claimed); err != nil {
		return Member{}, err
	}
	if err := orders.Put(tx, req.Tenant, rec.ID, rec); err != nil {
		return Member{}, err
	}
	return shown(tx, req.Tenant, req.Account)
}

// takeGift records that accepting a gift accepted the agreements.
func (s *Service) takeGift(ctx context.Context, tx *storage.Tx, req GiftRequest) error {
	for _, doc := range s.cfg.Documents {
		_, err := s.cfg.Terms.AcceptedTx(tx, req.Tenant, string(req.Account), doc)
		var not *privacy.NotAcceptedError
		if err == nil {
			continue
		}
		if !errors.As(err, &not) {
			return err
		}
		shown := false
		for _, ref := range req.Terms {
			if ref.Document != doc || ref.Version != not.Version {
				continue
			}
			shown = true
			_, err = s.cfg.Terms.AcceptTx(ctx, tx, privacy.Acceptance{
				Tenant: req.Tenant, Account: string(req.Account), Document: doc, Version: ref.Version, Digest: ref.Digest,
				Act: privacy.ActGift, Client: req.Client,
			})
		}
		if err != nil || !shown {
			return fmt.Errorf("%w: %w", ErrTerms, err)
		}
	}
	return nil
}

// UnclaimedGifts yields memberships that were given more than 30 days ago and
// not accepted: whoever paid can be asked what to do (D10). It ends after an error.
func (s *Service) UnclaimedGifts(ctx context.Context) iter.Seq2[OrderRequest, error] {
	return func(yield func(OrderRequest, error) bool) {
		now := s.cfg.Now
		if now == nil {
			now = time.Now
		}
		keys, err := s.cfg.Store.Due(ctx, orders.Name, now(), dueLimit)
		if err != nil {
			yield(OrderRequest{}, err)
			return
		}
		for _, k := range keys {
			if !yield(OrderRequest{Tenant: k.Tenant, ID: k.ID}, nil) {
				return
			}
		}
	}
}

// dueLimit bounds a list of what is due: it is worked off, not archived.
const dueLimit = 1000

// A VoidRequest ends an unpaid order.
type VoidRequest struct {
	Tenant string `json:"tenant"`
	ID     string `json:"id"` // of this call
	Order  string `json:"order"`
	Actor  string `json:"actor,omitzero"`
	Reason string `json:"reason,omitzero"`
}

// Void ends an order that was not paid; a payment that arrives later is an
// [ErrPaymentMismatch]. It fails with [ErrState], [ErrNotFound], [ErrRequest] or
// [ErrIntentMismatch].
func (s *Service) Void(ctx context.Context, req VoidRequest) (Order, error) {
	return update(ctx, s, req, s.VoidTx)
}

// VoidTx is [Service.Void] within a commit.
func (s *Service) VoidTx(ctx context.Context, tx *storage.Tx, req VoidRequest) (Order, error) {
	if err := checkCall(req.Tenant, req.ID, req.Actor, req.Reason); err != nil {
		return Order{}, err
	}
	return once(tx, req.Tenant, req.ID, "void", req, func() (Order, error) {
		rec, err := loadOrder(tx, req.Tenant, req.Order)
		if err != nil {
			return Order{}, err
		}
		if rec.State != Pending {
			return Order{}, fmt.Errorf("%w: order is %s", ErrState, rec.State)
		}
		rec.State, rec.Actor, rec.Reason = Void, req.Actor, req.Reason
		return rec.Order, orders.Put(tx, req.Tenant, rec.ID, rec)
	})
}

// An ExtendRequest gives a member more time.
type ExtendRequest struct {
	Tenant  string          `json:"tenant"`
	ID      string          `json:"id"` // of the order that records it
	Account quota.AccountID `json:"account"`
	Type    PlanType        `json:"type"`
	Term    quota.Term      `json:"term"`
	Reason  string          `json:"reason"` // required
	Actor   string          `json:"actor"`  // required
}

// Extend appends a term to a running membership, on the terms of its last
// segment, as an order of price 0 that names who and why. Nothing else moves an
// end: neither non-use nor an outage does (H53, H55). It fails with [ErrState]
// if no membership of the type runs, [ErrRequest] or [ErrIntentMismatch].
func (s *Service) Extend(ctx context.Context, req ExtendRequest) (Member, error) {
	return update(ctx, s, req, s.ExtendTx)
}

// ExtendTx is [Service.Extend] within a commit.
func (s *Service) ExtendTx(ctx context.Context, tx *storage.Tx, req ExtendRequest) (Member, error) {
	if s.cfg.Catalogue == nil {
		return Member{}, ErrNoCatalogue
	}
	if err := checkCall(req.Tenant, req.ID, req.Actor, req.Reason); err != nil {
		return Member{}, err
	}
	if err := checkOrder(req.Tenant, req.ID); err != nil {
		return Member{}, err
	}
	if err := checkIDs(req.Tenant, string(req.Account)); err != nil {
		return Member{}, err
	}
	if req.Reason == "" || req.Actor == "" {
		return Member{}, badRequest("reason", "who and why are required")
	}
	return once(tx, req.Tenant, req.ID, "extend", req, func() (Member, error) { return s.extend(tx, req) })
}

func (s *Service) extend(tx *storage.Tx, req ExtendRequest) (Member, error) {
	now := tx.Now(s.cfg.Now)
	m, err := load(tx, req.Tenant, req.Account)
	if err != nil {
		return Member{}, err
	}
	lane := m.lane(req.Type)
	if !lane.End().After(now) || m.Status == Terminated {
		return Member{}, fmt.Errorf("%w: no membership runs", ErrState)
	}
	last := lane.Segments[len(lane.Segments)-1]
	seg := Segment{Order: req.ID, Item: last.Item, Term: req.Term, Grants: last.Grants, Seats: last.Seats}
	if err := lane.add(seg, now); err != nil {
		return Member{}, err
	}
	if err := save(tx, req.Tenant, m); err != nil {
		return Member{}, err
	}
	rec := orderRecord{
		Order: Order{
			ID: req.ID, Payer: req.Account, Beneficiary: req.Account, At: now, PaidAt: now, State: Paid,
			Segment: req.Type, Reason: req.Reason, Actor: req.Actor, Terms: []TermsRef{},
		},
		Summary: Summary{Account: req.Account, Item: last.Item, Title: "extension", Type: req.Type, Term: req.Term, Excludes: []string{}, Terms: []TermsRef{}},
	}
	if err := s.create(tx, req.Tenant, rec); err != nil {
		return Member{}, err
	}
	return shown(tx, req.Tenant, req.Account)
}

func checkCall(tenant, id, actor, reason string) error {
	if err := checkIDs(tenant, id); err != nil {
		return err
	}
	if err := checkText("actor", actor); err != nil {
		return err
	}
	return checkText("reason", reason)
}
