package storage

import (
	"context"
	"strings"
	"time"
)

// A Key names one record and the stream that may belong to it. Keys match and
// sort byte for byte: no case folding, trimming, collation or normalisation.
type Key struct {
	// Tenant owns the record; at most [MaxTenant] bytes. [Deployment] holds
	// records that belong to no tenant.
	Tenant string
	// Kind is the type of the record, such as "quota.hold"; at most [MaxKind] bytes.
	Kind string
	// ID is unique within tenant and kind; at most [MaxID] bytes. See [JoinID].
	ID string
}

// Deployment is the reserved tenant of deployment-wide records.
const Deployment = "_"

// Compare orders keys by Tenant, Kind and ID, byte for byte.
func (k Key) Compare(o Key) int {
	if c := strings.Compare(k.Tenant, o.Tenant); c != 0 {
		return c
	}
	if c := strings.Compare(k.Kind, o.Kind); c != 0 {
		return c
	}
	return strings.Compare(k.ID, o.ID)
}

// A Record is what a store holds under a key.
type Record struct {
	Key Key
	// Version is 0 while the record is absent, 1 once it is created, and rises
	// by one with every write.
	Version uint64
	// Seq is the length of the stream that has the record's key; 0 without one.
	Seq  uint64
	Data []byte
	// Due is when background work on the record falls due, in UTC to the
	// microsecond; the zero time means never. See Store.Due.
	Due time.Time
}

// A Write is one conditional change of a [Batch]. Without Delete and Check it
// stores Data and Due.
type Write struct {
	Key Key
	// Expect is the version the record must have: 0 creates it.
	Expect uint64
	Data   []byte
	// Due is cut to microseconds; instants up to 1970-01-01 UTC mean never, as
	// the zero time does.
	Due time.Time
	// Delete removes the record. Expect must not be 0, and the record must have
	// no stream.
	Delete bool
	// Check changes nothing: it makes the batch depend on the record still
	// having version Expect, which must not be 0.
	Check bool
}

// An Entry is one element of a stream. Entries are never changed or removed.
type Entry struct {
	// Stream is the key of the record that the stream belongs to.
	Stream Key
	// Seq counts from 1 without gaps.
	Seq uint64
	// At is in UTC to the microsecond.
	At   time.Time
	Data []byte
}

// A Batch is stored whole or not at all. One that appends to a stream also
// writes the stream's record: the record's version guards the stream.
type Batch struct {
	Writes  []Write
	Entries []Entry
}

// An Outcome answers one [Batch].
type Outcome struct {
	// OK says that the batch is stored. If false it lost a race and stored nothing.
	OK bool
	// Current may hold, when OK is false, records of the batch's keys as they
	// were during the call. It may be empty, partial or stale: Get decides.
	Current []Record
}

// A Store keeps records and streams. Most programs hand one to a service and
// write through [Update]; the methods are for those who implement a Store.
//
// A record is the Data under a [Key]; its Version is 0 while absent and rises
// with every write. A stream is entries with Seq 1, 2, 3 and so on under the
// key of a record, whose Seq is the stream's length. Keys match and sort byte
// for byte: no case folding, trimming, collation or normalisation. Instants
// are kept in UTC to the microsecond.
//
// An implementation MUST
//   - be safe for concurrent use;
//   - store a [Batch] whole or not at all, whatever becomes of the others in
//     the call, and report it OK only once it would survive a crash and every
//     later Get, by any process, sees it (inside a host's transaction: once
//     the host commits);
//   - report OK only if, at one instant, each Write met its Expect, a Check
//     included, and each Entry followed the last of its stream;
//   - store Version 1 on creation and Expect+1 on every other write;
//   - keep no slice it was given, and return slices the caller may change;
//   - refuse what [CheckBatch] and [CheckKeys] refuse, storing nothing;
//   - keep a record whose Seq is above 0 from being deleted: it answers
//     [ErrBatch] or an outcome that is not OK.
//
// A lost race is an [Outcome] with OK false, never an error, and stores
// nothing. Commit returns [ErrUnknown] if any batch of the call may have been
// stored, now or later, though nobody can say so; the caller must look. Any
// other error promises that nothing of the call was or will be stored.
// Context errors fall under that promise. [ErrRetryTx] asks the host for a new
// transaction, [ErrClosed] says that the store was closed, [ErrCorrupt] that
// it found bytes it cannot have written. No error carries Data.
//
// Two batches of one Commit may not write the same key. One may check what
// another writes: each is judged as if they came one after the other, in
// either order, so at most one of two batches that check each other's writes
// succeeds.
//
// A version may return after a record was deleted and created again, so Expect
// proves nothing about such a record: records that decide something are never
// deleted. Only index records and swept rubbish are, in a batch that writes or
// checks the record they belong to.
//
// Package storagetest checks every sentence above.
type Store interface {
	// Get returns one Record per key, in the order of keys, at most [MaxKeys];
	// absent ones have Version 0. Each is no older than the last write that was
	// reported OK before Get began. Together they need not be a snapshot:
	// Commit is what decides.
	Get(ctx context.Context, keys []Key) ([]Record, error)

	// Commit stores each batch of a call, at most [MaxBatches], that meets its
	// conditions, and returns one Outcome per batch in their order.
	Commit(ctx context.Context, batches []Batch) ([]Outcome, error)

	// Entries returns the entries of a stream with Seq above after, in order.
	// If entry n is visible, so are all before it. Fewer than limit ([PageSize])
	// come back only at the end.
	Entries(ctx context.Context, stream Key, after uint64, limit int) ([]Entry, error)

	// Due returns the keys of records of a kind whose Due is set and not after
	// until, over all tenants, in the order of Due, Tenant, ID. It misses none
	// that was reported OK before it began. Fewer than limit ([PageSize]) come
	// back only if there are no more. A worker claims one by a write that moves
	// Due to now plus a lease, and puts it off the same way after a failure.
	Due(ctx context.Context, kind string, until time.Time, limit int) ([]Key, error)

	// List returns the records of one tenant and kind with ID above after, in
	// the byte order of ID; each page is one snapshot. Fewer than limit
	// ([PageSize]) come back only at the end.
	List(ctx context.Context, tenant, kind, after string, limit int) ([]Record, error)
}
