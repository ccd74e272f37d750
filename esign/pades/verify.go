package pades

import (
	"crypto/x509"
	"time"
)

// VerifyOptions say whom to trust and when. Nil trusts nobody.
type VerifyOptions struct {
	Open        *OpenOptions
	Roots       []*x509.Certificate // trust anchors; a leaf may be one
	SystemRoots bool                // trust the system's store too
	At          time.Time           // when the question is asked; zero = now
	Revocation  RevocationSource    // nil = offline: what the document holds

	// AllowUnknownRevocation accepts a certificate that names a source of
	// revocation data when none is available, instead of TRY_LATER.
	AllowUnknownRevocation bool
}
