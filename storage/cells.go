package storage

// A cell is a key that calls of a round asked for.
type cell struct {
	hash  uint64
	base  Record // in the store, as far as known
	now   Record // after the calls so far; its Data may be nil if there is a value
	val   *value // of now
	stale bool   // what memory knows is too old to peek at
	known bool   // base is, from memory or read
	read  int    // the turn in which this round read it; 0: not at all
	guess bool   // unless known, base is presumed absent: a call means to create it
	used  bool   // by an accepted call
	wrote bool   // by one
	valid bool   // a Get depends on base
	blind bool   // base is presumed absent, by a Create
	uses  int    // calls that wrote it
	owner int32  // the shard, from 1, whose calls write it; 0: unknown
	parts []int  // the parts that used it; once it is written one that stands for all
}

// cells are those of a round, found by key: a table of open addressing, of their
// numbers from 1.
type cells struct {
	table  []uint32 // a power of two, at most half full
	blocks []*[cellBlock]cell
	n      int
}

const cellBlock = 32

func (cs *cells) number(n int) *cell { return &cs.blocks[n/cellBlock][n%cellBlock] }

// find returns the cell of a key, nil if there is none.
func (cs *cells) find(k Key, hash uint64) *cell {
	if len(cs.table) == 0 {
		return nil
	}
	mask := uint64(len(cs.table) - 1)
	for i := hash & mask; cs.table[i] > 0; i = (i + 1) & mask {
		if c := cs.number(int(cs.table[i] - 1)); c.hash == hash && c.base.Key == k {
			return c
		}
	}
	return nil
}

// add makes the cell of a key, which has none.
func (cs *cells) add(k Key, hash uint64) *cell {
	if cs.n == len(cs.blocks)*cellBlock {
		cs.blocks = append(cs.blocks, new([cellBlock]cell))
	}
	c := cs.number(cs.n)
	cs.n++
	c.hash, c.base.Key, c.now.Key = hash, k, k
	if 2*cs.n > len(cs.table) {
		cs.table = make([]uint32, max(64, 2*len(cs.table)))
		for n := range cs.n {
			cs.place(n)
		}
	} else {
		cs.place(cs.n - 1)
	}
	return c
}

func (cs *cells) place(n int) {
	mask := uint64(len(cs.table) - 1)
	i := cs.number(n).hash & mask
	for cs.table[i] > 0 {
		i = (i + 1) & mask
	}
	cs.table[i] = uint32(n + 1)
}

// clear makes the cells those of another round.
func (cs *cells) clear() {
	for n := range cs.n {
		c := cs.number(n)
		*c = cell{parts: c.parts[:0]}
	}
	clear(cs.table)
	cs.n = 0
}

// cell returns the cell of a key, with what memory knows.
func (r *round) cell(k Key) *cell {
	hash := hashKey(k)
	c := r.cells.find(k, hash)
	if c != nil {
		return c
	}
	c = r.cells.add(k, hash)
	if p := r.before(k, hash); p != nil {
		c.base, c.now, c.val, c.known, c.owner = p.now, p.now, p.val, true, r.sh.index+1
		r.seen.hits++
	} else if age, ok := r.sh.g.cache.recall(c, r.start); ok {
		c.now, c.known, c.stale = c.base, true, age > r.sh.g.opts.PeekAge
		r.seen.hits++
	} else {
		r.seen.misses++
	}
	return c
}

// before returns the cell of a key that the round ahead of this one writes.
func (r *round) before(k Key, hash uint64) *cell {
	if r.ahead == nil {
		return nil
	}
	if c := r.ahead.cells.find(k, hash); c != nil && c.wrote {
		return c
	}
	return nil
}
