package esign

// The transition table of rows (R1-R22).
var rowRules = []rule{
	{id: "R1", in: []State{StateFilling}, from: pending, op: opSettle, who: system, when: []cond{hasToFill},
		do: []act{noteNotified}, row: RecipientNotified, event: []string{"recipient.invited"}, tells: []tell{tellIt}},
	{id: "R2", in: []State{StateInProgress}, from: pending, op: opSettle, who: system, when: []cond{stageOpen, notSilent},
		do: []act{noteNotified}, row: RecipientNotified, event: []string{"recipient.invited"}, tells: []tell{tellIt, tellGateOpen}},
	{id: "R2", in: openStates, from: pending, op: opSettle, who: system, when: []cond{copyAtStart},
		do: []act{noteNotified}, row: RecipientNotified, event: []string{"recipient.invited"}, tells: []tell{tellIt}},
	{id: "R2", in: []State{StateCompleted}, from: pending, op: opSettle, who: system, when: []cond{isCC},
		do: []act{noteNotified}, row: RecipientNotified, event: []string{"recipient.invited"}, tells: []tell{tellIt}},
	{id: "R3", in: openStates, from: []RecipientState{RecipientNotified}, op: OpOpen, who: recipient, when: []cond{notCC},
		guard: []guard{viewable}, do: []act{takeFacts}, row: RecipientViewed, event: []string{"recipient.viewed"}},
	{id: "R3", in: openStates, from: opened, op: OpOpen, who: recipient, guard: []guard{viewable}, do: []act{takeFacts}},
	{id: "R3", in: openStates, from: reached, op: OpProgress, who: system, when: []cond{notCC}, do: []act{takeFacts}},
	{id: "R4", in: []State{StateFilling}, from: filling, op: OpSaveFill, who: recipient, row: RecipientFilling},
	{id: "R5", from: filling, op: OpSubmitFill, who: recipient, guard: []guard{valuesValid}, do: []act{noteFilled},
		row: RecipientPending, event: []string{"fields.filled"}, tells: []tell{tellOwner}},
	{id: "R6", in: []State{StateInProgress}, from: viewed, op: opSettle, who: system, when: []cond{gateShut},
		row: RecipientBlocked, event: []string{"recipient.blocked"}, tells: []tell{tellGate}},
	{id: "R7", from: blocked, op: OpPass, who: approver, when: []cond{lastGate}, guard: []guard{isGatekeeper, gateRound},
		do: []act{answerGate}, row: RecipientViewed, event: []string{"gate.passed"}, tells: []tell{tellIt}},
	{id: "R7", from: blocked, op: OpPass, who: approver, when: []cond{sameGateAnswer(AnswerPass)}, guard: []guard{isGatekeeper, gateRound}},
	{id: "R7", from: blocked, op: OpPass, who: approver, guard: []guard{isGatekeeper, gateRound},
		do: []act{answerGate}, event: []string{"gate.answered"}},
	{id: "R8", from: blocked, op: OpReturn, who: approver, when: []cond{sameGateAnswer(AnswerReturn)}, guard: []guard{isGatekeeper, gateRound}},
	{id: "R8", from: blocked, op: OpReturn, who: approver, guard: []guard{isGatekeeper, gateRound},
		do: []act{answerGate}, event: []string{"gate.returned"}, tells: []tell{tellIt, tellOwner}},
	{id: "R8", in: []State{StateInProgress}, from: blocked, op: OpResubmit, who: recipientOrOwner, guard: []guard{gateRound},
		do: []act{nextGateRound}, event: []string{"gate.resubmitted"}, tells: []tell{tellGate}},
	{id: "R9", from: blocked, op: OpRefuse, who: approver, guard: []guard{isGatekeeper, gateRound, reason},
		do: []act{answerGate}, row: RecipientDeclined, units: []act{settleIt(CauseDeclined)}, event: []string{"gate.refused"}, tells: []tell{tellOwner}},
	{id: "R10", in: []State{StateInProgress}, from: viewed, op: opSettle, who: system, when: []cond{nothingMissing},
		row: RecipientReady, event: []string{"recipient.ready"}},
	{id: "R10", in: []State{StateInProgress}, from: viewed, op: opSettle, who: system, when: []cond{onlyCertificate},
		do: []act{askCertificate}},
	{id: "R11", from: ready, op: OpSign, who: recipient, when: []cond{isSigner},
		guard: []guard{itsTurn, basePresent, intentProven, sealGranted, unitsOfPayer, grownByIt}, do: []act{signIt(OutcomeSigned), takeDocuments},
		row: RecipientSigned, units: []act{captureOrCharge}, event: []string{"recipient.signed"}, tells: []tell{tellOwner}},
	{id: "R12", in: []State{StateInProgress}, from: pending, op: opSettle, who: system, when: []cond{isSilent, stageOpen, notAsked},
		do: []act{askSilent}},
	{id: "R12", from: pending, op: OpSilentSign, who: system, when: []cond{isSilent},
		guard: []guard{itsTurn, basePresent, sealGranted, unitsOfPayer, grownByIt}, do: []act{signIt(OutcomeSigned), takeDocuments},
		row: RecipientSigned, units: []act{captureOrCharge}, event: []string{"recipient.signed"}, tells: []tell{tellOwner}},
	{id: "R13", in: []State{StateInProgress}, from: ready, op: OpLapse, who: system, guard: []guard{lapses}, do: []act{lapse}},
	{id: "R13", in: []State{StateInProgress}, from: ready, op: opSettle, who: system, when: []cond{noLongerReady},
		row: RecipientViewed, event: []string{"recipient.lapsed"}, tells: []tell{tellIt}},
	{id: "R14", from: ready, op: OpPass, who: recipientOrApprover, when: []cond{isApprover}, guard: []guard{itsTurn},
		do: []act{signIt(OutcomeApproved)}, row: RecipientSigned, event: []string{"recipient.approved"}, tells: []tell{tellOwner}},
	{id: "R14", in: []State{StateInProgress}, from: ready, op: opSettle, who: system, when: []cond{isViewer},
		do: []act{signIt(OutcomeViewed)}, row: RecipientSigned, event: []string{"recipient.opened"}, tells: []tell{tellOwner}},
	{id: "R15", from: live, op: OpDecline, who: recipient, when: []cond{notCC, notSilent}, guard: []guard{mayDecline, reason},
		row: RecipientDeclined, units: []act{settleIt(CauseDeclined)}, event: []string{"recipient.declined"}, tells: []tell{tellOwner}},
	{id: "R15", from: live, op: OpRefuse, who: recipientOrApprover, when: []cond{isApprover}, guard: []guard{mayDecline, reason},
		row: RecipientDeclined, event: []string{"recipient.declined"}, tells: []tell{tellOwner}},
	{id: "R16", from: liveOrExpired, op: OpReplace, who: owner, guard: []guard{replaceable},
		do: []act{replaceRow}, row: RecipientReplaced, units: []act{moveLine}, event: []string{"recipient.replaced"}, tells: []tell{tellItIfNotified}},
	{id: "R16", from: liveOrExpired, op: OpTransfer, who: recipientOrAdmin, guard: []guard{transferable, replaceable},
		do: []act{replaceRow}, row: RecipientReplaced, units: []act{moveLine}, event: []string{"recipient.replaced"}, tells: []tell{tellItIfNotified}},
	{id: "R17", from: liveOrExpired, op: OpRemove, who: owner, guard: []guard{removable}, do: []act{outdate},
		row: RecipientRevoked, units: []act{settleIt(CauseRemoved)}, event: []string{"recipient.removed"}, tells: []tell{tellItIfNotified}},
	{id: "R18", in: runningStates, from: live, op: opDue, who: system, when: []cond{deadlinePassed},
		row: RecipientExpired, event: []string{"recipient.expired"}, tells: []tell{tellOwner}},
	{id: "R13", in: []State{StateInProgress}, from: ready, op: opDue, who: system, when: []cond{identityOver}, do: []act{forgetIdentity}},
	{id: "R19", in: []State{StateInProgress}, from: live, op: opSettle, who: system, when: []cond{metByOthers},
		row: RecipientSatisfied, units: []act{settleIt(CauseSatisfied)}, event: []string{"recipient.satisfied"}, tells: []tell{tellItIfNotified}},
	{id: "R20", in: []State{StateExpired}, from: live, op: opSettle, who: system, when: []cond{notCopied}, row: RecipientExpired},
	{id: "R20", in: []State{StateDeclined, StateRevoked, StateClosed, StateInvalidated}, from: live, op: opSettle, who: system,
		when: []cond{notCopied}, row: RecipientRevoked},
	{id: "R21", in: []State{StateRevoked, StateInvalidated}, from: signed, op: opSettle, who: system, do: []act{voidIt},
		row: RecipientRevoked, event: []string{"recipient.voided"}, tells: []tell{tellIt}},
	{id: "R22", in: []State{StateCompleted}, from: signed, op: opSettle, who: system, when: []cond{isReleased},
		row: RecipientReleased, event: []string{"recipient.released"}, tells: []tell{tellIt}},
}

var (
	pending       = []RecipientState{RecipientPending}
	viewed        = []RecipientState{RecipientViewed}
	filling       = []RecipientState{RecipientViewed, RecipientFilling}
	opened        = []RecipientState{RecipientViewed, RecipientFilling, RecipientBlocked, RecipientReady}
	reached       = []RecipientState{RecipientNotified, RecipientViewed, RecipientFilling, RecipientBlocked, RecipientReady}
	blocked       = []RecipientState{RecipientBlocked}
	ready         = []RecipientState{RecipientReady}
	signed        = []RecipientState{RecipientSigned}
	live          = []RecipientState{RecipientPending, RecipientNotified, RecipientViewed, RecipientFilling, RecipientBlocked, RecipientReady}
	liveOrExpired = append([]RecipientState{RecipientExpired}, live...)
)
