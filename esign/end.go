package esign

import (
	"context"

	"github.com/countersign/countersign/storage"
)

// Discard removes a draft that was never sent. It fails with [*StateError] once
// it was, and with [ErrNotFound] or [ErrForbidden] for whom it is not.
func (s *Service) Discard(ctx context.Context, a Actor, r End) (Envelope, error) {
	return mutate(ctx, s, a, func(tx *storage.Tx) (Envelope, error) { return s.DiscardTx(ctx, tx, a, r) })
}

// DiscardTx is [Service.Discard] within a commit.
func (s *Service) DiscardTx(ctx context.Context, tx *storage.Tx, a Actor, r End) (Envelope, error) {
	return s.byOwner(ctx, tx, a, OpDiscard, r)
}

// Revoke voids an envelope (撤销) that misses a required signature. Signatures
// already made are void; units of unsigned recipients come back or not by the
// channel they were reached through (H17, H18, D02, D05). After everybody
// signed it is [ErrAllSigned]. It fails further with [*StateError] for an envelope
// that is not running, [*FieldError] without a reason, [ErrNotFound],
// [ErrForbidden] or [ErrIntentMismatch].
func (s *Service) Revoke(ctx context.Context, a Actor, r End) (Envelope, error) {
	return mutate(ctx, s, a, func(tx *storage.Tx) (Envelope, error) { return s.RevokeTx(ctx, tx, a, r) })
}

// RevokeTx is [Service.Revoke] within a commit.
func (s *Service) RevokeTx(ctx context.Context, tx *storage.Tx, a Actor, r End) (Envelope, error) {
	return s.byOwner(ctx, tx, a, OpRevoke, r)
}

// Close ends the collection of signatures (关闭) and keeps those made. Units of
// unsigned recipients settle as with [Service.Revoke] (D05), as which it fails.
func (s *Service) Close(ctx context.Context, a Actor, r End) (Envelope, error) {
	return mutate(ctx, s, a, func(tx *storage.Tx) (Envelope, error) { return s.CloseTx(ctx, tx, a, r) })
}

// CloseTx is [Service.Close] within a commit.
func (s *Service) CloseTx(ctx context.Context, tx *storage.Tx, a Actor, r End) (Envelope, error) {
	return s.byOwner(ctx, tx, a, OpClose, r)
}

func (s *Service) byOwner(ctx context.Context, tx *storage.Tx, a Actor, op Op, r End) (Envelope, error) {
	request, err := s.veiledEnd(a, r)
	if err != nil {
		return Envelope{}, err
	}
	return s.command(ctx, tx, a, string(op), r.ID, r.Envelope, request, func(x *work) error {
		if err := x.asOwner(); err != nil {
			return err
		}
		x.lenient = true
		return x.apply(ctx, Command{Op: op, By: WhoOwner, Reason: r.Reason}, note{})
	})
}

// Decline refuses to sign (拒签). The envelope is declined if its stage can no
// longer be met; no unit comes back (D03). It fails with [ErrNoDecline] where the
// sender switched that off, with [*TurnError], [*StateError], [*DeadlineError],
// [*FieldError] without a reason, [ErrNotFound] or [ErrIntentMismatch].
func (s *Service) Decline(ctx context.Context, a Actor, r End) (Envelope, error) {
	return mutate(ctx, s, a, func(tx *storage.Tx) (Envelope, error) { return s.DeclineTx(ctx, tx, a, r) })
}

// DeclineTx is [Service.Decline] within a commit.
func (s *Service) DeclineTx(ctx context.Context, tx *storage.Tx, a Actor, r End) (Envelope, error) {
	request, err := s.veiledEnd(a, r)
	if err != nil {
		return Envelope{}, err
	}
	return s.command(ctx, tx, a, "decline", r.ID, r.Envelope, request, func(x *work) error {
		row, err := x.asRecipient(r.Recipient)
		if err != nil {
			return err
		}
		x.lenient = true
		return x.apply(ctx, Command{Op: OpDecline, By: WhoRecipient, Recipient: row.ID, Reason: r.Reason}, note{})
	})
}
