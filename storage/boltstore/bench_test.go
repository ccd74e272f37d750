package boltstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

func BenchmarkGroup(b *testing.B) {
	for _, callers := range []int{1, 128} { // per processor
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s, err := boltstore.Open(filepath.Join(b.TempDir(), "store.db"), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			g := storage.Group(s, nil)
			defer g.Close()
			var n atomic.Int64
			b.SetParallelism(callers)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := take(b.Context(), g, fmt.Sprintf("%016x", n.Add(1))); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// The floor: one write of 8 kB and one sync.
func BenchmarkFloorSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 8192)
	for b.Loop() {
		if _, err := f.WriteAt(page, 0); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}
