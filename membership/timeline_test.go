package membership

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/quota"
)

// day0 is an instant at which terms of days count from.
var day0 = time.Date(2027, 1, 31, 4, 0, 0, 0, time.UTC)

// TestLane_M1_M2_M5 drives a lane with purchases and refunds of terms in days
// and compares it with days counted one by one: a bought day is a token.
func TestLane_M1_M2_M5_against_days(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := day0
		var lane Lane
		left := map[string]int{} // days that an order has to come, as if paused never
		n := 0
		// pass burns days of the orders in their order.
		order := []string{}
		pass := func(days int) {
			now = now.Add(time.Duration(days) * 24 * time.Hour)
			for range days {
				for _, o := range order {
					if left[o] > 0 {
						left[o]--
						break
					}
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"buy": func(t *rapid.T) {
				n++
				id := string(rune('a' + n))
				days := rapid.IntRange(1, 40).Draw(t, "days")
				require.NoError(t, lane.add(Segment{Order: id, Term: quota.Term{Days: days}}, now))
				left[id] = days
				order = append(order, id)
			},
			"undo": func(t *rapid.T) {
				if len(order) == 0 {
					t.Skip("nothing bought")
				}
				id := rapid.SampledFrom(order).Draw(t, "order")
				require.NoError(t, lane.undo(id, now))
				if left[id] > 0 { // a past one is history either way
					left[id] = 0
				}
			},
			"time": func(t *rapid.T) { pass(rapid.IntRange(1, 30).Draw(t, "days")) },
			"": func(t *rapid.T) {
				for i, s := range lane.Segments {
					require.True(t, s.From.Before(s.Until))
					if i > 0 {
						require.False(t, s.From.Before(lane.Segments[i-1].Until), "sorted and disjoint (M1)")
					}
					if s.Until.After(now) {
						from := s.From
						if from.Before(now) {
							from = now
						}
						require.Equal(t, left[s.Order], int(s.Until.Sub(from)/(24*time.Hour)), "the days still to come of %s (M2, M5)", s.Order)
					}
				}
				sum := 0
				for _, d := range left {
					sum += d
				}
				if sum > 0 {
					require.GreaterOrEqual(t, lane.at(now), 0, "no gap while days are left")
					require.Equal(t, now.Add(time.Duration(sum)*24*time.Hour), lane.End())
				} else {
					require.Negative(t, lane.at(now))
				}
			},
		})
	})
}

// TestLane_M10 renews twice and for the sum, in calendar months.
func TestLane_M10_renewing_twice_is_renewing_for_the_sum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := day0.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "start")) * 24 * time.Hour)
		a, b := rapid.IntRange(1, 14).Draw(t, "a"), rapid.IntRange(1, 14).Draw(t, "b")
		var two, one Lane
		require.NoError(t, two.add(Segment{Term: quota.Term{Months: a}}, start))
		require.NoError(t, two.add(Segment{Term: quota.Term{Months: b}}, start.Add(time.Hour)))
		require.NoError(t, one.add(Segment{Term: quota.Term{Months: a + b}}, start))
		require.Equal(t, one.End(), two.End())
	})
}

func TestMulDiv(t *testing.T) {
	m := Money{Amount: 19900, Currency: "CNY"}
	for _, c := range []struct {
		num, den int64
		r        Rounding
		want     int64
	}{
		{600, 10600, HalfUp, 1126}, {60, 10000, HalfUp, 119}, {1, 3, Down, 6633}, {1, 3, Up, 6634}, {1, 2, HalfUp, 9950},
		{1 << 40, 1 << 40, Down, 19900}, {0, 7, Up, 0}, {1, 39800, HalfUp, 1}, {1, 39801, HalfUp, 0},
	} {
		got, err := m.MulDiv(c.num, c.den, c.r)
		require.NoError(t, err)
		require.Equal(t, Money{Amount: c.want, Currency: "CNY"}, got)
	}
	_, err := m.MulDiv(1<<62, 1, Down)
	require.ErrorIs(t, err, ErrOverflow)
	for _, bad := range []func() (Money, error){
		func() (Money, error) { return m.MulDiv(1, 0, Down) },
		func() (Money, error) { return m.MulDiv(-1, 1, Down) },
		func() (Money, error) { return Money{Amount: -1}.MulDiv(1, 1, Down) },
		func() (Money, error) { return m.MulDiv(1, 1, "nearest") },
	} {
		_, err := bad()
		require.ErrorIs(t, err, ErrRequest)
	}
}

// TestLane_edges are the instants at which a lane changes, and the day of the
// month that a chain keeps.
func TestLane_edges(t *testing.T) {
	start := time.Date(2026, 1, 30, 16, 30, 0, 0, time.UTC) // 31 January, 00:30 in Shanghai
	month := quota.Term{Months: 1}
	chain := func(n int) *Lane {
		l := new(Lane)
		for i := range n {
			require.NoError(t, l.add(Segment{Order: string(rune('a' + i)), Term: month}, start))
		}
		return l
	}
	// Undone before it begins: what follows takes its place in the chain.
	l := chain(3)
	require.NoError(t, l.undo("b", start.Add(time.Hour)))
	require.Equal(t, []int{31, 31}, []int{l.Segments[0].Anchor, l.Segments[1].Anchor})
	require.Equal(t, l.Segments[0].Until, l.Segments[1].From)
	require.Equal(t, time.Date(2026, 3, 30, 16, 30, 0, 0, time.UTC), l.End())

	// Undone as it begins: that is now, and a chain of its own.
	l = chain(3)
	begins := l.Segments[1].From
	require.NoError(t, l.undo("b", begins))
	require.Equal(t, begins, l.Segments[1].From)
	require.Equal(t, 28, l.Segments[1].Anchor)

	// Undone as it ends: nothing to close up.
	l = chain(3)
	want := l.Segments[2]
	require.NoError(t, l.undo("b", l.Segments[1].Until))
	require.Equal(t, want, l.Segments[1])

	l = chain(3)
	want = l.Segments[1]
	require.NoError(t, l.undo("a", l.Segments[0].Until))
	require.Equal(t, want, l.Segments[0], "with its day of the month")

	// The first of a lane that begins later, and one after a gap: no chain before.
	l = new(Lane)
	later := time.Date(2026, 2, 27, 16, 30, 0, 0, time.UTC)
	require.NoError(t, l.add(Segment{Order: "x", Term: month}, later))
	require.NoError(t, l.add(Segment{Order: "y", Term: month}, start))
	require.NoError(t, l.undo("x", start))
	require.Equal(t, later, l.Segments[0].From)
	require.Equal(t, 28, l.Segments[0].Anchor)
	l = chain(1)
	gap := time.Date(2026, 3, 14, 16, 30, 0, 0, time.UTC)
	require.NoError(t, l.add(Segment{Order: "x", Term: month}, gap))
	require.NoError(t, l.add(Segment{Order: "y", Term: month}, gap))
	require.NoError(t, l.undo("x", start))
	require.Equal(t, gap, l.Segments[1].From)
	require.Equal(t, 15, l.Segments[1].Anchor, "not the 31st of the chain before the gap")

	// Cut as a term ends: it has had its time.
	l = chain(2)
	l.cut("up", l.Segments[0].Until)
	require.Len(t, l.Segments, 1)
	require.Empty(t, l.Segments[0].Into)
	l = chain(2)
	l.cut("up", start.Add(time.Hour))
	require.Equal(t, "up", l.Segments[0].Into)
	require.Equal(t, start.Add(time.Hour), l.End())

	// Moved as one ends and the next begins: the one stays, the other moves whole.
	l = chain(2)
	ends, first := l.Segments[0].Until, l.Segments[0]
	require.NoError(t, l.move(later.Add(240*time.Hour), ends))
	require.Equal(t, first, l.Segments[0])
	require.Equal(t, month, l.Segments[1].Term)
	require.Zero(t, l.Segments[1].Ran)
	require.Equal(t, later.Add(240*time.Hour), l.Segments[1].From)

	// To the end of the calendar.
	end := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	got, _, err := Segment{Extra: time.Second}.end(end.Add(-time.Second), 0)
	require.NoError(t, err)
	require.Equal(t, end, got)
	_, _, err = Segment{Extra: 2 * time.Second}.end(end.Add(-time.Second), 0)
	require.ErrorIs(t, err, ErrOverflow)
}

func TestMulDiv_edges(t *testing.T) {
	_, err := Money{Amount: 1 << 62}.MulDiv(4, 1, Down)
	require.ErrorIs(t, err, ErrOverflow, "exactly 2^64")
	got, err := Money{Amount: 1<<63 - 1}.MulDiv(1, 1, Up)
	require.NoError(t, err)
	require.Equal(t, int64(1<<63-1), got.Amount)
}
