package esign

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// A note is what the evidence keeps beside what the machine says.
type note struct {
	auth     []evidence.Auth     // of a signature
	x        map[string]any      // likewise
	personal []evidence.Personal // of a draft
}

// record appends an event of the machine to the envelope's chain.
func (x *work) record(ctx context.Context, e Event, before *Envelope, n note) error {
	d := evidence.Draft{Tenant: x.env.Tenant, Env: x.env.ID, Type: e.Type, Eff: e.Eff, X: map[string]any{}}
	if e.Recipient != "" {
		d.X["recipient"] = e.Recipient
	}
	// Every event says what the documents were: those it changed before and after,
	// the others as they stood; what a row was shown names its own alone.
	switch e.Type {
	case "document.rendered", "recipient.signed", "envelope.completed":
		d.Docs = x.documents(before)
	default:
		d.Docs = x.documents(nil)
	}
	if r := x.env.row(e.Recipient); e.Type == "recipient.viewed" && r != nil {
		own := x.env.documentsOf(r)
		d.Docs = slices.DeleteFunc(d.Docs, func(c evidence.DocChange) bool { return !slices.Contains(own, c.ID) })
	}
	if e.Type == "recipient.signed" || e.Type == "recipient.viewed" {
		d.Auth = n.auth
		maps.Copy(d.X, n.x)
	}
	if e.Type == "envelope.created" || e.Type == "envelope.edited" {
		d.Personal = n.personal
	}
	x.sign(&d, e.By)
	_, err := x.s.evidence.AppendTx(ctx, x.tx, d)
	return err
}

// tell appends an event that the machine knows nothing of.
func (x *work) tell(ctx context.Context, typ string, by Who, extra map[string]any) error {
	d := evidence.Draft{Tenant: x.env.Tenant, Env: x.env.ID, Type: typ, X: extra}
	x.sign(&d, by)
	_, err := x.s.evidence.AppendTx(ctx, x.tx, d)
	return err
}

// sign says whose act it was, and from where (H34, P10, T25).
func (x *work) sign(d *evidence.Draft, by Who) {
	if by == WhoSystem || x.a.Account == "" {
		d.Actor = evidence.Actor{ID: "system", Role: string(WhoSystem)}
		return
	}
	d.Actor = evidence.Actor{ID: x.a.Account, Role: string(by), Account: or(x.a.Org, x.a.Account)}
	d.Req = map[string]any{}
	if x.a.Request.Client != "" {
		d.Req["client"] = x.a.Request.Client
	}
	if x.a.Request.Version != "" {
		d.Req["version"] = x.a.Request.Version
	}
	if x.a.Proof.Session != "" {
		sum := sha256.Sum256([]byte("countersign/session/v1\x00" + x.a.Tenant + "\x00" + x.a.Proof.Session))
		d.Req["session"] = hex.EncodeToString(sum[:16])
	}
	who := privacy.Subject{Tenant: x.env.Tenant, ID: x.a.Account}
	if ip := x.a.Request.IP; !ip.IsZero() {
		d.Personal = append(slices.Clone(d.Personal), evidence.Personal{Subject: who, Field: privacy.FieldIP, Value: ip})
	}
	for _, t := range []struct {
		field privacy.Field
		value privacy.Text
	}{{privacy.FieldForwarded, x.a.Request.Forwarded}, {privacy.FieldUserAgent, x.a.Request.UserAgent}, {fieldDevice, x.a.Request.Device}} {
		if !t.value.IsZero() {
			d.Personal = append(slices.Clone(d.Personal), evidence.Personal{Subject: who, Field: t.field, Value: t.value})
		}
	}
}

// documents are the digests of the envelope's documents: of those that changed
// since, before and after; of the others as they are. A discarded draft has none.
func (x *work) documents(before *Envelope) []evidence.DocChange {
	var out []evidence.DocChange
	for _, d := range x.env.Documents {
		c := evidence.DocChange{ID: d.ID, Rev: len(d.Segments), After: d.digest()}
		if before != nil {
			if old := before.document(d.ID); old != nil && old.SHA256 != d.SHA256 {
				c.Before = old.digest()
			}
		}
		out = append(out, c)
	}
	return out
}

// digest names the document's bytes.
func (d *Document) digest() evidence.Digest {
	sum, _ := hex.DecodeString(d.SHA256)
	sm3, _ := hex.DecodeString(d.SM3)
	return evidence.Digest{Size: d.Segments.Size(), SHA256: sum, SM3: sm3}
}

// fieldDevice is the id of a device.
const fieldDevice privacy.Field = "device"

// textEvents is what the evidence calls what becomes of a text or code.
var textEvents = map[sms.EventType]string{
	sms.EventQueued: "notice.queued", sms.EventAccepted: "notice.submitted",
	sms.EventRejected: "notice.failed", sms.EventUndeliverable: "notice.failed", sms.EventUnknown: "notice.unknown",
	sms.EventUnresolved: "notice.unknown", sms.EventDropped: "notice.dropped", sms.EventDelivered: "notice.delivered",
	sms.EventCodeIssued: "code.queued", sms.EventCodeDenied: "code.refused", sms.EventCodeRight: "code.checked",
	sms.EventCodeUsed: "code.consumed",
}

// textEvent puts what became of a text or code into the chain of the envelope
// that it is about, in the same commit.
func (s *Service) textEvent(ctx context.Context, tx *storage.Tx, e sms.Event) error {
	about, ok := parseAbout(e.Ref)
	if !ok || textEvents[e.Type] == "" {
		return nil
	}
	typ := textEvents[e.Type]
	x := map[string]any{"recipient": about.Recipient}
	for k, v := range map[string]string{"message": e.Message, "gateway": e.Gateway, "template": e.Template,
		"provider_id": e.ProviderID, "reason": e.Reason, "challenge": e.Challenge} {
		if v != "" {
			x[k] = v
		}
	}
	if e.Version > 0 {
		x["template_version"] = int64(e.Version)
	}
	for _, env := range about.Envelopes {
		d := evidence.Draft{Tenant: e.Tenant, Env: env, Type: typ, X: x}
		asked, _ := ctx.Value(actorKey{}).(Actor) // whose code it is, and where it was typed
		if asked.Tenant != e.Tenant || e.Challenge == "" {
			asked = Actor{}
		}
		by := &work{s: s, tx: tx, a: asked, env: Envelope{Tenant: e.Tenant}}
		by.sign(&d, WhoRecipient)
		_, err := s.evidence.AppendTx(ctx, tx, d)
		if errors.Is(err, evidence.ErrSealed) {
			continue // a code tried after the end says nothing about the envelope
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// about is what a text is about, as Message.Ref carries it.
type about struct {
	Recipient string
	Address   string // version of the address it was queued for
	Over      bool   // it tells of an end: queued when row or envelope was over
	Envelopes []string
}

const aboutPrefix = "esign"

func (a about) String() string {
	when := "running"
	if a.Over {
		when = "over"
	}
	return storage.JoinID(append([]string{aboutPrefix, a.Recipient, a.Address, when}, a.Envelopes...)...)
}

func parseAbout(ref string) (about, bool) {
	if !strings.HasPrefix(ref, aboutPrefix+"/") {
		return about{}, false
	}
	p, err := storage.SplitID(ref)
	if err != nil || len(p) < 5 {
		return about{}, false
	}
	return about{Recipient: p[1], Address: p[2], Over: p[3] == "over", Envelopes: p[4:]}, true
}

// EventTypes lists every type of event that an envelope's chain may hold, the
// seal apart.
func EventTypes() []string {
	var out []string
	for _, table := range [][]rule{envelopeRules, rowRules} {
		for _, r := range table {
			out = append(out, r.event...)
		}
	}
	for _, typ := range textEvents {
		out = append(out, typ)
	}
	out = append(out, "units.held", "units.captured", "units.released", "units.charged", "document.downloaded", evidence.TypeExport, eventReceipt, "notice.failed")
	slices.Sort(out)
	return slices.Compact(out)
}
