package esign_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
)

func TestValidate(t *testing.T) {
	long := strings.Repeat("x", 65)
	edit := func(i int, f func(*esign.Recipient)) func(*esign.Envelope) {
		return func(e *esign.Envelope) { f(&e.Recipients[i]) }
	}
	field := func(f esign.Field) func(*esign.Envelope) {
		return func(e *esign.Envelope) { e.Fields = []esign.Field{f} }
	}
	stage := func(s esign.Stage) func(*esign.Envelope) {
		return func(e *esign.Envelope) { e.Stages = []esign.Stage{s} }
	}
	tests := []struct {
		field  string
		change func(*esign.Envelope)
	}{
		{"", func(*esign.Envelope) {}},
		{"tenant", func(e *esign.Envelope) { e.Tenant = "" }},
		{"id", func(e *esign.Envelope) { e.ID = "" }},
		{"id", func(e *esign.Envelope) { e.ID = long }},
		{"id", func(e *esign.Envelope) { e.ID = "a/b" }},
		{"id", func(e *esign.Envelope) { e.ID = "a\x00" }},
		{"id", func(e *esign.Envelope) { e.ID = "\xff" }},
		{"", func(e *esign.Envelope) { e.ID = long[:64] }},
		{"kind", func(e *esign.Envelope) { e.Kind = "other" }},
		{"owner.account", func(e *esign.Envelope) { e.Owner = esign.Party{} }},
		{"title", func(e *esign.Envelope) { e.Title = strings.Repeat("合", 201) }},
		{"", func(e *esign.Envelope) { e.Title = strings.Repeat("合", 200) }},
		{"terminates", func(e *esign.Envelope) { e.Terminates = e.ID }},
		{"documents", func(e *esign.Envelope) { e.Documents = nil }},
		{"documents", func(e *esign.Envelope) {
			for i := range 20 {
				d := e.Documents[0]
				d.ID = fmt.Sprint("d", i)
				e.Documents = append(e.Documents, d)
			}
		}},
		{"documents[1].id", func(e *esign.Envelope) { e.Documents = append(e.Documents, e.Documents[0]) }},
		{"documents[0].segments", func(e *esign.Envelope) { e.Documents[0].Segments = nil }},
		{"recipients", func(e *esign.Envelope) { e.Recipients = e.Recipients[2:] }},
		{"recipients[0].id", edit(0, func(r *esign.Recipient) { r.ID = long })},
		{"recipients[1].id", edit(1, func(r *esign.Recipient) { r.ID = "li" })},
		{"recipients[0].role", edit(0, func(r *esign.Recipient) { r.Role = "king" })},
		{"recipients[0].order", edit(0, func(r *esign.Recipient) { r.Order = 0 })},
		{"recipients[0].order", edit(0, func(r *esign.Recipient) { r.Order = -1 })},
		{"recipients[2].order", edit(2, func(r *esign.Recipient) { r.Order = 1 })},
		{"recipients[2].role", edit(2, func(r *esign.Recipient) { r.Party.Account = "li" })},
		{"recipients[0].timing", edit(0, func(r *esign.Recipient) { r.Timing = esign.AtEnd })},
		{"recipients[0].party.org", edit(0, func(r *esign.Recipient) { r.Role = esign.RoleOperator })},
		{"recipients[0].channel", edit(0, func(r *esign.Recipient) { r.Channel = "" })},
		{"recipients[0].channel", edit(0, func(r *esign.Recipient) { r.Channel = "pigeon" })},
		{"", edit(0, func(r *esign.Recipient) { r.Channel = "ding" })},
		{"recipients[0].consent", edit(0, func(r *esign.Recipient) { r.Consent = "" })},
		{"recipients[0].consent", edit(0, func(r *esign.Recipient) { r.Consent = "surely" })},
		{"recipients[0].sign", edit(0, func(r *esign.Recipient) { r.View.MinIdentity = "I1" })},
		{"recipients[0].sign", edit(0, func(r *esign.Recipient) { r.Sign.MinIdentity = "I9" })},
		{"recipients[0].documents[0]", edit(0, func(r *esign.Recipient) { r.Documents = []string{"other"} })},
		{"recipients[0].deadline", edit(0, func(r *esign.Recipient) { r.Deadline = t0 })},
		{"recipients[0].deadline", edit(0, func(r *esign.Recipient) { r.Deadline = t0.AddDate(0, 0, 91) })},
		{"recipients[0].deadline", func(e *esign.Envelope) {
			e.Recipients[0].Deadline, e.Recipients[1].Deadline = t0.Add(2*time.Hour), t0.Add(time.Hour)
		}},
		{"", func(e *esign.Envelope) {
			e.Recipients[0].Deadline, e.Recipients[1].Deadline = t0.Add(time.Hour), t0.Add(time.Hour)
		}},
		{"recipients[2].deadline", edit(2, func(r *esign.Recipient) { r.Deadline = t0.Add(time.Hour) })},
		{"recipients[0].gate.approvers", edit(0, gate(esign.Gate{}))},
		{"recipients[0].gate.approvers[1]", edit(0, gate(esign.Gate{Approvers: []string{"a", "a"}}))},
		{"recipients[0].gate.k", edit(0, gate(esign.Gate{Approvers: []string{"a"}, Rule: esign.K, K: 2}))},
		{"recipients[2].gate", edit(2, gate(esign.Gate{Approvers: []string{"a"}}))},
		{"review.rule", func(e *esign.Envelope) { e.Review = &esign.Gate{Approvers: []string{"a"}, Rule: "most"} }},
		{"stages[0].order", stage(esign.Stage{})},
		{"stages[0].rule", stage(esign.Stage{Order: 1, Rule: "most"})},
		{"stages[0].k", stage(esign.Stage{Order: 1, Rule: esign.K, K: 2})},
		{"stages[0].k", stage(esign.Stage{Order: 1, Rule: esign.Any, K: 1})},
		{"", stage(esign.Stage{Order: 1, Rule: esign.K, K: 1})},
		{"stages[1].order", func(e *esign.Envelope) { e.Stages = []esign.Stage{{Order: 1}, {Order: 1}} }},
		{"recipients[0].role", func(e *esign.Envelope) {
			e.Stages = []esign.Stage{{Order: 1, Rule: esign.Any}}
			e.Recipients[0].Role, e.Recipients[0].Party.Org = esign.RoleSilent, "acme"
		}},
		{"recipients[1].role", func(e *esign.Envelope) {
			e.Stages = []esign.Stage{{Order: 1, Rule: esign.Any}}
			e.Recipients[1].Order, e.Recipients[1].Role = 1, esign.RoleRepresentative
		}},
		{"recipients[1].party", func(e *esign.Envelope) {
			for i, o := range []string{"acme", "other"} {
				e.Recipients[i].Role, e.Recipients[i].Order = esign.RoleOperator, 1
				e.Recipients[i].Party = esign.Party{Account: "li", Org: o}
			}
		}},
		{"deadline", func(e *esign.Envelope) { e.Deadline = t0 }},
		{"", func(e *esign.Envelope) { e.Deadline = t0.Add(us) }},
		{"", func(e *esign.Envelope) { e.Deadline = t0.Add(365 * 24 * time.Hour) }},
		{"deadline", func(e *esign.Envelope) { e.Deadline = t0.Add(365*24*time.Hour + us) }},
		{"fields[0].document", field(esign.Field{ID: "f", Document: "other", Recipient: "li", Type: esign.FieldText})},
		{"fields[0].recipient", field(esign.Field{ID: "f", Document: "nda", Recipient: "nobody", Type: esign.FieldText})},
		{"fields[0].recipient", field(esign.Field{ID: "f", Document: "nda", Recipient: "cc", Type: esign.FieldText})},
		{"fields[0].type", field(esign.Field{ID: "f", Document: "nda", Recipient: "li", Type: "hologram"})},
		{"fields[0].fill", field(esign.Field{ID: "f", Document: "nda", Recipient: "li", Type: esign.FieldSignature, Fill: true})},
		{"", field(esign.Field{ID: "f", Document: "nda", Recipient: "li", Type: esign.FieldSignature})},
	}
	for i, test := range tests {
		t.Run(fmt.Sprint(i, " ", test.field), func(t *testing.T) {
			e := *draft(signer("li", 1), signer("wang", 2), signer("cc", 0, role(esign.RoleCC)))
			for i := range e.Recipients {
				e.Recipients[i].State = esign.RecipientPending
			}
			test.change(&e)
			err := esign.Validate(e, []esign.Channel{"ding"}, t0)
			if test.field == "" {
				require.NoError(t, err)
				return
			}
			var f *esign.FieldError
			require.ErrorAs(t, err, &f)
			assert.Equal(t, test.field, f.Field, f.Why)
		})
	}
}

func TestValidateD02UndeclaredChannel(t *testing.T) {
	w := create(t, draft(signer("li", 1)))
	d := draft(signer("li", 1, by("pigeon")))
	err := w.try(esign.Command{Op: esign.OpEdit, By: esign.WhoOwner, Draft: d})
	require.ErrorIs(t, err, esign.ErrUnknownChannel)
	require.ErrorIs(t, err, esign.ErrField)
	assert.Equal(t, "unknown_channel", esign.ErrorCode(err))
	w.must(esign.Command{Op: esign.OpEdit, By: esign.WhoOwner, Draft: d, Channels: []esign.Channel{"pigeon"}})
	require.ErrorIs(t, w.try(esign.Command{Op: esign.OpSend, By: esign.WhoOwner}), esign.ErrUnknownChannel, "no silent default")
}

func TestReasonD05(t *testing.T) {
	for reason, ok := range map[string]bool{"": false, "  ": false, "x": true, strings.Repeat("因", 200): true, strings.Repeat("因", 201): false, "\xff": false} {
		for _, op := range []esign.Op{esign.OpRevoke, esign.OpClose, esign.OpDecline} {
			w := sent(t, draft(signer("li", 1)))
			c := w.declining("li")
			if op != esign.OpDecline {
				c = w.ending(op)
			}
			c.Reason = reason
			err := w.try(c)
			if ok {
				require.NoError(t, err)
				continue
			}
			var f *esign.FieldError
			require.ErrorAs(t, err, &f)
			assert.Equal(t, "reason", f.Field)
		}
	}
}

func TestSendNeedsH01H25D16(t *testing.T) {
	reviewed, filled := draft(signer("li", 1)), draft(signer("li", 1))
	reviewed.Review = &esign.Gate{Approvers: []string{"boss"}}
	filled.Fields = []esign.Field{fill("f", "li")}
	for _, d := range []*esign.Envelope{draft(signer("li", 1)), reviewed, filled} {
		send := esign.Command{Op: esign.OpSend, By: esign.WhoOwner}
		for _, test := range []struct {
			cleared esign.Cleared
			want    error
		}{
			{esign.Cleared{Content: true, Templates: true}, esign.ErrTermsNotAccepted},
			{esign.Cleared{Terms: true, Templates: true}, esign.ErrScreened},
			{esign.Cleared{Terms: true, Content: true}, esign.ErrTemplateNotApproved},
		} {
			w := create(t, d)
			send.Cleared = test.cleared
			require.ErrorIs(t, w.try(send), test.want)
		}
		send.Cleared = esign.Cleared{Terms: true, Content: true, Templates: true}
		w := create(t, d)
		w.env.Recipients[0].Consent = ""
		require.ErrorIs(t, w.try(send), esign.ErrField, "S10: no consent, no message")
		w.env.Recipients[0].Consent = "surely"
		require.ErrorIs(t, w.try(send), esign.ErrField)
	}
	w := create(t, draft())
	require.ErrorIs(t, w.try(esign.Command{Op: esign.OpSend, By: esign.WhoOwner}), esign.ErrField, "a draft may be unfinished, a Send not")
	wrong := draft(signer("li", 1))
	wrong.ID = ""
	w = &world{t: t, now: t0}
	require.ErrorIs(t, w.try(esign.Command{Op: esign.OpCreate, By: esign.WhoOwner, Draft: wrong}), esign.ErrField)
}
