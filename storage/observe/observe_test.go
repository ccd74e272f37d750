package observe_test

import (
	"bytes"
	"errors"
	"expvar"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/observe"
	"github.com/countersign/countersign/storage/storagetest"
)

func ExampleExpvar() {
	vars := new(expvar.Map) // expvar.NewMap("countersign") publishes one
	observe.Expvar(vars).Observe(storage.Measure{Name: storage.MeasureCommit, N: 3, Took: 2 * time.Millisecond, Labels: []storage.Label{{Key: "outcome", Value: "ok"}}})
	fmt.Println(vars)
	// Output: {"storage.commit.ok.count": 1, "storage.commit.ok.n": 3, "storage.commit.ok.us": 2000}
}

func TestSlog(t *testing.T) {
	var b bytes.Buffer
	h := slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	m := storage.Measure{Name: storage.MeasureRefusal, N: 1, Labels: []storage.Label{{Key: "code", Value: "suspended"}}}
	observe.Slog(slog.New(h), slog.LevelDebug).Observe(m)
	assert.Empty(t, b.String(), "below the level")
	observe.Slog(slog.New(h), slog.LevelInfo).Observe(m)
	assert.Equal(t, "level=INFO msg=quota.refusal n=1 code=suspended\n", b.String())
}

// TestGroup hears a group work over a store that loses an answer.
func TestGroup(t *testing.T) {
	vars := new(expvar.Map)
	mem := new(storage.Mem)
	g := storage.Group(storagetest.FailAfter(mem, 2), &storage.GroupOptions{Shards: 1, Observer: observe.Expvar(vars)})
	k := storage.Key{Tenant: "acme", Kind: "t.rec", ID: "a"}
	put := func(s storage.Store) error {
		return storage.Update(t.Context(), s, func(tx *storage.Tx) error { return tx.Put(k, nil, time.Time{}) })
	}
	require.NoError(t, put(g))
	require.NoError(t, put(g), "run again after a lost answer")
	require.NoError(t, put(mem), "another process")
	require.NoError(t, put(g))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			err := storage.Update(t.Context(), g, func(tx *storage.Tx) error {
				time.Sleep(7 * time.Millisecond)
				return errors.New("no")
			})
			assert.Error(t, err)
		})
	}
	wg.Wait()
	n := func(name string) string {
		if v := vars.Get(name); v != nil {
			return v.String()
		}
		return "0"
	}
	assert.Eventually(t, func() bool { return n("storage.round.n") != "0" && n("storage.conflict.n") != "0" }, time.Second, time.Millisecond)
	assert.Equal(t, "1", n("storage.commit.unknown.count"))
	assert.NotEqual(t, "0", n("storage.commit.ok.us"))
	assert.NotEqual(t, "0", n("storage.rerun.n"))
	assert.NotEqual(t, "0", n("storage.get.n"))
	assert.NotEqual(t, "0", n("storage.cache.yes.n"))
	assert.NotEqual(t, "0", n("storage.cache.no.n"))
	assert.Equal(t, "20", n("storage.slow.count"))
	assert.NotEqual(t, "0", n("storage.wait.count"))
}
