package esign_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
)

var whos = []esign.Who{esign.WhoOwner, esign.WhoOrgAdmin, esign.WhoRecipient, esign.WhoApprover, esign.WhoSystem}

// command is one that is as good as it can be where the world stands.
func (w *world) command(op esign.Op, id string) esign.Command {
	c := esign.Command{Op: op, Recipient: id, Reason: "because", Cleared: esign.Cleared{Terms: true, Content: true, Templates: true},
		Line: esign.LineRef{Hold: "h", Units: 1, Payer: "hr"}, Approver: "boss", Round: 1, Facts: shown, Filled: []string{"f"},
		Intent: true, Seal: true, RealNamed: true, Deadline: w.env.Deadline.Add(time.Hour), Linked: "release-1"}
	switch op {
	case esign.OpCreate, esign.OpEdit:
		c.Draft = draft(signer("x", 1))
		c.Draft.Title = "another"
	case esign.OpPass, esign.OpReturn, esign.OpRefuse:
		if w.env.State == esign.StateInReview {
			c.Recipient = ""
		}
	case esign.OpSign, esign.OpSilentSign:
		if _, ok := w.env.Recipient(id); ok {
			c.Documents = w.grown(id)
		}
	case esign.OpLapse:
		c.Facts.Identified = false
	case esign.OpAdd:
		n := signer("new", max(w.env.Open, 1))
		c.Recipient, c.Row = "", &n
	case esign.OpReplace, esign.OpTransfer, esign.OpReroute:
		n := signer("new", 0, org("acme"))
		c.Row = &n
	case esign.OpExtend:
		c.Recipient = ""
	case esign.OpRender:
		c.Documents = w.rendering().Documents
	}
	return c
}

// worlds has an envelope for every state, and for every state of row x.
func worlds(t *testing.T) (names []string, at map[string]*world) {
	at = map[string]*world{}
	add := func(name string, w *world) *world {
		names = append(names, name)
		at[name] = w
		return w.copy()
	}
	x := signer("x", 1, org("acme"), func(r *esign.Recipient) { r.Transfer = true })
	y := signer("y", 1)
	gated := signer("x", 1, org("acme"), gate(esign.Gate{Approvers: []string{"boss"}}))
	reviewed := draft(x, y)
	reviewed.Review = &esign.Gate{Approvers: []string{"boss"}}
	twice := draft(x, y)
	twice.Review = &esign.Gate{Approvers: []string{"boss", "cfo"}}
	twice.Fields = []esign.Field{fill("f", "x")}
	filled := draft(x, y)
	filled.Fields = []esign.Field{fill("f", "x"), fill("g", "y")}
	manual := draft(x, signer("z", 2))
	manual.ManualFinish = true
	anyOf := draft(x, y, signer("z", 2))
	anyOf.Stages = []esign.Stage{{Order: 1, Rule: esign.Any}}

	add("none", &world{t: t, now: t0})
	add("draft", create(t, draft(x, y)))
	w := create(t, reviewed)
	w.send()
	w = add("in_review", w)
	w.now = w.env.Deadline
	add("in_review: past its deadline", w)
	w = create(t, twice)
	w.send()
	w = add("in_review: two approvers, fields to fill", w)
	w.must(esign.Command{Op: esign.OpPass, By: esign.WhoApprover, Approver: "cfo", Round: 1})
	w = add("in_review: the other one passed", w)
	w.must(esign.Command{Op: esign.OpReturn, By: esign.WhoApprover, Approver: "boss", Round: 1})
	add("in_review: returned", w)
	w = create(t, filled)
	add("draft: fields to fill", w)
	w = create(t, reviewed)
	add("draft: with review", w)

	w = sent(t, filled)
	w.now = w.env.Deadline
	add("filling: past its deadline", w)
	w = sent(t, filled)
	w = add("filling: x notified", w)
	w.open("x")
	w = add("filling: x viewed", w)
	w.must(esign.Command{Op: esign.OpSaveFill, By: esign.WhoRecipient, Recipient: "x"})
	w = add("filling: x filling", w)
	w.must(esign.Command{Op: esign.OpSubmitFill, By: esign.WhoRecipient, Recipient: "x", Filled: []string{"f"}})
	add("filling: x pending", w)

	add("in_progress: x pending", sent(t, draft(signer("x", 2, org("acme")), signer("y", 1))))
	w = sent(t, draft(x, y))
	w.now = w.env.Deadline
	add("in_progress: past its deadline", w)
	ends := draft(signer("x", 1, org("acme"), until(t0.Add(time.Hour))), y)
	ends.Rules.OnRecipientExpiry = esign.ExpiryEnds
	w = sent(t, ends)
	w.now = t0.Add(time.Hour)
	add("in_progress: x expires and ends it", w)
	w = sent(t, draft(x, y))
	w = add("in_progress: x notified", w)
	c := w.opening("x")
	c.Facts.Certificate = false
	w.must(c)
	w = add("in_progress: x viewed", w)
	w.open("x")
	w = add("in_progress: x ready", w)
	w.sign("x")
	add("in_progress: x signed", w)
	w = sent(t, draft(gated, y))
	w.open("x")
	w = add("in_progress: x blocked", w)
	w.must(esign.Command{Op: esign.OpReturn, By: esign.WhoApprover, Recipient: "x", Approver: "boss", Round: 1})
	add("in_progress: x blocked, returned", w)
	w = sent(t, draft(signer("x", 1, gate(esign.Gate{Approvers: []string{"boss", "cfo"}})), y))
	w.open("x")
	add("in_progress: x blocked by two", w)
	add("in_progress: base missing", func() *world { w := create(t, draft(x, y)); w.send(); return w }())
	payer := draft(x, y)
	payer.SignerPays = true
	w = sent(t, payer)
	w.open("x")
	add("in_progress: signer pays", w)
	w = sent(t, draft(x))
	w.open("x")
	add("in_progress: x alone is ready", w)
	w = sent(t, anyOf)
	w.open("x")
	add("in_progress: x of any is ready", w)
	w = sent(t, draft(signer("x", 1, org("acme"), until(t0.Add(time.Hour))), y))
	w.now = t0.Add(time.Hour)
	w.sweep()
	add("in_progress: x expired", w)
	w = sent(t, anyOf)
	w.must(w.declining("x"))
	add("in_progress: x declined", w)
	w = sent(t, anyOf)
	w.sign("y")
	add("in_progress: x satisfied_by_other", w)
	w = sent(t, draft(x, y))
	n := signer("n", 0)
	w.must(esign.Command{Op: esign.OpReplace, By: esign.WhoOwner, Recipient: "x", Row: &n})
	add("in_progress: x replaced", w)
	w = sent(t, draft(x, y))
	w.must(esign.Command{Op: esign.OpRemove, By: esign.WhoOwner, Recipient: "x"})
	w.render()
	add("in_progress: x revoked", w)
	w = sent(t, draft(signer("x", 1, role(esign.RoleApprover)), y))
	w.open("x")
	add("in_progress: approver x ready", w)
	add("in_progress: silent x", sent(t, draft(signer("x", 1, role(esign.RoleSilent), org("acme")), y)))
	add("in_progress: cc x", sent(t, draft(signer("x", 0, role(esign.RoleCC)), y)))
	w = sent(t, manual)
	w.sign("x", "z")
	w = add("in_progress: all met, manual finish", w)
	w.now = w.env.Deadline
	add("in_progress: all met, past its deadline", w)

	w = sent(t, draft(x))
	w.sign("x")
	w = add("finalizing", w)
	last := w.copy()
	last.env.Attempt = 9
	add("finalizing: last attempt", last)
	d := draft(x, y, signer("z", 0, role(esign.RoleCC), func(r *esign.Recipient) { r.Timing = esign.AtEnd }))
	d.Stages = []esign.Stage{{Order: 1, Rule: esign.Any}}
	d.Recipients[1].Deadline = t0.Add(time.Hour)
	d.Terminates = "old"
	last = sent(t, d)
	last.now = t0.Add(time.Hour)
	last.sweep()
	last.sign("x")
	last = add("finalizing: an expired row, a copy at end", last)
	last.env.Attempt = 9
	add("finalizing: the same at its last attempt", last)
	w.finalize()
	w = add("completed", w)
	w.must(esign.Command{Op: esign.OpReleaseBegin, By: esign.WhoSystem, Linked: "release-1"})
	w = add("completed: releasing", w)
	w.must(esign.Command{Op: esign.OpReleaseDone, By: esign.WhoSystem, Linked: "release-1"})
	add("completed: released", w)
	for _, end := range []struct {
		name string
		c    esign.Command
	}{
		{"declined", esign.Command{Op: esign.OpDecline, By: esign.WhoRecipient, Recipient: "y", Reason: "no"}},
		{"revoked", esign.Command{Op: esign.OpRevoke, By: esign.WhoOwner, Reason: "no"}},
		{"closed", esign.Command{Op: esign.OpClose, By: esign.WhoOwner, Reason: "no"}},
		{"invalidated", esign.Command{Op: esign.OpInvalidate, By: esign.WhoSystem}},
		{"expired", esign.Command{Op: esign.OpSweep, By: esign.WhoSystem}},
	} {
		w := sent(t, draft(x, y))
		if end.name == "expired" {
			w.now = w.env.Deadline
		}
		w.must(end.c)
		add(end.name, w)
	}
	return names, at
}

// TestEveryStateAndCommand gives every command, by every kind of actor, in every
// state: each is a rule or a typed refusal that changes nothing. What each comes
// to is reviewed in testdata/matrix.md.
func TestEveryStateAndCommand(t *testing.T) {
	names, at := worlds(t)
	var b strings.Builder
	b.WriteString("# Every command in every state\n\nThe answer to a command about row x that is as good as it can be: what it changes, or the code of the\n" +
		"refusal. Written by TestEveryStateAndCommand (`-update`).\n")
	for _, name := range names {
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		codes := map[string][]string{}
		for _, op := range esign.Ops() {
			var answers []string
			for _, who := range whos {
				w := at[name].copy()
				w.forget()
				c := w.command(op, "x")
				c.By = who
				err := w.try(c)
				terminal := at[name].env.State.Terminal()
				switch {
				case err != nil && esign.ErrorCode(err) == "forbidden":
				case err != nil:
					answers = append(answers, esign.ErrorCode(err))
				default:
					if terminal {
						assert.Equal(t, at[name].env.State, w.env.State, "%s left its terminal state by %s", name, op)
					}
					answers = append(answers, w.change(at[name]))
				}
			}
			slices.Sort(answers)
			answers = slices.Compact(answers)
			require.NotEmpty(t, answers, "%s: nobody may %s", name, op)
			if len(answers) == 1 && !strings.ContainsAny(answers[0], " ") {
				codes[answers[0]] = append(codes[answers[0]], string(op))
				continue
			}
			fmt.Fprintf(&b, "- %s: %s\n", op, strings.Join(answers, " | "))
		}
		var refusals []string
		for code := range codes {
			refusals = append(refusals, code)
		}
		slices.Sort(refusals)
		for _, code := range refusals {
			fmt.Fprintf(&b, "- %s: %s\n", code, strings.Join(codes[code], ", "))
		}
	}
	golden := filepath.Join("testdata", "matrix.md")
	if flag.Lookup("update").Value.String() == "true" {
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), b.String())
}

// change describes what a command did: states, events, units, who is told, and
// every other effect.
func (w *world) change(was *world) string {
	out := "accepted"
	if w.env.State != was.env.State {
		out += ", envelope " + cmp.Or(string(w.env.State), "none")
		if w.env.Cause != "" {
			out += " (" + string(w.env.Cause) + ")"
		}
	}
	if w.env.Release != was.env.Release {
		out += ", release " + string(w.env.Release)
	}
	old, had := was.env.Recipient("x")
	now, has := w.env.Recipient("x")
	if had && has && old.State != now.State {
		out += ", x " + string(now.State)
	}
	for _, e := range w.events {
		out += "; " + e.Type
		if e.Recipient != "" {
			out += " " + e.Recipient
		}
		if e.By == esign.WhoApprover {
			out += " by " + e.Approver
		}
		if told := w.told(e.Type); len(told) > 0 {
			out += " -> " + strings.Join(slices.Compact(told), " ")
		}
	}
	if units := w.units(); len(units) > 0 {
		out += "; units " + strings.Join(units, " ")
	}
	for _, e := range w.effects {
		switch e.Kind {
		case esign.EffectHold, esign.EffectCapture, esign.EffectCharge, esign.EffectSettle, esign.EffectMark, esign.EffectNotify:
		case esign.EffectMove:
			out += "; move " + e.Recipient + " to " + e.To
		default:
			out += "; do " + string(e.Kind)
			if e.Recipient != "" {
				out += " " + e.Recipient
			}
			if !e.At.IsZero() {
				out += " after " + e.At.Sub(w.now).String()
			}
		}
	}
	return out + " "
}
