package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

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

func ExampleOnce() {
	ctx, store := context.Background(), new(storage.Mem)
	order := func(id, what string) (number int, err error) {
		err = storage.Update(ctx, store, func(tx *storage.Tx) error {
			key := storage.Key{Tenant: "acme", Kind: "example.order", ID: id}
			number, err = storage.Once(tx, key, what, func() (int, error) { return 1000 + len(id), nil })
			return err
		})
		return number, err
	}
	fmt.Println(order("a", "tea"))
	fmt.Println(order("a", "tea"))
	fmt.Println(order("a", "coffee"))
	// Output:
	// 1001 <nil>
	// 1001 <nil>
	// 0 storage: id was used for another request: example.order
}

func ExampleScan() {
	ctx, store := context.Background(), new(storage.Mem)
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	err := storage.Update(ctx, store, func(tx *storage.Tx) error {
		for i, title := range []string{"lease", "offer", "invoice"} { // an index: the newest first
			id := storage.JoinID("li", storage.NewestFirst(day.AddDate(0, 0, i)), title)
			if err := tx.Create(storage.Key{Tenant: "acme", Kind: "example.byowner", ID: id}, []byte(title), time.Time{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	for r, err := range storage.Scan(ctx, store, "acme", "example.byowner", storage.JoinPrefix("li")) {
		fmt.Println(string(r.Data), err)
	}
	// Output:
	// invoice <nil>
	// offer <nil>
	// lease <nil>
}

func ExampleGroup() {
	ctx, group := context.Background(), storage.Group(new(storage.Mem), nil)
	defer group.Close()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			err := storage.Update(ctx, group, func(tx *storage.Tx) error {
				a, _, err := accounts.Get(tx, "acme", "li")
				if err != nil {
					return err
				}
				a.Units++
				return accounts.Put(tx, "acme", "li", a)
			})
			if err != nil {
				fmt.Println(err)
			}
		})
	}
	wg.Wait()
	err := storage.View(ctx, group, func(tx *storage.Tx) error {
		a, _, err := accounts.Get(tx, "acme", "li")
		fmt.Println(a.Units)
		return err
	})
	fmt.Println(err)
	// Output:
	// 100
	// <nil>
}

func ExampleOpenSegments() {
	ctx, blobs := context.Background(), new(storage.MemBlobs)
	upload, err := storage.CreateSegment(ctx, blobs, "nda/0", strings.NewReader("the contract, "))
	if err != nil {
		fmt.Println(err)
	}
	signature, err := storage.CreateSegment(ctx, blobs, "nda/1", strings.NewReader("signed"))
	if err != nil {
		fmt.Println(err)
	}
	doc, err := storage.OpenSegments(ctx, blobs, storage.Segments{upload, signature})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer doc.Close()
	text, err := io.ReadAll(io.NewSectionReader(doc, 0, doc.Size()))
	fmt.Printf("%s %v\n", text, err)
	// Output: the contract, signed <nil>
}
