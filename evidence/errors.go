package evidence

import (
	"fmt"

	"github.com/countersign/countersign/internal/coded"
)

// The classes of failure of this package. esign.ErrorCode gives the stable code of
// each.
var (
	// ErrDraft is a [Draft] that no event can be made of, or another request that
	// lacks something or has it malformed.
	ErrDraft = coded.New("request_invalid", "evidence: invalid draft")
	// ErrType is an event type that the registry does not know, or a draft
	// without what its type requires.
	ErrType = coded.New("event_type", "evidence: event type")
	// ErrSealed is an event that may not follow the chain seal.
	ErrSealed = coded.New("chain_sealed", "evidence: chain is sealed")
	// ErrForm is bytes that are not the one form of an event.
	ErrForm = coded.New("event_form", "evidence: not an event in canonical form")
	// ErrTampered is stored evidence that contradicts itself. [*TamperError]
	// names where.
	ErrTampered = coded.New("tampered", "evidence: stored chain was changed")
	// ErrNotFound is an envelope without events, or whatever else is not there.
	ErrNotFound = coded.New("not_found", "evidence: not found")
	// ErrDocument is a document that is not what the events say.
	ErrDocument = coded.New("document_mismatch", "evidence: document does not match its event")
	// ErrLoss is a committed value that the vault has lost without an erasure
	// on record.
	ErrLoss = coded.New("value_lost", "evidence: committed value lost without explanation")
	// ErrTooLarge is a bundle beyond 65 535 entries or 4 GiB, or an entry beyond
	// what a verifier reads of its kind.
	ErrTooLarge = coded.New("bundle_too_large", "evidence: too large for a bundle")
	// ErrTrust is a trust file that cannot be read.
	ErrTrust = coded.New("trust_file", "evidence: trust file")
	// ErrUnreadable is input that is no bundle at all.
	ErrUnreadable = coded.New("not_a_bundle", "evidence: not a bundle")
	// ErrNote is a signed note, checkpoint or proof that is not in its one form.
	ErrNote = coded.New("note_malformed", "evidence: malformed note")
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
