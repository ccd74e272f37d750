package esign_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/storage"
)

var t0 = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

const us = time.Microsecond

// draft is an envelope of one document and the given rows.
func draft(rows ...esign.Recipient) *esign.Envelope {
	e := &esign.Envelope{
		Tenant: "acme", ID: "nda-17", Kind: esign.Ordinary, Owner: esign.Party{Account: "hr", Org: "acme"}, Title: "NDA",
		Documents: []esign.Document{{ID: "nda", Segments: storage.Segments{{Blob: "up", Size: 10, SHA256: storage.Hex{1}}}, Pages: 1}},
	}
	e.Recipients = rows
	return e
}

// signer is a person who is invited by WeChat.
func signer(id string, order int, with ...func(*esign.Recipient)) esign.Recipient {
	r := esign.Recipient{ID: id, Order: order, Role: esign.RolePerson, Party: esign.Party{Account: id},
		Channel: esign.ChannelWeChat, Consent: esign.ConsentStaff}
	for _, f := range with {
		f(&r)
	}
	return r
}

func role(x esign.Role) func(*esign.Recipient)  { return func(r *esign.Recipient) { r.Role = x } }
func by(c esign.Channel) func(*esign.Recipient) { return func(r *esign.Recipient) { r.Channel = c } }
func until(d time.Time) func(*esign.Recipient)  { return func(r *esign.Recipient) { r.Deadline = d } }
func org(o string) func(*esign.Recipient)       { return func(r *esign.Recipient) { r.Party.Org = o } }
func gate(g esign.Gate) func(*esign.Recipient)  { return func(r *esign.Recipient) { r.Gate = &g } }
func fill(id, row string) esign.Field {
	return esign.Field{ID: id, Document: "nda", Recipient: row, Type: esign.FieldText, Fill: true, Required: true}
}

var shown = esign.Facts{Viewable: true, Read: true, Uploaded: true, Identified: true, Level: "I3", Certificate: true}

// A world is an envelope on its way, with everything that came of it.
type world struct {
	t       require.TestingT
	env     esign.Envelope
	now     time.Time
	events  []esign.Event
	effects []esign.Effect
	blobs   int
}

func create(t require.TestingT, d *esign.Envelope) *world {
	w := &world{t: t, now: t0}
	w.must(esign.Command{Op: esign.OpCreate, By: esign.WhoOwner, Draft: d})
	return w
}

// sent is a draft that was sent, with its base revision made.
func sent(t require.TestingT, d *esign.Envelope) *world {
	w := create(t, d)
	w.send()
	w.render()
	return w
}

// try applies a command and checks what every answer owes: a refusal has a code
// and changes nothing; nothing writes to the envelope it was given.
func (w *world) try(c esign.Command) error {
	before := encode(w.t, w.env)
	env, events, effects, err := esign.Apply(w.env, c, w.now)
	require.Equal(w.t, before, encode(w.t, w.env), "Apply wrote to its argument")
	if err != nil {
		require.NotEmpty(w.t, esign.ErrorCode(err), "%v has no code", err)
		require.Equal(w.t, before, encode(w.t, env), "a refusal changed the envelope")
		require.Empty(w.t, events)
		require.Empty(w.t, effects)
		return err
	}
	w.env = env
	w.events = append(w.events, events...)
	w.effects = append(w.effects, effects...)
	return nil
}

func (w *world) must(c esign.Command) {
	if h, ok := w.t.(interface{ Helper() }); ok {
		h.Helper()
	}
	require.NoError(w.t, w.try(c), "%s", c.Op)
}

func (w *world) do(op esign.Op, who esign.Who) { w.must(esign.Command{Op: op, By: who}) }

func (w *world) send() {
	w.must(esign.Command{Op: esign.OpSend, By: esign.WhoOwner, Cleared: esign.Cleared{Terms: true, Content: true, Templates: true},
		Line: esign.LineRef{Hold: "h", Units: 1, Reason: "unit", Payer: "hr"}})
}

func (w *world) render() {
	if w.env.State != esign.StateInProgress {
		return
	}
	w.must(w.rendering())
}

func (w *world) rendering() esign.Command {
	docs := slices.Clone(w.env.Documents)
	for i := range docs {
		w.blobs++
		docs[i].Base = fmt.Sprintf("base%d", w.blobs)
	}
	return esign.Command{Op: esign.OpRender, By: esign.WhoSystem, Documents: docs}
}

// grown is the row's documents with one increment more.
func (w *world) grown(id string) []esign.Document {
	var docs []esign.Document
	r, _ := w.env.Recipient(id)
	for _, d := range w.env.Documents {
		if len(r.Documents) > 0 && !slices.Contains(r.Documents, d.ID) {
			continue
		}
		w.blobs++
		d.Segments = append(slices.Clone(d.Segments), storage.Segment{Blob: fmt.Sprintf("inc%d", w.blobs), Size: 1, SHA256: storage.Hex{2}})
		docs = append(docs, d)
	}
	return docs
}

func (w *world) opening(id string) esign.Command {
	return esign.Command{Op: esign.OpOpen, By: esign.WhoRecipient, Recipient: id, Facts: shown}
}

func (w *world) signing(id string) esign.Command {
	return esign.Command{Op: esign.OpSign, By: esign.WhoRecipient, Recipient: id, Intent: true, Seal: true, Documents: w.grown(id),
		Line: esign.LineRef{Hold: "pay", Units: 1, Payer: id}}
}

func (w *world) declining(id string) esign.Command {
	return esign.Command{Op: esign.OpDecline, By: esign.WhoRecipient, Recipient: id, Reason: "no"}
}

func (w *world) ending(op esign.Op) esign.Command {
	return esign.Command{Op: op, By: esign.WhoOwner, Reason: "typo"}
}

func (w *world) open(id string) { w.must(w.opening(id)) }

// sign opens and signs.
func (w *world) sign(ids ...string) {
	for _, id := range ids {
		if w.row(id).State != esign.RecipientReady {
			w.open(id)
		}
		w.must(w.signing(id))
	}
}

func (w *world) finalize() { w.do(esign.OpFinalized, esign.WhoSystem) }
func (w *world) sweep()    { w.do(esign.OpSweep, esign.WhoSystem) }

func (w *world) row(id string) esign.Recipient {
	r, ok := w.env.Recipient(id)
	require.True(w.t, ok, "no row %s", id)
	return r
}

func (w *world) is(s esign.State) { assert.Equal(w.t, s, w.env.State) }
func (w *world) rowIs(id string, s esign.RecipientState) {
	assert.Equal(w.t, s, w.row(id).State, "row %s", id)
}

// happened are the types of the events, "type:row" for those about a row.
func (w *world) happened() []string {
	var out []string
	for _, e := range w.events {
		if e.Recipient != "" {
			out = append(out, e.Type+":"+e.Recipient)
		} else {
			out = append(out, e.Type)
		}
	}
	return out
}

// units are the effects on units, as "kind:cause:slot".
func (w *world) units() []string {
	var out []string
	for _, e := range w.effects {
		switch e.Kind {
		case esign.EffectHold, esign.EffectCapture, esign.EffectCharge, esign.EffectSettle:
			for _, l := range e.Lines {
				s := string(e.Kind) + ":"
				if e.Cause != "" {
					s += string(e.Cause) + ":"
				}
				out = append(out, s+l.Slot)
			}
		case esign.EffectMark:
			out = append(out, "mark:"+string(e.Channel)+":"+e.Lines[0].Slot)
		}
	}
	return out
}

// told are who was told of an event: rows, "owner" and accounts of approvers.
func (w *world) told(what string) []string {
	var out []string
	for _, e := range w.effects {
		if e.Kind != esign.EffectNotify || e.What != what {
			continue
		}
		switch {
		case e.Owner:
			out = append(out, "owner")
		case e.Approver != "":
			out = append(out, "@"+e.Approver)
		default:
			out = append(out, e.Recipient)
		}
	}
	return out
}

func (w *world) count(kind esign.EffectKind) int {
	n := 0
	for _, e := range w.effects {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// forget drops what came so far, so that the next step can be looked at alone.
func (w *world) forget() { w.events, w.effects = nil, nil }

func (w *world) copy() *world {
	c := *w
	c.events, c.effects = slices.Clone(w.events), slices.Clone(w.effects)
	return &c
}

func encode(t require.TestingT, v any) string {
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

func TestMachineSequence(t *testing.T) {
	w := create(t, draft(signer("li", 1), signer("wang", 2, by(esign.ChannelSMS)), signer("cc", 0, role(esign.RoleCC)),
		signer("late", 0, role(esign.RoleCC), func(r *esign.Recipient) { r.Timing = esign.AtEnd })))
	w.is(esign.StateDraft)
	w.send()
	w.is(esign.StateInProgress)
	assert.Equal(t, 1, w.env.Open)
	assert.Equal(t, t0.Add(90*24*time.Hour), w.env.Deadline)
	assert.Equal(t, []string{"envelope.created", "envelope.sent", "recipient.invited:li", "recipient.invited:cc"}, w.happened())
	assert.Equal(t, []string{"hold:li", "hold:wang", "mark:wechat:li"}, w.units(), "H45 D07: a line per signer, none for a copy")
	w.rowIs("wang", esign.RecipientPending)
	require.ErrorIs(t, w.try(w.opening("li")), nil)
	w.rowIs("li", esign.RecipientReady)
	require.ErrorIs(t, w.try(w.signing("li")), esign.ErrNotReady, "no base revision yet (E21)")
	w.render()
	require.ErrorIs(t, w.try(w.rendering()), esign.ErrState, "the base is made once")
	w.forget()
	w.sign("li")
	assert.Equal(t, []string{"recipient.signed:li", "recipient.invited:wang"}, w.happened())
	assert.Equal(t, []string{"capture:li", "mark:sms:wang"}, w.units())
	assert.Equal(t, []string{"owner"}, w.told("recipient.signed"))
	assert.Equal(t, 2, w.env.Open)
	w.forget()
	w.sign("wang")
	w.is(esign.StateFinalizing)
	assert.Equal(t, 1, w.count(esign.EffectFinalize))
	assert.Zero(t, w.count(esign.EffectSeal))
	w.forget()
	w.finalize()
	w.is(esign.StateCompleted)
	assert.Equal(t, esign.CauseCompleted, w.env.Cause)
	assert.Equal(t, []string{"envelope.completed", "recipient.invited:late"}, w.happened())
	assert.Equal(t, esign.EffectSeal, w.effects[len(w.effects)-1].Kind, "the chain seal comes last")
	assert.ElementsMatch(t, []string{"li", "wang", "cc", "owner"}, w.told("envelope.completed"))
	assert.Len(t, w.env.Documents[0].Segments, 3)
}

func TestMachineParallel(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("wang", 1)))
	w.open("li")
	w.open("wang")
	first, second := w.signing("li"), w.signing("wang")
	w.must(second)
	require.ErrorIs(t, w.try(first), esign.ErrStaleRevision, "hard case 13: whoever lost the race signs the newer revision")
	w.must(w.signing("li"))
	w.is(esign.StateFinalizing)
}

func TestMachineJSON(t *testing.T) {
	w := sent(t, draft(signer("li", 1, gate(esign.Gate{Approvers: []string{"boss"}})), signer("wang", 2, until(t0.Add(time.Hour)))))
	w.open("li")
	var back esign.Envelope
	require.NoError(t, json.Unmarshal([]byte(encode(t, w.env)), &back))
	assert.True(t, reflect.DeepEqual(w.env, back), "the record does not come back as it was stored")
}
