package sms_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
)

func TestSend(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	ref, err := r.Send(ctx, r.invite("invite-1"))
	require.NoError(t, err)
	assert.Equal(t, sms.StateQueued, r.state(t, ref))
	assert.Empty(t, r.gw.Texts(), "nothing leaves before Deliver")

	r.deliver(t)
	text, ok := r.gw.Last(phone)
	require.True(t, ok)
	assert.Equal(t, "【签约】云杉示例邀请您签署《保密协议》，请于3月31日前办理。", text.String())
	st, err := r.Status(ctx, ref)
	require.NoError(t, err)
	assert.Equal(t, sms.StateAccepted, st.State)
	assert.Equal(t, "138****5678", st.To)
	assert.Equal(t, 1, st.Counted)
	require.Len(t, st.Attempts, 1)
	assert.Equal(t, "memory-1", st.Attempts[0].ProviderID)

	t.Run("the same id answers the same and sends nothing", func(t *testing.T) {
		again, err := r.Send(ctx, r.invite("invite-1"))
		require.NoError(t, err)
		assert.Equal(t, ref, again)
		r.deliver(t)
		assert.Len(t, r.gw.Texts(), 1)
	})
	t.Run("another request under the id is refused", func(t *testing.T) {
		m := r.invite("invite-1")
		m.Vars["title"] = "劳动合同"
		_, err := r.Send(ctx, m)
		require.ErrorIs(t, err, sms.ErrIntentMismatch)
	})
	t.Run("T07 another tenant finds nothing", func(t *testing.T) {
		_, err := r.Status(ctx, sms.Ref{Tenant: "other", ID: "invite-1"})
		require.ErrorIs(t, err, sms.ErrNotFound)
		m := r.invite("x")
		m.Tenant = "other"
		_, err = r.Send(ctx, m)
		require.ErrorIs(t, err, sms.ErrNotFound)
	})
	t.Run("S09 72 hours without receipt", func(t *testing.T) {
		r.clock.add(72*time.Hour - time.Microsecond)
		r.deliver(t)
		st, err := r.Status(ctx, ref)
		require.NoError(t, err)
		assert.Equal(t, sms.DeliveryOpen, st.Delivery)
		r.clock.add(time.Microsecond)
		r.deliver(t)
		st, err = r.Status(ctx, ref)
		require.NoError(t, err)
		assert.Equal(t, sms.DeliveryExpired, st.Delivery)
		assert.Equal(t, sms.StateAccepted, st.State)
	})
}

// TestRefusals: each is typed, comes before any unit is held, and changes
// nothing.
func TestRefusals(t *testing.T) {
	ctx := context.Background()
	draft := func(_ *rig, c *sms.Config) {
		tm := c.Catalogue.Templates[6]
		tm.Version, tm.State = 1, sms.PendingReview
		tm.Name = "pending"
		unfiled := c.Catalogue.Signatures[0]
		unfiled.Name = "未报备"
		unfiled.Gateways = map[string]sms.SignatureAt{"memory": {Review: sms.ReviewPass, Filing: map[sms.Carrier]sms.Filing{sms.ChinaUnicom: sms.FilingDone}}}
		none := tm
		none.Name, none.State, none.Gateways = "unreviewed", sms.Approved, map[string]sms.TemplateAt{"memory": {Review: sms.ReviewInit}}
		c.Catalogue.Templates = append(c.Catalogue.Templates, tm, none)
		c.Catalogue.Signatures = append(c.Catalogue.Signatures, unfiled)
	}
	r := newRig(t, draft)
	r.grant(t, 10)
	before := dump(t, r.store)
	for _, tc := range []struct {
		name string
		edit func(*sms.Message)
		want error
	}{
		{"S08 unknown template", func(m *sms.Message) { m.Template = "nope" }, sms.ErrNotApproved},
		{"S08 S20 template under review", func(m *sms.Message) { m.Template = "pending" }, sms.ErrNotApproved},
		{"S08 template not passed by the provider", func(m *sms.Message) { m.Template = "unreviewed" }, sms.ErrNotApproved},
		{"S08 unknown signature", func(m *sms.Message) { m.Signature = "别家" }, sms.ErrNotApproved},
		{"S08 signature not filed with the carrier", func(m *sms.Message) { m.Signature = "未报备" }, sms.ErrNotApproved},
		{"S08 template of another kind", func(m *sms.Message) { m.Template = "code" }, sms.ErrNotApproved},
		{"S10 no consent", func(m *sms.Message) { m.Consent = "" }, sms.ErrNoConsent},
		{"S10 a basis that does not carry notices", func(m *sms.Message) { m.Consent = sms.OwnAct }, sms.ErrNoConsent},
		{"S15 commercial text without opt-in", func(m *sms.Message) { m.Kind = sms.Marketing }, sms.ErrNotApproved},
		{"missing value", func(m *sms.Message) { delete(m.Vars, "title") }, sms.ErrVariable},
		{"extra value", func(m *sms.Message) { m.Vars["more"] = "x" }, sms.ErrVariable},
		{"value too long", func(m *sms.Message) { m.Vars["title"] = strings.Repeat("长", 21) }, sms.ErrVariable},
		{"brackets in a value", func(m *sms.Message) { m.Vars["title"] = "【银行】" }, sms.ErrVariable},
		{"control character in a value", func(m *sms.Message) { m.Vars["title"] = "a\u202eb" }, sms.ErrVariable},
		{"code outside a challenge", func(m *sms.Message) { m.Kind = sms.OTP }, sms.ErrRequest},
		{"ref without hook", func(m *sms.Message) { m.Ref = "env-1" }, sms.ErrRequest},
		{"empty tenant", func(m *sms.Message) { m.Tenant = "" }, sms.ErrRequest},
		{"reserved tenant", func(m *sms.Message) { m.Tenant = storage.Deployment }, sms.ErrRequest},
		{"id too long", func(m *sms.Message) { m.ID = strings.Repeat("x", 193) }, sms.ErrRequest},
		{"id of a code", func(m *sms.Message) { m.ID = "code:x" }, sms.ErrRequest},
		{"another tenant's number", func(m *sms.Message) { m.To.Tenant = "other" }, sms.ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := r.invite("id-" + tc.name[:3])
			m.Metered = true
			tc.edit(&m)
			_, err := r.Send(ctx, m)
			require.ErrorIs(t, err, tc.want)
			assert.NotContains(t, err.Error(), phone)
			free, held, used := r.units(t)
			assert.Equal(t, []quota.Units{10, 0, 0}, []quota.Units{free, held, used})
			assert.Equal(t, before, dump(t, r.store), "a refused call changes nothing")
		})
	}
	t.Run("D16 the error says what is missing", func(t *testing.T) {
		m := r.invite("d16")
		m.Template = "pending"
		_, err := r.Send(ctx, m)
		var missing *sms.ApprovalError
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, sms.ApprovalError{Template: "pending", Missing: "state"}, *missing)
	})
}

func TestUnits(t *testing.T) {
	ctx := context.Background()
	long := strings.Repeat("长", 20)
	send := func(t *testing.T, r *rig, id string) sms.Ref {
		m := r.invite(id)
		m.Metered = true
		m.Vars["title"] = long
		ref, err := r.Send(ctx, m)
		require.NoError(t, err)
		return ref
	}
	t.Run("S06 D14 captured at acceptance, whatever the delivery", func(t *testing.T) {
		r := newRig(t)
		r.grant(t, 3)
		ref := send(t, r, "m-1")
		free, held, used := r.units(t)
		assert.Equal(t, []quota.Units{2, 1, 0}, []quota.Units{free, held, used})
		r.deliver(t)
		free, held, used = r.units(t)
		assert.Equal(t, []quota.Units{2, 0, 1}, []quota.Units{free, held, used})
		num, err := sms.NewNumber(phone)
		require.NoError(t, err)
		require.NoError(t, r.Receipts(ctx, "memory", []sms.Receipt{{Key: r.gw.Calls()[0], To: num}}))
		st, err := r.Status(ctx, ref)
		require.NoError(t, err)
		assert.Equal(t, sms.DeliveryUndeliverable, st.Delivery)
		_, _, used = r.units(t)
		assert.EqualValues(t, 1, used, "an undelivered text is not refunded")
	})
	t.Run("S06 released when refused for good", func(t *testing.T) {
		r := newRig(t)
		r.grant(t, 3)
		r.gw.Script(smstest.BadNumber)
		ref := send(t, r, "m-1")
		r.deliver(t)
		assert.Equal(t, sms.StateRejected, r.state(t, ref))
		free, held, used := r.units(t)
		assert.Equal(t, []quota.Units{3, 0, 0}, []quota.Units{free, held, used})
	})
	t.Run("no units: typed, nothing queued", func(t *testing.T) {
		r := newRig(t)
		m := r.invite("m-1")
		m.Metered = true
		_, err := r.Send(ctx, m)
		require.ErrorIs(t, err, quota.ErrInsufficient)
		_, err = r.Status(ctx, sms.Ref{Tenant: tenant, ID: "m-1"})
		require.ErrorIs(t, err, sms.ErrNotFound)
	})
	t.Run("unmetered texts touch no account", func(t *testing.T) {
		r := newRig(t)
		_, err := r.Send(ctx, r.invite("m-1"))
		require.NoError(t, err)
		r.deliver(t)
		assert.Len(t, r.gw.Texts(), 1)
	})
	t.Run("what a resolved text takes less goes back", func(t *testing.T) {
		r := newRig(t, resolving(map[string]string{"sender": "甲", "title": "乙", "deadline": "3月31日"}))
		r.grant(t, 5)
		m := sms.Message{Tenant: tenant, ID: "m-1", Kind: sms.Notice, Template: "invite_by", Ref: "env-1/li", Consent: sms.Staff, Account: "hr", Metered: true}
		_, err := r.Send(ctx, m)
		require.NoError(t, err)
		_, held, _ := r.units(t)
		assert.EqualValues(t, 3, held, "as long as the rules allow")
		r.deliver(t)
		free, held, used := r.units(t)
		assert.Equal(t, []quota.Units{4, 0, 1}, []quota.Units{free, held, used})
	})
}

func resolving(vars map[string]string) option {
	return func(r *rig, c *sms.Config) {
		c.Resolve = func(_ context.Context, _ *storage.Tx, m sms.Message) (sms.Resolved, error) {
			if m.Ref == "gone" {
				return sms.Resolved{}, fmt.Errorf("replaced: %w", sms.ErrDropped)
			}
			return sms.Resolved{To: r.to, Vars: vars}, nil
		}
	}
}

func TestResolve(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, resolving(map[string]string{"title": "保密协议"}))
	r.grant(t, 5)
	m := sms.Message{Tenant: tenant, ID: "m-1", Kind: sms.Notice, Template: "ended", Ref: "gone", Consent: sms.Staff, Account: "hr", Metered: true}
	ref, err := r.Send(ctx, m)
	require.NoError(t, err)
	r.deliver(t)
	st, err := r.Status(ctx, ref)
	require.NoError(t, err)
	assert.Equal(t, sms.StateDropped, st.State)
	assert.Equal(t, "resolved", st.Reason)
	assert.Empty(t, r.gw.Calls())
	free, held, _ := r.units(t)
	assert.Equal(t, []quota.Units{5, 0}, []quota.Units{free, held})
	require.Len(t, r.seen(t, sms.EventDropped), 1)

	t.Run("the address is the one of the moment", func(t *testing.T) {
		m.ID, m.Ref = "m-2", "env-1"
		_, err := r.Send(ctx, m)
		require.NoError(t, err)
		r.to = r.put(t, "li", "13900001111") // corrected after queueing
		r.deliver(t)
		_, ok := r.gw.Last(phone)
		assert.False(t, ok)
		_, ok = r.gw.Last("13900001111")
		assert.True(t, ok)
	})
	t.Run("an erased person gets nothing", func(t *testing.T) {
		m.ID = "m-3"
		ref, err := r.Send(ctx, m)
		require.NoError(t, err)
		_, err = r.vault.EraseSubject(ctx, privacy.Subject{Tenant: tenant, ID: "li"})
		require.NoError(t, err)
		r.deliver(t)
		st, err := r.Status(ctx, ref)
		require.NoError(t, err)
		assert.Equal(t, "erased", st.Reason)
	})
}

func TestConsent(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	p, err := privacy.NewPhone(phone)
	require.NoError(t, err)
	m := r.invite("m-1")
	m.Consent = ""
	_, err = r.Send(ctx, m)
	require.ErrorIs(t, err, sms.ErrNoConsent)

	t.Run("S10 prior consent on record", func(t *testing.T) {
		require.NoError(t, r.Grant(ctx, sms.Consent{Tenant: tenant, To: p, Kind: sms.Notice, Basis: sms.Customer, Source: "form-7"}))
		_, err = r.Send(ctx, m)
		require.NoError(t, err)
	})
	t.Run("S10 withdrawn after queueing: dropped", func(t *testing.T) {
		require.NoError(t, r.Withdraw(ctx, tenant, p, sms.Notice))
		r.deliver(t)
		st, err := r.Status(ctx, sms.Ref{Tenant: tenant, ID: "m-1"})
		require.NoError(t, err)
		assert.Equal(t, sms.StateDropped, st.State)
		assert.Equal(t, "consent", st.Reason)
	})
	t.Run("S22 after a complaint only codes", func(t *testing.T) {
		require.NoError(t, r.Complain(ctx, tenant, p))
		_, err := r.Send(ctx, r.invite("m-2"))
		require.ErrorIs(t, err, sms.ErrNoConsent)
		_, err = r.Challenge(ctx, r.ask("c-1"))
		require.NoError(t, err)
	})
}

func TestMarketing(t *testing.T) {
	ctx := context.Background()
	with := func(_ *rig, c *sms.Config) {
		promo := c.Catalogue.Templates[5]
		promo.Name, promo.Kind, promo.Body = "promo", sms.Marketing, "《${title}》上新，回T退订"
		c.Catalogue.Templates = append(c.Catalogue.Templates, promo)
		c.Catalogue.Signatures[0].Kinds = append(c.Catalogue.Signatures[0].Kinds, sms.Marketing)
	}
	deferring := func(_ *rig, c *sms.Config) { c.Policy.QuietDefers = true }
	r := newRig(t, with, deferring)
	p, err := privacy.NewPhone(phone)
	require.NoError(t, err)
	promo := func(id, title string) sms.Message {
		return sms.Message{Tenant: tenant, ID: id, Kind: sms.Marketing, Template: "promo", To: r.to, Consent: sms.OptIn, Vars: map[string]string{"title": title}}
	}
	_, err = r.Send(ctx, promo("p-0", "一"))
	require.ErrorIs(t, err, sms.ErrNoConsent, "S15: a declaration is not an opt-in")
	require.NoError(t, r.Grant(ctx, sms.Consent{Tenant: tenant, To: p, Kind: sms.Marketing, Basis: sms.OptIn}))
	_, err = r.Send(ctx, promo("p-1", "一"))
	require.NoError(t, err)
	r.deliver(t)
	require.Len(t, r.gw.Texts(), 1)

	t.Run("S15 quiet hours wait until 08:00", func(t *testing.T) {
		r.clock.add(10 * time.Hour) // 20:00
		_, err := r.Send(ctx, promo("p-2", "二"))
		require.NoError(t, err)
		r.deliver(t)
		assert.Len(t, r.gw.Texts(), 1)
		r.clock.add(12 * time.Hour)
		r.deliver(t)
		assert.Len(t, r.gw.Texts(), 2)
	})
	t.Run("S15 a reply ends it at once, until the person opts in again", func(t *testing.T) {
		num, err := sms.NewNumber(phone)
		require.NoError(t, err)
		require.NoError(t, r.Receipts(ctx, "memory", []sms.Receipt{{Key: r.gw.Calls()[0], To: num, Reply: "ｔｄ"}}))
		_, err = r.Send(ctx, promo("p-3", "三"))
		require.ErrorIs(t, err, sms.ErrNoConsent)
		require.NoError(t, r.Grant(ctx, sms.Consent{Tenant: tenant, To: p, Kind: sms.Marketing, Basis: sms.OptIn}))
		_, err = r.Send(ctx, promo("p-3", "三"))
		require.NoError(t, err)
	})
}

func TestTemplateValidate(t *testing.T) {
	good := sms.Template{Name: "n", Version: 1, Kind: sms.Notice, Body: "a ${x}", Vars: map[string]sms.Rule{"x": sms.RuleName}, State: sms.Draft}
	require.NoError(t, good.Validate())
	for name, edit := range map[string]func(*sms.Template){
		"no name":                    func(t *sms.Template) { t.Name = "" },
		"no version":                 func(t *sms.Template) { t.Version = 0 },
		"unknown kind":               func(t *sms.Template) { t.Kind = "fax" },
		"brackets":                   func(t *sms.Template) { t.Body = "【x】${x}" },
		"control character":          func(t *sms.Template) { t.Body = "\x00${x}" },
		"nothing but a variable":     func(t *sms.Template) { t.Body = " ${x} " },
		"malformed variable":         func(t *sms.Template) { t.Body = "a ${x} ${Y}" },
		"undeclared variable":        func(t *sms.Template) { t.Body = "a ${x} ${y}" },
		"unused variable":            func(t *sms.Template) { t.Body = "a" },
		"unknown rule":               func(t *sms.Template) { t.Vars = map[string]sms.Rule{"x": "any"} },
		"unknown state":              func(t *sms.Template) { t.State = "fine" },
		"S20 approved by the author": func(t *sms.Template) { t.State, t.Author, t.Reviewer = sms.Approved, "a", "a" },
		"S15 no opt-out wording":     func(t *sms.Template) { t.Kind = sms.Marketing },
	} {
		bad := good
		edit(&bad)
		require.ErrorIs(t, bad.Validate(), sms.ErrTemplate, name)
	}
}

func TestFitTitle(t *testing.T) {
	for in, want := range map[string]string{
		"保密协议": "保密协议", "【重要】协议": "〔重要〕协议", " a\tb\u202ec ": "a b c",
		"关于北方仓储管理软件开发与实施的专项技术服务合同之补充协议": "关于北方仓储管理软件开发…合同之补充协议",
	} {
		got := sms.FitTitle(in)
		assert.Equal(t, want, got)
		assert.LessOrEqual(t, len([]rune(got)), 20)
	}
}

func TestNoticeLimits(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	send := func(id string) error { _, err := r.Send(ctx, r.invite(id)); return err }
	require.NoError(t, send("m-1"))
	err := send("m-2")
	require.ErrorIs(t, err, sms.ErrLimited, "S18: the same text within 30 s")
	var limit *sms.LimitError
	require.ErrorAs(t, err, &limit)
	assert.Equal(t, sms.LimitError{Scope: "same", Next: r.clock.Now().Add(30 * time.Second)}, *limit)
	for i := range 49 {
		r.clock.add(30 * time.Second)
		require.NoError(t, send(fmt.Sprint("n-", i)))
	}
	r.clock.add(30 * time.Second)
	require.ErrorIs(t, send("last"), sms.ErrLimited, "S18: 50 in 24 h")
}

type judge func(text string) (sms.Ruling, error)

func (j judge) Judge(_ context.Context, c sms.Content) (sms.Ruling, error) { return j(string(c.Text)) }

func TestContentPolicy(t *testing.T) {
	ctx := context.Background()
	var fail error
	with := func(_ *rig, c *sms.Config) {
		c.Content = judge(func(text string) (sms.Ruling, error) {
			if strings.Contains(text, "赌") {
				return sms.Ruling{Verdict: sms.Refuse, Rule: "gambling"}, nil
			}
			return sms.Ruling{Verdict: sms.Allow, Rule: "none"}, fail
		})
	}
	r := newRig(t, with)
	m := r.invite("m-1")
	m.Vars["title"] = "赌场协议"
	ref, err := r.Send(ctx, m)
	require.NoError(t, err)
	r.deliver(t)
	st, err := r.Status(ctx, ref)
	require.NoError(t, err)
	assert.Equal(t, sms.StateDropped, st.State, "S14: the rendered text is judged")
	assert.Equal(t, "content", st.Reason)
	assert.Contains(t, dump(t, r.store), "gambling", "S16: the rule is kept")
	assert.NotContains(t, dump(t, r.store), "赌", "S16: the text is not")

	fail = errors.New("down")
	ref, err = r.Send(ctx, r.invite("m-2"))
	require.NoError(t, err)
	_, err = r.Deliver(ctx)
	require.Error(t, err)
	assert.Equal(t, sms.StateQueued, r.state(t, ref), "held back, asked again later")
	fail = nil
	r.clock.add(time.Minute)
	r.deliver(t)
	assert.Equal(t, sms.StateAccepted, r.state(t, ref))
}

func TestReceive(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	ref, err := r.Send(ctx, r.invite("m-1"))
	require.NoError(t, err)
	r.deliver(t)
	post := func(gateway, body string) int {
		w := httptest.NewRecorder()
		r.Receive(gateway).ServeHTTP(w, httptest.NewRequest("POST", "/x", strings.NewReader(body)))
		return w.Code
	}
	delivery := func() sms.Delivery {
		st, err := r.Status(ctx, ref)
		require.NoError(t, err)
		return st.Delivery
	}
	assert.Equal(t, 404, post("nobody", "[]"))
	assert.Equal(t, 400, post("memory", "{"))
	assert.Equal(t, 400, post("memory", "["+strings.Repeat(" ", 1<<20)+"]"), "body cap")
	assert.Equal(t, 400, post("memory", "["+strings.Repeat(`{"to":"13812345678"},`, 1000)+`{"to":"13812345678"}]`), "item cap")
	assert.Equal(t, 200, post("memory", `[{"key":"nope","to":"13812345678","delivered":true}]`))
	assert.Equal(t, sms.DeliveryOpen, delivery())
	assert.Equal(t, 200, post("memory", `[{"id":"memory-1","to":"13900000000","delivered":true}]`))
	assert.Equal(t, sms.DeliveryOpen, delivery(), "another number")
	assert.Equal(t, 200, post("memory", `[{"id":"memory-1","to":"13812345678","delivered":true}]`))
	assert.Equal(t, sms.DeliveryDelivered, delivery(), "S09")
	assert.Equal(t, 200, post("memory", `[{"id":"memory-1","to":"13812345678","delivered":false}]`))
	assert.Equal(t, sms.DeliveryDelivered, delivery(), "monotonic")
	require.Len(t, r.seen(t, sms.EventDelivered), 1)
}

// TestLongText: a text of eight messages is as good as any.
func TestLongText(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, func(_ *rig, c *sms.Config) {
		long := c.Catalogue.Templates[5]
		long.Name, long.Body = "long", "《${title}》"+strings.Repeat("字", 480)
		tooLong := long
		tooLong.Name, tooLong.Body = "too long", long.Body+strings.Repeat("字", 20)
		c.Catalogue.Templates = append(c.Catalogue.Templates, long, tooLong)
	})
	m := r.invite("m-1")
	m.Template, m.Vars = "long", sms.Values{"title": "保密协议"}
	ref, err := r.Send(ctx, m)
	require.NoError(t, err)
	r.deliver(t)
	st, err := r.Status(ctx, ref)
	require.NoError(t, err)
	assert.Equal(t, 8, st.Counted)
	m.ID, m.Template = "m-2", "too long"
	_, err = r.Send(ctx, m)
	require.ErrorIs(t, err, sms.ErrTooLong)
}

func TestBudget(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, func(_ *rig, c *sms.Config) { c.Limits.Budget, c.Limits.Same = 3, []sms.Window{} })
	for i := range 3 {
		_, err := r.Send(ctx, r.invite(fmt.Sprint("m-", i)))
		require.NoError(t, err)
	}
	_, err := r.Send(ctx, r.invite("m-3"))
	var limit *sms.LimitError
	require.ErrorAs(t, err, &limit, "S18 a hard budget")
	assert.Equal(t, sms.LimitError{Scope: "budget", Next: time.Date(2026, 3, 2, 16, 0, 0, 0, time.UTC)}, *limit)
	require.EqualError(t, limit, "sms: limited: budget: until 2026-03-02T16:00:00Z")
	_, err = r.Challenge(ctx, r.ask("c-1"))
	require.ErrorIs(t, err, sms.ErrLimited)
	r.clock.add(14 * time.Hour) // midnight in Shanghai
	_, err = r.Send(ctx, r.invite("m-3"))
	require.NoError(t, err)
}
