package pdf

import (
	"errors"
	"fmt"
	"strings"
)

// A Code names the class of an [Error]. The strings are fixed: they are stored
// and shown to users.
type Code string

// The codes of this package.
const (
	CodeNotPDF     Code = "NOT_PDF"                // no header and no cross-reference: another kind of file
	CodeMalformed  Code = "MALFORMED"              // the bytes break the rules of ISO 32000
	CodeLimit      Code = "LIMIT"                  // a bound of [Limits] was reached (R9)
	CodePassword   Code = "PASSWORD_REQUIRED"      // neither the user nor the owner password
	CodeEncryption Code = "ENCRYPTION_UNSUPPORTED" // a security handler or algorithm not known here
	CodeFilter     Code = "FILTER_UNSUPPORTED"     // a stream filter that is not decoded here (images)
	CodeRepaired   Code = "REPAIRED"               // the file can only be read by repair (R7)
	CodeIO         Code = "IO"                     // the io.ReaderAt failed
)

// Sentinels reached by errors.Is through every [Error].
var (
	ErrNotPDF     = errors.New("not a PDF file")
	ErrMalformed  = errors.New("malformed PDF")
	ErrLimit      = errors.New("limit exceeded")
	ErrPassword   = errors.New("password required")
	ErrEncryption = errors.New("encryption not supported")
	ErrFilter     = errors.New("stream filter not supported")
	ErrRepaired   = errors.New("file is readable by repair only")
	ErrIO         = errors.New("read error")
)

var sentinels = map[Code]error{
	CodeNotPDF: ErrNotPDF, CodeMalformed: ErrMalformed, CodeLimit: ErrLimit, CodePassword: ErrPassword,
	CodeEncryption: ErrEncryption, CodeFilter: ErrFilter, CodeRepaired: ErrRepaired, CodeIO: ErrIO,
}

// An Error is every error this package returns. It carries no text of the
// document, only positions.
type Error struct {
	Code   Code
	Op     string // what was being read or written: "xref", "object", "flate" ...
	Offset int64  // physical file offset, -1 if none applies
	Obj    Ref    // the indirect object concerned, zero if none
	Err    error  // the cause, or what was wrong
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("pdf: ")
	b.WriteString(e.Op)
	if e.Obj.Num != 0 {
		fmt.Fprintf(&b, ": object %d %d", e.Obj.Num, e.Obj.Gen)
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, ": offset %d", e.Offset)
	}
	b.WriteString(": ")
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else if s := sentinels[e.Code]; s != nil {
		b.WriteString(s.Error())
	} else {
		b.WriteString(string(e.Code))
	}
	return b.String()
}

// Unwrap returns the sentinel of the code and the cause.
func (e *Error) Unwrap() []error {
	s := sentinels[e.Code]
	switch {
	case s == nil && e.Err == nil:
		return nil
	case s == nil:
		return []error{e.Err}
	case e.Err == nil:
		return []error{s}
	}
	return []error{s, e.Err}
}

// CodeOf returns the code of the first [Error] in err's chain, or "".
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func malformed(op string, off int64, what string) error {
	return &Error{Code: CodeMalformed, Op: op, Offset: off, Err: errors.New(what)}
}

func limit(op string, off int64, what string) error {
	return &Error{Code: CodeLimit, Op: op, Offset: off, Err: errors.New(what)}
}

func ioError(op string, off int64, err error) error {
	return &Error{Code: CodeIO, Op: op, Offset: off, Err: err}
}

// inObject adds the object's number to an error that has none yet.
func inObject(err error, ref Ref) error {
	var e *Error
	if errors.As(err, &e) && e.Obj.Num == 0 {
		c := *e
		c.Obj = ref
		return &c
	}
	return err
}
