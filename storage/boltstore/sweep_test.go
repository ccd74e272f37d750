package boltstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

// A sweep with a long way to go delays nobody: one caller holds units on an account
// of its own while lots of others, COUNTERSIGN_SWEEP_ITEMS of them, are booked as
// ended. The floor is the same caller without a sweep.
func TestPerfSweepDelaysNobody(t *testing.T) {
	if os.Getenv("COUNTERSIGN_PERF") != "1" {
		t.Skip("COUNTERSIGN_PERF=1 measures")
	}
	items := 10_000
	if n, err := strconv.Atoi(os.Getenv("COUNTERSIGN_SWEEP_ITEMS")); err == nil {
		items = n
	}
	s, err := boltstore.Open(filepath.Join(t.TempDir(), "store.db"), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	g := storage.Group(s, nil)
	defer func() { require.NoError(t, g.Close()) }()
	var ahead atomic.Int64 // how far the clock is, in nanoseconds
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	l, err := quota.New(quota.Config{Store: g, Now: now})
	require.NoError(t, err)
	const batch = 200
	start := now()
	for i := 0; i < items; i += batch {
		grants := make([]quota.GrantRequest, 0, batch)
		for k := i; k < min(i+batch, items); k++ {
			id := fmt.Sprintf("due-%08x", k)
			grants = append(grants, quota.GrantRequest{Tenant: tenant, ID: quota.LotID(id), Account: quota.AccountID(id), Unit: quota.UnitSign, Units: 5,
				Term: quota.Term{Years: 1}, From: start})
		}
		_, errs, err := l.GrantMany(t.Context(), grants)
		require.NoError(t, err)
		for _, err := range errs {
			require.NoError(t, err)
		}
	}
	ahead.Store(int64(2 * 365 * 24 * time.Hour))
	_, err = l.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "live", Account: "live", Unit: quota.UnitSign, Units: 1e9, Term: quota.Term{Years: 1}})
	require.NoError(t, err)

	held := 0
	holds := func(until func() bool) []time.Duration {
		var took []time.Duration
		for !until() {
			held++
			at := time.Now()
			_, err := l.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(fmt.Sprintf("h-%08x", held)), Account: "live",
				Lines: []quota.LineRequest{{Slot: "1", Kind: quota.KindOrdinary, Channel: quota.WeChat}}})
			took = append(took, time.Since(at))
			require.NoError(t, err)
		}
		slices.Sort(took)
		return took
	}
	swept, sweeping := 0, time.Now()
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			for {
				n, err := l.Sweep(context.Background(), 1000)
				if swept += n; err != nil || n < 1000 {
					return err
				}
			}
		}()
	}()
	var failed error
	during := holds(func() bool {
		select {
		case failed = <-done:
			return true
		default:
			return false
		}
	})
	took := time.Since(sweeping)
	require.NoError(t, failed)
	require.Equal(t, items, swept)
	idle := time.Now()
	alone := holds(func() bool { return time.Since(idle) > min(took, 20*time.Second) })
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	for _, q := range []struct {
		name string
		of   float64
	}{{"p50", .5}, {"p99.9", .999}, {"longest", 1}} {
		at := func(of []time.Duration) float64 { return ms(of[min(int(q.of*float64(len(of))), len(of)-1)]) }
		fmt.Printf("PERF Q7 %s of %d holds, bolt, while a sweep books %d ended lots in %s: %.2fms floor %.2fms without it ratio %.2f target 10ms more\n",
			q.name, len(during), items, took.Round(time.Second/10), at(during), at(alone), at(during)/at(alone))
	}
}
