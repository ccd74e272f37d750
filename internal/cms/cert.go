package cms

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"

	"github.com/emmansun/gmsm/smx509"

	"github.com/countersign/countersign/internal/cms/der"
)

// maxCertificates bounds what one file or message may bring.
const maxCertificates = 1000

// ParseCertificate reads one DER certificate. What crypto/x509 rejects is read
// by smx509 (SM2) and, if that fails too, by our own reader: it minds neither
// odd strings in names nor key kinds it does not know, and fills what chains
// and revocation need. A certificate with a fault that matters (two signature
// algorithms, an extension twice, a broken one) still names its signer, but
// has no Signature and never passes [BuildChain].
func ParseCertificate(b []byte) (*x509.Certificate, error) {
	if len(b) > der.MaxSize {
		return nil, fmt.Errorf("%w: certificate of %d bytes: %w", ErrMalformed, len(b), der.ErrLimit)
	}
	if c, err := x509.ParseCertificate(b); err == nil {
		return c, nil
	}
	if c, err := smx509.ParseCertificate(b); err == nil {
		return c.ToX509(), nil
	}
	return readCertificate(b)
}

// ParseCertificates reads certificates, PEM or DER (one or several one after
// another), in the order they stand, SM2 ones included. PEM blocks of other
// types are skipped; no certificate at all is [ErrMalformed].
func ParseCertificates(b []byte) ([]*x509.Certificate, error) {
	if len(b) > 4*der.MaxSize {
		return nil, fmt.Errorf("%w: %d bytes: %w", ErrMalformed, len(b), der.ErrLimit)
	}
	var out []*x509.Certificate
	add := func(raw []byte) error {
		if len(out) == maxCertificates {
			return fmt.Errorf("%w: certificates: %w", ErrMalformed, der.ErrLimit)
		}
		c, err := ParseCertificate(raw)
		if err == nil {
			out = append(out, c)
		}
		return err
	}
	if bytes.Contains(b, []byte("-----BEGIN")) {
		for {
			var block *pem.Block
			if block, b = pem.Decode(b); block == nil {
				break
			}
			if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
				continue
			}
			if err := add(block.Bytes); err != nil {
				return nil, err
			}
		}
	} else {
		for len(b) != 0 {
			v, rest, err := der.Read(b)
			if err != nil {
				return nil, fmt.Errorf("%w: certificate: %w", ErrMalformed, err)
			}
			if err := add(v.Raw); err != nil {
				return nil, err
			}
			b = rest
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no certificate", ErrMalformed)
	}
	return out, nil
}

// NewSerial returns a fresh random serial number: positive, 127 bits, always of
// 16 octets.
func NewSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// CreateCertificate is x509.CreateCertificate for every key kind here, SM2
// included, and returns the certificate read back. A nil parent means
// self-signed. The signature algorithm follows from signer.
func CreateCertificate(template, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	if parent == nil {
		parent = template
	}
	b, err := smx509.CreateCertificate(rand.Reader, template, parent, pub, signer)
	if err != nil {
		return nil, fmt.Errorf("cms: create certificate: %w", err)
	}
	return ParseCertificate(b)
}

// CreateRevocationList is x509.CreateRevocationList for every key kind here.
func CreateRevocationList(template *x509.RevocationList, issuer *x509.Certificate, signer crypto.Signer) ([]byte, error) {
	b, err := smx509.CreateRevocationList(rand.Reader, template, (*smx509.Certificate)(issuer), signer)
	if err != nil {
		return nil, fmt.Errorf("cms: create revocation list: %w", err)
	}
	return b, nil
}

// ParseRequest reads a PKCS #10 certificate request, PEM or DER, checks its
// signature and returns it with its public key.
func ParseRequest(b []byte) (*x509.CertificateRequest, error) {
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	if len(b) > der.MaxSize {
		return nil, fmt.Errorf("%w: request: %w", ErrMalformed, der.ErrLimit)
	}
	r, err := smx509.ParseCertificateRequest(b)
	if err != nil {
		return nil, fmt.Errorf("%w: request: %w", ErrMalformed, err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: request: %w", ErrSignature, err)
	}
	return (*x509.CertificateRequest)(r), nil
}

// sameName reports whether two encoded names are equal, octet for octet or
// with every string compared whatever its type, case and spacing, as some
// writers re-encode the issuer of their own certificate.
func sameName(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	na, err := nameKey(a)
	if err != nil {
		return false
	}
	nb, err := nameKey(b)
	return err == nil && na == nb
}

func nameKey(raw []byte) (string, error) {
	v, err := der.Parse(raw)
	if err != nil {
		return "", err
	}
	var key []byte
	c := v.Enter()
	for c.More() {
		set := c.Inner(der.Set)
		for set.More() {
			pair := set.Inner(der.Sequence)
			key = append(append(key, pair.OID()...), 0)
			text := pair.Next().Body
			key = append(append(key, bytes.ToLower(bytes.Join(bytes.Fields(text), []byte(" ")))...), 0)
			pair.Done()
		}
		key = append(key, 1)
	}
	return string(key), c.Err()
}
