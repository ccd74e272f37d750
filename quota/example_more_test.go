package quota_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

func ExampleTerm_After() {
	shanghai := time.FixedZone("+08:00", 8*60*60)
	start := time.Date(2026, 1, 31, 0, 30, 0, 0, shanghai)
	month := quota.Term{Months: 1}
	first, anchor, err := month.After(start, 0)
	if err != nil {
		log.Fatal(err)
	}
	second, _, err := month.After(first, anchor)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(first.In(shanghai).Format(time.DateTime))
	fmt.Println(second.In(shanghai).Format(time.DateTime))
	// Output:
	// 2026-02-28 00:30:00
	// 2026-03-31 00:30:00
}

// example opens a ledger in which an account has ten signing units.
func example() (*quota.Ledger, func(time.Duration)) {
	now := time.Date(2027, 3, 1, 4, 0, 0, 0, time.UTC)
	ledger, err := quota.New(quota.Config{Store: new(storage.Mem), Now: func() time.Time { return now }})
	if err != nil {
		log.Fatal(err)
	}
	_, err = ledger.Grant(context.Background(), quota.GrantRequest{
		Tenant: "acme", ID: "order-1/1", Account: "hr", Unit: quota.UnitSign, Units: 10, Term: quota.Term{Years: 1}, Order: "order-1",
	})
	if err != nil {
		log.Fatal(err)
	}
	return ledger, func(d time.Duration) { now = now.Add(d) }
}

func ExampleLedger_MarkChannel() {
	ctx := context.Background()
	ledger, _ := example()
	_, err := ledger.Reserve(ctx, quota.ReserveRequest{Tenant: "acme", ID: "nda-17/1", Account: "hr", Lines: []quota.LineRequest{
		{Slot: "li", Kind: quota.KindOrdinary, Channel: quota.WeChat},
	}})
	if err != nil {
		log.Fatal(err)
	}
	// A reminder goes out by SMS: the unit will not come back any more.
	line, err := ledger.MarkChannel(ctx, quota.MarkChannelRequest{Tenant: "acme", ID: "remind-1", Hold: "nda-17/1", Slot: "li", Channel: quota.SMS, Reminder: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sticky:", line.Sticky)
	end, err := ledger.Release(ctx, quota.ReleaseRequest{Tenant: "acme", ID: "revoke-1", Hold: "nda-17/1", Cause: quota.Revoked})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(end.Lines[0].State)
	// Output:
	// sticky: true
	// forfeited
}

func ExampleLedger_Charge() {
	ctx := context.Background()
	ledger, _ := example()
	// The signer pays, in the commit of the signature.
	hold, err := ledger.Charge(ctx, quota.ChargeRequest{Tenant: "acme", ID: "nda-17/1/li", Account: "hr", Lines: []quota.LineRequest{
		{Slot: "li", Kind: quota.KindRealNamePerson},
	}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(hold.Lines[0].State, hold.Units())
	// Output: captured 2
}

func ExampleLedger_BeginRefund() {
	ctx := context.Background()
	ledger, pass := example()
	pass(6 * 24 * time.Hour)
	refund, err := ledger.BeginRefund(ctx, quota.RefundRequest{Tenant: "acme", ID: "refund-1", Account: "hr", Lots: []quota.LotID{"order-1/1"}, Unused: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("frozen:", refund.Lots[0].Free)
	// The host pays the money back, and then:
	refund, err = ledger.ConfirmRefund(ctx, quota.EndRefundRequest{Tenant: "acme", ID: "refund-1-paid", Account: "hr", Refund: "refund-1"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("taken:", refund.Clawed)
	// Output:
	// frozen: 10
	// taken: 10
}

func ExampleLedger_AsOf() {
	ctx := context.Background()
	ledger, _ := example()
	for _, at := range []time.Time{
		time.Date(2027, 3, 1, 3, 59, 0, 0, time.UTC),
		time.Date(2028, 3, 1, 3, 59, 0, 0, time.UTC),
		time.Date(2028, 3, 1, 4, 0, 0, 0, time.UTC),
	} {
		b, err := ledger.AsOf(ctx, quota.BalanceRequest{Tenant: "acme", Account: "hr"}, at)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(at.Format(time.DateTime), b.Of(quota.UnitSign).Spendable)
	}
	// Output:
	// 2027-03-01 03:59:00 0
	// 2028-03-01 03:59:00 10
	// 2028-03-01 04:00:00 0
}

func ExampleLedger_Merge() {
	ctx := context.Background()
	ledger, _ := example()
	// The person has bound the WeChat account to the phone account.
	m, err := ledger.Merge(ctx, quota.MergeRequest{Tenant: "acme", ID: "bind-1", From: "hr", To: "phone"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Units, "units moved")
	b, err := ledger.Balance(ctx, quota.BalanceRequest{Tenant: "acme", Account: "hr"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("hr is now", b.Account)
	// Output:
	// 10 units moved
	// hr is now phone
}
