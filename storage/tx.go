package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// A Tx is one run of a function given to [Update] or [View]. It reads from the
// store, sees its own writes, and buffers them until the function returns. It
// is not for concurrent use, and of no use once the function returned.
type Tx struct {
	ctx      context.Context // of one Update; a Tx never outlives its run
	store    Store
	readOnly bool
	cache    map[Key]Record // what an earlier run learnt
	round    *round         // of a group: it has the records, and reads what is missing between runs
	missing  []Key          // that the round lacked
	slots    map[Key]*slot
	order    []*slot // in the order of first use, so that a run repeats exactly
	entries  []Entry
	undo     []undo // pending states before they changed, for Sub
	subs     int    // Subs that are open; undo is kept only for them
	now      time.Time
	err      error // the first error of a read; ends the run whatever fn returns
	done     bool
}

// slot is what a run knows and plans about one key.
type slot struct {
	rec    Record // as the store had it, if known
	known  bool
	cached bool // known from an earlier run or the group, not read in this one
	shared bool // written, but not yet committed, by another call of the round
	valid  bool // Get read it: the commit depends on its version
	seen   bool // Get or Peek read it: a refusal may rest on it
	plan   plan
}

// plan is what the commit is to do with one key.
type plan struct {
	op      op
	data    []byte
	due     time.Time
	entries uint64 // appended so far
}

type op uint8

const (
	opNone op = iota
	opPut
	opDelete
)

type undo struct {
	slot *slot
	plan plan
}

var errTxDone = fmt.Errorf("%w: the transaction has ended", ErrClosed)

func newTx(ctx context.Context, s Store, cache map[Key]Record) *Tx {
	return &Tx{ctx: ctx, store: s, cache: cache, slots: make(map[Key]*slot)}
}

func (tx *Tx) slot(k Key) (*slot, error) {
	if s := tx.slots[k]; s != nil {
		return s, nil
	}
	if err := checkKey(k); err != nil {
		return nil, err
	}
	s := &slot{rec: Record{Key: k}}
	tx.slots[k] = s
	tx.order = append(tx.order, s)
	return s, nil
}

// recall fills a slot without I/O, if it can.
func (tx *Tx) recall(s *slot, peek bool) {
	if s.known {
		return
	}
	if tx.round != nil {
		tx.round.recall(s, peek)
	} else if r, ok := tx.cache[s.rec.Key]; ok {
		s.rec, s.known, s.cached = r, true, true
	}
}

// errMissing ends a run in a group that lacks records. The function runs again
// when they were read.
var errMissing = errors.New("storage: record is being read")

// load makes the slots of keys known, with at most one Get. A slot that is
// written without having been read needs none.
func (tx *Tx) load(keys []Key, peek bool) ([]*slot, error) {
	switch {
	case tx.done:
		return nil, errTxDone
	case tx.err != nil:
		return nil, tx.err
	case len(keys) > MaxKeys:
		return nil, fmt.Errorf("%w: %d keys, limit %d", ErrTooLarge, len(keys), MaxKeys)
	}
	slots := make([]*slot, len(keys))
	var missing []Key
	for i, k := range keys {
		s, err := tx.slot(k)
		if err != nil {
			return nil, err
		}
		slots[i] = s
		if tx.recall(s, peek); !s.known && s.plan.op == opNone {
			missing = append(missing, k)
		}
	}
	if len(missing) == 0 {
		return slots, nil
	}
	if tx.round != nil {
		tx.missing, tx.err = append(tx.missing, missing...), errMissing
		return nil, errMissing
	}
	get := tx.store.Get
	if p, ok := tx.store.(Peeker); ok && peek {
		get = p.Peek
	}
	recs, err := get(tx.ctx, missing)
	if err == nil && len(recs) != len(missing) {
		err = fmt.Errorf("%w: Get returned %d records for %d keys", ErrCorrupt, len(recs), len(missing))
	}
	if err != nil {
		tx.err = err
		return nil, err
	}
	for i, k := range missing {
		s := tx.slots[k]
		s.rec, s.known = recs[i], true
	}
	return slots, nil
}

// view is the record as the run sees it: its own writes included.
func (s *slot) view() Record {
	r := s.rec
	switch s.plan.op {
	case opPut:
		if !s.shared || r.Version == 0 {
			r.Version++
		}
		r.Seq += s.plan.entries
		r.Data, r.Due = s.plan.data, DueTime(DueMicros(s.plan.due))
	case opDelete:
		r = Record{Key: r.Key}
	case opNone:
		r.Seq += s.plan.entries
	}
	return r
}

// Get returns one record per key, in order; absent ones have Version 0. What
// it found must still be so when the run commits, or the function runs again;
// an absence is not asserted but by creating the record. A record that the run
// wrote is returned as written, with the version it will have.
func (tx *Tx) Get(keys ...Key) ([]Record, error) { return tx.read(keys, true) }

// Peek is like [Tx.Get], but the commit does not depend on what it found: for
// shared reference records, whose Version the caller records in what it decides.
func (tx *Tx) Peek(keys ...Key) ([]Record, error) { return tx.read(keys, false) }

func (tx *Tx) read(keys []Key, validate bool) ([]Record, error) {
	slots, err := tx.load(keys, !validate)
	if err != nil {
		return nil, err
	}
	recs := make([]Record, len(slots))
	for i, s := range slots {
		s.seen = true
		s.valid = s.valid || validate
		recs[i] = s.view()
		recs[i].Data = bytes.Clone(recs[i].Data)
	}
	return recs, nil
}

// one is Get or Peek of one key, without a copy: data must not be changed.
func (tx *Tx) one(k Key, validate bool) (Record, error) {
	slots, err := tx.load([]Key{k}, !validate)
	if err != nil {
		return Record{}, err
	}
	s := slots[0]
	s.seen = true
	s.valid = s.valid || validate
	return s.view(), nil
}

// Create stores a new record. It returns [ErrExists] if the run knows of one
// under the key; if not, the commit finds out, and the function runs again.
func (tx *Tx) Create(key Key, data []byte, due time.Time) error {
	s, err := tx.writable(key, data)
	if err != nil {
		return err
	}
	if tx.recall(s, false); s.view().Version > 0 {
		s.seen = true
		return fmt.Errorf("%w: %s", ErrExists, key.Kind)
	}
	tx.put(s, data, due)
	return nil
}

// Put stores a record over the version that the run read, creating it if it
// was absent. It reads the record if the run has not yet.
func (tx *Tx) Put(key Key, data []byte, due time.Time) error {
	s, err := tx.writable(key, data)
	if err != nil {
		return err
	}
	if _, err := tx.load([]Key{key}, false); err != nil {
		return err
	}
	tx.put(s, data, due)
	return nil
}

// Delete removes a record; an absent one is no error. It returns [ErrBatch] for
// a record that has a stream.
func (tx *Tx) Delete(key Key) error {
	s, err := tx.writable(key, nil)
	if err != nil {
		return err
	}
	if _, err := tx.load([]Key{key}, false); err != nil {
		return err
	}
	if s.view().Seq > 0 {
		return fmt.Errorf("%w: %s deleted with a stream", ErrBatch, key.Kind)
	}
	tx.change(s)
	s.plan = plan{op: opDelete}
	return nil
}

// Append adds an entry to the stream of a record, which the same run must also
// write, before or after, and returns the entry's Seq. The entry's At is the
// instant of [Tx.Now].
func (tx *Tx) Append(stream Key, data []byte) (seq uint64, err error) {
	s, err := tx.writable(stream, data)
	if err != nil {
		return 0, err
	}
	if _, err := tx.load([]Key{stream}, false); err != nil {
		return 0, err
	}
	if s.plan.op == opDelete {
		return 0, fmt.Errorf("%w: entry of %s that is deleted", ErrBatch, stream.Kind)
	}
	tx.change(s)
	s.plan.entries++
	seq = s.rec.Seq + s.plan.entries
	tx.entries = append(tx.entries, Entry{Stream: stream, Seq: seq, Data: bytes.Clone(data)})
	return seq, nil
}

// Sub runs fn and, if it returns an error, takes back what fn wrote; what it
// read still counts. The error is returned as it is. Subs may nest.
func (tx *Tx) Sub(fn func() error) error {
	if tx.done {
		return errTxDone
	}
	mark, entries, kept := len(tx.undo), len(tx.entries), false
	tx.subs++
	defer func() { // a panic that fn's caller recovers from leaves no writes either
		tx.subs--
		if !kept {
			for i := len(tx.undo) - 1; i >= mark; i-- {
				tx.undo[i].slot.plan = tx.undo[i].plan
			}
			tx.undo = tx.undo[:mark]
			clear(tx.entries[entries:])
			tx.entries = tx.entries[:entries]
		}
		if tx.subs == 0 {
			tx.undo = tx.undo[:0]
		}
	}()
	if err := fn(); err != nil {
		return err
	}
	kept = true
	return nil
}

// Now returns the instant of the run, in UTC to the microsecond: the first call
// reads clock (nil is [time.Now]), later ones repeat its answer, so that all
// packages in one commit agree.
func (tx *Tx) Now(clock func() time.Time) time.Time {
	if tx.now.IsZero() {
		if clock == nil {
			clock = time.Now
		}
		tx.now = clock().UTC().Truncate(time.Microsecond)
	}
	return tx.now
}

var errReadOnly = errors.New("storage: write within View")

func (tx *Tx) writable(k Key, data []byte) (*slot, error) {
	switch {
	case tx.done:
		return nil, errTxDone
	case tx.err != nil:
		return nil, tx.err
	case tx.readOnly:
		return nil, errReadOnly
	case len(data) > MaxData:
		return nil, fmt.Errorf("%w: %s of %d bytes, limit %d", ErrTooLarge, k.Kind, len(data), MaxData)
	}
	return tx.slot(k)
}

func (tx *Tx) change(s *slot) {
	if tx.subs > 0 {
		tx.undo = append(tx.undo, undo{s, s.plan})
	}
}

func (tx *Tx) put(s *slot, data []byte, due time.Time) {
	tx.change(s)
	s.plan = plan{op: opPut, data: bytes.Clone(data), due: due, entries: s.plan.entries}
}

// batch is what the run wants committed: its writes, and a Check for whatever
// else Get found. wrote is false if there are only Checks.
func (tx *Tx) batch() (b Batch, wrote bool) {
	for _, s := range tx.order {
		w := Write{Key: s.rec.Key, Expect: s.rec.Version}
		switch s.plan.op {
		case opPut:
			w.Data, w.Due = s.plan.data, s.plan.due
			wrote = true
		case opDelete:
			if s.rec.Version == 0 {
				continue
			}
			w.Delete = true
			wrote = true
		case opNone:
			if !s.valid || s.rec.Version == 0 {
				continue
			}
			w.Check = true
		}
		b.Writes = append(b.Writes, w)
	}
	for _, e := range tx.entries {
		e.At = tx.Now(nil)
		b.Entries = append(b.Entries, e)
		wrote = true
	}
	return b, wrote
}

// seen returns the keys that the function read from the store, and whether
// any of them came from a cache.
func (tx *Tx) seen() (keys []Key, cached bool) {
	for _, s := range tx.order {
		if s.seen && s.known {
			keys = append(keys, s.rec.Key)
			cached = cached || s.cached
		}
	}
	return keys, cached
}
