package esign

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// Config is what [New] composes a [Service] of. The parts' own Configs hold
// what is theirs to choose; New fills in their store, clock, logger and hooks.
type Config struct {
	// Store keeps every record. Required.
	Store storage.Store
	// Blobs keeps documents. Required.
	Blobs storage.Blobs
	// Keys gives signing keys and certificates. Required without Identity.CA; nil
	// asks that authority for a certificate for each signature, which it gives
	// only whoever's real name was confirmed (T11).
	Keys KeySource
	// TSA timestamps signatures; nil: signatures stay at level B-B, and the time
	// of signing is only claimed.
	TSA pades.Timestamper
	// Policy holds numbers, channels and checks.
	Policy Policy

	// SMS sends texts and codes. Without Gateways, only channels that the host
	// delivers are open, and no one-time codes.
	SMS sms.Config
	// Identity verifies who somebody is. Without Verifiers, only what codes prove.
	Identity identity.Config
	// Evidence needs its LogSigner and Origin. Required. Without Anchors, the TSA
	// is the anchor; an empty, non-nil list is none.
	Evidence evidence.Config
	// Privacy needs its Root key. Required.
	Privacy privacy.Config
	// Quota keeps units. The zero Config is the agreement's rules.
	Quota quota.Config
	// Membership sells them. Without a Catalogue nothing is metered: every line
	// is free, with the reason "unmetered" (D01).
	Membership membership.Config

	// Now is the clock; nil is [time.Now].
	Now func() time.Time
	// Logger is told about work that failed and will be tried again; nil is silent.
	Logger *slog.Logger
	// Observer is told how often and how long the store is used, and by reason what
	// was refused, charged and free; nil: nothing is measured. Package
	// storage/observe has two. Quota.Observer and Membership.Observer go before it.
	Observer storage.Observer
}

// Policy holds a deployment's choices. The zero Policy is the default of every
// field.
type Policy struct {
	// Rules are kept with each envelope when it is sent.
	Rules Rules
	// Level is what a completed document reaches; "" is B-T with a TSA, else B-B.
	Level pades.Profile
	// Channels declares how the host reaches people beside SMS, and whether
	// units come back to a sender that revokes (D02). WeChat is refundable
	// whatever is declared (H17).
	Channels map[Channel]ChannelPolicy
	// Owner tells owners and approvers, whom no channel reaches; nil: the host learns
	// of what happened from the timeline.
	Owner Messenger
	// Alarm is called where work keeps failing and somebody should look: with the
	// envelope, if it is one's, and a name such as "finalize.failed" or
	// "render.failed". It must not block, may be called again for the same thing, and
	// is called outside any commit; nil: the Logger alone is told, as an error.
	Alarm func(tenant, envelope, what string)
	// Texts names the message template for what a recipient is told by SMS, by
	// event type; nil is {"recipient.invited": "invite"}. Without a template of
	// its own an event is not told by SMS. A template may use the variables
	// title, sender, deadline and, with Link set, link. Codes to sign by have a
	// template of their own: see sms.Policy.CodeTemplate.
	Texts map[string]string
	// ViewCode names the message template of codes to view a real-name file by,
	// with the variables code and minutes; "" is "login".
	ViewCode string
	// Sender names whoever sends an envelope, in texts; nil: by organisation or
	// account id.
	Sender func(tenant string, owner Party) string
	// Link gives the https link of an invitation; nil: texts carry none.
	Link func(tenant, envelope, recipient string) string
	// MeterTexts lets invitations, reminders and codes draw units of the sender.
	MeterTexts bool
	// Screen judges documents before they are accepted (H25); nil: not judged.
	Screen ContentScreen
	// MaxDocument bounds one file in bytes; 0 is 64 MiB.
	MaxDocument int64
	// Poll is how often Run looks for work that nobody announced; 0 is 1 s.
	Poll time.Duration
}

// A ChannelPolicy declares a channel.
type ChannelPolicy struct {
	// Refundable says that revoking returns the units of whoever was reached
	// through it (D02).
	Refundable bool
	// Messenger delivers notices; nil: the host learns of them by itself.
	Messenger Messenger
}

// A Messenger delivers notices through a channel of the host. Most programs
// need it only where they invite by other means than SMS.
//
// Deliver is called outside any commit and at least once per notice: an error
// makes it come again later, with the same ID. It must be safe for concurrent
// use and may return ctx.Err.
type Messenger interface {
	Deliver(ctx context.Context, n Notice) error
}

// A Notice tells one party of an event.
type Notice struct {
	ID        string // the same whenever it comes again
	Tenant    string
	Envelope  string
	Recipient string // the row that is told; empty: the owner or an approver
	Account   string // whom the notice is for, where known
	Event     string // type of the event it tells of
	At        time.Time
	// Receipt is an [evidence.Receipt] as JSON, with a notice of "receipt.issued": for
	// the party to keep. Fingerprint is 16 characters of it, for people.
	Receipt     []byte `json:",omitempty"`
	Fingerprint string `json:",omitempty"`
}

// A ContentScreen judges what is about to be sent (H25, T34). It is called
// outside any commit. A refusal is its error, which Upload returns wrapped in
// [ErrScreened]; the error is logged nowhere.
type ContentScreen interface {
	Screen(ctx context.Context, tenant, name string, document io.ReaderAt, size int64) error
}

// A KeySource gives the key that signs for a recipient, and its certificate
// chain, leaf first. It may issue a certificate for the occasion; keys in an
// HSM or KMS are [crypto.Signer] values that sign there. It is called outside
// any commit, may be called again for the same recipient, and must be safe for
// concurrent use.
type KeySource interface {
	Key(ctx context.Context, r KeyRequest) (crypto.Signer, []*x509.Certificate, error)
}

// A KeyRequest says for whom a key is asked. To put the name into a certificate,
// open Name with [privacy.Vault.Reveal] for [privacy.PurposeSigning], under an
// accessor of the tenant ([privacy.Vault.As]), in the vault of [Service.Privacy];
// what it gives tells the text for the same purpose.
type KeyRequest struct {
	Tenant, Envelope, Recipient string
	Subject                     privacy.Subject
	Name                        privacy.Ref
}

func badConfig(why string) error { return fmt.Errorf("%w: %s", ErrConfig, why) }

// A Service runs envelopes. It keeps no state but caches: any number of
// processes may run one over the same store and blobs. It is safe for
// concurrent use.
type Service struct {
	store  storage.Store
	blobs  storage.Blobs
	keys   KeySource
	tsa    pades.Timestamper
	policy Policy
	now    func() time.Time
	log    *slog.Logger

	sms        *sms.Service
	identity   *identity.Service
	evidence   *evidence.Log
	vault      *privacy.Vault
	terms      *privacy.Terms
	quota      *quota.Ledger
	membership *membership.Service

	wake chan struct{} // a commit queued work for Run
}

// New checks c and composes a Service. It reads and writes nothing. It fails
// with [ErrConfig], or with the error of the part that refused its Config.
func New(c Config) (*Service, error) {
	switch {
	case c.Store == nil:
		return nil, badConfig("Store is required")
	case c.Blobs == nil:
		return nil, badConfig("Blobs is required")
	case c.Keys == nil && c.Identity.CA == nil:
		return nil, badConfig("Keys or Identity.CA is required")
	case c.Policy.MaxDocument < 0 || c.Policy.Poll < 0:
		return nil, badConfig("negative Policy.MaxDocument or Poll")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	policy, err := c.Policy.filled(c.TSA != nil)
	if err != nil {
		return nil, err
	}
	s := &Service{blobs: c.Blobs, keys: c.Keys, tsa: c.TSA, policy: policy, now: c.Now, log: c.Logger,
		wake: make(chan struct{}, 1)}
	if s.keys == nil {
		s.keys = issuer{s, c.Identity.CA}
	}
	s.store = storage.Group(c.Store, &storage.GroupOptions{Observer: c.Observer})
	return s, s.compose(c)
}

// filled returns the policy with its defaults.
func (p Policy) filled(tsa bool) (Policy, error) {
	switch p.Level {
	case "":
		p.Level = pades.ProfileBB
		if tsa {
			p.Level = pades.ProfileBT
		}
	case pades.ProfileBB:
	case pades.ProfileBT:
		if !tsa {
			return p, badConfig("Policy.Level needs a TSA")
		}
	default:
		return p, fmt.Errorf("%w: Policy.Level %s: %w", ErrConfig, p.Level, ErrNotOffered)
	}
	p.Channels = maps.Clone(p.Channels)
	if w, ok := p.Channels[ChannelWeChat]; ok && !w.Refundable {
		return p, badConfig("units of WeChat recipients come back (H17)")
	}
	if m, ok := p.Channels[ChannelSMS]; ok && (m.Refundable || m.Messenger != nil) {
		return p, badConfig("texts go through SMS alone, and their units never come back (H18)")
	}
	if p.Texts == nil {
		p.Texts = map[string]string{"recipient.invited": "invite"}
	}
	p.ViewCode = or(p.ViewCode, "login")
	if p.MaxDocument == 0 {
		p.MaxDocument = 64 << 20
	}
	if p.Poll == 0 {
		p.Poll = time.Second
	}
	return p, nil
}

// compose builds the parts on one store and one clock.
func (s *Service) compose(c Config) (err error) {
	c.Privacy.Store, c.Privacy.Now, c.Privacy.Logger = s.store, s.now, s.log
	if s.vault, err = privacy.New(c.Privacy); err != nil {
		return err
	}
	c.Quota.Store, c.Quota.Now = s.store, s.now
	if c.Quota.Observer == nil {
		c.Quota.Observer = c.Observer
	}
	if c.Membership.Observer == nil {
		c.Membership.Observer = c.Observer
	}
	channels := maps.Clone(c.Quota.Channels)
	for name, ch := range s.policy.Channels {
		if name == ChannelWeChat || name == ChannelSMS {
			continue
		}
		if channels == nil {
			channels = map[quota.Channel]bool{}
		}
		channels[quota.Channel(name)] = ch.Refundable
	}
	c.Quota.Channels = channels
	c.Quota.RemindersReturn = c.Quota.RemindersReturn || s.policy.Rules.RemindersUnmarked
	if s.quota, err = quota.New(c.Quota); err != nil {
		return err
	}
	s.terms = &privacy.Terms{Store: s.store, Now: s.now}
	c.Membership.Store, c.Membership.Ledger, c.Membership.Terms, c.Membership.Now = s.store, s.quota, s.terms, s.now
	if s.membership, err = membership.New(c.Membership); err != nil {
		return err
	}
	c.Evidence.Store, c.Evidence.Vault, c.Evidence.Now, c.Evidence.Logger = s.store, s.vault, s.now, s.log
	if c.TSA != nil && c.Evidence.Anchors == nil {
		c.Evidence.Anchors = []evidence.Anchor{evidence.TSA{Client: c.TSA}}
	}
	if c.Evidence.Meter == nil {
		c.Evidence.Meter = meter{s}
	}
	if s.evidence, err = evidence.New(c.Evidence); err != nil {
		return err
	}
	c.SMS.Store, c.SMS.Vault, c.SMS.Quota, c.SMS.Now, c.SMS.Logger = s.store, s.vault, s.quota, s.now, s.log
	if c.SMS.Terms == nil {
		c.SMS.Terms = s.terms
	}
	if c.SMS.Resolve != nil || c.SMS.Events != nil {
		return badConfig("SMS.Resolve and SMS.Events are set by the service")
	}
	c.SMS.Resolve, c.SMS.Events = s.resolveText, s.textEvent
	if s.sms, err = sms.New(c.SMS); err != nil {
		return err
	}
	c.Identity.Vault, c.Identity.Now = s.vault, s.now
	if c.Identity.Gate == nil {
		c.Identity.Gate = gate{s}
	}
	if s.identity, err = identity.New(c.Identity); err != nil {
		return err
	}
	return nil
}

// Quota is the ledger of units.
func (s *Service) Quota() *quota.Ledger { return s.quota }

// Membership sells plans and units.
func (s *Service) Membership() *membership.Service { return s.membership }

// Evidence is the record of who did what.
func (s *Service) Evidence() *evidence.Log { return s.evidence }

// SMS sends texts and checks codes.
func (s *Service) SMS() *sms.Service { return s.sms }

// Identity verifies who somebody is.
func (s *Service) Identity() *identity.Service { return s.identity }

// Privacy keeps personal data.
func (s *Service) Privacy() *privacy.Vault { return s.vault }

// Terms keeps published agreements and who accepted them.
func (s *Service) Terms() *privacy.Terms { return s.terms }

// channels are those that the host declared.
func (s *Service) channels() []Channel {
	return slices.Sorted(maps.Keys(s.policy.Channels))
}
