package storage

import "github.com/countersign/countersign/internal/coded"

// Errors of stores and of [Update]. Match them with errors.Is; esign.ErrorCode
// gives the stable code of each.
var (
	// ErrBatch says that batches of a Commit contradict themselves or each
	// other: a programmer's mistake. See [CheckBatch].
	ErrBatch = coded.New("batch_malformed", "storage: malformed batch")
	// ErrKey says that a part of a key is empty, not UTF-8 or contains NUL.
	ErrKey = coded.New("key_malformed", "storage: malformed key")
	// ErrTooLarge says that a key, a value or a call exceeds a limit.
	ErrTooLarge = coded.New("too_large", "storage: too large")
	// ErrUnknown says that an answer was lost: the write may be stored, now or
	// later. Repeating the call under the same id is safe and tells.
	ErrUnknown = coded.New("outcome_unknown", "storage: outcome unknown")
	// ErrRetryTx asks the host to roll back its transaction and start another.
	ErrRetryTx = coded.New("retry_tx", "storage: transaction must be retried")
	// ErrClosed says that the store was closed.
	ErrClosed = coded.New("closed", "storage: closed")
	// ErrCorrupt says that stored bytes are not what their reader wrote, or were
	// written by a newer release.
	ErrCorrupt = coded.New("corrupt", "storage: corrupt data")
	// ErrNewer is the [ErrCorrupt] of a record that a newer release wrote, as while
	// processes of a host are upgraded one after another: that release reads it.
	ErrNewer = coded.Under(ErrCorrupt, "newer", "storage: written by a newer release")
	// ErrContended says that an update lost too many races. Nothing happened;
	// the call may be repeated.
	ErrContended = coded.New("contended", "storage: contended")
	// ErrExists is returned by [Tx.Create] for a record that is there, and by
	// Blobs.Create for an id in use.
	ErrExists = coded.New("exists", "storage: already exists")
	// ErrNotFound says that there is no such record or blob.
	ErrNotFound = coded.New("not_found", "storage: not found")
	// ErrIntentMismatch says that an id was used before for another request.
	ErrIntentMismatch = coded.New("intent_mismatch", "storage: id was used for another request")
	// ErrOverloaded says that a queue is full; nothing happened.
	ErrOverloaded = coded.New("overloaded", "storage: overloaded")
)

// An UnknownError is an [ErrUnknown] together with why the outcome could not be
// learnt, such as the end of a context. Both match with errors.Is.
type UnknownError struct {
	Err error // what ended the wait; not nil
}

// Error implements error.
func (e *UnknownError) Error() string { return ErrUnknown.Error() + ": " + e.Err.Error() }

// Unwrap returns [ErrUnknown] and the reason.
func (e *UnknownError) Unwrap() []error { return []error{ErrUnknown, e.Err} }
