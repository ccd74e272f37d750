package sms

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// recent is one rolling window: the instants that still count, in Unix
// microseconds, oldest first. It is keyed by blind index.
type recent struct {
	At    []int64   `json:"at"`
	Until time.Time `json:"until,omitzero"` // it counts no more from then on
}

var windows = storage.Kind[recent]{Name: "sms.window", Schema: 1, Due: func(r recent) time.Time { return r.Until }}

// A spend is one event that is to be counted against one limit.
type spend struct {
	scope string
	id    string
	rules []Window
}

// count counts an event against every limit, or against none if one of them
// refuses: a refused request is no event. Two requests at once are told apart
// by the commit.
func (s *Service) count(tx *storage.Tx, tenant string, spends ...spend) error {
	now := tx.Now(s.now)
	found := make([]recent, len(spends))
	for i, sp := range spends {
		if len(sp.rules) == 0 {
			continue
		}
		rec, _, err := windows.Get(tx, tenant, storage.JoinID(sp.scope, sp.id))
		if err != nil {
			return err
		}
		if end, ok := rec.full(sp.rules, now); ok {
			return &LimitError{Scope: sp.scope, Next: end}
		}
		found[i] = rec
	}
	for i, sp := range spends {
		if len(sp.rules) == 0 {
			continue
		}
		rec := found[i].kept(sp.rules, now)
		rec.At = append(rec.At, now.UnixMicro())
		for _, w := range sp.rules {
			if end := now.Add(w.Per); end.After(rec.Until) {
				rec.Until = end
			}
		}
		if err := windows.Put(tx, tenant, storage.JoinID(sp.scope, sp.id), rec); err != nil {
			return err
		}
	}
	return nil
}

// full reports whether one more event at now would exceed a rule, and when it
// no longer would. Windows are half-open: an event Per ago counts no more. An
// event later than now, of a faster clock, counts.
func (r recent) full(rules []Window, now time.Time) (end time.Time, full bool) {
	for _, w := range rules {
		from := now.Add(-w.Per).UnixMicro()
		var in []int64
		for _, at := range r.At {
			if at > from {
				in = append(in, at)
			}
		}
		if len(in) < w.N {
			continue
		}
		next := now.Add(w.Per)
		if w.N > 0 {
			next = time.UnixMicro(in[len(in)-w.N]).UTC().Add(w.Per)
		}
		if next.After(end) {
			end = next
		}
		full = true
	}
	return end, full
}

// kept drops what no rule looks at any more.
func (r recent) kept(rules []Window, now time.Time) recent {
	var longest time.Duration
	most := 0
	for _, w := range rules {
		longest, most = max(longest, w.Per), max(most, w.N)
	}
	from := now.Add(-longest).UnixMicro()
	at := slices.DeleteFunc(slices.Clone(r.At), func(at int64) bool { return at <= from })
	if len(at) > most {
		at = at[len(at)-most:]
	}
	return recent{At: at, Until: r.Until}
}

// spent is what a tenant queued on a day.
type spent struct {
	Day   string `json:"day"`
	Units int    `json:"units"`
}

var budgets = storage.Kind[spent]{Name: "sms.budget", Schema: 1}

// budget counts what a text may take against the tenant's day. All texts of a
// tenant meet in this one record, so it is only kept where there is a bound.
func (s *Service) budget(tx *storage.Tx, tenant string, units int) error {
	if s.limits.Budget == 0 {
		return nil
	}
	now := tx.Now(s.now)
	b, _, err := budgets.Get(tx, tenant, "day")
	if err != nil {
		return err
	}
	if day := today(now); b.Day != day {
		b = spent{Day: day}
	}
	if b.Units+units > s.limits.Budget {
		return &LimitError{Scope: "budget", Next: nextDay(now)}
	}
	b.Units += units
	return budgets.Put(tx, tenant, "day", b)
}

// limitNotice counts a notice (S18).
func (s *Service) limitNotice(tx *storage.Tx, tenant, index, template, text string) error {
	sum := sha256.Sum256([]byte(text)) // a text may be longer than what is indexed
	same, err := s.blind(tenant, hex.EncodeToString(sum[:]))
	if err != nil {
		return err
	}
	return s.count(tx, tenant,
		spend{"notice", storage.JoinID(index, template), s.limits.Notice},
		spend{"same", storage.JoinID(index, same[:16]), s.limits.Same})
}

// limitCode counts a code that is about to be queued (S18).
func (s *Service) limitCode(tx *storage.Tx, tenant, index, signature, account string, ip privacy.IP) error {
	spends := []spend{
		{"code", storage.JoinID(index, signature), s.limits.Code},
		{"phone", index, s.limits.Phone},
	}
	if !ip.IsZero() {
		net, err := s.blind(tenant, ip.Prefix())
		if err != nil {
			return err
		}
		spends = append(spends, spend{"ip", net, s.limits.IP})
	}
	if account != "" {
		spends = append(spends, spend{"account", account, s.limits.Account})
	}
	return s.count(tx, tenant, spends...)
}
