package esign

import (
	"cmp"
	"slices"
	"time"
)

// Apply takes env one step further. It is pure: no store, no clock, no
// randomness, and env is not written to.
//
// First every deadline that passed by now applies at its own instant, so that
// noticing it late, early or never gives the same answer; then cmd; then
// whatever follows from it, until nothing changes. Deadlines are half-open: at
// the deadline it is over. If now is before the last change, that instant is
// taken instead, so times never go back.
//
// A refusal returns env as it was given, no events and no effects: the service
// stores nothing. Every pair of state and command is either a rule of the table
// (testdata/machine.md shows it) or a refusal.
func Apply(env Envelope, cmd Command, now time.Time) (Envelope, []Event, []Effect, error) {
	m := &run{env: env.clone(), now: now.UTC().Truncate(time.Microsecond)}
	if m.now.Before(env.At) {
		m.now = env.At
	}
	m.overdue()
	m.eff, m.cmd = m.now, cmd
	if err := m.command(); err != nil {
		return env, nil, nil, err
	}
	m.settle()
	if m.touched {
		m.env.At = m.now
	}
	if m.sealed {
		m.effect(Effect{Kind: EffectSeal, Cause: m.env.Cause})
	}
	return m.env, m.events, m.effects, nil
}

// Due is the next instant at which something happens to the envelope by itself:
// a deadline, the end of an identity, the next attempt at finalizing. It is zero
// if nothing will. Sweeping then is bookkeeping: a late one changes no answer.
func (e *Envelope) Due() time.Time {
	if e.State == StateFinalizing {
		return e.RetryAt
	}
	at, _ := e.nextDue()
	return at
}

// asOf is the envelope as it stands at the instant, whatever was booked by then.
// Reads use it, so that no answer depends on a sweep.
func (e Envelope) asOf(now time.Time) Envelope {
	e, _, _, _ = Apply(e, Command{Op: OpSweep, By: WhoSystem}, now)
	return e
}

// A run is one call of Apply.
type run struct {
	env     Envelope
	cmd     Command
	now     time.Time // recording instant
	eff     time.Time // effective instant of what happens
	id      string    // row that the rule being fired is about
	follows bool      // what happens follows by itself: the system's act
	touched bool      // something changed
	sealed  bool      // the chain ends with this commit
	events  []Event
	effects []Effect
}

// A rule is one row of the transition tables.
type rule struct {
	id    string
	in    []State          // states of the envelope; in the table of rows nil: as the envelope's rule says
	from  []RecipientState // nil: a rule of the envelope
	op    Op
	who   []Who
	when  []cond  // chooses among the rules of one command
	guard []guard // refuses
	do    []act
	to    State          // zero: the same
	row   RecipientState // zero: the same
	units []act
	event []string
	tells []tell
}

// The parts of a rule: what it says, and what it does.
type (
	cond struct {
		text  string
		holds func(*run) bool
	}
	guard struct {
		text  string
		check func(*run) error
	}
	act struct {
		text string
		do   func(*run)
	}
	tell struct {
		text string
		send func(m *run, what string)
	}
)

// Triggers that no caller can send.
const (
	opSettle Op = "settle"   // follows by itself
	opDue    Op = "deadline" // an instant has come
)

func (m *run) r() *Recipient { return m.env.row(m.id) }

// applies reports whether the rule is one for here and now.
func (m *run) applies(r *rule) bool {
	if r.in != nil && !slices.Contains(r.in, m.env.State) {
		return false
	}
	if r.from != nil {
		row := m.r()
		if row == nil || !slices.Contains(r.from, row.State) {
			return false
		}
	}
	return !slices.ContainsFunc(r.when, func(c cond) bool { return !c.holds(m) })
}

// A table has the rules of each command, in order.
type table map[Op][]*rule

var envelopeTable, rowTable = index(envelopeRules), index(rowRules)

func index(rules []rule) table {
	t := table{}
	for i := range rules {
		t[rules[i].op] = append(t[rules[i].op], &rules[i])
	}
	return t
}

func (m *run) find(t table, op Op) *rule {
	for _, r := range t[op] {
		if m.applies(r) {
			return r
		}
	}
	return nil
}

// allowed: some rule lets this kind of actor give the command.
func (m *run) allowed() bool {
	may := func(r *rule) bool { return slices.Contains(r.who, m.cmd.By) }
	return slices.ContainsFunc(envelopeTable[m.cmd.Op], may) || slices.ContainsFunc(rowTable[m.cmd.Op], may)
}

// command fires the rule of the envelope, the rule of the row, or both.
func (m *run) command() error {
	op := m.cmd.Op
	if !slices.Contains(ops, op) {
		return badField("op", "is no command")
	}
	if op == OpSweep && m.cmd.By == WhoSystem {
		return nil
	}
	if !m.allowed() {
		return ErrForbidden
	}
	m.id = m.cmd.Recipient
	var fired []*rule
	if envelopeTable[op] != nil {
		r := m.find(envelopeTable, op)
		if r == nil {
			return m.refuseState()
		}
		fired = append(fired, r)
	}
	if addressed := m.id != "" || rowOnly(op); addressed && m.env.State != "" {
		if m.r() == nil {
			return ErrNotFound
		}
		if rowTable[op] != nil {
			r := m.find(rowTable, op)
			if r == nil {
				return m.refuseRow()
			}
			fired = append(fired, r)
		}
	} else if len(fired) == 0 {
		return m.refuseState()
	}
	for _, r := range fired {
		if !slices.Contains(r.who, m.cmd.By) {
			return ErrForbidden
		}
	}
	for _, r := range fired {
		for _, g := range r.guard {
			if err := g.check(m); err != nil {
				return err
			}
		}
	}
	slices.Reverse(fired) // what the row did comes before what that means for the envelope
	for _, r := range fired {
		m.fire(r)
	}
	return nil
}

// rowOnly: the command is about a row and means nothing without one.
func rowOnly(op Op) bool {
	switch op {
	case OpReroute, OpRemind:
		return true
	case OpPass, OpReturn, OpRefuse: // the review has no row
		return false
	}
	return rowTable[op] != nil
}

func (m *run) fire(r *rule) {
	for _, a := range r.do {
		a.do(m)
	}
	was := m.env.State
	if r.to != "" {
		m.env.State = r.to
		if r.to.Terminal() && !was.Terminal() {
			m.end()
		}
	}
	if row := m.r(); r.row != "" && row != nil {
		row.State = r.row
	}
	for _, u := range r.units {
		u.do(m)
	}
	for _, e := range r.event {
		m.event(e)
	}
	what := ""
	if len(r.event) > 0 {
		what = r.event[len(r.event)-1]
	}
	for _, t := range r.tells {
		t.send(m, what)
	}
	m.touched = m.touched || r.to != "" || r.row != "" || len(r.do)+len(r.units)+len(r.event) > 0
}

// end is what every terminal state has in common.
func (m *run) end() {
	m.env.EndedAt, m.env.RetryAt, m.sealed = m.eff, time.Time{}, true
	if m.env.Terminates != "" && !m.env.SentAt.IsZero() {
		op := OpReleaseEnded
		if m.env.State == StateCompleted {
			op = OpReleaseDone
		}
		m.effect(Effect{Kind: EffectLinked, Linked: m.env.Terminates, Op: op})
	}
}

func (m *run) event(typ string) {
	e := Event{Type: typ, By: WhoSystem, At: m.now}
	if !m.follows {
		e.By = m.cmd.By
		if e.By == WhoApprover {
			e.Approver = m.cmd.Approver
		}
	}
	if !m.eff.Equal(m.now) {
		e.Eff = m.eff
	}
	if aboutRow(typ) {
		e.Recipient = m.id
	}
	m.events = append(m.events, e)
}

func (m *run) effect(e Effect) { m.effects = append(m.effects, e) }

// settle lets follow what follows: rows first, since they decide what the
// envelope does. It ends because every rule of settling moves a row or the
// envelope forward, or spends a flag.
func (m *run) settle() {
	was := m.follows
	m.follows = true
	defer func() { m.follows, m.id = was, "" }()
	for again := true; again; {
		again = false
		m.route()
		for i := range m.env.Recipients {
			m.id = m.env.Recipients[i].ID
			if r := m.find(rowTable, opSettle); r != nil {
				m.fire(r)
				again = true
			}
		}
		m.id = ""
		if again {
			continue
		}
		if r := m.find(envelopeTable, opSettle); r != nil {
			m.fire(r)
			again = true
		}
	}
}

// overdue applies what fell due by now, each thing at its own instant.
func (m *run) overdue() {
	m.follows = true
	defer func() { m.follows, m.id = false, "" }()
	for {
		at, row := m.env.nextDue()
		if at.IsZero() || at.After(m.now) {
			return
		}
		m.eff, m.id = at, row
		t := envelopeTable
		if row != "" {
			t = rowTable
		}
		m.fire(m.find(t, opDue))
		m.settle()
	}
}

// nextDue is the earliest instant at which something falls due, and for which
// row; of equal ones the envelope's own comes first, then the rows in order.
func (e *Envelope) nextDue() (time.Time, string) {
	if !e.State.running() {
		return time.Time{}, ""
	}
	type item struct {
		at  time.Time
		row string
	}
	due := []item{{at: e.Deadline}}
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if !r.State.Live() || r.Role == RoleCC {
			continue
		}
		due = append(due, item{r.Deadline, r.ID})
		if r.State == RecipientReady && r.Facts.Identified {
			due = append(due, item{r.Facts.Until, r.ID})
		}
	}
	due = slices.DeleteFunc(due, func(i item) bool { return i.at.IsZero() })
	if len(due) == 0 {
		return time.Time{}, ""
	}
	first := slices.MinFunc(due, func(a, b item) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return cmp.Compare(min(len(a.row), 1), min(len(b.row), 1))
	})
	return first.at, first.row
}
