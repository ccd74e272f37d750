package quota_test

import (
	"expvar"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/observe"
)

// kept keeps what it is told.
type kept struct {
	mu   sync.Mutex
	list []storage.Measure
}

func (k *kept) Observe(m storage.Measure) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, m)
}

func TestObserver_hears_units_and_refusals(t *testing.T) {
	o, vars := new(kept), new(expvar.Map)
	k := newKit(t, quota.Config{Observer: both{o, observe.Expvar(vars)}})
	ctx := t.Context()
	_, err := k.Grant(ctx, quota.GrantRequest{Tenant: tenant, ID: "a", Account: account, Unit: quota.UnitSign, Units: 3, Term: quota.Term{Years: 1}})
	require.NoError(t, err)
	hold := quota.ReserveRequest{Tenant: tenant, ID: "h", Account: account, Lines: []quota.LineRequest{
		{Slot: "1", Kind: quota.KindOrdinary, Channel: quota.WeChat}, {Slot: "2", Kind: quota.KindOrdinary, Channel: quota.SMS}, {Slot: "3", Kind: quota.KindOrdinary}}}
	_, err = k.Reserve(ctx, hold)
	require.NoError(t, err)
	hold.ID = "more"
	_, err = k.Reserve(ctx, hold)
	require.ErrorIs(t, err, quota.ErrInsufficient)
	_, err = k.Capture(ctx, quota.CaptureRequest{Tenant: tenant, ID: "c", Hold: "h", Slots: []quota.SlotID{"1"}})
	require.NoError(t, err)
	_, err = k.Release(ctx, quota.ReleaseRequest{Tenant: tenant, ID: "r", Hold: "h", Cause: quota.Revoked})
	require.NoError(t, err)
	_, _, err = k.ReserveMany(ctx, []quota.ReserveRequest{hold})
	require.NoError(t, err)
	got := map[string]int64{}
	for _, m := range o.list {
		name := m.Name
		for _, l := range m.Labels {
			assert.NotContains(t, []string{tenant, string(account), "h", "more", "a"}, l.Value, "no names")
			name += " " + l.Key + "=" + l.Value
		}
		got[name] += m.N
	}
	assert.Equal(t, map[string]int64{
		"quota.units entry=grant": 3, "quota.units entry=hold": 3, "quota.units entry=capture": 1,
		"quota.units entry=release": 1, "quota.units entry=forfeit": 1, "quota.refusal code=insufficient_units": 2,
	}, got)
	assert.Equal(t, "3", vars.Get("quota.units.hold.n").String())
	assert.Equal(t, "2", vars.Get("quota.refusal.insufficient_units.count").String())
}

type both [2]storage.Observer

func (b both) Observe(m storage.Measure) { b[0].Observe(m); b[1].Observe(m) }
