package smstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
)

// simple is a gateway for a provider that answers {"code":…,"id":…}; the zoo is
// made by breaking it.
type simple struct {
	url string
	do  func(s simple, ctx context.Context, sub sms.Submission) (sms.SubmitResult, error)
}

func (simple) Name() string                   { return "simple" }
func (simple) Capabilities() sms.Capabilities { return sms.Capabilities{} }
func (s simple) Submit(ctx context.Context, sub sms.Submission) (sms.SubmitResult, error) {
	return s.do(s, ctx, sub)
}

var table = map[string]sms.Disposition{"ok": sms.Accepted, "no": sms.Rejected, "slow": sms.Throttled, "key": sms.Misconfigured}

type reply struct{ Code, ID string }

func (s simple) ask(ctx context.Context, client *http.Client, sub sms.Submission) (reply, sms.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader([]byte(sub.Key)))
	if err != nil {
		return reply{}, sms.Answer{}, err
	}
	a, err := sms.Exchange(client, req)
	if err != nil {
		return reply{}, a, err
	}
	var r reply
	if json.Unmarshal(a.Body, &r) != nil || a.Status != http.StatusOK {
		return reply{}, a, errors.New("unreadable")
	}
	return r, a, nil
}

func good(s simple, ctx context.Context, sub sms.Submission) (sms.SubmitResult, error) {
	r, _, err := s.ask(ctx, nil, sub)
	if err != nil {
		return sms.Failed(err), err
	}
	d, ok := table[r.Code]
	if !ok || d == sms.Accepted && r.ID == "" {
		d = sms.Unknown
	}
	return sms.SubmitResult{Disposition: d, ProviderID: r.ID}, nil
}

func rig(do func(simple, context.Context, sms.Submission) (sms.SubmitResult, error)) smstest.Rig {
	return smstest.Rig{
		New: func(url string) sms.Gateway { return simple{url, do} },
		Serve: func(w http.ResponseWriter, r *http.Request, a smstest.Answer, s sms.Submission) error {
			out := reply{ID: "1"}
			out.Code = map[smstest.Answer]string{smstest.AnswerOK: "ok", smstest.AnswerNoID: "ok", smstest.AnswerRejected: "no",
				smstest.AnswerThrottled: "slow", smstest.AnswerMisconfigured: "key", smstest.AnswerUnknownCode: "?"}[a]
			if a == smstest.AnswerNoID {
				out.ID = ""
			}
			_ = json.NewEncoder(w).Encode(out)
			return nil
		},
	}
}

func TestGoodGatewayPasses(t *testing.T) { smstest.Run(t, rig(good)) }

// TestZoo: each broken gateway is caught, for the reason it is broken.
func TestZoo(t *testing.T) {
	for name, animal := range map[string]struct {
		do   func(simple, context.Context, sms.Submission) (sms.SubmitResult, error)
		want string
	}{
		"retries on failure": {func(s simple, ctx context.Context, sub sms.Submission) (sms.SubmitResult, error) {
			res, err := good(s, ctx, sub)
			if err != nil {
				return good(s, ctx, sub)
			}
			return res, err
		}, "requests for one submission"},
		"nil on refusal": {func(s simple, ctx context.Context, sub sms.Submission) (sms.SubmitResult, error) {
			r, _, err := s.ask(ctx, nil, sub)
			if err != nil {
				return sms.SubmitResult{}, err
			}
			return sms.SubmitResult{Disposition: sms.Accepted, ProviderID: r.ID}, nil
		}, "rejected: disposition"},
		"refused on timeout": {func(s simple, ctx context.Context, sub sms.Submission) (sms.SubmitResult, error) {
			res, err := good(s, ctx, sub)
			if err != nil {
				res.Disposition = sms.Rejected
			}
			return res, err
		}, "timeout: disposition"},
		"throttled taken for an outage": {func(s simple, ctx context.Context, sub sms.Submission) (sms.SubmitResult, error) {
			res, err := good(s, ctx, sub)
			if res.Disposition == sms.Throttled {
				return sms.SubmitResult{}, errors.New("500")
			}
			return res, err
		}, "throttled: disposition"},
		"follows redirects": {func(s simple, ctx context.Context, sub sms.Submission) (sms.SubmitResult, error) {
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader([]byte("x")))
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return sms.SubmitResult{}, errors.New("failed")
			}
			defer res.Body.Close()
			var r reply
			if json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&r) != nil || res.StatusCode != 200 {
				return sms.SubmitResult{}, errors.New("unreadable")
			}
			return sms.SubmitResult{Disposition: table[r.Code], ProviderID: r.ID}, nil
		}, "redirect"},
		"tells the number": {func(s simple, ctx context.Context, sub sms.Submission) (sms.SubmitResult, error) {
			res, err := good(s, ctx, sub)
			if err != nil {
				err = fmt.Errorf("to %s: %w", sub.To.E164(), err)
			}
			return res, err
		}, "the error tells"},
		"panics on an empty answer": {func(s simple, ctx context.Context, sub sms.Submission) (sms.SubmitResult, error) {
			r, a, err := s.ask(ctx, nil, sub)
			if err != nil && a.Status == 200 && len(a.Body) == 0 {
				var set []reply
				return sms.SubmitResult{ProviderID: set[0].ID}, nil
			}
			if err != nil {
				return sms.Failed(err), err
			}
			d, ok := table[r.Code]
			if !ok || r.ID == "" {
				d = sms.Unknown
			}
			return sms.SubmitResult{Disposition: d, ProviderID: r.ID}, nil
		}, "empty: disposition \"panic\""},
		"accepts without an id": {func(s simple, ctx context.Context, sub sms.Submission) (sms.SubmitResult, error) {
			r, _, err := s.ask(ctx, nil, sub)
			if err != nil {
				return sms.Failed(err), err
			}
			d, ok := table[r.Code]
			if !ok {
				d = sms.Unknown
			}
			return sms.SubmitResult{Disposition: d, ProviderID: r.ID}, nil
		}, "no id: disposition"},
		"ignores its context": {func(s simple, _ context.Context, sub sms.Submission) (sms.SubmitResult, error) {
			ctx, cancel := context.WithTimeout(context.Background(), 2500*time.Millisecond)
			defer cancel()
			return good(s, ctx, sub)
		}, "timeout: gave up after"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := smstest.Problems(rig(animal.do))
			assert.Contains(t, strings.Join(found, "\n"), animal.want)
		})
	}
}
