package membership_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/storage"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden files")

// TestGolden_schema_1 freezes what release 1 stores; later releases must read it.
func TestGolden_schema_1(t *testing.T) {
	const name = "testdata/records_v1.jsonl"
	k := newKit(t, nil)
	k.buy("o1", "li", "team")
	k.free("li", membership.FeatureApproval, membership.FreeTeam)
	_, err := k.GiveSeat(t.Context(), membership.SeatRequest{Tenant: tenant, ID: "s1", Team: "li", Account: "wang"})
	require.NoError(t, err)
	o, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o2", Payer: "li", Beneficiary: "wang", Item: "personal", Method: "wxpay", Channel: "ios", Client: "app"})
	require.NoError(t, err)
	_, err = k.MarkPaid(t.Context(), membership.PaidRequest{Tenant: tenant, Order: "o2", Payment: "p2", Amount: o.Price})
	require.NoError(t, err)
	_, err = k.BeginRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o2", Cause: membership.CauseUnused})
	require.NoError(t, err)

	var got bytes.Buffer
	for _, kind := range []string{"mem.member", "mem.order", "mem.orderby", "mem.item", "mem.pay", "mem.op"} {
		for r, err := range storage.Scan(t.Context(), k.store, tenant, kind, "") {
			require.NoError(t, err)
			line, err := json.Marshal([]string{kind, r.Key.ID, string(r.Data)})
			require.NoError(t, err)
			got.Write(append(line, '\n'))
		}
	}
	if *updateGolden {
		require.NoError(t, os.WriteFile(name, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, string(want), got.String())

	// The frozen records are read and worked with.
	fresh := newKit(t, nil)
	require.NoError(t, storage.Update(t.Context(), fresh.store, func(tx *storage.Tx) error {
		for line := range strings.Lines(string(want)) {
			var f [3]string
			if err := json.Unmarshal([]byte(line), &f); err != nil {
				return err
			}
			if err := tx.Create(storage.Key{Tenant: tenant, Kind: f[0], ID: f[1]}, []byte(f[2]), noon); err != nil {
				return err
			}
		}
		return nil
	}))
	assert.Equal(t, k.member("li"), fresh.member("li"))
	end, err := fresh.CancelRefund(t.Context(), membership.EndRefundRequest{Tenant: tenant, ID: "e1", Order: "o2"})
	require.NoError(t, err)
	assert.Equal(t, membership.Paid, end.State)
	_, err = fresh.AcceptGift(t.Context(), membership.GiftRequest{Tenant: tenant, Order: "o2", Account: "wang", Terms: o.Terms})
	require.NoError(t, err)
	fresh.free("wang", membership.FeatureOrdinary, membership.FreeMember)
}
