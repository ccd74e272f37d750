// Package integration_test runs the store against real servers.
package integration_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
)

// A database is a place where tests make stores.
type database struct {
	dialect sqlstore.Dialect
	driver  string
	env     string // holds the DSN of a server; empty: a file of the test
}

var databases = []database{
	{sqlstore.PostgreSQL, "pgx", "COUNTERSIGN_POSTGRES"},
	{sqlstore.MySQL, "mysql", "COUNTERSIGN_MYSQL"},
	{sqlstore.SQLite, "sqlite3", ""},
}

// each runs a test on every database that is there.
func each(t *testing.T, test func(t *testing.T, d database)) {
	for _, d := range databases {
		t.Run(string(d.dialect), func(t *testing.T) {
			d.need(t)
			test(t, d)
		})
	}
}

// need skips the test without a server, unless all are required.
func (d database) need(t testing.TB) {
	t.Helper()
	if d.env == "" || os.Getenv(d.env) != "" {
		return
	}
	if os.Getenv("COUNTERSIGN_DATABASES") == "required" {
		t.Fatalf("%s is not set: it takes the DSN of a server, and COUNTERSIGN_DATABASES requires all", d.env)
	}
	t.Skipf("%s is not set: it takes the DSN of a server; .ci/databases starts one", d.env)
}

// dsn is the server, or a new file.
func (d database) dsn(t testing.TB) string {
	if d.env != "" {
		return os.Getenv(d.env)
	}
	return "file:" + filepath.Join(t.TempDir(), "store.db") + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate&_stmt_cache_size=64"
}

// connect opens a pool on the DSN.
func (d database) connect(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxIdleConns(32)
	return db
}

// open makes an empty store, with tables of its own.
func (d database) open(t *testing.T, o *sqlstore.Options) *sqlstore.Store {
	t.Helper()
	s, _ := d.openOn(t, d.connect(t, d.driver, d.dsn(t)), o)
	return s
}

func (d database) openB(b *testing.B) *sqlstore.Store {
	b.Helper()
	d.need(b)
	s, _ := d.openOn(b, d.connect(b, d.driver, d.dsn(b)), nil)
	return s
}

// openOn makes an empty store in a database, and returns its options, with
// which others reach the same tables.
func (d database) openOn(t testing.TB, db *sql.DB, o *sqlstore.Options) (*sqlstore.Store, *sqlstore.Options) {
	t.Helper()
	var opts sqlstore.Options
	if o != nil {
		opts = *o
	}
	if d.env != "" && opts.Prefix == "" {
		var random [6]byte
		rand.Read(random[:])
		opts.Prefix = "t" + hex.EncodeToString(random[:]) + "_"
	}
	s, err := sqlstore.Open(db, d.dialect, &opts)
	require.NoError(t, err)
	require.NoError(t, s.CreateSchema(t.Context()))
	if d.env != "" {
		t.Cleanup(func() { dropTables(t, db, d.dialect, opts.Prefix) })
	}
	return s, &opts
}

func dropTables(t testing.TB, db *sql.DB, dialect sqlstore.Dialect, prefix string) {
	quote := `"`
	if dialect == sqlstore.MySQL {
		quote = "`"
	}
	name := func(table string) string { return quote + prefix + table + quote }
	for _, view := range []string{"record_v", "entry_v"} {
		_, err := db.ExecContext(context.Background(), "DROP VIEW "+name(view))
		require.NoError(t, err)
	}
	var tables []string
	for _, table := range []string{"record", "entry", "blob", "blob_part", "meta"} {
		tables = append(tables, name(table))
	}
	_, err := db.ExecContext(context.Background(), fmt.Sprint("DROP TABLE ", strings.Join(tables, ", ")))
	require.NoError(t, err)
}

func isRetry(err error) bool { return errors.Is(err, storage.ErrRetryTx) }
