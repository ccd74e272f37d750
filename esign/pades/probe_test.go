package pades_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
)

// §7: what breaks peers is signed, clean in qpdf, and nothing else changes.
func TestProbes(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	with := func(change func(*testDoc)) testDoc {
		d := formDoc()
		change(&d)
		return d
	}
	spread := with(func(d *testDoc) { d.trailer = strings.ReplaceAll(d.trailer, "/Root 1 0 R", "/Root\n1\n0\nR\n") }).classic()
	spread = bytes.Replace(spread, []byte("<< /Size 15 "), []byte("<<\n/Size   15\n"), 1)
	for name, c := range map[string]struct {
		doc  []byte
		info pades.Info
	}{
		"trailer, a token per line": {doc: spread},
		"names that end in ) and \\": {
			doc: formDoc().classic(), info: pades.Info{Name: "天津", Reason: "小明 (paid) \\", Location: "a)b", Contact: "(("},
		},
		"catalog string with )": {doc: with(func(d *testDoc) {
			d.objects[0] = strings.Replace(d.objects[0], "(kept)", `(a \) b) /Odd#20Name /A#2FB`, 1)
		}).classic()},
		"8000 zeros in a stream": {doc: with(func(d *testDoc) { d.objects[4] = stream("", strings.Repeat("0", 8000)) }).classic()},
		"a comment like a byte range": {doc: with(func(d *testDoc) {
			d.objects[4] = stream("", "% /ByteRange [0 0 0 0                                   ] /Contents <0000000000>")
		}).classic()},
		"hybrid":                    {doc: hybridDoc(formDoc())},
		"table on stream":           {doc: revise(t, formDoc().streams(), "", map[int]string{5: stream("", "BT ET")})},
		"junk before and after":     {doc: slicesConcat([]byte("junk\r\n"), formDoc().classic(), []byte("\n\n\x00"))},
		"no end of line at the end": {doc: bytes.TrimRight(formDoc().classic(), "\n")},
		"dates and odd text":        {doc: formDoc().streams(), info: pades.Info{Reason: "\u0000\u00ad😀", Time: signAt}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := s.spec()
			spec.Info = c.info
			out := sign(t, c.doc, s, spec)
			require.True(t, bytes.HasPrefix(out, c.doc))
			r := verify(t, out, s)
			assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
			path := save(t, "probe.pdf", out)
			if !strings.HasPrefix(name, "junk") { // qpdf has an opinion about that
				qpdfClean(t, path, "")
			}
			opensslCMS(t, lastPart(t, out), s.ca.Roots()[0], true)
			if before, ok := structure(t, save(t, "before.pdf", c.doc), ""); ok {
				after, _ := structure(t, path, "")
				assert.Equal(t, before, after)
			}
			twice := sign(t, out, s, s.spec())
			assert.Equal(t, pades.Passed, verify(t, twice, s).Verdict)
		})
	}
}

// lastPart cuts out our signature, whatever looks like one before it.
func lastPart(t testing.TB, file []byte) signedPart {
	t.Helper()
	at := bytes.LastIndex(file, []byte("/ByteRange ["))
	require.Positive(t, at)
	tail := slicesConcat(file[:at], file[at:])
	head := bytes.ReplaceAll(tail[:at], []byte("/ByteRange"), []byte("/ByteRangX"))
	parts := extract(t, slicesConcat(head, tail[at:]))
	require.Len(t, parts, 1)
	p := parts[0]
	r := p.ByteRange
	p.Content = slicesConcat(file[:r[1]], file[r[2]:])
	return p
}

func slicesConcat(list ...[]byte) []byte { return bytes.Join(list, nil) }

// §7: more than 4 GiB, sparse.
func TestBeyond4GiB(t *testing.T) {
	if os.Getenv("COUNTERSIGN_PERF") == "" {
		t.Skip("reads 5 GiB of zeros: set COUNTERSIGN_PERF=1")
	}
	t.Parallel()
	s := newSigner(t, "ecdsa")
	doc, size := hollow(plainDoc().classic(), 5<<30)
	res, err := pades.Sign(t.Context(), doc, size, nil, s.spec(), s.key, nil)
	require.NoError(t, err)
	assert.Greater(t, res.ByteRange[1], int64(1)<<32)
	doc.parts = append(doc.parts, part{size, res.Increment})
	r, err := pades.Verify(t.Context(), doc, res.Size, &pades.VerifyOptions{Roots: s.ca.Roots()})
	require.NoError(t, err)
	assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
}

// hollow appends a revision with a stream of n zeros to a document.
func hollow(head []byte, n int64) (*sparse, int64) {
	start := int64(len(head))
	open := fmt.Sprintf("90 0 obj\n<< /Length %d >>\nstream\n", n)
	shut := "\nendstream\nendobj\n"
	xref := start + int64(len(open)) + n + int64(len(shut))
	prev := startxrefPattern.FindAllSubmatch(head, -1)
	tail := fmt.Sprintf("%sxref\n90 1\n%010d 00000 n \ntrailer\n<< /Size 91 /Root 1 0 R /Prev %s >>\nstartxref\n%d\n%%%%EOF\n",
		shut, start, prev[len(prev)-1][1], xref)
	at := start + int64(len(open)) + n
	return &sparse{parts: []part{{0, append(bytes.Clone(head), open...)}, {at, []byte(tail)}}}, at + int64(len(tail))
}

type part struct {
	off int64
	b   []byte
}

// sparse reads as zero wherever no part lies.
type sparse struct{ parts []part }

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	end := int64(0)
	for _, x := range s.parts {
		end = max(end, x.off+int64(len(x.b)))
		from, to := max(off, x.off), min(off+int64(len(p)), x.off+int64(len(x.b)))
		if from < to {
			copy(p[from-off:to-off], x.b[from-x.off:to-x.off])
		}
	}
	if off+int64(len(p)) > end {
		return int(max(end-off, 0)), io.EOF
	}
	return len(p), nil
}

// W12: a state of another document is refused, a doubt is never guessed.
func TestResume(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	doc := formDoc().streams()
	spec := s.spec()
	spec.Keep = []string{"SM3"}
	first, err := pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), nil, spec, s.key, nil)
	require.NoError(t, err)
	require.NotNil(t, first.State)
	assert.Contains(t, first.State.Digests, "SM3")
	doc = append(doc, first.Increment...)

	// An SM2 signer resumes from the digest kept for him; the prefix is not read.
	sm := newSigner(t, "sm2")
	lazy := &lazyReader{b: doc, from: int64(len(doc)) / 2}
	next := sm.spec()
	next.Resume = first.State
	second, err := pades.Sign(t.Context(), lazy, int64(len(doc)), nil, next, sm.key, nil)
	require.NoError(t, err)
	signed := append(bytes.Clone(doc), second.Increment...)
	roots := append(s.ca.Roots(), sm.ca.Roots()...)
	r, err := pades.Verify(t.Context(), bytes.NewReader(signed), int64(len(signed)), &pades.VerifyOptions{Roots: roots})
	require.NoError(t, err)
	assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)

	longer := append(bytes.Clone(doc), '\n')
	_, err = pades.Sign(t.Context(), bytes.NewReader(longer), int64(len(longer)), nil, next, sm.key, nil)
	require.ErrorIs(t, err, pades.ErrPrefixChanged)
	at := bytes.LastIndex(doc, []byte("startxref\n"))
	other := slicesConcat(doc[:at], []byte("startxref\r"), doc[at+10:])
	_, err = pades.Sign(t.Context(), bytes.NewReader(other), int64(len(other)), nil, next, sm.key, nil)
	require.ErrorIs(t, err, pades.ErrPrefixChanged)
}

// lazyReader counts how much is read in one go.
type lazyReader struct {
	b    []byte
	from int64
	n    int
}

func (l *lazyReader) ReadAt(p []byte, off int64) (int, error) {
	if len(p) > 64<<10 {
		return 0, errors.New("a read of the whole prefix")
	}
	l.n += len(p)
	return bytes.NewReader(l.b).ReadAt(p, off)
}

// W8, W9: locks and seed values of an empty field are obeyed or refused.
func TestLockAndSeed(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	base := formDoc().classic()
	res, err := pades.Apply(t.Context(), bytes.NewReader(base), int64(len(base)), nil, pades.Edit{Fields: []pades.NewField{
		{Name: "buyer", Type: "signature", Rect: [4]float64{72, 300, 200, 340}, Lock: &pades.Lock{Action: pades.LockInclude, Fields: []string{"memo"}}},
		{Name: "seller", Type: "signature", Page: 2, Rect: [4]float64{72, 300, 200, 340}, Seed: &pades.Seed{Reasons: []string{"同意"}, Digests: []string{"SHA256"}, SubFilters: []string{"ETSI.CAdES.detached"}}},
		{Name: "yes", Type: "checkbox", Rect: [4]float64{72, 280, 84, 292}},
	}}, nil)
	require.NoError(t, err)
	doc := append(bytes.Clone(base), res.Increment...)
	all := fields(t, doc)
	assert.Equal(t, &pades.Lock{Action: "Include", Fields: []string{"memo"}}, all["buyer"].Lock)
	assert.Equal(t, 2, all["seller"].Page)
	assert.Equal(t, []string{"同意"}, all["seller"].Seed.Reasons)

	spec := s.spec()
	spec.Field = "seller"
	_, err = pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), nil, spec, s.key, nil)
	require.ErrorIs(t, err, pades.ErrSeedValue)
	spec.Info.Reason = "同意"
	spec.Edit.Values = []pades.Value{{Field: "memo", Value: "filled"}, {Field: "yes", Value: "Yes"}}
	doc = sign(t, doc, s, spec)

	spec = s.spec()
	spec.Field = "buyer"
	doc = sign(t, doc, s, spec)
	assert.True(t, fields(t, doc)["memo"].Locked)
	spec = s.spec()
	spec.Field = "Sig1"
	spec.Edit.Values = []pades.Value{{Field: "memo", Value: "again"}}
	_, err = pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), nil, spec, s.key, nil)
	require.ErrorIs(t, err, pades.ErrFieldLocked)
	spec.Edit.Values = []pades.Value{{Field: "agree", Value: "Yes"}}
	doc = sign(t, doc, s, spec)
	r := verify(t, doc, s)
	require.Len(t, r.Signatures, 3)
	assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
	qpdfClean(t, save(t, "locked.pdf", doc), "")
}

// Two signatures after a certification behave as its P says.
func TestCertification(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	for p := 1; p <= 3; p++ {
		t.Run(fmt.Sprintf("P=%d", p), func(t *testing.T) {
			t.Parallel()
			spec := s.spec()
			spec.Certify = p
			doc := sign(t, formDoc().classic(), s, spec)
			r := verify(t, doc, s)
			assert.Equal(t, pades.Passed, r.Verdict)
			assert.Equal(t, p, r.Signatures[0].Certify)
			again := s.spec()
			again.Edit.Values = []pades.Value{{Field: "memo", Value: "甲"}}
			if p == 1 {
				_, err := pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), nil, again, s.key, nil)
				require.ErrorIs(t, err, pades.ErrMDPForbids)
				return
			}
			doc = sign(t, doc, s, again)
			doc = sign(t, doc, s, s.spec())
			r = verify(t, doc, s)
			require.Len(t, r.Signatures, 3)
			assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
			qpdfClean(t, save(t, "certified.pdf", doc), "")
			pdfsigValid(t, save(t, "certified.pdf", doc), 3, s.ca.Roots()[0])
		})
	}
}

// W10: a field may be added beside earlier signatures if it is signed in the
// revision that adds it; nothing else may.
func TestLateSigner(t *testing.T) {
	t.Parallel()
	s, late := newSigner(t, "ecdsa"), newSigner(t, "rsa")
	doc := sign(t, formDoc().streams(), s, s.spec())
	spec := late.spec()
	spec.Field = "late"
	spec.Edit.Fields = []pades.NewField{{Name: "late", Type: "signature", Page: 2, Rect: [4]float64{72, 72, 172, 112}}}
	doc = sign(t, doc, late, spec)
	r, err := pades.Verify(t.Context(), bytes.NewReader(doc), int64(len(doc)), &pades.VerifyOptions{Roots: append(s.ca.Roots(), late.ca.Roots()...)})
	require.NoError(t, err)
	assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
	assert.Equal(t, pades.ChangesSignature, r.Signatures[0].Changes)
	assert.NotEmpty(t, r.Signatures[0].Warnings, "a visible field may cover content")
	assert.Equal(t, 2, fields(t, doc)["late"].Page)
	qpdfClean(t, save(t, "late.pdf", doc), "")
}
