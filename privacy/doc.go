// Package privacy holds personal data so that it can be used for a purpose,
// shown masked, proved without being shown, and forgotten for good.
//
// # Start here
//
// [NewPhone], [NewName] and their like make values that mask themselves
// wherever they are printed, logged or encoded. [New] makes a [Vault];
// [Vault.PutTx] keeps a value under its subject's key and returns a [Ref],
// which is what other records hold; [Vault.RevealTx] opens it for a declared
// [Purpose]; [Vault.EraseSubject] forgets the subject. [Terms] records which
// version of which agreement an account accepted, [Vault.ConsentTx] what a
// subject allowed, [Vault.DiscloseTx] what was given to whom on what ground, and
// [Vault.ExportSubject] hands a person all of theirs. [Earliest] says until when
// the law keeps data, [Vault.CancelTx] closes an account, [Vault.Due] names who is
// to be erased now, [CheckAge] says who is too young. Example shows the round.
//
// # Vocabulary
//
//   - subject (个人信息主体): a person or organisation inside one tenant.
//   - class: C0 public, C1 pseudonymous, C2 personal, C3 sensitive
//     (敏感个人信息), C4 biometric. Ids and digests are C1.
//   - purpose (处理目的): a code that the notice in force declares (P12).
//   - accessor: who reads, from [Vault.As]; every read leaves an [Access].
//   - root, tenant key (KEK), subject keys (DEK): each wraps the next. The root
//     is the host's [KeyWrapper]; tenant keys are opened by [Vault.Unlock]. A
//     subject has one key for its profile, one for biometrics, and one for what
//     events commit to, since the law lets go of them at different times.
//   - commitment: stands for a value in an event, opened by an [Opening] or by
//     nothing; see [Vault.CommitTx].
//   - restricted, shredded: readable for a dispute only; without keys.
//   - acceptance: an act that accepted a version of a document; consent
//     (个人同意): a subject's own, to purposes.
//
// # Guarantees
//
// A value is sealed by AES-256-GCM, or the host's [Suite], with its tenant,
// kind, row, field and key bound as associated data: moved anywhere else, it
// does not open. A reveal and its entry in the access log are one commit, and
// nothing is returned without it. Each access stream is a hash chain, which
// [Vault.Accesses] checks. A value of another tenant is [ErrNotFound].
//
// Erasure destroys the subject's key, so that no sealed byte, wherever a copy
// of it lies, opens again; then the rows go. Commitments made before stay as
// they are, and whatever they prove stays proved.
//
// Mutations are idempotent: the value that is there answers with its Ref, the
// first acceptance of a version is the one kept, and an erasure that a crash
// interrupted is finished by repeating it. All methods may be called
// concurrently.
//
// # What the host must do
//
//   - Keep the root key in a key management service and back it up apart from
//     the database; [InsecureMemoryKey] is for tests, [OpenFileKey] for one
//     machine.
//   - Call [Vault.Unlock] before storage.Update; nothing within reaches for the
//     root.
//   - Name subjects and accounts by ids that are not personal: ids stand in
//     records, events and the access log in the clear.
//   - Call [CheckAge] and obtain consent before anything is stored.
//   - Let go of backups of the database within 30 days: a backup still has the
//     wrapped keys of who was erased since.
//   - Run [Vault.EraseSubject] where [Earliest] says that nothing keeps the
//     data; through evidence.Log.EraseSubject if events mention the subject.
//
// # What is not promised
//
// A process that may reveal can leak: the types stop accidents, not a debugger,
// package unsafe or a caller who prints what Reveal gave. Go does not clear
// memory, so keys and values linger in it until collected. Documents are not
// in the vault; they are erased by deleting their blobs, and the copies of
// other parties are theirs. A database file may keep removed rows until it is
// compacted; without the key they do not open. Masks are for people: two
// digits less than all is still personal data.
package privacy
