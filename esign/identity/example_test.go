package identity_test

import (
	"fmt"
	"time"

	"github.com/countersign/countersign/esign/identity"
)

func ExampleEvaluate() {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	have := []identity.Result{
		{Outcome: identity.Match, Method: identity.PhoneCode, Level: identity.I1, Strength: identity.W2, At: now},
	}
	fmt.Println(identity.Evaluate(identity.OrdinarySign, have, now).Verdict)
	d := identity.Evaluate(identity.RealNameSign, have, now)
	fmt.Println(d.Verdict, d.Axis, d.Methods)
	// Output:
	// satisfied
	// step_up identity [carrier.3 bank.4 org.3 face cert.hw org.letter org.payment]
}

func ExampleCheckIDNumber() {
	facts, err := identity.CheckIDNumber("11010519491231002X")
	fmt.Println(facts.Birth, facts.Province, err)
	_, err = identity.CheckIDNumber("110105194912310021")
	fmt.Println(err)
	// Output:
	// 1949-12-31 11 <nil>
	// identity: check id: bad check
}

func ExampleCheckCreditCode() {
	_, err := identity.CheckCreditCode("91350100M000100Y56") // place 17 changed, 18 repaired
	fmt.Println(err)
	// Output: identity: check credit: bad organisation
}
