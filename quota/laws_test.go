package quota_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// The laws of §4: what may be done differently without any answer changing. A
// story is a list of calls with their instants; it is told twice, the second
// time in another way, and the answers and the books must be the same.

// event is one call of a story, at an instant.
type event struct {
	at   time.Time
	call func(context.Context, *quota.Ledger) (any, error)
	// reserve is set where the call is a Reserve, for laws about those.
	reserve *quota.ReserveRequest
}

// told is what a call answered: an answer, or the code of a refusal.
func told(t require.TestingT, a any, err error) string {
	if err != nil {
		require.NotEmpty(t, quota.Code(err), "no refusal: %v", err)
		return quota.Code(err)
	}
	data, err := json.Marshal(a)
	require.NoError(t, err)
	return string(data)
}

// teller is a ledger that a story is told to.
type teller struct {
	*quota.Ledger
	store storage.Store
	now   time.Time
}

func newTeller(t require.TestingT) *teller {
	k := &teller{store: new(storage.Mem), now: noon}
	var err error
	k.Ledger, err = quota.New(quota.Config{Store: k.store, Now: func() time.Time { return k.now }})
	require.NoError(t, err)
	return k
}

func (k *teller) tell(t require.TestingT, e event) string {
	k.now = e.at
	a, err := e.call(context.Background(), k.Ledger)
	return told(t, a, err)
}

var booked = regexp.MustCompile(`"(recorded|entry)":("[^"]*"|\d+),?`)

// books is all that can be read of both accounts; when it was written down, and
// under which number, is left out.
func (k *teller) books(t require.TestingT) string {
	var out []any
	ctx := context.Background()
	for _, a := range []quota.AccountID{"hr", "li"} {
		req := quota.BalanceRequest{Tenant: tenant, Account: a}
		b, err := k.Balance(ctx, req)
		require.NoError(t, err)
		l, err := k.Lots(ctx, req)
		require.NoError(t, err)
		f, err := k.Forecast(ctx, req)
		require.NoError(t, err)
		st, err := k.Statement(ctx, quota.StatementRequest{Tenant: tenant, Account: a})
		require.NoError(t, err)
		past, err := k.AsOf(ctx, req, k.now.Add(-36*time.Hour))
		require.NoError(t, err)
		out = append(out, b, l, f, st, past)
	}
	for h, err := range k.Holds(ctx, quota.HoldsRequest{Tenant: tenant}) {
		require.NoError(t, err)
		out = append(out, h)
	}
	data, err := json.Marshal(out)
	require.NoError(t, err)
	_, err = k.Verify(ctx, tenant)
	require.NoError(t, err)
	return booked.ReplaceAllString(string(data), "")
}

// story draws a story about two accounts.
func story(t *rapid.T) []event {
	var out []event
	at := noon
	n := rapid.IntRange(8, 40).Draw(t, "events")
	holds, lots := []quota.HoldID{"none"}, []quota.LotID{"none"}
	account := func() quota.AccountID {
		return rapid.SampledFrom([]quota.AccountID{"hr", "hr", "li"}).Draw(t, "account")
	}
	slot := func() quota.SlotID { return rapid.SampledFrom([]quota.SlotID{"a", "b"}).Draw(t, "slot") }
	hold := func() quota.HoldID { return rapid.SampledFrom(holds).Draw(t, "hold") }
	for i := range n {
		id := fmt.Sprintf("e%03d", i)
		at = at.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "minutes")) * time.Minute)
		e := event{at: at}
		switch rapid.SampledFrom([]string{"grant", "grant", "reserve", "reserve", "reserve", "capture", "release", "release", "amend", "mark", "claw", "refund", "end", "stop"}).Draw(t, "event") {
		case "grant":
			req := quota.GrantRequest{
				Tenant: tenant, ID: quota.LotID(id), Account: account(), Unit: quota.UnitSign, Units: quota.Units(rapid.IntRange(1, 5).Draw(t, "units")),
				Priority: rapid.Int16Range(0, 1).Draw(t, "priority"), Until: at.Truncate(24 * time.Hour).Add(time.Duration(rapid.IntRange(1, 4).Draw(t, "days")) * 24 * time.Hour).Add(24 * time.Hour),
				Scope: rapid.SampledFrom([][]quota.ChargeKind{nil, nil, {quota.KindOrdinary}}).Draw(t, "scope"),
			}
			lots = append(lots, req.ID)
			e.call = func(ctx context.Context, l *quota.Ledger) (any, error) { return answer(l.Grant(ctx, req)) }
		case "reserve":
			req := quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(id), Account: account()}
			for _, s := range []quota.SlotID{"a", "b"}[:rapid.IntRange(1, 2).Draw(t, "lines")] {
				req.Lines = append(req.Lines, quota.LineRequest{
					Slot: s, Kind: rapid.SampledFrom([]quota.ChargeKind{quota.KindOrdinary, quota.KindRealNameOrg}).Draw(t, "kind"),
					Channel: rapid.SampledFrom([]quota.Channel{"", quota.WeChat, quota.SMS}).Draw(t, "channel"),
				})
			}
			if rapid.IntRange(0, 2).Draw(t, "timed") == 0 {
				req.TTL = time.Duration(rapid.IntRange(1, 2000).Draw(t, "ttl")) * time.Minute
			}
			holds = append(holds, req.ID)
			e.reserve = &req
			e.call = func(ctx context.Context, l *quota.Ledger) (any, error) { return answer(l.Reserve(ctx, req)) }
		case "capture":
			req := quota.CaptureRequest{Tenant: tenant, ID: id, Hold: hold(), Slots: []quota.SlotID{slot()}}
			e.call = func(ctx context.Context, l *quota.Ledger) (any, error) { return answer(l.Capture(ctx, req)) }
		case "release":
			req := quota.ReleaseRequest{Tenant: tenant, ID: id, Hold: hold(), Cause: rapid.SampledFrom([]quota.Cause{quota.Revoked, quota.Declined}).Draw(t, "cause")}
			e.call = func(ctx context.Context, l *quota.Ledger) (any, error) { return answer(l.Release(ctx, req)) }
		case "amend":
			req := quota.AmendRequest{Tenant: tenant, ID: id, Hold: hold(), Add: []quota.LineRequest{line(quota.SlotID(id), quota.WeChat)}, Remove: []quota.SlotID{slot()}}
			e.call = func(ctx context.Context, l *quota.Ledger) (any, error) { return answer(l.Amend(ctx, req)) }
		case "mark":
			req := quota.MarkChannelRequest{Tenant: tenant, ID: id, Hold: hold(), Slot: slot(), Channel: quota.SMS}
			e.call = func(ctx context.Context, l *quota.Ledger) (any, error) { return answer(l.MarkChannel(ctx, req)) }
		case "claw":
			req := quota.ClawRequest{Tenant: tenant, ID: id, Account: account(), Units: 2, Actor: "ops", Reason: "abuse"}
			e.call = func(ctx context.Context, l *quota.Ledger) (any, error) { return answer(l.Claw(ctx, req)) }
		case "refund":
			req := quota.RefundRequest{Tenant: tenant, ID: id, Account: account(), Lots: []quota.LotID{rapid.SampledFrom(lots).Draw(t, "lot")}}
			lots = append(lots, quota.LotID(id)) // for "end"
			e.call = func(ctx context.Context, l *quota.Ledger) (any, error) { return answer(l.BeginRefund(ctx, req)) }
		case "end":
			req := quota.EndRefundRequest{Tenant: tenant, ID: id, Account: account(), Refund: string(rapid.SampledFrom(lots).Draw(t, "refund"))}
			call := (*quota.Ledger).ConfirmRefund
			if rapid.Bool().Draw(t, "cancel") {
				call = (*quota.Ledger).CancelRefund
			}
			e.call = func(ctx context.Context, l *quota.Ledger) (any, error) { return answer(call(l, ctx, req)) }
		case "stop":
			req := quota.SuspendRequest{Tenant: tenant, ID: id, Account: account(), Reason: "check"}
			call := (*quota.Ledger).Resume
			if rapid.IntRange(0, 3).Draw(t, "suspend") == 0 {
				call = (*quota.Ledger).Suspend
			}
			e.call = func(ctx context.Context, l *quota.Ledger) (any, error) { return nil, call(l, ctx, req) }
		}
		out = append(out, e)
	}
	return out
}

// law tells a story plainly and in another way, which gets each event and returns
// what it was told, and compares.
func law(t *testing.T, other func(t *rapid.T, k *teller, e event) string) {
	rapid.Check(t, func(t *rapid.T) {
		events := story(t)
		plain, second := newTeller(t), newTeller(t)
		for i, e := range events {
			require.Equal(t, plain.tell(t, e), other(t, second, e), "event %d", i)
		}
		require.Equal(t, plain.books(t), second.books(t))
	})
}

func TestLaw_sweep_anywhere_I11(t *testing.T) {
	law(t, func(t *rapid.T, k *teller, e event) string {
		for rapid.IntRange(0, 2).Draw(t, "sweep") == 0 {
			k.now = k.now.Add(time.Duration(rapid.Int64Range(0, int64(e.at.Sub(k.now))).Draw(t, "when")))
			_, err := k.Sweep(context.Background(), 10)
			require.NoError(t, err)
		}
		return k.tell(t, e)
	})
}

func TestLaw_retried_calls_I7(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := story(t)
		plain, second := newTeller(t), newTeller(t)
		answers := map[int]string{}
		for i, e := range events {
			want := plain.tell(t, e)
			require.Equal(t, want, second.tell(t, e), "event %d", i)
			if len(want) > 0 && (want[0] == '{' || want == "null") {
				answers[i] = want
			}
			// Whatever succeeded may be repeated at any time; refusals are not kept.
			if len(answers) > 0 && rapid.Bool().Draw(t, "retry") {
				var done []int
				for i := range answers {
					done = append(done, i)
				}
				slices.Sort(done)
				n := rapid.SampledFrom(done).Draw(t, "which")
				a, err := events[n].call(context.Background(), second.Ledger)
				require.Equal(t, answers[n], told(t, a, err), "event %d again", n)
			}
		}
		require.Equal(t, plain.books(t), second.books(t))
	})
}

func TestLaw_export_and_import(t *testing.T) {
	law(t, func(t *rapid.T, k *teller, e event) string {
		if rapid.IntRange(0, 9).Draw(t, "move") == 0 {
			var out bytes.Buffer
			require.NoError(t, k.Export(context.Background(), tenant, &out))
			fresh := newTeller(t)
			fresh.now = e.at
			*k = *fresh
			var err error
			k.Ledger, err = quota.New(quota.Config{Store: k.store, Now: func() time.Time { return k.now }})
			require.NoError(t, err)
			require.NoError(t, k.Import(context.Background(), tenant, &out))
		}
		return k.tell(t, e)
	})
}

// TestLaw_quote_then_reserve: a quote changes nothing and says what a send at the
// same instant will be told.
func TestLaw_quote_then_reserve(t *testing.T) {
	law(t, func(t *rapid.T, k *teller, e event) string {
		if e.reserve == nil {
			return k.tell(t, e)
		}
		k.now = e.at
		q, qerr := k.Quote(context.Background(), *e.reserve)
		h, err := k.Reserve(context.Background(), *e.reserve)
		switch {
		case qerr != nil:
			require.Equal(t, quota.Code(qerr), quota.Code(err))
		case len(q.Short) > 0:
			require.ErrorIs(t, err, quota.ErrInsufficient)
		default:
			require.NoError(t, err)
			for i := range h.Lines {
				for j := range q.Lines[i].From {
					q.Lines[i].From[j].Entry = h.Lines[i].From[j].Entry
				}
			}
			require.Equal(t, q.Lines, h.Lines)
			require.Equal(t, q.Rates, h.Rates)
		}
		return told(t, h, err)
	})
}

// TestLaw_batches_split: calls of one commit answer as the same calls one by one.
func TestLaw_batches_split(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, all := newTeller(t), newTeller(t)
		for round := range rapid.IntRange(1, 4).Draw(t, "rounds") {
			one.now = one.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "hours")) * time.Hour)
			all.now = one.now
			var grants []quota.GrantRequest
			var reserves []quota.ReserveRequest
			var captures []quota.CaptureRequest
			var releases []quota.ReleaseRequest
			for i := range rapid.IntRange(1, 4).Draw(t, "calls") {
				id := fmt.Sprintf("r%d-%d", round, i)
				grants = append(grants, quota.GrantRequest{Tenant: tenant, ID: quota.LotID(id), Account: "hr", Unit: quota.UnitSign, Units: quota.Units(rapid.IntRange(0, 3).Draw(t, "units")), Term: quota.Term{Days: 1 + i}})
				reserves = append(reserves, quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(id), Account: "hr", Lines: []quota.LineRequest{line("a", quota.WeChat), line("b", quota.SMS)}[:rapid.IntRange(1, 2).Draw(t, "lines")]})
				captures = append(captures, quota.CaptureRequest{Tenant: tenant, ID: "c" + id, Hold: quota.HoldID(id), Slots: []quota.SlotID{"b"}})
				releases = append(releases, quota.ReleaseRequest{Tenant: tenant, ID: "v" + id, Hold: quota.HoldID(id), Cause: quota.Revoked})
			}
			sameBatch(t, one, all, grants, (*quota.Ledger).Grant, (*quota.Ledger).GrantMany)
			sameBatch(t, one, all, reserves, (*quota.Ledger).Reserve, (*quota.Ledger).ReserveMany)
			sameBatch(t, one, all, captures, (*quota.Ledger).Capture, (*quota.Ledger).CaptureMany)
			sameBatch(t, one, all, releases, (*quota.Ledger).Release, (*quota.Ledger).ReleaseMany)
		}
		require.Equal(t, one.books(t), all.books(t))
	})
}

func sameBatch[Q, A any](t *rapid.T, one, all *teller, reqs []Q, single method[Q, A], many func(*quota.Ledger, context.Context, []Q) ([]A, []error, error)) {
	answers, errs, err := many(all.Ledger, context.Background(), reqs)
	require.NoError(t, err)
	for i, req := range reqs {
		a, err := single(one.Ledger, context.Background(), req)
		require.Equal(t, told(t, a, err), told(t, answers[i], errs[i]), "call %d", i)
	}
}

// TestLaw_order_of_grants_I8: lots granted at one instant are burnt alike in
// whatever order they came.
func TestLaw_order_of_grants_I8(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var grants []quota.GrantRequest
		for i := range rapid.IntRange(2, 6).Draw(t, "lots") {
			grants = append(grants, quota.GrantRequest{
				Tenant: tenant, ID: quota.LotID(fmt.Sprintf("lot%d", i)), Account: "hr", Unit: quota.UnitSign, Units: quota.Units(rapid.IntRange(1, 3).Draw(t, "units")),
				Priority: rapid.Int16Range(0, 1).Draw(t, "priority"), Term: quota.Term{Days: rapid.IntRange(1, 2).Draw(t, "days")},
				Source: rapid.SampledFrom([]quota.Source{quota.Bought, quota.Given}).Draw(t, "source"),
				Scope:  rapid.SampledFrom([][]quota.ChargeKind{nil, {quota.KindOrdinary}, {quota.KindOrdinary, quota.KindRealNameOrg}}).Draw(t, "scope"),
			})
		}
		plain, second := newTeller(t), newTeller(t)
		for i, other := range rapid.Permutation(grants).Draw(t, "order") {
			for k, req := range map[*teller]quota.GrantRequest{plain: grants[i], second: other} {
				_, err := k.Grant(context.Background(), req)
				require.NoError(t, err)
			}
		}
		for i := range 6 {
			req := quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(fmt.Sprint("h", i)), Account: "hr", Lines: []quota.LineRequest{line("a", quota.WeChat)}}
			if rapid.Bool().Draw(t, "real") {
				req.Lines[0].Kind = quota.KindRealNameOrg
			}
			a, err := plain.Reserve(context.Background(), req)
			b, err2 := second.Reserve(context.Background(), req)
			require.Equal(t, booked.ReplaceAllString(told(t, a, err), ""), booked.ReplaceAllString(told(t, b, err2), ""))
		}
		for _, k := range []*teller{plain, second} {
			_, err := k.Verify(context.Background(), tenant)
			require.NoError(t, err)
		}
		a, err := plain.Lots(context.Background(), quota.BalanceRequest{Tenant: tenant, Account: "hr"})
		require.NoError(t, err)
		b, err := second.Lots(context.Background(), quota.BalanceRequest{Tenant: tenant, Account: "hr"})
		require.NoError(t, err)
		require.Equal(t, a, b)
	})
}
