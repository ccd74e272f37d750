package membership_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// TestModel compares the service with memberships counted in days: every bought
// day is a token that is there, burns when its day comes, goes back, or becomes
// another's. Answers are lost, processes crash, calls are repeated. It proves M1
// to M9 after every step. -rapid.checks=100000 runs it at length.
func TestModel_M1_to_M9(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "buy": m.buy, "buy2": m.buy, "pay": m.pay, "pay2": m.pay, "claim": m.claim, "extend": m.extend, "void": m.void,
			"upgrade": m.upgrade, "days": m.days, "days2": m.days, "send": m.send, "refund": m.refund, "end": m.endRefund,
			"repeat": m.repeat, "status": m.status, "seat": m.seat, "link": m.link, "publish": m.publish, "accept": m.accept,
			"sweep": m.sweep, "restart": m.restart,
		})
	})
}

// mOrder is an order as days. All plans are worth a number of fen a day.
type mOrder struct {
	id      string
	payer   quota.AccountID
	account quota.AccountID
	item    string
	typ     membership.PlanType
	state   membership.OrderState
	left    int // days to come, once it is on a lane
	perDay  int // what a day is worth
	price   int
	credit  int
	paid    int  // the day it was paid
	onLane  bool // it gave a term
	used    bool
	mode    membership.UpgradeMode
	ends    []string // of an upgrade: the orders at the quote
	took    bool     // it replaced other terms
	into    string
	limit   int // of seats; -1 none
	before  string
}

func (o *mOrder) other() membership.PlanType {
	if o.typ == membership.Team {
		return membership.Personal
	}
	return membership.Team
}

type mSeat struct {
	account quota.AccountID
	until   int // a day, 0 is open
}

type mAccount struct {
	lanes  map[membership.PlanType][]*mOrder
	status membership.Status
	seats  []mSeat
	linked quota.AccountID
	ever   bool
	agreed int // the version last accepted
}

type machine struct {
	store    *flaky
	svc      *membership.Service
	terms    *privacy.Terms
	day      int
	n        int
	accounts map[quota.AccountID]*mAccount
	orders   []*mOrder
	version  int
	shown    membership.TermsRef
	byUse    bool // the version in force is accepted by use
	again    []func(*rapid.T)
	first    map[string]time.Time // FirstUse once set
}

var names = []quota.AccountID{"li", "wang", "zhao"}

type mItem struct {
	typ         membership.PlanType
	days, price int
	limit       int
}

// items are worth 100 fen a day, but for the dear one.
var items = map[string]mItem{
	"p3": {membership.Personal, 3, 300, -1}, "p5": {membership.Personal, 5, 500, -1}, "p10": {membership.Personal, 10, 1000, -1},
	"t5": {membership.Team, 5, 500, 1}, "t5dear": {membership.Team, 5, 800, 2},
}

func newMachine(t *rapid.T) *machine {
	m := &machine{store: &flaky{Store: new(storage.Mem)}, first: map[string]time.Time{}, accounts: map[quota.AccountID]*mAccount{}}
	for _, a := range names {
		m.accounts[a] = &mAccount{lanes: map[membership.PlanType][]*mOrder{}, status: membership.Active}
	}
	m.restart(t)
	m.byUse = true
	m.publishAs(t, privacy.ActUse)
	return m
}

// restart forgets everything but what is stored.
func (m *machine) restart(t *rapid.T) {
	m.store.dead = false
	ledger, err := quota.New(quota.Config{Store: m.store, Now: m.now})
	require.NoError(t, err)
	m.terms = &privacy.Terms{Store: m.store, Now: m.now}
	c := &membership.Catalogue{}
	for id, i := range items {
		item := membership.Item{ID: id, Version: 1, Kind: membership.Plan, Type: i.typ, Title: id, Term: quota.Term{Days: i.days}, Grants: []membership.Feature{membership.FeatureOrdinary}}
		if i.typ == membership.Team {
			item.Grants = append(item.Grants, membership.FeatureApproval)
			item.Seats = &i.limit
		}
		c.Items = append(c.Items, item)
		c.Prices = append(c.Prices, membership.Price{Item: membership.ItemRef{ID: id}, Money: cny(int64(i.price)), TaxBps: 600, Inclusive: true})
	}
	m.svc, err = membership.New(membership.Config{Store: m.store, Now: m.now, Catalogue: c, Ledger: ledger, Terms: m.terms})
	require.NoError(t, err)
}

func (m *machine) now() time.Time { return noon.Add(time.Duration(m.day) * 24 * time.Hour) }

func (m *machine) id(kind string) string {
	m.n++
	return fmt.Sprintf("%s%d", kind, m.n)
}

func draw(t *rapid.T, label string) quota.AccountID {
	return rapid.SampledFrom(names).Draw(t, label)
}

// current is the order whose day it is on a lane.
func (a *mAccount) current(typ membership.PlanType) *mOrder {
	for _, o := range a.lanes[typ] {
		if o.left > 0 {
			return o
		}
	}
	return nil
}

// coming are the orders with days to come on a lane.
func (a *mAccount) coming(typ membership.PlanType) []*mOrder {
	return slices.DeleteFunc(slices.Clone(a.lanes[typ]), func(o *mOrder) bool { return o.left == 0 })
}

func ids(orders []*mOrder) (out []string) {
	for _, o := range orders {
		out = append(out, o.id)
	}
	return out
}

func frozen(orders []*mOrder) bool {
	return slices.ContainsFunc(orders, func(o *mOrder) bool { return o.state == membership.Refunding })
}

// agrees reports whether an account accepted the version in force.
func (m *machine) agrees(a *mAccount) bool { return a.agreed == m.version }

func (m *machine) find(id string) *mOrder {
	return m.orders[slices.IndexFunc(m.orders, func(o *mOrder) bool { return o.id == id })]
}

func (m *machine) buy(t *rapid.T) {
	item := rapid.SampledFrom([]string{"p3", "p5", "p10", "t5", "t5dear"}).Draw(t, "item")
	o := &mOrder{id: m.id("o"), payer: draw(t, "payer"), item: item, typ: items[item].typ, price: items[item].price, limit: items[item].limit, state: membership.Pending}
	o.account, o.perDay = o.payer, o.price/items[item].days
	if rapid.IntRange(0, 3).Draw(t, "gift") == 0 {
		o.account = draw(t, "beneficiary")
	}
	req := membership.PurchaseRequest{Tenant: tenant, ID: o.id, Payer: o.payer, Beneficiary: o.account, Item: item}
	if rapid.Bool().Draw(t, "tick") {
		req.Terms, req.Ticked = []membership.TermsRef{m.shown}, true
	}
	payer := m.accounts[o.payer]
	got, sum, err := purchase(m, t, req)
	switch {
	case payer.status != membership.Active || m.accounts[o.account].status != membership.Active:
		require.ErrorIs(t, err, membership.ErrDenied)
		return
	case !m.agrees(payer) && !req.Ticked:
		require.ErrorIs(t, err, membership.ErrTerms)
		return
	}
	require.NoError(t, err)
	if req.Ticked {
		payer.ever, payer.agreed = true, m.version
	}
	require.Equal(t, o.typ, sum.Type)
	o.before = string(got.Contract)
	m.orders = append(m.orders, o)
	m.again = append(m.again, func(t *rapid.T) {
		again, s2, err := purchase(m, t, req)
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.Equal(t, sum, s2)
	})
}

type bought struct {
	order membership.Order
	sum   membership.Summary
}

func purchase(m *machine, t *rapid.T, req membership.PurchaseRequest) (membership.Order, membership.Summary, error) {
	b, err := do(m, t, func(s *membership.Service, ctx context.Context, req membership.PurchaseRequest) (b bought, err error) {
		b.order, b.sum, err = s.Purchase(ctx, req)
		return b, err
	}, req)
	return b.order, b.sum, err
}

// upgrade quotes and orders one that ends the terms of the other type.
func (m *machine) upgrade(t *rapid.T) {
	item := rapid.SampledFrom([]string{"t5", "t5", "t5dear", "p3", "p10"}).Draw(t, "item")
	mode := rapid.SampledFrom([]membership.UpgradeMode{membership.Convert, membership.ProrateCharge}).Draw(t, "mode")
	if item == "t5dear" {
		mode = membership.ProrateCharge // else a day of the one is no whole day of the other
	}
	o := &mOrder{id: m.id("up"), payer: draw(t, "account"), item: item, typ: items[item].typ, limit: items[item].limit, state: membership.Pending, mode: mode}
	o.account, o.perDay, o.price = o.payer, items[item].price/items[item].days, items[item].price
	a := m.accounts[o.account]
	old := a.coming(o.other())
	if mode == membership.Convert && slices.ContainsFunc(old, func(c *mOrder) bool { return c.perDay > 100 }) {
		t.Skip("not in whole days")
	}
	q, err := m.svc.QuoteUpgrade(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: o.id, Payer: o.payer, Item: item}, mode)
	same := !slices.ContainsFunc(old, func(c *mOrder) bool {
		i := items[c.item]
		return i.days != items[item].days || i.price > items[item].price || c.took && c.mode == membership.ProrateCharge || c.took
	})
	switch {
	case len(old) == 0, frozen(old), mode == membership.ProrateCharge && (!same || a.current(o.typ) != nil):
		require.ErrorIs(t, err, membership.ErrState)
		return
	}
	require.NoError(t, err)
	left := 0
	for _, c := range old {
		left += c.left
		o.credit += c.left * c.perDay
	}
	if mode == membership.ProrateCharge {
		o.price = 0
		for _, c := range old {
			o.price += c.left * (o.perDay - c.perDay)
		}
		require.Equal(t, m.now().Add(time.Duration(left)*24*time.Hour), q.Summary.Until)
	}
	require.Equal(t, cny(int64(o.price)), q.Summary.Price)
	require.Equal(t, cny(int64(o.credit)), q.Summary.Upgrade.Credit)
	b, err := do(m, t, func(s *membership.Service, ctx context.Context, q membership.UpgradeQuote) (b bought, err error) {
		b.order, b.sum, err = s.Upgrade(ctx, q)
		return b, err
	}, q)
	switch {
	case a.status != membership.Active:
		require.ErrorIs(t, err, membership.ErrDenied)
		return
	case !m.agrees(a):
		require.ErrorIs(t, err, membership.ErrTerms)
		return
	}
	require.NoError(t, err)
	require.Equal(t, q.Summary, b.sum)
	o.ends, o.before = ids(old), string(b.order.Contract)
	m.orders = append(m.orders, o)
}

func (m *machine) pending(t *rapid.T) *mOrder {
	open := slices.DeleteFunc(slices.Clone(m.orders), func(o *mOrder) bool { return o.state != membership.Pending })
	if len(open) == 0 {
		t.Skip("nothing to pay")
	}
	return rapid.SampledFrom(open).Draw(t, "order")
}

func (m *machine) pay(t *rapid.T) {
	o := m.pending(t)
	req := membership.PaidRequest{Tenant: tenant, Order: o.id, Payment: m.id("pay"), Amount: cny(int64(o.price))}
	if rapid.IntRange(0, 4).Draw(t, "wrong") == 0 {
		req.Amount.Amount++
	}
	paid, err := do(m, t, (*membership.Service).MarkPaid, req)
	a := m.accounts[o.account]
	old := a.coming(o.other())
	if req.Amount != cny(int64(o.price)) || a.status == membership.Terminated ||
		o.mode != "" && (!slices.Equal(ids(old), o.ends) || frozen(old) || o.mode == membership.ProrateCharge && a.current(o.typ) != nil) {
		require.ErrorIs(t, err, membership.ErrPaymentMismatch)
		return
	}
	require.NoError(t, err)
	o.state, o.paid = membership.Paid, m.day
	if payer := m.accounts[o.payer]; payer.agreed < m.version && o.mode == "" {
		m.payAccepts(payer, paid)
	}
	if o.payer == o.account {
		o.onLane, o.left = true, items[o.item].days
		if o.mode != "" {
			o.took, o.credit = true, 0
			left := 0
			for _, c := range old {
				left += c.left
				o.credit += c.left * c.perDay
				c.left, c.into = 0, o.id
			}
			if o.mode == membership.ProrateCharge {
				o.left = left
			} else {
				o.left += o.credit / 100
			}
			o.perDay = (o.price + o.credit) / o.left // days that passed since the quote were paid for, too
			require.Equal(t, o.credit, int(paid.Credit.Amount))
		}
		a.lanes[o.typ] = append(a.lanes[o.typ], o)
	}
	m.again = append(m.again, func(t *rapid.T) {
		again, err := do(m, t, (*membership.Service).MarkPaid, req)
		require.NoError(t, err)
		require.Equal(t, paid, again, "a second report")
		other := req
		other.Amount.Amount++
		_, err = do(m, t, (*membership.Service).MarkPaid, other)
		require.ErrorIs(t, err, membership.ErrPaymentMismatch, "M7: a payment settles one order")
	})
}

// payAccepts: paying accepts the version that the order was made under.
func (m *machine) payAccepts(payer *mAccount, o membership.Order) {
	payer.ever = true
	for _, ref := range o.Terms {
		if ref == m.shown && m.byUse {
			payer.agreed = m.version
		}
	}
}

func (m *machine) void(t *rapid.T) {
	o := m.pending(t)
	if rapid.IntRange(0, 2).Draw(t, "rarely") > 0 {
		t.Skip("not now")
	}
	_, err := do(m, t, (*membership.Service).Void, membership.VoidRequest{Tenant: tenant, ID: m.id("v"), Order: o.id})
	require.NoError(t, err)
	o.state = membership.Void
}

func (m *machine) claim(t *rapid.T) {
	if len(m.orders) == 0 {
		t.Skip("no order")
	}
	o := rapid.SampledFrom(m.orders).Draw(t, "order")
	req := membership.GiftRequest{Tenant: tenant, Order: o.id, Account: o.account, Terms: []membership.TermsRef{m.shown}}
	if o.onLane && o.payer != o.account {
		t.Skip("claimed")
	}
	a := m.accounts[o.account]
	_, err := do(m, t, (*membership.Service).AcceptGift, req)
	switch {
	case o.payer == o.account, o.state != membership.Paid:
		require.ErrorIs(t, err, membership.ErrState)
		return
	case a.status != membership.Active:
		require.ErrorIs(t, err, membership.ErrDenied)
		return
	case !m.agrees(a) && !m.byUse:
		require.ErrorIs(t, err, membership.ErrTerms, "taking a gift is not enough")
		return
	}
	require.NoError(t, err)
	a.ever, a.agreed = true, m.version
	o.onLane, o.left = true, items[o.item].days
	a.lanes[o.typ] = append(a.lanes[o.typ], o)
}

func (m *machine) extend(t *rapid.T) {
	name, typ := draw(t, "account"), rapid.SampledFrom([]membership.PlanType{membership.Personal, membership.Team}).Draw(t, "type")
	a := m.accounts[name]
	o := &mOrder{id: m.id("x"), payer: name, account: name, typ: typ, state: membership.Paid, left: rapid.IntRange(1, 4).Draw(t, "days"), paid: m.day, onLane: true, before: "null"}
	_, err := do(m, t, (*membership.Service).Extend, membership.ExtendRequest{Tenant: tenant, ID: o.id, Account: name, Type: typ, Term: quota.Term{Days: o.left}, Reason: "outage", Actor: "ops"})
	old := a.coming(typ)
	if len(old) == 0 || a.status == membership.Terminated {
		require.ErrorIs(t, err, membership.ErrState)
		return
	}
	require.NoError(t, err)
	o.limit = old[len(old)-1].limit
	m.orders = append(m.orders, o)
	a.lanes[typ] = append(a.lanes[typ], o)
}

func (m *machine) days(t *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(t, "days") {
		m.day++
		for _, a := range m.accounts {
			for typ := range a.lanes {
				if o := a.current(typ); o != nil {
					o.left--
				}
			}
		}
	}
}
