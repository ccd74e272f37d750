package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

// transact runs fn in a transaction of our own, and commits it if fn says that
// there is something to keep. After [storage.ErrUnknown] it may be stored; after
// any other error it is not.
func (s *Store) transact(ctx context.Context, fn func(Querier) (keep bool, err error)) error {
	if s.dialect == SQLite {
		return s.sqliteTx(ctx, func(q Querier) error {
			keep, err := fn(q)
			if err == nil && !keep {
				err = errNothing
			}
			return err
		})
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Drivers end a COMMIT with the context that the transaction began with; the
	// caller's must not lose its answer.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	tx, err := conn.BeginTx(life, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	keep, err := fn(tx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || !keep {
		if rerr := tx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			discard(conn)
		}
		return err
	}
	limit := time.AfterFunc(commitLimit, cancel)
	defer limit.Stop()
	if err := tx.Commit(); err != nil {
		return s.commitError(ctx, err)
	}
	return nil
}

// errNothing rolls back a transaction that has nothing to store.
var errNothing = errors.New("sqlstore: nothing to store")

// commitError tells a refusal by the server from a lost answer.
func (s *Store) commitError(ctx context.Context, err error) error {
	c := code(err)
	if s.classify(err) == classRetry && !errors.Is(err, driver.ErrBadConn) || strings.HasPrefix(c, "SQLSTATE 23") || strings.HasPrefix(c, "SQLSTATE 40") {
		return err
	}
	return fmt.Errorf("%w: %w", storage.ErrUnknown, s.fail(ctx, "commit", err))
}

// sqliteTx runs fn as the one writer of the database. An error of fn rolls back.
func (s *Store) sqliteTx(ctx context.Context, fn func(Querier) error) error {
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
	case <-ctx.Done():
		return ctx.Err()
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if !s.opts.Volatile {
		pragma := "PRAGMA synchronous = FULL"
		if s.opts.Schema != "" {
			pragma = `PRAGMA "` + s.opts.Schema + `".synchronous = FULL`
		}
		if _, err := conn.ExecContext(ctx, pragma); err != nil {
			return err
		}
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		rollback(ctx, conn) // it may have begun, and then the context ended
		return err
	}
	returned := false
	defer func() { // a caller's function may have ended the goroutine
		if !returned {
			discard(conn)
		}
	}()
	err = fn(conn)
	returned = true
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if !rollback(ctx, conn) {
			discard(conn)
		}
		if errors.Is(err, errNothing) {
			return nil
		}
		return err
	}
	last := context.WithoutCancel(ctx)
	for try := 0; ; try++ {
		if _, err = conn.ExecContext(last, "COMMIT"); err == nil {
			return nil
		}
		// Readers of a database without WAL keep it from committing for a while.
		if s.classify(err) != classRetry || try == maxTries || s.pause(ctx, time.Millisecond<<min(try, 5)) != nil {
			break
		}
	}
	if rollback(ctx, conn) { // it was still open, so it is not stored
		return err
	}
	discard(conn)
	return fmt.Errorf("%w: %w", storage.ErrUnknown, s.fail(ctx, "commit", err))
}

// rollback reports whether a transaction was open, and is not any more.
func rollback(ctx context.Context, conn *sql.Conn) bool {
	_, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	return err == nil
}

// discard closes a connection of which nobody knows what state it is in.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}
