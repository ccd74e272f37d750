package evidence

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/canon"
)

// TypeEquivocation on the chain "log" of the deployment tells of two leaves that
// cannot both be true.
const TypeEquivocation = "log.equivocation"

// An Equivocation is two leaves of the log for one event of one envelope with
// different hashes: somebody told the log two stories. A leaf does not say whose
// envelope it is, only that it is the same.
type Equivocation struct {
	Blinded string `json:"blinded"` // the envelope, as leaves have it
	Seq     uint64 `json:"seq"`     // of the event
	First   uint64 `json:"first"`   // the two leaves
	Second  uint64 `json:"second"`
}

// A Monitor reads leaves one after another, in the order of the log, and finds
// equivocations. The zero Monitor is ready; it keeps 80 bytes a leaf in memory. It
// is not safe for concurrent use.
type Monitor struct {
	seen map[monitored]sighting
}

type monitored struct {
	eb [32]byte
	n  uint64
}

type sighting struct {
	h    [32]byte
	leaf uint64
}

// Leaf looks at a leaf of the log. It fails with [ErrForm] for bytes that are no
// leaf.
func (m *Monitor) Leaf(index uint64, leaf []byte) (*Equivocation, error) {
	eb, h, _, n, ok := splitLeaf(leaf)
	var k monitored
	var s sighting
	if ok {
		_, err := hex.Decode(k.eb[:], eb)
		_, herr := hex.Decode(s.h[:], h)
		ok = err == nil && herr == nil
	}
	if !ok {
		return nil, fmt.Errorf("%w: leaf %d", ErrForm, index)
	}
	k.n, s.leaf = n, index
	if m.seen == nil {
		m.seen = map[monitored]sighting{}
	}
	old, had := m.seen[k]
	switch {
	case !had:
		m.seen[k] = s
	case old.h != s.h:
		return &Equivocation{Blinded: string(eb), Seq: n, First: old.leaf, Second: index}, nil
	}
	return nil, nil
}

// Equivocations reads all leaves of the log with a [Monitor], and puts what it
// finds on the deployment's chain, as [TypeEquivocation]. Others do the same with
// what [Log.Published] serves.
func (l *Log) Equivocations(ctx context.Context) ([]Equivocation, error) {
	h, err := l.head(ctx)
	if err != nil {
		return nil, err
	}
	var m Monitor
	var out []Equivocation
	for n := int64(0); uint64(n)*tileWidth < h.Size; n++ {
		list, err := l.leavesOf(ctx, n)
		if err != nil {
			return nil, err
		}
		for i, leaf := range list {
			index := uint64(n)*tileWidth + uint64(i)
			if index >= h.Size {
				break
			}
			e, err := m.Leaf(index, leaf)
			if err != nil {
				return nil, err
			}
			if e != nil {
				out = append(out, *e)
			}
		}
	}
	for _, e := range out {
		if err := l.say(ctx, TypeEquivocation, map[string]any{"blinded": e.Blinded, "event": e.Seq, "first": e.First, "second": e.Second}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// InsecureMemoryAnchor is an anchor in memory, for tests and demonstrations: it
// signs the time it sees a checkpoint with a key of its own, which nobody else
// has a reason to believe. Hand it to VerifyOptions.Anchors to trust it. The zero
// value is ready and safe for concurrent use.
type InsecureMemoryAnchor struct {
	// Label is the name of the anchor; empty is "memory".
	Label string
	// Now is its clock; nil is time.Now.
	Now func() time.Time
	// Pending makes receipts wait for Upgrade.
	Pending bool

	once sync.Once
	key  ed25519.PrivateKey
}

var _ Anchor = (*InsecureMemoryAnchor)(nil)

// Name implements [Anchor].
func (a *InsecureMemoryAnchor) Name() string {
	if a.Label == "" {
		return "memory"
	}
	return a.Label
}

func (a *InsecureMemoryAnchor) init() {
	a.once.Do(func() {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic("evidence: " + err.Error()) // crypto/rand never fails
		}
		a.key = key
	})
}

func memoryText(sum, at string) []byte {
	return []byte("countersign/memory-anchor/v1\n" + sum + "\n" + at + "\n")
}

// Submit implements [Anchor].
func (a *InsecureMemoryAnchor) Submit(_ context.Context, cp Checkpoint) (AnchorReceipt, error) {
	a.init()
	now := time.Now
	if a.Now != nil {
		now = a.Now
	}
	h := sha256.Sum256(cp.body())
	sum, at := hex.EncodeToString(h[:]), now().UTC().Format(timeForm)
	data, err := canon.Append(nil, map[string]any{"v": 1, "digest": sum, "at": at, "sig": hex.EncodeToString(ed25519.Sign(a.key, memoryText(sum, at)))})
	return AnchorReceipt{Anchor: a.Name(), Kind: kindJSON, Final: !a.Pending, Data: data}, err
}

// Upgrade implements [Anchor].
func (a *InsecureMemoryAnchor) Upgrade(_ context.Context, r AnchorReceipt) (AnchorReceipt, error) {
	r.Final = true
	return r, nil
}

// Verify implements [Anchor].
func (a *InsecureMemoryAnchor) Verify(cp Checkpoint, r AnchorReceipt, _ *VerifyOptions) (Attestation, error) {
	a.init()
	o, err := canon.ParseObject(r.Data, 1024)
	if err != nil {
		return Attestation{}, fmt.Errorf("evidence: memory anchor: %w", err)
	}
	x := reader{o: o}
	h := sha256.Sum256(cp.body())
	at := x.time("at")
	switch {
	case x.int("v") != 1 || x.text("digest") != hex.EncodeToString(h[:]) || len(o) != 4:
		return Attestation{}, errors.New("evidence: memory anchor: of another checkpoint")
	case !ed25519.Verify(a.key.Public().(ed25519.PublicKey), memoryText(x.text("digest"), x.text("at")), x.hex("sig")) || x.bad:
		return Attestation{}, errors.New("evidence: memory anchor: signature")
	}
	return Attestation{Anchor: r.Anchor, Time: at, Accuracy: time.Second}, nil
}
