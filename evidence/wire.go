package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"github.com/countersign/countersign/storage"
)

// Heads and watermarks change with every event, and JSON of them would cost more
// than hashing it. Their records are
//
//	0x81  1  fields
//
// with numbers as varints, lists and hashes behind their lengths, and instants as
// microseconds since 1970, signed, plus one, 0 for none. Data that begins with a
// brace is JSON of the same types, as releases before wrote it.
const (
	wireMark   = 0x81
	wireSchema = 1
)

// packed is a storage.Kind in that form. Values of a codec that does not say Own
// are shared by all who read them: a copy is what changes.
type packed[T any] struct {
	storage.Kind[T]
	codec *storage.Codec // of *T
	put   func([]byte, *T) []byte
	get   func(*wireReader, *T)
}

func pack[T any](kind storage.Kind[T], own bool, put func([]byte, *T) []byte, get func(*wireReader, *T)) packed[T] {
	k := packed[T]{Kind: kind, put: put, get: get}
	k.codec = &storage.Codec{
		Encode: func(v any) ([]byte, error) { return k.encode(v.(*T)), nil },
		Decode: func(r storage.Record) (any, error) {
			v, err := k.Decode(r)
			return &v, err
		},
		Own: own,
	}
	return k
}

func (k packed[T]) encode(v *T) []byte {
	return k.put(append(make([]byte, 0, 160), wireMark, wireSchema), v)
}

func (k packed[T]) Decode(rec storage.Record) (v T, err error) {
	if len(rec.Data) > 0 && rec.Data[0] == '{' {
		return k.Kind.Decode(rec)
	}
	r := wireReader{b: rec.Data}
	if len(r.b) > 1 && r.b[0] == wireMark && r.b[1] > wireSchema {
		return v, fmt.Errorf("%w: %s has schema %d, this release reads up to %d", storage.ErrNewer, k.Name, r.b[1], wireSchema)
	}
	if len(r.b) < 2 || r.b[0] != wireMark || r.b[1] != wireSchema {
		r.fail()
	} else {
		r.b = r.b[2:]
	}
	if k.get(&r, &v); r.bad || len(r.b) > 0 {
		return *new(T), fmt.Errorf("%w: %s does not decode", storage.ErrCorrupt, k.Name)
	}
	return v, nil
}

func (k packed[T]) Get(tx *storage.Tx, tenant, id string) (v T, ok bool, err error) {
	got, version, err := tx.Value(k.Key(tenant, id), k.codec)
	if err != nil || version == 0 {
		return v, false, err
	}
	return *got.(*T), true, nil
}

func (k packed[T]) Peek(tx *storage.Tx, tenant, id string) (v T, version uint64, err error) {
	recs, err := tx.Peek(k.Key(tenant, id))
	if err != nil || recs[0].Version == 0 {
		return v, 0, err
	}
	v, err = k.Decode(recs[0])
	return v, recs[0].Version, err
}

func (k packed[T]) Put(tx *storage.Tx, tenant, id string, v T) error {
	var due time.Time
	if k.Due != nil {
		due = k.Due(v)
	}
	return tx.PutValue(k.Key(tenant, id), k.codec, &v, due)
}

func (k packed[T]) Scan(ctx context.Context, s storage.Store, tenant, prefix string) iter.Seq2[storage.Item[T], error] {
	return func(yield func(storage.Item[T], error) bool) {
		for r, err := range storage.Scan(ctx, s, tenant, k.Name, prefix) {
			item := storage.Item[T]{ID: r.Key.ID, Version: r.Version}
			if err == nil {
				item.Value, err = k.Decode(r)
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

func putHead(b []byte, h *chainHead) []byte {
	b = binary.AppendUvarint(b, h.Seq)
	b = binary.AppendUvarint(b, h.Sealed)
	b = appendInstant(appendInstant(b, h.At), h.Due)
	b = append(binary.AppendUvarint(b, uint64(len(h.Hash))), h.Hash...)
	b = binary.AppendUvarint(b, uint64(len(h.Known)))
	for _, k := range h.Known { // as a text: half of it would not be worth the care
		b = append(binary.AppendUvarint(b, uint64(len(k))), k...)
	}
	return b
}

func getHead(r *wireReader, h *chainHead) {
	h.Seq, h.Sealed = r.num(), r.num()
	h.At, h.Due = r.instant(), r.instant()
	if h.Hash = r.take(r.num()); len(h.Hash) != sha256.Size {
		r.fail()
	}
	n := r.num()
	if n > uint64(len(r.b)) {
		r.fail()
		return
	}
	for ; n > 0 && !r.bad; n-- {
		h.Known = append(h.Known, string(r.take(r.num())))
	}
}

func putMark(b []byte, m *watermark) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, m.Seq), uint64(len(m.Runs)))
	for _, x := range m.Runs {
		b = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(b, x.Seq), x.Leaf), x.N)
	}
	return b
}

func getMark(r *wireReader, m *watermark) {
	m.Seq = r.num()
	n := r.num()
	if n > uint64(len(r.b)) {
		r.fail()
		return
	}
	m.Runs = make([]run, 0, min(n, 64)) // a count that lies must not cost memory
	for ; n > 0 && !r.bad; n-- {
		m.Runs = append(m.Runs, run{Seq: r.num(), Leaf: r.num(), N: r.num()})
	}
}

func appendInstant(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	n := t.UnixMicro()
	if n >= 0 {
		n++
	}
	return binary.AppendVarint(b, n)
}

// A wireReader takes fields off; after a failure it yields zeros.
type wireReader struct {
	b   []byte
	bad bool
}

func (r *wireReader) fail() { r.bad, r.b = true, nil }

func (r *wireReader) num() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 || k > 1 && r.b[k-1] == 0 { // in its shortest form
		r.fail()
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *wireReader) instant() time.Time {
	u := r.num()
	n := int64(u>>1) ^ -int64(u&1)
	if n == 0 {
		return time.Time{}
	}
	if n > 0 {
		n--
	}
	return time.UnixMicro(n).UTC()
}

func (r *wireReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}
