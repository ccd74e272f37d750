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

// scenario is two takes from an account of 5, by ids; it may be repeated.
func scenario(ctx context.Context, s storage.Store) error {
	err := storage.Update(ctx, s, func(tx *storage.Tx) error {
		if _, ok, err := accounts.Get(tx, "acme", "li"); ok || err != nil {
			return err
		}
		return accounts.Create(tx, "acme", "li", account{Units: 5})
	})
	if err != nil {
		return err
	}
	for i, left := range []int{3, 1} {
		got, err := take(ctx, s, fmt.Sprint("take-", i), "li", 2)
		if err != nil {
			return err
		}
		if got != left {
			return fmt.Errorf("take %d answered %d, want %d", i, got, left)
		}
	}
	if _, err := take(ctx, s, "take-2", "li", 2); !errors.Is(err, errInsufficient) {
		return fmt.Errorf("the last take answered %v", err)
	}
	return nil
}

// Every write fails in both ways; repeating answers the same, once.
func TestEveryWriteFails(t *testing.T) {
	count := storagetest.Count(new(storage.Mem))
	require.NoError(t, scenario(t.Context(), count))
	require.Equal(t, 3, count.Writes())
	for name, c := range map[string]struct {
		with func(storage.Store, int) *storagetest.Faulty
		want error // of the first call
	}{
		"before":       {storagetest.FailBefore, storagetest.ErrInjected},
		"after":        {storagetest.FailAfter, nil},
		"crash before": {storagetest.CrashBefore, storagetest.ErrInjected},
		"crash after":  {storagetest.CrashAfter, storage.ErrUnknown},
	} {
		for n := 1; n <= count.Writes(); n++ {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				mem := new(storage.Mem)
				s := c.with(mem, n)
				err := scenario(t.Context(), s)
				require.ErrorIs(t, err, c.want)
				assert.True(t, s.Fired())
				if c.want == nil {
					assert.Equal(t, count.Writes(), s.Writes(), "the run after a lost answer reads afresh, and finds its work done")
				}
				require.NoError(t, scenario(t.Context(), mem))
				require.NoError(t, scenario(t.Context(), mem))
				assert.JSONEq(t, `{"v":1,"d":{"units":1}}`, string(get(t, mem, accounts.Key("acme", "li")).Data))
				assert.Equal(t, uint64(3), get(t, mem, accounts.Key("acme", "li")).Version)
			})
		}
	}
}

func TestAnswersThatStayLost(t *testing.T) {
	s := lostAnswers{new(storage.Mem)}
	runs := 0
	err := storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		runs++
		return tx.Put(key(fmt.Sprint(runs)), nil, time.Time{})
	})
	require.ErrorIs(t, err, storage.ErrUnknown)
	assert.Equal(t, 4, runs)
}

type lostAnswers struct{ storage.Store }

func (l lostAnswers) Commit(ctx context.Context, b []storage.Batch) ([]storage.Outcome, error) {
	if _, err := l.Store.Commit(ctx, b); err != nil {
		return nil, err
	}
	return nil, storage.ErrUnknown
}

// A commit whose answer was lost may still happen: a refusal on the same
// records must not promise that nothing did.
func TestRefusalWhileACommitIsUnderWay(t *testing.T) {
	mem := new(storage.Mem)
	put(t, mem, key("a"), "1")
	errLate := errors.New("too late")
	for name, c := range map[string]struct {
		meanwhile func()
		unknown   bool
	}{
		"it can still be stored": {func() {}, true},
		"it cannot":              {func() { put(t, mem, key("a"), "2") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			err := storage.Update(t.Context(), notSent{mem}, func(tx *storage.Tx) error {
				if _, err := tx.Get(key("a")); err != nil {
					return err
				}
				if runs++; runs > 1 {
					return errLate
				}
				c.meanwhile()
				return tx.Put(key("a"), nil, time.Time{})
			})
			require.ErrorIs(t, err, errLate)
			assert.Equal(t, c.unknown, errors.Is(err, storage.ErrUnknown))
			var u *storage.UnknownError
			assert.Equal(t, c.unknown, errors.As(err, &u))
		})
	}
}

type notSent struct{ storage.Store }

func (notSent) Commit(context.Context, []storage.Batch) ([]storage.Outcome, error) {
	return nil, storage.ErrUnknown
}

func TestUnknownThenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := storage.Update(ctx, notSent{new(storage.Mem)}, func(tx *storage.Tx) error {
		defer cancel()
		return tx.Create(key("a"), nil, time.Time{})
	})
	require.ErrorIs(t, err, storage.ErrUnknown)
	require.ErrorIs(t, err, context.Canceled)
}

func TestErrorsOfTheStore(t *testing.T) {
	for _, want := range []error{storage.ErrRetryTx, storage.ErrClosed, storage.ErrCorrupt, storage.ErrOverloaded} {
		runs := 0
		err := storage.Update(t.Context(), failing{new(storage.Mem), want}, func(tx *storage.Tx) error {
			runs++
			return tx.Create(key("a"), nil, time.Time{})
		})
		require.ErrorIs(t, err, want)
		require.NotErrorIs(t, err, storage.ErrUnknown)
		assert.Equal(t, 1, runs)
	}
}

type failing struct {
	storage.Store
	err error
}

func (f failing) Commit(context.Context, []storage.Batch) ([]storage.Outcome, error) {
	return nil, f.err
}

// Whatever the contract allows, units are conserved and answers stay.
func TestChaos(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			chaos(t, seed)
		})
	}
}

func chaos(t *testing.T, seed uint64) {
	const workers, calls = 4, 15
	mem := new(storage.Mem)
	require.NoError(t, storage.Update(t.Context(), mem, func(tx *storage.Tx) error {
		return accounts.Create(tx, "acme", "li", account{Units: workers * calls})
	}))
	s := storagetest.Chaos(mem, seed)
	answers := make([][]int, workers)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range calls {
				id := fmt.Sprint(w, "-", i)
				var left int
				var err error
				for range 200 {
					if left, err = take(t.Context(), s, id, "li", 1); err == nil || !retryable(err) {
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
	require.NoError(t, s.Settle(t.Context()))
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
}

func retryable(err error) bool {
	return errors.Is(err, storage.ErrUnknown) || errors.Is(err, storage.ErrContended)
}
