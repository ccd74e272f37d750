package esign

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

// Blobs are named tenant/time/random, so that a name says whose they are and
// since when. A commit that names one keeps a record of that; what no record
// names was left by a crash, a lost race or an upload that came to nothing.
type kept struct {
	Owner     Party `json:"owner"`     // of the envelopes
	Envelopes int   `json:"envelopes"` // that name it
}

var keptBlobs = storage.Kind[kept]{Name: "esign.blob", Schema: 1}

const (
	// uploadLife is how long an Upload may wait for its Create, well below
	// blobLife, so that no sweep can take what a commit is about to name.
	uploadLife = 6 * 24 * time.Hour
	blobLife   = 7 * 24 * time.Hour
	sweepEvery = time.Hour
	sweepPage  = 256
)

func blobName(tenant string, now time.Time, random []byte) string {
	return storage.JoinID(tenant, storage.OldestFirst(now), hex.EncodeToString(random))
}

// blobOf reports whether a blob is a tenant's, so that no draft can name
// another tenant's document.
func blobOf(tenant, blob string) bool {
	return strings.HasPrefix(blob, storage.JoinPrefix(tenant))
}

// parseBlob is whose a blob is, and since when. Names that are not ours are left
// alone.
func parseBlob(id string) (tenant string, since time.Time, ok bool) {
	p, err := storage.SplitID(id)
	if err != nil || len(p) != 3 || len(p[1]) != 16 {
		return "", time.Time{}, false
	}
	micros, err := strconv.ParseInt(p[1], 16, 64)
	return p[0], time.UnixMicro(micros), err == nil
}

// keepBlobs makes the records of blobs those that the envelope names now.
func (x *work) keepBlobs() error {
	change := map[string]int{}
	for blob := range x.env.blobs() {
		change[blob]++
	}
	for blob := range x.was.blobs() {
		change[blob]--
	}
	for _, blob := range slices.Sorted(maps.Keys(change)) {
		if change[blob] == 0 {
			continue
		}
		k, _, err := keptBlobs.Get(x.tx, x.env.Tenant, blob)
		if err != nil {
			return err
		}
		if k.Envelopes == 0 {
			k.Owner = x.env.Owner
		}
		if k.Envelopes += change[blob]; k.Envelopes > 0 {
			err = keptBlobs.Put(x.tx, x.env.Tenant, blob, k)
		} else {
			err = keptBlobs.Delete(x.tx, x.env.Tenant, blob)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// blobs are those that the envelope names.
func (e *Envelope) blobs() map[string]bool {
	out := map[string]bool{}
	for _, d := range e.Documents {
		for _, seg := range d.Segments {
			out[seg.Blob] = true
		}
	}
	return out
}

// SweepBlobs deletes blobs that no envelope names and that are older than seven
// days, and returns how many. Run calls it every hour; any number of processes
// may. It is bookkeeping: without it, space is lost and nothing else.
func (s *Service) SweepBlobs(ctx context.Context) (int, error) {
	n, after := 0, ""
	for {
		page, err := s.blobs.List(ctx, after, sweepPage)
		if err != nil {
			return n, fmt.Errorf("esign: list blobs: %w", err)
		}
		var old []string
		var keys []storage.Key
		for _, id := range page {
			after = id
			tenant, since, ok := parseBlob(id)
			if !ok || s.now().Sub(since) < blobLife {
				continue
			}
			old, keys = append(old, id), append(keys, keptBlobs.Key(tenant, id))
		}
		if len(keys) > 0 {
			recs, err := s.store.Get(ctx, keys)
			if err != nil {
				return n, fmt.Errorf("esign: sweep blobs: %w", err)
			}
			for i, r := range recs {
				if r.Version > 0 {
					continue
				}
				if err := s.blobs.Delete(ctx, old[i]); err != nil {
					return n, fmt.Errorf("esign: delete blob: %w", err)
				}
				n++
			}
		}
		if len(page) < sweepPage {
			return n, nil
		}
	}
}
