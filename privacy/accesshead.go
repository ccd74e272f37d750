package privacy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/storage"
)

// An AccessHead is where an access log ends: a tenant has several, and each entry
// binds all before it. Whoever keeps heads elsewhere knows later whether a log was
// cut or written again; package evidence puts them on its chain with each heartbeat.
type AccessHead struct {
	Tenant string
	Stream string // which of the tenant's logs
	Seq    uint64 // number of entries
	Hash   string // SHA-256 of the last, in hexadecimal
}

// AccessHeads lists access logs of all tenants that grew since they were told by
// [Vault.ToldAccess] and wait since before an instant, the longest first.
func (v *Vault) AccessHeads(ctx context.Context, before time.Time, limit int) ([]AccessHead, error) {
	keys, err := v.store.Due(ctx, accessHeads.Name, before, limit)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	recs, err := v.store.Get(ctx, keys)
	if err != nil {
		return nil, err
	}
	var out []AccessHead
	for _, r := range recs {
		if r.Version == 0 {
			continue
		}
		h, err := accessHeads.Decode(r)
		if err != nil {
			return nil, err
		}
		out = append(out, AccessHead{Tenant: r.Key.Tenant, Stream: r.Key.ID, Seq: h.Seq, Hash: h.Hash})
	}
	return out, nil
}

// ToldAccess takes note that a head is kept elsewhere. A log that has grown since
// waits from now on, and one that is being written to waits on.
func (v *Vault) ToldAccess(ctx context.Context, h AccessHead) error {
	err := storage.Update(ctx, v.store, func(tx *storage.Tx) error {
		now, ok, err := accessHeads.Get(tx, h.Tenant, h.Stream)
		if err != nil || !ok || now.Told.IsZero() {
			return err
		}
		if now.Told = (time.Time{}); now.Seq != h.Seq {
			now.Told = tx.Now(v.now)
		}
		return accessHeads.Put(tx, h.Tenant, h.Stream, now)
	})
	if errors.Is(err, storage.ErrContended) {
		return nil
	}
	return err
}

// CheckAccess reports whether an access log still has what a head said of it (P07):
// [storage.ErrCorrupt] means that it was cut or that the entry is another now.
func (v *Vault) CheckAccess(ctx context.Context, h AccessHead) error {
	broken := fmt.Errorf("privacy: access log: %w", storage.ErrCorrupt)
	key := accessHeads.Key(h.Tenant, h.Stream)
	recs, err := v.store.Get(ctx, []storage.Key{key})
	if err != nil {
		return err
	}
	head := accessHead{}
	if recs[0].Version > 0 {
		if head, err = accessHeads.Decode(recs[0]); err != nil {
			return err
		}
	}
	if h.Seq == 0 || head.Seq < h.Seq {
		return broken
	}
	page, err := v.store.Entries(ctx, key, h.Seq-1, 1)
	if err != nil {
		return err
	}
	if len(page) != 1 || page[0].Seq != h.Seq {
		return broken
	}
	if sum := sha256.Sum256(page[0].Data); hex.EncodeToString(sum[:]) != h.Hash {
		return broken
	}
	return nil
}
