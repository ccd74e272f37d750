package evidence

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
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
	Note string      `json:"note"`        // the signed checkpoint
	At   time.Time   `json:"at,omitzero"` // of old records
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

var marks = pack(storage.Kind[watermark]{Name: "evidence.mark", Schema: 1}, true, putMark, getMark)

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
	eb  []byte // in hexadecimal
	sm3 hash.Hash
}

func newLeaves(blind []byte, env string) *leaves {
	x := &leaves{sm3: cms.SM3()}
	x.begin(blind, env)
	return x
}

// begin turns to another envelope.
func (x *leaves) begin(blind []byte, env string) {
	m := hmac.New(sha256.New, blind)
	m.Write(lp([]byte("countersign/env/v1"), env))
	x.eb = hex.AppendEncode(nil, m.Sum(nil))
}

// of is the leaf of an event, in canonical form.
func (x *leaves) of(seq uint64, raw []byte) []byte {
	return x.leaf(make([]byte, 0, maxLeaf), seq, raw, sha256.Sum256(raw))
}

// leaf appends the leaf of an event whose hash is known.
func (x *leaves) leaf(b []byte, seq uint64, raw []byte, h [sha256.Size]byte) []byte {
	b = append(append(append(b, `{"eb":"`...), x.eb...), `","h":"`...)
	b = append(hex.AppendEncode(b, h[:]), `","n":`...)
	b = append(strconv.AppendUint(b, seq, 10), `,"s":"`...)
	x.sm3.Reset()
	x.sm3.Write(raw)
	var sum [sha256.Size]byte
	return append(hex.AppendEncode(b, x.sm3.Sum(sum[:0])), `","v":1}`...)
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
	if err == nil && cp.Origin == l.origin && cp.Size == h.Size && bytes.Equal(cp.Root, h.Root) && l.signed(n) && spelled(trees, recs[0], h) {
		return h, nil
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
