package membership_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

func TestCheck_decision_table(t *testing.T) {
	k := newKit(t, nil)
	k.accept("none", "personal", "team")
	k.buy("o1", "personal", "personal")
	k.buy("o2", "team", "team")
	t.Run("H38 an active member sends ordinary files free", func(t *testing.T) {
		k.free("personal", membership.FeatureOrdinary, membership.FreeMember)
		k.free("team", membership.FeatureOrdinary, membership.FreeMember)
	})
	t.Run("H06 H43 H45 anyone else pays one per signer", func(t *testing.T) {
		k.charged("none", membership.FeatureOrdinary, quota.KindOrdinary, 1)
		d, err := k.judge(membership.CheckRequest{Tenant: tenant, Account: "none", Feature: membership.FeatureOrdinary, Slots: 3})
		require.NoError(t, err)
		assert.Equal(t, quota.Units(3), d.Total)
		assert.Equal(t, quota.UnitSign, d.Unit)
	})
	t.Run("H42 H46 real-name always pays two", func(t *testing.T) {
		for _, a := range []quota.AccountID{"none", "personal", "team"} {
			k.charged(a, membership.FeatureRealNamePerson, quota.KindRealNamePerson, 2)
			k.charged(a, membership.FeatureRealNameOrg, quota.KindRealNameOrg, 2)
		}
	})
	t.Run("H39 approvals are for teams", func(t *testing.T) {
		k.free("team", membership.FeatureApproval, membership.FreeTeam)
		k.denied("personal", membership.FeatureApproval, membership.DeniedTeam)
		k.denied("none", membership.FeatureApproval, membership.DeniedTeam)
		open := newKit(t, func(c *membership.Config) { c.ApprovalsForAll = true })
		open.accept("none")
		open.free("none", membership.FeatureApproval, membership.FreeOpen)
	})
	t.Run("H40 H41 checks are charged", func(t *testing.T) {
		k.charged("personal", membership.FeaturePersonCheck, quota.KindPersonCheck, 1)
		k.charged("personal", membership.FeatureOrgCheck, quota.KindOrgCheck, 1)
		k.charged("personal", membership.FeatureReport, quota.KindReport, 1)
	})
	t.Run("H47 H49 recipients and exports are free for anyone", func(t *testing.T) {
		k.free("stranger", membership.FeatureSubmit, membership.FreeRecipient)
		k.free("stranger", membership.FeatureExport, membership.FreeExport)
	})
	t.Run("H48 D21 signer-pays is charged on the signer, member or not", func(t *testing.T) {
		k.charged("none", membership.FeaturePayOrdinary, quota.KindOrdinary, 1)
		k.charged("personal", membership.FeaturePayOrdinary, quota.KindOrdinary, 1)
		k.charged("personal", membership.FeaturePayPerson, quota.KindRealNamePerson, 2)
		k.charged("personal", membership.FeaturePayOrg, quota.KindRealNameOrg, 2)
		sw := newKit(t, func(c *membership.Config) { c.MembersSignFree = true })
		sw.buy("o1", "li", "personal")
		sw.free("li", membership.FeaturePayOrdinary, membership.FreeMember)
		sw.charged("li", membership.FeaturePayPerson, quota.KindRealNamePerson, 2)
	})
	t.Run("H10 any client gets the same answer", func(t *testing.T) {
		for _, client := range []string{"app", "wechat.mini", "alipay.mini", "web"} {
			d, err := k.judge(membership.CheckRequest{Tenant: tenant, Account: "personal", Feature: membership.FeatureOrdinary, Client: client})
			require.NoError(t, err)
			assert.Equal(t, membership.FreeMember, d.Free)
		}
	})
	t.Run("T07 another tenant's membership is not there", func(t *testing.T) {
		_, err := k.judge(membership.CheckRequest{Tenant: "other", Account: "personal", Feature: membership.FeatureOrdinary})
		require.ErrorIs(t, err, membership.ErrDenied)
	})
	_, err := k.decide("none", "fly")
	require.ErrorIs(t, err, membership.ErrRequest)
}

func TestCheck_unmetered_without_catalogue_D01(t *testing.T) {
	store := new(storage.Mem)
	svc, err := membership.New(membership.Config{Store: store})
	require.NoError(t, err)
	d, err := svc.Check(t.Context(), membership.CheckRequest{Tenant: tenant, Account: "li", Feature: membership.FeatureRealNamePerson})
	require.NoError(t, err)
	assert.Equal(t, membership.FreeUnmetered, d.Free)
	assert.Equal(t, quota.LineRequest{Slot: "s", Kind: quota.KindRealNamePerson, Channel: quota.WeChat, Free: "unmetered"}, d.Line("s", quota.WeChat))
	_, _, err = svc.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o", Payer: "li", Item: "personal"})
	require.ErrorIs(t, err, membership.ErrNoCatalogue)
}

func TestCheck_H51_free_from_a_date(t *testing.T) {
	k := newKit(t, func(c *membership.Config) {
		rates := append(quota.DefaultRates(), quota.RateVersion{Version: 2, From: noon.Add(time.Hour), Kinds: map[quota.ChargeKind]quota.Rate{quota.KindPersonCheck: {Unit: quota.UnitPersonCheck}}})
		var err error
		c.Ledger, err = quota.New(quota.Config{Store: c.Store, Now: c.Now, Rates: rates})
		if err != nil {
			panic(err)
		}
	})
	k.accept("li")
	k.charged("li", membership.FeaturePersonCheck, quota.KindPersonCheck, 1)
	k.at = noon.Add(time.Hour)
	k.free("li", membership.FeaturePersonCheck, membership.FreePrice)
}

func TestCheck_H01_M8_terms_first(t *testing.T) {
	k := newKit(t, nil)
	k.denied("li", membership.FeatureOrdinary, membership.DeniedTerms)
	_, err := k.decide("li", membership.FeatureOrdinary)
	require.ErrorIs(t, err, privacy.ErrNotAccepted)
	k.accept("li")
	k.charged("li", membership.FeatureOrdinary, quota.KindOrdinary, 1)

	unpublished := newKit(t, func(c *membership.Config) { c.Documents = []string{"membership", "sms"} })
	unpublished.accept("li")
	unpublished.denied("li", membership.FeatureOrdinary, membership.DeniedTerms)
}

func TestCheck_H03_use_accepts_a_new_version(t *testing.T) {
	k := newKit(t, nil)
	k.accept("li")
	k.at = k.at.Add(time.Hour)
	k.publish("v2", privacy.ActUse)
	d, err := k.Check(t.Context(), membership.CheckRequest{Tenant: tenant, Account: "li", Feature: membership.FeatureOrdinary})
	require.NoError(t, err, "who never sent, but accepted, may go on")
	assert.Equal(t, quota.Units(1), d.Units)
	k.charged("li", membership.FeatureOrdinary, quota.KindOrdinary, 1)
	var a privacy.Acceptance
	require.NoError(t, storage.View(t.Context(), k.store, func(tx *storage.Tx) error {
		var err error
		a, err = k.terms.AcceptedTx(tx, tenant, "li", "membership")
		return err
	}))
	assert.Equal(t, privacy.ActUse, a.Act)
	assert.Equal(t, "v2", a.Version)
	assert.Equal(t, k.at, a.At)

	k.publish("v3", privacy.ActTick)
	k.denied("li", membership.FeatureOrdinary, membership.DeniedTerms)
	k.denied("wang", membership.FeatureOrdinary, membership.DeniedTerms)
}

func TestCheck_records_nothing_without_a_commit(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "personal")
	d, err := k.Check(t.Context(), membership.CheckRequest{Tenant: tenant, Account: "li", Feature: membership.FeatureOrdinary})
	require.NoError(t, err)
	assert.Equal(t, membership.FreeMember, d.Free)
	lane := k.member("li").Lanes[0]
	assert.True(t, lane.Segments[0].FirstUse.IsZero())
}

func TestCheckTx_M9_FirstUse_is_set_once(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "personal")
	k.at = noon.Add(time.Hour)
	k.free("li", membership.FeatureOrdinary, membership.FreeMember)
	rev := k.member("li").Rev
	k.at = noon.Add(2 * time.Hour)
	k.free("li", membership.FeatureOrdinary, membership.FreeMember)
	m := k.member("li")
	assert.Equal(t, noon.Add(time.Hour), m.Lanes[0].Segments[0].FirstUse)
	assert.Equal(t, rev, m.Rev, "later uses only check")
}

// TestLapsesBetweenQuoteAndSend_H05_M3_half_open: membership is judged at the send (D01).
func TestLapsesBetweenQuoteAndSend_H05_M3_half_open(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "personal")
	end := k.member("li").Lanes[0].Segments[0].Until
	k.at = end.Add(-time.Microsecond)
	d, err := k.Check(t.Context(), membership.CheckRequest{Tenant: tenant, Account: "li", Feature: membership.FeatureOrdinary})
	require.NoError(t, err)
	assert.Equal(t, membership.FreeMember, d.Free)
	k.at = end
	k.charged("li", membership.FeatureOrdinary, quota.KindOrdinary, 1)
}

// TestCheckTx_with_reserve holds units in the commit of the decision; the refusal
// of one undoes both.
func TestCheckTx_and_Reserve_one_commit(t *testing.T) {
	k := newKit(t, nil)
	k.accept("li")
	send := func(id quota.HoldID) (hold quota.Hold, err error) {
		err = storage.Update(t.Context(), k.store, func(tx *storage.Tx) error {
			d, err := k.CheckTx(t.Context(), tx, membership.CheckRequest{Tenant: tenant, Account: "li", Feature: membership.FeatureOrdinary})
			if err != nil {
				return err
			}
			hold, err = k.ledger.ReserveTx(t.Context(), tx, quota.ReserveRequest{Tenant: tenant, ID: id, Account: d.Account, Lines: []quota.LineRequest{d.Line("s1", quota.WeChat)}})
			return err
		})
		return hold, err
	}
	_, err := send("env/1")
	require.ErrorIs(t, err, quota.ErrInsufficient)
	k.buy("o1", "li", "pack10")
	h, err := send("env/1")
	require.NoError(t, err)
	assert.Equal(t, quota.LotID("o1/1"), h.Lines[0].From[0].Lot)
	k.buy("o2", "li", "personal")
	h, err = send("env/2")
	require.NoError(t, err)
	assert.Equal(t, "member", h.Lines[0].Free)
}

func TestStatus_H26_H33_H55_T37_T53_T67(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "personal")
	k.buy("o2", "li", "pack10")
	end := k.member("li").Lanes[0].Segments[0].Until
	stop := membership.StatusRequest{Tenant: tenant, ID: "s1", Account: "li", Reason: "check_failed", Actor: "ops"}
	m, err := k.Suspend(t.Context(), stop)
	require.NoError(t, err)
	assert.Equal(t, membership.Suspended, m.Status)
	k.denied("li", membership.FeatureOrdinary, membership.DeniedSuspended)
	k.free("li", membership.FeatureSubmit, membership.FreeRecipient) // D22
	k.free("li", membership.FeatureExport, membership.FreeExport)
	_, err = k.ledger.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "env/1", Account: "li", Lines: []quota.LineRequest{{Slot: "s", Kind: quota.KindOrdinary}}})
	require.ErrorIs(t, err, quota.ErrSuspended, "units in the same commit")
	_, _, err = k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o3", Payer: "li", Item: "personal"})
	require.ErrorIs(t, err, membership.ErrDenied)

	k.at = k.at.Add(24 * time.Hour)
	stop.ID = "s2"
	_, err = k.Resume(t.Context(), stop)
	require.NoError(t, err)
	k.free("li", membership.FeatureOrdinary, membership.FreeMember)
	assert.Equal(t, end, k.member("li").Lanes[0].Segments[0].Until, "the clock ran on (H55)")

	o, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o4", Payer: "li", Item: "pack10"})
	require.NoError(t, err)
	stop.ID = "s3"
	_, err = k.Terminate(t.Context(), stop)
	require.NoError(t, err)
	k.denied("li", membership.FeatureOrdinary, membership.DeniedTerminated)
	b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "li"})
	require.NoError(t, err)
	assert.Zero(t, b.Of(quota.UnitSign).Spendable)
	_, err = k.MarkPaid(t.Context(), membership.PaidRequest{Tenant: tenant, Order: "o4", Payment: "p4", Amount: o.Price})
	require.ErrorIs(t, err, membership.ErrPaymentMismatch, "nothing is sold to who was terminated")
	stop.ID = "s4"
	_, err = k.Resume(t.Context(), stop)
	require.ErrorIs(t, err, membership.ErrState, "final")
	stop.ID, stop.Reason = "s5", ""
	_, err = k.Suspend(t.Context(), stop)
	require.ErrorIs(t, err, membership.ErrRequest, "a reason is required")
}

func TestSeats_M4(t *testing.T) {
	k := newKit(t, nil)
	k.accept("boss", "a", "b", "c")
	seat := func(id string, account quota.AccountID, give bool) error {
		req := membership.SeatRequest{Tenant: tenant, ID: id, Team: "boss", Account: account}
		call := k.TakeSeat
		if give {
			call = k.GiveSeat
		}
		_, err := call(t.Context(), req)
		return err
	}
	require.ErrorIs(t, seat("s0", "a", true), membership.ErrState, "no team membership runs")
	k.buy("o1", "boss", "team")
	require.NoError(t, seat("s1", "a", true))
	require.NoError(t, seat("s2", "b", true))
	require.ErrorIs(t, seat("s3", "c", true), membership.ErrSeats)
	for account, want := range map[quota.AccountID]string{"a": membership.FreeSeat, "b": membership.FreeSeat, "c": ""} {
		d, err := k.judge(membership.CheckRequest{Tenant: tenant, Account: account, Team: "boss", Feature: membership.FeatureOrdinary})
		require.NoError(t, err)
		assert.Equal(t, want, d.Free, account)
	}
	d, err := k.judge(membership.CheckRequest{Tenant: tenant, Account: "a", Team: "boss", Feature: membership.FeatureApproval})
	require.NoError(t, err)
	assert.Equal(t, membership.FreeTeam, d.Free)
	assert.False(t, k.member("boss").Lanes[0].Segments[0].FirstUse.IsZero(), "a seat's use is the team's")
	require.NoError(t, seat("s4", "a", false))
	require.NoError(t, seat("s5", "c", true))
	k.at = k.member("boss").Lanes[0].Segments[0].Until
	d, err = k.judge(membership.CheckRequest{Tenant: tenant, Account: "b", Team: "boss", Feature: membership.FeatureOrdinary})
	require.NoError(t, err)
	assert.Empty(t, d.Free, "only while the team membership is active")
}
