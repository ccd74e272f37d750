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
		c.bytes -= recordSize(old.rec)
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
	c.bytes += recordSize(r)
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
		e.val = val
	}
}

func (c *recordCache) forget(k Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(k)
}

func (c *recordCache) drop(k Key) {
	if old, ok := c.records[k]; ok {
		c.bytes -= recordSize(old.rec)
		delete(c.records, k)
	}
}

// recordSize leaves room for the value, which is a few times as large as Data.
func recordSize(r Record) int64 {
	return int64(len(r.Data)+len(r.Key.Tenant)+len(r.Key.Kind)+len(r.Key.ID)) + 160
}
