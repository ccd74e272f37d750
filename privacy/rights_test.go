package privacy_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

func consent(id, scope string, act privacy.Act, p ...privacy.Purpose) privacy.Consent {
	return privacy.Consent{ID: id, Purposes: p, Scope: scope, Notice: "privacy", Version: "v1", Digest: strings.Repeat("a", 64), Act: act, Channel: "web"}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	give := func(c privacy.Consent) error {
		return f.update(func(tx *storage.Tx) error { return f.ConsentTx(f.ctx, tx, li, c) })
	}
	has := func(why privacy.Purpose, scope string, class privacy.Class) (err error) {
		verr := storage.View(f.ctx, f.mem, func(tx *storage.Tx) error { _, err = f.ConsentedTx(tx, li, why, scope, class); return nil })
		require.NoError(t, verr)
		return err
	}
	withdraw := func(id string) error {
		return f.update(func(tx *storage.Tx) error { return f.WithdrawTx(f.ctx, tx, li, id) })
	}
	require.ErrorIs(t, has(privacy.PurposeDelivery, "", privacy.ClassPersonal), privacy.ErrNoConsent)
	general := consent("c1", "", privacy.ActTick, privacy.PurposeDelivery, privacy.PurposeSigning)
	require.NoError(t, give(general))
	require.NoError(t, give(general), "idempotent")
	other := general
	other.Version = "v2"
	require.ErrorIs(t, give(other), privacy.ErrConflict)
	other = consent("c9", "", privacy.ActTick, privacy.PurposeDelivery)
	other.Digest = strings.Repeat("AB", 32)
	require.ErrorIs(t, give(other), privacy.ErrInvalid, "a digest has one form")
	require.NoError(t, has(privacy.PurposeDelivery, "", privacy.ClassPersonal))
	require.NoError(t, has(privacy.PurposeDelivery, "sms", privacy.ClassPersonal), "a general consent serves every scope")
	require.ErrorIs(t, has(privacy.PurposeIdentity, "", privacy.ClassPersonal), privacy.ErrNoConsent, "P13 another purpose")
	require.ErrorIs(t, has(privacy.PurposeSigning, "", privacy.ClassSensitive), privacy.ErrNoConsent, "T42 a tick is not explicit")
	require.NoError(t, give(consent("c2", "", privacy.ActConfirm, privacy.PurposeSigning)))
	require.NoError(t, has(privacy.PurposeSigning, "", privacy.ClassBiometric))

	t.Run("P22 the answer for a service overrides the general one", func(t *testing.T) {
		require.NoError(t, give(consent("c3", "sms", privacy.ActTick, privacy.PurposeDelivery)))
		require.NoError(t, withdraw("c3"))
		require.NoError(t, withdraw("c3"), "idempotent")
		assert.ErrorIs(t, has(privacy.PurposeDelivery, "sms", privacy.ClassPersonal), privacy.ErrNoConsent)
		assert.NoError(t, has(privacy.PurposeDelivery, "mail", privacy.ClassPersonal))
		require.NoError(t, give(consent("c4", "sms", privacy.ActTick, privacy.PurposeDelivery)))
		assert.NoError(t, has(privacy.PurposeDelivery, "sms", privacy.ClassPersonal))
	})
	assert.ErrorIs(t, withdraw("none"), privacy.ErrNotFound)
	assert.ErrorIs(t, give(consent("c5", "", privacy.ActTick, "marketing")), privacy.ErrPurpose)
	assert.ErrorIs(t, give(consent("c5", "", "nod", privacy.PurposeSigning)), privacy.ErrInvalid)
}

func TestT43Integrator(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	ctx := f.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "partner-api", Integrator: "partner"})
	read := func() error { _, err := f.Reveal(ctx, ref, privacy.PurposeSigning); return err }
	give := func(c privacy.Consent) {
		require.NoError(t, f.update(func(tx *storage.Tx) error { return f.ConsentTx(f.ctx, tx, li, c) }))
	}
	require.ErrorIs(t, read(), privacy.ErrNoConsent, "default deny")
	give(consent("c1", "", privacy.ActConfirm, privacy.PurposeSigning))
	require.ErrorIs(t, read(), privacy.ErrNoConsent, "a general consent names no third party")
	give(consent("c2", "partner", privacy.ActConfirm, privacy.PurposeDelivery))
	require.ErrorIs(t, read(), privacy.ErrNoConsent, "another purpose")
	give(consent("c3", "partner", privacy.ActConfirm, privacy.PurposeSigning))
	require.NoError(t, read())
	log := f.accesses(t, li)
	require.Len(t, log, 1)
	assert.Equal(t, "partner", log[0].To)
}

func TestT46Disclosure(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	try := func(d privacy.Disclosing) error {
		return f.update(func(tx *storage.Tx) error { return f.DiscloseTx(f.ctx, tx, li, d) })
	}
	ok := privacy.Disclosing{Recipient: "court-3", Fields: []privacy.Field{"name"}, Why: privacy.PurposeAuthority, Basis: privacy.BasisCourt, Document: strings.Repeat("b", 64)}
	require.NoError(t, try(ok))
	for name, c := range map[string]struct {
		f    func(*privacy.Disclosing)
		want error
	}{
		"P15 no basis":        {func(d *privacy.Disclosing) { d.Basis = "" }, privacy.ErrBasis},
		"P15 invented basis":  {func(d *privacy.Disclosing) { d.Basis = "curiosity" }, privacy.ErrBasis},
		"P14 without consent": {func(d *privacy.Disclosing) { d.Basis = privacy.BasisConsent }, privacy.ErrNoConsent},
		"P12 purpose":         {func(d *privacy.Disclosing) { d.Why = "marketing" }, privacy.ErrPurpose},
		"P04 nobody":          {func(d *privacy.Disclosing) { d.Recipient = "" }, privacy.ErrInvalid},
	} {
		d := ok
		c.f(&d)
		assert.ErrorIs(t, try(d), c.want, name)
	}
	log := f.accesses(t, li)
	require.Len(t, log, 1)
	assert.Equal(t, privacy.BasisCourt, log[0].Basis)
	assert.Equal(t, "court-3", log[0].To)
}

// P17: a person gets all of it, and it is on record that they did.
func TestP17ExportSubject(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345679"))))
	must(f.Put(f.ctx, privacy.Subject{Tenant: "acme", ID: "wu"}, "phone", must(privacy.NewPhone("13700000000"))))
	require.NoError(t, f.update(func(tx *storage.Tx) error {
		if _, err := f.CommitTx(tx, li, privacy.Context{Env: "nda-17", Seq: 1}, "name", must(privacy.NewName("李明"))); err != nil {
			return err
		}
		return f.ConsentTx(f.ctx, tx, li, consent("c1", "", privacy.ActTick, privacy.PurposeSigning))
	}))
	var b bytes.Buffer
	_, err := f.ExportSubject(t.Context(), li, &b)
	require.ErrorIs(t, err, privacy.ErrNoAccessor)
	r, err := f.ExportSubject(f.ctx, li, &b)
	require.NoError(t, err)
	assert.Equal(t, 2, r.Rows)
	var out struct {
		Values    []struct{ Field, Value string }
		Consents  []privacy.Consent
		Accesses  []privacy.Access
		Envelopes []string
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &out))
	assert.Len(t, out.Values, 2)
	assert.Equal(t, []string{"nda-17"}, out.Envelopes)
	assert.Len(t, out.Consents, 1)
	require.Len(t, out.Accesses, 1)
	assert.Equal(t, privacy.PurposeRights, out.Accesses[0].Why)
	assert.NotContains(t, b.String(), "13700000000")
	must(f.EraseSubject(f.ctx, li))
	_, err = f.ExportSubject(f.ctx, li, &b)
	assert.ErrorIs(t, err, privacy.ErrErased)
	assert.False(t, time.Time{}.After(r.At))
}

func TestP11Location(t *testing.T) {
	t.Parallel()
	here := must(privacy.NewLocation(31.2, 121.5))
	off := must(privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: new(storage.Mem)}))
	_, err := off.Put(t.Context(), li, "location", here)
	require.ErrorIs(t, err, privacy.ErrNoConsent, "not switched on")
	f := newFixture(t)
	put := func() error { _, err := f.Put(f.ctx, li, "location", here); return err }
	commit := func(seq uint64) error {
		return f.update(func(tx *storage.Tx) error {
			_, err := f.CommitTx(tx, li, privacy.Context{Env: "e", Seq: seq}, "location", here)
			return err
		})
	}
	require.ErrorIs(t, put(), privacy.ErrNoConsent)
	require.ErrorIs(t, commit(1), privacy.ErrNoConsent)
	give := func(c privacy.Consent) {
		require.NoError(t, f.update(func(tx *storage.Tx) error { return f.ConsentTx(f.ctx, tx, li, c) }))
	}
	give(consent("all", "", privacy.ActConfirm, privacy.PurposeSecurity))
	require.ErrorIs(t, put(), privacy.ErrNoConsent, "a general consent does not name it")
	give(consent("where", privacy.ScopeLocation, privacy.ActConfirm, privacy.PurposeSecurity))
	require.NoError(t, put())
	require.NoError(t, commit(1))
	require.NoError(t, f.update(func(tx *storage.Tx) error { return f.WithdrawTx(f.ctx, tx, li, "where") }))
	require.ErrorIs(t, commit(2), privacy.ErrNoConsent)
}

// P03: an organisation's contact is a subject like any other. P09: a consent
// says who handed the data in. T58: it keeps the version shown and its purposes.
func TestP03P09T58ConsentKeepsWhatWasShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org := privacy.Subject{Tenant: "acme", ID: "org-1"}
	must(f.Put(f.ctx, org, "contact", must(privacy.NewName("王小丽"))))
	c := consent("c1", "", privacy.ActConfirm, privacy.PurposeIdentity)
	c.Source = "hr"
	var got privacy.Consent
	require.NoError(t, f.update(func(tx *storage.Tx) (err error) {
		if err := f.ConsentTx(f.ctx, tx, org, c); err != nil {
			return err
		}
		got, err = f.ConsentedTx(tx, org, privacy.PurposeIdentity, "", privacy.ClassSensitive)
		return err
	}))
	c.At = f.now
	assert.Equal(t, c, got)
}

// T61: clear text needs a purpose and leaves the reader's role on record.
func TestT61ReadersAreOnRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	ctx := f.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "clerk", Role: "support"})
	must(f.Reveal(ctx, ref, privacy.PurposeDelivery))
	log := f.accesses(t, li)
	require.Len(t, log, 1)
	assert.Equal(t, privacy.Access{At: f.now, Subject: "li", Fields: []privacy.Field{"phone"}, Why: privacy.PurposeDelivery, Account: "clerk", Role: "support"}, log[0])
}
