package membership

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A Reminder says that a membership ends soon. There is one per timeline,
// threshold and end: a renewal moves the end and arms the thresholds again.
type Reminder struct {
	Account quota.AccountID `json:"account"`
	Type    PlanType        `json:"type"`
	Days    int             `json:"days"` // the threshold: 30, 7 or 1
	Until   time.Time       `json:"until"`
	At      time.Time       `json:"at"` // when it was noticed
}

// thresholds are the days before an end, the nearest first.
var thresholds = [...]int{1, 7, 30}

var reminders = storage.Kind[Reminder]{Name: "mem.remind", Schema: 1}

// reminded is a threshold that is passed and told of.
type reminded struct {
	Type  PlanType  `json:"type"`
	Days  int       `json:"days"`
	Until time.Time `json:"until"`
}

// nextReminder is the next threshold of any timeline that was not told of.
func (m *Member) nextReminder() time.Time {
	var due time.Time
	if m.Status != Active {
		return due
	}
	for _, lane := range m.Lanes {
		end := lane.End()
		for _, days := range thresholds {
			at := end.Add(-time.Duration(days) * 24 * time.Hour)
			if end.IsZero() || slices.Contains(m.told, reminded{lane.Type, days, end}) {
				continue
			}
			if due.IsZero() || at.Before(due) {
				due = at
			}
		}
	}
	return due
}

// remind tells of the thresholds that a member has passed; of several at once
// the nearest speaks for all, and of an end that has passed none does.
func (m *Member) remind(now time.Time) []Reminder {
	var out []Reminder
	var told []reminded
	for _, lane := range m.Lanes {
		end := lane.End()
		spoken := !now.Before(end)
		for _, days := range thresholds {
			if end.IsZero() || now.Before(end.Add(-time.Duration(days)*24*time.Hour)) {
				continue
			}
			r := reminded{lane.Type, days, end}
			told = append(told, r)
			if !spoken && !slices.Contains(m.told, r) {
				out = append(out, Reminder{Account: m.Account, Type: lane.Type, Days: days, Until: end, At: now})
			}
			spoken = true
		}
	}
	m.told = told
	return out
}

// Sweep notices on at most limit accounts of all tenants that memberships end
// soon, and returns how many it looked at: fewer than limit mean that nothing is
// left. No other answer depends on it. It goes on after an account that fails, and
// returns the first error.
func (s *Service) Sweep(ctx context.Context, limit int) (int, error) {
	clock := s.cfg.Now
	if clock == nil {
		clock = time.Now
	}
	keys, err := s.cfg.Store.Due(ctx, members.Name, clock(), limit)
	if err != nil {
		return 0, err
	}
	var failed error
	for _, key := range keys {
		err := storage.Update(ctx, s.cfg.Store, func(tx *storage.Tx) error {
			m, err := load(tx, key.Tenant, quota.AccountID(key.ID))
			if err != nil {
				return err
			}
			for _, r := range m.remind(tx.Now(s.cfg.Now)) {
				id := storage.JoinID(key.ID, storage.OldestFirst(r.Until), string(r.Type), fmt.Sprintf("%02d", r.Days))
				if err := reminders.Put(tx, key.Tenant, id, r); err != nil {
					return err
				}
			}
			return save(tx, key.Tenant, m)
		})
		if err != nil && failed == nil {
			failed = err // one account must not hold up the others
		}
	}
	return len(keys), failed
}

// Reminders yields the reminders of an account by the ends they are about; the
// host sends those that are new to it. It ends after an error.
func (s *Service) Reminders(ctx context.Context, req MemberRequest) iter.Seq2[Reminder, error] {
	return func(yield func(Reminder, error) bool) {
		if err := checkIDs(req.Tenant, string(req.Account)); err != nil {
			yield(Reminder{}, err)
			return
		}
		for item, err := range reminders.Scan(ctx, s.cfg.Store, req.Tenant, storage.JoinPrefix(string(req.Account))) {
			if !yield(item.Value, err) || err != nil {
				return
			}
		}
	}
}
