package sms_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
)

// exampleService returns a service whose texts stay in memory, and where the
// number of a person is kept.
func exampleService() (*sms.Service, *smstest.Gateway, privacy.Ref, storage.Store) {
	store := new(storage.Mem)
	vault, err := privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: store})
	if err != nil {
		log.Fatal(err)
	}
	phone, err := privacy.NewPhone("13812345678")
	if err != nil {
		log.Fatal(err)
	}
	to, err := vault.Put(context.Background(), privacy.Subject{Tenant: "acme", ID: "li"}, privacy.FieldPhone, phone)
	if err != nil {
		log.Fatal(err)
	}
	inbox := new(smstest.Gateway)
	texts, err := sms.New(smstest.InsecureConfig(store, vault, inbox))
	if err != nil {
		log.Fatal(err)
	}
	return texts, inbox, to, store
}

func ExampleService_Send() {
	ctx := context.Background()
	texts, inbox, to, _ := exampleService()
	ref, err := texts.Send(ctx, sms.Message{Tenant: "acme", ID: "invite-17", Kind: sms.Notice, Template: "invite",
		To: to, Vars: sms.Values{"title": "保密协议"}, Consent: sms.Staff})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := texts.Deliver(ctx); err != nil { // or texts.Run(ctx), for good
		log.Fatal(err)
	}
	got, _ := inbox.Last("13812345678")
	fmt.Println(got)
	st, err := texts.Status(ctx, ref)
	fmt.Println(st.State, st.To, err)
	// Output:
	// 【签约】您收到一份待签署的文件《保密协议》，请登录办理。
	// accepted 138****5678 <nil>
}

func ExampleService_Challenge() {
	ctx := context.Background()
	texts, inbox, to, store := exampleService()
	digest := []byte("SHA-256 of what is to be signed.")
	ask, err := texts.Challenge(ctx, sms.ChallengeRequest{Tenant: "acme", ID: "ask-17", To: to, Purpose: "sign",
		Envelope: "nda-17", Digest: digest, Title: "保密协议"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := texts.Deliver(ctx); err != nil {
		log.Fatal(err)
	}
	got, _ := inbox.Last("13812345678")

	proof, err := texts.CheckCode(ctx, "acme", ask.ID, got.Code()) // what the person typed
	if err != nil {
		log.Fatal(err)
	}
	spend := func() error {
		return storage.Update(ctx, store, func(tx *storage.Tx) error {
			_, err := texts.ConsumeTx(ctx, tx, proof, sms.Binding{To: to, Purpose: "sign", Envelope: "nda-17", Digest: digest})
			return err
		})
	}
	fmt.Println(ask.To, time.Until(ask.Expires).Round(time.Minute))
	fmt.Println(proof.Token, spend(), spend())
	// Output:
	// 138****5678 5m0s
	// *** <nil> sms: proof not accepted
}

func ExampleCount() {
	seg, err := sms.Count(sms.Notice, "签约", "您收到一份待签署的文件，请登录办理。")
	fmt.Println(seg.Length, seg.Units, err)
	// Output: 22 1 <nil>
}
