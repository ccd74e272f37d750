package membership_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/quota"
)

func (k *kit) refuse(t *testing.T, req membership.RefundRequest, why quota.RefundReason) {
	t.Helper()
	for _, call := range []func() error{
		func() error { _, err := k.QuoteRefund(t.Context(), req); return err },
		func() error { _, err := k.BeginRefund(t.Context(), req); return err },
	} {
		var not *quota.NotRefundableError
		require.ErrorAs(t, call(), &not)
		assert.Equal(t, why, not.Reason)
	}
}

func TestRefund_H58_seven_days_unused_less_the_fee(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "personal")
	req := membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o1", Cause: membership.CauseUnused}
	k.at = quota.SevenDays(noon)
	k.refuse(t, req, quota.RefundWindow)
	k.at = k.at.Add(-time.Microsecond)
	q, err := k.BeginRefund(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, cny(19781), q.Amount)
	assert.Equal(t, cny(119), q.Fee)
	k.charged("li", membership.FeatureOrdinary, quota.KindOrdinary, 1)

	end := membership.EndRefundRequest{Tenant: tenant, ID: "e1", Order: "o1"}
	o, err := k.CancelRefund(t.Context(), end)
	require.NoError(t, err)
	assert.Equal(t, membership.Paid, o.State)
	k.free("li", membership.FeatureOrdinary, membership.FreeMember) // which is use
	req.ID = "r2"
	k.refuse(t, req, quota.RefundUsed)

	k.buy("o2", "wang", "pack10")
	req = membership.RefundRequest{Tenant: tenant, ID: "r3", Order: "o2", Cause: membership.CauseUnused}
	_, err = k.BeginRefund(t.Context(), req)
	require.NoError(t, err)
	end = membership.EndRefundRequest{Tenant: tenant, ID: "e2", Order: "o2", Note: "wx-back-1"}
	o, err = k.ConfirmRefund(t.Context(), end)
	require.NoError(t, err)
	assert.Equal(t, membership.Refunded, o.State)
	assert.LessOrEqual(t, o.Returned.Amount, o.Price.Amount, "M7")
	again, err := k.ConfirmRefund(t.Context(), end)
	require.NoError(t, err)
	assert.Equal(t, o, again)
	req.ID = "r4"
	k.refuse(t, req, quota.RefundRepeated)
	b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "wang"})
	require.NoError(t, err)
	assert.Zero(t, b.Of(quota.UnitSign).Spendable)
}

func TestRefund_H57_D11_any_hold_counts_as_use(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "pack10")
	_, err := k.ledger.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "env/1", Account: "li", Lines: []quota.LineRequest{{Slot: "s", Kind: quota.KindOrdinary, Channel: quota.WeChat}}})
	require.NoError(t, err)
	_, err = k.ledger.Release(t.Context(), quota.ReleaseRequest{Tenant: tenant, ID: "x", Hold: "env/1", Cause: quota.Revoked})
	require.NoError(t, err)
	k.refuse(t, membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o1", Cause: membership.CauseUnused}, quota.RefundUsed)
}

func TestRefund_D17_T66_S02_never_but_for_breach_or_law(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "checks")
	k.refuse(t, membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o1", Cause: membership.CauseUnused}, quota.RefundNever)
	k.refuse(t, membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o1", Cause: membership.CauseOperator, Amount: cny(100), Actor: "ops", Note: "kind"}, quota.RefundNever)
	q, err := k.BeginRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o1", Cause: membership.CauseLaw, Amount: cny(3000), Actor: "ops", Note: "court 17"})
	require.NoError(t, err)
	assert.Equal(t, cny(3000), q.Amount)
}

func TestRefund_H59_S30_provider_breach_pays_the_rest(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "personal")
	k.buy("o2", "li", "personal")
	k.buy("o3", "li", "pack10")
	seg := k.member("li").Lanes[0].Segments
	_, err := k.ledger.Charge(t.Context(), quota.ChargeRequest{Tenant: tenant, ID: "c/1", Account: "li", Lines: []quota.LineRequest{{Slot: "s", Kind: quota.KindRealNamePerson}}})
	require.NoError(t, err)
	_, err = k.ledger.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "env/1", Account: "li", Lines: []quota.LineRequest{{Slot: "s", Kind: quota.KindOrdinary, Channel: quota.WeChat}}})
	require.NoError(t, err)
	// 146 of 365 days are left.
	k.at = seg[0].Until.Add(-146 * 24 * time.Hour)
	req := membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o1", Cause: membership.CauseProvider, Actor: "ops", Note: "down for a week"}
	_, err = k.BeginRefund(t.Context(), req)
	require.ErrorIs(t, err, membership.ErrRequest, "the invoices must be back first")
	req.Invoices = true
	q, err := k.BeginRefund(t.Context(), req)
	require.NoError(t, err)
	// The term has 366 days: 2028 is a leap year.
	assert.Equal(t, cny((19900*146+365)/366), q.Amount)
	_, err = k.ConfirmRefund(t.Context(), membership.EndRefundRequest{Tenant: tenant, ID: "e1", Order: "o1"})
	require.NoError(t, err)
	left := k.member("li").Lanes[0].Segments
	require.Len(t, left, 1)
	assert.Equal(t, k.at, left[0].From, "M5: the later order moves left")
	end, _, err := quota.Term{Years: 1}.After(k.at, 0)
	require.NoError(t, err)
	assert.Equal(t, end, left[0].Until, "and keeps its length")

	q, err = k.BeginRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r2", Order: "o3", Cause: membership.CauseProvider, Actor: "ops", Note: "down", Invoices: true})
	require.NoError(t, err)
	assert.Equal(t, cny(3500), q.Amount, "7 of 10 units can be spent")
	_, err = k.ConfirmRefund(t.Context(), membership.EndRefundRequest{Tenant: tenant, ID: "e2", Order: "o3"})
	require.NoError(t, err)
	s, err := k.ledger.Release(t.Context(), quota.ReleaseRequest{Tenant: tenant, ID: "x", Hold: "env/1", Cause: quota.Revoked})
	require.NoError(t, err)
	assert.True(t, s.Lines[0].Returned[0].Gone, "held units are clawed on release")
}

func TestRefund_D10_gift_goes_back_to_the_payer(t *testing.T) {
	k := newKit(t, nil)
	k.accept("li")
	o, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Beneficiary: "wang", Item: "team"})
	require.NoError(t, err)
	_, err = k.MarkPaid(t.Context(), membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: "p1", Amount: o.Price})
	require.NoError(t, err)
	q, err := k.BeginRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o1", Cause: membership.CauseUnused})
	require.NoError(t, err)
	assert.Equal(t, quota.AccountID("li"), q.Payer)
	_, err = k.AcceptGift(t.Context(), membership.GiftRequest{Tenant: tenant, Order: "o1", Account: "wang", Terms: o.Terms})
	require.ErrorIs(t, err, membership.ErrState)
	_, err = k.ConfirmRefund(t.Context(), membership.EndRefundRequest{Tenant: tenant, ID: "e1", Order: "o1"})
	require.NoError(t, err)
	b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "wang"})
	require.NoError(t, err)
	assert.Zero(t, b.Of(quota.UnitSign).Spendable)
}

func TestRefund_amounts_are_bounded(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "personal")
	for name, req := range map[string]membership.RefundRequest{
		"above what was paid": {Cause: membership.CauseLaw, Amount: cny(19901), Actor: "ops", Note: "x"},
		"another currency":    {Cause: membership.CauseLaw, Amount: membership.Money{Amount: 1, Currency: "USD"}, Actor: "ops", Note: "x"},
		"nothing":             {Cause: membership.CauseOperator, Actor: "ops", Note: "x"},
		"nobody":              {Cause: membership.CauseLaw, Amount: cny(1), Note: "x"},
		"no reason":           {Cause: membership.CauseLaw, Amount: cny(1), Actor: "ops"},
		"amount of one's own": {Cause: membership.CauseUnused, Amount: cny(1)},
		"unknown":             {Cause: "mood", Amount: cny(1), Actor: "ops", Note: "x"},
	} {
		req.Tenant, req.ID, req.Order = tenant, "r1", "o1"
		_, err := k.BeginRefund(t.Context(), req)
		require.ErrorIs(t, err, membership.ErrRequest, name)
	}
}
