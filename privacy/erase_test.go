package privacy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// T31 T32: a cancelled account cools off for seven days, then its profile and
// biometrics are gone by the date, swept or not, and its evidence waits for the
// clock.
func TestT31T32_Cancellation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.now = time.Date(2026, 1, 31, 7, 0, 0, 0, time.UTC) // 15:00 in Shanghai
	ref := must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	face := must(f.Put(f.ctx, li, "face", must(privacy.NewBiometric([]byte("the-face-of-li")))))
	at := privacy.Context{Env: "nda-17", Seq: 1}
	var c privacy.Commitment
	require.NoError(t, f.update(func(tx *storage.Tx) (err error) {
		if err := f.RetainTx(f.ctx, tx, li, f.now.AddDate(5, 0, 0)); err != nil {
			return err
		}
		c, err = f.CommitTx(tx, li, at, "phone", must(privacy.NewPhone("13812345678")))
		return err
	}))
	cancel := func() (r privacy.Receipt, err error) {
		err = f.update(func(tx *storage.Tx) error { r, err = f.CancelTx(f.ctx, tx, li); return err })
		return r, err
	}
	reopen := func() error { return f.update(func(tx *storage.Tx) error { return f.ReopenTx(f.ctx, tx, li) }) }
	require.ErrorIs(t, reopen(), privacy.ErrNotFound)
	r, err := cancel()
	require.NoError(t, err)
	assert.Equal(t, privacy.Restricted, r.State)
	assert.Equal(t, time.Date(2026, 2, 7, 16, 0, 0, 0, time.UTC), r.Until, "2026-02-08 00:00 in Shanghai")
	again, err := cancel()
	require.NoError(t, err)
	assert.Equal(t, r, again)
	due := func() []privacy.Subject { return must(f.Due(f.ctx, 10)) }
	both := f.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "a", Approver: "b"})
	_, err = f.Reveal(f.ctx, ref, privacy.PurposeDelivery)
	require.ErrorIs(t, err, privacy.ErrRestricted)

	f.now = r.Until.Add(-time.Microsecond)
	assert.Empty(t, due())
	must(f.Reveal(both, face, privacy.PurposeDispute))
	require.NoError(t, reopen(), "the person thought again")
	must(f.Reveal(f.ctx, ref, privacy.PurposeDelivery))
	r, err = cancel()
	require.NoError(t, err)

	f.now = r.Until
	require.ErrorIs(t, reopen(), privacy.ErrErased)
	for _, gone := range []privacy.Ref{ref, face} {
		_, err = f.Reveal(both, gone, privacy.PurposeDispute)
		require.ErrorIs(t, err, privacy.ErrErased, "without a sweep")
	}
	require.Equal(t, []privacy.Subject{li}, due())
	r, err = f.EraseSubject(f.ctx, li)
	require.NoError(t, err)
	assert.Equal(t, privacy.Restricted, r.State)
	assert.Equal(t, 2, r.Rows)
	assert.Empty(t, due(), "the rest is not due")
	require.NoError(t, storage.Update(both, f.mem, func(tx *storage.Tx) error {
		_, err := f.OpenTx(both, tx, "acme", at, c.K, []privacy.Field{"phone"}, privacy.PurposeAuthority)
		return err
	}))
	f.now = f.now.AddDate(6, 0, 0)
	require.Equal(t, []privacy.Subject{li}, due())
	r, err = f.EraseSubject(f.ctx, li)
	require.NoError(t, err)
	assert.Equal(t, privacy.Shredded, r.State)
	assert.Empty(t, due())
	did := []string{}
	for _, a := range f.accesses(t, li) {
		if a.Did != "" {
			did = append(did, a.Did)
		}
	}
	assert.Equal(t, []string{"cancel", "reopen", "cancel", "erase", "erase"}, did)
}

// P17: a correction is a new version with a receipt and an entry.
func TestP17_Correction(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	correct := func(field privacy.Field, phone string) (ref privacy.Ref, r privacy.Receipt, err error) {
		err = f.update(func(tx *storage.Tx) error {
			ref, r, err = f.CorrectTx(f.ctx, tx, li, field, must(privacy.NewPhone(phone)))
			return err
		})
		return ref, r, err
	}
	_, _, err := correct("phone", "13812345678")
	require.ErrorIs(t, err, privacy.ErrNotFound)
	old := must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	_, _, err = correct("mobile", "13812345679")
	require.ErrorIs(t, err, privacy.ErrNotFound)
	ref, r, err := correct("phone", "13812345679")
	require.NoError(t, err)
	assert.Equal(t, old.Version+1, ref.Version)
	assert.Equal(t, 1, r.Rows)
	again, r, err := correct("phone", "13812345679")
	require.NoError(t, err)
	assert.Equal(t, ref, again)
	assert.Zero(t, r.Rows)
	log := f.accesses(t, li)
	require.Len(t, log, 1)
	assert.Equal(t, privacy.Access{At: f.now, Subject: "li", Did: privacy.DidCorrect, Of: "phone", Why: privacy.PurposeRights, Account: "clerk"}, log[0])
}

// P09: a value keeps who handed it in, and the person learns of it.
func TestP09_Provenance(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	own := f.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "li"})
	must(f.Put(own, li, "email", must(privacy.NewEmail("li@example.com"))))
	var b bytes.Buffer
	must(f.ExportSubject(own, li, &b))
	var out struct {
		Values []struct{ Field, From string }
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &out))
	require.Len(t, out.Values, 2)
	assert.Equal(t, []struct{ Field, From string }{{"email", ""}, {"phone", "clerk"}}, out.Values)
}

// P16: biometrics go alone when their purpose is over.
func TestP16_BiometricsGoAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	phone := must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	face := must(f.Put(f.ctx, li, "face", must(privacy.NewBiometric([]byte("the-face-of-li")))))
	shred := func() error {
		return f.update(func(tx *storage.Tx) error { return f.ShredBiometricsTx(f.ctx, tx, li) })
	}
	require.NoError(t, f.update(func(tx *storage.Tx) error {
		return f.HoldTx(f.ctx, tx, li, privacy.Hold{ID: "h", By: "court", Basis: "order"})
	}))
	require.ErrorIs(t, shred(), privacy.ErrHeld)
	require.NoError(t, f.update(func(tx *storage.Tx) error { return f.UnholdTx(f.ctx, tx, li, "h") }))
	require.NoError(t, shred())
	require.NoError(t, shred(), "again")
	_, err := f.Reveal(f.ctx, face, privacy.PurposeIdentity)
	require.ErrorIs(t, err, privacy.ErrErased)
	must(f.Reveal(f.ctx, phone, privacy.PurposeDelivery))
	next := must(f.Put(f.ctx, li, "face2", must(privacy.NewBiometric([]byte("another")))))
	must(f.Reveal(f.ctx, next, privacy.PurposeIdentity))
	_, err = f.Reveal(f.ctx, face, privacy.PurposeIdentity)
	require.ErrorIs(t, err, privacy.ErrKey, "a new key opens nothing old")
}

// T47 T48: 90 natural days after the end everything is as before; from the day
// after, content needs a strong purpose and a second person.
func TestT47T48_ServiceEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	end := time.Date(2026, 1, 31, 7, 0, 0, 0, time.UTC)
	stop := func(at time.Time) error {
		return f.update(func(tx *storage.Tx) error { return f.EndServiceTx(f.ctx, tx, "acme", at) })
	}
	require.NoError(t, stop(end))
	require.NoError(t, stop(f.now), "the first end stands")
	state := func() (s privacy.ServiceEnd) {
		require.NoError(t, storage.View(f.ctx, f.mem, func(tx *storage.Tx) (err error) { s, err = f.ServiceTx(tx, "acme"); return err }))
		return s
	}
	masked := func() error {
		return storage.View(f.ctx, f.mem, func(tx *storage.Tx) error { _, err := f.MaskedTx(tx, ref); return err })
	}
	over := time.Date(2026, 5, 1, 16, 0, 0, 0, time.UTC) // 2026-05-02 00:00 +08:00
	f.now = over.Add(-time.Microsecond)
	assert.Equal(t, privacy.ServiceEnd{Ended: end, Until: privacy.Date{Year: 2026, Month: 5, Day: 1}}, state())
	must(f.Reveal(f.ctx, ref, privacy.PurposeDelivery))
	require.NoError(t, masked())
	f.now = over
	assert.True(t, state().Restricted)
	_, err := f.Reveal(f.ctx, ref, privacy.PurposeDelivery)
	require.ErrorIs(t, err, privacy.ErrRestricted)
	require.ErrorIs(t, masked(), privacy.ErrRestricted)
	must(f.Reveal(f.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "a", Approver: "b"}), ref, privacy.PurposeHolder))
	require.NoError(t, f.update(func(tx *storage.Tx) error { return f.ResumeServiceTx(f.ctx, tx, "acme") }))
	must(f.Reveal(f.ctx, ref, privacy.PurposeDelivery))
	require.ErrorIs(t, f.update(func(tx *storage.Tx) error { return f.EndServiceTx(f.ctx, tx, "_", end) }), privacy.ErrInvalid)
}

// P21: a refusal for age leaves a number and nothing else.
func TestP21_RefusalStoresACounterOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.now = time.Date(2026, 11, 20, 1, 0, 0, 0, time.UTC)
	before := len(everything(t, f.mem))
	born := privacy.Date{Year: 2008, Month: 11, Day: 20}
	require.ErrorIs(t, f.AdmitAge(f.ctx, "acme", born, privacy.AgePolicy{}), privacy.ErrMinor)
	require.NoError(t, f.AdmitAge(f.ctx, "acme", privacy.Date{Year: 2000, Month: 1, Day: 1}, privacy.AgePolicy{}))
	assert.Equal(t, 1, must(f.RefusedMinors(f.ctx, "acme", privacy.DateOf(f.now))))
	assert.Equal(t, before, len(everything(t, f.mem)))
	recs := must(f.mem.List(f.ctx, "acme", "privacy.minors", "", 10))
	require.Len(t, recs, 1)
	assert.NotContains(t, string(recs[0].Data), "2008")
	f.now = f.now.AddDate(0, 0, 1)
	require.NoError(t, f.AdmitAge(f.ctx, "acme", born, privacy.AgePolicy{}), "the day after the birthday")
}

// P21: what is found late goes at once, whatever the retention clock says.
func TestP21_FoundLateIsShredded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	require.NoError(t, f.update(func(tx *storage.Tx) error {
		if err := f.RetainTx(f.ctx, tx, li, f.now.AddDate(5, 0, 0)); err != nil {
			return err
		}
		if err := f.BeginEraseTx(f.ctx, tx, li, "request"); err != privacy.ErrRetained {
			return fmt.Errorf("a request waits: %w", err)
		}
		return f.BeginEraseTx(f.ctx, tx, li, privacy.ReasonMinor)
	}))
	assert.Equal(t, privacy.Shredded, must(f.EraseSubject(f.ctx, li)).State)
}

// H04 D12: a minor accepts only with a guardian on record, where the tenant's
// policy knows guardians.
func TestH04_D12_MinorsAcceptance(t *testing.T) {
	t.Parallel()
	s := new(storage.Mem)
	allowed := false
	terms := &privacy.Terms{Store: s, Guardians: func(tenant string) bool { return allowed && tenant == "acme" }}
	must(terms.Publish(t.Context(), privacy.Document{Tenant: "acme", ID: "membership", Version: "v1", Digest: strings.Repeat("a", 64)}))
	accept := func() error {
		_, err := terms.Accept(t.Context(), privacy.Acceptance{Tenant: "acme", Account: "kid", Document: "membership", Act: privacy.ActTick, Minor: true})
		return err
	}
	guard := func(by string) error {
		return storage.Update(t.Context(), s, func(tx *storage.Tx) error {
			return terms.GuardTx(t.Context(), tx, "acme", "kid", privacy.Guardian{By: by, Document: strings.Repeat("b", 64)})
		})
	}
	require.ErrorIs(t, accept(), privacy.ErrMinor)
	require.ErrorIs(t, guard("kid"), privacy.ErrInvalid, "nobody is the own guardian")
	require.NoError(t, guard("mother"))
	require.NoError(t, guard("mother"))
	require.ErrorIs(t, guard("uncle"), privacy.ErrConflict)
	require.ErrorIs(t, accept(), privacy.ErrMinor, "the policy knows no guardians")
	allowed = true
	require.NoError(t, accept())
}

// P24 T20 P22: a consent counts as its published notice says.
func TestP24_ConsentFollowsItsNotice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	terms := &privacy.Terms{Store: f.mem, Now: func() time.Time { return f.now }}
	give := func(c privacy.Consent) error {
		return f.update(func(tx *storage.Tx) error { return f.ConsentTx(f.ctx, tx, li, c) })
	}
	require.ErrorIs(t, give(consent("c0", "", privacy.ActUse, privacy.PurposeSigning)), privacy.ErrAct, "no notice takes use")
	publish := func(version string, weakest privacy.Act, reduces bool) {
		must(terms.Publish(f.ctx, privacy.Document{Tenant: "acme", ID: "privacy", Version: version, Digest: strings.Repeat("a", 64), Weakest: weakest, Reduces: reduces}))
	}
	publish("v1", privacy.ActUse, false)
	require.NoError(t, give(consent("c1", "", privacy.ActUse, privacy.PurposeSigning)))
	wrong := consent("c2", "", privacy.ActTick, privacy.PurposeSigning)
	wrong.Digest = strings.Repeat("b", 64)
	require.ErrorIs(t, give(wrong), privacy.ErrConflict, "another text was shown")
	publish("v2", privacy.ActTick, true)
	late := consent("c3", "", privacy.ActTick, privacy.PurposeSigning)
	late.Version, late.At = "v2", f.now.Add(-time.Second)
	require.ErrorIs(t, give(late), privacy.ErrAct, "from before its publication")
	late.At = f.now
	require.NoError(t, give(late))
	weak := consent("c4", "", privacy.ActPay, privacy.PurposeSigning)
	weak.Version = "v2"
	require.ErrorIs(t, give(weak), privacy.ErrAct)
}

// P14 P04: who the service cannot do without gets nothing without an agreement
// on confidentiality.
func TestP14_PartnersAreBound(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := privacy.Disclosing{Recipient: "gateway", Fields: []privacy.Field{"phone"}, Why: privacy.PurposeDelivery, Basis: privacy.BasisNeeded}
	give := func() error { return f.update(func(tx *storage.Tx) error { return f.DiscloseTx(f.ctx, tx, li, d) }) }
	require.ErrorIs(t, give(), privacy.ErrBasis)
	d.Document = "contract 17"
	require.ErrorIs(t, give(), privacy.ErrInvalid)
	d.Document = strings.Repeat("c", 64)
	require.NoError(t, give())
}
