package integration_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// BenchmarkReserve holds a unit per operation, in groups, as a service does.
func BenchmarkReserve(b *testing.B) {
	for _, d := range databases {
		for _, accounts := range []int{1, 10000} {
			for _, callers := range []int{1, 16, 256} {
				b.Run(fmt.Sprintf("%s/accounts=%d/callers=%d", d.dialect, accounts, callers), func(b *testing.B) {
					s := d.openB(b)
					g := storage.Group(s, nil)
					l, err := quota.New(quota.Config{Store: g})
					require.NoError(b, err)
					grantAll(b, l, accounts)
					var n atomic.Int64
					var wg sync.WaitGroup
					b.ResetTimer()
					start := time.Now()
					for range callers {
						wg.Go(func() {
							for {
								i := n.Add(1)
								if i > int64(b.N) {
									return
								}
								_, err := l.Reserve(b.Context(), quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(fmt.Sprintf("%016x", i)),
									Account: quota.AccountID(fmt.Sprint("a", i%int64(accounts))), Lines: []quota.LineRequest{{Slot: "1", Kind: quota.KindOrdinary, Channel: quota.WeChat}}})
								if err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
					b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "reserves/s")
					require.NoError(b, g.Close())
				})
			}
		}
	}
}

func grantAll(b testing.TB, l *quota.Ledger, accounts int) {
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < accounts; i += 64 {
				a := fmt.Sprint("a", i)
				_, err := l.Grant(b.Context(), quota.GrantRequest{Tenant: tenant, ID: quota.LotID("lot-" + a), Account: quota.AccountID(a), Unit: quota.UnitSign,
					Units: 1e9, Term: quota.Term{Years: 1}})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
