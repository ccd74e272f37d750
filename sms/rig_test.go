package sms_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

const tenant = "acme"

// clock is a clock that tests turn.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)} } // 10:00 in Shanghai

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a service over a memory store with a recording gateway.
type rig struct {
	*sms.Service
	store  storage.Store
	vault  *privacy.Vault
	ledger *quota.Ledger
	gw     *smstest.Gateway
	clock  *clock
	root   privacy.KeyWrapper
	to     privacy.Ref
}

var (
	events = storage.Kind[sms.Event]{Name: "test.event", Schema: 1}
	serial atomic.Int64
)

const phone = "13812345678"

type option func(*rig, *sms.Config)

func newRig(t testing.TB, opts ...option) *rig {
	t.Helper()
	return newRigOn(t, new(storage.Mem), newClock(), privacy.InsecureMemoryKey(), opts...)
}

// newRigOn opens a service over a store that may hold something already.
func newRigOn(t testing.TB, store storage.Store, c *clock, root privacy.KeyWrapper, opts ...option) *rig {
	t.Helper()
	r := &rig{store: store, clock: c, root: root, gw: &smstest.Gateway{}}
	var err error
	r.vault, err = privacy.New(privacy.Config{Root: root, Store: store, Now: c.Now})
	require.NoError(t, err)
	r.ledger, err = quota.New(quota.Config{Store: store, Now: c.Now})
	require.NoError(t, err)
	cfg := smstest.InsecureConfig(store, r.vault, r.gw)
	cfg.Quota, cfg.Now = r.ledger, c.Now
	cfg.Events = func(_ context.Context, tx *storage.Tx, e sms.Event) error {
		return events.Create(tx, tenant, fmt.Sprintf("%012d", serial.Add(1)), e) // a lost run leaves none
	}
	for _, o := range opts {
		o(r, &cfg)
	}
	r.Service, err = sms.New(cfg)
	require.NoError(t, err)
	if _, faulty := store.(*storagetest.Faulty); faulty { // every commit counts
		r.to = privacy.Ref{Tenant: tenant, Subject: "li", Field: privacy.FieldPhone, Version: 1}
		return r
	}
	r.to = r.put(t, "li", phone)
	return r
}

func (r *rig) put(t testing.TB, subject, number string) privacy.Ref {
	t.Helper()
	p, err := privacy.NewPhone(number)
	require.NoError(t, err)
	ref, err := r.vault.Put(context.Background(), privacy.Subject{Tenant: tenant, ID: subject}, privacy.FieldPhone, p)
	require.NoError(t, err)
	return ref
}

func (r *rig) grant(t testing.TB, n quota.Units) {
	t.Helper()
	_, err := r.ledger.Grant(context.Background(), quota.GrantRequest{Tenant: tenant, ID: "order-1", Account: "hr", Unit: quota.UnitSMS,
		Units: n, Source: quota.Bought, From: r.clock.Now(), Until: r.clock.Now().AddDate(1, 0, 0)})
	require.NoError(t, err)
}

func (r *rig) units(t testing.TB) (free, held, used quota.Units) {
	t.Helper()
	lots, err := r.ledger.Lots(context.Background(), quota.BalanceRequest{Tenant: tenant, Account: "hr"})
	require.NoError(t, err)
	for _, l := range lots {
		held, used = held+l.Held, used+l.Used
		free += l.Granted - l.Held - l.Used - l.Expired - l.Clawed
	}
	return free, held, used
}

func (r *rig) invite(id string) sms.Message {
	return sms.Message{Tenant: tenant, ID: id, Kind: sms.Notice, Template: "invite_by", To: r.to, Consent: sms.Staff, Account: "hr",
		Vars: map[string]string{"sender": "云杉示例", "title": "保密协议", "deadline": "3月31日"}}
}

func (r *rig) ask(id string) sms.ChallengeRequest {
	return sms.ChallengeRequest{Tenant: tenant, ID: id, To: r.to, Purpose: "sign", Envelope: "env-1",
		Digest: []byte("0123456789abcdef0123456789abcdef"), Title: "保密协议"}
}

func (r *rig) binding() sms.Binding {
	q := r.ask("")
	return sms.Binding{To: q.To, Purpose: q.Purpose, Envelope: q.Envelope, Digest: q.Digest}
}

func (r *rig) deliver(t testing.TB) {
	t.Helper()
	for {
		n, err := r.Deliver(context.Background())
		require.NoError(t, err)
		if n == 0 {
			return
		}
	}
}

func (r *rig) state(t testing.TB, ref sms.Ref) sms.State {
	t.Helper()
	st, err := r.Status(context.Background(), ref)
	require.NoError(t, err)
	return st.State
}

func (r *rig) consume(p sms.Proof, b sms.Binding) (ev sms.CodeEvidence, err error) {
	err = storage.Update(context.Background(), r.store, func(tx *storage.Tx) error {
		ev, err = r.ConsumeTx(context.Background(), tx, p, b)
		return err
	})
	return ev, err
}

func (r *rig) seen(t testing.TB, types ...sms.EventType) []sms.Event {
	t.Helper()
	var out []sms.Event
	for e, err := range events.Scan(context.Background(), r.store, tenant, "") {
		require.NoError(t, err)
		if slices.Contains(types, e.Value.Type) {
			out = append(out, e.Value)
		}
	}
	return out
}

// dump is everything of a tenant and of the deployment that the store shows.
func dump(t testing.TB, s storage.Store) string {
	t.Helper()
	var b strings.Builder
	for _, tn := range []string{tenant, storage.Deployment} {
		for _, kind := range []string{"sms.message", "sms.challenge", "sms.challenge.live", "sms.window", "sms.lock", "sms.consent",
			"sms.suppression", "sms.submission", "sms.provider", "sms.gateway", "test.event", "privacy.value", "privacy.subject", "privacy.access"} {
			recs, err := s.List(context.Background(), tn, kind, "", 1000)
			require.NoError(t, err)
			for _, rec := range recs {
				fmt.Fprintf(&b, "%s %s %s\n", kind, rec.Key.ID, rec.Data)
				entries, err := s.Entries(context.Background(), rec.Key, 0, 1000)
				require.NoError(t, err)
				for _, e := range entries {
					fmt.Fprintf(&b, "  %s\n", e.Data)
				}
			}
		}
	}
	return b.String()
}
