package storage_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// lostRaces is a store that counts the batches that came too late.
type lostRaces struct {
	storage.Store
	n atomic.Int64
}

func (l *lostRaces) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	outs, err := l.Store.Commit(ctx, batches)
	for _, o := range outs {
		if !o.OK {
			l.n.Add(1)
		}
	}
	return outs, err
}

// Calls that come near anything else run among those that write the same record,
// not against them.
func TestGroupCallsFindTheirShard(t *testing.T) {
	l := &lostRaces{Store: new(storage.Mem)}
	g := storage.Group(l, &storage.GroupOptions{Shards: 4})
	near := func(s string) *storage.UpdateOptions { return &storage.UpdateOptions{Near: []storage.Key{key(s)}} }
	add := func(to string, more ...string) func(*storage.Tx) error {
		return func(tx *storage.Tx) error {
			for _, id := range append(more, to) {
				recs, err := tx.Get(key(id))
				if err != nil {
					return err
				}
				if err := tx.Put(key(id), append(recs[0].Data, 'x'), time.Time{}); err != nil {
					return err
				}
			}
			return nil
		}
	}
	ids := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, id := range ids {
		require.NoError(t, storage.UpdateWith(t.Context(), g, near(id), add(id)))
	}
	const callers, calls = 32, 20
	each := func(fn func(w, i int) error) {
		var wg sync.WaitGroup
		for w := range callers {
			wg.Go(func() {
				for i := range calls {
					assert.NoError(t, fn(w, i))
				}
			})
		}
		wg.Wait()
	}
	each(func(w, i int) error {
		return storage.UpdateWith(t.Context(), g, near(fmt.Sprint(w, i)), add("a"))
	})
	assert.Zero(t, l.n.Load(), "races lost to the own group")
	assert.Len(t, get(t, l, key("a")).Data, 1+callers*calls)
	// What belongs to several shards runs in one of them, and goes back and forth no more.
	each(func(w, i int) error {
		return storage.UpdateWith(t.Context(), g, near(fmt.Sprint(w, i)), add(ids[w%8], ids[(w+1+i%7)%8]))
	})
	total := 0
	for _, id := range ids {
		total += len(get(t, l, key(id)).Data)
	}
	assert.Equal(t, len(ids)+3*callers*calls, total)
	require.NoError(t, g.Close())
}
