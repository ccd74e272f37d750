package sms

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A metered text holds one line per billed message it may take, so that what it
// took less than expected goes back (S06, D14, D15).

var errNoLedger = fmt.Errorf("%w: units are held and Quota is nil", ErrConfig)

func holdID(ref Ref) quota.HoldID {
	sum := sha256.Sum256([]byte(ref.ID))
	return quota.HoldID("sms-" + hex.EncodeToString(sum[:16]))
}

func slots(from, to int) []quota.SlotID {
	var out []quota.SlotID
	for i := from; i < to; i++ {
		out = append(out, quota.SlotID(strconv.Itoa(i+1)))
	}
	return out
}

func (s *Service) hold(ctx context.Context, tx *storage.Tx, ref Ref, r row, units int) (int, error) {
	kind := quota.KindSMS
	if r.Kind == VoiceOTP {
		kind = quota.KindVoice
	}
	var lines []quota.LineRequest
	for _, slot := range slots(0, units) {
		lines = append(lines, quota.LineRequest{Slot: slot, Kind: kind})
	}
	_, err := s.quota.ReserveTx(ctx, tx, quota.ReserveRequest{Tenant: ref.Tenant, ID: holdID(ref),
		Account: quota.AccountID(r.Account), Ref: ref.ID, Lines: lines, Actor: "sms"})
	if err != nil {
		return 0, fmt.Errorf("sms: units: %w", err)
	}
	return units, nil
}

// charge captures what the text took and gives back the rest, in the commit
// that makes it Accepted.
func (s *Service) charge(ctx context.Context, tx *storage.Tx, ref Ref, r *row) error {
	if r.Held == 0 {
		return nil
	}
	if s.quota == nil {
		return errNoLedger
	}
	used := min(max(r.Counted, 1), r.Held)
	_, err := s.quota.CaptureTx(ctx, tx, quota.CaptureRequest{Tenant: ref.Tenant, ID: string(holdID(ref)) + "-c",
		Hold: holdID(ref), Slots: slots(0, used), Actor: "sms"})
	if err != nil {
		return fmt.Errorf("sms: units: %w", err)
	}
	if used < r.Held {
		if err := s.giveBack(ctx, tx, ref, slots(used, r.Held)); err != nil {
			return err
		}
	}
	r.Held, r.Units = 0, used
	return nil
}

// release gives everything back, in the commit that ends the text unsent.
func (s *Service) release(ctx context.Context, tx *storage.Tx, ref Ref, r *row) error {
	if r.Held == 0 {
		return nil
	}
	if s.quota == nil {
		return errNoLedger
	}
	if err := s.giveBack(ctx, tx, ref, nil); err != nil {
		return err
	}
	r.Held = 0
	return nil
}

func (s *Service) giveBack(ctx context.Context, tx *storage.Tx, ref Ref, which []quota.SlotID) error {
	_, err := s.quota.ReleaseTx(ctx, tx, quota.ReleaseRequest{Tenant: ref.Tenant, ID: string(holdID(ref)) + "-r",
		Hold: holdID(ref), Slots: which, Cause: quota.ProviderFault, Actor: "sms"})
	if err != nil {
		return fmt.Errorf("sms: units: %w", err)
	}
	return nil
}
