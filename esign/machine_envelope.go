package esign

// The transition table of envelopes (E1-E21, and A1-A3 for the release axis).
// Several rules under one id are the alternatives of one row of the
// specification; the first that applies is fired.
var envelopeRules = []rule{
	{id: "E1", in: []State{""}, op: OpCreate, who: owner, guard: []guard{wellFormed}, do: []act{takeContent},
		to: StateDraft, event: []string{"envelope.created"}},
	{id: "E1", in: []State{StateDraft}, op: OpCreate, who: owner, guard: []guard{sameContent}},
	{id: "E2", in: []State{StateDraft}, op: OpEdit, who: owner, guard: []guard{wellFormed}, do: []act{takeContent},
		event: []string{"envelope.edited"}},
	{id: "E2", in: []State{StateDraft}, op: OpDiscard, who: owner, do: []act{discard},
		event: []string{"envelope.discarded"}},

	{id: "E3", in: []State{StateDraft}, op: OpSend, who: owner, when: []cond{hasReview}, guard: sendable, do: []act{start},
		to: StateInReview, units: []act{holdLines}, event: []string{"envelope.sent"}, tells: []tell{tellReviewers}},
	{id: "E3", in: []State{StateDraft}, op: OpSend, who: owner, when: []cond{anyoneFills}, guard: sendable, do: []act{start},
		to: StateFilling, units: []act{holdLines}, event: []string{"envelope.sent"}},
	{id: "E3", in: []State{StateDraft}, op: OpSend, who: owner, guard: sendable, do: []act{start, askRender},
		to: StateInProgress, units: []act{holdLines}, event: []string{"envelope.sent"}},

	{id: "E4", in: []State{StateInReview}, op: OpPass, who: approver, when: []cond{lastReview, anyoneFills},
		guard: []guard{isReviewer, reviewRound}, do: []act{answerReview}, to: StateFilling, event: []string{"review.passed"}},
	{id: "E4", in: []State{StateInReview}, op: OpPass, who: approver, when: []cond{lastReview},
		guard: []guard{isReviewer, reviewRound}, do: []act{answerReview, askRender}, to: StateInProgress, event: []string{"review.passed"}},
	{id: "E4", in: []State{StateInReview}, op: OpPass, who: approver, when: []cond{sameReviewAnswer(AnswerPass)},
		guard: []guard{isReviewer, reviewRound}},
	{id: "E4", in: []State{StateInReview}, op: OpPass, who: approver,
		guard: []guard{isReviewer, reviewRound}, do: []act{answerReview}, event: []string{"review.answered"}},
	{id: "E5", in: []State{StateInReview}, op: OpReturn, who: approver, when: []cond{sameReviewAnswer(AnswerReturn)},
		guard: []guard{isReviewer, reviewRound}},
	{id: "E5", in: []State{StateInReview}, op: OpReturn, who: approver,
		guard: []guard{isReviewer, reviewRound}, do: []act{answerReview}, event: []string{"review.returned"}, tells: []tell{tellOwner}},
	{id: "E6", in: []State{StateInReview}, op: OpRecall, who: owner, do: []act{recall}, to: StateDraft,
		units: []act{settleOpen(CauseNotStarted)}, event: []string{"review.recalled"}, tells: []tell{tellReviewers}},
	{id: "E7", in: []State{StateInReview}, op: OpRefuse, who: approver,
		guard: []guard{isReviewer, reviewRound}, do: []act{answerReview, because(CauseRefused)}, to: StateRevoked,
		units: []act{settleOpen(CauseNotStarted)}, event: []string{"review.refused"}, tells: []tell{tellOwner}},

	{id: "E8", in: []State{StateFilling}, op: OpSubmitFill, who: recipient},
	{id: "E8", in: []State{StateFilling}, op: opSettle, who: system, when: []cond{allFilled}, do: []act{askRender}, to: StateInProgress},

	{id: "E9", in: []State{StateInProgress}, op: OpSign, who: recipient},
	{id: "E9", in: []State{StateInProgress}, op: OpPass, who: recipientOrApprover, when: []cond{someRow}},
	{id: "E9", in: []State{StateInProgress}, op: OpReturn, who: approver, when: []cond{someRow}},
	{id: "E9", in: []State{StateInProgress}, op: OpSilentSign, who: system},
	{id: "E9", in: []State{StateInProgress}, op: opSettle, who: system, when: []cond{everyStageMet, endsByItself},
		do: []act{askFinalize}, to: StateFinalizing},
	{id: "E10", in: []State{StateInProgress}, op: OpFinish, who: owner, when: []cond{endsByHand}, guard: []guard{nobodyMissing},
		do: []act{askFinalize}, to: StateFinalizing, event: []string{"envelope.finishing"}},
	{id: "E11", in: []State{StateFinalizing}, op: OpFinalized, who: system, guard: []guard{grownDocuments}, do: []act{takeDocuments, because(CauseCompleted)},
		to: StateCompleted, units: []act{settleOpen(CauseSatisfied)}, event: []string{"envelope.completed"}, tells: []tell{tellAll, tellOwner}},
	{id: "E12", in: []State{StateFinalizing}, op: OpFinalizeFailed, who: system, when: []cond{attemptsLeft},
		do: []act{nextAttempt, alarm}, event: []string{"finalize.failed"}},
	{id: "E12", in: []State{StateFinalizing}, op: OpFinalizeFailed, who: system,
		do: []act{nextAttempt, alarm, because(CauseCompleted)}, to: StateCompleted, units: []act{settleOpen(CauseSatisfied)},
		event: []string{"finalize.degraded", "envelope.completed"}, tells: []tell{tellAll, tellOwner}},

	{id: "E13", in: openStates, op: OpDecline, who: recipient},
	{id: "E13", in: openStates, op: OpRefuse, who: recipientOrApprover, when: []cond{someRow}},
	{id: "E13", in: openStates, op: opSettle, who: system, when: []cond{stageLost}, do: []act{because(CauseDeclined)},
		to: StateDeclined, units: []act{settleOpen(CauseDeclined)}, event: []string{"envelope.declined"}, tells: []tell{tellNotified, tellOwner}},
	{id: "E14", in: []State{StateInReview}, op: OpRevoke, who: owner, guard: []guard{reason}, do: []act{because(CauseRevoked)},
		to: StateRevoked, units: []act{settleOpen(CauseNotStarted)}, event: []string{"envelope.revoked"}, tells: []tell{tellNotified}},
	{id: "E14", in: openStates, op: OpRevoke, who: owner, guard: []guard{reason, signatureMissing}, do: []act{because(CauseRevoked)},
		to: StateRevoked, units: []act{settleOpen(CauseRevoked)}, event: []string{"envelope.revoked"}, tells: []tell{tellNotified}},
	{id: "E15", in: openStates, op: OpClose, who: owner, guard: []guard{reason}, do: []act{because(CauseClosed)},
		to: StateClosed, units: []act{settleOpen(CauseClosed)}, event: []string{"envelope.closed"}, tells: []tell{tellNotified}},
	{id: "E16", in: []State{StateInProgress}, op: opDue, who: system, when: []cond{everyStageMet}, do: []act{askFinalize},
		to: StateFinalizing, event: []string{"envelope.finishing"}},
	{id: "E17", in: []State{StateInReview}, op: opDue, who: system, do: []act{because(CauseExpired)},
		to: StateExpired, units: []act{settleOpen(CauseNotStarted)}, event: []string{"envelope.expired"}, tells: []tell{tellNotified, tellOwner}},
	{id: "E17", in: openStates, op: opDue, who: system, do: []act{because(CauseExpired)},
		to: StateExpired, units: []act{settleOpen(CauseExpired)}, event: []string{"envelope.expired"}, tells: []tell{tellNotified, tellOwner}},
	{id: "E17", in: openStates, op: opSettle, who: system, when: []cond{expiryEnds}, do: []act{because(CauseExpired)},
		to: StateExpired, units: []act{settleOpen(CauseExpired)}, event: []string{"envelope.expired"}, tells: []tell{tellNotified, tellOwner}},
	{id: "E18", in: openStates, op: OpInvalidate, who: system, do: []act{because(CauseInvalidated)},
		to: StateInvalidated, units: []act{settleOpen(CauseInvalidated)}, event: []string{"envelope.invalidated"}, tells: []tell{tellNotified}},

	{id: "E19", in: openStates, op: OpAdd, who: owner, guard: []guard{addable}, do: []act{addRow, outdate},
		units: []act{holdAdded}, event: []string{"recipient.added"}},
	{id: "E19", in: openStates, op: OpReplace, who: owner},
	{id: "E19", in: openStates, op: OpTransfer, who: recipientOrAdmin},
	{id: "E19", in: openStates, op: OpRemove, who: owner},
	{id: "E19", in: openStates, op: OpReroute, who: owner, guard: []guard{reroutable}, do: []act{reroute},
		event: []string{"recipient.rerouted"}, tells: []tell{tellNewAddress}},
	{id: "E20", in: runningStates, op: OpExtend, who: owner, guard: []guard{extendable}, do: []act{extend},
		event: []string{"envelope.extended"}, tells: []tell{tellLive}},
	{id: "E20", in: runningStates, op: OpRemind, who: ownerOrSystem, guard: []guard{remindable}, do: []act{countReminder},
		event: []string{"recipient.reminded"}, tells: []tell{tellIt}},
	{id: "E21", in: []State{StateInProgress}, op: OpRender, who: system, guard: []guard{renderable}, do: []act{takeBase},
		event: []string{"document.rendered"}},

	{id: "A1", in: []State{StateCompleted}, op: OpReleaseBegin, who: system, when: []cond{releasingAlready}},
	{id: "A1", in: []State{StateCompleted}, op: OpReleaseBegin, who: system, guard: []guard{releasable}, do: []act{beginRelease},
		event: []string{"release.begun"}},
	{id: "A2", in: []State{StateCompleted}, op: OpReleaseDone, who: system, guard: []guard{releasing, releasedItems}, do: []act{doneRelease},
		event: []string{"release.done"}, tells: []tell{tellOwner}},
	{id: "A3", in: []State{StateCompleted}, op: OpReleaseEnded, who: system, guard: []guard{releasing}, do: []act{endRelease},
		event: []string{"release.ended"}, tells: []tell{tellOwner}},
}

var (
	openStates    = []State{StateFilling, StateInProgress}
	runningStates = []State{StateInReview, StateFilling, StateInProgress}

	owner               = []Who{WhoOwner}
	approver            = []Who{WhoApprover}
	recipient           = []Who{WhoRecipient}
	recipientOrApprover = []Who{WhoRecipient, WhoApprover}
	recipientOrOwner    = []Who{WhoRecipient, WhoOwner}
	recipientOrAdmin    = []Who{WhoRecipient, WhoOrgAdmin}
	ownerOrSystem       = []Who{WhoOwner, WhoSystem}
	system              = []Who{WhoSystem}

	sendable = []guard{complete, termsAccepted, contentScreened, templatesApproved, unitsSuffice}
)
