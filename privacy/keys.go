package privacy

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// A KeyWrapper is the root of the key hierarchy: usually a key management
// service of the host, which never lets the root key out. Most programs use
// one that the host's platform offers; [OpenFileKey] and [InsecureMemoryKey]
// serve development.
//
// Wrap encrypts and authenticates a 32-byte key together with aad, which is
// not part of the result; Unwrap returns the key only for the same aad, and an
// error that wraps [ErrKey] for anything else. Both must be safe for concurrent
// use and must not keep or change their arguments. KeyID names the root key in
// stored records, at most 64 bytes; it changes when the root key does.
type KeyWrapper interface {
	KeyID() string
	Wrap(ctx context.Context, key, aad []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
}

type localKey struct {
	id  string
	key []byte
}

var _ KeyWrapper = (*localKey)(nil)

func (k *localKey) KeyID() string { return k.id }

func (k *localKey) Wrap(_ context.Context, key, aad []byte) ([]byte, error) {
	return aesGCM.seal(k.key, "root", key, aad)
}

func (k *localKey) Unwrap(_ context.Context, wrapped, aad []byte) ([]byte, error) {
	return aesGCM.open(k.key, "root", wrapped, aad)
}

// Format hides the key from every verb.
func (k *localKey) Format(s fmt.State, _ rune) {
	_, _ = s.Write([]byte("privacy.KeyWrapper(" + k.id + ")"))
}

// InsecureMemoryKey is a root key that lives and dies with the process: what
// was sealed under it cannot be read after a restart. For tests only.
func InsecureMemoryKey() KeyWrapper {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return &localKey{id: "memory:" + fingerprint(key), key: key}
}

// OpenFileKey reads a root key of 32 bytes in hexadecimal from a file, which
// nobody but its owner may access, and creates the file if there is none. It
// suits development and single machines; whoever reads the file reads
// everything. It fails with [ErrKey] for a file that others may read, or that holds
// no such key, and with the error of the file.
func OpenFileKey(path string) (KeyWrapper, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key := make([]byte, 32)
		_, _ = rand.Read(key)
		if err := createKeyFile(path, key); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("privacy: root key file: %w", err)
		}
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("privacy: root key file: %w", err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm()&0o077 != 0 && !worldless {
		return nil, fmt.Errorf("privacy: root key file: others may read it: %w", ErrKey)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("privacy: root key file: not 64 hexadecimal digits: %w", ErrKey)
	}
	return &localKey{id: "file:" + fingerprint(key), key: key}, nil
}

func createKeyFile(path string, key []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	if serr := f.Sync(); err == nil {
		err = serr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func fingerprint(key []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("countersign/keyid/v1"))
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// A Suite is an authenticated cipher with its name in sealed values. The zero
// Suite is AES-256-GCM; SM4-GCM plugs in here.
type Suite struct {
	ID      string                                // at most 32 bytes
	KeySize int                                   // bytes used of a 32-byte key; 0 is 32
	New     func(key []byte) (cipher.AEAD, error) // 12-byte nonce or longer; safe for concurrent use
}

var aesGCM = Suite{ID: "aes256gcm", New: func(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}}

// A sealed value is 1, lp8(suite id), lp8(key id), nonce, ciphertext and tag.
const sealedFormat = 1

func (s Suite) aead(key []byte) (cipher.AEAD, error) {
	if s.KeySize > 0 && s.KeySize < len(key) {
		key = key[:s.KeySize]
	}
	return s.New(key)
}

func (s Suite) seal(key []byte, keyID string, plain, aad []byte) ([]byte, error) {
	a, err := s.aead(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, a.NonceSize())
	_, _ = rand.Read(nonce)
	return s.sealWith(make([]byte, 0, 3+len(s.ID)+len(keyID)+len(nonce)+len(plain)+a.Overhead()), a, keyID, nonce, plain, aad), nil
}

// sealWith appends a sealed value; the nonce must be fresh.
func (s Suite) sealWith(dst []byte, a cipher.AEAD, keyID string, nonce, plain, aad []byte) []byte {
	dst = append(append(dst, sealedFormat, byte(len(s.ID))), s.ID...)
	dst = append(append(dst, byte(len(keyID))), keyID...)
	return a.Seal(append(dst, nonce...), nonce, plain, aad)
}

func (s Suite) open(key []byte, keyID string, sealed, aad []byte) ([]byte, error) {
	suite, id, rest, ok := splitSealed(sealed)
	if !ok || id != keyID {
		return nil, ErrKey
	}
	switch suite {
	case s.ID:
	case aesGCM.ID:
		s = aesGCM // readable whatever the suite in use
	default:
		return nil, ErrKey
	}
	a, err := s.aead(key)
	if err != nil {
		return nil, ErrKey
	}
	if len(rest) < a.NonceSize() {
		return nil, ErrKey
	}
	plain, err := a.Open(nil, rest[:a.NonceSize()], rest[a.NonceSize():], aad)
	if err != nil {
		return nil, ErrKey
	}
	return plain, nil
}

func splitSealed(b []byte) (suite, id string, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != sealedFormat {
		return "", "", nil, false
	}
	b = b[1:]
	if len(b) < 1+int(b[0]) {
		return "", "", nil, false
	}
	suite, b = string(b[1:1+int(b[0])]), b[1+int(b[0]):]
	if len(b) < 1 || len(b) < 1+int(b[0]) {
		return "", "", nil, false
	}
	return suite, string(b[1 : 1+int(b[0])]), b[1+int(b[0]):], true
}

// lp appends x with its length in front, so that different lists of parts
// never give the same bytes.
func lp(dst []byte, x string) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(x))), x...)
}

func lps(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = lp(out, p)
	}
	return out
}

func derive(key []byte, info string) []byte {
	// hkdf.Key fails only for more output than 255 hashes.
	out, err := hkdf.Key(sha256.New, key, nil, info, 32)
	if err != nil {
		panic("privacy: hkdf: " + err.Error())
	}
	return out
}

func mac(key []byte, parts ...string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(lps(parts...))
	return m.Sum(nil)
}
