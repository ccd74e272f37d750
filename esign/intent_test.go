package esign_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// TestChallenge_Repeated: asked again under its id, a challenge answers the
// same, whatever happened since; nobody else tries its codes.
func TestChallenge_RepeatedAndItsOwn(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 1, esign.ChannelApp))
	_, err := svc.Open(ctx, actor("li"), esign.View{ID: "o", Envelope: "e1"})
	require.NoError(t, err)
	q := esign.Challenge{ID: "ask", Envelopes: []string{"e1"}}
	first, err := svc.Challenge(ctx, actor("li"), q)
	require.NoError(t, err)
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	text, ok := w.inbox.Last(phones["li"])
	require.True(t, ok)
	for range 6 { // more than a challenge allows
		_, err = svc.CheckCode(ctx, actor("wang"), esign.Code{Challenge: "ask", Code: "000000"})
		require.ErrorIs(t, err, sms.ErrCode)
	}
	_, err = svc.CheckCode(ctx, actor("wang"), esign.Code{Challenge: "ask", Code: string(text.Code())})
	require.ErrorIs(t, err, sms.ErrCode, "it is not wang's")
	proof, err := svc.CheckCode(ctx, actor("li"), esign.Code{Challenge: "ask", Code: string(text.Code())})
	require.NoError(t, err, "another's tries do not count")
	_, err = svc.Sign(ctx, actor("li"), esign.Sign{ID: "s", Envelope: "e1", Intent: proof})
	require.NoError(t, err)
	again, err := svc.Challenge(ctx, actor("li"), q)
	require.NoError(t, err, "signed meanwhile")
	assert.Equal(t, first, again)
	_, err = svc.Challenge(ctx, actor("wang"), q)
	require.ErrorIs(t, err, esign.ErrIntentMismatch)
}

// TestIntent_T12_OneRow: one account with two rows needs a code for each.
func TestIntent_T12_OneRow(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	second := w.invitee("li", 1, esign.ChannelApp)
	second.ID, second.Party.Org = "li-for-org", "org"
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), second)
	for _, row := range []string{"li", "li-for-org"} {
		_, err := svc.Open(ctx, actor("li"), esign.View{ID: "o-" + row, Envelope: "e1", Recipient: row})
		require.NoError(t, err)
	}
	_, err := svc.Challenge(ctx, actor("li"), esign.Challenge{ID: "ask", Envelopes: []string{"e1"}, Recipient: "li"})
	require.NoError(t, err)
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	text, _ := w.inbox.Last(phones["li"])
	proof, err := svc.CheckCode(ctx, actor("li"), esign.Code{Challenge: "ask", Code: string(text.Code())})
	require.NoError(t, err)
	_, err = svc.Sign(ctx, actor("li"), esign.Sign{ID: "other", Envelope: "e1", Recipient: "li-for-org", Intent: proof})
	require.ErrorIs(t, err, sms.ErrProof, "it was given for the other row")
	_, err = svc.Sign(ctx, actor("li"), esign.Sign{ID: "own", Envelope: "e1", Recipient: "li", Intent: proof})
	require.NoError(t, err)
}

// TestAnyOf_D20: who need not sign any more settles as at close, by channel.
func TestAnyOf_D20_SettlesByChannel(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelWeChat), w.invitee("wang", 1, esign.ChannelWeChat), w.invitee("zhao", 1, esign.ChannelSMS))
	d.Stages = []esign.Stage{{Order: 1, Rule: esign.Any}}
	_, err := svc.Create(ctx, actor("hr"), d)
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	done, err := w.sign(svc, "e1", "li")
	require.NoError(t, err)
	assert.Equal(t, esign.StateCompleted, done.Envelope.State)
	lot := w.lots(svc, "hr")
	assert.Equal(t, []quota.Units{0, 2, 8}, []quota.Units{lot.Held, lot.Used, lot.Available()})
	w.verified(svc, "e1", 1)
}

// TestPrepared: what was prepared for one request is not taken for another.
func TestPrepared_ForItsOwnRequest(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	proof, err := w.intent(svc, "e1", "li")
	require.NoError(t, err)
	shown := esign.Sign{ID: "s", Envelope: "e1", Reason: "read and agreed", Intent: proof}
	p, err := svc.PrepareSign(ctx, actor("li"), shown)
	require.NoError(t, err)
	other := shown
	other.Reason = "under protest"
	take := func(r esign.Sign) error {
		return storage.Update(ctx, w.store, func(tx *storage.Tx) error {
			_, err := svc.SignTx(ctx, tx, actor("li"), r, p)
			return err
		})
	}
	require.ErrorIs(t, take(other), esign.ErrField)
	require.NoError(t, take(shown))
}
