package cms_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/cms"
)

// Every byte of a message is changed in turn. What still verifies must be the
// same signature by the same key over the same content: bytes outside the
// signed attributes (unsigned identifiers, other certificates) are free.
func TestEveryByteFlipped(t *testing.T) {
	t.Parallel()
	for _, k := range []string{"rsa", "rsapss", "p256", "p521", "ed25519", "sm2"} {
		t.Run(k, func(t *testing.T) {
			t.Parallel()
			p := pkiOf(t, k)
			short := *p
			short.chain = p.chain[:1] // other certificates are free to change
			msg := signed(t, &short, content, nil)
			good := signerOf(t, msg)
			accepted, masks := 0, []byte{0x01, 0x20, 0x80, 0xff}
			if testing.Short() || k == "p521" || k == "p384" { // a slow key
				masks = masks[:1]
			}
			for i := range msg {
				for _, x := range masks {
					bad := bytes.Clone(msg)
					bad[i] ^= x
					v, err := verify(bad, content)
					if err != nil {
						continue
					}
					accepted++
					s := signerOf(t, bad)
					require.True(t, bytes.Equal(good.Signature, s.Signature) &&
						bytes.Equal(good.SignedAttributes, s.SignedAttributes) && good.Digest == s.Digest &&
						bytes.Equal(p.chain[0].Raw, v.Certificate.Raw) && p.alg == v.Algorithm, "byte %d", i)
					_, err = verify(bad, content[1:])
					require.Error(t, err, "byte %d: another content", i)
				}
			}
			t.Logf("%d bytes, %d of %d changes leave the signature whole", len(msg), accepted, len(masks)*len(msg))
		})
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	msg := signed(t, pkiOf(t, "p256"), content, nil)
	for i := range msg {
		_, err := cms.Parse(msg[:i])
		require.ErrorIs(t, err, cms.ErrMalformed)
		_, err = cms.ParseCertificates(msg[i:])
		require.Error(t, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, k := range []string{"p256", "ed25519", "sm2"} {
		p := pkiOf(f, k)
		f.Add(signed(f, p, content, nil))
		f.Add(signed(f, p, content, &cms.Options{Content: content, GMT: true, SigningTime: when}))
	}
	// Indefinite lengths, constructed strings.
	f.Add([]byte("\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80\x24\x80\x04\x01\x61\x00\x00\x00\x00\x00\x00\x31\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sd, err := cms.Parse(b)
		if err != nil {
			require.ErrorIs(t, err, cms.ErrMalformed)
			return
		}
		assert.Len(t, sd.Raw, len(b)-len(sd.Trailing))
		for _, s := range sd.Signers {
			s.SigningTime()
			s.Timestamps()
			s.RevocationArchive()
			sum, err := cms.Sum(s.Digest, content)
			if err != nil {
				continue
			}
			if _, err := sd.Verify(s, cms.VerifyOptions{Digest: sum}); err != nil {
				var ve *cms.VerifyError
				require.ErrorAs(t, err, &ve)
			}
		}
	})
}
