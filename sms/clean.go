package sms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// Nothing is kept longer than it serves (P16): a final text and its code go
// after Policy.Keep, a limit's window once it counts no more. What the texts of a
// day came to stays, in one record a gateway (S24).

var tallies = storage.Kind[Tally]{Name: "sms.tally", Schema: 1}

// kept is when a final text may go; it stands in for Due, which is over.
func (r row) due() time.Time {
	if r.Due.IsZero() {
		return r.Keep
	}
	return r.Due
}

// clean removes a final text whose time is over, with its code and its traces at
// gateways; the day's tally takes it up.
func (s *Service) clean(ctx context.Context, ref Ref) (moved bool, err error) {
	err = storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		moved = false
		r, ok, err := messages.Get(tx, ref.Tenant, ref.ID)
		if err != nil || !ok || !r.Due.IsZero() || r.Keep.After(tx.Now(s.now)) {
			return err
		}
		moved = true
		for i, a := range r.Attempts {
			id := storage.JoinID(today(a.At), a.Gateway)
			t, _, err := tallies.Get(tx, ref.Tenant, id)
			if err != nil {
				return err
			}
			t.Day, t.Gateway = today(a.At), a.Gateway
			t.add(r, a, i == len(r.Attempts)-1)
			if err := tallies.Put(tx, ref.Tenant, id, t); err != nil {
				return err
			}
			if err := byKey.Delete(tx, storage.Deployment, storage.JoinID(a.Gateway, a.Key)); err != nil {
				return err
			}
			if a.ProviderID == "" {
				continue
			}
			at := storage.JoinID(a.Gateway, a.ProviderID)
			if own, ok, err := byProvider.Get(tx, storage.Deployment, at); err != nil {
				return err
			} else if ok && own == submission(ref) {
				if err := byProvider.Delete(tx, storage.Deployment, at); err != nil {
					return err
				}
			}
		}
		if err := s.letGo(ctx, tx, r.Vars); err != nil {
			return err
		}
		if r.Challenge != "" {
			if err := s.cleanChallenge(ctx, tx, ref.Tenant, r.Challenge); err != nil {
				return err
			}
		}
		return messages.Delete(tx, ref.Tenant, ref.ID)
	})
	return moved, err
}

func (s *Service) cleanChallenge(ctx context.Context, tx *storage.Tx, tenant, id string) error {
	c, ok, err := challenges.Get(tx, tenant, id)
	if err != nil || !ok {
		return err
	}
	if err := s.letGo(ctx, tx, c.Title); err != nil {
		return err
	}
	live := storage.JoinID(c.Index, c.Purpose, c.Envelope)
	if p, ok, err := pointers.Get(tx, tenant, live); err != nil {
		return err
	} else if ok && p.Challenge == id {
		if err := pointers.Delete(tx, tenant, live); err != nil {
			return err
		}
	}
	return challenges.Delete(tx, tenant, id)
}

// letGo removes values from the vault whose purpose is over.
func (s *Service) letGo(ctx context.Context, tx *storage.Tx, ref *privacy.Ref) error {
	if ref == nil {
		return nil
	}
	err := s.vault.ForgetTx(ctx, tx, *ref)
	if errors.Is(err, privacy.ErrNotFound) {
		return nil
	}
	return err
}

// Tend does what Run does once a minute beside handing over: it polls gateways
// for receipts since an instant, and removes what is kept no longer. Hosts that
// call [Service.Deliver] by a schedule of their own call it too. Gateways that
// cannot be polled are logged; it fails as [Service.Sweep] does.
func (s *Service) Tend(ctx context.Context, since time.Time) error {
	s.poll(ctx, since)
	_, err := s.Sweep(ctx)
	return err
}

// Sweep removes nonces and windows that count no more, at most 256 of each, and
// returns how many. It fails with the error of the store; what it removed stays so.
func (s *Service) Sweep(ctx context.Context) (n int, err error) {
	for _, kind := range []struct {
		name string
		gone func(tx *storage.Tx, k storage.Key) (bool, error)
	}{
		{nonces.Name, func(tx *storage.Tx, k storage.Key) (bool, error) {
			x, ok, err := nonces.Get(tx, k.Tenant, k.ID)
			return ok && !tx.Now(s.now).Before(x.Until), err
		}},
		{windows.Name, func(tx *storage.Tx, k storage.Key) (bool, error) {
			x, ok, err := windows.Get(tx, k.Tenant, k.ID)
			return ok && !tx.Now(s.now).Before(x.Until), err
		}},
	} {
		due, err := s.store.Due(ctx, kind.name, s.now(), page)
		if err != nil {
			return n, fmt.Errorf("sms: sweep: %w", err)
		}
		for _, k := range due {
			gone := false
			err := storage.Update(ctx, s.store, func(tx *storage.Tx) (err error) {
				if gone, err = kind.gone(tx, k); err != nil || !gone {
					return err
				}
				return tx.Delete(k)
			})
			if err != nil {
				return n, fmt.Errorf("sms: sweep: %w", err)
			}
			if gone {
				n++
			}
		}
	}
	return n, nil
}
