package esign_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/esign/identity/identitytest"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// A person's real name is compared with a register: not without consent on
// record, and once under its id.
func ExampleService_StartCheck() {
	ctx := context.Background()
	register := &identitytest.Registry{} // production: the adapter of a provider
	register.Know("李小禾", "11010519491231002X")
	ca, err := devca.NewInsecure(nil)
	if err != nil {
		log.Fatal(err)
	}
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	store := new(storage.Mem)
	svc, err := esign.New(esign.Config{Store: store, Blobs: new(storage.MemBlobs),
		Identity: identity.Config{Verifiers: []identity.Verifier{register}, CA: ca}, // the CA gives signers their certificates
		Privacy:  privacy.Config{Root: privacy.InsecureMemoryKey()},
		Evidence: evidence.Config{LogSigner: logKey, Origin: "example.test/log"}})
	if err != nil {
		log.Fatal(err)
	}
	name, _ := privacy.NewName("李小禾")
	number, _ := privacy.NewIDNumber("11010519491231002X")
	li := esign.Actor{Tenant: "acme", Account: "li"}
	check := esign.Check{ID: "check-1", Claim: identity.Claim{Method: identity.IDMatch, Name: name, Number: number}}

	_, err = svc.StartCheck(ctx, li, check)
	fmt.Println(errors.Is(err, identity.ErrConsent), register.Asked())

	err = storage.Update(ctx, store, func(tx *storage.Tx) error {
		return svc.Privacy().ConsentTx(ctx, tx, privacy.Subject{Tenant: "acme", ID: "li"}, privacy.Consent{ID: "consent-1",
			Purposes: []privacy.Purpose{privacy.PurposeIdentity}, Scope: register.Name(), Notice: "identity", Version: "2026-01",
			Digest: strings.Repeat("0", 64), Act: privacy.ActConfirm, Channel: "app"}) // the digest of the notice that was shown
	})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		flow, err := svc.StartCheck(ctx, li, check)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(flow.Result.Outcome, flow.Result.Level, register.Asked())
	}
	// Output:
	// true 0
	// match I2 1
	// match I2 1
}
