package storagetest

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// model is the contract in its plainest form: one map, no indexes, no locks.
type model map[storage.Key]modelRecord

type modelRecord struct {
	version uint64
	data    string
	due     time.Time
	stream  []storage.Entry
}

func (m model) commit(b storage.Batch) bool {
	for _, w := range b.Writes {
		if m[w.Key].version != w.Expect {
			return false
		}
	}
	next := make(map[storage.Key]uint64)
	for _, e := range b.Entries {
		if next[e.Stream] == 0 {
			next[e.Stream] = uint64(len(m[e.Stream].stream)) + 1
		}
		if e.Seq != next[e.Stream] {
			return false
		}
		next[e.Stream]++
	}
	for _, w := range b.Writes {
		switch r := m[w.Key]; {
		case w.Check:
		case w.Delete:
			delete(m, w.Key)
		default:
			r.version, r.data, r.due = w.Expect+1, string(w.Data), w.Due
			m[w.Key] = r
		}
	}
	for _, e := range b.Entries {
		r := m[e.Stream]
		r.stream = append(slices.Clip(r.stream), e)
		m[e.Stream] = r
	}
	return true
}

func (m model) record(k storage.Key) storage.Record {
	r := m[k]
	return storage.Record{Key: k, Version: r.version, Seq: uint64(len(r.stream)), Data: []byte(r.data), Due: r.due}
}

func (m model) keys(keep func(storage.Key, modelRecord) bool) (keys []storage.Key) {
	for k, r := range m {
		if keep(k, r) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, storage.Key.Compare)
	return keys
}

var modelRules = []rule{
	{"random batches", "all of the above together: the store agrees with a plain model", func(p *probe) {
		seed := rand.Uint64()
		defer func() {
			switch e := recover().(type) {
			case nil:
			case broken:
				panic(broken{fmt.Sprintf("seed %d: %s", seed, e.what)})
			default:
				panic(e)
			}
		}()
		runModel(p, seed, 400)
	}},
}

// runModel commits random batches, right and wrong ones, to the store and to
// the model, and compares every answer.
func runModel(p *probe, seed uint64, steps int) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	m := make(model)
	var keys []storage.Key
	for _, tenant := range []string{"a", "A", "a "} {
		for _, kind := range []string{"k", "kk"} {
			for _, id := range []string{"1", "10", "2", "契", "1/", "1/x"} {
				keys = append(keys, storage.Key{Tenant: tenant, Kind: kind, ID: id})
			}
		}
	}
	for step := range steps {
		var batches []storage.Batch
		fresh := rnd.Perm(len(keys)) // no key has two writers in a call
		for range 1 + rnd.IntN(3) {
			var b storage.Batch
			for range rnd.IntN(4) {
				k := keys[fresh[0]]
				fresh = fresh[1:]
				b.Writes = append(b.Writes, m.randomWrite(rnd, k))
				w := b.Writes[len(b.Writes)-1]
				if w.Check || w.Delete {
					continue
				}
				seq := uint64(len(m[k].stream)) + 1
				if rnd.IntN(12) == 0 {
					seq++
				}
				for range rnd.IntN(3) {
					b.Entries = append(b.Entries, storage.Entry{Stream: k, Seq: seq,
						At: epoch.Add(time.Duration(rnd.IntN(5)) * time.Second), Data: []byte(fmt.Sprint("entry ", step, seq))})
					seq++
				}
			}
			batches = append(batches, b)
		}
		outs := p.commit(batches...)
		for i, b := range batches {
			if want := m.commit(b); outs[i].OK != want {
				p.failf("step %d: outcome %d is OK %v, want %v", step, i, outs[i].OK, want)
			}
		}
		m.compare(p, rnd, keys, step)
	}
}

func (m model) randomWrite(rnd *rand.Rand, k storage.Key) storage.Write {
	w := storage.Write{Key: k, Expect: m[k].version}
	if rnd.IntN(8) == 0 {
		w.Expect = uint64(rnd.IntN(4)) // usually wrong
	}
	switch n := rnd.IntN(10); {
	case n == 0 && w.Expect > 0 && len(m[k].stream) == 0:
		w.Delete = true
	case n < 3 && w.Expect > 0:
		w.Check = true
	default:
		w.Data = []byte(fmt.Sprint("data ", rnd.IntN(1000)))
		if rnd.IntN(2) == 0 {
			w.Due = epoch.Add(time.Duration(rnd.IntN(6)) * time.Microsecond)
		}
	}
	return w
}

// compare reads through every method.
func (m model) compare(p *probe, rnd *rand.Rand, keys []storage.Key, step int) {
	for i, r := range p.get(keys...) {
		p.same(fmt.Sprintf("step %d: Get", step), m.record(keys[i]), r)
	}
	k := keys[rnd.IntN(len(keys))]
	stream := m[k].stream
	after := rnd.IntN(len(stream) + 1)
	limit := 1 + rnd.IntN(5)
	want := stream[after:min(len(stream), after+limit)]
	got := p.entries(k, uint64(after), limit)
	if len(got) != len(want) {
		p.failf("step %d: Entries of %q after %d with limit %d returned %d, want %d", step, k, after, limit, len(got), len(want))
	}
	for i, e := range got {
		if !bytes.Equal(e.Data, want[i].Data) || !e.At.Equal(want[i].At) {
			p.failf("step %d: entry %d of %q differs", step, e.Seq, k)
		}
	}
	in := m.keys(func(x storage.Key, _ modelRecord) bool {
		return x.Tenant == k.Tenant && x.Kind == k.Kind && x.ID > k.ID
	})
	page := p.list(k.Tenant, k.Kind, k.ID, limit)
	if in = in[:min(len(in), limit)]; len(page) != len(in) {
		p.failf("step %d: List after %q with limit %d returned %d records, want %d", step, k, limit, len(page), len(in))
	}
	for i, r := range page {
		p.same(fmt.Sprintf("step %d: List", step), m.record(in[i]), r)
	}
	until := epoch.Add(time.Duration(rnd.IntN(6)) * time.Microsecond)
	due := m.keys(func(x storage.Key, r modelRecord) bool {
		return x.Kind == k.Kind && !r.due.IsZero() && !r.due.After(until)
	})
	slices.SortStableFunc(due, func(a, b storage.Key) int { return cmp.Compare(m[a].due.UnixMicro(), m[b].due.UnixMicro()) })
	due = due[:min(len(due), limit)]
	if got := p.due(k.Kind, until, limit); !slices.Equal(got, due) {
		p.failf("step %d: Due of %q until %v with limit %d returned %q, want %q", step, k.Kind, until, limit, got, due)
	}
}
