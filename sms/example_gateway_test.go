package sms_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// console is a gateway that prints what others would send.
type console struct{}

func (console) Name() string                   { return "console" }
func (console) Capabilities() sms.Capabilities { return sms.Capabilities{} } // one-time codes and notices, at home

func (console) Submit(_ context.Context, s sms.Submission) (sms.SubmitResult, error) {
	fmt.Printf("to %s: 【%s】%s\n", s.To.Masked(), s.Signature, s.Text)
	// A provider answers with an id of its own. Without one, or without any
	// answer, the disposition is Unknown.
	return sms.SubmitResult{Disposition: sms.Accepted, ProviderID: s.Key}, nil
}

// A vendor of one's own, with the wordings that it approved: what a host hands
// to esign.Config.SMS, which needs the templates "invite" and "code".
func ExampleGateway() {
	ctx := context.Background()
	pepper := make([]byte, 32) // in production from the host's secrets, the same in every process
	rand.Read(pepper)
	approved := func(name string, k sms.Kind, body string, vars map[string]sms.Rule) sms.Template {
		return sms.Template{Name: name, Version: 1, Kind: k, Body: body, Vars: vars, State: sms.Approved, Author: "product", Reviewer: "legal",
			Gateways: map[string]sms.TemplateAt{"console": {Code: "T-1", Review: sms.ReviewPass}}}
	}
	config := sms.Config{
		Gateways: []sms.Gateway{console{}},
		Peppers:  []sms.Pepper{{ID: "2026", Key: pepper}},
		Policy:   sms.Policy{Signature: "云杉"},
		Catalogue: sms.Catalogue{
			Templates: []sms.Template{
				approved("invite", sms.Notice, "请登录签署《${title}》。", map[string]sms.Rule{"title": sms.RuleTitle}),
				approved("code", sms.OTP, "签署《${title}》（摘要${digest}）的验证码是${code}。",
					map[string]sms.Rule{"title": sms.RuleTitle, "digest": sms.RuleAlnum, "code": sms.RuleDigits}),
			},
			Signatures: []sms.Signature{{Name: "云杉", Kinds: []sms.Kind{sms.OTP, sms.Notice}, State: sms.Approved, Author: "product", Reviewer: "legal",
				Gateways: map[string]sms.SignatureAt{"console": {Review: sms.ReviewPass,
					Filing: map[sms.Carrier]sms.Filing{sms.AnyCarrier: sms.FilingDone}}}}},
		},
	}

	config.Store = new(storage.Mem) // esign.New fills in both
	var err error
	if config.Vault, err = privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: config.Store}); err != nil {
		log.Fatal(err)
	}
	texts, err := sms.New(config)
	if err != nil {
		log.Fatal(err)
	}
	phone, err := privacy.NewPhone("13812345678")
	if err != nil {
		log.Fatal(err)
	}
	to, err := config.Vault.Put(ctx, privacy.Subject{Tenant: "acme", ID: "li"}, privacy.FieldPhone, phone)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := texts.Send(ctx, sms.Message{Tenant: "acme", ID: "invite-17", Kind: sms.Notice, Template: "invite",
		To: to, Vars: sms.Values{"title": "保密协议"}, Consent: sms.Staff}); err != nil {
		log.Fatal(err)
	}
	if _, err := texts.Deliver(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: to 138****5678: 【云杉】请登录签署《保密协议》。
}
