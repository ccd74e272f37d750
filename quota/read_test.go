package quota_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
)

func TestBalance_H14_says_where_every_unit_is(t *testing.T) {
	k := newKit(t, quota.Config{})
	early := k.grant(quota.GrantRequest{ID: "early", Units: 5, Until: noon.Add(10 * day), Priority: 1})
	k.grant(quota.GrantRequest{ID: "alike", Units: 4, Until: early.Until, Priority: 2})
	k.grant(quota.GrantRequest{ID: "late", Units: 10, Until: noon.Add(20 * day)})
	k.grant(quota.GrantRequest{ID: "next", Units: 7, From: noon.Add(day), Until: noon.Add(5 * day)})
	k.grant(quota.GrantRequest{ID: "after", Units: 2, From: noon.Add(day), Until: noon.Add(6 * day)})
	k.grant(quota.GrantRequest{ID: "back", Units: 3, Until: noon.Add(30 * day)})
	k.grant(quota.GrantRequest{ID: "back2", Units: 1, Until: noon.Add(30 * day)})
	k.grant(quota.GrantRequest{ID: "used", Units: 1, Until: noon.Add(day), Priority: -1})
	k.grant(quota.GrantRequest{ID: "text", Unit: quota.UnitSMS, Units: 9, Until: noon.Add(3 * day)})
	k.grant(quota.GrantRequest{ID: "check", Unit: quota.UnitPersonCheck, Units: 1, Until: noon.Add(3 * day)})
	_, err := k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: "r", Account: account, Lots: []quota.LotID{"back", "back2"}})
	require.NoError(t, err)
	k.reserve("env/1", quota.LineRequest{Slot: "s", Kind: quota.KindOrdinary, Quantity: 12}) // used, late, early
	k.reserve("env/2", quota.LineRequest{Slot: "s", Kind: quota.KindSMS, Quantity: 2})
	b, err := k.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	assert.Equal(t, quota.Balance{Account: account, At: noon, Units: []quota.UnitBalance{
		{Unit: quota.UnitPersonCheck, Spendable: 1, NextEnd: noon.Add(3 * day), NextUnits: 1},
		{Unit: quota.UnitSign, Spendable: 8, Held: 12, Frozen: 4, Upcoming: 9, NextEnd: early.Until, NextUnits: 8},
		{Unit: quota.UnitSMS, Spendable: 7, Held: 2, NextEnd: noon.Add(3 * day), NextUnits: 7},
	}}, b)
	k.at = noon.Add(day)
	b, err = k.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	assert.Equal(t, quota.UnitBalance{Unit: quota.UnitSign, Spendable: 17, Held: 12, Frozen: 4, NextEnd: noon.Add(5 * day), NextUnits: 7}, b.Of(quota.UnitSign))
	assert.Equal(t, quota.UnitBalance{Unit: quota.UnitVoice}, b.Of(quota.UnitVoice))
}

func TestHolds_are_selected(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 9, 30)
	k.grant(quota.GrantRequest{ID: "b", Account: "li", Units: 9, Term: quota.Term{Days: 30}})
	k.reserve("env-1/1", line("x", quota.WeChat), line("y", quota.WeChat))
	k.reserve("env-1/2", line("x", quota.WeChat))
	k.reserve("env-2/1", line("x", quota.WeChat))
	_, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "env-3/1", Account: "li", TTL: time.Minute, Lines: []quota.LineRequest{line("x", "")}})
	require.NoError(t, err)
	k.capture("env-1/1", "x")
	k.capture("env-1/2", "x")
	list := func(req quota.HoldsRequest, stop int) (out []quota.HoldID) {
		req.Tenant = tenant
		for h, err := range k.Holds(t.Context(), req) {
			require.NoError(t, err)
			if out = append(out, h.ID); len(out) == stop {
				break
			}
		}
		return out
	}
	assert.Equal(t, []quota.HoldID{"env-1/1", "env-1/2", "env-2/1", "env-3/1"}, list(quota.HoldsRequest{}, 0))
	assert.Equal(t, []quota.HoldID{"env-1/1"}, list(quota.HoldsRequest{}, 1))
	assert.Equal(t, []quota.HoldID{"env-1/1", "env-1/2"}, list(quota.HoldsRequest{Prefix: "env-1/"}, 0))
	assert.Equal(t, []quota.HoldID{"env-3/1"}, list(quota.HoldsRequest{Account: "li"}, 0))
	assert.Equal(t, []quota.HoldID{"env-1/1", "env-2/1", "env-3/1"}, list(quota.HoldsRequest{Open: true}, 0), "one line is enough")
	assert.Equal(t, []quota.HoldID{"env-1/1", "env-2/1"}, list(quota.HoldsRequest{Open: true, Account: account}, 0))
	k.at = noon.Add(time.Minute)
	assert.Equal(t, []quota.HoldID{"env-1/1", "env-2/1"}, list(quota.HoldsRequest{Open: true}, 0), "what lapsed is not open")
	for _, err := range k.Holds(t.Context(), quota.HoldsRequest{Tenant: "_"}) {
		require.ErrorIs(t, err, quota.ErrRequest)
	}
}

func TestStatement_edges(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 4, 10)
	k.grant(quota.GrantRequest{ID: "text", Unit: quota.UnitSMS, Units: 9, Until: noon.Add(30 * day)})
	k.at = noon.Add(time.Hour)
	k.reserve("env/1", line("li", quota.WeChat))
	statement := func(from, to, known time.Time) quota.Statement {
		t.Helper()
		st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account, From: from, To: to, KnownAt: known})
		require.NoError(t, err)
		sums(t, st)
		return st
	}
	none := time.Time{}
	st := statement(none, k.at, none)
	assert.Len(t, st.Lines, 2, "what is of now is not in a window that ends now")
	assert.Equal(t, k.at, st.To)
	st = statement(none, k.at.Add(time.Microsecond), none)
	assert.Len(t, st.Lines, 3)
	assert.Equal(t, k.at, st.To, "nothing is known of later")
	assert.Equal(t, k.at, statement(none, none, none).To)
	st = statement(k.at, none, none)
	assert.Len(t, st.Lines, 1)
	assert.Equal(t, []quota.LotBalance{{Lot: "a", Unit: quota.UnitSign, Available: 4}, {Lot: "text", Unit: quota.UnitSMS, Available: 9}}, st.Opening)
	assert.Equal(t, quota.Units(3), st.Lines[0].Available, "of the unit alone")
	assert.Equal(t, quota.Units(1), st.Lines[0].Held)
	later := k.at.Add(time.Hour)
	st = statement(later, none, none)
	assert.Empty(t, st.Lines)
	assert.Equal(t, later, st.To)
	assert.Equal(t, st.Opening, st.Closing)
	assert.Empty(t, statement(noon, noon, none).Lines)
	assert.Len(t, statement(none, none, noon).Lines, 2, "known at the very instant")
	assert.Empty(t, statement(none, none, noon.Add(-time.Microsecond)).Lines)
	assert.Len(t, statement(none, none, k.at).Lines, 3)
	_, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account, From: noon, To: noon.Add(-time.Microsecond)})
	require.ErrorIs(t, err, quota.ErrRequest)
	// Nothing of a lot that is used up is left to open or close with.
	k.reserve("env/2", quota.LineRequest{Slot: "s", Kind: quota.KindOrdinary, Quantity: 3})
	k.capture("env/2", "s")
	assert.Equal(t, quota.LotBalance{Lot: "a", Unit: quota.UnitSign, Held: 1}, statement(none, none, none).Closing[0])
	k.capture("env/1", "li")
	st = statement(none, none, none)
	assert.Equal(t, []quota.LotBalance{{Lot: "text", Unit: quota.UnitSMS, Available: 9}}, st.Closing)
	b, err := k.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}, k.at.Add(40*day))
	require.NoError(t, err)
	assert.Empty(t, b.Units)
}

func TestForecast_edges(t *testing.T) {
	k := newKit(t, quota.Config{})
	req := quota.BalanceRequest{Tenant: tenant, Account: account}
	charge := func(id string, n int64) {
		t.Helper()
		_, err := k.Charge(t.Context(), quota.ChargeRequest{Tenant: tenant, ID: quota.HoldID(id), Account: account, Lines: []quota.LineRequest{{Slot: "s", Kind: quota.KindOrdinary, Quantity: n}}})
		require.NoError(t, err)
	}
	// So many that units times time fill 128 bits just so.
	k.grant(quota.GrantRequest{ID: "huge", Units: 1<<62 + 1<<61, Until: noon.Add(4 * 28 * day)})
	charge("c", 1<<62)
	f, err := k.Forecast(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, noon.Add(14*day), f[0].Runway)

	// A gap: what the first lot leaves is lost, the one to come is not counted.
	k = newKit(t, quota.Config{})
	k.grant(quota.GrantRequest{ID: "a", Units: 128, Until: noon.Add(10 * day)})
	k.grant(quota.GrantRequest{ID: "b", Units: 50, From: noon.Add(20 * day), Until: noon.Add(60 * day)})
	charge("c", 28)
	f, err = k.Forecast(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, noon.Add(10*day), f[0].Runway)
	assert.Equal(t, quota.Units(90), f[0].Unused)
}

// TestStatement_captions: every line says in both languages what happened.
func TestStatement_captions(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 20, 30)
	k.lot("b", 3, 30)
	k.grant(quota.GrantRequest{ID: "phone", Account: "phone", Units: 1, Until: noon.Add(40 * day)})
	k.reserve("env/1", line("c", quota.SMS), line("f", quota.SMS), line("r", quota.WeChat))
	k.capture("env/1", "c")
	k.release("env/1", quota.Declined, "f")
	k.release("env/1", quota.Revoked, "r")
	_, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "timed", Account: account, TTL: time.Minute, Lines: []quota.LineRequest{line("x", "")}})
	require.NoError(t, err)
	k.at = noon.Add(time.Hour)
	_, err = k.Claw(t.Context(), quota.ClawRequest{Tenant: tenant, ID: "claw", Account: account, Units: 1, Actor: "ops", Reason: "abuse"})
	require.NoError(t, err)
	for _, id := range []string{"r1", "r2"} {
		_, err = k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: id, Account: account, Lots: []quota.LotID{"b"}})
		require.NoError(t, err)
		end := k.CancelRefund
		if id == "r2" {
			end = k.ConfirmRefund
		}
		_, err = end(t.Context(), quota.EndRefundRequest{Tenant: tenant, ID: "e" + id, Account: account, Refund: id})
		require.NoError(t, err)
	}
	stop := quota.SuspendRequest{Tenant: tenant, ID: "s", Account: account, Reason: "check"}
	require.NoError(t, k.Suspend(t.Context(), stop))
	stop.ID = "go"
	require.NoError(t, k.Resume(t.Context(), stop))
	_, err = k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "bind", From: "phone", To: account})
	require.NoError(t, err)
	k.at = noon.Add(50 * day)
	st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	got := map[quota.EntryKind][2]string{}
	for _, l := range st.Lines {
		got[l.Kind] = [2]string{l.Zh, l.En}
	}
	assert.Equal(t, map[quota.EntryKind][2]string{
		quota.EntryGrant: {"份额到账", "units credited"}, quota.EntryHold: {"发起签署，占用份额", "held for a signer"},
		quota.EntryCapture: {"签署完成，扣除份额", "used by a signature"},
		quota.EntryForfeit: {"未签署，按规则不退还（拒签）", "not signed; kept by rule (declined)"},
		quota.EntryRelease: {"份额退还（撤销）", "returned (revoked)"}, quota.EntryLapse: {"占用到期，份额退还", "hold ran out; returned"},
		quota.EntryExpire: {"有效期届满，份额失效", "expired"}, quota.EntryClaw: {"份额收回", "taken back"},
		quota.EntryFreeze: {"退款处理中，份额冻结", "frozen by a refund"}, quota.EntryThaw: {"退款取消，份额解冻", "refund cancelled"},
		quota.EntryRefund: {"退款完成", "refunded"}, quota.EntryMerge: {"账号合并，份额转入", "moved in from a merged account"},
		quota.EntrySuspend: {"账号停用", "account suspended"}, quota.EntryResume: {"账号恢复", "account resumed"},
	}, got)
}

// TestStatement_of_what_was_known: the opening, too, is as known then; what is due
// and not booked opens a window once, if it was due before it.
func TestStatement_of_what_was_known(t *testing.T) {
	k := newKit(t, quota.Config{})
	a := k.lot("a", 4, 1)
	k.grant(quota.GrantRequest{ID: "b", Units: 9, Until: noon.Add(30 * day)})
	k.at = noon.Add(time.Hour)
	k.reserve("env/1", line("li", quota.WeChat))
	k.at = a.Until.Add(2 * time.Hour)
	statement := func(from, known time.Time) quota.Statement {
		t.Helper()
		st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account, From: from, KnownAt: known})
		require.NoError(t, err)
		return st
	}
	late := a.Until.Add(time.Hour)
	st := statement(late, time.Time{})
	assert.Empty(t, st.Lines, "what was due before is in the opening")
	assert.Equal(t, []quota.LotBalance{{Lot: "a", Unit: quota.UnitSign, Held: 1}, {Lot: "b", Unit: quota.UnitSign, Available: 9}}, st.Opening)
	assert.Equal(t, []quota.LotBalance{{Lot: "a", Unit: quota.UnitSign, Available: 4}, {Lot: "b", Unit: quota.UnitSign, Available: 9}}, statement(late, noon).Opening)
	assert.Empty(t, statement(late, noon.Add(-time.Microsecond)).Opening)
	assert.Equal(t, quota.Units(3), statement(late, noon.Add(time.Hour)).Opening[0].Available, "the end was not booked by then")
}
