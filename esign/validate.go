package esign

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/esign/identity"
)

// Validate reports what keeps the draft from being sent at the instant now, as a
// [*FieldError] that names the first field; nil if nothing does. channels are
// those the host declared beside wechat and sms. Whether the sender may send,
// and can pay, is judged elsewhere.
func Validate(e Envelope, channels []Channel, now time.Time) error {
	return check(&e, channels, micro(now), true)
}

// check refuses what is wrong; complete, also what is still missing.
func check(e *Envelope, channels []Channel, now time.Time, complete bool) error {
	c := &checker{e: e, channels: channels, now: now, complete: complete}
	for _, f := range []func(){c.envelope, c.documents, c.stages, c.rows, c.groups, c.fields, c.deadlines} {
		if f(); c.err != nil {
			return c.err
		}
	}
	return nil
}

// A checker keeps the first thing that is wrong.
type checker struct {
	e        *Envelope
	channels []Channel
	now      time.Time
	complete bool
	err      error
}

func (c *checker) must(ok bool, field, why string) {
	if c.err == nil && !ok {
		c.err = badField(field, why)
	}
}

func (c *checker) id(field, id string) {
	c.must(id != "", field, "is missing")
	c.must(len(id) <= 64, field, "is longer than 64 bytes")
	bad := !utf8.ValidString(id) || strings.ContainsAny(id, "/%") || strings.ContainsFunc(id, unicode.IsControl)
	c.must(!bad, field, "holds a character that an id cannot have")
}

func (c *checker) text(field, s string, max int) {
	c.must(utf8.ValidString(s), field, "is not UTF-8")
	c.must(utf8.RuneCountInString(s) <= max, field, "is too long")
}

func (c *checker) envelope() {
	e := c.e
	c.must(e.Tenant != "", "tenant", "is missing")
	c.id("id", e.ID)
	c.must(e.Kind == Ordinary || e.Kind == RealName, "kind", "is unknown")
	c.must(e.Owner.Account != "", "owner.account", "is missing")
	c.text("title", e.Title, 200)
	c.text("ref", e.Ref, 200)
	c.must(e.Terminates == "" || e.Terminates != e.ID, "terminates", "is the envelope itself")
	if e.Terminates != "" {
		c.id("terminates", e.Terminates)
	}
	if e.Review != nil {
		c.gate("review", e.Review)
	}
	c.must(slices.Contains([]OnExpiry{"", ExpiryWaits, ExpiryEnds}, e.Rules.OnRecipientExpiry), "rules.on_recipient_expiry", "is unknown")
	c.must(e.Rules.Lifetime >= 0 && e.Rules.Lifetime <= maxDeadline, "rules.lifetime", "is more than 365 days")
}

func (c *checker) documents() {
	c.must(!c.complete || len(c.e.Documents) > 0, "documents", "is empty")
	c.must(len(c.e.Documents) <= 20, "documents", "has more than 20")
	for i, d := range c.e.Documents {
		c.id(at("documents", i, "id"), d.ID)
		first := slices.IndexFunc(c.e.Documents, func(o Document) bool { return o.ID == d.ID })
		c.must(first == i, at("documents", i, "id"), "is not unique")
		c.must(!c.complete || len(d.Segments) > 0, at("documents", i, "segments"), "is empty")
	}
}

func (c *checker) stages() {
	for i, s := range c.e.Stages {
		c.must(s.Order > 0, at("stages", i, "order"), "must be 1 or more")
		first := slices.IndexFunc(c.e.Stages, func(o Stage) bool { return o.Order == s.Order })
		c.must(first == i, at("stages", i, "order"), "is not unique")
		c.must(slices.Contains([]Rule{"", All, Any, K}, s.Rule), at("stages", i, "rule"), "is unknown")
		n := 0
		for _, r := range c.e.Recipients {
			if r.acts() && r.Order == s.Order {
				n++
			}
		}
		if s.Rule == K {
			c.must(s.K >= 1 && (!c.complete || s.K <= n), at("stages", i, "k"), "must be between 1 and the number of its rows")
		} else {
			c.must(s.K == 0, at("stages", i, "k"), "goes with rule k only")
		}
	}
}

func (c *checker) rows() {
	signers := 0
	for i, r := range c.e.Recipients {
		c.row(i, r)
		if r.Role.Signer() && r.acts() {
			signers++
		}
	}
	c.must(!c.complete || signers > 0, "recipients", "has no signer")
}

func (c *checker) row(i int, r Recipient) {
	field := func(name string) string { return at("recipients", i, name) }
	c.id(field("id"), r.ID)
	first := slices.IndexFunc(c.e.Recipients, func(o Recipient) bool { return o.ID == r.ID })
	c.must(first == i, field("id"), "is not unique")
	part := r.Role.Signer() || slices.Contains([]Role{RoleApprover, RoleCC, RoleViewer}, r.Role)
	c.must(part, field("role"), "is unknown")
	if r.Role == RoleCC {
		c.must(r.Order == 0, field("order"), "must be zero for cc")
		c.must(r.Deadline.IsZero(), field("deadline"), "does not go with cc")
		c.must(slices.Contains([]Timing{"", AtStart, AtEnd}, r.Timing), field("timing"), "is unknown")
	} else {
		c.must(r.Order > 0, field("order"), "must be 1 or more")
		c.must(r.Timing == "", field("timing"), "goes with cc only")
	}
	if r.Role.sealed() {
		c.must(r.Party.Org != "", field("party.org"), "is missing")
	}
	c.channel(field("channel"), r.Channel)
	if r.Role != RoleSilent && c.complete {
		c.must(r.Channel != "", field("channel"), "is missing")
		c.must(r.Consent != "", field("consent"), "is not declared")
	}
	c.must(slices.Contains([]Consent{"", ConsentStaff, ConsentCustomer}, r.Consent), field("consent"), "is unknown")
	c.must(levelsKnown(r.View), field("view"), "names an unknown level")
	c.must(levelsKnown(r.Sign), field("sign"), "names an unknown level")
	if r.Role.Signer() && r.Role != RoleSilent {
		c.must(r.Sign.Covers(r.View), field("sign"), "asks less than view")
	}
	for j, id := range r.Documents {
		c.must(c.e.document(id) != nil, field(at("documents", j, "")), "is no document of the envelope")
		c.must(slices.Index(r.Documents, id) == j, field(at("documents", j, "")), "is not unique")
	}
	c.must(r.Reading.Seconds >= 0, field("reading.seconds"), "is negative")
	for j, u := range r.Uploads {
		c.id(field(at("uploads", j, "id")), u.ID)
	}
	if r.Gate != nil {
		c.must(r.Role.Signer() && r.Role != RoleSilent, field("gate"), "goes with signers only")
		c.gate(field("gate"), r.Gate)
	}
}

// levelsKnown leaves out the methods: which of them the host's providers offer is
// known to package identity alone.
func levelsKnown(q identity.Requirement) bool {
	q.Methods = nil
	return q.Validate() == nil
}

func (c *checker) channel(field string, ch Channel) {
	declared := ch == "" || ch == ChannelWeChat || ch == ChannelSMS || slices.Contains(c.channels, ch)
	if c.err == nil && !declared {
		c.err = &FieldError{Field: field, Why: "is not declared", why: ErrUnknownChannel}
	}
}

func (c *checker) gate(field string, g *Gate) {
	c.must(len(g.Approvers) > 0, field+".approvers", "is empty")
	for j, a := range g.Approvers {
		c.must(a != "", at(field+".approvers", j, ""), "is missing")
		c.must(slices.Index(g.Approvers, a) == j, at(field+".approvers", j, ""), "is not unique")
	}
	c.must(slices.Contains([]Rule{"", All, Any, K}, g.Rule), field+".rule", "is unknown")
	if g.Rule == K {
		c.must(g.K >= 1 && g.K <= len(g.Approvers), field+".k", "must be between 1 and the number of approvers")
	} else {
		c.must(g.K == 0, field+".k", "goes with rule k only")
	}
}

// groups checks what rows may stand together.
func (c *checker) groups() {
	for i, r := range c.e.Recipients {
		if !r.acts() && r.Role != RoleCC {
			continue
		}
		if s := c.e.stage(r.Order); r.Role != RoleCC && (s.Rule == Any || s.Rule == K) {
			c.must(r.Role.Signer() && r.Role != RoleSilent, at("recipients", i, "role"), "cannot stand in a stage of rule any or k")
		}
		for j, o := range c.e.Recipients {
			if i == j || !o.acts() && o.Role != RoleCC {
				continue
			}
			same := r.Party.Account != "" && r.Party.Account == o.Party.Account
			if r.Role == RoleCC {
				c.must(!same || !o.Role.Signer(), at("recipients", i, "role"), "is cc and also a signer")
				continue
			}
			if o.Role == RoleCC || o.Order != r.Order || j > i {
				continue
			}
			if rule := c.e.stage(r.Order).Rule; rule == Any || rule == K {
				c.must(o.Role == r.Role, at("recipients", i, "role"), "differs from the others of its stage")
			}
			two := same && r.Role == RoleOperator && o.Role == RoleOperator && r.Party.Org != o.Party.Org
			c.must(!two, at("recipients", i, "party"), "stands for two organisations in one stage")
		}
	}
}

func (c *checker) fields() {
	for i, f := range c.e.Fields {
		field := func(name string) string { return at("fields", i, name) }
		c.id(field("id"), f.ID)
		first := slices.IndexFunc(c.e.Fields, func(o Field) bool { return o.ID == f.ID })
		c.must(first == i, field("id"), "is not unique")
		c.must(c.e.document(f.Document) != nil, field("document"), "is no document of the envelope")
		c.must(f.Type.known(), field("type"), "is unknown")
		c.must(!f.Fill || !f.Type.stamp(), field("fill"), "does not go with what signing makes")
		c.must(f.Pattern == "" && f.Default == "" || !f.Type.stamp(), field("pattern"), "does not go with what signing makes")
		if c.err == nil && f.Pattern != "" {
			_, err := f.pattern()
			c.must(err == nil && len(f.Pattern) <= maxPattern, field("pattern"), "is no regular expression (RE2) of at most 512 bytes")
		}
		if c.err == nil && f.Default != "" {
			c.must(!f.Type.personal(), field("default"), "would keep personal data")
			why := f.refuse(f.Default)
			c.must(why == "", field("default"), why)
		}
		r := c.e.row(f.Recipient)
		if r == nil {
			c.must(false, field("recipient"), "is no row of the envelope")
			return
		}
		c.must(slices.Contains(c.e.documentsOf(r), f.Document), field("document"), "is not one that its row sees")
		switch {
		case r.Role == RoleSilent:
			seals := f.Type == FieldSeal || f.Type == FieldCrossPage || f.Type == FieldSignDate
			c.must(seals, field("type"), "is not for a silent seal")
		case !r.Role.Signer():
			c.must(r.Role != RoleCC && !f.Type.stamp(), field("recipient"), "does not sign")
		}
	}
}

func (c *checker) deadlines() {
	e := c.e
	end := e.Deadline
	if end.IsZero() {
		end = c.now.Add(or(e.Rules.Lifetime, 90*day))
	}
	c.must(end.After(c.now), "deadline", "has passed")
	c.must(!end.After(c.now.Add(maxDeadline)), "deadline", "is more than 365 days ahead")
	for i, r := range e.Recipients {
		if r.Deadline.IsZero() || !r.State.Live() {
			continue
		}
		c.must(r.Deadline.After(c.now), at("recipients", i, "deadline"), "has passed")
		c.must(!r.Deadline.After(end), at("recipients", i, "deadline"), "is after the envelope's")
		c.must(e.inSequence(r.Order, r.Deadline), at("recipients", i, "deadline"), "is after a later stage's")
	}
}

// inSequence: no live row of a later stage has an earlier deadline of its own.
func (e *Envelope) inSequence(order int, deadline time.Time) bool {
	return !slices.ContainsFunc(e.Recipients, func(r Recipient) bool {
		return r.State.Live() && r.Order > order && !r.Deadline.IsZero() && r.Deadline.Before(deadline)
	})
}

func (t FieldType) known() bool {
	switch t {
	case FieldSignature, FieldSeal, FieldCrossPage, FieldSignDate, FieldOpinion, FieldRemark, FieldText, FieldMultiline,
		FieldNumber, FieldDate, FieldChoice, FieldCheckbox, FieldImage, FieldAttachment, FieldDistrict, FieldTable,
		FieldIDNumber, FieldPhone, FieldEmail:
		return true
	}
	return false
}
