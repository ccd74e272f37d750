package esign_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/identity/identitytest"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
)

// A gossip is a gateway that tells its log everything.
type gossip struct {
	*smstest.Gateway
	broken bool
}

func (g *gossip) Submit(ctx context.Context, s sms.Submission) (sms.SubmitResult, error) {
	if g.broken {
		return sms.SubmitResult{}, errors.New("cannot reach " + s.To.E164() + " with " + s.Text)
	}
	return g.Gateway.Submit(ctx, s)
}

// A gossiping content policy quotes what it judges.
type reader struct{}

func (reader) Judge(_ context.Context, c sms.Content) (sms.Ruling, error) {
	if strings.Contains(string(c.Text), "李小明") {
		return sms.Ruling{}, errors.New("who is 李小明?")
	}
	return sms.Ruling{Verdict: sms.Allow, Rule: "ok"}, nil
}

// spellings are the ways in which a planted text could stand somewhere.
func spellings(s string) []string {
	var u16 bytes.Buffer
	for _, r := range utf16.Encode([]rune(s)) {
		u16.WriteByte(byte(r >> 8))
		u16.WriteByte(byte(r))
	}
	quoted, _ := json.Marshal(s)
	out := []string{s, strings.Trim(string(quoted), `"`), hex.EncodeToString([]byte(s)), url.QueryEscape(s), u16.String(), hex.EncodeToString(u16.Bytes())}
	for i := range 3 { // at every alignment
		enc := base64.StdEncoding.EncodeToString([]byte("xyz"[:i] + s))
		out = append(out, enc[(i*8+5)/6:len(enc)-4])
	}
	return out
}

// TestCanary over the whole surface: identity, texts, reports, receipts, harvest,
// erasure, every host part that talks too much, and what Go prints of it all.
func TestCanary_P02_P06_S25_WholeSurface(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	tap := &tapped{Store: o.store}
	var logged bytes.Buffer
	gw := &gossip{Gateway: o.inbox}
	m := &museum{Verifier: o.people, window: time.Hour, clock: o.clock, fail: true}
	c := o.config(tap, o.blobs)
	c.SMS.Gateways, c.SMS.Content = []sms.Gateway{gw}, reader{}
	c.SMS.Catalogue.Templates = append(c.SMS.Catalogue.Templates, sms.Template{Name: "hello", Version: 1, Kind: sms.Notice,
		Body: "您好${who}，请登录查看。", Vars: map[string]sms.Rule{"who": sms.RuleName}, State: sms.Approved,
		Author: c.SMS.Catalogue.Templates[0].Author, Reviewer: c.SMS.Catalogue.Templates[0].Reviewer, Gateways: c.SMS.Catalogue.Templates[0].Gateways})
	c.Identity.Verifiers = []identity.Verifier{m, o.companies}
	c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Policy.Channels = map[esign.Channel]esign.ChannelPolicy{esign.ChannelApp: {Messenger: indiscreet{}}}
	c.Policy.Owner = indiscreet{}
	var said []string
	c.Policy.Alarm = func(tenant, env, what string) { said = append(said, tenant, env, what) }
	svc, err := esign.New(c)
	require.NoError(t, err)
	ctx := t.Context()
	note := func(v any, err error) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			said = append(said, fmt.Sprintf(verb, v))
		}
		if b, jerr := json.Marshal(v); jerr == nil {
			said = append(said, string(b))
		}
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("seen", "value", v, "error", err)
		for ; err != nil; err = errors.Unwrap(err) {
			said = append(said, err.Error(), fmt.Sprintf("%+v %#v", err, err))
			if host := errors.Unwrap(err); host != nil && strings.Contains(host.Error(), "no device of") {
				break // a messenger's own words, for whoever asks for them
			}
		}
	}
	text := func(s string) privacy.Text {
		v, err := privacy.NewText(s)
		require.NoError(t, err)
		return v
	}
	li := actor("li")
	li.Request.Forwarded, li.Request.UserAgent, li.Request.Device = text("203.0.113.77"), text("Browser-of-li/1"), text("device-of-li")
	note(li, nil)

	// Identity, with refusals, a register that fails and evidence that cannot be had.
	o.buy(svc, "hr")
	o.ready(svc, 9)
	check := func(id, name, number string) {
		ch := o.check(id, name, identity.Carrier)
		if number != "" {
			n, err := privacy.NewIDNumber(number)
			require.NoError(t, err)
			ch.Claim.Number = n
		}
		note(ch, nil)
		note(svc.StartCheck(ctx, li, ch))
	}
	check("malformed", liName, "110105194912310021")
	check("minor", liName, "11010520200101001X")
	check("wrong", "王天津", "")
	o.people.Script(identitytest.Failing)
	check("failing", liName, "")
	o.people.Script(identitytest.Panic)
	check("panic", liName, "")
	check("right", liName, "")
	for range 3 {
		n, err := svc.Deliver(ctx)
		note(n, err)
		o.pass(40 * time.Minute)
	}

	// A real-name contract, through a gateway that gossips first.
	gw.broken = true
	o.sendRealName(svc, "e1")
	note(svc.Challenge(ctx, li, esign.Challenge{ID: "lost", Envelopes: []string{"e1"}, Purpose: esign.CodeToView}))
	n, err := svc.Deliver(ctx)
	note(n, err)
	gw.broken = false
	o.pass(2 * time.Minute)
	deliver := func() { n, err := svc.Deliver(ctx); note(n, err) }
	code := func(id string, purpose esign.CodePurpose) esign.Intent {
		note(svc.Challenge(ctx, li, esign.Challenge{ID: id, Envelopes: []string{"e1"}, Purpose: purpose}))
		deliver()
		got, ok := o.inbox.Last(phones["li"])
		require.True(t, ok)
		typed := esign.Code{Challenge: id, Code: string(got.Code())}
		note(typed, nil)
		proof, err := svc.CheckCode(ctx, li, typed)
		require.NoError(t, err)
		note(proof, nil)
		o.pass(2 * time.Minute)
		return proof
	}
	seen, err := svc.Open(ctx, li, esign.View{ID: "open", Envelope: "e1", Proof: code("see", esign.CodeToView)})
	require.NoError(t, err)
	note(seen, nil)
	done, err := svc.Sign(ctx, li, esign.Sign{ID: "sign", Envelope: "e1", Intent: code("mean", esign.CodeToSign)})
	require.NoError(t, err)
	note(done, nil)
	deliver()
	note(svc.Receipt(ctx, li, "e1"))
	note(svc.ApplyReport(ctx, actor("hr"), esign.ReportRequest{ID: "r0", Envelope: "e1"}))
	o.site.grant(svc, "hr", "evidence.report", 2)
	note(svc.ApplyReport(ctx, actor("hr"), esign.ReportRequest{ID: "r1", Envelope: "e1"}))
	note(nil, svc.WriteReport(ctx, actor("hr"), "r1", "", io.Discard))

	// Texts of the host's own, refused, judged and replied to.
	clear := contact(t, liName, phones["li"])
	var to privacy.Ref
	require.NoError(t, storage.Update(ctx, tap, func(tx *storage.Tx) (err error) {
		to, err = svc.Privacy().PutTx(ctx, tx, privacy.Subject{Tenant: tenant, ID: "li"}, privacy.FieldPhone, clear.Phone)
		return err
	}))
	for i, m := range []sms.Message{{Template: "hello", Vars: sms.Values{"who": liName}}, {Template: "hello", Vars: sms.Values{"who": liName, "more": "13800138001"}},
		{Template: "unknown", Vars: sms.Values{"who": liName}}, {Template: "hello", Vars: sms.Values{"who": "13800138001 李小明"}}} {
		m.Tenant, m.ID, m.Kind, m.To, m.Consent, m.Account = tenant, fmt.Sprint("own-", i), sms.Notice, to, sms.Staff, "hr"
		note(m, nil)
		note(svc.SMS().Send(ctx, m))
	}
	deliver()
	note(nil, svc.SMS().Complain(ctx, tenant, clear.Phone))
	for st, err := range svc.SMS().Messages(ctx, tenant, "") {
		note(st, err)
	}
	note(svc.CancelAccount(ctx, li))
	note(svc.ErasePerson(ctx, li, esign.Erasure{}))
	note(svc.ErasePerson(ctx, actor("zhao"), esign.Erasure{Account: "li"}))
	deliver()
	running, stop := context.WithCancel(ctx)
	stop()
	note(nil, svc.Run(running))

	planted := []string{"李小明", "王天津", "13800138001", "11010519491231002X", "110105194912310021", "203.0.113.77", "Browser-of-li", "device-of-li",
		"192.0.2.7", "session-of-li"}
	for name, have := range map[string]string{"store": tap.all.String(), "log": logged.String(), "answers and errors": strings.Join(said, "\n")} {
		for _, p := range planted {
			for _, s := range spellings(p) {
				if !assert.NotContains(t, have, s, "%s: %s", name, p) {
					i := strings.Index(have, s)
					t.Log(have[max(0, i-300):min(len(have), i+100)])
				}
			}
		}
	}
}
