package pades_test

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.mozilla.org/pkcs7"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/esign/seal"
)

// shapes are the documents every signing test runs on.
func shapes() map[string][]byte {
	return map[string][]byte{
		"table, form":   formDoc().classic(),
		"stream, form":  formDoc().streams(),
		"table, plain":  plainDoc().classic(),
		"stream, plain": plainDoc().streams(),
	}
}

// R1, W2, W6, C1: both cross-reference kinds, with and without a form.
func TestSignBB(t *testing.T) {
	t.Parallel()
	for name, doc := range shapes() {
		for _, alg := range []string{"ecdsa", "rsa"} {
			t.Run(name+"/"+alg, func(t *testing.T) {
				t.Parallel()
				s := newSigner(t, alg)
				out := sign(t, doc, s, s.spec())
				require.True(t, bytes.HasPrefix(out, doc), "W1: old bytes stay")
				r := verify(t, out, s)
				require.Len(t, r.Signatures, 1)
				assert.Equal(t, pades.Passed, r.Verdict, "%v", r.Signatures)
				got := r.Signatures[0]
				assert.Equal(t, pades.Intact, got.Integrity)
				assert.Equal(t, pades.WholeDocument, got.Coverage)
				assert.Equal(t, pades.ChangesNone, got.Changes)
				assert.Equal(t, pades.Trusted, got.Trust)
				assert.Equal(t, pades.ProfileBB, got.Profile)
				assert.Equal(t, "ETSI.CAdES.detached", got.SubFilter)
				want := "Signature1"
				if strings.Contains(name, "form") {
					want = "Sig1" // W7: the only empty field is filled, not doubled
				}
				assert.Equal(t, want, got.Field)
			})
		}
	}
}

// The validators of §9 accept what is signed.
func TestSignBBValidators(t *testing.T) {
	t.Parallel()
	var files []string
	for name, doc := range shapes() {
		for _, alg := range []string{"ecdsa", "rsa"} {
			s := newSigner(t, alg)
			out := sign(t, doc, s, s.spec())
			path := save(t, "signed.pdf", out)
			files = append(files, path)
			t.Run(name+"/"+alg+"/qpdf", func(t *testing.T) { qpdfClean(t, path, "") })
			t.Run(name+"/"+alg+"/pdfsig", func(t *testing.T) { pdfsigValid(t, path, 1, s.ca.Roots()[0]) })
			t.Run(name+"/"+alg+"/mutool", func(t *testing.T) { mutoolUnchanged(t, path) })
			t.Run(name+"/"+alg+"/openssl", func(t *testing.T) {
				parts := extract(t, out)
				require.Len(t, parts, 1)
				opensslCMS(t, parts[0], s.ca.Roots()[0], true)
			})
			t.Run(name+"/"+alg+"/pkcs7", func(t *testing.T) {
				part := extract(t, out)[0]
				p, err := pkcs7.Parse(part.CMS)
				require.NoError(t, err)
				p.Content = part.Content
				assert.NoError(t, p.Verify())
			})
		}
	}
	t.Run("pdfbox", func(t *testing.T) {
		out := pdfbox(t, files...)
		assert.Equal(t, len(files), strings.Count(out, "verify=true whole=true"), out)
	})
}

// Two steps: what is prepared is marshalled, signed elsewhere and finished.
func TestPrepareFinish(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	doc := formDoc().classic()
	spec := s.spec()
	spec.Info.Time = signAt
	p, err := pades.Prepare(t.Context(), bytes.NewReader(doc), int64(len(doc)), spec)
	require.NoError(t, err)
	b, err := json.Marshal(p)
	require.NoError(t, err)
	var back pades.Prepared
	require.NoError(t, json.Unmarshal(b, &back))
	raw, err := s.key.Sign(nil, back.ToSign, crypto.SHA256)
	require.NoError(t, err)
	res, err := pades.Finish(t.Context(), &back, pades.Signature{Raw: raw}, nil)
	require.NoError(t, err)
	out := append(bytes.Clone(doc), res.Increment...)
	assert.Equal(t, int64(len(out)), res.Size)
	assert.Equal(t, pades.Passed, verify(t, out, s).Verdict)

	t.Run("C4 a signature of another key is refused", func(t *testing.T) {
		other := newSigner(t, "rsa")
		raw, err := other.key.Sign(nil, back.ToSign, crypto.SHA256)
		require.NoError(t, err)
		_, err = pades.Finish(t.Context(), &back, pades.Signature{Raw: raw}, nil)
		require.ErrorIs(t, err, pades.ReasonSigCryptoFailure)
	})
	t.Run("a whole CMS is accepted, and only over the right digest", func(t *testing.T) {
		cms := extract(t, out)[0].CMS
		res2, err := pades.Finish(t.Context(), &back, pades.Signature{CMS: cms}, nil)
		require.NoError(t, err)
		assert.Equal(t, res.Increment, res2.Increment)
		changed := back
		changed.Digest = make([]byte, 32)
		_, err = pades.Finish(t.Context(), &changed, pades.Signature{CMS: cms}, nil)
		require.ErrorIs(t, err, pades.ReasonHashFailure)
	})
	t.Run("W4 too large for its place", func(t *testing.T) {
		chain := append(append(s.chain[:1:1], newSigner(t, "rsa").chain...), s.chain[1:]...)
		small, err := pades.Prepare(t.Context(), bytes.NewReader(doc), int64(len(doc)), pades.Spec{Chain: s.chain[:1], Info: spec.Info})
		require.NoError(t, err)
		for _, c := range chain[1:] {
			small.Chain = append(small.Chain, c.Raw)
		}
		raw, err := s.key.Sign(nil, small.ToSign, crypto.SHA256)
		require.NoError(t, err)
		_, err = pades.Finish(t.Context(), small, pades.Signature{Raw: raw}, nil)
		require.ErrorIs(t, err, pades.ErrContainerTooSmall)
		e, ok := errors.AsType[*pades.Error](err)
		require.True(t, ok)
		assert.Positive(t, e.Need)
	})
}

// W13: the same time and a deterministic key give the same bytes.
func TestPrepareIsDeterministic(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "rsa")
	doc := formDoc().streams()
	spec := s.spec()
	spec.Info.Time = signAt
	spec.Certify = 2
	spec.Lock = &pades.Lock{Action: pades.LockInclude, Fields: []string{"memo"}}
	spec.Edit.Values = []pades.Value{{Field: "memo", Value: "甲方"}, {Field: "agree", Value: "Yes"}}
	assert.Equal(t, sign(t, doc, s, spec), sign(t, doc, s, spec))
}

// One after another, each a different signer, increments only.
func TestSequentialSignatures(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"table", "stream"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			doc := formDoc().classic()
			if kind == "stream" {
				doc = formDoc().streams()
			}
			s := newSigner(t, "ecdsa")
			const n = 10
			var state *pades.State
			for i := range n {
				spec := s.spec()
				spec.Resume = state
				if i%2 == 1 {
					spec.Stamp = &pades.Stamp{Page: 1 + i%3/2, Rect: [4]float64{72, 200 + 30*float64(i), 200, 225 + 30*float64(i)}}
				}
				res, err := pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), nil, spec, s.key, nil)
				require.NoError(t, err)
				doc = append(doc, res.Increment...)
				require.Equal(t, int64(len(doc)), res.Size)
				state = res.State
			}
			r := verify(t, doc, s)
			require.Len(t, r.Signatures, n)
			for i, got := range r.Signatures {
				assert.Equal(t, pades.Passed, got.Verdict, "%d: %+v", i, got)
				if i < n-1 {
					assert.Equal(t, pades.EarlierRevision, got.Coverage)
					assert.Equal(t, pades.ChangesSignature, got.Changes)
				}
			}
			path := save(t, "ten.pdf", doc)
			qpdfClean(t, path, "")
			pdfsigValid(t, path, n, s.ca.Roots()[0])
			for _, part := range extract(t, doc) {
				opensslCMS(t, part, s.ca.Roots()[0], true)
			}
		})
	}
}

// R6, W6, W11: everything else of the form stays, and values get a look.
func TestFormIsKept(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	for name, doc := range map[string][]byte{"table": formDoc().classic(), "stream": formDoc().streams()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			art, err := seal.Company(seal.CompanySeal{Name: "杭州测试有限公司"})
			require.NoError(t, err)
			spec := s.spec()
			spec.Stamp = &pades.Stamp{Art: art}
			spec.Edit.Values = []pades.Value{
				{Field: "memo", Value: "甲方：张三 agreed"},
				{Field: "agree", Value: "Yes"},
				{Field: "slice", Art: art},
			}
			out := sign(t, doc, s, spec)
			assert.Equal(t, pades.Passed, verify(t, out, s).Verdict)
			before, after := fields(t, doc), fields(t, out)
			require.Len(t, after, len(before))
			assert.Equal(t, "甲方：张三 agreed", after["memo"].Value)
			assert.Equal(t, "Yes", after["agree"].Value)
			assert.True(t, after["Sig1"].Signed)
			assert.Equal(t, before["slice"], after["slice"])
			path := save(t, "form.pdf", out)
			qpdfClean(t, path, "")
			text, code := tool(t, "qpdf", "--qdf", "--object-streams=disable", path, "-")
			require.Zero(t, code)
			for _, kept := range []string{"/X-Unknown (kept)", "/NeedAppearances true", "/DA (/F1 12 Tf 0 g)"} {
				assert.Contains(t, text, kept)
			}
		})
	}
}

// W11, W13: a viewer shows the look we drew, Chinese included.
func TestFilledTextIsShown(t *testing.T) {
	t.Parallel()
	d := formDoc()
	d.objects[5] = strings.Replace(d.objects[5], " /NeedAppearances true", "", 1)
	doc := d.classic()
	res, err := pades.Apply(t.Context(), bytes.NewReader(doc), int64(len(doc)), nil, pades.Edit{
		Fields: []pades.NewField{{Name: "party", Type: "text", Rect: [4]float64{72, 400, 300, 440}, Multiline: true}},
		Values: []pades.Value{{Field: "memo", Value: "甲方：张三 agreed"}, {Field: "party", Value: "乙方\nLi Si"}},
	}, nil)
	require.NoError(t, err)
	path := save(t, "text.pdf", append(doc, res.Increment...))
	qpdfClean(t, path, "")
	text, code := tool(t, "pdftotext", path, "-")
	require.Zero(t, code)
	for _, want := range []string{"甲方：张三", "agreed", "乙方", "Li Si"} {
		assert.Contains(t, text, want)
	}
}

// Refusals come before a byte is written, with their code.
func TestSignRefusals(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t, "ecdsa"), newSigner(t, "rsa")
	form := formDoc().classic()
	signed := sign(t, form, s, s.spec())
	certified := func(p int) []byte {
		spec := s.spec()
		spec.Certify = p
		return sign(t, form, s, spec)
	}
	locked := func() []byte {
		spec := s.spec()
		spec.Lock = &pades.Lock{Action: pades.LockInclude, Fields: []string{"memo"}}
		return sign(t, form, s, spec)
	}()
	for name, c := range map[string]struct {
		doc  []byte
		key  crypto.Signer
		edit func(*pades.Spec)
		want pades.Code
	}{
		"no chain":                {form, nil, func(s *pades.Spec) { s.Chain = nil }, pades.ErrUsage},
		"not a PDF":               {[]byte("hello"), nil, nil, pades.ErrNotPDF},
		"no such field":           {form, nil, func(s *pades.Spec) { s.Field = "Sig9" }, pades.ErrFieldNotFound},
		"field of another kind":   {form, nil, func(s *pades.Spec) { s.Field = "memo" }, pades.ErrUsage},
		"W7 field signed":         {signed, nil, func(s *pades.Spec) { s.Field = "Sig1" }, pades.ErrFieldSigned},
		"W8 certify second":       {signed, nil, func(s *pades.Spec) { s.Certify = 2 }, pades.ErrCertifyNotFirst},
		"W10 certified P=1":       {certified(1), nil, nil, pades.ErrMDPForbids},
		"W10 locked field":        {locked, nil, func(s *pades.Spec) { s.Edit.Values = []pades.Value{{Field: "memo", Value: "x"}} }, pades.ErrFieldLocked},
		"W10 new field":           {signed, nil, func(s *pades.Spec) { s.Edit.Fields = []pades.NewField{{Name: "new", Type: "text"}} }, pades.ErrMDPForbids},
		"C4 key of another":       {form, other.key, nil, pades.ErrKeyMismatch},
		"C2 algorithm of another": {form, nil, func(s *pades.Spec) { s.Algorithm = pades.RSA }, pades.ErrKeyUnsupported},
		"no such page": {form, nil, func(s *pades.Spec) {
			s.Edit.Stamps = []pades.Stamp{{Page: 9, Rect: [4]float64{0, 0, 9, 9}, Art: []byte("x")}}
		}, pades.ErrUsage},
		"art is no PDF": {form, nil, func(s *pades.Spec) { s.Stamp = &pades.Stamp{Art: []byte("x")} }, pades.ErrUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := s.spec()
			if c.edit != nil {
				c.edit(&spec)
			}
			key := c.key
			if key == nil {
				key = s.key
			}
			w := &recorder{}
			_, err := pades.Sign(t.Context(), bytes.NewReader(c.doc), int64(len(c.doc)), w, spec, key, nil)
			require.ErrorIs(t, err, c.want)
			assert.Zero(t, w.n, "written before the refusal")
			if c.key == nil && !errors.Is(err, pades.ErrNotPDF) {
				pre, err := pades.CanSign(t.Context(), bytes.NewReader(c.doc), int64(len(c.doc)), spec)
				require.NoError(t, err)
				require.NotEmpty(t, pre.Refusals)
				assert.Equal(t, c.want, pre.Refusals[0].Code)
			}
		})
	}
}

type recorder struct{ n int }

func (r *recorder) Write(b []byte) (int, error) { r.n += len(b); return len(b), nil }

var _ io.Writer = (*recorder)(nil)

// R7: a table that leads to what is not there is found out only later; the file is
// mended then, unless readers that did not notice show another one.
func TestTableLeadsAstray(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	whole := plainDoc().classic()
	table := bytes.LastIndex(whole, []byte("xref\n0 "))
	page := fmt.Sprintf("%010d 00000 n", bytes.Index(whole, []byte("\n3 0 obj"))+1)
	damaged := replaceOnce(t, whole, page, "0000000009 00000 n")
	spec := s.spec()
	spec.Stamp = &pades.Stamp{Page: 1, Rect: [4]float64{300, 300, 400, 350}}
	try := func(b []byte) ([]byte, error) {
		var out bytes.Buffer
		_, err := pades.Sign(t.Context(), bytes.NewReader(b), int64(len(b)), &out, spec, s.key, nil)
		return out.Bytes(), err
	}
	pages, err := pades.Pages(t.Context(), bytes.NewReader(damaged), int64(len(damaged)), nil)
	require.NoError(t, err)
	assert.Len(t, pages, 1)
	p, err := pades.CanSign(t.Context(), bytes.NewReader(damaged), int64(len(damaged)), spec)
	require.NoError(t, err)
	assert.Empty(t, p.Refusals)
	require.Len(t, p.Warnings, 1)
	assert.Equal(t, pades.ErrRepaired, p.Warnings[0].Code)
	out, err := try(damaged)
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(out, damaged))
	assert.Equal(t, pades.Passed, verify(t, out, s).Verdict)
	t.Run("qpdf", func(t *testing.T) {
		need(t, "qpdf")
		qpdfClean(t, save(t, "mended.pdf", out), "")
	})

	_, err = pades.Apply(t.Context(), bytes.NewReader(damaged), int64(len(damaged)), nil, pades.Edit{Fields: []pades.NewField{{Name: "f", Type: pades.FieldText, Page: 1, Rect: spec.Stamp.Rect}}}, nil)
	require.NoError(t, err)

	// Page contents that the table does not lead to, though they stand last.
	evil := fmt.Sprintf("%%%%EOF\n4 0 obj\n%s\nendobj\n", stream("", evilText))
	twice := slices.Concat(damaged[:table], []byte(evil), damaged[table:])
	_, err = try(replaceOnce(t, twice, fmt.Sprintf("startxref\n%d\n", table), fmt.Sprintf("startxref\n%d\n", table+len(evil))))
	assert.Equal(t, pades.ErrRepaired, pades.CodeOf(err), "%v", err)

	// Contents that the table does not show, as it says that they are free, or
	// leads into the number of another object.
	d := plainDoc()
	d.objects[2] = strings.Replace(d.objects[2], "/Contents 4 0 R", "/Contents [4 0 R 5 0 R]", 1)
	for len(d.objects) < 15 {
		d.objects = append(d.objects, stream("", evilText))
	}
	whole = d.classic()
	offset := func(num int) int { return bytes.Index(whole, fmt.Appendf(nil, "\n%d 0 obj", num)) + 1 }
	entry := func(off int) string { return fmt.Sprintf("%010d 00000 n", off) }
	damaged = replaceOnce(t, whole, entry(offset(3)), entry(9))
	_, err = try(damaged)
	require.NoError(t, err)
	for _, other := range []string{"0000000000 00001 f", entry(0), entry(offset(15) + 1)} {
		_, err = try(replaceOnce(t, damaged, entry(offset(5)), other))
		assert.Equal(t, pades.ErrRepaired, pades.CodeOf(err), "%s: %v", other, err)
	}
}
