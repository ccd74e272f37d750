package pades

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io"

	"github.com/countersign/countersign/internal/cms"
)

var errNotBuilt = errors.New("not available in this version")

// FindText finds text on the pages of a document, in reading order.
func FindText(ctx context.Context, r io.ReaderAt, size int64, text string, o *OpenOptions) ([]Match, error) {
	return nil, refuse(ErrNotSupported, "find text", errNotBuilt)
}

// ParseCertificates reads certificates as PEM or DER, SM2 ones too, in order.
// No certificate at all is an error.
func ParseCertificates(b []byte) ([]*x509.Certificate, error) {
	list, err := cms.ParseCertificates(b)
	return list, wrap("parse certificates", err)
}

// ParseKey reads a private key in PEM: PKCS#8 (encrypted too, with password),
// PKCS#1 or SEC 1; RSA, ECDSA, Ed25519 or SM2.
func ParseKey(pem, password []byte) (crypto.Signer, error) {
	key, err := cms.ParseKey(pem, password)
	return key, wrap("parse key", err)
}
