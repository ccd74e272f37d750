package membership_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/quota"
)

// TestClaw_H24: what one order gave by abuse goes, with who and why, and at most
// what is free; the order beside it keeps its length (M5).
func TestClaw_H24_takes_a_term_and_what_is_free(t *testing.T) {
	k := upgradeKit(t)
	k.buy("bad", "li", "team")
	k.buy("good", "li", "team")
	_, err := k.ledger.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "env/1", Account: "li", Lines: []quota.LineRequest{{Slot: "s", Kind: quota.KindOrdinary, Channel: quota.WeChat}}})
	require.NoError(t, err)
	k.at = noon.Add(10 * day)
	req := membership.ClawRequest{Tenant: tenant, ID: "c1", Order: "bad", Reason: "abuse", Actor: "ops"}
	o, err := k.Claw(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, k.at, o.Clawed)
	assert.Equal(t, "abuse", o.Reason)
	assert.Equal(t, "ops", o.Actor)
	m := k.member("li")
	lane := m.Lane(membership.Team)
	require.Len(t, lane.Segments, 1)
	assert.Equal(t, "good", lane.Segments[0].Order)
	assert.Equal(t, k.at, lane.Segments[0].From)
	assert.Equal(t, k.at.Add(365*day), lane.End())
	lot, _, err := k.ledger.Lot(t.Context(), quota.LotRequest{Tenant: tenant, ID: "bad/1"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(4), lot.Clawed, "the held one stays")
	assert.Equal(t, quota.Units(1), lot.Held)
	b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "li"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(5), b.Of(quota.UnitSign).Spendable, "another order's units are its own")
	again, err := k.Claw(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, o, again)
	state := func(order, why string) {
		t.Helper()
		_, err := k.Claw(t.Context(), membership.ClawRequest{Tenant: tenant, ID: "c-" + order + why, Order: order, Reason: "abuse", Actor: "ops"})
		require.ErrorIs(t, err, membership.ErrState, why)
	}
	state("bad", "clawed before")
	_, err = k.BeginRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r", Order: "bad", Cause: membership.CauseProvider, Invoices: true, Actor: "ops", Note: "x"})
	require.ErrorIs(t, err, membership.ErrState)
	_, err = k.QuoteRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r", Order: "bad", Cause: membership.CauseLaw, Amount: cny(1), Actor: "ops", Note: "court"})
	require.NoError(t, err, "but the law may ask for it")
	_, err = k.BeginRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r2", Order: "good", Cause: membership.CauseLaw, Amount: cny(1), Actor: "ops", Note: "court"})
	require.NoError(t, err)
	state("good", "a refund is under way")
	for _, change := range []func(*membership.ClawRequest){
		func(r *membership.ClawRequest) { r.Reason = "" }, func(r *membership.ClawRequest) { r.Actor = "" },
	} {
		bad := membership.ClawRequest{Tenant: tenant, ID: "c2", Order: "good", Reason: "abuse", Actor: "ops"}
		change(&bad)
		_, err = k.Claw(t.Context(), bad)
		require.ErrorIs(t, err, membership.ErrRequest)
	}

	// A gift that nobody took is not listed any more, and cannot be taken.
	k.accept("wang")
	g, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "gift", Payer: "wang", Beneficiary: "zhao", Item: "personal"})
	require.NoError(t, err)
	_, err = k.pay("gift", g.Price)
	require.NoError(t, err)
	_, err = k.Claw(t.Context(), membership.ClawRequest{Tenant: tenant, ID: "c3", Order: "gift", Reason: "stolen card", Actor: "ops"})
	require.NoError(t, err)
	_, err = k.AcceptGift(t.Context(), membership.GiftRequest{Tenant: tenant, Order: "gift", Account: "zhao", Terms: g.Terms})
	require.ErrorIs(t, err, membership.ErrState)

	// One that went into another order is part of that.
	k.buy("old", "wang", "personal")
	q := k.upgrade("up", "wang", "team", membership.Convert)
	_, _, err = k.Upgrade(t.Context(), q)
	require.NoError(t, err)
	_, err = k.pay("up", q.Summary.Price)
	require.NoError(t, err)
	state("old", "went into another")
	// An extension, which cost nothing, can be taken back too.
	_, err = k.Extend(t.Context(), membership.ExtendRequest{Tenant: tenant, ID: "ext", Account: "wang", Type: membership.Team, Term: quota.Term{Days: 9}, Reason: "x", Actor: "ops"})
	require.NoError(t, err)
	end := k.member("wang").Lanes[1].End()
	_, err = k.Claw(t.Context(), membership.ClawRequest{Tenant: tenant, ID: "c4", Order: "ext", Reason: "abuse", Actor: "ops"})
	require.NoError(t, err)
	assert.Equal(t, end.Add(-9*day), k.member("wang").Lanes[1].End())
}
