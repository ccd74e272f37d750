package membership

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A TermsRef names a version of an agreement.
type TermsRef struct {
	Document string `json:"document"`
	Version  string `json:"version"`
	Digest   string `json:"digest"` // SHA-256 of the text, in hexadecimal
}

// An OrderState is where an order stands.
type OrderState string

// Order states.
const (
	Pending   OrderState = "pending"   // waits for payment
	Paid      OrderState = "paid"      // settled: units and terms are given
	Void      OrderState = "void"      // ended unpaid
	Refunding OrderState = "refunding" // the host is paying back
	Refunded  OrderState = "refunded"
)

// An Order is a contract as it was made: item and price never change in it (H16,
// H27, M6).
type Order struct {
	ID          string          `json:"id"`
	Payer       quota.AccountID `json:"payer"`
	Beneficiary quota.AccountID `json:"beneficiary"`       // who benefits; another than the payer: a gift (H19)
	Contract    json.RawMessage `json:"contract"`          // item and price as they were shown
	Price       Money           `json:"price"`             // to be paid
	Tax         Money           `json:"tax"`               // within the price (T19)
	TaxBps      int32           `json:"tax_bps"`           // 600 is 6 %
	FeeRule     Fee             `json:"fee_rule"`          // what the payment method keeps
	Fee         Money           `json:"fee,omitzero"`      // what it kept
	Channel     string          `json:"channel,omitempty"` // the sales channel (H63)
	Client      string          `json:"client,omitempty"`  // app, mini-program, web (H10)
	Method      string          `json:"method,omitempty"`  // the payment method accepted (H62)
	Terms       []TermsRef      `json:"terms"`             // the agreements it was made under
	At          time.Time       `json:"at"`
	PaidAt      time.Time       `json:"paid_at,omitzero"`
	State       OrderState      `json:"state"`
	Payment     string          `json:"payment,omitempty"`  // the platform's id of the payment
	Claimed     time.Time       `json:"claimed,omitzero"`   // when a gift was accepted
	Lots        []quota.LotID   `json:"lots,omitempty"`     // granted when it was paid
	After       PlanType        `json:"after,omitempty"`    // the term begins when that timeline ends
	Segment     PlanType        `json:"segment,omitempty"`  // the lane it gave a term to
	Refund      string          `json:"refund,omitempty"`   // the refund that is or was made
	Returned    Money           `json:"returned,omitzero"`  // what went back
	Credit      Money           `json:"credit,omitzero"`    // what the terms it replaced were worth, see [Convert]
	Replaces    []string        `json:"replaces,omitempty"` // the orders that gave them
	Into        string          `json:"into,omitempty"`     // the order that replaced this one's term
	Clawed      time.Time       `json:"clawed,omitzero"`    // when it was taken back for abuse, see [Service.Claw]
	Reason      string          `json:"reason,omitempty"`   // of an extension, voiding or refund
	Actor       string          `json:"actor,omitempty"`    // who extended, voided or refunded
}

// Gift reports whether someone else pays.
func (o Order) Gift() bool { return o.Payer != o.Beneficiary }

// A Contract is what an order sold: canonical JSON of it is in [Order].Contract.
type Contract struct {
	Item    Item          `json:"item"`
	Price   Price         `json:"price"`             // of a whole term
	Upgrade *UpgradeTerms `json:"upgrade,omitempty"` // of an upgrade that ends other terms
}

// Sold returns the contract of the order. It fails with [storage.ErrCorrupt] for an
// order that did not come from a [Service].
func (o Order) Sold() (Contract, error) {
	var c Contract
	if json.Unmarshal(o.Contract, &c) != nil {
		return Contract{}, fmt.Errorf("%w: membership: contract of an order", storage.ErrCorrupt)
	}
	return c, nil
}

// A Summary is what must be shown before a purchase (H08, H29, H43, H60).
type Summary struct {
	Account  quota.AccountID `json:"account"` // who will benefit
	Item     ItemRef         `json:"item"`
	Title    string          `json:"title"`
	Type     PlanType        `json:"type,omitempty"`
	Grants   []Feature       `json:"grants,omitempty"`
	Lots     []LotSpec       `json:"lots,omitempty"`
	Excludes []string        `json:"excludes"` // what it does not include
	Price    Money           `json:"price"`
	Tax      Money           `json:"tax"`
	Term     quota.Term      `json:"term"`
	// From and Until are the term if it were paid now; of a gift, if also accepted.
	From   time.Time  `json:"from"`
	Until  time.Time  `json:"until"`
	Refund RefundRule `json:"refund,omitempty"`
	Terms  []TermsRef `json:"terms"` // the agreements to accept, as in force
	// Upgrade says which terms end when it is paid, and what they are worth.
	Upgrade *UpgradeTerms `json:"upgrade,omitempty"`
}

// orderRecord is an order and the call that made it.
type orderRecord struct {
	Order
	Intent  string  `json:"intent"`
	Summary Summary `json:"summary"`
}

// unclaimedAfter is when a gift that nobody accepted is listed.
const unclaimedAfter = 30 * 24 * time.Hour

var (
	orders = storage.Kind[orderRecord]{Name: "mem.order", Schema: 1, Due: func(r orderRecord) time.Time {
		if r.State == Paid && r.Gift() && r.unclaimed() {
			return r.PaidAt.Add(unclaimedAfter)
		}
		return time.Time{}
	}}
	orderIndex = storage.Kind[OrderRow]{Name: "mem.orderby", Schema: 1}
	payments   = storage.Kind[struct{}]{Name: "mem.pay", Schema: 1} // kept by storage.Once
	sold       = storage.Kind[soldItem]{Name: "mem.item", Schema: 1}
)

// unclaimed reports whether the order is for a membership nobody took yet.
func (r orderRecord) unclaimed() bool {
	return r.Summary.Type != "" && r.Claimed.IsZero() && r.Clawed.IsZero()
}

// soldItem fixes a version of an item once it was sold.
type soldItem struct {
	Item Item `json:"item"`
}

// An OrderRow is an order in a list.
type OrderRow struct {
	ID    string    `json:"id"`
	Title string    `json:"title"`
	Price Money     `json:"price"`
	At    time.Time `json:"at"`
}

// A PurchaseRequest makes an order.
type PurchaseRequest struct {
	Tenant      string          `json:"tenant"`
	ID          string          `json:"id"` // of the order; no slash or tilde
	Payer       quota.AccountID `json:"payer"`
	Beneficiary quota.AccountID `json:"beneficiary,omitzero"` // empty: the payer
	Item        string          `json:"item"`                 // the newest version on sale is bought
	Channel     string          `json:"channel,omitzero"`     // decides the price (H63)
	Client      string          `json:"client,omitzero"`      // recorded, decides nothing (H10)
	Method      string          `json:"method,omitzero"`      // the payment method
	// After, if set, is a plan type whose timeline the term follows, see [AtEnd].
	After PlanType `json:"after,omitzero"`
	// Upgrade, if set, is [Convert] or [ProrateCharge], see [Service.QuoteUpgrade].
	Upgrade UpgradeMode `json:"upgrade,omitzero"`
	// Shown, if set, is the price that was shown; another one fails.
	Shown Money `json:"shown,omitzero"`
	// Terms are the versions that were shown, all of [Config].Documents. Empty
	// asks that the payer accepted those in force before.
	Terms []TermsRef `json:"terms,omitzero"`
	// Ticked says that the payer ticked them; going on to pay accepts them
	// otherwise, where the agreement allows that (T01, D19).
	Ticked bool `json:"ticked,omitzero"`
}

// Quote returns what Purchase would sell now, and changes nothing. It fails with
// [ErrNotForSale], [ErrTerms] if an agreement was never published, [ErrRequest]
// and [ErrNoCatalogue]; the price shown is not compared.
func (s *Service) Quote(ctx context.Context, req PurchaseRequest) (Summary, error) {
	return view(ctx, s, req, func(ctx context.Context, tx *storage.Tx, req PurchaseRequest) (Summary, error) {
		if err := s.checkPurchase(&req); err != nil {
			return Summary{}, err
		}
		_, sum, err := s.offer(tx, req, tx.Now(s.cfg.Now))
		return sum, err
	})
}

// Purchase makes an order that waits for payment and returns it with the
// summary of what it sells. Nothing is given before [Service.MarkPaid].
//
// It fails with [ErrRefused] if the guard refuses, before there is an order;
// with [DeniedError] if payer or beneficiary is suspended or terminated, or a
// plan is for somebody who is no natural person;
// [ErrTerms] if agreements are not accepted or those shown are outdated;
// [ErrNotForSale], [ErrQuoteChanged], [ErrCatalogue], [ErrRequest],
// [ErrNoCatalogue] or [ErrIntentMismatch].
func (s *Service) Purchase(ctx context.Context, req PurchaseRequest) (Order, Summary, error) {
	return ordering(ctx, s, req, s.PurchaseTx)
}

// ordering runs a Tx form that makes an order on its own.
func ordering[Q any](ctx context.Context, s *Service, req Q, do func(context.Context, *storage.Tx, Q) (Order, Summary, error)) (Order, Summary, error) {
	type answer struct {
		order   Order
		summary Summary
	}
	a, err := update(ctx, s, req, func(ctx context.Context, tx *storage.Tx, req Q) (answer, error) {
		o, sum, err := do(ctx, tx, req)
		return answer{o, sum}, err
	})
	return a.order, a.summary, err
}

// PurchaseTx is [Service.Purchase] within a commit.
func (s *Service) PurchaseTx(ctx context.Context, tx *storage.Tx, req PurchaseRequest) (Order, Summary, error) {
	return s.purchase(ctx, tx, req, tx.Now(s.cfg.Now))
}

// purchase makes an order at what it costs at an instant.
func (s *Service) purchase(ctx context.Context, tx *storage.Tx, req PurchaseRequest, at time.Time) (Order, Summary, error) {
	sum := intent("purchase", req)
	want := hex.EncodeToString(sum[:])
	if err := s.checkPurchase(&req); err != nil {
		return Order{}, Summary{}, err
	}
	rec, ok, err := orders.Get(tx, req.Tenant, req.ID)
	if err != nil {
		return Order{}, Summary{}, err
	}
	if ok {
		if rec.Intent != want {
			return Order{}, Summary{}, fmt.Errorf("%w: order", ErrIntentMismatch)
		}
		return rec.pending(), rec.Summary, nil
	}
	if s.cfg.Guard != nil {
		if err := s.cfg.Guard(req); err != nil {
			return Order{}, Summary{}, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	for _, account := range []quota.AccountID{req.Payer, req.Beneficiary} {
		m, err := load(tx, req.Tenant, account)
		if err == nil {
			err = m.mayAct()
		}
		if err != nil {
			return Order{}, Summary{}, err
		}
	}
	c, summary, err := s.offer(tx, req, at)
	if err != nil {
		return Order{}, Summary{}, err
	}
	if c.Item.Kind == Plan && s.cfg.Person != nil && !s.cfg.Person(req.Tenant, req.Beneficiary) {
		return Order{}, Summary{}, &DeniedError{Reason: DeniedPerson}
	}
	if req.Shown != (Money{}) && req.Shown != summary.Price {
		return Order{}, Summary{}, ErrQuoteChanged
	}
	if err := s.agree(ctx, tx, req, summary.Terms); err != nil {
		return Order{}, Summary{}, err
	}
	if err := s.fix(tx, req.Tenant, c.Item); err != nil {
		return Order{}, Summary{}, err
	}
	contract, err := json.Marshal(c)
	if err != nil {
		return Order{}, Summary{}, fmt.Errorf("membership: encode contract: %w", err)
	}
	rec = orderRecord{Intent: want, Summary: summary, Order: Order{
		ID: req.ID, Payer: req.Payer, Beneficiary: req.Beneficiary, Contract: contract,
		Price: summary.Price, Tax: summary.Tax, TaxBps: c.Price.TaxBps, FeeRule: s.cfg.Fees[req.Method],
		Channel: req.Channel, Client: req.Client, Method: req.Method,
		Terms: summary.Terms, At: tx.Now(s.cfg.Now), State: Pending, After: req.After,
	}}
	return rec.Order, summary, s.create(tx, req.Tenant, rec)
}

// create stores an order and lists it for those it concerns.
func (s *Service) create(tx *storage.Tx, tenant string, rec orderRecord) error {
	if err := orders.Create(tx, tenant, rec.ID, rec); err != nil {
		return err
	}
	row := OrderRow{ID: rec.ID, Title: rec.Summary.Title, Price: rec.Price, At: rec.At}
	for _, account := range slices.Compact([]quota.AccountID{rec.Payer, rec.Beneficiary}) {
		id := storage.JoinID(string(account), storage.NewestFirst(rec.At), rec.ID)
		if err := orderIndex.Create(tx, tenant, id, row); err != nil {
			return err
		}
	}
	return nil
}

// pending is the order as the call that made it answered.
func (r orderRecord) pending() Order {
	o := r.Order
	o.State, o.PaidAt, o.Payment, o.Fee, o.Claimed = Pending, time.Time{}, "", Money{}, time.Time{}
	o.Lots, o.Segment, o.Refund, o.Returned, o.Reason, o.Actor = nil, "", "", Money{}, "", ""
	o.Credit, o.Replaces, o.Into, o.Clawed = Money{}, nil, "", time.Time{}
	return o
}

func (s *Service) checkPurchase(req *PurchaseRequest) error {
	if s.cfg.Catalogue == nil {
		return ErrNoCatalogue
	}
	if req.Beneficiary == "" {
		req.Beneficiary = req.Payer
	}
	if err := checkOrder(req.Tenant, req.ID); err != nil {
		return err
	}
	if err := checkIDs(req.Tenant, string(req.Payer), string(req.Beneficiary)); err != nil {
		return err
	}
	switch {
	case req.Upgrade != "" && !req.Upgrade.replaces():
		return badRequest("upgrade", "unknown")
	case req.Upgrade != "" && req.After != "":
		return badRequest("after", "an upgrade begins when it is paid")
	case req.Upgrade != "" && req.Payer != req.Beneficiary:
		return badRequest("beneficiary", "a gift ends no terms")
	}
	for field, text := range map[string]string{"channel": req.Channel, "client": req.Client, "method": req.Method} {
		if err := checkText(field, text); err != nil {
			return err
		}
	}
	return nil
}

// offer finds item and price of an instant and sums up what would be sold.
func (s *Service) offer(tx *storage.Tx, req PurchaseRequest, at time.Time) (Contract, Summary, error) {
	item, ok := s.cfg.Catalogue.item(req.Item, at)
	if !ok {
		return Contract{}, Summary{}, fmt.Errorf("%w: item", ErrNotForSale)
	}
	price, ok := s.cfg.Catalogue.price(item.Ref(), req.Channel, req.Payer, at)
	if !ok {
		return Contract{}, Summary{}, fmt.Errorf("%w: no price", ErrNotForSale)
	}
	sum := Summary{
		Account: req.Beneficiary, Item: item.Ref(), Title: item.Title, Type: item.Type, Grants: item.Grants, Lots: item.Lots,
		Excludes: excludes(item), Term: item.Term, Refund: item.Refund, Terms: []TermsRef{},
	}
	c := Contract{Item: item, Price: price}
	var err error
	if sum.Price, err = price.gross(); err != nil {
		return Contract{}, Summary{}, err
	}
	if sum.Tax, err = tax(price.Money, price.TaxBps, price.Inclusive); err != nil {
		return Contract{}, Summary{}, err
	}
	if err := s.term(tx, req, &c, &sum, at); err != nil {
		return Contract{}, Summary{}, err
	}
	for _, doc := range s.cfg.Documents {
		d, err := s.cfg.Terms.CurrentTx(tx, req.Tenant, doc)
		if errors.Is(err, privacy.ErrNotFound) {
			return Contract{}, Summary{}, fmt.Errorf("%w: %s was never published", ErrTerms, doc)
		}
		if err != nil {
			return Contract{}, Summary{}, err
		}
		sum.Terms = append(sum.Terms, TermsRef{Document: doc, Version: d.Version, Digest: d.Digest})
	}
	return c, sum, nil
}

// term says from when until when an offer would run if it were paid at once.
func (s *Service) term(tx *storage.Tx, req PurchaseRequest, c *Contract, sum *Summary, at time.Time) error {
	lane, start := Lane{}, at
	seg := Segment{Term: c.Item.Term}
	switch {
	case c.Item.Kind == Plan:
		m, err := load(tx, req.Tenant, req.Beneficiary)
		if err != nil {
			return err
		}
		if start, err = s.start(tx, req.Tenant, &m, c.Item.Type, req.After, at); err != nil {
			return err
		}
		lane = m.Lane(c.Item.Type)
		lane.Segments = slices.Clone(lane.Segments)
		if req.Upgrade != "" {
			if err := s.offerUpgrade(tx, req, &m, c, sum, at); err != nil {
				return err
			}
		}
	case req.Upgrade != "":
		return badRequest("upgrade", "not a plan")
	}
	switch req.Upgrade {
	case ProrateCharge:
		return nil // it ends with what it replaces
	case Convert:
		var err error
		if seg.Extra, err = s.extra(c.Upgrade.Credit, sum.Price, seg.Term, lane, at); err != nil {
			return err
		}
	}
	if err := lane.add(seg, start); err != nil {
		return err
	}
	last := lane.Segments[len(lane.Segments)-1]
	sum.From, sum.Until = last.From, last.Until
	return nil
}

// excludes lists what an item does not give: every feature and unit known here
// that it does not name, and what the catalogue adds (H08).
func excludes(item Item) []string {
	out := []string{}
	if item.Kind == Plan {
		for _, f := range []Feature{FeatureOrdinary, FeatureApproval} {
			if !item.grants(f) {
				out = append(out, string(f))
			}
		}
		out = append(out, string(FeatureRealNamePerson), string(FeatureRealNameOrg))
	}
	for _, u := range []quota.Unit{quota.UnitSign, quota.UnitPersonCheck, quota.UnitOrgCheck} {
		if !slices.ContainsFunc(item.Lots, func(l LotSpec) bool { return l.Unit == u }) {
			out = append(out, "units:"+string(u))
		}
	}
	return append(out, item.Excludes...)
}

// agree makes sure that payer accepts the agreements: shown and ticked now,
// accepted before, or to be accepted by the payment that follows.
func (s *Service) agree(ctx context.Context, tx *storage.Tx, req PurchaseRequest, inForce []TermsRef) error {
	if len(req.Terms) > 0 && len(req.Terms) != len(inForce) {
		return fmt.Errorf("%w: not the documents asked for", ErrTerms)
	}
	for _, ref := range inForce {
		if len(req.Terms) > 0 && !slices.Contains(req.Terms, ref) {
			return fmt.Errorf("%w: the version of %s shown is not in force", ErrTerms, ref.Document)
		}
		_, err := s.cfg.Terms.AcceptedTx(tx, req.Tenant, string(req.Payer), ref.Document)
		var not *privacy.NotAcceptedError
		switch {
		case err == nil:
			continue
		case !errors.As(err, &not):
			return err
		case len(req.Terms) == 0:
			return fmt.Errorf("%w: %w", ErrTerms, err)
		case req.Ticked:
			_, err := s.cfg.Terms.AcceptTx(ctx, tx, privacy.Acceptance{
				Tenant: req.Tenant, Account: string(req.Payer), Document: ref.Document, Version: ref.Version, Digest: ref.Digest,
				Act: privacy.ActTick, Client: req.Client,
			})
			if err != nil {
				return err
			}
		case not.Weakest == privacy.ActTick || not.Weakest == privacy.ActConfirm:
			// Paying is not enough for this document, and then it is too late to ask.
			return fmt.Errorf("%w: %w", ErrTerms, err)
		}
	}
	return nil
}

// fix keeps the first sold form of a version for good: a catalogue that changes
// it in place sells nothing (M6). Every tenant keeps its own copy.
func (s *Service) fix(tx *storage.Tx, tenant string, item Item) error {
	id := storage.JoinID(item.ID, strconv.Itoa(item.Version))
	had, version, err := sold.Peek(tx, tenant, id)
	if err != nil {
		return err
	}
	if version == 0 {
		return sold.Create(tx, tenant, id, soldItem{item})
	}
	a, err := json.Marshal(had.Item)
	if err != nil {
		return fmt.Errorf("membership: encode item: %w", err)
	}
	b, err := json.Marshal(item)
	if err != nil {
		return fmt.Errorf("membership: encode item: %w", err)
	}
	if string(a) != string(b) {
		return fmt.Errorf("%w: %s version %d", ErrCatalogue, item.ID, item.Version)
	}
	return nil
}

// An OrderRequest names an order.
type OrderRequest struct {
	Tenant string
	ID     string
}

// Order returns an order and the summary it was made with (H35). It fails with
// [ErrNotFound].
func (s *Service) Order(ctx context.Context, req OrderRequest) (Order, Summary, error) {
	rec, err := storage.ViewValue(ctx, s.cfg.Store, func(tx *storage.Tx) (orderRecord, error) { return loadOrder(tx, req.Tenant, req.ID) })
	return rec.Order, rec.Summary, err
}

func loadOrder(tx *storage.Tx, tenant, id string) (orderRecord, error) {
	if err := checkOrder(tenant, id); err != nil {
		return orderRecord{}, err
	}
	rec, ok, err := orders.Get(tx, tenant, id)
	if err == nil && !ok {
		err = fmt.Errorf("%w: order", ErrNotFound)
	}
	return rec, err
}

// Orders yields the orders that an account pays or benefits from, newest first,
// free of charge (H35). It ends after an error.
func (s *Service) Orders(ctx context.Context, req MemberRequest) iter.Seq2[OrderRow, error] {
	return func(yield func(OrderRow, error) bool) {
		if err := checkIDs(req.Tenant, string(req.Account)); err != nil {
			yield(OrderRow{}, err)
			return
		}
		for item, err := range orderIndex.Scan(ctx, s.cfg.Store, req.Tenant, storage.JoinPrefix(string(req.Account))) {
			if !yield(item.Value, err) || err != nil {
				return
			}
		}
	}
}
