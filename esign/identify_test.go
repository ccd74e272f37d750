package esign_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/identity/identitytest"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

const (
	liName   = "李小明"
	liNumber = "11010519491231002X"
)

// An office is a site with a register of people and one of companies.
type office struct {
	*site
	people    *identitytest.Registry
	companies *companies
	issues    bool // certificates come from the authority; there is no KeySource
}

// companies knows every company.
type companies struct{ asked atomic.Int32 }

func (c *companies) Name() string { return "companies" }

func (c *companies) Methods() (out []identity.Method) {
	for _, m := range identity.Methods() {
		if m.ID == identity.OrgMatch || m.ID == identity.OrgFactors {
			out = append(out, m)
		}
	}
	return out
}

func (c *companies) Start(context.Context, identity.Claim) (identity.Flow, error) {
	c.asked.Add(1)
	return identity.Flow{TxID: "c-1", Result: &identity.Result{Outcome: identity.Match}}, nil
}

func (c *companies) Complete(context.Context, identity.Flow, identity.Response) (identity.Result, error) {
	return identity.Result{Outcome: identity.Unavailable}, nil
}

func newOffice(t testing.TB) *office {
	o := &office{site: newSite(t), people: &identitytest.Registry{}, companies: &companies{}}
	o.people.Know(liName, liNumber)
	return o
}

func (o *office) over(s storage.Store) *esign.Service {
	c := o.config(s, o.blobs)
	c.Identity.Verifiers = []identity.Verifier{o.people, o.companies}
	if o.issues {
		c.Keys, c.Identity.CA = nil, o.ca
	}
	svc, err := esign.New(c)
	require.NoError(o.t, err)
	return svc
}

func (o *office) service() *esign.Service { return o.over(o.store) }

// enrol publishes the agreement and lets an account accept it.
func (o *office) enrol(svc *esign.Service, in, who string) {
	o.t.Helper()
	ctx := o.t.Context()
	_, err := svc.Terms().Publish(ctx, privacy.Document{Tenant: in, ID: "membership", Version: "2026-01",
		Digest: fmt.Sprintf("%064x", 1), Weakest: privacy.ActTick, At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.NoError(o.t, err)
	_, err = svc.Terms().Accept(ctx, privacy.Acceptance{Tenant: in, Account: who, Document: "membership", Act: privacy.ActTick, At: o.clock()})
	require.NoError(o.t, err)
}

// grant gives an account one lot of checks.
func (o *office) grant(svc *esign.Service, in, who string, unit quota.Unit, n quota.Units) {
	o.t.Helper()
	_, err := svc.Quota().Grant(o.t.Context(), quota.GrantRequest{Tenant: in, ID: quota.LotID(who + "-" + string(unit)),
		Account: quota.AccountID(who), Unit: unit, Units: n, From: o.clock(), Term: quota.Term{Years: 3}})
	require.NoError(o.t, err)
}

// agree records a subject's consent to be looked up at a source.
func (o *office) agree(svc *esign.Service, in, who, source string) {
	o.t.Helper()
	require.NoError(o.t, storage.Update(o.t.Context(), o.store, func(tx *storage.Tx) error {
		return svc.Privacy().ConsentTx(o.t.Context(), tx, privacy.Subject{Tenant: in, ID: who}, privacy.Consent{ID: "c-" + source,
			Purposes: []privacy.Purpose{privacy.PurposeIdentity}, Scope: source, Notice: "identity", Version: "1",
			Digest: fmt.Sprintf("%064x", 2), Act: privacy.ActConfirm, Channel: "app"})
	}))
}

// ready is li with everything a check needs, and n units.
func (o *office) ready(svc *esign.Service, n quota.Units) {
	o.enrol(svc, tenant, "li")
	o.agree(svc, tenant, "li", "registry")
	if n > 0 {
		o.grant(svc, tenant, "li", quota.UnitPersonCheck, n)
	}
}

func (o *office) check(id, name string, m identity.MethodID) esign.Check {
	o.t.Helper()
	c := contact(o.t, name, phones["li"])
	number, err := privacy.NewIDNumber(liNumber)
	require.NoError(o.t, err)
	return esign.Check{ID: id, Claim: identity.Claim{Method: m, Name: c.Name, Number: number, Phone: c.Phone}}
}

func (o *office) units(svc *esign.Service, in, who string, unit quota.Unit) []quota.Units {
	o.t.Helper()
	lots, err := svc.Quota().Lots(o.t.Context(), quota.BalanceRequest{Tenant: in, Account: quota.AccountID(who)})
	require.NoError(o.t, err)
	sum := make([]quota.Units, 3)
	for _, l := range lots {
		if l.Unit == unit {
			require.Equal(o.t, l.Granted, l.Available()+l.Held+l.Used+l.Expired+l.Clawed)
			sum[0], sum[1], sum[2] = sum[0]+l.Available(), sum[1]+l.Held, sum[2]+l.Used
		}
	}
	return sum
}

func (o *office) personUnits(svc *esign.Service) []quota.Units {
	return o.units(svc, tenant, "li", quota.UnitPersonCheck)
}

func (o *office) trail(svc *esign.Service, env string) (out []string) {
	o.t.Helper()
	for e, err := range svc.Evidence().Events(o.t.Context(), tenant, env, 0) {
		require.NoError(o.t, err)
		out = append(out, e.Type)
	}
	return out
}

// TestCheck_H40: a person's check is refused typed before anybody is asked,
// whatever it lacks.
func TestCheck_H40_T42_T50_H01_RefusedBeforeTheProvider(t *testing.T) {
	o := newOffice(t)
	svc := o.service()
	ctx := t.Context()
	c := o.check("chk", liName, identity.IDMatch)
	start := func() error {
		_, err := svc.StartCheck(ctx, actor("li"), c)
		return err
	}
	require.ErrorIs(t, start(), identity.ErrConsent, "T42, T50")
	o.agree(svc, tenant, "li", "registry")
	require.ErrorIs(t, start(), esign.ErrTermsNotAccepted, "H01")
	o.enrol(svc, tenant, "li")
	var short *quota.InsufficientError
	require.ErrorAs(t, start(), &short, "H40")
	assert.Equal(t, quota.UnitPersonCheck, short.Shortfalls[0].Unit)
	o.grant(svc, tenant, "li", quota.UnitSign, 10)
	o.grant(svc, tenant, "li", quota.UnitOrgCheck, 10)
	require.ErrorIs(t, start(), quota.ErrInsufficient, "D15: no other package pays")
	o.grant(svc, tenant, "wang", quota.UnitPersonCheck, 10)
	require.ErrorIs(t, start(), quota.ErrInsufficient, "H44: nor anybody else's")
	assert.Zero(t, o.people.Asked())
	assert.Empty(t, o.trail(svc, "identity/person/li"), "what was refused left nothing")

	// Five refusals burnt no attempt.
	o.grant(svc, tenant, "li", quota.UnitPersonCheck, 1)
	require.NoError(t, start())
	assert.Equal(t, 1, o.people.Asked())

	bad := o.check("own-key", liName, identity.IDMatch)
	bad.Claim.Key = "k"
	_, err := svc.StartCheck(ctx, actor("li"), bad)
	require.ErrorIs(t, err, esign.ErrField)
	bad.Claim.Key, bad.Claim.Kind = "", identity.Organisation
	_, err = svc.StartCheck(ctx, actor("li"), bad)
	require.ErrorIs(t, err, esign.ErrForbidden, "li acts for no organisation")
}

// TestCheck_H50: units of a lot that ended pay for no check.
func TestCheck_H40_H50_ExpiredLot(t *testing.T) {
	o := newOffice(t)
	svc := o.service()
	o.ready(svc, 1)
	o.pass(3 * 366 * 24 * time.Hour)
	_, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.IDMatch))
	require.ErrorIs(t, err, quota.ErrInsufficient)
	assert.Zero(t, o.people.Asked())
}

// TestCheck_H41: an organisation's check takes a unit of the member that acts.
func TestCheck_H41_MemberPays(t *testing.T) {
	o := newOffice(t)
	svc := o.service()
	ctx := t.Context()
	name, err := privacy.NewName("某某科技有限公司")
	require.NoError(t, err)
	c := esign.Check{ID: "org-chk", Claim: identity.Claim{Kind: identity.Organisation, Method: identity.OrgMatch, Name: name,
		CreditCode: "91350100M000100Y43"}}
	a := actor("li")
	a.Org = "li" // an organisation may be called like an account
	o.enrol(svc, tenant, "li")
	o.agree(svc, tenant, "li", "companies")
	o.grant(svc, tenant, "li", quota.UnitPersonCheck, 5)
	_, err = svc.StartCheck(ctx, a, c)
	require.ErrorIs(t, err, quota.ErrInsufficient, "H41")
	assert.Zero(t, o.companies.asked.Load())
	o.grant(svc, tenant, "li", quota.UnitOrgCheck, 2)
	flow, err := svc.StartCheck(ctx, a, c)
	require.NoError(t, err)
	assert.Equal(t, identity.Match, flow.Result.Outcome)
	assert.Equal(t, []quota.Units{1, 0, 1}, o.units(svc, tenant, "li", quota.UnitOrgCheck))
	assert.Equal(t, []quota.Units{5, 0, 0}, o.personUnits(svc))
	assert.Equal(t, []string{"identity.started", "identity.checked"}, o.trail(svc, "identity/org/li"))

	// It says nothing of the person of that name.
	o.buy(svc, "hr")
	o.sendRealName(svc, "e1")
	_, err = svc.Open(ctx, actor("li"), esign.View{ID: "o", Envelope: "e1"})
	require.ErrorIs(t, err, esign.ErrLevel)

	stranger := actor("wang")
	stranger.Org = "another"
	_, err = svc.CompleteCheck(ctx, stranger, esign.CheckResponse{ID: "org-chk"})
	require.ErrorIs(t, err, esign.ErrNotFound)
}

// TestCheck_Outcomes: what each answer costs and counts.
func TestCheck_H40_T17_Outcomes(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault identitytest.Fault
		claim string
		want  identity.Outcome
		units []quota.Units // free, held, used
		trail []string
	}{
		{"match", identitytest.OK, liName, identity.Match, []quota.Units{2, 0, 1}, []string{"identity.started", "identity.checked"}},
		{"mismatch", identitytest.OK, "王天津", identity.NoMatch, []quota.Units{2, 0, 1}, []string{"identity.started", "identity.checked"}},
		{"unavailable", identitytest.Unavailable, liName, identity.Unavailable, []quota.Units{3, 0, 0}, []string{"identity.started", "identity.failed"}},
		{"failing", identitytest.Failing, liName, identity.Unavailable, []quota.Units{3, 0, 0}, []string{"identity.started", "identity.failed"}},
		{"overclaiming", identitytest.Overclaim, liName, identity.Unavailable, []quota.Units{3, 0, 0}, []string{"identity.started", "identity.failed"}},
		{"pending", identitytest.Pending, liName, identity.Pending, []quota.Units{2, 1, 0}, []string{"identity.started"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOffice(t)
			svc := o.service()
			o.ready(svc, 3)
			o.people.Script(c.fault)
			first, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", c.claim, identity.IDMatch))
			require.NoError(t, err)
			assert.Equal(t, c.want, first.Result.Outcome)
			o.pass(time.Minute)
			again, err := o.service().StartCheck(t.Context(), actor("li"), o.check("chk", c.claim, identity.IDMatch))
			require.NoError(t, err)
			assert.Equal(t, first, again, "the same id, the same answer")
			assert.Equal(t, c.units, o.personUnits(svc))
			assert.Equal(t, 1, o.people.Asked())
			assert.Equal(t, c.trail, o.trail(svc, "identity/person/li"))
			if c.want != identity.Pending {
				res, err := svc.CompleteCheck(t.Context(), actor("li"), esign.CheckResponse{ID: "chk"})
				require.NoError(t, err)
				assert.Equal(t, *first.Result, res)
			}
			_, err = svc.StartCheck(t.Context(), actor("li"), o.check("chk", "赵六", identity.IDMatch))
			require.ErrorIs(t, err, esign.ErrIntentMismatch)
		})
	}
}

// TestCheck_Pending: Run asks again about a pending check; after 72 hours it is
// Unavailable and the unit is back, whether or not anybody looked before.
func TestCheck_H40_PendingHeldAtMost72Hours(t *testing.T) {
	for _, c := range []struct {
		name   string
		script []identitytest.Fault
		after  time.Duration
		run    bool
		want   identity.Outcome
		units  []quota.Units
	}{
		{"answered when Run asks", []identitytest.Fault{identitytest.Pending}, 10 * time.Minute, true, identity.Match, []quota.Units{2, 0, 1}},
		{"still pending", []identitytest.Fault{identitytest.Pending, identitytest.Pending, identitytest.Pending}, 72*time.Hour - time.Second, true, identity.Pending, []quota.Units{2, 1, 0}},
		{"time up, swept", []identitytest.Fault{identitytest.Pending}, 72 * time.Hour, true, identity.Unavailable, []quota.Units{3, 0, 0}},
		{"time up, found out by asking", []identitytest.Fault{identitytest.Pending}, 72 * time.Hour, false, identity.Unavailable, []quota.Units{3, 0, 0}},
		{"long over", []identitytest.Fault{identitytest.Pending}, 200 * time.Hour, false, identity.Unavailable, []quota.Units{3, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOffice(t)
			svc := o.service()
			ctx := t.Context()
			o.ready(svc, 3)
			o.people.Script(c.script...)
			_, err := svc.StartCheck(ctx, actor("li"), o.check("chk", liName, identity.IDMatch))
			require.NoError(t, err)
			o.pass(c.after)
			if c.run {
				_, err = svc.Deliver(ctx)
				require.NoError(t, err)
				assert.Equal(t, c.units, o.personUnits(svc))
			}
			res, err := svc.CompleteCheck(ctx, actor("li"), esign.CheckResponse{ID: "chk"})
			require.NoError(t, err)
			assert.Equal(t, c.want, res.Outcome)
			assert.Equal(t, c.units, o.personUnits(svc))
			_, err = svc.CompleteCheck(ctx, actor("wang"), esign.CheckResponse{ID: "chk"})
			require.ErrorIs(t, err, esign.ErrNotFound, "not wang's")
		})
	}
}

// TestCheck_Attempts: three mismatches in a row wait an hour, and the refusal
// costs nothing.
func TestCheck_H40_AttemptsInARow(t *testing.T) {
	o := newOffice(t)
	svc := o.service()
	ctx := t.Context()
	o.ready(svc, 5)
	for i := range 3 {
		_, err := svc.StartCheck(ctx, actor("li"), o.check(fmt.Sprint("no-", i), "王天津", identity.IDMatch))
		require.NoError(t, err)
	}
	var wait *identity.AttemptError
	_, err := svc.StartCheck(ctx, actor("li"), o.check("fourth", liName, identity.IDMatch))
	require.ErrorAs(t, err, &wait)
	assert.Equal(t, []quota.Units{2, 0, 3}, o.personUnits(svc))
	assert.Equal(t, 3, o.people.Asked())
	o.pass(time.Hour)
	flow, err := svc.StartCheck(ctx, actor("li"), o.check("fourth", liName, identity.IDMatch))
	require.NoError(t, err)
	assert.Equal(t, identity.Match, flow.Result.Outcome)
}

// TestCheck_H40_ChargedOnce: whatever write of a check fails or kills the
// process, repeated under its id it is one call and one charge, and the result,
// the unit and the evidence are there together.
func TestCheck_H40_ChargedOnceAtEveryWrite(t *testing.T) {
	stage := func(t *testing.T) *office {
		o := newOffice(t)
		svc := o.service()
		o.ready(svc, 3)
		return o
	}
	o := stage(t)
	store := storagetest.Count(o.store)
	_, err := o.over(store).StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.Carrier))
	require.NoError(t, err)
	require.Greater(t, store.Writes(), 1)
	for n := 1; n <= store.Writes(); n++ {
		for name, fail := range map[string]func(storage.Store, int) *storagetest.Faulty{"before": storagetest.FailBefore,
			"after": storagetest.FailAfter, "killed before": storagetest.CrashBefore, "killed after": storagetest.CrashAfter} {
			t.Run(fmt.Sprintf("write %d %s", n, name), func(t *testing.T) {
				o := stage(t)
				faulty := fail(o.store, n)
				_, _ = o.over(faulty).StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.Carrier))
				require.True(t, faulty.Fired())
				svc := o.service()
				for range 2 {
					flow, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.Carrier))
					require.NoError(t, err)
					assert.Equal(t, identity.Match, flow.Result.Outcome)
				}
				assert.Equal(t, []quota.Units{2, 0, 1}, o.personUnits(svc))
				assert.Equal(t, 1, o.people.Asked())
				assert.Equal(t, []string{"identity.started", "identity.checked"}, o.trail(svc, "identity/person/li"))
			})
		}
	}
}

// TestCheck_H40_CompletedOnce: the same of completing a pending check.
func TestCheck_H40_CompletedOnceAtEveryWrite(t *testing.T) {
	stage := func(t *testing.T) *office {
		o := newOffice(t)
		svc := o.service()
		o.ready(svc, 3)
		o.people.Script(identitytest.Pending)
		_, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.Carrier))
		require.NoError(t, err)
		return o
	}
	complete := func(svc *esign.Service) (identity.Result, error) {
		return svc.CompleteCheck(t.Context(), actor("li"), esign.CheckResponse{ID: "chk"})
	}
	o := stage(t)
	store := storagetest.Count(o.store)
	_, err := complete(o.over(store))
	require.NoError(t, err)
	require.NotZero(t, store.Writes())
	for n := 1; n <= store.Writes(); n++ {
		for name, fail := range map[string]func(storage.Store, int) *storagetest.Faulty{"before": storagetest.FailBefore,
			"after": storagetest.FailAfter, "killed before": storagetest.CrashBefore, "killed after": storagetest.CrashAfter} {
			t.Run(fmt.Sprintf("write %d %s", n, name), func(t *testing.T) {
				o := stage(t)
				faulty := fail(o.store, n)
				_, _ = complete(o.over(faulty))
				require.True(t, faulty.Fired())
				svc := o.service()
				for range 2 {
					res, err := complete(svc)
					require.NoError(t, err)
					assert.Equal(t, identity.Match, res.Outcome)
				}
				assert.Equal(t, []quota.Units{2, 0, 1}, o.personUnits(svc))
				assert.Equal(t, []string{"identity.started", "identity.checked"}, o.trail(svc, "identity/person/li"))
			})
		}
	}
}

// TestCheck_H40_Parallel: one id from many sides is one call and one charge.
func TestCheck_H40_ParallelChargedOnce(t *testing.T) {
	o := newOffice(t)
	svc := o.service()
	o.ready(svc, 3)
	c := o.check("chk", liName, identity.Carrier)
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := svc.StartCheck(context.Background(), actor("li"), c)
			errs <- err
		}()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
	assert.Equal(t, []quota.Units{2, 0, 1}, o.personUnits(svc))
	assert.Equal(t, 1, o.people.Asked())
	assert.Equal(t, []string{"identity.started", "identity.checked"}, o.trail(svc, "identity/person/li"))
}

// TestCheck_NotAsked: a check whose process died before the source was asked is
// nothing to complete; started again, it is asked, once.
func TestCheck_H40_DiedBeforeTheProvider(t *testing.T) {
	for n := 1; n < 20; n++ { // until the write that holds the unit
		o := newOffice(t)
		o.ready(o.service(), 3)
		_, err := o.over(storagetest.CrashAfter(o.store, n)).StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.Carrier))
		require.Error(t, err)
		svc := o.service()
		if o.personUnits(svc)[1] == 0 {
			continue
		}
		_, err = svc.CompleteCheck(t.Context(), actor("li"), esign.CheckResponse{ID: "chk"})
		require.ErrorIs(t, err, esign.ErrNotFound)
		flow, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.Carrier))
		require.NoError(t, err)
		assert.Equal(t, identity.Match, flow.Result.Outcome)
		assert.Equal(t, []quota.Units{2, 0, 1}, o.personUnits(svc))
		return
	}
	t.Fatal("no write holds the unit")
}

// A leak answers with what it was told.
type leak struct{ *identitytest.Registry }

func (l leak) Start(ctx context.Context, c identity.Claim) (identity.Flow, error) {
	f, err := l.Registry.Start(ctx, c)
	if f.Result != nil {
		r := *f.Result
		r.Evidence = identity.Draft{Source: "住址 " + liNumber, Fields: []string{"name", liName}, Request: liNumber, Answer: liName,
			Session: liNumber, Digests: []string{liNumber}}
		f.Result, f.URL = &r, "https://provider.example/?id="+liNumber
	}
	return f, err
}

// TestCheck_T12_T16_NothingPersonalKept: of claim and answer no value is in any
// record, event or error.
func TestCheck_T12_T16_P02_NothingPersonalKept(t *testing.T) {
	o := newOffice(t)
	kept := &recorder{Store: o.store}
	c := o.config(kept, o.blobs)
	c.Identity.Verifiers = []identity.Verifier{leak{o.people}}
	svc, err := esign.New(c)
	require.NoError(t, err)
	o.ready(svc, 3)
	flow, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.Carrier))
	require.NoError(t, err)
	again, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.Carrier))
	require.NoError(t, err)
	assert.Equal(t, flow, again)
	_, err = svc.StartCheck(t.Context(), actor("li"), o.check("no", "王天津", identity.Carrier))
	require.NoError(t, err)
	shown, err := json.Marshal(flow)
	require.NoError(t, err)
	for _, secret := range []string{liName, liNumber, phones["li"], "王天津"} {
		assert.NotContains(t, kept.text(), secret)
		assert.NotContains(t, string(shown), secret)
		assert.NotContains(t, fmt.Sprintf("%+v %#v", flow, o.check("x", liName, identity.Carrier)), secret)
	}
}

// A recorder remembers whatever is written.
type recorder struct {
	storage.Store
	all strings.Builder
}

func (r *recorder) Commit(ctx context.Context, b []storage.Batch) ([]storage.Outcome, error) {
	for _, x := range b {
		for _, w := range x.Writes {
			r.all.Write(w.Data)
			r.all.WriteString(w.Key.ID)
		}
		for _, e := range x.Entries {
			r.all.Write(e.Data)
		}
	}
	return r.Store.Commit(ctx, b)
}

func (r *recorder) text() string { return r.all.String() }

// TestCheck_T07: the same ids in another tenant are another's: neither results
// nor units nor answers cross.
func TestCheck_T07_TenantsIsolated(t *testing.T) {
	o := newOffice(t)
	svc := o.service()
	ctx := t.Context()
	o.ready(svc, 2)
	_, err := svc.StartCheck(ctx, actor("li"), o.check("chk", liName, identity.Carrier))
	require.NoError(t, err)
	other := actor("li")
	other.Tenant = "globex"
	_, err = svc.CompleteCheck(ctx, other, esign.CheckResponse{ID: "chk"})
	require.ErrorIs(t, err, esign.ErrNotFound)
	_, err = svc.StartCheck(ctx, other, o.check("chk", liName, identity.Carrier))
	require.ErrorIs(t, err, identity.ErrConsent)
	o.agree(svc, "globex", "li", "registry")
	o.enrol(svc, "globex", "li")
	_, err = svc.StartCheck(ctx, other, o.check("chk", liName, identity.Carrier))
	require.ErrorIs(t, err, quota.ErrInsufficient)
	o.grant(svc, "globex", "li", quota.UnitPersonCheck, 2)
	_, err = svc.StartCheck(ctx, other, o.check("chk", "王天津", identity.Carrier))
	require.NoError(t, err)
	assert.Equal(t, 2, o.people.Asked(), "the same id is another check at the source")
	assert.Equal(t, []quota.Units{1, 0, 1}, o.personUnits(svc))
	assert.Equal(t, []quota.Units{1, 0, 1}, o.units(svc, "globex", "li", quota.UnitPersonCheck))
}

// TestCheck_H51: at price 0, and without a catalogue, a check needs no lot.
func TestCheck_H51_D01_FreeChecks(t *testing.T) {
	for name, free := range map[string]func(*esign.Config){
		"price 0": func(c *esign.Config) {
			c.Quota.Rates = quota.DefaultRates()
			c.Quota.Rates[0].Kinds[quota.KindPersonCheck] = quota.Rate{Unit: quota.UnitPersonCheck}
		},
		"unmetered": func(c *esign.Config) { c.Membership.Catalogue = nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			c := o.config(o.store, o.blobs)
			c.Identity.Verifiers = []identity.Verifier{o.people}
			free(&c)
			svc, err := esign.New(c)
			require.NoError(t, err)
			o.ready(svc, 0)
			flow, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.IDMatch))
			require.NoError(t, err)
			assert.Equal(t, identity.Match, flow.Result.Outcome)
		})
	}
}

// TestCheck_P21: a minor is refused before anything is stored or asked.
func TestCheck_P21_D12_MinorsLeaveNothing(t *testing.T) {
	o := newOffice(t)
	svc := o.service()
	o.ready(svc, 1)
	o.site.now = time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.IDMatch))
	require.ErrorIs(t, err, privacy.ErrMinor)
	assert.False(t, errors.Is(err, identity.ErrAttempts))
	assert.Zero(t, o.people.Asked())
	assert.Empty(t, o.trail(svc, "identity/person/li"))
}
