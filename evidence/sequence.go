package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/storage"
)

// pending is one chain's share of a step.
type pending struct {
	tenant, env string
	head        chainHead
	mark        watermark
	page        []storage.Entry // the first beyond mark
	leaves      [][]byte
	seal        bool
}

// When a chain is looked at again that is broken, or whose tenant's keys are not to be
// had.
const (
	brokenWait = time.Hour
	lockedWait = time.Minute
)

// errLocked says that a tenant's keys are not to be had.
var errLocked = errors.New("evidence: keys of a tenant")

// errLost says that another process extended the tree first.
var errLost = errors.New("evidence: another sequencer was first")

// settled is how long a chain has been quiet when [Log.Run] clears its due mark.
// One that is not will be due again at once, and the mark only costs a look.
const settled = time.Second

// How many marks are cleared at a time: by a group, which makes few commits of them, or
// by another store, where each may take a connection.
const (
	clearGrouped = 128
	clearAlone   = 8
)

// Sequence brings events that are not in the tree yet into it, signs the new
// checkpoint and returns how many there were: one step, of at most 8192 events.
// [Log.Run] repeats it. Any number of processes may: for every size of the tree
// one wins, and the others try again. A chain that contradicts itself is left
// out and logged; one whose tenant's keys cannot be had waits a minute.
func (l *Log) Sequence(ctx context.Context) (int, error) {
	s, err := l.sequence(ctx, 0)
	return s.events, err
}

// A stepped says what a step did.
type stepped struct {
	events int
	sealed bool // a chain among them
	more   bool // was due than one step takes
}

func (l *Log) sequence(ctx context.Context, settled time.Duration) (s stepped, err error) {
	for range 16 {
		s, err = l.step(ctx, settled)
		if !errors.Is(err, errLost) {
			return s, err
		}
	}
	return stepped{}, err
}

func (l *Log) step(ctx context.Context, settled time.Duration) (s stepped, err error) {
	now := l.now()
	keys, err := l.store.Due(ctx, chains.Name, now, maxStepChains)
	if err != nil {
		return s, fmt.Errorf("evidence: due chains: %w", err)
	}
	if len(keys) == 0 {
		return s, nil
	}
	old, err := l.head(ctx)
	if err != nil {
		return s, err
	}
	if len(keys) == maxStepChains {
		s.more, settled = true, 0 // marks that stay would hide other chains
	}
	var work []*pending
	var done []storage.Key // heads whose marks are to go
	making := newLeaves(nil, "")
	for part := range slices.Chunk(keys, storage.MaxKeys/2) {
		if s.events >= maxStepEvents {
			break
		}
		list, err := l.due(ctx, part)
		if err != nil {
			return s, err
		}
		if err := l.prefetch(ctx, list); err != nil {
			return s, err
		}
		for i := range list {
			p := &list[i]
			if s.events >= maxStepEvents {
				break
			}
			err := l.gather(ctx, p, making, maxStepEvents-s.events)
			wait := time.Duration(0) // one chain must not keep the others out of the tree
			if tampered := (*TamperError)(nil); errors.As(err, &tampered) {
				l.log.ErrorContext(ctx, "evidence: chain left out of the tree", "envelope", p.env, "seq", tampered.Seq)
				wait = brokenWait
			} else if errors.Is(err, errLocked) && ctx.Err() == nil {
				l.log.ErrorContext(ctx, "evidence: chain waits for its tenant's keys", "envelope", p.env, "error", err)
				wait = lockedWait
			}
			if wait > 0 {
				if err := l.putOff(ctx, part[i], wait); err != nil {
					return s, err
				}
				continue
			}
			if err != nil {
				return s, err
			}
			if settled <= 0 || now.Sub(p.head.At) >= settled {
				done = append(done, part[i])
			}
			if len(p.leaves) > 0 {
				work = append(work, p)
				s.events += len(p.leaves)
				s.sealed = s.sealed || p.seal
			}
		}
	}
	s.more = s.more || s.events >= maxStepEvents
	if s.events > 0 {
		if err := l.integrate(ctx, old, work); err != nil {
			return stepped{}, err
		}
	}
	return s, l.clear(ctx, done)
}

// due reads heads and watermarks.
func (l *Log) due(ctx context.Context, list []storage.Key) ([]pending, error) {
	keys := make([]storage.Key, 0, 2*len(list))
	for _, k := range list {
		keys = append(keys, k, marks.Key(k.Tenant, k.ID))
	}
	recs, err := l.store.Get(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("evidence: read chains: %w", err)
	}
	out := make([]pending, len(list))
	for i, k := range list {
		p := &out[i]
		p.tenant, p.env = k.Tenant, k.ID
		if p.head, err = chains.Decode(recs[2*i]); err != nil {
			return nil, err
		}
		if recs[2*i+1].Version > 0 {
			if p.mark, err = marks.Decode(recs[2*i+1]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// prefetch reads of every chain what it likely has beyond its watermark, together.
func (l *Log) prefetch(ctx context.Context, list []pending) error {
	var parts []storage.StreamPart
	var of []*pending
	for i := range list {
		p := &list[i]
		if n := p.head.Seq - min(p.mark.Seq, p.head.Seq); n > 0 {
			most := min(n, max(1, maxStepEvents/uint64(len(list))))
			parts = append(parts, storage.StreamPart{Stream: chains.Key(p.tenant, p.env), After: p.mark.Seq, Limit: int(most)})
			of = append(of, p)
		}
	}
	pages, err := storage.Streams(ctx, l.store, parts)
	if err != nil {
		return fmt.Errorf("evidence: read chains: %w", err)
	}
	for i, p := range of {
		p.page = pages[i]
	}
	return nil
}

// gather reads what a chain has beyond its watermark, checks its links, and makes
// leaves of it.
func (l *Log) gather(ctx context.Context, p *pending, making *leaves, limit int) error {
	if p.mark.Seq >= p.head.Seq {
		return nil
	}
	if p.tenant != storage.Deployment {
		if err := l.vault.Unlock(ctx, p.tenant); err != nil {
			return fmt.Errorf("%w: %w", errLocked, err)
		}
	}
	blind, err := l.blind(p.tenant, p.env)
	if err != nil {
		return err
	}
	making.begin(blind, p.env)
	var e Event
	var prev []byte // hash of the last event, once known
	for seq := p.mark.Seq; seq < p.head.Seq && len(p.leaves) < limit; {
		page, most := p.page, min(limit-len(p.leaves), 512, int(p.head.Seq-seq))
		if p.page = nil; len(page) == 0 {
			if page, err = l.store.Entries(ctx, chains.Key(p.tenant, p.env), seq, most); err != nil {
				return fmt.Errorf("evidence: read chain: %w", err)
			}
		}
		page = page[:min(len(page), most)]
		if len(page) == 0 {
			return &TamperError{Env: p.env, Seq: seq + 1, What: "missing"}
		}
		room := make([]byte, 0, len(page)*maxLeaf)
		for _, x := range page {
			seq++
			switch err := e.glance(x.Data, p.env); {
			case err != nil || e.Seq != seq || e.Env != p.env:
				return &TamperError{Env: p.env, Seq: seq, What: "not the event that was recorded"}
			case prev != nil && !bytes.Equal(e.Prev, prev):
				return &TamperError{Env: p.env, Seq: seq, What: "does not point to its predecessor"}
			}
			sum := sha256.Sum256(x.Data)
			prev = append(prev[:0], sum[:]...)
			p.seal = p.seal || e.Type == TypeSealed
			from := len(room)
			room = making.leaf(room, seq, x.Data, sum)
			p.leaves = append(p.leaves, room[from:len(room):len(room)])
		}
		if seq == p.head.Seq && !bytes.Equal(prev, p.head.Hash) {
			return &TamperError{Env: p.env, Seq: seq, What: "not the head of the chain"}
		}
	}
	return nil
}

// integrate computes the new tree outside, then commits it whole: head, tiles,
// leaves and watermarks.
func (l *Log) integrate(ctx context.Context, old treeHead, work []*pending) error {
	tree, err := l.readEdge(ctx, old.Size, old.Root)
	if err != nil {
		return fmt.Errorf("evidence: extend tree: %w", err)
	}
	// The head comes first: what is near it is decided where it is.
	keys := []storage.Key{trees.Key(storage.Deployment, treeID)}
	bundles, err := l.openBundle(ctx, old.Size)
	if err != nil {
		return err
	}
	for _, p := range work {
		p.mark.add(tree.size, uint64(len(p.leaves)))
		keys = append(keys, marks.Key(p.tenant, p.env))
		for _, leaf := range p.leaves {
			bundles.add(tree.size, leaf)
			tree.add(leaf)
		}
	}
	root := tree.root()
	changed := append(tree.changed(), bundles.list...)
	for i := range changed {
		keys = append(keys, changed[i].key)
	}
	signed, err := signNote(checkpointText(l.origin, tree.size, root[:]), l.signers)
	if err != nil {
		return err
	}
	return storage.UpdateWith(ctx, l.store, &storage.UpdateOptions{Near: keys}, func(tx *storage.Tx) error {
		now, _, err := trees.Get(tx, storage.Deployment, treeID)
		if err != nil {
			return err
		}
		if now.Size != old.Size {
			return errLost
		}
		// The partial records of the old tree were read before; they are as they
		// were because the head is.
		for _, t := range changed {
			if err := tx.Put(t.key, t.data, time.Time{}); err != nil {
				return err
			}
		}
		for _, p := range work {
			if err := marks.Put(tx, p.tenant, p.env, p.mark); err != nil {
				return err
			}
		}
		return trees.Put(tx, storage.Deployment, treeID, treeHead{Size: tree.size, Root: root[:], Note: string(signed)})
	})
}

// bundles are the records of leaves that grow, each leaf behind its length in 16
// bits (C2SP tlog-tiles).
type bundles struct{ list []tile }

// openBundle reads the record that the next leaf of a tree goes to.
func (l *Log) openBundle(ctx context.Context, size uint64) (*bundles, error) {
	if size%tileWidth == 0 {
		return &bundles{}, nil
	}
	k := leavesKey(int64(size / tileWidth))
	recs, err := l.store.Get(ctx, []storage.Key{k})
	if err != nil {
		return nil, fmt.Errorf("evidence: read leaves: %w", err)
	}
	return &bundles{[]tile{{k, recs[0].Data}}}, nil
}

func (b *bundles) add(at uint64, leaf []byte) {
	if at%tileWidth == 0 {
		b.list = append(b.list, tile{leavesKey(int64(at / tileWidth)), make([]byte, 0, tileWidth*(2+maxLeaf))})
	}
	t := &b.list[len(b.list)-1]
	t.data = append(binary.BigEndian.AppendUint16(t.data, uint16(len(leaf))), leaf...)
}

// clear takes back the due marks of chains that are in the tree as a whole; that of a
// chain with a newer event takes its place behind the others. Each is a commit of its
// own, many at a time: a chain that is written meanwhile delays no other, and a group
// makes one commit of them and of what is written.
func (l *Log) clear(ctx context.Context, keys []storage.Key) error {
	atOnce := clearAlone
	if _, ok := l.store.(*storage.Grouped); ok {
		atOnce = clearGrouped
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, len(keys))
	for range min(len(keys), atOnce) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(keys)); i = next.Add(1) - 1 {
				if errs[i] = l.clearMark(ctx, keys[i]); errs[i] != nil {
					next.Store(int64(len(keys))) // the others would fail, too
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("evidence: clear due marks: %w", err)
		}
	}
	return nil
}

func (l *Log) clearMark(ctx context.Context, k storage.Key) error {
	near := []storage.Key{k, marks.Key(k.Tenant, k.ID)}
	err := storage.UpdateWith(ctx, l.store, &storage.UpdateOptions{Near: near}, func(tx *storage.Tx) error {
		m, _, err := marks.Peek(tx, k.Tenant, k.ID)
		if err != nil {
			return err
		}
		h, ok, err := chains.Get(tx, k.Tenant, k.ID)
		now := tx.Now(l.now)
		if err != nil || !ok || h.Due.IsZero() || h.Due.After(now) {
			return err
		}
		h.Due = now
		if m.Seq >= h.Seq {
			h.Due = time.Time{}
		}
		return chains.Put(tx, k.Tenant, k.ID, h)
	})
	if errors.Is(err, storage.ErrContended) {
		return nil // the mark stays, and is looked at again
	}
	return err
}

// putOff has a chain looked at again later.
func (l *Log) putOff(ctx context.Context, k storage.Key, wait time.Duration) error {
	return storage.Update(ctx, l.store, func(tx *storage.Tx) error {
		h, ok, err := chains.Get(tx, k.Tenant, k.ID)
		if err != nil || !ok {
			return err
		}
		h.Due = tx.Now(l.now).Add(wait)
		return chains.Put(tx, k.Tenant, k.ID, h)
	})
}
