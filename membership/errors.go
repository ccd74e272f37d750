package membership

import (
	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/storage"
)

// The classes of errors. Test for them with errors.Is. Each has a method
// Code() string with a code that never changes, as those of quota and esign have.
// Errors of quota, privacy and storage come through as they are.
var (
	// ErrRequest says that a request or a catalogue is malformed; see [RequestError].
	ErrRequest = coded.New("request_invalid", "membership: request invalid")
	// ErrDenied says that an account may not do something; see [DeniedError].
	ErrDenied = coded.New("denied", "membership: denied")
	// ErrNotForSale says that nothing is sold under that name, in that channel,
	// at that instant.
	ErrNotForSale = coded.New("not_for_sale", "membership: not for sale")
	// ErrRefused says that the host's guard refused a purchase (H22).
	ErrRefused = coded.New("purchase_refused", "membership: purchase refused")
	// ErrTerms says that the versions of the agreements shown are not those in
	// force, that one has never been published, or that it was not accepted.
	ErrTerms = coded.New("terms", "membership: agreement not accepted")
	// ErrQuoteChanged says that the price is not the one shown.
	ErrQuoteChanged = coded.New("quote_changed", "membership: quote changed")
	// ErrPaymentMismatch says that a payment does not fit its order: another
	// amount, a void order, an order or a payment that is settled already.
	ErrPaymentMismatch = coded.New("payment_mismatch", "membership: payment does not fit the order")
	// ErrState says that an order or a member is not in a state for the call.
	ErrState = coded.New("state", "membership: not in a state for this")
	// ErrSeats says that a team has no seat left.
	ErrSeats = coded.New("seats", "membership: no seat left")
	// ErrCatalogue says that an item was changed under a version that was sold.
	ErrCatalogue = coded.New("catalogue_changed", "membership: a version of an item was changed")
	// ErrNoCatalogue says that the service runs unmetered: it sells nothing, and
	// whatever deals with orders, terms or seats fails with it.
	ErrNoCatalogue = coded.New("no_catalogue", "membership: no catalogue")
	// ErrOverflow says that an amount or a date does not fit.
	ErrOverflow = coded.New("overflow", "membership: overflow")
	// ErrNotFound says that an order does not exist in the tenant, which is also
	// the answer for an id of another tenant.
	ErrNotFound = coded.New("not_found", "membership: not found")

	// ErrIntentMismatch says that an id was used before for another request.
	ErrIntentMismatch = storage.ErrIntentMismatch
)

// A RequestError says which part of a request, or of a catalogue, is malformed.
// It unwraps to [ErrRequest].
type RequestError struct {
	Field string // in lower case
	Why   string
}

// Error implements error.
func (e *RequestError) Error() string {
	return "membership: request invalid: " + e.Field + ": " + e.Why
}

// Unwrap returns [ErrRequest].
func (e *RequestError) Unwrap() error { return ErrRequest }

func badRequest(field, why string) error { return &RequestError{Field: field, Why: why} }

// A DenyReason says why an account may not do something.
type DenyReason string

// Why an account is denied.
const (
	DeniedTerms      DenyReason = "terms"      // an agreement is not accepted (H01)
	DeniedSuspended  DenyReason = "suspended"  // the account is suspended (H26, H33)
	DeniedTerminated DenyReason = "terminated" // for good (H26)
	DeniedTeam       DenyReason = "team_only"  // approvals need a team membership (H39)
	DeniedPerson     DenyReason = "not_person" // only a natural person holds a membership (H05)
)

// A DeniedError says why an account may not do something. It unwraps to
// [ErrDenied], and to the cause where there is one, such as a
// privacy.NotAcceptedError.
type DeniedError struct {
	Reason DenyReason
	Err    error // nil but for DeniedTerms
}

// Error implements error.
func (e *DeniedError) Error() string {
	if e.Err != nil {
		return "membership: denied: " + e.Err.Error()
	}
	return "membership: denied: " + string(e.Reason)
}

// Unwrap returns [ErrDenied] and the cause.
func (e *DeniedError) Unwrap() []error {
	if e.Err != nil {
		return []error{ErrDenied, e.Err}
	}
	return []error{ErrDenied}
}
