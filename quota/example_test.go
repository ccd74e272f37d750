package quota_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

func Example() {
	ctx := context.Background()
	noon := time.Date(2027, 3, 1, 4, 0, 0, 0, time.UTC)
	ledger, err := quota.New(quota.Config{
		Store: new(storage.Mem),
		Now:   func() time.Time { return noon },
	})
	if err != nil {
		log.Fatal(err)
	}

	// A package of 10 units for one year, credited when it is paid.
	lot, err := ledger.Grant(ctx, quota.GrantRequest{
		Tenant: "acme", ID: "order-1/1", Account: "hr", Unit: quota.UnitSign, Units: 10, Term: quota.Term{Years: 1},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("valid until", lot.Until)

	// A contract goes to two signers: one unit is held for each.
	hold, err := ledger.Reserve(ctx, quota.ReserveRequest{
		Tenant: "acme", ID: "nda-17/1", Account: "hr", Lines: []quota.LineRequest{
			{Slot: "li", Kind: quota.KindOrdinary, Channel: quota.WeChat},
			{Slot: "wang", Kind: quota.KindOrdinary, Channel: quota.SMS},
			{Slot: "zhao", Kind: quota.KindOrdinary, Channel: quota.WeChat},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("held", hold.Units())

	// Zhao signs; then the sender revokes the contract.
	_, err = ledger.Capture(ctx, quota.CaptureRequest{Tenant: "acme", ID: "sign-1", Hold: "nda-17/1", Slots: []quota.SlotID{"zhao"}})
	if err != nil {
		log.Fatal(err)
	}
	end, err := ledger.Release(ctx, quota.ReleaseRequest{Tenant: "acme", ID: "revoke-1", Hold: "nda-17/1", Cause: quota.Revoked})
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range end.Lines {
		fmt.Println(line.Slot, line.State, line.Units)
	}

	balance, err := ledger.Balance(ctx, quota.BalanceRequest{Tenant: "acme", Account: "hr"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("left", balance.Of(quota.UnitSign).Spendable)
	// Output:
	// valid until 2028-03-01 04:00:00 +0000 UTC
	// held 3
	// li released 1
	// wang forfeited 1
	// left 8
}

func ExampleLedger_Reserve_shortfall() {
	ctx := context.Background()
	ledger, err := quota.New(quota.Config{Store: new(storage.Mem)})
	if err != nil {
		log.Fatal(err)
	}
	_, err = ledger.Reserve(ctx, quota.ReserveRequest{Tenant: "acme", ID: "nda-18/1", Account: "hr", Lines: []quota.LineRequest{
		{Slot: "li", Kind: quota.KindRealNamePerson},
	}})
	var short *quota.InsufficientError
	if errors.As(err, &short) {
		s := short.Shortfalls[0]
		fmt.Println(quota.Code(err), s.Unit, s.Kind, s.Need, s.Have)
	}
	// Output: insufficient_units sign realname.person 2 0
}

func ExampleLedger_Statement() {
	ctx := context.Background()
	now := time.Date(2027, 3, 1, 4, 0, 0, 0, time.UTC)
	ledger, err := quota.New(quota.Config{Store: new(storage.Mem), Now: func() time.Time { return now }})
	if err != nil {
		log.Fatal(err)
	}
	_, err = ledger.Grant(ctx, quota.GrantRequest{Tenant: "acme", ID: "gift-1", Account: "hr", Unit: quota.UnitSign, Units: 3, Source: quota.Given, Term: quota.Term{Days: 30}})
	if err != nil {
		log.Fatal(err)
	}
	_, err = ledger.Charge(ctx, quota.ChargeRequest{Tenant: "acme", ID: "nda-19/1", Account: "hr", Lines: []quota.LineRequest{{Slot: "li", Kind: quota.KindOrdinary}}})
	if err != nil {
		log.Fatal(err)
	}
	now = now.AddDate(0, 2, 0) // two months on, nothing was swept
	st, err := ledger.Statement(ctx, quota.StatementRequest{Tenant: "acme", Account: "hr"})
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range st.Lines {
		fmt.Println(line.Seq, line.Kind, line.Units, "left", line.Available)
	}
	// Output:
	// 1 grant 3 left 3
	// 2 hold 1 left 2
	// 3 capture 1 left 2
	// 4 expire 2 left 0
}
