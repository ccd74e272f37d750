package esign

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Acts change what states alone do not say; those on units also ask the ledger.
var (
	takeContent = act{"content", func(m *run) { m.env = m.content() }}
	discard     = act{"removed", func(m *run) {
		m.env = Envelope{Tenant: m.env.Tenant, ID: m.env.ID}
		m.effect(Effect{Kind: EffectDelete})
	}}
	start  = act{"start", (*run).start}
	recall = act{"round + 1; rows Pending, older links die", func(m *run) {
		m.env.Review.nextRound()
		for i := range m.env.Recipients {
			m.env.Recipients[i].AddressVersion++
			m.env.Recipients[i].State = RecipientPending
		}
		m.env.SentAt = time.Time{}
		if m.env.Terminates != "" {
			m.effect(Effect{Kind: EffectLinked, Linked: m.env.Terminates, Op: OpReleaseEnded})
		}
	}}
	answerReview  = act{"answer kept", func(m *run) { m.answer(m.env.Review) }}
	answerGate    = act{"answer kept", func(m *run) { m.answer(m.r().Gate) }}
	nextGateRound = act{"round + 1", func(m *run) { m.r().Gate.nextRound() }}

	askRender      = act{"base asked", func(m *run) { m.effect(Effect{Kind: EffectRender}) }}
	askFinalize    = act{"finalizing asked", func(m *run) { m.effect(Effect{Kind: EffectFinalize, At: m.eff}) }}
	askCertificate = act{"certificate asked", func(m *run) { m.ask(EffectCertificate) }}
	askSilent      = act{"silent seal asked", func(m *run) { m.ask(EffectSilent) }}
	alarm          = act{"host alarm", func(m *run) { m.effect(Effect{Kind: EffectAlarm, What: "finalize.failed"}) }}
	nextAttempt    = act{"again after 2^n min", func(m *run) {
		m.env.Attempt++
		if m.env.Attempt < or(m.env.Rules.MaxAttempts, 10) {
			m.env.RetryAt = m.eff.Add(time.Minute << min(m.env.Attempt, 20))
			m.effect(Effect{Kind: EffectFinalize, At: m.env.RetryAt})
		}
	}}

	noteNotified = act{"", func(m *run) { m.r().NotifiedAt = m.eff }}
	noteFilled   = act{"filled", func(m *run) { m.r().Filled = true }}
	takeFacts    = act{"facts", func(m *run) { m.takeFacts() }}
	lapse        = act{"facts; gate round + 1 if reopened", func(m *run) {
		if m.cmd.Reopen {
			m.r().Gate.nextRound()
			return
		}
		m.takeFacts()
	}}
	forgetIdentity = act{"identity over", func(m *run) { m.r().Facts.Identified = false }}
	voidIt         = act{"VoidedAt", func(m *run) { m.r().VoidedAt = m.eff }}

	addRow = act{"new row Pending; new stage All", func(m *run) {
		r := m.newRow()
		m.env.Recipients = append(m.env.Recipients, r)
		m.env.Fields = append(m.env.Fields, m.cmd.Fields...)
		m.env.addStages()
		m.id = r.ID
	}}
	outdate = act{"base outdated, if nobody signed", func(m *run) {
		if m.env.anySigned() {
			return
		}
		for i := range m.env.Documents {
			d := &m.env.Documents[i]
			d.Outdated = d.Outdated || d.Base != ""
		}
		if m.env.State == StateInProgress {
			m.effect(Effect{Kind: EffectRender})
		}
	}}
	replaceRow = act{"new row Pending: same order and fields", (*run).replaceRow}
	reroute    = act{"AddressVersion + 1", func(m *run) {
		r, n := m.r(), m.cmd.Row
		r.AddressVersion++
		r.Channel, r.Consent, r.Address = or(n.Channel, r.Channel), or(n.Consent, r.Consent), or(n.Address, r.Address)
	}}
	extend = act{"deadline", func(m *run) {
		if m.id == "" {
			m.env.Deadline = micro(m.cmd.Deadline)
			return
		}
		m.r().Deadline = micro(m.cmd.Deadline)
	}}
	countReminder = act{"counted", func(m *run) {
		n := &m.r().Reminders
		if m.cmd.By == WhoSystem {
			n.Scheduled++
		} else {
			n.ByHand++
		}
		n.Last = m.eff
	}}
	takeBase = act{"base", func(m *run) {
		for _, d := range m.cmd.Documents {
			d.Segments, d.Released, d.Outdated = slices.Clone(d.Segments), false, false
			*m.env.document(d.ID) = d
		}
	}}
	takeDocuments = act{"new revision", func(m *run) {
		for _, d := range m.cmd.Documents {
			have := m.env.document(d.ID)
			have.Segments, have.SHA256, have.SM3, have.Level = slices.Clone(d.Segments), d.SHA256, d.SM3, d.Level
		}
	}}
	beginRelease = act{"Releasing", func(m *run) { m.env.Release, m.env.ReleasedBy = ReleaseReleasing, m.cmd.Linked }}
	doneRelease  = act{"Released, or PartiallyReleased", func(m *run) {
		all := true
		for i := range m.env.Documents {
			d := &m.env.Documents[i]
			d.Released = d.Released || len(m.cmd.Items) == 0 || slices.Contains(m.cmd.Items, d.ID)
			all = all && d.Released
		}
		m.env.Release, m.sealed = ReleasePartiallyReleased, true
		if all {
			m.env.Release = ReleaseReleased
		}
	}}
	endRelease = act{"none, or PartiallyReleased", func(m *run) {
		m.env.Release = ReleaseNone
		if slices.ContainsFunc(m.env.Documents, func(d Document) bool { return d.Released }) {
			m.env.Release = ReleasePartiallyReleased
		}
	}}

	holdLines = act{"hold a line per signer, none if the signer pays", func(m *run) {
		var ids []string
		for _, r := range m.env.Recipients {
			ids = append(ids, r.ID)
		}
		m.hold(ids...)
	}}
	holdAdded = act{"hold", func(m *run) { m.hold(m.id) }}
	moveLine  = act{"the line moves to the new row", func(m *run) {
		old := m.r()
		if next := m.env.row(old.ReplacedBy); next.Line.Slot != "" {
			m.effect(Effect{Kind: EffectMove, Recipient: old.ID, To: next.ID, Lines: []Line{{next.ID, next.Line}}})
		}
	}}
	captureOrCharge = act{"capture the line, or charge the signer", func(m *run) {
		r := m.r()
		kind := EffectCapture
		if m.env.SignerPays {
			kind, r.Line = EffectCharge, m.lineFor(r.ID)
		} else if !r.Line.open() {
			return
		}
		r.Line.Settled = CauseSigned
		m.effect(Effect{Kind: kind, Lines: []Line{{r.ID, r.Line}}})
	}}
)

func because(c Cause) act {
	return act{"cause " + string(c), func(m *run) { m.env.Cause = c }}
}

func signIt(o Outcome) act {
	return act{"outcome " + string(o), func(m *run) { r := m.r(); r.Outcome, r.SignedAt = o, m.eff }}
}

func settleOpen(c Cause) act {
	return act{"settle every open line: " + string(c), func(m *run) {
		m.settleLines(c, func(*Recipient) bool { return true })
	}}
}

func settleIt(c Cause) act {
	return act{"settle its line: " + string(c), func(m *run) {
		id := m.id
		m.settleLines(c, func(r *Recipient) bool { return r.ID == id })
	}}
}

func (m *run) settleLines(c Cause, which func(*Recipient) bool) {
	var lines []Line
	for i := range m.env.Recipients {
		if r := &m.env.Recipients[i]; r.Line.open() && which(r) {
			r.Line.Settled = c
			lines = append(lines, Line{r.ID, r.Line})
		}
	}
	if len(lines) > 0 {
		m.effect(Effect{Kind: EffectSettle, Cause: c, Lines: lines})
	}
}

func (m *run) lineFor(slot string) LineRef {
	l := m.cmd.Line
	l.Slot, l.Settled, l.Result = slot, "", ""
	return l
}

func (m *run) hold(ids ...string) {
	if m.env.SignerPays {
		return
	}
	var lines []Line
	for _, id := range ids {
		if r := m.env.row(id); r.Role.Signer() {
			r.Line = m.lineFor(id)
			lines = append(lines, Line{id, r.Line})
		}
	}
	if len(lines) > 0 {
		m.effect(Effect{Kind: EffectHold, Lines: lines})
	}
}

func (m *run) answer(g *Gate) {
	a := map[Op]Answer{OpPass: AnswerPass, OpReturn: AnswerReturn, OpRefuse: AnswerRefuse}[m.cmd.Op]
	g.answer(Decided{Approver: m.cmd.Approver, Answer: a, At: m.eff})
}

func (m *run) ask(kind EffectKind) {
	m.r().Asked = true
	m.effect(Effect{Kind: kind, Recipient: m.id})
}

func (m *run) takeFacts() {
	f := m.cmd.Facts
	f.Until = micro(f.Until)
	f.Identified = f.identified(m.eff)
	r := m.r()
	r.Facts, r.Asked = f, r.Asked && !f.Certificate
}

// start is what every Send has in common.
func (m *run) start() {
	e := &m.env
	e.SentAt = m.eff
	if e.Deadline.IsZero() {
		e.Deadline = m.eff.Add(or(e.Rules.Lifetime, 90*day))
	}
	e.addStages()
	if e.Terminates != "" {
		m.effect(Effect{Kind: EffectLinked, Linked: e.Terminates, Op: OpReleaseBegin})
	}
}

// addStages writes down a stage of rule All for each order that has none.
func (e *Envelope) addStages() {
	for _, o := range e.orders() {
		if !slices.ContainsFunc(e.Stages, func(s Stage) bool { return s.Order == o }) {
			e.Stages = append(e.Stages, Stage{Order: o, Rule: All})
		}
	}
	slices.SortStableFunc(e.Stages, func(a, b Stage) int { return a.Order - b.Order })
}

// content is the draft of the command, with everything that is not the
// sender's to say taken from the envelope or zero.
func (m *run) content() Envelope {
	if m.cmd.Draft == nil || m.cmd.Op != OpCreate && m.cmd.Op != OpEdit {
		return m.env.clone()
	}
	d, old := m.cmd.Draft.clone(), &m.env
	e := Envelope{
		Tenant: d.Tenant, ID: d.ID, Version: old.Version, Kind: or(d.Kind, Ordinary), Owner: d.Owner, Title: d.Title, Ref: d.Ref,
		State: StateDraft, Stages: d.Stages, Documents: d.Documents, Fields: d.Fields, Recipients: d.Recipients, Review: d.Review,
		Deadline: micro(d.Deadline), ManualFinish: d.ManualFinish, SignerPays: d.SignerPays, NoLate: d.NoLate,
		Template: d.Template, Terminates: d.Terminates, Rules: d.Rules, At: old.At,
	}
	if old.State != "" {
		e.Tenant, e.ID = old.Tenant, old.ID
	}
	if e.Review != nil {
		e.Review.Round, e.Review.Answers = 1, nil
		if old.Review != nil {
			e.Review.Round = old.Review.Round
		}
	}
	version := uint64(1) // links of a row that was dropped and comes back stay dead
	for _, r := range old.Recipients {
		version = max(version, r.AddressVersion)
	}
	for i := range e.Recipients {
		e.Recipients[i] = fresh(e.Recipients[i], version)
	}
	for i := range e.Documents {
		e.Documents[i].Base, e.Documents[i].Outdated, e.Documents[i].Released = "", false, false
	}
	return e
}

// fresh is the row as its sender describes it, before anything happened to it.
func fresh(d Recipient, version uint64) Recipient {
	r := Recipient{
		ID: d.ID, Role: or(d.Role, RolePerson), Order: d.Order, State: RecipientPending, Party: d.Party, Name: d.Name, Address: d.Address,
		AddressVersion: version, Channel: d.Channel, Consent: d.Consent, View: d.View, Sign: d.Sign, Documents: d.Documents,
		Reading: d.Reading, Uploads: d.Uploads, NoDecline: d.NoDecline, Transfer: d.Transfer, Gate: d.Gate.clone(),
		Deadline: micro(d.Deadline), Timing: d.Timing,
	}
	if r.Gate != nil {
		r.Gate.Round, r.Gate.Answers = 1, nil
	}
	return r
}

// newRow is the row that the command adds.
func (m *run) newRow() Recipient { return fresh(m.cmd.Row.clone(), 1) }

// heir is the row that takes the place of old: its own person and address,
// everything else as it was, the line and its channels included.
func (m *run) heir(old *Recipient) Recipient {
	n := m.cmd.Row.clone()
	d := old.clone()
	d.ID, d.Party, d.Name, d.Address, d.Channel, d.Consent, d.Deadline = n.ID, n.Party, n.Name, n.Address, n.Channel, n.Consent, n.Deadline
	r := fresh(d, 1)
	r.Line, r.Used, r.Replaces = old.Line, slices.Clone(old.Used), old.ID
	r.Filled = old.Filled && m.env.State != StateFilling
	return r
}

func (m *run) replaceRow() {
	old := m.r()
	r := m.heir(old)
	old.Line, old.ReplacedBy = LineRef{}, r.ID
	for i := range m.env.Fields {
		if m.env.Fields[i].Recipient == old.ID {
			m.env.Fields[i].Recipient = r.ID
		}
	}
	m.env.Recipients = append(m.env.Recipients, r)
}

// Tells queue messages.
var (
	tellOwner = tell{"owner", func(m *run, what string) {
		m.effect(Effect{Kind: EffectNotify, Owner: true, Recipient: m.id, What: what})
	}}
	tellReviewers = tell{"approvers", func(m *run, what string) { m.tellApprovers(m.env.Review, what) }}
	tellGate      = tell{"gate approvers", func(m *run, what string) { m.tellApprovers(m.r().Gate, what) }}
	tellGateOpen  = tell{"gate approvers", func(m *run, what string) {
		if !m.r().Gate.passed() {
			m.tellApprovers(m.r().Gate, what)
		}
	}}
	tellIt           = tell{"it", func(m *run, what string) { m.notify(m.r(), what) }}
	tellItIfNotified = tell{"it, if notified", func(m *run, what string) {
		if !m.r().NotifiedAt.IsZero() {
			m.notify(m.r(), what)
		}
	}}
	tellNewAddress = tell{"new address, if notified", tellItIfNotified.send}
	tellNotified   = tell{"all notified", func(m *run, what string) {
		m.each(what, func(r *Recipient) bool { return !r.NotifiedAt.IsZero() })
	}}
	tellAll = tell{"all", func(m *run, what string) {
		m.each(what, func(r *Recipient) bool { return r.State != RecipientPending })
	}}
	tellLive = tell{"live rows that were notified", func(m *run, what string) {
		m.each(what, func(r *Recipient) bool {
			return r.State.Live() && !r.NotifiedAt.IsZero() && (m.id == "" || r.ID == m.id)
		})
	}}
)

// each tells rows that are still part of the envelope.
func (m *run) each(what string, which func(*Recipient) bool) {
	for i := range m.env.Recipients {
		r := &m.env.Recipients[i]
		if gone := r.Role != RoleCC && !r.acts(); !gone && which(r) {
			m.notify(r, what)
		}
	}
}

func (m *run) tellApprovers(g *Gate, what string) {
	if g == nil {
		return
	}
	for _, a := range g.Approvers {
		m.effect(Effect{Kind: EffectNotify, Approver: a, Recipient: m.id, What: what})
	}
}

// notify queues a message to the row. An invitation or a reminder marks the
// line with its channel, in this commit and for good (D02, D24).
func (m *run) notify(r *Recipient, what string) {
	if r.Role == RoleSilent {
		return
	}
	m.effect(Effect{Kind: EffectNotify, Recipient: r.ID, Channel: r.Channel, What: what})
	marks := what == "recipient.invited" || what == "recipient.rerouted" || what == "recipient.reminded" && !m.env.Rules.RemindersUnmarked
	if !marks || slices.Contains(r.Used, r.Channel) {
		return
	}
	r.Used = append(r.Used, r.Channel)
	if r.Line.open() {
		m.effect(Effect{Kind: EffectMark, Channel: r.Channel, Lines: []Line{{r.ID, r.Line}}})
	}
}

// aboutRow: the event has a row as its subject.
func aboutRow(typ string) bool {
	return strings.HasPrefix(typ, "recipient.") || strings.HasPrefix(typ, "gate.") || typ == "fields.filled"
}

func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

func sameEnvelope(a, b Envelope) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
