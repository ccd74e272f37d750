package cms

import (
	"crypto/x509"
	"time"
)

// A RevocationStatus is what valid revocation data says of a certificate.
type RevocationStatus string

// Statuses.
const (
	StatusGood    RevocationStatus = "good"
	StatusRevoked RevocationStatus = "revoked"
	StatusUnknown RevocationStatus = "unknown" // the responder does not know it
)

// A Revocation is the answer of one verified OCSP response or CRL.
type Revocation struct {
	Status RevocationStatus
	// RevokedAt and Reason (RFC 5280 §5.3.1) are set when revoked.
	RevokedAt time.Time
	Reason    int
	// ThisUpdate and NextUpdate bound the data; a zero NextUpdate is not stated.
	// Produced is when an OCSP response was signed.
	ThisUpdate, NextUpdate, Produced time.Time
	// Signer signed the data: the issuer or its delegate.
	Signer *x509.Certificate
	// Nonce of an OCSP response, nil if there is none.
	Nonce []byte
	// Algorithm and Digest signed it, for the caller's policy.
	Algorithm Algorithm
	Digest    string
}
