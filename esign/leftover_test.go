package esign_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
)

func (w *site) blobCount() int {
	w.t.Helper()
	ids, err := w.blobs.List(w.t.Context(), "", 1000)
	require.NoError(w.t, err)
	return len(ids)
}

// A fickle key source fails on its second signature.
type fickle struct {
	esign.KeySource
	n int
}

func (f *fickle) Key(ctx context.Context, r esign.KeyRequest) (crypto.Signer, []*x509.Certificate, error) {
	s, chain, err := f.KeySource.Key(ctx, r)
	return &fickleSigner{s, f}, chain, err
}

type fickleSigner struct {
	crypto.Signer
	f *fickle
}

func (s *fickleSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if s.f.n++; s.f.n > 1 {
		return nil, errors.New("the module is offline")
	}
	return s.Signer.Sign(r, digest, o)
}

// TestLeftovers: what fails leaves no blob behind.
func TestLeftovers_OfUploadAndSign(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	c := w.config(w.store, w.blobs)
	c.Keys = &fickle{KeySource: w.keys}
	svc, err := esign.New(c)
	require.NoError(t, err)
	ctx := t.Context()
	w.buy(svc, "hr")
	two := func(second string) []esign.File {
		return []esign.File{{ID: "contract", Body: bytes.NewReader(contract())}, {ID: "annex", Body: strings.NewReader(second)}}
	}
	_, err = svc.Upload(ctx, actor("hr"), esign.Upload{Files: two("no PDF")})
	require.Error(t, err)
	assert.Zero(t, w.blobCount(), "all files or none")
	docs, err := svc.Upload(ctx, actor("hr"), esign.Upload{Files: two(string(contract()))})
	require.NoError(t, err)
	_, err = svc.Create(ctx, actor("hr"), esign.Draft{ID: "e1", Documents: docs, Recipients: []esign.Invitee{w.invitee("li", 1, esign.ChannelApp)}})
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	proof, err := w.intent(svc, "e1", "li")
	require.NoError(t, err)
	before := w.blobCount()
	_, err = svc.Sign(ctx, actor("li"), esign.Sign{ID: "sign", Envelope: "e1", Intent: proof})
	require.Error(t, err)
	assert.Equal(t, before, w.blobCount(), "the first document's signature is not kept")
}

// TestSweepBlobs_Shared: a document that two envelopes name stays while one of
// them does; and it is its sender's: nobody else makes an envelope of it.
func TestSweepBlobs_SharedDocumentStays(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	_, err := svc.Create(ctx, actor("hr"), d)
	require.NoError(t, err)
	stolen := d
	stolen.ID = "e3"
	_, err = svc.Create(ctx, actor("li"), stolen)
	require.ErrorIs(t, err, esign.ErrField, "li saw the reference in an envelope")
	d.ID = "e2"
	_, err = svc.Create(ctx, actor("hr"), d)
	require.NoError(t, err)
	_, err = svc.Discard(ctx, actor("hr"), esign.End{ID: "no", Envelope: "e1"})
	require.NoError(t, err)
	w.pass(8 * 24 * time.Hour)
	n, err := svc.SweepBlobs(ctx)
	require.NoError(t, err)
	assert.Zero(t, n)
	d.Title = "Service agreement, second version"
	_, err = svc.Edit(ctx, actor("hr"), d)
	require.NoError(t, err, "an old draft keeps its documents")
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e2"})
	require.NoError(t, err)
	_, err = w.sign(svc, "e2", "li")
	require.NoError(t, err)
	_, err = svc.Create(ctx, actor("hr"), w.draft(svc, "e4", w.invitee("li", 1, esign.ChannelApp)))
	require.NoError(t, err)
	_, err = svc.Discard(ctx, actor("hr"), esign.End{ID: "no4", Envelope: "e4"})
	require.NoError(t, err)
	w.pass(8 * 24 * time.Hour)
	n, err = svc.SweepBlobs(ctx)
	require.NoError(t, err)
	assert.Equal(t, 1, n, "nobody names it any more")
}
