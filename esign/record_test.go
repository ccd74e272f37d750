package esign_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
)

// TestEvents_P10: every step says who, when, from where, by what authentication,
// and what the documents were before and after.
func TestEvents_P10_T02_T21_T09_T12_T18_T25_T45_H34_EveryStepTellsAll(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	text := func(s string) privacy.Text {
		v, err := privacy.NewText(s)
		require.NoError(t, err)
		return v
	}
	from := func(who, org string) esign.Actor {
		a := actor(who)
		a.Org = org
		a.Request.Version, a.Request.Forwarded = "7.1", text("203.0.113.9, 10.0.0.1")
		a.Request.UserAgent, a.Request.Device = text("Client/7.1"), text("device-9")
		return a
	}
	hr, li, wang := from("hr", "acme-org"), from("li", ""), from("wang", "")
	docs, err := svc.Upload(ctx, hr, esign.Upload{Files: []esign.File{{ID: "contract", Body: bytes.NewReader(contract())}}})
	require.NoError(t, err)
	_, err = svc.Create(ctx, hr, esign.Draft{ID: "e1", Documents: docs, Recipients: []esign.Invitee{w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 2, esign.ChannelApp)}})
	require.NoError(t, err)
	_, err = svc.Send(ctx, hr, esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	_, err = svc.Open(ctx, li, esign.View{ID: "o", Envelope: "e1"})
	require.NoError(t, err)
	_, err = svc.Challenge(ctx, li, esign.Challenge{ID: "a", Envelopes: []string{"e1"}})
	require.NoError(t, err)
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	got, _ := w.inbox.Last(phones["li"])
	_, err = svc.CheckCode(ctx, li, esign.Code{Challenge: "a", Code: "000000"})
	require.Error(t, err)
	proof, err := svc.CheckCode(ctx, li, esign.Code{Challenge: "a", Code: string(got.Code())})
	require.NoError(t, err)
	_, err = svc.Sign(ctx, li, esign.Sign{ID: "sign", Envelope: "e1", Intent: proof})
	require.NoError(t, err)
	_, err = svc.Open(ctx, wang, esign.View{ID: "ow", Envelope: "e1"})
	require.NoError(t, err)
	_, err = svc.Decline(ctx, wang, esign.End{ID: "no", Envelope: "e1", Reason: "no"})
	require.NoError(t, err)

	acts := map[string]string{"envelope.created": "hr", "envelope.sent": "hr", "recipient.viewed": "", "code.queued": "li", "code.refused": "li",
		"code.checked": "li", "code.consumed": "li", "recipient.signed": "li", "recipient.declined": "wang"}
	documents := []string{"envelope.created", "envelope.sent", "document.rendered", "recipient.invited", "recipient.viewed", "recipient.signed",
		"recipient.declined", "envelope.declined", "chain.sealed"}
	seen := map[string]bool{}
	for e, err := range svc.Evidence().Events(ctx, tenant, "e1", 0) {
		require.NoError(t, err)
		seen[e.Type] = true
		assert.False(t, e.At.IsZero(), e.Type)
		assert.NotEmpty(t, e.Actor.ID, e.Type)
		assert.NotEmpty(t, e.Actor.Role, e.Type)
		if slices.Contains(documents, e.Type) {
			require.Len(t, e.Docs, 1, e.Type)
			assert.NotZero(t, e.Docs[0].After.Size, e.Type)
			assert.Len(t, e.Docs[0].After.SM3, 32, e.Type)
			changed := e.Type == "document.rendered" || e.Type == "recipient.signed"
			assert.Equal(t, changed, len(e.Docs[0].Before.SHA256) > 0, e.Type)
		}
		who, act := acts[e.Type]
		if !act {
			asked := e.Type == "notice.queued" && e.X["challenge"] != nil // the text of a code is whose who asked
			assert.Equal(t, map[bool]string{true: "li", false: "system"}[asked], e.Actor.ID, e.Type)
			continue
		}
		if who != "" {
			assert.Equal(t, who, e.Actor.ID, e.Type)
		}
		if e.Actor.ID == "hr" {
			assert.Equal(t, "acme-org", e.Actor.Account, "T25: for whom")
		}
		assert.Equal(t, "web", e.Req["client"], e.Type)
		assert.Equal(t, "7.1", e.Req["version"], e.Type)
		assert.NotEmpty(t, e.Req["session"], e.Type)
		var fields []privacy.Field
		for _, c := range e.Personal {
			fields = append(fields, c.Field)
		}
		for _, f := range []privacy.Field{privacy.FieldIP, privacy.FieldForwarded, privacy.FieldUserAgent, "device"} {
			assert.Contains(t, fields, f, e.Type)
		}
		if e.Type == "recipient.signed" {
			require.Len(t, e.Auth, 2)
			assert.Equal(t, "I1", e.Auth[0].Level)
			assert.Equal(t, "W2", e.Auth[1].Level)
			assert.NotEmpty(t, e.Auth[1].Cert)
			assert.False(t, e.Auth[1].NotAfter.IsZero())
		}
	}
	for typ := range acts {
		assert.True(t, seen[typ], typ)
	}
	rep, err := svc.Evidence().Audit(ctx, &evidence.AuditOptions{Tenant: tenant, Env: "e1"})
	require.NoError(t, err)
	assert.Equal(t, evidence.Passed, rep.Verdict)
}
