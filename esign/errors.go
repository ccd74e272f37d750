package esign

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/internal/coded"
)

// The classes of refusal. A typed error unwraps to one of them; [ErrorCode]
// gives the stable code of either. None names a person.
var (
	// ErrConfig refuses an incomplete or contradictory [Config].
	ErrConfig = coded.New("config", "esign: config")
	// ErrNotFound answers for what is unknown, another tenant's, or not to be seen.
	ErrNotFound = coded.New("not_found", "esign: not found")
	// ErrForbidden refuses what the actor sees but may not do.
	ErrForbidden = coded.New("forbidden", "esign: not allowed")
	// ErrIntentMismatch refuses an id that was used for something else.
	ErrIntentMismatch = coded.New("intent_mismatch", "esign: the id was used for another request")
	// ErrAllSigned refuses to revoke what everybody signed; release it instead.
	ErrAllSigned = coded.New("all_signed", "esign: every required signature is made")
	// ErrStaleRound refuses an answer to a round of approval that is over.
	ErrStaleRound = coded.New("stale_round", "esign: the round of approval is over")
	// ErrStaleRevision refuses a signature on a document that has moved on.
	ErrStaleRevision = coded.New("stale_revision", "esign: the document moved on")
	// ErrCapReached refuses a claim beyond a link's cap.
	ErrCapReached = coded.New("cap_reached", "esign: the cap is reached")
	// ErrTermsNotAccepted refuses whoever has not accepted the current terms (H01).
	ErrTermsNotAccepted = coded.New("terms_not_accepted", "esign: the current terms are not accepted")
	// ErrTemplateNotApproved refuses an unapproved message template (D16).
	ErrTemplateNotApproved = coded.New("template_not_approved", "esign: a message template is not approved")
	// ErrScreened refuses content that the host's screen refused (H25).
	ErrScreened = coded.New("screened", "esign: the content was refused")
	// ErrSealNotGranted refuses a seal that its signer may not use now.
	ErrSealNotGranted = coded.New("seal_not_granted", "esign: the seal is not granted")
	// ErrNoDecline refuses to decline where the sender switched declining off.
	ErrNoDecline = coded.New("no_decline", "esign: declining is switched off")
	// ErrUnknownChannel refuses a channel that the host has not declared (D02).
	ErrUnknownChannel = coded.New("unknown_channel", "esign: the channel is not declared")
	// ErrNotOffered refuses a command that this version does not serve yet.
	ErrNotOffered = coded.New("not_offered", "esign: not offered by this version")

	// ErrState is the class of [*StateError].
	ErrState = coded.New("state", "esign: not possible in this state")
	// ErrTurn is the class of [*TurnError].
	ErrTurn = coded.New("turn", "esign: not its turn")
	// ErrDeadline is the class of [*DeadlineError].
	ErrDeadline = coded.New("deadline", "esign: the deadline has passed")
	// ErrField is the class of [*FieldError].
	ErrField = coded.New("field", "esign: not acceptable")
	// ErrNotReady is the class of [*NotReadyError].
	ErrNotReady = coded.New("not_ready", "esign: something is missing")
	// ErrLevel is the class of [*LevelError].
	ErrLevel = coded.New("level", "esign: identity is below what is required")
	// ErrReminder is the class of [*ReminderError].
	ErrReminder = coded.New("reminder", "esign: no reminder now")
)

// ErrorCode returns the stable code of err, or of the first error it wraps that
// has one: the classes of every package that a [Service] calls have, and so do the
// refusals of package pades, whose codes are in capitals. Codes are for a host's
// own messages and statistics; packages share one where people need the same
// answer ("not_found", "no_consent"). It is empty if no error has one.
func ErrorCode(err error) string {
	var c interface {
		error
		Code() string
	}
	if errors.As(err, &c) {
		return c.Code()
	}
	return string(pades.CodeOf(err))
}

// A StateError refuses a command that the state of the envelope, or of the row,
// does not know. It unwraps to [ErrState], and to [ErrAllSigned] where that is why.
type StateError struct {
	State     State          // of the envelope
	Recipient string         // the row whose state is in the way, if it is a row's
	Row       RecipientState // of that row
	why       error
}

// Error implements error.
func (e *StateError) Error() string {
	if e.Recipient != "" {
		return "esign: not possible: recipient " + e.Recipient + " is " + string(e.Row)
	}
	if e.State == "" {
		return "esign: not possible: no such envelope"
	}
	return "esign: not possible: envelope is " + string(e.State)
}

// Unwrap gives the classes of the error.
func (e *StateError) Unwrap() []error { return class(ErrState, e.why) }

// Code gives the stable code: that of the finer class, if there is one.
func (e *StateError) Code() string { return finer(ErrState, e.why) }

// A TurnError refuses whoever acts before the stage is open, whatever link was
// used. Waiting holds the ids of the rows that come first. It unwraps to [ErrTurn].
type TurnError struct{ Waiting []string }

// Error implements error.
func (e *TurnError) Error() string {
	return "esign: not its turn: waiting for " + strings.Join(e.Waiting, ", ")
}

// Unwrap gives the class of the error.
func (e *TurnError) Unwrap() error { return ErrTurn }

// Code gives the stable code.
func (e *TurnError) Code() string { return ErrorCode(ErrTurn) }

// A DeadlineError refuses what comes at or after a deadline, whether or not a
// sweep has booked it. It unwraps to [ErrDeadline] and to a [*StateError].
type DeadlineError struct {
	At    time.Time
	state *StateError
}

// Error implements error.
func (e *DeadlineError) Error() string {
	return "esign: the deadline passed at " + e.At.UTC().Format(time.RFC3339Nano)
}

// Unwrap gives the classes of the error.
func (e *DeadlineError) Unwrap() []error {
	if e.state == nil {
		return []error{ErrDeadline}
	}
	return []error{ErrDeadline, e.state}
}

// Code gives the stable code.
func (e *DeadlineError) Code() string { return ErrorCode(ErrDeadline) }

// A FieldError names the part of a request that cannot be accepted, as a path
// ("recipients[1].order"), and why. It unwraps to [ErrField], and to
// [ErrUnknownChannel] where that is why.
type FieldError struct {
	Field, Why string
	why        error
}

// Error implements error.
func (e *FieldError) Error() string { return "esign: " + e.Field + ": " + e.Why }

// Unwrap gives the classes of the error.
func (e *FieldError) Unwrap() []error { return class(ErrField, e.why) }

// Code gives the stable code: that of the finer class, if there is one.
func (e *FieldError) Code() string { return finer(ErrField, e.why) }

// A NotReadyError lists what a recipient still lacks: "open", "gate",
// "reading", "uploads", "identity", "certificate", "base", "intent". It unwraps
// to [ErrNotReady], and to a [*LevelError] if identity is among them.
type NotReadyError struct {
	Missing []string
	level   *LevelError
}

// Error implements error.
func (e *NotReadyError) Error() string {
	return "esign: not ready: missing " + strings.Join(e.Missing, ", ")
}

// Unwrap gives the classes of the error.
func (e *NotReadyError) Unwrap() []error {
	if e.level == nil {
		return []error{ErrNotReady}
	}
	return []error{ErrNotReady, e.level}
}

// Code gives the stable code.
func (e *NotReadyError) Code() string { return ErrorCode(ErrNotReady) }

// A LevelError says that a check of identity would help, how far, and which
// methods would do (H42): a code by [Service.Challenge], or a check by
// [Service.StartCheck]. The refusal cost nothing. It unwraps to [ErrLevel].
type LevelError struct {
	Have, Need string
	Methods    []identity.MethodID
}

// Error implements error.
func (e *LevelError) Error() string {
	return "esign: identity level " + e.Have + " is below " + e.Need
}

// Unwrap gives the class of the error.
func (e *LevelError) Unwrap() error { return ErrLevel }

// Code gives the stable code.
func (e *LevelError) Code() string { return ErrorCode(ErrLevel) }

// A ReminderError refuses a reminder; Next is the first instant at which one
// would be accepted, zero if none will be. It unwraps to [ErrReminder].
type ReminderError struct{ Next time.Time }

// Error implements error.
func (e *ReminderError) Error() string {
	if e.Next.IsZero() {
		return "esign: no reminder: none is left"
	}
	return "esign: no reminder before " + e.Next.UTC().Format(time.RFC3339Nano)
}

// Unwrap gives the class of the error.
func (e *ReminderError) Unwrap() error { return ErrReminder }

// Code gives the stable code.
func (e *ReminderError) Code() string { return ErrorCode(ErrReminder) }

func class(coarse, fine error) []error {
	if fine == nil {
		return []error{coarse}
	}
	return []error{coarse, fine}
}

func finer(coarse, fine error) string {
	if fine != nil {
		return ErrorCode(fine)
	}
	return ErrorCode(coarse)
}

func badField(path, why string) error { return &FieldError{Field: path, Why: why} }

// at is a path into a list: at("recipients", 1, "order") is "recipients[1].order".
func at(list string, i int, field string) string {
	p := list + "[" + strconv.Itoa(i) + "]"
	if field != "" {
		p += "." + field
	}
	return p
}
