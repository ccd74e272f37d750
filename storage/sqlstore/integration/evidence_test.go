package integration_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
)

// TestPerfEvidence measures durable, chained, logged events with 6 commitments on
// PostgreSQL, 1024 writers in one process, under COUNTERSIGN_PERF=1. Its floors are
// what the same store does with one empty record a batch, and with the rows of an event.
func TestPerfEvidence(t *testing.T) {
	if os.Getenv("COUNTERSIGN_PERF") != "1" {
		t.Skip("takes a quiet machine: set COUNTERSIGN_PERF=1")
	}
	d := databases[0]
	require.Equal(t, sqlstore.PostgreSQL, d.dialect)
	d.need(t)
	length := 10 * time.Second
	if x, err := time.ParseDuration(os.Getenv("COUNTERSIGN_PERF_FOR")); err == nil {
		length = x
	}
	floor := during(length/2, func(_, i int, s storage.Store) error {
		return storage.Update(t.Context(), s, func(tx *storage.Tx) error {
			return tx.Create(storage.Key{Tenant: "acme", Kind: "floor", ID: fmt.Sprintf("%012x", i)}, []byte("x"), time.Time{})
		})
	}, t, storage.Group(d.open(t, nil), nil))
	// What an event leaves in the store, written without it: the head of its chain, its
	// entry, and the seeds of its commitments.
	head, entry, seeds := make([]byte, 100), make([]byte, 966), make([]byte, 343)
	rows := during(length/2, func(k, i int, s storage.Store) error {
		chain := storage.Key{Tenant: "acme", Kind: "floor.chain", ID: fmt.Sprintf("%08x-%d", i/writers/20, k)}
		return storage.UpdateWith(t.Context(), s, &storage.UpdateOptions{Near: []storage.Key{chain}}, func(tx *storage.Tx) error {
			if err := tx.Put(chain, head, time.Time{}); err != nil {
				return err
			}
			if err := tx.Create(storage.Key{Tenant: "acme", Kind: "floor.seed", ID: fmt.Sprintf("%012x", i)}, seeds, time.Time{}); err != nil {
				return err
			}
			_, err := tx.Append(chain, entry)
			return err
		})
	}, t, storage.Group(d.open(t, nil), nil))

	g := storage.Group(d.open(t, nil), nil)
	vault, err := privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: g})
	require.NoError(t, err)
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	log, err := evidence.New(evidence.Config{LogSigner: key, Origin: "sign.example.com/log", Store: g, Vault: vault})
	require.NoError(t, err)
	require.NoError(t, vault.Unlock(t.Context(), "acme"))
	run, stop := context.WithCancel(t.Context())
	var background sync.WaitGroup
	background.Go(func() { _ = log.Run(run) })
	phone, err := privacy.NewPhone("13800138000")
	require.NoError(t, err)
	ip, err := privacy.NewIP("203.0.113.7")
	require.NoError(t, err)
	agent, err := privacy.NewText("Mozilla/5.0 (X11; Linux x86_64)")
	require.NoError(t, err)
	// Envelopes of 20 events, whose ids begin with the time, as those of the SDK do;
	// the people are those of a writer.
	envs, people := make([]string, writers), make([][]evidence.Personal, writers)
	for k := range people {
		for _, id := range []string{"li", "wang"} {
			who := privacy.Subject{Tenant: "acme", ID: fmt.Sprintf("%s-%d", id, k)}
			people[k] = append(people[k], evidence.Personal{Subject: who, Value: phone}, evidence.Personal{Subject: who, Value: ip},
				evidence.Personal{Subject: who, Field: privacy.FieldUserAgent, Value: agent})
		}
	}
	var stored atomic.Int64
	rate := during(length, func(k, i int, s storage.Store) error {
		if i/writers%20 == 0 {
			envs[k] = fmt.Sprintf("%s-%d", storage.OldestFirst(time.Now()), k)
		}
		e := evidence.Draft{Tenant: "acme", Env: envs[k], Type: "code.checked", Actor: evidence.Actor{ID: "li", Role: "signer", Account: "li"}, Personal: people[k]}
		near := &storage.UpdateOptions{Near: []storage.Key{{Tenant: "acme", Kind: "evidence.chain", ID: e.Env}}}
		err := storage.UpdateWith(t.Context(), s, near, func(tx *storage.Tx) error { _, err := log.AppendTx(t.Context(), tx, e); return err })
		if err == nil {
			stored.Add(1)
		}
		return err
	}, t, g)
	end := time.Now()
	for time.Since(end) < time.Minute {
		cp, err := log.Checkpoint(t.Context())
		require.NoError(t, err)
		if cp.Size >= uint64(stored.Load()) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	lag := time.Since(end)
	stop()
	background.Wait()
	fmt.Printf("PERF E7 PostgreSQL events/s, 1024 writers: %.0f/s floor %.0f/s one-record updates ratio %.3f target >= 30000/s\n", rate, floor, rate/floor)
	fmt.Printf("PERF E7 PostgreSQL events/s, 1024 writers, against their three rows alone: %.0f/s floor %.0f/s ratio %.3f target -\n", rate, rows, rate/rows)
	fmt.Printf("PERF E7 PostgreSQL backlog at the end: %s floor 1s ratio %.3f target < 1\n", lag, lag.Seconds())
	require.NoError(t, g.Close())
}

const writers = 1024

// during lets 1024 writers call f for a while, and returns calls per second.
func during(length time.Duration, f func(writer, i int, s storage.Store) error, t *testing.T, s storage.Store) float64 {
	var n atomic.Int64
	var wg sync.WaitGroup
	from := time.Now()
	for k := range writers {
		wg.Go(func() {
			for i := 0; time.Since(from) < length; i++ {
				if !assert.NoError(t, f(k, i*writers+k, s)) {
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(from).Seconds()
}
