package storage_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

func key(id string) storage.Key { return storage.Key{Tenant: "acme", Kind: "t.rec", ID: id} }

func get(t *testing.T, s storage.Store, k storage.Key) storage.Record {
	t.Helper()
	recs, err := s.Get(t.Context(), []storage.Key{k})
	require.NoError(t, err)
	return recs[0]
}

func put(t *testing.T, s storage.Store, k storage.Key, data string) {
	t.Helper()
	require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		return tx.Put(k, []byte(data), time.Time{})
	}))
}

// meddle returns a store in which other writers act before the n-th Commit.
type meddle struct {
	storage.Store
	mu     sync.Mutex
	before func(n int)
	n      int
	empty  bool // drop Current
	gets   int
}

func (m *meddle) Commit(ctx context.Context, b []storage.Batch) ([]storage.Outcome, error) {
	m.mu.Lock()
	m.n++
	n := m.n
	m.mu.Unlock()
	if m.before != nil {
		m.before(n)
	}
	outs, err := m.Store.Commit(ctx, b)
	if m.empty {
		for i := range outs {
			outs[i].Current = nil
		}
	}
	return outs, err
}

func (m *meddle) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	m.gets++
	return m.Store.Get(ctx, keys)
}

func TestUpdateSeesItsOwnWrites(t *testing.T) {
	s := new(storage.Mem)
	a, b, c := key("a"), key("b"), key("c")
	due := time.Date(2026, 1, 2, 3, 4, 5, 6789, time.FixedZone("", 3600))
	put(t, s, c, "old")
	require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		data := []byte("1")
		require.NoError(t, tx.Create(a, data, due))
		data[0] = '!'
		require.ErrorIs(t, tx.Create(a, nil, time.Time{}), storage.ErrExists)
		recs, err := tx.Get(a, b, c)
		require.NoError(t, err)
		assert.Equal(t, storage.Record{Key: a, Version: 1, Data: []byte("1"), Due: due.UTC().Truncate(time.Microsecond)}, recs[0])
		assert.Zero(t, recs[1].Version)
		recs[2].Data[0] = '!'
		recs, err = tx.Peek(c)
		require.NoError(t, err)
		assert.Equal(t, "old", string(recs[0].Data))

		require.NoError(t, tx.Delete(c))
		recs, err = tx.Get(c)
		require.NoError(t, err)
		assert.Equal(t, storage.Record{Key: c}, recs[0])
		require.NoError(t, tx.Create(c, []byte("new"), time.Time{}))

		require.NoError(t, tx.Create(b, nil, time.Time{}))
		require.NoError(t, tx.Delete(b))
		require.NoError(t, tx.Delete(key("never was")))

		for n := range uint64(3) {
			seq, err := tx.Append(a, []byte("e"))
			require.NoError(t, err)
			assert.Equal(t, n+1, seq)
		}
		recs, err = tx.Get(a)
		require.NoError(t, err)
		assert.Equal(t, uint64(3), recs[0].Seq)
		require.ErrorIs(t, tx.Delete(a), storage.ErrBatch)
		return nil
	}))
	assert.Equal(t, uint64(3), get(t, s, a).Seq)
	assert.Zero(t, get(t, s, b).Version)
	assert.Equal(t, storage.Record{Key: c, Version: 2, Data: []byte("new")}, get(t, s, c))
}

func TestUpdateWritesNothingOnError(t *testing.T) {
	s := storagetest.Count(new(storage.Mem))
	mine := errors.New("mine")
	err := storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		require.NoError(t, tx.Create(key("a"), nil, time.Time{}))
		return mine
	})
	assert.Same(t, mine, err)
	assert.Zero(t, s.Writes())
}

func TestEntriesNeedTheirRecord(t *testing.T) {
	s := new(storage.Mem)
	err := storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		_, err := tx.Append(key("a"), nil)
		return err
	})
	require.ErrorIs(t, err, storage.ErrBatch)
}

func TestAppendTakesTheInstantOfTheRun(t *testing.T) {
	s, at := new(storage.Mem), time.Date(2026, 5, 6, 7, 8, 9, 123456789, time.UTC)
	require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		_, err := tx.Append(key("a"), nil) // before Now is first called
		require.NoError(t, err)
		assert.Equal(t, at.Truncate(time.Microsecond), tx.Now(func() time.Time { return at }))
		assert.Equal(t, at.Truncate(time.Microsecond), tx.Now(func() time.Time { return at.Add(time.Hour) }))
		return tx.Put(key("a"), nil, time.Time{})
	}))
	es, err := s.Entries(t.Context(), key("a"), 0, 0)
	require.NoError(t, err)
	assert.Equal(t, at.Truncate(time.Microsecond), es[0].At)
}

func TestSub(t *testing.T) {
	s, mine := new(storage.Mem), errors.New("mine")
	put(t, s, key("kept"), "old")
	require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		require.NoError(t, tx.Put(key("a"), []byte("outer"), time.Time{}))
		_, err := tx.Append(key("a"), []byte("1"))
		require.NoError(t, err)
		err = tx.Sub(func() error {
			require.NoError(t, tx.Put(key("a"), []byte("inner"), time.Time{}))
			require.NoError(t, tx.Create(key("b"), nil, time.Time{}))
			require.NoError(t, tx.Delete(key("kept")))
			seq, err := tx.Append(key("a"), []byte("lost"))
			require.NoError(t, err)
			assert.Equal(t, uint64(2), seq)
			require.NoError(t, tx.Sub(func() error { return tx.Put(key("c"), nil, time.Time{}) }))
			return mine
		})
		assert.Same(t, mine, err)
		func() {
			defer func() { assert.Equal(t, "boom", recover()) }()
			_ = tx.Sub(func() error {
				require.NoError(t, tx.Put(key("d"), nil, time.Time{}))
				panic("boom")
			})
		}()
		recs, err := tx.Get(key("a"), key("b"), key("c"), key("d"), key("kept"))
		require.NoError(t, err)
		assert.Equal(t, "outer", string(recs[0].Data))
		for _, r := range recs[1:4] {
			assert.Zero(t, r.Version)
		}
		assert.Equal(t, "old", string(recs[4].Data))
		return tx.Sub(func() error {
			seq, err := tx.Append(key("a"), []byte("2"))
			assert.Equal(t, uint64(2), seq)
			return err
		})
	}))
	es, err := s.Entries(t.Context(), key("a"), 0, 0)
	require.NoError(t, err)
	require.Len(t, es, 2)
	assert.Equal(t, "2", string(es[1].Data))
	assert.Equal(t, uint64(1), get(t, s, key("kept")).Version)
}

func TestUpdateRunsAgainAfterALostRace(t *testing.T) {
	for _, empty := range []bool{false, true} {
		t.Run(fmt.Sprint("Current empty ", empty), func(t *testing.T) {
			mem := new(storage.Mem)
			put(t, mem, key("a"), "0")
			s := &meddle{Store: mem, empty: empty, before: func(n int) {
				if n <= 3 {
					put(t, mem, key("a"), fmt.Sprint(n))
				}
			}}
			var seen []string
			require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
				recs, err := tx.Get(key("a"))
				if err != nil {
					return err
				}
				seen = append(seen, string(recs[0].Data))
				return tx.Put(key("a"), append(recs[0].Data, '+'), time.Time{})
			}))
			assert.Equal(t, []string{"0", "1", "2", "3"}, seen)
			assert.Equal(t, "3+", string(get(t, mem, key("a")).Data))
		})
	}
}

// What Get read guards the commit though it is not written; what Peek read does not.
func TestReadsGuardTheCommit(t *testing.T) {
	for name, peek := range map[string]bool{"Get": false, "Peek": true} {
		t.Run(name, func(t *testing.T) {
			mem := new(storage.Mem)
			put(t, mem, key("price"), "1")
			s := &meddle{Store: mem, before: func(n int) {
				if n == 1 {
					put(t, mem, key("price"), "2")
				}
			}}
			require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
				read := tx.Get
				if peek {
					read = tx.Peek
				}
				recs, err := read(key("price"))
				if err != nil {
					return err
				}
				return tx.Put(key("order"), recs[0].Data, time.Time{})
			}))
			want := "2"
			if peek {
				want = "1"
			}
			assert.Equal(t, want, string(get(t, mem, key("order")).Data))
			assert.Equal(t, uint64(2), get(t, mem, key("price")).Version, "a read was written")
		})
	}
}

func TestContended(t *testing.T) {
	mem := new(storage.Mem)
	s := &meddle{Store: mem, before: func(n int) { put(t, mem, key("a"), fmt.Sprint(n)) }}
	runs := 0
	fn := func(tx *storage.Tx) error {
		runs++
		return tx.Put(key("a"), nil, time.Time{})
	}
	require.ErrorIs(t, storage.UpdateWith(t.Context(), s, &storage.UpdateOptions{Attempts: 5}, fn), storage.ErrContended)
	assert.Equal(t, 5, runs)
	runs = 0
	require.ErrorIs(t, storage.Update(t.Context(), s, fn), storage.ErrContended)
	assert.Equal(t, 64, runs)
}

func TestCreateOfWhatExists(t *testing.T) {
	s := new(storage.Mem)
	put(t, s, key("a"), "there")
	err := storage.Update(t.Context(), s, func(tx *storage.Tx) error { return tx.Create(key("a"), nil, time.Time{}) })
	require.ErrorIs(t, err, storage.ErrExists)
}

// A refusal never comes from a mixture of instants: the units moved from one
// account to the other between the two reads.
func TestRefusalsAreConfirmed(t *testing.T) {
	mem := new(storage.Mem)
	put(t, mem, key("a"), "5")
	put(t, mem, key("b"), "0")
	errInsufficient := errors.New("insufficient")
	runs := 0
	err := storage.Update(t.Context(), mem, func(tx *storage.Tx) error {
		runs++
		sum := 0
		for _, k := range []storage.Key{key("b"), key("a")} {
			recs, err := tx.Get(k)
			if err != nil {
				return err
			}
			var n int
			fmt.Sscan(string(recs[0].Data), &n)
			sum += n
			if runs == 1 && k == key("b") {
				put(t, mem, key("b"), "5")
				put(t, mem, key("a"), "0")
			}
		}
		if sum < 5 {
			return errInsufficient
		}
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, 2, runs)
}

// After a lost race Current may be stale: a refusal must not rest on it.
func TestRefusalsAreNotTakenFromCurrent(t *testing.T) {
	mem := new(storage.Mem)
	put(t, mem, key("a"), "5")
	s := &staleCurrent{meddle: meddle{Store: mem}}
	s.before = func(n int) {
		if n == 1 {
			put(t, mem, key("a"), "0")
			s.stale = get(t, mem, key("a"))
			put(t, mem, key("a"), "7")
		}
	}
	require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		recs, err := tx.Get(key("a"))
		if err != nil {
			return err
		}
		if string(recs[0].Data) == "0" {
			return errors.New("insufficient")
		}
		return tx.Put(key("a"), append(recs[0].Data, '-'), time.Time{})
	}))
	assert.Equal(t, "7-", string(get(t, mem, key("a")).Data))
}

type staleCurrent struct {
	meddle
	stale storage.Record
}

func (s *staleCurrent) Commit(ctx context.Context, b []storage.Batch) ([]storage.Outcome, error) {
	outs, err := s.meddle.Commit(ctx, b)
	for i := range outs {
		if !outs[i].OK {
			outs[i].Current = []storage.Record{s.stale}
		}
	}
	return outs, err
}

func TestViewIsOneInstant(t *testing.T) {
	mem := new(storage.Mem)
	put(t, mem, key("a"), "1")
	put(t, mem, key("b"), "1")
	runs := 0
	var a, b string
	require.NoError(t, storage.View(t.Context(), mem, func(tx *storage.Tx) error {
		runs++
		recs, err := tx.Get(key("a"))
		require.NoError(t, err)
		a = string(recs[0].Data)
		if runs == 1 {
			put(t, mem, key("a"), "2")
			put(t, mem, key("b"), "2")
		}
		recs, err = tx.Get(key("b"))
		require.NoError(t, err)
		b = string(recs[0].Data)
		require.Error(t, tx.Put(key("a"), nil, time.Time{}))
		return nil
	}))
	assert.Equal(t, "2 2", a+" "+b)
	assert.Equal(t, 2, runs)
}

func TestNearIsReadAtOnce(t *testing.T) {
	mem := new(storage.Mem)
	put(t, mem, key("a"), "1")
	s := &meddle{Store: mem}
	require.NoError(t, storage.UpdateWith(t.Context(), s, &storage.UpdateOptions{Near: []storage.Key{key("a"), key("b")}}, func(tx *storage.Tx) error {
		for _, k := range []storage.Key{key("a"), key("b")} {
			if _, err := tx.Get(k); err != nil {
				return err
			}
		}
		return tx.Put(key("b"), nil, time.Time{})
	}))
	assert.Equal(t, 1, s.gets)
}

// An error of a read ends the run, even if the function ignores it.
func TestReadErrorsAreNotIgnored(t *testing.T) {
	mem := new(storage.Mem)
	s := storagetest.CrashBefore(mem, 1)
	_, err := s.Commit(t.Context(), nil)
	require.ErrorIs(t, err, storagetest.ErrInjected)
	err = storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		_, _ = tx.Get(key("a"))
		return nil
	})
	require.ErrorIs(t, err, storagetest.ErrInjected)
}

func TestTxAfterItsRun(t *testing.T) {
	var leaked *storage.Tx
	require.NoError(t, storage.Update(t.Context(), new(storage.Mem), func(tx *storage.Tx) error { leaked = tx; return nil }))
	_, err := leaked.Get(key("a"))
	require.ErrorIs(t, err, storage.ErrClosed)
	require.ErrorIs(t, leaked.Create(key("a"), nil, time.Time{}), storage.ErrClosed)
	require.ErrorIs(t, leaked.Sub(func() error { return nil }), storage.ErrClosed)
}

// A Tx that was kept is of no use after a panic either, and writes nowhere, however
// soon it is used: the memory of its run serves others.
func TestTxAfterAPanic(t *testing.T) {
	mem := new(storage.Mem)
	for _, s := range []storage.Store{mem, storage.Group(mem, oneShard()), storage.Group(&readCounter{Store: mem}, oneShard())} {
		for range 100 {
			var kept *storage.Tx
			assert.PanicsWithValue(t, "oops", func() {
				_ = storage.Update(t.Context(), s, func(tx *storage.Tx) error {
					kept = tx
					panic("oops")
				})
			})
			require.ErrorIs(t, kept.Put(key("a"), nil, time.Time{}), storage.ErrClosed)
		}
	}
}

func TestCancelledUpdate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := new(storage.Mem)
	err := storage.Update(ctx, s, func(tx *storage.Tx) error { return tx.Create(key("a"), nil, time.Time{}) })
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, storage.ErrUnknown)
}
