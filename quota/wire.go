package quota

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"sync"
	"time"

	"github.com/countersign/countersign/storage"
)

// The compact form of hot records: accounts, holds and entries are written with
// every call, and JSON costs more than all else a call does. It is
//
//	0x81  schema  fields in the order of the schema
//
// with numbers as varints, strings and lists behind their lengths, and instants
// as microseconds since 1970 plus one, 0 for none. [Ledger.Export] prints all of
// it as JSON. Data that begins with a brace is read as JSON of the same types.
const wireMark = 0x81

// A writer appends fields.
type writer struct{ b []byte }

func (w *writer) num(n int64)   { w.b = binary.AppendVarint(w.b, n) }
func (w *writer) unum(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) text(s string) { w.unum(uint64(len(s))); w.b = append(w.b, s...) }

func (w *writer) bit(v bool) {
	if v {
		w.b = append(w.b, 1)
		return
	}
	w.b = append(w.b, 0)
}

func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.num(0)
		return
	}
	n := t.UnixMicro()
	if n >= 0 {
		n++
	}
	w.num(n)
}

// A reader takes fields off; after a failure it yields zeros, and err tells. It
// reads a string, of which the texts are parts: one copy serves a whole record.
type reader struct {
	b   string
	err error
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("%w: quota: record does not decode", storage.ErrCorrupt)
	}
	r.b = ""
}

func (r *reader) num() int64 {
	n := r.unum()
	return int64(n>>1) ^ -int64(n&1)
}

func (r *reader) unum() uint64 {
	var n uint64
	for i := range len(r.b) {
		c := r.b[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.b = r.b[i+1:]
			return n
		}
	}
	r.fail()
	return 0
}

func (r *reader) text() string {
	n := r.unum()
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) bit() bool {
	if len(r.b) == 0 || r.b[0] > 1 {
		r.fail()
		return false
	}
	v := r.b[0] == 1
	r.b = r.b[1:]
	return v
}

func (r *reader) time() time.Time {
	n := r.num()
	if n == 0 {
		return time.Time{}
	}
	if n > 0 {
		n--
	}
	return time.UnixMicro(n).UTC()
}

// digest reads 32 bytes, as text.
func (r *reader) digest() (d digest) {
	s := r.text()
	if len(s) != len(d) {
		r.fail()
		return d
	}
	copy(d[:], s)
	return d
}

// count reads the length of a list whose members take at least a byte each.
func (r *reader) count() int {
	n := r.unum()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

// list and unlist write and read a list; an empty one is nil again.
func list[T any](w *writer, in []T, put func(*writer, *T)) {
	w.unum(uint64(len(in)))
	for i := range in {
		put(w, &in[i])
	}
}

func unlist[T any](r *reader, get func(*reader, *T)) []T {
	n := r.count()
	if n == 0 {
		return nil
	}
	out := make([]T, 0, min(n, 32)) // a length that lies must not cost memory
	for range n {
		out = append(out, *new(T))
		if get(r, &out[len(out)-1]); r.err != nil {
			return nil
		}
	}
	return out
}

func putText[S ~string](w *writer, s *S) { w.text(string(*s)) }
func getText[S ~string](r *reader, s *S) { *s = S(r.text()) }

// packed is a storage.Kind in the compact form. Values with a clone function stay
// decoded in the memory of a group; others are decoded by every read.
type packed[T any] struct {
	storage.Kind[T]
	put   func(*writer, *T)
	get   func(*reader, *T)
	clone func(T) T
	codec *storage.Codec // of *T
	spare *sync.Pool     // of *T
}

func pack[T any](kind storage.Kind[T], put func(*writer, *T), get func(*reader, *T), clone func(T) T, bound func(*T) int) packed[T] {
	k := packed[T]{Kind: kind, put: put, get: get, clone: clone, spare: &sync.Pool{New: func() any { return new(T) }}}
	k.codec = &storage.Codec{
		Encode: func(v any) ([]byte, error) { return k.encode(v.(*T)), nil },
		Decode: func(r storage.Record) (any, error) {
			v := k.spare.Get().(*T)
			return v, k.decode(r, v)
		},
		Own: clone == nil,
	}
	if bound != nil {
		k.codec.Bound = func(v any) int { return bound(v.(*T)) }
	}
	return k
}

func (k packed[T]) Encode(v T) ([]byte, error) { return k.encode(&v), nil }

func (k packed[T]) encode(v *T) []byte {
	w := writers.Get().(*writer)
	w.b = binary.AppendUvarint(append(w.b[:0], wireMark), uint64(k.Schema))
	k.put(w, v)
	out := bytes.Clone(w.b)
	w.free()
	return out
}

var writers = sync.Pool{New: func() any { return &writer{make([]byte, 0, 1024)} }}

func (w *writer) free() {
	if cap(w.b) <= 64<<10 {
		writers.Put(w)
	}
}

func (k packed[T]) Decode(rec storage.Record) (v T, err error) {
	err = k.decode(rec, &v)
	return v, err
}

func (k packed[T]) decode(rec storage.Record, v *T) (err error) {
	if len(rec.Data) == 0 || rec.Data[0] != wireMark {
		*v, err = k.Kind.Decode(rec)
		return err
	}
	r := reader{b: string(rec.Data[1:])}
	r.schema(k.Schema)
	k.get(&r, v)
	return r.end()
}

// schema reads the version of the fields that follow.
func (r *reader) schema(want int) {
	if n := r.unum(); r.err == nil && n != uint64(want) {
		r.err = fmt.Errorf("%w: quota: record has schema %d, this release reads %d", storage.ErrCorrupt, n, want)
		r.b = ""
	}
}

// end is the reader's error, of bytes left over too.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return r.err
}

// Get returns a copy of a value, the caller's to change.
func (k packed[T]) Get(tx *storage.Tx, tenant, id string) (v T, ok bool, err error) {
	p, err := k.own(tx, tenant, id)
	if err != nil || p == nil {
		return v, false, err
	}
	return *p, true, nil
}

// own returns a copy of a value, the caller's to change; nil if there is none.
func (k packed[T]) own(tx *storage.Tx, tenant, id string) (*T, error) {
	got, version, err := tx.Value(k.Key(tenant, id), k.codec)
	if err != nil || version == 0 {
		return nil, err
	}
	if k.clone == nil {
		return got.(*T), nil
	}
	v := k.clone(*got.(*T))
	return &v, nil
}

// keep is Put of v itself, which must not change any more.
func (k packed[T]) keep(tx *storage.Tx, tenant, id string, v *T) error {
	return tx.PutValue(k.Key(tenant, id), k.codec, v, k.due(*v))
}

// free gives the memory back of a value without a clone function, which is
// neither used nor kept any more. What it points to may be.
func (k packed[T]) free(v *T) {
	*v = *new(T)
	k.spare.Put(v)
}

// create is Create of v itself, which must not change any more.
func (k packed[T]) create(tx *storage.Tx, tenant, id string, v *T) error {
	return tx.CreateValue(k.Key(tenant, id), k.codec, v, k.due(*v))
}

// Put keeps a copy of v.
func (k packed[T]) Put(tx *storage.Tx, tenant, id string, v T) error {
	if k.clone != nil {
		v = k.clone(v)
	}
	return k.keep(tx, tenant, id, &v)
}

func (k packed[T]) due(v T) time.Time {
	if k.Due == nil {
		return time.Time{}
	}
	return k.Due(v)
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

func putLot(w *writer, l *Lot) {
	w.text(string(l.ID))
	w.text(string(l.Unit))
	list(w, l.Scope, putText[ChargeKind])
	w.num(int64(l.Priority))
	w.text(string(l.Source))
	w.time(l.From)
	w.time(l.Until)
	w.text(l.Order)
	for _, n := range [...]Units{l.Granted, l.Held, l.Used, l.Expired, l.Clawed} {
		w.num(int64(n))
	}
	w.bit(l.Frozen)
	w.bit(l.Clawing)
	w.text(l.Refund)
	w.time(l.FirstUse)
	list(w, l.Lapse, func(w *writer, p *Lapse) { w.time(p.At); w.num(int64(p.Units)) })
	w.time(l.Credited)
}

func getLot(r *reader, l *Lot) {
	l.ID, l.Unit = LotID(r.text()), Unit(r.text())
	l.Scope = unlist(r, getText[ChargeKind])
	p := r.num()
	if p < math.MinInt16 || p > math.MaxInt16 {
		r.fail()
	}
	l.Priority, l.Source = int16(p), Source(r.text())
	l.From, l.Until, l.Order = r.time(), r.time(), r.text()
	for _, n := range [...]*Units{&l.Granted, &l.Held, &l.Used, &l.Expired, &l.Clawed} {
		*n = Units(r.num())
	}
	l.Frozen, l.Clawing, l.Refund, l.FirstUse = r.bit(), r.bit(), r.text(), r.time()
	l.Lapse = unlist(r, func(r *reader, p *Lapse) { p.At, p.Units = r.time(), Units(r.num()) })
	l.Credited = r.time()
}

// boundHead is no less than the bytes that putHead writes: ten for every number
// and every length.
func boundHead(h *head) int {
	n := 100 + len(h.Account) + len(h.Suspended) + len(h.MergedInto)
	for i := range h.Lots {
		l := &h.Lots[i]
		n += 200 + len(l.ID) + len(l.Unit) + len(l.Source) + len(l.Order) + len(l.Refund) + 20*len(l.Lapse)
		for _, s := range l.Scope {
			n += 10 + len(s)
		}
	}
	for i := range h.Usage {
		n += 30 + len(h.Usage[i].Unit)
	}
	for i := range h.Marks {
		n += 30 + len(h.Marks[i].Rule) + len(h.Marks[i].Unit) + len(h.Marks[i].Lot)
	}
	return n
}

func putHead(w *writer, h *head) {
	w.text(string(h.Account))
	w.unum(h.Seq)
	w.time(h.Last)
	list(w, h.Lots, putLot)
	list(w, h.Usage, func(w *writer, d *dayUse) { w.num(d.Day); w.text(string(d.Unit)); w.num(int64(d.Units)) })
	list(w, h.Marks, func(w *writer, m *mark) { w.text(string(m.Rule)); w.text(string(m.Unit)); w.text(string(m.Lot)) })
	w.text(h.Suspended)
	w.text(string(h.MergedInto))
}

func getHead(r *reader, h *head) {
	h.Account, h.Seq, h.Last = AccountID(r.text()), r.unum(), r.time()
	h.Lots = unlist(r, getLot)
	h.Usage = unlist(r, func(r *reader, d *dayUse) { d.Day, d.Unit, d.Units = r.num(), Unit(r.text()), Units(r.num()) })
	h.Marks = unlist(r, func(r *reader, m *mark) { m.Rule, m.Unit, m.Lot = AlertRule(r.text()), Unit(r.text()), LotID(r.text()) })
	h.Suspended, h.MergedInto = r.text(), AccountID(r.text())
}

func putHold(w *writer, h *holdRecord) {
	w.text(string(h.ID))
	w.text(string(h.Account))
	w.text(h.Ref)
	w.num(int64(h.Rates))
	list(w, h.Lines, putLine)
	w.time(h.Expires)
	w.unum(h.Rev)
	w.text(string(h.Intent[:]))
	list(w, h.Opened, putText[Channel])
	w.bit(h.Charged)
}

func getHold(r *reader, h *holdRecord) {
	h.ID, h.Account, h.Ref, h.Rates = HoldID(r.text()), AccountID(r.text()), r.text(), int(r.num())
	h.Lines = unlist(r, getLine)
	h.Expires, h.Rev, h.Intent = r.time(), r.unum(), r.digest()
	h.Opened = unlist(r, getText[Channel])
	h.Charged = r.bit()
}

func putLine(w *writer, l *Line) {
	for _, s := range [...]string{string(l.Slot), string(l.Kind), string(l.Unit), string(l.Channel), string(l.State), l.Free, string(l.Account), string(l.Cause)} {
		w.text(s)
	}
	w.num(int64(l.Units))
	w.bit(l.Sticky)
	list(w, l.From, func(w *writer, s *Slice) { w.text(string(s.Lot)); w.num(int64(s.Units)); w.unum(s.Entry) })
	w.time(l.Held)
	w.time(l.Settled)
	w.unum(l.Since)
}

func getLine(r *reader, l *Line) {
	l.Slot, l.Kind, l.Unit, l.Channel = SlotID(r.text()), ChargeKind(r.text()), Unit(r.text()), Channel(r.text())
	l.State, l.Free, l.Account, l.Cause = LineState(r.text()), r.text(), AccountID(r.text()), Cause(r.text())
	l.Units, l.Sticky = Units(r.num()), r.bit()
	l.From = unlist(r, func(r *reader, s *Slice) { s.Lot, s.Units, s.Entry = LotID(r.text()), Units(r.num()), r.unum() })
	l.Held, l.Settled, l.Since = r.time(), r.time(), r.unum()
}

func putEntry(w *writer, e *Entry) {
	w.unum(e.Seq)
	w.time(e.Effective)
	w.time(e.Recorded)
	for _, s := range [...]string{string(e.Kind), string(e.Lot), string(e.Hold), string(e.Slot), string(e.Debit), string(e.Credit), e.Actor, e.Reason} {
		w.text(s)
	}
	w.num(int64(e.Units))
	w.unum(e.Reverses)
	w.time(e.Expires)
	w.bit(e.State != nil)
	if e.State != nil {
		putLot(w, e.State)
	}
}

func getEntry(r *reader, e *Entry) {
	e.Seq, e.Effective, e.Recorded = r.unum(), r.time(), r.time()
	e.Kind, e.Lot, e.Hold, e.Slot = EntryKind(r.text()), LotID(r.text()), HoldID(r.text()), SlotID(r.text())
	e.Debit, e.Credit, e.Actor, e.Reason = Book(r.text()), Book(r.text()), r.text(), r.text()
	e.Units, e.Reverses, e.Expires = Units(r.num()), r.unum(), r.time()
	if r.bit() {
		e.State = new(Lot)
		getLot(r, e.State)
	}
}

// entrySchema is the version of stored entries.
const entrySchema = 1

func encodeEntry(e *Entry) ([]byte, error) { return appendEntry(nil, e), nil }

func appendEntry(b []byte, e *Entry) []byte {
	w := writer{append(b, wireMark, entrySchema)}
	putEntry(&w, e)
	return w.b
}

// entryFrame is an entry as JSON.
type entryFrame struct {
	Schema int   `json:"v"`
	Data   Entry `json:"d"`
}

func decodeEntry(data []byte) (Entry, error) {
	if len(data) > 0 && data[0] == wireMark {
		var e Entry
		r := reader{b: string(data[1:])}
		r.schema(entrySchema)
		getEntry(&r, &e)
		return e, r.end()
	}
	var f entryFrame
	if json.Unmarshal(data, &f) != nil || f.Schema != entrySchema {
		return Entry{}, fmt.Errorf("%w: quota: entry does not decode", storage.ErrCorrupt)
	}
	return f.Data, nil
}

// A digest is an intent as holds keep it; hexadecimal in JSON.
type digest [32]byte

func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

func (d *digest) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(d) {
		return hex.ErrLength
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// settlements is the compact form of the answers of [Ledger.Capture] and
// [Ledger.Release], behind the intent. A field added later goes to the end.
var settlements = storage.Answer[Settlement]{
	Append: func(b []byte, s *Settlement) []byte {
		w := &writer{b}
		w.text(string(s.Hold))
		w.time(s.At)
		list(w, s.Lines, func(w *writer, l *SettledLine) {
			w.text(string(l.Slot))
			w.text(string(l.State))
			w.num(int64(l.Units))
			list(w, l.Returned, func(w *writer, r *Return) {
				w.text(string(r.Lot))
				w.num(int64(r.Units))
				w.time(r.Until)
				w.bit(r.Gone)
			})
		})
		return w.b
	},
	Decode: func(b []byte) (s Settlement, err error) {
		r := reader{b: string(b)}
		s.Hold, s.At = HoldID(r.text()), r.time()
		s.Lines = unlist(&r, func(r *reader, l *SettledLine) {
			l.Slot, l.State, l.Units = SlotID(r.text()), LineState(r.text()), Units(r.num())
			l.Returned = unlist(r, func(r *reader, ret *Return) {
				ret.Lot, ret.Units, ret.Until, ret.Gone = LotID(r.text()), Units(r.num()), r.time(), r.bit()
			})
		})
		if s.Lines == nil {
			s.Lines = []SettledLine{} // of a release that found nothing held
		}
		return s, r.end()
	},
}
