package storage

// Waiting returns how many updates wait in the queues of a group.
func Waiting(g *Grouped) int {
	n := 0
	for i := range g.shards {
		g.shards[i].mu.Lock()
		n += len(g.shards[i].queue)
		g.shards[i].mu.Unlock()
	}
	return n
}
