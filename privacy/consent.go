package privacy

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/storage"
)

// ErrNoConsent is a use of data that its subject has not consented to, or no
// longer.
var ErrNoConsent = coded.New("no_consent", "privacy: no consent")

// maxConsents bounds the consents kept of one subject.
const maxConsents = 500

// A Consent is a subject's consent to purposes (P01 P13 T42 T43 S10), with the
// notice it was shown. It is a record of the person's own act, never of
// somebody's belief; Source says who reported it (P09).
type Consent struct {
	ID       string    `json:"id"` // chosen by the caller, at most [MaxID] bytes
	Purposes []Purpose `json:"purposes"`
	Scope    string    `json:"scope,omitempty"`  // service or integrator it is for; empty: all
	Notice   string    `json:"notice"`           // id of the notice shown
	Version  string    `json:"version"`          // its version
	Digest   string    `json:"digest"`           // SHA-256 of its text, 64 lower-case hexadecimal digits
	Act      Act       `json:"act"`              // sensitive data needs ActConfirm
	Channel  string    `json:"channel"`          // where: app, web, paper
	Source   string    `json:"source,omitempty"` // who handed the data in, if not the subject
	At       time.Time `json:"at"`               // zero is the instant of the commit
	// Withdrawn is when the subject took it back; zero: it stands.
	Withdrawn time.Time `json:"withdrawn,omitzero"`
}

type consentRecord struct {
	List []Consent `json:"list"`
}

var consents = storage.Kind[consentRecord]{Name: "privacy.consent", Schema: 1}

// ConsentTx records a consent under its id. The same again changes nothing;
// other content under the id is [ErrConflict], and so is another digest than that
// of the notice, where it was published. An act that the notice does not take is
// [ErrAct], a purpose that is not declared [ErrPurpose], and a malformed consent, or
// more than 500 of one subject, [ErrInvalid].
func (v *Vault) ConsentTx(ctx context.Context, tx *storage.Tx, s Subject, c Consent) error {
	if err := s.check(); err != nil {
		return err
	}
	if !isDigest(c.Digest) || !okID(c.ID) || !okID(c.Notice) || !okID(c.Version) || c.Act.strength() == 0 ||
		len(c.Purposes) == 0 || len(c.Scope) > MaxID || len(c.Channel) > MaxID || len(c.Source) > MaxID || !c.Withdrawn.IsZero() || !okInstant(c.At) {
		return fmt.Errorf("%w: consent", ErrInvalid)
	}
	for _, p := range c.Purposes {
		if err := v.purpose(p); err != nil {
			return err
		}
	}
	rec, _, err := consents.Get(tx, s.Tenant, s.ID)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(rec.List, func(o Consent) bool { return o.ID == c.ID }); i >= 0 {
		had := rec.List[i]
		had.Withdrawn = time.Time{}
		if c.At.IsZero() {
			c.At = had.At
		}
		c.At = instant(tx, c.At, v.now)
		if !reflect.DeepEqual(had, c) {
			return ErrConflict
		}
		return nil
	}
	if len(rec.List) >= maxConsents {
		return fmt.Errorf("%w: more than %d consents", ErrInvalid, maxConsents)
	}
	c.At = instant(tx, c.At, v.now)
	if err := c.counts(tx, s.Tenant); err != nil {
		return err
	}
	rec.List = append(rec.List, c)
	return consents.Put(tx, s.Tenant, s.ID, rec)
}

// counts holds a consent against its notice: one published through [Terms] says
// which acts it takes, and one that reduces rights takes none from before it was
// published (P24); use alone never counts where no notice says that it does.
func (c *Consent) counts(tx *storage.Tx, tenant string) error {
	d, n, err := documents.Peek(tx, tenant, storage.JoinID(c.Notice, c.Version))
	switch {
	case err != nil:
		return err
	case n == 0 && c.Act == ActUse:
		return ErrAct
	case n == 0:
		return nil
	case d.Digest != c.Digest:
		return ErrConflict
	case c.Act.strength() < d.Weakest.strength(), d.Reduces && c.At.Before(d.At):
		return ErrAct
	}
	return nil
}

// WithdrawTx takes a consent back: nothing new may be done under it from the
// instant of the commit. What was done stays done. Unknown ids are
// [ErrNotFound].
func (v *Vault) WithdrawTx(ctx context.Context, tx *storage.Tx, s Subject, id string) error {
	if err := s.check(); err != nil {
		return err
	}
	rec, _, err := consents.Get(tx, s.Tenant, s.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rec.List, func(o Consent) bool { return o.ID == id })
	if i < 0 {
		return ErrNotFound
	}
	if !rec.List[i].Withdrawn.IsZero() {
		return nil
	}
	rec.List[i].Withdrawn = tx.Now(v.now)
	return consents.Put(tx, s.Tenant, s.ID, rec)
}

// ConsentedTx returns the consent under which data of a class may be used for a
// purpose in a scope, or [ErrNoConsent]. Where the subject ever answered for
// that very scope, that answer decides alone, for or against (P22); else a
// consent for all scopes serves. Sensitive data needs an explicit act.
func (v *Vault) ConsentedTx(tx *storage.Tx, s Subject, why Purpose, scope string, class Class) (Consent, error) {
	if err := s.check(); err != nil {
		return Consent{}, err
	}
	rec, _, err := consents.Get(tx, s.Tenant, s.ID)
	if err != nil {
		return Consent{}, err
	}
	at := scope
	if !slices.ContainsFunc(rec.List, func(c Consent) bool { return c.Scope == scope && slices.Contains(c.Purposes, why) }) {
		at = ""
	}
	explicit := class == ClassSensitive || class == ClassBiometric
	for _, c := range slices.Backward(rec.List) {
		if c.Scope == at && slices.Contains(c.Purposes, why) && c.Withdrawn.IsZero() && (!explicit || c.Act == ActConfirm) {
			return c, nil
		}
	}
	return Consent{}, ErrNoConsent
}

// ScopeLocation is the scope of consent to keeping locations.
const ScopeLocation = "location"

// mayKeep refuses what is stored only where the subject agreed (P11).
func (v *Vault) mayKeep(tx *storage.Tx, s Subject, val Value) error {
	if val.Field() != FieldLocation {
		return nil
	}
	if !v.places {
		return ErrNoConsent
	}
	rec, _, err := consents.Get(tx, s.Tenant, s.ID)
	if err != nil {
		return err
	}
	for _, c := range slices.Backward(rec.List) {
		if c.Scope == ScopeLocation && c.Withdrawn.IsZero() && c.Act == ActConfirm {
			return nil
		}
	}
	return ErrNoConsent
}
