package pades_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
)

const (
	shownText = "BT /F1 24 Tf 72 720 Td (Hello) Tj ET"
	evilText  = "BT /F1 24 Tf 72 720 Td (Evil!) Tj ET"
	sansFont  = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
	wrongFont = "<< /Type /Font /Subtype /Type1 /BaseFont /Symbol >>   "
)

// disguiseDoc has a page 3 whose content is 4; more keys for catalog and page,
// and more objects from 5 on.
func disguiseDoc(catalog, page string, more ...string) testDoc {
	return testDoc{trailer: "/Root 1 0 R", objects: append([]string{
		"<< /Type /Catalog /Pages 2 0 R " + catalog + " >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] " + page + " >>",
		stream("", shownText),
	}, more...)}
}

// packed writes objects, xref stream included, with object 10 in the object
// stream 6 of the given dictionary and data.
func packed(objects map[int]string, dict, data string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	at := map[int]int{}
	put := func(n int, o string) {
		at[n] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", n, o)
	}
	for n := 1; n <= 5; n++ {
		if o, ok := objects[n]; ok {
			put(n, o)
		}
	}
	put(6, stream(dict, data))
	at[11] = b.Len()
	var rows []byte
	for n := range 12 {
		switch off := at[n]; {
		case n == 10:
			rows = append(rows, 2, 0, 6, 0)
		case off == 0:
			rows = append(rows, 0, 0, 0, 0)
		default:
			rows = append(rows, 1, byte(off>>8), byte(off), 0)
		}
	}
	fmt.Fprintf(&b, "11 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n",
		stream("/Type /XRef /Size 12 /W [1 2 1] /Root 1 0 R", string(rows)), at[11])
	return b.Bytes()
}

// pageOf returns the newest object 3 of a document.
func pageOf(t testing.TB, doc []byte) string {
	t.Helper()
	all := regexp.MustCompile(`(?s)\n3 0 obj\n(.*?)\nendobj`).FindAllSubmatch(doc, -1)
	require.NotEmpty(t, all)
	return string(all[len(all)-1][1])
}

// §6, shadow attacks: what a page shows is also listed as something that may
// change, or becomes so in the revision that changes it.
func TestAttackDisguise(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	own := "/Contents 4 0 R /Resources << /Font << /F1 " + sansFont + " >> >> "
	// Content and fonts behind objects of their own.
	far := disguiseDoc("", "/Contents [4 0 R] /Resources 5 0 R /Annots []", "<< /Font 6 0 R >>", "<< /F1 7 0 R >>", sansFont)
	state := "<< /Subtype /Text /Rect [0 0 1 1] /ca %d >>"
	listAs := func(doc []byte, what string) map[int]string {
		c := catalogOf(t, doc)
		return map[int]string{1: strings.TrimSuffix(c, ">>") + " /StructTreeRoot 70 0 R >>", 70: "<< /K [" + what + "] >>"}
	}
	for name, c := range map[string]struct {
		doc    testDoc
		update func(signed []byte) map[int]string
	}{
		"content listed as annotation": {disguiseDoc("", own+"/Annots [4 0 R]"), func([]byte) map[int]string {
			return map[int]string{4: stream("", evilText)}
		}},
		"content listed as structure": {disguiseDoc("/StructTreeRoot 5 0 R", own, "<< /Type /StructTreeRoot /K [4 0 R 6 0 R] >>", "<< /S /P /K 0 >>"), func([]byte) map[int]string {
			return map[int]string{4: stream("", evilText), 6: "<< /S /P /K 1 >>"}
		}},
		"list of contents listed as structure": {disguiseDoc("/StructTreeRoot 5 0 R", "/Contents 7 0 R", "<< /Type /StructTreeRoot /K [7 0 R 6 0 R] >>", "<< /S /P /K 0 >>", "[4 0 R]"), func([]byte) map[int]string {
			return map[int]string{7: "[71 0 R]", 71: stream("", evilText), 6: "<< /S /P /K 1 >>"}
		}},
		"content below structure": {disguiseDoc("/StructTreeRoot 5 0 R", "/Contents 7 0 R", "<< /Type /StructTreeRoot /K [7 0 R 6 0 R] >>", "<< /S /P /K 0 >>", "[4 0 R]"), func([]byte) map[int]string {
			return map[int]string{4: stream("", evilText), 6: "<< /S /P /K 1 >>"}
		}},
		"graphics state listed as annotation": {disguiseDoc("", "/Contents 4 0 R /Resources << /ExtGState << /P 5 0 R >> >> /Annots [5 0 R]", fmt.Sprintf(state, 0)), func([]byte) map[int]string {
			return map[int]string{5: fmt.Sprintf(state, 1)}
		}},
		"content becomes an annotation": {disguiseDoc("", own+"/Annots []"), func(b []byte) map[int]string {
			return map[int]string{4: stream("", evilText), 3: strings.Replace(pageOf(t, b), "/Annots [", "/Annots [4 0 R ", 1)}
		}},
		"content becomes structure": {far, func(b []byte) map[int]string {
			m := listAs(b, "4 0 R")
			m[4] = stream("", evilText)
			return m
		}},
		"fonts become structure": {far, func(b []byte) map[int]string {
			m := listAs(b, "6 0 R")
			m[7] = wrongFont
			return m
		}},
		"resources become structure": {far, func(b []byte) map[int]string {
			m := listAs(b, "5 0 R")
			m[7] = wrongFont
			return m
		}},
		"resources become an annotation": {far, func(b []byte) map[int]string {
			return map[int]string{7: wrongFont, 3: strings.Replace(pageOf(t, b), "/Annots [", "/Annots [5 0 R ", 1)}
		}},
		"XFA layout": {disguiseDoc("/AcroForm << /Fields [] /XFA [(template) 5 0 R (datasets) 6 0 R] >>", own, stream("", "<t>a</t>"), stream("", "<d/>")), func([]byte) map[int]string {
			return map[int]string{5: stream("", "<t>b</t>")}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for p := range 4 {
				spec := s.spec()
				spec.Certify = p
				b := sign(t, c.doc.classic(), s, spec)
				check(t, verify(t, revise(t, b, "", c.update(b)), s), "Signature1",
					expectation{verdict: pades.Failed, integrity: pades.Intact, changes: pades.ChangesOther, reason: pades.ReasonChangedAfterSigning})
			}
		})
	}
	t.Run("allowed: XFA data", func(t *testing.T) {
		t.Parallel()
		b := sign(t, disguiseDoc("/AcroForm << /Fields [] /XFA [(template) 5 0 R (datasets) 6 0 R] >>", own, stream("", "<t>a</t>"), stream("", "<d/>")).classic(), s, s.spec())
		assert.Equal(t, pades.Passed, verify(t, revise(t, b, "", map[int]string{6: stream("", "<d>1</d>")}), s).Verdict)
	})
}

// §6: objects that change though no cross-reference section mentions them.
func TestAttackUnmentioned(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	other := expectation{verdict: pades.Failed, changes: pades.ChangesOther}
	page := map[int]string{
		1: "<< /Type /Catalog /Pages 2 0 R >>",
		2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		3: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R /Resources << /Font << /F1 10 0 R >> >> >>",
		4: stream("", shownText),
	}
	with := func(five string) map[int]string {
		m := map[int]string{5: five}
		for k, v := range page {
			m[k] = v
		}
		return m
	}
	both := "10 0 " + sansFont + wrongFont
	for name, c := range map[string]struct {
		doc    []byte
		update map[int]string
	}{
		"object stream, /First": {
			packed(with("5"), "/Type /ObjStm /N 1 /First 5 0 R", both),
			map[int]string{5: fmt.Sprint(5 + len(sansFont))},
		},
		"object stream, /Filter": {
			packed(with("/ASCIIHexDecode"), "/Type /ObjStm /N 1 /First 5 /Filter 5 0 R", fmt.Sprintf("%x>", both)),
			map[int]string{5: "null"},
		},
		"object stream without /Type": {
			packed(page, "/N 1 /First 5", "10 0 "+sansFont),
			map[int]string{6: stream("/N 1 /First 5", "10 0 "+wrongFont)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := sign(t, c.doc, s, s.spec())
			check(t, verify(t, revise(t, b, "", c.update), s), "Signature1", other)
		})
	}
	t.Run("stream that the end of the file cut off", func(t *testing.T) {
		t.Parallel()
		const length = 50_000
		d := disguiseDoc("", "/Contents 4 0 R")
		d.objects[3] = fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", length, shownText)
		b := sign(t, d.classic(), s, s.spec())
		start := bytes.Index(b, []byte("stream\n")) + 7
		b = append(b, "50 0 obj\n<< >>\nstream\n"...)
		b = append(b, bytes.Repeat([]byte(" "), start+length-len(evilText)-len(b))...)
		b = append(b, evilText+"\nendstream\nendobj\n"...)
		check(t, verify(t, revise(t, b, "", map[int]string{60: "<< >>"}), s), "Signature1", other)
	})
	t.Run("/Prev leads past what was signed", func(t *testing.T) {
		t.Parallel()
		// Two tables, and no %%EOF before that of the signature.
		b := disguiseDoc("", "/Contents 4 0 R", stream("", evilText)).classic()
		start := bytes.LastIndex(b, []byte("xref\n0 "))
		good := startxrefPattern.FindSubmatch(b)[1]
		table := b[start:bytes.LastIndex(b, []byte("startxref"))]
		lines := strings.SplitAfter(string(table), "\n")
		lines[2+4] = lines[2+5] // 4 is what 5 is
		bad := len(b) - len("%%EOF\n") - len(good) - len("startxref\n\n")
		b = append(b[:bad:bad], strings.Join(lines, "")...)
		b = fmt.Appendf(b, "startxref\n%s\n", good)
		signed := sign(t, b, s, s.spec())
		update := signed[len(b):]
		update = update[bytes.Index(update, []byte("xref\n")):bytes.LastIndex(update, []byte("startxref"))]
		require.Contains(t, string(update), "/Prev "+string(good))
		out := append(bytes.Clone(signed), bytes.Replace(update, []byte("/Prev "+string(good)), fmt.Appendf(nil, "/Prev %d", bad), 1)...)
		out = fmt.Appendf(out, "startxref\n%d\n%%%%EOF\n", len(signed))
		check(t, verify(t, out, s), "Signature1", other)
	})
	t.Run("section put between what was signed", func(t *testing.T) {
		t.Parallel()
		// A section that nothing leads to stands ready in the signed part, its
		// /Prev at the signature's own section.
		b := disguiseDoc("", "/Contents 4 0 R").classic()
		good := startxrefPattern.FindSubmatch(b)[1]
		b = b[:bytes.LastIndex(b, []byte("startxref"))]
		evil := len(b)
		b = fmt.Appendf(b, "4 0 obj\n%s\nendobj\n", stream("", evilText))
		ready := len(b)
		b = fmt.Appendf(b, "xref\n4 1\n%010d 00000 n \ntrailer\n<< /Size 5 /Root 1 0 R /Prev 0000000000 >>\nstartxref\n%s\n%%%%EOF\n", evil, good)
		last := func(b []byte) []byte {
			all := startxrefPattern.FindAllSubmatch(b, -1)
			return all[len(all)-1][1]
		}
		b = replaceOnce(t, b, "/Prev 0000000000", fmt.Sprintf("/Prev %010s", last(sign(t, b, s, s.spec()))))
		signed := sign(t, b, s, s.spec())
		require.Contains(t, string(signed), fmt.Sprintf("/Prev %010s >>", last(signed)))
		out := fmt.Appendf(bytes.Clone(signed), "xref\n60 1\n0000000000 00000 f \ntrailer\n<< /Size 61 /Root 1 0 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n", ready, len(signed))
		check(t, verify(t, out, s), "Signature1", other)
	})
	t.Run("startxref in a word", func(t *testing.T) {
		t.Parallel()
		b := sign(t, disguiseDoc("", "/Contents 4 0 R").classic(), s, s.spec())
		all := startxrefPattern.FindAllSubmatch(b, -1)
		b = fmt.Appendf(b, "xstartxref\n%s\n", all[len(all)-1][1])
		check(t, verify(t, b, s), "Signature1", other)
	})
}

// A second signature stands beside destinations under any name (V8).
func TestSecondSignatureNamedDestinations(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	for name, d := range map[string]testDoc{
		"direct":   disguiseDoc("/Dests << /Chapter1 [3 0 R /Fit] >>", ""),
		"indirect": disguiseDoc("/Dests 5 0 R", "", "<< /Chapter1 [3 0 R /Fit] /Chapter2 << /D [3 0 R /Fit] >> >>"),
	} {
		r := verify(t, sign(t, sign(t, d.classic(), s, s.spec()), s, s.spec()), s)
		assert.Equal(t, pades.Passed, r.Verdict, "%s: %+v", name, r.Signatures)
	}
}

// V4: a signature made over something of another type is none of a document,
// whatever its digest.
func TestAttackContentType(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	spec := s.spec()
	spec.Profile = pades.ProfileBT // room to spare in Contents
	doc := sign(t, disguiseDoc("", "").classic(), s, spec)
	part := extract(t, doc)[0]
	r := part.ByteRange
	sum := sha256.Sum256(slices.Concat(doc[:r[1]], doc[r[2]:]))
	for _, kind := range []der.OID{cms.OIDData, cms.OIDTSTInfo} {
		m, err := cms.New(s.chain, &cms.Options{ContentType: kind})
		require.NoError(t, err)
		attributes, err := m.Attributes(sum[:])
		require.NoError(t, err)
		toSign, err := m.ToSign(attributes)
		require.NoError(t, err)
		value, err := m.Sign(s.key, toSign)
		require.NoError(t, err)
		msg, err := m.Assemble(attributes, value)
		require.NoError(t, err)
		b := bytes.Clone(doc)
		area := b[r[1]+1 : r[2]-1]
		require.LessOrEqual(t, 2*len(msg), len(area))
		copy(area, bytes.Repeat([]byte("0"), len(area)))
		hex.Encode(area, msg)
		report := verify(t, b, s)
		if kind == cms.OIDData {
			assert.Equal(t, pades.Passed, report.Verdict, "%+v", report.Signatures)
			continue
		}
		check(t, report, "Signature1", expectation{verdict: pades.Failed, integrity: pades.Broken, reason: pades.ReasonFormatFailure})
	}
}
