package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/storage"
)

// Events reads a chain in order, from the event after the given one. It checks
// while it reads: form, sequence, links and the head. Where stored bytes are
// not what was recorded it ends with a [*TamperError], so an event that it
// yields may still be contradicted by a later one; [Log.Audit] judges a chain
// as a whole. An envelope without events yields nothing.
func (l *Log) Events(ctx context.Context, tenant, env string, after uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		raws, head, err := l.read(ctx, tenant, env)
		if err != nil {
			yield(Event{}, err)
			return
		}
		events, bad := l.judge(tenant, env, raws, head)
		for i := range events {
			if bad != nil && uint64(i)+1 >= bad.Seq {
				break
			}
			if events[i].Seq > after && !yield(events[i], nil) {
				return
			}
		}
		if bad != nil {
			yield(Event{}, bad)
		}
	}
}

// read fetches a chain as stored, with its head.
func (l *Log) read(ctx context.Context, tenant, env string) ([][]byte, chainHead, error) {
	if err := checkChain(tenant, env); err != nil {
		return nil, chainHead{}, err
	}
	key := chains.Key(tenant, env)
	recs, err := l.store.Get(ctx, []storage.Key{key})
	if err != nil {
		return nil, chainHead{}, fmt.Errorf("evidence: read chain: %w", err)
	}
	if recs[0].Version == 0 {
		return nil, chainHead{}, nil
	}
	head, err := chains.Decode(recs[0])
	if err != nil {
		return nil, chainHead{}, err
	}
	var raws [][]byte
	for uint64(len(raws)) < head.Seq {
		// Entries after the head read above belong to later commits.
		page, err := l.store.Entries(ctx, key, uint64(len(raws)), int(min(head.Seq-uint64(len(raws)), 512)))
		if err != nil {
			return nil, chainHead{}, fmt.Errorf("evidence: read chain: %w", err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			raws = append(raws, e.Data)
		}
	}
	return raws, head, nil
}

// judge parses a chain and finds the first event that cannot be right.
func (l *Log) judge(tenant, env string, raws [][]byte, head chainHead) ([]Event, *TamperError) {
	events, faults := parseChain(raws, chainFacts{origin: l.origin, tenant: tenant, env: env, count: head.Seq, head: head.Hash})
	if len(faults) == 0 {
		return events, nil
	}
	first := faults[0]
	for _, f := range faults[1:] {
		if f.seq < first.seq {
			first = f
		}
	}
	return events, &TamperError{Env: env, Seq: first.seq, What: first.what}
}

// chainFacts are what is known of a chain from elsewhere.
type chainFacts struct {
	origin, tenant, env string   // empty: unknown
	count               uint64   // number of events; 0: unknown
	head                []byte   // hash of the last event; nil: unknown
	hashes              [][]byte // hash of every event; nil: unknown
}

type fault struct {
	code    string
	seq     uint64
	what    string
	verdict Verdict
}

// parseChain reads events one after another and returns what is wrong with
// them. Each fault names the smallest seq that cannot be right by what the
// check looks at:
//
//   - an event whose hash is known and differs is wrong itself;
//   - of a broken link the later event is wrong if its own hash does not
//     answer its successor either, else the earlier one, whose successor
//     stands firm.
func parseChain(raws [][]byte, k chainFacts) ([]Event, []fault) {
	var faults []fault
	add := func(code string, seq uint64, what string) { faults = append(faults, fault{code, seq, what, Failed}) }
	events := make([]Event, len(raws))
	formed := make([]bool, len(raws))
	sealed := uint64(0)
	for i, raw := range raws {
		seq := uint64(i) + 1
		e := &events[i]
		err := e.scan(raw) // raws are the caller's to give
		switch {
		case err != nil:
			*e = Event{}
			add(CodeEvent, seq, "not an event in canonical form")
			continue
		case e.Seq != seq:
			*e = Event{}
			add(CodeChain, seq, "sequence breaks")
			continue
		case k.env != "" && e.Env != k.env:
			*e = Event{}
			add(CodeChain, seq, "event of another envelope")
			continue
		}
		k.env = e.Env
		formed[i] = true
		switch err := e.checkType(false); {
		case !Known(e.Type):
			faults = append(faults, fault{CodeEventType, seq, "unknown event type", Indeterminate})
		case err != nil:
			add(CodeEvent, seq, "lacks what its type requires")
		}
		if sealed > 0 && Known(e.Type) && !registry[e.Type].After {
			add(CodeSeal, seq, "may not follow the chain seal")
		}
		if e.Type == TypeSealed {
			sealed = seq
			if n, ok := e.X["count"].(int64); !ok || uint64(n) != seq-1 {
				add(CodeSeal, seq, "seal counts other events")
			}
			if h, ok := e.X["head"].(string); !ok || h != storage.Hex(e.Prev).String() {
				add(CodeSeal, seq, "seal names another head")
			}
		}
	}
	sums := make([][sha256.Size]byte, len(raws))
	for i := range raws {
		sums[i] = sha256.Sum256(raws[i])
	}
	hash := func(i int) []byte { return sums[i][:] }
	for i := range raws {
		seq := uint64(i) + 1
		if k.hashes != nil && i < len(k.hashes) && !bytes.Equal(hash(i), k.hashes[i]) {
			add(CodeChain, seq, "not the event that was recorded")
		}
		if !formed[i] {
			continue
		}
		switch {
		case i == 0 && k.origin != "" && !bytes.Equal(events[0].Prev, Genesis(k.origin, k.tenant, k.env)):
			add(CodeChain, 1, "does not start at the genesis")
		case i > 0 && !bytes.Equal(events[i].Prev, hash(i-1)):
			// Does what follows vouch for this event?
			firm := false
			switch {
			case k.hashes != nil:
				firm = i < len(k.hashes) && bytes.Equal(hash(i), k.hashes[i])
			case i+1 < len(raws):
				firm = formed[i+1] && bytes.Equal(events[i+1].Prev, hash(i))
			case k.head != nil:
				firm = bytes.Equal(hash(i), k.head)
			}
			if firm {
				add(CodeChain, seq-1, "not the event its successor points to")
			} else {
				add(CodeChain, seq, "does not point to its predecessor")
			}
		}
		if i > 0 && formed[i-1] {
			if events[i].At.Before(events[i-1].At) || events[i].Back && !events[i].At.Equal(events[i-1].At) {
				add(CodeChain, seq, "time goes back")
			}
		}
	}
	n := uint64(len(raws))
	switch {
	case k.count > n:
		add(CodeChain, n+1, "missing")
	case k.count > 0 && k.count < n:
		add(CodeChain, k.count+1, "beyond the end")
	case k.head != nil && n > 0 && !bytes.Equal(hash(int(n)-1), k.head):
		// With the events in one line, only the last can differ from the head.
		add(CodeChain, n, "not the head of the chain")
	}
	return events, faults
}

// AuditOptions say which chain to audit.
type AuditOptions struct {
	Tenant, Env string // both required
}

// Audit re-reads a chain from the store and judges it as [Verify] judges a
// bundle: what was changed, removed, added or moved behind the Log's back is
// named by Report.FirstBad. Beyond a bundle it holds events against their leaves
// in the newest tree, and commitments against the vault: a value lost without
// an erasure on record is UNEXPLAINED_LOSS. It needs no trust, as it speaks to
// the operator about the operator's own store. An envelope without events is
// [ErrNotFound].
func (l *Log) Audit(ctx context.Context, o *AuditOptions) (*Report, error) {
	if o == nil {
		return nil, fmt.Errorf("%w: nothing to audit", ErrDraft)
	}
	tenant, env := o.Tenant, o.Env
	raws, head, err := l.read(ctx, tenant, env)
	if err != nil {
		return nil, err
	}
	if head.Seq == 0 {
		return nil, ErrNotFound
	}
	r := &Report{Verdict: Passed, Tenant: tenant, Env: env, Origin: l.origin,
		Claim: Claim{Kind: ClaimOpen, Last: head.Seq, Head: head.Hash, Seal: head.Sealed, Docs: DocsDigests, Known: true}}
	if head.Sealed > 0 {
		r.Claim.Kind = ClaimSealed
	}
	events, faults := parseChain(raws, chainFacts{origin: l.origin, tenant: tenant, env: env, count: head.Seq, head: head.Hash})
	if head.Sealed > 0 && (head.Sealed > uint64(len(events)) || events[head.Sealed-1].Type != TypeSealed) {
		faults = append(faults, fault{CodeSeal, min(head.Sealed, uint64(len(events))+1), "the seal is gone", Failed})
	}
	r.faults(faults)
	for _, e := range events {
		if e.Seq > 0 {
			r.Windows = append(r.Windows, Window{Seq: e.Seq, At: e.At})
		}
	}
	if r.FirstBad == 0 && tenant != storage.Deployment {
		if err := l.vault.Unlock(ctx, tenant); err != nil {
			return nil, err
		}
		lost, err := l.losses(ctx, tenant, env, events)
		if err != nil {
			return nil, err
		}
		for _, f := range lost {
			r.add(Check{Code: f.code, Verdict: f.verdict, Seq: f.seq, Detail: f.what})
		}
		if len(lost) == 0 {
			r.add(Check{Code: CodeLoss, Verdict: Passed})
		}
	}
	if r.FirstBad == 0 {
		if err := l.auditTree(ctx, r, tenant, env, raws); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// auditTree holds the events of a chain against their leaves in the tree.
func (l *Log) auditTree(ctx context.Context, r *Report, tenant, env string, raws [][]byte) error {
	recs, err := l.store.Get(ctx, []storage.Key{marks.Key(tenant, env)})
	if err != nil {
		return fmt.Errorf("evidence: read watermark: %w", err)
	}
	if recs[0].Version == 0 {
		return nil
	}
	mark, err := marks.Decode(recs[0])
	if err != nil {
		return err
	}
	tree, err := l.head(ctx)
	if err != nil {
		return err
	}
	blind, err := l.blind(tenant, env)
	if err != nil {
		return err
	}
	hashes := l.hashes(ctx, tree.Size, tree.Root)
	making := newLeaves(blind, env)
	for i, raw := range raws {
		seq := uint64(i) + 1
		leaf, ok := mark.leaf(seq)
		if !ok {
			break
		}
		p, err := tlog.ProveRecord(int64(tree.Size), int64(leaf), hashes)
		if err == nil {
			err = tlog.CheckRecord(p, int64(tree.Size), tlog.Hash(tree.Root), int64(leaf), tlog.RecordHash(making.of(seq, raw)))
		}
		if err != nil {
			r.add(Check{Code: CodeLeaf, Verdict: Failed, Seq: seq, Detail: "the event is not the leaf in the log"})
			r.bad(seq)
		}
	}
	if r.FirstBad == 0 {
		r.add(Check{Code: CodeLeaf, Verdict: Passed})
	}
	return nil
}

// faults adds faults under their codes, and a passed check for each code of the
// chain that has none.
func (r *Report) faults(list []fault) {
	for _, code := range []string{CodeEvent, CodeEventType, CodeChain, CodeSeal} {
		clean := true
		for _, f := range list {
			if f.code != code {
				continue
			}
			clean = false
			r.add(Check{Code: code, Verdict: f.verdict, Seq: f.seq, Detail: f.what})
			if f.verdict == Failed {
				r.bad(f.seq)
			}
		}
		if clean && code != CodeEventType {
			r.add(Check{Code: code, Verdict: Passed})
		}
	}
}
