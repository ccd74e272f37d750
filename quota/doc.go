// Package quota keeps the units (份额) that accounts buy and spend: a ledger of
// lots, holds and settlements that a finance team can audit.
//
// # Start here
//
// [New] makes a [Ledger] over a storage.Store. [Ledger.Grant] adds a lot,
// [Ledger.Reserve] holds units for the signers of an envelope,
// [Ledger.Capture] uses those of a signer who signed, [Ledger.Release] ends the
// rest, [Ledger.Balance] and [Ledger.Statement] tell what is there and why. The
// package example walks through all of them.
//
// # Vocabulary
//
//   - A unit is what is counted: signing units, identity checks, messages.
//     Units never pay for each other.
//   - A [Lot] is units bought or given at once, with a window of validity.
//   - A [Hold] keeps units for one envelope until each of its lines is settled.
//   - A [Line] is one signer's place. What it costs is fixed when it is held.
//   - To capture is to use held units because a signer signed; to release is to
//     end a line without a signature, whereupon its units return to their lot or
//     are forfeited, by rule.
//   - Revoke (撤销) voids an envelope, close (关闭) ends collecting; both return
//     the units of unsigned signers invited by WeChat and of nobody who was ever
//     invited or reminded by SMS.
//   - The journal of an account is its entries: each takes units from one [Book]
//     and puts them into another, and is never changed.
//
// # Guarantees
//
// Every mutation has a form with Tx that joins the caller's commit: the units,
// the envelope and its evidence change together or not at all. It takes an id
// the caller chose; repeated under it, it answers what it answered first and
// changes nothing, also after the hold was settled; another request under the
// same id is [ErrIntentMismatch]. Refusals change nothing and are not kept, so
// that a call may be repeated once there are units. Calls by any number of
// processes are serializable per account.
//
// For each lot, at every instant,
//
//	granted = available + held + used + expired + clawed
//
// and the account is the replay of its journal. Balances never depend on a
// sweep: from the instant a lot ends its rest is zero, whether or not that has
// been booked. Within an account time never runs backwards: a clock that went
// back counts as the last booking's instant, and more than five minutes are
// refused with [ErrClock].
//
// Lots are spent in one order: lower Priority, earlier end, narrower scope,
// given before bought, earlier start, id. Returned units go to the lot they came
// from, with its end; if that has passed they expire at once, as two entries.
//
// Accounts, holds and journals are stored in a compact form, the rest as JSON;
// [Ledger.Export] prints everything as JSON lines and [Ledger.Import] reads it
// back, and [Ledger.Verify] compares a tenant's books with themselves.
//
// The wall clock of terms and refund windows is Asia/Shanghai; stored instants
// are UTC, to the microsecond; windows are half-open.
//
// # Errors
//
// Refusals are sentinels such as [ErrInsufficient]; detail comes in error types
// of the same name, such as [InsufficientError]. [Code] gives stable codes. A
// lot or hold of another tenant is not found.
//
// # What the host must do
//
// Call [Ledger.Sweep] now and then, as esign does: nobody's balance needs it, but
// alerts of coming ends are raised by it, and journals stay current. Declare
// every channel beside WeChat and SMS in [Config].Channels. Keep the clocks of
// all processes within a few minutes of each other. Pay refunds: the ledger
// freezes and takes units, it moves no money.
//
// # Not promised
//
// The ledger does not know who may act on an account: the caller checks that. It
// does not encrypt; ids, references and reasons must hold no personal data. Of
// several lines in one request each is served in turn from the first lot in
// order, so a later line can fail although another split would have served both.
package quota
