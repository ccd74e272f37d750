package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
)

const (
	tenant   = "acme"
	envelope = "contract-1"
)

// people are the invented persons of the story, by account.
var people = map[string]struct{ name, latin, phone string }{
	"zhou": {"周云", "Zhou Yun", "13800138001"},
	"li":   {"李小禾", "Li Xiaohe", "13800138002"},
}

var signers = []string{"zhou", "li"}

// A story tells what happens while it happens.
type story struct {
	*deployment
	out      io.Writer
	contract []byte
	pdf      string // the contract's path, if it is the user's
	set      bool   // the clock was set to another time
	again    bool   // the folder holds a finished contract already
	docs     []esign.Document
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func actor(account string) esign.Actor {
	return esign.Actor{Tenant: tenant, Account: account, Proof: esign.Proof{Session: "session-" + account},
		Request: esign.Request{Client: "web"}}
}

// tell goes through the contract's life. Each call has an id of the host's, so
// the same folder again gets the same answers and changes nothing.
func (s *story) tell(ctx context.Context) error {
	s.say("countersign quick start, working in %s", s.dir)
	s.say("Certificates, timestamps and texts are development stand-ins made in this process; nothing leaves it.")
	switch env, err := s.svc.Get(ctx, actor("hr"), envelope); {
	case errors.Is(err, esign.ErrNotFound):
	case err != nil:
		return err
	case env.State == esign.StateCompleted:
		s.again = true
		s.say("This folder holds a finished contract: every call is repeated under its id and answers as before.")
	case env.State != esign.StateDraft:
		return fmt.Errorf("the folder holds a run that was cut off, use another: its contract is %s, and its texts are gone", env.State)
	}
	for _, step := range []func(context.Context) error{s.upload, s.buy, s.send, s.sign, s.statement, s.export, s.verify} {
		switch err := step(ctx); {
		case errors.Is(err, esign.ErrIntentMismatch):
			return fmt.Errorf("the folder holds another contract, use another: %w", err)
		case errors.Is(err, quota.ErrClock):
			return fmt.Errorf("the folder was last used at a later time, see -at: %w", err)
		case err != nil:
			return err
		}
	}
	s.say("\nDone. Look at it: signed.pdf in any PDF reader, and")
	at := "" // certificates of a set clock are good at its time
	if s.set {
		at = " -at " + s.now().Add(time.Second).UTC().Format(time.RFC3339)
	}
	s.say("  go run ./examples/verify -in %s -roots %s%s", s.path("signed.pdf"), s.path("roots.pem"), at)
	s.say("  go run ./examples/verify -bundle %s -keys %s%s", s.path("evidence.esev"), s.path("keys.txt"), at)
	return nil
}

// upload stores the contract. A file that could not be signed is refused here,
// before anything is bought or sent.
func (s *story) upload(ctx context.Context) (err error) {
	s.docs, err = s.svc.Upload(ctx, actor("hr"), esign.Upload{Files: []esign.File{{ID: "contract", Body: bytes.NewReader(s.contract)}}})
	if err != nil && s.pdf != "" {
		return fmt.Errorf("%s: %w", s.pdf, err)
	}
	return err
}

// buy accepts the agreement and pays for a package of units.
func (s *story) buy(ctx context.Context) error {
	text := evidence.DigestsOf([]byte("membership agreement of the quick start, first version"))
	if _, err := s.svc.Terms().Publish(ctx, privacy.Document{Tenant: tenant, ID: "membership", Version: "1",
		Digest: text.SHA256.String(), Weakest: privacy.ActTick}); err != nil {
		return err
	}
	order := membership.PurchaseRequest{Tenant: tenant, ID: "order-1", Payer: "hr", Item: "sign-10", Client: "web", Method: "card"}
	shown, err := s.svc.Membership().Quote(ctx, order)
	if err != nil {
		return err
	}
	order.Terms, order.Shown, order.Ticked = shown.Terms, shown.Price, true
	o, _, err := s.svc.Membership().Purchase(ctx, order)
	if err != nil {
		return err
	}
	if _, err := s.svc.Membership().MarkPaid(ctx, membership.PaidRequest{Tenant: tenant, Order: o.ID, Payment: "payment-1", Amount: o.Price}); err != nil {
		return err
	}
	s.say("\n1. hr accepts the agreement and pays order-1: %s for %s.", shown.Title, yuan(o.Price))
	return s.statement(ctx)
}

func yuan(m membership.Money) string {
	return fmt.Sprintf("%d.%02d %s", m.Amount/100, m.Amount%100, m.Currency)
}

// statement shows where the units are.
func (s *story) statement(ctx context.Context) error {
	st, err := s.svc.Quota().Statement(ctx, quota.StatementRequest{Tenant: tenant, Account: "hr"})
	if err != nil {
		return err
	}
	s.say("   hr's statement:  change  available  held")
	for _, l := range st.Lines {
		s.say("     %-14s    %+3d        %3d   %3d", l.Kind, signed(l), l.Available, l.Held)
	}
	return nil
}

// signed is what an entry does to the units that can be spent.
func signed(l quota.StatementLine) quota.Units {
	switch {
	case l.Credit == quota.BookAvailable:
		return l.Units
	case l.Debit == quota.BookAvailable:
		return -l.Units
	}
	return 0
}

// send sends the contract to two signers, one after the other.
func (s *story) send(ctx context.Context) error {
	d := esign.Draft{ID: envelope, Title: "软件开发服务合同", Documents: s.docs}
	for i, who := range signers {
		c, err := contact(who)
		if err != nil {
			return err
		}
		d.Recipients = append(d.Recipients, esign.Invitee{ID: who, Party: esign.Party{Account: who}, Order: i + 1, Contact: c,
			Channel: esign.ChannelSMS, Consent: esign.ConsentStaff})
		d.Fields = append(d.Fields, s.fields(who, i, s.docs[0])...)
	}
	if _, err := s.svc.Create(ctx, actor("hr"), d); err != nil {
		return err
	}
	env, err := s.svc.Send(ctx, actor("hr"), esign.Send{ID: "send-1", Envelope: envelope})
	if err != nil {
		return err
	}
	s.say("\n2. hr sends %s (%d pages, SHA-256 %s…) to %s, then %s.", envelope, s.docs[0].Pages, s.docs[0].SHA256[:12],
		people["zhou"].name, people["li"].name)
	if s.again {
		s.say("   Answered as before: no unit is held and no text goes out again.")
		return nil
	}
	s.say("   One commit holds %d units, moves the envelope, writes the evidence and queues the first text.",
		env.Recipients[0].Line.Units+env.Recipients[1].Line.Units)
	return s.deliver(ctx)
}

func contact(who string) (esign.Contact, error) {
	name, err := privacy.NewName(people[who].name)
	if err != nil {
		return esign.Contact{}, err
	}
	phone, err := privacy.NewPhone(people[who].phone)
	return esign.Contact{Name: name, Phone: phone}, err
}

// fields are a signer's places on the last page: the boxes of the sample, or
// the lower margin of a contract of the user's own.
func (s *story) fields(who string, i int, d esign.Document) []esign.Field {
	x, y := 74+244*float64(i), 282.0
	if s.pdf != "" {
		x, y = 40+270*float64(i), 24
	}
	out := []esign.Field{{ID: "sign", Document: d.ID, Recipient: who, Type: esign.FieldSignature, Page: d.Pages,
		Rect: [4]float64{x, y, x + 190, y + 56}}}
	if s.pdf == "" {
		out = append(out, esign.Field{ID: "date", Document: d.ID, Recipient: who, Type: esign.FieldSignDate, Page: d.Pages,
			Rect: [4]float64{x + 48, y - 24, x + 190, y - 8}})
	}
	for k := range out {
		out[k].ID = who + "-" + out[k].ID
	}
	return out
}

// deliver does what Service.Run does in a long-lived host.
func (s *story) deliver(ctx context.Context) error {
	before := len(s.texts.Texts())
	if _, err := s.svc.Deliver(ctx); err != nil {
		return err
	}
	for _, t := range s.texts.Texts()[before:] {
		s.say("   text to %s: %s", t.To[:6]+"****"+t.To[10:], t)
	}
	return nil
}

// sign lets each signer open the contract, ask for a code, type it, and sign.
func (s *story) sign(ctx context.Context) error {
	for i, who := range signers {
		request := esign.Sign{ID: "sign-" + who, Envelope: envelope}
		if s.again {
			done, err := s.svc.Sign(ctx, actor(who), request)
			if err != nil {
				return err
			}
			s.say("\n%d. %s signs again under the same id: answered as before, signed at %s.", i+3, people[who].name, done.At.Format("2006-01-02 15:04:05Z"))
			continue
		}
		seen, err := s.svc.Open(ctx, actor(who), esign.View{ID: "open-" + who, Envelope: envelope})
		if err != nil {
			return err
		}
		base, err := hex.DecodeString(seen.Documents[0].Base)
		if err != nil {
			return err
		}
		s.say("\n%d. %s opens the contract, now with its fields (digest %.4s…), and asks for a code, bound to exactly these bytes.",
			i+3, people[who].name, identity.Bind(base))
		ask, err := s.svc.Challenge(ctx, actor(who), esign.Challenge{ID: "ask-" + who, Envelopes: []string{envelope}})
		if err != nil {
			return err
		}
		if err := s.deliver(ctx); err != nil {
			return err
		}
		text, _ := s.texts.Last(people[who].phone)
		if request.Intent, err = s.svc.CheckCode(ctx, actor(who), esign.Code{Challenge: ask.ID, Code: string(text.Code())}); err != nil {
			return err
		}
		done, err := s.svc.Sign(ctx, actor(who), request)
		if err != nil {
			return err
		}
		s.say("   The code is right. One commit signs, captures 1 unit and moves on: the envelope is %s.", done.Envelope.State)
		if err := s.deliver(ctx); err != nil {
			return err
		}
	}
	s.say("\n%d. Both signed.", len(signers)+3)
	return nil
}

// export writes what a party would keep, and what a verifier has to trust.
func (s *story) export(ctx context.Context) error {
	trust := "log " + s.svc.Evidence().VerifierKey() + "\ntsa\n" + string(s.ca.RootsPEM()) + "ca\n" + string(s.ca.RootsPEM())
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"signed.pdf", func(w io.Writer) error {
			return s.svc.Export(ctx, actor("hr"), esign.Export{Envelope: envelope, Document: "contract"}, w)
		}},
		{"evidence.esev", func(w io.Writer) error {
			return s.svc.Export(ctx, actor("hr"), esign.Export{Envelope: envelope}, w)
		}},
		{"roots.pem", func(w io.Writer) error { _, err := w.Write(s.ca.RootsPEM()); return err }},
		{"keys.txt", func(w io.Writer) error { _, err := io.Copy(w, strings.NewReader(trust)); return err }},
	} {
		var b bytes.Buffer // a failed export leaves no half file
		if err := f.write(&b); err != nil {
			return err
		}
		if err := os.WriteFile(s.path(f.name), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	s.say("\n6. Exported: signed.pdf, evidence.esev, and the development roots to trust, roots.pem and keys.txt.")
	return nil
}

// verify judges both files as a stranger would: from the files alone.
func (s *story) verify(ctx context.Context) error {
	roots, err := os.ReadFile(s.path("roots.pem"))
	if err != nil {
		return err
	}
	certs, err := pades.ParseCertificates(roots)
	if err != nil {
		return err
	}
	pdf, err := os.ReadFile(s.path("signed.pdf"))
	if err != nil {
		return err
	}
	o := &pades.VerifyOptions{Roots: certs, At: s.now()}
	rep, err := pades.Verify(ctx, bytes.NewReader(pdf), int64(len(pdf)), o)
	if err != nil {
		return err
	}
	s.say("\n7. Verified offline, under the development roots:")
	for _, sig := range rep.Signatures {
		s.say("   signed.pdf: %-22s %s, %s, changes %s, profile %s: %s", sig.Signer, sig.Integrity, sig.Coverage, sig.Changes, sig.Profile, sig.Verdict)
	}
	if rep.Verdict != pades.Passed {
		return fmt.Errorf("signed.pdf is %s: %v", rep.Verdict, rep.Reasons)
	}
	s.say("   Each signature covers every byte up to its own end; what came after the first only filled fields, as it allows.")
	keys, err := os.Open(s.path("keys.txt"))
	if err != nil {
		return err
	}
	defer keys.Close()
	trust, err := evidence.ParseTrust(keys)
	if err != nil {
		return err
	}
	bundle, err := os.ReadFile(s.path("evidence.esev"))
	if err != nil {
		return err
	}
	ev, err := evidence.Verify(bytes.NewReader(bundle), int64(len(bundle)), &evidence.VerifyOptions{Keys: trust,
		Document: func(_ string, r io.ReaderAt, size int64) (evidence.Verdict, error) {
			got, err := pades.Verify(ctx, r, size, o)
			if err != nil {
				return evidence.Failed, err
			}
			return evidence.Verdict(got.Verdict), nil
		}})
	if err != nil {
		return err
	}
	s.say("   evidence.esev: %d events, chain %s, documents inside: %s", ev.Claim.Last, ev.Claim.Kind, ev.Verdict)
	if ev.Verdict != evidence.Passed {
		for _, c := range ev.Checks {
			if c.Verdict != evidence.Passed {
				s.say("     %s %s %s", c.Code, c.Verdict, c.Detail)
			}
		}
		return fmt.Errorf("evidence.esev is %s", ev.Verdict)
	}
	return nil
}
