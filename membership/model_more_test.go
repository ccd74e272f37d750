package membership_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// flaky is a store whose next commit fails as it is told to, once.
type flaky struct {
	storage.Store
	fault string // before, after, crash before, crash after; empty: none
	dead  bool   // crashed: nothing is stored any more
}

func (f *flaky) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	fault := f.fault
	f.fault = ""
	if f.dead || fault == "before" || fault == "crash before" {
		f.dead = f.dead || fault == "crash before"
		return nil, storagetest.ErrInjected
	}
	out, err := f.Store.Commit(ctx, batches)
	if err != nil || fault == "" {
		return out, err
	}
	f.dead = fault == "crash after"
	return nil, fmt.Errorf("%w: %w", storage.ErrUnknown, storagetest.ErrInjected)
}

// do makes a call, perhaps one that the store fails under; then it is repeated,
// after a crash by a new process.
func do[Q, A any](m *machine, t *rapid.T, call func(*membership.Service, context.Context, Q) (A, error), req Q) (A, error) {
	m.store.fault = rapid.SampledFrom([]string{"", "", "", "", "", "", "before", "after", "crash before", "crash after"}).Draw(t, "fault")
	a, err := call(m.svc, t.Context(), req)
	m.store.fault = ""
	if m.store.dead {
		m.restart(t)
	}
	if errors.Is(err, storagetest.ErrInjected) {
		a, err = call(m.svc, t.Context(), req)
	}
	return a, err
}

// send asks what a send costs, own or in a team's seat (M3, M4, M8).
func (m *machine) send(t *rapid.T) {
	name, team := draw(t, "account"), draw(t, "team")
	feature := rapid.SampledFrom([]membership.Feature{membership.FeatureOrdinary, membership.FeatureApproval}).Draw(t, "feature")
	req := membership.CheckRequest{Tenant: tenant, Account: name, Team: team, Feature: feature}
	d, err := do(m, t, func(s *membership.Service, ctx context.Context, req membership.CheckRequest) (d membership.Decision, err error) {
		err = storage.Update(ctx, m.store, func(tx *storage.Tx) error {
			d, err = s.CheckTx(ctx, tx, req)
			return err
		})
		return d, err
	}, req)
	a := m.accounts[name]
	both := []*mAccount{a}
	if a.linked != "" {
		both = append(both, m.accounts[a.linked])
	}
	var denied *membership.DeniedError
	for _, each := range both {
		if each.status != membership.Active {
			require.ErrorAs(t, err, &denied)
			require.NotEqual(t, membership.DeniedTeam, denied.Reason)
			return
		}
	}
	if !m.agrees(a) {
		if !a.ever || !m.byUse {
			require.ErrorAs(t, err, &denied)
			require.Equal(t, membership.DeniedTerms, denied.Reason, "M8")
			return
		}
	}
	o, why := m.entitled(both, feature), membership.FreeMember
	if o == nil && team != name && m.seated(team, name) {
		o, why = m.accounts[team].current(membership.Team), membership.FreeSeat
	}
	if o != nil && feature == membership.FeatureApproval {
		why = membership.FreeTeam
	}
	if o == nil && feature == membership.FeatureApproval {
		require.ErrorAs(t, err, &denied)
		require.Equal(t, membership.DeniedTeam, denied.Reason)
		return
	}
	require.NoError(t, err)
	a.agreed = m.version
	if o == nil {
		require.Empty(t, d.Free)
		require.Equal(t, quota.Units(1), d.Units)
		return
	}
	require.Equal(t, why, d.Free)
	o.used = true
}

// entitled is the order that makes a feature free.
func (m *machine) entitled(both []*mAccount, f membership.Feature) *mOrder {
	types := []membership.PlanType{membership.Personal, membership.Team}
	if f == membership.FeatureApproval {
		types = types[1:]
	}
	for _, a := range both {
		for _, typ := range types {
			if o := a.current(typ); o != nil && o.state == membership.Paid {
				return o
			}
		}
	}
	return nil
}

// seated reports whether an account has one of the seats that a team's term has.
func (m *machine) seated(team, account quota.AccountID) bool {
	a := m.accounts[team]
	o := a.current(membership.Team)
	if o == nil || o.state != membership.Paid || a.status != membership.Active {
		return false
	}
	n := 0
	for _, s := range a.seats {
		if s.until != 0 && s.until <= m.day {
			continue
		}
		if n++; n <= o.limit && s.account == account {
			return true
		}
	}
	return false
}

func (m *machine) seat(t *rapid.T) {
	team, account := draw(t, "team"), draw(t, "account")
	a := m.accounts[team]
	req := membership.SeatRequest{Tenant: tenant, ID: m.id("seat"), Team: team, Account: account}
	others := slices.DeleteFunc(slices.Clone(a.seats), func(s mSeat) bool { return s.account == account })
	if rapid.IntRange(0, 2).Draw(t, "take") == 0 {
		_, err := do(m, t, (*membership.Service).TakeSeat, req)
		require.NoError(t, err)
		a.seats = others
		return
	}
	s := mSeat{account: account}
	if n := rapid.IntRange(0, 5).Draw(t, "days"); n > 0 {
		s.until = m.day + n
		req.Until = m.now().Add(time.Duration(n) * 24 * time.Hour)
	}
	_, err := do(m, t, (*membership.Service).GiveSeat, req)
	coming := a.coming(membership.Team)
	if len(coming) == 0 {
		require.ErrorIs(t, err, membership.ErrState)
		return
	}
	others = slices.DeleteFunc(others, func(s mSeat) bool { return s.until != 0 && s.until <= m.day })
	for _, o := range coming {
		if len(others)+1 > o.limit {
			require.ErrorIs(t, err, membership.ErrSeats, "M4")
			return
		}
	}
	require.NoError(t, err)
	a.seats = append(others, s)
}

func (m *machine) link(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "rarely") > 0 {
		t.Skip("not now")
	}
	a, b := draw(t, "first"), draw(t, "second")
	_, err := do(m, t, (*membership.Service).Link, membership.LinkRequest{Tenant: tenant, ID: m.id("link"), First: a, Second: b, Actor: "ops"})
	x, y := m.accounts[a], m.accounts[b]
	switch {
	case a == b:
		require.ErrorIs(t, err, membership.ErrRequest)
	case x.linked != "" && x.linked != b, y.linked != "" && y.linked != a:
		require.ErrorIs(t, err, membership.ErrState)
	default:
		require.NoError(t, err)
		x.linked, y.linked = b, a
	}
}

func (m *machine) publishAs(t *rapid.T, weakest privacy.Act) {
	m.version++
	m.byUse = weakest == privacy.ActUse
	d, err := m.terms.Publish(t.Context(), privacy.Document{
		Tenant: tenant, ID: "membership", Version: fmt.Sprint(m.version), Digest: fmt.Sprintf("%064d", m.version), Weakest: weakest,
	})
	require.NoError(t, err)
	m.shown = membership.TermsRef{Document: d.ID, Version: d.Version, Digest: d.Digest}
}

func (m *machine) publish(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "rarely") > 0 {
		t.Skip("not now")
	}
	m.publishAs(t, rapid.SampledFrom([]privacy.Act{privacy.ActUse, privacy.ActTick}).Draw(t, "weakest"))
}

func (m *machine) accept(t *rapid.T) {
	name := draw(t, "account")
	_, err := m.terms.Accept(t.Context(), privacy.Acceptance{Tenant: tenant, Account: string(name), Document: "membership", Act: privacy.ActTick})
	require.NoError(t, err)
	m.accounts[name].ever, m.accounts[name].agreed = true, m.version
}

func (m *machine) refund(t *rapid.T) {
	if len(m.orders) == 0 {
		t.Skip("no order")
	}
	o := rapid.SampledFrom(m.orders).Draw(t, "order")
	req := membership.RefundRequest{Tenant: tenant, ID: m.id("r"), Order: o.id, Cause: membership.CauseUnused}
	want := o.price
	switch rapid.IntRange(0, 2).Draw(t, "cause") {
	case 1:
		req.Cause, req.Invoices, req.Actor, req.Note = membership.CauseProvider, true, "ops", "down"
		if o.onLane {
			want = o.left * o.perDay
		}
	case 2:
		want = o.price + o.credit + rapid.IntRange(-100, 1).Draw(t, "amount")
		req.Cause, req.Amount, req.Actor, req.Note = membership.CauseLaw, cny(int64(max(want, 1))), "ops", "court"
		want = max(want, 1)
	}
	q, err := do(m, t, (*membership.Service).BeginRefund, req)
	switch {
	case o.state == membership.Refunded, o.state == membership.Refunding:
		require.ErrorIs(t, err, quota.ErrNotRefundable, "M7")
		return
	case o.state != membership.Paid, o.price+o.credit == 0, o.into != "":
		require.ErrorIs(t, err, membership.ErrState)
		return
	case req.Cause == membership.CauseUnused && (o.used || o.took || m.day-o.paid > 7):
		require.ErrorIs(t, err, quota.ErrNotRefundable)
		return
	case req.Cause == membership.CauseLaw && want > o.price+o.credit:
		require.ErrorIs(t, err, membership.ErrRequest, "M7")
		return
	}
	require.NoError(t, err)
	require.Equal(t, cny(int64(want)), q.Amount)
	require.Equal(t, o.payer, q.Payer)
	o.state = membership.Refunding
	m.again = append(m.again, func(t *rapid.T) {
		q2, err := do(m, t, (*membership.Service).BeginRefund, req)
		require.NoError(t, err)
		require.Equal(t, q, q2)
	})
}

func (m *machine) endRefund(t *rapid.T) {
	i := slices.IndexFunc(m.orders, func(o *mOrder) bool { return o.state == membership.Refunding })
	if i < 0 {
		t.Skip("no refund")
	}
	o := m.orders[i]
	req := membership.EndRefundRequest{Tenant: tenant, ID: m.id("e"), Order: o.id}
	if rapid.Bool().Draw(t, "cancel") {
		_, err := do(m, t, (*membership.Service).CancelRefund, req)
		require.NoError(t, err)
		o.state = membership.Paid
		return
	}
	_, err := do(m, t, (*membership.Service).ConfirmRefund, req)
	require.NoError(t, err)
	o.state, o.left = membership.Refunded, 0
}

func (m *machine) repeat(t *rapid.T) {
	if len(m.again) == 0 {
		t.Skip("nothing to repeat")
	}
	rapid.SampledFrom(m.again).Draw(t, "call")(t)
}

func (m *machine) status(t *rapid.T) {
	name := draw(t, "account")
	a := m.accounts[name]
	call, to := (*membership.Service).Suspend, membership.Suspended
	switch n := rapid.IntRange(0, 19).Draw(t, "to"); {
	case n == 0:
		call, to = (*membership.Service).Terminate, membership.Terminated
	case n > 4:
		call, to = (*membership.Service).Resume, membership.Active
	}
	_, err := do(m, t, call, membership.StatusRequest{Tenant: tenant, ID: m.id("s"), Account: name, Reason: "check", Actor: "ops"})
	if a.status == membership.Terminated {
		require.ErrorIs(t, err, membership.ErrState, "final")
		return
	}
	require.NoError(t, err)
	a.status = to
}

func (m *machine) sweep(t *rapid.T) {
	_, err := do(m, t, (*membership.Service).Sweep, 10)
	require.NoError(t, err)
	n, err := m.svc.Sweep(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, n, "what was swept is not due again")
}

func (m *machine) check(t *rapid.T) {
	for _, name := range names {
		got, err := m.svc.Member(t.Context(), membership.MemberRequest{Tenant: tenant, Account: name})
		require.NoError(t, err)
		a := m.accounts[name]
		require.Equal(t, a.status, got.Status)
		for _, typ := range []membership.PlanType{membership.Personal, membership.Team} {
			m.checkLane(t, a, typ, got)
		}
	}
	for _, o := range m.orders {
		order, _, err := m.svc.Order(t.Context(), membership.OrderRequest{Tenant: tenant, ID: o.id})
		require.NoError(t, err)
		require.Equal(t, o.state, order.State)
		require.Equal(t, o.into, order.Into)
		require.Equal(t, o.before, string(order.Contract), "contracts never change (M6)")
		require.LessOrEqual(t, order.Returned.Amount, order.Price.Amount+order.Credit.Amount, "M7")
	}
	_, err := m.svc.Member(t.Context(), membership.MemberRequest{Tenant: strings.Repeat("x", 3), Account: "li"})
	require.NoError(t, err)
}

func (m *machine) checkLane(t *rapid.T, a *mAccount, typ membership.PlanType, got membership.Member) {
	lane := got.Lane(typ)
	for i, s := range lane.Segments {
		require.True(t, s.From.Before(s.Until))
		require.True(t, i == 0 || !s.From.Before(lane.Segments[i-1].Until), "sorted and disjoint (M1)")
		if !s.FirstUse.IsZero() {
			if was, ok := m.first[s.Order]; ok {
				require.Equal(t, was, s.FirstUse, "set once (M9)")
			}
			m.first[s.Order] = s.FirstUse
		}
		require.Equal(t, m.find(s.Order).used, !s.FirstUse.IsZero(), "%s used (M9)", s.Order)
	}
	days := 0
	for _, o := range a.lanes[typ] {
		days += o.left
	}
	if days > 0 {
		require.Equal(t, m.now().Add(time.Duration(days)*24*time.Hour), lane.End(), "days that were paid are to come (M2, M5)")
	} else {
		require.False(t, lane.End().After(m.now()))
	}
	cur := a.current(typ)
	seg, active := got.ActiveAt(typ, m.now())
	require.Equal(t, a.status == membership.Active && cur != nil && cur.state == membership.Paid, active, "half-open (M3)")
	if active {
		require.Equal(t, cur.id, seg.Order)
	}
}
