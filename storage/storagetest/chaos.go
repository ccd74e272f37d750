package storagetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/countersign/countersign/storage"
)

// Chaos returns a store that, by chance drawn from seed, does all that the
// contract allows: it loses answers before and after storing, stores a batch
// late or twice, stores some batches of a call, calls a race lost that was not,
// and returns an empty or stale Current. About one Commit in four is affected.
// Late batches are stored during later calls; Settle stores the rest.
func Chaos(s storage.Store, seed uint64) *Chaotic {
	return &Chaotic{store: s, rnd: rand.New(rand.NewPCG(seed, 0)), stale: make(map[storage.Key]storage.Record)}
}

// A Chaotic is the store that [Chaos] returns.
type Chaotic struct {
	store storage.Store

	mu    sync.Mutex
	rnd   *rand.Rand
	late  []storage.Batch
	stale map[storage.Key]storage.Record // as once seen
}

var _ storage.Store = (*Chaotic)(nil)

// Settle stores what is still under way, if it can be stored.
func (c *Chaotic) Settle(ctx context.Context) error {
	c.mu.Lock()
	late := c.late
	c.late = nil
	c.mu.Unlock()
	for _, b := range late {
		if _, err := c.store.Commit(ctx, []storage.Batch{b}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chaotic) roll(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.IntN(n)
}

// Commit implements [storage.Store].
func (c *Chaotic) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	if err := storage.CheckBatch(batches...); err != nil {
		return nil, err
	}
	lost := fmt.Errorf("%w: %w", storage.ErrUnknown, ErrInjected)
	switch c.roll(24) {
	case 0: // not stored
		return nil, lost
	case 1: // stored
		if _, err := c.store.Commit(ctx, batches); err != nil {
			return nil, err
		}
		return nil, lost
	case 2: // stored later, or never
		c.mu.Lock()
		for _, b := range batches {
			c.late = append(c.late, clone(b))
		}
		c.mu.Unlock()
		return nil, lost
	case 3: // stored twice: the second loses
		if _, err := c.store.Commit(ctx, batches); err != nil {
			return nil, err
		}
		_, _ = c.store.Commit(ctx, batches) // whatever it says, the first is stored
		return nil, lost
	case 4: // stored in part
		for _, b := range batches {
			if c.roll(2) == 0 {
				continue
			}
			if _, err := c.store.Commit(ctx, []storage.Batch{b}); err != nil {
				break // others may be stored
			}
		}
		return nil, lost
	case 5: // a race lost to nobody
		return make([]storage.Outcome, len(batches)), nil
	case 6:
		if err := c.Settle(ctx); err != nil {
			return nil, err
		}
	case 7:
		runtime.Gosched()
	}
	outs, err := c.store.Commit(ctx, batches)
	if err != nil {
		return nil, err
	}
	for i := range outs {
		if outs[i].OK {
			continue
		}
		switch c.roll(3) {
		case 0:
			outs[i].Current = nil
		case 1:
			c.mu.Lock()
			for j, r := range outs[i].Current {
				if old, ok := c.stale[r.Key]; ok {
					old.Data = append([]byte(nil), old.Data...)
					outs[i].Current[j] = old
				}
			}
			c.mu.Unlock()
		}
	}
	return outs, nil
}

func clone(b storage.Batch) storage.Batch {
	out := storage.Batch{Writes: append([]storage.Write(nil), b.Writes...), Entries: append([]storage.Entry(nil), b.Entries...)}
	for i := range out.Writes {
		out.Writes[i].Data = append([]byte(nil), out.Writes[i].Data...)
	}
	for i := range out.Entries {
		out.Entries[i].Data = append([]byte(nil), out.Entries[i].Data...)
	}
	return out
}

// Get implements [storage.Store].
func (c *Chaotic) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	recs, err := c.store.Get(ctx, keys)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range recs {
		if c.rnd.IntN(4) == 0 {
			r.Data = append([]byte(nil), r.Data...)
			c.stale[r.Key] = r
		}
	}
	return recs, nil
}

// Entries implements [storage.Store].
func (c *Chaotic) Entries(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	return c.store.Entries(ctx, stream, after, limit)
}

// Due implements [storage.Store].
func (c *Chaotic) Due(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
	return c.store.Due(ctx, kind, until, limit)
}

// List implements [storage.Store].
func (c *Chaotic) List(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
	return c.store.List(ctx, tenant, kind, after, limit)
}
