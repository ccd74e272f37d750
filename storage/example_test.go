package storage_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign/countersign/storage"
)

type account struct {
	Units int `json:"units"`
}

var accounts = storage.Kind[account]{Name: "example.account", Schema: 1}

var errInsufficient = errors.New("insufficient units")

// take is the shape of every mutation: a request with an id that the caller
// chose, whose answer is kept with what it did.
func take(ctx context.Context, s storage.Store, id, from string, units int) (left int, err error) {
	err = storage.Update(ctx, s, func(tx *storage.Tx) error {
		key := storage.Key{Tenant: "acme", Kind: "example.take", ID: id}
		left, err = storage.Once(tx, key, []any{from, units}, func() (int, error) {
			a, _, err := accounts.Get(tx, "acme", from)
			if err != nil {
				return 0, err
			}
			if a.Units < units {
				return 0, errInsufficient
			}
			a.Units -= units
			return a.Units, accounts.Put(tx, "acme", from, a)
		})
		return err
	})
	return left, err
}

func ExampleUpdate() {
	ctx, store := context.Background(), new(storage.Mem)
	err := storage.Update(ctx, store, func(tx *storage.Tx) error {
		return accounts.Create(tx, "acme", "li", account{Units: 5})
	})
	fmt.Println(err)
	fmt.Println(take(ctx, store, "take-1", "li", 3))
	fmt.Println(take(ctx, store, "take-1", "li", 3)) // repeated: the same answer, nothing taken
	fmt.Println(take(ctx, store, "take-2", "li", 3))
	// Output:
	// <nil>
	// 2 <nil>
	// 2 <nil>
	// 0 insufficient units
}

func ExampleJoinID() {
	id := storage.JoinID("acme/li", "sent", "7")
	parts, err := storage.SplitID(id)
	fmt.Println(id, len(parts), parts[0], err)
	// Output: acme%2Fli/sent/7 3 acme/li <nil>
}
