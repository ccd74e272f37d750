// Package boltstore keeps a [storage.Store] in one file (bbolt), for programs
// on one machine. It is the embedded default.
//
// # Start here
//
//	store, err := boltstore.Open("countersign.db", nil)
//	if err != nil { ... }
//	defer store.Close()
//
// and hand store to a service, or to storage.Update.
//
// # Vocabulary
//
// The file holds four buckets: record, entry, due (an index of what falls due)
// and meta. Their keys join the parts of a key with NUL, which no part may
// contain, and numbers as eight bytes, highest first, so that bytes sort as the
// contract asks. Entries that a batch appends to one stream lie together, up to
// half a page.
//
// # Guarantees
//
// A Commit is one transaction of bbolt: when it answers, everything is on disk
// and synced. A crash at any moment leaves every batch whole or absent. Reads
// see all that was acknowledged. There is one writer at a time; a lone caller
// pays one sync of the disk per Commit, many share one by storage.Group.
//
// # What the host must do
//
// Open the file once: one process at a time holds its lock, and a second Open
// gives [ErrLocked]. Put it on a local disk whose syncs are honest, not on a
// network file system. Back it up with [Store.Backup]. Close it at the end.
//
// # Not promised
//
// The file never shrinks, and what is deleted stays legible in its free pages
// until they are written again; [Store.Compact] writes a copy without it.
// Nothing is encrypted: see package privacy.
//
// Damage is found where it shows, there are no checksums but of the head: [Open]
// reads every page, and gives [storage.ErrCorrupt] for one that makes no sense or
// is cut off, as the other methods do later. Keep backups, and restore one.
package boltstore
