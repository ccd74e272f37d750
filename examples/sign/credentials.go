package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/countersign/countersign/esign/pades"
)

// credentials reads -key and -cert, or makes a throw-away key of -alg.
func credentials(o options) (crypto.Signer, []*x509.Certificate, error) {
	if o.key == "" {
		return throwaway(o.alg, o.name)
	}
	b, err := os.ReadFile(o.key)
	if err != nil {
		return nil, nil, err
	}
	key, err := pades.ParseKey(b, nil)
	if err != nil {
		return nil, nil, err
	}
	if b, err = os.ReadFile(o.cert); err != nil {
		return nil, nil, err
	}
	chain, err := pades.ParseCertificates(b)
	if err != nil {
		return nil, nil, err
	}
	if len(chain) == 0 {
		return nil, nil, usage(errors.New("-cert holds no certificate"))
	}
	return key, chain, nil
}

func throwaway(alg pades.Algorithm, name string) (crypto.Signer, []*x509.Certificate, error) {
	var key crypto.Signer
	var err error
	switch alg {
	case "", pades.ECDSA:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case pades.RSA, pades.RSAPSS:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case pades.Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case pades.SM2:
		key, err = sm2.GenerateKey(rand.Reader)
	}
	if err != nil {
		return nil, nil, err
	}
	if name == "" {
		name = "countersign throw-away key"
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
	}
	der, err := smx509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	chain, err := pades.ParseCertificates(der)
	return key, chain, err
}
