package quota_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
)

// TestBurnOrder_I8 states burn order one rule at a time: lots are equal but for
// what a rule is about and what lower rules would say against it. The order in
// which they were granted never shows.
func TestBurnOrder_I8(t *testing.T) {
	day := func(n int) time.Time { return noon.Add(time.Duration(n) * 24 * time.Hour) }
	for name, c := range map[string]struct{ first, second quota.GrantRequest }{
		"1 lower priority": {
			quota.GrantRequest{ID: "z", Priority: -1, Until: day(9), Source: quota.Bought},
			quota.GrantRequest{ID: "a", Until: day(5), Source: quota.Given, Scope: []quota.ChargeKind{quota.KindOrdinary}},
		},
		"2 earlier end": {
			quota.GrantRequest{ID: "z", Until: day(5), Source: quota.Bought},
			quota.GrantRequest{ID: "a", Until: day(9), Source: quota.Given, Scope: []quota.ChargeKind{quota.KindOrdinary}},
		},
		"3 narrower scope": {
			quota.GrantRequest{ID: "z", Until: day(5), Source: quota.Bought, Scope: []quota.ChargeKind{quota.KindOrdinary}},
			quota.GrantRequest{ID: "a", Until: day(5), Source: quota.Given, Scope: []quota.ChargeKind{quota.KindOrdinary, quota.KindRealNamePerson}},
		},
		"3 any scope before none": {
			quota.GrantRequest{ID: "z", Until: day(5), Source: quota.Bought, Scope: []quota.ChargeKind{quota.KindOrdinary, quota.KindRealNamePerson}},
			quota.GrantRequest{ID: "a", Until: day(5), Source: quota.Given},
		},
		"4 given before bought": {
			quota.GrantRequest{ID: "z", Until: day(5), Source: quota.Given, From: day(0)},
			quota.GrantRequest{ID: "a", Until: day(5), Source: quota.Bought, From: day(-1)},
		},
		"5 earlier start": {
			quota.GrantRequest{ID: "z", Until: day(5), From: day(-1)},
			quota.GrantRequest{ID: "a", Until: day(5), From: day(0)},
		},
		"6 id": {
			quota.GrantRequest{ID: "a", Until: day(5)},
			quota.GrantRequest{ID: "z", Until: day(5)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, order := range [][]quota.GrantRequest{{c.first, c.second}, {c.second, c.first}} {
				k := newKit(t, quota.Config{})
				for _, req := range order {
					req.Tenant, req.Account, req.Unit, req.Units = tenant, account, quota.UnitSign, 1
					_, err := k.Grant(t.Context(), req)
					require.NoError(t, err)
				}
				h := k.reserve("env/1", line("li", quota.WeChat))
				assert.Equal(t, c.first.ID, h.Lines[0].From[0].Lot)
				c2, err := k.Claw(t.Context(), quota.ClawRequest{Tenant: tenant, ID: "c", Account: account, Units: 1, Actor: "ops", Reason: "x"})
				require.NoError(t, err)
				assert.EqualValues(t, 1, c2.Units)
				assert.EqualValues(t, 1, k.lotNow(c.second.ID).Clawed)
			}
		})
	}
}

// TestLots_limits are the bounds of §4: 1000 live lots, one slot over many lots,
// the largest sums.
func TestLots_limits(t *testing.T) {
	k := newKit(t, quota.Config{NoAlerts: true})
	grant := func(id string, units quota.Units) error {
		_, err := k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: quota.LotID(id), Account: account, Unit: quota.UnitSign, Units: units, Term: quota.Term{Years: 1}})
		return err
	}
	reqs := make([]quota.GrantRequest, 1000)
	for i := range reqs {
		reqs[i] = quota.GrantRequest{Tenant: tenant, ID: quota.LotID("lot-" + time.Duration(i).String()), Account: account, Unit: quota.UnitSign, Units: 1, Term: quota.Term{Years: 1}}
	}
	for len(reqs) > 0 { // fewer commits, each of many lots
		_, errs, err := k.GrantMany(t.Context(), reqs[:100])
		require.NoError(t, err)
		for _, err := range errs {
			require.NoError(t, err)
		}
		reqs = reqs[100:]
	}
	require.ErrorIs(t, grant("one-more", 1), quota.ErrTooManyLots)
	h := k.reserve("env/1", quota.LineRequest{Slot: "s", Kind: quota.KindOrdinary, Quantity: 1000})
	assert.Len(t, h.Lines[0].From, 1000)
	k.capture("env/1", "s")
	require.NoError(t, grant("one-more", 1), "used-up lots make room")
	k.verify()

	k = newKit(t, quota.Config{})
	require.NoError(t, grant("a", 1<<62))
	require.ErrorIs(t, grant("b", 1<<62), quota.ErrOverflow, "sums must fit")
	require.NoError(t, grant("b", 1<<62-1))
	require.ErrorIs(t, grant("c", 1), quota.ErrOverflow)
	assert.Equal(t, quota.Units(1<<63-1), k.spendable())
	_, err := k.tryReserve("env/1", quota.LineRequest{Slot: "s", Kind: quota.KindOrdinary, Quantity: 1<<63 - 1})
	require.NoError(t, err)
	require.ErrorIs(t, grant("c", 1), quota.ErrOverflow, "what is held may come back")
	_, err = k.tryReserve("env/2", quota.LineRequest{Slot: "s", Kind: quota.KindRealNamePerson, Quantity: 1 << 62})
	require.ErrorIs(t, err, quota.ErrOverflow)
	_, err = k.tryReserve("env/3", quota.LineRequest{Slot: "s", Kind: quota.KindOrdinary, Quantity: 1<<63 - 1}, line("t", ""))
	require.ErrorIs(t, err, quota.ErrOverflow)
	k.release("env/1", quota.NotStarted)
	assert.Equal(t, quota.Units(1<<63-1), k.spendable())
	_, err = k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "phone", Account: "phone", Unit: quota.UnitSign, Units: 1, Term: quota.Term{Years: 1}})
	require.NoError(t, err)
	_, err = k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "m", From: "phone", To: account})
	require.ErrorIs(t, err, quota.ErrOverflow)
	k.verify()
}

// TestLots_to_the_end_of_the_calendar: nothing overflows that is computed from the
// last instants there are.
func TestLots_to_the_end_of_the_calendar(t *testing.T) {
	k := newKit(t, quota.Config{})
	end := time.Date(9999, 12, 31, 15, 59, 59, 999999000, time.UTC)
	_, err := k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "a", Account: account, Unit: quota.UnitSign, Units: 1<<63 - 1, Until: end})
	require.NoError(t, err)
	k.reserve("env/1", line("li", quota.WeChat))
	f, err := k.Forecast(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(1), f[0].Used)
	assert.True(t, f[0].Runway.IsZero())
	b, err := k.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}, end.Add(-time.Microsecond))
	require.NoError(t, err)
	assert.Equal(t, quota.Units(1<<63-2), b.Of(quota.UnitSign).Spendable)
	b, err = k.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}, end)
	require.NoError(t, err)
	assert.Zero(t, b.Of(quota.UnitSign).Spendable)
	k.at = end
	k.release("env/1", quota.Revoked)
	assert.Equal(t, quota.Units(1<<63-1), k.lotNow("a").Expired)
	k.verify()
	_, err = k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "b", Account: account, Unit: quota.UnitSign, Units: 1, Term: quota.Term{Days: 1}})
	require.ErrorIs(t, err, quota.ErrOverflow, "beyond year 9999")
}
