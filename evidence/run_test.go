package evidence_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
)

// Run keeps tree, anchors and heartbeat by itself, whatever an anchor does, and
// ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(26 * 365 * 24 * time.Hour) // into the life of the authority's certificate
		w, s := anchoredWorld(t)
		w.live = true
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.log.Run(ctx) }()

		w.envelope("nda-17")
		time.Sleep(time.Second)
		r := verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: w.trust(s.trustLines())})
		assert.Equal(t, []string{"OPERATOR_UNBOUND INDETERMINATE 8 : not covered by a trusted anchor from this event on"}, troubles(r),
			"anchored at once up to the chain seal")
		time.Sleep(time.Minute)
		r = verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: w.trust(s.trustLines())})
		assert.Equal(t, evidence.Passed, r.Verdict, "and within a minute what came behind it: %v", troubles(r))

		s.down.Store(true)
		for range 20 {
			_, err := w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "busy", Type: "session.login", Actor: evidence.Actor{ID: "u"}})
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		s.down.Store(false)
		time.Sleep(100 * time.Minute)
		types := map[string]int{}
		for e, err := range w.log.Events(w.ctx, "_", "log", 0) {
			require.NoError(t, err)
			types[e.Type]++
		}
		assert.Equal(t, 1, types[evidence.TypeAlarm], "anchoring failed for more than 15 minutes")
		assert.GreaterOrEqual(t, types[evidence.TypeBeat], 2)
		r = verify(t, w.export("busy", &evidence.ExportOptions{DigestsOnly: true}), &evidence.VerifyOptions{Keys: w.trust(s.trustLines())})
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))

		cancel()
		assert.ErrorIs(t, <-done, context.Canceled)
	})
}
