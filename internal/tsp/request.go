package tsp

import (
	"math/big"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
)

// A Request is a TimeStampReq (RFC 3161 §2.4.1).
type Request struct {
	// Digest names the hash of the imprint, "SHA-256" or "SM3"; Sum is its value.
	Digest string
	Sum    []byte
	// Policy is the dotted identifier of the policy wanted; empty is any.
	Policy string
	// Nonce, if not nil, must come back in the token.
	Nonce *big.Int
	// Certificates asks for the authority's certificate within the token.
	Certificates bool
}

// NewRequest returns a request over sum, by the hash called digest, with a
// fresh random nonce, asking for certificates.
func NewRequest(digest string, sum []byte) (*Request, error) {
	r := &Request{Digest: digest, Sum: sum, Certificates: true, Nonce: cms.NewSerial()}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Request) check() error {
	n, err := cms.DigestSize(r.Digest)
	if err != nil {
		return &Error{Code: CodeAlgorithm, Err: err}
	}
	if len(r.Sum) != n {
		return refuse(CodeImprint, "%s digest of %d bytes", r.Digest, len(r.Sum))
	}
	return nil
}

// Marshal returns the DER form.
func (r *Request) Marshal() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	var b der.Builder
	m := b.Begin(der.Sequence)
	b.Small(1)
	if err := writeImprint(&b, r.Digest, r.Sum); err != nil {
		return nil, err
	}
	if r.Policy != "" {
		o, err := der.ParseOID(r.Policy)
		if err != nil {
			return nil, refuse(CodePolicy, "%w", err)
		}
		b.OID(o)
	}
	if r.Nonce != nil {
		b.Int(r.Nonce)
	}
	if r.Certificates {
		b.Bool(true)
	}
	b.End(m)
	return b.Bytes(), nil
}

func writeImprint(b *der.Builder, digest string, sum []byte) error {
	o, err := cms.DigestOID(digest)
	if err != nil {
		return &Error{Code: CodeAlgorithm, Err: err}
	}
	imprint := b.Begin(der.Sequence)
	alg := b.Begin(der.Sequence)
	b.OID(o)
	b.Null() // as the examples of RFC 3161 and most authorities have it
	b.End(alg)
	b.Octets(sum)
	b.End(imprint)
	return nil
}

// readImprint reads a MessageImprint. An unknown digest gives an empty name.
func readImprint(c *der.Cursor) (digest string, oid der.OID, sum []byte) {
	in := c.Inner(der.Sequence)
	alg := in.Inner(der.Sequence)
	oid = alg.OID()
	if alg.More() {
		alg.Next()
	}
	alg.Done()
	sum = in.Octets()
	in.Done()
	digest, _ = cms.DigestName(oid)
	return digest, oid, sum
}

// ParseRequest reads a TimeStampReq. An unknown digest is CodeAlgorithm, an
// imprint of the wrong length CodeImprint, any extension CodeMalformed.
func ParseRequest(b []byte) (*Request, error) {
	v, err := der.Parse(b)
	if err != nil {
		return nil, refuse(CodeMalformed, "request: %w", err)
	}
	var r Request
	outer := v.Enter()
	version := outer.Small()
	digest, oid, sum := readImprint(outer)
	r.Digest, r.Sum = digest, sum
	if p := outer.Maybe(der.ObjectID); p.Present() {
		o, err := p.OID()
		outer.Check(err)
		r.Policy = o.String()
	}
	if n := outer.Maybe(der.Integer); n.Present() {
		r.Nonce, err = n.Int()
		outer.Check(err)
	}
	if c := outer.Maybe(der.Boolean); c.Present() {
		r.Certificates, err = c.Bool()
		outer.Check(err)
	}
	if err := outer.Done(); err != nil {
		return nil, refuse(CodeMalformed, "request: %w", err)
	}
	if version != 1 {
		return nil, refuse(CodeMalformed, "request: version %d", version)
	}
	if digest == "" {
		return nil, refuse(CodeAlgorithm, "digest %s", oid)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &r, nil
}
