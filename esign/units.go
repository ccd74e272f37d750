package esign

import (
	"context"
	"errors"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
)

// feature is what sending to a row asks of the sender's membership; as payer,
// what signing asks of the signer's.
func (e *Envelope) feature(r *Recipient, pays bool) membership.Feature {
	org := r.Role.sealed() || r.Role == RoleRepresentative
	switch {
	case e.Kind != RealName && pays:
		return membership.FeaturePayOrdinary
	case e.Kind != RealName:
		return membership.FeatureOrdinary
	case org && pays:
		return membership.FeaturePayOrg
	case org:
		return membership.FeatureRealNameOrg
	case pays:
		return membership.FeaturePayPerson
	}
	return membership.FeatureRealNamePerson
}

// price asks the membership what each signer costs and who pays (D01), at the
// instant of the commit, and records the use of the agreements in force (H03).
func (x *work) price(ctx context.Context, party Party, rows []*Recipient, pays bool) (payer quota.AccountID, lines []quota.LineRequest, err error) {
	for _, r := range rows {
		d, err := x.s.membership.CheckTx(ctx, x.tx, membership.CheckRequest{Tenant: x.env.Tenant, Account: quota.AccountID(party.Account),
			Team: quota.AccountID(party.Org), Feature: x.env.feature(r, pays), Client: x.a.Request.Client})
		if errors.Is(err, privacy.ErrNotAccepted) || errors.Is(err, membership.ErrTerms) {
			return "", nil, errors.Join(ErrTermsNotAccepted, err)
		}
		if err != nil {
			return "", nil, err
		}
		payer = d.Account
		lines = append(lines, d.Line(quota.SlotID(r.Line.Slot), ""))
	}
	return payer, lines, nil
}

// hold takes units for new lines: a hold of the envelope's own, one line per
// signer, or more lines of the hold there is (D08).
func (x *work) hold(ctx context.Context, lines []Line) error {
	rows := make([]*Recipient, len(lines))
	for i, l := range lines {
		rows[i] = x.env.row(l.Recipient)
	}
	payer, asked, err := x.price(ctx, x.env.Owner, rows, false)
	if err != nil {
		return err
	}
	id := lines[0].Hold
	h, err := x.s.quota.ReserveTx(ctx, x.tx, quota.ReserveRequest{Tenant: x.env.Tenant, ID: quota.HoldID(id),
		Account: payer, Ref: x.env.ID, Lines: asked, Actor: x.a.Account})
	if err != nil {
		return err
	}
	var total int64
	for _, r := range rows {
		if l, ok := h.Line(quota.SlotID(r.Line.Slot)); ok {
			r.Line.Units, r.Line.Reason, r.Line.Payer = int64(l.Units), l.Free, string(payer)
			total += int64(l.Units)
		}
	}
	return x.tell(ctx, "units.held", WhoSystem, map[string]any{"hold": id, "units": total, "lines": len(lines)})
}

// capture marks lines as used: their signers signed.
func (x *work) capture(ctx context.Context, lines []Line) error {
	for id, slots := range byHold(lines) {
		st, err := x.s.quota.CaptureTx(ctx, x.tx, quota.CaptureRequest{Tenant: x.env.Tenant, ID: x.op(), Hold: id, Slots: slots,
			Actor: x.a.Account})
		if err != nil {
			return err
		}
		if err := x.settled(ctx, "units.captured", st); err != nil {
			return err
		}
	}
	return nil
}

// charge takes the signer's own units, in the commit of the signature: without
// them there is no signature, and nobody was charged (H48, D06).
func (x *work) charge(ctx context.Context, lines []Line) error {
	for _, l := range lines {
		r := x.env.row(l.Recipient)
		payer, asked, err := x.price(ctx, r.Party, []*Recipient{r}, true)
		if err != nil {
			return err
		}
		id := quota.HoldID(l.Hold + "/" + l.Slot)
		h, err := x.s.quota.ChargeTx(ctx, x.tx, quota.ChargeRequest{Tenant: x.env.Tenant, ID: id, Account: payer,
			Ref: x.env.ID, Lines: asked, Actor: x.a.Account})
		if err != nil {
			return err
		}
		r.Line.Units, r.Line.Payer, r.Line.Result = int64(h.Units()), string(payer), string(quota.Captured)
		if len(h.Lines) > 0 {
			r.Line.Reason = h.Lines[0].Free
		}
		if err := x.tell(ctx, "units.charged", WhoSystem, map[string]any{"hold": string(id), "recipient": r.ID, "units": r.Line.Units}); err != nil {
			return err
		}
	}
	return nil
}

// settle ends lines without a signature; the ledger's policy decides what
// becomes of their units (D02, D03).
func (x *work) settle(ctx context.Context, lines []Line, cause Cause) error {
	for id, slots := range byHold(lines) {
		st, err := x.s.quota.ReleaseTx(ctx, x.tx, quota.ReleaseRequest{Tenant: x.env.Tenant, ID: x.op(), Hold: id, Slots: slots,
			Cause: quota.Cause(cause), Actor: x.a.Account})
		if err != nil {
			return err
		}
		if err := x.settled(ctx, "units.released", st); err != nil {
			return err
		}
	}
	return nil
}

// settled notes on each row what the ledger made of its line.
func (x *work) settled(ctx context.Context, typ string, st quota.Settlement) error {
	var back, kept int64
	for _, l := range st.Lines {
		if l.State == quota.Released {
			back += int64(l.Units)
		} else {
			kept += int64(l.Units)
		}
		for i := range x.env.Recipients {
			r := &x.env.Recipients[i]
			if r.Line.Hold == string(st.Hold) && r.Line.Slot == string(l.Slot) && r.State != RecipientReplaced {
				r.Line.Result = string(l.State)
			}
		}
	}
	return x.tell(ctx, typ, WhoSystem, map[string]any{"hold": string(st.Hold), "used": kept, "returned": back})
}

// mark notes that a channel carried an invitation or a reminder (D24).
func (x *work) mark(ctx context.Context, e Effect) error {
	for _, l := range e.Lines {
		if _, err := x.s.quota.MarkChannelTx(ctx, x.tx, quota.MarkChannelRequest{Tenant: x.env.Tenant, ID: x.op(),
			Hold: quota.HoldID(l.Hold), Slot: quota.SlotID(l.Slot), Channel: quota.Channel(e.Channel)}); err != nil {
			return err
		}
	}
	return nil
}

func byHold(lines []Line) map[quota.HoldID][]quota.SlotID {
	out := map[quota.HoldID][]quota.SlotID{}
	for _, l := range lines {
		out[quota.HoldID(l.Hold)] = append(out[quota.HoldID(l.Hold)], quota.SlotID(l.Slot))
	}
	return out
}
