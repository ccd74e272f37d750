package pades

import (
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdf"
	"github.com/countersign/countersign/internal/tsp"
)

// anchored reports whether the caller named anybody to trust.
func (v *verifier) anchored() bool { return len(v.opt.Roots) > 0 || v.opt.SystemRoots }

// times finds out when what was signed provably existed (V12): the newest
// document timestamp is judged now, each older one at the time of the next,
// and a signature's own timestamps at the time of the earliest that covers it.
func (v *verifier) times() {
	at := v.opt.At
	for i := len(v.sigs) - 1; i >= 0; i-- {
		s := v.sigs[i]
		if s.report.SubFilter != subFilterStamp || s.cms == nil || s.cms.token == nil || s.report.Integrity != Intact || s.rev < 0 {
			continue
		}
		t := s.cms.token
		if t.Certificate == nil {
			continue
		}
		s.judgedAt = at
		if !v.anchored() {
			s.because(Indeterminate, ReasonNoTrustAnchor)
			continue
		}
		evidence := inCMS(s.cms.data, s.cms.signer)
		path, err := v.path(t.Certificate, t.Embedded, x509.ExtKeyUsageTimeStamping, at)
		if err != nil {
			v.untrusted(s, err)
			continue
		}
		s.report.Trust = Trusted
		// The authority must have been good when it stamped; whether it is good
		// at a later instant only newer data could tell, and a document cannot
		// hold data newer than itself.
		st := v.revocation(path, t.Time, evidence)
		switch {
		case st.code == ReasonRevoked && !st.revokedAt.After(at):
			s.because(Indeterminate, ReasonRevokedNoPOE)
			continue
		case st.code == ReasonTryLater:
			s.because(Indeterminate, ReasonTryLater)
			continue
		}
		if t.Time.After(at.Add(skew)) {
			s.because(Indeterminate, ReasonTimestampOrder)
			continue
		}
		s.existed(t.Time)
		at = t.Time
	}
	for _, s := range v.sigs {
		if s.report.SubFilter != subFilterStamp && s.cms != nil && s.cms.proved != nil {
			v.signatureTimestamps(s)
		}
	}
}

// existed notes a time at which the signature was there; the earliest counts.
func (s *signature) existed(t time.Time) {
	if s.report.Timestamp == nil || t.Before(*s.report.Timestamp) {
		s.report.Timestamp = &t
	}
}

// signatureTimestamps takes the times of tokens over the signature value and
// of document timestamps that cover it.
func (v *verifier) signatureTimestamps(s *signature) {
	at := v.opt.At
	for _, d := range v.sigs {
		if d.report.SubFilter == subFilterStamp && d.report.Timestamp != nil && d.rev > s.rev && s.rev >= 0 {
			s.existed(*d.report.Timestamp)
			s.covered = true
			if d.report.Timestamp.Before(at) {
				at = *d.report.Timestamp
			}
		}
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
		s.tokens = append(s.tokens, t)
		if !v.anchored() {
			continue
		}
		path, err := v.path(t.Certificate, t.Embedded, x509.ExtKeyUsageTimeStamping, at)
		if err != nil {
			s.report.Warnings = append(s.report.Warnings, "signature timestamp: "+string(chainCode(err)))
			continue
		}
		// Its own material, and the signature's, may speak for the authority.
		own := inCMS(s.cms.data, s.cms.signer)
		if sd, err := cms.Parse(raw); err == nil && len(sd.Signers) == 1 {
			own.add(inCMS(sd, sd.Signers[0]))
		}
		st := v.revocation(path, t.Time, own)
		if st.code == ReasonTryLater || st.code == ReasonRevoked && !st.revokedAt.After(at) {
			s.report.Warnings = append(s.report.Warnings, "signature timestamp: "+string(st.code))
			continue
		}
		if t.Time.After(at.Add(skew)) {
			s.because(Indeterminate, ReasonTimestampOrder)
			continue
		}
		s.existed(t.Time)
	}
}

// trust looks for a path from the signing certificate to a root the caller
// gave (V10), and judges it at the time the signature provably existed, else
// now (V13).
func (v *verifier) trust(s *signature) {
	if s.report.Trust == "" {
		s.report.Trust = TrustUnknown
	}
	if s.cms == nil || s.cms.proved == nil || s.report.Integrity != Intact || s.report.SubFilter == subFilterStamp {
		return
	}
	if !v.anchored() {
		s.because(Indeterminate, ReasonNoTrustAnchor)
		return
	}
	at := v.opt.At
	if s.report.Timestamp != nil {
		at = *s.report.Timestamp
	}
	path, err := v.path(s.cms.proved.Certificate, s.cms.data.Embedded(), 0, at)
	if err != nil {
		v.untrusted(s, err)
		return
	}
	s.report.Trust, s.chain = Trusted, path
	st := v.revocation(path, at, inCMS(s.cms.data, s.cms.signer))
	switch st.code {
	case ReasonTryLater:
		s.because(Indeterminate, ReasonTryLater)
	case ReasonRevoked:
		switch after, known := v.notBefore(s); {
		case s.report.Timestamp != nil && s.report.Timestamp.Before(st.revokedAt):
			// Signed while it was good.
		case known && !after.Before(st.revokedAt):
			s.because(Failed, ReasonRevoked)
		default:
			s.because(Indeterminate, ReasonRevokedNoPOE)
		}
	}
}

// notBefore returns a time that the signature is provably later than: that of
// a timestamp in a revision it was made upon.
func (v *verifier) notBefore(s *signature) (latest time.Time, known bool) {
	for _, d := range v.sigs {
		if d.report.SubFilter != subFilterStamp || d.report.Timestamp == nil || d.rev < 0 || d.rev >= s.rev {
			continue
		}
		if !known || d.report.Timestamp.After(latest) {
			latest, known = *d.report.Timestamp, true
		}
	}
	return latest, known
}

// untrusted notes why there is no path. A certificate that merely expired
// still leads to a root: what is missing is a proof of when.
func (v *verifier) untrusted(s *signature, err error) {
	code := chainCode(err)
	s.report.Trust = Untrusted
	if code == ReasonOutOfBoundsNoPOE {
		s.report.Trust = Trusted
	}
	s.because(Indeterminate, code)
}

// pathKey is what a found path depends on: other certificates at hand can only
// add to it.
type pathKey struct {
	leaf  string
	usage x509.ExtKeyUsage
	at    time.Time
}

// path builds a chain to the caller's roots at an instant.
func (v *verifier) path(leaf *x509.Certificate, embedded []*x509.Certificate, usage x509.ExtKeyUsage, at time.Time) ([]*x509.Certificate, error) {
	key := pathKey{string(leaf.Raw), usage, at}
	if path, ok := v.paths[key]; ok {
		return path, nil
	}
	path, err := cms.BuildChain(leaf, cms.ChainOptions{
		Roots: v.opt.Roots, Intermediates: append(slices.Clone(embedded), v.more...), At: at, Usage: usage,
	})
	if err == nil {
		if v.paths == nil {
			v.paths = map[pathKey][]*x509.Certificate{}
		}
		v.paths[key] = path
		return path, nil
	}
	if !v.opt.SystemRoots {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range append(slices.Clone(embedded), v.more...) {
		pool.AddCert(c)
	}
	if usage == 0 {
		usage = x509.ExtKeyUsageAny
	}
	chains, sysErr := leaf.Verify(x509.VerifyOptions{Intermediates: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
	if sysErr == nil && len(chains) > 0 {
		return chains[0], nil
	}
	return path, err
}

// weakSince is when SHA-1 and RSA below 2048 bits ceased to be fit for
// signatures (NIST SP 800-131A): what provably existed before was sound.
var weakSince = time.Date(2014, 1, 1, 0, 0, 0, 0, time.UTC)

// weakKey reports keys below what C2 takes.
func weakKey(c *x509.Certificate) bool {
	k, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && k.N.BitLen() < 2048
}

// conclude fills in the level, and the field's own demands.
func (v *verifier) conclude(s *signature) {
	if s.report.Integrity == Unverifiable {
		s.report.Verdict = worstVerdict(s.report.Verdict, Indeterminate)
	}
	if s.weak && (s.report.Timestamp == nil || !s.report.Timestamp.Before(weakSince)) {
		s.because(Indeterminate, ReasonAlgorithmWeak)
	}
	switch s.report.SubFilter {
	case subFilterCAdES:
		if s.cms == nil || s.cms.proved == nil || s.cms.proved.Binding == cms.Unbound {
			break
		}
		s.report.Profile = v.level(s)
	case subFilterPKCS7, subFilterSHA1:
		s.report.Profile = ProfileCMS
	}
	v.seedValues(s)
}

// level returns the highest level whose parts are all there (EN 319 142-1).
func (v *verifier) level(s *signature) Profile {
	if !s.stamped && !s.covered {
		return ProfileBB
	}
	if s.rev < 0 || !v.held(s, v.doc) {
		return ProfileBT
	}
	// The archive timestamp must cover the validation data.
	for _, d := range v.sigs {
		if d.report.SubFilter != subFilterStamp || d.report.Integrity != Intact || d.rev <= s.rev {
			continue
		}
		if then, err := v.doc.At(v.revs[d.rev].EndEOL); err == nil && v.held(s, then) {
			return ProfileBLTA
		}
	}
	return ProfileBLT
}

// held reports whether the DSS of a state of the document, with what the
// signature carries, holds revocation data for the signature's path and those
// of its timestamps. How fresh it is matters to the verdict, not to the level.
func (v *verifier) held(s *signature, d *pdf.Doc) bool {
	certs, data := readDSS(d)
	if len(certs)+len(data.ocsps)+len(data.crls) == 0 {
		return false
	}
	data.add(inCMS(s.cms.data, s.cms.signer))
	path := s.chain
	if path == nil {
		path = partialPath(s.cms.proved.Certificate, append(s.cms.data.Embedded(), certs...))
	}
	if !v.documented(path, data) {
		return false
	}
	for _, t := range s.tokens {
		if !v.documented(partialPath(t.Certificate, append(slices.Clone(t.Embedded), certs...)), data) {
			return false
		}
	}
	return true
}

// documented reports whether there is an answer about every certificate of a
// path, below the root, that names a source.
func (v *verifier) documented(path []*x509.Certificate, data evidence) bool {
	for i := range len(path) - 1 {
		cert, issuer := path[i], path[i+1]
		if !namesSource(cert) {
			continue
		}
		found := slices.ContainsFunc(data.ocsps, func(b []byte) bool {
			_, err := cms.CheckOCSP(b, cert, issuer, v.more)
			return err == nil
		}) || slices.ContainsFunc(data.crls, func(b []byte) bool {
			_, err := cms.CheckCRL(b, cert, issuer)
			return err == nil
		})
		if !found {
			return false
		}
	}
	return true
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
