package sms_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage/storagetest"
)

// code asks for a code and reads it from the inbox.
func (r *rig) code(t testing.TB, id string) sms.Secret {
	t.Helper()
	_, err := r.Challenge(context.Background(), r.ask(id))
	require.NoError(t, err)
	r.deliver(t)
	text, ok := r.gw.Last(phone)
	require.True(t, ok)
	require.Len(t, string(text.Code()), 6)
	return text.Code()
}

func wrong(c sms.Secret) sms.Secret {
	if c == "000000" {
		return "000001"
	}
	return "000000"
}

func TestChallenge(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	ref, err := r.Challenge(ctx, r.ask("c-1"))
	require.NoError(t, err)
	assert.Equal(t, "138****5678", ref.To)
	assert.Equal(t, r.clock.Now().Add(5*time.Minute), ref.Expires)
	r.deliver(t)
	text, ok := r.gw.Last(phone)
	require.True(t, ok)
	assert.Equal(t, "您正在签署《保密协议》（文件摘要3031），验证码"+string(text.Code())+"，5分钟内有效，请勿告诉他人。", text.Body,
		"W2: title and four digest characters")

	_, err = r.CheckCode(ctx, tenant, "c-1", wrong(text.Code()))
	require.ErrorIs(t, err, sms.ErrCode)
	proof, err := r.CheckCode(ctx, tenant, "c-1", text.Code())
	require.NoError(t, err)

	t.Run("T12 the proof fits nothing else", func(t *testing.T) {
		for name, edit := range map[string]func(*sms.Binding){
			"digest":   func(b *sms.Binding) { b.Digest = []byte(strings.Repeat("x", 32)) },
			"envelope": func(b *sms.Binding) { b.Envelope = "env-2" },
			"purpose":  func(b *sms.Binding) { b.Purpose = "login" },
			"number":   func(b *sms.Binding) { b.To.Version++ },
			"person":   func(b *sms.Binding) { b.To.Subject = "wang" },
		} {
			b := r.binding()
			edit(&b)
			_, err := r.consume(proof, b)
			require.ErrorIs(t, err, sms.ErrProof, name)
		}
		forged := proof
		forged.Token = "x"
		_, err := r.consume(forged, r.binding())
		require.ErrorIs(t, err, sms.ErrProof)
		forged = proof
		forged.Tenant = "other"
		_, err = r.consume(forged, r.binding())
		require.ErrorIs(t, err, sms.ErrProof)
	})
	t.Run("a proof is used once", func(t *testing.T) {
		proof, err := sms.ParseProof(proof.Clear())
		require.NoError(t, err)
		_, err = sms.ParseProof("x")
		require.ErrorIs(t, err, sms.ErrProof)
		ev, err := r.consume(proof, r.binding())
		require.NoError(t, err)
		assert.Equal(t, "c-1", ev.Challenge)
		assert.Equal(t, "memory-1", ev.ProviderID)
		assert.Equal(t, 2, ev.Tries)
		_, err = r.consume(proof, r.binding())
		require.ErrorIs(t, err, sms.ErrProof)
	})
	t.Run("a used code is refused", func(t *testing.T) {
		_, err := r.CheckCode(ctx, tenant, "c-1", text.Code())
		require.ErrorIs(t, err, sms.ErrCode)
	})
	t.Run("T07 another tenant's challenge is an unknown one", func(t *testing.T) {
		_, err := r.CheckCode(ctx, "other", "c-1", text.Code())
		assert.Equal(t, sms.ErrCode, err)
	})
	t.Run("one answer outside, the reason on the record", func(t *testing.T) {
		_, err := r.CheckCode(ctx, tenant, "unknown", "123456")
		assert.Equal(t, sms.ErrCode, err)
		var reasons []string
		for _, e := range r.seen(t, sms.EventCodeDenied) {
			reasons = append(reasons, e.Reason)
		}
		assert.Equal(t, []string{"wrong", "used"}, reasons)
	})
}

func TestChallengeIdempotent(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	a, err := r.Challenge(ctx, r.ask("c-1"))
	require.NoError(t, err)
	b, err := r.Challenge(ctx, r.ask("c-1"))
	require.NoError(t, err)
	assert.Equal(t, a, b)
	r.deliver(t)
	assert.Len(t, r.gw.Texts(), 1)
	q := r.ask("c-1")
	q.Title = "劳动合同"
	_, err = r.Challenge(ctx, q)
	require.ErrorIs(t, err, sms.ErrIntentMismatch)
}

func TestCodeTimes(t *testing.T) {
	ctx := context.Background()
	t.Run("expires, half-open", func(t *testing.T) {
		r := newRig(t)
		code := r.code(t, "c-1")
		r.clock.add(5*time.Minute - time.Microsecond)
		proof, err := r.CheckCode(ctx, tenant, "c-1", code)
		require.NoError(t, err)
		r.clock.add(10 * time.Minute)
		_, err = r.consume(proof, r.binding())
		require.ErrorIs(t, err, sms.ErrProof, "the proof has a life too")

		code = r.code(t, "c-2")
		r.clock.add(5 * time.Minute)
		_, err = r.CheckCode(ctx, tenant, "c-2", code)
		require.ErrorIs(t, err, sms.ErrCode)
	})
	t.Run("a queued text is not sent after the code's end", func(t *testing.T) {
		r := newRig(t)
		ref, err := r.Challenge(ctx, r.ask("c-1"))
		require.NoError(t, err)
		r.clock.add(5 * time.Minute)
		r.deliver(t)
		st, err := r.Status(ctx, ref.Message)
		require.NoError(t, err)
		assert.Equal(t, sms.StateDropped, st.State)
		assert.Empty(t, r.gw.Calls())
	})
	t.Run("resend: 60 s apart, three at most, same code, same attempts", func(t *testing.T) {
		r := newRig(t, func(_ *rig, c *sms.Config) { c.Policy.CodeLife = 10 * time.Minute })
		code := r.code(t, "c-1")
		for range 4 {
			_, err := r.CheckCode(ctx, tenant, "c-1", wrong(code))
			require.ErrorIs(t, err, sms.ErrCode)
		}
		again := sms.ResendRequest{Tenant: tenant, ID: "r-1", Challenge: "c-1"}
		r.clock.add(60*time.Second - time.Microsecond)
		_, err := r.Resend(ctx, again)
		var limit *sms.LimitError
		require.ErrorAs(t, err, &limit)
		assert.Equal(t, r.clock.Now().Add(time.Microsecond), limit.Next)
		r.clock.add(time.Microsecond)
		for range 2 { // the second is a repeat
			_, err = r.Resend(ctx, again)
			require.NoError(t, err)
		}
		for _, other := range []sms.ResendRequest{
			{Tenant: tenant, ID: "r-1", Challenge: "c-1", Kind: sms.VoiceOTP, Template: "voice"},
			{Tenant: tenant, ID: "r-1", Challenge: "c-1", Template: "login"},
			{Tenant: tenant, ID: "c-1", Challenge: "c-1"}, // of the challenge itself
		} {
			_, err = r.Resend(ctx, other)
			require.ErrorIs(t, err, sms.ErrIntentMismatch)
		}
		r.deliver(t)
		require.Len(t, r.gw.Texts(), 2)
		assert.Equal(t, code, r.gw.Texts()[1].Code())
		r.clock.add(time.Minute)
		again.ID, again.Kind, again.Template = "r-2", sms.VoiceOTP, "voice"
		_, err = r.Resend(ctx, again)
		require.NoError(t, err)
		r.deliver(t)
		call, _ := r.gw.Last(phone)
		assert.Equal(t, sms.VoiceOTP, call.Kind, "S05 the same code, read out")
		assert.Equal(t, code, call.Code())
		r.clock.add(time.Minute)
		again.ID = "r-3"
		_, err = r.Resend(ctx, again)
		require.ErrorIs(t, err, sms.ErrLimited)
		_, err = r.CheckCode(ctx, tenant, "c-1", wrong(code))
		require.ErrorIs(t, err, sms.ErrCode)
		_, err = r.CheckCode(ctx, tenant, "c-1", code)
		require.ErrorIs(t, err, sms.ErrCode, "five were compared")
	})
	t.Run("a new challenge closes the old one, after the rate check", func(t *testing.T) {
		r := newRig(t)
		first := r.code(t, "c-1")
		_, err := r.Challenge(ctx, r.ask("c-2"))
		require.ErrorIs(t, err, sms.ErrLimited)
		r.clock.add(time.Minute)
		second := r.code(t, "c-2")
		assert.NotEqual(t, first, second)
		_, err = r.CheckCode(ctx, tenant, "c-1", first)
		require.ErrorIs(t, err, sms.ErrCode)
		_, err = r.CheckCode(ctx, tenant, "c-2", second)
		require.NoError(t, err)
	})
	t.Run("a refused challenge leaves the old one open", func(t *testing.T) {
		r := newRig(t)
		code := r.code(t, "c-1")
		_, err := r.Challenge(ctx, r.ask("c-2"))
		require.ErrorIs(t, err, sms.ErrLimited)
		_, err = r.CheckCode(ctx, tenant, "c-1", code)
		require.NoError(t, err)
	})
}

// TestConcurrentGuesses: attempts are counted before anything is compared.
func TestConcurrentGuesses(t *testing.T) {
	ctx := context.Background()
	guess := func(t *testing.T, r *rig, code sms.Secret) (right int32) {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := r.CheckCode(ctx, tenant, "c-1", code); err == nil {
					atomic.AddInt32(&right, 1)
				}
			})
		}
		wg.Wait()
		return right
	}
	t.Run("100 right guesses: one success", func(t *testing.T) {
		r := newRig(t)
		code := r.code(t, "c-1")
		assert.EqualValues(t, 1, guess(t, r, code))
		assert.Len(t, r.seen(t, sms.EventCodeRight), 1)
	})
	t.Run("100 wrong guesses: five compared", func(t *testing.T) {
		r := newRig(t)
		code := r.code(t, "c-1")
		assert.EqualValues(t, 0, guess(t, r, wrong(code)))
		n := 0
		for _, e := range r.seen(t, sms.EventCodeDenied) {
			if e.Reason == "wrong" {
				n++
			}
		}
		assert.Equal(t, 5, n)
		_, err := r.CheckCode(ctx, tenant, "c-1", code)
		require.ErrorIs(t, err, sms.ErrCode)
	})
}

func TestPhoneLock(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, func(_ *rig, c *sms.Config) {
		c.Limits = sms.Limits{Code: []sms.Window{}, Phone: []sms.Window{}}
	})
	p, err := privacy.NewPhone(phone)
	require.NoError(t, err)
	fail := func(challenges int) {
		for i := range challenges {
			id := fmt.Sprint(r.clock.Now().Unix(), "-", i)
			_, err := r.Challenge(ctx, r.ask(id))
			require.NoError(t, err)
			r.deliver(t)
			text, _ := r.gw.Last(phone)
			for range 5 {
				_, err := r.CheckCode(ctx, tenant, id, wrong(text.Code()))
				require.ErrorIs(t, err, sms.ErrCode)
			}
		}
	}
	fail(4)
	_, err = r.Challenge(ctx, r.ask("locked"))
	require.ErrorIs(t, err, sms.ErrLimited, "20 failures a day")
	for range 4 { // 100 in a row, over five days
		r.clock.add(24 * time.Hour)
		fail(4)
	}
	r.clock.add(24 * time.Hour)
	_, err = r.Challenge(ctx, r.ask("next day"))
	require.ErrorIs(t, err, sms.ErrLimited, "100 in a row need an operator")
	require.NoError(t, r.Unlock(ctx, tenant, p, "op-1"))
	_, err = r.CheckCode(ctx, tenant, "x", "1")
	require.ErrorIs(t, err, sms.ErrCode)
	r.code(t, "unlocked")
}

func TestCodeLimits(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	ip, err := privacy.NewIP("203.0.113.7")
	require.NoError(t, err)
	try := func(id, subject, number, addr string) error {
		q := r.ask(id)
		q.To = r.put(t, subject, number)
		q.IP = ip
		if addr != "" {
			q.IP, err = privacy.NewIP(addr)
			require.NoError(t, err)
		}
		_, err := r.Challenge(ctx, q)
		return err
	}
	scope := func(err error) string {
		t.Helper()
		var limit *sms.LimitError
		require.ErrorAs(t, err, &limit)
		return limit.Scope
	}
	require.NoError(t, try("a", "li", phone, ""))
	assert.Equal(t, "code", scope(try("b", "li", phone, "")), "S18: one a minute")
	for i := range 9 {
		require.NoError(t, try(fmt.Sprint("p", i), fmt.Sprint("s", i), fmt.Sprint("1390000000", i), fmt.Sprint("203.0.113.", i)))
	}
	assert.Equal(t, "ip", scope(try("c", "x", "13700000000", "203.0.113.200")), "S18: ten an hour from a /24")
	require.NoError(t, try("d", "x", "13700000000", "198.51.100.1"))
	for range 4 {
		r.clock.add(time.Minute)
		require.NoError(t, try(fmt.Sprint(r.clock.Now()), "li", phone, "192.0.2.1"))
	}
	r.clock.add(time.Minute)
	assert.Equal(t, "code", scope(try("e", "li", phone, "192.0.2.1")), "S18: five an hour")
	assert.NotContains(t, dump(t, r.store), "203.0.113", "the address is not kept")
}

// TestNothingOfTheCodeIsStored is the canary of A5 and S25.
func TestNothingOfTheCodeIsStored(t *testing.T) {
	ctx := context.Background()
	var kept []string
	for range 3 {
		r := newRig(t)
		_, err := r.Send(ctx, r.invite("m-1"))
		require.NoError(t, err)
		r.deliver(t) // else the two texts race, and the last may be the notice
		code := r.code(t, "c-1")
		proof, err := r.CheckCode(ctx, tenant, "c-1", code)
		require.NoError(t, err)
		_, err = r.consume(proof, r.binding())
		require.NoError(t, err)
		all := dump(t, r.store) + fmt.Sprintf("%#v %v %v", proof, r.ask("c-1"), r.invite("m-1"))
		if strings.Contains(all, string(code)) { // six digits may stand somewhere by chance, not thrice
			kept = append(kept, string(code))
		}
		for _, canary := range []string{phone, phone[3:], "保密协议", "云杉示例", string(proof.Token)} {
			assert.False(t, strings.Contains(all, canary), canary)
		}
	}
	assert.Less(t, len(kept), 3)
}

// TestStoreErrorDenies: no answer of the store, no proof.
func TestStoreErrorDenies(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	code := r.code(t, "c-1")
	for n := 1; n <= 2; n++ { // counting the attempt, consuming the code
		dead := newRigOn(t, storagetest.CrashBefore(r.store, n), r.clock, r.root)
		proof, err := dead.CheckCode(ctx, tenant, "c-1", code)
		require.ErrorIs(t, err, storagetest.ErrInjected)
		assert.Zero(t, proof)
	}
	_, err := r.CheckCode(ctx, tenant, "c-1", code)
	require.NoError(t, err)
}
