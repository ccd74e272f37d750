package esign_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms"
)

// sendRealName sends a real-name envelope to li.
func (o *office) sendRealName(svc *esign.Service, id string) esign.Envelope {
	o.t.Helper()
	d := o.draft(svc, id, o.invitee("li", 1, esign.ChannelApp))
	d.Kind = esign.RealName
	_, err := svc.Create(o.t.Context(), actor("hr"), d)
	require.NoError(o.t, err)
	env, err := svc.Send(o.t.Context(), actor("hr"), esign.Send{ID: "send-" + id, Envelope: id})
	require.NoError(o.t, err)
	return env
}

// viewCode goes through a code to view by.
func (o *office) viewCode(svc *esign.Service, id string) esign.Intent {
	o.t.Helper()
	ctx := o.t.Context()
	ask, err := svc.Challenge(ctx, actor("li"), esign.Challenge{ID: "view-" + id, Envelopes: []string{id}, Purpose: esign.CodeToView})
	require.NoError(o.t, err)
	_, err = svc.Deliver(ctx)
	require.NoError(o.t, err)
	text, ok := o.inbox.Last(phones["li"])
	require.True(o.t, ok)
	proof, err := svc.CheckCode(ctx, actor("li"), esign.Code{Challenge: ask.ID, Code: string(text.Code())})
	require.NoError(o.t, err)
	return proof
}

// TestRealName_H42_H46_T11_T14_T17: a real-name envelope from draft to bundle: a
// code to view, a check by the carrier, a certificate in the confirmed name, a
// bound code to sign, two units.
func TestRealName_H42_H46_T11_T14_T17_WholeLife(t *testing.T) {
	o := newOffice(t)
	o.issues = true
	svc := o.service()
	ctx := t.Context()
	o.buy(svc, "hr")
	o.ready(svc, 2)
	o.sendRealName(svc, "e1")
	assert.Equal(t, quota.Units(2), o.lots(svc, "hr").Held, "H46: two units a signer")

	var level *esign.LevelError
	_, err := svc.Open(ctx, actor("li"), esign.View{ID: "early", Envelope: "e1"})
	require.ErrorAs(t, err, &level)
	assert.Equal(t, esign.LevelError{Have: "I0", Need: "I1",
		Methods: []identity.MethodID{identity.PhoneCode, identity.IDMatch, identity.Carrier}}, *level)

	view := o.viewCode(svc, "e1")
	_, err = svc.Sign(ctx, actor("li"), esign.Sign{ID: "wrong", Envelope: "e1", Intent: view})
	require.ErrorIs(t, err, esign.ErrNotReady, "a code to view signs nothing")
	seen, err := svc.Open(ctx, actor("li"), esign.View{ID: "open", Envelope: "e1", Proof: view})
	require.NoError(t, err)
	assert.Equal(t, []string{"identity", "intent"}, seen.Missing)
	again, err := svc.Open(ctx, actor("li"), esign.View{ID: "open", Envelope: "e1", Proof: view})
	require.NoError(t, err)
	assert.Equal(t, seen, again)
	_, err = svc.Open(ctx, actor("li"), esign.View{ID: "reuse", Envelope: "e1", Proof: view})
	require.ErrorIs(t, err, sms.ErrProof, "used once")

	// H42: below the level the answer is what would help, and costs nothing.
	texts := len(o.inbox.Texts())
	for name, try := range map[string]func() error{
		"challenge": func() error {
			_, err := svc.Challenge(ctx, actor("li"), esign.Challenge{ID: "vain", Envelopes: []string{"e1"}})
			return err
		},
		"sign": func() error {
			_, err := svc.Sign(ctx, actor("li"), esign.Sign{ID: "below", Envelope: "e1"})
			return err
		},
	} {
		err := try()
		var missing *esign.NotReadyError
		require.ErrorAs(t, err, &missing, name)
		assert.Equal(t, []string{"identity"}, missing.Missing, name)
		require.ErrorAs(t, err, &level, name)
		assert.Equal(t, esign.LevelError{Have: "I1", Need: "I3", Methods: []identity.MethodID{identity.Carrier}}, *level, name)
	}
	assert.Len(t, o.inbox.Texts(), texts, "no code is sent in vain")
	assert.Equal(t, []quota.Units{2, 0, 0}, o.personUnits(svc))

	flow, err := svc.StartCheck(ctx, actor("li"), o.check("chk", liName, identity.Carrier))
	require.NoError(t, err)
	require.NotNil(t, flow.Result)
	assert.Equal(t, identity.Match, flow.Result.Outcome)
	assert.Equal(t, []quota.Units{1, 0, 1}, o.personUnits(svc), "H40: one unit a check")

	o.pass(5 * time.Minute)
	done, err := o.sign(svc, "e1", "li")
	require.NoError(t, err)
	assert.Equal(t, esign.StateCompleted, done.Envelope.State)
	assert.Equal(t, quota.Units(2), o.lots(svc, "hr").Used)
	pdf, bundle := o.verified(svc, "e1", 1)
	rep := o.judge(ctx, pdf)
	assert.Contains(t, rep.Signatures[0].Signer, liName, "T11: in the confirmed name")
	assert.NotContains(t, string(bundle), liNumber)

	var auth []evidence.Auth
	for e, err := range svc.Evidence().Events(ctx, tenant, "e1", 0) {
		require.NoError(t, err)
		if e.Type == "recipient.signed" {
			auth = e.Auth
		}
	}
	var ways []string
	for _, a := range auth {
		ways = append(ways, a.Level+" "+a.Method)
	}
	assert.Equal(t, []string{"I1 phone.code", "W2 phone.code", "I3 carrier.3"}, ways, "T14: two axes")
	assert.Equal(t, []string{"identity.started", "identity.checked"}, o.trail(svc, "identity/person/li"))

	// The next one needs neither the code to view nor a check.
	o.pass(5 * time.Minute)
	o.sendRealName(svc, "e2")
	_, err = o.sign(svc, "e2", "li")
	require.NoError(t, err)
}

// TestCertificate_T11_NoneWithoutMatch: without a match under this very name nothing is issued,
// and an envelope that needs no real name cannot be signed without a KeySource.
func TestCertificate_T11_NoneWithoutMatch(t *testing.T) {
	o := newOffice(t)
	o.issues = true
	o.people.Know("李晓明", liNumber)
	svc := o.service()
	o.buy(svc, "hr")
	o.ready(svc, 2)
	o.send(svc, "e1", o.invitee("li", 1, esign.ChannelApp))
	_, err := o.sign(svc, "e1", "li")
	require.ErrorIs(t, err, identity.ErrNotVerified)

	flow, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", "李晓明", identity.Carrier))
	require.NoError(t, err)
	require.Equal(t, identity.Match, flow.Result.Outcome)
	o.pass(5 * time.Minute)
	o.send(svc, "e2", o.invitee("li", 1, esign.ChannelApp))
	_, err = o.sign(svc, "e2", "li")
	require.ErrorIs(t, err, identity.ErrNotVerified, "confirmed under another name")
	require.ErrorIs(t, errNoKeys(o), esign.ErrConfig)
}

func errNoKeys(o *office) error {
	c := o.config(o.store, o.blobs)
	c.Keys = nil
	_, err := esign.New(c)
	return err
}

// TestRepresentative_H46: whoever signs for an organisation needs both.
func TestRepresentative_H46_OrgAndPerson(t *testing.T) {
	o := newOffice(t)
	svc := o.service()
	ctx := t.Context()
	o.buy(svc, "hr")
	o.ready(svc, 5)
	who := o.invitee("li", 1, esign.ChannelApp)
	who.Role, who.Party.Org = esign.RoleRepresentative, "shop"
	d := o.draft(svc, "e1", who)
	d.Kind = esign.RealName
	_, err := svc.Create(ctx, actor("hr"), d)
	require.NoError(t, err)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(2), o.lots(svc, "hr").Held)
	_, err = svc.StartCheck(ctx, actor("li"), o.check("chk", liName, identity.Carrier))
	require.NoError(t, err)
	_, err = o.sign(svc, "e1", "li")
	var level *esign.LevelError
	require.ErrorAs(t, err, &level)
	assert.Equal(t, []string{"I0", "I3"}, []string{level.Have, level.Need})
	assert.Contains(t, level.Methods, identity.OrgFactors)

	o.agree(svc, tenant, "shop", "companies")
	o.grant(svc, tenant, "li", quota.UnitOrgCheck, 1)
	a := actor("li")
	a.Org = "shop"
	name, err := privacy.NewName("某某商店")
	require.NoError(t, err)
	_, err = svc.StartCheck(ctx, a, esign.Check{ID: "shop", Claim: identity.Claim{Kind: identity.Organisation, Method: identity.OrgFactors,
		Name: name, CreditCode: "91350100M000100Y43", Representative: contact(t, liName, phones["li"]).Name}})
	require.NoError(t, err)
	proof, err := o.intent(svc, "e1", "li")
	require.NoError(t, err)
	done, err := svc.Sign(ctx, actor("li"), esign.Sign{ID: "sign", Envelope: "e1", Intent: proof})
	require.NoError(t, err)
	assert.Equal(t, esign.StateCompleted, done.Envelope.State)
}

// TestView_H42: whatever write of an opening by code fails, repeated under its id
// it opened once and spent one proof.
func TestView_H42_ProofSpentOnceAtEveryWrite(t *testing.T) {
	interrupted{before: func(w *site, svc *esign.Service) func(*esign.Service) error {
		o := &office{site: w}
		o.sendRealName(svc, "e1")
		proof := o.viewCode(svc, "e1")
		return func(svc *esign.Service) error {
			_, err := svc.Open(w.t.Context(), actor("li"), esign.View{ID: "open", Envelope: "e1", Proof: proof})
			return err
		}
	}, after: func(t *testing.T, w *site, svc *esign.Service) {
		assert.Equal(t, 1, w.count(svc, "e1", "recipient.viewed"))
		assert.Equal(t, 1, w.count(svc, "e1", "code.consumed"))
		assert.Equal(t, quota.Units(2), w.lots(svc, "hr").Held)
	}}.everywhere(t)
}

// TestIdentity_H42: a match holds 365 days; at that very instant the row
// lapses (R13), and it needs another check.
func TestIdentity_H42_ExpiredResultLapses(t *testing.T) {
	o := newOffice(t)
	svc := o.service()
	ctx := t.Context()
	o.buy(svc, "hr")
	o.ready(svc, 2)
	at := o.clock()
	_, err := svc.StartCheck(ctx, actor("li"), o.check("chk", liName, identity.Carrier))
	require.NoError(t, err)
	o.pass(identity.DefaultFreshness - 10*time.Minute)
	o.sendRealName(svc, "e1")
	_, err = svc.Open(ctx, actor("li"), esign.View{ID: "open", Envelope: "e1"})
	require.NoError(t, err)
	env, err := svc.Get(ctx, actor("hr"), "e1")
	require.NoError(t, err)
	row, _ := env.Recipient("li")
	assert.Equal(t, esign.RecipientReady, row.State)
	assert.Equal(t, at.Add(identity.DefaultFreshness), row.Facts.Until)
	o.pass(time.Hour)
	late, err := svc.Get(ctx, actor("hr"), "e1")
	require.NoError(t, err)
	row, _ = late.Recipient("li")
	assert.Equal(t, esign.RecipientViewed, row.State, "nobody has swept yet")
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	assert.Equal(t, 1, o.count(svc, "e1", "recipient.lapsed"))
	var level *esign.LevelError
	_, err = svc.Challenge(ctx, actor("li"), esign.Challenge{ID: "ask", Envelopes: []string{"e1"}})
	require.ErrorAs(t, err, &level)
	assert.Equal(t, "I3", level.Need)
	assert.Equal(t, quota.Units(2), o.lots(svc, "hr").Held, "uncharged")

	_, err = svc.StartCheck(ctx, actor("li"), o.check("chk-2", liName, identity.Carrier))
	require.NoError(t, err)
	_, err = o.sign(svc, "e1", "li")
	require.NoError(t, err)
}

// TestRealName_H42_H46_D15: a lot that is limited to one kind of real-name send
// pays for no other.
func TestRealName_H42_H46_D15_Scope(t *testing.T) {
	o := newOffice(t)
	svc := o.service()
	ctx := t.Context()
	o.enrol(svc, tenant, "hr")
	lot := func(id string, kind quota.ChargeKind) {
		_, err := svc.Quota().Grant(ctx, quota.GrantRequest{Tenant: tenant, ID: quota.LotID(id), Account: "hr", Unit: quota.UnitSign, Units: 2,
			Scope: []quota.ChargeKind{kind}, From: o.clock(), Term: quota.Term{Years: 1}})
		require.NoError(t, err)
	}
	lot("orgs", quota.KindRealNameOrg)
	d := o.draft(svc, "e1", o.invitee("li", 1, esign.ChannelApp))
	d.Kind = esign.RealName
	_, err := svc.Create(ctx, actor("hr"), d)
	require.NoError(t, err)
	var short *quota.InsufficientError
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.ErrorAs(t, err, &short)
	assert.Equal(t, quota.KindRealNamePerson, short.Shortfalls[0].Kind)
	assert.Equal(t, quota.Units(2), short.Shortfalls[0].Need)
	lot("people", quota.KindRealNamePerson)
	_, err = svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
}
