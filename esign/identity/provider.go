package identity

import (
	"context"
	"time"

	"github.com/countersign/countersign/privacy"
)

// A Claim is what somebody says they are, and asks to have compared (T17). Its
// values mask themselves however it is printed.
type Claim struct {
	Key     string // the caller's id, at most 64 bytes; the same again is one call and one charge
	Subject privacy.Subject
	Kind    SubjectKind
	Method  MethodID
	// Name and the rest are what the method's factors ask for.
	Name       privacy.Name // of the person, or of the organisation
	Number     privacy.IDNumber
	Phone      privacy.Phone
	Card       privacy.BankCard
	Email      privacy.Email
	CreditCode string // public (C0)
	// Representative is the claim's other person for org.3 and above.
	Representative privacy.Name
	// Birth is the declared day of birth, where no number tells it.
	Birth privacy.Date
}

// A Flow is a check under way. It is a value: the gate keeps it. It holds no
// personal data.
type Flow struct {
	Key      string          `json:"key"`
	Subject  privacy.Subject `json:"subject"`
	Kind     SubjectKind     `json:"kind"`
	Method   MethodID        `json:"method"`
	Provider string          `json:"provider"`
	Level    Level           `json:"level"` // the most this method gives
	Unit     string          `json:"unit,omitempty"`
	// Intent is a keyed digest of the claim: another claim under the key is refused.
	Intent string    `json:"intent"`
	Named  string    `json:"named"`         // blind index of the name that was compared
	TxID   string    `json:"tx,omitempty"`  // the provider's, once it was asked
	URL    string    `json:"url,omitempty"` // where the person goes on, for face and bank
	At     time.Time `json:"at"`
	Result *Result   `json:"result,omitempty"` // once there is one
}

// A Response is what came back from the person: a code, a token of a page.
type Response struct {
	Code  string // never logged or kept
	Token string
}

// A Verifier compares claims with an authoritative source (T17). Most programs
// use one their provider's adapter gives; the method is for those who write one.
//
// An implementation MUST
//   - be safe for concurrent use, and give up when ctx ends;
//   - treat Start as idempotent by Claim.Key: one call and one charge at the
//     source, the same answer again;
//   - answer [Unavailable], never [NoMatch], when the source did not answer;
//   - leave NoMatch coarse: not a word on which field differed;
//   - claim no level above what its Methods say;
//   - keep claims out of errors and logs.
//
// An error counts as Unavailable. Package identitytest checks every sentence
// above.
type Verifier interface {
	// Name is short, fixed and unique: it is stored.
	Name() string
	Methods() []Method
	// Start asks. A flow with a Result has ended; one without goes on with
	// Complete.
	Start(ctx context.Context, c Claim) (Flow, error)
	// Complete hands over what came back. A pending check is asked again with an
	// empty response.
	Complete(ctx context.Context, f Flow, r Response) (Result, error)
}

// A SignIntent is what somebody is asked to mean.
type SignIntent struct {
	Key       string // the caller's id, at most 64 bytes
	Subject   privacy.Subject
	Envelope  string
	Recipient string
	Method    MethodID
	Digests   [][]byte // SHA-256 of each document, in the order of signing
}

// A Challenge is an intent check under way.
type Challenge struct {
	ID       string    `json:"id"`
	Method   MethodID  `json:"method"`
	Provider string    `json:"provider"`
	Bound    Binding   `json:"bound"`
	URL      string    `json:"url,omitempty"`
	Expires  time.Time `json:"expires"`
}

// An IntentVerifier finds out whether somebody means to sign these documents
// (T14): a password, a passkey, a face, a spoken answer. One-time codes are
// checked by package sms. The rules of [Verifier] hold, and a result names the
// binding it was given for.
type IntentVerifier interface {
	Name() string
	Methods() []Method
	Challenge(ctx context.Context, i SignIntent) (Challenge, error)
	Verify(ctx context.Context, c Challenge, r Response) (Result, error)
}

// A Harvester is a Verifier whose source keeps evidence for a short time: face
// videos a day, report links minutes. What it returns is hashed and kept.
type Harvester interface {
	Harvest(ctx context.Context, f Flow) ([]Artifact, error)
}

// An Artifact is one piece of a provider's evidence.
type Artifact struct {
	Name  string
	Type  string // media type
	Data  []byte
	Class privacy.Class
}
