package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/storage"
)

// Entries of one stream that a batch appends in a row lie together, as far as they
// fill half a page: bbolt has two values on a page, however large they are. What
// lies together is found by the Seq of its last, so that a search for any of them
// ends there. A single entry is what it would be without others.
//
//	entry    tenant 0 kind 0 id 0 seq                 at, data
//	entries  tenant 0 kind 0 id 0 last seq, count 2   each: time since the one before, length, data
//
// The times and lengths are varints.

const maxPacked = 1<<16 - 1 // what count can hold

func streamPrefix(k storage.Key) []byte { return append(recordKey(k), 0) }

// entryKey is the key of an entry, and where a search for those from seq begins.
func entryKey(k storage.Key, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(streamPrefix(k), seq)
}

// append stores entries.
func (w writer) append(entries []storage.Entry) error {
	for len(entries) > 0 {
		key, value, n := pack(entries, w.half)
		if err := w.entries.Put(key, value); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// pack returns the key and value of the first n entries, which are of one stream and
// take at most half a page, unless it is one.
func pack(entries []storage.Entry, half int) (key, value []byte, n int) {
	first := &entries[0]
	size := len(first.Stream.Tenant) + len(first.Stream.Kind) + len(first.Stream.ID) + 3 + 8 + 2
	for n < min(len(entries), maxPacked) && entries[n].Stream == first.Stream {
		size += len(entries[n].Data) + 2*binary.MaxVarintLen64
		if n > 0 && size > half {
			break
		}
		n++
	}
	if n == 1 {
		value = make([]byte, 0, 8+len(first.Data))
		value = binary.BigEndian.AppendUint64(value, uint64(first.At.UnixMicro()))
		return entryKey(first.Stream, first.Seq), append(value, first.Data...), 1
	}
	value = make([]byte, 0, min(size, half))
	var at int64
	for i := range entries[:n] {
		e := &entries[i]
		value = binary.AppendVarint(value, e.At.UnixMicro()-at)
		value = binary.AppendUvarint(value, uint64(len(e.Data)))
		value = append(value, e.Data...)
		at = e.At.UnixMicro()
	}
	key = binary.BigEndian.AppendUint16(entryKey(first.Stream, entries[n-1].Seq), uint16(n))
	return key, value, n
}

// unpack appends the entries of stream above after that a value holds, to at most
// limit. suffix is what follows the stream in its key.
func unpack(list []storage.Entry, stream storage.Key, suffix, value []byte, after uint64, limit int) ([]storage.Entry, error) {
	damaged := fmt.Errorf("boltstore: %w: entry of %s", storage.ErrCorrupt, stream.Kind)
	switch {
	case len(suffix) == 8 && len(value) >= 8:
		return append(list, storage.Entry{
			Stream: stream,
			Seq:    binary.BigEndian.Uint64(suffix),
			At:     time.UnixMicro(int64(binary.BigEndian.Uint64(value))).UTC(),
			Data:   bytes.Clone(value[8:]),
		}), nil
	case len(suffix) != 10:
		return nil, damaged
	}
	last, count := binary.BigEndian.Uint64(suffix), uint64(binary.BigEndian.Uint16(suffix[8:]))
	if count < 2 || last < count {
		return nil, damaged
	}
	data := bytes.Clone(value) // of all of them
	var at int64
	for seq := last - count + 1; seq <= last; seq++ {
		since, n := binary.Varint(data)
		if n <= 0 {
			return nil, damaged
		}
		size, m := binary.Uvarint(data[n:])
		if m <= 0 || size > uint64(len(data)-n-m) {
			return nil, damaged
		}
		at += since
		from, to := n+m, n+m+int(size)
		if seq > after && len(list) < limit {
			list = append(list, storage.Entry{Stream: stream, Seq: seq, At: time.UnixMicro(at).UTC(), Data: data[from:to:to]})
		}
		data = data[to:]
	}
	if len(data) > 0 {
		return nil, damaged
	}
	return list, nil
}

// Entries implements [storage.Store].
func (s *Store) Entries(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	if err := storage.CheckKeys(stream); err != nil {
		return nil, err
	}
	if after+1 == 0 {
		return nil, nil
	}
	limit = storage.PageSize(limit)
	var entries []storage.Entry
	err := s.view(ctx, func(tx *bolt.Tx) (err error) {
		prefix := streamPrefix(stream)
		c := tx.Bucket(entryBucket).Cursor()
		for k, v := c.Seek(entryKey(stream, after+1)); bytes.HasPrefix(k, prefix) && len(entries) < limit; k, v = c.Next() {
			if entries, err = unpack(entries, stream, k[len(prefix):], v, after, limit); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}
