package storage

import (
	"sync"
	"time"
)

// recordCache keeps records as they were last seen or committed. It may be
// stale: what is decided on it is checked by the commit or confirmed.
type recordCache struct {
	maxRecords int
	maxBytes   int64

	mu      sync.Mutex
	records map[Key]cachedRecord
	bytes   int64
}

type cachedRecord struct {
	rec Record // Data is never changed
	at  time.Time
}

func newRecordCache(records int, bytes int64) *recordCache {
	return &recordCache{maxRecords: records, maxBytes: bytes, records: make(map[Key]cachedRecord)}
}

func (c *recordCache) get(k Key) (cachedRecord, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.records[k]
	return r, ok
}

// set keeps a record. One that was read is not kept over a later version, which
// may have been committed since.
func (c *recordCache) set(r Record, at time.Time, committed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.records[r.Key]
	if ok && !committed && old.rec.Version > r.Version {
		return
	}
	c.drop(r.Key)
	c.records[r.Key] = cachedRecord{r, at}
	c.bytes += recordSize(r)
	for k := range c.records { // any will do: the hot ones come back
		if len(c.records) <= c.maxRecords && c.bytes <= c.maxBytes {
			break
		}
		c.drop(k)
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

func recordSize(r Record) int64 {
	return int64(len(r.Data)+len(r.Key.Tenant)+len(r.Key.Kind)+len(r.Key.ID)) + 160
}
