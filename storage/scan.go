package storage

import (
	"context"
	"iter"
	"strings"
)

const scanPage = 256

// Scan yields the records of a tenant and kind whose ID is longer than prefix
// and begins with it, in byte order of ID; an empty prefix yields all. It reads
// page by page: what changes meanwhile may or may not be seen, but no record
// that stays is missed or repeated. After an error it ends.
func Scan(ctx context.Context, s Store, tenant, kind, prefix string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		after := prefix
		for {
			page, err := s.List(ctx, tenant, kind, after, scanPage)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range page {
				if !strings.HasPrefix(r.Key.ID, prefix) || !yield(r, nil) {
					return
				}
			}
			if len(page) < scanPage {
				return
			}
			after = page[len(page)-1].Key.ID
		}
	}
}

// Replay yields the entries of a stream with Seq above after, in order, up to
// what the stream holds when the last page is read. After an error it ends.
func Replay(ctx context.Context, s Store, stream Key, after uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			page, err := s.Entries(ctx, stream, after, scanPage)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if len(page) < scanPage {
				return
			}
			after = page[len(page)-1].Seq
		}
	}
}
