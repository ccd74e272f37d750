package cms

import (
	"bytes"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/countersign/countersign/internal/cms/der"
)

// VerifyOptions are what a SignerInfo is verified against.
type VerifyOptions struct {
	// Digest is the digest of the content by the algorithm SignerInfo.Digest.
	// Required; for embedded content see [SignedData.ContentDigest].
	Digest []byte
	// Certificates are looked through beside the embedded ones.
	Certificates []*x509.Certificate
}

// Binding says how signed attributes name the signer's certificate.
type Binding string

// Bindings.
const (
	Unbound Binding = ""     // no signing-certificate attribute
	BoundV1 Binding = "ess1" // ESSCertID, SHA-1 (RFC 2634)
	BoundV2 Binding = "ess2" // ESSCertIDv2 (RFC 5035)
)

// Verified is what holds after [SignedData.Verify].
type Verified struct {
	// Certificate is the signer's. Nothing is said about its chain.
	Certificate *x509.Certificate
	Algorithm   Algorithm
	// Digest is the digest's name. Weak ones (SHA-1) verify: policy decides.
	Digest string
	// Binding is the signing-certificate attribute found, which matched.
	Binding Binding
	// Attributes tells whether there were signed attributes at all.
	Attributes bool
}

// ContentDigest returns the digest of the embedded content for signer s.
func (sd *SignedData) ContentDigest(s *SignerInfo) ([]byte, error) {
	if !sd.HasContent {
		return nil, fmt.Errorf("%w: content is detached", ErrMalformed)
	}
	return Sum(s.Digest, sd.Content)
}

// Verify checks one signature: content-type and message-digest attributes,
// the signing-certificate attribute if there is one, and the signature value
// by the key of the certificate that fits. Any failure is a [*VerifyError].
// Chain, revocation, time and the strength of algorithms are not its matter.
func (sd *SignedData) Verify(s *SignerInfo, o VerifyOptions) (*Verified, error) {
	fail := func(r Reason, err error) (*Verified, error) { return nil, &VerifyError{Reason: r, Err: err} }
	d, err := digestByOID(s.DigestOID)
	if err != nil {
		return fail(ReasonAlgorithm, err)
	}
	if len(o.Digest) != d.size {
		return fail(ReasonDigest, fmt.Errorf("%w: %s digest of %d bytes given", ErrMalformed, d.name, len(o.Digest)))
	}
	out := &Verified{Digest: d.name, Attributes: s.SignedAttributes != nil}
	var message, sum []byte
	if s.SignedAttributes == nil {
		// RFC 5652 §5.3: attributes must be present unless the content is data.
		if sd.ContentType != OIDData && sd.ContentType != OIDDataGMT {
			return fail(ReasonFormat, fmt.Errorf("%w: no signed attributes", ErrMalformed))
		}
		sum = o.Digest
	} else {
		if r, err := sd.checkAttributes(s, o.Digest); err != nil {
			return fail(r, err)
		}
		message = s.SignedAttributes
	}
	candidates := s.candidates(append(sd.Embedded(), o.Certificates...))
	if len(candidates) == 0 {
		return fail(ReasonNoCertificate, ErrNoCertificate)
	}
	if candidates, out.Binding, err = s.bound(candidates); err != nil {
		return fail(ReasonSigningCertificate, err)
	}
	var first error
	for _, cert := range candidates {
		alg, err := s.checkSignature(cert, message, sum)
		if err == nil {
			out.Certificate, out.Algorithm = cert, alg
			return out, nil
		}
		if first == nil {
			first = err
		}
	}
	if errors.Is(first, ErrUnsupported) {
		return fail(ReasonAlgorithm, first)
	}
	return fail(ReasonSignature, first)
}

// checkAttributes checks content-type and message-digest (RFC 5652 §11.1, 11.2).
func (sd *SignedData) checkAttributes(s *SignerInfo, sum []byte) (Reason, error) {
	v, ok, err := s.one(OIDContentType)
	if err != nil {
		return ReasonFormat, err
	}
	if t, terr := v.OID(); !ok || terr != nil || t != sd.ContentType {
		return ReasonContentType, fmt.Errorf("%w: content-type attribute", ErrMalformed)
	}
	v, ok, err = s.one(OIDMessageDigest)
	if err != nil {
		return ReasonFormat, err
	}
	if !ok {
		return ReasonFormat, fmt.Errorf("%w: no message-digest attribute", ErrMalformed)
	}
	if !v.Is(der.OctetString) || subtle.ConstantTimeCompare(v.Body, sum) != 1 {
		return ReasonDigest, fmt.Errorf("%w: message-digest attribute", ErrSignature)
	}
	return "", nil
}

// candidates returns the certificates that the signer identifier fits.
func (s *SignerInfo) candidates(certs []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range certs {
		if c == nil {
			continue
		}
		if s.KeyID != nil {
			if len(s.KeyID) > 0 && bytes.Equal(c.SubjectKeyId, s.KeyID) {
				out = append(out, c)
			}
			continue
		}
		if c.SerialNumber != nil && s.Serial != nil && c.SerialNumber.Cmp(s.Serial) == 0 && sameName(c.RawIssuer, s.Issuer) {
			out = append(out, c)
		}
	}
	return out
}

// bound keeps the candidates that the signing-certificate attribute names. The
// first ESSCertID is the signer's (RFC 5035 §3); v2 wins over v1.
func (s *SignerInfo) bound(candidates []*x509.Certificate) ([]*x509.Certificate, Binding, error) {
	for _, kind := range []struct {
		oid     der.OID
		binding Binding
	}{{OIDSigningCertificateV2, BoundV2}, {OIDSigningCertificate, BoundV1}} {
		v, ok, err := s.one(kind.oid)
		if err != nil {
			return nil, Unbound, err
		}
		if !ok {
			continue
		}
		id, err := readCertID(v, kind.binding == BoundV2)
		if err != nil {
			return nil, Unbound, err
		}
		var out []*x509.Certificate
		for _, c := range candidates {
			if sum, err := Sum(id.digest, c.Raw); err == nil && bytes.Equal(sum, id.hash) && id.fits(c) {
				out = append(out, c)
			}
		}
		if len(out) == 0 {
			return nil, Unbound, fmt.Errorf("%w: signing-certificate names another certificate", ErrSignature)
		}
		return out, kind.binding, nil
	}
	return candidates, Unbound, nil
}

// certID is the first ESSCertID or ESSCertIDv2 of a signing-certificate attribute.
type certID struct {
	digest string
	hash   []byte
	issuer []byte // encoded name; nil if not given
	serial der.Value
}

func readCertID(v der.Value, v2 bool) (certID, error) {
	id := certID{digest: "SHA-1"}
	if v2 {
		id.digest = "SHA-256"
	}
	attr := v.Enter()
	certs := attr.Inner(der.Sequence)
	c := certs.Inner(der.Sequence)
	if alg := c.Maybe(der.Sequence); v2 && alg.Present() {
		d, err := digestByOID(c.Sub(alg).OID())
		c.Check(err)
		if err == nil {
			id.digest = d.name
		}
	} else if alg.Present() {
		c.Check(fmt.Errorf("%w: ESSCertID", der.ErrSyntax))
	}
	id.hash = c.Octets()
	if is := c.Maybe(der.Sequence); is.Present() {
		in := c.Sub(is)
		names := in.Inner(der.Sequence)
		// GeneralNames: the issuer is its directoryName, [4] explicit.
		for names.More() {
			if n := names.Next(); n.Is(der.Context(4) | der.Constructed) {
				id.issuer = names.Sub(n).Want(der.Sequence).Raw
			}
		}
		id.serial = in.Want(der.Integer)
	}
	c.Done()
	if err := attr.Err(); err != nil {
		return certID{}, fmt.Errorf("%w: signing-certificate: %w", ErrMalformed, err)
	}
	return id, nil
}

// fits compares issuerSerial, if given, with the certificate.
func (id certID) fits(c *x509.Certificate) bool {
	if !id.serial.Present() {
		return true
	}
	n, err := id.serial.Int()
	return err == nil && c.SerialNumber != nil && n.Cmp(c.SerialNumber) == 0 &&
		(id.issuer == nil || sameName(id.issuer, c.RawIssuer))
}

// edwardsDigest is the message digest that must go with an algorithm whose
// signature names none (RFC 8419 §3.1).
var edwardsDigest = map[Algorithm]string{Ed25519: "SHA-512", Ed448: "SHAKE256"}

// checkSignature verifies the value over the signed attributes, or over the
// content digest sum when message is nil.
func (s *SignerInfo) checkSignature(cert *x509.Certificate, message, sum []byte) (Algorithm, error) {
	key, err := readKey(cert.RawSubjectPublicKeyInfo)
	if err != nil {
		return "", err
	}
	sch, err := schemeOf(s.signature, s.Digest, key)
	if err != nil {
		return "", err
	}
	// RFC 5652 hashes attributes with digestAlgorithm; an identifier that
	// names another digest would mean two things at once.
	if sch.hash != "" && sch.hash != s.Digest {
		return "", fmt.Errorf("%w: %s signature beside %s digest", ErrUnsupported, sch.hash, s.Digest)
	}
	if want := edwardsDigest[sch.alg]; want != "" && want != s.Digest {
		return "", fmt.Errorf("%w: %s signature beside %s digest", ErrUnsupported, sch.alg, s.Digest)
	}
	err = key.verify(sch, message, sum, s.Signature)
	if err != nil && message != nil {
		// RFC 5652 §5.4 has the DER form signed whatever form was sent: some
		// writers send the set unsorted.
		if sorted := sortedSet(message); !bytes.Equal(sorted, message) {
			err = key.verify(sch, sorted, nil, s.Signature)
		}
	}
	if err != nil {
		return "", err
	}
	return sch.alg, nil
}

// sortedSet returns an encoded SET OF in DER order, or nil.
func sortedSet(set []byte) []byte {
	v, err := der.Parse(set)
	if err != nil {
		return nil
	}
	var elements [][]byte
	for c := v.Enter(); c.More(); {
		elements = append(elements, c.Next().Raw)
	}
	var b der.Builder
	b.SetOf(der.Set, elements...)
	return b.Bytes()
}
