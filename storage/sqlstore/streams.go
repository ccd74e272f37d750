package sqlstore

import (
	"context"
	"time"

	"github.com/countersign/countersign/storage"
)

var _ storage.StreamReader = (*Store)(nil)

// Streams implements [storage.StreamReader]: in one query on PostgreSQL. The other
// engines are asked for one stream after another.
func (s *Store) Streams(ctx context.Context, parts []storage.StreamPart) ([][]storage.Entry, error) {
	for i := range parts {
		if err := storage.CheckKeys(parts[i].Stream); err != nil {
			return nil, err
		}
	}
	if err := s.ready(ctx, s.db, true); err != nil {
		return nil, err
	}
	out := make([][]storage.Entry, len(parts))
	p, ok := s.engine.(*postgres)
	if !ok {
		for i, part := range parts {
			var err error
			if out[i], err = s.entries(ctx, s.db, part.Stream, part.After, part.Limit); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	if len(parts) == 0 {
		return out, ctx.Err()
	}
	keys := make([]storage.Key, len(parts))
	after, limits := make([]int64, len(parts)), make([]int64, len(parts))
	for i, part := range parts {
		keys[i], after[i], limits[i] = part.Stream, int64(min(part.After, maxInt)), int64(storage.PageSize(part.Limit))
	}
	rows, err := s.db.QueryContext(ctx, p.streamsText, append(p.keys(keys), p.ints(after), p.ints(limits))...)
	if err != nil {
		return nil, s.fail(ctx, "entries", err)
	}
	err = scan(rows, func() error {
		var i, seq, at int64
		var data []byte
		if err := rows.Scan(&i, &seq, &at, &data); err != nil {
			return err
		}
		e := storage.Entry{Stream: parts[i-1].Stream, Seq: uint64(seq), At: time.UnixMicro(at).UTC(), Data: data}
		out[i-1] = append(out[i-1], e)
		return nil
	})
	if err != nil {
		return nil, s.fail(ctx, "entries", err)
	}
	return out, nil
}
