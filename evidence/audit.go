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

// AuditOptions say what to audit.
type AuditOptions struct {
	Tenant string // Required
	// Env is one envelope; empty audits every chain of the tenant.
	Env string
	// WithoutVault leaves out the question whether the vault can still open what
	// events committed to: the dear part of an audit, by far.
	WithoutVault bool
	// WithoutSM3 holds events against their leaves by SHA-256 alone.
	WithoutSM3 bool
}

// Audit re-reads chains from the store and judges them as [Verify] judges a
// bundle: what was changed, removed, added or moved behind the Log's back is
// named by Report.FirstBad, or, where it is no event, by the Path of a check:
// "head" and "mark" for the records of a chain's end and of its leaves, "leaves"
// and "tiles" for the records of the tree, "anchors" for what binds it outside. Beyond a bundle it holds commitments against the vault: a value
// lost without an erasure on record is UNEXPLAINED_LOSS. It needs no trust, as
// it speaks to the operator about the operator's own store.
//
// Of several chains the report counts Chains and Events and lists what did not
// pass, by Path "chains/<envelope>"; Env and FirstBad are those of the first
// chain that failed. An envelope without events, or a tenant without chains, is
// [ErrNotFound].
func (l *Log) Audit(ctx context.Context, o *AuditOptions) (*Report, error) {
	if o == nil || o.Tenant == "" {
		return nil, fmt.Errorf("%w: nothing to audit", ErrDraft)
	}
	a := &auditor{l: l, o: *o, r: &Report{Verdict: Passed, Tenant: o.Tenant, Env: o.Env, Origin: l.origin}}
	var err error
	if a.tree, err = l.head(ctx); err != nil {
		return nil, err
	}
	if o.Tenant != storage.Deployment {
		if err := l.vault.Unlock(ctx, o.Tenant); err != nil {
			return nil, err
		}
	}
	if o.Env != "" {
		err = a.one(ctx)
	} else {
		err = a.all(ctx)
	}
	if err != nil {
		return nil, err
	}
	return a.r, nil
}

type auditor struct {
	l    *Log
	o    AuditOptions
	r    *Report
	tree treeHead

	events []Event // room that every chain uses again
	due    []placed
	sm3    []byte
}

// A placed event is one whose leaf is still to be looked at.
type placed struct {
	leaf uint64
	seq  uint64
	env  string
	eb   []byte // in hexadecimal, as are the others
	h, s [64]byte
}

// auditBatch is how many leaves are held against the tree in one go.
const auditBatch = 8192

func (a *auditor) one(ctx context.Context) error {
	tenant, env := a.o.Tenant, a.o.Env
	raws, head, err := a.l.read(ctx, tenant, env)
	if err != nil {
		return err
	}
	if head.Seq == 0 {
		return ErrNotFound
	}
	r := a.r
	r.Claim = Claim{Kind: ClaimOpen, Last: head.Seq, Head: head.Hash, Seal: head.Sealed, Docs: DocsDigests, Known: true}
	if head.Sealed > 0 {
		r.Claim.Kind = ClaimSealed
	}
	events, sums, faults := a.chain(raws, env, head)
	r.faults(faults)
	for _, e := range events {
		if e.Seq > 0 {
			r.Windows = append(r.Windows, Window{Seq: e.Seq, At: e.At})
		}
	}
	r.Chains, r.Events = 1, uint64(len(raws))
	if r.FirstBad == 0 {
		lost, err := a.vault(ctx, env, events)
		if err != nil {
			return err
		}
		for _, f := range lost {
			r.add(Check{Code: f.code, Verdict: f.verdict, Seq: f.seq, Detail: f.what})
		}
		if len(lost) == 0 && !a.o.WithoutVault {
			r.add(Check{Code: CodeLoss, Verdict: Passed})
		}
	}
	if r.FirstBad > 0 {
		return nil
	}
	sound, err := a.place(ctx, env, raws, sums)
	if err != nil || !sound {
		return err
	}
	n := len(a.due)
	if err := a.anchorsOf(ctx, a.due); err != nil {
		return err
	}
	if err := a.leaves(ctx); err != nil {
		return err
	}
	if n > 0 && r.Verdict != Failed {
		r.add(Check{Code: CodeLeaf, Verdict: Passed})
	}
	return nil
}

// all audits chain after chain, and their leaves in batches.
func (a *auditor) all(ctx context.Context) error {
	for item, err := range chains.Scan(ctx, a.l.store, a.o.Tenant, "") {
		if err != nil {
			return fmt.Errorf("evidence: read chains: %w", err)
		}
		env := item.ID
		raws, err := a.l.entries(ctx, chains.Key(a.o.Tenant, env), item.Value)
		if err != nil {
			return err
		}
		a.r.Chains++
		a.r.Events += uint64(len(raws))
		events, sums, faults := a.chain(raws, env, item.Value)
		if len(faults) == 0 {
			if faults, err = a.vault(ctx, env, events); err != nil {
				return err
			}
		}
		for _, f := range faults {
			a.fault(env, Check{Code: f.code, Verdict: f.verdict, Seq: f.seq, Detail: f.what})
		}
		if len(faults) > 0 {
			continue
		}
		if _, err := a.place(ctx, env, raws, sums); err != nil {
			return err
		}
		if len(a.due) >= auditBatch {
			if err := a.leaves(ctx); err != nil {
				return err
			}
		}
	}
	if a.r.Chains == 0 {
		return ErrNotFound
	}
	if err := a.leaves(ctx); err != nil {
		return err
	}
	if err := a.allAnchors(ctx); err != nil {
		return err
	}
	for _, code := range []string{CodeEvent, CodeChain, CodeSeal, CodeLeaf} {
		if !a.r.Has(code, Failed) {
			a.r.add(Check{Code: code, Verdict: Passed})
		}
	}
	return nil
}

// fault adds what is wrong with a chain, of which the first that fails gives the
// report its Env.
func (a *auditor) fault(env string, c Check) {
	if a.o.Env == "" {
		c.Path = "chains/" + env + map[bool]string{true: "/" + c.Path}[c.Path != ""]
	}
	a.r.add(c)
	if c.Verdict != Failed || a.r.Env != "" && a.r.Env != env {
		return
	}
	a.r.Env = env
	if c.Code != CodeLoss { // the event is right, the value it stands for is gone
		a.r.bad(c.Seq)
	}
}

func (a *auditor) chain(raws [][]byte, env string, head chainHead) ([]Event, [][sha256.Size]byte, []fault) {
	if a.o.Env == "" {
		if cap(a.events) < len(raws) {
			a.events = slices.Grow(a.events[:0], len(raws))
		}
		a.events = a.events[:len(raws)]
	} else {
		a.events = make([]Event, len(raws))
	}
	sums, faults := judgeChain(a.events, raws, chainFacts{origin: a.l.origin, tenant: a.o.Tenant, env: env, count: head.Seq, head: head.Hash})
	faults = head.agrees(a.events, faults)
	return a.events, sums, faults
}

func (a *auditor) vault(ctx context.Context, env string, events []Event) ([]fault, error) {
	if a.o.WithoutVault || a.o.Tenant == storage.Deployment {
		return nil, nil
	}
	return a.l.losses(ctx, a.o.Tenant, env, events)
}

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
	h := cms.SM3()
	for i := range raws {
		seq := uint64(i) + 1
		leaf, ok := mark.leaf(seq)
		if !ok {
			break
		}
		p := placed{leaf: leaf, seq: seq, env: env, eb: making.eb}
		hex.Encode(p.h[:], sums[i][:])
		if !a.o.WithoutSM3 {
			h.Reset()
			h.Write(raws[i])
			a.sm3 = h.Sum(a.sm3[:0])
			hex.Encode(p.s[:], a.sm3)
		}
		a.due = append(a.due, p)
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
	a.due = a.due[:0]
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(x, y placed) int { return cmp.Compare(x.leaf, y.leaf) })
	index := make([]int64, len(list))
	for i := range list {
		index[i] = tlog.StoredHashIndex(0, int64(list[i].leaf))
	}
	hashes, err := a.l.hashes(ctx, a.tree.Size, a.tree.Root).ReadHashes(index)
	if errors.Is(err, errTileRead) {
		return err
	}
	if err != nil {
		a.fault(list[0].env, Check{Code: CodeInclusion, Verdict: Failed, Path: "tiles", Detail: "the tiles of the tree do not lead to its root"})
		return nil
	}
	var page [][]byte
	at := int64(-1)
	for i := range list {
		p := &list[i]
		if n := int64(p.leaf / tileWidth); n != at {
			if page, err = a.l.leavesOf(ctx, n); err != nil {
				return err
			}
			at = n
		}
		k := int(p.leaf % tileWidth)
		if k >= len(page) || tlog.RecordHash(page[k]) != hashes[i] {
			a.fault(p.env, Check{Code: CodeInclusion, Verdict: Failed, Path: "leaves", Detail: "a leaf is not the one in the tree"})
			continue
		}
		eb, h, s, n, ok := splitLeaf(page[k])
		switch {
		case !ok || !bytes.Equal(eb, p.eb) || n != p.seq:
			a.fault(p.env, Check{Code: CodeLeaf, Verdict: Failed, Path: "mark", Detail: "the index of leaves leads to another event"})
		case !bytes.Equal(h, p.h[:]) || !a.o.WithoutSM3 && !bytes.Equal(s, p.s[:]):
			a.fault(p.env, Check{Code: CodeLeaf, Verdict: Failed, Seq: p.seq, Detail: "the event is not the leaf in the log"})
			a.r.bad(p.seq)
		}
	}
	return nil
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
	for len(b) >= 2 {
		size := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+size {
			break
		}
		out = append(out, b[2:2+size])
		b = b[2+size:]
	}
	return out
}
