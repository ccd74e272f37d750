package evidence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// once makes a step that a caller may repeat: the event joins a record with the
// caller's id, as every mutation of the SDK does.
func (w *world) once(s storage.Store, id string, fn func(tx *storage.Tx) error) error {
	return storage.Update(w.ctx, s, func(tx *storage.Tx) error {
		_, err := storage.Once(tx, storage.Key{Tenant: "acme", Kind: "test.op", ID: id}, id, func() (bool, error) { return true, fn(tx) })
		return err
	})
}

// TestEveryFault runs a life with the n-th write not stored, or stored and
// reported as failed, for every n: a retry of the step ends in the same
// evidence, once.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	for kind, wrap := range map[string]func(storage.Store, int) *storagetest.Faulty{
		"before": storagetest.FailBefore, "after": storagetest.FailAfter} {
		t.Run(kind, func(t *testing.T) {
			for n := 1; ; n++ {
				var faulty *storagetest.Faulty
				var w *world
				s := newTSA(t, nil)
				w = newWorldWithKey(t, newTestKey(7), nil)
				s.Now = w.clock
				w.mem = new(storage.Mem) // without the tenant keys of the helper
				faulty = wrap(w.mem, n)
				w.vault = must(privacy.New(privacy.Config{Root: testRoot, Store: faulty, Now: w.clock}))
				w.log = must(evidence.New(evidence.Config{LogSigner: w.key, Origin: origin, Store: faulty, Vault: w.vault, Now: w.clock,
					Anchors: []evidence.Anchor{evidence.TSA{Client: s}}}))
				w.ctx = w.vault.As(context.Background(), privacy.Accessor{Tenant: "acme", Account: "clerk"})
				li := privacy.Subject{Tenant: "acme", ID: "li"}
				var out bytes.Buffer
				steps := []func() error{
					func() error { return w.vault.Unlock(w.ctx, "acme") },
					func() error {
						return w.once(faulty, "1", func(tx *storage.Tx) error {
							_, err := w.log.AppendTx(w.ctx, tx, evidence.Draft{Tenant: "acme", Env: "e", Type: "envelope.created", Actor: evidence.Actor{ID: "hr"},
								Personal: []evidence.Personal{{Subject: li, Value: mustPhone(t, "13800138000")}}})
							return err
						})
					},
					func() error {
						return w.once(faulty, "2", func(tx *storage.Tx) error {
							_, err := w.log.SealChainTx(w.ctx, tx, evidence.SealDraft{Tenant: "acme", Env: "e", Actor: evidence.Actor{ID: "system"}})
							return err
						})
					},
					func() error { return w.log.Beat(w.ctx) },
					func() error { _, err := w.log.Sequence(w.ctx); return err },
					func() error { _, err := w.log.Anchor(w.ctx); return err },
					func() error {
						out.Reset()
						_, err := w.log.Export(w.ctx, "acme", "e", &out, &evidence.ExportOptions{DigestsOnly: true, Disclose: all})
						return err
					},
					func() error {
						_, err := w.log.EraseSubject(w.ctx, li, evidence.Actor{ID: "dpo"}, "request")
						return err
					},
					func() error { _, err := w.log.Sequence(w.ctx); return err },
				}
				failed := 0
				for i, step := range steps {
					err := step()
					for tries := 0; err != nil && tries < 3; tries++ {
						require.True(t, errors.Is(err, storagetest.ErrInjected) || errors.Is(err, storage.ErrUnknown), "write %d, step %d: %v", n, i, err)
						failed++
						err = step()
					}
					require.NoError(t, err, "write %d, step %d", n, i)
				}
				r := verify(t, out.Bytes(), &evidence.VerifyOptions{Keys: w.trust(s.trustLines())})
				assert.Equal(t, evidence.Passed, r.Verdict, "write %d: %v", n, troubles(r))
				assert.EqualValues(t, 2, r.Claim.Last, "write %d", n)
				var types []string
				for e, err := range w.log.Events(w.ctx, "acme", "e", 0) {
					require.NoError(t, err)
					types = append(types, e.Type)
				}
				assert.Equal(t, []string{"envelope.created", "chain.sealed", "subject.erased"}, types, "write %d", n)
				cp, err := w.log.Checkpoint(w.ctx)
				require.NoError(t, err)
				assert.EqualValues(t, 4, cp.Size, "write %d: a leaf is lost or doubled", n)
				audit, err := w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: "e"})
				require.NoError(t, err)
				assert.Equal(t, evidence.Passed, audit.Verdict, "write %d: %v", n, troubles(audit))
				if !faulty.Fired() {
					assert.Zero(t, failed)
					assert.Greater(t, n, 9)
					return
				}
			}
		})
	}
}

// A state change and its event are one commit: a step that fails leaves neither.
func TestEventJoinsTheCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	boom := errors.New("boom")
	key := storage.Key{Tenant: "acme", Kind: "test.state", ID: "x"}
	try := func(fail bool) error {
		return storage.Update(w.ctx, w.mem, func(tx *storage.Tx) error {
			if err := tx.Put(key, []byte(`{}`), w.clock()); err != nil {
				return err
			}
			_, err := w.log.AppendTx(w.ctx, tx, evidence.Draft{Tenant: "acme", Env: "e", Type: "envelope.created", Actor: evidence.Actor{ID: "hr"},
				Personal: []evidence.Personal{{Subject: privacy.Subject{Tenant: "acme", ID: "li"}, Value: mustPhone(t, "13800138000")}}})
			if fail {
				return boom
			}
			return err
		})
	}
	require.ErrorIs(t, try(true), boom)
	recs, err := w.mem.Get(w.ctx, []storage.Key{key, {Tenant: "acme", Kind: "evidence.chain", ID: "e"}, {Tenant: "acme", Kind: "privacy.subject", ID: "li"}})
	require.NoError(t, err)
	for _, r := range recs {
		assert.Zero(t, r.Version, r.Key.Kind)
	}
	require.NoError(t, try(false))
}

// Racing writers: one chain, dense, no fork.
func TestRacingWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const writers, each = 8, 10
	done := make(chan error, writers)
	for i := range writers {
		go func() {
			var err error
			for j := range each {
				for {
					_, err = w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "e", Type: "session.login", Actor: evidence.Actor{ID: fmt.Sprintf("u%d-%d", i, j)}})
					if !errors.Is(err, storage.ErrContended) {
						break
					}
				}
				if err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range writers {
		assert.NoError(t, <-done)
	}
	seen := map[string]bool{}
	for e, err := range w.log.Events(w.ctx, "acme", "e", 0) {
		require.NoError(t, err)
		assert.False(t, seen[e.Actor.ID])
		seen[e.Actor.ID] = true
	}
	assert.Len(t, seen, writers*each)
}
