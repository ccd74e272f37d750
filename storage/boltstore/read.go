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

// Keys: parts joined by NUL, numbers as eight bytes, highest first.
//
//	record  tenant 0 kind 0 id          version, seq, due, data
//	due     kind 0 due tenant 0 id      nothing
//
// Those of entries are in entries.go.

const recordHead = 3 * 8

func recordKey(k storage.Key) []byte {
	b := make([]byte, 0, len(k.Tenant)+len(k.Kind)+len(k.ID)+2)
	b = append(append(b, k.Tenant...), 0)
	b = append(append(b, k.Kind...), 0)
	return append(b, k.ID...)
}

func recordValue(version, seq uint64, due int64, data []byte) []byte {
	b := make([]byte, 0, recordHead+len(data))
	b = binary.BigEndian.AppendUint64(b, version)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint64(b, uint64(due))
	return append(b, data...)
}

func dueKey(k storage.Key, due int64) []byte {
	b := make([]byte, 0, len(k.Kind)+len(k.Tenant)+len(k.ID)+10)
	b = append(append(b, k.Kind...), 0)
	b = binary.BigEndian.AppendUint64(b, uint64(due))
	b = append(append(b, k.Tenant...), 0)
	return append(b, k.ID...)
}

// read returns what is stored under k. Its Data is valid within the
// transaction, until that writes.
func read(records *bolt.Bucket, k storage.Key) (storage.Record, error) {
	v := records.Get(recordKey(k))
	if v == nil {
		return storage.Record{Key: k}, nil
	}
	return decode(k, v)
}

func decode(k storage.Key, v []byte) (storage.Record, error) {
	if len(v) < recordHead {
		return storage.Record{}, fmt.Errorf("boltstore: %w: %s of %d bytes", storage.ErrCorrupt, k.Kind, len(v))
	}
	return storage.Record{
		Key:     k,
		Version: binary.BigEndian.Uint64(v),
		Seq:     binary.BigEndian.Uint64(v[8:]),
		Due:     storage.DueTime(int64(binary.BigEndian.Uint64(v[16:]))),
		Data:    v[recordHead:],
	}, nil
}

// Get implements [storage.Store]. What it returns is a snapshot.
func (s *Store) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	if err := storage.CheckKeys(keys...); err != nil {
		return nil, err
	}
	recs := make([]storage.Record, len(keys))
	err := s.view(ctx, func(tx *bolt.Tx) error {
		records := tx.Bucket(recordBucket)
		for i, k := range keys {
			r, err := read(records, k)
			if err != nil {
				return err
			}
			r.Data = bytes.Clone(r.Data)
			recs[i] = r
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return recs, nil
}

// Due implements [storage.Store].
func (s *Store) Due(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
	if err := storage.CheckRange(storage.Deployment, kind, ""); err != nil {
		return nil, err
	}
	var keys []storage.Key
	last := uint64(storage.DueMicros(until))
	err := s.view(ctx, func(tx *bolt.Tx) error {
		prefix := append([]byte(kind), 0)
		c := tx.Bucket(dueBucket).Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(keys) < storage.PageSize(limit); k, _ = c.Next() {
			rest := k[len(prefix):]
			if len(rest) < 8 {
				return fmt.Errorf("boltstore: %w: due index of %s", storage.ErrCorrupt, kind)
			}
			if binary.BigEndian.Uint64(rest) > last {
				return nil
			}
			tenant, id, ok := bytes.Cut(rest[8:], []byte{0})
			if !ok {
				return fmt.Errorf("boltstore: %w: due index of %s", storage.ErrCorrupt, kind)
			}
			keys = append(keys, storage.Key{Tenant: string(tenant), Kind: kind, ID: string(id)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// List implements [storage.Store].
func (s *Store) List(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
	if err := storage.CheckRange(tenant, kind, after); err != nil {
		return nil, err
	}
	var recs []storage.Record
	err := s.view(ctx, func(tx *bolt.Tx) error {
		prefix := recordKey(storage.Key{Tenant: tenant, Kind: kind})
		first := append(bytes.Clone(prefix), after...)
		c := tx.Bucket(recordBucket).Cursor()
		k, v := c.Seek(first)
		if bytes.Equal(k, first) {
			k, v = c.Next()
		}
		for ; bytes.HasPrefix(k, prefix) && len(recs) < storage.PageSize(limit); k, v = c.Next() {
			r, err := decode(storage.Key{Tenant: tenant, Kind: kind, ID: string(k[len(prefix):])}, v)
			if err != nil {
				return err
			}
			r.Data = bytes.Clone(r.Data)
			recs = append(recs, r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return recs, nil
}
