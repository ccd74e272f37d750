package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/ers"
	"github.com/countersign/countersign/storage"
)

// A keptManifest stands for the manifest of the bundle under an issued report. The
// bundle is fixed by the report, so the evidence record over its manifest stands beside
// it.
type keptManifest struct {
	Env     string      `json:"env"`
	Size    int         `json:"size"`          // of the manifest, which is in records of its own
	Digest  storage.Hex `json:"sha256"`        // its SHA-256
	Renewed []byte      `json:"ers,omitempty"` // evidence record (RFC 4998) over it
	Due     time.Time   `json:"due,omitzero"`  // when to stamp or to renew; zero before Issued and when it is too late
	Sum     storage.Hex `json:"sum"`           // SHA-256 of Digest and Renewed, each behind its length
}

var manifests = storage.Kind[keptManifest]{Name: "evidence.manifest", Schema: 1, Due: func(m keptManifest) time.Time { return m.Due }}

func (m keptManifest) sum() []byte { return hashOf(lp(lp(nil, string(m.Digest)), string(m.Renewed))) }

// parts are the records that hold the manifest as it is, each as much of it as a
// record can. A size that no manifest has, as of a damaged record, gives some of them.
func (m keptManifest) parts(tenant, report string) []storage.Key {
	keys := make([]storage.Key, (min(max(m.Size, 0), maxManifest)+storage.MaxData-1)/storage.MaxData)
	for i := range keys {
		keys[i] = storage.Key{Tenant: tenant, Kind: "evidence.manifest_part", ID: storage.JoinID(report, fmt.Sprintf("%04x", i))}
	}
	return keys
}

// manifest reads a manifest that is kept.
func (l *Log) manifest(ctx context.Context, k storage.Key, m keptManifest) ([]byte, error) {
	recs, err := l.store.Get(ctx, m.parts(k.Tenant, k.ID))
	if err != nil {
		return nil, fmt.Errorf("evidence: read manifest: %w", err)
	}
	var out []byte
	for _, r := range recs {
		out = append(out, r.Data...)
	}
	if !bytes.Equal(hashOf(out), m.Digest) {
		return nil, fmt.Errorf("evidence: stored manifest: %w", storage.ErrCorrupt)
	}
	return out, nil
}

// keepManifest joins the commits of a report: the manifest is kept at Extracted, is due
// for its first timestamp at Issued, and goes at Refused.
func (l *Log) keepManifest(tx *storage.Tx, a Application, s Step) error {
	m, had, err := manifests.Get(tx, a.Tenant, a.ID)
	if err != nil {
		return err
	}
	switch {
	case a.Stage == Extracted && len(s.Manifest) > 0:
		got, err := parseManifest(s.Manifest)
		if err != nil || got.origin != l.origin || got.tenant != a.Tenant || got.env != a.Env {
			return fmt.Errorf("%w: manifest of another bundle", ErrStage)
		}
		m = keptManifest{Env: a.Env, Size: len(s.Manifest), Digest: hashOf(s.Manifest)}
		m.Sum = m.sum()
		rest := s.Manifest
		for _, k := range m.parts(a.Tenant, a.ID) {
			n := min(len(rest), storage.MaxData)
			if err := tx.Create(k, rest[:n], time.Time{}); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return manifests.Create(tx, a.Tenant, a.ID, m)
	case a.Stage == Issued && had:
		m.Due = a.At
		return manifests.Put(tx, a.Tenant, a.ID, m)
	case a.Stage == Refused && had:
		for _, k := range m.parts(a.Tenant, a.ID) {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return manifests.Delete(tx, a.Tenant, a.ID)
	}
	return nil
}

// ManifestRecord is the evidence record (RFC 4998) over the manifest of the bundle
// under an issued report, for VerifyOptions.Manifest. [Log.Anchor] begins it with a
// timestamp soon after the report is issued, and renews it in good time. Fails with
// [ErrNotFound] before that, and where no timestamp authority is among the anchors.
func (l *Log) ManifestRecord(ctx context.Context, tenant, report string) ([]byte, error) {
	if tenant == "" || report == "" || len(report) > MaxID {
		return nil, ErrNotFound
	}
	recs, err := l.store.Get(ctx, []storage.Key{manifests.Key(tenant, report)})
	if err != nil {
		return nil, fmt.Errorf("evidence: read manifest: %w", err)
	}
	if recs[0].Version == 0 {
		return nil, ErrNotFound
	}
	m, err := manifests.Decode(recs[0])
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(m.sum(), m.Sum) {
		return nil, fmt.Errorf("evidence: stored manifest: %w", storage.ErrCorrupt)
	}
	if len(m.Renewed) == 0 {
		return nil, ErrNotFound
	}
	return m.Renewed, nil
}

// renewManifests stamps and renews the manifests that are due, and reads no further
// once it holds limit bytes of them: the rest stays due for the next call.
func (l *Log) renewManifests(ctx context.Context, limit int) error {
	if !stamper(l.anchors).any() {
		return nil
	}
	keys, err := l.store.Due(ctx, manifests.Name, l.now(), renewBatch)
	if err != nil {
		return fmt.Errorf("evidence: manifests due: %w", err)
	}
	var fresh, old []*renewal
	var errs []error
	held := 0
	for _, k := range keys {
		if held >= limit {
			break
		}
		recs, err := l.store.Get(ctx, []storage.Key{k})
		if err != nil {
			return fmt.Errorf("evidence: manifests due: %w", err)
		}
		var body []byte
		m, err := manifests.Decode(recs[0])
		if err == nil && !bytes.Equal(m.sum(), m.Sum) {
			err = fmt.Errorf("evidence: stored manifest: %w", storage.ErrCorrupt)
		}
		if err == nil {
			body, err = l.manifest(ctx, k, m)
		}
		if err != nil { // one must not keep the others from their renewal
			errs = append(errs, err)
			continue
		}
		held += len(body) + len(m.Renewed)
		x := &renewal{what: "manifest of report " + k.ID, body: body, old: m.Renewed,
			keep: func(record []byte, due time.Time) error { return l.keepManifestRecord(ctx, k, record, due) }}
		if len(x.old) == 0 {
			fresh = append(fresh, x)
		} else {
			old = append(old, x)
		}
	}
	if len(fresh) > 0 {
		var bodies [][]byte
		for _, x := range fresh {
			bodies = append(bodies, x.body)
		}
		digest := "SHA-256"
		if t, ok := l.retire[digest]; ok && !l.now().Before(t.Add(-renewAhead)) {
			digest = renewDigest
		}
		records, err := ers.Start(ctx, stamper(l.anchors), digest, bodies)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("evidence: stamp manifests: %w", err))...)
		}
		for i, x := range fresh {
			if err := l.kept(x, records[i]); err != nil {
				return errors.Join(append(errs, err)...)
			}
		}
	}
	stamps, hashes, err := l.renewAll(ctx, old)
	errs = append(errs, err)
	if len(fresh)+stamps+hashes > 0 {
		errs = append(errs, l.say(ctx, TypeRenewed, map[string]any{"manifests": len(fresh) + stamps + hashes, "timestamps": len(fresh) + stamps, "hashes": hashes}))
	}
	return errors.Join(errs...)
}

// keepManifestRecord keeps a record unless a longer one is there; nil changes the
// date only.
func (l *Log) keepManifestRecord(ctx context.Context, k storage.Key, record []byte, due time.Time) error {
	return storage.Update(ctx, l.store, func(tx *storage.Tx) error {
		m, ok, err := manifests.Get(tx, k.Tenant, k.ID)
		if err != nil || !ok || len(m.Renewed) >= len(record) && record != nil {
			return err
		}
		if record != nil {
			m.Renewed = record
		}
		m.Due, m.Sum = due, m.sum()
		return manifests.Put(tx, k.Tenant, k.ID, m)
	})
}

// manifestRecord judges the evidence record that the verifier was given beside the
// bundle: that its manifest was there at a time, and is carried on since. It lifts
// nothing else.
func (v *verifier) manifestRecord() {
	if len(v.o.Manifest) == 0 {
		return
	}
	raw := v.read(CodeManifest, pathManifest, maxManifest)
	o := ers.Options{}
	if v.o.Keys != nil {
		o.Roots = v.o.Keys.TSA
	}
	list, err := ers.Verify(v.o.Manifest, raw, o)
	switch {
	case len(v.o.Manifest) > ers.MaxSize:
		v.fail(CodeRenewal, 0, pathManifest, "too large")
		return
	case errors.Is(err, ers.ErrUntrusted) || err == nil && len(o.Roots) == 0:
		v.r.add(Check{Code: CodeAnchorTrust, Verdict: Indeterminate, Path: pathManifest, Detail: "the root of its evidence record was not given"})
		return
	case err != nil:
		v.fail(CodeRenewal, 0, pathManifest, err.Error())
		return
	}
	last := list[len(list)-1]
	if !v.o.At.IsZero() && !last.Expires.IsZero() && v.o.At.After(last.Expires) {
		v.r.add(Check{Code: CodeRenewal, Verdict: Indeterminate, Path: pathManifest, Detail: "its last certificate has ended"})
		return
	}
	v.r.add(Check{Code: CodeRenewal, Verdict: Passed, Path: pathManifest})
	if last.Chain > 0 {
		v.r.add(Check{Code: CodeRenewedDigests, Verdict: Passed, Path: pathManifest, Detail: "under " + last.Digest + ": the manifest with its digests, not the documents"})
	}
}
