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
	breakerSurge  = 5 // times the mean of the seven days before
)

// breaker counts the codes of one number prefix. It is pure; a half-open one
// lets five codes through and judges by them.
type breaker struct {
	Slots  []breakerCount `json:"slots,omitempty"`
	Open   time.Time      `json:"open,omitzero"` // shut until then; not zero while on trial
	Trials int            `json:"trials,omitempty"`
	Last   time.Time      `json:"last,omitzero"`    // when the last trial went out
	Passed int            `json:"passed,omitempty"` // trials that were typed in rightly
	Days   []breakerDay   `json:"days,omitempty"`   // of the last eight, and one older as sign of history
	Surge  int            `json:"surge,omitempty"`  // the day it last tripped for a surge
}

// breakerDay is how many codes went to a prefix on a day (Asia/Shanghai).
type breakerDay struct {
	Day  int `json:"day"` // since 1970-01-01
	Sent int `json:"sent"`
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

// breakerToday is the day's number in Shanghai.
func breakerToday(now time.Time) int { return int((now.Unix() + 8*3600) / (24 * 3600)) }

// counted adds a code to its day, and reports whether the day has more than five
// times the mean of the seven before it. A prefix without a week of history has
// no mean, and below fifty codes a day nobody is pumping.
func (b breaker) counted(now time.Time) (days []breakerDay, surge bool) {
	day := breakerToday(now)
	before, known := 0, false
	for _, d := range b.Days {
		if d.Day <= day-7 {
			known = true
		}
		if d.Day < day-7 {
			days = []breakerDay{{Day: d.Day}}
			continue
		}
		if d.Day < day {
			before += d.Sent
		}
		days = append(days, d)
	}
	if n := len(days); n == 0 || days[n-1].Day < day {
		days = append(days, breakerDay{Day: day})
	}
	last := &days[len(days)-1]
	last.Sent++
	return days, known && last.Sent >= breakerLeast && 7*last.Sent > breakerSurge*before
}

// admit counts one more code, or says until when none goes out. It trips with
// the code that shows the ratio, or the surge, so that a refusal has nothing to
// keep. A surge whose trials were typed in rightly was none, for that day.
func (b breaker) admit(now time.Time) (next breaker, until time.Time, ok bool) {
	days, surge := breaker{Days: slices.Clone(b.Days)}.counted(now)
	next, until, ok = b.judge(now)
	if !ok {
		return b, until, false
	}
	if surge && b.Open.IsZero() && next.Open.IsZero() && b.Surge != breakerToday(now) {
		next = breaker{Open: now.Add(breakerSpan), Surge: breakerToday(now)}
	}
	next.Days = days
	return next, until, true
}

// judge is admit by the ratio alone.
func (b breaker) judge(now time.Time) (next breaker, until time.Time, ok bool) {
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
			b = breaker{Surge: b.Surge}
		case now.Before(again):
			return b, again, false
		default:
			return breaker{Open: b.Open, Trials: 1, Surge: b.Surge}, time.Time{}, true
		}
	}
	b, c := b.slot(now)
	c.Sent++
	sent, right := 0, 0
	for _, s := range b.Slots {
		sent, right = sent+s.Sent, right+s.Right
	}
	if sent >= breakerLeast && float64(right) < breakerRatio*float64(sent) {
		b = breaker{Open: now.Add(breakerSpan), Surge: b.Surge}
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
