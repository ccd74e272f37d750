package evidence_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/storage"
)

// An operator who forgets where a chain is in the tree and sequences another past
// of it leaves two leaves for one event, which the monitor finds.
func TestT15Equivocation(t *testing.T) {
	t.Parallel()
	w, l := lyingWorld(t)
	w.envelope("nda-17")
	w.envelope("nda-18")
	for must(w.log.Sequence(w.ctx)) > 0 {
	}
	found, err := w.log.Equivocations(w.ctx)
	require.NoError(t, err)
	require.Empty(t, found, "an honest log")
	must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "nda-17", Type: "document.viewed", Actor: evidence.Actor{ID: "li"}}))
	key := storage.Key{Tenant: "acme", Kind: "evidence.chain", ID: "nda-17"}
	last := rewrite(must(w.mem.Entries(w.ctx, key, 0, 100)), 3)
	l.entries = func(k storage.Key, list []storage.Entry) []storage.Entry {
		if k == key {
			rewrite(list, 3)
		}
		return list
	}
	l.record = func(r storage.Record) storage.Record {
		switch {
		case r.Key.Kind == "evidence.mark" && r.Key.ID == "nda-17":
			r.Version, r.Data = 0, nil
		case r.Key == key:
			r.Data = evidence.HeadJSON(r.Data)
			i := bytes.Index(r.Data, []byte(`"hash":"`)) + 8
			copy(r.Data[i:], []byte(hexOf(sumOf(last))))
		}
		return r
	}
	_, _ = w.log.Sequence(w.ctx) // its commit goes through; clearing the mark may not
	l.record, l.entries = nil, nil
	found, err = w.log.Equivocations(w.ctx)
	require.NoError(t, err)
	require.Len(t, found, envelopeEvents-3, "events 4 to 8 have two hashes")
	for i, e := range found {
		assert.EqualValues(t, 4+i, e.Seq)
		assert.Less(t, e.First, e.Second)
	}
	told := 0
	for e, err := range w.log.Events(w.ctx, "_", "log", 0) {
		require.NoError(t, err)
		if e.Type == evidence.TypeEquivocation {
			told++
		}
	}
	assert.Equal(t, len(found), told)
	_, err = new(evidence.Monitor).Leaf(0, []byte(`{"eb":"00"}`))
	assert.ErrorIs(t, err, evidence.ErrForm)
}

func TestMemoryAnchor(t *testing.T) {
	t.Parallel()
	for _, pending := range []bool{false, true} {
		var w *world
		a := &evidence.InsecureMemoryAnchor{Pending: pending}
		w = newWorld(t, nil, a)
		a.Now = w.clock
		w.envelope("nda-17")
		w.anchor()
		w.advance(2 * 60e9)
		_, err := w.log.Anchor(w.ctx) // asks for the final form
		require.NoError(t, err)
		b := w.export("nda-17", nil)
		r := verify(t, b, &evidence.VerifyOptions{Keys: w.trust(), Anchors: []evidence.Anchor{a}})
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
		r = verify(t, b, &evidence.VerifyOptions{Keys: w.trust()})
		assert.Equal(t, evidence.Indeterminate, r.Verdict, "nobody else believes it")
		r = verify(t, b, &evidence.VerifyOptions{Keys: w.trust(), Anchors: []evidence.Anchor{new(evidence.InsecureMemoryAnchor)}})
		assert.Equal(t, evidence.Failed, r.Verdict, "another key")
	}
}
