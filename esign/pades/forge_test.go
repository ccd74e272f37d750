package pades_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	mozilla "go.mozilla.org/pkcs7"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/internal/cms"
)

// forge signs formDoc or a revision of it as somebody who keeps to no rules: a
// new field Other, shown at rect, and whatever else objects holds.
func forge(t testing.TB, doc []byte, subFilter, rect string, objects map[int]string, sign func(content []byte) []byte) []byte {
	t.Helper()
	const room = 12 << 10
	all := map[int]string{
		3:   "<< /Type /Page /Parent 2 0 R /Contents 5 0 R /Annots [7 0 R 8 0 R 9 0 R 150 0 R] >>",
		6:   "<< /Fields [7 0 R 8 0 R 9 0 R 14 0 R 150 0 R] /SigFlags 3 /DA (/F1 12 Tf 0 g) /DR << /Font << /F1 11 0 R >> >> /NeedAppearances true >>",
		9:   newest(t, doc, 9),
		150: "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Other) /V 151 0 R /Rect [" + rect + "] /P 3 0 R /F 132 >>",
		151: "<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /" + subFilter + " /ByteRange [0 1000000001 1000000002 1000000003] /Contents <" +
			strings.Repeat("0", 2*room) + "> >>",
	}
	for n, o := range objects {
		all[n] = o
	}
	b := revise(t, doc, "", all)
	from := bytes.LastIndex(b, []byte("/Contents <0000")) + len("/Contents ")
	to := from + 2*room + 2
	for i, n := range []int{from, to, len(b) - to} {
		old := fmt.Appendf(nil, "%d", 1000000001+i)
		at := bytes.LastIndex(b, old)
		copy(b[at:], fmt.Appendf(nil, "%-10d", n))
	}
	msg := sign(slices.Concat(b[:from], b[to:]))
	require.LessOrEqual(t, len(msg), room)
	hex.Encode(b[from+1:], msg)
	return b
}

// newest returns the newest text of an object.
func newest(t testing.TB, doc []byte, num int) string {
	t.Helper()
	head := fmt.Appendf(nil, "\n%d 0 obj\n", num)
	at := bytes.LastIndex(doc, head)
	require.GreaterOrEqual(t, at, 0)
	text, _, ok := bytes.Cut(doc[at+len(head):], []byte("\nendobj"))
	require.True(t, ok)
	return string(text)
}

// message signs content with our own writer, which binds the certificate.
func (s signer) message(t testing.TB, unsigned ...cms.Attribute) func([]byte) []byte {
	return func(content []byte) []byte {
		m, err := cms.New(s.chain, nil)
		require.NoError(t, err)
		sum := sha256.Sum256(content)
		attributes, err := m.Attributes(sum[:])
		require.NoError(t, err)
		toSign, err := m.ToSign(attributes)
		require.NoError(t, err)
		value, err := m.Sign(s.key, toSign)
		require.NoError(t, err)
		msg, err := m.Assemble(attributes, value, unsigned...)
		require.NoError(t, err)
		return msg
	}
}

// unbound signs with a writer that knows no signing-certificate attribute.
func (s signer) unbound(t testing.TB) func([]byte) []byte {
	return func(content []byte) []byte {
		sd, err := mozilla.NewSignedData(content)
		require.NoError(t, err)
		sd.SetDigestAlgorithm(mozilla.OIDDigestAlgorithmSHA256)
		require.NoError(t, sd.AddSignerChain(s.chain[0], s.key, s.chain[1:], mozilla.SignerInfoConfig{}))
		sd.Detach()
		msg, err := sd.Finish()
		require.NoError(t, err)
		return msg
	}
}

const hidden = "0 0 0 0"

// V9, ISO 32000-2 12.8.2.2: what a signature that asked nobody does to a
// certification; ours is refused where it may not be (TestCertification).
func TestCertificationForged(t *testing.T) {
	t.Parallel()
	s, stranger := newSigner(t, "rsa"), newSigner(t, "ecdsa")
	for p := 1; p <= 3; p++ {
		spec := s.spec()
		spec.Certify = p
		certified := sign(t, formDoc().classic(), s, spec)
		for _, rect := range []string{hidden, "0 0 595 842"} {
			r := verify(t, forge(t, certified, "ETSI.CAdES.detached", rect, nil, stranger.message(t)), s)
			require.Len(t, r.Signatures, 2)
			first, second := r.Signatures[0], r.Signatures[1]
			assert.Equal(t, pades.ChangesSignature, first.Changes, "P=%d: %+v", p, first)
			assert.Equal(t, pades.Untrusted, second.Trust)
			assert.Equal(t, pades.Intact, second.Integrity, "%+v", second)
			if p == 1 {
				assert.Equal(t, pades.Failed, r.Verdict)
				assert.Contains(t, first.Reasons, pades.ReasonMDPViolation)
				continue
			}
			assert.Equal(t, pades.Indeterminate, r.Verdict, "P=%d: the stranger is not trusted", p)
			assert.Equal(t, pades.Passed, first.Verdict, "P=%d: %+v", p, first)
			if rect != hidden {
				assert.NotEmpty(t, first.Warnings, "it may cover the page")
			}
		}
		// What a signature brings along is judged for itself.
		for name, objects := range map[string]map[int]string{
			"content": {5: stream("", evilText)},
			"catalog": {1: strings.TrimSuffix(newest(t, certified, 1), ">>") + " /OpenAction << /S /JavaScript /JS (x) >> >>"},
			"action":  {150: "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Other) /V 151 0 R /Rect [0 0 0 0] /P 3 0 R /F 132 /AA << /PO << /S /JavaScript /JS (x) >> >> >>"},
			"used":    {150: "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Sig1) /V 151 0 R /Rect [0 0 0 0] /P 3 0 R >>"},
		} {
			r := verify(t, forge(t, certified, "ETSI.CAdES.detached", hidden, objects, stranger.message(t)), s)
			assert.Equal(t, pades.Failed, r.Signatures[0].Verdict, "P=%d, %s: %+v", p, name, r.Signatures[0])
		}
	}
}

// A signature without signing-certificate attribute is of no PAdES level, says
// so, and is otherwise judged as one of adbe.pkcs7.detached, which has none either.
func TestUnboundCertificate(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "rsa")
	for subFilter, want := range map[string]pades.Profile{"ETSI.CAdES.detached": "", "adbe.pkcs7.detached": pades.ProfileCMS} {
		r := verify(t, forge(t, formDoc().classic(), subFilter, hidden, nil, s.unbound(t)), s)
		require.Len(t, r.Signatures, 1)
		got := r.Signatures[0]
		assert.Equal(t, pades.Passed, got.Verdict, "%s: %+v", subFilter, got)
		assert.Equal(t, want, got.Profile, subFilter)
		assert.Equal(t, want == "", len(got.Warnings) > 0, "%s: %q", subFilter, got.Warnings)
	}
}

// §6: a timestamp taken from another signature proves nothing and dates nothing.
func TestAttackCopiedTimestamp(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	donor := s.spec()
	donor.Profile = pades.ProfileBT
	var token []byte
	var out bytes.Buffer
	doc := formDoc().classic()
	_, err := pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), &out, donor, s.key, &pades.FinishOptions{
		Timestamper: stamper(func(ctx context.Context, digest string, sum []byte) (b []byte, err error) {
			token, err = s.ca.Timestamp(ctx, digest, sum)
			return token, err
		}),
	})
	require.NoError(t, err)
	require.Equal(t, pades.Passed, verify(t, out.Bytes(), s).Verdict)
	copied := cms.Attribute{Type: cms.OIDSignatureTimestamp, Values: [][]byte{token}}
	r := verify(t, forge(t, doc, "ETSI.CAdES.detached", hidden, nil, s.message(t, copied)), s)
	got := r.Signatures[0]
	assert.Equal(t, pades.Indeterminate, got.Verdict, "%+v", got)
	assert.Contains(t, got.Reasons, pades.ReasonTimestampInvalid)
	assert.Nil(t, got.Timestamp)
	assert.Equal(t, pades.ProfileBB, got.Profile)

	// As a document timestamp it covers something else.
	r = verify(t, forge(t, doc, "ETSI.RFC3161", hidden, nil, func([]byte) []byte { return token }), s)
	assert.Equal(t, pades.Failed, r.Verdict)
	assert.Contains(t, r.Reasons, pades.ReasonTimestampInvalid)
	// And a signature is no timestamp, whatever its dictionary says.
	r = verify(t, forge(t, doc, "ETSI.RFC3161", hidden, nil, s.message(t)), s)
	assert.Equal(t, pades.Failed, r.Verdict)
}

// §6: what stands in a DSS is material to check, not to believe.
func TestAttackDSS(t *testing.T) {
	t.Parallel()
	s, _ := served(t, "ecdsa", nil)
	other, _ := served(t, "ecdsa", nil)
	doc := sign(t, formDoc().classic(), s, s.spec())
	withDSS := func(doc []byte, key string, data ...[]byte) []byte {
		objects := map[int]string{}
		refs := ""
		for i, b := range data {
			objects[160+i] = stream("", string(b))
			refs += fmt.Sprintf("%d 0 R ", 160+i)
		}
		objects[1] = strings.TrimSuffix(newest(t, doc, 1), ">>") + " /DSS << /" + key + " [" + refs + "] >> >>"
		return revise(t, doc, "", objects)
	}
	ask := func(from signer, cert, issuer *x509.Certificate) []byte {
		b, err := local().OCSP(t.Context(), cert, issuer)
		require.NoError(t, err)
		return b
	}
	good := [][]byte{ask(s, s.chain[0], s.chain[1]), ask(s, s.chain[1], s.ca.Roots()[0])}
	strange := ask(other, other.chain[0], other.chain[1])
	crl, err := local().CRL(t.Context(), other.chain[0], other.chain[1])
	require.NoError(t, err)
	r := verify(t, withDSS(doc, "OCSPs", good...), s)
	require.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
	bent := bytes.Clone(good[0])
	bent[len(bent)/2] ^= 1
	failure := asn1.RawValue{Class: 0, Tag: 16, IsCompound: true, Bytes: []byte{10, 1, 6}}
	tryLater, err := asn1.Marshal(failure)
	require.NoError(t, err)
	for name, b := range map[string][]byte{
		"nothing":               doc,
		"garbage":               withDSS(doc, "OCSPs", []byte("good"), good[1]),
		"of another authority":  withDSS(doc, "OCSPs", strange, good[1]),
		"changed":               withDSS(doc, "OCSPs", bent, good[1]),
		"a failure":             withDSS(doc, "OCSPs", tryLater, good[1]),
		"about the issuer only": withDSS(doc, "OCSPs", good[1]),
		"in the wrong list":     withDSS(doc, "CRLs", good...),
		"another's CRL":         withDSS(doc, "CRLs", crl),
		"garbage for a CRL":     withDSS(doc, "CRLs", []byte{0x30, 0x80}),
	} {
		r := verify(t, b, s)
		assert.Equal(t, pades.Indeterminate, r.Verdict, "%s: %+v", name, r.Signatures)
		assert.Equal(t, []pades.Code{pades.ReasonTryLater}, r.Reasons, name)
	}
	t.Run("certificates are no roots", func(t *testing.T) {
		mine := sign(t, formDoc().classic(), other, other.spec())
		certs := [][]byte{}
		for _, c := range append(slices.Clone(other.chain), other.ca.Roots()...) {
			certs = append(certs, c.Raw)
		}
		r := verify(t, withDSS(mine, "Certs", certs...), s)
		assert.Equal(t, pades.Indeterminate, r.Verdict)
		assert.Equal(t, pades.Untrusted, r.Signatures[0].Trust)
		assert.Contains(t, r.Reasons, pades.ReasonNoChain)
		r, err := pades.Verify(t.Context(), bytes.NewReader(mine), int64(len(mine)), nil)
		require.NoError(t, err)
		assert.Contains(t, r.Reasons, pades.ReasonNoTrustAnchor)
	})
	t.Run("an old answer hides no revocation", func(t *testing.T) {
		s, _ := served(t, "ecdsa", nil)
		doc := sign(t, formDoc().classic(), s, s.spec())
		good := [][]byte{ask(s, s.chain[0], s.chain[1]), ask(s, s.chain[1], s.ca.Roots()[0])}
		old := withDSS(doc, "OCSPs", good...)
		require.Equal(t, pades.Passed, verify(t, old, s).Verdict)
		require.NoError(t, s.ca.RevokeLeaf(s.chain[0], 1))
		revoked := ask(s, s.chain[0], s.chain[1])
		both := withDSS(doc, "OCSPs", good[0], revoked, good[1])
		assert.Contains(t, verify(t, both, s).Reasons, pades.ReasonRevokedNoPOE)
		// Years later the old answer says nothing.
		r, err := pades.Verify(t.Context(), bytes.NewReader(old), int64(len(old)), &pades.VerifyOptions{Roots: s.ca.Roots(), At: time.Now().AddDate(0, 6, 0)})
		require.NoError(t, err)
		assert.NotEqual(t, pades.Passed, r.Verdict)
	})
	t.Run("the DSS and its streams replaced by something else", func(t *testing.T) {
		kept := withDSS(doc, "OCSPs", good...)
		for _, o := range []map[int]string{
			{1: newest(t, doc, 1)},
			{1: strings.TrimSuffix(newest(t, doc, 1), ">>") + " /DSS << /OCSPs 5 0 R >> >>"},
			{1: strings.TrimSuffix(newest(t, doc, 1), ">>") + " /DSS << /OCSPs [5 0 R] >> >>", 5: stream("", evilText)},
		} {
			check(t, verify(t, revise(t, kept, "", o), s), "Sig1", expectation{verdict: pades.Failed, changes: pades.ChangesOther})
		}
	})
}

// V9: a lock covers the fields below the names it lists, and no others.
func TestFieldMDPNames(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	d := formDoc()
	d.objects[5] = strings.Replace(d.objects[5], "14 0 R]", "14 0 R 15 0 R 18 0 R]", 1)
	d.objects = append(d.objects,
		"<< /T (person) /Kids [16 0 R 17 0 R] >>", // 15
		"<< /Type /Annot /Subtype /Widget /Parent 15 0 R /FT /Tx /T (name) /V (old) /Rect [72 400 300 420] /P 3 0 R /F 4 >>",
		"<< /Type /Annot /Subtype /Widget /Parent 15 0 R /FT /Tx /T (age) /V (old) /Rect [72 370 300 390] /P 3 0 R /F 4 >>",
		"<< /Type /Annot /Subtype /Widget /FT /Tx /T (personality) /V (old) /Rect [72 340 300 360] /P 3 0 R /F 4 >>", // 18
	)
	d.objects[2] = strings.Replace(d.objects[2], "9 0 R]", "9 0 R 16 0 R 17 0 R 18 0 R]", 1)
	plain := d.classic()
	numbers := map[string]int{"person.name": 16, "person.age": 17, "personality": 18, "memo": 7}
	for _, c := range []struct {
		lock   pades.Lock
		locked []string
	}{
		{pades.Lock{Action: pades.LockAll}, []string{"person.name", "person.age", "personality", "memo"}},
		{pades.Lock{Action: pades.LockInclude, Fields: []string{"person"}}, []string{"person.name", "person.age"}},
		{pades.Lock{Action: pades.LockInclude, Fields: []string{"person.name"}}, []string{"person.name"}},
		{pades.Lock{Action: pades.LockInclude, Fields: []string{"name", "pers", "person."}}, nil},
		{pades.Lock{Action: pades.LockExclude, Fields: []string{"person"}}, []string{"personality", "memo"}},
		{pades.Lock{Action: pades.LockExclude, Fields: []string{"person.age", "memo"}}, []string{"person.name", "personality"}},
	} {
		spec := s.spec()
		spec.Lock = &c.lock
		signed := sign(t, plain, s, spec)
		for name, num := range numbers {
			locked := slices.Contains(c.locked, name)
			changed := revise(t, signed, "", map[int]string{num: strings.Replace(newest(t, signed, num), "(old)", "(new)", 1)})
			want := pades.Passed
			if locked {
				want = pades.Failed
			}
			got := verify(t, changed, s).Signatures[0]
			assert.Equal(t, want, got.Verdict, "%+v %s: %+v", c.lock, name, got)
			assert.Equal(t, locked, slices.Contains(got.Reasons, pades.ReasonMDPViolation))
			// And ours keeps to it.
			assert.Equal(t, locked, fields(t, signed)[name].Locked, "%+v %s", c.lock, name)
			_, err := pades.Apply(t.Context(), bytes.NewReader(signed), int64(len(signed)), nil, pades.Edit{Values: []pades.Value{{Field: name, Value: "new"}}}, nil)
			if locked {
				require.ErrorIs(t, err, pades.ErrFieldLocked)
			} else {
				require.NoError(t, err)
			}
		}
	}
}

// A field whose only widget is an object of its own is signed so that every
// validator finds the signature.
func TestSeparateWidget(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	d := formDoc()
	d.objects[8] = "<< /FT /Sig /T (Sig1) /Kids [15 0 R] >>"
	d.objects = append(d.objects, "<< /Type /Annot /Subtype /Widget /Parent 9 0 R /Rect [72 100 272 160] /P 3 0 R /F 4 >>")
	d.objects[2] = strings.Replace(d.objects[2], "9 0 R", "15 0 R", 1)
	out := sign(t, d.classic(), s, s.spec())
	require.Equal(t, pades.Passed, verify(t, out, s).Verdict)
	path := save(t, "kid.pdf", out)
	qpdfClean(t, path, "")
	pdfsigValid(t, path, 1, s.ca.Roots()[0])
	mutoolUnchanged(t, path)
	twice := sign(t, out, s, s.spec())
	assert.Equal(t, pades.Passed, verify(t, twice, s).Verdict)
	pdfsigValid(t, save(t, "twice.pdf", twice), 2, s.ca.Roots()[0])
}
