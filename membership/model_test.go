package membership_test

import (
	"fmt"
	"slices"
	"strings"
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
// day is a token that is there, burns when its day comes, or goes back.
func TestModel_M1_to_M9(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "buy": m.buy, "buy2": m.buy, "days": m.days, "send": m.send, "refund": m.refund, "end": m.endRefund,
			"repeat": m.repeat, "stop": m.stop,
		})
	})
}

type mOrder struct {
	id     string
	typ    membership.PlanType
	left   int // days to come
	paid   int // the day it was paid
	used   bool
	state  membership.OrderState
	refund string
	before string // the contract, as first seen
}

type machine struct {
	store  *storage.Mem
	svc    *membership.Service
	day    int
	n      int
	orders []*mOrder
	stops  bool
	again  []func(*rapid.T)
	first  map[string]time.Time // FirstUse once set
}

var lengths = map[string]int{"p3": 3, "p10": 10, "t5": 5}

func newMachine(t *rapid.T) *machine {
	m := &machine{store: new(storage.Mem), first: map[string]time.Time{}}
	now := m.now
	ledger, err := quota.New(quota.Config{Store: m.store, Now: now})
	require.NoError(t, err)
	terms := &privacy.Terms{Store: m.store, Now: now}
	_, err = terms.Publish(t.Context(), privacy.Document{Tenant: tenant, ID: "membership", Version: "v1", Digest: strings.Repeat("ab", 32)})
	require.NoError(t, err)
	_, err = terms.Accept(t.Context(), privacy.Acceptance{Tenant: tenant, Account: "li", Document: "membership", Act: privacy.ActTick})
	require.NoError(t, err)
	c := &membership.Catalogue{}
	for id, days := range lengths {
		typ := membership.Personal
		if id[0] == 't' {
			typ = membership.Team
		}
		c.Items = append(c.Items, membership.Item{ID: id, Version: 1, Kind: membership.Plan, Type: typ, Title: id, Term: quota.Term{Days: days}, Grants: []membership.Feature{membership.FeatureOrdinary}})
		c.Prices = append(c.Prices, membership.Price{Item: membership.ItemRef{ID: id}, Money: cny(int64(days) * 100), TaxBps: 600, Inclusive: true})
	}
	m.svc, err = membership.New(membership.Config{Store: m.store, Now: now, Catalogue: c, Ledger: ledger, Terms: terms})
	require.NoError(t, err)
	return m
}

func (m *machine) now() time.Time { return noon.Add(time.Duration(m.day) * 24 * time.Hour) }

// current is the order whose day it is on a lane.
func (m *machine) current(typ membership.PlanType) *mOrder {
	for _, o := range m.orders {
		if o.typ == typ && o.left > 0 {
			return o
		}
	}
	return nil
}

func (m *machine) buy(t *rapid.T) {
	m.n++
	id := fmt.Sprintf("o%d", m.n)
	item := rapid.SampledFrom([]string{"p3", "p10", "t5"}).Draw(t, "item")
	req := membership.PurchaseRequest{Tenant: tenant, ID: id, Payer: "li", Item: item}
	o, sum, err := m.svc.Purchase(t.Context(), req)
	if m.stops {
		require.ErrorIs(t, err, membership.ErrDenied)
		return
	}
	require.NoError(t, err)
	pay := membership.PaidRequest{Tenant: tenant, Order: id, Payment: "pay-" + id, Amount: o.Price}
	paid, err := m.svc.MarkPaid(t.Context(), pay)
	require.NoError(t, err)
	typ := membership.Personal
	if item[0] == 't' {
		typ = membership.Team
	}
	require.Equal(t, typ, sum.Type)
	m.orders = append(m.orders, &mOrder{id: id, typ: typ, left: lengths[item], paid: m.day, state: membership.Paid, before: string(paid.Contract)})
	m.again = append(m.again, func(t *rapid.T) {
		o2, s2, err := m.svc.Purchase(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, o, o2)
		require.Equal(t, sum, s2)
		p2, err := m.svc.MarkPaid(t.Context(), pay)
		require.NoError(t, err)
		require.Equal(t, paid, p2)
	})
}

func (m *machine) days(t *rapid.T) {
	for range rapid.IntRange(1, 6).Draw(t, "days") {
		m.day++
		for _, typ := range []membership.PlanType{membership.Personal, membership.Team} {
			if o := m.current(typ); o != nil {
				o.left--
			}
		}
	}
}

func (m *machine) send(t *rapid.T) {
	var d membership.Decision
	err := storage.Update(t.Context(), m.store, func(tx *storage.Tx) error {
		var err error
		d, err = m.svc.CheckTx(t.Context(), tx, membership.CheckRequest{Tenant: tenant, Account: "li", Feature: membership.FeatureOrdinary})
		return err
	})
	if m.stops {
		require.ErrorIs(t, err, membership.ErrDenied)
		return
	}
	require.NoError(t, err)
	for _, typ := range []membership.PlanType{membership.Personal, membership.Team} {
		if o := m.current(typ); o != nil && o.state == membership.Paid {
			o.used = true
			require.Equal(t, membership.FreeMember, d.Free)
			return
		}
	}
	require.Empty(t, d.Free)
	require.Equal(t, quota.Units(1), d.Units)
}

func (m *machine) refund(t *rapid.T) {
	if len(m.orders) == 0 {
		t.Skip("no order")
	}
	o := rapid.SampledFrom(m.orders).Draw(t, "order")
	m.n++
	req := membership.RefundRequest{Tenant: tenant, ID: fmt.Sprintf("r%d", m.n), Order: o.id, Cause: membership.CauseUnused}
	if rapid.Bool().Draw(t, "breach") {
		req.Cause, req.Invoices, req.Actor, req.Note = membership.CauseProvider, true, "ops", "down"
	}
	q, err := m.svc.BeginRefund(t.Context(), req)
	switch {
	case o.state != membership.Paid, req.Cause == membership.CauseUnused && (o.used || m.day-o.paid > 7):
		require.ErrorIs(t, err, quota.ErrNotRefundable)
		return
	}
	require.NoError(t, err)
	if req.Cause == membership.CauseProvider {
		require.Equal(t, cny(int64(o.left)*100), q.Amount, "a day is worth 100")
	}
	o.state, o.refund = membership.Refunding, req.ID
	m.again = append(m.again, func(t *rapid.T) {
		q2, err := m.svc.BeginRefund(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, q, q2)
	})
}

func (m *machine) endRefund(t *rapid.T) {
	i := slices.IndexFunc(m.orders, func(o *mOrder) bool { return o.state == membership.Refunding })
	if i < 0 {
		t.Skip("no refund")
	}
	o := m.orders[i]
	m.n++
	req := membership.EndRefundRequest{Tenant: tenant, ID: fmt.Sprintf("e%d", m.n), Order: o.id}
	if rapid.Bool().Draw(t, "cancel") {
		_, err := m.svc.CancelRefund(t.Context(), req)
		require.NoError(t, err)
		o.state = membership.Paid
		return
	}
	_, err := m.svc.ConfirmRefund(t.Context(), req)
	require.NoError(t, err)
	o.state, o.left = membership.Refunded, 0
}

func (m *machine) repeat(t *rapid.T) {
	if len(m.again) == 0 {
		t.Skip("nothing to repeat")
	}
	rapid.SampledFrom(m.again).Draw(t, "call")(t)
}

func (m *machine) stop(t *rapid.T) {
	m.n++
	call := m.svc.Suspend
	if m.stops {
		call = m.svc.Resume
	}
	_, err := call(t.Context(), membership.StatusRequest{Tenant: tenant, ID: fmt.Sprintf("s%d", m.n), Account: "li", Reason: "check", Actor: "ops"})
	require.NoError(t, err)
	m.stops = !m.stops
}

func (m *machine) check(t *rapid.T) {
	got, err := m.svc.Member(t.Context(), membership.MemberRequest{Tenant: tenant, Account: "li"})
	require.NoError(t, err)
	for _, typ := range []membership.PlanType{membership.Personal, membership.Team} {
		lane := got.Lane(typ)
		for i, s := range lane.Segments {
			require.True(t, s.From.Before(s.Until))
			require.True(t, i == 0 || !s.From.Before(lane.Segments[i-1].Until), "sorted and disjoint (M1)")
			if !s.FirstUse.IsZero() {
				if was, ok := m.first[s.Order]; ok {
					require.Equal(t, was, s.FirstUse, "set once (M9)")
				}
				m.first[s.Order] = s.FirstUse
			}
		}
		days := 0
		for _, o := range m.orders {
			if o.typ == typ {
				days += o.left
			}
		}
		if days > 0 {
			require.Equal(t, m.now().Add(time.Duration(days)*24*time.Hour), lane.End(), "days that were paid are to come (M2, M5)")
		} else {
			require.False(t, lane.End().After(m.now()))
		}
		cur := m.current(typ)
		seg, active := got.ActiveAt(typ, m.now())
		require.Equal(t, !m.stops && cur != nil && cur.state == membership.Paid, active, "half-open (M3)")
		if active {
			require.Equal(t, cur.id, seg.Order)
		}
	}
	for _, o := range m.orders {
		order, _, err := m.svc.Order(t.Context(), membership.OrderRequest{Tenant: tenant, ID: o.id})
		require.NoError(t, err)
		require.Equal(t, o.state, order.State)
		require.Equal(t, o.before, string(order.Contract), "contracts never change (M6)")
		require.LessOrEqual(t, order.Returned.Amount, order.Price.Amount, "M7")
	}
}
