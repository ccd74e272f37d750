package membership_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

type faultCase struct {
	name  string
	setup func(*kit)
	call  func(context.Context, *kit) (any, error)
}

func answer[A any](a A, err error) (any, error) { return a, err }

func faultCases() []faultCase {
	shown := func(k *kit) []membership.TermsRef { return k.publish("v1", "") }
	pending := func(k *kit) {
		_, _, err := k.Purchase(k.t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Item: "team", Terms: shown(k)})
		require.NoError(k.t, err)
	}
	gift := func(k *kit) {
		_, _, err := k.Purchase(k.t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Beneficiary: "wang", Item: "team", Terms: shown(k)})
		require.NoError(k.t, err)
		_, err = k.MarkPaid(k.t.Context(), membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: "p1", Amount: cny(99900)})
		require.NoError(k.t, err)
	}
	team := func(k *kit) { k.buy("o1", "li", "team") }
	refunding := func(k *kit) {
		team(k)
		_, err := k.BeginRefund(k.t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o1", Cause: membership.CauseUnused})
		require.NoError(k.t, err)
	}
	upgrade := membership.PurchaseRequest{Tenant: tenant, ID: "up", Payer: "li", Item: "personal"}
	stop := membership.StatusRequest{Tenant: tenant, ID: "s1", Account: "li", Reason: "crime", Actor: "ops"}
	return []faultCase{
		{"Purchase", func(*kit) {}, func(ctx context.Context, k *kit) (any, error) {
			o, s, err := k.Purchase(ctx, membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Beneficiary: "wang", Item: "personal", Terms: []membership.TermsRef{k.shown}, Ticked: true})
			return []any{o, s}, err
		}},
		{"MarkPaid", pending, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.MarkPaid(ctx, membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: "p1", Amount: cny(99900)}))
		}},
		{"Void", pending, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.Void(ctx, membership.VoidRequest{Tenant: tenant, ID: "v1", Order: "o1"}))
		}},
		{"AcceptGift", gift, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.AcceptGift(ctx, membership.GiftRequest{Tenant: tenant, Order: "o1", Account: "wang", Terms: []membership.TermsRef{k.shown}}))
		}},
		{"Extend", team, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.Extend(ctx, membership.ExtendRequest{Tenant: tenant, ID: "x1", Account: "li", Type: membership.Team, Term: quota.Term{Days: 1}, Reason: "outage", Actor: "ops"}))
		}},
		{"Suspend", team, func(ctx context.Context, k *kit) (any, error) { return answer(k.Suspend(ctx, stop)) }},
		{"Terminate", team, func(ctx context.Context, k *kit) (any, error) { return answer(k.Terminate(ctx, stop)) }},
		{"Resume", func(k *kit) {
			team(k)
			_, err := k.Suspend(k.t.Context(), membership.StatusRequest{Tenant: tenant, ID: "s0", Account: "li", Reason: "check", Actor: "ops"})
			require.NoError(k.t, err)
		}, func(ctx context.Context, k *kit) (any, error) { return answer(k.Resume(ctx, stop)) }},
		{"BeginRefund", team, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.BeginRefund(ctx, membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o1", Cause: membership.CauseUnused}))
		}},
		{"ConfirmRefund", refunding, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.ConfirmRefund(ctx, membership.EndRefundRequest{Tenant: tenant, ID: "e1", Order: "o1"}))
		}},
		{"CancelRefund", refunding, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.CancelRefund(ctx, membership.EndRefundRequest{Tenant: tenant, ID: "e1", Order: "o1"}))
		}},
		{"Claw", team, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.Claw(ctx, membership.ClawRequest{Tenant: tenant, ID: "c1", Order: "o1", Reason: "abuse", Actor: "ops"}))
		}},
		{"Upgrade", team, func(ctx context.Context, k *kit) (any, error) {
			q, err := k.QuoteUpgrade(ctx, upgrade, membership.AtEnd)
			if err != nil {
				return nil, err
			}
			o, s, err := k.Upgrade(ctx, q)
			return []any{o, s}, err
		}},
		{"MarkPaid of an upgrade", func(k *kit) {
			team(k)
			q, err := k.QuoteUpgrade(k.t.Context(), upgrade, membership.Convert)
			require.NoError(k.t, err)
			_, _, err = k.Upgrade(k.t.Context(), q)
			require.NoError(k.t, err)
		}, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.MarkPaid(ctx, membership.PaidRequest{Tenant: tenant, Order: "up", Payment: "p-up", Amount: cny(19900)}))
		}},
		{"Link", team, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.Link(ctx, membership.LinkRequest{Tenant: tenant, ID: "l1", First: "li", Second: "phone", Actor: "li"}))
		}},
		{"TakeSeat", team, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.TakeSeat(ctx, membership.SeatRequest{Tenant: tenant, ID: "s1", Team: "li", Account: "wang"}))
		}},
		{"GiveSeat", team, func(ctx context.Context, k *kit) (any, error) {
			return answer(k.GiveSeat(ctx, membership.SeatRequest{Tenant: tenant, ID: "s1", Team: "li", Account: "wang"}))
		}},
	}
}

// dump is what a store holds of the tenant.
func dump(t *testing.T, s storage.Store) map[string]string {
	out := map[string]string{}
	for _, kind := range []string{"mem.member", "mem.order", "mem.orderby", "mem.item", "mem.pay", "mem.op", "quota.acct", "quota.lot", "quota.op", "privacy.acceptance"} {
		for r, err := range storage.Scan(t.Context(), s, tenant, kind, "") {
			require.NoError(t, err)
			out[kind+" "+r.Key.ID] = string(r.Data)
		}
	}
	return out
}

// over puts a faulty store under a kit's service.
func (k *kit) over(s storage.Store) *kit {
	k.t.Helper()
	now := func() time.Time { return k.at }
	other := *k
	var err error
	other.ledger, err = quota.New(quota.Config{Store: s, Now: now})
	require.NoError(k.t, err)
	other.terms = &privacy.Terms{Store: s, Now: now}
	other.Service, err = membership.New(membership.Config{Store: s, Now: now, Catalogue: catalogue(), Ledger: other.ledger, Terms: other.terms})
	require.NoError(k.t, err)
	return &other
}

// TestFaults fails every write of every operation in every way: the repeated
// call answers as if nothing had happened, and the store holds the same.
func TestFaults_every_write_of_every_operation(t *testing.T) {
	ways := map[string]func(storage.Store, int) *storagetest.Faulty{
		"before": storagetest.FailBefore, "after": storagetest.FailAfter,
		"crash before": storagetest.CrashBefore, "crash after": storagetest.CrashAfter,
	}
	for _, c := range faultCases() {
		t.Run(c.name, func(t *testing.T) {
			clean := newKit(t, nil)
			clean.shown = clean.publish("v1", "")[0]
			c.setup(clean)
			counted := storagetest.Count(clean.store)
			want, err := c.call(t.Context(), clean.over(counted))
			require.NoError(t, err)
			state := dump(t, clean.store)
			for way, fail := range ways {
				for n := 1; n <= counted.Writes(); n++ {
					k := newKit(t, nil)
					k.shown = k.publish("v1", "")[0]
					c.setup(k)
					before := dump(t, k.store)
					faulty := fail(k.store, n)
					got, err := c.call(t.Context(), k.over(faulty))
					assert.True(t, faulty.Fired())
					if err != nil {
						if way == "before" || way == "crash before" {
							assert.Equal(t, before, dump(t, k.store), "%s %d: nothing is half done", way, n)
						}
						got, err = c.call(t.Context(), k.over(k.store))
					}
					require.NoError(t, err, "%s %d", way, n)
					assert.Equal(t, want, got, "%s %d: same answer", way, n)
					again, err := c.call(t.Context(), k.over(k.store))
					require.NoError(t, err)
					assert.Equal(t, want, again, "%s %d: same again", way, n)
					assert.Equal(t, state, dump(t, k.store), "%s %d: same state", way, n)
				}
			}
		})
	}
}
