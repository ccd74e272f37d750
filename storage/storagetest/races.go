package storagetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/countersign/countersign/storage"
)

const (
	raceWorkers = 8
	raceRounds  = 25
)

// race runs fn in raceWorkers goroutines and ends the rule with the first error.
func (p *probe) race(fn func(ctx context.Context, worker int) error) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	errs := make(chan error, raceWorkers)
	for w := range raceWorkers {
		go func() { errs <- fn(ctx, w) }()
	}
	var first error
	for range raceWorkers {
		if err := <-errs; err != nil && first == nil {
			first = err
			cancel()
		}
	}
	if first != nil {
		p.failf("%v", first)
	}
}

var raceRules = []rule{
	{"racing writers", "report OK only if, at one instant, each Write met its Expect: of writers that expect one version, one wins", func(p *probe) {
		raceWriters(p, key("counter"), false)
		raceWriters(p, key("stream"), true)
	}},
	{"racing creators", "of writers that create one record, one wins", func(p *probe) {
		wins := make([]atomic.Int64, raceRounds)
		p.race(func(ctx context.Context, worker int) error {
			for i := range raceRounds {
				own := key(fmt.Sprintf("own %d %d", worker, i))
				outs, err := p.s.Commit(ctx, []storage.Batch{batch(create(own, ""), create(key(fmt.Sprint(i)), fmt.Sprint(worker)))})
				if err != nil {
					return err
				}
				recs, err := p.s.Get(ctx, []storage.Key{own})
				if err != nil {
					return err
				}
				if stored := recs[0].Version > 0; stored != outs[0].OK {
					return fmt.Errorf("a batch is OK %v, but stored is %v", outs[0].OK, stored)
				}
				if outs[0].OK {
					wins[i].Add(1)
				}
			}
			return nil
		})
		for i := range wins {
			if n := wins[i].Load(); n != 1 {
				p.failf("%d creators of one record were told OK", n)
			}
		}
	}},
	{"racing checks", "report OK only if, at one instant, each Check held: two that check what the other writes cannot both win", func(p *probe) {
		for round := range raceRounds {
			a, b := key(fmt.Sprint("a", round)), key(fmt.Sprint("b", round))
			p.ok("creating", create(a, ""), create(b, ""))
			var wins atomic.Int64
			var start sync.WaitGroup
			start.Add(raceWorkers)
			p.race(func(ctx context.Context, worker int) error {
				start.Done()
				start.Wait()
				w, c := a, b
				if worker%2 == 1 {
					w, c = b, a
				}
				outs, err := p.s.Commit(ctx, []storage.Batch{batch(write(w, 1, "x"), check(c, 1))})
				if err == nil && outs[0].OK {
					wins.Add(1)
				}
				return err
			})
			if n := wins.Load(); n > 1 {
				p.failf("%d of the batches that check what others write were told OK", n)
			}
		}
	}},
	{"racing batches", "store a Batch whole: transfers between records never make or lose a unit", func(p *probe) {
		const records, each = 4, 100
		keys := make([]storage.Key, records)
		var b storage.Batch
		for i := range keys {
			keys[i] = key(fmt.Sprint("acct ", i))
			b.Writes = append(b.Writes, create(keys[i], fmt.Sprint(each)))
		}
		p.okBatch("creating", b)
		p.race(func(ctx context.Context, worker int) error {
			for i := range raceRounds {
				from, to := (worker+i)%records, (worker+2*i+1)%records
				if from == to {
					continue
				}
				recs, err := p.s.Get(ctx, []storage.Key{keys[from], keys[to]})
				if err != nil {
					return err
				}
				var x, y int
				fmt.Sscan(string(recs[0].Data), &x)
				fmt.Sscan(string(recs[1].Data), &y)
				if _, err = p.s.Commit(ctx, []storage.Batch{batch(
					write(keys[from], recs[0].Version, fmt.Sprint(x-1)),
					write(keys[to], recs[1].Version, fmt.Sprint(y+1)),
				)}); err != nil {
					return err
				}
			}
			return nil
		})
		sum := 0
		for _, r := range p.get(keys...) {
			var n int
			fmt.Sscan(string(r.Data), &n)
			sum += n
		}
		if sum != records*each {
			p.failf("the records hold %d units, want %d", sum, records*each)
		}
	}},
}

// raceWriters has everybody add one to one record until the store said OK often
// enough, with an entry each time or without.
func raceWriters(p *probe, k storage.Key, entries bool) {
	total := atomic.Int64{}
	p.ok("creating", create(k, "0"))
	p.race(func(ctx context.Context, worker int) error {
		for range raceRounds {
			for won := false; !won; {
				recs, err := p.s.Get(ctx, []storage.Key{k})
				if err != nil {
					return err
				}
				v, sum := recs[0].Version, 0
				fmt.Sscan(string(recs[0].Data), &sum)
				b := batch(write(k, v, fmt.Sprint(sum+1)))
				if entries {
					b.Entries = []storage.Entry{entry(k, recs[0].Seq+1, fmt.Sprint(worker))}
				}
				outs, err := p.s.Commit(ctx, []storage.Batch{b})
				if err != nil {
					return err
				}
				if won = outs[0].OK; !won {
					continue
				}
				total.Add(1)
				if recs, err = p.s.Get(ctx, []storage.Key{k}); err != nil {
					return err
				}
				if recs[0].Version < v+1 {
					return fmt.Errorf("Get after an OK shows version %d, want at least %d", recs[0].Version, v+1)
				}
			}
		}
		return nil
	})
	n := uint64(total.Load())
	r := p.get(k)[0]
	if r.Version != n+1 || string(r.Data) != fmt.Sprint(n) {
		p.failf("%d additions of one are reported OK, but the record has version %d and sum %s", n, r.Version, r.Data)
	}
	if !entries {
		n = 0
	}
	if es := p.entries(k, 0, 1000); r.Seq != n || uint64(len(es)) != n {
		p.failf("%d appends are reported OK, but the record has seq %d and the stream %d entries", n, r.Seq, len(es))
	}
}
