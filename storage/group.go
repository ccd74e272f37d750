package storage

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// GroupOptions change how [Group] works. The zero value is the default.
type GroupOptions struct {
	// Shards is how many groups form side by side; 0 is one per processor, and one
	// on a [Serial] store.
	// UpdateOptions.Near decides which one an update joins.
	Shards int
	// Queue is how many updates may wait or be under way; 0 is 8192. A further
	// one waits for its context.
	Queue int
	// FailFast makes a further one fail with [ErrOverloaded] instead.
	FailFast bool
	// CacheRecords and CacheBytes bound the records kept in memory; 0 is 65536
	// records and 64 MiB.
	CacheRecords int
	CacheBytes   int64
	// PeekAge is how old a record may be that [Tx.Peek] takes from memory,
	// having been changed by another process since; 0 is one second.
	PeekAge time.Duration
	// CommitLimit is how long a commit may take; 0 is ten seconds. It runs on a
	// context of its own: the end of one caller's does not end the others'.
	CommitLimit time.Duration
	// Observer is told what the group does; nil: nothing is measured.
	Observer Observer
}

// Group returns a store on which [Update] gathers concurrent updates: those
// that wait while a commit is under way run one after another on records in
// memory, as that commit will leave them, and are committed together. There is
// no timer, so that a lone update pays one round trip. What they may rely on does
// not change; versions advance per commit, not per update.
//
// A function that fails or panics loses only its own writes; the panic resumes
// in its caller. When a record is not in memory, reads in the function fail,
// and it runs again once the record was read: a function that reads many
// records asks for them together. A store that panics does so in every caller whose
// update the call was about; what it was to commit may be stored.
//
// Update inside Update on the same group would wait for itself: within 100 ms it
// panics. One on another group panics likewise if the same function runs there all
// that while, as the two cannot be told apart: work that needs it comes before or
// after the outer Update.
//
// An update whose context ends before it was taken returns ctx.Err(): surely
// nothing happened. Afterwards it returns an [UnknownError] at once, and the
// commit goes on.
//
// The other methods are those of s. Close before s.
func Group(s Store, o *GroupOptions) *Grouped {
	var opts GroupOptions
	if o != nil {
		opts = *o
	}
	if opts.Shards <= 0 {
		opts.Shards = runtime.GOMAXPROCS(0)
		if one, ok := s.(Serial); ok && one.Serial() {
			opts.Shards = 1
		}
	}
	if opts.Queue <= 0 {
		opts.Queue = 8192
	}
	if opts.CacheRecords <= 0 {
		opts.CacheRecords = 64 << 10
	}
	if opts.CacheBytes <= 0 {
		opts.CacheBytes = 64 << 20
	}
	if opts.PeekAge <= 0 {
		opts.PeekAge = time.Second
	}
	if opts.CommitLimit <= 0 {
		opts.CommitLimit = 10 * time.Second
	}
	g := &Grouped{
		store: s, opts: opts,
		slots:  make(chan struct{}, opts.Queue),
		cache:  newRecordCache(opts.CacheRecords, opts.CacheBytes),
		shards: make([]shard, opts.Shards),
	}
	g.mem, _ = s.(*Mem)
	for i := range g.shards {
		g.shards[i].g, g.shards[i].index = g, int32(i)
		g.shards[i].bell = make(chan struct{}, 1)
	}
	return g
}

// A Grouped is the store that [Group] returns.
type Grouped struct {
	store  Store
	opts   GroupOptions
	slots  chan struct{} // one token per update that waits or is under way
	cache  *recordCache
	shards []shard
	lanes  lanes
	mem    *Mem // store, if it is one: no call of it waits

	busy   atomic.Int32 // shards at work
	doubts atomic.Int32 // rounds that presume nothing

	ticks sync.Mutex
	tick  chan struct{} // see moment

	mu     sync.Mutex
	closed bool
	active sync.WaitGroup // updates that were let in
}

var _ Store = (*Grouped)(nil)

// Get implements [Store].
func (g *Grouped) Get(ctx context.Context, keys []Key) ([]Record, error) {
	return g.store.Get(ctx, keys)
}

// Commit implements [Store], past the groups.
func (g *Grouped) Commit(ctx context.Context, batches []Batch) ([]Outcome, error) {
	if err := g.enter(); err != nil {
		return nil, err
	}
	defer g.active.Done()
	defer func() {
		for i := range batches {
			for j := range batches[i].Writes {
				g.cache.forget(batches[i].Writes[j].Key)
			}
		}
	}()
	return g.store.Commit(ctx, batches)
}

// Entries implements [Store].
func (g *Grouped) Entries(ctx context.Context, stream Key, after uint64, limit int) ([]Entry, error) {
	return g.store.Entries(ctx, stream, after, limit)
}

// Streams implements [StreamReader].
func (g *Grouped) Streams(ctx context.Context, parts []StreamPart) ([][]Entry, error) {
	return Streams(ctx, g.store, parts)
}

// Due implements [Store].
func (g *Grouped) Due(ctx context.Context, kind string, until time.Time, limit int) ([]Key, error) {
	return g.store.Due(ctx, kind, until, limit)
}

// List implements [Store].
func (g *Grouped) List(ctx context.Context, tenant, kind, after string, limit int) ([]Record, error) {
	return g.store.List(ctx, tenant, kind, after, limit)
}

// Close waits for the updates under way and refuses later ones with
// [ErrClosed]. It does not close the store underneath.
func (g *Grouped) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.active.Wait()
	return nil
}

func (g *Grouped) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return fmt.Errorf("%w: group", ErrClosed)
	}
	g.active.Add(1)
	return nil
}

// A call is one Update on a group. It is the worker's until it sends on done, and
// then its caller's, who has it serve others.
type call struct {
	done  chan struct{} // has room for the answer: nobody waits for a caller who left
	run   sync.Mutex    // held while fn runs, so that fn and its caller never run at once
	state atomic.Int32  // callTaken or another
	task
}

// task is what a call is about.
type task struct {
	fn       func(*Tx) error
	since    time.Time // of its coming, for the Observer
	attempts int
	gone     bool   // guarded by run: the caller left
	home     *shard // where it was queued first; it may move to a lane

	at       int   // in round.calls, while it is there
	want     []Key // to have in memory before fn runs
	make     []Key // to presume absent unless they are in memory
	strayed  bool  // moved to the shard of what it writes
	tries    int
	misses   int
	unknowns int
	unknown  error
	lost     []Batch // sent, with their answers lost
	err      error
	panicked any
	panics   bool
	exits    bool // fn ended its goroutine, as testing's FailNow does
	alone    bool // fn reads too much, bit by bit, or waits for others: it would hold up the group
}

var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

// leave gives up waiting, unless the answer is there. What is done with the
// call after that is no answer: fn may not have run at all.
func (c *call) leave() bool {
	c.run.Lock()
	defer c.run.Unlock()
	select {
	case <-c.done:
		return false
	default:
		c.gone = true
		return true
	}
}

// answer gives the caller of a finished call what fn did.
func (g *Grouped) answer(ctx context.Context, c *call) error {
	switch {
	case c.alone:
		return g.alone(ctx, c)
	case c.panics:
		panic(c.panicked)
	case c.exits:
		runtime.Goexit()
	}
	err := c.err
	if b, ok := errors.AsType[*brokenStore](err); ok {
		b.resume()
	}
	clear(c.want)
	clear(c.make)
	c.task = task{want: c.want[:0], make: c.make[:0]}
	calls.Put(c)
	return err
}

// alone runs a call that the group cannot, as if there were none.
func (g *Grouped) alone(ctx context.Context, c *call) error {
	u := updater{ctx: ctx, store: past{g}, attempts: c.attempts, lost: c.lost, unknown: c.unknown}
	return u.run(c.fn)
}

const (
	nestedAfter = 100 * time.Millisecond
	maxMisses   = 8 // runs of one function that lack a record, before it runs alone
)

func (g *Grouped) update(ctx context.Context, o *UpdateOptions, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var near, create []Key
	attempts := defaultAttempts
	if o != nil {
		if err := CheckKeys(o.Near...); err != nil {
			return err
		}
		if err := CheckKeys(o.Create...); err != nil {
			return err
		}
		near, create = o.Near, o.Create
		if o.Attempts > 0 {
			attempts = o.Attempts
		}
	}
	select {
	case g.slots <- struct{}{}:
	default:
		if g.opts.FailFast {
			return fmt.Errorf("%w: %d updates wait", ErrOverloaded, g.opts.Queue)
		}
		select {
		case g.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-g.slots }()
	if err := g.enter(); err != nil {
		return err
	}
	if g.mem != nil {
		return g.lead(ctx, g.shardOf(near), attempts, fn)
	}
	sh := g.shardOf(near)
	c := calls.Get().(*call)
	c.since, c.fn, c.attempts, c.home = g.clock(), fn, attempts, sh
	c.want, c.make = append(c.want, near...), append(c.make, create...) // which are the caller's, who may leave
	running := sh.enqueue(c)
	var nested <-chan struct{}
	if running != nil {
		nested = g.moment()
	}
	for {
		select {
		case <-c.done:
			return g.answer(ctx, c)
		case <-ctx.Done():
			if sh.withdraw(c) {
				g.active.Done()
				return ctx.Err()
			}
			if c.leave() {
				return &UnknownError{ctx.Err()}
			}
			return g.answer(ctx, c)
		case <-nested:
			nested = nil
			if sh.running.Load() == running && insideUpdate(0) && sh.withdraw(c) {
				g.active.Done()
				panic("storage: Update inside Update on the same group")
			}
		}
	}
}

// past is a group without its groups: for updates that run alone.
type past struct{ *Grouped }

// insideUpdate reports whether a function that a group runs is on the stack,
// beneath own calls of lead.
func insideUpdate(own int) bool {
	var pcs [256]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "storage.(*round).invoke") || strings.HasSuffix(f.Function, "storage.(*shard).runFor") {
			return true
		}
		if strings.HasSuffix(f.Function, "storage.(*Grouped).lead") {
			if own--; own < 0 {
				return true
			}
		}
		if !more {
			return false
		}
	}
}

// doubtRounds is how many rounds look before they leap, once a key that a call
// meant to create was there.
const doubtRounds = 64

// trusts reports whether the next round may presume that keys are absent which
// calls mean to create: that saves a read, but a batch with one that is there
// has to run again.
func (g *Grouped) trusts() bool {
	n := g.doubts.Load()
	if n > 0 {
		g.doubts.CompareAndSwap(n, n-1)
	}
	return n == 0
}

// A shard is a queue and, while it is not empty, the goroutine that serves it.
type shard struct {
	g       *Grouped
	index   int32
	running atomic.Pointer[call] // whose function runs right now

	turn    sync.Mutex   // over a Mem: held while an update runs; see lead
	led     atomic.Int64 // updates that had their turn
	waiting atomic.Int64 // for it
	line    []*follower  // that wait for the server
	serving bool         // there is one, or will be

	lane  bool // of key: rounds lock it first
	key   Key
	locks int // the worker's: how many rounds still do

	flying *round   // the worker's: whose commit is under way
	open   *round   // the worker's: being decided
	spare  []*round // the worker's: whose memory serves others
	taken  []*call  // the worker's
	bell   chan struct{}
	early  atomic.Int64 // calls in open that are not taken

	mu      sync.Mutex
	queue   []*call
	working bool
	listens bool // the worker found the queue empty, and waits for the bell
}

// ring has the queue served. The caller holds mu.
func (sh *shard) ring() {
	if !sh.working {
		sh.working = true
		go sh.work() // until the queue is empty
	} else if sh.listens {
		sh.listens = false
		select {
		case sh.bell <- struct{}{}:
		default:
		}
	}
}

// shardOf is where a record was created by this group, which is where that of its
// account is updated: else what settles a hold would race what makes others.
// Records that it does not know are spread.
func (g *Grouped) shardOf(near []Key) *shard {
	if len(near) > 0 {
		if l := g.lanes.find(near[0]); l != nil {
			return l
		}
	}
	if len(near) == 0 || len(g.shards) == 1 {
		return &g.shards[0]
	}
	hash := hashKey(near[0])
	if g.mem != nil {
		if n := g.mem.shard(near[0]); n > 0 {
			return &g.shards[int(n-1)%len(g.shards)]
		}
	} else if n := g.cache.shardOf(near[0], hash); n > 0 {
		return &g.shards[n-1]
	}
	return &g.shards[hash%uint64(len(g.shards))]
}

// enqueue returns the call whose function runs at the moment: only from
// within it can this be an Update inside Update.
func (sh *shard) enqueue(c *call) (running *call) {
	running = sh.running.Load()
	c.state.Store(callQueued)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.queue = append(sh.queue, c)
	sh.ring()
	return running
}

// take removes up to MaxBatches calls from the queue; they are listed until it is
// called again. Without any, and without a commit under way, the worker must end.
func (sh *shard) take() (calls []*call, end bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	calls = sh.takeLocked(MaxBatches)
	if end = calls == nil && sh.flying == nil; end {
		sh.working, sh.listens, sh.queue = false, false, nil
	}
	return calls, end
}

// more removes up to n calls that arrived since.
func (sh *shard) more(n int) []*call {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.takeLocked(n)
}

func (sh *shard) takeLocked(limit int) []*call {
	n := min(len(sh.queue), limit)
	sh.listens = len(sh.queue) == 0
	if n <= 0 {
		return nil
	}
	calls := append(sh.taken[:0], sh.queue[:n]...)
	sh.taken = calls
	rest := copy(sh.queue, sh.queue[n:])
	clear(sh.queue[rest:])
	sh.queue = sh.queue[:rest]
	state := int32(callTaken)
	if sh.flying != nil {
		state = callAhead
	}
	for _, c := range calls {
		if c.home == sh && c.unknown == nil {
			c.state.Store(state)
		}
	}
	return calls
}

// again puts calls back before all others.
func (sh *shard) again(calls []*call) {
	if len(calls) == 0 {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	queue := make([]*call, 0, len(calls)+len(sh.queue))
	for _, c := range calls {
		if !c.claim() {
			continue
		}
		if c.home == sh && c.unknown == nil {
			c.state.Store(callQueued)
		}
		queue = append(queue, c)
	}
	sh.queue = append(queue, sh.queue...)
}

// finish hands over the answer.
func (sh *shard) finish(c *call, err error) {
	if !c.claim() {
		return // who left needs none
	}
	c.err = err
	c.done <- struct{}{}
	sh.g.active.Done()
}
