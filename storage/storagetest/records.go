package storagetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

var recordRules = []rule{
	{"get", "Get returns one Record per key, in the order of keys; absent ones have Version 0", func(p *probe) {
		a, b, c := key("a"), key("b"), key("c")
		p.ok("creating two records", create(a, "1"), create(c, "3"))
		recs := p.get(c, b, a, c)
		p.same("present", storage.Record{Key: c, Version: 1, Data: []byte("3")}, recs[0])
		p.same("absent", storage.Record{Key: b}, recs[1])
		p.same("present", storage.Record{Key: a, Version: 1, Data: []byte("1")}, recs[2])
		p.same("asked for twice", recs[0], recs[3])
		if got := p.get(); len(got) != 0 {
			p.failf("Get of no keys returned %d records", len(got))
		}
	}},
	{"versions", "store Version 1 on creation and Expect+1 on every other write", func(p *probe) {
		k := key("a")
		p.ok("creating", create(k, "v1"))
		for v := uint64(1); v <= 5; v++ {
			p.same("after a write", storage.Record{Key: k, Version: v, Data: []byte{'v', byte('0' + v)}}, p.get(k)[0])
			p.ok("writing", write(k, v, "v"+string(byte('1'+v))))
		}
		p.ok("deleting", remove(k, 6))
		p.same("after deletion", storage.Record{Key: k}, p.get(k)[0])
		p.ok("creating again", create(k, "new"))
		p.same("after creation", storage.Record{Key: k, Version: 1, Data: []byte("new")}, p.get(k)[0])
	}},
	{"visible", "report it OK only once every later Get, List, Entries and Due sees it", func(p *probe) {
		k := key("a")
		for v := range uint64(20) {
			due := epoch.Add(time.Duration(v) * time.Second)
			p.okBatch("writing", storage.Batch{
				Writes:  []storage.Write{{Key: k, Expect: v, Due: due}},
				Entries: []storage.Entry{entry(k, v+1, "e")},
			})
			want := storage.Record{Key: k, Version: v + 1, Seq: v + 1, Due: due}
			p.same("Get at once", want, p.get(k)[0])
			if l := p.list(k.Tenant, k.Kind, "", 2); len(l) != 1 {
				p.failf("List at once returned %d records, want 1", len(l))
			} else {
				p.same("List at once", want, l[0])
			}
			if n := len(p.entries(k, 0, 0)); n != int(v)+1 {
				p.failf("Entries at once returned %d, want %d", n, v+1)
			}
			if d := p.due(k.Kind, due, 0); len(d) != 1 || d[0] != k {
				p.failf("Due at once returned %v", d)
			}
		}
	}},
	{"lost race", "a lost race is an Outcome with OK false, never an error, and stores nothing", func(p *probe) {
		a, b := key("a"), key("b")
		p.ok("creating", create(a, "1"))
		p.ok("writing", write(a, 1, "2"))
		for what, w := range map[string]storage.Write{
			"creating what exists":            create(a, "x"),
			"writing over an old version":     write(a, 1, "x"),
			"writing over a version to come":  write(a, 3, "x"),
			"writing what is absent":          write(b, 1, "x"),
			"deleting an old version":         remove(a, 1),
			"deleting a version to come":      remove(a, 3),
			"deleting what is absent":         remove(b, 1),
			"checking an old version":         check(a, 1),
			"checking a version to come":      check(a, 3),
			"checking what is absent":         check(b, 1),
			"creating over a later version 0": {Key: a, Expect: 0, Due: epoch},
		} {
			p.lost(what, batch(w), a, b)
		}
		p.ok("the right version", write(a, 2, "3"))
		out := p.commit(batch(create(a, "x"), create(b, "x")))[0]
		for _, r := range out.Current {
			if r.Key != a && r.Key != b {
				p.failf("Current holds a record of %q, which the batch does not name", r.Key)
			}
		}
	}},
	{"data", "a record is the Data under a Key: up to 1 MiB of any bytes, or none", func(p *probe) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		for name, data := range map[string][]byte{
			"empty": nil, "every byte": every, "not UTF-8": {0xff, 0xfe, 0}, "like JSON": []byte(`{"a":"\u0000"}`),
			"1 MiB": bytes.Repeat(every, storage.MaxData/len(every)),
		} {
			k := key(name)
			p.okBatch("storing "+name, storage.Batch{
				Writes:  []storage.Write{{Key: k, Data: data}},
				Entries: []storage.Entry{{Stream: k, Seq: 1, At: epoch, Data: data}},
			})
			p.same(name, storage.Record{Key: k, Version: 1, Seq: 1, Data: data}, p.get(k)[0])
			if es := p.entries(k, 0, 1); len(es) != 1 || !bytes.Equal(es[0].Data, data) {
				p.failf("entry of %s data came back changed", name)
			}
		}
	}},
	{"slices", "keep no slice it was given, and return slices the caller may change", func(p *probe) {
		// Large, so that an engine that maps its file shows pages, not copies.
		k, data := key("a"), strings.Repeat("data", 4096)
		b := storage.Batch{
			Writes:  []storage.Write{create(k, data)},
			Entries: []storage.Entry{entry(k, 1, data)},
		}
		want := storage.Record{Key: k, Version: 1, Seq: 1, Data: []byte(data)}
		p.okBatch("creating", b)
		spoil(b.Writes[0].Data)
		spoil(b.Entries[0].Data)
		b.Writes[0], b.Entries[0] = storage.Write{}, storage.Entry{}
		whole := func(after string) {
			rec := p.get(k)
			p.same(after, want, rec[0])
			spoil(rec[0].Data)
			rec[0] = storage.Record{}
			list := p.list(k.Tenant, k.Kind, "", 0)
			if len(list) != 1 {
				p.failf("%s: List returned %d records, want 1", after, len(list))
			}
			p.same(after+", in List", want, list[0])
			spoil(list[0].Data)
			es := p.entries(k, 0, 0)
			if len(es) != 1 || string(es[0].Data) != data {
				p.failf("%s: the entry has changed", after)
			}
			spoil(es[0].Data)
		}
		whole("after the caller changed what it gave")
		whole("after the caller changed what it got")
		for _, r := range p.commit(batch(create(k, "x")))[0].Current {
			spoil(r.Data)
		}
		whole("after the caller changed Current")
		keys := []storage.Key{k}
		p.get(keys...)
		keys[0] = storage.Key{}
		whole("after the caller changed the keys of Get")
	}},
	{"instants", "instants are kept in UTC to the microsecond; a Due up to 1970 means never", func(p *probe) {
		shanghai := time.FixedZone("CST", 8*3600)
		for name, c := range map[string]struct{ in, want time.Time }{
			"never":       {time.Time{}, time.Time{}},
			"UTC":         {epoch, epoch},
			"zone":        {epoch.In(shanghai), epoch},
			"nanoseconds": {epoch.Add(999), epoch},
			"1970":        {time.Unix(0, 0), time.Time{}},
			"before 1970": {time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Time{}},
			"first":       {time.UnixMicro(1), time.UnixMicro(1).UTC()},
			"2038":        {time.Unix(1<<31, 0), time.Unix(1<<31, 0).UTC()},
			"9999":        {time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		} {
			k := key(name)
			p.okBatch("storing", storage.Batch{
				Writes:  []storage.Write{{Key: k, Due: c.in}},
				Entries: []storage.Entry{{Stream: k, Seq: 1, At: c.in}},
			})
			p.same(name, storage.Record{Key: k, Version: 1, Seq: 1, Due: c.want}, p.get(k)[0])
			at := c.in.UTC().Truncate(time.Microsecond)
			if es := p.entries(k, 0, 0); len(es) != 1 || !es[0].At.Equal(at) {
				p.failf("%s: the entry came back as %v, want At %v", name, es, at)
			}
		}
	}},
	{"context", "context errors promise that nothing of the call was stored", func(p *probe) {
		k := key("a")
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		if _, err := p.s.Commit(ctx, []storage.Batch{batch(create(k, "x"))}); err == nil {
			p.failf("Commit under an ended context returned no error")
		} else if !errors.Is(err, context.Canceled) && !errors.Is(err, storage.ErrUnknown) {
			p.failf("Commit under an ended context returned %v", err)
		} else if !errors.Is(err, storage.ErrUnknown) {
			p.same("after context.Canceled", storage.Record{Key: k}, p.get(k)[0])
		}
		if _, err := p.s.Get(ctx, []storage.Key{k}); !errors.Is(err, context.Canceled) {
			p.failf("Get under an ended context returned %v", err)
		}
		if _, err := p.s.List(ctx, k.Tenant, k.Kind, "", 0); !errors.Is(err, context.Canceled) {
			p.failf("List under an ended context returned %v", err)
		}
		if _, err := p.s.Entries(ctx, k, 0, 0); !errors.Is(err, context.Canceled) {
			p.failf("Entries under an ended context returned %v", err)
		}
		if _, err := p.s.Due(ctx, k.Kind, epoch, 0); !errors.Is(err, context.Canceled) {
			p.failf("Due under an ended context returned %v", err)
		}
	}},
}

// spoil overwrites a slice, as its owner may.
func spoil(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}
