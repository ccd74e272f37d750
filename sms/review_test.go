package sms_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

func ownTemplate(version int) sms.Template {
	return sms.Template{Name: "offer", Version: version, Kind: sms.Notice, Body: "您有新的文件《${title}》", Author: "ann",
		Vars: map[string]sms.Rule{"title": sms.RuleTitle}}
}

// TestReview is the way of a template from draft to use (S08 S20).
func TestReview(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	send := func(id string) error {
		m := r.invite(id)
		m.Template, m.Vars = "offer", sms.Values{"title": id}
		_, err := r.Send(ctx, m)
		return err
	}
	missing := func(err error) string {
		t.Helper()
		var a *sms.ApprovalError
		require.ErrorAs(t, err, &a)
		return a.Missing
	}
	act := func(version int, a sms.ReviewAct, by, reason string) error {
		_, err := r.Review(ctx, sms.ReviewRequest{Tenant: tenant, Template: "offer", Version: version, Act: a, By: by, Reason: reason})
		return err
	}
	pass := func(version int) {
		t.Helper()
		require.NoError(t, r.Provider(ctx, sms.ProviderState{Tenant: tenant, Template: "offer", Version: version, Gateway: "memory",
			TemplateAt: sms.TemplateAt{Code: "T1", Review: sms.ReviewPass}}))
	}
	assert.Equal(t, "unknown", missing(send("a")))
	for range 2 {
		require.NoError(t, r.DraftTemplate(ctx, tenant, ownTemplate(1)))
	}
	assert.Equal(t, "state", missing(send("a")), "S20 a draft")
	other := ownTemplate(1)
	other.Body += "。"
	require.ErrorIs(t, r.DraftTemplate(ctx, tenant, other), sms.ErrIntentMismatch)
	require.ErrorIs(t, r.DraftTemplate(ctx, tenant, ownTemplate(3)), sms.ErrTemplate, "versions have no gaps")

	require.ErrorIs(t, act(1, sms.ReviewApprove, "bob", ""), sms.ErrState, "S20 not submitted")
	require.NoError(t, act(1, sms.ReviewSubmit, "ann", ""))
	assert.Equal(t, "state", missing(send("a")), "S20 under review")
	require.ErrorIs(t, act(1, sms.ReviewApprove, "ann", ""), sms.ErrTemplate, "S20 nobody approves their own")
	for range 2 {
		require.NoError(t, act(1, sms.ReviewApprove, "bob", ""))
	}
	assert.Equal(t, "provider", missing(send("a")), "S08 not passed by the provider")
	pass(1)
	require.NoError(t, send("a"))
	r.deliver(t)
	text, ok := r.gw.Last(phone)
	require.True(t, ok)
	assert.Equal(t, "T1", text.Template)

	t.Run("an edit is a new version; the old one is sent until it is approved", func(t *testing.T) {
		v2 := ownTemplate(2)
		v2.Body = "第二版《${title}》"
		require.NoError(t, r.DraftTemplate(ctx, tenant, v2))
		require.NoError(t, send("b"))
		require.NoError(t, act(2, sms.ReviewSubmit, "ann", ""))
		require.NoError(t, act(2, sms.ReviewApprove, "bob", ""))
		pass(2)
		require.NoError(t, send("c"))
		r.deliver(t)
		all := ""
		for _, x := range r.gw.Texts() {
			all += x.Body
		}
		assert.Contains(t, all, "您有新的文件《b》", "queued with version 1")
		assert.Contains(t, all, "第二版《c》")
	})
	t.Run("S22 a template that is stopped stops what is queued", func(t *testing.T) {
		require.NoError(t, send("d"))
		require.Error(t, act(2, sms.ReviewSuspend, "bob", ""), "a reason is required")
		require.NoError(t, act(2, sms.ReviewSuspend, "bob", "complaints"))
		r.deliver(t)
		st, err := r.Status(ctx, sms.Ref{Tenant: tenant, ID: "d"})
		require.NoError(t, err)
		assert.Equal(t, "template", st.Reason)
		assert.Equal(t, "state", missing(send("e")))
	})
	t.Run("T07 another tenant has none of it", func(t *testing.T) {
		_, err := r.Review(ctx, sms.ReviewRequest{Tenant: "other", Template: "offer", Version: 1, Act: sms.ReviewRevoke, By: "x", Reason: "y"})
		require.ErrorIs(t, err, sms.ErrNotFound)
	})
	t.Run("an approved version never changes", func(t *testing.T) {
		r := newRig(t)
		require.NoError(t, r.DraftTemplate(ctx, tenant, ownTemplate(1)))
		for _, a := range []struct {
			act sms.ReviewAct
			by  string
		}{{sms.ReviewSubmit, "ann"}, {sms.ReviewApprove, "bob"}} {
			_, err := r.Review(ctx, sms.ReviewRequest{Tenant: tenant, Template: "offer", Version: 1, Act: a.act, By: a.by})
			require.NoError(t, err)
		}
		require.NoError(t, storage.Update(ctx, r.store, func(tx *storage.Tx) error {
			key := storage.Key{Tenant: tenant, Kind: "sms.template", ID: "offer/00000001"}
			recs, err := tx.Get(key)
			if err != nil {
				return err
			}
			return tx.Put(key, []byte(strings.Replace(string(recs[0].Data), "新的文件", "中奖通知", 1)), recs[0].Due)
		}))
		m := r.invite("x")
		m.Template, m.Vars = "offer", sms.Values{"title": "x"}
		_, err := r.Send(ctx, m)
		require.ErrorIs(t, err, storage.ErrCorrupt)
	})
}

// TestReviewTable: every act on every state.
func TestReviewTable(t *testing.T) {
	ctx := context.Background()
	acts := []sms.ReviewAct{sms.ReviewSubmit, sms.ReviewApprove, sms.ReviewReject, sms.ReviewSuspend, sms.ReviewRevoke}
	paths := map[sms.Review][]sms.ReviewAct{
		sms.Draft: {}, sms.PendingReview: {sms.ReviewSubmit}, sms.Refused: {sms.ReviewSubmit, sms.ReviewReject},
		sms.Approved:  {sms.ReviewSubmit, sms.ReviewApprove},
		sms.Suspended: {sms.ReviewSubmit, sms.ReviewApprove, sms.ReviewSuspend},
		sms.Revoked:   {sms.ReviewSubmit, sms.ReviewApprove, sms.ReviewRevoke},
	}
	want := map[sms.Review]map[sms.ReviewAct]sms.Review{
		sms.Draft:         {sms.ReviewSubmit: sms.PendingReview},
		sms.PendingReview: {sms.ReviewSubmit: sms.PendingReview, sms.ReviewApprove: sms.Approved, sms.ReviewReject: sms.Refused},
		sms.Refused:       {sms.ReviewReject: sms.Refused},
		sms.Approved:      {sms.ReviewApprove: sms.Approved, sms.ReviewSuspend: sms.Suspended, sms.ReviewRevoke: sms.Revoked},
		sms.Suspended:     {sms.ReviewSuspend: sms.Suspended},
		sms.Revoked:       {sms.ReviewRevoke: sms.Revoked},
	}
	for from, path := range paths {
		for _, a := range acts {
			for _, signature := range []bool{false, true} {
				r := newRig(t)
				do := func(a sms.ReviewAct) (sms.Review, error) {
					q := sms.ReviewRequest{Tenant: tenant, Template: "offer", Version: 1, Act: a, By: "bob", Reason: "why"}
					if signature {
						q.Template, q.Version, q.Signature = "", 0, "云杉"
					}
					return r.Review(ctx, q)
				}
				if signature {
					require.NoError(t, r.DraftSignature(ctx, tenant, sms.Signature{Name: "云杉", Author: "ann"}))
				} else {
					require.NoError(t, r.DraftTemplate(ctx, tenant, ownTemplate(1)))
				}
				for _, p := range path {
					_, err := do(p)
					require.NoError(t, err)
				}
				got, err := do(a)
				if to, ok := want[from][a]; ok {
					require.NoError(t, err, "%s %s", from, a)
					assert.Equal(t, to, got, "%s %s", from, a)
				} else {
					require.ErrorIs(t, err, sms.ErrState, "%s %s", from, a)
				}
			}
		}
	}
}

func TestOwnSignature(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	for range 2 {
		require.NoError(t, r.DraftSignature(ctx, tenant, sms.Signature{Name: "云杉", Author: "ann"}))
	}
	m := r.invite("m-1")
	m.Signature = "云杉"
	_, err := r.Send(ctx, m)
	require.ErrorIs(t, err, sms.ErrNotApproved)
	for _, a := range []sms.ReviewAct{sms.ReviewSubmit, sms.ReviewApprove} {
		_, err := r.Review(ctx, sms.ReviewRequest{Tenant: tenant, Signature: "云杉", Act: a, By: "bob"})
		require.NoError(t, err)
	}
	at := sms.SignatureAt{Review: sms.ReviewPass, Filing: map[sms.Carrier]sms.Filing{sms.ChinaMobile: sms.FilingPending}}
	require.NoError(t, r.Provider(ctx, sms.ProviderState{Tenant: tenant, Signature: "云杉", Gateway: "memory", SignatureAt: at}))
	_, err = r.Send(ctx, m)
	require.ErrorIs(t, err, sms.ErrNotApproved, "S08 approved but unfiled is blocked")
	at.Filing[sms.ChinaMobile] = sms.FilingDone
	require.NoError(t, r.Provider(ctx, sms.ProviderState{Tenant: tenant, Signature: "云杉", Gateway: "memory", SignatureAt: at}))
	_, err = r.Send(ctx, m)
	require.NoError(t, err)
	r.deliver(t)
	text, _ := r.gw.Last(phone)
	assert.Equal(t, "云杉", text.Signature)
	require.ErrorIs(t, r.DraftSignature(ctx, tenant, sms.Signature{Name: "【云杉】", Author: "ann"}), sms.ErrTemplate)
	require.ErrorIs(t, r.DraftSignature(ctx, tenant, sms.Signature{Name: "云杉", Author: "eve"}), sms.ErrIntentMismatch)
}
