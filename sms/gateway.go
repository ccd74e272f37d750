package sms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// A Kind is what a text is for (S05). Whether it goes abroad is a property of
// the number, not of the kind.
type Kind string

// The kinds of text.
const (
	OTP       Kind = "otp"       // a one-time code
	Notice    Kind = "notice"    // an invitation, a reminder
	Marketing Kind = "marketing" // needs opt-in
	VoiceOTP  Kind = "voice_otp" // a one-time code read out
)

func (k Kind) valid() bool {
	switch k {
	case OTP, Notice, Marketing, VoiceOTP:
		return true
	}
	return false
}

// A Disposition is a gateway's answer about one text.
type Disposition string

// The dispositions. What is not surely one of the first four is Unknown.
const (
	Accepted      Disposition = "accepted"      // taken by the provider; billed
	Rejected      Disposition = "rejected"      // a definitive no
	Throttled     Disposition = "throttled"     // a definitive no for now
	Misconfigured Disposition = "misconfigured" // key, signature, template or balance
	Unknown       Disposition = "unknown"       // all else; never sent again by anybody
)

// A Cause tells why a text was Rejected, where that decides whether another
// gateway may be asked.
type Cause string

// The causes after which no other gateway is asked.
const (
	BadNumber  Cause = "number"
	BadContent Cause = "content"
)

// A Gateway hands texts to a provider (S03). Most programs use one of the
// packages below this one and pass it in [Config]; the method is for those who
// write an adapter.
//
// An implementation MUST
//   - be safe for concurrent use, and give up when ctx ends;
//   - send at most one request per call: no retry, no redirect, no second host;
//   - answer Accepted only with the provider's id of the text;
//   - answer Rejected, Throttled or Misconfigured only if the provider surely
//     sent nothing: it said so, or no byte of the request was written (see
//     [Exchange]);
//   - answer Unknown in every other case, an unreadable answer and a code it does
//     not know among them;
//   - bound what it reads, and keep numbers, texts, codes and keys out of errors.
//
// An error says why, for the log; it decides nothing. A result without a
// disposition is Unknown. Package smstest checks every sentence above.
type Gateway interface {
	// Name is short, fixed and unique among a service's gateways: it is stored.
	Name() string
	Capabilities() Capabilities
	Submit(ctx context.Context, s Submission) (SubmitResult, error)
}

// Capabilities says what a gateway takes.
type Capabilities struct {
	Kinds     []Kind   // empty: OTP and Notice
	Regions   []Region // empty: Domestic
	Templates bool     // takes the provider's template code and variables, else the rendered text
	Receipts  bool     // reports delivery
	Timeout   time.Duration
}

// A Submission is one text to one number. It prints without number, text and
// values.
type Submission struct {
	// Key is our id of this attempt, unique in the deployment, at most 40
	// characters of [a-z2-7-]. Providers that echo an id are given it.
	Key       string
	Kind      Kind
	To        Number
	Signature string // without 【】
	// SignatureCode and Template are the provider's codes, where it gives any.
	SignatureCode string
	Template      string
	Vars          []Var  // in the template's order
	Text          string // rendered, without the signature
}

// A Var is one variable of a template. It prints without its value.
type Var struct{ Name, Value string }

// Format implements [fmt.Formatter].
func (s Submission) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "sms.Submission(%s)", s.Key) }

// LogValue implements [slog.LogValuer].
func (s Submission) LogValue() slog.Value {
	return slog.GroupValue(slog.String("key", s.Key), slog.String("kind", string(s.Kind)), slog.String("to", s.To.Masked()))
}

// MarshalText refuses: a submission is for a gateway's eyes.
func (s Submission) MarshalText() ([]byte, error) {
	return nil, errors.New("sms: submission: not for storage")
}

// Format implements [fmt.Formatter].
func (v Var) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s=*", v.Name) }

// LogValue implements [slog.LogValuer].
func (v Var) LogValue() slog.Value { return slog.StringValue(v.Name + "=*") }

// MarshalText masks the value.
func (v Var) MarshalText() ([]byte, error) { return []byte(v.Name + "=*"), nil }

// A SubmitResult is what became of a submission.
type SubmitResult struct {
	Disposition Disposition
	ProviderID  string        // the provider's id; required with Accepted
	Segments    int           // the provider's count; 0: not told. The charge stays ours.
	Code        string        // the provider's code, for operators
	Cause       Cause         // with Rejected
	RetryAfter  time.Duration // with Throttled; below a minute, 0 too, it is one
}

// A Query asks a provider what became of an Unknown or Accepted text.
type Query struct {
	Key        string
	ProviderID string // empty while Unknown
	To         Number
	At         time.Time // when it was submitted
}

// A Querier is a Gateway that can be asked about a text later. It sends
// nothing. A provider that has never heard of the key answers Rejected only if
// it can be sure.
type Querier interface {
	Query(ctx context.Context, q Query) (SubmitResult, []Receipt, error)
}

// A ReceiptSource is a Gateway that reports delivery. What it parses is an
// untrusted hint: a forged receipt changes the delivery state at most.
type ReceiptSource interface {
	// Parse reads one push of the provider; ack is the body it wants back.
	Parse(r *http.Request) (got []Receipt, ack []byte, err error)
	// Poll asks for receipts since then; a source without polling returns none.
	Poll(ctx context.Context, since time.Time) ([]Receipt, error)
}

// A Receipt is what a handset or a person answered.
type Receipt struct {
	Key        string // ours, if the provider echoes it
	ProviderID string
	To         Number
	Delivered  bool   // else undeliverable
	Reply      Secret // what the person wrote back, if this is no report
	Code       string // the provider's code
	Segments   int
	At         time.Time
}

// Format implements [fmt.Formatter].
func (r Receipt) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "sms.Receipt(%s)", r.Key) }

// LogValue implements [slog.LogValuer].
func (r Receipt) LogValue() slog.Value { return slog.StringValue("receipt " + r.Key) }

// A Number is a telephone number in the clear for a gateway's eyes. However it
// is printed or logged it is masked; it cannot be marshalled.
type Number struct{ digits func() string }

// NewNumber makes a Number of E.164 form (+ and 7 to 15 digits) or of 11
// mainland digits. It fails with [ErrNumber].
func NewNumber(s string) (Number, error) {
	if len(s) == 11 && s[0] == '1' {
		s = "+86" + s
	}
	d, ok := strings.CutPrefix(s, "+")
	if !ok || len(d) < 7 || len(d) > 15 || d[0] == '0' || strings.Trim(d, "0123456789") != "" {
		return Number{}, ErrNumber
	}
	if n, ok := strings.CutPrefix(d, "86"); ok && (len(n) != 11 || n[0] != '1' || n[1] < '3') {
		return Number{}, ErrNumber
	}
	return Number{func() string { return d }}, nil
}

// E164 returns the number with + and country code.
func (n Number) E164() string {
	if n.digits == nil {
		return ""
	}
	return "+" + n.digits()
}

// National returns the 11 digits of a domestic number, and the E.164 form of
// any other.
func (n Number) National() string {
	s := n.E164()
	if n.Region() == Domestic {
		return s[3:]
	}
	return s
}

// Region tells domestic numbers from all others.
func (n Number) Region() Region {
	if strings.HasPrefix(n.E164(), "+86") {
		return Domestic
	}
	return International
}

// Masked returns 138****1234 for a domestic number, and country code and last
// two digits of another.
func (n Number) Masked() string {
	s := n.National()
	switch {
	case s == "":
		return ""
	case s[0] != '+':
		return s[:3] + "****" + s[7:]
	}
	return s[:3] + strings.Repeat("*", len(s)-5) + s[len(s)-2:]
}

// Format implements [fmt.Formatter]: every verb masks.
func (n Number) Format(f fmt.State, _ rune) { fmt.Fprint(f, n.Masked()) }

// LogValue implements [slog.LogValuer].
func (n Number) LogValue() slog.Value { return slog.StringValue(n.Masked()) }

// MarshalText masks.
func (n Number) MarshalText() ([]byte, error) { return []byte(n.Masked()), nil }
