package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// Against databases the store is tested in the module integration, which has
// drivers. Here is what needs none.

type unreachable struct{ err error }

func (u unreachable) Connect(context.Context) (driver.Conn, error) { return nil, u.err }
func (u unreachable) Driver() driver.Driver                        { return nil }

func TestOpen(t *testing.T) {
	db := sql.OpenDB(unreachable{errors.New("no server")})
	defer db.Close()
	for _, d := range []Dialect{PostgreSQL, MySQL, SQLite} {
		s, err := Open(db, d, &Options{Schema: "app", Prefix: "cs_"})
		require.NoError(t, err)
		text := strings.Join(s.Statements(), "\n")
		assert.Contains(t, text, "cs_record_v")
		assert.NotContains(t, text, "<nil>")
	}
	for name, open := range map[string]func() (*Store, error){
		"no database": func() (*Store, error) { return Open(nil, SQLite, nil) },
		"dialect":     func() (*Store, error) { return Open(db, "oracle", nil) },
		"prefix":      func() (*Store, error) { return Open(db, SQLite, &Options{Prefix: `x"; --`}) },
		"schema":      func() (*Store, error) { return Open(db, SQLite, &Options{Schema: "a.b"}) },
		"long":        func() (*Store, error) { return Open(db, SQLite, &Options{Prefix: strings.Repeat("x", 31)}) },
	} {
		_, err := open()
		require.Error(t, err, name)
	}
}

// pgError and mysqlError look like those of drivers.
type pgError struct{ state string }

func (e pgError) Error() string    { return "duplicate key (id)=(13800138001) already exists" }
func (e pgError) SQLState() string { return e.state }

func TestErrors(t *testing.T) {
	s := &Store{}
	secret := "13800138001"
	for name, c := range map[string]struct {
		err   error
		class class
		text  string
	}{
		"serialization": {pgError{"40001"}, classRetry, "sqlstore: commit: SQLSTATE 40001"},
		"deadlock":      {fmt.Errorf("wrapped: %w", pgError{"40P01"}), classRetry, "sqlstore: commit: SQLSTATE 40P01"},
		"lock":          {pgError{"55P03"}, classLocked, "sqlstore: commit: SQLSTATE 55P03"},
		"unique":        {pgError{"23505"}, classOther, "sqlstore: commit: SQLSTATE 23505"},
		"mysql":         {errors.New("Error 1213 (40001): Deadlock found " + secret), classRetry, "sqlstore: commit: error 1213"},
		"mysql wait":    {errors.New("Error 1205: Lock wait " + secret), classLocked, "sqlstore: commit: error 1205"},
		"mysql unique":  {errors.New("Error 1062 (23000): Duplicate entry '" + secret + "'"), classOther, "sqlstore: commit: error 1062"},
		"sqlite":        {errors.New("database is locked"), classRetry, "sqlstore: commit: SQLITE_BUSY"},
		"modernc":       {errors.New("database is locked (5) (SQLITE_BUSY)"), classRetry, "sqlstore: commit: SQLITE_BUSY"},
		"disk":          {errors.New("database or disk is full"), classOther, "sqlstore: commit: database or disk is full"},
		"connection":    {driver.ErrBadConn, classRetry, "sqlstore: commit: driver: bad connection"},
		"cut":           {fmt.Errorf("%s: %w", secret, io.ErrUnexpectedEOF), classOther, "sqlstore: commit: unexpected EOF"},
		"network":       {fmt.Errorf("%s: %w", secret, &net.OpError{Op: "read", Err: errors.New("reset")}), classOther, "sqlstore: commit: read: reset"},
		"unheard of":    {errors.New(secret), classOther, "sqlstore: commit: *errors.errorString"},
		"context":       {context.Canceled, classOther, "sqlstore: commit: context canceled"},
	} {
		err := s.fail(t.Context(), "commit", c.err)
		assert.Equal(t, c.text, err.Error(), name)
		assert.Equal(t, c.class, s.classify(c.err), name)
		assert.Equal(t, c.class, s.classify(err), "%s: after wrapping", name)
		for e := err; e != nil; e = errors.Unwrap(e) {
			assert.NotContains(t, fmt.Sprintf("%#v %+v", e, e), secret, name)
		}
	}
	require.ErrorIs(t, s.fail(t.Context(), "get", errors.New("sql: database is closed")), storage.ErrClosed)
	require.ErrorIs(t, s.fail(t.Context(), "get", driver.ErrBadConn), driver.ErrBadConn)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.fail(ctx, "get", pgError{"57014"}), context.Canceled)
	// The end of a context does not hide that the answer was lost.
	require.ErrorIs(t, s.fail(ctx, "commit", s.commitError(ctx, io.ErrUnexpectedEOF)), storage.ErrUnknown)
	require.ErrorIs(t, s.commitError(ctx, pgError{"57P01"}), storage.ErrUnknown)
	require.NotErrorIs(t, s.commitError(ctx, pgError{"40001"}), storage.ErrUnknown)
	own := &Store{opts: Options{Retryable: func(err error) bool { return err.Error() == "again" }}}
	assert.Equal(t, classRetry, own.classify(errors.New("again")))
	assert.Equal(t, classOther, own.classify(pgError{"40001"}))
}

func TestUnreachable(t *testing.T) {
	db := sql.OpenDB(unreachable{errors.New("dial 13800138001")})
	defer db.Close()
	s, err := Open(db, PostgreSQL, nil)
	require.NoError(t, err)
	_, err = s.Get(t.Context(), []storage.Key{{Tenant: "a", Kind: "b", ID: "c"}})
	var own *DriverError
	require.ErrorAs(t, err, &own)
	assert.NotContains(t, err.Error(), "138")
}

// Arrays as text are what PostgreSQL reads.
func TestArrayText(t *testing.T) {
	p := newPostgres(names{quote: '"'})
	assert.Equal(t, `{"a","","b \"c\" \\ {,}","契","NULL"}`, p.strings([]string{"a", "", `b "c" \ {,}`, "契", "NULL"}))
	assert.Equal(t, `{1,-2,9223372036854775807}`, p.ints([]int64{1, -2, maxInt}))
	assert.Equal(t, `{"\\x00ff","\\x"}`, p.bytes([][]byte{{0, 255}, {}}))
	assert.Equal(t, "{}", p.strings(nil))
	p.native.Store(true)
	assert.Equal(t, []string{"a"}, p.strings([]string{"a"}))
}

func TestChunks(t *testing.T) {
	sizes := func(all []int) (lengths []int) {
		require.NoError(t, chunks(all, func(n int) int { return n }, func(part []int) error {
			lengths = append(lengths, len(part))
			return nil
		}))
		return lengths
	}
	assert.Empty(t, sizes(nil))
	assert.Equal(t, []int{1}, sizes([]int{5 * maxBytes}))
	assert.Equal(t, []int{2, 1, 1}, sizes([]int{maxBytes / 2, maxBytes / 2, 1, maxBytes}))
	assert.Equal(t, []int{maxRows, maxRows, 1}, sizes(make([]int, 2*maxRows+1)))
	assert.Equal(t, "(?,?),(?,?)", tuples(2, 2))
}

func TestKeyedLocks(t *testing.T) {
	var l keyedLocks
	a, b := storage.Key{ID: "a"}, storage.Key{ID: "b"}
	unlock, err := l.lock(t.Context(), a)
	require.NoError(t, err)
	other, err := l.lock(t.Context(), b)
	require.NoError(t, err)
	other()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = l.lock(ctx, a)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	got := make(chan struct{})
	go func() {
		again, err := l.lock(t.Context(), a)
		if err == nil {
			again()
		}
		close(got)
	}()
	unlock()
	<-got
	l.mu.Lock()
	defer l.mu.Unlock()
	assert.Empty(t, l.locks, "a lock that nobody uses is kept")
}
