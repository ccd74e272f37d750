package quota_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a frozen file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *updateGolden {
		require.NoError(t, os.WriteFile(name, got, 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}

// TestGolden_schema_1 freezes what release 1 stores and exports. Later releases
// must read both.
func TestGolden_schema_1(t *testing.T) {
	k := life(t, 2)
	var records bytes.Buffer
	for _, kind := range []string{"quota.acct", "quota.hold", "quota.lot", "quota.op", "quota.alert"} {
		for r, err := range storage.Scan(t.Context(), k.store, tenant, kind, "") {
			require.NoError(t, err)
			line, err := json.Marshal([]string{kind, r.Key.ID, hex.EncodeToString(r.Data)})
			require.NoError(t, err)
			records.Write(append(line, '\n'))
			for e, err := range storage.Replay(t.Context(), k.store, r.Key, 0) {
				require.NoError(t, err)
				line, err := json.Marshal([]string{"entry", r.Key.ID, hex.EncodeToString(e.Data)})
				require.NoError(t, err)
				records.Write(append(line, '\n'))
			}
		}
	}
	golden(t, "testdata/records_v1.jsonl", records.Bytes())
	var export bytes.Buffer
	require.NoError(t, k.Export(t.Context(), tenant, &export))
	golden(t, "testdata/export_v1.jsonl", export.Bytes())
}

// TestGolden_is_read opens the frozen records, in the compact form and as JSON,
// and works with them.
func TestGolden_is_read(t *testing.T) {
	for name, decode := range map[string]func(string) ([]byte, error){
		"testdata/records_v1.jsonl":      hex.DecodeString,
		"testdata/records_v1_json.jsonl": func(s string) ([]byte, error) { return []byte(s), nil },
	} {
		t.Run(name, func(t *testing.T) {
			store := new(storage.Mem)
			load(t, store, name, decode)
			k := newKit(t, quota.Config{Store: store})
			k.at = noon.Add(31 * time.Hour)
			k.verify()
			s, err := k.Release(t.Context(), quota.ReleaseRequest{Tenant: tenant, ID: "later", Hold: "env/2", Cause: quota.Revoked})
			require.NoError(t, err)
			assert.Equal(t, map[quota.SlotID]quota.LineState{"li": quota.Released}, states(s))
			k.verify()
		})
	}
	export, err := os.ReadFile("testdata/export_v1.jsonl")
	require.NoError(t, err)
	other := newKit(t, quota.Config{})
	require.NoError(t, other.Import(t.Context(), tenant, bytes.NewReader(export)))
}

// load puts frozen records into a store.
func load(t *testing.T, store storage.Store, name string, decode func(string) ([]byte, error)) {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, storage.Update(t.Context(), store, func(tx *storage.Tx) error {
		for line := range strings.Lines(string(data)) {
			var f [3]string
			if err := json.Unmarshal([]byte(line), &f); err != nil {
				return err
			}
			raw, err := decode(f[2])
			if err != nil {
				return err
			}
			if f[0] == "entry" {
				_, err = tx.Append(storage.Key{Tenant: tenant, Kind: "quota.acct", ID: f[1]}, raw)
			} else {
				err = tx.Create(storage.Key{Tenant: tenant, Kind: f[0], ID: f[1]}, raw, noon)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
}
