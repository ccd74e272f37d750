package storage

import "time"

// Waiting returns how many updates wait in the queues of a group.
func Waiting(g *Grouped) int {
	n := 0
	for i := range g.shards {
		g.shards[i].mu.Lock()
		n += len(g.shards[i].queue) + int(g.shards[i].waiting.Load()+g.shards[i].early.Load())
		g.shards[i].mu.Unlock()
	}
	g.lanes.mu.Lock()
	defer g.lanes.mu.Unlock()
	for _, sh := range g.lanes.of {
		sh.mu.Lock()
		n += len(sh.queue)
		sh.mu.Unlock()
	}
	return n
}

// Ahead returns how many updates are decided on what the commit under way will leave.
func Ahead(g *Grouped) int {
	n := 0
	for i := range g.shards {
		n += int(g.shards[i].early.Load())
	}
	return n
}

// Cached returns how much a group keeps in memory.
func Cached(g *Grouped) (records int, bytes int64) {
	g.cache.mu.Lock()
	defer g.cache.mu.Unlock()
	for _, at := range g.cache.index {
		bytes += g.cache.position(at).size()
	}
	if bytes != g.cache.bytes {
		panic("the cache miscounts its bytes")
	}
	return len(g.cache.index), bytes
}

// CacheCollision reports which of two records are kept that are set one after the
// other, if their keys have the same hash.
func CacheCollision(first, second Key) (found []bool) {
	c := newRecordCache(10, 1<<20)
	for _, k := range []Key{first, second} {
		c.set(&Record{Key: k, Version: 1}, 7, nil, time.Now(), true, 0)
	}
	for _, k := range []Key{first, second} {
		cl := &cell{hash: 7, base: Record{Key: k}}
		_, ok := c.recall(cl, time.Now())
		found = append(found, ok && cl.base.Version == 1)
	}
	if len(c.index) != 1 || c.bytes != c.find(second, 7).size() {
		panic("the cache miscounts")
	}
	return found
}

// TempFile and DiskFile are the files of a disk.
type (
	TempFile = tempFile
	DiskFile = diskFile
)

// OpenBlobsOn opens the blobs of a directory on another disk than the machine's.
func OpenBlobsOn(d disk, path string) (*DirBlobs, error) { return openBlobsOn(d, path) }

// Shards returns how many groups form side by side.
func Shards(g *Grouped) int { return len(g.shards) }
