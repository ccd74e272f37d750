package quota

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/countersign/countersign/storage"
)

// The compact form of hot records: accounts, holds and entries are written with
// every call, and JSON costs more than all else a call does. It is
//
//	0x81  schema  fields in the order of the schema
//
// with numbers as varints, strings and lists behind their lengths, [words] as a
// byte, and instants as eight bytes of microseconds since 1970, plus one from then
// on: 0 is none. [Ledger.Export] prints all of it as JSON. Data that begins with a
// brace is read as JSON of the same types.
const wireMark = 0x81

// What follows appends fields to b.

func putNum(b []byte, n int64) []byte   { return binary.AppendVarint(b, n) }
func putUnum(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }

func putText[S ~string](b []byte, s S) []byte {
	if s == "" {
		return append(b, 0)
	}
	if len(s) < 0x80 { // a length of one byte, as nearly all are
		return append(append(b, byte(len(s))), s...)
	}
	return append(putUnum(b, uint64(len(s))), s...)
}

func putBit(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func putTime(b []byte, t time.Time) []byte {
	var n int64
	if !t.IsZero() {
		if n = t.UnixMicro(); n >= 0 {
			n++
		}
	}
	return binary.BigEndian.AppendUint64(b, uint64(n))
}

// bit is 1<<n if v is true: what is seldom there is named in a byte before it, and
// left out otherwise.
func bit(v bool, n int) byte {
	if v {
		return 1 << n
	}
	return 0
}

// A reader takes fields off; after a failure it yields zeros, and err tells. It
// reads a string, of which the texts are parts: one copy serves a whole record.
type reader struct {
	b   string
	at  int // what was read of b: to move on writes no pointer, which has a price while memory is collected
	err error
}

// left is how many bytes were not read.
func (r *reader) left() int { return len(r.b) - r.at }

func (r *reader) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("%w: quota: record does not decode", storage.ErrCorrupt)
	}
	r.at = len(r.b)
}

func (r *reader) num() int64 {
	n := r.unum()
	return int64(n>>1) ^ -int64(n&1)
}

func (r *reader) unum() uint64 {
	if r.at < len(r.b) && r.b[r.at] < 0x80 { // as nearly all are
		n := uint64(r.b[r.at])
		r.at++
		return n
	}
	return r.manyBytes()
}

func (r *reader) manyBytes() uint64 {
	var n uint64
	for i := range r.left() {
		c := r.b[r.at+i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.at += i + 1
			return n
		}
	}
	r.fail()
	return 0
}

func (r *reader) text() string {
	n := r.unum()
	if n > uint64(r.left()) {
		r.fail()
		return ""
	}
	return r.take(int(n))
}

func (r *reader) bit() bool { return r.bits(1) == 1 }

func (r *reader) time() time.Time {
	b := r.take(8)
	if r.err != nil {
		return time.Time{}
	}
	n := int64(b[0])<<56 | int64(b[1])<<48 | int64(b[2])<<40 | int64(b[3])<<32 |
		int64(b[4])<<24 | int64(b[5])<<16 | int64(b[6])<<8 | int64(b[7])
	if n == 0 {
		return time.Time{}
	}
	if n > 0 {
		n--
	}
	return time.UnixMicro(n).UTC()
}

// take reads n bytes.
func (r *reader) take(n int) string {
	if n > r.left() {
		r.fail()
		return ""
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

// bits reads a byte that says what follows; those from n on mean nothing.
func (r *reader) bits(n int) byte {
	b := r.take(1)
	if r.err == nil && b[0]>>n == 0 {
		return b[0]
	}
	r.fail()
	return 0
}

// count reads the length of a list whose members take at least a byte each.
func (r *reader) count() int {
	n := r.unum()
	if n > uint64(r.left()) {
		r.fail()
		return 0
	}
	return int(n)
}

// putList and getList write and read a list. Members are read into the memory of
// old, of which nothing else remains; an empty list is nil again if old is.
func putList[T any](b []byte, in []T, put func([]byte, *T) []byte) []byte {
	b = putUnum(b, uint64(len(in)))
	for i := range in {
		b = put(b, &in[i])
	}
	return b
}

func getList[T any](r *reader, old []T, get func(*reader, *T)) []T {
	n := r.count()
	if n == 0 {
		return old[:0]
	}
	if cap(old) == 0 {
		old = make([]T, 0, min(n, 32)) // a length that lies must not cost memory
	}
	out := old[:0]
	for range n {
		if len(out) < cap(out) {
			out = out[:len(out)+1] // what the member has of memory is used again
		} else {
			out = append(out, *new(T))
		}
		if get(r, &out[len(out)-1]); r.err != nil {
			return nil
		}
	}
	return out
}

// sized returns a list of the length that r says, whose members take at least so
// many bytes each, to be read into the memory of old. Unlike getList it needs no
// function, so that the reader of what is read all the time need not be allocated.
func sized[T any](r *reader, old []T, least int) []T {
	n := r.unum()
	if n > uint64(r.left()/least) {
		r.fail()
		return nil
	}
	if int(n) > cap(old) {
		return make([]T, n)
	}
	return old[:n]
}

func putTexts[S ~string](b []byte, in []S) []byte {
	b = putUnum(b, uint64(len(in)))
	for _, s := range in {
		b = putText(b, s)
	}
	return b
}

func putWords[S ~string](b []byte, in []S) []byte {
	b = putUnum(b, uint64(len(in)))
	for _, s := range in {
		b = putWord(b, s)
	}
	return b
}

func getWord[S ~string](r *reader, s *S) { *s = S(r.word()) }

// packed is a storage.Kind in the compact form. Values with a clone function stay
// decoded in the memory of a group; others are decoded by every read.
type packed[T any] struct {
	storage.Kind[T]
	put   func([]byte, *T) []byte
	read  func(*T, string) error // what follows the mark
	clone func(*T) *T
	codec *storage.Codec // of *T
	spare *sync.Pool     // of *T
}

func pack[T any](kind storage.Kind[T], put func([]byte, *T) []byte, read func(*T, string) error, clone func(*T) *T, bound func(*T) int) packed[T] {
	k := &packed[T]{Kind: kind, put: put, read: read, clone: clone, spare: &sync.Pool{New: func() any { return new(T) }}}
	k.codec = &storage.Codec{
		Encode: func(v any) ([]byte, error) { return k.encode(v.(*T)), nil },
		Append: func(b []byte, v any) []byte { return k.append(b, v.(*T)) },
		Decode: func(r storage.Record) (any, error) {
			v := k.spare.Get().(*T)
			return v, k.decode(r, v)
		},
		Own: clone == nil,
	}
	if bound != nil {
		k.codec.Bound = func(v any) int { return bound(v.(*T)) }
	}
	return *k
}

// Key returns the key of a record of this kind.
func (k *packed[T]) Key(tenant, id string) storage.Key {
	return storage.Key{Tenant: tenant, Kind: k.Name, ID: id}
}

func (k *packed[T]) Encode(v T) ([]byte, error) { return k.encode(&v), nil }

func (k *packed[T]) encode(v *T) []byte { return bytes.Clone(k.append(make([]byte, 0, 512), v)) }

// append appends the form of v to b.
func (k *packed[T]) append(b []byte, v *T) []byte {
	return k.put(putUnum(append(b, wireMark), uint64(k.Schema)), v)
}

func (k *packed[T]) Decode(rec storage.Record) (v T, err error) {
	err = k.decode(rec, &v)
	return v, err
}

func (k *packed[T]) decode(rec storage.Record, v *T) (err error) {
	if len(rec.Data) == 0 || rec.Data[0] != wireMark {
		*v, err = k.Kind.Decode(rec)
		return err
	}
	return k.read(v, string(rec.Data[1:]))
}

// schema reads the version of the fields that follow.
func (r *reader) schema(want int) {
	if n := r.unum(); r.err == nil && n != uint64(want) {
		class := storage.ErrCorrupt
		if n > uint64(want) {
			class = storage.ErrNewer
		}
		r.err = fmt.Errorf("%w: quota: record has schema %d, this release reads %d", class, n, want)
		r.at = len(r.b)
	}
}

// end is the reader's error, of bytes left over too.
func (r *reader) end() error {
	if r.err == nil && r.left() > 0 {
		r.fail()
	}
	return r.err
}

// Get returns a copy of a value, the caller's to change.
func (k *packed[T]) Get(tx *storage.Tx, tenant, id string) (v T, ok bool, err error) {
	p, err := k.own(tx, tenant, id)
	if err != nil || p == nil {
		return v, false, err
	}
	return *p, true, nil
}

// own returns a copy of a value, the caller's to change; nil if there is none.
func (k *packed[T]) own(tx *storage.Tx, tenant, id string) (*T, error) {
	got, version, err := tx.Value(k.Key(tenant, id), k.codec)
	if err != nil || version == 0 {
		return nil, err
	}
	if k.clone == nil {
		return got.(*T), nil
	}
	return k.clone(got.(*T)), nil
}

// keep is Put of v itself, which must not change any more.
func (k *packed[T]) keep(tx *storage.Tx, tenant, id string, v *T) error {
	return tx.PutValue(k.Key(tenant, id), k.codec, v, k.due(*v))
}

// create is Create of v itself, which must not change any more.
func (k *packed[T]) create(tx *storage.Tx, tenant, id string, v *T) error {
	return tx.CreateValue(k.Key(tenant, id), k.codec, v, k.due(*v))
}

// Put keeps a copy of v.
func (k *packed[T]) Put(tx *storage.Tx, tenant, id string, v T) error {
	if k.clone != nil {
		v = *k.clone(&v)
	}
	return k.keep(tx, tenant, id, &v)
}

func (k *packed[T]) due(v T) time.Time {
	if k.Due == nil {
		return time.Time{}
	}
	return k.Due(v)
}

func (k *packed[T]) Scan(ctx context.Context, s storage.Store, tenant, prefix string) iter.Seq2[storage.Item[T], error] {
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
