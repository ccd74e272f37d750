package cms_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
)

// R9: every parser of outside bytes has a limit.
func TestLimits(t *testing.T) {
	t.Parallel()
	p := pkiOf(t, "p256")
	huge := encoded(func(b *der.Builder) {
		m := b.Begin(der.Sequence)
		b.Octets(make([]byte, der.MaxSize))
		b.End(m)
	})
	_, err := cms.Parse(huge)
	require.ErrorIs(t, err, cms.ErrMalformed)
	require.ErrorIs(t, err, der.ErrLimit)
	_, err = cms.ParseCertificate(huge)
	require.ErrorIs(t, err, der.ErrLimit)
	_, err = cms.ParseCertificates(huge)
	require.ErrorIs(t, err, der.ErrLimit)
	_, err = cms.ParseCertificates(make([]byte, 4*der.MaxSize+1))
	require.ErrorIs(t, err, der.ErrLimit)
	_, err = cms.ParseCertificates(bytes.Repeat(p.chain[0].Raw, 1001))
	require.ErrorIs(t, err, der.ErrLimit)
	_, err = cms.ParseOCSP(huge)
	require.ErrorIs(t, err, der.ErrLimit)
	_, err = cms.ParseOCSPRequest(huge)
	require.ErrorIs(t, err, cms.ErrMalformed)
	_, err = cms.ParseRequest(huge)
	require.ErrorIs(t, err, der.ErrLimit)
	_, err = cms.CheckCRL(append([]byte{0x30, 0x84, 0x04, 0, 0, 1}, make([]byte, der.MaxList+1)...), p.chain[0], p.chain[1])
	require.ErrorIs(t, err, der.ErrLimit)

	// More of everything than a message may have.
	many := func(n int, tag byte, body []byte) []byte {
		return encoded(func(b *der.Builder) {
			m := b.Begin(tag)
			for range n {
				b.Raw(body)
			}
			b.End(m)
		})
	}
	empty := many(0, der.Set, nil)
	message := func(digests, certs, signers []byte) []byte {
		return encoded(func(b *der.Builder) {
			info := b.Begin(der.Sequence)
			b.OID(cms.OIDSignedData)
			outer := b.Begin(der.Context(0) | der.Constructed)
			sd := b.Begin(der.Sequence)
			b.Small(1)
			b.Raw(digests)
			c := b.Begin(der.Sequence)
			b.OID(cms.OIDData)
			b.End(c)
			b.Raw(certs)
			b.Raw(signers)
			b.End(sd)
			b.End(outer)
			b.End(info)
		})
	}
	digest := encoded(func(b *der.Builder) {
		m := b.Begin(der.Sequence)
		b.OID(cms.OIDData)
		b.End(m)
	})
	none := many(0, der.Context(0)|der.Constructed, nil)
	_, err = cms.Parse(message(many(64, der.Set, digest), many(1000, der.Context(0)|der.Constructed, []byte{0x30, 0}), empty))
	require.NoError(t, err)
	_, err = cms.Parse(message(many(65, der.Set, digest), none, empty))
	require.ErrorIs(t, err, der.ErrLimit)
	_, err = cms.Parse(message(empty, many(1001, der.Context(0)|der.Constructed, []byte{0x30, 0}), empty))
	require.ErrorIs(t, err, der.ErrLimit)
	sd, err := cms.Parse(signed(t, p, content, nil))
	require.NoError(t, err)
	v, err := der.Parse(sd.Raw)
	require.NoError(t, err)
	in := v.Enter()
	in.Next()
	last := in.Inner(der.Context(0) | der.Constructed).Inner(der.Sequence)
	var set der.Value
	for last.More() {
		set = last.Next()
	}
	_, err = cms.Parse(message(empty, none, many(64, der.Set, set.Body)))
	require.NoError(t, err)
	_, err = cms.Parse(message(empty, none, many(65, der.Set, set.Body)))
	require.ErrorIs(t, err, der.ErrLimit)
}
