package evidence_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/internal/pdf"
	"github.com/countersign/countersign/internal/pdf/pagetext"
	"github.com/countersign/countersign/internal/pdftest"
)

func report(t testing.TB, b []byte, o *evidence.ReportOptions) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, evidence.WriteReport(&out, bytes.NewReader(b), int64(len(b)), o))
	return out.Bytes()
}

// textOf is all text of a PDF, without the places where lines break.
func textOf(t testing.TB, file []byte) string {
	t.Helper()
	doc, err := pdf.Open(bytes.NewReader(file), int64(len(file)), nil)
	require.NoError(t, err)
	r := pagetext.NewReader(doc)
	var b strings.Builder
	for page, err := range doc.Pages() {
		require.NoError(t, err)
		lines, err := r.Page(page)
		require.NoError(t, err)
		for _, l := range lines {
			b.WriteString(strings.ReplaceAll(l.Text, " ", "") + "\n")
		}
	}
	return b.String()
}

func flat(s string) string { return strings.NewReplacer(" ", "", "\n", "").Replace(s) }

// T52 T55: the report states who, what and when, what it proves and what not, in
// both languages, and is the same whenever it is made again.
func TestT52T55ReportPDF(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	b := w.export("nda-17", nil)
	trust := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	for lang, want := range map[string][]string{
		evidence.LangChinese: {"电子签署证据报告", "PASSED", "通过", "当事人", "李*", "王*丽", "138****8000", "事件时间线", "签署", "链封", "2026-03-0109:02:13.456+08:00", "+08:00",
			"Z", "时间区间", "身份与意愿", "W2", "验证记录", "首尾相接", "证明范围", "不证明当事人所填内容真实", "structuredafter", "第93条", "如何自行验证", "r-1"},
		evidence.LangEnglish: {"Evidencereport", "PASSED", "Parties(masked)", "李*", "138****8000", "Timeline", "recipientsigned", "chainsealed", "+08:00",
			"Timewindows", "Identityandintent", "Verificationtranscript", "doesnotattestthatwhatpeopletypedistrue", "structuredafter", "§93", "Howtoverify", "r-1"},
	} {
		t.Run(lang, func(t *testing.T) {
			o := &evidence.ReportOptions{Lang: lang, Verify: trust, Number: "r-1", Kind: evidence.SigningReport, Issuer: "云杉示例科技有限公司"}
			file := report(t, b, o)
			assert.Equal(t, file, report(t, b, o), "made again it is the same")
			text := textOf(t, file)
			for _, x := range want {
				assert.True(t, strings.Contains(text, x) || strings.Contains(flat(text), x), "%s is missing", x)
			}
			all := flat(text)
			for _, digest := range [][]byte{sumOf(b), sumOf(contract)} {
				x := hex.EncodeToString(digest)
				assert.Contains(t, all, x[:30], "digest")
			}
			for e, err := range w.log.Events(w.ctx, "acme", "nda-17", 0) {
				require.NoError(t, err)
				assert.Contains(t, all, hex.EncodeToString(e.Hash())[:30], "hash of event %d", e.Seq)
			}
			for _, x := range []string{"13800138000", "13900139000", "李明", "王小丽", "203.0.113.7"} {
				assert.NotContains(t, all, x, "P02: personal data are masked")
			}
		})
	}
	t.Run("what is not disclosed is not shown", func(t *testing.T) {
		text := flat(textOf(t, report(t, w.export("nda-17", &evidence.ExportOptions{}), &evidence.ReportOptions{Verify: trust})))
		assert.Contains(t, text, "手机:未披露")
		assert.NotContains(t, text, "138****8000")
	})
	t.Run("without trust it stays open, and a changed bundle says where", func(t *testing.T) {
		assert.Contains(t, textOf(t, report(t, b, nil)), "INDETERMINATE")
		x := bytes.Clone(b)
		at := bytes.Index(x, []byte(`"type":"recipient.signed"`))
		x[at+10] ^= 1
		text := textOf(t, report(t, x, &evidence.ReportOptions{Lang: "en", Verify: trust}))
		assert.Contains(t, text, "FAILED")
		assert.Contains(t, flat(text), "Firstbadevent:4")
	})
	t.Run("refused", func(t *testing.T) {
		for _, o := range []*evidence.ReportOptions{{Lang: "fr"}, {Number: strings.Repeat("x", 65)}, {Kind: "poem"}} {
			assert.ErrorIs(t, evidence.WriteReport(new(bytes.Buffer), bytes.NewReader(b), int64(len(b)), o), evidence.ErrDraft)
		}
		assert.ErrorIs(t, evidence.WriteReport(new(bytes.Buffer), strings.NewReader("x"), 1, nil), evidence.ErrUnreadable)
	})
	t.Run("every type, code and field has its words", func(t *testing.T) {
		for _, x := range evidence.Types() {
			assert.NotEqual(t, evidence.TypeName(x.Name, "en"), evidence.TypeName(x.Name, "zh"), x.Name)
		}
	})
}

// Programs that are not ours open the report, find its Chinese text and read its
// code. With REPORT_DIR set the pages stay there to be looked at.
func TestReportInterop(t *testing.T) {
	pdftest.Need(t, "pdftoppm", "pdftotext", "zbarimg", "qpdf")
	w, s := anchoredPair(t)
	b := w.export("nda-17", nil)
	dir := os.Getenv("REPORT_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	for _, lang := range []string{"zh", "en"} {
		path := filepath.Join(dir, "report."+lang+".pdf")
		require.NoError(t, os.WriteFile(path, report(t, b, &evidence.ReportOptions{Lang: lang, Verify: &evidence.VerifyOptions{Keys: w.trust(s.trustLines())},
			Number: "r-1", Kind: evidence.NotaryPackage, Issuer: "云杉示例科技有限公司"}), 0o644))
		out, code := pdftest.Tool(t, "qpdf", "--check", path)
		require.Zero(t, code, out)
		out, code = pdftest.Tool(t, "pdftotext", "-layout", path, "-")
		require.Zero(t, code, out)
		assert.Contains(t, out, "云杉示例科技有限公司")
		assert.Contains(t, out, map[string]string{"zh": "电子签署证据报告", "en": "Evidence report on an electronic signing"}[lang])
		assert.Contains(t, out, "李*")
		out, code = pdftest.Tool(t, "pdftoppm", "-r", "110", "-png", path, strings.TrimSuffix(path, ".pdf"))
		require.Zero(t, code, out)
		first := must(filepath.Glob(strings.TrimSuffix(path, ".pdf") + "-*1.png"))
		require.NotEmpty(t, first)
		out, code = pdftest.Tool(t, "zbarimg", "--nodbus", "-q", "--raw", "-Sdisable", "-Sqrcode.enable", first[0])
		require.Zero(t, code, out)
		cp := must(w.log.Checkpoint(w.ctx))
		root := strings.Split(string(cp.Note), "\n")[2]
		assert.Equal(t, "countersign/report/v1\n"+origin+"\n"+hex.EncodeToString(sumOf(b))+"\n"+strconv.FormatUint(cp.Size, 10)+" "+root, strings.TrimSpace(out))
	}
}
