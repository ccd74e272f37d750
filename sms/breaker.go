package sms

import (
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// Numbers of the breaker against pumped codes (S18): codes are asked for numbers
// that nobody reads, for a share of what they cost.
const (
	breakerSpan   = 30 * time.Minute
	breakerSlot   = 5 * time.Minute
	breakerLeast  = 50  // codes before it judges
	breakerRatio  = 0.2 // of codes that were typed in rightly
	breakerTrials = 5
)

// breaker counts the codes of one number prefix. It is pure; a half-open one
// lets five codes through and judges by them.
type breaker struct {
	Slots  []breakerCount `json:"slots,omitempty"`
	Open   time.Time      `json:"open,omitzero"` // shut until then; not zero while on trial
	Trials int            `json:"trials,omitempty"`
	Last   time.Time      `json:"last,omitzero"`    // when the last trial went out
	Passed int            `json:"passed,omitempty"` // trials that were typed in rightly
}

type breakerCount struct {
	At    int64 `json:"at"` // Unix time over the slot's length
	Sent  int   `json:"sent"`
	Right int   `json:"right"`
}

var breakers = storage.Kind[breaker]{Name: "sms.breaker", Schema: 1}

func (b breaker) slot(now time.Time) (breaker, *breakerCount) {
	at := now.Unix() / int64(breakerSlot/time.Second)
	first := at - int64(breakerSpan/breakerSlot) + 1
	b.Slots = slices.DeleteFunc(slices.Clone(b.Slots), func(c breakerCount) bool { return c.At < first })
	for i := range b.Slots {
		if b.Slots[i].At == at {
			return b, &b.Slots[i]
		}
	}
	b.Slots = append(b.Slots, breakerCount{At: at})
	return b, &b.Slots[len(b.Slots)-1]
}

// admit counts one more code, or says until when none goes out. It trips with
// the code that shows the ratio, so that a refusal has nothing to keep.
func (b breaker) admit(now time.Time) (next breaker, until time.Time, ok bool) {
	if now.Before(b.Open) {
		return b, b.Open, false
	}
	if !b.Open.IsZero() { // on trial
		switch again := b.Last.Add(breakerSpan); {
		case b.Trials < breakerTrials:
			if b.Trials++; b.Trials == breakerTrials {
				b.Last = now
			}
			return b, time.Time{}, true
		case float64(b.Passed) >= breakerRatio*breakerTrials:
			b = breaker{}
		case now.Before(again):
			return b, again, false
		default:
			return breaker{Open: b.Open, Trials: 1}, time.Time{}, true
		}
	}
	b, c := b.slot(now)
	c.Sent++
	sent, right := 0, 0
	for _, s := range b.Slots {
		sent, right = sent+s.Sent, right+s.Right
	}
	if sent >= breakerLeast && float64(right) < breakerRatio*float64(sent) {
		b = breaker{Open: now.Add(breakerSpan)}
	}
	return b, time.Time{}, true
}

// passed counts a code that was typed in rightly.
func (b breaker) passed(now time.Time) breaker {
	if !b.Open.IsZero() {
		b.Passed++
		return b
	}
	b, c := b.slot(now)
	c.Right++
	return b
}

// breakerID is what a number counts under: its first seven digits at home, its
// country abroad. It is never stored beside a masked number, which would
// complete it.
func breakerID(n Number) string {
	if n.Region() == Domestic {
		return "cn-" + n.National()[:7]
	}
	return "intl-" + n.E164()[1:4]
}

// pumped counts a code about to be queued against its prefix.
func (s *Service) pumped(tx *storage.Tx, n Number) error {
	id := breakerID(n)
	b, _, err := breakers.Get(tx, storage.Deployment, id)
	if err != nil {
		return err
	}
	next, until, ok := b.admit(tx.Now(s.now))
	if !ok {
		return &LimitError{Scope: "breaker", Next: until}
	}
	if b.Open.IsZero() && !next.Open.IsZero() {
		s.log.Error("sms: breaker tripped: codes of a prefix are not typed in", "prefix", id)
	}
	return breakers.Put(tx, storage.Deployment, id, next)
}

// typedIn counts a right code for its prefix.
func (s *Service) typedIn(tx *storage.Tx, id string) error {
	b, _, err := breakers.Get(tx, storage.Deployment, id)
	if err != nil {
		return err
	}
	return breakers.Put(tx, storage.Deployment, id, b.passed(tx.Now(s.now)))
}
