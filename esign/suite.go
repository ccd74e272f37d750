package esign

import (
	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/privacy"
)

// SM4Suite seals personal data by SM4-GCM (GB/T 32907, RFC 8998) where a host must
// use the Chinese national ciphers (国密):
//
//	esign.Config{Privacy: privacy.Config{Suite: esign.SM4Suite(), ...}, ...}
//
// It uses the first 16 of the 32 bytes of each key. What was sealed under AES-256-GCM
// before stays readable; the way back is not open, as a vault without this suite
// cannot read what it sealed.
func SM4Suite() privacy.Suite {
	return privacy.Suite{ID: "sm4gcm", KeySize: 16, New: cms.SM4GCM}
}
