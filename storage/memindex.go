package storage

import "hash/maphash"

// memIndex finds records by id: a table of open addressing with linear probing.
// Its cells hold no pointers, which keeps them from the garbage collector, and
// the hashes, so that it grows and shrinks without touching an id.
type memIndex struct {
	cells []memCell    // a power of two of them, at most three quarters full
	n     int          // in use
	at    []*memRecord // by memCell.at
	free  []uint32     // positions in at that are nil
}

type memCell struct {
	hash uint32
	at   uint32 // in at, from 1; 0 is an empty cell
}

var hashSeed = maphash.MakeSeed()

// hashID is the hash of an id, for one process only.
func hashID(id string) uint32 { return uint32(maphash.String(hashSeed, id)) }

// get returns the record of an id, nil without one.
func (x *memIndex) get(id string, hash uint32) *memRecord {
	if len(x.cells) == 0 {
		return nil
	}
	mask := uint32(len(x.cells) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		c := x.cells[i]
		if c.at == 0 {
			return nil
		}
		if c.hash == hash {
			if r := x.at[c.at-1]; r.id == id {
				return r
			}
		}
	}
}

// add adds a record that is not there, and returns its position.
func (x *memIndex) add(r *memRecord, hash uint32) (at uint32) {
	if 4*(x.n+1) > 3*len(x.cells) {
		x.grow()
	}
	if n := len(x.free); n > 0 {
		at, x.free = x.free[n-1], x.free[:n-1]
		x.at[at] = r
	} else {
		at, x.at = uint32(len(x.at)), append(x.at, r)
	}
	x.place(memCell{hash, at + 1})
	x.n++
	return at
}

func (x *memIndex) place(c memCell) {
	mask := uint32(len(x.cells) - 1)
	i := c.hash & mask
	for x.cells[i].at != 0 {
		i = (i + 1) & mask
	}
	x.cells[i] = c
}

func (x *memIndex) grow() {
	old := x.cells
	x.cells = make([]memCell, max(16, 2*len(old)))
	for _, c := range old {
		if c.at != 0 {
			x.place(c)
		}
	}
}

// remove takes out a record that is there.
func (x *memIndex) remove(r *memRecord) {
	mask := uint32(len(x.cells) - 1)
	i := hashID(r.id) & mask
	for x.cells[i].at == 0 || x.at[x.cells[i].at-1] != r {
		i = (i + 1) & mask
	}
	at := x.cells[i].at - 1
	x.at[at] = nil
	x.free = append(x.free, at)
	x.n--
	// What was pushed past the gap moves back into it, so that no search ends early.
	for j := (i + 1) & mask; x.cells[j].at != 0; j = (j + 1) & mask {
		if home := x.cells[j].hash & mask; (j-home)&mask >= (j-i)&mask {
			x.cells[i] = x.cells[j]
			i = j
		}
	}
	x.cells[i] = memCell{}
}
