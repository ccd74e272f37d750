package esign

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// An Actor is who gives a command. The host has authenticated it; the library
// judges what it may do.
type Actor struct {
	Tenant  string // Required
	Account string // the host's account id. Required
	Org     string // the organisation it acts for; empty: itself
	Proof   Proof
	Request Request
}

// A Proof is how the host knows that a recipient is who it says: its own
// session. A recipient's commands need one; it is recorded by its digest. It
// prints, logs and marshals without it.
type Proof struct {
	Session string // the host's session id
}

// A Request is what is known of the call: recorded with every event (P10).
type Request struct {
	Client  string // app, mini-program, web; recorded as it is, so nothing personal
	Version string // of the client's software; likewise, at most 64 bytes
	// IP is the peer's address as the host trusts it, Forwarded the chain of addresses
	// that came with the request, UserAgent what the client calls itself, Device
	// whatever id the host has of the device. They are personal: events commit to
	// them, the vault keeps them.
	IP        privacy.IP
	Forwarded privacy.Text
	UserAgent privacy.Text
	Device    privacy.Text
}

// An Upload brings documents. The reader of each File is read once, to its end.
type Upload struct {
	Files []File // 1 to 20
}

// A File is one PDF.
type File struct {
	ID   string // of the document in its envelope
	Body io.Reader
}

// A Draft is the content of an envelope. The same ID with the same content
// answers the same; with other content it is [ErrIntentMismatch].
type Draft struct {
	ID         string     `json:"id"`               // becomes the envelope's
	Request    string     `json:"request,omitzero"` // of this very [Service.Edit]; see there
	Kind       Kind       `json:"kind,omitzero"`    // zero: Ordinary
	Title      string     `json:"title,omitzero"`   // zero: the id; goes into messages
	Ref        string     `json:"ref,omitzero"`     // the host's own number
	Documents  []Document `json:"documents"`        // from Upload
	Recipients []Invitee  `json:"recipients"`
	Fields     []Field    `json:"fields,omitzero"`
	Stages     []Stage    `json:"stages,omitzero"` // rules other than All
	Deadline   time.Time  `json:"deadline,omitzero"`
	SignerPays bool       `json:"signer_pays,omitzero"` // 签字人付费 (D06)
	NoLate     bool       `json:"no_late,omitzero"`     // nobody is added after Send
}

// An Invitee is who shall take part.
type Invitee struct {
	ID        string    `json:"id"`
	Role      Role      `json:"role,omitzero"`  // zero: RolePerson
	Order     int       `json:"order,omitzero"` // zero: 1; equal orders act in parallel
	Party     Party     `json:"party,omitzero"`
	Contact   Contact   `json:"-"`
	Channel   Channel   `json:"channel"`
	Consent   Consent   `json:"consent,omitzero"` // on what ground the contact may be written to (S10)
	Documents []string  `json:"documents,omitzero"`
	Reading   Reading   `json:"reading,omitzero"`
	NoDecline bool      `json:"no_decline,omitzero"`
	Deadline  time.Time `json:"deadline,omitzero"`
	Timing    Timing    `json:"timing,omitzero"` // of a CC
}

// A Contact is who somebody is and how to reach them. It is sealed in the
// vault and appears nowhere else.
type Contact struct {
	Name  privacy.Name
	Phone privacy.Phone
	Email privacy.Email
}

// A Send sends an envelope.
type Send struct {
	ID       string `json:"id"`
	Envelope string `json:"envelope"`
}

// A View opens an envelope for one recipient.
type View struct {
	ID        string `json:"id"`
	Envelope  string `json:"envelope"`
	Recipient string `json:"recipient,omitzero"` // zero: the actor's only row
	Read      bool   `json:"read,omitzero"`      // the client reports that the end was reached
	Proof     Intent `json:"-"`                  // of a code with [CodeToView], where the view asks for I1
}

// A Ceremony is what a recipient is to see and still has to do.
type Ceremony struct {
	Envelope  Envelope
	Recipient string
	Documents []Document
	Fields    []Field  // the recipient's own
	Missing   []string // see [NotReadyError]; "intent", and often "identity", until a code is checked
	Waiting   []string // the rows that come first; empty: it is its turn
}

// A CodePurpose says what a one-time code is for.
type CodePurpose string

// The purposes of codes.
const (
	CodeToSign CodePurpose = "sign" // bound to the documents: intent, W2
	CodeToView CodePurpose = "view" // bound to no document: control of the phone, I1
)

// A Challenge asks for a one-time code to the recipient's phone, bound to the
// documents of an envelope. Exactly one envelope is served as yet: one code for
// several comes with batch signing.
type Challenge struct {
	ID        string   `json:"id"`
	Envelopes []string `json:"envelopes"`
	Recipient string   `json:"recipient,omitzero"` // zero: the actor's only row in each
	// Purpose is zero for CodeToSign.
	Purpose CodePurpose `json:"purpose,omitzero"`
	// Values are those that the Sign will bring: the code to sign by is bound to
	// them, and to no others.
	Values []FieldValue `json:"values,omitzero"`
}

// An Asked answers a [Challenge].
type Asked struct {
	ID      string    `json:"id"`
	To      string    `json:"to"`      // masked
	Expires time.Time `json:"expires"` // of the code
	Resend  time.Time `json:"resend"`  // not again before
}

// A Code is what a person typed. It prints, logs and marshals without the code.
type Code struct {
	Challenge string
	Code      string
}

// An Intent is the one-use proof that a person meant to sign or, from a code to
// view by, that it has the phone. Keep it as secret as a session.
type Intent struct {
	Method string    `json:"method,omitzero"` // "phone.code"
	Code   sms.Proof `json:"-"`
}

// A Sign signs every document of a recipient, or none.
type Sign struct {
	ID        string       `json:"id"`
	Envelope  string       `json:"envelope"`
	Recipient string       `json:"recipient,omitzero"` // zero: the actor's only row
	Values    []FieldValue `json:"values,omitzero"`    // of the recipient's own fields
	Reason    string       `json:"reason,omitzero"`    // shown in the signature, at most 200 characters
	Intent    Intent       `json:"-"`
}

// A FieldValue fills a field of the signer: text as the field's type and pattern
// ask, a date as 2006-01-02, a box with "Yes" or "Off". It may be personal, so it
// prints, logs and marshals without its value.
type FieldValue struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// A Signed answers a [Sign].
type Signed struct {
	Envelope  Envelope  `json:"envelope"`
	Recipient string    `json:"recipient"`
	At        time.Time `json:"at"`
}

// An End ends something: Discard, Decline, Revoke, Close.
type End struct {
	ID        string `json:"id"`
	Envelope  string `json:"envelope"`
	Recipient string `json:"recipient,omitzero"` // Decline; zero: the actor's only row
	Reason    string `json:"reason,omitzero"`    // 1 to 200 characters; Discard needs none
}

// An Export asks for the bundle of an envelope, or for one document as a PDF.
type Export struct {
	Envelope string
	Document string // zero: the evidence bundle, documents included
	Digests  bool   // the bundle names the documents by digest only
}

// maxID bounds the ids of callers.
const maxID = 64

// checkID refuses ids that cannot be part of a key: empty, above 64 bytes, with
// control characters, "/" or "%".
func checkID(field, id string) error {
	switch {
	case id == "":
		return badField(field, "is missing")
	case len(id) > maxID:
		return badField(field, fmt.Sprintf("is longer than %d bytes", maxID))
	case !utf8.ValidString(id) || strings.ContainsAny(id, "/%") || strings.ContainsFunc(id, unicode.IsControl):
		return badField(field, "holds a character that an id cannot have")
	}
	return nil
}

func (a Actor) check() error {
	if a.Tenant == storage.Deployment {
		return badField("actor.tenant", "is reserved")
	}
	if err := checkID("actor.tenant", a.Tenant); err != nil {
		return err
	}
	if err := checkID("actor.account", a.Account); err != nil {
		return err
	}
	if a.Org != "" {
		if err := checkID("actor.org", a.Org); err != nil {
			return err
		}
	}
	if len(a.Request.Client) > maxID || len(a.Request.Version) > maxID {
		return badField("actor.request.client", "is longer than 64 bytes")
	}
	return nil
}
