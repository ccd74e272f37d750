package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/privacy"
)

// Config makes a Service. esign.New fills Gate, Vault and Now where they are
// empty.
type Config struct {
	// Verifiers are asked for the methods they name, the first that has one. Empty:
	// checks fail with ErrOff.
	Verifiers []Verifier
	// IntentVerifiers likewise, for intent.
	IntentVerifiers []IntentVerifier
	// CA issues certificates for verified people; nil: none.
	CA CertificateAuthority
	// Gate decides whether a check may be made and pays for it. Required with
	// Verifiers.
	Gate Gate
	// Vault makes the digests by which repeated claims are told. Required with Verifiers.
	Vault *privacy.Vault
	// Age is a tenant's rule on minors (D12); nil: under 18 nobody is served.
	Age func(tenant string) privacy.AgePolicy
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Gate lets a check pass, counts it and pays for it. esign implements it over
// its store and package quota, and passes it in Config; package identitytest has
// one in memory.
//
// An implementation MUST
//   - treat every call as idempotent by Flow.Key;
//   - in Open, in one commit: return the flow kept under the key, if there is one
//     with the same Intent, and fail if it has another; else count the attempt
//     ([Attempts.Try]), hold the flow's unit and keep the flow;
//   - in Close, in one commit: keep the flow with its result, and once: capture
//     the unit after Match or NoMatch, give unit and attempt back after
//     Unavailable ([Attempts.Settle]), and keep holding while Pending.
type Gate interface {
	// Consent fails with ErrConsent unless the person agreed, on record and naming
	// the source, to these fields being compared (T42, T50).
	Consent(ctx context.Context, s privacy.Subject, source string, fields []string) error
	// Open fails with *AttemptError, or with the error of a missing unit (H40, H41).
	Open(ctx context.Context, f Flow) (Flow, error)
	Close(ctx context.Context, f Flow) error
}

// Errors of the service.
var (
	// ErrConfig refuses an incomplete or contradictory [Config].
	ErrConfig = coded.New("config", "identity: config")
	// ErrOff says that no verifier has the method.
	ErrOff = coded.New("method_off", "identity: no verifier for this method")
	// ErrClaim refuses a claim that lacks what its method compares.
	ErrClaim = coded.New("claim_incomplete", "identity: incomplete claim")
	// ErrConsent refuses a check nobody agreed to (T42, T50).
	ErrConsent = coded.New("no_consent", "identity: no consent on record")
	// ErrAttempts refuses one check too many; see [AttemptError].
	ErrAttempts = coded.New("too_many_attempts", "identity: too many attempts")
	// ErrBinding refuses an intent result given for other documents.
	ErrBinding = coded.New("bound_elsewhere", "identity: bound to other documents")
)

// An AttemptError says when the next attempt is allowed. It unwraps to
// [ErrAttempts].
type AttemptError struct{ Next time.Time }

// Error implements error.
func (e *AttemptError) Error() string {
	return "identity: too many attempts: next at " + e.Next.UTC().Format(time.RFC3339)
}

// Unwrap returns [ErrAttempts].
func (e *AttemptError) Unwrap() error { return ErrAttempts }

const (
	maxPerDay   = 5
	maxInRow    = 3
	rowWait     = time.Hour
	pendingLife = 72 * time.Hour
)

var shanghai = time.FixedZone("Asia/Shanghai", 8*3600)

// Attempts counts the checks of one person by one method: five a day
// (Asia/Shanghai), and after three mismatches in a row an hour's wait. It is a
// value, kept by the [Gate].
type Attempts struct {
	Day  string    `json:"day,omitempty"`
	N    int       `json:"n,omitempty"`
	Row  int       `json:"row,omitempty"`
	Last time.Time `json:"last,omitzero"`
}

// Try counts one more attempt at now, before it is made, or fails with
// [*AttemptError].
func (a Attempts) Try(now time.Time) (Attempts, error) {
	local := now.In(shanghai)
	if day := local.Format(time.DateOnly); a.Day != day {
		a.Day, a.N = day, 0
	}
	if a.N >= maxPerDay {
		return a, &AttemptError{Next: time.Date(local.Year(), local.Month(), local.Day()+1, 0, 0, 0, 0, shanghai).UTC()}
	}
	if a.Row >= maxInRow {
		if next := a.Last.Add(rowWait); now.Before(next) {
			return a, &AttemptError{Next: next.UTC()}
		}
		a.Row = 0
	}
	a.N, a.Last = a.N+1, now
	return a, nil
}

// Settle counts what came of an attempt: a match ends the row, a mismatch adds
// to it, and what was unavailable was no attempt.
func (a Attempts) Settle(o Outcome) Attempts {
	switch o {
	case Match:
		a.Row = 0
	case NoMatch:
		a.Row++
	case Unavailable:
		a.N = max(0, a.N-1)
	}
	return a
}

// A Service checks who somebody is and whether they mean it. It holds no state:
// any number of processes may run one. It is safe for concurrent use.
type Service struct {
	verifiers []Verifier
	intents   []IntentVerifier
	ca        CertificateAuthority
	gate      Gate
	vault     *privacy.Vault
	age       func(string) privacy.AgePolicy
	now       func() time.Time
}

// New checks the configuration and returns a Service. It fails with
// [ErrConfig].
func New(c Config) (*Service, error) {
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrConfig, why) }
	names := map[string]bool{}
	for _, v := range c.Verifiers {
		if v == nil || v.Name() == "" || len(v.Name()) > 32 || names[v.Name()] {
			return nil, bad("each verifier has a name of 1 to 32 bytes of its own")
		}
		names[v.Name()] = true
	}
	for _, v := range c.IntentVerifiers {
		if v == nil || v.Name() == "" || len(v.Name()) > 32 || names[v.Name()] {
			return nil, bad("each verifier has a name of 1 to 32 bytes of its own")
		}
		names[v.Name()] = true
	}
	if len(c.Verifiers) > 0 && (c.Gate == nil || c.Vault == nil) {
		return nil, bad("Gate and Vault are required with Verifiers")
	}
	s := &Service{verifiers: slices.Clone(c.Verifiers), intents: slices.Clone(c.IntentVerifiers), ca: c.CA, gate: c.Gate,
		vault: c.Vault, age: c.Age, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	if s.age == nil {
		s.age = func(string) privacy.AgePolicy { return privacy.AgePolicy{} }
	}
	return s, nil
}

// Methods lists what this deployment's verifiers can do.
func (s *Service) Methods() []Method {
	var out []Method
	for _, v := range s.verifiers {
		out = append(out, v.Methods()...)
	}
	for _, v := range s.intents {
		out = append(out, v.Methods()...)
	}
	return out
}

func (s *Service) verifier(id MethodID, kind SubjectKind) (Verifier, Method, error) {
	for _, v := range s.verifiers {
		for _, m := range v.Methods() {
			if m.ID == id && (m.Subject == "" || m.Subject == kind) {
				return v, m, nil
			}
		}
	}
	return nil, Method{}, ErrOff
}

// Start begins a check, in this order: consent, age, local checks, attempts,
// unit, provider; whatever fails earlier costs nothing and is told nobody. The
// same claim under the same key again is one call and one charge. A flow that
// comes back with a Result has ended, unless that is Pending.
//
// It fails with [ErrOff], [ErrClaim], [ErrConsent], privacy.ErrMinor, a
// [*FormError], an [*AttemptError], or the gate's error when no unit is left.
// What the source could not answer is a result, [Unavailable], not an error.
func (s *Service) Start(ctx context.Context, c Claim) (Flow, error) {
	v, m, err := s.verifier(c.Method, c.Kind)
	if err != nil {
		return Flow{}, err
	}
	if c.Key == "" || len(c.Key) > privacy.MaxID || c.Subject.Tenant == "" || c.Subject.ID == "" || c.Kind != Person && c.Kind != Organisation {
		return Flow{}, fmt.Errorf("%w: key, subject or kind", ErrClaim)
	}
	if err := s.vault.Unlock(ctx, c.Subject.Tenant); err != nil {
		return Flow{}, fmt.Errorf("identity: unlock: %w", err)
	}
	if err := c.complete(m); err != nil {
		return Flow{}, err
	}
	if err := s.gate.Consent(ctx, c.Subject, v.Name(), m.Factors); err != nil {
		return Flow{}, err
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	if err := s.local(ctx, c, now); err != nil {
		return Flow{}, err
	}
	f := Flow{Key: c.Key, Subject: c.Subject, Kind: c.Kind, Method: c.Method, Provider: v.Name(), Level: m.Level, Unit: m.Unit, At: now}
	if f.Intent, err = s.intent(c); err != nil {
		return Flow{}, err
	}
	if f.Named, err = index(s.vault, c.Subject.Tenant, c.Name); err != nil {
		return Flow{}, err
	}
	kept, err := s.gate.Open(ctx, f)
	if err != nil {
		return Flow{}, fmt.Errorf("identity: %w", err)
	}
	if kept.Intent != f.Intent || kept.Subject != f.Subject || kept.Method != f.Method {
		return Flow{}, fmt.Errorf("%w: another claim under this key", ErrClaim)
	}
	if kept.Result != nil || kept.TxID != "" {
		return kept.outside(), nil // asked before
	}
	got, err := startVerifier(ctx, v, c)
	if err != nil {
		got.Result = &Result{Outcome: Unavailable}
	}
	kept.TxID, kept.URL = got.TxID, got.URL
	if got.Result != nil {
		kept.Result = s.judged(kept, *got.Result, now)
	}
	if err := s.gate.Close(keep(ctx), kept); err != nil {
		return Flow{}, fmt.Errorf("identity: %w", err)
	}
	return kept.outside(), nil
}

// Complete goes on with a flow: with what the person typed or brought back, or
// with nothing to ask again about a pending one. A flow that ended answers as
// before. After 72 hours a pending check is Unavailable, and its unit is back. It
// fails with [ErrOff], with [ErrClaim] for another claim than was started under the
// key, and with the error of the host's gate.
func (s *Service) Complete(ctx context.Context, f Flow, r Response) (Result, error) {
	v, _, err := s.verifier(f.Method, f.Kind)
	if err != nil {
		return Result{}, err
	}
	kept, err := s.gate.Open(ctx, f)
	if err != nil {
		return Result{}, fmt.Errorf("identity: %w", err)
	}
	if kept.Intent != f.Intent || kept.Subject != f.Subject || kept.Method != f.Method {
		return Result{}, fmt.Errorf("%w: another claim under this key", ErrClaim)
	}
	if kept.Result != nil && kept.Result.Outcome != Pending {
		return *kept.outside().Result, nil
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	res, err := completeVerifier(ctx, v, kept, r)
	if err != nil {
		res = Result{Outcome: Pending} // the source holds the check; it is asked again
	}
	if res.Outcome == Pending && !now.Before(kept.At.Add(pendingLife)) {
		res = Result{Outcome: Unavailable}
	}
	kept.Result = s.judged(kept, res, now)
	if err := s.gate.Close(keep(ctx), kept); err != nil {
		return Result{}, fmt.Errorf("identity: %w", err)
	}
	return *kept.outside().Result, nil
}

// keep lets an answer be kept although the caller left: the source has counted
// it.
func keep(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// Harvests reports whether the verifier of a name keeps evidence for a time.
func (s *Service) Harvests(name string) bool {
	_, ok := s.harvester(name)
	return ok
}

func (s *Service) harvester(name string) (Harvester, bool) {
	for _, v := range s.verifiers {
		if v.Name() == name {
			h, ok := v.(Harvester)
			return h, ok
		}
	}
	return nil, false
}

// Limits of what a harvest may bring.
const (
	maxArtifacts = 32
	maxArtifact  = 64 << 20
)

// ErrHarvest is a harvest that brought nothing, or more than can be true. What
// the provider said is not in it, as it may name a person.
var ErrHarvest = coded.New("nothing_harvested", "identity: nothing harvested")

// Harvest pulls the evidence that the provider of an ended flow still keeps.
// It fails with [ErrOff] where the provider keeps none, and with [ErrHarvest].
func (s *Service) Harvest(ctx context.Context, f Flow) (got []Artifact, err error) {
	h, ok := s.harvester(f.Provider)
	if !ok {
		return nil, ErrOff
	}
	defer func() {
		if recover() != nil { // the text may quote the person
			got, err = nil, ErrHarvest
		}
	}()
	got, err = h.Harvest(ctx, f)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || len(got) == 0 || len(got) > maxArtifacts {
		return nil, ErrHarvest
	}
	for _, a := range got {
		if len(a.Data) > maxArtifact {
			return nil, ErrHarvest
		}
	}
	return got, nil
}

func startVerifier(ctx context.Context, v Verifier, c Claim) (f Flow, err error) {
	defer func() {
		if recover() != nil { // the text may quote the claim
			f, err = Flow{}, errors.New("identity: verifier panicked")
		}
	}()
	return v.Start(ctx, c)
}

func completeVerifier(ctx context.Context, v Verifier, f Flow, r Response) (res Result, err error) {
	defer func() {
		if recover() != nil {
			res, err = Result{}, errors.New("identity: verifier panicked")
		}
	}()
	return v.Complete(ctx, f, r)
}

// judged is a provider's answer as far as it is believed: an unknown outcome or
// a level above the method's own is no answer.
func (s *Service) judged(f Flow, r Result, now time.Time) *Result {
	r.Method, r.Subject, r.Provider = f.Method, f.Kind, f.Provider
	if r.At.IsZero() || r.At.After(now) {
		r.At = now
	}
	r.At = r.At.UTC().Truncate(time.Microsecond)
	if r.TxID == "" {
		r.TxID = f.TxID
	}
	switch r.Outcome {
	case Match:
		if r.Level.rank() < 0 || r.Level.rank() > f.Level.rank() || r.Strength != "" {
			return &Result{Outcome: Unavailable, Method: f.Method, Subject: f.Kind, Provider: f.Provider, At: now}
		}
		if r.Level == "" {
			r.Level = f.Level
		}
		if r.Expires.IsZero() && r.Level.AtLeast(I2) {
			r.Expires = r.At.Add(DefaultFreshness)
		}
	case NoMatch, Pending, Unavailable:
		r.Level, r.Strength, r.Expires = "", "", time.Time{}
	default:
		r = Result{Outcome: Unavailable, Method: f.Method, Subject: f.Kind, Provider: f.Provider, At: now}
	}
	return &r
}

// outside is what the caller may see: of a mismatch nothing by which a register
// could be read.
func (f Flow) outside() Flow {
	if f.Result == nil {
		return f
	}
	r := *f.Result
	if r.Outcome == NoMatch {
		r = Result{Outcome: NoMatch, Method: r.Method, Subject: r.Subject, Provider: r.Provider, At: f.At}
		f.TxID, f.URL = "", ""
	}
	f.Result = &r
	return f
}

// complete reports whether the claim has what the method compares.
func (c Claim) complete(m Method) error {
	have := map[string]bool{"name": !c.Name.IsZero(), "id": !c.Number.IsZero(), "phone": !c.Phone.IsZero(), "card": !c.Card.IsZero(),
		"email": !c.Email.IsZero(), "credit": c.CreditCode != "", "representative": !c.Representative.IsZero(), "account": !c.Card.IsZero()}
	for _, f := range m.Factors {
		if !have[f] {
			return fmt.Errorf("%w: no %s", ErrClaim, f)
		}
	}
	return nil
}

// local does what needs nobody else: age first, before anything is stored or
// sent (P21), then the form of each value.
func (s *Service) local(ctx context.Context, c Claim, now time.Time) error {
	ctx = s.vault.As(ctx, privacy.Accessor{Tenant: c.Subject.Tenant, Account: "identity", Role: "service"})
	clear := func(v privacy.Value) (string, error) {
		if v.IsZero() {
			return "", nil
		}
		text, err := v.Reveal(ctx, privacy.PurposeIdentity)
		if err != nil {
			return "", fmt.Errorf("identity: %w", err)
		}
		return text, nil
	}
	number, err := clear(c.Number)
	if err != nil {
		return err
	}
	birth := c.Birth
	if number != "" {
		facts, err := checkIDNumber(number, now)
		if err != nil {
			return err
		}
		birth = facts.Birth
	}
	if c.Kind == Person {
		if birth == (privacy.Date{}) {
			return fmt.Errorf("%w: neither number nor birth", ErrClaim)
		}
		if err := privacy.CheckAge(birth, now, s.age(c.Subject.Tenant)); err != nil {
			return err
		}
	}
	for _, x := range []struct {
		value privacy.Value
		check func(string) error
	}{
		{c.Name, nameCheck(c.Kind)}, {c.Representative, CheckName}, {c.Phone, phoneCheck}, {c.Card, CheckCard},
	} {
		text, err := clear(x.value)
		if err != nil {
			return err
		}
		if text != "" {
			if err := x.check(text); err != nil {
				return err
			}
		}
	}
	if c.CreditCode != "" {
		if _, err := CheckCreditCode(c.CreditCode); err != nil {
			return err
		}
	}
	return nil
}

// nameCheck is CheckName for people; organisations may be called anything that
// package privacy takes for a name.
func nameCheck(k SubjectKind) func(string) error {
	if k == Person {
		return CheckName
	}
	return func(string) error { return nil }
}

func phoneCheck(s string) error {
	if len(s) > 0 && s[0] == '+' {
		return CheckE164(s)
	}
	_, err := CheckMobile(s)
	return err
}

// intent tells a repeated claim from another one, without a plain digest of
// anything that could be guessed.
func (s *Service) intent(c Claim) (string, error) {
	h := sha256.New()
	part := func(text string) { fmt.Fprintf(h, "%d:%s;", len(text), text) }
	part(string(c.Method))
	part(string(c.Kind))
	part(c.Subject.ID)
	part(c.CreditCode)
	part(c.Birth.String())
	for _, v := range []privacy.Value{c.Name, c.Number, c.Phone, c.Card, c.Email, c.Representative} {
		in, err := index(s.vault, c.Subject.Tenant, v)
		if err != nil {
			return "", err
		}
		part(in)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func index(v *privacy.Vault, tenant string, val privacy.Value) (string, error) {
	if val.IsZero() {
		return "", nil
	}
	b, err := v.BlindIndex(tenant, val)
	if err != nil {
		return "", fmt.Errorf("identity: index: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// Challenge begins an intent check by the first verifier that has the method.
// It fails with [ErrOff] or the verifier's error.
func (s *Service) Challenge(ctx context.Context, i SignIntent) (Challenge, error) {
	for _, v := range s.intents {
		if slices.ContainsFunc(v.Methods(), func(m Method) bool { return m.ID == i.Method }) {
			c, err := v.Challenge(ctx, i)
			if err != nil {
				return Challenge{}, fmt.Errorf("identity: challenge: %w", err)
			}
			c.Method, c.Provider, c.Bound = i.Method, v.Name(), Bind(i.Digests...)
			return c, nil
		}
	}
	return Challenge{}, ErrOff
}

// Verify ends an intent check. A result for other documents is [ErrBinding],
// one stronger than the method gives is Unavailable.
func (s *Service) Verify(ctx context.Context, c Challenge, r Response) (Result, error) {
	for _, v := range s.intents {
		if v.Name() != c.Provider {
			continue
		}
		i := slices.IndexFunc(v.Methods(), func(m Method) bool { return m.ID == c.Method })
		if i < 0 {
			break
		}
		now := s.now().UTC().Truncate(time.Microsecond)
		if !c.Expires.IsZero() && !now.Before(c.Expires) {
			return Result{Outcome: NoMatch, Method: c.Method, Provider: c.Provider, At: now}, nil
		}
		res, err := v.Verify(ctx, c, r)
		if err != nil {
			return Result{Outcome: Unavailable, Method: c.Method, Provider: c.Provider, At: now}, nil
		}
		if res.Outcome == Match && res.Bound != c.Bound {
			return Result{}, ErrBinding
		}
		res.Method, res.Provider, res.At = c.Method, c.Provider, now
		if res.Strength.rank() < 0 || res.Strength.rank() > v.Methods()[i].Strength.rank() || !slices.Contains([]Outcome{Match, NoMatch, Unavailable, Pending}, res.Outcome) {
			return Result{Outcome: Unavailable, Method: c.Method, Provider: c.Provider, At: now}, nil
		}
		return res, nil
	}
	return Result{}, ErrOff
}
