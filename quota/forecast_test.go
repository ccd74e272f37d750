package quota_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
)

func TestForecast_H50(t *testing.T) {
	k := newKit(t, quota.Config{})
	forecast := func() quota.UnitForecast {
		t.Helper()
		fs, err := k.Forecast(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
		require.NoError(t, err)
		require.Len(t, fs, 1)
		return fs[0]
	}
	k.lot("short", 40, 40)
	k.lot("long", 60, 400)
	assert.Equal(t, quota.UnitForecast{Unit: quota.UnitSign, Unused: 100}, forecast(), "no use: everything expires")

	// 28 units in the last 28 days: one a day. 8 of them on one day, 2 came back.
	charge := func(id string, n int64) {
		_, err := k.Charge(t.Context(), quota.ChargeRequest{Tenant: tenant, ID: quota.HoldID(id), Account: account, Lines: []quota.LineRequest{{Slot: "s", Kind: quota.KindOrdinary, Quantity: n}}})
		require.NoError(t, err)
	}
	charge("a", 20)
	k.at = noon.Add(24 * time.Hour)
	charge("b", 6)
	k.reserve("env/1", line("x", quota.WeChat), line("y", quota.WeChat))
	k.at = noon.Add(48 * time.Hour)
	k.reserve("env/2", line("x", quota.WeChat), line("y", quota.SMS))
	k.release("env/1", quota.Revoked)
	f := forecast()
	assert.Equal(t, quota.Units(28), f.Used)
	assert.Equal(t, quota.Units(20), f.Peak)
	// 72 are left: 12 in the short lot, 60 in the long one, at one a day.
	assert.Equal(t, k.at.Add(72*24*time.Hour), f.Runway)
	assert.Zero(t, f.Unused)
	// At 20 a day the 72 last 3.6 days.
	assert.Equal(t, k.at.Add(72*24*time.Hour/20), f.PeakRunway)

	k.at = noon.Add(28 * 24 * time.Hour) // the first day is out of the window
	f = forecast()
	assert.Equal(t, quota.Units(8), f.Used)
	// The short lot ends in 12 days, when ceil(8*12/28) = 4 of its 12 are used.
	// The long one has 372 days: ceil(8*372/28) = 107 are asked for in all.
	assert.Equal(t, quota.Units(8), f.Unused)
	assert.Equal(t, k.at.Add(64*28*24*time.Hour/8), f.Runway)

	k.at = noon.Add(100 * 24 * time.Hour)
	f = forecast()
	assert.Zero(t, f.Used)
	assert.Equal(t, quota.Units(60), f.Unused)
}
