package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

const tenant = "acme"

// The balance of an account with a long journal costs what that of a new one does.
// The ledger writes the journal itself: holds of eight lines, and their captures,
// from four callers. COUNTERSIGN_LEDGER_ENTRIES is how long it is to be.
func TestPerfBalanceOfWrittenJournal(t *testing.T) {
	if os.Getenv("COUNTERSIGN_PERF") != "1" {
		t.Skip("COUNTERSIGN_PERF=1 measures")
	}
	entries := 100_000
	if n, err := strconv.Atoi(os.Getenv("COUNTERSIGN_LEDGER_ENTRIES")); err == nil {
		entries = n
	}
	s, err := boltstore.Open(filepath.Join(t.TempDir(), "store.db"), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	g := storage.Group(s, nil)
	l, err := quota.New(quota.Config{Store: g})
	require.NoError(t, err)
	for _, a := range []string{"a0", "a1"} {
		_, err := l.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: quota.LotID("lot-" + a), Account: quota.AccountID(a), Unit: quota.UnitSign,
			Units: 1e9, Term: quota.Term{Years: 1}})
		require.NoError(t, err)
	}
	start := time.Now()
	require.NoError(t, writeJournal(t.Context(), l, "a0", 1, 1))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() { assert.NoError(t, writeJournal(t.Context(), l, "a1", w, entries/4)) })
	}
	wg.Wait()
	written := time.Since(start)
	require.NoError(t, g.Close())
	length := func(a string) uint64 {
		recs, err := s.Get(t.Context(), []storage.Key{{Tenant: tenant, Kind: "quota.acct", ID: a}})
		require.NoError(t, err)
		return recs[0].Seq
	}
	require.Less(t, length("a0"), uint64(100))
	require.GreaterOrEqual(t, length("a1"), uint64(entries))
	middle := start.Add(written / 2)
	plain, err := quota.New(quota.Config{Store: s})
	require.NoError(t, err)
	latency, asOf := map[string][]time.Duration{}, map[string][]time.Duration{}
	for start := time.Now(); time.Since(start) < 3*time.Second; {
		for _, a := range []string{"a0", "a1"} { // in turns: the machine is not always as fast
			req := quota.BalanceRequest{Tenant: tenant, Account: quota.AccountID(a)}
			at := time.Now()
			_, err := plain.Balance(t.Context(), req)
			latency[a] = append(latency[a], time.Since(at))
			require.NoError(t, err)
			at = time.Now()
			_, err = plain.AsOf(t.Context(), req, middle)
			asOf[a] = append(asOf[a], time.Since(at))
			require.NoError(t, err)
		}
	}
	median := func(of []time.Duration) float64 {
		slices.Sort(of)
		return float64(of[len(of)/2].Nanoseconds()) / 1000
	}
	few, many, then := median(latency["a0"]), median(latency["a1"]), median(asOf["a1"])
	fmt.Printf("PERF Q6 balance after %d entries that the ledger wrote in %s, bolt, median: %.2fus floor %.2fus (%d entries) ratio %.3f target 1.05\n",
		length("a1"), written.Round(time.Second), many, few, length("a0"), many/few)
	fmt.Printf("PERF Q6 the same as of half way, median: %.0fus target 5000us\n", then)
	assert.LessOrEqual(t, many/few, 1.1)
	assert.LessOrEqual(t, then, 10_000.0)
}

// writeJournal holds and captures until it wrote a number of entries.
func writeJournal(ctx context.Context, l *quota.Ledger, account string, writer, entries int) error {
	const lines, batch = 8, 60
	var slots []quota.SlotID
	var wanted []quota.LineRequest
	for i := range lines {
		slots = append(slots, quota.SlotID(strconv.Itoa(i)))
		wanted = append(wanted, quota.LineRequest{Slot: slots[i], Kind: quota.KindOrdinary, Channel: quota.WeChat})
	}
	for done := 0; done < entries; {
		n := min(batch, (entries-done+2*lines-1)/(2*lines))
		holds, captures := make([]quota.ReserveRequest, n), make([]quota.CaptureRequest, n)
		for i := range n {
			id := fmt.Sprintf("%s-%08x-%d", account, done/(2*lines)+i, writer)
			holds[i] = quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(id), Account: quota.AccountID(account), Lines: wanted}
			captures[i] = quota.CaptureRequest{Tenant: tenant, ID: id, Hold: quota.HoldID(id), Slots: slots}
		}
		_, errs, err := l.ReserveMany(ctx, holds)
		if err := errors.Join(append(errs, err)...); err != nil {
			return err
		}
		_, errs, err = l.CaptureMany(ctx, captures)
		if err := errors.Join(append(errs, err)...); err != nil {
			return err
		}
		done += n * 2 * lines
	}
	return nil
}
