package pades_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
)

// §6: later bytes that leave readers a choice, so that one may show what was
// signed and another something else.
func TestAttackReadings(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	other := expectation{verdict: pades.Failed, integrity: pades.Intact, changes: pades.ChangesOther, reason: pades.ReasonChangedAfterSigning}
	doc := sign(t, disguiseDoc("", "/Contents 4 0 R /Resources << /Font << /F1 "+sansFont+" >> >> ").classic(), s, s.spec())
	page := pageOf(t, doc)
	evil := func(objects map[int]string) map[int]string {
		objects[60] = stream("", evilText)
		return objects
	}
	t.Run("key twice, the last as before", func(t *testing.T) {
		b := strings.Replace(page, "/Contents 4 0 R", "/Contents 60 0 R /Contents 4 0 R", 1)
		check(t, verify(t, revise(t, doc, "", evil(map[int]string{3: b})), s), "Signature1", other)
	})
	t.Run("key twice, spelled in two ways", func(t *testing.T) {
		b := strings.Replace(page, "/Contents 4 0 R", "/Con#74ents 60 0 R /Contents 4 0 R", 1)
		check(t, verify(t, revise(t, doc, "", evil(map[int]string{3: b})), s), "Signature1", other)
	})
	t.Run("key twice, deep inside", func(t *testing.T) {
		b := strings.Replace(page, "/F1 ", "/F1 "+wrongFont+" /F1 ", 1)
		check(t, verify(t, revise(t, doc, "", map[int]string{3: b}), s), "Signature1", other)
	})
	t.Run("key twice in something new", func(t *testing.T) {
		r := verify(t, revise(t, doc, "", map[int]string{60: "<< /Subtype /Text /Subtype /FreeText >>"}), s)
		check(t, r, "Signature1", other)
	})
	t.Run("stream with the wrong length", func(t *testing.T) {
		for _, n := range []int{3, len(shownText) + 9} {
			b := revise(t, doc, "", map[int]string{4: fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", n, shownText)})
			check(t, verify(t, b, s), "Signature1", other)
		}
		right := verify(t, revise(t, doc, "", map[int]string{4: stream("", shownText)}), s)
		assert.Equal(t, pades.Passed, right.Verdict, "%+v", right.Signatures)
	})
	t.Run("trailer with two catalogs", func(t *testing.T) {
		b := revise(t, doc, "/Root 61 0 R /Root 1 0 R", map[int]string{61: "<< /Type /Catalog /Pages 2 0 R >>"})
		check(t, verify(t, b, s), "Signature1", other)
	})
	t.Run("trailer with two /Prev", func(t *testing.T) {
		check(t, verify(t, revise(t, doc, "/Root 1 0 R /Prev 9", map[int]string{60: "<< >>"}), s), "Signature1", other)
	})
	t.Run("/Size that ends before the content", func(t *testing.T) {
		b := revise(t, doc, "", map[int]string{1: catalogOf(t, doc)})
		b = bytes.Replace(b, []byte("/Size 200"), []byte("/Size 4"), 1)
		check(t, verify(t, b, s), "Signature1", other)
	})
	t.Run("white space that pushes startxref away", func(t *testing.T) {
		for n, want := range map[int]pades.Verdict{900: pades.Passed, 2000: pades.Indeterminate, 70_000: pades.Indeterminate} {
			r := verify(t, append(bytes.Clone(doc), bytes.Repeat([]byte(" "), n)...), s)
			assert.Equal(t, want, r.Verdict, "%d: %+v", n, r.Signatures)
		}
	})
	t.Run("linearization that fits the padded file", func(t *testing.T) {
		// A reader that believes in it sees what stood there before the update.
		const padding = 50
		d := disguiseDoc("", "/Contents 4 0 R", "<< /Linearized 1 /L 00000000 /H [0 0] /O 3 /E 9 /N 1 /T 9 >>")
		d.objects[0], d.objects[4] = d.objects[4], d.objects[0] // first of all
		d.trailer = "/Root 5 0 R"
		b := d.classic()
		size := len(sign(t, revise(t, b, "/Root 5 0 R", map[int]string{4: stream("", evilText)}), s, s.spec()))
		for _, n := range []int{size + padding, 1234} {
			b := replaceOnce(t, b, "/L 00000000", fmt.Sprintf("/L %08d", n))
			b = sign(t, revise(t, b, "/Root 5 0 R", map[int]string{4: stream("", evilText)}), s, s.spec())
			require.Len(t, b, size)
			assert.Equal(t, pades.Passed, verify(t, b, s).Verdict)
			b = append(b, bytes.Repeat([]byte(" "), padding)...)
			if n == 1234 {
				assert.Equal(t, pades.Passed, verify(t, b, s).Verdict)
				continue
			}
			check(t, verify(t, b, s), "Signature1", other)
		}
	})
	t.Run("junk before the header", func(t *testing.T) {
		// Offsets count from the header to most readers, from the first byte to
		// some; the update is another one to either.
		junk := strings.Repeat("%", 199) + "\n"
		plain := disguiseDoc("", "/Contents 4 0 R").classic()
		signed := sign(t, append([]byte(junk), plain...), s, s.spec())
		require.Equal(t, pades.Passed, verify(t, signed, s).Verdict)
		all := startxrefPattern.FindAllSubmatch(signed, -1)
		prev := string(all[len(all)-1][1])
		b := fmt.Appendf(bytes.Clone(signed), "4 0 obj\n%s\nendobj\n", stream("", evilText))
		evilAt := len(signed) - len(junk)
		table := func(entry string) string {
			return fmt.Sprintf("xref\n%s\ntrailer\n<< /Size 90 /Root 1 0 R /Prev %s >>\n", entry, prev)
		}
		at := len(b)
		b = append(b, table("60 1\n0000000000 00001 f ")...) // from the first byte
		b = append(b, bytes.Repeat([]byte(" "), at+len(junk)-len(b))...)
		b = append(b, table(fmt.Sprintf("4 1\n%010d 00000 n ", evilAt))...) // from the header
		b = fmt.Appendf(b, "startxref\n%d\n%%%%EOF\n", at)
		check(t, verify(t, b, s), "Signature1", expectation{verdict: pades.Failed, changes: pades.ChangesOther})
	})
}

// §6: later sections by which other readers find another page: they repair the
// file, follow a section that is none, or take the other of two entries.
func TestAttackLedElsewhere(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	d := formDoc()
	d.trailer = strings.Replace(d.trailer, "/Info 10 0 R", "/Info 70 0 R", 1)
	doc := sign(t, d.classic(), s, s.spec())
	all := startxrefPattern.FindAllSubmatch(doc, -1)
	prev, old := string(all[len(all)-1][1]), bytes.Index(doc, []byte("\n5 0 obj"))+1
	evil := fmt.Sprintf("5 0 obj\n%s\nendobj\n", stream("", evilText))
	row := func(off int) string { return string([]byte{1, byte(off >> 16), byte(off >> 8), byte(off), 0}) }
	use := func(num, off int) string { return fmt.Sprintf("%d 1\n%010d 00000 n \n", num, off) }
	none := "61 1\n0000000000 00001 f \n"
	xref := func(num int, keys, index, rows string) string {
		return fmt.Sprintf("%d 0 obj\n%s\nendobj\n", num, stream("/Type /XRef /Size 200 /W [1 3 1] /Index ["+index+"] "+keys, rows))
	}
	table := func(entries, keys string) string {
		return "xref\n" + entries + "trailer\n<< /Size 200 /Root 1 0 R " + keys + " >>\n"
	}
	chained := "/Prev " + prev
	// later appends objects and the section that startxref names.
	later := func(objects, section, start string) []byte {
		b := append(bytes.Clone(doc), objects...)
		at := len(b)
		return fmt.Appendf(append(b, section...), "startxref\n"+start+"\n%%%%EOF\n", at)
	}
	at := len(doc) + len(evil)
	hidden := xref(60, "", "5 1", row(len(doc)))
	pack := stream("/Type /ObjStm /N 2 /First 10", "62 0 5 9  << /X 1>> << /Y 2 >>")
	packed := fmt.Sprintf("61 0 obj\n%s\nendobj\n", pack)
	require.Equal(t, pades.Passed, verify(t, later("", table(none, chained), "%d"), s).Verdict)
	require.Equal(t, pades.Passed, verify(t, later("", xref(61, "/Root 1 0 R "+chained, "61 1", row(len(doc))), "%d"), s).Verdict)
	for name, b := range map[string][]byte{
		"object of no section":            later(evil, table(none, chained), "%d"),
		"object that is none to us":       later("5 99999 obj << >> endobj\n", table(none, chained), "%d"),
		"object in a stream of objects":   later(packed, xref(63, "/Root 1 0 R "+chained, "61 3", row(len(doc))+"\x02\x00\x00\x3d\x00"+row(len(doc)+len(packed))), "%d"),
		"entry of what nobody reads":      later("", table(use(70, 3), chained), "%d"),
		"startxref with a sign":           later("", table(none, chained), "+%d"),
		"startxref and a comment":         later("", table(none, chained), "%%\n%d"),
		"/Prev with a fraction":           later("", table(none, chained+".0"), "%d"),
		"stream that names another":       later(evil+hidden, xref(61, fmt.Sprintf("/Root 1 0 R %s /XRefStm %d", chained, at), "60 2", row(at)+row(at+len(hidden))), "%d"),
		"table of a hybrid with two":      later(evil+xref(60, "", "60 1", row(at)), table(use(5, old)+use(5, len(doc)), fmt.Sprintf("%s /XRefStm %d", chained, at)), "%d"),
		"table and stream of a hybrid":    later(evil+hidden, table(use(5, old)+use(60, at), fmt.Sprintf("%s /XRefStm %d", chained, at)), "%d"),
		"later revision, the object lost": later(evil+table(use(5, len(doc)), chained), table(use(5, old), chained), "%d"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, verify(t, b, s), "Sig1", expectation{verdict: pades.Failed, integrity: pades.Intact, changes: pades.ChangesOther, reason: pades.ReasonChangedAfterSigning})
		})
	}
}

// §6, shadow attacks: an object that no section mentions was signed along, and
// waits for a revision that some reader repairs.
func TestAttackRival(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	plain := string(formDoc().classic())
	head, tail, _ := strings.Cut(plain, "xref\n0 ")
	for text, want := range map[string]pades.Verdict{
		stream("", evilText):        pades.Failed,
		newest(t, []byte(plain), 5): pades.Passed, // the same again
	} {
		planted := fmt.Sprintf("5 0 obj\n%s\nendobj\n", text)
		doc := head + planted + "xref\n0 " + tail
		doc = strings.Replace(doc, fmt.Sprintf("startxref\n%d\n", len(head)), fmt.Sprintf("startxref\n%d\n", len(head)+len(planted)), 1)
		signed := sign(t, []byte(doc), s, s.spec())
		require.Equal(t, pades.Passed, verify(t, signed, s).Verdict)
		got := verify(t, revise(t, signed, "", nil, 61), s).Signatures[0]
		assert.Equal(t, want, got.Verdict, "%+v", got)
	}
}

// V8: asking viewers to draw all values anew changes what they show.
func TestNeedAppearancesLater(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	form := formDoc()
	form.objects[5] = strings.Replace(form.objects[5], "/NeedAppearances true", "", 1)
	for name, c := range map[string]struct {
		spec pades.Spec
		want pades.Verdict
	}{
		"approval": {pades.Spec{}, pades.Passed},
		"P=2":      {pades.Spec{Certify: 2}, pades.Passed},
		"P=1":      {pades.Spec{Certify: 1}, pades.Failed},
		"locked":   {pades.Spec{Lock: &pades.Lock{Action: pades.LockInclude, Fields: []string{"memo"}}}, pades.Failed},
		"unlocked": {pades.Spec{Lock: &pades.Lock{Action: pades.LockExclude, Fields: []string{"memo"}}}, pades.Passed},
	} {
		c.spec.Chain = s.chain
		b := sign(t, form.classic(), s, c.spec)
		acro := "<< /Fields [7 0 R 8 0 R 9 0 R 14 0 R] /SigFlags 3 /DA (/F1 12 Tf 0 g) /DR << /Font << /F1 11 0 R >> >> /NeedAppearances true >>"
		r := verify(t, revise(t, b, "", map[int]string{6: acro}), s)
		got := r.Signatures[0]
		assert.Equal(t, c.want, got.Verdict, "%s: %+v", name, got)
		assert.Equal(t, pades.ChangesForm, got.Changes, "%s: %+v", name, got)
	}
}
