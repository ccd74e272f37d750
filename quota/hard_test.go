package quota_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
)

// The hard cases: expiry, refunds, races and re-invitations where rules meet.

func TestLotExpiresWhileHeld(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 1, 1)
	k.reserve("env/1", line("li", quota.WeChat))
	k.at = lot.Until.Add(time.Hour)
	assert.Equal(t, map[quota.SlotID]quota.LineState{"li": quota.Captured}, states(k.capture("env/1", "li")))
	assert.Equal(t, quota.Units(1), k.lotNow("a").Used)
	k.verify()
}

func TestReleaseAfterExpiry_D04(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 3, 1)
	k.reserve("env/1", line("li", quota.WeChat))
	k.at = lot.Until.Add(time.Hour)
	s := k.release("env/1", quota.Revoked)
	assert.Equal(t, []quota.Return{{Lot: "a", Units: 1, Until: lot.Until, Gone: true}}, s.Lines[0].Returned)
	assert.Zero(t, k.spendable())
	// The rest expired at the end of the lot, what came back when it did.
	st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	require.Len(t, st.Lines, 5)
	assert.Equal(t, []quota.EntryKind{quota.EntryGrant, quota.EntryHold, quota.EntryExpire, quota.EntryRelease, quota.EntryExpire}, k.kinds())
	assert.Equal(t, lot.Until, st.Lines[2].Effective)
	assert.Equal(t, quota.Units(2), st.Lines[2].Units)
	assert.Equal(t, k.at, st.Lines[4].Effective)
	assert.Equal(t, quota.HoldID("env/1"), st.Lines[4].Hold, "the same cause")
	assert.Empty(t, st.Closing)
	k.verify()
}

func TestSlotSpansLotsOneExpired(t *testing.T) {
	k := newKit(t, quota.Config{})
	a := k.lot("a", 1, 1)
	k.lot("b", 5, 30)
	h := k.reserve("env/1", quota.LineRequest{Slot: "li", Kind: quota.KindRealNamePerson, Channel: quota.WeChat})
	require.Len(t, h.Lines[0].From, 2)
	k.at = a.Until
	s := k.release("env/1", quota.Closed)
	// What was taken last goes back first.
	assert.Equal(t, quota.LotID("b"), s.Lines[0].Returned[0].Lot)
	assert.False(t, s.Lines[0].Returned[0].Gone)
	assert.Equal(t, quota.LotID("a"), s.Lines[0].Returned[1].Lot)
	assert.True(t, s.Lines[0].Returned[1].Gone)
	assert.Equal(t, quota.Units(5), k.spendable())
	assert.Equal(t, quota.Units(1), k.lotNow("a").Expired)
	k.verify()
}

func TestMixedChannelRevoke_H17_H18(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 10, 30)
	k.reserve("env/1", line("signed", quota.SMS), line("w1", quota.WeChat), line("w2", quota.WeChat), line("s", quota.SMS))
	k.capture("env/1", "signed")
	assert.Equal(t, map[quota.SlotID]quota.LineState{"w1": quota.Released, "w2": quota.Released, "s": quota.Forfeited},
		states(k.release("env/1", quota.Revoked)))
	h, err := k.Hold(t.Context(), quota.HoldRequest{Tenant: tenant, ID: "env/1"})
	require.NoError(t, err)
	assert.Equal(t, quota.Captured, h.Lines[0].State, "signed slots stay")
	assert.Equal(t, quota.Units(8), k.spendable())
	k.verify()
}

func TestReinvitedBySMS_D02(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 1, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	assert.True(t, k.mark("env/1", "li", quota.SMS, false).Sticky)
	last := k.mark("env/1", "li", quota.WeChat, false)
	assert.Equal(t, quota.WeChat, last.Channel)
	assert.True(t, last.Sticky, "nothing cures it")
	assert.Equal(t, map[quota.SlotID]quota.LineState{"li": quota.Forfeited}, states(k.release("env/1", quota.Revoked)))
	assert.Zero(t, k.spendable())
	k.verify()
}

func TestSignVersusRevoke(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 2, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	k.capture("env/1", "li")
	signed := k.at
	k.at = k.at.Add(time.Minute)
	_, err := k.tryRelease("env/1", quota.Revoked, "li")
	var settled *quota.SettledError
	require.ErrorAs(t, err, &settled)
	require.ErrorIs(t, err, quota.ErrSettled)
	assert.Equal(t, quota.SettledError{Slot: "li", State: quota.Captured, At: signed}, *settled)

	k.reserve("env/2", line("li", quota.WeChat))
	k.release("env/2", quota.Revoked)
	_, err = k.tryCapture("env/2", "li")
	require.ErrorAs(t, err, &settled)
	assert.Equal(t, quota.Released, settled.State)
	assert.Equal(t, quota.Units(1), k.spendable())
	k.verify()
}

func TestRefundAfterReleasedHold_D11(t *testing.T) {
	begin := quota.RefundRequest{Tenant: tenant, ID: "refund-1", Account: account, Lots: []quota.LotID{"a"}, Unused: true}
	k := newKit(t, quota.Config{})
	k.lot("a", 2, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	k.release("env/1", quota.Revoked)
	_, err := k.BeginRefund(t.Context(), begin)
	var not *quota.NotRefundableError
	require.ErrorAs(t, err, &not)
	require.ErrorIs(t, err, quota.ErrNotRefundable)
	assert.Equal(t, quota.RefundUsed, not.Reason, "strict: any hold ever made is use")

	k = newKit(t, quota.Config{RefundNet: true})
	k.lot("a", 2, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	_, err = k.BeginRefund(t.Context(), begin)
	require.ErrorIs(t, err, quota.ErrNotRefundable, "held right now")
	k.release("env/1", quota.Revoked)
	r, err := k.BeginRefund(t.Context(), begin)
	require.NoError(t, err)
	assert.Equal(t, quota.Units(2), r.Lots[0].Free)
	k.verify()

	// A merge leaves what is held behind, where the lot's new account does not
	// see it: such a lot counts as used, net or not.
	k = newKit(t, quota.Config{RefundNet: true})
	k.lot("a", 2, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	_, err = k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "bind", From: account, To: "phone", OpenHolds: true})
	require.NoError(t, err)
	k.capture("env/1", "li")
	begin.Account = "phone"
	_, err = k.BeginRefund(t.Context(), begin)
	require.ErrorAs(t, err, &not)
	assert.Equal(t, quota.RefundUsed, not.Reason)
}

func TestSendDuringRefund(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 2, 10)
	k.lot("b", 1, 30)
	_, err := k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: "refund-1", Account: account, Lots: []quota.LotID{"a"}, Unused: true})
	require.NoError(t, err)
	h := k.reserve("env/1", line("li", quota.WeChat))
	assert.Equal(t, quota.LotID("b"), h.Lines[0].From[0].Lot, "the frozen lot is skipped")
	_, err = k.tryReserve("env/2", line("li", quota.WeChat))
	require.ErrorIs(t, err, quota.ErrInsufficient)
	_, err = k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: "refund-2", Account: account, Lots: []quota.LotID{"a"}})
	require.ErrorIs(t, err, quota.ErrLotFrozen)

	_, err = k.CancelRefund(t.Context(), quota.EndRefundRequest{Tenant: tenant, ID: k.id(), Account: account, Refund: "refund-1"})
	require.NoError(t, err)
	k.reserve("env/2", line("li", quota.WeChat))
	k.verify()
}

// TestLapsesBetweenQuoteAndSend: the units that a quote found are gone when it
// is sent; that membership is judged at the send is tested in membership.
func TestLapsesBetweenQuoteAndSend(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 1, 1)
	req := quota.ReserveRequest{Tenant: tenant, ID: "env/1", Account: account, Lines: []quota.LineRequest{line("li", "")}}
	q, err := k.Quote(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, q.Short)
	assert.Equal(t, quota.LotID("a"), q.Lines[0].From[0].Lot)
	k.at = lot.Until
	_, err = k.Reserve(t.Context(), req)
	require.ErrorIs(t, err, quota.ErrInsufficient)
	q, err = k.Quote(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, []quota.Shortfall{{Unit: quota.UnitSign, Kind: quota.KindOrdinary, Need: 1}}, q.Short)
}

func TestSignerPaysWithoutUnits_H48_D06(t *testing.T) {
	k := newKit(t, quota.Config{})
	charge := quota.ChargeRequest{Tenant: tenant, ID: "env/1/li", Account: "li", Lines: []quota.LineRequest{{Slot: "li", Kind: quota.KindRealNamePerson}}}
	_, err := k.Charge(t.Context(), charge)
	var short *quota.InsufficientError
	require.ErrorAs(t, err, &short)
	assert.Equal(t, []quota.Shortfall{{Unit: quota.UnitSign, Kind: quota.KindRealNamePerson, Need: 2}}, short.Shortfalls)
	_, err = k.Hold(t.Context(), quota.HoldRequest{Tenant: tenant, ID: "env/1/li"})
	require.ErrorIs(t, err, quota.ErrNotFound, "nothing changed")

	// Top up and press again: only successes stick.
	_, err = k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "li-1", Account: "li", Unit: quota.UnitSign, Units: 2, Term: quota.Term{Years: 1}})
	require.NoError(t, err)
	h, err := k.Charge(t.Context(), charge)
	require.NoError(t, err)
	assert.Equal(t, quota.Captured, h.Lines[0].State)
	again, err := k.Charge(t.Context(), charge)
	require.NoError(t, err)
	assert.Equal(t, h, again)
	k.verify()
}

func TestMergeWithOpenHolds_D09(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	k.lot("late", 5, 60)
	k.reserve("env/1", line("w", quota.WeChat), line("s", quota.SMS), line("c", quota.WeChat))
	merge := quota.MergeRequest{Tenant: tenant, ID: "bind-1", From: account, To: "phone"}
	_, err := k.Merge(t.Context(), merge)
	require.ErrorIs(t, err, quota.ErrOpenHolds)

	merge.OpenHolds = true
	m, err := k.Merge(t.Context(), merge)
	require.NoError(t, err)
	assert.Equal(t, quota.Merger{Lots: []quota.LotID{"a", "late"}, Units: 7, Held: 3}, m)
	assert.Equal(t, quota.Units(7), k.spendable(), "the old name still works")
	k.verify()

	k.capture("env/1", "c")
	k.release("env/1", quota.Revoked)
	k.verify()
	b, err := k.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "phone"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(8), b.Of(quota.UnitSign).Spendable, "what came back was forwarded in its commit")
	assert.Equal(t, quota.AccountID("phone"), b.Account)
	lots, err := k.Lots(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "phone"})
	require.NoError(t, err)
	require.Len(t, lots, 2)
	assert.Equal(t, quota.LotID("a"), lots[0].ID, "window and order are kept")
	h, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "env/2", Account: account, Lines: []quota.LineRequest{line("li", "")}})
	require.NoError(t, err)
	assert.Equal(t, quota.AccountID("phone"), h.Account)
	k.verify()
}

func TestClockGoesBack(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 3, 1)
	k.reserve("env/1", line("li", quota.WeChat))
	k.at = lot.Until.Add(time.Minute)
	_, err := k.Sweep(t.Context(), 10)
	require.NoError(t, err)
	k.capture("env/1", "li")
	k.at = lot.Until.Add(-time.Minute)
	assert.Zero(t, k.spendable(), "nothing revives")
	_, err = k.tryReserve("env/2", line("li", ""))
	require.ErrorIs(t, err, quota.ErrInsufficient)
	k.lot("b", 1, 1)
	k.at = lot.Until.Add(time.Hour)
	assert.Equal(t, []quota.EntryKind{quota.EntryGrant, quota.EntryHold, quota.EntryExpire, quota.EntryCapture, quota.EntryGrant}, k.kinds(), "nothing expires twice")
	st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	assert.Equal(t, lot.Until.Add(time.Minute), st.Lines[4].Effective)
	k.verify()

	k.at = noon.Add(-time.Hour)
	_, err = k.tryReserve("env/3", line("li", ""))
	require.ErrorIs(t, err, quota.ErrClock)
}
