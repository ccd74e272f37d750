package esign_test

import (
	"context"
	"fmt"
	"sync"
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

// A counting messenger notes whom it told.
type counting struct {
	mu   sync.Mutex
	told map[string]int
}

func (c *counting) Deliver(_ context.Context, n esign.Notice) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told[n.Recipient]++
	return nil
}

// TestDeliver_All: one call does everything that is due, however much.
func TestDeliver_EverythingDue(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	c := w.config(w.store, w.blobs)
	m := &counting{told: map[string]int{}}
	c.Policy.Channels = map[esign.Channel]esign.ChannelPolicy{esign.ChannelApp: {Messenger: m}}
	svc, err := esign.New(c)
	require.NoError(t, err)
	w.buy(svc, "hr")
	who := []esign.Invitee{w.invitee("li", 1, esign.ChannelApp)}
	for i := range 150 {
		cc := w.invitee("wang", 0, esign.ChannelApp)
		cc.ID, cc.Role = fmt.Sprintf("cc-%d", i), esign.RoleCC
		who = append(who, cc)
	}
	w.send(svc, "e1", who...) // delivers once
	assert.Len(t, m.told, 151)
	for id, n := range m.told {
		assert.Equal(t, 1, n, id)
	}
}
