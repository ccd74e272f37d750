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

// Limits of Parse, beside those of package der.
const (
	maxSigners    = 64
	maxAttributes = 256
)

// A SignedData is a parsed CMS message. All byte slices alias the input.
type SignedData struct {
	Version     int
	Digests     []der.OID // digestAlgorithms
	ContentType der.OID
	// HasContent tells whether content is embedded, even if empty.
	HasContent bool
	Content    []byte
	// Certificates are the embedded ones as they stand, unread; see Embedded.
	Certificates [][]byte
	CRLs         [][]byte
	OCSPs        [][]byte // RFC 5940 responses among the CRLs
	Signers      []*SignerInfo
	// Raw is the message itself, Trailing what follows it: PDF pads with
	// zeros, and whether anything else is allowed is the caller's rule.
	Raw, Trailing []byte

	embedded []*x509.Certificate
}

// A SignerInfo is one signature of a SignedData.
type SignerInfo struct {
	Version int
	// Issuer (an encoded name) and Serial name the certificate, or KeyID does.
	Issuer []byte
	Serial *big.Int
	KeyID  []byte
	// DigestOID is the digest of content and, by RFC 5652, of what is signed;
	// Digest its name, empty if unknown.
	DigestOID der.OID
	Digest    string
	// SignatureOID is the signature's identifier.
	SignatureOID der.OID
	Signature    []byte
	// SignedAttributes is the DER SET OF that was signed, nil if there is none.
	SignedAttributes []byte
	Signed, Unsigned []Attribute

	signature algorithmID
}

// Known keeps the certificates that messages carry, so that those of one
// document, which mostly carry the same, have each read once. The zero value is
// ready; it is not safe for concurrent use.
type Known struct {
	certs map[string]*x509.Certificate // by encoding; nil if it cannot be read
}

func (k *Known) certificate(raw []byte) *x509.Certificate {
	c, ok := k.certs[string(raw)]
	if !ok {
		c, _ = ParseCertificate(raw)
		if k.certs == nil {
			k.certs = map[string]*x509.Certificate{}
		}
		k.certs[string(raw)] = c
	}
	return c
}

// Parse reads a CMS ContentInfo with SignedData, BER or DER, of either the
// international or the GM/T 0010 content types. Input that is not that is
// [ErrMalformed]; beyond a limit it also matches [der.ErrLimit].
func Parse(b []byte) (*SignedData, error) { return new(Known).Parse(b) }

// Parse is the function of the same name for one message of several.
func (k *Known) Parse(b []byte) (*SignedData, error) {
	v, rest, err := der.Read(b)
	if err == nil && !v.Is(der.Sequence) {
		err = der.ErrSyntax
	}
	if err != nil {
		return nil, fmt.Errorf("%w: signed data: %w", ErrMalformed, err)
	}
	sd := &SignedData{Raw: v.Raw, Trailing: rest}
	c := v.Enter()
	if t := c.OID(); c.Err() == nil && t != OIDSignedData && t != OIDSignedDataGMT {
		return nil, fmt.Errorf("%w: content type %s is no signed data", ErrMalformed, t)
	}
	outer := c.Inner(der.Context(0) | der.Constructed)
	sd.read(outer.Inner(der.Sequence))
	outer.Done()
	if err := c.Done(); err != nil {
		return nil, fmt.Errorf("%w: signed data: %w", ErrMalformed, err)
	}
	for _, raw := range sd.Certificates {
		if c := k.certificate(raw); c != nil {
			sd.embedded = append(sd.embedded, c)
		}
	}
	return sd, nil
}

func (sd *SignedData) read(c *der.Cursor) {
	sd.Version = c.Small()
	for in := c.Inner(der.Set); in.More(); {
		if len(sd.Digests) == maxSigners {
			in.Check(fmt.Errorf("%w: digest algorithms", der.ErrLimit))
		}
		sd.Digests = append(sd.Digests, readAlgorithm(in).oid)
	}
	sd.readContent(c.Inner(der.Sequence))
	if v := c.Maybe(der.Context(0) | der.Constructed); v.Present() {
		for in := c.Sub(v); in.More(); {
			if len(sd.Certificates) == maxCertificates {
				in.Check(fmt.Errorf("%w: certificates", der.ErrLimit))
			}
			// Attribute certificates and the like ([0] to [3]) name no key.
			if e := in.Next(); e.Is(der.Sequence) {
				sd.Certificates = append(sd.Certificates, e.Raw)
			}
		}
	}
	if v := c.Maybe(der.Context(1) | der.Constructed); v.Present() {
		for in := c.Sub(v); in.More(); {
			if len(sd.CRLs)+len(sd.OCSPs) == maxCertificates {
				in.Check(fmt.Errorf("%w: revocation lists", der.ErrLimit))
			}
			switch e := in.Next(); {
			case e.Is(der.Sequence):
				sd.CRLs = append(sd.CRLs, e.Raw)
			case e.Is(der.Context(1) | der.Constructed):
				other := in.Sub(e)
				if other.OID() == oidRevocationOCSP {
					sd.OCSPs = append(sd.OCSPs, other.Next().Raw)
				}
			}
		}
	}
	for in := c.Inner(der.Set); in.More(); {
		if len(sd.Signers) == maxSigners {
			in.Check(fmt.Errorf("%w: signers", der.ErrLimit))
		}
		s := new(SignerInfo)
		s.read(in.Inner(der.Sequence))
		sd.Signers = append(sd.Signers, s)
	}
	c.Done()
}

// oidRevocationOCSP is id-ri-ocsp-response (RFC 5940 §2.1).
var oidRevocationOCSP = der.MustOID("1.3.6.1.5.5.7.16.2")

func (sd *SignedData) readContent(c *der.Cursor) {
	sd.ContentType = c.OID()
	v := c.Maybe(der.Context(0) | der.Constructed)
	c.Done()
	if c.Err() != nil || !v.Present() {
		return
	}
	in := c.Sub(v)
	e := in.Next()
	in.Done()
	sd.HasContent = true
	switch {
	case c.Err() != nil:
	case e.Is(der.OctetString), e.Is(der.OctetString | der.Constructed):
		b, err := e.Octets()
		c.Check(err)
		sd.Content = b
	default:
		// PKCS #7 v1.5 embeds any type; what is digested is its contents.
		sd.Content = e.Body
	}
}

func (s *SignerInfo) read(c *der.Cursor) {
	s.Version = c.Small()
	switch v := c.Next(); {
	case c.Err() != nil:
		return
	case v.Is(der.Sequence):
		in := c.Sub(v)
		s.Issuer = in.Want(der.Sequence).Raw
		s.Serial = in.Int()
		in.Done()
	case v.Is(der.Context(0)):
		s.KeyID = v.Body
	case v.Is(der.Context(0) | der.Constructed): // seen with explicit tagging
		s.KeyID = c.Sub(v).Octets()
	default:
		c.Check(fmt.Errorf("%w: signer identifier", der.ErrSyntax))
	}
	s.DigestOID = readAlgorithm(c).oid
	if d, err := digestByOID(s.DigestOID); err == nil {
		s.Digest = d.name
	}
	if v := c.Maybe(der.Context(0) | der.Constructed); v.Present() {
		set, err := v.DER()
		c.Check(err)
		if c.Err() != nil {
			return
		}
		// RFC 5652 §5.4: signed under the tag of SET OF.
		s.SignedAttributes = bytes.Clone(set)
		s.SignedAttributes[0] = der.Set
		s.Signed = readAttributes(c.Sub(v))
	}
	s.signature = readAlgorithm(c)
	s.SignatureOID = s.signature.oid
	s.Signature = c.Octets()
	if v := c.Maybe(der.Context(1) | der.Constructed); v.Present() {
		s.Unsigned = readAttributes(c.Sub(v))
	}
	c.Done()
}

func readAttributes(c *der.Cursor) []Attribute {
	var out []Attribute
	for c.More() {
		if len(out) == maxAttributes {
			c.Check(fmt.Errorf("%w: attributes", der.ErrLimit))
			return nil
		}
		in := c.Inner(der.Sequence)
		a := Attribute{Type: in.OID()}
		for values := in.Inner(der.Set); values.More(); {
			a.Values = append(a.Values, values.Next().Raw)
		}
		in.Done()
		out = append(out, a)
	}
	return out
}

// Embedded returns the embedded certificates that can be read, in the order
// they stand (see [ParseCertificate]).
func (sd *SignedData) Embedded() []*x509.Certificate { return slices.Clone(sd.embedded) }

// one returns the single value of a signed attribute that may occur once. ok
// is false when there is none.
func (s *SignerInfo) one(t der.OID) (v der.Value, ok bool, err error) {
	for _, a := range s.Signed {
		if a.Type != t {
			continue
		}
		if ok || len(a.Values) != 1 {
			return der.Value{}, false, fmt.Errorf("%w: signed attribute %s not single", ErrMalformed, t)
		}
		if v, err = der.Parse(a.Values[0]); err != nil {
			return der.Value{}, false, fmt.Errorf("%w: signed attribute %s: %w", ErrMalformed, t, err)
		}
		ok = true
	}
	return v, ok, nil
}

// SigningTime returns the signed claim of the time, if there is one.
func (s *SignerInfo) SigningTime() (time.Time, bool) {
	v, ok, err := s.one(OIDSigningTime)
	if !ok || err != nil {
		return time.Time{}, false
	}
	t, err := v.Time()
	return t, err == nil
}

// Timestamps returns the signature timestamp tokens among the unsigned
// attributes, unverified.
func (s *SignerInfo) Timestamps() [][]byte {
	var out [][]byte
	for _, a := range s.Unsigned {
		if a.Type == OIDSignatureTimestamp {
			out = append(out, a.Values...)
		}
	}
	return out
}

// RevocationArchive returns the CRLs and OCSP responses of Adobe's attribute
// 1.2.840.113583.1.1.8, signed or unsigned, unverified. What cannot be read is
// left out.
func (s *SignerInfo) RevocationArchive() (crls, ocsps [][]byte) {
	for _, a := range slices.Concat(s.Signed, s.Unsigned) {
		if a.Type != OIDRevocationArchive {
			continue
		}
		for _, value := range a.Values {
			v, err := der.Parse(value)
			if err != nil {
				continue
			}
			// RevocationInfoArchival ::= SEQUENCE { crl [0], ocsp [1], otherRevInfo [2] }
			for c := v.Enter(); c.More(); {
				switch e := c.Next(); {
				case e.Is(der.Context(0) | der.Constructed):
					crls = appendElements(crls, c.Sub(e).Inner(der.Sequence))
				case e.Is(der.Context(1) | der.Constructed):
					ocsps = appendElements(ocsps, c.Sub(e).Inner(der.Sequence))
				}
			}
		}
	}
	return crls, ocsps
}

func appendElements(list [][]byte, c *der.Cursor) [][]byte {
	for c.More() && len(list) < maxCertificates {
		if v := c.Next(); v.Present() {
			list = append(list, v.Raw)
		}
	}
	return list
}
