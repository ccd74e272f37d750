package boltstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "countersign.db")
	key := storage.Key{Tenant: "acme", Kind: "example.note", ID: "1"}
	for run := range 2 {
		store, err := boltstore.Open(path, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		err = storage.Update(context.Background(), store, func(tx *storage.Tx) error {
			recs, err := tx.Get(key)
			if err != nil {
				return err
			}
			fmt.Printf("run %d finds version %d: %q\n", run, recs[0].Version, recs[0].Data)
			return tx.Put(key, []byte("kept"), time.Time{})
		})
		fmt.Println(err, store.Close())
	}
	// Output:
	// run 0 finds version 0: ""
	// <nil> <nil>
	// run 1 finds version 1: "kept"
	// <nil> <nil>
}
