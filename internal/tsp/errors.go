package tsp

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is matched by every refusal of this package.
var ErrInvalid = errors.New("tsp: invalid")

// A Code names the rule that a response or token broke.
type Code string

// Codes.
const (
	CodeMalformed   Code = "malformed"   // not the structure of RFC 3161
	CodeStatus      Code = "status"      // the authority refused; see [StatusError]
	CodeSigners     Code = "signers"     // not exactly one SignerInfo
	CodeVersion     Code = "version"     // TSTInfo is not version 1
	CodeSignature   Code = "signature"   // signature, message digest or content type
	CodeAlgorithm   Code = "algorithm"   // not supported
	CodeCertificate Code = "certificate" // signer's certificate absent
	CodeBinding     Code = "binding"     // certificate not bound by ESSCertID
	CodeUsage       Code = "usage"       // extended key usage not critical and only timeStamping
	CodeImprint     Code = "imprint"     // another digest
	CodeNonce       Code = "nonce"       // another nonce, or none
	CodePolicy      Code = "policy"      // another policy
	CodeTime        Code = "time"        // genTime outside the certificate's life
	CodeChain       Code = "chain"       // no path to a root at genTime
)

// An Error says which rule refused a response or token. It matches
// [ErrInvalid] and unwraps to its cause.
type Error struct {
	Code Code
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return "tsp: " + string(e.Code) + ": " + e.Err.Error() }

// Unwrap returns what the error wraps.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is [ErrInvalid].
func (e *Error) Is(target error) bool { return target == ErrInvalid }

func refuse(c Code, format string, args ...any) error {
	return &Error{Code: c, Err: fmt.Errorf(format, args...)}
}

// A StatusError is the refusal an authority sent (RFC 3161 §2.4.2). Text comes
// from outside: quote it, trust nothing.
type StatusError struct {
	Status   int      // PKIStatus, 2 to 5
	Text     []string // statusString, at most a few lines
	Failures []int    // bit numbers of PKIFailureInfo
}

// Error implements error.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("status %d, failures %v", e.Status, e.Failures)
	if len(e.Text) > 0 {
		s += fmt.Sprintf(": %.200q", strings.Join(e.Text, "; "))
	}
	return s
}

// Bits of PKIFailureInfo.
const (
	FailBadAlgorithm  = 0
	FailBadRequest    = 2
	FailBadDataFormat = 5
	FailUnavailable   = 14
	FailPolicy        = 15
	FailExtension     = 16
	FailSystem        = 25
)
