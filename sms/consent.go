package sms

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// A Basis is why a person may be written to (S10, S15).
type Basis string

// The bases of consent.
const (
	Staff    Basis = "staff"    // works for the sender, told beforehand
	Customer Basis = "customer" // registered with the sender, prior explicit consent
	OptIn    Basis = "opt_in"   // asked for commercial texts
	OwnAct   Basis = "own_act"  // asked for this very code
)

// allows reports whether the basis carries a kind of text.
func (b Basis) allows(k Kind) error {
	ok := false
	switch k {
	case OTP, VoiceOTP:
		ok = b == OwnAct
	case Notice:
		ok = b == Staff || b == Customer || b == OptIn
	case Marketing:
		ok = b == OptIn
	}
	if !ok {
		return &ConsentError{Kind: k, Why: "basis"}
	}
	return nil
}

// A Consent puts on record that a person may be written to.
type Consent struct {
	Tenant string
	To     privacy.Phone
	Kind   Kind
	Basis  Basis
	Notice []byte // SHA-256 of what was shown (S11)
	Source string // where it was given: an event, a form
}

type consentRow struct {
	Basis     Basis       `json:"basis"`
	Notice    storage.Hex `json:"notice,omitempty"`
	Source    string      `json:"source,omitempty"`
	At        time.Time   `json:"at"`
	Withdrawn time.Time   `json:"withdrawn,omitzero"`
}

var consents = storage.Kind[consentRow]{Name: "sms.consent", Schema: 1}

// A suppression outlives the erasure of the person: it is a blind index and an
// instant, and says only that this number wants no texts of a kind.
type suppression struct {
	Kinds []Kind    `json:"kinds"`
	At    time.Time `json:"at"`
	Why   string    `json:"why"`
}

var suppressions = storage.Kind[suppression]{Name: "sms.suppression", Schema: 1}

// Grant records a consent; a later one replaces it. Granting Marketing again is
// what ends an opt-out (S15). It fails with [*ConsentError] for a basis that does not
// allow the kind, and with [ErrRequest].
func (s *Service) Grant(ctx context.Context, c Consent) error {
	if err := s.unlock(ctx, c.Tenant); err != nil {
		return err
	}
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error { return s.GrantTx(ctx, tx, c) })
}

// GrantTx is [Service.Grant] within a commit.
func (s *Service) GrantTx(ctx context.Context, tx *storage.Tx, c Consent) error {
	if err := c.Basis.allows(c.Kind); err != nil {
		return err
	}
	if len(c.Notice) > 64 || len(c.Source) > 128 {
		return badRequest("notice or source too long")
	}
	index, err := s.index(c.Tenant, c.To)
	if err != nil {
		return err
	}
	if _, _, err := consents.Get(tx, c.Tenant, storage.JoinID(index, string(c.Kind))); err != nil {
		return err
	}
	if c.Kind == Marketing {
		sup, ok, err := suppressions.Get(tx, c.Tenant, index)
		if err != nil {
			return err
		}
		if ok && slices.Contains(sup.Kinds, Marketing) {
			sup.Kinds = slices.DeleteFunc(sup.Kinds, func(k Kind) bool { return k == Marketing })
			if err := suppressions.Put(tx, c.Tenant, index, sup); err != nil {
				return err
			}
		}
	}
	return consents.Put(tx, c.Tenant, storage.JoinID(index, string(c.Kind)),
		consentRow{Basis: c.Basis, Notice: c.Notice, Source: c.Source, At: tx.Now(s.now)})
}

// Withdraw ends a consent at once: what is queued is dropped at submission.
func (s *Service) Withdraw(ctx context.Context, tenant string, to privacy.Phone, k Kind) error {
	if err := s.unlock(ctx, tenant); err != nil {
		return err
	}
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		index, err := s.index(tenant, to)
		if err != nil {
			return err
		}
		return s.suppress(tx, tenant, index, "withdrawn", k)
	})
}

// Complain records a complaint: the number gets nothing any more but codes the
// person asks for (S22).
func (s *Service) Complain(ctx context.Context, tenant string, to privacy.Phone) error {
	if err := s.unlock(ctx, tenant); err != nil {
		return err
	}
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		index, err := s.index(tenant, to)
		if err != nil {
			return err
		}
		return s.suppress(tx, tenant, index, "complaint", Notice, Marketing)
	})
}

func (s *Service) suppress(tx *storage.Tx, tenant, index, why string, kinds ...Kind) error {
	now := tx.Now(s.now)
	sup, _, err := suppressions.Get(tx, tenant, index)
	if err != nil {
		return err
	}
	for _, k := range kinds {
		if !slices.Contains(sup.Kinds, k) {
			sup.Kinds = append(sup.Kinds, k)
		}
		c, ok, err := consents.Get(tx, tenant, storage.JoinID(index, string(k)))
		if err != nil {
			return err
		}
		if ok && c.Withdrawn.IsZero() {
			c.Withdrawn = now
			if err := consents.Put(tx, tenant, storage.JoinID(index, string(k)), c); err != nil {
				return err
			}
		}
	}
	sup.At, sup.Why = now, why
	return suppressions.Put(tx, tenant, index, sup)
}

// mayReceive is the consent gate (S10, S15): a suppression stands above any
// basis, then the declared basis counts, then the one on record.
func (s *Service) mayReceive(tx *storage.Tx, tenant, index string, k Kind, declared Basis) error {
	sup, ok, err := suppressions.Get(tx, tenant, index)
	if err != nil {
		return err
	}
	if ok && slices.Contains(sup.Kinds, k) {
		return &ConsentError{Kind: k, Why: "withdrawn"}
	}
	if declared != "" && k != Marketing {
		return declared.allows(k)
	}
	c, ok, err := consents.Get(tx, tenant, storage.JoinID(index, string(k)))
	switch {
	case err != nil:
		return err
	case !ok:
		return &ConsentError{Kind: k, Why: "none"}
	case !c.Withdrawn.IsZero():
		return &ConsentError{Kind: k, Why: "withdrawn"}
	}
	return c.Basis.allows(k)
}

func (s *Service) index(tenant string, to privacy.Phone) (string, error) {
	if tenant == "" || tenant == storage.Deployment {
		return "", badRequest("no tenant")
	}
	index, err := s.vault.BlindIndex(tenant, to)
	if err != nil {
		return "", fmt.Errorf("sms: index: %w", err)
	}
	return hex.EncodeToString(index), nil
}

// optOut reports whether a reply asks to be left alone: T, TD, R, 退订 or STOP,
// in any width and case (S15).
func optOut(reply string) bool {
	fold := strings.Map(func(r rune) rune {
		if r >= '！' && r <= '～' { // full width
			r -= '！' - '!'
		}
		return r
	}, strings.Trim(reply, " \t\r\n　。.!！"))
	switch strings.ToUpper(fold) {
	case "T", "TD", "R", "退订", "STOP":
		return true
	}
	return false
}

// Quiet hours of commercial texts, Asia/Shanghai.
var shanghai = time.FixedZone("Asia/Shanghai", 8*3600)

// quietUntil is when a commercial text may go out: now, or the next 08:00.
func quietUntil(now time.Time) time.Time {
	t := now.In(shanghai)
	switch {
	case t.Hour() >= 20:
		t = t.AddDate(0, 0, 1)
	case t.Hour() >= 8:
		return now
	}
	return time.Date(t.Year(), t.Month(), t.Day(), 8, 0, 0, 0, shanghai).UTC()
}
