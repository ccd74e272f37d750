package esign

import (
	"slices"
	"time"
)

// An Op names a command of the machine.
type Op string

// The commands. The comment says who gives them: O the owner or an admin in
// range, A an admin of the row's organisation, R the recipient with proof, P an
// approver, X the system.
const (
	OpCreate         Op = "create"          // O: Draft
	OpEdit           Op = "edit"            // O: Draft
	OpDiscard        Op = "discard"         // O
	OpSend           Op = "send"            // O: Cleared, Line
	OpPass           Op = "pass"            // P (review, gate) or R (approver row): Approver, Round
	OpReturn         Op = "return"          // P: Approver, Round
	OpRefuse         Op = "refuse"          // P or R: Approver, Round, Reason
	OpRecall         Op = "recall"          // O
	OpResubmit       Op = "resubmit"        // R, O: Recipient
	OpOpen           Op = "open"            // R: Recipient, Facts
	OpProgress       Op = "progress"        // X: Recipient, Facts; what became known since Open
	OpSaveFill       Op = "save_fill"       // R: Recipient
	OpSubmitFill     Op = "submit_fill"     // R: Recipient, Filled
	OpSign           Op = "sign"            // R: Recipient, Intent, Seal, Documents, Line if the signer pays
	OpSilentSign     Op = "silent_sign"     // X: Recipient, Seal, Documents
	OpLapse          Op = "lapse"           // X: Recipient, Facts, Reopen
	OpDecline        Op = "decline"         // R: Recipient, Reason
	OpRevoke         Op = "revoke"          // O: Reason
	OpClose          Op = "close"           // O: Reason
	OpInvalidate     Op = "invalidate"      // X
	OpFinish         Op = "finish"          // O
	OpFinalized      Op = "finalized"       // X: Documents if they grew
	OpFinalizeFailed Op = "finalize_failed" // X
	OpAdd            Op = "add"             // O: Row, Fields, Line
	OpReplace        Op = "replace"         // O: Recipient, Row
	OpTransfer       Op = "transfer"        // R, A: Recipient, Row, RealNamed
	OpRemove         Op = "remove"          // O: Recipient
	OpReroute        Op = "reroute"         // O: Recipient, Row's Channel, Address and Consent
	OpExtend         Op = "extend"          // O: Deadline, Recipient if it is a row's
	OpRemind         Op = "remind"          // O by hand, X by schedule: Recipient
	OpRender         Op = "render"          // X: Documents with their base
	OpReleaseBegin   Op = "release_begin"   // X: Linked
	OpReleaseDone    Op = "release_done"    // X: Linked, Items
	OpReleaseEnded   Op = "release_ended"   // X: Linked
	OpSweep          Op = "sweep"           // X: nothing but what fell due
)

// Ops returns every command, in the order of their declaration.
func Ops() []Op { return slices.Clone(ops) }

var ops = []Op{OpCreate, OpEdit, OpDiscard, OpSend, OpPass, OpReturn, OpRefuse, OpRecall, OpResubmit, OpOpen,
	OpProgress, OpSaveFill, OpSubmitFill, OpSign, OpSilentSign, OpLapse, OpDecline, OpRevoke, OpClose,
	OpInvalidate, OpFinish, OpFinalized, OpFinalizeFailed, OpAdd, OpReplace, OpTransfer, OpRemove, OpReroute,
	OpExtend, OpRemind, OpRender, OpReleaseBegin, OpReleaseDone, OpReleaseEnded, OpSweep}

// later are the commands that the service does not offer yet; it refuses them
// with ErrNotOffered. The machine knows them all.
var later = []Op{OpPass, OpReturn, OpRefuse, OpRecall, OpResubmit, OpSaveFill, OpSubmitFill, OpSilentSign, OpLapse,
	OpFinish, OpAdd, OpReplace, OpTransfer, OpRemove, OpReroute, OpExtend, OpRemind, OpReleaseBegin,
	OpReleaseDone, OpReleaseEnded}

// Offered reports whether the service serves the command.
func (o Op) Offered() bool { return slices.Contains(ops, o) && !slices.Contains(later, o) }

// A Who is the kind of actor behind a command or an event.
type Who string

// The kinds of actor.
const (
	WhoOwner     Who = "owner"     // or an admin in range
	WhoOrgAdmin  Who = "org_admin" // of the row's own organisation
	WhoRecipient Who = "recipient" // with proof
	WhoApprover  Who = "approver"
	WhoSystem    Who = "system"
)

// A Command asks the machine for one step. Which fields count depends on Op; the
// others are ignored. Who the actor is and whether its proof holds is judged
// before; the booleans state what the service has checked in the same commit,
// and false refuses.
type Command struct {
	Op        Op     `json:"op"`
	By        Who    `json:"by"`
	Recipient string `json:"recipient,omitempty"`
	Reason    string `json:"reason,omitempty"` // judged for length, not kept

	Draft    *Envelope `json:"draft,omitempty"`    // Create, Edit: the content; states, lines and times in it are ignored
	Channels []Channel `json:"channels,omitempty"` // declared by the host beside wechat and sms
	Cleared  Cleared   `json:"cleared,omitzero"`   // Send
	Line     LineRef   `json:"line,omitzero"`      // Send, Add, Sign if the signer pays: Hold, Units, Reason, Payer; Slot is set here

	Approver string `json:"approver,omitempty"` // account
	Round    int    `json:"round,omitempty"`

	Facts     Facts      `json:"facts,omitzero"`
	Filled    []string   `json:"filled,omitempty"` // ids of the fields with a valid value
	Intent    bool       `json:"intent,omitempty"` // intent proof fresh, bound to the base digests, spent now
	Seal      bool       `json:"seal,omitempty"`   // the seal is granted
	Documents []Document `json:"documents,omitempty"`

	Row       *Recipient `json:"row,omitempty"`    // Add, Replace, Transfer: the new row; Reroute: channel and address
	Fields    []Field    `json:"fields,omitempty"` // Add: of the new row
	RealNamed bool       `json:"real_named,omitempty"`
	Reopen    bool       `json:"reopen,omitempty"` // Lapse: the gate starts a new round
	Deadline  time.Time  `json:"deadline,omitzero"`

	Linked string   `json:"linked,omitempty"` // Release: the linked envelope
	Items  []string `json:"items,omitempty"`  // ReleaseDone: documents released; empty: all
}

// Cleared says what stands before a Send beyond the envelope itself.
type Cleared struct {
	Terms     bool `json:"terms,omitempty"`     // the sender accepted the current terms (H01)
	Content   bool `json:"content,omitempty"`   // the host's screen let it pass (H25)
	Templates bool `json:"templates,omitempty"` // every message template is approved (D16)
}

// An Event is one thing that happened. It holds ids only.
type Event struct {
	Type      string    `json:"type"` // subject.verb
	Recipient string    `json:"recipient,omitempty"`
	Approver  string    `json:"approver,omitempty"`
	By        Who       `json:"by"` // WhoSystem for what follows from a command
	At        time.Time `json:"at"`
	Eff       time.Time `json:"eff,omitzero"` // the instant it took effect, if that is not At
}

// Effective is the instant at which the event took effect.
func (e Event) Effective() time.Time { return or(e.Eff, e.At) }

// An EffectKind says what the service does, in the same commit, because of a
// command: units and evidence at once, everything outside through the outbox.
type EffectKind string

// The effects, with the fields that count.
const (
	EffectHold        EffectKind = "hold"        // Lines: reserve, or amend the hold that exists (D08)
	EffectCapture     EffectKind = "capture"     // Lines: used
	EffectCharge      EffectKind = "charge"      // Lines: reserve and capture from the signer, its Payer (D06)
	EffectSettle      EffectKind = "settle"      // Lines, Cause: the ledger's policy releases or forfeits
	EffectMove        EffectKind = "move"        // Recipient to To: the line and its slot belong to the new row
	EffectMark        EffectKind = "mark"        // Lines, Channel: it carries a message as of this commit (D24)
	EffectNotify      EffectKind = "notify"      // What, and one of Recipient, Approver, Owner
	EffectCertificate EffectKind = "certificate" // Recipient: request one
	EffectSilent      EffectKind = "silent"      // Recipient: seal it and come back with OpSilentSign
	EffectRender      EffectKind = "render"      // make the base revision and come back with OpRender
	EffectFinalize    EffectKind = "finalize"    // At: add what the level asks and come back
	EffectAlarm       EffectKind = "alarm"       // the host's operators
	EffectSeal        EffectKind = "seal"        // Cause: end the evidence chain with chain.sealed
	EffectDelete      EffectKind = "delete"      // the record of a discarded draft
	EffectLinked      EffectKind = "linked"      // Linked, Op: the command to give the envelope that this one releases, in this commit
)

// An Effect is one thing to do.
type Effect struct {
	Kind      EffectKind `json:"kind"`
	Lines     []Line     `json:"lines,omitempty"`
	Cause     Cause      `json:"cause,omitempty"`
	Channel   Channel    `json:"channel,omitempty"`
	Recipient string     `json:"recipient,omitempty"`
	To        string     `json:"to,omitempty"`
	Approver  string     `json:"approver,omitempty"`
	Owner     bool       `json:"owner,omitempty"`
	What      string     `json:"what,omitempty"` // the type of the event that it tells of
	Linked    string     `json:"linked,omitempty"`
	Op        Op         `json:"op,omitempty"`
	At        time.Time  `json:"at,omitzero"` // not before
}

// A Line is a row and its unit line, as it stands after the command.
type Line struct {
	Recipient string `json:"recipient"`
	LineRef
}
