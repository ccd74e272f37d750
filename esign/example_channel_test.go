package esign_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
)

// wechat delivers notices as the host's own messages. A notice may come more
// than once, with the same ID.
type wechat struct{}

func (wechat) Deliver(_ context.Context, n esign.Notice) error {
	fmt.Println("wechat to", n.Account+":", n.Event)
	return nil
}

// A host with a WeChat account of its own sends a contract, revokes it, and
// looks at what is there.
func ExampleMessenger() {
	ctx := context.Background()
	ca, err := devca.NewInsecure(nil)
	if err != nil {
		log.Fatal(err)
	}
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	svc, err := esign.New(esign.Config{Store: new(storage.Mem), Blobs: new(storage.MemBlobs), Keys: &keys{ca: ca, held: map[string]keyPair{}},
		SMS:      smstest.InsecureConfig(nil, nil, new(smstest.Gateway)), // codes to sign by go out as texts whatever the channel
		Privacy:  privacy.Config{Root: privacy.InsecureMemoryKey()},
		Evidence: evidence.Config{LogSigner: logKey, Origin: "example.test/log"},
		Policy: esign.Policy{Channels: map[esign.Channel]esign.ChannelPolicy{
			esign.ChannelWeChat: {Refundable: true, Messenger: wechat{}}}}})
	if err != nil {
		log.Fatal(err)
	}

	hr := esign.Actor{Tenant: "acme", Account: "hr"}
	docs, err := svc.Upload(ctx, hr, esign.Upload{Files: []esign.File{{ID: "nda", Body: bytes.NewReader(contract())}}})
	if err != nil {
		log.Fatal(err)
	}
	who, err := exampleContact()
	if err != nil {
		log.Fatal(err)
	}
	if _, err := svc.Create(ctx, hr, esign.Draft{ID: "nda-18", Documents: docs, Recipients: []esign.Invitee{{ID: "li",
		Party: esign.Party{Account: "li"}, Contact: who, Channel: esign.ChannelWeChat, Consent: esign.ConsentStaff}}}); err != nil {
		log.Fatal(err)
	}
	if _, err := svc.Send(ctx, hr, esign.Send{ID: "send-18", Envelope: "nda-18"}); err != nil {
		log.Fatal(err)
	}
	if _, err := svc.Deliver(ctx); err != nil { // or Run, for good
		log.Fatal(err)
	}
	if _, err := svc.Revoke(ctx, hr, esign.End{ID: "revoke-18", Envelope: "nda-18", Reason: "wrong annex"}); err != nil {
		log.Fatal(err)
	}
	if _, err := svc.Deliver(ctx); err != nil {
		log.Fatal(err)
	}
	for e, err := range svc.List(ctx, hr, esign.Query{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.ID, e.State)
	}
	// Output:
	// wechat to li: recipient.invited
	// wechat to li: envelope.revoked
	// nda-18 revoked
}
