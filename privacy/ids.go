package privacy

import (
	"encoding/hex"
	"time"

	"github.com/countersign/countersign/storage"
)

// MaxID bounds the ids of subjects, accounts, documents and envelopes, in bytes.
const MaxID = 64

func okID(s string) bool { return s != "" && s != storage.Deployment && len(s) <= MaxID }

// isDigest: a SHA-256 in its one form, so that equal ones are equal strings.
func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == s
}

// lastInstant is the last that a record holds.
var lastInstant = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)

func okInstant(t time.Time) bool { return t.UTC().Year() >= 0 && !t.After(lastInstant) }

// instant is t as stored, or the instant of the commit.
func instant(tx *storage.Tx, t time.Time, clock func() time.Time) time.Time {
	if t.IsZero() {
		t = tx.Now(clock)
	}
	return t.UTC().Truncate(time.Microsecond)
}
