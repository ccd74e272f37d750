package privacy

import (
	"context"
	"errors"
	"time"

	"github.com/countersign/countersign/storage"
)

func okID(s string) bool { return s != "" && s != storage.Deployment && len(s) <= MaxID }

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

// run is storage.Update for functions with a result.
func run[T any](ctx context.Context, s storage.Store, fn func(*storage.Tx) (T, error)) (T, error) {
	var out T
	err := storage.Update(ctx, s, func(tx *storage.Tx) (err error) {
		out, err = fn(tx)
		return err
	})
	if err != nil {
		return *new(T), err
	}
	return out, nil
}
