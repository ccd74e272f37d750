package privacy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/storage"
)

// A Guardian is the record that somebody answers for a minor (D12): it counts
// only where the tenant's policy knows guardians at all.
type Guardian struct {
	By       string    `json:"by"`       // the guardian, by pseudonymous id
	Document string    `json:"document"` // SHA-256 of what was signed, 64 lower-case hexadecimal digits
	At       time.Time `json:"at"`       // zero is the instant of the commit
}

var guardians = storage.Kind[Guardian]{Name: "privacy.guardian", Schema: 1}

// GuardTx puts a guardian on record for an account. The first record is the one
// kept; another is [ErrConflict].
func (t *Terms) GuardTx(_ context.Context, tx *storage.Tx, tenant, account string, g Guardian) error {
	if !isDigest(g.Document) || !okID(tenant) || !okID(account) || !okID(g.By) || g.By == account || !okInstant(g.At) {
		return fmt.Errorf("%w: guardian", ErrInvalid)
	}
	had, ok, err := guardians.Get(tx, tenant, account)
	if err != nil {
		return err
	}
	if ok {
		if had.By != g.By || had.Document != g.Document {
			return ErrConflict
		}
		return nil
	}
	g.At = instant(tx, g.At, t.clock())
	return guardians.Create(tx, tenant, account, g)
}

// GuardedTx reports whether an account has a guardian on record.
func (t *Terms) GuardedTx(tx *storage.Tx, tenant, account string) (bool, error) {
	_, version, err := guardians.Peek(tx, tenant, account)
	return version > 0, err
}

// refusedMinors is all that a refusal for age leaves: a number of a day.
type refusedMinors struct {
	Count int `json:"count"`
}

var minors = storage.Kind[refusedMinors]{Name: "privacy.minors", Schema: 1}

// AdmitAge is [CheckAge] at the front door, and fails as that does: a refusal is
// counted, by tenant and day, and nothing else of it is stored (P21). It must not be called inside
// storage.Update.
func (v *Vault) AdmitAge(ctx context.Context, tenant string, birth Date, p AgePolicy) error {
	if !okID(tenant) {
		return fmt.Errorf("%w: tenant", ErrInvalid)
	}
	err := CheckAge(birth, v.now(), p)
	if !errors.Is(err, ErrMinor) {
		return err
	}
	return errors.Join(err, v.CountMinor(ctx, tenant))
}

// CountMinor counts a refusal for age that somebody else made.
func (v *Vault) CountMinor(ctx context.Context, tenant string) error {
	return storage.Update(ctx, v.store, func(tx *storage.Tx) error {
		day := DateOf(tx.Now(v.now)).String()
		n, _, err := minors.Get(tx, tenant, day)
		if err != nil {
			return err
		}
		n.Count++
		return minors.Put(tx, tenant, day, n)
	})
}

// RefusedMinors is how often a tenant refused somebody for age on a day.
func (v *Vault) RefusedMinors(ctx context.Context, tenant string, day Date) (int, error) {
	if !okID(tenant) {
		return 0, fmt.Errorf("%w: tenant", ErrInvalid)
	}
	return storage.ViewValue(ctx, v.store, func(tx *storage.Tx) (int, error) {
		n, _, err := minors.Get(tx, tenant, day.String())
		return n.Count, err
	})
}
