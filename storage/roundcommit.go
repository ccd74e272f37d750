package storage

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A batchSet is what a round commits.
type batchSet struct {
	roots   []int // of each batch
	batches []Batch
	stored  []bool // each, once that is known
	unfit   []int  // batches with a value that does not encode

	entries []Entry // all of them
	writes  []Write
	sizes   []int // how many writes each may have
}

func (s *batchSet) clear() {
	clear(s.batches)
	clear(s.entries)
	clear(s.writes)
	s.roots, s.batches, s.stored, s.unfit = s.roots[:0], s.batches[:0], s.stored[:0], nil
	s.entries, s.writes, s.sizes = s.entries[:0], s.writes[:0], s.sizes[:0]
}

// fit are the batches that can be sent. Whose fault it is that one cannot, its
// calls find out alone.
func (s *batchSet) fit() []Batch {
	if len(s.unfit) == 0 {
		return s.batches
	}
	var fit []Batch
	for i, b := range s.batches {
		if !slices.Contains(s.unfit, i) {
			fit = append(fit, b)
		}
	}
	return fit
}

// batches makes one batch of all accepted calls that depend on each other.
func (r *round) batches() *batchSet {
	set := &r.set
	for p := range r.parts {
		r.parts[p].batch = -1
	}
	for p := range r.parts {
		root := r.root(p)
		if r.parts[root].batch < 0 {
			r.parts[root].batch = len(set.roots)
			set.roots, set.sizes = append(set.roots, root), append(set.sizes, 0)
		}
		r.parts[p].batch = r.parts[root].batch
	}
	r.carve()
	for p := range r.parts {
		b := &set.batches[r.parts[p].batch]
		b.Entries = append(b.Entries, r.entries[r.parts[p].from:r.parts[p].to]...)
	}
	for _, c := range r.order {
		switch {
		case c.wrote && c.now.Version > 0:
			i := r.parts[c.parts[0]].batch
			if c.now.Data == nil && c.val != nil {
				var err error
				if c.now.Data, err = c.val.encode(c.base.Key.Kind); err != nil {
					set.unfit = append(set.unfit, i)
					continue
				}
			}
			set.write(i, Write{Key: c.base.Key, Expect: c.base.Version, Data: c.now.Data, Due: c.now.Due})
		case c.wrote && c.base.Version > 0:
			set.write(r.parts[c.parts[0]].batch, Write{Key: c.base.Key, Expect: c.base.Version, Delete: true})
		case !c.wrote && c.valid && c.base.Version > 0:
			for _, p := range c.parts {
				if i := r.parts[p].batch; !set.checks(i, c.base.Key) {
					set.write(i, Write{Key: c.base.Key, Expect: c.base.Version, Check: true})
				}
			}
		}
	}
	return set
}

// carve gives each batch its share of the memory for entries and writes.
func (r *round) carve() {
	set, writes := &r.set, 0
	for _, c := range r.order {
		parts := c.parts
		if c.wrote {
			parts = parts[:1]
		}
		for _, p := range parts {
			set.sizes[r.parts[p].batch]++
			writes++
		}
	}
	set.entries = slices.Grow(set.entries, len(r.entries))[:len(r.entries)]
	set.writes = slices.Grow(set.writes, writes)[:writes]
	entries := 0
	writes = 0
	for i, root := range set.roots {
		toEntries, toWrites := entries+r.parts[root].size, writes+set.sizes[i]
		set.batches = append(set.batches, Batch{
			Entries: set.entries[entries:entries:toEntries], Writes: set.writes[writes:writes:toWrites],
		})
		entries, writes = toEntries, toWrites
	}
}

func (s *batchSet) write(i int, w Write) { s.batches[i].Writes = append(s.batches[i].Writes, w) }

// checks reports whether the last write of a batch is a Check of k already.
func (s *batchSet) checks(i int, k Key) bool {
	n := len(s.batches[i].Writes)
	return n > 0 && s.batches[i].Writes[n-1].Check && s.batches[i].Writes[n-1].Key == k
}

// conclude answers the calls, given what became of the batches of set.fit.
func (r *round) conclude(set *batchSet, fitOuts []Outcome, fitErrs []error) {
	outs, errs := fitOuts, fitErrs
	if len(set.unfit) > 0 {
		outs, errs = make([]Outcome, len(set.batches)), make([]error, len(set.batches))
	}
	var lanes []*shard // of batches, once there is one
	n := 0
	for i := range set.batches {
		if len(set.unfit) > 0 {
			if errs[i] = errUnfit; !slices.Contains(set.unfit, i) {
				outs[i], errs[i] = fitOuts[n], fitErrs[n]
				n++
			}
		}
		ok := errs[i] == nil && outs[i].OK
		set.stored = append(set.stored, ok)
		if ok {
			continue
		}
		r.kept = r.kept || errs[i] != nil && errs[i] != errBusy && errs[i] != errUnfit
		if lanes == nil {
			lanes = make([]*shard, len(set.batches))
		}
		if errs[i] == nil || errs[i] == errBusy {
			lanes[i] = r.divert(set.roots[i])
		}
		if errs[i] == nil {
			r.seen.conflicts++
			r.doubt(outs[i].Current)
		}
		for j := range set.batches[i].Writes {
			r.sh.g.cache.forget(set.batches[i].Writes[j].Key)
		}
	}
	now := time.Now()
	for _, c := range r.order {
		if c.wrote && set.stored[r.parts[c.parts[0]].batch] {
			r.sh.g.cache.set(&c.now, c.hash, c.val, now, true, r.sh.index+1)
		}
	}
	for p := range r.parts {
		i := r.parts[p].batch
		if set.stored[i] {
			r.finish(r.parts[p].call, nil)
			continue
		}
		r.retry(r.parts[p].call, set.batches[i], errs[i], lanes[i])
	}
}

// doubt notes that a key which a call meant to create was there, or may have been.
func (r *round) doubt(current []Record) {
	found := len(current) == 0
	for i := range current {
		c := r.cells.find(current[i].Key, hashKey(current[i].Key))
		found = found || c != nil && c.guess && !c.known && current[i].Version > 0
	}
	if found {
		r.sh.g.doubts.Store(doubtRounds)
	}
}

var (
	// errBusy stands for an outcome: the batch waits for somebody else's transaction.
	errBusy  = errors.New("storage: held by another transaction")
	errUnfit = errors.New("storage: a value does not encode")
)

// send commits batches, each alone if the store finds the call malformed: one
// caller's mistake is not the others'.
func (r *round) send(batches []Batch) (outs []Outcome, errs []error) {
	var busy []bool
	err := ErrUnknown // unless the store answers
	start := r.sh.g.clock()
	defer func() { r.sent(len(batches), start, err) }()
	switch s := r.sh.g.store.(type) {
	case NoWaiter:
		outs, busy, err = s.CommitNoWait(r.ctx, batches)
	default:
		outs, err = s.Commit(r.ctx, batches)
	}
	outs, errs = outcomes(batches, outs, busy, err)
	malformed := errors.Is(err, ErrBatch) || errors.Is(err, ErrKey) || errors.Is(err, ErrTooLarge)
	if !malformed || len(batches) == 1 {
		return outs, errs
	}
	for i := range batches {
		var one []Outcome
		if one, errs[i] = r.sh.g.store.Commit(r.ctx, batches[i:i+1]); len(one) == 1 {
			outs[i] = one[0]
		}
	}
	return outs, errs
}

// sent tells the observer of a commit.
func (r *round) sent(batches int, start time.Time, err error) {
	labels := outcomeOK
	switch {
	case errors.Is(err, ErrUnknown):
		labels = outcomeUnknown
	case err != nil:
		labels = outcomeError
	}
	r.sh.g.observe(MeasureCommit, int64(batches), r.sh.g.clock().Sub(start), labels)
}

// outcomes gives each batch of a commit its outcome and error.
func outcomes(batches []Batch, outs []Outcome, busy []bool, err error) ([]Outcome, []error) {
	errs := make([]error, len(batches))
	if err == nil && len(outs) != len(batches) {
		err = fmt.Errorf("%w: Commit returned %d outcomes for %d batches", ErrUnknown, len(outs), len(batches))
	}
	if err != nil {
		outs = make([]Outcome, len(batches))
	}
	for i := range errs {
		switch {
		case err != nil:
			errs[i] = err
		case i < len(busy) && busy[i]:
			errs[i] = errBusy
		}
	}
	return outs, errs
}
