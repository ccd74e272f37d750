package quota_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// TestModel drives the ledger and the token model with the same operations and
// compares every answer and every lot, with clock jumps, sweeps at any moment or
// never, lost answers, crashes and restarts, retries, moves to another store and
// ids of another tenant. It proves I1 to I11 after every step.
// -rapid.checks=100000 runs it at length.
func TestModel_I1_to_I11(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		defer m.close()
		t.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"grant":    m.grant,
			"reserve":  m.reserve,
			"charge":   m.charge,
			"capture":  m.capture,
			"release":  m.release,
			"amend":    m.amend,
			"mark":     m.mark,
			"claw":     m.claw,
			"suspend":  m.suspend,
			"refund":   m.refund,
			"end":      m.endRefund,
			"merge":    m.merge,
			"clock":    m.clock,
			"sweep":    m.sweep,
			"restart":  m.restart,
			"retry":    m.retry,
			"foreign":  m.foreign,
			"books":    m.books,
			"port":     m.port,
			"many":     m.many,
			"reserve2": m.reserve,
			"capture2": m.capture,
		})
	})
}

type machine struct {
	m       *model
	l       *quota.Ledger
	cfg     quota.Config // of every ledger of the run, but for its store
	store   *flaky
	group   *storage.Grouped // over store, if the run groups
	audit   *quota.Ledger    // on what is stored, past faults and caches
	now     time.Time
	n       int
	refunds map[string]quota.AccountID
	open    []quota.HoldID // every hold made
	replays []func(*rapid.T)
	ctx     context.Context
	again   bool            // the last call ran more than once
	past    []quota.Balance // told of instants that no clock comes back to
}

var accounts = []quota.AccountID{"li", "wang", "hr"}

func newMachine(t *rapid.T) *machine {
	m := &machine{m: newModel(), now: noon, refunds: map[string]quota.AccountID{}, ctx: context.Background()}
	m.cfg = quota.Config{
		Now:             func() time.Time { return m.now },
		RemindersReturn: rapid.Bool().Draw(t, "reminders return"),
		RefundNet:       rapid.Bool().Draw(t, "refund net"),
	}
	m.m.net = m.cfg.RefundNet
	m.over(t, new(storage.Mem), rapid.Bool().Draw(t, "grouped"))
	return m
}

func (m *machine) id(kind string) string {
	m.n++
	return fmt.Sprintf("%s-%d", kind, m.n)
}

// account draws an account and its instant, with the model brought up to it.
func (m *machine) account(t *rapid.T) (name, real quota.AccountID, at time.Time) {
	name = rapid.SampledFrom(accounts).Draw(t, "account")
	real = m.m.resolve(name)
	at = m.m.at(real, m.now)
	return name, real, at
}

// booked is called when an account was opened at an instant, and perhaps more
// was written than what was due.
func (m *machine) booked(a quota.AccountID, at time.Time, more bool) {
	if m.m.pass(a, at) || more {
		m.m.last[a] = at
	}
	m.m.exists[a] = true
}

// remember lets a call be repeated later: same answer, or a mismatch for
// another request under its id (I7).
func remember[Q, A any](m *machine, req Q, other Q, answer A, call method[Q, A]) {
	m.replays = append(m.replays, func(t *rapid.T) {
		if rapid.Bool().Draw(t, "other") {
			_, err := do(m, t, call, other)
			require.ErrorIs(t, err, quota.ErrIntentMismatch)
			return
		}
		again, err := do(m, t, call, req)
		require.NoError(t, err)
		require.Equal(t, answer, again, "a repeated call answers the same")
	})
}

func (m *machine) retry(t *rapid.T) {
	if len(m.replays) == 0 {
		t.Skip("nothing to repeat")
	}
	rapid.SampledFrom(m.replays).Draw(t, "call")(t)
}

func (m *machine) grant(t *rapid.T) {
	name, real, at := m.account(t)
	req := quota.GrantRequest{
		Tenant: tenant, ID: quota.LotID(m.id("lot")), Account: name,
		Unit:     rapid.SampledFrom([]quota.Unit{quota.UnitSign, quota.UnitSign, quota.UnitSign, quota.UnitSMS}).Draw(t, "unit"),
		Units:    quota.Units(rapid.IntRange(1, 6).Draw(t, "units")),
		Priority: rapid.Int16Range(0, 1).Draw(t, "priority"),
		Source:   rapid.SampledFrom([]quota.Source{quota.Bought, quota.Given}).Draw(t, "source"),
		// Few distinct ends, so that the rest of burn order decides as well.
		Until: at.Truncate(24 * time.Hour).Add(time.Duration(rapid.IntRange(2, 6).Draw(t, "days")) * 24 * time.Hour),
		Scope: rapid.SampledFrom([][]quota.ChargeKind{nil, nil, {quota.KindRealNamePerson}, {quota.KindOrdinary}, {quota.KindRealNameOrg, quota.KindRealNamePerson}}).Draw(t, "scope"),
	}
	if rapid.IntRange(0, 3).Draw(t, "later") == 0 {
		req.From = at.Add(12 * time.Hour)
	}
	lot, err := do(m, t, (*quota.Ledger).Grant, req)
	require.NoError(t, err)
	m.booked(real, at, true)
	ml := &mLot{
		id: req.ID, unit: req.Unit, scope: req.Scope, priority: req.Priority, source: req.Source,
		from: lot.From, until: req.Until, credited: at, home: real,
	}
	require.Equal(t, at, lot.Credited)
	if req.From.IsZero() {
		require.Equal(t, at, lot.From)
	}
	m.m.lots[req.ID] = ml
	for range req.Units {
		m.m.tokens = append(m.m.tokens, &token{lot: ml, home: real, state: "free"})
	}
	other := req
	other.Units++
	remember(m, req, other, lot, (*quota.Ledger).Grant)
}

func (m *machine) lines(t *rapid.T) []quota.LineRequest {
	var out []quota.LineRequest
	for i := range rapid.IntRange(1, 3).Draw(t, "lines") {
		l := quota.LineRequest{
			Slot:    quota.SlotID(fmt.Sprintf("s%d-%d", m.n, i)),
			Kind:    rapid.SampledFrom([]quota.ChargeKind{quota.KindOrdinary, quota.KindRealNamePerson, quota.KindSMS, quota.KindRealNameOrg}).Draw(t, "kind"),
			Channel: rapid.SampledFrom([]quota.Channel{"", quota.WeChat, quota.SMS}).Draw(t, "channel"),
		}
		if rapid.IntRange(0, 4).Draw(t, "free") == 0 {
			l.Free = "member"
		}
		out = append(out, l)
	}
	return out
}

// refused compares a refusal with what the model says, and reports whether the
// call must be refused.
func (m *machine) refused(t *rapid.T, real quota.AccountID, at time.Time, lines []quota.LineRequest, err error) (got [][]*token, refused bool) {
	back := m.m.look(real, at)
	got, need, have := m.m.plan(real, lines, at)
	back()
	pays := slices.ContainsFunc(lines, func(l quota.LineRequest) bool { return l.Free == "" })
	if pays && m.m.suspended[real] {
		require.ErrorIs(t, err, quota.ErrSuspended)
		return nil, true
	}
	for kind := range need {
		if need[kind] == have[kind] {
			continue
		}
		var short *quota.InsufficientError
		require.ErrorAs(t, err, &short)
		for _, s := range short.Shortfalls {
			require.Equal(t, quota.Units(need[s.Kind]), s.Need, "need of %s", s.Kind)
			require.True(t, m.again || s.Have == quota.Units(have[s.Kind]), "have of %s: %d", s.Kind, s.Have)
		}
		return nil, true
	}
	require.NoError(t, err)
	return got, false
}

func (m *machine) reserve(t *rapid.T) {
	name, real, at := m.account(t)
	req := quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(m.id("env") + "/1"), Account: name, Lines: m.lines(t)}
	if rapid.IntRange(0, 3).Draw(t, "timed") == 0 {
		req.TTL = time.Duration(rapid.IntRange(1, 3000).Draw(t, "minutes")) * time.Minute
	}
	q, qerr := m.l.Quote(m.ctx, req)
	h, err := do(m, t, (*quota.Ledger).Reserve, req)
	got, refused := m.refused(t, real, at, req.Lines, err)
	if refused {
		var short *quota.InsufficientError
		if errors.As(err, &short) {
			require.NoError(t, qerr)
			require.Equal(t, short.Shortfalls, q.Short, "a quote says what a send would")
		}
		return
	}
	require.NoError(t, qerr)
	require.Empty(t, q.Short)
	m.hold(req.ID, real, at, req.Lines, got, h)
	for i := range h.Lines {
		require.Equal(t, slicesPerLot(h.Lines[i].From), slicesPerLot(q.Lines[i].From))
		require.Equal(t, perLot(got[i]), slicesPerLot(h.Lines[i].From), "burn order (I8)")
	}
	other := req
	other.Ref = "other"
	remember(m, req, other, h, (*quota.Ledger).Reserve)
}

func (m *machine) hold(id quota.HoldID, real quota.AccountID, at time.Time, lines []quota.LineRequest, got [][]*token, h quota.Hold) *mHold {
	mh := &mHold{account: real, expires: h.Expires}
	m.m.holds[id] = mh
	m.open = append(m.open, id)
	m.join(mh, lines, got)
	if slices.ContainsFunc(got, func(l []*token) bool { return len(l) > 0 }) {
		m.booked(real, at, true)
	}
	return mh
}

func (m *machine) join(mh *mHold, lines []quota.LineRequest, got [][]*token) {
	for i, l := range lines {
		for _, tok := range got[i] {
			tok.state, tok.lapse, tok.lot.used = "held", mh.expires, true
		}
		mh.lines = append(mh.lines, &mLine{slot: l.Slot, kind: l.Kind, state: quota.Held, sticky: l.Channel == quota.SMS, tokens: got[i]})
	}
}

func (m *machine) charge(t *rapid.T) {
	name, real, at := m.account(t)
	req := quota.ChargeRequest{Tenant: tenant, ID: quota.HoldID(m.id("pay")), Account: name, Lines: m.lines(t)}
	h, err := do(m, t, (*quota.Ledger).Charge, req)
	got, refused := m.refused(t, real, at, req.Lines, err)
	if refused {
		return
	}
	mh := m.hold(req.ID, real, at, req.Lines, got, h)
	for i, l := range mh.lines {
		require.Equal(t, perLot(got[i]), slicesPerLot(h.Lines[i].From))
		m.m.settle(mh, l, "", at)
	}
	other := req
	other.Account = "nobody"
	remember(m, req, other, h, (*quota.Ledger).Charge)
}

// pick draws a hold and some of its slots, and says which instant counts for it.
func (m *machine) pick(t *rapid.T) (quota.HoldID, *mHold, []*mLine) {
	if len(m.open) == 0 {
		t.Skip("no hold")
	}
	id := rapid.SampledFrom(m.open).Draw(t, "hold")
	h := m.m.holds[id]
	var lines []*mLine
	for _, l := range h.lines {
		if rapid.IntRange(0, 2).Draw(t, "slot") > 0 {
			lines = append(lines, l)
		}
	}
	return id, h, lines
}

func slotsOf(lines []*mLine) []quota.SlotID {
	var out []quota.SlotID
	for _, l := range lines {
		out = append(out, l.slot)
	}
	return out
}

// settleable says what a settling of lines must answer, and the instant it
// counts from: the latest of all accounts that pay.
func (m *machine) settleable(h *mHold, lines []*mLine) (at time.Time, want error) {
	at = m.now
	for _, l := range lines {
		if l.state != quota.Held {
			return at, quota.ErrSettled
		}
		for _, tok := range l.tokens {
			if t := m.m.at(tok.home, m.now); t.After(at) {
				at = t
			}
		}
	}
	if !h.expires.IsZero() && !at.Before(h.expires) {
		return at, quota.ErrHoldExpired
	}
	return at, nil
}

// payers are the accounts whose books a settling of lines is on.
func payers(lines []*mLine) []quota.AccountID {
	var out []quota.AccountID
	for _, l := range lines {
		for _, tok := range l.tokens {
			if !slices.Contains(out, tok.home) {
				out = append(out, tok.home)
			}
		}
	}
	return out
}

func (m *machine) capture(t *rapid.T) {
	id, h, lines := m.pick(t)
	if len(lines) == 0 {
		t.Skip("no slot")
	}
	req := quota.CaptureRequest{Tenant: tenant, ID: m.id("cap"), Hold: id, Slots: slotsOf(lines)}
	s, err := do(m, t, (*quota.Ledger).Capture, req)
	_, want := m.settleable(h, lines)
	if want != nil {
		require.ErrorIs(t, err, want)
		return
	}
	require.NoError(t, err)
	m.settle(t, h, lines, "", s)
	other := req
	other.Actor = "other"
	remember(m, req, other, s, (*quota.Ledger).Capture)
}

func (m *machine) settle(t *rapid.T, h *mHold, lines []*mLine, cause quota.Cause, s quota.Settlement) {
	require.Len(t, s.Lines, len(lines))
	homes := payers(lines)
	for _, a := range homes {
		m.booked(a, m.m.at(a, m.now), true)
	}
	forwarded := map[quota.AccountID]bool{}
	// Every account's books are brought up to the instant before any line settles.
	for i, l := range lines {
		at := m.now
		if len(l.tokens) > 0 {
			at = m.m.at(l.tokens[0].home, m.now)
		}
		home := ""
		if len(l.tokens) > 0 {
			home = string(l.tokens[0].home)
		}
		back, gone := m.m.settle(h, l, cause, at)
		require.Equal(t, l.state, s.Lines[i].State)
		wantBack, wantGone := perLot(back), perLot(gone)
		gotBack, gotGone := map[quota.LotID]quota.Units{}, map[quota.LotID]quota.Units{}
		for _, r := range s.Lines[i].Returned {
			gotBack[r.Lot] += r.Units
			require.Equal(t, m.m.lots[r.Lot].until, r.Until)
			if r.Gone {
				gotGone[r.Lot] += r.Units
			}
		}
		require.Equal(t, wantBack, gotBack)
		require.Equal(t, wantGone, gotGone)
		if len(back) > len(gone) && m.m.alias[quota.AccountID(home)] != "" {
			forwarded[quota.AccountID(home)] = true
		}
	}
	for home := range forwarded {
		to := m.m.resolve(home)
		at := m.m.at(to, m.m.at(home, m.now))
		m.booked(home, at, true)
		m.booked(to, at, true)
	}
}

func (m *machine) release(t *rapid.T) {
	id, h, lines := m.pick(t)
	causes := []quota.Cause{quota.Revoked, quota.Closed, quota.Removed, quota.Satisfied, quota.Declined, quota.Expired, quota.Invalidated, quota.NotStarted, quota.ProviderFault}
	req := quota.ReleaseRequest{Tenant: tenant, ID: m.id("rel"), Hold: id, Slots: slotsOf(lines), Cause: rapid.SampledFrom(causes).Draw(t, "cause")}
	if len(lines) == 0 {
		for _, l := range h.lines {
			if l.state == quota.Held {
				lines = append(lines, l)
			}
		}
	}
	s, err := do(m, t, (*quota.Ledger).Release, req)
	_, want := m.settleable(h, lines)
	if want != nil {
		require.ErrorIs(t, err, want)
		return
	}
	require.NoError(t, err)
	m.settle(t, h, lines, req.Cause, s)
	other := req
	other.Actor = "other"
	remember(m, req, other, s, (*quota.Ledger).Release)
}

func (m *machine) amend(t *rapid.T) {
	id, h, lines := m.pick(t)
	m.n++
	req := quota.AmendRequest{Tenant: tenant, ID: m.id("amend"), Hold: id, Add: m.lines(t)}
	if rapid.Bool().Draw(t, "remove") {
		req.Remove = slotsOf(lines)
	} else {
		lines = nil
	}
	a, err := do(m, t, (*quota.Ledger).Amend, req)
	if !h.expires.IsZero() && !m.now.Before(h.expires) {
		require.ErrorIs(t, err, quota.ErrHoldExpired)
		return
	}
	if _, want := m.settleable(h, lines); want != nil {
		require.ErrorIs(t, err, want)
		return
	}
	// Whether what is removed pays for what is added decides with the engine:
	// the model tries it on a copy.
	real := m.m.resolve(h.account)
	save := m.m.snapshot()
	if len(lines) > 0 {
		stand := quota.Settlement{Lines: a.Removed.Lines}
		if err != nil {
			for _, l := range lines {
				m.m.settle(h, l, quota.Removed, m.m.at(firstHome(l, real), m.now))
			}
		} else {
			m.settle(t, h, lines, quota.Removed, stand)
		}
	}
	at := m.m.at(real, m.now)
	pays := slices.ContainsFunc(req.Add, func(l quota.LineRequest) bool { return l.Free == "" })
	if pays && !h.expires.IsZero() && !at.Before(h.expires) {
		require.Error(t, err)
		m.m.restore(save)
		return
	}
	got, refused := m.refused(t, real, at, req.Add, err)
	if refused {
		m.m.restore(save)
		return
	}
	before := len(h.lines)
	m.join(h, req.Add, got)
	if slices.ContainsFunc(got, func(l []*token) bool { return len(l) > 0 }) {
		m.booked(real, at, true)
	}
	for i, l := range h.lines[before:] {
		require.Equal(t, perLot(l.tokens), slicesPerLot(a.Added[i].From))
	}
	other := req
	other.Actor = "other"
	remember(m, req, other, a, (*quota.Ledger).Amend)
}

func firstHome(l *mLine, or quota.AccountID) quota.AccountID {
	if len(l.tokens) > 0 {
		return l.tokens[0].home
	}
	return or
}

func (m *machine) mark(t *rapid.T) {
	id, h, lines := m.pick(t)
	if len(lines) == 0 {
		t.Skip("no slot")
	}
	l := lines[0]
	req := quota.MarkChannelRequest{
		Tenant: tenant, ID: m.id("mark"), Hold: id, Slot: l.slot,
		Channel: rapid.SampledFrom([]quota.Channel{quota.WeChat, quota.SMS}).Draw(t, "channel"), Reminder: rapid.Bool().Draw(t, "reminder"),
	}
	got, err := do(m, t, (*quota.Ledger).MarkChannel, req)
	if l.state != quota.Held {
		require.ErrorIs(t, err, quota.ErrSettled)
		return
	}
	if !h.expires.IsZero() && !m.now.Before(h.expires) {
		require.ErrorIs(t, err, quota.ErrHoldExpired)
		return
	}
	require.NoError(t, err)
	l.sticky = l.sticky || req.Channel == quota.SMS && (!req.Reminder || !m.cfg.RemindersReturn)
	require.Equal(t, l.sticky, got.Sticky)
	other := req
	other.Reminder = !req.Reminder
	remember(m, req, other, got, (*quota.Ledger).MarkChannel)
}

func (m *machine) clock(t *rapid.T) {
	switch rapid.IntRange(0, 3).Draw(t, "jump") {
	case 0:
		m.now = m.now.Add(-time.Duration(rapid.IntRange(0, 200).Draw(t, "back")) * time.Second)
		for _, last := range m.m.last {
			if last.Sub(m.now) > 4*time.Minute {
				m.now = last.Add(-4 * time.Minute)
			}
		}
	case 1:
		m.now = m.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "minutes")) * time.Minute)
	default:
		m.now = m.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "hours")) * time.Hour)
	}
}

func (m *machine) sweep(t *rapid.T) {
	n, err := do(m, t, (*quota.Ledger).Sweep, 1000)
	require.NoError(t, err)
	require.LessOrEqual(t, n, len(accounts))
	n, err = m.l.Sweep(m.ctx, 1000)
	require.NoError(t, err)
	require.Zero(t, n, "what was swept is not due again")
	for _, a := range accounts {
		if m.m.exists[a] {
			m.booked(a, m.m.at(a, m.now), false)
		}
	}
}

// foreign uses an id of this tenant as another one (I9).
func (m *machine) foreign(t *rapid.T) {
	id, _, lines := m.pick(t)
	_, err := m.l.Release(m.ctx, quota.ReleaseRequest{Tenant: "other", ID: m.id("x"), Hold: id, Slots: slotsOf(lines), Cause: quota.Revoked})
	require.ErrorIs(t, err, quota.ErrNotFound)
	_, err = m.l.Hold(m.ctx, quota.HoldRequest{Tenant: "other", ID: id})
	require.ErrorIs(t, err, quota.ErrNotFound)
	_, err = m.l.Reserve(m.ctx, quota.ReserveRequest{Tenant: "other", ID: id, Account: "li", Lines: []quota.LineRequest{line("x", "")}})
	require.ErrorIs(t, err, quota.ErrInsufficient)
}
