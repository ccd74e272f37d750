package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"
)

// An Outcome is what a check came to (T17). Unavailable is never NoMatch.
type Outcome string

// The outcomes of a check.
const (
	Match       Outcome = "match"
	NoMatch     Outcome = "no_match"    // on purpose coarse: it does not say which field differed
	Unavailable Outcome = "unavailable" // the source did not answer; costs nothing and burns no attempt
	Pending     Outcome = "pending"     // an answer will come; the unit stays held, 72 h at most
)

// Final reports whether o settles a check for good.
func (o Outcome) Final() bool { return o == Match || o == NoMatch }

// A Result is what a verifier found. It is a value: the caller keeps it. It
// holds no personal data.
type Result struct {
	Outcome  Outcome     `json:"outcome"`
	Method   MethodID    `json:"method"`
	Subject  SubjectKind `json:"subject,omitempty"`
	Level    Level       `json:"level,omitempty"`
	Strength Strength    `json:"strength,omitempty"`
	Provider string      `json:"provider,omitempty"`
	TxID     string      `json:"tx,omitempty"` // the provider's transaction
	At       time.Time   `json:"at"`
	// Expires ends an identity result; zero: 365 days after At from I2 on, never
	// below. An intent result has no life of its own: its proof is spent once.
	Expires time.Time `json:"expires,omitzero"`
	// HarvestBy is when the provider forgets its own evidence; zero: it keeps none.
	HarvestBy time.Time `json:"harvest_by,omitzero"`
	// Bound is what an intent result was given for; see [Bind].
	Bound Binding `json:"bound,omitempty"`
	// SameChannel says that the code went over the channel that had carried the
	// link. Such a result counts one level lower on both axes.
	SameChannel bool  `json:"same_channel,omitempty"`
	Evidence    Draft `json:"evidence,omitzero"`
}

// A Draft is what an event keeps of a check: references and digests, never a
// value (T12, T16, T17).
type Draft struct {
	Source    string   `json:"source,omitempty"`    // the authority compared against
	Fields    []string `json:"fields,omitempty"`    // which fields were compared
	Request   string   `json:"request,omitempty"`   // SHA-256 of what was sent, hex
	Answer    string   `json:"answer,omitempty"`    // SHA-256 of what came back, hex
	Challenge string   `json:"challenge,omitempty"` // the one-time code's challenge
	Session   string   `json:"session,omitempty"`
	Reading   int      `json:"reading,omitempty"` // seconds the document was open
	Digests   []string `json:"digests,omitempty"` // documents shown, SHA-256, hex
}

// Counted is what the result is worth on each axis: nothing unless it matched,
// and one level less for a code over the channel that carried the link.
func (r Result) Counted() (Level, Strength) {
	if r.Outcome != Match || r.Level.rank() < 0 || r.Strength.rank() < 0 {
		return I0, W0
	}
	if r.SameChannel {
		return r.Level.lower(), r.Strength.lower()
	}
	return r.Level, r.Strength
}

// end is the instant from which an identity result no longer holds; zero: never.
func (r Result) end(limit time.Duration) time.Time {
	if r.Level.rank() < I2.rank() {
		return r.Expires
	}
	if limit <= 0 || r.Expires.IsZero() && limit > DefaultFreshness {
		limit = DefaultFreshness
	}
	old := r.At.Add(limit)
	if !r.Expires.IsZero() && r.Expires.Before(old) {
		return r.Expires
	}
	return old
}

// fresh reports whether an identity result still holds at now. Windows are
// half-open: at its last instant it is over.
func (r Result) fresh(limit time.Duration, now time.Time) bool {
	end := r.end(limit)
	return end.IsZero() || now.Before(end)
}

// A Binding names one ordered set of documents. An intent result given for one
// binding says nothing about another.
type Binding string

// Bind returns the binding of documents given by their SHA-256 digests, in the
// order in which they are signed.
func Bind(digests ...[]byte) Binding {
	h := sha256.New()
	h.Write([]byte("countersign/intent/v1"))
	var n [8]byte
	for _, d := range digests {
		binary.BigEndian.PutUint64(n[:], uint64(len(d)))
		h.Write(n[:])
		h.Write(d)
	}
	return Binding(hex.EncodeToString(h.Sum(nil)))
}

// For returns have without the intent results that were given for other
// documents, so that Evaluate counts none of them.
func For(b Binding, have []Result) []Result {
	return slices.DeleteFunc(slices.Clone(have), func(r Result) bool {
		return r.Strength.rank() > 0 && r.Bound != b
	})
}

// A Verdict is the answer of [Evaluate].
type Verdict string

// The verdicts.
const (
	Satisfied Verdict = "satisfied"
	StepUp    Verdict = "step_up" // one more check would do
	Refused   Verdict = "refused" // no check would do: the requirement is impossible
)

// An Axis names one of the two scales of T14.
type Axis string

// The axes.
const (
	IdentityAxis Axis = "identity"
	IntentAxis   Axis = "intent"
)

// A Decision says whether a requirement is met, and if not, what is missing
// first and which methods give it.
type Decision struct {
	Verdict Verdict
	Axis    Axis
	Methods []MethodID
}

// Evaluate judges what somebody has shown against what is required, at the
// instant now. It is pure and monotonic: another result never turns Satisfied
// into anything else. have must hold the results of one subject in one tenant,
// and of intent those for the documents at hand (see [For]). H42: below its
// level the answer is StepUp, which costs nothing.
func Evaluate(q Requirement, have []Result, now time.Time) Decision {
	if q.MinIdentity.rank() < 0 || q.MinIntent.rank() < 0 {
		return Decision{Verdict: Refused}
	}
	all := append(slices.Clone(methods), q.own()...)
	if !q.identityMet(all, have, now) {
		return stepUp(IdentityAxis, q.identityRoutes(all))
	}
	if !q.intentMet(all, have, now) {
		return stepUp(IntentAxis, q.intentRoutes(all))
	}
	return Decision{Verdict: Satisfied}
}

// Until returns the instant from which have no longer meets the identity that q
// asks for, unless something new comes on top: the answer of [Evaluate] changes
// there and not before. It is now where have does not meet it, and zero where it
// always will. Intent is not looked at.
func Until(q Requirement, have []Result, now time.Time) time.Time {
	all := append(slices.Clone(methods), q.own()...)
	for q.MinIdentity.rank() >= 0 && q.identityMet(all, have, now) {
		var next time.Time
		for _, r := range have {
			if end := r.end(q.Freshness); end.After(now) && (next.IsZero() || end.Before(next)) {
				next = end
			}
		}
		if next.IsZero() {
			return next
		}
		now = next
	}
	return now
}

func stepUp(axis Axis, routes []Method) Decision {
	if len(routes) == 0 {
		return Decision{Verdict: Refused, Axis: axis}
	}
	d := Decision{Verdict: StepUp, Axis: axis}
	for _, m := range routes {
		d.Methods = append(d.Methods, m.ID)
	}
	return d
}

// own stands for the methods that only the host's providers know: they are of
// the identity axis, at any level.
func (q Requirement) own() []Method {
	var out []Method
	for _, id := range q.Methods {
		if !slices.ContainsFunc(methods, func(m Method) bool { return m.ID == id }) {
			out = append(out, Method{ID: id, Level: I4})
		}
	}
	return out
}

func (q Requirement) identityMet(all []Method, have []Result, now time.Time) bool {
	if q.MinIdentity.rank() == 0 {
		return true
	}
	limited := q.limits(all, ofIdentity)
	return slices.ContainsFunc(have, func(r Result) bool {
		l, _ := r.Counted()
		return l.AtLeast(q.MinIdentity) && r.fresh(q.Freshness, now) && (!limited || slices.Contains(q.Methods, r.Method))
	})
}

func (q Requirement) intentMet(all []Method, have []Result, now time.Time) bool {
	if q.MinIntent.rank() == 0 {
		return true
	}
	limited := q.limits(all, ofIntent)
	return slices.ContainsFunc(have, func(r Result) bool {
		_, w := r.Counted()
		return w.AtLeast(q.MinIntent) && (r.Expires.IsZero() || now.Before(r.Expires)) &&
			(!limited || slices.Contains(q.Methods, r.Method))
	})
}
