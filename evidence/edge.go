package evidence

import (
	"context"
	"crypto/sha256"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/storage"
)

// An edge is what appending to the tree needs of it: of each level of tiles the
// last one, while it is not full. Level n holds the roots of subtrees of 256^n
// leaves.
type edge struct {
	size   uint64
	levels [][]tlog.Hash
	// What changed since the edge was read: whole tiles by their records, and the
	// levels whose partial tile grew.
	full  []tile
	grown []bool

	known map[tileAt][]tlog.Hash // whole tiles above the leaves that lead to the root
}

type tileAt struct {
	level int
	n     int64
}

type tile struct {
	key  storage.Key
	data []byte
}

// readEdge reads the edge of a tree and holds it against the tree's root.
func (l *Log) readEdge(ctx context.Context, size uint64, root []byte) (*edge, error) {
	e := &edge{size: size}
	var keys []storage.Key
	var of []int
	for n := size; n > 0; n /= tileWidth {
		if n%tileWidth > 0 {
			keys, of = append(keys, tileKey(len(e.levels), int64(n/tileWidth))), append(of, len(e.levels))
		}
		e.levels, e.grown = append(e.levels, make([]tlog.Hash, n%tileWidth)), append(e.grown, false)
	}
	if len(keys) > 0 {
		recs, err := l.store.Get(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errTileRead, err)
		}
		for i, r := range recs {
			list := e.levels[of[i]]
			if len(r.Data) < len(list)*tlog.HashSize {
				return nil, fmt.Errorf("evidence: tile too short: %w", storage.ErrCorrupt)
			}
			for j := range list {
				copy(list[j][:], r.Data[j*tlog.HashSize:])
			}
		}
	}
	if got := e.root(); string(got[:]) != string(root) {
		return nil, fmt.Errorf("evidence: the tiles of the tree do not lead to its root: %w", storage.ErrCorrupt)
	}
	return e, nil
}

// add appends a leaf.
func (e *edge) add(leaf []byte) {
	h := leafHash(leaf)
	n := e.size
	e.size++
	for level := 0; ; level++ {
		if level == len(e.levels) {
			e.levels, e.grown = append(e.levels, nil), append(e.grown, false)
		}
		if cap(e.levels[level]) < tileWidth {
			e.levels[level] = append(make([]tlog.Hash, 0, tileWidth), e.levels[level]...)
		}
		e.levels[level] = append(e.levels[level], h)
		e.grown[level] = true
		if len(e.levels[level]) < tileWidth {
			return
		}
		n /= tileWidth
		e.full = append(e.full, tile{tileKey(level, int64(n)), tileData(e.levels[level])})
		h = merkle(e.levels[level])
		e.levels[level], e.grown[level] = e.levels[level][:0], false
	}
}

// leafHash is the hash of a leaf (RFC 6962 §2.1).
func leafHash(leaf []byte) tlog.Hash {
	var room [1 + maxLeaf]byte
	return sha256.Sum256(append(room[:1], leaf...))
}

// tile returns the hashes of a tile of the tree as it was read, having held them
// against the root by way of the tiles above. data is its record, nil if that is
// still to be read.
func (e *edge) tile(ctx context.Context, s storage.Store, level int, n int64, data []byte) ([]tlog.Hash, error) {
	if level >= len(e.levels) {
		return nil, fmt.Errorf("evidence: tile beyond the tree: %w", storage.ErrCorrupt)
	}
	last := e.size
	for range level + 1 {
		last /= tileWidth
	}
	switch {
	case uint64(n) == last:
		return e.levels[level], nil
	case uint64(n) > last:
		return nil, fmt.Errorf("evidence: tile beyond the tree: %w", storage.ErrCorrupt)
	}
	at := tileAt{level, n}
	if list := e.known[at]; list != nil {
		return list, nil
	}
	if data == nil {
		recs, err := s.Get(ctx, []storage.Key{tileKey(level, n)})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errTileRead, err)
		}
		data = recs[0].Data
	}
	if len(data) < tileWidth*tlog.HashSize {
		return nil, fmt.Errorf("evidence: tile too short: %w", storage.ErrCorrupt)
	}
	list := make([]tlog.Hash, tileWidth)
	for i := range list {
		copy(list[i][:], data[i*tlog.HashSize:])
	}
	above, err := e.tile(ctx, s, level+1, n/tileWidth, nil)
	if err != nil {
		return nil, err
	}
	if merkle(list) != above[n%tileWidth] {
		return nil, fmt.Errorf("evidence: a tile does not lead to the root: %w", storage.ErrCorrupt)
	}
	if level > 0 {
		if e.known == nil {
			e.known = map[tileAt][]tlog.Hash{}
		}
		e.known[at] = list
	}
	return list, nil
}

// changed are the records of tiles that are not as they were read.
func (e *edge) changed() []tile {
	out := e.full
	n := e.size
	for level, list := range e.levels {
		if n /= tileWidth; e.grown[level] {
			out = append(out, tile{tileKey(level, int64(n)), tileData(list)})
		}
	}
	return out
}

func tileData(list []tlog.Hash) []byte {
	b := make([]byte, 0, len(list)*tlog.HashSize)
	for i := range list {
		b = append(b, list[i][:]...)
	}
	return b
}

// root is the root of the tree (RFC 6962 §2.1): at each level, that of its
// subtrees and of what lies behind the last whole one.
func (e *edge) root() tlog.Hash {
	rest, some := tlog.Hash(sha256.Sum256(nil)), false
	for _, list := range e.levels {
		if some {
			list = append(append(make([]tlog.Hash, 0, len(list)+1), list...), rest)
		}
		if len(list) > 0 {
			rest, some = merkle(list), true
		}
	}
	return rest
}

// merkle is the root over subtrees of which only the last may be smaller.
func merkle(list []tlog.Hash) tlog.Hash {
	if len(list) == 1 {
		return list[0]
	}
	k := 1
	for 2*k < len(list) {
		k *= 2
	}
	var b [1 + 2*tlog.HashSize]byte
	b[0] = 1
	left, right := merkle(list[:k]), merkle(list[k:])
	copy(b[1:], left[:])
	copy(b[1+tlog.HashSize:], right[:])
	return sha256.Sum256(b[:])
}
