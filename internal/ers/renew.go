package ers

import (
	"context"
	"fmt"
	"slices"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/tsp"
)

// FromToken makes the record of an object from a token over its digest, which is
// there already. It does not verify the token.
func FromToken(token []byte) ([]byte, error) {
	t, err := tsp.Read(token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	s, err := newStamp(t.Digest, nil, token)
	if err != nil {
		return nil, err
	}
	return (&record{chains: [][]stamp{{s}}}).encode(), nil
}

func newStamp(digest string, tree [][][]byte, token []byte) (stamp, error) {
	alg, err := algorithm(digest)
	if err != nil {
		return stamp{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return stamp{digest: digest, alg: alg, tree: tree, token: token}, nil
}

// Start makes a record of each object, all under one timestamp.
func Start(ctx context.Context, ts Timestamper, digest string, objects [][]byte) ([][]byte, error) {
	sums := make([][]byte, len(objects))
	for i, o := range objects {
		var err error
		if sums[i], err = cms.Sum(digest, o); err != nil {
			return nil, err
		}
	}
	stamps, err := stampAll(ctx, ts, digest, sums)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(objects))
	for i := range out {
		out[i] = (&record{chains: [][]stamp{{stamps[i]}}}).encode()
	}
	return out, nil
}

// RenewTimestamps adds to each record a timestamp over its last one, under the
// digest of that chain: one timestamp for all records of a digest.
func RenewTimestamps(ctx context.Context, ts Timestamper, records [][]byte) ([][]byte, error) {
	list := make([]*record, len(records))
	sums := map[string][][]byte{}
	of := map[string][]int{}
	for i, raw := range records {
		r, err := parse(raw)
		if err != nil {
			return nil, err
		}
		list[i] = r
		chain := r.chains[len(r.chains)-1]
		last := chain[len(chain)-1]
		h, err := cms.Sum(last.digest, last.token)
		if err != nil {
			return nil, err
		}
		sums[last.digest] = append(sums[last.digest], h)
		of[last.digest] = append(of[last.digest], i)
	}
	out := make([][]byte, len(records))
	for digest, places := range of {
		stamps, err := stampAll(ctx, ts, digest, sums[digest])
		if err != nil {
			return nil, err
		}
		for k, i := range places {
			last := len(list[i].chains) - 1
			list[i].chains[last] = append(list[i].chains[last], stamps[k])
			out[i] = list[i].encode()
		}
	}
	return out, nil
}

// RenewHash begins a chain under another digest in each record, over its object
// and all its chains: one timestamp for all.
func RenewHash(ctx context.Context, ts Timestamper, digest string, records, objects [][]byte) ([][]byte, error) {
	if len(records) != len(objects) {
		return nil, bad("as many objects as records are needed")
	}
	list := make([]*record, len(records))
	sums := make([][]byte, len(records))
	for i, raw := range records {
		r, err := parse(raw)
		if err != nil {
			return nil, err
		}
		list[i] = r
		if sums[i], err = covered(digest, objects[i], r.chains); err != nil {
			return nil, err
		}
	}
	stamps, err := stampAll(ctx, ts, digest, sums)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(records))
	for i, r := range list {
		r.chains = append(r.chains, []stamp{stamps[i]})
		out[i] = r.encode()
	}
	return out, nil
}

// stampAll gets one timestamp over all hashes, and cuts each its reduced tree.
func stampAll(ctx context.Context, ts Timestamper, digest string, sums [][]byte) ([]stamp, error) {
	if len(sums) == 0 {
		return nil, nil
	}
	trees := make([][][][]byte, len(sums))
	type node struct {
		hash   []byte
		leaves []int
	}
	level := make([]node, len(sums))
	for i, h := range sums {
		level[i] = node{h, []int{i}}
	}
	for len(level) > 1 {
		var up []node
		for len(level) > 0 {
			n := 2
			if len(level) == 3 { // so that no node is ever alone
				n = 3
			}
			group := level[:n]
			level = level[n:]
			hashes := make([][]byte, n)
			for i := range group {
				hashes[i] = group[i].hash
			}
			h, err := join(digest, hashes)
			if err != nil {
				return nil, err
			}
			parent := node{hash: h}
			for i := range group {
				others := slices.Delete(slices.Clone(hashes), i, i+1)
				for _, leaf := range group[i].leaves {
					list := others
					if trees[leaf] == nil {
						list = hashes
					}
					trees[leaf] = append(trees[leaf], list)
				}
				parent.leaves = append(parent.leaves, group[i].leaves...)
			}
			up = append(up, parent)
		}
		level = up
	}
	token, err := ts.Timestamp(ctx, digest, level[0].hash)
	if err != nil {
		return nil, fmt.Errorf("ers: timestamp: %w", err)
	}
	// An answer that proves nothing is none.
	if _, err := tsp.Verify(token, tsp.VerifyOptions{Digest: digest, Sum: level[0].hash}); err != nil {
		return nil, fmt.Errorf("ers: timestamp: %w", err)
	}
	out := make([]stamp, len(sums))
	for i := range out {
		if out[i], err = newStamp(digest, trees[i], token); err != nil {
			return nil, err
		}
	}
	return out, nil
}
