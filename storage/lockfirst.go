package storage

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Locker is a [Store] whose records a transaction can hold. Where several
// processes write the same record, a [Group] commits through CommitLocked for a
// while: each takes its turn, instead of losing races to the others.
type Locker interface {
	Store

	// CommitLocked holds the records of keys that exist, until it has committed
	// the batches that decide returns. decide runs at most once, on the caller's
	// goroutine; held are the records of keys, in order, and get, which may be
	// called on another goroutine while decide waits, is Get within the same
	// transaction. Outcomes and errors are those of Commit, and busy those of
	// [NoWaiter].
	//
	// If another transaction keeps one of keys for longer than a moment, decide
	// does not run, and all results are nil.
	CommitLocked(ctx context.Context, keys []Key, decide func(held []Record, get GetFunc) []Batch) (outs []Outcome, busy []bool, err error)
}

// GetFunc is the Get of a [Store].
type GetFunc func(ctx context.Context, keys []Key) ([]Record, error)

const (
	lockRounds = 16 // that lock first, after a record was written by others
	maxLanes   = 64
)

// lanes are the shards of records for which processes compete: their rounds
// lock first, then decide, and wait for nobody but those who hold that record.
type lanes struct {
	n  atomic.Int32
	mu sync.Mutex
	of map[Key]*shard
}

// find returns the lane of a key, nil if it has none.
func (l *lanes) find(k Key) *shard {
	if l.n.Load() == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[k]
}

// open returns the lane of a key, which it makes if it can.
func (l *lanes) open(g *Grouped, k Key) *shard {
	if _, ok := g.store.(Locker); !ok {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if sh := l.of[k]; sh != nil || len(l.of) >= maxLanes {
		return sh
	}
	if l.of == nil {
		l.of = make(map[Key]*shard)
	}
	sh := &shard{g: g, index: -1, lane: true, key: k, locks: lockRounds, bell: make(chan struct{}, 1)}
	l.of[k] = sh
	l.n.Store(int32(len(l.of)))
	return sh
}

// close makes a lane a shard like others, which runs dry.
func (l *lanes) close(sh *shard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[sh.key] == sh {
		delete(l.of, sh.key)
		l.n.Store(int32(len(l.of)))
	}
}

// laneOf returns the lane that what a run in no lane wrote belongs to.
func (sh *shard) laneOf(tx *Tx) *shard {
	if sh.g.lanes.n.Load() == 0 {
		return nil
	}
	for _, s := range tx.order {
		if s.plan.op != opNone {
			if l := sh.g.lanes.find(s.rec.Key); l != nil {
				return l
			}
		}
	}
	return nil
}

// join moves a call that another shard took.
func (sh *shard) join(c *call) {
	if !c.claim() {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.queue = append(sh.queue, c)
	sh.ring()
}

// contended returns the record that a batch fights for with others, as far as
// one can tell: the existing one that most of its calls wrote.
func (r *round) contended(root int) (Key, bool) {
	var best *cell
	for _, c := range r.order {
		if c.wrote && c.base.Version > 0 && r.root(c.parts[0]) == root && (best == nil || c.uses > best.uses) {
			best = c
		}
	}
	if best == nil {
		return Key{}, false
	}
	return best.base.Key, true
}

// divert has the calls of a batch that others got in the way of run in the lane
// of the record they fight for, from now on. Without one it returns nil.
func (r *round) divert(root int) *shard {
	if r.sh.lane {
		return nil
	}
	if k, ok := r.contended(root); ok {
		return r.sh.g.lanes.open(r.sh.g, k)
	}
	return nil
}

// doLocked is do, holding the lane's record from before the functions run.
func (r *round) doLocked(s Locker) {
	r.ctx, r.cancel = context.WithTimeout(context.Background(), r.sh.g.opts.CommitLimit)
	r.turn++
	// What others need not wait for comes first.
	err := r.fetch(slices.DeleteFunc(r.wanted(r.calls), func(k Key) bool { return k == r.sh.key }))
	decided, start := false, time.Now()
	set := &r.set
	var outs []Outcome
	var busy []bool
	decide := func(held []Record, get GetFunc) []Batch {
		decided = true
		r.sh.g.observe(MeasureLocked, int64(len(r.calls)), time.Since(start), nil)
		r.admit(r.sh.more(MaxBatches - len(r.calls)))
		r.turn++
		for _, rec := range held {
			c := r.cell(rec.Key)
			if c.known && c.base.Version != rec.Version {
				r.sh.locks = lockRounds // somebody else was here
			}
			if c.base.Version != rec.Version || !bytes.Equal(c.base.Data, rec.Data) {
				c.val = nil
			}
			c.base, c.now, c.known, c.read = rec, rec, true, r.turn
			r.sh.g.cache.set(&rec, c.hash, c.val, time.Now(), true, 0)
		}
		r.reader = get
		r.run(r.calls)
		r.reader = nil
		return r.batches().fit()
	}
	if err == nil {
		err = apart(func() (err error) {
			outs, busy, err = s.CommitLocked(r.ctx, []Key{r.sh.key}, decide)
			return err
		})
	}
	if r.exited {
		runtime.Goexit() // here, too: see shard.work
	}
	if !decided {
		r.sh.locks = 0
		for _, c := range r.calls {
			if err != nil {
				r.fail(c, fmt.Errorf("storage: group: %w", err))
				continue
			}
			c.alone = true
			r.finish(c, nil)
		}
		return
	}
	var fitOuts []Outcome
	var errs []error
	if fit := set.fit(); len(fit) > 0 {
		fitOuts, errs = outcomes(fit, outs, busy, err)
	}
	r.conclude(set, fitOuts, errs)
	r.settle()
}
