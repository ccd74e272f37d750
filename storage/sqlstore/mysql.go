package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"strings"
	"sync/atomic"

	"github.com/countersign/countersign/storage"
)

// mysql creates records in two steps: INSERT IGNORE tells how many rows it
// made, but not which. They get a version of this transaction's own, by which
// it finds them, and their content with the upsert that follows.
type mysql struct {
	texts   texts
	names   names
	shared  atomic.Value // string: how a row is locked with others
	mariadb atomic.Bool
}

func newMySQL(n names) *mysql {
	m := &mysql{names: n}
	m.texts = commonTexts(n, func(int) string { return "?" })
	m.texts.setMeta = "INSERT IGNORE INTO " + n.of("meta") + " (name, value) VALUES (?, ?)"
	m.texts.blobs.finish = "INSERT IGNORE INTO " + n.of("blob") + " (id, token, size) SELECT ?, ?, ? FROM (SELECT count(*) AS parts FROM " +
		n.of("blob_part") + " WHERE token = ?) AS c WHERE c.parts = ?"
	m.shared.Store("FOR SHARE SKIP LOCKED")
	return m
}

func (m *mysql) text() *texts        { return &m.texts }
func (m *mysql) key(part string) any { return []byte(part) }
func (m *mysql) locksGaps() bool     { return true }
func (m *mysql) provisional() bool   { return true }

func (m *mysql) prepare(ctx context.Context, q Querier, own bool) (string, error) {
	var version string
	var flush, binlog, syncBinlog int
	if err := queryRow(ctx, q, "SELECT @@version, @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog", nil, &version, &flush, &binlog, &syncBinlog); err != nil {
		return "", err
	}
	if strings.Contains(version, "MariaDB") {
		m.shared.Store("LOCK IN SHARE MODE SKIP LOCKED")
		m.mariadb.Store(true)
	}
	switch {
	case flush != 1 && !(m.mariadb.Load() && flush == 3): // MariaDB: 3 syncs as 1 does, and more
		return "innodb_flush_log_at_trx_commit is not 1", nil
	case binlog == 1 && syncBinlog != 1:
		return "sync_binlog is not 1", nil
	}
	return "", nil
}

// where finds keys by the primary key, and by nothing else: a scan would lock
// whatever it passes.
func (m *mysql) where(n int) string {
	const one = "(tenant = ? AND kind = ? AND id = ?)"
	return " FROM " + m.names.of("record") + " FORCE INDEX (PRIMARY) WHERE " + strings.Repeat(one+" OR ", n-1) + one + " ORDER BY tenant, kind, id "
}

func (m *mysql) get(ctx context.Context, q Querier, keys []storage.Key, lock bool) (*sql.Rows, error) {
	text := "SELECT tenant, kind, id, version, seq, due, data" + m.where(len(keys))
	if lock {
		text += "FOR UPDATE"
	}
	return q.QueryContext(ctx, text, keyArgs(m.key, keys)...)
}

func (m *mysql) hold(ctx context.Context, q Querier, keys []storage.Key) (*sql.Rows, error) {
	suffix := "FOR UPDATE"
	if m.mariadb.Load() { // MySQL has no such limit: there the context limits the wait
		suffix += " WAIT 1"
	}
	return q.QueryContext(ctx, "SELECT tenant, kind, id, version, seq, due, data"+m.where(len(keys))+suffix, keyArgs(m.key, keys)...)
}

func (m *mysql) lock(ctx context.Context, q Querier, keys []storage.Key, how locking) (map[storage.Key]head, error) {
	suffix := ""
	switch how {
	case lockWrite:
		suffix = "FOR UPDATE"
	case lockWriteSkip:
		suffix = "FOR UPDATE SKIP LOCKED"
	case lockSharedSkip:
		suffix = m.shared.Load().(string)
	}
	heads := make(map[storage.Key]head, len(keys))
	err := chunks(keys, keySize, func(keys []storage.Key) error {
		rows, err := q.QueryContext(ctx, "SELECT tenant, kind, id, version, seq"+m.where(len(keys))+suffix, keyArgs(m.key, keys)...)
		if err != nil {
			return err
		}
		return scanHeads(rows, heads)
	})
	return heads, err
}

func (m *mysql) limit(context.Context, Querier) error { return nil }

func (m *mysql) create(ctx context.Context, q Querier, rows []row, limited bool) (lost []storage.Key, err error) {
	var random [8]byte
	rand.Read(random[:])
	mark := -1 - int64(binary.BigEndian.Uint64(random[:])>>1) // below 0, as no version is
	insert := "INSERT IGNORE INTO " + m.names.of("record") + " (tenant, kind, id, version, seq, due, data) VALUES "
	if limited && m.mariadb.Load() { // MySQL has it per session only: there the context limits the wait
		insert = "SET STATEMENT innodb_lock_wait_timeout = 1 FOR " + insert
	}
	err = chunks(rows, rowSize, func(rows []row) error {
		marked := make([]row, len(rows))
		for i, r := range rows {
			marked[i] = row{key: r.key, version: mark, data: []byte{}}
		}
		res, err := q.ExecContext(ctx, insert+tuples(len(rows), 7), rowArgs(m.key, marked)...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == int64(len(rows)) {
			return err
		}
		keys := make([]storage.Key, len(rows))
		for i, r := range rows {
			keys[i] = r.key
		}
		heads, err := m.lock(ctx, q, keys, lockWrite)
		for _, k := range keys {
			if heads[k].version != uint64(mark) {
				lost = append(lost, k)
			}
		}
		return err
	})
	return lost, err
}

func (m *mysql) write(ctx context.Context, q Querier, rows []row) error {
	return chunks(rows, rowSize, func(rows []row) error {
		_, err := q.ExecContext(ctx, "INSERT INTO "+m.names.of("record")+" (tenant, kind, id, version, seq, due, data) VALUES "+tuples(len(rows), 7)+
			" ON DUPLICATE KEY UPDATE version = VALUES(version), seq = VALUES(seq), due = VALUES(due), data = VALUES(data)", rowArgs(m.key, rows)...)
		return err
	})
}

func (m *mysql) remove(ctx context.Context, q Querier, keys []storage.Key) error {
	return chunks(keys, keySize, func(keys []storage.Key) error {
		const one = "(tenant = ? AND kind = ? AND id = ?)"
		_, err := q.ExecContext(ctx, "DELETE FROM "+m.names.of("record")+" WHERE "+strings.Repeat(one+" OR ", len(keys)-1)+one, keyArgs(m.key, keys)...)
		return err
	})
}

func (m *mysql) add(ctx context.Context, q Querier, packs []pack) error {
	return chunks(packs, packSize, func(packs []pack) error {
		_, err := q.ExecContext(ctx, "INSERT INTO "+m.names.of("entry")+" (tenant, kind, id, seq, n, at, parts, data) VALUES "+tuples(len(packs), 8),
			packArgs(m.key, packs)...)
		return err
	})
}

func (m *mysql) schema() []string {
	n := m.names
	const key = "tenant VARBINARY(128) NOT NULL, kind VARBINARY(64) NOT NULL, id VARBINARY(255) NOT NULL"
	const engine = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
	text := func(column string) string { return "CONVERT(" + column + " USING utf8mb4) AS " + column }
	instant := func(column string) string {
		return "TIMESTAMP '1970-01-01 00:00:00' + INTERVAL " + column + " MICROSECOND"
	}
	// JSON is shown as it is, anything else, which MySQL refuses to convert, as hex.
	const data = "CASE WHEN LEFT(data, 1) = '{' THEN CONVERT(data USING utf8mb4) ELSE HEX(data) END AS data"
	keys := text("tenant") + ", " + text("kind") + ", " + text("id")
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.of("meta") + " (name VARCHAR(64) PRIMARY KEY, value VARCHAR(255) NOT NULL)" + engine,
		"CREATE TABLE IF NOT EXISTS " + n.of("record") + " (" + key + ", version BIGINT NOT NULL, seq BIGINT NOT NULL, due BIGINT NOT NULL," +
			" data LONGBLOB NOT NULL, PRIMARY KEY (tenant, kind, id), KEY " + n.bare("record_due") + " (kind, due, tenant, id))" + engine,
		"CREATE TABLE IF NOT EXISTS " + n.of("entry") + " (" + key + ", seq BIGINT NOT NULL, n BIGINT NOT NULL, at BIGINT NOT NULL," +
			" parts VARCHAR(2000) NOT NULL, data LONGBLOB NOT NULL, PRIMARY KEY (tenant, kind, id, seq))" + engine,
		"CREATE TABLE IF NOT EXISTS " + n.of("blob") + " (id VARBINARY(255) PRIMARY KEY, token VARBINARY(64) NOT NULL, size BIGINT NOT NULL," +
			" KEY " + n.bare("blob_token") + " (token))" + engine,
		"CREATE TABLE IF NOT EXISTS " + n.of("blob_part") + " (token VARBINARY(64) NOT NULL, n BIGINT NOT NULL, data LONGBLOB NOT NULL, PRIMARY KEY (token, n))" + engine,
		"CREATE OR REPLACE VIEW " + n.of("record_v") + " AS SELECT " + keys + ", version, seq, CASE WHEN due > 0 THEN " + instant("due") + " END AS due, " +
			data + " FROM " + n.of("record"),
		"CREATE OR REPLACE VIEW " + n.of("entry_v") + " AS SELECT " + keys + ", seq, " + instant("at") + " AS at, " + data + " FROM" +
			" (SELECT tenant, kind, id, seq, at, data FROM " + n.of("entry") + " WHERE n = 1 UNION ALL" +
			" SELECT tenant, kind, id, seq - n + i, at + p0, SUBSTRING(data, p1 + 1, p2) FROM " + n.of("entry") + ", JSON_TABLE(IF(n > 1, parts, '[]'), '$[*]'" +
			" COLUMNS (i FOR ORDINALITY, p0 BIGINT PATH '$[0]', p1 BIGINT PATH '$[1]', p2 BIGINT PATH '$[2]')) AS p) AS e",
	}
}
