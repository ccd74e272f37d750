package quota_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// BenchmarkPair measures a hold and its capture in memory. Its floor is what the
// same books cost as flat structures in one goroutine: holds found by their id in
// a map, a journal of 120 bytes an entry, no store, no kept answers. "pairs/cpu-s"
// counts the seconds that the process had a processor, so that what else the
// machine does leaves it alone; "floor/pair" is how many floors a pair costs.
func BenchmarkPair(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		start := spent()
		flat(b.N)
		report(b, start, b.N, false)
	})
	b.Run("direct", func(b *testing.B) { benchPairs(b, 1, 1, func(s storage.Store) storage.Store { return s }) })
	b.Run("group", func(b *testing.B) { benchPairs(b, 1, 1, grouped) })
	b.Run("group, 20 lots", func(b *testing.B) { benchPairs(b, 20, 1, grouped) })
	b.Run("group, 256 callers", func(b *testing.B) { benchPairs(b, 1, 256, grouped) })
	b.Run("many, 100 in a commit", func(b *testing.B) { benchMany(b, 100) })
}

func grouped(s storage.Store) storage.Store { return storage.Group(s, nil) }

type flatHold struct{ lot, units, state int64 }

type flatEntry [15]int64

// flat takes and captures n units.
func flat(n int) (used int64) {
	lots := []int64{int64(n)}
	holds := make(map[string]*flatHold)
	var journal []flatEntry
	for i := range n {
		id := strconv.Itoa(i)
		lots[0]--
		holds[id] = &flatHold{0, 1, 1}
		journal = append(journal, flatEntry{int64(len(journal)), 1, 0, 1})
		h := holds[id]
		h.state = 2
		used += h.units
		journal = append(journal, flatEntry{int64(len(journal)), 2, 0, 1})
	}
	return used
}

var floorOnce = sync.OnceValue(func() float64 {
	const n = 200_000
	start := spent()
	flat(n)
	return (spent() - start).Seconds() / n
})

func report(b *testing.B, start time.Duration, pairs int, ratio bool) {
	b.Helper()
	took := (spent() - start).Seconds()
	b.ReportMetric(float64(pairs)/took, "pairs/cpu-s")
	if ratio {
		b.ReportMetric(took/float64(pairs)/floorOnce(), "floor/pair")
	}
}

func benchLedger(b *testing.B, live int, on func(storage.Store) storage.Store) *quota.Ledger {
	b.Helper()
	l, err := quota.New(quota.Config{Store: on(new(storage.Mem))})
	if err != nil {
		b.Fatal(err)
	}
	for i := range live {
		_, err := l.Grant(b.Context(), quota.GrantRequest{
			Tenant: tenant, ID: quota.LotID(fmt.Sprintf("lot-%d", i)), Account: account, Unit: quota.UnitSign, Units: 1 << 40,
			Term: quota.Term{Years: 1, Days: i},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return l
}

var (
	benchLines = []quota.LineRequest{{Slot: "1", Kind: quota.KindOrdinary, Channel: quota.WeChat}}
	benchSlots = []quota.SlotID{"1"}
)

// benchRequests makes pair i with little work of its own.
func benchRequests(i int64) (quota.ReserveRequest, quota.CaptureRequest) {
	b := [...]byte{'0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '/', '1', '/', 'c'}
	for k := 11; i > 0; k-- {
		b[k] += byte(i % 10)
		i /= 10
	}
	id := string(b[:])
	hold := quota.HoldID(id[:len(id)-2])
	return quota.ReserveRequest{Tenant: tenant, ID: hold, Account: account, Ref: "env", Lines: benchLines},
		quota.CaptureRequest{Tenant: tenant, ID: id, Hold: hold, Slots: benchSlots}
}

func benchPairs(b *testing.B, live, callers int, on func(storage.Store) storage.Store) {
	l := benchLedger(b, live, on)
	floorOnce()
	var n atomic.Int64
	pair := func(ctx context.Context) error {
		r, c := benchRequests(n.Add(1))
		_, err := l.Reserve(ctx, r)
		if err == nil {
			_, err = l.Capture(ctx, c)
		}
		return err
	}
	b.ReportAllocs()
	b.ResetTimer()
	start := spent()
	if callers == 1 {
		for range b.N {
			if err := pair(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		var wg sync.WaitGroup
		var left atomic.Int64
		left.Store(int64(b.N))
		for range callers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if err := pair(b.Context()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	report(b, start, b.N, true)
}

func benchMany(b *testing.B, batch int) {
	l := benchLedger(b, 1, grouped)
	floorOnce()
	b.ReportAllocs()
	b.ResetTimer()
	start := spent()
	pairs := 0
	for pairs < b.N {
		rs, cs := make([]quota.ReserveRequest, batch), make([]quota.CaptureRequest, batch)
		for k := range rs {
			rs[k], cs[k] = benchRequests(int64(pairs))
			pairs++
		}
		_, errs, err := l.ReserveMany(b.Context(), rs)
		if err != nil || errs[0] != nil {
			b.Fatal(err, errs[0])
		}
		if _, errs, err = l.CaptureMany(b.Context(), cs); err != nil || errs[0] != nil {
			b.Fatal(err, errs[0])
		}
	}
	report(b, start, pairs, true)
}
