package membership_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/quota"
)

func TestUpgrade_parallel_and_at_end(t *testing.T) {
	k := newKit(t, nil)
	k.accept("li")
	buy := membership.PurchaseRequest{Tenant: tenant, ID: "up", Payer: "li", Item: "team"}
	_, err := k.QuoteUpgrade(t.Context(), buy, membership.Parallel)
	require.ErrorIs(t, err, membership.ErrState, "nothing runs")
	k.buy("o1", "li", "personal")
	end := k.member("li").Lanes[0].Segments[0].Until

	q, err := k.QuoteUpgrade(t.Context(), buy, "")
	require.NoError(t, err)
	assert.Equal(t, membership.Parallel, q.Mode)
	assert.Equal(t, noon, q.Summary.From)
	k.at = k.at.Add(time.Hour) // a parallel term begins when it is bought
	o, _, err := k.Upgrade(t.Context(), q)
	require.NoError(t, err)
	assert.Equal(t, cny(99900), o.Price)
	again, _, err := k.Upgrade(t.Context(), q)
	require.NoError(t, err)
	assert.Equal(t, o, again)

	buy.ID = "later"
	q, err = k.QuoteUpgrade(t.Context(), buy, membership.AtEnd)
	require.NoError(t, err)
	assert.Equal(t, end, q.Summary.From)
	// Between quote and order the personal membership is renewed: another start.
	k.buy("o2", "li", "monthly")
	var changed *membership.QuoteChangedError
	_, _, err = k.Upgrade(t.Context(), q)
	require.ErrorAs(t, err, &changed)
	require.ErrorIs(t, err, membership.ErrQuoteChanged)
	o, _, err = k.Upgrade(t.Context(), changed.Now)
	require.NoError(t, err)
	_, err = k.MarkPaid(t.Context(), membership.PaidRequest{Tenant: tenant, Order: "later", Payment: "p", Amount: o.Price})
	require.NoError(t, err)
	m := k.member("li")
	personal, team := m.Lane(membership.Personal), m.Lane(membership.Team)
	assert.Equal(t, personal.End(), team.Segments[0].From)
	_, err = k.QuoteUpgrade(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "x", Payer: "li", Item: "pack10"}, "")
	require.ErrorIs(t, err, membership.ErrRequest)
}

func TestLink_H29_two_accounts_until_bound(t *testing.T) {
	k := newKit(t, nil)
	k.accept("phone")
	k.buy("o1", "wechat", "personal")
	k.buy("o2", "wechat", "pack10")
	k.charged("phone", membership.FeatureOrdinary, quota.KindOrdinary, 1)
	req := membership.LinkRequest{Tenant: tenant, ID: "l1", First: "wechat", Second: "phone", Actor: "phone"}
	m, err := k.Link(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, quota.AccountID("phone"), m.Linked)
	k.free("phone", membership.FeatureOrdinary, membership.FreeMember)
	assert.False(t, k.member("wechat").Lanes[0].Segments[0].FirstUse.IsZero(), "the use is of the term that paid")
	b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "phone"})
	require.NoError(t, err)
	assert.Empty(t, b.Units, "D09: lots stay with their accounts")
	_, err = k.Link(t.Context(), membership.LinkRequest{Tenant: tenant, ID: "l2", First: "phone", Second: "third", Actor: "x"})
	require.ErrorIs(t, err, membership.ErrState)
	_, err = k.Suspend(t.Context(), membership.StatusRequest{Tenant: tenant, ID: "s", Account: "wechat", Reason: "crime", Actor: "ops"})
	require.NoError(t, err)
	k.denied("phone", membership.FeatureOrdinary, membership.DeniedSuspended)
}

func TestReminders_30_7_1_days_and_renewal(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "personal")
	end := k.member("li").Lanes[0].Segments[0].Until
	sweep := func(before time.Duration) []int {
		t.Helper()
		k.at = end.Add(-before)
		for range 2 {
			_, err := k.Sweep(t.Context(), 10)
			require.NoError(t, err)
		}
		var days []int
		for r, err := range k.Reminders(t.Context(), membership.MemberRequest{Tenant: tenant, Account: "li"}) {
			require.NoError(t, err)
			days = append(days, r.Days)
		}
		return days
	}
	day := 24 * time.Hour
	assert.Empty(t, sweep(30*day+time.Microsecond))
	assert.Equal(t, []int{30}, sweep(30*day))
	assert.Equal(t, []int{30}, sweep(8*day))
	assert.Equal(t, []int{1, 30}, sweep(day/2), "of several passed at once the nearest speaks for all")
	k.buy("o2", "li", "monthly")
	end = end.Add(31 * day) // March has 31 days
	assert.Equal(t, []int{1, 30, 30}, sweep(20*day), "a renewal arms them again")
	assert.Equal(t, []int{1, 30, 30}, sweep(-day), "an end that has passed is no news")
	n, err := k.Sweep(t.Context(), 10)
	require.NoError(t, err)
	assert.Zero(t, n)
}
