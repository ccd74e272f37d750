package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"

	"github.com/emmansun/gmsm/sm2"

	"github.com/countersign/countersign/internal/cms/der"
)

// An Algorithm is a signature algorithm by its fixed name; digest and
// parameters follow from the key.
type Algorithm string

// Algorithms.
const (
	RSA     Algorithm = "rsa"     // PKCS #1 v1.5
	RSAPSS  Algorithm = "rsapss"  // MGF1 with the same hash, salt as long as the hash
	ECDSA   Algorithm = "ecdsa"   // P-256, P-384, P-521; reading adds Brainpool r1
	Ed25519 Algorithm = "ed25519" // RFC 8419
	Ed448   Algorithm = "ed448"   // RFC 8419, read only
	SM2     Algorithm = "sm2"     // GB/T 32918 with SM3
)

// sm2UID is the signer's identity of GM/T 0009, the default everywhere.
var sm2UID = []byte("1234567812345678")

var (
	oidRSA      = der.MustOID("1.2.840.113549.1.1.1")
	oidMGF1     = der.MustOID("1.2.840.113549.1.1.8")
	oidPSS      = der.MustOID("1.2.840.113549.1.1.10")
	oidEC       = der.MustOID("1.2.840.10045.2.1")
	oidEd25519  = der.MustOID("1.3.101.112")
	oidEd448    = der.MustOID("1.3.101.113")
	oidSM2      = der.MustOID("1.2.156.10197.1.301")
	oidSM2Sign  = der.MustOID("1.2.156.10197.1.301.1")
	oidSM2SM3   = der.MustOID("1.2.156.10197.1.501")
	oidP256     = der.MustOID("1.2.840.10045.3.1.7")
	oidP384     = der.MustOID("1.3.132.0.34")
	oidP521     = der.MustOID("1.3.132.0.35")
	oidECSHA256 = der.MustOID("1.2.840.10045.4.3.2")
	oidECSHA384 = der.MustOID("1.2.840.10045.4.3.3")
	oidECSHA512 = der.MustOID("1.2.840.10045.4.3.4")
)

// scheme is a signature algorithm with its parameters.
type scheme struct {
	alg  Algorithm
	hash string // over what is signed; "" for Ed25519 and Ed448
	salt int    // PSS
}

// signatureOIDs names digest and algorithm in one identifier.
var signatureOIDs = map[der.OID]scheme{
	der.MustOID("1.2.840.113549.1.1.5"):    {alg: RSA, hash: "SHA-1"},
	der.MustOID("1.3.14.3.2.29"):           {alg: RSA, hash: "SHA-1"},
	der.MustOID("1.2.840.113549.1.1.14"):   {alg: RSA, hash: "SHA-224"},
	der.MustOID("1.2.840.113549.1.1.11"):   {alg: RSA, hash: "SHA-256"},
	der.MustOID("1.2.840.113549.1.1.12"):   {alg: RSA, hash: "SHA-384"},
	der.MustOID("1.2.840.113549.1.1.13"):   {alg: RSA, hash: "SHA-512"},
	der.MustOID("2.16.840.1.101.3.4.3.13"): {alg: RSA, hash: "SHA3-224"},
	der.MustOID("2.16.840.1.101.3.4.3.14"): {alg: RSA, hash: "SHA3-256"},
	der.MustOID("2.16.840.1.101.3.4.3.15"): {alg: RSA, hash: "SHA3-384"},
	der.MustOID("2.16.840.1.101.3.4.3.16"): {alg: RSA, hash: "SHA3-512"},
	der.MustOID("1.2.840.10045.4.1"):       {alg: ECDSA, hash: "SHA-1"},
	der.MustOID("1.2.840.10045.4.3.1"):     {alg: ECDSA, hash: "SHA-224"},
	oidECSHA256:                            {alg: ECDSA, hash: "SHA-256"},
	oidECSHA384:                            {alg: ECDSA, hash: "SHA-384"},
	oidECSHA512:                            {alg: ECDSA, hash: "SHA-512"},
	der.MustOID("2.16.840.1.101.3.4.3.9"):  {alg: ECDSA, hash: "SHA3-224"},
	der.MustOID("2.16.840.1.101.3.4.3.10"): {alg: ECDSA, hash: "SHA3-256"},
	der.MustOID("2.16.840.1.101.3.4.3.11"): {alg: ECDSA, hash: "SHA3-384"},
	der.MustOID("2.16.840.1.101.3.4.3.12"): {alg: ECDSA, hash: "SHA3-512"},
	oidEd25519:                             {alg: Ed25519},
	oidEd448:                               {alg: Ed448},
	oidSM2SM3:                              {alg: SM2, hash: "SM3"},
	oidSM2Sign:                             {alg: SM2, hash: "SM3"},
	oidSM2:                                 {alg: SM2, hash: "SM3"},
}

// algorithmID is an AlgorithmIdentifier.
type algorithmID struct {
	oid    der.OID
	params der.Value // absent, or whatever stands there
}

func readAlgorithm(c *der.Cursor) algorithmID {
	in := c.Inner(der.Sequence)
	var a algorithmID
	a.oid = in.OID()
	if in.More() {
		a.params = in.Next()
	}
	in.Done()
	return a
}

// schemeOf reads what a signature claims to be. digest is the digest algorithm
// beside it, "" in a certificate, where the identifier must name its own.
func schemeOf(a algorithmID, digest string, key *publicKey) (scheme, error) {
	switch a.oid {
	case oidRSA:
		return scheme{alg: RSA, hash: digest}, known(digest)
	case oidEC:
		if key.alg == SM2 {
			return scheme{alg: SM2, hash: "SM3"}, nil
		}
		return scheme{alg: ECDSA, hash: digest}, known(digest)
	case oidPSS:
		return pssScheme(a.params)
	}
	s, ok := signatureOIDs[a.oid]
	if !ok {
		return scheme{}, fmt.Errorf("%w: signature %s", ErrUnsupported, a.oid)
	}
	return s, nil
}

func known(digest string) error {
	_, err := digestNamed(digest)
	return err
}

// pssScheme reads RSASSA-PSS-params (RFC 4055 §3.1); the defaults are SHA-1's.
func pssScheme(params der.Value) (scheme, error) {
	s := scheme{alg: RSAPSS, hash: "SHA-1", salt: 20}
	if !params.Present() || params.Is(der.Null) {
		return scheme{}, fmt.Errorf("%w: PSS without parameters", ErrMalformed)
	}
	mgf := "SHA-1"
	c := params.Enter()
	if v := c.Maybe(der.Context(0) | der.Constructed); v.Present() {
		d, err := digestByOID(readAlgorithm(v.Enter()).oid)
		if err != nil {
			return scheme{}, err
		}
		s.hash = d.name
	}
	if v := c.Maybe(der.Context(1) | der.Constructed); v.Present() {
		a := readAlgorithm(v.Enter())
		if a.oid != oidMGF1 {
			return scheme{}, fmt.Errorf("%w: mask generation %s", ErrUnsupported, a.oid)
		}
		in := a.params.Enter()
		d, err := digestByOID(in.OID())
		if err != nil {
			return scheme{}, err
		}
		mgf = d.name
	}
	if v := c.Maybe(der.Context(2) | der.Constructed); v.Present() {
		s.salt = v.Enter().Small()
	}
	if v := c.Maybe(der.Context(3) | der.Constructed); v.Present() {
		if n := v.Enter().Small(); n != 1 {
			return scheme{}, fmt.Errorf("%w: PSS trailer %d", ErrUnsupported, n)
		}
	}
	if err := c.Done(); err != nil {
		return scheme{}, fmt.Errorf("%w: PSS parameters: %w", ErrMalformed, err)
	}
	if mgf != s.hash {
		return scheme{}, fmt.Errorf("%w: PSS with %s and MGF1 of %s", ErrUnsupported, s.hash, mgf)
	}
	return s, nil
}

// writeAlgorithm writes the AlgorithmIdentifier of a signature. gmt chooses
// the identifier of GM/T 0010 for SM2.
func writeAlgorithm(b *der.Builder, s scheme, gmt bool) {
	m := b.Begin(der.Sequence)
	defer b.End(m)
	switch s.alg {
	case RSA:
		// RFC 8017 appendix C, RFC 4055 §5: parameters NULL.
		b.OID(signatureOID(s))
		b.Null()
	case RSAPSS:
		b.OID(oidPSS)
		p := b.Begin(der.Sequence)
		h := b.Begin(der.Context(0) | der.Constructed)
		writeDigest(b, s.hash, true)
		b.End(h)
		g := b.Begin(der.Context(1) | der.Constructed)
		a := b.Begin(der.Sequence)
		b.OID(oidMGF1)
		writeDigest(b, s.hash, true)
		b.End(a)
		b.End(g)
		l := b.Begin(der.Context(2) | der.Constructed)
		b.Small(s.salt)
		b.End(l)
		b.End(p)
	case SM2:
		if gmt {
			b.OID(oidSM2Sign)
		} else {
			b.OID(oidSM2SM3)
		}
	default:
		b.OID(signatureOID(s))
	}
}

func signatureOID(s scheme) der.OID {
	switch {
	case s.alg == RSA:
		return der.MustOID("1.2.840.113549.1.1.11")
	case s.alg == Ed25519:
		return oidEd25519
	case s.hash == "SHA-384":
		return oidECSHA384
	case s.hash == "SHA-512":
		return oidECSHA512
	}
	return oidECSHA256
}

// writeDigest writes the AlgorithmIdentifier of a digest. SHA-2 in CMS goes
// without parameters (RFC 5754 §2); within PSS they are NULL (RFC 4055 §2.1).
func writeDigest(b *der.Builder, name string, null bool) {
	d, err := digestNamed(name)
	if err != nil {
		panic("cms: " + err.Error()) // a constant of this package
	}
	m := b.Begin(der.Sequence)
	b.OID(d.oid)
	if null {
		b.Null()
	}
	b.End(m)
}

// verify checks sig by the key. Either message or sum, its digest by s.hash,
// may be nil; Ed25519, Ed448 and SM2 need the message.
func (k *publicKey) verify(s scheme, message, sum, sig []byte) error {
	if s.alg != k.alg && !(s.alg == RSAPSS && k.alg == RSA) {
		return fmt.Errorf("%w: %s signature under %s key", ErrSignature, s.alg, k.alg)
	}
	if k.pss != nil && (s.hash != k.pss.hash || s.salt < k.pss.salt) {
		// RFC 4055 §1.2: the key's parameters bind its signatures.
		return fmt.Errorf("%w: PSS parameters other than the key's", ErrSignature)
	}
	if message == nil && (s.alg == Ed25519 || s.alg == Ed448 || s.alg == SM2) {
		return fmt.Errorf("%w: %s without signed attributes", ErrUnsupported, s.alg)
	}
	ok := false
	switch s.alg {
	case Ed25519:
		ok = ed25519.Verify(k.pub.(ed25519.PublicKey), message, sig)
	case Ed448:
		ok = k.pub.(*ed448Key).verify(message, sig)
	case SM2:
		ok = sm2.VerifyASN1WithSM2(k.pub.(*ecdsa.PublicKey), sm2UID, message, sig)
	default:
		d, err := digestNamed(s.hash)
		if err != nil {
			return err
		}
		if sum == nil {
			h := d.open()
			h.Write(message)
			sum = h.Sum(nil)
		}
		if len(sum) != d.size {
			return fmt.Errorf("%w: digest of %d bytes", ErrSignature, len(sum))
		}
		switch s.alg {
		case ECDSA:
			switch pub := k.pub.(type) {
			case *ecdsa.PublicKey:
				ok = ecdsa.VerifyASN1(pub, sum, sig)
			case *weierstrassKey:
				ok = pub.verify(sum, sig)
			}
		case RSA:
			if d.std == 0 {
				return fmt.Errorf("%w: RSA with %s", ErrUnsupported, d.name)
			}
			ok = rsa.VerifyPKCS1v15(k.pub.(*rsa.PublicKey), d.std, sum, sig) == nil
		case RSAPSS:
			if d.std == 0 {
				return fmt.Errorf("%w: RSA with %s", ErrUnsupported, d.name)
			}
			o := &rsa.PSSOptions{SaltLength: s.salt, Hash: d.std}
			if s.salt == 0 {
				// rsa takes 0 for "any salt".
				return fmt.Errorf("%w: PSS without salt", ErrUnsupported)
			}
			ok = rsa.VerifyPSS(k.pub.(*rsa.PublicKey), d.std, sum, sig, o) == nil
		}
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// signerOpts is what a crypto.Signer gets with the bytes to sign.
func (s scheme) signerOpts() crypto.SignerOpts {
	d, err := digestNamed(s.hash)
	switch {
	case s.alg == Ed25519 || s.alg == SM2 || err != nil:
		return crypto.Hash(0)
	case s.alg == RSAPSS:
		return &rsa.PSSOptions{SaltLength: s.salt, Hash: d.std}
	}
	return d.std
}
