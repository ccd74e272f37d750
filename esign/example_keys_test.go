package esign_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"time"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
)

// authority issues a certificate for each signature, under the signer's name.
type authority struct {
	vault *privacy.Vault // of the service
	key   *ecdsa.PrivateKey
	root  *x509.Certificate
}

func (a *authority) Key(ctx context.Context, r esign.KeyRequest) (crypto.Signer, []*x509.Certificate, error) {
	ctx = a.vault.As(ctx, privacy.Accessor{Tenant: r.Tenant, Account: "authority"})
	sealed, err := a.vault.Reveal(ctx, r.Name, privacy.PurposeSigning)
	if err != nil {
		return nil, nil, err
	}
	name, err := sealed.Reveal(ctx, privacy.PurposeSigning)
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // a key per signature: nothing to keep
	if err != nil {
		return nil, nil, err
	}
	leaf, err := issue(pkix.Name{CommonName: name, SerialNumber: r.Subject.ID}, key.Public(), a.root, a.key)
	return key, []*x509.Certificate{leaf, a.root}, err
}

// issue makes a certificate; without an issuer it is a root.
func issue(name pkix.Name, key crypto.PublicKey, by *x509.Certificate, with crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: serial, Subject: name, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment}
	if by == nil {
		c.KeyUsage, c.IsCA, c.BasicConstraintsValid, by = x509.KeyUsageCertSign, true, true, c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, key, with)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// A certificate authority of the host's own: what it issues stands in the
// signature, and who trusts its root finds the signer's name there.
func ExampleKeySource() {
	ctx := context.Background()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	root, err := issue(pkix.Name{CommonName: "Example Root"}, key.Public(), nil, key)
	if err != nil {
		log.Fatal(err)
	}
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	ca, texts := &authority{key: key, root: root}, new(smstest.Gateway)
	svc, err := esign.New(esign.Config{Store: new(storage.Mem), Blobs: new(storage.MemBlobs), Keys: ca,
		SMS: smstest.InsecureConfig(nil, nil, texts), Privacy: privacy.Config{Root: privacy.InsecureMemoryKey()},
		Evidence: evidence.Config{LogSigner: logKey, Origin: "example.test/log"}})
	if err != nil {
		log.Fatal(err)
	}
	ca.vault = svc.Privacy()
	var signed bytes.Buffer
	if err := signOne(ctx, svc, texts, &signed); err != nil {
		log.Fatal(err)
	}
	report, err := pades.Verify(ctx, bytes.NewReader(signed.Bytes()), int64(signed.Len()), &pades.VerifyOptions{Roots: []*x509.Certificate{root}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Verdict, report.Signatures[0].Signer)
	// Output: PASSED SERIALNUMBER=li,CN=李小禾
}

// signOne has one contract signed by one person, and writes it to w.
func signOne(ctx context.Context, svc *esign.Service, texts *smstest.Gateway, w io.Writer) error {
	hr, li := esign.Actor{Tenant: "acme", Account: "hr"}, esign.Actor{Tenant: "acme", Account: "li", Proof: esign.Proof{Session: "s-1"}}
	docs, err := svc.Upload(ctx, hr, esign.Upload{Files: []esign.File{{ID: "nda", Body: bytes.NewReader(contract())}}})
	if err != nil {
		return err
	}
	who, err := exampleContact()
	if err != nil {
		return err
	}
	if _, err := svc.Create(ctx, hr, esign.Draft{ID: "nda-19", Documents: docs, Recipients: []esign.Invitee{{ID: "li",
		Party: esign.Party{Account: "li"}, Contact: who, Channel: esign.ChannelSMS, Consent: esign.ConsentStaff}}}); err != nil {
		return err
	}
	if _, err := svc.Send(ctx, hr, esign.Send{ID: "send-19", Envelope: "nda-19"}); err != nil {
		return err
	}
	if _, err := svc.Deliver(ctx); err != nil { // the invitation
		return err
	}
	if _, err := svc.Open(ctx, li, esign.View{ID: "open-19", Envelope: "nda-19"}); err != nil {
		return err
	}
	ask, err := svc.Challenge(ctx, li, esign.Challenge{ID: "ask-19", Envelopes: []string{"nda-19"}})
	if err != nil {
		return err
	}
	if _, err := svc.Deliver(ctx); err != nil { // the code
		return err
	}
	text, _ := texts.Last("13800138002")
	proof, err := svc.CheckCode(ctx, li, esign.Code{Challenge: ask.ID, Code: string(text.Code())})
	if err != nil {
		return err
	}
	if _, err := svc.Sign(ctx, li, esign.Sign{ID: "sign-19", Envelope: "nda-19", Intent: proof}); err != nil {
		return err
	}
	return svc.Export(ctx, hr, esign.Export{Envelope: "nda-19", Document: "nda"}, w)
}

// exampleContact is an invented person's.
func exampleContact() (esign.Contact, error) {
	name, err := privacy.NewName("李小禾")
	if err != nil {
		return esign.Contact{}, err
	}
	phone, err := privacy.NewPhone("13800138002")
	return esign.Contact{Name: name, Phone: phone}, err
}
