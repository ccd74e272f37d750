package evidence

import (
	"fmt"
	"slices"
	"strings"
)

// A TypeInfo is a row of the registry of event types.
type TypeInfo struct {
	Name string
	// Docs and Auth say that an event must name documents or authentication.
	Docs, Auth bool
	// X are the members that X must have.
	X []string
	// After says that the event may follow the chain seal.
	After bool
}

// The types that this package writes or reads by name.
const (
	TypeSealed = "chain.sealed"   // closes the chain of an envelope in a terminal state
	TypeErased = "subject.erased" // explains that openings of a subject are gone
	TypeExport = "bundle.exported"
)

// registry holds every event type there is, in groups: A2 and A4 of the
// specification, then the machine of envelopes. A name never changes its
// meaning and is never removed.
var registry = func() map[string]*TypeInfo {
	const docs, auth, after = "docs", "auth", "after"
	m := map[string]*TypeInfo{}
	add := func(flags []string, names ...string) {
		for _, n := range names {
			t := &TypeInfo{Name: n, Docs: slices.Contains(flags, docs), Auth: slices.Contains(flags, auth), After: slices.Contains(flags, after)}
			for _, f := range flags {
				if x, ok := strings.CutPrefix(f, "x."); ok {
					t.X = append(t.X, x)
				}
			}
			m[n] = t
		}
	}
	with := func(f ...string) []string { return f }

	// Accounts and organisations (T09 T25 T45).
	add(nil, "session.login", "session.logout", "admin.acted", "org.changed", "seal.granted", "seal.revoked")
	// Documents and what people did with them (P10).
	add(with(docs), "document.uploaded", "document.rendered")
	add(with(after), "document.viewed", "document.dwelt", "document.downloaded", "attachment.uploaded")
	// Notices and codes: what was sent, and what came of it.
	add(with(after), "notice.queued", "notice.submitted", "notice.delivered", "notice.failed", "notice.dropped", "notice.unknown")
	add(nil, "code.queued", "code.sent", "code.checked", "code.refused", "code.consumed", "code.failed")
	// Consent, identity, intent (T12 T14 T17 T41).
	add(nil, "consent.given", "consent.withdrawn", "terms.accepted", "authorisation.attached")
	add(nil, "identity.started", "identity.checked", "identity.failed", "intent.checked", "intent.failed",
		"certificate.requested", "certificate.issued", "certificate.revoked")
	add(with(after), "evidence.harvested", "harvest.missed")
	// The chain itself (A4).
	add(with(after, "x.count", "x.head"), TypeSealed)
	add(with(after, "x.alias"), TypeErased)
	add(with(after), TypeExport, "receipt.issued", "evidence.renewed", "subject.exported", "subject.corrected", "delivery.confirmed")
	add(with(after), "report.applied", "report.accepted", "report.refused", "report.extracted", "report.verified", "report.issued", "report.superseded")
	add(nil, "log.beat", "log.alarm", "log.equivocation")
	add(with("x.heads"), TypeAccess)

	// Envelopes: the tables E and R of the machine.
	add(nil, "envelope.created", "envelope.edited", "envelope.discarded", "envelope.extended", "envelope.finishing")
	add(with(docs), "envelope.sent")
	add(nil, "review.passed", "review.returned", "review.answered", "review.recalled", "review.refused", "fields.filled")
	add(nil, "finalize.failed", "finalize.degraded", "document.finalized")
	add(nil, "envelope.completed", "envelope.declined", "envelope.revoked", "envelope.closed", "envelope.expired", "envelope.invalidated")
	add(with(after), "release.begun", "release.ended", "release.done", "envelope.releasing", "envelope.released", "envelope.partially_released")
	add(nil, "recipient.invited", "recipient.viewed", "recipient.blocked", "recipient.ready", "recipient.lapsed",
		"recipient.approved", "recipient.opened", "recipient.declined", "recipient.replaced", "recipient.removed",
		"recipient.expired", "recipient.satisfied", "recipient.added", "recipient.rerouted", "recipient.reminded",
		"recipient.revoked", "recipient.notified", "recipient.transferred")
	add(with(docs), "recipient.signed")
	add(with(after), "recipient.voided", "recipient.released")
	add(nil, "gate.passed", "gate.answered", "gate.returned", "gate.resubmitted", "gate.refused")
	// Units, by reference: the figures are the ledger's.
	add(nil, "units.held", "units.captured", "units.released", "units.charged")
	return m
}()

// Types lists the registry by name.
func Types() []TypeInfo {
	out := make([]TypeInfo, 0, len(registry))
	for _, row := range registry {
		t := *row
		t.X = slices.Clone(t.X)
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b TypeInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Known reports whether the registry has an event type.
func Known(name string) bool {
	_, ok := registry[name]
	return ok
}

// checkType holds an event against its row.
func (e *Event) checkType(sealed bool) error {
	t, ok := registry[e.Type]
	if !ok {
		return fmt.Errorf("%w: %q is not in the registry", ErrType, e.Type)
	}
	return e.checkFor(t, sealed)
}

func (e *Event) checkFor(t *TypeInfo, sealed bool) error {
	switch {
	case t.Docs && len(e.Docs) == 0:
		return fmt.Errorf("%w: %s names no document", ErrType, e.Type)
	case t.Auth && len(e.Auth) == 0:
		return fmt.Errorf("%w: %s names no authentication", ErrType, e.Type)
	case sealed && !t.After:
		return fmt.Errorf("%w: %s", ErrSealed, e.Type)
	}
	for _, k := range t.X {
		if _, ok := e.X[k]; !ok {
			return fmt.Errorf("%w: %s lacks %s", ErrType, e.Type, k)
		}
	}
	return nil
}

// validType reports whether s is formed as subject.verb.
func validType(s string) bool {
	a, b, ok := strings.Cut(s, ".")
	word := func(w string) bool {
		for i := range len(w) {
			if c := w[i]; (c < 'a' || c > 'z') && c != '_' {
				return false
			}
		}
		return w != ""
	}
	return ok && len(s) <= MaxID && word(a) && word(b)
}
