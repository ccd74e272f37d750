package esign

import (
	"context"
	"errors"
	"slices"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// carryOut does one effect of the machine in this commit: units and evidence at
// once, everything outside through the outbox.
func (x *work) carryOut(ctx context.Context, e Effect) error {
	switch e.Kind {
	case EffectHold:
		return x.hold(ctx, e.Lines)
	case EffectCapture:
		return x.capture(ctx, e.Lines)
	case EffectCharge:
		return x.charge(ctx, e.Lines)
	case EffectSettle:
		return x.settle(ctx, e.Lines, e.Cause)
	case EffectMark:
		return x.mark(ctx, e)
	case EffectNotify:
		return x.notify(ctx, e)
	case EffectRender:
		return x.queue(job{Do: doRender, At: x.tx.Now(x.s.now)})
	case EffectFinalize:
		if x.levelReached() {
			x.finalized = true
			return nil
		}
		return x.queue(job{Do: doFinalize, At: e.At})
	case EffectAlarm:
		return nil // finalize raises it once the failure is booked
	case EffectSeal:
		_, err := x.s.evidence.SealChainTx(ctx, x.tx, evidence.SealDraft{Tenant: x.env.Tenant, Env: x.env.ID,
			Actor: evidence.Actor{ID: "system", Role: string(WhoSystem)}, Docs: x.documents(nil)})
		if err != nil || x.env.State != StateCompleted {
			return err
		}
		return x.queue(job{Do: doReceipts, At: x.tx.Now(x.s.now)})
	case EffectDelete, EffectMove:
		// A discarded draft stays as a record without state, so that its id keeps
		// its versions; a moved line keeps its slot, which the ledger knows.
		return nil
	}
	return ErrNotOffered
}

// levelReached: every signature has what Policy.Level asks for.
func (x *work) levelReached() bool {
	return !slices.ContainsFunc(x.env.Documents, func(d Document) bool { return d.below(x.s.policy.Level) })
}

// below: a signature on the document lacks something; nobody may have signed it.
func (d *Document) below(level pades.Profile) bool { return d.Level != "" && d.Level != string(level) }

// notify queues what one party is to be told.
func (x *work) notify(ctx context.Context, e Effect) error {
	if e.Channel == ChannelSMS {
		return x.text(ctx, e)
	}
	j := job{Do: doNotice, At: x.tx.Now(x.s.now), Channel: e.Channel, Notice: Notice{Recipient: e.Recipient, Event: e.What}}
	switch {
	case e.Owner:
		j.Channel, j.Notice.Account = toOwner, x.env.Owner.Account
	case e.Approver != "":
		j.Channel, j.Notice.Account = toOwner, e.Approver
	default:
		j.Notice.Account = x.env.row(e.Recipient).Party.Account
	}
	if x.s.messenger(j.Channel) == nil {
		return nil // the host learns of it from the timeline
	}
	return x.queue(j)
}

// text queues a text, if the event has a template.
func (x *work) text(ctx context.Context, e Effect) error {
	template := x.s.policy.Texts[e.What]
	if template == "" {
		return nil
	}
	r := x.env.row(e.Recipient)
	m := sms.Message{Tenant: x.env.Tenant, ID: x.op(), Kind: sms.Notice, Template: template, To: r.Address,
		Ref: about{Recipient: r.ID, Address: formatUint(r.AddressVersion), Over: x.env.over(r),
			Envelopes: []string{x.env.ID}}.String(),
		Account: x.env.Owner.Account, Metered: x.s.policy.MeterTexts, Consent: sms.Basis(r.Consent)}
	err := x.tx.Sub(func() error {
		_, err := x.s.sms.SendTx(ctx, x.tx, m)
		return err
	})
	if err == nil || !x.lenient || !refusedText(err) {
		return err
	}
	return x.tell(ctx, "notice.failed", WhoSystem, map[string]any{"recipient": r.ID, "template": template, "reason": textReason(err)})
}

// refusals are the reasons for which a text is not queued, by the name that the
// evidence keeps.
var refusals = []struct {
	err  error
	name string
}{
	{sms.ErrNotApproved, "not_approved"}, {sms.ErrVariable, "variable"}, {sms.ErrNoConsent, "no_consent"},
	{sms.ErrLimited, "limited"}, {sms.ErrStanding, "standing"}, {sms.ErrAgreement, "agreement"}, {sms.ErrNoGateway, "no_gateway"}, {sms.ErrNotFound, "no_address"},
	{sms.ErrRequest, "no_address"}, {quota.ErrInsufficient, "no_units"}, {quota.ErrSuspended, "suspended"},
	{privacy.ErrErased, "erased"}, {privacy.ErrRestricted, "restricted"}, {privacy.ErrNotFound, "no_address"},
}

func refusedText(err error) bool { return textReason(err) != "" }

func textReason(err error) string {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return ""
}

// over: nothing is asked of the row any more.
func (e *Envelope) over(r *Recipient) bool { return !r.State.Live() || !e.State.running() }

// resolveText says, at submission, where a text goes now and what it says, or
// drops it: its recipient has another address by now, or was replaced, or the
// envelope ended, and this is not what the text tells.
func (s *Service) resolveText(ctx context.Context, tx *storage.Tx, m sms.Message) (sms.Resolved, error) {
	a, ok := parseAbout(m.Ref)
	if !ok {
		return sms.Resolved{}, sms.ErrDropped
	}
	env, version, err := s.load(tx, m.Tenant, a.Envelopes[0])
	if err != nil {
		return sms.Resolved{}, err
	}
	env = env.asOf(tx.Now(s.now))
	r := env.row(a.Recipient)
	if version == 0 || r == nil || formatUint(r.AddressVersion) != a.Address || !a.Over && env.over(r) {
		return sms.Resolved{}, sms.ErrDropped
	}
	if m.Kind == sms.OTP || m.Kind == sms.VoiceOTP {
		return sms.Resolved{To: r.Address}, nil
	}
	vars := map[string]string{"title": sms.FitTitle(env.Title), "sender": or(env.Owner.Org, env.Owner.Account)}
	if s.policy.Sender != nil {
		vars["sender"] = s.policy.Sender(m.Tenant, env.Owner)
	}
	if d := or(r.Deadline, env.Deadline); !d.IsZero() {
		vars["deadline"] = d.In(shanghai).Format("2006年01月02日")
	}
	if s.policy.Link != nil {
		vars["link"] = s.policy.Link(m.Tenant, env.ID, r.ID)
	}
	return sms.Resolved{To: r.Address, Vars: vars}, nil
}
