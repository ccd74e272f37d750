package storage_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/storage"
)

// One unit of work of the usual shape: a kept answer, a head read and written.
func benchmarkTake(b *testing.B, s storage.Store, callers int) {
	if _, err := scenarioAccount(b.Context(), s, 1<<40); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(callers)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := fmt.Sprintf("%016x", n.Add(1))
			if _, err := take(b.Context(), s, id, "li", 1); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkUpdateMem(b *testing.B) {
	s := new(storage.Mem)
	if _, err := scenarioAccount(b.Context(), s, 1<<40); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := take(b.Context(), s, fmt.Sprintf("%016x", i), "li", 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdateGroupMem(b *testing.B) {
	for _, callers := range []int{1, 128} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			benchmarkTake(b, storage.Group(new(storage.Mem), nil), callers)
		})
	}
}
