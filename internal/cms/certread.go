package cms

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/cms/der"
)

// readCertificate is the reader of last resort. See [ParseCertificate].
func readCertificate(b []byte) (*x509.Certificate, error) {
	v, err := der.Parse(b)
	if err != nil || !v.Is(der.Sequence) {
		return nil, fmt.Errorf("%w: certificate", ErrMalformed)
	}
	out := &x509.Certificate{Raw: bytes.Clone(v.Raw), Version: 1}
	c := v.Enter()
	tbs := c.Want(der.Sequence)
	out.RawTBSCertificate = bytes.Clone(tbs.Raw)
	in := c.Sub(tbs)
	if w := in.Maybe(der.Context(0) | der.Constructed); w.Present() {
		out.Version = in.Sub(w).Small() + 1
	}
	out.SerialNumber = in.Int()
	inner := in.Want(der.Sequence)
	out.RawIssuer = bytes.Clone(in.Want(der.Sequence).Raw)
	validity := in.Inner(der.Sequence)
	out.NotBefore, out.NotAfter = validity.Time(), validity.Time()
	out.RawSubject = bytes.Clone(in.Want(der.Sequence).Raw)
	out.RawSubjectPublicKeyInfo = bytes.Clone(in.Want(der.Sequence).Raw)
	if err := c.Err(); err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", ErrMalformed, err)
	}
	out.Issuer, out.Subject = readName(out.RawIssuer), readName(out.RawSubject)
	if k, err := readKey(out.RawSubjectPublicKeyInfo); err == nil {
		// Kinds the standard library has no type for stay unknown.
		switch pub := k.pub.(type) {
		case *rsa.PublicKey:
			out.PublicKeyAlgorithm, out.PublicKey = x509.RSA, pub
		case *ecdsa.PublicKey:
			out.PublicKeyAlgorithm, out.PublicKey = x509.ECDSA, pub
		case ed25519.PublicKey:
			out.PublicKeyAlgorithm, out.PublicKey = x509.Ed25519, pub
		}
	}
	in.Maybe(der.Context(1)) // unique identifiers
	in.Maybe(der.Context(2))
	if w := in.Maybe(der.Context(3) | der.Constructed); w.Present() {
		readExtensions(out, in.Sub(w).Inner(der.Sequence))
	}
	in.Done()
	outer := c.Want(der.Sequence)
	sig, berr := c.Want(der.BitString).Bits()
	c.Check(berr)
	// A serial number of 0 or less names too little; version 4 means who knows what.
	if c.Done() == nil && bytes.Equal(inner.Raw, outer.Raw) && out.SerialNumber.Sign() > 0 && out.Version <= 3 {
		out.Signature = bytes.Clone(sig)
	}
	return out, nil
}

// readExtensions fills what paths are judged by. Any fault, or an extension
// that this reader cannot judge and must, ends in the cursor's error.
func readExtensions(out *x509.Certificate, list *der.Cursor) {
	seen := make(map[der.OID]bool)
	extensions(list, func(id der.OID, critical bool, value []byte) error {
		if seen[id] {
			return fmt.Errorf("%w: extension %s twice", der.ErrSyntax, id)
		}
		seen[id] = true
		out.Extensions = append(out.Extensions, pkix.Extension{Id: asn1OID(id), Critical: critical, Value: bytes.Clone(value)})
		v, err := der.Parse(value)
		if err != nil {
			return err
		}
		switch id.String() {
		case "2.5.29.14":
			out.SubjectKeyId, err = v.Octets()
		case "2.5.29.35":
			out.AuthorityKeyId = bytes.Clone(v.Enter().Maybe(der.Context(0)).Body)
		case "2.5.29.15":
			err = readKeyUsage(out, v)
		case "2.5.29.19":
			err = readBasicConstraints(out, v)
		case "2.5.29.37":
			err = readExtKeyUsage(out, v)
		case "2.5.29.31":
			out.CRLDistributionPoints = uris(v, nil)
		case "1.3.6.1.5.5.7.1.1":
			out.OCSPServer, out.IssuingCertificateURL = readAuthorityInfo(v)
		case "2.5.29.30": // names cannot be left unconstrained, critical or not
			err = fmt.Errorf("%w: name constraints", ErrUnsupported)
		case "2.5.29.17", "2.5.29.32", "2.5.29.18":
		default:
			if critical {
				out.UnhandledCriticalExtensions = append(out.UnhandledCriticalExtensions, asn1OID(id))
			}
		}
		return err
	})
}

func readKeyUsage(out *x509.Certificate, v der.Value) error {
	if !v.Is(der.BitString) || len(v.Body) < 2 {
		return fmt.Errorf("%w: key usage", der.ErrSyntax)
	}
	for i := range 9 {
		if 1+i/8 < len(v.Body) && v.Body[1+i/8]&(0x80>>(i%8)) != 0 {
			out.KeyUsage |= 1 << i
		}
	}
	return nil
}

func readBasicConstraints(out *x509.Certificate, v der.Value) error {
	c := v.Enter()
	out.BasicConstraintsValid, out.MaxPathLen = true, -1
	if b := c.Maybe(der.Boolean); b.Present() {
		out.IsCA, _ = b.Bool()
	}
	if n := c.Maybe(der.Integer); n.Present() {
		size, err := n.Small()
		c.Check(err)
		out.MaxPathLen, out.MaxPathLenZero = size, size == 0
	}
	return c.Done()
}

// extKeyUsages are the usages that matter here; others stay unknown.
var extKeyUsages = map[string]x509.ExtKeyUsage{
	"2.5.29.37.0":       x509.ExtKeyUsageAny,
	"1.3.6.1.5.5.7.3.1": x509.ExtKeyUsageServerAuth,
	"1.3.6.1.5.5.7.3.2": x509.ExtKeyUsageClientAuth,
	"1.3.6.1.5.5.7.3.3": x509.ExtKeyUsageCodeSigning,
	"1.3.6.1.5.5.7.3.4": x509.ExtKeyUsageEmailProtection,
	"1.3.6.1.5.5.7.3.8": x509.ExtKeyUsageTimeStamping,
	"1.3.6.1.5.5.7.3.9": x509.ExtKeyUsageOCSPSigning,
}

func readExtKeyUsage(out *x509.Certificate, v der.Value) error {
	c := v.Enter()
	for c.More() {
		id := c.OID()
		if u, ok := extKeyUsages[id.String()]; ok {
			out.ExtKeyUsage = append(out.ExtKeyUsage, u)
		} else {
			out.UnknownExtKeyUsage = append(out.UnknownExtKeyUsage, asn1OID(id))
		}
	}
	return c.Done()
}

// readAuthorityInfo reads AuthorityInfoAccess (RFC 5280 §4.2.2.1).
func readAuthorityInfo(v der.Value) (ocsp, issuers []string) {
	for c := v.Enter(); c.More(); {
		d := c.Inner(der.Sequence)
		method := d.OID()
		if u := d.Maybe(der.Context(6)); u.Present() {
			switch method.String() {
			case "1.3.6.1.5.5.7.48.1":
				ocsp = append(ocsp, string(u.Body))
			case "1.3.6.1.5.5.7.48.2":
				issuers = append(issuers, string(u.Body))
			}
		}
	}
	return ocsp, issuers
}

// uris collects the addresses anywhere in v.
func uris(v der.Value, list []string) []string {
	if v.Is(der.Context(6)) {
		return append(list, string(v.Body))
	}
	if v.Tag&der.Constructed != 0 {
		for c := v.Enter(); c.More(); {
			list = uris(c.Next(), list)
		}
	}
	return list
}

// readName reads what people look for in a name, as it stands.
func readName(raw []byte) pkix.Name {
	var n pkix.Name
	v, err := der.Parse(raw)
	if err != nil {
		return n
	}
	for c := v.Enter(); c.More(); {
		for set := c.Inner(der.Set); set.More(); {
			pair := set.Inner(der.Sequence)
			id, text := pair.OID(), strings.ToValidUTF8(string(pair.Next().Body), "?")
			n.Names = append(n.Names, pkix.AttributeTypeAndValue{Type: asn1OID(id), Value: text})
			switch id.String() {
			case "2.5.4.3":
				n.CommonName = text
			case "2.5.4.5":
				n.SerialNumber = text
			case "2.5.4.6":
				n.Country = append(n.Country, text)
			case "2.5.4.10":
				n.Organization = append(n.Organization, text)
			case "2.5.4.11":
				n.OrganizationalUnit = append(n.OrganizationalUnit, text)
			}
		}
	}
	return n
}

// asn1OID returns the standard library's form; arcs that do not fit end it.
func asn1OID(o der.OID) (out asn1.ObjectIdentifier) {
	for arc := range strings.SplitSeq(o.String(), ".") {
		n, err := strconv.Atoi(arc)
		if err != nil {
			break
		}
		out = append(out, n)
	}
	return out
}
