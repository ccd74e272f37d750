package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/storage"
)

// A Dialect is the SQL that a database speaks.
type Dialect string

// Dialects.
const (
	PostgreSQL Dialect = "postgresql" // 12 and later
	MySQL      Dialect = "mysql"      // MySQL 8.0, MariaDB 10.6, and later; InnoDB
	SQLite     Dialect = "sqlite"     // 3.24 and later
)

// Options change how [Open] works. The zero value is the default.
type Options struct {
	// Schema holds the tables: a schema of PostgreSQL, a database of MySQL or an
	// attached database of SQLite; empty is the connection's own.
	Schema string
	// Prefix begins the name of every table, view and index; empty for none.
	Prefix string
	// Volatile accepts settings of the database that may lose what it
	// acknowledged, and sets none on SQLite's connections. For tests and
	// throw-away data.
	Volatile bool
	// Retryable reports whether an error of the driver says that the transaction
	// lost to another and should be tried again; nil knows SQLSTATE 40001, 40P01
	// and 55P03, MySQL's 1205 and 1213, and SQLite's BUSY and LOCKED.
	Retryable func(error) bool
}

// A Querier runs statements: *sql.DB, *sql.Conn, *sql.Tx, and what wraps them.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// A Store is a [storage.Store] in a SQL database. It has nothing to close: the
// database is the host's.
type Store struct {
	db      *sql.DB
	dialect Dialect
	opts    Options
	engine  engine

	checking sync.Mutex
	checked  atomic.Bool // schema and settings were found good
	probed   atomic.Bool // and on a connection of our own

	writer  chan struct{} // SQLite: the token of the one writer
	waiting keyedLocks    // commits that wait for somebody else's transaction
}

var (
	_ storage.NoWaiter = (*Store)(nil)
	_ storage.Serial   = (*Store)(nil)
)

// Serial implements [storage.Serial]: SQLite has one writer.
func (s *Store) Serial() bool { return s.dialect == SQLite }

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,29}$`)

// Open returns the store in a database, which it does not touch yet: the first
// call of a method checks that the schema is there ([Store.CreateSchema]) and
// that the settings keep what is acknowledged. nil options are the defaults.
// Open fails for an unknown dialect and for names that would need quoting.
func Open(db *sql.DB, dialect Dialect, o *Options) (*Store, error) {
	s := &Store{db: db, dialect: dialect, writer: make(chan struct{}, 1)}
	if o != nil {
		s.opts = *o
	}
	if db == nil {
		return nil, fmt.Errorf("sqlstore: open: no database")
	}
	for what, name := range map[string]string{"schema": s.opts.Schema, "prefix": s.opts.Prefix} {
		if name != "" && !identifier.MatchString(name) {
			return nil, fmt.Errorf("sqlstore: open: %s %q is not a plain identifier of at most 30 letters", what, name)
		}
	}
	switch dialect {
	case PostgreSQL:
		s.engine = newPostgres(s.names('"'))
	case MySQL:
		s.engine = newMySQL(s.names('`'))
	case SQLite:
		s.engine = newSQLite(s.names('"'))
	default:
		return nil, fmt.Errorf("sqlstore: open: unknown dialect %q", dialect)
	}
	return s, nil
}

// names are the quoted names of the tables.
type names struct {
	quote  byte
	schema string
	prefix string
}

func (s *Store) names(quote byte) names {
	return names{quote: quote, schema: s.opts.Schema, prefix: s.opts.Prefix}
}

// bare is a name without the schema.
func (n names) bare(name string) string {
	return string(n.quote) + n.prefix + name + string(n.quote)
}

// of is a name with the schema.
func (n names) of(name string) string {
	if n.schema == "" {
		return n.bare(name)
	}
	return string(n.quote) + n.schema + string(n.quote) + "." + n.bare(name)
}

// Get implements [storage.Store].
func (s *Store) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	if err := storage.CheckKeys(keys...); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, s.db, true); err != nil {
		return nil, err
	}
	return s.get(ctx, s.db, keys, false, nil)
}

// get returns one record per key, having locked those that exist in key order
// if asked to. present are known to exist, even if a snapshot does not show them.
func (s *Store) get(ctx context.Context, q Querier, keys []storage.Key, lock bool, present map[storage.Key]bool) ([]storage.Record, error) {
	if len(keys) == 0 {
		return nil, s.fail(ctx, "get", ctx.Err())
	}
	found := make(map[storage.Key]storage.Record, len(keys))
	sorted := sortedKeys(keys)
	if lock && s.engine.locksGaps() {
		heads, err := s.engine.lock(ctx, q, sorted, lockNone)
		if err != nil {
			return nil, s.fail(ctx, "get", err)
		}
		sorted = slices.DeleteFunc(sorted, func(k storage.Key) bool {
			_, ok := heads[k]
			return !ok && !present[k]
		})
	}
	if err := s.find(ctx, q, sorted, lock, found); err != nil {
		return nil, s.fail(ctx, "get", err)
	}
	recs := make([]storage.Record, len(keys))
	given := make(map[storage.Key]bool, len(keys))
	for i, k := range keys {
		r, ok := found[k]
		if !ok {
			r.Key = k
		}
		if given[k] { // asked for twice: no shared slice
			r.Data = bytes.Clone(r.Data)
		}
		given[k] = true
		recs[i] = r
	}
	return recs, nil
}

// find adds those of keys that exist to found.
func (s *Store) find(ctx context.Context, q Querier, keys []storage.Key, lock bool, found map[storage.Key]storage.Record) error {
	if len(keys) == 0 {
		return nil
	}
	rows, err := s.engine.get(ctx, q, keys, lock)
	if err != nil {
		return err
	}
	return scan(rows, func() error {
		r, err := scanRecord(rows)
		found[r.Key] = r
		return err
	})
}

// Entries implements [storage.Store].
func (s *Store) Entries(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	if err := storage.CheckKeys(stream); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, s.db, true); err != nil {
		return nil, err
	}
	return s.entries(ctx, s.db, stream, after, limit)
}

func (s *Store) entries(ctx context.Context, q Querier, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	if after > maxInt {
		return nil, s.fail(ctx, "entries", ctx.Err())
	}
	limit = storage.PageSize(limit)
	until := window(after, limit)
	rows, err := q.QueryContext(ctx, s.engine.text().entries, s.engine.key(stream.Tenant), s.engine.key(stream.Kind), s.engine.key(stream.ID),
		int64(after), until+maxPack-1, until, limit)
	if err != nil {
		return nil, s.fail(ctx, "entries", err)
	}
	var entries []storage.Entry
	err = scan(rows, func() error {
		p, err := scanPack(rows, stream)
		if err == nil {
			entries, err = p.unpack(entries, after, limit)
		}
		return err
	})
	if err != nil {
		return nil, s.fail(ctx, "entries", err)
	}
	return entries, nil
}

// Due implements [storage.Store].
func (s *Store) Due(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
	if err := storage.CheckRange(storage.Deployment, kind, ""); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, s.db, true); err != nil {
		return nil, err
	}
	return s.due(ctx, s.db, kind, until, limit)
}

func (s *Store) due(ctx context.Context, q Querier, kind string, until time.Time, limit int) ([]storage.Key, error) {
	rows, err := q.QueryContext(ctx, s.engine.text().due, s.engine.key(kind), storage.DueMicros(until), storage.PageSize(limit))
	if err != nil {
		return nil, s.fail(ctx, "due", err)
	}
	var keys []storage.Key
	err = scan(rows, func() error {
		k := storage.Key{Kind: kind}
		if err := rows.Scan(&k.Tenant, &k.ID); err != nil {
			return err
		}
		keys = append(keys, k)
		return nil
	})
	if err != nil {
		return nil, s.fail(ctx, "due", err)
	}
	return keys, nil
}

// List implements [storage.Store].
func (s *Store) List(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
	if err := storage.CheckRange(tenant, kind, after); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, s.db, true); err != nil {
		return nil, err
	}
	return s.list(ctx, s.db, tenant, kind, after, limit)
}

func (s *Store) list(ctx context.Context, q Querier, tenant, kind, after string, limit int) ([]storage.Record, error) {
	rows, err := q.QueryContext(ctx, s.engine.text().list, s.engine.key(tenant), s.engine.key(kind), s.engine.key(after), storage.PageSize(limit))
	if err != nil {
		return nil, s.fail(ctx, "list", err)
	}
	var recs []storage.Record
	err = scan(rows, func() error {
		r, err := scanRecord(rows)
		recs = append(recs, r)
		return err
	})
	if err != nil {
		return nil, s.fail(ctx, "list", err)
	}
	return recs, nil
}

// scan calls row for each of rows and closes them.
func scan(rows *sql.Rows, row func() error) error {
	defer rows.Close()
	for rows.Next() {
		if err := row(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// scanRecord reads tenant, kind, id, version, seq, due, data.
func scanRecord(rows *sql.Rows) (storage.Record, error) {
	var r storage.Record
	var version, seq, due int64
	if err := rows.Scan(&r.Key.Tenant, &r.Key.Kind, &r.Key.ID, &version, &seq, &due, &r.Data); err != nil {
		return r, err
	}
	r.Version, r.Seq, r.Due = uint64(version), uint64(seq), storage.DueTime(due)
	return r, nil
}
