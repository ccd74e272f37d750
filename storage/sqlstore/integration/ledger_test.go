package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
)

// A ledgerCall is one call of quota.Ledger on the hot account, on its own: holds
// are shared, so that captures and releases of different callers meet.
type ledgerCall struct {
	Do   string // "reserve", "capture", "release" or "balance"
	Hold string // 3 lines of a unit
	Slot int    // to capture; release takes what is left
	ID   string
}

// A ledgerAnswer is what came back.
type ledgerAnswer struct {
	Kind      string // "ok", "short", "settled" or "absent"
	Units     int    // released
	Available quota.Units
	Used      quota.Units
}

type ledgerEvent struct {
	Client       int
	In           ledgerCall
	Out          ledgerAnswer
	Begin, Ended int64
}

const (
	ledgerLines = 3
	ledgerHolds = 8
)

// ledgerState is the plain model: two sums, and one letter per line of each hold:
// h is held, c is captured, r is released, and nothing for a hold that is not.
type ledgerState struct {
	available, used quota.Units
	holds           [ledgerHolds]string
}

var ledgerModel = porcupine.Model{
	Init: func() any { return ledgerState{available: 12} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(ledgerState), input.(ledgerCall), output.(ledgerAnswer)
		want := s.step(in)
		return want == out, s
	},
	Equal: func(a, b any) bool { return a == b },
}

// step does one call, and says what it answers.
func (s *ledgerState) step(in ledgerCall) ledgerAnswer {
	n := int(in.Hold[0] - '0')
	lines := s.holds[n]
	switch in.Do {
	case "balance":
		return ledgerAnswer{Kind: "ok", Available: s.available, Used: s.used}
	case "reserve":
		switch {
		case lines != "": // a repeat
			return ledgerAnswer{Kind: "ok"}
		case s.available < ledgerLines:
			return ledgerAnswer{Kind: "short"}
		}
		s.available -= ledgerLines
		s.holds[n] = "hhh"
		return ledgerAnswer{Kind: "ok"}
	case "capture":
		switch {
		case lines == "":
			return ledgerAnswer{Kind: "absent"}
		case lines[in.Slot] != 'h':
			return ledgerAnswer{Kind: "settled"}
		}
		s.holds[n] = lines[:in.Slot] + "c" + lines[in.Slot+1:]
		s.used++
		return ledgerAnswer{Kind: "ok"}
	}
	if lines == "" {
		return ledgerAnswer{Kind: "absent"}
	}
	out := ledgerAnswer{Kind: "ok"}
	after := []byte(lines)
	for i, c := range after {
		if c == 'h' {
			after[i] = 'r'
			out.Units++
		}
	}
	s.available += quota.Units(out.Units)
	s.holds[n] = string(after)
	return out
}

func (in ledgerCall) run(ctx context.Context, l *quota.Ledger) (ledgerAnswer, error) {
	hold := quota.HoldID("hold" + in.Hold)
	switch in.Do {
	case "balance":
		lots, err := l.Lots(ctx, quota.BalanceRequest{Tenant: tenant, Account: hot})
		if err != nil {
			return ledgerAnswer{}, err
		}
		return ledgerAnswer{Kind: "ok", Available: lots[0].Available(), Used: lots[0].Used}, nil
	case "reserve":
		req := quota.ReserveRequest{Tenant: tenant, ID: hold, Account: hot}
		for i := range ledgerLines {
			req.Lines = append(req.Lines, quota.LineRequest{Slot: quota.SlotID(fmt.Sprint(i)), Kind: quota.KindOrdinary, Channel: quota.WeChat})
		}
		_, err := l.Reserve(ctx, req)
		return ledgerAnswer{Kind: "ok"}, err
	case "capture":
		_, err := l.Capture(ctx, quota.CaptureRequest{Tenant: tenant, ID: in.ID, Hold: hold, Slots: []quota.SlotID{quota.SlotID(fmt.Sprint(in.Slot))}})
		return ledgerAnswer{Kind: "ok"}, err
	}
	got, err := l.Release(ctx, quota.ReleaseRequest{Tenant: tenant, ID: in.ID, Hold: hold, Cause: quota.Revoked})
	out := ledgerAnswer{Kind: "ok"}
	for _, line := range got.Lines {
		if line.State == quota.Released {
			out.Units++
		}
	}
	return out, err
}

// ledgerWork makes calls of one client. All callers share eight holds.
func ledgerWork(ctx context.Context, s storage.Store, client, calls int, report func(ledgerEvent)) error {
	l, err := quota.New(quota.Config{Store: s})
	if err != nil {
		return err
	}
	for i := range calls {
		in := ledgerCall{Do: []string{"reserve", "reserve", "capture", "capture", "release", "balance"}[rand.IntN(6)],
			Hold: fmt.Sprint(rand.IntN(ledgerHolds)), Slot: rand.IntN(ledgerLines), ID: fmt.Sprintf("op-%d-%d", client, i)}
		e := ledgerEvent{Client: client, In: in, Begin: time.Now().UnixNano()}
		e.Out, err = in.run(ctx, l)
		e.Ended = time.Now().UnixNano()
		switch {
		case err == nil:
		case errors.As(err, new(*quota.InsufficientError)):
			e.Out = ledgerAnswer{Kind: "short"}
		case errors.As(err, new(*quota.SettledError)):
			e.Out = ledgerAnswer{Kind: "settled"}
		case errors.Is(err, quota.ErrNotFound):
			e.Out = ledgerAnswer{Kind: "absent"}
		default:
			return err
		}
		report(e)
	}
	return nil
}

func checkLedger(t *testing.T, events []ledgerEvent, s storage.Store) {
	t.Helper()
	var ops []porcupine.Operation
	kinds := make(map[string]int)
	for _, e := range events {
		ops = append(ops, porcupine.Operation{ClientId: e.Client, Input: e.In, Output: e.Out, Call: e.Begin, Return: e.Ended})
		kinds[e.In.Do+" "+e.Out.Kind]++
	}
	t.Logf("%d calls: %v", len(ops), kinds)
	for _, kind := range []string{"reserve ok", "capture ok", "release ok"} {
		assert.NotZero(t, kinds[kind], kind)
	}
	assert.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(ledgerModel, ops, time.Minute))
	conserved(t, s)
}

func grantLedger(t *testing.T, s storage.Store) {
	t.Helper()
	l, err := quota.New(quota.Config{Store: s})
	require.NoError(t, err)
	_, err = l.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "lot", Account: hot, Unit: quota.UnitSign, Units: 12, Term: quota.Term{Years: 1}})
	require.NoError(t, err)
}

// Reserve, Capture, Release and Lots of 16 goroutines who share eight holds of one
// account are linearizable, each answer included.
func TestLedgerGoroutines(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := d.open(t, nil)
		grantLedger(t, s)
		stores := []storage.Store{storage.Group(s, nil), storage.Group(s, nil), s}
		var mu sync.Mutex
		var events []ledgerEvent
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				assert.NoError(t, ledgerWork(t.Context(), stores[w%len(stores)], w, 12, func(e ledgerEvent) {
					mu.Lock()
					defer mu.Unlock()
					events = append(events, e)
				}))
			})
		}
		wg.Wait()
		for _, s := range stores[:2] {
			require.NoError(t, s.(*storage.Grouped).Close())
		}
		checkLedger(t, events, s)
	})
}

// ledger works in four goroutines, in a group.
func (c child) ledger(s *sqlstore.Store) error {
	g := storage.Group(s, nil)
	errs := make(chan error)
	for w := range 4 {
		go func() {
			errs <- ledgerWork(context.Background(), g, 4*c.Number+w, 12, func(e ledgerEvent) {
				line, err := json.Marshal(e)
				if err != nil {
					panic(err)
				}
				fmt.Println(string(line)) // one write, so whole or not at all
			})
		}()
	}
	var err error
	for range 4 {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, g.Close())
}

// The same of four processes.
func TestLedgerProcesses(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		dsn := d.dsn(t)
		s, o := d.openOn(t, d.connect(t, d.driver, dsn), nil)
		grantLedger(t, s)
		var mu sync.Mutex
		var events []ledgerEvent
		var wg sync.WaitGroup
		for n := range 4 {
			cmd, lines, stderr := child{Job: "ledger", Driver: d.driver, DSN: dsn, Dialect: d.dialect, Prefix: o.Prefix, Number: n}.command(t)
			wg.Go(func() {
				for lines.Scan() {
					var e ledgerEvent
					if assert.NoError(t, json.Unmarshal(lines.Bytes(), &e)) {
						mu.Lock()
						events = append(events, e)
						mu.Unlock()
					}
				}
				assert.NoError(t, cmd.Wait())
				assert.Empty(t, stderr.String())
			})
		}
		wg.Wait()
		checkLedger(t, events, s)
	})
}
