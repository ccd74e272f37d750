package smstest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/sms"
)

// An Answer is how a fake provider behaves.
type Answer string

// The answers of a [Rig]'s provider. Its author makes the ones below accepted
// in the provider's own language; [Run] makes the others from them.
const (
	AnswerOK            Answer = "ok"
	AnswerRejected      Answer = "rejected"
	AnswerThrottled     Answer = "throttled"
	AnswerMisconfigured Answer = "misconfigured"
	AnswerUnknownCode   Answer = "unknown code" // well formed, with a code nobody knows
	AnswerNoID          Answer = "no id"        // accepted, without the provider's id
)

// A Rig is a gateway and the provider it talks to.
type Rig struct {
	// New makes the gateway under test, talking to the provider at url.
	New func(url string) sms.Gateway
	// Serve answers one request the way asked for, and reports what is wrong with
	// the request itself: a bad signature, a missing value.
	Serve func(w http.ResponseWriter, r *http.Request, a Answer, s sms.Submission) error
	// Receipt is a push of the provider that reports s delivered; nil: it pushes
	// nothing.
	Receipt func(s sms.Submission, providerID string) *http.Request
}

// Run checks every sentence of [sms.Gateway]'s contract against a fake
// provider on this machine.
func Run(t *testing.T, rig Rig) {
	t.Helper()
	for _, p := range Problems(rig) {
		t.Error(p)
	}
}

// provider is a fake server that misbehaves on demand.
type provider struct {
	rig    Rig
	sub    sms.Submission
	mode   string
	answer Answer
	done   chan struct{} // closed when hanging requests may end

	mu     sync.Mutex
	asked  int
	wrong  []string
	target string
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked++
	first := p.asked == 1
	p.mu.Unlock()
	switch p.mode {
	case "hang":
		select {
		case <-p.done:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case "reset":
		panic(http.ErrAbortHandler)
	case "garbage":
		_, _ = w.Write([]byte("<html>busy</html>"))
	case "empty":
	case "500":
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte("{}"))
	case "huge":
		junk := strings.Repeat("x", 1<<16)
		for range 256 { // 16 MiB
			if _, err := w.Write([]byte(junk)); err != nil {
				return
			}
		}
	case "redirect":
		if first {
			http.Redirect(w, r, p.target+"/elsewhere", http.StatusTemporaryRedirect)
			return
		}
		fallthrough
	default:
		if err := p.rig.Serve(w, r, p.answer, p.sub); err != nil {
			p.mu.Lock()
			p.wrong = append(p.wrong, err.Error())
			p.mu.Unlock()
		}
	}
}

// Problems is [Run] for those who test the suite: it returns what it finds.
func Problems(rig Rig) (found []string) {
	problem := func(name, format string, args ...any) {
		found = append(found, name+": "+fmt.Sprintf(format, args...))
	}
	to, err := sms.NewNumber("13812345678")
	if err != nil {
		panic(err)
	}
	sub := sms.Submission{Key: "cs-canary00000000000000000000", Kind: sms.OTP, To: to, Signature: "签约", Template: "SMS_0001",
		Vars: []sms.Var{{Name: "code", Value: "424242"}, {Name: "title", Value: "金丝雀协议"}}, Text: "金丝雀协议，验证码424242"}
	secrets := []string{"13812345678", "8613812345678", "424242", "金丝雀"}

	type outcome struct {
		res   sms.SubmitResult
		err   error
		asked int
		wrong []string
		took  time.Duration
	}
	run := func(ctx context.Context, mode string, a Answer) (o outcome) {
		p := &provider{rig: rig, sub: sub, mode: mode, answer: a, done: make(chan struct{})}
		srv := httptest.NewServer(p)
		p.target = srv.URL
		defer srv.Close()
		defer close(p.done)
		start := time.Now()
		func() {
			defer func() {
				if v := recover(); v != nil {
					o.err = fmt.Errorf("panicked: %v", v)
					o.res.Disposition = "panic"
				}
			}()
			o.res, o.err = rig.New(srv.URL).Submit(ctx, sub)
		}()
		o.took = time.Since(start)
		p.mu.Lock()
		defer p.mu.Unlock()
		o.asked, o.wrong = p.asked, p.wrong
		return o
	}
	check := func(name string, o outcome, want sms.Disposition) {
		got := o.res.Disposition
		if got == "" && want == sms.Unknown {
			got = sms.Unknown
		}
		if got != want {
			problem(name, "disposition %q, want %q", o.res.Disposition, want)
		}
		if o.res.Disposition == sms.Accepted && o.res.ProviderID == "" {
			problem(name, "accepted without a provider's id")
		}
		if o.asked > 1 {
			problem(name, "%d requests for one submission: no retry, no redirect", o.asked)
		}
		for _, w := range o.wrong {
			problem(name, "request: %s", w)
		}
		if o.err != nil {
			for _, s := range secrets {
				if strings.Contains(o.err.Error(), s) {
					problem(name, "the error tells what it must not")
				}
			}
		}
	}
	bg := context.Background()
	for a, want := range map[Answer]sms.Disposition{AnswerOK: sms.Accepted, AnswerRejected: sms.Rejected, AnswerThrottled: sms.Throttled,
		AnswerMisconfigured: sms.Misconfigured, AnswerUnknownCode: sms.Unknown, AnswerNoID: sms.Unknown} {
		o := run(bg, "", a)
		check(string(a), o, want)
		if o.asked != 1 {
			problem(string(a), "%d requests, want 1", o.asked)
		}
	}
	for _, mode := range []string{"garbage", "empty", "500", "huge", "reset", "redirect"} {
		check(mode, run(bg, mode, AnswerOK), sms.Unknown)
	}
	ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
	o := run(ctx, "hang", AnswerOK)
	cancel()
	check("timeout", o, sms.Unknown)
	if o.took > 2*time.Second {
		problem("timeout", "gave up after %v", o.took.Round(time.Second))
	}

	// Nobody listens: no byte left, so a definitive no is honest, and so is doubt.
	srv := httptest.NewServer(http.NotFoundHandler())
	dead := srv.URL
	srv.Close()
	res, err := rig.New(dead).Submit(bg, sub)
	if res.Disposition != sms.Rejected && res.Disposition != sms.Unknown && res.Disposition != "" {
		problem("dial", "disposition %q", res.Disposition)
	}
	check("dial", outcome{res: sms.SubmitResult{Disposition: sms.Unknown}, err: err}, sms.Unknown)

	// Side by side, under the race detector.
	p := &provider{rig: rig, sub: sub, answer: AnswerOK, done: make(chan struct{})}
	many := httptest.NewServer(p)
	defer many.Close()
	g := rig.New(many.URL)
	if n := g.Name(); n == "" || n != g.Name() || len(n) > 32 {
		problem("name", "a name is fixed and has 1 to 32 bytes")
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		wg.Go(func() {
			res, _ := g.Submit(bg, sub)
			mu.Lock()
			defer mu.Unlock()
			if res.Disposition != sms.Accepted {
				problem("side by side", "disposition %q", res.Disposition)
			}
		})
	}
	wg.Wait()
	if rig.Receipt != nil {
		found = append(found, receiptProblems(g, rig, sub)...)
	}
	return found
}

func receiptProblems(g sms.Gateway, rig Rig, sub sms.Submission) (found []string) {
	src, ok := g.(sms.ReceiptSource)
	if !ok {
		return []string{"receipts: no ReceiptSource"}
	}
	got, ack, err := src.Parse(rig.Receipt(sub, "id-1"))
	if err != nil || len(got) != 1 || len(ack) == 0 {
		return []string{fmt.Sprintf("receipts: %d parsed, ack of %d bytes, error %v", len(got), len(ack), err)}
	}
	if rc := got[0]; !rc.Delivered || rc.To.E164() != sub.To.E164() || rc.Key != sub.Key && rc.ProviderID != "id-1" {
		found = append(found, "receipts: not the text that was reported")
	}
	for _, junk := range []string{"", "{", "null", `[{"phone_number":"x"}]`, "[[[[", strings.Repeat("[", 1<<16)} {
		req := rig.Receipt(sub, "id-1")
		req.Body = http.NoBody
		if junk != "" {
			req = httptest.NewRequest(req.Method, req.URL.String(), strings.NewReader(junk))
		}
		func() {
			defer func() {
				if recover() != nil {
					found = append(found, "receipts: panicked on junk")
				}
			}()
			if got, _, err := src.Parse(req); err == nil && len(got) > 0 {
				found = append(found, "receipts: made of junk")
			}
		}()
	}
	return found
}
