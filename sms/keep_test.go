package sms_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

func count(t testing.TB, s storage.Store, tn, kind string) int {
	t.Helper()
	recs, err := s.List(context.Background(), tn, kind, "", 1000)
	require.NoError(t, err)
	return len(recs)
}

// P16 S24: texts, codes and windows go when they serve no more; what their days
// came to stays.
func TestKeep_P16_S24_FinalTextsGo(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	ref, err := r.Send(ctx, r.invite("m-1"))
	require.NoError(t, err)
	_, err = r.Challenge(ctx, r.ask("c-1"))
	require.NoError(t, err)
	r.deliver(t)
	r.clock.add(73 * time.Hour) // no receipt came
	r.deliver(t)
	require.Equal(t, sms.StateAccepted, r.state(t, ref))
	from, to := r.clock.Now().AddDate(0, 0, -10), r.clock.Now()
	before, err := r.Reconcile(ctx, tenant, from, to)
	require.NoError(t, err)
	require.Len(t, before, 1)
	require.Equal(t, 2, before[0].Submitted)
	require.NotZero(t, count(t, r.store, tenant, "sms.window"))
	require.NoError(t, r.Tend(ctx, r.clock.Now()))
	assert.Zero(t, count(t, r.store, tenant, "sms.window"), "windows of a day count no more")

	r.clock.add(170 * 24 * time.Hour)
	r.deliver(t)
	require.Equal(t, sms.StateAccepted, r.state(t, ref), "not yet")
	r.clock.add(10 * 24 * time.Hour)
	r.deliver(t)
	for _, kind := range []string{"sms.message", "sms.challenge", "sms.challenge.live"} {
		assert.Zero(t, count(t, r.store, tenant, kind), kind)
	}
	for _, kind := range []string{"sms.submission", "sms.provider"} {
		assert.Zero(t, count(t, r.store, storage.Deployment, kind), kind)
	}
	recs, err := r.store.List(ctx, tenant, "privacy.value", "", 100)
	require.NoError(t, err)
	assert.Len(t, recs, 1, "the number alone stays in the vault")
	after, err := r.Reconcile(ctx, tenant, from, to)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	_, err = r.Status(ctx, ref)
	require.ErrorIs(t, err, sms.ErrNotFound)
	for _, keep := range []time.Duration{time.Hour, 10 * 366 * 24 * time.Hour} {
		c := sms.Config{Store: r.store, Vault: r.vault, Policy: sms.Policy{Keep: keep}}
		_, err := sms.New(c)
		require.ErrorIs(t, err, sms.ErrConfig)
	}
}

// A text that cannot be read keeps no other waiting.
func TestDeliver_UnreadableTextStandsAside(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	require.NoError(t, storage.Update(ctx, r.store, func(tx *storage.Tx) error {
		return tx.Create(storage.Key{Tenant: tenant, Kind: "sms.message", ID: "0-broken"}, []byte("no json"), r.clock.Now().Add(-time.Hour))
	}))
	ref, err := r.Send(ctx, r.invite("m-1"))
	require.NoError(t, err)
	_, err = r.Deliver(ctx)
	require.ErrorIs(t, err, storage.ErrCorrupt)
	assert.Equal(t, sms.StateAccepted, r.state(t, ref))
	_, err = r.Deliver(ctx)
	require.NoError(t, err, "it looks again tomorrow")
}

// P17: what leads back to an erased person's number goes from texts and codes.
func TestForget_P17_NumbersGo(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	p, err := privacy.NewPhone(phone)
	require.NoError(t, err)
	index, err := r.vault.BlindIndex(tenant, p)
	require.NoError(t, err)
	require.NoError(t, r.Grant(ctx, sms.Consent{Tenant: tenant, To: p, Kind: sms.Notice, Basis: sms.Customer, Source: "form-7"}))
	sent, err := r.Send(ctx, r.invite("m-1"))
	require.NoError(t, err)
	_, err = r.Challenge(ctx, r.ask("c-1"))
	require.NoError(t, err)
	r.deliver(t)
	text, ok := r.gw.Last(phone)
	require.True(t, ok)
	r.clock.add(time.Minute)
	late := r.invite("m-2")
	late.Vars["title"] = "补充协议"
	queued, err := r.Send(ctx, late)
	require.NoError(t, err)
	other := r.put(t, "wu", "13700000000")
	m := r.invite("m-3")
	m.To = other
	_, err = r.Send(ctx, m)
	require.NoError(t, err)

	who := privacy.Subject{Tenant: tenant, ID: "li"}
	_, err = r.vault.EraseSubject(ctx, who)
	require.NoError(t, err)
	n, err := r.Forget(ctx, who)
	require.NoError(t, err)
	assert.Equal(t, 4, n, "two notices, the code's text, and the code")
	n, err = r.Forget(ctx, who)
	require.NoError(t, err)
	assert.Zero(t, n, "again")
	all := dump(t, r.store)
	assert.NotContains(t, all, "138****5678")
	for _, kind := range []string{"sms.message", "sms.challenge", "sms.challenge.live", "sms.consent"} {
		for _, line := range strings.Split(all, "\n") {
			if strings.HasPrefix(line, kind) {
				assert.NotContains(t, line, storage.Hex(index).String(), kind)
			}
		}
	}
	assert.Contains(t, all, "137****0000", "others stay")
	assert.Equal(t, sms.StateDropped, r.state(t, queued))
	assert.Equal(t, sms.StateAccepted, r.state(t, sent), "what was billed stays billed")
	_, err = r.CheckCode(ctx, tenant, "c-1", text.Code())
	require.ErrorIs(t, err, sms.ErrCode)
	_, err = r.Forget(ctx, privacy.Subject{})
	require.ErrorIs(t, err, sms.ErrRequest)
}

// S01 S34 S35: the first use accepts the agreement where it takes use; it runs a
// year, and nothing goes out after it until it is renewed.
func TestAgreement_S01_S34_FirstUseAndOneYear(t *testing.T) {
	ctx := context.Background()
	var terms *privacy.Terms
	r := newRig(t, func(r *rig, c *sms.Config) {
		terms = &privacy.Terms{Store: r.store, Now: r.clock.Now}
		c.Terms = terms
	})
	n := 0
	send := func() error {
		n++
		m := r.invite("m-" + string(rune('a'+n)))
		r.clock.add(time.Minute)
		_, err := r.Send(ctx, m)
		return err
	}
	require.NoError(t, send(), "never published: nothing is asked")
	_, err := r.Agreement(ctx, tenant)
	require.ErrorIs(t, err, sms.ErrNotFound)
	publish := func(version string, weakest privacy.Act) {
		_, err := terms.Publish(ctx, privacy.Document{Tenant: tenant, ID: sms.AgreementDocument, Version: version,
			Digest: strings.Repeat("a", 64), Weakest: weakest})
		require.NoError(t, err)
	}
	publish("v1", privacy.ActUse)
	start := r.clock.Now().Add(time.Minute)
	require.NoError(t, send())
	a, err := r.Agreement(ctx, tenant)
	require.NoError(t, err)
	assert.Equal(t, sms.Agreement{Account: "hr", Version: "v1", From: start, Until: start.AddDate(1, 0, 0)}, a)
	require.NoError(t, storage.View(ctx, r.store, func(tx *storage.Tx) error {
		got, err := terms.AcceptedTx(tx, tenant, "hr", sms.AgreementDocument)
		assert.Equal(t, privacy.ActUse, got.Act)
		return err
	}))
	publish("v2", privacy.ActTick)
	var refused *sms.AgreementError
	require.ErrorAs(t, send(), &refused, "a version that takes no use")
	require.ErrorIs(t, refused, privacy.ErrNotAccepted)
	require.ErrorIs(t, refused, sms.ErrAgreement)
	_, err = r.Challenge(ctx, r.ask("c-1"))
	require.ErrorIs(t, err, sms.ErrAgreement)
	_, err = terms.Accept(ctx, privacy.Acceptance{Tenant: tenant, Account: "hr", Document: sms.AgreementDocument, Act: privacy.ActTick})
	require.NoError(t, err)
	require.NoError(t, send())
	a, err = r.Agreement(ctx, tenant)
	require.NoError(t, err)
	assert.Equal(t, start.AddDate(1, 0, 0), a.Until, "a new version makes no term longer")

	r.clock.add(a.Until.Add(-2 * time.Minute).Sub(r.clock.Now()))
	require.NoError(t, send(), "the last minute")
	require.ErrorAs(t, send(), &refused, "half-open")
	assert.Equal(t, a.Until, refused.Ended)
	_, err = r.Renew(ctx, sms.Renewal{Tenant: tenant, ID: "r-0", By: "hr", Act: privacy.ActUse})
	require.ErrorIs(t, err, sms.ErrAgreement)
	got, err := r.Renew(ctx, sms.Renewal{Tenant: tenant, ID: "r-1", By: "hr"})
	require.NoError(t, err)
	again, err := r.Renew(ctx, sms.Renewal{Tenant: tenant, ID: "r-1", By: "hr"})
	require.NoError(t, err)
	assert.Equal(t, got, again)
	require.NoError(t, send())
	got, err = r.Renew(ctx, sms.Renewal{Tenant: tenant, ID: "r-2", By: "hr"})
	require.NoError(t, err)
	assert.Equal(t, again.Until.AddDate(1, 0, 0), got.Until, "before its end, a year follows")
}
