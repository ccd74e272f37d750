package cms_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/cms"
)

// BenchmarkSign is everything but the key operation.
func BenchmarkSign(b *testing.B) {
	for _, k := range []string{"p256", "rsa"} {
		b.Run(k, func(b *testing.B) {
			p := pkiOf(b, k)
			sum, err := cms.Sum("SHA-256", content)
			require.NoError(b, err)
			sig := make([]byte, 256)
			b.ReportAllocs()
			for b.Loop() {
				t, err := cms.New(p.chain, &cms.Options{Algorithm: p.alg})
				require.NoError(b, err)
				attrs, err := t.Attributes(sum)
				require.NoError(b, err)
				_, err = t.ToSign(attrs)
				require.NoError(b, err)
				_, err = t.MaxSize(0)
				require.NoError(b, err)
				_, err = t.Assemble(attrs, sig)
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, k := range []string{"p256", "rsa", "ed25519", "sm2"} {
		b.Run(k, func(b *testing.B) {
			msg := signed(b, pkiOf(b, k), content, nil)
			b.ReportAllocs()
			for b.Loop() {
				_, err := verify(msg, content)
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkForeign is the price of curves done with big integers.
func BenchmarkForeign(b *testing.B) {
	for file, alg := range map[string]cms.Algorithm{"ed448.pem": cms.Ed448, "brainpool512.pem": cms.ECDSA} {
		b.Run(file, func(b *testing.B) {
			text, err := os.ReadFile("testdata/" + file)
			require.NoError(b, err)
			c, err := cms.ParseCertificates(text)
			require.NoError(b, err)
			got, err := cms.KeyAlgorithm(c[0])
			require.NoError(b, err)
			require.Equal(b, alg, got)
			for b.Loop() {
				require.NoError(b, cms.CheckIssued(c[0], c[0]))
			}
		})
	}
}
