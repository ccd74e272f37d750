package evidence_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// Whatever write is lost, or stored and reported as lost: the manifest of an issued report
// is stamped by one of the next passes, and every access log is told by the next heartbeat
// at the latest; nothing is told that is not so.
func TestFaults_P07_T13_ManifestsAndAccessLogs(t *testing.T) {
	t.Parallel()
	for kind, wrap := range map[string]func(storage.Store, int) *storagetest.Faulty{
		"before": storagetest.FailBefore, "after": storagetest.FailAfter} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				w, s := anchoredWorld(t)
				w.envelope("nda-17")
				w.anchor()
				b := w.issued("r1")
				w.advance(time.Hour)
				faulty := wrap(w.mem, n)
				w.vault = must(privacy.New(privacy.Config{Root: testRoot, Store: faulty, Now: w.clock}))
				w.log = must(evidence.New(evidence.Config{LogSigner: w.key, Origin: origin, Store: faulty, Vault: w.vault, Now: w.clock,
					Anchors: []evidence.Anchor{evidence.TSA{Client: s}}}))
				w.ctx = context.Background()
				var failed error
				for _, step := range []func() error{func() error { return w.log.Beat(w.ctx) }, func() error { _, err := w.log.Anchor(w.ctx); return err }} {
					if err := step(); err != nil {
						failed = err
						require.NoError(t, step(), "write %d", n)
					}
				}
				record := must(w.log.ManifestRecord(w.ctx, "acme", "r1"))
				r := verify(t, b, &evidence.VerifyOptions{Keys: w.trust(s.trustLines()), Manifest: record})
				require.True(t, r.Has(evidence.CodeRenewal, evidence.Passed), "write %d: %v", n, troubles(r))
				w.advance(time.Hour)
				if err := w.log.Beat(w.ctx); err != nil {
					w.advance(time.Hour)
					require.NoError(t, w.log.Beat(w.ctx))
				}
				left, err := w.vault.AccessHeads(w.ctx, w.clock(), 100)
				require.NoError(t, err)
				assert.Empty(t, left, "write %d", n)
				audit := must(w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "_", Env: "log"}))
				require.Equal(t, evidence.Passed, audit.Verdict, "write %d: %v", n, troubles(audit))
				if !faulty.Fired() {
					require.NoError(t, failed)
					return
				}
				require.Less(t, n, 500)
			}
		})
	}
}
