package pades_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	mozilla "go.mozilla.org/pkcs7"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/internal/cms"
)

var (
	oidData        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidContentType = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidDigest      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSHA256      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA1        = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidMD5         = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 5}
	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
)

// messageSpec is a CMS message that breaks what rules it likes.
type messageSpec struct {
	kind    asn1.ObjectIdentifier // of the content
	digest  asn1.ObjectIdentifier
	hash    crypto.Hash
	attrs   func(sum []byte) [][]byte // signed; nil signs the content itself
	signers int
}

func attributeOf(t testing.TB, oid asn1.ObjectIdentifier, values ...any) []byte {
	t.Helper()
	a := struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}{Type: oid}
	for _, v := range values {
		b, err := asn1.Marshal(v)
		require.NoError(t, err)
		a.Values = append(a.Values, asn1.RawValue{FullBytes: b})
	}
	b, err := asn1.Marshal(a)
	require.NoError(t, err)
	return b
}

// message signs content with the key of s, which is an RSA key.
func (m messageSpec) message(t testing.TB, s signer) func(content []byte) []byte {
	return func(content []byte) []byte {
		type issuer struct {
			Name   asn1.RawValue
			Serial asn1.RawValue
		}
		type info struct {
			Version   int
			Issuer    issuer
			Digest    pkix.AlgorithmIdentifier
			Attrs     asn1.RawValue `asn1:"optional"`
			Signature pkix.AlgorithmIdentifier
			Value     []byte
		}
		type signedData struct {
			Version int
			Digests []pkix.AlgorithmIdentifier `asn1:"set"`
			Content struct{ Type asn1.ObjectIdentifier }
			Certs   asn1.RawValue
			Signers []info `asn1:"set"`
		}
		sum := func(b []byte) []byte {
			h := m.hash.New()
			h.Write(b)
			return h.Sum(nil)
		}
		serial, err := asn1.Marshal(s.chain[0].SerialNumber)
		require.NoError(t, err)
		one := info{Version: 1, Issuer: issuer{asn1.RawValue{FullBytes: s.chain[0].RawIssuer}, asn1.RawValue{FullBytes: serial}}}
		one.Digest.Algorithm, one.Signature.Algorithm = m.digest, oidRSA
		toSign := content
		if m.attrs != nil {
			list := m.attrs(sum(content))
			slices.SortFunc(list, slices.Compare)
			body := slices.Concat(list...)
			toSign, err = asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: body})
			require.NoError(t, err)
			one.Attrs = asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: body}
		}
		one.Value, err = s.key.Sign(rand.Reader, sum(toSign), m.hash)
		require.NoError(t, err)
		sd := signedData{Version: 1, Digests: []pkix.AlgorithmIdentifier{one.Digest}, Signers: slices.Repeat([]info{one}, max(m.signers, 1))}
		sd.Content.Type = m.kind
		sd.Certs = asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true}
		for _, c := range s.chain {
			sd.Certs.Bytes = append(sd.Certs.Bytes, c.Raw...)
		}
		inner, err := asn1.Marshal(sd)
		require.NoError(t, err)
		out, err := asn1.Marshal(struct {
			Type    asn1.ObjectIdentifier
			Content asn1.RawValue
		}{mozilla.OIDSignedData, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: inner}})
		require.NoError(t, err)
		return out
	}
}

// V3, V4: messages that a signer's own key signed against the rules, and some
// that only look so.
func TestAttackMessage(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "rsa")
	kind, digest := attributeOf(t, oidContentType, oidData), func(sum []byte) []byte { return attributeOf(t, oidDigest, sum) }
	right := func(sum []byte) [][]byte { return [][]byte{kind, digest(sum)} }
	plain := messageSpec{kind: oidData, digest: oidSHA256, hash: crypto.SHA256, attrs: right}
	with := func(edit func(*messageSpec)) func([]byte) []byte {
		m := plain
		edit(&m)
		return m.message(t, s)
	}
	attrs := func(f func(sum []byte) [][]byte) func([]byte) []byte {
		return with(func(m *messageSpec) { m.attrs = f })
	}
	ess := func(sum []byte) []byte {
		return attributeOf(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}, struct{ Certs []struct{ Hash []byte } }{[]struct{ Hash []byte }{{sum}}})
	}
	// open leaves the length of the outermost value open, as BER may.
	open := func(tail string) func([]byte) []byte {
		return func(content []byte) []byte {
			var v asn1.RawValue
			_, err := asn1.Unmarshal(plain.message(t, s)(content), &v)
			require.NoError(t, err)
			return slices.Concat([]byte{0x30, 0x80}, v.Bytes, []byte{0, 0}, []byte(tail))
		}
	}
	broken := func(reason pades.Code) expectation {
		return expectation{verdict: pades.Failed, integrity: pades.Broken, reason: reason}
	}
	for name, c := range map[string]struct {
		message func([]byte) []byte
		want    expectation
	}{
		"right":                      {plain.message(t, s), expectation{verdict: pades.Passed, integrity: pades.Intact}},
		"right, no attributes":       {attrs(nil), expectation{verdict: pades.Passed, integrity: pades.Intact}},
		"right, of open length":      {open(""), expectation{verdict: pades.Passed, integrity: pades.Intact}},
		"of open length, and more":   {open("\x01"), broken(pades.ReasonFormatFailure)},
		"of open length, not ended":  {func(b []byte) []byte { m := open("")(b); return m[:len(m)-200] }, broken("")},
		"two signers":                {with(func(m *messageSpec) { m.signers = 2 }), broken(pades.ReasonFormatFailure)},
		"MD5":                        {with(func(m *messageSpec) { m.digest, m.hash = oidMD5, crypto.MD5 }), expectation{verdict: pades.Indeterminate, integrity: pades.Unverifiable, reason: pades.ReasonAlgorithmUnsupported}},
		"SHA-1":                      {with(func(m *messageSpec) { m.digest, m.hash = oidSHA1, crypto.SHA1 }), expectation{verdict: pades.Indeterminate, integrity: pades.Intact}},
		"said to be of a timestamp":  {with(func(m *messageSpec) { m.kind = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4} }), broken(pades.ReasonFormatFailure)},
		"no content-type":            {attrs(func(sum []byte) [][]byte { return [][]byte{digest(sum)} }), broken(pades.ReasonFormatFailure)},
		"two content-types":          {attrs(func(sum []byte) [][]byte { return [][]byte{kind, kind, digest(sum)} }), broken(pades.ReasonFormatFailure)},
		"no message-digest":          {attrs(func([]byte) [][]byte { return [][]byte{kind} }), broken(pades.ReasonFormatFailure)},
		"two message-digests":        {attrs(func(sum []byte) [][]byte { return [][]byte{kind, digest(sum), digest(make([]byte, 32))} }), broken(pades.ReasonFormatFailure)},
		"message-digest of two":      {attrs(func(sum []byte) [][]byte { return [][]byte{kind, attributeOf(t, oidDigest, sum, make([]byte, 32))} }), broken(pades.ReasonFormatFailure)},
		"message-digest of none":     {attrs(func([]byte) [][]byte { return [][]byte{kind, attributeOf(t, oidDigest)} }), broken(pades.ReasonFormatFailure)},
		"no attribute at all":        {attrs(func([]byte) [][]byte { return nil }), broken(pades.ReasonFormatFailure)},
		"signing-certificate, other": {attrs(func(sum []byte) [][]byte { return append(right(sum), ess(sum)) }), broken("")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := verify(t, forge(t, formDoc().classic(), "adbe.pkcs7.detached", hidden, nil, c.message), s)
			require.Len(t, r.Signatures, 1)
			got := r.Signatures[0]
			assert.Equal(t, c.want.verdict, got.Verdict, "%+v", got)
			assert.Equal(t, c.want.integrity, got.Integrity, "%+v", got)
			if c.want.reason != "" {
				assert.Contains(t, got.Reasons, c.want.reason, "%+v", got)
			}
		})
	}
}

// C3: an SM2 signature under another identity is none.
func TestAttackSM2Identity(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "sm2")
	key, ok := s.key.(interface {
		SignWithSM2(r io.Reader, uid, msg []byte) ([]byte, error)
	})
	require.True(t, ok, "%T", s.key)
	for uid, want := range map[string]pades.Verdict{"1234567812345678": pades.Passed, "somebody@else.cn": pades.Failed} {
		b := forge(t, formDoc().classic(), "ETSI.CAdES.detached", hidden, nil, func(content []byte) []byte {
			m, err := cms.New(s.chain, nil)
			require.NoError(t, err)
			sum, err := cms.Sum("SM3", content)
			require.NoError(t, err)
			attributes, err := m.Attributes(sum)
			require.NoError(t, err)
			value, err := key.SignWithSM2(rand.Reader, []byte(uid), attributes)
			require.NoError(t, err)
			msg, err := m.Assemble(attributes, value)
			require.NoError(t, err)
			return msg
		})
		got := verify(t, b, s).Signatures[0]
		assert.Equal(t, want, got.Verdict, "%q: %+v", uid, got)
		if want == pades.Failed {
			assert.Contains(t, got.Reasons, pades.ReasonSigCryptoFailure)
		}
	}
}
