package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A round takes the calls that waited, runs their functions one after another,
// and commits what they wrote in one call. Its memory is used again and again.
type round struct {
	sh    *shard
	calls []*call         // nil once they were answered, or sent elsewhere
	ctx   context.Context // of the round's own I/O; nil until it is sent
	start time.Time
	turn  int // how many times it took calls

	ahead *round // whose commit is under way, and whose writes this one builds on

	// Once it is sent:
	set    batchSet
	done   chan struct{} // closed when outs and errs, of the batches of set.fit, are there
	outs   []Outcome
	errs   []error
	cancel context.CancelFunc

	cells   cells
	order   []*cell // used by accepted calls, in the order of first use
	parts   []part  // accepted calls, in the order they ran
	entries []Entry // of the parts
	arena   []byte  // of entries' Data
	seen    measured
	trust   bool      // that keys which calls mean to create are absent
	held    []refusal // calls whose answers wait for the commit
	early   []early   // calls whose answers wait for the commit of the round ahead
	again   []*call   // to run in the next round
	bytes   int       // of what is to be committed
	kept    bool      // somebody may still refer to its batches
	exited  bool      // a function ended the goroutine that it ran on

	reader GetFunc // of the transaction that the functions run in; nil: the store's
	ran    Tx      // the last run, once its function returned
}

// A part is an accepted call and what it appends; parts that depend on each
// other form one batch, by union-find.
type part struct {
	call     *call
	from, to int // in round.entries
	parent   int
	keys     int // of the batch, at most, if this part is its root
	size     int // of the batch, in entries, likewise
	batch    int // in round.set, once that is made
}

// A refusal is a call that wrote nothing, and what it read.
type refusal struct {
	call    *call
	err     error
	seen    []Record
	confirm bool  // seen has to be read again
	parts   []int // whose uncommitted writes it saw
}

// early is an answer that rests on a round ahead, if on anything.
type early struct {
	call *call
	err  error
}

// maxRoundBytes bounds what one round commits; further calls go to the next.
const maxRoundBytes = 16 << 20

// newRound returns a round that has yet to take calls.
func (sh *shard) newRound() *round {
	r := new(round)
	if n := len(sh.spare); n > 0 {
		r, sh.spare = sh.spare[n-1], sh.spare[:n-1]
	}
	r.sh, r.start, r.ahead, r.trust = sh, time.Now(), sh.flying, sh.g.trusts()
	return r
}

// maxSpare bounds the memory of a round that is used again: cells, entries and
// writes, of each.
const maxSpare = 2048

// spareRound keeps the memory of a round that nobody refers to any more: it was
// answered, and none builds on it.
func (sh *shard) spareRound(r *round) {
	if max(r.cells.n, len(r.entries), len(r.set.writes)) > maxSpare {
		return
	}
	if cap(r.arena) > maxKept {
		r.arena = nil
	}
	r.cells.clear()
	r.set.clear()
	clear(r.calls)
	clear(r.order)
	clear(r.parts)
	clear(r.entries)
	clear(r.held)
	clear(r.early)
	clear(r.again)
	*r = round{
		cells: r.cells, set: r.set, calls: r.calls[:0], order: r.order[:0], parts: r.parts[:0],
		entries: r.entries[:0], arena: r.arena[:0], held: r.held[:0], early: r.early[:0], again: r.again[:0],
	}
	sh.spare = append(sh.spare, r)
}

// admit adds calls to the round.
func (r *round) admit(calls []*call) {
	for _, c := range calls {
		c.at = len(r.calls)
		r.calls = append(r.calls, c)
	}
}

// finish hands over an answer. The call is its caller's again.
func (r *round) finish(c *call, err error) {
	r.calls[c.at] = nil
	r.sh.finish(c, err)
}

// decide runs the functions of calls that it takes.
func (r *round) decide(calls []*call) {
	r.admit(calls)
	r.turn++
	r.run(calls)
}

// elsewhere returns the shard in which a call must run, if it is another: the
// lane of what it writes, or, at most once, the shard whose calls write that,
// which it would race.
func (r *round) elsewhere(c *call, tx *Tx) *shard {
	if r.sh.lane {
		return nil
	}
	if l := r.sh.laneOf(tx); l != nil || c.strayed {
		return l
	}
	for _, s := range tx.order {
		if o := s.cell.owner; s.plan.op != opNone && o > 0 && o != r.sh.index+1 {
			c.strayed = true
			return &r.sh.g.shards[o-1]
		}
	}
	return nil
}

// recall is Tx.recall in a group.
func (r *round) recall(s *slot, peek bool) {
	c := r.cell(s.rec.Key)
	s.cell = c
	switch {
	case c.used:
		s.rec, s.val, s.known, s.shared, s.cached = c.now, c.val, true, c.wrote, c.read < r.turn
	case c.known:
		if c.read == r.turn || !peek || !c.stale {
			s.rec, s.val, s.known, s.cached = c.base, c.val, true, c.read < r.turn
		}
	case c.guess:
		s.known, s.cached, s.guess = true, true, true
	}
}

// fetch reads keys that the round has not read yet.
func (r *round) fetch(keys []Key) error {
	var part []Key
	for i, k := range keys {
		if c := r.cell(k); c.read < r.turn && !c.used {
			part = append(part, k)
			c.read = r.turn // once is enough
		}
		if len(part) == MaxKeys || (i == len(keys)-1 && len(part) > 0) {
			recs, err := r.get(part)
			if err != nil {
				return err
			}
			for _, rec := range recs {
				c := r.cell(rec.Key)
				c.base, c.now, c.val, c.known = rec, rec, nil, true
			}
			part = part[:0]
		}
	}
	return nil
}

func (r *round) get(keys []Key) ([]Record, error) {
	now := time.Now()
	get := r.reader
	if get == nil {
		get = r.sh.g.store.Get
	}
	ctx := r.ctx
	if ctx == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.Background(), r.sh.g.opts.CommitLimit)
		defer cancel()
	}
	var recs []Record
	err := apart(func() (err error) {
		recs, err = get(ctx, keys)
		return err
	})
	if err == nil && len(recs) != len(keys) {
		err = fmt.Errorf("%w: Get returned %d records for %d keys", ErrCorrupt, len(recs), len(keys))
	}
	if err != nil {
		return nil, err
	}
	r.sh.g.observe(MeasureGet, int64(len(keys)), time.Since(now), nil)
	for i := range recs {
		r.sh.g.cache.set(&recs[i], hashKey(recs[i].Key), nil, now, false, 0)
	}
	return recs, nil
}

// wanted returns the keys that calls will ask for and memory lacks.
func (r *round) wanted(calls []*call) (want []Key) {
	for _, c := range calls {
		for _, k := range c.want {
			if !r.cell(k).known {
				want = append(want, k)
			}
		}
		for _, k := range c.make {
			if cell := r.cell(k); cell.known {
				continue
			} else if cell.guess = cell.guess || r.trust && c.tries == 0 && c.unknown == nil; !cell.guess {
				want = append(want, k)
			}
		}
	}
	return want
}

// run runs functions, reading in between what they lack.
func (r *round) run(todo []*call) {
	want := r.wanted(todo)
	for len(todo) > 0 {
		if err := r.fetch(want); err != nil {
			for _, c := range todo {
				r.fail(c, fmt.Errorf("storage: group: %w", err))
			}
			return
		}
		want = nil
		var missed []*call
		for _, c := range todo {
			if r.bytes > maxRoundBytes {
				r.again = append(r.again, c)
				continue
			}
			tx, err, gone := r.invoke(c)
			switch {
			case gone || c.panics:
				r.answer(c, nil)
			case len(tx.missing) > 0 || err == nil && tx.guessed():
				if c.misses++; c.misses > maxMisses {
					c.alone = true
					r.finish(c, nil)
				} else {
					want, missed = append(want, tx.missing...), append(missed, c)
				}
			default:
				r.judge(c, tx, err)
			}
			if tx != nil {
				tx.release()
			}
		}
		todo = missed
	}
}

// invoke runs the function of a call, unless its caller left. The Tx that the
// function had is of no use any more: it may be kept, and the call's caller may go
// on before the round is done with the run.
func (r *round) invoke(c *call) (tx *Tx, err error, gone bool) {
	c.run.Lock()
	defer c.run.Unlock()
	if c.gone {
		return nil, nil, true
	}
	tx = newTx(context.Background(), r.sh.g.store, nil) // it reads through the round
	tx.round = r
	if tx.arena = r.arena; cap(tx.arena)-len(tx.arena) < 512 {
		tx.arena = make([]byte, 0, min(2*cap(tx.arena)+1024, 32<<10))
	}
	r.sh.running.Store(c)
	returned, start := false, r.sh.g.clock()
	if !start.IsZero() && !c.since.IsZero() {
		r.sh.g.observe(MeasureWait, 1, start.Sub(c.since), nil)
		c.since = time.Time{} // once
	}
	defer func() {
		tx.done = true
		if took := r.sh.g.clock().Sub(start); took > slowFunction {
			r.sh.g.observe(MeasureSlow, 1, took, nil)
		}
		r.arena, tx.arena = tx.arena, nil
		r.ran, *tx = *tx, Tx{}
		tx = &r.ran
		r.sh.running.Store(nil)
		if returned {
			return
		}
		if c.panicked = recover(); c.panicked != nil {
			c.panics = true
			return
		}
		if r.ahead == nil {
			c.exits, r.exited = true, true // runtime.Goexit: shard.work goes on elsewhere
			r.finish(c, nil)
		}
	}()
	err = c.fn(tx)
	returned = true
	return tx, err, false
}

// judge decides what becomes of a call whose function ran to its end.
func (r *round) judge(c *call, tx *Tx, err error) {
	if tx.err != nil {
		r.fail(c, tx.err)
		return
	}
	if err == nil && tx.wrote() {
		if err := tx.check(); err != nil {
			r.fail(c, err)
			return
		}
		r.accept(c, tx)
		return
	}
	h := refusal{call: c, err: err}
	cached := false
	for _, s := range tx.order {
		if !s.seen || !s.known {
			continue
		}
		h.seen = append(h.seen, s.rec)
		cached = cached || s.cached || s.shared
		if s.shared {
			h.parts = append(h.parts, s.cell.parts...)
		}
	}
	h.confirm = cached || len(h.seen) > 1
	r.held = append(r.held, h)
}

func (r *round) fail(c *call, err error) {
	if c.unknown != nil && !errors.Is(err, ErrUnknown) {
		err = &UnknownError{err}
	}
	r.answer(c, err)
}

// answer finishes a call, once it is known that what its function saw is so.
func (r *round) answer(c *call, err error) {
	if r.ahead == nil {
		r.finish(c, err)
		return
	}
	r.early = append(r.early, early{c, err})
}

// accept adds what a call wrote to the round, in the batch of the calls that
// it depends on, or that depend on it.
func (r *round) accept(c *call, tx *Tx) {
	keys, size := 0, len(tx.entries)
	var space [8]int
	joined := space[:0] // roots of the batches that become one
	for _, s := range tx.order {
		if s.cell == nil {
			s.cell = r.cell(s.rec.Key)
		}
		if cell := s.cell; cell.wrote || s.plan.op != opNone {
			for _, p := range cell.parts {
				if root := r.root(p); !slices.Contains(joined, root) {
					joined = append(joined, root)
				}
			}
		}
		keys++
	}
	for _, p := range joined {
		keys += r.parts[p].keys
		size += r.parts[p].size
	}
	if sh := r.elsewhere(c, tx); sh != nil {
		r.calls[c.at] = nil
		sh.join(c)
		return
	}
	if (keys > MaxKeys && len(joined) > 0) || r.undoes(tx) {
		r.again = append(r.again, c)
		return
	}
	id, from := len(r.parts), len(r.entries)
	r.entries = append(r.entries, tx.stamp()...)
	r.parts = append(r.parts, part{call: c, from: from, to: len(r.entries), parent: id, keys: keys, size: size})
	for _, p := range joined {
		r.parts[p].parent = id
	}
	for _, s := range tx.order {
		if !s.valid && s.plan.op == opNone && !s.shared {
			continue
		}
		cl := s.cell
		if !cl.used {
			cl.used, cl.blind = true, !s.known || s.guess
			cl.base, cl.now, cl.val = s.rec, s.rec, s.val
			r.order = append(r.order, cl)
		}
		cl.valid = cl.valid || s.valid
		if cl.wrote || s.plan.op != opNone {
			cl.parts = cl.parts[:0] // all of one batch, whose root this part is
		}
		cl.parts = append(cl.parts, id)
		if s.plan.op == opNone {
			continue
		}
		view, val := s.view()
		if view.Version > 0 {
			view.Version = cl.base.Version + 1 // per commit, not per update
		}
		cl.now, cl.val, cl.wrote = view, val, true
		cl.uses++
		if r.bytes += len(view.Data); view.Data == nil && val != nil {
			r.bytes += len(cl.base.Data) + valueBytes
		}
	}
	for i := range tx.entries {
		r.bytes += len(tx.entries[i].Data)
	}
}

// valueBytes is what a value that is not encoded yet counts for, above the Data
// that it replaces.
const valueBytes = 256

// undoes reports whether a call deletes what another created without having
// looked: the two must not cancel out before the creation was stored.
func (r *round) undoes(tx *Tx) bool {
	for _, s := range tx.order {
		if s.plan.op == opDelete && s.cell.used && s.cell.blind {
			return true
		}
	}
	return false
}

// root finds the part that stands for the batch of part p.
func (r *round) root(p int) int {
	for r.parts[p].parent != p {
		r.parts[p].parent = r.parts[r.parts[p].parent].parent
		p = r.parts[p].parent
	}
	return p
}
