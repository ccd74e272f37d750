package esign_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/storage"
)

// A deadline that passed applies at its own instant, whenever somebody looks.
func ExampleApply() {
	monday := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	draft := &esign.Envelope{
		Tenant: "acme", ID: "nda-17", Owner: esign.Party{Account: "hr"}, Deadline: monday.Add(24 * time.Hour),
		Documents:  []esign.Document{{ID: "nda", Segments: storage.Segments{{Blob: "b1", Size: 52013}}}},
		Recipients: []esign.Recipient{{ID: "li", Order: 1, Channel: esign.ChannelSMS, Consent: esign.ConsentStaff}},
	}
	var env esign.Envelope
	for _, step := range []struct {
		cmd esign.Command
		at  time.Time
	}{
		{esign.Command{Op: esign.OpCreate, By: esign.WhoOwner, Draft: draft}, monday},
		{esign.Command{Op: esign.OpSend, By: esign.WhoOwner, Cleared: esign.Cleared{Terms: true, Content: true, Templates: true}}, monday},
		{esign.Command{Op: esign.OpSweep, By: esign.WhoSystem}, monday.Add(72 * time.Hour)},
	} {
		next, events, effects, err := esign.Apply(env, step.cmd, step.at)
		if err != nil {
			fmt.Println(err)
			return
		}
		env = next
		for _, e := range events {
			fmt.Println(e.Effective().Format("Mon 15:04"), e.Type)
		}
		for _, e := range effects {
			fmt.Println("         ", e.Kind)
		}
	}
	fmt.Println(env.State)

	_, _, _, err := esign.Apply(env, esign.Command{Op: esign.OpRevoke, By: esign.WhoOwner, Reason: "typo"}, monday.Add(73*time.Hour))
	fmt.Println(esign.ErrorCode(err), errors.Is(err, esign.ErrState))
	// Output:
	// Mon 09:00 envelope.created
	// Mon 09:00 envelope.sent
	// Mon 09:00 recipient.invited
	//           render
	//           hold
	//           notify
	//           mark
	// Tue 09:00 envelope.expired
	//           settle
	//           notify
	//           notify
	//           seal
	// expired
	// deadline true
}

func ExampleValidate() {
	draft := esign.Envelope{
		Tenant: "acme", ID: "nda-17", Kind: esign.Ordinary, Owner: esign.Party{Account: "hr"},
		Documents: []esign.Document{{ID: "nda", Segments: storage.Segments{{Blob: "b1", Size: 52013}}}},
		Recipients: []esign.Recipient{
			{ID: "li", Role: esign.RolePerson, Order: 1, State: esign.RecipientPending, Channel: "pigeon", Consent: esign.ConsentStaff},
		},
	}
	err := esign.Validate(draft, nil, time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	fmt.Println(err, errors.Is(err, esign.ErrUnknownChannel))
	// Output: esign: recipients[0].channel: is not declared true
}
