package esign

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// Create stores a draft. Contacts go to the vault, everything else into the
// envelope. Repeated with the same content it changes nothing and answers with
// the envelope as it stands, however often it was edited since; one that was
// discarded is not made again by it ([*StateError]).
//
// It fails with [*FieldError] for whatever part of the draft is wrong, with
// [ErrUnknownChannel], and with [ErrIntentMismatch] if the id is taken.
func (s *Service) Create(ctx context.Context, a Actor, d Draft) (Envelope, error) {
	return mutate(ctx, s, a, func(tx *storage.Tx) (Envelope, error) { return s.CreateTx(ctx, tx, a, d) })
}

// CreateTx is [Service.Create] within a commit. The tenant's keys must be
// unlocked before ([privacy.Vault.Unlock]), as for every Tx form.
func (s *Service) CreateTx(ctx context.Context, tx *storage.Tx, a Actor, d Draft) (Envelope, error) {
	return s.draft(ctx, tx, a, d, OpCreate)
}

// Edit replaces the content of a draft that has not been sent. The same content
// again changes nothing. With a Request the call is repeated under that id, and
// answers as it did; without one the content is its id, and content that the
// draft had before and has no more is [ErrStaleRevision], as nobody can tell a
// change back from a repeat that comes late.
func (s *Service) Edit(ctx context.Context, a Actor, d Draft) (Envelope, error) {
	return mutate(ctx, s, a, func(tx *storage.Tx) (Envelope, error) { return s.EditTx(ctx, tx, a, d) })
}

// EditTx is [Service.Edit] within a commit.
func (s *Service) EditTx(ctx context.Context, tx *storage.Tx, a Actor, d Draft) (Envelope, error) {
	if d.Request == "" {
		return s.draft(ctx, tx, a, d, OpEdit)
	}
	intent, err := s.draftIntent(a, d)
	if err != nil {
		return Envelope{}, err
	}
	got, err := once(tx, a, "edit", d.Request, intent, func() (versioned, error) {
		env, err := s.draft(ctx, tx, a, d, OpEdit)
		return versioned{env, env.Version}, err
	})
	return got.envelope(), err
}

// sentDraft is what the id of a draft stands for: its content with contacts by
// their blind index, and documents by digest, since each Upload stores blobs of
// its own.
type sentDraft struct {
	Intent   storage.Hex   `json:"intent"`
	Revision int           `json:"revision"`
	Created  storage.Hex   `json:"created,omitempty"` // by the Create that stands
	Past     []storage.Hex `json:"past,omitempty"`    // what the draft said before, newest last
	Gone     []storage.Hex `json:"gone,omitempty"`    // by Creates whose drafts were discarded
}

// maxPast bounds what is known of former contents; older ones are forgotten.
const maxPast = 64

func remember(list []storage.Hex, h storage.Hex) []storage.Hex {
	if len(h) == 0 {
		return list
	}
	if list = append(list, h); len(list) > maxPast {
		list = list[len(list)-maxPast:]
	}
	return list
}

func knows(list []storage.Hex, h storage.Hex) bool {
	return slices.ContainsFunc(list, func(o storage.Hex) bool { return slices.Equal(o, h) })
}

var drafts = storage.Kind[sentDraft]{Name: "esign.draft", Schema: 1}

func (s *Service) draft(ctx context.Context, tx *storage.Tx, a Actor, d Draft, op Op) (Envelope, error) {
	if err := a.check(); err != nil {
		return Envelope{}, err
	}
	if err := checkID("id", d.ID); err != nil {
		return Envelope{}, err
	}
	intent, err := s.draftIntent(a, d)
	if err != nil {
		return Envelope{}, err
	}
	x := &work{s: s, tx: tx, a: a, env: Envelope{}, was: Envelope{}}
	env, version, err := s.load(tx, a.Tenant, d.ID)
	if err != nil {
		return Envelope{}, err
	}
	known, _, err := drafts.Get(tx, a.Tenant, d.ID)
	if err != nil {
		return Envelope{}, err
	}
	if version > 0 && env.State != "" {
		switch {
		case !env.ownedBy(a):
			// The id is taken, by whom is none of the actor's business.
			return Envelope{}, ErrIntentMismatch
		case slices.Equal(known.Intent, intent), op == OpCreate && slices.Equal(known.Created, intent):
			return env, nil
		case op == OpCreate:
			return Envelope{}, ErrIntentMismatch
		case env.State == StateDraft && d.Request == "" && knows(known.Past, intent):
			// A repeat that comes late, or a change back: only a Request tells them apart.
			return Envelope{}, ErrStaleRevision
		}
		known.Past = remember(known.Past, known.Intent)
	} else {
		switch {
		case op == OpEdit:
			return Envelope{}, ErrNotFound
		case slices.Equal(known.Created, intent), knows(known.Gone, intent):
			return Envelope{}, &StateError{} // it was made, and discarded: a repeat makes no other
		}
		known = sentDraft{Revision: known.Revision, Created: intent, Gone: remember(known.Gone, known.Created)}
	}
	x.env, x.was = env, env
	if env.State == "" {
		x.env, x.was = Envelope{Tenant: a.Tenant, ID: d.ID, Version: version}, Envelope{Version: version}
	}
	content, personal, err := s.content(ctx, tx, a, d)
	if err != nil {
		return Envelope{}, err
	}
	if err := x.apply(ctx, Command{Op: op, By: WhoOwner, Draft: &content}, note{personal: personal}); err != nil {
		return Envelope{}, err
	}
	known.Intent, known.Revision = intent, known.Revision+1
	if err := drafts.Put(tx, a.Tenant, d.ID, known); err != nil {
		return Envelope{}, err
	}
	got, err := x.close()
	return got.envelope(), err
}

// content is the envelope that a draft describes, with its contacts sealed.
func (s *Service) content(ctx context.Context, tx *storage.Tx, a Actor, d Draft) (Envelope, []evidence.Personal, error) {
	env := Envelope{Tenant: a.Tenant, ID: d.ID, Kind: or(d.Kind, Ordinary), Owner: Party{Account: a.Account, Org: a.Org},
		Title: or(d.Title, d.ID), Ref: d.Ref, Stages: d.Stages, Fields: d.Fields, Deadline: micro(d.Deadline), SignerPays: d.SignerPays,
		NoLate: d.NoLate, Rules: s.policy.Rules}
	for i, doc := range d.Documents {
		if len(doc.Segments) != 1 || !blobOf(a.Tenant, doc.Segments[0].Blob) {
			return env, nil, badField(at("documents", i, "segments"), "is not what Upload returned")
		}
		// Whoever was shown an envelope has seen what it names, also of documents
		// that are not for them: only its sender may make another one of it.
		k, used, err := keptBlobs.Get(tx, a.Tenant, doc.Segments[0].Blob)
		if err != nil {
			return env, nil, err
		}
		if _, since, ok := parseBlob(doc.Segments[0].Blob); !used && (!ok || tx.Now(s.now).Sub(since) > uploadLife) {
			return env, nil, badField(at("documents", i, "segments"), "was uploaded too long ago")
		}
		if used && (k.Owner.Account != a.Account || k.Owner.Org != a.Org) {
			return env, nil, badField(at("documents", i, "segments"), "is not what Upload returned")
		}
		env.Documents = append(env.Documents, Document{ID: doc.ID, Segments: doc.Segments, SHA256: doc.SHA256, SM3: doc.SM3, Pages: doc.Pages})
	}
	var personal []evidence.Personal
	for i, inv := range d.Recipients {
		r, known, err := s.invite(ctx, tx, a, d.ID, i, inv, env.Kind)
		if err != nil {
			return env, nil, err
		}
		env.Recipients = append(env.Recipients, r)
		if personal, err = merge(personal, known, i); err != nil {
			return env, nil, err
		}
	}
	return env, personal, env.served()
}

// merge adds what is known of a row's person; one with several rows is one
// person, and has one name and one number.
func merge(all, more []evidence.Personal, i int) ([]evidence.Personal, error) {
	for _, p := range more {
		k := slices.IndexFunc(all, func(o evidence.Personal) bool { return o.Subject == p.Subject && o.Field == p.Field })
		switch {
		case k < 0:
			all = append(all, p)
		case !privacy.Equal(all[k].Value, p.Value):
			return nil, badField(at("recipients", i, "contact"), "differs from that of another row of its account")
		}
	}
	return all, nil
}

// served refuses what the machine knows but this version could not bring to an
// end: better no draft than one that gets stuck.
func (e *Envelope) served() error {
	for i, r := range e.Recipients {
		switch r.Role {
		case RoleApprover, RoleOperator, RoleSilent:
			return fmt.Errorf("%w: %s: role %s", ErrNotOffered, at("recipients", i, "role"), r.Role)
		}
	}
	for i, f := range e.Fields {
		switch {
		case f.Fill:
			return fmt.Errorf("%w: %s", ErrNotOffered, at("fields", i, "fill"))
		case f.Form != "":
			return fmt.Errorf("%w: %s", ErrNotOffered, at("fields", i, "form"))
		}
		doc := e.document(f.Document)
		if doc == nil {
			continue // the machine refuses it by its own path
		}
		if f.Page < 0 || f.Page > doc.Pages {
			return badField(at("fields", i, "page"), "is not in the document")
		}
		w, h := f.Rect[2]-f.Rect[0], f.Rect[3]-f.Rect[1]
		switch {
		case f.Rect == [4]float64{}: // invisible
		case w <= 0 || h <= 0:
			return badField(at("fields", i, "rect"), "must be left, bottom, right, top")
		case (w > maxStamp || h > maxStamp) && (f.Type == FieldSignature || f.Type == FieldSeal):
			return badField(at("fields", i, "rect"), "is larger than 1000 points")
		}
	}
	for _, d := range e.Documents {
		if _, err := e.baseFields(d.ID); err != nil {
			return err
		}
	}
	return nil
}

// maxStamp bounds what package seal draws, in points.
const maxStamp = 1000

// invite is the row of an invitee. Name and address go to the vault, under the
// person's account, or under the row where no account is known.
func (s *Service) invite(ctx context.Context, tx *storage.Tx, a Actor, env string, i int, inv Invitee, kind Kind) (Recipient, []evidence.Personal, error) {
	r := Recipient{ID: inv.ID, Role: or(inv.Role, RolePerson), Order: inv.Order, Party: inv.Party, Channel: inv.Channel,
		Consent: inv.Consent, View: identity.OrdinaryView, Sign: identity.OrdinarySign, Documents: inv.Documents,
		Reading: inv.Reading, NoDecline: inv.NoDecline, Deadline: micro(inv.Deadline), Timing: inv.Timing}
	if r.Role != RoleCC {
		r.Order = or(r.Order, 1)
	}
	if kind == RealName {
		r.View, r.Sign = identity.RealNameView, identity.RealNameSign
	}
	if err := checkID(at("recipients", i, "id"), inv.ID); err != nil {
		return r, nil, err
	}
	if inv.Party.Account == "" {
		// Links for people without an account come with their own issue; a row
		// that nobody could open is refused rather than stored.
		return r, nil, badField(at("recipients", i, "party.account"), "is missing")
	}
	if err := checkID(at("recipients", i, "party.account"), inv.Party.Account); err != nil {
		return r, nil, err
	}
	who := privacy.Subject{Tenant: a.Tenant, ID: inv.Party.Account}
	var known []evidence.Personal
	put := func(v privacy.Value, f privacy.Field) (privacy.Ref, error) {
		ref, err := s.vault.PutTx(ctx, tx, who, f, v)
		if err == nil && !slices.ContainsFunc(known, func(p evidence.Personal) bool { return p.Field == f }) {
			known = append(known, evidence.Personal{Subject: who, Field: f, Value: v})
		}
		return ref, err
	}
	var err error
	if !inv.Contact.Name.IsZero() {
		if r.Name, err = put(inv.Contact.Name, privacy.FieldName); err != nil {
			return r, nil, err
		}
	}
	if !inv.Contact.Email.IsZero() {
		if r.Address, err = put(inv.Contact.Email, privacy.FieldEmail); err != nil {
			return r, nil, err
		}
	}
	if !inv.Contact.Phone.IsZero() {
		ref, err := put(inv.Contact.Phone, privacy.FieldPhone)
		if err != nil {
			return r, nil, err
		}
		r.Address = ref // whatever the channel: codes go there
	}
	if r.Role.Signer() && r.Address.Field != privacy.FieldPhone {
		return r, nil, badField(at("recipients", i, "contact.phone"), "is needed: the codes of a signer go there")
	}
	if r.Channel == ChannelSMS && r.Address.Field != privacy.FieldPhone {
		return r, nil, badField(at("recipients", i, "contact.phone"), "is needed to reach it by sms")
	}
	return r, known, nil
}

// recordable refuses instants and places that no record can hold, which would have
// no intent either.
func (d Draft) recordable() error {
	bad := func(t time.Time) bool { y := t.UTC().Year(); return y < 0 || y > 9999 }
	if bad(d.Deadline) {
		return badField("deadline", "is not in the years 0 to 9999")
	}
	for i, r := range d.Recipients {
		if bad(r.Deadline) {
			return badField(at("recipients", i, "deadline"), "is not in the years 0 to 9999")
		}
	}
	for i, f := range d.Fields {
		for _, c := range f.Rect {
			if math.IsNaN(c) || math.IsInf(c, 0) || math.Abs(c) > 1e6 {
				return badField(at("fields", i, "rect"), "is not a place on a page")
			}
		}
	}
	return nil
}

// draftIntent stands for what a draft says.
func (s *Service) draftIntent(a Actor, d Draft) (storage.Hex, error) {
	if err := d.recordable(); err != nil {
		return nil, err
	}
	type contact struct{ Name, Phone, Email string }
	kept := struct {
		Account, Org string
		Draft        Draft
		Documents    []string
		Contacts     []contact
	}{Account: a.Account, Org: a.Org, Draft: d}
	kept.Draft.Documents, kept.Draft.Request = nil, ""
	kept.Draft.Deadline = micro(d.Deadline)
	kept.Draft.Recipients = slices.Clone(d.Recipients)
	for i := range d.Recipients {
		kept.Draft.Recipients[i].Deadline = micro(d.Recipients[i].Deadline)
	}
	for _, doc := range d.Documents {
		kept.Documents = append(kept.Documents, doc.ID+" "+doc.SHA256+" "+doc.SM3+" "+strconv.FormatInt(doc.Segments.Size(), 10))
	}
	for _, inv := range d.Recipients {
		var c contact
		for _, v := range []struct {
			value privacy.Value
			to    *string
		}{{inv.Contact.Name, &c.Name}, {inv.Contact.Phone, &c.Phone}, {inv.Contact.Email, &c.Email}} {
			if v.value.IsZero() {
				continue
			}
			sum, err := s.vault.BlindIndex(a.Tenant, v.value)
			if err != nil {
				return nil, err
			}
			*v.to = hex.EncodeToString(sum)
		}
		kept.Contacts = append(kept.Contacts, c)
	}
	sum := storage.Intent(kept)
	return sum[:], nil
}

// Send sends a draft: in one commit it decides what each signer costs and holds
// the units, moves the envelope, records the evidence and queues the
// invitations of the first stage, or does none of it.
//
// It fails with [*StateError] if it was sent or ended, [ErrTermsNotAccepted],
// [ErrTemplateNotApproved], [*quota.InsufficientError], [ErrUnknownChannel],
// [*FieldError], [ErrConfig] where nobody could get a code to sign by, or the
// refusal of an invitation by package sms.
func (s *Service) Send(ctx context.Context, a Actor, r Send) (Envelope, error) {
	return mutate(ctx, s, a, func(tx *storage.Tx) (Envelope, error) { return s.SendTx(ctx, tx, a, r) })
}

// SendTx is [Service.Send] within a commit.
func (s *Service) SendTx(ctx context.Context, tx *storage.Tx, a Actor, r Send) (Envelope, error) {
	return s.command(ctx, tx, a, "send", r.ID, r.Envelope, r, func(x *work) error {
		if err := x.asOwner(); err != nil {
			return err
		}
		if err := x.textsApproved(); err != nil {
			return err
		}
		if err := x.codesReady(); err != nil {
			return err
		}
		hold := storage.JoinID(x.env.ID, strconv.FormatUint(x.env.Version+1, 10))
		return x.apply(ctx, Command{Op: OpSend, By: WhoOwner,
			// Terms are asked where the price is; Upload screened every document.
			Cleared: Cleared{Terms: true, Content: true, Templates: true},
			Line:    LineRef{Hold: hold}}, note{})
	})
}

// codesReady refuses an envelope that nobody could ever sign, as no code can go
// out or be checked: before any unit is held.
func (x *work) codesReady() error {
	signs := func(r Recipient) bool { return r.Role.Signer() && r.Role != RoleSilent }
	if !slices.ContainsFunc(x.env.Recipients, signs) {
		return nil
	}
	err := x.s.sms.CheckCodesTx(x.tx, x.env.Tenant, "", true)
	switch {
	case errors.Is(err, sms.ErrNotApproved):
		return errors.Join(ErrTemplateNotApproved, err)
	case errors.Is(err, sms.ErrNoPepper), errors.Is(err, sms.ErrNoGateway), errors.Is(err, sms.ErrVariable):
		return fmt.Errorf("%w: no code to sign by: %w", ErrConfig, err)
	}
	return err
}

// textsApproved refuses an envelope that would tell somebody by a template that
// may not be sent, before any unit is held (D16): also those of later stages,
// whose texts are queued when somebody else signs.
func (x *work) textsApproved() error {
	template := x.s.policy.Texts["recipient.invited"]
	bySMS := slices.ContainsFunc(x.env.Recipients, func(r Recipient) bool { return r.Channel == ChannelSMS })
	if !bySMS || template == "" {
		return nil
	}
	if err := x.s.sms.CheckTemplateTx(x.tx, x.env.Tenant, sms.Notice, template, ""); err != nil {
		return errors.Join(ErrTemplateNotApproved, err)
	}
	return nil
}
