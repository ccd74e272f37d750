package ers

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/tsp"
)

// Options say what a record must prove.
type Options struct {
	// Roots are roots of timestamp authorities. Without any the record is
	// [ErrUntrusted] at best.
	Roots []*x509.Certificate
	// Certificates serve as intermediates beside those in the tokens.
	Certificates []*x509.Certificate
	// At, if set, is when the last timestamp's certificate must still hold.
	At time.Time
}

// A Stamp is one timestamp of a record.
type Stamp struct {
	Chain    int    // from 0; each later one is a hash renewal
	Digest   string // of its chain
	Token    []byte // DER ContentInfo
	Time     time.Time
	Accuracy time.Duration
	Expires  time.Time // end of the authority's certificate
}

// Verify checks a record over an object (§5.3): every timestamp covers what it
// must and was made while the certificate of the one before held. What it
// returns beside [ErrUntrusted] is what the record says of itself; with
// [ErrRecord] there is nothing.
func Verify(raw, object []byte, o Options) ([]Stamp, error) {
	r, err := parse(raw)
	if err != nil {
		return nil, err
	}
	var out []Stamp
	untrusted := error(nil)
	if len(o.Roots) == 0 {
		untrusted = ErrUntrusted
	}
	for ci, chain := range r.chains {
		digest := chain[0].digest
		for si := range chain {
			s := &chain[si]
			if s.digest != digest {
				return nil, bad("two digest algorithms in a chain")
			}
			var want []byte
			if si > 0 {
				want, err = cms.Sum(digest, chain[si-1].token)
			} else {
				want, err = covered(digest, object, r.chains[:ci])
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrRecord, err)
			}
			if want, err = s.root(want); err != nil {
				return nil, err
			}
			token, err := verifyToken(s.token, digest, want, o)
			if errors.Is(err, ErrUntrusted) {
				untrusted = err
			} else if err != nil {
				return nil, err
			}
			now := Stamp{Chain: ci, Digest: digest, Token: s.token, Time: token.Time, Accuracy: token.Accuracy, Expires: token.Certificate.NotAfter}
			if n := len(out); n > 0 {
				if !now.Time.After(out[n-1].Time) {
					return nil, bad("timestamps out of order")
				}
				if now.Time.After(out[n-1].Expires) {
					return nil, bad("renewed after the certificate of the last timestamp had ended")
				}
			}
			out = append(out, now)
		}
	}
	if !o.At.IsZero() && o.At.After(out[len(out)-1].Expires) {
		return nil, bad("the certificate of the last timestamp has ended")
	}
	return out, untrusted
}

// covered is what the first timestamp of a chain is over: the object, and in a
// later chain all chains before (§5.2).
func covered(digest string, object []byte, before [][]stamp) ([]byte, error) {
	h, err := cms.Sum(digest, object)
	if err != nil || len(before) == 0 {
		return h, err
	}
	past, err := cms.Sum(digest, sequence(before))
	if err != nil {
		return nil, err
	}
	return cms.Sum(digest, bytes.Join([][]byte{h, past}, nil))
}

func verifyToken(token []byte, digest string, sum []byte, o Options) (*tsp.Token, error) {
	want := tsp.VerifyOptions{Digest: digest, Sum: sum, Roots: o.Roots, Certificates: o.Certificates}
	t, err := tsp.Verify(token, want)
	if err == nil {
		return t, nil
	}
	var e *tsp.Error
	if !errors.As(err, &e) || e.Code != tsp.CodeChain {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	want.Roots = nil
	t, terr := tsp.Verify(token, want)
	if terr != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, terr)
	}
	return t, fmt.Errorf("%w: %w", ErrUntrusted, err)
}
