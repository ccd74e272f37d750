package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// Animals that get records and batches wrong.
var recordZoo = []animal{
	{"lost update: Expect is ignored", "lost race, racing writers, random batches", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			batches = slices.Clone(batches)
			b.mu.Lock()
			defer b.mu.Unlock()
			for i := range batches {
				batches[i] = clone(batches[i])
				for j := range batches[i].Writes {
					if w := &batches[i].Writes[j]; !w.Check && !w.Delete {
						w.Expect = b.current(w.Key).Version
					}
				}
			}
			return b.Mem.Commit(ctx, batches)
		}
	}},
	{"lost update: Expect is compared before the lock", "racing creators, racing writers, racing batches", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			batches = slices.Clone(batches)
			met := make([]bool, len(batches))
			for i := range batches {
				met[i] = true
				for _, w := range batches[i].Writes {
					met[i] = met[i] && (checkedKey(w.Key) != nil || b.current(w.Key).Version == w.Expect)
				}
			}
			runtime.Gosched()
			b.mu.Lock()
			defer b.mu.Unlock()
			for i := range batches {
				batches[i] = clone(batches[i])
				for j := range batches[i].Writes {
					if w := &batches[i].Writes[j]; met[i] && checkedKey(w.Key) == nil {
						w.Expect = b.current(w.Key).Version
					}
				}
				for j := range batches[i].Entries {
					if e := &batches[i].Entries[j]; met[i] && len(batches[i].Entries) == 1 && checkedKey(e.Stream) == nil && e.Seq > 0 {
						e.Seq = max(e.Seq, b.current(e.Stream).Seq+1)
					}
				}
			}
			return b.Mem.Commit(ctx, batches)
		}
	}},
	{"torn batch: writes stand alone", "whole batch, independent batches, random batches", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			if err := errors.Join(ctx.Err(), storage.CheckBatch(batches...)); err != nil {
				return nil, err
			}
			outs := make([]storage.Outcome, len(batches))
			for i := range batches {
				outs[i].OK = true
				for _, w := range batches[i].Writes {
					part := batch(w)
					for _, e := range batches[i].Entries {
						if e.Stream == w.Key {
							part.Entries = append(part.Entries, e)
						}
					}
					o, err := b.Mem.Commit(ctx, []storage.Batch{part})
					if err != nil {
						return nil, err
					}
					outs[i].OK = outs[i].OK && o[0].OK
				}
			}
			return outs, nil
		}
	}},
	{"one bad batch spoils the call", "independent batches, random batches", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			if err := errors.Join(ctx.Err(), storage.CheckBatch(batches...)); err != nil {
				return nil, err
			}
			outs := make([]storage.Outcome, len(batches))
			for i := range batches {
				for _, w := range batches[i].Writes {
					if b.current(w.Key).Version != w.Expect {
						return outs, nil
					}
				}
			}
			return b.Mem.Commit(ctx, batches)
		}
	}},
	{"outcomes in the wrong order", "independent batches, random batches", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			outs, err := b.Mem.Commit(ctx, batches)
			if len(outs) > 1 {
				outs = append(outs[1:], outs[0])
			}
			return outs, err
		}
	}},
	{"a lost race as an error", "lost race, racing writers", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			outs, err := b.Mem.Commit(ctx, batches)
			for _, o := range outs {
				if !o.OK {
					return nil, errors.New("duplicate key value violates unique constraint")
				}
			}
			return outs, err
		}
	}},
	{"Check is ignored", "lost race, check, racing checks, random batches", func(b *bent) {
		b.writes(func(w *storage.Write) bool { return !w.Check })
	}},
	{"Check writes", "check, random batches", func(b *bent) {
		b.writes(func(w *storage.Write) bool {
			if w.Check {
				r := b.current(w.Key)
				w.Check, w.Data, w.Due = false, r.Data, r.Due
			}
			return true
		})
	}},
	{"Check is made before the lock", "check, racing checks", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			batches = slices.Clone(batches)
			if err := errors.Join(ctx.Err(), storage.CheckBatch(batches...)); err != nil {
				return nil, err
			}
			held := make([]bool, len(batches))
			for i := range batches {
				held[i] = true
				var rest []storage.Write
				for _, w := range batches[i].Writes {
					if !w.Check {
						rest = append(rest, w)
					} else if b.current(w.Key).Version != w.Expect {
						held[i] = false
					}
				}
				batches[i] = storage.Batch{Writes: rest, Entries: batches[i].Entries}
			}
			for range 20 {
				runtime.Gosched()
			}
			outs := make([]storage.Outcome, len(batches))
			for i := range batches {
				if held[i] {
					o, err := b.Mem.Commit(ctx, batches[i:i+1])
					if err != nil {
						return nil, err
					}
					outs[i] = o[0]
				}
			}
			return outs, nil
		}
	}},
	{"versions restart at 1", "versions, visible, lost race, racing writers", func(b *bent) {
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			for i := range recs {
				recs[i].Version = min(recs[i].Version, 1)
			}
			return recs, err
		}
		b.writes(func(w *storage.Write) bool {
			if w.Expect == 1 {
				w.Expect = b.current(w.Key).Version
			}
			return true
		})
	}},
	{"a version goes on after deletion", "versions", func(b *bent) {
		gone := make(map[storage.Key]uint64)
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			for i := range recs {
				if recs[i].Version > 0 {
					recs[i].Version += gone[keys[i]]
				}
			}
			return recs, err
		}
		b.writes(func(w *storage.Write) bool {
			if w.Expect > 0 {
				w.Expect -= min(w.Expect, gone[w.Key])
			}
			if w.Delete {
				gone[w.Key] += w.Expect
			}
			return true
		})
	}},
	{"Get lags behind", "visible, racing creators", func(b *bent) {
		old := make(map[storage.Key]storage.Record)
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, x := range batches {
				for _, w := range x.Writes {
					if checkedKey(w.Key) == nil {
						old[w.Key] = b.current(w.Key)
					}
				}
			}
			return b.Mem.Commit(ctx, batches)
		}
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			b.mu.Lock()
			defer b.mu.Unlock()
			for i := range recs {
				if r, ok := old[keys[i]]; ok {
					recs[i] = r
					delete(old, keys[i])
				}
			}
			return recs, err
		}
	}},
	{"Get leaves out what is absent", "get, random batches", func(b *bent) {
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			return slices.DeleteFunc(recs, func(r storage.Record) bool { return r.Version == 0 }), err
		}
	}},
	{"Get answers in the order of keys", "get", func(b *bent) {
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			slices.SortFunc(recs, func(x, y storage.Record) int { return x.Key.Compare(y.Key) })
			return recs, err
		}
	}},
	{"Get returns its own slices", "slices", func(b *bent) {
		cache := make(map[string][]byte)
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			b.mu.Lock()
			defer b.mu.Unlock()
			for i, r := range recs {
				id := fmt.Sprint(r.Key, r.Version)
				if cache[id] == nil {
					cache[id] = r.Data
				}
				recs[i].Data = cache[id]
			}
			return recs, err
		}
	}},
	{"Commit keeps the slices it was given", "slices", func(b *bent) {
		kept := make(map[string][]byte)
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			outs, err := b.Mem.Commit(ctx, batches)
			b.mu.Lock()
			defer b.mu.Unlock()
			for i, o := range outs {
				for _, w := range batches[i].Writes {
					if o.OK && !w.Check {
						kept[fmt.Sprint(w.Key, w.Expect+1)] = w.Data
					}
				}
			}
			return outs, err
		}
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			b.mu.Lock()
			defer b.mu.Unlock()
			for i, r := range recs {
				if data, ok := kept[fmt.Sprint(r.Key, r.Version)]; ok {
					recs[i].Data = bytes.Clone(data)
				}
			}
			return recs, err
		}
	}},
	{"empty data is absence", "data", func(b *bent) {
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			for i, r := range recs {
				if len(r.Data) == 0 {
					recs[i] = storage.Record{Key: r.Key}
				}
			}
			return recs, err
		}
	}},
	{"data is cut at 64 KiB", "data", func(b *bent) {
		b.writes(func(w *storage.Write) bool { w.Data = w.Data[:min(len(w.Data), 1<<16)]; return true })
	}},
	{"data is text", "data", func(b *bent) {
		b.writes(func(w *storage.Write) bool { w.Data = bytes.ToValidUTF8(w.Data, []byte("?")); return true })
	}},
	{"instants to the millisecond", "instants, random batches", func(b *bent) {
		b.writes(func(w *storage.Write) bool { w.Due = w.Due.Truncate(time.Millisecond); return true })
	}},
	{"instants in local time", "instants", func(b *bent) {
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			for i := range recs {
				if !recs[i].Due.IsZero() {
					recs[i].Due = recs[i].Due.In(time.FixedZone("CST", 8*3600))
				}
			}
			return recs, err
		}
	}},
	{"contexts are ignored", "context", func(b *bent) {
		b.commit = func(_ context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			return b.Mem.Commit(context.Background(), batches)
		}
	}},
	{"stored, though the context ended", "context", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			outs, err := b.Mem.Commit(context.Background(), batches)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return outs, err
		}
	}},
}
