package storage

import "context"

// A NoWaiter is a [Store] in which transactions of others may hold records, such
// as a SQL database whose host has one open. A [Group] commits through
// CommitNoWait, so that such a transaction delays only updates that need what it
// holds: they are taken out of the group and commit alone, each under its
// caller's context.
type NoWaiter interface {
	Store

	// CommitNoWait is Commit, but does not wait for a record that another
	// transaction holds: a batch that would is not stored, and busy, which has
	// one element per batch, says so. Its outcome is not OK.
	CommitNoWait(ctx context.Context, batches []Batch) (outs []Outcome, busy []bool, err error)
}

// A Peeker is a [Store] whose Get holds what it finds, for the rest of a host's
// transaction. [Tx.Peek] reads through Peek, which is Get without that.
type Peeker interface {
	Store

	Peek(ctx context.Context, keys []Key) ([]Record, error)
}

// A Serial is a [Store] that may run one Commit after another, however many call
// it, as an embedded database with one writer does. There a [Group] forms one group:
// several would make smaller commits that wait for each other.
type Serial interface {
	Store

	// Serial reports whether it does.
	Serial() bool
}

// A StreamReader is a [Store] that reads several streams in one round trip.
type StreamReader interface {
	Store

	// Streams returns for each part what Entries would.
	Streams(ctx context.Context, parts []StreamPart) ([][]Entry, error)
}

// A StreamPart names entries of a stream: those after a number, at most Limit
// ([PageSize]).
type StreamPart struct {
	Stream Key
	After  uint64
	Limit  int
}

// Streams returns for each part what s.Entries does: in one round trip if s is a
// [StreamReader].
func Streams(ctx context.Context, s Store, parts []StreamPart) ([][]Entry, error) {
	if r, ok := s.(StreamReader); ok {
		return r.Streams(ctx, parts)
	}
	out := make([][]Entry, len(parts))
	for i, p := range parts {
		var err error
		if out[i], err = s.Entries(ctx, p.Stream, p.After, p.Limit); err != nil {
			return nil, err
		}
	}
	return out, nil
}
