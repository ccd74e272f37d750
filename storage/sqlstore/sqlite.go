package sqlstore

import (
	"context"
	"database/sql"

	"github.com/countersign/countersign/storage"
)

// sqlite has one writer at a time, who holds the whole database from its first
// statement: what it reads it has locked.
type sqlite struct {
	texts texts
	names names

	records, entries, keys string // maxPower tuples of their widths
}

// tuples is tuples, from memory.
func (s *sqlite) tuples(n, width int) string {
	all := s.keys
	switch width {
	case 7:
		all = s.records
	case 8:
		all = s.entries
	}
	if n > maxPower {
		return tuples(n, width)
	}
	return all[:n*(2*width+2)-1]
}

func newSQLite(n names) *sqlite {
	s := &sqlite{names: n, records: tuples(maxPower, 7), entries: tuples(maxPower, 8), keys: tuples(maxPower, 3)}
	s.texts = commonTexts(n, func(int) string { return "?" })
	s.texts.setMeta = "INSERT OR IGNORE INTO " + n.of("meta") + " (name, value) VALUES (?, ?)"
	s.texts.blobs.finish = "INSERT OR IGNORE INTO " + n.of("blob") + " (id, token, size) SELECT ?, ?, ? FROM (SELECT count(*) AS parts FROM " +
		n.of("blob_part") + " WHERE token = ?) AS c WHERE c.parts = ?"
	return s
}

func (s *sqlite) text() *texts        { return &s.texts }
func (s *sqlite) key(part string) any { return part }
func (s *sqlite) locksGaps() bool     { return false }
func (s *sqlite) provisional() bool   { return false }

func (s *sqlite) prepare(ctx context.Context, q Querier, own bool) (string, error) {
	var encoding, journal string
	var synchronous int
	if err := queryRow(ctx, q, "PRAGMA encoding", nil, &encoding); err != nil {
		return "", err
	}
	schema := ""
	if s.names.schema != "" {
		schema = `"` + s.names.schema + `".`
	}
	if err := queryRow(ctx, q, "PRAGMA "+schema+"journal_mode", nil, &journal); err != nil {
		return "", err
	}
	if err := queryRow(ctx, q, "PRAGMA "+schema+"synchronous", nil, &synchronous); err != nil {
		return "", err
	}
	switch {
	case encoding != "UTF-8":
		return "", ErrSettings
	case journal == "memory" || journal == "off":
		return "journal_mode is " + journal, nil
	case !own && synchronous < 2:
		return "synchronous is below FULL", nil
	}
	return "", nil
}

// each joins keys with their records, in the order of keys.
func (s *sqlite) each(columns string, n int) string {
	return "WITH w(tenant, kind, id) AS (VALUES " + s.tuples(n, 3) + ") SELECT " + columns + " FROM w CROSS JOIN " + s.names.of("record") +
		" AS r ON r.tenant = w.tenant AND r.kind = w.kind AND r.id = w.id"
}

func (s *sqlite) get(ctx context.Context, q Querier, keys []storage.Key, lock bool) (*sql.Rows, error) {
	return q.QueryContext(ctx, s.each("r.tenant, r.kind, r.id, r.version, r.seq, r.due, r.data", len(keys)), keyArgs(s.key, keys)...)
}

func (s *sqlite) hold(ctx context.Context, q Querier, keys []storage.Key) (*sql.Rows, error) {
	return s.get(ctx, q, keys, true)
}

func (s *sqlite) lock(ctx context.Context, q Querier, keys []storage.Key, how locking) (map[storage.Key]head, error) {
	heads := make(map[storage.Key]head, len(keys))
	err := powers(keys, keySize, func(keys []storage.Key) error {
		rows, err := q.QueryContext(ctx, s.each("r.tenant, r.kind, r.id, r.version, r.seq", len(keys)), keyArgs(s.key, keys)...)
		if err != nil {
			return err
		}
		return scanHeads(rows, heads)
	})
	return heads, err
}

func (s *sqlite) limit(context.Context, Querier) error { return nil }

// create believes that the rows are new, until SQLite refuses some: a statement
// that breaks a constraint is undone, and the transaction goes on.
func (s *sqlite) create(ctx context.Context, q Querier, rows []row, limited bool) (lost []storage.Key, err error) {
	insert := "INSERT INTO " + s.names.of("record") + " (tenant, kind, id, version, seq, due, data) VALUES "
	err = powers(rows, rowSize, func(rows []row) error {
		_, err := q.ExecContext(ctx, insert+s.tuples(len(rows), 7), rowArgs(s.key, rows)...)
		if err == nil || code(err) != constraintFailed {
			return err
		}
		keys := make([]storage.Key, len(rows))
		for i, r := range rows {
			keys[i] = r.key
		}
		heads, err := s.lock(ctx, q, keys, lockNone)
		if err != nil {
			return err
		}
		fresh := make([]row, 0, len(rows))
		for _, r := range rows {
			if _, ok := heads[r.key]; ok {
				lost = append(lost, r.key)
				continue
			}
			fresh = append(fresh, r)
		}
		return powers(fresh, rowSize, func(rows []row) error {
			_, err := q.ExecContext(ctx, insert+s.tuples(len(rows), 7), rowArgs(s.key, rows)...)
			return err
		})
	})
	return lost, err
}

func (s *sqlite) write(ctx context.Context, q Querier, rows []row) error {
	return powers(rows, rowSize, func(rows []row) error {
		_, err := q.ExecContext(ctx, "INSERT INTO "+s.names.of("record")+" (tenant, kind, id, version, seq, due, data) VALUES "+s.tuples(len(rows), 7)+
			" ON CONFLICT (tenant, kind, id) DO UPDATE SET version = excluded.version, seq = excluded.seq, due = excluded.due, data = excluded.data",
			rowArgs(s.key, rows)...)
		return err
	})
}

func (s *sqlite) remove(ctx context.Context, q Querier, keys []storage.Key) error {
	return powers(keys, keySize, func(keys []storage.Key) error {
		_, err := q.ExecContext(ctx, "DELETE FROM "+s.names.of("record")+" WHERE (tenant, kind, id) IN (VALUES "+s.tuples(len(keys), 3)+")", keyArgs(s.key, keys)...)
		return err
	})
}

func (s *sqlite) add(ctx context.Context, q Querier, packs []pack) error {
	return powers(packs, packSize, func(packs []pack) error {
		_, err := q.ExecContext(ctx, "INSERT INTO "+s.names.of("entry")+" (tenant, kind, id, seq, n, at, parts, data) VALUES "+s.tuples(len(packs), 8),
			packArgs(s.key, packs)...)
		return err
	})
}

// maxPower is the most rows of a statement. SQLite was built to take 999 values,
// once.
const maxPower = 128

// powers calls fn for parts of a slice whose lengths are powers of two, so that
// few different statements are seen: a driver that keeps those it prepared need
// not prepare them again.
func powers[T any](all []T, size func(T) int, fn func([]T) error) error {
	for len(all) > 0 {
		n, bytes := 1, 0
		for 2*n <= min(len(all), maxPower) {
			for _, one := range all[n : 2*n] {
				bytes += size(one)
			}
			if bytes > maxBytes {
				break
			}
			n *= 2
		}
		if err := fn(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func (s *sqlite) schema() []string {
	n := s.names
	const key = "tenant TEXT NOT NULL COLLATE BINARY, kind TEXT NOT NULL COLLATE BINARY, id TEXT NOT NULL COLLATE BINARY"
	// Microseconds of what may lie before 1970 count up, too.
	instant := func(column string) string {
		fraction := "((" + column + " % 1000000 + 1000000) % 1000000)"
		return "strftime('%Y-%m-%dT%H:%M:%S', (" + column + " - " + fraction + ") / 1000000, 'unixepoch') || printf('.%06dZ', " + fraction + ")"
	}
	const data = "CASE WHEN substr(data, 1, 1) = X'7B' THEN CAST(data AS TEXT) ELSE hex(data) END AS data"
	index := n.bare("record_due")
	if n.schema != "" {
		index = n.of("record_due") // SQLite names the index's database, not the table's
	}
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.of("meta") + " (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
		"CREATE TABLE IF NOT EXISTS " + n.of("record") + " (" + key + ", version INTEGER NOT NULL, seq INTEGER NOT NULL, due INTEGER NOT NULL," +
			" data BLOB NOT NULL, PRIMARY KEY (tenant, kind, id)) WITHOUT ROWID",
		"CREATE INDEX IF NOT EXISTS " + index + " ON " + n.bare("record") + " (kind, due, tenant, id) WHERE due > 0",
		"CREATE TABLE IF NOT EXISTS " + n.of("entry") + " (" + key + ", seq INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL," +
			" parts TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (tenant, kind, id, seq)) WITHOUT ROWID",
		"CREATE TABLE IF NOT EXISTS " + n.of("blob") + " (id TEXT NOT NULL PRIMARY KEY COLLATE BINARY, token TEXT NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID",
		"CREATE TABLE IF NOT EXISTS " + n.of("blob_part") + " (token TEXT NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (token, n)) WITHOUT ROWID",
		"CREATE VIEW IF NOT EXISTS " + n.of("record_v") + " AS SELECT tenant, kind, id, version, seq, CASE WHEN due > 0 THEN " + instant("due") +
			" END AS due, " + data + " FROM " + n.bare("record"),
		"CREATE VIEW IF NOT EXISTS " + n.of("entry_v") + " AS SELECT tenant, kind, id, seq, " + instant("at") + " AS at, " + data + " FROM" +
			" (SELECT tenant, kind, id, seq, at, data FROM " + n.bare("entry") + " WHERE n = 1 UNION ALL" +
			" SELECT tenant, kind, e.id, seq - n + p.key + 1, at + json_extract(p.value, '$[0]'), substr(data, json_extract(p.value, '$[1]') + 1, json_extract(p.value, '$[2]'))" +
			" FROM " + n.bare("entry") + " AS e, json_each(CASE WHEN n > 1 THEN parts END) AS p)",
	}
}
