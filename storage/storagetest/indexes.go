package storagetest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

var indexRules = []rule{
	{"due", "Due returns the keys of records of a kind whose Due is set and not after until, over all tenants, in the order of Due, Tenant, ID", func(p *probe) {
		type item struct {
			key storage.Key
			due time.Time
		}
		var items []item
		// Ids and tenants count down while instants count up, and some instants tie.
		for i := range 30 {
			k := storage.Key{Tenant: fmt.Sprintf("t%d", 3-i%3), Kind: "t.due", ID: fmt.Sprintf("%02d", 29-i)}
			items = append(items, item{k, epoch.Add(time.Duration(i/6) * time.Microsecond)})
		}
		for _, it := range items {
			p.ok("creating", storage.Write{Key: it.key, Due: it.due})
		}
		p.ok("creating what never falls due", storage.Write{Key: storage.Key{Tenant: "t1", Kind: "t.due", ID: "never"}})
		p.ok("creating another kind", storage.Write{Key: storage.Key{Tenant: "t1", Kind: "t.due2", ID: "x"}, Due: epoch},
			storage.Write{Key: storage.Key{Tenant: "t1", Kind: "t.du", ID: "x"}, Due: epoch})
		slices.SortFunc(items, func(a, b item) int {
			return cmp.Or(a.due.Compare(b.due), a.key.Compare(b.key))
		})
		want := func(until time.Time, limit int) {
			var keys []storage.Key
			for _, it := range items {
				if !it.due.IsZero() && !it.due.After(until) && len(keys) < limit {
					keys = append(keys, it.key)
				}
			}
			if got := p.due("t.due", until, limit); !slices.Equal(got, keys) {
				p.failf("Due until %v with limit %d returned %q, want %q", until, limit, got, keys)
			}
		}
		all := func() {
			for us := -1; us < 7; us++ {
				for _, limit := range []int{1, 7, 100} {
					want(epoch.Add(time.Duration(us)*time.Microsecond), limit)
				}
			}
			want(epoch.Add(999), 100)
			want(epoch.In(time.FixedZone("CST", 8*3600)), 100)
			want(time.Time{}, 100)
			want(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), 100)
		}
		all()
		// Claim by moving Due, finish by clearing it, and remove.
		for i := range items {
			it := &items[i]
			switch i % 3 {
			case 0:
				it.due = it.due.Add(3 * time.Microsecond)
			case 1:
				it.due = time.Time{}
			case 2:
				continue
			}
			p.ok("moving Due", storage.Write{Key: it.key, Expect: 1, Due: it.due})
		}
		p.ok("deleting", remove(items[2].key, 1))
		items = slices.Delete(items, 2, 3)
		slices.SortFunc(items, func(a, b item) int {
			return cmp.Or(a.due.Compare(b.due), a.key.Compare(b.key))
		})
		all()
		p.lost("moving Due in a lost race", batch(storage.Write{Key: items[0].key, Expect: 99, Due: epoch}))
		all()
	}},
	{"due pages", "fewer due keys than limit come back only if there are no more", func(p *probe) {
		var b storage.Batch
		for i := range storage.MaxKeys {
			b.Writes = append(b.Writes, storage.Write{Key: key(fmt.Sprintf("%04d", i)), Due: epoch})
		}
		p.okBatch("creating", b)
		p.ok("one more", storage.Write{Key: key("z"), Due: epoch})
		for limit, want := range map[int]int{1: 1, 999: 999, 1000: 1000, 0: 1000, -1: 1000, 5000: 1000} {
			if got := len(p.due("t.rec", epoch, limit)); got != want {
				p.failf("Due with limit %d returned %d keys, want %d", limit, got, want)
			}
		}
	}},
	{"list", "List returns the records of one tenant and kind with ID above after, in the byte order of ID", func(p *probe) {
		ids := []string{"a", "a!", "a/", "a/1", "a/10", "a/2", "a0", "aa", "b", "B", "é", "e", "z", "~", "契约", "0"}
		var want []storage.Record
		for i, id := range ids {
			k := key(id)
			w := storage.Write{Key: k, Data: []byte(id), Due: epoch.Add(time.Duration(i) * time.Hour)}
			p.okBatch("creating", storage.Batch{Writes: []storage.Write{w}, Entries: []storage.Entry{entry(k, 1, "e")}})
			want = append(want, storage.Record{Key: k, Version: 1, Seq: 1, Data: w.Data, Due: w.Due})
		}
		for _, other := range []storage.Key{
			{Tenant: "acme", Kind: "t.re", ID: "c"}, {Tenant: "acme", Kind: "t.recs", ID: "c"},
			{Tenant: "acm", Kind: "t.rec", ID: "c"}, {Tenant: "acme2", Kind: "t.rec", ID: "c"},
			{Tenant: "ACME", Kind: "t.rec", ID: "c"}, {Tenant: "_", Kind: "t.rec", ID: "c"},
		} {
			p.ok("creating elsewhere", create(other, "x"))
		}
		slices.SortFunc(want, func(a, b storage.Record) int { return a.Key.Compare(b.Key) })
		for _, after := range append(ids, "", "A", "a/1/", "zz", "\u00e9", "e\u0301", "契") {
			for _, limit := range []int{1, 3, 100, 0} {
				var page []storage.Record
				for _, r := range want {
					if r.Key.ID > after && len(page) < storage.PageSize(limit) {
						page = append(page, r)
					}
				}
				got := p.list("acme", "t.rec", after, limit)
				if len(got) != len(page) {
					p.failf("List after %q with limit %d returned %d records, want %d", after, limit, len(got), len(page))
				}
				for i := range page {
					p.same(fmt.Sprintf("List after %q, element %d", after, i), page[i], got[i])
				}
			}
		}
	}},
	{"list pages", "fewer records than limit come back only at the end; a page is one snapshot", func(p *probe) {
		var b storage.Batch
		for i := range storage.MaxKeys {
			b.Writes = append(b.Writes, create(key(fmt.Sprintf("%04d", i)), "x"))
		}
		p.okBatch("creating", b)
		p.ok("one more", create(key("9999"), "x"))
		for limit, want := range map[int]int{1: 1, 999: 999, 1000: 1000, 0: 1000, -1: 1000, 5000: 1000} {
			if got := len(p.list("acme", "t.rec", "", limit)); got != want {
				p.failf("List with limit %d returned %d records, want %d", limit, got, want)
			}
		}
		if got := p.list("acme", "t.rec", "0999", 0); len(got) != 1 || got[0].Key.ID != "9999" {
			p.failf("the last page holds %d records, want 1", len(got))
		}
	}},
	{"list under writes", "a page of List is one snapshot; paging misses and repeats nothing that stays", func(p *probe) {
		// The pair of records always holds the same data; others come and go.
		pair := []storage.Key{key("m1"), key("m9")}
		p.ok("creating", create(pair[0], "0"), create(pair[1], "0"))
		for i := range 20 {
			p.ok("creating", create(key(fmt.Sprintf("s%02d", i)), "stays"))
		}
		stop, done := make(chan struct{}), make(chan error, 1)
		go func() {
			for v := uint64(1); ; v++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				n := fmt.Sprint(v)
				extra := key("t" + fmt.Sprint(v%7))
				outs, err := p.s.Commit(p.ctx, []storage.Batch{
					batch(write(pair[0], v, n), write(pair[1], v, n)),
					batch(create(extra, n)),
				})
				if err == nil && !outs[1].OK {
					_, err = p.s.Commit(p.ctx, []storage.Batch{batch(remove(extra, 1))})
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
		fail := ""
		for range 60 {
			page, err := p.s.List(p.ctx, "acme", "t.rec", "m", 30)
			if err != nil {
				fail = err.Error()
			} else if len(page) < 2 || string(page[0].Data) != string(page[1].Data) {
				fail = "one page shows one batch half"
			}
			stays := 0
			for after := "s"; fail == ""; {
				page, err := p.s.List(p.ctx, "acme", "t.rec", after, 3)
				if err != nil {
					fail = err.Error()
					break
				}
				for _, r := range page {
					if r.Key.ID <= after {
						fail = fmt.Sprintf("%q comes after %q", r.Key.ID, after)
					}
					after = r.Key.ID
					if string(r.Data) == "stays" {
						stays++
					}
				}
				if len(page) < 3 {
					break
				}
			}
			if fail == "" && stays != 20 {
				fail = fmt.Sprintf("paging saw %d of 20 records that stay", stays)
			}
			if fail != "" {
				break
			}
		}
		close(stop)
		if err := <-done; err != nil {
			p.failf("writing while paging: %v", err)
		}
		if fail != "" {
			p.failf("%s", fail)
		}
	}},
}
