// Package evidence records what happens to an envelope so that somebody else
// can prove it years later, offline, without whoever recorded it.
//
// # Start here
//
// [New] makes a [Log]. [Log.AppendTx] adds an event to its envelope's chain in
// the caller's own commit, [Log.SealChainTx] closes the chain, [Log.Run] keeps
// the Merkle tree and its anchors in the background. [Log.Export] writes a
// bundle (.esev); [Verify] judges one, with a [Trust] file from [ParseTrust]
// and nothing else. [Log.Receipt] is what a party keeps, [Compare] holds two of
// them against each other. [Log.Apply] and [Log.Advance] walk a request for a
// report through its stages, and [WriteReport] sets a bundle as a PDF for people.
// Example shows the round.
//
// # Vocabulary
//
//   - event: one line of canonical JSON; its bytes are the record.
//   - chain (证据链): the events of an envelope, each naming the hash of the one
//     before; the first names [Genesis].
//   - chain seal (链封): the event that ends the chain of an envelope in a
//     terminal state. "Seal" alone is the stamp (印章).
//   - log, checkpoint: the RFC 6962 tree over all chains, and its signed head.
//   - anchor (锚定): what binds a checkpoint to somebody outside, such as a
//     trusted timestamp (可信时间戳).
//   - window: between which two outside instants an event happened.
//   - commitment: stands for a personal value in an event; see package privacy.
//   - claim: what a bundle says it proves; preservation (存证) is all of this.
//
// # What a verdict means
//
// PASSED: every required check passed under trust that the verifier brought
// along. FAILED: something contradicts, and [Report] names the event
// (FirstBad) or the entry. INDETERMINATE: nothing contradicts, but trust, an
// anchor or document bytes are missing. Keys found inside a bundle never lift
// it. Without an anchored checkpoint the operator could have rewritten
// everything last night, so OPERATOR_UNBOUND keeps the verdict open.
//
// # Guarantees
//
// An event and the state change it tells of are one commit: neither is there
// without the other. The chain's head is compared and swapped, so a chain
// cannot fork. Times never go back. Any change to a stored event or a bundle is
// found; of a single change the event is named exactly, of several the
// smallest that cannot be right. Events, leaves, checkpoints and proofs hold
// nothing personal; erasing a person leaves every proof as it was.
//
// Any number of processes may append, sequence and anchor. A crash between two
// steps neither loses nor doubles an event or a leaf. A failing anchor blocks
// nothing. Equal evidence exports to equal bytes, and the same bundle under the
// same trust always gets the same verdict.
//
// # What the host must do
//
//   - Keep the log's key in an HSM or key service, and its origin for ever. A new
//     key signs beside the old one for a while: see Config.Second.
//   - Hand the line "log " + [Log.VerifierKey] to verifiers by another way than
//     the bundle, together with the roots of its timestamp authorities.
//   - Configure an [Anchor] and run [Log.Run], for as long as evidence is to
//     prove: it renews timestamps before their certificates end (RFC 4998), of
//     checkpoints and of the manifests of issued reports ([Log.ManifestRecord]).
//   - Send [Log.Receipt] to every party when an envelope is complete.
//   - Unlock a tenant's keys before appending events with personal values.
//   - Keep ids that are not personal: they stand in events in the clear.
//   - Erase people through [Log.EraseSubject], which tells the chains first.
//
// # What is left of the erased
//
// After [Log.EraseSubject] nothing of a person is reached through Store, tiles,
// bundles or reports made later. Bytes that a database has let go of stay in its
// files until they are overwritten, sealed under a key that is gone: bbolt reuses
// free pages and never shrinks its file (copy it with bbolt's compact command);
// PostgreSQL keeps dead rows until VACUUM, and its write-ahead log until it is
// recycled; InnoDB purges deleted rows in the background and keeps redo and binary
// logs by their settings; SQLite keeps free pages unless secure_delete is on or
// VACUUM runs. Backups are the host's: see package privacy.
//
// # What is not promised
//
// That what people typed is true (T55). That an operator who holds the log's
// key did not rewrite what nothing outside had bound yet. Where a chain is cut
// behind the last anchor and the last receipt that somebody holds, the cut is
// not seen: give every party a [Receipt], and verify with those held. The
// environment file of a bundle is what the host says of itself. Documents are
// bytes here; their signatures are for VerifyOptions.Document to check.
// That renewed anchors protect documents: a renewal under another hash carries
// the checkpoint's digests on, and RENEWED_DIGESTS_ONLY says so. The report is set
// in the standard Chinese font, which readers bring along; it embeds none.
package evidence
