package quota_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

func TestReserve_H45_ordinary_one_per_signer(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 10, 30)
	h := k.reserve("env/1", line("li", ""), line("wang", ""), line("zhao", ""))
	assert.Equal(t, quota.Units(3), h.Units())
	assert.Equal(t, quota.Units(7), k.spendable())
	assert.Equal(t, 1, h.Rates)
}

func TestReserve_H46_H42_real_name_two_per_signer_with_typed_shortfall(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 3, 30)
	_, err := k.tryReserve("env/1", quota.LineRequest{Slot: "p", Kind: quota.KindRealNamePerson}, quota.LineRequest{Slot: "o", Kind: quota.KindRealNameOrg})
	var short *quota.InsufficientError
	require.ErrorAs(t, err, &short)
	assert.Equal(t, []quota.Shortfall{{Unit: quota.UnitSign, Kind: quota.KindRealNameOrg, Need: 2, Have: 1, NextExpiry: noon.Add(30 * 24 * time.Hour)}}, short.Shortfalls)
	assert.Equal(t, quota.Units(3), k.spendable(), "all lines or none")
	assert.Equal(t, "insufficient_units", quota.Code(err))
	k.reserve("env/1", quota.LineRequest{Slot: "p", Kind: quota.KindRealNamePerson})
	assert.Equal(t, quota.Units(1), k.spendable())
}

func TestReserve_D15_units_never_pay_for_each_other_and_scope_limits(t *testing.T) {
	k := newKit(t, quota.Config{})
	grant := func(id quota.LotID, unit quota.Unit, scope ...quota.ChargeKind) {
		_, err := k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: id, Account: account, Unit: unit, Units: 10, Scope: scope, Term: quota.Term{Years: 1}})
		require.NoError(t, err)
	}
	all := []quota.Unit{quota.UnitPersonCheck, quota.UnitOrgCheck, quota.UnitSMS, quota.UnitSMSIntl, quota.UnitVoice, quota.UnitReport}
	for _, u := range all {
		grant(quota.LotID("lot-"+u), u)
	}
	grant("real", quota.UnitSign, quota.KindRealNamePerson)
	_, err := k.tryReserve("env/1", line("li", ""))
	require.ErrorIs(t, err, quota.ErrInsufficient, "neither another unit nor a lot of another scope pays")
	k.reserve("env/1", quota.LineRequest{Slot: "li", Kind: quota.KindRealNamePerson})
	for kind, unit := range map[quota.ChargeKind]quota.Unit{
		quota.KindPersonCheck: quota.UnitPersonCheck, quota.KindOrgCheck: quota.UnitOrgCheck, quota.KindSMS: quota.UnitSMS,
		quota.KindSMSIntl: quota.UnitSMSIntl, quota.KindVoice: quota.UnitVoice, quota.KindReport: quota.UnitReport,
	} {
		h := k.reserve(quota.HoldID("check-"+kind), quota.LineRequest{Slot: "s", Kind: kind})
		assert.Equal(t, quota.LotID("lot-"+unit), h.Lines[0].From[0].Lot)
		assert.Equal(t, quota.Units(1), h.Units())
	}
	_, err = k.tryReserve("env/2", quota.LineRequest{Slot: "li", Kind: "seal"})
	require.ErrorIs(t, err, quota.ErrUnknownKind)
}

func TestReserve_D14_messages_of_several_parts(t *testing.T) {
	k := newKit(t, quota.Config{})
	_, err := k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "sms", Account: account, Unit: quota.UnitSMS, Units: 10, Term: quota.Term{Years: 1}})
	require.NoError(t, err)
	h := k.reserve("text/1", quota.LineRequest{Slot: "m", Kind: quota.KindSMS, Quantity: 3})
	assert.Equal(t, quota.Units(3), h.Units())
	_, err = k.tryReserve("text/2", quota.LineRequest{Slot: "m", Kind: quota.KindSMS, Quantity: 1 << 62}, quota.LineRequest{Slot: "n", Kind: quota.KindSMS, Quantity: 1 << 62})
	require.ErrorIs(t, err, quota.ErrOverflow)
}

func TestRelease_H17_WeChatReturnsToItsLot(t *testing.T) {
	for _, cause := range []quota.Cause{quota.Revoked, quota.Closed, quota.Removed, quota.Satisfied} {
		t.Run(string(cause), func(t *testing.T) {
			k := newKit(t, quota.Config{})
			lot := k.lot("a", 2, 30)
			k.reserve("env/1", line("li", quota.WeChat), line("later", ""))
			s := k.release("env/1", cause)
			for _, l := range s.Lines {
				assert.Equal(t, []quota.Return{{Lot: "a", Units: 1, Until: lot.Until}}, l.Returned, "the return shows lot and expiry")
			}
			assert.Equal(t, quota.Units(2), k.spendable())
			st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account})
			require.NoError(t, err)
			last := st.Lines[len(st.Lines)-1]
			words := map[quota.Cause][2]string{
				quota.Revoked: {"份额退还（撤销）", "returned (revoked)"}, quota.Closed: {"份额退还（关闭）", "returned (closed)"},
				quota.Removed: {"份额退还（移除签署人）", "returned (signer removed)"}, quota.Satisfied: {"份额退还（他人已签）", "returned (met by others)"},
			}[cause]
			assert.Equal(t, words, [2]string{last.Zh, last.En}, "the cause in two languages")
		})
	}
}

func TestRelease_H18_SMSNeverReturns(t *testing.T) {
	for _, cause := range []quota.Cause{quota.Revoked, quota.Closed, quota.Removed, quota.Satisfied} {
		t.Run(string(cause), func(t *testing.T) {
			k := newKit(t, quota.Config{})
			k.lot("a", 2, 30)
			k.reserve("env/1", line("li", quota.SMS), line("wang", quota.SMS))
			k.capture("env/1", "wang")
			s := k.release("env/1", cause)
			assert.Equal(t, map[quota.SlotID]quota.LineState{"li": quota.Forfeited}, states(s))
			assert.Empty(t, s.Lines[0].Returned)
			assert.Equal(t, quota.Units(2), k.lotNow("a").Used)
		})
	}
}

func TestMarkChannel_D24_reminders_stick_unless_switched_off(t *testing.T) {
	for _, off := range []bool{false, true} {
		k := newKit(t, quota.Config{RemindersReturn: off})
		k.lot("a", 2, 30)
		k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.WeChat))
		assert.Equal(t, !off, k.mark("env/1", "li", quota.SMS, true).Sticky)
		assert.True(t, k.mark("env/1", "wang", quota.SMS, false).Sticky, "an invitation always sticks")
	}
}

func TestRelease_D03_D23_other_causes(t *testing.T) {
	for cause, want := range map[quota.Cause]quota.LineState{
		quota.Declined: quota.Forfeited, quota.Expired: quota.Forfeited, quota.Invalidated: quota.Forfeited,
		quota.NotStarted: quota.Released, quota.ProviderFault: quota.Released,
	} {
		k := newKit(t, quota.Config{})
		k.lot("a", 2, 30)
		k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.SMS))
		for slot, state := range states(k.release("env/1", cause)) {
			assert.Equal(t, want, state, "%s %s", cause, slot)
		}
	}
	k := newKit(t, quota.Config{Settle: func(l quota.Line, c quota.Cause) quota.Verdict {
		if c == quota.Declined {
			return quota.Release // the policy switch of D03
		}
		return quota.DefaultSettle(l, c)
	}})
	k.lot("a", 1, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	assert.Equal(t, quota.Released, states(k.release("env/1", quota.Declined))["li"])
	_, err := k.tryRelease("env/1", "because")
	require.ErrorIs(t, err, quota.ErrRequest)
}

func TestChannels_D02_undeclared_is_an_error(t *testing.T) {
	k := newKit(t, quota.Config{Channels: map[quota.Channel]bool{"email": true, "fax": false}})
	k.lot("a", 3, 30)
	_, err := k.tryReserve("env/1", line("li", "pigeon"))
	require.ErrorIs(t, err, quota.ErrUnknownChannel)
	k.reserve("env/1", line("li", "email"), line("wang", "fax"))
	_, err = k.MarkChannel(t.Context(), quota.MarkChannelRequest{Tenant: tenant, ID: "m", Hold: "env/1", Slot: "li", Channel: "pigeon"})
	require.ErrorIs(t, err, quota.ErrUnknownChannel)
	assert.Equal(t, map[quota.SlotID]quota.LineState{"li": quota.Released, "wang": quota.Forfeited}, states(k.release("env/1", quota.Revoked)))

	_, err = quota.New(quota.Config{Store: new(storage.Mem), Channels: map[quota.Channel]bool{quota.SMS: true}})
	require.ErrorIs(t, err, quota.ErrRequest, "SMS cannot be declared refundable")
}

func TestBalance_H12_H14_H15_half_open_windows(t *testing.T) {
	k := newKit(t, quota.Config{})
	start := noon.Add(time.Hour)
	lot, err := k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "a", Account: account, Unit: quota.UnitSign, Units: 2, From: start, Term: quota.Term{Years: 1}})
	require.NoError(t, err)
	for _, c := range []struct {
		at   time.Time
		want quota.Units
	}{
		{start.Add(-time.Microsecond), 0}, {start, 2}, {start.Add(time.Microsecond), 2},
		{lot.Until.Add(-time.Microsecond), 2}, {lot.Until, 0}, {lot.Until.Add(time.Microsecond), 0},
	} {
		k.at = c.at
		assert.Equal(t, c.want, k.spendable(), c.at)
		id := quota.HoldID("at-" + c.at.Format("20060102150405.000000"))
		_, err := k.tryReserve(id, line("li", quota.WeChat))
		if c.want == 0 {
			require.ErrorIs(t, err, quota.ErrInsufficient)
		} else {
			require.NoError(t, err)
			k.release(id, quota.Revoked)
		}
	}
	lots, err := k.Lots(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	assert.Empty(t, lots)
	assert.Equal(t, quota.Units(2), k.lotNow("a").Expired)
}

func TestBalance_H14_per_lot(t *testing.T) {
	k := newKit(t, quota.Config{})
	b := k.lot("b", 5, 60)
	a := k.lot("a", 3, 30)
	lots, err := k.Lots(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	assert.Equal(t, []quota.Lot{a, b}, lots, "in the order in which they are spent")
	bal, err := k.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	assert.Equal(t, quota.UnitBalance{Unit: quota.UnitSign, Spendable: 8, NextEnd: a.Until, NextUnits: 3}, bal.Of(quota.UnitSign))
}

func TestReserve_D01_free_lines_are_kept_and_touch_no_account(t *testing.T) {
	k := newKit(t, quota.Config{})
	h := k.reserve("env/1", quota.LineRequest{Slot: "li", Kind: quota.KindOrdinary, Free: "member"})
	assert.Equal(t, "member", h.Lines[0].Free)
	assert.Zero(t, h.Units())
	k.capture("env/1", "li")
	got, err := k.Hold(t.Context(), quota.HoldRequest{Tenant: tenant, ID: "env/1"})
	require.NoError(t, err)
	assert.Equal(t, quota.Captured, got.Lines[0].State)
	a, err := k.Verify(t.Context(), tenant)
	require.NoError(t, err)
	assert.Zero(t, a.Accounts)
}

func TestRates_H51_free_from_a_date(t *testing.T) {
	rates := quota.DefaultRates()
	rates = append(rates, quota.RateVersion{Version: 2, From: noon.Add(time.Hour), Kinds: map[quota.ChargeKind]quota.Rate{quota.KindPersonCheck: {Unit: quota.UnitPersonCheck}}})
	k := newKit(t, quota.Config{Rates: rates})
	_, err := k.tryReserve("c/1", quota.LineRequest{Slot: "s", Kind: quota.KindPersonCheck})
	require.ErrorIs(t, err, quota.ErrInsufficient)
	k.at = k.at.Add(time.Hour)
	h := k.reserve("c/1", quota.LineRequest{Slot: "s", Kind: quota.KindPersonCheck})
	assert.Equal(t, "rate", h.Lines[0].Free)
	assert.Equal(t, 2, h.Rates)
}

func TestRates_H16_a_hold_keeps_its_price(t *testing.T) {
	rates := append(quota.DefaultRates(), quota.RateVersion{Version: 2, From: noon.Add(time.Hour), Kinds: map[quota.ChargeKind]quota.Rate{quota.KindOrdinary: {Unit: quota.UnitSign, Units: 5}}})
	k := newKit(t, quota.Config{Rates: rates})
	k.lot("a", 10, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	k.at = k.at.Add(time.Hour)
	assert.Equal(t, quota.Units(1), k.release("env/1", quota.Revoked).Lines[0].Units)
	assert.Equal(t, quota.Units(5), k.reserve("env/2", line("li", "")).Units())
}

func TestAmend_D08_adding_charges_now_removing_settles(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 3, 30)
	k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.SMS))
	a, err := k.Amend(t.Context(), quota.AmendRequest{Tenant: tenant, ID: "am-1", Hold: "env/1", Add: []quota.LineRequest{line("zhao", "")}, Remove: []quota.SlotID{"li", "wang"}})
	require.NoError(t, err)
	assert.Equal(t, map[quota.SlotID]quota.LineState{"li": quota.Released, "wang": quota.Forfeited}, states(a.Removed))
	assert.Equal(t, quota.Units(1), k.spendable())
	_, err = k.Amend(t.Context(), quota.AmendRequest{Tenant: tenant, ID: "am-2", Hold: "env/1", Add: []quota.LineRequest{line("x", ""), line("y", "")}})
	require.ErrorIs(t, err, quota.ErrInsufficient)
	_, err = k.Amend(t.Context(), quota.AmendRequest{Tenant: tenant, ID: "am-3", Hold: "env/1", Add: []quota.LineRequest{line("li", "")}})
	require.ErrorIs(t, err, quota.ErrRequest, "a slot does not come back")
	k.verify()
}

func TestClaw_H24_T33_takes_at_most_what_is_free(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	k.reserve("env/1", line("li", ""), line("wang", ""))
	c, err := k.Claw(t.Context(), quota.ClawRequest{Tenant: tenant, ID: "claw-1", Account: account, Lot: "a", Units: 9, Actor: "ops", Reason: "abuse"})
	require.NoError(t, err)
	assert.Equal(t, quota.Clawback{Units: 3, Short: 6}, c)
	st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	last := st.Lines[len(st.Lines)-1]
	assert.Equal(t, "abuse", last.Reason)
	assert.Equal(t, "ops", last.Actor)
	_, err = k.Claw(t.Context(), quota.ClawRequest{Tenant: tenant, ID: "claw-2", Account: account, Actor: "ops"})
	require.ErrorIs(t, err, quota.ErrRequest, "a reason is required")
}

func TestSuspend_H26_D22_stops_new_holds_only(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.WeChat))
	req := quota.SuspendRequest{Tenant: tenant, ID: "s-1", Account: account, Reason: "crime", Actor: "ops"}
	require.NoError(t, k.Suspend(t.Context(), req))
	_, err := k.tryReserve("env/2", line("li", ""))
	require.ErrorIs(t, err, quota.ErrSuspended)
	_, err = k.Amend(t.Context(), quota.AmendRequest{Tenant: tenant, ID: "am", Hold: "env/1", Add: []quota.LineRequest{line("x", "")}})
	require.ErrorIs(t, err, quota.ErrSuspended)
	k.capture("env/1", "li")
	k.release("env/1", quota.Revoked)
	b, err := k.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	assert.Equal(t, "crime", b.Suspended)
	req.ID = "s-2"
	require.NoError(t, k.Resume(t.Context(), req))
	k.reserve("env/2", line("li", ""))
	k.verify()
}

func TestRefund_H58_window_and_use(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	begin := func(id string) error {
		_, err := k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: id, Account: account, Lots: []quota.LotID{"a"}, Unused: true})
		return err
	}
	k.at = quota.SevenDays(noon)
	var not *quota.NotRefundableError
	require.ErrorAs(t, begin("late"), &not)
	assert.Equal(t, quota.RefundWindow, not.Reason)
	k.at = k.at.Add(-time.Microsecond)
	require.NoError(t, begin("refund-1"))
	r, err := k.ConfirmRefund(t.Context(), quota.EndRefundRequest{Tenant: tenant, ID: "paid", Account: account, Refund: "refund-1"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(5), r.Clawed)
	require.ErrorAs(t, begin("again"), &not)
	assert.Equal(t, quota.RefundRepeated, not.Reason)
	k.verify()
}

func TestRefund_H59_held_units_are_clawed_on_release(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	_, err := k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: "r", Account: account, Lots: []quota.LotID{"a"}, Reason: "provider_breach"})
	require.NoError(t, err)
	_, err = k.ConfirmRefund(t.Context(), quota.EndRefundRequest{Tenant: tenant, ID: "p", Account: account, Refund: "r"})
	require.NoError(t, err)
	s := k.release("env/1", quota.Revoked)
	assert.True(t, s.Lines[0].Returned[0].Gone)
	assert.Equal(t, quota.Units(5), k.lotNow("a").Clawed)
	k.verify()
}

func TestGrant_H10_T08_starts_when_credited(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 1, 365)
	assert.Equal(t, noon, lot.From)
	assert.Equal(t, noon, lot.Credited)
	for _, bad := range []quota.GrantRequest{
		{Tenant: tenant, ID: "x~1", Account: account, Unit: quota.UnitSign, Units: 1, Term: quota.Term{Years: 1}},
		{Tenant: tenant, ID: "x", Account: account, Unit: quota.UnitSign, Units: 0, Term: quota.Term{Years: 1}},
		{Tenant: tenant, ID: "x", Account: account, Unit: quota.UnitSign, Units: 1},
		{Tenant: "", ID: "x", Account: account, Unit: quota.UnitSign, Units: 1, Term: quota.Term{Years: 1}},
		{Tenant: "_", ID: "x", Account: account, Unit: quota.UnitSign, Units: 1, Term: quota.Term{Years: 1}},
		{Tenant: tenant, ID: "x", Account: account, Unit: quota.UnitSign, Units: 1, Until: noon},
		{Tenant: tenant, ID: "x", Account: account, Unit: quota.UnitSign, Units: 1, Until: noon.Add(1), Term: quota.Term{Years: 1}},
	} {
		_, err := k.Grant(t.Context(), bad)
		require.ErrorIs(t, err, quota.ErrRequest, "%+v", bad)
	}
}

func TestTenants_I9_T07(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 1, 30)
	k.reserve("env/1", line("li", ""))
	for name, err := range map[string]error{
		"hold":    second(k.Hold(t.Context(), quota.HoldRequest{Tenant: "other", ID: "env/1"})),
		"capture": second(k.Capture(t.Context(), quota.CaptureRequest{Tenant: "other", ID: "c", Hold: "env/1", Slots: []quota.SlotID{"li"}})),
		"claw":    second(k.Claw(t.Context(), quota.ClawRequest{Tenant: "other", ID: "c", Account: account, Actor: "x", Reason: "x"})),
		"refund":  second(k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: "other", ID: "r", Account: account, Lots: []quota.LotID{"a"}})),
		"merge":   second(k.Merge(t.Context(), quota.MergeRequest{Tenant: "other", ID: "m", From: account, To: "x"})),
	} {
		require.ErrorIs(t, err, quota.ErrNotFound, name)
	}
	b, err := k.Balance(t.Context(), quota.BalanceRequest{Tenant: "other", Account: account})
	require.NoError(t, err)
	assert.Empty(t, b.Units)
}

func second[A any](_ A, err error) error { return err }

func TestOnExpired_policies(t *testing.T) {
	for name, c := range map[string]struct {
		rule func(quota.Lot, []quota.Lot, time.Time) time.Time
		left quota.Units
		live bool
	}{
		"at once (H15)":               {nil, 0, true},
		"grace":                       {quota.Grace(time.Hour), 1, true},
		"credit current":              {quota.CreditCurrent, 1, true},
		"credit current without any":  {quota.CreditCurrent, 0, false},
		"grace without any other lot": {quota.Grace(time.Hour), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, quota.Config{OnExpired: c.rule})
			a := k.lot("a", 1, 1)
			var b quota.Lot
			k.reserve("env/1", line("li", quota.WeChat))
			if c.live {
				b = k.lot("b", 2, 30)
			}
			k.at = a.Until.Add(time.Minute)
			k.release("env/1", quota.Revoked)
			want := c.left
			if c.live {
				want += 2
			}
			assert.Equal(t, want, k.spendable())
			k.verify()
			k.at = k.at.Add(time.Hour)
			if name == "grace" {
				assert.Equal(t, quota.Units(2), k.spendable(), "grace is over")
			}
			k.at = b.Until
			if c.live {
				assert.Zero(t, k.spendable())
			}
			k.verify()
		})
	}
}

func TestTimedHold_lapses_by_itself(t *testing.T) {
	for _, c := range []struct {
		ttl  time.Duration
		ends time.Time
	}{
		{time.Minute, noon.Add(2 * time.Minute)}, {90 * time.Minute, noon.Add(2 * time.Hour)},
		{72 * time.Hour, time.Date(2027, 3, 5, 0, 0, 0, 0, time.UTC)},
	} {
		k := newKit(t, quota.Config{})
		k.lot("a", 1, 30)
		k.at = noon.Add(30 * time.Second)
		h, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID("check-" + c.ttl.String()), Account: account, TTL: c.ttl, Lines: []quota.LineRequest{line("li", "")}})
		require.NoError(t, err)
		assert.Equal(t, c.ends, h.Expires, c.ttl)
		k.at = h.Expires.Add(-time.Microsecond)
		assert.Zero(t, k.spendable())
		k.at = h.Expires
		assert.Equal(t, quota.Units(1), k.spendable(), "no sweep ran")
		_, err = k.tryCapture(h.ID, "li")
		require.ErrorIs(t, err, quota.ErrHoldExpired)
		_, err = k.tryRelease(h.ID, quota.Revoked)
		require.ErrorIs(t, err, quota.ErrHoldExpired)
		got, err := k.Hold(t.Context(), quota.HoldRequest{Tenant: tenant, ID: h.ID})
		require.NoError(t, err)
		assert.Equal(t, quota.Lapsed, got.Lines[0].State)
		k.lot("b", 1, 30) // books what is due
		k.verify()
	}
}
