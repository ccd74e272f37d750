package tsp_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/tsp"
)

// A request, the authority's answer, and the strict check of its token.
func Example() {
	authority := exampleAuthority()
	sum, err := cms.Sum("SHA-256", []byte("the document"))
	if err != nil {
		panic(err)
	}
	q, err := tsp.NewRequest("SHA-256", sum)
	if err != nil {
		panic(err)
	}
	request, err := q.Marshal()
	if err != nil {
		panic(err)
	}
	token, err := tsp.ParseResponse(authority.Respond(request)) // over HTTP in life
	if err != nil {
		panic(err)
	}
	t, err := tsp.Verify(token, tsp.VerifyOptions{Digest: "SHA-256", Sum: sum, Nonce: q.Nonce, Roots: authority.Chain})
	if err != nil {
		panic(err)
	}
	fmt.Println(t.Time.Format(time.RFC3339), "±", t.Accuracy)
	// Output: 2026-03-01T12:00:00Z ± 1s
}

func exampleAuthority() *tsp.Responder {
	key, err := cms.GenerateKey(cms.ECDSA)
	if err != nil {
		panic(err)
	}
	c, err := cms.CreateCertificate(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "TSA TEST ONLY"},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		ExtraExtensions: []pkix.Extension{{
			Id: oidEKU, Critical: true, Value: []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08},
		}},
	}, nil, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tsp.Responder{
		Key: key, Chain: []*x509.Certificate{c}, Accuracy: time.Second,
		Now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) },
	}
}
