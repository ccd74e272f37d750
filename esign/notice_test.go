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
