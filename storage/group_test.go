package storage_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

func TestGroupIsAStore(t *testing.T) {
	storagetest.TestStore(t, func(t *testing.T) storage.Store {
		g := storage.Group(new(storage.Mem), nil)
		t.Cleanup(func() { assert.NoError(t, g.Close()) })
		return g
	})
}

// gate is a store whose Commits wait to be let through, one by one.
type gate struct {
	storage.Store
	entered chan []storage.Batch
	let     chan error
}

func newGate(s storage.Store) *gate {
	return &gate{s, make(chan []storage.Batch), make(chan error)}
}

func (g *gate) Commit(ctx context.Context, b []storage.Batch) ([]storage.Outcome, error) {
	select {
	case g.entered <- b:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := <-g.let; err != nil {
		return nil, err
	}
	return g.Store.Commit(ctx, b)
}

// increment adds one to a counter record.
func increment(ctx context.Context, s storage.Store, k storage.Key) error {
	return storage.Update(ctx, s, func(tx *storage.Tx) error {
		recs, err := tx.Get(k)
		if err != nil {
			return err
		}
		n := 0
		fmt.Sscan(string(recs[0].Data), &n)
		if _, err := tx.Append(k, []byte(fmt.Sprint(n))); err != nil {
			return err
		}
		return tx.Put(k, []byte(fmt.Sprint(n+1)), time.Time{})
	})
}

func oneShard() *storage.GroupOptions { return &storage.GroupOptions{Shards: 1} }

func TestGroupCommitsWhatWaitsTogether(t *testing.T) {
	const callers = 50
	mem := new(storage.Mem)
	s := newGate(mem)
	g := storage.Group(s, oneShard())
	errs := make(chan error, callers+1)
	go func() { errs <- increment(t.Context(), g, key("hot")) }()
	first := <-s.entered
	assert.Len(t, first, 1, "a lone update waits for nobody")
	for range callers {
		go func() { errs <- increment(t.Context(), g, key("hot")) }()
	}
	for storage.Ahead(g) < callers {
		runtime.Gosched()
	}
	s.let <- nil
	second := <-s.entered
	require.Len(t, second, 1, "updates of one key are one batch")
	assert.Len(t, second[0].Writes, 1)
	assert.Len(t, second[0].Entries, callers)
	s.let <- nil
	for range callers + 1 {
		require.NoError(t, <-errs)
	}
	r := get(t, mem, key("hot"))
	assert.Equal(t, storage.Record{Key: key("hot"), Version: 2, Seq: callers + 1, Data: []byte(fmt.Sprint(callers + 1))}, r)
	require.NoError(t, g.Close())
}

func TestGroupKeepsStrangersApart(t *testing.T) {
	mem := new(storage.Mem)
	put(t, mem, key("shared"), "x")
	put(t, mem, key("b"), "stale")
	s := newGate(mem)
	g := storage.Group(s, oneShard())
	errs := make(chan error, 4)
	go func() { errs <- increment(t.Context(), g, key("first")) }()
	<-s.entered
	var seen sync.Map
	for _, id := range []string{"a", "b", "c"} {
		go func() {
			errs <- storage.Update(t.Context(), g, func(tx *storage.Tx) error {
				if _, err := tx.Get(key("shared")); err != nil { // read by all, written by none
					return err
				}
				if _, err := tx.Get(key(id)); err != nil {
					return err
				}
				n, _ := seen.LoadOrStore(id, new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
				return tx.Put(key(id), []byte("new"), time.Time{})
			})
		}()
	}
	for storage.Ahead(g) < 3 {
		runtime.Gosched()
	}
	s.let <- nil
	assert.Len(t, <-s.entered, 3, "updates of different keys are batches of their own")
	put(t, mem, key("b"), "other process")
	s.let <- nil
	again := <-s.entered
	require.Len(t, again, 1, "only the loser runs again")
	s.let <- nil
	for range 4 {
		require.NoError(t, <-errs)
	}
	assert.Equal(t, uint64(1), get(t, mem, key("a")).Version)
	assert.Equal(t, uint64(3), get(t, mem, key("b")).Version)
}

func TestGroupCancellation(t *testing.T) {
	mem := new(storage.Mem)
	s := newGate(mem)
	g := storage.Group(s, oneShard())
	taken, cancelTaken := context.WithCancel(t.Context())
	waiting, cancelWaiting := context.WithCancel(t.Context())
	takenErr, waitingErr := make(chan error, 1), make(chan error, 1)
	go func() { takenErr <- increment(taken, g, key("a")) }()
	<-s.entered
	go func() { waitingErr <- increment(waiting, g, key("b")) }()
	for storage.Waiting(g) < 1 {
		runtime.Gosched()
	}
	cancelWaiting()
	err := <-waitingErr
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, storage.ErrUnknown, "nothing happened, surely")
	cancelTaken()
	err = <-takenErr // at once, though the commit is under way
	require.ErrorIs(t, err, storage.ErrUnknown)
	require.ErrorIs(t, err, context.Canceled)
	s.let <- nil
	require.NoError(t, g.Close())
	assert.Equal(t, uint64(1), get(t, mem, key("a")).Version, "the commit goes on")
	assert.Zero(t, get(t, mem, key("b")).Version)
	require.ErrorIs(t, increment(t.Context(), g, key("a")), storage.ErrClosed)
	_, err = g.Commit(t.Context(), nil)
	require.ErrorIs(t, err, storage.ErrClosed)
}

func TestGroupQueueIsBounded(t *testing.T) {
	s := newGate(new(storage.Mem))
	fast := storage.Group(s, &storage.GroupOptions{Shards: 1, Queue: 1, FailFast: true})
	slow := storage.Group(s, &storage.GroupOptions{Shards: 1, Queue: 1})
	for _, g := range []*storage.Grouped{fast, slow} {
		done := make(chan error, 1)
		go func() { done <- increment(t.Context(), g, key("a")) }()
		<-s.entered
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		err := increment(ctx, g, key("a"))
		if g == fast {
			require.ErrorIs(t, err, storage.ErrOverloaded)
		} else {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		s.let <- nil
		require.NoError(t, <-done)
	}
}

func TestGroupPanicsResumeInTheirCaller(t *testing.T) {
	mem := new(storage.Mem)
	s := newGate(mem)
	g := storage.Group(s, oneShard())
	errs := make(chan error, 2)
	go func() { errs <- increment(t.Context(), g, key("first")) }()
	<-s.entered
	panicked, exited := make(chan any, 1), make(chan struct{})
	go func() {
		defer func() { panicked <- recover() }()
		_ = storage.Update(t.Context(), g, func(tx *storage.Tx) error {
			_ = tx.Create(key("bad"), nil, time.Time{})
			panic("boom")
		})
	}()
	go func() {
		defer close(exited)
		_ = storage.Update(t.Context(), g, func(tx *storage.Tx) error {
			_ = tx.Create(key("bad"), nil, time.Time{})
			runtime.Goexit() // as require does
			return nil
		})
		t.Error("the goroutine went on")
	}()
	go func() { errs <- increment(t.Context(), g, key("good")) }()
	for storage.Waiting(g) < 3 {
		runtime.Gosched()
	}
	s.let <- nil
	<-s.entered
	s.let <- nil
	assert.Equal(t, "boom", <-panicked)
	<-exited
	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
	assert.Zero(t, get(t, mem, key("bad")).Version)
	assert.Equal(t, uint64(1), get(t, mem, key("good")).Version)
	require.NoError(t, g.Close())
}

func TestGroupUpdateInsideUpdatePanics(t *testing.T) {
	mem := new(storage.Mem)
	g := storage.Group(mem, oneShard())
	assert.Panics(t, func() {
		_ = storage.Update(t.Context(), g, func(*storage.Tx) error {
			return increment(t.Context(), g, key("inner"))
		})
	})
	// View, the store underneath and another group are no trouble.
	other := storage.Group(mem, nil)
	require.NoError(t, storage.Update(t.Context(), g, func(*storage.Tx) error {
		return errors.Join(
			storage.View(t.Context(), g, func(tx *storage.Tx) error { _, err := tx.Get(key("x")); return err }),
			increment(t.Context(), mem, key("y")),
			increment(t.Context(), other, key("z")))
	}))
	require.NoError(t, g.Close())
	assert.Zero(t, get(t, mem, key("inner")).Version)
}

func TestGroupReadsBitByBit(t *testing.T) {
	mem := new(storage.Mem)
	const n = 40
	for i := range n {
		put(t, mem, key(fmt.Sprint(i)), fmt.Sprint(i+1))
	}
	g := storage.Group(mem, nil)
	require.NoError(t, storage.Update(t.Context(), g, func(tx *storage.Tx) error {
		next := "0"
		for range n {
			recs, err := tx.Get(key(next))
			if err != nil {
				return err
			}
			next = string(recs[0].Data)
		}
		return tx.Put(key("sum"), []byte(next), time.Time{})
	}))
	assert.Equal(t, fmt.Sprint(n), string(get(t, mem, key("sum")).Data))
}

func TestGroupCreatesAndDeletesInOneRound(t *testing.T) {
	for _, exists := range []bool{false, true} {
		t.Run(fmt.Sprint("exists ", exists), func(t *testing.T) {
			mem := new(storage.Mem)
			if exists {
				put(t, mem, key("a"), "there")
			}
			s := newGate(mem)
			g := storage.Group(s, oneShard())
			errs := make(chan error, 3)
			go func() { errs <- increment(t.Context(), g, key("first")) }()
			<-s.entered
			created := make(chan error, 1)
			go func() {
				created <- storage.Update(t.Context(), g, func(tx *storage.Tx) error { return tx.Create(key("a"), nil, time.Time{}) })
			}()
			for storage.Waiting(g) < 1 {
				runtime.Gosched()
			}
			go func() {
				errs <- storage.Update(t.Context(), g, func(tx *storage.Tx) error { return tx.Delete(key("a")) })
			}()
			for storage.Waiting(g) < 2 {
				runtime.Gosched()
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for s.let <- nil; ; s.let <- nil {
					select {
					case <-s.entered:
					case <-t.Context().Done():
						return
					}
				}
			}()
			require.NoError(t, <-errs)
			require.NoError(t, <-errs)
			err := <-created
			require.NoError(t, g.Close())
			switch r := get(t, mem, key("a")); {
			case !exists:
				require.NoError(t, err)
				assert.Zero(t, r.Version)
			case err != nil: // created, then deleted
				require.ErrorIs(t, err, storage.ErrExists)
				assert.Zero(t, r.Version)
			default: // deleted, then created
				assert.Equal(t, storage.Record{Key: key("a"), Version: 2}, storage.Record{Key: r.Key, Version: r.Version, Data: nil})
				assert.Empty(t, r.Data)
			}
		})
	}
}

func TestGroupEveryWriteFails(t *testing.T) {
	for name, with := range map[string]func(storage.Store, int) *storagetest.Faulty{
		"before": storagetest.FailBefore, "after": storagetest.FailAfter, "half": storagetest.FailHalf,
	} {
		for n := 1; n <= 3; n++ {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				mem := new(storage.Mem)
				s := with(mem, n)
				g := storage.Group(s, oneShard())
				err := scenario(t.Context(), g)
				assert.True(t, s.Fired())
				if name == "before" {
					require.ErrorIs(t, err, storagetest.ErrInjected)
					err = scenario(t.Context(), g)
				}
				require.NoError(t, err)
				require.NoError(t, scenario(t.Context(), mem))
				assert.JSONEq(t, `{"v":1,"d":{"units":1}}`, string(get(t, mem, accounts.Key("acme", "li")).Data))
			})
		}
	}
}

// Two processes, each with its group, on a store that does what it may.
func TestGroupChaos(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			const workers, calls = 8, 10
			mem := new(storage.Mem)
			_, err := scenarioAccount(t.Context(), mem, workers*calls)
			require.NoError(t, err)
			chaos := storagetest.Chaos(mem, seed)
			groups := []*storage.Grouped{storage.Group(chaos, nil), storage.Group(chaos, nil)}
			errs := make([]error, workers)
			answers := make([][]int, workers)
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := range calls {
						var left int
						var err error
						for range 500 {
							left, err = take(t.Context(), groups[w%2], fmt.Sprint(w, "-", i), "li", 1)
							if err == nil || !retryable(err) {
								break
							}
						}
						if err != nil {
							errs[w] = err
							return
						}
						answers[w] = append(answers[w], left)
					}
				})
			}
			wg.Wait()
			require.NoError(t, errors.Join(errs...))
			require.NoError(t, errors.Join(groups[0].Close(), groups[1].Close(), chaos.Settle(t.Context())))
			assert.JSONEq(t, `{"v":1,"d":{"units":0}}`, string(get(t, mem, accounts.Key("acme", "li")).Data))
			seen := make(map[int]bool)
			for w := range workers {
				for i, left := range answers[w] {
					assert.False(t, seen[left], "two takes answered %d", left)
					seen[left] = true
					again, err := take(t.Context(), mem, fmt.Sprint(w, "-", i), "li", 1)
					require.NoError(t, err)
					assert.Equal(t, left, again)
				}
			}
		})
	}
}

// refusing is a store that finds batches with a key malformed.
type refusing struct {
	storage.Store
	key storage.Key
}

func (r refusing) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	for _, b := range batches {
		for _, w := range b.Writes {
			if w.Key == r.key {
				return nil, storage.ErrTooLarge
			}
		}
	}
	return r.Store.Commit(ctx, batches)
}

func TestGroupOneMistakeIsNotTheOthers(t *testing.T) {
	mem := new(storage.Mem)
	s := newGate(refusing{mem, key("bad")})
	g := storage.Group(s, oneShard())
	errs := make(map[string]chan error)
	start := func(id string) {
		done := make(chan error, 1)
		errs[id] = done
		go func() { done <- increment(t.Context(), g, key(id)) }()
	}
	start("first")
	<-s.entered
	start("bad")
	start("good")
	for storage.Ahead(g) < 2 {
		runtime.Gosched()
	}
	go func() {
		for range 3 { // together, and then each alone
			<-s.entered
			s.let <- nil
		}
	}()
	s.let <- nil
	require.NoError(t, <-errs["first"])
	require.NoError(t, <-errs["good"])
	require.ErrorIs(t, <-errs["bad"], storage.ErrTooLarge)
}

func TestGroupCutsLargeRounds(t *testing.T) {
	mem := new(storage.Mem)
	s := newGate(mem)
	g := storage.Group(s, oneShard())
	const callers, each = 5, 400 // 2000 keys that hang together by one
	errs := make(chan error, callers+1)
	go func() { errs <- increment(t.Context(), g, key("first")) }()
	<-s.entered
	for c := range callers {
		go func() {
			errs <- storage.Update(t.Context(), g, func(tx *storage.Tx) error {
				for i := range each {
					if err := tx.Create(key(fmt.Sprint(c, " ", i)), make([]byte, 1<<14), time.Time{}); err != nil {
						return err
					}
				}
				return tx.Put(key("shared"), nil, time.Time{})
			})
		}()
	}
	for storage.Waiting(g) < callers {
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for s.let <- nil; ; s.let <- nil {
			select {
			case <-s.entered:
			case <-ctx.Done():
				return
			}
		}
	}()
	for range callers + 1 {
		require.NoError(t, <-errs)
	}
	cancel()
	assert.Equal(t, uint64(3), get(t, mem, key("shared")).Version, "400 keys twice fit into one batch, not thrice")
}

func TestGroupErrorsOfTheStore(t *testing.T) {
	for _, want := range []error{storage.ErrRetryTx, storage.ErrClosed, storage.ErrCorrupt} {
		g := storage.Group(failing{new(storage.Mem), want}, nil)
		require.ErrorIs(t, increment(t.Context(), g, key("a")), want)
	}
	dead := storagetest.CrashBefore(new(storage.Mem), 1)
	_, _ = dead.Commit(t.Context(), nil)
	require.ErrorIs(t, increment(t.Context(), storage.Group(dead, nil), key("a")), storagetest.ErrInjected)
	lost := storage.Group(lostAnswers{new(storage.Mem)}, nil)
	require.ErrorIs(t, increment(t.Context(), lost, key("a")), storage.ErrUnknown)
	mem := new(storage.Mem)
	busy := storage.Group(&meddle{Store: mem, before: func(n int) { put(t, mem, key("a"), fmt.Sprint(n)) }}, nil)
	err := storage.UpdateWith(t.Context(), busy, &storage.UpdateOptions{Attempts: 5, Near: []storage.Key{key("a")}}, func(tx *storage.Tx) error {
		return tx.Put(key("a"), nil, time.Time{})
	})
	require.ErrorIs(t, err, storage.ErrContended)
}

// A function never runs after its caller left.
func TestGroupRunsNothingForThoseWhoLeft(t *testing.T) {
	mem := new(storage.Mem)
	s := newGate(mem)
	g := storage.Group(s, oneShard())
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0 // no lock: the race detector would object to a run after the return
	done := make(chan error, 1)
	go func() {
		done <- storage.Update(ctx, g, func(tx *storage.Tx) error {
			runs++
			return tx.Put(key("a"), nil, time.Time{})
		})
	}()
	<-s.entered
	put(t, mem, key("a"), "another process")
	cancel()
	require.ErrorIs(t, <-done, storage.ErrUnknown)
	before := runs
	s.let <- nil // the commit loses its race
	require.NoError(t, g.Close())
	assert.Equal(t, before, runs)
}

// leaver is a store that ends its caller's context while it answers: with a
// batch that somebody holds, or with an answer that is lost.
type leaver struct {
	*storage.Mem
	cancel atomic.Value // context.CancelFunc
	busy   bool
}

func (l *leaver) CommitNoWait(_ context.Context, batches []storage.Batch) ([]storage.Outcome, []bool, error) {
	l.cancel.Load().(context.CancelFunc)()
	if l.busy {
		return make([]storage.Outcome, len(batches)), []bool{true}, nil
	}
	return nil, nil, storage.ErrUnknown
}

// Whoever leaves at the very moment in which the group is done with the call
// never takes that for success.
func TestGroupLeavingIsNoSuccess(t *testing.T) {
	for name, busy := range map[string]bool{"busy": true, "lost": false} {
		t.Run(name, func(t *testing.T) {
			l := &leaver{Mem: new(storage.Mem), busy: busy}
			g := storage.Group(l, &storage.GroupOptions{Shards: 1})
			for range 5000 {
				ctx, cancel := context.WithCancel(t.Context())
				l.cancel.Store(cancel)
				err := storage.Update(ctx, g, func(tx *storage.Tx) error {
					return tx.Create(key("k"), nil, time.Time{})
				})
				cancel()
				require.Error(t, err)
			}
			require.NoError(t, g.Close())
		})
	}
}

func TestGroupCommitsAreBounded(t *testing.T) {
	s := newGate(new(storage.Mem))
	g := storage.Group(s, oneShard())
	const callers = 40 // of 1 MiB each
	errs := make(chan error, callers+1)
	go func() { errs <- increment(t.Context(), g, key("first")) }()
	<-s.entered
	for c := range callers {
		go func() {
			errs <- storage.Update(t.Context(), g, func(tx *storage.Tx) error {
				return tx.Create(key(fmt.Sprint(c)), make([]byte, storage.MaxData), time.Time{})
			})
		}()
	}
	for storage.Waiting(g) < callers {
		runtime.Gosched()
	}
	total := 0
	for total < callers {
		s.let <- nil
		n := len(<-s.entered)
		assert.LessOrEqual(t, n, 17)
		total += n
	}
	s.let <- nil
	for range callers + 1 {
		require.NoError(t, <-errs)
	}
}

// loser stores one commit late: it answers that it does not know, and keeps what it
// was given.
type loser struct {
	storage.Store
	lose  atomic.Bool
	given []storage.Batch
	was   string
}

func (s *loser) Commit(ctx context.Context, b []storage.Batch) ([]storage.Outcome, error) {
	if s.lose.CompareAndSwap(true, false) {
		s.given, s.was = b, fmt.Sprint(b)
		return nil, storage.ErrUnknown
	}
	return s.Store.Commit(ctx, b)
}

// The memory of a round serves others, but not while its commit may yet happen.
func TestGroupLeavesLostBatchesAsTheyAre(t *testing.T) {
	s := &loser{Store: new(storage.Mem)}
	g := storage.Group(s, oneShard())
	require.NoError(t, increment(t.Context(), g, key("hot")))
	s.lose.Store(true)
	for range 10 {
		require.NoError(t, increment(t.Context(), g, key("hot")))
		require.NoError(t, increment(t.Context(), g, key("cold")))
	}
	assert.Equal(t, s.was, fmt.Sprint(s.given))
	require.NoError(t, g.Close())
}

// A group does not write to the options of an update, which are its caller's.
func TestGroupLeavesOptionsAsTheyAre(t *testing.T) {
	mem := new(storage.Mem)
	g := storage.Group(&readCounter{Store: mem}, oneShard())
	put(t, mem, key("stock"), "0")
	require.NoError(t, increment(t.Context(), g, key("stock")))   // which memory has now
	require.NoError(t, increment(t.Context(), mem, key("stock"))) // and not as it is
	keys := [2]storage.Key{key("stock"), key("mine")}
	refused := errors.New("refused")
	err := storage.UpdateWith(t.Context(), g, &storage.UpdateOptions{Near: keys[:1]}, func(tx *storage.Tx) error {
		if _, err := tx.Get(key("stock")); err != nil {
			return err
		}
		return refused
	})
	require.ErrorIs(t, err, refused)
	assert.Equal(t, key("mine"), keys[1])
	require.NoError(t, g.Close())
}

// Nor does it look at them once the caller left, who may use their memory: the race
// detector would object.
func TestGroupLeavesOptionsToThoseWhoLeft(t *testing.T) {
	mem := new(storage.Mem)
	s := &slowReader{gate: newGate(mem), reading: make(chan []storage.Key), read: make(chan struct{})}
	g := storage.Group(s, oneShard())
	put(t, mem, key("stock"), "0")
	keys := []storage.Key{key("stock")}
	refused := errors.New("refused")
	refuse := func(ctx context.Context) error {
		return storage.UpdateWith(ctx, g, &storage.UpdateOptions{Near: keys}, func(tx *storage.Tx) error {
			if _, err := tx.Get(key("stock")); err != nil {
				return err
			}
			return refused
		})
	}
	require.ErrorIs(t, refuse(t.Context()), refused) // memory has stock now
	require.NoError(t, increment(t.Context(), mem, key("stock")))
	s.slow.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- refuse(ctx) }()
	<-s.reading // to confirm the refusal, in vain
	cancel()
	require.ErrorIs(t, <-left, storage.ErrUnknown)
	s.slow.Store(false)
	s.read <- struct{}{}
	keys[0] = key("other")
	require.NoError(t, g.Close())
}
