package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/countersign/countersign/internal/cms/der"
)

// Content and attribute types.
var (
	OIDData          = der.MustOID("1.2.840.113549.1.7.1")
	OIDSignedData    = der.MustOID("1.2.840.113549.1.7.2")
	OIDTSTInfo       = der.MustOID("1.2.840.113549.1.9.16.1.4")
	OIDDataGMT       = der.MustOID("1.2.156.10197.6.1.4.2.1") // GM/T 0010
	OIDSignedDataGMT = der.MustOID("1.2.156.10197.6.1.4.2.2")

	OIDContentType          = der.MustOID("1.2.840.113549.1.9.3")
	OIDMessageDigest        = der.MustOID("1.2.840.113549.1.9.4")
	OIDSigningTime          = der.MustOID("1.2.840.113549.1.9.5")
	OIDSigningCertificate   = der.MustOID("1.2.840.113549.1.9.16.2.12") // ESS v1, SHA-1
	OIDSigningCertificateV2 = der.MustOID("1.2.840.113549.1.9.16.2.47")
	OIDSignatureTimestamp   = der.MustOID("1.2.840.113549.1.9.16.2.14")
	OIDRevocationArchive    = der.MustOID("1.2.840.113583.1.1.8") // adbe-revocationInfoArchival
)

// Options of [New]; the zero value writes what pades.md C1 asks of PAdES.
type Options struct {
	// Algorithm signs; empty means the leaf key's own.
	Algorithm Algorithm
	// SigningTime, if set, becomes a signed attribute (profile "cms" only).
	SigningTime time.Time
	// GMT writes SM2 in the form of GM/T 0010: its content types and its
	// signature identifier. It has no effect on other algorithms.
	GMT bool
	// ContentType of what is signed; empty means data.
	ContentType der.OID
	// Content is embedded when not nil; the usual signature is detached.
	Content []byte
	// NoCertificates leaves the chain out, as a timestamp request may ask.
	NoCertificates bool
}

// An Attribute is one attribute with its encoded values.
type Attribute struct {
	Type   der.OID
	Values [][]byte // each one DER element
}

// A Template writes the SignedData of one signer: it turns a digest into
// signed attributes, those into the bytes to sign, and a signature value into
// the message. It holds no key and may be used concurrently.
type Template struct {
	leaf   *x509.Certificate
	leafID []byte   // digest of the leaf, as signing-certificate-v2 has it
	certs  [][]byte // the chain's encodings as they are embedded
	key    publicKey
	scheme scheme
	opts   Options
}

// New returns the template for the leaf chain[0]; the rest of chain is
// embedded as given. Only the leaf's public key decides the algorithm (C4). A
// key or algorithm that is not written is [ErrUnsupported].
func New(chain []*x509.Certificate, o *Options) (*Template, error) {
	if len(chain) == 0 || chain[0] == nil {
		return nil, fmt.Errorf("%w: no certificate", ErrMalformed)
	}
	for _, c := range chain {
		if c == nil || len(c.Raw) == 0 {
			return nil, fmt.Errorf("%w: certificate without encoding", ErrMalformed)
		}
	}
	key, err := readKeyInfo(chain[0].RawSubjectPublicKeyInfo)
	if err == nil && chain[0].PublicKey == nil { // crypto/x509 has not checked it
		err = key.readPoint()
	}
	if err != nil {
		return nil, err
	}
	t := &Template{leaf: chain[0], key: key}
	if o != nil {
		t.opts = *o
	}
	if t.scheme, err = key.scheme(t.opts.Algorithm); err != nil {
		return nil, err
	}
	if t.scheme.alg != SM2 {
		t.opts.GMT = false
	}
	if t.opts.ContentType == "" {
		t.opts.ContentType = OIDData
		if t.opts.GMT {
			t.opts.ContentType = OIDDataGMT
		}
	}
	if !t.opts.NoCertificates {
		t.certs = sortedRaw(chain)
	}
	t.leafID, err = Sum(t.leafDigest(), t.leaf.Raw)
	return t, err
}

// leafDigest names the digest of leafID: SHA-256, the default of RFC 5035 §3.
// SM2 chains are named by SM3, so that a reader needs no other digest.
func (t *Template) leafDigest() string {
	if t.scheme.alg == SM2 {
		return "SM3"
	}
	return "SHA-256"
}

// Algorithm returns what the template signs with.
func (t *Template) Algorithm() Algorithm { return t.scheme.alg }

// Digest returns the name of the digest that Attributes expects of the
// content: "SHA-256", "SHA-384", "SHA-512" or "SM3".
func (t *Template) Digest() string {
	if t.scheme.alg == Ed25519 {
		return "SHA-512" // RFC 8419 §3.1
	}
	return t.scheme.hash
}

// Attributes returns the signed attributes over a content digest: content-type,
// message-digest, signing-certificate-v2 and, if asked for, signing-time, as
// the DER SET OF that is signed.
func (t *Template) Attributes(sum []byte) ([]byte, error) {
	d, err := digestNamed(t.Digest())
	if err != nil {
		return nil, err
	}
	if len(sum) != d.size {
		return nil, fmt.Errorf("%w: %s digest of %d bytes", ErrMalformed, d.name, len(sum))
	}
	var b der.Builder
	b.Grow(len(sum) + len(t.leafID) + 128)
	set := b.Begin(der.Set)
	attr := func(o der.OID, value func()) {
		a := b.Begin(der.Sequence)
		b.OID(o)
		v := b.Begin(der.Set)
		value()
		b.End(v)
		b.End(a)
	}
	attr(OIDContentType, func() { b.OID(t.opts.ContentType) })
	if !t.opts.SigningTime.IsZero() {
		attr(OIDSigningTime, func() { b.Time(t.opts.SigningTime) })
	}
	attr(OIDMessageDigest, func() { b.Octets(sum) })
	attr(OIDSigningCertificateV2, func() {
		signing := b.Begin(der.Sequence)
		certs := b.Begin(der.Sequence)
		cert := b.Begin(der.Sequence)
		if id := t.leafDigest(); id != "SHA-256" { // a default is not written
			writeDigest(&b, id, false)
		}
		b.Octets(t.leafID)
		b.End(cert)
		b.End(certs)
		b.End(signing)
	})
	b.EndSetOf(set)
	return b.Bytes(), nil
}

// ToSign returns what the key signs: the digest of the attributes; for
// Ed25519 the attributes themselves; for SM2 SM3(ZA || attributes) under the
// identity 1234567812345678.
func (t *Template) ToSign(attributes []byte) ([]byte, error) {
	switch t.scheme.alg {
	case Ed25519:
		return bytes.Clone(attributes), nil
	case SM2:
		return sm2.CalculateSM2Hash(t.key.pub.(*ecdsa.PublicKey), attributes, sm2UID)
	}
	return Sum(t.scheme.hash, attributes)
}

// SignerOpts returns what the key gets beside ToSign: the hash, PSS options,
// or, for Ed25519 and SM2, options whose HashFunc is 0.
func (t *Template) SignerOpts() crypto.SignerOpts { return t.scheme.signerOpts() }

// CheckKey reports [ErrKeyMismatch] unless key signs for the leaf (C4).
func (t *Template) CheckKey(key crypto.Signer) error { return CheckKey(key, t.leaf) }

// Sign has key sign what ToSign returned. The key is not compared with the
// leaf and the signature not checked; see CheckKey and Check.
func (t *Template) Sign(key crypto.Signer, toSign []byte) ([]byte, error) {
	sig, err := key.Sign(rand.Reader, toSign, t.SignerOpts())
	if err != nil {
		return nil, fmt.Errorf("cms: sign: %w", err)
	}
	return sig, nil
}

// Check reports [ErrSignature] unless sig is the leaf's signature over the
// attributes.
func (t *Template) Check(attributes, sig []byte) error {
	key, err := readKey(t.leaf.RawSubjectPublicKeyInfo)
	if err != nil {
		return err
	}
	return key.verify(t.scheme, attributes, nil, sig)
}

// MaxSize returns the longest message Assemble can make, in bytes, given the
// sum of the sizes of the unsigned attribute values to come.
func (t *Template) MaxSize(unsigned int) (int, error) {
	d, err := digestNamed(t.Digest())
	if err != nil {
		return 0, err
	}
	var blank [maxRSA / 8]byte
	attrs, err := t.Attributes(blank[:d.size])
	if err != nil {
		return 0, err
	}
	b, err := t.Assemble(attrs, blank[:t.key.maxSignature()])
	if err != nil {
		return 0, err
	}
	n := len(b)
	if unsigned > 0 {
		// Identifier, three headers, and the growth of every length around it.
		n += unsigned + 64
	}
	return n, nil
}

// Assemble returns the DER ContentInfo of a signature over attributes, which
// must be what Attributes returned, with the chain and unsigned attributes.
// The signature is not checked.
func (t *Template) Assemble(attributes, sig []byte, unsigned ...Attribute) ([]byte, error) {
	set, err := der.Parse(attributes)
	if err != nil || !set.Is(der.Set) {
		return nil, fmt.Errorf("%w: signed attributes", ErrMalformed)
	}
	size := len(attributes) + len(sig) + len(t.opts.Content) + len(t.leaf.RawIssuer) + 256
	for _, c := range t.certs {
		size += len(c)
	}
	for _, a := range unsigned {
		for _, v := range a.Values {
			size += len(v) + 32
		}
	}
	var b der.Builder
	b.Grow(size)
	info := b.Begin(der.Sequence)
	if t.opts.GMT {
		b.OID(OIDSignedDataGMT)
	} else {
		b.OID(OIDSignedData)
	}
	outer := b.Begin(der.Context(0) | der.Constructed)
	sd := b.Begin(der.Sequence)
	version := 1
	if t.opts.ContentType != OIDData && t.opts.ContentType != OIDDataGMT {
		version = 3 // RFC 5652 §5.1
	}
	b.Small(version)
	digests := b.Begin(der.Set)
	writeDigest(&b, t.Digest(), false)
	b.End(digests)
	content := b.Begin(der.Sequence)
	b.OID(t.opts.ContentType)
	if t.opts.Content != nil {
		c := b.Begin(der.Context(0) | der.Constructed)
		b.Octets(t.opts.Content)
		b.End(c)
	}
	b.End(content)
	if !t.opts.NoCertificates {
		certs := b.Begin(der.Context(0) | der.Constructed)
		for _, c := range t.certs {
			b.Raw(c)
		}
		b.End(certs)
	}
	signers := b.Begin(der.Set)
	si := b.Begin(der.Sequence)
	b.Small(1)
	sid := b.Begin(der.Sequence)
	b.Raw(t.leaf.RawIssuer)
	b.Int(t.leaf.SerialNumber)
	b.End(sid)
	writeDigest(&b, t.Digest(), false)
	b.Prim(der.Context(0)|der.Constructed, set.Body)
	writeAlgorithm(&b, t.scheme, t.opts.GMT)
	b.Octets(sig)
	writeUnsigned(&b, unsigned)
	b.End(si)
	b.End(signers)
	b.End(sd)
	b.End(outer)
	b.End(info)
	return b.Bytes(), nil
}

// sortedRaw returns the encodings of certs in DER order without duplicates:
// the certificates of a SignedData are a SET.
func sortedRaw(certs []*x509.Certificate) [][]byte {
	out := make([][]byte, 0, len(certs))
	for _, c := range certs {
		out = append(out, c.Raw)
	}
	slices.SortFunc(out, bytes.Compare)
	return slices.CompactFunc(out, bytes.Equal)
}

func writeUnsigned(b *der.Builder, attrs []Attribute) {
	if len(attrs) == 0 {
		return
	}
	encoded := make([][]byte, 0, len(attrs))
	for _, a := range attrs {
		var e der.Builder
		m := e.Begin(der.Sequence)
		e.OID(a.Type)
		e.SetOf(der.Set, a.Values...)
		e.End(m)
		encoded = append(encoded, e.Bytes())
	}
	b.SetOf(der.Context(1)|der.Constructed, encoded...)
}
