package quota

import "time"

// Units counts units of any kind. It is never negative in a balance.
type Units int64

// Ids are chosen by the caller: UTF-8 of at most 64 bytes. Those of lots, holds
// and calls may join several with slashes (a hold is "envelope/n", a signer's
// own charge "hold/slot"): 64 bytes each, 200 in all.
type (
	// AccountID names an account: who buys and spends.
	AccountID string
	// LotID names a lot; for a purchase it is the order line.
	LotID string
	// HoldID names a hold.
	HoldID string
	// SlotID names a line within its hold: one signer's place.
	SlotID string
)

// A Unit is what a lot is counted in. Units never pay for each other (D15).
type Unit string

// The units of the agreements.
const (
	UnitSign        Unit = "sign"            // signing (签署份额)
	UnitPersonCheck Unit = "idcheck.person"  // real-name check of a person (个人实名认证)
	UnitOrgCheck    Unit = "idcheck.org"     // real-name check of an organisation (企业实名认证)
	UnitSMS         Unit = "sms"             // domestic text message
	UnitSMSIntl     Unit = "sms.intl"        // international text message
	UnitVoice       Unit = "voice"           // voice code
	UnitReport      Unit = "evidence.report" // evidence report (出证)
)

// Limits of the engine.
const (
	maxLots           = 1000 // live lots of an account
	maxFinished       = 250  // lots that one commit takes out of an account
	maxAlerts         = 100  // alerts that one commit raises
	maxLines          = 1000 // lines of a hold
	clockTolerance    = 5 * time.Minute
	checkpointEntries = 1024 // entries between two checkpoints
)

// A ChargeKind is what a line is for; [Rates] gives it a unit and a weight.
type ChargeKind string

// The kinds that [DefaultRates] knows.
const (
	KindOrdinary       ChargeKind = "ordinary"        // a signer of an ordinary file (H45)
	KindRealNamePerson ChargeKind = "realname.person" // a person signing a real-name file (H46)
	KindRealNameOrg    ChargeKind = "realname.org"    // an organisation signing a real-name file (H46)
	KindPersonCheck    ChargeKind = "idcheck.person"  // a real-name check of a person (H40)
	KindOrgCheck       ChargeKind = "idcheck.org"     // a real-name check of an organisation (H41)
	KindSMS            ChargeKind = "sms"             // one message accepted by the gateway (D14)
	KindSMSIntl        ChargeKind = "sms.intl"        // one international message
	KindVoice          ChargeKind = "voice"           // one voice code
	KindReport         ChargeKind = "evidence.report" // one evidence report (T52)
)

// A Channel is how a signer was invited; it decides whether units come back (D02).
type Channel string

// The channels the agreement names. Any other must be declared, see
// [Config].Channels.
const (
	WeChat Channel = "wechat" // units come back on revoke and close (H17)
	SMS    Channel = "sms"    // units never come back (H18)
)

// A Source says where a lot came from.
type Source string

// Sources of lots.
const (
	Bought   Source = "bought"   // paid for
	Given    Source = "given"    // a present, spent before what was bought
	Adjusted Source = "adjusted" // an operator's correction, see [Ledger.Adjust]
	Returned Source = "returned" // units returned to an expired lot, kept by [Config].OnExpired
)

// A Lot is a number of units bought or given at once. Its counters obey, always,
//
//	Granted = available + Held + Used + Expired + Clawed
//
// where available, the rest, is what could be spent inside the window [From, Until).
type Lot struct {
	ID       LotID        `json:"id"`
	Unit     Unit         `json:"unit"`
	Scope    []ChargeKind `json:"scope,omitempty"`    // the kinds it pays for; empty: all of its unit
	Priority int16        `json:"priority,omitempty"` // lower is spent first
	Source   Source       `json:"source"`
	From     time.Time    `json:"from"`
	Until    time.Time    `json:"until"`
	Order    string       `json:"order,omitempty"` // the purchase it belongs to
	Granted  Units        `json:"granted"`
	Held     Units        `json:"held,omitempty"`
	Used     Units        `json:"used,omitempty"`
	Expired  Units        `json:"expired,omitempty"`
	Clawed   Units        `json:"clawed,omitempty"`
	Frozen   bool         `json:"frozen,omitempty"`   // a refund is under way
	Clawing  bool         `json:"clawing,omitempty"`  // refunded: what comes back is clawed
	Refund   string       `json:"refund,omitempty"`   // the refund that froze or clawed it
	FirstUse time.Time    `json:"first_use,omitzero"` // the first hold ever made on it
	Lapse    []Lapse      `json:"lapse,omitempty"`    // units of timed holds, by instant
	Credited time.Time    `json:"credited,omitzero"`  // when it was granted
}

// A Lapse is how many held units of a lot come back by themselves at an instant.
type Lapse struct {
	At    time.Time `json:"at"`
	Units Units     `json:"units"`
}

// Available returns what is neither held nor gone, whatever the window says.
// What can be spent at an instant is [Lot.Spendable].
func (l Lot) Available() Units { return l.available() }

func (l *Lot) available() Units { return l.Granted - l.Held - l.Used - l.Expired - l.Clawed }

// Spendable returns the units that could be spent at an instant: none outside
// [From, Until) or while frozen, whether or not a sweep has run (H15); units of
// timed holds that have lapsed by then count.
func (l Lot) Spendable(at time.Time) Units { return l.spendable(at) }

func (l *Lot) spendable(at time.Time) Units {
	if l.Frozen || l.Clawing || at.Before(l.From) || !at.Before(l.Until) {
		return 0
	}
	free := l.available()
	for _, p := range l.Lapse {
		if !p.At.After(at) {
			free += p.Units
		}
	}
	return free
}

// Pays reports whether the lot may pay for a kind of charge of its unit.
func (l Lot) Pays(kind ChargeKind) bool { return l.pays(kind) }

func (l *Lot) pays(kind ChargeKind) bool {
	if len(l.Scope) == 0 {
		return true
	}
	for _, k := range l.Scope {
		if k == kind {
			return true
		}
	}
	return false
}

// A Slice is the part of a line that one lot pays.
type Slice struct {
	Lot   LotID  `json:"lot"`
	Units Units  `json:"units"`
	Entry uint64 `json:"entry"` // the entry of the account that held it
}

// A LineState is where a line stands.
type LineState string

// Line states. All but [Held] are final.
const (
	Held      LineState = "held"      // units wait for the signer
	Captured  LineState = "captured"  // the signer signed: used for good
	Released  LineState = "released"  // the units went back to their lots
	Forfeited LineState = "forfeited" // ended unsigned, and the rule keeps the units
	Lapsed    LineState = "lapsed"    // a timed hold ran out: the units went back
)

// A Line is one signer's place in a hold (D07, D20). What it costs is fixed
// when it is made.
type Line struct {
	Slot    SlotID     `json:"slot"`
	Kind    ChargeKind `json:"kind"`
	Unit    Unit       `json:"unit,omitempty"`
	Units   Units      `json:"units"`
	Channel Channel    `json:"channel,omitempty"` // the last one used, empty: not invited yet
	Sticky  bool       `json:"sticky,omitempty"`  // a channel whose units never return was used (D02)
	State   LineState  `json:"state"`
	Free    string     `json:"free,omitempty"` // why it costs nothing (D01)
	From    []Slice    `json:"from,omitempty"`
	Account AccountID  `json:"account,omitempty"` // who paid, if not the hold's account
	Held    time.Time  `json:"held_at"`
	Settled time.Time  `json:"settled_at,omitzero"`
	Cause   Cause      `json:"cause,omitempty"` // why it was settled without a signature
	Since   uint64     `json:"since"`           // the hold's revision that made it
}

// A Hold keeps units for the signers of one envelope, or for one check, until
// each line is captured, released or forfeited.
type Hold struct {
	ID      HoldID    `json:"id"`
	Account AccountID `json:"account"`
	Ref     string    `json:"ref,omitempty"` // the host's name for what it is for
	Rates   int       `json:"rates"`         // the version of the rates that priced it
	Lines   []Line    `json:"lines"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Rev     uint64    `json:"rev"`
}

// Line returns the line of a slot.
func (h Hold) Line(slot SlotID) (Line, bool) {
	for _, l := range h.Lines {
		if l.Slot == slot {
			return l, true
		}
	}
	return Line{}, false
}

// Units returns the units of all lines, settled or not.
func (h Hold) Units() Units {
	var n Units
	for _, l := range h.Lines {
		n += l.Units
	}
	return n
}

// A Book is one side of an entry. Each lot has one of each, and every entry
// takes from one what it adds to another.
type Book string

// The books.
const (
	BookIssue     Book = "issue"     // where granted units come from
	BookAvailable Book = "available" // neither held nor gone
	BookHeld      Book = "held"
	BookUsed      Book = "used" // captured or forfeited
	BookExpired   Book = "expired"
	BookClawed    Book = "clawed"
	BookTransit   Book = "transit" // between two merging accounts
)

// An EntryKind says what an entry records.
type EntryKind string

// Entry kinds, with the books they move units between.
const (
	EntryGrant   EntryKind = "grant"   // issue to available
	EntryHold    EntryKind = "hold"    // available to held
	EntryCapture EntryKind = "capture" // held to used: a signature
	EntryForfeit EntryKind = "forfeit" // held to used: unsigned, kept by rule
	EntryRelease EntryKind = "release" // held to available
	EntryLapse   EntryKind = "lapse"   // held to available, by time
	EntryExpire  EntryKind = "expire"  // available to expired
	EntryClaw    EntryKind = "claw"    // available to clawed
	EntryFreeze  EntryKind = "freeze"  // no units
	EntryThaw    EntryKind = "thaw"    // no units
	EntryRefund  EntryKind = "refund"  // no units: what comes back from now on is clawed
	EntryMerge   EntryKind = "merge"   // available to transit, transit to available
	EntryAlias   EntryKind = "alias"   // no units: the account is another from now on, named in Reason
	EntrySuspend EntryKind = "suspend" // no units
	EntryResume  EntryKind = "resume"  // no units
)

// An Entry is one movement of an account's journal. Entries are dense from Seq
// 1, never change and are never removed. Effective is when it counts, Recorded
// when it was booked; neither ever falls along the journal of an account.
type Entry struct {
	Seq       uint64    `json:"seq"`
	Effective time.Time `json:"effective"`
	Recorded  time.Time `json:"recorded"`
	Kind      EntryKind `json:"kind"`
	Lot       LotID     `json:"lot,omitempty"`
	Hold      HoldID    `json:"hold,omitempty"`
	Slot      SlotID    `json:"slot,omitempty"`
	Units     Units     `json:"units"`
	Debit     Book      `json:"debit,omitempty"`    // the book the units leave
	Credit    Book      `json:"credit,omitempty"`   // the book they enter
	Reverses  uint64    `json:"reverses,omitempty"` // the Seq of the entry that held them
	Actor     string    `json:"actor,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	// Expires is when the held units come back by themselves, for timed holds.
	Expires time.Time `json:"expires,omitzero"`
	// State is the lot as it stands after this entry, where the entry begins or
	// moves a lot, so that a journal can be replayed without other records.
	State *Lot `json:"state,omitempty"`
}
