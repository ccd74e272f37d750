package storage

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// A Codec turns records of a kind into values and back. Values read through one
// are kept beside the records in the memory of a [Group], so that they are
// decoded once, and encoded once per commit however many updates wrote them. It
// is for kinds that every call reads and writes; [Kind] does for all others.
// Make one per kind, as a package variable: values belong to it by address.
type Codec struct {
	// Encode returns the Data of a record that holds v. Required.
	Encode func(v any) ([]byte, error)
	// Decode returns the value of a record, whose Data it may keep but not
	// change, or [ErrCorrupt]. Required.
	Decode func(r Record) (any, error)
	// Bound, if set, promises that Encode of v succeeds and gives no more bytes
	// than Bound returns. [Mem] then encodes a value only once somebody reads its
	// record.
	Bound func(v any) int
	// Append, if set, appends what Encode returns to b, which it must not keep. It
	// promises that Encode succeeds.
	Append func(b []byte, v any) []byte
	// Own keeps nothing decoded: every read decodes, every write encodes at
	// once, and values are the caller's to change. It is for compact forms of
	// kinds of which there are many records, each used a few times.
	Own bool
}

// Value is [Tx.Get] of one record, decoded. The value is shared with others and
// must not be changed, unless the codec says Own: to write, change a copy and give
// that to PutValue. It is nil, with version 0, if there is no record.
func (tx *Tx) Value(key Key, c *Codec) (v any, version uint64, err error) {
	s, err := tx.load1(key, false)
	if err != nil {
		return nil, 0, err
	}
	s.seen, s.valid = true, true
	if s.plan.op == opNone && s.rec.Version == 0 {
		return nil, 0, nil
	}
	r, val := s.view()
	if r.Version == 0 {
		return nil, 0, nil
	}
	if val != nil && val.codec == c {
		return val.v, r.Version, nil
	}
	if r.Data == nil {
		if r, err = s.full(); err != nil {
			return nil, 0, err
		}
	}
	if s.plan.op == opPut && tx.mem != nil {
		r.Data = bytes.Clone(r.Data) // out of the arena, which serves others later
	}
	if v, err = c.Decode(r); err != nil {
		return nil, 0, err
	}
	if s.plan.op == opNone && !c.Own {
		s.val = &value{codec: c, v: v, data: r.Data}
		tx.keep(s)
	}
	return v, r.Version, nil
}

// PutValue is [Tx.Put] of a value, which belongs to the store from now on and
// must not be changed any more. One that does not encode, or is too large, fails
// the commit.
func (tx *Tx) PutValue(key Key, c *Codec, v any, due time.Time) error {
	if err := tx.writable(key, nil); err != nil {
		return err
	}
	s, err := tx.load1(key, false)
	if err != nil {
		return err
	}
	p, err := tx.planned(key, c, v, due)
	if err != nil {
		return err
	}
	tx.put(s, p)
	return nil
}

// CreateValue is [Tx.Create] of a value, as PutValue is Put.
func (tx *Tx) CreateValue(key Key, c *Codec, v any, due time.Time) error {
	if err := tx.writable(key, nil); err != nil {
		return err
	}
	p, err := tx.planned(key, c, v, due)
	if err != nil {
		return err
	}
	return tx.create(key, p)
}

// planned is the write of a value.
func (tx *Tx) planned(k Key, c *Codec, v any, due time.Time) (p plan, err error) {
	p.due = DueMicros(due)
	switch {
	case !c.Own:
		p.val = &value{codec: c, v: v}
	case c.Append == nil:
		p.data, err = encoded(k.Kind, c, v)
	default:
		p.data = tx.made(c.Append(tx.room(), v))
		if len(p.data) > MaxData {
			err = tooLarge(k.Kind, p.data)
		}
	}
	return p, err
}

// settle encodes a planned value unless that can wait.
func (p *plan) settle(k Key) error {
	if p.val == nil || p.val.codec.Bound != nil && p.val.codec.Bound(p.val.v) <= MaxData {
		return nil
	}
	data, err := p.val.encode(k.Kind)
	p.data = data
	return err
}

// A value is what a record holds, decoded. It is never changed.
type value struct {
	codec *Codec
	v     any

	mu   sync.Mutex
	data []byte // nil until it is needed
}

func (v *value) encode(kind string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.data != nil {
		return v.data, nil
	}
	data, err := encoded(kind, v.codec, v.v)
	v.data = data
	return data, err
}

func encoded(kind string, c *Codec, v any) ([]byte, error) {
	data, err := c.Encode(v)
	switch {
	case err != nil:
		return nil, fmt.Errorf("storage: encode %s: %w", kind, err)
	case len(data) > MaxData:
		return nil, tooLarge(kind, data)
	case data == nil:
		data = []byte{}
	}
	return data, nil
}

// keep leaves a value that was decoded where the next run finds it.
func (tx *Tx) keep(s *slot) {
	switch {
	case tx.round != nil && s.shared:
		s.cell.val = s.val
	case tx.round != nil:
		if !s.cell.used {
			s.cell.val = s.val
		}
		tx.round.sh.g.cache.attach(s.rec, s.val)
	case tx.mem != nil:
		tx.mem.attach(s)
	}
}

// A recordSet is some records, found by key.
type recordSet struct {
	list  []Record
	index map[Key]int // once there are many
}

func (rs *recordSet) get(k Key) *Record {
	if rs == nil {
		return nil
	}
	if rs.index != nil {
		if i, ok := rs.index[k]; ok {
			return &rs.list[i]
		}
		return nil
	}
	for i := range rs.list {
		if r := &rs.list[i]; r.Key.ID == k.ID && r.Key == k {
			return r
		}
	}
	return nil
}

func (rs *recordSet) set(r Record) {
	if old := rs.get(r.Key); old != nil {
		*old = r
		return
	}
	rs.list = append(rs.list, r)
	if rs.index != nil {
		rs.index[r.Key] = len(rs.list) - 1
	} else if len(rs.list) > 2*fewSlots {
		rs.index = make(map[Key]int, 2*len(rs.list))
		for i := range rs.list {
			rs.index[rs.list[i].Key] = i
		}
	}
}
