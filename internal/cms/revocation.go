package cms

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/cms/der"
)

// A RevocationStatus is what valid revocation data says of a certificate.
type RevocationStatus string

// Statuses.
const (
	StatusGood    RevocationStatus = "good"
	StatusRevoked RevocationStatus = "revoked"
	StatusUnknown RevocationStatus = "unknown" // the responder does not know it
)

// A Revocation is the answer of one verified OCSP response or CRL, and what
// [CreateOCSP] writes.
type Revocation struct {
	Status RevocationStatus
	// RevokedAt and Reason (RFC 5280 §5.3.1) are set when revoked.
	RevokedAt time.Time
	Reason    int
	// ThisUpdate and NextUpdate bound the data; a zero NextUpdate is not stated.
	// Produced is when an OCSP response was signed, for a CRL ThisUpdate.
	ThisUpdate, NextUpdate, Produced time.Time
	// Signer signed the data: the issuer, or its delegate for OCSP.
	Signer *x509.Certificate
	// NoCheck tells that a delegate need not be checked for revocation itself
	// (id-pkix-ocsp-nocheck, RFC 6960 §4.2.2.2.1).
	NoCheck bool
	// Nonce of an OCSP response, nil if there is none.
	Nonce []byte
	// Algorithm and Digest signed it, for the caller's policy.
	Algorithm Algorithm
	Digest    string
}

// Covers reports whether the data speaks for the instant at: from ThisUpdate,
// less five minutes for clocks that differ, to NextUpdate. Without NextUpdate
// newer data is always available (RFC 6960 §2.4), and only the instant up to
// which it was produced is covered, with the same allowance.
func (r *Revocation) Covers(at time.Time) bool {
	const skew = 5 * time.Minute
	if at.Before(r.ThisUpdate.Add(-skew)) {
		return false
	}
	if r.NextUpdate.IsZero() {
		return !at.After(r.Produced.Add(skew))
	}
	return !at.After(r.NextUpdate)
}

var (
	oidReasonCode     = der.MustOID("2.5.29.21")
	oidInvalidityDate = der.MustOID("2.5.29.24")
	oidDistribution   = der.MustOID("2.5.29.28")
	oidFreshestCRL    = der.MustOID("2.5.29.46")
	oidCRLNumber      = der.MustOID("2.5.29.20")
	oidAuthorityKeyID = der.MustOID("2.5.29.35")
	oidAuthorityInfo  = der.MustOID("1.3.6.1.5.5.7.1.1")
)

// extensions calls f for every element of a SEQUENCE OF Extension.
func extensions(list *der.Cursor, f func(id der.OID, critical bool, value []byte) error) {
	for list.More() {
		c := list.Inner(der.Sequence)
		id := c.OID()
		critical := false
		if v := c.Maybe(der.Boolean); v.Present() {
			critical, _ = v.Bool()
		}
		value := c.Octets()
		if c.Done() == nil {
			c.Check(f(id, critical, value))
		}
	}
}

// CheckCRL verifies a CRL as one that covers cert, whose issuer is issuer, and
// returns what it says. The CRL must be issuer's own: complete, or partitioned
// so that cert is in its part. Other scopes are [ErrScope]; delta and indirect
// CRLs and unknown critical extensions are [ErrUnsupported]; a bad signature
// is [ErrSignature]. Whether the data is fresh is for [Revocation.Covers].
func CheckCRL(crl []byte, cert, issuer *x509.Certificate) (*Revocation, error) {
	v, err := der.ParseLong(crl)
	if err != nil {
		return nil, fmt.Errorf("%w: CRL: %w", ErrMalformed, err)
	}
	l := crlReader{cert: cert, out: Revocation{Status: StatusGood, Signer: issuer}}
	if err := l.read(v.Enter().Want(der.Sequence)); err != nil {
		return nil, fmt.Errorf("%w: CRL: %w", ErrMalformed, err)
	}
	switch {
	case !sameName(l.issuer, issuer.RawSubject), !sameName(cert.RawIssuer, issuer.RawSubject):
		return nil, fmt.Errorf("%w: CRL of another issuer", ErrScope)
	case l.scope != nil:
		return nil, l.scope
	case issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return nil, fmt.Errorf("%w: issuer's key may not sign CRLs", ErrSignature)
	}
	if l.out.Algorithm, l.out.Digest, err = checkSigned(v, issuer); err != nil {
		return nil, err
	}
	return &l.out, nil
}

type crlReader struct {
	cert   *x509.Certificate
	issuer []byte
	scope  error // what the extensions rule out
	out    Revocation
}

// read reads TBSCertList (RFC 5280 §5.1.2).
func (l *crlReader) read(tbs der.Value) error {
	c := tbs.Enter()
	if v := c.Maybe(der.Integer); v.Present() {
		if n, err := v.Small(); err != nil || n > 1 {
			c.Check(fmt.Errorf("%w: version", der.ErrSyntax))
		}
	}
	readAlgorithm(c)
	l.issuer = c.Want(der.Sequence).Raw
	l.out.ThisUpdate = c.Time()
	l.out.Produced = l.out.ThisUpdate
	next := c.Maybe(der.UTCTime)
	if !next.Present() {
		next = c.Maybe(der.GeneralizedTime)
	}
	if next.Present() {
		t, err := next.Time()
		c.Check(err)
		l.out.NextUpdate = t
	}
	if v := c.Maybe(der.Sequence); v.Present() {
		l.entries(c.Sub(v))
	}
	if v := c.Maybe(der.Context(0) | der.Constructed); v.Present() {
		in := c.Sub(v)
		extensions(in.Inner(der.Sequence), l.extension)
		in.Done()
	}
	return c.Done()
}

func (l *crlReader) entries(list *der.Cursor) {
	var want der.Builder
	want.Int(l.cert.SerialNumber)
	serial := want.Bytes()[2:]
	for list.More() {
		c := list.Inner(der.Sequence)
		n := c.Want(der.Integer)
		if string(n.Body) != string(serial) {
			// Only a certificateIssuer extension could make another entry matter,
			// and an indirect CRL must say so of itself.
			continue
		}
		l.out.Status = StatusRevoked
		l.out.RevokedAt = c.Time()
		if v := c.Maybe(der.Sequence); v.Present() {
			extensions(c.Sub(v), func(id der.OID, critical bool, value []byte) error {
				switch {
				case id == oidReasonCode:
					reason, err := der.Parse(value)
					if err != nil {
						return err
					}
					l.out.Reason, err = reason.Small()
					return err
				case critical && id != oidInvalidityDate:
					l.scope = fmt.Errorf("%w: CRL entry extension %s", ErrUnsupported, id)
				}
				return nil
			})
		}
		c.Done()
	}
}

func (l *crlReader) extension(id der.OID, critical bool, value []byte) error {
	switch {
	case id == oidDistribution:
		v, err := der.Parse(value)
		if err != nil {
			return err
		}
		return l.distribution(v.Enter())
	case id == oidFreshestCRL, id == oidCRLNumber, id == oidAuthorityKeyID, id == oidAuthorityInfo:
	case critical:
		// A delta CRL marks itself so (2.5.29.27).
		l.scope = fmt.Errorf("%w: CRL extension %s", ErrUnsupported, id)
	}
	return nil
}

// distribution reads IssuingDistributionPoint (RFC 5280 §5.2.5).
func (l *crlReader) distribution(c *der.Cursor) error {
	out := func(format string, args ...any) {
		if l.scope == nil {
			l.scope = fmt.Errorf(format, args...)
		}
	}
	for c.More() {
		v := c.Next()
		set := v.Tag&der.Constructed == 0 && len(v.Body) == 1 && v.Body[0] != 0
		switch v.Tag {
		case der.Context(0) | der.Constructed:
			if !l.names(c.Sub(v)) {
				out("%w: CRL of another distribution point", ErrScope)
			}
		case der.Context(1):
			if set && l.cert.IsCA {
				out("%w: CRL of end entities only", ErrScope)
			}
		case der.Context(2):
			if set && !l.cert.IsCA {
				out("%w: CRL of CAs only", ErrScope)
			}
		case der.Context(3):
			out("%w: CRL of some reasons only", ErrScope)
		case der.Context(4):
			if set {
				out("%w: indirect CRL", ErrUnsupported)
			}
		case der.Context(5):
			if set {
				out("%w: CRL of attribute certificates", ErrScope)
			}
		}
	}
	return c.Err()
}

// names reports whether a DistributionPointName gives an address that the
// certificate names too.
func (l *crlReader) names(c *der.Cursor) bool {
	full := c.Next()
	if !full.Is(der.Context(0) | der.Constructed) {
		return false
	}
	for names := c.Sub(full); names.More(); {
		n := names.Next()
		for _, u := range l.cert.CRLDistributionPoints {
			if n.Is(der.Context(6)) && string(n.Body) == u {
				return true
			}
		}
	}
	return false
}
