package esign_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/esign"
)

// A move is a command and when it comes.
type move struct {
	now time.Time
	cmd esign.Command
}

// anyDraft draws an envelope that can be sent.
func anyDraft(t *rapid.T) *esign.Envelope {
	flag := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, name) == 0 }
	d := draft()
	d.Deadline = t0.Add(time.Duration(rapid.IntRange(60, 240).Draw(t, "deadline")) * time.Hour)
	d.ManualFinish, d.SignerPays, d.NoLate = flag("manual"), flag("payer"), flag("nolate")
	if flag("review") {
		d.Review = &esign.Gate{Approvers: []string{"boss", "cfo"}, Rule: rapid.SampledFrom([]esign.Rule{esign.All, esign.Any}).Draw(t, "review rule")}
	}
	if flag("release") {
		d.Terminates = "old"
	}
	if flag("ends") {
		d.Rules.OnRecipientExpiry = esign.ExpiryEnds
	}
	d.Rules.MaxAttempts = 2
	for order := 1; order <= rapid.IntRange(1, 3).Draw(t, "stages"); order++ {
		n := rapid.IntRange(1, 3).Draw(t, "rows")
		rule := rapid.SampledFrom([]esign.Rule{esign.All, esign.All, esign.Any, esign.K}).Draw(t, "rule")
		s := esign.Stage{Order: order, Rule: rule}
		if rule == esign.K {
			s.K = rapid.IntRange(1, n).Draw(t, "k")
		}
		d.Stages = append(d.Stages, s)
		for i := range n {
			r := signer(fmt.Sprintf("r%d%d", order, i), order, by(rapid.SampledFrom([]esign.Channel{esign.ChannelWeChat, esign.ChannelSMS}).Draw(t, "channel")), org("acme"))
			r.Transfer, r.NoDecline = flag("transfer"), flag("nodecline")
			if rule == esign.All && (order > 1 || i > 0) {
				r.Role = rapid.SampledFrom([]esign.Role{esign.RolePerson, esign.RolePerson, esign.RoleApprover, esign.RoleViewer, esign.RoleSilent}).Draw(t, "role")
			}
			if r.Role == esign.RolePerson && flag("gate") {
				r.Gate = &esign.Gate{Approvers: []string{"boss", "cfo"}, Rule: rapid.SampledFrom([]esign.Rule{esign.All, esign.Any}).Draw(t, "gate rule")}
			}
			if flag("own deadline") {
				r.Deadline = t0.Add(time.Duration(order*20) * time.Hour)
			}
			if r.Role == esign.RolePerson && flag("fills") {
				d.Fields = append(d.Fields, fill("f"+r.ID, r.ID))
			}
			d.Recipients = append(d.Recipients, r)
		}
	}
	d.Recipients = append(d.Recipients, signer("cc", 0, role(esign.RoleCC)), signer("cc2", 0, role(esign.RoleCC), func(r *esign.Recipient) { r.Timing = esign.AtEnd }))
	return d
}

// anyCommand draws a command that is often the right one.
func (w *world) anyCommand(t *rapid.T) esign.Command {
	ids := []string{"nobody"}
	for _, r := range w.env.Recipients {
		ids = append(ids, r.ID)
	}
	id := rapid.SampledFrom(ids).Draw(t, "row")
	op := rapid.SampledFrom(esign.Ops()).Draw(t, "op")
	if next := w.sensible(); len(next) > 0 && rapid.IntRange(0, 9).Draw(t, "sensible") > 1 {
		n := rapid.SampledFrom(next).Draw(t, "next")
		op, id = n.Op, n.Recipient
	}
	ends := op == esign.OpRevoke || op == esign.OpClose || op == esign.OpInvalidate || op == esign.OpDecline || op == esign.OpRefuse
	if ends && rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		op = esign.OpSweep
	}
	c := w.command(op, id)
	c.By = rapid.SampledFrom(whos).Draw(t, "who")
	if best, ok := actors[op]; ok && rapid.IntRange(0, 9).Draw(t, "actor") > 0 {
		c.By = best[rapid.IntRange(0, len(best)-1).Draw(t, "which")]
	}
	c.Approver = rapid.SampledFrom([]string{"boss", "boss", "cfo", "cfo", "stranger"}).Draw(t, "approver")
	if g := w.gateFor(id); g != nil {
		c.Round = g.Round - rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "stale")
	}
	c.Filled = []string{"f" + id}
	if r, ok := w.env.Recipient(id); ok && r.Replaces != "" {
		for _, f := range w.env.Fields {
			c.Filled = append(c.Filled, f.ID)
		}
	}
	switch rapid.IntRange(0, 9).Draw(t, "facts") {
	case 0:
		c.Facts.Until = w.now.Add(3 * time.Hour)
	case 1:
		c.Facts.Identified = op != esign.OpOpen
	case 2:
		c.Facts.Certificate = false
	}
	c.Reopen = rapid.Bool().Draw(t, "reopen")
	if c.Row != nil {
		c.Row.ID = fmt.Sprintf("n%d", rapid.IntRange(0, 5).Draw(t, "new"))
		c.Row.Party.Account = c.Row.ID
		c.Row.Channel = rapid.SampledFrom([]esign.Channel{esign.ChannelWeChat, esign.ChannelSMS}).Draw(t, "new channel")
	}
	return c
}

// sensible are the commands that lead on.
func (w *world) sensible() (out []esign.Command) {
	add := func(op esign.Op, id string) { out = append(out, esign.Command{Op: op, Recipient: id}) }
	switch w.env.State {
	case esign.StateDraft:
		add(esign.OpSend, "")
	case esign.StateInReview:
		add(esign.OpPass, "")
	case esign.StateFinalizing:
		add(esign.OpFinalized, "")
		add(esign.OpFinalizeFailed, "")
	case esign.StateCompleted:
		add(esign.OpReleaseBegin, "")
		add(esign.OpReleaseDone, "")
		add(esign.OpReleaseEnded, "")
	case esign.StateInProgress:
		if w.env.ManualFinish {
			add(esign.OpFinish, "")
		}
		if d := w.env.Documents[0]; d.Base == "" || d.Outdated {
			add(esign.OpRender, "")
			return out
		}
	}
	for _, r := range w.env.Recipients {
		switch r.State {
		case esign.RecipientPending:
			if r.Role == esign.RoleSilent {
				add(esign.OpSilentSign, r.ID)
			}
		case esign.RecipientNotified:
			add(esign.OpOpen, r.ID)
		case esign.RecipientViewed, esign.RecipientFilling:
			add(esign.OpSubmitFill, r.ID)
			add(esign.OpProgress, r.ID)
		case esign.RecipientBlocked:
			add(esign.OpPass, r.ID)
		case esign.RecipientReady:
			add(esign.OpSign, r.ID)
			add(esign.OpPass, r.ID)
		case esign.RecipientExpired:
			add(esign.OpReplace, r.ID)
		}
	}
	return out
}

func (w *world) gateFor(id string) *esign.Gate {
	if w.env.State == esign.StateInReview {
		return w.env.Review
	}
	r, _ := w.env.Recipient(id)
	return r.Gate
}

var actors = map[esign.Op][]esign.Who{
	esign.OpCreate: {esign.WhoOwner}, esign.OpEdit: {esign.WhoOwner}, esign.OpDiscard: {esign.WhoOwner}, esign.OpSend: {esign.WhoOwner},
	esign.OpPass: {esign.WhoApprover}, esign.OpReturn: {esign.WhoApprover}, esign.OpRefuse: {esign.WhoApprover}, esign.OpRecall: {esign.WhoOwner},
	esign.OpResubmit: {esign.WhoOwner, esign.WhoRecipient}, esign.OpOpen: {esign.WhoRecipient}, esign.OpProgress: {esign.WhoSystem},
	esign.OpSaveFill: {esign.WhoRecipient}, esign.OpSubmitFill: {esign.WhoRecipient}, esign.OpSign: {esign.WhoRecipient},
	esign.OpSilentSign: {esign.WhoSystem}, esign.OpLapse: {esign.WhoSystem}, esign.OpDecline: {esign.WhoRecipient},
	esign.OpRevoke: {esign.WhoOwner}, esign.OpClose: {esign.WhoOwner}, esign.OpInvalidate: {esign.WhoSystem}, esign.OpFinish: {esign.WhoOwner},
	esign.OpFinalized: {esign.WhoSystem}, esign.OpFinalizeFailed: {esign.WhoSystem}, esign.OpAdd: {esign.WhoOwner}, esign.OpReplace: {esign.WhoOwner},
	esign.OpTransfer: {esign.WhoRecipient, esign.WhoOrgAdmin}, esign.OpRemove: {esign.WhoOwner}, esign.OpReroute: {esign.WhoOwner},
	esign.OpExtend: {esign.WhoOwner}, esign.OpRemind: {esign.WhoOwner, esign.WhoSystem}, esign.OpRender: {esign.WhoSystem},
	esign.OpReleaseBegin: {esign.WhoSystem}, esign.OpReleaseDone: {esign.WhoSystem}, esign.OpReleaseEnded: {esign.WhoSystem}, esign.OpSweep: {esign.WhoSystem},
}

// TestMachineModel drives random envelopes with random commands and checks what
// must hold at every step and at the end.
func TestMachineModel(t *testing.T) {
	ended := map[esign.State]int{}
	accepted := map[esign.Op]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := create(t, anyDraft(t))
		w.send()
		begin := w.copy()
		moves := []move{}
		steps := []int{0, 0, 0, 0, 0, 0, 0, 1, 1, 5, 25}
		back := rapid.IntRange(0, 4).Draw(t, "clock goes back") == 0
		if back {
			steps = append(steps, -1, -1)
		}
		answers := []string{}
		for range rapid.IntRange(1, 60).Draw(t, "moves") {
			w.now = w.now.Add(time.Duration(rapid.SampledFrom(steps).Draw(t, "hours")) * time.Hour)
			c := w.anyCommand(t)
			moves = append(moves, move{w.now, c})
			was := w.env
			seen := len(w.events)
			err := w.try(c)
			answers = append(answers, esign.ErrorCode(err))
			if err != nil {
				continue
			}
			accepted[c.Op]++
			w.step(was, c, w.events[seen:])
		}
		w.end()
		ended[w.env.State]++

		again := begin.copy()
		for i, m := range moves {
			again.now = m.now
			assert.Equal(t, answers[i], esign.ErrorCode(again.try(m.cmd)))
		}
		assert.Equal(t, encode(t, w.env), encode(t, again.env), "replaying the commands gives the same envelope")
		assert.Equal(t, w.events, again.events)
		assert.Equal(t, w.effects, again.effects)

		if back { // whether a sweep saw the later instant then makes a difference
			return
		}
		swept := begin.copy()
		for i, m := range moves {
			for range rapid.IntRange(0, 2).Draw(t, "sweeps") {
				if gap := m.now.Sub(swept.now); gap > 0 {
					swept.now = swept.now.Add(time.Duration(rapid.Int64Range(0, int64(gap)).Draw(t, "sweep")))
				}
				swept.sweep()
			}
			swept.now = m.now
			assert.Equal(t, answers[i], esign.ErrorCode(swept.try(m.cmd)), "sweeping changed the answer to %s", m.cmd.Op)
		}
		w.sweep()
		swept.sweep()
		assert.Equal(t, w.settled(), swept.settled(), "sweeping changed the envelope")
		assert.Equal(t, w.history(), swept.history(), "sweeping changed what happened")
		assert.Equal(t, w.units(), swept.units())
	})
	t.Logf("ended: %v", ended)
	t.Logf("accepted: %v", accepted)
}

var endings = []string{"envelope.completed", "envelope.declined", "envelope.revoked", "envelope.closed", "envelope.expired", "envelope.invalidated", "review.refused"}

// step checks one accepted command.
func (w *world) step(was esign.Envelope, c esign.Command, events []esign.Event) {
	if was.State.Terminal() {
		require.Equal(w.t, was.State, w.env.State, "invariant: terminal states absorb")
	}
	if due := w.env.Due(); !due.IsZero() && w.env.State != esign.StateFinalizing {
		require.True(w.t, due.After(w.now), "something due was left")
	}
	for _, e := range events {
		require.False(w.t, e.Effective().After(e.At), "%s took effect in the future", e.Type)
		if e.Type == "recipient.signed" || e.Type == "recipient.approved" {
			r := w.row(e.Recipient)
			for _, o := range w.env.Recipients {
				if o.Order > 0 && o.Order < r.Order {
					require.True(w.t, met(w.env, o.Order), "invariant 5: %s signed before stage %d was met", r.ID, o.Order)
				}
			}
		}
	}
	for _, r := range was.Recipients {
		now, ok := w.env.Recipient(r.ID)
		kept := ok || was.State == esign.StateDraft
		require.True(w.t, kept, "row %s disappeared after Send", r.ID)
		if final := []esign.RecipientState{esign.RecipientReplaced, esign.RecipientReleased, esign.RecipientSatisfied, esign.RecipientRevoked, esign.RecipientDeclined}; slices.Contains(final, r.State) {
			require.Equal(w.t, r.State, now.State, "final states of rows are final")
		}
		if r.State == esign.RecipientExpired && now.State != r.State {
			require.Contains(w.t, []esign.Op{esign.OpReplace, esign.OpTransfer, esign.OpRemove, esign.OpRecall}, c.Op)
		}
	}
	if w.env.State != "" && was.State != esign.StateDraft {
		for i, d := range was.Documents {
			require.GreaterOrEqual(w.t, len(w.env.Documents[i].Segments), len(d.Segments), "a revision was lost")
		}
	}
	var back esign.Envelope
	require.NoError(w.t, json.Unmarshal([]byte(encode(w.t, w.env)), &back))
	require.Equal(w.t, encode(w.t, w.env), encode(w.t, back))
	w.fold()
}

// met is the rule of a stage, told in another way than the machine does.
func met(e esign.Envelope, order int) bool {
	rule, k := esign.All, 0
	for _, s := range e.Stages {
		if s.Order == order {
			rule, k = s.Rule, s.K
		}
	}
	signed, others := 0, 0
	for _, r := range e.Recipients {
		if r.Order != order || r.Role == esign.RoleCC {
			continue
		}
		switch r.State {
		case esign.RecipientSigned, esign.RecipientReleased:
			signed++
		case esign.RecipientReplaced, esign.RecipientRevoked, esign.RecipientSatisfied:
		default:
			others++
		}
	}
	if signed+others == 0 {
		return true // everybody was removed
	}
	switch rule {
	case esign.Any:
		return signed > 0
	case esign.K:
		return signed >= k
	}
	return others == 0
}

// end checks the whole history.
func (w *world) end() {
	seals, ends := 0, 0
	lines := map[string]int{}
	charged := map[string]int{}
	for _, e := range w.effects {
		for _, l := range e.Lines {
			switch e.Kind {
			case esign.EffectHold:
				lines[l.Slot]++
				require.Equal(w.t, 1, lines[l.Slot], "slot %s held twice", l.Slot)
			case esign.EffectCapture, esign.EffectSettle:
				lines[l.Slot]--
				require.Zero(w.t, lines[l.Slot], "slot %s settled twice", l.Slot)
			case esign.EffectCharge:
				charged[l.Slot]++
				require.Equal(w.t, 1, charged[l.Slot], "slot %s charged twice", l.Slot)
			case esign.EffectMark:
				require.Equal(w.t, 1, lines[l.Slot], "a settled line was marked")
			}
		}
		if e.Kind == esign.EffectSeal {
			seals++
		}
	}
	last := time.Time{}
	for _, e := range w.events {
		require.False(w.t, e.At.Before(last), "invariant: event times never go back")
		last = e.At
		if slices.Contains(endings, e.Type) {
			ends++
		}
	}
	if !w.env.State.Terminal() {
		require.Zero(w.t, ends)
		return
	}
	require.Equal(w.t, 1, ends, "exactly one end")
	require.Positive(w.t, seals)
	require.False(w.t, w.env.EndedAt.IsZero())
	for slot, n := range lines {
		require.Zero(w.t, n, "slot %s is still held at the end", slot)
	}
	for _, r := range w.env.Recipients {
		require.True(w.t, !r.State.Live() || r.Role == esign.RoleCC, "row %s is still %s", r.ID, r.State)
	}
}

var becomes = map[string]esign.RecipientState{
	"recipient.added": esign.RecipientPending, "recipient.invited": esign.RecipientNotified, "recipient.viewed": esign.RecipientViewed,
	"fields.filled": esign.RecipientPending, "recipient.blocked": esign.RecipientBlocked, "gate.passed": esign.RecipientViewed,
	"recipient.ready": esign.RecipientReady, "recipient.signed": esign.RecipientSigned, "recipient.approved": esign.RecipientSigned,
	"recipient.opened": esign.RecipientSigned, "recipient.lapsed": esign.RecipientViewed, "recipient.declined": esign.RecipientDeclined,
	"gate.refused": esign.RecipientDeclined, "recipient.replaced": esign.RecipientReplaced, "recipient.removed": esign.RecipientRevoked,
	"recipient.expired": esign.RecipientExpired, "recipient.satisfied": esign.RecipientSatisfied, "recipient.voided": esign.RecipientRevoked,
	"recipient.released": esign.RecipientReleased,
}

// fold rebuilds the states of the rows from the events alone.
func (w *world) fold() {
	if w.env.State == "" || w.env.State == esign.StateDraft {
		return
	}
	rows := map[string]esign.RecipientState{}
	for _, e := range w.events {
		if s, ok := becomes[e.Type]; ok {
			rows[e.Recipient] = s
		}
		if !slices.Contains(endings, e.Type) || e.Type == "envelope.completed" {
			continue
		}
		for _, r := range w.env.Recipients {
			s := or(rows[r.ID], esign.RecipientPending)
			switch {
			case !s.Live() || r.Role == esign.RoleCC && s != esign.RecipientPending:
			case e.Type == "envelope.expired":
				rows[r.ID] = esign.RecipientExpired
			default:
				rows[r.ID] = esign.RecipientRevoked
			}
		}
	}
	for _, r := range w.env.Recipients {
		want := r.State
		if want == esign.RecipientFilling { // saving is no event
			want = esign.RecipientViewed
		}
		require.Equal(w.t, want, or(rows[r.ID], esign.RecipientPending), "row %s rebuilt from events", r.ID)
	}
}

func or(s, def esign.RecipientState) esign.RecipientState {
	if s == "" {
		return def
	}
	return s
}
