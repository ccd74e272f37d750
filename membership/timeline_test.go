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
