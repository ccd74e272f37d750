package esign_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms"
)

// TestWholeLife_T02_T12_H45: a package bought, a contract sent to two signers,
// codes, two signatures, units captured, evidence that verifies.
func TestWholeLife_T02_T12_H45(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	env := w.send(svc, "nda-1", w.invitee("li", 1, esign.ChannelSMS), w.invitee("wang", 2, esign.ChannelWeChat))
	assert.Equal(t, esign.StateInProgress, env.State)
	lot := w.lots(svc, "hr")
	assert.Equal(t, quota.Units(2), lot.Held)

	_, err := svc.Open(ctx, actor("wang"), esign.View{ID: "early", Envelope: "nda-1"})
	require.ErrorIs(t, err, esign.ErrTurn)

	_, err = w.sign(svc, "nda-1", "li")
	require.NoError(t, err)
	last, err := w.sign(svc, "nda-1", "wang")
	require.NoError(t, err)
	assert.Equal(t, esign.StateCompleted, last.Envelope.State)
	lot = w.lots(svc, "hr")
	assert.Equal(t, quota.Units(2), lot.Used)
	assert.Zero(t, lot.Held)

	w.verified(svc, "nda-1", 2)
}

// TestRepeat: a call repeated under its id answers the same and changes
// nothing; the same id with other content, or in another tenant, does not.
func TestRepeat_SameIdSameAnswer(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	first, err := svc.Create(ctx, actor("hr"), d)
	require.NoError(t, err)
	again, err := svc.Create(ctx, actor("hr"), w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp)))
	require.NoError(t, err, "the same content from another upload")
	assert.Equal(t, first, again)
	d.Title = "another"
	_, err = svc.Create(ctx, actor("hr"), d)
	require.ErrorIs(t, err, esign.ErrIntentMismatch)
	who := w.invitee("li", 1, esign.ChannelApp)
	who.Contact = contact(t, "李小明", "13900139000")
	_, err = svc.Create(ctx, actor("hr"), w.draft(svc, "e1", who))
	require.ErrorIs(t, err, esign.ErrIntentMismatch, "another number is other content")
	_, err = svc.Create(ctx, actor("mallory"), w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp)))
	require.ErrorIs(t, err, esign.ErrIntentMismatch)

	sent, err := svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	w.pass(time.Hour)
	repeat, err := svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	assert.Equal(t, sent, repeat)
	_, err = svc.Revoke(ctx, actor("hr"), esign.End{ID: "s", Envelope: "e1", Reason: "x"})
	require.ErrorIs(t, err, esign.ErrIntentMismatch, "the id was a send's")
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s2", Envelope: "e1"})
	require.ErrorIs(t, err, esign.ErrState)

	proof, err := w.intent(svc, "e1", "li")
	require.NoError(t, err)
	sign := esign.Sign{ID: "sign", Envelope: "e1", Intent: proof}
	done, err := svc.Sign(ctx, actor("li"), sign)
	require.NoError(t, err)
	sign.Intent = esign.Intent{}
	twice, err := svc.Sign(ctx, actor("li"), sign)
	require.NoError(t, err, "pressed twice: one signature, one unit")
	assert.Equal(t, done, twice)
	assert.Equal(t, quota.Units(1), w.lots(svc, "hr").Used)
	w.verified(svc, "e1", 1)
}

// TestCreate_refuses_what_no_record_holds: instants and places that have no JSON are
// bad input, no panic; and an instant is the same in every zone.
func TestCreate_refuses_what_no_record_holds(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	far := time.Date(10000, 6, 1, 0, 0, 0, 0, time.UTC)
	for path, spoil := range map[string]func(*esign.Draft){
		"deadline":               func(d *esign.Draft) { d.Deadline = far },
		"recipients[0].deadline": func(d *esign.Draft) { d.Recipients[0].Deadline = far },
		"fields[0].rect": func(d *esign.Draft) {
			d.Fields = []esign.Field{{ID: "f", Recipient: "li", Type: esign.FieldSignature, Rect: [4]float64{0, 0, math.NaN(), 10}}}
		},
	} {
		d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
		spoil(&d)
		var bad *esign.FieldError
		_, err := svc.Create(t.Context(), actor("hr"), d)
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, path, bad.Field)
		d.Request = "edit"
		_, err = svc.Edit(t.Context(), actor("hr"), d)
		require.ErrorAs(t, err, &bad)
	}
	d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	d.Recipients[0].Deadline = w.clock().Add(time.Hour)
	first, err := svc.Create(t.Context(), actor("hr"), d)
	require.NoError(t, err)
	d.Recipients[0].Deadline = d.Recipients[0].Deadline.In(time.FixedZone("", 8*3600))
	again, err := svc.Create(t.Context(), actor("hr"), d)
	require.NoError(t, err)
	assert.Equal(t, first, again)
}

// TestTenants_T07: nothing of one tenant is reachable by an id of another.
func TestTenants_T07_NothingLeaks(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	foreign := func(name string) esign.Actor { a := actor(name); a.Tenant = "rival"; return a }
	for _, a := range []esign.Actor{foreign("hr"), foreign("li"), actor("stranger")} {
		_, err := svc.Get(ctx, a, "e1")
		require.ErrorIs(t, err, esign.ErrNotFound)
		_, err = svc.Open(ctx, a, esign.View{ID: "o", Envelope: "e1"})
		require.ErrorIs(t, err, esign.ErrNotFound)
		_, err = svc.Sign(ctx, a, esign.Sign{ID: "s", Envelope: "e1"})
		require.ErrorIs(t, err, esign.ErrNotFound)
		_, err = svc.Revoke(ctx, a, esign.End{ID: "r", Envelope: "e1", Reason: "x"})
		require.ErrorIs(t, err, esign.ErrNotFound)
		require.ErrorIs(t, svc.Export(ctx, a, esign.Export{Envelope: "e1"}, new(bytes.Buffer)), esign.ErrNotFound)
		for range svc.List(ctx, a, esign.Query{}) {
			t.Error("a stranger's list is not empty")
		}
	}
	d := w.draft(svc, "e2", w.invitee("li", 1, esign.ChannelApp))
	_, err := svc.Create(ctx, foreign("hr"), d)
	require.ErrorIs(t, err, esign.ErrField, "a draft cannot name another tenant's document")
	// The same id in another tenant is another envelope.
	docs, err := svc.Upload(ctx, foreign("hr"), esign.Upload{Files: []esign.File{{ID: "contract", Body: bytes.NewReader(contract())}}})
	require.NoError(t, err)
	d.ID, d.Documents = "e1", docs
	env, err := svc.Create(ctx, foreign("hr"), d)
	require.NoError(t, err)
	assert.Equal(t, esign.StateDraft, env.State)
}

// TestRoles: who sees an envelope may still not do what is not its part.
func TestRoles_OwnerAndRecipient(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	_, err := svc.Revoke(ctx, actor("li"), esign.End{ID: "r", Envelope: "e1", Reason: "x"})
	require.ErrorIs(t, err, esign.ErrForbidden)
	_, err = svc.Open(ctx, actor("hr"), esign.View{ID: "o", Envelope: "e1"})
	require.ErrorIs(t, err, esign.ErrForbidden)
	unproved := actor("li")
	unproved.Proof = esign.Proof{}
	_, err = svc.Open(ctx, unproved, esign.View{ID: "o2", Envelope: "e1"})
	require.ErrorIs(t, err, esign.ErrForbidden, "without a session nobody is a recipient")
}

// TestRefund_H17_H18_D05: revoking and closing return what WeChat reached and
// keep what a text reached; what was signed stays used.
func TestRefund_H17_H18_D05_ByChannel(t *testing.T) {
	for _, end := range []string{"revoke", "close"} {
		t.Run(end, func(t *testing.T) {
			w := newSite(t)
			svc := w.service()
			ctx := t.Context()
			w.buy(svc, "hr")
			w.send(svc, "e1", w.invitee("li", 1, esign.ChannelWeChat), w.invitee("wang", 1, esign.ChannelSMS), w.invitee("zhao", 1, esign.ChannelWeChat))
			_, err := w.sign(svc, "e1", "zhao")
			require.NoError(t, err)
			r := esign.End{ID: "end", Envelope: "e1", Reason: "no longer wanted"}
			var env esign.Envelope
			if end == "revoke" {
				env, err = svc.Revoke(ctx, actor("hr"), r)
			} else {
				env, err = svc.Close(ctx, actor("hr"), r)
			}
			require.NoError(t, err)
			lot := w.lots(svc, "hr")
			assert.Equal(t, []quota.Units{0, 2, 8}, []quota.Units{lot.Held, lot.Used, lot.Available()})
			results := map[string]string{}
			for _, row := range env.Recipients {
				results[row.ID] = row.Line.Result
			}
			assert.Equal(t, map[string]string{"li": "released", "wang": "forfeited", "zhao": "captured"}, results)
			err = svc.Export(ctx, actor("hr"), esign.Export{Envelope: "e1", Document: "contract"}, new(bytes.Buffer))
			if end == "revoke" {
				require.ErrorIs(t, err, esign.ErrState, "a voided document is not given out")
			} else {
				require.NoError(t, err, "signatures made stay facts")
			}
		})
	}
}

// TestDecline_D03: a refusal ends the envelope and returns nothing.
func TestDecline_D03_ReturnsNothing(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelWeChat), w.invitee("wang", 2, esign.ChannelWeChat))
	env, err := svc.Decline(t.Context(), actor("li"), esign.End{ID: "d", Envelope: "e1", Reason: "the price is wrong"})
	require.NoError(t, err)
	assert.Equal(t, esign.StateDeclined, env.State)
	lot := w.lots(svc, "hr")
	assert.Equal(t, []quota.Units{0, 2}, []quota.Units{lot.Held, lot.Used})
	for m, err := range svc.Timeline(t.Context(), actor("hr"), "e1", 0) {
		require.NoError(t, err)
		assert.NotContains(t, m.Type, "price", "a reason is nobody's but the parties'")
	}
}

// TestUnits_H44_H45: without units nothing is sent and nothing changed.
func TestUnits_H45_ShortfallRefusesSend(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr") // ten units
	for i := range 5 {
		w.send(svc, fmt.Sprintf("e%d", i), w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 1, esign.ChannelApp))
	}
	_, err := svc.Create(ctx, actor("hr"), w.draft(svc, "last", w.invitee("li", 1, esign.ChannelApp)))
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "send-last", Envelope: "last"})
	var short *quota.InsufficientError
	require.ErrorAs(t, err, &short)
	env, err := svc.Get(ctx, actor("hr"), "last")
	require.NoError(t, err)
	assert.Equal(t, esign.StateDraft, env.State)
	assert.Zero(t, w.count(svc, "last", "envelope.sent"))
	// Topped up, the same press of the button succeeds.
	_, err = svc.Quota().Grant(ctx, quota.GrantRequest{Tenant: tenant, ID: "more", Account: "hr", Unit: quota.UnitSign, Units: 1, Source: quota.Given,
		From: w.clock(), Until: w.clock().AddDate(0, 1, 0)})
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "send-last", Envelope: "last"})
	require.NoError(t, err)
}

// TestTerms_H01: who has not accepted the agreement in force sends nothing.
func TestTerms_H01_SendNeedsAcceptance(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	_, err := svc.Create(t.Context(), actor("hr"), w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp)))
	require.NoError(t, err)
	_, err = svc.Send(t.Context(), actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.ErrorIs(t, err, esign.ErrTermsNotAccepted)
}

// TestSignerPays_H48_D06: the signer is charged in the commit of the signature;
// without units there is none, and nobody was charged.
func TestSignerPays_H48_D06_ShortfallSignsNothing(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	d.SignerPays = true
	_, err := svc.Create(ctx, actor("hr"), d)
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	assert.Zero(t, w.lots(svc, "hr").Held)
	proof, err := w.intent(svc, "e1", "li")
	require.NoError(t, err)
	r := esign.Sign{ID: "sign", Envelope: "e1", Intent: proof}
	_, err = svc.Sign(ctx, actor("li"), r)
	require.ErrorIs(t, err, esign.ErrTermsNotAccepted, "who pays has accepted the terms")
	w.buy(svc, "li")
	done, err := svc.Sign(ctx, actor("li"), r)
	require.NoError(t, err, "the proof was not spent by the refusal")
	assert.Equal(t, esign.StateCompleted, done.Envelope.State)
	assert.Equal(t, quota.Units(1), w.lots(svc, "li").Used)
	assert.Zero(t, w.lots(svc, "hr").Used)
}

// TestIntent_T12: a proof is for one person, one set of documents, one use.
func TestIntent_T12_BoundAndUsedOnce(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	for _, id := range []string{"e1", "e2"} {
		w.send(svc, id, w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 1, esign.ChannelApp))
	}
	proof, err := w.intent(svc, "e1", "li")
	require.NoError(t, err)
	_, err = svc.Sign(ctx, actor("li"), esign.Sign{ID: "none", Envelope: "e1"})
	require.ErrorIs(t, err, esign.ErrNotReady, "no proof, no signature")
	_, err = svc.Open(ctx, actor("wang"), esign.View{ID: "ow", Envelope: "e1"})
	require.NoError(t, err)
	_, err = svc.Sign(ctx, actor("wang"), esign.Sign{ID: "stolen", Envelope: "e1", Intent: proof})
	require.ErrorIs(t, err, sms.ErrProof)
	_, err = svc.Open(ctx, actor("li"), esign.View{ID: "o2", Envelope: "e2"})
	require.NoError(t, err)
	_, err = svc.Sign(ctx, actor("li"), esign.Sign{ID: "moved", Envelope: "e2", Intent: proof})
	require.ErrorIs(t, err, sms.ErrProof)
	_, err = svc.Sign(ctx, actor("li"), esign.Sign{ID: "s", Envelope: "e1", Intent: proof})
	require.NoError(t, err)
}

// TestParallelSigners: hard case 13. Two sign at one instant: both signatures
// are valid, neither needs another code.
func TestParallelSigners_BothValid(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 1, esign.ChannelApp), w.invitee("zhao", 1, esign.ChannelApp))
	proofs := map[string]esign.Intent{}
	for who := range phones {
		p, err := w.intent(svc, "e1", who)
		require.NoError(t, err)
		proofs[who] = p
	}
	errs := make(chan error, len(proofs))
	for who, p := range proofs {
		go func() {
			_, err := svc.Sign(context.Background(), actor(who), esign.Sign{ID: "s-" + who, Envelope: "e1", Intent: p})
			errs <- err
		}()
	}
	for range proofs {
		require.NoError(t, <-errs)
	}
	assert.Equal(t, quota.Units(3), w.lots(svc, "hr").Used)
	w.verified(svc, "e1", 3)
}

// TestDeadline_HalfOpen: hard case 10, and a late sweep changes no answer.
func TestDeadline_HalfOpen(t *testing.T) {
	for _, c := range []struct {
		late time.Duration
		ok   bool
	}{{-time.Microsecond, true}, {0, false}, {time.Hour, false}} {
		t.Run(c.late.String(), func(t *testing.T) {
			w := newSite(t)
			svc := w.service()
			ctx := t.Context()
			w.buy(svc, "hr")
			d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
			d.Deadline = w.clock().Add(5 * time.Minute)
			_, err := svc.Create(ctx, actor("hr"), d)
			require.NoError(t, err)
			_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
			require.NoError(t, err)
			proof, err := w.intent(svc, "e1", "li")
			require.NoError(t, err)
			w.pass(5*time.Minute + c.late)
			_, err = svc.Sign(ctx, actor("li"), esign.Sign{ID: "sign", Envelope: "e1", Intent: proof})
			if c.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, esign.ErrDeadline)
			early, err := svc.Get(ctx, actor("hr"), "e1")
			require.NoError(t, err)
			_, err = svc.Deliver(ctx)
			require.NoError(t, err)
			env, err := svc.Get(ctx, actor("hr"), "e1")
			require.NoError(t, err)
			for _, e := range []esign.Envelope{early, env} {
				assert.Equal(t, esign.StateExpired, e.State)
				assert.Equal(t, d.Deadline, e.EndedAt)
			}
			assert.Equal(t, quota.Units(1), w.lots(svc, "hr").Used, "D03")
		})
	}
}

// TestTSADown: hard case 3. An outage of the timestamp authority keeps nobody
// from signing; the level comes later.
func TestTSADown_CompletesLater(t *testing.T) {
	w := newSite(t)
	c := w.config(w.store, w.blobs)
	tsa := &flaky{TSA: w.ca}
	c.TSA = tsa
	svc, err := esign.New(c)
	require.NoError(t, err)
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	tsa.set(true)
	proof, err := w.intent(svc, "e1", "li")
	if err != nil { // delivery also anchors, which fails; the code went out
		text, ok := w.inbox.Last(phones["li"])
		require.True(t, ok)
		proof, err = svc.CheckCode(t.Context(), actor("li"), esign.Code{Challenge: "ask-e1-li", Code: string(text.Code())})
	}
	require.NoError(t, err)
	done, err := svc.Sign(t.Context(), actor("li"), esign.Sign{ID: "s", Envelope: "e1", Intent: proof})
	require.NoError(t, err)
	assert.Equal(t, esign.StateFinalizing, done.Envelope.State)
	tsa.set(false)
	w.pass(time.Hour)
	_, err = svc.Deliver(t.Context())
	require.NoError(t, err)
	env, err := svc.Get(t.Context(), actor("hr"), "e1")
	require.NoError(t, err)
	assert.Equal(t, esign.StateCompleted, env.State)
	w.verified(svc, "e1", 2) // the signature, and a document timestamp over it
}

// A flaky is a timestamp authority with outages.
type flaky struct {
	TSA  pades.Timestamper
	mu   sync.Mutex
	down bool
}

func (f *flaky) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *flaky) Timestamp(ctx context.Context, digest string, sum []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, errors.New("out of order")
	}
	return f.TSA.Timestamp(ctx, digest, sum)
}

// TestEventTypesAreRegistered: whatever the machine and the service record is a
// type that the evidence knows.
func TestEventTypesAreRegistered(t *testing.T) {
	for _, typ := range esign.EventTypes() {
		assert.True(t, evidence.Known(typ), typ)
	}
}

// TestLists: what an account owns, and what waits for it.
func TestLists_OwnedAndInbox(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 2, esign.ChannelApp))
	w.pass(time.Minute)
	w.send(svc, "e2", w.invitee("li", 1, esign.ChannelApp))
	ids := func(a esign.Actor, q esign.Query) (out []string) {
		for s, err := range svc.List(ctx, a, q) {
			require.NoError(t, err)
			out = append(out, s.ID)
		}
		return out
	}
	assert.Equal(t, []string{"e2", "e1"}, ids(actor("hr"), esign.Query{State: esign.StateInProgress}))
	assert.Equal(t, []string{"e2", "e1"}, ids(actor("li"), esign.Query{Inbox: true}))
	assert.Empty(t, ids(actor("wang"), esign.Query{Inbox: true}), "its stage is not open")
	_, err := w.sign(svc, "e2", "li")
	require.NoError(t, err)
	assert.Equal(t, []string{"e1"}, ids(actor("hr"), esign.Query{State: esign.StateInProgress}))
	assert.Equal(t, []string{"e2"}, ids(actor("hr"), esign.Query{State: esign.StateCompleted}))
	assert.Equal(t, []string{"e2"}, ids(actor("li"), esign.Query{Inbox: true, Row: esign.RecipientSigned}))
}

// TestDrafts_NotServed: what this version could not bring to an end is refused
// when it is drafted, typed, and leaves nothing.
func TestDrafts_NotServedAreRefused(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	field := func(f esign.Field) esign.Field {
		f.ID, f.Document, f.Recipient = "f", "contract", "li"
		return f
	}
	for name, c := range map[string]struct {
		change func(*esign.Draft)
		want   error
	}{
		"approver": {func(d *esign.Draft) { d.Recipients[0].Role = esign.RoleApprover }, esign.ErrNotOffered},
		"silent":   {func(d *esign.Draft) { d.Recipients[0].Role = esign.RoleSilent }, esign.ErrNotOffered},
		"fill phase": {func(d *esign.Draft) {
			d.Fields = []esign.Field{field(esign.Field{Type: esign.FieldText, Page: 1, Fill: true, Rect: [4]float64{10, 10, 90, 30}})}
		}, esign.ErrNotOffered},
		"image": {func(d *esign.Draft) {
			d.Fields = []esign.Field{field(esign.Field{Type: esign.FieldImage, Page: 1, Rect: [4]float64{10, 10, 90, 30}})}
		}, esign.ErrNotOffered},
		"no such page": {func(d *esign.Draft) {
			d.Fields = []esign.Field{field(esign.Field{Type: esign.FieldSignature, Page: 2, Rect: [4]float64{10, 10, 90, 30}})}
		}, esign.ErrField},
		"no account":         {func(d *esign.Draft) { d.Recipients[0].Party = esign.Party{} }, esign.ErrField},
		"no recipients":      {func(d *esign.Draft) { d.Recipients = nil }, nil}, // a draft may be unfinished
		"undeclared channel": {func(d *esign.Draft) { d.Recipients[0].Channel = "pigeon" }, esign.ErrUnknownChannel},
		"id with a slash":    {func(d *esign.Draft) { d.ID = "a/b" }, esign.ErrField},
	} {
		d := w.draft(svc, "e-"+strings.ReplaceAll(name, " ", "-"), w.invitee("li", 1, esign.ChannelApp))
		c.change(&d)
		_, err := svc.Create(t.Context(), actor("hr"), d)
		if c.want == nil {
			assert.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, c.want, name)
		_, err = svc.Get(t.Context(), actor("hr"), d.ID)
		assert.Error(t, err, name)
	}
}

// TestSweepBlobs: what no envelope names goes after seven days, what one names
// stays for ever, and an upload that waited too long is refused before.
func TestSweepBlobs_OnlyWhatNobodyNames(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	_, err := w.sign(svc, "e1", "li")
	require.NoError(t, err)
	left := w.draft(svc, "e2", w.invitee("li", 1, esign.ChannelApp))
	n, err := svc.SweepBlobs(ctx)
	require.NoError(t, err)
	assert.Zero(t, n)
	w.pass(6*24*time.Hour + time.Second)
	_, err = svc.Create(ctx, actor("hr"), left)
	require.ErrorIs(t, err, esign.ErrField)
	w.pass(24 * time.Hour)
	n, err = svc.SweepBlobs(ctx)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	w.verified(svc, "e1", 1)
}

// TestInvitations_SameTitle_S18: two contracts of one title to one telephone are
// no repetition: the second invitation comes a little later, and is not lost.
func TestInvitations_SameTitle_S18_ComeLater(t *testing.T) {
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelSMS))
	w.send(svc, "e2", w.invitee("li", 1, esign.ChannelSMS))
	assert.Len(t, w.inbox.Texts(), 1)
	w.pass(31 * time.Second)
	_, err := svc.Deliver(t.Context())
	require.NoError(t, err)
	assert.Len(t, w.inbox.Texts(), 2)
	assert.Zero(t, w.count(svc, "e2", "notice.dropped"))
}
