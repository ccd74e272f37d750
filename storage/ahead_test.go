package storage_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// behind is a group whose first commit is under way, and waits to be let through.
func behind(t *testing.T) (mem *storage.Mem, s *gate, g *storage.Grouped, first chan error) {
	t.Helper()
	mem = new(storage.Mem)
	s = newGate(mem)
	g = storage.Group(s, oneShard())
	first = make(chan error, 1)
	go func() { first <- increment(t.Context(), g, key("hot")) }()
	<-s.entered
	return mem, s, g, first
}

// awaits waits until n updates are decided.
func awaits(g *storage.Grouped, n int) {
	for storage.Ahead(g) < n {
		runtime.Gosched()
	}
}

// see increments the counter, and tells what it was, and how often it ran.
func see(ctx context.Context, g *storage.Grouped, k storage.Key, saw *atomic.Value, runs *atomic.Int32) error {
	return storage.Update(ctx, g, func(tx *storage.Tx) error {
		runs.Add(1)
		recs, err := tx.Get(k)
		if err != nil {
			return err
		}
		saw.Store(string(recs[0].Data))
		if _, err := tx.Append(k, recs[0].Data); err != nil {
			return err
		}
		return tx.Put(k, append(recs[0].Data, '+'), time.Time{})
	})
}

// What waits for a commit is decided on what that will leave, and sent once it is
// stored.
func TestGroupDecidesAhead(t *testing.T) {
	mem, s, g, first := behind(t)
	var saw atomic.Value
	var runs atomic.Int32
	second := make(chan error, 1)
	go func() { second <- see(t.Context(), g, key("hot"), &saw, &runs) }()
	awaits(g, 1)
	for saw.Load() == nil {
		runtime.Gosched()
	}
	assert.Equal(t, "1", saw.Load(), "as the commit under way leaves it")
	assert.Zero(t, get(t, mem, key("hot")).Version)
	select {
	case <-s.entered:
		t.Error("one commit at a time")
	case <-time.After(10 * time.Millisecond):
	}
	s.let <- nil
	require.NoError(t, <-first)
	assert.Equal(t, uint64(1), (<-s.entered)[0].Writes[0].Expect)
	s.let <- nil
	require.NoError(t, <-second)
	assert.Equal(t, int32(1), runs.Load())
	assert.Equal(t, "1+", string(get(t, mem, key("hot")).Data))
	require.NoError(t, g.Close())
}

// If the commit is not stored, nor known to be, what was decided on it is decided
// again, and never sent.
func TestGroupDecidesAgainWhatRestedOnNothing(t *testing.T) {
	for name, test := range map[string]struct {
		answer   error
		conflict bool
		want     string // in the end
	}{
		"lost race":   {conflict: true, want: "10+"},
		"error":       {answer: errors.New("disk full"), want: "+"},
		"lost answer": {answer: storage.ErrUnknown, want: "1+"},
	} {
		t.Run(name, func(t *testing.T) {
			mem, s, g, first := behind(t)
			var saw atomic.Value
			var runs atomic.Int32
			second := make(chan error, 1)
			go func() { second <- see(t.Context(), g, key("hot"), &saw, &runs) }()
			for saw.Load() == nil {
				runtime.Gosched()
			}
			if test.conflict {
				put(t, mem, key("hot"), "9") // another process: version 1 is not what was decided on
			}
			s.let <- test.answer
			go func() {
				for range s.entered {
					s.let <- nil
				}
			}()
			defer close(s.entered)
			if err := <-first; name == "error" {
				require.ErrorContains(t, err, "disk full")
			} else {
				require.NoError(t, err)
			}
			require.NoError(t, <-second)
			assert.Greater(t, runs.Load(), int32(1))
			assert.Equal(t, test.want, string(get(t, mem, key("hot")).Data))
			require.NoError(t, g.Close())
		})
	}
}

// Who leaves before sending leaves nothing behind, though it was decided already,
// and though others were decided on it.
func TestGroupForgetsWhoLeftAhead(t *testing.T) {
	mem, s, g, first := behind(t)
	ctx, cancel := context.WithCancel(t.Context())
	var saw, saw2 atomic.Value
	var runs, runs2 atomic.Int32
	left, stayed := make(chan error, 1), make(chan error, 1)
	go func() { left <- see(ctx, g, key("hot"), &saw, &runs) }()
	for saw.Load() == nil {
		runtime.Gosched()
	}
	go func() { stayed <- see(t.Context(), g, key("hot"), &saw2, &runs2) }()
	for saw2.Load() == nil {
		runtime.Gosched()
	}
	assert.Equal(t, "1+", saw2.Load())
	cancel()
	err := <-left
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, storage.ErrUnknown, "surely nothing happened")
	s.let <- nil
	require.NoError(t, <-first)
	b := <-s.entered
	assert.Len(t, b[0].Entries, 1)
	s.let <- nil
	require.NoError(t, <-stayed)
	assert.Equal(t, "1", saw2.Load())
	assert.Equal(t, "1+", string(get(t, mem, key("hot")).Data))
	require.NoError(t, g.Close())
}

// A refusal decided ahead is none before the commit that it rests on, and a panic
// neither.
func TestGroupRefusesAheadOnlyOnWhatIsStored(t *testing.T) {
	mem, s, g, first := behind(t)
	refusal := errors.New("too many")
	var runs atomic.Int32
	answers := make(chan error, 2)
	limited := func(tx *storage.Tx) error {
		runs.Add(1)
		recs, err := tx.Get(key("hot"))
		if err == nil && string(recs[0].Data) == "1" {
			err = refusal
		}
		return err
	}
	go func() { answers <- storage.Update(t.Context(), g, limited) }()
	go func() {
		defer func() {
			if p := recover(); p != nil {
				answers <- fmt.Errorf("panic: %v", p)
			}
		}()
		answers <- storage.Update(t.Context(), g, func(tx *storage.Tx) error {
			err := limited(tx)
			if errors.Is(err, refusal) {
				panic("too many")
			}
			return err
		})
	}()
	awaits(g, 2)
	for runs.Load() < 2 {
		runtime.Gosched()
	}
	select {
	case err := <-answers:
		t.Errorf("answered %v before anything is stored", err)
	case <-time.After(10 * time.Millisecond):
	}
	s.let <- errors.New("disk full")
	require.ErrorContains(t, <-first, "disk full")
	require.NoError(t, <-answers, "there is nothing to refuse")
	require.NoError(t, <-answers)
	assert.Zero(t, get(t, mem, key("hot")).Version)
	require.NoError(t, g.Close())
}

// A record read for one call is no news for another that came later, even if both
// are decided in one round: the later one's refusal is confirmed.
func TestGroupReadsAgainForThoseWhoComeLater(t *testing.T) {
	mem, s, g, first := behind(t)
	put(t, mem, key("stock"), "0")
	empty := errors.New("empty")
	var saw atomic.Int32
	look := func() error {
		return storage.Update(t.Context(), g, func(tx *storage.Tx) error {
			recs, err := tx.Get(key("stock"))
			if err == nil && string(recs[0].Data) == "0" {
				err = empty
			}
			if err == nil || errors.Is(err, empty) {
				saw.Add(1)
			}
			return err
		})
	}
	early, late := make(chan error, 1), make(chan error, 1)
	go func() { early <- look() }()
	for saw.Load() < 1 {
		runtime.Gosched()
	}
	put(t, mem, key("stock"), "5") // another process, before the next call begins
	go func() { late <- look() }()
	for saw.Load() < 2 {
		runtime.Gosched()
	}
	s.let <- nil
	require.NoError(t, <-first)
	require.NoError(t, <-late)
	<-early // refused, or run again
	require.NoError(t, g.Close())
}

// slowReader is a gate that holds up reads, too, while it is told to.
type slowReader struct {
	*gate
	slow    atomic.Bool
	reading chan []storage.Key
	read    chan struct{}
}

func (s *slowReader) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	if s.slow.Load() {
		s.reading <- keys
		<-s.read
	}
	return s.gate.Get(ctx, keys)
}

// behindReads is behind, over a store whose reads can wait as well.
func behindReads(t *testing.T) (mem *storage.Mem, s *slowReader, g *storage.Grouped, first chan error) {
	t.Helper()
	mem = new(storage.Mem)
	s = &slowReader{gate: newGate(mem), reading: make(chan []storage.Key), read: make(chan struct{})}
	g = storage.Group(s, oneShard())
	first = make(chan error, 1)
	go func() { first <- increment(t.Context(), g, key("hot")) }()
	<-s.entered
	return mem, s, g, first
}

// What a refusal rests on is read again before the round that was decided ahead
// changes it: else who refuses would run again and again while others write.
func TestGroupConfirmsBeforeItSendsWhatWasDecidedAhead(t *testing.T) {
	mem, s, g, first := behindReads(t)
	put(t, mem, key("stock"), "0")
	put(t, mem, key("limit"), "1")
	empty := errors.New("empty")
	runs := 0
	refused, beside, after := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() {
		refused <- storage.Update(t.Context(), g, func(tx *storage.Tx) error {
			if _, err := tx.Get(key("stock"), key("limit")); err != nil {
				return err
			}
			runs++
			return empty
		})
	}()
	awaits(g, 1)
	go func() { beside <- increment(t.Context(), g, key("beside")) }()
	awaits(g, 2)
	s.let <- nil
	require.NoError(t, <-first)
	<-s.entered // the commit of beside, at whose end the refusal is settled
	go func() { after <- increment(t.Context(), g, key("stock")) }()
	awaits(g, 1)
	s.slow.Store(true)
	s.let <- nil
	assert.ElementsMatch(t, []storage.Key{key("stock"), key("limit")}, <-s.reading)
	s.slow.Store(false)
	sent := false
	select {
	case <-s.entered:
		sent = true
	case <-time.After(20 * time.Millisecond):
	}
	assert.False(t, sent, "stock changes only once the refusal is settled")
	s.read <- struct{}{}
	require.ErrorIs(t, <-refused, empty)
	require.NoError(t, <-beside)
	assert.Equal(t, 1, runs)
	if !sent {
		<-s.entered
	}
	s.let <- nil
	require.NoError(t, <-after)
	assert.Equal(t, "1", string(get(t, mem, key("stock")).Data))
	require.NoError(t, g.Close())
}

// The function of who left does not run on when the records are there that it
// lacked: its caller is told that nothing happened, and may use what it wrote to.
func TestGroupRunsNothingAheadForThoseWhoLeft(t *testing.T) {
	mem, s, g, first := behindReads(t)
	put(t, mem, key("stock"), "0")
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0 // no lock: the race detector would object to a run after the return
	left, last := make(chan error, 1), make(chan error, 1)
	s.slow.Store(true)
	go func() {
		left <- storage.Update(ctx, g, func(tx *storage.Tx) error {
			runs++
			_, err := tx.Get(key("stock"))
			return err
		})
	}()
	<-s.reading
	cancel()
	err := <-left
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, storage.ErrUnknown)
	s.slow.Store(false)
	s.read <- struct{}{}
	go func() { last <- increment(t.Context(), g, key("hot")) }()
	s.let <- nil
	require.NoError(t, <-first)
	<-s.entered
	s.let <- nil
	require.NoError(t, <-last)
	assert.Equal(t, 1, runs)
	require.NoError(t, g.Close())
}
