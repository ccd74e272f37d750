package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

// On PostgreSQL a commit that waits for nobody is one statement: a round trip
// instead of six. It locks, compares, and writes what is good; what is not, and
// whatever the statement cannot do, goes through a transaction.

// Operations on a record that exists.
const (
	opWrite = 1 + iota
	opCheck
	opDelete
)

const (
	createLost  = "SQLSTATE 23505" // of the statement, and then nothing is stored
	writeLost   = "SQLSTATE 22012" // likewise
	singleBytes = 8 << 20          // of data; larger commits are transactions, in parts
	singleLimit = 30 * time.Second // of the statement, before its outcome counts as unknown
)

// singleText is the statement, for the names of two tables. $1 is the data of all
// rows, one after another; $2 to $8 are the creations, $9 to $18 the other writes,
// each in the order of keys, and $19 to $27 the packs of entries. The first column of
// each is the batch, the last where its data lies in $1: where it begins, times
// [singleCut], plus how long it is. Columns may end early, and most do: what is
// missing of tenants and kinds is as the last that is there, of operations and
// counts 1, of other numbers 0, of texts empty.
//
// A row of lk has what was locked for a write: nothing if the record is not as
// expected or held by others, and then its batch is bad. Rows are locked and
// written in the order of keys; READ COMMITTED compares again with what the lock
// found. The last select returns the bad batches.
//
// Whoever else created a record in between makes its index refuse ours. What was
// locked is written where it lies, which the planner cannot mistake for a reason
// to read the table; if it lay elsewhere when the statement began, as after a
// change by hand that left its version alone, the last select divides by zero. Both
// store nothing, and a transaction then finds out more.
//
// Ids are selected because the planner would otherwise count their elements, find a
// plan for few of them cheaper than one for any number, and plan every commit anew.
// See postgres.single.
const singleText = `WITH w AS (
  SELECT coalesce(batch, 0) AS batch, coalesce(op, 1) AS op, coalesce(tenant, LAST($11)) AS tenant, coalesce(kind, LAST($12)) AS kind, id,
    expect, coalesce(first, 0) AS first, coalesce(added, 0) AS added, coalesce(due, 0) AS due, cut FROM (
    SELECT unnest($9::bigint[]) AS batch, unnest($10::bigint[]) AS op,
      unnest($11::text[]) AS tenant, unnest($12::text[]) AS kind, unnest((SELECT $13::text[])) AS id,
      unnest($14::bigint[]) AS expect, unnest($15::bigint[]) AS first, unnest($16::bigint[]) AS added,
      unnest($17::bigint[]) AS due, unnest($18::bigint[]) AS cut) AS a
  WHERE (SELECT set_config('lock_timeout', '` + lockLimit + `', true)) IS NOT NULL
), lk AS MATERIALIZED (
  SELECT w.*, coalesce(x.seq, y.seq) AS seq, x.place FROM w
  LEFT JOIN LATERAL (SELECT r.seq, r.ctid AS place FROM RECORD AS r
    WHERE w.op <> 2 AND r.tenant = w.tenant AND r.kind = w.kind AND r.id = w.id AND r.version = w.expect
      AND (w.first = 0 OR r.seq + 1 = w.first) AND (w.op = 1 OR r.seq = 0) FOR UPDATE SKIP LOCKED) AS x ON true
  LEFT JOIN LATERAL (SELECT r.seq FROM RECORD AS r
    WHERE w.op = 2 AND r.tenant = w.tenant AND r.kind = w.kind AND r.id = w.id AND r.version = w.expect FOR SHARE SKIP LOCKED) AS y ON true
), bad AS MATERIALIZED (
  SELECT coalesce(array_agg(DISTINCT batch) FILTER (WHERE seq IS NULL), '{}') AS batches FROM lk
), ins AS (
  INSERT INTO RECORD (tenant, kind, id, version, seq, due, data)
  SELECT coalesce(tenant, LAST($3)), coalesce(kind, LAST($4)), id, 1, coalesce(added, 0), coalesce(due, 0), DATA FROM (
    SELECT unnest($2::bigint[]) AS batch, unnest($3::text[]) AS tenant, unnest($4::text[]) AS kind,
      unnest((SELECT $5::text[])) AS id, unnest($6::bigint[]) AS added, unnest($7::bigint[]) AS due,
      unnest($8::bigint[]) AS cut) AS a
  WHERE coalesce(batch, 0) <> ALL ((SELECT batches FROM bad)::bigint[])
), upd AS (
  UPDATE RECORD AS r SET version = expect + 1, seq = lk.seq + added, due = lk.due, data = DATA FROM lk
  WHERE r.ctid = place AND op = 1 AND batch <> ALL ((SELECT batches FROM bad)::bigint[]) RETURNING 1
), del AS (
  DELETE FROM RECORD AS r USING lk WHERE r.ctid = place AND op = 3 AND batch <> ALL ((SELECT batches FROM bad)::bigint[]) RETURNING 1
), ent AS (
  INSERT INTO ENTRY (tenant, kind, id, seq, n, at, parts, data)
  SELECT coalesce(tenant, LAST($20)), coalesce(kind, LAST($21)), id, seq, coalesce(n, 1), at, coalesce(parts, ''), DATA FROM (
    SELECT unnest($19::bigint[]) AS batch, unnest($20::text[]) AS tenant, unnest($21::text[]) AS kind,
      unnest((SELECT $22::text[])) AS id, unnest($23::bigint[]) AS seq, unnest($24::bigint[]) AS n,
      unnest($25::bigint[]) AS at, unnest($26::text[]) AS parts, unnest($27::bigint[]) AS cut) AS a
  WHERE coalesce(batch, 0) <> ALL ((SELECT batches FROM bad)::bigint[])
)
SELECT unnest(batches) FROM bad
WHERE 1 / CASE WHEN (SELECT count(*) FROM upd) + (SELECT count(*) FROM del)
  = (SELECT count(*) FROM lk WHERE op <> 2 AND batch <> ALL ((SELECT batches FROM bad)::bigint[])) THEN 1 ELSE 0 END = 1`

// singleCut is more than the size of any data.
const singleCut = 2 * storage.MaxData

// singleOf is the statement for tables.
func singleOf(record, entry string) string {
	text := regexp.MustCompile(`LAST\((\$\d+)\)`).ReplaceAllString(singleText, "(SELECT ($1::text[])[cardinality($1::text[])])")
	cut := strconv.Itoa(singleCut)
	return strings.NewReplacer("RECORD", record, "ENTRY", entry, "DATA", "substring($1::bytea, (cut / "+cut+")::int + 1, (cut % "+cut+")::int)").Replace(text)
}

// singleWrite is a write within the statement.
type singleWrite struct {
	*storage.Write
	batch, op    int64
	first, added int64
}

// singlePack is a pack within the statement.
type singlePack struct {
	pack
	batch int64
}

// A singleCall is a commit that one statement can do.
type singleCall struct {
	p    *postgres
	args []any  // nil: nothing to send
	lost []bool // batches that have lost already
}

// newSingle returns nil if the statement cannot do it.
func (s *Store) newSingle(batches []storage.Batch) *singleCall {
	p, ok := s.engine.(*postgres)
	if !ok || !p.native.Load() || p.noSingle.Load() {
		return nil
	}
	rows, ok := newSingleRows(batches)
	if !ok {
		return nil
	}
	c := &singleCall{p: p, lost: rows.lost}
	if len(rows.creates)+len(rows.writes) > 0 {
		c.args = rows.args()
	}
	return c
}

// single commits batches in one statement. handled is false if it cannot, and
// nothing is stored then.
func (s *Store) single(ctx context.Context, batches []storage.Batch) (outs []storage.Outcome, held []*storage.Key, handled bool, err error) {
	c := s.newSingle(batches)
	if c == nil {
		return nil, nil, false, nil
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, nil, true, s.fail(ctx, "commit", err)
	}
	// The caller's context counts until the statement is sent: cutting it off
	// would lose its answer.
	life, cancel := context.WithTimeout(context.WithoutCancel(ctx), singleLimit)
	defer cancel()
	outs, err = c.run(life, conn)
	_ = conn.Close()
	if err != nil {
		handled, err := s.singleError(ctx, c.p, err)
		return nil, nil, handled, err
	}
	held, err = s.singleLost(ctx, s.db, batches, outs)
	return outs, held, true, err
}

// singleError judges an error of the statement. With handled false nothing is
// stored, and a transaction may try.
func (s *Store) singleError(ctx context.Context, p *postgres, err error) (handled bool, _ error) {
	c := code(err)
	switch {
	case c == createLost, c == writeLost, s.classify(err) != classOther:
		return false, nil
	case c == "SQLSTATE 0A000", strings.HasPrefix(c, "SQLSTATE 42"):
		p.noSingle.Store(true) // an engine that speaks the protocol, but not all of the language
		return false, nil
	case c == "", strings.HasPrefix(c, "SQLSTATE 08"), strings.HasPrefix(c, "SQLSTATE 57"):
		return true, fmt.Errorf("%w: %w", storage.ErrUnknown, s.fail(context.WithoutCancel(ctx), "commit", err))
	}
	return true, s.fail(ctx, "commit", err)
}

// singleRows are what the statement gets.
type singleRows struct {
	creates, writes []singleWrite // in the order of keys
	packs           []singlePack
	lost            []bool // batches that have lost already
	data            []byte
}

// newSingleRows returns false for batches that need an order among them, or are
// too large.
func newSingleRows(batches []storage.Batch) (*singleRows, bool) {
	size, writes, checks := 0, 0, 0
	for i := range batches {
		b := &batches[i]
		writes += len(b.Writes)
		for j := range b.Writes {
			size += len(b.Writes[j].Data)
			if b.Writes[j].Check {
				checks++
			}
		}
		for j := range b.Entries {
			size += len(b.Entries[j].Data)
		}
	}
	if size > singleBytes || checks > 0 && checksOthers(batches) {
		return nil, false
	}
	r := &singleRows{creates: make([]singleWrite, 0, writes), lost: make([]bool, len(batches)), data: make([]byte, 0, size)}
	type span struct{ first, added int64 }
	streams := make(map[storage.Key]span)
	for i := range batches {
		b, from := &batches[i], len(r.packs)
		for _, p := range packs(b.Entries) {
			s, ok := streams[p.stream]
			if !ok {
				s.first = p.seq - p.n + 1
			}
			s.added += p.n
			streams[p.stream] = s
			r.packs = append(r.packs, singlePack{p, int64(i)})
		}
		for j := range b.Writes {
			w := &b.Writes[j]
			r.lost[i] = r.lost[i] || w.Expect >= maxInt
			if w.Expect == 0 && len(b.Entries) > 0 {
				first := streams[w.Key].first
				r.lost[i] = r.lost[i] || first != 0 && first != 1
			}
		}
		if r.lost[i] {
			r.packs = r.packs[:from]
			continue
		}
		for j := range b.Writes {
			sw := singleWrite{Write: &b.Writes[j], batch: int64(i), op: opWrite}
			if len(b.Entries) > 0 {
				s := streams[sw.Key]
				sw.first, sw.added = s.first, s.added
			}
			switch {
			case sw.Expect == 0:
				r.creates = append(r.creates, sw)
				continue
			case sw.Check:
				sw.op = opCheck
			case sw.Delete:
				sw.op = opDelete
			}
			r.writes = append(r.writes, sw)
		}
	}
	order := func(a, b singleWrite) int { return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.batch, b.batch)) }
	slices.SortFunc(r.creates, order)
	slices.SortFunc(r.writes, order)
	return r, true
}

// checksOthers reports whether a batch checks what another writes.
func checksOthers(batches []storage.Batch) bool {
	written := make(map[storage.Key]int)
	for i := range batches {
		for _, w := range batches[i].Writes {
			if !w.Check {
				written[w.Key] = i
			}
		}
	}
	for i := range batches {
		for _, w := range batches[i].Writes {
			if j, ok := written[w.Key]; ok && w.Check && j != i {
				return true
			}
		}
	}
	return false
}

// cut is where what was appended to the data since from lies.
func (r *singleRows) cut(from int) int64 { return int64(from)*singleCut + int64(len(r.data)-from) }

// args are the arguments of the statement.
func (r *singleRows) args() []any {
	batch := func(w *singleWrite) int64 { return w.batch }
	op := func(w *singleWrite) int64 { return w.op }
	tenant := func(w *singleWrite) string { return w.Key.Tenant }
	kind := func(w *singleWrite) string { return w.Key.Kind }
	id := func(w *singleWrite) string { return w.Key.ID }
	expect := func(w *singleWrite) int64 { return int64(w.Expect) }
	first := func(w *singleWrite) int64 { return w.first }
	added := func(w *singleWrite) int64 { return w.added }
	due := func(w *singleWrite) int64 { return storage.DueMicros(w.Due) }
	cut := func(w *singleWrite) int64 {
		from := len(r.data)
		r.data = append(r.data, w.Data...)
		return r.cut(from)
	}
	c, w, p := r.creates, r.writes, r.packs
	args := []any{
		nil, // the data: first, for drivers to make room for it all at once
		until(c, 0, batch), shared(c, tenant), shared(c, kind), column(c, id), until(c, 0, added), until(c, 0, due), column(c, cut),
		until(w, 0, batch), until(w, opWrite, op), shared(w, tenant), shared(w, kind), column(w, id),
		column(w, expect), until(w, 0, first), until(w, 0, added), until(w, 0, due), column(w, cut),
		until(p, 0, func(p *singlePack) int64 { return p.batch }),
		shared(p, func(p *singlePack) string { return p.stream.Tenant }),
		shared(p, func(p *singlePack) string { return p.stream.Kind }),
		column(p, func(p *singlePack) string { return p.stream.ID }),
		column(p, func(p *singlePack) int64 { return p.seq }),
		until(p, 1, func(p *singlePack) int64 { return p.n }),
		column(p, func(p *singlePack) int64 { return p.at }),
		until(p, "", func(p *singlePack) string { return p.parts }),
		column(p, func(p *singlePack) int64 {
			from := len(r.data)
			r.data = p.appendData(r.data)
			return r.cut(from)
		}),
	}
	args[0] = r.data
	return args
}

// column is a value of each of rows.
func column[R, T any](rows []R, value func(*R) T) []T {
	c := make([]T, len(rows))
	for i := range rows {
		c[i] = value(&rows[i])
	}
	return c
}

// until is a column that ends where all the rest is the same.
func until[R any, T comparable](rows []R, rest T, value func(*R) T) []T {
	n := len(rows)
	for n > 0 && value(&rows[n-1]) == rest {
		n--
	}
	return column(rows[:n], value)
}

// shared is a column that ends where all the rest is as the last value of it.
func shared[R any](rows []R, value func(*R) string) []string {
	n := len(rows)
	for n > 1 && value(&rows[n-2]) == value(&rows[n-1]) {
		n--
	}
	return column(rows[:n], value)
}

// run sends the statement.
func (c *singleCall) run(ctx context.Context, q Querier) (outs []storage.Outcome, err error) {
	outs = make([]storage.Outcome, len(c.lost))
	for i := range outs {
		outs[i].OK = !c.lost[i]
	}
	if c.args == nil {
		return outs, nil
	}
	rows, err := q.QueryContext(ctx, c.p.single(), c.args...)
	if err != nil {
		return nil, err
	}
	err = scan(rows, func() error {
		var bad int
		if err := rows.Scan(&bad); err != nil {
			return err
		}
		outs[bad].OK = false
		return nil
	})
	// The server commits after the last row; only Close hears of it.
	if err = errors.Join(err, rows.Close()); err != nil {
		return nil, err
	}
	return outs, nil
}

// singleLost tells batches that lost from those whose records others hold:
// everything is as those expect.
func (s *Store) singleLost(ctx context.Context, q Querier, batches []storage.Batch, outs []storage.Outcome) (held []*storage.Key, err error) {
	held = make([]*storage.Key, len(batches))
	var keys []storage.Key
	for i := range batches {
		if outs[i].OK {
			continue
		}
		for _, w := range batches[i].Writes {
			if w.Expect > 0 {
				keys = append(keys, w.Key)
			}
		}
	}
	if len(keys) == 0 {
		return held, nil
	}
	heads, err := s.engine.lock(ctx, q, sortedKeys(keys), lockNone)
	if err != nil {
		return nil, afterSome(outs, s.fail(ctx, "commit", err))
	}
	w := work{s: s, heads: heads}
	for i := range batches {
		if outs[i].OK {
			continue
		}
		if ok, _, err := w.judge(&batches[i], nil); err == nil && ok {
			held[i] = firstKey(batches[i])
		}
	}
	return held, nil
}
