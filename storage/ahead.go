package storage

import (
	"context"
	"runtime"
)

// A shard decides while it commits: while the commit of one round is under way,
// the functions of the next run on what that round will leave behind. This hides
// their time behind the store's.
//
// What holds:
//
//  1. At most one commit of a shard is under way. The round decided ahead of it is
//     sent only once every batch of that commit is known to be stored. So the
//     versions it expects are those of the very bytes that it was decided on: after
//     a lost race, a record held by others, an error or a lost answer it is dropped
//     instead, and its calls run again, as if never taken.
//  2. Nobody is answered before the commit of their own call, and no refusal before
//     what it rests on is confirmed: what a round ahead presumes counts as read from
//     memory.
//  3. A call decided ahead is not taken. Its caller may leave with surely nothing
//     done; if it wrote, the round it was in is then dropped too. Only sending takes.
//  4. A record read for one call counts as read in its run only for calls that were
//     there when it was read: others arrive while the round is open.
//
// Rounds that lock first have no round ahead: what they decide on they must hold.

// States of a call.
const (
	callTaken  = iota // by a round, for good; or answered
	callQueued        // in the queue of its home
	callAhead         // in a round that is not sent
	callLeft          // withdrawn from either by its caller
)

// claim takes a call for good. It returns false if the caller withdrew it.
func (c *call) claim() bool {
	return c.state.CompareAndSwap(callAhead, callTaken) || c.state.Load() != callLeft
}

// withdraw takes back a call that was not taken.
func (sh *shard) withdraw(c *call) bool {
	c.run.Lock() // its function does not run on
	defer c.run.Unlock()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if c.state.Load() == callQueued {
		for i := range sh.queue {
			if sh.queue[i] == c {
				sh.queue = append(sh.queue[:i], sh.queue[i+1:]...)
				c.state.Store(callLeft)
				return true
			}
		}
		return false
	}
	if c.state.CompareAndSwap(callAhead, callLeft) {
		c.gone = true
		return true
	}
	return false
}

// work serves a shard until its queue is empty.
func (sh *shard) work() {
	returned := false
	defer func() {
		if !returned { // a function ended this goroutine: the others run again in another
			sh.drop(sh.open)
			go func() {
				if sh.flying != nil { // it ends the next one for good
					<-sh.flying.done
					sh.land(nil)
				}
				sh.work()
			}()
		}
	}()
	sh.g.busy.Add(1)
	defer sh.g.busy.Add(-1)
	for {
		if sh.flying != nil && sh.g.crowded() {
			<-sh.flying.done
			sh.land(nil)
		}
		switch calls, end := sh.take(); {
		case end:
			returned = true
			return
		case calls != nil:
			sh.gather(calls)
		default:
			sh.listen()
		}
	}
}

// crowded reports whether shards keep all processors busy: then a round gathers
// more calls, and costs less, if it waits.
func (g *Grouped) crowded() bool {
	return 2*int(g.busy.Load()) > max(2, runtime.GOMAXPROCS(0))
}

// gather decides calls, and those who come while a commit is under way, in one
// round.
func (sh *shard) gather(calls []*call) {
	r := sh.newRound()
	sh.open = r
	if sh.lane && sh.locks > 0 {
		sh.locks--
		r.admit(calls)
		r.doLocked(sh.g.store.(Locker))
		sh.open = nil
		r.end()
		return
	}
	if sh.lane {
		sh.g.lanes.close(sh)
	}
	r.decide(calls)
	for r.ahead != nil && !sh.landed() {
		sh.early.Store(int64(len(r.calls)))
		calls = sh.more(MaxBatches - len(r.calls))
		switch {
		case calls != nil:
			r.decide(calls)
		case len(r.calls) < MaxBatches:
			sh.listen()
		default:
			<-r.ahead.done
		}
	}
	sh.open = nil
	if r.ahead != nil {
		sh.land(r)
		return
	}
	sh.launch(r)
}

// landed reports whether the commit under way, if any, is over.
func (sh *shard) landed() bool {
	select {
	case <-sh.flying.done:
		return true
	default:
		return false
	}
}

// listen waits for a call, or for the end of the commit under way, which it
// answers unless a round is open.
func (sh *shard) listen() {
	select {
	case <-sh.bell:
	case <-sh.flying.done:
		if sh.open == nil {
			sh.land(nil)
		}
	}
}

// launch sends a round, unless somebody withdrew what it wrote: then it drops it.
func (sh *shard) launch(r *round) {
	all := true
	for i := range r.parts {
		all = r.parts[i].call.claim() && all
	}
	if !all {
		sh.drop(r)
		return
	}
	sh.early.Store(0)
	r.ahead = nil
	for _, e := range r.early {
		r.answer(e.call, e.err)
	}
	sh.again(r.again)
	r.seen.reruns, r.again = int64(len(r.again)), nil
	r.done, sh.flying = make(chan struct{}), r
	r.batches()
	r.ctx, r.cancel = context.WithTimeout(context.Background(), sh.g.opts.CommitLimit)
	fit := r.set.fit()
	if len(fit) == 0 {
		close(r.done)
		return
	}
	go unbroken(func() error {
		r.outs, r.errs = r.send(fit)
		return nil
	}, func(err error) {
		if err != nil {
			r.outs, r.errs = outcomes(fit, nil, nil, err)
		}
		close(r.done)
	})
}

// land answers the calls of the commit that is over, and sends the round that was
// decided ahead of it, if there is one and it may be.
func (sh *shard) land(next *round) {
	r := sh.flying
	sh.flying = nil
	sent := false
	if next != nil && r.stood() && !r.asks() {
		sh.launch(next)
		sent = true
	}
	stood := r.stood()
	r.conclude(&r.set, r.outs, r.errs)
	r.settle()
	if next != nil && !sent {
		if stood {
			sh.launch(next)
		} else {
			sh.drop(next)
		}
	}
	r.end()
}

// stood reports whether all that a round sent is stored.
func (r *round) stood() bool {
	if len(r.set.unfit) > 0 {
		return false
	}
	for i := range r.outs {
		if r.errs[i] != nil || !r.outs[i].OK {
			return false
		}
	}
	return true
}

// asks reports whether settling a round that stood reads from the store: that
// comes before others change what it reads.
func (r *round) asks() bool {
	for i := range r.held {
		if h := &r.held[i]; h.confirm && !r.proves(h) {
			return true
		}
	}
	return false
}

// end closes a round that is answered.
func (r *round) end() {
	r.seen.reruns += int64(len(r.again))
	r.report()
	r.sh.again(r.again)
	if r.cancel != nil {
		r.cancel()
	}
	if !r.kept {
		r.sh.spareRound(r)
	}
}

// drop gives up a round before it was sent. All whom it did not answer, nor send
// elsewhere, run again.
func (sh *shard) drop(r *round) {
	sh.open = nil
	sh.early.Store(0)
	if r == nil {
		return
	}
	if r.cancel != nil {
		r.cancel()
	}
	var rest []*call
	for _, c := range r.calls {
		if c != nil {
			c.panics, c.panicked = false, nil
			rest = append(rest, c)
		}
	}
	sh.g.observe(MeasureRerun, int64(len(rest)), 0, nil)
	sh.again(rest)
}
