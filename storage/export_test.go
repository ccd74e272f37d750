package storage

// Waiting returns how many updates wait in the queues of a group.
func Waiting(g *Grouped) int {
	n := 0
	for i := range g.shards {
		g.shards[i].mu.Lock()
		n += len(g.shards[i].queue) + int(g.shards[i].waiting.Load()+g.shards[i].early.Load())
		g.shards[i].mu.Unlock()
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
	for _, r := range g.cache.records {
		bytes += r.size()
	}
	if bytes != g.cache.bytes {
		panic("the cache miscounts its bytes")
	}
	return len(g.cache.records), bytes
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
