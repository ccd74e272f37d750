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

// Operations of a written row.
const (
	opCreate = iota
	opWrite
	opCheck
)

const (
	singleBytes = 8 << 20          // of data; larger commits are transactions, in parts
	singleLimit = 30 * time.Second // of the statement, before its outcome counts as unknown
)

// singleText is the statement, for the names of two tables. $1 to $10 are the
// writes in the order of keys, $11 to $17 the entries, whose first column is the
// place of the record's write among the writes, from 1.
//
// A row of lk has what was locked for a write: nothing for a creation, and
// nothing if the record is not as expected or held by others. A batch is good
// if none of its rows lacks it. Rows are locked and written in the order of
// keys; READ COMMITTED compares again with what the lock found. The last select
// divides by zero, which stores nothing, if somebody else created a record in
// between; a transaction then finds out whose.
const singleText = `WITH w AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[])
    WITH ORDINALITY AS w(batch, op, tenant, kind, id, expect, first, added, due, data, n)
  WHERE (SELECT set_config('lock_timeout', '` + lockLimit + `', true)) IS NOT NULL
), lk AS MATERIALIZED (
  SELECT w.*, coalesce(x.seq, 0) AS seq, w.op = 0 OR x.seq IS NOT NULL OR y.seq IS NOT NULL AS met FROM w
  LEFT JOIN LATERAL (SELECT r.seq FROM RECORD AS r
    WHERE w.op = 1 AND r.tenant = w.tenant AND r.kind = w.kind AND r.id = w.id AND r.version = w.expect
      AND (w.first = 0 OR r.seq + 1 = w.first) FOR UPDATE SKIP LOCKED) AS x ON true
  LEFT JOIN LATERAL (SELECT r.seq FROM RECORD AS r
    WHERE w.op = 2 AND r.tenant = w.tenant AND r.kind = w.kind AND r.id = w.id AND r.version = w.expect FOR SHARE SKIP LOCKED) AS y ON true
), g AS MATERIALIZED (
  SELECT *, bool_and(met) OVER (PARTITION BY batch) AS good FROM lk
), ins AS (
  INSERT INTO RECORD (tenant, kind, id, version, seq, due, data)
  SELECT tenant, kind, id, 1, added, due, data FROM g WHERE good AND op = 0 ORDER BY n
  ON CONFLICT DO NOTHING RETURNING 1
), upd AS (
  INSERT INTO RECORD (tenant, kind, id, version, seq, due, data)
  SELECT tenant, kind, id, expect + 1, seq + added, due, data FROM g WHERE good AND op = 1 ORDER BY n
  ON CONFLICT (tenant, kind, id) DO UPDATE SET version = excluded.version, seq = excluded.seq, due = excluded.due, data = excluded.data
), ent AS (
  INSERT INTO ENTRY (tenant, kind, id, seq, at, data)
  SELECT tenant, kind, id, seq, at, data FROM unnest($11::bigint[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[], $17::bytea[])
    AS e(n, tenant, kind, id, seq, at, data)
  WHERE (ARRAY(SELECT good FROM g ORDER BY n))[e.n]
)
SELECT batch, 1 / CASE WHEN (SELECT count(*) FROM ins) = (SELECT count(*) FROM g WHERE good AND op = 0) THEN 1 ELSE 0 END
FROM g WHERE good GROUP BY batch`

// singleWrite is a write within the statement.
type singleWrite struct {
	storage.Write
	batch, op    int64
	first, added int64
}

// single commits batches in one statement. handled is false if it cannot, and
// nothing is stored then.
func (s *Store) single(ctx context.Context, batches []storage.Batch) (outs []storage.Outcome, held []*storage.Key, handled bool, err error) {
	p, ok := s.engine.(*postgres)
	if !ok || !p.native.Load() || p.noSingle.Load() {
		return nil, nil, false, nil
	}
	outs, held = make([]storage.Outcome, len(batches)), make([]*storage.Key, len(batches))
	writes, ok := singleWrites(batches, outs)
	if !ok {
		return nil, nil, false, nil
	}
	if len(writes) > 0 {
		sent, err := s.singleQuery(ctx, p, singleArgs(batches, writes), outs)
		if err != nil {
			handled, err := s.singleError(ctx, p, sent, err)
			return nil, nil, handled, err
		}
	}
	return outs, held, true, s.singleLost(ctx, batches, outs, held)
}

// singleError judges an error of the statement. With handled false nothing is
// stored, and a transaction may try.
func (s *Store) singleError(ctx context.Context, p *postgres, sent bool, err error) (handled bool, _ error) {
	c := code(err)
	switch {
	case !sent:
		return true, s.fail(ctx, "commit", err)
	case c == "SQLSTATE 22012", s.classify(err) != classOther:
		return false, nil
	case c == "SQLSTATE 0A000", strings.HasPrefix(c, "SQLSTATE 42"):
		p.noSingle.Store(true) // an engine that speaks the protocol, but not all of the language
		return false, nil
	case c == "", strings.HasPrefix(c, "SQLSTATE 08"), strings.HasPrefix(c, "SQLSTATE 57"):
		return true, fmt.Errorf("%w: %w", storage.ErrUnknown, s.fail(context.WithoutCancel(ctx), "commit", err))
	}
	return true, s.fail(ctx, "commit", err)
}

// singleWrites returns the writes of all batches in the order of keys. It sets
// the outcome of those that need no database. ok is false for what needs an
// order among the batches, deletes, or is too large.
func singleWrites(batches []storage.Batch, outs []storage.Outcome) (writes []singleWrite, ok bool) {
	written, checked := make(map[storage.Key]int), make(map[storage.Key]int)
	bytes := 0
	for i := range batches {
		b := &batches[i]
		first, added := make(map[storage.Key]int64), appended(b)
		for j := range b.Entries {
			if e := &b.Entries[j]; first[e.Stream] == 0 {
				first[e.Stream] = int64(min(e.Seq, maxInt))
			}
			bytes += len(b.Entries[j].Data)
		}
		sent := len(writes)
		outs[i].OK = len(b.Writes) == 0
		for _, w := range b.Writes {
			sw := singleWrite{Write: w, batch: int64(i), op: opWrite, first: first[w.Key], added: added[w.Key]}
			switch {
			case w.Check:
				sw.op = opCheck
				checked[w.Key] = i
			case w.Delete: // the planner may read the whole table for it
				return nil, false
			case w.Expect == 0:
				sw.op = opCreate
			}
			if sw.op != opCheck {
				written[w.Key] = i
			}
			if w.Expect >= maxInt || sw.op == opCreate && sw.first > 1 {
				writes = writes[:sent] // lost already
				break
			}
			bytes += len(w.Data)
			writes = append(writes, sw)
		}
	}
	for k, i := range checked {
		if j, ok := written[k]; ok && j != i {
			return nil, false
		}
	}
	slices.SortFunc(writes, func(a, b singleWrite) int {
		return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.batch, b.batch))
	})
	return writes, bytes <= singleBytes
}

func singleArgs(batches []storage.Batch, writes []singleWrite) []any {
	n := len(writes)
	batch, op, expect := make([]int64, n), make([]int64, n), make([]int64, n)
	first, added, due := make([]int64, n), make([]int64, n), make([]int64, n)
	tenant, kind, id, data := make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	at := make(map[storage.Key]int64) // of the writes with entries
	for i, w := range writes {
		batch[i], op[i], expect[i], first[i], added[i], due[i] = w.batch, w.op, int64(w.Expect), w.first, w.added, storage.DueMicros(w.Due)
		tenant[i], kind[i], id[i], data[i] = w.Key.Tenant, w.Key.Kind, w.Key.ID, bytesOf(w.Data)
		if w.added > 0 {
			at[w.Key] = int64(i) + 1
		}
	}
	args := []any{batch, op, tenant, kind, id, expect, first, added, due, data}
	place, seq, when := []int64{}, []int64{}, []int64{}
	tenant, kind, id, data = []string{}, []string{}, []string{}, [][]byte{}
	for i := range batches {
		for _, e := range batches[i].Entries {
			if at[e.Stream] == 0 { // of a batch that is lost already
				continue
			}
			place, seq, when = append(place, at[e.Stream]), append(seq, int64(e.Seq)), append(when, e.At.UnixMicro())
			tenant, kind, id, data = append(tenant, e.Stream.Tenant), append(kind, e.Stream.Kind), append(id, e.Stream.ID), append(data, bytesOf(e.Data))
		}
	}
	return append(args, place, tenant, kind, id, seq, when, data)
}

// singleQuery runs the statement. The caller's context counts until it is sent:
// cutting it off would lose its answer.
func (s *Store) singleQuery(ctx context.Context, p *postgres, args []any, outs []storage.Outcome) (sent bool, err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	life, cancel := context.WithTimeout(context.WithoutCancel(ctx), singleLimit)
	defer cancel()
	rows, err := conn.QueryContext(life, p.singleText, args...)
	if err != nil {
		return true, err
	}
	var good []int
	err = scan(rows, func() error {
		var batch, one int
		err := rows.Scan(&batch, &one)
		good = append(good, batch)
		return err
	})
	// The server commits after the last row; only Close hears of it.
	if err = errors.Join(err, rows.Close()); err != nil {
		return true, err
	}
	for _, i := range good {
		outs[i].OK = true
	}
	return true, nil
}

// singleLost tells batches that lost from those whose records others hold:
// everything is as those expect.
func (s *Store) singleLost(ctx context.Context, batches []storage.Batch, outs []storage.Outcome, held []*storage.Key) error {
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
		return nil
	}
	heads, err := s.engine.lock(ctx, s.db, sortedKeys(keys), lockNone)
	if err != nil {
		return afterSome(outs, s.fail(ctx, "commit", err))
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
	return nil
}
