package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"

	"github.com/emmansun/gmsm/pkcs8"
	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/countersign/countersign/internal/cms/der"
)

// publicKey is a SubjectPublicKeyInfo as this package reads it.
type publicKey struct {
	alg   Algorithm // RSA for both uses, RSAPSS if the key is bound to PSS
	pub   crypto.PublicKey
	bits  []byte         // the BIT STRING's octets
	pss   *scheme        // parameters a PSS key is bound to
	curve elliptic.Curve // of a key on a NIST curve
}

// maxRSA bounds the work a foreign certificate can ask for, in bits.
const maxRSA = 16384

// readKey reads a SubjectPublicKeyInfo. Keys of no use here are
// [ErrUnsupported], broken ones [ErrMalformed].
func readKey(spki []byte) (*publicKey, error) {
	k, err := readKeyInfo(spki)
	if err == nil {
		err = k.readPoint()
	}
	return &k, err
}

// readKeyInfo is readKey without the point of a NIST curve: it tells what to
// sign with, and not whether the key is sound.
func readKeyInfo(spki []byte) (k publicKey, err error) {
	v, err := der.Parse(spki)
	if err != nil {
		return k, fmt.Errorf("%w: public key: %w", ErrMalformed, err)
	}
	c := v.Enter()
	a := readAlgorithm(c)
	bits, berr := c.Want(der.BitString).Bits()
	c.Check(berr)
	if err := c.Done(); err != nil {
		return k, fmt.Errorf("%w: public key: %w", ErrMalformed, err)
	}
	k.bits = bits
	switch a.oid {
	case oidRSA, oidPSS:
		k.alg = RSA
		if a.oid == oidPSS {
			k.alg = RSAPSS
			if a.params.Present() && !a.params.Is(der.Null) {
				s, err := pssScheme(a.params)
				if err != nil {
					return k, err
				}
				k.pss = &s
			}
		}
		if k.pub, err = readRSA(bits); err != nil {
			return k, err
		}
	case oidEC, oidSM2:
		err = k.readCurve(a)
	case oidEd25519:
		if len(bits) != ed25519.PublicKeySize {
			return k, fmt.Errorf("%w: Ed25519 key", ErrMalformed)
		}
		k.alg, k.pub = Ed25519, ed25519.PublicKey(bits)
	case oidEd448:
		pub, err := readEd448(bits)
		if err != nil {
			return k, err
		}
		k.alg, k.pub = Ed448, pub
	default:
		err = fmt.Errorf("%w: public key %s", ErrUnsupported, a.oid)
	}
	return k, err
}

// readRSA reads RSAPublicKey (RFC 8017 A.1.1). Both numbers are positive: where
// the zero octet that says so is missing, as in many certificates of national
// identity cards, they are read as others read them.
func readRSA(b []byte) (*rsa.PublicKey, error) {
	v, err := der.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: RSA key: %w", ErrMalformed, err)
	}
	c := v.Enter()
	n := new(big.Int).SetBytes(c.Want(der.Integer).Body)
	e := new(big.Int).SetBytes(c.Want(der.Integer).Body)
	if err := c.Done(); err != nil {
		return nil, fmt.Errorf("%w: RSA key: %w", ErrMalformed, err)
	}
	switch {
	case n.Sign() == 0, e.Sign() == 0:
		return nil, fmt.Errorf("%w: RSA key", ErrMalformed)
	case n.BitLen() > maxRSA, e.BitLen() > 31:
		return nil, fmt.Errorf("%w: RSA key of %d bits, exponent of %d", ErrUnsupported, n.BitLen(), e.BitLen())
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func (k *publicKey) readCurve(a algorithmID) error {
	curve := oidSM2
	if a.oid == oidEC {
		var err error
		if curve, err = a.params.OID(); err != nil {
			return fmt.Errorf("%w: curve not named", ErrUnsupported)
		}
	}
	k.alg = ECDSA
	switch curve {
	case oidP256:
		k.curve = elliptic.P256()
	case oidP384:
		k.curve = elliptic.P384()
	case oidP521:
		k.curve = elliptic.P521()
	case oidSM2:
		pub, err := sm2.NewPublicKey(k.bits)
		if err != nil {
			return fmt.Errorf("%w: SM2 key: %w", ErrMalformed, err)
		}
		k.alg, k.pub = SM2, pub
		return nil
	default:
		named, ok := brainpool[curve]
		if !ok {
			return fmt.Errorf("%w: curve %s", ErrUnsupported, curve)
		}
		pub, err := named.readKey(k.bits)
		if err != nil {
			return err
		}
		k.pub = pub
	}
	return nil
}

// readPoint reads the point of a key on a NIST curve.
func (k *publicKey) readPoint() error {
	if k.curve == nil {
		return nil
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(k.curve, k.bits)
	if err != nil {
		return fmt.Errorf("%w: ECDSA key: %w", ErrMalformed, err)
	}
	k.pub = pub
	return nil
}

// scheme returns how the key signs, by want or, if that is empty, by the key's
// own kind (pades.md C2, C3).
func (k *publicKey) scheme(want Algorithm) (scheme, error) {
	if want == "" {
		want = k.alg
	}
	if want != k.alg && !(want == RSAPSS && k.alg == RSA) {
		return scheme{}, fmt.Errorf("%w: %q with a key of kind %s", ErrUnsupported, want, k.alg)
	}
	switch want {
	case RSA, RSAPSS:
		if n := k.pub.(*rsa.PublicKey).N.BitLen(); n < 2048 {
			return scheme{}, fmt.Errorf("%w: RSA key of %d bits", ErrUnsupported, n)
		}
		if k.pss != nil && (k.pss.hash != "SHA-256" || k.pss.salt > 32) {
			return scheme{}, fmt.Errorf("%w: PSS key bound to %s", ErrUnsupported, k.pss.hash)
		}
		return scheme{alg: want, hash: "SHA-256", salt: 32}, nil
	case ECDSA:
		switch k.curve {
		case elliptic.P256():
			return scheme{alg: ECDSA, hash: "SHA-256"}, nil
		case elliptic.P384():
			return scheme{alg: ECDSA, hash: "SHA-384"}, nil
		case elliptic.P521():
			return scheme{alg: ECDSA, hash: "SHA-512"}, nil
		}
		return scheme{}, fmt.Errorf("%w: curve", ErrUnsupported)
	case SM2:
		return scheme{alg: SM2, hash: "SM3"}, nil
	case Ed25519:
		return scheme{alg: Ed25519}, nil
	}
	return scheme{}, fmt.Errorf("%w: %q", ErrUnsupported, want)
}

// maxSignature is the longest signature value of a key that has a scheme, in
// bytes.
func (k *publicKey) maxSignature() int {
	bits := 256 // SM2
	switch k.alg {
	case RSA, RSAPSS:
		return k.pub.(*rsa.PublicKey).Size()
	case Ed25519:
		return ed25519.SignatureSize
	case ECDSA:
		bits = k.curve.Params().BitSize
	}
	ints := 2 * ((bits+7)/8 + 3) // tag, length, a zero before a high bit
	if bits%8 != 0 {
		ints -= 2 // the top octet is never above 0x7f
	}
	if ints >= 0x80 {
		return ints + 3
	}
	return ints + 2
}

// KeyAlgorithm returns the algorithm a certificate's key signs with unless
// told otherwise. Keys without one are [ErrUnsupported].
func KeyAlgorithm(cert *x509.Certificate) (Algorithm, error) {
	k, err := readKey(cert.RawSubjectPublicKeyInfo)
	if err != nil {
		return "", err
	}
	return k.alg, nil
}

// CheckKey reports [ErrKeyMismatch] unless key signs for the leaf. Any
// crypto.Signer whose Public is a type of the standard library (SM2: an
// *ecdsa.PublicKey on the SM2 curve) will do.
func CheckKey(key crypto.Signer, leaf *x509.Certificate) error {
	if key == nil {
		return fmt.Errorf("%w: no key", ErrKeyMismatch)
	}
	want, err := readKey(leaf.RawSubjectPublicKeyInfo)
	if err != nil {
		return err
	}
	spki, err := smx509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("%w: public key %T", ErrUnsupported, key.Public())
	}
	have, err := readKey(spki)
	if err != nil {
		return err
	}
	sameKind := have.alg == want.alg || have.alg == RSA && want.alg == RSAPSS
	if !sameKind || !bytes.Equal(have.bits, want.bits) {
		return ErrKeyMismatch
	}
	if e, ok := want.pub.(interface{ Equal(crypto.PublicKey) bool }); !ok || !e.Equal(have.pub) {
		return ErrKeyMismatch // same octets on another curve
	}
	return nil
}

// GenerateKey makes a new key: "rsa" and "rsapss" of 2048 bits, "ecdsa" on
// P-256, "ed25519", "sm2".
func GenerateKey(a Algorithm) (crypto.Signer, error) {
	switch a {
	case RSA, RSAPSS:
		return rsa.GenerateKey(rand.Reader, 2048)
	case ECDSA:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case SM2:
		return sm2.GenerateKey(rand.Reader)
	}
	return nil, fmt.Errorf("%w: %q", ErrUnsupported, a)
}

// MarshalKey returns a private key as PKCS #8 DER, SM2 keys too.
func MarshalKey(key crypto.Signer) ([]byte, error) {
	b, err := smx509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: private key %T", ErrUnsupported, key)
	}
	return b, nil
}

// ParseKey reads one private key, PEM (the first block that holds a key) or
// DER: PKCS #8, encrypted with password too (PBES2), PKCS #1, SEC 1, SM2. A
// wrong or missing password is [ErrPassword].
func ParseKey(b, password []byte) (crypto.Signer, error) {
	if len(b) > der.MaxSize {
		return nil, fmt.Errorf("%w: key of %d bytes: %w", ErrMalformed, len(b), der.ErrLimit)
	}
	if !bytes.Contains(b, []byte("-----BEGIN")) {
		return parseKeyDER(b, password)
	}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return nil, fmt.Errorf("%w: no private key", ErrMalformed)
		}
		switch block.Type {
		case "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "SM2 PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, fmt.Errorf("%w: legacy PEM encryption; convert to PKCS #8", ErrUnsupported)
			}
			return parseKeyDER(block.Bytes, password)
		}
	}
}

func parseKeyDER(b, password []byte) (crypto.Signer, error) {
	v, err := der.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: private key: %w", ErrMalformed, err)
	}
	var key any
	switch first := v.Enter().Next(); {
	case first.Is(der.Sequence): // EncryptedPrivateKeyInfo
		if len(password) == 0 {
			return nil, ErrPassword
		}
		if key, err = pkcs8.ParsePKCS8PrivateKey(b, password); err != nil {
			return nil, fmt.Errorf("%w: encrypted key: %w", ErrPassword, err)
		}
	default:
		if key, err = smx509.ParsePKCS8PrivateKey(b); err == nil {
			break
		}
		if k, err1 := x509.ParsePKCS1PrivateKey(b); err1 == nil {
			key = k
		} else if k, err1 := smx509.ParseTypedECPrivateKey(b); err1 == nil {
			key = k
		} else {
			return nil, fmt.Errorf("%w: private key: %w", ErrMalformed, err)
		}
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: private key %T", ErrUnsupported, key)
	}
	return s, nil
}

// MarshalPublicKey returns the SubjectPublicKeyInfo of a public key, SM2 keys
// (*ecdsa.PublicKey on the SM2 curve) included.
func MarshalPublicKey(pub crypto.PublicKey) ([]byte, error) {
	b, err := smx509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: public key %T", ErrUnsupported, pub)
	}
	return b, nil
}
