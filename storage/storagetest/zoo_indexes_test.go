package storagetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

// Animals that get streams, indexes and keys wrong.
var indexZoo = []animal{
	{"entries without their record are dropped", "malformed batches", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			batches = slices.Clone(batches)
			for i := range batches {
				batches[i] = clone(batches[i])
				batches[i].Entries = slices.DeleteFunc(batches[i].Entries, func(e storage.Entry) bool {
					return !slices.ContainsFunc(batches[i].Writes, func(w storage.Write) bool { return w.Key == e.Stream })
				})
			}
			return b.Mem.Commit(ctx, batches)
		}
	}},
	{"the last of two writes of a key counts", "malformed batches", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			batches = slices.Clone(batches)
			for i := range batches {
				last := make(map[storage.Key]storage.Write)
				for _, w := range batches[i].Writes {
					last[w.Key] = w
				}
				var kept []storage.Write
				for _, w := range batches[i].Writes {
					if l, ok := last[w.Key]; ok {
						l.Expect = w.Expect
						kept = append(kept, l)
						delete(last, w.Key)
					}
				}
				batches[i].Writes = kept
			}
			return b.Mem.Commit(ctx, batches)
		}
	}},
	{"long ids are cut", "limits", func(b *bent) {
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			batches = slices.Clone(batches)
			for i := range batches {
				batches[i] = clone(batches[i])
				for j := range batches[i].Writes {
					id := &batches[i].Writes[j].Key.ID
					*id = (*id)[:min(len(*id), storage.MaxID)]
				}
			}
			return b.Mem.Commit(ctx, batches)
		}
	}},
	{"a limit of 100 keys", "limits, list pages", func(b *bent) {
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			if len(keys) > 100 {
				return nil, storage.ErrTooLarge
			}
			return b.Mem.Get(ctx, keys)
		}
		b.list = func(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
			return b.Mem.List(ctx, tenant, kind, after, min(100, storage.PageSize(limit)))
		}
	}},
	{"entries are numbered by the store", "stream gaps, random batches", func(b *bent) {
		b.on(func(batches []storage.Batch) []storage.Batch {
			for _, x := range batches {
				next := make(map[storage.Key]uint64)
				for j := range x.Entries {
					e := &x.Entries[j]
					if next[e.Stream] == 0 {
						next[e.Stream] = b.current(e.Stream).Seq + 1
					}
					e.Seq = next[e.Stream]
					next[e.Stream]++
				}
			}
			return batches
		})
	}},
	{"a record does not know its stream", "visible, streams, random batches", func(b *bent) {
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			for i := range recs {
				recs[i].Seq = 0
			}
			return recs, err
		}
	}},
	{"Entries begins at after", "streams, random batches", func(b *bent) {
		b.entries = func(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
			return b.Mem.Entries(ctx, stream, max(after, 1)-1, limit)
		}
	}},
	{"Entries gives the newest first", "streams, stream gaps, random batches", func(b *bent) {
		b.entries = func(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
			es, err := b.Mem.Entries(ctx, stream, after, limit)
			slices.Reverse(es)
			return es, err
		}
	}},
	{"Entries gives short pages", "stream pages", func(b *bent) {
		b.entries = func(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
			return b.Mem.Entries(ctx, stream, after, min(storage.PageSize(limit), 500))
		}
	}},
	{"streams are found by id alone", "tenants", func(b *bent) {
		b.entries = func(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
			es, err := b.Mem.Entries(ctx, stream, after, limit)
			for _, t := range []string{"a", "t"} {
				if err == nil && len(es) == 0 {
					es, err = b.Mem.Entries(ctx, storage.Key{Tenant: t, Kind: stream.Kind, ID: stream.ID}, after, limit)
				}
			}
			for i := range es {
				es[i].Stream = stream
			}
			return es, err
		}
	}},
	{"a record is deleted with its stream", "stream kept", func(b *bent) {
		gone := make(map[storage.Key]bool)
		b.commit = func(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
			outs, err := b.Mem.Commit(ctx, batches)
			if err == nil || storage.CheckBatch(batches...) != nil || ctx.Err() != nil {
				return outs, err
			}
			for _, w := range batches[0].Writes {
				gone[w.Key] = w.Delete
			}
			return []storage.Outcome{{OK: true}}, nil
		}
		b.get = func(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
			recs, err := b.Mem.Get(ctx, keys)
			for i := range recs {
				if gone[keys[i]] {
					recs[i] = storage.Record{Key: keys[i]}
				}
			}
			return recs, err
		}
	}},
	{"Delete leaves the record in List", "delete", func(b *bent) {
		var gone []storage.Record
		b.writes(func(w *storage.Write) bool {
			if r := b.current(w.Key); w.Delete && r.Version > 0 {
				gone = append(gone, r)
			}
			return true
		})
		b.list = func(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
			recs, err := b.Mem.List(ctx, tenant, kind, after, limit)
			return append(recs, gone...), err
		}
	}},
	{"Due stops before until", "visible, due, random batches", func(b *bent) {
		b.due = func(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
			return b.Mem.Due(ctx, kind, until.Add(-time.Microsecond), limit)
		}
	}},
	{"Due goes by key", "due, random batches", func(b *bent) {
		b.due = func(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
			keys, err := b.Mem.Due(ctx, kind, until, 0)
			slices.SortFunc(keys, storage.Key.Compare)
			return keys[:min(len(keys), storage.PageSize(limit))], err
		}
	}},
	{"Due knows one tenant", "due", func(b *bent) {
		b.due = func(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
			keys, err := b.Mem.Due(ctx, kind, until, 0)
			keys = slices.DeleteFunc(keys, func(k storage.Key) bool { return k.Tenant != keys[0].Tenant })
			return keys[:min(len(keys), storage.PageSize(limit))], err
		}
	}},
	{"Due gives what never falls due", "due, delete", func(b *bent) {
		b.due = func(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
			keys, err := b.Mem.Due(ctx, kind, until, limit)
			if err == nil && len(keys) < storage.PageSize(limit) {
				recs, _ := b.Mem.List(ctx, "t1", kind, "n", 1)
				more, _ := b.Mem.List(ctx, "acme", kind, "", 1)
				for _, r := range append(recs, more...) {
					keys = append(keys, r.Key)
				}
			}
			return keys, err
		}
	}},
	{"Due gives short pages", "due pages", func(b *bent) {
		b.due = func(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
			return b.Mem.Due(ctx, kind, until, min(storage.PageSize(limit), 500))
		}
	}},
	{"List sorts like a dictionary", "list, odd keys", func(b *bent) {
		b.list = func(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
			recs, err := b.Mem.List(ctx, tenant, kind, after, limit)
			slices.SortStableFunc(recs, func(x, y storage.Record) int {
				return strings.Compare(strings.ToLower(x.Key.ID), strings.ToLower(y.Key.ID))
			})
			return recs, err
		}
	}},
	{"List begins at after", "list, list under writes, random batches", func(b *bent) {
		b.list = func(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
			recs, err := b.Mem.List(ctx, tenant, kind, after, limit)
			if r, gerr := b.Mem.Get(ctx, []storage.Key{{Tenant: tenant, Kind: kind, ID: after}}); gerr == nil && r[0].Version > 0 {
				recs = append(r, recs...)
			}
			return recs[:min(len(recs), storage.PageSize(limit))], err
		}
	}},
	{"List matches kinds by prefix", "list, parts apart", func(b *bent) {
		b.list = func(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
			recs, err := b.Mem.List(ctx, tenant, kind, after, limit)
			for _, more := range []string{"s", "c"} {
				if len(recs) < storage.PageSize(limit) && err == nil {
					r, _ := b.Mem.List(ctx, tenant, kind+more, after, storage.PageSize(limit)-len(recs))
					recs = append(recs, r...)
				}
			}
			return recs, err
		}
	}},
	{"List reads row by row", "list under writes", func(b *bent) {
		b.list = func(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
			recs, err := b.Mem.List(ctx, tenant, kind, after, limit)
			for i := range recs {
				time.Sleep(10 * time.Microsecond)
				if r := b.current(recs[i].Key); r.Version > 0 {
					recs[i] = r
				}
			}
			return recs, err
		}
	}},
	{"case is folded", "odd keys, list, random batches", func(b *bent) {
		b.fold(func(k storage.Key) storage.Key {
			k.ID, k.Tenant = strings.ToLower(k.ID), strings.ToLower(k.Tenant)
			return k
		})
	}},
	{"trailing spaces are trimmed", "odd keys, random batches", func(b *bent) {
		b.fold(func(k storage.Key) storage.Key {
			k.ID, k.Tenant = strings.TrimRight(k.ID, " "), strings.TrimRight(k.Tenant, " ")
			return k
		})
	}},
	{"Unicode is normalised", "odd keys", func(b *bent) {
		b.fold(func(k storage.Key) storage.Key { k.ID = strings.ReplaceAll(k.ID, "a\u0301", "á"); return k })
	}},
	{"the tenant is ignored", "tenants, odd keys, random batches", func(b *bent) {
		b.fold(func(k storage.Key) storage.Key { k.Tenant = "x"; return k })
	}},
	{"parts of keys run together", "parts apart", func(b *bent) {
		b.fold(func(k storage.Key) storage.Key { return storage.Key{ID: k.Tenant + k.Kind + k.ID} })
	}},
}
