package esign_test

import (
	"bytes"
	"context"
	"errors"
	"expvar"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/observe"
)

// purchase buys an item for an account, once.
func (w *site) purchase(svc *esign.Service, who, item string) {
	w.t.Helper()
	ctx := w.t.Context()
	req := membership.PurchaseRequest{Tenant: tenant, ID: "order-" + item + "-" + who, Payer: quota.AccountID(who), Item: item}
	shown, err := svc.Membership().Quote(ctx, req)
	require.NoError(w.t, err)
	req.Terms, req.Shown, req.Ticked = shown.Terms, shown.Price, true
	o, _, err := svc.Membership().Purchase(ctx, req)
	require.NoError(w.t, err)
	_, err = svc.Membership().MarkPaid(ctx, membership.PaidRequest{Tenant: tenant, Order: o.ID, Payment: "pay-" + item + who, Amount: o.Price})
	require.NoError(w.t, err)
}

// TestUnits_H38: a member's ordinary send costs nothing, with the reason on the
// line; its real-name send costs two units a signer all the same; and a
// membership that ended between two sends is charged for.
func TestUnits_H38_D01_H45_H46_MemberSends(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	w.purchase(svc, "hr", "personal")
	env := w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 1, esign.ChannelApp))
	for _, r := range env.Recipients {
		assert.Zero(t, r.Line.Units)
		assert.Equal(t, membership.FreeMember, r.Line.Reason)
	}
	d := w.draft(svc, "e2", w.invitee("li", 1, esign.ChannelApp))
	d.Kind = esign.RealName
	_, err := svc.Create(t.Context(), actor("hr"), d)
	require.NoError(t, err)
	_, err = svc.Send(t.Context(), actor("hr"), esign.Send{ID: "s2", Envelope: "e2"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(2), w.lots(svc, "hr").Held, "H46")
	w.pass(364 * 24 * 3600 * 1e9)
	env = w.send(svc, "e3", w.invitee("li", 1, esign.ChannelApp))
	assert.Zero(t, env.Recipients[0].Line.Units)
	w.grant(svc, "hr", quota.UnitSign, 3)
	w.pass(2 * 24 * 3600 * 1e9) // the plan has ended
	env = w.send(svc, "e4", w.invitee("li", 1, esign.ChannelApp))
	assert.EqualValues(t, 1, env.Recipients[0].Line.Units, "H45, judged at the send instant")
}

// TestUnits_H47_H49: signing what was sent, and exporting it, cost nothing,
// whoever does it and whatever its standing.
func TestUnits_H47_H49_T37_SubmittingAndExportingAreFree(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	_, err := svc.Membership().Suspend(ctx, membership.StatusRequest{Tenant: tenant, ID: "stop", Account: "hr", Reason: "unpaid", Actor: "operator"})
	require.NoError(t, err)
	_, err = svc.Create(ctx, actor("hr"), w.draft(svc, "e2", w.invitee("li", 1, esign.ChannelApp)))
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s2", Envelope: "e2"})
	require.ErrorIs(t, err, membership.ErrDenied, "T37 D22: nothing new goes out")
	_, err = w.sign(svc, "e1", "li")
	require.NoError(t, err, "what runs may finish")
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	used := w.lots(svc, "hr")
	for _, who := range []string{"hr", "li"} {
		for range 3 {
			require.NoError(t, svc.Export(ctx, actor(who), esign.Export{Envelope: "e1", Document: "contract"}, io.Discard))
			require.NoError(t, svc.Export(ctx, actor(who), esign.Export{Envelope: "e1"}, io.Discard))
		}
	}
	assert.Equal(t, used, w.lots(svc, "hr"))
	lots, err := svc.Quota().Lots(ctx, quota.BalanceRequest{Tenant: tenant, Account: "li"})
	require.NoError(t, err)
	assert.Empty(t, lots, "H47")
}

// A censor refuses what it does not like, and quotes it.
type censor struct{}

func (censor) Screen(_ context.Context, _, _ string, r io.ReaderAt, size int64) error {
	b := make([]byte, size)
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if bytes.Contains(b, []byte("Service agreement")) {
		return errors.New("it says Service agreement")
	}
	return nil
}

// TestScreen_H25: refused content leaves nothing and costs nothing.
func TestScreen_H25_RefusedBeforeAnything(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	c := w.config(w.store, w.blobs)
	c.Policy.Screen = censor{}
	svc, err := esign.New(c)
	require.NoError(t, err)
	w.buy(svc, "hr")
	_, err = svc.Upload(t.Context(), actor("hr"), esign.Upload{Files: []esign.File{{ID: "contract", Body: bytes.NewReader(contract())}}})
	require.ErrorIs(t, err, esign.ErrScreened)
	ids, err := w.blobs.List(t.Context(), "", 10)
	require.NoError(t, err)
	assert.Empty(t, ids)
	assert.Equal(t, quota.Units(10), w.lots(svc, "hr").Available())
}

// TestMeterTexts: where texts are metered, invitations hold their units in the
// commit that sends, or nothing is sent; a text that went out used them.
func TestUnits_S06_D14_D15_MeteredTexts(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	c := w.config(w.store, w.blobs)
	c.Policy.MeterTexts = true
	svc, err := esign.New(c)
	require.NoError(t, err)
	ctx := t.Context()
	w.buy(svc, "hr")
	_, err = svc.Create(ctx, actor("hr"), w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelSMS)))
	require.NoError(t, err)
	send := func() error {
		_, err := svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
		return err
	}
	require.ErrorIs(t, send(), quota.ErrInsufficient)
	assert.Zero(t, w.lots(svc, "hr").Held, "signing units pay for no texts, and are not held for nothing")
	w.grant(svc, "hr", quota.UnitSMS, 5)
	texts := func() []quota.Units {
		lots, err := svc.Quota().Lots(ctx, quota.BalanceRequest{Tenant: tenant, Account: "hr"})
		require.NoError(t, err)
		for _, l := range lots {
			if l.Unit == quota.UnitSMS {
				return []quota.Units{l.Available(), l.Held, l.Used}
			}
		}
		return nil
	}
	require.NoError(t, send())
	held := texts()
	assert.NotZero(t, held[1])
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	used := texts()
	assert.Zero(t, used[1])
	assert.NotZero(t, used[2])
}

// TestHostTransaction: an envelope sent in a unit of work that comes to nothing
// leaves nothing, in units, evidence, texts or lists.
func TestSendTx_Hard37_RolledBackLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	_, err := svc.Create(ctx, actor("hr"), w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelSMS)))
	require.NoError(t, err)
	no := errors.New("the host thought again")
	err = storage.Update(ctx, w.store, func(tx *storage.Tx) error {
		if _, err := svc.SendTx(ctx, tx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"}); err != nil {
			return err
		}
		return no
	})
	require.ErrorIs(t, err, no)
	assert.Zero(t, w.lots(svc, "hr").Held)
	assert.Zero(t, w.count(svc, "e1", "envelope.sent"))
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	assert.Empty(t, w.inbox.Texts())
	env, err := svc.Get(ctx, actor("hr"), "e1")
	require.NoError(t, err)
	assert.Equal(t, esign.StateDraft, env.State)
}

// TestObserver_Forwarded has one observer hear of the store and of decisions.
func TestObserver_Forwarded(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	vars := new(expvar.Map).Init()
	c := w.config(w.store, w.blobs)
	c.Observer = observe.Expvar(vars)
	svc, err := esign.New(c)
	require.NoError(t, err)
	w.buy(svc, "hr")
	w.grant(svc, "hr", quota.UnitSign, 3)
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	for _, name := range []string{"storage.round.n", "membership.decision.charged.n", "quota.units.grant.n"} {
		assert.NotNil(t, vars.Get(name), name)
	}
}
