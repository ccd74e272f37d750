package evidence_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
)

// A fakeLedger is a platform whose blocks come when the test says.
type fakeLedger struct {
	entries []evidence.LedgerEntry
	mined   bool
	now     func() time.Time
}

func (f *fakeLedger) Record(_ context.Context, digest []byte) (evidence.LedgerEntry, error) {
	f.entries = append(f.entries, evidence.LedgerEntry{Number: strconv.Itoa(len(f.entries) + 1), Digest: digest})
	return f.Find(context.Background(), strconv.Itoa(len(f.entries)))
}

func (f *fakeLedger) Find(_ context.Context, number string) (evidence.LedgerEntry, error) {
	e := f.entries[must(strconv.Atoi(number))-1]
	if f.mined {
		e.Height, e.Tx, e.Time = 7, "0xabc", f.now()
	}
	return e, nil
}

func TestLedger(t *testing.T) {
	t.Parallel()
	var w *world
	f := &fakeLedger{now: func() time.Time { return w.clock() }}
	a := evidence.Ledger{Label: "chain", Client: f}
	w = newWorld(t, nil, a)
	w.envelope("nda-17")
	w.anchor()
	a.Check = func(e evidence.LedgerEntry) error {
		if e.Tx != "0xabc" {
			return errors.New("no such transaction")
		}
		return nil
	}
	o := &evidence.VerifyOptions{Keys: w.trust(), Anchors: []evidence.Anchor{a}}
	r := verify(t, w.export("nda-17", nil), o)
	assert.Equal(t, evidence.Indeterminate, r.Verdict, "pending proves nothing yet")

	f.mined = true
	ok, err := w.log.Anchor(w.ctx)
	require.NoError(t, err)
	assert.False(t, ok)
	assert.Equal(t, evidence.Indeterminate, verify(t, w.export("nda-17", nil), o).Verdict, "asked again after a minute, not before")
	w.advance(2 * time.Minute)
	_, err = w.log.Anchor(w.ctx)
	require.NoError(t, err)
	b := w.export("nda-17", nil)
	r = verify(t, b, o)
	assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
	assert.Len(t, f.entries, 1, "one checkpoint, one entry")

	a.Check = nil
	r = verify(t, b, &evidence.VerifyOptions{Keys: w.trust(), Anchors: []evidence.Anchor{a}})
	assert.Equal(t, evidence.Indeterminate, r.Verdict, "a receipt by itself is only data")
	r = verify(t, b, &evidence.VerifyOptions{Keys: w.trust()})
	assert.True(t, r.Has(evidence.CodeAnchorTrust, evidence.Indeterminate))
	a.Check = func(evidence.LedgerEntry) error { return errors.New("no such block") }
	r = verify(t, b, &evidence.VerifyOptions{Keys: w.trust(), Anchors: []evidence.Anchor{a}})
	assert.Equal(t, evidence.Failed, r.Verdict)
}
