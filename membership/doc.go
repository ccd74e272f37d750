// Package membership sells memberships and unit packages, keeps their terms, and
// decides what an account may do and what is free.
//
// # Start here
//
// [New] makes a [Service]; its [Catalogue] is data. [Service.Purchase] makes an
// [Order], [Service.MarkPaid] settles it when the payment platform reports, and
// [Service.CheckTx] gives the [Decision] under which a send is charged, in the
// commit of that send. The package example buys a personal membership and sends.
//
// Without a catalogue the service is unmetered: everything is free, says so, and
// nothing can be bought.
//
// # Vocabulary
//
//   - A plan (会员) is a term of membership, personal or team; a package (套餐)
//     is units. Both are items: immutable versions in the catalogue.
//   - A lane is the timeline of one plan type of an account; personal and team
//     run independently. A segment is one bought term on it.
//   - The payer pays, the beneficiary benefits. If they differ the order is a
//     gift: its units start when it is paid, its membership when it is accepted.
//   - A channel is where something is sold and may decide its price; a client is
//     the app or site in use, is recorded, and decides nothing.
//   - An upgrade buys a plan of the other type: beside the running term, after it,
//     or in its place, see [UpgradeMode].
//   - A decision is free, with a reason, or a charge per signer.
//
// # Guarantees
//
// An order is a contract: item, price, tax and the agreements it was made under
// are kept in it and never change, whatever becomes of the catalogue. A version
// of an item that was sold cannot be changed in place: selling it then fails.
// Paying grants units and appends the term in one commit; the same payment
// reported twice is one payment; a payment that does not fit is refused with
// [ErrPaymentMismatch] and changes nothing.
//
// Renewal before the end appends after it, on the day of the month on which the
// chain began; after a lapse a new chain begins. The personal and the team
// timeline never touch each other, but for an upgrade that asks for it. Neither non-use nor an outage moves an end.
// Nothing moves a membership to another account.
//
// Every mutation has a Tx form that joins the caller's commit and takes an id
// the caller chose: repeated under it the call answers the same and changes
// nothing; another request under it is [ErrIntentMismatch]. Windows are
// half-open, terms use the wall clock of Asia/Shanghai, stored instants are UTC.
//
// # What the host must do
//
//   - Publish the agreements with privacy.Terms, and let accounts accept them.
//     With a catalogue nothing is sold or sent under an agreement that was not
//     published or not accepted.
//   - Show the [Summary] before a purchase, and pass on what was shown.
//   - Report payments with [Service.MarkPaid], and pay back what it refuses.
//   - Judge automated purchases in [Config].Guard; screen content before a send.
//   - Bind a WeChat and a phone login to one account id before it calls.
//
// # Not promised
//
// The service moves no money and sends nothing. It does not know who is logged
// in: the caller says which account acts. A decision counts only within the
// commit that asked for it; [Service.Check] may be outdated a moment later.
// Account ids, reasons and notes stand in records in the clear and must hold no
// personal data.
package membership
