package membership_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
)

// TestErrors_have_stable_codes freezes the codes that hosts answer with, also of
// errors with detail.
func TestErrors_have_stable_codes(t *testing.T) {
	for code, err := range map[string]error{
		"request_invalid":   &membership.RequestError{Field: "id", Why: "required"},
		"denied":            &membership.DeniedError{Reason: membership.DeniedTeam},
		"not_for_sale":      membership.ErrNotForSale,
		"purchase_refused":  membership.ErrRefused,
		"terms":             membership.ErrTerms,
		"quote_changed":     &membership.QuoteChangedError{},
		"payment_mismatch":  &membership.PaymentMismatchError{Why: "amount"},
		"state":             membership.ErrState,
		"seats":             membership.ErrSeats,
		"catalogue_changed": membership.ErrCatalogue,
		"no_catalogue":      membership.ErrNoCatalogue,
		"overflow":          membership.ErrOverflow,
		"not_found":         membership.ErrNotFound,
	} {
		var c interface {
			error
			Code() string
		}
		require.ErrorAs(t, err, &c)
		assert.Equal(t, code, c.Code())
		assert.Contains(t, err.Error(), "membership: ")
	}
	denied := &membership.DeniedError{Reason: membership.DeniedTerms, Err: &privacy.NotAcceptedError{Document: "membership", Version: "v1"}}
	require.ErrorIs(t, denied, membership.ErrDenied)
	require.ErrorIs(t, denied, privacy.ErrNotAccepted)
	assert.False(t, errors.Is(denied, membership.ErrTerms))
}
