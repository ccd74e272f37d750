package evidence

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

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
	leafAudit
}

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
		lost, err := a.beyond(ctx, env, events)
		if err != nil {
			return err
		}
		for _, f := range lost {
			r.add(Check{Code: f.code, Verdict: f.verdict, Seq: f.seq, Detail: f.what})
			if f.code == CodeDocument {
				r.bad(f.seq)
			}
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
			if faults, err = a.beyond(ctx, env, events); err != nil {
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
		if len(a.sums) >= auditBatch {
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
	if c.Code != CodeLoss && c.Code != CodeAccess { // the event is right, what it stands for is gone
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
	sums, faults := judgeChain(a.events, raws, chainFacts{origin: a.l.origin, tenant: a.o.Tenant, env: env, count: head.Seq, head: head.Hash, glance: a.o.WithoutVault && a.o.Env == ""})
	faults = head.agrees(a.events, faults)
	if len(faults) == 0 && !(a.o.WithoutVault && a.o.Env == "") { // else the events were only glanced at
		faults = head.knows(a.events)
	}
	return a.events, sums, faults
}
