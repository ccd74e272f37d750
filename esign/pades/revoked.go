package pades

import (
	"crypto/x509"
	"errors"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdf"
)

const (
	// skew is how far clocks of others may be ahead.
	skew = 5 * time.Minute
	// lasting is how long an answer that names no end is taken for fresh.
	lasting = 24 * time.Hour
	// maxEvidence bounds how much revocation data of a document is tried.
	maxEvidence = 1000
)

// evidence is revocation data, unverified.
type evidence struct {
	ocsps, crls [][]byte
}

func (e *evidence) add(o evidence) {
	e.ocsps = append(e.ocsps, o.ocsps...)
	e.crls = append(e.crls, o.crls...)
}

// inCMS gathers what a signature carries itself.
func inCMS(sd *cms.SignedData, s *cms.SignerInfo) evidence {
	crls, ocsps := s.RevocationArchive()
	return evidence{ocsps: append(ocsps, sd.OCSPs...), crls: append(crls, sd.CRLs...)}
}

// readDSS gathers certificates and revocation data of a document. None of it
// is trusted for being there.
func readDSS(d *pdf.Doc) (certs []*x509.Certificate, data evidence) {
	c, _, err := d.Catalog()
	if err != nil {
		return nil, data
	}
	dss, _, err := d.LookupDict(c, "DSS")
	if err != nil || dss == nil {
		return nil, data
	}
	for _, raw := range dssStreams(d, dss, "Certs") {
		if cert, err := cms.ParseCertificate(raw); err == nil {
			certs = append(certs, cert)
		}
	}
	data.ocsps, data.crls = dssStreams(d, dss, "OCSPs"), dssStreams(d, dss, "CRLs")
	return certs, data
}

// dssStreams returns the content of the streams in an array of the DSS.
func dssStreams(d *pdf.Doc, dss *pdf.Dict, key pdf.Name) [][]byte {
	list, _, err := d.LookupArray(dss, key)
	if err != nil {
		return nil
	}
	var out [][]byte
	for i, o := range list.All() {
		if i == maxEvidence {
			break
		}
		r, err := d.Resolve(o)
		if err != nil {
			continue
		}
		if s, ok := r.(*pdf.Stream); ok {
			if b, err := s.Decode(); err == nil {
				out = append(out, b)
			}
		}
	}
	return out
}

// standing is what is known of a path's revocation.
type standing struct {
	code      Code // "", ErrTryLater's or ReasonRevoked
	revokedAt time.Time
}

// namesSource reports whether a certificate says where revocation data is. One
// that does not needs none (V11).
func namesSource(c *x509.Certificate) bool {
	return len(c.OCSPServer) > 0 || len(c.CRLDistributionPoints) > 0
}

// revocation looks for data about every certificate of path below the root, as
// of an instant (V11).
func (v *verifier) revocation(path []*x509.Certificate, at time.Time, own evidence) standing {
	var out standing
	own.add(v.dss)
	for i := range len(path) - 1 {
		cert, issuer := path[i], path[i+1]
		r := v.best(cert, issuer, at, own)
		if r == nil && namesSource(cert) {
			r = v.best(cert, issuer, at, v.fetch(cert, issuer))
		}
		switch {
		case r != nil && r.Status == cms.StatusRevoked:
			if out.code != ReasonRevoked || r.RevokedAt.Before(out.revokedAt) {
				out.code, out.revokedAt = ReasonRevoked, r.RevokedAt
			}
		case r == nil && namesSource(cert) && out.code == "" && !v.opt.AllowUnknownRevocation:
			out.code = ReasonTryLater
		}
	}
	return out
}

// best returns the answer that counts: a revocation, else the latest good one
// that is fresh at the instant. Nil if there is none.
func (v *verifier) best(cert, issuer *x509.Certificate, at time.Time, data evidence) *cms.Revocation {
	var best *cms.Revocation
	consider := func(r *cms.Revocation, err error) {
		switch {
		case err != nil || r.Status == cms.StatusUnknown || r.ThisUpdate.After(v.opt.At.Add(skew)):
		case r.Status == cms.StatusRevoked:
			if best == nil || best.Status != cms.StatusRevoked || r.RevokedAt.Before(best.RevokedAt) {
				best = r
			}
		case best != nil && (best.Status == cms.StatusRevoked || !r.ThisUpdate.After(best.ThisUpdate)):
		case fresh(r, at):
			best = r
		}
	}
	for _, b := range data.ocsps {
		consider(cms.CheckOCSP(b, cert, issuer, v.more))
	}
	for _, b := range data.crls {
		consider(cms.CheckCRL(b, cert, issuer))
	}
	return best
}

// fresh reports whether an answer says something about the instant: it was
// current then, or was given later.
func fresh(r *cms.Revocation, at time.Time) bool {
	if !r.ThisUpdate.Before(at) {
		return true
	}
	if r.NextUpdate.IsZero() {
		return at.Sub(r.ThisUpdate) <= lasting
	}
	return !r.NextUpdate.Before(at.Add(-skew))
}

// fetch asks the caller's source. A failure is as good as no answer.
func (v *verifier) fetch(cert, issuer *x509.Certificate) (out evidence) {
	if v.opt.Revocation == nil {
		return out
	}
	if len(cert.OCSPServer) > 0 {
		if b, err := v.opt.Revocation.OCSP(v.ctx, cert, issuer); err == nil && b != nil {
			out.ocsps = append(out.ocsps, b)
			return out
		}
	}
	if b, err := v.opt.Revocation.CRL(v.ctx, cert, issuer); err == nil && b != nil {
		out.crls = append(out.crls, b)
	}
	return out
}

// chainCode turns a failure to build a path into a reason.
func chainCode(err error) Code {
	e, ok := errors.AsType[*cms.ChainError](err)
	if !ok {
		return ReasonNoChain
	}
	switch e.Reason {
	case cms.ChainExpired:
		return ReasonOutOfBoundsNoPOE
	case cms.ChainNotYetValid:
		return ReasonNotYetValid
	case cms.ChainAlgorithm:
		return ReasonAlgorithmUnsupported
	}
	return ReasonNoChain
}
