package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/storage"
)

// material is what the log proves of a chain: a proof for every event that an
// anchored checkpoint covers, those checkpoints with their anchors and the
// tokens that events name, and the consistency between them. size is that of
// the largest checkpoint; 0 without any.
func (l *Log) material(ctx context.Context, tenant, env string, events []Event) ([]*source, uint64, error) {
	recs, err := l.store.Get(ctx, []storage.Key{marks.Key(tenant, env)})
	if err != nil {
		return nil, 0, fmt.Errorf("evidence: read watermark: %w", err)
	}
	if recs[0].Version == 0 {
		return nil, 0, nil
	}
	mark, err := marks.Decode(recs[0])
	if err != nil {
		return nil, 0, err
	}
	blind, err := l.blind(tenant, env)
	if err != nil {
		return nil, 0, err
	}
	var out []*source
	used := map[uint64]anchorRecord{}
	// Leaves of a chain rise with its events, so one pass over the anchors finds
	// the first that covers each event.
	var cp anchorRecord
	var leaves []uint64 // of the events that cp is the first to cover
	making := newLeaves(blind, env)
	prove := func(list []Event) error {
		if len(leaves) == 0 {
			return nil
		}
		proofs, err := l.proofs(ctx, cp, leaves)
		if err != nil {
			return err
		}
		for i, p := range proofs {
			e := &list[i]
			hash := tlog.RecordHash(making.of(e.Seq, e.raw))
			if tlog.CheckRecord(p, int64(cp.Size), tlog.Hash(cp.Root), int64(leaves[i]), hash) != nil {
				return &TamperError{Env: env, Seq: e.Seq, What: "not the leaf in the log"}
			}
			out = append(out, sourceOf(proofPath(e.Seq), formatProof(leaves[i], p, []byte(cp.Note))))
		}
		leaves = leaves[:0]
		return nil
	}
	for i := range events {
		leaf, ok := mark.leaf(events[i].Seq)
		if !ok {
			break
		}
		if cp.Size <= leaf {
			if err := prove(events[len(out):i]); err != nil {
				return nil, 0, err
			}
			if cp, ok, err = l.anchorAfter(ctx, leaf); err != nil {
				return nil, 0, err
			} else if !ok {
				break
			}
			used[cp.Size] = cp
		}
		leaves = append(leaves, leaf)
	}
	if err := prove(events[len(out):]); err != nil {
		return nil, 0, err
	}
	if len(out) == 0 {
		return nil, 0, nil
	}
	for i := range events {
		n := events[i].NotBefore
		if _, ok := used[n.Size]; ok || n.Token == nil {
			continue
		}
		cp, ok, err := l.anchorAfter(ctx, n.Size-1)
		if err != nil {
			return nil, 0, err
		}
		if ok && cp.Size == n.Size {
			used[cp.Size] = cp
		}
	}
	sizes := slices.Sorted(maps.Keys(used))
	for i, size := range sizes {
		cp := used[size]
		out = append(out, sourceOf(checkpointPath(size), []byte(cp.Note)))
		for item, err := range anchored.Scan(ctx, l.store, storage.Deployment, anchorID(size, "")) {
			if err != nil {
				return nil, 0, fmt.Errorf("evidence: read anchors: %w", err)
			}
			r := item.Value.Receipt
			if !item.Value.whole(item.ID) || item.Value.Note != cp.Note {
				return nil, 0, fmt.Errorf("evidence: stored anchor: %w", storage.ErrCorrupt)
			}
			out = append(out, sourceOf(anchorPath(size, r.Anchor, r.Kind), r.Data))
			if len(item.Value.Renewed) > 0 {
				out = append(out, sourceOf(ersPath(size, r.Anchor), item.Value.Renewed))
			}
		}
		if i == 0 {
			continue
		}
		p, err := tlog.ProveTree(int64(size), int64(sizes[i-1]), l.hashes(ctx, size, cp.Root))
		if err != nil {
			return nil, 0, fmt.Errorf("evidence: prove tree %d: %w", size, err)
		}
		out = append(out, sourceOf(consistencyPath(sizes[i-1], size), formatConsistency(p)))
	}
	return out, sizes[len(sizes)-1], nil
}

// proofs makes the inclusion proofs of leaves in the tree of an anchored checkpoint,
// for which it reads every hash of the tree once, and all of them together.
func (l *Log) proofs(ctx context.Context, cp anchorRecord, leaves []uint64) ([]tlog.RecordProof, error) {
	known := map[int64]tlog.Hash{}
	proofs := func() ([]tlog.RecordProof, error) {
		out := make([]tlog.RecordProof, len(leaves))
		for i, leaf := range leaves {
			var err error
			out[i], err = tlog.ProveRecord(int64(cp.Size), int64(leaf), tlog.HashReaderFunc(func(list []int64) ([]tlog.Hash, error) {
				got := make([]tlog.Hash, len(list))
				for j, n := range list {
					got[j] = known[n]
					known[n] = got[j]
				}
				return got, nil
			}))
			if err != nil {
				return nil, fmt.Errorf("evidence: prove leaf %d: %w", leaf, err)
			}
		}
		return out, nil
	}
	if _, err := proofs(); err != nil { // finds out what they are made of
		return nil, err
	}
	need := slices.Sorted(maps.Keys(known))
	got, err := l.hashes(ctx, cp.Size, cp.Root).ReadHashes(need)
	if err != nil {
		return nil, fmt.Errorf("evidence: read tree: %w", err)
	}
	for i, n := range need {
		known[n] = got[i]
	}
	return proofs()
}

// anchorAfter finds the smallest anchored checkpoint with more leaves than n.
func (l *Log) anchorAfter(ctx context.Context, n uint64) (anchorRecord, bool, error) {
	// Ids begin with the size; '~' sorts behind every name.
	page, err := l.store.List(ctx, storage.Deployment, anchored.Name, anchorID(n, "~"), 1)
	if err != nil {
		return anchorRecord{}, false, fmt.Errorf("evidence: read anchors: %w", err)
	}
	if len(page) == 0 {
		return anchorRecord{}, false, nil
	}
	r, err := anchored.Decode(page[0])
	if err != nil {
		return anchorRecord{}, false, err
	}
	// The checkpoint is what was signed; size and root only repeat it.
	cp, _, err := parseCheckpoint([]byte(r.Note))
	if err != nil || cp.Origin != l.origin || cp.Size != r.Size || !bytes.Equal(cp.Root, r.Root) || cp.Size <= n || !r.whole(page[0].Key.ID) {
		return anchorRecord{}, false, fmt.Errorf("evidence: stored anchor: %w", storage.ErrCorrupt)
	}
	return r, true, nil
}

func sortSources(list []*source) {
	slices.SortFunc(list, func(a, b *source) int { return strings.Compare(a.name, b.name) })
}

func hashOf(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}
