package evidence

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// crowded counts the commits that are under way at once.
type crowded struct {
	storage.Store
	now, most atomic.Int64
}

func (c *crowded) Commit(ctx context.Context, b []storage.Batch) ([]storage.Outcome, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	time.Sleep(time.Millisecond) // for the others to come
	return c.Store.Commit(ctx, b)
}

// Marks are cleared many at a time, but a store that is no group is not asked for more
// connections than a database has.
func TestDueMarksClearedOnFewConnections(t *testing.T) {
	t.Parallel()
	store := &crowded{Store: new(storage.Mem)}
	vault, err := privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: store})
	require.NoError(t, err)
	require.NoError(t, vault.Unlock(t.Context(), "acme"))
	l, err := New(Config{LogSigner: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "sign.example.com/log", Store: store, Vault: vault})
	require.NoError(t, err)
	require.NoError(t, storage.Update(t.Context(), store, func(tx *storage.Tx) error {
		for i := range 200 {
			if _, err := l.AppendTx(t.Context(), tx, Draft{Tenant: "acme", Env: fmt.Sprint("e", i), Type: "code.checked", Actor: Actor{ID: "li"}}); err != nil {
				return err
			}
		}
		return nil
	}))
	n, err := l.Sequence(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 200, n)
	assert.Greater(t, store.most.Load(), int64(1))
	assert.LessOrEqual(t, store.most.Load(), int64(clearAlone))
	keys, err := store.Due(t.Context(), chains.Name, time.Now(), 0)
	require.NoError(t, err)
	assert.Empty(t, keys)
}

// A tenant whose keys cannot be had keeps no other tenant's events out of the tree.
func TestSequenceWithoutOneTenantsKeys(t *testing.T) {
	t.Parallel()
	mem, now := new(storage.Mem), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	open := func() *Log {
		vault, err := privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: mem, Now: clock})
		require.NoError(t, err)
		l, err := New(Config{LogSigner: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "sign.example.com/log", Store: mem, Vault: vault, Now: clock})
		require.NoError(t, err)
		return l
	}
	add := func(l *Log, tenant string) {
		require.NoError(t, l.vault.Unlock(t.Context(), tenant))
		for i := range 3 {
			_, err := l.Append(t.Context(), Draft{Tenant: tenant, Env: fmt.Sprint("e", i), Type: "code.checked", Actor: Actor{ID: "li"}})
			require.NoError(t, err)
		}
	}
	lost := open()
	add(lost, "acme")
	other := open() // under another root key: acme's are sealed for it
	add(other, "bolt")
	n, err := other.Sequence(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	keys, err := mem.Due(t.Context(), chains.Name, now, 0)
	require.NoError(t, err)
	assert.Empty(t, keys, "acme's wait")
	now = now.Add(lockedWait)
	n, err = lost.Sequence(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, n, "and come as soon as there are keys")
}

// The due mark of a chain that is being written stays until the chain is quiet;
// marks that stay never keep others from their turn, and a step says when more
// was due than it took.
func TestDueMarksOfBusyChains(t *testing.T) {
	t.Parallel()
	mem, now := new(storage.Mem), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	vault, err := privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: mem, Now: clock})
	require.NoError(t, err)
	require.NoError(t, vault.Unlock(t.Context(), "acme"))
	l, err := New(Config{LogSigner: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "sign.example.com/log", Store: mem, Vault: vault, Now: clock})
	require.NoError(t, err)
	add := func(env string) {
		_, err := l.Append(t.Context(), Draft{Tenant: "acme", Env: env, Type: "code.checked", Actor: Actor{ID: "li"}})
		require.NoError(t, err)
	}
	due := func() int {
		keys, err := mem.Due(t.Context(), chains.Name, now, 10_000)
		require.NoError(t, err)
		return len(keys)
	}
	step := func() stepped {
		s, err := l.sequence(t.Context(), settled)
		require.NoError(t, err)
		return s
	}
	add("a")
	assert.Equal(t, stepped{events: 1}, step())
	assert.Equal(t, 1, due(), "just written")
	assert.Equal(t, stepped{}, step())
	now = now.Add(settled - time.Microsecond)
	add("a")
	assert.Equal(t, stepped{events: 1}, step())
	now = now.Add(settled)
	assert.Equal(t, stepped{}, step())
	assert.Zero(t, due(), "quiet")

	const many = maxStepChains + 10
	for i := range many {
		add(fmt.Sprintf("b%04d", i))
	}
	assert.Equal(t, stepped{events: maxStepChains, more: true}, step())
	assert.Equal(t, many-maxStepChains, due(), "marks that stay would hide the rest")
	assert.Equal(t, stepped{events: 10}, step())
	assert.Equal(t, 10, due())
	n, err := l.Sequence(t.Context())
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.Zero(t, due(), "Sequence waits for nobody")

	// One that was written since it was looked at goes behind the others.
	add("late")
	now = now.Add(time.Millisecond)
	add("early")
	now = now.Add(time.Millisecond)
	require.NoError(t, l.clear(t.Context(), []storage.Key{chains.Key("acme", "late")}))
	keys, err := mem.Due(t.Context(), chains.Name, now, 10)
	require.NoError(t, err)
	assert.Equal(t, []storage.Key{chains.Key("acme", "early"), chains.Key("acme", "late")}, keys)

	// Chains that are written all the time let each other pass.
	last := fmt.Sprintf("b%04d", many-1)
	for range 4 {
		for i := range many {
			add(fmt.Sprintf("b%04d", i))
		}
		assert.True(t, step().more)
		now = now.Add(time.Millisecond)
	}
	recs, err := mem.Get(t.Context(), []storage.Key{marks.Key("acme", last)})
	require.NoError(t, err)
	m, err := marks.Decode(recs[0])
	require.NoError(t, err)
	assert.GreaterOrEqual(t, m.Seq, uint64(5), "two before, and three of four")
}
