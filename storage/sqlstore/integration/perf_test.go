package integration_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
)

// perf skips what measures, but in a run for that. COUNTERSIGN_PERF_SECONDS is
// how long each measurement takes; 2 by default.
func perf(t *testing.T) time.Duration {
	t.Helper()
	if os.Getenv("COUNTERSIGN_PERF") != "1" {
		t.Skip("COUNTERSIGN_PERF=1 measures")
	}
	if n, err := strconv.Atoi(os.Getenv("COUNTERSIGN_PERF_SECONDS")); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return 2 * time.Second
}

// rate runs do in clients goroutines for a time and returns calls per second.
func rate(t *testing.T, d time.Duration, clients int, do func(client, i int) error) float64 {
	t.Helper()
	var calls atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for c := range clients {
		wg.Go(func() {
			for i := 0; time.Since(start) < d; i++ {
				if err := do(c, i); err != nil {
					t.Error(err)
					return
				}
				calls.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(calls.Load()) / time.Since(start).Seconds()
}

// between measures what has a floor, with the floor before and after it, and
// prints it. It fails beyond twice the target, which is a multiple of the floor.
func between(t *testing.T, id, what string, target float64, floor, do func() float64) {
	t.Helper()
	before := floor()
	got := do()
	f := (before + floor()) / 2
	fmt.Printf("PERF %s %s: %.0f/s floor %.0f/s ratio %.2f target %.2f\n", id, what, got, f, got/f, target)
	assert.GreaterOrEqual(t, got/f, target/2, what)
}

// floors are what the server does without us: a statement per transaction, from
// 16 clients, prepared, as pgbench does it.
type floors struct {
	t  *testing.T
	d  time.Duration
	db *sql.DB
}

func newFloors(t *testing.T, d database, took time.Duration) floors {
	t.Helper()
	db := d.connect(t, d.driver, d.dsn(t))
	for _, text := range []string{"DROP TABLE IF EXISTS floor_hot, floor_rows", "CREATE TABLE floor_hot (id int PRIMARY KEY, n bigint NOT NULL)",
		"INSERT INTO floor_hot VALUES (1, 0)", "CREATE TABLE floor_rows (id text PRIMARY KEY, data bytea NOT NULL)"} {
		_, err := db.ExecContext(t.Context(), text)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		_, err := db.ExecContext(context.Background(), "DROP TABLE floor_hot, floor_rows")
		require.NoError(t, err)
	})
	return floors{t, took, db}
}

func (f floors) update() float64 {
	return rate(f.t, f.d/2, 16, func(int, int) error {
		_, err := f.db.ExecContext(f.t.Context(), "UPDATE floor_hot SET n = n + 1 WHERE id = $1", 1)
		return err
	})
}

func (f floors) insert() float64 {
	data, run := make([]byte, 280), rand.Uint64()
	return rate(f.t, f.d/2, 16, func(c, i int) error {
		_, err := f.db.ExecContext(f.t.Context(), "INSERT INTO floor_rows VALUES ($1, $2)", fmt.Sprintf("%016x-%x-%x", i, c, run), data)
		return err
	})
}

// reserves holds a unit per call on one of accounts, named by time as the SDK
// names them, and returns calls per second.
func reserves(t *testing.T, l *quota.Ledger, d time.Duration, callers, accounts int, run string) float64 {
	t.Helper()
	perSecond, _ := timed(t, l, d, callers, accounts, run)
	return perSecond
}

// timed is reserves, and within which time 99 of 100 calls were answered.
func timed(t *testing.T, l *quota.Ledger, d time.Duration, callers, accounts int, run string) (perSecond float64, p99 time.Duration) {
	t.Helper()
	var n atomic.Int64
	took := make([][]time.Duration, callers)
	perSecond = rate(t, d, callers, func(c, _ int) error {
		at := time.Now()
		err := reserveOne(t.Context(), l, n.Add(1), accounts, run)
		took[c] = append(took[c], time.Since(at))
		return err
	})
	all := slices.Concat(took...)
	slices.Sort(all)
	return perSecond, all[len(all)*99/100]
}

func reserveOne(ctx context.Context, l *quota.Ledger, i int64, accounts int, run string) error {
	_, err := l.Reserve(ctx, quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(fmt.Sprintf("%016x%s", i, run)), Account: quota.AccountID(fmt.Sprint("a", i%int64(accounts))),
		Lines: []quota.LineRequest{{Slot: "1", Kind: quota.KindOrdinary, Channel: quota.WeChat}}})
	return err
}

func (d database) perf(t *testing.T, accounts int) (*sqlstore.Store, *storage.Grouped, *quota.Ledger, child) {
	t.Helper()
	dsn := d.dsn(t)
	s, o := d.openOn(t, d.connect(t, d.driver, dsn), nil)
	g := storage.Group(s, nil)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	l, err := quota.New(quota.Config{Store: g})
	require.NoError(t, err)
	grantAll(t, l, accounts)
	return s, g, l, child{Job: "bench", Driver: d.driver, DSN: dsn, Dialect: d.dialect, Prefix: o.Prefix}
}

func TestPerfPostgreSQL(t *testing.T) {
	took := perf(t)
	d := databases[0]
	d.need(t)
	f := newFloors(t, d, took)
	_, _, l, c := d.perf(t, 1)
	reserves(t, l, took/4, 256, 1, "warm")
	var p99 time.Duration
	between(t, "Q1", "PostgreSQL, one account, 256 callers against one-row UPDATE, 16 clients", 10, f.update,
		func() (perSecond float64) {
			perSecond, p99 = timed(t, l, took, 256, 1, "hot")
			return perSecond
		})
	fmt.Printf("PERF Q1-p99 PostgreSQL, one account, 256 callers, 99 of 100 calls: %s floor 15ms ratio %.2f target < 1\n", p99, p99.Seconds()/0.015)
	for _, callers := range []int{64, 256} {
		between(t, fmt.Sprint("Q3-", callers), fmt.Sprintf("PostgreSQL, one account, 4 processes of %d callers against the same UPDATE", callers), 5, f.update,
			func() float64 { return c.processes(t, took, callers) })
	}
	_, _, l, _ = d.perf(t, 10000)
	reserves(t, l, took/4, 256, 10000, "warm")
	between(t, "Q2", "PostgreSQL, 10000 accounts, 256 callers against one-row INSERT, 16 clients", 0.9, f.insert,
		func() float64 { return reserves(t, l, took, 256, 10000, "many") })
}

// processes has four processes reserve on one account.
func (c child) processes(t *testing.T, d time.Duration, callers int) float64 {
	t.Helper()
	var mu sync.Mutex
	total := 0.0
	var wg sync.WaitGroup
	c.Until, c.Callers = time.Now().Add(time.Second+d).UnixNano(), callers
	for n := range 4 {
		c.Run, c.Number = fmt.Sprintf("p%d-%x", n, rand.Uint32()), n
		cmd, lines, stderr := c.command(t)
		wg.Go(func() {
			for lines.Scan() {
				var r float64
				if assert.NoError(t, json.Unmarshal(lines.Bytes(), &r)) {
					mu.Lock()
					total += r
					mu.Unlock()
				}
			}
			assert.NoError(t, cmd.Wait())
			assert.Empty(t, stderr.String())
		})
	}
	wg.Wait()
	return total
}

// bench reserves from the last of its seconds until its end, and prints calls per
// second.
func (c child) bench(s *sqlstore.Store) error {
	g := storage.Group(s, nil)
	l, err := quota.New(quota.Config{Store: g})
	if err != nil {
		return err
	}
	until := time.Unix(0, c.Until)
	var n, counted atomic.Int64
	errs := make(chan error, c.Callers)
	start := time.Now().Add(time.Until(until) / 4) // once all are at work
	for range c.Callers {
		go func() {
			for time.Now().Before(until) {
				if err := reserveOne(context.Background(), l, n.Add(1), 1, c.Run); err != nil {
					errs <- err
					return
				}
				if time.Now().After(start) {
					counted.Add(1)
				}
			}
			errs <- nil
		}()
	}
	for range c.Callers {
		if err := <-errs; err != nil {
			return err
		}
	}
	fmt.Println(float64(counted.Load()) / time.Since(start).Seconds())
	return g.Close()
}

func TestPerfSQLite(t *testing.T) {
	took := perf(t)
	d := databases[2]
	dir := t.TempDir()
	for id, accounts := range map[string]int{"Q4": 1, "Q5": 10000} {
		_, _, l, _ := d.perf(t, accounts)
		reserves(t, l, took/4, 256, accounts, "warm")
		target := map[int]float64{1: 3, 10000: 1}[accounts]
		between(t, id, fmt.Sprintf("SQLite, durable, %d accounts, 256 callers against writes of 8 kB with fsync", accounts), target,
			func() float64 { return syncs(t, dir, took/2) }, func() float64 { return reserves(t, l, took, 256, accounts, "hot") })
	}
}

// syncs is how many writes of 8 kB the disk takes, each synced.
func syncs(t *testing.T, dir string, d time.Duration) float64 {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "floor"))
	require.NoError(t, err)
	defer f.Close()
	page := make([]byte, 8192)
	return rate(t, d, 1, func(int, int) error {
		if _, err := f.WriteAt(page, 0); err != nil {
			return err
		}
		return f.Sync()
	})
}

// The balance of an account with a long journal costs what that of a new one
// does. COUNTERSIGN_ENTRIES is how long; they are copied within the database.
func TestPerfBalanceOfLongJournal(t *testing.T) {
	took := perf(t)
	entries := 200_000
	if n, err := strconv.Atoi(os.Getenv("COUNTERSIGN_ENTRIES")); err == nil {
		entries = n
	}
	d := databases[0]
	d.need(t)
	s, _, l, c := d.perf(t, 2)
	for i := range 5 {
		require.NoError(t, reserveOne(t.Context(), l, int64(2*i), 2, "few"))
		require.NoError(t, reserveOne(t.Context(), l, int64(2*i+1), 2, "many"))
	}
	db := d.connect(t, d.driver, c.DSN)
	table := `"` + c.Prefix + `entry"`
	for at, part := 100, 0; at < entries; at += part {
		part = min(1_000_000, entries-at)
		_, err := db.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO %[1]s SELECT tenant, kind, id, %[2]d + i, n, at, parts, data FROM %[1]s, generate_series(1, %[3]d) AS i WHERE id = 'a1' AND seq = 2",
			table, at, part))
		require.NoError(t, err)
	}
	_, err := db.ExecContext(t.Context(), "VACUUM ANALYZE "+table)
	require.NoError(t, err)
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table+" WHERE id = 'a1'").Scan(&n))
	require.GreaterOrEqual(t, n, entries-100)
	plain, err := quota.New(quota.Config{Store: s})
	require.NoError(t, err)
	latency := map[quota.AccountID][]time.Duration{}
	for start := time.Now(); time.Since(start) < 2*took; {
		for _, a := range []quota.AccountID{"a0", "a1"} { // in turns: the machine is not always as fast
			at := time.Now()
			_, err := plain.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: a})
			require.NoError(t, err)
			latency[a] = append(latency[a], time.Since(at))
		}
	}
	median := func(a quota.AccountID) float64 {
		slices.Sort(latency[a])
		return float64(latency[a][len(latency[a])/2].Nanoseconds()) / 1000
	}
	few, many := median("a0"), median("a1")
	fmt.Printf("PERF Q6 balance after %d entries, PostgreSQL, median: %.0fus floor %.0fus (10 entries) ratio %.3f target 1.05\n", entries, many, few, many/few)
	assert.LessOrEqual(t, many/few, 1.1)
}
