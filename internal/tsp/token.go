package tsp

import (
	"bytes"
	"crypto/x509"
	"errors"
	"math/big"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
)

// A Token is what a timestamp token states.
type Token struct {
	// Raw is the DER ContentInfo.
	Raw []byte
	// Digest names the imprint's hash (empty if unknown), Sum is the imprint.
	Digest string
	Sum    []byte
	Policy string // dotted
	Serial *big.Int
	// Time is genTime in UTC.
	Time time.Time
	// Accuracy is how far Time may be off either way; zero if not stated.
	Accuracy time.Duration
	Ordering bool
	Nonce    *big.Int // nil if none
	// Certificate is the authority's. Only [Verify] sets it.
	Certificate *x509.Certificate
	// Chain runs from Certificate to a root. Only Verify with roots sets it.
	Chain []*x509.Certificate
	// Embedded are the certificates in the token, to build a chain with.
	Embedded []*x509.Certificate
	// Algorithm and SignatureDigest signed the token, for the caller's policy.
	Algorithm       cms.Algorithm
	SignatureDigest string

	version int
	signed  *cms.SignedData
}

// VerifyOptions say what a token must prove.
type VerifyOptions struct {
	// Digest names a hash and Sum the imprint by it. Required.
	Digest string
	Sum    []byte
	// Nonce, if not nil, must be the token's.
	Nonce *big.Int
	// Policy, if not empty, must be the token's (dotted).
	Policy string
	// Certificates are looked through for the signer's beside those in the
	// token, and serve as intermediates.
	Certificates []*x509.Certificate
	// Roots, if not empty, must be reached by a chain that holds at genTime.
	// Empty leaves the chain, and thereby all trust, to the caller.
	Roots []*x509.Certificate
}

// Read reads a token and verifies nothing. Trailing bytes are refused.
func Read(token []byte) (*Token, error) {
	sd, err := cms.Parse(token)
	if err != nil {
		return nil, refuse(CodeMalformed, "token: %w", err)
	}
	if len(sd.Trailing) > 0 {
		return nil, refuse(CodeMalformed, "token: %d bytes after the end", len(sd.Trailing))
	}
	if sd.ContentType != cms.OIDTSTInfo || !sd.HasContent {
		return nil, refuse(CodeMalformed, "token: content type %s", sd.ContentType)
	}
	t := &Token{Raw: sd.Raw, Embedded: sd.Embedded(), signed: sd}
	if err := t.readInfo(sd.Content); err != nil {
		return nil, refuse(CodeMalformed, "TSTInfo: %w", err)
	}
	return t, nil
}

func (t *Token) readInfo(b []byte) error {
	v, err := der.Parse(b)
	if err != nil {
		return err
	}
	outer := v.Enter()
	t.version = outer.Small()
	t.Policy = outer.OID().String()
	t.Digest, _, t.Sum = readImprint(outer)
	t.Serial = outer.Int()
	t.Time = outer.Time()
	if a := outer.Maybe(der.Sequence); a.Present() {
		t.Accuracy = readAccuracy(outer.Sub(a))
	}
	if o := outer.Maybe(der.Boolean); o.Present() {
		t.Ordering, err = o.Bool()
		outer.Check(err)
	}
	if n := outer.Maybe(der.Integer); n.Present() {
		t.Nonce, err = n.Int()
		outer.Check(err)
	}
	outer.Maybe(der.Context(0) | der.Constructed) // tsa: a name, proves nothing
	if e := outer.Maybe(der.Context(1) | der.Constructed); e.Present() {
		for list := outer.Sub(e); list.More(); {
			ext := list.Inner(der.Sequence)
			id := ext.OID()
			if c := ext.Maybe(der.Boolean); c.Present() {
				if critical, _ := c.Bool(); critical {
					list.Check(errors.New("critical extension " + id.String()))
				}
			}
			ext.Octets()
			ext.Done()
		}
	}
	return outer.Done()
}

// readAccuracy reads Accuracy; millis and micros run from 1 to 999.
func readAccuracy(c *der.Cursor) time.Duration {
	var d time.Duration
	if v := c.Maybe(der.Integer); v.Present() {
		n, err := v.Small()
		c.Check(err)
		d += time.Duration(n) * time.Second
	}
	for i, unit := range []time.Duration{time.Millisecond, time.Microsecond} {
		if v := c.Maybe(der.Context(byte(i))); v.Present() {
			n, err := v.Small()
			if err == nil && (n < 1 || n > 999) {
				err = der.ErrSyntax
			}
			c.Check(err)
			d += time.Duration(n) * unit
		}
	}
	c.Done()
	return d
}

// Verify accepts a token only if every rule of the package comment holds;
// otherwise the error is an [*Error].
func Verify(token []byte, o VerifyOptions) (*Token, error) {
	t, err := Read(token)
	if err != nil {
		return nil, err
	}
	sd := t.signed
	if len(sd.Signers) != 1 {
		return nil, refuse(CodeSigners, "%d signers", len(sd.Signers))
	}
	if t.version != 1 {
		return nil, refuse(CodeVersion, "TSTInfo version %d", t.version)
	}
	if err := t.verifySignature(sd.Signers[0], o); err != nil {
		return nil, err
	}
	if err := checkUsage(t.Certificate); err != nil {
		return nil, &Error{Code: CodeUsage, Err: err}
	}
	switch {
	case t.Digest == "":
		return nil, refuse(CodeAlgorithm, "imprint by an unknown digest")
	case o.Digest != t.Digest || len(o.Sum) == 0 || !bytes.Equal(o.Sum, t.Sum):
		return nil, refuse(CodeImprint, "token is about another digest")
	case o.Nonce != nil && (t.Nonce == nil || t.Nonce.Cmp(o.Nonce) != 0):
		return nil, refuse(CodeNonce, "not the nonce asked")
	case o.Policy != "" && t.Policy != o.Policy:
		return nil, refuse(CodePolicy, "policy %s", t.Policy)
	case t.Time.Before(t.Certificate.NotBefore) || t.Time.After(t.Certificate.NotAfter):
		return nil, refuse(CodeTime, "%s is outside the certificate's life", t.Time.Format(time.RFC3339))
	}
	if len(o.Roots) == 0 {
		return t, nil
	}
	t.Chain, err = cms.BuildChain(t.Certificate, cms.ChainOptions{
		Roots: o.Roots, Intermediates: append(t.Embedded, o.Certificates...),
		At: t.Time, Usage: x509.ExtKeyUsageTimeStamping,
	})
	if err != nil {
		return nil, &Error{Code: CodeChain, Err: err}
	}
	return t, nil
}

func (t *Token) verifySignature(s *cms.SignerInfo, o VerifyOptions) error {
	sum, err := t.signed.ContentDigest(s)
	if err != nil {
		return &Error{Code: CodeAlgorithm, Err: err}
	}
	v, err := t.signed.Verify(s, cms.VerifyOptions{Digest: sum, Certificates: o.Certificates})
	if err != nil {
		code := CodeSignature
		var ve *cms.VerifyError
		if errors.As(err, &ve) {
			switch ve.Reason {
			case cms.ReasonNoCertificate:
				code = CodeCertificate
			case cms.ReasonSigningCertificate:
				code = CodeBinding
			case cms.ReasonAlgorithm:
				code = CodeAlgorithm
			}
		}
		return &Error{Code: code, Err: err}
	}
	if v.Binding == cms.Unbound {
		return refuse(CodeBinding, "no signing-certificate attribute")
	}
	t.Certificate, t.Algorithm, t.SignatureDigest = v.Certificate, v.Algorithm, v.Digest
	return nil
}

var oidTimeStamping = der.MustOID("1.3.6.1.5.5.7.3.8")

// checkUsage demands the extended key usage of RFC 3161 §2.3: critical, and
// timeStamping alone.
func checkUsage(c *x509.Certificate) error {
	for _, e := range c.Extensions {
		if e.Id.String() != "2.5.29.37" {
			continue
		}
		if !e.Critical {
			return errors.New("extended key usage is not critical")
		}
		v, err := der.Parse(e.Value)
		if err != nil {
			return err
		}
		list := v.Enter()
		if o := list.OID(); o != oidTimeStamping || list.Done() != nil {
			return errors.New("extended key usage is not timeStamping alone")
		}
		return nil
	}
	return errors.New("no extended key usage")
}
