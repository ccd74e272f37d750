package esign_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"log"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
)

func signNDA(ctx context.Context, keys esign.KeySource, texts sms.Config, vault privacy.Config, log evidence.Config,
	who esign.Contact, pdf io.Reader, typed <-chan string, out io.Writer) error {
	svc, err := esign.New(esign.Config{Store: new(storage.Mem), Blobs: new(storage.MemBlobs), Keys: keys, SMS: texts, Privacy: vault, Evidence: log})
	if err != nil { // production: bolt or SQL; files or objects. Membership.Catalogue nil: unmetered; TSA nil: level B-B
		return err
	}
	go svc.Run(ctx) // delivers texts and notices, anchors evidence until ctx ends
	hr, li := esign.Actor{Tenant: "acme", Account: "hr"}, esign.Actor{Tenant: "acme", Account: "li", Proof: esign.Proof{Session: "s-1"}}
	docs, err := svc.Upload(ctx, hr, esign.Upload{Files: []esign.File{{ID: "nda", Body: pdf}}})
	if err != nil {
		return err
	}
	to := esign.Invitee{ID: "li", Party: esign.Party{Account: "li"}, Contact: who, Channel: "sms", Consent: "staff"}
	if _, err := svc.Create(ctx, hr, esign.Draft{ID: "nda-17", Documents: docs, Recipients: []esign.Invitee{to}}); err != nil {
		return err // your ids: repeating a call is harmless
	}
	if _, err := svc.Send(ctx, hr, esign.Send{ID: "send-17", Envelope: "nda-17"}); err != nil {
		return err
	}
	if _, err := svc.Open(ctx, li, esign.View{ID: "open-17", Envelope: "nda-17"}); err != nil {
		return err
	}
	ask, err := svc.Challenge(ctx, li, esign.Challenge{ID: "ask-17", Envelopes: []string{"nda-17"}}) // queues a one-time code
	if err != nil {
		return err
	}
	proof, err := svc.CheckCode(ctx, li, esign.Code{Challenge: ask.ID, Code: <-typed})
	if err != nil {
		return err
	}
	if _, err := svc.Sign(ctx, li, esign.Sign{ID: "sign-17", Envelope: "nda-17", Intent: proof}); err != nil {
		return err
	}
	return svc.Export(ctx, hr, esign.Export{Envelope: "nda-17"}, out) // document and evidence; verifies offline
}

// The quick start of README: one contract, one signer, with development
// stand-ins for what a host brings.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ca, err := devca.NewInsecure(nil)
	if err != nil {
		log.Fatal(err)
	}
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	name, _ := privacy.NewName("李小禾")
	phone, _ := privacy.NewPhone("13800138002")
	typed := make(chan string, 1)
	gateway := &smstest.Gateway{Hook: func(s sms.Submission) {
		for _, v := range s.Vars { // the handset shows the code, and its owner types it
			if v.Name == "code" {
				typed <- v.Value
			}
		}
	}}
	var bundle bytes.Buffer
	err = signNDA(ctx, &keys{ca: ca, held: map[string]keyPair{}}, smstest.InsecureConfig(nil, nil, gateway),
		privacy.Config{Root: privacy.InsecureMemoryKey()}, evidence.Config{LogSigner: logKey, Origin: "example.test/log"},
		esign.Contact{Name: name, Phone: phone}, bytes.NewReader(contract()), typed, &bundle)
	if err != nil {
		log.Fatal(err)
	}
	// Without a timestamp authority nothing outside binds the log to a time.
	report, err := evidence.Verify(bytes.NewReader(bundle.Bytes()), int64(bundle.Len()), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Claim.Kind, report.Claim.Docs, report.FirstBad)
	// Output: sealed full 0
}
