package esign_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/esign/seal"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// TestErrors: each error has a stable code, and a typed one reaches its class.
func TestErrors(t *testing.T) {
	sentinels := map[string]error{
		"not_found": esign.ErrNotFound, "forbidden": esign.ErrForbidden, "intent_mismatch": esign.ErrIntentMismatch,
		"config": esign.ErrConfig, "all_signed": esign.ErrAllSigned, "stale_round": esign.ErrStaleRound, "stale_revision": esign.ErrStaleRevision,
		"cap_reached": esign.ErrCapReached, "terms_not_accepted": esign.ErrTermsNotAccepted,
		"template_not_approved": esign.ErrTemplateNotApproved, "screened": esign.ErrScreened, "seal_not_granted": esign.ErrSealNotGranted,
		"no_decline": esign.ErrNoDecline, "unknown_channel": esign.ErrUnknownChannel, "not_offered": esign.ErrNotOffered,
		"state": esign.ErrState, "turn": esign.ErrTurn, "deadline": esign.ErrDeadline, "field": esign.ErrField,
		"not_ready": esign.ErrNotReady, "level": esign.ErrLevel, "reminder": esign.ErrReminder,
	}
	for code, err := range sentinels {
		assert.Equal(t, code, esign.ErrorCode(err))
		assert.Equal(t, code, esign.ErrorCode(fmt.Errorf("outer: %w", err)))
		assert.Regexp(t, `^esign: [a-z ]+$`, err.Error())
	}
	typed := map[error]error{
		&esign.StateError{State: esign.StateDraft}:          esign.ErrState,
		&esign.TurnError{Waiting: []string{"li"}}:           esign.ErrTurn,
		&esign.DeadlineError{At: t0}:                        esign.ErrDeadline,
		&esign.FieldError{Field: "id", Why: "is missing"}:   esign.ErrField,
		&esign.NotReadyError{Missing: []string{"identity"}}: esign.ErrNotReady,
		&esign.LevelError{Have: "I0", Need: "I1"}:           esign.ErrLevel,
		&esign.ReminderError{Next: t0}:                      esign.ErrReminder,
		&esign.ReminderError{}:                              esign.ErrReminder,
	}
	for err, class := range typed {
		require.ErrorIs(t, err, class)
		assert.Equal(t, esign.ErrorCode(class), esign.ErrorCode(err))
		assert.Regexp(t, `^esign: `, err.Error())
	}
	parts := map[string]error{
		"code_not_accepted": sms.ErrCode, "proof_not_accepted": sms.ErrProof, "limited": &sms.LimitError{Scope: "code"},
		"template_not_approved": sms.ErrNotApproved, "terms_not_accepted": privacy.ErrNotAccepted, "legal_hold": privacy.ErrHeld,
		"subject_restricted": privacy.ErrRestricted, "insufficient_units": &quota.InsufficientError{}, "seats": membership.ErrSeats,
		"too_many_attempts": identity.ErrAttempts, "report_unpaid": evidence.ErrUnpaid, "intent_mismatch": storage.ErrIntentMismatch, "contended": storage.ErrContended,
		"outcome_unknown": &storage.UnknownError{Err: quota.ErrInsufficient}, // whatever it ran into
		"seal_glyph":      seal.ErrGlyph,
		"FIELD_SIGNED":    &pades.Error{Code: pades.ErrFieldSigned},
	}
	for code, err := range parts {
		assert.Equal(t, code, esign.ErrorCode(fmt.Errorf("outer: %w", err)), "of a part of the service")
	}
	assert.Empty(t, esign.ErrorCode(errors.New("another")))
	assert.Empty(t, esign.ErrorCode(nil))
}

func TestErrorsNameWhatIsMissing(t *testing.T) {
	w := sent(t, draft(signer("li", 1, func(r *esign.Recipient) {
		r.Reading = esign.Reading{Seconds: 3, End: true}
		r.Uploads = []esign.UploadRule{{ID: "licence", Count: 1}}
		r.View.MinIdentity, r.Sign.MinIdentity = "I1", "I3"
	})))
	var level *esign.LevelError
	c := w.opening("li")
	c.Facts = esign.Facts{Level: "I0"}
	require.ErrorAs(t, w.try(c), &level)
	assert.Equal(t, []string{"I0", "I1"}, []string{level.Have, level.Need})
	assert.Contains(t, level.Methods, identity.PhoneCode)
	c.Facts = esign.Facts{Viewable: true, Level: "I1"}
	w.must(c)
	w.rowIs("li", esign.RecipientViewed)
	err := w.try(w.signing("li"))
	var missing *esign.NotReadyError
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, []string{"reading", "uploads", "identity", "certificate"}, missing.Missing)
	require.ErrorAs(t, err, &level, "H42: a check of identity would help, and costs nothing here")
	assert.Equal(t, []string{"I1", "I3"}, []string{level.Have, level.Need})
	assert.Contains(t, level.Methods, identity.Carrier)
	assert.NotContains(t, level.Methods, identity.PhoneCode)
	assert.Equal(t, "not_ready", esign.ErrorCode(err))
	c.Facts = shown
	w.must(c)
	c = w.signing("li")
	c.Intent = false
	require.ErrorAs(t, w.try(c), &missing)
	assert.Equal(t, []string{"intent"}, missing.Missing)

	w.now = w.env.Deadline.Add(time.Second)
	var state *esign.StateError
	require.ErrorAs(t, w.try(w.signing("li")), &state, "a passed deadline is also a state")
	assert.Equal(t, esign.StateExpired, state.State)
}
