package evidence_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
)

func receipt(t *testing.T, w *world, env string) evidence.Receipt {
	t.Helper()
	r, err := w.log.Receipt(w.ctx, "acme", env)
	require.NoError(t, err)
	return r
}

func TestReceipt(t *testing.T) {
	t.Parallel()
	w, s := anchoredWorld(t)
	w.envelope("nda-17")
	_, err := w.log.Receipt(w.ctx, "acme", "nda-17")
	require.ErrorIs(t, err, evidence.ErrNotFound, "not in the tree yet")
	w.anchor()
	a := receipt(t, w, "nda-17")
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}

	t.Run("small, and nothing personal", func(t *testing.T) {
		bare := a
		bare.Anchors = nil
		b := must(json.Marshal(bare))
		assert.Less(t, len(b), 4096)
		for _, c := range []string{"李明", "13800138000"} {
			assert.NotContains(t, string(b), c)
		}
		var again evidence.Receipt
		require.NoError(t, json.Unmarshal(must(json.Marshal(a)), &again))
		assert.Equal(t, a, again)
		e := must(evidence.ParseEvent([]byte(a.Event)))
		assert.Equal(t, evidence.TypeSealed, e.Type)
		assert.Len(t, a.Anchors, 1)
		cp := must(w.log.Checkpoint(w.ctx))
		assert.Regexp(t, `^[A-Z2-7]{16}$`, cp.Fingerprint())
	})
	t.Run("receipts of one history are consistent", func(t *testing.T) {
		w.envelope("nda-18")
		w.anchor()
		b := receipt(t, w, "nda-18")
		c, err := evidence.Compare(a, b, o)
		require.NoError(t, err)
		assert.Equal(t, evidence.NeedProof, c)
		with := *o
		with.Consistency = must(w.log.Consistency(w.ctx, 8, 16))
		for _, pair := range [][2]evidence.Receipt{{a, b}, {b, a}} {
			c, err = evidence.Compare(pair[0], pair[1], &with)
			require.NoError(t, err)
			assert.Equal(t, evidence.Consistent, c)
		}
		c, err = evidence.Compare(a, a, o)
		require.NoError(t, err)
		assert.Equal(t, evidence.Consistent, c)
		_, err = w.log.Consistency(w.ctx, 8, 99)
		assert.ErrorIs(t, err, evidence.ErrNotFound)
	})
	t.Run("without trust nothing is compared", func(t *testing.T) {
		for _, bad := range []*evidence.VerifyOptions{nil, {}, {Keys: newWorldWithKey(t, newTestKey(8), nil).trust()}} {
			_, err := evidence.Compare(a, a, bad)
			assert.ErrorIs(t, err, evidence.ErrReceipt)
		}
	})
	t.Run("every changed byte of a receipt is refused", func(t *testing.T) {
		for i := range len(a.Event) {
			x := a
			e := []byte(a.Event)
			e[i] ^= 1
			x.Event = string(e)
			_, err := evidence.Compare(x, a, o)
			require.ErrorIs(t, err, evidence.ErrReceipt, i)
		}
		for i := range len(a.Proof) {
			x := a
			p := []byte(a.Proof)
			p[i] ^= 1
			x.Proof = string(p)
			_, err := evidence.Compare(x, a, o)
			require.ErrorIs(t, err, evidence.ErrReceipt, i)
		}
	})
	// data-peek PR#218, oxdeai#303, isnad#97, oidc-pam#232: cut tail, chain made
	// again by who holds the key.
	t.Run("a rewrite under the log's own key is caught by who kept a receipt", func(t *testing.T) {
		f, fs := anchoredWorld(t) // same key and origin, another past
		f.advance(1)
		f.envelope("nda-17")
		f.anchor()
		keys := f.trust(s.trustLines(), fs.trustLines())
		forged := f.export("nda-17", nil)
		r := verify(t, forged, &evidence.VerifyOptions{Keys: keys})
		assert.Equal(t, evidence.Passed, r.Verdict, "by itself it is perfect: %v", troubles(r))
		r = verify(t, forged, &evidence.VerifyOptions{Keys: keys, Held: []evidence.Receipt{a}})
		assert.Equal(t, evidence.Failed, r.Verdict)
		assert.EqualValues(t, 7, r.FirstBad)
		c, err := evidence.Compare(a, receipt(t, f, "nda-17"), &evidence.VerifyOptions{Keys: keys})
		require.NoError(t, err)
		assert.Equal(t, evidence.Conflict, c)

		g, _ := anchoredWorld(t) // cuts the tail
		_, err = g.log.Append(g.ctx, evidence.Draft{Tenant: "acme", Env: "nda-17", Type: "envelope.created", Actor: evidence.Actor{ID: "hr"}})
		require.NoError(t, err)
		g.anchor()
		var out bytes.Buffer
		_, err = g.log.Export(g.ctx, "acme", "nda-17", &out, nil)
		require.NoError(t, err)
		r = verify(t, out.Bytes(), &evidence.VerifyOptions{Keys: keys, Held: []evidence.Receipt{a}})
		assert.Equal(t, evidence.Failed, r.Verdict)
		assert.EqualValues(t, 2, r.FirstBad)
	})
	t.Run("held receipts of the same past pass", func(t *testing.T) {
		r := verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: w.trust(s.trustLines()), Held: []evidence.Receipt{a}})
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
		assert.True(t, r.Has(evidence.CodeReceipt, evidence.Passed))
	})
}
