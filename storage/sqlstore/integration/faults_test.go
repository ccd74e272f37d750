package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
)

// errFault is what a broken connection says; like some drivers it quotes a value.
var errFault = errors.New("connection reset while sending 'planted-secret'")

// faults breaks the connection at the n-th statement, transactions' ends
// included: before it was sent, or after it took effect. n 0 only counts.
type faults struct {
	mu    sync.Mutex
	n     int
	after bool
	armed bool
	seen  int
	at    string // what broke
}

// arm starts to count.
func (f *faults) arm(n int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n, f.after, f.armed, f.seen, f.at = n, after, true, 0, ""
}

// disarm reports whether the connection broke, and at what.
func (f *faults) disarm() (at string, fired bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	return f.at, f.at != ""
}

// do runs one statement, or what is left of it.
func (f *faults) do(c *faultyConn, what string, run func() error) error {
	f.mu.Lock()
	if c.dead {
		f.mu.Unlock()
		return driver.ErrBadConn
	}
	fire := false
	if f.armed {
		f.seen++
		fire = f.seen == f.n
	}
	if fire {
		c.dead, f.at = true, what
	}
	after := f.after
	f.mu.Unlock()
	if fire && !after {
		return errFault
	}
	err := run()
	if fire {
		return errors.Join(errFault, err)
	}
	return err
}

// connector opens connections that break.
type connector struct {
	dsn    string
	driver driver.Driver
	faults *faults
}

func (c *connector) Driver() driver.Driver { return c.driver }

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &faultyConn{Conn: conn, f: c.faults}, nil
}

type faultyConn struct {
	driver.Conn
	f    *faults
	dead bool
}

func (c *faultyConn) IsValid() bool { return !c.dead }

func (c *faultyConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = c.f.do(c, query, func() (err error) {
		res, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return res, err
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.f.do(c, query, func() (err error) {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	if err != nil && rows != nil {
		err = errors.Join(err, rows.Close())
		rows = nil
	}
	return rows, err
}

func (c *faultyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
}

func (c *faultyConn) BeginTx(ctx context.Context, o driver.TxOptions) (tx driver.Tx, err error) {
	err = c.f.do(c, "BEGIN", func() (err error) {
		tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
		return err
	})
	if tx != nil {
		tx = faultyTx{tx, c}
	}
	return tx, err
}

type faultyTx struct {
	driver.Tx
	c *faultyConn
}

func (t faultyTx) Commit() error   { return t.c.f.do(t.c, "COMMIT", t.Tx.Commit) }
func (t faultyTx) Rollback() error { return t.c.f.do(t.c, "ROLLBACK", t.Tx.Rollback) }

// broken opens a store whose connections break, next to one on the same tables
// that do not.
func (d database) broken(t *testing.T) (good, bad *sqlstore.Store, db *sql.DB, f *faults) {
	t.Helper()
	dsn := d.dsn(t)
	clean := d.connect(t, d.driver, dsn)
	good, o := d.openOn(t, clean, nil)
	f = new(faults)
	db = sql.OpenDB(&connector{dsn: dsn, driver: clean.Driver(), faults: f})
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	bad, err := sqlstore.Open(db, d.dialect, o)
	require.NoError(t, err)
	_, err = bad.Get(t.Context(), []storage.Key{key("none")}) // its checks are not what is tested
	require.NoError(t, err)
	return good, bad, db, f
}

// noSecret looks for values in errors.
func noSecret(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, text := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
			require.False(t, strings.Contains(text, "planted-secret"), "an error carries a value: %s", e)
		}
	}
}

// faulted is a batch that does everything. Without a deletion it may take
// another way.
func faulted(id string, remove bool) storage.Batch {
	b := storage.Batch{
		Writes: []storage.Write{create("new "+id, "1"), write("old "+id, 1, "2"), {Key: key("checked " + id), Expect: 1, Check: true},
			create("also "+id, "1")},
		Entries: []storage.Entry{entry("new "+id, 1), entry("old "+id, 1)},
	}
	if remove {
		b.Writes = append(b.Writes, storage.Write{Key: key("gone " + id), Expect: 1, Delete: true})
	}
	return b
}

func prepareFaulted(t *testing.T, s storage.Store, id string) {
	t.Helper()
	require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create("old "+id, "1"), create("gone "+id, "1"), create("checked "+id, "1")}}))
}

// wholeOrNothing tells which, and fails for anything in between.
func wholeOrNothing(t *testing.T, s storage.Store, id, what string, removed bool) (stored bool) {
	t.Helper()
	vs := fmt.Sprint(versions(t, s, "new "+id, "also "+id, "old "+id, "gone "+id, "checked "+id))
	entries, err := s.Entries(t.Context(), key("old "+id), 0, 0)
	require.NoError(t, err)
	switch {
	case vs == map[bool]string{true: "[1 1 2 0 1]", false: "[1 1 2 1 1]"}[removed] && len(entries) == 1:
		return true
	case vs == "[0 0 1 1 1]" && len(entries) == 0:
		return false
	}
	require.Fail(t, "half a batch", "%s: versions %s, %d entries", what, vs, len(entries))
	return false
}

// Whatever statement the connection breaks at, before or after it took effect:
// a Commit that is OK is stored, one that failed without ErrUnknown is not, and
// repeating an Update does its work once.
func TestFaults(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		good, bad, _, f := d.broken(t)
		for _, after := range []bool{false, true} {
			for _, remove := range []bool{true, false} {
				outcomes := make(map[string]int)
				for n := 1; ; n++ {
					id := fmt.Sprint(after, remove, n)
					prepareFaulted(t, good, id)
					f.arm(n, after)
					outs, err := bad.Commit(t.Context(), []storage.Batch{faulted(id, remove)})
					at, fired := f.disarm()
					noSecret(t, err)
					stored := wholeOrNothing(t, good, id, at, remove)
					switch {
					case err == nil:
						require.Equal(t, outs[0].OK, stored, at)
						outcomes["ok"]++
					case errors.Is(err, storage.ErrUnknown):
						require.Truef(t, at == "COMMIT" || strings.HasPrefix(at, "WITH w AS"), "at %s", at)
						outcomes["unknown"]++
					default:
						require.False(t, stored, "at %s: %v", at, err)
						outcomes["failed"]++
					}
					if !fired {
						require.True(t, stored)
						break
					}
				}
				t.Logf("after %v, with a deletion %v: %v", after, remove, outcomes)
				assert.NotZero(t, outcomes["unknown"])
			}

			for n := 1; ; n++ {
				id := storage.Key{Tenant: "acme", Kind: "t.op", ID: fmt.Sprint(after, n)}
				counter := key("counter " + id.ID)
				add := func(s storage.Store) error {
					return storage.Update(t.Context(), s, func(tx *storage.Tx) error {
						_, err := storage.Once(tx, id, "add", func() (int, error) {
							recs, err := tx.Get(counter)
							if err != nil {
								return 0, err
							}
							return 0, tx.Put(counter, append(recs[0].Data, '+'), time.Time{})
						})
						return err
					})
				}
				f.arm(n, after)
				noSecret(t, add(bad))
				_, fired := f.disarm()
				require.NoError(t, add(good))
				recs, err := good.Get(t.Context(), []storage.Key{counter})
				require.NoError(t, err)
				require.Equal(t, "+", string(recs[0].Data))
				if !fired {
					break
				}
			}
		}
	})
}

// Within a host's transaction a broken connection may leave half a batch: the
// host is told to roll back, and everything further is refused.
func TestBindFaults(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		good, bad, db, f := d.broken(t)
		for n := 1; ; n++ {
			id := fmt.Sprint(n)
			prepareFaulted(t, good, id)
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			in := bad.Bind(tx)
			f.arm(n, false)
			outs, err := in.Commit(t.Context(), []storage.Batch{faulted(id, true)})
			at, fired := f.disarm()
			noSecret(t, err)
			if !fired {
				require.NoError(t, err)
				require.True(t, outs[0].OK)
				require.NoError(t, tx.Commit())
				assert.True(t, wholeOrNothing(t, good, id, "commit", true))
				break
			}
			require.Error(t, err)
			if !strings.HasPrefix(strings.TrimSpace(at), "SELECT") && !strings.HasPrefix(at, "WITH") {
				require.ErrorIs(t, err, storage.ErrRetryTx, at)
				_, err = in.Commit(t.Context(), []storage.Batch{faulted(id, true)})
				require.ErrorIs(t, err, storage.ErrRetryTx)
			}
			_ = tx.Rollback()
			assert.False(t, wholeOrNothing(t, good, id, at, true))
		}
	})
}
