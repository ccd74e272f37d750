package storage_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

func ExampleDump() {
	ctx, store := context.Background(), new(storage.Mem)
	key := storage.Key{Tenant: "acme", Kind: "example.note", ID: "1"}
	_ = storage.Update(ctx, store, func(tx *storage.Tx) error {
		return tx.Create(key, []byte(`{"text":"call back"}`), time.Time{})
	})
	_ = storage.Dump(ctx, store, os.Stdout, "acme", "example.note", nil)
	// Output:
	// {"tenant":"acme","kind":"example.note","id":"1","version":1,"data":{"text":"call back"}}
}

func TestDump(t *testing.T) {
	mem := new(storage.Mem)
	at := time.Date(2026, 3, 1, 8, 0, 0, 1000, time.UTC)
	require.NoError(t, storage.Update(t.Context(), mem, func(tx *storage.Tx) error {
		tx.Now(func() time.Time { return at })
		for id, data := range map[string]string{"a": `{"n":1}`, "b": "\x01known", "c": "\x02damaged", "d": "\x03unknown"} {
			if err := tx.Create(storage.Key{Tenant: "acme", Kind: "k", ID: "x/" + id}, []byte(data), at); err != nil {
				return err
			}
		}
		if err := tx.Create(storage.Key{Tenant: "acme", Kind: "k", ID: "y"}, nil, time.Time{}); err != nil {
			return err
		}
		_, err := tx.Append(storage.Key{Tenant: "acme", Kind: "k", ID: "x/a"}, []byte("\x01entry"))
		return err
	}))
	form := func(k storage.Key, entry bool, data []byte) ([]byte, error) {
		switch {
		case data[0] == 1 && entry:
			return []byte(`"an entry of ` + k.ID + `"`), nil
		case data[0] == 1:
			return []byte(`"known"`), nil
		case data[0] == 2:
			return nil, storage.ErrCorrupt
		}
		return nil, nil
	}
	var out bytes.Buffer
	require.NoError(t, storage.Dump(t.Context(), mem, &out, "acme", "k", &storage.DumpOptions{Prefix: "x/", Entries: true, Forms: []storage.Form{form}}))
	assert.Equal(t, `{"tenant":"acme","kind":"k","id":"x/a","version":1,"seq":1,"due":"2026-03-01T08:00:00.000001Z","data":{"n":1}}
{"tenant":"acme","kind":"k","id":"x/a","entry":1,"at":"2026-03-01T08:00:00.000001Z","data":"an entry of x/a"}
{"tenant":"acme","kind":"k","id":"x/b","version":1,"due":"2026-03-01T08:00:00.000001Z","data":"known"}
{"tenant":"acme","kind":"k","id":"x/c","version":1,"due":"2026-03-01T08:00:00.000001Z","bytes":"0264616d61676564","damage":"`+storage.ErrCorrupt.Error()+`"}
{"tenant":"acme","kind":"k","id":"x/d","version":1,"due":"2026-03-01T08:00:00.000001Z","bytes":"03756e6b6e6f776e"}
`, out.String())

	require.ErrorContains(t, storage.Dump(t.Context(), mem, full{}, "acme", "k", &storage.DumpOptions{Forms: []storage.Form{form}}), "disk full")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, storage.Dump(ctx, mem, new(bytes.Buffer), "acme", "k", nil), context.Canceled)
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }
