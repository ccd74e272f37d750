package pades_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
)

var startxrefPattern = regexp.MustCompile(`startxref\s+(\d+)`)

// revise appends a revision with a table: the objects given, and those freed.
func revise(t testing.TB, doc []byte, trailer string, objects map[int]string, freed ...int) []byte {
	t.Helper()
	all := startxrefPattern.FindAllSubmatch(doc, -1)
	require.NotEmpty(t, all)
	prev := string(all[len(all)-1][1])
	out := bytes.NewBuffer(bytes.Clone(doc))
	offsets := map[int]int{}
	for _, num := range slices.Sorted(maps.Keys(objects)) {
		offsets[num] = out.Len()
		fmt.Fprintf(out, "%d 0 obj\n%s\nendobj\n", num, objects[num])
	}
	start := out.Len()
	out.WriteString("xref\n")
	nums := append(slices.Collect(maps.Keys(objects)), freed...)
	slices.Sort(nums)
	for _, num := range nums {
		if off, ok := offsets[num]; ok {
			fmt.Fprintf(out, "%d 1\n%010d 00000 n \n", num, off)
		} else {
			fmt.Fprintf(out, "%d 1\n0000000000 00001 f \n", num)
		}
	}
	if trailer == "" {
		trailer = "/Root 1 0 R"
	}
	size := 200
	for _, m := range regexp.MustCompile(`/Size (\d+)`).FindAllSubmatch(doc, -1) {
		n, err := strconv.Atoi(string(m[1]))
		require.NoError(t, err)
		size = max(size, n)
	}
	fmt.Fprintf(out, "trailer\n<< /Size %d %s /Prev %s >>\nstartxref\n%d\n%%%%EOF\n", size, trailer, prev, start)
	return out.Bytes()
}

// replaceOnce replaces text in a document by text of the same length.
func replaceOnce(t testing.TB, doc []byte, old, new string) []byte {
	t.Helper()
	require.Len(t, new, len(old))
	require.Equal(t, 1, bytes.Count(doc, []byte(old)), "%q", old)
	return bytes.Replace(doc, []byte(old), []byte(new), 1)
}

// sigObject returns number and text of the only signature dictionary.
func sigObject(t testing.TB, doc []byte) (int, string) {
	t.Helper()
	m := regexp.MustCompile(`(?s)(\d+) 0 obj\n(<</Type /Sig .*?>>)\nendobj`).FindSubmatch(doc)
	require.NotNil(t, m)
	n, err := strconv.Atoi(string(m[1]))
	require.NoError(t, err)
	return n, string(m[2])
}

// expectation is what must come out for the attacked signature.
type expectation struct {
	verdict   pades.Verdict
	integrity pades.Integrity
	changes   pades.Changes
	coverage  pades.Coverage
	reason    pades.Code
}

func check(t *testing.T, r *pades.Report, field string, want expectation) {
	t.Helper()
	assert.NotEqual(t, pades.Passed, r.Verdict)
	i := slices.IndexFunc(r.Signatures, func(s pades.SignatureReport) bool { return s.Field == field })
	require.GreaterOrEqual(t, i, 0, "field %s is not listed: %+v", field, r.Signatures)
	got := r.Signatures[i]
	assert.Equal(t, want.verdict, got.Verdict, "%+v", got)
	if want.integrity != "" {
		assert.Equal(t, want.integrity, got.Integrity, "%+v", got)
	}
	if want.changes != "" {
		assert.Equal(t, want.changes, got.Changes, "%+v", got)
	}
	if want.coverage != "" {
		assert.Equal(t, want.coverage, got.Coverage, "%+v", got)
	}
	if want.reason != "" {
		assert.Contains(t, got.Reasons, want.reason, "%+v", got)
	}
}

// §6 USF: a byte range or Contents that says nothing is listed and fails.
func TestAttackUSF(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	doc := sign(t, formDoc().classic(), s, s.spec())
	num, dict := sigObject(t, doc)
	rangeText := regexp.MustCompile(`/ByteRange \[[^\]]*\]`).FindString(dict)
	contents := regexp.MustCompile(`/Contents <[^>]*>`).FindString(dict)
	require.NotEmpty(t, rangeText)
	require.NotEmpty(t, contents)
	with := func(byteRange, content string) []byte {
		d := strings.Replace(dict, rangeText, byteRange, 1)
		d = strings.Replace(d, contents, content, 1)
		return revise(t, doc, "", map[int]string{num: d})
	}
	for name, b := range map[string][]byte{
		"range absent":      with("", contents),
		"range null":        with("/ByteRange null", contents),
		"range negative":    with("/ByteRange [0 -1 0 0]", contents),
		"range huge":        with("/ByteRange [0 99999999999999999999 1 1]", contents),
		"range overflow":    with("/ByteRange [0 10 9223372036854775807 9223372036854775807]", contents),
		"range overlapping": with("/ByteRange [0 1000 500 1000]", contents),
		"range one pair":    with("/ByteRange [0 1000]", contents),
		"range of zeros":    with("/ByteRange [0 0 0 0]", contents),
		"contents absent":   with(rangeText, ""),
		"contents empty":    with(rangeText, "/Contents <>"),
		"contents 00":       with(rangeText, "/Contents <00>"),
		"contents null":     with(rangeText, "/Contents null"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, verify(t, b, s), "Sig1", expectation{verdict: pades.Failed, integrity: pades.Broken})
		})
	}
}

// §6: what later revisions do to what was signed.
func TestAttackLaterRevisions(t *testing.T) {
	t.Parallel()
	s, stranger := newSigner(t, "ecdsa"), newSigner(t, "rsa")
	form := formDoc()
	// An unused image for shadow attacks, and an overlay that hides the text.
	form.objects = append(form.objects,
		stream("/Type /XObject /Subtype /Form /BBox [0 0 300 100]", "1 g 0 0 300 100 re f"), // 15
		"<< /Type /Page /Parent 2 0 R /Contents 5 0 R >>",                                   // 16, not in the tree
	)
	form.objects[2] = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 1000] /Contents 5 0 R /Annots [7 0 R 8 0 R 9 0 R] /Resources << /Font << /F1 11 0 R >> /XObject << /O 15 0 R /Gone 40 0 R >> >> >>"
	// A font that is also an element of the structure and an annotation, under
	// names that elsewhere only name.
	form.objects = append(form.objects,
		"<< /Type /StructTreeRoot /S /Document /K [18 0 R] >>",                   // 17
		"<< /S /P /P 17 0 R /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", // 18
		"<< /P 18 0 R >>", // 19: names a font /P
	)
	form.objects[0] = strings.Replace(form.objects[0], "/X-Unknown", "/StructTreeRoot 17 0 R /X-Unknown", 1)
	form.objects[3] = "<< /Type /Page /Parent 2 0 R /Contents 5 0 R /Annots [14 0 R 18 0 R] /Rotate 90 /Resources << /Font 19 0 R >> >>"
	form.objects[5] = strings.Replace(form.objects[5], "14 0 R]", "14 0 R 41 0 R]", 1) // 41 is missing
	plain := form.classic()
	signWith := func(edit func(*pades.Spec)) []byte {
		spec := s.spec()
		if edit != nil {
			edit(&spec)
		}
		return sign(t, plain, s, spec)
	}
	approval := signWith(nil)
	withNote := sign(t, revise(t, plain, "", map[int]string{
		3:  strings.Replace(form.objects[2], "[7 0 R", "[50 0 R 7 0 R", 1),
		50: "<< /Type /Annot /Subtype /Text /Rect [72 700 90 718] /Contents (note) >>",
	}), s, s.spec())
	p1 := signWith(func(s *pades.Spec) { s.Certify = 1 })
	p2 := signWith(func(s *pades.Spec) { s.Certify = 2 })
	p3 := signWith(func(s *pades.Spec) { s.Certify = 3 })
	locked := signWith(func(s *pades.Spec) { s.Lock = &pades.Lock{Action: pades.LockInclude, Fields: []string{"memo"}} })
	sigNum, sigDict := sigObject(t, approval)

	newContent := stream("", "BT /F1 24 Tf 72 720 Td (You owe ten times) Tj ET")
	memo := "<< /Type /Annot /Subtype /Widget /FT /Tx /T (memo) /V (changed) /Rect [72 600 300 620] /P 3 0 R /F 4 >>"
	pageWith := func(annots string) string {
		return "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 1000] /Contents 5 0 R /Annots [7 0 R 8 0 R 9 0 R " + annots + "] /Resources << /Font << /F1 11 0 R >> /XObject << /O 15 0 R /Gone 40 0 R >> >> >>"
	}
	freeText := map[int]string{3: pageWith("50 0 R"), 50: "<< /Type /Annot /Subtype /FreeText /Rect [72 700 300 740] /Contents (no) /DA (/F1 9 Tf) >>"}
	note := map[int]string{3: pageWith("50 0 R"), 50: "<< /Type /Annot /Subtype /Text /Rect [72 700 90 718] /Contents (note) >>"}
	acro := func(fields string) string {
		return "<< /Fields [7 0 R 8 0 R 9 0 R 14 0 R 41 0 R " + fields + "] /SigFlags 3 /DA (/F1 12 Tf 0 g) /DR << /Font << /F1 11 0 R >> >> /NeedAppearances true >>"
	}
	unsigned := map[int]string{
		3: pageWith("50 0 R"), 6: acro("50 0 R"),
		50: "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Evil) /Rect [72 700 300 740] /P 3 0 R /F 4 >>",
	}
	other := expectation{verdict: pades.Failed, integrity: pades.Intact, changes: pades.ChangesOther, reason: pades.ReasonChangedAfterSigning}

	for name, c := range map[string]struct {
		doc  []byte
		want expectation
	}{
		"ISA content replaced":                   {revise(t, approval, "", map[int]string{5: newContent}), other},
		"ISA P=2":                                {revise(t, p2, "", map[int]string{5: newContent}), other},
		"ISA P=3":                                {revise(t, p3, "", map[int]string{5: newContent}), other},
		"ISA without xref":                       {append(bytes.Clone(approval), "5 0 obj\n"+newContent+"\nendobj\n"...), other},
		"ISA annotation, approval":               {revise(t, approval, "", freeText), expectation{verdict: pades.Indeterminate, integrity: pades.Intact, changes: pades.ChangesAnnotation}},
		"shadow hide: overlay freed":             {revise(t, approval, "", map[int]string{}, 15), other},
		"shadow hide: overlay emptied":           {revise(t, approval, "", map[int]string{15: "<< >>"}), other},
		"shadow replace: font swapped":           {revise(t, approval, "", map[int]string{11: "<< /Type /Font /Subtype /Type1 /BaseFont /Symbol >>"}), other},
		"shadow replace: dangling reference":     {revise(t, approval, "", map[int]string{40: stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9]", "0 0 9 9 re f")}), other},
		"shadow hide: widget freed":              {revise(t, approval, "", map[int]string{}, 7), other},
		"shadow hide: field emptied":             {revise(t, p3, "", map[int]string{8: "<< >>"}), other},
		"shadow hide: annotation freed":          {revise(t, withNote, "", map[int]string{}, 50), expectation{verdict: pades.Indeterminate, changes: pades.ChangesAnnotation}},
		"shadow replace: missing field":          {revise(t, approval, "", map[int]string{41: "<< /FT /Tx /T (late) /V (yes) >>"}), other},
		"shadow replace: font in two roles":      {revise(t, p3, "", map[int]string{18: "<< /S /P /P 17 0 R /Type /Font /Subtype /Type1 /BaseFont /Symbol >>"}), other},
		"shadow hide-and-replace: page tree":     {revise(t, approval, "", map[int]string{2: "<< /Type /Pages /Kids [16 0 R 4 0 R] /Count 2 /MediaBox [0 0 595 842] /Resources << /Font << /F1 11 0 R >> >> >>"}), other},
		"page added":                             {revise(t, approval, "", map[int]string{2: "<< /Type /Pages /Kids [3 0 R 4 0 R 16 0 R] /Count 3 /MediaBox [0 0 595 842] /Resources << /Font << /F1 11 0 R >> >> >>"}), other},
		"page removed":                           {revise(t, approval, "", map[int]string{2: "<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 595 842] /Resources << /Font << /F1 11 0 R >> >> >>"}), other},
		"pages reordered":                        {revise(t, approval, "", map[int]string{2: "<< /Type /Pages /Kids [4 0 R 3 0 R] /Count 2 /MediaBox [0 0 595 842] /Resources << /Font << /F1 11 0 R >> >> >>"}), other},
		"Root swapped":                           {revise(t, approval, "/Root 60 0 R", map[int]string{60: "<< /Type /Catalog /Pages 2 0 R /AcroForm 6 0 R >>"}), other},
		"EAA P=3 FreeText":                       {revise(t, p3, "", freeText), expectation{verdict: pades.Indeterminate, changes: pades.ChangesAnnotation}},
		"EAA P=2":                                {revise(t, p2, "", freeText), expectation{verdict: pades.Failed, reason: pades.ReasonMDPViolation}},
		"EAA P=1":                                {revise(t, p1, "", freeText), expectation{verdict: pades.Failed, reason: pades.ReasonMDPViolation}},
		"EAA P=3 note with a look over the page": {revise(t, p3, "", map[int]string{3: pageWith("50 0 R"), 50: "<< /Type /Annot /Subtype /Text /Rect [0 0 595 842] /AP << /N 12 0 R >> >>"}), expectation{verdict: pades.Indeterminate, changes: pades.ChangesAnnotation}},
		"EAA P=3 filled square":                  {revise(t, p3, "", map[int]string{3: pageWith("50 0 R"), 50: "<< /Type /Annot /Subtype /Square /Rect [0 0 595 842] /IC [1 1 1] >>"}), expectation{verdict: pades.Indeterminate, changes: pades.ChangesAnnotation}},
		"EAA P=3 thick line":                     {revise(t, p3, "", map[int]string{3: pageWith("50 0 R"), 50: "<< /Type /Annot /Subtype /Line /L [0 400 595 400] /Rect [0 0 595 842] /BS << /W 500 >> >>"}), expectation{verdict: pades.Indeterminate, changes: pades.ChangesAnnotation}},
		"EAA P=3 thick ink":                      {revise(t, p3, "", map[int]string{3: pageWith("50 0 R"), 50: "<< /Type /Annot /Subtype /Ink /InkList [[0 400 595 400]] /Rect [0 0 595 842] /Border [0 0 99] >>"}), expectation{verdict: pades.Indeterminate, changes: pades.ChangesAnnotation}},
		"EAA P=3 film":                           {revise(t, p3, "", map[int]string{3: pageWith("50 0 R"), 50: "<< /Type /Annot /Subtype /Screen /Rect [0 0 595 842] /MK << >> >>"}), expectation{verdict: pades.Indeterminate, changes: pades.ChangesAnnotation}},
		"EAA P=3 note that acts":                 {revise(t, p3, "", map[int]string{3: pageWith("50 0 R"), 50: "<< /Type /Annot /Subtype /Text /Rect [0 0 9 9] /AA << /PO << /S /JavaScript /JS (x) >> >> >>"}), expectation{verdict: pades.Indeterminate, changes: pades.ChangesAnnotation}},
		"SSA hidden field that acts":             {revise(t, p2, "", map[int]string{6: acro("50 0 R"), 50: "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Evil) /Rect [0 0 0 0] /P 3 0 R /AA << /PO << /S /JavaScript /JS (x) >> >> >>"}), other},
		"SSA field off another page":             {revise(t, p2, "", map[int]string{3: pageWith("50 0 R"), 6: acro("50 0 R"), 50: "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Evil) /Rect [72 900 300 940] /P 4 0 R /F 4 >>"}), other},
		"note P=2":                               {revise(t, p2, "", note), expectation{verdict: pades.Failed, reason: pades.ReasonMDPViolation}},
		"SSA P=2 unsigned visible field":         {revise(t, p2, "", unsigned), other},
		"form P=1":                               {revise(t, p1, "", map[int]string{7: memo}), expectation{verdict: pades.Failed, changes: pades.ChangesForm, reason: pades.ReasonMDPViolation}},
		"locked field":                           {revise(t, locked, "", map[int]string{7: memo}), expectation{verdict: pades.Failed, changes: pades.ChangesForm, reason: pades.ReasonMDPViolation}},
		"Reason rewritten":                       {revise(t, approval, "", map[int]string{sigNum: strings.Replace(sigDict, "/M ", "/Reason (paid) /M ", 1)}), expectation{verdict: pades.Failed}},
		"DSS update that changes a page":         {revise(t, approval, "", map[int]string{1: "<< /Type /Catalog /Pages 2 0 R /AcroForm 6 0 R /StructTreeRoot 17 0 R /X-Unknown (kept) /DSS << /Certs [61 0 R] >> >>", 61: stream("", "x"), 5: newContent}), other},
		"catalog gets an action":                 {revise(t, approval, "", map[int]string{1: "<< /Type /Catalog /Pages 2 0 R /AcroForm 6 0 R /StructTreeRoot 17 0 R /X-Unknown (kept) /OpenAction << /S /JavaScript /JS (x) >> >>"}), other},
		"two fields on one dictionary":           {revise(t, approval, "", map[int]string{6: acro("50 0 R"), 50: fmt.Sprintf("<< /FT /Sig /T (Two) /V %d 0 R /Type /Annot /Subtype /Widget /Rect [0 0 0 0] >>", sigNum)}), expectation{verdict: pades.Failed, reason: pades.ReasonDuplicateField}},
		"duplicate names":                        {revise(t, approval, "", map[int]string{6: acro("50 0 R"), 50: "<< /FT /Sig /T (Sig1) /Type /Annot /Subtype /Widget /Rect [0 0 0 0] >>"}), expectation{verdict: pades.Failed, reason: pades.ReasonDuplicateField}},
		"signature removed: V":                   {revise(t, approval, "", map[int]string{9: "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Sig1) /Rect [72 100 272 160] /P 3 0 R /F 4 >>"}), expectation{verdict: pades.Failed, reason: pades.ReasonSignatureRemoved}},
		"signature removed: field":               {revise(t, approval, "", map[int]string{6: strings.Replace(acro(""), "9 0 R ", "", 1)}), expectation{verdict: pades.Failed}},
		"text after EOF":                         {append(bytes.Clone(approval), "P.S. I love you\n"...), expectation{verdict: pades.Indeterminate, integrity: pades.Intact, reason: pades.ReasonTrailingData}},
		"signature of a stranger where locked":   {sign(t, locked, stranger, pades.Spec{Chain: stranger.chain, Edit: pades.Edit{Values: []pades.Value{{Field: "agree", Value: "Yes"}}}}), expectation{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := verify(t, c.doc, s)
			if c.want == (expectation{}) { // the first stands, the stranger is not trusted
				assert.Equal(t, pades.Indeterminate, r.Verdict)
				assert.Equal(t, pades.Passed, r.Signatures[0].Verdict)
				assert.Equal(t, pades.Untrusted, r.Signatures[1].Trust)
				return
			}
			check(t, r, "Sig1", c.want)
		})
	}
	t.Run("allowed", func(t *testing.T) {
		for name, b := range map[string][]byte{
			"form P=2":                        revise(t, p2, "", map[int]string{7: memo}),
			"form P=3":                        revise(t, p3, "", map[int]string{7: memo}),
			"form, approval":                  revise(t, approval, "", map[int]string{7: memo}),
			"note P=3":                        revise(t, p3, "", note),
			"line P=3":                        revise(t, p3, "", map[int]string{3: pageWith("50 0 R"), 50: "<< /Type /Annot /Subtype /Line /L [0 400 595 400] /Rect [0 399 595 401] /BS << /W 2 >> >>"}),
			"unlocked field":                  revise(t, locked, "", map[int]string{8: strings.Replace(formDoc().objects[7], "/AS /Off", "/AS /Yes /V /Yes", 1)}),
			"DSS P=1":                         revise(t, p1, "", map[int]string{1: strings.Replace(catalogOf(t, p1), "<<", "<< /DSS << /Certs [61 0 R] >> ", 1), 61: stream("", "x")}),
			"nothing but spelling":            revise(t, p1, "", map[int]string{7: "<</Rect[72.0 600 300 620.00]/T(memo)/V<6f6c64>/FT/Tx/Subtype/Widget/Type/Annot/F 4/P 3 0 R>>"}),
			"direct turned indirect (V8)":     revise(t, p1, "", map[int]string{3: strings.Replace(form.objects[2], "[7 0 R 8 0 R 9 0 R]", "70 0 R", 1), 70: "[7 0 R 8 0 R 9 0 R]"}),
			"white space and NUL after EOF":   append(bytes.Clone(approval), " \n\x00\x00\r\n"...),
			"Info and XMP":                    revise(t, p1, "/Root 1 0 R /Info 71 0 R", map[int]string{71: "<< /Producer (other) >>"}),
			"unreferenced objects do nothing": revise(t, p1, "", map[int]string{72: newContent}),
		} {
			r := verify(t, b, s)
			assert.Equal(t, pades.Passed, r.Verdict, "%s: %+v", name, r.Signatures)
		}
	})
}

func catalogOf(t testing.TB, doc []byte) string {
	t.Helper()
	all := regexp.MustCompile(`(?s)\n1 0 obj\n(<<.*?>>)\nendobj`).FindAllSubmatch(doc, -1)
	require.NotEmpty(t, all)
	return string(all[len(all)-1][1])
}

// §6: bytes and CMS.
func TestAttackBytes(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	spec := s.spec()
	spec.Profile = pades.ProfileBT // room to spare in Contents
	doc := sign(t, formDoc().classic(), s, spec)
	part := extract(t, doc)[0]
	gap := func(msg []byte) []byte {
		out := bytes.Clone(doc)
		area := out[part.ByteRange[1]+1 : part.ByteRange[2]-1]
		for i := range area {
			area[i] = '0'
		}
		require.LessOrEqual(t, 2*len(msg), len(area))
		hex.Encode(area, msg)
		return out
	}
	stranger := sign(t, plainDoc().classic(), s, s.spec())
	tampered := replaceOnce(t, doc, "Loan contract", "Gift contract")
	after := append(bytes.Clone(part.CMS), 0xff)
	_, value := signedParts(t, part.CMS)
	badSig := bytes.Clone(part.CMS)
	badSig[bytes.Index(badSig, value)+len(value)-1] ^= 1
	for name, c := range map[string]struct {
		doc  []byte
		want expectation
	}{
		"bytes tampered":          {tampered, expectation{verdict: pades.Failed, integrity: pades.Broken, reason: pades.ReasonHashFailure}},
		"CMS of another file":     {gap(extract(t, stranger)[0].CMS), expectation{verdict: pades.Failed, integrity: pades.Broken, reason: pades.ReasonHashFailure}},
		"bytes after the DER end": {gap(after), expectation{verdict: pades.Failed, integrity: pades.Broken, reason: pades.ReasonFormatFailure}},
		"signature value changed": {gap(badSig), expectation{verdict: pades.Failed, integrity: pades.Broken, reason: pades.ReasonSigCryptoFailure}},
		"CMS cut off":             {gap(part.CMS[:len(part.CMS)/2]), expectation{verdict: pades.Failed, integrity: pades.Broken, reason: pades.ReasonFormatFailure}},
		"no CMS":                  {gap(nil), expectation{verdict: pades.Failed, integrity: pades.Broken, reason: pades.ReasonFormatFailure}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, verify(t, c.doc, s), "Sig1", c.want)
		})
	}
	t.Run("every byte of the signature dictionary counts", func(t *testing.T) {
		t.Parallel()
		start := bytes.Index(doc, []byte("/Type /Sig"))
		for _, at := range []int{start + 1, start + 20, int(part.ByteRange[2]) + 5, len(doc) - 10} {
			b := bytes.Clone(doc)
			b[at] ^= 0x01
			r, err := pades.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), &pades.VerifyOptions{Roots: s.ca.Roots()})
			if err == nil {
				assert.NotEqual(t, pades.Passed, r.Verdict, "byte %d", at)
			}
		}
	})
}

// §6 SWA: the gap is widened and the signed tail moved behind something else.
func TestAttackWrapping(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	doc := sign(t, formDoc().classic(), s, s.spec())
	part := extract(t, doc)[0]
	r := part.ByteRange
	old := regexp.MustCompile(`/ByteRange \[[^\]]*\]`).Find(doc)
	// The tail keeps its own startxref; there the attacker puts his table.
	all := startxrefPattern.FindAllSubmatch(doc, -1)
	table, err := strconv.Atoi(string(all[1][1]))
	require.NoError(t, err)
	b := bytes.Clone(doc[:r[2]])
	b = append(b, " >>\nendobj\n"...)
	offset := len(b)
	b = append(b, "5 0 obj\n"+stream("", "BT /F1 24 Tf 72 720 Td (You owe) Tj ET")+"\nendobj\n"...)
	require.Less(t, len(b), table)
	b = append(b, bytes.Repeat([]byte(" "), table-len(b))...)
	b = append(b, "xref\n"...)
	b = fmt.Appendf(b, "5 1\n%010d 00000 n \n", offset)
	num, _ := sigObject(t, doc)
	for _, n := range []int{6, 9, num} {
		at := bytes.LastIndex(doc, fmt.Appendf(nil, "\n%d 0 obj", n)) + 1
		b = fmt.Appendf(b, "%d 1\n%010d 00000 n \n", n, at)
	}
	b = fmt.Appendf(b, "trailer\n<< /Size 200 /Root 1 0 R /Prev %s >>\n", all[0][1])
	text := fmt.Sprintf("/ByteRange [0 %d %d %d", r[1], len(b), r[3])
	text += strings.Repeat(" ", len(old)-len(text)-1) + "]"
	b = bytes.Replace(append(b, doc[r[2]:]...), old, []byte(text), 1)
	report := verify(t, b, s)
	require.NotEmpty(t, report.Signatures)
	check(t, report, "Sig1", expectation{verdict: pades.Failed, integrity: pades.Broken})
}

// §6: no answer takes forever.
func TestAttackPrevLoop(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	doc := sign(t, formDoc().classic(), s, s.spec())
	out := revise(t, doc, "", map[int]string{7: "<< /V (x) >>"})
	all := startxrefPattern.FindAllSubmatchIndex(out, -1)
	last := string(out[all[len(all)-1][2]:all[len(all)-1][3]])
	prev := regexp.MustCompile(`/Prev (\d+) >>\nstartxref\n` + last).FindSubmatchIndex(out)
	require.NotNil(t, prev)
	loop := bytes.Clone(out)
	field := loop[prev[2]:prev[3]]
	text := fmt.Sprintf("%0*s", len(field), last)
	require.Len(t, text, len(field))
	copy(field, text)
	r, err := pades.Verify(t.Context(), bytes.NewReader(loop), int64(len(loop)), nil)
	if err != nil {
		require.NotEmpty(t, pades.CodeOf(err))
		return
	}
	assert.NotEqual(t, pades.Passed, r.Verdict)
}

// R7, §6: data that leads nowhere, or a signature said to end within an object,
// leaves no signature unjudged.
func TestAttackUnreadable(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	doc := sign(t, formDoc().classic(), s, s.spec())
	num, dict := sigObject(t, doc)
	evil := revise(t, doc, "", map[int]string{5: stream("", evilText)})
	astray := func(b []byte, entry string) []byte {
		all := startxrefPattern.FindAllSubmatch(b, -1)
		return fmt.Appendf(bytes.Clone(b), "xref\n%s \ntrailer\n<< /Size 200 /Root 1 0 R /Prev %s >>\nstartxref\n%d\n%%%%EOF\n", entry, all[len(all)-1][1], len(b))
	}
	within := bytes.LastIndex(doc, []byte("\n9 0 obj")) + 20
	ends := revise(t, doc, "", map[int]string{num: regexp.MustCompile(`/ByteRange \[[^\]]*\]`).ReplaceAllString(dict, fmt.Sprintf("/ByteRange [0 900 %d 20]", within-20))})
	formless := astray(doc, "6 1\n0000000003 00000 n")
	restored := newest(t, doc, 6)
	// A signature that a later revision brings is said to cover one without a form.
	never := astray(formDoc().classic(), "6 1\n0000000003 00000 n")
	claimed := regexp.MustCompile(`/ByteRange \[[^\]]*\]`).ReplaceAllString(dict, fmt.Sprintf("/ByteRange [0 900 1000 %d]", len(never)-1000))
	for name, b := range map[string][]byte{
		"entry of the form":  astray(evil, "6 1\n0000000003 00000 n"),
		"entry of the field": astray(evil, "9 1\n0000000003 00000 n"),
		"end in an object":   append(ends, "startxref\n7\n%%EOF\n"...),
		"form, restored":     revise(t, formless, "", map[int]string{6: restored}),
		"form, brought":      revise(t, never, "", map[int]string{6: restored, 9: newest(t, doc, 9), num: claimed}),
		"DSS":                revise(t, doc, "", map[int]string{1: strings.TrimSuffix(catalogOf(t, doc), ">>") + "/DSS 60 0 R >>", 60: "<< ["}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, verify(t, b, s), "Sig1", expectation{verdict: pades.Failed, changes: pades.ChangesOther, reason: pades.ReasonChangedAfterSigning})
		})
	}
	t.Run("signature dictionary", func(t *testing.T) {
		t.Parallel()
		b := revise(t, doc, "", map[int]string{num: "<< /Type /Sig /Contents <00"})
		check(t, verify(t, b, s), "Sig1", expectation{verdict: pades.Failed, integrity: pades.Broken, reason: pades.ReasonFormatFailure})
		spec := s.spec()
		spec.Field, spec.Open = "Second", &pades.OpenOptions{InsecureSignRepaired: true}
		_, err := pades.Sign(t.Context(), bytes.NewReader(b), int64(len(b)), nil, spec, s.key, nil)
		assert.Equal(t, pades.ErrMalformed, pades.CodeOf(err))
	})
	t.Run("nothing else changed", func(t *testing.T) {
		t.Parallel()
		check(t, verify(t, astray(doc, "9 1\n0000000003 00000 n"), s), "Sig1", expectation{verdict: pades.Indeterminate, integrity: pades.Intact, reason: pades.ErrRepaired})
	})
}

// §6: a section with two entries for one object, of which readers take the one
// or the other.
func TestAttackTwoEntries(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	doc := sign(t, formDoc().classic(), s, s.spec())
	all := startxrefPattern.FindAllSubmatch(doc, -1)
	prev, old, evil := all[len(all)-1][1], bytes.Index(doc, []byte("\n5 0 obj"))+1, len(doc)
	base := fmt.Appendf(bytes.Clone(doc), "5 0 obj\n%s\nendobj\n", stream("", evilText))
	row := func(off int) string { return string([]byte{1, byte(off >> 16), byte(off >> 8), byte(off), 0}) }
	for name, section := range map[string]string{
		"table":  fmt.Sprintf("xref\n5 1\n%010d 00000 n \n5 1\n%010d 00000 n \ntrailer\n<< /Size 200 /Root 1 0 R /Prev %s >>\n", old, evil, prev),
		"stream": fmt.Sprintf("61 0 obj\n%s\nendobj\n", stream(fmt.Sprintf("/Type /XRef /Size 200 /W [1 3 1] /Index [5 1 5 1] /Root 1 0 R /Prev %s", prev), row(old)+row(evil))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := fmt.Appendf(bytes.Clone(base), "%sstartxref\n%d\n%%%%EOF\n", section, len(base))
			check(t, verify(t, b, s), "Sig1", expectation{verdict: pades.Failed, changes: pades.ChangesOther, reason: pades.ReasonChangedAfterSigning})
		})
	}
}

// §6, shadow attacks: what is drawn over what follows from the order of /Annots.
func TestAttackOrderOfAnnotations(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	for p, want := range []expectation{
		{verdict: pades.Indeterminate, reason: pades.ReasonChangedAfterSigning},
		{verdict: pades.Failed, reason: pades.ReasonMDPViolation},
		{verdict: pades.Failed, reason: pades.ReasonMDPViolation},
		{verdict: pades.Indeterminate, reason: pades.ReasonChangedAfterSigning},
	} {
		spec := s.spec()
		spec.Certify = p
		doc := sign(t, formDoc().classic(), s, spec)
		want.integrity, want.changes = pades.Intact, pades.ChangesAnnotation
		b := revise(t, doc, "", map[int]string{3: strings.Replace(newest(t, doc, 3), "7 0 R 8 0 R", "8 0 R 7 0 R", 1)})
		check(t, verify(t, b, s), "Sig1", want)
	}
}
