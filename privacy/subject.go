package privacy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

// A State is where a subject stands.
type State string

const (
	// Active subjects are read and written for declared purposes.
	Active State = "active"
	// Restricted subjects stand in no list; reading needs the purpose
	// authority, holder or dispute and a second approver (T48, D13).
	Restricted State = "restricted"
	// Erasing subjects take nothing new; their keys are about to go.
	Erasing State = "erasing"
	// Shredded subjects have no keys left. There is no way back.
	Shredded State = "shredded"
)

// A Reason is a code for a change of state, kept with it. It is no free text
// and names nobody.
type Reason string

// A Hold stops erasure, and nothing else, until it is lifted or over.
type Hold struct {
	ID    string    `json:"id"`
	By    string    `json:"by"`    // who ordered it
	Basis string    `json:"basis"` // on what ground
	Until time.Time `json:"until"` // zero: until lifted
}

type subjectRecord struct {
	State  State         `json:"state"`
	DEK    []byte        `json:"dek,omitempty"`    // wrapped by the tenant's KEK
	Bio    []byte        `json:"bio,omitempty"`    // wrapped by the tenant's biometric KEK
	Fields map[Field]int `json:"fields,omitempty"` // newest version of each
	Last   int           `json:"last,omitempty"`   // newest version of all: none is used twice
	Holds  []Hold        `json:"holds,omitempty"`
	Keep   time.Time     `json:"keep,omitzero"` // no erasure before (D13)
	Why    Reason        `json:"why,omitempty"`
	At     time.Time     `json:"at"` // of the last change of state
}

var subjects = storage.Kind[subjectRecord]{Name: "privacy.subject", Schema: 1}

const subjectKeyID = "1"

// subject is a record with its keys open.
type subject struct {
	subjectRecord
	s        Subject
	dek, bio []byte
	v        *Vault
	keys     *tenantKeys
	fresh    bool // not stored yet
}

// openSubject reads a subject and opens its keys; with make it creates what is
// not there, to be stored by put.
func (v *Vault) openSubject(tx *storage.Tx, s Subject, create bool) (*subject, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	keys, err := v.tenant(s.Tenant)
	if err != nil {
		return nil, err
	}
	rec, ok, err := subjects.Get(tx, s.Tenant, s.ID)
	if err != nil {
		return nil, err
	}
	x := &subject{subjectRecord: rec, s: s, v: v, keys: keys}
	switch {
	case !ok && !create:
		return nil, ErrNotFound
	case !ok:
		x.fresh = true
		x.State, x.At = Active, tx.Now(v.now)
	case rec.State == Erasing || rec.State == Shredded:
		return nil, ErrErased
	}
	if x.dek, err = x.unwrap(&x.DEK, keys.kek, "dek", create); err != nil {
		return nil, err
	}
	if x.Bio != nil {
		if x.bio, err = x.unwrap(&x.Bio, keys.bio, "bio", false); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// unwrap opens a wrapped key, or makes one where there is none.
func (x *subject) unwrap(wrapped *[]byte, kek []byte, name string, create bool) ([]byte, error) {
	aad := lps("countersign/subject-key/v1", x.s.Tenant, x.s.ID, name)
	if *wrapped != nil {
		return x.v.suite.open(kek, name, *wrapped, aad)
	}
	if !create {
		return nil, ErrKey
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	w, err := x.v.suite.seal(kek, name, key, aad)
	if err != nil {
		return nil, fmt.Errorf("privacy: wrap subject key: %w", err)
	}
	*wrapped = w
	return key, nil
}

// key is the key for data of a class; biometrics have one of their own, so
// that it can go while the rest stays.
func (x *subject) key(c Class) (key []byte, err error) {
	if c != ClassBiometric {
		return x.dek, nil
	}
	if x.bio == nil {
		x.bio, err = x.unwrap(&x.Bio, x.keys.bio, "bio", true)
	}
	return x.bio, err
}

func (x *subject) put(tx *storage.Tx) error {
	x.fresh = false
	return subjects.Put(tx, x.s.Tenant, x.s.ID, x.subjectRecord)
}

func (x *subject) readable(a Accessor, why Purpose) error {
	if x.State != Restricted {
		return nil
	}
	strong := why == PurposeAuthority || why == PurposeHolder || why == PurposeDispute
	if !strong || a.Approver == "" || a.Approver == a.Account {
		return ErrRestricted
	}
	return nil
}

// changeTx applies f to a stored subject; nothing is written if f says false.
func (v *Vault) changeTx(tx *storage.Tx, s Subject, f func(*subjectRecord, time.Time) (bool, error)) error {
	if err := s.check(); err != nil {
		return err
	}
	rec, ok, err := subjects.Get(tx, s.Tenant, s.ID)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNotFound
	}
	write, err := f(&rec, tx.Now(v.now))
	if err != nil || !write {
		return err
	}
	return subjects.Put(tx, s.Tenant, s.ID, rec)
}

// RestrictTx takes a subject out of ordinary use (T48, P17).
func (v *Vault) RestrictTx(ctx context.Context, tx *storage.Tx, s Subject, why Reason) error {
	return v.changeTx(tx, s, func(r *subjectRecord, now time.Time) (bool, error) {
		switch r.State {
		case Restricted:
			return false, nil
		case Active:
			r.State, r.Why, r.At = Restricted, why, now
			return true, nil
		}
		return false, ErrErased
	})
}

// RetainTx forbids erasing before an instant that [Earliest] gave. The latest
// instant ever set wins.
func (v *Vault) RetainTx(ctx context.Context, tx *storage.Tx, s Subject, until time.Time) error {
	return v.changeTx(tx, s, func(r *subjectRecord, _ time.Time) (bool, error) {
		if r.State == Erasing || r.State == Shredded {
			return false, ErrErased
		}
		if until = until.UTC().Truncate(time.Microsecond); !until.After(r.Keep) {
			return false, nil
		}
		r.Keep = until
		return true, nil
	})
}

// HoldTx stops erasure of a subject under the id of h; the same id again
// replaces the hold.
func (v *Vault) HoldTx(ctx context.Context, tx *storage.Tx, s Subject, h Hold) error {
	if h.ID == "" || len(h.ID) > MaxID || h.By == "" || h.Basis == "" {
		return fmt.Errorf("%w: hold needs id, by and basis", ErrInvalid)
	}
	h.Until = h.Until.UTC().Truncate(time.Microsecond)
	return v.changeTx(tx, s, func(r *subjectRecord, _ time.Time) (bool, error) {
		if r.State == Erasing || r.State == Shredded {
			return false, ErrErased
		}
		i := slices.IndexFunc(r.Holds, func(o Hold) bool { return o.ID == h.ID })
		if i < 0 {
			r.Holds = append(r.Holds, h)
		} else {
			r.Holds[i] = h
		}
		return true, nil
	})
}

// UnholdTx lifts a hold; one that is not there is no error.
func (v *Vault) UnholdTx(ctx context.Context, tx *storage.Tx, s Subject, id string) error {
	return v.changeTx(tx, s, func(r *subjectRecord, _ time.Time) (bool, error) {
		n := len(r.Holds)
		r.Holds = slices.DeleteFunc(r.Holds, func(o Hold) bool { return o.ID == id })
		return len(r.Holds) != n, nil
	})
}

// A Receipt says what an erasure did, without anything personal in it.
type Receipt struct {
	Tenant  string    `json:"tenant"`
	Subject string    `json:"subject"`
	State   State     `json:"state"` // Shredded, or Restricted where the law keeps the data
	At      time.Time `json:"at"`
	Until   time.Time `json:"until,omitzero"` // earliest erasure, when Restricted
	Rows    int       `json:"rows"`           // sealed rows removed by this call
	// Backups of wrapped keys must be gone by then; until they are, the data in
	// a backup can be opened by whoever holds backup and root key.
	Backups time.Time `json:"backups,omitzero"`
	// Copies: contracts that other parties hold stay theirs.
	Copies bool `json:"copies"`
}

// BeginEraseTx marks a subject as about to be erased: nothing new is taken and
// nothing read any more. It fails with [ErrHeld] or [ErrRetained]. The chains
// that hold commitments of the subject are told now, before the keys go:
// evidence.Log.EraseSubject does it all.
func (v *Vault) BeginEraseTx(ctx context.Context, tx *storage.Tx, s Subject, why Reason) error {
	return v.changeTx(tx, s, func(r *subjectRecord, now time.Time) (bool, error) {
		if r.State == Erasing || r.State == Shredded {
			return false, nil
		}
		for _, h := range r.Holds {
			if h.Until.IsZero() || now.Before(h.Until) {
				return false, ErrHeld
			}
		}
		if now.Before(r.Keep) {
			return false, ErrRetained
		}
		r.State, r.Why, r.At = Erasing, why, now
		return true, nil
	})
}

// EraseSubject erases a subject: it destroys the keys, which makes every sealed
// value and every opening unreadable wherever its bytes still lie, then removes
// the rows. Commitments in events stay and verify. Where the retention clock
// does not allow it, the subject becomes Restricted and the receipt says until
// when (D13); under a legal hold it is [ErrHeld].
//
// Repeating the call is safe and finishes what a crash interrupted.
func (v *Vault) EraseSubject(ctx context.Context, s Subject) (Receipt, error) {
	out := Receipt{Tenant: s.Tenant, Subject: s.ID, Copies: true}
	err := storage.Update(ctx, v.store, func(tx *storage.Tx) error {
		now := tx.Now(v.now)
		return v.changeTx(tx, s, func(r *subjectRecord, _ time.Time) (bool, error) {
			out.State, out.At, out.Until = r.State, r.At, time.Time{}
			if r.State == Shredded {
				return false, nil
			}
			if r.State != Erasing {
				for _, h := range r.Holds {
					if h.Until.IsZero() || now.Before(h.Until) {
						return false, ErrHeld
					}
				}
				if now.Before(r.Keep) {
					out.State, out.At, out.Until = Restricted, now, r.Keep
					if r.State == Restricted {
						out.At = r.At
						return false, nil
					}
					r.State, r.Why, r.At = Restricted, "retained", now
					return true, nil
				}
			}
			*r = subjectRecord{State: Shredded, Why: r.Why, At: now}
			out.State, out.At = Shredded, now
			return true, nil
		})
	})
	if err != nil || out.State != Shredded {
		return out, err
	}
	out.Backups = out.At.AddDate(0, 0, 30)
	out.Rows, err = v.sweep(ctx, s)
	return out, err
}

// sweep removes the sealed rows of a shredded subject. Nothing can have come
// since: every writer of rows checks the subject's record.
func (v *Vault) sweep(ctx context.Context, s Subject) (int, error) {
	removed := 0
	prefix := storage.JoinPrefix(s.ID)
	for _, kind := range []string{values.Name, seeds.Name} {
		after := prefix
		for {
			page, err := v.store.List(ctx, s.Tenant, kind, after, 256)
			if err != nil {
				return removed, err
			}
			n := 0
			for n < len(page) && strings.HasPrefix(page[n].Key.ID, prefix) {
				n++
			}
			if n == 0 {
				break
			}
			after = page[n-1].Key.ID
			gone := 0
			err = storage.Update(ctx, v.store, func(tx *storage.Tx) error {
				gone = 0
				if _, _, err := subjects.Get(tx, s.Tenant, s.ID); err != nil { // checked with the deletes
					return err
				}
				for _, r := range page[:n] {
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
	return removed, nil
}

// Envelopes lists the envelopes whose events hold commitments of a subject.
func (v *Vault) Envelopes(ctx context.Context, s Subject) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		last := ""
		for item, err := range seeds.Scan(ctx, v.store, s.Tenant, storage.JoinPrefix(s.ID)) {
			if err != nil {
				yield("", err)
				return
			}
			parts, err := storage.SplitID(item.ID)
			if err != nil || len(parts) != 3 {
				yield("", fmt.Errorf("privacy: seed id: %w", storage.ErrCorrupt))
				return
			}
			if parts[1] != last {
				if last = parts[1]; !yield(last, nil) {
					return
				}
			}
		}
	}
}

// Alias is the name of a subject inside one envelope's evidence: equal within
// the envelope, unrelated across envelopes, and no way back to the subject
// without the tenant's key. It fails with [ErrLocked].
func (v *Vault) Alias(s Subject, env string) (string, error) {
	k, err := v.tenant(s.Tenant)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(mac(k.alias, "countersign/alias/v1", env, s.ID)[:16]), nil
}
