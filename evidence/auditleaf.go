package evidence

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/storage"
)

// A leafAudit is what of an audit is still to be held against the tree.
type leafAudit struct {
	due       []placed
	sums, sm3 [][sha256.Size]byte // of the events that are due
}

// A placed run is consecutive events whose leaves are still to be looked at.
type placed struct {
	run
	env string
	eb  []byte // in hexadecimal
	at  int    // of the hashes
}

const (
	// auditBatch is how many leaves are held against the tree in one go, or a few
	// more.
	auditBatch = 8192
	// auditRead is how many records of 256 leaves are read at once.
	auditRead = 64
)

// place finds where the leaves of a chain are, by its mark. It reports whether
// the mark can be right at all.
func (a *auditor) place(ctx context.Context, env string, raws [][]byte, sums [][sha256.Size]byte) (bool, error) {
	recs, err := a.l.store.Get(ctx, []storage.Key{marks.Key(a.o.Tenant, env), chains.Key(a.o.Tenant, env)})
	if err != nil {
		return false, fmt.Errorf("evidence: read watermark: %w", err)
	}
	if head, err := chains.Decode(recs[1]); err != nil || !chains.spelled(recs[1], head) {
		a.fault(env, Check{Code: CodeChain, Verdict: Failed, Path: "head", Detail: "the head is not spelled as it is written"})
		return false, nil
	}
	if recs[0].Version == 0 {
		return true, nil
	}
	mark, err := marks.Decode(recs[0])
	if errors.Is(err, storage.ErrCorrupt) || err == nil && (!mark.sound(uint64(len(raws)), a.tree.Size) || !marks.spelled(recs[0], mark)) {
		a.fault(env, Check{Code: CodeLeaf, Verdict: Failed, Path: "mark", Detail: "the index of leaves cannot be right"})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	blind, err := a.l.blind(a.o.Tenant, env)
	if err != nil {
		return false, err
	}
	making := newLeaves(blind, env)
	for _, r := range mark.Runs {
		a.due = append(a.due, placed{run: r, env: env, eb: making.eb, at: len(a.sums)})
		a.sums = append(a.sums, sums[r.Seq-1:r.Seq-1+r.N]...)
		if !a.o.WithoutSM3 {
			a.sm3 = cms.SM3All(a.sm3, raws[r.Seq-1:r.Seq-1+r.N])
		}
	}
	return true, nil
}

// sound reports whether runs are in order, without gaps, and within the tree.
func (m *watermark) sound(events, size uint64) bool {
	seq, leaf := uint64(1), uint64(0)
	for _, r := range m.Runs {
		if r.Seq != seq || r.Leaf < leaf || r.N == 0 || r.N > size || r.Leaf > size-r.N {
			return false
		}
		seq, leaf = seq+r.N, r.Leaf+r.N
	}
	return m.Seq == seq-1 && m.Seq <= events
}

// leaves holds what is due against the leaves that the log keeps, and those
// against its tree, whose tiles are checked up to the signed root.
func (a *auditor) leaves(ctx context.Context) error {
	list := a.due
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(x, y placed) int { return cmp.Compare(x.Leaf, y.Leaf) })
	var need []int64 // records of leaves, and their tiles
	for i := range list {
		for n := int64(list[i].Leaf / tileWidth); n <= int64((list[i].Leaf+list[i].N-1)/tileWidth); n++ {
			if len(need) == 0 || need[len(need)-1] < n {
				need = append(need, n)
			}
		}
	}
	tree, err := a.l.readEdge(ctx, a.tree.Size, a.tree.Root)
	for i := 0; err == nil && i < len(need); i += auditRead {
		var pages []page
		pages, err = a.l.pages(ctx, tree, need[i:min(i+auditRead, len(need))])
		for j := 0; err == nil && j < len(pages); j++ {
			list = a.page(list, &pages[j])
		}
	}
	a.due, a.sums, a.sm3 = a.due[:0], a.sums[:0], a.sm3[:0]
	if errors.Is(err, errTileRead) {
		return err
	}
	if err != nil {
		a.fault(list[0].env, Check{Code: CodeInclusion, Verdict: Failed, Path: "tiles", Detail: "the tiles of the tree do not lead to its root"})
	}
	return nil
}

// A page is a tile of leaf hashes, which was held against the root, and the leaves
// as the log keeps them.
type page struct {
	n      int64
	hashes []tlog.Hash
	leaves []byte
}

// pages reads tiles and records of leaves.
func (l *Log) pages(ctx context.Context, tree *edge, need []int64) ([]page, error) {
	keys := make([]storage.Key, 0, 2*len(need))
	for _, n := range need {
		keys = append(keys, leavesKey(n), tileKey(0, n))
	}
	recs, err := l.store.Get(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTileRead, err)
	}
	out := make([]page, len(need))
	for i, n := range need {
		out[i] = page{n: n, leaves: recs[2*i].Data}
		if out[i].hashes, err = tree.tile(ctx, l.store, 0, n, recs[2*i+1].Data); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// page holds the events of a page against it and returns the runs that go on
// behind it.
func (a *auditor) page(list []placed, x *page) []placed {
	end := uint64(x.n+1) * tileWidth
	at, rest := uint64(x.n)*tileWidth, x.leaves // the next leaf of the record
	var room [maxLeaf]byte
	for ; len(list) > 0; list = list[1:] {
		p := &list[0]
		for ; p.N > 0 && p.Leaf < end; p.Seq, p.Leaf, p.N, p.at = p.Seq+1, p.Leaf+1, p.N-1, p.at+1 {
			if p.Leaf < at { // two runs say that they have it
				at, rest = uint64(x.n)*tileWidth, x.leaves
			}
			var leaf []byte
			for ; at <= p.Leaf; at++ {
				leaf, rest = cutLeaf(rest)
			}
			if leaf == nil || leafHash(leaf) != x.hashes[p.Leaf%tileWidth] {
				a.fault(p.env, Check{Code: CodeInclusion, Verdict: Failed, Path: "leaves", Detail: "a leaf is not the one in the tree"})
				continue
			}
			want := append(append(room[:0], `{"eb":"`...), p.eb...)
			want = hex.AppendEncode(append(want, `","h":"`...), a.sums[p.at][:])
			want = append(strconv.AppendUint(append(want, `","n":`...), p.Seq, 10), `,"s":"`...)
			if a.o.WithoutSM3 {
				if n := len(want) + 64; n < len(leaf) {
					want = append(want, leaf[len(want):n]...)
				}
			} else {
				want = hex.AppendEncode(want, a.sm3[p.at][:])
			}
			if want = append(want, `","v":1}`...); !bytes.Equal(leaf, want) {
				a.contradicted(p, leaf)
			}
		}
		if p.N > 0 {
			return list
		}
	}
	return list
}

// contradicted says in what a leaf that is in the tree is not an event's.
func (a *auditor) contradicted(p *placed, leaf []byte) {
	eb, _, _, n, ok := splitLeaf(leaf)
	if !ok || !bytes.Equal(eb, p.eb) || n != p.Seq {
		a.fault(p.env, Check{Code: CodeLeaf, Verdict: Failed, Path: "mark", Detail: "the index of leaves leads to another event"})
		return
	}
	a.fault(p.env, Check{Code: CodeLeaf, Verdict: Failed, Seq: p.Seq, Detail: "the event is not the leaf in the log"})
	a.r.bad(p.Seq)
}

// splitLeaf takes a leaf apart that is in its one form.
func splitLeaf(b []byte) (eb, h, s []byte, n uint64, ok bool) {
	cut := func(lit string, size int) []byte {
		if !bytes.HasPrefix(b, []byte(lit)) || len(b) < len(lit)+size {
			b = nil
			return nil
		}
		out := b[len(lit) : len(lit)+size]
		b = b[len(lit)+size:]
		return out
	}
	eb = cut(`{"eb":"`, 64)
	h = cut(`","h":"`, 64)
	cut(`","n":`, 0)
	digits := 0
	for digits < len(b) && b[digits] >= '0' && b[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseUint(string(b[:digits]), 10, 64)
	b = b[digits:]
	s = cut(`,"s":"`, 64)
	return eb, h, s, n, err == nil && string(b) == `","v":1}`
}

// leavesOf reads a record of leaves; what is not in its form is cut off.
func (l *Log) leavesOf(ctx context.Context, n int64) ([][]byte, error) {
	recs, err := l.store.Get(ctx, []storage.Key{leavesKey(n)})
	if err != nil {
		return nil, fmt.Errorf("evidence: read leaves: %w", err)
	}
	return splitLeaves(recs[0].Data), nil
}

func splitLeaves(b []byte) (out [][]byte) {
	for {
		var leaf []byte
		if leaf, b = cutLeaf(b); leaf == nil {
			return out
		}
		out = append(out, leaf)
	}
}

// cutLeaf takes a leaf off a record; nil is its end.
func cutLeaf(b []byte) (leaf, rest []byte) {
	if len(b) < 2 {
		return nil, nil
	}
	size := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+size {
		return nil, nil
	}
	return b[2 : 2+size : 2+size], b[2+size:]
}
