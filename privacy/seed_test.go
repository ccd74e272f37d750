package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

func newVault(t *testing.T, s storage.Store) (*Vault, context.Context) {
	t.Helper()
	v, err := New(Config{Root: InsecureMemoryKey(), Store: s})
	require.NoError(t, err)
	require.NoError(t, v.Unlock(t.Context(), "acme"))
	return v, v.As(t.Context(), Accessor{Tenant: "acme", Account: "auditor"})
}

func phone(t *testing.T, s string) Value {
	t.Helper()
	p, err := NewPhone(s)
	require.NoError(t, err)
	return p
}

// putOld stores a commitment as releases before did: one record in JSON for each
// subject of an event, and no index of envelopes.
func putOld(t *testing.T, v *Vault, s Subject, c Context, f Field, val Value) Commitment {
	t.Helper()
	var out Commitment
	require.NoError(t, storage.Update(t.Context(), v.store, func(tx *storage.Tx) error {
		list, err := v.CommitAllTx(tx, s, c, []Committing{{f, val}})
		if err != nil {
			return err
		}
		out = list[0]
		x, err := v.openSubject(tx, s, false)
		if err != nil {
			return err
		}
		body, err := v.openSeed(tx, x, c)
		if err != nil {
			return err
		}
		plain, err := json.Marshal(map[string]any{"seed": body.Seed, "values": map[Field]string{f: val.clearText()}})
		if err != nil {
			return err
		}
		key, err := x.evidence(false)
		if err != nil {
			return err
		}
		sealed, err := v.suite.seal(key, evidenceKeyID, plain, oldSeedAAD(s, c))
		if err != nil {
			return err
		}
		return errors.Join(tx.Delete(seedKey(s.Tenant, c)), envs.Delete(tx, s.Tenant, storage.JoinID(s.ID, c.Env)),
			oldSeeds.Create(tx, s.Tenant, oldSeedID(s.ID, c), oldSeed{sealed}))
	}))
	return out
}

// Seeds that a release before stored open, take further fields, are found and are
// erased as new ones.
func TestSeedsOfReleasesBefore(t *testing.T) {
	t.Parallel()
	v, ctx := newVault(t, new(storage.Mem))
	li, wu := Subject{"acme", "li"}, Subject{"acme", "e"} // an envelope's id, too
	at, next := Context{"e", 3}, Context{"e", 4}
	c := putOld(t, v, li, at, FieldPhone, phone(t, "13812345678"))
	d := putOld(t, v, wu, at, FieldPhone, phone(t, "13712345678"))
	open := func(at Context, k string, f Field) (out []Opening, err error) {
		err = storage.Update(ctx, v.store, func(tx *storage.Tx) (err error) {
			out, err = v.OpenTx(ctx, tx, "acme", at, k, []Field{f}, PurposeEvidence)
			return err
		})
		return out, err
	}
	o, err := open(at, c.K, FieldPhone)
	require.NoError(t, err)
	assert.True(t, o[0].Opens(c.C, at))
	envelopes := func(s Subject) (out []string) {
		for env, err := range v.Envelopes(ctx, s) {
			require.NoError(t, err)
			out = append(out, env)
		}
		return out
	}
	assert.Equal(t, []string{"e"}, envelopes(li))
	// A further field of the same event joins the seed; another event begins anew.
	commit := func(s Subject, at Context, f Field) (out []Commitment, err error) {
		err = storage.Update(ctx, v.store, func(tx *storage.Tx) (err error) {
			out, err = v.CommitAllTx(tx, s, at, []Committing{{f, phone(t, "13912345678")}})
			return err
		})
		return out, err
	}
	_, err = commit(li, at, FieldPhone)
	require.ErrorIs(t, err, ErrConflict)
	more, err := commit(li, at, "contact")
	require.NoError(t, err)
	other, err := commit(li, next, "contact")
	require.NoError(t, err)
	for _, x := range []struct {
		at Context
		c  Commitment
	}{{at, c}, {at, more[0]}, {next, other[0]}} {
		o, err := open(x.at, x.c.K, x.c.Field)
		require.NoError(t, err)
		assert.True(t, o[0].Opens(x.c.C, x.at))
	}
	assert.Equal(t, []string{"e"}, envelopes(li), "once, wherever it is noted")
	r, err := v.EraseSubject(ctx, li)
	require.NoError(t, err)
	assert.Equal(t, 2, r.Rows)
	assert.Empty(t, envelopes(li))
	_, err = open(at, c.K, FieldPhone)
	require.ErrorIs(t, err, ErrErased)
	o, err = open(at, d.K, FieldPhone)
	require.NoError(t, err, "what is kept of others stays")
	assert.True(t, o[0].Opens(d.C, at))
	_, err = v.EraseSubject(ctx, wu)
	require.NoError(t, err)
	for _, kind := range []string{seedKind, envs.Name} {
		left, err := v.store.List(ctx, "acme", kind, "", 10)
		require.NoError(t, err)
		assert.Empty(t, left, kind)
	}
}

// All subjects of an event share a record; erasing one leaves the others'.
func TestEraseOneOfAnEvent(t *testing.T) {
	t.Parallel()
	v, ctx := newVault(t, new(storage.Mem))
	at := Context{"e", 1}
	people := []Subject{{"acme", "li"}, {"acme", "wang"}, {"acme", "wu"}}
	var parties []Party
	for _, s := range people {
		parties = append(parties, Party{Subject: s, Values: []Committing{{FieldPhone, phone(t, "13812345678")}}})
	}
	var list []Commitment
	require.NoError(t, storage.Update(ctx, v.store, func(tx *storage.Tx) (err error) {
		list, err = v.CommitNewTx(tx, at, parties)
		return err
	}))
	kept := func(i int) error {
		return storage.View(ctx, v.store, func(tx *storage.Tx) error { return v.KeptTx(tx, "acme", at, list[i]) })
	}
	for n, i := range []int{1, 0, 2} {
		require.NoError(t, kept(i))
		r, err := v.EraseSubject(ctx, people[i])
		require.NoError(t, err)
		assert.Equal(t, 1, r.Rows)
		require.ErrorIs(t, kept(i), ErrErased)
		left, err := v.store.List(ctx, "acme", seedKind, "", 10)
		require.NoError(t, err)
		require.Len(t, left, min(1, 2-n))
	}
	for _, bad := range [][]Party{nil, {{Subject: people[0]}}, {parties[0], {Subject: Subject{"other", "x"}, Values: parties[0].Values}}, {parties[0], parties[0]}} {
		err := storage.Update(ctx, v.store, func(tx *storage.Tx) error { _, err := v.CommitNewTx(tx, Context{"f", 1}, bad); return err })
		require.Error(t, err)
	}
	require.ErrorIs(t, storage.Update(ctx, v.store, func(tx *storage.Tx) error {
		_, err := v.CommitNewTx(tx, Context{"f", 1}, []Party{{Subject: Subject{"acme", "a"}, Values: parties[0].Values}, {Subject: Subject{"acme", "a"}, Values: parties[0].Values}})
		return err
	}), ErrInvalid)
}

// A key that is kept ready answers only to who holds it wrapped: once a shred is
// committed, by this process or another, nothing is sealed or opened with it.
func TestShreddedKeyIsNotServed(t *testing.T) {
	t.Parallel()
	mem := new(storage.Mem)
	g := storage.Group(mem, nil)
	v, ctx := newVault(t, g)
	li := Subject{"acme", "li"}
	seq := uint64(0)
	commit := func() error {
		return storage.Update(ctx, g, func(tx *storage.Tx) error {
			seq++
			_, err := v.CommitNewTx(tx, Context{"e", seq}, []Party{{Subject: li, Values: []Committing{{FieldPhone, phone(t, "13812345678")}}}})
			return err
		})
	}
	require.NoError(t, commit())
	require.NoError(t, commit())
	keys, err := v.tenant("acme")
	require.NoError(t, err)
	require.Len(t, keys.kept.m, 1, "kept ready")
	wrapped := slices.Clone(keys.kept.m["li"].wrapped)
	kept := keys.kept.m["li"]
	// Another process shreds: this one's memory knows nothing of it.
	far := &Vault{root: v.root, roots: v.roots, purposes: v.purposes, suite: v.suite, store: mem, now: v.now, log: v.log, keys: map[string]*tenantKeys{}}
	require.NoError(t, far.Unlock(ctx, "acme"))
	_, err = far.EraseSubject(ctx, li)
	require.NoError(t, err)
	require.Len(t, keys.kept.m, 1)
	require.ErrorIs(t, commit(), ErrErased)
	assert.Nil(t, keys.kept.get("li", nil))
	assert.NotNil(t, keys.kept.get("li", wrapped), "only who has the wrapped key, which is gone, could use it")
	// This process shreds, and forgets.
	wu := Subject{"acme", "wu"}
	require.NoError(t, storage.Update(ctx, g, func(tx *storage.Tx) error {
		_, err := v.CommitAllTx(tx, wu, Context{"e", 1}, []Committing{{FieldPhone, phone(t, "13812345678")}})
		return err
	}))
	keys.kept.put("wu", []byte("x"), kept.aead)
	_, err = v.EraseSubject(ctx, wu)
	require.NoError(t, err)
	assert.Nil(t, keys.kept.get("wu", []byte("x")))
	// It goes with the tenant's keys, and has a bound.
	v.Lock("acme")
	require.ErrorIs(t, commit(), ErrLocked)
	var c keyCache
	for i := range maxKeptKeys + 10 {
		c.put(seqID(uint64(i)), []byte("x"), kept.aead)
	}
	assert.Len(t, c.m, maxKeptKeys)
}

// FuzzSeeds: what is stored or sealed reads back or is refused.
func FuzzSeeds(f *testing.F) {
	row := eventSeeds{}
	row.add([aliasSize]byte{1}, []byte("sealed"))
	row.add([aliasSize]byte{2}, nil)
	f.Add(row.encode(nil))
	body := seedBody{Seed: make([]byte, 32)}
	body.add(FieldPhone, "13812345678")
	f.Add(body.encode(nil))
	f.Add([]byte(`{"seed":"` + strings.Repeat("A", 43) + `=","values":{"phone":"1"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if row, err := decodeSeeds(b); err == nil {
			again, err := decodeSeeds(row.encode(nil))
			require.NoError(t, err)
			assert.Equal(t, len(row.sealed), len(again.sealed))
		} else {
			require.ErrorIs(t, err, storage.ErrCorrupt)
		}
		if body, err := decodeSeed(b); err == nil {
			again, err := decodeSeed(body.encode(nil))
			require.NoError(t, err)
			assert.Equal(t, body, again)
		} else {
			require.ErrorIs(t, err, ErrKey)
		}
	})
}
