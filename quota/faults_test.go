package quota_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// An operation under fault: setup brings a fresh ledger to where call can run.
type faultCase struct {
	name  string
	setup func(t *testing.T, k *kit)
	call  func(ctx context.Context, l *quota.Ledger) (any, error)
}

func answer[A any](a A, err error) (any, error) { return a, err }

func noAnswer(err error) (any, error) { return nil, err }

func faultCases() []faultCase {
	ready := func(t *testing.T, k *kit) {
		k.lot("a", 4, 1)
		k.lot("b", 5, 30)
		k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.SMS), line("hr", quota.WeChat))
		// The first lot has ended, and nobody has booked it.
		k.at = k.at.Add(25 * time.Hour)
	}
	refund := func(t *testing.T, k *kit) {
		ready(t, k)
		_, err := k.BeginRefund(t.Context(), quota.RefundRequest{Tenant: tenant, ID: "refund-1", Account: account, Lots: []quota.LotID{"b"}})
		require.NoError(t, err)
	}
	return []faultCase{
		{"Grant", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.Grant(ctx, quota.GrantRequest{Tenant: tenant, ID: "c", Account: account, Unit: quota.UnitSign, Units: 9, Term: quota.Term{Years: 1}}))
		}},
		{"Adjust", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.Adjust(ctx, quota.GrantRequest{Tenant: tenant, ID: "c", Account: account, Unit: quota.UnitSign, Units: 9, Term: quota.Term{Years: 1}, Reason: "goodwill"}))
		}},
		{"Reserve", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.Reserve(ctx, quota.ReserveRequest{Tenant: tenant, ID: "env/2", Account: account, TTL: time.Hour, Lines: []quota.LineRequest{line("li", quota.WeChat), line("wang", "")}}))
		}},
		{"Charge", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.Charge(ctx, quota.ChargeRequest{Tenant: tenant, ID: "env/1/li", Account: account, Lines: []quota.LineRequest{line("li", "")}}))
		}},
		{"Capture", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.Capture(ctx, quota.CaptureRequest{Tenant: tenant, ID: "sign-1", Hold: "env/1", Slots: []quota.SlotID{"li", "hr"}}))
		}},
		{"Release", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.Release(ctx, quota.ReleaseRequest{Tenant: tenant, ID: "revoke-1", Hold: "env/1", Cause: quota.Revoked}))
		}},
		{"MarkChannel", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.MarkChannel(ctx, quota.MarkChannelRequest{Tenant: tenant, ID: "text-1", Hold: "env/1", Slot: "li", Channel: quota.SMS}))
		}},
		{"Amend", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.Amend(ctx, quota.AmendRequest{Tenant: tenant, ID: "amend-1", Hold: "env/1", Add: []quota.LineRequest{line("zhao", "")}, Remove: []quota.SlotID{"li"}}))
		}},
		{"Claw", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.Claw(ctx, quota.ClawRequest{Tenant: tenant, ID: "claw-1", Account: account, Units: 2, Actor: "ops", Reason: "abuse"}))
		}},
		{"Suspend", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return noAnswer(l.Suspend(ctx, quota.SuspendRequest{Tenant: tenant, ID: "stop-1", Account: account, Reason: "check"}))
		}},
		{"Resume", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return noAnswer(l.Resume(ctx, quota.SuspendRequest{Tenant: tenant, ID: "go-1", Account: account, Reason: "check"}))
		}},
		{"BeginRefund", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.BeginRefund(ctx, quota.RefundRequest{Tenant: tenant, ID: "refund-1", Account: account, Lots: []quota.LotID{"b"}}))
		}},
		{"ConfirmRefund", refund, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.ConfirmRefund(ctx, quota.EndRefundRequest{Tenant: tenant, ID: "paid-1", Account: account, Refund: "refund-1"}))
		}},
		{"CancelRefund", refund, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.CancelRefund(ctx, quota.EndRefundRequest{Tenant: tenant, ID: "keep-1", Account: account, Refund: "refund-1"}))
		}},
		{"Merge", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			return answer(l.Merge(ctx, quota.MergeRequest{Tenant: tenant, ID: "bind-1", From: account, To: "phone", OpenHolds: true}))
		}},
		{"Sweep", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			_, err := l.Sweep(ctx, 10)
			return nil, err // how many were due is no answer to keep
		}},
		{"ReserveMany", ready, func(ctx context.Context, l *quota.Ledger) (any, error) {
			holds, errs, err := l.ReserveMany(ctx, []quota.ReserveRequest{
				{Tenant: tenant, ID: "m/1", Account: account, Lines: []quota.LineRequest{line("li", "")}},
				{Tenant: tenant, ID: "m/2", Account: "nobody", Lines: []quota.LineRequest{line("li", "")}},
				{Tenant: tenant, ID: "m/3", Account: account, Lines: []quota.LineRequest{line("li", "")}},
			})
			if err == nil && (errs[0] != nil || errs[1] == nil || errs[2] != nil) {
				return nil, errs[0]
			}
			return holds, err
		}},
	}
}

// dump is everything a store holds of the tenant but for versions.
func dump(t *testing.T, s storage.Store) map[string]string {
	out := map[string]string{}
	for _, kind := range []string{"quota.acct", "quota.hold", "quota.lot", "quota.op", "quota.ckpt", "quota.alert"} {
		for r, err := range storage.Scan(t.Context(), s, tenant, kind, "") {
			require.NoError(t, err)
			out[kind+" "+r.Key.ID] = string(r.Data)
			for e, err := range storage.Replay(t.Context(), s, r.Key, 0) {
				require.NoError(t, err)
				out[kind+" "+r.Key.ID+" entry "+string(rune('0'+e.Seq))] = string(e.Data)
			}
		}
	}
	return out
}

// TestFaults fails every write of every operation, before and after it is
// stored, with and without the process dying: the repeated call answers as if
// nothing had happened, and the store holds the same (I7, I10).
func TestFaults_I7_I10(t *testing.T) {
	ways := map[string]func(storage.Store, int) *storagetest.Faulty{
		"before": storagetest.FailBefore, "after": storagetest.FailAfter, "half": storagetest.FailHalf,
		"crash before": storagetest.CrashBefore, "crash after": storagetest.CrashAfter,
	}
	for _, c := range faultCases() {
		t.Run(c.name, func(t *testing.T) {
			clean := newKit(t, quota.Config{})
			c.setup(t, clean)
			counted := storagetest.Count(clean.store)
			l, err := quota.New(quota.Config{Store: counted, Now: func() time.Time { return clean.at }})
			require.NoError(t, err)
			want, err := c.call(t.Context(), l)
			require.NoError(t, err)
			state := dump(t, clean.store)
			require.Positive(t, counted.Writes())
			for way, fail := range ways {
				for n := 1; n <= counted.Writes(); n++ {
					k := newKit(t, quota.Config{})
					c.setup(t, k)
					faulty := fail(k.store, n)
					l, err := quota.New(quota.Config{Store: faulty, Now: func() time.Time { return k.at }})
					require.NoError(t, err)
					before := dump(t, k.store)
					got, err := c.call(t.Context(), l)
					assert.True(t, faulty.Fired(), way)
					if err != nil {
						if way == "before" || way == "crash before" {
							assert.Equal(t, before, dump(t, k.store), "%s %d: nothing is half done", way, n)
						}
						got, err = c.call(t.Context(), k.Ledger)
					}
					require.NoError(t, err, "%s %d", way, n)
					assert.Equal(t, want, got, "%s %d: same answer", way, n)
					assert.Equal(t, state, dump(t, k.store), "%s %d: same state", way, n)
					again, err := c.call(t.Context(), k.Ledger)
					require.NoError(t, err)
					assert.Equal(t, want, again, "%s %d: same again", way, n)
					assert.Equal(t, state, dump(t, k.store), "%s %d: no change", way, n)
					k.verify()
				}
			}
		})
	}
}

// TestChaos runs a day of sending on a store that delays, repeats and loses
// answers; afterwards the books balance.
func TestChaos_I3(t *testing.T) {
	for seed := range uint64(5) {
		mem := new(storage.Mem)
		chaotic := storagetest.Chaos(mem, seed)
		k := newKit(t, quota.Config{Store: chaotic})
		try := func(call func() error) {
			t.Helper()
			var err error
			for range 50 {
				if err = call(); err == nil || quota.Code(err) != "" {
					break
				}
			}
			require.NoError(t, err)
		}
		try(func() error {
			_, err := k.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "a", Account: account, Unit: quota.UnitSign, Units: 40, Term: quota.Term{Years: 1}})
			return err
		})
		for i := range 20 {
			id := quota.HoldID("env-" + string(rune('a'+i)))
			try(func() error {
				_, err := k.tryReserve(id, line("li", quota.WeChat), line("wang", quota.SMS))
				return err
			})
			if i%2 == 0 {
				call := "sign-" + string(id)
				try(func() error {
					_, err := k.Capture(t.Context(), quota.CaptureRequest{Tenant: tenant, ID: call, Hold: id, Slots: []quota.SlotID{"li"}})
					return err
				})
			}
			call := "revoke-" + string(id)
			try(func() error {
				_, err := k.Release(t.Context(), quota.ReleaseRequest{Tenant: tenant, ID: call, Hold: id, Cause: quota.Revoked})
				return err
			})
		}
		require.NoError(t, chaotic.Settle(t.Context()))
		l, err := quota.New(quota.Config{Store: mem, Now: func() time.Time { return k.at }})
		require.NoError(t, err)
		b, err := l.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
		require.NoError(t, err)
		assert.Equal(t, quota.Units(10), b.Of(quota.UnitSign).Spendable)
		_, err = l.Verify(t.Context(), tenant)
		require.NoError(t, err)
	}
}
