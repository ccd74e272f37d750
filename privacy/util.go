package privacy

import (
	"encoding/hex"
	"errors"
	"time"

	"github.com/countersign/countersign/storage"
)

func okID(s string) bool { return s != "" && s != storage.Deployment && len(s) <= MaxID }

// isDigest: a SHA-256 in hexadecimal.
func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

// instant is t as stored, or the instant of the commit.
func instant(tx *storage.Tx, t time.Time, clock func() time.Time) time.Time {
	if t.IsZero() {
		t = tx.Now(clock)
	}
	return t.UTC().Truncate(time.Microsecond)
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

func asNotAccepted(err error) (*NotAcceptedError, bool) {
	var e *NotAcceptedError
	ok := errors.As(err, &e)
	return e, ok
}
