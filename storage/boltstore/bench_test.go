package boltstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

// BenchmarkHot measures durable updates of one record, each with an entry of its
// stream and an answer kept under an id. Its floor is one write of 8 kB and one
// sync, in the same directory, before and after: "updates/sync" is how many
// updates the time of a floor pays for.
func BenchmarkHot(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) { benchHot(b, callers) })
	}
}

func benchHot(b *testing.B, callers int) {
	dir := b.TempDir()
	s, err := boltstore.Open(filepath.Join(dir, "store.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	g := storage.Group(s, nil)
	defer g.Close()
	before := syncTime(b, dir)
	var left, n atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := take(b.Context(), g, fmt.Sprintf("%016x", n.Add(1))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	floor := (before + syncTime(b, dir)) / 2
	rate := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "updates/s")
	b.ReportMetric(1/floor, "syncs/s")
	b.ReportMetric(rate*floor, "updates/sync")
}

// syncTime is how many seconds one write of 8 kB and one sync take.
func syncTime(b *testing.B, dir string) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 8192)
	const n = 200
	start := time.Now()
	for range n {
		if _, err := f.WriteAt(page, 0); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start).Seconds() / n
}
