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
		w := writer{tx.Bucket(recordBucket), tx.Bucket(entryBucket), tx.Bucket(dueBucket)}
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
type writer struct{ records, entries, due *bolt.Bucket }

func (w writer) commit(batches []storage.Batch) ([]storage.Outcome, error) {
	outs := make([]storage.Outcome, len(batches))
	stored := false
	for i := range batches {
		heads, ok, err := w.meet(&batches[i])
		switch {
		case err != nil:
			return nil, err
		case !ok:
			outs[i].Current = heads.current(&batches[i])
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

// heads is what the store has under the keys of a batch's writes.
type heads []storage.Record

func (h heads) current(b *storage.Batch) []storage.Record {
	recs := make([]storage.Record, len(h))
	for i, r := range h {
		recs[i] = r
		recs[i].Data = append([]byte(nil), r.Data...)
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
		h[i] = r
		ok = ok && r.Version == wr.Expect
		if wr.Delete && r.Version == wr.Expect && r.Seq > 0 {
			return nil, false, fmt.Errorf("%w: %s deleted with a stream", storage.ErrBatch, wr.Key.Kind)
		}
	}
	if !ok || len(b.Entries) == 0 {
		return h, ok, nil
	}
	next := make(map[storage.Key]uint64, 1)
	for i := range h {
		next[b.Writes[i].Key] = h[i].Seq + 1
	}
	for i := range b.Entries {
		e := &b.Entries[i]
		if e.Seq != next[e.Stream] {
			return h, false, nil
		}
		next[e.Stream]++
	}
	return h, true, nil
}

func (w writer) apply(b *storage.Batch, h heads) (wrote bool, err error) {
	var added map[storage.Key]uint64
	if len(b.Entries) > 0 {
		added = make(map[storage.Key]uint64, 1)
	}
	for i := range b.Entries {
		e := &b.Entries[i]
		added[e.Stream]++
		if err := w.entries.Put(entryKey(e.Stream, e.Seq), entryValue(e)); err != nil {
			return false, err
		}
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
			err = errors.Join(err, w.records.Put(recordKey(wr.Key), recordValue(wr.Expect+1, h[i].Seq+added[wr.Key], after, wr.Data)))
		}
		if err != nil {
			return false, err
		}
	}
	return wrote, nil
}
