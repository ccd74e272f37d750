package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
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

// A call is one operation on the hot account: reserve units and capture some of
// their lines, or read the balance.
type call struct {
	Lines   int // 0: read
	Capture int // of the lines, at once, in a call of its own
}

// An answer is what came back.
type answer struct {
	Kind      string // "ok", "refused", "unknown", later "done"
	Available quota.Units
	Used      quota.Units
}

// event is a line that a process prints.
type event struct {
	ID           string
	Client       int
	In           call
	Out          answer
	Begin, Ended int64 // nanoseconds since 1970: one machine, one clock
}

const hotUnits = 150

type accountState struct{ available, used quota.Units }

// account is the plain model: two numbers.
var account = porcupine.Model{
	Init: func() any { return accountState{available: hotUnits} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(accountState), input.(call), output.(answer)
		n := quota.Units(in.Lines)
		after := accountState{s.available - n, s.used + quota.Units(in.Capture)}
		switch {
		case out.Kind == "done": // with an answer that got lost
			return s.available >= n, after
		case in.Lines == 0:
			return out.Available == s.available && out.Used == s.used, s
		case out.Kind == "refused":
			return s.available < n, s
		}
		return s.available >= n && out.Available == after.available && out.Used == after.used, after
	},
}

const hot = quota.AccountID("hot")

func grant(t *testing.T, s storage.Store) {
	t.Helper()
	l, err := quota.New(quota.Config{Store: s})
	require.NoError(t, err)
	_, err = l.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "lot", Account: hot, Unit: quota.UnitSign, Units: hotUnits, Term: quota.Term{Years: 1}})
	require.NoError(t, err)
}

// act does one call in one commit: reserve and capture together, so that the
// model has one step.
func act(ctx context.Context, s storage.Store, l *quota.Ledger, id string, in call) (answer, error) {
	if in.Lines == 0 {
		lots, err := l.Lots(ctx, quota.BalanceRequest{Tenant: tenant, Account: hot})
		if err != nil {
			return answer{}, err
		}
		return answer{"ok", lots[0].Available(), lots[0].Used}, nil
	}
	req := quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(id), Account: hot}
	capture := quota.CaptureRequest{Tenant: tenant, ID: "capture-" + id, Hold: quota.HoldID(id)}
	for i := range in.Lines {
		slot := quota.SlotID(fmt.Sprint(i))
		req.Lines = append(req.Lines, quota.LineRequest{Slot: slot, Kind: quota.KindOrdinary, Channel: quota.WeChat})
		if i < in.Capture {
			capture.Slots = append(capture.Slots, slot)
		}
	}
	out := answer{Kind: "ok"}
	err := storage.Update(ctx, s, func(tx *storage.Tx) error {
		if _, err := l.ReserveTx(ctx, tx, req); err != nil {
			return err
		}
		if in.Capture > 0 {
			if _, err := l.CaptureTx(ctx, tx, capture); err != nil {
				return err
			}
		}
		lots, err := l.LotsTx(ctx, tx, quota.BalanceRequest{Tenant: tenant, Account: hot})
		if err == nil {
			out.Available, out.Used = lots[0].Available(), lots[0].Used
		}
		return err
	})
	return out, err
}

// work makes calls of one client and reports them.
func work(ctx context.Context, s storage.Store, run string, client, calls int, report func(event)) error {
	l, err := quota.New(quota.Config{Store: s})
	if err != nil {
		return err
	}
	for i := range calls {
		in := call{Lines: rand.IntN(4)}
		in.Capture = rand.IntN(in.Lines + 1)
		e := event{ID: fmt.Sprintf("%s-%d-%d", run, client, i), Client: client, In: in, Begin: time.Now().UnixNano()}
		c, cancel := context.WithCancel(ctx)
		if rand.IntN(10) == 0 { // a caller who gives up
			c, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(4000))*time.Microsecond)
		}
		e.Out, err = act(c, s, l, e.ID, in)
		e.Ended = time.Now().UnixNano()
		ended := c.Err() != nil || errors.Is(err, context.DeadlineExceeded)
		cancel()
		switch {
		case err == nil:
		case in.Lines > 0 && errors.Is(err, storage.ErrUnknown):
			e.Out, e.Ended = answer{Kind: "unknown"}, 0
		case errors.As(err, new(*quota.InsufficientError)):
			e.Out = answer{Kind: "refused"}
		case ended || errors.Is(err, storage.ErrContended): // surely nothing happened
			continue
		default:
			return err
		}
		report(e)
	}
	return nil
}

func checkHistory(t *testing.T, events []event, s storage.Store) {
	t.Helper()
	l, err := quota.New(quota.Config{Store: s})
	require.NoError(t, err)
	var ops []porcupine.Operation
	kinds := make(map[string]int)
	for _, e := range events {
		if e.Out.Kind == "unknown" { // it happened by now, or it did not
			_, err := l.Hold(t.Context(), quota.HoldRequest{Tenant: tenant, ID: quota.HoldID(e.ID)})
			if errors.Is(err, quota.ErrNotFound) {
				kinds["lost"]++
				continue
			}
			require.NoError(t, err)
			e.Out.Kind, e.Ended = "done", time.Now().UnixNano()
		}
		ops = append(ops, porcupine.Operation{ClientId: e.Client, Input: e.In, Output: e.Out, Call: e.Begin, Return: e.Ended})
		kinds[e.Out.Kind]++
	}
	t.Logf("%d calls: %v", len(ops), kinds)
	require.NotZero(t, kinds["ok"])
	assert.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(account, ops, time.Minute))
	conserved(t, s)
}

// conserved checks that no unit was lost or made, and that the journal agrees.
func conserved(t *testing.T, s storage.Store) quota.Lot {
	t.Helper()
	l, err := quota.New(quota.Config{Store: s})
	require.NoError(t, err)
	lots, err := l.Lots(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: hot})
	require.NoError(t, err)
	require.Len(t, lots, 1)
	lot := lots[0]
	held, used := lines(t, l)
	// A server may still be at work on what a process that is gone sent last.
	for range 20 {
		if held == lot.Held && used == lot.Used {
			break
		}
		time.Sleep(100 * time.Millisecond)
		lots, err := l.Lots(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: hot})
		require.NoError(t, err)
		lot = lots[0]
		held, used = lines(t, l)
	}
	assert.Equal(t, held, lot.Held, "holds and the lot disagree")
	assert.Equal(t, used, lot.Used, "captures and the lot disagree")
	assert.Equal(t, lot.Granted, lot.Available()+lot.Held+lot.Used+lot.Expired+lot.Clawed)
	return lot
}

// lines adds up what holds say.
func lines(t *testing.T, l *quota.Ledger) (held, used quota.Units) {
	t.Helper()
	for h, err := range l.Holds(t.Context(), quota.HoldsRequest{Tenant: tenant}) {
		require.NoError(t, err)
		for _, line := range h.Lines {
			switch line.State {
			case quota.Held:
				held += line.Units
			case quota.Captured:
				used += line.Units
			}
		}
	}
	return held, used
}

// Histories of 16 goroutines on one hot account are linearizable: each with its
// own commits, through one group, and through groups that compete.
func TestLinearGoroutines(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		for name, group := range map[string]func(s *sqlstore.Store) []storage.Store{
			"single": func(s *sqlstore.Store) []storage.Store { return []storage.Store{s} },
			"group":  func(s *sqlstore.Store) []storage.Store { return []storage.Store{storage.Group(s, nil)} },
			"groups and single": func(s *sqlstore.Store) []storage.Store {
				return []storage.Store{storage.Group(s, nil), storage.Group(s, nil), s}
			},
		} {
			t.Run(name, func(t *testing.T) {
				s := d.open(t, nil)
				grant(t, s)
				stores := group(s)
				var mu sync.Mutex
				var events []event
				var wg sync.WaitGroup
				for w := range 16 {
					wg.Go(func() {
						assert.NoError(t, work(t.Context(), stores[w%len(stores)], "r", w, 12, func(e event) {
							mu.Lock()
							defer mu.Unlock()
							events = append(events, e)
						}))
					})
				}
				wg.Wait()
				for _, s := range stores {
					if g, ok := s.(*storage.Grouped); ok {
						require.NoError(t, g.Close())
					}
				}
				checkHistory(t, events, s)
			})
		}
	})
}

// A child is a process of a test.
type child struct {
	Job     string // "linear", "ledger", "kill" or "bench"
	Driver  string
	DSN     string
	Dialect sqlstore.Dialect
	Prefix  string
	Run     string
	Number  int
	Until   int64 // when it ends, in nanoseconds since 1970
	Callers int
}

const childEnv = "SQLSTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		var c child
		err := json.Unmarshal([]byte(text), &c)
		if err == nil {
			err = c.main()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func (c child) command(t *testing.T) (*exec.Cmd, *bufio.Scanner, *strings.Builder) {
	t.Helper()
	text, err := json.Marshal(c)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	stderr := new(strings.Builder)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewScanner(out), stderr
}

func (c child) main() error {
	db, err := sqlOpen(c.Driver, c.DSN)
	if err != nil {
		return err
	}
	s, err := sqlstore.Open(db, c.Dialect, &sqlstore.Options{Prefix: c.Prefix})
	if err != nil {
		return err
	}
	switch c.Job {
	case "linear":
		return c.linear(s)
	case "kill":
		return c.kill(s)
	case "ledger":
		return c.ledger(s)
	case "bench":
		return c.bench(s)
	}
	return fmt.Errorf("unknown job %q", c.Job)
}

// linear works in four goroutines, in a group.
func (c child) linear(s *sqlstore.Store) error {
	g := storage.Group(s, nil)
	errs := make(chan error)
	for w := range 4 {
		go func() {
			errs <- work(context.Background(), g, c.Run, 4*c.Number+w, 12, func(e event) {
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

// Histories of four processes on one hot account are linearizable.
func TestLinearProcesses(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		dsn := d.dsn(t)
		s, o := d.openOn(t, d.connect(t, d.driver, dsn), nil)
		grant(t, s)
		var mu sync.Mutex
		var events []event
		var wg sync.WaitGroup
		for n := range 4 {
			cmd, lines, stderr := child{Job: "linear", Driver: d.driver, DSN: dsn, Dialect: d.dialect, Prefix: o.Prefix, Run: "p", Number: n}.command(t)
			wg.Go(func() {
				for lines.Scan() {
					var e event
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
		checkHistory(t, events, s)
	})
}
