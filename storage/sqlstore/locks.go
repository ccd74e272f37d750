package sqlstore

import (
	"context"
	"sync"

	"github.com/countersign/countersign/storage"
)

// keyedLocks let one goroutine at a time wait in the database for a record that
// somebody else's transaction holds: the others wait here, where they need no
// connection, so that the pool stays free for commits that need not wait.
type keyedLocks struct {
	mu    sync.Mutex
	locks map[storage.Key]*keyedLock
}

type keyedLock struct {
	token chan struct{}
	users int
}

// lock waits for the lock of a key. It fails when ctx ends.
func (l *keyedLocks) lock(ctx context.Context, k storage.Key) (unlock func(), err error) {
	l.mu.Lock()
	if l.locks == nil {
		l.locks = make(map[storage.Key]*keyedLock)
	}
	kl := l.locks[k]
	if kl == nil {
		kl = &keyedLock{token: make(chan struct{}, 1)}
		l.locks[k] = kl
	}
	kl.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if kl.users--; kl.users == 0 {
			delete(l.locks, k)
		}
	}
	select {
	case kl.token <- struct{}{}:
		return func() { <-kl.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
