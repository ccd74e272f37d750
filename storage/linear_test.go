package storage_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// A bank call takes units from an account (or gives, if negative), or reads
// the balance if it takes none.
type bankCall struct {
	account int
	units   int
}

type bankAnswer struct {
	left    int
	refused bool
	unknown bool
}

// bank is one integer per account. A call whose outcome is unknown took effect
// at some time, or at the end of time, where nobody sees it.
var bank = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make(map[int][]porcupine.Operation)
		for _, op := range history {
			a := op.Input.(bankCall).account
			parts[a] = append(parts[a], op)
		}
		var out [][]porcupine.Operation
		for _, p := range parts {
			out = append(out, p)
		}
		return out
	},
	Init: func() any { return 20 },
	Step: func(state, input, output any) (bool, any) {
		have, call, answer := state.(int), input.(bankCall), output.(bankAnswer)
		switch {
		case answer.unknown:
			if have < call.units {
				return true, have // it would have been refused
			}
			return true, have - call.units
		case answer.refused:
			return have < call.units, have
		}
		return have >= call.units && answer.left == have-call.units, have - call.units
	},
}

// Histories of racing callers are linearizable, whatever the store does that
// it may, and whoever gives up waiting.
func TestHistoriesAreLinearizable(t *testing.T) {
	for name, open := range map[string]func(seed uint64) []storage.Store{
		"memory": func(uint64) []storage.Store { return []storage.Store{new(storage.Mem)} },
		"group":  func(uint64) []storage.Store { return []storage.Store{storage.Group(new(storage.Mem), nil)} },
		"chaos":  func(seed uint64) []storage.Store { return []storage.Store{storagetest.Chaos(new(storage.Mem), seed)} },
		"two groups under chaos": func(seed uint64) []storage.Store {
			s := storagetest.Chaos(new(storage.Mem), seed)
			return []storage.Store{storage.Group(s, nil), storage.Group(s, nil)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(5) {
				history(t, seed, open(seed))
			}
		})
	}
}

func history(t *testing.T, seed uint64, stores []storage.Store) {
	const callers, calls, accountsN = 16, 12, 2
	err := errors.New("none yet")
	for range 100 {
		err = storage.Update(t.Context(), stores[0], func(tx *storage.Tx) error {
			for a := range accountsN {
				if err := accounts.Put(tx, "acme", fmt.Sprint(a), account{Units: 20}); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			break
		}
	}
	require.NoError(t, err)
	if c, ok := stores[0].(*storagetest.Chaotic); ok {
		require.NoError(t, c.Settle(t.Context()))
	}
	var mu sync.Mutex
	var ops []porcupine.Operation
	var wg sync.WaitGroup
	start := time.Now()
	for w := range callers {
		rnd := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			for i := range calls {
				in := bankCall{account: rnd.IntN(accountsN), units: rnd.IntN(7) - 2}
				ctx, cancel := context.WithCancel(t.Context())
				if rnd.IntN(8) == 0 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(rnd.IntN(300))*time.Microsecond)
				}
				op := porcupine.Operation{ClientId: w, Input: in, Call: time.Since(start).Nanoseconds()}
				left, err := take(ctx, stores[w%len(stores)], fmt.Sprint("op-", w, "-", i), fmt.Sprint(in.account), in.units)
				cancel()
				op.Return = time.Since(start).Nanoseconds()
				switch {
				case err == nil:
					op.Output = bankAnswer{left: left}
				case errors.Is(err, storage.ErrUnknown):
					op.Output, op.Return = bankAnswer{unknown: true}, math.MaxInt64
				case errors.Is(err, errInsufficient):
					op.Output = bankAnswer{refused: true}
				default: // surely nothing happened
					if !errors.Is(err, storage.ErrContended) && ctx.Err() == nil {
						t.Error(err)
					}
					continue
				}
				mu.Lock()
				ops = append(ops, op)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		if g, ok := s.(*storage.Grouped); ok {
			require.NoError(t, g.Close())
		}
	}
	assert.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(bank, ops, 20*time.Second), "seed %d", seed)
}
