package quota_test

import (
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/quota"
)

// The reference model: every unit is a token that lies somewhere. Nothing is
// added up but by counting tokens, nothing is booked late, nothing is swept.

type token struct {
	lot   *mLot
	home  quota.AccountID // whose books it is on
	state string          // free, held, used, expired, clawed
	lapse time.Time       // of a timed hold
}

type mLot struct {
	id       quota.LotID
	unit     quota.Unit
	scope    []quota.ChargeKind
	priority int16
	source   quota.Source
	from     time.Time
	until    time.Time
	credited time.Time
	used     bool // ever held
	home     quota.AccountID
	refund   string
	frozen   bool
	clawing  bool
}

type mLine struct {
	slot   quota.SlotID
	kind   quota.ChargeKind
	state  quota.LineState
	sticky bool
	tokens []*token // in the order in which they were taken
}

type mHold struct {
	account quota.AccountID
	lines   []*mLine
	expires time.Time
}

type model struct {
	lots      map[quota.LotID]*mLot
	tokens    []*token
	holds     map[quota.HoldID]*mHold
	last      map[quota.AccountID]time.Time
	suspended map[quota.AccountID]bool
	alias     map[quota.AccountID]quota.AccountID
	exists    map[quota.AccountID]bool
	net       bool // refunds ask for what is used now, not ever
}

func newModel() *model {
	return &model{
		lots: map[quota.LotID]*mLot{}, holds: map[quota.HoldID]*mHold{}, last: map[quota.AccountID]time.Time{},
		suspended: map[quota.AccountID]bool{}, alias: map[quota.AccountID]quota.AccountID{}, exists: map[quota.AccountID]bool{},
	}
}

func (m *model) resolve(a quota.AccountID) quota.AccountID {
	for m.alias[a] != "" {
		a = m.alias[a]
	}
	return a
}

// at is an account's instant: it never runs backwards.
func (m *model) at(a quota.AccountID, now time.Time) time.Time {
	if t := m.last[a]; t.After(now) {
		return t
	}
	return now
}

// pass lets time reach an instant on the tokens of an account, and reports
// whether anything came of it.
func (m *model) pass(a quota.AccountID, t time.Time) (moved bool) {
	for _, tok := range m.tokens {
		if tok.home != a {
			continue
		}
		if tok.state == "held" && !tok.lapse.IsZero() && !tok.lapse.After(t) {
			m.giveBack(tok, tok.lapse)
			moved = true
		}
		if tok.state == "free" && !tok.lot.until.After(t) {
			tok.state = "expired"
			moved = true
		}
	}
	return moved
}

// look lets time reach an instant for a read, and returns how to take that back:
// the clock may go back before anything is booked.
func (m *model) look(a quota.AccountID, t time.Time) func() {
	s := m.snapshot()
	m.pass(a, t)
	return func() { m.restore(s) }
}

// giveBack returns a held token to its lot.
func (m *model) giveBack(tok *token, t time.Time) {
	tok.lapse = time.Time{}
	switch {
	case tok.lot.clawing:
		tok.state = "clawed"
	case !tok.lot.until.After(t):
		tok.state = "expired"
	default:
		tok.state = "free"
	}
}

// before is burn order, written down as the sentence it is.
func before(a, b *mLot) bool {
	switch {
	case a.priority != b.priority:
		return a.priority < b.priority
	case !a.until.Equal(b.until):
		return a.until.Before(b.until)
	case narrowness(a) != narrowness(b):
		return narrowness(a) < narrowness(b)
	case bought(a) != bought(b):
		return !bought(a)
	case !a.from.Equal(b.from):
		return a.from.Before(b.from)
	}
	return a.id < b.id
}

func bought(l *mLot) bool { return l.source == quota.Bought }

func narrowness(l *mLot) int {
	if len(l.scope) == 0 {
		return 1000
	}
	return len(l.scope)
}

// take finds the next token for a kind, nil if there is none.
func (m *model) take(a quota.AccountID, unit quota.Unit, kind quota.ChargeKind, t time.Time, taken map[*token]bool) *token {
	var best *token
	for _, tok := range m.tokens {
		l := tok.lot
		switch {
		case tok.home != a, tok.state != "free", taken[tok], l.unit != unit, l.frozen, t.Before(l.from), !t.Before(l.until):
		case len(l.scope) > 0 && !slices.Contains(l.scope, kind):
		case best == nil || before(l, best.lot):
			best = tok
		}
	}
	return best
}

// weight is the tariff of the agreements.
func weight(k quota.ChargeKind) (quota.Unit, int) {
	switch k {
	case quota.KindOrdinary:
		return quota.UnitSign, 1
	case quota.KindRealNamePerson, quota.KindRealNameOrg:
		return quota.UnitSign, 2
	case quota.KindSMS:
		return quota.UnitSMS, 1
	}
	panic("kind not in the model")
}

// plan takes tokens for lines, or says what is missing per kind.
func (m *model) plan(a quota.AccountID, lines []quota.LineRequest, t time.Time) (got [][]*token, need, have map[quota.ChargeKind]int) {
	taken := map[*token]bool{}
	need, have = map[quota.ChargeKind]int{}, map[quota.ChargeKind]int{}
	for _, l := range lines {
		var toks []*token
		if l.Free == "" {
			unit, n := weight(l.Kind)
			for range n {
				need[l.Kind]++
				if tok := m.take(a, unit, l.Kind, t, taken); tok != nil {
					have[l.Kind]++
					taken[tok] = true
					toks = append(toks, tok)
				}
			}
		}
		got = append(got, toks)
	}
	return got, need, have
}

// counts says how many tokens of a lot lie where, on one account's books.
func (m *model) counts(l *mLot, home quota.AccountID) map[string]quota.Units {
	out := map[string]quota.Units{}
	for _, tok := range m.tokens {
		if tok.lot == l && (home == "" || tok.home == home) {
			out[tok.state]++
		}
	}
	return out
}

// heldAt reports whether an account still has held tokens.
func (m *model) heldAt(a quota.AccountID) bool {
	return slices.ContainsFunc(m.tokens, func(t *token) bool { return t.home == a && t.state == "held" })
}

// perLot counts tokens by lot.
func perLot(toks []*token) map[quota.LotID]quota.Units {
	out := map[quota.LotID]quota.Units{}
	for _, tok := range toks {
		out[tok.lot.id]++
	}
	return out
}

func slicesPerLot(from []quota.Slice) map[quota.LotID]quota.Units {
	out := map[quota.LotID]quota.Units{}
	for _, s := range from {
		out[s.Lot] += s.Units
	}
	return out
}

// verdict is the rule of the agreements, in words of the model.
func verdict(sticky bool, cause quota.Cause) quota.LineState {
	returns := strings.Contains("not_started provider_fault", string(cause)) ||
		strings.Contains("revoked closed removed satisfied", string(cause)) && !sticky
	if returns {
		return quota.Released
	}
	return quota.Forfeited
}

// settle ends a line and returns the tokens that went back, and those gone.
func (m *model) settle(h *mHold, l *mLine, cause quota.Cause, t time.Time) (back, gone []*token) {
	l.state = quota.Captured
	if cause != "" {
		l.state = verdict(l.sticky, cause)
	}
	for _, tok := range l.tokens {
		if l.state != quota.Released {
			tok.state, tok.lapse = "used", time.Time{}
			continue
		}
		m.giveBack(tok, t)
		back = append(back, tok)
		if tok.state != "free" {
			gone = append(gone, tok)
		} else {
			tok.home = m.resolve(tok.home) // a merged account forwards
		}
	}
	return back, gone
}
