package sms

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// Forget takes a person's number out of texts, codes, consents and locks: what
// waits is dropped, what went out keeps its times, states and charges, and the
// masked number and its blind index go (P17). A suppression stays, as it is what
// keeps texts away from the number. It reads every text of the tenant, commits
// step by step, and may be repeated; it returns how many texts and codes forgot.
// Erase the subject first, so that nothing new comes. It fails with [ErrRequest]
// without a subject.
func (s *Service) Forget(ctx context.Context, who privacy.Subject) (n int, err error) {
	if who.Tenant == "" || who.Tenant == storage.Deployment || who.ID == "" {
		return 0, badRequest("no subject")
	}
	indexes := map[string]bool{}
	for item, err := range messages.Scan(ctx, s.store, who.Tenant, "") {
		if err != nil {
			return n, fmt.Errorf("sms: forget: %w", err)
		}
		r := item.Value
		if r.To == nil || r.To.Subject != who.ID || r.Index == "" && r.Masked == "" {
			continue
		}
		indexes[r.Index] = true
		ref := Ref{who.Tenant, item.ID}
		err := s.change(ctx, ref, func(tx *storage.Tx, r *row) (bool, error) {
			r.Index, r.Masked = "", ""
			if r.State == StateQueued {
				return true, s.drop(ctx, tx, ref, r, "erased")
			}
			return true, nil
		})
		if err != nil {
			return n, err
		}
		n++
	}
	for item, err := range challenges.Scan(ctx, s.store, who.Tenant, "") {
		if err != nil {
			return n, fmt.Errorf("sms: forget: %w", err)
		}
		if c := item.Value; c.To.Subject != who.ID || c.Index == "" && c.Masked == "" {
			continue
		}
		indexes[item.Value.Index] = true
		err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
			c, ok, err := challenges.Get(tx, who.Tenant, item.ID)
			if err != nil || !ok {
				return err
			}
			live := storage.JoinID(c.Index, c.Purpose, c.Envelope)
			if _, ok, err := pointers.Get(tx, who.Tenant, live); err != nil {
				return err
			} else if ok {
				if err := pointers.Delete(tx, who.Tenant, live); err != nil {
					return err
				}
			}
			if c.State == challengeOpen || c.State == challengeRight {
				c.State = challengeClosed
			}
			c.Index, c.Masked = "", ""
			return challenges.Put(tx, who.Tenant, item.ID, c)
		})
		if err != nil {
			return n, err
		}
		n++
	}
	delete(indexes, "")
	for index := range indexes {
		err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
			for _, k := range []Kind{OTP, VoiceOTP, Notice, Marketing} {
				if err := consents.Delete(tx, who.Tenant, storage.JoinID(index, string(k))); err != nil {
					return err
				}
			}
			l, ok, err := locks.Get(tx, who.Tenant, index)
			if err != nil || !ok || l.shut(tx.Now(s.now)) { // what locks a number out outlives whose it was
				return err
			}
			return locks.Delete(tx, who.Tenant, index)
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
