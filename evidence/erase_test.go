package evidence_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// P17 T32 T49: whoever is erased, in whatever order and between whatever else, every
// proof that remains verifies, and nothing of theirs is reached through records of
// any kind, streams, tiles, later bundles, reports, receipts, exports or log lines, in
// any spelling.
func TestP17EraseAnySubset(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var lines bytes.Buffer
		var w *world
		s := newTSA(t, func() time.Time { return w.clock() })
		store := &census{}
		w = newWorld(t, func(s storage.Store) storage.Store { store.Store = s; return store })
		w.log = must(evidence.New(evidence.Config{LogSigner: w.key, Origin: origin, Store: store, Vault: w.vault, Now: w.clock,
			Anchors: []evidence.Anchor{evidence.TSA{Client: s}}, Logger: slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))}))
		people := rapid.IntRange(1, 6).Draw(rt, "people")
		envs := rapid.IntRange(1, 3).Draw(rt, "envelopes")
		name := func(i int) string { return "张" + string(rune('一'+i*37)) + "珂" }
		phone := func(i int) string { return fmt.Sprintf("139%08d", 71300000+i*977) }
		for e := range envs {
			env := fmt.Sprintf("e%d", e)
			for range rapid.IntRange(1, 6).Draw(rt, "events") {
				i := rapid.IntRange(0, people-1).Draw(rt, "who")
				who := privacy.Subject{Tenant: "acme", ID: fmt.Sprintf("p%d", i)}
				must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: env, Type: "recipient.opened", Actor: evidence.Actor{ID: who.ID},
					Personal: []evidence.Personal{{Subject: who, Value: mustName(t, name(i))}, {Subject: who, Value: mustPhone(t, phone(i))}}}))
			}
			if rapid.Bool().Draw(rt, "anchor") {
				w.anchor()
			}
		}
		w.anchor()
		o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
		before := map[string][]byte{}
		for e := range envs {
			env := fmt.Sprintf("e%d", e)
			before[env] = w.export(env, &evidence.ExportOptions{DigestsOnly: true, Disclose: all})
		}
		erased := map[int]bool{}
		for i := range people {
			if !rapid.Bool().Draw(rt, "erase") {
				continue
			}
			_, err := w.log.EraseSubject(w.ctx, privacy.Subject{Tenant: "acme", ID: fmt.Sprintf("p%d", i)}, evidence.Actor{ID: "dpo"}, "request")
			if err != nil {
				require.ErrorIs(t, err, privacy.ErrNotFound) // in no event
			}
			erased[i] = true
			if rapid.Bool().Draw(rt, "anchor after") {
				w.anchor()
			}
		}
		w.anchor()

		var reach [][]byte // all that can be reached now
		for e := range envs {
			env := fmt.Sprintf("e%d", e)
			b := w.export(env, &evidence.ExportOptions{DigestsOnly: true, Disclose: all})
			r := verify(t, b, o)
			require.Equal(t, evidence.Passed, r.Verdict, "%v", troubles(r))
			require.Equal(t, evidence.Passed, verify(t, before[env], o).Verdict, "what was handed out before stays right")
			audit := must(w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: env}))
			require.Equal(t, evidence.Passed, audit.Verdict, "%v", troubles(audit))
			rec := must(w.log.Receipt(w.ctx, "acme", env))
			reach = append(reach, b, report(t, b, &evidence.ReportOptions{Verify: o}), []byte(rec.Event+rec.Proof), must(json.Marshal(rec)), must(json.Marshal(r)), must(json.Marshal(audit)))
		}
		_, err := w.log.Equivocations(w.ctx)
		require.NoError(t, err)
		require.NoError(t, w.log.Beat(w.ctx))
		w.anchor()
		reach = append(reach, w.bundleOfLog(t))
		for i := range people {
			var out bytes.Buffer
			who := privacy.Subject{Tenant: "acme", ID: fmt.Sprintf("p%d", i)}
			_, err := w.vault.ExportSubject(w.vault.As(w.ctx, privacy.Accessor{Tenant: "acme", Account: who.ID}), who, &out)
			if erased[i] {
				require.Error(t, err, "there is nothing left to hand out")
			}
			reach = append(reach, out.Bytes())
		}
		reach = append(append(append(reach, store.everything(t)...), published(t, w)...), lines.Bytes())
		for i := range people {
			if !erased[i] {
				continue
			}
			for _, value := range []string{name(i), phone(i)} {
				for _, x := range spellings(value) {
					for _, where := range reach {
						require.False(t, bytes.Contains(where, x), "a value of p%d is still there", i)
					}
				}
			}
		}
	})
}

// bundleOfLog is the log's own chain as a bundle.
func (w *world) bundleOfLog(t testing.TB) []byte {
	var b bytes.Buffer
	_, err := w.log.Export(w.ctx, "_", "log", &b, nil)
	require.NoError(t, err)
	return b.Bytes()
}
