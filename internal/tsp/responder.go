package tsp

import (
	"context"
	"crypto"
	"crypto/x509"
	"io"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
)

// DefaultPolicy is the policy a [Responder] states unless told otherwise. It
// lies under the arc that is reserved for examples.
const DefaultPolicy = "2.999.3161.1"

// A Responder issues timestamp tokens, for tests and the development
// authority. It is safe for concurrent use once its fields are set.
type Responder struct {
	// Key signs for Chain[0], whose extended key usage must be critical and
	// timeStamping alone. Required.
	Key   crypto.Signer
	Chain []*x509.Certificate
	// Policy is stated in tokens; empty is [DefaultPolicy].
	Policy string
	// Accuracy is stated in tokens, to the microsecond; zero states none.
	Accuracy time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Timestamp returns a token over sum by the hash called digest, with its
// certificates and without nonce: the shape of pades.Timestamper.
func (r *Responder) Timestamp(_ context.Context, digest string, sum []byte) ([]byte, error) {
	return r.Token(&Request{Digest: digest, Sum: sum, Certificates: true})
}

// Token returns the token that answers q.
func (r *Responder) Token(q *Request) ([]byte, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	policy := r.Policy
	if policy == "" {
		policy = DefaultPolicy
	}
	if q.Policy != "" && q.Policy != policy {
		return nil, refuse(CodePolicy, "policy %s", q.Policy)
	}
	info, err := r.info(q, policy)
	if err != nil {
		return nil, err
	}
	t, err := cms.New(r.Chain, &cms.Options{ContentType: cms.OIDTSTInfo, Content: info, NoCertificates: !q.Certificates})
	if err != nil {
		return nil, err
	}
	sum, err := cms.Sum(t.Digest(), info)
	if err != nil {
		return nil, err
	}
	attrs, err := t.Attributes(sum)
	if err != nil {
		return nil, err
	}
	tbs, err := t.ToSign(attrs)
	if err != nil {
		return nil, err
	}
	sig, err := t.Sign(r.Key, tbs)
	if err != nil {
		return nil, err
	}
	return t.Assemble(attrs, sig)
}

func (r *Responder) info(q *Request, policy string) ([]byte, error) {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	o, err := der.ParseOID(policy)
	if err != nil {
		return nil, refuse(CodePolicy, "%w", err)
	}
	var b der.Builder
	m := b.Begin(der.Sequence)
	b.Small(1)
	b.OID(o)
	if err := writeImprint(&b, q.Digest, q.Sum); err != nil {
		return nil, err
	}
	b.Int(cms.NewSerial())
	b.GeneralizedTime(now())
	if a := r.Accuracy; a > 0 {
		acc := b.Begin(der.Sequence)
		if s := int(a / time.Second); s > 0 {
			b.Small(s)
		}
		if ms := int(a % time.Second / time.Millisecond); ms > 0 {
			b.TaggedSmall(der.Context(0), ms)
		}
		if us := int(a % time.Millisecond / time.Microsecond); us > 0 {
			b.TaggedSmall(der.Context(1), us)
		}
		b.End(acc)
	}
	if q.Nonce != nil {
		b.Int(q.Nonce)
	}
	b.End(m)
	return b.Bytes(), nil
}

// Respond answers an encoded request with an encoded response, a refusal too.
func (r *Responder) Respond(request []byte) []byte {
	q, err := ParseRequest(request)
	if err != nil {
		return marshalResponse(nil, failureOf(err))
	}
	token, err := r.Token(q)
	if err != nil {
		return marshalResponse(nil, failureOf(err))
	}
	return marshalResponse(token, 0)
}

// ServeHTTP answers requests of RFC 3161 §3.4.
func (r *Responder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "POST an application/timestamp-query", http.StatusBadRequest)
		return
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, q.Body, 16<<10))
	if err != nil {
		http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.Write(r.Respond(b)) // the client is gone if this fails
}
