package evidence_test

import (
	"archive/zip"
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
)

func TestBundle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.envelope("nda-17")
	b := w.export("nda-17", nil)

	t.Run("T15 without a log the operator is unbound, and nothing else is amiss", func(t *testing.T) {
		r := verify(t, b, &evidence.VerifyOptions{Keys: w.trust()})
		assert.Equal(t, evidence.Indeterminate, r.Verdict)
		assert.Len(t, troubles(r), 1, troubles(r))
		assert.True(t, r.Has(evidence.CodeUnbound, evidence.Indeterminate))
		assert.Zero(t, r.FirstBad)
		assert.Equal(t, evidence.ClaimSealed, r.Claim.Kind)
		assert.EqualValues(t, envelopeEvents, r.Claim.Last)
		assert.EqualValues(t, 7, r.Claim.Seal)
		assert.Len(t, r.Windows, envelopeEvents)
	})
	t.Run("keys found inside lift nothing", func(t *testing.T) {
		r := verify(t, b, nil)
		assert.Equal(t, evidence.Indeterminate, r.Verdict)
		assert.True(t, r.Has(evidence.CodeLogKey, evidence.Indeterminate))
		assert.False(t, r.Has(evidence.CodeManifestNote, evidence.Passed))
	})
	t.Run("any zip program reads it", func(t *testing.T) {
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		require.NoError(t, err)
		var names []string
		for _, f := range z.File {
			names = append(names, f.Name)
		}
		assert.Equal(t, []string{"HOWTO-VERIFY.txt", "disclosures.jsonl", "docs/nda-2.pdf", "environment.json", "events.jsonl", "manifest.json", "manifest.note"}, names)
	})
	t.Run("T55 it states what it does not prove", func(t *testing.T) {
		howto := string(mustEntry(b, "HOWTO-VERIFY.txt"))
		assert.Contains(t, howto, "Not proven: that what people typed is true")
		assert.Contains(t, howto, "不证明当事人填写内容的真实性")
	})
	t.Run("same evidence, same bytes", func(t *testing.T) {
		assert.Equal(t, b, w.export("nda-17", nil))
	})
	t.Run("digests only is said and stays indeterminate", func(t *testing.T) {
		d := w.export("nda-17", &evidence.ExportOptions{DigestsOnly: true})
		r := verify(t, d, &evidence.VerifyOptions{Keys: w.trust()})
		assert.Equal(t, evidence.Indeterminate, r.Verdict)
		assert.True(t, r.Has(evidence.CodeDocumentAbsent, evidence.Indeterminate))
		assert.Equal(t, evidence.DocsDigests, r.Claim.Docs)
	})
}

// What a document was before an event is what the event before left it as.
func TestT12DocumentBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a, b, c := evidence.DigestsOf([]byte("a")), evidence.DigestsOf([]byte("b")), evidence.DigestsOf([]byte("c"))
	for i, d := range []evidence.DocChange{{After: a}, {Before: a, After: b}, {Before: a, After: c}} {
		d.ID, d.Rev = "nda", i
		must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "e", Type: "document.uploaded", Actor: evidence.Actor{ID: "hr"}, Docs: []evidence.DocChange{d}}))
	}
	r := verify(t, w.export("e", &evidence.ExportOptions{DigestsOnly: true}), &evidence.VerifyOptions{Keys: w.trust()})
	assert.Equal(t, evidence.Failed, r.Verdict)
	assert.EqualValues(t, 3, r.FirstBad, troubles(r))
}
