package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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

// singleText is the statement, for the names of two tables. $1 to $7 are the
// creations and $8 to $17 the other writes, each in the order of keys, $18 to
// $26 the entries. The first column of each is the batch.
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
// Arrays are selected because the planner would otherwise count their elements,
// and plan every commit anew. See postgres.single.
const singleText = `WITH w AS (
  SELECT unnest((SELECT $8::bigint[])) AS batch, unnest((SELECT $9::bigint[])) AS op,
    unnest((SELECT $10::text[])) AS tenant, unnest((SELECT $11::text[])) AS kind, unnest((SELECT $12::text[])) AS id,
    unnest((SELECT $13::bigint[])) AS expect, unnest((SELECT $14::bigint[])) AS first, unnest((SELECT $15::bigint[])) AS added,
    unnest((SELECT $16::bigint[])) AS due, unnest((SELECT $17::bytea[])) AS data
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
  SELECT tenant, kind, id, 1, added, due, data FROM (
    SELECT unnest((SELECT $1::bigint[])) AS batch, unnest((SELECT $2::text[])) AS tenant, unnest((SELECT $3::text[])) AS kind,
      unnest((SELECT $4::text[])) AS id, unnest((SELECT $5::bigint[])) AS added, unnest((SELECT $6::bigint[])) AS due,
      unnest((SELECT $7::bytea[])) AS data) AS c
  WHERE batch <> ALL ((SELECT batches FROM bad)::bigint[])
), upd AS (
  UPDATE RECORD AS r SET version = expect + 1, seq = lk.seq + added, due = lk.due, data = lk.data FROM lk
  WHERE r.ctid = place AND op = 1 AND batch <> ALL ((SELECT batches FROM bad)::bigint[]) RETURNING 1
), del AS (
  DELETE FROM RECORD AS r USING lk WHERE r.ctid = place AND op = 3 AND batch <> ALL ((SELECT batches FROM bad)::bigint[]) RETURNING 1
), ent AS (
  INSERT INTO ENTRY (tenant, kind, id, seq, n, at, parts, data)
  SELECT tenant, kind, id, seq, n, at, parts, data FROM (
    SELECT unnest((SELECT $18::bigint[])) AS batch, unnest((SELECT $19::text[])) AS tenant, unnest((SELECT $20::text[])) AS kind,
      unnest((SELECT $21::text[])) AS id, unnest((SELECT $22::bigint[])) AS seq, unnest((SELECT $23::bigint[])) AS n,
      unnest((SELECT $24::bigint[])) AS at, unnest((SELECT $25::text[])) AS parts, unnest((SELECT $26::bytea[])) AS data) AS e
  WHERE batch <> ALL ((SELECT batches FROM bad)::bigint[])
)
SELECT unnest(batches) FROM bad
WHERE 1 / CASE WHEN (SELECT count(*) FROM upd) + (SELECT count(*) FROM del)
  = (SELECT count(*) FROM lk WHERE op <> 2 AND batch <> ALL ((SELECT batches FROM bad)::bigint[])) THEN 1 ELSE 0 END = 1`

// singleWrite is a write within the statement.
type singleWrite struct {
	storage.Write
	batch, op    int64
	first, added int64
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
	creates, writes, lost, ok := singleWrites(batches)
	if !ok {
		return nil
	}
	c := &singleCall{p: p, lost: lost}
	if len(creates)+len(writes) > 0 {
		c.args = singleArgs(batches, creates, writes, lost)
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

// singleWrites returns the creations and other writes of all batches, each in the
// order of keys, and which batches have lost already. ok is false for what needs
// an order among the batches, or is too large.
func singleWrites(batches []storage.Batch) (creates, writes []singleWrite, lost []bool, ok bool) {
	lost = make([]bool, len(batches))
	written, checked := make(map[storage.Key]int), make(map[storage.Key]int)
	bytes, total := 0, 0
	for i := range batches {
		total += len(batches[i].Writes)
	}
	creates = make([]singleWrite, 0, total)
	for i := range batches {
		b := &batches[i]
		var first map[storage.Key]int64
		added := appended(b)
		if len(b.Entries) > 0 {
			first = make(map[storage.Key]int64, len(added))
		}
		for j := range b.Entries {
			if e := &b.Entries[j]; first[e.Stream] == 0 {
				first[e.Stream] = int64(min(e.Seq, maxInt))
			}
			bytes += len(b.Entries[j].Data)
		}
		for _, w := range b.Writes {
			lost[i] = lost[i] || w.Expect >= maxInt || w.Expect == 0 && first[w.Key] > 1
			bytes += len(w.Data)
		}
		if lost[i] {
			continue
		}
		for _, w := range b.Writes {
			sw := singleWrite{Write: w, batch: int64(i), op: opWrite, first: first[w.Key], added: added[w.Key]}
			switch {
			case w.Check:
				sw.op = opCheck
				checked[w.Key] = i
				writes = append(writes, sw)
			case w.Expect == 0:
				creates = append(creates, sw)
			default:
				if w.Delete {
					sw.op = opDelete
				}
				written[w.Key] = i
				writes = append(writes, sw)
			}
		}
	}
	for k, i := range checked {
		if j, ok := written[k]; ok && j != i {
			return nil, nil, nil, false
		}
	}
	order := func(a, b singleWrite) int { return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.batch, b.batch)) }
	slices.SortFunc(creates, order)
	slices.SortFunc(writes, order)
	return creates, writes, lost, bytes <= singleBytes
}

func singleArgs(batches []storage.Batch, creates, writes []singleWrite, lost []bool) []any {
	keys := func(writes []singleWrite) (batch []int64, tenant, kind, id []string, added, due []int64, data [][]byte) {
		n := len(writes)
		batch, added, due, data = make([]int64, n), make([]int64, n), make([]int64, n), make([][]byte, n)
		tenant, kind, id = make([]string, n), make([]string, n), make([]string, n)
		for i := range writes {
			w := &writes[i]
			batch[i], added[i], due[i], data[i] = w.batch, w.added, storage.DueMicros(w.Due), bytesOf(w.Data)
			tenant[i], kind[i], id[i] = w.Key.Tenant, w.Key.Kind, w.Key.ID
		}
		return batch, tenant, kind, id, added, due, data
	}
	args := make([]any, 0, 26)
	batch, tenant, kind, id, added, due, data := keys(creates)
	args = append(args, batch, tenant, kind, id, added, due, data)
	batch, tenant, kind, id, added, due, data = keys(writes)
	op, expect, first := make([]int64, len(writes)), make([]int64, len(writes)), make([]int64, len(writes))
	for i := range writes {
		op[i], expect[i], first[i] = writes[i].op, int64(writes[i].Expect), writes[i].first
	}
	args = append(args, batch, op, tenant, kind, id, expect, first, added, due, data)
	var seq, n, at []int64
	var parts []string
	batch, tenant, kind, id, data = nil, nil, nil, nil, nil
	for i := range batches {
		if lost[i] {
			continue
		}
		for _, p := range packs(batches[i].Entries) {
			batch, seq, n, at, parts, data = append(batch, int64(i)), append(seq, p.seq), append(n, p.n), append(at, p.at), append(parts, p.parts), append(data, p.data)
			tenant, kind, id = append(tenant, p.stream.Tenant), append(kind, p.stream.Kind), append(id, p.stream.ID)
		}
	}
	return append(args, batch, tenant, kind, id, seq, n, at, parts, data)
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
