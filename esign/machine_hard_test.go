package esign_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
)

// Hard cases, as far as the machine decides them.

func TestHard01FinalizingTwice(t *testing.T) {
	w := sent(t, draft(signer("li", 1)))
	w.sign("li")
	w.finalize()
	require.ErrorIs(t, w.try(esign.Command{Op: esign.OpFinalized, By: esign.WhoSystem}), esign.ErrState)
	assert.Equal(t, 1, w.count(esign.EffectSeal))
}

func TestHard03AuthorityDownWhileFinalizing(t *testing.T) {
	w := sent(t, draft(signer("li", 1)))
	w.sign("li")
	w.forget()
	fail := esign.Command{Op: esign.OpFinalizeFailed, By: esign.WhoSystem}
	for n := 1; n < 10; n++ {
		w.must(fail)
		w.is(esign.StateFinalizing)
		assert.Equal(t, w.now.Add(time.Minute<<n), w.env.RetryAt, "again after 2^n min")
		assert.Equal(t, w.env.RetryAt, w.env.Due())
		w.now = w.env.RetryAt
	}
	later := w.copy()
	later.finalize()
	later.is(esign.StateCompleted)
	w.must(fail)
	w.is(esign.StateCompleted)
	assert.Equal(t, 10, w.env.Attempt)
	assert.Zero(t, w.env.Due())
	assert.Equal(t, []string{"finalize.degraded", "envelope.completed"}, w.happened()[9:])
	assert.Equal(t, 10, w.count(esign.EffectAlarm))
	assert.Equal(t, 1, w.count(esign.EffectSeal))
}

func TestHard04LaterSignerUsesACopiedLinkFirst(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("wang", 1), signer("zhao", 2)))
	for _, c := range []esign.Command{w.opening("zhao"), w.signing("zhao")} {
		var turn *esign.TurnError
		require.ErrorAs(t, w.try(c), &turn)
		assert.Equal(t, []string{"li", "wang"}, turn.Waiting)
	}
	w.sign("li")
	var turn *esign.TurnError
	require.ErrorAs(t, w.try(w.signing("zhao")), &turn)
	assert.Equal(t, []string{"wang"}, turn.Waiting, "who signed is not waited for")
	w.sign("wang")
	w.sign("zhao")
	w.is(esign.StateFinalizing)
}

func TestHard05RerouteKillsOlderLinks(t *testing.T) {
	w := sent(t, draft(signer("li", 1)))
	before := w.row("li").AddressVersion
	w.forget()
	w.must(esign.Command{Op: esign.OpReroute, By: esign.WhoOwner, Recipient: "li", Row: &esign.Recipient{Channel: esign.ChannelSMS}})
	assert.Equal(t, before+1, w.row("li").AddressVersion)
	assert.Equal(t, []string{"li"}, w.told("recipient.rerouted"))
	assert.Equal(t, []string{"mark:sms:li"}, w.units())
}

func TestHard06DeclineAgainstSign(t *testing.T) {
	for _, signFirst := range []bool{true, false} {
		w := sent(t, draft(signer("li", 1)))
		w.open("li")
		first, second := w.signing("li"), w.declining("li")
		if !signFirst {
			first, second = second, first
		}
		w.must(first)
		require.ErrorIs(t, w.try(second), esign.ErrState)
		want := "capture:li"
		if !signFirst {
			want = "settle:declined:li"
		}
		assert.Equal(t, []string{"hold:li", "mark:wechat:li", want}, w.units())
	}
}

func TestHard07RevokeAgainstTheLastSignature(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("wang", 2)))
	w.sign("li")
	w.open("wang")
	last, revoke := w.signing("wang"), w.ending(esign.OpRevoke)

	signed := w.copy()
	signed.must(last)
	err := signed.try(revoke)
	require.ErrorIs(t, err, esign.ErrAllSigned)
	require.ErrorIs(t, err, esign.ErrState)
	assert.Equal(t, "all_signed", esign.ErrorCode(err))
	signed.finalize()
	require.ErrorIs(t, signed.try(revoke), esign.ErrAllSigned)

	w.forget()
	w.must(revoke)
	require.ErrorIs(t, w.try(last), esign.ErrState)
	w.is(esign.StateRevoked)
	w.rowIs("li", esign.RecipientRevoked)
	assert.Equal(t, t0, w.row("li").VoidedAt, "D05: revoking voids the signatures made")
	assert.Equal(t, esign.CauseSigned, w.row("li").Line.Settled, "D05: a used unit stays used")
	assert.Equal(t, []string{"settle:revoked:wang"}, w.units())
}

func TestHard08RevokeAgainstRerouteToSMS(t *testing.T) {
	reroute := esign.Command{Op: esign.OpReroute, By: esign.WhoOwner, Recipient: "li", Row: &esign.Recipient{Channel: esign.ChannelSMS}}
	w := sent(t, draft(signer("li", 1)))
	first := w.copy()
	first.must(reroute)
	first.must(first.ending(esign.OpRevoke))
	assert.Equal(t, []string{"hold:li", "mark:wechat:li", "mark:sms:li", "settle:revoked:li"}, first.units(), "H18 D24: SMS stuck before")
	w.must(w.ending(esign.OpRevoke))
	require.ErrorIs(t, w.try(reroute), esign.ErrState)
	assert.Equal(t, []string{"hold:li", "mark:wechat:li", "settle:revoked:li"}, w.units(), "H17")
}

func TestHard09ExpiryEvaluatedLateEarlyNever(t *testing.T) {
	end := t0.Add(10 * 24 * time.Hour)
	start := func() *world {
		d := draft(signer("li", 1, until(end.Add(-time.Hour))), signer("wang", 1), signer("cc", 0, role(esign.RoleCC)))
		d.Deadline = end
		w := sent(t, d)
		w.sign("wang")
		return w
	}
	run := func(sweeps ...time.Duration) *world {
		w := start()
		for _, s := range sweeps {
			w.now = end.Add(s)
			w.sweep()
		}
		w.now = end.Add(48 * time.Hour)
		w.sweep()
		return w
	}
	want := run(-time.Hour, 0)
	want.is(esign.StateExpired)
	assert.Equal(t, end, want.env.EndedAt)
	want.rowIs("li", esign.RecipientExpired)
	want.rowIs("wang", esign.RecipientSigned)
	assert.Equal(t, "settle:expired:li", want.units()[len(want.units())-1], "D03 D23: an expired row's line settles with the envelope")
	for name, w := range map[string]*world{
		"never": run(), "late": run(time.Minute), "early": run(-2*time.Hour, -us), "often": run(-time.Hour-us, -time.Hour, -us, 0, us),
	} {
		assert.Equal(t, want.settled(), w.settled(), name)
		assert.Equal(t, want.history(), w.history(), name)
	}
	never := start()
	never.now = end.Add(time.Hour)
	var late, swept *esign.DeadlineError
	require.ErrorAs(t, never.try(never.opening("li")), &late)
	require.ErrorAs(t, want.try(want.opening("li")), &swept)
	assert.Equal(t, swept.At, late.At, "a refusal does not depend on the sweep either")
	assert.Equal(t, end, late.At)
}

// settled is the envelope without the instant of the last commit.
func (w *world) settled() string {
	e := w.env
	e.At = time.Time{}
	return encode(w.t, e)
}

// history is what happened and when it took effect.
func (w *world) history() []string {
	var out []string
	for i, e := range w.events {
		out = append(out, w.happened()[i]+" "+e.Effective().Format(time.RFC3339Nano))
	}
	return out
}

func TestHard10SignatureAtTheDeadline(t *testing.T) {
	end := t0.Add(24 * time.Hour)
	start := func(d time.Duration) *world {
		e := draft(signer("li", 1))
		e.Deadline = end
		w := sent(t, e)
		w.open("li")
		w.now = end.Add(d)
		return w
	}
	w := start(-us)
	w.must(w.signing("li"))
	for _, d := range []time.Duration{0, us} {
		w := start(d)
		err := w.try(w.signing("li"))
		require.ErrorIs(t, err, esign.ErrDeadline)
		require.ErrorIs(t, err, esign.ErrState)
		extend := esign.Command{Op: esign.OpExtend, By: esign.WhoOwner, Deadline: end.Add(time.Hour)}
		require.ErrorIs(t, w.try(extend), esign.ErrDeadline, "an extension that came too late")
	}
	w = start(-us)
	for _, backwards := range []time.Time{end, end.Add(-time.Hour), t0, {}} {
		require.ErrorIs(t, w.try(esign.Command{Op: esign.OpExtend, By: esign.WhoOwner, Deadline: backwards}), esign.ErrField)
	}
	require.ErrorIs(t, w.try(esign.Command{Op: esign.OpExtend, By: esign.WhoOwner, Deadline: end.AddDate(1, 0, 1)}), esign.ErrField)
	w.must(esign.Command{Op: esign.OpExtend, By: esign.WhoOwner, Deadline: end.Add(time.Hour)})
	w.now = end.Add(us)
	w.must(w.signing("li"))
	w.is(esign.StateFinalizing)
}

func TestHard11ApproverReturnsThenPasses(t *testing.T) {
	d := draft(signer("li", 1, gate(esign.Gate{Approvers: []string{"boss", "cfo", "cto"}, Rule: esign.K, K: 2})))
	w := sent(t, d)
	assert.Equal(t, []string{"li", "@boss", "@cfo", "@cto"}, w.told("recipient.invited"))
	w.open("li")
	w.rowIs("li", esign.RecipientBlocked)
	assert.Contains(t, w.happened(), "recipient.blocked:li")
	assert.Equal(t, []string{"@boss", "@cfo", "@cto"}, w.told("recipient.blocked"))
	answer := func(op esign.Op, who string, round int) error {
		return w.try(esign.Command{Op: op, By: esign.WhoApprover, Recipient: "li", Approver: who, Round: round, Reason: "why"})
	}
	require.NoError(t, answer(esign.OpReturn, "boss", 1))
	require.NoError(t, answer(esign.OpPass, "boss", 1), "in the same round")
	w.rowIs("li", esign.RecipientBlocked)
	n := len(w.events)
	require.NoError(t, answer(esign.OpPass, "boss", 1), "twice counts once")
	assert.Len(t, w.events, n)
	w.rowIs("li", esign.RecipientBlocked)
	require.ErrorIs(t, answer(esign.OpPass, "nobody", 1), esign.ErrForbidden)
	require.ErrorIs(t, answer(esign.OpPass, "cfo", 2), esign.ErrStaleRound)
	resubmit := esign.Command{Op: esign.OpResubmit, By: esign.WhoOwner, Recipient: "li", Round: 2}
	require.ErrorIs(t, w.try(resubmit), esign.ErrStaleRound)
	resubmit.Round = 1
	w.copy().must(resubmit)
	resubmit.By = esign.WhoRecipient
	w.must(resubmit)
	require.ErrorIs(t, answer(esign.OpPass, "cfo", 1), esign.ErrStaleRound)
	require.NoError(t, answer(esign.OpPass, "cfo", 2))
	w.rowIs("li", esign.RecipientBlocked)
	require.NoError(t, answer(esign.OpPass, "boss", 2))
	w.rowIs("li", esign.RecipientReady)
	require.ErrorIs(t, answer(esign.OpRefuse, "cto", 2), esign.ErrState, "passed is passed")
	w.must(esign.Command{Op: esign.OpLapse, By: esign.WhoSystem, Recipient: "li", Reopen: true})
	w.rowIs("li", esign.RecipientBlocked)
	w.forget()
	require.ErrorIs(t, w.try(esign.Command{Op: esign.OpRefuse, By: esign.WhoApprover, Recipient: "li", Approver: "cto", Round: 3}), esign.ErrField)
	require.NoError(t, answer(esign.OpRefuse, "cto", 3))
	w.is(esign.StateDeclined)
	assert.Equal(t, []string{"gate.refused:li", "envelope.declined"}, w.happened())
}

// TestHard11Approvers: who is no approver, answers another round or means another
// gate is refused, whatever it answers and whether it would be the last needed.
func TestHard11Approvers(t *testing.T) {
	for _, approvers := range [][]string{{"boss"}, {"boss", "cfo"}} {
		for _, fills := range []bool{false, true} {
			d := draft(signer("li", 1, gate(esign.Gate{Approvers: approvers})))
			reviewed := draft(signer("li", 1))
			reviewed.Review = &esign.Gate{Approvers: approvers}
			if fills {
				reviewed.Fields = []esign.Field{fill("f", "li")}
			}
			w := sent(t, d)
			w.open("li")
			in := sent(t, reviewed)
			for _, op := range []esign.Op{esign.OpPass, esign.OpReturn, esign.OpRefuse} {
				for _, again := range []bool{false, true} {
					at := map[*world]string{w: "li", in: ""}
					for w, row := range at {
						w = w.copy()
						c := esign.Command{Op: op, By: esign.WhoApprover, Recipient: row, Approver: "boss", Round: 1, Reason: "why"}
						if again && (op == esign.OpReturn || len(approvers) > 1) {
							if op == esign.OpRefuse {
								continue
							}
							w.must(c)
						}
						stale, stranger, elsewhere := c, c, c
						stale.Round = 0
						require.ErrorIs(t, w.try(stale), esign.ErrStaleRound)
						stranger.Approver = "nobody"
						require.ErrorIs(t, w.try(stranger), esign.ErrForbidden)
						elsewhere.Recipient = map[string]string{"li": "", "": "li"}[row]
						require.ErrorIs(t, w.try(elsewhere), esign.ErrState)
						w.must(c)
					}
				}
			}
		}
	}
}

func TestHard12RecallEditSendAgain(t *testing.T) {
	d := draft(signer("li", 1))
	d.Review = &esign.Gate{Approvers: []string{"boss"}}
	w := create(t, d)
	w.send()
	w.is(esign.StateInReview)
	assert.Empty(t, w.told("recipient.invited"))
	pass := esign.Command{Op: esign.OpPass, By: esign.WhoApprover, Approver: "boss", Round: 1}
	link := w.row("li").AddressVersion
	w.do(esign.OpRecall, esign.WhoOwner)
	w.is(esign.StateDraft)
	assert.Equal(t, []string{"hold:li", "settle:not_started:li"}, w.units(), "D23: nothing went out")
	require.ErrorIs(t, w.try(pass), esign.ErrState)
	w.must(esign.Command{Op: esign.OpEdit, By: esign.WhoOwner, Draft: d})
	w.send()
	assert.Greater(t, w.row("li").AddressVersion, link, "old links are dead")
	require.ErrorIs(t, w.try(pass), esign.ErrStaleRound)
	pass.Round = 2
	w.must(pass)
	w.is(esign.StateInProgress)
	assert.Equal(t, []string{"hold:li", "settle:not_started:li", "hold:li", "mark:wechat:li"}, w.units())
}

func TestHard15SignerPressesTwice(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("wang", 1)))
	w.sign("li")
	require.ErrorIs(t, w.try(w.signing("li")), esign.ErrState)
	assert.Equal(t, 1, w.count(esign.EffectCapture))
}

func TestHard16AnyOfTwoAtOnce(t *testing.T) {
	d := draft(signer("li", 1), signer("wang", 1), signer("zhao", 2))
	d.Stages = []esign.Stage{{Order: 1, Rule: esign.Any}}
	w := sent(t, d)
	w.open("li")
	w.open("wang")
	li, wang := w.signing("li"), w.signing("wang")
	w.forget()
	w.must(li)
	require.ErrorIs(t, w.try(wang), esign.ErrState)
	w.rowIs("li", esign.RecipientSigned)
	w.rowIs("wang", esign.RecipientSatisfied)
	w.rowIs("zhao", esign.RecipientNotified)
	assert.Equal(t, []string{"capture:li", "settle:satisfied:wang", "mark:wechat:zhao"}, w.units(), "D20")
	assert.Equal(t, []string{"wang"}, w.told("recipient.satisfied"))
}

func TestHard17DeclineMakesKUnreachable(t *testing.T) {
	d := draft(signer("a", 1), signer("b", 1), signer("c", 1))
	d.Stages = []esign.Stage{{Order: 1, Rule: esign.K, K: 2}}
	w := sent(t, d)
	w.must(w.declining("a"))
	w.is(esign.StateInProgress)
	w.sign("b")
	w.forget()
	w.must(w.declining("c"))
	w.is(esign.StateDeclined)
	assert.Equal(t, []string{"recipient.declined:c", "envelope.declined"}, w.happened())
	w.rowIs("b", esign.RecipientSigned)
	assert.Zero(t, w.row("b").VoidedAt, "signatures stay facts")
	assert.Equal(t, []string{"settle:declined:c"}, w.units(), "D03: a's line was settled when it declined")
}

func TestHard17GateRefusesACandidate(t *testing.T) {
	d := draft(signer("a", 1, gate(esign.Gate{Approvers: []string{"boss"}})), signer("b", 1))
	d.Stages = []esign.Stage{{Order: 1, Rule: esign.Any}}
	w := sent(t, d)
	w.open("a")
	w.forget()
	w.must(esign.Command{Op: esign.OpRefuse, By: esign.WhoApprover, Recipient: "a", Approver: "boss", Round: 1, Reason: "no"})
	w.is(esign.StateInProgress)
	assert.Equal(t, []string{"settle:declined:a"}, w.units(), "E13: only the candidate's")
	assert.Equal(t, esign.AnswerRefuse, w.row("a").Gate.Answers[0].Answer)
	w.sign("b")
	w.is(esign.StateFinalizing)
}

func TestHard18RevokedTogether(t *testing.T) {
	w := sent(t, draft(signer("wx", 1), signer("text", 1, by(esign.ChannelSMS)), signer("done", 1), signer("late", 2)))
	w.sign("done")
	w.forget()
	w.must(w.ending(esign.OpRevoke))
	assert.Equal(t, []string{"settle:revoked:wx", "settle:revoked:text", "settle:revoked:late"}, w.units())
	assert.ElementsMatch(t, []string{"wx", "text", "done"}, w.told("envelope.revoked"), "all notified")
	assert.Equal(t, []esign.Channel{esign.ChannelSMS}, w.row("text").Used)
	assert.Empty(t, w.row("late").Used)
}

func TestHard19WeChatSMSWeChatClose(t *testing.T) {
	w := sent(t, draft(signer("li", 1)))
	for _, c := range []esign.Channel{esign.ChannelSMS, esign.ChannelWeChat} {
		w.must(esign.Command{Op: esign.OpReroute, By: esign.WhoOwner, Recipient: "li", Row: &esign.Recipient{Channel: c}})
	}
	w.must(w.ending(esign.OpClose))
	assert.Equal(t, []string{"hold:li", "mark:wechat:li", "mark:sms:li", "settle:closed:li"}, w.units())
	assert.Equal(t, []esign.Channel{esign.ChannelWeChat, esign.ChannelSMS}, w.row("li").Used, "H18 D02: SMS sticks")
}

func TestHard20SignerPays(t *testing.T) {
	d := draft(signer("li", 1), signer("wang", 2))
	d.SignerPays = true
	w := sent(t, d)
	assert.Empty(t, w.units(), "H48 D06: no line exists until Sign")
	w.sign("li")
	assert.Equal(t, []string{"charge:li"}, w.units())
	assert.Equal(t, "li", w.row("li").Line.Payer)
	w.must(w.ending(esign.OpRevoke))
	assert.Equal(t, []string{"charge:li"}, w.units(), "nobody else is charged, nothing is settled")
}

func TestHard21AddASigner(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("wang", 2)))
	n := signer("zhao", 2)
	add := esign.Command{Op: esign.OpAdd, By: esign.WhoOwner, Row: &n, Line: esign.LineRef{Hold: "h", Units: 1}}
	w.forget()
	w.must(add)
	assert.Equal(t, []string{"hold:zhao"}, w.units(), "D08: charged at once")
	assert.True(t, w.env.Documents[0].Outdated)
	w.render()
	w.sign("li")
	n.ID = "qian"
	require.ErrorIs(t, w.try(add), esign.ErrState, "not after the first signature")
	for name, change := range map[string]func(*esign.Recipient){
		"below the open stage": func(r *esign.Recipient) { r.Order = 0 },
		"id taken":             func(r *esign.Recipient) { r.ID = "li" },
		"no consent":           func(r *esign.Recipient) { r.Consent = "" },
		"unknown channel":      func(r *esign.Recipient) { r.Channel = "pigeon" },
	} {
		w := sent(t, draft(signer("li", 1)))
		n := signer("zhao", 1, change)
		require.ErrorIs(t, w.try(esign.Command{Op: esign.OpAdd, By: esign.WhoOwner, Row: &n}), esign.ErrField, name)
	}
}

func TestHard24ReplacedRowIsDead(t *testing.T) {
	d := draft(signer("li", 1, by(esign.ChannelSMS)))
	d.Fields = []esign.Field{{ID: "sig", Document: "nda", Recipient: "li", Type: esign.FieldSignature}}
	w := sent(t, d)
	w.open("li")
	old := w.signing("li")
	n := signer("wang", 0)
	w.forget()
	w.must(esign.Command{Op: esign.OpReplace, By: esign.WhoOwner, Recipient: "li", Row: &n})
	require.ErrorIs(t, w.try(old), esign.ErrState)
	require.ErrorIs(t, w.try(w.opening("li")), esign.ErrState)
	r := w.row("wang")
	assert.Equal(t, "li", r.Replaces)
	assert.Equal(t, "li", r.Line.Slot, "the line keeps its slot")
	assert.Equal(t, []esign.Channel{esign.ChannelSMS, esign.ChannelWeChat}, r.Used, "stickiness stays with the line")
	assert.Zero(t, w.row("li").Line)
	assert.Equal(t, "wang", w.env.Fields[0].Recipient)
	assert.Equal(t, 1, r.Order)
	assert.Equal(t, []string{"li"}, w.told("recipient.replaced"))
	assert.Equal(t, 1, w.count(esign.EffectMove))
	w.forget()
	w.sign("wang")
	assert.Equal(t, []string{"capture:li"}, w.units())
}

func TestHard25Transfer(t *testing.T) {
	may := func(r *esign.Recipient) { r.Transfer = true }
	transfer := func(to string, who esign.Who) esign.Command {
		n := signer("wang", 0, org(to))
		return esign.Command{Op: esign.OpTransfer, By: who, Recipient: "li", Row: &n, RealNamed: true}
	}
	w := sent(t, draft(signer("li", 1, org("acme"), may)))
	require.ErrorIs(t, w.try(transfer("other", esign.WhoRecipient)), esign.ErrField)
	unnamed := transfer("acme", esign.WhoRecipient)
	unnamed.RealNamed = false
	require.ErrorIs(t, w.try(unnamed), esign.ErrField)
	require.ErrorIs(t, w.try(transfer("acme", esign.WhoOwner)), esign.ErrForbidden)
	w.must(transfer("acme", esign.WhoRecipient))
	w.rowIs("wang", esign.RecipientNotified)

	w = sent(t, draft(signer("li", 1, org("acme"))))
	require.ErrorIs(t, w.try(transfer("acme", esign.WhoRecipient)), esign.ErrForbidden, "the sender did not allow it")
	w.must(transfer("acme", esign.WhoOrgAdmin))

	d := draft(signer("li", 1, org("acme"), may))
	d.Fields = []esign.Field{fill("f", "li")}
	w = sent(t, d)
	w.open("li")
	w.must(esign.Command{Op: esign.OpSubmitFill, By: esign.WhoRecipient, Recipient: "li", Filled: []string{"f"}})
	require.ErrorIs(t, w.try(transfer("acme", esign.WhoRecipient)), esign.ErrState, "not after it filled")
}

func TestHard26SilentSeal(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("seal", 2, role(esign.RoleSilent), org("acme"))))
	silent := func() esign.Command {
		return esign.Command{Op: esign.OpSilentSign, By: esign.WhoSystem, Recipient: "seal", Seal: true, Documents: w.grown("seal")}
	}
	require.ErrorIs(t, w.try(silent()), esign.ErrTurn)
	w.forget()
	w.sign("li")
	assert.Equal(t, 1, w.count(esign.EffectSilent))
	assert.Empty(t, w.told("recipient.invited"))
	c := silent()
	c.Seal = false
	require.ErrorIs(t, w.try(c), esign.ErrSealNotGranted, "the grant was stopped one commit earlier")
	w.must(silent())
	w.is(esign.StateFinalizing)
	require.ErrorIs(t, w.try(silent()), esign.ErrState)
}

func TestHard31ReleaseEndsDeclined(t *testing.T) {
	w := sent(t, draft(signer("li", 1)))
	w.sign("li")
	w.finalize()
	release := func(op esign.Op, items ...string) error {
		return w.try(esign.Command{Op: op, By: esign.WhoSystem, Linked: "r1", Items: items})
	}
	require.NoError(t, release(esign.OpReleaseBegin))
	require.ErrorIs(t, w.try(esign.Command{Op: esign.OpReleaseBegin, By: esign.WhoSystem, Linked: "r2"}), esign.ErrState, "one at a time")
	require.NoError(t, release(esign.OpReleaseEnded))
	w.is(esign.StateCompleted)
	assert.Equal(t, esign.ReleaseNone, w.env.Release)
	w.rowIs("li", esign.RecipientSigned)
	require.NoError(t, release(esign.OpReleaseBegin))
	w.forget()
	require.NoError(t, release(esign.OpReleaseDone))
	assert.Equal(t, esign.ReleaseReleased, w.env.Release)
	w.rowIs("li", esign.RecipientReleased)
	assert.Equal(t, []string{"release.done", "recipient.released:li"}, w.happened())
	require.ErrorIs(t, release(esign.OpReleaseBegin), esign.ErrState)
}

func TestReleaseInPart(t *testing.T) {
	d := draft(signer("li", 1))
	d.Documents = append(d.Documents, d.Documents[0])
	d.Documents[1].ID = "annex"
	w := sent(t, d)
	w.sign("li")
	w.finalize()
	step := func(op esign.Op, items ...string) {
		w.must(esign.Command{Op: op, By: esign.WhoSystem, Linked: "r1", Items: items})
	}
	step(esign.OpReleaseBegin)
	unknown := esign.Command{Op: esign.OpReleaseDone, By: esign.WhoSystem, Linked: "r1", Items: []string{"other"}}
	require.ErrorIs(t, w.try(unknown), esign.ErrField)
	step(esign.OpReleaseDone, "annex")
	assert.Equal(t, esign.ReleasePartiallyReleased, w.env.Release)
	w.rowIs("li", esign.RecipientSigned)
	step(esign.OpReleaseBegin)
	step(esign.OpReleaseEnded)
	assert.Equal(t, esign.ReleasePartiallyReleased, w.env.Release)
	step(esign.OpReleaseBegin)
	step(esign.OpReleaseDone, "nda")
	assert.Equal(t, esign.ReleaseReleased, w.env.Release)
}

// TestReleasingEnvelope: the linked envelope moves the other's axis by effects.
func TestReleasingEnvelope(t *testing.T) {
	linked := func(w *world) (out []esign.Op) {
		for _, e := range w.effects {
			if e.Kind == esign.EffectLinked {
				assert.Equal(t, "nda-16", e.Linked)
				out = append(out, e.Op)
			}
		}
		return out
	}
	d := draft(signer("li", 1))
	d.Terminates = "nda-16"
	w := sent(t, d)
	declined := w.copy()
	declined.must(declined.declining("li"))
	assert.Equal(t, []esign.Op{esign.OpReleaseBegin, esign.OpReleaseEnded}, linked(declined))
	w.sign("li")
	w.finalize()
	assert.Equal(t, []esign.Op{esign.OpReleaseBegin, esign.OpReleaseDone}, linked(w))
}

func TestHard32PartyRenamedInProgress(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("wang", 2)))
	w.sign("li")
	w.forget()
	w.do(esign.OpInvalidate, esign.WhoSystem)
	w.is(esign.StateInvalidated)
	assert.Equal(t, []string{"envelope.invalidated", "recipient.voided:li"}, w.happened())
	assert.Equal(t, []string{"settle:invalidated:wang"}, w.units(), "D23")
	require.ErrorIs(t, w.try(w.opening("wang")), esign.ErrState)
}

func TestHard38ClockGoesBack(t *testing.T) {
	w := sent(t, draft(signer("li", 1), signer("wang", 1)))
	w.now = t0.Add(time.Hour)
	w.open("li")
	w.now = t0.Add(-time.Hour)
	w.must(w.signing("li"))
	assert.Equal(t, t0.Add(time.Hour), w.row("li").SignedAt)
	last := time.Time{}
	for _, e := range w.events {
		assert.False(t, e.At.Before(last), e.Type)
		last = e.At
	}
}
