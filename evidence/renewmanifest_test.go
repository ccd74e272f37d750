package evidence_test

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/internal/ers"
	"github.com/countersign/countersign/storage"
)

// extracted walks an application to Extracted and returns its bundle.
func (w *world) extracted(id string, with bool) ([]byte, evidence.BundleInfo) {
	w.t.Helper()
	must(w.log.Apply(w.ctx, evidence.Application{Tenant: "acme", ID: id, Env: "nda-17", Kind: evidence.SigningReport, Account: "li"}))
	by := evidence.Actor{ID: "clerk"}
	must(w.log.Advance(w.ctx, "acme", id, evidence.Step{To: evidence.Accepted, Actor: by}))
	var b bytes.Buffer
	info := must(w.log.Export(w.ctx, "acme", "nda-17", &b, &evidence.ExportOptions{Disclose: all,
		Documents: []evidence.Document{{ID: "nda", Rev: 2, Body: bytes.NewReader(contract), Size: int64(len(contract))}}}))
	step := evidence.Step{To: evidence.Extracted, Bundle: info.SHA256, Actor: by}
	if with {
		step.Manifest = info.Manifest
	}
	must(w.log.Advance(w.ctx, "acme", id, step))
	return b.Bytes(), info
}

func (w *world) issued(id string) []byte {
	b, info := w.extracted(id, true)
	by := evidence.Actor{ID: "clerk"}
	must(w.log.Advance(w.ctx, "acme", id, evidence.Step{To: evidence.Verified, Bundle: info.SHA256, Actor: by}))
	must(w.log.Advance(w.ctx, "acme", id, evidence.Step{To: evidence.Issued, Bundle: info.SHA256, Actor: by}))
	return b
}

// T13 T49 T52: the manifest of an issued report's bundle is stamped, and carried on past
// certificates and hashes as checkpoints are (RFC 4998); the verifier is given the
// record beside the bundle.
func TestRenewal_T13_T52_Manifests(t *testing.T) {
	t.Parallel()
	day := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	var w *world
	s := newTSA(t, func() time.Time { return w.clock() })
	w = newWorld(t, nil, evidence.TSA{Client: s})
	w.log = must(evidence.New(evidence.Config{LogSigner: w.key, Origin: origin, Store: w.mem, Vault: w.vault, Now: w.clock,
		Anchors: []evidence.Anchor{evidence.TSA{Client: s}}, Retire: map[string]time.Time{"SHA-256": day(2032, 1, 1)}}))
	s.reissue(t, day(2026, 1, 1), day(2028, 1, 1))
	w.envelope("nda-17")
	w.anchor()
	b := w.issued("r1")
	other := w.issued("r2")
	require.NotEqual(t, b, other, "the second tells of the first")
	_, err := w.log.ManifestRecord(w.ctx, "acme", "r1")
	require.ErrorIs(t, err, evidence.ErrNotFound, "not stamped yet")
	trust := w.trust(s.trustLines())
	with := func(b []byte, record []byte, at time.Time) *evidence.Report {
		return verify(t, b, &evidence.VerifyOptions{Keys: trust, At: at, Manifest: record})
	}
	renewed := func(r *evidence.Report, code string, v evidence.Verdict) bool {
		for _, c := range r.Checks {
			if c.Code == code && c.Verdict == v && c.Path == "manifest.json" {
				return true
			}
		}
		return false
	}
	to := func(x time.Time) {
		w.mu.Lock()
		w.now = x
		w.mu.Unlock()
		for range 2 {
			_, err := w.log.Anchor(w.ctx)
			require.NoError(t, err)
		}
	}
	to(day(2026, 3, 2))
	first, second := must(w.log.ManifestRecord(w.ctx, "acme", "r1")), must(w.log.ManifestRecord(w.ctx, "acme", "r2"))
	r := with(b, first, day(2027, 6, 1))
	assert.True(t, renewed(r, evidence.CodeRenewal, evidence.Passed), troubles(r))
	assert.False(t, renewed(r, evidence.CodeRenewedDigests, evidence.Passed))
	r = with(b, first, day(2028, 6, 1))
	assert.True(t, renewed(r, evidence.CodeRenewal, evidence.Indeterminate), "its certificate has ended")
	assert.NotEqual(t, evidence.Passed, r.Verdict)

	s.reissue(t, day(2027, 7, 1), day(2031, 6, 1))
	to(day(2027, 8, 1))
	longer := must(w.log.ManifestRecord(w.ctx, "acme", "r1"))
	assert.Greater(t, len(longer), len(first))
	assert.True(t, renewed(with(b, longer, day(2030, 6, 1)), evidence.CodeRenewal, evidence.Passed))
	s.reissue(t, day(2030, 7, 1), day(2040, 1, 1))
	to(day(2030, 12, 20))
	to(day(2031, 7, 20)) // before SHA-256 retires
	last := must(w.log.ManifestRecord(w.ctx, "acme", "r1"))
	r = with(b, last, day(2039, 1, 1))
	assert.True(t, renewed(r, evidence.CodeRenewal, evidence.Passed), troubles(r))
	assert.True(t, renewed(r, evidence.CodeRenewedDigests, evidence.Passed), "the report says that digests were renewed, not documents")
	list, err := ers.Verify(last, mustEntry(b, "manifest.json"), ers.Options{Roots: trust.TSA})
	require.NoError(t, err)
	assert.Equal(t, "SHA-512", list[len(list)-1].Digest)

	// One timestamp covers both, and two leaves are one list (RFC 4998 §4.2): either
	// record is of either manifest. Of a third one it is not.
	assert.Equal(t, first, second)
	second = must(ers.Start(w.ctx, s, "SHA-256", [][]byte{[]byte("another manifest")}))[0]
	for name, record := range map[string][]byte{"of another manifest": second, "cut": last[:len(last)-1], "nothing": {0}} {
		r := with(b, record, time.Time{})
		assert.True(t, renewed(r, evidence.CodeRenewal, evidence.Failed), "%s: %v", name, troubles(r))
		assert.Equal(t, evidence.Failed, r.Verdict, name)
		assert.Zero(t, r.FirstBad, name)
	}
	x := bytes.Clone(last)
	x[len(x)/2] ^= 1
	assert.NotEqual(t, evidence.Passed, with(b, x, time.Time{}).Verdict)
	untrusted := verify(t, b, &evidence.VerifyOptions{Keys: w.trust(), Manifest: last})
	assert.Equal(t, evidence.Indeterminate, untrusted.Verdict)
	assert.True(t, renewed(untrusted, evidence.CodeAnchorTrust, evidence.Indeterminate))

	var said []map[string]any
	for e, err := range w.log.Events(w.ctx, "_", "log", 0) {
		require.NoError(t, err)
		if e.Type == evidence.TypeRenewed && e.X["manifests"] != nil {
			said = append(said, e.X)
		}
	}
	require.NotEmpty(t, said)
	assert.Equal(t, map[string]any{"manifests": int64(2), "timestamps": int64(2), "hashes": int64(0)}, said[0])
	assert.Equal(t, map[string]any{"manifests": int64(2), "timestamps": int64(0), "hashes": int64(2)}, said[len(said)-1])
	if *update {
		frozen(t, "manifest/issued.esev", func() []byte { return b })
		frozen(t, "manifest/issued.er", func() []byte { return last })
		frozen(t, "manifest/other.er", func() []byte { return second })
		frozen(t, "manifest/trust.txt", func() []byte {
			return []byte("# keys of these vectors, for tests only\nlog " + w.log.VerifierKey() + "\n" + s.trustLines())
		})
	}
}

// T52: a refused report keeps no manifest, one that brings another bundle's is not
// extracted, and without one nothing is renewed.
func TestRenewal_T52_ManifestGoesWithItsReport(t *testing.T) {
	t.Parallel()
	w, _ := anchoredPair(t)
	by := evidence.Actor{ID: "clerk"}
	stored := func() (n int) {
		for _, kind := range []string{"evidence.manifest", "evidence.manifest_part"} {
			for _, err := range storage.Scan(w.ctx, w.mem, "acme", kind, "") {
				require.NoError(t, err)
				n++
			}
		}
		return n
	}
	w.extracted("r1", true)
	assert.Equal(t, 2, stored())
	w.advance(time.Hour)
	_, err := w.log.Anchor(w.ctx)
	require.NoError(t, err)
	_, err = w.log.ManifestRecord(w.ctx, "acme", "r1")
	require.ErrorIs(t, err, evidence.ErrNotFound, "what is not issued is not stamped")
	must(w.log.Advance(w.ctx, "acme", "r1", evidence.Step{To: evidence.Refused, Why: evidence.ResultNotConforming, Actor: by}))
	assert.Zero(t, stored())
	w.extracted("r2", false)
	assert.Zero(t, stored())

	must(w.log.Apply(w.ctx, evidence.Application{Tenant: "acme", ID: "r3", Env: "nda-17", Kind: evidence.SigningReport, Account: "li"}))
	must(w.log.Advance(w.ctx, "acme", "r3", evidence.Step{To: evidence.Accepted, Actor: by}))
	theirs := mustEntry(w.export("first", nil), "manifest.json")
	for _, m := range [][]byte{theirs, []byte("{}")} {
		_, err = w.log.Advance(w.ctx, "acme", "r3", evidence.Step{To: evidence.Extracted, Bundle: sumOf(m), Manifest: m, Actor: by})
		require.ErrorIs(t, err, evidence.ErrStage)
	}
	_, err = w.log.ManifestRecord(w.ctx, "other", "r1")
	require.ErrorIs(t, err, evidence.ErrNotFound)
}

// T13 T52: the manifest of an envelope with thousands of events is kept in several
// records, each as long as one can be, and renewed like any other; one that was
// changed in the store is not.
func TestRenewal_T52_LargeManifest(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	viewed := evidence.Draft{Tenant: "acme", Env: "nda-17", Type: "document.viewed", Actor: evidence.Actor{ID: "li"}}
	for range 50 {
		_, err := storage.UpdateValue(w.ctx, w.mem, func(tx *storage.Tx) (ref evidence.Ref, err error) {
			for range 100 {
				if ref, err = w.log.AppendTx(w.ctx, tx, viewed); err != nil {
					break
				}
			}
			return ref, err
		})
		require.NoError(t, err)
	}
	w.anchor()
	b, bad := w.issued("r1"), w.issued("r2")
	part := func(report string, i int) storage.Key {
		return storage.Key{Tenant: "acme", Kind: "evidence.manifest_part", ID: storage.JoinID(report, fmt.Sprintf("%04x", i))}
	}
	recs := must(w.mem.Get(w.ctx, []storage.Key{part("r1", 0), part("r1", 1), part("r1", 2)}))
	assert.Len(t, recs[0].Data, storage.MaxData)
	assert.Zero(t, recs[2].Version)
	assert.Equal(t, mustEntry(b, "manifest.json"), append(recs[0].Data, recs[1].Data...))
	other := must(w.mem.Get(w.ctx, []storage.Key{part("r2", 1)}))[0]
	other.Data[7] ^= 1
	require.True(t, must(w.mem.Commit(w.ctx, []storage.Batch{{Writes: []storage.Write{{Key: other.Key, Expect: other.Version, Data: other.Data}}}}))[0].OK)

	w.advance(time.Hour)
	_, err := w.log.Anchor(w.ctx)
	require.ErrorIs(t, err, storage.ErrCorrupt)
	_, err = w.log.ManifestRecord(w.ctx, "acme", "r2")
	require.ErrorIs(t, err, evidence.ErrNotFound)
	trust := w.trust(s.trustLines())
	record := must(w.log.ManifestRecord(w.ctx, "acme", "r1"))
	r := verify(t, b, &evidence.VerifyOptions{Keys: trust, Manifest: record})
	assert.True(t, r.Has(evidence.CodeRenewal, evidence.Passed), troubles(r))
	r = verify(t, bad, &evidence.VerifyOptions{Keys: trust, Manifest: record})
	assert.True(t, r.Has(evidence.CodeRenewal, evidence.Failed), "of another manifest")
}

// T13 T52: what is held of manifests for one timestamp has a limit in bytes; one that is
// larger is renewed alone, and those left over are due the next time.
func TestRenewal_T13_T52_BytesAtOnce(t *testing.T) {
	t.Parallel()
	w, _ := anchoredPair(t)
	reports := []string{"r1", "r2", "r3"}
	var size int
	for _, id := range reports {
		size = len(mustEntry(w.issued(id), "manifest.json"))
		w.advance(time.Second)
	}
	w.advance(time.Hour)
	renewed := func() (out []int) {
		for _, id := range reports {
			record, err := w.log.ManifestRecord(w.ctx, "acme", id)
			if err != nil {
				require.ErrorIs(t, err, evidence.ErrNotFound)
			}
			out = append(out, len(record))
		}
		return out
	}
	require.NoError(t, w.log.RenewManifests(w.ctx, 1))
	first := renewed()
	assert.NotZero(t, first[0], "what is due first comes first, however large")
	assert.Equal(t, []int{0, 0}, first[1:])
	require.NoError(t, w.log.RenewManifests(w.ctx, size+1))
	assert.NotContains(t, renewed(), 0, "two are held when the first is below the limit")
}

// T52: a report whose kept manifest has a size that none can have is refused all the
// same, or stays without renewal.
func TestRenewal_T52_DamagedSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{math.MinInt64, -1, math.MaxInt64} {
		w, _ := anchoredPair(t)
		damage := func(report string) {
			rec := must(w.mem.Get(w.ctx, []storage.Key{{Tenant: "acme", Kind: "evidence.manifest", ID: report}}))[0]
			data := regexp.MustCompile(`"size":\d+`).ReplaceAll(rec.Data, fmt.Appendf(nil, `"size":%d`, size))
			require.NotEqual(t, rec.Data, data)
			require.True(t, must(w.mem.Commit(w.ctx, []storage.Batch{{Writes: []storage.Write{{Key: rec.Key, Expect: rec.Version, Data: data, Due: rec.Due}}}}))[0].OK)
		}
		w.extracted("r1", true)
		damage("r1")
		must(w.log.Advance(w.ctx, "acme", "r1", evidence.Step{To: evidence.Refused, Why: evidence.ResultNotConforming, Actor: evidence.Actor{ID: "clerk"}}))
		w.issued("r2")
		damage("r2")
		w.advance(time.Hour)
		_, err := w.log.Anchor(w.ctx)
		if size == math.MaxInt64 { // one part as before, and others that are not there
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, storage.ErrCorrupt)
		}
	}
}

// Frozen: a bundle and the evidence record of its manifest, with both renewals (A10).
func TestVectorsManifest(t *testing.T) {
	t.Parallel()
	read := func(name string) []byte { return frozen(t, "manifest/"+name, nil) }
	trust, err := evidence.ParseTrust(bytes.NewReader(read("trust.txt")))
	require.NoError(t, err)
	for name, want := range map[string]evidence.Verdict{"issued": evidence.Passed, "other": evidence.Failed} {
		r := verify(t, read("issued.esev"), &evidence.VerifyOptions{Keys: trust, Manifest: read(name + ".er")})
		assert.True(t, r.Has(evidence.CodeRenewal, want), "%s: %v", name, troubles(r))
		assert.Equal(t, want == evidence.Passed, r.Has(evidence.CodeRenewedDigests, evidence.Passed))
	}
}
