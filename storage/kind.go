package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"
)

// A Kind binds the records of one kind to a Go type. They are kept as
// {"v":Schema,"d":value}, JSON that a person can read in the database. A Kind
// is a literal, usually a package variable.
type Kind[T any] struct {
	// Name is the kind in keys, such as "quota.hold". Required.
	Name string
	// Schema is the version that is written, from 1. Required. A record of a
	// higher one is [ErrNewer].
	Schema int
	// Due gives the instant at which a value falls due; nil: never.
	Due func(T) time.Time
	// Upgrade reads a value that was written under a lower schema; nil: as one
	// of this schema.
	Upgrade func(schema int, data []byte) (T, error)
}

// Key returns the key of a record of this kind.
func (k Kind[T]) Key(tenant, id string) Key { return Key{Tenant: tenant, Kind: k.Name, ID: id} }

// Get returns the value under id and whether there is one, as [Tx.Get] does:
// the commit depends on it. The value is the caller's to change and to write
// back with Put.
func (k Kind[T]) Get(tx *Tx, tenant, id string) (v T, ok bool, err error) {
	r, err := tx.one(k.Key(tenant, id), true)
	if err != nil || r.Version == 0 {
		return v, false, err
	}
	v, err = k.Decode(r)
	return v, err == nil, err
}

// Peek returns the value under id and its version, 0 if there is none, as
// [Tx.Peek] does: the commit does not depend on it.
func (k Kind[T]) Peek(tx *Tx, tenant, id string) (v T, version uint64, err error) {
	r, err := tx.one(k.Key(tenant, id), false)
	if err != nil || r.Version == 0 {
		return v, 0, err
	}
	v, err = k.Decode(r)
	return v, r.Version, err
}

// Create stores a new value, as [Tx.Create] does.
func (k Kind[T]) Create(tx *Tx, tenant, id string, v T) error {
	data, err := k.Encode(v)
	if err != nil {
		return err
	}
	return tx.Create(k.Key(tenant, id), data, k.due(v))
}

// Put stores a value over what the run read, as [Tx.Put] does.
func (k Kind[T]) Put(tx *Tx, tenant, id string, v T) error {
	data, err := k.Encode(v)
	if err != nil {
		return err
	}
	return tx.Put(k.Key(tenant, id), data, k.due(v))
}

// Delete removes the value, as [Tx.Delete] does.
func (k Kind[T]) Delete(tx *Tx, tenant, id string) error { return tx.Delete(k.Key(tenant, id)) }

// Scan yields the values of a tenant with their ids, in byte order of id, whose
// id is longer than prefix and begins with it; see [Scan].
func (k Kind[T]) Scan(ctx context.Context, s Store, tenant, prefix string) iter.Seq2[Item[T], error] {
	return func(yield func(Item[T], error) bool) {
		for r, err := range Scan(ctx, s, tenant, k.Name, prefix) {
			item := Item[T]{ID: r.Key.ID, Version: r.Version}
			if err == nil {
				item.Value, err = k.Decode(r)
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// An Item is a value found by [Kind.Scan].
type Item[T any] struct {
	ID      string
	Version uint64
	Value   T
}

type framed struct {
	Schema int             `json:"v"`
	Data   json.RawMessage `json:"d"`
}

// Encode returns the Data of a record that holds v.
func (k Kind[T]) Encode(v T) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"v":%d,"d":`, k.Schema)
	if err := encodeJSON(&b, v); err != nil {
		return nil, fmt.Errorf("storage: encode %s: %w", k.Name, err)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Decode returns the value of a record. It returns [ErrCorrupt] if Data is not
// what Encode of this or an earlier release wrote, [ErrNewer] if a later one did.
func (k Kind[T]) Decode(r Record) (T, error) {
	var v T
	var f framed
	if json.Unmarshal(r.Data, &f) != nil || f.Schema < 1 || f.Data == nil {
		return v, fmt.Errorf("%w: %s is not framed JSON", ErrCorrupt, k.Name)
	}
	if f.Schema > k.Schema {
		return v, fmt.Errorf("%w: %s has schema %d, this release reads up to %d", ErrNewer, k.Name, f.Schema, k.Schema)
	}
	if f.Schema < k.Schema && k.Upgrade != nil {
		v, err := k.Upgrade(f.Schema, f.Data)
		if err != nil {
			return v, fmt.Errorf("%w: %s of schema %d", ErrCorrupt, k.Name, f.Schema)
		}
		return v, nil
	}
	// The decoder's text may quote the value, so it is dropped.
	if json.Unmarshal(f.Data, &v) != nil {
		var zero T
		return zero, fmt.Errorf("%w: %s does not decode", ErrCorrupt, k.Name)
	}
	return v, nil
}

func (k Kind[T]) due(v T) time.Time {
	if k.Due == nil {
		return time.Time{}
	}
	return k.Due(v)
}

// encodeJSON leaves <, > and & readable, and ends without a newline.
func encodeJSON(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1)
	return nil
}
