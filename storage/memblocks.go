package storage

import "math"

// memBlocks keeps many byte strings of records in few pieces of memory, without a
// pointer to each. They never change, so who got one may keep it.
type memBlocks struct {
	blocks []memBlock // from 1: place 0 is nowhere
	open   uint32     // the one that is added to
	free   []uint32   // places in blocks that are empty

	where func(memAt) *memBytes // what a record has
}

type memBlock struct {
	data []byte
	live int     // bytes that were not dropped
	of   []memAt // the records whose strings were added
}

// memBytes is where a string lies.
type memBytes struct{ block, from, n uint32 }

const (
	memEmpty      = math.MaxUint32     // the block of empty strings, which take no room in any
	memBlockBytes = 16 << 10           // bounds what a reader keeps from being freed
	memBlockLong  = memBlockBytes / 16 // longer strings lie alone
)

// addBytes copies data of a record to where it stays.
func addBytes[S ~string | ~[]byte](m *memBlocks, data S, of memAt) memBytes {
	at := m.open
	if n := len(data); n == 0 {
		return memBytes{block: memEmpty}
	} else if n > memBlockLong {
		at = m.place(make([]byte, 0, n))
	} else if at == 0 || len(m.blocks[at].data)+n > cap(m.blocks[at].data) {
		last := at
		at = m.place(make([]byte, 0, memBlockBytes))
		if m.open = at; last > 0 {
			m.blocks[at].of = make([]memAt, 0, len(m.blocks[last].of)+len(m.blocks[last].of)/8) // likely as many again
			m.thin(last)
		}
	}
	b := &m.blocks[at]
	from := len(b.data)
	b.data = append(b.data, data...)
	b.of = append(b.of, of)
	b.live += len(data)
	return memBytes{at, uint32(from), uint32(len(data))}
}

func (m *memBlocks) place(data []byte) (at uint32) {
	if n := len(m.free); n > 0 {
		at, m.free = m.free[n-1], m.free[:n-1]
		m.blocks[at].data = data
		return at
	}
	if len(m.blocks) == 0 {
		m.blocks = make([]memBlock, 1, 8)
	}
	m.blocks = append(m.blocks, memBlock{data: data})
	return uint32(len(m.blocks) - 1)
}

// get returns the bytes, nil if there are none.
func (m *memBlocks) get(at memBytes) []byte {
	switch at.block {
	case 0:
		return nil
	case memEmpty:
		return []byte{}
	}
	end := at.from + at.n
	return m.blocks[at.block].data[at.from:end:end]
}

// drop forgets a string, which no record has any more. Until then nothing may be
// added.
func (m *memBlocks) drop(gone memBytes) {
	if gone.n > 0 {
		m.blocks[gone.block].live -= int(gone.n)
		m.thin(gone.block)
	}
}

// thin moves what lives in a block to another, if it is little. Who still reads
// the block may go on.
func (m *memBlocks) thin(at uint32) {
	b := &m.blocks[at]
	if at == m.open || b.live > 0 && b.live >= cap(b.data)/4 {
		return
	}
	for _, n := range b.of {
		if w := m.where(n); w.block == at {
			*w = addBytes(m, m.get(*w), n)
		}
	}
	m.blocks[at] = memBlock{}
	m.free = append(m.free, at)
}
