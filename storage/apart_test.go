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
)

// breaking is a store that does something else first, where it is told to.
type breaking struct {
	*turns
	get, commit, lock, locked atomic.Pointer[func()] // locked: after it has decided
}

func do(f *atomic.Pointer[func()]) {
	if f := f.Load(); f != nil {
		(*f)()
	}
}

func (s *breaking) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	do(&s.get)
	return s.turns.Get(ctx, keys)
}

func (s *breaking) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	do(&s.commit)
	return s.turns.Commit(ctx, batches)
}

func (s *breaking) CommitLocked(ctx context.Context, keys []storage.Key, decide func([]storage.Record, storage.GetFunc) []storage.Batch) ([]storage.Outcome, []bool, error) {
	do(&s.lock)
	return s.turns.CommitLocked(ctx, keys, func(held []storage.Record, get storage.GetFunc) []storage.Batch {
		defer do(&s.locked)
		return decide(held, get)
	})
}

// outcome tells how a call ended: with its error, a panic, or its goroutine.
func outcome(call func() error) <-chan string {
	out := make(chan string, 1)
	go func() {
		how := "exit"
		defer func() {
			if p := recover(); p != nil {
				how = fmt.Sprint("panic: ", p)
			}
			out <- how
		}()
		how = fmt.Sprint(call())
	}()
	return out
}

// A store that panics, or ends its goroutine, does so in every caller of its round,
// and in nobody else: the group goes on.
func TestGroupSurvivesBrokenStore(t *testing.T) {
	t.Parallel()
	for want, broken := range map[string]func(){
		"panic: boom": func() { panic("boom") },
		"exit":        func() { runtime.Goexit() }, // as require does in a store made for a test
	} {
		start := func(t *testing.T) (*breaking, *storage.Grouped) {
			t.Parallel()
			s := &breaking{turns: &turns{mem: new(storage.Mem), mu: new(sync.Mutex)}}
			g := storage.Group(s, oneShard())
			t.Cleanup(func() {
				for _, f := range []*atomic.Pointer[func()]{&s.get, &s.commit, &s.lock, &s.locked} {
					f.Store(nil)
				}
				assert.NoError(t, increment(context.Background(), g, key("after")), "the shard goes on")
				assert.NoError(t, g.Close(), "which waits for all updates")
			})
			return s, g
		}
		add := func(g *storage.Grouped, name string) <-chan string {
			return outcome(func() error { return increment(context.Background(), g, key(name)) })
		}
		// under holds a commit until its end is let go, when it breaks if it shall.
		under := func(s *breaking) (entered chan bool, end chan func()) {
			entered, end = make(chan bool), make(chan func())
			commit := func() {
				entered <- true
				(<-end)()
			}
			s.commit.Store(&commit)
			return entered, end
		}
		t.Run(want+" by Commit", func(t *testing.T) {
			s, g := start(t)
			entered, end := under(s)
			first := add(g, "hot")
			<-entered
			others := []<-chan string{add(g, "hot"), add(g, "hot"), add(g, "cold")}
			awaits(g, len(others))
			end <- broken
			assert.Equal(t, want, <-first)
			<-entered
			end <- func() {}
			for _, o := range others {
				assert.Equal(t, "<nil>", <-o, "what was decided ahead runs again")
			}
			first = add(g, "hot")
			<-entered
			others = []<-chan string{add(g, "hot"), add(g, "hot"), add(g, "cold")}
			awaits(g, len(others))
			end <- func() {}
			assert.Equal(t, "<nil>", <-first)
			<-entered
			end <- broken
			for _, o := range others {
				assert.Equal(t, want, <-o)
			}
			s.commit.Store(nil)
			assert.Equal(t, "3", string(get(t, s.mem, key("hot")).Data))
			assert.Equal(t, "1", string(get(t, s.mem, key("cold")).Data))
		})
		t.Run(want+" by Get", func(t *testing.T) {
			s, g := start(t)
			s.get.Store(&broken)
			assert.Equal(t, want, <-add(g, "cold"))
			s.get.Store(nil)
			entered, end := under(s)
			first := add(g, "hot")
			<-entered
			s.get.Store(&broken)
			others := []<-chan string{add(g, "a"), add(g, "b")}
			awaits(g, len(others))
			end <- func() {}
			assert.Equal(t, "<nil>", <-first)
			for _, o := range others {
				assert.Equal(t, want, <-o)
			}
		})
		t.Run(want+" by Get, which proves a refusal", func(t *testing.T) {
			s, g := start(t)
			entered, end := under(s)
			first := add(g, "hot")
			<-entered
			refused := errors.New("refused")
			second := outcome(func() error {
				return storage.Update(context.Background(), g, func(tx *storage.Tx) error {
					_, err := tx.Get(key("x"), key("y"))
					return errors.Join(err, refused)
				})
			})
			awaits(g, 1)
			gets := atomic.Int32{}
			again := func() {
				if gets.Add(1) == 1 {
					broken()
				}
			}
			s.get.Store(&again)
			end <- func() {}
			assert.Equal(t, "<nil>", <-first)
			assert.Equal(t, want, <-second)
		})
		// lose has an update lose a race, whose second run is in a lane.
		lose := func(t *testing.T, s *breaking, g *storage.Grouped, second func()) <-chan string {
			put(t, s.mem, key("hot"), "1")
			runs := 0
			return outcome(func() error {
				return storage.UpdateWith(context.Background(), g, &storage.UpdateOptions{Near: []storage.Key{key("hot")}}, func(tx *storage.Tx) error {
					recs, err := tx.Get(key("hot"))
					if err != nil {
						return err
					}
					if runs++; runs == 1 {
						put(t, s.mem, key("hot"), "2")
					} else {
						second()
					}
					return tx.Put(key("hot"), append(recs[0].Data, '+'), time.Time{})
				})
			})
		}
		for name, at := range map[string]func(*breaking) *atomic.Pointer[func()]{
			"before it decided": func(s *breaking) *atomic.Pointer[func()] { return &s.lock },
			"when it decided":   func(s *breaking) *atomic.Pointer[func()] { return &s.locked },
		} {
			t.Run(want+" by CommitLocked "+name, func(t *testing.T) {
				s, g := start(t)
				at(s).Store(&broken)
				assert.Equal(t, want, <-lose(t, s, g, func() {}))
				assert.Equal(t, "2", string(get(t, s.mem, key("hot")).Data))
				at(s).Store(nil)
				require.NoError(t, increment(t.Context(), g, key("hot")))
			})
		}
		t.Run(want+" by a function under CommitLocked", func(t *testing.T) {
			s, g := start(t)
			came := make(chan (<-chan string), 1)
			join := func() { // another joins before the round decides
				s.lock.Store(nil)
				came <- outcome(func() error {
					o := &storage.UpdateOptions{Near: []storage.Key{key("hot")}}
					return storage.UpdateWith(context.Background(), g, o, func(tx *storage.Tx) error {
						return tx.Put(key("hot"), []byte("3"), time.Time{})
					})
				})
				for storage.Waiting(g) < 1 {
					runtime.Gosched()
				}
			}
			s.lock.Store(&join)
			got := <-lose(t, s, g, broken)
			assert.Equal(t, want, got)
			assert.Equal(t, "<nil>", <-<-came)
			assert.Equal(t, "3", string(get(t, s.mem, key("hot")).Data))
			assert.NotZero(t, s.turns.locked.Load())
		})
	}
}
