package quota_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// sums adds a statement up: opening plus lines must be closing, per lot.
func sums(t require.TestingT, st quota.Statement) {
	type key struct {
		lot  quota.LotID
		book quota.Book
	}
	got := map[key]quota.Units{}
	for _, b := range st.Opening {
		got[key{b.Lot, quota.BookAvailable}] += b.Available
		got[key{b.Lot, quota.BookHeld}] += b.Held
	}
	var seq uint64
	for _, l := range st.Lines {
		if seq > 0 {
			require.Equal(t, seq+1, l.Seq, "dense (I4)")
		}
		seq = l.Seq
		got[key{l.Lot, l.Debit}] -= l.Units
		got[key{l.Lot, l.Credit}] += l.Units
		require.NotEmpty(t, l.Zh)
		require.NotEmpty(t, l.En)
	}
	want := map[key]quota.Units{}
	for _, b := range st.Closing {
		want[key{b.Lot, quota.BookAvailable}] += b.Available
		want[key{b.Lot, quota.BookHeld}] += b.Held
	}
	for k, n := range got {
		if k.book == quota.BookAvailable || k.book == quota.BookHeld {
			require.Equal(t, want[k], n, "%v", k)
		}
	}
}

func TestStatement_H14_windows_add_up_whatever_was_swept(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 4, 1)
	k.lot("b", 4, 2)
	k.at = noon.Add(time.Hour)
	k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.SMS))
	k.at = noon.Add(30 * time.Hour) // a has ended; not booked
	late := k.at

	day := func(from, to time.Time) quota.Statement {
		st, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account, From: from, To: to})
		require.NoError(t, err)
		sums(t, st)
		return st
	}
	unswept := day(time.Time{}, time.Time{})
	require.Len(t, unswept.Lines, 5)
	assert.Equal(t, quota.EntryExpire, unswept.Lines[4].Kind)
	assert.Equal(t, lot.Until, unswept.Lines[4].Effective)
	assert.Equal(t, quota.Units(4), unswept.Lines[4].Available)

	before := day(noon.Add(time.Minute), lot.Until)
	assert.Len(t, before.Lines, 2)
	assert.Equal(t, quota.Units(4), before.Opening[0].Available)
	inside := day(lot.Until, late)
	assert.Len(t, inside.Lines, 1, "due at the edge belongs to the window that begins there")

	k.at = late.Add(time.Hour)
	_, err := k.Sweep(t.Context(), 10)
	require.NoError(t, err)
	after := day(time.Time{}, late)
	assert.Len(t, after.Lines, 5, "booked later, counted when it was due")
	known, err := k.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: account, KnownAt: late})
	require.NoError(t, err)
	assert.Len(t, known.Lines, 4, "as known then")

	b, err := k.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}, lot.Until.Add(-time.Microsecond))
	require.NoError(t, err)
	assert.Equal(t, quota.Units(6), b.Of(quota.UnitSign).Spendable)
	b, err = k.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}, lot.Until)
	require.NoError(t, err)
	assert.Equal(t, quota.Units(4), b.Of(quota.UnitSign).Spendable)
	b, err = k.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}, noon.Add(49*time.Hour))
	require.NoError(t, err)
	assert.Zero(t, b.Of(quota.UnitSign).Spendable, "what is to come")
	b, err = k.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}, noon.Add(-time.Hour))
	require.NoError(t, err)
	assert.Empty(t, b.Units)
}

// reads counts the reads of checkpoints.
type reads struct {
	storage.Store
	n int
}

func (r *reads) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	if keys[0].Kind == "quota.ckpt" {
		r.n++
	}
	return r.Store.Get(ctx, keys)
}

// TestAsOf_checkpoints asks an account with a long journal for every kind of
// instant: checkpoints change the cost, never the answer.
func TestAsOf_checkpoints(t *testing.T) {
	counted := &reads{Store: new(storage.Mem)}
	k := newKit(t, quota.Config{Store: counted, NoAlerts: true})
	k.lot("a", 100000, 300)
	want := map[time.Time]quota.Units{k.at: 100000}
	left, early := quota.Units(100000), quota.Units(0)
	for i := range 1000 {
		k.at = k.at.Add(time.Minute)
		lines := make([]quota.LineRequest, 1+i%80)
		for j := range lines {
			lines[j] = line(quota.SlotID(fmt.Sprint(j)), "")
		}
		_, err := k.Charge(t.Context(), quota.ChargeRequest{Tenant: tenant, ID: quota.HoldID(fmt.Sprintf("c-%d", i)), Account: account, Lines: lines})
		require.NoError(t, err)
		left -= quota.Units(len(lines))
		if i%43 == 0 {
			want[k.at] = left
		}
		if i == 99 {
			early = left
		}
	}
	for at, n := range want {
		counted.n = 0
		b, err := k.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}, at)
		require.NoError(t, err)
		assert.Equal(t, n, b.Of(quota.UnitSign).Spendable, at)
		assert.LessOrEqual(t, counted.n, 2, "78 checkpoints are found in two reads")
	}
	req := quota.StatementRequest{Tenant: tenant, Account: account, From: noon.Add(980 * time.Minute)}
	st, err := k.Statement(t.Context(), req)
	require.NoError(t, err)
	sums(t, st)
	req.KnownAt = noon.Add(100 * time.Minute)
	st, err = k.Statement(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, st.Lines)
	assert.Equal(t, early, st.Opening[0].Available, "no checkpoint later than what was known")
	req.From, req.KnownAt = noon.Add(100*time.Minute+time.Microsecond), noon.Add(900*time.Minute)
	st, err = k.Statement(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, early, st.Opening[0].Available, "nor later than the window, whatever is known")
	k.verify()
}

func TestAlerts_H50(t *testing.T) {
	k := newKit(t, quota.Config{})
	lot := k.lot("a", 10, 60)
	rules := func() []quota.AlertRule {
		var out []quota.AlertRule
		for a, err := range k.Alerts(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}) {
			require.NoError(t, err)
			out = append(out, a.Rule)
		}
		return out
	}
	assert.Empty(t, rules())
	for _, c := range []struct {
		before time.Duration
		want   []quota.AlertRule
	}{
		{30*24*time.Hour + 1000, nil},
		{30 * 24 * time.Hour, []quota.AlertRule{quota.AlertEnding30}},
		{20 * 24 * time.Hour, []quota.AlertRule{quota.AlertEnding30}},
		{7 * 24 * time.Hour, []quota.AlertRule{quota.AlertEnding30, quota.AlertEnding7}},
		{time.Hour, []quota.AlertRule{quota.AlertEnding30, quota.AlertEnding7, quota.AlertEnding1}},
	} {
		k.at = lot.Until.Add(-c.before)
		for range 2 {
			_, err := k.Sweep(t.Context(), 10)
			require.NoError(t, err)
		}
		assert.Equal(t, c.want, rules(), c.before)
	}
	n, err := k.Sweep(t.Context(), 10)
	require.NoError(t, err)
	assert.Zero(t, n, "nothing is due twice")

	k = newKit(t, quota.Config{})
	k.lot("a", 5, 365)
	k.reserve("env/1", line("a", quota.WeChat), line("b", quota.WeChat), line("c", quota.WeChat))
	assert.Empty(t, rules())
	k.reserve("env/2", line("a", quota.WeChat))
	assert.Equal(t, []quota.AlertRule{quota.AlertLow}, rules())
	k.reserve("env/3", line("a", quota.WeChat))
	assert.Equal(t, []quota.AlertRule{quota.AlertLow, quota.AlertEmpty}, rules())
	k.release("env/1", quota.Revoked) // three are back: both conditions end
	k.at = k.at.Add(time.Minute)
	k.reserve("env/4", line("a", quota.WeChat), line("b", quota.WeChat))
	assert.Equal(t, []quota.AlertRule{quota.AlertLow, quota.AlertEmpty, quota.AlertLow}, rules(), "a new episode")
	k.verify()
}
