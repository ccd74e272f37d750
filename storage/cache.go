package storage

import (
	"bytes"
	"hash/maphash"
	"sync"
	"time"
)

// recordCache keeps records as they were last seen or committed. It may be
// stale: what is decided on it is checked by the commit or confirmed.
//
// There are many, and each is there for long: they lie in blocks, and are found
// through an index without pointers, so that the garbage collector has little to
// follow. Of two keys of one hash only one is kept.
type recordCache struct {
	maxRecords int
	maxBytes   int64

	mu     sync.Mutex
	index  map[uint64]uint32 // positions by hash
	blocks []*[cacheBlock]cachedRecord
	free   []uint32 // positions of nothing
	hand   uint32   // the position that is looked at next for one to drop
	bytes  int64
}

const cacheBlock = 128

type cachedRecord struct {
	key          Key // empty: the position is free
	hash         uint64
	version, seq uint64
	due          int64  // as DueMicros
	data         []byte // never changed
	val          *value // of the record, if it was decoded
	at           int64  // in nanoseconds since cacheEpoch
	shard        int32  // of the group, from 1, that committed it first; 0: none did
	used         bool   // since the hand came by
}

var cacheEpoch = time.Now()

// hashKey is the hash of a key, for one process only.
func hashKey(k Key) uint64 { return maphash.Comparable(hashSeed, k) }

func newRecordCache(records int, bytes int64) *recordCache {
	return &recordCache{maxRecords: records, maxBytes: bytes, index: make(map[uint64]uint32)}
}

func (c *recordCache) position(at uint32) *cachedRecord {
	return &c.blocks[at/cacheBlock][at%cacheBlock]
}

// find returns what is kept of a key, nil if that is nothing.
func (c *recordCache) find(k Key, hash uint64) *cachedRecord {
	if at, ok := c.index[hash]; ok {
		if e := c.position(at); e.key == k {
			return e
		}
	}
	return nil
}

// recall gives a cell what is kept of its key, and how long before now that was seen.
func (c *recordCache) recall(cl *cell, now time.Time) (age time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.find(cl.base.Key, cl.hash)
	if e == nil {
		return 0, false
	}
	e.used = true
	cl.base.Version, cl.base.Seq, cl.base.Data, cl.base.Due = e.version, e.seq, e.data, DueTime(e.due)
	cl.val, cl.owner = e.val, e.shard
	return now.Sub(cacheEpoch) - time.Duration(e.at), true
}

// shardOf returns the shard, from 1, that committed a record first; 0: none known.
func (c *recordCache) shardOf(k Key, hash uint64) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.find(k, hash); e != nil {
		return e.shard
	}
	return 0
}

// set keeps a record. One that was read is not kept over a later version, which
// may have been committed since.
func (c *recordCache) set(r *Record, hash uint64, val *value, now time.Time, committed bool, shard int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.find(r.Key, hash)
	switch {
	case e == nil:
		e = c.add(hash)
	case !committed && e.version > r.Version:
		return
	default:
		c.bytes -= e.size()
		if val == nil && e.val != nil && e.version == r.Version && bytes.Equal(e.data, r.Data) {
			val = e.val
		}
		if e.shard > 0 {
			shard = e.shard
		}
		e.used = true
	}
	e.key, e.hash, e.version, e.seq, e.data, e.due = r.Key, hash, r.Version, r.Seq, r.Data, DueMicros(r.Due)
	e.val, e.at, e.shard = val, int64(now.Sub(cacheEpoch)), shard
	c.bytes += e.size()
	for len(c.index) > c.maxRecords || c.bytes > c.maxBytes {
		c.pass()
	}
}

// add returns a free position, which is the hash's from now on.
func (c *recordCache) add(hash uint64) *cachedRecord {
	if at, ok := c.index[hash]; ok {
		c.drop(at)
	}
	if len(c.free) == 0 {
		n := uint32(len(c.blocks)) * cacheBlock
		c.blocks = append(c.blocks, new([cacheBlock]cachedRecord))
		for at := n + cacheBlock; at > n; at-- {
			c.free = append(c.free, at-1)
		}
	}
	at := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	c.index[hash] = at
	return c.position(at)
}

// pass drops the record under the hand, unless it was used since the hand came by
// the last time, and moves the hand on.
func (c *recordCache) pass() {
	e := c.position(c.hand)
	if e.used {
		e.used = false
	} else if e.key != (Key{}) {
		c.drop(c.hand)
	}
	if c.hand++; c.hand == uint32(len(c.blocks))*cacheBlock {
		c.hand = 0
	}
}

// attach keeps the value of a record that is there.
func (c *recordCache) attach(r Record, val *value) {
	hash := hashKey(r.Key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.find(r.Key, hash); e != nil && e.version == r.Version && bytes.Equal(e.data, r.Data) {
		c.bytes -= e.size()
		e.val = val
		c.bytes += e.size()
	}
}

func (c *recordCache) forget(k Key) {
	hash := hashKey(k)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.find(k, hash) != nil {
		c.drop(c.index[hash])
	}
}

// drop frees a position.
func (c *recordCache) drop(at uint32) {
	e := c.position(at)
	c.bytes -= e.size()
	delete(c.index, e.hash)
	*e = cachedRecord{}
	c.free = append(c.free, at)
}

// size is roughly the memory that a record takes: its bytes, what holds them, and
// its value, whose fields and strings take a few times as much as their form.
func (e *cachedRecord) size() int64 {
	n := int64(len(e.data)+len(e.key.Tenant)+len(e.key.Kind)+len(e.key.ID)) + 240
	if e.val != nil {
		n += 128 + 4*int64(len(e.data))
	}
	return n
}
