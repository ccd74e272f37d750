package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"github.com/countersign/countersign/storage"
)

// Statements with a placeholder per value, for MySQL and SQLite.

// tuples is "(?,?),(?,?)" for n rows of width values.
func tuples(n, width int) string {
	one := "(" + strings.Repeat("?,", width-1) + "?)"
	return strings.Repeat(one+",", n-1) + one
}

// commonTexts are the statements that are the same everywhere but for how
// arguments are written.
func commonTexts(n names, arg func(i int) string) texts {
	record, part, blob := n.of("record"), n.of("blob_part"), n.of("blob")
	return texts{
		entries: "SELECT seq, n, at, parts, data FROM " + n.of("entry") + " WHERE tenant = " + arg(1) + " AND kind = " + arg(2) + " AND id = " + arg(3) +
			" AND seq > " + arg(4) + " AND " + within(arg(5), arg(6)) + " ORDER BY seq LIMIT " + arg(7),
		due: "SELECT tenant, id FROM " + record + " WHERE kind = " + arg(1) + " AND due > 0 AND due <= " + arg(2) + " ORDER BY due, tenant, id LIMIT " + arg(3),
		list: "SELECT tenant, kind, id, version, seq, due, data FROM " + record + " WHERE tenant = " + arg(1) + " AND kind = " + arg(2) + " AND id > " + arg(3) +
			" ORDER BY id LIMIT " + arg(4),
		meta: "SELECT value FROM " + n.of("meta") + " WHERE name = " + arg(1),
		blobs: blobTexts{
			open:    "SELECT token, size FROM " + blob + " WHERE id = " + arg(1),
			read:    "SELECT n, data FROM " + part + " WHERE token = " + arg(1) + " AND n >= " + arg(2) + " AND n <= " + arg(3) + " ORDER BY n",
			list:    "SELECT id FROM " + blob + " WHERE id > " + arg(1) + " ORDER BY id LIMIT " + arg(2),
			part:    "INSERT INTO " + part + " (token, n, data) VALUES (" + arg(1) + ", " + arg(2) + ", " + arg(3) + ")",
			remove:  "DELETE FROM " + blob + " WHERE id = " + arg(1) + " AND token = " + arg(2),
			forget:  "DELETE FROM " + part + " WHERE token = " + arg(1),
			orphans: "SELECT DISTINCT token FROM " + part + " WHERE token < " + arg(1) + " AND token NOT IN (SELECT token FROM " + blob + ")",
		},
	}
}

// within is true of packs that begin below until. Those end below end, maxPack-1 above
// it, which is what an index can use.
func within(end, until string) string {
	return "seq < " + end + " AND seq - n + 1 < " + until
}

// rowArgs are the arguments of rows: tenant, kind, id, version, seq, due, data.
func rowArgs(key func(string) any, rows []row) []any {
	args := make([]any, 0, 7*len(rows))
	for _, r := range rows {
		args = append(args, key(r.key.Tenant), key(r.key.Kind), key(r.key.ID), r.version, r.seq, r.due, r.data)
	}
	return args
}

func packArgs(key func(string) any, packs []pack) []any {
	args := make([]any, 0, 8*len(packs))
	for _, p := range packs {
		args = append(args, key(p.stream.Tenant), key(p.stream.Kind), key(p.stream.ID), p.seq, p.n, p.at, p.parts, p.bytes())
	}
	return args
}

func keyArgs(key func(string) any, keys []storage.Key) []any {
	args := make([]any, 0, 3*len(keys))
	for _, k := range keys {
		args = append(args, key(k.Tenant), key(k.Kind), key(k.ID))
	}
	return args
}

// scanHeads reads tenant, kind, id, version, seq.
func scanHeads(rows *sql.Rows, heads map[storage.Key]head) error {
	return scan(rows, func() error {
		var k storage.Key
		var version, seq int64
		if err := rows.Scan(&k.Tenant, &k.Kind, &k.ID, &version, &seq); err != nil {
			return err
		}
		heads[k] = head{uint64(version), uint64(seq)}
		return nil
	})
}

// queryRow reads one row; sql.ErrNoRows without any.
func queryRow(ctx context.Context, q Querier, query string, args []any, into ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	found := false
	err = scan(rows, func() error {
		found = true
		return rows.Scan(into...)
	})
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return err
}
