package esign_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/quota"
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
