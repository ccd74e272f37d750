package sqlstore

import (
	"context"
	"database/sql"
	"math"
	"slices"

	"github.com/countersign/countersign/storage"
)

// maxInt bounds versions and sequence numbers: columns are signed.
const maxInt = math.MaxInt64

// An engine is what differs between dialects.
type engine interface {
	// text has the statements that differ in their text only.
	text() *texts
	// key is a part of a key as an argument.
	key(part string) any
	// get returns tenant, kind, id, version, seq, due and data of those of keys
	// that exist, having locked them in their order if asked to. keys are sorted.
	get(ctx context.Context, q Querier, keys []storage.Key, lock bool) (*sql.Rows, error)
	// locksGaps says that in a host's transaction locking a record that does not
	// exist may lock out others who create its neighbours.
	locksGaps() bool
	// lock locks those of keys that exist, in their order. keys are sorted.
	lock(ctx context.Context, q Querier, keys []storage.Key, how locking) (map[storage.Key]head, error)
	// hold is get with lock, of records that others hold for a moment only: it
	// fails with an error of classLocked or classRetry, or when ctx ends, if not.
	hold(ctx context.Context, q Querier, keys []storage.Key) (*sql.Rows, error)
	// limit keeps the statements of the transaction from waiting long for locks.
	// Locks that skip do so themselves.
	limit(ctx context.Context, q Querier) error
	// create inserts rows, sorted by key, of records that do not exist, and
	// returns the keys of those that do. If provisional, the rows that it made
	// must go through write too. If limited, it does not wait long for
	// others who create the same.
	create(ctx context.Context, q Querier, rows []row, limited bool) (lost []storage.Key, err error)
	provisional() bool
	// write stores rows over records that the transaction holds.
	write(ctx context.Context, q Querier, rows []row) error
	// remove deletes records that the transaction holds.
	remove(ctx context.Context, q Querier, keys []storage.Key) error
	// add inserts entries.
	add(ctx context.Context, q Querier, packs []pack) error
	// schema is what CreateSchema runs, in order.
	schema() []string
	// prepare learns what it needs of the server, and returns why its settings
	// may lose what was acknowledged, or "". own says that q is not a host's
	// transaction, which an error would spoil.
	prepare(ctx context.Context, q Querier, own bool) (volatile string, err error)
}

// texts are statements.
type texts struct {
	entries string // tenant, kind, id, after, end, until, limit -> pack
	due     string // kind, until, limit -> tenant, id
	list    string // tenant, kind, after, limit -> record
	meta    string // name -> value
	setMeta string // name, value; a no-op if it is there
	blobs   blobTexts
}

// A row is a record to be stored.
type row struct {
	key     storage.Key
	version int64
	seq     int64
	due     int64
	data    []byte // not nil
}

// A head is what a transaction needs to know about a record that it locked.
type head struct {
	version uint64
	seq     uint64
}

// locking says how rows are locked.
type locking int

const (
	lockNone       locking = iota // the rows are only read
	lockWrite                     // waiting for whoever holds them
	lockWriteSkip                 // leaving out what others hold
	lockSharedSkip                // the same, with others who only check
)

func sortedKeys(keys []storage.Key) []storage.Key {
	sorted := slices.Clone(keys)
	slices.SortFunc(sorted, storage.Key.Compare)
	return slices.Compact(sorted)
}

// Limits of one statement with a placeholder per value.
const (
	maxRows  = 1000
	maxBytes = 2 << 20 // beyond the first row
)

// chunks calls fn for parts of a slice that fit into one statement.
func chunks[T any](all []T, size func(T) int, fn func([]T) error) error {
	for len(all) > 0 {
		n, bytes := 1, size(all[0])
		for n < len(all) && n < maxRows && bytes+size(all[n]) <= maxBytes {
			bytes += size(all[n])
			n++
		}
		if err := fn(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func keySize(storage.Key) int { return 0 }
func rowSize(r row) int       { return len(r.data) }
func packSize(p pack) int     { return len(p.parts) + p.size }

// bytesOf is data that is not NULL.
func bytesOf(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}
