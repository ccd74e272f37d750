package storage

import "errors"

// Errors of stores and of [Update]. Match them with errors.Is.
var (
	// ErrBatch says that batches of a Commit contradict themselves or each
	// other: a programmer's mistake. See [CheckBatch].
	ErrBatch = errors.New("storage: malformed batch")
	// ErrKey says that a part of a key is empty, not UTF-8 or contains NUL.
	ErrKey = errors.New("storage: malformed key")
	// ErrTooLarge says that a key, a value or a call exceeds a limit.
	ErrTooLarge = errors.New("storage: too large")
	// ErrUnknown says that an answer was lost: the write may be stored, now or
	// later. Repeating the call under the same id is safe and tells.
	ErrUnknown = errors.New("storage: outcome unknown")
	// ErrRetryTx asks the host to roll back its transaction and start another.
	ErrRetryTx = errors.New("storage: transaction must be retried")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("storage: closed")
	// ErrCorrupt says that stored bytes are not what their reader wrote, or were
	// written by a newer release.
	ErrCorrupt = errors.New("storage: corrupt data")
	// ErrContended says that an update lost too many races. Nothing happened;
	// the call may be repeated.
	ErrContended = errors.New("storage: contended")
	// ErrExists is returned by [Tx.Create] for a record that is there, and by
	// Blobs.Create for an id in use.
	ErrExists = errors.New("storage: already exists")
	// ErrNotFound says that there is no such record or blob.
	ErrNotFound = errors.New("storage: not found")
	// ErrIntentMismatch says that an id was used before for another request.
	ErrIntentMismatch = errors.New("storage: id was used for another request")
	// ErrOverloaded says that a queue is full; nothing happened.
	ErrOverloaded = errors.New("storage: overloaded")
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
