package quota_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// Whatever the ledger stores, in compact forms or not, can be read by people.
func TestFormShowsAllThatIsStored(t *testing.T) {
	mem := new(storage.Mem)
	l, err := quota.New(quota.Config{Store: mem})
	require.NoError(t, err)
	_, err = l.Grant(t.Context(), quota.GrantRequest{Tenant: "acme", ID: "lot", Account: "li", Unit: quota.UnitSign, Units: 2000, Term: quota.Term{Years: 1}})
	require.NoError(t, err)
	for i := range 600 { // past a checkpoint
		id := fmt.Sprint("hold-", i)
		_, err = l.Reserve(t.Context(), quota.ReserveRequest{Tenant: "acme", ID: quota.HoldID(id), Account: "li",
			Lines: []quota.LineRequest{{Slot: "1", Kind: quota.KindOrdinary, Channel: quota.WeChat}}})
		require.NoError(t, err)
		_, err = l.Capture(t.Context(), quota.CaptureRequest{Tenant: "acme", ID: "c-" + id, Hold: quota.HoldID(id), Slots: []quota.SlotID{"1"}})
		require.NoError(t, err)
	}
	lines := 0
	for _, kind := range []string{"quota.acct", "quota.hold", "quota.lot", "quota.ckpt", "quota.op"} {
		var out bytes.Buffer
		require.NoError(t, storage.Dump(t.Context(), mem, &out, "acme", kind, &storage.DumpOptions{Entries: true, Forms: []storage.Form{quota.Form}}))
		n := 0
		for in := bufio.NewScanner(&out); in.Scan(); n++ {
			var line struct {
				Kind  string          `json:"kind"`
				Entry uint64          `json:"entry"`
				Data  json.RawMessage `json:"data"`
			}
			require.NoError(t, json.Unmarshal(in.Bytes(), &line))
			require.Contains(t, string(line.Data), "{", in.Text())
			if n == 0 {
				assert.Zero(t, line.Entry)
			}
		}
		assert.Positive(t, n, kind)
		lines += n
	}
	assert.Greater(t, lines, 2400)

	_, err = quota.Form(storage.Key{Tenant: "acme", Kind: "quota.hold", ID: "x"}, false, []byte{0x81, 99})
	require.ErrorIs(t, err, storage.ErrCorrupt)
	text, err := quota.Form(storage.Key{Tenant: "acme", Kind: "other", ID: "x"}, false, []byte{1})
	require.NoError(t, err)
	assert.Nil(t, text)
}
