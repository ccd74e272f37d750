package sms

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// Rules of one-time codes that are no policy.
const (
	maxTries    = 5                // codes compared per challenge
	maxSends    = 3                // texts per challenge
	resendAfter = 60 * time.Second // between them
	maxDayFails = 20               // per number and day
	maxRowFails = 100              // in a row, then an operator must look
)

// A ChallengeRequest asks for a one-time code to a number. The request is the
// person's own act, which is the consent to this text (S10).
type ChallengeRequest struct {
	Tenant string      `json:"tenant"`
	ID     string      `json:"id"` // the caller's, at most 64 bytes
	To     privacy.Ref `json:"to"`
	// Purpose says what the code is for, as "sign"; at most 32 bytes.
	Purpose string `json:"purpose"`
	// Envelope and Digest are what the code is bound to. With a Digest the text
	// names Title and the first four characters of the digest: intent of W2.
	Envelope string `json:"envelope,omitzero"` // at most 128 bytes
	Digest   []byte `json:"digest,omitzero"`   // SHA-256 of what is signed, or of several
	Title    string `json:"-"`                 // see [FitTitle]
	// Kind is OTP (zero) or VoiceOTP.
	Kind      Kind   `json:"kind,omitzero"`
	Signature string `json:"signature,omitzero"` // empty: Policy.Signature
	Template  string `json:"template,omitzero"`  // empty: Policy.CodeTemplate
	// Ref is the host's name for what the code is about; with one, Resolve is
	// asked at submission and may drop the text.
	Ref     string `json:"ref,omitzero"`
	Account string `json:"account,omitzero"` // who asks, and pays if Metered
	Metered bool   `json:"metered,omitzero"`
	// IP is where the request came from, for limits; it is not stored.
	IP privacy.IP `json:"-"`
}

// Format implements [fmt.Formatter]: the title is not shown.
func (q ChallengeRequest) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "sms.ChallengeRequest(%s/%s)", q.Tenant, q.ID)
}

// LogValue implements [slog.LogValuer].
func (q ChallengeRequest) LogValue() slog.Value {
	return slog.GroupValue(slog.String("tenant", q.Tenant), slog.String("id", q.ID), slog.String("purpose", q.Purpose))
}

// A ChallengeRef answers a [ChallengeRequest].
type ChallengeRef struct {
	Tenant  string    `json:"tenant"`
	ID      string    `json:"id"`
	Message Ref       `json:"message"` // the text that carries the code
	To      string    `json:"to"`      // masked
	Expires time.Time `json:"expires"`
	Resend  time.Time `json:"resend"` // not again before
}

// A challengeState is where a challenge stands. It only moves forward.
type challengeState string

const (
	challengeOpen   challengeState = "open"
	challengeRight  challengeState = "right"  // the code was right; a proof is out
	challengeUsed   challengeState = "used"   // the proof was consumed
	challengeClosed challengeState = "closed" // a newer one took its place
)

// challenge is the stored form. The code is not in it, nor anything it could be
// derived from without a pepper.
type challenge struct {
	Intent    storage.Hex    `json:"intent"`
	Random    storage.Hex    `json:"random"`
	Pepper    string         `json:"pepper"`
	To        privacy.Ref    `json:"to"`
	Index     string         `json:"index"`
	Masked    string         `json:"masked"`
	Title     *privacy.Ref   `json:"title,omitempty"`
	Purpose   string         `json:"purpose"`
	Envelope  string         `json:"envelope,omitempty"`
	Digest    storage.Hex    `json:"digest,omitempty"`
	Kind      Kind           `json:"kind"`
	Signature string         `json:"signature"`
	Template  string         `json:"template"`
	Version   int            `json:"version"`
	About     string         `json:"ref,omitempty"`
	Account   string         `json:"account,omitempty"`
	Metered   bool           `json:"metered,omitempty"`
	State     challengeState `json:"state"`
	Made      time.Time      `json:"made"`
	Expires   time.Time      `json:"expires"`
	Sends     []sent         `json:"sends"`
	Tries     int            `json:"tries"`
	Last      string         `json:"last,omitempty"` // the last try counted, so that it counts once
	Proof     storage.Hex    `json:"proof,omitempty"`
	RightAt   time.Time      `json:"right_at,omitzero"`
	UsedAt    time.Time      `json:"used_at,omitzero"`
}

// sent is one text of a challenge, under the id of the request that made it: of a
// resend if it has a kind and a template, else of the challenge.
type sent struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	Kind     Kind      `json:"kind,omitempty"`
	Template string    `json:"template,omitempty"`
}

var challenges = storage.Kind[challenge]{Name: "sms.challenge", Schema: 1}

// pointer names the live challenge for a number, purpose and envelope.
type pointer struct {
	Challenge string `json:"challenge"`
}

var pointers = storage.Kind[pointer]{Name: "sms.challenge.live", Schema: 1}

// lock counts failures of a number.
type lock struct {
	Day  string `json:"day"` // Asia/Shanghai
	Fail int    `json:"fail"`
	Row  int    `json:"row"`
}

var locks = storage.Kind[lock]{Name: "sms.lock", Schema: 1}

func today(now time.Time) string { return now.In(shanghai).Format(time.DateOnly) }

func (l lock) shut(now time.Time) bool {
	return l.Row >= maxRowFails || l.Day == today(now) && l.Fail >= maxDayFails
}

func (c challenge) ref(tenant, id string) ChallengeRef {
	last := c.Sends[len(c.Sends)-1]
	return ChallengeRef{Tenant: tenant, ID: id, Message: Ref{tenant, codeMessage(id, last.ID)}, To: c.Masked,
		Expires: c.Expires, Resend: last.At.Add(resendAfter)}
}

// codeMessage is the id of the text of a challenge. SendTx refuses its prefix.
func codeMessage(challenge, send string) string {
	return codePrefix + storage.JoinID(challenge, send)
}

const codePrefix = "code:"

// Challenge is [Service.ChallengeTx] in a commit of its own, and fails as that does.
func (s *Service) Challenge(ctx context.Context, q ChallengeRequest) (ChallengeRef, error) {
	if err := s.unlock(ctx, q.Tenant); err != nil {
		return ChallengeRef{}, err
	}
	return storage.UpdateValue(ctx, s.store, func(tx *storage.Tx) (ChallengeRef, error) { return s.ChallengeTx(ctx, tx, q) })
}

// ChallengeTx queues a one-time code in the caller's commit. It closes a former
// challenge for the same number, purpose and envelope, once the limits have let
// this one through: what is refused changes nothing. The tenant's keys must be
// unlocked before.
//
// It fails like [Service.SendTx], and with [ErrNoPepper]. The same id with
// another request is [ErrIntentMismatch].
func (s *Service) ChallengeTx(ctx context.Context, tx *storage.Tx, q ChallengeRequest) (ChallengeRef, error) {
	if q.Kind == "" {
		q.Kind = OTP
	}
	if q.Signature == "" {
		q.Signature = s.policy.Signature
	}
	if q.Template == "" {
		q.Template = s.policy.CodeTemplate
	}
	if err := s.checkChallenge(q); err != nil {
		return ChallengeRef{}, err
	}
	intent, err := s.challengeIntent(q)
	if err != nil {
		return ChallengeRef{}, err
	}
	if old, ok, err := challenges.Get(tx, q.Tenant, q.ID); err != nil {
		return ChallengeRef{}, err
	} else if ok {
		if !slices.Equal(old.Intent, intent) {
			return ChallengeRef{}, fmt.Errorf("sms: challenge: %w", ErrIntentMismatch)
		}
		return old.ref(q.Tenant, q.ID), nil
	}
	t, err := s.admitted(ctx, tx, q.Tenant, q.Account, q.Kind, q.Template, q.Signature)
	if err != nil {
		return ChallengeRef{}, err
	}
	if err := codeWording(t, q); err != nil {
		return ChallengeRef{}, err
	}
	num, index, err := s.number(ctx, tx, q.To)
	if err != nil {
		return ChallengeRef{}, err
	}
	if _, err := s.route(tx, q.Tenant, t, q.Signature, num, nil); err != nil {
		return ChallengeRef{}, err
	}
	now := tx.Now(s.now)
	l, _, err := locks.Get(tx, q.Tenant, index)
	if err != nil {
		return ChallengeRef{}, err
	}
	if l.shut(now) {
		return ChallengeRef{}, &LimitError{Scope: "lock", Next: nextDay(now)}
	}
	if err := s.limitCode(tx, q.Tenant, index, q.Signature, q.Account, q.IP); err != nil {
		return ChallengeRef{}, err
	}
	if err := s.pumped(tx, num); err != nil {
		return ChallengeRef{}, err
	}
	if err := s.supersede(tx, q, index); err != nil {
		return ChallengeRef{}, err
	}
	c := challenge{Intent: intent, Random: make([]byte, 32), Pepper: s.peppers[0].ID, To: q.To, Index: index,
		Masked: num.Masked(), Purpose: q.Purpose, Envelope: q.Envelope, Digest: q.Digest, Kind: q.Kind, Signature: q.Signature,
		Template: t.Name, Version: t.Version, About: q.Ref, Account: q.Account, Metered: q.Metered, State: challengeOpen,
		Made: now, Expires: now.Add(s.policy.CodeLife), Sends: []sent{{ID: q.ID, At: now}}}
	_, _ = rand.Read(c.Random) // never fails
	if q.Title != "" {
		if c.Title, err = s.keepVars(ctx, tx, q.To, "challenge:"+q.ID, map[string]string{"title": q.Title}); err != nil {
			return ChallengeRef{}, err
		}
	}
	if err := s.sendCode(ctx, tx, q.Tenant, q.ID, c, t); err != nil {
		return ChallengeRef{}, err
	}
	if err := challenges.Create(tx, q.Tenant, q.ID, c); err != nil {
		return ChallengeRef{}, err
	}
	return c.ref(q.Tenant, q.ID), s.tell(ctx, tx, c.event(q.Tenant, q.ID, EventCodeIssued, ""))
}

func (s *Service) checkChallenge(q ChallengeRequest) error {
	if err := checkIDs(q.Tenant, q.ID); err != nil {
		return err
	}
	switch {
	case len(s.peppers) == 0:
		return ErrNoPepper
	case len(q.ID) > 64:
		return badRequest("id of 1 to 64 bytes")
	case q.Kind != OTP && q.Kind != VoiceOTP:
		return ErrKind
	case q.To.IsZero():
		return badRequest("no number")
	case q.To.Tenant != q.Tenant:
		return ErrNotFound
	case q.Purpose == "" || len(q.Purpose) > 32:
		return badRequest("purpose of 1 to 32 bytes")
	case len(q.Envelope) > 128 || len(q.Digest) > 64 || len(q.Ref) > 512:
		return badRequest("envelope, digest or ref too long")
	case q.Digest != nil && len(q.Digest) < 32:
		return badRequest("digest below 32 bytes")
	case q.Ref != "" && s.resolve == nil:
		return badRequest("ref without Config.Resolve")
	case q.Metered && q.Account == "":
		return badRequest("metered without account")
	case q.Title != "" && !RuleTitle.holds(q.Title, nil):
		return &VariableError{Name: "title", Why: string(RuleTitle)}
	}
	return nil
}

func (s *Service) challengeIntent(q ChallengeRequest) (storage.Hex, error) {
	kept := struct {
		ChallengeRequest
		Title string `json:"title,omitempty"`
	}{ChallengeRequest: q}
	if q.Title != "" {
		var err error
		if kept.Title, err = s.blind(q.Tenant, q.Title); err != nil {
			return nil, err
		}
	}
	sum := storage.Intent(kept)
	return sum[:], nil
}

// codeWording refuses a template that lacks the code, and for a signature one
// that does not say what is signed (intent W2).
func codeWording(t Template, q ChallengeRequest) error {
	need := []string{"code"}
	if len(q.Digest) > 0 && q.Kind == OTP {
		need = append(need, "title", "digest")
		if q.Title == "" {
			return &VariableError{Name: "title", Why: "missing"}
		}
	}
	for _, name := range need {
		if t.Vars[name] == "" {
			return &VariableError{Name: name, Why: "missing"}
		}
	}
	return nil
}

// supersede closes the former challenge for the same end.
func (s *Service) supersede(tx *storage.Tx, q ChallengeRequest, index string) error {
	id := storage.JoinID(index, q.Purpose, q.Envelope)
	p, ok, err := pointers.Get(tx, q.Tenant, id)
	if err != nil {
		return err
	}
	if ok {
		old, found, err := challenges.Get(tx, q.Tenant, p.Challenge)
		if err != nil {
			return err
		}
		if found && old.State == challengeOpen {
			old.State = challengeClosed
			if err := challenges.Put(tx, q.Tenant, p.Challenge, old); err != nil {
				return err
			}
		}
	}
	return pointers.Put(tx, q.Tenant, id, pointer{q.ID})
}

// sendCode queues one text of a challenge. Its wording is made at submission.
func (s *Service) sendCode(ctx context.Context, tx *storage.Tx, tenant, id string, c challenge, t Template) error {
	last := c.Sends[len(c.Sends)-1]
	to := c.To
	r := row{Intent: c.Intent, Kind: t.Kind, Template: t.Name, Version: t.Version, Signature: c.Signature, To: &to, Index: c.Index,
		Masked: c.Masked, About: c.About, Account: c.Account, Basis: OwnAct, Challenge: id, State: StateQueued,
		Queued: last.At, Updated: last.At, Due: last.At, Until: c.Expires}
	return s.queue(ctx, tx, Ref{tenant, codeMessage(id, last.ID)}, r, c.Metered, t.widest())
}

// A ResendRequest asks for the same code once more.
type ResendRequest struct {
	Tenant    string
	ID        string // the caller's, at most 64 bytes
	Challenge string
	// Kind and Template let the code go another way, as a call after a text; zero:
	// as the challenge was asked for.
	Kind     Kind
	Template string
	IP       privacy.IP
}

// Resend queues the same code again: not within 60 s of the last text, three
// texts a challenge at most, and with no fresh attempts. It fails with
// [ErrCode] if the challenge is over or unknown, with [*LimitError], and further
// as [Service.ChallengeTx] does: an ID that was used otherwise, be it for the
// challenge itself, is [ErrIntentMismatch].
func (s *Service) Resend(ctx context.Context, q ResendRequest) (ChallengeRef, error) {
	if err := checkIDs(q.Tenant, q.ID); err != nil {
		return ChallengeRef{}, err
	}
	if len(q.ID) > 64 {
		return ChallengeRef{}, badRequest("id of 1 to 64 bytes")
	}
	if err := s.unlock(ctx, q.Tenant); err != nil {
		return ChallengeRef{}, err
	}
	return storage.UpdateValue(ctx, s.store, func(tx *storage.Tx) (ref ChallengeRef, _ error) {
		c, ok, err := challenges.Get(tx, q.Tenant, q.Challenge)
		if err != nil {
			return ref, err
		}
		if !ok {
			return ref, ErrCode
		}
		kind, template := c.Kind, c.Template
		if q.Kind != "" {
			kind = q.Kind
		}
		if q.Template != "" {
			template = q.Template
		}
		if i := slices.IndexFunc(c.Sends, func(x sent) bool { return x.ID == q.ID }); i >= 0 {
			if c.Sends[i].Kind != kind || c.Sends[i].Template != template {
				return ref, fmt.Errorf("sms: resend: %w", ErrIntentMismatch)
			}
			return c.ref(q.Tenant, q.Challenge), nil
		}
		now := tx.Now(s.now)
		last := c.Sends[len(c.Sends)-1].At
		switch {
		case c.State != challengeOpen || !now.Before(c.Expires) || c.Tries >= maxTries:
			return ref, ErrCode
		case len(c.Sends) >= maxSends:
			return ref, &LimitError{Scope: "resend", Next: c.Expires}
		case now.Before(last.Add(resendAfter)):
			return ref, &LimitError{Scope: "resend", Next: last.Add(resendAfter)}
		}
		if kind != OTP && kind != VoiceOTP {
			return ref, ErrKind
		}
		t, err := s.admitted(ctx, tx, q.Tenant, c.Account, kind, template, c.Signature)
		if err != nil {
			return ref, err
		}
		if err := codeWording(t, ChallengeRequest{Kind: kind, Digest: c.Digest, Title: "kept"}); err != nil {
			return ref, err
		}
		if err := s.limitCode(tx, q.Tenant, c.Index, c.Signature, c.Account, q.IP); err != nil {
			return ref, err
		}
		c.Sends = append(c.Sends, sent{q.ID, now, kind, template})
		if err := s.sendCode(ctx, tx, q.Tenant, q.Challenge, c, t); err != nil {
			return ref, err
		}
		return c.ref(q.Tenant, q.Challenge), challenges.Put(tx, q.Tenant, q.Challenge, c)
	})
}

// Unlock lets a number try codes again after an operator, by, looked at it. It
// fails with [ErrRequest] without one.
func (s *Service) Unlock(ctx context.Context, tenant string, to privacy.Phone, by string) error {
	if by == "" || len(by) > 64 {
		return badRequest("by of 1 to 64 bytes")
	}
	if err := s.unlock(ctx, tenant); err != nil {
		return err
	}
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		index, err := s.index(tenant, to)
		if err != nil {
			return err
		}
		if _, ok, err := locks.Get(tx, tenant, index); err != nil || !ok {
			return err
		}
		if err := s.audit(tx, tenant, OperatorLog, AuditEntry{Who: by, What: "number.unlock", On: to.Masked()}); err != nil {
			return err
		}
		return locks.Put(tx, tenant, index, lock{})
	})
}

func nextDay(now time.Time) time.Time {
	t := now.In(shanghai).AddDate(0, 0, 1)
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, shanghai).UTC()
}

// codeVars are the values of a code's text.
func (c challenge) vars(t Template, code Secret, titles map[string]string) map[string]string {
	all := map[string]string{"code": string(code), "title": titles["title"],
		"minutes": strconv.Itoa(int(c.Expires.Sub(c.Made).Minutes()))}
	if len(c.Digest) > 0 {
		all["digest"] = c.Digest.String()[:4]
	}
	out := map[string]string{}
	for name := range t.Vars {
		if v, ok := all[name]; ok {
			out[name] = v
		}
	}
	return out
}
