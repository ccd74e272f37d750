package evidence_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
)

// P17: a person gets what is kept of them with the evidence it stands in, which verifies
// and opens what is theirs and nothing of the others.
func TestExportSubject_P17_BundlesBeside(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	w.envelope("表/1")
	w.anchor()
	li := privacy.Subject{Tenant: "acme", ID: "li"}
	ctx := w.vault.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "li"})
	var out bytes.Buffer
	receipt, err := w.log.ExportSubject(ctx, li, &out)
	require.NoError(t, err)
	assert.Equal(t, "li", receipt.Subject)
	z, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		require.NoError(t, err)
		files[f.Name] = must(io.ReadAll(r))
	}
	require.Len(t, files, 4)
	var about struct{ Envelopes []string }
	require.NoError(t, json.Unmarshal(files["subject.json"], &about))
	assert.ElementsMatch(t, []string{"first", "nda-17", "表/1"}, about.Envelopes)
	for _, name := range []string{"bundles/first.esev", "bundles/nda-17.esev", "bundles/x-" + hexOf([]byte("表/1")) + ".esev"} {
		b := files[name]
		require.NotNil(t, b, name)
		r := verify(t, b, &evidence.VerifyOptions{Keys: w.trust(s.trustLines())})
		assert.NotEqual(t, evidence.Failed, r.Verdict, troubles(r))
		assert.Equal(t, evidence.DocsDigests, r.Claim.Docs)
		opened := mustEntry(b, "disclosures.jsonl")
		assert.Contains(t, string(opened), "13800138000")
		for _, theirs := range []string{"王小丽", "13900139000"} {
			for _, x := range spellings(theirs) {
				require.False(t, bytes.Contains(out.Bytes(), x), "nothing of another person")
			}
		}
	}

	t.Run("nobody else's", func(t *testing.T) {
		_, err := w.log.ExportSubject(w.vault.As(t.Context(), privacy.Accessor{Tenant: "other", Account: "li"}), li, io.Discard)
		require.ErrorIs(t, err, privacy.ErrNotFound)
		_, err = w.log.ExportSubject(t.Context(), li, io.Discard)
		require.ErrorIs(t, err, privacy.ErrNoAccessor)
	})
	t.Run("nothing after erasure", func(t *testing.T) {
		must(w.log.EraseSubject(w.ctx, li, evidence.Actor{ID: "dpo"}, "request"))
		_, err := w.log.ExportSubject(ctx, li, io.Discard)
		require.ErrorIs(t, err, privacy.ErrErased)
	})
}
