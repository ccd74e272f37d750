package esign

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// A Check asks to have a real name (实名) compared with an authoritative source.
// Claim holds the method and what it compares; Kind [identity.Organisation] is
// about the actor's Org, the zero Kind about the actor. Key and Subject are set
// here and must be zero.
type Check struct {
	ID    string
	Claim identity.Claim
}

// A CheckResponse goes on with a check: with what the person typed or brought
// back, or with nothing, to ask about a pending one.
type CheckResponse struct {
	ID       string // of the [Check]
	Response identity.Response
}

// StartCheck has the actor's real name compared, or that of the organisation it
// acts for. What matches counts for every envelope of that account, 365 days at
// most. It commits alone and has no Tx form, as it asks somebody outside: a unit
// is held before, used by a match or a mismatch, and back if there was no
// answer; a pending check holds it 72 hours at most. Repeated under its id it
// asks nobody twice, costs nothing and answers the same.
//
// A person's check needs a unit of the account's own idcheck.person lot, an
// organisation's one of an idcheck.org lot that the acting member bought (H40,
// H41, H44): without, it fails with [*quota.InsufficientError] before anybody is
// asked. It fails with [ErrTermsNotAccepted], [ErrIntentMismatch],
// [ErrForbidden] for an organisation that the actor does not act for, and as
// [identity.Service.Start] does. A mismatch is a result, not an error.
func (s *Service) StartCheck(ctx context.Context, a Actor, c Check) (identity.Flow, error) {
	if err := a.check(); err != nil {
		return identity.Flow{}, err
	}
	if err := checkID("id", c.ID); err != nil {
		return identity.Flow{}, err
	}
	if c.Claim.Key != "" || c.Claim.Subject != (privacy.Subject{}) {
		return identity.Flow{}, badField("claim", "has a key or a subject of its own")
	}
	c.Claim.Key = checkKey(a.Tenant, c.ID)
	c.Claim.Kind = or(c.Claim.Kind, identity.Person)
	c.Claim.Subject = privacy.Subject{Tenant: a.Tenant, ID: a.Account}
	if c.Claim.Kind == identity.Organisation {
		if a.Org == "" {
			return identity.Flow{}, ErrForbidden
		}
		c.Claim.Subject.ID = a.Org
	}
	f, err := s.identity.Start(withActor(ctx, a), c.Claim)
	if errors.Is(err, privacy.ErrMinor) {
		err = errors.Join(err, s.vault.CountMinor(ctx, a.Tenant)) // all that is kept of it (P21)
	}
	if err != nil {
		return identity.Flow{}, err
	}
	return tidy(f), nil
}

// CompleteCheck goes on with a check that [Service.StartCheck] began; one that
// ended answers as before. It fails with [ErrNotFound] for a check that is not
// the actor's or its organisation's, and as [identity.Service.Complete] does.
func (s *Service) CompleteCheck(ctx context.Context, a Actor, r CheckResponse) (identity.Result, error) {
	if err := a.check(); err != nil {
		return identity.Result{}, err
	}
	if err := checkID("id", r.ID); err != nil {
		return identity.Result{}, err
	}
	if err := s.vault.Unlock(ctx, a.Tenant); err != nil {
		return identity.Result{}, err
	}
	f, err := storage.ViewValue(ctx, s.store, func(tx *storage.Tx) (identity.Flow, error) {
		c, _, err := checks.Get(tx, a.Tenant, checkKey(a.Tenant, r.ID))
		return c.Flow, err
	})
	if err != nil {
		return identity.Result{}, err
	}
	mine := f.Kind == identity.Person && f.Subject.ID == a.Account || f.Kind == identity.Organisation && f.Subject.ID == a.Org
	if !mine || f.Result == nil && f.TxID == "" && f.URL == "" {
		return identity.Result{}, ErrNotFound
	}
	res, err := s.identity.Complete(withActor(ctx, a), f, r.Response)
	if err != nil {
		return identity.Result{}, err
	}
	f.Result = &res
	return *tidy(f).Result, nil
}

// checkKey names a check to those who compare, for whom ids of all tenants are
// one name space.
func checkKey(tenant, id string) string {
	sum := sha256.Sum256([]byte("countersign/check/v1\x00" + storage.JoinID(tenant, id)))
	return hex.EncodeToString(sum[:])
}

// actorKey carries the actor of a check through package identity to the gate.
type actorKey struct{}

func withActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// known is what is known of an account, or of an organisation.
type known struct {
	Results []identity.Result `json:"results"`
	// Attempts are those of each method, for identity's limits.
	Attempts map[identity.MethodID]identity.Attempts `json:"attempts,omitempty"`
	// Proof is the last check that matched at I2 or above: what a certificate is
	// asked for with (T11).
	Proof string `json:"proof,omitempty"`
}

var identities = storage.Kind[known]{Name: "esign.identity", Schema: 1}

// knownAs is the id of that record: an organisation is not the account of the
// same name.
func knownAs(kind identity.SubjectKind, id string) string {
	if kind == identity.Organisation {
		return storage.JoinID("org", id)
	}
	return id
}

func (k *known) count(m identity.MethodID, n identity.Attempts) {
	if k.Attempts == nil {
		k.Attempts = map[identity.MethodID]identity.Attempts{}
	}
	k.Attempts[m] = n
}

// keep adds a result, in the place of those that say no more than it does.
func (k *known) keep(r identity.Result, now time.Time) {
	level, _ := r.Counted()
	end := identity.Until(identity.Requirement{MinIdentity: level}, []identity.Result{r}, now)
	k.Results = slices.DeleteFunc(k.Results, func(old identity.Result) bool {
		was, _ := old.Counted()
		ends := identity.Until(identity.Requirement{MinIdentity: was}, []identity.Result{old}, now)
		if !ends.IsZero() && !ends.After(now) {
			return true
		}
		return old.Method == r.Method && level.AtLeast(was) && (end.IsZero() || !ends.IsZero() && !ends.After(end))
	})
	k.Results = append(k.Results, r)
}

func (s *Service) results(tx *storage.Tx, tenant string, kind identity.SubjectKind, id string) ([]identity.Result, error) {
	k, _, err := identities.Get(tx, tenant, knownAs(kind, id))
	return k.Results, err
}

// standing is how far a row's identity goes for signing: its level, whether that
// is enough, and until when. Whoever acts for an organisation needs what a
// register confirms for both.
func (x *work) standing(r *Recipient, own []identity.Result) (f Facts, err error) {
	now := x.tx.Now(x.s.now)
	q := r.Sign
	q.MinIntent = "" // intent is proved for each signature
	f.Level, f.Until = levelOf(own, now), identity.Until(q, own, now)
	f.Identified = f.Until.IsZero() || f.Until.After(now)
	if !r.organisational() {
		return f, nil
	}
	orgs, err := x.s.results(x.tx, x.env.Tenant, identity.Organisation, r.Party.Org)
	if err != nil {
		return f, err
	}
	if l := levelOf(orgs, now); f.Level.AtLeast(l) {
		f.Level = l
	}
	until := identity.Until(q, orgs, now)
	f.Identified = f.Identified && (until.IsZero() || until.After(now))
	if f.Until.IsZero() || !until.IsZero() && until.Before(f.Until) {
		f.Until = until
	}
	return f, nil
}

// organisational: the row signs for an organisation whose identity a register
// must confirm.
func (r *Recipient) organisational() bool {
	return (r.Role.sealed() || r.Role == RoleRepresentative) && r.Sign.MinIdentity.AtLeast(identity.I2)
}

// levelOf is the highest level that still holds.
func levelOf(have []identity.Result, now time.Time) identity.Level {
	for _, l := range []identity.Level{identity.I4, identity.I3, identity.I2, identity.I1} {
		if identity.Evaluate(identity.Requirement{MinIdentity: l}, have, now).Verdict == identity.Satisfied {
			return l
		}
	}
	return identity.I0
}

// confirmed is what registers said of whoever signs a row, for its evidence
// (T12, T17).
func (x *work) confirmed(r *Recipient) ([]evidence.Auth, error) {
	have, err := x.s.results(x.tx, x.env.Tenant, identity.Person, r.Party.Account)
	if err == nil && r.organisational() {
		var orgs []identity.Result
		orgs, err = x.s.results(x.tx, x.env.Tenant, identity.Organisation, r.Party.Org)
		have = append(have, orgs...)
	}
	var out []evidence.Auth
	now := x.tx.Now(x.s.now)
	for _, h := range have {
		if levelOf([]identity.Result{h}, now).AtLeast(identity.I2) {
			out = append(out, authOf(h))
		}
	}
	return out, err
}

// holdsPhone is what a code proves on the identity axis. The invitation carries
// no right of its own, so it lowers nothing that it went over the same channel.
func holdsPhone(at time.Time) identity.Result {
	return identity.Result{Outcome: identity.Match, Method: identity.PhoneCode, Subject: identity.Person, Level: identity.I1, At: at}
}

// viewBinding is what a proof must have been given for to view a row's
// documents: the envelope and the row's number as it is now.
func (x *work) viewBinding(r *Recipient) sms.Binding {
	return sms.Binding{To: r.Address, Purpose: string(CodeToView), Envelope: x.env.ID}
}

// couldView refuses what Open would refuse for more than a code proves.
func (x *work) couldView(r *Recipient) error {
	if r.Address.Field != privacy.FieldPhone {
		return badField("contact.phone", "is needed for a code")
	}
	now := x.tx.Now(x.s.now)
	f, err := x.facts(r, []identity.Result{holdsPhone(now)})
	if err != nil {
		return err
	}
	_, _, _, err = Apply(x.env.clone(), Command{Op: OpOpen, By: WhoRecipient, Recipient: r.ID, Facts: f}, now)
	return x.s.stepUp(err, r)
}

// proveView spends the proof of a code to view by, if there is one, and keeps
// what it shows with the account: its phone answered.
func (x *work) proveView(ctx context.Context, r *Recipient, p Intent) ([]identity.Result, []evidence.Auth, error) {
	if p == (Intent{}) {
		return nil, nil, nil
	}
	if p.Method != string(identity.PhoneCode) || p.Code.Tenant != x.env.Tenant {
		return nil, nil, sms.ErrProof
	}
	e, err := x.s.sms.ConsumeTx(withActor(ctx, x.a), x.tx, p.Code, x.viewBinding(r))
	if err != nil {
		return nil, nil, err
	}
	got := holdsPhone(e.Checked)
	got.Provider, got.TxID, got.Evidence.Challenge = e.Gateway, e.ProviderID, e.Challenge
	k, _, err := identities.Get(x.tx, x.env.Tenant, r.Party.Account)
	if err != nil {
		return nil, nil, err
	}
	k.keep(got, x.tx.Now(x.s.now))
	return []identity.Result{got}, []evidence.Auth{authOf(got)}, identities.Put(x.tx, x.env.Tenant, r.Party.Account, k)
}

// stepUp leaves, of the ways that an error offers to a row, those that this
// deployment has (H42).
func (s *Service) stepUp(err error, r *Recipient) error {
	var l *LevelError
	if !errors.As(err, &l) || r == nil {
		return err
	}
	has := append(s.identity.Methods(), identity.Method{ID: identity.PhoneCode, Subject: identity.Person})
	l.Methods = slices.DeleteFunc(slices.Clone(l.Methods), func(id identity.MethodID) bool {
		return !slices.ContainsFunc(has, func(m identity.Method) bool {
			return m.ID == id && (m.Subject != identity.Organisation || r.organisational())
		})
	})
	return err
}

// tidy is a flow as far as it can be kept and shown: of a provider's answer only
// what can be an id, a digest or the name of a field, and no page once the
// check ended. A second time changes nothing.
func tidy(f identity.Flow) identity.Flow {
	f.TxID = providerID(f.TxID)
	if u, err := url.Parse(f.URL); err != nil || u.Scheme != "https" || len(f.URL) > 2048 || f.Result != nil && f.Result.Outcome != identity.Pending {
		f.URL = ""
	}
	if f.Result == nil {
		return f
	}
	r := *f.Result
	instant := func(t time.Time) time.Time {
		if t.IsZero() {
			return time.Time{}
		}
		return t.UTC().Truncate(time.Microsecond)
	}
	r.TxID, r.Bound = providerID(r.TxID), ""
	r.At, r.Expires, r.HarvestBy = instant(r.At), instant(r.Expires), instant(r.HarvestBy)
	e := r.Evidence
	r.Evidence = identity.Draft{Source: providerID(e.Source), Request: digestOnly(e.Request), Answer: digestOnly(e.Answer),
		Challenge: providerID(e.Challenge)}
	for _, field := range e.Fields {
		if slices.Contains([]string{"name", "id", "phone", "card", "email", "credit", "representative", "account", "face"}, field) {
			r.Evidence.Fields = append(r.Evidence.Fields, field)
		}
	}
	f.Result = &r
	return f
}

// providerID is an id of a provider's as far as it can be one.
func providerID(s string) string {
	if len(s) > 128 || strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' }) {
		return ""
	}
	return s
}

// digestOnly is a SHA-256 in lower-case hex, or nothing.
func digestOnly(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != sha256.Size {
		return ""
	}
	return hex.EncodeToString(b)
}
