package quota

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/countersign/countersign/storage"
)

// An AlertRule says what an alert warns of.
type AlertRule string

// Alert rules (H50).
const (
	AlertLow      AlertRule = "low"       // a fifth or less of the live lots is left
	AlertEmpty    AlertRule = "empty"     // nothing is left
	AlertEnding30 AlertRule = "ending.30" // a lot with units ends within 30 days
	AlertEnding7  AlertRule = "ending.7"  // within 7 days
	AlertEnding1  AlertRule = "ending.1"  // within a day
)

// An Alert is raised once when a threshold is passed, and again only after the
// condition has been false in between. Calls that are committed together raise
// those of what they leave.
type Alert struct {
	Account AccountID `json:"account"`
	Unit    Unit      `json:"unit"`
	Rule    AlertRule `json:"rule"`
	Lot     LotID     `json:"lot,omitempty"` // for the ending rules
	At      time.Time `json:"at"`
	Left    Units     `json:"left"`           // spendable units, of the lot if one is named
	Until   time.Time `json:"until,omitzero"` // the lot's end
}

// mark remembers that an alert is on.
type mark struct {
	Rule AlertRule `json:"rule"`
	Unit Unit      `json:"unit,omitempty"`
	Lot  LotID     `json:"lot,omitempty"`
}

var alerts = storage.Kind[Alert]{Name: "quota.alert", Schema: 1}

// warnings are the thresholds before a lot ends, the nearest first.
var warnings = [...]struct {
	rule   AlertRule
	before time.Duration
}{{AlertEnding1, 24 * time.Hour}, {AlertEnding7, 7 * 24 * time.Hour}, {AlertEnding30, 30 * 24 * time.Hour}}

func (h *head) marked(m mark) bool {
	_, on := slices.BinarySearchFunc(h.Marks, m, compareMarks)
	return on
}

// compareMarks is the order of head.Marks.
func compareMarks(a, b mark) int {
	return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Lot, b.Lot))
}

// nextWarning is when the next threshold of a lot is passed that is not told of:
// not before the lot begins, and never while it is frozen, which raises none.
func (h *head) nextWarning(l *Lot) (time.Time, bool) {
	if l.Frozen || l.Clawing {
		return time.Time{}, false
	}
	for _, w := range slices.Backward(warnings[:]) {
		if !h.marked(mark{Rule: w.rule, Lot: l.ID}) {
			return latest(l.Until.Add(-w.before), l.From), true
		}
	}
	return time.Time{}, false
}

// unitSum is what the lots of a unit add up to.
type unitSum struct {
	unit       Unit
	base, left Units
}

// calm reports whether no alert is on and no lot is near a threshold, so that raise
// would find nothing. It may report false without need.
func (j *journal) calm() bool {
	if len(j.Marks) > 0 || len(j.gone) > 0 {
		return false
	}
	var base Units
	for i := range j.Lots {
		l := &j.Lots[i]
		if j.at.Before(l.From) {
			continue
		}
		// Where each lot of a unit is above a fifth, so is the sum.
		if base += l.Granted; base < 0 || l.spendable(j.at) <= l.Granted/5 ||
			!j.at.Before(l.Until.Add(-warnings[len(warnings)-1].before)) {
			return false
		}
	}
	return true
}

// raise finds the alerts that an account's state calls for and are not on, and
// switches off those that it no longer calls for.
func (j *journal) raise() []Alert {
	var out []Alert
	var on []mark
	var few [4]unitSum
	sums := few[:0]
	find := func(u Unit) int { return slices.IndexFunc(sums, func(s unitSum) bool { return s.unit == u }) }
	for i := range len(j.Lots) + len(j.gone) {
		var lot *Lot
		if i < len(j.Lots) {
			lot = &j.Lots[i]
		} else {
			lot = &j.gone[i-len(j.Lots)]
		}
		if i < len(j.Lots) { // it may get units back; it warned once
			for _, w := range warnings {
				if m := (mark{Rule: w.rule, Lot: lot.ID}); j.marked(m) {
					on = append(on, m)
				}
			}
		}
		if j.at.Before(lot.From) {
			continue
		}
		n := find(lot.Unit)
		if n < 0 {
			n = len(sums)
			sums = append(sums, unitSum{unit: lot.Unit})
		}
		s := &sums[n]
		left := lot.spendable(j.at)
		if s.base += lot.Granted; s.base < 0 {
			s.base = 1<<63 - 1 // more than units can say was granted, not at once
		}
		s.left += left
		if left == 0 || j.at.Before(lot.Until.Add(-warnings[len(warnings)-1].before)) {
			continue
		}
		raised := false
		for _, w := range warnings {
			if j.at.Before(lot.Until.Add(-w.before)) {
				continue
			}
			m := mark{Rule: w.rule, Lot: lot.ID}
			fresh := !j.marked(m)
			if fresh && !raised && len(out) >= maxAlerts {
				break // not marked, so the next booking raises it
			}
			if fresh {
				on = append(on, m)
			}
			// Of several thresholds passed at once the nearest speaks for all.
			if fresh && !raised {
				out = append(out, Alert{Account: j.Account, Unit: lot.Unit, Rule: w.rule, Lot: lot.ID, At: j.at, Left: left, Until: lot.Until})
			}
			raised = true
		}
	}
	for _, s := range sums {
		for _, c := range []struct {
			rule AlertRule
			is   bool
		}{{AlertLow, s.left <= s.base/5}, {AlertEmpty, s.left == 0}} {
			if !c.is {
				continue
			}
			m := mark{Rule: c.rule, Unit: s.unit}
			on = append(on, m)
			if !j.marked(m) {
				out = append(out, Alert{Account: j.Account, Unit: s.unit, Rule: c.rule, At: j.at, Left: s.left})
			}
		}
	}
	// A unit whose lots are all gone stays marked until it is bought again.
	for _, m := range j.Marks {
		if m.Unit != "" && find(m.Unit) < 0 {
			on = append(on, m)
		}
	}
	slices.SortFunc(on, compareMarks)
	j.Marks = on
	slices.SortFunc(out, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Lot, b.Lot))
	})
	return out
}

// alert writes the alerts that a booking raises.
func (l *Ledger) alert(tx *storage.Tx, o *opened) error {
	if l.cfg.NoAlerts {
		return nil
	}
	if o.MergedInto != "" {
		o.Marks = nil // its units are another account's concern
		return nil
	}
	if o.calm() {
		return nil
	}
	// Several sweeps at one instant book nothing in between: what is on already
	// tells their alerts apart.
	on := len(o.Marks)
	for i, a := range o.raise() {
		if err := alerts.Put(tx, o.tenant, alertID(a, o.Seq, on+i), a); err != nil {
			return err
		}
	}
	return nil
}

// alertID sorts the alerts of an account by time; the journal's length tells
// episodes of one instant apart, n the alerts of one length.
func alertID(a Alert, seq uint64, n int) string {
	return storage.JoinID(string(a.Account), storage.OldestFirst(a.At), strconv.FormatUint(seq, 36), strconv.Itoa(n))
}

// Alerts yields the alerts of an account, oldest first; the host passes on what
// is new to it. Thresholds of time are noticed by the next booking, which
// [Ledger.Sweep] makes in time.
func (l *Ledger) Alerts(ctx context.Context, req BalanceRequest) iter.Seq2[Alert, error] {
	return func(yield func(Alert, error) bool) {
		if err := errors.Join(checkTenant(req.Tenant), checkAccount("account", req.Account)); err != nil {
			yield(Alert{}, err)
			return
		}
		for item, err := range alerts.Scan(ctx, l.cfg.Store, req.Tenant, storage.JoinPrefix(string(req.Account))) {
			if !yield(item.Value, err) || err != nil {
				return
			}
		}
	}
}

// Sweep books what fell due on at most limit accounts of all tenants, and
// returns how many it looked at: fewer than limit mean that nothing is left.
// It is bookkeeping: no answer of a ledger depends on when, or whether, it runs,
// except that alerts of time are raised by it.
func (l *Ledger) Sweep(ctx context.Context, limit int) (int, error) {
	now := l.now()
	keys, err := l.cfg.Store.Due(ctx, heads.Name, now, limit)
	if err != nil {
		return 0, err
	}
	defer func(start time.Time) { l.observe(storage.MeasureSweep, int64(len(keys)), time.Since(start), "", "") }(time.Now())
	var failed error
	for _, key := range keys {
		err := storage.Update(ctx, l.cfg.Store, func(tx *storage.Tx) error {
			o, err := l.openExact(tx, key.Tenant, AccountID(key.ID), false)
			if err != nil {
				return err
			}
			return l.save(tx, o)
		})
		if err != nil && failed == nil {
			failed = err // one account must not hold up the others
		}
	}
	return len(keys), failed
}
