// Package storage keeps everything that countersign remembers: records changed
// by compare-and-swap, streams that only grow, and immutable blobs.
//
// # Start here
//
// A host picks a [Store] and a [Blobs] and hands them to a service:
// new([Mem]) and new([MemBlobs]) for tests, package boltstore and
// [OpenDirBlobs] for one machine, package sqlstore for many. All work goes
// through [Update]:
//
//	err := storage.Update(ctx, store, func(tx *storage.Tx) error { ... })
//
// The function reads through tx, whose writes are stored together when it
// returns nil, or not at all; [UpdateValue] hands on its answer. A [Kind] keeps
// a Go type as JSON; [Once] makes a call that may be repeated; [Scan] and
// [Replay] list. [Group] makes one hot record fast: concurrent updates share
// their commits.
//
// # Vocabulary
//
// A record is the Data under a [Key]{Tenant, Kind, ID}; its Version is 0 while
// absent and rises with every write. A stream is a list of entries, numbered
// from 1, that belongs to the record of the same key; the record's Seq is its
// length. A [Batch] is what one commit writes. An index is a kind of small
// records written in the same batch as what they point to, whose ids sort as
// the list is to be shown: see [JoinID], [OldestFirst] and [NewestFirst]. A
// document is [Segments], blobs in a row.
//
// # Guarantees
//
// A batch is stored whole or not at all, and is durable (as the store defines
// it) when Update returns nil. Committed work is serializable but for
// [Tx.Peek] and reads of absent records: absence is asserted only by creating,
// and no decision rests on the absence of a record that it does not create. A
// record that Get read and found makes the commit depend on its version, even
// if it is not written. A refusal, too, rests on records that were so at one
// instant. Everything is safe for concurrent use but a Tx.
//
// A version may return only if a record is deleted and created again, and then
// proves nothing; records that decide something are never deleted. Two batches
// of one Commit may not write the same key. Limits are constants of this
// package; [CheckBatch] enforces them.
//
// Identity is byte-wise everywhere: no case folding, trimming, collation or
// normalisation. Instants are kept in UTC to the microsecond.
//
// # What the host must do
//
// Give functions to Update that do no I/O but through tx, can run many times,
// and return the errors of tx as they come. Choose the ids of calls, and repeat
// a call that ended in [ErrUnknown] under the same id. Back up: records and
// blobs together, records first. Delete blobs that no record names, after a
// week.
//
// # Not promised
//
// Nothing here encrypts: personal data is encrypted by package privacy before
// it arrives, documents are stored plain unless the host's [Blobs] encrypts
// them. What is deleted is unreachable through Store and Blobs; when its bytes
// leave the disk is up to the engine. Versions count commits, they are no
// revision numbers for users. Mem loses everything when the process ends.
//
// # Writing a store
//
// Implement the five methods of [Store] as its comment says, and run
// storagetest.TestStore on it; for blobs storagetest.TestBlobs.
package storage
