package sms

import (
	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/storage"
)

// The classes of errors. Test for them with errors.Is; esign.ErrorCode gives the
// stable code of each. Where detail helps there is an error type that unwraps to
// the class. None names a number, a value or a code.
var (
	// ErrConfig refuses an incomplete or contradictory [Config].
	ErrConfig = coded.New("config", "sms: config")
	// ErrRequest refuses a malformed request.
	ErrRequest = coded.New("request_invalid", "sms: malformed request")
	// ErrNotFound is also the answer for an id of another tenant.
	ErrNotFound = coded.New("not_found", "sms: not found")
	// ErrIntentMismatch says that an id was used before for another request.
	ErrIntentMismatch = storage.ErrIntentMismatch
	// ErrState refuses a step that the state of a text does not allow.
	ErrState = coded.New("state", "sms: not in this state")

	// ErrNoGateway refuses a text that no gateway of the [Config] takes: of its
	// kind, to its region, in its template.
	ErrNoGateway = coded.New("no_gateway", "sms: no gateway takes this text")
	// ErrKind refuses an unknown kind of text.
	ErrKind = coded.New("unknown_kind", "sms: unknown kind")
	// ErrNumber refuses what is not a telephone number.
	ErrNumber = coded.New("number_invalid", "sms: not a telephone number")
	// ErrTooLong refuses a text of more characters than a carrier takes.
	ErrTooLong = coded.New("text_too_long", "sms: text too long")
	// ErrTemplate is the class of refusals of a wording or its values.
	ErrTemplate = coded.New("template", "sms: template")
	// ErrNotApproved refuses a text whose template or signature is not approved, by
	// us or by any provider, before any unit is held (S08, D16); see
	// [ApprovalError]. It is an [ErrTemplate].
	ErrNotApproved = coded.Under(ErrTemplate, "template_not_approved", "sms: template not approved")
	// ErrVariable refuses a value; see [VariableError]. It is an [ErrTemplate].
	ErrVariable = coded.Under(ErrTemplate, "template_variable", "sms: template variable")

	// ErrNoConsent refuses a text without consent on record (S10); see [ConsentError].
	ErrNoConsent = coded.New("no_consent", "sms: no consent")
	// ErrAgreement refuses a tenant whose account has not accepted the agreement on
	// texts, or whose term is over (S01, S34); see [AgreementError].
	ErrAgreement = coded.New("no_agreement", "sms: no agreement in force")
	// ErrStanding refuses a tenant that may not send; see [StandingError].
	ErrStanding = coded.New("tenant_may_not_send", "sms: tenant may not send")
	// ErrLimited refuses what comes too often (S18); see [LimitError].
	ErrLimited = coded.New("limited", "sms: limited")

	// ErrNoPepper refuses a challenge where [Config].Peppers is empty.
	ErrNoPepper = coded.New("no_pepper", "sms: no pepper: codes are off")
	// ErrCode is the one answer to a wrong, expired, used, locked or unknown code.
	ErrCode = coded.New("code_not_accepted", "sms: code not accepted")
	// ErrProof refuses a proof that is used, too old, or bound to something else.
	ErrProof = coded.New("proof_not_accepted", "sms: proof not accepted")
	// ErrCredential is the one answer to a request with an unknown, revoked or wrong
	// credential, a stale time, or a nonce used before.
	ErrCredential = coded.New("credential_not_accepted", "sms: credential not accepted")

	// ErrDropped is what [Config].Resolve returns, wrapped or not, when a text must
	// no longer be sent: recipient replaced, envelope ended.
	ErrDropped = coded.New("dropped", "sms: dropped")
)
