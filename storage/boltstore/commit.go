package boltstore

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/storage"
)

// errNothing rolls back a transaction that has nothing to store.
var errNothing = errors.New("boltstore: nothing to store")

// Commit implements [storage.Store]: one transaction of bbolt, synced.
func (s *Store) Commit(ctx context.Context, batches []storage.Batch) (outs []storage.Outcome, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := storage.CheckBatch(batches...); err != nil {
		return nil, err
	}
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var refusal error
	decided := false // and bbolt is storing it
	defer func() {
		if decided && errors.Is(err, storage.ErrCorrupt) {
			outs, err = nil, fmt.Errorf("%w: %w", storage.ErrUnknown, err)
		}
	}()
	defer watched(&err)()
	err = s.db.Update(func(tx *bolt.Tx) error {
		w := newWriter(tx)
		outs, refusal = w.commit(batches)
		decided = refusal == nil
		return refusal
	})
	switch {
	case err == nil:
		return outs, nil
	case errors.Is(refusal, errNothing):
		return outs, nil
	case refusal != nil:
		return nil, refusal
	}
	if err := closed(err); errors.Is(err, storage.ErrClosed) {
		return nil, err
	}
	// The last write of bbolt's commit is the page that makes it count: after an
	// error nobody knows whether it reached the disk.
	return nil, fmt.Errorf("%w: boltstore: commit: %w", storage.ErrUnknown, err)
}

// writer is the buckets of one transaction.
type writer struct {
	records, entries, due *bolt.Bucket
	half                  int // bytes of a page that one of two values may take, with its key
}

func newWriter(tx *bolt.Tx) writer {
	w := writer{tx.Bucket(recordBucket), tx.Bucket(entryBucket), tx.Bucket(dueBucket), (tx.DB().Info().PageSize-pageHead)/2 - element}
	for _, b := range []*bolt.Bucket{w.records, w.entries, w.due} {
		b.FillPercent = fill
	}
	return w
}

// fill is what bbolt leaves on a page that it splits. Keys that rise, as those of
// streams and of records named by time do, never come back to what was split off:
// half full it would stay. With keys at random a fuller page is split again sooner:
// from 0.8 that costs more pages than it saves.
const fill = 0.7

func (w writer) commit(batches []storage.Batch) ([]storage.Outcome, error) {
	outs := make([]storage.Outcome, len(batches))
	stored := false
	for i := range batches {
		heads, ok, err := w.meet(&batches[i])
		switch {
		case err != nil:
			return nil, err
		case !ok:
			outs[i].Current = heads.current()
			continue
		}
		wrote, err := w.apply(&batches[i], heads)
		if err != nil {
			return nil, err
		}
		stored = stored || wrote
		outs[i].OK = true
	}
	if !stored {
		return outs, errNothing
	}
	return outs, nil
}

// heads is what the store has under the keys of a batch's writes, and what that
// appends.
type heads []head

type head struct {
	storage.Record
	added uint64 // entries
}

func (h heads) current() []storage.Record {
	recs := make([]storage.Record, len(h))
	for i := range h {
		recs[i] = h[i].Record
		recs[i].Data = append([]byte(nil), recs[i].Data...)
	}
	return recs
}

// meet reports whether every condition of a batch holds. The Data of heads is
// valid only within the transaction, until it writes.
func (w writer) meet(b *storage.Batch) (heads, bool, error) {
	h := make(heads, len(b.Writes))
	ok := true
	for i := range b.Writes {
		wr := &b.Writes[i]
		r, err := read(w.records, wr.Key)
		if err != nil {
			return nil, false, err
		}
		h[i].Record = r
		ok = ok && r.Version == wr.Expect
		if wr.Delete && r.Version == wr.Expect && r.Seq > 0 {
			return nil, false, fmt.Errorf("%w: %s deleted with a stream", storage.ErrBatch, wr.Key.Kind)
		}
	}
	if !ok {
		return h, false, nil
	}
	at := 0 // in h, of the stream appended to: mostly that of the entry before, or the next
	for i := range b.Entries {
		e := &b.Entries[i]
		for h[at].Key != e.Stream { // it is there: see storage.CheckBatch
			at = (at + 1) % len(h)
		}
		h[at].added++
		if e.Seq != h[at].Seq+h[at].added {
			return h, false, nil
		}
	}
	return h, true, nil
}

func (w writer) apply(b *storage.Batch, h heads) (wrote bool, err error) {
	if err := w.append(b.Entries); err != nil {
		return false, err
	}
	for i := range b.Writes {
		wr := &b.Writes[i]
		if wr.Check {
			continue
		}
		wrote = true
		before, after := storage.DueMicros(h[i].Due), storage.DueMicros(wr.Due)
		if wr.Delete {
			after = 0
		}
		if before != after {
			if before > 0 {
				err = errors.Join(err, w.due.Delete(dueKey(wr.Key, before)))
			}
			if after > 0 {
				err = errors.Join(err, w.due.Put(dueKey(wr.Key, after), nil))
			}
		}
		if wr.Delete {
			err = errors.Join(err, w.records.Delete(recordKey(wr.Key)))
		} else {
			err = errors.Join(err, w.records.Put(recordKey(wr.Key), recordValue(wr.Expect+1, h[i].Seq+h[i].added, after, wr.Data)))
		}
		if err != nil {
			return false, err
		}
	}
	return wrote, nil
}
