package storage

import "hash/maphash"

// memIndex finds records by id: a table of open addressing with linear probing.
// Its cells hold the hashes, so that it grows and shrinks without touching a
// record.
type memIndex struct {
	cells []memCell // a power of two of them, at most three quarters full
	n     int       // in use
}

type memCell struct {
	hash uint32
	at   memAt // 0 is an empty cell
}

var hashSeed = maphash.MakeSeed()

// hashID is the hash of an id, for one process only.
func hashID(id string) uint32 { return uint32(maphash.String(hashSeed, id)) }

// get returns the first record with a hash that is the one looked for, 0 without one.
func (x *memIndex) get(hash uint32, is func(memAt) bool) memAt {
	if len(x.cells) == 0 {
		return 0
	}
	mask := uint32(len(x.cells) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		c := x.cells[i]
		if c.at == 0 || c.hash == hash && is(c.at) {
			return c.at
		}
	}
}

// add adds a record that is not there.
func (x *memIndex) add(at memAt, hash uint32) {
	if 4*(x.n+1) > 3*len(x.cells) {
		x.grow()
	}
	x.place(memCell{hash, at})
	x.n++
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
func (x *memIndex) remove(at memAt, hash uint32) {
	mask := uint32(len(x.cells) - 1)
	i := hash & mask
	for x.cells[i].at != at {
		i = (i + 1) & mask
	}
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
