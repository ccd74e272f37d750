package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

const (
	maxTries     = 50                    // of a transaction that the database gives up, before ErrContended
	maxBackoff   = 50 * time.Millisecond // between them
	commitLimit  = 30 * time.Second      // of a COMMIT, before its outcome counts as unknown
	lockPatience = 3 * time.Second       // of CommitLocked, where the database has no limit of its own
	patience     = 4                     // tries of CommitNoWait, 1 + 2 + 4 ms apart
)

// Commit implements [storage.Store]: one transaction. Batches whose records
// another transaction holds follow one by one, each as soon as it can; the
// others do not wait for them but with their answer.
func (s *Store) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	if err := s.admit(ctx, batches); err != nil || len(batches) == 0 {
		return []storage.Outcome{}, err
	}
	outs, held, err := s.commit(ctx, batches, true)
	if err != nil {
		return nil, err
	}
	for i, k := range held {
		if k == nil {
			continue
		}
		if outs[i], err = s.commitHeld(ctx, batches[i], *k); err != nil {
			return nil, afterSome(outs, err)
		}
	}
	return outs, nil
}

// CommitNoWait is Commit, but it does not wait for records that another
// transaction holds: busy says of a batch that it was not stored for that
// reason, and that Commit would wait. Groups use it, so that a host's open
// transaction delays nobody else. On SQLite, whose one writer holds everything,
// it is Commit.
func (s *Store) CommitNoWait(ctx context.Context, batches []storage.Batch) (outs []storage.Outcome, busy []bool, err error) {
	busy = make([]bool, len(batches))
	if err := s.admit(ctx, batches); err != nil || len(batches) == 0 {
		return []storage.Outcome{}, busy, err
	}
	outs, held, err := s.commit(ctx, batches, true)
	if err != nil {
		return nil, nil, err
	}
	// Other processes hold a record for a moment only: most are free again soon.
	for try := range patience {
		var rest []storage.Batch
		var at []int
		for i, k := range held {
			if k != nil {
				rest, at = append(rest, batches[i]), append(at, i)
			}
		}
		if len(rest) == 0 {
			break
		}
		if try == patience-1 || s.pause(ctx, time.Millisecond<<try) != nil {
			for _, i := range at {
				busy[i] = true
			}
			break
		}
		again, stillHeld, err := s.commit(ctx, rest, true)
		if err != nil {
			return nil, nil, afterSome(outs, err)
		}
		for j, i := range at {
			outs[i], held[i] = again[j], stillHeld[j]
		}
	}
	return outs, busy, nil
}

// admit checks a call.
func (s *Store) admit(ctx context.Context, batches []storage.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := storage.CheckBatch(batches...); err != nil {
		return err
	}
	return s.ready(ctx, s.db, true)
}

// afterSome is the error of a call of which some batches may be stored already.
func afterSome(outs []storage.Outcome, err error) error {
	if errors.Is(err, storage.ErrUnknown) {
		return err
	}
	for _, out := range outs {
		if out.OK {
			return &storage.UnknownError{Err: err}
		}
	}
	return err
}

// commitHeld commits one batch, having waited for whoever holds its records.
func (s *Store) commitHeld(ctx context.Context, b storage.Batch, k storage.Key) (storage.Outcome, error) {
	unlock, err := s.waiting.lock(ctx, k)
	if err != nil {
		return storage.Outcome{}, err
	}
	defer unlock()
	outs, _, err := s.commit(ctx, []storage.Batch{b}, false)
	if err != nil {
		return storage.Outcome{}, err
	}
	return outs[0], nil
}

// commit runs transactions until one gets through. With skip it leaves out
// batches whose records are held by others, and returns a key of each.
func (s *Store) commit(ctx context.Context, batches []storage.Batch, skip bool) (outs []storage.Outcome, held []*storage.Key, err error) {
	if skip {
		if outs, held, handled, err := s.single(ctx, batches); handled {
			return outs, held, err
		}
	}
	for try := 0; ; try++ {
		var w work
		err := s.transact(ctx, func(q Querier) (bool, error) {
			w = work{s: s, q: q, skip: skip}
			err := w.run(ctx, batches)
			return w.stored, err
		})
		if err == nil {
			return w.outs, w.held, nil
		}
		if errors.Is(err, storage.ErrUnknown) || ctx.Err() != nil {
			return nil, nil, s.fail(ctx, "commit", err)
		}
		switch s.classify(err) {
		case classLocked:
			if skip && len(batches) > 1 {
				return s.commitSingly(ctx, batches)
			}
			if skip {
				return make([]storage.Outcome, 1), []*storage.Key{firstKey(batches[0])}, nil
			}
		case classOther:
			return nil, nil, s.fail(ctx, "commit", err)
		}
		if try == maxTries {
			return nil, nil, fmt.Errorf("sqlstore: commit: %w: %w", storage.ErrContended, s.fail(ctx, "commit", err))
		}
		if err := s.pause(ctx, min(maxBackoff, time.Millisecond<<min(try, 10))); err != nil {
			return nil, nil, s.fail(ctx, "commit", err)
		}
	}
}

// commitSingly finds out which batch it is that has to wait.
func (s *Store) commitSingly(ctx context.Context, batches []storage.Batch) (outs []storage.Outcome, held []*storage.Key, err error) {
	for i := range batches {
		out, h, err := s.commit(ctx, batches[i:i+1], true)
		if err != nil {
			return nil, nil, afterSome(outs, err)
		}
		outs, held = append(outs, out[0]), append(held, h[0])
	}
	return outs, held, nil
}

// firstKey is a key by which a batch can queue.
func firstKey(b storage.Batch) *storage.Key {
	k := slices.MinFunc(b.Writes, func(a, b storage.Write) int { return a.Key.Compare(b.Key) }).Key
	return &k
}

// pause waits up to d, never in step with others.
func (s *Store) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// work is one attempt to store batches within a transaction.
type work struct {
	s    *Store
	q    Querier
	skip bool

	heads map[storage.Key]head // locked
	seen  map[storage.Key]head // held by others

	outs   []storage.Outcome
	held   []*storage.Key
	lost   []storage.Key // that others created before
	stored bool          // something was written for good batches
	dirty  bool          // a statement that writes was sent
}

func (w *work) run(ctx context.Context, batches []storage.Batch) error {
	w.outs, w.held = make([]storage.Outcome, len(batches)), make([]*storage.Key, len(batches))
	if err := w.lock(ctx, batches); err != nil {
		return err
	}
	written := make(map[storage.Key]bool)
	for i := range batches {
		ok, held, err := w.judge(&batches[i], written)
		if err != nil {
			return err
		}
		w.outs[i].OK, w.held[i] = ok, held
		for _, wr := range batches[i].Writes {
			if ok && !wr.Check {
				written[wr.Key] = true
			}
		}
	}
	if len(written) == 0 {
		return nil
	}
	w.dirty = true
	if err := w.create(ctx, batches); err != nil {
		return err
	}
	return w.write(ctx, batches)
}

// lock locks what the batches expect to be there, in the order of keys.
func (w *work) lock(ctx context.Context, batches []storage.Batch) (err error) {
	writes, checks := make(map[storage.Key]bool), make(map[storage.Key]bool)
	creates := false
	for i := range batches {
		for _, wr := range batches[i].Writes {
			switch {
			case wr.Expect == 0:
				creates = true
			case wr.Check:
				checks[wr.Key] = true
			default:
				writes[wr.Key] = true
			}
		}
	}
	e := w.s.engine
	if !w.skip {
		for k := range checks {
			writes[k] = true
		}
		w.heads, err = w.locked(ctx, writes, lockWrite)
		return err
	}
	if w.heads, err = w.locked(ctx, writes, lockWriteSkip); err != nil {
		return err
	}
	for k := range writes {
		delete(checks, k)
	}
	shared, err := w.locked(ctx, checks, lockSharedSkip)
	if err != nil {
		return err
	}
	var missing []storage.Key
	for k := range checks {
		if h, ok := shared[k]; ok {
			w.heads[k] = h
		} else {
			missing = append(missing, k)
		}
	}
	for k := range writes {
		if _, ok := w.heads[k]; !ok {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 && w.s.dialect != SQLite {
		if w.seen, err = e.lock(ctx, w.q, sortedKeys(missing), lockNone); err != nil {
			return err
		}
	}
	if creates && len(writes)+len(checks) == 0 {
		return e.limit(ctx, w.q)
	}
	return nil
}

func (w *work) locked(ctx context.Context, set map[storage.Key]bool, how locking) (map[storage.Key]head, error) {
	if len(set) == 0 {
		return make(map[storage.Key]head), nil
	}
	keys := make([]storage.Key, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	return w.s.engine.lock(ctx, w.q, sortedKeys(keys), how)
}

// judge reports whether the conditions of a batch hold, but for its creations,
// given what the batches before it will have written; or a key that is held.
func (w *work) judge(b *storage.Batch, written map[storage.Key]bool) (ok bool, held *storage.Key, err error) {
	for i := range b.Writes {
		wr := &b.Writes[i]
		if wr.Expect == 0 {
			continue
		}
		h, locked := w.heads[wr.Key]
		if !locked {
			if h, there := w.seen[wr.Key]; there && h.version == wr.Expect {
				held = &wr.Key
				continue
			}
			return false, nil, nil
		}
		if h.version != wr.Expect || wr.Expect >= maxInt || (wr.Check && written[wr.Key]) {
			return false, nil, nil
		}
		if wr.Delete && h.seq > 0 {
			return false, nil, fmt.Errorf("%w: %s deleted with a stream", storage.ErrBatch, wr.Key.Kind)
		}
	}
	if held != nil {
		return false, held, nil
	}
	if len(b.Entries) == 0 {
		return true, nil, nil
	}
	next := make(map[storage.Key]uint64, 1)
	for i := range b.Entries {
		e := &b.Entries[i]
		n, ok := next[e.Stream]
		if !ok {
			n = w.heads[e.Stream].seq + 1 // of a record to be created: 0 + 1
		}
		if e.Seq != n {
			return false, nil, nil
		}
		next[e.Stream] = n + 1
	}
	return true, nil, nil
}

// create makes the new records of the good batches. A batch that loses one to
// somebody else is no longer good, and what it created is removed again.
func (w *work) create(ctx context.Context, batches []storage.Batch) error {
	var rows []row
	owner := make(map[storage.Key]int)
	for i := range batches {
		if !w.outs[i].OK {
			continue
		}
		added := appended(&batches[i])
		for _, wr := range batches[i].Writes {
			if wr.Expect == 0 {
				rows = append(rows, newRow(wr, 0, added))
				owner[wr.Key] = i
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	slices.SortFunc(rows, func(a, b row) int { return a.key.Compare(b.key) })
	lost, err := w.s.engine.create(ctx, w.q, rows, w.skip)
	if err != nil || len(lost) == 0 {
		return err
	}
	w.lost = lost
	taken := make(map[storage.Key]bool, len(lost))
	for _, k := range lost {
		taken[k] = true
		w.outs[owner[k]].OK = false
	}
	var undo []storage.Key
	for _, r := range rows {
		if !taken[r.key] && !w.outs[owner[r.key]].OK {
			undo = append(undo, r.key)
		}
	}
	if len(undo) == 0 {
		return nil
	}
	return w.s.engine.remove(ctx, w.q, undo)
}

// write stores the rest of the good batches.
func (w *work) write(ctx context.Context, batches []storage.Batch) error {
	e := w.s.engine
	var rows []row
	var removed []storage.Key
	var entries []storage.Entry
	for i := range batches {
		if !w.outs[i].OK {
			continue
		}
		added := appended(&batches[i])
		for _, wr := range batches[i].Writes {
			switch {
			case wr.Check:
				continue
			case wr.Delete:
				removed = append(removed, wr.Key)
			case wr.Expect > 0 || e.provisional():
				rows = append(rows, newRow(wr, w.heads[wr.Key].seq, added))
			}
			w.stored = true
		}
		entries = append(entries, batches[i].Entries...)
	}
	slices.SortFunc(rows, func(a, b row) int { return a.key.Compare(b.key) })
	if len(rows) > 0 {
		if err := e.write(ctx, w.q, rows); err != nil {
			return err
		}
	}
	if len(removed) > 0 {
		if err := e.remove(ctx, w.q, sortedKeys(removed)); err != nil {
			return err
		}
	}
	if len(entries) > 0 {
		return e.add(ctx, w.q, packs(entries))
	}
	return nil
}

// appended counts a batch's entries per stream.
func appended(b *storage.Batch) map[storage.Key]int64 {
	if len(b.Entries) == 0 {
		return nil
	}
	n := make(map[storage.Key]int64, 1)
	for i := range b.Entries {
		n[b.Entries[i].Stream]++
	}
	return n
}

func newRow(w storage.Write, seq uint64, added map[storage.Key]int64) row {
	return row{
		key: w.Key, version: int64(w.Expect + 1), seq: int64(seq) + added[w.Key],
		due: storage.DueMicros(w.Due), data: bytesOf(w.Data),
	}
}
