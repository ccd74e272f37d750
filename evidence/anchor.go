package evidence

import (
	"context"
	"time"

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

// newestRecord names the newest accepted timestamp token.
type newestRecord struct {
	Token storage.Hex `json:"token"`
	Size  uint64      `json:"size"`
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
