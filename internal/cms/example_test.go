package cms_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/countersign/countersign/internal/cms"
)

// A detached signature: digest, attributes, key, message; and back.
func Example() {
	key, err := cms.GenerateKey(cms.SM2)
	if err != nil {
		panic(err)
	}
	leaf, err := cms.CreateCertificate(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Zhang San TEST ONLY"},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	}, nil, key.Public(), key)
	if err != nil {
		panic(err)
	}

	t, err := cms.New([]*x509.Certificate{leaf}, nil)
	if err != nil {
		panic(err)
	}
	sum, err := cms.Sum(t.Digest(), []byte("the document"))
	if err != nil {
		panic(err)
	}
	attrs, err := t.Attributes(sum)
	if err != nil {
		panic(err)
	}
	tbs, err := t.ToSign(attrs)
	if err != nil {
		panic(err)
	}
	sig, err := t.Sign(key, tbs)
	if err != nil {
		panic(err)
	}
	message, err := t.Assemble(attrs, sig)
	if err != nil {
		panic(err)
	}

	sd, err := cms.Parse(message)
	if err != nil {
		panic(err)
	}
	v, err := sd.Verify(sd.Signers[0], cms.VerifyOptions{Digest: sum})
	if err != nil {
		panic(err)
	}
	fmt.Println(v.Certificate.Subject.CommonName, v.Algorithm, v.Digest, v.Binding)
	// Output: Zhang San TEST ONLY sm2 SM3 ess2
}
