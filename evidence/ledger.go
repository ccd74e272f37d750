package evidence

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/storage"
)

// A LedgerEntry is what a judicial or consortium blockchain (司法链, 联盟链) says of
// a digest it was given.
type LedgerEntry struct {
	Number string      // the receipt's number (存证编号)
	Tx     string      // transaction hash
	Height uint64      // block; 0 while it is pending
	Time   time.Time   // of the block
	Digest storage.Hex // SHA-256 that was recorded
	Proof  string      // what the platform gives to check the rest by; may be empty
}

// A LedgerClient talks to a blockchain platform. Record is repeated after a
// failure, so recording one digest twice must be harmless. Find looks an entry
// up by its number.
type LedgerClient interface {
	Record(ctx context.Context, digest []byte) (LedgerEntry, error)
	Find(ctx context.Context, number string) (LedgerEntry, error)
}

// Ledger anchors the digest of a checkpoint's body on a blockchain platform. A
// receipt is data: whether it is true only the platform, or a check that the
// verifier trusts, can say. So a bundle with such anchors alone passes only
// under VerifyOptions.Anchors with a Ledger that has a Check.
type Ledger struct {
	Label  string       // name of the anchor. Required
	Client LedgerClient // Required to submit
	// Check decides offline whether an entry is true, by keys or headers of the
	// caller's own; nil trusts none.
	Check func(LedgerEntry) error
}

var _ Anchor = Ledger{}

// Name implements [Anchor].
func (a Ledger) Name() string { return a.Label }

// Submit implements [Anchor].
func (a Ledger) Submit(ctx context.Context, cp Checkpoint) (AnchorReceipt, error) {
	if a.Client == nil {
		return AnchorReceipt{}, errors.New("evidence: ledger: no client")
	}
	sum := sha256.Sum256(cp.body())
	e, err := a.Client.Record(ctx, sum[:])
	if err != nil {
		return AnchorReceipt{}, fmt.Errorf("evidence: ledger: %w", err)
	}
	return a.receipt(e)
}

// Upgrade implements [Anchor]: it asks for the block of a pending entry.
func (a Ledger) Upgrade(ctx context.Context, r AnchorReceipt) (AnchorReceipt, error) {
	e, err := parseLedgerEntry(r.Data)
	if err != nil || r.Final || a.Client == nil {
		return r, err
	}
	found, err := a.Client.Find(ctx, e.Number)
	if err != nil {
		return r, fmt.Errorf("evidence: ledger: %w", err)
	}
	return a.receipt(found)
}

// Verify implements [Anchor].
func (a Ledger) Verify(cp Checkpoint, r AnchorReceipt, _ *VerifyOptions) (Attestation, error) {
	e, err := parseLedgerEntry(r.Data)
	if err != nil {
		return Attestation{}, err
	}
	sum := sha256.Sum256(cp.body())
	if string(e.Digest) != string(sum[:]) {
		return Attestation{}, errors.New("evidence: ledger: another digest")
	}
	att := Attestation{Anchor: r.Anchor, Time: e.Time, Accuracy: time.Second}
	if e.Height == 0 || a.Check == nil {
		return att, ErrUntrusted
	}
	if err := a.Check(e); err != nil {
		return Attestation{}, fmt.Errorf("evidence: ledger: %w", err)
	}
	return att, nil
}

func (a Ledger) receipt(e LedgerEntry) (AnchorReceipt, error) {
	if e.Number == "" || len(e.Digest) != sha256.Size {
		return AnchorReceipt{}, errors.New("evidence: ledger: entry without number or digest")
	}
	o := map[string]any{"v": 1, "number": e.Number, "tx": e.Tx, "height": e.Height, "digest": e.Digest.String(), "proof": e.Proof}
	if !e.Time.IsZero() {
		o["time"] = e.Time.UTC().Truncate(time.Microsecond).Format(timeForm)
	}
	data, err := canon.Append(nil, o)
	if err != nil {
		return AnchorReceipt{}, fmt.Errorf("evidence: ledger: %w", err)
	}
	return AnchorReceipt{Anchor: a.Label, Kind: kindJSON, Final: e.Height > 0, Data: data}, nil
}

func parseLedgerEntry(data []byte) (LedgerEntry, error) {
	o, err := canon.ParseObject(data, maxToken)
	r := reader{o: o}
	e := LedgerEntry{Number: r.text("number"), Tx: r.text("tx"), Height: r.int("height"), Time: r.time("time"), Digest: r.hex("digest"), Proof: r.text("proof")}
	n := 6
	if !e.Time.IsZero() {
		n++
	}
	if err != nil || r.bad || r.int("v") != 1 || len(o) != n || e.Number == "" || len(e.Digest) != sha256.Size {
		return LedgerEntry{}, errors.New("evidence: ledger: not a receipt in its one form")
	}
	return e, nil
}

// upgrade renews evidence records and asks anchors for the final form of pending
// receipts, where they are due, and returns what failed; each is tried again.
func (l *Log) upgrade(ctx context.Context) error {
	keys, err := l.store.Due(ctx, anchored.Name, l.now(), renewBatch)
	if err != nil {
		return fmt.Errorf("evidence: pending anchors: %w", err)
	}
	errs := []error{l.renew(ctx, keys), l.renewManifests(ctx, renewBytes)}
	for _, k := range keys {
		recs, err := l.store.Get(ctx, []storage.Key{k})
		if err != nil {
			return fmt.Errorf("evidence: pending anchors: %w", err)
		}
		rec, err := anchored.Decode(recs[0])
		if err != nil || rec.Receipt.Final { // renew tells of the error
			continue
		}
		got := rec.Receipt
		for _, a := range l.anchors {
			if a.Name() != rec.Receipt.Anchor {
				continue
			}
			cp := Checkpoint{Origin: l.origin, Size: rec.Size, Root: rec.Root, Note: []byte(rec.Note)}
			next, err := a.Upgrade(ctx, rec.Receipt)
			if err == nil {
				next.Anchor = a.Name()
				_, err = a.Verify(cp, next, nil)
			}
			if err != nil && !errors.Is(err, ErrUntrusted) {
				errs = append(errs, err)
			} else {
				got = next
			}
		}
		err = storage.Update(ctx, l.store, func(tx *storage.Tx) error {
			now, ok, err := anchored.Get(tx, storage.Deployment, k.ID)
			if err != nil || !ok || now.Receipt.Final {
				return err
			}
			now.Receipt = got
			now.Due = tx.Now(l.now).Add(anchorEvery)
			if got.Final {
				now.Due = time.Time{}
			}
			return anchored.Put(tx, storage.Deployment, k.ID, now.summed())
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}
