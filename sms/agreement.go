package sms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// AgreementDocument is the id under which [privacy.Terms] publishes the agreement
// on texts.
const AgreementDocument = "sms"

// An Agreement is what a tenant agreed on texts: the first use accepts it, where
// the document takes use (S01), and it runs for a year (S34). Packages have their
// own validity.
type Agreement struct {
	Account string    `json:"account"` // who accepted, or renewed
	Version string    `json:"version"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"` // half-open: from that instant on it is over
}

var agreements = storage.Kind[Agreement]{Name: "sms.agreement", Schema: 1}

const agreementID = "tenant"

// An AgreementError says why a tenant has no agreement in force. It unwraps to
// [ErrAgreement], and to [privacy.ErrNotAccepted] where that is why.
type AgreementError struct {
	Ended time.Time // zero: it was never accepted
	err   error
}

// Error implements error.
func (e *AgreementError) Error() string {
	if e.Ended.IsZero() {
		return "sms: no agreement in force: not accepted"
	}
	return "sms: no agreement in force: ended at " + e.Ended.UTC().Format(time.RFC3339)
}

// Unwrap gives the classes of the error.
func (e *AgreementError) Unwrap() []error {
	if e.err == nil {
		return []error{ErrAgreement}
	}
	return []error{ErrAgreement, e.err}
}

// year is the same day and time of the year after, in Shanghai; 29 February
// becomes the 28th.
func year(t time.Time) time.Time {
	l := t.In(shanghai)
	next := time.Date(l.Year()+1, l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), l.Nanosecond(), shanghai)
	if next.Month() != l.Month() {
		next = next.AddDate(0, 0, -next.Day())
	}
	return next.UTC()
}

// agreed refuses a tenant without an agreement in force, and records its first
// use as acceptance. A document that was never published asks for nothing.
func (s *Service) agreed(ctx context.Context, tx *storage.Tx, tenant, account string) error {
	if s.terms == nil {
		return nil
	}
	doc, err := s.terms.CurrentTx(tx, tenant, AgreementDocument)
	if errors.Is(err, privacy.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sms: agreement: %w", err)
	}
	a, version, err := agreements.Peek(tx, tenant, agreementID)
	if err != nil {
		return err
	}
	now := tx.Now(s.now)
	if version > 0 && !now.Before(a.Until) {
		return &AgreementError{Ended: a.Until}
	}
	if version > 0 && a.Version == doc.Version {
		return nil
	}
	if account == "" {
		account = agreementID
	}
	_, err = s.terms.UseTx(ctx, tx, tenant, account, AgreementDocument, "")
	if errors.Is(err, privacy.ErrNotAccepted) {
		return &AgreementError{err: err}
	}
	if err != nil {
		return fmt.Errorf("sms: agreement: %w", err)
	}
	was, ok, err := agreements.Get(tx, tenant, agreementID)
	if err != nil {
		return err
	}
	next := Agreement{Account: account, Version: doc.Version, From: now, Until: year(now)}
	if ok { // a new version binds from its first use, and makes no term longer (S35)
		next.From, next.Until = was.From, was.Until
	}
	return agreements.Put(tx, tenant, agreementID, next)
}

// A Renewal renews a tenant's agreement on texts for another year.
type Renewal struct {
	Tenant string `json:"tenant"`
	ID     string `json:"id"` // the caller's, at most 64 bytes
	By     string `json:"by"` // the account that renews
	// Act is how: it must be strong enough for the document. Zero: privacy.ActTick.
	Act privacy.Act `json:"act,omitzero"`
}

// Renew lets another year follow the one that runs, or begin now where it is over
// (S34). Repeated under its id it answers the same. It fails with
// [AgreementError] for an act that the document does not take.
func (s *Service) Renew(ctx context.Context, r Renewal) (Agreement, error) {
	return storage.UpdateValue(ctx, s.store, func(tx *storage.Tx) (Agreement, error) { return s.RenewTx(ctx, tx, r) })
}

// RenewTx is [Service.Renew] within a commit.
func (s *Service) RenewTx(ctx context.Context, tx *storage.Tx, r Renewal) (Agreement, error) {
	if err := checkIDs(r.Tenant, r.ID); err != nil {
		return Agreement{}, err
	}
	if len(r.ID) > 64 || r.By == "" || len(r.By) > 64 {
		return Agreement{}, badRequest("id and by of 1 to 64 bytes")
	}
	if s.terms == nil {
		return Agreement{}, fmt.Errorf("%w: Terms is nil", ErrConfig)
	}
	return storage.Once(tx, storage.Key{Tenant: r.Tenant, Kind: "sms.renewal", ID: r.ID}, r, func() (Agreement, error) {
		act := r.Act
		if act == "" {
			act = privacy.ActTick
		}
		got, err := s.terms.AcceptTx(ctx, tx, privacy.Acceptance{Tenant: r.Tenant, Account: r.By, Document: AgreementDocument, Act: act})
		if errors.Is(err, privacy.ErrAct) || errors.Is(err, privacy.ErrNotFound) {
			return Agreement{}, &AgreementError{err: err}
		}
		if err != nil {
			return Agreement{}, fmt.Errorf("sms: agreement: %w", err)
		}
		a, ok, err := agreements.Get(tx, r.Tenant, agreementID)
		if err != nil {
			return Agreement{}, err
		}
		now := tx.Now(s.now)
		if !ok || !now.Before(a.Until) {
			a = Agreement{From: now, Until: now}
		}
		a.Account, a.Version, a.Until = r.By, got.Version, year(a.Until)
		return a, agreements.Put(tx, r.Tenant, agreementID, a)
	})
}

// Agreement returns a tenant's agreement, or [ErrNotFound] before its first use.
func (s *Service) Agreement(ctx context.Context, tenant string) (Agreement, error) {
	if tenant == "" || tenant == storage.Deployment {
		return Agreement{}, ErrNotFound
	}
	return storage.ViewValue(ctx, s.store, func(tx *storage.Tx) (Agreement, error) {
		a, ok, err := agreements.Get(tx, tenant, agreementID)
		if err == nil && !ok {
			err = ErrNotFound
		}
		return a, err
	})
}
