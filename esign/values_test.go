package esign_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/sms"
)

// form is a sent envelope whose signer fills these fields.
func form(t testing.TB, fields ...esign.Field) (*site, *esign.Service) {
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	for i := range fields {
		f := &fields[i]
		f.Document, f.Recipient, f.Page, f.Rect = "contract", "li", 1, [4]float64{50, 100 + 30*float64(i), 250, 120 + 30*float64(i)}
	}
	d.Fields = fields
	_, err := svc.Create(t.Context(), actor("hr"), d)
	require.NoError(t, err)
	_, err = svc.Send(t.Context(), actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	_, err = svc.Open(t.Context(), actor("li"), esign.View{ID: "o", Envelope: "e1"})
	require.NoError(t, err)
	return w, svc
}

// TestValues_T12: the code is bound to what the signer fills in: with other
// values the proof is worth nothing.
func TestValues_T12_CodeBindsThem(t *testing.T) {
	t.Parallel()
	w, svc := form(t, esign.Field{ID: "price", Type: esign.FieldNumber, Required: true}, esign.Field{ID: "place", Type: esign.FieldText, Default: "上海"})
	ctx := t.Context()
	ask := func(id string, v ...esign.FieldValue) esign.Intent {
		_, err := svc.Challenge(ctx, actor("li"), esign.Challenge{ID: id, Envelopes: []string{"e1"}, Values: v})
		require.NoError(t, err)
		_, err = svc.Deliver(ctx)
		require.NoError(t, err)
		text, ok := w.inbox.Last(phones["li"])
		require.True(t, ok)
		proof, err := svc.CheckCode(ctx, actor("li"), esign.Code{Challenge: id, Code: string(text.Code())})
		require.NoError(t, err)
		return proof
	}
	sign := func(id string, proof esign.Intent, v ...esign.FieldValue) error {
		_, err := svc.Sign(ctx, actor("li"), esign.Sign{ID: id, Envelope: "e1", Values: v, Intent: proof})
		return err
	}
	low, high := esign.FieldValue{Field: "price", Value: "100"}, esign.FieldValue{Field: "price", Value: "987654321987"}
	proof := ask("a1", low)
	require.ErrorIs(t, sign("s1", proof, high), sms.ErrProof, "another price than the one meant")
	require.ErrorIs(t, sign("s2", proof, low, esign.FieldValue{Field: "place", Value: "北京"}), sms.ErrProof, "a default that was changed")
	_, err := svc.Challenge(ctx, actor("li"), esign.Challenge{ID: "a1", Envelopes: []string{"e1"}, Values: []esign.FieldValue{high}})
	require.ErrorIs(t, err, esign.ErrIntentMismatch)
	require.NoError(t, sign("s3", proof, low, esign.FieldValue{Field: "place", Value: "上海"}), "a default given is the default")
	pdf, _ := w.verified(svc, "e1", 1)
	assert.NotContains(t, string(pdf), high.Value)
}

// TestValues_Types: what is no value of its field is refused before a code goes
// out, with the field's name and not the value.
func TestValues_TypesPatternsDefaults(t *testing.T) {
	t.Parallel()
	_, svc := form(t,
		esign.Field{ID: "number", Type: esign.FieldNumber}, esign.Field{ID: "date", Type: esign.FieldDate},
		esign.Field{ID: "id", Type: esign.FieldIDNumber}, esign.Field{ID: "phone", Type: esign.FieldPhone},
		esign.Field{ID: "mail", Type: esign.FieldEmail}, esign.Field{ID: "line", Type: esign.FieldText},
		esign.Field{ID: "lines", Type: esign.FieldMultiline}, esign.Field{ID: "code", Type: esign.FieldText, Pattern: "[A-Z]{2}-[0-9]{3}"},
		esign.Field{ID: "box", Type: esign.FieldCheckbox})
	for field, vs := range map[string][2][]string{
		"number": {{"0", "-12.5", "100000"}, {"1e9", "12,5", "１２", "0x10", ".5", strings.Repeat("9", 16)}},
		"date":   {{"2026-02-28"}, {"2026-02-30", "28.02.2026", "2026-2-3"}},
		"id":     {{"11010519491231002X"}, {"110105194912310021", "none"}},
		"phone":  {{"13800138000", "+85298765432"}, {"12345678901", "+1"}},
		"mail":   {{"a@example.com"}, {"a@", "a b@example.com"}},
		"line":   {{"一行"}, {"two\nlines", "bell\a", string([]byte{0xff})}},
		"lines":  {{"two\nlines"}, {"tab\tstop", strings.Repeat("x", 4097)}},
		"code":   {{"AB-123"}, {"AB-1234", "xAB-123", "AB-123\n"}},
		"box":    {{"Yes", "Off"}, {"true", "yes"}},
	} {
		for good, list := range vs {
			for i, v := range list {
				_, err := svc.Challenge(t.Context(), actor("li"), esign.Challenge{ID: fmt.Sprintf("%s-%d-%d", field, good, i), Envelopes: []string{"e1"},
					Values: []esign.FieldValue{{Field: field, Value: v}}})
				if good == 0 {
					assert.NotErrorIs(t, err, esign.ErrField, "%s %q", field, v)
					continue
				}
				require.ErrorIs(t, err, esign.ErrField, "%s %q", field, v)
				if len(v) > 4 {
					assert.NotContains(t, err.Error(), v)
				}
			}
		}
	}
}

// TestFields: a draft whose fields nobody could fill, or that would keep personal
// data, is refused when it is made.
func TestFields_P02_PatternsAndDefaultsOfDrafts(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	for name, c := range map[string]struct {
		field esign.Field
		path  string
	}{
		"no pattern":         {esign.Field{Type: esign.FieldText, Pattern: "("}, "pattern"},
		"a long pattern":     {esign.Field{Type: esign.FieldText, Pattern: strings.Repeat("a", 513)}, "pattern"},
		"default not of it":  {esign.Field{Type: esign.FieldText, Pattern: "[0-9]+", Default: "x"}, "default"},
		"default no number":  {esign.Field{Type: esign.FieldNumber, Default: "x"}, "default"},
		"a person's default": {esign.Field{Type: esign.FieldPhone, Default: "13800138000"}, "default"},
		"pattern of a stamp": {esign.Field{Type: esign.FieldSignDate, Pattern: "x"}, "pattern"},
	} {
		d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
		f := c.field
		f.ID, f.Document, f.Recipient, f.Page, f.Rect = "f", "contract", "li", 1, [4]float64{50, 100, 250, 120}
		d.Fields = []esign.Field{f}
		_, err := svc.Create(t.Context(), actor("hr"), d)
		var field *esign.FieldError
		require.ErrorAs(t, err, &field, name)
		assert.Equal(t, "fields[0]."+c.path, field.Field, name)
		assert.NotContains(t, err.Error(), "13800138000")
	}
}

// TestValues_Required: a default fills a required field, and an empty box is no
// answer.
func TestValues_RequiredAndDefault(t *testing.T) {
	t.Parallel()
	w, svc := form(t, esign.Field{ID: "place", Type: esign.FieldText, Required: true, Default: "上海"})
	_, err := w.sign(svc, "e1", "li")
	require.NoError(t, err)
	_, svc = form(t, esign.Field{ID: "agree", Type: esign.FieldCheckbox, Required: true})
	_, err = svc.Challenge(t.Context(), actor("li"), esign.Challenge{ID: "c", Envelopes: []string{"e1"}, Values: []esign.FieldValue{{Field: "agree", Value: "Off"}}})
	require.ErrorIs(t, err, esign.ErrField)
}

// TestMask_P02_P06: values, codes and sessions print, log and marshal masked.
func TestSend_ErrConfig_NobodyCouldGetACode(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*esign.Config){
		"no gateway": func(c *esign.Config) { c.SMS.Gateways = nil },
		"no pepper":  func(c *esign.Config) { c.SMS.Peppers = nil },
		"a template that says nothing": func(c *esign.Config) {
			c.SMS.Policy.CodeTemplate = "login"
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSite(t)
			c := w.config(w.store, w.blobs)
			change(&c)
			svc, err := esign.New(c)
			require.NoError(t, err)
			w.buy(svc, "hr")
			_, err = svc.Create(t.Context(), actor("hr"), w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp)))
			require.NoError(t, err)
			_, err = svc.Send(t.Context(), actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
			require.ErrorIs(t, err, esign.ErrConfig)
			assert.Zero(t, w.lots(svc, "hr").Held, "before any unit is held")
			env, err := svc.Get(t.Context(), actor("hr"), "e1")
			require.NoError(t, err)
			assert.Equal(t, esign.StateDraft, env.State)
		})
	}
}

// TestList: a passed deadline shows in lists at once, in its place, with no Run.
func TestList_DeadlineNeedsNoSweep(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	for i, life := range []time.Duration{0, time.Hour, 0, time.Hour} {
		w.pass(time.Minute)
		d := w.draft(svc, fmt.Sprintf("e%d", i), w.invitee("li", 1, esign.ChannelApp))
		if life > 0 {
			d.Deadline = w.clock().Add(life)
		}
		_, err := svc.Create(ctx, actor("hr"), d)
		require.NoError(t, err)
		_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s" + d.ID, Envelope: d.ID})
		require.NoError(t, err)
	}
	_, err := svc.Revoke(ctx, actor("hr"), esign.End{ID: "no", Envelope: "e0", Reason: "a wrong price"})
	require.NoError(t, err)
	list := func(who string, q esign.Query) (out []string) {
		for s, err := range svc.List(ctx, actor(who), q) {
			require.NoError(t, err)
			out = append(out, s.ID+" "+string(s.State)+" "+string(s.Row))
		}
		return out
	}
	all := func() [][]string {
		return [][]string{list("hr", esign.Query{}), list("hr", esign.Query{State: esign.StateExpired}), list("hr", esign.Query{State: esign.StateInProgress}),
			list("li", esign.Query{Inbox: true}), list("li", esign.Query{Inbox: true, Row: esign.RecipientExpired}), list("li", esign.Query{Inbox: true, Row: esign.RecipientNotified})}
	}
	w.pass(2 * time.Hour)
	before := all()
	assert.Equal(t, []string{"e3 expired ", "e1 expired "}, before[1])
	assert.Equal(t, []string{"e2 in_progress "}, before[2])
	assert.Equal(t, []string{"e3 expired expired", "e1 expired expired"}, before[4])
	assert.Equal(t, []string{"e2 in_progress notified"}, before[5])
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	assert.Equal(t, before, all(), "booking changes no answer")
}

// TestVisible: a row learns nothing of documents that are not for it.
func TestVisible_P02_DocumentsOfOthers(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	docs, err := svc.Upload(ctx, actor("hr"), esign.Upload{Files: []esign.File{{ID: "offer", Body: strings.NewReader(string(contract()))},
		{ID: "dismissal", Body: strings.NewReader(string(contract()))}}})
	require.NoError(t, err)
	li, wang := w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 1, esign.ChannelApp)
	li.Documents, wang.Documents = []string{"offer"}, []string{"dismissal"}
	d := esign.Draft{ID: "e1", Documents: docs, Recipients: []esign.Invitee{li, wang}, Fields: []esign.Field{
		{ID: "reason", Document: "dismissal", Recipient: "wang", Type: esign.FieldText, Page: 1, Rect: [4]float64{50, 100, 250, 120}}}}
	_, err = svc.Create(ctx, actor("hr"), d)
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	hidden := func(env esign.Envelope, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Len(t, env.Documents, 1)
		assert.NotContains(t, fmt.Sprintf("%+v", env), "dismissal")
		assert.NotContains(t, fmt.Sprintf("%+v", env), "reason")
	}
	hidden(svc.Get(ctx, actor("li"), "e1"))
	seen, err := svc.Open(ctx, actor("li"), esign.View{ID: "o", Envelope: "e1"})
	hidden(seen.Envelope, err)
	done, err := w.sign(svc, "e1", "li")
	hidden(done.Envelope, err)
	env, err := svc.Get(ctx, actor("hr"), "e1")
	require.NoError(t, err)
	assert.Len(t, env.Documents, 2)
	_, err = svc.Open(ctx, actor("wang"), esign.View{ID: "ow", Envelope: "e1"})
	require.NoError(t, err)
	ended, err := svc.Decline(ctx, actor("wang"), esign.End{ID: "no", Envelope: "e1", Reason: "no"})
	require.NoError(t, err)
	require.Len(t, ended.Documents, 1)
	assert.Equal(t, "dismissal", ended.Documents[0].ID)
}

// TestDraft_Repeat: calls repeated late change nothing, whatever came between.
func TestDraft_RepeatsAfterEditAndDiscard(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	draft := func(title, request string) esign.Draft {
		d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
		d.Title, d.Request = title, request
		return d
	}
	_, err := svc.Create(ctx, actor("hr"), draft("one", ""))
	require.NoError(t, err)
	_, err = svc.Edit(ctx, actor("hr"), draft("two", ""))
	require.NoError(t, err)
	env, err := svc.Create(ctx, actor("hr"), draft("one", ""))
	require.NoError(t, err, "a repeated Create answers with what there is")
	assert.Equal(t, "two", env.Title)
	_, err = svc.Edit(ctx, actor("hr"), draft("one", ""))
	require.ErrorIs(t, err, esign.ErrStaleRevision, "a change back, or a repeat: nobody can tell")
	env, err = svc.Edit(ctx, actor("hr"), draft("one", "back"))
	require.NoError(t, err, "with a request of its own it is a change back")
	assert.Equal(t, "one", env.Title)
	_, err = svc.Edit(ctx, actor("hr"), draft("three", "on"))
	require.NoError(t, err)
	again, err := svc.Edit(ctx, actor("hr"), draft("one", "back"))
	require.NoError(t, err)
	assert.Equal(t, env, again, "repeated, it answers as it did")
	env, err = svc.Get(ctx, actor("hr"), "e1")
	require.NoError(t, err)
	assert.Equal(t, "three", env.Title, "and changes nothing")
	_, err = svc.Edit(ctx, actor("hr"), draft("four", "back"))
	require.ErrorIs(t, err, esign.ErrIntentMismatch)

	_, err = svc.Discard(ctx, actor("hr"), esign.End{ID: "no", Envelope: "e1"})
	require.NoError(t, err)
	_, err = svc.Create(ctx, actor("hr"), draft("one", ""))
	require.ErrorIs(t, err, esign.ErrState, "a repeat does not bring back what was discarded")
	_, err = svc.Create(ctx, actor("hr"), draft("five", ""))
	require.NoError(t, err, "the id is free for another")
	_, err = svc.Discard(ctx, actor("hr"), esign.End{ID: "no2", Envelope: "e1"})
	require.NoError(t, err)
	for _, title := range []string{"one", "five"} {
		_, err = svc.Create(ctx, actor("hr"), draft(title, ""))
		require.ErrorIs(t, err, esign.ErrState)
	}
}
