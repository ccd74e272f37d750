package sqlstore

import (
	"context"

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
	after, until, limits := make([]int64, len(parts)), make([]int64, len(parts)), make([]int64, len(parts))
	for i, part := range parts {
		limit := storage.PageSize(part.Limit)
		keys[i], after[i], until[i], limits[i] = part.Stream, int64(min(part.After, maxInt)), window(part.After, limit), int64(limit)
	}
	rows, err := s.db.QueryContext(ctx, p.streamsText, append(p.keys(keys), p.ints(after), p.ints(until), p.ints(limits))...)
	if err != nil {
		return nil, s.fail(ctx, "entries", err)
	}
	err = scan(rows, func() error {
		var i int
		p, err := scanPack(rows, storage.Key{}, &i)
		if err != nil {
			return err
		}
		part := &parts[i-1]
		p.stream = part.Stream
		out[i-1], err = p.unpack(out[i-1], part.After, storage.PageSize(part.Limit))
		return err
	})
	if err != nil {
		return nil, s.fail(ctx, "entries", err)
	}
	return out, nil
}
