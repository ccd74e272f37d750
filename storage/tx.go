package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Tx is one run of a function given to [Update] or [View]. It reads from the
// store, sees its own writes, and buffers them until the function returns. It
// is not for concurrent use, and of no use once the function returned.
type Tx struct {
	*txRun // nil once the run is over: its memory serves others
}

// txRun is what a Tx is made of. Its memory is used again and again.
type txRun struct {
	ctx      context.Context // of one Update; a Tx never outlives its run
	store    Store
	mem      *Mem // the store, if it is one and no round reads for the run
	readOnly bool
	done     bool
	sub      int        // the innermost Sub that is open, from 1; undo is kept only for them
	subs     int        // so far
	cache    *recordSet // what an earlier run learnt
	round    *round     // of a group: it has the records, and reads what is missing between runs
	missing  []Key      // that the round lacked
	index    []uint32   // of order, by hash, once there are many: see find
	recent   [2]*slot   // asked for last
	stream   *slot      // appended to last
	order    []*slot    // in the order of first use, so that a run repeats exactly
	entries  []Entry
	arena    []byte // of Data
	undo     []undo // pending states before they changed, for Sub
	now      time.Time
	err      error // the first error of a read; ends the run whatever fn returns

	blocks [][]slot // further slots
	first  [fewSlots]slot
}

// fewSlots is how many records most functions use, or less.
const fewSlots = 6

// slotBlock is how many further slots are made at once.
const slotBlock = 64

var txRuns = sync.Pool{New: func() any {
	return &txRun{order: make([]*slot, 0, fewSlots), undo: make([]undo, 0, fewSlots)}
}}

const maxKept = 256 << 10 // bytes of an arena that is used again

// release ends a run. If its function returned it gives the memory back: nothing
// refers to its slots.
func (tx *Tx) release() {
	r := tx.txRun
	if tx.txRun = nil; r == nil || !r.done {
		return
	}
	if r.mem == nil && r.round == nil || cap(r.arena) > maxKept || cap(r.entries) > MaxKeys {
		r.entries, r.arena = nil, nil // a batch may still refer to them
	}
	if len(r.order) > MaxKeys || cap(r.undo) > 8*MaxKeys {
		return
	}
	n := len(r.order)
	clear(r.first[:min(n, fewSlots)])
	for i := range r.blocks {
		clear(r.blocks[i][:min(max(n-fewSlots-i*slotBlock, 0), slotBlock)])
	}
	r.index = r.index[:0]
	clear(r.order)
	clear(r.undo)
	clear(r.entries)
	r.ctx, r.store, r.mem, r.cache, r.round, r.missing, r.err = nil, nil, nil, nil, nil, nil, nil
	r.readOnly, r.done, r.sub, r.subs, r.now, r.recent, r.stream = false, false, 0, 0, time.Time{}, [2]*slot{}, nil
	r.order, r.entries, r.arena, r.undo = r.order[:0], r.entries[:0], r.arena[:0], r.undo[:0]
	txRuns.Put(r)
}

var errTxDone = fmt.Errorf("%w: the transaction has ended", ErrClosed)

func newTx(ctx context.Context, s Store, cache *recordSet) *Tx {
	r := txRuns.Get().(*txRun)
	r.ctx, r.store, r.cache = ctx, s, cache
	return &Tx{r}
}

// recall fills a slot without I/O, if it can.
func (tx *Tx) recall(s *slot, peek bool) {
	if s.known {
		return
	}
	switch {
	case tx.mem != nil:
		tx.mem.fill(s)
	case tx.round != nil:
		tx.round.recall(s, peek)
	default:
		if r := tx.cache.get(s.rec.Key); r != nil {
			s.rec, s.known, s.cached = *r, true, true
		}
	}
}

// errMissing ends a run in a group that lacks records. The function runs again
// when they were read.
var errMissing = errors.New("storage: record is being read")

func (tx *Tx) usable() error {
	if tx.txRun == nil || tx.done {
		return errTxDone
	}
	return tx.err
}

// load makes the slots of keys known, with at most one Get. A slot that is
// written without having been read needs none.
func (tx *Tx) load(keys []Key, peek bool) ([]*slot, error) {
	if err := tx.usable(); err != nil {
		return nil, err
	}
	if len(keys) > MaxKeys {
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
	return slots, tx.fetch(missing, peek)
}

// load1 is load of one key.
func (tx *Tx) load1(k Key, peek bool) (*slot, error) {
	if err := tx.usable(); err != nil {
		return nil, err
	}
	s, err := tx.slot(k)
	if err != nil {
		return nil, err
	}
	if tx.recall(s, peek); s.known || s.plan.op != opNone {
		return s, nil
	}
	return s, tx.fetch([]Key{k}, peek)
}

// fetch reads what load lacks, or has it read between runs.
func (tx *Tx) fetch(missing []Key, peek bool) error {
	if tx.round != nil {
		tx.missing, tx.err = append(tx.missing, missing...), errMissing
		return errMissing
	}
	var recs []Record
	var err error
	if s, ok := tx.store.(Peeker); ok && peek {
		recs, err = s.Peek(tx.ctx, missing)
	} else {
		recs, err = tx.store.Get(tx.ctx, missing)
	}
	if err == nil && len(recs) != len(missing) {
		err = fmt.Errorf("%w: Get returned %d records for %d keys", ErrCorrupt, len(recs), len(missing))
	}
	if err != nil {
		tx.err = err
		return err
	}
	for i, k := range missing {
		s := tx.find(k, hashID(k.ID))
		s.rec, s.known = recs[i], true
	}
	return nil
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
		if recs[i], err = s.full(); err != nil {
			return nil, err
		}
		recs[i].Data = bytes.Clone(recs[i].Data)
	}
	return recs, nil
}

// one is Get or Peek of one key, without a copy: data must not be changed.
func (tx *Tx) one(k Key, validate bool) (Record, error) {
	s, err := tx.load1(k, !validate)
	if err != nil {
		return Record{}, err
	}
	s.seen = true
	s.valid = s.valid || validate
	return s.full()
}

// Create stores a new record. It returns [ErrExists] if the run knows of one
// under the key; if not, the commit finds out, and the function runs again.
func (tx *Tx) Create(key Key, data []byte, due time.Time) error {
	if err := tx.writable(key, data); err != nil {
		return err
	}
	return tx.create(key, plan{data: tx.own(data), due: DueMicros(due)})
}

func (tx *Tx) create(key Key, p plan) error {
	s, err := tx.slot(key)
	if err != nil {
		return err
	}
	tx.recall(s, false)
	return tx.createAt(s, p)
}

func (tx *Tx) createAt(s *slot, p plan) error {
	if s.exists() {
		s.seen = true
		return fmt.Errorf("%w: %s", ErrExists, s.rec.Key.Kind)
	}
	tx.put(s, p)
	return nil
}

// Put stores a record over the version that the run read, creating it if it
// was absent. It reads the record if the run has not yet.
func (tx *Tx) Put(key Key, data []byte, due time.Time) error {
	if err := tx.writable(key, data); err != nil {
		return err
	}
	s, err := tx.load1(key, false)
	if err != nil {
		return err
	}
	tx.put(s, plan{data: tx.own(data), due: DueMicros(due)})
	return nil
}

// Delete removes a record; an absent one is no error. It returns [ErrBatch] for
// a record that has a stream.
func (tx *Tx) Delete(key Key) error {
	if err := tx.writable(key, nil); err != nil {
		return err
	}
	s, err := tx.load1(key, false)
	if err != nil {
		return err
	}
	if r, _ := s.view(); r.Seq > 0 {
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
	if err := tx.writable(stream, data); err != nil {
		return 0, err
	}
	s, err := tx.streamOf(stream)
	if err != nil {
		return 0, err
	}
	return tx.entry(s, tx.stash(data)), nil
}

// AppendForms is [Tx.Append] of n entries, each of which form appends to b, which
// it must not keep. It returns the Seq of the last.
func (tx *Tx) AppendForms(stream Key, n int, form func(i int, b []byte) []byte) (seq uint64, err error) {
	if err := tx.writable(stream, nil); err != nil {
		return 0, err
	}
	s, err := tx.streamOf(stream)
	if err != nil {
		return 0, err
	}
	seq = s.rec.Seq + s.plan.entries
	for i := range n {
		data := tx.kept(form(i, tx.room()))
		if len(data) > MaxData {
			return 0, tooLarge(stream.Kind, data)
		}
		seq = tx.entry(s, data)
	}
	return seq, nil
}

// streamOf returns the slot of a stream that may be appended to.
func (tx *Tx) streamOf(stream Key) (*slot, error) {
	s := tx.stream
	if s == nil || !s.known || s.rec.Key != stream {
		var err error
		if s, err = tx.load1(stream, false); err != nil {
			return nil, err
		}
	}
	if s.plan.op == opDelete {
		return nil, fmt.Errorf("%w: entry of %s that is deleted", ErrBatch, stream.Kind)
	}
	tx.stream = s
	return s, nil
}

// entry notes an entry and returns its Seq.
func (tx *Tx) entry(s *slot, data []byte) uint64 {
	tx.change(s)
	s.plan.entries++
	seq := s.rec.Seq + s.plan.entries
	tx.entries = append(tx.entries, Entry{Stream: s.rec.Key, Seq: seq, Data: data})
	return seq
}

// Sub runs fn and, if it returns an error, takes back what fn wrote; what it
// read still counts. The error is returned as it is. Subs may nest.
func (tx *Tx) Sub(fn func() error) error {
	if tx.txRun == nil || tx.done {
		return errTxDone
	}
	sub, kept := tx.beginSub(), false
	defer func() { sub.end(kept) }() // a panic that fn's caller recovers from leaves no writes either
	if err := fn(); err != nil {
		return err
	}
	kept = true
	return nil
}

// openSub is a Sub under way.
type openSub struct {
	tx            *Tx
	around        int // the Sub that it is within, 0 if none
	mark, entries int
}

func (tx *Tx) beginSub() openSub {
	o := openSub{tx, tx.sub, len(tx.undo), len(tx.entries)}
	tx.subs++
	tx.sub = tx.subs
	return o
}

// end takes back what was written since, unless it is to be kept.
func (o openSub) end(keep bool) {
	tx := o.tx
	if tx.txRun == nil {
		return // the run ended within, by a panic
	}
	tx.sub = o.around
	if !keep {
		for i := len(tx.undo) - 1; i >= o.mark; i-- {
			tx.undo[i].slot.plan = tx.undo[i].plan
		}
		clear(tx.undo[o.mark:])
		tx.undo = tx.undo[:o.mark]
		clear(tx.entries[o.entries:])
		tx.entries = tx.entries[:o.entries]
	}
	if tx.sub == 0 {
		clear(tx.undo)
		tx.undo = tx.undo[:0]
	}
}

// Now returns the instant of the run, in UTC to the microsecond: the first call
// reads clock (nil is [time.Now]), later ones repeat its answer, so that all
// packages in one commit agree.
func (tx *Tx) Now(clock func() time.Time) time.Time {
	if tx.txRun != nil && !tx.now.IsZero() {
		return tx.now
	}
	if clock == nil {
		clock = time.Now
	}
	now := clock().UTC().Truncate(time.Microsecond)
	if tx.txRun != nil {
		tx.now = now
	}
	return now
}

var errReadOnly = errors.New("storage: write within View")

func (tx *Tx) writable(k Key, data []byte) error {
	switch {
	case tx.txRun == nil || tx.done:
		return errTxDone
	case tx.err != nil:
		return tx.err
	case tx.readOnly:
		return errReadOnly
	case len(data) > MaxData:
		return tooLarge(k.Kind, data)
	}
	return nil
}

func tooLarge(kind string, data []byte) error {
	return fmt.Errorf("%w: %s of %d bytes, limit %d", ErrTooLarge, kind, len(data), MaxData)
}

// change notes the plan of a slot as it was when the innermost Sub began.
func (tx *Tx) change(s *slot) {
	if tx.sub != s.sub && tx.sub > 0 {
		s.sub = tx.sub
		tx.undo = append(tx.undo, undo{s, s.plan})
	}
}

func (tx *Tx) put(s *slot, p plan) {
	tx.change(s)
	p.op, p.entries = opPut, s.plan.entries
	s.plan = p
}

// wrote reports whether the run has anything to commit.
func (tx *Tx) wrote() bool {
	for _, s := range tx.order {
		if s.plan.op == opPut || s.plan.op == opDelete && s.rec.Version > 0 {
			return true
		}
	}
	return len(tx.entries) > 0
}

// guessed reports whether the run read a record that was only presumed absent,
// did not create it, and wrote others. It then asks for the record.
func (tx *Tx) guessed() bool {
	if tx.err != nil || !tx.wrote() {
		return false
	}
	for _, s := range tx.order {
		if s.guess && s.plan.op != opPut {
			tx.missing = append(tx.missing, s.rec.Key)
		}
	}
	return len(tx.missing) > 0
}

// stamp gives the entries the instant of the run.
func (tx *Tx) stamp() []Entry {
	for i := range tx.entries {
		tx.entries[i].At = tx.Now(nil)
	}
	return tx.entries
}

// check is [CheckBatch] of what the run wrote: all that Tx itself leaves open.
func (tx *Tx) check() error {
	if len(tx.order) > MaxKeys {
		return fmt.Errorf("%w: batch of %d keys, limit %d", ErrTooLarge, len(tx.order), MaxKeys)
	}
	for _, s := range tx.order {
		if s.plan.entries > 0 && s.plan.op != opPut {
			return fmt.Errorf("%w: entry of %s without a write of its record", ErrBatch, s.rec.Key.Kind)
		}
	}
	return nil
}

// batch is what the run wants committed: its writes, and a Check for whatever
// else Get found.
func (tx *Tx) batch() (b Batch, err error) {
	b.Writes = make([]Write, 0, len(tx.order))
	for _, s := range tx.order {
		w := Write{Key: s.rec.Key, Expect: s.rec.Version}
		switch s.plan.op {
		case opPut:
			w.Data, w.Due = s.plan.data, DueTime(s.plan.due)
			if s.plan.val != nil {
				if w.Data, err = s.plan.val.encode(w.Key.Kind); err != nil {
					return Batch{}, err
				}
			}
		case opDelete:
			if s.rec.Version == 0 {
				continue
			}
			w.Delete = true
		case opNone:
			if !s.valid || s.rec.Version == 0 {
				continue
			}
			w.Check = true
		}
		b.Writes = append(b.Writes, w)
	}
	b.Entries = tx.stamp()
	return b, nil
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
