package quota_test

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/quota"
)

func (m *machine) claw(t *rapid.T) {
	name, real, at := m.account(t)
	req := quota.ClawRequest{Tenant: tenant, ID: m.id("claw"), Account: name, Actor: "ops", Reason: "abuse", Units: quota.Units(rapid.IntRange(0, 3).Draw(t, "units"))}
	c, err := do(m, t, (*quota.Ledger).Claw, req)
	if !m.m.exists[real] {
		require.ErrorIs(t, err, quota.ErrNotFound)
		return
	}
	require.NoError(t, err)
	m.booked(real, at, c.Units > 0)
	var free []*token
	for _, tok := range m.m.tokens {
		if tok.home == real && tok.state == "free" && !tok.lot.frozen {
			free = append(free, tok)
		}
	}
	slices.SortStableFunc(free, func(a, b *token) int {
		switch {
		case a.lot == b.lot:
			return 0
		case before(a.lot, b.lot):
			return 1
		}
		return -1
	})
	if req.Units > 0 && len(free) > int(req.Units) {
		free = free[:req.Units]
	}
	for _, tok := range free {
		tok.state = "clawed"
	}
	require.Equal(t, quota.Units(len(free)), c.Units)
	require.Equal(t, max(0, req.Units-quota.Units(len(free))), c.Short)
	other := req
	other.Reason = "other"
	remember(m, req, other, c, (*quota.Ledger).Claw)
}

func (m *machine) suspend(t *rapid.T) {
	name, real, at := m.account(t)
	req := quota.SuspendRequest{Tenant: tenant, ID: m.id("susp"), Account: name, Reason: "check"}
	call := (*quota.Ledger).Resume
	if on := rapid.IntRange(0, 3).Draw(t, "on") == 0; on {
		call = (*quota.Ledger).Suspend
		m.m.suspended[real] = true
	} else {
		delete(m.m.suspended, real)
	}
	_, err := do(m, t, func(l *quota.Ledger, ctx context.Context, req quota.SuspendRequest) (struct{}, error) {
		return struct{}{}, call(l, ctx, req)
	}, req)
	require.NoError(t, err)
	m.booked(real, at, true)
}

func (m *machine) refund(t *rapid.T) {
	name, real, at := m.account(t)
	var own []quota.LotID
	for _, id := range slices.Sorted(maps.Keys(m.m.lots)) {
		if slices.ContainsFunc(m.m.tokens, func(tok *token) bool { return tok.lot.id == id && tok.home == real }) {
			own = append(own, id)
		}
	}
	if len(own) == 0 {
		t.Skip("no lot")
	}
	id := rapid.SampledFrom(own).Draw(t, "lot")
	req := quota.RefundRequest{Tenant: tenant, ID: m.id("refund"), Account: name, Lots: []quota.LotID{id}, Unused: rapid.Bool().Draw(t, "unused")}
	r, err := do(m, t, (*quota.Ledger).BeginRefund, req)
	back := m.m.look(real, at)
	lot := m.m.lots[id]
	n := m.m.counts(lot, real)
	back()
	live := n["free"]+n["held"] > 0 || lot.frozen
	switch {
	case lot.frozen:
		require.ErrorIs(t, err, quota.ErrLotFrozen)
		return
	case lot.refund != "":
		require.ErrorIs(t, err, quota.ErrNotRefundable)
		return
	case req.Unused && (!at.Before(quota.SevenDays(lot.credited)) || n["held"]+n["used"] > 0 || lot.used && (!m.m.net || lot.home != real) || !live):
		require.ErrorIs(t, err, quota.ErrNotRefundable)
		return
	}
	if err != nil && !live {
		// Its last units lie on the books of an account that was merged.
		require.ErrorIs(t, err, quota.ErrNotFound)
		return
	}
	require.NoError(t, err)
	m.booked(real, at, live)
	if !live {
		require.Empty(t, r.Lots, "an ended lot is left out")
		return
	}
	require.Equal(t, n["held"], r.Lots[0].Held)
	lot.frozen, lot.refund = true, req.ID
	m.refunds[req.ID] = name
	other := req
	other.Reason = "other"
	remember(m, req, other, r, (*quota.Ledger).BeginRefund)
}

func (m *machine) endRefund(t *rapid.T) {
	if len(m.refunds) == 0 {
		t.Skip("no refund")
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.refunds))).Draw(t, "refund")
	name := m.refunds[id]
	delete(m.refunds, id)
	real := m.m.resolve(name)
	at := m.m.at(real, m.now)
	req := quota.EndRefundRequest{Tenant: tenant, ID: m.id("end"), Account: name, Refund: id}
	confirm := rapid.Bool().Draw(t, "confirm")
	call := (*quota.Ledger).CancelRefund
	if confirm {
		call = (*quota.Ledger).ConfirmRefund
	}
	r, err := do(m, t, call, req)
	require.NoError(t, err)
	m.booked(real, at, true)
	clawed := quota.Units(0)
	for _, lot := range m.m.lots {
		if lot.refund != id {
			continue
		}
		lot.frozen = false
		if !confirm {
			lot.refund = ""
			continue
		}
		lot.clawing = true
		for _, tok := range m.m.tokens {
			if tok.lot == lot && tok.state == "free" {
				tok.state = "clawed"
				clawed++
			}
		}
	}
	require.Equal(t, clawed, r.Clawed)
	other := req
	other.Reason = "other"
	remember(m, req, other, r, call)
}

func (m *machine) merge(t *rapid.T) {
	if rapid.IntRange(0, 5).Draw(t, "rarely") > 0 {
		t.Skip("not now")
	}
	name, real, at := m.account(t)
	to, realTo, atTo := m.account(t)
	req := quota.MergeRequest{Tenant: tenant, ID: m.id("merge"), From: name, To: to, OpenHolds: rapid.Bool().Draw(t, "open")}
	got, err := do(m, t, (*quota.Ledger).Merge, req)
	if atTo.After(at) {
		at = atTo
	}
	back := m.m.look(real, at)
	held := m.m.heldAt(real)
	timed := slices.ContainsFunc(m.m.tokens, func(tok *token) bool { return tok.home == real && tok.state == "held" && !tok.lapse.IsZero() })
	back()
	switch {
	case !m.m.exists[real]:
		require.ErrorIs(t, err, quota.ErrNotFound)
		return
	case real == realTo:
		require.ErrorIs(t, err, quota.ErrRequest)
		return
	case m.m.suspended[real]:
		require.ErrorIs(t, err, quota.ErrSuspended)
		return
	case errIs(err, quota.ErrLotFrozen):
		for _, lot := range m.m.lots {
			if lot.frozen {
				return // which account's lot it is, Lots has told
			}
		}
		require.NoError(t, err, "no lot is frozen")
	case held && !req.OpenHolds, timed:
		require.ErrorIs(t, err, quota.ErrOpenHolds)
		return
	}
	require.NoError(t, err)
	m.booked(real, at, true)
	m.booked(realTo, at, len(got.Lots) > 0)
	moved := quota.Units(0)
	for _, tok := range m.m.tokens {
		if tok.home == real && tok.state == "free" {
			tok.home = realTo
			moved++
		}
	}
	require.Equal(t, moved, got.Units)
	m.m.alias[real] = realTo
	other := req
	other.Reason = "other"
	remember(m, req, other, got, (*quota.Ledger).Merge)
}

// check compares every account with the model, and the ledger with itself.
func (m *machine) check(t *rapid.T) {
	for _, name := range accounts {
		real := m.m.resolve(name)
		at := m.m.at(real, m.now)
		back := m.m.look(real, at)
		lots, err := m.l.Lots(m.ctx, quota.BalanceRequest{Tenant: tenant, Account: name})
		require.NoError(t, err)
		seen := map[quota.LotID]bool{}
		for i, l := range lots {
			seen[l.ID] = true
			lot := m.m.lots[l.ID]
			n := m.m.counts(lot, real)
			require.Equal(t, n["free"], l.Available(), "available of %s on %s", l.ID, real)
			require.Equal(t, n["held"], l.Held, "held of %s on %s", l.ID, real)
			require.Equal(t, lot.frozen, l.Frozen)
			require.Equal(t, lot.clawing, l.Clawing)
			require.Equal(t, l.Granted, l.Available()+l.Held+l.Used+l.Expired+l.Clawed)
			if i > 0 {
				require.True(t, before(m.m.lots[lots[i-1].ID], lot), "burn order")
			}
			want := n["free"]
			if lot.frozen || at.Before(lot.from) {
				want = 0
			}
			require.Equal(t, want, l.Spendable(at))
		}
		for _, tok := range m.m.tokens {
			if tok.home == real && (tok.state == "free" || tok.state == "held") {
				require.True(t, seen[tok.lot.id], "%s is missing on %s", tok.lot.id, real)
			}
		}
		back()
	}
	for id, h := range m.m.holds {
		got, err := m.l.Hold(m.ctx, quota.HoldRequest{Tenant: tenant, ID: id})
		require.NoError(t, err)
		for _, l := range h.lines {
			line, ok := got.Line(l.slot)
			require.True(t, ok)
			want := l.state
			if want == quota.Held && !h.expires.IsZero() && !m.now.Before(h.expires) {
				want = quota.Lapsed
			}
			require.Equal(t, want, line.State)
			require.Equal(t, l.sticky, line.Sticky)
		}
	}
	_, err := m.audit.Verify(m.ctx, tenant)
	require.NoError(t, err)
	for _, a := range accounts {
		st, err := m.audit.Statement(m.ctx, quota.StatementRequest{Tenant: tenant, Account: a})
		require.NoError(t, err)
		sums(t, st)
		reversals(t, st)
	}
}

// books reads an account's past: statements add up (I3), the present is what
// AsOf says of now, and what was told of an instant is still told of it.
func (m *machine) books(t *rapid.T) {
	name, _, _ := m.account(t)
	req := quota.BalanceRequest{Tenant: tenant, Account: name}
	day := func(label string) time.Time {
		return noon.Add(time.Duration(rapid.IntRange(-1, 200).Draw(t, label)) * time.Hour)
	}
	from, to := day("from"), day("to")
	if to.Before(from) {
		from, to = to, from
	}
	if from.After(m.now) {
		from, to = noon, time.Time{}
	}
	st, err := m.l.Statement(m.ctx, quota.StatementRequest{Tenant: tenant, Account: name, From: from, To: to})
	require.NoError(t, err)
	sums(t, st)
	now, err := m.l.Balance(m.ctx, req)
	require.NoError(t, err)
	then, err := m.l.AsOf(m.ctx, req, now.At)
	require.NoError(t, err)
	require.Equal(t, now, then)
	for _, id := range slices.Sorted(maps.Keys(m.m.lots)) {
		lot, _, err := m.l.Lot(m.ctx, quota.LotRequest{Tenant: tenant, ID: id})
		require.NoError(t, err)
		require.Equal(t, lot.Granted, lot.Available()+lot.Held+lot.Used+lot.Expired+lot.Clawed)
	}
	_, err = m.l.Forecast(m.ctx, req)
	require.NoError(t, err)
	// The past, once it is older than any clock that may come, never changes.
	for _, p := range m.past {
		again, err := m.l.AsOf(m.ctx, quota.BalanceRequest{Tenant: tenant, Account: p.Account}, p.At)
		require.NoError(t, err)
		if m.m.resolve(p.Account) == p.Account {
			require.Equal(t, p, again, "as of %v", p.At)
		}
	}
	if old := now.At.Add(-time.Hour); old.After(noon) {
		b, err := m.l.AsOf(m.ctx, req, old)
		require.NoError(t, err)
		m.past = append(m.past, b)
	}
}

func errIs(err, target error) bool { return err != nil && quota.Code(err) == quota.Code(target) }

// snapshot and restore let the model try something.
type snapshot struct {
	tokens map[*token]token
	lines  map[*mLine]mLine
	last   map[quota.AccountID]time.Time
}

func (m *model) snapshot() snapshot {
	s := snapshot{map[*token]token{}, map[*mLine]mLine{}, maps.Clone(m.last)}
	for _, tok := range m.tokens {
		s.tokens[tok] = *tok
	}
	for _, h := range m.holds {
		for _, l := range h.lines {
			s.lines[l] = *l
		}
	}
	return s
}

func (m *model) restore(s snapshot) {
	for tok, was := range s.tokens {
		*tok = was
	}
	for l, was := range s.lines {
		*l = was
	}
	m.last = s.last
}
