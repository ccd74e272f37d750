package esign

import (
	"slices"
	"time"
)

// Guards of the commands that change a running envelope. Those that put a row
// in judge the envelope as it would be.
var (
	addable = guard{"order not below the open stage; before the first signature, or ManualFinish; not NoLate; valid", func(m *run) error {
		switch {
		case m.cmd.Row == nil:
			return badField("row", "is missing")
		case m.env.NoLate:
			return ErrForbidden
		case m.env.anySigned() && !m.env.ManualFinish:
			return &StateError{State: m.env.State}
		}
		r := m.newRow()
		if r.Role != RoleCC && r.Order < m.env.Open {
			return badField("row.order", "is below the open stage")
		}
		if rule := m.env.stage(r.Order).Rule; (rule == Any || rule == K) && m.env.State == StateInProgress && m.env.met(r.Order) && r.Role != RoleCC {
			return badField("row.order", "is of a stage that is met")
		}
		for i, f := range m.cmd.Fields {
			if f.Recipient != r.ID {
				return badField(at("fields", i, "recipient"), "is not the new row")
			}
		}
		e := m.env.clone()
		e.Recipients = append(e.Recipients, r)
		e.Fields = append(e.Fields, m.cmd.Fields...)
		return check(&e, m.channels(e), m.eff, true)
	}}
	replaceable = guard{"new row valid", func(m *run) error {
		if m.cmd.Row == nil {
			return badField("row", "is missing")
		}
		e := m.env.clone()
		old := e.row(m.id)
		r := m.heir(old)
		old.State = RecipientReplaced
		e.Recipients = append(e.Recipients, r)
		return check(&e, m.channels(e), m.eff, true)
	}}
	transferable = guard{"allowed; same organisation, real-named; not after it filled", func(m *run) error {
		r := m.r()
		switch {
		case m.cmd.By == WhoRecipient && !r.Transfer:
			return ErrForbidden
		case r.Filled:
			return &StateError{State: m.env.State, Recipient: r.ID, Row: r.State}
		case m.cmd.Row == nil:
			return badField("row", "is missing")
		case r.Party.Org == "" || m.cmd.Row.Party.Org != r.Party.Org:
			return badField("row.party.org", "is not the same organisation")
		case !m.cmd.RealNamed:
			return badField("row.party.account", "is not real-named")
		}
		return nil
	}}
	removable = guard{"stage can still be met, or is empty; not the last signer", func(m *run) error {
		e := m.env.clone()
		r := e.row(m.id)
		r.State = RecipientRevoked
		if e.lost(r.Order) {
			return badField("recipient", "is needed: the stage could no longer be met")
		}
		if !slices.ContainsFunc(e.Recipients, func(r Recipient) bool { return r.acts() && r.Role.Signer() }) {
			return badField("recipient", "is the last signer")
		}
		return nil
	}}
	reroutable = guard{"live; channel declared", func(m *run) error {
		r := m.r()
		if !r.State.Live() {
			return m.refuseRow()
		}
		if m.cmd.Row == nil {
			return badField("row", "is missing")
		}
		c := &checker{channels: m.cmd.Channels}
		c.channel("row.channel", m.cmd.Row.Channel)
		c.must(slices.Contains([]Consent{"", ConsentStaff, ConsentCustomer}, m.cmd.Row.Consent), "row.consent", "is unknown")
		return c.err
	}}
	extendable = guard{"later than the old deadline and than now; something still missing; order of deadlines kept", func(m *run) error {
		d, old := micro(m.cmd.Deadline), m.env.Deadline
		if m.env.State == StateInProgress && m.env.everyMet() {
			return &StateError{State: m.env.State, why: ErrAllSigned}
		}
		if m.id != "" {
			r := m.r()
			if !r.State.Live() || r.Role == RoleCC {
				return m.refuseRow()
			}
			old = or(r.Deadline, old)
		}
		switch {
		case !d.After(old) || !d.After(m.eff):
			return badField("deadline", "is not later than the one in force")
		case d.After(m.eff.Add(maxDeadline)):
			return badField("deadline", "is more than 365 days ahead")
		case m.id != "" && d.After(m.env.Deadline):
			return badField("deadline", "is after the envelope's")
		case m.id != "" && !m.env.inSequence(m.r().Order, d):
			return badField("deadline", "is after a later stage's")
		}
		return nil
	}}
	remindable = guard{"notified and awaited; count and gap", func(m *run) error {
		r := m.r()
		if !r.State.Live() || r.Role == RoleSilent {
			return m.refuseRow()
		}
		next := r.nextReminder(m.env.Rules, m.cmd.By == WhoSystem)
		if next.IsZero() || m.eff.Before(next) {
			return &ReminderError{Next: next}
		}
		return nil
	}}
)

// channels are those that the command declares, and those that the envelope was
// sent with: a change of policy does not spoil rows that are there.
func (m *run) channels(e Envelope) []Channel {
	out := slices.Clone(m.cmd.Channels)
	for _, r := range m.env.Recipients {
		out = append(out, r.Channel)
	}
	return out
}

// NextReminder is the instant from which a scheduled reminder of the row is due;
// zero if none is. Quiet hours are the service's to keep.
func (e *Envelope) NextReminder(id string) time.Time {
	r := e.row(id)
	if r == nil || !e.State.running() || r.Role == RoleSilent {
		return time.Time{}
	}
	return r.nextReminder(e.Rules, true)
}

// nextReminder is zero if no more reminders are left, or the row is not waited for.
func (r *Recipient) nextReminder(rules Rules, scheduled bool) time.Time {
	if !r.State.Live() || r.State == RecipientPending || r.Role == RoleCC {
		return time.Time{}
	}
	n, most := r.Reminders.ByHand, or(rules.MaxByHand, 3)
	if scheduled {
		n, most = r.Reminders.Scheduled, or(rules.MaxScheduled, 5)
	}
	if n >= most {
		return time.Time{}
	}
	next := r.NotifiedAt
	if last := r.Reminders.Last; !last.IsZero() {
		next = last.Add(or(rules.ReminderGap, 12*time.Hour))
	}
	if !scheduled {
		return next
	}
	at := r.NotifiedAt.Add(or(rules.FirstReminder, 5*day))
	if n > 0 {
		at = r.Reminders.Last.Add(or(rules.NextReminder, 2*day))
	}
	if next.After(at) {
		return next
	}
	return at
}
