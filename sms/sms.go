package sms

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// Config makes a Service. esign.New fills Store, Vault, Quota, Resolve, Events, Now
// and Logger, of which Resolve and Events must be nil, and Terms where it is nil.
type Config struct {
	// Store keeps messages, challenges and limits. Required.
	Store storage.Store
	// Vault holds numbers and values. Required.
	Vault *privacy.Vault
	// Gateways are asked in this order. Empty: texts are refused with ErrNoGateway.
	Gateways []Gateway
	// Catalogue declares templates and signatures for all tenants.
	Catalogue Catalogue
	// Peppers derive codes, new ones from the first. Keep a former one for ten
	// minutes after a change. Empty: no codes, ErrNoPepper.
	Peppers []Pepper
	// Policy and Limits hold the numbers; zero fields are the defaults.
	Policy Policy
	Limits Limits
	// Terms has the agreement on texts, [AgreementDocument]: where it is published,
	// its first use accepts it and it runs for a year (S01, S34). Nil: not asked.
	Terms *privacy.Terms
	// Quota holds and captures units of metered texts (S06); nil: nothing is metered.
	Quota *quota.Ledger
	// Content judges each rendered text before it is sent (S14); nil: not judged.
	Content ContentPolicy
	// Resolve says, at submission, where a text with a Ref goes and what it says,
	// or drops it with ErrDropped. Nil: texts with a Ref are refused.
	Resolve func(ctx context.Context, tx *storage.Tx, m Message) (Resolved, error)
	// Events is told, within the commit that makes it so, what became of a text or
	// code; an error refuses the commit. Nil: nobody is told.
	Events func(ctx context.Context, tx *storage.Tx, e Event) error
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Logger hears of gateways that misbehave; nil is silent.
	Logger *slog.Logger
}

// Policy holds the choices a deployment may make. The zero Policy is the
// default of every field.
//
// A CodeTemplate must have the variable code, and may have minutes; bound to a
// digest, as every code that package esign signs by, it must also have title and
// digest, which is given the digest's first four characters.
type Policy struct {
	Signature     string        // heads texts that name none
	CodeTemplate  string        // of challenges that name none; zero: "code"
	CodeLife      time.Duration // zero: 5 min; at most 10
	ProofLife     time.Duration // from a right code to its use; zero: 10 min, at most an hour
	International []string      // country codes texts may go to beside 86, as "852"; empty: none
	LinkHosts     []string      // hosts a link variable may name
	FilingWarns   bool          // an unfiled signature is logged, not refused: numbers are ported
	QuietDefers   bool          // marketing between 20:00 and 08:00 waits until 08:00, else it is refused
	Timeout       time.Duration // of one submission; zero: 20 s, at most a minute
	Tries         int           // submissions of one text, each after a definitive no; zero: 4
	QueueLife     time.Duration // a notice not handed over by then is dropped; zero: 24 h, at most 72 h
	Workers       int           // texts submitted side by side; zero: 4
	// Keep is how long a final text, and its code, is kept after it was queued: seven
	// days to five years; zero: 180 days. The tallies of its days stay (S24).
	Keep time.Duration
}

// A Window allows N events in any span of Per.
type Window struct {
	N   int
	Per time.Duration
}

// Limits are rolling windows (S18). A nil field is the default; an empty,
// non-nil one is no limit.
//
// A notice that finds its window full is refused when it is queued, and dropped
// where its number is known only at submission, as with invitations of package
// esign: of two contracts of one title sent to a person within Same, the second
// is not told of, so let titles or links differ.
type Limits struct {
	Code    []Window // codes to a number under one signature; 1/min, 5/h, 10/24 h
	Phone   []Window // codes to a number; 40/24 h
	Notice  []Window // notices to a number by one template; 50/24 h
	Same    []Window // one text to a number; 1/30 s
	IP      []Window // codes asked from one network (/24, /48); 10/h, 30/24 h
	Account []Window // codes asked by one account; 20/24 h
	// Budget is the most billed messages a tenant may queue in a day
	// (Asia/Shanghai), whatever it has paid for; zero: no bound.
	Budget int
}

// A ContentPolicy judges what is about to be sent. Most programs use none or
// their provider's; the method is for those who write one.
//
// Judge sees the rendered text, since variables are the way around the review of
// templates, outside any commit. It answers Allow, Refuse or Hold with the id
// of a rule, which alone is kept (S14, S16, S17). An error holds the text back
// and asks again later.
type ContentPolicy interface {
	Judge(ctx context.Context, c Content) (Ruling, error)
}

// Content is a rendered text. It prints without the text.
type Content struct {
	Tenant   string
	Kind     Kind
	Template string
	Text     Secret
}

// A Verdict is what a [ContentPolicy] decides.
type Verdict string

// The verdicts of a [ContentPolicy].
const (
	Allow  Verdict = "allow"
	Refuse Verdict = "refuse"
	Hold   Verdict = "hold" // until an operator decides
)

// A Ruling is a verdict and the rule it rests on.
type Ruling struct {
	Verdict Verdict
	Rule    string
}

// Resolved is what Config.Resolve returns.
type Resolved struct {
	To   privacy.Ref // the address now; required
	Vars Values      // beside those of the message; not stored; those the template does not name are passed over
}

// A ConsentError says for which kind of text there is no consent. It unwraps to
// [ErrNoConsent].
type ConsentError struct {
	Kind Kind
	Why  string // "none", "withdrawn", "basis"
}

// Error implements error.
func (e *ConsentError) Error() string { return "sms: no consent to " + string(e.Kind) + ": " + e.Why }

// Unwrap returns [ErrNoConsent].
func (e *ConsentError) Unwrap() error { return ErrNoConsent }

// A LimitError says which limit refused and when it ends. It unwraps to
// [ErrLimited].
type LimitError struct {
	Scope string // "code", "phone", "notice", "same", "ip", "account", "resend", "lock", "breaker", "budget"
	Next  time.Time
}

// Error implements error.
func (e *LimitError) Error() string {
	if e.Next.IsZero() {
		return "sms: limited: " + e.Scope
	}
	return "sms: limited: " + e.Scope + ": until " + e.Next.UTC().Format(time.RFC3339)
}

// Unwrap returns [ErrLimited].
func (e *LimitError) Unwrap() error { return ErrLimited }

func badRequest(why string) error { return fmt.Errorf("%w: %s", ErrRequest, why) }

// An EventType names what became of a text or code.
type EventType string

// The types of [Event].
const (
	EventQueued        EventType = "sms.queued"
	EventSubmitting    EventType = "sms.submitting"
	EventAccepted      EventType = "sms.accepted"
	EventRejected      EventType = "sms.rejected"
	EventUnknown       EventType = "sms.unknown"
	EventUnresolved    EventType = "sms.unresolved"
	EventDropped       EventType = "sms.dropped"
	EventDelivered     EventType = "sms.delivered"
	EventUndeliverable EventType = "sms.undeliverable"
	EventCodeIssued    EventType = "code.issued"
	EventCodeDenied    EventType = "code.denied" // Reason says why; nobody outside learns it
	EventCodeRight     EventType = "code.right"
	EventCodeUsed      EventType = "code.used"
)

// An Event tells Config.Events what became of a text or code. It holds nothing
// personal and nothing of a code; To lets the listener commit to the number.
type Event struct {
	Type       EventType
	At         time.Time
	Tenant     string
	Message    string // the id of the text
	Ref        string // as given with the text or challenge
	Kind       Kind
	Template   string
	Version    int
	Signature  string
	To         privacy.Ref // zero until resolved
	Gateway    string
	ProviderID string
	Reason     string
	Units      int // charged
	Challenge  string
	Purpose    string
	Envelope   string
}

// A Service queues texts, hands them to gateways, and checks one-time codes. It
// holds no state of its own: any number of processes may run one over the same
// store. It is safe for concurrent use.
type Service struct {
	store    storage.Store
	vault    *privacy.Vault
	gateways []Gateway
	cat      Catalogue
	peppers  []Pepper
	policy   Policy
	limits   Limits
	terms    *privacy.Terms
	quota    *quota.Ledger
	content  ContentPolicy
	resolve  func(context.Context, *storage.Tx, Message) (Resolved, error)
	events   func(context.Context, *storage.Tx, Event) error
	now      func() time.Time
	log      *slog.Logger
}

// New checks the configuration and returns a Service. It fails with [ErrConfig]
// or [ErrTemplate].
func New(c Config) (*Service, error) {
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrConfig, why) }
	if c.Store == nil || c.Vault == nil {
		return nil, bad("Store and Vault are required")
	}
	names := map[string]bool{}
	for _, g := range c.Gateways {
		switch {
		case g == nil:
			return nil, bad("nil gateway")
		case g.Name() == "" || len(g.Name()) > 32 || g.Name() == AnyGateway:
			return nil, bad("a gateway's name has 1 to 32 bytes")
		case names[g.Name()]:
			return nil, bad("two gateways named " + g.Name())
		}
		names[g.Name()] = true
	}
	seen := map[string]bool{}
	for _, p := range c.Peppers {
		if p.ID == "" || len(p.ID) > 16 || len(p.Key) < 32 || seen[p.ID] {
			return nil, bad("a pepper has its own id of 1 to 16 bytes and a key of 32 or more")
		}
		seen[p.ID] = true
	}
	for _, t := range c.Catalogue.Templates {
		if err := t.Validate(); err != nil {
			return nil, err
		}
	}
	for _, s := range c.Catalogue.Signatures {
		if err := s.Validate(); err != nil {
			return nil, err
		}
	}
	p := c.Policy
	for _, d := range []struct {
		field      *time.Duration
		zero, most time.Duration
	}{{&p.CodeLife, 5 * time.Minute, 10 * time.Minute}, {&p.ProofLife, 10 * time.Minute, time.Hour},
		{&p.Timeout, 20 * time.Second, time.Minute}, {&p.QueueLife, 24 * time.Hour, 72 * time.Hour}} {
		if *d.field == 0 {
			*d.field = d.zero
		}
		if *d.field < 0 || *d.field > d.most {
			return nil, bad("a duration of Policy is out of range")
		}
	}
	if p.CodeTemplate == "" {
		p.CodeTemplate = "code"
	}
	if p.Tries == 0 {
		p.Tries = 4
	}
	if p.Workers == 0 {
		p.Workers = 4
	}
	if p.Keep == 0 {
		p.Keep = 180 * 24 * time.Hour
	}
	if p.Keep < 7*24*time.Hour || p.Keep > 5*366*24*time.Hour {
		return nil, bad("Policy.Keep is out of range")
	}
	if p.Tries < 0 || p.Workers < 0 || c.Limits.Budget < 0 {
		return nil, bad("negative Tries, Workers or Budget")
	}
	s := &Service{store: c.Store, vault: c.Vault, gateways: slices.Clone(c.Gateways), cat: Catalogue{
		Templates: slices.Clone(c.Catalogue.Templates), Signatures: slices.Clone(c.Catalogue.Signatures)},
		peppers: slices.Clone(c.Peppers), policy: p, limits: c.Limits.filled(), terms: c.Terms, quota: c.Quota, content: c.Content,
		resolve: c.Resolve, events: c.Events, now: c.Now, log: c.Logger}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

func (l Limits) filled() Limits {
	day := 24 * time.Hour
	for _, d := range []struct {
		field *[]Window
		zero  []Window
	}{
		{&l.Code, []Window{{1, time.Minute}, {5, time.Hour}, {10, day}}},
		{&l.Phone, []Window{{40, day}}},
		{&l.Notice, []Window{{50, day}}},
		{&l.Same, []Window{{1, 30 * time.Second}}},
		{&l.IP, []Window{{10, time.Hour}, {30, day}}},
		{&l.Account, []Window{{20, day}}},
	} {
		if *d.field == nil {
			*d.field = d.zero
		}
	}
	return l
}

// tell passes an event to the host within the commit.
func (s *Service) tell(ctx context.Context, tx *storage.Tx, e Event) error {
	if s.events == nil {
		return nil
	}
	e.At = tx.Now(s.now)
	return s.events(ctx, tx, e)
}

// as is a context in which the service itself reads numbers of a tenant, on the
// record.
func (s *Service) as(ctx context.Context, tenant string) context.Context {
	return s.vault.As(ctx, privacy.Accessor{Tenant: tenant, Account: "sms", Role: "service"})
}

// unlock brings a tenant's keys into memory, as every form without Tx does
// before its Update.
func (s *Service) unlock(ctx context.Context, tenant string) error {
	if tenant == "" || tenant == storage.Deployment {
		return badRequest("no tenant")
	}
	if err := s.vault.Unlock(ctx, tenant); err != nil {
		return fmt.Errorf("sms: unlock: %w", err)
	}
	return nil
}
