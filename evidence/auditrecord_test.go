package evidence_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/storage"
)

// T15: an audit judges the stored anchors, too: every bit of one, of an envelope alone
// and of a tenant; and one that is over a tree which this one does not extend.
func TestAudit_T15_Anchors(t *testing.T) {
	t.Parallel()
	w, l := (*world)(nil), &liar{}
	s := newTSA(t, func() time.Time { return w.clock() })
	w = newWorld(t, func(s storage.Store) storage.Store { l.Store = s; return l }, evidence.TSA{Client: s})
	for _, env := range []string{"first", "nda-17"} {
		w.envelope(env)
		w.anchor()
	}
	audit := func(env string) *evidence.Report {
		return must(w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: env}))
	}
	require.Equal(t, evidence.Passed, audit("nda-17").Verdict)
	require.Equal(t, evidence.Passed, audit("").Verdict)
	n := 0
	for at := 0; ; at += 7 {
		past := false
		l.record = func(r storage.Record) storage.Record {
			if r.Key.Kind == "evidence.anchor" && r.Key.ID == "0000000000000010-tsa" {
				if past = at >= len(r.Data); !past {
					r.Data = bytes.Clone(r.Data)
					r.Data[at] ^= 1 << (at % 8)
				}
			}
			return r
		}
		one, every := audit("nda-17"), audit("")
		if past {
			break
		}
		n++
		for _, r := range []*evidence.Report{one, every} {
			require.Equal(t, evidence.Failed, r.Verdict, "byte %d", at)
			require.True(t, r.Has(evidence.CodeAnchor, evidence.Failed), troubles(r))
		}
		require.True(t, names(one, "anchors"), troubles(one))
		require.Zero(t, one.FirstBad)
	}
	assert.Greater(t, n, 100)

	forked, fs := anchoredWorld(t)
	forked.envelope("other")
	forked.anchor()
	_ = fs
	theirs := must(forked.mem.Get(w.ctx, []storage.Key{{Tenant: "_", Kind: "evidence.anchor", ID: "0000000000000008-tsa"}}))[0].Data
	l.record = func(r storage.Record) storage.Record {
		if r.Key.Kind == "evidence.anchor" && r.Key.ID == "0000000000000008-tsa" {
			r.Data = theirs
		}
		return r
	}
	r := audit("first")
	assert.True(t, names(r, "anchors"), "the log signed another tree of eight leaves: %v", troubles(r))
}

// P17: what a head remembers of subjects comes from its events: a subject put there would
// keep an envelope from being noted as theirs, and so from their erasure.
func TestAudit_P17_SubjectsInAHead(t *testing.T) {
	t.Parallel()
	w, l := lyingWorld(t)
	w.envelope("nda-17")
	audit := func(env string) *evidence.Report {
		return must(w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: env}))
	}
	require.Equal(t, evidence.Passed, audit("nda-17").Verdict)
	var known []string
	for e, err := range w.log.Events(w.ctx, "acme", "nda-17", 0) {
		require.NoError(t, err)
		for _, c := range e.Personal {
			known = append(known, c.K)
		}
	}
	require.NotEmpty(t, known)
	l.record = func(r storage.Record) storage.Record {
		if r.Key.Kind == "evidence.chain" {
			x := bytes.Clone(r.Data)
			r.Data = bytes.Replace(x, []byte(known[0]), []byte(known[0][:len(known[0])-1]+"!"), 1)
			require.NotEqual(t, x, r.Data, "the head remembers its first subject")
		}
		return r
	}
	for _, env := range []string{"nda-17", ""} {
		r := audit(env)
		assert.Equal(t, evidence.Failed, r.Verdict)
		assert.True(t, r.Has(evidence.CodeChain, evidence.Failed), troubles(r))
		assert.EqualValues(t, envelopeEvents, r.FirstBad)
	}
}
