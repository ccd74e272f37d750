package quota_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

// perf skips a measurement unless it is asked for. Each prints lines of what it
// saw beside a floor of the same run, and fails on no figure.
func perf(t *testing.T) {
	t.Helper()
	if os.Getenv("COUNTERSIGN_PERF") != "1" {
		t.Skip("COUNTERSIGN_PERF=1 measures")
	}
}

func perfLine(id, what string, rate, floor float64, target string) {
	fmt.Printf("PERF %s %s: %.0f/s floor %.0f/s ratio %.4f target %s\n", id, what, rate, floor, rate/floor, target)
}

// cpuRate is how often fn, which does n things, does them in a second of the
// process's own time: the best of three, for other work on the machine only takes.
func cpuRate(n int, fn func()) float64 {
	best := 0.0
	for range 3 {
		start := spent()
		fn()
		best = max(best, float64(n)/(spent()-start).Seconds())
	}
	return best
}

// TestPerf_memory_pairs measures holds and captures through the whole stack.
func TestPerf_memory_pairs(t *testing.T) {
	perf(t)
	const n = 50_000
	for _, c := range []struct {
		id, what       string
		callers, batch int
	}{
		{"L1", "hold and capture in memory, one caller", 1, 1},
		{"L2", "hold and capture in memory, 256 callers", 256, 1},
		{"L3", "hold and capture in memory, 100 in a commit", 1, 100},
	} {
		rate := cpuRate(n, func() {
			l := perfLedger(t, storage.Group(new(storage.Mem), nil), 1)
			runPairs(t, l, 1, c.callers, c.batch, n)
		})
		perfLine(c.id, c.what+", against flat books", rate, flatRate(), ">= 300000/s; 0.05")
	}
}

func perfLedger(t *testing.T, s storage.Store, accounts int) *quota.Ledger {
	t.Helper()
	l, err := quota.New(quota.Config{Store: s})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for w := range min(accounts, 256) {
		wg.Go(func() {
			for i := w; i < accounts; i += 256 {
				_, err := l.Grant(t.Context(), quota.GrantRequest{
					Tenant: tenant, ID: quota.LotID(fmt.Sprintf("lot-%d", i)), Account: perfAccount(i), Unit: quota.UnitSign, Units: 1 << 40,
					Term: quota.Term{Years: 1},
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return l
}

func perfAccount(i int) quota.AccountID { return quota.AccountID("acct-" + strconv.Itoa(i)) }

var perfID atomic.Int64

// runPairs makes n holds and captures them.
func runPairs(t *testing.T, l *quota.Ledger, accounts, callers, batch, n int) {
	var left atomic.Int64
	left.Store(int64(n))
	payers := make([]quota.AccountID, accounts)
	for i := range payers {
		payers[i] = perfAccount(i)
	}
	work := func() {
		for left.Add(-int64(batch)) >= 0 {
			if err := somePairs(t.Context(), l, payers, batch); err != nil {
				t.Error(err)
				return
			}
		}
	}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(work)
	}
	wg.Wait()
}

func somePairs(ctx context.Context, l *quota.Ledger, payers []quota.AccountID, batch int) error {
	if batch == 1 {
		i := perfID.Add(1)
		r, c := benchRequests(i)
		r.Account = payers[int(i)%len(payers)]
		if _, err := l.Reserve(ctx, r); err != nil {
			return err
		}
		_, err := l.Capture(ctx, c)
		return err
	}
	rs, cs := make([]quota.ReserveRequest, batch), make([]quota.CaptureRequest, batch)
	for k := range rs {
		i := perfID.Add(1)
		rs[k], cs[k] = benchRequests(i)
		rs[k].Account = payers[int(i)%len(payers)]
	}
	_, errs, err := l.ReserveMany(ctx, rs)
	if err = errors.Join(err, errors.Join(errs...)); err != nil {
		return err
	}
	_, errs, err = l.CaptureMany(ctx, cs)
	return errors.Join(err, errors.Join(errs...))
}

// TestPerf_bolt_durable measures holds, and holds with captures, that are synced
// before they are acknowledged.
func TestPerf_bolt_durable(t *testing.T) {
	perf(t)
	for _, c := range []struct {
		id, what          string
		accounts, callers int
	}{
		{"L4", "bolt, durable, one account, 1 caller", 1, 1},
		{"L5", "bolt, durable, one account, 256 callers", 1, 256},
		{"L6", "bolt, durable, 10000 accounts, 256 callers", 10_000, 256},
	} {
		dir := t.TempDir()
		s, err := boltstore.Open(filepath.Join(dir, "store.db"), nil)
		require.NoError(t, err)
		g := storage.Group(s, nil)
		l := perfLedger(t, g, c.accounts)
		before := syncRate(t, dir)
		for _, capture := range []bool{false, true} {
			n, start := 0, time.Now()
			var count atomic.Int64
			var wg sync.WaitGroup
			for range c.callers {
				wg.Go(func() {
					for time.Since(start) < 3*time.Second {
						i := perfID.Add(1)
						r, p := benchRequests(i)
						r.Account = perfAccount(int(i) % c.accounts)
						if _, err := l.Reserve(t.Context(), r); err != nil {
							t.Error(err)
							return
						}
						count.Add(1)
						if !capture {
							continue
						}
						if _, err := l.Capture(t.Context(), p); err != nil {
							t.Error(err)
							return
						}
						count.Add(1)
					}
				})
			}
			wg.Wait()
			n = int(count.Load())
			rate := float64(n) / time.Since(start).Seconds()
			what := map[bool]string{false: "holds", true: "holds and captures, each counted"}[capture]
			perfLine(c.id, c.what+", "+what+", against syncs of 8 kB", rate, (before+syncRate(t, dir))/2, ">= 20000/s; 3 (256 callers, one account)")
		}
		require.NoError(t, g.Close())
		require.NoError(t, s.Close())
	}
}

// syncRate is how many writes of 8 kB, each synced, a second has room for.
func syncRate(t *testing.T, dir string) float64 {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "floor"))
	require.NoError(t, err)
	defer f.Close()
	page := make([]byte, 8192)
	const n = 200
	start := time.Now()
	for range n {
		_, err := f.WriteAt(page, 0)
		require.NoError(t, err)
		require.NoError(t, f.Sync())
	}
	return n / time.Since(start).Seconds()
}
