package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/storage"
)

// A Receipt is what a party keeps so that the operator can never again tell
// another story: the newest chain seal of an envelope (its last event while it
// is open), proven in a checkpoint that the log signed, with the anchors of
// that checkpoint. It is small, says nothing personal, and travels as JSON.
type Receipt struct {
	Version int             `json:"v"`
	Origin  string          `json:"origin"`
	Tenant  string          `json:"tenant"`
	Env     string          `json:"env"`
	Blind   storage.Hex     `json:"blind"`
	Event   string          `json:"event"` // canonical bytes
	Proof   string          `json:"proof"` // C2SP tlog-proof with its checkpoint
	Anchors []AnchorReceipt `json:"anchors,omitempty"`
}

const receiptVersion = 1

// ErrReceipt is a receipt that proves nothing: malformed, or not signed by a
// trusted key of its log.
var ErrReceipt = coded.New("receipt_proves_nothing", "evidence: receipt proves nothing")

// Receipt makes the receipt of an envelope. It fails with [ErrNotFound] before
// the event is in the tree; call [Log.Sequence] or let [Log.Run] work. Without
// an anchored checkpoint the newest one serves, and Anchors is empty.
func (l *Log) Receipt(ctx context.Context, tenant, env string) (Receipt, error) {
	raws, head, err := l.read(ctx, tenant, env)
	if err != nil {
		return Receipt{}, err
	}
	if head.Seq == 0 {
		return Receipt{}, ErrNotFound
	}
	if _, bad := l.judge(tenant, env, raws, head); bad != nil {
		return Receipt{}, bad
	}
	seq := head.Sealed
	if seq == 0 {
		seq = head.Seq
	}
	recs, err := l.store.Get(ctx, []storage.Key{marks.Key(tenant, env)})
	if err != nil {
		return Receipt{}, fmt.Errorf("evidence: read watermark: %w", err)
	}
	if recs[0].Version == 0 {
		return Receipt{}, ErrNotFound
	}
	mark, err := marks.Decode(recs[0])
	if err != nil {
		return Receipt{}, err
	}
	leaf, ok := mark.leaf(seq)
	if !ok {
		return Receipt{}, ErrNotFound
	}
	if tenant != storage.Deployment {
		if err := l.vault.Unlock(ctx, tenant); err != nil {
			return Receipt{}, err
		}
	}
	blind, err := l.blind(tenant, env)
	if err != nil {
		return Receipt{}, err
	}
	out := Receipt{Version: receiptVersion, Origin: l.origin, Tenant: tenant, Env: env, Blind: blind, Event: string(raws[seq-1])}
	cp, anchoredAt, err := l.anchorAfter(ctx, leaf)
	if err != nil {
		return Receipt{}, err
	}
	if !anchoredAt {
		h, err := l.head(ctx)
		if err != nil {
			return Receipt{}, err
		}
		cp = anchorRecord{Size: h.Size, Root: h.Root, Note: h.Note}
	}
	p, err := tlog.ProveRecord(int64(cp.Size), int64(leaf), l.hashes(ctx, cp.Size, cp.Root))
	if err != nil {
		return Receipt{}, fmt.Errorf("evidence: prove event %d: %w", seq, err)
	}
	out.Proof = string(formatProof(leaf, p, []byte(cp.Note)))
	if anchoredAt {
		for item, err := range anchored.Scan(ctx, l.store, storage.Deployment, anchorID(cp.Size, "")) {
			if err != nil {
				return Receipt{}, fmt.Errorf("evidence: read anchors: %w", err)
			}
			if !item.Value.whole(item.ID) {
				return Receipt{}, fmt.Errorf("evidence: stored anchor: %w", storage.ErrCorrupt)
			}
			out.Anchors = append(out.Anchors, item.Value.Receipt)
		}
	}
	return out, nil
}

// Fingerprint is a short tripwire for notices: 16 characters of a checkpoint's
// digest. It detects a rewrite by who compares it, and proves nothing.
func (cp Checkpoint) Fingerprint() string {
	h := sha256.Sum256(cp.body())
	return base32.StdEncoding.EncodeToString(h[:10])
}

// Fingerprint is the short tripwire of the receipt's checkpoint, or "" where there
// is none to read. It is no check of the receipt: [Compare] is.
func (r Receipt) Fingerprint() string {
	_, _, note, err := parseProof([]byte(r.Proof))
	if err != nil {
		return ""
	}
	cp, _, err := parseCheckpoint(note)
	if err != nil {
		return ""
	}
	return cp.Fingerprint()
}

// proven is a receipt that was verified.
type proven struct {
	cp    Checkpoint
	event Event
	leaf  uint64
}

// verify checks a receipt under trust: event, leaf, inclusion, and above all
// the log's signature on the checkpoint.
func (r Receipt) verify(o *VerifyOptions) (proven, error) {
	bad := func(what string) (proven, error) { return proven{}, fmt.Errorf("%w: %s", ErrReceipt, what) }
	if o == nil || r.Version != receiptVersion || len(r.Blind) != 32 || checkChain(r.Tenant, r.Env) != nil {
		return bad("form or no trust")
	}
	e, err := ParseEvent([]byte(r.Event))
	if err != nil || e.Env != r.Env {
		return bad("event")
	}
	leaf, p, note, err := parseProof([]byte(r.Proof))
	if err != nil {
		return bad("proof")
	}
	cp, n, err := parseCheckpoint(note)
	if err != nil || cp.Origin != r.Origin || leaf >= cp.Size {
		return bad("checkpoint")
	}
	if _, good := n.byLog(o.Keys.log(cp.Origin), cp.Size); !good {
		return bad("no signature by a trusted key")
	}
	hash := tlog.RecordHash(leafBytes(r.Blind, r.Env, e.Seq, e.raw))
	if tlog.CheckRecord(p, int64(cp.Size), tlog.Hash(cp.Root), int64(leaf), hash) != nil {
		return bad("the event is not the leaf in the log")
	}
	return proven{cp, e, leaf}, nil
}

// A Comparison is the answer of [Compare].
type Comparison string

const (
	Consistent Comparison = "consistent" // both can be true
	Conflict   Comparison = "conflict"   // both cannot: the log was rewritten
	NeedProof  Comparison = "need_proof" // different sizes: give VerifyOptions.Consistency
)

// Compare holds two receipts of one log against each other, each of which must
// prove itself under o. A conflict, two signed statements that cannot both be
// true, is proof that the log was rewritten, whoever shows it. Fails with
// [ErrReceipt], also for receipts of different logs.
func Compare(a, b Receipt, o *VerifyOptions) (Comparison, error) {
	x, err := a.verify(o)
	if err != nil {
		return "", err
	}
	y, err := b.verify(o)
	if err != nil {
		return "", err
	}
	if x.cp.Origin != y.cp.Origin {
		return "", fmt.Errorf("%w: receipts of different logs", ErrReceipt)
	}
	if x.cp.Size > y.cp.Size {
		x, y = y, x
	}
	switch {
	case a.Tenant == b.Tenant && a.Env == b.Env && x.event.Seq == y.event.Seq && !bytes.Equal(x.event.raw, y.event.raw):
		return Conflict, nil // two events in one place
	case x.cp.Size == y.cp.Size && bytes.Equal(x.cp.Root, y.cp.Root):
		return Consistent, nil
	case x.cp.Size == y.cp.Size:
		return Conflict, nil // two trees of one size
	case o.Consistency == nil:
		return NeedProof, nil
	}
	p, err := parseConsistency(o.Consistency)
	if err != nil {
		return "", err
	}
	if tlog.CheckTree(p, int64(y.cp.Size), tlog.Hash(y.cp.Root), int64(x.cp.Size), tlog.Hash(x.cp.Root)) != nil {
		return NeedProof, nil // a wrong proof proves nothing, not even a conflict
	}
	return Consistent, nil
}

// Consistency proves that the tree of size b extends the tree of size a, in the
// form of VerifyOptions.Consistency. Only the log can make it, and none exists
// for trees that conflict.
func (l *Log) Consistency(ctx context.Context, a, b uint64) ([]byte, error) {
	h, err := l.head(ctx)
	if err != nil {
		return nil, err
	}
	if a == 0 || a > b || b > h.Size {
		return nil, fmt.Errorf("%w: no trees of these sizes", ErrNotFound)
	}
	p, err := tlog.ProveTree(int64(b), int64(a), l.hashes(ctx, h.Size, h.Root))
	if err != nil {
		return nil, fmt.Errorf("evidence: prove tree: %w", err)
	}
	return formatConsistency(p), nil
}

// held judges a bundle against the receipts that the verifier holds: what a log
// has once signed must be in what it shows now.
func (v *verifier) held() {
	if v.m == nil {
		return
	}
	for _, r := range v.o.Held {
		p, err := r.verify(v.o)
		if err != nil {
			v.r.add(Check{Code: CodeReceipt, Verdict: Indeterminate, Detail: err.Error()})
			continue
		}
		if p.cp.Origin != v.m.origin || r.Tenant != v.m.tenant || r.Env != v.m.env {
			continue
		}
		seq := p.event.Seq
		switch {
		case seq > uint64(len(v.raws)):
			v.fail(CodeReceipt, uint64(len(v.raws))+1, "", "the log once signed more events than are here")
			v.r.bad(uint64(len(v.raws)) + 1)
		case !bytes.Equal(v.raws[seq-1], p.event.raw):
			v.fail(CodeReceipt, seq, "", "the log once signed another event in this place")
			v.r.bad(seq)
		}
	}
	if len(v.o.Held) > 0 {
		v.pass(CodeReceipt)
	}
}
