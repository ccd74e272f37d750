package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/internal/tsp"
	"github.com/countersign/countersign/storage"
)

// A Checkpoint is a signed statement of the log: its size, and the root that
// fixes every event in it.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   []byte // SHA-256 Merkle tree hash (RFC 6962)
	Note   []byte // the signed note (C2SP tlog-checkpoint)
}

// An AnchorReceipt is what an anchor answered.
type AnchorReceipt struct {
	Anchor string `json:"anchor"` // name of the anchor
	Kind   string `json:"kind"`   // "tsr": an RFC 3161 token; "json": anything else
	Final  bool   `json:"final"`  // false: Upgrade may make more of it
	Data   []byte `json:"data"`
}

// An Attestation is what a receipt proves of a checkpoint.
type Attestation struct {
	Anchor   string
	Time     time.Time     // the checkpoint existed then
	Accuracy time.Duration // within so much
	Until    time.Time     // end of the certificate that proves it; zero: none
}

// An Anchor binds checkpoints to somebody outside. Most hosts use [TSA].
//
// Submit sends one checkpoint; it is repeated after a failure, so it must be
// harmless to repeat. Upgrade turns a pending receipt final, or returns it
// unchanged. Verify is pure and offline: it never trusts what the receipt
// itself brings along, only what the options say. Name is 1 to 32 characters
// of a-z, 0-9 and -; it stands in stored records and bundles and never changes.
type Anchor interface {
	Name() string
	Submit(ctx context.Context, cp Checkpoint) (AnchorReceipt, error)
	Upgrade(ctx context.Context, r AnchorReceipt) (AnchorReceipt, error)
	Verify(cp Checkpoint, r AnchorReceipt, o *VerifyOptions) (Attestation, error)
}

func validAnchorName(s string) bool {
	if len(s) == 0 || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// ErrUntrusted is a receipt that is right in itself, by a key or root that the
// options do not trust. Verify returns it with the Attestation it would be.
var ErrUntrusted = coded.New("anchor_untrusted", "evidence: anchor not trusted")

// A Timestamper asks an RFC 3161 authority for a token over a digest, named
// "SHA-256", or "SHA-512" where evidence records are renewed under it. It is the
// shape of the client of esign/pades.
type Timestamper interface {
	Timestamp(ctx context.Context, digest string, sum []byte) ([]byte, error)
}

// TSA anchors checkpoints by RFC 3161 timestamps over the body of the
// checkpoint, its last newline included.
type TSA struct {
	Label  string      // name of the anchor; empty is "tsa"
	Client Timestamper // Required to submit
}

var _ Anchor = TSA{}

const (
	kindToken = "tsr"
	kindJSON  = "json"
	maxToken  = 256 << 10
)

// Name implements [Anchor].
func (t TSA) Name() string {
	if t.Label == "" {
		return "tsa"
	}
	return t.Label
}

// Submit implements [Anchor].
func (t TSA) Submit(ctx context.Context, cp Checkpoint) (AnchorReceipt, error) {
	if t.Client == nil {
		return AnchorReceipt{}, errors.New("evidence: tsa: no client")
	}
	sum := sha256.Sum256(cp.body())
	token, err := t.Client.Timestamp(ctx, "SHA-256", sum[:])
	if err != nil {
		return AnchorReceipt{}, fmt.Errorf("evidence: tsa: %w", err)
	}
	if len(token) > maxToken {
		return AnchorReceipt{}, fmt.Errorf("evidence: tsa: token of %d bytes", len(token))
	}
	return AnchorReceipt{Anchor: t.Name(), Kind: kindToken, Final: true, Data: token}, nil
}

// Upgrade implements [Anchor]; a token is final.
func (t TSA) Upgrade(_ context.Context, r AnchorReceipt) (AnchorReceipt, error) { return r, nil }

// Verify implements [Anchor].
func (t TSA) Verify(cp Checkpoint, r AnchorReceipt, o *VerifyOptions) (Attestation, error) {
	if r.Kind != kindToken || r.Anchor != t.Name() {
		return Attestation{}, errors.New("evidence: tsa: not a token of this anchor")
	}
	return verifyToken(cp, r, o)
}

// verifyToken holds a token against the checkpoint and the trusted roots.
func verifyToken(cp Checkpoint, r AnchorReceipt, o *VerifyOptions) (Attestation, error) {
	if len(r.Data) > maxToken {
		return Attestation{}, errors.New("evidence: tsa: token too large")
	}
	sum := sha256.Sum256(cp.body())
	want := tsp.VerifyOptions{Digest: "SHA-256", Sum: sum[:]}
	if o != nil && o.Keys != nil {
		want.Roots = o.Keys.TSA
	}
	token, err := tsp.Verify(r.Data, want)
	untrusted := error(nil)
	var e *tsp.Error
	switch {
	case err == nil && len(want.Roots) == 0:
		untrusted = ErrUntrusted
	case errors.As(err, &e) && e.Code == tsp.CodeChain: // the last check there is: all else is right
		untrusted = fmt.Errorf("%w: %w", ErrUntrusted, err)
		want.Roots = nil
		token, err = tsp.Verify(r.Data, want)
	}
	if err != nil {
		return Attestation{}, fmt.Errorf("evidence: tsa: %w", err)
	}
	a := Attestation{Anchor: r.Anchor, Time: token.Time, Accuracy: token.Accuracy, Until: token.Certificate.NotAfter}
	if a.Accuracy == 0 {
		a.Accuracy = time.Second // genTime may be cut to seconds (RFC 3161 §2.4.2)
	}
	return a, untrusted
}

// newestRecord names the newest accepted timestamp token, and the newest
// checkpoint that any anchor accepted.
type newestRecord struct {
	Token    storage.Hex `json:"token,omitempty"`
	Size     uint64      `json:"size,omitempty"`
	Anchored uint64      `json:"anchored"`
	At       time.Time   `json:"at"`
	Offset   int64       `json:"offset,omitempty"` // of the log's clock to that of Token, in milliseconds
}

var newest = storage.Kind[newestRecord]{Name: "evidence.newest", Schema: 1}

const newestID = "token"

func newestToken(tx *storage.Tx) (Before, error) {
	n, _, err := newest.Peek(tx, storage.Deployment, newestID)
	if err != nil || len(n.Token) == 0 {
		return Before{}, err
	}
	return Before{Token: n.Token, Size: n.Size}, nil
}

// anchorRecord is a checkpoint with what an anchor answered. It is kept for
// good: bundles are made of it.
type anchorRecord struct {
	Size    uint64        `json:"size"`
	Root    storage.Hex   `json:"root"`
	Note    string        `json:"note"`
	Receipt AnchorReceipt `json:"receipt"`
	Sum     storage.Hex   `json:"sum,omitempty"` // SHA-256 of the record without it; of Receipt.Data in old records
	At      time.Time     `json:"at"`
	Renewed []byte        `json:"ers,omitempty"` // evidence record (RFC 4998) over the checkpoint's body
	Due     time.Time     `json:"due,omitzero"`  // when to ask for the final form, or to renew
}

var anchored = storage.Kind[anchorRecord]{Name: "evidence.anchor", Schema: 1, Due: func(r anchorRecord) time.Time { return r.Due }}

// whole reports whether a record, found under an id, is what was kept. The id
// has the anchor's name.
func (r anchorRecord) whole(id string) bool {
	return id == anchorID(r.Size, r.Receipt.Anchor) && (len(r.Sum) == 0 || bytes.Equal(r.Sum, r.sum()) || bytes.Equal(r.Sum, hashOf(r.Receipt.Data)))
}

// sum is over all of the record, as not every byte of a token is signed, and of
// the rest none.
func (r anchorRecord) sum() storage.Hex {
	r.Sum = nil
	b, err := anchored.Encode(r)
	if err != nil { // a record of strings, numbers and times
		panic("evidence: " + err.Error())
	}
	return hashOf(b)
}

func (r anchorRecord) summed() anchorRecord {
	r.Sum = r.sum()
	return r
}

func anchorID(size uint64, name string) string { return fmt.Sprintf("%016x-%s", size, name) }

// Anchor renews the evidence records that are due and asks for the final form of
// receipts that were pending. Then it submits the newest checkpoint to the first
// anchor that accepts it, if the tree has grown since the last one that was anchored,
// and reports whether it did. A failing anchor never blocks anything else; the next
// call tries again. [Log.Run] calls it.
func (l *Log) Anchor(ctx context.Context) (bool, error) {
	if len(l.anchors) == 0 {
		return false, nil
	}
	pending := l.upgrade(ctx)
	cp, err := l.Checkpoint(ctx)
	if err != nil || cp.Size == 0 {
		return false, errors.Join(pending, err)
	}
	last, err := l.newestAnchor(ctx)
	if err != nil || last.Anchored >= cp.Size {
		return false, errors.Join(pending, err)
	}
	errs := []error{pending}
	for _, a := range l.anchors {
		r, err := a.Submit(ctx, cp)
		if err == nil {
			r.Anchor = a.Name()
			if r.Kind != kindToken && r.Kind != kindJSON {
				err = fmt.Errorf("evidence: anchor %s: unknown kind of receipt", a.Name())
			} else if _, verr := a.Verify(cp, r, nil); verr != nil && !errors.Is(verr, ErrUntrusted) {
				err = verr // an answer that proves nothing is no answer
			}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return true, errors.Join(pending, l.keepAnchor(ctx, cp, r))
	}
	return false, errors.Join(errs...)
}

func (l *Log) keepAnchor(ctx context.Context, cp Checkpoint, r AnchorReceipt) error {
	var until, stamped time.Time
	if r.Kind == kindToken {
		a, _ := verifyToken(cp, r, nil) // it was verified before
		until, stamped = a.Until, a.Time
	}
	return storage.Update(ctx, l.store, func(tx *storage.Tx) error {
		now := tx.Now(l.now)
		n, _, err := newest.Get(tx, storage.Deployment, newestID)
		if err != nil {
			return err
		}
		_, had, err := anchored.Get(tx, storage.Deployment, anchorID(cp.Size, r.Anchor))
		if err != nil || had { // another process anchored the same checkpoint
			return err
		}
		rec := anchorRecord{Size: cp.Size, Root: cp.Root, Note: string(cp.Note), Receipt: r, At: now}
		switch {
		case !r.Final:
			rec.Due = now.Add(anchorEvery)
		case r.Kind == kindToken && !until.IsZero():
			rec.Due = l.renewAt("SHA-256", until)
		}
		if err = anchored.Create(tx, storage.Deployment, anchorID(cp.Size, r.Anchor), rec.summed()); err != nil {
			return err
		}
		if cp.Size > n.Anchored {
			n.Anchored, n.At = cp.Size, now
		}
		if r.Kind == kindToken && cp.Size > n.Size {
			n.Token, n.Size, n.Offset = hashOf(r.Data), cp.Size, now.Sub(stamped).Milliseconds()
		}
		return newest.Put(tx, storage.Deployment, newestID, n)
	})
}

func (l *Log) newestAnchor(ctx context.Context) (newestRecord, error) {
	recs, err := l.store.Get(ctx, []storage.Key{newest.Key(storage.Deployment, newestID)})
	if err != nil {
		return newestRecord{}, fmt.Errorf("evidence: read anchors: %w", err)
	}
	if recs[0].Version == 0 {
		return newestRecord{}, nil
	}
	return newest.Decode(recs[0])
}
