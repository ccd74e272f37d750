package pades_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/countersign/countersign/esign/pades"
)

// V8: what other writers do in later revisions, and what only looks like it.
func TestLaterRevisionsOfOthers(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	d := formDoc()
	d.objects[5] = strings.Replace(d.objects[5], "14 0 R]", "14 0 R 15 0 R]", 1)
	d.objects[2] = strings.Replace(d.objects[2], "9 0 R]", "9 0 R 16 0 R 17 0 R]", 1)
	split := "<< /FT /Tx /T (split) /V (old) /Kids [16 0 R 17 0 R] >>"
	shown := "<< /Type /Annot /Subtype /Widget /Parent 15 0 R /Rect [72 400 300 420] /P 3 0 R /F 4 /DA (/F1 9 Tf) >>"
	d.objects = append(d.objects, split, shown,
		"<< /Type /Annot /Subtype /Widget /Parent 15 0 R /V (own) /Rect [72 370 300 390] /P 3 0 R /F 4 >>")
	d.objects[0] = strings.Replace(d.objects[0], "/X-Unknown", "/DSS 18 0 R /X-Unknown", 1)
	d.objects = append(d.objects, "<< /Type /DSS /Certs [19 0 R] /VRI << /00 << /Cert [19 0 R] >> /01 << /Cert [19 0 R] >> >> >>", stream("", "certificate"))
	d.objects = append(d.objects, "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Empty) /Rect [300 100 400 160] /P 3 0 R /F 4 >>")
	d.objects[5] = strings.Replace(d.objects[5], "15 0 R]", "15 0 R 20 0 R]", 1)
	d.objects[2] = strings.Replace(d.objects[2], "17 0 R]", "17 0 R 20 0 R]", 1)
	twoLooks := "/F 4 /AS /Off /AP << /N << /On 12 0 R /Off 13 0 R >> >>"
	for i, field := range []string{"/FT /Sig /T (Prepared)", "/FT /Tx /T (stated) /V (old)", "/FT /Tx /T (twin) /V (a)", "/FT /Tx /T (twin) /V (b)"} {
		d.objects = append(d.objects, fmt.Sprintf("<< /Type /Annot /Subtype /Widget %s /Rect [400 %d 500 %d] /P 3 0 R %s >>", field, 100*i+10, 100*i+30, twoLooks))
	}
	d.objects[5] = strings.Replace(d.objects[5], "20 0 R]", "20 0 R 21 0 R 22 0 R 23 0 R 24 0 R]", 1)
	d.objects[2] = strings.Replace(d.objects[2], "20 0 R]", "20 0 R 21 0 R 22 0 R 23 0 R 24 0 R << /Type /Annot /Subtype /Text /Rect [9 9 19 19] >> << /Type /Annot /Subtype /Text /Rect [9 9 19 29] >>]", 1)
	otherState := func(num int) map[int]string {
		return map[int]string{num: strings.Replace(d.objects[num-1], "/AS /Off", "/AS /On", 1)}
	}
	spec := s.spec()
	spec.Field = "Sig1"
	doc := sign(t, d.classic(), s, spec)
	spec.Certify = 3
	annotated := sign(t, d.classic(), s, spec)

	otherFont := strings.Replace(shown, "/F1 9", "/F2 9", 1)
	otherLook := strings.Replace(d.objects[6], "/F 4", "/F 4 /AP << /N 60 0 R >>", 1)
	look := stream("/Type /XObject /Subtype /Form /BBox [0 0 228 20]", "BT /F1 12 Tf 2 6 Td (evil) Tj ET")
	widgetsOf := func(refs string) string {
		return strings.Replace(newest(t, annotated, 3), "16 0 R 17 0 R", refs, 1)
	}
	for name, c := range map[string]struct {
		doc     []byte
		objects map[int]string
		want    pades.Changes
		verdict pades.Verdict
	}{
		"value, and the font it takes":                       {doc, map[int]string{15: strings.Replace(split, "old", "new", 1), 16: otherFont}, pades.ChangesForm, pades.Passed},
		"value, and how it looks":                            {doc, map[int]string{7: strings.Replace(otherLook, "old", "new", 1), 60: look}, pades.ChangesForm, pades.Passed},
		"list of the DSS lost":                               {doc, map[int]string{18: "<< /Type /DSS /VRI << /00 << /Cert [19 0 R] >> /01 << /Cert [19 0 R] >> >> >>"}, pades.ChangesLTV, pades.Passed},
		"type of the DSS left out":                           {doc, map[int]string{18: strings.Replace(d.objects[17], "/Type /DSS", "", 1)}, pades.ChangesLTV, pades.Passed},
		"entry of the VRI lost":                              {doc, map[int]string{18: "<< /Type /DSS /Certs [19 0 R] /VRI << /00 << /Cert [19 0 R] >> >> >>"}, pades.ChangesOther, pades.Failed},
		"VRI lost":                                           {doc, map[int]string{18: "<< /Type /DSS /Certs [19 0 R] >>"}, pades.ChangesOther, pades.Failed},
		"writer's note in the page tree":                     {doc, map[int]string{2: strings.Replace(d.objects[1], "/Count", "/ITXT (2.1.7) /Count", 1)}, pades.ChangesNone, pades.Passed},
		"widget removed, P=3":                                {annotated, map[int]string{3: widgetsOf("17 0 R"), 15: strings.Replace(split, "16 0 R ", "", 1)}, pades.ChangesAnnotation, pades.Passed},
		"nameless field removed, P=3":                        {annotated, map[int]string{3: widgetsOf("16 0 R"), 15: strings.Replace(split, " 17 0 R", "", 1)}, pades.ChangesOther, pades.Failed},
		"font alone":                                         {doc, map[int]string{16: otherFont}, pades.ChangesOther, pades.Failed},
		"shadow: another look, same value":                   {doc, map[int]string{7: otherLook, 60: look}, pades.ChangesForm, pades.Indeterminate},
		"shadow: another look, same state":                   {doc, map[int]string{8: strings.Replace(d.objects[7], "/Off 13", "/Off 12", 1)}, pades.ChangesForm, pades.Indeterminate},
		"shadow: a value spelled otherwise":                  {doc, map[int]string{7: strings.Replace(otherLook, "(old)", "<FEFF006F006C0064>", 1), 60: look}, pades.ChangesForm, pades.Indeterminate},
		"shadow: rich text of an old value":                  {doc, map[int]string{7: strings.Replace(d.objects[6], "/F 4", "/F 4 /RV (<p>evil</p>)", 1)}, pades.ChangesForm, pades.Indeterminate},
		"shadow: a state without a value":                    {doc, map[int]string{8: strings.Replace(d.objects[7], "/AS /Off", "/AS /Yes", 1)}, pades.ChangesForm, pades.Indeterminate},
		"shadow: the other look of a text":                   {doc, otherState(22), pades.ChangesForm, pades.Indeterminate},
		"shadow: the other look of a signature that is none": {doc, otherState(21), pades.ChangesForm, pades.Indeterminate},
		"shadow: the second of a name":                       {doc, map[int]string{24: strings.Replace(d.objects[23], "/On 12", "/On 60", 1), 60: look}, pades.ChangesForm, pades.Indeterminate},
		"shadow: a direct annotation moved":                  {doc, map[int]string{3: strings.Replace(strings.Replace(newest(t, doc, 3), " << /Type /Annot /Subtype /Text /Rect [9 9 19 19] >>", "", 1), "[7 0 R", "[<< /Type /Annot /Subtype /Text /Rect [9 9 19 19] >> 7 0 R", 1)}, pades.ChangesAnnotation, pades.Indeterminate},
		"shadow: two direct annotations swapped":             {doc, map[int]string{3: strings.NewReplacer("19 19]", "19 29]", "19 29]", "19 19]").Replace(newest(t, doc, 3))}, pades.ChangesAnnotation, pades.Indeterminate},
		"state, and how it looks":                            {doc, map[int]string{8: strings.Replace(strings.Replace(d.objects[7], "/AS /Off", "/AS /Yes /V /Yes", 1), "/Off 13", "/Off 12", 1)}, pades.ChangesForm, pades.Passed},
		"button's look":                                      {doc, map[int]string{14: strings.Replace(d.objects[13], "/F 4", "/F 4 /AP << /N 60 0 R >>", 1), 60: look}, pades.ChangesForm, pades.Passed},
		"look of a signature that is none":                   {doc, map[int]string{20: strings.Replace(d.objects[19], "/F 4", "/F 4 /AP << /N 60 0 R >>", 1), 60: look}, pades.ChangesForm, pades.Indeterminate},
		"shadow: a widget is none any more":                  {doc, map[int]string{7: strings.Replace(d.objects[6], "/Widget", "/Popup", 1)}, pades.ChangesOther, pades.Failed},
		"shadow: a widget without subtype":                   {doc, map[int]string{7: strings.Replace(d.objects[6], "/Subtype /Widget", "", 1)}, pades.ChangesOther, pades.Failed},
		"type of the DSS is something else":                  {doc, map[int]string{18: strings.Replace(d.objects[17], "/Type /DSS", "/Type /Page", 1)}, pades.ChangesOther, pades.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := verify(t, revise(t, c.doc, "", c.objects), s).Signatures[0]
			assert.Equal(t, c.want, got.Changes, "%+v", got)
			assert.Equal(t, c.verdict, got.Verdict, "%+v", got)
			assert.Equal(t, pades.Intact, got.Integrity)
		})
	}
}
