package esign_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
)

// TestEvents_T12: what a code was bound to stands with the signature, and with
// nothing that merely followed from it.
func TestEvents_T12_BindingOfItsOwnEventOnly(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 2, esign.ChannelApp))
	_, err := w.sign(svc, "e1", "li")
	require.NoError(t, err)
	for e, err := range svc.Evidence().Events(t.Context(), tenant, "e1", 0) {
		require.NoError(t, err)
		_, bound := e.X["bound_to"]
		assert.Equal(t, e.Type == "recipient.signed", bound, "%d %s", e.Seq, e.Type)
	}
}

// TestCopyAtEnd: a text that tells of the end is not dropped because of it.
func TestCopyAtEnd_TextGoesOut(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	cc := w.invitee("zhao", 0, esign.ChannelSMS)
	cc.Role, cc.Timing = esign.RoleCC, esign.AtEnd
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), cc)
	_, err := w.sign(svc, "e1", "li")
	require.NoError(t, err)
	_, err = svc.Deliver(t.Context())
	require.NoError(t, err)
	_, ok := w.inbox.Last(phones["zhao"])
	assert.True(t, ok)
}

// TestInvitation_Dropped: a text that was still queued when its envelope ended
// is not sent.
func TestInvitation_DroppedAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	_, err := svc.Create(ctx, actor("hr"), w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelSMS)))
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	_, err = svc.Revoke(ctx, actor("hr"), esign.End{ID: "r", Envelope: "e1", Reason: "wrong"})
	require.NoError(t, err)
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	assert.Empty(t, w.inbox.Texts())
	assert.Equal(t, 1, w.count(svc, "e1", "notice.dropped"))
}
