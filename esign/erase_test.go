package esign_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A census knows every kind of record that was ever written, so that all a store
// holds can be read.
type census struct {
	storage.Store
	mu    sync.Mutex
	kinds map[[2]string]bool
}

func (s *census) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	s.mu.Lock()
	if s.kinds == nil {
		s.kinds = map[[2]string]bool{}
	}
	for _, b := range batches {
		for _, w := range b.Writes {
			s.kinds[[2]string{w.Key.Tenant, w.Key.Kind}] = true
		}
	}
	s.mu.Unlock()
	return s.Store.Commit(ctx, batches)
}

// everything is all that Store and Blobs give to whoever reads them, documents
// apart.
func (s *census) everything(t testing.TB) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for k := range s.kinds {
		for after := ""; ; {
			recs, err := s.List(context.Background(), k[0], k[1], after, 500)
			require.NoError(t, err)
			for _, r := range recs {
				after = r.Key.ID
				fmt.Fprintf(&b, "%s/%s/%s %s\n", k[0], k[1], r.Key.ID, r.Data)
				es, err := s.Entries(context.Background(), r.Key, 0, 5000)
				require.NoError(t, err)
				for _, e := range es {
					fmt.Fprintf(&b, "  %s\n", e.Data)
				}
			}
			if len(recs) < 500 {
				break
			}
		}
	}
	return b.String()
}

// TestErase_P17_T32: whichever subset of people is forgotten: every proof of every
// envelope still verifies, and nothing leads back to who is gone, with all keys
// left and through every door.
func TestErase_P17_T32_EverySubset(t *testing.T) {
	ends := [][]string{{"sign"}, {"sign", "revoke"}, {"decline", "sign"}}
	for subset := range 8 {
		t.Run(fmt.Sprintf("%03b", subset), func(t *testing.T) {
			t.Parallel()
			eraseSubset(t, subset, ends[subset%3])
		})
	}
}

func eraseSubset(t *testing.T, subset int, ends []string) {
	w := newSite(t)
	all := &census{Store: w.store}
	w.store = all
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	people := []string{"li", "wang", "zhao"}
	names := map[string]string{"li": "李小明", "wang": "王天津", "zhao": "赵六"}
	for i, end := range ends {
		id := fmt.Sprintf("e%d", i)
		w.pass(time.Hour)
		var rows []esign.Invitee
		for _, who := range people {
			rows = append(rows, w.invitee(who, 1, esign.ChannelSMS))
		}
		w.send(svc, id, rows...)
		switch end {
		case "sign":
			for _, who := range people {
				_, err := w.sign(svc, id, who)
				require.NoError(t, err)
				w.pass(time.Minute)
			}
		case "revoke":
			_, err := svc.Revoke(ctx, actor("hr"), esign.End{ID: "end-" + id, Envelope: id, Reason: "a wrong price"})
			require.NoError(t, err)
		case "decline":
			_, err := svc.Open(ctx, actor("li"), esign.View{ID: "o-" + id, Envelope: id})
			require.NoError(t, err)
			_, err = svc.Decline(ctx, actor("li"), esign.End{ID: "end-" + id, Envelope: id, Reason: "a wrong price"})
			require.NoError(t, err)
		}
		_, err := svc.Deliver(ctx)
		require.NoError(t, err)
	}
	gone := map[string]bool{}
	indexes := map[string]string{}
	for i, who := range people {
		p, err := privacy.NewPhone(phones[who])
		require.NoError(t, err)
		sum, err := svc.Privacy().BlindIndex(tenant, p)
		require.NoError(t, err)
		indexes[who] = hex.EncodeToString(sum)
		if subset&(1<<i) == 0 {
			continue
		}
		gone[who] = true
		got, err := svc.ErasePerson(ctx, actor(who), esign.Erasure{})
		require.NoError(t, err)
		if got.State == privacy.Restricted {
			assert.False(t, got.Until.IsZero(), "the receipt says until when")
		}
		assert.NotEmpty(t, got.Envelopes)
		assert.True(t, got.Copies)
		again, err := svc.ErasePerson(ctx, actor(who), esign.Erasure{})
		require.NoError(t, err)
		assert.Equal(t, got.State, again.State)
		assert.Equal(t, got.At, again.At)
	}
	for years := 0; years < 2; years++ {
		dump := all.everything(t)
		for _, who := range people {
			for _, p := range []string{names[who], phones[who]} {
				require.NotContains(t, dump, p)
			}
			masked := phones[who][:3] + "****" + phones[who][7:]
			if gone[who] {
				for _, line := range strings.Split(dump, "\n") {
					require.NotContains(t, line, masked)
					require.False(t, strings.HasPrefix(line, tenant+"/sms.message") && strings.Contains(line, indexes[who]), line)
					require.False(t, strings.HasPrefix(line, tenant+"/sms.challenge") && strings.Contains(line, indexes[who]), line)
				}
			}
		}
		for env := range envelopesOf(t, all) {
			rep, err := svc.Evidence().Audit(ctx, &evidence.AuditOptions{Tenant: tenant, Env: env})
			require.NoError(t, err)
			require.Equal(t, evidence.Passed, rep.Verdict, "%+v", rep.Checks)
			var b bytes.Buffer
			require.NoError(t, svc.Export(ctx, actor("hr"), esign.Export{Envelope: env, Digests: true}, &b))
			got := w.judgeBundle(svc, b.Bytes())
			require.NotEqual(t, evidence.Failed, got.Verdict, "%+v", got.Checks)
			for who := range gone {
				require.NotContains(t, b.String(), names[who], "a later bundle discloses nobody who is gone")
				require.NotContains(t, b.String(), phones[who])
			}
		}
		// Years on, what the law kept of signatures goes too, by itself.
		w.pass(20 * 365 * 24 * time.Hour)
		_, err := svc.Deliver(ctx)
		require.NoError(t, err)
		for who := range gone {
			err := storage.Update(ctx, all, func(tx *storage.Tx) error {
				return svc.Privacy().RestrictTx(ctx, tx, privacy.Subject{Tenant: tenant, ID: who}, "x")
			})
			require.ErrorIs(t, err, privacy.ErrErased)
		}
	}
}

func envelopesOf(t testing.TB, s storage.Store) map[string]bool {
	recs, err := s.List(context.Background(), tenant, "esign.envelope", "", 100)
	require.NoError(t, err)
	out := map[string]bool{}
	for _, r := range recs {
		out[r.Key.ID] = true
	}
	return out
}

// TestErase_T31: who still takes part is not forgotten by accident.
func TestErase_T31_P17_RunningAndHeld(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 2, esign.ChannelApp))
	var running *esign.RunningError
	_, err := svc.ErasePerson(ctx, actor("wang"), esign.Erasure{})
	require.ErrorAs(t, err, &running, "also before its turn")
	assert.Equal(t, []string{"e1"}, running.Envelopes)
	require.ErrorIs(t, err, esign.ErrState)
	assert.Equal(t, "state", esign.ErrorCode(err))
	_, err = svc.ErasePerson(ctx, actor("hr"), esign.Erasure{})
	require.ErrorAs(t, err, &running, "nor who sends")
	_, err = svc.ErasePerson(ctx, actor("zhao"), esign.Erasure{Account: "li", Anyway: true})
	require.ErrorIs(t, err, esign.ErrForbidden)
	_, err = svc.ErasePerson(ctx, actor("zhao"), esign.Erasure{})
	require.ErrorIs(t, err, esign.ErrNotFound)

	li := privacy.Subject{Tenant: tenant, ID: "li"}
	hold := func(fn func(*storage.Tx) error) { require.NoError(t, storage.Update(ctx, w.store, fn)) }
	hold(func(tx *storage.Tx) error {
		return svc.Privacy().HoldTx(ctx, tx, li, privacy.Hold{ID: "case", By: "court", Basis: "order"})
	})
	_, err = svc.ErasePerson(ctx, actor("officer"), esign.Erasure{Account: "li", Anyway: true, Officer: true})
	require.ErrorIs(t, err, privacy.ErrHeld)
	hold(func(tx *storage.Tx) error { return svc.Privacy().UnholdTx(ctx, tx, li, "case") })
	got, err := svc.ErasePerson(ctx, actor("officer"), esign.Erasure{Account: "li", Anyway: true, Officer: true})
	require.NoError(t, err)
	assert.Equal(t, privacy.Shredded, got.State)
	assert.Equal(t, []string{"e1"}, got.Running)
	_, err = svc.Challenge(ctx, actor("li"), esign.Challenge{ID: "ask", Envelopes: []string{"e1"}})
	require.Error(t, err, "no code goes to who is gone")
}

// TestCancel_T31_T32: closing an account answers what runs under it, takes
// effect at once, and is final after seven days.
func TestCancel_T31_T32_Account(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	_, err := svc.CancelAccount(ctx, actor("nobody"))
	require.ErrorIs(t, err, esign.ErrNotFound)
	c, err := svc.CancelAccount(ctx, actor("li"))
	require.NoError(t, err)
	assert.Equal(t, []string{"e1"}, c.Running)
	assert.Equal(t, privacy.Restricted, c.State)
	require.NoError(t, svc.ReopenAccount(ctx, actor("li")))
	require.ErrorIs(t, svc.ReopenAccount(ctx, actor("li")), esign.ErrNotFound)
	c, err = svc.CancelAccount(ctx, actor("li"))
	require.NoError(t, err)
	_, err = svc.Revoke(ctx, actor("hr"), esign.End{ID: "no", Envelope: "e1", Reason: "it left"})
	require.NoError(t, err)
	w.pass(c.Until.Sub(w.clock()))
	require.ErrorIs(t, svc.ReopenAccount(ctx, actor("li")), privacy.ErrErased)
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, svc.ReopenAccount(ctx, actor("li")), privacy.ErrErased)
	assert.Equal(t, 1, w.count(svc, "e1", "subject.erased"), "nothing was signed, so nothing is kept")
	hr := svc.Privacy().As(ctx, privacy.Accessor{Tenant: tenant, Account: "hr"})
	require.NoError(t, storage.Update(hr, w.store, func(tx *storage.Tx) error {
		_, err := svc.Privacy().PutTx(hr, tx, privacy.Subject{Tenant: tenant, ID: "hr"}, "phone", contact(t, "何人", "13800138009").Phone)
		return err
	}))
	c, err = svc.CancelAccount(ctx, actor("hr"))
	require.NoError(t, err)
	assert.Equal(t, []quota.LotID{"order-hr/1"}, c.Units, "units that will be lost")
}

// TestErase_P21: a minor found late: envelopes become invalid, the person is
// forgotten at once, and no event says why.
func TestErase_P21_MinorFoundLate(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 2, esign.ChannelApp))
	_, err := w.sign(svc, "e1", "li")
	require.NoError(t, err)
	got, err := svc.ErasePerson(ctx, actor("officer"), esign.Erasure{Account: "li", Why: privacy.ReasonMinor, Officer: true})
	require.NoError(t, err)
	assert.Equal(t, privacy.Shredded, got.State, "no retention delays it")
	env, err := svc.Get(ctx, actor("hr"), "e1")
	require.NoError(t, err)
	assert.NotEqual(t, esign.StateCompleted, env.State)
	for e, err := range svc.Evidence().Events(ctx, tenant, "e1", 0) {
		require.NoError(t, err)
		assert.NotContains(t, fmt.Sprint(e.X, e.Req), "minor")
	}
	w.send(svc, "e2", w.invitee("wang", 1, esign.ChannelApp))
	_, err = svc.ErasePerson(ctx, actor("officer"), esign.Erasure{Account: "wang", Why: privacy.ReasonMinor, Officer: true})
	require.NoError(t, err)
	env, err = svc.Get(ctx, actor("hr"), "e2")
	require.NoError(t, err)
	assert.Equal(t, esign.StateInvalidated, env.State, "E18")
}

// TestErase_P17: real-name checks forget whom they compared, and a pending one
// gives its unit back.
func TestErase_P17_ChecksForget(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	svc := o.service()
	ctx := t.Context()
	o.ready(svc, 3)
	flow, err := svc.StartCheck(ctx, actor("li"), o.check("one", liName, identity.IDMatch))
	require.NoError(t, err)
	require.NotEmpty(t, flow.Named)
	o.people.Script("pending")
	_, err = svc.StartCheck(ctx, actor("li"), o.check("two", liName, identity.Carrier))
	require.NoError(t, err)
	require.Equal(t, []quota.Units{1, 1, 1}, o.personUnits(svc))
	got, err := svc.ErasePerson(ctx, actor("li"), esign.Erasure{})
	require.NoError(t, err)
	assert.Equal(t, 2, got.Checks)
	assert.Equal(t, []quota.Units{2, 0, 1}, o.personUnits(svc))
	recs, err := o.store.List(ctx, tenant, "esign.check", "", 10)
	require.NoError(t, err)
	require.Len(t, recs, 2)
	for _, r := range recs {
		assert.NotContains(t, string(r.Data), flow.Named)
		assert.NotContains(t, string(r.Data), flow.Intent)
	}
	recs, err = o.store.List(ctx, tenant, "esign.identity", "", 10)
	require.NoError(t, err)
	assert.Empty(t, recs)
	o.pass(5 * time.Minute)
	_, err = svc.Deliver(ctx)
	require.NoError(t, err, "nothing is asked about it any more")
}

// A museum keeps evidence of its checks for a time.
type museum struct {
	identity.Verifier
	window time.Duration
	clock  func() time.Time
	fail   bool
	asked  int
	got    []identity.Artifact
}

func (m *museum) Start(ctx context.Context, c identity.Claim) (identity.Flow, error) {
	f, err := m.Verifier.Start(ctx, c)
	if err == nil && f.Result != nil {
		r := *f.Result
		r.HarvestBy = m.clock().Add(m.window)
		f.Result = &r
	}
	return f, err
}

func (m *museum) Harvest(context.Context, identity.Flow) ([]identity.Artifact, error) {
	m.asked++
	if m.fail {
		return nil, errors.New("no video of 李小明 yet")
	}
	return m.got, nil
}

// TestHarvest_B3: evidence that the provider forgets soon is pulled, sealed and
// on record; a harvest that fails raises alarms at half and nine tenths of the
// window, and a missed one is an event.
func TestHarvest_T17_PulledInTime(t *testing.T) {
	t.Parallel()
	stage := func(t *testing.T) (*office, *museum, *esign.Service, *[]string) {
		o := newOffice(t)
		m := &museum{Verifier: o.people, window: 24 * time.Hour, clock: o.clock,
			got: []identity.Artifact{{Name: "video of 李小明", Type: "video/mp4", Data: []byte("face-of-li"), Class: privacy.ClassBiometric},
				{Name: "large", Data: bytes.Repeat([]byte{7}, 600<<10)}}}
		var alarms []string
		c := o.config(o.store, o.blobs)
		c.Identity.Verifiers = []identity.Verifier{m}
		c.Policy.Alarm = func(_, _, what string) { alarms = append(alarms, what) }
		svc, err := esign.New(c)
		require.NoError(t, err)
		o.ready(svc, 1)
		return o, m, svc, &alarms
	}
	chain := "identity/person/li"
	t.Run("kept", func(t *testing.T) {
		o, m, svc, alarms := stage(t)
		_, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.IDMatch))
		require.NoError(t, err)
		for range 2 {
			_, err = svc.Deliver(t.Context())
			require.NoError(t, err)
		}
		assert.Equal(t, 1, m.asked)
		assert.Empty(t, *alarms)
		assert.Equal(t, []string{"identity.started", "identity.checked", "evidence.harvested"}, o.trail(svc, chain))
		var out bytes.Buffer
		self := svc.Privacy().As(t.Context(), privacy.Accessor{Tenant: tenant, Account: "li"})
		_, err = svc.Privacy().ExportSubject(self, privacy.Subject{Tenant: tenant, ID: "li"}, &out)
		require.NoError(t, err)
		assert.Contains(t, out.String(), "face-of-li", "sealed under the person's key")
		for e, err := range svc.Evidence().Events(t.Context(), tenant, chain, 0) {
			require.NoError(t, err)
			assert.NotContains(t, fmt.Sprint(e.X), "李小明")
			if e.Type == "evidence.harvested" {
				assert.Len(t, e.X["artifacts"], 2)
				assert.EqualValues(t, 1, e.X["kept"], "of the larger the digest alone")
			}
		}
	})
	t.Run("missed", func(t *testing.T) {
		o, m, svc, alarms := stage(t)
		m.fail = true
		_, err := svc.StartCheck(t.Context(), actor("li"), o.check("chk", liName, identity.IDMatch))
		require.NoError(t, err)
		at := map[string]time.Duration{}
		start := o.clock()
		for o.clock().Before(start.Add(25 * time.Hour)) {
			_, err = svc.Deliver(t.Context())
			if err != nil {
				require.ErrorIs(t, err, identity.ErrHarvest)
				assert.NotContains(t, err.Error(), "李小明")
			}
			for i, a := range *alarms {
				if key := fmt.Sprint(a, i); at[key] == 0 {
					at[key] = o.clock().Sub(start)
				}
			}
			o.pass(time.Minute)
		}
		assert.Equal(t, []string{"harvest.late", "harvest.late", "harvest.missed"}, *alarms)
		assert.Equal(t, map[string]time.Duration{"harvest.late0": 12 * time.Hour, "harvest.late1": 24 * time.Hour * 9 / 10, "harvest.missed2": 24 * time.Hour}, at)
		assert.Equal(t, []string{"identity.started", "identity.checked", "harvest.missed"}, o.trail(svc, chain))
		assert.Less(t, m.asked, 60, "with growing pauses")
	})
}
