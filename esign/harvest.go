package esign

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// A harvest is evidence of a check that its provider forgets soon: it is asked
// for, hashed and kept before that.
type harvest struct {
	Kind    identity.SubjectKind `json:"kind"`
	Subject string               `json:"subject"`
	From    time.Time            `json:"from"`
	By      time.Time            `json:"by"`
	Next    time.Time            `json:"next,omitzero"` // zero: it ended
	Tries   int                  `json:"tries,omitempty"`
	Alarms  int                  `json:"alarms,omitempty"`
	State   string               `json:"state,omitempty"` // "kept", "missed"; empty: under way
}

var harvests = storage.Kind[harvest]{Name: "esign.harvest", Schema: 1, Due: func(h harvest) time.Time { return h.Next }}

// mark is the instant of the next alarm: at 50 and 90 % of the window, then its
// end.
func (h harvest) mark() time.Time {
	window := h.By.Sub(h.From)
	switch h.Alarms {
	case 0:
		return h.From.Add(window / 2)
	case 1:
		return h.From.Add(window * 9 / 10)
	}
	return h.By
}

// queueHarvest asks for the evidence of a check that was answered, if its
// provider keeps any for a time.
func (g gate) queueHarvest(tx *storage.Tx, c checkRecord) error {
	f := c.Flow
	if f.Result == nil || f.Result.HarvestBy.IsZero() || !g.s.identity.Harvests(f.Provider) {
		return nil
	}
	now := tx.Now(g.s.now)
	return harvests.Put(tx, f.Subject.Tenant, f.Key, harvest{Kind: f.Kind, Subject: f.Subject.ID, From: now, By: f.Result.HarvestBy, Next: now})
}

// reap pulls what one check's provider kept, or takes note that it was missed.
func (s *Service) reap(ctx context.Context, k storage.Key) error {
	if err := s.vault.Unlock(ctx, k.Tenant); err != nil {
		return err
	}
	var h harvest
	var c checkRecord
	ready, late := false, false
	err := storage.Update(ctx, s.store, func(tx *storage.Tx) (err error) {
		ready, late = false, false
		now := tx.Now(s.now)
		var ok bool
		if h, ok, err = harvests.Get(tx, k.Tenant, k.ID); err != nil || !ok || h.Next.IsZero() || h.Next.After(now) {
			return err
		}
		if c, ok, err = checks.Get(tx, k.Tenant, k.ID); err != nil {
			return err
		}
		if !ok || !now.Before(h.By) {
			h.State, h.Next, late = "missed", time.Time{}, true
			if err := s.reaped(ctx, tx, k, h, c, "harvest.missed", map[string]any{"tries": h.Tries}); err != nil {
				return err
			}
			return harvests.Put(tx, k.Tenant, k.ID, h)
		}
		h.Next, h.Tries, ready = now.Add(jobLease), h.Tries+1, true
		return harvests.Put(tx, k.Tenant, k.ID, h)
	})
	switch {
	case errors.Is(err, storage.ErrCorrupt):
		return s.setAside(ctx, k, err)
	case late && err == nil:
		s.alarm(ctx, k.Tenant, "", "harvest.missed", "check", k.ID)
		return nil
	case err != nil || !ready:
		return err
	}
	got, err := s.identity.Harvest(ctx, c.Flow)
	if err == nil {
		err = s.keepHarvest(ctx, k, c, got)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	alarmed := false
	err = errors.Join(err, storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		alarmed = false
		now, ok, err := harvests.Get(tx, k.Tenant, k.ID)
		if err != nil || !ok || now.Next.IsZero() || now.Tries != h.Tries {
			return err
		}
		at := tx.Now(s.now)
		for now.Alarms < 2 && !at.Before(now.mark()) {
			now.Alarms, alarmed = now.Alarms+1, true
		}
		now.Next = at.Add(retryBase << min(now.Tries-1, 6))
		if m := now.mark(); now.Next.After(m) {
			now.Next = m
		}
		return harvests.Put(tx, k.Tenant, k.ID, now)
	}))
	if alarmed {
		s.alarm(ctx, k.Tenant, "", "harvest.late", "check", k.ID)
	}
	return err
}

// maxKept is the largest artifact that the vault takes; of larger ones the
// digest alone is kept.
const maxKept = 512 << 10

// keepHarvest seals what was pulled under the person's key for biometrics, the
// strictest there is, and puts its digests on the chain of the checks.
func (s *Service) keepHarvest(ctx context.Context, k storage.Key, c checkRecord, got []identity.Artifact) error {
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		h, ok, err := harvests.Get(tx, k.Tenant, k.ID)
		if err != nil || !ok || h.Next.IsZero() {
			return err
		}
		kept, digests := 0, []any{}
		for _, a := range got {
			sum := sha256.Sum256(a.Data)
			digests = append(digests, hex.EncodeToString(sum[:]))
			if len(a.Data) == 0 || len(a.Data) > maxKept {
				continue
			}
			v, err := privacy.NewBiometric(a.Data)
			if err != nil {
				return err
			}
			ref, err := s.vault.PutTx(ctx, tx, c.Flow.Subject, privacy.Field("harvest_"+hex.EncodeToString(sum[:12])), v)
			if errors.Is(err, privacy.ErrErased) || errors.Is(err, privacy.ErrRestricted) {
				continue // nothing more is kept of who asked to be forgotten
			}
			if err != nil {
				return err
			}
			_ = ref
			kept++
		}
		h.State, h.Next = "kept", time.Time{}
		if err := s.reaped(ctx, tx, k, h, c, "evidence.harvested", map[string]any{"artifacts": digests, "kept": kept}); err != nil {
			return err
		}
		return harvests.Put(tx, k.Tenant, k.ID, h)
	})
}

// reaped puts what came of a harvest on the chain of the subject's checks.
func (s *Service) reaped(ctx context.Context, tx *storage.Tx, k storage.Key, h harvest, c checkRecord, typ string, x map[string]any) error {
	x["check"], x["provider"] = k.ID, c.Flow.Provider
	_, err := s.evidence.AppendTx(ctx, tx, evidence.Draft{Tenant: k.Tenant, Env: storage.JoinID("identity", string(h.Kind), h.Subject),
		Type: typ, X: x, Actor: evidence.Actor{ID: "system", Role: string(WhoSystem)}})
	return err
}
