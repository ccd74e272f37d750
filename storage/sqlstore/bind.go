package sqlstore

import (
	"context"
	"database/sql"
	"errors"
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
	// present are records that others created after the transaction's snapshot.
	present map[storage.Key]bool
}

var _ storage.Peeker = (*bound)(nil)

// enter takes the turn.
func (b *bound) enter(ctx context.Context) (leave func(), err error) {
	b.mu.Lock()
	if err = b.spent; err == nil {
		err = b.fail(b.s.ready(ctx, b.q, false))
	}
	if err != nil {
		b.mu.Unlock()
		return nil, err
	}
	return b.mu.Unlock, nil
}

// fail is the error of a call. Once the database gave up the transaction, or it
// may hold half a batch, everything fails.
func (b *bound) fail(err error) error {
	if err == nil || b.spent != nil {
		return err
	}
	var own *DriverError
	if errors.As(err, &own) && own.class != classOther {
		b.spent = fmt.Errorf("%w: %w", storage.ErrRetryTx, err)
		return b.spent
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

func (b *bound) get(ctx context.Context, keys []storage.Key, lock bool) ([]storage.Record, error) {
	if err := storage.CheckKeys(keys...); err != nil {
		return nil, err
	}
	leave, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	recs, err := b.s.get(ctx, b.q, keys, lock, b.present)
	return recs, b.fail(err)
}

// Commit implements [storage.Store].
func (b *bound) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := storage.CheckBatch(batches...); err != nil {
		return nil, err
	}
	leave, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	w := work{s: b.s, q: b.q}
	if err := w.run(ctx, batches); err != nil {
		err = b.s.fail(ctx, "commit", err)
		if w.dirty { // a part of it may be there, which the host must not commit
			b.spent = fmt.Errorf("%w: %w", storage.ErrRetryTx, err)
			return nil, b.spent
		}
		return nil, b.fail(err)
	}
	for _, k := range w.lost {
		if b.present == nil {
			b.present = make(map[storage.Key]bool)
		}
		b.present[k] = true
	}
	return w.outs, nil
}

// Entries implements [storage.Store].
func (b *bound) Entries(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	if err := storage.CheckKeys(stream); err != nil {
		return nil, err
	}
	leave, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	entries, err := b.s.entries(ctx, b.q, stream, after, limit)
	return entries, b.fail(err)
}

// Due implements [storage.Store].
func (b *bound) Due(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
	if err := storage.CheckRange(storage.Deployment, kind, ""); err != nil {
		return nil, err
	}
	leave, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	keys, err := b.s.due(ctx, b.q, kind, until, limit)
	return keys, b.fail(err)
}

// List implements [storage.Store].
func (b *bound) List(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
	if err := storage.CheckRange(tenant, kind, after); err != nil {
		return nil, err
	}
	leave, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	recs, err := b.s.list(ctx, b.q, tenant, kind, after, limit)
	return recs, b.fail(err)
}
