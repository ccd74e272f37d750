package quota

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/countersign/countersign/storage"
)

// An Audit is what [Ledger.Verify] looked at.
type Audit struct {
	Accounts int
	Entries  uint64
	Holds    int
}

// A CorruptError says where a ledger contradicts itself. It unwraps to
// storage.ErrCorrupt.
type CorruptError struct {
	Account AccountID
	What    string
}

// Error implements error.
func (e *CorruptError) Error() string { return "quota: ledger contradicts itself: " + e.What }

// Unwrap returns storage.ErrCorrupt.
func (e *CorruptError) Unwrap() error { return storage.ErrCorrupt }

// Verify replays every journal of a tenant and compares it with the account
// (I4), checks each lot's counters (I1) and that what is held is what open lines
// hold (I2). It reads everything, not at one instant: run it while nothing else
// writes. It fails with [CorruptError] at the first contradiction.
func (l *Ledger) Verify(ctx context.Context, tenant string) (Audit, error) {
	var a Audit
	if err := checkTenant(tenant); err != nil {
		return a, err
	}
	held := make(map[AccountID]map[LotID]Units)
	last := make(map[AccountID]head)
	for item, err := range heads.Scan(ctx, l.cfg.Store, tenant, "") {
		if err != nil {
			return a, err
		}
		a.Accounts++
		a.Entries += item.Value.Seq
		last[item.Value.Account] = item.Value
		if err := l.verifyAccount(ctx, tenant, AccountID(item.ID), item.Value); err != nil {
			return a, err
		}
	}
	for item, err := range holds.Scan(ctx, l.cfg.Store, tenant, "") {
		if err != nil {
			return a, err
		}
		a.Holds++
		for i := range item.Value.Lines {
			line := &item.Value.Lines[i]
			payer := line.payer(&item.Value.Hold)
			at := last[payer].Last
			if line.State != Held || !item.Value.Expires.IsZero() && !at.Before(item.Value.Expires) {
				continue
			}
			if held[payer] == nil {
				held[payer] = make(map[LotID]Units)
			}
			for _, s := range line.From {
				held[payer][s.Lot] += s.Units
			}
		}
	}
	for id, h := range last {
		for i := range h.Lots {
			lot := &h.Lots[i]
			if lot.Held != held[id][lot.ID] {
				return a, &CorruptError{id, fmt.Sprintf("a lot has %d units held, open lines hold %d", lot.Held, held[id][lot.ID])}
			}
			delete(held[id], lot.ID)
		}
		for _, n := range held[id] {
			if n != 0 {
				return a, &CorruptError{id, "an open line holds units of a lot that is not there"}
			}
		}
	}
	return a, nil
}

func (l *Ledger) verifyAccount(ctx context.Context, tenant string, id AccountID, h head) error {
	corrupt := func(what string) error { return &CorruptError{id, what} }
	if h.Account != id {
		return corrupt("an account has another's name")
	}
	s := state{&journal{head: &head{Account: id}}}
	var effective time.Time
	for raw, err := range storage.Replay(ctx, l.cfg.Store, heads.Key(tenant, string(id)), 0) {
		if err != nil {
			return err
		}
		e, err := decodeEntry(raw.Data)
		if err != nil {
			return err
		}
		if e.Recorded.Before(e.Effective) || e.Effective.Before(effective) {
			return corrupt("an entry counts after it was recorded, or before the one before it")
		}
		effective = e.Effective
		if err := s.replay(e); err != nil {
			return err
		}
	}
	s.finish()
	h = h.clone()
	(&journal{head: &h}).finish() // what one commit had no room for
	if s.Seq != h.Seq || !s.Last.Equal(h.Last) {
		return corrupt("the journal's length or end differs from the account")
	}
	if s.Suspended != h.Suspended || s.MergedInto != h.MergedInto {
		return corrupt("the journal's status differs from the account")
	}
	want, err := json.Marshal(s.Lots)
	if err != nil {
		return fmt.Errorf("quota: encode lots: %w", err)
	}
	got, err := json.Marshal(h.Lots)
	if err != nil {
		return fmt.Errorf("quota: encode lots: %w", err)
	}
	if len(s.Lots)+len(h.Lots) > 0 && string(want) != string(got) {
		return corrupt("the lots differ from a replay of the journal")
	}
	for i := range h.Lots {
		lot := &h.Lots[i]
		if lot.Held < 0 || lot.Used < 0 || lot.Expired < 0 || lot.Clawed < 0 || lot.Available() < 0 {
			return corrupt("a counter of a lot is below zero")
		}
		if i > 0 && burn(&h.Lots[i-1], lot) >= 0 {
			return corrupt("the lots are out of order")
		}
		var lapsing Units
		for k, p := range lot.Lapse {
			lapsing += p.Units
			if p.Units <= 0 || !p.At.After(h.Last) || k > 0 && !p.At.After(lot.Lapse[k-1].At) {
				return corrupt("a lapse is not positive, overdue or out of order")
			}
		}
		if lapsing > lot.Held {
			return corrupt("more units lapse than are held")
		}
	}
	return nil
}
