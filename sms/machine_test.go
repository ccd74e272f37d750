package sms

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var states = []State{StateQueued, StateSubmitting, StateAccepted, StateRejected, StateUnknown, StateUnresolved, StateDropped}

var steps = []step{stepDrop, stepSubmit, stepAccept, stepReject, stepRequeue, stepLose, stepGiveUp}

// TestTransitions is the whole table, refusals included.
func TestTransitions(t *testing.T) {
	want := map[State]map[step]State{
		StateQueued:     {stepDrop: StateDropped, stepSubmit: StateSubmitting},
		StateSubmitting: {stepAccept: StateAccepted, stepReject: StateRejected, stepRequeue: StateQueued, stepLose: StateUnknown},
		StateUnknown:    {stepAccept: StateAccepted, stepReject: StateRejected, stepGiveUp: StateUnresolved},
	}
	for _, s := range states {
		for _, by := range steps {
			got, err := next(s, by)
			if to, ok := want[s][by]; ok {
				require.NoError(t, err)
				assert.Equal(t, to, got, "%s %s", s, by)
				continue
			}
			require.ErrorIs(t, err, ErrState, "%s %s", s, by)
			assert.Equal(t, s, got)
			assert.False(t, s.Final() && len(want[s]) > 0)
		}
	}
}

// TestUnknownIsNeverSentAgain: no path of any length leads from Unknown to a
// submission (at most once).
func TestUnknownIsNeverSentAgain(t *testing.T) {
	seen := map[State]bool{}
	var walk func(State)
	walk = func(s State) {
		if seen[s] {
			return
		}
		seen[s] = true
		for _, to := range transitions[s] {
			walk(to)
		}
	}
	walk(StateUnknown)
	assert.False(t, seen[StateQueued])
	assert.False(t, seen[StateSubmitting])
}

func TestDeliveryIsMonotonic(t *testing.T) {
	assert.Equal(t, DeliveryDelivered, DeliveryOpen.after(true))
	assert.Equal(t, DeliveryUndeliverable, DeliveryOpen.after(false))
	assert.Equal(t, DeliveryDelivered, DeliveryDelivered.after(false))
	assert.Equal(t, DeliveryUndeliverable, DeliveryUndeliverable.after(true))
	assert.Equal(t, DeliveryDelivered, DeliveryExpired.after(true))
}

// TestDerive: six digits, evenly spread, and another code for anything the code
// is bound to (T12).
func TestDerive(t *testing.T) {
	pepper, id := []byte("0123456789abcdef0123456789abcdef"), []byte("challenge")
	base := []string{"+8613800138000", "sign", "env-1", "digest"}
	code := derive(pepper, id, base...)
	assert.Equal(t, Secret("132700"), code, "frozen: a changed derivation breaks codes in flight")
	assert.Equal(t, code, derive(pepper, id, base...))
	for i := range base {
		other := append([]string(nil), base...)
		other[i] += "x"
		assert.NotEqual(t, code, derive(pepper, id, other...))
	}
	assert.NotEqual(t, code, derive(pepper, []byte("challengf"), base...))
	assert.NotEqual(t, derive(pepper, id, "ab", "c"), derive(pepper, id, "a", "bc"), "parts do not run together")

	var buckets [10]int
	for i := range 20000 {
		c := derive(pepper, []byte(strconv.Itoa(i)))
		require.Len(t, string(c), 6)
		buckets[c[0]-'0']++
	}
	for d, n := range buckets {
		assert.InDelta(t, 2000, n, 200, "first digit %d", d)
	}
}

func TestOptOutWords(t *testing.T) {
	for _, s := range []string{"T", "td", "ＴＤ", "r", "退订", "stop", "ＳＴＯＰ", " T. "} {
		assert.True(t, optOut(s), s)
	}
	for _, s := range []string{"", "TT", "谢谢", "不退订", "stopping"} {
		assert.False(t, optOut(s), s)
	}
}
