package cms

import (
	"crypto/cipher"
	"fmt"

	"github.com/emmansun/gmsm/sm4"
)

// SM4GCM is SM4 (GB/T 32907) in Galois/counter mode with a nonce of 12 and a tag of 16
// bytes (RFC 8998). key has 16 bytes.
func SM4GCM(key []byte) (cipher.AEAD, error) {
	b, err := sm4.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("cms: sm4: %w", err)
	}
	return cipher.NewGCM(b)
}
