package storage

// memBlocks keeps many byte strings in few pieces of memory, without a pointer to
// each. They never change, so who got one may keep it.
type memBlocks struct {
	blocks []memBlock // from 1: place 0 is nowhere
	fill   uint32     // the one that is added to
	free   []uint32   // places in blocks that are empty
}

type memBlock struct {
	data []byte
	live int // strings in it that were not dropped
}

// memBytes is where a string lies.
type memBytes struct{ block, from, n uint32 }

// memBlockBytes bounds what a string keeps from being freed besides itself.
const memBlockBytes = 16 << 10

// addBytes copies data to where it stays.
func addBytes[S ~string | ~[]byte](m *memBlocks, data S) memBytes {
	if len(data) > memBlockBytes/8 {
		at := m.open(append([]byte(nil), data...))
		m.blocks[at].live = 1
		return memBytes{at, 0, uint32(len(data))}
	}
	b := m.filling(len(data))
	from := len(b.data)
	b.data = append(b.data, data...)
	b.live++
	return memBytes{m.fill, uint32(from), uint32(len(data))}
}

// filling returns a block with room.
func (m *memBlocks) filling(n int) *memBlock {
	if m.fill > 0 {
		if b := &m.blocks[m.fill]; len(b.data)+n <= cap(b.data) {
			return b
		}
	}
	last := m.fill
	m.fill = m.open(make([]byte, 0, memBlockBytes))
	if last > 0 && m.blocks[last].live == 0 {
		m.close(last)
	}
	return &m.blocks[m.fill]
}

func (m *memBlocks) open(data []byte) (at uint32) {
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

// close leaves a block to those who still read from it.
func (m *memBlocks) close(at uint32) {
	m.blocks[at] = memBlock{}
	m.free = append(m.free, at)
}

// get returns the bytes, nil if there are none.
func (m *memBlocks) get(at memBytes) []byte {
	if at.block == 0 {
		return nil
	}
	end := at.from + at.n
	return m.blocks[at.block].data[at.from:end:end]
}

// drop forgets a string.
func (m *memBlocks) drop(at memBytes) {
	if at.block == 0 {
		return
	}
	b := &m.blocks[at.block]
	if b.live--; b.live == 0 && at.block != m.fill {
		m.close(at.block)
	}
}
