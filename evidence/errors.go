package evidence

import (
	"errors"
	"fmt"
)

// The classes of failure of this package.
var (
	// ErrDraft is a [Draft] that no event can be made of, or another request that
	// lacks something or has it malformed.
	ErrDraft = errors.New("evidence: invalid draft")
	// ErrType is an event type that the registry does not know, or a draft
	// without what its type requires.
	ErrType = errors.New("evidence: event type")
	// ErrSealed is an event that may not follow the chain seal.
	ErrSealed = errors.New("evidence: chain is sealed")
	// ErrForm is bytes that are not the one form of an event.
	ErrForm = errors.New("evidence: not an event in canonical form")
	// ErrTampered is stored evidence that contradicts itself. [*TamperError]
	// names where.
	ErrTampered = errors.New("evidence: stored chain was changed")
	// ErrNotFound is an envelope without events, or whatever else is not there.
	ErrNotFound = errors.New("evidence: not found")
	// ErrDocument is a document that is not what the events say.
	ErrDocument = errors.New("evidence: document does not match its event")
	// ErrLoss is a committed value that the vault has lost without an erasure
	// on record.
	ErrLoss = errors.New("evidence: committed value lost without explanation")
	// ErrTooLarge is a bundle beyond 65 535 entries or 4 GiB, or an entry beyond
	// what a verifier reads of its kind.
	ErrTooLarge = errors.New("evidence: too large for a bundle")
	// ErrTrust is a trust file that cannot be read.
	ErrTrust = errors.New("evidence: trust file")
	// ErrUnreadable is input that is no bundle at all.
	ErrUnreadable = errors.New("evidence: not a bundle")
	// ErrNote is a signed note, checkpoint or proof that is not in its one form.
	ErrNote = errors.New("evidence: malformed note")
)

// A TamperError names the smallest event that cannot be right. It is
// [ErrTampered].
type TamperError struct {
	Env  string
	Seq  uint64 // first bad event
	What string // what is wrong with it, without its content
}

// Error implements error.
func (e *TamperError) Error() string {
	return fmt.Sprintf("%v: envelope %q, event %d: %s", ErrTampered, e.Env, e.Seq, e.What)
}

// Unwrap returns [ErrTampered].
func (e *TamperError) Unwrap() error { return ErrTampered }
