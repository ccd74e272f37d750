package quota_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// sim is actors that work on two accounts over a store that does all the harm
// the contract allows. One thread chooses by a seed who goes on, so a run repeats
// exactly. A caller that gets no answer forgets what it did and calls again, as
// after a crash, under the same id.
type sim struct {
	t       *testing.T
	rnd     *rand.Rand
	mem     *storage.Mem
	chaos   *storagetest.Chaotic
	ledger  *quota.Ledger
	now     time.Time
	answers map[string]string // by id: what was told once is told always
	granted quota.Units
	crashes int
	refusal int
}

// attempt makes a call until it is answered or refused; everything but the store
// is new each time. It reports whether the call was granted.
func (s *sim) attempt(id string, call func(*quota.Ledger) (any, error)) bool {
	s.t.Helper()
	for {
		a, err := call(s.ledger)
		if err == nil {
			data := told(s.t, a, nil)
			if was, ok := s.answers[id]; ok {
				require.Equal(s.t, was, data, "%s is answered twice differently", id)
			}
			s.answers[id] = data
			return true
		}
		if quota.Code(err) != "" {
			s.refusal++
			if was, ok := s.answers[id]; ok {
				require.Fail(s.t, "granted, then refused", "%s: %s, then %v", id, was, err)
			}
			return false
		}
		require.True(s.t, errors.Is(err, storagetest.ErrInjected) || errors.Is(err, storage.ErrUnknown) || errors.Is(err, storage.ErrContended), "%v", err)
		s.crashes++
		s.open()
		if s.rnd.IntN(3) == 0 { // something else happens before it is called again
			s.now = s.now.Add(time.Duration(s.rnd.IntN(600)) * time.Second)
			_, _ = s.ledger.Sweep(s.t.Context(), 5)
		}
	}
}

func (s *sim) open() {
	var err error
	s.ledger, err = quota.New(quota.Config{Store: s.chaos, Now: func() time.Time { return s.now }})
	require.NoError(s.t, err)
}

// sender is an envelope on its way: each call of next does one thing.
type sender struct {
	id      string
	account quota.AccountID
	state   int
	open    []quota.SlotID
}

// next does the next thing of an envelope and reports whether it is over.
func (e *sender) next(s *sim) bool {
	ctx := s.t.Context()
	switch e.state {
	case 0: // send
		req := quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(e.id), Account: e.account}
		for i := range 1 + s.rnd.IntN(3) {
			channel := quota.WeChat
			if s.rnd.IntN(3) == 0 {
				channel = quota.SMS
			}
			req.Lines = append(req.Lines, line(quota.SlotID(fmt.Sprint("s", i)), channel))
			e.open = append(e.open, req.Lines[i].Slot)
		}
		e.state = 1
		return !s.attempt(e.id, func(l *quota.Ledger) (any, error) { return answer(l.Reserve(ctx, req)) })
	case 1: // sign, one after the other, or revoke
		if len(e.open) == 0 {
			return true
		}
		if s.rnd.IntN(5) == 0 {
			req := quota.ReleaseRequest{Tenant: tenant, ID: e.id + "-revoke", Hold: quota.HoldID(e.id), Cause: quota.Revoked}
			require.True(s.t, s.attempt(req.ID, func(l *quota.Ledger) (any, error) { return answer(l.Release(ctx, req)) }))
			e.open = nil
			return true
		}
		slot := e.open[0]
		e.open = e.open[1:]
		req := quota.CaptureRequest{Tenant: tenant, ID: e.id + "-sign-" + string(slot), Hold: quota.HoldID(e.id), Slots: []quota.SlotID{slot}}
		require.True(s.t, s.attempt(req.ID, func(l *quota.Ledger) (any, error) { return answer(l.Capture(ctx, req)) }))
	}
	return len(e.open) == 0
}

// TestSimulation: whatever is lost, late, half done or repeated, every call is
// answered one way, and no unit is lost or made. COUNTERSIGN_SEEDS=n tries more.
func TestSimulation(t *testing.T) {
	seeds := 20
	if n, err := strconv.Atoi(os.Getenv("COUNTERSIGN_SEEDS")); err == nil {
		seeds = n
	}
	crashes, refusals := 0, 0
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := simulate(t, seed, 300)
			crashes, refusals = crashes+s.crashes, refusals+s.refusal
			again := simulate(t, seed, 300)
			require.Equal(t, s.answers, again.answers, "a run repeats exactly")
		})
	}
	assert.Positive(t, crashes)
	assert.Positive(t, refusals)
}

func simulate(t *testing.T, seed uint64, steps int) *sim {
	s := &sim{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), mem: new(storage.Mem), now: noon, answers: map[string]string{}}
	s.chaos = storagetest.Chaos(s.mem, seed)
	s.open()
	accounts := []quota.AccountID{"hr", "li"}
	var running []*sender
	ended := quota.Units(0)
	for n := range steps {
		s.now = s.now.Add(time.Duration(s.rnd.IntN(3600)) * time.Second)
		id := fmt.Sprint("n", n)
		account := accounts[s.rnd.IntN(len(accounts))]
		switch k := s.rnd.IntN(20); {
		case k < 2:
			req := quota.GrantRequest{Tenant: tenant, ID: quota.LotID(id), Account: account, Unit: quota.UnitSign, Units: quota.Units(1 + s.rnd.IntN(8)), Term: quota.Term{Days: 1 + s.rnd.IntN(4)}}
			require.True(t, s.attempt(id, func(l *quota.Ledger) (any, error) { return answer(l.Grant(t.Context(), req)) }))
			s.granted += req.Units
		case k < 8:
			e := &sender{id: id, account: account}
			if !e.next(s) {
				running = append(running, e)
			}
		case k < 9:
			req := quota.ClawRequest{Tenant: tenant, ID: id, Account: account, Units: 1, Actor: "ops", Reason: "abuse"}
			s.attempt(id, func(l *quota.Ledger) (any, error) { return answer(l.Claw(t.Context(), req)) })
		case k < 11:
			_, _ = s.ledger.Sweep(t.Context(), 5)
		default:
			if len(running) == 0 {
				continue
			}
			i := s.rnd.IntN(len(running))
			if running[i].next(s) {
				running = append(running[:i], running[i+1:]...)
			}
		}
	}
	require.NoError(t, s.chaos.Settle(t.Context()))
	plain, err := quota.New(quota.Config{Store: s.mem, Now: func() time.Time { return s.now }})
	require.NoError(t, err)
	_, err = plain.Verify(t.Context(), tenant)
	require.NoError(t, err)
	for _, a := range accounts {
		st, err := plain.Statement(t.Context(), quota.StatementRequest{Tenant: tenant, Account: a})
		require.NoError(t, err)
		sums(t, st)
		reversals(t, st)
		for _, l := range st.Lines {
			switch {
			case l.Debit == quota.BookIssue:
				ended += l.Units
			}
		}
	}
	require.Equal(t, s.granted, ended, "no unit is lost or made")
	return s
}

// Failures that others have had, as stories of ours.

func TestRegression_six_holds_of_a_thousand_on_five_thousand(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5000, 30)
	refused := 0
	for i := range 6 {
		_, err := k.tryReserve(quota.HoldID(fmt.Sprint("env-", i)), quota.LineRequest{Slot: "s", Kind: quota.KindOrdinary, Quantity: 1000})
		if err != nil {
			require.ErrorIs(t, err, quota.ErrInsufficient)
			refused++
		}
	}
	assert.Equal(t, 1, refused)
	assert.Zero(t, k.spendable())
	assert.Equal(t, quota.Units(5000), k.lotNow("a").Held)
	k.verify()
}

func TestRegression_double_void_returns_once(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 3, 30)
	k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.WeChat))
	req := quota.ReleaseRequest{Tenant: tenant, ID: "void", Hold: "env/1", Cause: quota.Revoked}
	first, err := k.Release(t.Context(), req)
	require.NoError(t, err)
	again, err := k.Release(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, first, again)
	req.ID = "void-2"
	empty, err := k.Release(t.Context(), req)
	require.NoError(t, err, "nothing is held any more")
	assert.Empty(t, empty.Lines)
	_, err = k.tryRelease("env/1", quota.Revoked, "li")
	require.ErrorIs(t, err, quota.ErrSettled)
	assert.Equal(t, quota.Units(3), k.spendable())
	k.verify()
}

func TestRegression_refused_hold_is_never_applied(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 1, 30)
	_, err := k.tryReserve("env/1", line("li", quota.WeChat), line("wang", quota.WeChat))
	require.ErrorIs(t, err, quota.ErrInsufficient)
	_, err = k.tryCapture("env/1", "li")
	require.ErrorIs(t, err, quota.ErrNotFound)
	_, err = k.tryRelease("env/1", quota.Revoked)
	require.ErrorIs(t, err, quota.ErrNotFound)
	assert.Equal(t, quota.Units(1), k.spendable())
	k.lot("b", 5, 30)
	_, err = k.Hold(t.Context(), quota.HoldRequest{Tenant: tenant, ID: "env/1"})
	require.ErrorIs(t, err, quota.ErrNotFound, "units that come later do not revive it")
	k.verify()
}

// TestRegression_a_broken_store_grants_nothing: no failure of the store is taken
// for permission.
func TestRegression_a_broken_store_grants_nothing(t *testing.T) {
	k := newKit(t, quota.Config{})
	k.lot("a", 5, 30)
	broken := &flaky{Store: k.store, dead: true}
	l, err := quota.New(quota.Config{Store: broken, Now: func() time.Time { return k.at }})
	require.NoError(t, err)
	req := quota.ReserveRequest{Tenant: tenant, ID: "env/1", Account: account, Lines: []quota.LineRequest{line("li", quota.WeChat)}}
	for _, call := range []func() error{
		func() error { return second(l.Reserve(t.Context(), req)) },
		func() error { return second(l.Quote(t.Context(), req)) },
		func() error {
			return second(l.Charge(t.Context(), quota.ChargeRequest{Tenant: tenant, ID: "env/2", Account: account, Lines: req.Lines}))
		},
		func() error {
			return second(l.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account}))
		},
		func() error {
			_, _, err := l.ReserveMany(t.Context(), []quota.ReserveRequest{req})
			return err
		},
	} {
		err := call()
		require.ErrorIs(t, err, storagetest.ErrInjected)
		assert.Empty(t, quota.Code(err), "nor for a refusal")
	}
	assert.Equal(t, quota.Units(5), k.spendable())
}
