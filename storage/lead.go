package storage

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Mem does not wait, so there is nothing to gather while it does: updates run one
// after another within their shard, that two of one account do not run at once,
// and one of them in vain. Who finds nobody there runs its own; who has to wait is
// run by the shard's server, together with all others that wait. Passing the turn
// from caller to caller would cost more than most updates do.

// lead runs an update in its shard. It need not be left once it began, when its
// context ends.
func (g *Grouped) lead(ctx context.Context, sh *shard, attempts int, fn func(*Tx) error) error {
	defer g.active.Done()
	if !sh.turn.TryLock() {
		return sh.follow(ctx, attempts, fn)
	}
	defer sh.turn.Unlock() // also after a panic, or the end of the goroutine
	return sh.runOne(ctx, attempts, fn)
}

// runOne runs an update, whose turn it is.
func (sh *shard) runOne(ctx context.Context, attempts int, fn func(*Tx) error) error {
	sh.led.Add(1)
	u := updater{ctx: ctx, store: sh.g.mem, shard: sh.index + 1, attempts: attempts}
	if sh.g.opts.Observer != nil {
		start := time.Now()
		defer func() { sh.g.observe(MeasureRound, 1, time.Since(start), nil) }()
	}
	return u.run(fn)
}

// A follower is an update that waits for the server of its shard.
type follower struct {
	ctx      context.Context // of one update
	attempts int
	fn       func(*Tx) error
	since    time.Time    // for the Observer
	state    atomic.Int32 // following, then taken or left
	done     chan struct{}

	// What follows is the server's until it sends on done.
	err      error
	panicked any
	panics   bool
	exits    bool // fn ended its goroutine, as testing's FailNow does
}

const (
	following = iota
	taken
	left
)

var followers = sync.Pool{New: func() any { return &follower{done: make(chan struct{}, 1)} }}

// follow has the server of the shard run an update.
func (sh *shard) follow(ctx context.Context, attempts int, fn func(*Tx) error) error {
	f := followers.Get().(*follower)
	f.ctx, f.attempts, f.fn, f.since = ctx, attempts, fn, sh.g.clock()
	led, moment := sh.led.Load(), sh.g.moment()
	sh.waiting.Add(1)
	sh.mu.Lock()
	sh.line = append(sh.line, f)
	if !sh.serving {
		sh.serving = true
		go sh.serve()
	}
	sh.mu.Unlock()
	for {
		select {
		case <-f.done:
			return sh.g.followed(f)
		case <-ctx.Done():
			if sh.leave(f) {
				return ctx.Err()
			}
			<-f.done
			return sh.g.followed(f)
		case <-moment:
			moment = nil
			if sh.led.Load() == led && insideUpdate(1) && sh.leave(f) {
				panic("storage: Update inside Update on the same group")
			}
		}
	}
}

// leave takes a follower out that was not taken yet.
func (sh *shard) leave(f *follower) bool {
	if !f.state.CompareAndSwap(following, left) {
		return false
	}
	sh.waiting.Add(-1)
	return true
}

// followed gives the caller what its function did.
func (g *Grouped) followed(f *follower) error {
	switch {
	case f.panics:
		panic(f.panicked)
	case f.exits:
		runtime.Goexit()
	}
	err := f.err
	f.ctx, f.fn, f.err = nil, nil, nil
	f.state.Store(following)
	followers.Put(f)
	return err
}

// serve runs the updates that wait, until none does.
func (sh *shard) serve() {
	sh.turn.Lock()
	var batch []*follower
	var now *follower
	next := 0 // in batch
	defer func() {
		sh.turn.Unlock()
		if now == nil {
			return
		}
		// Its function ended this goroutine: the others need another.
		sh.mu.Lock()
		sh.line = slices.Concat(batch[next:], sh.line)
		sh.mu.Unlock()
		now.done <- struct{}{}
		go sh.serve()
	}()
	for {
		if batch = sh.followers(batch); batch == nil {
			return
		}
		for next = 0; next < len(batch); {
			f := batch[next]
			batch[next] = nil
			next++
			if !f.state.CompareAndSwap(following, taken) {
				continue // it left
			}
			sh.waiting.Add(-1)
			now = f
			sh.runFor(f)
			now = nil
			f.done <- struct{}{}
		}
	}
}

// followers takes all that wait, and leaves used in their place. Without any the
// server must end.
func (sh *shard) followers(used []*follower) []*follower {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.line) == 0 {
		sh.serving, sh.line = false, nil
		return nil
	}
	batch := sh.line
	sh.line = used[:0]
	return batch
}

// runFor runs the function of a follower on the server's goroutine.
func (sh *shard) runFor(f *follower) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if f.panicked = recover(); f.panicked != nil {
			f.panics = true
			return
		}
		f.exits = true
	}()
	if !f.since.IsZero() {
		sh.g.observe(MeasureWait, 1, time.Since(f.since), nil)
	}
	f.err = sh.runOne(f.ctx, f.attempts, f.fn)
	returned = true
}

// moment returns a channel that is closed when nestedAfter has passed, or sooner:
// one timer serves all that wait.
func (g *Grouped) moment() <-chan struct{} {
	g.ticks.Lock()
	defer g.ticks.Unlock()
	if g.tick == nil {
		tick := make(chan struct{})
		g.tick = tick
		time.AfterFunc(nestedAfter, func() {
			g.ticks.Lock()
			g.tick = nil
			g.ticks.Unlock()
			close(tick)
		})
	}
	return g.tick
}
