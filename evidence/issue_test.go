package evidence_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/storage"
)

// A testMeter keeps its balance in the store, so that it follows the commit.
type testMeter struct{}

type balance struct{ Free, Held, Used int }

var balances = storage.Kind[balance]{Name: "test.balance", Schema: 1}

func (testMeter) move(tx *storage.Tx, tenant string, f func(*balance) error) error {
	b, _, err := balances.Get(tx, tenant, "b")
	if err != nil {
		return err
	}
	if err := f(&b); err != nil {
		return err
	}
	return balances.Put(tx, tenant, "b", b)
}

func (m testMeter) Reserve(_ context.Context, tx *storage.Tx, tenant, _, _ string) error {
	return m.move(tx, tenant, func(b *balance) error {
		b.Free--
		b.Held++
		if b.Free < 0 {
			return evidence.ErrUnpaid
		}
		return nil
	})
}

func (m testMeter) Capture(_ context.Context, tx *storage.Tx, tenant, _, _ string) error {
	return m.move(tx, tenant, func(b *balance) error { b.Held--; b.Used++; return nil })
}

func (m testMeter) Release(_ context.Context, tx *storage.Tx, tenant, _, _ string) error {
	return m.move(tx, tenant, func(b *balance) error { b.Held--; b.Free++; return nil })
}

// T52: a report is issued on request, paid, and only along its stages.
func TestT52Report(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.log = must(evidence.New(evidence.Config{LogSigner: w.key, Origin: origin, Store: w.mem, Vault: w.vault, Now: w.clock, Meter: testMeter{}}))
	w.envelope("nda-17")
	clerk := evidence.Actor{ID: "clerk", Role: "examiner"}
	money := func() (b balance) {
		require.NoError(t, storage.View(w.ctx, w.mem, func(tx *storage.Tx) (err error) { b, _, err = balances.Get(tx, "acme", "b"); return err }))
		return b
	}
	fund := func(n int) {
		require.NoError(t, storage.Update(w.ctx, w.mem, func(tx *storage.Tx) error { return balances.Put(tx, "acme", "b", balance{Free: n}) }))
	}
	apply := func(id string) (evidence.Application, error) {
		return w.log.Apply(w.ctx, evidence.Application{Tenant: "acme", ID: id, Env: "nda-17", Kind: evidence.SigningReport, Account: "li"})
	}
	step := func(id string, s evidence.Step) (evidence.Application, error) {
		s.Actor = clerk
		return w.log.Advance(w.ctx, "acme", id, s)
	}
	digest := bytes.Repeat([]byte{5}, 32)

	t.Run("issued and superseded", func(t *testing.T) {
		fund(1)
		a, err := apply("r1")
		require.NoError(t, err)
		again, err := apply("r1")
		require.NoError(t, err)
		assert.Equal(t, a, again)
		for _, s := range []evidence.Step{{To: evidence.Accepted}, {To: evidence.Extracted, Bundle: digest}, {To: evidence.Verified, Bundle: digest},
			{To: evidence.Issued, Bundle: digest}, {To: evidence.Superseded, By: "r2"}} {
			a, err = step("r1", s)
			require.NoError(t, err, s.To)
			assert.Equal(t, s.To, a.Stage)
			again, err := step("r1", s)
			require.NoError(t, err)
			assert.Equal(t, a, again, "repeating a step changes nothing")
		}
		assert.Equal(t, balance{Used: 1}, money())
		var types []string
		for e, err := range w.log.Events(w.ctx, "acme", "nda-17", envelopeEvents) {
			require.NoError(t, err)
			types = append(types, e.Type)
		}
		assert.Equal(t, []string{"report.applied", "report.accepted", "report.extracted", "report.verified", "report.issued", "report.superseded"}, types)
	})
	t.Run("refused and unpaid give every unit back", func(t *testing.T) {
		fund(1)
		must(apply("r3"))
		must(step("r3", evidence.Step{To: evidence.Accepted}))
		assert.Equal(t, balance{Held: 1}, money())
		must(apply("r4"))
		a := must(step("r4", evidence.Step{To: evidence.Accepted}))
		assert.Equal(t, evidence.Refused, a.Stage)
		assert.Equal(t, evidence.NotPaid, a.Why)
		must(step("r3", evidence.Step{To: evidence.Refused, Why: evidence.ResultNotConforming}))
		assert.Equal(t, balance{Free: 1}, money())
		must(apply("large"))
		must(step("large", evidence.Step{To: evidence.Accepted}))
		must(step("large", evidence.Step{To: evidence.Refused, Why: evidence.TooLarge}))
		assert.Equal(t, balance{Free: 1}, money())
	})
	t.Run("every other step is refused", func(t *testing.T) {
		stages := []evidence.Stage{evidence.Accepted, evidence.Extracted, evidence.Verified, evidence.Issued, evidence.Superseded, evidence.Refused, evidence.Applied, "eaten"}
		follows := map[evidence.Stage]evidence.Stage{evidence.Applied: evidence.Accepted, evidence.Accepted: evidence.Extracted, evidence.Extracted: evidence.Verified,
			evidence.Verified: evidence.Issued, evidence.Issued: evidence.Superseded}
		fund(1)
		must(apply("r5"))
		at := evidence.Applied
		for at != "" {
			for _, to := range stages {
				if to == follows[at] || to == at || to == evidence.Refused && at != evidence.Issued && at != evidence.Superseded {
					continue
				}
				_, err := step("r5", evidence.Step{To: to, Bundle: digest, By: "r6", Why: evidence.NotParty})
				assert.ErrorIs(t, err, evidence.ErrStage, "%s to %s", at, to)
			}
			to := follows[at]
			if to == "" {
				break
			}
			must(step("r5", evidence.Step{To: to, Bundle: digest, By: "r6"}))
			at = to
		}
		_, err := step("none", evidence.Step{To: evidence.Accepted})
		assert.ErrorIs(t, err, evidence.ErrNotFound)
		fund(1)
		must(apply("r7"))
		_, err = step("r7", evidence.Step{To: evidence.Refused})
		assert.ErrorIs(t, err, evidence.ErrStage, "no refusal without a reason")
		must(step("r7", evidence.Step{To: evidence.Accepted}))
		_, err = step("r7", evidence.Step{To: evidence.Extracted})
		assert.ErrorIs(t, err, evidence.ErrStage, "no extraction without a digest")
		must(step("r7", evidence.Step{To: evidence.Extracted, Bundle: digest}))
		_, err = step("r7", evidence.Step{To: evidence.Verified, Bundle: bytes.Repeat([]byte{6}, 32)})
		assert.ErrorIs(t, err, evidence.ErrStage, "another bundle")
	})
	t.Run("only for an envelope that has ended", func(t *testing.T) {
		must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "open", Type: "envelope.created", Actor: clerk}))
		_, err := w.log.Apply(w.ctx, evidence.Application{Tenant: "acme", ID: "r8", Env: "open", Kind: evidence.SigningReport, Account: "li"})
		assert.ErrorIs(t, err, evidence.ErrStage)
		_, err = w.log.Apply(w.ctx, evidence.Application{Tenant: "other", ID: "r8", Env: "nda-17", Kind: evidence.SigningReport, Account: "li"})
		assert.ErrorIs(t, err, evidence.ErrNotFound, "T07")
		_, err = w.log.Apply(w.ctx, evidence.Application{Tenant: "acme", ID: "r1", Env: "nda-17", Kind: evidence.NotaryPackage, Account: "li"})
		assert.True(t, errors.Is(err, storage.ErrIntentMismatch))
	})
}
