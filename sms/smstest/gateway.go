package smstest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// A Fault is what happens to one submission.
type Fault string

// The faults. Those marked sent put the text into the inbox.
const (
	OK            Fault = ""
	LostReply     Fault = "lost_reply"   // sent; the answer never comes
	LostRequest   Fault = "lost_request" // not sent, but nobody can know
	Delay         Fault = "delay"        // sent; no answer until ctx ends
	Reject        Fault = "reject"
	BadNumber     Fault = "bad_number"
	BadContent    Fault = "bad_content"
	Throttle      Fault = "throttle"
	Misconfigured Fault = "misconfigured"
	Garbage       Fault = "garbage" // sent; a disposition nobody knows
	NoID          Fault = "no_id"   // sent; accepted without a provider's id
	BadID         Fault = "bad_id"  // sent; accepted with an id of arbitrary bytes
	Panic         Fault = "panic"
)

// A Text is one message in the inbox, in the clear.
type Text struct {
	Gateway   string
	Key       string
	Kind      sms.Kind
	To        string // E.164
	Signature string
	Template  string
	Body      string
	At        time.Time
}

// String is what a handset shows.
func (t Text) String() string { return "【" + t.Signature + "】" + t.Body }

// Code returns the six digits in the text, or "".
func (t Text) Code() sms.Secret {
	digits := 0
	for i := 0; i <= len(t.Body); i++ {
		if i < len(t.Body) && t.Body[i] >= '0' && t.Body[i] <= '9' {
			digits++
			continue
		}
		if digits == 6 {
			return sms.Secret(t.Body[i-6 : i])
		}
		digits = 0
	}
	return ""
}

// A Gateway keeps texts in memory instead of sending them: for tests, examples
// and development. The zero value takes everything; it is safe for concurrent
// use.
type Gateway struct {
	// ID is its name; zero: "memory".
	ID string
	// Caps is what it takes; zero: every kind, at home and abroad.
	Caps *sms.Capabilities
	// Hook is called with each submission before anything else; nil: nothing.
	Hook func(sms.Submission)

	mu     sync.Mutex
	script []Fault
	calls  []string // keys, in the order of submissions
	texts  []Text
}

var (
	_ sms.Gateway       = (*Gateway)(nil)
	_ sms.Querier       = (*Gateway)(nil)
	_ sms.ReceiptSource = (*Gateway)(nil)
)

// Name implements [sms.Gateway].
func (g *Gateway) Name() string { return cmp.Or(g.ID, "memory") }

// Capabilities implements [sms.Gateway].
func (g *Gateway) Capabilities() sms.Capabilities {
	if g.Caps != nil {
		return *g.Caps
	}
	return sms.Capabilities{Kinds: []sms.Kind{sms.OTP, sms.Notice, sms.Marketing, sms.VoiceOTP},
		Regions: []sms.Region{sms.Domestic, sms.International}, Receipts: true}
}

// Script sets what happens to the next submissions, in order; after them all
// is well again.
func (g *Gateway) Script(faults ...Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.script = append(g.script, faults...)
}

// ErrLost stands for a connection that broke.
var ErrLost = errors.New("smstest: connection lost")

// Submit implements [sms.Gateway].
func (g *Gateway) Submit(ctx context.Context, s sms.Submission) (sms.SubmitResult, error) {
	if g.Hook != nil {
		g.Hook(s)
	}
	g.mu.Lock()
	fault := OK
	if len(g.script) > 0 {
		fault, g.script = g.script[0], g.script[1:]
	}
	g.calls = append(g.calls, s.Key)
	switch fault {
	case OK, LostReply, Delay, Garbage, NoID, BadID:
		g.texts = append(g.texts, Text{g.Name(), s.Key, s.Kind, s.To.E164(), s.Signature, s.Template, s.Text, time.Now()})
	}
	id := g.Name() + "-" + strconv.Itoa(len(g.calls))
	g.mu.Unlock()
	switch fault {
	case LostReply, LostRequest:
		return sms.SubmitResult{}, ErrLost
	case Delay:
		<-ctx.Done()
		return sms.SubmitResult{}, ctx.Err()
	case Reject:
		return sms.SubmitResult{Disposition: sms.Rejected, Code: "REJECT"}, nil
	case BadNumber:
		return sms.SubmitResult{Disposition: sms.Rejected, Code: "NUMBER", Cause: sms.BadNumber}, nil
	case BadContent:
		return sms.SubmitResult{Disposition: sms.Rejected, Code: "CONTENT", Cause: sms.BadContent}, nil
	case Throttle:
		return sms.SubmitResult{Disposition: sms.Throttled, Code: "LIMIT", RetryAfter: 5 * time.Minute}, nil
	case Misconfigured:
		return sms.SubmitResult{Disposition: sms.Misconfigured, Code: "KEY"}, nil
	case Garbage:
		return sms.SubmitResult{Disposition: "ok!", Code: "???"}, nil
	case NoID:
		return sms.SubmitResult{Disposition: sms.Accepted}, nil
	case BadID:
		return sms.SubmitResult{Disposition: sms.Accepted, ProviderID: "\x00/\xff", Code: "O\nK", Segments: -1}, nil
	case Panic:
		panic("smstest: scripted panic")
	}
	return sms.SubmitResult{Disposition: sms.Accepted, ProviderID: id, Segments: 1, Code: "OK"}, nil
}

// Query implements [sms.Querier]: it knows what is in the inbox.
func (g *Gateway) Query(_ context.Context, q sms.Query) (sms.SubmitResult, []sms.Receipt, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range g.texts {
		if t.Key == q.Key {
			return sms.SubmitResult{Disposition: sms.Accepted, ProviderID: "q-" + q.Key, Code: "OK"}, nil, nil
		}
	}
	return sms.SubmitResult{Disposition: sms.Rejected, Code: "NOTFOUND"}, nil, nil
}

// Parse implements [sms.ReceiptSource]: a JSON array of {key, to, delivered,
// reply}.
func (g *Gateway) Parse(r *http.Request) ([]sms.Receipt, []byte, error) {
	var in []struct {
		Key, ID, To, Reply string
		Delivered          bool
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, nil, errors.New("smstest: receipts do not decode")
	}
	var out []sms.Receipt
	for _, x := range in {
		to, err := sms.NewNumber(x.To)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, sms.Receipt{Key: x.Key, ProviderID: x.ID, To: to, Delivered: x.Delivered, Reply: sms.Secret(x.Reply)})
	}
	return out, []byte("ok"), nil
}

// Poll implements [sms.ReceiptSource]; it reports nothing by itself.
func (g *Gateway) Poll(context.Context, time.Time) ([]sms.Receipt, error) { return nil, nil }

// Texts returns the inbox of all numbers, oldest first.
func (g *Gateway) Texts() []Text {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]Text(nil), g.texts...)
}

// Last returns the newest text to a number, given as mainland digits or E.164.
func (g *Gateway) Last(to string) (Text, bool) {
	if !strings.HasPrefix(to, "+") {
		to = "+86" + to
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := len(g.texts) - 1; i >= 0; i-- {
		if g.texts[i].To == to {
			return g.texts[i], true
		}
	}
	return Text{}, false
}

// Calls returns the keys of all submissions, in order.
func (g *Gateway) Calls() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.calls...)
}

// Signature heads the texts of [Catalogue].
const Signature = "签约"

// Catalogue returns templates and a signature as a host would have them after
// every review: code, login and voice; invite, remind and ended, which name a
// title; invite_by, which names sender, title and deadline.
func Catalogue() sms.Catalogue {
	pass := map[string]sms.TemplateAt{sms.AnyGateway: {Code: "SMS_0001", Review: sms.ReviewPass}}
	t := func(name string, k sms.Kind, body string, vars map[string]sms.Rule) sms.Template {
		return sms.Template{Name: name, Version: 1, Kind: k, Body: body, Vars: vars, State: sms.Approved,
			Author: "product", Reviewer: "legal", Gateways: pass}
	}
	return sms.Catalogue{
		Templates: []sms.Template{
			t("code", sms.OTP, "您正在签署《${title}》（文件摘要${digest}），验证码${code}，${minutes}分钟内有效，请勿告诉他人。",
				map[string]sms.Rule{"title": sms.RuleTitle, "digest": sms.RuleAlnum, "code": sms.RuleDigits, "minutes": sms.RuleAlnum}),
			t("voice", sms.VoiceOTP, "您的验证码是${code}", map[string]sms.Rule{"code": sms.RuleDigits}),
			t("login", sms.OTP, "验证码${code}，${minutes}分钟内有效，请勿告诉他人。",
				map[string]sms.Rule{"code": sms.RuleDigits, "minutes": sms.RuleAlnum}),
			t("invite", sms.Notice, "您收到一份待签署的文件《${title}》，请登录办理。", map[string]sms.Rule{"title": sms.RuleTitle}),
			t("remind", sms.Notice, "提醒：您有一份文件《${title}》尚未签署，请登录办理。", map[string]sms.Rule{"title": sms.RuleTitle}),
			t("ended", sms.Notice, "您参与签署的《${title}》状态已变更，请登录查看。", map[string]sms.Rule{"title": sms.RuleTitle}),
			t("invite_by", sms.Notice, "${sender}邀请您签署《${title}》，请于${deadline}前办理。",
				map[string]sms.Rule{"sender": sms.RuleName, "title": sms.RuleTitle, "deadline": sms.RuleDate}),
		},
		Signatures: []sms.Signature{{Name: Signature, Kinds: []sms.Kind{sms.OTP, sms.Notice, sms.VoiceOTP}, State: sms.Approved,
			Author: "product", Reviewer: "legal", Gateways: map[string]sms.SignatureAt{sms.AnyGateway: {
				Review: sms.ReviewPass, Filing: map[sms.Carrier]sms.Filing{sms.AnyCarrier: sms.FilingDone}}}}},
	}
}

// InsecureConfig returns a configuration that sends to g and derives codes from
// a pepper that everybody can read: for tests and examples.
func InsecureConfig(store storage.Store, vault *privacy.Vault, g *Gateway) sms.Config {
	return sms.Config{Store: store, Vault: vault, Gateways: []sms.Gateway{g}, Catalogue: Catalogue(),
		Peppers: []sms.Pepper{{ID: "test", Key: []byte("insecure pepper of package smstest")}},
		Policy:  sms.Policy{Signature: Signature}}
}
