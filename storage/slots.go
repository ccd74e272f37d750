package storage

import "bytes"

// slot is what a run knows and plans about one key.
type slot struct {
	rec    Record // as the store had it, if known
	hash   uint32 // of its id
	sub    int    // the last that noted its plan, from 1
	val    *value // of rec, if it was decoded, or not encoded yet
	known  bool
	cached bool  // known from an earlier run or the group, not read in this one
	shared bool  // written, but not yet committed, by another call of the round
	valid  bool  // Get read it: the commit depends on its version
	seen   bool  // Get or Peek read it: a refusal may rest on it
	guess  bool  // known by presumption alone, for somebody means to create it
	cell   *cell // of the round
	mem    memSlot
	plan   plan
}

// plan is what the commit is to do with one key.
type plan struct {
	op      op
	data    []byte
	val     *value // instead of data
	due     int64  // microseconds; 0 is never
	entries uint64 // appended so far
}

type op uint8

const (
	opNone op = iota
	opPut
	opDelete
)

type undo struct {
	slot *slot
	plan plan
}

// find returns the slot of a key, nil if the run has not used it. With many slots
// it looks in index, a table of open addressing of positions in order, from 1.
func (tx *Tx) find(k Key, hash uint32) *slot {
	if len(tx.order) <= fewSlots {
		for _, s := range tx.order {
			if s.hash == hash && s.rec.Key == k {
				return s
			}
		}
		return nil
	}
	mask := uint32(len(tx.index) - 1)
	for i := hash & mask; tx.index[i] > 0; i = (i + 1) & mask {
		if s := tx.order[tx.index[i]-1]; s.hash == hash && s.rec.Key == k {
			return s
		}
	}
	return nil
}

// place enters the slot at position n of order in the index.
func (tx *Tx) place(n int) {
	mask := uint32(len(tx.index) - 1)
	i := tx.order[n].hash & mask
	for tx.index[i] > 0 {
		i = (i + 1) & mask
	}
	tx.index[i] = uint32(n + 1)
}

// enter adds a slot, at the end of order.
func (tx *Tx) enter(s *slot) {
	n := len(tx.order)
	tx.order = append(tx.order, s)
	switch {
	case n < fewSlots:
	case n == fewSlots, 2*len(tx.order) > len(tx.index):
		size := max(32, 2*len(tx.index), min(cap(tx.index), 512)) // as large as before, within reason
		if cap(tx.index) < size {
			tx.index = make([]uint32, size)
		} else {
			tx.index = tx.index[:size]
			clear(tx.index)
		}
		for i := range tx.order {
			tx.place(i)
		}
	default:
		tx.place(n)
	}
}

func (tx *Tx) slot(k Key) (*slot, error) {
	for _, s := range tx.recent { // one key is asked for several times in a row
		if s != nil && len(s.rec.Key.ID) == len(k.ID) && s.rec.Key == k {
			return s, nil
		}
	}
	s, err := tx.slotOf(k)
	if err == nil {
		tx.recent[1], tx.recent[0] = tx.recent[0], s
	}
	return s, err
}

func (tx *Tx) slotOf(k Key) (*slot, error) {
	hash := hashID(k.ID)
	if s := tx.find(k, hash); s != nil {
		return s, nil
	}
	var kind *memKind
	if tx.mem != nil {
		kind = tx.mem.known(k)
	}
	if kind == nil {
		if err := checkKey(k); err != nil {
			return nil, err
		}
	} else if err := checkPart("id", k.ID, MaxID); err != nil {
		return nil, err // the others were checked when the kind was made
	}
	n := len(tx.order)
	var s *slot
	if n < fewSlots {
		s = &tx.first[n]
	} else {
		block := (n - fewSlots) / slotBlock
		if block == len(tx.blocks) {
			tx.blocks = append(tx.blocks, make([]slot, slotBlock))
		}
		s = &tx.blocks[block][(n-fewSlots)%slotBlock]
	}
	s.rec.Key, s.hash, s.mem.kind = k, hash, kind
	tx.enter(s)
	return s, nil
}

// view is the record as the run sees it: its own writes included. If there is
// a value, Data may be nil.
func (s *slot) view() (Record, *value) {
	r, val := s.rec, s.val
	switch s.plan.op {
	case opPut:
		if !s.shared || r.Version == 0 {
			r.Version++
		}
		r.Seq += s.plan.entries
		r.Data, r.Due, val = s.plan.data, DueTime(s.plan.due), s.plan.val
	case opDelete:
		r, val = Record{Key: r.Key}, nil
	case opNone:
		r.Seq += s.plan.entries
	}
	return r, val
}

// exists reports whether the run sees a record.
func (s *slot) exists() bool { return s.plan.op == opPut || s.plan.op == opNone && s.rec.Version > 0 }

// full is view with its Data, which must not be changed.
func (s *slot) full() (Record, error) {
	r, val := s.view()
	if r.Data != nil || val == nil {
		return r, nil
	}
	var err error
	r.Data, err = val.encode(r.Key.Kind)
	return r, err
}

// stash copies Data into the arena. What outgrew it keeps the one before.
func (tx *Tx) stash(data []byte) []byte {
	if n := len(tx.arena) + len(data); n > cap(tx.arena) {
		tx.arena = make([]byte, 0, max(len(data), min(2*n, maxKept)))
	}
	n := len(tx.arena)
	tx.arena = append(tx.arena, data...)
	return tx.arena[n:len(tx.arena):len(tx.arena)]
}

// own copies Data of a record. Over a Mem the arena will do, since the commit
// copies it from there; elsewhere it may stay in caches, by itself.
func (tx *Tx) own(data []byte) []byte {
	if tx.mem == nil {
		return bytes.Clone(data)
	}
	return tx.stash(data)
}

// room is the arena, where Data may be appended for kept or made to take.
func (tx *Tx) room() []byte {
	if cap(tx.arena)-len(tx.arena) < 512 {
		tx.arena = make([]byte, 0, min(max(1024, 2*cap(tx.arena)), maxKept))
	}
	return tx.arena
}

// kept returns the Data that was appended to room.
func (tx *Tx) kept(b []byte) []byte {
	n := len(tx.arena)
	tx.arena = b
	return b[n:len(b):len(b)]
}

// made is kept for Data of a record; see own.
func (tx *Tx) made(b []byte) []byte {
	if tx.mem == nil {
		return bytes.Clone(b[len(tx.arena):])
	}
	return tx.kept(b)
}
