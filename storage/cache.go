package storage

import (
	"bytes"
	"sync"
	"time"
)

// recordCache keeps records as they were last seen or committed. It may be
// stale: what is decided on it is checked by the commit or confirmed.
type recordCache struct {
	maxRecords int
	maxBytes   int64

	mu      sync.Mutex
	records map[Key]*cachedRecord
	bytes   int64
}

type cachedRecord struct {
	rec Record // Data is never changed
	val *value // of rec, if it was decoded
	at  time.Time

	shard int32 // of the group, from 1, that committed it first; 0: none did
}

func newRecordCache(records int, bytes int64) *recordCache {
	return &recordCache{maxRecords: records, maxBytes: bytes, records: make(map[Key]*cachedRecord)}
}

func (c *recordCache) get(k Key) (cachedRecord, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.records[k]; r != nil {
		return *r, true
	}
	return cachedRecord{}, false
}

// set keeps a record. One that was read is not kept over a later version, which
// may have been committed since.
func (c *recordCache) set(r Record, val *value, at time.Time, committed bool, shard int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.records[r.Key]
	if ok && !committed && old.rec.Version > r.Version {
		return
	}
	if ok {
		c.bytes -= old.size()
		if val == nil && old.val != nil && old.rec.Version == r.Version && bytes.Equal(old.rec.Data, r.Data) {
			val = old.val
		}
	}
	if ok {
		if old.shard > 0 {
			shard = old.shard
		}
		*old = cachedRecord{r, val, at, shard}
	} else {
		c.records[r.Key] = &cachedRecord{r, val, at, shard}
	}
	c.bytes += c.records[r.Key].size()
	if len(c.records) <= c.maxRecords && c.bytes <= c.maxBytes {
		return
	}
	for k := range c.records { // any will do: the hot ones come back
		if len(c.records) <= c.maxRecords && c.bytes <= c.maxBytes {
			break
		}
		c.drop(k)
	}
}

// attach keeps the value of a record that is there.
func (c *recordCache) attach(r Record, val *value) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.records[r.Key]; ok && e.rec.Version == r.Version && bytes.Equal(e.rec.Data, r.Data) {
		c.bytes -= e.size()
		e.val = val
		c.bytes += e.size()
	}
}

func (c *recordCache) forget(k Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(k)
}

func (c *recordCache) drop(k Key) {
	if old, ok := c.records[k]; ok {
		c.bytes -= old.size()
		delete(c.records, k)
	}
}

// size is roughly the memory that a record takes: its bytes, what holds them, and
// its value, whose fields and strings take a few times as much as their form.
func (e *cachedRecord) size() int64 {
	n := int64(len(e.rec.Data)+len(e.rec.Key.Tenant)+len(e.rec.Key.Kind)+len(e.rec.Key.ID)) + 320
	if e.val != nil {
		n += 128 + 4*int64(len(e.rec.Data))
	}
	return n
}
