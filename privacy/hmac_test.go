package privacy

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The HMAC and HKDF written out for speed are those of the standard library.
func TestSaltIsHKDF(t *testing.T) {
	t.Parallel()
	for n := range 700 {
		key, msg := make([]byte, 32), make([]byte, n)
		_, _ = rand.Read(key)
		_, _ = rand.Read(msg)
		m := hmac.New(sha256.New, key)
		m.Write(msg)
		sum := hmac256(key, msg)
		require.Equal(t, m.Sum(nil), sum[:])
		want, err := hkdf.Key(sha256.New, key, nil, string(lp([]byte(saltLabel), string(FieldPhone))), 32)
		require.NoError(t, err)
		assert.Equal(t, want, salt(key, FieldPhone))
	}
}
