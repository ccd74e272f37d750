package esign

import (
	"slices"
	"time"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// An Envelope is one signing process (签署流程): documents, the rows of those
// who take part, and where it stands. It is the stored record and holds no name,
// address or value of a person. [Apply] is the only thing that moves it.
type Envelope struct {
	Tenant  string `json:"tenant"`
	ID      string `json:"id"`            // chosen by the caller, at most 64 bytes
	Version uint64 `json:"-"`             // of the stored record
	Kind    Kind   `json:"kind"`          // decides the price (D01)
	Owner   Party  `json:"owner"`         // who sends
	Title   string `json:"title"`         // shown to recipients
	Ref     string `json:"ref,omitempty"` // the host's own number, never a key

	State   State        `json:"state"`
	Release ReleaseState `json:"release,omitempty"`

	Stages     []Stage     `json:"stages,omitempty"` // ascending order; Send adds a stage of rule All for each order that has none
	Open       int         `json:"open,omitempty"`   // order of the stage now open; zero: none yet
	Documents  []Document  `json:"documents,omitempty"`
	Fields     []Field     `json:"fields,omitempty"`
	Recipients []Recipient `json:"recipients,omitempty"` // never deleted after Send
	Review     *Gate       `json:"review,omitempty"`     // approval before start; nil: none
	Deadline   time.Time   `json:"deadline,omitzero"`    // half-open; zero until Send: Rules.Lifetime after it

	ManualFinish bool `json:"manual_finish,omitempty"` // ends by Finish, so that parties may be added before
	SignerPays   bool `json:"signer_pays,omitempty"`   // 签字人付费 (D06)
	NoLate       bool `json:"no_late,omitempty"`       // nobody is added after Send

	Template   *TemplateRef `json:"template,omitempty"`
	Terminates string       `json:"terminates,omitempty"`  // the envelope this one releases (解除)
	ReleasedBy string       `json:"released_by,omitempty"` // the last envelope that released, or is releasing, this one
	Rules      Rules        `json:"rules,omitzero"`

	SentAt  time.Time `json:"sent_at,omitzero"`
	EndedAt time.Time `json:"ended_at,omitzero"` // effective: of an expiry the deadline, however late it was noticed
	Cause   Cause     `json:"cause,omitempty"`   // why it ended
	Attempt int       `json:"attempt,omitempty"` // failed attempts at finalizing
	RetryAt time.Time `json:"retry_at,omitzero"` // the next attempt
	At      time.Time `json:"at,omitzero"`       // of the last change; no later one is before it
}

// A Stage is the rows of one order number. Equal orders act in parallel, the
// next higher order when the stage is met.
type Stage struct {
	Order int  `json:"order"`          // 1 or more
	Rule  Rule `json:"rule,omitempty"` // zero: All
	K     int  `json:"k,omitempty"`    // with rule K
}

// A Party is an account, for itself or for an organisation. The name is in the
// vault.
type Party struct {
	Account  string `json:"account,omitempty"`  // zero: known by its address alone
	Org      string `json:"org,omitempty"`      // zero: acts for itself
	Capacity string `json:"capacity,omitempty"` // in which the account acts for Org; a code, not a name
}

// A Document is one PDF. Its bytes are segments: the base file and one
// increment for each signature made on it.
type Document struct {
	ID       string           `json:"id"`
	Segments storage.Segments `json:"segments,omitempty"`
	SHA256   string           `json:"sha256,omitempty"` // of the bytes now, hex
	SM3      string           `json:"sm3,omitempty"`    // likewise
	Pages    int              `json:"pages,omitempty"`
	// Base is the digest (SHA-256, hex) of the base revision, which holds every
	// field and comes before the first signature; zero: not made yet.
	Base     string `json:"base,omitempty"`
	Outdated bool   `json:"outdated,omitempty"` // rows changed after Base, before any signature
	Level    string `json:"level,omitempty"`    // PAdES level that every signature made so far reaches; the service's note
	Released bool   `json:"released,omitempty"` // by a linked envelope
}

// A TemplateRef names the immutable version of a template that was used.
type TemplateRef struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
}

// A FieldType says what a field takes.
type FieldType string

// The types of field.
const (
	FieldSignature  FieldType = "signature"
	FieldSeal       FieldType = "seal"
	FieldCrossPage  FieldType = "cross_page_seal" // 骑缝章
	FieldSignDate   FieldType = "sign_date"
	FieldOpinion    FieldType = "opinion"
	FieldRemark     FieldType = "remark" // copied by hand
	FieldText       FieldType = "text"
	FieldMultiline  FieldType = "multiline"
	FieldNumber     FieldType = "number"
	FieldDate       FieldType = "date"
	FieldChoice     FieldType = "choice"
	FieldCheckbox   FieldType = "checkbox"
	FieldImage      FieldType = "image"
	FieldAttachment FieldType = "attachment"
	FieldDistrict   FieldType = "district"
	FieldTable      FieldType = "table"
	FieldIDNumber   FieldType = "id_number"
	FieldPhone      FieldType = "phone"
	FieldEmail      FieldType = "email"
)

// stamp: made by signing, never filled.
func (t FieldType) stamp() bool {
	return t == FieldSignature || t == FieldSeal || t == FieldCrossPage || t == FieldSignDate
}

// A Field is a place in a document that one row completes. Its value is kept
// elsewhere.
type Field struct {
	ID        string     `json:"id"`
	Document  string     `json:"document"`
	Recipient string     `json:"recipient"` // owner row
	Type      FieldType  `json:"type"`
	Fill      bool       `json:"fill,omitempty"` // asked in the fill phase, so that others see it first
	Required  bool       `json:"required,omitempty"`
	Pattern   string     `json:"pattern,omitempty"`
	Default   string     `json:"default,omitempty"`
	Page      int        `json:"page,omitempty"` // from 1
	Rect      [4]float64 `json:"rect,omitzero"`  // left, bottom, right, top in points; zero: invisible
	Form      string     `json:"form,omitempty"` // an existing form field instead of a rectangle
}

// A Recipient (参与方) is one row.
type Recipient struct {
	ID      string         `json:"id"`
	Role    Role           `json:"role"`
	Order   int            `json:"order,omitempty"` // of its stage; zero only for CC
	State   RecipientState `json:"state"`
	Outcome Outcome        `json:"outcome,omitempty"`
	Party   Party          `json:"party,omitzero"`

	Name           privacy.Ref `json:"name,omitzero"`             // in the vault
	Address        privacy.Ref `json:"address,omitzero"`          // where its messages go; the value is in the vault
	AddressVersion uint64      `json:"address_version,omitempty"` // rises when the address changes or the envelope is recalled: older links and queued texts are dead
	Channel        Channel     `json:"channel,omitempty"`
	Used           []Channel   `json:"used,omitempty"` // each that carried an invitation or a reminder, in order of first use
	Consent        Consent     `json:"consent,omitempty"`

	View identity.Requirement `json:"view,omitzero"`
	Sign identity.Requirement `json:"sign,omitzero"`

	Documents []string     `json:"documents,omitempty"` // empty: all
	Reading   Reading      `json:"reading,omitzero"`
	Uploads   []UploadRule `json:"uploads,omitempty"`
	NoDecline bool         `json:"no_decline,omitempty"`
	Transfer  bool         `json:"transfer,omitempty"` // may pass the row on (转签)
	Gate      *Gate        `json:"gate,omitempty"`     // approval before its signature (用印审批)
	Deadline  time.Time    `json:"deadline,omitzero"`  // half-open; zero: the envelope's
	Timing    Timing       `json:"timing,omitempty"`   // of a CC row

	Line  LineRef `json:"line,omitzero"`
	Facts Facts   `json:"facts,omitzero"`

	Filled     bool      `json:"filled,omitempty"`
	Asked      bool      `json:"asked,omitempty"` // its certificate or its silent seal is asked for
	NotifiedAt time.Time `json:"notified_at,omitzero"`
	Reminders  Reminders `json:"reminders,omitzero"`

	Replaces   string    `json:"replaces,omitempty"`
	ReplacedBy string    `json:"replaced_by,omitempty"`
	SignedAt   time.Time `json:"signed_at,omitzero"`
	VoidedAt   time.Time `json:"voided_at,omitzero"`
}

// A LineRef is the unit line of one signer slot. Slot stays when the row is
// replaced, and with it whether SMS was used (D02).
type LineRef struct {
	Hold   string `json:"hold,omitempty"`
	Slot   string `json:"slot,omitempty"` // id of the row it was held for
	Units  int64  `json:"units,omitempty"`
	Reason string `json:"reason,omitempty"` // why it costs what it costs: "unmetered", "member", ...
	Payer  string `json:"payer,omitempty"`  // account
	// Settled says that the line is over and why; zero: open. What the ledger
	// made of it, Result, is written by the service.
	Settled Cause  `json:"settled,omitempty"`
	Result  string `json:"result,omitempty"`
}

// open: held and not settled.
func (l LineRef) open() bool { return l.Slot != "" && l.Settled == "" }

// A Gate is approvers whose pass is needed.
type Gate struct {
	Approvers []string  `json:"approvers"`      // accounts
	Rule      Rule      `json:"rule,omitempty"` // zero: All
	K         int       `json:"k,omitempty"`
	Round     int       `json:"round,omitempty"`   // from 1; an answer to another round is stale
	Answers   []Decided `json:"answers,omitempty"` // of this round, the last of each approver
}

// A Decided is the answer of one approver.
type Decided struct {
	Approver string    `json:"approver"`
	Answer   Answer    `json:"answer"`
	At       time.Time `json:"at"`
}

// need is how many passes open the gate.
func (g *Gate) need() int {
	switch g.Rule {
	case Any:
		return 1
	case K:
		return g.K
	}
	return len(g.Approvers)
}

// passed counts passes only: a return blocks by not being one.
func (g *Gate) passed() bool {
	if g == nil {
		return true
	}
	n := 0
	for _, a := range g.Answers {
		if a.Answer == AnswerPass {
			n++
		}
	}
	return n >= g.need()
}

// answer records a, replacing the approver's earlier answer of the round. It
// reports whether that changed anything.
func (g *Gate) answer(a Decided) bool {
	i := slices.IndexFunc(g.Answers, func(d Decided) bool { return d.Approver == a.Approver })
	if i < 0 {
		g.Answers = append(g.Answers, a)
		return true
	}
	if g.Answers[i].Answer == a.Answer {
		return false
	}
	g.Answers[i] = a
	return true
}

func (g *Gate) nextRound() {
	g.Round++
	g.Answers = nil
}

// A Reading is forced reading. The zero Reading asks nothing.
type Reading struct {
	Seconds int  `json:"seconds,omitempty"` // from Open, by our clock
	End     bool `json:"end,omitempty"`     // the client reports that the end was reached
}

// An UploadRule asks a signer for files before it can sign.
type UploadRule struct {
	ID    string `json:"id"`
	Type  string `json:"type,omitempty"` // media type; zero: any
	Count int    `json:"count,omitempty"`
	Size  int64  `json:"size,omitempty"` // bytes each; zero: the policy's cap
}

// Facts are what a recipient has shown or has so far, as the service established
// it in the commit that says so. The zero Facts are nothing.
type Facts struct {
	Viewable    bool           `json:"viewable,omitempty"`    // the view requirement is met
	Read        bool           `json:"read,omitempty"`        // forced reading is done
	Uploaded    bool           `json:"uploaded,omitempty"`    // every upload asked is in
	Identified  bool           `json:"identified,omitempty"`  // identity for signing is met
	Level       identity.Level `json:"level,omitempty"`       // reached so far
	Until       time.Time      `json:"until,omitzero"`        // instant from which Identified is false; zero: never
	Certificate bool           `json:"certificate,omitempty"` // held or obtainable at once
	Since       time.Time      `json:"since,omitzero"`        // first opened
}

// Reminders counts the reminders of a row.
type Reminders struct {
	ByHand    int       `json:"by_hand,omitempty"`
	Scheduled int       `json:"scheduled,omitempty"`
	Last      time.Time `json:"last,omitzero"`
}

// Rules are the numbers of the policy that an envelope was sent under, kept with
// it so that a later change of policy moves no deadline. Zero means the default.
// Those of reminders have no effect yet: [OpRemind] is not offered.
type Rules struct {
	Lifetime          time.Duration `json:"lifetime,omitempty"` // of an envelope without a deadline; 90 days
	OnRecipientExpiry OnExpiry      `json:"on_recipient_expiry,omitempty"`
	FirstReminder     time.Duration `json:"first_reminder,omitempty"`     // after the invitation; 5 days
	NextReminder      time.Duration `json:"next_reminder,omitempty"`      // after the one before; 2 days
	ReminderGap       time.Duration `json:"reminder_gap,omitempty"`       // between any two; 12 hours
	MaxScheduled      int           `json:"max_scheduled,omitempty"`      // 5; negative: none
	MaxByHand         int           `json:"max_by_hand,omitempty"`        // 3; negative: none
	RemindersUnmarked bool          `json:"reminders_unmarked,omitempty"` // a reminder by SMS does not stick (D24)
	MaxAttempts       int           `json:"max_attempts,omitempty"`       // at finalizing; 10
}

const day = 24 * time.Hour

// maxDeadline is how far a deadline may lie ahead.
const maxDeadline = 365 * day

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Recipient returns the row with the id. The result is a copy.
func (e *Envelope) Recipient(id string) (Recipient, bool) {
	if r := e.row(id); r != nil {
		return *r, true
	}
	return Recipient{}, false
}

func (e *Envelope) row(id string) *Recipient {
	for i := range e.Recipients {
		if e.Recipients[i].ID == id {
			return &e.Recipients[i]
		}
	}
	return nil
}

func (e *Envelope) document(id string) *Document {
	for i := range e.Documents {
		if e.Documents[i].ID == id {
			return &e.Documents[i]
		}
	}
	return nil
}

// clone copies everything that Apply may write to.
func (e Envelope) clone() Envelope {
	e.Stages = slices.Clone(e.Stages)
	e.Documents = slices.Clone(e.Documents)
	for i := range e.Documents {
		e.Documents[i].Segments = slices.Clone(e.Documents[i].Segments)
	}
	e.Fields = slices.Clone(e.Fields)
	e.Review = e.Review.clone()
	e.Recipients = slices.Clone(e.Recipients)
	for i := range e.Recipients {
		e.Recipients[i] = e.Recipients[i].clone()
	}
	if e.Template != nil {
		t := *e.Template
		e.Template = &t
	}
	return e
}

func (r Recipient) clone() Recipient {
	r.Used = slices.Clone(r.Used)
	r.Documents = slices.Clone(r.Documents)
	r.Uploads = slices.Clone(r.Uploads)
	r.View.Methods = slices.Clone(r.View.Methods)
	r.Sign.Methods = slices.Clone(r.Sign.Methods)
	r.Gate = r.Gate.clone()
	return r
}

func (g *Gate) clone() *Gate {
	if g == nil {
		return nil
	}
	c := *g
	c.Approvers = slices.Clone(g.Approvers)
	c.Answers = slices.Clone(g.Answers)
	return &c
}

// identified: the identity for signing is met at the instant; half-open.
func (f Facts) identified(at time.Time) bool {
	return f.Identified && (f.Until.IsZero() || at.Before(f.Until))
}
