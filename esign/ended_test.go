package esign_test

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// TestServiceEnd_T47_T48: 90 natural days after the service ended everything is
// there; then content is neither listed nor read, and the evidence still is.
func TestServiceEnd_T47_T48_ContentCloses(t *testing.T) {
	t.Parallel()
	w, svc := completed(t, 0)
	ctx := t.Context()
	require.NoError(t, storage.Update(ctx, w.store, func(tx *storage.Tx) error {
		return svc.Privacy().EndServiceTx(ctx, tx, tenant, time.Time{})
	}))
	list := func() (n int, err error) {
		for _, err := range svc.List(ctx, actor("hr"), esign.Query{}) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	document := esign.Export{Envelope: "e1", Document: "contract"}
	w.pass(90 * 24 * time.Hour)
	n, err := list()
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	require.NoError(t, svc.Export(ctx, actor("hr"), document, io.Discard))
	w.pass(24 * time.Hour)
	_, err = list()
	require.ErrorIs(t, err, privacy.ErrRestricted)
	require.ErrorIs(t, svc.Export(ctx, actor("li"), document, io.Discard), privacy.ErrRestricted)
	require.ErrorIs(t, svc.Export(ctx, actor("li"), esign.Export{Envelope: "e1"}, io.Discard), privacy.ErrRestricted)
	require.NoError(t, svc.Export(ctx, actor("li"), esign.Export{Envelope: "e1", Digests: true}, io.Discard), "the evidence stays answerable")
}

// TestContact_T70: nobody is invited without a way to reach them.
func TestContact_T70_IsNeededBeforeAnything(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	who := w.invitee("li", 1, esign.ChannelApp)
	who.Contact.Phone = privacy.Phone{}
	_, err := svc.Create(t.Context(), actor("hr"), w.draft(svc, "e1", who))
	var field *esign.FieldError
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "recipients[0].contact.phone", field.Field)
}
