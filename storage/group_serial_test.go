package storage_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// What a group remembers and commits together reads as if its calls had run one
// after another, beside other processes.

// A refusal must not rest on records in memory that another process changed.
func TestGroupConfirmsRefusals(t *testing.T) {
	mem := new(storage.Mem)
	g := storage.Group(mem, oneShard())
	_, err := scenarioAccount(t.Context(), g, 1)
	require.NoError(t, err)
	require.NoError(t, storage.Update(t.Context(), mem, func(tx *storage.Tx) error {
		return accounts.Put(tx, "acme", "li", account{Units: 5}) // past the group
	}))
	left, err := take(t.Context(), g, "take-1", "li", 3)
	require.NoError(t, err)
	assert.Equal(t, 2, left)
	_, err = take(t.Context(), g, "take-2", "li", 3)
	require.ErrorIs(t, err, errInsufficient)
}

// Even one that rests on a single record.
func TestGroupConfirmsRefusalsOfOneRecord(t *testing.T) {
	mem := new(storage.Mem)
	g := storage.Group(mem, oneShard())
	require.NoError(t, increment(t.Context(), g, key("a")))
	require.NoError(t, increment(t.Context(), mem, key("a"))) // past the group
	require.NoError(t, storage.Update(t.Context(), g, func(tx *storage.Tx) error {
		recs, err := tx.Get(key("a"))
		if err == nil && string(recs[0].Data) != "2" {
			err = errors.New("not yet")
		}
		return err
	}))
}

// What a refusal saw of others in its round must have been committed.
func TestGroupRefusesOnlyOnWhatIsCommitted(t *testing.T) {
	mem := new(storage.Mem)
	_, err := scenarioAccount(t.Context(), mem, 5)
	require.NoError(t, err)
	s := newGate(mem)
	g := storage.Group(s, oneShard())
	first, taking := make(chan error, 1), make(chan error, 2)
	go func() { first <- increment(t.Context(), g, key("first")) }()
	<-s.entered
	for _, id := range []string{"a", "b"} { // one of them takes all, the other sees nothing left
		go func() {
			_, err := take(t.Context(), g, id, "li", 5)
			taking <- err
		}()
	}
	for storage.Ahead(g) < 2 {
		runtime.Gosched()
	}
	s.let <- nil
	<-s.entered
	require.NoError(t, storage.Update(t.Context(), mem, func(tx *storage.Tx) error { // another process
		return accounts.Put(tx, "acme", "li", account{Units: 10})
	}))
	s.let <- nil // the batch loses, so the refusal rests on nothing
	<-s.entered
	s.let <- nil
	require.NoError(t, <-first)
	require.NoError(t, <-taking)
	require.NoError(t, <-taking)
	assert.JSONEq(t, `{"v":1,"d":{"units":0}}`, string(get(t, mem, accounts.Key("acme", "li")).Data))
}

func scenarioAccount(ctx context.Context, s storage.Store, units int) (account, error) {
	a := account{Units: units}
	return a, storage.Update(ctx, s, func(tx *storage.Tx) error { return accounts.Put(tx, "acme", "li", a) })
}

func TestGroupPeekIsNotOld(t *testing.T) {
	mem := new(storage.Mem)
	put(t, mem, key("price"), "1")
	g := storage.Group(mem, &storage.GroupOptions{PeekAge: time.Nanosecond})
	peek := func() (data string) {
		require.NoError(t, storage.Update(t.Context(), g, func(tx *storage.Tx) error {
			recs, err := tx.Peek(key("price"))
			if err != nil {
				return err
			}
			data = string(recs[0].Data)
			return tx.Put(key("order"), recs[0].Data, time.Time{})
		}))
		return data
	}
	assert.Equal(t, "1", peek())
	put(t, mem, key("price"), "2") // another process
	time.Sleep(time.Microsecond)
	assert.Equal(t, "2", peek())
}

// An update that read what another of the round writes joins its batch, so that
// the order in which they ran is the order in which they happened.
func TestGroupJoinsReadersAndWriters(t *testing.T) {
	for name, readerFirst := range map[string]bool{"read, then written": true, "written, then read": false} {
		t.Run(name, func(t *testing.T) {
			mem := new(storage.Mem)
			put(t, mem, key("k"), "1")
			s := newGate(mem)
			g := storage.Group(s, oneShard())
			errs := make(chan error, 3)
			near := &storage.UpdateOptions{Near: []storage.Key{key("k"), key("copy")}} // so that nothing runs twice
			read := func() {
				errs <- storage.UpdateWith(t.Context(), g, near, func(tx *storage.Tx) error {
					get := tx.Get
					if !readerFirst {
						get = tx.Peek // what is not committed yet binds even those who only peek
					}
					recs, err := get(key("k"))
					if err != nil {
						return err
					}
					return tx.Put(key("copy"), recs[0].Data, time.Time{})
				})
			}
			write := func() { errs <- increment(t.Context(), g, key("k")) }
			go func() { errs <- increment(t.Context(), g, key("first")) }()
			<-s.entered
			want, then := "1", []func(){read, write}
			if !readerFirst {
				want, then = "2", []func(){write, read}
			}
			for i, fn := range then {
				go fn()
				for storage.Ahead(g) < i+1 {
					runtime.Gosched()
				}
			}
			s.let <- nil
			batches := <-s.entered
			require.Len(t, batches, 1)
			assert.Len(t, batches[0].Writes, 2)
			s.let <- nil
			for range 3 {
				require.NoError(t, <-errs)
			}
			assert.Equal(t, want, string(get(t, mem, key("copy")).Data))
			assert.Equal(t, "2", string(get(t, mem, key("k")).Data))
		})
	}
}

// What Get read in memory guards the commit, written or not.
func TestGroupReadsGuardTheCommit(t *testing.T) {
	mem := new(storage.Mem)
	put(t, mem, key("price"), "1")
	g := storage.Group(mem, oneShard())
	for want := range 3 {
		want := fmt.Sprint(want + 1)
		require.NoError(t, storage.Update(t.Context(), g, func(tx *storage.Tx) error {
			recs, err := tx.Get(key("price"))
			if err != nil {
				return err
			}
			return tx.Put(key("order"), recs[0].Data, time.Time{})
		}))
		assert.Equal(t, want, string(get(t, mem, key("order")).Data))
		put(t, mem, key("price"), fmt.Sprint(len(want)+int(want[0]-'0'))) // another process
	}
}
