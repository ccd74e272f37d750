package storagetest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// A scenario that may be repeated survives the failure of every write.
func Example() {
	key := storage.Key{Tenant: "acme", Kind: "example.order", ID: "1"}
	scenario := func(s storage.Store) error {
		return storage.Update(context.Background(), s, func(tx *storage.Tx) error {
			_, err := storage.Once(tx, key, "tea", func() (string, error) {
				stock := storage.Key{Tenant: "acme", Kind: "example.stock", ID: "tea"}
				return "ordered", tx.Put(stock, []byte("one less"), time.Time{})
			})
			return err
		})
	}
	count := storagetest.Count(new(storage.Mem))
	fmt.Println(scenario(count), count.Writes())
	for n := 1; n <= count.Writes(); n++ {
		s := new(storage.Mem)
		fmt.Println(scenario(storagetest.FailBefore(s, n)))
		fmt.Println(scenario(s)) // repeated
		s = new(storage.Mem)
		fmt.Println(scenario(storagetest.FailAfter(s, n))) // found its work done
	}
	// Output:
	// <nil> 1
	// storagetest: injected failure: not stored
	// <nil>
	// <nil>
}
