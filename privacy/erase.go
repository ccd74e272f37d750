package privacy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

// What an entry of the access log says was done, where it was no read.
const (
	DidExport   = "export"
	DidCorrect  = "correct"
	DidErase    = "erase"
	DidRestrict = "restrict"
	DidHold     = "hold"
	DidUnhold   = "unhold"
	DidCancel   = "cancel"
	DidReopen   = "reopen"
)

// ReasonMinor is the reason of an erasure that no retention rule delays: who is
// under age has no service, and nothing of them is kept (P21).
const ReasonMinor Reason = "minor"

// whyCancelled is the reason of a restriction that [Vault.ReopenTx] lifts.
const whyCancelled Reason = "cancelled"

// acted puts what somebody did with a subject on the access log (P17).
func (v *Vault) acted(ctx context.Context, tx *storage.Tx, s Subject, did string, why Reason) error {
	e := Access{Did: did, Why: PurposeRights, Account: "system", Of: string(why)}
	if a, err := accessorOf(ctx); err == nil && !a.insecure && a.Tenant == s.Tenant {
		e.Account, e.Role, e.Approver = a.Account, a.Role, a.Approver
	}
	return v.logEntry(tx, s, e)
}

// RestrictTx takes a subject out of ordinary use (T48, P17). It fails with
// [ErrErased], and with [ErrNotFound] for a subject of which nothing is kept.
func (v *Vault) RestrictTx(ctx context.Context, tx *storage.Tx, s Subject, why Reason) error {
	return v.changeTx(tx, s, func(r *subjectRecord, now time.Time) (bool, error) {
		switch {
		case r.State == Restricted && r.Why != whyCancelled:
			return false, nil
		case r.State == Active || r.State == Restricted: // taking the cancellation back does not lift this
			r.State, r.Why, r.At = Restricted, why, now
			return true, v.acted(ctx, tx, s, DidRestrict, why)
		}
		return false, ErrErased
	})
}

// RetainTx forbids erasing before an instant that [Earliest] gave, or the end of the
// year 9999 if that comes first: certificates without an end of their own say so
// (RFC 5280 §4.1.2.5). The latest instant ever set wins. It fails as [Vault.RestrictTx] does.
func (v *Vault) RetainTx(ctx context.Context, tx *storage.Tx, s Subject, until time.Time) error {
	return v.changeTx(tx, s, func(r *subjectRecord, _ time.Time) (bool, error) {
		if r.State == Erasing || r.State == Shredded {
			return false, ErrErased
		}
		if until.After(lastInstant) {
			until = lastInstant
		}
		if until = until.UTC().Truncate(time.Microsecond); !until.After(r.Keep) {
			return false, nil
		}
		r.Keep = until
		return true, nil
	})
}

// HoldTx stops erasure of a subject under the id of h; the same id again
// replaces the hold. It fails with [ErrInvalid] for a hold without id, by or basis, or
// with an end beyond the year 9999, and as [Vault.RestrictTx] does.
func (v *Vault) HoldTx(ctx context.Context, tx *storage.Tx, s Subject, h Hold) error {
	if h.ID == "" || len(h.ID) > MaxID || h.By == "" || len(h.By) > MaxID || h.Basis == "" || len(h.Basis) > MaxID {
		return fmt.Errorf("%w: hold needs id, by and basis of 1 to %d bytes", ErrInvalid, MaxID)
	}
	if !okInstant(h.Until) {
		return fmt.Errorf("%w: end of a hold", ErrInvalid)
	}
	h.Until = h.Until.UTC().Truncate(time.Microsecond)
	return v.changeTx(tx, s, func(r *subjectRecord, _ time.Time) (bool, error) {
		if r.State == Erasing || r.State == Shredded {
			return false, ErrErased
		}
		i := slices.IndexFunc(r.Holds, func(o Hold) bool { return o.ID == h.ID })
		switch {
		case i >= 0 && r.Holds[i] == h:
			return false, nil
		case i < 0:
			r.Holds = append(r.Holds, h)
		default:
			r.Holds[i] = h
		}
		return true, v.acted(ctx, tx, s, DidHold, Reason(h.ID))
	})
}

// UnholdTx lifts a hold; one that is not there is no error.
func (v *Vault) UnholdTx(ctx context.Context, tx *storage.Tx, s Subject, id string) error {
	return v.changeTx(tx, s, func(r *subjectRecord, _ time.Time) (bool, error) {
		n := len(r.Holds)
		r.Holds = slices.DeleteFunc(r.Holds, func(o Hold) bool { return o.ID == id })
		if len(r.Holds) == n {
			return false, nil
		}
		return true, v.acted(ctx, tx, s, DidUnhold, Reason(id))
	})
}

// CancelTx takes note that a person cancelled the account (T31, T32): from now
// on the subject is Restricted, and the receipt says until when
// [Vault.ReopenTx] can take that back. After that the profile and the
// biometrics are gone for good; what events commit to stays Restricted until
// the retention clock lets go. Offer [Vault.ExportSubject] before. Repeated it
// answers the same. It fails with [ErrErased].
func (v *Vault) CancelTx(ctx context.Context, tx *storage.Tx, s Subject) (Receipt, error) {
	out := Receipt{Tenant: s.Tenant, Subject: s.ID, Copies: true}
	err := v.changeTx(tx, s, func(r *subjectRecord, now time.Time) (bool, error) {
		if r.State == Erasing || r.State == Shredded {
			return false, ErrErased
		}
		fresh := r.Cancelled.IsZero()
		if fresh {
			r.Cancelled = now
			if r.State == Active {
				r.State, r.Why, r.At = Restricted, whyCancelled, now
			}
		}
		out.State, out.At, out.Until = r.State, r.Cancelled, r.cooledOff()
		if !fresh {
			return false, nil
		}
		return true, v.acted(ctx, tx, s, DidCancel, "")
	})
	return out, err
}

// ReopenTx takes a cancellation back within its days. It fails with
// [ErrErased] after them, whether or not a sweep ran, and with [ErrNotFound]
// where nothing was cancelled.
func (v *Vault) ReopenTx(ctx context.Context, tx *storage.Tx, s Subject) error {
	return v.changeTx(tx, s, func(r *subjectRecord, now time.Time) (bool, error) {
		switch {
		case r.State == Erasing || r.State == Shredded || r.over(now):
			return false, ErrErased
		case r.Cancelled.IsZero():
			return false, ErrNotFound
		}
		r.Cancelled = time.Time{}
		if r.Why == whyCancelled {
			r.State, r.Why, r.At = Active, "", now
		}
		return true, v.acted(ctx, tx, s, DidReopen, "")
	})
}

// CorrectTx puts a person's correction in the place of what is there (P17): a
// new version, on the record, with a receipt. The versions before stay what the
// events that mention them committed to. It fails as [Vault.PutTx] does, and
// with [ErrNotFound] for a field that was never given.
func (v *Vault) CorrectTx(ctx context.Context, tx *storage.Tx, s Subject, f Field, val Value) (Ref, Receipt, error) {
	rec, ok, err := subjects.Get(tx, s.Tenant, s.ID)
	if err != nil {
		return Ref{}, Receipt{}, err
	}
	if !ok || rec.State == Active && rec.Fields[f] == 0 {
		return Ref{}, Receipt{}, ErrNotFound
	}
	was := rec.Fields[f]
	ref, err := v.PutTx(ctx, tx, s, f, val)
	if err != nil {
		return Ref{}, Receipt{}, err
	}
	out := Receipt{Tenant: s.Tenant, Subject: s.ID, State: rec.State, At: tx.Now(v.now), Copies: true}
	if ref.Version == was {
		return ref, out, nil
	}
	out.Rows = 1
	return ref, out, v.acted(ctx, tx, s, DidCorrect, Reason(f))
}

// ShredBiometricsTx destroys a subject's biometrics, whose purpose is over,
// and leaves everything else (P16): their key goes now, their rows with the next
// erasure. None is no error.
func (v *Vault) ShredBiometricsTx(ctx context.Context, tx *storage.Tx, s Subject) error {
	return v.changeTx(tx, s, func(r *subjectRecord, now time.Time) (bool, error) {
		switch {
		case len(r.Bio) == 0:
			return false, nil
		case r.held(now):
			return false, ErrHeld
		}
		r.Bio = nil
		return true, v.acted(ctx, tx, s, DidErase, "biometrics")
	})
}

// A Receipt says what became of a person's request, without anything personal
// in it.
type Receipt struct {
	Tenant  string    `json:"tenant"`
	Subject string    `json:"subject"`
	State   State     `json:"state"` // Shredded, or Restricted where the law keeps evidence
	At      time.Time `json:"at"`
	Until   time.Time `json:"until,omitzero"` // earliest erasure of the rest, when Restricted
	Rows    int       `json:"rows"`           // sealed rows removed, read or written by this call
	// Backups of wrapped keys must be gone by then; until they are, the data in
	// a backup can be opened by whoever holds backup and root key.
	Backups time.Time `json:"backups,omitzero"`
	// Copies: contracts that other parties hold stay theirs.
	Copies bool `json:"copies"`
}

// BeginEraseTx marks a subject as about to be erased: nothing new is taken and
// nothing read any more. It fails with [ErrHeld] or [ErrRetained]. The chains
// that hold commitments of the subject are told now, before the keys go:
// evidence.Log.EraseSubject does it all. No retention delays [ReasonMinor].
func (v *Vault) BeginEraseTx(ctx context.Context, tx *storage.Tx, s Subject, why Reason) error {
	return v.changeTx(tx, s, func(r *subjectRecord, now time.Time) (bool, error) {
		switch {
		case r.State == Erasing || r.State == Shredded:
			return false, nil
		case r.held(now):
			return false, ErrHeld
		case now.Before(r.Keep) && why != ReasonMinor:
			return false, ErrRetained
		}
		r.State, r.Why, r.At = Erasing, why, now
		return true, v.acted(ctx, tx, s, DidErase, why)
	})
}

// EraseSubject erases a subject: it destroys the keys, which makes every sealed
// value and every opening unreadable wherever its bytes still lie, then removes
// the rows. Commitments in events stay and verify.
//
// Where the retention clock keeps the evidence, profile and biometrics go all
// the same, the subject becomes Restricted, and the receipt says until when
// (D13); [Vault.Due] names it when that is over. Under a legal hold it is
// [ErrHeld], and nothing changes.
//
// Repeating the call is safe and finishes what a crash interrupted.
func (v *Vault) EraseSubject(ctx context.Context, s Subject) (Receipt, error) {
	out := Receipt{Tenant: s.Tenant, Subject: s.ID, Copies: true}
	err := storage.Update(ctx, v.store, func(tx *storage.Tx) error {
		return v.changeTx(tx, s, func(r *subjectRecord, now time.Time) (bool, error) {
			out.State, out.At, out.Until = r.State, r.At, time.Time{}
			switch {
			case r.State == Shredded:
				return false, nil
			case r.State != Erasing && r.held(now):
				return false, ErrHeld
			case r.State != Erasing && now.Before(r.Keep):
				out.State, out.Until = Restricted, r.Keep
				if !r.Asked.IsZero() {
					out.At = r.Asked
					return false, nil
				}
				out.At = now
				*r = subjectRecord{State: Restricted, EV: r.EV, Last: r.Last, Holds: r.Holds, Keep: r.Keep, Cancelled: r.Cancelled,
					Asked: now, Why: "retained", At: now}
				return true, v.acted(ctx, tx, s, DidErase, "retained")
			}
			if r.State != Erasing { // else the beginning is on record
				if err := v.acted(ctx, tx, s, DidErase, r.Why); err != nil {
					return false, err
				}
			}
			*r = subjectRecord{State: Shredded, Why: r.Why, At: now}
			out.State, out.At = Shredded, now
			return true, nil
		})
	})
	if err != nil {
		return out, err
	}
	out.Backups = out.At.AddDate(0, 0, 30)
	if out.State != Shredded {
		out.Rows, err = v.sweep(ctx, s, values.Name)
		return out, err
	}
	v.forgetKeys(s)
	for _, kind := range []string{values.Name, seedKind} {
		n, err := v.sweep(ctx, s, kind)
		if out.Rows += n; err != nil {
			return out, err
		}
	}
	n, err := v.sweepSeeds(ctx, s)
	out.Rows += n
	return out, err
}

// sweep removes sealed rows whose keys are gone. Nothing can have come since:
// every writer of rows checks the subject's record.
func (v *Vault) sweep(ctx context.Context, s Subject, kind string) (int, error) {
	removed := 0
	prefix := storage.JoinPrefix(s.ID)
	for after := prefix; ; {
		page, err := v.store.List(ctx, s.Tenant, kind, after, 256)
		if err != nil {
			return removed, err
		}
		n := 0
		for n < len(page) && strings.HasPrefix(page[n].Key.ID, prefix) {
			n++
		}
		if n == 0 {
			return removed, nil
		}
		after = page[n-1].Key.ID
		gone := 0
		err = storage.Update(ctx, v.store, func(tx *storage.Tx) error {
			gone = 0
			if _, _, err := subjects.Get(tx, s.Tenant, s.ID); err != nil { // checked with the deletes
				return err
			}
			for _, r := range page[:n] {
				if kind == seedKind && !isOldSeed(r.Key.ID) {
					continue // an event's, of an envelope whose id is the subject's
				}
				now, err := tx.Get(r.Key)
				if err != nil {
					return err
				}
				if now[0].Version == 0 {
					continue
				}
				gone++
				if err := tx.Delete(r.Key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return removed, err
		}
		removed += gone
	}
}

// Due lists subjects, of all tenants, whose erasure is due: cancelled and cooled
// off, asked for and no longer retained, or begun and interrupted. Hand each to
// evidence.Log.EraseSubject; Run of package esign does. What is due answers as
// erased already, however late that is.
func (v *Vault) Due(ctx context.Context, limit int) ([]Subject, error) {
	keys, err := v.store.Due(ctx, subjects.Name, v.now(), limit)
	if err != nil {
		return nil, fmt.Errorf("privacy: due: %w", err)
	}
	out := make([]Subject, len(keys))
	for i, k := range keys {
		out[i] = Subject{k.Tenant, k.ID}
	}
	return out, nil
}
