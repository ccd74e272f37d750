package pades

import "time"

// A Verdict is the conclusion about a signature or a document, in the terms of
// ETSI EN 319 102-1.
type Verdict string

// Verdicts, from best to worst.
const (
	Passed        Verdict = "PASSED"        // everything holds
	Indeterminate Verdict = "INDETERMINATE" // what there is does not decide it
	Failed        Verdict = "FAILED"        // something contradicts the signature
)

// Integrity says whether the signed bytes are those that were signed.
type Integrity string

// Answers about integrity.
const (
	Intact       Integrity = "intact"
	Broken       Integrity = "broken"
	Unverifiable Integrity = "unverifiable" // an algorithm or certificate is missing
)

// Coverage says how much of the file a signature covers.
type Coverage string

// Answers about coverage.
const (
	WholeDocument   Coverage = "whole_document"
	EarlierRevision Coverage = "earlier_revision" // whole when it was made; revisions follow
	Partial         Coverage = "partial"          // never covered a whole document
)

// Changes is the gravest class of change that revisions after a signature made.
type Changes string

// Classes of change, from none to the gravest.
const (
	ChangesNone       Changes = "none"
	ChangesLTV        Changes = "ltv"       // DSS, extensions, document timestamps
	ChangesSignature  Changes = "signature" // another signature
	ChangesForm       Changes = "form"      // values of existing fields
	ChangesAnnotation Changes = "annotation"
	ChangesOther      Changes = "other"
)

// Trust says whether the certificate leads to a root the caller gave.
type Trust string

// Answers about trust.
const (
	Trusted      Trust = "trusted"
	Untrusted    Trust = "untrusted"
	TrustUnknown Trust = "unknown" // no roots were given, or there is nothing to judge
)

// A Report is what a document's signatures prove. Its JSON form is stable.
type Report struct {
	Verdict    Verdict           `json:"verdict"` // its worst signature's
	Reasons    []Code            `json:"reasons"`
	Signatures []SignatureReport `json:"signatures"` // in the order of their revisions
	Warnings   []string          `json:"warnings,omitempty"`
}

// A SignatureReport holds the four answers about one signature or document
// timestamp, and the verdict they lead to.
type SignatureReport struct {
	Field         string     `json:"field"`
	SubFilter     string     `json:"subfilter"`
	Profile       Profile    `json:"profile"`      // reached level; "" where it has none, such as a document timestamp
	Algorithm     string     `json:"algorithm"`    // such as "ECDSA-SHA-256"
	Signer        string     `json:"signer"`       // subject of the signing certificate
	SigningTime   *time.Time `json:"signing_time"` // claimed, never trusted
	Timestamp     *time.Time `json:"timestamp"`    // proved by the earliest valid timestamp
	Integrity     Integrity  `json:"integrity"`
	Coverage      Coverage   `json:"coverage"`
	Changes       Changes    `json:"changes"`
	ChangeDetails []Change   `json:"change_details"`
	Trust         Trust      `json:"trust"`
	Verdict       Verdict    `json:"verdict"`
	Reasons       []Code     `json:"reasons"`
	ByteRange     []int64    `json:"byte_range,omitempty"`
	Certify       int        `json:"certify,omitempty"` // DocMDP P of a certification signature
	Warnings      []string   `json:"warnings,omitempty"`
}

// A Change is one object that a revision after the signature wrote.
type Change struct {
	Revision int     `json:"revision"` // 1 = the first revision after the signature
	Object   int     `json:"object"`
	Key      string  `json:"key,omitempty"` // path within the object
	Class    Changes `json:"class"`
	Allowed  bool    `json:"allowed"`
	Note     string  `json:"note,omitempty"`
}
