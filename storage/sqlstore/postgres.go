package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/countersign/countersign/storage"
)

// postgres passes columns as arrays: the text of a statement does not depend on
// the number of rows, so that drivers prepare it once.
type postgres struct {
	texts  texts
	names  names
	native atomic.Bool // the driver takes slices; otherwise arrays go as text

	singleTexts [16]string
	singles     atomic.Uint64 // commits by it so far
	noSingle    atomic.Bool   // the server does not run it

	getText, getLockText, holdText, streamsText, headText, lockText, lockSkipText, lockSharedText string
	limitText, createText, writeText, removeText, addText                                         string
}

// lockLimit is how long a commit that must not wait may wait after all, for
// records that others are about to create: their rows cannot be skipped.
const lockLimit = "250ms"

// holdLimit is how long CommitLocked waits for its turn.
const holdLimit = "1s"

func newPostgres(n names) *postgres {
	p := &postgres{names: n}
	record, entry := n.of("record"), n.of("entry")
	// The subquery makes the planner look up each key by the primary key, in the
	// order of the arrays, whatever it believes about the size of the table.
	lookup := func(columns, lock string) string {
		return "SELECT " + columns + " FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w(tenant, kind, id, n)," +
			" LATERAL (SELECT * FROM " + record + " WHERE tenant = w.tenant AND kind = w.kind AND id = w.id " + lock + ") AS r"
	}
	p.streamsText = "SELECT w.i, e.* FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])" +
		" WITH ORDINALITY AS w(tenant, kind, id, after, until, most, i), LATERAL (SELECT seq, n, at, parts, data FROM " + entry +
		" WHERE tenant = w.tenant AND kind = w.kind AND id = w.id AND seq > w.after AND " + within("w.until + "+strconv.Itoa(maxPack-1), "w.until") +
		" ORDER BY seq LIMIT w.most) AS e ORDER BY w.i, e.seq"
	const head, whole = "r.tenant, r.kind, r.id, r.version, r.seq", "r.tenant, r.kind, r.id, r.version, r.seq, r.due, r.data"
	limit := "(SELECT set_config('lock_timeout', '" + lockLimit + "', true))" // until the transaction ends
	p.getText = lookup(whole, "OFFSET 0")
	p.getLockText = lookup(whole, "FOR UPDATE")
	p.holdText = lookup(whole, "FOR UPDATE") + " WHERE (SELECT set_config('lock_timeout', '" + holdLimit + "', true)) IS NOT NULL"
	p.headText = lookup(head, "OFFSET 0")
	p.lockText = lookup(head, "FOR UPDATE")
	p.lockSkipText = lookup(head, "FOR UPDATE SKIP LOCKED") + " WHERE " + limit + " IS NOT NULL"
	p.lockSharedText = lookup(head, "FOR SHARE SKIP LOCKED") + " WHERE " + limit + " IS NOT NULL"
	p.limitText = "SELECT " + limit
	const columns = "(tenant, kind, id, version, seq, due, data)"
	rows := " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])"
	p.createText = "INSERT INTO " + record + " " + columns + rows + " ON CONFLICT DO NOTHING RETURNING tenant, kind, id"
	p.writeText = "INSERT INTO " + record + " " + columns + rows + " ON CONFLICT (tenant, kind, id) DO UPDATE" +
		" SET version = excluded.version, seq = excluded.seq, due = excluded.due, data = excluded.data"
	p.removeText = "DELETE FROM " + record + " WHERE tenant = $1 AND kind = $2 AND id = $3"
	p.addText = "INSERT INTO " + entry + " (tenant, kind, id, seq, n, at, parts, data)" +
		" SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::bytea[])"
	single := singleOf(record, entry)
	for i := range p.singleTexts {
		p.singleTexts[i] = single + fmt.Sprint(" /* ", i, " */")
	}
	p.texts = commonTexts(n, func(i int) string { return "$" + strconv.Itoa(i) })
	p.texts.blobs.finish = "INSERT INTO " + n.of("blob") + " (id, token, size) SELECT $1::text, $2::text, $3::bigint WHERE" +
		" (SELECT count(*) FROM " + n.of("blob_part") + " WHERE token = $4::text) = $5::bigint ON CONFLICT DO NOTHING"
	p.texts.setMeta = "INSERT INTO " + n.of("meta") + " (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING"
	return p
}

func (p *postgres) text() *texts        { return &p.texts }
func (p *postgres) key(part string) any { return part }
func (p *postgres) locksGaps() bool     { return false }
func (p *postgres) provisional() bool   { return false }

func (p *postgres) prepare(ctx context.Context, q Querier, own bool) (string, error) {
	var encoding, fsync, pages, commit string
	err := queryRow(ctx, q, "SELECT current_setting('server_encoding'), coalesce(current_setting('fsync', true), 'on'),"+
		" coalesce(current_setting('full_page_writes', true), 'on'), coalesce(current_setting('synchronous_commit', true), 'on')",
		nil, &encoding, &fsync, &pages, &commit)
	if err != nil {
		return "", err
	}
	if encoding != "UTF8" {
		return "", fmt.Errorf("%w: the database's encoding is %s, not UTF8", ErrSettings, encoding)
	}
	if own && !p.native.Load() {
		var got string
		err := queryRow(ctx, q, "SELECT array_to_string($1::text[], ',') || array_length($2::bigint[], 1) || encode(($3::bytea[])[1], 'hex')",
			[]any{[]string{`a"\`, "b"}, []int64{1, 2}, [][]byte{{0, 0xff}}}, &got)
		p.native.Store(err == nil && got == `a"\,b200ff`)
	}
	switch {
	case fsync == "off":
		return "fsync is off", nil
	case pages == "off":
		return "full_page_writes is off", nil
	case commit == "off":
		return "synchronous_commit is off", nil
	}
	return "", nil
}

func (p *postgres) get(ctx context.Context, q Querier, keys []storage.Key, lock bool) (*sql.Rows, error) {
	text := p.getText
	if lock {
		text = p.getLockText
	}
	return q.QueryContext(ctx, text, p.keys(keys)...)
}

func (p *postgres) hold(ctx context.Context, q Querier, keys []storage.Key) (*sql.Rows, error) {
	return q.QueryContext(ctx, p.holdText, p.keys(keys)...)
}

func (p *postgres) lock(ctx context.Context, q Querier, keys []storage.Key, how locking) (map[storage.Key]head, error) {
	text := p.headText
	switch how {
	case lockWrite:
		text = p.lockText
	case lockWriteSkip:
		text = p.lockSkipText
	case lockSharedSkip:
		text = p.lockSharedText
	}
	heads := make(map[storage.Key]head, len(keys))
	err := chunks(keys, keySize, func(keys []storage.Key) error {
		rows, err := q.QueryContext(ctx, text, p.keys(keys)...)
		if err != nil {
			return err
		}
		return scanHeads(rows, heads)
	})
	return heads, err
}

// single is the statement of a commit. Its text changes when there were 4, 16, 64
// and so on, for it to be planned again: what it was planned for may have been a
// table of one page, which was read whole.
func (p *postgres) single() string {
	n := bits.Len64(p.singles.Add(1)) / 2
	return p.singleTexts[min(n, len(p.singleTexts)-1)]
}

func (p *postgres) limit(ctx context.Context, q Querier) error {
	_, err := q.ExecContext(ctx, p.limitText)
	return err
}

func (p *postgres) create(ctx context.Context, q Querier, rows []row, limited bool) (lost []storage.Key, err error) {
	err = chunks(rows, rowSize, func(rows []row) error {
		made := make(map[storage.Key]bool, len(rows))
		res, err := q.QueryContext(ctx, p.createText, p.rows(rows)...)
		if err != nil {
			return err
		}
		err = scan(res, func() error {
			var k storage.Key
			err := res.Scan(&k.Tenant, &k.Kind, &k.ID)
			made[k] = true
			return err
		})
		for _, r := range rows {
			if !made[r.key] {
				lost = append(lost, r.key)
			}
		}
		return err
	})
	return lost, err
}

func (p *postgres) write(ctx context.Context, q Querier, rows []row) error {
	return chunks(rows, rowSize, func(rows []row) error {
		_, err := q.ExecContext(ctx, p.writeText, p.rows(rows)...)
		return err
	})
}

func (p *postgres) remove(ctx context.Context, q Querier, keys []storage.Key) error {
	for _, k := range keys { // for several at once the planner may read the whole table
		if _, err := q.ExecContext(ctx, p.removeText, k.Tenant, k.Kind, k.ID); err != nil {
			return err
		}
	}
	return nil
}

func (p *postgres) add(ctx context.Context, q Querier, packs []pack) error {
	return chunks(packs, packSize, func(packs []pack) error {
		keys, parts, datas := make([]storage.Key, len(packs)), make([]string, len(packs)), make([][]byte, len(packs))
		seqs, ns, ats := make([]int64, len(packs)), make([]int64, len(packs)), make([]int64, len(packs))
		for i, k := range packs {
			keys[i], seqs[i], ns[i], ats[i], parts[i], datas[i] = k.stream, k.seq, k.n, k.at, k.parts, k.bytes()
		}
		_, err := q.ExecContext(ctx, p.addText, append(p.keys(keys), p.ints(seqs), p.ints(ns), p.ints(ats), p.strings(parts), p.bytes(datas))...)
		return err
	})
}

// keys are the arguments of three columns.
func (p *postgres) keys(keys []storage.Key) []any {
	tenants, kinds, ids := make([]string, len(keys)), make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		tenants[i], kinds[i], ids[i] = k.Tenant, k.Kind, k.ID
	}
	return []any{p.strings(tenants), p.strings(kinds), p.strings(ids)}
}

// rows are the arguments of the columns of a record.
func (p *postgres) rows(rows []row) []any {
	keys, datas := make([]storage.Key, len(rows)), make([][]byte, len(rows))
	versions, seqs, dues := make([]int64, len(rows)), make([]int64, len(rows)), make([]int64, len(rows))
	for i, r := range rows {
		keys[i], versions[i], seqs[i], dues[i], datas[i] = r.key, r.version, r.seq, r.due, r.data
	}
	return append(p.keys(keys), p.ints(versions), p.ints(seqs), p.ints(dues), p.bytes(datas))
}

func (p *postgres) strings(a []string) any {
	if p.native.Load() {
		return a
	}
	var b strings.Builder
	for i, s := range a {
		b.WriteString(separator(i))
		b.WriteByte('"')
		for j := range len(s) {
			if s[j] == '"' || s[j] == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(s[j])
		}
		b.WriteByte('"')
	}
	return closeArray(&b)
}

func (p *postgres) ints(a []int64) any {
	if p.native.Load() {
		return a
	}
	var b strings.Builder
	for i, n := range a {
		b.WriteString(separator(i))
		b.WriteString(strconv.FormatInt(n, 10))
	}
	return closeArray(&b)
}

func (p *postgres) bytes(a [][]byte) any {
	if p.native.Load() {
		return a
	}
	var b strings.Builder
	for i, data := range a {
		b.WriteString(separator(i))
		b.WriteString(`"\\x`)
		b.WriteString(hex.EncodeToString(data))
		b.WriteByte('"')
	}
	return closeArray(&b)
}

func separator(i int) string {
	if i == 0 {
		return "{"
	}
	return ","
}

func closeArray(b *strings.Builder) string {
	if b.Len() == 0 {
		return "{}"
	}
	b.WriteByte('}')
	return b.String()
}

func (p *postgres) schema() []string {
	n := p.names
	const key = `tenant text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL`
	// JSON is shown as it is, anything else with escapes.
	data := "CASE WHEN substr(data, 1, 1) = '{' THEN convert_from(data, 'UTF8') ELSE encode(data, 'escape') END AS data"
	instant := func(column string) string { return "timestamptz 'epoch' + " + column + " * interval '1 microsecond'" }
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.of("meta") + " (name text PRIMARY KEY, value text NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + n.of("record") + " (" + key + ", version bigint NOT NULL, seq bigint NOT NULL, due bigint NOT NULL," +
			" data bytea NOT NULL, PRIMARY KEY (tenant, kind, id)) WITH (fillfactor = 70)",
		"CREATE INDEX IF NOT EXISTS " + n.bare("record_due") + " ON " + n.of("record") + " (kind, due, tenant, id) WHERE due > 0",
		"CREATE TABLE IF NOT EXISTS " + n.of("entry") + " (" + key + ", seq bigint NOT NULL, n bigint NOT NULL, at bigint NOT NULL," +
			" parts text NOT NULL, data bytea NOT NULL, PRIMARY KEY (tenant, kind, id, seq))",
		"CREATE TABLE IF NOT EXISTS " + n.of("blob") + ` (id text COLLATE "C" PRIMARY KEY, token text COLLATE "C" NOT NULL, size bigint NOT NULL)`,
		"CREATE TABLE IF NOT EXISTS " + n.of("blob_part") + ` (token text COLLATE "C" NOT NULL, n bigint NOT NULL, data bytea NOT NULL, PRIMARY KEY (token, n))`,
		"CREATE OR REPLACE VIEW " + n.of("record_v") + " AS SELECT tenant, kind, id, version, seq, CASE WHEN due > 0 THEN " + instant("due") + " END AS due, " +
			data + " FROM " + n.of("record"),
		"CREATE OR REPLACE VIEW " + n.of("entry_v") + " AS SELECT tenant, kind, id, seq, " + instant("at") + " AS at, " + data + " FROM" +
			" (SELECT tenant, kind, id, seq, at, data FROM " + n.of("entry") + " WHERE n = 1 UNION ALL" +
			" SELECT tenant, kind, id, seq - n + i, at + (part->>0)::bigint, substr(data, (part->>1)::int + 1, (part->>2)::int)" +
			" FROM " + n.of("entry") + ", json_array_elements(CASE WHEN n > 1 THEN parts::json END) WITH ORDINALITY AS p(part, i)) AS e",
	}
}
