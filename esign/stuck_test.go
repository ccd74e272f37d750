package esign_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
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
