package evidence

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/storage"
)

// The tree is one per deployment, RFC 6962 with SHA-256, kept as C2SP tiles of
// height 8: a record per tile and per bundle of 256 leaves. A partial tile is a
// prefix of what its record becomes, so none is ever garbage.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight

	// One step integrates at most so many events of so many chains.
	maxStepEvents = 8192
	maxStepChains = 900

	tileKind   = "evidence.tile"
	leavesKind = "evidence.leaves"

	maxLeaf = 256
)

// treeHead is the newest signed tree.
type treeHead struct {
	Size uint64      `json:"size"`
	Root storage.Hex `json:"root"`
	Note string      `json:"note"` // the signed checkpoint
	At   time.Time   `json:"at"`
}

var trees = storage.Kind[treeHead]{Name: "evidence.tree", Schema: 1}

const treeID = "head"

// A watermark says up to where a chain is in the tree, and where its leaves are.
type watermark struct {
	Seq  uint64 `json:"seq"`
	Runs []run  `json:"runs"`
}

// A run is consecutive events with consecutive leaves.
type run struct {
	Seq  uint64 `json:"seq"`
	Leaf uint64 `json:"leaf"`
	N    uint64 `json:"n"`
}

var marks = storage.Kind[watermark]{Name: "evidence.mark", Schema: 1}

// add appends a run, or extends the last one.
func (m *watermark) add(leaf, n uint64) {
	if k := len(m.Runs) - 1; k >= 0 && m.Runs[k].Leaf+m.Runs[k].N == leaf {
		m.Runs[k].N += n
	} else {
		m.Runs = append(m.Runs, run{Seq: m.Seq + 1, Leaf: leaf, N: n})
	}
	m.Seq += n
}

// leaf finds the leaf of an event.
func (m *watermark) leaf(seq uint64) (uint64, bool) {
	for _, r := range m.Runs {
		if seq >= r.Seq && seq < r.Seq+r.N {
			return r.Leaf + seq - r.Seq, true
		}
	}
	return 0, false
}

// leafBytes is what the tree holds of an event: nothing personal, and its
// envelope only for who knows the envelope's blinding key.
func leafBytes(blind []byte, env string, seq uint64, raw []byte) []byte {
	return newLeaves(blind, env).of(seq, raw)
}

// leaves makes the leaves of one envelope.
type leaves struct {
	eb       []byte // in hexadecimal
	sha, sm3 hash.Hash
}

func newLeaves(blind []byte, env string) *leaves {
	m := hmac.New(sha256.New, blind)
	m.Write(lp([]byte("countersign/env/v1"), env))
	return &leaves{eb: hex.AppendEncode(nil, m.Sum(nil)), sha: sha256.New(), sm3: cms.SM3()}
}

// of is the leaf of an event, in canonical form.
func (x *leaves) of(seq uint64, raw []byte) []byte {
	var sum [sha256.Size]byte
	hashed := func(h hash.Hash, dst []byte) []byte {
		h.Reset()
		h.Write(raw)
		return hex.AppendEncode(dst, h.Sum(sum[:0]))
	}
	b := append(make([]byte, 0, maxLeaf), `{"eb":"`...)
	b = append(append(b, x.eb...), `","h":"`...)
	b = append(hashed(x.sha, b), `","n":`...)
	b = append(strconv.AppendUint(b, seq, 10), `,"s":"`...)
	return append(hashed(x.sm3, b), `","v":1}`...)
}

// blind is the blinding key of an envelope. Chains of the deployment itself
// hide nothing.
func (l *Log) blind(tenant, env string) ([]byte, error) {
	if tenant == storage.Deployment {
		return make([]byte, 32), nil
	}
	return l.vault.BlindEnv(tenant, env)
}

// tiles reads hashes of the stored tree for x/mod's tlog, which checks them
// against the root.
type tiles struct {
	ctx   context.Context
	store storage.Store
}

var _ tlog.TileReader = tiles{}

func (tiles) Height() int { return tileHeight }

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func tileKey(level int, n int64) storage.Key {
	return storage.Key{Tenant: storage.Deployment, Kind: tileKind, ID: fmt.Sprintf("%02d/%016x", level, n)}
}

func leavesKey(n int64) storage.Key {
	return storage.Key{Tenant: storage.Deployment, Kind: leavesKind, ID: fmt.Sprintf("%016x", n)}
}

// errTileRead is a store that failed, and not a tile that is wrong.
var errTileRead = errors.New("evidence: read tiles")

func (t tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, 0, len(list))
	for len(list) > 0 {
		part := list[:min(len(list), storage.MaxKeys)]
		list = list[len(part):]
		keys := make([]storage.Key, len(part))
		for i, x := range part {
			keys[i] = tileKey(x.L, x.N)
		}
		recs, err := t.store.Get(t.ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errTileRead, err)
		}
		for i, r := range recs {
			n := part[i].W * tlog.HashSize
			if len(r.Data) < n {
				return nil, fmt.Errorf("evidence: tile too short: %w", storage.ErrCorrupt)
			}
			out = append(out, r.Data[:n])
		}
	}
	return out, nil
}

func (l *Log) hashes(ctx context.Context, size uint64, root []byte) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: int64(size), Hash: tlog.Hash(root)}, tiles{ctx, l.store})
}

// head reads the newest tree; Size is 0 before the first.
func (l *Log) head(ctx context.Context) (treeHead, error) {
	recs, err := l.store.Get(ctx, []storage.Key{trees.Key(storage.Deployment, treeID)})
	if err != nil {
		return treeHead{}, fmt.Errorf("evidence: read tree: %w", err)
	}
	if recs[0].Version == 0 {
		empty := sha256.Sum256(nil)
		return treeHead{Root: empty[:]}, nil
	}
	h, err := trees.Decode(recs[0])
	if err != nil {
		return treeHead{}, err
	}
	// The log never builds on a head that it did not sign: who edits the store
	// has no key.
	cp, n, err := parseCheckpoint([]byte(h.Note))
	if err == nil && cp.Origin == l.origin && cp.Size == h.Size && bytes.Equal(cp.Root, h.Root) {
		for _, v := range l.keys {
			if _, good := n.signedBy(v); good {
				return h, nil
			}
		}
	}
	return treeHead{}, fmt.Errorf("evidence: tree head is not what the log signed: %w", storage.ErrCorrupt)
}

// Checkpoint is the newest signed checkpoint; its Size is 0 before the first.
func (l *Log) Checkpoint(ctx context.Context) (Checkpoint, error) {
	h, err := l.head(ctx)
	if err != nil || h.Size == 0 {
		return Checkpoint{Origin: l.origin}, err
	}
	return Checkpoint{Origin: l.origin, Size: h.Size, Root: h.Root, Note: []byte(h.Note)}, nil
}

// pending is one chain's share of a step.
type pending struct {
	tenant, env string
	mark        watermark
	leaves      [][]byte
	seal        bool
}

// errLost says that another process extended the tree first.
var errLost = errors.New("evidence: another sequencer was first")

// Sequence brings events that are not in the tree yet into it, signs the new
// checkpoint and returns how many there were: one step, of at most 8192 events.
// [Log.Run] repeats it. Any number of processes may: for every size of the tree
// one wins, and the others try again. A chain that contradicts itself is left
// out and logged.
func (l *Log) Sequence(ctx context.Context) (int, error) {
	n, _, err := l.sequence(ctx)
	return n, err
}

func (l *Log) sequence(ctx context.Context) (n int, sealed bool, err error) {
	for range 16 {
		n, sealed, err = l.step(ctx)
		if !errors.Is(err, errLost) {
			return n, sealed, err
		}
	}
	return 0, false, err
}

func (l *Log) step(ctx context.Context) (int, bool, error) {
	keys, err := l.store.Due(ctx, chains.Name, l.now(), maxStepChains)
	if err != nil {
		return 0, false, fmt.Errorf("evidence: due chains: %w", err)
	}
	if len(keys) == 0 {
		return 0, false, nil
	}
	old, err := l.head(ctx)
	if err != nil {
		return 0, false, err
	}
	var work []pending
	var done []storage.Key // heads whose mark may be cleared
	total, sealed := 0, false
	for _, k := range keys {
		if total >= maxStepEvents {
			break
		}
		p, err := l.gather(ctx, k.Tenant, k.ID, maxStepEvents-total)
		if tampered := (*TamperError)(nil); errors.As(err, &tampered) {
			l.log.ErrorContext(ctx, "evidence: chain left out of the tree", "envelope", k.ID, "seq", tampered.Seq)
			if err := l.putOff(ctx, k); err != nil {
				return 0, false, err
			}
			continue
		}
		if err != nil {
			return 0, false, err
		}
		done = append(done, k)
		if len(p.leaves) > 0 {
			work = append(work, p)
			total += len(p.leaves)
			sealed = sealed || p.seal
		}
	}
	if total > 0 {
		if err := l.integrate(ctx, old, work); err != nil {
			return 0, false, err
		}
	}
	return total, sealed, l.clear(ctx, done)
}

// gather reads what a chain has beyond its watermark and checks its links.
func (l *Log) gather(ctx context.Context, tenant, env string, limit int) (pending, error) {
	p := pending{tenant: tenant, env: env}
	recs, err := l.store.Get(ctx, []storage.Key{chains.Key(tenant, env), marks.Key(tenant, env)})
	if err != nil {
		return p, fmt.Errorf("evidence: read chain: %w", err)
	}
	head, err := chains.Decode(recs[0])
	if err != nil {
		return p, err
	}
	if recs[1].Version > 0 {
		if p.mark, err = marks.Decode(recs[1]); err != nil {
			return p, err
		}
	}
	if p.mark.Seq >= head.Seq {
		return p, nil
	}
	if tenant != storage.Deployment {
		if err := l.vault.Unlock(ctx, tenant); err != nil {
			return p, err
		}
	}
	blind, err := l.blind(tenant, env)
	if err != nil {
		return p, err
	}
	making := newLeaves(blind, env)
	var prev []byte // hash of the last event, once known
	for seq := p.mark.Seq; seq < head.Seq && len(p.leaves) < limit; {
		page, err := l.store.Entries(ctx, chains.Key(tenant, env), seq, min(limit-len(p.leaves), 512, int(head.Seq-seq)))
		if err != nil {
			return p, fmt.Errorf("evidence: read chain: %w", err)
		}
		if len(page) == 0 {
			return p, &TamperError{Env: env, Seq: seq + 1, What: "missing"}
		}
		for _, x := range page {
			seq++
			var e Event
			switch err := e.scan(x.Data); {
			case err != nil || e.Seq != seq || e.Env != env:
				return p, &TamperError{Env: env, Seq: seq, What: "not the event that was recorded"}
			case prev != nil && !bytes.Equal(e.Prev, prev):
				return p, &TamperError{Env: env, Seq: seq, What: "does not point to its predecessor"}
			}
			prev = e.Hash()
			p.seal = p.seal || e.Type == TypeSealed
			p.leaves = append(p.leaves, making.of(seq, x.Data))
		}
		if seq == head.Seq && !bytes.Equal(prev, head.Hash) {
			return p, &TamperError{Env: env, Seq: seq, What: "not the head of the chain"}
		}
	}
	return p, nil
}

// integrate computes the new tree outside, then commits it whole: head, tiles,
// leaves and watermarks.
func (l *Log) integrate(ctx context.Context, old treeHead, work []pending) error {
	reader := l.hashes(ctx, old.Size, old.Root)
	fresh := map[int64]tlog.Hash{}
	both := tlog.HashReaderFunc(func(want []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(want))
		var ask []int64
		var where []int
		for i, x := range want {
			if h, ok := fresh[x]; ok {
				out[i] = h
			} else {
				ask, where = append(ask, x), append(where, i)
			}
		}
		if len(ask) == 0 {
			return out, nil
		}
		got, err := reader.ReadHashes(ask)
		for i, h := range got {
			out[where[i]] = h
		}
		return out, err
	})
	size := int64(old.Size)
	next := map[storage.Key]watermark{}
	var leaves [][]byte
	for _, p := range work {
		m := p.mark
		m.add(uint64(size), uint64(len(p.leaves)))
		next[marks.Key(p.tenant, p.env)] = m
		for _, leaf := range p.leaves {
			list, err := tlog.StoredHashesForRecordHash(size, tlog.RecordHash(leaf), both)
			if err != nil {
				return fmt.Errorf("evidence: extend tree: %w", err)
			}
			at := tlog.StoredHashIndex(0, size)
			for i, h := range list {
				fresh[at+int64(i)] = h
			}
			size++
		}
		leaves = append(leaves, p.leaves...)
	}
	root, err := tlog.TreeHash(size, both)
	if err != nil {
		return fmt.Errorf("evidence: extend tree: %w", err)
	}
	data := map[storage.Key][]byte{}
	for _, t := range tlog.NewTiles(tileHeight, int64(old.Size), size) {
		b, err := tlog.ReadTileData(t, both)
		if err != nil {
			return fmt.Errorf("evidence: extend tree: %w", err)
		}
		if k := tileKey(t.L, t.N); len(b) > len(data[k]) { // a full tile supersedes its own beginning
			data[k] = b
		}
	}
	signed, err := l.signNote(checkpointText(l.origin, uint64(size), root[:]))
	if err != nil {
		return err
	}
	first, err := l.leafBundles(ctx, int64(old.Size), leaves)
	if err != nil {
		return err
	}
	return storage.Update(ctx, l.store, func(tx *storage.Tx) error {
		now, _, err := trees.Get(tx, storage.Deployment, treeID)
		if err != nil {
			return err
		}
		if now.Size != old.Size {
			return errLost
		}
		// The partial records of the old tree were read before; they are as they
		// were because the head is.
		for k, b := range data {
			if err := tx.Put(k, b, time.Time{}); err != nil {
				return err
			}
		}
		for k, b := range first {
			if err := tx.Put(k, b, time.Time{}); err != nil {
				return err
			}
		}
		for k, m := range next {
			if err := marks.Put(tx, k.Tenant, k.ID, m); err != nil {
				return err
			}
		}
		return trees.Put(tx, storage.Deployment, treeID, treeHead{Size: uint64(size), Root: root[:], Note: string(signed), At: tx.Now(l.now)})
	})
}

// leafBundles makes the records of leaves, each behind its length in 16 bits
// (C2SP tlog-tiles).
func (l *Log) leafBundles(ctx context.Context, size int64, leaves [][]byte) (map[storage.Key][]byte, error) {
	out := map[storage.Key][]byte{}
	for _, leaf := range leaves {
		k := leavesKey(size / tileWidth)
		if out[k] == nil && size%tileWidth != 0 {
			recs, err := l.store.Get(ctx, []storage.Key{k})
			if err != nil {
				return nil, fmt.Errorf("evidence: read leaves: %w", err)
			}
			out[k] = recs[0].Data
		}
		out[k] = append(binary.BigEndian.AppendUint16(out[k], uint16(len(leaf))), leaf...)
		size++
	}
	return out, nil
}

// clear takes back the due marks of chains that are in the tree as a whole. It
// is a commit of its own: if an event comes between, the mark simply stays.
func (l *Log) clear(ctx context.Context, keys []storage.Key) error {
	for len(keys) > 0 {
		part := keys[:min(len(keys), 256)]
		keys = keys[len(part):]
		err := storage.Update(ctx, l.store, func(tx *storage.Tx) error {
			for _, k := range part {
				m, _, err := marks.Peek(tx, k.Tenant, k.ID)
				if err != nil {
					return err
				}
				h, ok, err := chains.Get(tx, k.Tenant, k.ID)
				if err != nil {
					return err
				}
				if !ok || h.Due.IsZero() || m.Seq < h.Seq {
					continue
				}
				h.Due = time.Time{}
				if err := chains.Put(tx, k.Tenant, k.ID, h); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, storage.ErrContended) {
			return fmt.Errorf("evidence: clear due marks: %w", err)
		}
	}
	return nil
}

// putOff looks at a broken chain again in an hour.
func (l *Log) putOff(ctx context.Context, k storage.Key) error {
	return storage.Update(ctx, l.store, func(tx *storage.Tx) error {
		h, ok, err := chains.Get(tx, k.Tenant, k.ID)
		if err != nil || !ok {
			return err
		}
		h.Due = tx.Now(l.now).Add(time.Hour)
		return chains.Put(tx, k.Tenant, k.ID, h)
	})
}
