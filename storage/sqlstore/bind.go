package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/countersign/countersign/storage"
)

// Bind returns a store within the host's transaction q, such as a *sql.Tx, or a
// *sql.Conn on which the host began one: what is written through it is stored
// when the host commits, and leaves nothing when the host rolls back. It never
// commits, rolls back or sets a savepoint.
//
//	tx, err := db.BeginTx(ctx, nil)
//	...
//	err = storage.Update(ctx, store.Bind(tx), func(t *storage.Tx) error { ... })
//	if err != nil { return errors.Join(err, tx.Rollback()) }
//	return tx.Commit()
//
// Get locks the records that it finds until the host's transaction ends, in the
// order of keys, so that nobody changes them in between; Peek does not. On
// SQLite the host begins its transaction IMMEDIATE.
//
// A lost race is an outcome, as everywhere, and the transaction stays usable.
// [storage.ErrRetryTx] says that it does not: the host must roll back, and may
// start again. The same holds after any other error of Commit that wraps it.
//
// Bind panics if q is a *sql.DB, which is no transaction.
func (s *Store) Bind(q Querier) storage.Store {
	if _, ok := q.(*sql.DB); ok || q == nil {
		panic("sqlstore: Bind needs a transaction of the host")
	}
	return &bound{s: s, q: q}
}

// bound is a store within a host's transaction. A transaction is one connection:
// calls take turns.
type bound struct {
	s *Store

	mu    sync.Mutex
	q     Querier
	spent error // the transaction cannot go on
}

var _ storage.Store = (*bound)(nil)

// enter takes the turn.
func (b *bound) enter(ctx context.Context) (leave func(), err error) {
	b.mu.Lock()
	if b.spent == nil {
		err = b.s.ready(ctx, b.q, false)
	} else {
		err = b.spent
	}
	if err != nil {
		b.mu.Unlock()
		return nil, b.fail(err)
	}
	return b.mu.Unlock, nil
}

// fail marks errors after which the host must start again.
func (b *bound) fail(err error) error {
	if err == nil {
		return nil
	}
	var known *DriverError
	if c := b.s.classify(err); c == classOther && !asDriver(err, &known) {
		return err
	}
	return err
}

// Get implements [storage.Store].
func (b *bound) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	return b.get(ctx, keys, true)
}

// Peek is Get without locks; storage.Tx looks for it.
func (b *bound) Peek(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	return b.get(ctx, keys, false)
}
