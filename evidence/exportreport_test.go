package evidence_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
)

// T52: a bundle carries the report in both languages if asked to. It is a view all the
// same: made again from that bundle it has the same bytes.
func TestExport_T52_ReportsInside(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	with := func(digests bool) []byte {
		return w.export("nda-17", &evidence.ExportOptions{Disclose: all, DigestsOnly: digests, Report: &evidence.ReportOptions{Verify: o, Number: "r1"}})
	}
	for _, digests := range []bool{false, true} {
		b := with(digests)
		r := verify(t, b, o)
		assert.Equal(t, digests, r.Verdict != evidence.Passed, troubles(r))
		assert.NotEqual(t, evidence.Failed, r.Verdict)
		plain := entries(w.export("nda-17", &evidence.ExportOptions{Disclose: all, DigestsOnly: digests}))
		files := entries(b)
		assert.Len(t, files, len(plain)+2)
		for _, lang := range []string{evidence.LangChinese, evidence.LangEnglish} {
			inside := files["report."+lang+".pdf"]
			require.True(t, bytes.HasPrefix(inside, []byte("%PDF-")))
			again := report(t, b, &evidence.ReportOptions{Lang: lang, Verify: o, Number: "r1", Inside: true})
			assert.Equal(t, again, inside, "made again from the bundle it stands in")
			text := textOf(t, inside)
			assert.Contains(t, text, "nda-17")
			assert.NotContains(t, text, hexOf(sumOf(b)), "no file holds its own digest")
		}
		assert.Contains(t, textOf(t, files["report.zh.pdf"]), "电子签署证据报告")
		assert.Equal(t, b, with(digests), "same evidence, same bytes")
		x := bytes.Clone(files["report.en.pdf"])
		x[len(x)/2] ^= 1
		bad := verify(t, repack(b, func(f map[string][]byte) { f["report.en.pdf"] = x }), o)
		assert.True(t, names(bad, "report.en.pdf"), troubles(bad))
	}
	t.Run("options that cannot be set fail", func(t *testing.T) {
		_, err := w.log.Export(w.ctx, "acme", "nda-17", io.Discard, &evidence.ExportOptions{DigestsOnly: true, Report: &evidence.ReportOptions{Number: strings.Repeat("n", 65)}})
		require.ErrorIs(t, err, evidence.ErrDraft)
	})
	t.Run("the bundle that is not written reads as the one that is", func(t *testing.T) {
		files := entries(with(false))
		want := evidence.WriteContainer(files)
		got := evidence.LayOut(files)
		require.NoError(t, iotest.TestReader(io.NewSectionReader(got, 0, int64(len(want))), want))
		b := make([]byte, 10)
		_, err := got.ReadAt(b, int64(len(want)))
		require.ErrorIs(t, err, io.EOF)
		_, err = got.ReadAt(b, -1)
		require.Error(t, err)
		n, err := got.ReadAt(b, int64(len(want))-4)
		assert.Equal(t, 4, n)
		require.ErrorIs(t, err, io.EOF)
	})
}
