package storagetest

import (
	"fmt"
	"strings"

	"github.com/countersign/countersign/storage"
)

var batchRules = []rule{
	{"whole batch", "store a Batch whole or not at all", func(p *probe) {
		a, b, c := key("a"), key("b"), key("c")
		p.ok("creating", create(a, "1"), create(b, "1"))
		keys := []storage.Key{a, b, c}
		for what, bad := range map[string]storage.Batch{
			"bad write last":   batch(write(a, 1, "x"), create(c, "x"), write(b, 2, "x")),
			"bad write first":  batch(write(b, 2, "x"), write(a, 1, "x"), create(c, "x")),
			"bad write within": batch(create(c, "x"), write(b, 2, "x"), write(a, 1, "x")),
			"bad creation":     batch(create(c, "x"), write(a, 1, "x"), create(b, "x")),
			"bad deletion":     batch(create(c, "x"), write(a, 1, "x"), remove(b, 2)),
			"bad check":        batch(create(c, "x"), write(a, 1, "x"), check(b, 2)),
			"good deletion":    batch(remove(a, 1), write(b, 2, "x")),
			"bad write and entries": {
				Writes:  []storage.Write{write(a, 1, "x"), create(c, "x"), write(b, 2, "x")},
				Entries: []storage.Entry{entry(a, 1, "x"), entry(c, 1, "x")},
			},
		} {
			p.lost(what, bad, keys...)
			for _, k := range keys {
				if n := len(p.entries(k, 0, 0)); n != 0 {
					p.failf("%s: %d entries were stored", what, n)
				}
			}
			if n := len(p.list(a.Tenant, a.Kind, "", 0)); n != 2 {
				p.failf("%s: List shows %d records, want 2", what, n)
			}
		}
	}},
	{"independent batches", "store a Batch whole or not at all, whatever becomes of the others in the call; outcomes come in their order", func(p *probe) {
		var batches []storage.Batch
		for i := range 9 {
			w := create(key(fmt.Sprint(i)), "x")
			if i%3 == 1 {
				w.Expect = 7 // absent: lost
			}
			batches = append(batches, storage.Batch{Writes: []storage.Write{w, create(key(fmt.Sprint("also ", i)), "y")}})
		}
		for i, out := range p.commit(batches...) {
			if out.OK != (i%3 != 1) {
				p.failf("outcome %d is OK %v", i, out.OK)
			}
			for _, k := range []storage.Key{key(fmt.Sprint(i)), key(fmt.Sprint("also ", i))} {
				if stored := p.get(k)[0].Version == 1; stored != out.OK {
					p.failf("outcome %d is OK %v, but stored is %v", i, out.OK, stored)
				}
			}
		}
		if outs := p.commit(); len(outs) != 0 {
			p.failf("Commit of no batches returned %d outcomes", len(outs))
		}
		for i, out := range p.commit(storage.Batch{}, batch(create(key("last"), "x")), storage.Batch{}) {
			if !out.OK {
				p.failf("outcome %d of empty batches is not OK", i)
			}
		}
	}},
	{"check", "Check makes the batch depend on the record still having version Expect, and changes nothing", func(p *probe) {
		a, b := key("a"), key("b")
		p.okBatch("creating", storage.Batch{
			Writes:  []storage.Write{{Key: a, Data: []byte("1"), Due: epoch}},
			Entries: []storage.Entry{entry(a, 1, "e")},
		})
		p.ok("a check that holds", storage.Write{Key: a, Expect: 1, Check: true, Data: []byte("x")}, create(b, "1"))
		p.same("after a check", storage.Record{Key: a, Version: 1, Seq: 1, Data: []byte("1"), Due: epoch}, p.get(a)[0])
		p.ok("writing", write(a, 1, "2"))
		p.lost("a check that fails", batch(check(a, 1), write(b, 1, "x")), a, b)
		p.ok("only a check", check(a, 2))
		p.lost("only a check", batch(check(a, 1)), a)
		// Two batches that check what the other writes: one at most.
		outs := p.commit(batch(write(a, 2, "3"), check(b, 1)), batch(write(b, 1, "2"), check(a, 2)))
		if outs[0].OK && outs[1].OK {
			p.failf("two batches of one call, each checking what the other writes, are both OK")
		}
		recs := p.get(a, b)
		for i, v := range []uint64{2, 1} {
			if outs[i].OK {
				v++
			}
			if recs[i].Version != v {
				p.failf("after two batches that check each other %q has version %d, want %d", recs[i].Key, recs[i].Version, v)
			}
		}
		// Any number may check the same record.
		v := recs[0].Version
		for i, out := range p.commit(batch(check(a, v), create(key("c"), "")), batch(check(a, v), create(key("d"), ""))) {
			if !out.OK {
				p.failf("outcome %d of two batches that check one record is not OK", i)
			}
		}
	}},
	{"delete", "Delete removes the record; the key may be created again", func(p *probe) {
		a, b := key("a"), key("b")
		p.ok("creating", storage.Write{Key: a, Data: []byte("1"), Due: epoch}, create(b, "1"))
		p.ok("deleting", remove(a, 1), write(b, 1, "2"))
		p.same("after deletion", storage.Record{Key: a}, p.get(a)[0])
		if l := p.list(a.Tenant, a.Kind, "", 0); len(l) != 1 || l[0].Key != b {
			p.failf("List after deletion shows %d records, want only %q", len(l), b)
		}
		if d := p.due(a.Kind, epoch, 0); len(d) != 0 {
			p.failf("Due shows the deleted %v", d)
		}
		p.lost("deleting again", batch(remove(a, 1)), a)
		p.ok("creating again", create(a, "1"))
		p.lost("creating once more", batch(create(a, "2")), a)
	}},
	{"malformed batches", "refuse what CheckBatch refuses, storing nothing", func(p *probe) {
		a, b, c := key("a"), key("b"), key("c")
		p.ok("creating", create(a, "1"))
		good := batch(create(c, "x"))
		for what, bad := range map[string][]storage.Batch{
			"a key twice":              {batch(write(a, 1, "x"), write(a, 2, "y"))},
			"a key checked twice":      {batch(check(a, 1), check(a, 1))},
			"a key in two batches":     {batch(write(a, 1, "x")), batch(write(a, 2, "y"))},
			"created in two batches":   {batch(create(b, "x")), batch(create(b, "y"))},
			"deletion of the absent":   {batch(remove(b, 0))},
			"check of the absent":      {batch(check(b, 0))},
			"entry without record":     {{Entries: []storage.Entry{entry(a, 1, "x")}}},
			"entry of another's":       {{Writes: []storage.Write{write(a, 1, "x")}, Entries: []storage.Entry{entry(b, 1, "x")}}},
			"entry of a checked one":   {{Writes: []storage.Write{check(a, 1)}, Entries: []storage.Entry{entry(a, 1, "x")}}},
			"entry of a deleted one":   {{Writes: []storage.Write{remove(a, 1)}, Entries: []storage.Entry{entry(a, 1, "x")}}},
			"record in another batch":  {batch(write(a, 1, "x")), {Entries: []storage.Entry{entry(a, 1, "x")}}},
			"entry number 0":           {{Writes: []storage.Write{write(a, 1, "x")}, Entries: []storage.Entry{entry(a, 0, "x")}}},
			"entries with a gap":       {{Writes: []storage.Write{write(a, 1, "x")}, Entries: []storage.Entry{entry(a, 1, "x"), entry(a, 3, "x")}}},
			"an entry number repeated": {{Writes: []storage.Write{write(a, 1, "x")}, Entries: []storage.Entry{entry(a, 1, "x"), entry(a, 1, "x")}}},
		} {
			p.refused(storage.ErrBatch, what, append([]storage.Batch{good}, bad...), a, b, c)
		}
	}},
	{"limits", "refuse what CheckBatch and CheckKeys refuse; what is within the limits is stored", func(p *probe) {
		a, c := key("a"), key("c")
		good := batch(create(c, "x"))
		long := func(n int) string { return strings.Repeat("k", n) }
		fits := storage.Key{Tenant: long(storage.MaxTenant), Kind: long(storage.MaxKind), ID: long(storage.MaxID)}
		p.ok("the longest key", create(fits, "x"))
		p.same("the longest key", storage.Record{Key: fits, Version: 1, Data: []byte("x")}, p.get(fits)[0])
		for what, bad := range map[string]struct {
			key  storage.Key
			want error
		}{
			"empty tenant":   {storage.Key{Kind: "k", ID: "i"}, storage.ErrKey},
			"empty kind":     {storage.Key{Tenant: "t", ID: "i"}, storage.ErrKey},
			"empty id":       {storage.Key{Tenant: "t", Kind: "k"}, storage.ErrKey},
			"NUL":            {storage.Key{Tenant: "t", Kind: "k", ID: "a\x00b"}, storage.ErrKey},
			"not UTF-8":      {storage.Key{Tenant: "t", Kind: "k", ID: "a\xff"}, storage.ErrKey},
			"tenant NUL":     {storage.Key{Tenant: "t\x00", Kind: "k", ID: "i"}, storage.ErrKey},
			"a long tenant":  {storage.Key{Tenant: long(storage.MaxTenant + 1), Kind: "k", ID: "i"}, storage.ErrTooLarge},
			"a long kind":    {storage.Key{Tenant: "t", Kind: long(storage.MaxKind + 1), ID: "i"}, storage.ErrTooLarge},
			"a long id":      {storage.Key{Tenant: "t", Kind: "k", ID: long(storage.MaxID + 1)}, storage.ErrTooLarge},
			"a long id, han": {storage.Key{Tenant: "t", Kind: "k", ID: strings.Repeat("契", 86)}, storage.ErrTooLarge},
		} {
			p.refused(bad.want, what, []storage.Batch{good, batch(create(bad.key, "x"))}, c)
			p.isError(bad.want, what+" in Get", func() error { _, err := p.s.Get(p.ctx, []storage.Key{a, bad.key}); return err })
			p.isError(bad.want, what+" in Entries", func() error { _, err := p.s.Entries(p.ctx, bad.key, 0, 1); return err })
		}
		p.isError(storage.ErrKey, "List without tenant", func() error { _, err := p.s.List(p.ctx, "", "k", "", 1); return err })
		p.isError(storage.ErrKey, "List without kind", func() error { _, err := p.s.List(p.ctx, "t", "", "", 1); return err })
		p.isError(storage.ErrKey, "Due without kind", func() error { _, err := p.s.Due(p.ctx, "", epoch, 1); return err })
		big := strings.Repeat("x", storage.MaxData+1)
		p.refused(storage.ErrTooLarge, "large data", []storage.Batch{good, batch(create(a, big))}, a, c)
		p.refused(storage.ErrTooLarge, "a large entry", []storage.Batch{good, {
			Writes: []storage.Write{create(a, "x")}, Entries: []storage.Entry{entry(a, 1, big)},
		}}, a, c)

		var many storage.Batch
		var keys []storage.Key
		for i := range storage.MaxKeys {
			keys = append(keys, key(fmt.Sprintf("many %04d", i)))
			many.Writes = append(many.Writes, create(keys[i], "x"))
		}
		p.okBatch("as many keys as a batch may have", many)
		for _, r := range p.get(keys...) {
			if r.Version != 1 {
				p.failf("%q of a large batch is missing", r.Key)
			}
		}
		p.isError(storage.ErrTooLarge, "Get of too many keys", func() error { _, err := p.s.Get(p.ctx, append(keys, a)); return err })
		for i := range many.Writes {
			many.Writes[i].Expect = 1
		}
		many.Writes = append(many.Writes, create(a, "x"))
		p.refused(storage.ErrTooLarge, "a batch of too many keys", []storage.Batch{many}, keys[0], a)

		var calls []storage.Batch
		for i := range storage.MaxBatches {
			calls = append(calls, batch(write(keys[i], 1, "y")))
		}
		for i, out := range p.commit(calls...) {
			if !out.OK {
				p.failf("outcome %d of as many batches as a call may have is not OK", i)
			}
		}
		p.refused(storage.ErrTooLarge, "too many batches", append(calls, good), c)
	}},
}

func (p *probe) isError(want error, what string, call func() error) {
	if err := call(); !isErr(err, want) {
		p.failf("%s: the error is %v, want %v", what, err, want)
	}
}
