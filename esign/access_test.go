package esign_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
)

// TestNeverTold: who was never told of an envelope learns nothing of it, also
// when it ends before their turn.
func TestNeverTold_T41_SeesNothing(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 2, esign.ChannelApp))
	blind := func() {
		_, err := svc.Get(ctx, actor("wang"), "e1")
		require.ErrorIs(t, err, esign.ErrNotFound)
		require.ErrorIs(t, svc.Export(ctx, actor("wang"), esign.Export{Envelope: "e1"}, new(bytes.Buffer)), esign.ErrNotFound)
		require.ErrorIs(t, svc.Export(ctx, actor("wang"), esign.Export{Envelope: "e1", Document: "contract"}, new(bytes.Buffer)), esign.ErrNotFound)
		for range svc.List(ctx, actor("wang"), esign.Query{Inbox: true}) {
			t.Error("it stands in the inbox")
		}
	}
	blind()
	_, err := svc.Close(ctx, actor("hr"), esign.End{ID: "c", Envelope: "e1", Reason: "enough"})
	require.NoError(t, err)
	blind()
	_, err = svc.Open(ctx, actor("wang"), esign.View{ID: "o", Envelope: "e1"})
	require.Error(t, err)
	require.NoError(t, svc.Export(ctx, actor("li"), esign.Export{Envelope: "e1", Document: "contract"}, new(bytes.Buffer)))
}

// TestOpenAgain: whoever took part looks again, at any time; that is no step of
// the machine and leaves no trace.
func TestOpenAgain_ChangesNothing(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 2, esign.ChannelApp))
	_, err := w.sign(svc, "e1", "li")
	require.NoError(t, err)
	before, err := svc.Get(ctx, actor("hr"), "e1")
	require.NoError(t, err)
	c, err := svc.Open(ctx, actor("li"), esign.View{ID: "again", Envelope: "e1"})
	require.NoError(t, err, "its row is signed")
	assert.Equal(t, "li", c.Recipient)
	assert.Len(t, c.Documents, 1)
	assert.Empty(t, c.Missing)
	assert.Empty(t, c.Waiting)
	after, err := svc.Get(ctx, actor("hr"), "e1")
	require.NoError(t, err)
	assert.Equal(t, before, after)

	w.pass(100 * 24 * time.Hour) // past the deadline, which nobody booked
	c, err = svc.Open(ctx, actor("li"), esign.View{ID: "later", Envelope: "e1"})
	require.NoError(t, err, "the envelope is over")
	assert.Equal(t, esign.StateExpired, c.Envelope.State)
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	_, err = svc.Open(ctx, actor("li"), esign.View{ID: "late", Envelope: "e1"})
	require.NoError(t, err)
	_, err = svc.Open(ctx, actor("wang"), esign.View{ID: "last", Envelope: "e1"})
	require.NoError(t, err, "it was invited, and did not sign")
}

// TestDisclosure_P02: a bundle names the parties, not who stood in a draft and
// was taken out of it.
func TestDisclosure_P02_PartiesAlone(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	_, err := svc.Create(ctx, actor("hr"), w.draft(svc, "e1", w.invitee("zhao", 1, esign.ChannelApp)))
	require.NoError(t, err)
	_, err = svc.Edit(ctx, actor("hr"), w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp)))
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	_, err = w.sign(svc, "e1", "li")
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, svc.Export(ctx, actor("li"), esign.Export{Envelope: "e1", Digests: true}, &b))
	assert.Contains(t, b.String(), "李小明")
	assert.NotContains(t, b.String(), "赵六", "no party of this envelope")
	b.Reset()
	require.NoError(t, svc.Export(ctx, actor("hr"), esign.Export{Envelope: "e1", Digests: true}, &b))
	assert.Contains(t, b.String(), "赵六", "who supplied it may read it")
}
