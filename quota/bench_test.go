package quota_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// BenchmarkPair measures a hold and its capture through the whole stack in
// memory, beside the floor of the same run: flat structures, no store, no ids
// kept, no journal. "floor" is what "pair" is to be compared with.
func BenchmarkPair(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		type hold struct{ units, state int64 }
		var available, held, used int64 = int64(b.N), 0, 0
		holds := make([]hold, 1024)
		for i := 0; b.Loop(); i++ {
			h := &holds[i%len(holds)]
			available, held = available-1, held+1
			*h = hold{1, 1}
			held, used = held-1, used+1
			h.state = 2
		}
		if held != 0 || used == 0 {
			b.Fatal("the floor lost a unit")
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
	})
	for _, live := range []int{1, 20} {
		b.Run(fmt.Sprintf("pair, %d lots", live), func(b *testing.B) { benchPair(b, live) })
	}
}

func benchPair(b *testing.B, live int) {
	now := noon
	l, err := quota.New(quota.Config{Store: new(storage.Mem), Now: func() time.Time { return now }, NoAlerts: true})
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	for i := range live {
		_, err := l.Grant(ctx, quota.GrantRequest{
			Tenant: tenant, ID: quota.LotID(fmt.Sprintf("lot-%d", i)), Account: account, Unit: quota.UnitSign, Units: 1 << 40,
			Term: quota.Term{Years: 1, Days: i},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		now = now.Add(time.Microsecond)
		id := quota.HoldID(fmt.Sprintf("%012d/1", i))
		_, err := l.Reserve(ctx, quota.ReserveRequest{Tenant: tenant, ID: id, Account: account, Ref: "env", Lines: []quota.LineRequest{{Slot: "1", Kind: quota.KindOrdinary, Channel: quota.WeChat}}})
		if err != nil {
			b.Fatal(err)
		}
		_, err = l.Capture(ctx, quota.CaptureRequest{Tenant: tenant, ID: string(id) + "/c", Hold: id, Slots: []quota.SlotID{"1"}})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}
