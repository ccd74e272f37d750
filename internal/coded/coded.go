// Package coded makes the sentinels of this module: classes of errors that
// programs tell apart by [errors.Is], and whose codes a host may map to its own
// messages or store. A text may be reworded; a code never changes.
package coded

// An Error is one class. Two of them are the same only if they are the same
// variable, whatever their codes.
type Error struct {
	code, text string
	wider      error
}

// New returns a class with a code and the text of its Error.
func New(code, text string) error { return &Error{code: code, text: text} }

// Under returns a class that is also of a wider one.
func Under(wider error, code, text string) error {
	return &Error{code: code, text: text, wider: wider}
}

// Error implements error.
func (e *Error) Error() string { return e.text }

// Code returns the code, for esign.ErrorCode.
func (e *Error) Code() string { return e.code }

// Unwrap returns the wider class; nil if there is none.
func (e *Error) Unwrap() error { return e.wider }
