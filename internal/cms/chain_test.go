package cms_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdftest"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
)

// node is a certificate with its key, to build trees of.
type node struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func issue(t *testing.T, by *node, cn string, ca bool, change func(c *x509.Certificate)) *node {
	t.Helper()
	tpl := template(cn, ca)
	if change != nil {
		change(tpl)
	}
	key := newKey(t, "p256")
	n := &node{key: key}
	var err error
	if by == nil {
		n.cert, err = cms.CreateCertificate(tpl, nil, key.Public(), key)
	} else {
		n.cert, err = cms.CreateCertificate(tpl, by.cert, key.Public(), by.key)
	}
	require.NoError(t, err)
	return n
}

func list(nodes ...*node) (out []*x509.Certificate) {
	for _, n := range nodes {
		out = append(out, n.cert)
	}
	return out
}

// stdVerify is crypto/x509's opinion, the oracle for every case here.
func stdVerify(leaf *x509.Certificate, o cms.ChainOptions) error {
	v := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: o.At, KeyUsages: []x509.ExtKeyUsage{o.Usage}}
	for _, c := range o.Roots {
		v.Roots.AddCert(c)
	}
	for _, c := range o.Intermediates {
		v.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(v)
	return err
}

func TestChainReasons(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, "root", true, nil)
	stranger := issue(t, nil, "root", true, nil) // the same name, another key
	ca := issue(t, root, "ca", true, nil)
	leaf := issue(t, ca, "leaf", false, nil)
	past := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = when.AddDate(-2, 0, 0), when.AddDate(-1, 0, 0) }
	future := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = when.AddDate(1, 0, 0), when.AddDate(2, 0, 0) }
	oldCA := issue(t, root, "old ca", true, past)
	noCA := issue(t, root, "no ca", false, nil)
	noSign := issue(t, root, "no sign", true, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	flat := issue(t, root, "flat", true, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	below := issue(t, flat, "below", true, nil)
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	odd := issue(t, ca, "odd", false, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{critical} })
	clientCA := issue(t, root, "client ca", true, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	named := issue(t, root, "named ca", true, func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.com"}, true
	})
	dns := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames = []string{name} }
	}

	for name, c := range map[string]struct {
		leaf  *node
		roots []*node
		inter []*node
		usage x509.ExtKeyUsage
		want  cms.ChainReason // "" holds
		size  int
	}{
		"V10 three":                          {leaf: leaf, roots: []*node{root}, inter: []*node{ca}, size: 3},
		"V10 intermediates in any order":     {leaf: leaf, roots: []*node{root}, inter: []*node{noCA, leaf, root, ca}, size: 3},
		"V10 the leaf is a root":             {leaf: leaf, roots: []*node{leaf}, size: 1},
		"V10 an intermediate is a root":      {leaf: leaf, roots: []*node{ca}, size: 2},
		"V10 two roots of one name":          {leaf: leaf, roots: []*node{stranger, root}, inter: []*node{ca}, size: 3},
		"V10 no roots":                       {leaf: leaf, inter: []*node{ca, root}, want: cms.ChainNoAnchor},
		"V10 issuer missing":                 {leaf: leaf, roots: []*node{root}, want: cms.ChainNoAnchor},
		"V10 forged issuer":                  {leaf: leaf, roots: []*node{stranger}, inter: []*node{ca}, want: cms.ChainNoAnchor},
		"a leaf given as root may not issue": {leaf: issue(t, noCA, "x", false, nil), roots: []*node{noCA}, want: cms.ChainConstraint},
		"V13 leaf expired":                   {leaf: issue(t, ca, "x", false, past), roots: []*node{root}, inter: []*node{ca}, want: cms.ChainExpired},
		"V13 leaf not yet valid":             {leaf: issue(t, ca, "x", false, future), roots: []*node{root}, inter: []*node{ca}, want: cms.ChainNotYetValid},
		"V13 issuer expired":                 {leaf: issue(t, oldCA, "x", false, nil), roots: []*node{root}, inter: []*node{oldCA}, want: cms.ChainExpired},
		"expired and more": {
			leaf: issue(t, named, "x", false, func(c *x509.Certificate) {
				past(c)
				c.NotAfter = when.Add(-time.Hour)
				c.DNSNames = []string{"example.org"}
			}),
			roots: []*node{root}, inter: []*node{named}, want: cms.ChainConstraint,
		},
		"an expired leaf that is a root":   {leaf: issue(t, ca, "x", false, past), want: cms.ChainExpired, roots: nil},
		"issuer is no CA":                  {leaf: issue(t, noCA, "x", false, nil), roots: []*node{root}, inter: []*node{noCA}, want: cms.ChainConstraint},
		"issuer may not sign certificates": {leaf: issue(t, noSign, "x", false, nil), roots: []*node{root}, inter: []*node{noSign}, want: cms.ChainConstraint},
		"path length":                      {leaf: issue(t, below, "x", false, nil), roots: []*node{root}, inter: []*node{flat, below}, want: cms.ChainConstraint},
		"path length kept":                 {leaf: issue(t, flat, "x", false, nil), roots: []*node{root}, inter: []*node{flat}, size: 3},
		"unknown critical extension":       {leaf: odd, roots: []*node{root}, inter: []*node{ca}, want: cms.ChainConstraint},
		"usage not allowed by the CA": {
			leaf:  issue(t, clientCA, "x", false, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping} }),
			roots: []*node{root}, inter: []*node{clientCA}, usage: x509.ExtKeyUsageTimeStamping, want: cms.ChainConstraint,
		},
		"usage not allowed by the leaf": {
			leaf:  issue(t, ca, "x", false, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
			roots: []*node{root}, inter: []*node{ca}, usage: x509.ExtKeyUsageTimeStamping, want: cms.ChainConstraint,
		},
		"name constraint kept":   {leaf: issue(t, named, "x", false, dns("a.example.com")), roots: []*node{root}, inter: []*node{named}, size: 3},
		"name constraint broken": {leaf: issue(t, named, "x", false, dns("example.org")), roots: []*node{root}, inter: []*node{named}, want: cms.ChainConstraint},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "an expired leaf that is a root" {
				c.roots = []*node{c.leaf}
			}
			o := cms.ChainOptions{Roots: list(c.roots...), Intermediates: list(c.inter...), At: when, Usage: c.usage}
			path, err := cms.BuildChain(c.leaf.cert, o)
			std := stdVerify(c.leaf.cert, o)
			if c.want == "" {
				require.NoError(t, err)
				assert.Len(t, path, c.size)
				assert.Equal(t, c.leaf.cert, path[0])
				require.NoError(t, std, "crypto/x509 agrees")
				return
			}
			var ce *cms.ChainError
			require.ErrorAs(t, err, &ce)
			assert.Equal(t, c.want, ce.Reason, "%v", err)
			assert.NotEmpty(t, ce.Path)
			require.Error(t, std, "crypto/x509 agrees")
		})
	}
}

func TestChainForgedSignature(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, "root", true, func(c *x509.Certificate) { c.SubjectKeyId = nil })
	twin := &node{key: newKey(t, "p256")}
	var err error
	tpl := *root.cert // name and key identifier are the root's
	tpl.PublicKey = nil
	twin.cert, err = cms.CreateCertificate(&tpl, nil, twin.key.Public(), twin.key)
	require.NoError(t, err)
	leaf := issue(t, twin, "leaf", false, nil)
	_, err = cms.BuildChain(leaf.cert, cms.ChainOptions{Roots: list(root), At: when})
	var ce *cms.ChainError
	require.ErrorAs(t, err, &ce)
	assert.Equal(t, cms.ChainSignature, ce.Reason)
	require.ErrorIs(t, err, cms.ErrSignature)
	require.ErrorIs(t, cms.CheckIssued(leaf.cert, root.cert), cms.ErrSignature)
	require.NoError(t, cms.CheckIssued(leaf.cert, twin.cert))
}

// Cross-certificates make loops and many paths; the work stays bounded.
func TestChainBounded(t *testing.T) {
	t.Parallel()
	a, b := &node{key: newKey(t, "p256")}, &node{key: newKey(t, "p256")}
	make := func(subject string, key crypto.Signer, issuer string, by crypto.Signer) *x509.Certificate {
		parent := template(issuer, true)
		parent.SubjectKeyId = nil
		tpl := template(subject, true)
		tpl.SubjectKeyId = []byte(subject)
		c, err := cms.CreateCertificate(tpl, parent, key.Public(), by)
		require.NoError(t, err)
		return c
	}
	var pool []*x509.Certificate
	for range 12 {
		pool = append(pool, make("a", a.key, "b", b.key), make("b", b.key, "a", a.key))
	}
	leaf := make("leaf", newKey(t, "p256"), "a", a.key)
	start := time.Now()
	_, err := cms.BuildChain(leaf, cms.ChainOptions{Roots: []*x509.Certificate{issue(t, nil, "root", true, nil).cert}, Intermediates: pool, At: when})
	var ce *cms.ChainError
	require.ErrorAs(t, err, &ce)
	assert.Equal(t, cms.ChainLimit, ce.Reason)
	require.ErrorIs(t, err, der.ErrLimit)
	assert.Less(t, time.Since(start), pdftest.Bound(5*time.Second))
}

// Every algorithm may sign for every other.
func TestChainMixed(t *testing.T) {
	t.Parallel()
	for i, k := range kinds {
		top, bottom := pkiOf(t, k), pkiOf(t, kinds[(i+1)%len(kinds)])
		leaf, err := cms.CreateCertificate(template("mixed", false), top.chain[1], bottom.key.Public(), top.cakey)
		require.NoError(t, err)
		path, err := cms.BuildChain(leaf, cms.ChainOptions{Roots: top.chain[2:], Intermediates: top.chain[1:2], At: when})
		require.NoError(t, err)
		assert.Len(t, path, 3)
	}
}
