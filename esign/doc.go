// Package esign sends documents to signers in order, collects their signatures
// and keeps the evidence: the envelope (签署流程), and the [Service] that composes
// the other packages around it.
//
// # Start here
//
// [New] makes a [Service] of a [Config]: a store, blobs, a source of signing
// keys, and what the host has of gateways, catalogue and timestamp authority.
// [Service.Upload] stores documents, [Service.Create] drafts an envelope,
// [Service.Send] sends it; each recipient passes [Service.Open],
// [Service.Challenge], [Service.CheckCode] and [Service.Sign]; [Service.Export]
// writes the signed PDF and the evidence bundle. See the package example and
// examples/quickstart. A real-name envelope asks for more: a code to view by, and
// [Service.StartCheck] before the signature.
//
// [Service.ApplyReport] issues a paid report on an envelope (出证),
// [Service.Receipt] gives a party what it holds against any other story,
// [Service.CancelAccount] closes an account, and [Service.ErasePerson] forgets a
// person in everything that is kept.
//
// # Vocabulary
//
// An envelope holds documents and recipients (参与方); a recipient who signs is a
// signer (签署方). Recipients of one order number form a stage (签署节点), met by
// all (会签), any (或签) or k of them. To decline (拒签) is a signer's refusal. To
// revoke (撤销) voids the signatures made, to close (关闭) keeps them. The base
// revision of a document is made before the first signature and holds every
// field of every recipient. An intent proof is what a person's one-time code
// earns: it is bound to the base revisions and to what the signer fills in, and
// used once. A check compares a
// real name (实名) with an authoritative source; it counts for every envelope of
// the account, 365 days at most.
//
// # Guarantees
//
// What [Apply] decides is pure: the same envelope, command and instant give the
// same answer. Deadlines are half-open and apply at their own instant, however
// late anybody looks.
//
// A mutation commits the envelope, the units, the evidence, the indexes and the
// outbox in one batch or not at all, under an id that the caller chose: repeated,
// it answers the same; with other content it is [ErrIntentMismatch]. A refusal
// changes nothing but attempt counters, rate limits and the access log.
//
// Order is enforced by the state machine, not by who was told. Of two racing
// commands exactly one wins. A later signature never invalidates an earlier one:
// signers only fill what the base revision made, and whoever lost a race signs
// again on the newer revision, without a new code.
//
// Names, numbers and addresses live in package privacy and appear in no record,
// event, error or log of this package. Nothing of one tenant is reachable by an
// id of another.
//
// # Errors
//
// A refusal is a sentinel, such as [ErrNotFound], or a type that unwraps to one and
// has the detail, such as [TurnError]; those of the parts come through as they are.
// [ErrorCode] gives the stable code of any of them, for messages of the host's own.
//
// # Work outside, commit inside
//
// Each mutation has a Tx form for a commit of the host's own. Some methods have
// none: [Service.Upload] stores blobs, [Service.PrepareSign] reads the document
// and calls the key, neither commits a record; [Service.CheckCode] commits alone,
// and so do [Service.StartCheck] and [Service.CompleteCheck], before and after
// they ask the source. Before a Tx form, unlock the tenant's keys with
// privacy.Vault.Unlock. Texts, notices, base revisions and timestamps leave
// through the outbox.
//
// # What the host must do
//
// Authenticate whoever it names in an [Actor]. Call [Service.Run] in at least
// one process, or [Service.Deliver] from a scheduler. Keep the signing keys, the
// root key of the vault and the key of the evidence log; back up store and blobs
// together. Obtain the consent that it declares for each recipient, record the
// consent to each source of identity in [Service.Privacy], and publish the
// agreements in [Service.Terms].
//
// # What is not promised
//
// A session that the host vouches for is believed. A code proves control of a
// telephone, not who holds it. Without a timestamp authority the time of signing
// is only claimed. Commands that the machine knows and the service does not
// serve yet are refused with [ErrNotOffered]; see [Op.Offered].
package esign
