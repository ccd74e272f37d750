package quota_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// TestRace_one_wins lets signing and revoking race for every line: exactly one
// wins, the other is told how it ended, and no unit is lost or made.
func TestRace_SignVersusRevoke_one_wins(t *testing.T) {
	for name, open := range map[string]func(*testing.T) storage.Store{
		"plain": func(*testing.T) storage.Store { return new(storage.Mem) },
		"grouped": func(t *testing.T) storage.Store {
			g := storage.Group(new(storage.Mem), nil)
			t.Cleanup(func() { _ = g.Close() })
			return g
		},
	} {
		t.Run(name, func(t *testing.T) {
			const envelopes = 60
			k := newKit(t, quota.Config{Store: open(t)})
			k.lot("a", envelopes, 300)
			for i := range envelopes {
				k.reserve(quota.HoldID(fmt.Sprintf("env-%d", i)), line("li", quota.WeChat))
			}
			var signed, revoked atomic.Int64
			var wg sync.WaitGroup
			problems := make(chan error, 1000)
			settle := func(err error, won *atomic.Int64) {
				var settled *quota.SettledError
				switch {
				case err == nil:
					won.Add(1)
				case !errors.As(err, &settled):
					problems <- err
				}
			}
			for i := range envelopes {
				id := quota.HoldID(fmt.Sprintf("env-%d", i))
				wg.Go(func() {
					_, err := k.Capture(t.Context(), quota.CaptureRequest{Tenant: tenant, ID: "sign-" + string(id), Hold: id, Slots: []quota.SlotID{"li"}})
					settle(err, &signed)
				})
				wg.Go(func() {
					_, err := k.Release(t.Context(), quota.ReleaseRequest{Tenant: tenant, ID: "revoke-" + string(id), Hold: id, Slots: []quota.SlotID{"li"}, Cause: quota.Revoked})
					settle(err, &revoked)
				})
			}
			wg.Wait()
			close(problems)
			for err := range problems {
				require.NoError(t, err)
			}
			assert.EqualValues(t, envelopes, signed.Load()+revoked.Load(), "exactly one wins each")
			lot := k.lotNow("a")
			assert.Zero(t, lot.Held)
			assert.EqualValues(t, signed.Load(), lot.Used)
			k.verify()
		})
	}
}

// TestRace_no_overdraft lets many callers hold more than there is: as many
// succeed as there are units.
func TestRace_no_overdraft_I1(t *testing.T) {
	g := storage.Group(new(storage.Mem), nil)
	t.Cleanup(func() { _ = g.Close() })
	k := newKit(t, quota.Config{Store: g})
	k.lot("a", 40, 300)
	var got, short atomic.Int64
	var wg sync.WaitGroup
	problems := make(chan error, 100)
	for i := range 100 {
		wg.Go(func() {
			_, err := k.tryReserve(quota.HoldID(fmt.Sprintf("env-%d", i%80)), line("li", quota.WeChat))
			switch {
			case err == nil:
				got.Add(1)
			case errors.Is(err, quota.ErrInsufficient):
				short.Add(1)
			default:
				problems <- err
			}
		})
	}
	wg.Wait()
	close(problems)
	for err := range problems {
		require.NoError(t, err)
	}
	assert.EqualValues(t, 40, k.lotNow("a").Held)
	assert.EqualValues(t, 100, got.Load()+short.Load())
	assert.GreaterOrEqual(t, got.Load(), int64(40), "repeated ids answer the same")
	k.verify()
}
