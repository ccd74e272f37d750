package cms

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/countersign/countersign/internal/cms/der"
)

// Bounds of path building: certificates in a path, and signatures checked in
// all, so that a pile of look-alike certificates costs a known amount.
const (
	maxPath   = 10
	maxChecks = 100
)

// ChainOptions are what a path is built and judged by.
type ChainOptions struct {
	// Roots are the trust anchors; each may be a leaf itself. None means no
	// path: there is no default.
	Roots []*x509.Certificate
	// Intermediates may be used, trusted or not, in any order.
	Intermediates []*x509.Certificate
	// At is the instant every certificate must be valid at. Required.
	At time.Time
	// Usage, if not 0, is an extended key usage the leaf must allow; CA
	// certificates that restrict usages must allow it too.
	Usage x509.ExtKeyUsage
}

// A ChainReason says why no path was accepted.
type ChainReason string

// Reasons of [ChainError].
const (
	ChainNoAnchor    ChainReason = "no_anchor"     // no path ends at a root
	ChainExpired     ChainReason = "expired"       // a certificate ended before At, and nothing else is wrong
	ChainNotYetValid ChainReason = "not_yet_valid" // a certificate begins after At, and nothing else is wrong
	ChainSignature   ChainReason = "bad_signature" // an issuer by name did not sign
	ChainConstraint  ChainReason = "constraint"    // CA flag, path length, key usage, names, critical extension
	ChainAlgorithm   ChainReason = "algorithm_unsupported"
	ChainLimit       ChainReason = "limit" // too many candidates
)

// A ChainError says why [BuildChain] found no path, naming the best candidate:
// one that reached a root if any did.
type ChainError struct {
	Reason ChainReason
	// Path is that candidate, leaf first, as far as it went.
	Path []*x509.Certificate
	// Index is the certificate of Path at fault.
	Index int
	Err   error
}

// Error implements error.
func (e *ChainError) Error() string { return "cms: chain: " + string(e.Reason) + ": " + e.Err.Error() }

// Unwrap returns what the error wraps.
func (e *ChainError) Unwrap() error { return e.Err }

// BuildChain returns a path from leaf to one of the roots, both included,
// that holds at o.At: signatures by RSA, ECDSA, Ed25519 and SM2, validity, CA
// flag, path length, key usage, name constraints, critical extensions. A leaf
// that is itself a root is a path of one. Otherwise the error is a
// [*ChainError]. Revocation is the caller's next question.
func BuildChain(leaf *x509.Certificate, o ChainOptions) ([]*x509.Certificate, error) {
	if leaf == nil || len(leaf.Raw) == 0 {
		return nil, fmt.Errorf("%w: no certificate", ErrMalformed)
	}
	b := pathBuilder{ChainOptions: o}
	if path := b.extend([]*x509.Certificate{leaf}); path != nil {
		return path, nil
	}
	if b.best == nil {
		b.best = &ChainError{Reason: ChainNoAnchor, Path: []*x509.Certificate{leaf}, Err: errNoAnchor}
	}
	return nil, b.best
}

var errNoAnchor = errors.New("no certificate of the path is a root")

// pathBuilder searches depth first. best is the failure worth reporting.
type pathBuilder struct {
	ChainOptions
	checks   int
	best     *ChainError
	anchored bool // best reached a root
}

// extend tries to finish path, whose signatures hold so far.
func (b *pathBuilder) extend(path []*x509.Certificate) []*x509.Certificate {
	last := path[len(path)-1]
	if containsRaw(b.Roots, last) {
		err := b.judge(path)
		if err == nil {
			return path
		}
		b.note(err, true)
		return nil
	}
	if len(path) == maxPath {
		b.note(&ChainError{Reason: ChainLimit, Path: path, Index: len(path) - 1, Err: der.ErrLimit}, false)
		return nil
	}
	b.note(&ChainError{Reason: ChainNoAnchor, Path: path, Index: len(path) - 1, Err: errNoAnchor}, false)
	for _, issuer := range b.issuers(last) {
		if containsRaw(path, issuer) {
			continue
		}
		longer := append(slices.Clone(path), issuer)
		if b.checks++; b.checks > maxChecks {
			b.note(&ChainError{Reason: ChainLimit, Path: path, Index: len(path) - 1, Err: der.ErrLimit}, false)
			return nil
		}
		if err := CheckIssued(last, issuer); err != nil {
			r := ChainSignature
			switch {
			case errors.Is(err, ErrUnsupported):
				r = ChainAlgorithm
			case len(last.AuthorityKeyId) > 0 && !bytes.Equal(last.AuthorityKeyId, issuer.SubjectKeyId):
				continue // a namesake, not the issuer
			}
			b.note(&ChainError{Reason: r, Path: longer, Index: len(path) - 1, Err: err}, false)
			continue
		}
		if found := b.extend(longer); found != nil {
			return found
		}
	}
	return nil
}

// issuers returns who may have issued cert by name, the likely ones first:
// roots, and those with the key identifier that cert names. Identifiers are
// hints (RFC 5280 §4.2.1.1); the signature decides.
func (b *pathBuilder) issuers(cert *x509.Certificate) []*x509.Certificate {
	var likely, others []*x509.Certificate
	for _, c := range slices.Concat(b.Roots, b.Intermediates) {
		switch {
		case c == nil || !sameName(c.RawSubject, cert.RawIssuer) || containsRaw(likely, c) || containsRaw(others, c):
		case len(cert.AuthorityKeyId) == 0 || bytes.Equal(c.SubjectKeyId, cert.AuthorityKeyId):
			likely = append(likely, c)
		default:
			others = append(others, c)
		}
	}
	return append(likely, others...)
}

// note keeps the failure that says most: one that reached a root before one
// that did not, a definite cause before "no anchor", a longer path before a
// shorter one.
func (b *pathBuilder) note(e *ChainError, anchored bool) {
	switch {
	case b.best == nil, anchored && !b.anchored:
	case b.anchored:
		return
	case b.best.Reason == ChainNoAnchor && (e.Reason != ChainNoAnchor || len(e.Path) > len(b.best.Path)):
	default:
		return
	}
	b.best, b.anchored = e, anchored
}

func containsRaw(list []*x509.Certificate, c *x509.Certificate) bool {
	return slices.ContainsFunc(list, func(e *x509.Certificate) bool { return e != nil && bytes.Equal(e.Raw, c.Raw) })
}

// CheckIssued reports [ErrSignature] unless the issuer's key signed cert, and
// [ErrUnsupported] for algorithms not known here.
func CheckIssued(cert, issuer *x509.Certificate) error {
	v, err := der.Parse(cert.Raw)
	if err != nil {
		return fmt.Errorf("%w: certificate: %w", ErrMalformed, err)
	}
	_, _, err = checkSigned(v, issuer)
	return err
}

// checkSigned verifies the common form of certificates and revocation lists:
// SEQUENCE { to be signed, AlgorithmIdentifier, BIT STRING }.
func checkSigned(v der.Value, signer *x509.Certificate) (Algorithm, string, error) {
	c := v.Enter()
	tbs := c.Next()
	alg := readAlgorithm(c)
	sig, berr := c.Want(der.BitString).Bits()
	c.Check(berr)
	if err := c.Done(); err != nil {
		return "", "", fmt.Errorf("%w: signed structure: %w", ErrMalformed, err)
	}
	return checkSignedBy(signer, alg, tbs.Raw, sig)
}

func checkSignedBy(signer *x509.Certificate, alg algorithmID, tbs, sig []byte) (Algorithm, string, error) {
	key, err := readKey(signer.RawSubjectPublicKeyInfo)
	if err != nil {
		return "", "", err
	}
	s, err := schemeOf(alg, "", key)
	if err != nil {
		return "", "", err
	}
	return s.alg, s.hash, key.verify(s, tbs, nil, sig)
}

// judge checks everything but signatures on a path that ends at a root.
func (b *pathBuilder) judge(path []*x509.Certificate) *ChainError {
	fail := func(i int, r ChainReason, text string) *ChainError {
		return &ChainError{Reason: r, Path: path, Index: i, Err: errors.New(text)}
	}
	names := false
	for i, c := range path {
		switch {
		case !parsedWhole(c):
			return fail(i, ChainConstraint, "certificate not fully read")
		case len(c.UnhandledCriticalExtensions) > 0:
			return fail(i, ChainConstraint, "critical extension "+c.UnhandledCriticalExtensions[0].String())
		case !allows(c, b.Usage):
			return fail(i, ChainConstraint, "extended key usage")
		}
		if i == 0 {
			continue
		}
		// RFC 5280 §6.1.4. An old root may lack the CA flag, by version 1 or by
		// its key usage alone; a leaf given as root must not issue.
		old := i == len(path)-1 && !c.BasicConstraintsValid && (c.Version < 3 || c.KeyUsage&x509.KeyUsageCertSign != 0)
		if !old {
			switch {
			case !c.BasicConstraintsValid || !c.IsCA:
				return fail(i, ChainConstraint, "issuer is no CA")
			case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
				return fail(i, ChainConstraint, "issuer's key may not sign certificates")
			case (c.MaxPathLen > 0 || c.MaxPathLenZero) && between(path[1:i]) > c.MaxPathLen:
				return fail(i, ChainConstraint, "path length")
			}
		}
		names = names || hasExtension(c, "2.5.29.30")
	}
	if names {
		if err := b.checkNames(path); err != nil {
			return &ChainError{Reason: ChainConstraint, Path: path, Index: 0, Err: err}
		}
	}
	// Time comes last: "expired" then means that nothing else is wrong.
	for i, c := range path {
		switch {
		case b.At.Before(c.NotBefore):
			return fail(i, ChainNotYetValid, "not valid before "+c.NotBefore.UTC().Format(time.RFC3339))
		case b.At.After(c.NotAfter):
			return fail(i, ChainExpired, "not valid after "+c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// between counts the intermediates of a path that are not self-issued.
func between(path []*x509.Certificate) (n int) {
	for _, c := range path {
		if !bytes.Equal(c.RawIssuer, c.RawSubject) {
			n++
		}
	}
	return n
}

// parsedWhole reports whether a certificate came from a full parser: the
// reader of last resort fills no signature.
func parsedWhole(c *x509.Certificate) bool { return len(c.Signature) != 0 }

// allows reports whether a certificate's extended key usages include u.
func allows(c *x509.Certificate, u x509.ExtKeyUsage) bool {
	if u == 0 || len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(c.ExtKeyUsage, u) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func hasExtension(c *x509.Certificate, oid string) bool {
	return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.String() == oid })
}

// checkNames leaves name constraints to smx509, which knows every key kind
// here, by giving it this one path, at an instant when all of it is valid if
// there is one.
func (b *pathBuilder) checkNames(path []*x509.Certificate) error {
	at, end := path[0].NotBefore, path[0].NotAfter
	for _, c := range path {
		if c.NotBefore.After(at) {
			at = c.NotBefore
		}
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	if at.After(end) {
		at = b.At
	}
	o := smx509.VerifyOptions{
		Roots: smx509.NewCertPool(), Intermediates: smx509.NewCertPool(),
		CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	o.Roots.AddCert((*smx509.Certificate)(path[len(path)-1]))
	for _, c := range path[1:] {
		o.Intermediates.AddCert((*smx509.Certificate)(c))
	}
	_, err := (*smx509.Certificate)(path[0]).Verify(o)
	return err
}
