package storage

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Mem is a [Store] in memory, for tests, examples and programs that may lose
// everything. The zero value is empty and ready; it must not be copied.
//
// What there is much of holds no pointers: records lie in arrays, their ids and
// Data in blocks, so that the garbage collector need not look at each.
type Mem struct {
	mu      sync.RWMutex
	kinds   map[memRange]*memKind
	recent  [16]atomic.Pointer[memKind] // some of kinds, found without hashing
	due     map[string]*ordered[memDue]
	records [][]memRecord // arrays of memArray, so that no record moves
	made    memAt         // records in them, or removed
	free    []memAt       // removed
	ids     memBlocks
	data    memBlocks
	hot     []memHot
	cool    []uint32 // places in hot that are empty
}

var _ Store = (*Mem)(nil)

type memRange struct{ tenant, kind string }

// memKind is the records of one tenant and kind. It is never removed.
type memKind struct {
	memRange
	index   memIndex
	created uint64          // records so far: while it stays, what was absent is
	ids     ordered[string] // of records, but those in fresh
	fresh   memAt           // the newest of those created since ids was last needed
}

// memAt is the place of a record, from 1.
type memAt uint32

const memArray = 256

type memRecord struct {
	version uint64 // 0: it was removed
	due     int64  // microseconds; 0 is never
	id      memBytes
	data    memBytes // nowhere if only a value is there
	at      memAt    // its own place
	older   memAt    // in memKind.fresh
	hot     uint32   // what few records have: a place in Mem.hot, from 1
	shard   int32    // of the group that wrote it first, from 1; 0: none did
	life    uint32   // counts the records that this memory held: a slot remembers which
}

// memHot is what few records have.
type memHot struct {
	val    *value // if the record was decoded, or not encoded yet
	stream *memStream
}

// heat returns what few records have, for one that is to have it, too.
func (m *Mem) heat(r *memRecord) *memHot {
	if r.hot == 0 {
		if n := len(m.cool); n > 0 {
			r.hot, m.cool = m.cool[n-1], m.cool[:n-1]
		} else {
			m.hot = append(m.hot, memHot{})
			r.hot = uint32(len(m.hot))
		}
	}
	return &m.hot[r.hot-1]
}

func (m *Mem) val(r *memRecord) *value {
	if r.hot == 0 {
		return nil
	}
	return m.hot[r.hot-1].val
}

// seq is the length of the stream of a record.
func (m *Mem) seq(r *memRecord) uint64 {
	if r.hot == 0 || m.hot[r.hot-1].stream == nil {
		return 0
	}
	return m.hot[r.hot-1].stream.length
}

// bytes returns the Data of a record, which must not be changed.
func (m *Mem) bytes(r *memRecord) []byte {
	if r.data.block > 0 {
		return m.data.get(r.data)
	}
	data, _ := m.val(r).encode("") // which cannot fail, or it would have been done
	return data
}

// at returns the record of a place, nil of 0.
func (m *Mem) at(n memAt) *memRecord {
	if n == 0 {
		return nil
	}
	return &m.records[(n-1)/memArray][(n-1)%memArray]
}

// get returns the record of an id, nil without one.
func (m *Mem) get(in *memKind, id string, hash uint32) *memRecord {
	return m.at(in.index.get(hash, func(at memAt) bool { return string(m.ids.get(m.at(at).id)) == id }))
}

// make makes a record.
func (m *Mem) make(in *memKind, id string, hash uint32) *memRecord {
	var at memAt
	if n := len(m.free); n > 0 {
		at, m.free = m.free[n-1], m.free[:n-1]
	} else {
		if m.made%memArray == 0 {
			m.records = append(m.records, make([]memRecord, memArray))
		}
		m.made++
		at = m.made
	}
	r := m.at(at)
	r.at, r.id = at, addBytes(&m.ids, id, at)
	r.older, in.fresh = in.fresh, at
	in.index.add(at, hash)
	in.created++
	return r
}

// memStream is entries in blocks, so that appending moves no others.
type memStream struct {
	length uint64
	blocks []*memEntries // all but the last full
}

const memBlockEntries = 256

type memEntries struct {
	at   []int64
	end  []int // of each entry's Data in data
	data []byte
}

func (s *memStream) append(e *Entry) {
	if s.length%memBlockEntries == 0 {
		b := new(memEntries)
		if n := len(s.blocks); n > 0 { // likely as much again
			last := s.blocks[n-1]
			b.at, b.end = make([]int64, 0, memBlockEntries), make([]int, 0, memBlockEntries)
			b.data = make([]byte, 0, len(last.data)+len(last.data)/16)
		}
		s.blocks = append(s.blocks, b)
	}
	b := s.blocks[len(s.blocks)-1]
	b.data = append(b.data, e.Data...)
	b.at = append(b.at, e.At.UnixMicro())
	b.end = append(b.end, len(b.data))
	s.length++
}

// read fills out with the entries after a Seq. What one block has of them is
// copied together.
func (s *memStream) read(stream Key, after uint64, out []Entry) {
	for len(out) > 0 {
		b, from := s.blocks[after/memBlockEntries], int(after%memBlockEntries)
		n := min(len(out), len(b.end)-from)
		start := 0
		if from > 0 {
			start = b.end[from-1]
		}
		data := bytes.Clone(b.data[start:b.end[from+n-1]])
		at := 0
		for i := range n {
			after++
			to := b.end[from+i] - start
			out[i] = Entry{Stream: stream, Seq: after, At: time.UnixMicro(b.at[from+i]).UTC(), Data: data[at:to:to]}
			at = to
		}
		out = out[n:]
	}
}

type memDue struct {
	at         int64
	tenant, id string
}

func compareMemDue(a, b memDue) int {
	if c := cmp.Compare(a.at, b.at); c != 0 {
		return c
	}
	if c := strings.Compare(a.tenant, b.tenant); c != 0 {
		return c
	}
	return strings.Compare(a.id, b.id)
}

// kind returns the records of a tenant and kind, nil without any. The caller
// holds the lock.
func (m *Mem) kind(tenant, kind string) *memKind {
	at := &m.recent[recentKind(tenant, kind)]
	if k := at.Load(); k != nil && k.kind == kind && k.tenant == tenant {
		return k
	}
	k := m.kinds[memRange{tenant, kind}]
	if k != nil {
		at.Store(k)
	}
	return k
}

// recentKind is where a kind, which is not empty, is in Mem.recent, if it is.
func recentKind(tenant, kind string) int {
	last := kind[len(kind)-1]
	return (len(tenant) + 5*len(kind) + int(last^last>>4)) % len(Mem{}.recent)
}

// makeKind is kind, which it makes if need be. The caller may write.
func (m *Mem) makeKind(tenant, kind string) *memKind {
	if k := m.kind(tenant, kind); k != nil {
		return k
	}
	if m.kinds == nil {
		m.kinds = make(map[memRange]*memKind)
		m.due = make(map[string]*ordered[memDue])
		m.ids.where = func(n memAt) *memBytes { return &m.at(n).id }
		m.data.where = func(n memAt) *memBytes { return &m.at(n).data }
	}
	k := &memKind{memRange: memRange{tenant, kind}, ids: ordered[string]{compare: strings.Compare}}
	m.kinds[k.memRange] = k
	return k
}

func (m *Mem) find(k Key) *memRecord {
	if in := m.kind(k.Tenant, k.Kind); in != nil {
		return m.get(in, k.ID, hashID(k.ID))
	}
	return nil
}

// record is what r, nil if there is none, holds under k. The caller holds the lock.
func (m *Mem) record(r *memRecord, k Key) Record {
	if r == nil {
		return Record{Key: k}
	}
	return Record{Key: k, Version: r.version, Seq: m.seq(r), Data: bytes.Clone(m.bytes(r)), Due: DueTime(r.due)}
}

// Get implements [Store]. What it returns is a snapshot.
func (m *Mem) Get(ctx context.Context, keys []Key) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := CheckKeys(keys...); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([]Record, len(keys))
	for i, k := range keys {
		out[i] = m.record(m.find(k), k)
	}
	return out, nil
}

// Commit implements [Store].
func (m *Mem) Commit(ctx context.Context, batches []Batch) ([]Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := CheckBatch(batches...); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Nothing is stored before every deletion is known to be allowed. Within
	// the call no stream can grow under a deletion: a key has one writer.
	for i := range batches {
		for j := range batches[i].Writes {
			w := &batches[i].Writes[j]
			if !w.Delete {
				continue
			}
			if r := m.find(w.Key); r != nil && r.version == w.Expect && m.seq(r) > 0 {
				return nil, deletedStream(w.Key)
			}
		}
	}
	out := make([]Outcome, len(batches))
	for i := range batches {
		if found, ok := m.met(&batches[i]); ok {
			m.apply(&batches[i], found)
			out[i].OK = true
			continue
		}
		for _, w := range batches[i].Writes {
			out[i].Current = append(out[i].Current, m.record(m.find(w.Key), w.Key))
		}
	}
	return out, nil
}

func deletedStream(k Key) error {
	return fmt.Errorf("%w: %s deleted with a stream", ErrBatch, k.Kind)
}

// met reports whether a batch meets its conditions, and finds its records.
func (m *Mem) met(b *Batch) ([]*memRecord, bool) {
	found := make([]*memRecord, len(b.Writes))
	for i := range b.Writes {
		var version uint64
		if found[i] = m.find(b.Writes[i].Key); found[i] != nil {
			version = found[i].version
		}
		if version != b.Writes[i].Expect {
			return nil, false
		}
	}
	first := Key{}
	for i := range b.Entries {
		e := &b.Entries[i]
		if e.Stream == first {
			continue // CheckBatch saw them rise by one
		}
		first = e.Stream
		length := uint64(0)
		if r := m.find(e.Stream); r != nil {
			length = m.seq(r)
		}
		if e.Seq != length+1 && !precedes(b.Entries[:i], e.Stream) {
			return nil, false
		}
	}
	return found, true
}

// precedes reports whether a stream has an entry among those: then a later one
// need not follow the stored last.
func precedes(entries []Entry, stream Key) bool {
	for i := range entries {
		if entries[i].Stream == stream {
			return true
		}
	}
	return false
}

func (m *Mem) apply(b *Batch, found []*memRecord) {
	for i := range b.Writes {
		w := &b.Writes[i]
		switch r := found[i]; {
		case w.Check:
		case w.Delete:
			m.remove(w.Key, r)
		default:
			m.write(w.Key, hashID(w.Key.ID), r, w.Expect+1, DueMicros(w.Due), w.Data, nil)
		}
	}
	m.appendAll(b.Entries)
}

// write stores a record over r, or creates it if r is nil: with data, or a value
// that is not encoded yet.
func (m *Mem) write(k Key, hash uint32, r *memRecord, version uint64, due int64, data []byte, val *value) *memRecord {
	if r == nil {
		r = m.make(m.makeKind(k.Tenant, k.Kind), k.ID, hash)
	}
	if r.due != due {
		m.moveDue(k, r.due, due)
	}
	old := r.data
	r.version, r.due, r.data = version, due, memBytes{}
	m.data.drop(old)
	if val == nil || data != nil {
		r.data = addBytes(&m.data, data, r.at)
	}
	if val != nil || r.hot > 0 {
		m.heat(r).val = val
	}
	return r
}

func (m *Mem) remove(k Key, r *memRecord) {
	in := m.kind(k.Tenant, k.Kind)
	m.sorted(in).remove(k.ID)
	in.index.remove(r.at, hashID(k.ID))
	if r.due != 0 {
		m.moveDue(k, r.due, 0)
	}
	if r.hot > 0 {
		m.hot[r.hot-1] = memHot{}
		m.cool = append(m.cool, r.hot)
	}
	m.free = append(m.free, r.at)
	old := *r
	*r = memRecord{life: r.life + 1} // whoever found it sees that it is gone
	m.ids.drop(old.id)
	m.data.drop(old.data)
}

// appendAll appends entries, whose records are there.
func (m *Mem) appendAll(entries []Entry) {
	var s *memStream
	for i := range entries {
		e := &entries[i]
		if i == 0 || e.Stream != entries[i-1].Stream {
			h := m.heat(m.find(e.Stream))
			if h.stream == nil {
				h.stream = new(memStream)
			}
			s = h.stream
		}
		s.append(e)
	}
}

// sorted returns all ids of a kind in order. The caller may write.
func (m *Mem) sorted(k *memKind) *ordered[string] {
	var fresh []string
	for r := m.at(k.fresh); r != nil; r = m.at(r.older) {
		fresh = append(fresh, string(m.ids.get(r.id)))
	}
	for _, id := range slices.Backward(fresh) { // rising ids are the common case, and the cheap one
		k.ids.insert(id)
	}
	k.fresh = 0
	return &k.ids
}

func (m *Mem) moveDue(k Key, from, to int64) {
	index := m.due[k.Kind]
	if index == nil {
		index = &ordered[memDue]{compare: compareMemDue}
		m.due[k.Kind] = index
	}
	if from > 0 {
		index.remove(memDue{from, k.Tenant, k.ID})
	}
	if to > 0 {
		index.insert(memDue{to, k.Tenant, k.ID})
	}
}

// Entries implements [Store].
func (m *Mem) Entries(ctx context.Context, stream Key, after uint64, limit int) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := CheckKeys(stream); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	r := m.find(stream)
	if r == nil || after >= m.seq(r) {
		return nil, nil
	}
	out := make([]Entry, min(m.seq(r)-after, uint64(PageSize(limit))))
	m.hot[r.hot-1].stream.read(stream, after, out)
	return out, nil
}

// Due implements [Store].
func (m *Mem) Due(ctx context.Context, kind string, until time.Time, limit int) ([]Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := CheckRange(Deployment, kind, ""); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	index := m.due[kind]
	if index == nil {
		return nil, nil
	}
	var out []Key
	last := DueMicros(until)
	index.after(memDue{}, func(d memDue) bool {
		if d.at > last || len(out) == PageSize(limit) {
			return false
		}
		out = append(out, Key{Tenant: d.tenant, Kind: kind, ID: d.id})
		return true
	})
	return out, nil
}

// List implements [Store].
func (m *Mem) List(ctx context.Context, tenant, kind, after string, limit int) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := CheckRange(tenant, kind, after); err != nil {
		return nil, err
	}
	m.mu.RLock()
	in := m.kind(tenant, kind)
	switch {
	case in == nil:
		m.mu.RUnlock()
		return nil, nil
	case in.fresh == 0:
		defer m.mu.RUnlock()
	default:
		m.mu.RUnlock()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sorted(in)
	}
	var out []Record
	in.ids.after(after, func(id string) bool {
		if len(out) == PageSize(limit) {
			return false
		}
		k := Key{Tenant: tenant, Kind: kind, ID: id}
		out = append(out, m.record(m.get(in, id, hashID(id)), k))
		return true
	})
	return out, nil
}
