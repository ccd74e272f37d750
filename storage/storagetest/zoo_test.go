package storagetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// bent is a store that is right but for the methods it replaces. The zoo is in
// the package because it runs the rules one by one, without a testing.T to fail.
type bent struct {
	storage.Mem
	mu      sync.Mutex
	get     func(ctx context.Context, keys []storage.Key) ([]storage.Record, error)
	commit  func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error)
	entries func(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error)
	due     func(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error)
	list    func(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error)
}

func (b *bent) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	if b.get != nil {
		return b.get(ctx, keys)
	}
	return b.Mem.Get(ctx, keys)
}

func (b *bent) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	if b.commit != nil {
		return b.commit(ctx, batches)
	}
	return b.Mem.Commit(ctx, batches)
}

func (b *bent) Entries(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	if b.entries != nil {
		return b.entries(ctx, stream, after, limit)
	}
	return b.Mem.Entries(ctx, stream, after, limit)
}

func (b *bent) Due(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
	if b.due != nil {
		return b.due(ctx, kind, until, limit)
	}
	return b.Mem.Due(ctx, kind, until, limit)
}

func (b *bent) List(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
	if b.list != nil {
		return b.list(ctx, tenant, kind, after, limit)
	}
	return b.Mem.List(ctx, tenant, kind, after, limit)
}

// on replaces the batches of every Commit.
func (b *bent) on(change func(batches []storage.Batch) []storage.Batch) {
	b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
		if err := errors.Join(ctx.Err(), storage.CheckBatch(batches...)); err != nil {
			return nil, err
		}
		cloned := make([]storage.Batch, len(batches))
		for i := range batches {
			cloned[i] = clone(batches[i])
		}
		return b.Mem.Commit(ctx, change(cloned))
	}
}

// writes replaces every Write of a batch; drop leaves it out.
func (b *bent) writes(change func(w *storage.Write) (keep bool)) {
	b.on(func(batches []storage.Batch) []storage.Batch {
		for i := range batches {
			var kept []storage.Write
			for _, w := range batches[i].Writes {
				if change(&w) {
					kept = append(kept, w)
				}
			}
			batches[i].Writes = kept
		}
		return batches
	})
}

func (b *bent) current(k storage.Key) storage.Record {
	recs, err := b.Mem.Get(context.Background(), []storage.Key{k})
	if err != nil {
		panic(err)
	}
	return recs[0]
}

// fold makes the store match keys as fold gives them, as a database with a
// collation does: it shows a record as it was first written.
func (b *bent) fold(fold func(storage.Key) storage.Key) {
	first := make(map[storage.Key]storage.Key)
	name := func(k storage.Key) storage.Key {
		if old, ok := first[fold(k)]; ok {
			return old
		}
		return k
	}
	b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		folded := make([]storage.Key, len(keys))
		for i, k := range keys {
			folded[i] = name(k)
		}
		recs, err := b.Mem.Get(ctx, folded)
		for i := range recs {
			recs[i].Key = keys[i]
		}
		return recs, err
	}
	b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if err := storage.CheckBatch(batches...); err != nil {
			return nil, err
		}
		for i := range batches {
			batches[i] = clone(batches[i])
			for j := range batches[i].Writes {
				w := &batches[i].Writes[j]
				w.Key = name(w.Key)
				first[fold(w.Key)] = w.Key
			}
			for j := range batches[i].Entries {
				batches[i].Entries[j].Stream = name(batches[i].Entries[j].Stream)
			}
		}
		return b.Mem.Commit(ctx, batches)
	}
}

// An animal is a broken store.
type animal struct {
	name   string
	caught string // names of the rules that must catch it, separated by ", "
	bend   func(b *bent)
}

func checkedKey(k storage.Key) error { return storage.CheckKeys(k) }

func TestZoo(t *testing.T) {
	caught := make(map[string]bool)
	for _, animal := range append(recordZoo, indexZoo...) {
		t.Run(animal.name, func(t *testing.T) {
			for name := range strings.SplitSeq(animal.caught, ", ") {
				i := slices.IndexFunc(storeRules, func(r rule) bool { return r.name == name })
				require.GreaterOrEqual(t, i, 0, "no rule %q", name)
				r := storeRules[i]
				var err error
				for range 20 { // a race needs luck
					b := new(bent)
					animal.bend(b)
					if err = r.check(b); err != nil {
						break
					}
				}
				require.Error(t, err, "rule %q lets it pass", name)
				assert.ErrorContains(t, err, r.text, "the rule is not printed")
				t.Log(err)
				caught[name] = true
			}
		})
	}
	for _, r := range storeRules {
		assert.True(t, caught[r.name], "no animal of the zoo breaks rule %q", r.name)
	}
}

// acknowledged before durable: the last Commit is still in memory.
func TestZooDurable(t *testing.T) {
	disk := new(storage.Mem)
	open := func() storage.Store {
		b := new(bent)
		var behind []storage.Batch
		b.get, b.list, b.due, b.entries = disk.Get, disk.List, disk.Due, disk.Entries
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			if _, err := disk.Commit(ctx, behind); err != nil {
				return nil, err
			}
			behind = batches
			outs := make([]storage.Outcome, len(batches))
			for i := range outs {
				outs[i].OK = true
			}
			return outs, nil
		}
		return b
	}
	err := reopenRule(open).check(open())
	require.ErrorContains(t, err, "would survive a crash")
	right := new(storage.Mem)
	require.NoError(t, reopenRule(func() storage.Store { return right }).check(right))
}
