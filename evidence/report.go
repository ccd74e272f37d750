package evidence

import (
	"io"
	"time"

	"github.com/countersign/countersign/storage"
)

// A Verdict is the answer of a check.
type Verdict string

const (
	// Passed: every required check passed under trust that the caller gave.
	Passed Verdict = "PASSED"
	// Failed: something contradicts.
	Failed Verdict = "FAILED"
	// Indeterminate: trust, anchor, revocation data or document bytes are
	// missing, or an event type is unknown. What a bundle brings along never
	// lifts it.
	Indeterminate Verdict = "INDETERMINATE"
)

// The codes of checks, in the order in which [Verify] runs them.
const (
	CodeContainer      = "CONTAINER"            // the file is the one form of its entries
	CodeManifest       = "MANIFEST"             // every entry is what the manifest says
	CodeManifestNote   = "MANIFEST_SIGNATURE"   // the log signed this manifest
	CodeLogKey         = "LOG_KEY_UNKNOWN"      // no trusted key of this log was given
	CodeEvent          = "EVENT_FORM"           // each event has the one form of its type
	CodeEventType      = "EVENT_TYPE_UNKNOWN"   // an event of a newer release
	CodeChain          = "CHAIN"                // events follow one another from the genesis
	CodeSeal           = "CHAIN_SEAL"           // what the seal says is so; only after-seal types follow
	CodeLeaf           = "LEAF"                 // the leaf in the log is this event
	CodeInclusion      = "INCLUSION"            // the leaf is in the tree
	CodeCheckpoint     = "CHECKPOINT"           // the log signed the tree
	CodeConsistency    = "CONSISTENCY"          // later trees extend earlier ones
	CodeAnchor         = "ANCHOR"               // somebody outside saw the tree in time
	CodeAnchorTrust    = "ANCHOR_UNTRUSTED"     // an anchor whose key or root was not given
	CodeRenewal        = "RENEWAL"              // an anchor was renewed in time (RFC 4998)
	CodeRenewedDigests = "RENEWED_DIGESTS_ONLY" // renewed under another hash: the tree's digests, not the documents
	CodeUnbound        = "OPERATOR_UNBOUND"     // nothing outside binds the operator
	CodeClock          = "CLOCK_OUTSIDE_WINDOW" // the claimed instant is not in the window that outsiders prove
	CodeDocument       = "DOCUMENT"             // bytes are what the events say
	CodeDocumentAbsent = "DOCUMENT_ABSENT"      // bytes are not here
	CodeDocumentCheck  = "DOCUMENT_SIGNATURES"  // what VerifyOptions.Document found
	CodeDisclosure     = "DISCLOSURE"           // a disclosed value is what was committed
	CodeReceipt        = "RECEIPT"              // the bundle agrees with receipts that the verifier holds
	CodeAccess         = "ACCESS_LOG"           // audit: an access log is what a heartbeat said of it
	CodeLoss           = "UNEXPLAINED_LOSS"     // audit: the vault lost a committed value, and no event says why
)

// A Check is the result of one step, or of one step for one thing.
type Check struct {
	Code    string  `json:"code"`
	Verdict Verdict `json:"verdict"`
	Seq     uint64  `json:"seq,omitempty"`  // event it is about
	Path    string  `json:"path,omitempty"` // entry it is about
	Detail  string  `json:"detail,omitempty"`
}

// A Claim is what a bundle says it proves.
type Claim struct {
	Kind  string      `json:"kind"` // "sealed": 1..Last contiguous up to the seal; "open": as of now
	Last  uint64      `json:"last"` // number of events
	Head  storage.Hex `json:"head"` // SHA-256 of the last
	Seal  uint64      `json:"seal"` // seq of the newest chain seal; 0: none
	Docs  string      `json:"docs"` // "full", or "digests" where the bundle leaves the bytes out
	Size  uint64      `json:"size"` // size of the log its proofs lead to; 0: none
	Known bool        `json:"-"`    // the manifest could be read
}

// The kinds of claim, and how documents are in a bundle.
const (
	ClaimSealed = "sealed"
	ClaimOpen   = "open"
	DocsFull    = "full"
	DocsDigests = "digests"
)

// A Window is when an event happened, as far as outsiders prove it: after
// NotBefore, before NotAfter. A zero side is not proven.
type Window struct {
	Seq       uint64    `json:"seq"`
	At        time.Time `json:"at"` // what the operator's clock said
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
}

// A Report is the answer of [Verify] and of [Log.Audit].
type Report struct {
	Verdict  Verdict  `json:"verdict"`
	Tenant   string   `json:"tenant,omitempty"`
	Env      string   `json:"env,omitempty"`
	Origin   string   `json:"origin,omitempty"`
	Claim    Claim    `json:"claim"`
	FirstBad uint64   `json:"first_bad,omitempty"` // smallest seq that cannot be right; 0: none found
	Chains   uint64   `json:"chains,omitempty"`    // how many an audit read
	Events   uint64   `json:"events,omitempty"`    // and of how many events
	Windows  []Window `json:"windows,omitempty"`
	Checks   []Check  `json:"checks"`
}

// VerifyOptions are what a verifier brings along. nil trusts nobody.
type VerifyOptions struct {
	// Keys are the keys and roots trusted; see [ParseTrust].
	Keys *Trust
	// Anchors verify receipts of kinds other than RFC 3161 tokens, by name.
	Anchors []Anchor
	// Skew is how far the operator's clock may be from an authority's before a
	// claimed instant counts as outside its window; zero is one minute.
	Skew time.Duration
	// At, if set, is when anchors must still prove: one whose certificate has
	// ended by then counts only with a renewal that holds. Zero asks for the time
	// of each anchor only, so that the answer never changes.
	At time.Time
	// Held are receipts that the verifier kept: a log that rewrote its past is
	// caught by them even if it signs everything again.
	Held []Receipt
	// Consistency is for [Compare]: a proof from [Log.Consistency] between the
	// trees of the two receipts.
	Consistency []byte
	// Manifest is an evidence record over the bundle's manifest, which stands beside a
	// bundle under an issued report ([Log.ManifestRecord]); nil: none was given.
	Manifest []byte
	// Document, if set, checks each document's own signatures. The text of its
	// error becomes the detail of the check.
	Document func(path string, r io.ReaderAt, size int64) (Verdict, error)
}

func (r *Report) add(c Check) {
	r.Checks = append(r.Checks, c)
	switch {
	case c.Verdict == Failed:
		r.Verdict = Failed
	case c.Verdict == Indeterminate && r.Verdict == Passed:
		r.Verdict = Indeterminate
	}
}

// bad notes an event that cannot be right.
func (r *Report) bad(seq uint64) {
	if seq > 0 && (r.FirstBad == 0 || seq < r.FirstBad) {
		r.FirstBad = seq
	}
}

// Has reports whether the report has a check with this code and verdict.
func (r *Report) Has(code string, v Verdict) bool {
	for _, c := range r.Checks {
		if c.Code == code && c.Verdict == v {
			return true
		}
	}
	return false
}
