package membership_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/quota"
)

// TestRace_M7_callbacks reports one payment from many callers, and others for
// the same order beside them: one settles it, once.
func TestRace_M7_callbacks_settle_once(t *testing.T) {
	k := newKit(t, nil)
	k.accept("li")
	_, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Item: "team"})
	require.NoError(t, err)
	var wg sync.WaitGroup
	results := make([]error, 24)
	for i := range results {
		wg.Go(func() {
			_, results[i] = k.MarkPaid(t.Context(), membership.PaidRequest{Tenant: tenant, Order: "o1", Payment: fmt.Sprintf("p%d", i%3), Amount: cny(99900)})
		})
	}
	wg.Wait()
	settled := map[int]int{}
	for i, err := range results {
		if err == nil {
			settled[i%3]++
			continue
		}
		require.ErrorIs(t, err, membership.ErrPaymentMismatch)
	}
	require.Len(t, settled, 1, "one payment won")
	for _, n := range settled {
		assert.Equal(t, 8, n, "and every report of it is a repeat")
	}
	b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "li"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(5), b.Of(quota.UnitSign).Spendable)
	assert.Len(t, k.member("li").Lanes[0].Segments, 1)
}
