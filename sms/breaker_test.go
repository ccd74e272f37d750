package sms

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBreaker(t *testing.T) {
	now := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	send := func(b breaker, n int) breaker {
		t.Helper()
		for range n {
			next, _, ok := b.admit(now)
			assert.True(t, ok)
			b = next
		}
		return b
	}
	t.Run("S18 49 unread codes pass, the 50th trips", func(t *testing.T) {
		b := send(breaker{}, 49)
		assert.True(t, b.Open.IsZero())
		b = send(b, 1)
		assert.Equal(t, now.Add(breakerSpan), b.Open)
		_, until, ok := b.admit(now.Add(breakerSpan - 1))
		assert.False(t, ok)
		assert.Equal(t, now.Add(breakerSpan), until)
	})
	t.Run("a quarter typed in rightly is enough", func(t *testing.T) {
		b := breaker{}
		for i := range 500 {
			b = send(b, 1)
			if i%4 == 0 {
				b = b.passed(now)
			}
		}
		assert.True(t, b.Open.IsZero())
		assert.Len(t, b.Slots, 1)
	})
	t.Run("old codes count no more", func(t *testing.T) {
		b := send(breaker{}, 49)
		now = now.Add(breakerSpan)
		b = send(b, 49)
		assert.True(t, b.Open.IsZero())
	})
	t.Run("five trials, then closed or open again", func(t *testing.T) {
		b := send(breaker{}, 50)
		now = now.Add(breakerSpan)
		b = send(b, 5)
		_, until, ok := b.admit(now)
		assert.False(t, ok)
		assert.Equal(t, now.Add(breakerSpan), until)
		good := b.passed(now)
		next, _, ok := good.admit(now)
		assert.True(t, ok)
		assert.True(t, next.Open.IsZero(), "closed")
		now = now.Add(breakerSpan)
		next, _, ok = b.admit(now)
		assert.True(t, ok)
		assert.Equal(t, 1, next.Trials, "another round")
	})
	t.Run("S18 more than five times the mean of seven days trips", func(t *testing.T) {
		day := 24 * time.Hour
		read := func(b breaker, n int) breaker { // codes that people type in
			for range n {
				b = send(b, 1).passed(now)
			}
			return b
		}
		b := breaker{}
		now = time.Date(2026, 4, 1, 2, 0, 0, 0, time.UTC)
		fresh := read(b, 500)
		assert.True(t, fresh.Open.IsZero(), "without a week of history there is no mean")
		for range 7 {
			b = read(b, 14)
			now = now.Add(day)
		}
		b = read(b, 70)
		assert.True(t, b.Open.IsZero(), "five times is not more")
		assert.LessOrEqual(t, len(b.Days), 9)
		b = send(b, 1)
		assert.Equal(t, now.Add(breakerSpan), b.Open)
		_, _, ok := b.admit(now)
		assert.False(t, ok)
		now = now.Add(breakerSpan)
		b = read(send(b, 4), 1)
		b = read(b, 200)
		assert.True(t, b.Open.IsZero(), "trials that people read show that it is no pumping")
		b = breaker{Days: []breakerDay{{Day: breakerToday(now) - 30}}}
		b = send(b, 49)
		assert.True(t, b.Open.IsZero(), "below fifty nobody pumps")
	})
	home, _ := NewNumber("13812345678")
	abroad, _ := NewNumber("+85298765432")
	assert.Equal(t, "cn-1381234", breakerID(home))
	assert.Equal(t, "intl-852", breakerID(abroad))
}
