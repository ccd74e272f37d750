package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
	"github.com/countersign/countersign/storage/storagetest"
)

// Several processes may create the schema at once, and again; without one, and
// with one of another release, every call refuses.
func TestSchema(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.driver, d.dsn(t))
		missing, err := sqlstore.Open(db, d.dialect, &sqlstore.Options{Prefix: "missing_"})
		require.NoError(t, err)
		_, err = missing.Get(t.Context(), []storage.Key{key("a")})
		require.ErrorIs(t, err, sqlstore.ErrSchema)
		require.ErrorIs(t, missing.Migrate(t.Context()), sqlstore.ErrSchema)

		s, o := d.openOn(t, db, nil)
		require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create("a", "x")}}))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { assert.NoError(t, s.CreateSchema(t.Context())) })
		}
		wg.Wait()
		require.NoError(t, s.Migrate(t.Context()))
		assert.Equal(t, []uint64{1}, versions(t, s, "a"))

		meta := strings.ReplaceAll("UPDATE ?"+o.Prefix+"meta? SET value = '99'", "?", quoteOf(d))
		_, err = db.ExecContext(t.Context(), meta)
		require.NoError(t, err)
		later, err := sqlstore.Open(db, d.dialect, o)
		require.NoError(t, err)
		_, err = later.Commit(t.Context(), []storage.Batch{{Writes: []storage.Write{create("b", "x")}}})
		require.ErrorIs(t, err, sqlstore.ErrSchema)
		require.ErrorIs(t, later.Migrate(t.Context()), sqlstore.ErrSchema)
		tx := begin(t, db, nil)
		_, err = later.Bind(tx).Get(t.Context(), []storage.Key{key("a")})
		require.ErrorIs(t, err, sqlstore.ErrSchema)
		require.NoError(t, tx.Rollback())
	})
}

func quoteOf(d database) string {
	if d.dialect == sqlstore.MySQL {
		return "`"
	}
	return `"`
}

// The views show instants and JSON as people read them, whatever else is there.
func TestViews(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.driver, d.dsn(t))
		s, o := d.openOn(t, db, nil)
		due := time.Date(2026, 3, 1, 4, 5, 6, 789012000, time.UTC)
		require.True(t, commit(t, s, storage.Batch{
			Writes:  []storage.Write{{Key: key("契"), Data: []byte(`{"v":1,"d":"契约"}`), Due: due}, {Key: key("binary"), Data: []byte{0x81, 0xff, 0}}},
			Entries: []storage.Entry{{Stream: key("契"), Seq: 1, At: due, Data: []byte("{}")}},
		}))
		require.True(t, commit(t, s, storage.Batch{ // which share a row
			Writes: []storage.Write{{Key: key("契"), Expect: 1, Data: []byte(`{"v":1,"d":"契约"}`), Due: due}},
			Entries: []storage.Entry{{Stream: key("契"), Seq: 2, At: due, Data: []byte(`{"d":"契"}`)}, {Stream: key("契"), Seq: 3, At: due.Add(-time.Minute), Data: []byte{0x81, 0xff, 0}},
				{Stream: key("契"), Seq: 4, At: due.Add(time.Second)}},
		}))
		var id, data, at string
		q := quoteOf(d)
		cast := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "to_char(due AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')", sqlstore.MySQL: "CAST(due AS CHAR)", sqlstore.SQLite: "due"}[d.dialect]
		require.NoError(t, db.QueryRow("SELECT id, data, "+cast+" FROM "+q+o.Prefix+"record_v"+q+" WHERE due IS NOT NULL").Scan(&id, &data, &at))
		assert.Equal(t, "契", id)
		assert.Equal(t, `{"v":1,"d":"契约"}`, data)
		assert.Equal(t, "2026-03-01 04:05:06.789012", strings.TrimSuffix(strings.Replace(at, "T", " ", 1), "Z"))
		var shown string // of what is not JSON
		require.NoError(t, db.QueryRow("SELECT data FROM "+q+o.Prefix+"record_v"+q+" WHERE id = 'binary'").Scan(&shown))
		assert.Equal(t, map[bool]string{true: `\201\377\000`, false: "81FF00"}[d.dialect == sqlstore.PostgreSQL], shown)
		var n int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM "+q+o.Prefix+"record_v"+q).Scan(&n))
		assert.Equal(t, 2, n)

		rows, err := db.Query("SELECT seq, data, " + strings.ReplaceAll(cast, "due", "at") + " FROM " + q + o.Prefix + "entry_v" + q + " WHERE id = '契' ORDER BY seq")
		require.NoError(t, err)
		defer rows.Close()
		var entries [][3]string
		for rows.Next() {
			var e [3]string
			require.NoError(t, rows.Scan(&e[0], &e[1], &e[2]))
			e[2] = strings.TrimSuffix(strings.Replace(e[2], "T", " ", 1), "Z")
			entries = append(entries, e)
		}
		require.NoError(t, rows.Err())
		assert.Equal(t, [][3]string{{"1", "{}", "2026-03-01 04:05:06.789012"}, {"2", `{"d":"契"}`, "2026-03-01 04:05:06.789012"},
			{"3", shown, "2026-03-01 04:04:06.789012"}, {"4", "", "2026-03-01 04:05:07.789012"}}, entries)
	})
}

// What one commit appends to one stream lies in few rows, of which a page reads few;
// a row that does not decode is corrupt, and named.
func TestPackedEntries(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.driver, d.dsn(t))
		s, o := d.openOn(t, db, nil)
		const n = 150
		b, other := storage.Batch{Writes: []storage.Write{create("a", "x"), create("b", "x")}}, key("b")
		for i := range uint64(n) {
			b.Entries = append(b.Entries, entry("a", i+1), entry("b", i+1)) // in turns
		}
		require.True(t, commit(t, s, b))
		q := quoteOf(d)
		table := q + o.Prefix + "entry" + q
		var rows int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM "+table).Scan(&rows))
		assert.Less(t, rows, n/10)
		all, err := s.Entries(t.Context(), other, 0, 0)
		require.NoError(t, err)
		require.Len(t, all, n)
		for after := range uint64(n + 1) {
			page, err := s.Entries(t.Context(), other, after, 7)
			require.NoError(t, err)
			require.Equal(t, all[after:min(after+7, n)], append([]storage.Entry{}, page...))
		}

		const far = 3 << 30 // above 32 bits
		_, err = db.Exec("UPDATE " + table + " SET seq = seq + " + fmt.Sprint(far) + " WHERE id = 'b'")
		require.NoError(t, err)
		for _, after := range []uint64{far, far + n - 1, far + n, math.MaxInt64 - 1, math.MaxInt64, math.MaxUint64} {
			page, err := s.Entries(t.Context(), other, after, 7)
			require.NoError(t, err, "after %d", after)
			assert.Len(t, page, int(min(7, far+n-min(after, far+n))))
			both, err := s.Streams(t.Context(), []storage.StreamPart{{Stream: other, After: after, Limit: 7}})
			require.NoError(t, err, "after %d", after)
			assert.Equal(t, page, both[0])
		}

		for _, damage := range []string{"parts = '[[0,0,1]'", "parts = ''", "n = n - 1", "data = data_of_another"} {
			damage = strings.Replace(damage, "data_of_another", map[bool]string{true: "'\\x00'", false: "'x'"}[d.dialect == sqlstore.PostgreSQL], 1)
			_, err := db.Exec("UPDATE " + table + " SET " + damage + " WHERE id = 'a' AND n > 1")
			require.NoError(t, err)
			_, err = s.Entries(t.Context(), key("a"), 0, 0)
			require.ErrorIs(t, err, storage.ErrCorrupt, damage)
			require.ErrorContains(t, err, "entries of "+key("a").Kind+" up to ")
			_, err = s.Streams(t.Context(), []storage.StreamPart{{Stream: other}, {Stream: key("a")}})
			require.ErrorIs(t, err, storage.ErrCorrupt, damage)
		}
	})
}

// Settings that lose what is acknowledged are refused, unless that is wanted.
func TestVolatileSettings(t *testing.T) {
	for name, dsn := range map[string]struct {
		d   database
		dsn func(t *testing.T) string
	}{
		"sqlite journal": {databases[2], func(t *testing.T) string {
			return "file:" + filepath.Join(t.TempDir(), "x.db") + "?_journal_mode=MEMORY"
		}},
		"synchronous_commit": {databases[0], func(t *testing.T) string {
			return databases[0].dsn(t) + "&options=-c%20synchronous_commit%3Doff"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dsn.d.need(t)
			db := dsn.d.connect(t, dsn.d.driver, dsn.dsn(t))
			s, o := dsn.d.openOn(t, db, nil)
			_, err := s.Get(t.Context(), []storage.Key{key("a")})
			require.ErrorIs(t, err, sqlstore.ErrSettings)
			o.Volatile = true
			s, err = sqlstore.Open(db, dsn.d.dialect, o)
			require.NoError(t, err)
			require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create("a", "x")}}))
		})
	}
}

// plain is a driver that takes what database/sql knows, and no slices.
type plain struct {
	dsn    string
	driver driver.Driver
}

func (p plain) Driver() driver.Driver { return p.driver }

func (p plain) Connect(context.Context) (driver.Conn, error) {
	conn, err := p.driver.Open(p.dsn)
	if err != nil {
		return nil, err
	}
	return plainConn{&faultyConn{Conn: conn, f: new(faults)}}, nil
}

type plainConn struct{ *faultyConn }

func (plainConn) CheckNamedValue(*driver.NamedValue) error { return driver.ErrSkip }

// Without arrays of the driver the store passes them as text.
func TestArraysAsText(t *testing.T) {
	d := databases[0]
	d.need(t)
	storagetest.TestStore(t, func(t *testing.T) storage.Store {
		dsn := d.dsn(t)
		db := sql.OpenDB(plain{dsn, d.connect(t, d.driver, dsn).Driver()})
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		s, _ := d.openOn(t, db, nil)
		return s
	})
}

// A closed database is a closed store.
func TestClosed(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		dsn := d.dsn(t)
		_, o := d.openOn(t, d.connect(t, d.driver, dsn), nil)
		db, err := sql.Open(d.driver, dsn)
		require.NoError(t, err)
		s, err := sqlstore.Open(db, d.dialect, o)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		_, err = s.Get(t.Context(), []storage.Key{key("a")})
		require.ErrorIs(t, err, storage.ErrClosed)
		_, err = s.Commit(t.Context(), []storage.Batch{{Writes: []storage.Write{create("a", "x")}}})
		require.ErrorIs(t, err, storage.ErrClosed)
	})
}

// What a crash left of a blob is not seen, and goes with Sweep once it is old.
func TestBlobsSweep(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.driver, d.dsn(t))
		s, o := d.openOn(t, db, nil)
		_, err := s.Blobs().Create(t.Context(), "kept", strings.NewReader(strings.Repeat("x", 300<<10)))
		require.NoError(t, err)
		q := quoteOf(d)
		part := q + o.Prefix + "blob_part" + q
		for _, at := range []time.Time{time.Now(), time.Now().Add(-8 * 24 * time.Hour)} {
			_, err := db.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO %s (token, n, data) VALUES ('%016x00', 0, 'half')", part, at.UnixMicro()))
			require.NoError(t, err)
		}
		ids, err := s.Blobs().List(t.Context(), "", 0)
		require.NoError(t, err)
		assert.Equal(t, []string{"kept"}, ids)
		n, err := s.Blobs().Sweep(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		require.NoError(t, s.Blobs().Delete(t.Context(), "kept"))
		var left int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM "+part).Scan(&left))
		assert.Equal(t, 1, left, "the young one")
	})
}

// However many rows commits have, the server stops planning them.
func TestPostgreSQLPlansOnce(t *testing.T) {
	d := databases[0]
	d.need(t)
	db := d.connect(t, d.driver, d.dsn(t))
	db.SetMaxOpenConns(1)
	s, _ := d.openOn(t, db, nil)
	id := 0
	for version := range uint64(100) {
		b := storage.Batch{Writes: []storage.Write{{Key: key("head"), Expect: version, Data: []byte("x")}}}
		for range []int{1, 3, 150, 8, 20}[version%5] {
			id++
			b.Writes, b.Entries = append(b.Writes, create(fmt.Sprint(id), "x")), append(b.Entries, entry("head", uint64(id)))
		}
		require.True(t, commit(t, s, b))
	}
	var planned, kept int
	require.NoError(t, db.QueryRow("SELECT sum(custom_plans), sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE 'WITH w AS%'").Scan(&planned, &kept))
	assert.LessOrEqual(t, planned, 4*5, "five times for each text")
	assert.GreaterOrEqual(t, kept, 75)
}

// A statement that was planned while the table had one page must not go on reading
// the table whole when it has grown.
func TestPostgreSQLPlansForTheTableAsItGrows(t *testing.T) {
	d := databases[0]
	d.need(t)
	db, err := sql.Open(d.driver, d.dsn(t))
	require.NoError(t, err)
	db.SetMaxOpenConns(1) // which prepares each statement once
	_, o := d.openOn(t, d.connect(t, d.driver, d.dsn(t)), nil)
	s, err := sqlstore.Open(db, d.dialect, o)
	require.NoError(t, err)
	id := func(i int) string { return fmt.Sprintf("%04d", i) }
	require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create(id(0), "x"), create(id(1), "x")}}))
	_, err = db.ExecContext(t.Context(), `ANALYZE "`+o.Prefix+`record"`)
	require.NoError(t, err)
	const rounds, rows = 40, 100
	version := uint64(1)
	for range 8 { // after five, PostgreSQL keeps the plan
		require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{write(id(0), version, "y")}}))
		version++
	}
	for round := range rounds {
		b := storage.Batch{Writes: []storage.Write{write(id(0), version, "y")}}
		for i := range rows {
			b.Writes = append(b.Writes, create(id(2+round*rows+i), "x"))
			if round > 0 {
				b.Writes = append(b.Writes, write(id(2+(round-1)*rows+i), 1, "z"))
			}
		}
		require.True(t, commit(t, s, b))
		version++
	}
	require.NoError(t, db.Close()) // and tells what it read
	var read int
	require.Eventually(t, func() bool {
		probe := d.connect(t, d.driver, d.dsn(t))
		err := probe.QueryRowContext(t.Context(), "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = $1 AND n_tup_ins >= $2", o.Prefix+"record", rounds*rows).Scan(&read)
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
	assert.Less(t, read, rounds*2*rows*rounds*rows/2/3, "a third of reading it for each write")
}
