package sms

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 256 << 10

// An Answer is what a provider's HTTP server said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// An ExchangeError says that there is no answer. Sent tells whether any byte of
// the request may have left: only if not may a gateway answer Rejected. It
// names neither address nor content, and unwraps to the error of the request's
// context, if that ended.
type ExchangeError struct {
	Sent  bool
	What  string // "dial", "no answer", "read", "too large"
	cause error
}

// Error implements error.
func (e *ExchangeError) Error() string { return "sms: exchange: " + e.What }

// Unwrap returns the error of the context, or nil.
func (e *ExchangeError) Unwrap() error { return e.cause }

// Exchange sends one request for a gateway and reads the answer, of at most
// 256 KiB: no redirect is followed and nothing is repeated. A nil client is a
// plain one. It fails with [*ExchangeError] alone.
func Exchange(client *http.Client, req *http.Request) (Answer, error) {
	var connected atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		// From here on bytes may leave, whatever is seen of them.
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	one := http.Client{}
	if client != nil {
		one = *client
	}
	one.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	fail := func(what string) error {
		return &ExchangeError{Sent: connected.Load(), What: what, cause: context.Cause(req.Context())}
	}
	res, err := one.Do(req.WithContext(ctx))
	if err != nil { // its text has the address, and with it what may be in a query
		if connected.Load() {
			return Answer{}, fail("no answer")
		}
		return Answer{}, fail("dial")
	}
	defer res.Body.Close()
	connected.Store(true) // a client's own transport may not trace
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, fail("read")
	case len(body) > maxAnswer:
		return Answer{}, fail("too large")
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// Failed is the result of a submission whose exchange failed: Rejected if no
// byte of it left, else Unknown.
func Failed(err error) SubmitResult {
	var x *ExchangeError
	if errors.As(err, &x) && !x.Sent {
		return SubmitResult{Disposition: Rejected, Code: "dial"}
	}
	return SubmitResult{Disposition: Unknown, Code: "exchange"}
}
