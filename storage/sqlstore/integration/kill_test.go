package integration_test

import (
	"context"
	"database/sql"
	"encoding/json"
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
	"github.com/countersign/countersign/storage/sqlstore"
)

func sqlOpen(driver, dsn string) (*sql.DB, error) { return sql.Open(driver, dsn) }

// acked is a line of a child that is to be killed: what was answered.
type acked struct {
	ID     string
	Answer quota.Hold
}

// kill reserves and captures until the process dies.
func (c child) kill(s *sqlstore.Store) error {
	g := storage.Group(s, nil)
	l, err := quota.New(quota.Config{Store: g})
	if err != nil {
		return err
	}
	errs := make(chan error)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", c.Run, w, i)
				hold, err := l.Reserve(context.Background(), killedReserve(id))
				if err == nil {
					var line []byte
					if line, err = json.Marshal(acked{id, hold}); err == nil {
						fmt.Println(string(line))
						_, err = l.Capture(context.Background(), killedCapture(id))
					}
				}
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	return <-errs
}

func killedReserve(id string) quota.ReserveRequest {
	return quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(id), Account: hot,
		Lines: []quota.LineRequest{{Slot: "1", Kind: quota.KindOrdinary, Channel: quota.WeChat}, {Slot: "2", Kind: quota.KindOrdinary, Channel: quota.WeChat}}}
}

func killedCapture(id string) quota.CaptureRequest {
	return quota.CaptureRequest{Tenant: tenant, ID: "capture-" + id, Hold: quota.HoldID(id), Slots: []quota.SlotID{"1"}}
}

// A process that is killed at any moment loses nothing that it acknowledged and
// leaves nothing half done: no unit is lost or made, and no call repeated later
// answers differently. COUNTERSIGN_KILLS sets how often.
func TestKill(t *testing.T) {
	kills := 6
	if text := os.Getenv("COUNTERSIGN_KILLS"); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	each(t, func(t *testing.T, d database) {
		dsn := d.dsn(t)
		s, o := d.openOn(t, d.connect(t, d.driver, dsn), nil)
		l, err := quota.New(quota.Config{Store: s})
		require.NoError(t, err)
		_, err = l.Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: "lot", Account: hot, Unit: quota.UnitSign, Units: 1e9, Term: quota.Term{Years: 1}})
		require.NoError(t, err)
		answers := make(map[string]quota.Hold)
		for run := range kills {
			c := child{Job: "kill", Driver: d.driver, DSN: dsn, Dialect: d.dialect, Prefix: o.Prefix, Run: fmt.Sprint("k", run)}
			cmd, lines, stderr := c.command(t)
			first := true
			var ids []string
			for lines.Scan() {
				if first {
					first = false
					time.AfterFunc(time.Duration(rand.IntN(150))*time.Millisecond, func() { _ = cmd.Process.Kill() })
				}
				var a acked
				if json.Unmarshal(lines.Bytes(), &a) == nil {
					answers[a.ID] = a.Answer
					ids = append(ids, a.ID)
				}
			}
			_ = cmd.Wait()
			require.Empty(t, stderr.String())
			for _, id := range ids {
				_, err := l.Hold(t.Context(), quota.HoldRequest{Tenant: tenant, ID: quota.HoldID(id)})
				require.NoError(t, err, "an acknowledged hold is lost")
			}
		}
		require.NotEmpty(t, answers)
		lot := conserved(t, s)
		for { // the server may still store what the last process sent
			time.Sleep(300 * time.Millisecond)
			again := conserved(t, s)
			if again.Held+again.Used == lot.Held+lot.Used {
				break
			}
			lot = again
		}
		t.Logf("%d kills, %d acknowledged, %d units held, %d used", kills, len(answers), lot.Held, lot.Used)
		assert.GreaterOrEqual(t, int(lot.Held+lot.Used), 2*len(answers))
		n := 0
		for id, want := range answers {
			got, err := l.Reserve(t.Context(), killedReserve(id))
			require.NoError(t, err)
			require.Equal(t, want.ID, got.ID)
			require.Equal(t, want.Lines, got.Lines, "answered differently")
			_, err = l.Capture(t.Context(), killedCapture(id)) // if it was not: now
			require.NoError(t, err)
			if n++; n == 200 {
				break
			}
		}
		after := conserved(t, s)
		assert.Equal(t, lot.Held+lot.Used, after.Held+after.Used, "a repeated call took units")
	})
}
