package storage

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A batchSet is what a round commits.
type batchSet struct {
	index   map[int]int // root -> batch
	roots   []int
	batches []Batch
	unfit   []int // roots of batches with a value that does not encode
}

// fit are the batches that can be sent. Whose fault it is that one cannot, its
// calls find out alone.
func (s *batchSet) fit() []Batch {
	if len(s.unfit) == 0 {
		return s.batches
	}
	var fit []Batch
	for i, b := range s.batches {
		if !slices.Contains(s.unfit, s.roots[i]) {
			fit = append(fit, b)
		}
	}
	return fit
}

// batches makes one batch of all accepted calls that depend on each other.
func (r *round) batches() *batchSet {
	set := &batchSet{index: make(map[int]int)}
	at := func(p int) *Batch {
		root := r.root(p)
		i, ok := set.index[root]
		if !ok {
			i = len(set.batches)
			set.index[root], set.roots, set.batches = i, append(set.roots, root), append(set.batches, Batch{})
		}
		return &set.batches[i]
	}
	for p := range r.parts {
		b := at(p)
		if b.Entries == nil {
			b.Entries = make([]Entry, 0, r.parts[r.root(p)].size)
		}
		b.Entries = append(b.Entries, r.parts[p].entries...)
	}
	for _, c := range r.order {
		switch {
		case c.wrote && c.now.Version > 0:
			b := at(c.parts[0])
			if c.now.Data == nil && c.val != nil {
				var err error
				if c.now.Data, err = c.val.encode(c.base.Key.Kind); err != nil {
					set.unfit = append(set.unfit, r.root(c.parts[0]))
					continue
				}
			}
			b.Writes = append(b.Writes, Write{Key: c.base.Key, Expect: c.base.Version, Data: c.now.Data, Due: c.now.Due})
		case c.wrote && c.base.Version > 0:
			b := at(c.parts[0])
			b.Writes = append(b.Writes, Write{Key: c.base.Key, Expect: c.base.Version, Delete: true})
		case !c.wrote && c.valid && c.base.Version > 0:
			last := -1
			for _, p := range c.parts {
				if root := r.root(p); root != last && !r.checks(at(p), c.base.Key) {
					b := at(p)
					b.Writes = append(b.Writes, Write{Key: c.base.Key, Expect: c.base.Version, Check: true})
					last = root
				}
			}
		}
	}
	return set
}

// conclude answers the calls, given what became of the batches of set.fit.
func (r *round) conclude(set *batchSet, fitOuts []Outcome, fitErrs []error) (stored map[int]bool) {
	stored = make(map[int]bool)
	outs, errs := make([]Outcome, len(set.batches)), make([]error, len(set.batches))
	lanes := make([]*shard, len(set.batches))
	n := 0
	for i, root := range set.roots {
		if slices.Contains(set.unfit, root) {
			errs[i] = errUnfit
		} else {
			outs[i], errs[i] = fitOuts[n], fitErrs[n]
			n++
		}
		if errs[i] == nil && outs[i].OK {
			stored[root] = true
			continue
		}
		if errs[i] == nil || errs[i] == errBusy {
			lanes[i] = r.divert(root)
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
		if c.wrote && stored[r.root(c.parts[0])] {
			r.sh.g.cache.set(c.now, c.val, now, true, r.sh.index+1)
		}
	}
	for p := range r.parts {
		i := set.index[r.root(p)]
		r.close(r.parts[p].call, set.batches[i], outs[i], errs[i], lanes[i])
	}
	return stored
}

// doubt notes that a key which a call meant to create was there, or may have been.
func (r *round) doubt(current []Record) {
	found := len(current) == 0
	for i := range current {
		c := r.cells[current[i].Key]
		found = found || c != nil && c.guess && !c.known && current[i].Version > 0
	}
	if found {
		r.sh.g.doubts.Store(doubtRounds)
	}
}

// checks reports whether the last write of a batch is a Check of k already.
func (r *round) checks(b *Batch, k Key) bool {
	n := len(b.Writes)
	return n > 0 && b.Writes[n-1].Check && b.Writes[n-1].Key == k
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
	var err error
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
