package privacy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

type fixture struct {
	*privacy.Vault
	mem *storage.Mem
	ctx context.Context
	now time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{mem: new(storage.Mem), now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	f.Vault = must(privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: f.mem, Now: func() time.Time { return f.now }, Locations: true}))
	require.NoError(t, f.Unlock(t.Context(), "acme"))
	f.ctx = f.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "clerk"})
	return f
}

func (f *fixture) update(fn func(*storage.Tx) error) error { return storage.Update(f.ctx, f.mem, fn) }

func (f *fixture) accesses(t *testing.T, s privacy.Subject) []privacy.Access {
	t.Helper()
	var out []privacy.Access
	for a, err := range f.Accesses(f.ctx, s) {
		require.NoError(t, err)
		out = append(out, a)
	}
	return out
}

// everything is all bytes a store holds.
func everything(t *testing.T, m storage.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, tenant := range []string{"acme", "other", "_"} {
		for _, kind := range []string{"privacy.tenant", "privacy.subject", "privacy.value", "privacy.seed", "privacy.alias", "privacy.env", "privacy.access"} {
			recs, err := m.List(t.Context(), tenant, kind, "", 1000)
			require.NoError(t, err)
			for _, r := range recs {
				fmt.Fprintf(&b, "%s %s\n", r.Key.ID, r.Data)
				es, err := m.Entries(t.Context(), r.Key, 0, 1000)
				require.NoError(t, err)
				for _, e := range es {
					b.Write(e.Data)
				}
			}
		}
	}
	return b.Bytes()
}

var li = privacy.Subject{Tenant: "acme", ID: "li"}

func TestVaultRoundTrip(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.Put(f.ctx, li, "location", must(privacy.NewLocation(31.2, 121.5)))
	require.ErrorIs(t, err, privacy.ErrNoConsent, "P11")
	require.NoError(t, f.update(func(tx *storage.Tx) error {
		return f.ConsentTx(f.ctx, tx, li, consent("where", privacy.ScopeLocation, privacy.ActConfirm, privacy.PurposeSecurity))
	}))
	n := 0
	for clear, v := range canaries() {
		ref, err := f.Put(f.ctx, li, v.Field(), v)
		require.NoError(t, err)
		again, err := f.Put(f.ctx, li, v.Field(), v)
		require.NoError(t, err)
		assert.Equal(t, ref, again, "the same value answers the same")
		got, err := f.Reveal(f.ctx, ref, privacy.PurposeSigning)
		require.NoError(t, err)
		n++
		assert.True(t, privacy.Equal(v, got))
		s, err := got.Reveal(t.Context(), privacy.PurposeSigning)
		require.NoError(t, err)
		assert.Equal(t, clear, s)
		_, err = got.Reveal(t.Context(), privacy.PurposeDelivery)
		require.ErrorIs(t, err, privacy.ErrPurpose, "granted for one purpose")
		hunt(t, "store", string(everything(t, f.mem)), clear)
	}
	log := f.accesses(t, li)
	require.Len(t, log, n)
	assert.Equal(t, privacy.PurposeSigning, log[0].Why)
	assert.Equal(t, "clerk", log[0].Account)

	t.Run("a corrected value is a new version", func(t *testing.T) {
		a, err := f.Put(f.ctx, li, "contact", must(privacy.NewPhone("13900000000")))
		require.NoError(t, err)
		b, err := f.Put(f.ctx, li, "contact", must(privacy.NewPhone("13900000001")))
		require.NoError(t, err)
		assert.Greater(t, b.Version, a.Version)
		old, err := f.Reveal(f.ctx, a, privacy.PurposeSigning)
		require.NoError(t, err)
		assert.Equal(t, "139****0000", old.Masked())
	})
	t.Run("P16 a value whose purpose is over is forgotten, and its Ref never means another", func(t *testing.T) {
		a := must(f.Put(f.ctx, li, "once", must(privacy.NewText("for one message"))))
		for range 2 {
			require.NoError(t, f.update(func(tx *storage.Tx) error { return f.ForgetTx(f.ctx, tx, a) }))
		}
		_, err := f.Reveal(f.ctx, a, privacy.PurposeDelivery)
		require.ErrorIs(t, err, privacy.ErrNotFound)
		b := must(f.Put(f.ctx, li, "once", must(privacy.NewText("for another"))))
		assert.NotEqual(t, a, b)
		_, err = f.Reveal(f.ctx, a, privacy.PurposeDelivery)
		require.ErrorIs(t, err, privacy.ErrNotFound)
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref, err := f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678")))
	require.NoError(t, err)
	other := f.As(t.Context(), privacy.Accessor{Tenant: "other", Account: "x"})
	require.NoError(t, f.Unlock(t.Context(), "other"))
	for name, c := range map[string]struct {
		ctx  context.Context
		ref  privacy.Ref
		why  privacy.Purpose
		want error
	}{
		"P12 undeclared purpose":        {f.ctx, ref, "marketing", privacy.ErrPurpose},
		"nobody reads":                  {t.Context(), ref, privacy.PurposeSigning, privacy.ErrNoAccessor},
		"insecure access to the vault":  {privacy.InsecureAccess(t.Context()), ref, privacy.PurposeSigning, privacy.ErrNoAccessor},
		"T07 accessor of other tenant":  {other, ref, privacy.PurposeSigning, privacy.ErrNotFound},
		"T07 ref moved to other tenant": {other, privacy.Ref{Tenant: "other", Subject: "li", Field: "phone", Version: 1}, privacy.PurposeSigning, privacy.ErrNotFound},
		"no such version":               {f.ctx, privacy.Ref{Tenant: "acme", Subject: "li", Field: "phone", Version: 2}, privacy.PurposeSigning, privacy.ErrNotFound},
		"no such subject":               {f.ctx, privacy.Ref{Tenant: "acme", Subject: "wu", Field: "phone", Version: 1}, privacy.PurposeSigning, privacy.ErrNotFound},
	} {
		v, err := f.Reveal(c.ctx, c.ref, c.why)
		assert.ErrorIs(t, err, c.want, name)
		assert.Nil(t, v, name)
	}
	assert.Empty(t, f.accesses(t, li))
	f.Lock("acme")
	err = f.update(func(tx *storage.Tx) error { _, err := f.RevealTx(f.ctx, tx, ref, privacy.PurposeSigning); return err })
	assert.ErrorIs(t, err, privacy.ErrLocked, "nothing within Update reaches for the root")
}

// P07: a failing access log returns nothing; a changed one is found.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	broken := must(privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: f.mem}))
	assert.ErrorIs(t, broken.Unlock(t.Context(), "acme"), privacy.ErrKey, "another root opens nothing")

	key := filepath.Join(t.TempDir(), "root.key")
	mem := new(storage.Mem)
	v := must(privacy.New(privacy.Config{Root: must(privacy.OpenFileKey(key)), Store: mem}))
	ctx := v.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "clerk"})
	ref := must(v.Put(ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	bad := must(privacy.New(privacy.Config{Root: must(privacy.OpenFileKey(key)), Store: storagetest.FailBefore(mem, 1)}))
	ctx = bad.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "clerk"})
	got, err := bad.Reveal(ctx, ref, privacy.PurposeSigning)
	require.Error(t, err)
	assert.Nil(t, got)
	p := must(privacy.NewPhone("13812345678"))
	bad2 := must(privacy.New(privacy.Config{Root: must(privacy.OpenFileKey(key)), Store: storagetest.FailBefore(mem, 1)}))
	s, err := p.Reveal(bad2.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "clerk"}), privacy.PurposeSigning)
	require.Error(t, err)
	assert.Empty(t, s)

	for range 3 {
		_, err := v.Reveal(v.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "clerk"}), ref, privacy.PurposeSigning)
		require.NoError(t, err)
	}
	for n, edit := range []func([]storage.Entry) []storage.Entry{
		func(l []storage.Entry) []storage.Entry {
			l[1].Data = bytes.Replace(l[1].Data, []byte("clerk"), []byte("clark"), 1)
			return l
		},
		func(l []storage.Entry) []storage.Entry { return l[:2] },
		func(l []storage.Entry) []storage.Entry { return append(l[:1], l[2:]...) },
	} {
		tampered := must(privacy.New(privacy.Config{Root: must(privacy.OpenFileKey(key)), Store: edited{mem, edit}}))
		var last error
		for _, err := range tampered.Accesses(t.Context(), li) {
			last = err
		}
		assert.ErrorIs(t, last, storage.ErrCorrupt, "edit %d", n)
	}
	fi, err := os.Stat(key)
	require.NoError(t, err)
	assert.Zero(t, fi.Mode().Perm()&0o077)
	require.NoError(t, os.Chmod(key, 0o644))
	_, err = privacy.OpenFileKey(key)
	assert.ErrorIs(t, err, privacy.ErrKey)
}

type edited struct {
	storage.Store
	f func([]storage.Entry) []storage.Entry
}

func (e edited) Entries(ctx context.Context, k storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	l, err := e.Store.Entries(ctx, k, 0, 1000)
	if l = e.f(l); after > uint64(len(l)) {
		return nil, err
	}
	return l[after:], err
}

// A value or seed moved to another row, subject or tenant does not open.
func TestSealedValuesDoNotMove(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	wu := privacy.Subject{Tenant: "acme", ID: "wu"}
	a := must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	b := must(f.Put(f.ctx, li, "contact", must(privacy.NewPhone("13912345678"))))
	c := must(f.Put(f.ctx, wu, "phone", must(privacy.NewPhone("13712345678"))))
	id := func(r privacy.Ref) storage.Key {
		return storage.Key{Tenant: r.Tenant, Kind: "privacy.value", ID: storage.JoinID(r.Subject, string(r.Field), fmt.Sprint(r.Version))}
	}
	for _, from := range []privacy.Ref{b, c} {
		require.NoError(t, f.update(func(tx *storage.Tx) error {
			recs, err := tx.Get(id(from))
			if err != nil {
				return err
			}
			return tx.Put(id(a), recs[0].Data, time.Time{})
		}))
		_, err := f.Reveal(f.ctx, a, privacy.PurposeSigning)
		assert.ErrorIs(t, err, privacy.ErrKey)
	}
}

func TestRootRotation(t *testing.T) {
	t.Parallel()
	mem := new(storage.Mem)
	oldRoot, newRoot := privacy.InsecureMemoryKey(), privacy.InsecureMemoryKey()
	v := must(privacy.New(privacy.Config{Root: oldRoot, Store: mem}))
	ctx := t.Context()
	ref := must(v.Put(ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	v = must(privacy.New(privacy.Config{Root: newRoot, Former: []privacy.KeyWrapper{oldRoot}, Store: mem}))
	require.NoError(t, v.Rewrap(ctx, "acme"))
	v = must(privacy.New(privacy.Config{Root: newRoot, Store: mem}))
	got, err := v.Reveal(v.As(ctx, privacy.Accessor{Tenant: "acme", Account: "a"}), ref, privacy.PurposeSigning)
	require.NoError(t, err)
	assert.Equal(t, "138****5678", got.Masked())
	v = must(privacy.New(privacy.Config{Root: oldRoot, Store: mem}))
	assert.ErrorIs(t, v.Unlock(ctx, "acme"), privacy.ErrKey)
	hunt(t, "key wrapper", fmt.Sprintf("%v %+v %#v %s %x", oldRoot, oldRoot, oldRoot, oldRoot, oldRoot), "key:")
}

func TestBlindIndex(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.Unlock(t.Context(), "other"))
	ix := func(tenant string, v privacy.Value) string { return string(must(f.BlindIndex(tenant, v))) }
	p := must(privacy.NewPhone("13812345678"))
	assert.Equal(t, ix("acme", p), ix("acme", must(privacy.NewPhone("+86 13812345678"))))
	assert.NotEqual(t, ix("acme", p), ix("other", p), "T07")
	assert.NotEqual(t, ix("acme", p), ix("acme", must(privacy.NewText("13812345678"))))
	plain := sha256.Sum256([]byte("13812345678"))
	assert.NotEqual(t, string(plain[:]), ix("acme", p))
	_, err := f.BlindIndex("locked", p)
	assert.ErrorIs(t, err, privacy.ErrLocked)
}

// T16: a commitment opens at its place, for its value, and nowhere else.
func TestT16Commitments(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := privacy.Context{Env: "nda-17", Seq: 3}
	p := must(privacy.NewPhone("13812345678"))
	var c, name privacy.Commitment
	require.NoError(t, f.update(func(tx *storage.Tx) (err error) {
		if name, err = f.CommitTx(tx, li, at, "name", must(privacy.NewName("李明"))); err != nil {
			return err
		}
		c, err = f.CommitTx(tx, li, at, "phone", p)
		return err
	}))
	assert.Equal(t, name.K, c.K)
	assert.Empty(t, f.accesses(t, li), "committing reveals nothing")
	err := f.update(func(tx *storage.Tx) error { _, err := f.CommitTx(tx, li, at, "phone", p); return err })
	require.ErrorIs(t, err, privacy.ErrConflict)

	open := func(at privacy.Context, k string, fields ...privacy.Field) ([]privacy.Opening, error) {
		var out []privacy.Opening
		err := f.update(func(tx *storage.Tx) (err error) {
			out, err = f.OpenTx(f.ctx, tx, "acme", at, k, fields, privacy.PurposeEvidence)
			return err
		})
		return out, err
	}
	list, err := open(at, c.K, "phone", "name")
	require.NoError(t, err)
	assert.Equal(t, "13812345678", list[0].Clear())
	assert.True(t, list[0].Opens(c.C, at))
	assert.True(t, list[1].Opens(name.C, at))
	assert.Len(t, f.accesses(t, li), 1)
	for what, ok := range map[string]bool{
		"another event":    list[0].Opens(c.C, privacy.Context{Env: "nda-17", Seq: 4}),
		"another envelope": list[0].Opens(c.C, privacy.Context{Env: "nda-18", Seq: 3}),
		"another field":    privacy.NewOpening("contact", list[0].Salt(), list[0].Clear()).Opens(c.C, at),
		"another value":    privacy.NewOpening("phone", list[0].Salt(), "13812345679").Opens(c.C, at),
		"another salt":     privacy.NewOpening("phone", list[1].Salt(), list[0].Clear()).Opens(c.C, at),
		"no salt":          privacy.NewOpening("phone", nil, list[0].Clear()).Opens(c.C, at),
	} {
		assert.False(t, ok, what)
	}
	_, err = open(privacy.Context{Env: "nda-17", Seq: 4}, c.K, "phone")
	assert.ErrorIs(t, err, privacy.ErrNotFound)
	_, err = open(at, "ffff", "phone")
	assert.ErrorIs(t, err, privacy.ErrNotFound)
	_, err = open(at, c.K, "email")
	assert.ErrorIs(t, err, privacy.ErrNotFound)

	var again privacy.Commitment
	require.NoError(t, f.update(func(tx *storage.Tx) (err error) {
		again, err = f.CommitTx(tx, li, privacy.Context{Env: "nda-17", Seq: 4}, "phone", p)
		return err
	}))
	assert.NotEqual(t, c.C, again.C, "equal values are not linkable by commitment")
	assert.Equal(t, c.K, again.K, "one alias in an envelope")
	other := must(f.Alias(li, "nda-18"))
	assert.NotEqual(t, c.K, other, "aliases of envelopes are unrelated")
}

// P17 D13 T48 T32: states, holds and erasure.
func TestErasure(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	phone := must(privacy.NewPhone("13812345678"))
	ref := must(f.Put(f.ctx, li, "phone", phone))
	at := privacy.Context{Env: "nda-17", Seq: 1}
	var c privacy.Commitment
	require.NoError(t, f.update(func(tx *storage.Tx) (err error) { c, err = f.CommitTx(tx, li, at, "phone", phone); return err }))
	var opened []privacy.Opening
	require.NoError(t, f.update(func(tx *storage.Tx) (err error) {
		opened, err = f.OpenTx(f.ctx, tx, "acme", at, c.K, []privacy.Field{"phone"}, privacy.PurposeEvidence)
		return err
	}))

	t.Run("T48 restricted needs a strong purpose and a second person", func(t *testing.T) {
		require.NoError(t, f.update(func(tx *storage.Tx) error { return f.RestrictTx(f.ctx, tx, li, "unpaid") }))
		read := func(a privacy.Accessor, why privacy.Purpose) error {
			a.Tenant = "acme"
			_, err := f.Reveal(f.As(t.Context(), a), ref, why)
			return err
		}
		assert.ErrorIs(t, read(privacy.Accessor{Account: "clerk", Approver: "boss"}, privacy.PurposeSigning), privacy.ErrRestricted)
		assert.ErrorIs(t, read(privacy.Accessor{Account: "clerk"}, privacy.PurposeAuthority), privacy.ErrRestricted)
		assert.ErrorIs(t, read(privacy.Accessor{Account: "clerk", Approver: "clerk"}, privacy.PurposeAuthority), privacy.ErrRestricted)
		assert.NoError(t, read(privacy.Accessor{Account: "clerk", Approver: "boss"}, privacy.PurposeAuthority))
		_, err := f.Put(f.ctx, li, "email", must(privacy.NewEmail("a@x.com")))
		assert.ErrorIs(t, err, privacy.ErrRestricted)
	})
	t.Run("a hold stops shredding only", func(t *testing.T) {
		h := privacy.Hold{ID: "case-1", By: "court", Basis: "order 7", Until: f.now.Add(time.Hour)}
		require.NoError(t, f.update(func(tx *storage.Tx) error { return f.HoldTx(f.ctx, tx, li, h) }))
		_, err := f.EraseSubject(f.ctx, li)
		require.ErrorIs(t, err, privacy.ErrHeld)
		assert.ErrorIs(t, f.update(func(tx *storage.Tx) error { return f.BeginEraseTx(f.ctx, tx, li, "x") }), privacy.ErrHeld)
		require.NoError(t, f.update(func(tx *storage.Tx) error { return f.UnholdTx(f.ctx, tx, li, "case-1") }))
	})
	t.Run("D13 retention turns erasure into a date", func(t *testing.T) {
		until := f.now.AddDate(5, 0, 0)
		require.NoError(t, f.update(func(tx *storage.Tx) error { return f.RetainTx(f.ctx, tx, li, until) }))
		r, err := f.EraseSubject(f.ctx, li)
		require.NoError(t, err)
		assert.Equal(t, privacy.Restricted, r.State)
		assert.Equal(t, until, r.Until)
		assert.Equal(t, 1, r.Rows, "the contact goes at once")
		assert.Equal(t, r.At.AddDate(0, 0, 30), r.Backups)
		hunt(t, "store", string(everything(t, f.mem)), "13812345678")
		both := f.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "a", Approver: "b"})
		_, err = f.Reveal(both, ref, privacy.PurposeAuthority)
		assert.ErrorIs(t, err, privacy.ErrErased)
		open := func(ctx context.Context, why privacy.Purpose) (o []privacy.Opening, err error) {
			err = storage.Update(ctx, f.mem, func(tx *storage.Tx) error {
				o, err = f.OpenTx(ctx, tx, "acme", at, c.K, []privacy.Field{"phone"}, why)
				return err
			})
			return o, err
		}
		_, err = open(f.ctx, privacy.PurposeEvidence)
		assert.ErrorIs(t, err, privacy.ErrRestricted)
		kept, err := open(both, privacy.PurposeHolder)
		require.NoError(t, err, "T49 the certificate holder is answered")
		assert.True(t, kept[0].Opens(c.C, at))
		again, err := f.EraseSubject(f.ctx, li)
		require.NoError(t, err)
		r.Rows = 0
		assert.Equal(t, r, again)
		f.now = until
		_, err = open(both, privacy.PurposeHolder)
		assert.ErrorIs(t, err, privacy.ErrErased, "whether or not a sweep ran")
		due, err := f.Due(f.ctx, 10)
		require.NoError(t, err)
		assert.Equal(t, []privacy.Subject{li}, due)
	})
	t.Run("shredded for good", func(t *testing.T) {
		r, err := f.EraseSubject(f.ctx, li)
		require.NoError(t, err)
		assert.Equal(t, privacy.Shredded, r.State)
		assert.Equal(t, 1, r.Rows, "what events committed to")
		assert.Equal(t, r.At.AddDate(0, 0, 30), r.Backups)
		again, err := f.EraseSubject(f.ctx, li)
		require.NoError(t, err)
		assert.Equal(t, r.At, again.At)
		_, err = f.Reveal(f.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "a", Approver: "b"}), ref, privacy.PurposeAuthority)
		assert.ErrorIs(t, err, privacy.ErrErased)
		_, err = f.Put(f.ctx, li, "phone", phone)
		assert.ErrorIs(t, err, privacy.ErrErased)
		err = f.update(func(tx *storage.Tx) error {
			_, err := f.CommitTx(tx, li, privacy.Context{Env: "e", Seq: 2}, "phone", phone)
			return err
		})
		assert.ErrorIs(t, err, privacy.ErrErased)
		all := string(everything(t, f.mem))
		assert.NotContains(t, all, `"dek"`)
		assert.NotContains(t, all, `"ev"`)
		assert.NotContains(t, all, "li/nda-17")
		hunt(t, "store", all, "13812345678")
		assert.True(t, opened[0].Opens(c.C, at), "what was proved stays proved")
	})
}

// Rows of a shredded subject stay closed even if they are still there.
func TestShreddingIsByKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := must(f.Put(f.ctx, li, "phone", must(privacy.NewPhone("13812345678"))))
	row := must(f.mem.Get(t.Context(), []storage.Key{{Tenant: "acme", Kind: "privacy.value", ID: "li/phone/1"}}))[0]
	must(f.EraseSubject(f.ctx, li))
	require.NoError(t, f.update(func(tx *storage.Tx) error { return tx.Put(row.Key, row.Data, time.Time{}) }))
	_, err := f.Reveal(f.ctx, ref, privacy.PurposeSigning)
	assert.ErrorIs(t, err, privacy.ErrErased)
	recs := must(f.mem.Get(t.Context(), []storage.Key{{Tenant: "acme", Kind: "privacy.subject", ID: "li"}}))
	assert.NotContains(t, string(recs[0].Data), "dek")
}

func TestPutSurvivesEveryFault(t *testing.T) {
	t.Parallel()
	root := privacy.InsecureMemoryKey()
	for n := 1; ; n++ {
		for kind, wrap := range map[string]func(storage.Store, int) *storagetest.Faulty{"before": storagetest.FailBefore, "after": storagetest.FailAfter} {
			mem := new(storage.Mem)
			faulty := wrap(mem, n)
			v := must(privacy.New(privacy.Config{Root: root, Store: faulty}))
			ctx := v.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "a"})
			scenario := func() (privacy.Receipt, error) {
				ref, err := v.Put(ctx, li, "phone", must(privacy.NewPhone("13812345678")))
				if err != nil {
					return privacy.Receipt{}, err
				}
				if _, err := v.Reveal(ctx, ref, privacy.PurposeSigning); err != nil {
					return privacy.Receipt{}, err
				}
				return v.EraseSubject(ctx, li)
			}
			r, err := scenario()
			if err != nil {
				require.ErrorIs(t, err, storagetest.ErrInjected, "%s %d", kind, n)
				r, err = v.EraseSubject(ctx, li)
				if err != nil {
					require.ErrorIs(t, err, privacy.ErrNotFound) // nothing was ever put
					r, err = scenario()
				}
			}
			require.NoError(t, err, "%s %d", kind, n)
			assert.Equal(t, privacy.Shredded, r.State)
			assert.NotContains(t, string(everything(t, mem)), "li/phone", "%s %d", kind, n)
			if !faulty.Fired() && kind == "after" {
				assert.GreaterOrEqual(t, n, 5, "the scenario writes at least so often")
				return
			}
		}
		require.Less(t, n, 50)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := privacy.New(privacy.Config{})
	require.Error(t, err)
	_, err = privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: new(storage.Mem), Suite: privacy.Suite{ID: "x"}})
	require.Error(t, err)
	_, err = privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: new(storage.Mem), Purposes: []privacy.Purpose{""}})
	require.Error(t, err)
	v := must(privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: new(storage.Mem)}))
	assert.ErrorIs(t, v.Unlock(t.Context(), ""), privacy.ErrInvalid)
	_, err = v.Put(t.Context(), privacy.Subject{Tenant: "acme", ID: strings.Repeat("x", 65)}, "phone", must(privacy.NewPhone("13812345678")))
	assert.ErrorIs(t, err, privacy.ErrInvalid)
	_, err = v.Put(t.Context(), li, "Phone", must(privacy.NewPhone("13812345678")))
	assert.ErrorIs(t, err, privacy.ErrInvalid)
	_, err = v.Put(t.Context(), li, "phone", privacy.Phone{})
	assert.ErrorIs(t, err, privacy.ErrInvalid)
}

// TestConfigIsRefused: an incomplete configuration has a class of its own.
func TestConfigIsRefused(t *testing.T) {
	for _, c := range []privacy.Config{
		{},
		{Root: privacy.InsecureMemoryKey()},
		{Root: privacy.InsecureMemoryKey(), Store: new(storage.Mem), Former: []privacy.KeyWrapper{nil}},
		{Root: privacy.InsecureMemoryKey(), Store: new(storage.Mem), Purposes: []privacy.Purpose{""}},
		{Root: privacy.InsecureMemoryKey(), Store: new(storage.Mem), Suite: privacy.Suite{ID: "x"}},
	} {
		_, err := privacy.New(c)
		require.ErrorIs(t, err, privacy.ErrConfig)
	}
}
