package privacy_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

func Example() {
	ctx := context.Background()
	vault, err := privacy.New(privacy.Config{
		Root:  privacy.InsecureMemoryKey(), // production: the key service of the host
		Store: new(storage.Mem),
	})
	if err != nil {
		panic(err)
	}
	li := privacy.Subject{Tenant: "acme", ID: "u-1"}
	phone, err := privacy.NewPhone("+86 138 0013 8000")
	if err != nil {
		panic(err)
	}
	ref, err := vault.Put(ctx, li, privacy.FieldPhone, phone)
	if err != nil {
		panic(err)
	}
	fmt.Println("printed:", phone)

	ctx = vault.As(ctx, privacy.Accessor{Tenant: "acme", Account: "clerk-7", Role: "support"})
	_, err = vault.Reveal(ctx, ref, "marketing")
	fmt.Println("for marketing:", errors.Is(err, privacy.ErrPurpose))
	v, err := vault.Reveal(ctx, ref, privacy.PurposeDelivery)
	if err != nil {
		panic(err)
	}
	clear, err := v.Reveal(ctx, privacy.PurposeDelivery)
	if err != nil {
		panic(err)
	}
	fmt.Println("for delivery:", clear)
	for a, err := range vault.Accesses(ctx, li) {
		fmt.Println("on record:", a.Account, a.Why, a.Fields, err)
	}

	receipt, err := vault.EraseSubject(ctx, li)
	if err != nil {
		panic(err)
	}
	_, err = vault.Reveal(ctx, ref, privacy.PurposeDelivery)
	fmt.Println("after erasure:", receipt.State, errors.Is(err, privacy.ErrErased))
	// Output:
	// printed: 138****8000
	// for marketing: true
	// for delivery: 13800138000
	// on record: clerk-7 delivery [phone] <nil>
	// after erasure: shredded true
}

func ExampleEarliest() {
	from, bases := privacy.Earliest([]privacy.Rule{privacy.RuleService, privacy.RuleAuthentication}, privacy.Facts{
		ServiceEnd:   time.Date(2026, 1, 31, 7, 0, 0, 0, time.UTC), // 15:00 in Shanghai
		Certificates: []time.Time{time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)},
	})
	for _, b := range bases {
		fmt.Println(b.Rule, "keeps until", b.Last)
	}
	fmt.Println("erase from", from.Format(time.RFC3339))
	// Output:
	// service keeps until 2026-05-01
	// authentication keeps until 2032-06-01
	// erase from 2032-06-01T16:00:00Z
}

func ExampleCheckAge() {
	born := privacy.Date{Year: 2008, Month: time.November, Day: 20}
	for _, day := range []int{20, 21} {
		on := time.Date(2026, 11, day, 4, 0, 0, 0, time.UTC)
		fmt.Println(privacy.DateOf(on), privacy.CheckAge(born, on, privacy.AgePolicy{}))
	}
	// Output:
	// 2026-11-20 privacy: under age
	// 2026-11-21 <nil>
}

func ExampleTerms() {
	ctx := context.Background()
	terms := &privacy.Terms{Store: new(storage.Mem)}
	_, err := terms.Publish(ctx, privacy.Document{Tenant: "acme", ID: "membership", Version: "2026-03", Weakest: privacy.ActTick,
		Digest: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"})
	if err != nil {
		panic(err)
	}
	check := func() error {
		return storage.View(ctx, terms.Store, func(tx *storage.Tx) error {
			_, err := terms.AcceptedTx(tx, "acme", "li", "membership")
			return err
		})
	}
	fmt.Println(check())
	_, err = terms.Accept(ctx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "membership", Act: privacy.ActTick, Client: "web"})
	fmt.Println(err, check())
	// Output:
	// privacy: document not accepted: membership 2026-03
	// <nil> <nil>
}
