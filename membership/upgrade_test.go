package membership_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/quota"
)

const day = 24 * time.Hour

// dated is a catalogue of plans of 365 days: 7300 fen personal, 19300 team, with
// five units, and a dearer personal one.
func dated() *membership.Catalogue {
	term := quota.Term{Days: 365}
	price := func(item string, fen int64) membership.Price {
		return membership.Price{Item: membership.ItemRef{ID: item}, Money: cny(fen), TaxBps: 600, Inclusive: true}
	}
	plan := func(id string, typ membership.PlanType) membership.Item {
		return membership.Item{ID: id, Version: 1, Kind: membership.Plan, Type: typ, Title: id, Term: term, Grants: []membership.Feature{membership.FeatureOrdinary}}
	}
	team := plan("team", membership.Team)
	team.Lots = []membership.LotSpec{{Unit: quota.UnitSign, Units: 5}}
	month := plan("month", membership.Personal)
	month.Term = quota.Term{Months: 1}
	free := plan("free", membership.Team)
	return &membership.Catalogue{
		Items:  []membership.Item{plan("personal", membership.Personal), team, plan("dear", membership.Personal), month, free, catalogue().Items[3]},
		Prices: []membership.Price{price("personal", 7300), price("team", 19300), price("dear", 30000), price("month", 900), price("free", 0), price("pack10", 5000)},
	}
}

func upgradeKit(t testing.TB) *kit {
	return newKit(t, func(c *membership.Config) { c.Catalogue = dated() })
}

func (k *kit) upgrade(order string, account quota.AccountID, item string, mode membership.UpgradeMode) membership.UpgradeQuote {
	k.t.Helper()
	k.accept(account)
	q, err := k.QuoteUpgrade(k.t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: order, Payer: account, Item: item}, mode)
	require.NoError(k.t, err)
	return q
}

func (k *kit) pay(order string, amount membership.Money) (membership.Order, error) {
	k.t.Helper()
	return k.MarkPaid(k.t.Context(), membership.PaidRequest{Tenant: tenant, Order: order, Payment: "pay-" + order, Amount: amount})
}

// TestUpgrade_ProrateCharge: new minus old for the time left: 12 000 fen with 146
// of 365 days left are 4800.
func TestUpgrade_ProrateCharge(t *testing.T) {
	k := upgradeKit(t)
	k.buy("old", "li", "personal")
	end := noon.Add(365 * day)
	k.at = end.Add(-146 * day)
	q := k.upgrade("up", "li", "team", membership.ProrateCharge)
	assert.Equal(t, cny(4800), q.Summary.Price)
	assert.Equal(t, cny(272), q.Summary.Tax)
	assert.Equal(t, k.at, q.Summary.From)
	assert.Equal(t, end, q.Summary.Until)
	assert.Equal(t, []membership.LotSpec{{Unit: quota.UnitSign, Units: 2}}, q.Summary.Lots, "5 units by 146 of 365 days")
	assert.Equal(t, &membership.UpgradeTerms{
		Mode: membership.ProrateCharge, Ends: membership.Personal, Orders: []string{"old"}, Credit: cny(2920), Lots: q.Summary.Lots,
	}, q.Summary.Upgrade)
	quoted := k.at
	k.at = k.at.Add(30 * time.Minute) // within the hour that a quote holds
	o, sum, err := k.Upgrade(t.Context(), q)
	require.NoError(t, err)
	assert.Equal(t, cny(4800), o.Price)
	assert.Equal(t, q.Summary, sum)
	k.free("li", membership.FeatureOrdinary, membership.FreeMember) // the old term runs until it is paid
	k.at = quoted.Add(time.Hour)
	paid, err := k.pay("up", o.Price)
	require.NoError(t, err)
	assert.Equal(t, []string{"old"}, paid.Replaces)
	m := k.member("li")
	personal, team := m.Lane(membership.Personal), m.Lane(membership.Team)
	assert.Equal(t, k.at, personal.End())
	assert.Equal(t, "up", personal.Segments[0].Into)
	assert.Equal(t, k.at, team.Segments[0].From)
	assert.Equal(t, end, team.End(), "ends with what it replaced")
	lot, _, err := k.ledger.Lot(t.Context(), quota.LotRequest{Tenant: tenant, ID: "up/1"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(2), lot.Granted)
	assert.Equal(t, end, lot.Until)
	again, _, err := k.Upgrade(t.Context(), q)
	require.NoError(t, err)
	assert.Equal(t, o, again, "the first answer")

	// Half a fen rounds up: 12 000 by 1/32 of a day of 365 are 1.027, by 0.5/12000.
	k = upgradeKit(t)
	k.buy("old", "li", "personal")
	half := 365 * day / 24000 // the time in which half a fen is due
	k.at = noon.Add(365*day - half)
	assert.Equal(t, cny(1), k.upgrade("up", "li", "team", membership.ProrateCharge).Summary.Price)
	k.at = k.at.Add(time.Microsecond)
	assert.Equal(t, cny(0), k.upgrade("up", "li", "team", membership.ProrateCharge).Summary.Price)

	// Two terms left: each by itself.
	k = upgradeKit(t)
	k.buy("old", "li", "personal")
	k.buy("next", "li", "personal")
	q = k.upgrade("up", "li", "team", membership.ProrateCharge)
	assert.Equal(t, cny(24000), q.Summary.Price)
	assert.Equal(t, noon.Add(730*day), q.Summary.Until)
	assert.Equal(t, quota.Units(10), q.Summary.Lots[0].Units)
}

// TestUpgrade_Convert: what the old terms are worth becomes time, in whole seconds.
func TestUpgrade_Convert(t *testing.T) {
	k := upgradeKit(t)
	k.buy("old", "li", "personal")
	k.buy("next", "li", "personal")
	k.at = noon.Add(219 * day) // 146 of 365 days left of the first, all of the second
	q := k.upgrade("up", "li", "team", membership.Convert)
	assert.Equal(t, cny(19300), q.Summary.Price)
	assert.Equal(t, cny(2920+7300), q.Summary.Upgrade.Credit)
	seconds := int64(365*24*3600) * 10220 / 19300
	assert.Equal(t, k.at.Add(365*day+time.Duration(seconds)*time.Second), q.Summary.Until, "rounded down to the second")
	o, _, err := k.Upgrade(t.Context(), q)
	require.NoError(t, err)
	// A day later a day less is converted: no clock pauses.
	k.at = k.at.Add(day)
	paid, err := k.pay("up", o.Price)
	require.NoError(t, err)
	assert.Equal(t, cny(2900+7300), paid.Credit)
	m := k.member("li")
	personal, team := m.Lane(membership.Personal), m.Lane(membership.Team)
	require.Len(t, personal.Segments, 1, "what was to come is gone")
	assert.Equal(t, k.at, personal.End())
	seconds = int64(365*24*3600) * 10200 / 19300
	assert.Equal(t, k.at.Add(365*day+time.Duration(seconds)*time.Second), team.End())
	for _, id := range []string{"old", "next"} {
		old, _, err := k.Order(t.Context(), membership.OrderRequest{Tenant: tenant, ID: id})
		require.NoError(t, err)
		assert.Equal(t, "up", old.Into)
		_, err = k.BeginRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r-" + id, Order: id, Cause: membership.CauseProvider, Invoices: true, Actor: "ops", Note: "x"})
		require.ErrorIs(t, err, membership.ErrState, "its rest went into another order")
	}
	// H57: it took the place of a term that had run.
	k.refuse(t, membership.RefundRequest{Tenant: tenant, ID: "r", Order: "up", Cause: membership.CauseUnused}, quota.RefundUsed)
	r, err := k.QuoteRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r", Order: "up", Cause: membership.CauseProvider, Invoices: true, Actor: "ops", Note: "x"})
	require.NoError(t, err)
	assert.Equal(t, cny(19300+10200), r.Amount, "money and what went into it")
	_, err = k.QuoteRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r", Order: "up", Cause: membership.CauseLaw, Amount: cny(19300 + 10201), Actor: "ops", Note: "x"})
	require.ErrorIs(t, err, membership.ErrRequest, "M7")

	// A renewal follows; taking the upgrade back moves it left with its length.
	k.buy("more", "li", "team")
	_, err = k.BeginRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r", Order: "more", Cause: membership.CauseUnused})
	require.NoError(t, err)
	_, err = k.ConfirmRefund(t.Context(), membership.EndRefundRequest{Tenant: tenant, ID: "e", Order: "more"})
	require.NoError(t, err)
	m = k.member("li")
	lane := m.Lane(membership.Team)
	assert.Equal(t, team.End(), lane.End(), "M5")
	k.buy("again", "li", "personal")
	// And back: what the team plan is worth, credit included, goes into the other.
	back := k.upgrade("back", "li", "dear", membership.Convert)
	assert.Equal(t, cny(29500), back.Summary.Upgrade.Credit)
}

func TestUpgrade_quote_changed_and_refused(t *testing.T) {
	k := upgradeKit(t)
	k.buy("old", "li", "personal")
	k.at = noon.Add(10 * day)
	for _, mode := range []membership.UpgradeMode{membership.Convert, membership.ProrateCharge} {
		q := k.upgrade("up-"+string(mode), "li", "team", mode)
		k.at = k.at.Add(time.Hour)
		var changed *membership.QuoteChangedError
		_, _, err := k.Upgrade(t.Context(), q)
		require.ErrorAs(t, err, &changed, "a quote holds for less than an hour")
		require.ErrorIs(t, err, membership.ErrQuoteChanged)
		q = changed.Now
		k.at = k.at.Add(time.Hour - time.Microsecond)
		ahead := q
		ahead.At = k.at.Add(time.Microsecond)
		_, _, err = k.Upgrade(t.Context(), ahead)
		require.ErrorIs(t, err, membership.ErrQuoteChanged, "nor is one from the future")
		o, _, err := k.Upgrade(t.Context(), q)
		require.NoError(t, err)
		// Before it is paid the old term is renewed: not what was sold any more.
		k.buy("renewed-"+string(mode), "li", "personal")
		_, err = k.pay(o.ID, o.Price)
		var m *membership.PaymentMismatchError
		require.ErrorAs(t, err, &m)
		assert.Equal(t, "upgrade", m.Why)
		ordered, _, err := k.Order(t.Context(), membership.OrderRequest{Tenant: tenant, ID: o.ID})
		require.NoError(t, err)
		assert.Equal(t, membership.Pending, ordered.State, "nothing changed")
	}
	state := func(account quota.AccountID, item string, mode membership.UpgradeMode, why string) {
		t.Helper()
		_, err := k.QuoteUpgrade(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "x", Payer: account, Item: item}, mode)
		require.ErrorIs(t, err, membership.ErrState, why)
	}
	request := func(req membership.PurchaseRequest, mode membership.UpgradeMode, why string) {
		t.Helper()
		req.Tenant, req.ID = tenant, "x"
		_, err := k.QuoteUpgrade(t.Context(), req, mode)
		require.ErrorIs(t, err, membership.ErrRequest, why)
	}
	state("wang", "team", membership.Convert, "nothing runs")
	state("li", "free", membership.Convert, "at price 0 there is no rate")
	state("li", "free", membership.ProrateCharge, "the other plan is cheaper")
	k.buy("m", "wang", "month")
	state("wang", "team", membership.ProrateCharge, "terms of another length")
	k.buy("both", "li", "team")
	state("li", "team", membership.ProrateCharge, "a team membership runs already")
	_, err := k.BeginRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r", Order: "m", Cause: membership.CauseUnused})
	require.NoError(t, err)
	state("wang", "team", membership.Convert, "a refund is under way")
	request(membership.PurchaseRequest{Payer: "zhao", Beneficiary: "li", Item: "team"}, membership.Convert, "a gift ends no terms")
	request(membership.PurchaseRequest{Payer: "li", Item: "team"}, "sideways", "unknown")
	request(membership.PurchaseRequest{Payer: "li", Item: "pack10"}, membership.Convert, "not a plan")
	for _, req := range []membership.PurchaseRequest{
		{Payer: "li", Item: "pack10", Upgrade: membership.ProrateCharge},
		{Payer: "li", Item: "team", Upgrade: membership.Parallel},
		{Payer: "li", Item: "team", Upgrade: membership.Convert, After: membership.Personal},
	} {
		req.Tenant, req.ID = tenant, "x"
		_, err := k.Quote(t.Context(), req)
		require.ErrorIs(t, err, membership.ErrRequest)
	}
	k.buy("plain", "zhao", "personal")
	_, err = k.Extend(t.Context(), membership.ExtendRequest{Tenant: tenant, ID: "ext", Account: "zhao", Type: membership.Personal, Term: quota.Term{Days: 365}, Reason: "outage", Actor: "ops"})
	require.NoError(t, err)
	state("zhao", "team", membership.ProrateCharge, "an extension has no price to prorate")
	assert.Equal(t, cny(7300), k.upgrade("x", "zhao", "team", membership.Convert).Summary.Upgrade.Credit, "and is worth nothing")
}

// TestUpgrade_exclusive_tax: of prices that tax is added to, the whole is prorated.
func TestUpgrade_exclusive_tax(t *testing.T) {
	cat := dated()
	for i := range cat.Prices {
		cat.Prices[i].Inclusive = false
	}
	k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
	k.buy("old", "li", "personal")
	sum := k.upgrade("up", "li", "team", membership.ProrateCharge).Summary
	assert.Equal(t, cny(12720), sum.Price)
	assert.Equal(t, cny(720), sum.Tax)
	assert.Equal(t, cny(7738), k.upgrade("up", "li", "team", membership.Convert).Summary.Upgrade.Credit)
}

func TestLink_H29_terms_add_up_if_asked_for(t *testing.T) {
	k := newKit(t, func(c *membership.Config) { c.Catalogue, c.StackTerms = dated(), true })
	k.buy("a", "wechat", "personal")
	k.buy("t", "phone", "team")
	k.buy("b", "phone", "personal")
	k.buy("c", "phone", "month")
	k.at = noon.Add(100 * day)
	req := membership.LinkRequest{Tenant: tenant, ID: "l", First: "wechat", Second: "phone", Actor: "ops"}
	_, err := k.Link(t.Context(), req)
	require.NoError(t, err)
	m := k.member("phone")
	assert.Equal(t, noon.Add(365*day), m.Lane(membership.Team).Segments[0].Until, "nothing beside it: it stays")
	moved := m.Lane(membership.Personal).Segments
	assert.Equal(t, noon.Add(365*day), moved[0].From, "behind the other's end")
	assert.Equal(t, noon.Add((365+265)*day), moved[0].Until, "with the time that was left")
	assert.Equal(t, 100*day, moved[0].Ran)
	assert.Equal(t, moved[0].Until, moved[1].From)
	month, _, err := quota.Term{Months: 1}.After(moved[1].From, 0)
	require.NoError(t, err)
	assert.Equal(t, month, moved[1].Until)
	// What had run counts for what is left of the price.
	q, err := k.QuoteRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r", Order: "b", Cause: membership.CauseProvider, Invoices: true, Actor: "ops", Note: "x"})
	require.NoError(t, err)
	assert.Equal(t, cny(5300), q.Amount, "265 of 365 days")
	// Renewals go behind both.
	k.buy("d", "wechat", "month")
	m = k.member("wechat")
	assert.Equal(t, month, m.Lane(membership.Personal).Segments[1].From)
	req.ID = "again"
	_, err = k.Link(t.Context(), req)
	require.NoError(t, err)
	m = k.member("phone")
	assert.Equal(t, moved, m.Lane(membership.Personal).Segments, "linking twice moves nothing twice")
}

func TestPurchase_H05_only_natural_persons_hold_a_membership(t *testing.T) {
	k := newKit(t, func(c *membership.Config) {
		c.Person = func(tn string, a quota.AccountID) bool { return tn == tenant && a != "acme-ltd" }
	})
	k.accept("li", "acme-ltd")
	req := membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Beneficiary: "acme-ltd", Item: "team"}
	_, _, err := k.Purchase(t.Context(), req)
	var denied *membership.DeniedError
	require.ErrorAs(t, err, &denied)
	assert.Equal(t, membership.DeniedPerson, denied.Reason)
	req.Item = "pack10"
	_, _, err = k.Purchase(t.Context(), req)
	require.NoError(t, err, "units are for anyone (H06)")
	k.buy("o2", "li", "team")
}
