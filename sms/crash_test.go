package sms_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// TestCrashAtEveryWrite: whatever write a process dies at, the next one loses
// nothing, sends nothing twice and charges at most once. A text may end
// Unknown, never sent again.
func TestCrashAtEveryWrite(t *testing.T) {
	ctx := context.Background()
	for name, fail := range map[string]func(storage.Store, int) *storagetest.Faulty{
		"crash before": storagetest.CrashBefore, "crash after": storagetest.CrashAfter,
		"fail before": storagetest.FailBefore, "fail after": storagetest.FailAfter,
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				first := newRig(t)
				first.grant(t, 5)
				faulty := fail(first.store, n)
				dying := newRigOn(t, faulty, first.clock, first.root, func(r *rig, c *sms.Config) { c.Gateways = []sms.Gateway{first.gw} })
				m := first.invite("m-1")
				m.Metered = true
				_, sendErr := dying.Send(ctx, m)
				if sendErr == nil {
					_, _ = dying.Deliver(ctx)
				}
				if !faulty.Fired() {
					require.Greater(t, n, 3, "unlock, queue, submit, settle")
					break
				}
				// A new process over what was stored; the host repeats its call.
				next := newRigOn(t, first.store, first.clock, first.root, func(r *rig, c *sms.Config) { c.Gateways = []sms.Gateway{first.gw} })
				ref, err := next.Send(ctx, m)
				require.NoError(t, err)
				next.deliver(t)
				for range 20 { // the lease ends, the provider is asked
					next.clock.add(10 * time.Minute)
					next.deliver(t)
				}
				assert.LessOrEqual(t, len(first.gw.Texts()), 1, "n=%d: sent twice", n)
				calls := first.gw.Calls()
				assert.Len(t, slices.Compact(slices.Sorted(slices.Values(calls))), len(calls), "n=%d: one key submitted twice", n)
				state := next.state(t, ref)
				free, held, used := first.units(t)
				assert.EqualValues(t, 5, free+held+used, "units conserved")
				switch state {
				case sms.StateAccepted:
					assert.Len(t, first.gw.Texts(), 1, "n=%d", n)
					assert.Equal(t, []quota.Units{4, 0, 1}, []quota.Units{free, held, used}, "n=%d", n)
				case sms.StateRejected: // the provider never heard of it
					assert.Empty(t, first.gw.Texts(), "n=%d", n)
					assert.Equal(t, []quota.Units{5, 0, 0}, []quota.Units{free, held, used}, "n=%d", n)
				default:
					t.Fatalf("n=%d ended %s", n, state)
				}
			}
		})
	}
}

// TestCrashDuringCheck: a proof is given at most once, whatever fails.
func TestCrashDuringCheck(t *testing.T) {
	ctx := context.Background()
	for name, fail := range map[string]func(storage.Store, int) *storagetest.Faulty{
		"fail before": storagetest.FailBefore, "fail after": storagetest.FailAfter,
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				r := newRig(t)
				code := r.code(t, "c-1")
				faulty := fail(r.store, n)
				proof, err := newRigOn(t, faulty, r.clock, r.root).CheckCode(ctx, tenant, "c-1", code)
				if !faulty.Fired() {
					break
				}
				again, err2 := r.CheckCode(ctx, tenant, "c-1", code)
				require.NotEqual(t, err == nil, err2 == nil, "n=%d: exactly one proof", n)
				if err2 == nil {
					proof = again
				}
				_, err = r.consume(proof, r.binding())
				require.NoError(t, err)
			}
		})
	}
}

// TestUnknown follows texts whose fate nobody knows.
func TestUnknown(t *testing.T) {
	ctx := context.Background()
	queued := func(t *testing.T, r *rig, faults ...smstest.Fault) sms.Ref {
		r.grant(t, 5)
		r.gw.Script(faults...)
		m := r.invite("m-1")
		m.Metered = true
		ref, err := r.Send(ctx, m)
		require.NoError(t, err)
		r.deliver(t)
		return ref
	}
	for _, fault := range []smstest.Fault{smstest.LostReply, smstest.Garbage, smstest.NoID} {
		t.Run(string(fault)+": held, asked, accepted, charged once", func(t *testing.T) {
			r := newRig(t)
			ref := queued(t, r, fault)
			assert.Equal(t, sms.StateUnknown, r.state(t, ref))
			_, held, _ := r.units(t)
			assert.EqualValues(t, 1, held)
			r.clock.add(time.Minute)
			r.deliver(t)
			assert.Equal(t, sms.StateAccepted, r.state(t, ref))
			_, held, used := r.units(t)
			assert.Equal(t, []quota.Units{0, 1}, []quota.Units{held, used})
			assert.Len(t, r.gw.Calls(), 1)
		})
	}
	for _, fault := range []smstest.Fault{smstest.LostRequest, smstest.Panic} {
		t.Run(string(fault)+": the provider is sure it never heard of it", func(t *testing.T) {
			r := newRig(t)
			ref := queued(t, r, fault)
			r.clock.add(time.Minute)
			r.deliver(t)
			assert.Equal(t, sms.StateRejected, r.state(t, ref))
			assert.Len(t, r.gw.Calls(), 1, "never sent again")
		})
	}
	mute := func(r *rig, c *sms.Config) { c.Gateways = []sms.Gateway{struct{ sms.Gateway }{r.gw}} } // neither Querier nor receipts
	t.Run("72 h: unresolved, units released, later proof never charges", func(t *testing.T) {
		r := newRig(t, mute)
		ref := queued(t, r, smstest.LostReply)
		r.clock.add(72*time.Hour - time.Microsecond)
		r.deliver(t)
		assert.Equal(t, sms.StateUnknown, r.state(t, ref))
		r.clock.add(time.Microsecond)
		r.deliver(t)
		assert.Equal(t, sms.StateUnresolved, r.state(t, ref))
		free, held, used := r.units(t)
		assert.Equal(t, []quota.Units{5, 0, 0}, []quota.Units{free, held, used})
		num, err := sms.NewNumber(phone)
		require.NoError(t, err)
		require.NoError(t, r.Receipts(ctx, "memory", []sms.Receipt{{Key: r.gw.Calls()[0], ProviderID: "p", To: num, Delivered: true}}))
		assert.Equal(t, sms.StateUnresolved, r.state(t, ref))
		_, _, used = r.units(t)
		assert.EqualValues(t, 0, used)
	})
	t.Run("a receipt with our key settles it", func(t *testing.T) {
		r := newRig(t, mute)
		ref := queued(t, r, smstest.LostReply)
		num, err := sms.NewNumber("13900000000")
		require.NoError(t, err)
		require.NoError(t, r.Receipts(ctx, "memory", []sms.Receipt{{Key: r.gw.Calls()[0], To: num, Delivered: true}}))
		assert.Equal(t, sms.StateUnknown, r.state(t, ref), "another number")
		num, err = sms.NewNumber(phone)
		require.NoError(t, err)
		require.NoError(t, r.Receipts(ctx, "memory", []sms.Receipt{{Key: r.gw.Calls()[0], To: num, Delivered: true}}))
		st, err := r.Status(ctx, ref)
		require.NoError(t, err)
		assert.Equal(t, sms.StateAccepted, st.State)
		assert.Equal(t, sms.DeliveryDelivered, st.Delivery)
		_, held, used := r.units(t)
		assert.Equal(t, []quota.Units{0, 1}, []quota.Units{held, used})
	})
	t.Run("an id of bytes is no id", func(t *testing.T) {
		r := newRig(t)
		r.gw.Script(smstest.BadID)
		ref, err := r.Send(ctx, r.invite("m-1"))
		require.NoError(t, err)
		r.deliver(t)
		assert.Equal(t, sms.StateUnknown, r.state(t, ref))
		num, err := sms.NewNumber(phone)
		require.NoError(t, err)
		require.NoError(t, r.Receipts(ctx, "memory", []sms.Receipt{{Key: "\x00", ProviderID: "\xff", To: num}}))
	})
	t.Run("a caller who leaves in the middle", func(t *testing.T) {
		r := newRig(t)
		cut, cancel := context.WithCancel(ctx)
		r.gw.Hook = func(sms.Submission) { cancel() }
		r.gw.Script(smstest.Delay)
		ref, err := r.Send(ctx, r.invite("m-1"))
		require.NoError(t, err)
		_, _ = r.Deliver(cut)
		assert.Equal(t, sms.StateUnknown, r.state(t, ref))
	})
}

// TestFailover: another gateway only after a definitive no (easy-sms #83 #326,
// casdoor go-sms-sender, nocobase#778, fojin PR#902, dearmep#162).
func TestFailover(t *testing.T) {
	ctx := context.Background()
	two := func(second *smstest.Gateway) option {
		return func(r *rig, c *sms.Config) { c.Gateways = append(c.Gateways, second) }
	}
	for _, tc := range []struct {
		fault  smstest.Fault
		second int
		want   sms.State
	}{
		{smstest.Reject, 1, sms.StateAccepted},
		{smstest.Throttle, 1, sms.StateAccepted},
		{smstest.Misconfigured, 1, sms.StateAccepted},
		{smstest.BadNumber, 0, sms.StateRejected},
		{smstest.BadContent, 0, sms.StateRejected},
		{smstest.LostReply, 0, sms.StateUnknown},
		{smstest.LostRequest, 0, sms.StateUnknown},
		{smstest.Garbage, 0, sms.StateUnknown},
		{smstest.Panic, 0, sms.StateUnknown},
	} {
		t.Run(string(tc.fault), func(t *testing.T) {
			b := &smstest.Gateway{ID: "second"}
			r := newRig(t, two(b))
			r.gw.Script(tc.fault)
			ref, err := r.Send(ctx, r.invite("m-1"))
			require.NoError(t, err)
			r.deliver(t)
			assert.Equal(t, tc.want, r.state(t, ref))
			assert.Len(t, b.Calls(), tc.second)
		})
	}
	t.Run("a throttled gateway is asked again after its time", func(t *testing.T) {
		r := newRig(t)
		r.gw.Script(smstest.Throttle)
		ref, err := r.Send(ctx, r.invite("m-1"))
		require.NoError(t, err)
		r.deliver(t)
		assert.Equal(t, sms.StateQueued, r.state(t, ref))
		r.clock.add(5*time.Minute - time.Microsecond)
		r.deliver(t)
		assert.Len(t, r.gw.Calls(), 1)
		r.clock.add(time.Microsecond)
		r.deliver(t)
		assert.Equal(t, sms.StateAccepted, r.state(t, ref))
	})
	t.Run("attempts are capped", func(t *testing.T) {
		r := newRig(t)
		r.gw.Script(slices.Repeat([]smstest.Fault{smstest.Throttle}, 50)...)
		ref, err := r.Send(ctx, r.invite("m-1"))
		require.NoError(t, err)
		for range 50 {
			r.deliver(t)
			r.clock.add(10 * time.Minute)
		}
		assert.Equal(t, sms.StateRejected, r.state(t, ref))
		assert.Len(t, r.gw.Calls(), 4)
	})
	t.Run("a misconfigured gateway rests", func(t *testing.T) {
		r := newRig(t)
		r.gw.Script(smstest.Misconfigured)
		_, err := r.Send(ctx, r.invite("m-1"))
		require.NoError(t, err)
		r.deliver(t)
		r.clock.add(time.Minute)
		ref, err := r.Send(ctx, r.invite("m-2"))
		require.NoError(t, err)
		r.deliver(t)
		assert.Equal(t, sms.StateQueued, r.state(t, ref))
		r.clock.add(10 * time.Minute)
		r.deliver(t)
		assert.Equal(t, sms.StateAccepted, r.state(t, ref))
	})
}

// TestRandomFaults: under any script, a text goes out again only after a
// definitive refusal, units are conserved, and nothing stays Unknown past 72 h.
func TestRandomFaults(t *testing.T) {
	ctx := context.Background()
	all := []smstest.Fault{smstest.OK, smstest.LostReply, smstest.LostRequest, smstest.Reject, smstest.BadNumber, smstest.Throttle,
		smstest.Misconfigured, smstest.Garbage, smstest.NoID, smstest.Panic}
	definitive := []smstest.Fault{smstest.Reject, smstest.Throttle, smstest.Misconfigured}
	rapid.Check(t, func(rt *rapid.T) {
		second := &smstest.Gateway{ID: "second"}
		r := newRig(t, func(r *rig, c *sms.Config) {
			c.Gateways = append(c.Gateways, second)
			c.Limits.Same, c.Limits.Notice = []sms.Window{}, []sms.Window{}
		})
		r.grant(t, 20)
		scripts := [2][]smstest.Fault{}
		for i, g := range []*smstest.Gateway{r.gw, second} {
			scripts[i] = rapid.SliceOfN(rapid.SampledFrom(all), 0, 12).Draw(rt, "script")
			g.Script(scripts[i]...)
		}
		var refs []sms.Ref
		for i := range rapid.IntRange(1, 5).Draw(rt, "texts") {
			m := r.invite(fmt.Sprint("m-", i))
			m.Metered = true
			ref, err := r.Send(ctx, m)
			if err != nil {
				rt.Fatal(err)
			}
			refs = append(refs, ref)
		}
		for range 50 {
			if _, err := r.Deliver(ctx); err != nil {
				rt.Fatal(err)
			}
			r.clock.add(time.Duration(rapid.IntRange(1, 180).Draw(rt, "minutes")) * time.Minute)
		}
		r.clock.add(96 * time.Hour)
		r.deliver(t)
		faultOf := map[string]smstest.Fault{}
		for i, g := range []*smstest.Gateway{r.gw, second} {
			for n, key := range g.Calls() {
				faultOf[key] = smstest.OK
				if n < len(scripts[i]) {
					faultOf[key] = scripts[i][n]
				}
			}
		}
		var charged quota.Units
		for _, ref := range refs {
			st, err := r.Status(ctx, ref)
			if err != nil {
				rt.Fatal(err)
			}
			if !st.State.Final() {
				rt.Fatalf("%s after four days", st.State)
			}
			for _, a := range st.Attempts[:max(0, len(st.Attempts)-1)] {
				if !slices.Contains(definitive, faultOf[a.Key]) {
					rt.Fatalf("sent again after %q", faultOf[a.Key])
				}
			}
			if st.State == sms.StateAccepted {
				charged++
			}
		}
		free, held, used := r.units(t)
		if held != 0 || used != charged || free+used != 20 {
			rt.Fatalf("free %d held %d used %d, accepted %d", free, held, used, charged)
		}
	})
}

// TestRun: Run delivers until its context ends.
func TestRun(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	r.gw.Hook = func(sms.Submission) { cancel() }
	_, err := r.Send(context.Background(), r.invite("m-1"))
	require.NoError(t, err)
	require.ErrorIs(t, r.Run(ctx), context.Canceled)
	assert.Len(t, r.gw.Calls(), 1)
}

func TestNew(t *testing.T) {
	r := newRig(t)
	good := func() sms.Config { return smstest.InsecureConfig(r.store, r.vault, r.gw) }
	for name, edit := range map[string]func(*sms.Config){
		"no store":       func(c *sms.Config) { c.Store = nil },
		"no vault":       func(c *sms.Config) { c.Vault = nil },
		"nil gateway":    func(c *sms.Config) { c.Gateways = []sms.Gateway{nil} },
		"two of a name":  func(c *sms.Config) { c.Gateways = []sms.Gateway{r.gw, r.gw} },
		"short pepper":   func(c *sms.Config) { c.Peppers = []sms.Pepper{{ID: "a", Key: []byte("x")}} },
		"long code life": func(c *sms.Config) { c.Policy.CodeLife = 11 * time.Minute },
	} {
		c := good()
		edit(&c)
		_, err := sms.New(c)
		require.ErrorIs(t, err, sms.ErrConfig, name)
	}
	c := good()
	c.Catalogue.Templates[0].Reviewer = c.Catalogue.Templates[0].Author
	_, err := sms.New(c)
	require.ErrorIs(t, err, sms.ErrTemplate, "S20: nobody approves their own")
	c = good()
	c.Gateways = nil
	s, err := sms.New(c)
	require.NoError(t, err)
	_, err = s.Send(context.Background(), r.invite("m-1"))
	require.ErrorIs(t, err, sms.ErrNoGateway)
	c = good()
	c.Peppers = nil
	s, err = sms.New(c)
	require.NoError(t, err)
	_, err = s.Challenge(context.Background(), r.ask("c-1"))
	require.ErrorIs(t, err, sms.ErrNoPepper)
	require.False(t, errors.Is(err, privacy.ErrErased))
}
