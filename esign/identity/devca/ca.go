package devca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/tsp"
)

// Errors of this package.
var (
	// ErrOptions reports an option or request that cannot be.
	ErrOptions = errors.New("devca: invalid request")
	// ErrState reports bytes that are no authority from [CA.MarshalPEM].
	ErrState = errors.New("devca: malformed state")
	// ErrUnknown reports a certificate this authority did not issue.
	ErrUnknown = errors.New("devca: unknown certificate")
)

// mark ends every common name.
const mark = " TEST ONLY"

// Options of [NewInsecure] and [RestoreInsecure]; nil and the zero value will do.
type Options struct {
	// Algorithm of every key: "ecdsa" (P-256, the default), "rsa" or "sm2".
	Algorithm string
	// URL is where the handler is served, such as "http://127.0.0.1:8080";
	// empty leaves addresses out of certificates, which then need no
	// revocation data.
	URL string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A CA is a development certificate authority. Use [NewInsecure].
type CA struct {
	opts                       Options
	root, issuing, stamp, ocsp authority
	tsa                        tsp.Responder

	mu     sync.Mutex
	leaves []*leaf
}

// authority is a certificate with its key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

type leaf struct {
	cert      *x509.Certificate
	revokedAt time.Time // zero: good
	reason    int
	request   string // digest of the request's id, empty if it had none
}

// NewInsecure makes an authority with fresh keys. It is insecure by purpose:
// see the package comment.
func NewInsecure(o *Options) (*CA, error) {
	c, err := newCA(o)
	if err != nil {
		return nil, err
	}
	// Long lives on both sides: a restored authority meets other clocks.
	from, to := c.now().AddDate(-10, 0, 0), c.now().AddDate(30, 0, 0)
	for _, a := range []struct {
		to       *authority
		by       *authority
		template *x509.Certificate
	}{
		{&c.root, &c.root, &x509.Certificate{
			Subject: subject("countersign development root"), IsCA: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}},
		{&c.issuing, &c.root, &x509.Certificate{
			Subject: subject("countersign development issuing"), IsCA: true, MaxPathLenZero: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}},
		{&c.stamp, &c.issuing, &x509.Certificate{
			Subject: subject("countersign development timestamps"), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtraExtensions: []pkix.Extension{timeStampingOnly},
		}},
		{&c.ocsp, &c.issuing, &x509.Certificate{
			Subject: subject("countersign development OCSP"), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, ExtraExtensions: []pkix.Extension{noCheck},
		}},
	} {
		if a.to.key, err = cms.GenerateKey(cms.Algorithm(c.opts.Algorithm)); err != nil {
			return nil, fmt.Errorf("devca: key: %w", err)
		}
		a.template.NotBefore, a.template.NotAfter = from, to
		if a.to.cert, err = c.certify(a.template, a.by, a.to.key.Public()); err != nil {
			return nil, err
		}
	}
	c.start()
	return c, nil
}

func newCA(o *Options) (*CA, error) {
	c := new(CA)
	if o != nil {
		c.opts = *o
	}
	switch c.opts.Algorithm {
	case "":
		c.opts.Algorithm = string(cms.ECDSA)
	case string(cms.ECDSA), string(cms.RSA), string(cms.SM2):
	default:
		return nil, fmt.Errorf("%w: algorithm %q", ErrOptions, c.opts.Algorithm)
	}
	if c.opts.Now == nil {
		c.opts.Now = time.Now
	}
	c.opts.URL = strings.TrimSuffix(c.opts.URL, "/")
	return c, nil
}

// start fills what follows from keys and certificates.
func (c *CA) start() {
	c.tsa = tsp.Responder{
		Key: c.stamp.key, Chain: []*x509.Certificate{c.stamp.cert, c.issuing.cert},
		Accuracy: time.Second, Now: c.opts.Now,
	}
}

// now is the clock to the second, as certificates have it.
func (c *CA) now() time.Time { return c.opts.Now().UTC().Truncate(time.Second) }

var (
	// timeStampingOnly is critical and alone, as RFC 3161 §2.3 asks.
	timeStampingOnly = pkix.Extension{
		Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true,
		Value: []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08},
	}
	noCheck = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}
)

func subject(name string) pkix.Name {
	return pkix.Name{CommonName: name + mark, Organization: []string{"countersign" + mark}}
}

// certify completes a template and signs it by a certificate of ours; by is
// the root itself while its certificate is being made.
func (c *CA) certify(t *x509.Certificate, by *authority, pub crypto.PublicKey) (*x509.Certificate, error) {
	t.SerialNumber = cms.NewSerial()
	t.BasicConstraintsValid = true
	id, err := keyID(pub)
	if err != nil {
		return nil, err
	}
	t.SubjectKeyId = id
	if c.opts.URL != "" && by.cert != nil {
		file := "issuing"
		if by == &c.root {
			file = "root"
		}
		t.CRLDistributionPoints = []string{c.opts.URL + "/" + file + ".crl"}
		t.OCSPServer = []string{c.opts.URL + "/ocsp"}
		t.IssuingCertificateURL = []string{c.opts.URL + "/" + file + ".crt"}
	}
	cert, err := cms.CreateCertificate(t, by.cert, pub, by.key)
	if err != nil {
		return nil, fmt.Errorf("devca: certificate: %w", err)
	}
	return cert, nil
}

// keyID is method 1 of RFC 5280 §4.2.1.2 but over the whole
// SubjectPublicKeyInfo, which every key kind has.
func keyID(pub crypto.PublicKey) ([]byte, error) {
	spki, err := cms.MarshalPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	sum := sha1.Sum(spki)
	return sum[:], nil
}

// Roots returns the root, the one certificate verifiers must trust.
func (c *CA) Roots() []*x509.Certificate { return []*x509.Certificate{c.root.cert} }

// RootsPEM returns the root as a PEM file.
func (c *CA) RootsPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.root.cert.Raw})
}

// Chain returns the issuing and the root certificate.
func (c *CA) Chain() []*x509.Certificate {
	return []*x509.Certificate{c.issuing.cert, c.root.cert}
}

// A LeafRequest asks for a signer's certificate.
type LeafRequest struct {
	// Name becomes the common name, with the mark appended. Required, at most
	// 54 characters.
	Name string
	// Organization is optional.
	Organization string
	// Key is the public key, an SM2 key as *ecdsa.PublicKey. One of Key and
	// CSR is required.
	Key crypto.PublicKey
	// CSR is a PKCS #10 request, PEM or DER. Its signature is checked and its
	// key used; its subject is not.
	CSR []byte
	// Life counts from now; zero is two years.
	Life time.Duration
}

// Leaf certifies a key and returns its chain: leaf, issuing, root. The same
// name, organization and key give the same certificate while it is valid and
// not revoked. A request that cannot be is [ErrOptions].
func (c *CA) Leaf(_ context.Context, r LeafRequest) ([]*x509.Certificate, error) {
	return c.leaf(r, "")
}

// leaf issues; request, if not empty, decides what is a repetition.
func (c *CA) leaf(r LeafRequest, request string) ([]*x509.Certificate, error) {
	if n := utf8.RuneCountInString(r.Name); n == 0 || n > 54 || !utf8.ValidString(r.Name) {
		return nil, fmt.Errorf("%w: name of %d characters", ErrOptions, n)
	}
	if (r.Key == nil) == (r.CSR == nil) {
		return nil, fmt.Errorf("%w: one of key and request", ErrOptions)
	}
	pub := r.Key
	if r.CSR != nil {
		csr, err := cms.ParseRequest(r.CSR)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOptions, err)
		}
		pub = csr.PublicKey
	}
	if r.Life == 0 {
		r.Life = 2 * 365 * 24 * time.Hour
	}
	t := &x509.Certificate{
		Subject: subject(r.Name), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
		NotBefore: c.now().Add(-time.Hour), NotAfter: c.now().Add(r.Life),
	}
	t.Subject.Organization = nil
	if r.Organization != "" {
		t.Subject.Organization = []string{r.Organization + mark}
	}
	spki, err := cms.MarshalPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	have, err := c.find(t.Subject, spki, request)
	if err != nil {
		return nil, err
	}
	if have != nil {
		return append([]*x509.Certificate{have}, c.Chain()...), nil
	}
	cert, err := c.certify(t, &c.issuing, pub)
	if err != nil {
		return nil, err
	}
	c.leaves = append(c.leaves, &leaf{cert: cert, request: request})
	return append([]*x509.Certificate{cert}, c.Chain()...), nil
}

// find returns a leaf that answers a repeated request. The caller holds mu.
func (c *CA) find(name pkix.Name, spki []byte, request string) (*x509.Certificate, error) {
	now := c.now()
	for _, l := range c.leaves {
		same := bytes.Equal(l.cert.RawSubjectPublicKeyInfo, spki) && l.cert.Subject.String() == name.String()
		switch {
		case l.request != request:
		case request != "":
			if !same {
				return nil, fmt.Errorf("%w: another request under the same id", ErrOptions)
			}
			return l.cert, nil
		case same && l.revokedAt.IsZero() && !now.After(l.cert.NotAfter) && !now.Before(l.cert.NotBefore):
			return l.cert, nil
		}
	}
	return nil, nil
}

// NewSigner makes a key of the authority's algorithm and certifies it for
// name.
func (c *CA) NewSigner(ctx context.Context, name string) (crypto.Signer, []*x509.Certificate, error) {
	key, err := cms.GenerateKey(cms.Algorithm(c.opts.Algorithm))
	if err != nil {
		return nil, nil, fmt.Errorf("devca: key: %w", err)
	}
	chain, err := c.Leaf(ctx, LeafRequest{Name: name, Key: key.Public()})
	if err != nil {
		return nil, nil, err
	}
	return key, chain, nil
}

// RevokeLeaf revokes a leaf as of now, for a reason of RFC 5280 §5.3.1 (0 is
// unspecified, 1 key compromise, 3 affiliation changed). Once revoked, time
// and reason stay. A certificate issued elsewhere is [ErrUnknown].
func (c *CA) RevokeLeaf(cert *x509.Certificate, reason int) error {
	if reason < 0 || reason > 10 || reason == 7 || reason == 8 {
		return fmt.Errorf("%w: reason %d", ErrOptions, reason)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.bySerial(cert.SerialNumber)
	if l == nil || !bytes.Equal(l.cert.Raw, cert.Raw) {
		return ErrUnknown
	}
	if l.revokedAt.IsZero() {
		l.revokedAt, l.reason = c.now(), reason
	}
	return nil
}

// bySerial returns a leaf. The caller holds mu.
func (c *CA) bySerial(n *big.Int) *leaf {
	for _, l := range c.leaves {
		if l.cert.SerialNumber.Cmp(n) == 0 {
			return l
		}
	}
	return nil
}

// Timestamp returns an RFC 3161 token over sum by the hash called digest
// ("SHA-256", "SM3"), with the authority's certificates in it. It satisfies
// pades.Timestamper.
func (c *CA) Timestamp(ctx context.Context, digest string, sum []byte) ([]byte, error) {
	token, err := c.tsa.Timestamp(ctx, digest, sum)
	if err != nil {
		return nil, fmt.Errorf("devca: timestamp: %w", err)
	}
	return token, nil
}
