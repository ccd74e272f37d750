package cms_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
)

func requireReason(t *testing.T, want cms.Reason, err error) {
	t.Helper()
	var ve *cms.VerifyError
	require.ErrorAs(t, err, &ve)
	require.Equal(t, want, ve.Reason, "%v", err)
}

// attribute encodes one attribute with its values.
func attribute(o der.OID, values ...[]byte) []byte {
	var b der.Builder
	m := b.Begin(der.Sequence)
	b.OID(o)
	b.SetOf(der.Set, values...)
	b.End(m)
	return b.Bytes()
}

func encoded(f func(b *der.Builder)) []byte {
	var b der.Builder
	f(&b)
	return b.Bytes()
}

// forge signs any set of attributes with the pki's real key.
func forge(t *testing.T, p *pki, attrs ...[]byte) []byte {
	t.Helper()
	tpl, err := cms.New(p.chain, &cms.Options{Algorithm: p.alg})
	require.NoError(t, err)
	set := encoded(func(b *der.Builder) { b.SetOf(der.Set, attrs...) })
	tbs, err := tpl.ToSign(set)
	require.NoError(t, err)
	sig, err := tpl.Sign(p.key, tbs)
	require.NoError(t, err)
	msg, err := tpl.Assemble(set, sig)
	require.NoError(t, err)
	return msg
}

func essV2(hash []byte) []byte {
	return encoded(func(b *der.Builder) {
		a := b.Begin(der.Sequence)
		l := b.Begin(der.Sequence)
		c := b.Begin(der.Sequence)
		b.Octets(hash)
		b.End(c)
		b.End(l)
		b.End(a)
	})
}

func TestReasons(t *testing.T) {
	t.Parallel()
	p := pkiOf(t, "p256")
	sum := sha256.Sum256(content)
	oid := func(o der.OID) []byte { return encoded(func(b *der.Builder) { b.OID(o) }) }
	octets := func(v []byte) []byte { return encoded(func(b *der.Builder) { b.Octets(v) }) }
	data, digest := attribute(cms.OIDContentType, oid(cms.OIDData)), attribute(cms.OIDMessageDigest, octets(sum[:]))
	leaf := sha256.Sum256(p.chain[0].Raw)
	other := sha256.Sum256(p.chain[1].Raw)
	ess := attribute(cms.OIDSigningCertificateV2, essV2(leaf[:]))

	_, err := verify(forge(t, p, data, digest, ess), content)
	require.NoError(t, err)
	v, err := verify(forge(t, p, data, digest), content)
	require.NoError(t, err, "the attribute is the caller's demand")
	assert.Equal(t, cms.Unbound, v.Binding)

	for name, c := range map[string]struct {
		want  cms.Reason
		attrs [][]byte
	}{
		"V4 no content-type":              {cms.ReasonContentType, [][]byte{digest, ess}},
		"V4 other content-type":           {cms.ReasonContentType, [][]byte{attribute(cms.OIDContentType, oid(cms.OIDTSTInfo)), digest, ess}},
		"V4 two content-types":            {cms.ReasonFormat, [][]byte{data, attribute(cms.OIDContentType, oid(cms.OIDTSTInfo)), digest, ess}},
		"V4 no message-digest":            {cms.ReasonFormat, [][]byte{data, ess}},
		"V4 message-digest with two":      {cms.ReasonFormat, [][]byte{data, attribute(cms.OIDMessageDigest, octets(sum[:]), octets(leaf[:])), ess}},
		"V4 other message-digest":         {cms.ReasonDigest, [][]byte{data, attribute(cms.OIDMessageDigest, octets(leaf[:])), ess}},
		"V4 signing-certificate of other": {cms.ReasonSigningCertificate, [][]byte{data, digest, attribute(cms.OIDSigningCertificateV2, essV2(other[:]))}},
		"V4 signing-certificate empty":    {cms.ReasonSigningCertificate, [][]byte{data, digest, attribute(cms.OIDSigningCertificateV2, []byte{0x30, 0})}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := verify(forge(t, p, c.attrs...), content)
			requireReason(t, c.want, err)
		})
	}
	t.Run("signature", func(t *testing.T) {
		t.Parallel()
		msg := signed(t, p, content, nil)
		s := signerOf(t, msg)
		i := bytes.Index(msg, s.Signature)
		msg[i+len(s.Signature)-1] ^= 1
		_, err := verify(msg, content)
		requireReason(t, cms.ReasonSignature, err)
		require.ErrorIs(t, err, cms.ErrSignature)
	})
	t.Run("no certificate, then supplied", func(t *testing.T) {
		t.Parallel()
		msg := signed(t, p, content, &cms.Options{NoCertificates: true})
		sd, err := cms.Parse(msg)
		require.NoError(t, err)
		assert.Empty(t, sd.Certificates)
		_, err = sd.Verify(sd.Signers[0], cms.VerifyOptions{Digest: sum[:]})
		requireReason(t, cms.ReasonNoCertificate, err)
		require.ErrorIs(t, err, cms.ErrNoCertificate)
		_, err = sd.Verify(sd.Signers[0], cms.VerifyOptions{Digest: sum[:], Certificates: p.chain})
		require.NoError(t, err)
	})
	t.Run("digest of the wrong length", func(t *testing.T) {
		t.Parallel()
		sd, err := cms.Parse(signed(t, p, content, nil))
		require.NoError(t, err)
		_, err = sd.Verify(sd.Signers[0], cms.VerifyOptions{})
		requireReason(t, cms.ReasonDigest, err)
	})
	t.Run("the algorithms of signature and digest differ", func(t *testing.T) {
		t.Parallel()
		// SHA-256 becomes SHA-512 beside ecdsa-with-SHA256.
		msg := bytes.ReplaceAll(signed(t, p, content, nil), []byte("\x60\x86\x48\x01\x65\x03\x04\x02\x01"), []byte("\x60\x86\x48\x01\x65\x03\x04\x02\x03"))
		sd, err := cms.Parse(msg)
		require.NoError(t, err)
		_, err = sd.Verify(sd.Signers[0], cms.VerifyOptions{Digest: make([]byte, 64)})
		requireReason(t, cms.ReasonDigest, err)
	})
	t.Run("RFC 8419 another digest than the curve's", func(t *testing.T) {
		t.Parallel()
		msg := bytes.ReplaceAll(forge(t, pkiOf(t, "ed25519"), data, digest), []byte("\x60\x86\x48\x01\x65\x03\x04\x02\x03"), []byte("\x60\x86\x48\x01\x65\x03\x04\x02\x01"))
		_, err := verify(msg, content)
		requireReason(t, cms.ReasonAlgorithm, err)
		require.ErrorIs(t, err, cms.ErrUnsupported)
	})
	t.Run("unknown digest", func(t *testing.T) {
		t.Parallel()
		msg := bytes.ReplaceAll(signed(t, p, content, nil), []byte("\x60\x86\x48\x01\x65\x03\x04\x02\x01"), []byte("\x60\x86\x48\x01\x65\x03\x04\x02\x7f"))
		sd, err := cms.Parse(msg)
		require.NoError(t, err)
		assert.Empty(t, sd.Signers[0].Digest)
		_, err = sd.Verify(sd.Signers[0], cms.VerifyOptions{Digest: sum[:]})
		requireReason(t, cms.ReasonAlgorithm, err)
		require.ErrorIs(t, err, cms.ErrUnsupported)
	})
}

// adbe.pkcs7.sha1 embeds the SHA-1 of the byte range as content.
func TestEmbeddedDigest(t *testing.T) {
	t.Parallel()
	p := pkiOf(t, "rsa")
	sum, err := cms.Sum("SHA-1", content)
	require.NoError(t, err)
	tpl, err := cms.New(p.chain, &cms.Options{Content: sum})
	require.NoError(t, err)
	over, err := cms.Sum(tpl.Digest(), sum)
	require.NoError(t, err)
	attrs, err := tpl.Attributes(over)
	require.NoError(t, err)
	tbs, err := tpl.ToSign(attrs)
	require.NoError(t, err)
	sig, err := tpl.Sign(p.key, tbs)
	require.NoError(t, err)
	msg, err := tpl.Assemble(attrs, sig)
	require.NoError(t, err)
	sd, err := cms.Parse(msg)
	require.NoError(t, err)
	require.True(t, sd.HasContent)
	assert.Equal(t, sum, sd.Content)
	got, err := sd.ContentDigest(sd.Signers[0])
	require.NoError(t, err)
	_, err = sd.Verify(sd.Signers[0], cms.VerifyOptions{Digest: got})
	require.NoError(t, err)
	detached, err := cms.Parse(signed(t, p, content, nil))
	require.NoError(t, err)
	_, err = detached.ContentDigest(detached.Signers[0])
	require.ErrorIs(t, err, cms.ErrMalformed)
}

func TestSignedAttributes(t *testing.T) {
	t.Parallel()
	p := pkiOf(t, "p256")
	types := func(o *cms.Options) (out []string) {
		for _, a := range signerOf(t, signed(t, p, content, o)).Signed {
			require.Len(t, a.Values, 1)
			out = append(out, a.Type.String())
		}
		return out
	}
	ct, md, st, ess := cms.OIDContentType.String(), cms.OIDMessageDigest.String(), cms.OIDSigningTime.String(), cms.OIDSigningCertificateV2.String()
	assert.ElementsMatch(t, []string{ct, md, ess}, types(nil), "C1: exactly these")
	assert.ElementsMatch(t, []string{ct, md, ess, st}, types(&cms.Options{SigningTime: when}), "C1: profile cms")
	at, ok := signerOf(t, signed(t, p, content, &cms.Options{SigningTime: when})).SigningTime()
	assert.True(t, ok)
	assert.Equal(t, when, at)
	_, ok = signerOf(t, signed(t, p, content, nil)).SigningTime()
	assert.False(t, ok)
	// DER SET OF order, checked by the standard library's marshaller.
	var set asn1.RawValue
	_, err := asn1.Unmarshal(signerOf(t, signed(t, p, content, nil)).SignedAttributes, &set)
	require.NoError(t, err)
	var last, next asn1.RawValue
	for rest := set.Bytes; len(rest) > 0; last = next {
		rest, err = asn1.Unmarshal(rest, &next)
		require.NoError(t, err)
		assert.Negative(t, bytes.Compare(last.FullBytes, next.FullBytes))
	}
}

func TestUnsignedAttributes(t *testing.T) {
	t.Parallel()
	p := pkiOf(t, "p256")
	token := encoded(func(b *der.Builder) { b.Octets([]byte("stands for a token")) })
	archive := encoded(func(b *der.Builder) {
		s := b.Begin(der.Sequence)
		for i, v := range []string{"crl", "ocsp"} {
			x := b.Begin(der.Context(byte(i)) | der.Constructed)
			l := b.Begin(der.Sequence)
			b.Octets([]byte(v))
			b.End(l)
			b.End(x)
		}
		b.End(s)
	})
	msg := signed(t, p, content, nil,
		cms.Attribute{Type: cms.OIDSignatureTimestamp, Values: [][]byte{token}},
		cms.Attribute{Type: cms.OIDRevocationArchive, Values: [][]byte{archive}})
	_, err := verify(msg, content)
	require.NoError(t, err)
	s := signerOf(t, msg)
	assert.Equal(t, [][]byte{token}, s.Timestamps())
	crls, ocsps := s.RevocationArchive()
	assert.Equal(t, [][]byte{[]byte("\x04\x03crl")}, crls)
	assert.Equal(t, [][]byte{[]byte("\x04\x04ocsp")}, ocsps)
}

func TestSM2Forms(t *testing.T) {
	t.Parallel()
	p := pkiOf(t, "sm2")
	for gmt, want := range map[bool][]string{
		false: {"1.2.840.113549.1.7.1", "1.2.156.10197.1.501"},
		true:  {"1.2.156.10197.6.1.4.2.1", "1.2.156.10197.1.301.1"},
	} {
		sd, err := cms.Parse(signed(t, p, content, &cms.Options{GMT: gmt}))
		require.NoError(t, err)
		assert.Equal(t, want, []string{sd.ContentType.String(), sd.Signers[0].SignatureOID.String()}, "C3")
		assert.Equal(t, "1.2.156.10197.1.401", sd.Signers[0].DigestOID.String())
	}
}

// recorder notes what a key is asked to sign.
type recorder struct {
	crypto.Signer
	input []byte
	opts  crypto.SignerOpts
}

func (r *recorder) Sign(rnd io.Reader, b []byte, o crypto.SignerOpts) ([]byte, error) {
	r.input, r.opts = bytes.Clone(b), o
	return r.Signer.Sign(rnd, b, o)
}

func TestWhatKeysGet(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]struct {
		size int
		hash crypto.Hash
	}{
		"rsa": {32, crypto.SHA256}, "rsapss": {32, crypto.SHA256}, "p256": {32, crypto.SHA256}, "p384": {48, crypto.SHA384},
		"p521": {64, crypto.SHA512}, "ed25519": {-1, 0}, "sm2": {32, 0},
	} {
		t.Run("C2 C3 "+kind, func(t *testing.T) {
			t.Parallel()
			p := pkiOf(t, kind)
			tpl, err := cms.New(p.chain, &cms.Options{Algorithm: p.alg})
			require.NoError(t, err)
			n, err := cms.DigestSize(tpl.Digest())
			require.NoError(t, err)
			attrs, err := tpl.Attributes(make([]byte, n))
			require.NoError(t, err)
			tbs, err := tpl.ToSign(attrs)
			require.NoError(t, err)
			r := &recorder{Signer: p.key}
			require.NoError(t, tpl.CheckKey(r), "C4: the leaf decides, not the signer's type")
			_, err = tpl.Sign(r, tbs)
			require.NoError(t, err)
			assert.Equal(t, want.hash, r.opts.HashFunc())
			if want.size < 0 {
				assert.Equal(t, attrs, r.input)
			} else {
				assert.Len(t, r.input, want.size)
			}
		})
	}
}

func TestKeyMismatch(t *testing.T) {
	t.Parallel()
	for _, a := range kinds {
		p := pkiOf(t, a)
		for _, b := range kinds {
			err := cms.CheckKey(pkiOf(t, b).key, p.chain[0])
			if a == b {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, cms.ErrKeyMismatch, "C4: %s key, %s leaf", b, a)
			}
		}
		require.ErrorIs(t, cms.CheckKey(newKey(t, a), p.chain[0]), cms.ErrKeyMismatch)
	}
	require.ErrorIs(t, cms.CheckKey(nil, pkiOf(t, "rsa").chain[0]), cms.ErrKeyMismatch)
}

func TestNotWritten(t *testing.T) {
	t.Parallel()
	p := pkiOf(t, "p256")
	for _, a := range []cms.Algorithm{cms.RSA, cms.RSAPSS, cms.Ed25519, cms.SM2, "dsa"} {
		_, err := cms.New(p.chain, &cms.Options{Algorithm: a})
		require.ErrorIs(t, err, cms.ErrUnsupported)
	}
	short := weakRSA(t)
	_, err := cms.New([]*x509.Certificate{short}, nil)
	require.ErrorIs(t, err, cms.ErrUnsupported, "C2: RSA below 2048 bits")
	_, err = cms.New(nil, nil)
	require.ErrorIs(t, err, cms.ErrMalformed)
	_, err = cms.New([]*x509.Certificate{{}}, nil)
	require.ErrorIs(t, err, cms.ErrMalformed)
	tpl, err := cms.New(p.chain, nil)
	require.NoError(t, err)
	_, err = tpl.Attributes(make([]byte, 20))
	require.ErrorIs(t, err, cms.ErrMalformed)
	_, err = tpl.Assemble([]byte("no set"), []byte("x"))
	require.ErrorIs(t, err, cms.ErrMalformed)
	require.ErrorIs(t, tpl.Check([]byte{0x31, 0}, []byte("x")), cms.ErrSignature)
}

func TestDigests(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512", "SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512", "SM3", "SHAKE256"} {
		h, err := cms.NewHash(name)
		require.NoError(t, err)
		n, err := cms.DigestSize(name)
		require.NoError(t, err)
		assert.Equal(t, n, h.Size())
		o, err := cms.DigestOID(name)
		require.NoError(t, err)
		back, err := cms.DigestName(o)
		require.NoError(t, err)
		assert.Equal(t, name, back)
		// W12: a hash goes on from its stored state.
		in := make([]byte, 1000)
		rand.Read(in)
		h.Write(in[:777])
		state, err := cms.SaveHash(h)
		require.NoError(t, err)
		g, err := cms.RestoreHash(name, state)
		require.NoError(t, err)
		g.Write(in[777:])
		want, err := cms.Sum(name, in)
		require.NoError(t, err)
		assert.Equal(t, want, g.Sum(nil))
		_, err = cms.RestoreHash(name, state[1:])
		require.ErrorIs(t, err, cms.ErrMalformed)
	}
	_, err := cms.NewHash("MD5")
	require.ErrorIs(t, err, cms.ErrUnsupported)
	// GB/T 32905 A.1
	h := cms.SM3()
	h.Write([]byte("abc"))
	assert.Equal(t, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0", hexOf(h.Sum(nil)))
}
