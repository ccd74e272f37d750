package membership_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

func TestQuote_H08_H29_H43_H60_summary_first(t *testing.T) {
	k := newKit(t, nil)
	sum, err := k.Quote(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Beneficiary: "wang", Item: "team"})
	require.NoError(t, err)
	assert.Equal(t, quota.AccountID("wang"), sum.Account, "who will benefit")
	assert.Equal(t, cny(99900), sum.Price)
	assert.Equal(t, cny(5655), sum.Tax)
	assert.Equal(t, noon, sum.From)
	assert.Equal(t, "P1Y", sum.Term.String())
	assert.Equal(t, []string{"send.realname.person", "send.realname.org", "units:idcheck.person", "units:idcheck.org"}, sum.Excludes)
	assert.Equal(t, "v1", sum.Terms[0].Version)
}

func TestPrice_H61_H63_T19(t *testing.T) {
	k := newKit(t, nil)
	quote := func(payer quota.AccountID, channel string) membership.Summary {
		s, err := k.Quote(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o", Payer: payer, Item: "personal", Channel: channel})
		require.NoError(t, err)
		return s
	}
	assert.Equal(t, cny(19900), quote("li", "").Price)
	assert.Equal(t, cny(1126), quote("li", "").Tax, "6 % inclusive")
	assert.Equal(t, cny(22800), quote("li", "ios").Price, "H63 per device")
	assert.Equal(t, cny(19900), quote("li", "android").Price)
	assert.Equal(t, cny(0), quote("vip", "ios").Price, "H61 per customer, and 0 is a price")
	_, err := k.Quote(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o", Payer: "li", Item: "moon"})
	require.ErrorIs(t, err, membership.ErrNotForSale)
}

func TestPurchase_H22_the_guard_comes_before_the_order(t *testing.T) {
	robot := errors.New("looks automated")
	k := newKit(t, func(c *membership.Config) { c.Guard = func(membership.PurchaseRequest) error { return robot } })
	k.accept("li")
	_, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Item: "personal"})
	require.ErrorIs(t, err, membership.ErrRefused)
	require.ErrorIs(t, err, robot)
	_, _, err = k.Order(t.Context(), membership.OrderRequest{Tenant: tenant, ID: "o1"})
	require.ErrorIs(t, err, membership.ErrNotFound)
}

func TestPurchase_H01_T01_terms(t *testing.T) {
	k := newKit(t, nil)
	req := membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Item: "personal"}
	_, _, err := k.Purchase(t.Context(), req)
	require.ErrorIs(t, err, membership.ErrTerms, "neither shown nor accepted before")

	old := k.publish("v1", "")
	k.at = k.at.Add(time.Minute)
	shown := k.publish("v2", "")
	req.Terms = old
	_, _, err = k.Purchase(t.Context(), req)
	require.ErrorIs(t, err, membership.ErrTerms, "an outdated version was shown")

	req.Terms = shown
	o, _, err := k.Purchase(t.Context(), req)
	require.NoError(t, err, "going on to pay accepts")
	assert.Equal(t, shown, o.Terms)
	k.denied("li", membership.FeatureOrdinary, membership.DeniedTerms)
	_, err = k.MarkPaid(t.Context(), membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: "p1", Amount: o.Price})
	require.NoError(t, err)
	k.free("li", membership.FeatureOrdinary, membership.FreeMember)
	var a privacy.Acceptance
	require.NoError(t, storage.View(t.Context(), k.store, func(tx *storage.Tx) error {
		a, err = k.terms.AcceptedTx(tx, tenant, "li", "membership")
		return err
	}))
	assert.Equal(t, privacy.ActPay, a.Act)

	k.at = k.at.Add(time.Minute)
	strict := k.publish("v3", privacy.ActTick)
	req = membership.PurchaseRequest{Tenant: tenant, ID: "o2", Payer: "wang", Item: "personal", Terms: strict}
	_, _, err = k.Purchase(t.Context(), req)
	require.ErrorIs(t, err, membership.ErrTerms, "paying would not be enough, and then it is too late")
	req.Ticked = true
	_, _, err = k.Purchase(t.Context(), req)
	require.NoError(t, err)
	k.charged("wang", membership.FeatureOrdinary, quota.KindOrdinary, 1)
}

func TestPurchase_is_idempotent_and_readable_H35_H62_T40(t *testing.T) {
	k := newKit(t, nil)
	k.accept("li")
	req := membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Item: "personal", Method: "wxpay", Client: "app", Channel: "ios", Shown: cny(22800)}
	o, sum, err := k.Purchase(t.Context(), req)
	require.NoError(t, err)
	_, err = k.MarkPaid(t.Context(), membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: "p1", Amount: o.Price})
	require.NoError(t, err)
	k.at = k.at.Add(time.Hour)
	again, sumAgain, err := k.Purchase(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, o, again, "the first answer, also after payment")
	assert.Equal(t, sum, sumAgain)
	req.Item = "team"
	_, _, err = k.Purchase(t.Context(), req)
	require.ErrorIs(t, err, membership.ErrIntentMismatch)

	k.buy("o2", "li", "pack10")
	var ids []string
	for row, err := range k.Orders(t.Context(), membership.MemberRequest{Tenant: tenant, Account: "li"}) {
		require.NoError(t, err)
		ids = append(ids, row.ID)
	}
	assert.Equal(t, []string{"o2", "o1"}, ids, "newest first")
	got, _, err := k.Order(t.Context(), membership.OrderRequest{Tenant: tenant, ID: "o1"})
	require.NoError(t, err)
	assert.Equal(t, membership.Paid, got.State)
	assert.Equal(t, "wxpay", got.Method, "H62")
	assert.Equal(t, "app", got.Client)
	assert.Equal(t, cny(137), got.Fee, "60 bps of 22800, half up")
	_, _, err = k.Order(t.Context(), membership.OrderRequest{Tenant: "other", ID: "o1"})
	require.ErrorIs(t, err, membership.ErrNotFound)
	req = membership.PurchaseRequest{Tenant: tenant, ID: "o3", Payer: "li", Item: "personal", Shown: cny(1)}
	_, _, err = k.Purchase(t.Context(), req)
	require.ErrorIs(t, err, membership.ErrQuoteChanged)
}

func TestMarkPaid_once_M7(t *testing.T) {
	k := newKit(t, nil)
	k.accept("li")
	buy := func(id string) {
		_, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: id, Payer: "li", Item: "pack10"})
		require.NoError(t, err)
	}
	buy("o1")
	buy("o2")
	paid := membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: "p1", Amount: cny(5000)}
	mismatch := func(req membership.PaidRequest, why string) {
		t.Helper()
		_, err := k.MarkPaid(t.Context(), req)
		var m *membership.PaymentMismatchError
		require.ErrorAs(t, err, &m)
		require.ErrorIs(t, err, membership.ErrPaymentMismatch)
		assert.Equal(t, why, m.Why)
	}
	mismatch(membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: "p0", Amount: cny(4999)}, "amount")
	mismatch(membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: "p0", Amount: membership.Money{Amount: 5000, Currency: "USD"}}, "amount")
	first, err := k.MarkPaid(t.Context(), paid)
	require.NoError(t, err)
	assert.Equal(t, []quota.LotID{"o1/1"}, first.Lots)
	k.at = k.at.Add(time.Minute)
	again, err := k.MarkPaid(t.Context(), paid)
	require.NoError(t, err)
	assert.Equal(t, first, again, "a second callback is a repeat")
	mismatch(membership.PaidRequest{Tenant: tenant, Order: "o2", Payment: "p1", Amount: cny(5000)}, "payment_used")
	mismatch(membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: "p2", Amount: cny(5000)}, "state")
	_, err = k.Void(t.Context(), membership.VoidRequest{Tenant: tenant, ID: "v1", Order: "o2"})
	require.NoError(t, err)
	mismatch(membership.PaidRequest{Tenant: tenant, Order: "o2", Payment: "p3", Amount: cny(5000)}, "state")
	_, err = k.Void(t.Context(), membership.VoidRequest{Tenant: tenant, ID: "v2", Order: "o1"})
	require.ErrorIs(t, err, membership.ErrState)
	b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "li"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(10), b.Of(quota.UnitSign).Spendable, "granted once")
}

func TestOrder_H16_H27_T38_T39_M6_contract_is_a_snapshot(t *testing.T) {
	k := newKit(t, nil)
	o := k.buy("o1", "li", "personal")
	sold, err := o.Sold()
	require.NoError(t, err)
	assert.Equal(t, cny(19900), sold.Price.Money)

	// The catalogue moves on: a version 2, dearer and without the benefit.
	later := noon.Add(time.Hour)
	cat := catalogue()
	v2 := cat.Items[0]
	v2.Version, v2.From, v2.Grants = 2, later, nil
	cat.Items = append(cat.Items, v2)
	cat.Prices = append(cat.Prices, membership.Price{Item: membership.ItemRef{ID: "personal", Version: 2}, From: later, Money: cny(29900), TaxBps: 600, Inclusive: true})
	svc, err := membership.New(membership.Config{Store: k.store, Now: func() time.Time { return k.at }, Catalogue: cat, Ledger: k.ledger, Terms: k.terms})
	require.NoError(t, err)
	k.Service, k.at = svc, later
	k.free("li", membership.FeatureOrdinary, membership.FreeMember) // T39: a running term keeps its content
	s, err := k.Quote(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "q", Payer: "li", Item: "personal"})
	require.NoError(t, err)
	assert.Equal(t, cny(29900), s.Price, "T38: renewal at the price in force")
	got, _, err := k.Order(t.Context(), membership.OrderRequest{Tenant: tenant, ID: "o1"})
	require.NoError(t, err)
	assert.Equal(t, o.Contract, got.Contract)

	// For existing members only from a date that the catalogue names.
	cat.Items[len(cat.Items)-1].ForExisting = later.Add(time.Hour)
	k.Service, err = membership.New(membership.Config{Store: k.store, Now: func() time.Time { return k.at }, Catalogue: cat, Ledger: k.ledger, Terms: k.terms})
	require.NoError(t, err)
	k.free("li", membership.FeatureOrdinary, membership.FreeMember)
	k.at = later.Add(time.Hour)
	k.charged("li", membership.FeatureOrdinary, quota.KindOrdinary, 1)

	// A version that was sold cannot be changed in place.
	bad := catalogue()
	bad.Items[0].Title = "Personal, but less"
	k.Service, err = membership.New(membership.Config{Store: k.store, Now: func() time.Time { return k.at }, Catalogue: bad, Ledger: k.ledger, Terms: k.terms})
	require.NoError(t, err)
	_, _, err = k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o9", Payer: "li", Item: "personal"})
	require.ErrorIs(t, err, membership.ErrCatalogue)
}

func TestPackage_H06_H11_H13_H44_T08_without_membership(t *testing.T) {
	k := newKit(t, nil)
	o := k.buy("o1", "li", "checks")
	assert.Equal(t, []quota.LotID{"o1/1", "o1/2"}, o.Lots)
	lots, err := k.ledger.Lots(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "li"})
	require.NoError(t, err)
	require.Len(t, lots, 2)
	for _, l := range lots {
		assert.Equal(t, noon, l.From, "T08: from the instant it was paid")
		assert.Equal(t, time.Date(2030, 3, 1, 4, 0, 0, 0, time.UTC), l.Until)
		assert.Equal(t, "o1", l.Order)
	}
	assert.Empty(t, k.member("li").Lanes)
}

func TestGift_H19_H52_D10(t *testing.T) {
	k := newKit(t, nil)
	k.accept("li")
	o, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Beneficiary: "wang", Item: "team"})
	require.NoError(t, err)
	_, err = k.MarkPaid(t.Context(), membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: "p1", Amount: o.Price})
	require.NoError(t, err)
	b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "wang"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(5), b.Of(quota.UnitSign).Spendable, "units start at payment")
	assert.Empty(t, k.member("wang").Lanes, "the membership does not")
	unclaimed := func() (n int) {
		for _, err := range k.UnclaimedGifts(t.Context()) {
			require.NoError(t, err)
			n++
		}
		return n
	}
	assert.Zero(t, unclaimed())
	k.at = noon.Add(30 * 24 * time.Hour)
	assert.Equal(t, 1, unclaimed())

	gift := membership.GiftRequest{Tenant: tenant, Order: "o1", Account: "wang"}
	_, err = k.AcceptGift(t.Context(), gift)
	require.ErrorIs(t, err, membership.ErrTerms)
	_, err = k.AcceptGift(t.Context(), membership.GiftRequest{Tenant: tenant, Order: "o1", Account: "li"})
	require.ErrorIs(t, err, membership.ErrNotFound, "H23: nobody else can take it")
	gift.Terms = o.Terms
	m, err := k.AcceptGift(t.Context(), gift)
	require.NoError(t, err)
	assert.Equal(t, k.at, m.Lanes[0].Segments[0].From)
	again, err := k.AcceptGift(t.Context(), gift)
	require.NoError(t, err)
	assert.Equal(t, m, again)
	assert.Zero(t, unclaimed())
	k.free("wang", membership.FeatureApproval, membership.FreeTeam)
}

func TestRenewal_H07_H53_H54_M1_M2(t *testing.T) {
	k := newKit(t, nil)
	k.at = time.Date(2026, 1, 30, 16, 30, 0, 0, time.UTC) // 31 January, 00:30 in Shanghai
	k.publish("v0", "")
	k.buy("o1", "li", "monthly")
	k.at = k.at.Add(24 * time.Hour)
	k.buy("o2", "li", "monthly")
	k.buy("o3", "li", "team")
	m := k.member("li")
	seg := m.Lanes[0].Segments
	require.Len(t, seg, 2)
	assert.Equal(t, time.Date(2026, 2, 27, 16, 30, 0, 0, time.UTC), seg[0].Until, "clamped to 28 February")
	assert.Equal(t, seg[0].Until, seg[1].From, "H54: appended after the old end")
	assert.Equal(t, time.Date(2026, 3, 30, 16, 30, 0, 0, time.UTC), seg[1].Until, "back on the anchor day, the 31st")
	assert.Equal(t, k.at, m.Lane(membership.Team).Segments[0].From, "H07: lanes are independent")

	// After a lapse a new chain begins; the gap was nobody's (H53).
	k.at = seg[1].Until.Add(48 * time.Hour)
	m = k.member("li")
	_, active := m.ActiveAt(membership.Personal, k.at)
	assert.False(t, active)
	k.buy("o4", "li", "monthly")
	m = k.member("li")
	last := m.Lane(membership.Personal).Segments[2]
	assert.Equal(t, k.at, last.From)
	assert.Equal(t, 2, last.Anchor)
}

func TestExtend_is_an_order_of_price_0(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "personal")
	end := k.member("li").Lanes[0].Segments[0].Until
	m, err := k.Extend(t.Context(), membership.ExtendRequest{Tenant: tenant, ID: "x1", Account: "li", Type: membership.Personal, Term: quota.Term{Days: 3}, Reason: "outage", Actor: "ops"})
	require.NoError(t, err)
	lane := m.Lane(membership.Personal)
	assert.Equal(t, end.Add(72*time.Hour), lane.End())
	o, _, err := k.Order(t.Context(), membership.OrderRequest{Tenant: tenant, ID: "x1"})
	require.NoError(t, err)
	assert.Equal(t, "outage", o.Reason)
	_, err = k.Extend(t.Context(), membership.ExtendRequest{Tenant: tenant, ID: "x2", Account: "li", Type: membership.Team, Term: quota.Term{Days: 3}, Reason: "outage", Actor: "ops"})
	require.ErrorIs(t, err, membership.ErrState)
}

// TestAccount_H28_H10: the host gives one id to a person, however registered;
// whatever client then names it finds one membership and one ledger.
func TestAccount_H28_H10_one_id_on_every_client(t *testing.T) {
	k := newKit(t, nil)
	k.accept("person-7")
	clients := []string{"app", "wechat.mini", "web"}
	for i, client := range clients {
		o, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: fmt.Sprint("o", i), Payer: "person-7", Item: []string{"personal", "pack10", "pack10"}[i], Client: client})
		require.NoError(t, err)
		_, err = k.MarkPaid(t.Context(), membership.PaidRequest{Tenant: tenant, Order: o.ID, Payment: "p" + o.ID, Amount: o.Price})
		require.NoError(t, err)
		assert.Equal(t, client, o.Client, "recorded")
	}
	for _, client := range clients {
		d, err := k.judge(membership.CheckRequest{Tenant: tenant, Account: "person-7", Feature: membership.FeatureOrdinary, Client: client})
		require.NoError(t, err)
		assert.Equal(t, membership.FreeMember, d.Free)
	}
	b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "person-7"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(20), b.Of(quota.UnitSign).Spendable)
	n := 0
	for _, err := range k.Orders(t.Context(), membership.MemberRequest{Tenant: tenant, Account: "person-7"}) {
		require.NoError(t, err)
		n++
	}
	assert.Equal(t, 3, n)
}
