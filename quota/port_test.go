package quota_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// life lets an account live through a bit of everything.
func life(t testing.TB, charges int) *kit {
	k := newKit(t, quota.Config{})
	k.lot("a", 4, 1)
	k.lot("b", quota.Units(charges)+20, 100)
	k.reserve("env/1", line("li", quota.WeChat), line("wang", quota.SMS))
	_, err := k.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "check/1", Account: account, TTL: 90 * time.Minute, Lines: []quota.LineRequest{line("x", "")}})
	require.NoError(t, err)
	k.at = k.at.Add(30 * time.Hour)
	k.release("env/1", quota.Revoked)
	for i := range charges {
		_, err := k.Charge(t.Context(), quota.ChargeRequest{Tenant: tenant, ID: quota.HoldID(fmt.Sprintf("c-%d", i)), Account: account, Lines: []quota.LineRequest{line("li", "")}})
		require.NoError(t, err)
	}
	k.reserve("env/2", line("li", quota.WeChat))
	_, err = k.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "bind", From: account, To: "phone", OpenHolds: true})
	require.NoError(t, err)
	require.NoError(t, k.Suspend(t.Context(), quota.SuspendRequest{Tenant: tenant, ID: "stop", Account: "phone", Reason: "check"}))
	k.verify()
	return k
}

func TestExportImport_same_books_same_answers(t *testing.T) {
	k := life(t, 600)
	var out bytes.Buffer
	require.NoError(t, k.Export(t.Context(), tenant, &out))

	other := newKit(t, quota.Config{})
	other.at = k.at
	require.NoError(t, other.Import(t.Context(), tenant, bytes.NewReader(out.Bytes())))
	want, got := dump(t, k.store), dump(t, other.store)
	for id := range want {
		if strings.HasPrefix(id, "quota.ckpt") {
			// A checkpoint of an import stands at its very entry, an original one
			// at the end of the commit that passed it.
			delete(want, id)
			require.Contains(t, got, id)
			delete(got, id)
		}
	}
	assert.Equal(t, want, got)
	var again bytes.Buffer
	require.NoError(t, other.Export(t.Context(), tenant, &again))
	assert.Equal(t, out.String(), again.String())
	require.NoError(t, other.Import(t.Context(), tenant, bytes.NewReader(out.Bytes())), "importing twice changes nothing")

	// Calls go on as if nothing had happened, repeated ones included.
	for _, l := range []*kit{k, other} {
		s, err := l.Release(t.Context(), quota.ReleaseRequest{Tenant: tenant, ID: "later", Hold: "env/2", Cause: quota.Revoked})
		require.NoError(t, err)
		assert.Equal(t, quota.LotID("b"), s.Lines[0].Returned[0].Lot)
		_, err = l.Merge(t.Context(), quota.MergeRequest{Tenant: tenant, ID: "bind", From: account, To: "phone", OpenHolds: true})
		require.NoError(t, err)
		l.verify()
	}
	a, err := k.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "phone"}, noon.Add(40*time.Hour))
	require.NoError(t, err)
	b, err := other.AsOf(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "phone"}, noon.Add(40*time.Hour))
	require.NoError(t, err)
	assert.Equal(t, a, b)
}

func TestImport_refuses_what_is_not_an_export(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, life(t, 3).Export(t.Context(), tenant, &out))
	good := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
	change := func(at int, f func(string) string) string {
		lines := append([]string(nil), good...)
		lines[at] = f(lines[at])
		return strings.Join(lines, "")
	}
	entry := 0
	for i, l := range good {
		if strings.HasPrefix(l, `{"entry"`) && strings.Contains(l, `"kind":"capture"`) {
			entry = i
		}
	}
	require.Positive(t, entry)
	for name, in := range map[string]string{
		"empty":          "",
		"garbage":        "PK\x03\x04",
		"no header":      strings.Join(good[1:], ""),
		"newer":          change(0, func(string) string { return `{"countersign_quota":2}` + "\n" }),
		"cut":            strings.Join(good[:len(good)-1], ""),
		"line missing":   change(3, func(string) string { return "" }),
		"entry missing":  change(entry, func(string) string { return "" }),
		"entry changed":  change(entry, func(s string) string { return strings.Replace(s, `"units":1`, `"units":2`, 1) }),
		"unknown member": change(2, func(s string) string { return strings.Replace(s, `{"`, `{"x":1,"`, 1) }),
		"too long":       change(1, func(s string) string { return `{"lot":"` + strings.Repeat("x", 3<<20) + `"}` + "\n" }),
		"after the end":  out.String() + good[1],
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, quota.Config{})
			err := k.Import(t.Context(), tenant, strings.NewReader(in))
			require.Error(t, err)
			if name != "entry changed" && name != "entry missing" {
				require.ErrorIs(t, err, quota.ErrRequest)
			}
			var at *quota.ImportError
			require.ErrorAs(t, err, &at)
		})
	}
}

func TestImport_goes_on_after_a_failure(t *testing.T) {
	var out bytes.Buffer
	k := life(t, 300)
	require.NoError(t, k.Export(t.Context(), tenant, &out))
	clean := newKit(t, quota.Config{})
	require.NoError(t, clean.Import(t.Context(), tenant, bytes.NewReader(out.Bytes())))
	want := dump(t, clean.store)
	for _, n := range []int{1, 2, 7, 300, 310, 320, 325, 330, 334} {
		store := new(storage.Mem)
		faulty := storagetest.CrashAfter(store, n)
		l, err := quota.New(quota.Config{Store: faulty})
		require.NoError(t, err)
		err = l.Import(t.Context(), tenant, bytes.NewReader(out.Bytes()))
		if faulty.Fired() {
			require.Error(t, err, n)
		}
		l, err = quota.New(quota.Config{Store: store})
		require.NoError(t, err)
		require.NoError(t, l.Import(t.Context(), tenant, bytes.NewReader(out.Bytes())))
		assert.Equal(t, want, dump(t, store))
	}
}

// FuzzImport: no input makes an import panic, and what it accepts verifies.
func FuzzImport(f *testing.F) {
	var out bytes.Buffer
	require.NoError(f, life(f, 1).Export(f.Context(), tenant, &out))
	f.Add(out.Bytes())
	f.Add([]byte(`{"countersign_quota":1}` + "\n" + `{"end":{"lines":1}}` + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		k := newKit(t, quota.Config{})
		if k.Import(t.Context(), tenant, bytes.NewReader(in)) == nil {
			k.verify()
		}
	})
}
