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

// A member moves from a personal to a team plan with 146 of 365 days left, and
// pays the difference for those.
func ExampleService_Upgrade() {
	ctx := context.Background()
	store := new(storage.Mem)
	at := time.Date(2027, 3, 1, 4, 0, 0, 0, time.UTC)
	now := func() time.Time { return at }
	ledger, err := quota.New(quota.Config{Store: store, Now: now})
	if err != nil {
		log.Fatal(err)
	}
	terms := &privacy.Terms{Store: store, Now: now}
	year := quota.Term{Days: 365}
	ordinary := []membership.Feature{membership.FeatureOrdinary}
	svc, err := membership.New(membership.Config{
		Store: store, Now: now, Ledger: ledger, Terms: terms,
		Catalogue: &membership.Catalogue{
			Items: []membership.Item{
				{ID: "personal", Version: 1, Kind: membership.Plan, Type: membership.Personal, Title: "Personal", Term: year, Grants: ordinary},
				{ID: "team", Version: 1, Kind: membership.Plan, Type: membership.Team, Title: "Team", Term: year, Grants: ordinary},
			},
			Prices: []membership.Price{
				{Item: membership.ItemRef{ID: "personal"}, Money: membership.Money{Amount: 7900, Currency: "CNY"}, Inclusive: true},
				{Item: membership.ItemRef{ID: "team"}, Money: membership.Money{Amount: 19900, Currency: "CNY"}, Inclusive: true},
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	doc, err := terms.Publish(ctx, privacy.Document{Tenant: "acme", ID: "membership", Version: "2027-01", Digest: strings.Repeat("ab", 32)})
	if err != nil {
		log.Fatal(err)
	}
	shown := []membership.TermsRef{{Document: doc.ID, Version: doc.Version, Digest: doc.Digest}}
	order, _, err := svc.Purchase(ctx, membership.PurchaseRequest{Tenant: "acme", ID: "order-1", Payer: "li", Item: "personal", Terms: shown})
	if err != nil {
		log.Fatal(err)
	}
	if _, err = svc.MarkPaid(ctx, membership.PaidRequest{Tenant: "acme", Order: order.ID, Payment: "wx-1", Amount: order.Price}); err != nil {
		log.Fatal(err)
	}

	at = at.Add(219 * 24 * time.Hour)
	quote, err := svc.QuoteUpgrade(ctx, membership.PurchaseRequest{Tenant: "acme", ID: "order-2", Payer: "li", Item: "team"}, membership.ProrateCharge)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(quote.Summary.Price, "until", quote.Summary.Until.Format(time.DateOnly))
	order, _, err = svc.Upgrade(ctx, quote)
	if err != nil {
		log.Fatal(err)
	}
	order, err = svc.MarkPaid(ctx, membership.PaidRequest{Tenant: "acme", Order: order.ID, Payment: "wx-2", Amount: order.Price})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("in the place of", order.Replaces)
	// Output:
	// 4800 CNY until 2028-02-29
	// in the place of [order-1]
}
