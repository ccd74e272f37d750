// Package sms sends texts under the rules of the trade and checks one-time codes.
//
// # Start here
//
// [New] makes a [Service] from gateways, a catalogue of approved wordings and a
// vault that holds the numbers. [Service.SendTx] queues a text in your commit;
// [Service.Run] hands over what is due. [Service.Challenge] asks for a one-time
// code, [Service.CheckCode] turns the right one into a [Proof], and
// [Service.ConsumeTx] spends that once. Package smstest has a gateway that keeps
// texts in memory.
//
// # Vocabulary
//
//   - gateway (短信网关): takes texts for a provider; a [Disposition] is its answer
//   - template (模板), signature (签名): the wording, and the name in 【】 before it;
//     both are reviewed by us and by each provider, and a signature is filed under
//     a real name with each carrier (实名报备)
//   - unit: one billed message of 70 characters, or 67 of a longer one ([Count])
//   - submission: handing a text over, which is billed (S06); delivery: its
//     arrival, which is not (S09). They are two fields of a [Status]
//   - Unknown: a text that may have left. It is asked about, never sent again
//   - consent: why somebody may be written to (S10); suppression: that they may not
//   - challenge: a one-time code under way, bound to number, purpose, envelope and
//     digest; a right code gives a proof bound to the same
//
// # Guarantees
//
//   - Sent at most once. "Submitting" is committed before the first byte leaves;
//     whoever dies there leaves an Unknown text, and another gateway is asked only
//     after a definitive no.
//   - Nothing is lost. A queued text is a record in your commit: message, units
//     and event are stored together or not at all.
//   - Idempotent. The same id and request answers the same; another request under
//     it is [ErrIntentMismatch].
//   - Refusals are typed and come before a unit is held: not approved (S08, D16),
//     no consent (S10, S15), too often (S18), no units. What is refused changes
//     nothing.
//   - Units are captured when the provider accepts and given back when it refuses,
//     in the commit that says so. After 72 hours an Unknown text gives them back
//     for good.
//   - Of a code nothing is stored. It is derived from a pepper when it is sent and
//     when it is checked. Attempts are committed before they are compared: five a
//     challenge, whatever runs in parallel. A wrong, expired, used, locked or
//     unknown code is one and the same [ErrCode].
//   - Records hold no number, no value and no text: a blind index, a masked number
//     and references into the vault. Nothing personal is in errors, logs, events.
//
// A Service keeps no state; any number of processes may run it on one store.
//
// # What the host must do
//
//   - Call [Service.Run] somewhere, or nothing leaves.
//   - Keep the peppers outside the store, the same in every process, and a former
//     one ten minutes longer.
//   - Unlock the tenant's keys (privacy.Vault.Unlock) before a SendTx of its own.
//   - Enter templates and signatures only as approved as they are: those of the
//     whole deployment in [Config], those of a tenant through
//     [Service.DraftTemplate], [Service.Review] and [Service.Provider].
//   - If it resells sending: check its clients' requests with
//     [Service.Authenticate], and answer a lawful request for logs with
//     [Service.ExportAudit] (S04, S12, S26).
//   - Stop a tenant that breaks the rules with [Service.Order] (S21, S28), and
//     compare [Service.Reconcile] with the provider's bill (S24).
//   - Obtain consent, record it with [Service.Grant] or declare it with each text,
//     and pass a complaint to [Service.Complain].
//   - Mount [Service.Receive] under a secret path, for the provider's addresses.
//   - Show Unknown texts to their owner; a person may decide to send another one.
//
// # What is not promised
//
// A text may be late, or lost by a carrier: only a receipt says that it came. A
// code proves that somebody read a text, not who. Codes by text can be
// intercepted; where that matters, ask for more ([esign/identity]). The likely
// carrier of a ported number is a guess.
//
// Limits count per tenant, the breaker against pumped codes per number prefix;
// neither replaces a look at the provider's bill.
//
// [esign/identity]: https://pkg.go.dev/github.com/countersign/countersign/esign/identity
package sms
