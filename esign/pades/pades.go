package pades

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdf/pagetext"
)

// FindText finds text on the pages of a document, in reading order. Spaces and
// line ends on the page do not separate what belongs together. An empty text
// is refused with [ErrUsage].
func FindText(ctx context.Context, r io.ReaderAt, size int64, text string, o *OpenOptions) ([]Match, error) {
	const op = "find text"
	d, err := open(ctx, op, r, size, o)
	if err != nil {
		return nil, err
	}
	found, err := pagetext.NewReader(d).Find(ctx, text)
	if errors.Is(err, pagetext.ErrEmpty) {
		return nil, refuse(ErrUsage, op, err)
	}
	if err != nil {
		return nil, wrap(op, err)
	}
	list := make([]Match, 0, len(found))
	for _, m := range found {
		list = append(list, Match{Page: m.Page + 1, Rects: m.Rects})
	}
	return list, nil
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
