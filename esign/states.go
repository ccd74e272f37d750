package esign

// A State is where an envelope stands. The last six are terminal: nothing but
// the release axis moves after them.
type State string

// The states of an envelope. The zero State is an envelope that does not exist.
const (
	StateDraft       State = "draft"
	StateInReview    State = "in_review" // approval before start (发起审批)
	StateFilling     State = "filling"   // values that others must see first (填写)
	StateInProgress  State = "in_progress"
	StateFinalizing  State = "finalizing" // everybody signed; validation data and timestamps follow
	StateCompleted   State = "completed"
	StateDeclined    State = "declined"    // 拒签
	StateRevoked     State = "revoked"     // 撤销: voids the signatures made (D05)
	StateClosed      State = "closed"      // 关闭: keeps them (D05)
	StateExpired     State = "expired"     // 过期
	StateInvalidated State = "invalidated" // 失效
)

// Terminal reports whether s ends the envelope.
func (s State) Terminal() bool {
	switch s {
	case StateCompleted, StateDeclined, StateRevoked, StateClosed, StateExpired, StateInvalidated:
		return true
	}
	return false
}

// running: sent, and its deadline runs.
func (s State) running() bool {
	return s == StateInReview || s.open()
}

// open: recipients can act.
func (s State) open() bool {
	return s == StateFilling || s == StateInProgress
}

// A ReleaseState is the second axis of a completed envelope: whether a linked
// envelope has released (解除) what it agreed.
type ReleaseState string

// The release states. The zero ReleaseState is none.
const (
	ReleaseNone              ReleaseState = ""
	ReleaseReleasing         ReleaseState = "releasing"
	ReleasePartiallyReleased ReleaseState = "partially_released"
	ReleaseReleased          ReleaseState = "released"
)

// A RecipientState is where one row stands.
type RecipientState string

// The states of a row. Replaced, Released, Satisfied, Revoked and Declined are
// final; Expired leaves only by replacement or removal.
const (
	RecipientPending   RecipientState = "pending"
	RecipientNotified  RecipientState = "notified"
	RecipientViewed    RecipientState = "viewed"
	RecipientFilling   RecipientState = "filling"
	RecipientBlocked   RecipientState = "blocked" // its gate (用印审批) has not passed
	RecipientReady     RecipientState = "ready"
	RecipientSigned    RecipientState = "signed" // acted; Outcome says how
	RecipientDeclined  RecipientState = "declined"
	RecipientExpired   RecipientState = "expired"
	RecipientReplaced  RecipientState = "replaced"
	RecipientSatisfied RecipientState = "satisfied_by_other"
	RecipientRevoked   RecipientState = "revoked"
	RecipientReleased  RecipientState = "released"
)

// Live reports whether the row may still act.
func (s RecipientState) Live() bool {
	switch s {
	case RecipientPending, RecipientNotified, RecipientViewed, RecipientFilling, RecipientBlocked, RecipientReady:
		return true
	}
	return false
}

// An Outcome says what a row in RecipientSigned did.
type Outcome string

// The outcomes.
const (
	OutcomeSigned   Outcome = "signed"
	OutcomeApproved Outcome = "approved"
	OutcomeViewed   Outcome = "viewed"
)

// A Kind decides the price of an envelope and the identity it asks (D01).
type Kind string

// The kinds of envelope.
const (
	Ordinary Kind = "ordinary"
	RealName Kind = "real_name" // 实名
)

// A Role is the part a row plays.
type Role string

// The roles. Person, Operator, Representative and Silent are signers and have
// a unit line (D07).
const (
	RolePerson         Role = "person"
	RoleOperator       Role = "operator"       // 经办人: real-named staff with a seal grant
	RoleRepresentative Role = "representative" // 法定代表人
	RoleSilent         Role = "silent"         // 静默签署: an organisation's seal under a standing grant
	RoleApprover       Role = "approver"       // 审批人
	RoleCC             Role = "cc"             // 抄送
	RoleViewer         Role = "viewer"         // 查看方: must open
)

// Signer reports whether the role signs, and so has a line (D07).
func (r Role) Signer() bool {
	switch r {
	case RolePerson, RoleOperator, RoleRepresentative, RoleSilent:
		return true
	}
	return false
}

// sealed: signs with an organisation's seal, which must be granted.
func (r Role) sealed() bool { return r == RoleOperator || r == RoleSilent }

// A Rule says how many of a group must act.
type Rule string

// The rules. The zero Rule is All.
const (
	All Rule = "all" // 会签
	Any Rule = "any" // 或签
	K   Rule = "k"   // k of n
)

// An Answer is what an approver says.
type Answer string

// The answers. A return still blocks: the same approver may pass later in the
// round. A refusal is final.
const (
	AnswerPass   Answer = "pass"
	AnswerReturn Answer = "return"
	AnswerRefuse Answer = "refuse"
)

// A Channel carries invitations and reminders. Beside these a host may declare
// its own.
type Channel string

// The channels known by name. Of their units WeChat's come back and SMS's do
// not (H17, H18); every other must be declared by the host (D02).
const (
	ChannelWeChat   Channel = "wechat"
	ChannelSMS      Channel = "sms"
	ChannelEmail    Channel = "email"
	ChannelLink     Channel = "link"
	ChannelApp      Channel = "app"
	ChannelEmbedded Channel = "embedded"
)

// A Consent says on what ground a contact may be written to (S10).
type Consent string

// The grounds a sender may declare.
const (
	ConsentStaff    Consent = "staff"    // works for the sender's organisation
	ConsentCustomer Consent = "customer" // a registered customer with prior explicit consent on record
)

// A Cause says why a line settled or an envelope ended. The ledger's policy
// turns it into release or forfeit (D02, D03, D20, D23).
type Cause string

// The causes.
const (
	CauseSigned      Cause = "signed" // used
	CauseCompleted   Cause = "completed"
	CauseDeclined    Cause = "declined"
	CauseRefused     Cause = "refused" // in the review before start
	CauseRevoked     Cause = "revoked"
	CauseClosed      Cause = "closed"
	CauseExpired     Cause = "expired"
	CauseInvalidated Cause = "invalidated"
	CauseRemoved     Cause = "removed"
	CauseSatisfied   Cause = "satisfied"   // others met the stage (D20)
	CauseNotStarted  Cause = "not_started" // nothing went out: all units return (D23)
)

// A Timing says when a CC row gets its copy.
type Timing string

// The timings. The zero Timing is AtStart.
const (
	AtStart Timing = "start"
	AtEnd   Timing = "end"
)

// An OnExpiry says what the expiry of a row does to its envelope.
type OnExpiry string

// The ways. The zero OnExpiry is ExpiryWaits.
const (
	ExpiryWaits OnExpiry = "wait" // for a replacement, a removal or the envelope's end
	ExpiryEnds  OnExpiry = "end"  // the envelope, if the stage can no longer be met
)
