package esign_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
)

// Single rules, by the ids of testdata/machine.md.

func TestE1CreateAgain(t *testing.T) {
	d := draft(signer("li", 1))
	w := create(t, d)
	w.now = w.now.Add(time.Hour)
	w.forget()
	before := encode(t, w.env)
	w.must(esign.Command{Op: esign.OpCreate, By: esign.WhoOwner, Draft: d})
	w.sweep()
	assert.Empty(t, w.events, "the same content again changes nothing")
	assert.Equal(t, before, encode(t, w.env), "nor does a sweep that finds nothing")
	other := draft(signer("li", 1))
	other.Title = "Other"
	require.ErrorIs(t, w.try(esign.Command{Op: esign.OpCreate, By: esign.WhoOwner, Draft: other}), esign.ErrIntentMismatch)
	w.send()
	require.ErrorIs(t, w.try(esign.Command{Op: esign.OpCreate, By: esign.WhoOwner, Draft: d}), esign.ErrIntentMismatch)
}

func TestE2DraftIsTheSendersContentOnly(t *testing.T) {
	d := draft(signer("li", 1))
	d.State, d.Release, d.Cause = esign.StateCompleted, esign.ReleaseReleased, esign.CauseClosed
	d.Recipients[0].State, d.Recipients[0].Outcome = esign.RecipientSigned, esign.OutcomeSigned
	d.Recipients[0].Line = esign.LineRef{Hold: "forged", Slot: "li"}
	d.Recipients[0].Facts = shown
	d.Documents[0].Base = "forged"
	w := create(t, d)
	w.is(esign.StateDraft)
	assert.Empty(t, w.env.Release)
	assert.Empty(t, w.env.Cause)
	assert.Empty(t, w.env.Documents[0].Base)
	r := w.row("li")
	assert.Equal(t, esign.RecipientPending, r.State)
	assert.Zero(t, r.Line)
	assert.Zero(t, r.Facts)
	w.do(esign.OpDiscard, esign.WhoOwner)
	assert.Empty(t, w.env.State)
	assert.Equal(t, 1, w.count(esign.EffectDelete))
}

func TestE4ReviewNeedsAll(t *testing.T) {
	d := draft(signer("li", 1), signer("cc", 0, role(esign.RoleCC)))
	d.Review = &esign.Gate{Approvers: []string{"boss", "cfo"}}
	w := create(t, d)
	w.send()
	assert.Equal(t, []string{"@boss", "@cfo"}, w.told("envelope.sent"))
	answer := func(op esign.Op, who string) {
		w.must(esign.Command{Op: op, By: esign.WhoApprover, Approver: who, Round: 1})
	}
	w.forget()
	answer(esign.OpPass, "boss")
	w.is(esign.StateInReview)
	assert.Equal(t, []string{"review.answered"}, w.happened())
	answer(esign.OpPass, "boss")
	assert.Equal(t, []string{"review.answered"}, w.happened(), "the same answer again is no answer")
	answer(esign.OpReturn, "cfo")
	assert.Equal(t, []string{"owner"}, w.told("review.returned"))
	w.is(esign.StateInReview)
	answer(esign.OpPass, "cfo")
	w.is(esign.StateInProgress)
	assert.Equal(t, []string{"li", "cc"}, w.told("recipient.invited"), "a copy at start goes out when it starts")
	assert.Equal(t, []esign.Decided{{Approver: "boss", Answer: esign.AnswerPass, At: t0}, {Approver: "cfo", Answer: esign.AnswerPass, At: t0}},
		w.env.Review.Answers)
	revoke := w.ending(esign.OpRevoke)
	revoke.Reason = ""
	require.ErrorIs(t, create(t, d).sending().try(revoke), esign.ErrField, "a reason is needed in the review too")
}

func TestE7ReviewRefusedD23(t *testing.T) {
	d := draft(signer("li", 1))
	d.Review = &esign.Gate{Approvers: []string{"boss", "cfo"}, Rule: esign.Any}
	w := create(t, d)
	w.send()
	w.forget()
	w.must(esign.Command{Op: esign.OpRefuse, By: esign.WhoApprover, Approver: "cfo", Round: 1})
	w.is(esign.StateRevoked)
	assert.Equal(t, esign.CauseRefused, w.env.Cause)
	assert.Equal(t, []esign.Decided{{Approver: "cfo", Answer: esign.AnswerRefuse, At: t0}}, w.env.Review.Answers)
	assert.Equal(t, []string{"review.refused"}, w.happened())
	assert.Equal(t, []string{"settle:not_started:li"}, w.units())
	assert.Equal(t, 1, w.count(esign.EffectSeal))
}

func TestE8FillPhase(t *testing.T) {
	d := draft(signer("li", 1), signer("wang", 2), signer("zhao", 2))
	d.Fields = []esign.Field{fill("f", "wang"), fill("g", "zhao")}
	d.Recipients = append(d.Recipients, signer("boss", 3, role(esign.RoleApprover)), signer("cc", 0, role(esign.RoleCC)))
	w := create(t, d)
	w.send()
	w.is(esign.StateFilling)
	refused := w.copy()
	refused.must(esign.Command{Op: esign.OpRefuse, By: esign.WhoRecipient, Recipient: "boss", Reason: "no"})
	refused.is(esign.StateDeclined)
	assert.Equal(t, []string{"wang", "zhao", "cc"}, w.told("recipient.invited"))
	var turn *esign.TurnError
	require.ErrorAs(t, w.try(w.opening("li")), &turn)
	assert.Equal(t, []string{"wang", "zhao"}, turn.Waiting)
	submit := esign.Command{Op: esign.OpSubmitFill, By: esign.WhoRecipient, Recipient: "wang"}
	w.open("wang")
	w.must(esign.Command{Op: esign.OpSaveFill, By: esign.WhoRecipient, Recipient: "wang"})
	w.rowIs("wang", esign.RecipientFilling)
	require.ErrorIs(t, w.try(submit), esign.ErrField, "a required value is missing")
	submit.Filled = []string{"f"}
	w.must(submit)
	w.rowIs("wang", esign.RecipientPending)
	w.is(esign.StateFilling)
	w.open("zhao")
	w.forget()
	w.must(esign.Command{Op: esign.OpSubmitFill, By: esign.WhoRecipient, Recipient: "zhao", Filled: []string{"g"}})
	w.is(esign.StateInProgress)
	assert.Equal(t, []string{"fields.filled:zhao", "recipient.invited:li"}, w.happened())
	assert.Equal(t, 1, w.count(esign.EffectRender))
	w.render()
	w.sign("li", "wang", "zhao")
	w.open("boss")
	w.must(esign.Command{Op: esign.OpPass, By: esign.WhoRecipient, Recipient: "boss"})
	w.is(esign.StateFinalizing)
}

// sending sends and goes on.
func (w *world) sending() *world {
	w.send()
	return w
}

func TestE11FinalizingAddsToTheDocuments(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("late", 0, role(esign.RoleCC), func(r *esign.Recipient) { r.Timing = esign.AtEnd })))
	w.sign("li")
	c := esign.Command{Op: esign.OpFinalized, By: esign.WhoSystem, Documents: w.grown("li")}
	stale := c
	stale.Documents = slices.Clone(w.env.Documents)
	require.ErrorIs(t, w.try(stale), esign.ErrStaleRevision)
	stale.Documents = []esign.Document{{ID: "other"}}
	require.ErrorIs(t, w.try(stale), esign.ErrField)
	w.now = t0.Add(time.Minute)
	w.must(c)
	w.is(esign.StateCompleted)
	assert.Equal(t, c.Documents[0].Segments, w.env.Documents[0].Segments)
	assert.Equal(t, w.now, w.row("late").NotifiedAt)
}

func TestE10ManualFinish(t *testing.T) {
	d := draft(signer("li", 1))
	d.ManualFinish = true
	w := sent(t, d)
	finish := esign.Command{Op: esign.OpFinish, By: esign.WhoOwner}
	require.ErrorIs(t, w.try(finish), esign.ErrTurn)
	w.sign("li")
	w.is(esign.StateInProgress)
	n := signer("wang", 2)
	w.must(esign.Command{Op: esign.OpAdd, By: esign.WhoOwner, Row: &n})
	assert.False(t, w.env.Documents[0].Outdated, "a row added after a signature brings only its own field")
	assert.Equal(t, 2, w.env.Open)
	require.ErrorIs(t, w.try(finish), esign.ErrTurn)
	w.sign("wang")
	atEnd := w.copy()
	w.must(finish)
	w.is(esign.StateFinalizing)

	atEnd.now = atEnd.env.Deadline.Add(time.Hour)
	atEnd.forget()
	atEnd.sweep()
	atEnd.is(esign.StateFinalizing)
	assert.Equal(t, []string{"envelope.finishing"}, atEnd.happened(), "E16")
	assert.Equal(t, atEnd.env.Deadline, atEnd.events[0].Eff)

	w = sent(t, draft(signer("li", 1)))
	require.ErrorIs(t, w.try(finish), esign.ErrState, "not without ManualFinish")
}

func TestE19NoLate(t *testing.T) {
	d := draft(signer("li", 1))
	d.NoLate = true
	w := sent(t, d)
	n := signer("wang", 1)
	require.ErrorIs(t, w.try(esign.Command{Op: esign.OpAdd, By: esign.WhoOwner, Row: &n}), esign.ErrForbidden)
}

func TestE20Reminders(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("wang", 2)))
	remind := func(who esign.Who, id string) (time.Time, error) {
		err := w.try(esign.Command{Op: esign.OpRemind, By: who, Recipient: id})
		var r *esign.ReminderError
		if err != nil {
			require.ErrorAs(t, err, &r)
			return r.Next, err
		}
		return time.Time{}, nil
	}
	next, err := remind(esign.WhoOwner, "wang")
	require.Error(t, err, "never a Pending one")
	assert.Zero(t, next)
	next, err = remind(esign.WhoSystem, "li")
	require.Error(t, err)
	assert.Equal(t, t0.Add(5*24*time.Hour), next)
	assert.Equal(t, next, w.env.NextReminder("li"))
	for range 3 {
		_, err = remind(esign.WhoOwner, "li")
		require.NoError(t, err)
		next, err = remind(esign.WhoOwner, "li")
		require.Error(t, err)
		w.now = w.now.Add(12 * time.Hour)
	}
	assert.Zero(t, next, "three by hand")
	w.now = t0.Add(5 * 24 * time.Hour)
	for range 5 {
		_, err = remind(esign.WhoSystem, "li")
		require.NoError(t, err)
		_, err = remind(esign.WhoSystem, "li")
		require.Error(t, err)
		w.now = w.now.Add(2 * 24 * time.Hour)
	}
	next, err = remind(esign.WhoSystem, "li")
	require.Error(t, err)
	assert.Zero(t, next, "five by schedule")
}

func TestE20RemindersBySMSD24(t *testing.T) {
	for _, unmarked := range []bool{false, true} {
		d := draft(signer("li", 1, by(esign.ChannelSMS)))
		d.Rules.RemindersUnmarked = unmarked
		w := sent(t, d)
		require.Equal(t, []string{"hold:li", "mark:sms:li"}, w.units(), "the first invitation sticks")
		w.forget()
		w.must(esign.Command{Op: esign.OpRemind, By: esign.WhoOwner, Recipient: "li"})
		assert.Empty(t, w.units(), "it stuck already")
	}
}

func TestE20ExtendRow(t *testing.T) {
	w := sent(t, draft(signer("li", 1, until(t0.Add(time.Hour))), signer("wang", 2, until(t0.Add(3*time.Hour))), signer("zhao", 2)))
	extend := func(id string, d time.Duration) error {
		return w.try(esign.Command{Op: esign.OpExtend, By: esign.WhoOwner, Recipient: id, Deadline: t0.Add(d)})
	}
	require.NoError(t, extend("li", 2*time.Hour))
	require.ErrorIs(t, extend("li", 2*time.Hour), esign.ErrField, "not later")
	require.ErrorIs(t, extend("li", 4*time.Hour), esign.ErrField, "after a later stage's")
	require.ErrorIs(t, extend("wang", 91*24*time.Hour), esign.ErrField, "after the envelope's")
	require.ErrorIs(t, extend("zhao", 4*time.Hour), esign.ErrField, "it had until the envelope's")
	require.ErrorIs(t, extend("nobody", 4*time.Hour), esign.ErrNotFound)
	w.now = t0.Add(2 * time.Hour)
	require.ErrorIs(t, extend("li", 3*time.Hour), esign.ErrDeadline, "expired rows leave by replacement or removal only")
}

func TestE21BaseOutdated(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("wang", 1)))
	w.open("li")
	w.forget()
	w.must(esign.Command{Op: esign.OpRemove, By: esign.WhoOwner, Recipient: "wang"})
	assert.Equal(t, 1, w.count(esign.EffectRender))
	require.ErrorIs(t, w.try(w.signing("li")), esign.ErrNotReady)
	c := w.rendering()
	c.Documents = nil
	require.ErrorIs(t, w.try(c), esign.ErrField)
	w.render()
	w.must(w.signing("li"))
	w.is(esign.StateFinalizing)
}

func TestR10Certificate(t *testing.T) {
	w := sent(t, draft(signer("li", 1)))
	c := w.opening("li")
	c.Facts.Certificate = false
	w.must(c)
	w.must(c)
	w.rowIs("li", esign.RecipientViewed)
	lower := c
	lower.Facts.Viewable = false
	require.ErrorIs(t, w.try(lower), esign.ErrLevel, "each opening needs what the first one needed")
	assert.Equal(t, 1, w.count(esign.EffectCertificate), "T11: asked once, after identity is met")
	c.Op, c.By, c.Facts = esign.OpProgress, esign.WhoSystem, shown
	w.must(c)
	w.rowIs("li", esign.RecipientReady)
	c.Facts.Certificate = false
	w.must(c)
	w.rowIs("li", esign.RecipientViewed)
	assert.Equal(t, 2, w.count(esign.EffectCertificate), "revoked since: asked for again")
}

func TestR13IdentityLapsesAtItsInstant(t *testing.T) {
	w := sent(t, draft(signer("li", 1)))
	c := w.opening("li")
	c.Facts.Read, c.Facts.Uploaded = false, false // nothing of either is asked
	c.Facts.Until = t0.Add(time.Hour)
	w.must(c)
	w.rowIs("li", esign.RecipientReady)
	assert.Equal(t, t0.Add(time.Hour), w.env.Due())
	w.now = t0.Add(time.Hour - us)
	early := w.copy()
	early.must(early.signing("li"))
	w.now = t0.Add(2 * time.Hour)
	require.ErrorIs(t, w.try(w.signing("li")), esign.ErrLevel)
	w.forget()
	w.sweep()
	w.rowIs("li", esign.RecipientViewed)
	assert.Equal(t, []string{"recipient.lapsed:li"}, w.happened())
	assert.Equal(t, t0.Add(time.Hour), w.events[0].Eff)
	w.open("li")
	w.must(w.signing("li"))
}

func TestR14ApproverAndViewer(t *testing.T) {
	w := sent(t, draft(signer("boss", 1, role(esign.RoleApprover)), signer("li", 2), signer("auditor", 3, role(esign.RoleViewer))))
	assert.Equal(t, []string{"hold:li"}, w.units(), "D07: approvers and viewers are no signers")
	w.open("boss")
	require.ErrorIs(t, w.try(w.signing("boss")), esign.ErrState)
	w.must(esign.Command{Op: esign.OpPass, By: esign.WhoRecipient, Recipient: "boss"})
	assert.Equal(t, esign.OutcomeApproved, w.row("boss").Outcome)
	w.sign("li")
	require.ErrorIs(t, w.try(w.ending(esign.OpRevoke)), esign.ErrAllSigned, "no required signature is missing")
	w.open("auditor")
	w.is(esign.StateFinalizing)
	assert.Equal(t, esign.OutcomeViewed, w.row("auditor").Outcome)
	assert.Contains(t, w.happened(), "recipient.opened:auditor")
	assert.Equal(t, []string{"owner"}, w.told("recipient.opened"))
}

func TestR15NoDecline(t *testing.T) {
	w := sent(t, draft(signer("li", 1, func(r *esign.Recipient) { r.NoDecline = true }), signer("cc", 0, role(esign.RoleCC))))
	require.ErrorIs(t, w.try(w.declining("li")), esign.ErrNoDecline)
	require.ErrorIs(t, w.try(w.declining("cc")), esign.ErrState, "a copy has no say")
	assert.Equal(t, []string{"li"}, w.told("recipient.invited")[:1])
}

func TestR17Remove(t *testing.T) {
	remove := func(id string) esign.Command {
		return esign.Command{Op: esign.OpRemove, By: esign.WhoOwner, Recipient: id}
	}
	d := draft(signer("a", 1), signer("b", 1), signer("c", 1), signer("z", 2))
	d.Stages = []esign.Stage{{Order: 1, Rule: esign.K, K: 2}}
	w := sent(t, d)
	w.must(remove("a"))
	require.ErrorIs(t, w.try(remove("b")), esign.ErrField, "two of two are needed now")

	w = sent(t, draft(signer("a", 1), signer("z", 2)))
	w.forget()
	w.must(remove("a"))
	assert.Equal(t, []string{"recipient.removed:a", "recipient.invited:z"}, w.happened(), "an empty stage is met")
	assert.Equal(t, []string{"settle:removed:a", "mark:wechat:z"}, w.units(), "D08")
	assert.Equal(t, []string{"a"}, w.told("recipient.removed"))
	require.ErrorIs(t, w.try(remove("z")), esign.ErrField, "nobody would be left to sign")
}

func TestR18ExpiryOfARow(t *testing.T) {
	end := t0.Add(time.Hour)
	d := draft(signer("li", 1, until(end)), signer("wang", 1), signer("zhao", 2))
	only := sent(t, draft(signer("li", 1, until(end)), signer("wang", 1)))
	only.sign("wang")
	only.now = end
	only.must(only.ending(esign.OpRevoke)) // the signature of who expired is missing all the same
	w := sent(t, d)
	w.sign("wang")
	w.now = end.Add(time.Minute)
	w.forget()
	w.sweep()
	w.is(esign.StateInProgress)
	assert.Equal(t, []string{"recipient.expired:li"}, w.happened())
	assert.Equal(t, end, w.events[0].Eff)
	assert.Empty(t, w.units(), "D23: the line stays open for a replacement")
	n := signer("qian", 0)
	w.must(esign.Command{Op: esign.OpReplace, By: esign.WhoOwner, Recipient: "li", Row: &n})
	w.sign("qian", "zhao")
	w.is(esign.StateFinalizing)
	assert.Equal(t, "li", w.row("qian").Line.Slot)

	d.Rules.OnRecipientExpiry = esign.ExpiryEnds
	w = sent(t, d)
	w.now = end.Add(time.Minute)
	w.sweep()
	w.is(esign.StateExpired)
	assert.Equal(t, end, w.env.EndedAt, "at its own instant")
	slow := draft(signer("li", 1, until(end)), signer("wang", 1))
	slow.Fields = []esign.Field{fill("f", "li")}
	w = sent(t, slow)
	w.now = end
	w.sweep()
	w.is(esign.StateFilling)
	var turn *esign.TurnError
	require.ErrorAs(t, w.try(w.opening("wang")), &turn)
	assert.Equal(t, []string{"li"}, turn.Waiting, "who expired holds it up until somebody takes its place")
	w.must(esign.Command{Op: esign.OpReplace, By: esign.WhoOwner, Recipient: "li", Row: &n})
	w.open("qian")
	w.must(esign.Command{Op: esign.OpSubmitFill, By: esign.WhoRecipient, Recipient: "qian", Filled: []string{"f"}})
	w.is(esign.StateInProgress)

	filling := *d
	filling.Fields = []esign.Field{fill("f", "zhao")}
	w = sent(t, &filling)
	w.now = end
	w.sweep()
	w.is(esign.StateExpired)
	d.Stages = []esign.Stage{{Order: 1, Rule: esign.Any}}
	w = sent(t, d)
	w.now = end.Add(time.Minute)
	w.sweep()
	w.is(esign.StateInProgress)
	w.sign("wang", "zhao")
	w.forget()
	w.finalize()
	assert.Equal(t, []string{"settle:satisfied:li"}, w.units(), "D23: the expired row's line settles with the envelope")
}

func TestD03CloseKeepsSignatures(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("wang", 2)))
	w.sign("li")
	w.must(w.ending(esign.OpClose))
	w.rowIs("li", esign.RecipientSigned)
	assert.Zero(t, w.row("li").VoidedAt, "D05")
	w.rowIs("wang", esign.RecipientRevoked)
	assert.Equal(t, []string{"li", "wang"}, w.told("envelope.closed"), "all notified")
}

func TestOffered(t *testing.T) {
	for _, op := range []esign.Op{esign.OpCreate, esign.OpEdit, esign.OpDiscard, esign.OpSend, esign.OpOpen, esign.OpSign, esign.OpDecline, esign.OpRevoke, esign.OpClose, esign.OpSweep} {
		assert.True(t, op.Offered(), op)
	}
	assert.False(t, esign.OpReplace.Offered())
	assert.False(t, esign.Op("fly").Offered())
	_, _, _, err := esign.Apply(esign.Envelope{}, esign.Command{Op: "fly", By: esign.WhoSystem}, t0)
	require.ErrorIs(t, err, esign.ErrField)
}

// alive has row x in each live state, beside a row y that has been told.
func alive(t *testing.T, change ...func(*esign.Recipient)) map[esign.RecipientState]*world {
	out := map[esign.RecipientState]*world{}
	y := signer("y", 1)
	row := func(order int, more ...func(*esign.Recipient)) esign.Recipient {
		return signer("x", order, append(change, more...)...)
	}
	out[esign.RecipientPending] = sent(t, draft(row(2), y))
	out[esign.RecipientNotified] = sent(t, draft(row(1), y))
	w := sent(t, draft(row(1), y))
	c := w.opening("x")
	c.Facts.Certificate, c.Facts.Identified = false, false
	w.must(c)
	out[esign.RecipientViewed] = w
	d := draft(row(1), y)
	d.Fields = []esign.Field{fill("f", "x"), fill("g", "y")}
	w = sent(t, d)
	w.open("x")
	w.must(esign.Command{Op: esign.OpSaveFill, By: esign.WhoRecipient, Recipient: "x"})
	out[esign.RecipientFilling] = w
	if r := row(1); r.Role.Signer() {
		w = sent(t, draft(row(1, gate(esign.Gate{Approvers: []string{"boss"}})), y))
		w.open("x")
		out[esign.RecipientBlocked] = w
	}
	w = sent(t, draft(row(1), y))
	w.open("x")
	out[esign.RecipientReady] = w
	for state, w := range out {
		w.rowIs("x", state)
		w.forget()
	}
	return out
}

func TestR18R20FromEveryLiveState(t *testing.T) {
	for state, w := range alive(t, until(t0.Add(time.Hour))) {
		w.now = t0.Add(time.Hour)
		w.sweep()
		w.rowIs("x", esign.RecipientExpired)
		assert.Equal(t, []string{"recipient.expired:x"}, w.happened(), state)
		assert.Equal(t, []string{"owner"}, w.told("recipient.expired"), state)
	}
	reviewed := draft(signer("x", 1, until(t0.Add(time.Hour))))
	reviewed.Review = &esign.Gate{Approvers: []string{"boss"}}
	w := sent(t, reviewed)
	w.now = t0.Add(time.Hour)
	w.sweep()
	w.rowIs("x", esign.RecipientExpired)
	w.is(esign.StateInReview)

	for state, w := range alive(t) {
		ends := map[esign.State]esign.Command{
			esign.StateExpired: {Op: esign.OpSweep, By: esign.WhoSystem}, esign.StateDeclined: w.declining("y"),
			esign.StateRevoked: w.ending(esign.OpRevoke), esign.StateClosed: w.ending(esign.OpClose),
			esign.StateInvalidated: {Op: esign.OpInvalidate, By: esign.WhoSystem},
		}
		for end, c := range ends {
			w := w.copy()
			if end == esign.StateExpired {
				w.now = w.env.Deadline
			}
			w.must(c)
			w.is(end)
			want := esign.RecipientRevoked
			if end == esign.StateExpired {
				want = esign.RecipientExpired
			}
			assert.Equal(t, want, w.row("x").State, "%s, %s", state, end)
			assert.NotContains(t, w.happened(), "recipient.expired:x", "R20 is no event of its own")
		}
	}
}

func TestR15RefuseFromEveryLiveState(t *testing.T) {
	approver := func(r *esign.Recipient) { r.Role = esign.RoleApprover }
	refuse := esign.Command{Op: esign.OpRefuse, By: esign.WhoApprover, Recipient: "x", Reason: "no"}
	for state, w := range alive(t, approver) {
		silent := refuse
		silent.Reason = ""
		require.ErrorIs(t, w.try(silent), esign.ErrField)
		w.must(refuse)
		w.is(esign.StateDeclined)
		assert.Equal(t, []string{"recipient.declined:x", "envelope.declined"}, w.happened(), state)
	}
	w := sent(t, draft(signer("x", 1, approver, func(r *esign.Recipient) { r.NoDecline = true }), signer("y", 1)))
	require.ErrorIs(t, w.try(refuse), esign.ErrNoDecline)
}

func TestR16NewRowIsChecked(t *testing.T) {
	for field, change := range map[string]func(*esign.Recipient){
		"recipients[2].id":       func(r *esign.Recipient) { r.ID = "" },
		"recipients[2].channel":  func(r *esign.Recipient) { r.Channel = "pigeon" },
		"recipients[2].consent":  func(r *esign.Recipient) { r.Consent = "" },
		"recipients[2].deadline": func(r *esign.Recipient) { r.Deadline = t0 },
	} {
		for _, op := range []esign.Op{esign.OpReplace, esign.OpTransfer} {
			w := sent(t, draft(signer("x", 1, org("acme")), signer("y", 1)))
			n := signer("n", 0, org("acme"), change)
			c := esign.Command{Op: op, By: esign.WhoOwner, Recipient: "x", Row: &n, RealNamed: true}
			if op == esign.OpTransfer {
				c.By = esign.WhoOrgAdmin
			}
			var f *esign.FieldError
			require.ErrorAs(t, w.try(c), &f, field)
			assert.Equal(t, field, f.Field)
		}
	}
}

func TestR19FromEveryLiveState(t *testing.T) {
	for state, w := range alive(t) {
		if state == esign.RecipientPending || state == esign.RecipientFilling {
			continue // not while its stage is open
		}
		w.env.Stages = []esign.Stage{{Order: 1, Rule: esign.Any}}
		w.sign("y")
		w.rowIs("x", esign.RecipientSatisfied)
		assert.Contains(t, w.units(), "settle:satisfied:x", state)
	}
}

func TestR11SealOfAnOperator(t *testing.T) {
	w := sent(t, draft(signer("li", 1, role(esign.RoleOperator), org("acme")), signer("seal", 2, role(esign.RoleSilent), org("acme"))))
	w.open("li")
	c := w.signing("li")
	c.Seal = false
	require.ErrorIs(t, w.try(c), esign.ErrSealNotGranted)
	w.must(w.signing("li"))
	w.env.Documents[0].Base = ""
	c = esign.Command{Op: esign.OpSilentSign, By: esign.WhoSystem, Recipient: "seal", Seal: true, Documents: w.grown("seal")}
	require.ErrorIs(t, w.try(c), esign.ErrNotReady, "no base revision")
}
