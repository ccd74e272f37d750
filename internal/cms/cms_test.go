package cms_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/cms"
)

// when is the fixed instant of all tests here.
var when = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// pki is a root, an issuing CA and a leaf of one key kind.
type pki struct {
	name  string
	alg   cms.Algorithm // as signed with
	key   crypto.Signer
	chain []*x509.Certificate // leaf, issuing, root
	cakey crypto.Signer       // of issuing
}

func (p *pki) root() *x509.Certificate { return p.chain[2] }

func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "rsa", "rsapss":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "p521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "p256":
		key, err = cms.GenerateKey(cms.ECDSA)
	default:
		key, err = cms.GenerateKey(cms.Algorithm(kind))
	}
	require.NoError(t, err)
	return key
}

var serials struct {
	sync.Mutex
	n int64
}

func serial() *big.Int {
	serials.Lock()
	defer serials.Unlock()
	serials.n++
	return big.NewInt(serials.n<<40 + 7)
}

func template(cn string, ca bool) *x509.Certificate {
	n := serial()
	c := &x509.Certificate{
		SerialNumber: n, SubjectKeyId: n.Bytes(),
		Subject:   pkix.Name{CommonName: cn, Organization: []string{"TEST ONLY"}},
		NotBefore: when.AddDate(-1, 0, 0), NotAfter: when.AddDate(1, 0, 0),
		BasicConstraintsValid: true, IsCA: ca,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if ca {
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	return c
}

func newPKI(t testing.TB, kind string) *pki {
	t.Helper()
	alg := cms.Algorithm(kind)
	if kind[0] == 'p' {
		alg = cms.ECDSA
	}
	p := &pki{name: kind, alg: alg, key: newKey(t, kind), cakey: newKey(t, kind)}
	rootKey := newKey(t, kind)
	root, err := cms.CreateCertificate(template("root "+kind, true), nil, rootKey.Public(), rootKey)
	require.NoError(t, err)
	issuing, err := cms.CreateCertificate(template("issuing "+kind, true), root, p.cakey.Public(), rootKey)
	require.NoError(t, err)
	leaf, err := cms.CreateCertificate(template("leaf "+kind, false), issuing, p.key.Public(), p.cakey)
	require.NoError(t, err)
	p.chain = []*x509.Certificate{leaf, issuing, root}
	return p
}

// kinds are the key kinds of pades.md C2 and C3.
var kinds = []string{"rsa", "rsapss", "p256", "p384", "p521", "ed25519", "sm2"}

var pkis struct {
	sync.Mutex
	m map[string]*pki
}

// pkiOf returns the shared pki of a key kind: RSA keys are slow to make.
func pkiOf(t testing.TB, kind string) *pki {
	t.Helper()
	pkis.Lock()
	defer pkis.Unlock()
	if pkis.m == nil {
		pkis.m = make(map[string]*pki)
	}
	if pkis.m[kind] == nil {
		pkis.m[kind] = newPKI(t, kind)
	}
	return pkis.m[kind]
}

// signed makes a message over content with the pki's leaf.
func signed(t testing.TB, p *pki, content []byte, o *cms.Options, unsigned ...cms.Attribute) []byte {
	t.Helper()
	if o == nil {
		o = &cms.Options{}
	}
	o.Algorithm = p.alg
	tpl, err := cms.New(p.chain, o)
	require.NoError(t, err)
	require.NoError(t, tpl.CheckKey(p.key))
	sum, err := cms.Sum(tpl.Digest(), content)
	require.NoError(t, err)
	attrs, err := tpl.Attributes(sum)
	require.NoError(t, err)
	tbs, err := tpl.ToSign(attrs)
	require.NoError(t, err)
	sig, err := tpl.Sign(p.key, tbs)
	require.NoError(t, err)
	require.NoError(t, tpl.Check(attrs, sig))
	out, err := tpl.Assemble(attrs, sig, unsigned...)
	require.NoError(t, err)
	room := 0
	for _, a := range unsigned {
		for _, v := range a.Values {
			room += len(v)
		}
	}
	size, err := tpl.MaxSize(room)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(out), size, "W4: the estimate holds")
	return out
}

// verify parses and verifies message over content.
func verify(message, content []byte) (*cms.Verified, error) {
	sd, err := cms.Parse(message)
	if err != nil {
		return nil, err
	}
	if len(sd.Signers) != 1 {
		return nil, cms.ErrMalformed
	}
	sum, err := cms.Sum(sd.Signers[0].Digest, content)
	if err != nil {
		return nil, err
	}
	return sd.Verify(sd.Signers[0], cms.VerifyOptions{Digest: sum})
}

func TestSignVerify(t *testing.T) {
	t.Parallel()
	content := []byte("a contract of some length")
	for _, k := range kinds {
		t.Run("C2 C3 "+k, func(t *testing.T) {
			t.Parallel()
			p := pkiOf(t, k)
			msg := signed(t, p, content, nil)
			v, err := verify(msg, content)
			require.NoError(t, err)
			assert.Equal(t, p.alg, v.Algorithm)
			assert.Equal(t, p.chain[0].Raw, v.Certificate.Raw)
			assert.Equal(t, cms.BoundV2, v.Binding)
			assert.True(t, v.Attributes)

			_, err = verify(msg, append(content, '!'))
			var ve *cms.VerifyError
			require.ErrorAs(t, err, &ve)
			assert.Equal(t, cms.ReasonDigest, ve.Reason)

			path, err := cms.BuildChain(v.Certificate, cms.ChainOptions{
				Roots: p.chain[2:], Intermediates: p.chain[1:2], At: when,
			})
			require.NoError(t, err)
			assert.Len(t, path, 3)
		})
	}
}

// Certificates that several messages carry are read once, those that nobody
// can read stay out each time.
func TestKnown(t *testing.T) {
	t.Parallel()
	p := pkiOf(t, "p256")
	var known cms.Known
	first, err := known.Parse(signed(t, p, content, nil))
	require.NoError(t, err)
	second, err := known.Parse(signed(t, p, []byte("something else"), nil))
	require.NoError(t, err)
	require.Len(t, second.Embedded(), len(p.chain))
	for i, c := range first.Embedded() {
		assert.Same(t, c, second.Embedded()[i])
	}
	other, err := known.Parse(signed(t, pkiOf(t, "rsa"), content, nil))
	require.NoError(t, err)
	assert.NotEqual(t, first.Embedded()[0].Raw, other.Embedded()[0].Raw)
}
