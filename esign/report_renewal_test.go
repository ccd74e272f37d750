package esign_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/evidence"
)

// TestReport_T52_T13: what an issued report rests on is stamped, for its applicant to
// keep beside the bundle.
func TestReport_T52_T13_Renewal(t *testing.T) {
	t.Parallel()
	w, svc := completed(t, 1)
	ctx := t.Context()
	_, err := svc.ApplyReport(ctx, actor("hr"), esign.ReportRequest{ID: "r1", Envelope: "e1"})
	require.NoError(t, err)
	_, err = svc.ReportRenewal(ctx, actor("hr"), "r1")
	require.ErrorIs(t, err, esign.ErrNotFound, "not stamped yet")
	_, err = svc.Evidence().Anchor(ctx)
	require.NoError(t, err)
	record, err := svc.ReportRenewal(ctx, actor("hr"), "r1")
	require.NoError(t, err)
	_, err = svc.ReportRenewal(ctx, actor("li"), "r1")
	require.ErrorIs(t, err, esign.ErrNotFound, "the applicant's alone")
	var b bytes.Buffer
	require.NoError(t, svc.WriteReportBundle(ctx, actor("hr"), "r1", &b))
	keys := w.judgeBundle(svc, b.Bytes())
	assert.NotEqual(t, evidence.Failed, keys.Verdict)
	got, err := evidence.Verify(bytes.NewReader(b.Bytes()), int64(b.Len()), &evidence.VerifyOptions{Manifest: record})
	require.NoError(t, err)
	assert.True(t, got.Has(evidence.CodeAnchorTrust, evidence.Indeterminate), "by an authority that this verifier does not know")
	got, err = evidence.Verify(bytes.NewReader(b.Bytes()), int64(b.Len()), &evidence.VerifyOptions{Manifest: record[:len(record)-1]})
	require.NoError(t, err)
	assert.True(t, got.Has(evidence.CodeRenewal, evidence.Failed))
}
