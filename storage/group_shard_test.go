package storage_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// What settles a hold names the hold, not the account: it joins the updates of
// the account all the same, or the two would race.
func TestGroupFollowsWhereARecordWasMade(t *testing.T) {
	s := newGate(new(storage.Mem))
	g := storage.Group(s, &storage.GroupOptions{Shards: 16})
	account, holds := key("account"), []storage.Key{key("h0"), key("h1"), key("h2"), key("h3")}
	errs := make(chan error, len(holds)+1)
	touch := func(near storage.Key, keys ...storage.Key) {
		errs <- storage.UpdateWith(t.Context(), g, &storage.UpdateOptions{Near: []storage.Key{near}}, func(tx *storage.Tx) error {
			for _, k := range keys {
				if err := tx.Put(k, nil, time.Time{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	go touch(account, append(holds, account)...)
	<-s.entered
	s.let <- nil
	require.NoError(t, <-errs)
	go touch(account, account)
	<-s.entered
	for _, h := range holds {
		go touch(h, h, account)
	}
	for storage.Waiting(g) < len(holds) {
		runtime.Gosched()
	}
	s.let <- nil
	assert.Len(t, (<-s.entered)[0].Writes, len(holds)+1)
	s.let <- nil
	for range len(holds) + 1 {
		require.NoError(t, <-errs)
	}
}
