package quota_test

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// BenchmarkPair measures a hold and its capture in memory. Its floor is [flatBooks].
// "pairs/cpu-s" counts the seconds that the process had a processor, so that what
// else the machine does leaves it alone; "floor/pair" is how many floors a pair costs.
func BenchmarkPair(b *testing.B) {
	b.Run("direct", func(b *testing.B) { benchPairs(b, 1, 1, func(s storage.Store) storage.Store { return s }) })
	b.Run("group", func(b *testing.B) { benchPairs(b, 1, 1, grouped) })
	b.Run("group, 20 lots", func(b *testing.B) { benchPairs(b, 20, 1, grouped) })
	b.Run("group, 256 callers", func(b *testing.B) { benchPairs(b, 1, 256, grouped) })
	b.Run("many, 100 in a commit", func(b *testing.B) { benchMany(b, 100) })
}

func grouped(s storage.Store) storage.Store { return storage.Group(s, nil) }

// flatBooks are the same books as flat structures in one goroutine, with room made
// before: holds found by their id in a table, a journal of 120 bytes an entry, no
// store, no kept answers.
type flatBooks struct {
	available, used int64
	ids             []string
	table           []uint32 // positions in holds, by the hash of their id, from 1
	holds           []flatHold
	journal         []flatEntry
}

type flatHold struct {
	id           string
	units, state int64
}

type flatEntry [15]int64

var flatSeed = maphash.MakeSeed()

func newFlatBooks(n int) *flatBooks {
	f := &flatBooks{
		ids: make([]string, n), table: make([]uint32, 1<<bits.Len(uint(2*n))),
		holds: make([]flatHold, 0, n), journal: make([]flatEntry, 0, 2*n),
	}
	for i := range f.ids {
		r, _ := benchRequests(int64(i))
		f.ids[i] = string(r.ID)
	}
	return f
}

// find returns where a hold is in the table, or would be.
func (f *flatBooks) find(id string) *uint32 {
	mask := uint64(len(f.table) - 1)
	for i := maphash.String(flatSeed, id) & mask; ; i = (i + 1) & mask {
		if at := f.table[i]; at == 0 || f.holds[at-1].id == id {
			return &f.table[i]
		}
	}
}

// run takes and captures a unit for each id.
func (f *flatBooks) run() {
	clear(f.table)
	f.available, f.used = int64(len(f.ids)), 0
	f.holds, f.journal = f.holds[:0], f.journal[:0]
	for _, id := range f.ids {
		at := f.find(id)
		f.available--
		f.holds = append(f.holds, flatHold{id: id, units: 1, state: 1})
		*at = uint32(len(f.holds))
		f.journal = append(f.journal, flatEntry{int64(len(f.journal)), 1, 0, 1})
		h := &f.holds[*f.find(id)-1]
		h.state = 2
		f.used += h.units
		f.journal = append(f.journal, flatEntry{int64(len(f.journal)), 2, 0, 1})
	}
}

// flatRate is how many pairs flat books do in a second of processor time.
var flatRate = sync.OnceValue(func() float64 {
	const n = 50_000
	f := newFlatBooks(n)
	f.run() // which touches the memory
	return cpuRate(n, f.run)
})

func report(b *testing.B, start time.Duration, pairs int) {
	b.Helper()
	rate := float64(pairs) / (spent() - start).Seconds()
	b.ReportMetric(rate, "pairs/cpu-s")
	b.ReportMetric(flatRate()/rate, "floor/pair")
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
	flatRate()
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
	report(b, start, b.N)
}

func benchMany(b *testing.B, batch int) {
	l := benchLedger(b, 1, grouped)
	flatRate()
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
	report(b, start, pairs)
}
