package membership_test

import (
	"expvar"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/storage/observe"
)

func TestDecisionsAreMeasured(t *testing.T) {
	vars := new(expvar.Map).Init()
	k := newKit(t, func(c *membership.Config) { c.Observer = observe.Expvar(vars) })
	k.accept("none")
	k.buy("o1", "personal", "personal")
	k.free("personal", membership.FeatureOrdinary, membership.FreeMember)
	_, err := k.Check(t.Context(), membership.CheckRequest{Tenant: tenant, Account: "personal", Feature: membership.FeatureOrdinary})
	require.NoError(t, err)
	k.denied("none", membership.FeatureApproval, membership.DeniedTeam)
	_, err = k.decide("none", membership.FeatureOrdinary)
	require.NoError(t, err)
	_, err = k.decide("none", "no such feature")
	require.ErrorIs(t, err, membership.ErrRequest)
	for name, want := range map[string]string{"free.member": "2", "denied.team_only": "1", "charged": "1"} {
		got := vars.Get("membership.decision." + name + ".count")
		require.NotNil(t, got, name)
		assert.Equal(t, want, got.String(), name)
	}
}
