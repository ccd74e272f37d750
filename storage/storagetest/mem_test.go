package storagetest_test

import (
	"testing"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

func TestMem(t *testing.T) {
	storagetest.TestStore(t, func(*testing.T) storage.Store { return new(storage.Mem) })
}

func TestMemBlobs(t *testing.T) {
	storagetest.TestBlobs(t, func(*testing.T) storage.Blobs { return new(storage.MemBlobs) })
}

func TestDirBlobs(t *testing.T) {
	storagetest.TestBlobs(t, func(t *testing.T) storage.Blobs {
		b, err := storage.OpenDirBlobs(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}
