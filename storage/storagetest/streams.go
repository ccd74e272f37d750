package storagetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/storage"
)

func isErr(err, want error) bool { return errors.Is(err, want) }

var streamRules = []rule{
	{"streams", "a stream is entries with Seq 1, 2, 3 under the key of a record, whose Seq is the stream's length", func(p *probe) {
		a := key("a")
		if es := p.entries(a, 0, 10); len(es) != 0 {
			p.failf("a stream that does not exist has %d entries", len(es))
		}
		p.ok("creating the record without a stream", create(a, "r"))
		p.same("without a stream", storage.Record{Key: a, Version: 1, Data: []byte("r")}, p.get(a)[0])
		for v := uint64(1); v <= 4; v++ {
			b := batch(write(a, v, "r"))
			for i := range 3 {
				seq := 3*(v-1) + uint64(i) + 1
				e := entry(a, seq, fmt.Sprint("e", seq))
				e.At = epoch.Add(time.Duration(seq)*time.Second + 7) // nanoseconds are cut
				b.Entries = append(b.Entries, e)
			}
			p.okBatch("appending three", b)
			p.same("after appending", storage.Record{Key: a, Version: v + 1, Seq: 3 * v, Data: []byte("r")}, p.get(a)[0])
		}
		p.ok("writing without appending", write(a, 5, "s"))
		p.same("after writing without appending", storage.Record{Key: a, Version: 6, Seq: 12, Data: []byte("s")}, p.get(a)[0])
		for _, page := range []struct {
			after uint64
			limit int
			want  int
		}{{0, 0, 12}, {0, 5, 5}, {5, 5, 5}, {10, 5, 2}, {12, 5, 0}, {99, 5, 0}, {0, 12, 12}, {11, 1, 1}, {0, -1, 12}, {1<<63 + 5, 5, 0}} {
			es := p.entries(a, page.after, page.limit)
			if len(es) != page.want {
				p.failf("Entries after %d with limit %d returned %d, want %d", page.after, page.limit, len(es), page.want)
			}
			for _, e := range es {
				if want := fmt.Sprint("e", e.Seq); string(e.Data) != want {
					p.failf("entry %d holds %q, want %q", e.Seq, e.Data, want)
				}
				if want := epoch.Add(time.Duration(e.Seq) * time.Second); !e.At.Equal(want) {
					p.failf("entry %d is of %v, want %v", e.Seq, e.At, want)
				}
			}
		}
	}},
	{"stream pages", "fewer entries than limit come back only at the end", func(p *probe) {
		a := key("a")
		b := batch(create(a, ""))
		for i := range 2500 {
			b.Entries = append(b.Entries, entry(a, uint64(i)+1, "e"))
		}
		p.okBatch("appending 2500 at once", b)
		if n := len(p.entries(a, 0, 5000)); n != storage.MaxKeys {
			p.failf("a page with limit 5000 holds %d, want %d", n, storage.MaxKeys)
		}
		for after, want := range map[uint64]int{0: 1000, 1000: 1000, 2000: 500, 2500: 0} {
			if n := len(p.entries(a, after, 1000)); n != want {
				p.failf("the page after %d holds %d, want %d", after, n, want)
			}
		}
	}},
	{"stream gaps", "report OK only if each Entry followed the last of its stream", func(p *probe) {
		a, b := key("a"), key("b")
		p.okBatch("appending", storage.Batch{Writes: []storage.Write{create(a, "1")}, Entries: []storage.Entry{entry(a, 1, "e1")}})
		for _, seq := range []uint64{1, 3, 1 << 40} {
			p.lost(fmt.Sprintf("entry %d after 1", seq), storage.Batch{
				Writes: []storage.Write{write(a, 1, "x")}, Entries: []storage.Entry{entry(a, seq, "x")},
			}, a)
			if es := p.entries(a, 0, 0); len(es) != 1 || string(es[0].Data) != "e1" {
				p.failf("after a lost append of entry %d the stream is %v", seq, es)
			}
		}
		p.lost("a new stream that begins at 2", storage.Batch{
			Writes: []storage.Write{create(b, "x")}, Entries: []storage.Entry{entry(b, 2, "x")},
		}, b)
		p.lost("the right entry over an old record", storage.Batch{
			Writes: []storage.Write{write(a, 2, "x")}, Entries: []storage.Entry{entry(a, 2, "x")},
		}, a)
		p.lost("one good and one bad stream", storage.Batch{
			Writes:  []storage.Write{write(a, 1, "x"), create(b, "x")},
			Entries: []storage.Entry{entry(a, 2, "x"), entry(b, 2, "x"), entry(a, 3, "x")},
		}, a, b)
		p.okBatch("two streams, interleaved", storage.Batch{
			Writes:  []storage.Write{create(b, "x"), write(a, 1, "x")},
			Entries: []storage.Entry{entry(a, 2, "e"), entry(b, 1, "e"), entry(a, 3, "e"), entry(b, 2, "e")},
		})
		for i, r := range p.get(a, b) {
			if want := uint64(3 - i); r.Seq != want || len(p.entries(r.Key, 0, 0)) != int(want) {
				p.failf("after interleaved entries %q has seq %d and %d entries, want %d", r.Key, r.Seq, len(p.entries(r.Key, 0, 0)), want)
			}
		}
	}},
	{"stream kept", "keep a record whose Seq is above 0 from being deleted", func(p *probe) {
		a, c := key("a"), key("c")
		p.okBatch("appending", storage.Batch{Writes: []storage.Write{create(a, "1")}, Entries: []storage.Entry{entry(a, 1, "e")}})
		outs, err := p.s.Commit(p.ctx, []storage.Batch{batch(create(c, "x"), remove(a, 1))})
		if err != nil && !errors.Is(err, storage.ErrBatch) {
			p.failf("deleting a record with a stream: %v", err)
		}
		if err == nil && (len(outs) != 1 || outs[0].OK) {
			p.failf("deleting a record with a stream is reported OK")
		}
		p.same("after the deletion", storage.Record{Key: a, Version: 1, Seq: 1, Data: []byte("1")}, p.get(a)[0])
		p.same("after the deletion", storage.Record{Key: c}, p.get(c)[0])
		if n := len(p.entries(a, 0, 0)); n != 1 {
			p.failf("after the deletion the stream has %d entries", n)
		}
	}},
}
