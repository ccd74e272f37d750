package quota_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
)

const day = 24 * time.Hour

// told lists the alerts of the account as unit, rule and lot.
func (k *kit) told() []string {
	k.t.Helper()
	out := []string{}
	for a, err := range k.Alerts(k.t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}) {
		require.NoError(k.t, err)
		out = append(out, fmt.Sprint(a.Unit, " ", a.Rule, " ", a.Lot))
	}
	return out
}

func (k *kit) sweep() {
	k.t.Helper()
	_, err := k.Sweep(k.t.Context(), 10)
	require.NoError(k.t, err)
}

func (k *kit) grant(req quota.GrantRequest) quota.Lot {
	k.t.Helper()
	req.Tenant = tenant
	if req.Account == "" {
		req.Account = account
	}
	if req.Unit == "" {
		req.Unit = quota.UnitSign
	}
	l, err := k.Grant(k.t.Context(), req)
	require.NoError(k.t, err)
	return l
}

// Calls of one commit are told of once, by what they leave together.
func TestAlerts_H50_of_a_batch(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("lot", 5, 365)
	reqs := make([]quota.ReserveRequest, 5)
	for i := range reqs {
		lines := []quota.LineRequest{line("1", quota.WeChat)}
		reqs[i] = quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(strconv.Itoa(i)), Account: account, Lines: lines}
	}
	_, errs, err := k.ReserveMany(t.Context(), reqs)
	require.NoError(t, err)
	require.Equal(t, make([]error, 5), errs)
	var rules []quota.AlertRule
	for a, err := range k.Alerts(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}) {
		require.NoError(t, err)
		assert.Equal(t, quota.Units(0), a.Left)
		rules = append(rules, a.Rule)
	}
	assert.Equal(t, []quota.AlertRule{quota.AlertEmpty, quota.AlertLow}, rules)
	k.verify()
}

// A lot that is used up in one booking is gone with it, and is told of all the same;
// others count on.
func TestAlerts_H50_of_a_lot_used_at_once(t *testing.T) {
	charge := func(k *kit, n int) {
		req := quota.ChargeRequest{Tenant: tenant, ID: quota.HoldID(k.id()), Account: account}
		for i := range n {
			req.Lines = append(req.Lines, line(quota.SlotID(strconv.Itoa(i)), quota.WeChat))
		}
		_, err := k.Charge(t.Context(), req)
		require.NoError(t, err)
	}
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 300)
	charge(k, 5)
	assert.Equal(t, []string{"sign empty ", "sign low "}, k.told())

	k = newKit(t, quota.Config{})
	k.lot("a", 9, 300)
	k.lot("b", 2, 301)
	charge(k, 9)
	assert.Equal(t, []string{"sign low "}, k.told(), "2 of 11 are left")
}

func TestAlerts_H50_nearest_threshold_speaks_once(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.grant(quota.GrantRequest{ID: "a", Units: 3, Until: noon.Add(12 * time.Hour)})
	var got []quota.Alert
	for a, err := range k.Alerts(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}) {
		require.NoError(t, err)
		got = append(got, a)
	}
	assert.Equal(t, []quota.Alert{{Account: account, Unit: quota.UnitSign, Rule: quota.AlertEnding1, Lot: "a", At: noon, Left: 3, Until: lot.Until}}, got)
	k.at = noon.Add(time.Hour)
	k.reserve("env/1", line("li", quota.WeChat))
	assert.Len(t, k.told(), 1)
}

// TestAlerts_H50_units_that_come_back: a lot warns once, also when its units were
// held in between; one whose units are all held does not warn.
func TestAlerts_H50_units_that_come_back(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 2, 60)
	k.lot("b", 20, 300)
	k.at = lot.Until.Add(-20 * day)
	k.sweep()
	require.Equal(t, []string{"sign ending.30 a"}, k.told())
	k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.WeChat))
	k.at = k.at.Add(time.Hour)
	k.release("env/1", quota.Revoked)
	k.reserve("env/2", line("li", quota.WeChat), line("wang", quota.WeChat))
	assert.Equal(t, []string{"sign ending.30 a"}, k.told())
	k.at = lot.Until.Add(-6 * day)
	k.sweep()
	k.grant(quota.GrantRequest{ID: "c", Units: 1, Term: quota.Term{Days: 200}})
	assert.Equal(t, []string{"sign ending.30 a"}, k.told(), "nothing of it would be lost")
	k.release("env/2", quota.Revoked)
	assert.Equal(t, []string{"sign ending.30 a", "sign ending.7 a"}, k.told())
}

func TestAlerts_H50_of_one_booking_are_in_order(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.grant(quota.GrantRequest{ID: "y", Units: 9, Until: noon.Add(60 * day)})
	k.grant(quota.GrantRequest{ID: "x", Units: 9, Until: noon.Add(60*day + time.Hour)})
	k.grant(quota.GrantRequest{ID: "soon", Units: 9, Until: noon.Add(35 * day)})
	k.grant(quota.GrantRequest{ID: "a", Unit: quota.UnitSMS, Units: 9, Until: noon.Add(60 * day)})
	k.at = noon.Add(31 * day)
	k.sweep()
	assert.Equal(t, []string{"sign ending.30 x", "sign ending.30 y", "sign ending.7 soon", "sms ending.30 a"}, k.told())
}

// TestAlerts_H50_many: a booking raises a hundred at most; the next raises the
// rest, and none is raised twice.
func TestAlerts_H50_many(t *testing.T) {
	k := newKit(t, quota.Config{})
	reqs := []quota.GrantRequest{}
	for i := range 140 {
		req := quota.GrantRequest{Tenant: tenant, ID: quota.LotID(fmt.Sprintf("lot-%03d", i)), Account: account, Unit: quota.UnitSign, Units: 1, Until: noon.Add(60 * day)}
		if i >= 120 { // spent last, and told of before
			req.Priority, req.Until = 1, noon.Add(50*day)
		}
		reqs = append(reqs, req)
	}
	for batch := range slices.Chunk(reqs, 50) {
		_, _, err := k.GrantMany(t.Context(), batch)
		require.NoError(t, err)
	}
	k.at = noon.Add(20 * day)
	k.sweep()
	assert.Len(t, k.told(), 20)
	k.at = noon.Add(30 * day)
	k.sweep()
	assert.Len(t, k.told(), 120)
	k.sweep()
	k.sweep()
	told := k.told()
	assert.Len(t, told, 140)
	slices.Sort(told)
	assert.Len(t, slices.Compact(told), 140)
}

// TestAlerts_H50_many_past_several_thresholds: also the hundredth of a booking
// speaks by the nearest threshold alone.
func TestAlerts_H50_many_past_several_thresholds(t *testing.T) {
	k := newKit(t, quota.Config{})
	reqs := []quota.GrantRequest{}
	for i := range 120 {
		reqs = append(reqs, quota.GrantRequest{Tenant: tenant, ID: quota.LotID(fmt.Sprintf("lot-%03d", i)), Account: account, Unit: quota.UnitSign, Units: 1, Until: noon.Add(60 * day)})
	}
	for batch := range slices.Chunk(reqs, 50) {
		_, _, err := k.GrantMany(t.Context(), batch)
		require.NoError(t, err)
	}
	k.at = noon.Add(55 * day)
	for range 3 {
		k.sweep()
	}
	told := k.told()
	assert.Len(t, told, 120)
	for _, a := range told {
		assert.Contains(t, a, "sign ending.7 ")
	}
}

func TestForecast_counts_what_can_be_spent_H50(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.grant(quota.GrantRequest{ID: "a", Units: 33, Until: noon.Add(20 * day)})
	k.grant(quota.GrantRequest{ID: "b", Units: 100, From: noon.Add(10 * day), Until: noon.Add(60 * day)})
	k.grant(quota.GrantRequest{ID: "sms", Unit: quota.UnitSMS, Units: 500, Until: noon.Add(60 * day)})
	_, err := k.Charge(t.Context(), quota.ChargeRequest{Tenant: tenant, ID: "c", Account: account, Lines: []quota.LineRequest{{Slot: "s", Kind: quota.KindOrdinary, Quantity: 28}}})
	require.NoError(t, err)
	forecast := func() []quota.UnitForecast {
		t.Helper()
		f, err := k.Forecast(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
		require.NoError(t, err)
		return f
	}
	f := forecast()
	require.Len(t, f, 2)
	assert.Equal(t, noon.Add(5*day), f[0].Runway, "one a day: five last five days, and the next lot begins in ten")
	assert.Zero(t, f[0].Unused)
	assert.Equal(t, quota.UnitForecast{Unit: quota.UnitSMS, Unused: 500}, f[1])
	// With units until then, the next lot takes over as it begins.
	k.grant(quota.GrantRequest{ID: "d", Units: 6, Until: noon.Add(15 * day)})
	f = forecast()
	assert.True(t, f[0].Runway.IsZero())
	assert.Equal(t, quota.Units(51), f[0].Unused, "of 111, 60 are asked for by the end")
	// What a refund froze is not there.
	_, err = k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: "r", Account: account, Lots: []quota.LotID{"d"}})
	require.NoError(t, err)
	assert.Equal(t, noon.Add(5*day), forecast()[0].Runway)
}

// TestAlerts_H50_are_forgotten_with_their_lot: an account does not grow with the
// lots it had.
func TestAlerts_H50_are_forgotten_with_their_lot(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 2, 60)
	k.lot("b", 20, 300)
	k.at = lot.Until.Add(-time.Hour)
	k.sweep()
	marks := func() int {
		var out strings.Builder
		require.NoError(t, k.Export(t.Context(), tenant, &out))
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, `{"account"`) {
				return strings.Count(line, `"rule":"ending`)
			}
		}
		return -1
	}
	assert.Equal(t, 3, marks())
	k.at = lot.Until
	k.sweep()
	k.grant(quota.GrantRequest{ID: "c", Units: 1, Until: k.at.Add(100 * day)})
	assert.Zero(t, marks())
}
