package sms

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// maxID bounds the ids of texts: longer than elsewhere, since callers make them
// of their own ids.
const maxID = 192

// A Message asks for one text to one person.
type Message struct {
	Tenant string `json:"tenant"`
	// ID is the caller's, at most 192 bytes: the same id and request again answers
	// the same and sends nothing.
	ID        string `json:"id"`
	Kind      Kind   `json:"kind"`
	Signature string `json:"signature,omitzero"` // empty: Policy.Signature
	Template  string `json:"template"`
	// To is the number in the vault. Zero: Resolve tells it at submission.
	To privacy.Ref `json:"to,omitzero"`
	// Vars go to the vault under the subject of To; without To, Resolve tells them.
	Vars Values `json:"vars,omitzero"`
	// Ref is the host's name for what the text is about. With a Ref, Resolve is
	// asked at submission.
	Ref     string `json:"ref,omitzero"`
	Account string `json:"account,omitzero"` // who pays and is limited
	Metered bool   `json:"metered,omitzero"` // holds units of Account until it is accepted (S06)
	// Consent is the basis on which the person may be written to, if the caller
	// declares it; empty: it must be on record.
	Consent Basis `json:"consent,omitzero"`
}

// Values are the values of a template's variables. They print and marshal
// masked, since names are among them.
type Values map[string]string

// Format implements [fmt.Formatter]: every verb masks.
func (v Values) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%d values", len(v)) }

// LogValue implements [slog.LogValuer].
func (v Values) LogValue() slog.Value { return slog.IntValue(len(v)) }

// MarshalJSON masks.
func (v Values) MarshalJSON() ([]byte, error) { return []byte(`"***"`), nil }

// A Ref names a text.
type Ref struct {
	Tenant string `json:"tenant"`
	ID     string `json:"id"`
}

// A Status is what is known of a text.
type Status struct {
	Ref
	Kind      Kind
	Template  string
	Version   int
	Signature string
	State     State
	Delivery  Delivery
	Reason    string // why it was dropped or rejected
	To        string // masked; empty until resolved
	About     string // Message.Ref
	Challenge string
	Queued    time.Time
	Updated   time.Time
	Attempts  []Attempt
	Units     int  // held or charged, if metered
	Counted   int  // our count of the text as sent
	Differs   bool // the provider counted otherwise; the charge stays ours
}

// An Attempt is one submission to one gateway.
type Attempt struct {
	Gateway     string      `json:"gateway"`
	Key         string      `json:"key"` // our id at the provider
	At          time.Time   `json:"at"`
	Done        time.Time   `json:"done,omitzero"`
	Disposition Disposition `json:"disposition,omitempty"`
	Code        string      `json:"code,omitempty"`
	ProviderID  string      `json:"provider_id,omitempty"`
	Segments    int         `json:"segments,omitempty"` // the provider's count
	Retry       time.Time   `json:"retry,omitzero"`     // a throttled gateway takes no more before
}

// row is the stored form of a text. It is the outbox record too: Due is when
// the next step falls due.
type row struct {
	Intent    storage.Hex  `json:"intent"`
	Kind      Kind         `json:"kind"`
	Template  string       `json:"template"`
	Version   int          `json:"version"`
	Signature string       `json:"signature"`
	To        *privacy.Ref `json:"to,omitempty"`
	Index     string       `json:"index,omitempty"`  // blind
	Masked    string       `json:"masked,omitempty"` // for people
	Vars      *privacy.Ref `json:"vars,omitempty"`
	About     string       `json:"ref,omitempty"`
	Account   string       `json:"account,omitempty"`
	Basis     Basis        `json:"basis,omitempty"`
	Challenge string       `json:"challenge,omitempty"`
	State     State        `json:"state"`
	Delivery  Delivery     `json:"delivery,omitempty"`
	Reason    string       `json:"reason,omitempty"`
	Queued    time.Time    `json:"queued"`
	Updated   time.Time    `json:"updated"`
	Due       time.Time    `json:"due,omitzero"`
	Until     time.Time    `json:"until"`         // not submitted after
	Keep      time.Time    `json:"keep,omitzero"` // final, it goes from then on
	Attempts  []Attempt    `json:"attempts,omitempty"`
	Limited   bool         `json:"limited,omitempty"` // counted against the limits
	Asked     int          `json:"asked,omitempty"`   // reconciliations so far
	Held      int          `json:"held,omitempty"`    // units on hold
	Units     int          `json:"units,omitempty"`   // units captured
	Counted   int          `json:"counted,omitempty"`
	Ruling    string       `json:"ruling,omitempty"` // rule of the content policy
}

var messages = storage.Kind[row]{Name: "sms.message", Schema: 1, Due: row.due}

func (r *row) last() *Attempt {
	if len(r.Attempts) == 0 {
		return &Attempt{}
	}
	return &r.Attempts[len(r.Attempts)-1]
}

func (r row) event(tenant, id string, t EventType) Event {
	e := Event{Type: t, Tenant: tenant, Message: id, Ref: r.About, Kind: r.Kind, Template: r.Template, Version: r.Version,
		Signature: r.Signature, Gateway: r.last().Gateway, ProviderID: r.last().ProviderID, Reason: r.Reason,
		Units: r.Units, Challenge: r.Challenge}
	if r.To != nil {
		e.To = *r.To
	}
	return e
}

func (r row) status(ref Ref) Status {
	st := Status{Ref: ref, Kind: r.Kind, Template: r.Template, Version: r.Version, Signature: r.Signature, State: r.State,
		Delivery: r.Delivery, Reason: r.Reason, To: r.Masked, About: r.About, Challenge: r.Challenge, Queued: r.Queued,
		Updated: r.Updated, Attempts: slices.Clone(r.Attempts), Units: max(r.Held, r.Units), Counted: r.Counted}
	if n := r.last().Segments; n > 0 && n != r.Counted {
		st.Differs = true
	}
	return st
}

// Send is [Service.SendTx] in a commit of its own, and fails as that does.
func (s *Service) Send(ctx context.Context, m Message) (Ref, error) {
	if err := s.unlock(ctx, m.Tenant); err != nil {
		return Ref{}, err
	}
	return storage.UpdateValue(ctx, s.store, func(tx *storage.Tx) (Ref, error) { return s.SendTx(ctx, tx, m) })
}

// SendTx queues one text in the caller's commit, with the units it may cost if
// it is metered, and is the only way for one to be sent. Codes go out through
// [Service.Challenge]. The tenant's keys must be unlocked before
// ([privacy.Vault.Unlock]).
//
// Before any unit is held it refuses, changing nothing, with
//   - [*StandingError] a tenant that may not send (S21),
//   - [*AgreementError] one without an agreement in force (S01, S34),
//   - [*ApprovalError] what is not approved by us and by a provider (S08),
//   - [*VariableError] values that break their rule,
//   - [*ConsentError] a person who did not consent (S10), or opted out (S15),
//   - [*LimitError] what comes too often (S18),
//   - [*quota.InsufficientError] a metered text without units.
//
// The same id with another request is [ErrIntentMismatch].
func (s *Service) SendTx(ctx context.Context, tx *storage.Tx, m Message) (Ref, error) {
	if err := s.checkMessage(m); err != nil {
		return Ref{}, err
	}
	if m.Signature == "" {
		m.Signature = s.policy.Signature
	}
	ref := Ref{Tenant: m.Tenant, ID: m.ID}
	intent, err := s.intentOf(m)
	if err != nil {
		return Ref{}, err
	}
	if old, ok, err := messages.Get(tx, m.Tenant, m.ID); err != nil {
		return Ref{}, err
	} else if ok {
		if !slices.Equal(old.Intent, intent) {
			return Ref{}, fmt.Errorf("sms: send: %w", ErrIntentMismatch)
		}
		return ref, nil
	}
	t, err := s.admitted(ctx, tx, m.Tenant, m.Account, m.Kind, m.Template, m.Signature)
	if err != nil {
		return Ref{}, err
	}
	now := tx.Now(s.now)
	r := row{Intent: intent, Kind: m.Kind, Template: t.Name, Version: t.Version, Signature: m.Signature, About: m.Ref,
		Account: m.Account, Basis: m.Consent, State: StateQueued, Queued: now, Updated: now, Due: now,
		Until: now.Add(s.policy.QueueLife)}
	body, err := s.address(ctx, tx, m, t, &r)
	if err != nil {
		return Ref{}, err
	}
	return ref, s.queue(ctx, tx, ref, r, m.Metered, body)
}

func (s *Service) checkMessage(m Message) error {
	if m.Kind == OTP || m.Kind == VoiceOTP {
		return badRequest("codes are sent by Challenge")
	}
	if err := checkIDs(m.Tenant, m.ID); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(m.ID, codePrefix):
		return badRequest("id begins with " + codePrefix)
	case !m.Kind.valid():
		return ErrKind
	case len(m.Ref) > 512:
		return badRequest("ref above 512 bytes")
	case m.To.IsZero() && m.Ref == "":
		return badRequest("neither To nor Ref")
	case m.To.IsZero() && len(m.Vars) > 0:
		return badRequest("values without To")
	case !m.To.IsZero() && m.To.Tenant != m.Tenant:
		return ErrNotFound
	case m.Ref != "" && s.resolve == nil:
		return badRequest("ref without Config.Resolve")
	case m.Metered && m.Account == "":
		return badRequest("metered without account")
	}
	return nil
}

// admitted refuses, in this order, a tenant that may not send, one without an
// agreement in force, and a wording that is not approved, which it returns.
func (s *Service) admitted(ctx context.Context, tx *storage.Tx, tenant, account string, k Kind, template, signature string) (Template, error) {
	if err := s.maySend(tx, tenant); err != nil {
		return Template{}, err
	}
	if err := s.agreed(ctx, tx, tenant, account); err != nil {
		return Template{}, err
	}
	return s.approved(tx, tenant, k, template, signature)
}

// address judges whom m goes to, notes it in r, and returns the text that its units
// are counted of. Of a message without To, which is resolved at submission, that is
// the widest text of its template.
func (s *Service) address(ctx context.Context, tx *storage.Tx, m Message, t Template, r *row) (body string, err error) {
	if m.To.IsZero() {
		if m.Consent == "" { // without the number nothing can be looked up
			return "", &ConsentError{Kind: m.Kind, Why: "none"}
		}
		if err := m.Consent.allows(m.Kind); err != nil {
			return "", err
		}
		_, err := s.route(tx, m.Tenant, t, m.Signature, Number{}, nil)
		return t.widest(), err
	}
	num, index, err := s.number(ctx, tx, m.To)
	if err != nil {
		return "", err
	}
	r.To, r.Index, r.Masked = &m.To, index, num.Masked()
	if err := s.mayReceive(tx, m.Tenant, index, m.Kind, m.Consent); err != nil {
		return "", err
	}
	if _, err := s.route(tx, m.Tenant, t, m.Signature, num, nil); err != nil {
		return "", err
	}
	if m.Ref != "" && m.Vars == nil {
		return t.widest(), nil
	}
	if body, _, err = t.render(m.Vars, s.policy.LinkHosts); err != nil {
		return "", err
	}
	if err := s.limitNotice(tx, m.Tenant, index, t.Name, body); err != nil {
		return "", err
	}
	r.Limited = true
	r.Vars, err = s.keepVars(ctx, tx, m.To, m.ID, m.Vars)
	return body, err
}

// queue holds the units and stores the outbox record.
func (s *Service) queue(ctx context.Context, tx *storage.Tx, ref Ref, r row, metered bool, body string) error {
	seg, err := Count(r.Kind, r.Signature, body)
	if err != nil {
		return err
	}
	if err := s.budget(tx, ref.Tenant, seg.Units); err != nil {
		return err
	}
	if metered && s.quota != nil {
		if r.Held, err = s.hold(ctx, tx, ref, r, seg.Units); err != nil {
			return err
		}
	}
	r.Keep = r.Queued.Add(s.policy.Keep)
	if err := messages.Create(tx, ref.Tenant, ref.ID, r); err != nil {
		return err
	}
	return s.tell(ctx, tx, r.event(ref.Tenant, ref.ID, EventQueued))
}

// keepVars seals the values under the person's key, so that they go with it.
func (s *Service) keepVars(ctx context.Context, tx *storage.Tx, to privacy.Ref, id string, vars map[string]string) (*privacy.Ref, error) {
	if len(vars) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(vars)
	if err != nil {
		return nil, badRequest("values")
	}
	text, err := privacy.NewText(string(data))
	if err != nil {
		return nil, badRequest("values above 1024 bytes")
	}
	sum := sha256.Sum256([]byte(id))
	ref, err := s.vault.PutTx(ctx, tx, privacy.Subject{Tenant: to.Tenant, ID: to.Subject}, privacy.Field("sms_"+hex.EncodeToString(sum[:12])), text)
	if err != nil {
		return nil, fmt.Errorf("sms: keep values: %w", err)
	}
	return &ref, nil
}

func (s *Service) readVars(ctx context.Context, tx *storage.Tx, ref *privacy.Ref) (map[string]string, error) {
	if ref == nil {
		return nil, nil
	}
	val, err := s.vault.RevealTx(s.as(ctx, ref.Tenant), tx, *ref, privacy.PurposeDelivery)
	if err != nil {
		return nil, err
	}
	text, err := val.Reveal(ctx, privacy.PurposeDelivery)
	if err != nil {
		return nil, err
	}
	var vars map[string]string
	if json.Unmarshal([]byte(text), &vars) != nil {
		return nil, fmt.Errorf("sms: values: %w", storage.ErrCorrupt)
	}
	return vars, nil
}

// number reads a number on the record, and its blind index.
func (s *Service) number(ctx context.Context, tx *storage.Tx, to privacy.Ref) (Number, string, error) {
	return s.numberFor(ctx, tx, to, privacy.PurposeDelivery)
}

func (s *Service) numberFor(ctx context.Context, tx *storage.Tx, to privacy.Ref, why privacy.Purpose) (Number, string, error) {
	val, err := s.vault.RevealTx(s.as(ctx, to.Tenant), tx, to, why)
	if err != nil {
		return Number{}, "", fmt.Errorf("sms: number: %w", err)
	}
	phone, ok := val.(privacy.Phone)
	if !ok {
		return Number{}, "", ErrNumber
	}
	clear, err := phone.Reveal(ctx, why)
	if err != nil {
		return Number{}, "", fmt.Errorf("sms: number: %w", err)
	}
	num, err := NewNumber(clear)
	if err != nil {
		return Number{}, "", err
	}
	index, err := s.vault.BlindIndex(to.Tenant, phone)
	if err != nil {
		return Number{}, "", fmt.Errorf("sms: number: %w", err)
	}
	return num, hex.EncodeToString(index), nil
}

// Status returns what is known of a text. It fails with [ErrNotFound].
func (s *Service) Status(ctx context.Context, ref Ref) (Status, error) {
	if ref.Tenant == "" || ref.Tenant == storage.Deployment {
		return Status{}, ErrNotFound
	}
	recs, err := s.store.Get(ctx, []storage.Key{messages.Key(ref.Tenant, ref.ID)})
	if errors.Is(err, storage.ErrKey) {
		return Status{}, ErrNotFound
	}
	if err != nil {
		return Status{}, fmt.Errorf("sms: status: %w", err)
	}
	if recs[0].Version == 0 {
		return Status{}, ErrNotFound
	}
	r, err := messages.Decode(recs[0])
	return r.status(ref), err
}

// Messages lists the texts of a tenant in the order of their ids.
func (s *Service) Messages(ctx context.Context, tenant, prefix string) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		for item, err := range messages.Scan(ctx, s.store, tenant, prefix) {
			if err != nil {
				yield(Status{}, err)
				return
			}
			if !yield(item.Value.status(Ref{Tenant: tenant, ID: item.ID}), nil) {
				return
			}
		}
	}
}

func checkIDs(tenant, id string) error {
	switch {
	case tenant == "" || tenant == storage.Deployment:
		return badRequest("no tenant")
	case id == "" || len(id) > maxID:
		return badRequest("id of 1 to 192 bytes")
	}
	return nil
}

// intentOf is what tells a repeated request from another one. Values may be
// personal, and a plain hash of them could be guessed: they count by their
// blind index.
func (s *Service) intentOf(m Message) (storage.Hex, error) {
	kept := struct {
		Message
		Vars string `json:"vars,omitempty"`
	}{Message: m}
	if len(m.Vars) > 0 {
		data, err := json.Marshal(map[string]string(m.Vars))
		if err != nil {
			return nil, badRequest("values")
		}
		if kept.Vars, err = s.blind(m.Tenant, string(data)); err != nil {
			return nil, err
		}
	}
	sum := storage.Intent(kept)
	return sum[:], nil
}

// blind is the blind index of any text, up to 1 KiB.
func (s *Service) blind(tenant, text string) (string, error) {
	val, err := privacy.NewText(text)
	if err != nil {
		return "", badRequest("text above 1024 bytes or with control characters")
	}
	index, err := s.vault.BlindIndex(tenant, val)
	if err != nil {
		return "", fmt.Errorf("sms: index: %w", err)
	}
	return hex.EncodeToString(index), nil
}

// newKey is a random id for a provider.
func newKey() string { return "cs-" + strings.ToLower(rand.Text()) }
