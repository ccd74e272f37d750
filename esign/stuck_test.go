package esign_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/privacy"
)

// TestNames: whatever ids a caller chose, the fields of the base revision have
// names of their own, and the envelope comes to its end.
func TestNames_AnyIdsSign(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	long := strings.Repeat("x", 64)
	row := func(id, who string) esign.Invitee {
		i := w.invitee(who, 1, esign.ChannelApp)
		i.ID = id
		return i
	}
	for n, c := range []struct {
		id     string
		rows   []esign.Invitee
		fields []esign.Field
	}{
		{"dots", []esign.Invitee{row("li@a.example", "li")}, nil},
		{"hyphens", []esign.Invitee{row("a-b", "li"), row("a", "wang")}, []esign.Field{{ID: "c", Recipient: "a-b"}, {ID: "b-c", Recipient: "a"}}},
		{"invisible", []esign.Invitee{row("li", "li")}, []esign.Field{{ID: "signature", Recipient: "li"}}},
		{long, []esign.Invitee{row(long, "li")}, nil},
	} {
		d := w.draft(svc, c.id, c.rows...)
		for i, f := range c.fields {
			f.Document, f.Page, f.Type, f.Rect = "contract", 1, esign.FieldText, [4]float64{50, 100 + float64(40*i), 150, 130 + float64(40*i)}
			d.Fields = append(d.Fields, f)
		}
		_, err := svc.Create(ctx, actor("hr"), d)
		require.NoError(t, err, c.id)
		_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: fmt.Sprint("send-", n), Envelope: c.id})
		require.NoError(t, err, c.id)
		for _, r := range c.rows {
			who := actor(r.Party.Account)
			_, err := svc.Open(ctx, who, esign.View{ID: fmt.Sprint("open-", n, r.Party.Account), Envelope: c.id})
			require.NoError(t, err, c.id)
			ask, err := svc.Challenge(ctx, who, esign.Challenge{ID: fmt.Sprint("ask-", n, r.Party.Account), Envelopes: []string{c.id}})
			require.NoError(t, err, c.id)
			_, err = svc.Deliver(ctx)
			require.NoError(t, err)
			text, _ := w.inbox.Last(phones[r.Party.Account])
			proof, err := svc.CheckCode(ctx, who, esign.Code{Challenge: ask.ID, Code: string(text.Code())})
			require.NoError(t, err)
			_, err = svc.Sign(ctx, who, esign.Sign{ID: fmt.Sprint("sign-", n, r.Party.Account), Envelope: c.id, Intent: proof})
			require.NoError(t, err, c.id)
		}
		w.verified(svc, c.id, len(c.rows))
		w.pass(1e12)
	}
}

// TestUnsignedDocument: a document that nobody signs keeps no envelope from
// its end.
func TestUnsignedDocument_Completes(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	docs, err := svc.Upload(ctx, actor("hr"), esign.Upload{Files: []esign.File{{ID: "contract", Body: bytes.NewReader(contract())},
		{ID: "annex", Body: bytes.NewReader(contract())}}})
	require.NoError(t, err)
	li := w.invitee("li", 1, esign.ChannelApp)
	li.Documents = []string{"contract"}
	_, err = svc.Create(ctx, actor("hr"), esign.Draft{ID: "e1", Documents: docs, Recipients: []esign.Invitee{li}})
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	done, err := w.sign(svc, "e1", "li")
	require.NoError(t, err)
	assert.Equal(t, esign.StateCompleted, done.Envelope.State)
	w.verified(svc, "e1", 1)
	require.ErrorIs(t, svc.Export(ctx, actor("li"), esign.Export{Envelope: "e1", Document: "annex"}, new(bytes.Buffer)), esign.ErrNotFound)
}

// TestDrafts_Stuck: what nobody could ever sign is refused before it costs units.
func TestDrafts_WhatNobodyCouldSignIsRefused(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	field := esign.Field{ID: "f", Document: "contract", Recipient: "li", Type: esign.FieldText, Page: 1, Rect: [4]float64{10, 10, 90, 30}}
	mail, err := privacy.NewEmail("li@example.com")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*esign.Draft)
		want   error
	}{
		"no telephone":        {func(d *esign.Draft) { d.Recipients[0].Contact.Phone = privacy.Phone{} }, esign.ErrField},
		"an e-mail alone":     {func(d *esign.Draft) { d.Recipients[0].Contact = esign.Contact{Email: mail} }, esign.ErrField},
		"existing form field": {func(d *esign.Draft) { f := field; f.Form = "Text1"; d.Fields = []esign.Field{f} }, esign.ErrNotOffered},
		"line, not a box": {func(d *esign.Draft) {
			f := field
			f.Type, f.Rect = esign.FieldSignature, [4]float64{10, 10, 90, 10}
			d.Fields = []esign.Field{f}
		}, esign.ErrField},
		"a box too large": {func(d *esign.Draft) {
			f := field
			f.Type, f.Rect = esign.FieldSignature, [4]float64{0, 0, 2000, 2000}
			d.Fields = []esign.Field{f}
		}, esign.ErrField},
	} {
		d := w.draft(svc, "e-"+strings.ReplaceAll(name, " ", "-"), w.invitee("li", 1, esign.ChannelApp))
		c.change(&d)
		_, err := svc.Create(t.Context(), actor("hr"), d)
		assert.ErrorIs(t, err, c.want, name)
	}
	// The number is what codes go to, also where invitations go by e-mail.
	d := w.draft(svc, "both", w.invitee("li", 1, esign.ChannelApp))
	d.Recipients[0].Contact.Email = mail
	env, err := svc.Create(t.Context(), actor("hr"), d)
	require.NoError(t, err)
	assert.Equal(t, privacy.FieldPhone, env.Recipients[0].Address.Field)
}
