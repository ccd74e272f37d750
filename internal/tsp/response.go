package tsp

import (
	"errors"

	"github.com/countersign/countersign/internal/cms/der"
)

// ParseResponse returns the token in a TimeStampResp (RFC 3161 §2.4.2),
// unverified. A refusal by the authority is CodeStatus wrapping a
// [*StatusError].
func ParseResponse(b []byte) (token []byte, err error) {
	v, err := der.Parse(b)
	if err != nil {
		return nil, refuse(CodeMalformed, "response: %w", err)
	}
	outer := v.Enter()
	info := outer.Inner(der.Sequence)
	status := &StatusError{Status: info.Small()}
	if text := info.Maybe(der.Sequence); text.Present() {
		for list := info.Sub(text); list.More() && len(status.Text) < 8; {
			status.Text = append(status.Text, string(list.Want(der.UTF8String).Body))
		}
	}
	if bits := info.Maybe(der.BitString); bits.Present() {
		status.Failures = failures(bits.Body)
	}
	info.Done()
	if outer.More() {
		token = outer.Next().Raw
	}
	if err := outer.Done(); err != nil {
		return nil, refuse(CodeMalformed, "response: %w", err)
	}
	// 0 is granted, 1 granted with modifications: what was modified shows when
	// the token is compared with the request.
	if status.Status > 1 {
		return nil, &Error{Code: CodeStatus, Err: status}
	}
	if token == nil {
		return nil, refuse(CodeMalformed, "response: granted without token")
	}
	return token, nil
}

// failures lists the bits set in a BIT STRING's contents.
func failures(body []byte) (set []int) {
	for i := 8; i < min(len(body), 6)*8; i++ {
		if body[i/8]&(0x80>>(i%8)) != 0 {
			set = append(set, i-8)
		}
	}
	return set
}

// marshalResponse returns a TimeStampResp that grants token or, if token is
// nil, refuses with one failure bit.
func marshalResponse(token []byte, failure int) []byte {
	var b der.Builder
	outer := b.Begin(der.Sequence)
	info := b.Begin(der.Sequence)
	if token != nil {
		b.Small(0)
		b.End(info)
		b.Raw(token)
	} else {
		b.Small(2)
		body := make([]byte, failure/8+2)
		body[0] = byte(7 - failure%8)
		body[failure/8+1] = 0x80 >> (failure % 8)
		b.Prim(der.BitString, body)
		b.End(info)
	}
	b.End(outer)
	return b.Bytes()
}

// failureOf is the PKIFailureInfo bit for a refused request.
func failureOf(err error) int {
	var e *Error
	if !errors.As(err, &e) {
		return FailSystem
	}
	switch e.Code {
	case CodeMalformed:
		return FailBadDataFormat
	case CodeAlgorithm:
		return FailBadAlgorithm
	case CodePolicy:
		return FailPolicy
	}
	return FailBadRequest
}
