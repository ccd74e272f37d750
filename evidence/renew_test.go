package evidence_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/internal/ers"
	"github.com/countersign/countersign/storage"
)

// T13 T15: evidence outlives the certificate of its timestamp, and the hash under
// which it began (RFC 4998).
func TestT13Renewal(t *testing.T) {
	t.Parallel()
	day := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	var w *world
	s := newTSA(t, func() time.Time { return w.clock() })
	w = newWorld(t, nil, evidence.TSA{Client: s})
	w.log = must(evidence.New(evidence.Config{LogSigner: w.key, Origin: origin, Store: w.mem, Vault: w.vault, Now: w.clock,
		Anchors: []evidence.Anchor{evidence.TSA{Client: s}}, Retire: map[string]time.Time{"SHA-256": day(2032, 1, 1)}}))
	s.reissue(t, day(2026, 1, 1), day(2028, 1, 1))
	for _, env := range []string{"first", "nda-17"} {
		w.envelope(env)
		w.anchor()
	}
	trust := w.trust(s.trustLines())
	at := func(t time.Time) *evidence.VerifyOptions { return &evidence.VerifyOptions{Keys: trust, At: t} }
	to := func(x time.Time) {
		w.mu.Lock()
		w.now = x
		w.mu.Unlock()
		for range 2 { // the second finds nothing to do
			_, err := w.log.Anchor(w.ctx)
			require.NoError(t, err)
		}
	}
	events := func() (out []map[string]any) {
		for e, err := range w.log.Events(w.ctx, "_", "log", 0) {
			require.NoError(t, err)
			if e.Type == evidence.TypeRenewed {
				out = append(out, e.X)
			}
		}
		return out
	}
	young := w.export("nda-17", nil)
	assert.Equal(t, evidence.Passed, verify(t, young, at(day(2027, 6, 1))).Verdict)
	r := verify(t, young, at(day(2028, 6, 1)))
	assert.Equal(t, evidence.Indeterminate, r.Verdict, "the certificate has ended")
	assert.True(t, r.Has(evidence.CodeAnchor, evidence.Indeterminate))
	assert.Equal(t, evidence.Passed, verify(t, young, at(time.Time{})).Verdict, "at its own time it proves for ever")

	to(day(2027, 6, 1))
	assert.Empty(t, events(), "not yet")
	s.reissue(t, day(2027, 7, 1), day(2031, 6, 1))
	to(day(2027, 8, 1))
	require.Len(t, events(), 1)
	assert.Equal(t, map[string]any{"timestamps": int64(2), "hashes": int64(0), "size": int64(16)}, events()[0])
	w.anchor()
	b := w.export("nda-17", nil)
	r = verify(t, b, at(day(2030, 1, 1)))
	assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
	assert.True(t, r.Has(evidence.CodeRenewal, evidence.Passed))
	assert.False(t, r.Has(evidence.CodeRenewedDigests, evidence.Passed))

	s.reissue(t, day(2030, 7, 1), day(2036, 1, 1))
	to(day(2030, 12, 20)) // 180 days ahead of the certificate's end
	require.Len(t, events(), 2)
	to(day(2031, 7, 20)) // and of the end of SHA-256
	require.Len(t, events(), 3)
	assert.Equal(t, int64(3), events()[2]["hashes"], "with the anchor of the first renewal's event")
	old := w.export("nda-17", nil)
	r = verify(t, old, at(day(2035, 1, 1)))
	assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
	assert.True(t, r.Has(evidence.CodeRenewedDigests, evidence.Passed), "and the report says what was renewed")
	assert.Equal(t, evidence.Indeterminate, verify(t, old, at(day(2040, 1, 1))).Verdict)

	t.Run("a record is held against its anchor and its checkpoint", func(t *testing.T) {
		for name, change := range map[string]func(map[string][]byte){
			"of another checkpoint": func(f map[string][]byte) { f["ers/16-tsa.er"] = f["ers/8-tsa.er"] },
			"cut":                   func(f map[string][]byte) { f["ers/16-tsa.er"] = f["ers/16-tsa.er"][:100] },
			"of no anchor":          func(f map[string][]byte) { f["ers/99-tsa.er"] = f["ers/8-tsa.er"] },
			"that begins with another token": func(f map[string][]byte) {
				s.reissue(t, day(2026, 1, 1), day(2040, 1, 1))
				_, body, _ := strings.Cut(string(f["anchors/16-checkpoint.txt"]), "")
				text, _, _ := strings.Cut(body, "\n\n")
				f["ers/16-tsa.er"] = must(ers.Start(w.ctx, s, "SHA-256", [][]byte{[]byte(text + "\n")}))[0]
			},
		} {
			files := entries(old)
			change(files)
			r := verify(t, w.log.Resign(files, nil), at(time.Time{}))
			assert.True(t, r.Has(evidence.CodeRenewal, evidence.Failed), "%s: %v", name, troubles(r))
		}
	})
	t.Run("without the root nothing is trusted", func(t *testing.T) {
		r := verify(t, old, &evidence.VerifyOptions{Keys: w.trust()})
		assert.Equal(t, evidence.Indeterminate, r.Verdict, troubles(r))
		assert.True(t, r.Has(evidence.CodeAnchorTrust, evidence.Indeterminate))
	})
	t.Run("an authority that is down delays a renewal and nothing else", func(t *testing.T) {
		s.down.Store(true)
		w.mu.Lock()
		w.now = day(2035, 12, 1)
		w.mu.Unlock()
		_, err := w.log.Anchor(w.ctx)
		require.Error(t, err)
		s.down.Store(false)
		s.reissue(t, day(2035, 1, 1), day(2045, 1, 1))
		to(day(2035, 12, 2))
		require.Len(t, events(), 4)
	})
	t.Run("what has ended is not renewed", func(t *testing.T) {
		n := len(events())
		to(day(2046, 1, 1))
		assert.Len(t, events(), n)
	})
	if *update {
		put := func(name string, b []byte) {
			if _, err := os.Stat(filepath.Join(vectorDir, "ers", "trust.txt")); err == nil {
				return
			}
			frozen(t, "ers/"+name, func() []byte { return b })
		}
		put("renewed.esev", b)
		put("rehashed.esev", old)
		files := entries(old)
		files["ers/16-tsa.er"] = files["ers/8-tsa.er"]
		put("failed-renewal.esev", w.log.Resign(files, nil))
		put("trust.txt", []byte("# keys of these vectors, for tests only\nlog "+w.log.VerifierKey()+"\n"+s.trustLines()))
	}
}

// T13: a damaged anchor does not keep the others from their renewal.
func TestRenewal_T13_DamagedAnchor(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(data []byte) []byte{
		"of a newer release": func([]byte) []byte { return []byte(`{"v":9,"d":{}}`) },
		"with another receipt": func(d []byte) []byte {
			return regexp.MustCompile(`"data":"[^"]*"`).ReplaceAll(d, []byte(`"data":"AAAA"`))
		},
		"of another root": func(d []byte) []byte { return regexp.MustCompile(`"root":"..`).ReplaceAll(d, []byte(`"root":"00`)) },
	} {
		var w *world
		s := newTSA(t, func() time.Time { return w.clock() })
		w = newWorld(t, nil, evidence.TSA{Client: s})
		start := w.clock()
		s.reissue(t, start.AddDate(0, -1, 0), start.AddDate(2, 0, 0))
		for _, env := range []string{"first", "second"} {
			w.envelope(env)
			w.anchor()
		}
		recs := must(w.mem.List(w.ctx, storage.Deployment, "evidence.anchor", "", 10))
		require.Len(t, recs, 2)
		r := recs[0]
		data := damage(r.Data)
		require.NotEqual(t, string(r.Data), string(data), name)
		require.True(t, must(w.mem.Commit(w.ctx, []storage.Batch{{Writes: []storage.Write{{Key: r.Key, Expect: r.Version, Data: data, Due: r.Due}}}}))[0].OK)
		w.advance(600 * 24 * time.Hour)
		s.reissue(t, w.clock().AddDate(0, -1, 0), w.clock().AddDate(3, 0, 0))
		for range 2 { // it is told of each time
			_, err := w.log.Anchor(w.ctx)
			require.ErrorContains(t, err, r.Key.ID, name)
		}
		var renewed []any
		for e, err := range w.log.Events(w.ctx, "_", "log", 0) {
			require.NoError(t, err)
			if e.Type == evidence.TypeRenewed {
				renewed = append(renewed, e.X["timestamps"])
			}
		}
		assert.Equal(t, []any{int64(1)}, renewed, name)
	}
}

// Frozen bundles with evidence records: renewed, carried to SHA-512, and one whose
// record is of another checkpoint.
func TestVectorsRenewal(t *testing.T) {
	t.Parallel()
	trust, err := evidence.ParseTrust(bytes.NewReader(must(os.ReadFile(filepath.Join(vectorDir, "ers", "trust.txt")))))
	require.NoError(t, err)
	for name, want := range map[string]struct {
		at      int // year
		verdict evidence.Verdict
		code    string
	}{
		"renewed":        {2030, evidence.Passed, evidence.CodeRenewal},
		"rehashed":       {2035, evidence.Passed, evidence.CodeRenewedDigests},
		"failed-renewal": {2035, evidence.Failed, evidence.CodeRenewal},
	} {
		b := must(os.ReadFile(filepath.Join(vectorDir, "ers", name+".esev")))
		r := verify(t, b, &evidence.VerifyOptions{Keys: trust, At: time.Date(want.at, 1, 1, 0, 0, 0, 0, time.UTC)})
		assert.Equal(t, want.verdict, r.Verdict, "%s: %v", name, troubles(r))
		assert.True(t, r.Has(want.code, want.verdict), "%s: %v", name, troubles(r))
		late := verify(t, b, &evidence.VerifyOptions{Keys: trust, At: time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)})
		assert.NotEqual(t, evidence.Passed, late.Verdict, name)
	}
}
