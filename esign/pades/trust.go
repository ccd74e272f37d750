package pades

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/tsp"
)

// trust looks for a path from the signing certificate to a root the caller
// gave (V10).
func (v *verifier) trust(s *signature) {
	s.report.Trust = TrustUnknown
	if s.cms == nil || s.report.Integrity != Intact {
		return
	}
	leaf, usage := v.leaf(s)
	if leaf == nil {
		return
	}
	v.timestamps(s)
	if len(v.opt.Roots) == 0 && !v.opt.SystemRoots {
		s.because(Indeterminate, ReasonNoTrustAnchor)
		return
	}
	at := v.opt.At
	if s.report.Timestamp != nil {
		at = *s.report.Timestamp
	}
	_, err := v.path(leaf, s.cms.data.Embedded(), usage, at)
	if err == nil {
		s.report.Trust = Trusted
		return
	}
	s.report.Trust = Untrusted
	e, ok := errors.AsType[*cms.ChainError](err)
	code := ReasonNoChain
	if ok {
		switch e.Reason {
		case cms.ChainExpired:
			s.report.Trust, code = Trusted, ReasonOutOfBoundsNoPOE
		case cms.ChainNotYetValid:
			code = ReasonNotYetValid
		case cms.ChainAlgorithm:
			code = ReasonAlgorithmUnsupported
		}
	}
	s.because(Indeterminate, code)
}

// leaf returns the certificate to be trusted, and what it must be good for.
func (v *verifier) leaf(s *signature) (*x509.Certificate, x509.ExtKeyUsage) {
	switch {
	case s.cms.proved != nil:
		return s.cms.proved.Certificate, 0
	case s.cms.token != nil:
		return s.cms.token.Certificate, x509.ExtKeyUsageTimeStamping
	}
	return nil, 0
}

// path builds a chain to the caller's roots at an instant.
func (v *verifier) path(leaf *x509.Certificate, embedded []*x509.Certificate, usage x509.ExtKeyUsage, at time.Time) ([]*x509.Certificate, error) {
	path, err := cms.BuildChain(leaf, cms.ChainOptions{
		Roots: v.opt.Roots, Intermediates: append(slices.Clone(embedded), v.more...), At: at, Usage: usage,
	})
	if err == nil || !v.opt.SystemRoots {
		return path, err
	}
	pool := x509.NewCertPool()
	for _, c := range append(slices.Clone(embedded), v.more...) {
		pool.AddCert(c)
	}
	chains, sysErr := leaf.Verify(x509.VerifyOptions{Intermediates: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if sysErr == nil && len(chains) > 0 {
		return chains[0], nil
	}
	return path, err
}

// timestamps takes the time from the signature timestamps that verify and lead
// to a root; others prove nothing, and broken ones are told.
func (v *verifier) timestamps(s *signature) {
	if s.report.SubFilter == subFilterStamp {
		if t := s.cms.token; t != nil && v.trustedToken(t) {
			at := t.Time
			s.report.Timestamp = &at
		}
		return
	}
	for _, raw := range s.cms.signer.Timestamps() {
		t, err := tsp.Read(raw)
		if err == nil {
			var sum []byte
			if sum, err = cms.Sum(t.Digest, s.cms.signer.Signature); err == nil {
				t, err = tsp.Verify(raw, tsp.VerifyOptions{Digest: t.Digest, Sum: sum, Certificates: v.more})
			}
		}
		if err != nil {
			s.because(Indeterminate, ReasonTimestampInvalid)
			s.report.Warnings = append(s.report.Warnings, err.Error())
			continue
		}
		s.stamped = true
		if !v.trustedToken(t) {
			continue
		}
		if at := t.Time; s.report.Timestamp == nil || at.Before(*s.report.Timestamp) {
			s.report.Timestamp = &at
		}
	}
}

func (v *verifier) trustedToken(t *tsp.Token) bool {
	if len(v.opt.Roots) == 0 && !v.opt.SystemRoots || t.Certificate == nil {
		return false
	}
	_, err := v.path(t.Certificate, t.Embedded, x509.ExtKeyUsageTimeStamping, t.Time)
	return err == nil
}

// weakKey reports keys below what C2 takes.
func weakKey(c *x509.Certificate) bool {
	k, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && k.N.BitLen() < 2048
}

// conclude fills in the level, and the profile's own demands.
func (v *verifier) conclude(s *signature) {
	if s.report.Integrity == Unverifiable {
		s.report.Verdict = worstVerdict(s.report.Verdict, Indeterminate)
	}
	switch s.report.SubFilter {
	case subFilterCAdES:
		if s.cms == nil || s.cms.proved == nil || s.cms.proved.Binding == cms.Unbound {
			break
		}
		s.report.Profile = ProfileBB
		if s.stamped {
			s.report.Profile = ProfileBT
		}
	case subFilterPKCS7, subFilterSHA1:
		s.report.Profile = ProfileCMS
	}
	v.seedValues(s)
}

// seedValues compares a signature with the constraints of its field (V9).
func (v *verifier) seedValues(s *signature) {
	if s.cms == nil || s.cms.proved == nil || s.removed {
		return
	}
	d, err := s.doc.Object(s.field)
	if err != nil {
		return
	}
	field, ok := asDict(d)
	if !ok {
		return
	}
	sv, err := readSeed(s.doc, field)
	if err != nil || sv == nil {
		return
	}
	m := made{
		subFilter: s.report.SubFilter, digest: s.cms.proved.Digest, certify: s.report.Certify,
		timestamp: len(s.cms.signer.Timestamps()) > 0,
	}
	filter, _ := s.doc.LookupName(s.dict, "Filter")
	m.filter = string(filter)
	m.reason, _, _ = s.doc.LookupText(s.dict, "Reason")
	crls, ocsps := s.cms.signer.RevocationArchive()
	m.revocation = len(crls)+len(ocsps) > 0
	m.chain = append([]*x509.Certificate{s.cms.proved.Certificate}, s.cms.data.Embedded()...)
	if broken := sv.broken(m); len(broken) > 0 {
		s.because(Indeterminate, ErrSeedValue)
		s.report.Warnings = append(s.report.Warnings, broken...)
	}
}
