package privacy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// Instants that no record holds are bad input.
func TestInstants_beyondWhatARecordHolds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	terms := &privacy.Terms{Store: f.mem, Now: func() time.Time { return f.now }}
	digest := strings.Repeat("a", 64)
	must(terms.Publish(f.ctx, privacy.Document{Tenant: "acme", ID: "terms", Version: "v1", Digest: digest}))
	for _, far := range []time.Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		for name, call := range map[string]func(*storage.Tx) error{
			"consent": func(tx *storage.Tx) error {
				c := consent("c", "", privacy.ActTick, privacy.PurposeDelivery)
				c.At = far
				return f.ConsentTx(f.ctx, tx, li, c)
			},
			"hold": func(tx *storage.Tx) error {
				return f.HoldTx(f.ctx, tx, li, privacy.Hold{ID: "h", By: "court", Basis: "order", Until: far})
			},
			"end of service": func(tx *storage.Tx) error { return f.EndServiceTx(f.ctx, tx, "acme", far) },
			"guardian": func(tx *storage.Tx) error {
				return terms.GuardTx(f.ctx, tx, "acme", "kid", privacy.Guardian{By: "li", Document: digest, At: far})
			},
			"document": func(tx *storage.Tx) error {
				_, err := terms.PublishTx(f.ctx, tx, privacy.Document{Tenant: "acme", ID: "other", Version: "v1", Digest: digest, At: far})
				return err
			},
			"acceptance": func(tx *storage.Tx) error {
				_, err := terms.AcceptTx(f.ctx, tx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "terms", Act: privacy.ActTick, At: far})
				return err
			},
		} {
			assert.ErrorIs(t, f.update(call), privacy.ErrInvalid, name)
		}
	}
}

// A certificate without an end of its own (RFC 5280 §4.1.2.5) keeps what it needs for
// as long as can be said.
func TestRetain_D13_certificateWithoutEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	until, _ := privacy.Earliest([]privacy.Rule{privacy.RuleAuthentication},
		privacy.Facts{Certificates: []time.Time{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}})
	for range 2 {
		require.NoError(t, f.update(func(tx *storage.Tx) error { return f.RetainTx(f.ctx, tx, li, until) }))
	}
	r, err := f.EraseSubject(f.ctx, li)
	require.NoError(t, err)
	assert.Equal(t, privacy.Restricted, r.State)
	assert.Equal(t, 9999, r.Until.Year())
}

// The same version again answers the same, however fine its instant was.
func TestPublish_againWithAFinerInstant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	terms := &privacy.Terms{Store: f.mem}
	d := privacy.Document{Tenant: "acme", ID: "terms", Version: "v1", Digest: strings.Repeat("a", 64), At: f.now.Add(123)}
	first, err := terms.Publish(f.ctx, d)
	require.NoError(t, err)
	again, err := terms.Publish(f.ctx, d)
	require.NoError(t, err)
	assert.Equal(t, first, again)
	d.At = d.At.Add(time.Microsecond)
	_, err = terms.Publish(f.ctx, d)
	require.ErrorIs(t, err, privacy.ErrConflict)
}
