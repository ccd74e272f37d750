package quota_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
)

// TestLot_Spendable_I11 is the one function at its edges: what nobody has booked
// yet counts all the same.
func TestLot_Spendable_I11(t *testing.T) {
	lot := quota.Lot{
		From: noon, Until: noon.Add(time.Hour), Granted: 10, Held: 4, Used: 1, Expired: 1, Clawed: 1,
		Lapse: []quota.Lapse{{At: noon.Add(time.Minute), Units: 2}, {At: noon.Add(2 * time.Minute), Units: 1}},
	}
	for _, c := range []struct {
		at   time.Time
		want quota.Units
	}{
		{noon.Add(-time.Microsecond), 0}, {noon, 3},
		{noon.Add(time.Minute - time.Microsecond), 3}, {noon.Add(time.Minute), 5}, {noon.Add(2 * time.Minute), 6},
		{noon.Add(time.Hour - time.Microsecond), 6}, {noon.Add(time.Hour), 0},
	} {
		assert.Equal(t, c.want, lot.Spendable(c.at), c.at)
	}
	for _, off := range []func(*quota.Lot){func(l *quota.Lot) { l.Frozen = true }, func(l *quota.Lot) { l.Clawing = true }} {
		l := lot
		off(&l)
		assert.Zero(t, l.Spendable(noon))
	}
	assert.True(t, lot.Pays("anything"))
	lot.Scope = []quota.ChargeKind{quota.KindRealNameOrg}
	assert.True(t, lot.Pays(quota.KindRealNameOrg))
	assert.False(t, lot.Pays(quota.KindOrdinary))
}

func TestClock_tolerance_is_five_minutes(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 2, 30)
	k.at = noon.Add(-5 * time.Minute)
	k.reserve("env/1", line("li", ""))
	k.at = noon.Add(-5*time.Minute - time.Microsecond)
	_, err := k.tryReserve("env/2", line("li", ""))
	require.ErrorIs(t, err, quota.ErrClock)
}

func TestLapse_and_end_at_one_instant(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 3, 1)
	k.at = lot.Until.Add(-30 * time.Minute)
	h, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "c/1", Account: account, TTL: 30 * time.Minute, Lines: []quota.LineRequest{line("li", "")}})
	require.NoError(t, err)
	require.Equal(t, lot.Until, h.Expires)
	k.at = lot.Until
	st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	require.Len(t, st.Lines, 5)
	assert.Equal(t, []quota.EntryKind{quota.EntryGrant, quota.EntryHold, quota.EntryLapse, quota.EntryExpire, quota.EntryExpire}, k.kinds(), "lapses first")
	assert.Equal(t, quota.Units(1), st.Lines[3].Units)
	assert.Equal(t, quota.Units(3), k.lotNow("a").Expired, "at the very end")
}

func TestRefund_of_a_lot_that_ends_meanwhile(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 3, 1)
	_, err := k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: "r", Account: account, Lots: []quota.LotID{"a"}, Unused: true})
	require.NoError(t, err)
	k.at = lot.Until.Add(time.Hour)
	_, err = k.Sweep(t.Context(), 10)
	require.NoError(t, err)
	r, err := k.ConfirmRefund(t.Context(), quota.EndRefundRequest{Tenant: tenant, ID: "p", Account: account, Refund: "r"})
	require.NoError(t, err)
	assert.Zero(t, r.Clawed, "it had expired")
	k.verify()
}

func TestHold_expiry_is_rounded_up(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 10, 30)
	k.at = noon.Add(time.Second)
	for ttl, want := range map[time.Duration]time.Time{
		59 * time.Second:             noon.Add(time.Minute), // exactly on a minute stays
		time.Hour:                    noon.Add(time.Hour + time.Minute),
		time.Hour + time.Microsecond: noon.Add(2 * time.Hour),
		48 * time.Hour:               noon.Add(49 * time.Hour),
		48*time.Hour + 1000:          time.Date(2027, 3, 4, 0, 0, 0, 0, time.UTC),
	} {
		h, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(ttl.String()), Account: account, TTL: ttl, Lines: []quota.LineRequest{line("li", "")}})
		require.NoError(t, err)
		assert.Equal(t, want, h.Expires, ttl)
	}
}

func TestRefund_rules_one_by_one(t *testing.T) {
	begin := func(k *kit, id string, unused bool) error {
		_, err := k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: id, Account: account, Lots: []quota.LotID{"a"}, Unused: unused})
		return err
	}
	net := newKit(t, quota.Config{RefundNet: true})
	net.lot("a", 3, 30)
	net.reserve("env/1", line("li", quota.WeChat))
	net.capture("env/1", "li")
	require.ErrorIs(t, begin(net, "r1", true), quota.ErrNotRefundable, "used, even if net")
	require.NoError(t, begin(net, "r2", false), "another reason takes what is left")

	ended := newKit(t, quota.Config{})
	ended.lot("a", 1, 30)
	ended.reserve("env/1", line("li", quota.WeChat))
	ended.capture("env/1", "li")
	var not *quota.NotRefundableError
	require.ErrorAs(t, begin(ended, "r1", true), &not)
	assert.Equal(t, quota.RefundUsed, not.Reason)
	require.NoError(t, begin(ended, "r2", false), "an ended lot is left out")

	// Merged accounts keep their finished lots readable and refused alike.
	_, err := ended.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "m", From: account, To: "phone"})
	require.NoError(t, err)
	require.ErrorAs(t, begin(ended, "r3", true), &not)
	lot, owner, err := ended.Lot(t.Context(), quota.LotRequest{Tenant: tenant, ID: "a"})
	require.NoError(t, err)
	assert.Equal(t, quota.AccountID("phone"), owner)
	assert.Equal(t, quota.Units(1), lot.Used)
}

func TestLapse_of_one_lot_before_the_end_of_another(t *testing.T) {
	k := newKit(t, quota.Config{})
	a, err := k.Grant(t.Context(), quota.GrantRequest{
		Tenant: tenant, ID: "a", Account: account, Unit: quota.UnitSign, Units: 1, Scope: []quota.ChargeKind{quota.KindRealNameOrg}, Term: quota.Term{Days: 1},
	})
	require.NoError(t, err)
	k.lot("b", 1, 30)
	k.at = a.Until.Add(-30 * time.Minute)
	_, err = k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "c/1", Account: account, TTL: 30 * time.Minute, Lines: []quota.LineRequest{line("li", "")}})
	require.NoError(t, err)
	k.at = a.Until
	assert.Equal(t, []quota.EntryKind{quota.EntryGrant, quota.EntryGrant, quota.EntryHold, quota.EntryLapse, quota.EntryExpire}, k.kinds())
}

func TestMerge_refusals_one_by_one_D09(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 3, 30)
	merge := func(id string) error {
		_, err := k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: id, From: account, To: "phone"})
		return err
	}
	k.reserve("env/1", line("li", quota.WeChat))
	require.ErrorIs(t, merge("m1"), quota.ErrOpenHolds, "one held unit is enough")
	k.release("env/1", quota.Revoked)
	require.NoError(t, k.Suspend(t.Context(), quota.SuspendRequest{Tenant: tenant, ID: "s", Account: account, Reason: "check"}))
	require.ErrorIs(t, merge("m2"), quota.ErrSuspended, "a merge is no way out of a suspension")
	require.NoError(t, k.Resume(t.Context(), quota.SuspendRequest{Tenant: tenant, ID: "r", Account: account, Reason: "check"}))
	_, err := k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: "f", Account: account, Lots: []quota.LotID{"a"}})
	require.NoError(t, err)
	require.ErrorIs(t, merge("m3"), quota.ErrLotFrozen)
	c, err := k.Claw(t.Context(), quota.ClawRequest{Tenant: tenant, ID: "c", Account: account, Actor: "ops", Reason: "x"})
	require.NoError(t, err)
	assert.Zero(t, c.Units, "frozen lots are left alone")
	_, err = k.CancelRefund(t.Context(), quota.EndRefundRequest{Tenant: tenant, ID: "e", Account: account, Refund: "f"})
	require.NoError(t, err)
	require.ErrorIs(t, second(k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "m4", From: account, To: account})), quota.ErrRequest)
	require.NoError(t, merge("m5"))
	k.verify()
}

func TestRefund_once_even_while_units_are_held(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 3, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	begin := func(id string) error {
		_, err := k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: id, Account: account, Lots: []quota.LotID{"a"}})
		return err
	}
	require.NoError(t, begin("r1"))
	_, err := k.ConfirmRefund(t.Context(), quota.EndRefundRequest{Tenant: tenant, ID: "e", Account: account, Refund: "r1"})
	require.NoError(t, err)
	var not *quota.NotRefundableError
	require.ErrorAs(t, begin("r2"), &not)
	assert.Equal(t, quota.RefundRepeated, not.Reason)
}

func TestAsOf_includes_its_instant(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 3, 30)
	for at, want := range map[time.Time]quota.Units{noon.Add(-time.Microsecond): 0, noon: 3, noon.Add(time.Microsecond): 3} {
		b, err := k.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}, at)
		require.NoError(t, err)
		assert.Equal(t, want, b.Of(quota.UnitSign).Spendable, at)
	}
}

func TestMerge_books_lots_that_ended_and_waits_for_timed_holds(t *testing.T) {
	k := newKit(t, quota.Config{})
	a := k.lot("a", 1, 1)
	k.lot("b", 2, 30)
	k.at = a.Until.Add(time.Hour) // a has ended, nobody booked it
	_, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "c/1", Account: account, TTL: time.Minute, Lines: []quota.LineRequest{line("li", "")}})
	require.NoError(t, err)
	merge := quota.MergeRequest{Tenant: tenant, ID: "m", From: account, To: "phone", OpenHolds: true}
	_, err = k.Merge(t.Context(), merge)
	require.ErrorIs(t, err, quota.ErrOpenHolds)
	k.at = k.at.Add(time.Hour)
	m, err := k.Merge(t.Context(), merge)
	require.NoError(t, err)
	assert.Equal(t, []quota.LotID{"b"}, m.Lots)
	assert.Equal(t, quota.Units(2), m.Units)
	assert.Equal(t, quota.Units(1), k.lotNow("a").Expired)
	k.verify()

	fresh := newKit(t, quota.Config{})
	late := fresh.lot("a", 1, 1)
	fresh.at = late.Until
	_, err = fresh.Merge(t.Context(), merge)
	require.NoError(t, err)
	assert.Equal(t, quota.Units(1), fresh.lotNow("a").Expired, "booked by the merge itself")
	fresh.verify()
}
