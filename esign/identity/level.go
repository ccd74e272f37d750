package identity

import (
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/coded"
)

// A Level says how well it is known who somebody is (T14, first axis).
type Level string

// The identity levels, lowest first. The zero Level counts as I0.
const (
	I0 Level = "I0" // self-asserted
	I1 Level = "I1" // control of a phone or mailbox; of a domain for an organisation
	I2 Level = "I2" // name and number match an authoritative register
	I3 Level = "I3" // carrier or bank factors and a code; with the legal representative
	I4 Level = "I4" // liveness, hardware certificate; representative in person, company account
)

// A Strength says how well it is known that somebody meant to sign (T14, second
// axis). The two axes are never one scale.
type Strength string

// The strengths of intent, lowest first. The zero Strength counts as W0.
const (
	W0 Strength = "W0" // a click after the whole document was shown
	W1 Strength = "W1" // a password or passkey
	W2 Strength = "W2" // a code bound to the document's digest
	W3 Strength = "W3" // a face or video answer bound to it
)

var (
	levels    = []Level{I0, I1, I2, I3, I4}
	strengths = []Strength{W0, W1, W2, W3}
)

func (l Level) rank() int {
	if l == "" {
		return 0
	}
	return slices.Index(levels, l)
}

func (w Strength) rank() int {
	if w == "" {
		return 0
	}
	return slices.Index(strengths, w)
}

// AtLeast reports whether l reaches min. An unknown level reaches nothing, and
// nothing reaches an unknown one.
func (l Level) AtLeast(min Level) bool { return min.rank() >= 0 && l.rank() >= min.rank() }

// AtLeast reports whether w reaches min. An unknown strength reaches nothing,
// and nothing reaches an unknown one.
func (w Strength) AtLeast(min Strength) bool { return min.rank() >= 0 && w.rank() >= min.rank() }

// lower is one level down, as for a code sent over the channel that carried the
// link.
func (l Level) lower() Level {
	if r := l.rank(); r > 0 {
		return levels[r-1]
	}
	return I0
}

func (w Strength) lower() Strength {
	if r := w.rank(); r > 0 {
		return strengths[r-1]
	}
	return W0
}

// A MethodID names a way of checking identity or intent.
type MethodID string

// The methods known to every deployment; providers may add their own names.
const (
	SelfAsserted MethodID = "self"       // I0
	PhoneCode    MethodID = "phone.code" // I1; bound to a document, W2
	EmailCode    MethodID = "email.code" // I1; bound to a document, W2
	DomainMail   MethodID = "domain.mail"
	IDMatch      MethodID = "id.match"     // I2: name and identity number
	OrgMatch     MethodID = "org.match"    // I2: name and credit code
	Carrier      MethodID = "carrier.3"    // I3: carrier's three factors and a code
	Bank         MethodID = "bank.4"       // I3: bank's three or four factors and a code
	OrgFactors   MethodID = "org.3"        // I3: with the legal representative
	Face         MethodID = "face"         // I4 and W3: liveness against a register
	HardwareCert MethodID = "cert.hw"      // I4
	OrgLetter    MethodID = "org.letter"   // I4: representative in person, authorisation letter
	OrgPayment   MethodID = "org.payment"  // I4: a payment to the company's account
	Click        MethodID = "click"        // W0
	Password     MethodID = "password"     // W1
	Passkey      MethodID = "passkey"      // W1
	VideoAnswer  MethodID = "video.answer" // W3: a spoken answer, judged by a person
)

// A SubjectKind tells a person from an organisation.
type SubjectKind string

// The kinds of subject.
const (
	Person       SubjectKind = "person"
	Organisation SubjectKind = "org"
)

// A Method describes what one way of checking gives at best.
type Method struct {
	ID       MethodID
	Level    Level       // on the identity axis; zero means none
	Strength Strength    // on the intent axis; zero means none
	Subject  SubjectKind // zero: either
	Unit     string      // what a check costs, as "idcheck.person"; empty: nothing
	Factors  []string    // what the claim must hold: "name", "id", "phone", "card", "credit"
	Face     bool        // compares a face; never the only route
}

// methods is what the constants above mean; a provider's own table comes on top.
var methods = []Method{
	{ID: SelfAsserted, Level: I0},
	{ID: PhoneCode, Level: I1, Strength: W2, Subject: Person, Factors: []string{"phone"}},
	{ID: EmailCode, Level: I1, Strength: W2, Subject: Person, Factors: []string{"email"}},
	{ID: DomainMail, Level: I1, Subject: Organisation, Factors: []string{"email"}},
	{ID: IDMatch, Level: I2, Subject: Person, Unit: "idcheck.person", Factors: []string{"name", "id"}},
	{ID: OrgMatch, Level: I2, Subject: Organisation, Unit: "idcheck.org", Factors: []string{"name", "credit"}},
	{ID: Carrier, Level: I3, Subject: Person, Unit: "idcheck.person", Factors: []string{"name", "id", "phone"}},
	{ID: Bank, Level: I3, Subject: Person, Unit: "idcheck.person", Factors: []string{"name", "id", "card"}},
	{ID: OrgFactors, Level: I3, Subject: Organisation, Unit: "idcheck.org", Factors: []string{"name", "credit", "representative"}},
	{ID: Face, Level: I4, Strength: W3, Subject: Person, Unit: "idcheck.person", Factors: []string{"name", "id"}, Face: true},
	{ID: HardwareCert, Level: I4, Subject: Person},
	{ID: OrgLetter, Level: I4, Subject: Organisation, Unit: "idcheck.org", Factors: []string{"name", "credit", "representative"}},
	{ID: OrgPayment, Level: I4, Subject: Organisation, Unit: "idcheck.org", Factors: []string{"name", "credit", "account"}},
	{ID: Click, Strength: W0},
	{ID: Password, Strength: W1, Subject: Person},
	{ID: Passkey, Strength: W1, Subject: Person},
	{ID: VideoAnswer, Strength: W3, Subject: Person},
}

// Methods returns what the known methods give at best.
func Methods() []Method { return slices.Clone(methods) }

// DefaultFreshness is how long an identity of I2 or more holds (365 days).
const DefaultFreshness = 365 * 24 * time.Hour

// A Requirement is what a recipient must show before it may view, or before it
// may sign. The zero Requirement is met by anybody.
type Requirement struct {
	MinIdentity Level    `json:"min_identity,omitempty"` // zero: I0
	MinIntent   Strength `json:"min_intent,omitempty"`   // zero: W0
	// Methods limits the ways; empty: any. It limits an axis only if it names a
	// method of that axis, so []MethodID{Carrier} leaves intent open. A name that
	// only the host's providers know is of the identity axis.
	Methods []MethodID `json:"methods,omitempty"`
	// Freshness is how old a result of I2 or more may be; zero: DefaultFreshness.
	Freshness time.Duration `json:"freshness,omitempty"`
}

// The defaults of the two kinds of envelope: an ordinary file is viewed by
// anybody with the link and signed by a code on a controlled phone; a real-name
// file is viewed at I1 and signed at I3 (H42).
var (
	OrdinaryView = Requirement{}
	OrdinarySign = Requirement{MinIdentity: I1, MinIntent: W2}
	RealNameView = Requirement{MinIdentity: I1}
	RealNameSign = Requirement{MinIdentity: I3, MinIntent: W2}
)

// Requirement errors.
var (
	// ErrRequirement is the class of requirements that nobody could meet.
	ErrRequirement = coded.New("requirement", "identity: impossible requirement")
	// ErrFaceOnly refuses a requirement whose only routes compare a face.
	ErrFaceOnly = coded.Under(ErrRequirement, "face_only", "identity: impossible requirement: face is the only route")
)

// Validate refuses a requirement with an unknown level, one that its own methods
// cannot reach, and one that only a face could reach (ErrFaceOnly). own are the
// methods of the host's providers, beside the known ones.
func (q Requirement) Validate(own ...Method) error {
	if q.MinIdentity.rank() < 0 || q.MinIntent.rank() < 0 {
		return fmt.Errorf("%w: unknown level", ErrRequirement)
	}
	if q.Freshness < 0 {
		return fmt.Errorf("%w: negative freshness", ErrRequirement)
	}
	all := append(slices.Clone(own), methods...)
	for _, id := range q.Methods {
		if !slices.ContainsFunc(all, func(m Method) bool { return m.ID == id }) {
			return fmt.Errorf("%w: unknown method", ErrRequirement)
		}
	}
	check := func(routes []Method, needed bool) error {
		if !needed {
			return nil
		}
		if len(routes) == 0 {
			return fmt.Errorf("%w: no method reaches it", ErrRequirement)
		}
		if !slices.ContainsFunc(routes, func(m Method) bool { return !m.Face }) {
			return ErrFaceOnly
		}
		return nil
	}
	if err := check(q.identityRoutes(all), q.MinIdentity.rank() > 0); err != nil {
		return err
	}
	return check(q.intentRoutes(all), q.MinIntent.rank() > 0)
}

// Covers reports whether whoever meets q meets o: signing asks at least what
// viewing asks. Methods and freshness are not compared.
func (q Requirement) Covers(o Requirement) bool {
	return q.MinIdentity.AtLeast(o.MinIdentity) && q.MinIntent.AtLeast(o.MinIntent)
}

func ofIdentity(m Method) bool { return m.Level != "" }
func ofIntent(m Method) bool   { return m.Strength != "" }

func (q Requirement) identityRoutes(all []Method) []Method {
	return q.routes(all, ofIdentity, func(m Method) bool { return m.Level.AtLeast(q.MinIdentity) })
}

func (q Requirement) intentRoutes(all []Method) []Method {
	return q.routes(all, ofIntent, func(m Method) bool { return m.Strength.AtLeast(q.MinIntent) })
}

func (q Requirement) routes(all []Method, axis, reaches func(Method) bool) []Method {
	limited := q.limits(all, axis)
	var out []Method
	for _, m := range all {
		if axis(m) && reaches(m) && (!limited || slices.Contains(q.Methods, m.ID)) {
			out = append(out, m)
		}
	}
	return out
}

// limits reports whether q names a method of the axis.
func (q Requirement) limits(all []Method, axis func(Method) bool) bool {
	return slices.ContainsFunc(all, func(m Method) bool { return axis(m) && slices.Contains(q.Methods, m.ID) })
}
