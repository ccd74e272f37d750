package sms_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
)

// TestStandings is the whole table, refusals included (S02 S21 S28).
func TestStandings(t *testing.T) {
	ctx := context.Background()
	acts := []sms.Act{sms.ActCorrect, sms.ActCure, sms.ActSuspend, sms.ActResume, sms.ActTerminate, sms.ActBan}
	// How to get there, and what each act leads to.
	paths := map[sms.Standing][]sms.Act{
		sms.StandingActive: {}, sms.StandingCorrection: {sms.ActCorrect}, sms.StandingSuspended: {sms.ActSuspend},
		sms.StandingTerminated: {sms.ActTerminate}, sms.StandingBanned: {sms.ActBan},
	}
	want := map[sms.Standing]map[sms.Act]sms.Standing{
		sms.StandingActive:     {sms.ActCorrect: sms.StandingCorrection, sms.ActSuspend: sms.StandingSuspended, sms.ActTerminate: sms.StandingTerminated, sms.ActBan: sms.StandingBanned},
		sms.StandingCorrection: {sms.ActCorrect: sms.StandingCorrection, sms.ActCure: sms.StandingActive, sms.ActSuspend: sms.StandingSuspended, sms.ActTerminate: sms.StandingTerminated, sms.ActBan: sms.StandingBanned},
		sms.StandingSuspended:  {sms.ActResume: sms.StandingActive, sms.ActTerminate: sms.StandingTerminated, sms.ActBan: sms.StandingBanned},
		sms.StandingTerminated: {sms.ActBan: sms.StandingBanned},
	}
	order := func(r *rig, id string, act sms.Act) (sms.Standing, error) {
		o := sms.Order{Tenant: tenant, ID: id, Act: act, Reason: "spam", By: "op-1"}
		if act == sms.ActCorrect {
			o.Deadline = r.clock.Now().Add(24 * time.Hour)
		}
		return r.Order(ctx, o)
	}
	for from, path := range paths {
		for _, act := range acts {
			r := newRig(t)
			for _, a := range path {
				_, err := order(r, "path", a)
				require.NoError(t, err)
			}
			got, err := order(r, "act", act)
			to, ok := want[from][act]
			if !ok {
				require.ErrorIs(t, err, sms.ErrState, "%s %s", from, act)
				to = from
			} else {
				require.NoError(t, err)
				assert.Equal(t, to, got, "%s %s", from, act)
			}
			_, err = r.Send(ctx, r.invite("m-1"))
			if to == sms.StandingActive || to == sms.StandingCorrection {
				require.NoError(t, err, to)
			} else {
				require.ErrorIs(t, err, sms.ErrStanding, to)
				_, err = r.Challenge(ctx, r.ask("c-1"))
				require.ErrorIs(t, err, sms.ErrStanding, to)
			}
		}
	}
}

// TestOrder_refuses_deadlines_that_no_record_holds: they are bad input, no panic.
func TestOrder_refuses_deadlines_that_no_record_holds(t *testing.T) {
	r := newRig(t)
	for _, year := range []int{-1, 10000} {
		_, err := r.Order(context.Background(), sms.Order{Tenant: tenant, ID: "o", Act: sms.ActCorrect, Reason: "spam", By: "op-1",
			Deadline: time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)})
		require.ErrorIs(t, err, sms.ErrRequest)
	}
}

func TestStandingInTime(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	o := sms.Order{Tenant: tenant, ID: "o-1", Act: sms.ActCorrect, Reason: "complaints", By: "op-1", Deadline: r.clock.Now().Add(time.Hour)}
	for range 2 {
		st, err := r.Order(ctx, o)
		require.NoError(t, err)
		assert.Equal(t, sms.StandingCorrection, st)
	}
	changed := o
	changed.Act, changed.Deadline = sms.ActBan, time.Time{}
	_, err := r.Order(ctx, changed)
	require.ErrorIs(t, err, sms.ErrIntentMismatch)

	ref, err := r.Send(ctx, r.invite("m-1"))
	require.NoError(t, err)
	r.clock.add(time.Hour)
	st, _, err := r.Standing(ctx, tenant)
	require.NoError(t, err)
	assert.Equal(t, sms.StandingSuspended, st, "S21: the deadline passed, though no sweep ran")
	r.deliver(t)
	got, err := r.Status(ctx, ref)
	require.NoError(t, err)
	assert.Equal(t, "standing", got.Reason, "what was queued is dropped")
	other, _, err := r.Standing(ctx, "other")
	require.NoError(t, err)
	assert.Equal(t, sms.StandingActive, other)
}

func TestReconcile(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, func(r *rig, c *sms.Config) {
		c.Gateways = append(c.Gateways, &smstest.Gateway{ID: "second"})
		c.Limits.Same = []sms.Window{}
	})
	r.grant(t, 10)
	num, err := sms.NewNumber(phone)
	require.NoError(t, err)
	r.gw.Script(smstest.OK, smstest.Reject, smstest.LostReply)
	for _, id := range []string{"m-1", "m-2", "m-3"} {
		m := r.invite(id)
		m.Metered = true
		_, err := r.Send(ctx, m)
		require.NoError(t, err)
		r.deliver(t)
	}
	require.NoError(t, r.Receipts(ctx, "memory", []sms.Receipt{{Key: r.gw.Calls()[0], To: num, Delivered: true}}))
	r.clock.add(24 * time.Hour)
	_, err = r.Send(ctx, r.invite("m-4"))
	require.NoError(t, err)
	_, err = r.Deliver(ctx)
	require.NoError(t, err)
	got, err := r.Reconcile(ctx, tenant, time.Time{}, r.clock.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Len(t, got, 3)
	assert.Equal(t, sms.Tally{Gateway: "memory", Day: "2026-03-02", Submitted: 3, Accepted: 2, Refused: 1, Delivered: 1, Counted: 2, Provider: 1, Charged: 2}, got[0], "S24")
	assert.Equal(t, sms.Tally{Gateway: "second", Day: "2026-03-02", Submitted: 1, Accepted: 1, Counted: 1, Provider: 1, Charged: 1}, got[1])
	assert.Equal(t, "2026-03-03", got[2].Day)
	_, err = r.Reconcile(ctx, "", time.Time{}, time.Time{})
	require.ErrorIs(t, err, sms.ErrRequest)
}
