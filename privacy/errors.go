package privacy

import "github.com/countersign/countersign/internal/coded"

// The classes of failure. Detail, where there is any, wraps one of them; no
// text of an error ever contains a value. esign.ErrorCode gives the stable code
// of each.
var (
	// ErrConfig is an incomplete or contradictory [Config].
	ErrConfig = coded.New("config", "privacy: config")
	// ErrInvalid is input that no value of its type can have.
	ErrInvalid = coded.New("value_invalid", "privacy: invalid value")
	// ErrMasked is an attempt to read back a masked text: what was rendered
	// for people is not data.
	ErrMasked = coded.New("masked", "privacy: masked text is not a value")
	// ErrClear is an attempt to encode a value where masking would lose it and
	// clear text would leak it (gob, binary, database/sql). Use the [Vault].
	ErrClear = coded.New("clear_text", "privacy: a value is kept in the vault only")
	// ErrNoAccessor is a reveal by nobody: the context names no [Accessor].
	ErrNoAccessor = coded.New("no_accessor", "privacy: no accessor in context")
	// ErrPurpose is a reveal for a purpose that the notice in force does not
	// declare, or another than the one a value was revealed for (P12, P13).
	ErrPurpose = coded.New("purpose_not_declared", "privacy: purpose not declared")
	// ErrNotFound is a value, subject or tenant that is not there, or belongs
	// to another tenant.
	ErrNotFound = coded.New("not_found", "privacy: not found")
	// ErrLocked is a tenant whose keys are not in memory: call [Vault.Unlock]
	// before storage.Update.
	ErrLocked = coded.New("keys_locked", "privacy: tenant key not unlocked")
	// ErrKey is a wrapped key or a sealed value that does not open: another
	// key, another place, or changed bytes.
	ErrKey = coded.New("not_opened", "privacy: sealed value does not open")
	// ErrErased is a subject that is being or has been erased.
	ErrErased = coded.New("subject_erased", "privacy: subject erased")
	// ErrRestricted is a subject whose data may only be read for a dispute or an
	// order of law, with a second approver, and not be added to.
	ErrRestricted = coded.New("subject_restricted", "privacy: subject restricted")
	// ErrHeld is an erasure stopped by a legal hold.
	ErrHeld = coded.New("legal_hold", "privacy: legal hold")
	// ErrRetained is an erasure that the retention clock does not yet allow.
	ErrRetained = coded.New("retained", "privacy: retention not over")
	// ErrMinor is a person under the age that the policy asks for (P21, H04).
	ErrMinor = coded.New("under_age", "privacy: under age")
	// ErrNotAccepted is an account that has not accepted a document's version
	// in force (H01, T01, T35).
	ErrNotAccepted = coded.New("terms_not_accepted", "privacy: document not accepted")
	// ErrAct is an act too weak for a document, or unknown (D19).
	ErrAct = coded.New("act_too_weak", "privacy: act does not count as acceptance")
	// ErrConflict is a repeated id with other content.
	ErrConflict = coded.New("conflict", "privacy: same id, other content")
)
