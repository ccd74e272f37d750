package pades

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/tsp"
)

// TSA is a client for RFC 3161 timestamp authorities over HTTP. Authentication
// is the business of Client's RoundTripper.
type TSA struct {
	URLs     []string            // Required. Tried in order
	Client   *http.Client        // nil = http.DefaultClient
	Timeout  time.Duration       // of one attempt; 0 = 10 s
	Retries  int                 // further rounds over URLs; 0 = 1, negative = none
	MaxBytes int64               // of a reply; 0 = 64 KiB
	Policy   string              // asked of the authority, as a dotted OID; "" = its choice
	Roots    []*x509.Certificate // the token's chain must end here; nil = not judged
}

var _ Timestamper = (*TSA)(nil)

// Timestamp asks the authorities in order for a token and returns the first
// that passes C8. It fails with [ErrTSAFailed] if none answered and with
// [ErrTSAInvalid] if what answered was no valid token.
func (c *TSA) Timestamp(ctx context.Context, digest string, sum []byte) ([]byte, error) {
	const op = "timestamp"
	if len(c.URLs) == 0 {
		return nil, refuse(ErrUsage, op, errors.New("no authority"))
	}
	for _, u := range c.URLs {
		if err := webURL(u); err != nil {
			return nil, refuse(ErrUsage, op, err)
		}
	}
	client, timeout, most, rounds := c.Client, c.Timeout, c.MaxBytes, c.Retries+1
	if client == nil {
		client = http.DefaultClient
	}
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	if most <= 0 {
		most = 64 << 10
	}
	if c.Retries == 0 {
		rounds = 2
	}
	code, last := ErrTSAFailed, error(nil)
	for round := range max(rounds, 1) {
		if round > 0 {
			if err := pause(ctx, round); err != nil {
				return nil, refuse(ErrTSAFailed, op, err)
			}
		}
		for _, u := range c.URLs {
			token, invalid, err := c.ask(ctx, client, timeout, most, u, digest, sum)
			if err == nil {
				return token, nil
			}
			if ctx.Err() != nil {
				return nil, refuse(ErrTSAFailed, op, ctx.Err())
			}
			if invalid {
				code = ErrTSAInvalid
			}
			last = err
		}
	}
	return nil, refuse(code, op, last)
}

// ask makes one request with a nonce of its own. invalid tells an answer that
// is no valid token from none at all.
func (c *TSA) ask(ctx context.Context, client *http.Client, timeout time.Duration, most int64, url, digest string, sum []byte) (token []byte, invalid bool, err error) {
	req, err := tsp.NewRequest(digest, sum)
	if err != nil {
		return nil, false, err
	}
	req.Policy = c.Policy
	body, err := req.Marshal()
	if err != nil {
		return nil, false, err
	}
	answer, err := exchange(ctx, client, timeout, url, body, "application/timestamp-query", "application/timestamp-reply", most)
	if err != nil {
		return nil, false, err
	}
	if token, err = tsp.ParseResponse(answer); err != nil {
		e, ok := errors.AsType[*tsp.Error](err)
		return nil, !ok || e.Code != tsp.CodeStatus, err
	}
	_, err = tsp.Verify(token, tsp.VerifyOptions{Digest: digest, Sum: sum, Nonce: req.Nonce, Policy: c.Policy, Roots: c.Roots})
	return token, true, err
}

// timestamp obtains a token over b and checks it, whoever made it (C8).
func timestamp(ctx context.Context, op string, t Timestamper, digest string, b []byte) ([]byte, error) {
	sum, err := cms.Sum(digest, b)
	if err != nil {
		return nil, wrap(op, err)
	}
	return timestampSum(ctx, op, t, digest, sum)
}

func timestampSum(ctx context.Context, op string, t Timestamper, digest string, sum []byte) ([]byte, error) {
	if t == nil {
		return nil, refuse(ErrUsage, op, errors.New("the profile needs a timestamper"))
	}
	token, err := t.Timestamp(ctx, digest, sum)
	if err != nil {
		if _, ok := errors.AsType[*Error](err); ok {
			return nil, err
		}
		return nil, refuse(ErrTSAFailed, op, err)
	}
	if _, err := tsp.Verify(token, tsp.VerifyOptions{Digest: digest, Sum: sum}); err != nil {
		return nil, refuse(ErrTSAInvalid, op, err)
	}
	return token, nil
}
