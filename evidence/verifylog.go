package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/ers"
)

// log judges what the bundle brings of the log: leaf = event, inclusion,
// checkpoint signatures, consistency, anchors. No inclusion counts without a
// checkpoint that a trusted key signed.
func (v *verifier) log() {
	if v.m == nil {
		return
	}
	cps := v.checkpoints()
	covered := v.inclusion(cps)
	v.consistency(cps)
	v.anchors(cps, covered)
}

// A bundled checkpoint with what is known of it.
type seen struct {
	Checkpoint
	path    string
	trusted bool          // signed by a trusted key
	anchors []Attestation // trusted ones
}

func (v *verifier) checkpoints() map[uint64]*seen {
	out := map[uint64]*seen{}
	keys := v.o.Keys.log(v.m.origin)
	for _, e := range v.c.entries {
		if !strings.HasPrefix(e.name, "anchors/") || !strings.HasSuffix(e.name, "-checkpoint.txt") {
			continue
		}
		cp, n, err := parseCheckpoint(v.read(CodeCheckpoint, e.name, maxNote))
		if err != nil || checkpointPath(cp.Size) != e.name || cp.Size == 0 || cp.Origin != v.m.origin {
			v.fail(CodeCheckpoint, 0, e.name, "not a checkpoint of this log and size")
			continue
		}
		s := &seen{Checkpoint: cp, path: e.name}
		switch known, good := n.byLog(keys, cp.Size); {
		case !known && len(keys) > 0:
			v.r.add(Check{Code: CodeLogKey, Verdict: Indeterminate, Path: e.name, Detail: "no trusted key for this size"})
		case known && !good:
			v.fail(CodeCheckpoint, 0, e.name, "signature")
		case good:
			s.trusted = true
		}
		out[cp.Size] = s
	}
	if size := v.m.claim.Size; size != 0 && out[size] == nil && v.signed {
		v.fail(CodeCheckpoint, 0, checkpointPath(size), "the claim's checkpoint is missing")
	}
	if len(out) > 0 && len(keys) > 0 {
		v.pass(CodeCheckpoint)
	}
	return out
}

// inclusion returns the checkpoint that covers each event.
func (v *verifier) inclusion(cps map[uint64]*seen) map[uint64]*seen {
	covered := map[uint64]*seen{}
	leaves := map[uint64]uint64{}
	byNote := map[string]*seen{}
	var suspects []uint64
	for _, s := range cps {
		byNote[string(s.Note)] = s
	}
	making := newLeaves(v.m.blind, v.m.env)
	for i := range v.c.entries {
		name := v.c.entries[i].name
		num, ok := strings.CutPrefix(name, "proofs/")
		if !ok {
			continue
		}
		num, _ = strings.CutSuffix(num, ".tlog-proof")
		seq, err := strconv.ParseUint(num, 10, 63)
		if err != nil || proofPath(seq) != name || seq == 0 || seq > uint64(len(v.raws)) {
			v.fail(CodeInclusion, 0, name, "proof of no event")
			continue
		}
		leaf, p, note, err := parseProof(v.read(CodeInclusion, name, maxProof))
		if err != nil {
			v.fail(CodeInclusion, seq, name, "not a proof in its one form")
			continue
		}
		cp := byNote[string(note)]
		if cp == nil {
			v.fail(CodeInclusion, seq, name, "leads to no checkpoint of the bundle")
			continue
		}
		if leaf >= cp.Size {
			v.fail(CodeInclusion, seq, name, "leaf beyond the tree")
			continue
		}
		hash := tlog.RecordHash(making.of(seq, v.raws[seq-1]))
		if tlog.CheckRecord(p, int64(cp.Size), tlog.Hash(cp.Root), int64(leaf), hash) != nil {
			v.fail(CodeInclusion, seq, name, "the event is not the leaf in the log")
			switch {
			case v.signed && cp.trusted && bytes.Equal(v.digestOf(name), v.listed[name].SHA256):
				v.r.bad(seq) // the proof is what was signed, so the event is not
			case !v.signed && cp.trusted:
				suspects = append(suspects, seq)
			}
			continue
		}
		leaves[seq] = leaf
		covered[seq] = cp
	}
	// Under a manifest that nobody signed an event that is not its leaf is what was
	// changed; but where none is its leaf, what they all hang on is.
	if len(leaves) > 0 {
		for _, seq := range suspects {
			v.r.bad(seq)
		}
	}
	// Leaves of a chain rise with its events.
	last, first := uint64(0), true
	for _, seq := range slices.Sorted(maps.Keys(leaves)) {
		if !first && leaves[seq] <= last {
			v.fail(CodeLeaf, seq, proofPath(seq), "leaves out of order")
		}
		last, first = leaves[seq], false
	}
	if len(leaves) > 0 {
		v.pass(CodeInclusion)
		v.pass(CodeLeaf)
	}
	return covered
}

func (v *verifier) digestOf(path string) []byte {
	if i, ok := v.c.byName[path]; ok {
		return v.digests[i].SHA256
	}
	return nil
}

func (v *verifier) consistency(cps map[uint64]*seen) {
	sizes := slices.Sorted(maps.Keys(cps))
	for i := 1; i < len(sizes); i++ {
		a, b := cps[sizes[i-1]], cps[sizes[i]]
		path := consistencyPath(a.Size, b.Size)
		if _, ok := v.c.byName[path]; !ok {
			v.fail(CodeConsistency, 0, path, "missing")
			continue
		}
		p, err := parseConsistency(v.read(CodeConsistency, path, maxProof))
		if err != nil {
			v.fail(CodeConsistency, 0, path, "not a proof in its one form")
			continue
		}
		if tlog.CheckTree(p, int64(b.Size), tlog.Hash(b.Root), int64(a.Size), tlog.Hash(a.Root)) != nil {
			v.fail(CodeConsistency, 0, path, "the later tree does not extend the earlier one")
		}
	}
	if len(sizes) > 0 {
		v.pass(CodeConsistency)
	}
}

// anchors judges receipts and lays the windows around events.
func (v *verifier) anchors(cps map[uint64]*seen, covered map[uint64]*seen) {
	tokens := map[string]Attestation{} // trusted tokens by digest, for "nb"
	for i := range v.c.entries {
		name := v.c.entries[i].name
		rest, ok := strings.CutPrefix(name, "anchors/")
		if !ok || strings.HasSuffix(rest, "-checkpoint.txt") {
			continue
		}
		num, rest, _ := strings.Cut(rest, "-")
		dot := strings.LastIndex(rest, ".")
		size, err := strconv.ParseUint(num, 10, 63)
		if err != nil || dot < 0 || cps[size] == nil || anchorPath(size, rest[:dot], rest[dot+1:]) != name {
			v.fail(CodeAnchor, 0, name, "anchors no checkpoint of the bundle")
			continue
		}
		cp := cps[size]
		r := AnchorReceipt{Anchor: rest[:dot], Kind: rest[dot+1:], Final: true, Data: v.read(CodeAnchor, name, maxToken)}
		a, err := v.attest(cp.Checkpoint, r)
		switch {
		case errors.Is(err, ErrUntrusted):
			v.r.add(Check{Code: CodeAnchorTrust, Verdict: Indeterminate, Path: name, Detail: "its root or key was not given"})
		case err != nil:
			v.fail(CodeAnchor, 0, name, err.Error())
		default:
			until := v.renewed(cp, r, &a)
			if !v.o.At.IsZero() && !until.IsZero() && v.o.At.After(until) {
				v.r.add(Check{Code: CodeAnchor, Verdict: Indeterminate, Path: name, Detail: "its certificate has ended, and no renewal carries it on"})
				continue
			}
			v.r.add(Check{Code: CodeAnchor, Verdict: Passed, Path: name})
			cp.anchors = append(cp.anchors, a)
			if r.Kind == kindToken {
				tokens[string(hashOf(r.Data))] = a
			}
		}
	}
	for _, e := range v.c.entries {
		stem, ok := strings.CutPrefix(e.name, "ers/")
		if !ok || v.renewals[e.name] {
			continue
		}
		// Of an anchor that is not trusted nothing is said here, either.
		stem, ok = strings.CutSuffix(stem, ".er")
		if _, there := v.c.byName["anchors/"+stem+"."+kindToken]; !ok || !there {
			v.fail(CodeRenewal, 0, e.name, "renews no anchor of the bundle")
		}
	}
	v.windows(covered, tokens)
}

// renewed judges the evidence record of an anchor, if there is one, and returns
// until when the anchor proves.
func (v *verifier) renewed(cp *seen, r AnchorReceipt, a *Attestation) time.Time {
	path := ersPath(cp.Size, r.Anchor)
	if _, ok := v.c.byName[path]; !ok || r.Kind != kindToken {
		return a.Until
	}
	v.renewals[path] = true
	o := ers.Options{}
	if v.o.Keys != nil {
		o.Roots = v.o.Keys.TSA
	}
	list, err := ers.Verify(v.read(CodeRenewal, path, ers.MaxSize), cp.body(), o)
	switch {
	case errors.Is(err, ers.ErrUntrusted):
		v.r.add(Check{Code: CodeAnchorTrust, Verdict: Indeterminate, Path: path, Detail: "the root of a renewal was not given"})
		return a.Until
	case err != nil:
		v.fail(CodeRenewal, 0, path, err.Error())
		return a.Until
	case !bytes.Equal(list[0].Token, r.Data):
		v.fail(CodeRenewal, 0, path, "it does not begin with the token of the anchor")
		return a.Until
	}
	v.r.add(Check{Code: CodeRenewal, Verdict: Passed, Path: path})
	last := list[len(list)-1]
	if last.Chain > 0 {
		v.r.add(Check{Code: CodeRenewedDigests, Verdict: Passed, Path: path, Detail: "under " + last.Digest + ": the checkpoint, not the documents"})
	}
	return last.Expires
}

// attest verifies a receipt by its kind; other kinds than tokens need the
// caller's own anchor.
func (v *verifier) attest(cp Checkpoint, r AnchorReceipt) (Attestation, error) {
	if r.Kind == kindToken {
		return verifyToken(cp, r, v.o)
	}
	for _, a := range v.o.Anchors {
		if a.Name() == r.Anchor {
			return a.Verify(cp, r, v.o)
		}
	}
	if _, err := parseCosignature(r.Data); err == nil {
		return verifyCosignature(cp, r, v.o)
	}
	return Attestation{}, fmt.Errorf("%w: no verifier for it", ErrUntrusted)
}

// windows finds for each event the side that outsiders prove. Every event must
// be bound by an anchor over a checkpoint that the log signed; those that are
// not leave the verdict open.
func (v *verifier) windows(covered map[uint64]*seen, tokens map[string]Attestation) {
	skew := v.o.Skew
	if skew <= 0 {
		skew = time.Minute
	}
	var unbound uint64
	for i := range v.r.Windows {
		w := &v.r.Windows[i]
		s := covered[w.Seq]
		if s == nil || !s.trusted || len(s.anchors) == 0 {
			if unbound == 0 {
				unbound = w.Seq
			}
		} else {
			w.NotAfter = earliest(s.anchors)
		}
		e := &v.list[w.Seq-1]
		if a, ok := tokens[string(e.NotBefore.Token)]; ok {
			w.NotBefore = a.Time.Add(-a.Accuracy).UTC()
		}
		if !w.NotAfter.IsZero() && w.At.After(w.NotAfter.Add(skew)) || !w.NotBefore.IsZero() && w.At.Before(w.NotBefore.Add(-skew)) {
			v.r.add(Check{Code: CodeClock, Verdict: Indeterminate, Seq: w.Seq, Detail: "recorded outside the window that outsiders prove"})
		}
	}
	switch {
	case len(v.r.Windows) == 0:
	case unbound == 1 && len(covered) == 0:
		v.r.add(Check{Code: CodeUnbound, Verdict: Indeterminate, Detail: "no anchored checkpoint: nothing outside binds the operator"})
	case unbound > 0:
		v.r.add(Check{Code: CodeUnbound, Verdict: Indeterminate, Seq: unbound, Detail: "not covered by a trusted anchor from this event on"})
	}
}

func earliest(list []Attestation) time.Time {
	var t time.Time
	for _, a := range list {
		if x := a.Time.Add(a.Accuracy).UTC(); t.IsZero() || x.Before(t) {
			t = x
		}
	}
	return t
}
