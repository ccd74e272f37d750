package sms

import (
	"fmt"
)

// A State is how far the submission of a text has come. Submission is what is
// billed (S06, D14); delivery is a field of its own (S09).
type State string

// The states of a text. Rejected, Dropped and Unresolved are final, and so is
// Accepted but for its delivery.
const (
	StateQueued     State = "queued"
	StateSubmitting State = "submitting" // committed before the first byte leaves
	StateAccepted   State = "accepted"
	StateRejected   State = "rejected"
	StateUnknown    State = "unknown" // may have been sent; never sent again
	StateUnresolved State = "unresolved"
	StateDropped    State = "dropped" // never submitted: resolved away, expired, refused
)

// Final reports whether the submission is settled.
func (s State) Final() bool {
	switch s {
	case StateAccepted, StateRejected, StateUnresolved, StateDropped:
		return true
	}
	return false
}

// A Delivery is what is known of the handset (S09). It changes no bill.
type Delivery string

// The deliveries of an accepted text.
const (
	DeliveryOpen          Delivery = "" // no receipt yet
	DeliveryDelivered     Delivery = "delivered"
	DeliveryUndeliverable Delivery = "undeliverable"
	DeliveryExpired       Delivery = "expired" // 72 h without a receipt
)

// A step is what happens to a text.
type step string

const (
	stepDrop    step = "drop"    // decided not to send
	stepSubmit  step = "submit"  // about to hand it to a gateway
	stepAccept  step = "accept"  // the provider took it
	stepReject  step = "reject"  // a definitive no, and no route left
	stepRequeue step = "requeue" // a definitive no, and another try allowed
	stepLose    step = "lose"    // nobody knows
	stepGiveUp  step = "give_up" // nobody will know
)

// transitions is the whole life of a submission. Once Unknown, no way leads
// back to Queued or Submitting: at most once.
var transitions = map[State]map[step]State{
	StateQueued: {stepDrop: StateDropped, stepSubmit: StateSubmitting},
	StateSubmitting: {stepAccept: StateAccepted, stepReject: StateRejected, stepRequeue: StateQueued,
		stepLose: StateUnknown},
	StateUnknown: {stepAccept: StateAccepted, stepReject: StateRejected, stepGiveUp: StateUnresolved},
}

// next is the state after a step.
func next(s State, by step) (State, error) {
	to, ok := transitions[s][by]
	if !ok {
		return s, fmt.Errorf("%w: %s while %s", ErrState, by, s)
	}
	return to, nil
}

// after is the delivery once a receipt came; the first final answer stays.
func (d Delivery) after(delivered bool) Delivery {
	switch {
	case d != DeliveryOpen && d != DeliveryExpired:
		return d
	case delivered:
		return DeliveryDelivered
	}
	return DeliveryUndeliverable
}
