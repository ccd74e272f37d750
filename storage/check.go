package storage

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of keys, values and calls. Beyond them lies [ErrTooLarge].
const (
	MaxTenant  = 128     // bytes of Key.Tenant
	MaxKind    = 64      // bytes of Key.Kind
	MaxID      = 255     // bytes of Key.ID
	MaxData    = 1 << 20 // bytes of a record's or an entry's Data
	MaxKeys    = 1000    // keys of a Get, writes of a Batch, elements of a page
	MaxBatches = 512     // batches of a Commit
)

// CheckKeys returns [ErrKey] or [ErrTooLarge] if a key is malformed or too
// long, or if there are more than [MaxKeys]. Stores call it in Get and Entries.
func CheckKeys(keys ...Key) error {
	if len(keys) > MaxKeys {
		return fmt.Errorf("%w: %d keys, limit %d", ErrTooLarge, len(keys), MaxKeys)
	}
	for i := range keys {
		k := &keys[i]
		if i > 0 && k.Tenant == keys[i-1].Tenant && k.Kind == keys[i-1].Kind { // which need no second look
			if goodPart(k.ID, MaxID) {
				continue
			}
		} else if goodPart(k.ID, MaxID) && goodPart(k.Kind, MaxKind) && goodPart(k.Tenant, MaxTenant) {
			continue
		}
		if err := checkKey(*k); err != nil {
			return err
		}
	}
	return nil
}

// CheckRange checks the arguments of List (of Due, with [Deployment] for the
// tenant it has not) as [CheckKeys] does a key. An empty after is the beginning.
func CheckRange(tenant, kind, after string) error {
	if err := checkPart("tenant", tenant, MaxTenant); err != nil {
		return err
	}
	if err := checkPart("kind", kind, MaxKind); err != nil || after == "" {
		return err
	}
	return checkPart("id", after, MaxID)
}

// CheckBatch returns the reason why the batches of one Commit must be refused,
// or nil. [Update] and stores call it. It returns
//   - [ErrBatch] for a key that appears twice in a batch or is written by two
//     batches, for Delete or Check with Expect 0 or with each other, and for
//     entries whose record the batch does not write or whose Seq does not rise
//     by one;
//   - [ErrKey] and [ErrTooLarge] for the limits of this package.
//
// That a record with a stream is not deleted only the store can check.
func CheckBatch(batches ...Batch) error {
	if len(batches) > MaxBatches {
		return fmt.Errorf("%w: %d batches, limit %d", ErrTooLarge, len(batches), MaxBatches)
	}
	n := 0
	for i := range batches {
		n += len(batches[i].Writes)
	}
	seen := make(map[Key]use, n)
	for i := range batches {
		if err := checkBatch(&batches[i], i, seen); err != nil {
			return err
		}
	}
	return nil
}

// use is what a Commit does with one key, in the last batch that names it.
type use struct {
	batch   int
	written bool   // by any batch so far
	writes  bool   // by this one, so that entries may follow
	last    uint64 // Seq of the last entry of this batch; 0 before the first
}

func checkBatch(b *Batch, index int, seen map[Key]use) error {
	if len(b.Writes) > MaxKeys {
		return fmt.Errorf("%w: batch of %d keys, limit %d", ErrTooLarge, len(b.Writes), MaxKeys)
	}
	for i := range b.Writes {
		w := &b.Writes[i]
		if err := checkKey(w.Key); err != nil {
			return err
		}
		if len(w.Data) > MaxData {
			return fmt.Errorf("%w: %s of %d bytes, limit %d", ErrTooLarge, w.Key.Kind, len(w.Data), MaxData)
		}
		u, again := seen[w.Key]
		switch {
		case again && u.batch == index:
			return fmt.Errorf("%w: %s named twice in a batch", ErrBatch, w.Key.Kind)
		case u.written && !w.Check:
			return fmt.Errorf("%w: %s written by two batches", ErrBatch, w.Key.Kind)
		case w.Delete && w.Check:
			return fmt.Errorf("%w: %s both deleted and checked", ErrBatch, w.Key.Kind)
		case (w.Delete || w.Check) && w.Expect == 0:
			return fmt.Errorf("%w: %s deleted or checked while absent", ErrBatch, w.Key.Kind)
		}
		seen[w.Key] = use{batch: index, written: u.written || !w.Check, writes: !w.Check && !w.Delete}
	}
	for i := range b.Entries {
		e := &b.Entries[i]
		if len(e.Data) > MaxData {
			return fmt.Errorf("%w: entry of %s of %d bytes, limit %d", ErrTooLarge, e.Stream.Kind, len(e.Data), MaxData)
		}
		u, ok := seen[e.Stream]
		switch {
		case !ok || u.batch != index || !u.writes:
			return fmt.Errorf("%w: entry of %s without a write of its record", ErrBatch, e.Stream.Kind)
		case e.Seq == 0 || (u.last != 0 && e.Seq != u.last+1):
			return fmt.Errorf("%w: entries of %s do not rise by one", ErrBatch, e.Stream.Kind)
		}
		u.last = e.Seq
		seen[e.Stream] = u
	}
	return nil
}

func checkKey(k Key) error {
	if err := checkPart("tenant", k.Tenant, MaxTenant); err != nil {
		return err
	}
	if err := checkPart("kind", k.Kind, MaxKind); err != nil {
		return err
	}
	return checkPart("id", k.ID, MaxID)
}

// checkPart does not quote the part: ids of hosts may be personal data.
func checkPart(name, s string, limit int) error {
	switch {
	case goodPart(s, limit):
		return nil
	case s == "":
		return fmt.Errorf("%w: empty %s", ErrKey, name)
	case len(s) > limit:
		return fmt.Errorf("%w: %s of %d bytes, limit %d", ErrTooLarge, name, len(s), limit)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: %s is not UTF-8", ErrKey, name)
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%w: %s contains NUL", ErrKey, name)
	}
	return nil
}

// goodPart is true of parts of ASCII without NUL, as nearly all are.
func goodPart(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for ; len(s) >= 8; s = s[8:] {
		if !plainWord(s) {
			return false
		}
	}
	for i := range len(s) {
		if s[i]-1 >= utf8.RuneSelf-1 {
			return false
		}
	}
	return true
}

// plainWord is true of eight bytes of ASCII without NUL.
func plainWord(s string) bool {
	const tops = 0x8080808080808080
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	return (w|(w-tops>>7))&tops == 0 // no byte from 0x80, and no zero that borrows
}

// PageSize is the number of elements that a page asked for with limit holds at
// most: limit, or [MaxKeys] if limit is not within 1 and [MaxKeys].
func PageSize(limit int) int {
	if limit < 1 || limit > MaxKeys {
		return MaxKeys
	}
	return limit
}

// maxDue is the end of the year 9999 in microseconds, the last instant that
// every database can show.
const maxDue = 253402300799999999

// DueMicros returns the integer that stores keep and order for a Due:
// microseconds since 1970, 0 for never. It stops at the end of the year 9999.
func DueMicros(t time.Time) int64 {
	switch n := t.Unix(); {
	case n < 0: // the zero time too
		return 0
	case n > maxDue/1_000_000:
		return maxDue
	}
	return t.UnixMicro()
}

// DueTime is the inverse of [DueMicros].
func DueTime(micros int64) time.Time {
	if micros <= 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
