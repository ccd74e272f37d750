package esign

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/storage"
)

// Conditions choose between the rules of one command.
var (
	hasReview    = cond{"it has a review", func(m *run) bool { return m.env.Review != nil }}
	anyoneFills  = cond{"anyone fills", func(m *run) bool { return m.env.unfilled() }}
	allFilled    = cond{"nobody has to fill any more", func(m *run) bool { return !m.env.unfilled() }}
	someRow      = cond{"of a row", func(m *run) bool { return m.cmd.Recipient != "" }}
	lastReview   = cond{"last needed", func(m *run) bool { return m.passes(m.env.Review) }}
	lastGate     = cond{"last needed", func(m *run) bool { return m.passes(m.r().Gate) }}
	endsByHand   = cond{"ManualFinish", func(m *run) bool { return m.env.ManualFinish }}
	endsByItself = cond{"not ManualFinish", func(m *run) bool { return !m.env.ManualFinish }}
	attemptsLeft = cond{"not the last attempt", func(m *run) bool { return m.env.Attempt+1 < or(m.env.Rules.MaxAttempts, 10) }}
	isReleased   = cond{"release done", func(m *run) bool { return m.env.Release == ReleaseReleased }}

	everyStageMet = cond{"every stage met", func(m *run) bool { return m.env.everyMet() }}
	stageLost     = cond{"a stage can no longer be met", func(m *run) bool { return m.env.anyOrder(m.env.lost) }}
	expiryEnds    = cond{"a row's expiry ends it", func(m *run) bool {
		return m.env.Rules.OnRecipientExpiry == ExpiryEnds && m.env.anyOrder(m.env.starved)
	}}
	releasingAlready = cond{"by the same envelope", func(m *run) bool {
		return m.env.Release == ReleaseReleasing && m.env.ReleasedBy == m.cmd.Linked
	}}

	isSigner       = cond{"signer", func(m *run) bool { return m.r().Role.Signer() }}
	isSilent       = cond{"silent row", func(m *run) bool { return m.r().Role == RoleSilent }}
	notSilent      = cond{"not a silent row", func(m *run) bool { return m.r().Role != RoleSilent }}
	isApprover     = cond{"approver row", func(m *run) bool { return m.r().Role == RoleApprover }}
	isViewer       = cond{"viewer row", func(m *run) bool { return m.r().Role == RoleViewer }}
	isCC           = cond{"CC", func(m *run) bool { return m.r().Role == RoleCC }}
	notCC          = cond{"not CC", func(m *run) bool { return m.r().Role != RoleCC }}
	copyAtStart    = cond{"CC at start", func(m *run) bool { return m.r().Role == RoleCC && or(m.r().Timing, AtStart) == AtStart }}
	notCopied      = cond{"not a CC that was told", func(m *run) bool { return m.r().Role != RoleCC || m.r().State == RecipientPending }}
	hasToFill      = cond{"has fields to fill", func(m *run) bool { return !m.r().Filled && m.env.toFill(m.r()) }}
	stageOpen      = cond{"its stage is open", func(m *run) bool { return m.env.itsTurn(m.r()) }}
	notAsked       = cond{"not asked yet", func(m *run) bool { return !m.r().Asked }}
	gateShut       = cond{"its gate is not passed", func(m *run) bool { return !m.r().Gate.passed() }}
	noLongerReady  = cond{"identity too old, or gate reopened", func(m *run) bool { return len(m.r().missing(m.eff)) > 0 }}
	deadlinePassed = cond{"own deadline", func(m *run) bool { d := m.r().Deadline; return !d.IsZero() && !m.eff.Before(d) }}
	identityOver   = cond{"identity too old", func(m *run) bool { return !m.r().Facts.identified(m.eff) }}
	nothingMissing = cond{"gate passed, reading done, uploads in, identity met, certificate obtainable", func(m *run) bool {
		return len(m.r().missing(m.eff)) == 0
	}}
	onlyCertificate = cond{"only the certificate is missing, not asked yet", func(m *run) bool {
		return !m.r().Asked && slices.Equal(m.r().missing(m.eff), []string{"certificate"})
	}}
	metByOthers = cond{"Any or K; stage met by others", func(m *run) bool {
		r := m.r()
		rule := m.env.stage(r.Order).Rule
		return r.Role != RoleCC && (rule == Any || rule == K) && m.env.met(r.Order)
	}}
)

func sameReviewAnswer(a Answer) cond {
	return cond{"same answer again", func(m *run) bool { return m.said(m.env.Review, a) }}
}

func sameGateAnswer(a Answer) cond {
	return cond{"same answer again", func(m *run) bool { return m.said(m.r().Gate, a) }}
}

// passes: the gate would be passed by this approver's pass.
func (m *run) passes(g *Gate) bool {
	if g == nil {
		return false
	}
	g = g.clone()
	g.answer(Decided{Approver: m.cmd.Approver, Answer: AnswerPass})
	return g.passed()
}

func (m *run) said(g *Gate, a Answer) bool {
	return g != nil && slices.ContainsFunc(g.Answers, func(d Decided) bool { return d.Approver == m.cmd.Approver && d.Answer == a })
}

// Guards refuse.
var (
	reason = guard{"reason, 1-200 characters", func(m *run) error {
		if n := utf8.RuneCountInString(m.cmd.Reason); n < 1 || n > 200 || !utf8.ValidString(m.cmd.Reason) || strings.TrimSpace(m.cmd.Reason) == "" {
			return badField("reason", "must have 1 to 200 characters")
		}
		return nil
	}}
	wellFormed = guard{"well formed", func(m *run) error {
		e := m.content()
		return check(&e, m.cmd.Channels, m.eff, false)
	}}
	complete = guard{"valid; contact consent declared per recipient", func(m *run) error {
		e := m.content()
		return check(&e, m.cmd.Channels, m.eff, true)
	}}
	sameContent = guard{"same content", func(m *run) error {
		e := m.content()
		e.At = m.env.At
		if !sameEnvelope(e, m.env) {
			return ErrIntentMismatch
		}
		return nil
	}}
	termsAccepted     = guard{"terms accepted", func(m *run) error { return unless(m.cmd.Cleared.Terms, ErrTermsNotAccepted) }}
	contentScreened   = guard{"content screened", func(m *run) error { return unless(m.cmd.Cleared.Content, ErrScreened) }}
	templatesApproved = guard{"message templates approved", func(m *run) error { return unless(m.cmd.Cleared.Templates, ErrTemplateNotApproved) }}
	// The ledger refuses in the same commit, when the effect is carried out.
	unitsSuffice = guard{"units suffice", func(*run) error { return nil }}
	unitsOfPayer = guard{"units if it pays", func(*run) error { return nil }}

	isReviewer   = guard{"approver of the review", func(m *run) error { return m.isOneOf(m.env.Review) }}
	isGatekeeper = guard{"approver of the gate", func(m *run) error { return m.isOneOf(m.r().Gate) }}
	reviewRound  = guard{"round current", func(m *run) error { return m.inRound(m.env.Review) }}
	gateRound    = guard{"round current", func(m *run) error { return m.inRound(m.r().Gate) }}

	nobodyMissing = guard{"every stage met", func(m *run) error {
		if !m.env.everyMet() {
			return &TurnError{Waiting: m.env.waiting()}
		}
		return nil
	}}
	signatureMissing = guard{"a required signature missing", func(m *run) error {
		if m.env.State == StateInProgress && !m.env.signatureMissing() {
			return &StateError{State: m.env.State, why: ErrAllSigned}
		}
		return nil
	}}
	viewable = guard{"view requirement met", func(m *run) error {
		if !m.cmd.Facts.Viewable {
			return levelError(m.cmd.Facts, m.r().View)
		}
		return nil
	}}
	valuesValid = guard{"required values valid", func(m *run) error {
		for _, f := range m.env.Fields {
			if f.Fill && f.Required && f.Recipient == m.id && !slices.Contains(m.cmd.Filled, f.ID) {
				return badField("fields["+f.ID+"]", "is required")
			}
		}
		return nil
	}}
	itsTurn = guard{"stage open", func(m *run) error {
		if !m.env.itsTurn(m.r()) {
			return &TurnError{Waiting: m.env.waiting()}
		}
		return nil
	}}
	basePresent = guard{"base revision made", func(m *run) error {
		for _, id := range m.env.documentsOf(m.r()) {
			if d := m.env.document(id); d == nil || d.Base == "" || d.Outdated {
				return &NotReadyError{Missing: []string{"base"}}
			}
		}
		return nil
	}}
	intentProven = guard{"intent proof fresh, bound, unused", func(m *run) error {
		return unless(m.cmd.Intent, &NotReadyError{Missing: []string{"intent"}})
	}}
	sealGranted = guard{"seal granted", func(m *run) error {
		return unless(m.cmd.Seal || !m.r().Role.sealed(), ErrSealNotGranted)
	}}
	grownByIt      = guard{"its documents, grown from the current revision", func(m *run) error { return m.grown(m.env.documentsOf(m.r()), true) }}
	grownDocuments = guard{"documents grown from the current revision", func(m *run) error { return m.grown(nil, false) }}
	lapses         = guard{"identity too old, or gate reopened", func(m *run) error {
		if m.cmd.Reopen {
			return unless(m.r().Gate != nil, badField("reopen", "the row has no gate"))
		}
		return unless(!m.cmd.Facts.identified(m.eff), badField("facts", "identity still holds"))
	}}
	mayDecline = guard{"NoDecline unset", func(m *run) error { return unless(!m.r().NoDecline, ErrNoDecline) }}
	renderable = guard{"no base, or an outdated one and no signature", func(m *run) error {
		missing := func(d Document) bool { return d.Base == "" }
		outdated := func(d Document) bool { return d.Outdated }
		if !slices.ContainsFunc(m.env.Documents, missing) &&
			(!slices.ContainsFunc(m.env.Documents, outdated) || m.env.anySigned()) {
			return &StateError{State: m.env.State}
		}
		for i, d := range m.cmd.Documents {
			have := m.env.document(d.ID)
			if have == nil {
				return badField(at("documents", i, "id"), "is no document of the envelope")
			}
			if d.Base == "" {
				return badField(at("documents", i, "base"), "is missing")
			}
			if len(d.Segments) == 0 || !sameSegment(d.Segments[0], have.Segments[0]) {
				return badField(at("documents", i, "segments"), "must begin with what was uploaded")
			}
		}
		for _, d := range m.env.Documents {
			if !slices.ContainsFunc(m.cmd.Documents, func(n Document) bool { return n.ID == d.ID }) {
				return badField("documents", "must be all of the envelope")
			}
		}
		return nil
	}}
	releasable = guard{"none or PartiallyReleased", func(m *run) error {
		if m.cmd.Linked == "" {
			return badField("linked", "is missing")
		}
		return unless(m.env.Release == ReleaseNone || m.env.Release == ReleasePartiallyReleased, &StateError{State: m.env.State})
	}}
	releasing = guard{"releasing, by this one", func(m *run) error {
		return unless(m.env.Release == ReleaseReleasing && m.env.ReleasedBy == m.cmd.Linked, &StateError{State: m.env.State})
	}}
	releasedItems = guard{"its documents", func(m *run) error {
		for i, id := range m.cmd.Items {
			if m.env.document(id) == nil {
				return badField(at("items", i, ""), "is no document of the envelope")
			}
		}
		return nil
	}}
)

func unless(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

func levelError(f Facts, q identity.Requirement) *LevelError {
	q.MinIntent = ""
	return &LevelError{Have: string(or(f.Level, identity.I0)), Need: string(or(q.MinIdentity, identity.I0)),
		Methods: identity.Evaluate(q, nil, time.Time{}).Methods}
}

func (m *run) isOneOf(g *Gate) error {
	return unless(g != nil && slices.Contains(g.Approvers, m.cmd.Approver), ErrForbidden)
}

func (m *run) inRound(g *Gate) error {
	return unless(g != nil && g.Round == m.cmd.Round, ErrStaleRound)
}

// grown checks that each document of the command continues the bytes that the
// envelope has now, and that they are the documents asked for: all or none.
func (m *run) grown(ids []string, required bool) error {
	for i, d := range m.cmd.Documents {
		have := m.env.document(d.ID)
		if have == nil || required && !slices.Contains(ids, d.ID) {
			return badField(at("documents", i, "id"), "is no document of the row")
		}
		if len(d.Segments) <= len(have.Segments) {
			return ErrStaleRevision
		}
		for j, s := range have.Segments {
			if !sameSegment(d.Segments[j], s) {
				return ErrStaleRevision
			}
		}
	}
	if !required {
		return nil
	}
	for _, id := range ids {
		n := 0
		for _, d := range m.cmd.Documents {
			if d.ID == id {
				n++
			}
		}
		if n != 1 {
			return badField("documents", "must be every document of the row, once")
		}
	}
	return nil
}

func sameSegment(a, b storage.Segment) bool {
	return a.Blob == b.Blob && a.Size == b.Size && bytes.Equal(a.SHA256, b.SHA256)
}

// refuseState says why the envelope's state does not know the command.
func (m *run) refuseState() error {
	state := &StateError{State: m.env.State}
	switch {
	case m.cmd.Op == OpCreate:
		return ErrIntentMismatch
	case m.env.State == StateExpired:
		return &DeadlineError{At: m.env.EndedAt, state: state}
	case m.cmd.Op == OpRevoke && (m.env.State == StateFinalizing || m.env.State == StateCompleted):
		state.why = ErrAllSigned
	}
	return state
}

// refuseRow says why the row's state does not know the command.
func (m *run) refuseRow() error {
	r := m.r()
	state := &StateError{State: m.env.State, Recipient: r.ID, Row: r.State}
	acting := slices.Contains([]Op{OpOpen, OpSaveFill, OpSubmitFill, OpSign, OpSilentSign}, m.cmd.Op) ||
		m.cmd.Op == OpPass && r.Role == RoleApprover
	switch {
	case m.env.State == StateExpired:
		return &DeadlineError{At: m.env.EndedAt, state: state}
	case !m.env.State.open():
		state.Recipient, state.Row = "", ""
		return state
	case r.State == RecipientExpired:
		return &DeadlineError{At: or(r.Deadline, m.env.EndedAt), state: state}
	case acting && r.State == RecipientPending && r.Role != RoleCC && !m.env.itsTurn(r):
		return &TurnError{Waiting: m.env.waiting()}
	case m.cmd.Op == OpSign && r.Role.Signer() && r.State.Live(), m.cmd.Op == OpPass && r.Role == RoleApprover && r.State.Live():
		if missing := r.missing(m.eff); len(missing) > 0 {
			err := &NotReadyError{Missing: missing}
			if slices.Contains(missing, "identity") {
				err.level = levelError(r.Facts, r.Sign)
			}
			return err
		}
	}
	return state
}
