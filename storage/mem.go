package storage

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mem is a [Store] in memory, for tests, examples and programs that may lose
// everything. The zero value is empty and ready; it must not be copied.
type Mem struct {
	mu      sync.RWMutex
	records map[Key]*memRecord
	ids     map[memRange]*ordered[string]
	due     map[string]*ordered[memDue]
}

var _ Store = (*Mem)(nil)

type memRecord struct {
	version uint64
	due     int64  // microseconds; 0 is never
	data    []byte // never changed
	entries []memEntry
}

type memEntry struct {
	at   int64
	data []byte // never changed
}

type memRange struct{ tenant, kind string }

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

// shared is what is stored under k. The caller holds the lock.
func (m *Mem) shared(k Key) Record {
	r := m.records[k]
	if r == nil {
		return Record{Key: k}
	}
	return Record{
		Key: k, Version: r.version, Seq: uint64(len(r.entries)),
		Data: r.data, Due: DueTime(r.due),
	}
}

func (m *Mem) record(k Key) Record {
	r := m.shared(k)
	r.Data = bytes.Clone(r.Data)
	return r
}

// Get implements [Store]. What it returns is a snapshot.
func (m *Mem) Get(ctx context.Context, keys []Key) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := CheckKeys(keys...); err != nil {
		return nil, err
	}
	out, err := m.getShared(ctx, keys)
	for i := range out {
		out[i].Data = bytes.Clone(out[i].Data)
	}
	return out, err
}

// getShared is Get without a copy: Data must not be changed. It does not wait.
// Only this package may know: a store that embeds a Mem is not one.
func (m *Mem) getShared(ctx context.Context, keys []Key) ([]Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([]Record, len(keys))
	for i, k := range keys {
		out[i] = m.shared(k)
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
	own := make([]Batch, len(batches))
	for i, b := range batches {
		own[i] = Batch{Writes: slices.Clone(b.Writes), Entries: slices.Clone(b.Entries)}
		for j := range b.Writes {
			own[i].Writes[j].Data = bytes.Clone(b.Writes[j].Data)
		}
		for j := range b.Entries {
			own[i].Entries[j].Data = bytes.Clone(b.Entries[j].Data)
		}
	}
	return m.commitOwned(ctx, own)
}

func (m *Mem) getOne(ctx context.Context, k Key) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{Key: k}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.shared(k), nil
}

// commitOwned is Commit of Data that nobody will change, checked before.
func (m *Mem) commitOwned(ctx context.Context, batches []Batch) ([]Outcome, error) {
	if err := ctx.Err(); err != nil {
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
			if r := m.records[w.Key]; r != nil && r.version == w.Expect && len(r.entries) > 0 {
				return nil, fmt.Errorf("%w: %s deleted with a stream", ErrBatch, w.Key.Kind)
			}
		}
	}
	out := make([]Outcome, len(batches))
	var space [8]*memRecord
	for i := range batches {
		if found, ok := m.met(&batches[i], space[:0]); ok {
			m.apply(&batches[i], found)
			out[i].OK = true
			continue
		}
		for _, w := range batches[i].Writes {
			out[i].Current = append(out[i].Current, m.record(w.Key))
		}
	}
	return out, nil
}

// met reports whether a batch meets its conditions, and finds its records.
func (m *Mem) met(b *Batch, found []*memRecord) ([]*memRecord, bool) {
	for i := range b.Writes {
		var version uint64
		r := m.records[b.Writes[i].Key]
		if r != nil {
			version = r.version
		}
		if version != b.Writes[i].Expect {
			return nil, false
		}
		found = append(found, r)
	}
	first := Key{}
	for i := range b.Entries {
		e := &b.Entries[i]
		if e.Stream == first {
			continue // CheckBatch saw them rise by one
		}
		first = e.Stream
		length := 0
		if r := m.records[e.Stream]; r != nil {
			length = len(r.entries)
		}
		if e.Seq != uint64(length)+1 && !precedes(b.Entries[:i], e.Stream) {
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
	if m.records == nil {
		m.records = make(map[Key]*memRecord)
		m.ids = make(map[memRange]*ordered[string])
		m.due = make(map[string]*ordered[memDue])
	}
	for i := range b.Writes {
		w := &b.Writes[i]
		if w.Check {
			continue
		}
		r := found[i]
		if r == nil {
			r = new(memRecord)
			m.records[w.Key] = r
			m.idsOf(w.Key).insert(w.Key.ID)
		}
		due := DueMicros(w.Due)
		if w.Delete {
			delete(m.records, w.Key)
			m.idsOf(w.Key).remove(w.Key.ID)
			due = 0
		}
		if r.due != due {
			m.moveDue(w.Key, r.due, due)
		}
		r.version, r.data, r.due = w.Expect+1, w.Data, due
	}
	var r *memRecord
	for i := range b.Entries {
		e := &b.Entries[i]
		if i == 0 || e.Stream != b.Entries[i-1].Stream {
			r = m.records[e.Stream]
		}
		r.entries = append(r.entries, memEntry{e.At.UnixMicro(), e.Data})
	}
}

func (m *Mem) idsOf(k Key) *ordered[string] {
	in := memRange{k.Tenant, k.Kind}
	ids := m.ids[in]
	if ids == nil {
		ids = &ordered[string]{compare: strings.Compare}
		m.ids[in] = ids
	}
	return ids
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
	r := m.records[stream]
	if r == nil || after >= uint64(len(r.entries)) {
		return nil, nil
	}
	rest := r.entries[after:]
	out := make([]Entry, min(len(rest), PageSize(limit)))
	for i := range out {
		out[i] = Entry{
			Stream: stream, Seq: after + uint64(i) + 1,
			At: time.UnixMicro(rest[i].at).UTC(), Data: bytes.Clone(rest[i].data),
		}
	}
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
	defer m.mu.RUnlock()
	ids := m.ids[memRange{tenant, kind}]
	if ids == nil {
		return nil, nil
	}
	var out []Record
	ids.after(after, func(id string) bool {
		if len(out) == PageSize(limit) {
			return false
		}
		out = append(out, m.record(Key{Tenant: tenant, Kind: kind, ID: id}))
		return true
	})
	return out, nil
}
