package integration_test

import (
	"testing"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

func TestStore(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		storagetest.TestStore(t, func(t *testing.T) storage.Store { return d.open(t, nil) })
	})
}

func TestBlobs(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		storagetest.TestBlobs(t, func(t *testing.T) storage.Blobs { return d.open(t, nil).Blobs() })
	})
}
