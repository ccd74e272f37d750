package storage

import (
	"errors"
	"fmt"
)

// retry has a call run again whose batch is not known to be stored, in a lane if
// there is one for it. If there is no point, it answers the call.
func (r *round) retry(c *call, b Batch, err error, lane *shard) {
	switch {
	case err == errUnfit, err == errBusy && lane == nil:
		c.alone = true
		r.finish(c, nil)
		return
	case err == errBusy:
	case errors.Is(err, ErrUnknown):
		c.unknown, c.lost = err, append(c.lost, Batch{Writes: b.Writes})
		if c.unknowns++; c.unknowns == unknownAttempts {
			r.finish(c, err)
			return
		}
	case err != nil:
		r.fail(c, fmt.Errorf("storage: group: %w", err))
		return
	}
	c.want = nil
	for i := range b.Writes {
		c.want = append(c.want, b.Writes[i].Key)
	}
	c.make = nil
	if lane != nil && c.tries+1 < c.attempts {
		c.tries++
		r.calls[c.at] = nil
		lane.join(c)
		return
	}
	r.rerun(c)
}

// rerun puts a call into the next round, up to a limit.
func (r *round) rerun(c *call) {
	if c.tries++; c.tries >= c.attempts {
		r.fail(c, ErrContended)
		return
	}
	r.again = append(r.again, c)
}

// settle answers the calls that wrote nothing. What they rest on was so when
// the round committed if it still is now, and if what they saw of others was
// committed.
func (r *round) settle() {
	if len(r.held) == 0 {
		return
	}
	fresh := make(map[Key]Record)
	var part []Key
	read := func() (err error) {
		var recs []Record
		if len(part) > 0 {
			recs, err = r.get(part)
		}
		for _, rec := range recs {
			fresh[rec.Key] = rec
		}
		part = part[:0]
		return err
	}
	var err error
	for j := range r.held {
		h := &r.held[j]
		if h.confirm && r.proves(h) {
			h.confirm = false
		}
		for i := 0; h.confirm && i < len(h.seen); i++ {
			k := h.seen[i].Key
			if _, ok := fresh[k]; !ok {
				part, fresh[k] = append(part, k), Record{}
			}
			if len(part) == MaxKeys && err == nil {
				err = read()
			}
		}
	}
	if err == nil {
		err = read()
	}
	if err != nil {
		for _, h := range r.held {
			r.fail(h.call, fmt.Errorf("storage: group: %w", err))
		}
		return
	}
	for _, h := range r.held {
		moved := false
		for _, p := range h.parts {
			moved = moved || !r.set.stored[r.parts[p].batch]
		}
		now := new(recordSet) // as it is after the commit
		for _, rec := range h.seen {
			seen := rec.Version
			if h.confirm {
				rec = fresh[rec.Key]
			}
			now.set(rec)
			moved = moved || rec.Version != seen
		}
		switch {
		case moved:
			for _, rec := range h.seen {
				r.sh.g.cache.forget(rec.Key)
				h.call.want = append(h.call.want, rec.Key)
			}
			r.rerun(h.call)
		case h.err != nil && undecided(h.call.lost, now):
			r.finish(h.call, &UnknownError{h.err})
		default:
			r.finish(h.call, h.err)
		}
	}
}

// proves reports whether the round's own commit shows what a refusal rests on: one
// batch has it all as the refusal saw it, and is stored, as far as that is known.
func (r *round) proves(h *refusal) bool {
	batch := -1
	for i := range h.seen {
		c := r.cells.find(h.seen[i].Key, hashKey(h.seen[i].Key))
		if c == nil || !c.wrote || c.now.Version != h.seen[i].Version {
			return false
		}
		b := r.parts[c.parts[0]].batch
		if batch >= 0 && b != batch || len(r.set.stored) > 0 && !r.set.stored[b] {
			return false
		}
		batch = b
	}
	return batch >= 0
}
