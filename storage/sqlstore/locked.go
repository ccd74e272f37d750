package sqlstore

import (
	"bytes"
	"context"
	"errors"

	"github.com/countersign/countersign/storage"
)

var _ storage.Locker = (*Store)(nil)

// CommitLocked implements [storage.Locker]: one transaction, which locks, reads,
// has decide run, writes and commits. Others who lock first queue up behind it;
// a moment is a second on PostgreSQL and MariaDB, three on MySQL, and the busy
// timeout on SQLite.
func (s *Store) CommitLocked(ctx context.Context, keys []storage.Key, decide func(held []storage.Record, get storage.GetFunc) []storage.Batch) (outs []storage.Outcome, busy []bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := storage.CheckKeys(keys...); err != nil {
		return nil, nil, err
	}
	if err := s.ready(ctx, s.db, true); err != nil {
		return nil, nil, err
	}
	var batches []storage.Batch
	decided := false
	err = s.transact(ctx, func(q Querier) (keep bool, err error) {
		lockCtx, cancel := context.WithTimeout(ctx, lockPatience)
		defer cancel()
		held, err := s.hold(lockCtx, q, keys)
		if err != nil {
			return false, err
		}
		decided = true
		batches = decide(held, func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			if err := storage.CheckKeys(keys...); err != nil {
				return nil, err
			}
			return s.get(ctx, q, keys, false, nil)
		})
		if err := storage.CheckBatch(batches...); err != nil || len(batches) == 0 {
			return false, err
		}
		outs, busy, err = s.within(ctx, q, batches)
		for i := range outs {
			keep = keep || outs[i].OK
		}
		return keep, err
	})
	switch {
	case err == nil:
		return outs, busy, nil
	case errors.Is(err, storage.ErrUnknown):
		return nil, nil, err
	case !decided && (s.classify(err) != classOther || ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)):
		return nil, nil, nil
	case code(err) == createLost, code(err) == writeLost, s.classify(err) == classRetry: // all of it has lost
		return make([]storage.Outcome, len(batches)), make([]bool, len(batches)), nil
	case s.classify(err) == classLocked:
		busy = make([]bool, len(batches))
		for i := range busy {
			busy[i] = true
		}
		return make([]storage.Outcome, len(batches)), busy, nil
	}
	return nil, nil, s.fail(ctx, "commit", err)
}

// hold locks the records of keys that exist, and returns one record per key.
func (s *Store) hold(ctx context.Context, q Querier, keys []storage.Key) ([]storage.Record, error) {
	rows, err := s.engine.hold(ctx, q, sortedKeys(keys))
	if err != nil {
		return nil, err
	}
	found := make(map[storage.Key]storage.Record, len(keys))
	if err := scan(rows, func() error {
		r, err := scanRecord(rows)
		found[r.Key] = r
		return err
	}); err != nil {
		return nil, err
	}
	recs := make([]storage.Record, len(keys))
	for i, k := range keys {
		recs[i] = found[k]
		recs[i].Key, recs[i].Data = k, bytes.Clone(recs[i].Data)
	}
	return recs, nil
}

// within stores batches in a transaction of our own, without waiting for others.
func (s *Store) within(ctx context.Context, q Querier, batches []storage.Batch) (outs []storage.Outcome, busy []bool, err error) {
	var held []*storage.Key
	if c := s.newSingle(batches); c != nil {
		if outs, err = c.run(ctx, q); err == nil {
			held, err = s.singleLost(ctx, q, batches, outs)
		}
	} else {
		w := work{s: s, q: q, skip: true}
		err = w.run(ctx, batches)
		outs, held = w.outs, w.held
	}
	if err != nil {
		return nil, nil, err
	}
	busy = make([]bool, len(batches))
	for i, k := range held {
		busy[i] = k != nil
	}
	return outs, busy, nil
}
