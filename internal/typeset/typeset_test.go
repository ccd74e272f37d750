package typeset_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/countersign/countersign/internal/typeset"
)

func TestWrap(t *testing.T) {
	const size = 10.0
	for _, s := range []string{
		"甲方与乙方经友好协商，就下列事项达成一致（以下简称“本协议”）：双方应当遵守。",
		"The parties agree (the \"Agreement\") as follows, in 2026, for CNY 128,000.00 in total.",
		"混合 mixed 文本 with English words 和中文，incomprehensibilities。",
		strings.Repeat("x", 100),
	} {
		lines := typeset.Wrap(s, size, 120)
		for _, l := range lines {
			assert.LessOrEqual(t, typeset.Measure(l, size, false), 120.0+size*3, "closing marks may hang")
			assert.NotContains(t, "，。；：）”", string([]rune(l)[0]))
		}
		flat := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		assert.Equal(t, flat(s), flat(strings.Join(lines, "")), "nothing is lost")
	}
}

func TestFonts(t *testing.T) {
	assert.True(t, typeset.Settable("张三 Li 𠮷𨭎"))
	assert.False(t, typeset.Settable("\U0003106c"))
	d := &typeset.Doc{Title: "标题", Lang: "zh-CN"}
	d.Page(100, 100).Text(0, 0, 10, "a(\\)字𠮷𨭎\U0003106c")
	pdf := string(d.Bytes())
	for _, want := range []string{`(a\(\\\)) Tj`, "<5B57> Tj", "<D842DFB7> Tj", "<D862DF4E> Tj", "<3013> Tj", "UniJIS-UTF16-H", "UniCNS-UTF16-H", "<FEFF68079898>"} {
		assert.Contains(t, pdf, want)
	}
	assert.InDelta(t, 0.944, typeset.Width('W', false), 1e-9)
	assert.InDelta(t, 0.278, typeset.Width('i', true), 1e-9)
	assert.InDelta(t, 20+2.78+5.56, typeset.Measure("字字 a", 10, false), 1e-9)
}

func TestPrintable(t *testing.T) {
	assert.True(t, typeset.Printable("张三·Li — 𠮷"))
	for _, s := range []string{"a\x00", "\n", "\u202e", "\u200b", "\xff", "\ufeff", "\ue000"} {
		assert.False(t, typeset.Printable(s), "%q", s)
	}
}
