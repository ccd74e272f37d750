package cms

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/cms/der"
)

var (
	oidOCSPBasic   = der.MustOID("1.3.6.1.5.5.7.48.1.1")
	oidOCSPNonce   = der.MustOID("1.3.6.1.5.5.7.48.1.2")
	oidOCSPNoCheck = "1.3.6.1.5.5.7.48.1.5"
)

// An OCSPStatusError is a response without an answer, as a number of RFC 6960
// §4.2.1: 1 malformed, 2 internal error, 3 try later, 5 signature required,
// 6 unauthorized.
type OCSPStatusError struct{ Status int }

// Error implements error.
func (e *OCSPStatusError) Error() string { return fmt.Sprintf("cms: OCSP status %d", e.Status) }

// OCSP is a response that was read; nothing in it is verified.
type OCSP struct {
	Produced     time.Time
	Nonce        []byte
	Certificates []*x509.Certificate // embedded, to find a delegate in
	tbs, sig     []byte
	alg          algorithmID
	name, key    []byte // responder, by name or by SHA-1 of its key
	singles      []ocspSingle
}

type ocspSingle struct {
	id  certIDHash
	out Revocation
}

// certIDHash is the CertID of OCSP.
type certIDHash struct {
	digest    string
	name, key []byte
	serial    *big.Int
}

// ParseOCSP reads an OCSPResponse. A response without an answer is an
// [*OCSPStatusError].
func ParseOCSP(b []byte) (*OCSP, error) {
	v, err := der.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: OCSP: %w", ErrMalformed, err)
	}
	c := v.Enter()
	status := c.Next()
	n, err := status.Small()
	if err != nil || !status.Is(der.Enumerated) {
		return nil, fmt.Errorf("%w: OCSP: status", ErrMalformed)
	}
	if n != 0 {
		return nil, &OCSPStatusError{Status: n}
	}
	wrap := c.Inner(der.Context(0) | der.Constructed)
	in := wrap.Inner(der.Sequence)
	if t := in.OID(); in.Err() == nil && t != oidOCSPBasic {
		return nil, fmt.Errorf("%w: OCSP response type %s", ErrUnsupported, t)
	}
	basic, err := der.Parse(in.Octets())
	c.Check(err)
	if c.Err() != nil {
		return nil, fmt.Errorf("%w: OCSP: %w", ErrMalformed, c.Err())
	}
	o := new(OCSP)
	if err := o.read(basic.Enter()); err != nil {
		return nil, fmt.Errorf("%w: OCSP: %w", ErrMalformed, err)
	}
	return o, nil
}

// read reads BasicOCSPResponse.
func (o *OCSP) read(c *der.Cursor) error {
	tbs := c.Want(der.Sequence)
	o.tbs = tbs.Raw
	o.alg = readAlgorithm(c)
	sig, err := c.Want(der.BitString).Bits()
	c.Check(err)
	o.sig = sig
	if v := c.Maybe(der.Context(0) | der.Constructed); v.Present() {
		for list := c.Sub(v).Inner(der.Sequence); list.More() && len(o.Certificates) < maxPath; {
			if cert, err := ParseCertificate(list.Next().Raw); err == nil {
				o.Certificates = append(o.Certificates, cert)
			}
		}
	}
	if c.Err() == nil {
		o.readData(c.Sub(tbs))
	}
	return c.Done()
}

func (o *OCSP) readData(c *der.Cursor) {
	if v := c.Maybe(der.Context(0) | der.Constructed); v.Present() {
		if n := c.Sub(v).Small(); n != 0 {
			c.Check(fmt.Errorf("%w: version", der.ErrSyntax))
		}
	}
	switch v := c.Next(); {
	case v.Is(der.Context(1) | der.Constructed):
		o.name = c.Sub(v).Want(der.Sequence).Raw
	case v.Is(der.Context(2) | der.Constructed):
		o.key = c.Sub(v).Octets()
	default:
		c.Check(fmt.Errorf("%w: responder", der.ErrSyntax))
	}
	o.Produced = c.Time()
	for list := c.Inner(der.Sequence); list.More(); {
		if len(o.singles) == maxCertificates {
			list.Check(der.ErrLimit)
		}
		o.singles = append(o.singles, o.readSingle(list.Inner(der.Sequence)))
	}
	if v := c.Maybe(der.Context(1) | der.Constructed); v.Present() {
		extensions(c.Sub(v).Inner(der.Sequence), func(id der.OID, critical bool, value []byte) error {
			if id == oidOCSPNonce {
				o.Nonce = nonceOf(value)
			} else if critical {
				return fmt.Errorf("critical extension %s", id)
			}
			return nil
		})
	}
	c.Done()
}

// nonceOf unwraps a nonce; older software forgot its OCTET STRING.
func nonceOf(value []byte) []byte {
	if v, err := der.Parse(value); err == nil && v.Is(der.OctetString) {
		return v.Body
	}
	return value
}

func readCertIDHash(c *der.Cursor) certIDHash {
	var id certIDHash
	if d, err := digestByOID(readAlgorithm(c).oid); err == nil {
		id.digest = d.name
	}
	id.name, id.key, id.serial = c.Octets(), c.Octets(), c.Int()
	c.Done()
	return id
}

func (o *OCSP) readSingle(c *der.Cursor) ocspSingle {
	s := ocspSingle{id: readCertIDHash(c.Inner(der.Sequence))}
	switch v := c.Next(); v.Tag {
	case der.Context(0):
		s.out.Status = StatusGood
	case der.Context(1) | der.Constructed:
		in := c.Sub(v)
		s.out.Status, s.out.RevokedAt = StatusRevoked, in.Time()
		if r := in.Maybe(der.Context(0) | der.Constructed); r.Present() {
			n, err := in.Sub(r).Next().Small()
			in.Check(err)
			s.out.Reason = n
		}
		in.Done()
	case der.Context(2), der.Context(2) | der.Constructed:
		s.out.Status = StatusUnknown
	default:
		c.Check(fmt.Errorf("%w: certificate status", der.ErrSyntax))
	}
	s.out.ThisUpdate = c.Time()
	if v := c.Maybe(der.Context(0) | der.Constructed); v.Present() {
		s.out.NextUpdate = c.Sub(v).Time()
	}
	if v := c.Maybe(der.Context(1) | der.Constructed); v.Present() {
		extensions(c.Sub(v).Inner(der.Sequence), func(id der.OID, critical bool, _ []byte) error {
			if critical {
				return fmt.Errorf("critical extension %s", id)
			}
			return nil
		})
	}
	c.Done()
	return s
}

// about reports whether the identifier names the certificate with this serial
// number by issuer.
func (id certIDHash) about(serial *big.Int, issuer *x509.Certificate) bool {
	if id.digest == "" || id.serial.Cmp(serial) != 0 {
		return false
	}
	key, err := readKeyBits(issuer)
	if err != nil {
		return false
	}
	name, err1 := Sum(id.digest, issuer.RawSubject)
	hash, err2 := Sum(id.digest, key)
	return err1 == nil && err2 == nil && bytes.Equal(name, id.name) && bytes.Equal(hash, id.key)
}

// readKeyBits returns the octets of a certificate's key, whatever its kind.
func readKeyBits(cert *x509.Certificate) ([]byte, error) {
	v, err := der.Parse(cert.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, fmt.Errorf("%w: public key: %w", ErrMalformed, err)
	}
	c := v.Enter()
	c.Next()
	return c.Want(der.BitString).Bits()
}

// CheckOCSP verifies a response as one about cert, whose issuer is issuer, and
// returns what it says. Its signer is issuer itself, or a delegate that issuer
// certified for OCSP signing and that was valid when it signed, embedded or
// among extra (RFC 6960 §4.2.2.2). A response about another certificate is
// [ErrScope]; one by somebody else, or forged, [ErrSignature]. The nonce is
// returned, not compared. Freshness is for [Revocation.Covers].
func CheckOCSP(response []byte, cert, issuer *x509.Certificate, extra []*x509.Certificate) (*Revocation, error) {
	o, err := ParseOCSP(response)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(o.singles, func(s ocspSingle) bool { return s.id.about(cert.SerialNumber, issuer) })
	if i < 0 {
		return nil, fmt.Errorf("%w: OCSP answer about another certificate", ErrScope)
	}
	// Several answers about one certificate: the most recent one counts.
	out := o.singles[i].out
	for _, s := range o.singles[i+1:] {
		if s.id.about(cert.SerialNumber, issuer) && s.out.ThisUpdate.After(out.ThisUpdate) {
			out = s.out
		}
	}
	out.Produced, out.Nonce = o.Produced, o.Nonce
	err = fmt.Errorf("%w: OCSP response by a stranger", ErrSignature)
	for _, signer := range slices.Concat([]*x509.Certificate{issuer}, o.Certificates, extra) {
		if signer == nil || !o.names(signer) {
			continue
		}
		if err = o.authorized(signer, issuer); err != nil {
			continue
		}
		if out.Algorithm, out.Digest, err = checkSignedBy(signer, o.alg, o.tbs, o.sig); err != nil {
			continue
		}
		out.Signer, out.NoCheck = signer, hasExtension(signer, oidOCSPNoCheck)
		return &out, nil
	}
	return nil, err
}

// names reports whether the ResponderID is that of signer.
func (o *OCSP) names(signer *x509.Certificate) bool {
	if o.name != nil {
		return sameName(o.name, signer.RawSubject)
	}
	key, err := readKeyBits(signer)
	if err != nil {
		return false
	}
	sum, err := Sum("SHA-1", key) // RFC 6960 §4.2.1: KeyHash is SHA-1
	return err == nil && bytes.Equal(sum, o.key)
}

func (o *OCSP) authorized(signer, issuer *x509.Certificate) error {
	if bytes.Equal(signer.Raw, issuer.Raw) {
		return nil
	}
	if bytes.Equal(signer.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) && bytes.Equal(signer.RawSubject, issuer.RawSubject) {
		return nil // the issuer, certified twice
	}
	switch {
	case !slices.Contains(signer.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return fmt.Errorf("%w: responder not certified for OCSP", ErrSignature)
	case !sameName(signer.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("%w: responder of another issuer", ErrSignature)
	case o.Produced.Before(signer.NotBefore), o.Produced.After(signer.NotAfter):
		return fmt.Errorf("%w: responder not valid when it signed", ErrSignature)
	}
	return CheckIssued(signer, issuer)
}
