package evidence

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/storage"
)

// Issuing a report (出证, T52) is a walk through stages, structured after the
// forensics flow of GB/T 39321:
//
//	Applied → Accepted | Refused → Extracted → Verified → Issued → Superseded
//
// Until it is issued every stage may still end in Refused. Each step is an
// event on the envelope's chain, in the commit that makes it.

// A Stage is where an application for a report stands.
type Stage string

// The stages.
const (
	Applied    Stage = "applied"
	Accepted   Stage = "accepted"  // eligible and, where reports are metered, reserved
	Refused    Stage = "refused"   // for a Refusal
	Extracted  Stage = "extracted" // the bundle was written
	Verified   Stage = "verified"  // and verifies
	Issued     Stage = "issued"    // pins the digest of that bundle
	Superseded Stage = "superseded"
)

// A Refusal says why no report is issued.
type Refusal string

// The refusals.
const (
	NotParty             Refusal = "not_party"
	NotComplete          Refusal = "not_complete" // the chain is not sealed
	ProcessNotConforming Refusal = "process_not_conforming"
	ResultNotConforming  Refusal = "result_not_conforming" // the evidence does not verify
	NotPaid              Refusal = "not_paid"
	Erased               Refusal = "shredded"
	TooLarge             Refusal = "too_large" // no bundle can hold the evidence
)

// A ReportKind says what is asked for.
type ReportKind string

// The kinds.
const (
	SigningReport    ReportKind = "signing"
	VerificationOnly ReportKind = "verification"
	NotaryPackage    ReportKind = "notary"
)

// ErrStage is a step that the stages do not allow.
var ErrStage = coded.New("report_stage", "evidence: report stage")

// ErrUnpaid is what a [Meter] answers when units are short.
var ErrUnpaid = coded.New("report_unpaid", "evidence: report not paid")

// A Meter charges for reports; esign wires it to the quota of kind
// evidence.report. Each method joins the commit that changes the stage, is
// called once per application in it, and must be harmless to repeat.
type Meter interface {
	// Reserve holds a unit of the applicant's account, or fails with
	// [ErrUnpaid].
	Reserve(ctx context.Context, tx *storage.Tx, tenant, account, application string) error
	// Capture spends it with the commit that issues the report.
	Capture(ctx context.Context, tx *storage.Tx, tenant, account, application string) error
	// Release gives it back.
	Release(ctx context.Context, tx *storage.Tx, tenant, account, application string) error
}

// An Application for a report.
type Application struct {
	Tenant  string      `json:"tenant"`
	ID      string      `json:"id"` // chosen by the caller, at most [MaxID] bytes
	Env     string      `json:"env"`
	Kind    ReportKind  `json:"kind"`
	Account string      `json:"account"`          // who applies and pays
	Basis   string      `json:"basis,omitempty"`  // of an authority; parties and certificate holders need none
	Stage   Stage       `json:"stage"`            //
	Why     Refusal     `json:"why,omitempty"`    // when Refused
	Bundle  storage.Hex `json:"bundle,omitempty"` // SHA-256 of the bundle, from Extracted on
	By      string      `json:"by,omitempty"`     // the report that superseded this one
	Held    bool        `json:"held,omitempty"`   // a unit is reserved
	At      time.Time   `json:"at"`               // of the last step
}

var applications = storage.Kind[Application]{Name: "evidence.report", Schema: 1}

// ApplyTx files an application. The same again answers as it stands now;
// another under the same id is storage.ErrIntentMismatch. Whether the applicant
// is a party, or an authority with a basis, is for the caller to judge, who
// then steps to [Accepted] or [Refused]. It fails with [ErrDraft],
// [ErrNotFound] or, for an envelope that has not ended, with [ErrStage].
func (l *Log) ApplyTx(ctx context.Context, tx *storage.Tx, a Application) (Application, error) {
	if err := checkChain(a.Tenant, a.Env); err != nil {
		return Application{}, err
	}
	switch {
	case a.ID == "" || len(a.ID) > MaxID || a.Account == "" || len(a.Account) > MaxID || len(a.Basis) > MaxID:
		return Application{}, fmt.Errorf("%w: application", ErrDraft)
	case a.Kind != SigningReport && a.Kind != VerificationOnly && a.Kind != NotaryPackage:
		return Application{}, fmt.Errorf("%w: kind of report", ErrDraft)
	}
	had, ok, err := applications.Get(tx, a.Tenant, a.ID)
	if err != nil {
		return Application{}, err
	}
	if ok {
		if had.Env != a.Env || had.Kind != a.Kind || had.Account != a.Account || had.Basis != a.Basis {
			return Application{}, storage.ErrIntentMismatch
		}
		return had, nil
	}
	h, ok, err := chains.Get(tx, a.Tenant, a.Env)
	if err != nil {
		return Application{}, err
	}
	if !ok {
		return Application{}, ErrNotFound
	}
	if h.Sealed == 0 {
		return Application{}, fmt.Errorf("%w: %s", ErrStage, NotComplete)
	}
	a = Application{Tenant: a.Tenant, ID: a.ID, Env: a.Env, Kind: a.Kind, Account: a.Account, Basis: a.Basis, Stage: Applied, At: tx.Now(l.now)}
	if err := l.tell(tx, a, Actor{ID: a.Account, Role: "applicant", Account: a.Account}); err != nil {
		return Application{}, err
	}
	return a, applications.Create(tx, a.Tenant, a.ID, a)
}

// Apply is [Log.ApplyTx] in a commit of its own.
func (l *Log) Apply(ctx context.Context, a Application) (Application, error) {
	return storage.UpdateValue(ctx, l.store, func(tx *storage.Tx) (Application, error) { return l.ApplyTx(ctx, tx, a) })
}

// Application returns an application as it stands, or [ErrNotFound].
func (l *Log) Application(ctx context.Context, tenant, id string) (Application, error) {
	return storage.ViewValue(ctx, l.store, func(tx *storage.Tx) (Application, error) {
		if tenant == "" || id == "" || len(id) > MaxID {
			return Application{}, ErrNotFound
		}
		a, ok, err := applications.Get(tx, tenant, id)
		if err == nil && !ok {
			err = ErrNotFound
		}
		return a, err
	})
}

// A Step moves an application on.
type Step struct {
	To     Stage
	Why    Refusal     // required for Refused
	Bundle storage.Hex // SHA-256 of the bundle; required for Extracted, must be the same for Verified and Issued
	// Manifest is BundleInfo.Manifest of that bundle, for Extracted: once the report is
	// issued it is stamped and renewed as checkpoints are, see [Log.ManifestRecord].
	// nil renews none.
	Manifest []byte
	By       string // id of the newer report; required for Superseded
	Actor    Actor  // who decided
}

// next is the table of stages: pure, total, terminal stages absorbing.
func next(a Application, s Step) (Application, error) {
	refuse := fmt.Errorf("%w: from %s to %s", ErrStage, a.Stage, s.To)
	follows := map[Stage]Stage{Accepted: Applied, Extracted: Accepted, Verified: Extracted, Issued: Verified, Superseded: Issued}
	switch s.To {
	case Refused:
		switch a.Stage {
		case Applied, Accepted, Extracted, Verified:
		default:
			return a, refuse
		}
		switch s.Why {
		case NotParty, NotComplete, ProcessNotConforming, ResultNotConforming, NotPaid, Erased, TooLarge:
		default:
			return a, fmt.Errorf("%w: refusal without a reason", ErrStage)
		}
		a.Why = s.Why
	case Accepted, Extracted, Verified, Issued, Superseded:
		if a.Stage != follows[s.To] {
			return a, refuse
		}
	default:
		return a, refuse
	}
	switch s.To {
	case Extracted:
		if len(s.Bundle) != 32 {
			return a, fmt.Errorf("%w: extracted without the bundle's digest", ErrStage)
		}
		a.Bundle = s.Bundle
	case Verified, Issued:
		if string(s.Bundle) != string(a.Bundle) {
			return a, fmt.Errorf("%w: another bundle than the one extracted", ErrStage)
		}
	case Superseded:
		if s.By == "" || len(s.By) > MaxID || s.By == a.ID {
			return a, fmt.Errorf("%w: superseded by nothing", ErrStage)
		}
		a.By = s.By
	}
	a.Stage = s.To
	return a, nil
}

// AdvanceTx moves an application to its next stage, with its event and what it
// costs in one commit: a unit is reserved at Accepted, captured at Issued, given
// back at Refused. Where units are short at Accepted the application is
// Refused(NotPaid) instead, which is an answer and no error. Repeating a step
// that was made answers the same. It fails with [ErrDraft] without id or actor,
// [ErrNotFound], [ErrStage], or the error of the Meter.
func (l *Log) AdvanceTx(ctx context.Context, tx *storage.Tx, tenant, id string, s Step) (Application, error) {
	if tenant == "" || id == "" || s.Actor.ID == "" {
		return Application{}, fmt.Errorf("%w: step", ErrDraft)
	}
	a, ok, err := applications.Get(tx, tenant, id)
	if err != nil {
		return Application{}, err
	}
	if !ok {
		return Application{}, ErrNotFound
	}
	if a.Stage == s.To && (s.To != Refused || a.Why == s.Why) && (len(s.Bundle) == 0 || string(s.Bundle) == string(a.Bundle)) &&
		(s.By == "" || s.By == a.By) {
		return a, nil
	}
	b, err := next(a, s)
	if err != nil {
		return Application{}, err
	}
	b.At = tx.Now(l.now)
	if l.meter != nil {
		switch {
		case b.Stage == Accepted:
			err = tx.Sub(func() error { return l.meter.Reserve(ctx, tx, tenant, a.Account, id) })
			if errors.Is(err, ErrUnpaid) {
				b.Stage, b.Why, err = Refused, NotPaid, nil
			} else {
				b.Held = err == nil
			}
		case b.Stage == Issued && a.Held:
			b.Held, err = false, l.meter.Capture(ctx, tx, tenant, a.Account, id)
		case b.Stage == Refused && a.Held:
			b.Held, err = false, l.meter.Release(ctx, tx, tenant, a.Account, id)
		}
		if err != nil {
			return Application{}, err
		}
	}
	if err := l.keepManifest(tx, b, s); err != nil {
		return Application{}, err
	}
	if err := l.tell(tx, b, s.Actor); err != nil {
		return Application{}, err
	}
	return b, applications.Put(tx, tenant, id, b)
}

// Advance is [Log.AdvanceTx] in a commit of its own.
func (l *Log) Advance(ctx context.Context, tenant, id string, s Step) (Application, error) {
	return storage.UpdateValue(ctx, l.store, func(tx *storage.Tx) (Application, error) { return l.AdvanceTx(ctx, tx, tenant, id, s) })
}

// tell puts a stage on the envelope's chain.
func (l *Log) tell(tx *storage.Tx, a Application, by Actor) error {
	x := map[string]any{"report": a.ID, "kind": string(a.Kind)}
	for k, v := range map[string]string{"basis": a.Basis, "why": string(a.Why), "bundle": hex.EncodeToString(a.Bundle), "by": a.By} {
		if v != "" {
			x[k] = v
		}
	}
	_, err := l.append(tx, &Draft{Tenant: a.Tenant, Env: a.Env, Type: "report." + string(a.Stage), Actor: by, X: x})
	return err
}
