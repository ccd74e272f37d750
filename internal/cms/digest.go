package cms

import (
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding"
	"fmt"
	"hash"

	"github.com/emmansun/gmsm/sm3"

	"github.com/countersign/countersign/internal/cms/der"
)

// digest is one row of the registry.
type digest struct {
	name string
	size int
	oid  der.OID
	std  crypto.Hash // 0 where package crypto has no number
	open func() hash.Hash
}

// digests is every digest readers know; what writers use is a property of the
// key (pades.md C2, C3).
var digests = []digest{
	{"SHA-256", 32, der.MustOID("2.16.840.1.101.3.4.2.1"), crypto.SHA256, sha256.New},
	{"SHA-384", 48, der.MustOID("2.16.840.1.101.3.4.2.2"), crypto.SHA384, sha512.New384},
	{"SHA-512", 64, der.MustOID("2.16.840.1.101.3.4.2.3"), crypto.SHA512, sha512.New},
	{"SM3", 32, der.MustOID("1.2.156.10197.1.401"), 0, sm3.New},
	{"SHA-1", 20, der.MustOID("1.3.14.3.2.26"), crypto.SHA1, sha1.New},
	{"SHA-224", 28, der.MustOID("2.16.840.1.101.3.4.2.4"), crypto.SHA224, sha256.New224},
	{"SHA3-224", 28, der.MustOID("2.16.840.1.101.3.4.2.7"), crypto.SHA3_224, func() hash.Hash { return sha3.New224() }},
	{"SHA3-256", 32, der.MustOID("2.16.840.1.101.3.4.2.8"), crypto.SHA3_256, func() hash.Hash { return sha3.New256() }},
	{"SHA3-384", 48, der.MustOID("2.16.840.1.101.3.4.2.9"), crypto.SHA3_384, func() hash.Hash { return sha3.New384() }},
	{"SHA3-512", 64, der.MustOID("2.16.840.1.101.3.4.2.10"), crypto.SHA3_512, func() hash.Hash { return sha3.New512() }},
	{"SHAKE256", 64, der.MustOID("2.16.840.1.101.3.4.2.12"), 0, newShake256},
}

// oidShake256Len is SHAKE256 with its length as parameter; 512 is assumed, as
// another length would fail as a digest of the wrong size.
var oidShake256Len = der.MustOID("2.16.840.1.101.3.4.2.18")

// oidSM3Keyless is SM3 without a key, as GM/T 0006 lists it apart; read only.
var oidSM3Keyless = der.MustOID("1.2.156.10197.1.401.1")

func digestNamed(name string) (*digest, error) {
	for i := range digests {
		if digests[i].name == name {
			return &digests[i], nil
		}
	}
	return nil, fmt.Errorf("%w: digest %q", ErrUnsupported, name)
}

// digestByOID also takes the identifier of a signature for that of its digest,
// as some writers do.
func digestByOID(o der.OID) (*digest, error) {
	if o == oidSM3Keyless {
		return digestNamed("SM3")
	}
	if o == oidShake256Len {
		return digestNamed("SHAKE256")
	}
	if s, ok := signatureOIDs[o]; ok && s.hash != "" {
		return digestNamed(s.hash)
	}
	for i := range digests {
		if digests[i].oid == o {
			return &digests[i], nil
		}
	}
	return nil, fmt.Errorf("%w: digest %s", ErrUnsupported, o)
}

// SM3 returns a new SM3 hash (GB/T 32905). Like every hash of [NewHash] it
// implements encoding.BinaryMarshaler and BinaryUnmarshaler.
func SM3() hash.Hash { return sm3.New() }

// NewHash returns a new hash by name: "SHA-256", "SHA-384", "SHA-512", "SM3",
// and for reading "SHA-1", "SHA-224", "SHA3-224", "SHA3-256", "SHA3-384",
// "SHA3-512" and "SHAKE256" (512 bits). Other names are [ErrUnsupported].
func NewHash(name string) (hash.Hash, error) {
	d, err := digestNamed(name)
	if err != nil {
		return nil, err
	}
	return d.open(), nil
}

// Sum returns the digest of b by the hash called name.
func Sum(name string, b []byte) ([]byte, error) {
	if name == "SHA-256" { // nearly always, and cheaper without a hash.Hash
		sum := sha256.Sum256(b)
		return sum[:], nil
	}
	h, err := NewHash(name)
	if err != nil {
		return nil, err
	}
	h.Write(b)
	return h.Sum(nil), nil
}

// SaveHash returns the state of a hash made by [NewHash]. The state holds up
// to one block of what was written to it.
func SaveHash(h hash.Hash) ([]byte, error) {
	m, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		return nil, fmt.Errorf("%w: hash without state", ErrUnsupported)
	}
	return m.MarshalBinary()
}

// RestoreHash returns the hash called name in a state from [SaveHash]; a
// state of another hash is [ErrMalformed].
func RestoreHash(name string, state []byte) (hash.Hash, error) {
	h, err := NewHash(name)
	if err != nil {
		return nil, err
	}
	m, ok := h.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, fmt.Errorf("%w: hash without state", ErrUnsupported)
	}
	if err := m.UnmarshalBinary(state); err != nil {
		return nil, fmt.Errorf("%w: hash state: %w", ErrMalformed, err)
	}
	return h, nil
}

// DigestOID returns the identifier of the digest called name.
func DigestOID(name string) (der.OID, error) {
	d, err := digestNamed(name)
	if err != nil {
		return "", err
	}
	return d.oid, nil
}

// DigestName returns the name of the digest with this identifier.
func DigestName(o der.OID) (string, error) {
	d, err := digestByOID(o)
	if err != nil {
		return "", err
	}
	return d.name, nil
}

// DigestSize returns the length in bytes of the digest called name.
func DigestSize(name string) (int, error) {
	d, err := digestNamed(name)
	if err != nil {
		return 0, err
	}
	return d.size, nil
}
