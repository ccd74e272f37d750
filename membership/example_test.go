package membership_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

func Example() {
	ctx := context.Background()
	store := new(storage.Mem)
	now := func() time.Time { return time.Date(2027, 3, 1, 4, 0, 0, 0, time.UTC) }
	ledger, err := quota.New(quota.Config{Store: store, Now: now})
	if err != nil {
		log.Fatal(err)
	}
	terms := &privacy.Terms{Store: store, Now: now}
	svc, err := membership.New(membership.Config{
		Store: store, Now: now, Ledger: ledger, Terms: terms,
		Catalogue: &membership.Catalogue{
			Items: []membership.Item{{
				ID: "personal.year", Version: 1, Kind: membership.Plan, Type: membership.Personal, Title: "Personal, one year",
				Term: quota.Term{Years: 1}, Grants: []membership.Feature{membership.FeatureOrdinary},
			}},
			Prices: []membership.Price{{
				Item: membership.ItemRef{ID: "personal.year"}, Money: membership.Money{Amount: 19900, Currency: "CNY"}, TaxBps: 600, Inclusive: true,
			}},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	// The agreement is published once, by its digest.
	doc, err := terms.Publish(ctx, privacy.Document{Tenant: "acme", ID: "membership", Version: "2027-01", Digest: strings.Repeat("ab", 32)})
	if err != nil {
		log.Fatal(err)
	}
	shown := []membership.TermsRef{{Document: doc.ID, Version: doc.Version, Digest: doc.Digest}}

	order, sum, err := svc.Purchase(ctx, membership.PurchaseRequest{Tenant: "acme", ID: "order-7", Payer: "li", Item: "personal.year", Terms: shown})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum.Title, "for", sum.Account, "at", order.Price, "with tax", order.Tax)
	if _, err = svc.MarkPaid(ctx, membership.PaidRequest{Tenant: "acme", Order: "order-7", Payment: "wx-42", Amount: order.Price}); err != nil {
		log.Fatal(err)
	}

	for _, feature := range []membership.Feature{membership.FeatureOrdinary, membership.FeatureRealNamePerson} {
		var d membership.Decision
		err = storage.Update(ctx, store, func(tx *storage.Tx) error {
			d, err = svc.CheckTx(ctx, tx, membership.CheckRequest{Tenant: "acme", Account: "li", Feature: feature, Slots: 3})
			return err
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: free %q, else %d\n", feature, d.Free, d.Total)
	}
	// Output:
	// Personal, one year for li at 19900 CNY with tax 1126 CNY
	// send.ordinary: free "member", else 0
	// send.realname.person: free "", else 6
}
