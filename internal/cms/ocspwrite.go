package cms

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"github.com/countersign/countersign/internal/cms/der"
)

// OCSPRequest returns a DER OCSPRequest about cert, whose issuer is issuer, in
// the form of RFC 5019 (SHA-1 names the certificate and nothing more is made
// of it), with a nonce if that is not nil.
func OCSPRequest(cert, issuer *x509.Certificate, nonce []byte) ([]byte, error) {
	key, err := readKeyBits(issuer)
	if err != nil {
		return nil, err
	}
	id := certIDHash{digest: "SHA-1", serial: cert.SerialNumber}
	if id.name, err = Sum(id.digest, issuer.RawSubject); err != nil {
		return nil, err
	}
	if id.key, err = Sum(id.digest, key); err != nil {
		return nil, err
	}
	var b der.Builder
	outer := b.Begin(der.Sequence)
	tbs := b.Begin(der.Sequence)
	list := b.Begin(der.Sequence)
	one := b.Begin(der.Sequence)
	id.write(&b)
	b.End(one)
	b.End(list)
	if nonce != nil {
		ext := b.Begin(der.Context(2) | der.Constructed)
		writeNonce(&b, nonce)
		b.End(ext)
	}
	b.End(tbs)
	b.End(outer)
	return b.Bytes(), nil
}

func (id certIDHash) write(b *der.Builder) {
	m := b.Begin(der.Sequence)
	writeDigest(b, id.digest, true)
	b.Octets(id.name)
	b.Octets(id.key)
	b.Int(id.serial)
	b.End(m)
}

func writeNonce(b *der.Builder, nonce []byte) {
	list := b.Begin(der.Sequence)
	e := b.Begin(der.Sequence)
	b.OID(oidOCSPNonce)
	v := b.Begin(der.OctetString)
	b.Octets(nonce)
	b.End(v)
	b.End(e)
	b.End(list)
}

// An OCSPQuery is the first question of an OCSPRequest.
type OCSPQuery struct {
	Serial *big.Int
	Nonce  []byte
	id     certIDHash
}

// ParseOCSPRequest reads an OCSPRequest.
func ParseOCSPRequest(b []byte) (*OCSPQuery, error) {
	v, err := der.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: OCSP request: %w", ErrMalformed, err)
	}
	var q OCSPQuery
	outer := v.Enter()
	tbs := outer.Inner(der.Sequence)
	tbs.Maybe(der.Context(0) | der.Constructed) // version
	tbs.Maybe(der.Context(1) | der.Constructed) // requestor
	q.id = readCertIDHash(tbs.Inner(der.Sequence).Inner(der.Sequence).Inner(der.Sequence))
	q.Serial = q.id.serial
	if e := tbs.Maybe(der.Context(2) | der.Constructed); e.Present() {
		extensions(tbs.Sub(e).Inner(der.Sequence), func(id der.OID, _ bool, value []byte) error {
			if id == oidOCSPNonce {
				q.Nonce = nonceOf(value)
			}
			return nil
		})
	}
	if err := outer.Err(); err != nil || q.id.digest == "" || len(q.Nonce) > 128 {
		return nil, fmt.Errorf("%w: OCSP request", ErrMalformed)
	}
	return &q, nil
}

// About reports whether the question is about a certificate of issuer.
func (q *OCSPQuery) About(issuer *x509.Certificate) bool { return q.id.about(q.Serial, issuer) }

// CreateOCSP answers q with the status and times of r, signed by key for signer;
// embed puts the certificate of a delegated signer into the response.
func CreateOCSP(q *OCSPQuery, r Revocation, signer *x509.Certificate, embed bool, key crypto.Signer) ([]byte, error) {
	pub, err := readKey(signer.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	s, err := pub.scheme("")
	if err != nil {
		return nil, err
	}
	tbs := ocspData(q, r, signer)
	t := Template{key: *pub, scheme: s}
	toSign, err := t.ToSign(tbs)
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign(rand.Reader, toSign, s.signerOpts())
	if err != nil {
		return nil, fmt.Errorf("cms: sign OCSP: %w", err)
	}
	var b der.Builder
	outer := b.Begin(der.Sequence)
	b.Prim(der.Enumerated, []byte{0})
	wrap := b.Begin(der.Context(0) | der.Constructed)
	in := b.Begin(der.Sequence)
	b.OID(oidOCSPBasic)
	body := b.Begin(der.OctetString)
	basic := b.Begin(der.Sequence)
	b.Raw(tbs)
	writeAlgorithm(&b, s, false)
	b.Bits(sig)
	if embed {
		certs := b.Begin(der.Context(0) | der.Constructed)
		list := b.Begin(der.Sequence)
		b.Raw(signer.Raw)
		b.End(list)
		b.End(certs)
	}
	b.End(basic)
	b.End(body)
	b.End(in)
	b.End(wrap)
	b.End(outer)
	return b.Bytes(), nil
}

// ocspData writes ResponseData.
func ocspData(q *OCSPQuery, r Revocation, signer *x509.Certificate) []byte {
	var b der.Builder
	data := b.Begin(der.Sequence)
	name := b.Begin(der.Context(1) | der.Constructed)
	b.Raw(signer.RawSubject)
	b.End(name)
	// RFC 6960 has GeneralizedTime without fractions throughout.
	b.GeneralizedTime(r.Produced.Truncate(time.Second))
	list := b.Begin(der.Sequence)
	one := b.Begin(der.Sequence)
	q.id.write(&b)
	switch r.Status {
	case StatusGood:
		b.Prim(der.Context(0), nil)
	case StatusRevoked:
		m := b.Begin(der.Context(1) | der.Constructed)
		b.GeneralizedTime(r.RevokedAt.Truncate(time.Second))
		why := b.Begin(der.Context(0) | der.Constructed)
		b.Prim(der.Enumerated, []byte{byte(r.Reason)})
		b.End(why)
		b.End(m)
	default:
		b.Prim(der.Context(2), nil)
	}
	b.GeneralizedTime(r.ThisUpdate.Truncate(time.Second))
	if !r.NextUpdate.IsZero() {
		m := b.Begin(der.Context(0) | der.Constructed)
		b.GeneralizedTime(r.NextUpdate.Truncate(time.Second))
		b.End(m)
	}
	b.End(one)
	b.End(list)
	if q.Nonce != nil {
		ext := b.Begin(der.Context(1) | der.Constructed)
		writeNonce(&b, q.Nonce)
		b.End(ext)
	}
	b.End(data)
	return b.Bytes()
}

// OCSPFailure returns an OCSPResponse without answer; see [OCSPStatusError].
func OCSPFailure(status int) []byte { return []byte{0x30, 3, der.Enumerated, 1, byte(status)} }
