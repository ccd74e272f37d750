package boltstore_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

const (
	killEnv     = "BOLTSTORE_TEST_KILLED_CHILD"
	killWorkers = 8
	killUnits   = 1 << 30
)

func TestMain(m *testing.M) {
	if path := os.Getenv(killEnv); path != "" {
		if err := killedChild(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type head struct {
	Units int `json:"units"`
}

var (
	heads   = storage.Kind[head]{Name: "kill.head", Schema: 1}
	headKey = heads.Key("acme", "head")
)

// take is one operation of the child: the head loses a unit, the stream gets
// an entry, and the answer is kept.
func take(ctx context.Context, s storage.Store, id string) (left int, err error) {
	err = storage.Update(ctx, s, func(tx *storage.Tx) error {
		left, err = storage.Once(tx, storage.Key{Tenant: "acme", Kind: "kill.op", ID: id}, id, func() (int, error) {
			h, ok, err := heads.Get(tx, "acme", "head")
			if err != nil {
				return 0, err
			}
			if !ok {
				h.Units = killUnits
			}
			h.Units--
			if _, err := tx.Append(headKey, []byte(id)); err != nil {
				return 0, err
			}
			return h.Units, heads.Put(tx, "acme", "head", h)
		})
		return err
	})
	return left, err
}

// killedChild works until it is killed, and prints what was acknowledged.
func killedChild(path string) error {
	s, err := boltstore.Open(path, &boltstore.Options{Timeout: 10 * time.Second})
	if err != nil {
		return err
	}
	g := storage.Group(s, nil)
	run := rand.Uint64()
	errs := make(chan error)
	for w := range killWorkers {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%x-%d-%d", run, w, i)
				left, err := take(context.Background(), g, id)
				if err != nil {
					errs <- err
					return
				}
				fmt.Printf("%s %d\n", id, left) // one write, so whole or not at all
			}
		}()
	}
	return <-errs
}

// A process that is killed at any moment loses nothing that it acknowledged,
// and leaves nothing half done. COUNTERSIGN_KILLS sets how often.
func TestKill(t *testing.T) {
	runs := 12
	if testing.Short() {
		runs = 3
	}
	if text := os.Getenv("COUNTERSIGN_KILLS"); text != "" {
		var err error
		runs, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	path := filepath.Join(t.TempDir(), "store.db")
	acknowledged := make(map[string]int)
	for run := range runs {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killEnv+"="+path)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		kill := func() { _ = cmd.Process.Kill() }
		first := true
		for lines.Scan() {
			if first {
				first = false
				time.AfterFunc(time.Duration(rand.IntN(120))*time.Millisecond, kill)
			}
			var id string
			var left int
			if n, _ := fmt.Sscan(lines.Text(), &id, &left); n == 2 {
				acknowledged[id] = left
			}
		}
		_ = cmd.Wait()
		require.Empty(t, stderr.String())
		checkAfterKill(t, path, acknowledged, run)
	}
	t.Logf("%d operations were acknowledged over %d kills", len(acknowledged), runs)
	assert.NotEmpty(t, acknowledged)
}

func checkAfterKill(t *testing.T, path string, acknowledged map[string]int, run int) {
	t.Helper()
	s, err := boltstore.Open(path, nil)
	require.NoError(t, err, "after kill %d", run)
	defer func() { require.NoError(t, s.Close()) }()
	ctx := t.Context()
	recs, err := s.Get(ctx, []storage.Key{headKey})
	require.NoError(t, err)
	h, err := heads.Decode(recs[0])
	require.NoError(t, err)

	// The stream is dense, agrees with the head, and every entry has its answer.
	answers := make(map[string]int)
	for r, err := range storage.Scan(ctx, s, "acme", "kill.op", "") {
		require.NoError(t, err)
		var a struct{ Answer int }
		require.NoError(t, json.Unmarshal(r.Data, &a))
		answers[r.Key.ID] = a.Answer
	}
	n := 0
	for e, err := range storage.Replay(ctx, s, headKey, 0) {
		require.NoError(t, err)
		n++
		if e.Seq != uint64(n) || answers[string(e.Data)] != killUnits-n {
			require.Fail(t, "entry and answer disagree", "entry %d: answer %d of %s", e.Seq, answers[string(e.Data)], e.Data)
		}
	}
	assert.Equal(t, uint64(n), recs[0].Seq)
	assert.Equal(t, killUnits-n, h.Units)
	assert.Len(t, answers, n)

	for id, left := range acknowledged {
		if got, ok := answers[id]; !ok || got != left {
			require.Fail(t, "an acknowledged operation is lost or answers differently", "%s: %d, want %d", id, got, left)
		}
	}
	// Repeating one answers the same.
	for id, left := range acknowledged {
		got, err := take(ctx, s, id)
		require.NoError(t, errors.Join(err))
		assert.Equal(t, left, got)
		break
	}
}
