package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// UpdateOptions change how [UpdateWith] works. The zero value is the default.
type UpdateOptions struct {
	// Near are keys that the function will read first: they are fetched
	// together before it runs, and updates near the same key are committed
	// together by a [Group]. Naming a key here does not make the commit depend
	// on it.
	Near []Key
	// Create are keys that the function will read and, most likely, create. A
	// [Group] presumes that those not in memory are absent, which saves a read;
	// if one is there, the function runs again knowing it.
	Create []Key
	// Attempts is how often the function may run because of lost races before
	// [ErrContended]; 0 is 64.
	Attempts int
}

const (
	defaultAttempts = 64
	unknownAttempts = 4 // runs after a lost answer, before the caller must decide
	maxBackoff      = 20 * time.Millisecond
)

// ReadsAhead reports whether an update of s reads what UpdateOptions name before
// its function runs. Over a [Mem] it need not: who would name many keys may then
// leave out all but the first of Near.
func ReadsAhead(s Store) bool {
	if g, ok := s.(*Grouped); ok {
		s = g.store
	}
	_, mem := s.(*Mem)
	return !mem
}

// Update runs fn and commits what it wrote, in one batch: all or nothing. It is
// the unit of work of every package.
//
// fn may run many times. It does I/O only through tx, waits for no other
// caller, and changes nothing outside but variables that it sets afresh in
// every run. If it returns an error nothing is written and Update returns that
// error, after having made sure that it was not due to a stale read.
//
// If another writer won a race, fn runs again on what is there now; after 64
// runs Update returns [ErrContended]. If the store lost the answer to a commit
// ([ErrUnknown]) fn also runs again, a few times: it must recognise by its own
// record, kept under an id that the caller chose, that its work was done
// before. See [Once]. An [ErrUnknown] from Update means that the work may still
// be done, and that the call should be repeated. [ErrRetryTx] is for the host,
// who has to start its transaction again.
//
// Committed work is serializable but for records read by [Tx.Peek] and reads
// of absent records.
//
// An Update within fn is no part of this one: it stays even if this one fails.
// On a [Group] it panics.
func Update(ctx context.Context, s Store, fn func(*Tx) error) error {
	return UpdateWith(ctx, s, nil, fn)
}

// UpdateWith is [Update] with options; nil are the defaults.
func UpdateWith(ctx context.Context, s Store, o *UpdateOptions, fn func(*Tx) error) error {
	if g, ok := s.(*Grouped); ok {
		return g.update(ctx, o, fn)
	}
	return updateOne(ctx, s, o, fn)
}

// updateOne is UpdateWith on a store that groups nothing.
func updateOne(ctx context.Context, s Store, o *UpdateOptions, fn func(*Tx) error) error {
	u := updater{ctx: ctx, store: s, attempts: defaultAttempts}
	if o != nil {
		if o.Attempts > 0 {
			u.attempts = o.Attempts
		}
		keys := o.Near
		if len(o.Create) > 0 {
			keys = slices.Concat(o.Near, o.Create)
		}
		if err := u.fetch(keys); err != nil {
			return err
		}
	}
	return u.run(fn)
}

// View runs fn, which only reads. If it read several records they were all so
// at one instant: fn runs again until that holds. A write within it is an error.
func View(ctx context.Context, s Store, fn func(*Tx) error) error {
	if g, ok := s.(*Grouped); ok {
		s = g.store // fresh reads beat cached ones that must be confirmed
	}
	u := updater{ctx: ctx, store: s, attempts: defaultAttempts, readOnly: true}
	return u.run(fn)
}

// An updater is one call of Update.
type updater struct {
	ctx      context.Context
	store    Store
	attempts int
	readOnly bool
	shard    int32 // of a group, from 1; 0 is none

	cache    *recordSet // for the next run; nil: it reads afresh
	lost     []Batch    // sent, with their answers lost
	unknown  error      // the last such answer
	conflict int        // races lost
}

func (u *updater) run(fn func(*Tx) error) error {
	unknowns := 0
	mem, _ := u.store.(*Mem)
	var tx *Tx
	defer func() {
		if tx != nil {
			tx.release()
		}
	}()
	for n := 0; n < u.attempts; n++ {
		if n > 0 {
			if err := u.wait(n); err != nil {
				return u.final(err)
			}
		}
		if tx != nil {
			tx.release()
		}
		if mem != nil {
			if err := u.ctx.Err(); err != nil {
				return err
			}
		}
		tx = newTx(u.ctx, u.store, u.cache)
		tx.readOnly, tx.mem = u.readOnly, mem
		err := fn(tx)
		tx.done = true
		if tx.err != nil {
			return u.final(tx.err)
		}
		if err != nil || !tx.wrote() {
			moved, cerr := u.confirm(tx)
			switch {
			case cerr != nil:
				return u.final(cerr)
			case moved:
				continue
			case err != nil && u.undecided():
				return &UnknownError{err}
			}
			return err
		}
		if err := tx.check(); err != nil {
			return u.final(err)
		}
		if mem != nil {
			if ok, err := mem.commit(u.ctx, tx, u.shard); err != nil || ok {
				return err
			}
			continue
		}
		batch, err := tx.batch()
		if err != nil {
			return u.final(err)
		}
		outs, err := u.store.Commit(u.ctx, []Batch{batch})
		switch {
		case errors.Is(err, ErrUnknown):
			u.lost, u.unknown, u.cache = append(u.lost, batch), err, nil
			if unknowns++; unknowns == unknownAttempts {
				return err
			}
		case err != nil:
			return u.final(err)
		case len(outs) != 1:
			return u.final(fmt.Errorf("%w: Commit returned %d outcomes for 1 batch", ErrCorrupt, len(outs)))
		case outs[0].OK:
			return nil
		default:
			if err := u.refresh(tx, batch, outs[0].Current); err != nil {
				return u.final(err)
			}
		}
	}
	if u.unknown != nil && u.conflict == 0 {
		return u.unknown
	}
	return u.final(ErrContended)
}

// final is the error of an Update that could not find out what it wanted to: if
// the answer to a commit is missing, that is what the caller must know.
func (u *updater) final(err error) error {
	if u.unknown == nil || errors.Is(err, ErrUnknown) {
		return err
	}
	return &UnknownError{err}
}

// refresh fills the cache for the run after a lost race. What the store
// returned with the outcome saves a round trip, once: it may be stale.
func (u *updater) refresh(tx *Tx, b Batch, current []Record) error {
	u.conflict++
	if u.conflict%2 == 1 && explains(b, current) {
		cache := new(recordSet)
		for _, s := range tx.order {
			if s.known && s.valid {
				cache.set(s.rec)
			}
		}
		for _, r := range current {
			cache.set(r)
		}
		u.cache = cache
		return nil
	}
	keys := make([]Key, len(tx.order))
	for i, s := range tx.order {
		keys[i] = s.rec.Key
	}
	return u.fetch(keys)
}

// explains reports whether the records returned with a lost race show why.
func explains(b Batch, current []Record) bool {
	for _, r := range current {
		for i := range b.Writes {
			if w := &b.Writes[i]; w.Key == r.Key && w.Expect != r.Version {
				return true
			}
		}
	}
	return false
}

// fetch replaces the cache with what the store has under keys now.
func (u *updater) fetch(keys []Key) error {
	if _, ok := u.store.(*Mem); ok { // which reads as fast as a cache
		for _, k := range keys {
			if err := checkKey(k); err != nil {
				return err
			}
		}
		return nil
	}
	u.cache = new(recordSet)
	for len(keys) > 0 {
		part := keys[:min(len(keys), MaxKeys)]
		keys = keys[len(part):]
		recs, err := u.store.Get(u.ctx, part)
		if err != nil {
			return err
		}
		for _, r := range recs {
			u.cache.set(r)
		}
	}
	return nil
}

// confirm reads again what a refusal or a reader rests on. If nothing moved,
// all of it was so between the two reads: the answer is true of one instant.
// A single record that was read in this run needs no second look.
func (u *updater) confirm(tx *Tx) (moved bool, err error) {
	if tx.mem != nil {
		return !tx.mem.same(tx.order), nil
	}
	keys, cached := tx.seen()
	if len(keys) == 0 || (len(keys) == 1 && !cached) {
		u.cache = nil
		for _, k := range keys {
			u.cache = new(recordSet)
			u.cache.set(tx.find(k, hashID(k.ID)).rec)
		}
		return false, nil
	}
	if err := u.fetch(keys); err != nil {
		return false, err
	}
	for _, k := range keys {
		var version uint64
		if r := u.cache.get(k); r != nil {
			version = r.Version
		}
		moved = moved || version != tx.find(k, hashID(k.ID)).rec.Version
	}
	return moved, nil
}

// undecided reports whether a commit whose answer was lost could still happen,
// so that a refusal would promise too much: nothing it rests on moved.
func (u *updater) undecided() bool { return undecided(u.lost, u.cache) }

func undecided(lost []Batch, now *recordSet) bool {
	for i := range lost {
		alive := true
		for _, w := range lost[i].Writes {
			if r := now.get(w.Key); r != nil && r.Version != w.Expect {
				alive = false
			}
		}
		if alive {
			return true
		}
	}
	return false
}

// wait pauses before run n, longer with every race lost and never in step with
// others.
func (u *updater) wait(n int) error {
	if n == 1 && u.unknown == nil {
		return u.ctx.Err()
	}
	limit := min(maxBackoff, 100*time.Microsecond<<min(n, 16))
	t := time.NewTimer(rand.N(limit))
	defer t.Stop()
	select {
	case <-u.ctx.Done():
		return u.ctx.Err()
	case <-t.C:
		return nil
	}
}
