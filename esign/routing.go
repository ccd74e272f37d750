package esign

import (
	"slices"
	"time"
)

// Routing: which stage is open, which is met, which can no longer be met.

// acts reports whether the row counts in its stage: CC counts nowhere, and what
// was replaced, removed or satisfied by others counts no more.
func (r *Recipient) acts() bool {
	return r.Role != RoleCC && r.State != RecipientReplaced && r.State != RecipientRevoked && r.State != RecipientSatisfied
}

// stage is the rule of an order; All if none is written down.
func (e *Envelope) stage(order int) Stage {
	for _, s := range e.Stages {
		if s.Order == order {
			return s
		}
	}
	return Stage{Order: order}
}

// orders are the order numbers of acting rows, ascending.
func (e *Envelope) orders() []int {
	var out []int
	for i := range e.Recipients {
		if e.Recipients[i].acts() {
			out = append(out, e.Recipients[i].Order)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// count is how many acting rows of an order there are, how many acted, how many
// still may, and how many expired, which a replacement can cure.
func (e *Envelope) count(order int) (all, done, live, expired int) {
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if r.Order != order || !r.acts() {
			continue
		}
		all++
		switch {
		case r.State == RecipientSigned || r.State == RecipientReleased:
			done++
		case r.State.Live():
			live++
		case r.State == RecipientExpired:
			expired++
		}
	}
	return all, done, live, expired
}

// need is how many of all acting rows a stage needs.
func (s Stage) need(all int) int {
	switch {
	case all == 0:
		return 0
	case s.Rule == Any:
		return 1
	case s.Rule == K:
		return s.K
	}
	return all
}

// met: enough rows of the order acted. An order without acting rows is met.
func (e *Envelope) met(order int) bool {
	all, done, _, _ := e.count(order)
	return done >= e.stage(order).need(all)
}

// lost: the order can no longer be met, even by replacing who expired.
func (e *Envelope) lost(order int) bool {
	all, done, live, expired := e.count(order)
	return done+live+expired < e.stage(order).need(all)
}

// starved: the order can no longer be met unless who expired is replaced.
func (e *Envelope) starved(order int) bool {
	all, done, live, _ := e.count(order)
	return done+live < e.stage(order).need(all)
}

// anyOrder asks each order of acting rows, once where rows of one order follow
// each other.
func (e *Envelope) anyOrder(is func(int) bool) bool {
	last := 0
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if !r.acts() || r.Order == last {
			continue
		}
		if last = r.Order; is(last) {
			return true
		}
	}
	return false
}

// everyMet: nothing is missing but the end itself.
func (e *Envelope) everyMet() bool {
	return !e.anyOrder(func(o int) bool { return !e.met(o) })
}

// turn is the order whose stage is open: the lowest that is not met; zero if
// all are.
func (e *Envelope) turn() int {
	turn := 0
	e.anyOrder(func(o int) bool {
		if (turn == 0 || o < turn) && !e.met(o) {
			turn = o
		}
		return false
	})
	return turn
}

// itsTurn: the row's stage is open and not yet met.
func (e *Envelope) itsTurn(r *Recipient) bool {
	return e.State == StateInProgress && r.Role != RoleCC && r.Order == e.turn()
}

// waiting are the rows that the envelope waits for now.
func (e *Envelope) waiting() []string {
	var out []string
	turn := e.turn()
	for i := range e.Recipients {
		r := &e.Recipients[i]
		switch {
		case !r.acts() || !r.State.Live() && r.State != RecipientExpired:
		case e.State == StateFilling && e.toFill(r) && !r.Filled, e.State == StateInProgress && r.Order == turn:
			out = append(out, r.ID)
		}
	}
	return out
}

// route notes which stage is open; with every stage met it stays where it was.
func (m *run) route() {
	if m.env.State != StateInProgress {
		return
	}
	if o := m.env.turn(); o > m.env.Open {
		m.env.Open = o
	}
}

// toFill: the row has a field of the fill phase.
func (e *Envelope) toFill(r *Recipient) bool {
	return r.Role != RoleCC && slices.ContainsFunc(e.Fields, func(f Field) bool { return f.Fill && f.Recipient == r.ID })
}

// unfilled: some row that counts still has to fill. An expired one holds the
// phase up until it is replaced or removed.
func (e *Envelope) unfilled() bool {
	return slices.ContainsFunc(e.Recipients, func(r Recipient) bool {
		return r.acts() && (r.State.Live() || r.State == RecipientExpired) && !r.Filled && e.toFill(&r)
	})
}

// signatureMissing: some stage that is not met needs a signature.
func (e *Envelope) signatureMissing() bool {
	return slices.ContainsFunc(e.Recipients, func(r Recipient) bool {
		return r.acts() && r.Role.Signer() && (r.State.Live() || r.State == RecipientExpired) && !e.met(r.Order)
	})
}

// anySigned: a signature has been made.
func (e *Envelope) anySigned() bool {
	return slices.ContainsFunc(e.Recipients, func(r Recipient) bool { return r.Outcome == OutcomeSigned })
}

// documentsOf are the documents a row sees.
func (e *Envelope) documentsOf(r *Recipient) []string {
	if len(r.Documents) > 0 {
		return r.Documents
	}
	ids := make([]string, len(e.Documents))
	for i, d := range e.Documents {
		ids[i] = d.ID
	}
	return ids
}

// missing is what a row still lacks, at the instant, before it is ready.
func (r *Recipient) missing(at time.Time) []string {
	var out []string
	lack := func(what string, yes bool) {
		if yes {
			out = append(out, what)
		}
	}
	lack("open", r.State == RecipientPending || r.State == RecipientNotified)
	lack("gate", !r.Gate.passed())
	lack("reading", r.Reading != Reading{} && !r.Facts.Read)
	lack("uploads", len(r.Uploads) > 0 && !r.Facts.Uploaded)
	lack("identity", !r.Facts.identified(at))
	lack("certificate", r.Role.Signer() && !r.Facts.Certificate)
	return out
}
