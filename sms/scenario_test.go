package sms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// TestEveryWriteFails runs a whole life, consent, challenge, resend, check and
// use, with the n-th write failing, for every n and both kinds of failure. Each
// step is repeated once if it failed; the end is always the same.
func TestEveryWriteFails(t *testing.T) {
	ctx := context.Background()
	p, err := privacy.NewPhone(phone)
	require.NoError(t, err)
	num, err := sms.NewNumber(phone)
	require.NoError(t, err)
	for name, fail := range map[string]func(storage.Store, int) *storagetest.Faulty{
		"before": storagetest.FailBefore, "after": storagetest.FailAfter,
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				base := newRig(t)
				faulty := fail(base.store, n)
				r := newRigOn(t, faulty, base.clock, base.root, func(_ *rig, c *sms.Config) { c.Gateways = []sms.Gateway{base.gw} })
				twice := func(step func() error) {
					t.Helper()
					err := step()
					if err != nil {
						require.True(t, faulty.Fired(), "n=%d: %v", n, err)
						err = step()
					}
					require.NoError(t, err, "n=%d", n)
				}
				deliver := func() error {
					for {
						moved, err := r.Deliver(ctx)
						if err != nil || moved == 0 {
							return err
						}
					}
				}
				twice(func() error {
					return r.Grant(ctx, sms.Consent{Tenant: tenant, To: p, Kind: sms.Notice, Basis: sms.Customer})
				})
				twice(func() error {
					m := base.invite("m-1")
					m.Consent = ""
					_, err := r.Send(ctx, m)
					return err
				})
				twice(func() error { _, err := r.Challenge(ctx, base.ask("c-1")); return err })
				twice(deliver)
				r.clock.add(61 * time.Second) // what was put off is due again
				twice(deliver)
				twice(func() error {
					_, err := r.Resend(ctx, sms.ResendRequest{Tenant: tenant, ID: "r-1", Challenge: "c-1"})
					return err
				})
				twice(deliver)
				for range 6 { // leases end, the provider is asked
					r.clock.add(30 * time.Second)
					twice(deliver)
				}
				var code sms.Secret
				codes := 0
				for _, x := range base.gw.Texts() {
					if x.Kind == sms.OTP {
						code = x.Code()
						codes++
					}
				}
				require.Positive(t, codes, "n=%d", n)
				assert.LessOrEqual(t, len(base.gw.Texts()), 3, "n=%d: no text twice", n)
				var proof sms.Proof
				twice(func() (err error) { proof, err = r.CheckCode(ctx, tenant, "c-1", code); return err })
				used := false
				twice(func() error {
					return storage.Update(ctx, faulty, func(tx *storage.Tx) error {
						// The caller's own id answers first, as esign's does.
						_, err := storage.Once(tx, storage.Key{Tenant: tenant, Kind: "test.sign", ID: "s-1"}, "sign", func() (bool, error) {
							_, err := r.ConsumeTx(ctx, tx, proof, base.binding())
							return true, err
						})
						used = err == nil
						return err
					})
				})
				assert.True(t, used)
				for _, key := range base.gw.Calls() {
					twice(func() error {
						return r.Receipts(ctx, "memory", []sms.Receipt{{Key: key, To: num, Delivered: true}})
					})
				}
				for st, err := range r.Messages(ctx, tenant, "") {
					require.NoError(t, err)
					require.True(t, st.State.Final(), "n=%d: %s is %s", n, st.ID, st.State)
					if st.State == sms.StateAccepted {
						assert.Equal(t, sms.DeliveryDelivered, st.Delivery, "n=%d", n)
					}
				}
				if !faulty.Fired() {
					require.Greater(t, n, 12)
					return
				}
			}
		})
	}
}

// TestNothingPersonalIsPrinted prints every exported type that holds something
// under all verbs, in slog and in JSON, and hunts what was planted (S25).
func TestNothingPersonalIsPrinted(t *testing.T) {
	p, err := privacy.NewPhone(phone)
	require.NoError(t, err)
	num, err := sms.NewNumber(phone)
	require.NoError(t, err)
	const canary = "金丝雀"
	r := newRig(t)
	ask := r.ask("c-1")
	ask.Title = canary
	m := r.invite("m-1")
	m.Vars = sms.Values{"title": canary}
	sub := sms.Submission{Key: "k", To: num, Vars: []sms.Var{{Name: "title", Value: canary}}, Text: canary}
	for _, v := range []any{
		num, &num, sub, &sub, []sms.Submission{sub}, sub.Vars, m, &m, ask, &ask, []sms.ChallengeRequest{ask},
		sms.Consent{Tenant: tenant, To: p}, sms.Content{Tenant: tenant, Text: canary}, sms.Resolved{Vars: m.Vars},
		sms.Receipt{Key: "k", To: num, Reply: canary}, sms.Query{Key: "k", To: num}, sms.Proof{Token: canary},
		sms.Pepper{ID: "p", Key: []byte(canary)}, sms.Secret(canary), struct{ N sms.Number }{num}, map[string]any{"to": num, "vars": m.Vars},
		smstest.InsecureConfig(nil, nil, nil).Peppers,
	} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} { // vet refuses %p
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		for _, secret := range []string{phone, phone[3:], canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%x", phone), "insecure pepper"} {
			assert.NotContains(t, out.String(), secret, "%T", v)
		}
	}
}
