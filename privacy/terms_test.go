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

func TestTerms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	s := new(storage.Mem)
	terms := &privacy.Terms{Store: s, Now: func() time.Time { return now }}
	ctx := t.Context()
	digest := func(c string) string { return strings.Repeat(c, 64) }
	accepted := func(account, doc string) (a privacy.Acceptance, err error) {
		verr := storage.View(ctx, s, func(tx *storage.Tx) error { a, err = terms.AcceptedTx(tx, "acme", account, doc); return nil })
		require.NoError(t, verr)
		return a, err
	}
	use := func(account, doc string) (a privacy.Acceptance, err error) {
		err = storage.Update(ctx, s, func(tx *storage.Tx) error {
			var err error
			a, err = terms.UseTx(ctx, tx, "acme", account, doc, "app")
			return err
		})
		return a, err
	}
	publish := func(id, version, c string, weakest privacy.Act, reduces bool) {
		t.Helper()
		_, err := terms.Publish(ctx, privacy.Document{Tenant: "acme", ID: id, Version: version, Digest: digest(c), Weakest: weakest, Reduces: reduces})
		require.NoError(t, err)
	}
	_, err := accepted("li", "membership")
	require.NoError(t, err, "a document never published asks for nothing")

	t.Run("H01 T01 T35 T20 refused until the current version is accepted", func(t *testing.T) {
		publish("membership", "v1", "a", privacy.ActTick, false)
		_, err := accepted("li", "membership")
		require.ErrorIs(t, err, privacy.ErrNotAccepted)
		var e *privacy.NotAcceptedError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "v1", e.Version)
		_, err = terms.Accept(ctx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "membership", Act: privacy.ActPay})
		require.ErrorIs(t, err, privacy.ErrAct, "D19 weaker than the document takes")
		a, err := terms.Accept(ctx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "membership", Act: privacy.ActTick, Client: "web"})
		require.NoError(t, err)
		assert.Equal(t, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "membership", Version: "v1", Digest: digest("a"), Act: privacy.ActTick, Client: "web", At: now}, a)
		now = now.Add(time.Hour)
		again, err := terms.Accept(ctx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "membership", Act: privacy.ActConfirm})
		require.NoError(t, err)
		assert.Equal(t, a, again, "the first acceptance is the one kept")
		got, err := accepted("li", "membership")
		require.NoError(t, err)
		assert.Equal(t, a, got)
		_, err = accepted("wu", "membership")
		assert.ErrorIs(t, err, privacy.ErrNotAccepted)
		for account, want := range map[string]bool{"li": true, "wu": false} {
			require.NoError(t, storage.View(ctx, s, func(tx *storage.Tx) error {
				ever, err := terms.EverAcceptedTx(tx, "acme", account, "membership")
				assert.Equal(t, want, ever, account)
				return err
			}))
		}
	})
	t.Run("H03 P01 S01 the next use accepts a new version", func(t *testing.T) {
		publish("sms", "v1", "a", privacy.ActUse, false)
		a, err := use("li", "sms")
		require.NoError(t, err)
		assert.Equal(t, privacy.ActUse, a.Act)
		publish("sms", "v2", "b", privacy.ActUse, false)
		_, err = accepted("li", "sms")
		require.ErrorIs(t, err, privacy.ErrNotAccepted)
		require.NoError(t, storage.View(ctx, s, func(tx *storage.Tx) error {
			ever, err := terms.EverAcceptedTx(tx, "acme", "li", "sms")
			assert.True(t, ever, "of an earlier version")
			return err
		}))
		a, err = use("li", "sms")
		require.NoError(t, err)
		assert.Equal(t, "v2", a.Version)
	})
	t.Run("T75 S10 use is no explicit confirmation", func(t *testing.T) {
		publish("esign", "v1", "c", privacy.ActConfirm, false)
		_, err := use("li", "esign")
		require.ErrorIs(t, err, privacy.ErrNotAccepted)
		_, err = terms.Accept(ctx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "esign", Act: privacy.ActConfirm})
		require.NoError(t, err)
		_, err = use("li", "esign")
		require.NoError(t, err)
	})
	t.Run("P24 reduced rights need an act after publication", func(t *testing.T) {
		publish("privacy", "v2", "d", "", true)
		_, err := use("li", "privacy")
		require.ErrorIs(t, err, privacy.ErrNotAccepted)
		_, err = terms.Accept(ctx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "privacy", Act: privacy.ActTick, At: now.Add(-time.Minute)})
		require.ErrorIs(t, err, privacy.ErrAct)
		_, err = terms.Accept(ctx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "privacy", Act: privacy.ActTick, At: now.Add(time.Minute)})
		require.NoError(t, err)
	})
	t.Run("a version never changes", func(t *testing.T) {
		_, err := terms.Publish(ctx, privacy.Document{Tenant: "acme", ID: "sms", Version: "v1", Digest: digest("e"), Weakest: privacy.ActUse})
		require.ErrorIs(t, err, privacy.ErrConflict)
		publish("sms", "v1", "a", privacy.ActUse, false)
		a, err := accepted("li", "sms")
		require.NoError(t, err)
		assert.Equal(t, "v2", a.Version, "publishing an old version again changes nothing")
		_, err = terms.Accept(ctx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "sms", Digest: digest("f"), Act: privacy.ActTick})
		require.ErrorIs(t, err, privacy.ErrConflict)
		_, err = terms.Accept(ctx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "sms", Version: "v9", Act: privacy.ActTick})
		require.ErrorIs(t, err, privacy.ErrNotFound)
		_, err = terms.Accept(ctx, privacy.Acceptance{Tenant: "other", Account: "li", Document: "sms", Act: privacy.ActTick})
		require.ErrorIs(t, err, privacy.ErrNotFound, "T07")
		_, err = terms.Accept(ctx, privacy.Acceptance{Tenant: "acme", Account: "li", Document: "sms", Act: "nod"})
		require.ErrorIs(t, err, privacy.ErrAct)
	})
}
