package evidence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/ers"
	"github.com/countersign/countersign/storage"
)

// A timestamp proves as long as its authority's certificate lives and its hash
// is sound. Evidence records (RFC 4998) carry it on: over the body of an anchored
// checkpoint they begin with the token that anchored it, and are renewed in good
// time by another token over the last, or under another hash over all of it.
const (
	renewAhead  = 180 * 24 * time.Hour
	renewDigest = "SHA-512" // what follows a digest that retires
	renewBatch  = 512       // records that one timestamp renews
	renewBytes  = 64 << 20  // of manifests that are held for one timestamp, but for the last of them
)

// renewAt is when a timestamp is to be renewed: well before its certificate ends
// or its digest retires.
func (l *Log) renewAt(digest string, expires time.Time) time.Time {
	if t, ok := l.retire[digest]; ok && t.Before(expires) && digest != renewDigest {
		expires = t
	}
	return expires.Add(-renewAhead)
}

// A renewal is something whose evidence record is due.
type renewal struct {
	what string
	size uint64 // of the tree, for a checkpoint
	body []byte // the data object
	old  []byte // the record so far
	keep func(record []byte, due time.Time) error
}

// stamper is the first timestamp authority among the anchors that answers.
type stamper []Anchor

func (s stamper) Timestamp(ctx context.Context, digest string, sum []byte) ([]byte, error) {
	err := errors.New("evidence: renewal: no timestamp authority among the anchors")
	for _, a := range s {
		t, ok := a.(TSA)
		if !ok || t.Client == nil {
			continue
		}
		token, terr := t.Client.Timestamp(ctx, digest, sum)
		if terr == nil {
			return token, nil
		}
		err = fmt.Errorf("evidence: renewal: %w", terr)
	}
	return nil, err
}

func (s stamper) any() bool {
	for _, a := range s {
		if t, ok := a.(TSA); ok && t.Client != nil {
			return true
		}
	}
	return false
}

// renew renews the evidence records that are due among keys of anchor records,
// all that are renewed alike by one timestamp. A record whose last certificate
// has ended already cannot be renewed any more; that is logged.
func (l *Log) renew(ctx context.Context, keys []storage.Key) error {
	var list []*renewal
	var errs []error
	for _, k := range keys[:min(len(keys), renewBatch)] {
		recs, err := l.store.Get(ctx, []storage.Key{k})
		if err != nil {
			return fmt.Errorf("evidence: renewal: %w", err)
		}
		rec, err := anchored.Decode(recs[0])
		if err == nil && (!rec.Receipt.Final || rec.Receipt.Kind != kindToken) {
			continue
		}
		x := &renewal{what: k.ID, size: rec.Size, old: rec.Renewed, body: Checkpoint{Origin: l.origin, Size: rec.Size, Root: rec.Root}.body(),
			keep: func(record []byte, due time.Time) error { return l.keepRenewed(ctx, k.ID, record, due) }}
		if err == nil && len(x.old) == 0 {
			x.old, err = ers.FromToken(rec.Receipt.Data)
		}
		if err != nil { // one must not keep the others from their renewal
			errs = append(errs, fmt.Errorf("evidence: renewal of %s: %w", k.ID, err))
			continue
		}
		list = append(list, x)
	}
	stamps, hashes, err := l.renewAll(ctx, list)
	errs = append(errs, err)
	if stamps+hashes > 0 {
		errs = append(errs, l.say(ctx, TypeRenewed, map[string]any{"timestamps": stamps, "hashes": hashes, "size": list[len(list)-1].size}))
	}
	return errors.Join(errs...)
}

// renewAll carries records on, each by what is due for it, and says how many by
// either way. Those that do not verify are left and told of.
func (l *Log) renewAll(ctx context.Context, list []*renewal) (byStamp, byHash int, _ error) {
	var stamps, hashes []*renewal
	var errs []error
	now := l.now()
	for _, x := range list {
		got, err := ers.Verify(x.old, x.body, ers.Options{})
		if err != nil && !errors.Is(err, ers.ErrUntrusted) {
			errs = append(errs, fmt.Errorf("evidence: renewal of %s: %w", x.what, err))
			continue
		}
		last := got[len(got)-1]
		retires, ok := l.retire[last.Digest]
		switch {
		case now.After(last.Expires):
			l.log.ErrorContext(ctx, "evidence: too late to renew", "what", x.what)
			errs = append(errs, x.keep(nil, time.Time{}))
		case ok && last.Digest != renewDigest && !now.Before(retires.Add(-renewAhead)):
			hashes = append(hashes, x)
		default:
			stamps = append(stamps, x)
		}
	}
	of := func(list []*renewal, f func(*renewal) []byte) (out [][]byte) {
		for _, x := range list {
			out = append(out, f(x))
		}
		return out
	}
	old := func(x *renewal) []byte { return x.old }
	keep := func(list []*renewal, records [][]byte, err error) (n int) {
		if err != nil {
			errs = append(errs, fmt.Errorf("evidence: renewal: %w", err))
			return 0
		}
		for i, x := range list {
			if err := l.kept(x, records[i]); err != nil {
				errs = append(errs, err)
				continue
			}
			n++
		}
		return n
	}
	records, err := ers.RenewTimestamps(ctx, stamper(l.anchors), of(stamps, old))
	byStamp = keep(stamps, records, err)
	records, err = ers.RenewHash(ctx, stamper(l.anchors), renewDigest, of(hashes, old), of(hashes, func(x *renewal) []byte { return x.body }))
	byHash = keep(hashes, records, err)
	return byStamp, byHash, errors.Join(errs...)
}

// kept keeps a new record that verifies.
func (l *Log) kept(x *renewal, record []byte) error {
	list, err := ers.Verify(record, x.body, ers.Options{})
	if err != nil && !errors.Is(err, ers.ErrUntrusted) {
		return fmt.Errorf("evidence: renewal of %s: %w", x.what, err)
	}
	last := list[len(list)-1]
	return x.keep(record, l.renewAt(last.Digest, last.Expires))
}

// keepRenewed keeps a record unless a longer one is there, as another process
// may renew, too; nil keeps what is there and changes the date only.
func (l *Log) keepRenewed(ctx context.Context, id string, record []byte, due time.Time) error {
	return storage.Update(ctx, l.store, func(tx *storage.Tx) error {
		rec, ok, err := anchored.Get(tx, storage.Deployment, id)
		if err != nil || !ok || len(rec.Renewed) >= len(record) && record != nil {
			return err
		}
		if record != nil {
			rec.Renewed = record
		}
		rec.Due = due
		return anchored.Put(tx, storage.Deployment, id, rec.summed())
	})
}

func ersPath(size uint64, name string) string { return fmt.Sprintf("ers/%d-%s.er", size, name) }
