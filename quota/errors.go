package quota

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

// sentinel is a class of errors with a code that never changes.
type sentinel struct{ code, text string }

func (s *sentinel) Error() string { return s.text }

// Code gives the stable code, for esign.ErrorCode.
func (s *sentinel) Code() string { return s.code }

// The classes of errors. Test for them with [errors.Is]; [Code] gives the
// stable code of each. Where detail helps there is an error type of the same
// name, whose Unwrap reaches the class. [ErrIntentMismatch] and those of
// package storage come back too.
var (
	// ErrRequest says that a request is malformed; see [RequestError].
	ErrRequest error = &sentinel{"request_invalid", "quota: request invalid"}
	// ErrInsufficient says that units are missing; see [InsufficientError].
	ErrInsufficient error = &sentinel{"insufficient_units", "quota: insufficient units"}
	// ErrSettled says that a line is settled already; see [SettledError].
	ErrSettled error = &sentinel{"line_settled", "quota: line settled"}
	// ErrHoldExpired says that a timed hold has lapsed: its units are back.
	ErrHoldExpired error = &sentinel{"hold_expired", "quota: hold expired"}
	// ErrOpenHolds refuses a merge of an account with open holds (D09).
	ErrOpenHolds error = &sentinel{"open_holds", "quota: account has open holds"}
	// ErrNotRefundable refuses a refund; see [NotRefundableError].
	ErrNotRefundable error = &sentinel{"not_refundable", "quota: not refundable"}
	// ErrLotFrozen says that a refund of the lot is under way.
	ErrLotFrozen error = &sentinel{"lot_frozen", "quota: lot frozen by a refund"}
	// ErrSuspended says that the account may make no new hold (H26, D22).
	ErrSuspended error = &sentinel{"account_suspended", "quota: account suspended"}
	// ErrUnknownChannel says that nobody declared whether units of this channel
	// can be returned (D02); see [Config].Channels.
	ErrUnknownChannel error = &sentinel{"unknown_channel", "quota: unknown channel"}
	// ErrUnknownKind says that no rate is in force for a charge kind.
	ErrUnknownKind error = &sentinel{"unknown_kind", "quota: no rate for this kind"}
	// ErrOverflow says that a sum does not fit 64 bits, or a date the calendar.
	ErrOverflow error = &sentinel{"overflow", "quota: overflow"}
	// ErrTooManyLots says that an account has 1000 live lots.
	ErrTooManyLots error = &sentinel{"too_many_lots", "quota: too many live lots"}
	// ErrClock says that this machine's clock is more than five minutes behind
	// the last booking of the account, so one of the two is wrong.
	ErrClock error = &sentinel{"clock", "quota: clock behind the account"}
	// ErrNotFound says that a lot, hold or refund does not exist in the tenant,
	// which is also the answer for an id of another tenant.
	ErrNotFound error = &sentinel{"not_found", "quota: not found"}

	// ErrIntentMismatch says that an id was used before for another request.
	ErrIntentMismatch = storage.ErrIntentMismatch
)

// Code returns the stable code of an error of this package, such as
// "insufficient_units", and "" for any other: for [storage.ErrUnknown] too, whatever
// ended the call.
func Code(err error) string {
	if errors.Is(err, storage.ErrUnknown) {
		return ""
	}
	var s *sentinel
	if errors.As(err, &s) {
		return s.code
	}
	if errors.Is(err, ErrIntentMismatch) {
		return "intent_mismatch"
	}
	return ""
}

// A RequestError says which part of a request is malformed. It unwraps to
// [ErrRequest].
type RequestError struct {
	Field string // the field, in lower case
	Why   string // what is wrong with it
}

// Error implements error.
func (e *RequestError) Error() string { return "quota: request invalid: " + e.Field + ": " + e.Why }

// Unwrap returns [ErrRequest].
func (e *RequestError) Unwrap() error { return ErrRequest }

func badRequest(field, why string) error { return &RequestError{Field: field, Why: why} }

func overflow(what string) error { return fmt.Errorf("%w: %s", ErrOverflow, what) }

// A Shortfall is the part of a request that no lot can pay.
type Shortfall struct {
	Unit Unit       `json:"unit"`
	Kind ChargeKind `json:"kind"`
	Need Units      `json:"need"` // units the lines of this kind ask for
	Have Units      `json:"have"` // units that could be found for them
	// NextExpiry is the earliest end of a lot that counts in Have, zero if none does.
	NextExpiry time.Time `json:"next_expiry,omitzero"`
}

// An InsufficientError lists what is missing per unit and kind (H42). It
// unwraps to [ErrInsufficient].
type InsufficientError struct{ Shortfalls []Shortfall }

// Error implements error.
func (e *InsufficientError) Error() string {
	var b strings.Builder
	b.WriteString("quota: insufficient units")
	for i, s := range e.Shortfalls {
		sep := ": "
		if i > 0 {
			sep = ", "
		}
		fmt.Fprintf(&b, "%s%s for %s: need %d, have %d", sep, s.Unit, s.Kind, s.Need, s.Have)
	}
	return b.String()
}

// Unwrap returns [ErrInsufficient].
func (e *InsufficientError) Unwrap() error { return ErrInsufficient }

// A SettledError says that a line was settled before, how and when: the loser
// of a race between signing and revoking gets it. It unwraps to [ErrSettled].
type SettledError struct {
	Slot  SlotID
	State LineState
	At    time.Time
}

// Error implements error.
func (e *SettledError) Error() string { return "quota: line settled: " + string(e.State) }

// Unwrap returns [ErrSettled].
func (e *SettledError) Unwrap() error { return ErrSettled }

// A RefundReason says why a refund is refused.
type RefundReason string

// Why a refund is refused.
const (
	RefundWindow   RefundReason = "window"           // the seven days are over
	RefundUsed     RefundReason = "used"             // a unit was held or used
	RefundRepeated RefundReason = "already_refunded" // this purchase went back before
	RefundNever    RefundReason = "policy_never"     // the product is sold without return (D17)
)

// A NotRefundableError says why a refund is refused. It unwraps to
// [ErrNotRefundable].
type NotRefundableError struct{ Reason RefundReason }

// Error implements error.
func (e *NotRefundableError) Error() string { return "quota: not refundable: " + string(e.Reason) }

// Unwrap returns [ErrNotRefundable].
func (e *NotRefundableError) Unwrap() error { return ErrNotRefundable }
