package quota_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// Edges that a change of one comparison would move, see internal/mutants.

func TestRates_are_checked_one_by_one(t *testing.T) {
	kinds := func(kind quota.ChargeKind, unit quota.Unit, units quota.Units) map[quota.ChargeKind]quota.Rate {
		return map[quota.ChargeKind]quota.Rate{kind: {Unit: unit, Units: units}}
	}
	good := kinds(quota.KindOrdinary, quota.UnitSign, 1)
	for name, rates := range map[string]quota.Rates{
		"same instant":   {{Version: 1, From: noon, Kinds: good}, {Version: 2, From: noon, Kinds: good}},
		"same number":    {{Version: 1, Kinds: good}, {Version: 1, From: noon, Kinds: good}},
		"no kind":        {{Version: 1, Kinds: kinds("", quota.UnitSign, 1)}},
		"no unit":        {{Version: 1, Kinds: kinds(quota.KindOrdinary, "", 1)}},
		"below zero":     {{Version: 1, Kinds: kinds(quota.KindOrdinary, quota.UnitSign, -1)}},
		"falling number": {{Version: 2, Kinds: good}, {Version: 1, From: noon, Kinds: good}},
	} {
		_, err := quota.New(quota.Config{Store: new(storage.Mem), Rates: rates})
		require.ErrorIs(t, err, quota.ErrRequest, name)
	}
	k := newKit(t, quota.Config{Rates: quota.Rates{{Version: 1, From: noon, Kinds: good}}})
	r, ok := k.Rate(quota.KindOrdinary, noon)
	assert.True(t, ok)
	assert.Equal(t, quota.Rate{Unit: quota.UnitSign, Units: 1}, r)
	_, ok = k.Rate(quota.KindOrdinary, noon.Add(-time.Microsecond))
	assert.False(t, ok)
	k.lot("a", 1, 30)
	k.at = noon.Add(-time.Microsecond)
	_, err := k.tryReserve("env/1", line("li", ""))
	require.ErrorIs(t, err, quota.ErrUnknownKind, "before the first tariff")
}

func TestCreditCurrent_D04(t *testing.T) {
	ended := quota.Lot{Unit: quota.UnitSign, Until: noon}
	lot := func(unit quota.Unit, from, until time.Time) quota.Lot {
		return quota.Lot{Unit: unit, From: from, Until: until}
	}
	hour, day := noon.Add(time.Hour), noon.Add(24*time.Hour)
	for name, c := range map[string]struct {
		live []quota.Lot
		want time.Time
	}{
		"the longest":         {[]quota.Lot{lot(quota.UnitSign, noon, day), lot(quota.UnitSign, noon, hour)}, day},
		"another unit":        {[]quota.Lot{lot(quota.UnitSMS, noon, day)}, time.Time{}},
		"begins right now":    {[]quota.Lot{lot(quota.UnitSign, noon, hour)}, hour},
		"begins later":        {[]quota.Lot{lot(quota.UnitSign, noon.Add(1000), day)}, time.Time{}},
		"ends right now":      {[]quota.Lot{lot(quota.UnitSign, noon.Add(-time.Hour), noon)}, time.Time{}},
		"ends a moment later": {[]quota.Lot{lot(quota.UnitSign, noon.Add(-time.Hour), noon.Add(1000))}, noon.Add(1000)},
	} {
		assert.Equal(t, c.want, quota.CreditCurrent(ended, c.live, noon), name)
	}
}

// TestOnExpired_makes_a_lot_of_its_own: what lives on has a name of the first lot
// and its own end; an end right now is none.
func TestOnExpired_makes_a_lot_of_its_own(t *testing.T) {
	grace := time.Hour
	k := newKit(t, quota.Config{OnExpired: func(_ quota.Lot, _ []quota.Lot, at time.Time) time.Time { return at.Add(grace) }})
	a := k.lot("a", 2, 1)
	k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.WeChat))
	k.at = a.Until
	k.release("env/1", quota.Revoked, "li")
	k.reserve("env/2", line("li", quota.WeChat))
	k.at = k.at.Add(grace)
	k.release("env/2", quota.Revoked)
	lots, err := k.Lots(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	names := []quota.LotID{}
	for _, l := range lots {
		names = append(names, l.ID)
	}
	assert.Equal(t, []quota.LotID{"a", "a~9"}, names, "the heir of an heir is named after the first")
	grace = 0
	k.release("env/1", quota.Revoked, "wang")
	assert.Equal(t, quota.Units(1), k.spendable())
	kinds := k.kinds()
	assert.Equal(t, []quota.EntryKind{quota.EntryRelease, quota.EntryExpire}, kinds[len(kinds)-2:], "an end right now makes no lot")
	k.verify()
}

func TestLapses_in_the_order_of_their_instants_I4(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 1, 10)
	k.lot("b", 2, 20)
	timed := func(id quota.HoldID, ttl time.Duration, lines ...quota.LineRequest) {
		t.Helper()
		_, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: id, Account: account, TTL: ttl, Lines: lines})
		require.NoError(t, err)
	}
	timed("h/1", 10*time.Minute, line("li", "")) // from a, first
	timed("h/2", 20*time.Minute, line("li", "")) // from b, later
	k.at = noon.Add(time.Hour)
	k.lot("c", 1, 30)
	k.verify()
	st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account, From: noon.Add(time.Minute)})
	require.NoError(t, err)
	assert.Equal(t, quota.LotID("a"), st.Lines[0].Lot)
	assert.Equal(t, quota.LotID("b"), st.Lines[1].Lot)

	// At one instant, in burn order.
	k.at = noon.Add(2 * time.Hour)
	timed("h/3", 10*time.Minute, quota.LineRequest{Slot: "li", Kind: quota.KindOrdinary, Quantity: 3})
	k.at = noon.Add(3 * time.Hour)
	st, err = k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account, From: noon.Add(2*time.Hour + time.Minute)})
	require.NoError(t, err)
	require.Len(t, st.Lines, 2)
	assert.Equal(t, quota.LotID("a"), st.Lines[0].Lot)

	// The end of one lot before the lapse of another.
	k = newKit(t, quota.Config{})
	a := k.lot("a", 2, 1)
	_, err = k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "b", Account: account, Unit: quota.UnitSign, Units: 2, Term: quota.Term{Days: 30}})
	require.NoError(t, err)
	k.at = a.Until.Add(-time.Minute)
	timed("h/1", 30*time.Minute, quota.LineRequest{Slot: "li", Kind: quota.KindOrdinary, Quantity: 3})
	k.lot("z", 1, 30)
	k.at = a.Until.Add(time.Hour)
	k.lot("y", 1, 30)
	k.verify()

	k = newKit(t, quota.Config{})
	a = k.lot("a", 2, 1)
	_, err = k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "b", Account: account, Unit: quota.UnitSMS, Units: 2, Term: quota.Term{Days: 30}})
	require.NoError(t, err)
	k.at = a.Until.Add(-time.Minute)
	timed("h/1", 30*time.Minute, quota.LineRequest{Slot: "li", Kind: quota.KindSMS})
	k.at = a.Until.Add(time.Hour)
	k.lot("y", 1, 30)
	assert.Equal(t, []quota.EntryKind{quota.EntryGrant, quota.EntryGrant, quota.EntryHold, quota.EntryExpire, quota.EntryLapse, quota.EntryGrant}, k.kinds())
	k.verify()
}

// TestLapses_of_one_lot: several instants on one lot, one of them settled before.
func TestLapses_of_one_lot(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 9, 30)
	for i, minutes := range []int{30, 10, 20, 50, 40, 20} {
		_, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(rune('a' + i)), Account: account, TTL: time.Duration(minutes) * time.Minute, Lines: []quota.LineRequest{line("li", quota.WeChat)}})
		require.NoError(t, err)
		k.verify()
	}
	lapses := func() (minutes []int, units []quota.Units) {
		for _, p := range k.lotNow("a").Lapse {
			minutes, units = append(minutes, int(p.At.Sub(noon)/time.Minute)), append(units, p.Units)
		}
		return minutes, units
	}
	at, n := lapses()
	assert.Equal(t, []int{10, 20, 30, 40, 50}, at)
	assert.Equal(t, []quota.Units{1, 2, 1, 1, 1}, n)
	k.release("c", quota.Revoked)
	k.capture("d", "li")
	at, n = lapses()
	assert.Equal(t, []int{10, 20, 30, 40}, at)
	assert.Equal(t, []quota.Units{1, 1, 1, 1}, n)
	k.verify()
	k.at = noon.Add(25 * time.Minute)
	assert.Equal(t, quota.Units(6), k.spendable())
}

func TestShortfall_NextExpiry_is_the_earliest(t *testing.T) {
	k := newKit(t, quota.Config{})
	grant := func(id quota.LotID, priority int16, days int, units quota.Units) quota.Lot {
		t.Helper()
		l, err := k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: id, Account: account, Unit: quota.UnitSign, Units: units, Priority: priority, Term: quota.Term{Days: days}})
		require.NoError(t, err)
		return l
	}
	short := func(lines ...quota.LineRequest) quota.Shortfall {
		t.Helper()
		_, err := k.tryReserve("env/1", lines...)
		var s *quota.InsufficientError
		require.ErrorAs(t, err, &s)
		require.Len(t, s.Shortfalls, 1)
		return s.Shortfalls[0]
	}
	grant("late", 0, 30, 1)
	early := grant("early", 1, 10, 1)
	three := quota.LineRequest{Slot: "x", Kind: quota.KindOrdinary, Quantity: 3}
	assert.Equal(t, early.Until, short(three).NextExpiry, "within one line")
	assert.Equal(t, early.Until, short(line("a", ""), line("b", ""), line("c", "")).NextExpiry, "and over lines, one of which gets nothing")
	latest := grant("latest", 2, 60, 1)
	got := short(line("a", ""), line("b", ""), line("c", ""), line("d", ""))
	assert.Equal(t, early.Until, got.NextExpiry)
	assert.Equal(t, quota.Units(3), got.Have)
	assert.True(t, latest.Until.After(got.NextExpiry))
}

func TestForecast_days_begin_at_midnight_in_Shanghai(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 9, 60)
	midnight := local("2027-03-02 00:00").UTC()
	k.at = midnight.Add(-time.Microsecond)
	k.reserve("env/1", line("li", ""))
	k.at = midnight
	k.reserve("env/2", line("li", ""))
	f, err := k.Forecast(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(2), f[0].Used)
	assert.Equal(t, quota.Units(1), f[0].Peak, "one on each of two days")
}

func TestTerm_edges(t *testing.T) {
	end, next, err := quota.Term{Days: 3}.After(local("2026-03-15 00:30"), 31)
	require.NoError(t, err)
	assert.Equal(t, local("2026-03-18 00:30").UTC(), end, "days alone move no day of the month")
	assert.Equal(t, 18, next)
	_, _, err = quota.Term{Days: 1}.After(local("9999-12-31 00:00"), 0)
	require.ErrorIs(t, err, quota.ErrOverflow, "year 10000 on the wall, 9999 in UTC")
}

func TestSettlement_At_never_falls(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	k.at = noon.Add(-time.Minute)
	assert.Equal(t, noon, k.capture("env/1", "li").At)
	h, err := k.Hold(t.Context(), quota.HoldRequest{Tenant: tenant, ID: "env/1"})
	require.NoError(t, err)
	assert.Equal(t, noon, h.Lines[0].Settled)
}

// A call that is repeated answers as it did, whatever became of its lines since.
func TestReserve_answers_as_it_did(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	lines := []quota.LineRequest{line("li", quota.WeChat), line("wang", ""), line("zhao", quota.WeChat)}
	first := k.reserve("h", lines...)
	k.mark("h", "li", quota.SMS, false)
	k.mark("h", "wang", quota.SMS, false)
	k.capture("h", "zhao")
	assert.Equal(t, first, k.reserve("h", lines...))
	now, err := k.Hold(t.Context(), quota.HoldRequest{Tenant: tenant, ID: "h"})
	require.NoError(t, err)
	assert.NotEqual(t, first, now)
}

func TestHold_ends_at_its_very_instant(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	h, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "h", Account: account, TTL: time.Minute, Lines: []quota.LineRequest{line("li", quota.WeChat), line("wang", quota.WeChat)}})
	require.NoError(t, err)
	free := quota.LineRequest{Slot: "free", Kind: quota.KindOrdinary, Free: "member"}
	mark := quota.MarkChannelRequest{Tenant: tenant, ID: "m1", Hold: "h", Slot: "li", Channel: quota.SMS}
	amend := quota.AmendRequest{Tenant: tenant, ID: "a1", Hold: "h", Add: []quota.LineRequest{free}}
	k.at = h.Expires.Add(-time.Microsecond)
	_, err = k.MarkChannel(t.Context(), mark)
	require.NoError(t, err)
	_, err = k.Amend(t.Context(), amend)
	require.NoError(t, err)
	_, err = k.Amend(t.Context(), quota.AmendRequest{Tenant: tenant, ID: "a2", Hold: "h", Remove: []quota.SlotID{"wang"}})
	require.NoError(t, err, "removing alone is an amendment")
	k.at = h.Expires
	mark.ID, amend.ID, amend.Add[0].Slot = "m3", "a3", "x"
	_, err = k.MarkChannel(t.Context(), mark)
	require.ErrorIs(t, err, quota.ErrHoldExpired)
	_, err = k.Amend(t.Context(), amend)
	require.ErrorIs(t, err, quota.ErrHoldExpired)
	// The account's instant counts, where the clock is behind it.
	k.lot("b", 1, 30)
	k.at = h.Expires.Add(-time.Microsecond)
	_, err = k.Amend(t.Context(), quota.AmendRequest{Tenant: tenant, ID: "a4", Hold: "h", Add: []quota.LineRequest{line("y", "")}})
	require.ErrorIs(t, err, quota.ErrHoldExpired)
}

// TestAmend_after_a_merge: what is added is paid for where the account went, and
// settled there.
func TestAmend_after_a_merge_D08_D09(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	_, err := k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "bind", From: account, To: "phone", OpenHolds: true})
	require.NoError(t, err)
	a, err := k.Amend(t.Context(), quota.AmendRequest{Tenant: tenant, ID: "am", Hold: "env/1", Add: []quota.LineRequest{line("wang", quota.WeChat), line("zhao", quota.WeChat)}})
	require.NoError(t, err)
	assert.Equal(t, quota.AccountID("phone"), a.Added[0].Account)
	k.capture("env/1", "wang", "li")
	k.release("env/1", quota.Revoked)
	assert.Equal(t, quota.Units(3), k.spendable())
	k.verify()
}

// A hold has at most 1000 lines, those added later included.
func TestReserve_limit_of_lines(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5000, 30)
	lines := make([]quota.LineRequest, 1001)
	for i := range lines {
		lines[i] = line(quota.SlotID(fmt.Sprint("s", i)), quota.WeChat)
	}
	_, err := k.tryReserve("env/1", lines...)
	require.ErrorIs(t, err, quota.ErrRequest)
	_, err = k.tryReserve("env/1", lines[:1000]...)
	require.NoError(t, err)
	k.reserve("env/2", lines[:999]...)
	amend := quota.AmendRequest{Tenant: tenant, ID: "a", Hold: "env/2", Add: lines[999:]}
	_, err = k.Amend(t.Context(), amend)
	require.ErrorIs(t, err, quota.ErrRequest)
	amend.Add = lines[999:1000]
	_, err = k.Amend(t.Context(), amend)
	require.NoError(t, err)
	k.verify()
}

// Of two accounts that merge the one booked on last gives the instant, whichever it
// is, though the clock went back since.
func TestMerge_D09_AfterTheClockWentBack(t *testing.T) {
	for _, late := range []quota.AccountID{account, "phone"} {
		k := newKit(t, quota.Config{})
		for _, a := range []quota.AccountID{account, "phone"} {
			if k.at = noon; a == late {
				k.at = noon.Add(2 * time.Minute)
			}
			k.grant(quota.GrantRequest{ID: quota.LotID("lot-" + a), Account: a, Unit: quota.UnitSign, Units: 3, Term: quota.Term{Days: 30}})
		}
		k.at = noon.Add(time.Minute)
		_, err := k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "bind", From: account, To: "phone"})
		require.NoError(t, err)
		for _, a := range []quota.AccountID{account, "phone"} {
			st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: a})
			require.NoError(t, err, a)
			assert.Equal(t, noon.Add(2*time.Minute), st.Lines[len(st.Lines)-1].Effective, "%s late, %s", late, a)
		}
		k.verify()
	}
}

// A batch that settles several holds of a merged account forwards what each gives
// back, as one after another does.
func TestReleaseMany_D09_AfterAMerge(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	k.reserve("env/1", line("li", quota.WeChat))
	k.reserve("env/2", line("li", quota.WeChat), line("wang", quota.WeChat))
	_, err := k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "bind", From: account, To: "phone", OpenHolds: true})
	require.NoError(t, err)
	k.reserve("env/3", line("zhao", quota.WeChat))
	var releases []quota.ReleaseRequest
	for _, hold := range []quota.HoldID{"env/1", "env/2", "env/3"} {
		releases = append(releases, quota.ReleaseRequest{Tenant: tenant, ID: "r-" + string(hold), Hold: hold, Cause: quota.Revoked})
	}
	_, errs, err := k.ReleaseMany(t.Context(), releases)
	require.NoError(t, errors.Join(append(errs, err)...))
	assert.Equal(t, quota.Units(5), k.spendable())
	k.verify()
}

// A request in a batch that names no possible account or hold is refused alone.
func TestReserveMany_refuses_bad_names_alone(t *testing.T) {
	others := struct{ storage.Store }{new(storage.Mem)} // of which a group reads ahead what requests name
	k := newKit(t, quota.Config{Store: storage.Group(others, nil)})
	k.lot("a", 9, 30)
	long := strings.Repeat("x", 600)
	good := func(id quota.HoldID) quota.ReserveRequest {
		return quota.ReserveRequest{Tenant: tenant, ID: id, Account: account, Lines: []quota.LineRequest{line("li", "")}}
	}
	for name, spoil := range map[string]func(*quota.ReserveRequest){
		"account": func(r *quota.ReserveRequest) { r.Account = quota.AccountID(long) },
		"id":      func(r *quota.ReserveRequest) { r.ID = quota.HoldID(long) },
	} {
		reqs := []quota.ReserveRequest{good(quota.HoldID(name + "-1")), good(quota.HoldID(name + "-2")), good(quota.HoldID(name + "-3"))}
		spoil(&reqs[1])
		_, errs, err := k.ReserveMany(t.Context(), reqs)
		require.NoError(t, err, name)
		require.NoError(t, errors.Join(errs[0], errs[2]), name)
		require.ErrorIs(t, errs[1], quota.ErrRequest, name)
	}
	assert.Equal(t, quota.Units(5), k.spendable())
	k.verify()
}

// A release that is refused half way, as a full account cannot keep what comes back
// late, leaves nothing of itself in a batch with others.
func TestReleaseMany_refused_half_way(t *testing.T) {
	k := newKit(t, quota.Config{OnExpired: func(_ quota.Lot, _ []quota.Lot, now time.Time) time.Time { return now.Add(time.Hour) }})
	old := k.lot("old", 1, 1)
	k.reserve("env/1", line("li", quota.WeChat))
	for i := range 9 {
		lots := make([]quota.GrantRequest, 111)
		for j := range lots {
			lots[j] = quota.GrantRequest{Tenant: tenant, ID: quota.LotID(fmt.Sprint("lot-", 111*i+j)), Account: account, Unit: quota.UnitSign, Units: 2, Term: quota.Term{Days: 30}}
		}
		_, errs, err := k.GrantMany(t.Context(), lots)
		require.NoError(t, errors.Join(append(errs, err)...))
	}
	k.reserve("env/2", line("li", quota.WeChat))
	k.reserve("env/3", line("li", quota.WeChat))
	k.at = old.Until.Add(time.Minute)
	before := k.lotNow("old")
	var releases []quota.ReleaseRequest
	for _, hold := range []quota.HoldID{"env/2", "env/1", "env/3"} {
		releases = append(releases, quota.ReleaseRequest{Tenant: tenant, ID: "r-" + string(hold), Hold: hold, Cause: quota.Revoked})
	}
	_, errs, err := k.ReleaseMany(t.Context(), releases)
	require.NoError(t, errors.Join(err, errs[0], errs[2]))
	require.ErrorIs(t, errs[1], quota.ErrTooManyLots)
	assert.Equal(t, quota.Units(2*999), k.spendable())
	assert.Equal(t, before, k.lotNow("old"))
	h, err := k.Hold(t.Context(), quota.HoldRequest{Tenant: tenant, ID: "env/1"})
	require.NoError(t, err)
	assert.Equal(t, quota.Held, h.Lines[0].State)
	k.verify()
}

func TestGrant_edges(t *testing.T) {
	k := newKit(t, quota.Config{})
	long := strings.Repeat("x", 64)
	req := quota.GrantRequest{Tenant: tenant, ID: "a", Account: account, Unit: quota.UnitSign, Units: 1, Term: quota.Term{Days: 1}}
	for name, change := range map[string]func(*quota.GrantRequest){
		"no unit":       func(r *quota.GrantRequest) { r.Unit = "" },
		"a long unit":   func(r *quota.GrantRequest) { r.Unit = quota.Unit(long + "x") },
		"an empty kind": func(r *quota.GrantRequest) { r.Scope = []quota.ChargeKind{""} },
		"a long kind":   func(r *quota.GrantRequest) { r.Scope = []quota.ChargeKind{quota.ChargeKind(long + "x")} },
		"ends as it begins": func(r *quota.GrantRequest) {
			r.Term, r.From, r.Until = quota.Term{}, noon.Add(time.Hour), noon.Add(time.Hour)
		},
		"ends before": func(r *quota.GrantRequest) {
			r.Term, r.From, r.Until = quota.Term{}, noon.Add(time.Hour), noon.Add(time.Minute)
		},
		"ends right now":      func(r *quota.GrantRequest) { r.Term, r.From, r.Until = quota.Term{}, noon.Add(-time.Hour), noon },
		"of another source":   func(r *quota.GrantRequest) { r.Source = quota.Returned },
		"an end and a term":   func(r *quota.GrantRequest) { r.Until = noon.Add(time.Hour) },
		"neither":             func(r *quota.GrantRequest) { r.Term = quota.Term{} },
		"units below zero":    func(r *quota.GrantRequest) { r.Units = -1 },
		"a name of a tilde":   func(r *quota.GrantRequest) { r.ID = "a~1" },
		"an account too long": func(r *quota.GrantRequest) { r.Account = quota.AccountID(long + "x") },
	} {
		bad := req
		change(&bad)
		_, err := k.Grant(t.Context(), bad)
		require.ErrorIs(t, err, quota.ErrRequest, name)
	}
	req.Unit, req.Scope, req.Account = quota.Unit(long), []quota.ChargeKind{quota.ChargeKind(long)}, quota.AccountID(long)
	_, err := k.Grant(t.Context(), req)
	require.NoError(t, err)

	adjust := quota.GrantRequest{Tenant: tenant, ID: "b", Account: account, Unit: quota.UnitSign, Units: 1, Term: quota.Term{Days: 1}, Reason: "goodwill", Source: quota.Bought}
	_, err = k.Adjust(t.Context(), adjust)
	require.ErrorIs(t, err, quota.ErrRequest, "bought is no adjustment")
	adjust.Source = quota.Adjusted
	lot, err := k.Adjust(t.Context(), adjust)
	require.NoError(t, err)
	assert.Equal(t, quota.Adjusted, lot.Source)
	adjust.ID, adjust.Reason = "c", ""
	_, err = k.Adjust(t.Context(), adjust)
	require.ErrorIs(t, err, quota.ErrRequest, "a reason is required")
}

// TestGrant_refuses_instants_that_no_record_holds: they are bad input, no panic; and
// an instant is the same in every zone.
func TestGrant_refuses_instants_that_no_record_holds(t *testing.T) {
	k := newKit(t, quota.Config{})
	req := quota.GrantRequest{Tenant: tenant, ID: "a", Account: "acc", Unit: quota.UnitSign, Units: 1}
	for _, year := range []int{-1, 10000} {
		far := time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)
		req.From, req.Until = far, far.AddDate(1, 0, 0)
		_, err := k.Grant(t.Context(), req)
		require.ErrorIs(t, err, quota.ErrRequest)
	}
	req.From, req.Until = noon, noon.AddDate(1, 0, 0)
	first, err := k.Grant(t.Context(), req)
	require.NoError(t, err)
	req.Until = req.Until.In(time.FixedZone("", 8*3600))
	again, err := k.Grant(t.Context(), req)
	require.NoError(t, err, "the same request again")
	assert.Equal(t, first, again)
}

func TestMerge_edges(t *testing.T) {
	k := newKit(t, quota.Config{NoAlerts: true})
	grant := func(account quota.AccountID, id string, units quota.Units) {
		t.Helper()
		_, err := k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: quota.LotID(id), Account: account, Unit: quota.UnitSign, Units: units, Term: quota.Term{Years: 1}})
		require.NoError(t, err)
	}
	grant(account, "a", 2)
	grant("phone", "b", 1<<63-2)
	k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.WeChat))
	_, err := k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "m", From: account, To: "phone", OpenHolds: true})
	require.ErrorIs(t, err, quota.ErrOverflow, "what is held may come back")

	reqs := make([]quota.GrantRequest, 999)
	for i := range reqs {
		reqs[i] = quota.GrantRequest{Tenant: tenant, ID: quota.LotID(fmt.Sprint("lot-", i)), Account: "full", Unit: quota.UnitSign, Units: 1, Term: quota.Term{Years: 1}}
	}
	for batch := range slices.Chunk(reqs, 200) {
		_, _, err := k.GrantMany(t.Context(), batch)
		require.NoError(t, err)
	}
	grant("one", "c", 1)
	_, err = k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "m1", From: "one", To: "full"})
	require.NoError(t, err, "the thousandth lot")
	grant("two", "d", 1)
	_, err = k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "m2", From: "two", To: "full"})
	require.ErrorIs(t, err, quota.ErrTooManyLots)
	k.verify()
}

func TestRefund_edges(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 1, 30)
	k.lot("b", 1, 30)
	many := make([]quota.LotID, 1001)
	for i := range many {
		many[i] = quota.LotID(fmt.Sprint("x", i))
	}
	begin := func(id string, lots ...quota.LotID) error {
		return second(k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: id, Account: account, Lots: lots}))
	}
	require.ErrorIs(t, begin("r0"), quota.ErrRequest)
	require.ErrorIs(t, begin("r0", many...), quota.ErrRequest)
	require.ErrorIs(t, begin("r0", many[:1000]...), quota.ErrNotFound, "1000 may be named")
	require.ErrorIs(t, begin("r0", "a", "a"), quota.ErrRequest)

	require.NoError(t, begin("r1", "a"))
	require.NoError(t, begin("r2", "b"))
	_, err := k.CancelRefund(t.Context(), quota.EndRefundRequest{Tenant: tenant, ID: "e1", Account: account, Refund: "r1"})
	require.NoError(t, err)
	assert.False(t, k.lotNow("a").Frozen)
	assert.True(t, k.lotNow("b").Frozen, "another refund goes on")
	r, err := k.ConfirmRefund(t.Context(), quota.EndRefundRequest{Tenant: tenant, ID: "e2", Account: account, Refund: "r2"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(1), r.Clawed)
	_, err = k.CancelRefund(t.Context(), quota.EndRefundRequest{Tenant: tenant, ID: "e3", Account: account, Refund: "r1"})
	require.ErrorIs(t, err, quota.ErrNotFound, "it is over")
	assert.Equal(t, quota.Units(1), k.spendable())
}

// TestCode_ofAnOutcomeThatIsNotKnown: it is no refusal, even if the call last ran
// into one.
func TestCode_ofAnOutcomeThatIsNotKnown(t *testing.T) {
	refused := fmt.Errorf("outer: %w", quota.ErrInsufficient)
	assert.Equal(t, "insufficient_units", quota.Code(refused))
	assert.Empty(t, quota.Code(&storage.UnknownError{Err: refused}))
}
